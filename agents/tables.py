"""Settings as tables of JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Self, cast

from engine.errors import ConfigError


class Tabled:
    """What frozen dataclasses of settings share: they are written to a manifest and read back."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = asdict(cast(Any, self))
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the settings that `to_dict` wrote.

        Raises
        ------
        ConfigError
            When it is no table, or a key is unknown or missing.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"settings must be a table of keys and values, was {values!r}")
        try:
            return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
        except TypeError as error:
            raise ConfigError(f"settings: {error}") from error

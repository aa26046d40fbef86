"""Settings as JSON reads them back."""

from __future__ import annotations

from typing import Any

from engine.errors import ConfigError


def tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return a table of settings with tuples for its lists.

    Raises
    ------
    ConfigError
        When it is no table.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"settings must be a table of keys and values, was {values!r}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}

"""Start-up check: the project's plainly named folders must be this project's, not some other package's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from engine.errors import ConfigError

ROOMS = ("engine", "agents", "strategies", "brokers", "data_feeds", "live")


def check_rooms(home: Path | None = None) -> None:
    """Refuse to start where another package hides a room of the project.

    Parameters
    ----------
    home : folder that holds the rooms; that of this package when None.

    Raises
    ------
    ConfigError
        Naming the room and the place it was found instead.
    """
    home = home or Path(__file__).resolve().parent.parent
    for room in ROOMS:
        spec = find_spec(room)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if found != home / room:
            raise ConfigError(
                f"the package {room!r} is {found or 'missing'}, and marsfolio's own is in {home}: install marsfolio "
                "in a virtual environment of its own, and run it from a folder without a package of that name"
            )

"""A small project to begin with: configuration, universe, README."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from engine.errors import InputError

FILES = ("config.toml", "universe.csv", "README.md")


def write_project(folder: Path) -> list[Path]:
    """Write the files of a project into a new or empty folder, and return their paths.

    Raises
    ------
    InputError
        When the folder holds anything, is a file, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder, made when there is none")
    if folder.is_dir() and any(folder.iterdir()):
        first = min(path.name for path in folder.iterdir())
        raise InputError(f"{folder} is not empty (it has {first}): name a new folder, nothing was written")
    texts = {name: (files(__package__) / "files" / name).read_text(encoding="utf-8") for name in FILES}
    texts["README.md"] = Template(texts["README.md"]).substitute(name=folder.resolve().name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}; name another folder") from error
    return [folder / name for name in FILES]

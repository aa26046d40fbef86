"""Model folders: manifest.json and safetensors files, written atomically, verified on reading, never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from agents.learned import Learned, learned_of
from agents.settings import AnySettings, settings_from
from engine.errors import CheckpointError, ConfigError
from engine.policy import LearnedPolicy

KIND = "marsfolio-model"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
HISTORY = "history.csv"
REQUIRED = ("settings", "setting", "features", "lookback_bars", "symbols", "seed", "train", "validation")
LOOKS = "looks.jsonl"


@dataclass(frozen=True, slots=True)
class Model:
    """Trained agents with all that is needed to use them.

    Attributes
    ----------
    manifest : settings, symbols, windows, seed, data hash, versions and the hash of each file.
    hash : sha256 of the manifest, hence of the whole model.
    """

    path: Path
    manifest: dict[str, Any]
    hash: str
    settings: AnySettings
    learned: Learned

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """The N symbols it trades, in order; None for any that the data has."""
        return tuple(self.manifest["symbols"]) if self.settings.fixed_universe else None

    @property
    def agent_names(self) -> tuple[str, ...]:
        """A names, most cautious first."""
        return self.settings.agent_names

    def policy(self) -> LearnedPolicy:
        """Return a fresh policy of what was trained."""
        return self.learned.policy()

    def untrained_policy(self) -> LearnedPolicy:
        """Return a policy of the same agents as they were before the first training step."""
        return self.learned.untrained_policy()

    def agent_policy(self, name: str) -> LearnedPolicy:
        """Return a policy of one agent alone.

        Raises
        ------
        ConfigError
            When there is no such agent.
        """
        if name not in self.agent_names:
            raise ConfigError(f"{self.path} has no agent {name!r}: it has {', '.join(self.agent_names)}")
        return self.learned.agent_policy(self.agent_names.index(name))


def versions() -> dict[str, str]:
    """Return the versions of what computed a result."""
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}


def save_model(path: Path, manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], history: str) -> str:
    """Write a model folder's files, the manifest last, and return the model's hash.

    Each file is replaced atomically; a reader who meets a half-replaced folder is told so by the hashes.
    """
    content = {WEIGHTS: safetensors.torch.save(dict(tensors)), HISTORY: history.encode()}
    for name, data in content.items():
        write_atomically(path / name, data)
    files = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    document = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        **manifest,
        "versions": versions(),
        "files": files,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path / MANIFEST, text.encode())
    return hashlib.sha256(text.encode()).hexdigest()


def load_model(path: Path) -> Model:
    """Read a model folder and verify every byte of it.

    Raises
    ------
    CheckpointError
        When the folder is missing, unfinished, damaged, or was not made by this program.
    """
    manifest, digest = _verified(path)
    try:
        settings = settings_from(manifest.get("method", "ensemble"), manifest["settings"])
        _check_agrees(manifest)
        learned = learned_of(settings, manifest, safetensors.torch.load(_read(path / WEIGHTS)))
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, ConfigError, SafetensorError) as error:
        reason = str(error).splitlines()[-1].strip()  # torch lists every tensor, a line each
        raise CheckpointError(f"{path} does not fit together: {reason}; train again") from error
    return Model(path, manifest, digest, settings, learned)


def verify_model(path: Path) -> str:
    """Return the hash of a model folder, after every byte of it was verified; nothing is loaded.

    Raises
    ------
    CheckpointError
        As `load_model` does.
    """
    return _verified(path)[1]


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Raises
    ------
    CheckpointError
        When it cannot be written.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}; choose another --out or make room") from error


def append_look(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one line to a model's log of evaluations on a test window; it is outside the model's hash."""
    try:
        with (path / LOOKS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(entry), ensure_ascii=False) + "\n")
    except OSError as error:
        raise CheckpointError(
            f"cannot add to {path / LOOKS}: {error.strerror}; looks at test windows must be logged"
        ) from error


def read_looks(path: Path) -> list[dict[str, Any]]:
    """Return a model's log of evaluations, oldest first.

    Raises
    ------
    CheckpointError
        When the log is damaged.
    """
    log = path / LOOKS
    if not log.exists():
        return []
    try:
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{log} cannot be read: {error}; it lists every look at a test window") from error


def _verified(path: Path) -> tuple[dict[str, Any], str]:
    manifest, digest = _read_manifest(path)
    for name, expected in manifest["files"].items():
        found = hashlib.sha256(_read(path / name)).hexdigest()
        if found != expected:
            raise CheckpointError(
                f"{path / name} is damaged: its sha256 is {found[:12]}..., the manifest says {expected[:12]}...; "
                "restore the folder or train again"
            )
    return manifest, digest


def _read_manifest(path: Path) -> tuple[dict[str, Any], str]:
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a model folder: give the folder that `marsfolio train --out` wrote")
    if not (path / MANIFEST).exists():
        what = (
            "an unfinished training: finish it with `marsfolio train --resume`" if (path / "training").exists() else ""
        )
        raise CheckpointError(
            f"{path} has no {MANIFEST}{'; it holds ' + what if what else ': it is not a model folder'}"
        )
    data = _read(path / MANIFEST)
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise CheckpointError(f"{path / MANIFEST} is damaged: {error}; restore the folder or train again") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise CheckpointError(f"{path / MANIFEST} was not written by marsfolio: its kind is not {KIND!r}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path / MANIFEST} has format_version {manifest.get('format_version')}, this program reads "
            f"{FORMAT_VERSION}: train again or use the version that wrote it"
        )
    _check_files(path / MANIFEST, manifest.get("files"))
    missing = [key for key in REQUIRED if key not in manifest]
    if missing:
        raise CheckpointError(f"{path / MANIFEST} is damaged: it has no {missing[0]!r}; restore it or train again")
    return manifest, hashlib.sha256(data).hexdigest()


def _check_agrees(manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest that says in two places what a decision reads, and not the same."""
    for name in ("features", "lookback_bars"):
        value = manifest["settings"].get(name, manifest[name])
        if manifest[name] != value:
            raise ConfigError(f"its {name} are {manifest[name]!r}, those of its settings {value!r}")


def _check_files(manifest: Path, files: object) -> None:
    if not isinstance(files, dict) or WEIGHTS not in files:
        raise CheckpointError(f"{manifest} is damaged: it does not list {WEIGHTS}")
    for name, digest in files.items():
        # A name is part of a path: no other than these is ever opened.
        if name not in (WEIGHTS, HISTORY):
            raise CheckpointError(f"{manifest} is damaged: it lists {name!r}, which is no file of a model")
        if not isinstance(digest, str):
            raise CheckpointError(f"{manifest} is damaged: the sha256 of {name} is {digest!r}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; restore the folder or train again") from error

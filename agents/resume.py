"""The state of an unfinished training on disk: networks, optimisers, replay, random numbers, history."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from agents.checkpoint import write_atomically
from agents.ensemble import Learner
from agents.identity import check_identity
from agents.replay import Replay
from engine.errors import CheckpointError

FOLDER = "training"
# One file, so that one rename replaces the whole state.
FILE = "state.safetensors"


@dataclass(slots=True)
class TrainingState:
    """How far a training has come.

    Attributes
    ----------
    episode : episodes finished.
    best_score, best_episode, best_tensors : of the best validation so far.
    history : one entry an episode.
    """

    episode: int = 0
    best_score: float = float("-inf")
    best_episode: int = 0
    best_tensors: dict[str, Tensor] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def has_state(out: Path) -> bool:
    """Return whether a model folder holds an unfinished training."""
    return (out / FOLDER / FILE).exists()


def discard_state(out: Path) -> None:
    """Remove the state of a finished training."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def save_state(
    out: Path,
    identity: dict[str, Any],
    learner: Learner,
    replay: Replay,
    random: np.random.Generator,
    state: TrainingState,
) -> None:
    """Write everything a resumed run needs, atomically."""
    tensors = {**_network_tensors(learner), **_optimiser_tensors(learner), **replay.state()}
    tensors.update({f"best.{name}": tensor for name, tensor in (state.best_tensors or {}).items()})
    document = {
        "identity": identity,
        "episode": state.episode,
        "best_score": state.best_score,
        "best_episode": state.best_episode,
        "history": state.history,
        "random": random.bit_generator.state,
    }
    data = safetensors.torch.save(tensors, metadata={"state": json.dumps(document)})
    write_atomically(out / FOLDER / FILE, hashlib.sha256(data).hexdigest().encode() + data)


def load_state(
    out: Path,
    identity: dict[str, Any],
    learner: Learner,
    replay: Replay,
    random: np.random.Generator,
    state: TrainingState,
) -> None:
    """Take up what `save_state` wrote, in place.

    Raises
    ------
    CheckpointError
        When there is no state, it is damaged, or it belongs to a different training.
    """
    path = out / FOLDER / FILE
    tensors, document = _read_state(path)
    check_identity(out, document["identity"], identity)
    try:
        _restore_networks(learner, tensors)
        _restore_optimisers(learner, tensors)
        replay.restore(tensors)
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit this training: {error}; remove {path.parent} and train again"
        ) from error
    random.bit_generator.state = document["random"]
    state.episode = document["episode"]
    state.best_score = document["best_score"]
    state.best_episode = document["best_episode"]
    state.history = document["history"]
    best = {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")}
    state.best_tensors = best or None


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"there is no unfinished training in {path.parent.parent} to resume") from error
    digest, data = content[:64], content[64:]
    if hashlib.sha256(data).hexdigest().encode() != digest:
        raise CheckpointError(f"{path} is damaged; remove {path.parent} and train again without --resume")
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        document = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
        if not isinstance(document["identity"], dict):
            raise ValueError(f"its identity is {document['identity']!r}")
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a training state: {error}; remove {path.parent} and train again without --resume"
        ) from error
    return tensors, document


def _network_tensors(learner: Learner) -> dict[str, Tensor]:
    tensors = {f"ensemble.{name}": t for name, t in learner.ensemble.state_dict().items()}
    tensors.update({f"targets.{name}": t for name, t in learner.targets.state_dict().items()})
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _restore_networks(learner: Learner, tensors: dict[str, Tensor]) -> None:
    for prefix, network in (("ensemble.", learner.ensemble), ("targets.", learner.targets)):
        part = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        network.load_state_dict(part)


def _optimiser_tensors(learner: Learner) -> dict[str, Tensor]:
    return {
        f"optimiser.{name}.{index}.{key}": value
        for name, optimiser in learner.optimisers.items()
        for index, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
    }


def _restore_optimisers(learner: Learner, tensors: dict[str, Tensor]) -> None:
    for name, optimiser in learner.optimisers.items():
        document = optimiser.state_dict()
        prefix = f"optimiser.{name}."
        entries: dict[int, dict[str, Tensor]] = {}
        for full, tensor in tensors.items():
            if full.startswith(prefix):
                index, key = full.removeprefix(prefix).split(".")
                entries.setdefault(int(index), {})[key] = torch.clone(tensor)
        _check_moments(name, optimiser, entries)
        document["state"] = entries
        optimiser.load_state_dict(document)


def _check_moments(name: str, optimiser: torch.optim.Adam, entries: dict[int, dict[str, Tensor]]) -> None:
    # The fused step trusts these shapes and reads beyond the end of a tensor that is too short.
    parameters = optimiser.param_groups[0]["params"]
    if entries and set(entries) != set(range(len(parameters))):
        raise ValueError(f"the optimiser of the {name} has moments of {len(entries)} of {len(parameters)} parameters")
    for index, entry in entries.items():
        shapes = {key: tuple(tensor.shape) for key, tensor in entry.items()}
        shape = tuple(parameters[index].shape)
        if shapes != {"step": (), "exp_avg": shape, "exp_avg_sq": shape}:
            raise ValueError(f"moments {index} of the optimiser of the {name} have shapes {shapes}")

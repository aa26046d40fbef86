"""Replay buffer that keeps session rows and portfolio states and rebuilds the features from the panel's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.encoding import Encoder
from engine.arrays import Float32Array, FloatArray, IntArray
from engine.observation import FeatureTable


class Batch(NamedTuple):
    """Transitions for A agents; each drawn independently."""

    state: Tensor  # (A, B, S)
    action: Tensor  # (A, B, N)
    reward: Tensor  # (A, B, 1)
    next_state: Tensor  # (A, B, S)
    alive: Tensor  # (A, B, 1) 0 where the episode terminated, 1 elsewhere
    risk: Tensor  # (A, B, 1) C_env of the transition

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(*(part.to(device) for part in self))


class Replay:
    """The last ``capacity`` transitions of one shared account.

    Parameters
    ----------
    capacity : how many transitions are kept.
    table : features of the training window.
    encoder : standardises them, once.
    """

    def __init__(self, capacity: int, table: FeatureTable, encoder: Encoder) -> None:
        n = table.values.shape[1]
        self._first = table.first
        self._features = encoder.features(table.values).reshape(len(table.values), -1)
        self._capacity = capacity
        self._next = 0
        self._count = 0
        self._arrays: dict[str, np.ndarray] = {
            "row": np.zeros(capacity, np.int32),
            "holding": np.zeros((capacity, 1 + n), np.float32),
            "action": np.zeros((capacity, n), np.float32),
            "reward": np.zeros(capacity, np.float32),
            "next_holding": np.zeros((capacity, 1 + n), np.float32),
            "alive": np.zeros(capacity, np.float32),
            "risk": np.zeros(capacity, np.float32),
        }

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        row: int,
        state: Float32Array,
        action: Float32Array,
        reward: float,
        next_state: Float32Array,
        terminated: bool,
        risk: float,
    ) -> None:
        """Keep one transition from the close of ``row`` to the next; states are (S,) encoded vectors."""
        k, arrays = self._next, self._arrays
        width = arrays["holding"].shape[1]
        arrays["row"][k] = row - self._first
        arrays["holding"][k] = state[:width]
        arrays["action"][k] = action
        arrays["reward"][k] = reward
        arrays["next_holding"][k] = next_state[:width]
        arrays["alive"][k] = 0.0 if terminated else 1.0
        arrays["risk"][k] = risk
        self._next = (k + 1) % self._capacity
        self._count = min(self._count + 1, self._capacity)

    def sample(self, n_agents: int, batch_size: int, random: np.random.Generator) -> Batch:
        """Draw ``batch_size`` transitions for each agent, with replacement."""
        index = random.integers(0, self._count, size=(n_agents, batch_size))
        arrays = self._arrays
        rows = arrays["row"][index]
        return Batch(
            state=torch.from_numpy(self._join(arrays["holding"][index], rows)),
            action=torch.from_numpy(arrays["action"][index]),
            reward=torch.from_numpy(arrays["reward"][index][..., None]),
            next_state=torch.from_numpy(self._join(arrays["next_holding"][index], rows + 1)),
            alive=torch.from_numpy(arrays["alive"][index][..., None]),
            risk=torch.from_numpy(arrays["risk"][index][..., None]),
        )

    def latest_states(self, count: int, batch_size: int, random: np.random.Generator) -> Tensor:
        """Draw (1, batch_size, S) states among the ``count`` latest transitions."""
        back = random.integers(1, min(count, self._count) + 1, size=batch_size)
        index: IntArray = (self._next - back) % self._capacity
        states = self._join(self._arrays["holding"][index], self._arrays["row"][index])
        return torch.from_numpy(states)[None]

    def state(self) -> dict[str, Tensor]:
        """Return the filled part as tensors, and where the next transition goes."""
        tensors = {f"replay.{name}": torch.from_numpy(a[: self._count].copy()) for name, a in self._arrays.items()}
        tensors["replay.next"] = torch.tensor([self._next], dtype=torch.int64)
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `state` returned."""
        for name, array in self._arrays.items():
            values = tensors[f"replay.{name}"].numpy()
            array[: len(values)] = values
            self._count = len(values)
        self._next = int(tensors["replay.next"][0])

    def _join(self, holding: FloatArray, rows: IntArray) -> Float32Array:
        return np.concatenate([holding, self._features[rows]], axis=-1)

"""Encoder: an observation as the network's input vector, with statistics of the training window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.arrays import Float32Array, FloatArray
from engine.observation import FeatureTable, Observation

CLIP = 5.0
MIN_SESSIONS = 30
"""Fewest sessions of a feature in the training window for statistics of it."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """State s_t of arXiv 2508.01173: cash, and per asset its holding and F features; S = 1 + N + N * F.

    Features are standardised per asset with the training window's mean and deviation and clipped to
    +-CLIP; a holding is its weight times N (1 is an equal share); cash is its weight. A feature that is not
    known is 0, the training mean.

    Attributes
    ----------
    mean, std : (N, F) statistics of the training window; std > 0, infinite for what was hardly ever seen.
    """

    mean: FloatArray
    std: FloatArray

    @classmethod
    def fit(cls, table: FeatureTable) -> Encoder:
        """Return the encoder of a training window's features.

        An asset with fewer than MIN_SESSIONS of them gets an infinite deviation, so that its features are always
        0: the network has never seen them.
        """
        known = ~np.isnan(table.values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, table.values, 0.0).sum(axis=0) / count
        variance = np.where(known, (table.values - mean) ** 2, 0.0).sum(axis=0) / count
        std = np.sqrt(variance)
        std = np.where(std > 1e-12, std, 1.0)
        return cls(mean, np.where(known.sum(axis=0) >= MIN_SESSIONS, std, np.inf))

    @classmethod
    def of(cls, mean: FloatArray, std: FloatArray, features: Sequence[str]) -> Encoder:
        """Return the encoder of a model's statistics.

        Raises
        ------
        ValueError
            When they are not of those features: arrays would stretch each other without a word.
        """
        if mean.ndim != 2 or mean.shape != std.shape or mean.shape[1] != len(features):
            raise ValueError(f"its statistics have the shape {mean.shape}, its {len(features)} features need another")
        return cls(mean, std)

    @property
    def size(self) -> int:
        """S, the length of the vector."""
        n: int = self.mean.shape[0]
        return 1 + n + self.mean.size

    def __call__(self, observation: Observation) -> Float32Array:
        """Return the (S,) vector of an observation."""
        n = len(observation.weights)
        vector = np.empty(self.size, dtype=np.float32)
        vector[0] = observation.cash_weight
        vector[1 : n + 1] = observation.weights * n
        vector[n + 1 :] = self.features(observation.features).ravel()
        return vector

    def features(self, values: FloatArray) -> Float32Array:
        """Standardise features (..., N, F)."""
        scaled = np.clip((values - self.mean) / self.std, -CLIP, CLIP)
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)

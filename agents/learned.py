"""What the tensors of a model folder become, for each method of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from agents.policy import LearnedEnsemble
from agents.profiles.policy import LearnedProfiles
from agents.profiles.settings import ProfileSettings
from agents.settings import AnySettings, Settings
from agents.single.policy import LearnedSingle
from agents.single.settings import SingleSettings
from engine.errors import ConfigError
from engine.policy import LearnedPolicy


class Learned(Protocol):
    """Trained agents in memory."""

    def policy(self) -> LearnedPolicy:
        """Return a fresh policy of all agents."""
        ...

    def untrained_policy(self) -> LearnedPolicy:
        """Return a policy of the same agents as they were before the first training step."""
        ...

    def agent_policy(self, number: int) -> LearnedPolicy:
        """Return a policy of one agent alone."""
        ...


def learned_of(settings: AnySettings, manifest: Mapping[str, Any], tensors: dict[str, Tensor]) -> Learned:
    """Return the agents of a model folder.

    Raises
    ------
    KeyError, RuntimeError
        When the tensors are not those of the settings.
    """
    if isinstance(settings, Settings):
        return LearnedEnsemble.of(settings, len(manifest["symbols"]), int(manifest["seed"]), tensors)
    if isinstance(settings, ProfileSettings):
        return LearnedProfiles.of(settings, int(manifest["seed"]), tensors)
    if isinstance(settings, SingleSettings):
        return LearnedSingle.of(settings, tensors)
    raise ConfigError(f"no method {settings.method!r}")

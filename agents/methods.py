"""Which trainer trains which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from agents.checkpoint import Model
from agents.profiles.settings import ProfileSettings
from agents.profiles.training import ProfileTrainer
from agents.reporting import Reporter
from agents.settings import AnySettings, Settings
from agents.single.settings import SingleSettings
from agents.single.training import SingleTrainer
from agents.training import Trainer
from engine.errors import ConfigError
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms


class AnyTrainer(Protocol):
    """One training run, resumable."""

    @property
    def episodes_done(self) -> int:
        """Episodes finished, whose state is on disk."""
        ...

    def run(self, resume: bool = False, reporter: Reporter | None = None) -> Model:
        """Train to the end, write the model folder and return the model; see `agents.training.Trainer.run`."""
        ...


def make_trainer(
    panel: MarketPanel,
    train: Window,
    validation: Window,
    settings: AnySettings,
    terms: Terms,
    seed: int,
    out: Path,
    background: MarketPanel | None = None,
) -> AnyTrainer:
    """Return the trainer of some settings; the arguments are those of `agents.training.Trainer`.

    Parameters
    ----------
    background : a market with a long history, for settings that learn from one beside the training window.

    Raises
    ------
    ConfigError
        When the windows do not suit the settings.
    """
    if isinstance(settings, Settings):
        return Trainer(panel, train, validation, settings, terms, seed, out)
    if isinstance(settings, ProfileSettings):
        return ProfileTrainer(panel, train, validation, settings, terms, seed, out, background)
    if isinstance(settings, SingleSettings):
        return SingleTrainer(panel, train, validation, settings, terms, seed, out)
    raise ConfigError(f"nothing trains {settings.name!r}")

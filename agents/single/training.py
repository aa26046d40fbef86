"""Training of a single agent, with the windows, the validation and the model folder of an ensemble's."""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from agents.checkpoint import MANIFEST, Model, load_model, save_model
from agents.encoding import Encoder
from agents.identity import check_identity, identity_of
from agents.reporting import EpisodeReport, Reporter, Silence, checkpoint_score, deterministic
from agents.single.policy import LearnedSingle, model_tensors
from agents.single.settings import SingleSettings
from agents.windows import training_window
from engine.arrays import BoolArray, FloatArray
from engine.backtest import run_policy
from engine.batch_environment import BatchPortfolioEnv
from engine.environment import Reward
from engine.errors import ConfigError
from engine.observation import feature_table
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms

if TYPE_CHECKING:
    from agents.single.sb3 import Learner


class SingleTrainer:
    """One training run; the arguments are those of `agents.training.Trainer`.

    The library cannot take up a training bit for bit without unpickling, so an interrupted run keeps nothing and,
    resumed, begins again, to the same model.

    Raises
    ------
    ConfigError
        When the windows do not suit the settings, or stable-baselines3 is not installed.
    """

    def __init__(
        self,
        panel: MarketPanel,
        train: Window,
        validation: Window,
        settings: SingleSettings,
        terms: Terms,
        seed: int,
        out: Path,
    ) -> None:
        least = max(2, 2 * settings.environments)
        self._train = training_window(panel, train, validation, settings.lookback_bars, least)
        self._panel, self._validation = panel, validation
        self._settings, self._terms, self._seed, self._out = settings, terms, seed, out
        self._library = _library(settings.name)
        steps = settings.episodes * (self._train.last - self._train.first)
        if settings.algorithm == "ppo" and steps < settings.rollout:
            raise ConfigError(
                f"ppo learns after every {settings.rollout} steps, and {settings.episodes} episodes of this training "
                f"window have {steps}: choose more --episodes"
            )

    @property
    def episodes_done(self) -> int:
        """Always 0: nothing is kept of an unfinished training."""
        return 0

    def run(self, resume: bool = False, reporter: Reporter | None = None) -> Model:
        """Train, write the model folder and return the model.

        Raises
        ------
        CheckpointError
            When resuming into a model that was trained with other data, settings or seed.
        """
        identity = identity_of(self._panel, self._train, self._validation, self._settings, self._seed, self._terms)
        if resume and (self._out / MANIFEST).exists():
            model = load_model(self._out)
            check_identity(self._out, model.manifest, identity)
            return model
        course = self._trained(reporter or Silence())
        manifest = {
            "setting": self._settings.name,
            "method": self._settings.method,
            "features": list(self._settings.features),
            "lookback_bars": self._settings.lookback_bars,
            **identity,
            "episodes_trained": course.episode,
            "best_episode": course.best_episode,
            "best_score": course.best_score,
        }
        save_model(self._out, manifest, course.best_tensors, _csv(course.history))
        return load_model(self._out)

    def _trained(self, reporter: Reporter) -> _Course:
        settings, window = self._settings, self._train
        table = feature_table(self._panel, settings.features, settings.lookback_bars, *window)
        encoder = Encoder.fit(table)
        sessions, size = window.last - window.first, settings.environments
        env = BatchPortfolioEnv(
            self._panel,
            table,
            window,
            self._terms,
            size,
            starts=window.first + np.arange(size) * sessions // size,
            reward=Reward(settings.volatility_weight, settings.drawdown_weight),
            step_size=settings.step_size,
            encode=encoder.features,
            weight_scale=float(self._panel.n_symbols),
        )
        with deterministic(), _own_random_numbers():
            learner: Learner = self._library.Learner(settings, env, settings.episodes * sessions, self._seed)
            course = _Course(self, learner, encoder, sessions, reporter)
            learner.learn(course.step)
        return course

    def score(self, tensors: dict[str, Tensor]) -> float:
        """Return the checkpoint score of an agent's tensors on the validation window."""
        policy = LearnedSingle.of(self._settings, tensors).policy()
        window = self._validation
        return checkpoint_score(run_policy(policy, self._panel, window.first, window.last, self._terms).metrics())

    @property
    def settings(self) -> SingleSettings:
        """The settings."""
        return self._settings

    @property
    def cash(self) -> float:
        """With how much an episode begins."""
        return self._terms.cash


class _Course:
    """What happens while the library trains: episodes are counted, agents validated, the best kept."""

    def __init__(
        self, trainer: SingleTrainer, learner: Learner, encoder: Encoder, sessions: int, reporter: Reporter
    ) -> None:
        self._trainer, self._learner, self._encoder = trainer, learner, encoder
        self._sessions, self._reporter = sessions, reporter
        self._initial = learner.tensors()
        self._done = 0
        self._begin_episode()
        self.episode = 0
        self.history: list[dict[str, Any]] = []
        self.best_score, self.best_episode = -math.inf, 0
        self.best_tensors: dict[str, Tensor] = {}

    def step(self, rewards: FloatArray, equity: FloatArray, ended: BoolArray) -> bool:
        """Hear of a step of all environments; return False when training should stop."""
        settings = self._trainer.settings
        self._done += len(rewards)
        self._rewards += float(rewards.sum())
        self._steps += len(rewards)
        self._ends.extend(equity[ended].tolist())
        episode = min(self._done // self._sessions, settings.episodes)
        inside = min(self._done - self.episode * self._sessions, self._sessions)
        self._reporter.step(self.episode + 1, inside, self._sessions, None)
        if episode == self.episode:
            return True
        self.episode = episode
        self._end_episode()
        return self.episode < settings.episodes and self.episode - self.best_episode < settings.patience

    def _begin_episode(self) -> None:
        self._rewards, self._steps = 0.0, 0
        self._ends: list[float] = []

    def _end_episode(self) -> None:
        settings = self._trainer.settings
        score = math.nan
        if self.episode % settings.validation_every == 0 or self.episode == settings.episodes:
            score = self._validate()
        actor, critic = self._learner.losses()
        equity = float(np.mean(self._ends)) / self._trainer.cash if self._ends else math.nan
        report = EpisodeReport(
            self.episode,
            equity,
            self._rewards / self._steps,
            actor,
            critic,
            safety_loss=math.nan,
            controller_loss=math.nan,
            agents_in_use=1.0,
            score=score,
            best=self.best_score,
        )
        self.history.append(asdict(report))
        self._reporter.episode(report)
        self._begin_episode()

    def _validate(self) -> float:
        tensors = model_tensors(self._learner.tensors(), self._initial, self._encoder)
        if not all(bool(torch.isfinite(value).all()) for name, value in tensors.items() if name != "encoder.std"):
            raise ConfigError(
                f"training diverged in episode {self.episode}; lower the learning rate, or look for absurd prices"
            )
        score = self._trainer.score(tensors)
        if not self.best_tensors or score > self.best_score:
            self.best_score, self.best_episode, self.best_tensors = score, self.episode, tensors
        return score


def _library(setting: str) -> Any:
    try:
        return importlib.import_module("agents.single.sb3")
    except ModuleNotFoundError as error:
        if error.name != "stable_baselines3":
            raise
        raise ConfigError(
            f"training {setting!r} needs stable-baselines3: pip install 'marsfolio[baselines]'"
        ) from error


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Put the process's random numbers back, which the library seeds."""
    before, plain = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        yield
    np.random.set_state(before)
    random.setstate(plain)


def _csv(history: list[dict[str, Any]]) -> str:
    lines = [",".join(history[0])]
    lines += [",".join("" if value != value else repr(value) for value in row.values()) for row in history]
    return "\n".join(lines) + "\n"

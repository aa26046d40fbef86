"""Training of the `marsfolio` setting: actors, then the controller over their shadow portfolios, then critics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.checkpoint import MANIFEST, Model, load_model, save_model
from agents.identity import check_identity, identity_of
from agents.profiles.history import History
from agents.profiles.learner import ProfileLearner, Steps
from agents.profiles.networks import Profiles
from agents.profiles.policy import ProfilePolicy
from agents.profiles.settings import ProfileSettings
from agents.reporting import Reporter, Silence, checkpoint_score, deterministic
from agents.windows import training_window
from engine.backtest import run_policy
from engine.market_state import LOOKBACK_BARS, MIN_BARS
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms


class ProfileTrainer:
    """One training run; the arguments are those of `agents.training.Trainer`, and a background.

    ``background`` is a market with a long history. When to be invested cannot be learned from three or five years, so
    its sessions up to the end of the training window are learned from, too, each as often as one of the window.

    It takes a minute or less, so an interrupted run keeps nothing and, resumed, begins again, to the same model. The
    validation window is looked at once, after training: nothing is chosen by it.
    """

    def __init__(
        self,
        panel: MarketPanel,
        train: Window,
        validation: Window,
        settings: ProfileSettings,
        terms: Terms,
        seed: int,
        out: Path,
        background: MarketPanel | None = None,
    ) -> None:
        train = training_window(panel, train, validation, MIN_BARS, 2 * settings.horizon)
        self._panel, self._train, self._validation = panel, train, validation
        self._settings, self._terms, self._seed, self._out = settings, terms, seed, out
        self._background = background
        self._lines: list[dict[str, Any]] = []

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
        identity["background"] = self._background_hash()
        if resume and (self._out / MANIFEST).exists():
            model = load_model(self._out)
            check_identity(self._out, model.manifest, identity)
            return model
        with deterministic(), torch.random.fork_rng():
            torch.manual_seed(self._seed)  # dropout
            profiles = self._trained(reporter or Silence())
        score = self._score(profiles)
        manifest = {
            "setting": self._settings.name,
            "method": self._settings.method,
            "features": [],
            "lookback_bars": self._settings.lookback_bars,
            **identity,
            "episodes_trained": self._settings.episodes,
            "best_episode": self._settings.episodes,
            "best_score": score,
        }
        save_model(self._out, manifest, dict(profiles.state_dict()), _csv(self._lines))
        return load_model(self._out)

    def _trained(self, reporter: Reporter) -> Profiles:
        settings = self._settings
        histories = self._histories()
        profiles = Profiles(settings, self._seed)
        learner = ProfileLearner(profiles, histories, settings, self._seed)
        profiles.train()
        actors = Steps(profiles.actors, settings.episodes, settings)
        self._steps(reporter, "actors", settings.episodes, lambda: learner.actor_step(actors))
        shadows = [learner.shadows(history) for history in histories]
        if settings.controlled:
            controller = Steps(profiles.controller, settings.controller_episodes, settings)
            steps = settings.controller_episodes
            self._steps(reporter, "controller", steps, lambda: learner.controller_step(controller, shadows))
        outcomes = learner.outcomes(shadows[0])
        market = histories[0].market[:1, : len(outcomes)]
        critics = Steps(profiles.critics, settings.critic_episodes, settings)
        steps = settings.critic_episodes
        self._steps(reporter, "critics", steps, lambda: {"loss": learner.critic_step(critics, market, outcomes)})
        return profiles

    def _steps(self, reporter: Reporter, part: str, count: int, step: Callable[[], dict[str, float]]) -> None:
        """Take the gradient steps of one part; every tenth makes a line of the history."""
        for number in range(1, count + 1):
            values = step()
            if number % 10 == 0:
                self._lines.append({"part": part, "episode": number, **values})
            reporter.part(part, number, count)

    def _histories(self) -> list[History]:
        """Return the training window and, where the setting asks for it, the background up to its end."""
        drifts, timing = self._settings.bear_drifts, self._terms.timing
        histories = [History.of(self._panel, self._train, drifts, timing)]
        if self._settings.background and self._background is not None:
            last = self._panel.sessions[self._train.last]
            known = int(np.searchsorted(self._background.sessions, last, side="right")) - 1
            if known - 2 * self._settings.horizon > LOOKBACK_BARS:
                histories.append(History.of(self._background, Window(LOOKBACK_BARS - 1, known), drifts, timing))
        return histories

    def _background_hash(self) -> str | None:
        wanted = self._settings.background and self._background is not None
        return self._background.content_hash if wanted and self._background is not None else None

    def _score(self, profiles: Profiles) -> float:
        window = self._validation
        policy = ProfilePolicy(profiles, self._settings)
        return checkpoint_score(run_policy(policy, self._panel, window.first, window.last, self._terms).metrics())


def _csv(lines: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for line in lines for name in line))
    rows = [",".join("" if line.get(name) is None else str(line[name]) for name in columns) for line in lines]
    return "\n".join([",".join(columns), *rows]) + "\n"

"""Training: Algorithm 1 of arXiv 2508.01173 on the kernel environment, resumable after every episode."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from agents.checkpoint import HISTORY, LOOKS, MANIFEST, WEIGHTS, Model, load_model, save_model
from agents.encoding import Encoder
from agents.ensemble import Ensemble, Learner, Targets
from agents.identity import check_identity, identity_of
from agents.networks import device_of, products_in
from agents.policy import EnsemblePolicy, model_tensors
from agents.replay import Replay
from agents.reporting import EpisodeReport, Losses, Reporter, Silence, checkpoint_score, deterministic
from agents.resume import (
    FOLDER,
    TrainingState,
    discard_state,
    has_state,
    load_state,
    save_state,
)
from agents.settings import AnySettings, Settings
from agents.windows import training_window
from engine.backtest import run_policy
from engine.environment import PortfolioEnv, Reward
from engine.errors import CheckpointError, ConfigError
from engine.observation import feature_table
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms


class Trainer:
    """One training run.

    Parameters
    ----------
    panel : bars of the symbols to trade, with history before the windows where there is any.
    train, validation : windows; the validation window must not begin before the training window ends.
    settings : the ensemble and its training.
    terms : costs and limits, the same in training and validation.
    seed : the only source of randomness.
    out : model folder; the state after each episode lies in ``out/training`` until the model is written.
    """

    def __init__(
        self,
        panel: MarketPanel,
        train: Window,
        validation: Window,
        settings: Settings,
        terms: Terms,
        seed: int,
        out: Path,
    ) -> None:
        train = training_window(panel, train, validation, settings.lookback_bars, settings.batch_size)
        self._panel, self._train, self._validation = panel, train, validation
        self._settings, self._terms, self._seed, self._out = settings, terms, seed, out
        table = feature_table(panel, settings.features, settings.lookback_bars, train.first, train.last)
        self._encoder = Encoder.fit(table)
        self._env = PortfolioEnv(
            panel,
            table,
            train.first,
            train.last,
            terms,
            Reward(settings.volatility_weight, settings.drawdown_weight),
            settings.step_size,
            self._encoder,
        )
        n = panel.n_symbols
        ensemble = Ensemble(settings, self._encoder.size, n, seed).to(device_of(settings.device))
        self._learner = Learner(ensemble, Targets(ensemble), settings)
        self._replay = Replay(settings.replay_size, table, self._encoder)
        self._random = np.random.default_rng(seed)
        self._state = TrainingState()
        self._episodes_saved = 0

    @property
    def episodes_done(self) -> int:
        """Episodes finished, whose state is on disk."""
        return self._episodes_saved

    @property
    def ensemble(self) -> Ensemble:
        """The ensemble being trained."""
        return self._learner.ensemble

    def run(self, resume: bool = False, reporter: Reporter | None = None) -> Model:
        """Train to the end, write the model folder and return the model.

        The state is written before the first episode and after each, so an interrupted run loses at most the
        episode under way and, resumed, gives the same model as one that was not interrupted.

        Raises
        ------
        CheckpointError
            When resuming a training that was started with other data, settings or seed.
        """
        with deterministic(), products_in(self._settings.precision):
            return self._run(resume, reporter or Silence())

    def _run(self, resume: bool, reporter: Reporter) -> Model:
        if resume and not has_state(self._out) and (self._out / MANIFEST).exists():
            return self._finished_model()
        if resume and has_state(self._out):
            load_state(self._out, self._identity(), self._learner, self._replay, self._random, self._state)
            self._episodes_saved = self._state.episode
        else:
            self._save()
        while not self._finished():
            report = self._one_episode(reporter)
            self._state.history.append(asdict(report))
            self._save()
            reporter.episode(report)
        self._write_model()
        return load_model(self._out)

    def _finished_model(self) -> Model:
        model = load_model(self._out)
        check_identity(self._out, model.manifest, self._identity())
        return model

    def _finished(self) -> bool:
        state, settings = self._state, self._settings
        # Patience runs out at a validation only, so that the last episode is always a validated one.
        validated = state.episode > 0 and state.episode % settings.validation_every == 0
        impatient = validated and state.episode - state.best_episode >= settings.patience
        return state.episode >= settings.episodes or impatient

    def _one_episode(self, reporter: Reporter) -> EpisodeReport:
        settings, state = self._settings, self._state
        state.episode += 1
        equity, reward, losses, in_use = self._explore(reporter)
        controller_loss = math.nan
        last = state.episode == settings.episodes
        if settings.controlled and (last or state.episode % settings.controller_every == 0):
            controller_loss = self._train_controller()
        score = math.nan
        if last or state.episode % settings.validation_every == 0:
            score = self._validate()
            if state.best_tensors is None or score > state.best_score:
                state.best_score, state.best_episode = score, state.episode
                state.best_tensors = {k: v.clone() for k, v in model_tensors(self.ensemble, self._encoder).items()}
        return EpisodeReport(state.episode, equity, reward, *losses, controller_loss, in_use, score, state.best_score)

    def _explore(self, reporter: Reporter) -> tuple[float, float, Losses, float]:
        """Run one episode: all agents propose, the controller weights them, the account trades, all learn."""
        env, settings, state = self._env, self._settings, self._state
        policy = EnsemblePolicy(self.ensemble, self._encoder, settings)
        vector, _ = env.reset()
        total = self._train.last - self._train.first
        rewards, entropy, losses = 0.0, 0.0, np.zeros(3)
        updates, last = 0, None
        for done in range(1, total + 1):
            row = env.row
            action = policy.act(torch.from_numpy(vector)[None])
            noise = self._random.normal(0.0, settings.noise, size=action.shape)
            action = np.clip(action + noise, -1.0, 1.0).astype(np.float32)
            following, reward, terminated, _, info = env.step(action)
            self._replay.add(row, vector, action, reward, following, terminated, info["risk_score"])
            vector = following
            rewards += reward
            entropy += policy.entropy
            if len(self._replay) >= settings.batch_size and done % settings.update_every == 0:
                batch = self._replay.sample(settings.n_agents, settings.batch_size, self._random)
                last = self._learner.update(batch)
                losses += last
                updates += 1
                if not np.isfinite(last).all():
                    raise ConfigError(
                        f"training diverged in episode {state.episode}: {last}; lower the learning rates, or look "
                        "for absurd prices in the data"
                    )
            reporter.step(state.episode, done, total, last)
            if terminated:
                break
        means = Losses(*(losses / updates if updates else np.full(3, math.nan)).tolist())
        return env.account.equity / self._terms.cash, rewards / done, means, math.exp(entropy / done)

    def _train_controller(self) -> float:
        """Train the controller on the states visited since it was last trained."""
        settings = self._settings
        recent = settings.controller_every * (self._train.last - self._train.first)
        losses = [
            self._learner.update_controller(self._replay.latest_states(recent, settings.batch_size, self._random))
            for _ in range(settings.controller_updates)
        ]
        return float(np.mean(losses)) if losses else math.nan

    def _validate(self) -> float:
        policy = EnsemblePolicy(self.ensemble, self._encoder, self._settings)
        window = self._validation
        result = run_policy(policy, self._panel, window.first, window.last, self._terms)
        return checkpoint_score(result.metrics())

    def _identity(self) -> dict[str, Any]:
        return identity_of(self._panel, self._train, self._validation, self._settings, self._seed, self._terms)

    def _save(self) -> None:
        save_state(self._out, self._identity(), self._learner, self._replay, self._random, self._state)
        self._episodes_saved = self._state.episode

    def _write_model(self) -> None:
        state = self._state
        assert state.best_tensors is not None
        manifest = {
            "setting": self._settings.name,
            "method": self._settings.method,
            "features": list(self._settings.features),
            "lookback_bars": self._settings.lookback_bars,
            **self._identity(),
            "episodes_trained": state.episode,
            "best_episode": state.best_episode,
            "best_score": state.best_score,
        }
        save_model(self._out, manifest, state.best_tensors, _history_csv(state.history))
        discard_state(self._out)


def check_model_folder(out: Path, resume: bool) -> None:
    """Refuse a folder that a training must not write to; call it before long work.

    Raises
    ------
    CheckpointError
        When ``out`` is a file, holds anything but a model, or holds an unfinished training and ``resume`` is
        not asked for.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise CheckpointError(f"{out} is a file, and a model is a folder: choose another --out")
    # A process killed while it writes leaves a file with the suffix .new; the next write replaces it.
    known = {MANIFEST, WEIGHTS, HISTORY, LOOKS, FOLDER}
    strange = sorted(path.name for path in out.iterdir() if path.name.removesuffix(".new") not in known)
    if strange:
        raise CheckpointError(f"{out} holds {strange[0]!r}, which is no part of a model: choose another --out")
    if has_state(out) and not resume:
        raise CheckpointError(
            f"{out} holds an unfinished training: go on with --resume, or remove {out / FOLDER} to start again"
        )


def use_threads(count: int | None) -> None:
    """Set how many processor cores torch uses; all of them for None."""
    torch.set_num_threads(count or os.cpu_count() or 1)


def with_episodes(settings: AnySettings, episodes: int | None) -> AnySettings:
    """Return the settings with another number of episodes."""
    return settings if episodes is None else replace(cast(Any, settings), episodes=episodes)


def with_update_every(settings: AnySettings, sessions: int | None) -> AnySettings:
    """Return the settings with an update of all networks every so many sessions.

    Raises
    ------
    ConfigError
        When the setting does not count its training in sessions.
    """
    if sessions is None:
        return settings
    if not isinstance(settings, Settings):
        raise ConfigError(f"--update-every is for settings that learn session by session, and {settings.name} does not")
    return replace(settings, update_every=sessions)


def _history_csv(history: list[dict[str, Any]]) -> str:
    if not history:
        return ""
    lines = [",".join(history[0])]
    lines += [",".join("" if value != value else repr(value) for value in row.values()) for row in history]
    return "\n".join(lines) + "\n"

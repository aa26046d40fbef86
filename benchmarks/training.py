"""A training step of the ten-agent ensemble against the authors' way, and against its bare matrix products.

Prints milliseconds and ratios; all ways are run in turns in one process, so that what else the machine does hurts
them alike, and the least time counts:

    .venv/bin/python benchmarks/training.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import replace

import authors
import numpy as np
import torch
from workloads import generated

from agents.encoding import Encoder
from agents.ensemble import Ensemble, Learner, Targets
from agents.networks import follow, products_in
from agents.policy import EnsemblePolicy
from agents.replay import Replay
from agents.settings import Settings
from engine.backtest import run_policy
from engine.environment import PortfolioEnv
from engine.limits import MODEL_LIMITS
from engine.observation import FeatureTable, feature_table
from engine.rebalancer import Terms

SETTINGS = Settings()
N_ASSETS, SESSIONS = 50, 1260
N_INPUTS = 1 + N_ASSETS * (1 + len(SETTINGS.features))
AGENTS, BATCH = SETTINGS.n_agents, SETTINGS.batch_size

LOOP = "the authors' way: agent by agent, risk sample by sample"
DECISION, ENV_STEP = "decision of ten agents and controller", "step of the environment"

Way = Callable[[], object]


def least_ms(ways: dict[str, Way], repeats: int) -> dict[str, float]:
    """Return the least wall-clock milliseconds of each way; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if turn:  # the first is for caches
                times[name].append(time.perf_counter() - start)
    return {name: 1e3 * min(found) for name, found in times.items()}


def filled_replay(seed: int = 0) -> Replay:
    """Return a replay with made-up transitions of five years."""
    random = np.random.default_rng(seed)
    table = FeatureTable(SETTINGS.features, 0, random.standard_normal((SESSIONS, N_ASSETS, len(SETTINGS.features))))
    replay = Replay(SETTINGS.replay_size, table, Encoder.fit(table))
    for row in range(SESSIONS - 1):
        before, after = random.standard_normal((2, N_INPUTS)).astype(np.float32)
        action = random.uniform(-1, 1, N_ASSETS).astype(np.float32)
        replay.add(row, before, action, 0.01 * random.standard_normal(), after, False, random.random())
    return replay


def bare_products() -> Way:
    """Return the matrix products of one step and nothing else: no bias, activation, loss or copy."""
    actor = _layers((N_INPUTS, *SETTINGS.hidden, N_ASSETS))
    critic = _layers((N_INPUTS + N_ASSETS, *SETTINGS.hidden, 1))
    of_action = _layers((N_ASSETS, SETTINGS.hidden[0]))

    def run() -> None:
        for layers in (actor, critic):  # the targets
            _forward(layers)
        for layers in (actor, critic, critic):  # predictions and gradients of their weights
            _forward(layers)
            _weight_gradients(layers)
            _input_gradients(layers[1:])
        for _ in range(2):  # the critics' opinions of what the actors do, and the way back to the actions
            _forward([*of_action, *critic[1:]])
            _input_gradients([*of_action, *critic[1:]])

    return run


Layer = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _layers(sizes: tuple[int, ...]) -> list[Layer]:
    """Return inputs, weights and gradients of outputs for each layer."""
    return [
        (torch.randn(AGENTS, BATCH, i), torch.randn(AGENTS, i, o), torch.randn(AGENTS, BATCH, o))
        for i, o in itertools.pairwise(sizes)
    ]


def _forward(layers: list[Layer]) -> None:
    for x, weight, _ in layers:
        torch.bmm(x, weight)


def _weight_gradients(layers: list[Layer]) -> None:
    for x, _, gradient in layers:
        torch.bmm(x.transpose(1, 2), gradient)


def _input_gradients(layers: list[Layer]) -> None:
    for _, weight, gradient in layers:
        torch.bmm(gradient, weight.transpose(1, 2))


class Step:
    """Our training step, whole and in parts."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        ensemble = Ensemble(settings, N_INPUTS, N_ASSETS, 0)
        self.learner, self.settings = Learner(ensemble, Targets(ensemble), settings), settings
        self._replay, self._random = filled_replay(), np.random.default_rng(0)
        self._batch = self.sample()
        self._parameters = [p for name in ("actor", "critic", "safety") for p in getattr(ensemble, name).parameters()]
        self.whole()

    def sample(self) -> object:
        """Draw a batch."""
        self._batch = self._replay.sample(self.settings.n_agents, self.settings.batch_size, self._random)
        return self._batch

    def gradients(self) -> None:
        """Compute losses and gradients."""
        torch.autograd.grad(torch.stack(self.learner.losses(self._batch)).sum(), self._parameters)

    def optimise(self) -> None:
        """Move the networks and their targets."""
        for name in ("actor", "critic", "safety"):
            self.learner.optimisers[name].step()
        for name in ("actor", "critic"):
            follow(getattr(self.learner.targets, name), getattr(self.learner.ensemble, name), self.settings.tau)

    def whole(self) -> None:
        """Draw a batch and learn from it."""
        with products_in(self.settings.precision):
            self.learner.update(self.sample())


def step_rows(repeats: int, threads: int) -> dict[str, float]:
    """Measure the steps on a number of threads."""
    torch.set_num_threads(threads)
    ours, half, large = Step(), Step(replace(SETTINGS, precision="bf16")), Step(replace(SETTINGS, batch_size=256))
    loop = authors.Loop(SETTINGS, N_INPUTS, N_ASSETS)
    return least_ms(
        {
            LOOP: loop.update,
            "bare matrix products of our step": bare_products(),
            "our step without optimiser": ours.gradients,
            "optimiser and target networks": ours.optimise,
            "drawing the batch": ours.sample,
            "our step": ours.whole,
            "our step, bf16": half.whole,
            "our step, batch of 256": large.whole,
        },
        repeats,
    )


def account_rows(repeats: int) -> dict[str, float]:
    """Measure a decision, an environment step and a validation year, on one thread."""
    torch.set_num_threads(1)
    panel, terms = generated(N_ASSETS, SESSIONS + SETTINGS.lookback_bars).panel, Terms(limits=MODEL_LIMITS)
    first, last = SETTINGS.lookback_bars - 1, SETTINGS.lookback_bars - 1 + SESSIONS
    table = feature_table(panel, SETTINGS.features, SETTINGS.lookback_bars, first, last)
    encoder = Encoder.fit(table)
    env = PortfolioEnv(panel, table, first, last, terms, encode=encoder)
    policy = EnsemblePolicy(Ensemble(SETTINGS, encoder.size, N_ASSETS, 0), encoder, SETTINGS)
    random = np.random.default_rng(0)
    env.reset()

    def env_step() -> None:
        env.step(random.uniform(-1, 1, N_ASSETS).astype(np.float32))

    state = torch.randn(1, N_INPUTS)
    few = {DECISION: lambda: policy.act(state), ENV_STEP: env_step}
    year = {"validation year": lambda: run_policy(policy, panel, first, first + 251, terms)}
    return {**least_ms(few, 20 * repeats), **least_ms(year, 2)}


def rows(repeats: int) -> list[list[str]]:
    """Measure everything; a row has a name, milliseconds on one and on two threads, and how much faster they are."""
    found = [step_rows(repeats, threads) for threads in (1, 2)]
    account = account_rows(repeats)
    loop = min(each[LOOP] for each in found)
    table = [
        [name, *(f"{each[name]:.1f}" for each in found), *(f"{loop / each[name]:.1f}" for each in found)]
        for name in found[0]
    ]
    table += [[name, f"{value:.2f}", "", "", ""] for name, value in account.items()]
    for every in (1, 4, 16):
        session = [each["our step"] / every + account[DECISION] + account[ENV_STEP] for each in found]
        hours = [SETTINGS.episodes * SESSIONS * each / 3.6e6 for each in session]
        name = f"{SETTINGS.episodes} episodes of {SESSIONS:,} sessions, --update-every {every}, hours"
        table.append([name, *(f"{each:.1f}" for each in hours), "", ""])
    return table


HEADER = ("", "ms, 1 thread", "ms, 2 threads", "x faster than the authors' best, 1 thread", "2 threads")
WORDS = (
    "Ten agents, 50 assets, 301 inputs, 256-128-64, batch 64: one update of actors, critics, safety critics and "
    "targets. The authors' way is written anew (benchmarks/authors.py): ten separate agents, each with its own deque "
    "of transitions, and the risk score of each sample in Python. Wall-clock times, the least of many; the last "
    "columns compare with the authors' way on the number of threads that suits it best."
)


def main() -> None:
    """Measure and print a table; with --json, the header, the rows and the words of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=30)
    given = parser.parse_args()
    table = rows(given.repeats)
    if given.json:
        print(json.dumps({"words": WORDS, "header": HEADER, "rows": table}))
        return
    print(WORDS)
    for name, *numbers in [list(HEADER), *table]:
        print(f"{name:60}" + "".join(f"{number[:16]:>18}" for number in numbers))


if __name__ == "__main__":
    main()

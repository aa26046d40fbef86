"""BatchPortfolioEnv is many PortfolioEnvs, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import SEEDS, all_costs, as_raw, random_panel, with_volumes

from agents.encoding import Encoder
from engine.arrays import FloatArray
from engine.backtest import run_weights
from engine.batch_environment import BatchPortfolioEnv
from engine.costs import Costs
from engine.environment import PortfolioEnv, Reward
from engine.errors import ConfigError, InputError
from engine.ledger import FillTiming
from engine.limits import MODEL_LIMITS
from engine.lookahead import changed_after
from engine.observation import feature_table
from engine.panel import MarketPanel, Window
from engine.rebalancer import Terms

FEATURES = ("price", "rsi")
LOOKBACK = 42
FIRST = 45
TERMS = Terms(limits=MODEL_LIMITS)


def make_batch(panel: MarketPanel, size: int = 2, terms: Terms = TERMS, **changes: Any) -> BatchPortfolioEnv:
    window = Window(FIRST, len(panel) - 1)
    return BatchPortfolioEnv(panel, feature_table(panel, FEATURES, LOOKBACK, *window), window, terms, size, **changes)


def single(panel: MarketPanel, first: int, terms: Terms = TERMS, **changes: Any) -> PortfolioEnv:
    last = len(panel) - 1
    return PortfolioEnv(panel, feature_table(panel, FEATURES, LOOKBACK, first, last), first, last, terms, **changes)


def draw_actions(random: np.random.Generator, size: int, n: int) -> FloatArray:
    actions = random.uniform(-1.0, 1.5, (size, n))  # beyond the range, and 0 for keep
    actions[random.random((size, n)) < 0.1] = 0.0
    return actions.astype(np.float32)


@settings(max_examples=30)
@given(
    seed=SEEDS,
    costs=all_costs(),
    timing=st.sampled_from(FillTiming),
    fractional=st.booleans(),
    raw=st.booleans(),
    scaled=st.booleans(),
)
def test_every_step_is_that_of_an_environment_alone(
    seed: int, costs: Costs, timing: FillTiming, fractional: bool, raw: bool, scaled: bool
) -> None:
    panel = with_volumes(random_panel(seed, 64, 3, holes=0.05), seed)
    panel = as_raw(panel, seed) if raw else panel
    terms = Terms(100_000.0, costs, MODEL_LIMITS, timing, fractional)
    reward = Reward(0.3, 1.7) if scaled else Reward()
    encoder = Encoder.fit(feature_table(panel, FEATURES, LOOKBACK, FIRST, 60))
    ours: dict[str, Any] = {"encode": encoder.features, "weight_scale": 3.0} if scaled else {}
    theirs: dict[str, Any] = {"encode": encoder} if scaled else {}
    starts = [FIRST, 52, 62]
    batch = make_batch(panel, 3, terms, starts=starts, reward=reward, step_size=0.1, threads=2, **ours)
    envs = [single(panel, start, terms, reward=reward, step_size=0.1, **theirs) for start in starts]
    random = np.random.default_rng(seed)
    observation, _ = batch.reset()
    np.testing.assert_array_equal(observation, [env.reset()[0] for env in envs])
    for _ in range(40):  # every one of them starts again at least once
        actions = draw_actions(random, 3, 3)
        observation, rewards, terminated, truncated, infos = batch.step(actions)
        for b, env in enumerate(envs):
            last, reward_b, terminated_b, truncated_b, info = env.step(actions[b])
            assert rewards[b] == reward_b
            assert infos["risk_score"][b] == info["risk_score"]
            assert (terminated[b], truncated[b]) == (terminated_b, truncated_b)
            if terminated_b or truncated_b:
                np.testing.assert_array_equal(infos["final_obs"][b], last)
                envs[b] = single(panel, FIRST, terms, reward=reward, step_size=0.1, **theirs)
                last, _ = envs[b].reset()
            np.testing.assert_array_equal(observation[b], last)
            assert batch.equity[b] == envs[b].account.equity
            assert batch.rows[b] == envs[b].row
    batch.close()


def test_the_equity_is_that_of_the_compiled_backtest_of_the_same_targets() -> None:
    panel = random_panel(8, 60, 3, holes=0.0)
    batch, env = make_batch(panel, 2), single(panel, FIRST)
    batch.reset()
    random, equity = np.random.default_rng(0), [TERMS.cash]
    for _ in range(len(panel) - 2 - FIRST):
        actions = draw_actions(random, 2, 3)
        batch.step(actions)
        env.step(actions[1])
        equity.append(batch.equity[1])
    weights = np.full(panel.close.shape, np.nan)
    weights[FIRST:] = env.account.result().target_weight
    result = run_weights(weights, panel, FIRST, len(panel) - 2, TERMS)
    assert result.equity.tolist() == equity


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    panel = random_panel(3, 60, 3)
    seen = []
    for threads in (1, 2, 7):
        batch, random = make_batch(panel, 5, threads=threads), np.random.default_rng(1)
        batch.reset()
        seen.append([batch.step(draw_actions(random, 5, 3))[:2] for _ in range(20)])
        batch.close()
    for other in seen[1:]:
        for (observation, reward), (observation_1, reward_1) in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(observation, observation_1)
            np.testing.assert_array_equal(reward, reward_1)


@pytest.mark.parametrize("how", ["multiply", "shuffle"])
def test_what_is_seen_until_a_close_does_not_depend_on_later_bars(how: str) -> None:
    panel, row = random_panel(7, 64, 3, holes=0.05), 54
    batches = [make_batch(bars, 2, starts=[FIRST, 50]) for bars in (panel, changed_after(panel, row, how, 1))]
    first = [batch.reset()[0] for batch in batches]
    np.testing.assert_array_equal(*first)
    random = np.random.default_rng(0)
    for _ in range(row - 50):
        actions = draw_actions(random, 2, 3)
        one, other = (batch.step(actions) for batch in batches)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
        np.testing.assert_array_equal(one[4]["risk_score"], other[4]["risk_score"])


def test_it_says_how_it_starts_again_and_what_it_takes_and_gives() -> None:
    batch = make_batch(random_panel(3, 60, 3), 2)
    assert batch.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observation, infos = batch.reset(seed=1)
    assert infos == {}
    assert batch.observation_space.contains(observation)
    assert batch.action_space.shape == (2, 3)
    observation, rewards, *_, infos = batch.step(batch.action_space.sample())
    assert batch.observation_space.contains(observation)
    assert rewards.shape == (2,)
    assert "final_obs" not in infos


def test_observations_of_earlier_steps_stay_as_they_were() -> None:
    batch = make_batch(random_panel(3, 60, 3), 2)
    first, _ = batch.reset()
    kept = first.copy()
    batch.step(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terms": Terms()}, "need limits"),
        ({"size": 0}, "size and threads must be at least 1, were 0 and 1"),
        ({"threads": 0}, "must be at least 1"),
        ({"starts": [FIRST, 59]}, "starts must be 2 rows from 45 to 58"),
        ({"starts": [FIRST]}, "starts must be 2 rows"),
        ({"starts": [FIRST - 1, FIRST]}, "starts must be 2 rows"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_batch(random_panel(3, 60, 3), **changes)


def test_a_window_of_one_session_is_refused() -> None:
    panel = random_panel(3, 60, 3)
    table = feature_table(panel, FEATURES, LOOKBACK, 45, 45)
    with pytest.raises(ConfigError, match="at least two sessions"):
        BatchPortfolioEnv(panel, table, Window(45, 45), TERMS, 1)
    with pytest.raises(InputError, match="features cover rows 45 to 45, not 50"):
        BatchPortfolioEnv(panel, table, Window(45, 50), TERMS, 1)


def test_steps_that_make_no_sense_are_refused() -> None:
    batch = make_batch(random_panel(3, 60, 3), 2)
    actions = np.ones((2, 3), np.float32)
    with pytest.raises(InputError, match="call reset first"):
        batch.step(actions)
    batch.reset()
    with pytest.raises(InputError, match=r"must have the shape \(2, 3\), had \(3,\)"):
        batch.step(actions[0])
    actions[1, 1] = np.nan
    with pytest.raises(InputError, match="must be finite"):
        batch.step(actions)

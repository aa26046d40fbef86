"""PortfolioEnv is a gymnasium environment whose account is a backtest's, and whose reward is the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import SEEDS, assert_same_run, market, panel_of, random_panel, run_strategy

from engine.arrays import Float32Array
from engine.costs import Costs
from engine.environment import STEP_SIZE, PortfolioEnv, Reward, action_weights
from engine.errors import ConfigError, InputError
from engine.ledger import FillTiming
from engine.limits import MODEL_LIMITS, Limits
from engine.lookahead import changed_after
from engine.metrics import max_drawdown, simple_returns, volatility
from engine.observation import Observation, feature_table
from engine.panel import MarketPanel
from engine.policy import Decision, StatelessPolicy
from engine.rebalancer import Terms
from engine.risk import risk_score, trailing_returns

FEATURES = ("price", "rsi")
LOOKBACK = 42


def make_env(
    panel: MarketPanel,
    terms: Terms | None = None,
    first: int = 0,
    last: int | None = None,
    names: tuple[str, ...] = (),
    reward: Reward | None = None,
    step_size: float = STEP_SIZE,
) -> PortfolioEnv:
    last = len(panel) - 1 if last is None else last
    features = feature_table(panel, names, LOOKBACK, first, last)
    return PortfolioEnv(
        panel, features, first, last, terms or Terms(limits=MODEL_LIMITS), reward or Reward(), step_size
    )


class Replay(StatelessPolicy):
    """The policy that does what was done in an environment."""

    lookback_bars = LOOKBACK

    def __init__(self, actions: list[Float32Array], names: tuple[str, ...]) -> None:
        self.features = names
        self._actions = iter(actions)

    def decide(self, observation: Observation) -> Decision | None:
        action = next(self._actions, None)
        return None if action is None else Decision(action_weights(observation, action.astype(float), STEP_SIZE))


def random_actions(seed: int, n_steps: int, n: int) -> list[Float32Array]:
    return list(np.random.default_rng(seed).uniform(-0.5, 1, (n_steps, n)).astype(np.float32))


# Unbounded observations are meant: an account's features have no natural bounds.
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.* value is.*infinity")
def test_gymnasium_finds_nothing_wrong() -> None:
    panel = random_panel(3, 60, 3, holes=0.0)
    check_env(make_env(panel, first=45, names=FEATURES), skip_render_check=True)


def test_the_observation_is_cash_weights_and_features() -> None:
    panel = random_panel(3, 60, 3, holes=0.0)
    env = make_env(panel, first=45, names=FEATURES)
    observation, info = env.reset(seed=1)
    assert info == {}
    assert observation.shape == (1 + 3 + 3 * 2,)
    assert observation[:4].tolist() == [1, 0, 0, 0]
    features = feature_table(panel, FEATURES, LOOKBACK, 45, 45).values.ravel()
    np.testing.assert_array_equal(observation[4:], features.astype(np.float32))
    observation, *_ = env.step(np.ones(3, np.float32))
    held = env.account.quantity * panel.close[46] / env.account.equity
    np.testing.assert_array_equal(observation[1:4], held.astype(np.float32))
    assert observation[:4].sum() == pytest.approx(1, abs=1e-6)


@settings(max_examples=25)
@given(seed=SEEDS, timing=st.sampled_from(FillTiming), fractional=st.booleans(), holes=st.sampled_from([0.0, 0.1]))
def test_the_account_is_that_of_a_backtest_of_the_same_actions(
    seed: int, timing: FillTiming, fractional: bool, holes: float
) -> None:
    panel = random_panel(seed, 15, 3, holes)
    terms = Terms(limits=MODEL_LIMITS, timing=timing, fractional=fractional, costs=Costs(10, 5))
    env = make_env(panel, terms)
    actions = random_actions(seed, len(panel) - 1, 3)
    equities = [env.account.equity]
    for action in actions:
        env.step(action)
        equities.append(env.account.equity)
    for engine in ("policy", "cerebro"):
        result = run_strategy(engine, Replay(actions, ()), panel, terms)
        assert result.equity.tolist() == equities
        assert_same_run(result, env.account.result())


def test_the_account_is_that_of_a_backtest_when_there_are_features_and_a_warm_up() -> None:
    panel = random_panel(8, 60, 3, holes=0.03)
    terms = Terms(limits=MODEL_LIMITS)
    env = make_env(panel, terms, first=45, names=FEATURES)
    actions = random_actions(0, 14, 3)
    for action in actions:
        env.step(action)
    result = run_strategy("policy", Replay(actions, FEATURES), panel, terms, first=45)
    assert len(result.trades) > 5
    assert_same_run(result, env.account.result())


def test_the_reward_is_the_return_after_costs_less_volatility_and_drawdown() -> None:
    panel = market("A B", "100 50", "101 49", "102/104 50/47", "103 48", "90 50", "95 50")
    env = make_env(panel, Terms(limits=Limits(), costs=Costs(10, 0)), reward=Reward(0.5, 2.0), step_size=0.5)
    equity = [1_000_000.0]
    for action in ([1, 1], [0, -1], [-0.5, 0.5], [0, 0], [1, 1]):
        _, reward, *_ = env.step(np.array(action, np.float32))
        equity.append(env.account.equity)
        curve = np.array(equity)
        sigma = volatility(simple_returns(curve)[-30:])
        penalty = 2.0 * max_drawdown(curve[-31:]) + 0.5 * (0.0 if math.isnan(sigma) else sigma)
        costs = env.account.result().trades.fills["commission"]
        rows = env.account.result().trades.fills["row"]
        cost = costs[rows == len(equity) - 1].sum()
        before_costs = (curve[-1] + cost - curve[-2]) / curve[-2]
        # The formula subtracts costs from a return before costs; the order of these two differs.
        assert reward == pytest.approx(before_costs - cost / curve[-2] - penalty, abs=1e-12)


def test_the_reward_in_numbers() -> None:
    env = make_env(market("A", "100", "100/110", "99"), Terms(limits=Limits(), costs=Costs(0)), step_size=0.5)
    # 5,000 shares at 100, then 10 % up: 5 % of the equity; one return has no deviation and no fall.
    _, reward, *_ = env.step(np.array([1.0], np.float32))
    assert reward == pytest.approx(0.05)
    # 1,050,000 falls by 5,000 * 11: r = -0.0524 = the drawdown; deviation of (0.05, r) is their gap over sqrt 2.
    _, reward, *_ = env.step(np.array([0.0], np.float32))
    r = -55_000 / 1_050_000
    assert reward == pytest.approx(r - 0.5 * (0.05 - r) / math.sqrt(2) + 2.0 * r)


def test_costs_count_once_in_the_reward() -> None:
    panel = panel_of(np.full((3, 1), 100.0))
    env = make_env(panel, Terms(limits=Limits(), costs=Costs(10)), reward=Reward(0, 0), step_size=0.5)
    _, reward, *_ = env.step(np.array([1.0], np.float32))
    # 5,000 shares at 100 and prices that do not move: all that happens is 10 bp of half the equity.
    assert reward == pytest.approx(-0.0005, rel=1e-9)
    _, reward, *_ = env.step(np.array([0.0], np.float32))
    assert abs(reward) < 2e-7 + 1e-9  # the share that a cost of 0.05 % takes off the target, and its 10 bp


def test_an_action_moves_each_weight_by_at_most_the_step() -> None:
    panel = panel_of(np.full((4, 2), 10.0))
    env = make_env(panel, Terms(limits=Limits(), costs=Costs(0)))
    env.step(np.array([1.0, 0.5], np.float32))
    result = env.account.result()
    np.testing.assert_allclose(result.target_weight[0], [STEP_SIZE, STEP_SIZE / 2])
    env.step(np.array([-1.0, 1.0], np.float32))
    np.testing.assert_allclose(env.account.result().target_weight[1], [0, STEP_SIZE * 1.5], atol=1e-7)


def test_symbols_without_enough_history_keep_their_shares() -> None:
    panel = random_panel(4, 50, 2, holes=0.0)
    close = panel.close.copy()
    close[:20, 1] = np.nan
    env = make_env(panel_of(close), first=45, names=FEATURES)
    env.step(np.ones(2, np.float32))
    target = env.account.result().target_weight[0]
    assert target[0] == pytest.approx(STEP_SIZE)
    assert np.isnan(target[1])


def test_an_episode_is_the_window_and_ends_truncated() -> None:
    env = make_env(random_panel(2, 20, 2, holes=0.0), first=5, last=9)
    env.reset()
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(4)]
    assert ends == [(False, False), (False, False), (False, False), (False, True)]
    assert env.row == 9


def test_a_step_after_the_end_is_refused() -> None:
    env = make_env(random_panel(2, 20, 2, holes=0.0), first=5, last=6)
    env.step(np.zeros(2, np.float32))
    with pytest.raises(InputError, match="call reset"):
        env.step(np.zeros(2, np.float32))


def test_a_window_of_one_session_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least two sessions, the window has 1"):
        make_env(random_panel(2, 20, 2), first=5, last=5)


def test_the_same_actions_give_the_same_episode_again_after_a_reset() -> None:
    env = make_env(random_panel(6, 30, 3, holes=0.05))
    actions = random_actions(1, 29, 3)

    def episode() -> list[tuple[object, ...]]:
        start, _ = env.reset(seed=4)
        steps = [env.step(action) for action in actions]
        return [(start.tobytes(),), *((obs.tobytes(), reward, info["risk_score"]) for obs, reward, _, _, info in steps)]

    assert episode() == episode()


@pytest.mark.parametrize(
    ("weights", "returns", "expected"),
    [
        # All cash.
        ([0.0, 0.0], [[0.01, 0.02], [0.03, -0.01]], 0.0),
        # One symbol with all of the equity and no past: concentration and leverage alone.
        ([1.0], [[0.01]], 0.3 + 0.3),
        # Half in each of two: concentration 0.5.
        ([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], 0.3 * 0.5 + 0.3),
        # NaN counts as nothing.
        ([0.5, math.nan], [[0.0, 0.0], [0.0, 0.0]], 0.3 * 0.25 + 0.3 * 0.5),
        # Returns of +1 % and -1 %: deviation 0.01 * sqrt 2, times sqrt 252 is 0.2245; over 0.40 it is 0.5612.
        ([1.0], [[0.01], [-0.01]], 0.4 * 0.01 * math.sqrt(2 * 252) / 0.40 + 0.6),
        # Beyond the scale all three are 1.
        ([2.0], [[0.5], [-0.5]], 1.0),
        # Opposite moves cancel: a portfolio's volatility, not its symbols'.
        ([0.5, 0.5], [[0.1, -0.1], [-0.1, 0.1]], 0.15 + 0.3),
    ],
)
def test_risk_scores_by_hand(weights: list[float], returns: list[list[float]], expected: float) -> None:
    assert risk_score(np.array(weights), np.array(returns)) == pytest.approx(expected, abs=1e-12)


@given(seed=SEEDS, scale=st.floats(0, 10), n=st.integers(1, 6), m=st.integers(0, 40))
def test_the_risk_score_is_between_zero_and_one(seed: int, scale: float, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, scale, n)
    weights[rng.random(n) < 0.1] = np.nan
    assert 0 <= risk_score(weights, rng.normal(0, scale, (m, n))) <= 1


def test_trailing_returns_by_hand() -> None:
    panel = market("A B", "10 20", "11 -", "11 22", "22 11")
    expected = [[0, 0], [0.1, 0], [0, 0], [1.0, -0.5]]
    np.testing.assert_allclose(trailing_returns(panel), expected, atol=1e-12)


@pytest.mark.parametrize("how", ["multiply", "shuffle", "thin"])
def test_the_risk_score_of_a_step_and_its_observation_do_not_depend_on_later_bars(how: str) -> None:
    panel = random_panel(11, 25, 3, holes=0.0)
    actions = random_actions(3, 24, 3)
    for row in (3, 12, 20):
        one, other = make_env(panel), make_env(changed_after(panel, row, how, 0))
        for action in actions[:row]:
            seen, again = one.step(action), other.step(action)
            assert seen[0].tobytes() == again[0].tobytes()
            assert seen[1] == again[1]
            assert seen[4] == again[4]
        # The score of the decision at the close of `row` is known before the bars that follow.
        assert one.step(actions[row])[4] == other.step(actions[row])[4]


def test_the_risk_score_counts_what_is_kept() -> None:
    panel = panel_of(np.array([[10.0, 10.0], [10.0, 10.0], [10.0, np.nan], [10.0, 10.0]]))
    env = make_env(panel, Terms(limits=Limits(), costs=Costs(0)), step_size=0.5)
    env.step(np.array([1.0, 1.0], np.float32))
    env.step(np.zeros(2, np.float32))
    # B has no bar and stays at 0.5; A is sold.
    *_, info = env.step(np.array([-1.0, -1.0], np.float32))
    assert info["risk_score"] == pytest.approx(0.3 * 0.25 + 0.3 * 0.5)


def test_unknown_features_are_zero_in_the_flat_observation() -> None:
    panel = random_panel(1, 10, 2, holes=0.0)
    env = make_env(panel, names=FEATURES)
    observation, _ = env.reset()
    assert observation.tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_features_of_other_sessions_are_refused_not_taken_from_the_end_of_the_table() -> None:
    panel = random_panel(3, 60, 3, holes=0.0)
    features = feature_table(panel, FEATURES, LOOKBACK, 50, 59)
    for row in (49, 60):
        with pytest.raises(InputError, match=f"features cover rows 50 to 59, not {row}"):
            features.at(row)
    with pytest.raises(InputError, match="features cover rows 50 to 59, not 45"):
        PortfolioEnv(panel, features, 45, 59, Terms(limits=MODEL_LIMITS))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_action_that_is_not_finite_is_refused(value: float) -> None:
    env = make_env(random_panel(3, 20, 3, holes=0.0))
    env.reset()
    with pytest.raises(InputError, match="an action must be finite"):
        env.step(np.array([0.1, value, 0.1], np.float32))


def test_an_action_of_zero_keeps_the_shares_and_one_out_of_range_is_clipped() -> None:
    panel = random_panel(3, 40, 3, holes=0.0)
    env = make_env(panel)
    env.reset()
    env.step(np.full(3, 5.0, np.float32))
    env.step(np.zeros(3, np.float32))
    held = env.account.quantity.copy()
    assert (held > 0).all()
    assert (held * env.account.mark / 1e6 < 1.5 * STEP_SIZE).all()
    for _ in range(30):
        env.step(np.zeros(3, np.float32))
    assert env.account.quantity.tolist() == held.tolist()

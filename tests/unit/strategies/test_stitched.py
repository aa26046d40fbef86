"""StitchedPolicy: each policy in its own turn, one account, one state."""

from __future__ import annotations

import numpy as np
import pytest
from panels import ENGINES, market, run_strategy

from engine.errors import InputError
from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy
from engine.rebalancer import Terms
from strategies.baselines import BuyAndHold, EqualWeight
from strategies.stitched import StitchedPolicy

PANEL = market("A B", *["10 10"] * 6)


class Only(StatelessPolicy):
    """Puts everything into one symbol."""

    def __init__(self, column: int) -> None:
        self.column = column
        self.asked: list[np.datetime64] = []

    def decide(self, observation: Observation) -> Decision | None:
        self.asked.append(observation.session)
        weights = np.zeros(2)
        weights[self.column] = 1.0
        return Decision(weights)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_each_policy_decides_from_its_own_session_on_and_the_account_goes_on(engine: str) -> None:
    first, second = Only(0), Only(1)
    starts = PANEL.sessions[[1, 3]]
    result = run_strategy(engine, StitchedPolicy(starts, [first, second]), PANEL, Terms(cash=1000.0))
    assert first.asked == list(PANEL.sessions[1:3])
    assert second.asked == list(PANEL.sessions[3:6])
    assert result.decided.tolist() == [False, True, True, True, True, True]
    assert result.trades.table()[["session", "symbol", "side"]].to_numpy().tolist() == [
        [str(PANEL.sessions[2]), "A", "buy"],
        [str(PANEL.sessions[4]), "A", "sell"],
        [str(PANEL.sessions[4]), "B", "buy"],
    ]


def test_the_state_of_every_policy_is_carried_on() -> None:
    starts = PANEL.sessions[[0, 3]]
    policy = StitchedPolicy(starts, [BuyAndHold(), BuyAndHold()])
    run_strategy("policy", policy, PANEL, Terms(), last=2)
    again = StitchedPolicy(starts, [BuyAndHold(), BuyAndHold()])
    again.restore(policy.state())
    assert again.state() == {"policies": [{"bought": True}, {"bought": False}]}
    assert run_strategy("policy", again, PANEL, Terms(), last=2).decided.sum() == 0


def test_starts_that_do_not_fit_are_refused() -> None:
    for starts, policies in (
        (PANEL.sessions[[1, 1]], [EqualWeight(), EqualWeight()]),
        (PANEL.sessions[[1]], [EqualWeight(), EqualWeight()]),
        (PANEL.sessions[:0], []),
    ):
        with pytest.raises(InputError, match="need as many increasing starts"):
            StitchedPolicy(starts, policies)


def test_policies_with_other_features_do_not_fit_together() -> None:
    other = EqualWeight()
    other.features = ("rsi",)
    with pytest.raises(InputError, match="must read the same features"):
        StitchedPolicy(PANEL.sessions[[0, 1]], [EqualWeight(), other])

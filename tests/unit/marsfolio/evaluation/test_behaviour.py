from __future__ import annotations

import math

import numpy as np
import pytest

from marsfolio.evaluation.behaviour import controller_metrics, dial_metrics, halves

NAN = math.nan


def test_halves_are_summed_and_kept_between_decisions() -> None:
    cautious, bold = halves(np.array([[NAN] * 3, [0.5, 0.2, 0.3], [NAN] * 3, [0.1, 0.2, 0.7]]))
    assert cautious.tolist()[1:] == [0.5, 0.5, 0.1]
    assert bold.tolist()[1:] == [0.3, 0.3, 0.7]
    assert math.isnan(cautious[0])


def test_a_controller_that_swings_between_two_agents() -> None:
    found = controller_metrics(np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]))
    assert found["cautious_weight"] == pytest.approx(0.5)
    assert found["cautious_volatility"] == pytest.approx(np.std([0.9, 0.1, 0.9, 0.1], ddof=1))
    assert found["halves_correlation"] == pytest.approx(-1.0)
    assert found["pairs_correlation"] == pytest.approx(-1.0)
    assert found["agents_in_use"] == pytest.approx(math.exp(-0.9 * math.log(0.9) - 0.1 * math.log(0.1)))


def test_single_agents_of_different_halves_may_rise_together() -> None:
    rise = np.array([0.1, 0.2, 0.3])
    found = controller_metrics(np.column_stack([rise, 0.5 - rise, 0.5 - rise, rise]))
    assert found["pairs_correlation"] == pytest.approx(0.0)


def test_uniform_weights_use_all_agents_and_go_with_nothing() -> None:
    found = controller_metrics(np.full((5, 4), 0.25))
    assert found["agents_in_use"] == pytest.approx(4.0)
    assert math.isnan(found["halves_correlation"])
    assert controller_metrics(np.empty((5, 0))) == {}


def test_a_dial_is_perfect_when_risk_rises_from_agent_to_agent() -> None:
    found = dial_metrics([0.1, 0.2, 0.3], [0.1, 0.3, 0.2])
    assert found["dial_volatility"] == pytest.approx(1.0)
    assert found["dial_volatility_monotone"] == 1.0
    assert found["dial_drawdown"] == pytest.approx(0.5)
    assert found["dial_drawdown_monotone"] == 0.0
    assert dial_metrics([0.1], [0.1]) == {}

"""Price lists: what they accept, and what they charge, in numbers that can be checked by hand."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np
import pytest
import tomli_w

from engine.costs import PRESETS, Costs, Tier, commission, executed_price, interest, preset
from engine.errors import ConfigError

UNCHARGED = Costs(commission_bps=0.0)


def fee(costs: Costs, quantity: float, price: float, traded: float = 0.0) -> float:
    return commission(quantity, price, traded, costs.rates)


def cost(**values: Any) -> Costs:
    return Costs(**{"commission_bps": 0.0, **values})


@pytest.mark.parametrize(
    ("costs", "quantity", "price", "expected"),
    [
        (Costs(), 100, 50.0, 5.0),  # 10 bp of 5,000
        (cost(commission_per_share=0.005), 1000, 20.0, 5.0),
        (cost(commission_bps=10, commission_per_share=0.005), 1000, 20.0, 25.0),
        (cost(commission_per_share=0.005, commission_minimum=1.0), 100, 20.0, 1.0),  # 0.50 is below
        (cost(commission_per_share=0.005, commission_minimum=1.0), 300, 20.0, 1.5),
        (cost(commission_per_share=0.005, commission_maximum_bps=100), 1000, 0.25, 2.5),  # 5.00 is above 1 % of 250
        (cost(commission_minimum=1.0, commission_maximum_bps=100), 10, 5.0, 0.5),  # the maximum wins
        (cost(sell_fee_bps=0.278), 100, 50.0, 0.0),
        (cost(sell_fee_bps=2), -100, 50.0, 1.0),
        (cost(sell_fee_per_share=0.01), -100, 50.0, 1.0),
        (cost(commission_minimum=1.0, commission_maximum_bps=1, sell_fee_bps=2), -100, 50.0, 1.5),  # beside the bounds
        (UNCHARGED, -100, 50.0, 0.0),
    ],
)
def test_commission_in_numbers(costs: Costs, quantity: float, price: float, expected: float) -> None:
    assert fee(costs, quantity, price) == pytest.approx(expected, rel=1e-12)


TIERED = cost(
    commission_bps=10,
    commission_tiers=(Tier(10_000, bps=5), Tier(50_000, bps=1, per_share=0.01)),
    tier_unit="notional",
)


@pytest.mark.parametrize(
    ("traded", "expected"),
    [
        (0, 10 + 20 + 0.5 + 0.5),  # 10,000 at 10 bp, 40,000 at 5 bp, 5,000 = 50 shares at 1 bp and a cent
        (10_000, 20 + 1.5 + 1.5),
        (40_000, 5 + 4.5 + 4.5),
        (50_000, 5.5 + 5.5),
        (1e9, 5.5 + 5.5),
    ],
)
def test_each_part_of_an_order_is_charged_by_its_own_tier(traded: float, expected: float) -> None:
    assert fee(TIERED, 550, 100.0, traded) == pytest.approx(expected, rel=1e-9)


def test_the_minimum_holds_for_a_tiered_order_too() -> None:
    costs = cost(commission_per_share=0.01, commission_tiers=(Tier(100, per_share=0.001),), commission_minimum=0.35)
    assert fee(costs, 50, 10.0) == pytest.approx(0.5)
    assert fee(costs, 50, 10.0, 100) == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("costs", "quantity", "expected"),
    [
        (cost(slippage_bps=50), 10, 100.5),
        (cost(slippage_bps=50), -10, 99.5),
        (cost(half_spread=0.02), 10, 100.02),
        (cost(half_spread=0.02), -10, 99.98),
        (cost(impact=1.0), 10, 100.2),  # 1 * 2 % * sqrt(10 / 1000) = 0.2 %
        (cost(impact=0.5), -10, 99.9),
        (cost(slippage_bps=50, half_spread=0.02, impact=1.0), 10, 100.72),
        (cost(half_spread=80.0), 10, 150.0),  # never worse than by half
        (cost(half_spread=80.0), -10, 50.0),
        (UNCHARGED, 10, 100.0),
    ],
)
def test_the_executed_price_in_numbers(costs: Costs, quantity: float, expected: float) -> None:
    assert executed_price(100.0, quantity, 0.02, 1000.0, costs.rates) == pytest.approx(expected, rel=1e-12)


def test_interest_over_a_weekend() -> None:
    rates = cost(cash_rate=0.036, margin_rate=0.072).rates
    assert interest(100_000.0, 3.0, rates) == pytest.approx(30.0)
    assert interest(-100_000.0, 3.0, rates) == pytest.approx(-60.0)
    assert interest(0.0, 3.0, rates) == 0.0


def test_the_tiered_list_of_interactive_brokers_by_hand() -> None:
    # 100,000 shares traded this month: 200,000 more at 0.0035 up to 300,000, and 300,000 at 0.0020 beyond.
    costs = preset("ibkr-tiered")
    assert fee(costs, 500_000, 40.0, 100_000) == pytest.approx(200_000 * 0.0035 + 300_000 * 0.0020)  # 1,300
    # A sale pays the Section 31 fee on 20 million, and the trading activity fee a share.
    expected = 1300 + 20_000_000 * 0.0000278 + 500_000 * 0.000166  # 1300 + 556 + 83
    assert fee(costs, -500_000, 40.0, 100_000) == pytest.approx(expected)
    assert fee(costs, 10, 40.0) == pytest.approx(0.35)
    assert fee(costs, 10, 2.0) == pytest.approx(0.20)  # 1 % of 20
    assert fee(costs, 1000, 40.0, 200_000_000) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "quantity", "expected"),
    [
        ("zero", -100, 0.0),
        ("mars", 100, 4.0),  # 10 bp of 4,000
        ("alpaca", 100, 0.0),
        ("alpaca", -100, 4000 * 0.0000278 + 0.0166),
        ("ibkr-fixed", 100, 1.0),
        ("ibkr-fixed", 1000, 5.0),
    ],
)
def test_the_other_presets_in_numbers(name: str, quantity: float, expected: float) -> None:
    assert fee(preset(name), quantity, 40.0) == pytest.approx(expected)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown costs 'ibkr-tierd', did you mean 'ibkr-tiered'\?*: there are zero"):
        preset("ibkr-tierd")


@pytest.mark.parametrize("costs", [*PRESETS.values(), TIERED, Costs()])
def test_the_table_of_a_price_list_reads_back_from_toml(costs: Costs) -> None:
    assert Costs.from_table(tomllib.loads(tomli_w.dumps(costs.table()))) == costs


def test_what_a_table_leaves_out_costs_nothing() -> None:
    assert Costs.from_table({"half_spread": 0.01}) == cost(half_spread=0.01)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"commission_per_share": -0.01}, "commission_per_share must be at least 0 and finite, was -0.01"),
        ({"commission_minimum": math.nan}, "commission_minimum must be at least 0 and finite, was nan"),
        ({"commission_maximum_bps": 10_000}, "commission_maximum_bps must be at least 0 and below 10000 basis points"),
        ({"half_spread": math.inf}, "half_spread must be at least 0 and finite, was inf"),
        ({"impact": "much"}, "impact must be a number, was 'much'"),
        ({"impact": True}, "impact must be a number, was True"),
        ({"participation_cap": 0.0}, "participation_cap must be above 0 and at most 1, was 0.0"),
        ({"participation_cap": 1.1}, "participation_cap must be above 0 and at most 1, was 1.1"),
        ({"cash_rate": 5}, r"cash_rate must be at least 0 and below 1 \(a fraction a year\), was 5"),
        ({"margin_rate": -0.1}, "margin_rate must be at least 0 and below 1"),
        ({"tier_unit": "dollars"}, "tier_unit must be shares or notional, was 'dollars'"),
        ({"commission_tiers": (Tier(0.0),)}, r"commission_tiers must begin above 0 and rise, .*were \[0.0\]"),
        ({"commission_tiers": (Tier(5.0), Tier(5.0))}, r"commission_tiers must begin above 0 and rise"),
        ({"commission_tiers": (Tier(math.nan),)}, "commission_tiers above must be at least 0 and finite, was nan"),
        ({"commission_tiers": (Tier("x"),)}, "commission_tiers above must be a number, was 'x'"),
        ({"commission_tiers": (Tier(5.0, bps=-1),)}, "commission_tiers bps must be at least 0 and below 10000"),
        ({"commission_tiers": (Tier(5.0, per_share=-1),)}, "commission_tiers per_share must be at least 0 and finite"),
        ({"commission_bps": None}, "commission_bps must be a number, was None"),
        ({"impact": (1.0,)}, r"impact must be a number, was \(1.0,\)"),
    ],
)
def test_a_value_out_of_range_is_refused(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        cost(**values)


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ({"comission_bps": 1}, "costs: unknown key 'comission_bps', did you mean 'commission_bps'"),
        ({"impact": -1}, "costs: impact must be at least 0"),
        ({"commission_tiers": 5}, "costs: commission_tiers must be a list of tables, was 5"),
        ({"commission_tiers": [{"bps": 5}]}, "costs: each of commission_tiers must be a table with above and bps"),
        ({"commission_tiers": [{"above": 5, "fee": 1}]}, "costs: each of commission_tiers must be a table with above"),
        ({"commission_tiers": [7]}, "costs: each of commission_tiers must be a table with above"),
        ({"commission_tiers": [{"above": "5"}]}, "costs: commission_tiers above must be a number, was '5'"),
    ],
)
def test_a_wrong_table_is_refused(table: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        Costs.from_table(table)


def test_only_impact_and_the_cap_read_volumes() -> None:
    assert not any(costs.rates.needs_volume for costs in PRESETS.values())
    assert cost(impact=0.1).rates.needs_volume
    assert cost(participation_cap=1.0).rates.needs_volume


def test_the_rates_of_plain_costs_are_fractions_without_tiers() -> None:
    rates = Costs(10, 5).rates
    assert rates.n_tiers == 0
    np.testing.assert_allclose([rates.commission, rates.slippage], [1e-3, 5e-4], rtol=1e-15)

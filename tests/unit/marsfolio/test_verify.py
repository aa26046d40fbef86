"""The proof of a run: what the engine wrote passes, and whatever is changed by hand is found and named."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from panels import SEEDS, Case, cases, random_panel, random_weights, run_targets, weekdays

from engine.costs import Costs, Tier
from engine.ledger import FILL, FLOW, FillTiming, Flow, Reason
from engine.metrics import drawdowns, metrics_table
from engine.panel import FIELDS, MarketPanel
from engine.rebalancer import Terms
from engine.result import Result
from engine.tradelog import CASH_FLOW_COLUMNS, COLUMNS, ROUND_TRIP_COLUMNS, TradeLog, round_trips
from marsfolio.runs import EQUITY_COLUMNS
from marsfolio.verification.books import Books
from marsfolio.verification.checks import Check
from marsfolio.verification.verify import verify

RICH = Costs(
    commission_bps=5,
    commission_per_share=0.01,
    commission_minimum=1,
    commission_maximum_bps=100,
    commission_tiers=(Tier(500, bps=2, per_share=0.002),),
    sell_fee_bps=0.3,
    slippage_bps=3,
    half_spread=0.01,
    impact=0.5,
    participation_cap=0.1,
    cash_rate=0.03,
    margin_rate=0.06,
)
TEXT = [
    "fill_id",
    "order_id",
    "session",
    "time_utc",
    "symbol",
    "side",
    "reason",
    "kind",
    "entry_session",
    "exit_session",
]
COLUMNS_OF = {
    "trades": COLUMNS,
    "cash_flows": CASH_FLOW_COLUMNS,
    "equity": EQUITY_COLUMNS,
    "round_trips": ROUND_TRIP_COLUMNS,
}
NUMERIC = [(file, column) for file, columns in COLUMNS_OF.items() for column in columns if column not in TEXT]


def with_actions(panel: MarketPanel, seed: int) -> MarketPanel:
    """Return the panel as one of raw prices, with splits both ways and dividends on many days."""
    draw = np.random.default_rng(seed)
    split = np.where(
        draw.random(panel.close.shape) < 0.08, draw.choice([2, 1.5, 0.29, 1 / 3, 0.1], panel.close.shape), 1
    )
    dividend = np.where(draw.random(panel.close.shape) < 0.15, draw.uniform(0.01, 2, panel.close.shape), 0)
    bars = {name: getattr(panel, name) for name in FIELDS}
    has_bar = panel.has_bar
    return MarketPanel(
        panel.sessions,
        panel.symbols,
        **bars,
        split=np.where(has_bar, split, 1),
        dividend=np.where(has_bar, dividend, 0),
    )


def books_of_result(result: Result, panel: MarketPanel) -> Books:
    terms = result.terms
    return Books(
        result.trades.table(),
        result.cash_flow_table(),
        result.equity_table(),
        result.round_trip_table(),
        result.metrics(),
        terms.cash,
        terms.timing.name.lower(),
        terms.fractional,
        panel.content_hash,
    )


def failures(books: Books, panel: MarketPanel) -> list[Check]:
    return [check for check in verify(books, panel) if not check.passed]


def first_failure(books: Books, panel: MarketPanel) -> str:
    failed = failures(books, panel)
    assert failed, "every check passed"
    return failed[0].first


@pytest.fixture(scope="module", params=["next_open", "next_close", "same_close"])
def rich(request: pytest.FixtureRequest) -> tuple[Books, MarketPanel]:
    """Return a run in which everything happens: costs of every kind, splits, dividends, interest, dropped orders."""
    panel = with_actions(random_panel(3, 60, 4), 4)
    terms = Terms(40_000.0, RICH, timing=FillTiming.parse(request.param))
    result = run_targets("weights", random_weights(5, 60, 4, full=False, keeps=0.1, idle=0.2), panel, terms)
    books = books_of_result(result, panel)
    assert set(books.cash_flows["kind"]) == {"interest", "dividend", "split", "cash_in_lieu"}
    assert books.trades["slippage"].gt(0.01).any()
    assert "rebalance, volume cap" in set(books.trades["reason"])
    return books, panel


def test_a_run_with_everything_in_it_agrees(rich: tuple[Books, MarketPanel]) -> None:
    checks = verify(*rich)
    assert [check.first for check in checks if not check.passed] == []
    assert len(checks) == 31
    assert max(check.difference for check in checks if check.unit == "currency") < 1e-6


@given(case=cases(), first=st.integers(0, 3))
def test_every_run_of_the_engine_agrees(case: Case, first: int) -> None:
    first = min(first, len(case.panel) - 1)
    result = run_targets("weights", case.weights, case.panel, case.terms, first)
    assert failures(books_of_result(result, case.panel), case.panel) == []


@given(case=cases(), seed=SEEDS, rich=st.booleans())
def test_every_run_on_raw_prices_agrees(case: Case, seed: int, rich: bool) -> None:
    panel = with_actions(case.panel, seed)
    terms = replace(case.terms, costs=RICH) if rich else case.terms
    result = run_targets("weights", case.weights, panel, terms)
    assert failures(books_of_result(result, panel), panel) == []


@pytest.mark.parametrize(("shares", "ratio"), [(100, 0.29), (1, 1 / 3), (7, 0.1), (3, 1.5), (10, 2), (9, 1 / 3)])
@pytest.mark.parametrize("fractional", [False, True])
def test_shares_of_a_split_are_whole_again_or_kept_to_the_last_bit(shares: int, ratio: float, fractional: bool) -> None:
    price = np.full((6, 1), 10.0)
    split, dividend = np.ones((6, 1)), np.zeros((6, 1))
    split[2], split[4], dividend[3] = ratio, 3.0, 0.25
    panel = MarketPanel(weekdays(6), ("A",), price, price, price, price, price, split=split, dividend=dividend)
    weights = np.array([[shares / 1000], [math.nan], [math.nan], [0.0], [math.nan], [math.nan]])
    result = run_targets("weights", weights, panel, Terms(10_000.0, Costs(0), fractional=fractional))
    assert result.trades.fills["quantity"][0] == shares
    assert failures(books_of_result(result, panel), panel) == []


def changed(books: Books, file: str, column: str, row: int, value: Any) -> Books:
    table = getattr(books, file).copy()
    table[column] = table[column].astype(object if isinstance(value, str) else "float64")
    table.loc[row, column] = value
    return replace(books, **{file: table})


@pytest.mark.parametrize(("file", "column"), NUMERIC)
@pytest.mark.parametrize("by", [0.01, -0.01])
@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
def test_a_cent_more_or_less_in_any_number_is_found_and_its_row_named(
    rich: tuple[Books, MarketPanel], file: str, column: str, by: float, place: float
) -> None:
    books, panel = rich
    table = getattr(books, file)
    row = round(place * (len(table) - 1))
    first = first_failure(changed(books, file, column, row, table[column].iloc[row] + by), panel)
    names = {"trades": ["fill_id"], "round_trips": ["symbol", "entry_session"]}.get(file, ["session"])
    assert first.startswith(f"{file}.csv, ")
    assert " ".join(table[names].iloc[row]) in first


@pytest.mark.parametrize(("file", "column"), NUMERIC)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_found(rich: tuple[Books, MarketPanel], file: str, column: str, value: float) -> None:
    books, panel = rich
    assert first_failure(changed(books, file, column, 2, value), panel).startswith(f"{file}.csv, ")


@pytest.mark.parametrize(
    ("file", "column", "value", "words"),
    [
        ("trades", "fill_id", "the first", "its fill_id is there before"),
        ("trades", "session", "2023-12-29", "its session is not in equity.csv"),
        ("trades", "session", "2024-01-01", "its session is before that of the fill above"),
        ("trades", "symbol", "XX", "its symbol is not in the bars"),
        ("trades", "side", "short", "side must be buy or sell"),
        ("trades", "reason", "a hunch", "its reason is unknown"),
        ("trades", "quantity", -1.0, "quantity must be positive"),
        ("trades", "price", 0.0, "price must be positive"),
        ("cash_flows", "session", "2023-12-29", "its session is not in equity.csv"),
        ("cash_flows", "session", "2024-01-01", "its session is before that of the cash flow above"),
        ("cash_flows", "kind", "gift", "its symbol is not in the bars"),
        ("cash_flows", "symbol", "S1", "interest has no symbol and changes no shares"),
        ("equity", "session", "2024-01-06", "not the next session of the bars"),
        ("round_trips", "symbol", "XX", "computed S"),
        ("round_trips", "entry_session", "2024-01-01", "computed S"),
    ],
)
def test_a_name_out_of_place_is_found(
    rich: tuple[Books, MarketPanel], file: str, column: str, value: Any, words: str
) -> None:
    books, panel = rich
    row = int(np.flatnonzero(books.cash_flows["kind"] == "interest")[5]) if file == "cash_flows" else 7
    value = books.trades["fill_id"][0] if value == "the first" else value
    first = first_failure(changed(books, file, column, row, value), panel)
    assert first.startswith(f"{file}.csv, ")
    assert words in first


def test_a_fill_on_the_other_side_is_found(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    other = {"buy": "sell", "sell": "buy"}[books.trades["side"][7]]
    assert books.trades["fill_id"][7] in first_failure(changed(books, "trades", "side", 7, other), panel)


@pytest.mark.parametrize("file", COLUMNS_OF)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("how", ["missing", "twice"])
def test_a_row_too_few_or_too_many_is_found(rich: tuple[Books, MarketPanel], file: str, place: str, how: str) -> None:
    books, panel = rich
    table = getattr(books, file)
    row = {"first": 0, "middle": len(table) // 2, "last": len(table) - 1}[place]
    rows = np.delete(np.arange(len(table)), row) if how == "missing" else np.insert(np.arange(len(table)), row, row)
    assert failures(replace(books, **{file: table.iloc[rows].reset_index(drop=True)}), panel)


def test_two_fills_in_the_wrong_order_are_found(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    session = books.trades["session"]
    row = int(np.flatnonzero(session[:-1].to_numpy() == session[1:].to_numpy())[3])
    order = np.arange(len(session))
    order[[row, row + 1]] = row + 1, row
    swapped = replace(books, trades=books.trades.iloc[order].reset_index(drop=True))
    first = first_failure(swapped, panel)
    assert f"fill {swapped.trades['fill_id'][row]}: cash_after" in first


def test_every_metric_is_checked(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    for name, value in books.metrics.items():
        wrong = {**books.metrics, name: "2020-01-01" if isinstance(value, str) else value + 0.01}
        first = first_failure(replace(books, metrics=wrong), panel)
        assert first.startswith("metrics.json")
        assert name in first
        missing = {key: entry for key, entry in books.metrics.items() if key != name}
        assert failures(replace(books, metrics=missing), panel)


def test_cash_and_timing_of_another_run_are_found(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    assert "equity.csv, 2024-01-01: cash is 40000.0, computed 40000.01" in [
        check.first for check in failures(replace(books, cash=40_000.01), panel)
    ]
    for timing in {"next_open", "next_close", "same_close"} - {books.timing}:
        assert failures(replace(books, timing=timing), panel)


def test_other_bars_are_told_by_their_hash_and_nothing_else_is_checked(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    (check,) = verify(books, panel.rows(0, len(panel) - 1))
    assert check.first.startswith("panel does not hold the bars of the run: their hash is ")
    assert f"config.toml says {books.data_hash[:12]}..." in check.first
    (check,) = verify(replace(books, data_hash=""), panel)
    assert check.first == "config.toml does not say the hash of the bars: repeat the run"


def test_a_changed_bar_is_found_even_when_the_hash_is_made_to_fit(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    bars = {name: getattr(panel, name) * (1.0001 if name != "volume" else 1.0) for name in FIELDS}
    other = MarketPanel(panel.sessions, panel.symbols, **bars, split=panel.split, dividend=panel.dividend)
    assert "the price without slippage is" in first_failure(replace(books, data_hash=other.content_hash), other)


def test_a_split_that_nobody_booked_is_found(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    split = np.array(panel.split)
    fill = books.trades.iloc[-1]
    held = books.trades[books.trades["symbol"] == fill["symbol"]].iloc[-1]
    assert held["position_after"] > 0
    split[-1, panel.symbols.index(held["symbol"])] *= 2
    bars = {name: getattr(panel, name) for name in FIELDS}
    other = MarketPanel(panel.sessions, panel.symbols, **bars, split=split, dividend=panel.dividend)
    failed = failures(replace(books, data_hash=other.content_hash), other)
    assert failed[0].name == "cash_flows.csv: splits and dividends of the bars"


def test_a_benchmark_is_checked_where_it_is_known(rich: tuple[Books, MarketPanel]) -> None:
    books, panel = rich
    held = np.linspace(1.0, 2.0, len(books.equity))
    told = replace(books, equity=books.equity.assign(benchmark=held))
    assert all(check.passed for check in verify(told, panel, held))
    wrong = changed(told, "equity", "benchmark", 9, held[9] + 0.01)
    assert failures(wrong, panel) == []
    (check,) = [check for check in verify(wrong, panel, held) if not check.passed]
    assert check.first.startswith(f"equity.csv, {books.equity['session'][9]}: benchmark is ")
    assert not all(check.passed for check in verify(books, panel, held))


def test_a_run_without_fills_agrees() -> None:
    panel = random_panel(1, 1, 2, holes=0.0)
    result = run_targets("weights", np.array([[0.5, 0.5]]), panel, Terms())
    books = books_of_result(result, panel)
    assert len(books.trades) == 0
    assert failures(books, panel) == []


class Ledger:
    """An account kept by hand: fills and flows in the order of booking, and rows of equity.csv in between."""

    def __init__(self, panel: MarketPanel, cash: float, timing: str = "next_open") -> None:
        self.panel, self.initial, self.timing = panel, cash, timing
        self.cash, self.held, self.traded = cash, np.zeros(panel.n_symbols), 0.0
        self.fills: list[tuple[Any, ...]] = []
        self.flows: list[tuple[Any, ...]] = []
        self.rows: list[tuple[float, float, float]] = []

    def fill(self, row: int, quantity: float, price: float, fee: float, reason: Reason, slippage: float = 0.0) -> None:
        self.cash, self.traded = self.cash - quantity * price - fee, self.traded + abs(quantity) * price
        self.held[0] += quantity
        self.fills.append((row, 0, quantity, price, fee, slippage, self.cash, self.held[0], reason))

    def flow(self, row: int, kind: Flow, amount: float, change: float = 0.0) -> None:
        self.cash, self.held[0] = self.cash + amount, self.held[0] + change
        self.flows.append((row, 0, kind, amount, change))

    def row(self) -> None:
        value = self.cash + self.held[0] * self.panel.close[len(self.rows), 0]
        self.rows.append((value, self.cash, self.traded))
        self.traded = 0.0

    def books(self) -> Books:
        equity, cash, traded = np.array(self.rows).T
        sessions = self.panel.sessions
        fills, flows = np.array(self.fills, dtype=FILL), np.array(self.flows, dtype=FLOW)
        log = TradeLog(fills, sessions, self.panel.symbols, flows)
        trades = log.table().assign(fill_id=[f"order-{k}-1" for k in range(len(fills))])
        table = {
            "session": np.datetime_as_string(sessions, unit="D").astype(object),
            "equity": equity,
            "cash": cash,
            "gross_exposure": (equity - cash) / equity,
            "turnover": traded / 2 / equity,
            "drawdown": drawdowns(equity),
        }
        trips = round_trips(log, self.panel.close[-1])
        totals = float(fills["commission"].sum()), float(fills["slippage"].sum()), len(fills)
        metrics = metrics_table(equity, sessions, traded, *totals)
        said = (self.initial, self.timing, False, self.panel.content_hash)
        return Books(trades, log.flow_table(), pd.DataFrame(table), trips, metrics, *said)


@pytest.fixture
def short() -> tuple[Books, MarketPanel]:
    """Return a short position through a dividend and a split, turned by one limit order, and sold by a stop."""
    close = np.array([[50], [50], [52], [25], [24]], dtype=float)
    open_ = np.array([[50], [50], [50], [26], [25]], dtype=float)
    split, dividend = np.ones((5, 1)), np.zeros((5, 1))
    split[3], dividend[2] = 2, 0.5
    bars = open_, np.maximum(open_, close) + 1, np.minimum(open_, close) - 1, close, np.full((5, 1), 1e6)
    panel = MarketPanel(weekdays(5), ("A",), *bars, split=split, dividend=dividend)
    ledger = Ledger(panel, 10_000)
    ledger.row()
    ledger.fill(1, -100, 50.0, 1.0, Reason.MARKET)
    ledger.row()
    ledger.flow(2, Flow.DIVIDEND, -50.0)
    ledger.row()
    ledger.flow(3, Flow.SPLIT, 0.0, -100.0)
    ledger.fill(3, 300, 25.5, 3.0, Reason.LIMIT)
    ledger.row()
    ledger.fill(4, -50, 24.48, 0.5, Reason.STOP, slippage=1.0)
    ledger.row()
    return ledger.books(), panel


def test_a_short_position_in_numbers(short: tuple[Books, MarketPanel]) -> None:
    books, panel = short
    assert books.equity["equity"].tolist() == [10_000, 9_999, 9_749, 9_796, 9_719.5]
    assert books.round_trips[["quantity", "entry_price", "exit_price", "costs", "pnl"]].values.tolist() == [
        [-200, 25, 25.5, 3, -103],
        [50, 25.5, 24.48, 1, pytest.approx(-52)],
        [50, 25.5, 24, 0.5, -75.5],
    ]
    assert failures(books, panel) == []


@pytest.mark.parametrize(("file", "column"), NUMERIC)
def test_a_cent_is_found_where_positions_are_short(short: tuple[Books, MarketPanel], file: str, column: str) -> None:
    books, panel = short
    for row in range(len(getattr(books, file))):
        value = getattr(books, file)[column][row] + 0.01
        assert failures(changed(books, file, column, row, value), panel)


def test_a_single_order_outside_of_its_bar_is_found(short: tuple[Books, MarketPanel]) -> None:
    books, panel = short
    bars = {name: np.array(getattr(panel, name)) for name in FIELDS}
    bars["high"][3, 0] = 26.0
    bars["low"][3, 0] = 25.0
    bars["low"][4, 0] = 23.99
    narrow = MarketPanel(panel.sessions, panel.symbols, **bars, split=panel.split, dividend=panel.dividend)
    books = replace(books, data_hash=narrow.content_hash)
    assert failures(books, narrow) == []
    bars["open"][3, 0] = bars["low"][3, 0] = 25.75
    bars["close"][3, 0] = 25.9
    other = MarketPanel(panel.sessions, panel.symbols, **bars, split=panel.split, dividend=panel.dividend)
    first = first_failure(replace(books, data_hash=other.content_hash), other)
    assert first == "trades.csv, fill order-1-1: the price without slippage is 25.5, computed 25.75"


@pytest.fixture
def lent() -> tuple[Books, MarketPanel]:
    """Return a run that earns 1 % a year on its cash, then borrows at 10 %."""
    price = np.full((9, 1), 10.0)
    panel = MarketPanel(weekdays(9), ("A",), price, price, price, price, price)
    ledger = Ledger(panel, 100_000)
    ledger.row()
    for row in range(1, 9):
        days = float((panel.sessions[row] - panel.sessions[row - 1]).astype(int))
        ledger.flow(row, Flow.INTEREST, ledger.cash * days * (0.01 if ledger.cash > 0 else 0.1) / 360)
        if row == 4:
            ledger.fill(row, 20_000, 10.0, 0.0, Reason.MARKET)
        ledger.row()
    books = ledger.books()
    assert set(np.sign(books.cash_flows["amount"])) == {1.0, -1.0}
    return replace(books, cash_flows=books.cash_flows.assign(symbol="")), panel


def test_interest_has_one_rate_on_cash_and_one_on_margin(lent: tuple[Books, MarketPanel]) -> None:
    books, panel = lent
    assert failures(books, panel) == []
    for row, more in [*((row, 5.0) for row in range(8)), (5, -1000.0)]:
        amount = books.cash_flows["amount"][row] + more
        first = first_failure(changed(books, "cash_flows", "amount", row, amount), panel)
        assert first.startswith(f"cash_flows.csv, interest {books.cash_flows['session'][row]}: amount is ")
    missing = replace(books, cash_flows=books.cash_flows.drop(index=6).reset_index(drop=True))
    assert "2024-01-10: amount is 0.0, computed -" in first_failure(missing, panel)


def test_of_several_broken_rules_the_first_row_is_named(lent: tuple[Books, MarketPanel]) -> None:
    books, panel = lent
    later = changed(books, "cash_flows", "session", 5, "2023-01-01")
    assert "2024-01-04 interest S0" in first_failure(changed(later, "cash_flows", "symbol", 2, "S0"), panel)


@given(seed=SEEDS)
def test_orders_of_both_signs_agree(seed: int) -> None:
    draw = np.random.default_rng(seed)
    panel = random_panel(seed, 12, 1, holes=0.0)
    ledger = Ledger(panel, 100_000)
    for row in range(12):
        for _ in range(int(draw.integers(3)) if row else 0):
            size = float(draw.choice([draw.integers(1, 50), draw.uniform(0, 50)]))
            turn = -float(ledger.held[0]) or size
            quantity = turn if draw.random() < 0.3 else size * float(draw.choice([-1.0, 1.0]))
            ledger.fill(row, quantity, float(panel.open[row, 0]), float(draw.uniform(0, 9)), Reason.MARKET)
        ledger.row()
    assume(ledger.fills)
    assert failures(ledger.books(), panel) == []


@pytest.mark.parametrize("waited", [True, False])
def test_orders_at_the_close_and_orders_that_waited_for_an_equal_open_agree(waited: bool) -> None:
    close = np.array([[10], [11], [12], [13]], dtype=float)
    panel = MarketPanel(weekdays(4), ("A",), close, close, close, close, close)
    ledger = Ledger(panel, 1_000, "same_close")
    ledger.row()
    ledger.fill(0, 10, 10.0, 0.1, Reason.SAME_CLOSE)
    ledger.fill(1, 5, 11.0, 0.1, Reason.LIMIT)
    if waited:
        ledger.fill(1, 7, 11.0, 0.1, Reason.MARKET)
    ledger.row()
    if not waited:
        ledger.fill(1, 7, 11.0, 0.1, Reason.SAME_CLOSE)
    ledger.fill(1, -3, 11.0, 0.1, Reason.SAME_CLOSE)
    ledger.row()
    ledger.row()
    books = ledger.books()
    assert failures(books, panel) == []
    for file, column in NUMERIC:
        table = getattr(books, file)
        for row in range(len(table)):
            assert failures(changed(books, file, column, row, table[column][row] + 0.01), panel)

"""The trade log: its table, its files, and the round trips made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panels import SEEDS, market, random_panel, run_targets, targets, weekdays

from engine.costs import Costs
from engine.errors import InputError, RunFolderError
from engine.ledger import FILL, FLOW, FillTiming, Flow
from engine.rebalancer import Terms
from engine.tradelog import (
    CASH_FLOW_COLUMNS,
    COLUMNS,
    FORMATS,
    ROUND_TRIP_COLUMNS,
    TradeLog,
    read_table,
    round_trips,
    write_table,
)

ODD_SYMBOLS = ("NA", "TRUE", "0005.HK", "null", "1E5", "nan", 'BRK,"B"', "-", "ÅÄÖ", "007")


def log(*fills: tuple[int, int, float, float, float], n_sessions: int = 10, symbols: str = "A B") -> TradeLog:
    """Make a log of (row, symbol, signed quantity, price, commission); money starts at 100,000."""
    records = np.zeros(len(fills), FILL)
    cash, held = 100_000.0, [0.0] * 20
    for record, (row, i, quantity, price, fee) in zip(records, fills, strict=True):
        cash -= quantity * price + fee
        held[i] += quantity
        record["row"], record["symbol"], record["quantity"], record["price"] = row, i, quantity, price
        record["commission"], record["cash_after"], record["position_after"] = fee, cash, held[i]
    return TradeLog(records, weekdays(n_sessions), tuple(symbols.split()))


def with_flows(trades: TradeLog, *flows: tuple[int, int, Flow, float, float]) -> TradeLog:
    """Add flows of (row, symbol, kind, amount, change of shares)."""
    return TradeLog(trades.fills, trades.sessions, trades.symbols, np.array(list(flows), FLOW))


def odd_log() -> TradeLog:
    rng = np.random.default_rng(0)
    fills = [(row, row, float(rng.uniform(1, 1e6)), float(rng.lognormal()), 1 / 3) for row in range(len(ODD_SYMBOLS))]
    made = log(*fills)
    return TradeLog(made.fills, made.sessions, ODD_SYMBOLS)


def test_the_table_of_fills_in_numbers() -> None:
    panel = market("A B", "100 10", "100 10", "100 10", "100 10")
    terms = Terms(100_000.0, Costs(10, 50))
    table = run_targets("weights", targets("0.5 0", "0 0.4", "", ""), panel, terms).trades.table()
    assert tuple(table.columns) == COLUMNS
    assert table.drop(columns=["notional", "commission", "slippage", "cash_after"]).to_dict("records")[:2] == [
        {
            "fill_id": "2024-01-02-A-buy-1",
            "order_id": "2024-01-02-A-buy",
            "session": "2024-01-02",
            "time_utc": "2024-01-02T00:00:00Z",
            "symbol": "A",
            "side": "buy",
            "quantity": 500.0,
            "price": pytest.approx(100.5),
            "position_after": 500.0,
            "reason": "rebalance",
        },
        {
            "fill_id": "2024-01-03-A-sell-1",
            "order_id": "2024-01-03-A-sell",
            "session": "2024-01-03",
            "time_utc": "2024-01-03T00:00:00Z",
            "symbol": "A",
            "side": "sell",
            "quantity": 500.0,
            "price": pytest.approx(99.5),
            "position_after": 0.0,
            "reason": "rebalance",
        },
    ]
    assert table["symbol"].tolist() == ["A", "A", "B"]


def test_the_columns_of_the_three_tables_are_those_of_the_format() -> None:
    assert " ".join(CASH_FLOW_COLUMNS) == "session kind symbol amount quantity_change"
    assert " ".join(COLUMNS) == (
        "fill_id order_id session time_utc symbol side quantity price notional commission slippage "
        "cash_after position_after reason"
    )
    assert " ".join(ROUND_TRIP_COLUMNS) == (
        "symbol entry_session exit_session quantity entry_price exit_price costs pnl return sessions_held"
    )


@given(seed=SEEDS, timing=st.sampled_from(FillTiming))
def test_no_two_fills_share_an_id_and_sessions_never_go_back(seed: int, timing: FillTiming) -> None:
    panel = random_panel(seed, 15, 3)
    weights = np.random.default_rng(seed).dirichlet(np.ones(3), 15)
    table = run_targets("weights", weights, panel, Terms(timing=timing)).trades.table()
    assert table["fill_id"].is_unique
    assert table["session"].is_monotonic_increasing


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_back_every_bit_and_every_odd_symbol(kind: str, tmp_path: Path) -> None:
    table = odd_log().table()
    path = tmp_path / f"trades.{kind}"
    write_table(table, path, kind)
    back = read_table(path)
    assert back["symbol"].tolist() == list(ODD_SYMBOLS)
    pd.testing.assert_frame_equal(back, table, check_exact=True, check_dtype=False)
    for name in ("quantity", "price", "notional", "commission", "cash_after"):
        assert back[name].to_numpy("float64").tobytes() == table[name].to_numpy("float64").tobytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_back_round_trips_with_open_lots(kind: str, tmp_path: Path) -> None:
    table = round_trips(odd_log(), np.full(len(ODD_SYMBOLS), 1.1))
    table.loc[0, "exit_session"] = "2024-01-09"
    path = tmp_path / f"round_trips.{kind}"
    write_table(table, path, kind)
    back = read_table(path)
    assert back["symbol"].tolist() == list(ODD_SYMBOLS)
    assert back["exit_session"].tolist() == ["2024-01-09"] + [""] * (len(ODD_SYMBOLS) - 1)
    pd.testing.assert_frame_equal(back, table, check_exact=True, check_dtype=False)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_may_be_named_when_the_suffix_does_not_say_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "export.txt"
    write_table(odd_log().table(), path, kind)
    assert read_table(path, kind)["symbol"].tolist() == list(ODD_SYMBOLS)


@pytest.mark.parametrize("kind", ["xlsx", "", "CSV"])
def test_an_unknown_format_is_refused_and_nothing_written(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"format must be one of csv, parquet, jsonl, was {kind!r}"):
        write_table(odd_log().table(), tmp_path / "trades.x", kind)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_place_that_cannot_be_written_to_is_an_input_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*choose another --out"):
        write_table(odd_log().table(), tmp_path / "absent" / "trades", kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_file_is_an_error_that_says_so(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not exist"):
        read_table(tmp_path / f"trades.{kind}")


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_damaged_file_is_an_error_that_names_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"trades.{kind}"
    path.write_text("not a table\n")
    with pytest.raises(RunFolderError, match=f"trades.{kind} cannot be read as {kind}"):
        read_table(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_log_has_its_columns_and_no_rows(kind: str, tmp_path: Path) -> None:
    empty = log()
    assert len(empty) == 0
    trips = round_trips(empty, np.array([1.0, 1.0]))
    assert (tuple(empty.table().columns), len(empty.table())) == (COLUMNS, 0)
    assert (tuple(trips.columns), len(trips)) == (ROUND_TRIP_COLUMNS, 0)
    path = tmp_path / f"trades.{kind}"
    write_table(empty.table(), path, kind)
    back = read_table(path)
    assert len(back) == 0
    if kind != "jsonl":  # one line a record: no record, no names
        assert tuple(back.columns) == COLUMNS


def test_what_was_bought_first_is_sold_first() -> None:
    trades = log((0, 0, 100, 10.0, 1.0), (1, 0, 50, 12.0, 1.0), (3, 0, -120, 15.0, 2.4))
    trips = round_trips(trades, np.array([16.0, np.nan]))
    assert trips.to_dict("records") == [
        {
            "symbol": "A",
            "entry_session": "2024-01-01",
            "exit_session": "2024-01-04",
            "quantity": 100,
            "entry_price": 10,
            "exit_price": 15,
            "costs": pytest.approx(1.0 + 2.0),
            "pnl": pytest.approx(500 - 3.0),
            "return": pytest.approx(497 / 1000),
            "sessions_held": 3,
        },
        {
            "symbol": "A",
            "entry_session": "2024-01-02",
            "exit_session": "2024-01-04",
            "quantity": 20,
            "entry_price": 12,
            "exit_price": 15,
            "costs": pytest.approx(0.4 + 0.4),
            "pnl": pytest.approx(60 - 0.8),
            "return": pytest.approx(59.2 / 240),
            "sessions_held": 2,
        },
        {
            "symbol": "A",
            "entry_session": "2024-01-02",
            "exit_session": "",
            "quantity": 30,
            "entry_price": 12,
            "exit_price": 16,
            "costs": pytest.approx(0.6),
            "pnl": pytest.approx(120 - 0.6),
            "return": pytest.approx(119.4 / 360),
            "sessions_held": 8,
        },
    ]


def test_round_trips_add_up_to_the_change_of_equity() -> None:
    trades = log((0, 0, 100, 10.0, 1.0), (1, 0, 50, 12.0, 1.0), (3, 0, -120, 15.0, 2.4), (3, 1, 10, 30.0, 0.5))
    trips = round_trips(trades, np.array([16.0, 29.0]))
    equity = trades.fills["cash_after"][-1] + 30 * 16.0 + 10 * 29.0
    assert trips["pnl"].sum() == pytest.approx(equity - 100_000)
    assert trips["quantity"].sum() == 160


def test_symbols_do_not_share_lots() -> None:
    trades = log((0, 0, 10, 10.0, 0.0), (0, 1, 10, 20.0, 0.0), (1, 1, -10, 25.0, 0.0))
    trips = round_trips(trades, np.array([11.0, 25.0]))
    assert trips[["symbol", "entry_price", "exit_price", "pnl"]].values.tolist() == [
        ["B", 20, 25, 50],
        ["A", 10, 11, 10],
    ]


def test_a_symbol_bought_again_after_it_was_sold_starts_anew() -> None:
    trades = log((0, 0, 10, 10.0, 0.0), (1, 0, -10, 11.0, 0.0), (2, 0, 5, 12.0, 0.0), (4, 0, -5, 10.0, 0.0))
    trips = round_trips(trades, np.array([9.0, np.nan]))
    assert trips["sessions_held"].tolist() == [1, 2]
    assert trips["pnl"].tolist() == [10, -10]


def test_a_sale_of_all_fractions_leaves_no_dust_open() -> None:
    # 0.3 + 0.4 is 0.7, and that less 0.3 is below 0.4: the second lot would stay open.
    assert (0.3 + 0.4) - 0.3 < 0.4
    trades = log((0, 0, 0.3, 10.0, 0.0), (1, 0, 0.4, 10.0, 0.0), (2, 0, -(0.3 + 0.4), 11.0, 0.0))
    assert trades.fills["position_after"][-1] == 0
    trips = round_trips(trades, np.array([11.0, np.nan]))
    assert trips["quantity"].tolist() == [0.3, 0.4]
    assert (trips["exit_session"] == "2024-01-03").all()


ALL_FLOWS = (
    (1, -1, Flow.INTEREST, 1 / 3, 0.0),
    (1, 0, Flow.DIVIDEND, 2.5, 0.0),
    (2, 1, Flow.SPLIT, 0.0, 3.5),
    (2, 1, Flow.CASH_IN_LIEU, 10.0, -0.5),
)


def test_the_table_of_cash_flows_in_numbers() -> None:
    table = with_flows(log(symbols="NA B"), *ALL_FLOWS).flow_table()
    assert tuple(table.columns) == CASH_FLOW_COLUMNS
    assert table.values.tolist() == [
        ["2024-01-02", "interest", "", 1 / 3, 0.0],
        ["2024-01-02", "dividend", "NA", 2.5, 0.0],
        ["2024-01-03", "split", "B", 0.0, 3.5],
        ["2024-01-03", "cash_in_lieu", "B", 10.0, -0.5],
    ]
    assert tuple(log().flow_table().columns) == CASH_FLOW_COLUMNS


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_back_every_cash_flow(kind: str, tmp_path: Path) -> None:
    table = with_flows(log(symbols="NA B"), *ALL_FLOWS).flow_table()
    write_table(table, tmp_path / f"cash_flows.{kind}", kind)
    back = read_table(tmp_path / f"cash_flows.{kind}")
    pd.testing.assert_frame_equal(back, table, check_exact=True, check_dtype=False)


def test_a_split_restates_the_lots_and_not_what_was_paid() -> None:
    trades = log((0, 0, 4, 30.0, 1.2), (1, 0, 3, 36.0, 0.9), (3, 0, -8, 25.0, 1.6))
    split = (2, 0, Flow.SPLIT, 0.0, 3.5)
    in_lieu = (2, 0, Flow.CASH_IN_LIEU, 12.0, -0.5)
    trips = round_trips(with_flows(trades, split, in_lieu), np.array([26.0, np.nan]))
    # 7 shares are 10: the first 4, bought for 120, are 40/7, the other 3, for 108, are 30/7. 8 are sold: all of the
    # first lot and 16/7 of the second.
    np.testing.assert_allclose(trips["quantity"], [40 / 7, 16 / 7, 2])
    np.testing.assert_allclose(trips["entry_price"], [21, 25.2, 25.2])
    np.testing.assert_allclose(trips["costs"], [1.2 + 8 / 7, 0.9 * 16 / 30 + 16 / 7 * 0.2, 0.9 * 14 / 30])
    assert trips["exit_session"].tolist() == ["2024-01-04", "2024-01-04", ""]
    # -120 - 108 + 200 - 3.7 of fees, and 2 shares of 26: the 12 in cash are a cash flow.
    assert trips["pnl"].sum() == pytest.approx(-120 - 108 + 200 - 3.7 + 52)


def test_flows_come_before_the_fills_of_their_session_and_after_those_before() -> None:
    trades = log((1, 0, 10, 40.0, 0.0), (2, 0, 10, 20.0, 0.0))
    trips = round_trips(with_flows(trades, (2, 0, Flow.SPLIT, 0.0, 10.0)), np.array([20.0, np.nan]))
    assert trips[["quantity", "entry_price"]].values.tolist() == [[20, 20], [10, 20]]


def test_a_split_after_the_last_fill_counts_and_symbols_do_not_share_it() -> None:
    trades = log((0, 0, 10, 40.0, 1.0), (0, 1, 10, 40.0, 1.0))
    trips = round_trips(with_flows(trades, (5, 0, Flow.SPLIT, 0.0, 10.0)), np.array([21.0, 39.0]))
    assert trips[["quantity", "entry_price", "costs", "pnl"]].values.tolist() == [[20, 20, 1, 19], [10, 40, 1, -11]]


def test_what_a_reverse_split_pays_out_is_closed_at_nothing() -> None:
    flows = (2, 0, Flow.SPLIT, 0.0, -6.3), (2, 0, Flow.CASH_IN_LIEU, 21.0, -0.7)
    trades = log((0, 0, 4, 3.0, 0.4), (1, 0, 3, 4.0, 0.3), (4, 0, 5, 30.0, 0.0))
    trips = round_trips(with_flows(trades, *flows), np.array([30.0, np.nan]))
    assert trips["exit_session"].tolist() == ["2024-01-03", "2024-01-03", ""]
    assert trips["exit_price"].tolist() == [0, 0, 30]
    np.testing.assert_allclose(trips["pnl"], [-12.4, -12.3, 0])


def test_what_is_sold_first_is_bought_back_first() -> None:
    trades = log((0, 0, -10, 20.0, 1.0), (1, 0, -10, 22.0, 1.0), (3, 0, 15, 18.0, 1.5))
    trips = round_trips(trades, np.array([21.0, np.nan]))
    assert trips["quantity"].tolist() == [-10, -5, -5]
    np.testing.assert_allclose(trips["costs"], [2, 1, 0.5])
    np.testing.assert_allclose(trips["pnl"], [20 - 2, 20 - 1, 5 - 0.5])
    np.testing.assert_allclose(trips["return"], [18 / 200, 19 / 110, 4.5 / 110])
    assert trips["exit_session"].tolist() == ["2024-01-04", "2024-01-04", ""]


def test_an_order_through_zero_closes_one_side_and_opens_the_other() -> None:
    trades = log((0, 0, 10, 20.0, 0.0), (1, 0, -15, 22.0, 1.5), (2, 0, 5, 21.0, 0.0))
    trips = round_trips(trades, np.array([30.0, np.nan]))
    assert trips["quantity"].tolist() == [10, -5]
    np.testing.assert_allclose(trips["pnl"], [20 - 1, 5 - 0.5])


def test_a_short_position_is_split_too() -> None:
    trades = log((0, 0, -10, 40.0, 0.0), (3, 0, 20, 19.0, 0.0))
    trips = round_trips(with_flows(trades, (2, 0, Flow.SPLIT, 0.0, -10.0)), np.array([19.0, np.nan]))
    assert trips[["quantity", "entry_price", "exit_price", "pnl"]].values.tolist() == [[-20, 20, 19, 20]]


LOT = ["quantity", "entry_session", "exit_session", "entry_price", "exit_price", "costs", "pnl", "return"]


def test_a_short_lot_has_a_negative_quantity_and_earns_when_the_price_falls() -> None:
    trades = log((0, 0, -100, 10.0, 1.0), (2, 0, 100, 8.0, 0.8))
    (trip,) = round_trips(trades, np.array([9.0, np.nan])).to_dict("records")
    assert [trip[name] for name in LOT] == [
        -100,
        "2024-01-01",
        "2024-01-03",
        10,
        8,
        pytest.approx(1.8),
        pytest.approx(200 - 1.8),
        pytest.approx(198.2 / 1000),
    ]
    assert trip["sessions_held"] == 2


def test_what_was_sold_short_first_is_bought_back_first_and_the_rest_is_open() -> None:
    trades = log((0, 0, -100, 10.0, 0.0), (1, 0, -50, 12.0, 0.5), (3, 0, 120, 9.0, 1.2))
    trips = round_trips(trades, np.array([13.0, np.nan]))
    assert trips[LOT[:6]].values.tolist() == [
        [-100, "2024-01-01", "2024-01-04", 10, 9, pytest.approx(1.0)],
        [-20, "2024-01-02", "2024-01-04", 12, 9, pytest.approx(0.2 + 0.2)],
        [-30, "2024-01-02", "", 12, 13, pytest.approx(0.3)],
    ]
    assert trips["pnl"].tolist() == pytest.approx([99, 60 - 0.4, -30 - 0.3])


@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_that_turns_a_position_closes_it_and_opens_the_rest(side: int) -> None:
    trades = log((0, 0, 100 * side, 10.0, 1.0), (1, 0, -150 * side, 12.0, 3.0), (2, 0, 50 * side, 11.0, 0.5))
    trips = round_trips(trades, np.array([20.0, np.nan]))
    assert trips[LOT[:6]].values.tolist() == [
        [100 * side, "2024-01-01", "2024-01-02", 10, 12, pytest.approx(1.0 + 2.0)],
        [-50 * side, "2024-01-02", "2024-01-03", 12, 11, pytest.approx(1.0 + 0.5)],
    ]
    assert trips["pnl"].tolist() == pytest.approx([200 * side - 3, 50 * side - 1.5])
    assert trips["return"].tolist() == pytest.approx([(200 * side - 3) / 1000, (50 * side - 1.5) / 600])


def test_a_split_restates_a_short_lot_and_a_payout_of_all_of_it_closes_it_at_nothing() -> None:
    trades = log((0, 0, -30, 10.0, 3.0), (0, 1, -3, 40.0, 0.3))
    flows = [(2, 0, Flow.SPLIT, 0.0, -30.0), (3, 1, Flow.SPLIT, 0.0, 2.7), (3, 1, Flow.CASH_IN_LIEU, -120.0, 0.3)]
    trades = replace(trades, flows=np.array(flows, dtype=FLOW))
    trips = round_trips(trades, np.array([4.0, np.nan]))
    assert trips[["symbol", *LOT[:6]]].values.tolist() == [
        ["B", pytest.approx(-0.3), "2024-01-01", "2024-01-04", pytest.approx(400), 0, pytest.approx(0.3)],
        ["A", -60, "2024-01-01", "", 5, 4, pytest.approx(3)],
    ]
    assert trips["pnl"].tolist() == pytest.approx([120 - 0.3, 60 - 3])


@given(seed=SEEDS, whole=st.booleans())
def test_lots_of_both_signs_add_up_to_positions_and_to_profit(seed: int, whole: bool) -> None:
    draw = np.random.default_rng(seed)
    fills, held, paid = [], [0.0, 0.0], 0.0
    for row in range(10):
        i = int(draw.integers(2))
        size = float(draw.integers(1, 6)) if whole else float(draw.uniform(0.1, 5))
        quantity = -held[i] if held[i] and draw.random() < 0.2 else size * draw.choice([-1.0, 1.0])
        price, fee = float(draw.uniform(5, 50)), float(draw.uniform(0, 1))
        held[i] += quantity
        paid += quantity * price + fee
        fills.append((row, i, quantity, price, fee))
    mark = np.array([20.0, 30.0])
    trips = round_trips(log(*fills), mark)
    assert trips["pnl"].sum() == pytest.approx(held[0] * 20 + held[1] * 30 - paid)
    open_lots = trips[trips["exit_session"] == ""]
    for i, symbol in enumerate("AB"):
        lots = open_lots[open_lots["symbol"] == symbol]["quantity"]
        assert lots.sum() == pytest.approx(held[i], abs=1e-12)
        assert (np.sign(lots) == np.sign(held[i])).all()

"""Proof that the files of a run agree: each is computed anew from fills, cash flows and bars, and compared.

Money must agree to the cent. The computation (`replay`) shares nothing with the engine's compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import BoolArray, FloatArray
from engine.panel import MarketPanel
from engine.tradelog import REASONS
from marsfolio.verification.books import INTEREST, Books, numbers, places, session_names
from marsfolio.verification.checks import (
    COUNT,
    FRACTION,
    MONEY,
    PRICE,
    SHARES,
    Check,
    Label,
    Unit,
    check_names,
    check_rules,
    compare,
)
from marsfolio.verification.measures import measures
from marsfolio.verification.replay import Replay, replay

_FLOWS = {"quantity_change": SHARES, "amount": MONEY}  # shares first: they explain money
_EQUITY = {
    "cash": MONEY,
    "equity": MONEY,
    "gross_exposure": FRACTION,
    "turnover": FRACTION,
    "drawdown": FRACTION,
}
_LOTS = {
    "quantity": SHARES,
    "entry_price": PRICE,
    "exit_price": PRICE,
    "costs": MONEY,
    "pnl": MONEY,
    "return": FRACTION,
    "sessions_held": COUNT,
}
_NUMBERS = ("quantity", "price", "commission", "slippage")
_FLOW_NAMES = ("session", "kind", "symbol")
_LOT_NAMES = ("symbol", "entry_session", "exit_session")


def verify(books: Books, panel: MarketPanel, benchmark: FloatArray | None = None) -> list[Check]:
    """Check the files of a run against the bars and against each other.

    Where the bars are others, or sessions, symbols or ids not in order, nothing can be computed, and the checks end.

    Parameters
    ----------
    panel : the bars of the run: its symbols in their order, and any sessions beside its own.
    benchmark : (T,) what the column of that name must say; not checked when None.
    """
    checks = [_bars_check(books, panel)]
    if checks[0].passed:
        checks += [_session_check(books, panel), _trade_check(books, panel), _flow_check(books, panel)]
    if not all(check.passed for check in checks):
        return checks
    first = session_names(panel).index(books.equity["session"].iloc[0])
    computed = replay(books, panel.rows(first, first + len(books.equity)))
    checks += _fill_checks(books, computed)
    checks += _equity_checks(books, computed, benchmark)
    what = "lots first in, first out"
    checks += _rows("round_trips.csv", what, books.round_trips, computed.round_trips, _LOT_NAMES, _LOTS)
    return [*checks, _identity_check(books), *_metric_checks(books, computed)]


def _bars_check(books: Books, panel: MarketPanel) -> Check:
    name, found = "bars: those of the run", panel.content_hash
    if found == books.data_hash:
        return Check(name, True)
    if not books.data_hash:
        return Check(name, False, first="config.toml does not say the hash of the bars: repeat the run")
    said = f"their hash is {found[:12]}..., config.toml says {books.data_hash[:12]}...; --data names another file"
    return Check(name, False, first=f"{panel.source} does not hold the bars of the run: {said}")


def _session_check(books: Books, panel: MarketPanel) -> Check:
    equity = books.equity
    row = places(equity["session"], session_names(panel))
    gaps = (row < 0) | (row != row[0] + np.arange(len(row)))
    rules = [(gaps, "not the next session of the bars")]
    return check_rules("equity.csv: sessions", rules, _label("equity.csv,", equity, "session"))


def _trade_check(books: Books, panel: MarketPanel) -> Check:
    trades = books.trades
    row, column = places(trades["session"], session_names(panel)), places(trades["symbol"], panel.symbols)
    no_bar = (row >= 0) & (column >= 0)
    no_bar[no_bar] = panel.missing[row[no_bar], column[no_bar]]
    rules = [
        (~_among(trades["session"], books.equity["session"]), "its session is not in equity.csv"),
        (np.diff(row, prepend=0) < 0, "its session is before that of the fill above"),
        (column < 0, "its symbol is not in the bars"),
        (no_bar, "its symbol has no bar in that session"),
        (~_among(trades["side"], ("buy", "sell")), "side must be buy or sell"),
        (~_among(trades["reason"], REASONS.values()), "its reason is unknown"),
        *((~(numbers(trades, name) > 0), f"{name} must be positive") for name in ("quantity", "price")),
        *((~np.isfinite(numbers(trades, name)), f"{name} must be a number") for name in _NUMBERS),
        (trades["fill_id"].duplicated().to_numpy(dtype=bool), "its fill_id is there before"),
    ]
    return check_rules("trades.csv: ids, sessions, symbols", rules, _label("trades.csv, fill", trades, "fill_id"))


def _flow_check(books: Books, panel: MarketPanel) -> Check:
    flows = books.cash_flows
    row, column = places(flows["session"], session_names(panel)), places(flows["symbol"], panel.symbols)
    interest, change = (flows["kind"] == INTEREST).to_numpy(dtype=bool), numbers(flows, "quantity_change")
    of_none = (flows["symbol"] == "").to_numpy(dtype=bool) & (change == 0)
    rules = [
        (~_among(flows["session"], books.equity["session"]), "its session is not in equity.csv"),
        (~interest & (column < 0), "its symbol is not in the bars"),
        (interest & ~of_none, "interest has no symbol and changes no shares"),
        *((~np.isfinite(numbers(flows, name)), f"{name} must be a number") for name in _FLOWS),
        (np.diff(row, prepend=0) < 0, "its session is before that of the cash flow above"),
    ]
    return check_rules("cash_flows.csv: sessions, symbols", rules, _label("cash_flows.csv,", flows, *_FLOW_NAMES))


def _fill_checks(books: Books, computed: Replay) -> list[Check]:
    trades, fills = books.trades, computed.fills
    label = _label("trades.csv, fill", trades, "fill_id")
    said, bar = numbers(fills, "said_reference"), numbers(fills, "reference")
    return [
        compare("trades.csv: prices of the bars", "the price without slippage", said, bar, PRICE, label),
        *_columns("trades.csv", trades, fills, {"notional": MONEY, "slippage": MONEY}, label),
        *_flow_checks(books, computed),  # before the cash after a fill, which has them in it
        *_columns("trades.csv", trades, fills, {"cash_after": MONEY, "position_after": SHARES}, label),
    ]


def _flow_checks(books: Books, computed: Replay) -> list[Check]:
    flows, interest = books.cash_flows[books.cash_flows["kind"] != INTEREST], computed.interest
    said, expected = (numbers(interest, name) for name in ("amount", "expected"))
    label = _label("cash_flows.csv, interest", interest, "session")
    return [
        *_rows("cash_flows.csv", "splits and dividends of the bars", flows, computed.actions, _FLOW_NAMES, _FLOWS),
        compare("cash_flows.csv: interest at one rate", "amount", said, expected, MONEY, label),
    ]


def _equity_checks(books: Books, computed: Replay, benchmark: FloatArray | None) -> list[Check]:
    said, expected, units = books.equity, computed.equity, _EQUITY
    if benchmark is not None:
        said = said.reindex(columns=["session", *_EQUITY, "benchmark"])  # NaN where a column is missing
        expected, units = expected.assign(benchmark=benchmark), {**_EQUITY, "benchmark": MONEY}
    return _columns("equity.csv", said, expected, units, _label("equity.csv,", said, "session"))


def _rows(
    file: str,
    what: str,
    said: pd.DataFrame,
    computed: pd.DataFrame,
    names: tuple[str, ...],
    units: Mapping[str, Unit],
) -> list[Check]:
    """Check that two tables have the same rows; before the first that differs, a number may be why it does."""
    check, same = check_names(file, what, said, computed, names)
    label = _label(f"{file},", said, *names)
    return [*_columns(file, said[:same], computed[:same], units, label), check]


def _identity_check(books: Books) -> Check:
    profit, flows = math.fsum(numbers(books.round_trips, "pnl")), math.fsum(numbers(books.cash_flows, "amount"))
    said, total = numbers(books.equity, "equity")[-1:], np.array([books.cash + profit + flows])
    name = "final equity = initial + profit of all lots + cash flows"
    return compare(name, "final equity", said, total, MONEY, lambda _: "equity.csv, last row")


def _metric_checks(books: Books, computed: Replay) -> list[Check]:
    equity, trades = numbers(computed.equity, "equity"), books.trades
    # Of the curve in the file, which agrees: how long a drawdown lasts may hang on the last bit of an equity.
    of_curve = measures(numbers(books.equity, "equity"), float(computed.fills["notional"].sum()))
    totals = {
        "initial_equity": float(equity[0]),
        "final_equity": float(equity[-1]),
        "total_commission": math.fsum(numbers(trades, "commission")),
        "total_slippage": math.fsum(numbers(computed.fills, "slippage")),
    }
    counts = {
        "n_fills": float(len(trades)),
        "n_sessions": float(len(equity)),
        "max_drawdown_sessions": of_curve.pop("max_drawdown_sessions"),
    }
    return [
        _metric_check("metrics.json: totals", books, totals, MONEY),
        _metric_check("metrics.json: measures", books, of_curve, FRACTION),
        _metric_check("metrics.json: counts", books, counts, COUNT),
        _window_check(books),
    ]


def _metric_check(name: str, books: Books, found: Mapping[str, float], unit: Unit) -> Check:
    names = list(found)
    said = np.array([_number(books.metrics.get(metric)) for metric in names])
    return compare(name, "it", said, np.array(list(found.values())), unit, lambda k: f"metrics.json, {names[k]}")


def _window_check(books: Books) -> Check:
    session, metrics = books.equity["session"], books.metrics
    said, found = (metrics.get("start"), metrics.get("end")), (session.iloc[0], session.iloc[-1])
    if said == found:
        return Check("metrics.json: start and end", True)
    text = f"metrics.json: start and end are {said[0]} and {said[1]}, equity.csv has {found[0]} and {found[1]}"
    return Check("metrics.json: start and end", False, first=text)


def _columns(
    file: str, said: pd.DataFrame, computed: pd.DataFrame, units: Mapping[str, Unit], label: Label
) -> list[Check]:
    return [
        compare(f"{file}: {name}", name, numbers(said, name), numbers(computed, name), unit, label)
        for name, unit in units.items()
    ]


def _label(where: str, table: pd.DataFrame, *columns: str) -> Label:
    return lambda row: " ".join([where, *(str(table[column].iloc[row]) for column in columns)])


def _among(column: pd.Series[Any], names: Iterable[str]) -> BoolArray:
    return column.isin(list(names)).to_numpy(dtype=bool)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan

"""The trade log: fills in memory, their table, its three file formats, and the FIFO round trips made of them."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from engine.arrays import FloatArray, IntArray, SessionArray
from engine.errors import InputError, RunFolderError
from engine.ledger import FLOW, Flow, Reason, RecordArray

COLUMNS = (
    "fill_id",
    "order_id",
    "session",
    "time_utc",
    "symbol",
    "side",
    "quantity",
    "price",
    "notional",
    "commission",
    "slippage",
    "cash_after",
    "position_after",
    "reason",
)
ROUND_TRIP_COLUMNS = (
    "symbol",
    "entry_session",
    "exit_session",
    "quantity",
    "entry_price",
    "exit_price",
    "costs",
    "pnl",
    "return",
    "sessions_held",
)
CASH_FLOW_COLUMNS = ("session", "kind", "symbol", "amount", "quantity_change")
REASONS = {
    Reason.REBALANCE: "rebalance",
    Reason.SHRUNK: "rebalance, shrunk to cash",
    Reason.PARTIAL: "rebalance, volume cap",
    Reason.SHRUNK_PARTIAL: "rebalance, volume cap, shrunk to cash",
    Reason.MARKET: "market order",
    Reason.CLOSE: "market order at the close",
    Reason.LIMIT: "limit order",
    Reason.STOP: "stop order",
    Reason.STOP_LIMIT: "stop limit order",
    Reason.SAME_CLOSE: "market order at the same close",
}
FORMATS = ("csv", "parquet", "jsonl")
_TEXT = {
    "fill_id",
    "order_id",
    "session",
    "time_utc",
    "symbol",
    "side",
    "reason",
    "entry_session",
    "exit_session",
}


@dataclass(frozen=True, slots=True)
class TradeLog:
    """Every fill of a run, in order of execution, and what else moved money or shares.

    Attributes
    ----------
    fills : (n,) records of `engine.ledger.FILL`, rows counted from ``sessions[0]``.
    flows : (m,) records of `engine.ledger.FLOW`; those of a session come before its fills.
    orders : (n,) number of the order that each fill is of, where a strategy places single orders; else empty.
    """

    fills: RecordArray
    sessions: SessionArray
    symbols: tuple[str, ...]
    flows: RecordArray = field(default_factory=lambda: np.empty(0, dtype=FLOW))
    orders: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.fills)

    def table(self) -> pd.DataFrame:
        """Return the table of trades.csv, one row a fill.

        Ids are the same in every repetition of a run. ``time_utc`` is midnight of the session: daily bars
        know no time of day.
        """
        fills = self.fills
        buy = fills["quantity"] > 0
        days = np.datetime_as_string(self.sessions, unit="D").astype(object)
        session = days[fills["row"]]
        symbol = np.array(self.symbols, dtype=object)[fills["symbol"]]
        side = np.where(buy, "buy", "sell").astype(object)
        order_id, fill_id = self._ids([f"{a}-{b}-{c}" for a, b, c in zip(session, symbol, side, strict=True)])
        quantity = np.abs(fills["quantity"])
        columns = {
            "fill_id": fill_id,
            "order_id": order_id,
            "session": session,
            "time_utc": (days + "T00:00:00Z")[fills["row"]],
            "symbol": symbol,
            "side": side,
            "quantity": quantity,
            "price": fills["price"],
            "notional": quantity * fills["price"],
            "commission": fills["commission"],
            "slippage": fills["slippage"],
            "cash_after": fills["cash_after"],
            "position_after": fills["position_after"],
            "reason": np.array([REASONS[reason] for reason in Reason], dtype=object)[fills["reason"]],
        }
        return pd.DataFrame(columns, columns=list(COLUMNS))

    def _ids(self, of_basket: list[str]) -> tuple[list[str], list[str]]:
        """Return each fill's order, and its own id: the order's with the number of the order's fill."""
        if not len(self.orders):
            return of_basket, [f"{order}-1" for order in of_basket]
        seen = pd.Series(self.orders).groupby(self.orders).cumcount() + 1
        orders = [f"order-{number}" for number in self.orders.tolist()]
        return orders, [f"{order}-{count}" for order, count in zip(orders, seen.tolist(), strict=True)]

    def flow_table(self) -> pd.DataFrame:
        """Return the table of cash_flows.csv: interest, dividends, splits, and cash for fractions of shares."""
        flows = self.flows
        names = np.array([*self.symbols, ""], dtype=object)
        columns = {
            "session": np.datetime_as_string(self.sessions, unit="D").astype(object)[flows["row"]],
            "kind": np.array([kind.name.lower() for kind in Flow], dtype=object)[flows["kind"]],
            "symbol": names[flows["symbol"]],
            "amount": flows["amount"],
            "quantity_change": flows["quantity_change"],
        }
        return pd.DataFrame(columns, columns=list(CASH_FLOW_COLUMNS))


def write_table(table: pd.DataFrame, path: Path, kind: str) -> None:
    """Write a table as csv, parquet or jsonl, floats unrounded.

    Raises
    ------
    InputError
        When ``kind`` is not one of `FORMATS`, or the file cannot be written.
    """
    if kind not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, was {kind!r}")
    # Written beside and renamed, so that a full disk leaves an earlier file as it was.
    beside = path.with_name(f".{path.name}.new")
    try:
        if kind == "csv":
            _write_csv(table, beside)
        elif kind == "parquet":
            table.to_parquet(beside, index=False)
        else:
            beside.write_text(_jsonl(table), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}; choose another --out") from error


def read_table(path: Path, kind: str | None = None) -> pd.DataFrame:
    """Read a table that `write_table` wrote; text columns stay text, so that a symbol "NA" or "0005.HK" survives.

    Parameters
    ----------
    kind : format; the file's suffix when None.

    Raises
    ------
    RunFolderError
        When the file is missing or not such a table.
    """
    kind = kind or path.suffix.lstrip(".")
    try:
        if kind == "parquet":
            return pd.read_parquet(path)
        if kind == "jsonl":
            return _read_jsonl(path)
        found = pd.read_csv(
            path,
            dtype=dict.fromkeys(_TEXT, "str"),
            keep_default_na=False,
            na_values={column: [""] for column in (*COLUMNS, *ROUND_TRIP_COLUMNS) if column not in _TEXT},
        )
        whole = found.select_dtypes("integer").columns.difference(["sessions_held"])  # 10.0 is written as 10
        return found.astype(dict.fromkeys(whole, "float64"))
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} does not exist: is its folder a finished run?") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read as {kind}: {error}") from error


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    # Arrow writes the shortest text that reads back as the same double, nine times faster than pandas.
    import pyarrow as pa
    from pyarrow import csv

    columns = pa.Table.from_pandas(table, preserve_index=False)
    try:
        csv.write_csv(columns, path, csv.WriteOptions(quoting_style="none", quoting_header="none"))
    except pa.ArrowInvalid:  # a symbol with a comma or a quote in it
        csv.write_csv(columns, path, csv.WriteOptions(quoting_style="needed", quoting_header="none"))


def _jsonl(table: pd.DataFrame) -> str:
    # pandas rounds floats to 15 decimals in JSON; the json module writes them so that they read back exactly.
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _read_jsonl(path: Path) -> pd.DataFrame:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return pd.DataFrame(records) if records else pd.DataFrame(columns=list(COLUMNS))


@dataclass(slots=True)
class _Lot:
    row: int
    quantity: float
    price: float
    cost_per_share: float


def round_trips(trades: TradeLog, final_mark: FloatArray) -> pd.DataFrame:
    """Match buys and sells first in, first out; what is still held comes last, valued at ``final_mark``.

    ``costs`` are the commissions of entry and exit in proportion to the quantity, and ``pnl`` is after them
    (slippage is in the prices); ``return`` is pnl over the entry's notional. An open lot has an empty
    ``exit_session`` and the mark as ``exit_price``. The sum of pnl is final minus initial equity, cash flows
    apart: a split restates quantity and entry price, and cash for a fraction of a share is a cash flow. The
    quantity of a short lot is negative.

    Parameters
    ----------
    final_mark : (N,) last known closes.
    """
    book = _Lots(len(trades.symbols))
    columns = ["row", "symbol", "quantity", "price", "commission", "position_after"]
    flows = deque(trades.flows[trades.flows["quantity_change"] != 0][["row", "symbol", "quantity_change"]].tolist())
    for row, i, quantity, price, fee, position in trades.fills[columns].tolist():
        while flows and flows[0][0] <= row:
            book.restate(*flows.popleft())
        book.fill(row, i, quantity, price, fee, position)
    for flow in flows:
        book.restate(*flow)
    book.value(final_mark)
    return _round_trip_table(book.rows, trades)


class _Lots:
    """Open lots of each symbol, oldest first, of one sign; rows are (symbol, entry, exit, quantity, prices, costs)."""

    def __init__(self, n_symbols: int) -> None:
        self._lots: list[deque[_Lot]] = [deque() for _ in range(n_symbols)]
        self.rows: list[tuple[int, int, int, float, float, float, float]] = []

    def fill(self, row: int, i: int, quantity: float, price: float, fee: float, position: float) -> None:
        lots, per_share = self._lots[i], fee / abs(quantity)
        # Fractions do not add up exactly: a sale of everything must leave no lot of 1e-17 shares open.
        left, sign = np.inf if position == 0 else abs(quantity), np.sign(quantity)
        while left > 0 and lots and np.sign(lots[0].quantity) != sign:
            part = min(left, abs(lots[0].quantity))
            self._close(row, i, part, price, part * (lots[0].cost_per_share + per_share))
            left -= part
        if 0 < left < np.inf:
            lots.append(_Lot(row, sign * left, price, per_share))

    def restate(self, row: int, i: int, quantity_change: float) -> None:
        """Spread a change of shares without a price, such as a split, over the lots; what was paid stays the same."""
        lots = self._lots[i]
        held = sum(lot.quantity for lot in lots)
        ratio = (held + quantity_change) / held
        if abs(ratio) < 1e-9:  # nothing is left: a reverse split paid out in cash
            for lot in list(lots):
                self._close(row, i, abs(lot.quantity), 0.0, abs(lot.quantity) * lot.cost_per_share)
            return
        for lot in lots:
            lot.quantity, lot.price, lot.cost_per_share = (
                lot.quantity * ratio,
                lot.price / ratio,
                lot.cost_per_share / ratio,
            )

    def value(self, final_mark: FloatArray) -> None:
        for i, lots in enumerate(self._lots):
            mark = float(final_mark[i])
            for lot in lots:
                costs = abs(lot.quantity) * lot.cost_per_share
                self.rows.append((i, lot.row, -1, lot.quantity, lot.price, mark, costs))

    def _close(self, row: int, i: int, part: float, price: float, costs: float) -> None:
        lot = self._lots[i][0]
        sign = np.sign(lot.quantity)
        self.rows.append((i, lot.row, row, sign * part, lot.price, price, costs))
        lot.quantity -= sign * part
        if lot.quantity * sign <= 0:
            self._lots[i].popleft()


def _round_trip_table(rows: list[tuple[int, int, int, float, float, float, float]], trades: TradeLog) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame(columns=list(ROUND_TRIP_COLUMNS))
    symbol, entry, exit_, quantity, entry_price, exit_price, costs = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    names = np.datetime_as_string(trades.sessions, unit="D").astype(object)
    pnl = quantity * (exit_price - entry_price) - costs
    last = len(trades.sessions) - 1
    return pd.DataFrame(
        {
            "symbol": np.array(trades.symbols, dtype=object)[symbol],
            "entry_session": names[entry],
            "exit_session": np.where(exit_ >= 0, names[exit_], "").astype(object),
            "quantity": quantity,
            "entry_price": entry_price,
            "exit_price": exit_price,
            "costs": costs,
            "pnl": pnl,
            "return": pnl / (np.abs(quantity) * entry_price),
            "sessions_held": np.where(exit_ >= 0, exit_, last) - entry,
        }
    )

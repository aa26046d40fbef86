"""OrderBroker: backtrader's own matching of single orders, with this project's costs, cash flows and trade log."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, NoReturn

import backtrader as bt
import numpy as np

from engine.errors import InputError
from engine.ledger import FillTiming, Reason
from engine.orders import OrderAccount, PlacedOrder
from engine.result import Result

logger = logging.getLogger(__name__)

_REASONS = {
    bt.Order.Market: Reason.MARKET,
    bt.Order.Close: Reason.CLOSE,
    bt.Order.Limit: Reason.LIMIT,
    bt.Order.Stop: Reason.STOP,
    bt.Order.StopTrail: Reason.STOP,
    bt.Order.StopLimit: Reason.STOP_LIMIT,
    bt.Order.StopTrailLimit: Reason.STOP_LIMIT,
}
_EPOCH = bt.date2num(datetime(1970, 1, 1))


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise InputError(
            f"broker.{name} is not the strategy's to call: cash, costs and when orders execute are the terms of the "
            "run (engine.rebalancer.Terms, or the flags of marsfolio backtest); remove the call"
        )

    return refuse


class OrderBroker(bt.brokers.BackBroker):
    """Fills the orders of an ordinary backtrader strategy; its feeds are those of `data_feeds.feeds.panel_feeds`.

    Which orders execute, in which bar and at which reference price, is backtrader's own broker's doing: with a
    commission in basis points alone, fills and cash are the same as there. Here are the costs of the account's
    terms, its cash flows, and a record of everything. It differs from backtrader's broker, on purpose, in these:

    * A symbol trades in the sessions in which it has a bar: backtrader matches limit and stop orders of a symbol
      that pauses against its last bar, again and again. Before its first bar, orders for it are rejected.
    * Orders placed before the account's first session, or with a NaN in them, are rejected.
    * ``same_close``: market orders execute at the close they were placed at, before anything that happens later;
      what the volume cap leaves over, and orders for a symbol that pauses, wait for its next open.
    * A participation cap fills an order in part, and the rest stays working. Each fill pays its own commission.
    * A limit order never executes worse than its limit, slippage included; prices may slip out of the bar's range.
    * Over a split, open orders are restated as exchanges do, sizes times the ratio (whole shares stay whole; an
      order for less than one is cancelled) and prices over it; so are positions and open trades. Dividends change
      no orders.

    Parameters
    ----------
    account : books fills and flows; a broker is for one run.
    """

    def __init__(self, account: OrderAccount) -> None:
        self._account = account
        self._commission = _Commission(account)
        days = account.panel.sessions.astype("int64").tolist()
        self._rows = {_EPOCH + day: row for row, day in enumerate(days)}
        self._columns = {name: column for column, name in enumerate(account.panel.symbols)}
        self._row = self._previous_row = -1
        self._at_close = False  # True while orders of same_close are matched, which belong to the close before
        self._taken = 0.0
        self._numbers: dict[int, int] = {}
        self._told: Counter[str] = Counter()
        self._toactivate: deque[bt.Order] = deque()
        self.p.cash = account.terms.cash
        super().__init__()
        self.p.filler = lambda order, price, ago: self._taken

    def result(self) -> Result:
        """Return everything recorded, and what a reader should know of orders that came to nothing."""
        result = self._account.result()
        counts = {"Margin": "for lack of cash", "Rejected": "because they could not be placed"}
        notes = [
            f"orders refused {why} (status {status}): {self._told[status]}"
            for status, why in counts.items()
            if self._told[status]
        ]
        ruined = np.flatnonzero(result.equity <= 0)
        if len(ruined):
            notes.append(f"the account was worth nothing or less on {result.sessions[ruined[0]]}: it is ruined")
        return replace(result, notes=tuple(notes))

    def notify(self, order: bt.Order) -> None:
        """Tell the strategy of an order's change of state."""
        self._told[order.getstatusname()] += 1
        super().notify(order)

    def getcommissioninfo(self, data: Any) -> bt.CommInfoBase:
        """Return the account's commission, the same for all symbols."""
        return self._commission

    set_cash = setcash = _refused("set_cash")
    add_cash = _refused("add_cash")
    setcommission = _refused("setcommission")
    addcommissioninfo = _refused("addcommissioninfo")
    set_slippage_perc = _refused("set_slippage_perc")
    set_slippage_fixed = _refused("set_slippage_fixed")
    set_filler = _refused("set_filler")
    set_coc = _refused("set_coc")
    set_coo = _refused("set_coo")
    set_shortcash = _refused("set_shortcash")
    set_fund_history = _refused("set_fund_history")
    add_order_history = _refused("add_order_history")

    def submit(self, order: bt.Order, check: bool = True) -> bt.Order:
        """Take an order, or reject one that cannot be.

        Raises
        ------
        InputError
            When the order's feed is not one of the panel's.
        """
        column, created = self._column(order.data), order.created
        refusal = self._refusal(order)
        if refusal:
            logger.debug("%s order for %s rejected: %s", order.getordername(), order.data._name, refusal)
            order.reject(self)
            self.notify(order)
            return order
        self._numbers[order.ref] = self._account.place(
            PlacedOrder(self._row, column, float(order.size), order.getordername(), created.price, created.pricelimit)
        )
        return super().submit(order, check)

    def next(self) -> None:
        """Carry the account to the session that has just closed; Cerebro calls this before the strategy acts."""
        account = self._account
        self._previous_row, self._row = self._row, self._current_row()
        if self._row < account.first:
            super().next()
        elif self._row > account.last:
            self.cerebro.runstop()
        else:
            later = self._match_close() if account.terms.timing is FillTiming.SAME_CLOSE else deque()
            self._begin_session()
            super().next()
            self._toactivate.extendleft(reversed(later))
            account.close(self._row)
            self._value = account.equity

    def stop(self) -> None:
        """Carry the account to its last session: past sessions in which no symbol has a bar, or a run that stopped."""
        super().stop()
        account = self._account
        for row in range(account.closed + 1, account.last + 1):
            account.begin(row)
            account.close(row)
        self.cash, self._value = account.cash, account.equity

    def _current_row(self) -> int:
        now = max(data.datetime[0] for data in self.cerebro.datas if len(data))
        if now not in self._rows:
            raise InputError(
                f"{bt.num2date(now)} is no session of {self._account.panel.source}: give Cerebro the feeds of "
                "panel_feeds"
            )
        return self._rows[now]

    def _column(self, data: Any) -> int:
        if data._name not in self._columns:
            raise InputError(
                f"the feed {data._name!r} is no symbol of {self._account.panel.source}: give Cerebro the feeds of "
                "panel_feeds"
            )
        return self._columns[data._name]

    def _has_bar(self, row: int, column: int) -> bool:
        return bool(self._account.panel.has_bar[row, column])

    def _refusal(self, order: bt.Order) -> str:
        if self._row < self._account.first:
            return "it was placed before the first session of the run"
        if not len(order.data):
            return "the symbol has no bar yet"
        numbers = (order.size, order.created.price, order.created.pricelimit)
        return "" if all(map(math.isfinite, numbers)) else f"size, price and limit must be finite, were {numbers}"

    def _begin_session(self) -> None:
        """Book the flows of this session, and of those before it in which no symbol had a bar."""
        account = self._account
        for row in range(account.closed + 1, self._row + 1):
            for column, ratio in account.begin(row):
                self._restate(column, ratio)
            if row < self._row:
                account.close(row)
        self.cash = account.cash

    def _match_close(self) -> deque[bt.Order]:
        """Match the market orders of the close before, ahead of what happens after it, such as a split.

        Returns the orders to activate in the next session, as backtrader does after an execution.
        """
        self._at_close = True
        super().next()
        self._at_close = False
        later, self._toactivate = self._toactivate, deque()
        return later

    def _try_exec(self, order: bt.Order) -> None:
        if self._at_close:
            placed = self._rows[order.created.dt]
            if order.exectype != bt.Order.Market or not order.info.get("coc", True) or placed != self._previous_row:
                return
            order.addinfo(coc=False)  # one chance: what is left waits for the next open
        elif not self._has_bar(self._row, self._column(order.data)):
            return
        super()._try_exec(order)

    def _try_exec_market(self, order: bt.Order, popen: float, phigh: float, plow: float) -> None:
        if self._at_close:
            self._execute(order, ago=0, price=order.created.pclose, dtcoc=order.created.dt)
        else:
            at_close = self._account.terms.timing is FillTiming.NEXT_CLOSE
            self._execute(order, ago=0, price=order.data.close[0] if at_close else popen)

    def _execute(
        self,
        order: bt.Order,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: bt.Position | None = None,
        dtcoc: float | None = None,
    ) -> float | None:
        """Execute at the account's prices and book it there; without ``ago`` it is the check of a new order's cash."""
        with self._commission.of_one_order():
            if ago is None or price is None:
                checked: float = super()._execute(order, cash=cash, position=position)
                return checked
            row, column = self._row if dtcoc is None else self._rows[dtcoc], self._column(order.data)
            quantity = self._account.takes(row, column, order.executed.remsize)
            if quantity:
                executed = _bounded(order, self._account.price(row, column, quantity, price))
                self._taken = abs(quantity)
                bits = len(order.executed.exbits)
                super()._execute(order, ago, executed, dtcoc=dtcoc)
                if len(order.executed.exbits) > bits:
                    size = order.executed.exbits[-1].size  # less than quantity when cash pays for a part only
                    reason = Reason.SAME_CLOSE if self._at_close else _REASONS[order.exectype]
                    number = self._numbers[order.ref]
                    self._account.fill(row, column, size, executed, price, reason, number)
                    self.cash = self._account.cash
        return None

    def _restate(self, column: int, ratio: float) -> None:
        """Restate what is held and ordered in the shares of after a split."""
        data = self.cerebro.datasbyname[self._account.panel.symbols[column]]
        position, shares = self.positions[data], float(self._account.quantity[column])
        for trade in self._open_trades(data):
            # With several trade ids a fraction paid out belongs to none of them: each loses its part.
            part = shares / position.size if position.size else ratio
            trade.size = shares if trade.size == position.size else trade.size * part
            trade.price /= ratio
        position.size = int(shares) if shares.is_integer() else shares
        position.price /= ratio
        for order in self._open_orders(data):
            _restate_order(order, ratio, whole=not self._account.terms.fractional)
            if not order.executed.remsize:
                self._drop(order)

    def _open_trades(self, data: Any) -> Iterator[bt.Trade]:
        for strategy in self.cerebro.runningstrats:
            yield from (trades[-1] for trades in strategy._trades[data].values() if trades and trades[-1].isopen)

    def _open_orders(self, data: Any) -> list[bt.Order]:
        waiting = chain(self.pending, self.submitted, *self._pchildren.values())
        found = {order.ref: order for order in waiting if order.data is data and order.alive()}
        return list(found.values())

    def _drop(self, order: bt.Order) -> None:
        if self.cancel(order):
            return
        if order in self.submitted:
            self.submitted.remove(order)
        order.cancel()
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)


class _Commission(bt.CommInfoBase):
    """The account's commission as backtrader asks for it.

    backtrader charges an order that turns a position in two steps, for what it closes and for what it opens. The
    second step pays the difference to the commission of the whole: minimum, maximum and tiers are an order's.
    """

    def __init__(self, account: OrderAccount) -> None:
        super().__init__()
        self._account = account
        self._charged: float | None = None  # shares that the order being executed has paid for

    @contextmanager
    def of_one_order(self) -> Iterator[None]:
        self._charged = 0.0
        try:
            yield
        finally:
            self._charged = None

    def getcommission(self, size: float, price: float) -> float:
        fee = self._account.fee
        if not self._charged:
            self._charged = None if self._charged is None else size
            return fee(size, price)
        return fee(self._charged + size, price) - fee(self._charged, price)

    def confirmexec(self, size: float, price: float) -> None:
        """Do nothing: the account books what is executed."""

    def get_credit_interest(self, data: Any, pos: bt.Position, dt: datetime) -> float:
        """Return 0: the account books interest."""
        return 0.0

    def getsize(self, price: float, cash: float) -> float:
        if self._account.terms.fractional:
            return cash / price
        size: int = super().getsize(price, cash)
        return size


def _bounded(order: bt.Order, price: float) -> float:
    """Return a price no worse than the order's limit, if it has one."""
    if _REASONS[order.exectype] not in (Reason.LIMIT, Reason.STOP_LIMIT):
        return price
    limit: float = order.created.price if order.exectype == bt.Order.Limit else order.created.pricelimit
    return min(price, limit) if order.isbuy() else max(price, limit)


def _restate_order(order: bt.Order, ratio: float, whole: bool) -> None:
    """Express what is left of an order, and its prices, in the shares of after a split."""
    left = order.executed.remsize * ratio
    if whole:
        left = math.copysign(math.floor(abs(left) * (1 + 1e-12)), left)
    order.executed.remsize = left
    order.size = order.created.size = order.executed.size + left
    for name in ("price", "pricelimit", "plimit", "pclose", "trailamount"):
        for terms in (order, order.created):
            if getattr(terms, name, None):
                setattr(terms, name, getattr(terms, name) / ratio)
    order._limitoffset /= ratio

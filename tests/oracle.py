"""What a portfolio must do, in plain Python, sharing no code with the engine.

Written from the words of the design and of the engine's public docstrings, one rule a method; rows are lists.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

Row = Sequence[float]

PASSED_OVER = math.nan
"""A weight that keeps the shares, or a missing bar."""


class OracleFill(NamedTuple):
    """One fill; quantity is signed (buys > 0), price has the slippage in it."""

    row: int
    symbol: int
    quantity: float
    price: float
    commission: float
    cash_after: float
    reason: str = ""


class OracleFlow(NamedTuple):
    """What moved money or shares without being a fill; symbol -1 for none."""

    row: int
    kind: str
    symbol: int
    amount: float
    quantity_change: float


class OracleBars(NamedTuple):
    """Bars (T, N), NaN where missing; splits of 1 and dividends of 0 where nothing happens."""

    days: Sequence[date]
    open: Sequence[Row]
    close: Sequence[Row]
    volume: Sequence[Row] = ()
    split: Sequence[Row] = ()
    dividend: Sequence[Row] = ()


@dataclass
class OracleCosts:
    """Costs as a user states them; ``commission_tiers`` are dictionaries of above, bps and per_share."""

    commission_bps: float = 0.0
    slippage_bps: float = 0.0
    commission_per_share: float = 0.0
    commission_minimum: float = 0.0
    commission_maximum_bps: float | None = None
    commission_tiers: Sequence[dict[str, float]] = ()
    tier_unit: str = "shares"
    sell_fee_bps: float = 0.0
    sell_fee_per_share: float = 0.0
    half_spread: float = 0.0
    impact: float = 0.0
    participation_cap: float | None = None
    cash_rate: float = 0.0
    margin_rate: float = 0.0

    def price(self, quantity: float, reference: float, volatility: float, volume: float) -> float:
        """Make the reference price worse, by half of itself at most."""
        worse = self.slippage_bps / 10_000 + self.half_spread / reference
        if self.impact:
            worse += self.impact * volatility * math.sqrt(abs(quantity) / volume)
        worse = min(worse, 0.5)
        return reference * (1 + worse if quantity > 0 else 1 - worse)

    def commission(self, quantity: float, price: float, traded: float) -> float:
        """Charge each part of an order by the tier it falls into, then the bounds, then the fees on sales."""
        shares, notional = abs(quantity), abs(quantity) * price
        fee = sum(
            part * (notional * bps / 10_000 + shares * per_share)
            for part, bps, per_share in self._parts(shares, notional, traded)
        )
        fee = max(fee, self.commission_minimum)
        if self.commission_maximum_bps is not None:
            fee = min(fee, notional * self.commission_maximum_bps / 10_000)
        if quantity < 0:
            fee += notional * self.sell_fee_bps / 10_000 + shares * self.sell_fee_per_share
        return fee

    def size(self, quantity: float, price: float) -> float:
        """Count a trade as the tiers do."""
        return abs(quantity) if self.tier_unit == "shares" else abs(quantity) * price

    def _parts(self, shares: float, notional: float, traded: float) -> list[tuple[float, float, float]]:
        if not self.commission_tiers:
            return [(1.0, self.commission_bps, self.commission_per_share)]
        size = shares if self.tier_unit == "shares" else notional
        parts, done, left = [], traded, size
        steps = [{"above": 0.0, "bps": self.commission_bps, "per_share": self.commission_per_share}]
        steps += self.commission_tiers
        for step, following in zip(steps, [*steps[1:], {"above": math.inf}], strict=True):
            taken = min(left, max(following["above"] - done, 0.0))
            parts.append((taken / size, step["bps"], step["per_share"]))
            done, left = done + taken, left - taken
        return parts


@dataclass
class Oracle:
    """An account that follows target weights.

    Parameters
    ----------
    timing : next_open, next_close or same_close.
    limits : cap and cash buffer; None when weights are taken as they are.
    schedule : daily, weekly or monthly.
    """

    cash: float = 1_000_000.0
    costs: OracleCosts = field(default_factory=OracleCosts)
    timing: str = "next_open"
    fractional: bool = False
    limits: tuple[float, float] | None = None
    schedule: str = "daily"
    fills: list[OracleFill] = field(default_factory=list)
    flows: list[OracleFlow] = field(default_factory=list)
    equity_rows: list[float] = field(default_factory=list)
    cash_rows: list[float] = field(default_factory=list)
    target_rows: list[list[float]] = field(default_factory=list)

    def run(self, bars: OracleBars, weights: Sequence[Row], first: int = 0, last: int | None = None) -> Oracle:
        """Trade the rows ``first`` to ``last`` of bars (T, N) to weights (T, N), NaN where shares are kept."""
        self.bars, self.first, n = bars, first, len(bars.close[0])
        self.held = [0.0] * n
        self.last_close = [PASSED_OVER] * n
        self.wanted: dict[int, float] = {}
        self.traded_this_month = 0.0
        self.last_period: object = None
        for t in range(first, len(bars.close) if last is None else last + 1):
            if self.timing == "same_close" and t > first:
                self._execute(bars.close[t - 1], t - 1)
            if t > first:
                self._before_the_open(t)
            if self.timing != "same_close":
                self._execute((bars.open if self.timing == "next_open" else bars.close)[t], t)
            for i in range(n):
                if not math.isnan(bars.close[t][i]):
                    self.last_close[i] = bars.close[t][i]
            self.equity_rows.append(self._equity())
            self.cash_rows.append(self.cash)
            self._decide(weights[t], t)
        return self

    def _equity(self) -> float:
        value = self.cash
        for shares, price in zip(self.held, self.last_close, strict=True):
            if shares:
                value += shares * price
        return value

    def _before_the_open(self, t: int) -> None:
        today, before = self.bars.days[t], self.bars.days[t - 1]
        if (today.year, today.month) != (before.year, before.month):
            self.traded_this_month = 0.0
        rate = self.costs.cash_rate if self.cash > 0 else self.costs.margin_rate
        self._flow(t, "interest", -1, self.cash * rate * (today - before).days / 360, 0.0)
        if not self.bars.split:
            return
        for i, ratio in enumerate(self.bars.split[t]):
            if ratio != 1:
                self._split(t, i, ratio)
        for i, dividend in enumerate(self.bars.dividend[t]):
            self._flow(t, "dividend", i, dividend * self.held[i], 0.0)

    def _split(self, t: int, i: int, ratio: float) -> None:
        """Restate shares, orders and the last close; a fraction of a share is paid out at that close."""
        self.last_close[i] /= ratio
        if i in self.wanted:
            self.wanted[i] = self._whole(self.wanted[i] * ratio)
        exact = self.held[i] * ratio
        whole = self._whole(exact)
        self._flow(t, "split", i, 0.0, exact - self.held[i])
        self.held[i] = whole
        if exact - whole > 1e-9 * exact:
            self._flow(t, "cash_in_lieu", i, (exact - whole) * self.last_close[i], whole - exact)

    def _whole(self, shares: float) -> float:
        # A ratio such as 0.29 is a little off, and 100 * 0.29 would lose a share.
        return shares if self.fractional else math.floor(shares + 1e-9)

    def _flow(self, t: int, kind: str, i: int, amount: float, change: float) -> None:
        if amount or change:
            self.cash += amount
            self.flows.append(OracleFlow(t - self.first, kind, i, amount, change))

    def _decide(self, weights: Row, t: int) -> None:
        """Turn weights into the shares wanted, when the schedule allows and there is anything to do."""
        self.target_rows.append([PASSED_OVER] * len(weights))
        day, period = self.bars.days[t], None
        if self.schedule == "weekly":
            period = tuple(day.isocalendar())[:2]
        elif self.schedule == "monthly":
            period = (day.year, day.month)
        if all(math.isnan(weight) for weight in weights) or (period is not None and period == self.last_period):
            return
        self.last_period = period
        equity, close = self._equity(), self.bars.close[t]
        seen = [PASSED_OVER if math.isnan(price) else weight for weight, price in zip(weights, close, strict=True)]
        self.target_rows[-1] = self._limited(seen, equity)
        for i, weight in enumerate(self.target_rows[-1]):
            if not math.isnan(weight):
                shares = weight * equity / close[i]
                self.wanted[i] = shares if self.fractional else math.floor(shares)

    def _limited(self, weights: list[float], equity: float) -> list[float]:
        if self.limits is None:
            return weights
        cap, buffer = self.limits
        free = 1 - buffer
        for i, weight in enumerate(weights):
            if math.isnan(weight) and self.held[i]:
                free -= self.held[i] * self.last_close[i] / equity
        cut = [weight if math.isnan(weight) else min(max(weight, 0.0), cap) for weight in weights]
        total = sum(weight for weight in cut if not math.isnan(weight))
        scale = max(free, 0.0) / total if total > max(free, 0.0) else 1.0
        return [weight * scale for weight in cut]

    def _execute(self, prices: Row, row: int) -> None:
        """Sell, then buy what the cash pays for; every order is filled or forgotten."""
        orders, partial = {}, set()
        for i, wanted in sorted(self.wanted.items()):
            change = wanted - self.held[i]
            if math.isnan(prices[i]) or not abs(change) > 1e-12 * self.held[i]:  # less is rounding
                continue
            most = self._most(i, row)
            if abs(change) > most:
                change = math.copysign(most if self.fractional else math.floor(most), change)
                partial.add(i)
            orders[i] = change
        self.wanted = {}
        for i, quantity in orders.items():
            if quantity < 0:
                self._fill(i, quantity, prices[i], row, "partial" if i in partial else "")
        buys, shrunk = self._affordable({i: q for i, q in orders.items() if q > 0}, prices, row)
        for i, quantity in buys.items():
            words = [word for word, said in (("partial", i in partial), ("shrunk", shrunk)) if said]
            self._fill(i, quantity, prices[i], row, " ".join(words))

    def _most(self, i: int, row: int) -> float:
        """Return the shares that the volume lets an order take; nothing trades in an empty market."""
        if self.costs.participation_cap is None and not self.costs.impact:
            return math.inf
        volume = self.bars.volume[row][i]
        if volume == 0:
            return 0.0
        return math.inf if self.costs.participation_cap is None else self.costs.participation_cap * volume

    def _affordable(self, buys: dict[int, float], prices: Row, row: int) -> tuple[dict[int, float], bool]:
        shrunk = False
        while True:
            left, traded, kept = self.cash, self.traded_this_month, {}
            for i, quantity in buys.items():
                price, fee = self._price_and_fee(i, quantity, prices[i], row, traded)
                if shrunk and fee >= quantity * price:
                    continue
                kept[i] = quantity
                left = left - quantity * price - fee
                traded += self.costs.size(quantity, price)
            if left >= 0:
                return kept, shrunk
            shrunk = True
            # A cost one rounding error above the cash would give a factor of 1 and no end.
            factor = min(self.cash / (self.cash - left), math.nextafter(1.0, 0.0))
            smaller = {i: q * factor if self.fractional else math.floor(q * factor) for i, q in kept.items()}
            buys = {i: q for i, q in smaller.items() if q > 0}

    def _price_and_fee(self, i: int, quantity: float, reference: float, row: int, traded: float) -> tuple[float, float]:
        volume = self.bars.volume[row][i] if self.bars.volume else PASSED_OVER
        price = self.costs.price(quantity, reference, self._volatility(i, row), volume)
        return price, self.costs.commission(quantity, price, traded)

    def _volatility(self, i: int, row: int) -> float:
        """Return the deviation of the returns in the 21 sessions before; 2 % when fewer than five are known."""
        returns = []
        for k in range(max(row - 21, 1), row):
            before, after = self.bars.close[k - 1][i], self.bars.close[k][i]
            if not (math.isnan(before) or math.isnan(after)):
                split, dividend = (self.bars.split[k][i], self.bars.dividend[k][i]) if self.bars.split else (1.0, 0.0)
                returns.append((after + dividend) * split / before - 1)
        return statistics.stdev(returns) if len(returns) >= 5 else 0.02

    def _fill(self, i: int, quantity: float, reference: float, row: int, reason: str) -> None:
        price, fee = self._price_and_fee(i, quantity, reference, row, self.traded_this_month)
        if quantity < 0 and self.cash - quantity * price - fee < 0:
            return  # nobody lends the fee
        self.cash = self.cash - quantity * price - fee
        self.held[i] += quantity
        self.traded_this_month += self.costs.size(quantity, price)
        self.fills.append(OracleFill(row - self.first, i, quantity, price, fee, self.cash, reason))

"""Curves of the page: the account against holding its symbols equally, and the weights of its agents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

from marsfolio.page.reading import CloseRow, PlanRow

SPLIT = "split"
Movements = Sequence[tuple[date, str, str, float, float]]


def equal_weight(
    closes: Sequence[CloseRow], symbols: Sequence[str], splits: Mapping[tuple[date, str], float]
) -> list[float]:
    """Return what the account's first equity would be worth, put equally into its symbols then and left alone.

    Parameters
    ----------
    symbols : those without a price at the first close take no part.
    splits : shares after for each share before, where the account's books saw one.

    Returns
    -------
    (T,) account currency, without costs and dividends; empty when there is nothing to hold.
    """
    if not closes:
        return []
    first = closes[0]
    held = {symbol: 1.0 / price for symbol in symbols if (price := first.marks.get(symbol, 0.0)) > 0}
    if not held:
        return []
    unit = first.equity / len(held)
    values = []
    for close in closes:
        for symbol in held:
            held[symbol] *= splits.get((close.session, symbol), 1.0)
        values.append(unit * sum(shares * close.marks.get(symbol, 0.0) for symbol, shares in held.items()))
    return values


def splits_of(
    movements: Movements, plans: Sequence[PlanRow], closes: Sequence[CloseRow]
) -> dict[tuple[date, str], float]:
    """Return shares after for each share before a split, from what it did to the shares held.

    A plan of its session was made before the split or after it, depending on the broker: the price says which.

    Parameters
    ----------
    movements : session, kind, symbol, amount, signed shares.
    """
    held = {plan.session: dict(zip(plan.document["symbols"], plan.document["held"], strict=True)) for plan in plans}
    growth = {now.session: (before.marks, now.marks) for before, now in pairwise(closes)}
    found = {}
    for session, kind, symbol, _, change in movements:
        shares = held.get(session, {}).get(symbol) or 0.0
        before, now = (marks.get(symbol, 0.0) for marks in growth.get(session, ({}, {})))
        if kind != SPLIT or not shares > 0 or not before > 0 or not now > 0:
            continue
        ratios = [1.0, (shares + change) / shares, *([shares / (shares - change)] if shares > change else [])]
        found[session, symbol] = min((r for r in ratios if r > 0), key=lambda r: abs(math.log(r * now / before)))
    return found


def drawdown(values: Sequence[float]) -> list[float]:
    """Return (T,) the fall from the highest value so far, a positive fraction."""
    peak, falls = 0.0, []
    for value in values:
        peak = max(peak, value)
        falls.append(1 - value / peak if peak > 0 else 0.0)
    return falls


def agent_weights(plans: Sequence[PlanRow]) -> dict[str, list[float | None]]:
    """Return (plans with agents,) weights by agent; empty for a strategy without agents."""
    latest: Mapping[str, float] = next(
        (plan.document["agent_weights"] for plan in reversed(plans) if plan.document["agent_weights"]), {}
    )
    told = [plan.document["agent_weights"] for plan in plans if plan.document["agent_weights"]]
    return {name: [weights.get(name) for weights in told] for name in latest}

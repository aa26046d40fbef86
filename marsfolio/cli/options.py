"""Flags that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engine.rebalancer import Terms


class Fill(StrEnum):
    """Values of ``--fill``."""

    NEXT_OPEN = "next_open"
    NEXT_CLOSE = "next_close"
    SAME_CLOSE = "same_close"


class Engine(StrEnum):
    """Values of ``--engine``."""

    CEREBRO = "cerebro"
    KERNEL = "kernel"


class Rebalance(StrEnum):
    """Values of ``--rebalance``."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


Data = Annotated[Path | None, typer.Option(help="Bars: one long parquet or CSV file. The bundled sample when absent.")]
Symbols = Annotated[str | None, typer.Option(help="Comma-separated symbols to use; all in the data when absent.")]
Cash = Annotated[float, typer.Option(help="Initial cash.")]
CommissionBps = Annotated[float, typer.Option(help="Commission, basis points of the traded value.")]
SlippageBps = Annotated[float, typer.Option(help="How much worse than the bar's price orders execute, basis points.")]
FillOption = Annotated[Fill, typer.Option(help="When orders execute; same_close is optimistic.")]
Fractional = Annotated[bool, typer.Option("--fractional/--no-fractional", help="Trade fractions of shares.")]
Cap = Annotated[float | None, typer.Option(help="Largest weight of one symbol. 0.2 for models, none for strategies.")]
CashBuffer = Annotated[
    float | None, typer.Option(help="Smallest weight of cash. 0.05 for models, none for strategies.")
]


def terms_of(cash: float, commission_bps: float, slippage_bps: float, fill: Fill, fractional: bool) -> Terms:
    """Return the terms of trading that these flags state, without limits.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """
    from engine.costs import Costs
    from engine.ledger import FillTiming
    from engine.rebalancer import Terms

    return Terms(cash, Costs(commission_bps, slippage_bps), None, FillTiming.parse(fill.value), fractional)

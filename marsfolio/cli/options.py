"""Flags that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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


Data = Annotated[
    Path | None,
    typer.Option(help="Bars: a long parquet or CSV file, or a store. The bundled sample when absent."),
]
Symbols = Annotated[str | None, typer.Option(help="Comma-separated symbols to use; all in the data when absent.")]
UniverseOption = Annotated[
    str | None,
    typer.Option(
        "--universe",
        help="Members and their dates: @dow30-history, or a CSV of symbol, first, last. A symbol is held only while it "
        "is a member, and sold when it leaves.",
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        help="equal_weight, buy_and_hold, inverse_volatility, min_variance, mean_variance, risk_parity, hrp, momentum, "
        "vol_target, dip_rule, trend_filter, weights, or one of your own: FILE.py:NAME or package.module:NAME, a "
        "policy, a function of an observation that returns weights, or any backtrader strategy."
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="A parameter of your own --strategy; may be given again."),
]
SettingName = Annotated[
    str,
    typer.Option(
        "--setting", help="Which settings to train with: marsfolio, published (arXiv 2508.01173 as it stands)."
    ),
]
ModelFolder = Annotated[Path | None, typer.Option("--model", help="Folder that `marsfolio train` wrote.")]
Untrained = Annotated[
    bool, typer.Option("--untrained/--no-untrained", help="The model's ensemble as it was before training.")
]
Agent = Annotated[str | None, typer.Option(help="One agent of the model alone, such as agent_03.")]
Weights = Annotated[Path | None, typer.Option(help="Target weights: a CSV or parquet of date, symbol, weight.")]
RebalanceOption = Annotated[Rebalance, typer.Option("--rebalance", help="How often a strategy may rebalance.")]
Start = Annotated[str | None, typer.Option(help="First session, YYYY-MM-DD; the data's first when absent.")]
End = Annotated[str | None, typer.Option(help="Last session, YYYY-MM-DD; the data's last when absent.")]
Cash = Annotated[float, typer.Option(help="Initial cash.")]
CostsOption = Annotated[
    str | None,
    typer.Option(
        "--costs",
        help="What trading costs: zero, mars, alpaca, ibkr-fixed, ibkr-tiered, or a TOML file. "
        "10 basis points of commission when absent.",
    ),
]
CommissionBps = Annotated[
    float | None, typer.Option(help="Commission, basis points of the traded value. 10 when absent; without --costs.")
]
SlippageBps = Annotated[
    float | None, typer.Option(help="How much worse than the bar's price orders execute, basis points. 0 when absent.")
]
FillOption = Annotated[Fill, typer.Option(help="When orders execute; same_close is optimistic.")]
Fractional = Annotated[bool, typer.Option("--fractional/--no-fractional", help="Trade fractions of shares.")]
Cap = Annotated[float | None, typer.Option(help="Largest weight of one symbol. 0.2 for models, none for strategies.")]
NullPaths = Annotated[
    int, typer.Option(min=0, help="Random portfolios that the run is compared with (the no-skill null); 0 for none.")
]
Trials = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Strategies tried, for the deflated Sharpe ratio. When absent: how often the model has been "
        "looked at on test windows, or 1.",
    ),
]
CashBuffer = Annotated[
    float | None, typer.Option(help="Smallest weight of cash. 0.05 for models, none for strategies.")
]

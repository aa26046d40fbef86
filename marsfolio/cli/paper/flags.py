"""Flags of the paper commands, and how those that were given become options."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marsfolio.cli.options import (
    Agent,
    Cap,
    Cash,
    CashBuffer,
    CostsOption,
    Fill,
    FillOption,
    Fractional,
    ModelFolder,
    Param,
    Rebalance,
    RebalanceOption,
    SlippageBps,
    Strategy,
)

if TYPE_CHECKING:
    from marsfolio.paper.options import PaperOptions


class Broker(StrEnum):
    """Values of ``--broker``."""

    ALPACA = "alpaca"
    SIMULATED = "simulated"


class Feed(StrEnum):
    """Values of ``--feed``."""

    SIP = "sip"
    IEX = "iex"


State = Annotated[
    Path, typer.Option(help="Folder of the account: one account and one strategy; made when there is none.")
]
BrokerOption = Annotated[
    Broker, typer.Option("--broker", help="An Alpaca paper account, or one kept here, without keys.")
]
SymbolsOption = Annotated[
    str | None, typer.Option("--symbols", help="Comma-separated symbols to hold; needed with --strategy.")
]
WeightsFile = Annotated[
    Path | None, typer.Option("--weights", help="Target weights, for --strategy weights; read anew in each session.")
]
DataFile = Annotated[
    Path | None, typer.Option("--data", help="Bars of a simulated account; the bundled sample when absent.")
]
FeedOption = Annotated[
    Feed, typer.Option("--feed", help="Which of Alpaca's feeds the bars come from; iex has a small part of the volume.")
]
History = Annotated[int, typer.Option(help="Sessions of bars a strategy is shown; a model says itself what it needs.")]
Calendar = Annotated[
    str, typer.Option(help="Exchange of a simulated account, as exchange_calendars names it, for coming sessions.")
]
CommissionOption = Annotated[
    float | None, typer.Option("--commission-bps", help="Commission of a simulated account; 10 basis points if absent.")
]
At = Annotated[
    str,
    typer.Option(
        help="When `run` begins a session: a time in New York such as 09:00, or open-30m, close-15m. Decisions are "
        "those of the last complete session, whatever the time."
    ),
]
MaxTurnover = Annotated[
    float, typer.Option(help="Stop and ask when half the value of a session's orders is more than this part of equity.")
]
MaxOrders = Annotated[int, typer.Option(help="Stop and ask when a session has more orders.")]
MaxNotional = Annotated[float | None, typer.Option(help="Stop and ask when a session's orders are worth more.")]
MaxLoss = Annotated[float, typer.Option(help="Stop and ask when equity is this part below its highest close.")]
Database = Annotated[
    str | None,
    typer.Option(
        envvar="MARSFOLIO_DATABASE",
        help="Journal in a database of your own, as SQLAlchemy writes its address; a file in --state when absent.",
    ),
]

STATE = Path("paper")


def _account(
    model: ModelFolder = None,
    agent: Agent = None,
    strategy: Strategy = None,
    param: Param = None,
    weights: WeightsFile = None,
    symbols: SymbolsOption = None,
    rebalance: RebalanceOption = Rebalance.DAILY,
    broker: BrokerOption = Broker.ALPACA,
    data: DataFile = None,
    feed: FeedOption = Feed.SIP,
    cash: Cash = 1_000_000.0,
    costs: CostsOption = None,
    commission_bps: CommissionOption = None,
    slippage_bps: SlippageBps = None,
    fill: FillOption = Fill.NEXT_OPEN,
    fractional: Fractional = False,
    cap: Cap = None,
    cash_buffer: CashBuffer = None,
    history: History = 300,
    calendar: Calendar = "XNYS",
    at: At = "09:00",
    max_turnover: MaxTurnover = 0.5,
    max_orders: MaxOrders = 500,
    max_notional: MaxNotional = None,
    max_loss: MaxLoss = 0.3,
    database: Database = None,
) -> None:
    """The flags that say what an account is and how it may trade."""


def account_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the flags of an account behind its own; it finds them in its context."""
    own, shared = inspect.signature(command).parameters, inspect.signature(_account).parameters

    @functools.wraps(command)
    def with_flags(**values: Any) -> None:
        command(**{name: values[name] for name in own})

    hints = typing.get_type_hints(command, include_extras=True) | typing.get_type_hints(_account, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in {**own, **shared}.items()
    ]
    with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_flags.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del with_flags.__wrapped__  # typer would look through it
    return with_flags


_NOT_OPTIONS = ("state", "config", "dry_run", "replay", "verbose", "out", "flatten", "reason")


def given_flags(ctx: typer.Context) -> dict[str, Any]:
    """Return the flags that the command line, a file or the environment gave, without those of the command alone."""
    return {
        name: value
        for name, value in ctx.params.items()
        if name not in _NOT_OPTIONS
        and (source := ctx.get_parameter_source(name)) is not None
        and source.name not in ("DEFAULT",)
    }


def options_of(ctx: typer.Context, state: Path) -> PaperOptions:
    """Return the options of an account: what its folder remembers, and what was given now."""
    from marsfolio.paper.options import resolved_options

    return resolved_options(given_flags(ctx), state)


@contextmanager
def working(options: PaperOptions, state: Path) -> Iterator[None]:
    """Hold the state folder and keep its log."""
    from marsfolio.logs import run_log
    from marsfolio.paper.options import remembered
    from marsfolio.paper.setup import check_options, state_folder

    # What is refused here leaves nothing behind: options that do not go together, a folder of something else.
    check_options(options)
    remembered(state)
    with state_folder(state), run_log(state / "marsfolio.log"):
        yield

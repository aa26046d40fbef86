"""`marsfolio data fetch`: daily bars from a service into a store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import ConfigError, Interrupted, TemporaryError
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from data_feeds.fetching import Outcome, Source

SHOWN = 20


class SourceName(StrEnum):
    """Values of ``--source``."""

    ALPACA = "alpaca"
    YAHOO = "yahoo"


class Feed(StrEnum):
    """Values of ``--feed``."""

    SIP = "sip"
    IEX = "iex"


def fetch(
    symbols: Annotated[
        str, typer.Option(help="Which: A,B,C, or a bundled universe such as @dow30, or a FILE of them.")
    ],
    start: Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")],
    store: Annotated[Path, typer.Option(help="Folder that bars are kept in; made when there is none.")],
    source: Annotated[
        SourceName, typer.Option(help="alpaca (keys in APCA_API_KEY_ID and APCA_API_SECRET_KEY), or yahoo.")
    ] = SourceName.ALPACA,
    end: Annotated[str | None, typer.Option(help="Last day; the last complete session when absent.")] = None,
    feed: Annotated[
        Feed | None, typer.Option(help="Of Alpaca: sip, the whole market (default), or iex, one small exchange.")
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw/--adjusted",
            help="Prices as traded, with splits and dividends beside them (of Yahoo: split-adjusted).",
        ),
    ] = False,
    calendar: Annotated[
        str, typer.Option(help="Exchange whose sessions count, as exchange_calendars names it.")
    ] = "XNYS",
    config: ConfigOption = None,
) -> None:
    """Get daily bars, or what is new of them, into a folder that --data takes.

    Only what is missing is asked for. Where the source restated a symbol's past (a split, a dividend), all of it is
    loaded anew. Interrupted, it goes on where it was.
    """
    from data_feeds.fetching import fetch_into, last_session
    from data_feeds.universe import symbols_of
    from engine.clock import SystemClock
    from marsfolio.cli.progress import progress_bar

    names = symbols_of(symbols)
    first, until = _day(start, "--start"), None if end is None else _day(end, "--end")
    now = SystemClock().now()
    last = last_session(until or now.date(), now, calendar)
    if first > last:
        raise ConfigError(f"--start must not be after the last complete session up to --end, {last}, was {first}")
    with _opened(source, feed, raw) as bars, progress_bar("symbols") as move:
        settled = 0

        def show(done: int, total: int) -> None:
            nonlocal settled
            settled = done
            move(done, total)

        try:
            outcome = fetch_into(store, bars, names, first, last, show)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{settled} of {len(names)} symbols are complete in {store}: the same command goes on from there"
            ) from None
    _report(outcome, store, last, len(names))


@contextmanager
def _opened(name: SourceName, feed: Feed | None, raw: bool) -> Iterator[Source]:
    if name is SourceName.YAHOO:
        from data_feeds.yahoo import YahooHistory

        if feed is not None:
            raise ConfigError(f"--feed goes with --source alpaca, was {feed.value}")
        yield YahooHistory(raw)
        return
    from brokers.credentials import Credentials, SecretFilter
    from data_feeds.alpaca import AlpacaBars
    from data_feeds.alpaca_history import AlpacaHistory

    keys = Credentials.from_environment(os.environ)
    uninstall = SecretFilter(keys.redact).install()
    bars = AlpacaBars(keys, (feed or Feed.SIP).value)
    try:
        yield AlpacaHistory(bars, raw)
    finally:
        bars.close()
        uninstall()


def _day(text: str, name: str) -> date:
    from marsfolio.compose import parse_session

    return date.fromisoformat(str(parse_session(text, name)))


def _report(outcome: Outcome, store: Path, last: date, total: int) -> None:
    counts = {
        "loaded": outcome.loaded,
        "brought up to date": outcome.grown,
        "restated and loaded anew": outcome.restated,
        "complete already": outcome.complete,
    }
    said = ", ".join(f"{len(some)} {what}" for what, some in counts.items() if some)
    if said:
        typer.echo(f"{store}: up to {last}: {said}")
    if not outcome.missing:
        return
    for symbol, why in list(outcome.missing.items())[:SHOWN]:
        typer.echo(f"{symbol}: {why}", err=True)
    if len(outcome.missing) > SHOWN:
        typer.echo(f"... and {len(outcome.missing) - SHOWN} more", err=True)
    raise TemporaryError(
        f"{len(outcome.missing)} of {total} symbols could not be had ({', '.join(outcome.missing)}): misspelt, of "
        f"another exchange, delisted, or with bars that cannot be used; the others are in {store}"
    )

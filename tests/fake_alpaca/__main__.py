"""Run the server as a process: ``python -m fake_alpaca --bars FILE --now 2024-01-03T13:00:00Z`` prints its URL."""

from __future__ import annotations

import argparse
import sys
import threading
from datetime import date, datetime
from pathlib import Path

from data_feeds.files import read_panel
from fake_alpaca.market import FakeMarket
from fake_alpaca.server import ACCOUNT_NUMBER, KEY, SECRET, FakeAlpaca


def main(arguments: list[str] | None = None) -> None:
    """Serve until killed, or until standard input ends where ``--until-eof``."""
    parser = argparse.ArgumentParser(prog="fake_alpaca")
    parser.add_argument("--bars", type=Path, required=True, help="a .csv or .parquet file of bars")
    parser.add_argument("--now", type=datetime.fromisoformat, help="the venue's time, with its zone")
    parser.add_argument("--half-days", type=date.fromisoformat, nargs="*", default=[])
    parser.add_argument("--cash", type=float, default=100_000.0)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--secret", default=SECRET)
    parser.add_argument("--account-number", default=ACCOUNT_NUMBER)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    chosen = parser.parse_args(arguments)
    market = FakeMarket.from_panel(read_panel(chosen.bars)[0], chosen.half_days)
    server = FakeAlpaca(market, chosen.cash, chosen.key, chosen.secret, chosen.account_number, chosen.now, chosen.port)
    with server:
        print(server.url, flush=True)
        if chosen.until_eof:
            sys.stdin.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main()

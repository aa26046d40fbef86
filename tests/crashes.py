"""Ends of a process at chosen steps of a session, in this process: a new desk on the same journal goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from live.desk import Desk
from live.writer import Writer


class Crash(BaseException):
    """The process ends here."""


def crash(call: Any = None) -> None:
    raise Crash("killed")


def crash_at(desk: Desk, kind: str, number: int = 1, after: bool = False) -> None:
    """Make the process end while it writes the nth entry of a kind to the journal, or right after that is on disk."""
    writing, seen = desk.journal.writing, [0]

    @contextmanager
    def watched() -> Iterator[Writer]:
        hit = False
        with writing() as writer:
            note = writer.note

            def noted(what: str, /, **payload: Any) -> None:
                nonlocal hit
                note(what, **payload)
                seen[0] += what == kind
                hit |= what == kind and seen[0] == number
                if hit and not after:
                    raise Crash("killed")

            writer.note = noted  # type: ignore[method-assign]
            yield writer
        if hit:
            raise Crash("killed")

    desk.journal.writing = watched  # type: ignore[method-assign]


def crash_while_sending(desk: Desk, number: int) -> None:
    """Make the process end after the venue has taken the nth order and before its answer is read."""
    submit, seen = desk.venue.submit, [0]

    def submitted(order: Any) -> Any:
        report = submit(order)
        seen[0] += 1
        if seen[0] == number:
            raise Crash("killed")
        return report

    desk.venue.submit = submitted  # type: ignore[method-assign]


def crash_before_sending(desk: Desk, symbols: str) -> None:
    """Make the process end when an order of one of the symbols is about to leave."""
    submit = desk.venue.submit

    def submitted(order: Any) -> Any:
        return crash() if order.symbol in symbols else submit(order)

    desk.venue.submit = submitted  # type: ignore[method-assign]


def die_when(desk: Desk, stop: list[int]) -> None:
    """Make the process end when the venue has answered and the flag is up: nothing after that is written."""
    writing = desk.journal.writing

    @contextmanager
    def watched() -> Iterator[Writer]:
        if stop:
            raise Crash("killed")
        with writing() as writer:
            yield writer

    desk.journal.writing = watched  # type: ignore[method-assign]
    for name in ("account", "holdings", "orders", "order", "submit", "prices", "now"):
        setattr(desk.venue, name, dying(getattr(desk.venue, name), stop))


def dying(method: Any, stop: list[int]) -> Any:
    def call(*args: Any) -> Any:
        if stop:
            raise Crash("killed")
        found = method(*args)
        if stop:
            raise Crash("killed")
        return found

    return call

"""A session in a child process that dies at a chosen point, against a loopback venue that lives on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa
from desks import desk_on
from fake_alpaca import Answer, Call, FakeAlpaca, Request

from engine.errors import MarsfolioError
from live.desk import Desk
from live.journal import Journal
from live.session import run_session
from marsfolio.paper.audit import verify_chain

CLEAN, FAILED, BROKEN = 0, 3, 70
"""How a child ends that is not killed: well, by an error of ours, by a bug."""


@dataclass(frozen=True)
class Point:
    """Where a child dies: ``before`` or ``after`` (the answer lost) its ``number``-th request or commit."""

    kind: str
    number: int
    when: str

    def __str__(self) -> str:
        return f"{self.when} {self.kind} {self.number}"


class RemoteClock:
    """The venue's clock as another process moves it."""

    def __init__(self, url: str, now: datetime) -> None:
        self._url = url
        self.now = now

    def advance(self, span: timedelta) -> None:
        answer = requests.post(f"{self._url}/_control/clock", json={"advance_s": span.total_seconds()}, timeout=10)
        self.now = datetime.fromisoformat(answer.json()["now"])


class RemoteVenue:
    """What a desk asks of a `FakeAlpaca`, from another process."""

    def __init__(self, server: FakeAlpaca) -> None:
        self.key, self.secret, self.url = server.key, server.secret, server.url
        self.clock = RemoteClock(server.url, server.clock.now)


class Kill:
    """Kills a process when a request comes, or once it is processed; then nobody is there to answer to."""

    def __init__(self, when: str) -> None:
        self.name = f"kill {when}"
        self.pid = 0
        self._when = when

    def before(self, call: Call) -> Answer | None:
        return self._kill() if self._when == "before" else None

    def after(self, call: Call, answer: Answer) -> Answer:
        return self._kill() if self._when == "after" else answer

    def _kill(self) -> Answer:
        os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # it is dead for certain when this returns
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return Answer(transport="reset")


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Callable[[], None], started: Callable[[int], None] = lambda pid: None) -> int:
    """Do some work in a forked child; return its exit status, negative for the signal that killed it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = BROKEN
        try:
            os.close(writer)
            os.read(reader, 1)  # until the parent knows whom to kill
            work()
            status = CLEAN
        except MarsfolioError:
            status = FAILED
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(reader)
    started(pid)
    os.write(writer, b"x")
    os.close(writer)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying_at_commit(journal: Journal, point: Point) -> None:
    """Let the process die at a commit of its journal."""
    dialect: Any = journal._engine.dialect
    commit, seen = dialect.do_commit, 0

    def counted(connection: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == point.number and point.when == "before":
            die()
        commit(connection)
        if seen == point.number:
            die()

    dialect.do_commit = counted


def session_in_child(
    server: FakeAlpaca, path: Path, weights: dict[str, float], point: Point | None, **options: Any
) -> int:
    """Run the session in a child that dies at a point; return its exit status."""

    def work() -> None:
        desk = desk_on(RemoteVenue(server), path, weights, **options)  # type: ignore[arg-type]
        if point is not None and point.kind == "commit":
            dying_at_commit(desk.journal, point)
        run_session(desk)

    if point is None or point.kind == "commit":
        return in_child(work)
    kill = Kill(point.when)
    fault = server.faults.add(lambda request: True, kill, nth=point.number)
    status = in_child(work, lambda pid: setattr(kill, "pid", pid))
    server.faults.script.remove(fault)
    return status


def count_points(desk: Desk) -> tuple[list[Request], int]:
    """Run a session that goes well; return its requests and the number of its commits."""
    commits = 0

    def count(connection: Any) -> None:
        nonlocal commits
        commits += 1

    sa.event.listen(desk.journal._engine, "commit", count)
    run_session(desk)
    waiter: Any = desk.waiter
    return waiter._server.requests, commits


def check_sound(server: FakeAlpaca, journal: Journal) -> None:
    """Compare venue and journal: nothing twice, nothing lost, no debt, no short, the log unbroken."""
    sent: dict[str, Any] = {}
    for request in server.posts():
        body = request.body
        content = body["symbol"], body["side"], body["qty"]
        assert sent.setdefault(body["client_order_id"], content) == content, "one id, two orders"
    live = Counter((o.client_order_id[3:13], o.symbol, o.side) for o in server.orders if o.is_open or o.filled_qty)
    assert not [order for order, count in live.items() if count > 1], "bought or sold twice"
    assert server.account.cash >= 0
    assert all(held.qty > 0 for held in server.positions.values())
    verify_chain(journal)


def check_converged(server: FakeAlpaca, journal: Journal) -> None:
    """Compare the account with the latest plan and the books: all that was wanted is there."""
    check_sound(server, journal)
    filled: dict[str, float] = {}
    for fill in journal.fills():
        filled[fill.order_id] = filled.get(fill.order_id, 0.0) + fill.quantity
    assert filled == {order.client_order_id: float(order.filled_qty) for order in server.orders if order.filled_qty}
    plan = journal.last_plan()
    assert plan is not None
    assert plan.target is not None
    wanted = {symbol: shares for symbol, shares in zip(plan.symbols, plan.target.tolist(), strict=True) if shares}
    assert {symbol: float(held.qty) for symbol, held in server.positions.items()} == wanted
    ledger = journal.ledger()
    assert dict(ledger.positions) == wanted
    assert abs(ledger.cash - float(server.account.cash)) < 0.01 * len(journal.fills()) + 1e-6

"""Faults 52 to 54, 58, 61, 63 and 65 at the level of a session: a journal that fails, and a run that must end."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from desks import FixedWeights, desk_on
from fake_alpaca import GET_BARS, POST_ORDER, FakeAlpaca, effects
from fake_alpaca.example import at, december

from brokers.credentials import Credentials
from engine.errors import Interrupted, PolicyError, RunFolderError, TemporaryError, TradingStopped
from live.desk import Desk
from live.guards import Guards
from live.journal import Journal
from live.plan import PlanStatus, Stage
from live.session import Kind, run_session
from live.writer import Writer
from marsfolio.paper.switch import _resume

WEIGHTS = {"AAA": 0.3, "BBB": 0.3}
SESSION = at(23, 10).date()


@pytest.fixture
def server() -> Iterator[FakeAlpaca]:
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 10)) as server:
        yield server


def bought_once(server: FakeAlpaca) -> bool:
    return {order.symbol: order.qty for order in server.orders} == {"AAA": 25, "BBB": 3} and len(server.orders) == 2


class FullDisk(Journal):
    """Fails to keep anything from the ``room + 1``-th transaction on."""

    room = 10**9

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        self.room -= 1
        with super().writing() as writer:
            yield writer
            if self.room < 0:
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise sa.exc.OperationalError("INSERT", {}, error)


def test_fault_52_a_disk_that_fills_up_never_hides_an_order(server: FakeAlpaca, tmp_path: Path) -> None:
    def desk_with(room: int) -> Any:
        server.orders.clear()
        server.positions.clear()
        server.account.cash = 1000.0  # type: ignore[assignment]
        journal: Any = FullDisk.at(tmp_path / f"{room}.db")
        journal.room = room
        return desk_on(server, journal, {"AAA": 0.3})

    whole = desk_with(100)
    run_session(whole)
    steps = 100 - whole.journal.room
    assert steps > 5
    for room in range(steps):
        desk, before = desk_with(room), len(server.posts())
        with pytest.raises(TemporaryError, match="make room"):
            run_session(desk)
        known = {intent.client_id for intent in desk.journal.intents() if intent.stage is not Stage.PLANNED}
        assert {post.body["client_order_id"] for post in server.posts()[before:]} <= known
        desk.journal.room = 100
        assert run_session(desk).kind is Kind.DONE
        assert [order.qty for order in server.orders] == [25]


def test_fault_53_a_locked_journal_ends_the_session_before_any_order(server: FakeAlpaca, tmp_path: Path) -> None:
    path = tmp_path / "paper.db"
    desk = desk_on(server, Journal.at(path, busy_seconds=0.01), WEIGHTS)
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    server.faults.add(GET_BARS, effects.callback(lambda call: other.execute("BEGIN EXCLUSIVE")))
    with pytest.raises(TemporaryError, match=r"paper\.db has been locked by another process for 0\.01 s") as caught:
        run_session(desk)
    assert caught.value.exit_code == 3
    assert server.posts() == []
    with pytest.raises(TemporaryError, match="locked"):
        Journal.at(path, busy_seconds=0.01)
    other.close()
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


def test_fault_53_a_journal_locked_after_an_order_knows_of_it(server: FakeAlpaca, tmp_path: Path) -> None:
    path = tmp_path / "paper.db"
    desk = desk_on(server, Journal.at(path, busy_seconds=0.01), WEIGHTS)
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    server.faults.add(POST_ORDER, effects.callback(lambda call: other.execute("BEGIN EXCLUSIVE")))
    with pytest.raises(TemporaryError, match="locked"):
        run_session(desk)
    other.close()
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = '2' WHERE key = 'format_version'")
        database.execute("ALTER TABLE closes RENAME TO valuations")
    database.close()


def sql(*statements: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with sqlite3.connect(path) as database:
            for statement in statements:
                database.execute(statement)
        database.close()

    return run


def content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def with_noise(data: bytes) -> bytes:
    """Return a page in the middle that is no page of a database."""
    middle = len(data) // 8192 * 4096
    return data[:middle] + random.Random(1).randbytes(4096) + data[middle + 4096 :]


DAMAGE = {
    "empty": (content(lambda data: b""), "is empty"),
    "half": (content(lambda data: data[: len(data) // 2]), "is damaged"),
    "one page": (content(lambda data: data[:4096]), "is damaged"),
    "the start": (content(lambda data: data[:50]), "is damaged"),
    "noise": (content(with_noise), "is damaged"),
    "text": (content(lambda data: b"equity,cash\n1,2\n" * 500), "is damaged"),
    "newer": (newer, "has format 2 and this marsfolio knows 1"),
    "another": (sql("DROP TABLE fills", "DROP TABLE audit"), "lacks audit, fills"),
    "no version": (sql("DELETE FROM meta"), "lacks its format_version"),
    "no status": (sql("UPDATE plans SET status = 'maybe'"), "is damaged"),
    "no document": (sql("UPDATE plans SET document = '{\"cash\": 1'"), "is damaged"),
    "another document": (sql("UPDATE plans SET document = '{}'"), "is damaged"),
    "no letters": (sql("UPDATE orders SET side = x'ff'"), "is damaged"),
    "no column": (sql("ALTER TABLE orders RENAME COLUMN stage TO step"), "is damaged"),
}


def dump(path: Path) -> object:
    """Return the orders and plans of a journal, or its bytes when they cannot be read."""
    database = sqlite3.connect(path)
    try:
        return [database.execute(f"SELECT * FROM {table}").fetchall() for table in ("plans", "orders")]
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return path.read_bytes()
    finally:
        database.close()


@pytest.mark.parametrize("name", DAMAGE)
def test_fault_54_a_damaged_journal_is_refused_by_name_and_left_as_it_is(
    server: FakeAlpaca, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "paper.db"
    server.faults.add(POST_ORDER, effects.status(403, {"message": "new orders are rejected by user request"}))
    with pytest.raises(TradingStopped):
        run_session(desk_on(server, path, WEIGHTS))  # leaves a plan that is not carried out
    damage, told = DAMAGE[name]
    damage(path)
    before, posts = dump(path), len(server.posts())
    with pytest.raises(RunFolderError, match=told) as caught:
        run_session(desk_on(server, path, WEIGHTS))
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert dump(path) == before
    assert len(server.posts()) == posts


class Weights(FixedWeights):
    lookback_bars = 2


@pytest.mark.parametrize("weights", [[np.inf, 0.1], [-0.1, 0.5], [0.7, 0.7], [0.5], [0.2, 0.2, 0.2]], ids=str)
def test_fault_58_weights_that_are_no_portfolio_are_refused(
    server: FakeAlpaca, tmp_path: Path, weights: Sequence[float]
) -> None:
    desk = with_weights(desk_on(server, tmp_path / "paper.db", WEIGHTS), weights)
    with pytest.raises(PolicyError, match="target weights of 2024-12-20") as caught:
        run_session(desk)
    assert caught.value.exit_code == 2
    assert server.posts() == []
    assert desk.journal.last_plan() is None


def test_fault_58_no_weights_keep_what_is_held_and_zeros_are_cash(server: FakeAlpaca, tmp_path: Path) -> None:
    server.hold("AAA", 5)
    desk = with_weights(desk_on(server, tmp_path / "paper.db", WEIGHTS), [np.nan, np.nan])
    assert "no rebalance" in run_session(desk).message
    assert server.posts() == []
    server.clock.set(at(24, 10))
    assert run_session(with_weights(desk, [0.0, 0.0])).kind is Kind.DONE
    assert [(post.body["symbol"], post.body["side"]) for post in server.posts()] == [("AAA", "sell")]


def with_weights(desk: Desk, weights: Sequence[float]) -> Desk:
    desk.recipe = replace(desk.recipe, make_policy=lambda panel: Weights(weights))
    return desk


def test_fault_61_an_account_number_that_is_no_papers_stops(
    server: FakeAlpaca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_on(server, tmp_path / "paper.db", WEIGHTS)
    server.account.account_number = "912345678"
    monkeypatch.setattr(Credentials, "on_loopback", False)
    with pytest.raises(TradingStopped, match="only paper accounts are traded") as caught:
        run_session(desk)
    assert caught.value.exit_code == 4
    assert "912345678" not in str(caught.value)
    assert server.posts() == []


@pytest.mark.parametrize(
    ("guards", "told"),
    [
        (Guards(max_turnover=0.2), "turnover would be 30.0% of equity, the limit is 20.0%"),
        (Guards(max_orders=1), "there would be 2 orders, the limit is 1"),
        (Guards(max_notional=500.0), "orders would be worth 600.00, the limit is 500.00"),
    ],
)
def test_fault_63_a_session_over_a_limit_stops_and_asks(
    server: FakeAlpaca, tmp_path: Path, guards: Guards, told: str
) -> None:
    desk = desk_on(server, tmp_path / "paper.db", WEIGHTS, guards=guards)
    for _ in range(2):
        with pytest.raises(TradingStopped, match=told) as caught:
            run_session(desk)
        assert caught.value.exit_code == 4
    assert server.posts() == []
    assert "may be carried out" in _resume(desk.journal)[0]
    assert run_session(desk).kind is Kind.DONE
    assert bought_once(server)


def test_fault_65_a_run_that_is_to_stop_ends_between_two_orders(server: FakeAlpaca, tmp_path: Path) -> None:
    desk: Any = desk_on(server, tmp_path / "paper.db", WEIGHTS)
    server.faults.add(POST_ORDER, effects.callback(lambda call: setattr(desk.waiter, "stopping", True), "after"))
    with pytest.raises(Interrupted, match="the next run goes on"):
        run_session(desk)
    assert len(server.posts()) == 1
    assert run_session(desk_on(server, tmp_path / "paper.db", WEIGHTS)).kind is Kind.DONE
    assert bought_once(server)


def test_fault_65_a_run_that_wakes_up_after_the_cut_off_sends_nothing_more(server: FakeAlpaca, tmp_path: Path) -> None:
    desk = desk_on(server, tmp_path / "paper.db", WEIGHTS)
    server.faults.add(POST_ORDER, effects.takes(timedelta(hours=6), before=False))
    outcome = run_session(desk)
    assert len(server.posts()) == 1
    assert [intent.stage for intent in outcome.intents] == [Stage.OPEN, Stage.DROPPED]
    assert outcome.exit_code == 3
    assert "about to close" in outcome.remarks[-1]
    assert run_session(desk).exit_code == 3
    assert [fill.quantity for fill in desk.journal.fills()] == [25.0]
    known = desk.journal.plan(SESSION)
    assert known is not None
    assert known[1] is PlanStatus.DROPPED

"""`marsfolio paper halt`, `--flatten` and `resume`, on the loopback venue as a user meets it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import pytest
from desks import ServerWaiter
from fake_alpaca import FakeAlpaca
from fake_alpaca.effects import after_accept, late_fill, never_fills, reset, status
from fake_alpaca.example import at, december
from fake_alpaca.faults import match
from papers import run
from scripted_server import scripted_server

from live.journal import Journal
from live.plan import Stage
from marsfolio.paper.setup import state_folder

ONCE = "paper once --strategy equal_weight --symbols AAA,BBB --history 2 --cash-buffer 0.4 --state s"
HALT = "paper halt --state s"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAlpaca]:
    """Return a venue in an open session, with waiting that moves its clock; the environment names it."""
    monkeypatch.chdir(tmp_path)
    with FakeAlpaca(december(), cash=1000.0, now=at(23, 10)) as server:
        monkeypatch.setenv("APCA_API_KEY_ID", server.key)
        monkeypatch.setenv("APCA_API_SECRET_KEY", server.secret)
        for name in ("APCA_API_BASE_URL", "APCA_API_DATA_URL"):
            monkeypatch.setenv(name, server.url)
        for module in ("live.waiting", "marsfolio.paper.switch", "marsfolio.paper.status", "marsfolio.paper.drift"):
            monkeypatch.setattr(f"{module}.SystemWaiter", lambda seconds=inf: Waiter(server, seconds))
        yield server


class Waiter(ServerWaiter):
    def stop(self) -> None:
        self.stopping = True


def orders() -> list[Any]:
    journal = Journal.at(Path("s/paper.db"))
    found = journal.intents()
    journal.dispose()
    return found


def books() -> dict[str, float]:
    journal = Journal.at(Path("s/paper.db"))
    found = dict(journal.ledger().positions)
    journal.dispose()
    return found


def sold(server: FakeAlpaca) -> list[tuple[str, float]]:
    return [(order.symbol, float(order.filled_qty)) for order in server.orders if order.side == "sell"]


def test_halt_cancels_what_is_open_and_nothing_more_is_sent(
    server: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults.add(match("POST", "/v2/orders"), never_fills(), times=None)
    assert run(ONCE) == 3
    assert run(f"{HALT} --reason the-news") == 0
    assert "2 open orders cancelled" in capsys.readouterr().out
    assert {order.status for order in server.orders} == {"canceled"}
    assert {order.stage for order in orders()} == {Stage.FINAL}
    sent = len(server.posts())
    assert run(ONCE) == 4
    assert "trading was halted at" in (error := capsys.readouterr().err)
    assert "(the-news)" in error
    assert "paper resume" in error
    assert len(server.posts()) == sent


def test_halt_works_while_another_process_holds_the_folder(server: FakeAlpaca) -> None:
    assert run(ONCE) == 0
    with state_folder(Path("s")):
        assert run(ONCE) == 3
        assert run(HALT) == 0


def test_halt_stands_though_the_broker_cannot_be_reached(
    server: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ONCE) == 0
    server.faults.add(match(), status(401), times=None)
    assert run(HALT) == 4
    assert "trading is halted, but open orders may be left" in capsys.readouterr().err
    server.faults.clear()
    assert run(ONCE) == 0  # the session is done, which needs no order
    server.clock.set(at(24, 10))
    assert run(ONCE) == 4


def test_halt_of_a_folder_without_an_account_says_so(server: FakeAlpaca, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (HALT, "paper resume --state s", "paper status --state s", "paper drift --state s"):
        assert run(command) == 2
        assert "has no paper account" in capsys.readouterr().err
    assert run("paper audit --state s") == 2
    assert "nothing was traded with this --state yet" in capsys.readouterr().err


def test_flattening_sells_what_is_held_through_the_journal(
    server: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ONCE) == 0
    assert books() == {"AAA": 25, "BBB": 3}
    server.hold("CCC", 7, 1.0)  # not of this strategy
    capsys.readouterr()
    assert run(f"{HALT} --flatten") == 0
    shown = capsys.readouterr().out
    assert "sell 25 AAA: filled" in shown
    assert "sell 3 BBB: filled" in shown
    assert sold(server) == [("AAA", 25), ("BBB", 3)]
    assert set(server.positions) == {"CCC"}
    assert books() == {}
    flattening = orders()[2:]
    assert [order.client_id for order in flattening] == [f"v1-2024-12-23-{name}-flatten-1" for name in ("AAA", "BBB")]
    assert {order.stage for order in flattening} == {Stage.FINAL}
    assert run("paper audit --state s") == 0
    server.clock.set(at(24, 7))
    run("paper resume --state s")
    assert run(f"{ONCE} --dry-run") == 0
    assert run("paper report --state s") == 0
    assert run("trades s --out trades.csv") == 0
    assert "flatten-1-1" in Path("trades.csv").read_text()


def test_flattening_again_sells_nothing_twice(server: FakeAlpaca, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ONCE) == 0
    server.faults.add(match("POST", "/v2/orders"), late_fill(wait=timedelta(hours=1)), times=None)
    assert run(f"{HALT} --flatten") == 0
    assert "sell 25 AAA: open" in capsys.readouterr().out
    assert run(f"{HALT} --flatten") == 0
    assert len(server.posts()) == 4
    server.clock.advance(timedelta(hours=2))
    server.faults.clear()
    assert run(f"{HALT} --flatten") == 0
    assert sold(server) == [("AAA", 25), ("BBB", 3)]
    assert books() == {}


def test_flattening_goes_on_after_an_answer_was_lost(server: FakeAlpaca) -> None:
    assert run(ONCE) == 0
    server.faults.add(match("POST", "/v2/orders"), after_accept(reset()))
    assert run(f"{HALT} --flatten") == 0
    assert sold(server) == [("AAA", 25), ("BBB", 3)]


def test_flattening_goes_on_after_a_process_was_killed_between_two_orders(
    server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(ONCE) == 0
    with monkeypatch.context() as patch:
        patch.setattr("live.sending.take", killed)
        assert run(f"{HALT} --flatten") == 1
    assert [order.stage for order in orders()[2:]] == [Stage.SENDING, Stage.PLANNED]
    assert run(f"{HALT} --flatten") == 0
    assert sold(server) == [("AAA", 25), ("BBB", 3)]
    assert books() == {}


def killed(*_: Any) -> None:
    raise SystemError("killed")


def test_what_is_refused_is_told_and_is_left_to_a_person(
    server: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ONCE) == 0
    refusal = {"code": 42210000, "message": "asset BBB is not tradable"}
    server.faults.add(match("POST", "/v2/orders", symbol="BBB"), status(422, refusal))
    assert run(f"{HALT} --flatten") == 4
    error = capsys.readouterr().err
    assert "BBB could not be sold (sell 3 BBB: refused: " in error
    assert "AAA" not in error


def test_before_the_open_flattening_is_queued_and_after_the_close_refused(
    server: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ONCE) == 0
    server.clock.set(at(23, 17))
    assert run(f"{HALT} --flatten") == 4
    assert "halt --flatten again on 2024-12-24 before its close" in capsys.readouterr().err
    server.clock.set(at(24, 8))
    assert run(f"{HALT} --flatten") == 0
    assert "sell 25 AAA: open" in capsys.readouterr().out
    server.clock.set(at(24, 10))
    assert run(f"{HALT} --flatten") == 0
    assert sold(server) == [("AAA", 25), ("BBB", 3)]
    assert books() == {}


def test_resume_trades_again_and_agrees_to_a_stopped_plan_once(
    server: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{ONCE} --max-orders 1") == 4
    assert "there would be 2 orders, the limit is 1" in (error := capsys.readouterr().err)
    assert "`marsfolio paper resume` agrees to this plan once" in error
    assert server.posts() == []
    assert run(ONCE) == 4
    assert run("paper resume --state s") == 0
    assert "the plan of session 2024-12-23, which a limit had stopped, may be carried out" in capsys.readouterr().out
    assert run(ONCE) == 0
    assert len(server.posts()) == 2
    server.clock.set(at(24, 10))
    assert run(f"{ONCE} --max-notional 1") == 4
    assert "orders would be worth" in capsys.readouterr().err


def test_a_plan_whose_orders_a_halt_dropped_is_not_agreed_to(
    server: FakeAlpaca, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{ONCE} --max-orders 1") == 4
    assert run(HALT) == 0
    assert "2 not sent dropped" in capsys.readouterr().out
    assert run("paper resume --state s") == 0
    shown = capsys.readouterr().out
    assert "trading is on again; it was halted at" in shown
    assert "may be carried out" not in shown
    assert run("paper resume --state s") == 0
    assert "trading was not halted, and no plan was stopped by a limit" in capsys.readouterr().out


def test_an_order_that_never_arrived_is_given_up(server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("live.sending.Sender._submitted", killed)
        assert run(ONCE) == 1
    assert orders()[0].stage is Stage.SENDING
    assert run(HALT) == 0
    assert {order.stage for order in orders()} == {Stage.DROPPED}


def test_people_are_told_once_a_session_and_of_every_refusal(
    server: FakeAlpaca, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_server() as web:
        web.on("/hook", {})
        monkeypatch.setenv("MARSFOLIO_WEBHOOK_URL", f"{web.url}/hook")
        assert run(ONCE) == 0
        assert run(ONCE) == 0
        assert run(HALT) == 0
        server.clock.set(at(24, 10))
        assert run(ONCE) == 4
        said = [asked.body["text"] for asked in web.asked]
    assert said[0] == "[equal_weight] session 2024-12-23: 0 sells and 2 buys, 2 filled"
    assert said[1].startswith("[equal_weight] ALERT: trading was halted at ")
    assert len(said) == 2
    assert server.secret not in str(said)

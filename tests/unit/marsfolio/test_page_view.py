"""What the status page shows, against journals whose numbers are known."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from paper_accounts import STAGES, add_close, plan_of, weekdays, write_account, write_health
from sqlalchemy.exc import OperationalError

from engine import limits
from engine.errors import RunFolderError, TemporaryError
from live import splits as live_splits
from live.journal import Journal
from live.plan import PlanStatus, Stage
from live.service import HEALTH_FILE
from marsfolio.page import health, orders, reading
from marsfolio.page.curves import drawdown, equal_weight, splits_of
from marsfolio.page.health import ALIVE, NEVER, SILENT, STOPPED, Alert, Health, alerts_of, read_health
from marsfolio.page.reading import CloseRow, PlanRow, Reader, Rows
from marsfolio.page.view import View, shortened, view_of
from marsfolio.paper.options import PaperOptions
from marsfolio.paper.switch import halt_account

NOW = datetime(2024, 2, 1, 15, tzinfo=UTC)
DAYS = weekdays(4)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_account(tmp_path_factory.mktemp("view") / "state", 5, n_symbols=5)


@pytest.fixture
def reader(state: Path) -> Iterator[Reader]:
    made = Reader(state / "paper.db")
    yield made
    made.dispose()


@pytest.fixture
def rows(reader: Reader) -> Rows:
    return reader.read()


def shown(rows: Rows, said: Health | None = None) -> View:
    return view_of(rows, PaperOptions(strategy="equal_weight", broker="simulated"), said or Health(NEVER))


def close(t: int, equity: float, **marks: float) -> CloseRow:
    return CloseRow(DAYS[t], equity, 0.0, 0.0, marks)


def test_the_headline_numbers_are_those_of_the_closes(rows: Rows, state: Path) -> None:
    journal = Journal.at(state / "paper.db")
    closes = journal.closes()
    journal.dispose()
    tiles = shown(rows).tiles
    assert (tiles.equity, tiles.sessions) == (closes[-1].equity, 5)
    assert tiles.last_change == closes[-1].equity / closes[-2].equity - 1
    assert tiles.total_return == closes[-1].equity / closes[0].equity - 1
    assert tiles.drawdown == pytest.approx(1 - closes[-1].equity / max(row.equity for row in closes))


def test_holdings_sum_with_cash_to_what_the_account_is_worth(rows: Rows) -> None:
    found = shown(rows)
    assert sum(holding.weight for holding in found.holdings) + found.tiles.cash_share == pytest.approx(1.0)  # type: ignore[operator]
    assert [holding.target for holding in found.holdings] == [pytest.approx(0.18)] * 5
    assert found.holdings[0].off == pytest.approx(found.holdings[0].weight - 0.18)


def test_each_order_says_how_far_it_is_and_why(rows: Rows) -> None:
    today = shown(rows).today
    assert today is not None
    told = [(order.side, order.symbol, order.stage, order.tone, order.filled) for order in today.orders]
    assert told == [
        ("sell", "S00", "filled", "good", 1.0),
        ("buy", "S01", "partly filled", "warn", 0.5),
        ("sell", "S02", "refused", "loss", 0.0),
        ("buy", "S03", "open", "wait", 0.0),
        ("sell", "S04", "not sent", "soft", 0.0),
    ]
    assert today.orders[1].why.endswith("to 18.00% (cap)")
    assert today.orders[2].why.endswith("to 18.00%; AAA is not tradable")
    assert today.decided == weekdays(5)[-1]


def test_words_for_stages_statuses_and_limits_cover_the_engines(rows: Rows) -> None:
    assert set(orders.STAGES) == {stage.value for stage in Stage}
    assert set(orders.PLANS) == {status.value for status in PlanStatus}
    named = {bit: limits.outcome_label(bit).replace("_", " ") for bit in orders.LIMITS}
    assert named == orders.LIMITS
    assert not any(limits.outcome_label(1 << k) for k in range(16) if 1 << k not in orders.LIMITS)
    assert health.HEALTH_FILE == HEALTH_FILE
    assert live_splits.DOUBT in reading._KEYS
    assert len(STAGES) == len({stage for stage, *_ in STAGES}) + 1


def test_sessions_are_listed_latest_first_with_their_change(rows: Rows) -> None:
    listed = shown(rows).sessions
    assert [row.session for row in listed] == list(reversed(weekdays(6)[1:]))
    assert (listed[0].equity, listed[0].count.orders, listed[0].count.failed) == (None, 5, 1)
    assert listed[1].change == rows.closes[-1].equity / rows.closes[-2].equity - 1


def test_a_plan_without_a_rebalance_keeps_the_targets_of_the_last_one(tmp_path: Path) -> None:
    folder = write_account(tmp_path / "state", 3)
    journal = Journal.at(folder / "paper.db")
    last = journal.last_plan()
    assert last is not None
    day = weekdays(2, last.session)[1]
    with journal.writing() as writer:
        plan = plan_of(day, last.session, last.symbols, last.cash, last.held, last.close, {}, rebalances=False)
        writer.add_plan(plan, PlanStatus.DONE, [])
    journal.dispose()
    reader = Reader(folder / "paper.db")
    found = shown(reader.read())
    reader.dispose()
    assert found.today is not None
    assert (found.today.rebalances, found.today.orders, found.last_traded) == (False, (), last.session)
    assert {holding.target for holding in found.holdings} == {0.9 / 4}


def test_equal_weight_buys_at_the_first_close_and_holds() -> None:
    closes = [close(0, 100.0, A=10.0, B=20.0), close(1, 101.0, A=11.0, B=20.0), close(2, 99.0, A=11.0, B=10.0, C=5.0)]
    assert equal_weight(closes, ["A", "B", "C"], {}) == [100.0, 105.0, 80.0]


@pytest.mark.parametrize("held", [3.0, 6.0], ids=["planned before the split", "planned after it"])
def test_equal_weight_is_not_halved_by_a_split(held: float) -> None:
    closes = [close(0, 100.0, A=10.0, B=20.0), close(1, 100.0, A=5.0, B=20.0)]
    plans = [PlanRow(DAYS[1], DAYS[0], "done", "", {"symbols": ["A", "B"], "held": [held, 1.0]})]
    splits = splits_of([(DAYS[1], "split", "A", 0.0, 3.0), (DAYS[1], "dividend", "B", 2.0, 0.0)], plans, closes)
    assert splits == {(DAYS[1], "A"): 2.0}
    assert equal_weight(closes, ["A", "B"], splits) == [100.0, 100.0]


def test_a_curve_of_nothing_is_empty() -> None:
    assert equal_weight([], ["A"], {}) == []
    assert equal_weight([close(0, 100.0)], ["A"], {}) == []
    assert drawdown([]) == []


def test_drawdown_is_the_fall_from_the_peak_so_far() -> None:
    assert drawdown([100.0, 80.0, 120.0, 60.0]) == pytest.approx([0.0, 0.2, 0.0, 0.5])


@pytest.mark.parametrize(
    ("account", "seen"),
    [("PA3ABCDEF123", "…F123"), ("1e7a0000-aaaa-bbbb-cccc-1234567890ab", "…90ab"), ("SIM-1", "SIM-1"), ("", "")],
)
def test_an_account_number_is_shown_in_part(account: str, seen: str) -> None:
    assert shortened(account) == seen


@pytest.mark.parametrize(
    ("status", "trouble", "age", "state"),
    [
        ("idle", None, 5, ALIVE),
        ("troubled", "no answer", 5, ALIVE),
        ("idle", None, 301, SILENT),
        ("stopped", None, 100_000, STOPPED),
        ("stopped", "a limit", 5, ALIVE),
    ],
)
def test_the_service_is_alive_silent_or_stopped(
    tmp_path: Path, status: str, trouble: str | None, age: int, state: str
) -> None:
    write_health(tmp_path, NOW - timedelta(seconds=age), status=status, trouble=trouble)
    assert (read_health(tmp_path, NOW).state, read_health(tmp_path, NOW).age) == (state, age)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"status": "idle"}', '{"time_utc": 3}'])
def test_a_health_file_that_says_nothing_is_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / HEALTH_FILE).write_text(content)
    assert read_health(tmp_path, NOW) == Health(NEVER)


def titles(rows: Rows, said: Health | None = None) -> list[tuple[str, str]]:
    return [(alert.level, alert.title) for alert in alerts_of(rows, said or Health(NEVER))]


def test_alerts_name_what_a_person_should_act_on(rows: Rows) -> None:
    last = rows.plans[-1]
    assert titles(rows) == [("warn", f"1 order of {last.session} failed")]
    halted = replace(
        rows, values={**rows.values, "halt": {"time_utc": "2024-02-01T15:00:00+00:00", "reason": "a drill"}}
    )
    assert titles(halted)[0] == ("loss", "Trading is halted")
    stopped = replace(rows, plans=(replace(last, status="stopped", note="turnover"),))
    assert titles(stopped)[0] == ("loss", f"A limit stopped the plan of {last.session}")
    agreed = replace(stopped, values={"accepted": str(last.session)})
    assert titles(agreed)[0][0] == "warn"
    assert shown(stopped).waits
    assert not shown(agreed).waits
    doubted = replace(rows, values={"doubt": ["S00", "2024-01-31"]})
    assert titles(doubted)[0] == ("loss", "Shares and prices of S00 disagree")
    assert shown(doubted).waits
    silent = Health(SILENT, 400.0, "2024-02-01T15:00:00Z")
    assert titles(rows, silent)[0] == ("loss", "The service is silent")
    assert ("warn", "The service has trouble") in titles(rows, Health(ALIVE, 1.0, trouble="no answer"))


def test_what_was_not_traded_here_is_told_while_it_is_news(rows: Rows) -> None:
    latest = rows.closes[-1].session
    moved = ((latest, "external", "S00", 0.0, 3.0), (date(2020, 1, 2), "external", "", 50.0, 0.0))
    told = alerts_of(replace(rows, movements=moved), Health(NEVER))
    assert (
        Alert("warn", "Not traded here", f"On {latest} the account had +3 shares of S00 more than our books.") in told
    )
    assert sum(alert.title == "Not traded here" for alert in told) == 1


def test_an_account_that_never_traded_has_a_page(tmp_path: Path) -> None:
    journal = Journal.at(tmp_path / "paper.db")
    journal.dispose()
    reader = Reader(tmp_path / "paper.db")
    found = shown(reader.read())
    reader.dispose()
    assert (found.today, found.holdings, found.sessions, found.tiles.total_return) == (None, (), (), None)


def test_reading_takes_nothing_from_a_writer_and_writes_nothing(state: Path, reader: Reader) -> None:
    before = (state / "paper.db").read_bytes()
    writer = sqlite3.connect(state / "paper.db", timeout=0, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")  # as the service holds it while it writes
    assert len(reader.read().closes) == 5
    writer.execute("UPDATE meta SET value = value")
    writer.execute("COMMIT")  # at once: no reader is left in the way
    writer.close()
    fresh = Reader(state / "paper.db")
    assert fresh.read() == reader.read()
    fresh.dispose()
    assert (state / "paper.db").stat().st_size == len(before)
    assert not list(state.glob("paper.db-*"))


def test_a_reader_could_not_write_if_it_wanted_to(reader: Reader) -> None:
    with reader._engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM plans")


def test_a_journal_that_is_locked_is_said_to_be(state: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.dispose()
    monkeypatch.setattr("marsfolio.page.reading.BUSY_SECONDS", 0.0)
    hurried = Reader(state / "paper.db")
    holder = sqlite3.connect(state / "paper.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TemporaryError, match="tries again by itself"):
        hurried.read()
    holder.execute("ROLLBACK")
    holder.close()
    assert len(hurried.read().closes) == 5
    hurried.dispose()


def test_every_change_of_the_journal_changes_its_version(tmp_path: Path) -> None:
    folder = write_account(tmp_path / "state", 3)
    reader = Reader(folder / "paper.db")
    versions = [reader.version(), reader.version()]
    for equity in (1.0, 2.0, 3.0):
        add_close(folder, equity)
        versions.append(reader.version())
        assert reader.read().closes[-1].equity == equity
    reader.dispose()
    assert len(set(versions)) == 4


def test_a_copy_put_in_place_of_the_journal_is_read_anew(tmp_path: Path) -> None:
    one, other = write_account(tmp_path / "one", 3), write_account(tmp_path / "other", 3, seed=2)
    reader = Reader(one / "paper.db")
    reader.version()
    first = reader.read()
    os.replace(other / "paper.db", one / "paper.db")
    reader.version()
    assert reader.read().closes[1] != first.closes[1]
    reader.dispose()


@pytest.mark.parametrize("content", [b"not a journal at all, but long enough to look" * 40, b""])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "paper.db").write_bytes(content)
    reader = Reader(tmp_path / "paper.db")
    with pytest.raises(RunFolderError, match="damaged or not one"):
        reader.read()
    reader.dispose()


def test_a_halt_is_seen_whoever_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_account(tmp_path / "state", 3)
    monkeypatch.setattr("marsfolio.paper.switch._clear", lambda *given: [])
    halt_account(folder, "a drill", flatten=False)
    reader = Reader(folder / "paper.db")
    found = shown(reader.read())
    reader.dispose()
    assert found.halted is not None
    assert found.halted["reason"] == "a drill"


@pytest.mark.process
def test_the_server_loads_no_compiler_and_no_tables() -> None:
    heavy = ("torch", "numba", "pandas", "backtrader", "scipy", "pyarrow", "plotly")
    script = f"import sys, marsfolio.page.serving; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

"""What a user of a simulated paper account sees: status, report, trades, audit, and replays kept apart from today."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from panels import panel_of, random_panel
from papers import FREELY, SIMULATED, run, write_panel
from venues import at

from engine.clock import VirtualClock
from engine.errors import TemporaryError
from engine.tradelog import COLUMNS, read_table
from live.replay import ReplayWaiter
from live.service import write_health
from live.session import run_session
from marsfolio.paper.account import open_account
from marsfolio.paper.bars import FileBars
from marsfolio.paper.options import PaperOptions
from marsfolio.paper.setup import panel_of as read_bars

EQUAL = f"--strategy equal_weight {SIMULATED} --state"
PANEL = random_panel(5, 20, 3, 0.0)
FIRST, LAST = PANEL.sessions[3], PANEL.sessions[-2]


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with bars and a replay of them in s, which tests copy."""
    folder = tmp_path_factory.mktemp("replayed")
    write_panel(PANEL, folder / "bars.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(f"paper run {EQUAL} s --replay {FIRST}:{LAST} {FREELY}") == 0
    return folder


@pytest.fixture
def folder(replayed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(replayed, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "s/config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace(str(replayed), str(tmp_path)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_status_shows_account_holdings_sessions_and_what_comes_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("paper status --state s") == 0
    shown = capsys.readouterr().out
    assert "equal_weight" in shown
    assert "(simulated)" in shown
    assert f"at the close of {LAST}" in shown
    assert "in 16 sessions" in shown
    assert f"next session     {PANEL.sessions[-1]}, work begins" in shown
    assert "trading          on" in shown
    assert "never ran here" in shown
    assert "drift" in shown
    for name in PANEL.symbols:
        assert f" {name} " in shown
    assert "33.33 %" in shown or "33.33%" in shown
    assert "trouble" not in shown


def test_status_changes_nothing_so_that_the_replay_can_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    account = Path("s/simulated.db").read_bytes()
    assert run("paper status --state s") == 0
    assert run("paper check --state s") == 3  # its bars are those of years ago
    assert Path("s/simulated.db").read_bytes() == account
    assert run(f"paper run {EQUAL} s --replay {FIRST}:{PANEL.sessions[-1]} {FREELY}") == 0
    assert len(read_table(Path("s/equity.csv"))) == 17


def test_status_offline_asks_nobody(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bars.parquet").unlink()
    assert run("paper status --state s --offline") == 0
    assert "trouble" not in (shown := capsys.readouterr().out)
    assert "at the broker" not in shown
    assert run("paper status --state s") == 0
    assert "trouble: the broker was not asked: " in capsys.readouterr().out


def test_status_tells_of_a_halt_and_of_a_service_that_has_died(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("paper halt --state s --reason enough") == 0
    health = {"status": "idle", "time_utc": "2024-01-31T10:00:00+00:00", "pid": 77, "trouble": "no bars of 2024-01-30"}
    write_health(Path("s"), health)
    capsys.readouterr()
    assert run("paper status --state s") == 0
    shown = capsys.readouterr().out
    assert "HALTED since" in shown
    assert "enough" in shown
    assert "NOT heard of since 2024-01-31T10:00:00+00:00: it was killed or hangs" in shown
    assert "trouble: no bars of 2024-01-30" in shown


def test_a_replay_does_not_go_on_by_the_clock_of_today(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("once", "once --dry-run", "run"):
        assert run(f"paper {command} --state s") == 2
        assert "holds a replay: go on with --replay A:B" in capsys.readouterr().err


def test_an_account_of_today_takes_no_replay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"paper once {EQUAL} today") in (0, 3)  # whether there is a session to trade depends on the day
    assert run(f"paper run {EQUAL} today --replay {FIRST}:{LAST}") == 2
    assert "trades by today's clock: give a replay another --state" in capsys.readouterr().err


def test_a_rehearsal_leaves_no_account_behind(folder: Path) -> None:
    assert run(f"paper once --dry-run {EQUAL} new") == 0
    assert not Path("new").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_the_trade_log_exports_like_that_of_a_backtest(folder: Path, kind: str) -> None:
    assert run(f"backtest --strategy equal_weight --data bars.parquet --start {FIRST} --end {LAST} --out r") == 0
    for source in ("r", "s"):
        assert run(f"trades {source} --format {kind} --out {source}.{kind}") == 0
        assert run(f"trades {source} --round-trips --format {kind} --out {source}-trips.{kind}") == 0
    for name in ("", "-trips"):
        paper, backtest = read_table(Path(f"s{name}.{kind}")), read_table(Path(f"r{name}.{kind}"))
        assert list(paper.columns) == list(backtest.columns)
        assert paper.dtypes.equals(backtest.dtypes)
        assert len(paper) == len(backtest) > 0
    assert list(read_table(Path(f"s.{kind}")).columns) == list(COLUMNS)


def test_costs_by_month_and_the_report_are_those_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trades s --monthly-costs") == 0
    assert "2024-01" in capsys.readouterr().out
    assert run("paper report --state s") == 0
    assert "report written to s" in capsys.readouterr().out
    page = Path("s/report.html").read_text(encoding="utf-8")
    assert "equal_weight" in page
    assert run("trades s --verify") == 2
    assert "`marsfolio paper audit`" in capsys.readouterr().err


def test_a_replay_has_no_drift(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("paper drift --state s --out drift.csv") == 0
    assert "0.0000%" in capsys.readouterr().out
    table = pd.read_csv("drift.csv")
    assert len(table) == 15
    assert np.abs(table.drop(columns=["session", "equity", "backtest", "expected"]).to_numpy()).max() < 1e-6


def test_an_unbroken_log_is_verified_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("paper audit --state s --out log.jsonl") == 0
    shown = capsys.readouterr().out
    lines = [json.loads(line) for line in Path("log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert f"{len(lines)} entries, unbroken; head " in shown
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert {"identity", "opening", "plan", "sending", "order", "fill"} <= {line["kind"] for line in lines}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE audit SET payload = '{}' WHERE number = 9", "broken at entry 9"),
        ("UPDATE audit SET time_utc = 'x' WHERE number = 9", "broken at entry 9"),
        ("DELETE FROM audit WHERE number = 9", "broken at entry 9"),
        ("DELETE FROM audit WHERE number > 9", "ends at entry 9, and should go on: its last entries were removed"),
        (
            "INSERT INTO audit SELECT number + 100000, time_utc, kind, payload, hash FROM audit WHERE number = 9",
            "broken",
        ),
        ("UPDATE fills SET price = price + 0.01 WHERE number = 2", "is not as the audit log has it"),
        ("DELETE FROM fills WHERE number = 2", "is in the audit log and not among the fills"),
        ("UPDATE plans SET document = replace(document, '1000000.0', '1000001.0')", "plan of 2024-01-05 is not as the"),
        ("DELETE FROM plans WHERE session = '2024-01-10'", "the plan of 2024-01-10 is in the audit log alone"),
    ],
)
def test_a_change_by_hand_is_found(folder: Path, change: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect("s/paper.db") as journal:
        assert journal.execute(change).rowcount > 0
    journal.close()
    assert run("paper audit --state s") == 4
    assert words in capsys.readouterr().err


def test_a_fill_put_in_by_hand_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect("s/paper.db") as journal:
        names = [row[1] for row in journal.execute("PRAGMA table_info(fills)")]
        chosen = ", ".join({"fill_id": "'mine'", "number": "99999"}.get(name, name) for name in names)
        journal.execute(f"INSERT INTO fills SELECT {chosen} FROM fills WHERE number = 2")
    journal.close()
    assert run("paper audit --state s") == 4
    assert "fill mine is not as the audit log has it" in capsys.readouterr().err


def test_an_account_trades_on_bars_that_are_added_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = panel_of(np.array([[10.0], [11.0], [12.0], [12.0]]), symbols=("A",))
    clock = VirtualClock(at(panel.sessions[1].item(), 23))
    monkeypatch.setattr("marsfolio.paper.account.SystemClock", lambda: clock)
    path = tmp_path / "bars.parquet"
    write_panel(panel.rows(0, 2), path)
    options = PaperOptions(strategy="equal_weight", broker="simulated", data=str(path), cash=1000.0)
    (tmp_path / "s").mkdir()
    desk = open_account(options, tmp_path / "s", ReplayWaiter(clock)).desk
    for row in (2, 3):
        clock.set(at(panel.sessions[row].item(), 13))
        assert run_session(desk).plan is not None
        assert not desk.journal.fills(panel.sessions[row].item())
        write_panel(panel.rows(0, row + 1), path)
    clock.set(at(panel.sessions[3].item(), 23))
    run_session(desk)
    assert [(fill.session, fill.quantity) for fill in desk.journal.fills()] == [(panel.sessions[2].item(), 83.0)]
    assert [close.session for close in desk.journal.closes()] == panel.sessions[1:].tolist()
    desk.journal.dispose()


def test_bars_that_cannot_be_read_are_tried_again_later(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    header = "date,symbol,open,high,low,close,volume\n"
    path.write_text(f"{header}2024-01-02,A,10,10,10,10,1\n2024-01-03,A,10,10,10,10,1\n")
    options = PaperOptions(strategy="equal_weight", broker="simulated", data=str(path))
    bars = FileBars(options, read_bars(options))
    assert bars() is bars()
    path.write_text(f"{header}2024-01-02,A,10,10,10,10,1\n2024-01-03,A,10,1")
    with pytest.raises(TemporaryError, match="it has just been changed: trying again later"):
        bars()
    path.write_text(f"{header}2024-01-02,A,10,10,10,10,1\n2024-01-03,A,10,10,10,10,1\n2024-01-04,A,9,9,9,9,1\n")
    assert len(bars()) == 3
    path.unlink()
    with pytest.raises(TemporaryError, match="put the bars back there"):
        bars()


@pytest.mark.parametrize("command", ["once", "run", "once --strategy equal_weight --model m --symbols A"])
def test_options_that_do_not_go_together_leave_no_folder(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(f"paper {command} --state new") == 2
    assert not list(tmp_path.iterdir())

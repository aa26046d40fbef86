"""Log files of runs: what is in them, and that nothing stays behind."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from engine.errors import InputError
from marsfolio.logs import ROOMS, logged_at, open_log, run_log, terminal_warnings


def test_lines_carry_utc_time_level_and_logger(tmp_path: Path) -> None:
    with run_log(tmp_path / "new" / "a.log"):
        logging.getLogger("engine.x").info("filled %d", 3)
        logging.getLogger("agents.y").debug("not this")
        logging.getLogger("other").warning("nor this")
    text = (tmp_path / "new" / "a.log").read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO engine\.x: filled 3\n", text)


def test_loggers_are_left_as_they_were(tmp_path: Path) -> None:
    before = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in ROOMS]
    with terminal_warnings(), run_log(tmp_path / "a.log"):
        assert open_log() == tmp_path / "a.log"
    after = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in ROOMS]
    assert after == before
    assert open_log() is None


def test_a_second_log_of_the_same_name_is_appended(tmp_path: Path) -> None:
    for number in range(2):
        with run_log(tmp_path / "a.log"):
            logging.getLogger("live").info("start %d", number)
    assert [line[-7:] for line in (tmp_path / "a.log").read_text().splitlines()] == ["start 0", "start 1"]


def test_a_bug_leaves_its_traceback_and_the_exception_knows_where(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as bug, run_log(tmp_path / "a.log"):
        1 / 0  # noqa: B018
    assert logged_at(bug.value) == tmp_path / "a.log"
    assert "Traceback" in (tmp_path / "a.log").read_text()


def test_the_users_own_error_leaves_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(InputError) as wrong, run_log(tmp_path / "a.log"):
        raise InputError("x")
    assert logged_at(wrong.value) is None
    assert (tmp_path / "a.log").read_text() == ""


def test_warnings_reach_the_terminal_and_information_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal_warnings():
        logging.getLogger("brokers").warning("degraded")
        logging.getLogger("brokers").info("quiet")
    assert capsys.readouterr().err == "WARNING: degraded\n"


def test_a_log_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the log"), run_log(tmp_path / "file" / "a.log"):
        pass

"""What the documentation of paper trading says is so: commands run, messages are ours, examples are sound."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from live.service import write_health
from marsfolio.cli import main

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/paper.md").read_text(encoding="utf-8")


def run(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line, comments=True)[1:])
    return int(stop.value.code or 0)


def test_commands_that_need_keys_ask_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("APCA_API_KEY_ID", raising=False)
    lines = [line for line in PAGE.splitlines() if "--model runs/demo/model" in line]
    assert len(lines) >= 3
    for line in lines:
        assert run(line.strip().replace("--model runs/demo/model", "--strategy equal_weight")) == 2, line
        told = capsys.readouterr()
        assert "APCA_API_KEY_ID is not set" in told.out + told.err


def test_every_message_of_the_table_is_one_of_ours() -> None:
    files = [path for room in ("brokers", "engine", "live", "marsfolio") for path in (ROOT / room).rglob("*.py")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    rows = re.findall(r"^\| [0234] \| (.*?) \|", PAGE, re.MULTILINE)
    assert len(rows) >= 14
    for message in re.findall(r"`(.+?)`", " ".join(rows).replace("APCA_API_KEY_ID", "{name}")):
        for part in message.split("..."):
            assert part.strip() in source, message


def test_the_unit_starts_a_command_that_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((ROOT / "examples/marsfolio-paper.service").read_text(encoding="utf-8"))
    service = unit["Service"]
    assert run(f"{service['ExecStart']} --help") == 0
    assert "--state" in capsys.readouterr().out
    assert service["EnvironmentFile"] == "/etc/marsfolio/paper.env"
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2 4")


@pytest.mark.parametrize(
    ("status", "age", "healthy"),
    [("idle", 10, True), ("stopped", 10, False), ("waiting", 10, True), ("idle", 400, False)],
)
def test_the_health_check_of_the_container_reads_the_health_file(
    tmp_path: Path, status: str, age: float, healthy: bool
) -> None:
    text = (ROOT / "examples/Containerfile").read_text(encoding="utf-8").replace("\\\n", "")
    (command,) = re.findall(r"^HEALTHCHECK .*? CMD (\[.*\])$", text, re.MULTILINE)
    code = json.loads(command)[2].replace("/state", str(tmp_path))
    moment = (datetime.now(UTC) - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
    write_health(tmp_path, {"status": status, "time_utc": moment})
    with pytest.raises(SystemExit) as stop:
        exec(code, {})
    assert (not stop.value.code) is healthy

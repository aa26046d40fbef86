"""`marsfolio data` on files with splits, dividends and currencies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marsfolio.cli import app

PLAIN = """date,symbol,open,high,low,close,volume
2024-01-02,AA,100,100,100,100,5
2024-01-03,AA,101,101,101,101,5
"""
RAW = """date,symbol,open,high,low,close,volume,split,dividend,currency
2024-01-02,AA,100,100,100,100,5,,,HKD
2024-01-03,AA,50,50,50,50,5,2,,HKD
2024-01-04,AA,49,49,49,49,5,,1,HKD
"""


def show(command: str, text: str, folder: Path, *flags: str) -> str:
    (folder / "bars.csv").write_text(text)
    result = CliRunner().invoke(app, ["data", command, "--data", str(folder / "bars.csv"), *flags])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (PLAIN, "prices: open, high, low, close; taken as adjusted for splits and dividends\n"),
        (RAW, "prices: open, high, low, close; raw (splits: 1, dividends: 1)\n"),
    ],
)
def test_info_says_whether_prices_are_raw(text: str, line: str, tmp_path: Path) -> None:
    assert line in show("info", text, tmp_path)


def test_info_says_the_currency(tmp_path: Path) -> None:
    assert "note: prices are in HKD\n" in show("info", RAW, tmp_path)


def test_check_lists_a_large_dividend(tmp_path: Path) -> None:
    output = show("check", RAW.replace(",5,,1,HKD", ",5,,40,HKD"), tmp_path)
    assert "dividend" in output
    assert "1 remark" in show("check", RAW.replace("49,49,49,49,5,,1", "49,49,49,49,5,,13"), tmp_path)


def test_info_and_check_print_json_for_programs(tmp_path: Path) -> None:
    found = json.loads(show("info", RAW, tmp_path, "--json"))
    assert (found["sessions"], found["bars"], found["raw"], found["notes"][0]) == (3, 3, True, "prices are in HKD")
    assert found["symbols"] == [
        {"symbol": "AA", "first": "2024-01-02", "last": "2024-01-04", "bars": 3, "missing": 0},
    ]
    text = PLAIN.replace("101,101,101,101", "50,50,50,50")
    (remark,) = json.loads(show("check", text, tmp_path, "--json"))["remarks"]
    assert (remark["kind"], remark["symbol"], remark["first"], remark["value"]) == ("jump", "AA", "2024-01-03", -0.5)
    assert remark["remedy"]


def test_check_compares_with_a_calendar_and_says_what_to_do(tmp_path: Path) -> None:
    text = PLAIN.replace("2024-01-03", "2024-01-05")
    assert "0 remarks" in show("check", text, tmp_path)
    output = show("check", text, tmp_path, "--calendar", "XNYS")
    assert "no symbol has a bar in 2 sessions of XNYS" in output
    assert "no_session: fetch these sessions again" in output

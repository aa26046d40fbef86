"""Universe files, the bundled ones, and the sessions in which a decision may hold a symbol."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from data_feeds.universe import bundled, read_universe, symbols_of
from engine.errors import ConfigError

FILE = """# remarks may stand anywhere
symbol,first,last
XOM,,2020-08-30
CRM,2020-08-31,
# it came back
T,2015-03-18,2015-03-19
T,2020-01-01,
"""


def write(folder: Path, text: str) -> str:
    (folder / "mine.csv").write_text(text)
    return str(folder / "mine.csv")


def test_a_list_a_file_and_a_bundled_universe_name_symbols(tmp_path: Path) -> None:
    assert symbols_of("MSFT, AAPL") == ("AAPL", "MSFT")
    assert symbols_of(write(tmp_path, FILE)) == ("CRM", "T", "XOM")
    assert symbols_of(write(tmp_path, "B\nA\n")) == ("A", "B")
    assert len(symbols_of("@dow30")) == 30


def test_a_decision_holds_what_is_a_member_on_the_next_weekday(tmp_path: Path) -> None:
    universe = read_universe(write(tmp_path, FILE))
    # Thursday to Tuesday; XOM leaves and CRM joins on Monday the 31st.
    sessions = np.array(["2020-08-27", "2020-08-28", "2020-08-31", "2020-09-01"], dtype="datetime64[D]")
    members = universe.members(sessions, ("XOM", "CRM", "T", "ELSE"))
    assert members.T.tolist() == [
        [True, False, False, False],
        [False, True, True, True],
        [True] * 4,
        [False] * 4,
    ]


@pytest.mark.parametrize("name", bundled())
def test_the_bundled_universes_can_be_read(name: str) -> None:
    assert len(read_universe(f"@{name}").symbols) >= 11


def test_thirty_companies_are_in_the_dow_at_any_time() -> None:
    universe = read_universe("@dow30-history")
    sessions = np.arange("2013-09-23", "2025-12-31", dtype="datetime64[D]")
    assert set(universe.members(sessions, universe.symbols).sum(axis=1)) == {30}
    last = universe.members(sessions[-1:], universe.symbols)[0]
    assert tuple(np.array(universe.symbols)[last]) == read_universe("@dow30").symbols
    assert universe.spans["AAPL"] == [(date(2015, 3, 19), date.max)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol,from\nA,2020-01-01\n", "the columns must be symbol, first, last"),
        ("symbol,first,last\nA,2020-01-01\n", "line 2: must have 3 values, has 2"),
        ("symbol,first,last\nA,2020-01-32,\n", "line 2: must be a date such as 2024-01-02, was '2020-01-32'"),
        ("symbol,first,last\nA,2020-01-02,2020-01-01\n", "must not leave before it joins"),
        ("symbol,first,last\nA,,\nA,2020-01-02,\n", "A is a member twice on 2020-01-02"),
        ("symbol,first,last\n,,\n", "line 2: symbol must be a name"),
        ("# nothing\n", "names no symbols"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_universe(write(tmp_path, text))


def test_what_is_not_there_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, FILE)
    with pytest.raises(ConfigError, match=r"did you mean 'mine\.csv'"):
        read_universe(str(tmp_path / "mime.csv"))
    with pytest.raises(ConfigError, match="did you mean 'dow30'"):
        read_universe("@dow3")
    for wrong in ("A,A", "A,", ""):
        with pytest.raises(ConfigError, match="distinct names"):
            symbols_of(wrong)

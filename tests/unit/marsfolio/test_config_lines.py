"""Where in a TOML file a key stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from marsfolio.config_lines import Place, key_lines, lined

TEXT = '''# a remark
kind = "x"

[backtest]
cash = 5.0  # [train]
names = [
    "A",
    "B",
]
said = """
cash = 7
"""
"a key" = 1

[data . check]
data = "b.csv"
inline = { cash = 1, deep = { er = 2 } }
dotted.key = 3

[[many]]
one = 1
'''


def test_keys_are_found_where_they_begin_and_not_in_remarks_or_texts() -> None:
    found = key_lines(TEXT)
    assert found == {
        ("kind",): 2,
        ("backtest",): 4,
        ("backtest", "cash"): 5,
        ("backtest", "names"): 6,
        ("backtest", "said"): 10,
        ("backtest", "a key"): 13,
        ("data",): 15,
        ("data", "check"): 15,
        ("data", "check", "data"): 16,
        ("data", "check", "inline"): 17,
        ("data", "check", "inline", "cash"): 17,
        ("data", "check", "inline", "deep"): 17,
        ("data", "check", "inline", "deep", "er"): 17,
        ("data", "check", "dotted"): 18,
        ("data", "check", "dotted", "key"): 18,
        ("many",): 20,
        ("many", "one"): 21,
    }


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_place_names_file_line_and_table(tmp_path: Path, newline: str) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(("\ufeff" + TEXT.replace("\n", newline)).encode())
    assert Place(file, ("data", "check")).at("data") == f"{file}, line 16: [data.check]"
    assert Place(file, ("data", "check")).at("nothing") == f"{file}: [data.check]"


def test_a_file_that_has_gone_is_named_without_a_line(tmp_path: Path) -> None:
    assert lined(tmp_path / "gone.toml", ("a",)) == str(tmp_path / "gone.toml")

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from data_feeds.table_file import nearest_names, read_columns
from engine.errors import DataError

KINDS = ["csv", "csv.gz", "parquet"]
COLUMNS = ("date", "symbol", "close")
GOOD_TEXT = b"date,symbol,close\n2024-01-02,A,10.5\n"


def good_bars() -> pd.DataFrame:
    dates = [f"2024-01-{day:02}" for day in range(1, 29)] * 10
    symbols = [f"S{number}" for number in range(10) for _ in range(28)]
    return pd.DataFrame({"date": dates, "symbol": symbols, "close": [k / 7 + 1 for k in range(280)]})


def write(frame: pd.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_columns(path, COLUMNS)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("kind", KINDS)
def test_the_wanted_columns_are_read_and_the_others_named(kind: str, tmp_path: Path) -> None:
    columns, extra = read_columns(write(good_bars().assign(vwap=1, note="x"), tmp_path, kind), COLUMNS)
    assert list(columns) == list(COLUMNS)
    assert columns["symbol"].to_pylist() == list(good_bars()["symbol"])
    assert extra == ("vwap", "note")


def test_near_names_are_found_whatever_their_case() -> None:
    assert nearest_names("aapl", ["MSFT", "AAPL", "AAP"]) == ["AAPL", "AAP"]
    assert nearest_names("XYZ", ["MSFT", "AAPL"]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_missing_columns_are_named_with_the_ones_that_were_found(kind: str, tmp_path: Path) -> None:
    frame = good_bars().rename(columns={"date": "Date", "close": "Close"})
    message = refusal(write(frame, tmp_path, kind))
    assert message.startswith("missing columns: date, close; found Date, symbol, Close: ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_a_header_only_is_refused(kind: str, tmp_path: Path) -> None:
    assert refusal(write(good_bars().iloc[:0], tmp_path, kind)).startswith("has a header and no rows")


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"bars.{kind}"
    path.touch()
    assert refusal(path).startswith("is empty (0 bytes)")


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("bars.csv", b"\n\n", "holds nothing but blank lines"),
        ("bars.csv", b"date,symbol,close", "has a header and no rows"),
        (
            "bars.csv",
            GOOD_TEXT.replace(b",10.5", b""),
            "line 2: must have 3 values like the header, has 2; mend",
        ),
        (
            "bars.csv",
            GOOD_TEXT + b"1,2\n" * 3,
            "line 3: must have 3 values like the header, has 2 (the first of 3",
        ),
        (
            "bars.csv",
            GOOD_TEXT.replace(b",", b";"),
            "missing columns: date, symbol, close; found date;symbol;close: ",
        ),
        (
            "bars.csv",
            b"close," + GOOD_TEXT.replace(b"\n2", b"\n1,2"),
            "repeated columns: close: keep one of each",
        ),
        ("bars.csv", GOOD_TEXT.replace(b",A,", b",\xc4,"), "cannot be read as CSV in UTF-8: "),
        ("bars.csv", GOOD_TEXT.decode().encode("utf-16"), "cannot be read as CSV in UTF-8: "),
        ("bars.csv", gzip.compress(GOOD_TEXT, mtime=0), "cannot be read as CSV in UTF-8: "),
        ("bars.csv.gz", GOOD_TEXT, "cannot be read as CSV in UTF-8, compressed with gzip: "),
        (
            "bars.csv.gz",
            gzip.compress(GOOD_TEXT, mtime=0)[:-12],
            "cannot be read as CSV in UTF-8, compressed with gzip: ",
        ),
        ("bars.parquet", GOOD_TEXT, "cannot be read as parquet: "),
        ("bars.xlsx", GOOD_TEXT, "the file's name must end in .csv, .csv.gz, .parquet, ends in '.xlsx'"),
        ("bars", GOOD_TEXT, "the file's name must end in .csv, .csv.gz, .parquet, ends in ''"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(name: str, content: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path).startswith(rule)


@pytest.mark.parametrize("part", [slice(-40, None), slice(None, -40), slice(4, 200)])
def test_a_cut_or_overwritten_parquet_file_is_refused(part: slice, tmp_path: Path) -> None:
    path = write(good_bars(), tmp_path, "parquet")
    content = path.read_bytes()
    path.write_bytes(content[part] if part.start != 4 else content[:4] + b"z" * 196 + content[200:])
    assert refusal(path).startswith("cannot be read as parquet: ")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bars.parquet").mkdir()
    (tmp_path / "prices.csv").write_bytes(GOOD_TEXT)
    assert (
        refusal(tmp_path / "bars.parquet")
        == "is a folder, and no store that `marsfolio data fetch` wrote: name one file of it"
    )
    assert refusal(tmp_path / "price.csv").endswith(
        "there is no such file: name a file of bars or weights; did you mean prices.csv?"
    )
    assert refusal(tmp_path / "nowhere" / "price.csv").startswith("there is no such file")

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_feeds.files import read_panel, read_weights
from engine.errors import DataError
from engine.panel import FIELDS, MarketPanel

KINDS = ["csv", "csv.gz", "parquet"]
HEADER = "date,symbol,open,high,low,close,volume"
needs_data = pytest.mark.skipif("MARSFOLIO_DATA" not in os.environ, reason="MARSFOLIO_DATA does not name a data folder")


def good_bars() -> pd.DataFrame:
    """Two symbols on two days; row number 2 (line 4 of a CSV file, row 3 of a parquet file) is AA's 2nd."""
    return pd.DataFrame(
        {
            "date": ["2024-01-02", "2024-01-02", "2024-01-03", "2024-01-03"],
            "symbol": ["AA", "BB", "AA", "BB"],
            "open": [10.0, 20.0, 10.5, 20.5],
            "high": [11.0, 21.0, 11.5, 21.5],
            "low": [9.0, 19.0, 9.5, 19.5],
            "close": [10.5, 20.5, 11.0, 21.0],
            "volume": [100.0, 200.0, 300.0, 400.0],
        }
    )


def good_weights() -> pd.DataFrame:
    return good_bars()[["date", "symbol"]].assign(weight=[0.25, 0.5, 0.75, 0.25])


def write(frame: pd.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def with_cell(frame: pd.DataFrame, column: str, value: object, rows: tuple[int, ...] = (2,)) -> pd.DataFrame:
    values = list(frame[column])
    for row in rows:
        values[row] = value
    return frame.assign(**{column: values})


def place(kind: str, row: int = 2) -> str:
    """How messages name a row (from 0) of a file: CSV lines count the header."""
    return f"row {row + 1}" if kind == "parquet" else f"line {row + 2}"


def refusal(path: Path, read: Callable[[Path], object] = read_panel) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def long_frame(panel: MarketPanel) -> pd.DataFrame:
    t, i = np.nonzero(panel.has_bar)
    columns = {name: getattr(panel, name)[t, i] for name in FIELDS}
    return pd.DataFrame(
        {"date": panel.sessions[t].astype("datetime64[s]"), "symbol": np.array(panel.symbols)[i]} | columns
    )


def random_panel(seed: int) -> MarketPanel:
    """Prices over hundreds of orders of magnitude, missing bars, unknown volumes, awkward names."""
    rng = np.random.default_rng(seed)
    shape = (30, 6)
    close = np.exp(rng.uniform(-300, 300, shape))
    open_ = close * rng.uniform(0.5, 2, shape)
    high = np.maximum(open_, close) * rng.uniform(1, 2, shape)
    low = np.minimum(open_, close) * rng.uniform(0.5, 1, shape)
    volume = np.where(rng.random(shape) < 0.2, np.nan, rng.integers(0, 2**52, shape).astype("float64"))
    missing = rng.random(shape) < 0.3
    missing[np.arange(30), rng.integers(0, 6, 30)] = False
    missing[0] = False
    bars = [np.where(missing, np.nan, values) for values in (open_, high, low, close, volume)]
    days = np.datetime64("2023-12-20", "D") + np.cumsum(rng.integers(1, 5, shape[0]))
    return MarketPanel(days, ("0005.HK", "007", "NA", "TRUE", "^VIX", "a,b"), *bars)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_a_panel_survives_a_file_bit_by_bit_whatever_the_order_of_the_rows(
    kind: str, seed: int, tmp_path: Path
) -> None:
    panel = random_panel(seed)
    shuffled = long_frame(panel).sample(frac=1.0, random_state=seed)
    read, notes = read_panel(write(shuffled, tmp_path, kind))
    assert read.content_hash == panel.content_hash
    assert (read.symbols, notes, read.closes_only) == (panel.symbols, (), False)


@pytest.mark.parametrize("kind", KINDS)
def test_bars_stand_where_their_date_and_symbol_say(kind: str, tmp_path: Path) -> None:
    path = write(good_bars().iloc[[3, 0, 1]], tmp_path, kind)
    panel, _ = read_panel(path)
    assert [str(day) for day in panel.sessions] == ["2024-01-02", "2024-01-03"]
    assert panel.symbols == ("AA", "BB")
    assert panel.missing.tolist() == [[False, False], [True, False]]
    assert panel.close[:, 1].tolist() == [20.5, 21.0]
    assert panel.source == str(path)


@pytest.mark.parametrize("kind", KINDS)
def test_symbols_stay_text(kind: str, tmp_path: Path) -> None:
    names = ["0005.HK", "NA", "TRUE", "007"]
    panel, _ = read_panel(write(good_bars().assign(date="2024-01-02", symbol=names), tmp_path, kind))
    assert panel.symbols == ("0005.HK", "007", "NA", "TRUE")


@pytest.mark.parametrize("kind", KINDS)
def test_extra_columns_are_noted(kind: str, tmp_path: Path) -> None:
    frame = good_bars().assign(vwap=1.0, source="x")
    assert read_panel(write(frame, tmp_path, kind))[1] == ("ignored the extra columns: vwap, source",)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_volume_is_unknown(kind: str, tmp_path: Path) -> None:
    panel, _ = read_panel(write(with_cell(good_bars(), "volume", np.nan), tmp_path, kind))
    assert np.isnan(panel.volume).tolist() == [[False, False], [True, False]]


def test_unknown_volumes_of_any_bit_pattern_give_the_same_hash(tmp_path: Path) -> None:
    hashes = set()
    for unknown in (np.nan, np.copysign(np.nan, -1.0)):
        columns = {name: pa.array(good_bars()[name]) for name in ("date", "symbol", *FIELDS)}
        columns["volume"] = pa.array(np.array([100.0, unknown, 300.0, 400.0]), from_pandas=False)
        pq.write_table(pa.table(columns), tmp_path / "bars.parquet")
        hashes.add(read_panel(tmp_path / "bars.parquet")[0].content_hash)
    assert len(hashes) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_flat_bars_without_any_volume_are_closes_only(kind: str, tmp_path: Path) -> None:
    frame = good_bars().assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=np.nan)
    panel, notes = read_panel(write(frame, tmp_path, kind))
    assert panel.closes_only
    assert notes == ("every bar has open = high = low = close and no volume: taken as closes only",)


@pytest.mark.parametrize(
    "dates",
    [
        pd.Series(pd.to_datetime(good_bars()["date"]).astype("datetime64[ns]")),
        pd.Series([date(2024, 1, 2), date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 3)], dtype=object),
        good_bars()["date"].astype("category"),
    ],
    ids=["timestamps", "dates", "categories"],
)
def test_every_usual_way_to_store_dates_in_parquet_is_read(dates: pd.Series[Any], tmp_path: Path) -> None:
    plain, _ = read_panel(write(good_bars(), tmp_path, "csv"))
    frame = good_bars().assign(date=dates, symbol=good_bars()["symbol"].astype("category"))
    assert read_panel(write(frame, tmp_path, "parquet"))[0].content_hash == plain.content_hash


def test_whole_and_single_precision_numbers_in_parquet_are_read(tmp_path: Path) -> None:
    frame = good_bars().astype({"open": "float32", "volume": "int64"})
    panel, _ = read_panel(write(frame, tmp_path, "parquet"))
    assert panel.volume[1, 0] == 300.0
    assert panel.open[1, 0] == 10.5


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines_are_counted_over_blank_lines_quoted_line_breaks_and_a_byte_order_mark(
    ending: str, tmp_path: Path
) -> None:
    path = tmp_path / "bars.csv"
    row = "2024-01-02,A,10,11,9,10.5,100"
    lines = ["\ufeff" + HEADER + ",note", "", row + ',"two', 'lines"', "", "2024-01-03,A,10,x,9,10.5,100,"]
    path.write_bytes(ending.join(lines).encode())
    assert refusal(path).startswith("line 6: A on 2024-01-03: high must be a number, was 'x'; write")


# Column, value, and what the message says after the row; the same in both kinds of file.
BROKEN_BARS = [
    ("date", "2023-02-30", "date must be a day of the calendar, was '2023-02-30'"),
    ("date", "02/01/2024", "date must be a day like 2024-01-02, was '02/01/2024'"),
    ("date", "20240102", "date must be a day like 2024-01-02, was '20240102'"),
    ("date", "", "date must be a day like 2024-01-02, was ''"),
    ("date", "0024-01-02", "date must be in the years 1900 to 2100, was '0024-01-02'"),
    ("date", "2204-01-02", "date must be in the years 1900 to 2100, was '2204-01-02'"),
    ("date", "2024-01-03 09:30:00", "date must not have a time of day, was '2024-01-03 09:30:00'"),
    ("date", "2024-01-02T00:00:00Z", "date must not have a time zone, was '2024-01-02T00:00:00Z'"),
    ("date", "2024-01-02 00:00:00-05:00", "date must not have a time zone, was '2024-01-02 00:00:00-05:00'"),
    ("symbol", "", "symbol must not be empty or blank, was ''"),
    ("symbol", " ", "symbol must not be empty or blank, was ' '"),
    ("symbol", "AA ", "symbol must not have blanks around it, was 'AA '"),
    ("symbol", "A\tA", "symbol must have printable characters only, was 'A\\tA'"),
    ("open", np.inf, "AA on 2024-01-03: open must be a finite number, was inf"),
    ("open", 0.0, "AA on 2024-01-03: open must be positive, was 0.0"),
    ("high", 10.9, "AA on 2024-01-03: high must not be below open or close, was 10.9 (with open 10.5"),
    ("low", 10.6, "AA on 2024-01-03: low must not be above open or close, was 10.6 (with open 10.5"),
    ("close", -1.0, "AA on 2024-01-03: close must be positive, was -1.0"),
    ("volume", -5.0, "AA on 2024-01-03: volume must not be negative, was -5.0"),
    ("volume", np.inf, "AA on 2024-01-03: volume must be finite, was inf"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("column", "value", "rule"), BROKEN_BARS)
def test_a_broken_row_is_refused_with_its_place_rule_and_value(
    kind: str, column: str, value: object, rule: str, tmp_path: Path
) -> None:
    message = refusal(write(with_cell(good_bars(), column, value), tmp_path, kind))
    assert message.startswith(f"{place(kind)}: {rule}")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("close", "abc", "close must be a number, was 'abc'"),
        ("close", "1,100", "close must be a number, was '1,100'"),
        ("close", " 11", "close must be a number, was ' 11'"),
        ("close", "", "close must be a number, was empty"),
        ("close", "nan", "close must be a finite number, was nan"),
        ("close", "1e999", "close must be a finite number, was inf"),
        ("volume", "many", "volume must be a number, was 'many'"),
    ],
)
def test_a_text_that_is_no_number_is_refused_in_csv(column: str, value: str, rule: str, tmp_path: Path) -> None:
    message = refusal(write(with_cell(good_bars(), column, value), tmp_path, "csv"))
    assert message.startswith(f"line 4: AA on 2024-01-03: {rule}; ")


@pytest.mark.parametrize(
    ("column", "values", "rule"),
    [
        ("close", ["10.5", "20.5", "11", "21"], "row 1: column close must hold numbers, holds"),
        ("close", [True] * 4, "row 1: column close must hold numbers, holds bool"),
        (
            "close",
            [10.5, 20.5, None, 21.0],
            "row 3: AA on 2024-01-03: close must be a finite number, was nan",
        ),
        ("symbol", [1, 2, 1, 2], "row 1: column symbol must hold text, holds int64 (first value 1)"),
        ("symbol", ["AA", "BB", None, "BB"], "row 3: symbol must be a name, was missing"),
        ("date", [20240102] * 4, "row 1: column date must hold dates or text like 2024-01-02, holds int64"),
        (
            "date",
            ["2024-01-02"] * 2 + [None] * 2,
            "row 3: date must be a day like 2024-01-02, was missing (the first",
        ),
        (
            "date",
            pd.to_datetime(["2024-01-02"] * 2 + [None] * 2),
            "row 3: date must be a day, was missing (the first",
        ),
        (
            "date",
            [datetime(2024, 1, 2, tzinfo=UTC)] * 4,
            "row 1: column date must not have a time zone, has UTC",
        ),
        (
            "date",
            [datetime(2024, 1, 2), datetime(2024, 1, 2, 16)] * 2,
            "row 2: date must not have a time of day, was 2024-01-02T16:00",
        ),
        (
            "date",
            [datetime(2024, 1, 2), datetime(1024, 1, 2)] * 2,
            "row 2: date must be in the years 1900 to 2100, was 1024-01-02",
        ),
    ],
)
def test_a_parquet_column_of_the_wrong_type_is_refused(
    column: str, values: list[object], rule: str, tmp_path: Path
) -> None:
    assert refusal(write(good_bars().assign(**{column: values}), tmp_path, "parquet")).startswith(rule)


@pytest.mark.parametrize("kind", KINDS)
def test_several_broken_rows_are_counted_and_the_first_is_named(kind: str, tmp_path: Path) -> None:
    message = refusal(write(with_cell(good_bars(), "close", -1.0, rows=(1, 2, 3)), tmp_path, kind))
    assert message.startswith(f"{place(kind, 1)}: BB on 2024-01-02: close must be positive, was -1.0 (the first of 3")


@pytest.mark.parametrize("kind", KINDS)
def test_a_repeated_bar_is_refused_with_both_places(kind: str, tmp_path: Path) -> None:
    frame = pd.concat([good_bars(), good_bars().iloc[[1]]])
    assert refusal(write(frame, tmp_path, kind)) == (
        f"{place(kind, 4)}: BB on 2024-01-02: date and symbol must occur once, "
        f"were already in {place(kind, 1)}; keep one of the rows"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_wanted_symbols_and_their_sessions_are_read(kind: str, tmp_path: Path) -> None:
    frame = with_cell(good_bars().iloc[[3, 2, 1]], "close", -1.0, rows=(2,))  # BB's first bar is broken
    panel, _ = read_panel(write(frame, tmp_path, kind), ["AA"])
    assert panel.symbols == ("AA",)
    assert [str(day) for day in panel.sessions] == ["2024-01-03"]
    message = refusal(write(frame, tmp_path, kind), lambda path: read_panel(path, ["BB"]))
    assert message.startswith(f"{place(kind, 2)}: BB on 2024-01-02: close must be positive")


@pytest.mark.parametrize(
    ("symbols", "rule"),
    [
        (["AA", "bb2"], "no bars for 'bb2' (nearest: BB): choose among the 2 symbols of the file"),
        (["XYZW"], "no bars for 'XYZW': choose among the 2 symbols of the file"),
        (["AA", "BB", "AA"], "the list of symbols names AA more than once: name each once"),
        ([], "the list of symbols is empty: name at least one, or leave the list out"),
    ],
)
def test_a_wrong_list_of_symbols_is_refused(symbols: list[str], rule: str, tmp_path: Path) -> None:
    assert refusal(write(good_bars(), tmp_path, "csv"), lambda path: read_panel(path, symbols)) == rule


@needs_data
def test_fifty_real_stocks_are_read_and_survive_a_csv_file(tmp_path: Path) -> None:
    panel, notes = read_panel(Path(os.environ["MARSFOLIO_DATA"]) / "us50.parquet")
    assert (int(panel.has_bar.sum()), panel.n_symbols, len(panel), notes) == (113_200, 50, 2264, ())
    assert panel.symbols == tuple(sorted(panel.symbols))
    again, _ = read_panel(write(long_frame(panel), tmp_path, "csv"))
    assert again.content_hash == panel.content_hash


def weights_panel() -> MarketPanel:
    close = np.full((4, 3), 10.0)
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-05"], dtype="datetime64[D]")
    return MarketPanel(days, ("BB", "AA", "CC"), close, close, close, close, close, source="bars.csv")


def read_good_weights(path: Path) -> object:
    return read_weights(path, weights_panel())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_stand_at_their_session_and_symbol_and_days_without_rows_are_nan(kind: str, tmp_path: Path) -> None:
    frame = good_weights().iloc[[3, 1, 0]]
    weights = read_weights(write(frame, tmp_path, kind), weights_panel())
    nan = np.nan
    expected = [[nan, nan, nan], [0.5, 0.25, 0.0], [0.25, 0.0, 0.0], [nan, nan, nan]]
    np.testing.assert_array_equal(weights, expected)


def test_a_date_of_zeros_is_a_rebalance_to_cash(tmp_path: Path) -> None:
    weights = read_weights(write(good_weights().assign(weight=0.0), tmp_path, "csv"), weights_panel())
    assert weights[1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        (
            "date",
            "2024-01-04",
            "date must be a session of bars.csv (2024-01-01 to 2024-01-05), was 2024-01-04",
        ),
        (
            "date",
            "2024-01-08",
            "date must be a session of bars.csv (2024-01-01 to 2024-01-05), was 2024-01-08",
        ),
        ("date", "2023-02-30", "date must be a day of the calendar, was '2023-02-30'"),
        ("symbol", "aa1", "symbol must be one of bars.csv, was 'aa1' (nearest: AA)"),
        ("symbol", "BB", "BB on 2024-01-03: date and symbol must occur once, were already in"),
        ("weight", np.inf, "AA on 2024-01-03: weight must be a finite number, was inf"),
        ("weight", -0.1, "AA on 2024-01-03: weight must not be negative, was -0.1"),
        ("weight", 0.8, "weights of 2024-01-03 must sum to at most 1, sum to 1.05"),
        ("weight", 0.75 + 3e-9, "weights of 2024-01-03 must sum to at most 1, sum to 1.000000003"),
    ],
)
def test_broken_weights_are_refused(kind: str, column: str, value: object, rule: str, tmp_path: Path) -> None:
    frame = with_cell(good_weights(), column, value)
    message = refusal(write(frame, tmp_path, kind), read_good_weights)
    where = 3 if value == "BB" else 2
    assert message.startswith(f"{place(kind, where)}: {rule}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_weight_is_refused(kind: str, tmp_path: Path) -> None:
    message = refusal(write(with_cell(good_weights(), "weight", np.nan), tmp_path, kind), read_good_weights)
    assert message.startswith(f"{place(kind)}: AA on 2024-01-03: weight must be a")


def test_a_sum_of_one_with_rounding_is_accepted(tmp_path: Path) -> None:
    frame = with_cell(good_weights(), "weight", 0.75 + 0.9e-9)
    assert read_weights(write(frame, tmp_path, "csv"), weights_panel())[2].sum() > 1


def test_a_file_of_bars_is_not_a_file_of_weights(tmp_path: Path) -> None:
    assert refusal(write(good_bars(), tmp_path, "csv"), read_good_weights).startswith("missing columns: weight; ")

"""Splits, dividends and the currency of a file of bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_feeds.check import Finding, Kind, find_problems, summarise
from data_feeds.files import read_panel
from engine.errors import DataError
from engine.panel import MarketPanel

KINDS = ["csv", "csv.gz", "parquet"]
NAN = np.nan


def bars(closes: dict[str, list[float]], **columns: object) -> pd.DataFrame:
    """Flat bars, day by day from 2024-01-02, the symbols of a day together."""
    names, prices = list(closes), np.array(list(closes.values())).T
    days = [f"2024-01-{2 + day:02}" for day in range(len(prices))]
    price = prices.ravel()
    return pd.DataFrame(
        {
            "date": np.repeat(days, len(names)),
            "symbol": names * len(days),
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "volume": 100.0,
            **columns,
        }
    )


def split_bars(**columns: object) -> pd.DataFrame:
    """AA has a split of 2 for 1 on the second of three days; BB stays."""
    return bars({"AA": [100.0, 50.5, 51.0], "BB": [20.0, 20.1, 20.2]}, **columns)


SPLITS = [NAN, NAN, 2.0, 1.0, 0.0, NAN]
DIVIDENDS = [0.0, NAN, NAN, 0.25, 0.0, 0.0]


def write(frame: pd.DataFrame, folder: Path, kind: str = "csv") -> Path:
    path = folder / f"table.{kind}"
    if kind == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path


def place(kind: str, row: int) -> str:
    return f"row {row + 1}" if kind == "parquet" else f"line {row + 2}"


def refusal(path: Path, symbols: list[str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_panel(path, symbols)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("kind", KINDS)
def test_splits_and_dividends_stand_at_their_session_and_nothing_is_one_and_zero(kind: str, tmp_path: Path) -> None:
    frame = split_bars(split=SPLITS, dividend=DIVIDENDS).iloc[[3, 0, 5, 1, 2, 4]]
    panel, notes = read_panel(write(frame, tmp_path, kind))
    assert panel.split.tolist() == [[1, 1], [2, 1], [1, 1]]
    assert panel.dividend.tolist() == [[0, 0], [0, 0.25], [0, 0]]
    assert notes == ("raw prices (splits: 1, dividends: 1)",)


def test_without_such_columns_prices_are_taken_as_adjusted(tmp_path: Path) -> None:
    panel, notes = read_panel(write(split_bars(), tmp_path))
    assert (panel.split, panel.dividend, panel.has_actions, notes) == (None, None, False, ())


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        ({"split": SPLITS}, "raw prices (splits: 1, dividends: no such column)"),
        ({"dividend": DIVIDENDS}, "raw prices (splits: no such column, dividends: 1)"),
        ({"split": [NAN] * 6}, "raw prices (splits: 0, dividends: no such column)"),
        ({"dividend": [None] * 6}, "raw prices (splits: no such column, dividends: 0)"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_one_of_the_two_columns_makes_prices_raw(
    columns: dict[str, object], note: str, kind: str, tmp_path: Path
) -> None:
    panel, notes = read_panel(write(split_bars(**columns), tmp_path, kind))
    assert (panel.split != 1).sum() + (panel.dividend != 0).sum() == note.count("1")
    assert notes == (note,)


@pytest.mark.parametrize(
    ("split", "dividend"),
    [("Stock Splits", "Dividends"), ("splitFactor", "divCash"), ("split_coefficient", "dividend_amount")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_titles_of_vendors_are_understood(split: str, dividend: str, kind: str, tmp_path: Path) -> None:
    panel, _ = read_panel(write(split_bars(**{split: SPLITS, dividend: DIVIDENDS}), tmp_path, kind))
    assert (panel.split[1, 0], panel.dividend[1, 1]) == (2.0, 0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_one_thing_under_two_titles_is_refused(kind: str, tmp_path: Path) -> None:
    frame = split_bars(**{"splitFactor": SPLITS, "Stock Splits": SPLITS})
    message = refusal(write(frame, tmp_path, kind))
    assert message == "the columns splitFactor, Stock Splits all mean split: keep one of them"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("split", -2.0, "AA on 2024-01-03: split must not be negative, was -2.0"),
        ("split", np.inf, "AA on 2024-01-03: split must be finite, was inf"),
        ("dividend", -0.5, "AA on 2024-01-03: dividend must not be negative, was -0.5"),
        ("dividend", np.inf, "AA on 2024-01-03: dividend must be finite, was inf"),
    ],
)
def test_a_broken_value_is_refused_with_its_place(
    kind: str, column: str, value: float, rule: str, tmp_path: Path
) -> None:
    values = [NAN, NAN, value, NAN, NAN, NAN]
    message = refusal(write(split_bars(**{column: values}), tmp_path, kind))
    assert message.startswith(f"{place(kind, 2)}: {rule}")


def test_a_ratio_in_words_is_refused(tmp_path: Path) -> None:
    message = refusal(write(split_bars(split=["", "", "2:1", "", "", ""]), tmp_path))
    assert message.startswith("line 4: AA on 2024-01-03: split must be a number, was '2:1'")
    message = refusal(write(split_bars(split=["", "", "2:1", "", "", ""]), tmp_path, "parquet"))
    assert message.startswith("row 1: column split must hold numbers, holds")


def test_a_broken_value_of_a_symbol_that_is_not_read_does_not_matter(tmp_path: Path) -> None:
    path = write(split_bars(split=[NAN, -1.0, 2.0, NAN, NAN, NAN]), tmp_path)
    assert read_panel(path, ["AA"])[0].has_actions
    assert refusal(path, ["BB"]).startswith("line 3: BB on 2024-01-02: split must not be negative, was -1.0")


@pytest.mark.parametrize("kind", KINDS)
def test_one_currency_is_noted(kind: str, tmp_path: Path) -> None:
    assert read_panel(write(split_bars(currency="HKD"), tmp_path, kind))[1] == ("prices are in HKD",)


@pytest.mark.parametrize("kind", KINDS)
def test_several_currencies_are_refused_with_a_symbol_of_each(kind: str, tmp_path: Path) -> None:
    path = write(split_bars(currency=["USD", "HKD"] * 3), tmp_path, kind)
    assert refusal(path) == (
        "prices are in several currencies: HKD (BB), USD (AA); an account has one: choose symbols of one currency "
        "with --symbols, or convert prices and dividends first"
    )
    assert read_panel(path, ["BB"])[1] == ("prices are in HKD",)


@pytest.mark.parametrize("kind", KINDS)
def test_a_symbol_that_changes_its_currency_is_refused(kind: str, tmp_path: Path) -> None:
    path = write(split_bars(currency=["USD", "USD", "EUR", "USD", "EUR", "USD"]), tmp_path, kind)
    assert refusal(path, ["AA"]).startswith("prices are in several currencies: EUR (AA), USD (AA);")


@pytest.mark.parametrize("kind", KINDS)
def test_a_currency_in_some_rows_alone_is_refused(kind: str, tmp_path: Path) -> None:
    path = write(split_bars(currency=["USD", "USD", "USD", None, "USD", "USD"]), tmp_path, kind)
    message = refusal(path)
    assert message.startswith(f"{place(kind, 3)}: BB on 2024-01-03: currency must be named in every row or in none")
    assert read_panel(path, ["AA"])[1] == ("prices are in USD",)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_column_of_currencies_says_nothing(kind: str, tmp_path: Path) -> None:
    assert read_panel(write(split_bars(currency=[None] * 6), tmp_path, kind))[1] == ()


def test_a_currency_that_is_a_number_is_refused(tmp_path: Path) -> None:
    message = refusal(write(split_bars(currency=1.0), tmp_path, "parquet"))
    assert message.startswith("row 1: column currency must hold text, holds double (first value 1.0)")


@pytest.mark.parametrize("title", ["adj_close", "Adj Close", "adjClose"])
def test_an_adjusted_close_without_factors_is_warned_about(title: str, tmp_path: Path) -> None:
    extra, warning = read_panel(write(split_bars(**{title: 1.0}), tmp_path))[1]
    assert extra == f"ignored the extra columns: {title}"
    assert warning.startswith(f"{title} is not used: if open to close are raw prices, splits look like crashes")


def test_an_adjusted_close_beside_factors_is_ignored_like_any_column(tmp_path: Path) -> None:
    notes = read_panel(write(split_bars(adj_close=1.0, split=SPLITS), tmp_path))[1]
    assert notes == ("ignored the extra columns: adj_close", "raw prices (splits: 1, dividends: no such column)")


def test_splits_that_the_prices_are_adjusted_for_already_are_refused(tmp_path: Path) -> None:
    frame = bars({"AA": [25.0, 25.5, 26.0], "BB": [20.0, 20.1, 20.2]}, **{"Stock Splits": [0, 0, 4.0, 0, 0, 0]})
    assert refusal(write(frame, tmp_path)).startswith(
        "1 of 1 large splits leave no trace in the prices, the first: 4 for 1 of AA on 2024-01-03, which opened at "
        "25.5 after a close of 25.0; such prices are adjusted for splits already, as Yahoo's are: leave out"
    )


def test_one_wrong_split_of_many_is_noted(tmp_path: Path) -> None:
    frame = bars({"AA": [20.0, 10.0, 10.0], "BB": [20.0, 20.0, 2.0]}, split=[0, 0, 2.0, 2.0, 0, 10.0])
    _, note = read_panel(write(frame, tmp_path))[1]
    assert note == (
        "1 of 3 large splits leave no trace in the prices, the first: 2 for 1 of BB on 2024-01-03, which opened at "
        "20.0 after a close of 20.0; `marsfolio data check` lists all"
    )


@pytest.mark.parametrize(("ratio", "opened"), [(2.0, 42.0), (0.1, 700.0), (10.0, 15.0), (1.5, 60.0), (1.05, 100.0)])
def test_a_split_in_a_wild_market_is_not_taken_for_an_adjusted_price(
    ratio: float, opened: float, tmp_path: Path
) -> None:
    frame = bars({"AA": [100.0, opened]}, split=[0.0, ratio])
    assert read_panel(write(frame, tmp_path))[0].has_actions


def raw_panel(closes: list[float], split: list[float], dividend: list[float] | None = None) -> MarketPanel:
    close = np.array([closes]).T
    days = np.datetime64("2024-01-02", "D") + np.arange(len(close))
    actions = {"split": np.array([split]).T, "dividend": np.array([dividend or [0.0] * len(split)]).T}
    return MarketPanel(days, ("AA",), close, close, close, close, close, source="bars.csv", **actions)


def only(panel: MarketPanel) -> Finding:
    (finding,) = find_problems(panel)
    return finding


@pytest.mark.parametrize(
    ("closes", "split"),
    [
        ([100.0, 50.5], [1.0, 2.0]),
        ([7.0, 71.0], [1.0, 0.1]),
        ([100.0, 85.0], [1.0, 1.2]),
        ([100.0, 98.5], [1.0, 1.05]),  # a day's move hides it
        ([100.0, 40.5], [1.0, 2.0]),  # 19 % down
    ],
)
def test_a_split_that_the_price_follows_is_no_problem(closes: list[float], split: list[float]) -> None:
    assert find_problems(raw_panel(closes, split)) == []


def test_a_small_split_is_a_problem_when_the_price_is_nearer_to_none() -> None:
    assert only(raw_panel([100.0, 85.0], [1.0, 1.4])).kind is Kind.SPLIT
    assert find_problems(raw_panel([100.0, 84.0], [1.0, 1.4])) == []


def test_a_split_that_the_price_does_not_follow_is_found() -> None:
    jump, finding = find_problems(raw_panel([100.0, 101.0, 102.0], [1.0, 2.0, 1.0]))
    assert (jump.kind, finding.kind, finding.count) == (Kind.JUMP, Kind.SPLIT, 1)
    assert finding.value == pytest.approx(1.02)
    assert finding.message == (
        "AA has a split of 2 for 1 on 2024-01-03, but opens at 101.0 after a close of 100.0, +102.0% for who held: "
        "a wrong split or day, or prices that are adjusted"
    )


def test_a_holding_that_jumps_with_its_split_is_found() -> None:
    kinds = [finding.kind for finding in find_problems(raw_panel([100.0, 64.0], [1.0, 2.0]))]
    assert kinds == [Kind.JUMP, Kind.SPLIT]


def test_a_dividend_on_the_day_of_a_split_counts_with_it() -> None:
    found = find_problems(raw_panel([100.0, 30.0], [1.0, 2.0], [0.0, 20.0]))
    assert [finding.kind for finding in found] == [Kind.DIVIDEND]


def test_a_split_in_the_first_bar_of_a_symbol_has_nothing_to_be_compared_with() -> None:
    assert find_problems(raw_panel([100.0, 101.0], [2.0, 1.0])) == []


def test_declared_splits_and_dividends_are_no_jumps() -> None:
    assert find_problems(raw_panel([100.0, 50.5, 41.0], [1.0, 2.0, 1.0], [0.0, 0.0, 10.0])) == []


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (50.5, "like a split of 2 for 1 that is not"),
        (67.0, "like a split of 3 for 2 that is not"),
        (995.0, "like a split of 1 for 10 that is not"),
        (60.0, "news, or a split that is not"),
    ],
)
def test_a_jump_says_which_split_it_looks_like(after: float, words: str) -> None:
    raw = raw_panel([100.0, after], [1.0, 1.0])
    adjusted = MarketPanel(raw.sessions, raw.symbols, raw.open, raw.high, raw.low, raw.close, raw.volume)
    assert only(raw).message.endswith(f"{words} declared")
    assert only(adjusted).message.endswith(f"{words} adjusted")


def test_the_open_tells_which_split_a_jump_looks_like() -> None:
    open_, close = np.array([[100.0], [50.0]]), np.array([[100.0], [60.0]])
    days = np.array(["2024-01-02", "2024-01-03"], dtype="datetime64[D]")
    panel = MarketPanel(days, ("AA",), open_, close, open_, close, close)
    assert only(panel).message == "AA returned -40.0% on 2024-01-03: like a split of 2 for 1 that is not adjusted"


def test_a_dividend_above_a_quarter_of_the_close_is_found() -> None:
    assert find_problems(raw_panel([100.0, 80.0], [1.0, 1.0], [0.0, 20.0])) == []
    finding = only(raw_panel([100.0, 80.0], [1.0, 1.0], [0.0, 20.5]))
    assert (finding.kind, str(finding.first), finding.value) == (Kind.DIVIDEND, "2024-01-03", 20.5 / 80)
    assert finding.message.startswith("AA pays 20.5 a share on 2024-01-03, 26% of its close: ")


def test_the_summary_counts_splits_and_dividends() -> None:
    raw = summarise(raw_panel([100.0, 50.0, 5.0, 5.0], [1.0, 2.0, 10.0, 1.0], [0.0, 0.0, 0.0, 0.5]))
    assert (raw.raw, raw.splits, raw.dividends) == (True, 2, 1)

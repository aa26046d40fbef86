from __future__ import annotations

import numpy as np
import pytest

from engine.errors import DataError, InputError
from engine.panel import FIELDS, MarketPanel

DAYS = np.array(["2024-01-02", "2024-01-03", "2024-01-05"], dtype="datetime64[D]")


def make_panel(**changes: object) -> MarketPanel:
    """Two symbols over three sessions; B has no bar in the middle one."""
    close = np.array([[10.0, 20.0], [11.0, np.nan], [12.0, 22.0]])
    parts: dict[str, object] = {
        "sessions": DAYS,
        "symbols": ("A", "B"),
        "open": close - 0.5,
        "high": close + 1.0,
        "low": close - 1.0,
        "close": close,
        "volume": np.where(np.isnan(close), np.nan, 100.0),
        "source": "bars.csv",
    }
    return MarketPanel(**(parts | changes))  # type: ignore[arg-type]


def with_cell(panel: MarketPanel, name: str, value: float, at: tuple[int, int] = (0, 1)) -> dict[str, object]:
    values = getattr(panel, name).copy()
    values[at] = value
    return {name: values}


def test_a_panel_knows_its_sizes_and_its_missing_bars() -> None:
    panel = make_panel()
    assert (len(panel), panel.n_symbols) == (3, 2)
    assert panel.missing.tolist() == [[False, False], [False, True], [False, False]]
    assert np.array_equal(panel.has_bar, ~panel.missing)


@pytest.mark.parametrize("name", ["sessions", *FIELDS, "missing", "has_bar"])
def test_no_array_of_a_panel_can_be_written_to(name: str) -> None:
    with pytest.raises(ValueError, match="read-only"):
        getattr(make_panel(), name)[0] = 0


def test_a_panel_does_not_follow_later_changes_of_the_arrays_it_was_made_from() -> None:
    close = make_panel().close.copy()
    panel = make_panel(close=close)
    close[0, 0] = 10.2
    assert panel.close[0, 0] == 10.0


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("open", np.nan, "open must be a number where the bar has a close"),
        ("open", 0.0, "open must be positive and finite, was 0.0"),
        ("high", np.inf, "high must be positive and finite, was inf"),
        ("low", -1.0, "low must be positive and finite, was -1.0"),
        ("close", -20.0, "close must be positive and finite, was -20.0"),
        ("close", np.nan, "open must be a number where the bar has a close, and NaN elsewhere, was 19.5"),
        ("high", 19.9, "high must not be below open or close, was 19.9"),
        ("low", 19.6, "low must not be above open or close, was 19.6"),
        ("volume", -1.0, "volume must be finite and not negative, was -1.0"),
        ("volume", np.inf, "volume must be finite and not negative, was inf"),
    ],
)
def test_a_broken_cell_is_refused_with_its_place_rule_and_value(name: str, value: float, rule: str) -> None:
    with pytest.raises(DataError) as caught:
        make_panel(**with_cell(make_panel(), name, value))
    assert str(caught.value).startswith("bars.csv: B on 2024-01-02: ")
    assert rule in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"sessions": DAYS[:2]}, "open has shape (3, 2), expected (2, 2)"),
        ({"volume": np.zeros((3, 1))}, "volume has shape (3, 1), expected (3, 2)"),
        ({"sessions": DAYS[[1, 0, 2]]}, "sessions must increase strictly"),
        ({"sessions": DAYS[[0, 0, 2]]}, "sessions must increase strictly"),
        ({"sessions": np.array(["NaT", *DAYS[1:]], "datetime64[D]")}, "sessions must increase strictly"),
        ({"symbols": ("A", "A")}, "a symbol is named twice"),
        ({"symbols": ()}, "no bars (sessions x symbols is 3 x 0)"),
        ({"sessions": DAYS[:0]}, "no bars (sessions x symbols is 0 x 2)"),
    ],
)
def test_shapes_sessions_and_symbols_that_disagree_are_refused(changes: dict[str, object], rule: str) -> None:
    with pytest.raises(DataError) as caught:
        make_panel(**changes)
    assert str(caught.value) == f"bars.csv: {rule}"


def test_an_unknown_volume_is_allowed() -> None:
    assert np.isnan(make_panel(volume=np.full((3, 2), np.nan)).volume).all()


def test_the_content_hash_depends_on_every_bar_session_and_symbol_and_on_nothing_else() -> None:
    panel = make_panel()
    same = make_panel(source="elsewhere.parquet", close=np.asfortranarray(panel.close))
    others = [make_panel(**with_cell(panel, name, getattr(panel, name)[0, 1] + 1e-12)) for name in FIELDS]
    others += [make_panel(sessions=DAYS + 1), make_panel(symbols=("A", "C"))]
    assert same.content_hash == panel.content_hash
    assert len({panel.content_hash, *(other.content_hash for other in others)}) == 1 + len(others)


def test_rows_are_a_panel_of_their_own() -> None:
    part = make_panel().rows(1, 3)
    assert part.sessions.tolist() == DAYS[1:].tolist()
    assert part.close[1].tolist() == [12.0, 22.0]
    assert (part.symbols, part.source) == (("A", "B"), "bars.csv")


def test_selecting_symbols_keeps_their_order_and_drops_sessions_without_any_of_their_bars() -> None:
    assert make_panel().select(["B", "A"]).close[0].tolist() == [20.0, 10.0]
    only = make_panel(closes_only=True).select(["B"])
    assert only.sessions.tolist() == DAYS[[0, 2]].tolist()
    assert only.closes_only


@pytest.mark.parametrize(
    ("symbols", "rule"),
    [(["A", "Z"], "no bars for Z; the data has A, B"), (["A", "A"], "a symbol is named twice")],
)
def test_selecting_an_unknown_or_repeated_symbol_is_refused(symbols: list[str], rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        make_panel().select(symbols)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (0, 2)),
        ("2024-01-03", "2024-01-03", (1, 1)),
        ("2024-01-03", "2024-01-04", (1, 1)),
        ("2024-01-04", None, (2, 2)),
        ("1990-01-01", "2030-01-01", (0, 2)),
    ],
)
def test_a_window_is_clipped_to_the_sessions_inside(
    start: str | None, end: str | None, expected: tuple[int, int]
) -> None:
    days = [None if day is None else np.datetime64(day, "D") for day in (start, end)]
    assert make_panel().window(*days) == expected


@pytest.mark.parametrize(("start", "end"), [("2024-01-04", "2024-01-04"), ("2025-01-01", None), (None, "2023-01-01")])
def test_a_window_without_a_session_is_refused_with_the_range_of_the_data(start: str | None, end: str | None) -> None:
    days = [None if day is None else np.datetime64(day, "D") for day in (start, end)]
    with pytest.raises(InputError, match=r"bars\.csv, which has 2024-01-02 to 2024-01-05"):
        make_panel().window(*days)


def raw_panel(**changes: object) -> MarketPanel:
    """The same with a split of A in the last session, and a dividend of B."""
    nan = np.nan
    actions: dict[str, object] = {
        "split": np.array([[1.0, 1.0], [nan, nan], [2.0, 1.0]]),
        "dividend": np.array([[0.0, 0.0], [0.0, nan], [0.0, 5.5]]),
    }
    return make_panel(**(actions | changes))


def test_a_panel_of_raw_prices_holds_splits_and_dividends_and_one_and_zero_elsewhere() -> None:
    panel = raw_panel()
    assert panel.has_actions
    assert panel.split.tolist() == [[1, 1], [1, 1], [2, 1]]
    assert panel.dividend.tolist() == [[0, 0], [0, 0], [0, 5.5]]
    assert not make_panel().has_actions
    for values in (panel.split, panel.dividend):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_growth_is_what_an_old_share_became_at_the_close() -> None:
    # A: two shares for one. B: 5.5 a share that closes at 22.
    assert raw_panel().growth.tolist() == [[1, 1], [1, 1], [2, 1.25]]
    assert make_panel().growth is None


@pytest.mark.parametrize("given", ["split", "dividend"])
def test_splits_alone_or_dividends_alone_make_the_other_nothing(given: str) -> None:
    panel = make_panel(**{given: getattr(raw_panel(), given)})
    assert (panel.split == 1).all() == (given == "dividend")
    assert (panel.dividend == 0).all() == (given == "split")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("split", 0.0, "split must be positive and finite, was 0.0"),
        ("split", -2.0, "split must be positive and finite, was -2.0"),
        ("split", np.inf, "split must be positive and finite, was inf"),
        ("dividend", -0.1, "dividend must be finite and not negative, was -0.1"),
        ("dividend", np.inf, "dividend must be finite and not negative, was inf"),
    ],
)
def test_a_broken_action_is_refused_with_its_place_rule_and_value(name: str, value: float, rule: str) -> None:
    with pytest.raises(DataError) as caught:
        raw_panel(**with_cell(raw_panel(), name, value))
    assert str(caught.value) == f"bars.csv: B on 2024-01-02: {rule}"


@pytest.mark.parametrize(("name", "value"), [("split", 2.0), ("dividend", 1.0)])
def test_an_action_without_a_bar_is_refused(name: str, value: float) -> None:
    with pytest.raises(DataError, match=f"B on 2024-01-03: {name} needs a bar in its session, was {value}"):
        raw_panel(**with_cell(raw_panel(), name, value, (1, 1)))


def test_an_action_array_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"split has shape \(2, 2\), expected \(3, 2\)"):
        raw_panel(split=np.ones((2, 2)))


def test_parts_of_a_raw_panel_keep_its_actions() -> None:
    part = raw_panel().select(["B", "A"]).rows(1, 3)
    assert part.split.tolist() == [[1, 1], [1, 2]]
    assert part.dividend.tolist() == [[0, 0], [5.5, 0]]


def test_the_content_hash_depends_on_every_action() -> None:
    panel = raw_panel()
    others = [make_panel()]
    others += [raw_panel(**with_cell(panel, name, 1.5)) for name in ("split", "dividend")]
    assert len({panel.content_hash, *(other.content_hash for other in others)}) == 4
    assert raw_panel().content_hash == panel.content_hash

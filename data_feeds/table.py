"""One CSV or parquet file as checked columns; every error names the file, the row, the rule and the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_feeds.table_file import MEND, Optional, csv_line, is_parquet, is_text, read_columns
from engine.arrays import BoolArray, FloatArray, IntArray, SessionArray
from engine.errors import DataError

FIRST_YEAR, LAST_YEAR = 1900, 2100

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](.+))?", re.ASCII)
_ZONE = re.compile(r"(Z|z|UTC|GMT|[+-]\d{2}:?(\d{2})?)$")
_MIDNIGHT = re.compile(r"00:00(:00(\.0+)?)?")


@dataclass(frozen=True)
class Table:
    """The wanted columns of one file, as Arrow arrays, and where each row stands in it.

    Parameters
    ----------
    path : the file, for messages.
    columns : name to Arrow array of R values; text when the file is CSV.
    records : (R,) number of each row among the file's rows of data, from 0.
    extra : names of the other columns of the file, which are ignored.
    """

    path: Path
    columns: dict[str, Any]
    records: IntArray
    extra: tuple[str, ...]

    def keep(self, wanted: BoolArray) -> Table:
        """Return the rows where ``wanted`` (R,) is True; they still know their place in the file."""
        if wanted.all():
            return self
        columns = {name: column.filter(pa.array(wanted)) for name, column in self.columns.items()}
        return replace(self, columns=columns, records=self.records[wanted])

    def refuse(self, broken: BoolArray, say: Callable[[int], str], remedy: str = MEND) -> None:
        """Raise for the first row where ``broken`` (R,) is True; ``say`` words rule and value.

        Raises
        ------
        DataError
            When any row is broken; says how many are.
        """
        where = np.flatnonzero(broken)
        if not where.size:
            return
        first = int(where[0])
        count = f" (the first of {where.size:,} such rows)" if where.size > 1 else ""
        raise DataError(f"{self.path}: {self.row_name(first)}: {say(first)}{count}; {remedy}")

    def refuse_values(
        self,
        name: str,
        values: FloatArray,
        broken: BoolArray,
        rule: str,
        beside: dict[str, FloatArray] | None = None,
    ) -> None:
        """Raise for the first of a column's ``values`` (R,) that is ``broken`` (R,), telling those ``beside`` it.

        Raises
        ------
        DataError
            When any value is broken; says how many are.
        """

        def say(row: int) -> str:
            others = " and ".join(f"{other} {float(column[row])}" for other, column in (beside or {}).items())
            told = f" (with {others})" if others else ""
            return f"{self.bar_name(row)}: {name} {rule}, was {float(values[row])}{told}"

        self.refuse(broken, say)

    def row_name(self, row: int) -> str:
        """Return the place of a row as a reader finds it: a line of a CSV file, a row of a parquet file."""
        record = int(self.records[row])
        if is_parquet(self.path):
            return f"row {record + 1}"
        return f"line {csv_line(self.path, record)}"

    def bar_name(self, row: int) -> str:
        """Return symbol and date of a row, as they stand in the file."""
        day = str(self.columns["date"][row].as_py())
        return f"{self.symbol(row)} on {day.removesuffix(' 00:00:00')}"

    def symbol(self, row: int) -> str:
        """Return the symbol of a row."""
        return str(self.columns["symbol"][row].as_py())

    def days(self) -> tuple[SessionArray, IntArray]:
        """Return the distinct dates, increasing (T,), and each row's number among them (R,).

        Raises
        ------
        DataError
            When a date is missing, impossible, outside 1900 to 2100, or has a time of day or a zone.
        """
        column = self.columns["date"]
        if is_text(column.type):
            days = self._days_from_text(column)
        elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            days = self._days_from_timestamps(column)
        else:
            self._refuse_type("date", "dates or text like 2024-01-02")
        codes, distinct = pd.factorize(days.astype("int64"), sort=True)
        return np.asarray(distinct).astype("datetime64[D]"), codes.astype("int64")

    def symbols(self) -> tuple[tuple[str, ...], IntArray]:
        """Return the distinct symbols, sorted (N,), and each row's number among them (R,).

        Raises
        ------
        DataError
            When a symbol is empty, is not text, has blanks around it, or cannot be printed.
        """
        codes, names = self.texts("symbol")
        self.refuse(codes < 0, lambda _: "symbol must be a name, was missing")
        rules: tuple[tuple[str, Callable[[str], bool]], ...] = (
            ("symbol must not be empty or blank", lambda name: not name.strip()),
            ("symbol must not have blanks around it", lambda name: name != name.strip()),
            ("symbol must have printable characters only", lambda name: not name.isprintable()),
        )
        for rule, is_broken in rules:
            broken = np.array([is_broken(name) for name in names], dtype=bool)
            self.refuse(broken[codes], lambda row, rule=rule: f"{rule}, was {names[codes[row]]!r}")  # type: ignore[misc]
        order = sorted(range(len(names)), key=names.__getitem__)
        rank = np.empty(len(names), dtype="int64")
        rank[order] = np.arange(len(names))
        return tuple(names[k] for k in order), rank[codes]

    def texts(self, name: str) -> tuple[IntArray, list[str]]:
        """Return each row's number among the distinct texts of a column (R,), -1 where missing, and the texts.

        Raises
        ------
        DataError
            When the column does not hold text.
        """
        column = self.columns[name]
        if not (is_text(column.type) or pa.types.is_null(column.type)):
            self._refuse_type(name, "text")
        return _encoded(column.cast(pa.string()))

    def numbers(self, name: str, empty_is_unknown: bool = False) -> FloatArray:
        """Return a column as numbers (R,), NaN where the file has none; text is read to the nearest double.

        Raises
        ------
        DataError
            When a text is not a number, or the column holds something else than numbers.
        """
        column = self.columns[name]
        kind = column.type
        if is_parquet(self.path):
            is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
            if not (is_number or (empty_is_unknown and pa.types.is_null(kind))):
                self._refuse_type(name, "numbers")
            values = column.cast(pa.float64(), safe=False)
        else:
            values = self._numbers_from_text(name, column, empty_is_unknown)
        result = np.array(values.to_numpy(zero_copy_only=False), dtype="float64")
        result[np.isnan(result)] = np.nan  # one bit pattern, so that equal bars have equal hashes
        return result

    def refuse_duplicates(self, t: IntArray, i: IntArray) -> None:
        """Raise when two rows have the same date and symbol.

        Raises
        ------
        DataError
            Naming the first row that repeats an earlier one.
        """
        cells = t * (int(i.max()) + 1) + i
        repeated = np.asarray(pd.Series(cells).duplicated())

        def say(row: int) -> str:
            earlier = self.row_name(int(np.flatnonzero(cells == cells[row])[0]))
            return f"{self.bar_name(row)}: date and symbol must occur once, were already in {earlier}"

        self.refuse(repeated, say, "keep one of the rows")

    def _numbers_from_text(self, name: str, column: Any, empty_is_unknown: bool) -> Any:
        empty = pc.equal(column, "")
        if empty_is_unknown:
            column = pc.if_else(empty, pa.scalar(None, pa.string()), column)
        else:
            self.refuse(_mask(empty), lambda row: f"{self.bar_name(row)}: {name} must be a number, was empty")
        try:
            return column.cast(pa.float64())
        except pa.ArrowInvalid:
            broken = ~_mask(pc.fill_null(pc.match_substring_regex(column, _NUMBER), True))
            self.refuse(
                broken,
                lambda row: f"{self.bar_name(row)}: {name} must be a number, was {column[row].as_py()!r}",
                "write it with a decimal point and without units or separators",
            )
            raise

    def _days_from_text(self, column: Any) -> SessionArray:
        codes, texts = _encoded(column)
        self.refuse(codes < 0, lambda _: "date must be a day like 2024-01-02, was missing")
        parsed = [_parse_day(text) for text in texts]
        fault_of = np.array([fault for _, fault in parsed], dtype=object)
        for fault in dict.fromkeys(fault for _, fault in parsed if fault):
            self.refuse(
                (fault_of == fault)[codes],
                lambda row, fault=fault: f"date {fault}, was {texts[codes[row]]!r}",  # type: ignore[misc]
                "write sessions as days of the exchange, like 2024-01-02",
            )
        return np.array([day for day, _ in parsed], dtype="datetime64[D]")[codes]

    def _days_from_timestamps(self, column: Any) -> SessionArray:
        zone = getattr(column.type, "tz", None)
        if zone is not None:
            raise DataError(
                f"{self.path}: row 1: column date must not have a time zone, has {zone}: "
                "convert it to the exchange's dates and drop the zone"
            )
        self.refuse(_mask(column.is_null()), lambda _: "date must be a day, was missing")
        stamps = column.to_numpy(zero_copy_only=False)
        days = stamps.astype("datetime64[D]")
        remedy = "store sessions as days of the exchange"
        self.refuse(
            days.astype(stamps.dtype) != stamps,
            lambda row: f"date must not have a time of day, was {stamps[row]}",
            remedy,
        )
        years = days.astype("datetime64[Y]").astype("int64") + 1970
        self.refuse((years < FIRST_YEAR) | (years > LAST_YEAR), lambda row: f"date {_YEARS}, was {days[row]}", remedy)
        return cast(SessionArray, days)

    def _refuse_type(self, name: str, wanted: str) -> NoReturn:
        column = self.columns[name]
        raise DataError(
            f"{self.path}: row 1: column {name} must hold {wanted}, holds {column.type} "
            f"(first value {column[0].as_py()!r}): convert the column"
        )


_YEARS = f"must be in the years {FIRST_YEAR} to {LAST_YEAR}"


def read_table(path: Path, wanted: Sequence[str], optional: Optional | None = None) -> Table:
    """Read the ``wanted`` columns of a .csv, .csv.gz or .parquet file, and those of ``optional`` that it has.

    Raises
    ------
    DataError
        As `read_columns` does.
    """
    columns, extra = read_columns(path, wanted, optional)
    return Table(path, columns, np.arange(len(columns[wanted[0]]), dtype="int64"), extra)


def _encoded(column: Any) -> tuple[IntArray, list[str]]:
    """Return each row's number among the distinct texts (R,), -1 where missing, and the texts."""
    encoded = column.dictionary_encode()
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return codes, encoded.dictionary.to_pylist()


def _mask(column: Any) -> BoolArray:
    return cast(BoolArray, column.to_numpy(zero_copy_only=False).astype(bool))


def _parse_day(text: str) -> tuple[date | None, str]:
    """Return the day and no fault, or None and the rule that the text breaks."""
    found = _DAY.fullmatch(text)
    if found is None:
        return None, "must be a day like 2024-01-02"
    rest = found[2] or ""
    if _ZONE.search(rest):
        return None, "must not have a time zone"
    if rest and not _MIDNIGHT.fullmatch(rest):
        return None, "must not have a time of day"
    try:
        day = date.fromisoformat(found[1])
    except ValueError:
        return None, "must be a day of the calendar"
    return (day, "") if FIRST_YEAR <= day.year <= LAST_YEAR else (None, _YEARS)

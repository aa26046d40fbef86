"""Wanted columns of a CSV or parquet file as Arrow arrays, and the lines of a CSV file's records."""

from __future__ import annotations

import csv
import difflib
import gzip
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TextIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from engine.errors import DataError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
MEND = "mend or remove the row"


Optional = Mapping[str, Collection[str]]
"""Columns a file may have: name to the spellings it goes by, as `folded` gives them."""


def read_columns(
    path: Path, wanted: Sequence[str], optional: Optional | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the ``wanted`` and ``optional`` columns of a .csv, .csv.gz or .parquet file, and name the others.

    Each column is one Arrow array of R >= 1 values; the columns of a CSV file stay text.

    Raises
    ------
    DataError
        When the file is missing, empty, damaged, of another kind, without rows, lacks a wanted column, or has an
        optional one in two spellings.
    """
    _check_file(path)
    read = _read_parquet if is_parquet(path) else _read_csv
    try:
        table, names, chosen = read(path, wanted, optional or {})
    except (OSError, EOFError, csv.Error, UnicodeDecodeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as {_kind(path)}: {reason}: write or fetch the file anew") from error
    if not table.num_rows:
        _refuse_header_only(path)
    columns = {name: _one_array(table.column(title)) for name, title in chosen.items()}
    extra = tuple(title for title in names if title not in chosen.values())
    return columns, extra


def folded(title: str) -> str:
    """Return a column's title without case, blanks, underscores and hyphens."""
    return title.casefold().translate(str.maketrans("", "", " _-"))


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three of ``known`` that look like ``name``, upper and lower case alike, best first."""
    by_folded = {other.casefold(): other for other in known}
    return [by_folded[match] for match in difflib.get_close_matches(name.casefold(), by_folded, n=3)]


def is_parquet(path: Path) -> bool:
    """Return whether it is a parquet file by its name, or a folder of some; otherwise it is CSV."""
    return path.name.lower().endswith(".parquet") or path.is_dir()


def is_text(kind: Any) -> bool:
    """Return whether an Arrow type is text, dictionaries of text included."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder, and no store that `marsfolio data fetch` wrote: name one file of it")
    if not path.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path}: the file's name must end in {', '.join(SUFFIXES)}, ends in {path.suffix!r}")
    if not path.is_file():
        near = nearest_names(path.name, (other.name for other in path.parent.glob("*")))
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise DataError(f"{path}: there is no such file: name a file of bars or weights{hint}")
    if not path.stat().st_size:
        raise DataError(f"{path}: is empty (0 bytes): write or fetch it anew")


def _read_parquet(path: Path, wanted: Sequence[str], optional: Optional) -> tuple[Any, list[str], dict[str, str]]:
    # ParquetFile, because read_table would take "date=..." in the folders of the path for a column.
    with pq.ParquetFile(path) as file:
        names = list(file.schema_arrow.names)
        chosen = _choose(path, names, wanted, optional)
        return file.read(columns=list(chosen.values())), names, chosen


def _read_csv(path: Path, wanted: Sequence[str], optional: Optional) -> tuple[Any, list[str], dict[str, str]]:
    top = [record for _, record in islice(_csv_records(path), 2)]
    if not top:
        raise DataError(f"{path}: holds nothing but blank lines: write or fetch it anew")
    names = top[0]
    chosen = _choose(path, names, wanted, optional)
    titles = list(chosen.values())
    if len(top) == 1:
        _refuse_header_only(path)
    ragged: list[Any] = []

    def on_ragged(row: Any) -> str:
        ragged.append(row)
        return "skip"

    with pa.input_stream(str(path), compression="gzip" if _is_gzip(path) else None) as stream:
        table = pa_csv.read_csv(
            stream,
            read_options=pa_csv.ReadOptions(use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_ragged),
            convert_options=pa_csv.ConvertOptions(
                include_columns=titles, column_types=dict.fromkeys(titles, pa.string())
            ),
        )
    if ragged:
        _refuse_ragged(path, len(names), len(ragged))
    return table, names, chosen


def _refuse_header_only(path: Path) -> NoReturn:
    raise DataError(f"{path}: has a header and no rows: it must hold at least one row of data")


def _refuse_ragged(path: Path, expected: int, count: int) -> NoReturn:
    more = f" (the first of {count:,} such rows)" if count > 1 else ""
    for line, record in _csv_records(path):
        if len(record) != expected:
            raise DataError(
                f"{path}: line {line}: must have {expected} values like the header, has {len(record)}{more}; {MEND}"
            )
    raise DataError(f"{path}: {count} rows do not have {expected} values like the header; mend or remove them")


def _choose(path: Path, names: Sequence[str], wanted: Sequence[str], optional: Optional) -> dict[str, str]:
    """Return the columns to read: our name to the file's title."""
    _check_columns(path, names, wanted)
    chosen = {name: name for name in wanted}
    for name, spellings in optional.items():
        titles = [title for title in names if title not in wanted and folded(title) in spellings]
        if len(titles) > 1:
            raise DataError(f"{path}: the columns {', '.join(titles)} all mean {name}: keep one of them")
        if titles:
            chosen[name] = titles[0]
    return chosen


def _check_columns(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(
            f"{path}: missing columns: {', '.join(missing)}; found {', '.join(names)}: "
            f"the columns must be named {', '.join(wanted)}, separated by commas in a CSV file"
        )
    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}: repeated columns: {', '.join(repeated)}: keep one of each")


def _csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line (from 1) and the values of each record that is not a blank line."""
    with _open_text(path) as file:
        reader = csv.reader(file)
        line = 1
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1


def csv_line(path: Path, record: int) -> int:
    """Return the line (the header's is 1) of a row of data (from 0), reading the file anew: for messages."""
    for number, (line, _) in enumerate(_csv_records(path), start=-1):
        if number == record:
            return line
    raise AssertionError(f"{path} has no record {record}")


def _open_text(path: Path) -> TextIO:
    if _is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open("rt", encoding="utf-8-sig", newline="")


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _kind(path: Path) -> str:
    if is_parquet(path):
        return "parquet"
    return "CSV in UTF-8, compressed with gzip" if _is_gzip(path) else "CSV in UTF-8"


def _one_array(column: Any) -> Any:
    """Return a column as one array; text in its plainest form."""
    if is_text(column.type):
        column = column.cast(pa.string())
    return pa.concat_arrays(column.chunks)

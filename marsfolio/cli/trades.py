"""`marsfolio trades`: the fills, round trips and costs of a run, shown or exported, and proof that its files agree."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import InputError
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    import pandas as pd

    from marsfolio.runs import Run
    from marsfolio.verification.checks import Check

SHOWN_ROWS = 20
_LEFT_OUT = ("fill_id", "order_id", "time_utc")  # of the terminal's table: they repeat the other columns
_SUMMED = ("notional", "commission", "slippage", "costs", "pnl")


class Format(StrEnum):
    """The file formats; the same as `engine.tradelog.FORMATS`, which is slow to import."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


def trades(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    format: Annotated[
        Format | None, typer.Option(help="Format of the file; by default what the name of --out ends in.")
    ] = None,
    round_trips: Annotated[
        bool,
        typer.Option("--round-trips", help="FIFO lots from entry to exit, open ones included, not fills."),
    ] = False,
    monthly_costs: Annotated[
        bool, typer.Option("--monthly-costs", help="What trading cost in each month, not fills.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compute the run anew from fills, cash flows and bars, and compare its files."),
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Bars for --verify, when they are no longer where the run found them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; without it, the last rows are shown.")] = None,
    config: ConfigOption = None,
) -> None:
    """Export, show or verify the trades of a run."""
    _check_choice(round_trips, monthly_costs, verify, data, out)
    kind = _format(format, out)  # before the slow imports
    from marsfolio.runs import open_run

    found = open_run(run)
    if verify and found.config.get("kind") == "paper":
        raise InputError(f"{run} is a paper account, whose journal is its proof: `marsfolio paper audit` verifies it")
    if verify:
        _verify(found, data)
    elif out is not None:
        _write(found, round_trips, monthly_costs, out, kind)
    elif monthly_costs:
        _show_costs(found)
    else:
        _show(*_table(found, round_trips, monthly_costs))


def _check_choice(round_trips: bool, monthly_costs: bool, verify: bool, data: Path | None, out: Path | None) -> None:
    wanted = {"--round-trips": round_trips, "--monthly-costs": monthly_costs, "--verify": verify}
    given = [flag for flag, is_given in wanted.items() if is_given]
    if len(given) > 1:
        raise InputError(f"give one of {', '.join(wanted)}, not {' and '.join(given)}")
    if verify and out is not None:
        raise InputError("--verify writes no file: leave --out away")
    if data is not None and not verify:
        raise InputError("--data goes with --verify")


def _format(format: Format | None, out: Path | None) -> str:
    if out is None:
        if format is not None:
            raise InputError(f"--format {format.value} needs --out FILE, the file to write")
        return ""
    if out.is_dir():
        raise InputError(f"--out must be a file, was the folder {out}: name a file inside it")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist; create it first")
    if format is not None:
        return format.value
    suffix = out.suffix.lstrip(".").lower()
    if suffix not in list(Format):
        raise InputError(f"--out {out} does not say its format: add --format {'|'.join(Format)}")
    return suffix


def _table(run: Run, round_trips: bool, monthly_costs: bool) -> tuple[pd.DataFrame, str]:
    if round_trips:
        return run.round_trips, "round trips"
    if monthly_costs:
        from marsfolio.monthly import monthly_costs as by_month

        return by_month(run.trades, run.cash_flows, run.equity), "months"
    return run.trades, "fills"


def _write(run: Run, round_trips: bool, monthly_costs: bool, out: Path, kind: str) -> None:
    from engine.tradelog import write_table

    table, noun = _table(run, round_trips, monthly_costs)
    write_table(table, out, kind)
    typer.echo(f"wrote {len(table)} {noun} to {out}")


def _show(table: pd.DataFrame, noun: str) -> None:
    from marsfolio.cli.terminal import output, print_table

    columns = [column for column in table.columns if column not in _LEFT_OUT]
    rows = [[_cell(value) for value in row] for row in table[columns].tail(SHOWN_ROWS).itertuples(index=False)]
    records = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    title = noun if output().as_json else f"last {len(rows)} of {len(table):,} {noun}"
    print_table(title, columns, rows, records)
    totals = ", ".join(f"{column} {table[column].sum():,.2f}" for column in _SUMMED if column in columns)
    typer.echo(f"{len(table)} {noun}; totals: {totals}")


def _show_costs(run: Run) -> None:
    from marsfolio.cli.terminal import print_table
    from marsfolio.monthly import monthly_costs, total_costs

    tables = run.trades, run.cash_flows, run.equity
    rows = [
        [str(month), f"{fills:,}", *(f"{money:,.2f}" for money in amounts), f"{100 * share:.4f} %"]
        for table in (monthly_costs(*tables), total_costs(*tables))
        for month, fills, *amounts, share in table.itertuples(index=False)
    ]
    columns = ["month", "fills", "notional", "commission", "slippage", "interest", "dividends", "total cost"]
    print_table("costs by month", [*columns, "of mean equity"], rows)


def _verify(run: Run, data: Path | None) -> None:
    from engine.errors import RunFolderError
    from marsfolio.compose import benchmark_of_run, market_of_run
    from marsfolio.verification.books import books_of
    from marsfolio.verification.verify import verify

    panel = market_of_run(run, data).panel
    books = books_of(run)
    benchmark, remarks = benchmark_of_run(run, panel, books.cash)
    checks = verify(books, panel, benchmark)
    _show_checks(checks, remarks)
    failed = [check for check in checks if not check.passed]
    if failed:
        count = f"{len(failed)} of {len(checks)} checks failed"
        raise RunFolderError(f"{run.path} does not agree with itself: {failed[0].first} ({count})")
    largest = max(check.difference for check in checks if check.unit == "currency")
    typer.echo(
        f"{len(books.trades):,} fills, {len(books.cash_flows):,} cash flows, {len(books.equity):,} sessions: "
        f"all {len(checks)} checks passed, to the cent; largest difference {largest:.10f} of account currency"
    )


def _show_checks(checks: list[Check], remarks: list[str]) -> None:
    from marsfolio.cli.terminal import print_table

    rows = [
        [check.name, "ok" if check.passed else "FAILED", f"{check.difference:.3g}" if check.unit else "", check.unit]
        for check in checks
    ]
    print_table("", ["check", "result", "largest difference", "in"], rows)
    for remark in remarks:
        typer.echo(f"note: {remark}")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:,.4f}"
    return str(value)

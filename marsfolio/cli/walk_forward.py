"""`marsfolio walk-forward`: train anew in each of many windows, and test all of them in one out-of-sample run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import ConfigError
from marsfolio.choice import costs_of, terms_of
from marsfolio.cli.options import (
    Cap,
    Cash,
    CashBuffer,
    CommissionBps,
    CostsOption,
    Data,
    Engine,
    Fill,
    FillOption,
    Fractional,
    NullPaths,
    Param,
    SettingName,
    SlippageBps,
    Symbols,
    Trials,
)
from marsfolio.config import ConfigOption, resolved

if TYPE_CHECKING:
    import pandas as pd

    from agents.checkpoint import Model
    from agents.settings import AnySettings
    from engine.panel import MarketPanel
    from engine.rebalancer import Terms
    from engine.result import Result
    from engine.walkforward import Fold

KIND = "walk_forward"
COMMAND = "walk-forward"
MODELS = "models"


def walk_forward(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run; the models go below it.")],
    start: Annotated[str, typer.Option(help="First test session, YYYY-MM-DD.")],
    end: Annotated[str | None, typer.Option(help="Last test session; the data's last when absent.")] = None,
    config: ConfigOption = None,
    data: Data = None,
    symbols: Symbols = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="A policy of your own with a method fit(panel, train, validation), as FILE.py:NAME or "
            "package.module:NAME; the ten-agent ensemble when absent."
        ),
    ] = None,
    param: Param = None,
    train_sessions: Annotated[int, typer.Option(min=1, help="Sessions of each training window.")] = 756,
    validation_sessions: Annotated[int, typer.Option(min=0, help="Sessions of each validation window.")] = 126,
    test_sessions: Annotated[int, typer.Option(min=1, help="Sessions of each test window.")] = 126,
    purge: Annotated[int, typer.Option(min=0, help="Sessions left out between training and validation.")] = 0,
    embargo: Annotated[int, typer.Option(min=0, help="Sessions left out between validation and test.")] = 0,
    anchored: Annotated[
        bool, typer.Option("--anchored/--rolling", help="Training windows that grow, or that keep their length.")
    ] = False,
    setting: SettingName = "marsfolio",
    episodes: Annotated[int | None, typer.Option(min=1, help="Episodes at most in each window.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The only source of randomness.")] = 0,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with an interrupted walk.")] = False,
    cash: Cash = 1_000_000.0,
    costs: CostsOption = None,
    commission_bps: CommissionBps = None,
    slippage_bps: SlippageBps = None,
    fill: FillOption = Fill.NEXT_OPEN,
    fractional: Fractional = False,
    cap: Cap = None,
    cash_buffer: CashBuffer = None,
    engine: Annotated[Engine, typer.Option(help="backtrader's Cerebro, or the kernel alone.")] = Engine.CEREBRO,
    benchmark: Annotated[str | None, typer.Option(help="Bars of a benchmark: FILE, or FILE:SYMBOL.")] = None,
    null_paths: NullPaths = 100,
    trials: Trials = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor cores to use; all when absent.")] = None,
) -> None:
    """Train anew in each window, and test all windows in one continuous out-of-sample run."""
    from engine.limits import MODEL_LIMITS
    from engine.walkforward import Walk
    from marsfolio.cli.results import in_words, print_metrics
    from marsfolio.compose import (
        absolute_benchmark,
        fitted,
        load_benchmark,
        load_market,
        log_look,
        parse_symbols,
        plan_stitched,
        provenance_of,
        remarks_of,
        window,
        with_limits,
    )
    from marsfolio.runs import recording, write_run
    from marsfolio.statistics import statistics_of
    from strategies.loader import load_own, parse_params

    walk = Walk(train_sessions, test_sessions, validation_sessions, purge, embargo, anchored)
    terms = terms_of(cash, costs_of(costs, commission_bps, slippage_bps), fill, fractional)
    terms = with_limits(terms, cap, cash_buffer, MODEL_LIMITS if strategy is None else None)
    own = None if strategy is None else load_own(strategy, parse_params(param or ()))
    settings = None if own else settings_for(setting, episodes, validation_sessions)
    with recording(out, KIND, (MODELS,)):
        market = load_market(data, parse_symbols(symbols))
        panel = market.panel
        span = window(panel, start, end, "--start/--end")
        folds = walk.folds(span)
        of_benchmark, remarks = load_benchmark(benchmark, panel, span, cash)
        models: list[Model] = []
        if settings is not None:
            models = _models(panel, folds, settings, terms, seed, out / MODELS, resume, threads)
        makers = [model.policy for model in models] if own is None else fitted(own, folds, panel)
        plan = plan_stitched(makers, folds, panel, terms, own)
        result = plan.run(engine.value)
        table = _table(folds, [model.hash for model in models], panel, result)
        for model, row in zip(models, _records(table), strict=False):
            log_look(model, {**row, "start": row["test_start"], "end": row["test_end"]}, panel.content_hash)
        remarks = remarks_of(plan, market, None, result) + remarks
        options = {**resolved(ctx), **absolute_benchmark(benchmark), "resume": False}
        options |= {} if own is None else {"strategy": own.name}
        provenance = {**provenance_of(panel, own=own), "seed": seed, "costs": terms.costs.table()}
        provenance["model_hashes"] = [model.hash for model in models]
        sure = statistics_of(result, panel, span.first, null_paths, trials)
        write_run(
            out,
            KIND,
            result,
            COMMAND,
            options,
            provenance,
            of_benchmark,
            remarks,
            (MODELS,),
            sure,
            {"folds.csv": table},
        )
    _print_folds(table)
    remarks = in_words(sure) + remarks + result.remarks()
    print_metrics({"walk-forward": result.metrics()}, f"Walk-forward run written to {out}", remarks)


def settings_for(setting: str, episodes: int | None, validation_sessions: int) -> AnySettings:
    """Return the settings of the ensembles.

    Raises
    ------
    ConfigError
        When there would be no validation window to choose an episode by.
    """
    from agents.settings import settings_of
    from agents.training import with_episodes

    if validation_sessions < 2:
        raise ConfigError(f"--validation-sessions must be at least 2 for an ensemble, was {validation_sessions}")
    return with_episodes(settings_of(setting), episodes)


def _models(
    panel: MarketPanel,
    folds: tuple[Fold, ...],
    settings: AnySettings,
    terms: Terms,
    seed: int,
    out: Path,
    resume: bool,
    threads: int | None,
) -> list[Model]:
    from marsfolio.cli.train import run_training
    from marsfolio.compose import trainer_of

    models = []
    for number, fold in enumerate(folds, 1):
        assert fold.validation is not None
        known = panel.rows(0, fold.last_known + 1)  # what comes later cannot be looked at
        days = [str(panel.sessions[row]) for row in (*fold.train, *fold.test)]
        print(f"window {number} of {len(folds)}: training on {days[0]} to {days[1]}, for {days[2]} to {days[3]}")
        folder = out / f"{number:02d}"
        trainer = trainer_of(known, fold.train, fold.validation, settings, terms, seed, folder)
        models.append(run_training(trainer, settings.episodes, folder, resume, threads))
    return models


def _table(folds: tuple[Fold, ...], hashes: list[str], panel: MarketPanel, result: Result) -> pd.DataFrame:
    """Return one row a window; a fold's returns are those of the sessions that its decisions were carried into."""
    import pandas as pd

    from engine.metrics import return_metrics

    first, last = folds[0].test.first, folds[-1].test.last
    rows: list[dict[str, Any]] = []
    for number, fold in enumerate(folds, 1):
        spans = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        days = {
            f"{name}_{end}": str(panel.sessions[row])
            for name, span in spans.items()
            if span is not None
            for end, row in zip(("start", "end"), span, strict=True)
        }
        part = slice(fold.test.first - first, min(fold.test.last + 1, last) - first + 1)
        metrics = return_metrics(result.equity[part], result.sessions[part])
        shown = {name: metrics[name] for name in ("total_return", "sharpe_ratio", "max_drawdown")}
        of_model = {"model_hash": hashes[number - 1]} if hashes else {}
        rows.append({"window": number, **days, **shown, **of_model})
    return pd.DataFrame(rows)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in record.items()} for record in records]


def _print_folds(table: pd.DataFrame) -> None:
    from marsfolio.cli.terminal import print_table

    rows = [
        [
            str(row["window"]),
            f"{row['train_start']} to {row['train_end']}",
            f"{row['test_start']} to {row['test_end']}",
            *("-" if row[name] is None else f"{100 * row[name]:.2f} %" for name in ("total_return", "max_drawdown")),
            "-" if row["sharpe_ratio"] is None else f"{row['sharpe_ratio']:.2f}",
        ]
        for row in _records(table)
    ]
    print_table(
        "Windows", ["", "training", "test", "total return", "max drawdown", "Sharpe ratio"], rows, _records(table)
    )

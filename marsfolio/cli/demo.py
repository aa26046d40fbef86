"""`marsfolio demo`: the whole job on the bundled sample, small enough for a coffee break."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from engine.panel import MarketPanel, Window
    from engine.result import Result
    from marsfolio.plans import Plan

KIND = "demo"
KEPT = ("baselines", "model")
TRAIN = "2010-01-01:2016-12-31"
VALIDATION = "2017-01-01:2018-12-31"
TEST = ("2019-01-01", "2020-12-31")


def demo(
    config: ConfigOption = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; the model and the baselines go below it.")] = Path(
        "runs/demo"
    ),
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Training episodes; those of the setting if absent.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The only source of randomness.")] = 0,
) -> None:
    """Train small, backtest and compare with baselines on the bundled sample: 20 stocks, no network, no keys."""
    from marsfolio.cli.results import print_metrics
    from marsfolio.compose import load_market, log_look, provenance_of, window
    from marsfolio.runs import CLOSES_ONLY_REMARK, recording

    with recording(out, KIND, KEPT):
        panel = load_market(None).panel
        print(f"training 10 agents on {panel.n_symbols} stocks, {TRAIN}, validating on {VALIDATION}")
        model = _trained(panel, episodes, seed, out / "model")
        span = window(panel, *TEST, "the demo's test window")
        # The run of MARS is written first: the baselines are folders inside it.
        of_model, of_panel = provenance_of(panel, model), provenance_of(panel)
        plan, options = _of_model(model, panel, span, trained=True)
        rows = {"MARS": _run(plan, options, of_model, out, KIND, KEPT)}
        log_look(model, rows["MARS"].metrics(), panel.content_hash)
        plan, options = _of_model(model, panel, span, trained=False)
        rows["MARS untrained"] = _run(plan, options, of_model, out / "baselines" / "MARS_untrained")
        for name in ("equal_weight", "buy_and_hold"):
            plan, options = _of_strategy(name, panel, span)
            rows[name.replace("_", " ")] = _run(plan, options, of_panel, out / "baselines" / name)
    remarks = [
        CLOSES_ONLY_REMARK,
        "one seed and one window show the machinery; marsfolio evaluate tells whether the method is worth it",
        "MARS obeys a cap of 20 % and a cash buffer of 5 %; equal weight and buy and hold have no limits",
        f"report: {out / 'report.html'}; trades: marsfolio trades {out} --format csv --out trades.csv",
    ]
    metrics = {name: result.metrics() for name, result in rows.items()}
    print_metrics(metrics, f"Test {TEST[0]} to {TEST[1]}, 10 basis points a trade", remarks)


def _trained(panel: MarketPanel, episodes: int | None, seed: int, out: Path) -> Model:
    from agents.settings import settings_of
    from agents.training import with_episodes
    from engine.limits import MODEL_LIMITS
    from engine.rebalancer import Terms
    from marsfolio.cli.train import run_training
    from marsfolio.compose import parse_window, trainer_of

    settings = with_episodes(settings_of("marsfolio"), episodes)
    windows = (parse_window(panel, TRAIN, "train"), parse_window(panel, VALIDATION, "validation"))
    trainer = trainer_of(panel, *windows, settings, Terms(limits=MODEL_LIMITS), seed, out)
    return run_training(trainer, settings.episodes, out)


def _of_model(model: Model, panel: MarketPanel, span: Window, trained: bool) -> tuple[Plan, dict[str, Any]]:
    """Return the plan of the model's test and the options of `marsfolio backtest` that say the same."""
    from engine.limits import MODEL_LIMITS
    from engine.rebalancer import Terms
    from marsfolio.compose import plan_model

    plan = plan_model(model, panel, Terms(limits=MODEL_LIMITS), span, trained)
    return plan, {"model": str(model.path.resolve()), "untrained": not trained}


def _of_strategy(name: str, panel: MarketPanel, span: Window) -> tuple[Plan, dict[str, Any]]:
    """Return the plan of a baseline's test and the options of `marsfolio backtest` that say the same."""
    from engine.rebalancer import Schedule, Terms
    from marsfolio.compose import plan_strategy

    return plan_strategy(name, panel, Terms(), span, Schedule.DAILY, None), {"strategy": name}


def _run(
    plan: Plan,
    options: dict[str, Any],
    provenance: dict[str, Any],
    out: Path,
    kind: str = "backtest",
    keep: tuple[str, ...] = (),
) -> Result:
    from marsfolio.runs import CLOSES_ONLY_REMARK, write_run
    from marsfolio.statistics import NULL_PATHS, statistics_of

    result = plan.run()
    options = {**options, "start": TEST[0], "end": TEST[1], "out": str(out.resolve())}
    sure = statistics_of(result, plan.panel, plan.first, NULL_PATHS)
    write_run(out, kind, result, "backtest", options, provenance, None, [CLOSES_ONLY_REMARK], keep, sure)
    return result

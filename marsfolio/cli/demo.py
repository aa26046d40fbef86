"""`marsfolio demo`: the whole job on the bundled sample, small enough for a coffee break."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from engine.panel import MarketPanel, Window
    from engine.rebalancer import Terms
    from engine.result import Result
    from marsfolio.compose import Plan

KIND = "demo"
KEPT = ("baselines", "model")
TRAIN = "2010-01-01:2016-12-31"
VALIDATION = "2017-01-01:2018-12-31"
TEST = ("2019-01-01", "2020-12-31")
EPISODES = 4


def demo(
    config: ConfigOption = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; the model and the baselines go below it.")] = Path(
        "runs/demo"
    ),
    episodes: Annotated[int, typer.Option(min=1, help="Training episodes; a real training has 300.")] = EPISODES,
    seed: Annotated[int, typer.Option(min=0, help="The only source of randomness.")] = 0,
) -> None:
    """Train small, backtest and compare with baselines on the bundled sample: 20 stocks, no network, no keys."""
    from engine.rebalancer import Terms
    from marsfolio.cli.results import print_metrics
    from marsfolio.compose import load_market, log_look, model_terms, window
    from marsfolio.runs import CLOSES_ONLY_REMARK, recording

    with recording(out, KIND, KEPT):
        market = load_market(None)
        panel, terms = market.panel, Terms()
        print(f"training 10 agents on {panel.n_symbols} stocks, {TRAIN}, validating on {VALIDATION}")
        model = _trained(panel, model_terms(None, None, terms), episodes, seed, out / "model")
        span = window(panel, *TEST, "the demo's test window")
        # The run of MARS is written first: the baselines are folders inside it.
        plans = _plans(model, panel, terms, span)
        rows = {"MARS": _run(*plans.pop("MARS"), out, KIND, KEPT)}
        log_look(model, rows["MARS"], panel.content_hash)
        for name, (plan, provenance, options) in plans.items():
            rows[name] = _run(plan, provenance, options, out / "baselines" / name.replace(" ", "_"), "backtest")
    remarks = [
        CLOSES_ONLY_REMARK,
        f"{episodes} training episodes show the machinery, not the method",
        "MARS obeys a cap of 20 % and a cash buffer of 5 %; equal weight and buy and hold have no limits",
        f"report: {out / 'report.html'}; trades: marsfolio trades {out} --format csv --out trades.csv",
    ]
    metrics = {name: result.metrics() for name, result in rows.items()}
    print_metrics(metrics, f"Test {TEST[0]} to {TEST[1]}, 10 basis points a trade", remarks)


def _trained(panel: MarketPanel, terms: Terms, episodes: int, seed: int, out: Path) -> Model:
    from dataclasses import replace

    from agents.settings import SETTINGS
    from agents.training import Trainer
    from marsfolio.cli.train import run_training
    from marsfolio.compose import parse_window

    settings = replace(SETTINGS["published"], episodes=episodes, update_every=2, validation_every=1, controller_every=1)
    windows = (parse_window(panel, TRAIN, "train"), parse_window(panel, VALIDATION, "validation"))
    return run_training(Trainer(panel, *windows, settings, terms, seed, out), episodes, out)


def _plans(
    model: Model, panel: MarketPanel, terms: Terms, span: Window
) -> dict[str, tuple[Plan, dict[str, Any], dict[str, Any]]]:
    """Return plan, provenance and options of `marsfolio backtest` for each run of the demo."""
    from engine.rebalancer import Schedule
    from marsfolio.compose import model_terms, plan_model, plan_strategy

    limited = model_terms(None, None, terms)
    of_data: dict[str, Any] = {"data_hash": panel.content_hash}
    of_model = {**of_data, "seed": model.manifest["seed"], "model_hash": model.hash}
    options: dict[str, Any] = {"start": TEST[0], "end": TEST[1]}
    with_model = {"model": str(model.path.resolve()), **options}
    plans: dict[str, tuple[Plan, dict[str, Any], dict[str, Any]]] = {
        "MARS": (plan_model(model, panel, limited, span), of_model, with_model),
        "MARS untrained": (
            plan_model(model, panel, limited, span, trained=False),
            of_model,
            {**with_model, "untrained": True},
        ),
    }
    for name in ("equal_weight", "buy_and_hold"):
        plan = plan_strategy(name, panel, terms, span, Schedule.DAILY, None)
        plans[name.replace("_", " ")] = (plan, of_data, {"strategy": name, **options})
    return plans


def _run(
    plan: Plan, provenance: dict[str, Any], options: dict[str, Any], out: Path, kind: str, keep: tuple[str, ...] = ()
) -> Result:
    from marsfolio.runs import CLOSES_ONLY_REMARK, write_run

    result = plan.run()
    options = {**options, "out": str(out.resolve())}
    write_run(out, kind, result, "backtest", options, provenance, None, [CLOSES_ONLY_REMARK], keep)
    return result

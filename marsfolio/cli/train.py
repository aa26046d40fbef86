"""`marsfolio train`: train an ensemble and write a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import Interrupted
from marsfolio.choice import costs_of, terms_of
from marsfolio.cli.options import (
    Cap,
    Cash,
    CashBuffer,
    CommissionBps,
    CostsOption,
    Data,
    Fill,
    FillOption,
    Fractional,
    SettingName,
    SlippageBps,
    Symbols,
    UniverseOption,
)
from marsfolio.config import ConfigOption

if TYPE_CHECKING:
    from agents.checkpoint import Model
    from agents.methods import AnyTrainer


def train(
    train: Annotated[str, typer.Option(help="Training window, YYYY-MM-DD:YYYY-MM-DD.")],
    validation: Annotated[str, typer.Option(help="Validation window, after the training window.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    config: ConfigOption = None,
    data: Data = None,
    symbols: Symbols = None,
    universe: UniverseOption = None,
    setting: SettingName = "marsfolio",
    ablation: Annotated[
        str | None, typer.Option(help="A named variant of the setting, with one part left out.")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Episodes at most; those of the setting when absent.")
    ] = None,
    update_every: Annotated[
        int | None, typer.Option(min=1, help="Sessions per update of the networks; `published` takes 1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The only source of randomness.")] = 0,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with an interrupted training.")] = False,
    cash: Cash = 1_000_000.0,
    costs: CostsOption = None,
    commission_bps: CommissionBps = None,
    slippage_bps: SlippageBps = None,
    fill: FillOption = Fill.NEXT_OPEN,
    fractional: Fractional = False,
    cap: Cap = None,
    cash_buffer: CashBuffer = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor cores to use; all when absent.")] = None,
) -> None:
    """Train the ten-agent ensemble on past bars and write a model folder."""
    from marsfolio.compose import parse_symbols
    from marsfolio.training import Lesson, prepare

    terms = terms_of(cash, costs_of(costs, commission_bps, slippage_bps), fill, fractional)
    lesson = Lesson(train, validation, setting, ablation, episodes, update_every, seed, universe)
    ready = prepare(lesson, data, parse_symbols(symbols), terms, cap, cash_buffer, out, resume)
    for note in ready.market.notes:
        print(f"note: {note}")
    model = run_training(ready.trainer, ready.episodes, out, resume, threads)
    manifest = model.manifest
    print(
        f"model written to {out}: validation score {manifest['best_score']:.4f}, after episode "
        f"{manifest['best_episode']} of {manifest['episodes_trained']}, hash {model.hash}"
    )


def run_training(
    trainer: AnyTrainer, episodes: int, out: Path, resume: bool = False, threads: int | None = None
) -> Model:
    """Train with a progress bar.

    Raises
    ------
    Interrupted
        On Ctrl-C; the finished episodes are on disk.
    """
    from agents.resume import has_state
    from agents.training import use_threads
    from marsfolio.cli.progress import TrainingProgress

    use_threads(threads)
    with TrainingProgress(episodes) as progress:
        try:
            return trainer.run(resume, progress)
        except KeyboardInterrupt:
            if not has_state(out):
                raise Interrupted("nothing is saved: the same command begins again, to the same model") from None
            raise Interrupted(
                f"{trainer.episodes_done} of {episodes} episodes are saved in {out}; the same command with --resume "
                "goes on from there, to the same model"
            ) from None

"""Training in Python: the same models as `marsfolio train` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents import checkpoint
from agents.checkpoint import Model
from agents.training import use_threads
from marsfolio.api.arguments import FILLS, Span, listed, one_of, span
from marsfolio.api.bars import Data, read_bars
from marsfolio.choice import costs_of, terms_of
from marsfolio.training import Lesson, prepare

if TYPE_CHECKING:
    from agents.reporting import EpisodeReport, Losses


class Silent:
    """A reporter that says nothing."""

    def step(self, episode: int, done: int, total: int, losses: Losses | None) -> None:
        """Hear of a step."""

    def episode(self, report: EpisodeReport) -> None:
        """Hear of an episode."""

    def part(self, name: str, done: int, total: int) -> None:
        """Hear of a part."""


def train(
    data: Data,
    train: Span,
    validation: Span,
    out: str | Path,
    *,
    symbols: Sequence[str] | str | None = None,
    universe: str | Path | None = None,
    setting: str = "marsfolio",
    ablation: str | None = None,
    episodes: int | None = None,
    update_every: int | None = None,
    seed: int = 0,
    resume: bool = False,
    cash: float = 1_000_000.0,
    costs: str | Path | None = None,
    commission_bps: float | None = None,
    slippage_bps: float | None = None,
    fill: str = "next_open",
    fractional: bool = False,
    cap: float | None = None,
    cash_buffer: float | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> Model:
    """Train a model on past bars and write its folder, as `marsfolio train` does.

    Parameters
    ----------
    data : bars, see `read_bars`; None for the bundled sample.
    train, validation : windows, as ``"2018-01-01:2022-12-31"`` or two days.
    out : folder of the model.
    universe : a bundled @NAME or a file: its members are traded, each while it is one.
    setting : marsfolio, published, ddpg, td3, sac or ppo.
    ablation : a named variant of the setting, with one part left out.
    episodes, update_every : those of the setting when absent.
    seed : the only source of randomness.
    resume : go on with an interrupted training.
    cash, costs, commission_bps, slippage_bps, fill, fractional, cap, cash_buffer : terms of trading, see `backtest`.
    threads : processor cores to use; all when absent.
    progress : show it on the terminal.

    Returns
    -------
    The model, which `backtest` takes as a strategy.

    Raises
    ------
    ConfigError
        When arguments are unknown, out of range, or do not suit the setting.
    """
    bps = commission_bps, slippage_bps
    of_costs = costs_of(None if costs is None else str(costs), *bps)
    terms = terms_of(cash, of_costs, one_of("fill", fill, FILLS), fractional)
    members = None if universe is None else str(universe)
    lesson = Lesson(span(train), span(validation), setting, ablation, episodes, update_every, seed, members)
    names = listed("symbols", symbols)
    ready = prepare(lesson, read_bars(data, names), None, terms, cap, cash_buffer, Path(out), resume)
    use_threads(threads)
    if not progress:
        return ready.trainer.run(resume, Silent())
    from marsfolio.cli.progress import TrainingProgress

    with TrainingProgress(ready.episodes) as shown:
        return ready.trainer.run(resume, shown)


def load_model(folder: str | Path) -> Model:
    """Return a trained model.

    Raises
    ------
    CheckpointError
        When the folder is no model, is damaged, or was made by something else.
    """
    return checkpoint.load_model(Path(folder))

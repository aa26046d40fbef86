"""From what a user says to a trainer that is ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from marsfolio.compose import Market, check_universe, load_market, parse_window, trainer_of, with_limits

if TYPE_CHECKING:
    from agents.methods import AnyTrainer
    from engine.rebalancer import Terms


@dataclass(frozen=True)
class Lesson:
    """What is to be learned, and how.

    Attributes
    ----------
    train, validation : windows, A:B.
    setting, ablation : named settings, and a named variant with one part left out.
    episodes, update_every : those of the setting when None.
    seed : the only source of randomness.
    universe : whose members are learned from, see `marsfolio.compose.load_market`.
    """

    train: str
    validation: str
    setting: str
    ablation: str | None
    episodes: int | None
    update_every: int | None
    seed: int
    universe: str | None = None


@dataclass(frozen=True)
class Training:
    """A trainer and what it learns from.

    Attributes
    ----------
    episodes : how many there are at most.
    """

    trainer: AnyTrainer
    episodes: int
    market: Market


def prepare(
    lesson: Lesson,
    data: Path | Market | None,
    symbols: Sequence[str] | None,
    terms: Terms,
    cap: float | None,
    cash_buffer: float | None,
    out: Path,
    resume: bool,
) -> Training:
    """Return the training of a model in the folder ``out``.

    Raises
    ------
    ConfigError
        When the setting is unknown, or the windows do not suit it.
    CheckpointError
        When ``out`` holds something else, or nothing to resume.
    """
    from agents.settings import settings_of
    from agents.training import check_model_folder, with_episodes, with_update_every
    from engine.limits import MODEL_LIMITS

    named = settings_of(lesson.setting, lesson.ablation)
    settings = with_update_every(with_episodes(named, lesson.episodes), lesson.update_every)
    check_model_folder(out, resume)
    check_universe(lesson.universe, settings)
    market = load_market(data, symbols, lesson.universe)
    trainer = trainer_of(
        market.panel,
        parse_window(market.panel, lesson.train, "--train"),
        parse_window(market.panel, lesson.validation, "--validation"),
        settings,
        with_limits(terms, cap, cash_buffer, MODEL_LIMITS),
        lesson.seed,
        out,
    )
    return Training(trainer, settings.episodes, market)

"""Progress on the terminal: bars where there is a screen, else, of a training, a line an episode or part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from marsfolio.cli.terminal import progress_console

if TYPE_CHECKING:
    from agents.reporting import EpisodeReport, Losses
    from marsfolio.evaluation.cells import Cell


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar where there is a screen; what is yielded takes how much is done, and how much there is."""
    console = progress_console()
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=max(done, total))


class TrainingProgress:
    """A reporter that draws; use it as a context manager.

    Parameters
    ----------
    episodes : how many episodes the training has at most, where it has any.
    """

    def __init__(self, episodes: int) -> None:
        self._console = progress_console()
        self._episodes = episodes
        self._losses = self._validation = "-"
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[scores]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._first_step: int | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def step(self, episode: int, done: int, total: int, losses: Losses | None) -> None:
        """Move the bar by one environment step."""
        position = (episode - 1) * total + done
        if self._first_step is None:
            # A resumed run has not done the earlier episodes in this process: time left counts from here.
            self._first_step = position - 1
        if losses is not None:
            self._losses = " ".join(f"{name} {value:.3g}" for name, value in losses._asdict().items())
        self._progress.update(
            self._task("episodes", self._episodes * total - self._first_step),
            completed=position - self._first_step,
            description=f"episode {episode}/{self._episodes}",
            scores=f"loss: {self._losses} validation {self._validation}",
        )

    def episode(self, report: EpisodeReport) -> None:
        """Show the validation score and, where there is no bar, a line of text."""
        if report.score == report.score:
            self._validation = f"{report.score:.4f} (best {report.best:.4f})"
        self._line(
            f"episode {report.episode}/{self._episodes}: training equity x{report.equity:.3f}, "
            f"loss actor {report.actor_loss:.4g} critic {report.critic_loss:.4g} safety {report.safety_loss:.4g}, "
            f"validation {self._validation}"
        )

    def part(self, name: str, done: int, total: int) -> None:
        """Move the part's own bar by one gradient step; where there is no bar, say a line at the part's end."""
        self._progress.update(self._task(name, total), completed=done)
        if done == total:
            self._line(f"{name} trained in {total} steps")

    def _task(self, name: str, total: int) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(f"{name:10}", total=total, scores="")
        return self._tasks[name]

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, soft_wrap=True, highlight=False)


class CellProgress:
    """Watches the cells of an evaluation; use it as a context manager.

    Parameters
    ----------
    total : how many cells there are.
    known : how many of them are on disk already.
    """

    def __init__(self, total: int, known: int) -> None:
        self._console = progress_console()
        self._total, self.finished = total, known
        columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"))
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("cells", total=total, completed=known, last="")

    def __enter__(self) -> Self:
        self._progress.start()
        if self.finished:
            self._line(f"{self.finished} of {self._total} cells are on disk from an earlier run")
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def done(self, cell: Cell) -> None:
        """Count a cell and, where there is no bar, say a line."""
        self.finished += 1
        self._progress.update(self._task, completed=self.finished, last=cell.label)
        if not self._console.is_terminal:
            self._line(f"{self.finished}/{self._total} {cell.label}")

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)


@contextmanager
def replay_progress() -> Iterator[Callable[[Any, int, int], None]]:
    """Show a bar where there is a screen, else a line a session; what is yielded takes the outcome and the counts."""
    with progress_bar("sessions") as move:
        console = progress_console()

        def show(outcome: Any, done: int, total: int) -> None:
            move(done, total)
            if not console.is_terminal:
                console.print(f"{done}/{total} {outcome.message}", soft_wrap=True, highlight=False)

        yield show

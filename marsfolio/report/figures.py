"""The main figures of a run as PNG files, for those who paste: figures/ in the run's folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from engine.arrays import FloatArray
from engine.errors import InputError, RunFolderError, did_you_mean
from marsfolio.report.curves import ROLLING_SESSIONS, Curve, benchmark_curve, curve_of, full_colour, period_returns
from marsfolio.report.decisions import Decisions, Stack, held_at_the_end
from marsfolio.report.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

    from marsfolio.runs import Run

FOLDER = "figures"
SIZE = (16.0, 9.0)  # inches, at 100 dots each
LARGEST_AT_THE_END = 20

_INK, _SOFT, _LINE = "#1d2125", "#5d666e", "#e2e3df"
_MAIN, _OTHER, _LOSS = "#1f5fa8", "#8d959c", "#b03a2e"
_AREAS = ("#1f5fa8", "#c8641b", "#2f8a4c", "#8d4fa3", "#a88a14", "#2a8f96", "#c23b4e", "#7a5a43", "#5f7f2f", "#c6cacc")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STYLE: dict[str, Any] = {
    "text.parse_math": False,  # a $ in a name is a dollar
    "text.color": _INK,
    "font.size": 15,
    "axes.titlesize": 20,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 16,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _LINE,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class _Picture:
    """What the figures draw."""

    run: Run
    title: str
    sessions: list[str]
    days: pd.DatetimeIndex
    curve: Curve
    benchmark: Curve | None


def write_figures(run: Run) -> list[Path]:
    """Write the figures of a run into its folder and return their paths; what the run has not is left out.

    Raises
    ------
    RunFolderError
        When a file of the run is missing or damaged, has fewer than two sessions, or the figures cannot be
        written.
    """
    from matplotlib import style  # takes a second: only who asks for figures waits for it

    folder = run.path / FOLDER
    with style.context(["default", _STYLE]):
        drawn = {name: draw(run, name) for name in FIGURES}
        return [_write(folder / f"{name}.png", _png(figure)) for name, figure in drawn.items() if figure is not None]


def draw(run: Run, name: str = "equity") -> Figure | None:
    """Return a figure of a run; None when the run has not what it shows.

    Parameters
    ----------
    name : equity, drawdown, monthly_returns, rolling or holdings.

    Raises
    ------
    InputError
        When there is no such figure.
    RunFolderError
        When a file of the run is missing or damaged, or has fewer than two sessions.
    """
    from matplotlib import style

    if name not in FIGURES:
        raise InputError(f"there is no figure {name!r}{did_you_mean(name, FIGURES)}; known are {', '.join(FIGURES)}")
    table = run.equity
    if len(table) < 2:
        raise RunFolderError(f"{run.path} has one session: figures need two")
    sessions = table["session"].tolist()
    picture = _Picture(
        run,
        f"{run.path.resolve().name}, {sessions[0]} to {sessions[-1]}",
        sessions,
        pd.DatetimeIndex(sessions),
        curve_of(table["equity"].to_numpy()),
        benchmark_curve(table),
    )
    with style.context(["default", _STYLE]):  # whatever the user's own settings are
        figure = FIGURES[name](picture)
        if figure is not None:
            figure.draw_without_rendering()  # ticks take their style when they are drawn, which may be later
        return figure


def draw_curves(curves: pd.DataFrame, title: str, grey: str) -> Figure:
    """Return a figure of curves that begin at 1.

    Parameters
    ----------
    curves : one row a session, one column a curve.
    grey : the column to draw in grey, as what the others are compared with.
    """
    from matplotlib import style

    with style.context(["default", _STYLE]):
        figure = _figure()
        axes = figure.subplots()
        colours = iter(_AREAS[:-1] * len(curves.columns))
        for name in curves.columns:
            axes.plot(curves.index, curves[name], color=_OTHER if name == grey else next(colours), label=str(name))
        axes.legend(loc="upper left")
        axes.set_xlim(curves.index[0], curves.index[-1])
        axes.set_xlabel("Session")
        axes.set_ylabel("Growth of 1")
        days = f"{curves.index[0]:%Y-%m-%d} to {curves.index[-1]:%Y-%m-%d}"
        axes.set_title(f"{title}, {days}: equity")
        figure.draw_without_rendering()
    return figure


def _write(path: Path, image: bytes) -> Path:
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, image)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror}") from error
    return path


def _figure() -> Figure:
    # Without pyplot: no window, no global list of figures, no choice of a backend for the whole process.
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=SIZE, dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.25, h_pad=0.2))
    setattr(figure, "_repr_png_", partial(_png, figure))  # noqa: B010 - how a notebook shows it, without pyplot
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No version of matplotlib in the file: the same run gives the same bytes.
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None}, backend="agg")
    return buffer.getvalue()


def _time_axis(axes: Axes, picture: _Picture, label: str) -> None:
    axes.set_xlim(picture.days[0], picture.days[-1])  # type: ignore[arg-type]
    axes.set_xlabel("Session")
    axes.set_ylabel(label)


def _percent(axis: XAxis | YAxis) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:z.10g} %"))


def _lines(axes: Axes, picture: _Picture, of: Callable[[Curve], FloatArray]) -> None:
    if picture.benchmark is not None:
        axes.plot(picture.days, of(picture.benchmark), color=_OTHER, label="Benchmark")
    axes.plot(picture.days, of(picture.curve), color=_MAIN, label="Strategy")
    if picture.benchmark is not None:
        axes.legend(loc="upper left", reverse=True)


def _equity(picture: _Picture) -> Figure:
    from matplotlib.ticker import FuncFormatter

    figure = _figure()
    axes = figure.subplots()
    _lines(axes, picture, lambda curve: curve.equity)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    _time_axis(axes, picture, "Account value at the close")
    axes.set_title(f"{picture.title}: equity")
    return figure


def _drawdown(picture: _Picture) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    if picture.benchmark is not None:
        axes.plot(picture.days, -picture.benchmark.drawdown, color=_OTHER, label="Benchmark")
    axes.plot(picture.days, -picture.curve.drawdown, color=_LOSS, label="Strategy")
    axes.fill_between(picture.days, -picture.curve.drawdown, color=_LOSS, alpha=0.17, linewidth=0)
    if picture.benchmark is not None:
        axes.legend(loc="lower left", reverse=True)
    _percent(axes.yaxis)
    _time_axis(axes, picture, "Fall from the highest value so far")
    axes.set_title(f"{picture.title}: drawdown")
    return figure


def _rolling(picture: _Picture) -> Figure | None:
    if len(picture.sessions) <= ROLLING_SESSIONS:
        return None
    figure = _figure()
    above, below = figure.subplots(2, 1, sharex=True)
    _lines(above, picture, lambda curve: curve.volatility)
    above.set_ylim(bottom=0.0)
    _percent(above.yaxis)
    _time_axis(above, picture, "Volatility, annualised")
    above.set_xlabel("")
    above.set_title(f"{picture.title}: risk over {ROLLING_SESSIONS} sessions")
    _lines(below, picture, lambda curve: curve.sharpe)
    below.axhline(0.0, color=_SOFT, linewidth=1.0)
    _time_axis(below, picture, "Sharpe ratio, annualised")
    return figure


def _monthly_returns(picture: _Picture) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    years = sorted({session[:4] for session in picture.sessions})
    months = period_returns(picture.sessions, picture.curve.equity, 7)
    grid = np.array([[months.get(f"{year}-{month:02d}", np.nan) for month in range(1, 13)] for year in years])
    full = full_colour(months.values())
    figure = _figure()
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("returns", ["#d98f86", "#ffffff", "#86b3dc"])
    axes.pcolormesh(grid, cmap=colours, vmin=-full, vmax=full, edgecolors="white", linewidth=3)
    size = min(17.0, 400.0 / len(years))  # points: many years have low rows
    for (row, column), value in np.ndenumerate(grid):
        if not np.isnan(value):
            axes.text(column + 0.5, row + 0.5, f"{100 * value:z.1f}", ha="center", va="center", fontsize=size)
    axes.set_xticks(np.arange(12) + 0.5, _MONTHS)
    axes.set_yticks(np.arange(len(years)) + 0.5, years, fontsize=min(15.0, size))
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Month")
    axes.set_ylabel("Year")
    axes.set_title(f"{picture.title}: return of each month, %")
    return figure


def _holdings(picture: _Picture) -> Figure | None:
    stack = Decisions(picture.run).holdings()
    if stack is not None:
        return _weights(picture, stack)
    held = held_at_the_end(picture.run)
    return None if held.empty else _at_the_end(picture, held)


def _weights(picture: _Picture, stack: Stack) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    days = pd.DatetimeIndex(stack.sessions)
    colours = [_AREAS[-1] if name.endswith(" others") else _AREAS[k % 9] for k, name in enumerate(stack.names)]
    axes.stackplot(days, stack.values, labels=stack.names, colors=colours, step="post", linewidth=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True)
    axes.set_ylim(bottom=0.0)
    _percent(axes.yaxis)
    _time_axis(axes, picture, "Weight after each decision's fills")
    axes.set_title(f"{picture.title}: holdings")
    return figure


def _at_the_end(picture: _Picture, held: pd.Series[float]) -> Figure:
    weights = held.head(LARGEST_AT_THE_END) / picture.run.equity["equity"].iloc[-1]
    figure = _figure()
    axes = figure.subplots()
    axes.barh([str(symbol) for symbol in weights.index], weights.to_numpy(), color=_MAIN)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    _percent(axes.xaxis)
    axes.set_xlabel("Weight at the last close")
    axes.set_ylabel("Symbol")
    axes.set_title(f"{picture.title}: the largest {len(weights)} of {len(held)} holdings at the end")
    return figure


FIGURES: dict[str, Callable[[_Picture], Figure | None]] = {
    "equity": _equity,
    "drawdown": _drawdown,
    "monthly_returns": _monthly_returns,
    "rolling": _rolling,
    "holdings": _holdings,
}

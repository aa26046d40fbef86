"""What a policy may see at the close of a session: bars up to it, features, and its own portfolio."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engine.arrays import BoolArray, FloatArray
from engine.errors import InputError
from engine.indicators import FEATURES, MIN_BARS, BarWindow
from engine.metrics.tracker import PortfolioRisk
from engine.panel import FIELDS, MarketPanel


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything known at the close of one session; nothing later can be reached through it.

    Attributes
    ----------
    session : the session that has just closed.
    symbols : N names.
    tradable : (N,) True where the symbol has a bar in this session and, in a universe that changes, is a member.
    features : (N, F) in the order the policy asked for; NaN rows where a symbol has too little history.
    weights : (N,) weights held now, fractions of equity.
    cash_weight : fraction of equity in cash.
    equity : account value at this close.
    risk : rolling risk of the portfolio itself.
    """

    session: np.datetime64
    symbols: tuple[str, ...]
    tradable: BoolArray
    features: FloatArray
    weights: FloatArray
    cash_weight: float
    equity: float
    risk: PortfolioRisk
    _panel: MarketPanel = field(repr=False)
    _row: int = field(repr=False)

    def window(self, name: str, lookback_bars: int) -> FloatArray:
        """Return the last ``lookback_bars`` rows of a field, oldest first.

        Where prices are raw, earlier ones are restated in today's terms, with the splits and dividends up to this
        session, so that ratios of closes are returns; the last row is as traded.

        Parameters
        ----------
        name : open, high, low, close or volume.
        lookback_bars : how many sessions, this one included; fewer come back when history is shorter.

        Returns
        -------
        (<= lookback_bars, N) read-only view; NaN where a bar is missing, and in all rows of a symbol that is not a
        member now: who will be one later did well until then.

        Raises
        ------
        InputError
            When the field is unknown or ``lookback_bars`` is not positive.
        """
        if name not in FIELDS:
            raise InputError(f"a bar has no field {name!r}; it has {', '.join(FIELDS)}")
        if lookback_bars < 1:
            raise InputError(f"lookback_bars must be at least 1, was {lookback_bars}")
        return bars_window(self._panel, name, self._row, lookback_bars)


def bars_window(panel: MarketPanel, name: str, row: int, lookback_bars: int) -> FloatArray:
    """Return the rows of a field up to ``row`` in its terms, see `Observation.window`."""
    rows = slice(max(0, row + 1 - lookback_bars), row + 1)
    values = _restated(panel, name, rows)
    if panel.member is None:
        return values
    seen = np.where(panel.member[row], values, np.nan)
    seen.flags.writeable = False
    return seen


def _restated(panel: MarketPanel, name: str, rows: slice) -> FloatArray:
    values: FloatArray = getattr(panel, name)
    if panel.growth is None or panel.split is None:
        return values[rows]
    restated = values[rows] * restatement((1.0 / panel.split if name == "volume" else panel.growth)[rows])
    restated.flags.writeable = False
    return restated


def restatement(growth: FloatArray) -> FloatArray:
    """Return what earlier prices of a window are multiplied with to be in terms of its last session.

    Built from the last session backwards, so that it does not depend on how much history stands before the window.

    Parameters
    ----------
    growth : (M, ...) of a `MarketPanel`, oldest first.

    Returns
    -------
    (M, ...) 1 in the last row, 1 / (growth[k + 1] * ... * growth[M - 1]) in row k.
    """
    factors = np.ones_like(growth)
    factors[:-1] = 1.0 / np.cumprod(growth[:0:-1], axis=0)[::-1]
    return factors


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of every symbol for the sessions of a run.

    Attributes
    ----------
    names : F names.
    first : row of the panel that ``values[0]`` belongs to.
    values : (rows, N, F); NaN where a symbol has no bar or is no member, or fewer than MIN_BARS inside the look-back.
    """

    names: tuple[str, ...]
    first: int
    values: FloatArray

    def at(self, row: int) -> FloatArray:
        """Return the (N, F) features of a row of the panel.

        Raises
        ------
        InputError
            When the table does not cover the row: a negative index would silently be a later session.
        """
        if not 0 <= row - self.first < len(self.values):
            raise InputError(f"features cover rows {self.first} to {self.first + len(self.values) - 1}, not {row}")
        features: FloatArray = self.values[row - self.first]
        return features


def feature_table(
    panel: MarketPanel, names: tuple[str, ...], lookback_bars: int, first: int, last: int
) -> FeatureTable:
    """Compute features for the rows ``first`` to ``last`` of a panel.

    Each value depends on the bars inside the last ``lookback_bars`` sessions and on nothing else, so any
    history of at least that many sessions gives the same numbers. Missing bars are passed over.

    Raises
    ------
    InputError
        When a feature is unknown.
    """
    unknown = [name for name in names if name not in FEATURES]
    if unknown:
        raise InputError(f"unknown feature {unknown[0]!r}; there are {', '.join(FEATURES)}")
    values = np.full((last - first + 1, panel.n_symbols, len(names)), np.nan)
    if names:
        functions = [FEATURES[name] for name in names]
        for i in range(panel.n_symbols):
            rows = np.flatnonzero(panel.has_bar[:, i])
            high, low, close = (np.ascontiguousarray(a[rows, i]) for a in (panel.high, panel.low, panel.close))
            growth = None if panel.growth is None else panel.growth[rows, i]
            starts = np.searchsorted(rows, rows - lookback_bars + 1)
            for k in range(*np.searchsorted(rows, (first, last + 1))):
                if k + 1 - starts[k] >= MIN_BARS:
                    part = slice(starts[k], k + 1)
                    window = BarWindow(high[part], low[part], close[part])
                    if growth is not None and (growth[part] != 1.0).any():
                        factors = restatement(growth[part])
                        window = BarWindow(*(bars * factors for bars in window))
                    values[rows[k] - first, i] = [function(window) for function in functions]
    if panel.member is not None:
        values[~panel.member[first : last + 1]] = np.nan
    values.flags.writeable = False
    return FeatureTable(names, first, values)

"""The training window as tensors: states and the returns that followed, as they were and in imposed bear markets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents.profiles.networks import States
from engine.arrays import FloatArray, IntArray
from engine.ledger import FillTiming
from engine.market_state import market_state
from engine.panel import MarketPanel, Window


@dataclass(frozen=True, slots=True)
class History:
    """States of T sessions and what followed each, for V variants: 0 as it was, the others with a drift taken off.

    Attributes
    ----------
    assets, market, ready : (V, T, N, F), (V, T, M), (V, T, N).
    returns : (V, T, N) from the fill of a decision at that close to the fill of the next one's.
    """

    assets: Tensor
    market: Tensor
    ready: Tensor
    returns: Tensor

    @classmethod
    def of(cls, panel: MarketPanel, window: Window, drifts: Sequence[float], timing: FillTiming) -> History:
        """Return the history of a window; nothing after its last session is read.

        Parameters
        ----------
        drifts : what each further variant takes from every price in a session, a fraction.
        """
        known = panel.rows(0, window.last + 1)
        lag = 0 if timing is FillTiming.SAME_CLOSE else 1
        rows = range(window.first, window.last - lag)
        parts = []
        for drift in (0.0, *drifts):
            bent = imposed_bear(known, drift)
            states = [market_state(bent, row) for row in rows]
            returns = _fill_returns(bent, timing)[window.first + lag + 1 : window.last + 1]
            parts.append(
                (
                    np.stack([state.assets for state in states]),
                    np.stack([state.market for state in states]),
                    np.stack([state.ready for state in states]),
                    returns,
                )
            )
        arrays = [np.stack(arrays) for arrays in zip(*parts, strict=True)]
        return cls(*(torch.from_numpy(a if a.dtype == bool else a.astype(np.float32)) for a in arrays))

    def __len__(self) -> int:
        return int(self.market.shape[1])

    @property
    def states(self) -> States:
        """(V, T, ...) states of all variants."""
        return States(self.assets, self.market, self.ready)

    def stretch(self, first: int, length: int, variant: int, chosen: IntArray) -> tuple[States, Tensor]:
        """Return some sessions as they were, and once more in a variant, of the chosen symbols.

        Returns
        -------
        (2 S, ...) states and (2 S, N) returns, the second half of the sessions in the variant.
        """
        pair, part = [0, variant], slice(first, first + length)
        states = States(
            self.assets[pair, part][:, :, chosen].flatten(0, 1),
            self.market[pair, part].flatten(0, 1),
            self.ready[pair, part][:, :, chosen].flatten(0, 1),
        )
        return states, self.returns[pair, part][:, :, chosen].flatten(0, 1)


class Place(NamedTuple):
    """Where a stretch comes from."""

    history: int
    first: int
    variant: int


@dataclass(frozen=True, slots=True)
class Stretches:
    """Draws stretches of equal length from several histories, from each in proportion to its sessions."""

    histories: tuple[History, ...]
    sessions: int

    @property
    def length(self) -> int:
        """S, sessions of a stretch: those asked for, or all of the shortest history."""
        return min(self.sessions, *(len(history) for history in self.histories))

    def place(self, random: np.random.Generator) -> Place:
        """Draw where a stretch begins, and which of the imposed bear markets comes with it."""
        starts = np.array([len(history) - self.length + 1 for history in self.histories])
        k = int(random.choice(len(starts), p=starts / starts.sum()))
        variants = self.histories[k].market.shape[0]
        return Place(k, int(random.integers(0, starts[k])), int(random.integers(1, variants)) if variants > 1 else 0)

    def draw(self, members: int, names: int, random: np.random.Generator) -> tuple[States, Tensor]:
        """Draw a stretch and symbols for each member; a history with fewer symbols is filled up with unready ones.

        Returns
        -------
        (K, 2 S, ...) states and (K, 2 S, N) returns, see `History.stretch`.
        """
        drawn = []
        for _ in range(members):
            place = self.place(random)
            history = self.histories[place.history]
            chosen = np.sort(random.permutation(history.returns.shape[-1])[:names])
            drawn.append(history.stretch(place.first, self.length, place.variant, chosen))
        n = max(returns.shape[-1] for _, returns in drawn)
        pad = nn.functional.pad
        assets = [pad(states.assets, (0, 0, 0, n - states.assets.shape[1])) for states, _ in drawn]
        ready = [pad(states.ready, (0, n - states.ready.shape[1])) for states, _ in drawn]
        returns = [pad(returns, (0, n - returns.shape[1])) for _, returns in drawn]
        market = [states.market for states, _ in drawn]
        return States(torch.stack(assets), torch.stack(market), torch.stack(ready)), torch.stack(returns)


def imposed_bear(panel: MarketPanel, drift: float) -> MarketPanel:
    """Return the same bars with ``drift``, a fraction, taken from every price in every session."""
    if drift == 0.0:
        return panel
    factor = ((1.0 - drift) ** np.arange(len(panel)))[:, None]
    prices = {name: getattr(panel, name) * factor for name in ("open", "high", "low", "close")}
    # Rounding may lift an open or a close above its high by an ulp.
    prices["high"] = np.fmax(prices["high"], np.fmax(prices["open"], prices["close"]))
    prices["low"] = np.fmin(prices["low"], np.fmin(prices["open"], prices["close"]))
    dividend = None if panel.dividend is None else panel.dividend * factor
    return replace(panel, **prices, dividend=dividend)


def _fill_returns(panel: MarketPanel, timing: FillTiming) -> FloatArray:
    """Return (T, N) returns between the fill prices of each session and the one before; 0 where none is known."""
    price = panel.open if timing is FillTiming.NEXT_OPEN else panel.close
    if panel.growth is not None:
        price = price * np.cumprod(panel.growth, axis=0)
    last_known = np.maximum.accumulate(np.where(np.isnan(price), 0, np.arange(len(panel))[:, None]), axis=0)
    price = np.take_along_axis(price, last_known, axis=0)
    returns = np.zeros(price.shape)
    returns[1:] = np.nan_to_num(price[1:] / price[:-1] - 1.0, nan=0.0)
    return returns

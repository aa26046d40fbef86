"""Baselines every learned result is shown beside: those that need neither a solver nor a view of the market."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.arrays import FloatArray
from engine.errors import ConfigError
from engine.observation import Observation
from engine.policy import Decision, StatelessPolicy
from strategies.history import YEAR, WeighedByPast, simple_returns


class ConstantExposure(StatelessPolicy):
    """The same weight for every symbol that has a bar, at each rebalance; a constant part stays in cash.

    Parameters
    ----------
    exposure : sum of the weights, in [0, 1].

    Raises
    ------
    ConfigError
        When it is out of range.
    """

    def __init__(self, exposure: float) -> None:
        if not 0 <= exposure <= 1:
            raise ConfigError(f"exposure must be from 0 to 1, was {exposure}")
        self.exposure = exposure

    def decide(self, observation: Observation) -> Decision | None:
        """Return exposure/n for each of the n symbols with a bar, 0 for the others; None when n is 0."""
        return equal_parts(observation, self.exposure)


class EqualWeight(ConstantExposure):
    """The same weight for every symbol that has a bar, at each rebalance."""

    def __init__(self) -> None:
        super().__init__(1.0)


class BuyAndHold(StatelessPolicy):
    """1/N once, at the first decision, over the symbols with a bar then; never a trade after that."""

    def __init__(self) -> None:
        self._bought = False

    def decide(self, observation: Observation) -> Decision | None:
        """Return equal weights the first time and None ever after."""
        if self._bought or not observation.tradable.any():
            return None
        self._bought = True
        return equal_parts(observation, 1.0)

    def state(self) -> dict[str, Any]:
        """Return whether the purchase has been decided."""
        return {"bought": self._bought}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that `state` returned."""
        self._bought = bool(state["bought"])


class InverseVolatility(WeighedByPast):
    """Weights in proportion to 1 / volatility: equal risk, were all symbols equally correlated.

    Parameters
    ----------
    n_returns : daily returns that the volatility is measured over, >= 2.
    """

    def __init__(self, n_returns: int = 250) -> None:
        super().__init__(n_returns + 1)

    def weigh(self, close: FloatArray, symbols: tuple[str, ...]) -> FloatArray:
        """Return 1 / volatility of each symbol, scaled to sum to 1."""
        inverse = 1.0 / simple_returns(close).std(axis=0, ddof=1)
        weights: FloatArray = inverse / inverse.sum()
        return weights


class Momentum(WeighedByPast):
    """The symbols that rose most in a year, its last month left out, in equal parts.

    Jegadeesh and Titman (1993), "Returns to Buying Winners and Selling Losers", with the month that Fama and French
    leave out ("12-1"); the winners only.

    Parameters
    ----------
    top : how many symbols are held, > 0; fewer usable ones are all held. Among equals the name decides.
    year, month : sessions of the return, and of its end that is left out.
    """

    def __init__(self, top: int = 10, year: int = YEAR, month: int = 21) -> None:
        super().__init__(year + 1)
        self._top, self._month = top, month

    def weigh(self, close: FloatArray, symbols: tuple[str, ...]) -> FloatArray:
        """Return 1/top for each of the winners, 0 for the others."""
        rise = close[-1 - self._month] / close[0]
        winners = sorted(range(len(symbols)), key=lambda i: (-rise[i], symbols[i]))[: self._top]
        weights = np.zeros(len(symbols))
        weights[winners] = 1.0 / len(winners)
        return weights


def equal_parts(observation: Observation, exposure: float) -> Decision | None:
    """Return exposure/n for each of the n symbols with a bar, 0 for the others; None when n is 0."""
    n = int(observation.tradable.sum())
    return Decision(np.where(observation.tradable, exposure / n, 0.0)) if n else None

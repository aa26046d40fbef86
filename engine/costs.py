"""What a trade costs: the one place where a reference price becomes an executed price and a commission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engine.compiled import compiled
from engine.errors import ConfigError

BPS = 1e-4


class CostRates(NamedTuple):
    """Costs as the compiled functions read them; fractions of notional."""

    commission: float
    slippage: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of trading, as a user states them.

    Parameters
    ----------
    commission_bps : commission in basis points of the traded notional, >= 0.
    slippage_bps : how much worse than the reference price an order executes, basis points, >= 0 and < 10,000.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    commission_bps: float = 10.0
    slippage_bps: float = 0.0

    def __post_init__(self) -> None:
        for name in ("commission_bps", "slippage_bps"):
            value = getattr(self, name)
            if not (np.isfinite(value) and 0 <= value < 1 / BPS):
                raise ConfigError(f"{name} must be at least 0 and below 10000 basis points, was {value}")

    @property
    def rates(self) -> CostRates:
        """The same costs as fractions."""
        return CostRates(self.commission_bps * BPS, self.slippage_bps * BPS)


@compiled
def executed_price(reference: float, quantity: float, rates: CostRates) -> float:
    """Return the price at which ``quantity`` (signed: buys > 0) executes when the market shows ``reference``."""
    if quantity > 0:
        return reference * (1.0 + rates.slippage)
    return reference * (1.0 - rates.slippage)


@compiled
def commission(quantity: float, price: float, rates: CostRates) -> float:
    """Return the commission, in account currency, of trading ``quantity`` shares (signed) at ``price``."""
    return abs(quantity) * price * rates.commission

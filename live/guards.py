"""Limits on what one session may do; one that is hit stops trading until a person agrees."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError
from live.plan import Plan

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Guards:
    """What a session may do without asking.

    Attributes
    ----------
    max_turnover : half the value of all orders over the equity, as in equity.csv; 0.5 allows the first investment of
        all cash, and no exchange of more than half of what is held.
    max_orders : number of orders.
    max_notional : value of all orders, account currency; None for no limit.
    max_loss : loss from the highest equity at a close, as a fraction.
    """

    max_turnover: float = 0.5
    max_orders: int = 500
    max_notional: float | None = None
    max_loss: float = 0.3

    def __post_init__(self) -> None:
        for name in ("max_turnover", "max_loss"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be above 0 and at most 1, was {getattr(self, name)}")
        if self.max_orders < 1:
            raise ConfigError(f"max_orders must be at least 1, was {self.max_orders}")
        if self.max_notional is not None and not self.max_notional > 0:
            raise ConfigError(f"max_notional must be positive, was {self.max_notional}")

    @property
    def words(self) -> str:
        """What they say, for people."""
        worth = "" if self.max_notional is None else f", orders worth {self.max_notional:,.2f}"
        return (
            f"a session may turn over {self.max_turnover:.0%} of equity, in {self.max_orders} orders{worth}; all stops "
            f"at {self.max_loss:.0%} below the highest close"
        )

    def objections(self, plan: Plan, n_orders: int, peak: float) -> list[str]:
        """Return which limits a plan breaks, in words; none when it may trade.

        Parameters
        ----------
        peak : highest equity at a close so far, account currency.
        """
        found = []
        turnover = plan.traded / 2 / plan.equity
        if turnover > self.max_turnover + _TOLERANCE:
            found.append(f"turnover would be {turnover:.1%} of equity, the limit is {self.max_turnover:.1%}")
        if n_orders > self.max_orders:
            found.append(f"there would be {n_orders} orders, the limit is {self.max_orders}")
        if self.max_notional is not None and plan.traded > self.max_notional:
            found.append(f"orders would be worth {plan.traded:,.2f}, the limit is {self.max_notional:,.2f}")
        loss = 1 - plan.equity / peak if peak > 0 else 0.0
        if loss > self.max_loss + _TOLERANCE:
            found.append(f"equity {plan.equity:,.2f} is {loss:.1%} below its peak, the limit is {self.max_loss:.1%}")
        return found

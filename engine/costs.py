"""What a trade costs: the one place where a reference price becomes an executed price and a commission."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from engine.compiled import compiled
from engine.errors import ConfigError, did_you_mean

BPS = 1e-4
DAYS_PER_YEAR = 360.0
"""Interest runs on calendar days over 360, as United States brokers count it."""

MAX_SLIPPAGE = 0.5
"""An order never executes worse than half as good as the reference price, however small the volume."""

MAX_TIERS = 8
_UNITS = ("shares", "notional")


class CostRates(NamedTuple):
    """Costs as the compiled functions read them; fractions of notional, account currency, shares.

    Tuples of one length, not arrays: a compiled call counts references to each array it is given.
    """

    commission: float  # fraction of notional
    per_share: float
    n_tiers: int
    tier_above: tuple[float, ...]  # MAX_TIERS numbers: traded in the month, shares or notional, where a tier begins
    tier_commission: tuple[float, ...]  # fractions of notional
    tier_per_share: tuple[float, ...]
    tier_by_shares: bool
    minimum: float
    maximum: float  # fraction of notional
    sell: float
    sell_per_share: float
    slippage: float
    half_spread: float
    impact: float
    participation: float  # fraction of the session's volume; infinite when there is no cap
    cash_rate: float  # a calendar day
    margin_rate: float

    @property
    def needs_volume(self) -> bool:
        """True when what a fill costs, or whether it happens, depends on the session's volume."""
        return self.impact > 0.0 or self.participation < math.inf


@dataclass(frozen=True, slots=True)
class Tier:
    """A step of a commission schedule.

    Parameters
    ----------
    above : what must have been traded in the calendar month before, shares or notional, > 0.
    bps, per_share : what then replaces ``commission_bps`` and ``commission_per_share``, for the part above.
    """

    above: float
    bps: float = 0.0
    per_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of trading, as a user states them; everything is money lost, in account currency or as a fraction.

    Parameters
    ----------
    commission_bps : commission in basis points of the traded notional.
    commission_per_share : commission a share, added to it.
    commission_minimum : smallest commission of an order.
    commission_maximum_bps : largest commission of an order, basis points of its notional; wins over the minimum.
    commission_tiers : cheaper (or dearer) rates above what was traded in the calendar month; each applies to the
        part above its threshold. At most `MAX_TIERS`.
    tier_unit : what ``above`` counts, ``shares`` or ``notional``.
    sell_fee_bps, sell_fee_per_share : fees on sales alone, beside the commission and its bounds.
    slippage_bps : how much worse than the reference price an order executes. All slippage together is at most
        `MAX_SLIPPAGE` where the spread or the impact is charged.
    half_spread : the same in currency a share.
    impact : eta of the square-root law, slippage = eta * sigma * sqrt(quantity / volume), with the session's
        volume and sigma the daily volatility of the sessions before (Almgren et al. 2005, "Direct Estimation of
        Equity Market Impact", Risk 18(7); Grinold & Kahn 1999).
    participation_cap : largest part of a session's volume that one order may take; the rest is left unfilled.
    cash_rate, margin_rate : interest a year on positive and on negative cash, fractions.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    commission_bps: float = 10.0
    slippage_bps: float = 0.0
    commission_per_share: float = 0.0
    commission_minimum: float = 0.0
    commission_maximum_bps: float | None = None
    commission_tiers: tuple[Tier, ...] = ()
    tier_unit: str = "shares"
    sell_fee_bps: float = 0.0
    sell_fee_per_share: float = 0.0
    half_spread: float = 0.0
    impact: float = 0.0
    participation_cap: float | None = None
    cash_rate: float = 0.0
    margin_rate: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "commission_tiers", tuple(self.commission_tiers))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not field.default and field.name not in ("commission_tiers", "tier_unit"):
                _check_number(field.name, value)
        for tier in self.commission_tiers:
            for name in ("above", "bps", "per_share"):
                _check_number(f"commission_tiers {name}", getattr(tier, name))
        if self.tier_unit not in _UNITS:
            raise ConfigError(f"tier_unit must be shares or notional, was {self.tier_unit!r}")
        if self.participation_cap is not None and not 0 < self.participation_cap <= 1:
            raise ConfigError(f"participation_cap must be above 0 and at most 1, was {self.participation_cap}")
        if len(self.commission_tiers) > MAX_TIERS:
            raise ConfigError(f"commission_tiers may be {MAX_TIERS} at most, were {len(self.commission_tiers)}")
        thresholds = [0.0, *(tier.above for tier in self.commission_tiers)]
        if any(later <= earlier for earlier, later in pairwise(thresholds)):
            raise ConfigError(f"commission_tiers must begin above 0 and rise, their thresholds were {thresholds[1:]}")

    @property
    def rates(self) -> CostRates:
        """The same costs as the compiled functions read them."""
        tiers = self.commission_tiers
        maximum = math.inf if self.commission_maximum_bps is None else self.commission_maximum_bps * BPS
        return CostRates(
            commission=self.commission_bps * BPS,
            per_share=float(self.commission_per_share),
            n_tiers=len(tiers),
            tier_above=_padded([tier.above for tier in tiers]),
            tier_commission=_padded([tier.bps * BPS for tier in tiers]),
            tier_per_share=_padded([tier.per_share for tier in tiers]),
            tier_by_shares=self.tier_unit == "shares",
            minimum=float(self.commission_minimum),
            maximum=float(maximum),
            sell=self.sell_fee_bps * BPS,
            sell_per_share=float(self.sell_fee_per_share),
            slippage=self.slippage_bps * BPS,
            half_spread=float(self.half_spread),
            impact=float(self.impact),
            participation=math.inf if self.participation_cap is None else float(self.participation_cap),
            cash_rate=self.cash_rate / DAYS_PER_YEAR,
            margin_rate=self.margin_rate / DAYS_PER_YEAR,
        )

    def table(self) -> dict[str, Any]:
        """Return the values as a TOML table that `from_table` reads back."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value not in (None, ())}

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str = "costs") -> Costs:
        """Return the costs of a TOML table; what it leaves out costs nothing.

        Raises
        ------
        ConfigError
            When a key is unknown (naming the nearest) or a value is not of its kind; ``where`` begins the message.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for key in table:
            if key not in names:
                raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(key, names)}")
        tiers = table.get("commission_tiers", ())
        if not isinstance(tiers, (list, tuple)):
            raise ConfigError(f"{where}: commission_tiers must be a list of tables, was {tiers!r}")
        values = {**table, "commission_tiers": tuple(_tier(tier, where) for tier in tiers)}
        try:
            return cls(**{"commission_bps": 0.0, **values})
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error


def _padded(values: list[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values) + (math.inf,) * (MAX_TIERS - len(values))


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name} must be a number, was {value!r}")
    top, unit = (1 / BPS, " and below 10000 basis points") if name.endswith("bps") else (math.inf, " and finite")
    if name.endswith("rate"):
        top, unit = 1.0, " and below 1 (a fraction a year)"
    if not 0 <= value < top:
        raise ConfigError(f"{name} must be at least 0{unit}, was {value}")


def _tier(table: Any, where: str) -> Tier:
    names = [field.name for field in dataclasses.fields(Tier)]
    if not isinstance(table, Mapping) or "above" not in table or not set(table) <= set(names):
        raise ConfigError(
            f"{where}: each of commission_tiers must be a table with above and bps or per_share, was {table!r}"
        )
    return Tier(**table)


_SALES: dict[str, Any] = {"sell_fee_bps": 0.278, "sell_fee_per_share": 0.000166}
"""Fees that United States regulators charge on sales: Section 31 and trading activity."""

PRESETS: dict[str, Costs] = {
    "zero": Costs(commission_bps=0.0),
    "mars": Costs(commission_bps=10.0),
    "alpaca": Costs(commission_bps=0.0, **_SALES),
    "ibkr-fixed": Costs(
        commission_bps=0.0,
        commission_per_share=0.005,
        commission_minimum=1.0,
        commission_maximum_bps=100.0,
        **_SALES,
    ),
    "ibkr-tiered": Costs(
        commission_bps=0.0,
        commission_per_share=0.0035,
        commission_minimum=0.35,
        commission_maximum_bps=100.0,
        commission_tiers=(
            Tier(300_000, per_share=0.0020),
            Tier(3_000_000, per_share=0.0015),
            Tier(20_000_000, per_share=0.0010),
            Tier(100_000_000, per_share=0.0005),
        ),
        **_SALES,
    ),
}
"""Price lists by name: nothing, the 10 basis points of arXiv 2508.01173, and brokers' lists for United States shares.

Brokers and regulators change theirs (these are of 2025): copy one into a TOML file and keep it up to date. None says
anything about slippage and interest, which are the market's prices; the exchange and clearing fees that the tiered list
passes on are not in it. Fees are not rounded to cents.
"""


def preset(name: str) -> Costs:
    """Return the price list of a name.

    Raises
    ------
    ConfigError
        When the name is unknown; says the nearest one.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown costs {name!r}{did_you_mean(name, PRESETS)}: there are {', '.join(PRESETS)}")
    return PRESETS[name]


@compiled
def executed_price(reference: float, quantity: float, volatility: float, volume: float, rates: CostRates) -> float:
    """Return the price at which ``quantity`` (signed: buys > 0) executes when the market shows ``reference``.

    Parameters
    ----------
    volatility, volume : daily volatility before the session, and the session's shares; read for impact alone.
    """
    slippage = rates.slippage
    if rates.half_spread > 0.0 or rates.impact > 0.0:
        slippage += rates.half_spread / reference
        if rates.impact > 0.0:
            slippage += rates.impact * volatility * np.sqrt(abs(quantity) / volume)
        slippage = min(slippage, MAX_SLIPPAGE)
    if quantity > 0.0:
        return reference * (1.0 + slippage)
    return reference * (1.0 - slippage)


@compiled
def commission(quantity: float, price: float, traded: float, rates: CostRates) -> float:
    """Return the commission and fees, in account currency, of trading ``quantity`` shares (signed) at ``price``.

    Parameters
    ----------
    traded : shares or notional (as the tiers count) traded earlier in the calendar month.
    """
    shares = abs(quantity)
    notional = shares * price
    fee = notional * rates.commission + shares * rates.per_share
    if rates.n_tiers > 0:
        fee = _tiered(shares, notional, traded, rates)
    fee = min(max(fee, rates.minimum), rates.maximum * notional)
    if quantity < 0.0:
        fee += notional * rates.sell + shares * rates.sell_per_share
    return fee


@compiled
def tier_volume(quantity: float, price: float, rates: CostRates) -> float:
    """Return what a trade adds to the month's volume as the tiers count it."""
    return abs(quantity) if rates.tier_by_shares else abs(quantity) * price


@compiled
def interest(cash: float, days: float, rates: CostRates) -> float:
    """Return what cash earns (or, when negative, costs: a negative amount) over calendar days."""
    rate = rates.cash_rate if cash > 0.0 else rates.margin_rate
    return float(cash * days * rate)


@compiled
def _tiered(shares: float, notional: float, traded: float, rates: CostRates) -> float:
    size = shares if rates.tier_by_shares else notional
    fee = 0.0
    begin, by_notional, by_share = 0.0, rates.commission, rates.per_share
    for k in range(rates.n_tiers + 1):
        end = rates.tier_above[k] if k < rates.n_tiers else np.inf
        inside = min(traded + size, end) - max(traded, begin)
        if inside > 0.0:
            fee += inside / size * (notional * by_notional + shares * by_share)
        if k < rates.n_tiers:
            begin, by_notional, by_share = end, rates.tier_commission[k], rates.tier_per_share[k]
    return fee

"""JSON of the trading endpoints: money and quantities are strings, what does not apply is null."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from fake_alpaca.market import NEW_YORK, new_york_date
from fake_alpaca.state import Asset, Order, Position, cents

if TYPE_CHECKING:
    from fake_alpaca.venue import Venue

CONFIGURATIONS = ("no_shorting", "suspend_trade", "fractional_trading")


def text(value: Decimal | None) -> str | None:
    """Write a number without exponent and idle zeros; null for None."""
    if value is None:
        return None
    return format(value.normalize(), "f") if value else "0"


def stamp(moment: datetime | None) -> str | None:
    """Write a time as the venue does, UTC; null for None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock_json(venue: Venue) -> dict[str, Any]:
    """Return the clock, in New York time."""
    now = venue.clock.now
    next_open, next_close = venue.market.next_hours(now)
    local = [moment.astimezone(NEW_YORK).isoformat() for moment in (now, next_open, next_close)]
    return {
        "timestamp": local[0],
        "is_open": venue.market.session_at(now) is not None,
        "next_open": local[1],
        "next_close": local[2],
    }


def account_json(venue: Venue) -> dict[str, Any]:
    """Return the account, without the pattern-day-trader fields that are gone since 2026-07-06."""
    account = venue.account
    equity, long_value, short_value = venue.equity(), venue.long_value(), venue.short_value()
    power, margin = venue.buying_power(), (long_value - short_value) / 2
    money = {
        "cash": account.cash,
        "equity": equity,
        "portfolio_value": equity,
        "last_equity": cents(account.last_equity),
        "long_market_value": cents(long_value),
        "short_market_value": cents(short_value),
        "position_market_value": cents(long_value - short_value),
        "buying_power": power,
        "regt_buying_power": cents(power * min(Decimal(2), venue.multiplier()) / venue.multiplier()),
        "effective_buying_power": power,
        "options_buying_power": cents(power / venue.multiplier()),
        "non_marginable_buying_power": max(Decimal(0), account.cash),
        "initial_margin": cents(margin),
        "maintenance_margin": cents(margin * Decimal("0.6")),
        "last_maintenance_margin": Decimal(0),
        "sma": equity,
        "accrued_fees": Decimal(0),
        "multiplier": venue.multiplier(),
    }
    return {
        "id": venue.new_id("account", account.account_number),
        "account_number": account.account_number,
        "status": account.status,
        "crypto_status": "ACTIVE",
        "currency": "USD",
        **{name: text(value) for name, value in money.items()},
        "trading_blocked": account.trading_blocked,
        "transfers_blocked": account.transfers_blocked,
        "account_blocked": account.account_blocked,
        "trade_suspended_by_user": account.trade_suspended_by_user or account.suspend_trade,
        "shorting_enabled": account.shorting_enabled and not account.no_shorting,
        "created_at": stamp(account.created_at),
        "balance_asof": new_york_date(venue.clock.now).isoformat(),
        "options_approved_level": 3,
        "options_trading_level": 3,
        "admin_configurations": {},
        "user_configurations": None,
        **account.fields,
    }


def configurations_json(venue: Venue) -> dict[str, Any]:
    """Return the account's configurations."""
    account = venue.account
    return {
        **{name: getattr(account, name) for name in CONFIGURATIONS},
        "max_margin_multiplier": text(account.max_margin_multiplier),
        "trade_confirm_email": "all",
        "ptp_no_exception_entry": False,
        "max_options_trading_level": None,
        "disable_overnight_trading": False,
    }


def asset_json(venue: Venue, asset: Asset) -> dict[str, Any]:
    """Return an asset."""
    return {
        "id": venue.new_id("asset", asset.symbol),
        "class": "us_equity",
        "exchange": asset.exchange,
        "symbol": asset.symbol,
        "name": f"{asset.symbol} Common Stock",
        "status": asset.status,
        "tradable": asset.tradable,
        "marginable": True,
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": "30",
        "margin_requirement_short": "30",
        "shortable": asset.shortable,
        "easy_to_borrow": asset.shortable,
        "fractionable": asset.fractionable,
        "attributes": [],
        **asset.fields,
    }


def position_json(venue: Venue, held: Position) -> dict[str, Any]:
    """Return a position; a short one has negative quantity, value and cost."""
    price = venue.price(held.symbol) or held.avg_entry_price
    value, cost = held.qty * price, held.qty * held.avg_entry_price
    gain = value - cost
    asset = venue.assets.get(held.symbol) or Asset(held.symbol)
    available = held.qty - venue.held(held.symbol) if held.qty > 0 else held.qty
    numbers = {
        "avg_entry_price": held.avg_entry_price,
        "qty": held.qty,
        "qty_available": available,
        "market_value": value,
        "cost_basis": cost,
        "unrealized_pl": gain,
        "unrealized_plpc": gain / abs(cost) if cost else Decimal(0),
        "unrealized_intraday_pl": gain,
        "unrealized_intraday_plpc": gain / abs(cost) if cost else Decimal(0),
        "current_price": price,
        "lastday_price": price,
        "change_today": Decimal(0),
    }
    return {
        "asset_id": venue.new_id("asset", held.symbol),
        "symbol": held.symbol,
        "exchange": asset.exchange,
        "asset_class": "us_equity",
        "asset_marginable": True,
        "side": "long" if held.qty > 0 else "short",
        **{name: text(value) for name, value in numbers.items()},
    }


def order_json(venue: Venue, order: Order) -> dict[str, Any]:
    """Return an order; one for an amount of money has ``qty`` null."""
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": stamp(order.submitted_at),
        "updated_at": stamp(order.updated_at),
        "submitted_at": stamp(order.submitted_at),
        "filled_at": stamp(order.filled_at) if order.status == "filled" else None,
        "expired_at": stamp(order.expired_at),
        "canceled_at": stamp(order.canceled_at),
        "failed_at": stamp(order.failed_at),
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": venue.new_id("asset", order.symbol),
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": text(order.notional),
        "qty": text(order.qty),
        "filled_qty": text(order.filled_qty),
        "filled_avg_price": text(order.filled_avg_price),
        "order_class": "",
        "order_type": order.type,
        "type": order.type,
        "side": order.side,
        "position_intent": "buy_to_open" if order.side == "buy" else "sell_to_close",
        "time_in_force": order.time_in_force,
        "limit_price": text(order.limit_price),
        "stop_price": text(order.stop_price),
        "status": order.shown_status or order.status,
        "extended_hours": order.extended_hours,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "subtag": None,
        "source": None,
        "expires_at": None,
        **order.fields,
    }


def fill_json(venue: Venue, order: Order, qty: Decimal, whole: Decimal, price: Decimal) -> dict[str, Any]:
    """Return the activity of a fill; it names the venue's order id, not the client's."""
    partial = order.filled_qty < whole
    return {
        "id": _activity_id(venue),
        "activity_type": "FILL",
        "transaction_time": stamp(order.filled_at),
        "type": "partial_fill" if partial else "fill",
        "price": text(price),
        "qty": text(qty),
        "side": order.side,
        "symbol": order.symbol,
        "leaves_qty": text(whole - order.filled_qty),
        "order_id": order.id,
        "cum_qty": text(order.filled_qty),
        "order_status": order.status,
    }


def activity_json(venue: Venue, kind: str, amount: Decimal, symbol: str, qty: Decimal) -> dict[str, Any]:
    """Return an activity that is no fill."""
    about = {"symbol": symbol, "qty": text(qty), "per_share_amount": text(amount / qty) if qty else None}
    return {
        "id": _activity_id(venue),
        "activity_type": kind,
        "date": new_york_date(venue.clock.now).isoformat(),
        "net_amount": text(amount),
        "description": "",
        "status": "executed",
        **({name: value for name, value in about.items() if value is not None} if symbol else {}),
    }


def _activity_id(venue: Venue) -> str:
    # The prefix is New York local time although nothing says so: a trap for who parses it.
    local = venue.clock.now.astimezone(NEW_YORK).strftime("%Y%m%d%H%M%S000")
    return f"{local}::{venue.new_id(venue.account.account_number, 'activity', len(venue.activities))}"

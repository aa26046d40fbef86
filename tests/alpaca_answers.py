"""Rows as Alpaca's trading API sends them: money and quantities are texts."""

from __future__ import annotations

from typing import Any

KEY, SECRET = "PKTESTKEY00000000000", "tests3cretTESTs3cret/tests3cret+0000000"

Row = dict[str, Any]


def account_row(**changes: Any) -> Row:
    row = {
        "id": "e6fe16f3-64a4-4921-8928-cadf02f92f98",
        "account_number": "PA3ABCDEFGHI",
        "status": "ACTIVE",
        "currency": "USD",
        "cash": "1000.25",
        "equity": "2500.75",
        "buying_power": "10003.00",
        "multiplier": "4",
        "shorting_enabled": True,
        "trading_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
    }
    return _changed(row, changes)


def order_row(**changes: Any) -> Row:
    row = {
        "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
        "client_order_id": "v1-2024-01-05-AAPL-buy-1",
        "created_at": "2024-01-05T14:30:00.123456789Z",
        "updated_at": "2024-01-05T14:30:01Z",
        "submitted_at": "2024-01-05T14:30:00.123456789Z",
        "filled_at": None,
        "canceled_at": None,
        "expired_at": None,
        "failed_at": None,
        "replaced_at": None,
        "symbol": "AAPL",
        "notional": None,
        "qty": "3.5",
        "filled_qty": "0",
        "filled_avg_price": None,
        "order_class": "",
        "type": "market",
        "side": "buy",
        "time_in_force": "day",
        "status": "pending_new",
    }
    return _changed(row, changes)


def position_row(**changes: Any) -> Row:
    row = {
        "symbol": "AAPL",
        "asset_class": "us_equity",
        "qty": "5",
        "qty_available": "4",
        "side": "long",
        "current_price": "181.5",
    }
    return _changed(row, changes)


def _changed(row: Row, changes: Row) -> Row:
    """Change fields; the value `...` takes one away."""
    return {name: value for name, value in {**row, **changes}.items() if value is not ...}

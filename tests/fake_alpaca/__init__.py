"""A loopback server that speaks Alpaca's REST shapes, with a clock and faults that tests script."""

from fake_alpaca import bar_effects, effects
from fake_alpaca.faults import (
    CANCEL,
    GET_ACCOUNT,
    GET_BARS,
    GET_ORDERS,
    GET_POSITIONS,
    LOOKUP,
    POST_ORDER,
    Effect,
    Fault,
    Faults,
    match,
)
from fake_alpaca.market import Bar, FakeMarket, Hours, Split, new_york
from fake_alpaca.rules import Refused
from fake_alpaca.server import FakeAlpaca
from fake_alpaca.state import Account, Asset, Conduct, Order, Position
from fake_alpaca.wire import Answer, Call, Request

__all__ = [
    "CANCEL",
    "GET_ACCOUNT",
    "GET_BARS",
    "GET_ORDERS",
    "GET_POSITIONS",
    "LOOKUP",
    "POST_ORDER",
    "Account",
    "Answer",
    "Asset",
    "Bar",
    "Call",
    "Conduct",
    "Effect",
    "FakeAlpaca",
    "FakeMarket",
    "Fault",
    "Faults",
    "Hours",
    "Order",
    "Position",
    "Refused",
    "Request",
    "Split",
    "bar_effects",
    "effects",
    "match",
    "new_york",
]

"""What Alpaca means when it does not take an order: status and message decide, since codes are shared."""

from __future__ import annotations

from brokers.protocol import OrderRefused, OutcomeUnknown, Refusal
from engine.errors import MarsfolioError, TemporaryError, TradingStopped
from engine.http import RequestFailed

# The first that fits counts: "fractional orders cannot be sold short" is about shares, not about fractions.
_MESSAGES = (
    (Refusal.DUPLICATE, ("client_order_id must be unique",)),
    (Refusal.OPPOSITE, ("wash trade", "opposite side")),
    (Refusal.FUNDS, ("buying power", "insufficient balance")),
    (Refusal.SHARES, ("insufficient qty", "short")),
    (Refusal.WHOLE, ("not fractionable", "fractional trading", "must be integer", "whole share")),
)
_ACCOUNT = ("by user request", "account", "blocked", "unauthorized", "forbidden")
_REFUSED = (400, 403, 404, 422)


def refusal_kind(message: str) -> Refusal:
    """Return why an order was refused, by the message."""
    lowered = message.lower()
    for kind, phrases in _MESSAGES:
        if any(phrase in lowered for phrase in phrases):
            return kind
    return Refusal.OTHER


def submit_error(failure: RequestFailed) -> MarsfolioError:
    """Return what a failed order means, as `Venue.submit` raises it.

    Only an answer that explains itself is a refusal: what a proxy in between says proves nothing.
    """
    if not failure.sent or failure.status == 429:
        return failure
    if stopped := stopping_error(failure):
        return stopped
    if failure.status in _REFUSED and failure.message:
        return OrderRefused(str(failure), refusal_kind(failure.message))
    return OutcomeUnknown(f"{failure}: the order may have arrived")


def stopping_error(failure: RequestFailed, of_order: bool = True) -> TradingStopped | None:
    """Return the error for keys or an account that are refused; None for everything else.

    Parameters
    ----------
    of_order : whether a 403 may be about an order alone, as Alpaca has it.
    """
    lowered = failure.message.lower()
    about_order = of_order and bool(lowered) and not any(phrase in lowered for phrase in _ACCOUNT)
    about_order |= of_order and refusal_kind(lowered) is not Refusal.OTHER
    if failure.status == 401 or (failure.status == 403 and not about_order):
        return TradingStopped(f"{failure}: look after the keys and the account")
    return None


def read_error(failure: RequestFailed) -> TradingStopped | TemporaryError:
    """Return what a failed question means."""
    return stopping_error(failure, of_order=False) or failure

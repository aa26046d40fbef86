"""The control endpoint, for tests in another process: move the clock, add faults, read history and state."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fake_alpaca import bar_effects, effects
from fake_alpaca.faults import Effect, match
from fake_alpaca.shapes import account_json, order_json, text
from fake_alpaca.wire import Answer, Request

if TYPE_CHECKING:
    from fake_alpaca.server import FakeAlpaca


def route(fake: FakeAlpaca, request: Request) -> Answer:
    """Answer a request below ``/_control/``; these are neither noted nor struck by faults, and need no keys."""
    name, body = request.path.removeprefix("/_control/"), request.body
    try:
        if (request.method, name) == ("POST", "clock"):
            _move(fake, body)
        elif (request.method, name) == ("POST", "faults"):
            fake.faults.add(_match(body), make_effect(body["effect"]), body.get("nth", 1), body.get("times", 1))
        elif (request.method, name) == ("DELETE", "faults"):
            fake.faults.clear()
        elif (request.method, name) == ("GET", "requests"):
            return Answer(body=[noted.json() for noted in list(fake.requests)])
        elif (request.method, name) != ("GET", "state"):
            return Answer(404, {"message": f"no control {request.method} {name}"})
    except (ValueError, KeyError, TypeError) as error:
        return Answer(422, {"message": repr(error)})
    return Answer(body=_state(fake))


def make_effect(spec: dict[str, Any]) -> Effect:
    """Return the effect that ``{"name": "after_accept", "effect": {"name": "status", "code": 504}}`` describes.

    Everything but the name is an argument; spans are not available.

    Raises
    ------
    ValueError
        When there is no such effect.
    """
    arguments = {key: make_effect(value) if key == "effect" else value for key, value in spec.items() if key != "name"}
    for module in (effects, bar_effects):
        function = getattr(module, spec["name"], None)
        if inspect.isfunction(function) and function.__module__ == module.__name__:
            return function(**arguments)
    raise ValueError(f"no effect {spec['name']}")


def _match(body: dict[str, Any]) -> Any:
    return match(body.get("method", "*"), body.get("path", ""), body.get("symbol"), body.get("side"))


def _move(fake: FakeAlpaca, body: dict[str, Any]) -> None:
    if "now" in body:
        fake.clock.set(datetime.fromisoformat(body["now"]))
    if "advance_s" in body:
        fake.clock.advance(timedelta(seconds=body["advance_s"]))
    if "tick_s" in body:
        fake.clock.tick = timedelta(seconds=body["tick_s"])


def _state(fake: FakeAlpaca) -> dict[str, Any]:
    with fake.venue.lock:
        return {
            "now": fake.clock.now.isoformat(),
            "account": account_json(fake.venue),
            "positions": {symbol: text(held.qty) for symbol, held in fake.positions.items()},
            "orders": [{**order_json(fake.venue, order), "true_status": order.status} for order in fake.orders],
            "activities": list(fake.venue.activities),
            "faults": [{**_plain(fault), "effect": fault.effect.name} for fault in fake.faults.script],
        }


def _plain(fault: Any) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in ("nth", "times", "seen", "struck")}

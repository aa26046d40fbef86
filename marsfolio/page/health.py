"""Whether the service lives, what it waits for, and everything that a person should look at first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from marsfolio.page.reading import Rows

HEALTH_FILE = "health.json"
SILENT_SECONDS = 300.0
"""A service that was not heard of for so long was killed, or hangs."""

ALIVE, SILENT, STOPPED, NEVER = "alive", "silent", "stopped", "never"


@dataclass(frozen=True, slots=True)
class Health:
    """What the service last said of itself.

    Attributes
    ----------
    state : alive, silent, stopped or never.
    age : seconds since it was last heard of; None when it never was.
    """

    state: str
    age: float | None = None
    heard_utc: str = ""
    broker_time_utc: str = ""
    next_start_utc: str = ""
    last_session: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """What a person should know, and what to do.

    Attributes
    ----------
    level : loss, warn or note.
    since_utc : when it began, if that is known.
    """

    level: str
    title: str
    text: str
    since_utc: str = ""


def read_health(state: Path, now: datetime) -> Health:
    """Return what the health file of a state folder says."""
    try:
        said: dict[str, Any] = json.loads((state / HEALTH_FILE).read_text(encoding="utf-8"))
        heard = datetime.fromisoformat(said["time_utc"])
        age = max((now - heard).total_seconds(), 0.0)
    except (OSError, ValueError, KeyError, TypeError):
        return Health(NEVER)
    stopped = said.get("status") == "stopped" and not said.get("trouble")
    return Health(
        state=STOPPED if stopped else SILENT if age > SILENT_SECONDS else ALIVE,
        age=age,
        heard_utc=said["time_utc"],
        broker_time_utc=said.get("broker_time_utc") or "",
        next_start_utc=said.get("next_start_utc") or "",
        last_session=said.get("last_session") or "",
        trouble=said.get("trouble") or "",
    )


def alerts_of(rows: Rows, health: Health) -> tuple[Alert, ...]:
    """Return what a person should know, the worst first."""
    found = [*_of_trading(rows), *_of_service(health), *_of_session(rows)]
    order = ("loss", "warn", "note")
    return tuple(sorted(found, key=lambda alert: order.index(alert.level)))


def _of_trading(rows: Rows) -> list[Alert]:
    found = []
    halt: Mapping[str, str] | None = rows.values.get("halt")
    if halt is not None:
        told = f"{halt['reason']}. No order is sent until it is resumed."
        found.append(Alert("loss", "Trading is halted", told, halt["time_utc"]))
    doubt: Sequence[str] | None = rows.values.get("doubt")
    if doubt is not None:
        told = f"They disagree since {doubt[1]}, so nothing is traded. Resuming takes both as they are."
        found.append(Alert("loss", f"Shares and prices of {doubt[0]} disagree", told))
    last = rows.plans[-1] if rows.plans else None
    if last is not None and last.status == "stopped":
        agreed = rows.values.get("accepted") == last.session.isoformat()
        ask = (
            "It was agreed to: the service sends the orders at its next look."
            if agreed
            else "Nothing was sent. Look at the orders below; resuming agrees to this plan once."
        )
        title = f"A limit stopped the plan of {last.session}"
        found.append(Alert("warn" if agreed else "loss", title, f"{last.note}. {ask}"))
    return found


def _of_service(health: Health) -> list[Alert]:
    if health.state == SILENT:
        told = "It was killed or hangs: nothing is traded until it runs again. Read its log and start it."
        return [Alert("loss", "The service is silent", told, health.heard_utc)]
    if health.trouble:
        return [Alert("warn", "The service has trouble", health.trouble)]
    return []


def _of_session(rows: Rows) -> list[Alert]:
    if not rows.plans:
        return []
    last = rows.plans[-1]
    found = [Alert("note", f"Remark on {last.session}", remark) for remark in last.document["remarks"]]
    failed: Sequence[Mapping[str, Any]] = [
        order for order in rows.orders if order["stage"] == "refused" or order["status"] == "rejected"
    ]
    if failed:
        names = ", ".join(f"{order['side']} {order['symbol']}" for order in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        found.append(
            Alert(
                "warn",
                f"{len(failed)} order{'s' * (len(failed) > 1)} of {last.session} failed",
                f"{names}{more}; reasons below.",
            )
        )
    since = rows.closes[-1].session if rows.closes else last.decided
    for session, kind, symbol, amount, change in rows.movements:
        if kind == "external" and session >= since:
            what = f"{change:+g} shares of {symbol}" if symbol else f"{amount:+,.2f} of cash"
            found.append(Alert("warn", "Not traded here", f"On {session} the account had {what} more than our books."))
    return found

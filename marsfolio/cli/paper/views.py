"""What the paper commands print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from marsfolio.cli.terminal import print_table

if TYPE_CHECKING:
    from engine.result import Result
    from live.plan import Intent
    from live.session import Outcome
    from marsfolio.paper.checks import Finding
    from marsfolio.paper.drift import Drift
    from marsfolio.paper.status import Status

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


def say(line: str, alert: bool = False) -> None:
    """Print one line of the service, at once."""
    from rich.console import Console
    from rich.text import Text

    text = Text.assemble(("alert: ", "bold red"), line) if alert else Text(line)
    Console(stderr=alert).print(text, soft_wrap=True)


def print_outcome(outcome: Outcome) -> None:
    """Print what a session did, its orders and what a person should read."""
    from live.session import Kind

    shown = outcome.intents if outcome.kind is not Kind.NOTHING else ()
    if outcome.plan is not None and shown:
        plan = outcome.plan
        reasons = _reasons(outcome)
        rows = [_order_row(intent, reasons.get(intent.symbol, "")) for intent in shown]
        columns = ["", "shares", "symbol", "at about", "value", "filled", "stage", "why"]
        price = dict(zip(plan.symbols, plan.close.tolist(), strict=True))
        for row, intent in zip(rows, shown, strict=True):
            row[3:3] = [f"{price[intent.symbol]:,.2f}", f"{price[intent.symbol] * intent.quantity:,.2f}"]
        print_table(f"Orders of {plan.session}, decided at the close of {plan.decided}", columns, rows)
    print(outcome.message)
    for remark in outcome.remarks:
        print(f"note: {remark}")


def _order_row(intent: Intent, reason: str) -> list[str]:
    why = "; ".join(part for part in (reason, intent.reason) if part)
    return [intent.side.value, f"{intent.quantity:g}", intent.symbol, f"{intent.filled:g}", intent.stage.value, why]


def _reasons(outcome: Outcome) -> dict[str, str]:
    """Return for each symbol from which weight to which it goes, and which limit changed that."""
    from engine.limits import outcome_label

    plan = outcome.plan
    if plan is None or plan.target is None:
        return {}
    found = {}
    for i, symbol in enumerate(plan.symbols):
        now = plan.held[i] * plan.close[i] / plan.equity if plan.held[i] else 0.0
        label = outcome_label(plan.outcome[i]) if plan.outcome else ""
        told = f"from {now:.2%} to {plan.weights[i]:.2%}"
        found[symbol] = told + (f" ({label})" if label not in ("", "none") else "")
    return found


def print_checks(findings: Sequence[Finding]) -> None:
    """Print a line for each check, and how many failed."""
    print_table("", ["", "check", "found"], [[_MARKS[f.state], f.name, f.text] for f in findings])
    failed = sum(finding.state == "fail" for finding in findings)
    warned = sum(finding.state == "warn" for finding in findings)
    print(f"{failed} failed, {warned} to know of: " + ("mend what failed" if failed else "ready to trade"))


def print_status(status: Status) -> None:
    """Print an account as it is now."""
    width = max(len(name) for name in status.facts)
    for name, text in status.facts.items():
        print(f"{name:{width}}  {text}")
    for line in status.trouble:
        print(f"trouble: {line}")
    if status.holdings:
        print_table("Holdings", ["symbol", "shares", "close", "weight", "target", "off"], status.holdings)
    if status.orders:
        columns = ["", "shares", "symbol", "filled", "stage", "status", "why"]
        print_table("Orders of the last plan", columns, status.orders)
    if status.sessions:
        print_table("Sessions", ["session", "plan", "orders", "filled", "note"], status.sessions)


def print_drift(drift: Drift) -> None:
    """Print the parts of the drift, session by session at the end, and in sum."""
    from marsfolio.paper.drift_session import PARTS

    columns = ["session", "equity", "expected", "drift", *PARTS]
    rows = [
        [str(row["session"]), *(_money(row[name]) for name in columns[1:])]
        for row in drift.table.tail(20).to_dict("records")
    ]
    rows.append(["in all", "", "", *(_money(drift.total[name]) for name in ("drift", *PARTS))])
    print_table("Each session less its backtest from the same start, account currency", columns, rows)
    last = drift.table.iloc[-1]
    print(f"the account is at {last['equity'] / last['backtest'] - 1:+.4%} of the backtest of its own decisions")


def _money(amount: float) -> str:
    return f"{round(amount, 2) + 0.0:,.2f}"  # no minus before 0.00


def print_replay(result: Result | None, state: Path) -> None:
    """Print the metrics of a replay."""
    from marsfolio.cli.results import print_metrics

    if result is None:
        print("no session was booked")
        return
    print_metrics({"paper": result.metrics()}, f"Replay written to {state}", result.remarks())

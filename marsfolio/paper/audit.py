"""Proof that a journal was only ever appended to: the hash chain, and that fills and plans agree with it."""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import TradingStopped
from live.journal import Journal
from live.writer import FIRST_HASH, seal
from marsfolio.paper.folder import audit_lines
from marsfolio.paper.options import remembered
from marsfolio.paper.setup import journal_of
from marsfolio.report.writing import write_whole


def verify_audit(state: Path, out: Path | None = None) -> list[str]:
    """Return what was verified, in words.

    Parameters
    ----------
    out : where to write the entries, one line of JSON each; None for nowhere.

    Raises
    ------
    TradingStopped
        When an entry was changed, removed or put in, naming the first; or a fill or plan has no entry.
    """
    options = remembered(state)
    from marsfolio.paper.options import PaperOptions

    journal = journal_of(options or PaperOptions(), state, new=False)
    try:
        count, head = verify_chain(journal)
        n_fills, n_plans = _verify_records(journal)
        if out is not None:
            write_whole(out, ("\n".join(audit_lines(journal)) + "\n").encode())
    finally:
        journal.dispose()
    return [
        f"{count:,} entries, unbroken; head {head[:16]}",
        f"{n_fills:,} fills and {n_plans:,} plans agree with them",
    ]


def verify_chain(journal: Journal) -> tuple[int, str]:
    """Return the number of entries and the last hash.

    Raises
    ------
    TradingStopped
        Naming the first entry that does not follow from those before it.
    """
    before, count = FIRST_HASH, 0
    for number, time_utc, kind, payload, sealed in journal.audit():
        if number != count + 1 or sealed != seal(before, number, time_utc, kind, payload):
            raise TradingStopped(
                f"the audit log is broken at entry {count + 1} ({kind} of {time_utc}): it, or one before it, was "
                "changed or removed"
            )
        before, count = sealed, number
    if journal.value("audit_head", [0, FIRST_HASH]) != [count, before]:
        raise TradingStopped(f"the audit log ends at entry {count}, and should go on: its last entries were removed")
    return count, before


def _verify_records(journal: Journal) -> tuple[int, int]:
    """Return how many fills and plans there are, each found in the log as it is in its table."""
    logged: dict[str, tuple[float, float, float]] = {}
    planned: dict[str, str] = {}
    for _, _, kind, payload, _ in journal.audit():
        values = json.loads(payload)
        if kind == "fill":
            logged[values["fill_id"]] = values["quantity"], values["price"], values["commission"]
        elif kind == "plan":
            planned[values["session"]] = values["sha256"]
    fills = journal.fills()
    for fill in fills:
        if logged.pop(fill.fill_id, None) != (fill.quantity, fill.price, fill.commission):
            raise TradingStopped(f"fill {fill.fill_id} is not as the audit log has it: the journal was changed")
    if logged:
        raise TradingStopped(f"fill {next(iter(logged))} is in the audit log and not among the fills: it was removed")
    plans = list(journal.plans())
    for plan in plans:
        if planned.pop(plan.session.isoformat(), None) != plan.digest:
            raise TradingStopped(f"the plan of {plan.session} is not as the audit log has it: the journal was changed")
    if planned:
        raise TradingStopped(f"the plan of {next(iter(planned))} is in the audit log alone: it was removed")
    return len(fills), len(plans)

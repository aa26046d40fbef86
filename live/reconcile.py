"""Making our books agree with the account before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from brokers.protocol import AccountState, Holding, Movement, SessionHours, Side
from engine.errors import TemporaryError, TradingStopped
from live.books import CENT, absorb, book_differences, differences, open_books
from live.desk import Desk
from live.following import cancel, midnight, reports_of, settle, stop_unknown
from live.plan import ENDED, ID_STEM, NOT_FOUND, SMALLEST, PlanStatus, Stage, ending
from live.splits import splits_among
from live.timing import last_complete

READS = 3
"""Times that holdings are read when they disagree with our own fills: a venue's list may lag."""
LAG_SECONDS = 5.0


def reconcile(
    desk: Desk, calendar: Sequence[SessionHours], now: datetime, session: date | None, dry_run: bool = False
) -> tuple[dict[str, Holding], list[str]]:
    """Book everything that happened since the last run, and return holdings and what a person should read.

    Parameters
    ----------
    session : the one that is being traded; orders of earlier ones are finished. None for none.

    Raises
    ------
    TradingStopped
        When the account is another one, blocked, or holds what we never made.
    TemporaryError
        When the venue cannot be reached.
    """
    account = desk.venue.account()
    _check_account(desk, account)
    remarks = _finish_earlier(desk, session, dry_run)
    holdings = {holding.symbol: holding for holding in desk.venue.holdings()}
    last = last_complete(calendar, now)
    settled = last.session if last else now.date()
    if desk.journal.value("opening") is None:
        with desk.journal.writing() as writer:
            open_books(writer, account, holdings.values(), desk.recipe.symbols)
            writer.set_value("moved", settled.isoformat())
    elif not desk.journal.intents(live=True):
        account, holdings, found = _agreeing(desk, account, holdings)
        if lagging := _lagging(desk, found):
            raise TemporaryError(f"{lagging}: nothing is decided by it; run again")
        splits = splits_among(desk, found, holdings, calendar, last) if found else []
        remarks += _take_over(desk, found, splits, settled)
        _remember_agreement(desk)
    remarks += _overdrawn(account)
    foreign = sorted(set(holdings) - set(desk.recipe.symbols))
    if foreign:
        remarks.append(f"the account also holds {', '.join(foreign)}: not of this strategy, left alone")
    if not dry_run:
        for remark in remarks:
            desk.alert(remark)
    return holdings, remarks


def _take_over(desk: Desk, found: Sequence[tuple[str, float]], splits: Sequence[Movement], session: date) -> list[str]:
    """Book what the account has and the books have not, and return it in words."""
    if not found:
        return []
    split = {movement.symbol for movement in splits}
    other = [(symbol, change) for symbol, change in found if symbol not in split]
    fills = desk.journal.count_fills() - desk.journal.value("agreed_fills", 0)
    with desk.journal.writing() as writer:
        for movement in splits:
            writer.move(movement)
        words = book_differences(writer, other, session, fills)
    return [f"{movement.symbol} was split: {movement.quantity_change:+g} shares" for movement in splits] + words


def _overdrawn(account: AccountState) -> list[str]:
    if account.cash >= 0:
        return []
    return [
        f"cash is {account.cash:,.2f}: buys cost more at the open than there was; the next decision sells to repair it"
    ]


def compare(desk: Desk) -> list[str]:
    """Return in words what the account has and our books have not; nothing is booked."""
    if desk.journal.intents(live=True):
        return []
    account, holdings = desk.venue.account(), {holding.symbol: holding for holding in desk.venue.holdings()}
    _, _, found = _agreeing(desk, account, holdings)
    if lagging := _lagging(desk, found):
        return [lagging]
    fills = desk.journal.count_fills() - desk.journal.value("agreed_fills", 0)
    return _overdrawn(account) + [
        f"after trading the account has {change:+,.2f} {symbol or 'of cash'} more than our books: it is taken over "
        "before the next decision"
        for symbol, change in found
        if symbol or abs(change) > 0.005 * max(fills, 1)
    ]


def refuse_shorts(holdings: Mapping[str, Holding], symbols: Sequence[str]) -> None:
    """Stop when one of our symbols is held short: this service never sells what it does not have.

    Raises
    ------
    TradingStopped
        Naming the symbol.
    """
    for symbol in symbols:
        if symbol in holdings and holdings[symbol].quantity < 0:
            raise TradingStopped(
                f"the account is short {-holdings[symbol].quantity:g} shares of {symbol}, which this service "
                "never does: close the position by hand, then run again"
            )


def refuse_others(desk: Desk, session: date) -> None:
    """Stop when orders of a session bear our names and we never sent them: two services would trade one account.

    Raises
    ------
    TradingStopped
        Naming one of them.
    """
    stem = f"{ID_STEM}{session.isoformat()}-"
    known = {intent.client_id for intent in desk.journal.intents(session)}
    for report in desk.venue.orders(midnight(session)):
        if report.client_id.startswith(stem) and report.client_id not in known:
            raise TradingStopped(
                f"order {report.client_id} is at the broker and was not sent from here: another service, or another "
                "--state, trades this account; stop one of them, then run again on the next session's date"
            )


def _check_account(desk: Desk, account: AccountState) -> None:
    known = desk.journal.value("account_id")
    if known is not None and known != account.account_id:
        raise TradingStopped(
            f"the keys belong to account {account.account_id} and this state to {known}: use the keys of that account, "
            "or another --state for the new one (after a reset of a paper account it is a new one)"
        )
    if account.blocked:
        raise TradingStopped(f"the account may not trade: {account.blocked}; clear that at the broker, then run again")


def _agreeing(
    desk: Desk, account: AccountState, holdings: dict[str, Holding]
) -> tuple[AccountState, dict[str, Holding], list[tuple[str, float]]]:
    """Return account and holdings once they agree with our books, or after some looks, and what then differs."""
    symbols = desk.recipe.symbols
    found = differences(desk.journal.ledger(), account, holdings, symbols)
    for _ in range(READS - 1):
        if not any(symbol for symbol, _ in found):
            break
        desk.waiter.wait(LAG_SECONDS)
        account, holdings = desk.venue.account(), {holding.symbol: holding for holding in desk.venue.holdings()}
        found = differences(desk.journal.ledger(), account, holdings, symbols)
    return account, holdings, found


def _lagging(desk: Desk, found: Sequence[tuple[str, float]]) -> str:
    """Say so when holdings miss exactly what we traded last: the venue's list lags, and sizing by it buys twice.

    Somebody who took the trades back by hand would have moved the cash too, and by other prices.
    """
    missing = {symbol: change for symbol, change in found if symbol}
    if not missing:
        return ""
    shares: dict[str, float] = {}
    paid = 0.0
    fills = desk.journal.fills()[desk.journal.value("agreed_fills", 0) :]
    for fill in fills:
        signed = fill.quantity if fill.side is Side.BUY else -fill.quantity
        shares[fill.symbol] = shares.get(fill.symbol, 0.0) + signed
        paid += signed * fill.price + fill.commission
    money = next((change for symbol, change in found if not symbol), 0.0)
    is_ours = all(abs(change + shares.get(symbol, 0.0)) <= SMALLEST for symbol, change in missing.items())
    if is_ours and min(abs(money), abs(money - paid)) < CENT * (len(fills) + 1):
        return f"the venue's list of holdings does not show our last fills of {', '.join(sorted(missing))} yet"
    return ""


def _remember_agreement(desk: Desk) -> None:
    fills = desk.journal.count_fills()
    with desk.journal.writing() as writer:
        writer.set_value("agreed_fills", fills)


def _finish_earlier(desk: Desk, session: date | None, dry_run: bool) -> list[str]:
    """Book movements and the fills of orders that were still open, in the order of their sessions; end old plans."""
    live = desk.journal.intents(live=True)
    reports = reports_of(desk, live)
    movements = _movements(desk)
    days = sorted({movement.session for movement in movements} | {intent.session for intent in live})
    for day in days:
        with desk.journal.writing() as writer:
            for movement in movements:
                if movement.session == day:
                    writer.move(movement)
                    writer.set_value("moved", day.isoformat())
            for intent in live:
                if intent.session == day and intent.client_id in reports:
                    absorb(writer, intent, reports[intent.client_id])
    stop_unknown(reports[intent.client_id] for intent in live if intent.client_id in reports)
    return _end_earlier(desk, session, dry_run)


def _movements(desk: Desk) -> list[Movement]:
    moved = desk.journal.value("moved")
    return [] if moved is None else desk.venue.movements(date.fromisoformat(moved))


def _end_earlier(desk: Desk, session: date | None, dry_run: bool) -> list[str]:
    """End the plans of sessions before ``session``: what was not sent is dropped, what is open is cancelled."""
    remarks = []
    for day, status, _ in desk.journal.statuses(limit=20):
        if status not in (PlanStatus.TRADING, PlanStatus.STOPPED) or (session is not None and day >= session):
            continue
        if session is None and not _is_over(desk, day):
            continue
        remarks += _end_plan(desk, day, dry_run)
    return remarks


def _is_over(desk: Desk, day: date) -> bool:
    hours = [hours for hours in desk.calendar(desk.time.now()) if hours.session == day]
    return not hours or desk.time.now() >= hours[0].close


def _end_plan(desk: Desk, day: date, dry_run: bool) -> list[str]:
    if not dry_run:
        _end_orders(desk, day)
    with desk.journal.writing() as writer:
        for intent in desk.journal.intents(day):
            if intent.stage is Stage.PLANNED:
                writer.put(replace(intent, stage=Stage.DROPPED, reason=ENDED))
    status, note = ending(desk.journal.intents(day), desk.venue.sizes_buys)
    with desk.journal.writing() as writer:
        writer.set_status(day, status, note)
        writer.note("ended", session=day.isoformat(), said=note)
    return [f"session {day} ended, and not as planned: {note}"] if note else []


def _end_orders(desk: Desk, day: date) -> None:
    """Make every order of a past session final: cancel those that are open, and forget those that do not exist.

    Raises
    ------
    TradingStopped
        When one stays open.
    """
    live = [intent for intent in desk.journal.intents(day) if intent.is_live]
    for intent in settle(desk, live):
        never = intent.stage is Stage.SENDING
        ended = (
            replace(intent, stage=Stage.DROPPED, reason=ENDED)
            if never
            else replace(intent, stage=Stage.FINAL, status=NOT_FOUND, reason="the venue does not know it any more")
        )
        with desk.journal.writing() as writer:
            writer.put(ended)
            writer.note("absent", client_id=intent.client_id)
    still = [intent for intent in desk.journal.intents(day) if intent.is_live]
    if still and not cancel(desk, still):
        names = ", ".join(sorted({intent.symbol for intent in desk.journal.intents(live=True)}))
        raise TradingStopped(
            f"orders of session {day} for {names} are open and cannot be cancelled: nothing is sent until they are "
            "final; look at them at the broker"
        )

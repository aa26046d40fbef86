"""Carrying out a plan: sells first, then buys from the cash that is there, each followed until it is final."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from brokers.protocol import SessionHours, Side
from live.desk import Desk
from live.following import POLL_SECONDS, poll
from live.plan import Intent, Plan, Stage
from live.sending import Sender
from live.sizing import Purse

SALES_SECONDS = 60.0
"""Buys wait so long for sales to fill, then make do with the cash that is there."""


class Execution:
    """Carries out the plan of one session, as far as it can be carried out now; safe to repeat at any moment.

    It goes on from the journal, which a reconciliation has just brought up to date.

    Parameters
    ----------
    until : `Waiter.elapsed` at which waiting for fills ends.
    """

    def __init__(self, desk: Desk, plan: Plan, hours: SessionHours, until: float) -> None:
        self._desk = desk
        self._session = plan.session
        self._hours = hours
        self._until = until
        self._purse = Purse(desk, plan)
        self._sender = Sender(desk, plan, hours, self._purse, until)

    @property
    def remarks(self) -> list[str]:
        """What a person should read."""
        return self._sender.remarks

    def run(self) -> list[Intent]:
        """Send what may be sent, wait where waiting helps, and return the orders as they are now.

        Raises
        ------
        TemporaryError
            When the venue cannot be reached; the next run goes on.
        TradingStopped
            When a person is needed.
        Interrupted
            When the service is to stop.
        """
        self._sender.return_absent(self._with(Stage.SENDING))
        self._sender.send(self._planned(Side.SELL))
        if self._desk.venue.sizes_buys:
            self._sender.send(self._planned(Side.BUY))
            return self._intents()
        if self._desk.time.now() < self._hours.open:
            self._sender.send(self._purse.fitting(self._planned(Side.BUY)))
            return self._intents()
        self._wait_while(lambda: self._live(Side.SELL), min(self._until, self._desk.waiter.elapsed() + SALES_SECONDS))
        self._buy()
        self._wait_while(self._live, self._until)
        return self._intents()

    def _buy(self) -> None:
        buys = self._planned(Side.BUY)
        if not buys:
            return
        sized = self._purse.sized(buys)
        for intent in sized.dear:
            self._sender.drop(intent, f"the cash, {sized.cash:,.2f}, does not pay for it")
        if any(intent.quantity < intent.wanted for intent in sized.buys):
            self.remarks.append(f"buys were shrunk to the cash present, {sized.cash:,.2f}")
        self._sender.send(sized.buys)

    def send(self, intents: Iterable[Intent]) -> list[Intent]:
        """Send these orders alone, wait for fills where waiting helps, and return the session's orders as they are now.

        Raises
        ------
        TemporaryError, TradingStopped, Interrupted
            As `run` does.
        """
        self._sender.send(intents)
        if not self._desk.venue.sizes_buys and self._desk.time.now() >= self._hours.open:
            self._wait_while(self._live, self._until)
        return self._intents()

    def _intents(self) -> list[Intent]:
        return self._desk.journal.intents(self._session)

    def _with(self, stage: Stage) -> list[Intent]:
        return [intent for intent in self._intents() if intent.stage is stage]

    def _planned(self, side: Side) -> list[Intent]:
        return [intent for intent in self._with(Stage.PLANNED) if intent.side is side]

    def _live(self, side: Side | None = None) -> list[Intent]:
        return [intent for intent in self._intents() if intent.is_live and side in (None, intent.side)]

    def _wait_while(self, live: Callable[[], list[Intent]], until: float) -> None:
        waiter = self._desk.waiter
        while (open_now := live()) and waiter.elapsed() < until and not waiter.stopping:
            waiter.wait(POLL_SECONDS)
            poll(self._desk, open_now)
            self._desk.time.forget()

"""From an account to markup: computed once for each state of the journal, whoever asks however often."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from engine.clock import Clock, SystemClock
from engine.errors import RunFolderError
from marsfolio.page.health import NEVER, Health, read_health
from marsfolio.page.orders import today_of
from marsfolio.page.reading import Reader, Rows
from marsfolio.page.view import View, view_of
from marsfolio.paper.options import JOURNAL_FILE, PaperOptions, remembered

UNDEFINED = "–"


@dataclass(frozen=True, slots=True)
class Content:
    """The part of the page that changes; ``tag`` differs whenever it does."""

    tag: str
    html: str
    view: View


def environment() -> Environment:
    """Return the templates with their filters; everything is escaped."""
    made = Environment(
        loader=PackageLoader("marsfolio.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # z: what rounds to zero has no sign.
    made.filters["money"] = _when_known(lambda value: f"{value:z,.2f}")
    made.filters["whole"] = _when_known(lambda value: f"{value:z,.0f}")
    made.filters["shares"] = _when_known(lambda value: f"{value:,.9f}".rstrip("0").rstrip("."))
    made.filters["percent"] = _when_known(lambda value: f"{100 * value:z,.2f} %")
    made.filters["signed"] = _when_known(lambda value: f"{100 * value:+z,.2f} %")
    made.filters["points"] = _when_known(lambda value: f"{100 * value:+z,.2f} pp")
    return made


def _when_known(write: Callable[[float], str]) -> Callable[[float | None], str]:
    return lambda value: UNDEFINED if value is None or value != value else write(value).replace("-", "−")


def static_files() -> dict[str, tuple[str, bytes]]:
    """Return media type and content of what the page loads, by name."""
    own = resources.files("marsfolio.page") / "templates"
    shared = resources.files("marsfolio.report") / "templates"
    style = (shared / "style.css").read_bytes() + (own / "page.css").read_bytes()
    scripts = {name: (own / name).read_bytes() for name in ("page.js", "charts.js")}
    return {"style.css": ("text/css", style)} | {name: ("text/javascript", text) for name, text in scripts.items()}


@dataclass
class Showing:
    """One account's page; safe to ask from several threads."""

    state: Path
    reader: Reader
    options: PaperOptions
    clock: Clock = field(default_factory=SystemClock)
    templates: Environment = field(default_factory=environment)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _seen: str = field(default="", init=False)
    _rows: tuple[str, Rows] | None = field(default=None, init=False)
    _content: Content | None = field(default=None, init=False)

    @classmethod
    def of(cls, state: Path, clock: Clock | None = None) -> Showing:
        """Return the page of a state folder.

        Raises
        ------
        RunFolderError
            When it has no account, or its journal is missing.
        """
        options = remembered(state)
        if options is None:
            raise RunFolderError(f"--state {state} has no paper account: begin with `marsfolio paper once` or `run`")
        reader = Reader(state / JOURNAL_FILE, options.database)
        reader.version()
        return cls(state, reader, options, clock or SystemClock())

    def health(self) -> Health:
        """Return what the service last said."""
        return read_health(self.state, self.clock.now())

    def content(self, backtest: Mapping[str, float], trouble: str, version: int) -> Content:
        """Return the page's content now.

        Parameters
        ----------
        backtest : session to value of the backtest of the account's decisions, as far as known.
        trouble : why it is not known.
        version : changes when either does.
        """
        with self._lock:
            health = self.health()
            rows = self._read()
            # How long ago it was heard of changes always, and is told beside the content.
            told = (self._rows and self._rows[0], version, health.state, health.next_start_utc, health.trouble)
            tag = hashlib.sha256(repr(told).encode()).hexdigest()[:20]
            if self._content is None or self._content.tag != tag:
                view = view_of(rows, self.options, health)
                html = self._fill(view, backtest, trouble)
                self._content = Content(tag, html, view)
            return self._content

    def orders(self, session: date) -> str | None:
        """Return the orders of a session of the past as markup; None when it has no plan."""
        with self._lock:
            rows = self._read()
            plan = next((plan for plan in rows.plans if plan.session == session), None)
            if plan is None:
                return None
            today = today_of(plan, self.reader.orders(session))
        return self.templates.get_template("orders.html.j2").render(today=today)

    def _read(self) -> Rows:
        version = self.reader.version()
        if self._rows is None or self._seen != version:
            rows = self.reader.read()
            # A commit may concern nothing that is shown; a database on a server is read on suspicion.
            if self._rows is None or self._rows[1] != rows:
                self._rows = version, rows
            self._seen = version
        return self._rows[1]

    def _fill(self, view: View, backtest: Mapping[str, float], trouble: str) -> str:
        charts = dict(view.charts)
        charts["backtest"] = [backtest.get(session) for session in charts["sessions"]] if backtest else []
        values: dict[str, Any] = {
            "view": view,
            "charts": charts,
            "drift": drift_of(charts),
            "backtest_trouble": trouble,
            "never": view.health.state == NEVER,
        }
        return self.templates.get_template("content.html.j2").render(**values)


def drift_of(charts: Mapping[str, Any]) -> float | None:
    """Return how far the account is from the backtest of its decisions at the last session both have; None if none."""
    pairs = zip(charts["equity"], charts["backtest"], strict=False)
    known = [(ours, theirs) for ours, theirs in pairs if theirs]
    return known[-1][0] / known[-1][1] - 1 if known else None

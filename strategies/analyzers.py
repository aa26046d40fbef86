"""Measures of a run in plain backtrader, by the functions that measure everything else here."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np

from engine.errors import InputError
from engine.metrics import PortfolioRisk, RiskTracker, return_metrics


class RiskAnalyzer(bt.Analyzer):
    """Follow the broker's value from session to session.

    ``cerebro.addanalyzer(RiskAnalyzer, _name="risk")``, then ``strategy.analyzers.risk.get_analysis()``. A
    bar of the strategy is a session; those before its minimum period count too.

    Parameters
    ----------
    periods_per_year : sessions in a year, > 0.
    risk_free : risk-free return of one session, a fraction.
    start : ``datetime.date`` of the first session to record, so that warm-up does not dilute the measures;
        None for the first bar.

    Raises
    ------
    InputError
        When ``periods_per_year`` is not positive; during the run, when a date has more than one bar or the
        broker's value is not finite.
    """

    params = (("periods_per_year", 252.0), ("risk_free", 0.0), ("start", None))

    def __init__(self) -> None:
        if not self.p.periods_per_year > 0:
            raise InputError(f"periods_per_year must be positive, was {self.p.periods_per_year}")
        self._tracker = RiskTracker()
        self._sessions: list[np.datetime64] = []
        self._risks: list[PortfolioRisk] = []

    def next(self) -> None:
        # bt.Analyzer sends prenext and nextstart here as well.
        session = bt.num2date(self.strategy.datetime[0]).date()
        if self.p.start is None or session >= self.p.start:
            if self._sessions and session <= self._sessions[-1].item():
                raise InputError(f"there must be one bar a session, but {session} has two: resample the feeds to days")
            self._sessions.append(np.datetime64(session, "D"))
            self._risks.append(self._tracker.update(self.strategy.broker.getvalue()))

    def get_analysis(self) -> dict[str, Any]:
        """Return the measures of the sessions so far.

        Returns
        -------
        The entries of metrics.json that need the equity alone, None where undefined, losses positive; and
        under ``series`` arrays of shape (T,): ``session``, ``volatility_30``, ``drawdown`` and
        ``value_at_risk_95`` as in `PortfolioRisk`, NaN where undefined. Without a session all is undefined.
        """
        # Cerebro asks for this after each run: one without a session must not end in an error.
        equity = np.array([risk.equity for risk in self._risks], dtype=np.float64)
        sessions = np.array(self._sessions, dtype="datetime64[D]")
        analysis: dict[str, Any] = {**return_metrics(equity, sessions, self.p.periods_per_year, self.p.risk_free)}
        series: dict[str, Any] = {"session": sessions}
        for name in ("volatility_30", "drawdown", "value_at_risk_95"):
            series[name] = np.array([getattr(risk, name) for risk in self._risks], dtype=np.float64)
        analysis["series"] = series
        return analysis

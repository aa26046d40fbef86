"""One session of a run taken apart: portfolio, agents, limits and orders, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.arrays import FloatArray
from engine.limits import outcome_label
from engine.metrics.tracker import PortfolioRisk
from engine.policy import Explanation
from engine.simulator import DUST, plan_basket
from marsfolio.explanation.agreement import check, fill_session, fills_after
from marsfolio.explanation.replay import Replayed, replay, session_of
from marsfolio.plans import AnyPlan
from marsfolio.runs import Run
from marsfolio.values import json_value


@dataclass(frozen=True)
class Limit:
    """What one limit did to the targets.

    Attributes
    ----------
    name : long_only, cap or cash_buffer, in the order in which they are applied.
    bound : its value, a fraction of equity.
    symbols : how many targets it changed.
    cut : how much less was asked for after it, the sum of all targets, a fraction of equity; negative for long_only,
        which makes negative targets 0.
    """

    name: str
    bound: float
    symbols: int
    cut: float


@dataclass(frozen=True)
class Explained:
    """Why a run did what it did in one session; weights are fractions of equity at its close.

    Attributes
    ----------
    hashes : sha256 of the bars and the model, as far as the run has them.
    equity, cash : account value and cash at the close, before the decision's fills, account currency.
    risk : of the run up to the close; None where the policy was not asked.
    why_none : why there was no decision; empty where there was one.
    last_decision, next_decision : the nearest sessions with a decision, before and after; empty for none.
    symbols : symbol, held, asked (before limits; NaN keeps the shares), after_limits, executed, limit_applied.
    agents : agent, weight, value, risk, exposure and turnover of its proposal (turnover is half the sum of the
        changes), from_mean (half the sum of the differences from the agents' mean); empty without agents.
    learned : where the agents' numbers come from; None for other policies.
    mean : (N,) the agents' proposals, each with the agent's weight; empty without agents.
    limits : what each limit did; empty where there are none or nothing was decided.
    orders : symbol, side, ordered (shares, 0 for a fill that was not), filled, price, notional, commission, slippage,
        result (what became of it).
    filled_in : session whose prices filled them; empty where the run ends before.
    notes : what a reader should know.
    """

    run: str
    kind: str
    session: str
    hashes: Mapping[str, str]
    equity: float
    cash: float
    risk: PortfolioRisk | None
    why_none: str
    last_decision: str
    next_decision: str
    symbols: pd.DataFrame
    agents: pd.DataFrame
    learned: Explanation | None
    mean: FloatArray
    limits: list[Limit]
    orders: pd.DataFrame
    filled_in: str
    notes: list[str]

    def table(self) -> dict[str, Any]:
        """Return everything as JSON values; undefined numbers are None."""
        found = {
            "run": self.run,
            "kind": self.kind,
            "session": self.session,
            **self.hashes,
            "decided": not self.why_none,
            "why_none": self.why_none or None,
            "last_decision": self.last_decision or None,
            "next_decision": self.next_decision or None,
            "portfolio": self._portfolio(),
            "agents": None if self.learned is None else self._of_agents(self.learned),
            "symbols": self.symbols.to_dict("records"),
            "limits": [asdict(limit) for limit in self.limits],
            "orders": {"filled_in": self.filled_in or None, "rows": self.orders.to_dict("records")},
            "notes": self.notes,
        }
        return dict(json_value(found))

    def _portfolio(self) -> dict[str, Any]:
        risk = {} if self.risk is None else {k: v for k, v in asdict(self.risk).items() if k != "equity"}
        return {"equity": self.equity, "cash": self.cash, "cash_weight": self.cash / self.equity, **risk}

    def _of_agents(self, learned: Explanation) -> dict[str, Any]:
        names = self.symbols["symbol"].tolist()
        rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in self.agents.to_dict("records")]
        for row, proposal in zip(rows, learned.proposals, strict=True):
            row["proposal"] = dict(zip(names, proposal.tolist(), strict=True))
        mean = dict(zip(names, self.mean.tolist(), strict=True))
        return {"value_means": learned.value_means, "risk_means": learned.risk_means, "mean": mean, "rows": rows}


def explain(run: Run, plan: AnyPlan, provenance: Mapping[str, Any], session: np.datetime64) -> Explained:
    """Explain one session of a finished run, whose plan is replayed and compared with its files.

    Parameters
    ----------
    plan, provenance : the run as its config.toml repeats it, and the hashes of what it was made of.

    Raises
    ------
    InputError
        When the run has no such session.
    RunFolderError
        When the replay differs from the files, or the run has no target weights.
    """
    t = session_of(run, session)
    replayed = replay(plan, session)
    notes = check(run, replayed, provenance)
    learned = replayed.learned
    symbols = _symbols(replayed)
    mean = np.zeros(0) if learned is None else _mean(learned)
    before, after = _neighbours(run, str(session))
    return Explained(
        run=str(run.path),
        kind=run.kind,
        session=str(session),
        hashes={name: str(provenance[name]) for name in ("data_hash", "model_hash") if name in provenance},
        equity=float(run.equity["equity"].iloc[t]),
        cash=float(run.equity["cash"].iloc[t]),
        risk=None if replayed.observation is None else replayed.observation.risk,
        why_none="" if replayed.decided else _why_none(replayed, before),
        last_decision=before,
        next_decision=after,
        symbols=symbols,
        agents=pd.DataFrame() if learned is None else _agents(learned, mean, replayed.held),
        learned=learned,
        mean=mean,
        limits=_limits(replayed, symbols) if replayed.decided else [],
        orders=_orders(run, replayed, symbols),
        filled_in=fill_session(replayed) if replayed.decided else "",
        notes=notes + _notes(run, replayed),
    )


def _neighbours(run: Run, session: str) -> tuple[str, str]:
    known = run.decisions["session"].unique()
    return max(known[known < session], default=""), min(known[known > session], default="")


def _why_none(replayed: Replayed, last: str) -> str:
    observation, decision = replayed.observation, replayed.decision
    if observation is None:
        return f"rebalance is {replayed.plan.schedule}, and this period's decision was taken on {last}"
    if decision is not None:
        return "the policy answered NaN for every symbol: keep all shares"
    features = observation.features
    if features.shape[1] and np.isnan(features).any(axis=1).all():
        return "the policy answered with no decision: no symbol has enough history for its features yet"
    return "the policy answered with no decision"


def _symbols(replayed: Replayed) -> pd.DataFrame:
    result, t = replayed.result, replayed.t
    asked = np.full(len(result.symbols), np.nan)
    if replayed.decided and replayed.decision is not None:
        asked = np.asarray(replayed.decision.weights, dtype=np.float64)
    return pd.DataFrame(
        {
            "symbol": list(result.symbols),
            "held": replayed.held,
            "asked": asked,
            "after_limits": result.target_weight[t],
            "executed": result.executed_weight[t],
            "limit_applied": [outcome_label(int(bits)) for bits in result.outcome[t]],
        }
    )


def _mean(learned: Explanation) -> FloatArray:
    """Return the weighted mean of what the agents propose; NaN where none proposes anything."""
    known = ~np.isnan(learned.proposals)
    weights = learned.agent_weights[:, None] * known
    total = weights.sum(axis=0)
    summed = (weights * np.where(known, learned.proposals, 0.0)).sum(axis=0)
    return np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)


def _agents(learned: Explanation, mean: FloatArray, held: FloatArray) -> pd.DataFrame:
    wanted = np.where(np.isnan(learned.proposals), held, learned.proposals)
    middle = np.where(np.isnan(mean), held, mean)
    return pd.DataFrame(
        {
            "agent": list(learned.agents),
            "weight": learned.agent_weights,
            "value": learned.value,
            "risk": learned.risk,
            "exposure": wanted.sum(axis=1),
            "turnover": np.abs(wanted - held).sum(axis=1) / 2,
            "from_mean": np.abs(wanted - middle).sum(axis=1) / 2,
        }
    )


def _limits(replayed: Replayed, symbols: pd.DataFrame) -> list[Limit]:
    limits = replayed.plan.terms.limits
    if limits is None:
        return []
    traded = replayed.plan.panel.has_bar[replayed.row]
    asked = np.where(traded, symbols["asked"].to_numpy(), np.nan)
    after = symbols["after_limits"].to_numpy()
    negative, above = asked < 0, asked > limits.cap
    capped = np.clip(asked, 0.0, limits.cap)
    scaled = symbols["limit_applied"].str.split("+").map(lambda names: "cash_buffer" in names).to_numpy()
    return [
        Limit("long_only", 0.0, int(negative.sum()), float(asked[negative].sum())),
        Limit("cap", limits.cap, int(above.sum()), float((asked - limits.cap)[above].sum())),
        Limit("cash_buffer", limits.cash_buffer, int(scaled.sum()), float(np.nansum(capped - after))),
    ]


def _orders(run: Run, replayed: Replayed, symbols: pd.DataFrame) -> pd.DataFrame:
    """Return what was ordered, and the fills in the run's file."""
    columns = ["symbol", "side", "ordered", "filled", "price", "notional", "commission", "slippage", "result"]
    if not replayed.decided:
        return pd.DataFrame(columns=columns)
    labels = dict(zip(symbols["symbol"], symbols["limit_applied"], strict=True))
    shares = _ordered(replayed, symbols["asked"].to_numpy())
    ordered = {symbol: float(number) for symbol, number in zip(labels, shares, strict=True) if number}
    fills = fills_after(run.trades, replayed).set_index("symbol")
    rows = []
    for symbol in [symbol for symbol in labels if symbol in ordered or symbol in fills.index]:
        row: dict[str, Any] = {"symbol": symbol, "ordered": abs(ordered.get(symbol, 0.0))}
        if symbol in fills.index:
            fill = fills.loc[symbol]
            row |= {"side": fill["side"], "filled": float(fill["quantity"])}
            row |= {name: float(fill[name]) for name in columns[4:8]}
        else:
            row |= {"side": "buy" if ordered[symbol] > 0 else "sell", "filled": 0.0, "price": np.nan}
            row |= dict.fromkeys(columns[5:8], 0.0)
        rows.append({**row, "result": _outcome(row["filled"], labels[symbol], fill_session(replayed))})
    return pd.DataFrame(rows, columns=columns)


def _ordered(replayed: Replayed, asked: FloatArray) -> FloatArray:
    """Return the (N,) shares that the decision's basket buys, or sells where negative."""
    plan, row, quantity, mark = replayed.plan, replayed.row, replayed.quantity, replayed.mark
    equity, bars = float(replayed.result.equity[replayed.t]), (plan.panel.close[row], plan.panel.has_bar[row])
    _, target, _ = plan_basket(asked, equity, quantity, mark, *bars, plan.terms.rules)
    change: FloatArray = target - quantity
    change[np.abs(change) <= DUST * quantity] = 0.0
    return change


def _outcome(filled: float, label: str, session: str) -> str:
    names = label.split("+")
    if not session:
        return "waits: the run ends"
    if "no_bar" in names and not filled:
        return "dropped: no bar"
    cut = [words for name, words in (("volume_cap", "volume cap"), ("shrunk_to_cash", "cash")) if name in names]
    if cut:
        return f"{'shrunk' if filled else 'dropped'}: {' and '.join(cut)}"
    return "filled" if filled else "not filled"


def _notes(run: Run, replayed: Replayed) -> list[str]:
    session = fill_session(replayed)
    flows = run.cash_flows
    split = flows[(flows["session"] == session) & (flows["kind"] == "split")]["symbol"].tolist()
    if replayed.decided and split:
        return [f"shares ordered are before the split of {session}, those filled after it: {', '.join(split)}"]
    return []

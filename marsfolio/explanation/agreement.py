"""Whether a replay agrees with the files of its run; what does not is not explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from engine.arrays import FloatArray
from engine.errors import RunFolderError
from engine.limits import outcome_label
from marsfolio.explanation.replay import Replayed
from marsfolio.runs import DECISION_COLUMNS, Run, versions
from marsfolio.values import json_value

TOLERANCE = 1e-12
"""How far a weight of the replay may lie from the file's."""

ROUNDING = 1e-6
"""How far it may lie, with the same bars, model and options, for it to be the rounding of another processor."""

_IDENTITIES = {
    "data_hash": "the bars",
    "model_hash": "the model",
    "model_hashes": "the windows' models",
    "weights_hash": "the weights file",
    "strategy_hash": "the strategy's file",
    "costs": "the costs",
}


class _Gap(NamedTuple):
    """How far a number of the replay lies from a file's; infinite where it is no number."""

    size: float
    words: str


def check(run: Run, replayed: Replayed, provenance: Mapping[str, Any]) -> list[str]:
    """Compare a replay with the files of its run, and return what a reader should know of it.

    Weights of targets, agents and holdings are compared, the limits applied, fills, cash and equity.

    Parameters
    ----------
    provenance : hashes of what the replay used, as config.toml has those of the run.

    Raises
    ------
    RunFolderError
        When they differ: bars, model or options are not those of the run, or a file was changed since.
    """
    others = _others(run, provenance)
    gaps = list(_gaps(run, replayed))
    for gap in gaps:  # the first, since it may be why there are others
        if gap.size > (TOLERANCE if others else ROUNDING):
            raise RunFolderError(f"{run.path} is not what its config.toml repeats: {gap.words}; {_reason(run, others)}")
    notes = [f"{other}, and the decision is the same nevertheless" for other in others]
    widest = max(gaps, key=lambda gap: gap.size)
    if widest.size > TOLERANCE:
        notes.append(f"the replay rounds otherwise than the run, as on another processor: {widest.words}")
    return notes


def _others(run: Run, provenance: Mapping[str, Any]) -> list[str]:
    """Return what is not what it was when the run was made."""
    found = []
    for name, what in _IDENTITIES.items():
        if name not in provenance or name not in run.provenance:
            continue
        said, now = json_value(run.provenance[name]), json_value(provenance[name])
        if isinstance(now, list) and isinstance(said, list):
            said = said[: len(now)]  # of a walk, the models up to the session
        if said != now:
            hashes = f" (sha256 {now[:12]}..., config.toml says {str(said)[:12]}...)" if isinstance(now, str) else ""
            found.append(f"{what} changed since the run{hashes}")
    return found


def _reason(run: Run, others: list[str]) -> str:
    if others:
        return "; ".join(others)
    said = run.provenance.get("versions", {})
    changed = [
        f"{name} {said[name]} then and {now} now" for name, now in versions().items() if said.get(name, now) != now
    ]
    if changed:
        return f"bars, model and options are the same, versions are not: {', '.join(changed)}"
    return (
        "bars, model, options and versions are the same, so a file of the run was changed since, the strategy does not "
        "decide the same twice, or another machine made the run"
    )


def _gaps(run: Run, replayed: Replayed) -> Iterator[_Gap]:
    session = str(replayed.result.sessions[replayed.t])
    yield from _of_account(run, replayed, session)
    said = run.decisions[run.decisions["session"] == session]
    if bool(len(said)) is not replayed.decided:
        has, replay_has = ("no", "one") if replayed.decided else ("a", "none")
        yield _Gap(np.inf, f"decisions.parquet has {has} decision of {session}, and the replay {replay_has}")
    elif replayed.decided:
        yield from _of_decision(said, replayed, session)
        yield from _of_fills(run, replayed)


def _of_account(run: Run, replayed: Replayed, session: str) -> Iterator[_Gap]:
    row = run.equity[run.equity["session"] == session].iloc[0]
    for name in ("equity", "cash"):
        said, now = float(row[name]), float(getattr(replayed.result, name)[replayed.t])
        yield _Gap(abs(said - now) / float(row["equity"]), f"equity.csv, {session}: {name} is {said}, computed {now}")


def _of_decision(said: pd.DataFrame, replayed: Replayed, session: str) -> Iterator[_Gap]:
    result, t, where = replayed.result, replayed.t, f"decisions.parquet, {session}"
    names = tuple(said.columns[len(DECISION_COLUMNS) :])
    if tuple(said["symbol"]) != result.symbols:
        yield _Gap(np.inf, f"{where}: its {len(said)} symbols are not the {len(result.symbols)} of the replay")
        return
    if names != result.agent_names:
        agents = ", ".join(names) or "none", ", ".join(result.agent_names) or "none"
        yield _Gap(np.inf, f"{where}: its agents are {agents[0]}, computed {agents[1]}")
        return
    of_symbols = {"target_weight": result.target_weight[t], "executed_weight": result.executed_weight[t]}
    for name, now in of_symbols.items():
        yield _widest(f"{where}: {name} of {{}}", result.symbols, said[name].to_numpy(dtype=np.float64), now)
    if names:
        yield _widest(f"{where}: weight of {{}}", names, said[list(names)].to_numpy()[0], result.agent_weights[t])
    if replayed.learned is not None and names:
        yield _of_agents(replayed, session)
    labels = [outcome_label(int(bits)) for bits in result.outcome[t]]
    for symbol, was, now in zip(result.symbols, said["limit_applied"], labels, strict=True):
        if was != now:
            yield _Gap(np.inf, f"{where}: limit_applied of {symbol} is {was or 'none'!r}, computed {now or 'none'!r}")


def _of_agents(replayed: Replayed, session: str) -> _Gap:
    learned, result = replayed.learned, replayed.result
    assert learned is not None
    where = f"the policy's explanation of {session}"
    if learned.agents != result.agent_names:
        return _Gap(np.inf, f"{where} has the agents {', '.join(learned.agents)}, its decision other ones")
    return _widest(f"{where}: weight of {{}}", learned.agents, learned.agent_weights, result.agent_weights[replayed.t])


def _widest(where: str, names: tuple[str, ...], said: FloatArray, now: FloatArray) -> _Gap:
    gap = np.abs(said - now)
    gap[np.isnan(said) & np.isnan(now)] = 0.0
    gap = np.nan_to_num(gap, nan=np.inf)
    k = int(np.argmax(gap))
    return _Gap(float(gap[k]), f"{where.format(names[k])} is {said[k]}, computed {now[k]}")


def _of_fills(run: Run, replayed: Replayed) -> Iterator[_Gap]:
    said, now = (fills_after(table, replayed) for table in (run.trades, replayed.result.trades.table()))
    if said["fill_id"].tolist() != now["fill_id"].tolist():
        yield _Gap(np.inf, f"trades.csv has other fills of the decision: {len(said)} in all, computed {len(now)}")
        return
    for name in ("quantity", "price", "commission", "slippage"):
        was, found = (table[name].to_numpy(dtype=np.float64) for table in (said, now))
        if len(was):
            gap = _widest(f"trades.csv, fill {{}}: {name}", tuple(said["fill_id"]), was, found)
            yield gap._replace(size=gap.size / (1.0 + float(np.abs(was).max())))


def fills_after(trades: pd.DataFrame, replayed: Replayed) -> pd.DataFrame:
    """Return the fills of the session's decision, of a table with the columns of trades.csv."""
    session = fill_session(replayed)
    return trades[(trades["session"] == session) & trades["reason"].str.startswith("rebalance")]


def fill_session(replayed: Replayed) -> str:
    """Return the session whose prices fill the decision; empty where the run ends before."""
    from engine.ledger import FillTiming

    result, t = replayed.result, replayed.t
    if t + 1 == len(result.sessions):
        return ""
    return str(result.sessions[t if result.terms.timing is FillTiming.SAME_CLOSE else t + 1])

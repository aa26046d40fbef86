"""What an ensemble does: who decides over time, and whether its agents differ as they should."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from engine.arrays import FloatArray


def halves(agent_weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (T,) the summed weights of the more cautious and of the bolder half of the agents.

    Parameters
    ----------
    agent_weights : (T, A) most cautious agent first; of an odd number the middle one is in neither half. A session
        without a decision keeps the weights of the one before; NaN before the first decision.
    """
    kept = pd.DataFrame(agent_weights).ffill().to_numpy()
    half = agent_weights.shape[1] // 2
    return kept[:, :half].sum(axis=1), kept[:, agent_weights.shape[1] - half :].sum(axis=1)


def controller_metrics(agent_weights: FloatArray) -> dict[str, float]:
    """Return how the controller divides the decision between the halves; NaN where undefined, {} without agents.

    Returns
    -------
    cautious_weight, bold_weight : means over the sessions.
    cautious_volatility, bold_volatility : standard deviations (ddof 1) over the sessions.
    halves_correlation : of the two halves over the sessions. It is -1 by arithmetic for an even number of agents,
        whose halves sum to 1.
    pairs_correlation : mean correlation of a cautious with a bold agent, over all pairs: that one is not bound to be
        negative, and says whether they really take turns.
    agents_in_use : exp of the mean entropy of the weights: 1 when one agent decides, A when all count alike.
    """
    decided = agent_weights[~np.isnan(agent_weights).any(axis=1)]
    if agent_weights.shape[1] < 2 or len(decided) < 3:
        return {}
    cautious, bold = (part[~np.isnan(part)] for part in halves(agent_weights))
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(np.where(decided > 0.0, decided * np.log(decided), 0.0), axis=1)
    return {
        "cautious_weight": float(cautious.mean()),
        "bold_weight": float(bold.mean()),
        "cautious_volatility": float(cautious.std(ddof=1)),
        "bold_volatility": float(bold.std(ddof=1)),
        "halves_correlation": _correlation(cautious, bold),
        "pairs_correlation": _pairs(decided),
        "agents_in_use": math.exp(float(entropy.mean())),
    }


def dial_metrics(volatility: list[float], drawdown: list[float]) -> dict[str, float]:
    """Return whether agents, each alone, get rougher from the first to the last; {} for fewer than two.

    Parameters
    ----------
    volatility, drawdown : of each agent, most cautious first.

    Returns
    -------
    dial_volatility, dial_drawdown : rank correlation (Spearman) with the agents' order, 1 for a perfect dial.
    dial_volatility_monotone, dial_drawdown_monotone : 1.0 when none is below the one before it, else 0.0.
    """
    if len(volatility) < 2:
        return {}
    found = {}
    for name, values in (("dial_volatility", volatility), ("dial_drawdown", drawdown)):
        ranks = np.asarray(pd.Series(values).rank(), dtype=np.float64)
        found[name] = _correlation(np.arange(len(ranks), dtype=np.float64), ranks)
        found[f"{name}_monotone"] = float(bool((np.diff(values) >= 0.0).all()))
    return found


def _pairs(weights: FloatArray) -> float:
    n = weights.shape[1]
    half = n // 2
    found = [_correlation(weights[:, i], weights[:, j]) for i in range(half) for j in range(n - half, n)]
    known = [value for value in found if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _correlation(one: FloatArray, other: FloatArray) -> float:
    # A weight that never changes, but for rounding, goes with nothing.
    if min(np.ptp(one), np.ptp(other)) < 1e-12:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])

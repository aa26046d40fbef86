"""Shadow portfolios: what target weights would have earned net of costs, differentiable and without a loop."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NORMAL_TAIL = 2.0627
"""CVaR at 95 % of a normal distribution over its standard deviation: with it, both have one unit."""

YEAR = 252


def smoother(sessions: int, rate: float) -> Tensor:
    """Return the (S, S) matrix that makes targets into followed weights: f_t = f_{t-1} + rate * (w_t - f_{t-1}).

    The first followed weights are the first targets.
    """
    t = torch.arange(sessions)
    age = (t[:, None] - t[None, :]).clamp(min=0)
    matrix = rate * (1.0 - rate) ** age * (t[:, None] >= t[None, :])
    matrix[:, 0] = (1.0 - rate) ** t
    return matrix


def follow(targets: Tensor, rate: float) -> Tensor:
    """Return the followed weights of (S, ...) targets: what `smoother` does, for histories too long for a matrix."""
    followed = torch.empty_like(targets)
    followed[0] = targets[0]
    for t in range(1, len(targets)):
        torch.lerp(followed[t - 1], targets[t], rate, out=followed[t])
    return followed


def net_returns(followed: Tensor, returns: Tensor, cost: float) -> Tensor:
    """Return what followed weights earn between one fill and the next.

    Prices move the weights between two sessions, and trading back costs ``cost`` of the traded value. The purchase
    of the first session is left out, and what a portfolio of growing or shrinking equity would do beyond this.

    Parameters
    ----------
    followed : (..., S, A, N) weights after each session's trades.
    returns : (..., S, 1, N) simple returns from the fill of a session's decision to that of the next.

    Returns
    -------
    (..., S, A) simple returns.
    """
    grown = followed * (1.0 + returns)
    earned = (grown - followed).sum(dim=-1)
    drifted = grown[..., :-1, :, :] / (1.0 + earned[..., :-1, :, None])
    traded = (followed[..., 1:, :, :] - drifted).abs().sum(dim=-1)
    return earned - cost * torch.nn.functional.pad(traded, (0, 0, 1, 0))


class Quality(NamedTuple):
    """What the objective is made of; losses positive."""

    sharpe: Tensor  # annual mean over annual risk
    risk: Tensor


def quality(returns: Tensor, tail: Tensor) -> Quality:
    """Return the annual Sharpe ratio of (..., S, A) returns, with risk = (1 - tail) * std + tail * CVaR95 / 2.06.

    Parameters
    ----------
    tail : (A,) in [0, 1].
    """
    worst = max(1, returns.shape[-2] // 20)
    lost = -returns.topk(worst, dim=-2, largest=False).values.mean(dim=-2)
    risk = (1.0 - tail) * returns.std(dim=-2) + tail * lost.clamp(min=1e-5) / NORMAL_TAIL
    return Quality(returns.mean(dim=-2) / (risk + 1e-6) * YEAR**0.5, risk)

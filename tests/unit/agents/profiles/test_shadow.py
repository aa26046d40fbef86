from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.profiles.shadow import NORMAL_TAIL, follow, net_returns, quality, smoother


def test_the_smoother_follows_targets_session_by_session() -> None:
    targets = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    followed = [targets[0]]
    for target in targets[1:]:
        followed.append(followed[-1] + 0.1 * (target - followed[-1]))
    torch.testing.assert_close(smoother(30, 0.1) @ targets, torch.stack(followed))
    torch.testing.assert_close(follow(targets, 0.1), torch.stack(followed))


def test_without_smoothing_targets_are_followed_at_once() -> None:
    torch.testing.assert_close(smoother(5, 1.0), torch.eye(5))


def test_net_returns_are_those_of_an_account_that_pays_for_its_trades() -> None:
    random = np.random.default_rng(1)
    weights, returns = 0.4 * random.dirichlet(np.ones(3), 12), 0.05 * random.standard_normal((12, 3))
    expected = []
    held = weights[0]  # the first purchase is left out
    for weight, change in zip(weights, returns, strict=True):
        cost = 0.001 * np.abs(weight - held).sum()
        earned = float(weight @ change)
        expected.append(earned - cost)
        held = weight * (1 + change) / (1 + earned)
    found = net_returns(torch.tensor(weights)[:, None, :], torch.tensor(returns)[:, None, :], 0.001)
    np.testing.assert_allclose(found[:, 0].numpy(), expected, rtol=1e-12)


def test_holding_what_grows_costs_nothing() -> None:
    returns = torch.tensor([[[0.1]], [[0.1]], [[0.0]]], dtype=torch.float64)
    held = [0.5]
    for _ in range(2):
        held.append(held[-1] * 1.1 / (1 + held[-1] * 0.1))
    found = net_returns(torch.tensor(held, dtype=torch.float64)[:, None, None], returns, 0.01)
    torch.testing.assert_close(found[:, 0], torch.tensor([0.05, held[1] * 0.1, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(("tail", "tolerance"), [(0.0, 1e-5), (1.0, 0.02), (0.5, 0.02)])
def test_of_normal_returns_both_risks_are_the_deviation(tail: float, tolerance: float) -> None:
    returns = 0.01 * torch.randn(100_000, 1, generator=torch.Generator().manual_seed(2))
    found = quality(returns, torch.tensor([tail]))
    assert float(found.risk) == pytest.approx(float(returns.std()), rel=tolerance)


def test_a_fat_tail_counts_where_the_tail_does() -> None:
    returns = 0.01 * torch.randn(1000, 1, generator=torch.Generator().manual_seed(3))
    returns[::50] = -0.1
    safe = quality(returns, torch.tensor([1.0]))
    plain = quality(returns, torch.tensor([0.0]))
    assert float(safe.risk) > float(plain.risk)
    worst = np.sort(returns[:, 0].numpy())[:50].mean()
    assert float(safe.risk) == pytest.approx(-worst / NORMAL_TAIL, rel=1e-5)

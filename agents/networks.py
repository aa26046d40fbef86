"""Networks of many agents computed at once: every weight has a leading axis of agents.

| network        | input                 | hidden       | output       |
|----------------|-----------------------|--------------|--------------|
| actor          | (A, B, S)             | 256-128-64   | (A, B, N) in [-1, 1] |
| critic         | (A, B, S + N)         | 256-128-64   | (A, B, 1)    |
| safety critic  | (A, B, S + N)         | 256-128-64   | (A, B, 1) in [0, 1] |
| controller     | (1, B, S)             | 128-64       | (1, B, A) logits |

A agents, B batch, S = 1 + N + N * F state inputs, N assets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


def identity(x: Tensor) -> Tensor:
    """Return ``x``."""
    return x


class EnsembleMLP(nn.Module):
    """One multilayer perceptron per agent, ReLU between layers, all agents in one batched product a layer.

    Parameters
    ----------
    n_agents : A.
    sizes : widths from input to output.
    output : activation of the last layer.
    generator : source of the initial weights, uniform in +-1/sqrt(fan_in).
    """

    def __init__(
        self,
        n_agents: int,
        sizes: Sequence[int],
        generator: torch.Generator,
        output: Activation = identity,
    ) -> None:
        super().__init__()
        self._output = output
        weights, biases = [], []
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = 1.0 / math.sqrt(fan_in)
            weights.append(_uniform((n_agents, fan_in, fan_out), bound, generator))
            biases.append(_uniform((n_agents, 1, fan_out), bound, generator))
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)

    def forward(self, x: Tensor) -> Tensor:
        """Map (A, B, in) to (A, B, out)."""
        last = len(self.weights) - 1
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            x = self._output(x) if k == last else torch.relu(x)
        return x


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move a target network towards its source: target <- (1 - tau) * target + tau * source."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), tau)

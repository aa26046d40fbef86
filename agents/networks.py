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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

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
        return self.rest(self.first(x))

    def first(self, x: Tensor) -> Tensor:
        """Return what the first layer makes of (A, B, in), before its activation."""
        return torch.baddbmm(self.biases[0], x, self.weights[0])

    def rest(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Map what `first` returned to (A, B, out); ``frozen`` lets gradients through, and into no weight."""
        layers = list(zip(self.weights[1:], self.biases[1:], strict=True))
        if frozen:
            layers = [(weight.detach(), bias.detach()) for weight, bias in layers]
        for weight, bias in layers:
            x = torch.baddbmm(bias, torch.relu(x), weight)
        return self._output(x)


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))


def device_of(name: str) -> torch.device:
    """Return the device of a setting: ``auto`` is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Let matrix products round their factors to bfloat16 for ``bf16`` (TF32 on a GPU); sums stay float32.

    Where the processor has no instructions for it, this does nothing.
    """
    backends = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend, name in zip(backends, ("bf16", "tf32") if precision == "bf16" else before, strict=True):
        backend.fp32_precision = name
    try:
        yield
    finally:
        for backend, name in zip(backends, before, strict=True):
            backend.fp32_precision = name


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move a target network towards its source: target <- (1 - tau) * target + tau * source."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), tau)

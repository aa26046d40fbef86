from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from toys import SMALL

from agents.ensemble import Ensemble
from agents.networks import EnsembleMLP, device_of, follow, identity, products_in
from agents.settings import Settings

N_AGENTS = 10
SIZES = (7, 32, 16, 3)
# A batched product may add up its terms in another order than a plain one: some ulps (1e-7) a layer.
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}


def make_mlp(seed: int = 0, output: Callable[[Tensor], Tensor] = identity) -> EnsembleMLP:
    return EnsembleMLP(N_AGENTS, SIZES, torch.Generator().manual_seed(seed), output)


def separate_mlp(ensemble: EnsembleMLP, agent: int) -> nn.Sequential:
    """Build agent's network from torch's own layers."""
    layers: list[nn.Module] = []
    for k, (fan_in, fan_out) in enumerate(itertools.pairwise(SIZES)):
        layer = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            layer.weight.copy_(ensemble.weights[k][agent].T)
            layer.bias.copy_(ensemble.biases[k][agent, 0])
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def inputs(batch: int = 5) -> Tensor:
    return torch.randn((N_AGENTS, batch, SIZES[0]), generator=torch.Generator().manual_seed(1))


def test_an_ensemble_computes_what_ten_separate_networks_compute() -> None:
    ensemble, x = make_mlp(), inputs()
    together = ensemble(x)
    assert together.shape == (N_AGENTS, 5, SIZES[-1])
    for agent in range(N_AGENTS):
        torch.testing.assert_close(together[agent], separate_mlp(ensemble, agent)(x[agent]), **ROUNDING)


def test_an_ensemble_has_the_gradients_of_ten_separate_networks() -> None:
    ensemble, x = make_mlp(), inputs()
    ensemble(x).square().sum().backward()
    for agent in range(N_AGENTS):
        alone = separate_mlp(ensemble, agent)
        alone(x[agent]).square().sum().backward()
        linear = [layer for layer in alone if isinstance(layer, nn.Linear)]
        for k, layer in enumerate(linear):
            assert layer.weight.grad is not None
            assert layer.bias.grad is not None
            torch.testing.assert_close(ensemble.weights[k].grad[agent], layer.weight.grad.T, **ROUNDING)
            torch.testing.assert_close(ensemble.biases[k].grad[agent, 0], layer.bias.grad, **ROUNDING)


def test_agents_start_from_different_weights() -> None:
    first = make_mlp().weights[0]
    assert len({tuple(first[agent].flatten().tolist()) for agent in range(N_AGENTS)}) == N_AGENTS


def test_initial_weights_fill_the_range_that_fan_in_gives() -> None:
    ensemble = make_mlp()
    for weight, bias, fan_in in zip(ensemble.weights, ensemble.biases, SIZES, strict=False):
        bound = fan_in**-0.5
        assert float(weight.detach().abs().max()) <= bound
        # Ten agents have hundreds of weights a layer: the largest of them comes near the bound.
        assert float(weight.detach().abs().max()) > 0.95 * bound
        assert float(bias.detach().abs().max()) <= bound


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (list(make_mlp(seed).parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_an_ensemble_is_initialised_by_its_seed_alone() -> None:
    torch.manual_seed(1)
    first = Ensemble(SMALL, 19, 3, seed=5).state_dict()
    torch.manual_seed(2)
    again = Ensemble(SMALL, 19, 3, seed=5).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(
    ("output", "low", "high"), [(torch.tanh, -1.0, 1.0), (torch.sigmoid, 0.0, 1.0)], ids=["tanh", "sigmoid"]
)
def test_outputs_stay_in_the_range_of_their_activation(
    output: Callable[[Tensor], Tensor], low: float, high: float
) -> None:
    values = make_mlp(output=output)(1e3 * inputs(batch=50))
    assert low <= float(values.detach().min()) < float(values.detach().max()) <= high


def test_the_last_layer_has_no_relu() -> None:
    assert float(make_mlp()(inputs(batch=50)).detach().min()) < 0.0


def test_the_networks_of_an_ensemble_have_the_shapes_and_ranges_of_the_table() -> None:
    n_inputs, n_assets, batch = 19, 3, 40
    ensemble = Ensemble(SMALL, n_inputs, n_assets, seed=0)
    state = 100 * torch.randn((batch, n_inputs), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        actions = ensemble.proposals(state)
        taken = torch.cat([state.expand(10, -1, -1), actions], dim=-1)
        values, risks, weights = ensemble.critic(taken), ensemble.safety(taken), ensemble.agent_weights(state)
    assert actions.shape == (10, batch, n_assets)
    assert -1.0 <= float(actions.min()) < 0.0 < float(actions.max()) <= 1.0
    assert values.shape == (10, batch, 1)
    assert float(values.abs().max()) > 1.0, "values are not squashed"
    assert risks.shape == (10, batch, 1)
    assert 0.0 <= float(risks.min()) < float(risks.max()) <= 1.0
    assert weights.shape == (batch, 10)
    assert float(weights.min()) >= 0.0
    # Ten float32 numbers are added: a few ulps.
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch), rtol=0, atol=1e-6)


def test_the_published_networks_have_hidden_layers_of_256_128_and_64() -> None:
    ensemble = Ensemble(Settings(), 19, 3, seed=0)
    shapes = {
        name: [tuple(weight.shape) for weight in getattr(ensemble, name).weights]
        for name in ("actor", "critic", "safety", "controller")
    }
    hidden = [(10, 256, 128), (10, 128, 64)]
    assert shapes == {
        "actor": [(10, 19, 256), *hidden, (10, 64, 3)],
        "critic": [(10, 22, 256), *hidden, (10, 64, 1)],
        "safety": [(10, 22, 256), *hidden, (10, 64, 1)],
        "controller": [(1, 19, 128), (1, 128, 64), (1, 64, 10)],
    }


@pytest.mark.parametrize("tau", [0.0, 0.005, 0.3, 1.0])
def test_follow_moves_the_target_by_tau_of_the_way(tau: float) -> None:
    target, source = make_mlp(0), make_mlp(1)
    expected = [
        (1 - tau) * a.detach().double() + tau * b.detach().double()
        for a, b in zip(target.parameters(), source.parameters(), strict=True)
    ]
    before = [parameter.detach().clone() for parameter in source.parameters()]
    follow(target, source, tau)
    for moved, wanted in zip(target.parameters(), expected, strict=True):
        # The formula in float64; the weights are at most 1 and float32.
        torch.testing.assert_close(moved.detach().double(), wanted, rtol=0, atol=1e-7)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), before, strict=True))
    assert all(parameter.grad is None for parameter in target.parameters())


def test_a_frozen_rest_passes_the_same_gradient_and_leaves_none() -> None:
    network, x = make_mlp(output=torch.tanh), inputs()
    gradients = []
    for frozen in (False, True):
        first = network.first(x).detach().requires_grad_()
        network.zero_grad()
        network.rest(first, frozen).sum().backward()
        gradients.append(first.grad)
        assert all((p.grad is None) == (frozen or k == 0) for k, p in enumerate(network.weights))
    assert torch.equal(*gradients)
    assert torch.equal(network(x), network.rest(network.first(x), frozen=True))


def test_an_automatic_device_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device_of("auto").type == name
        assert device_of("cpu").type == "cpu"


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_precision_of_products_is_put_back(precision: str) -> None:
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    with products_in(precision):
        assert matmul.fp32_precision == ("bf16" if precision == "bf16" else before)
    assert matmul.fp32_precision == before

"""Costs: multiply-accumulates of weights, dense and live, against counts by hand."""
import pytest
import torch
from conftest import SHAPE, labelled, model, pruned_networks
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sharedlabel import choices, costs, live, pruning

MODELS = pytest.mark.parametrize("name", choices.MODELS)


def macs_live(network: nn.Module, shape: tuple) -> int:
    return costs.macs_live(pruning.masks(network), live.live_activations(network, shape))


@pytest.mark.parametrize("name, shape, classes, macs", [
    ("fc", (1, 28, 28), 10, 784 * 100 + 4 * 100 * 100 + 100 * 10),
    ("conv", (1, 28, 28), 10, 28 * 28 * (9 * 32 + 9 * 32 * 32) + 32 * 28 * 28 * 10),
    ("conv", (3, 32, 32), 100, 32 * 32 * (9 * 3 * 32 + 9 * 32 * 32) + 32 * 32 * 32 * 100),
])
def test_dense_macs_by_hand(name, shape, classes, macs):
    assert costs.macs_dense(model(name, shape=shape, classes=classes), shape) == macs


@MODELS
def test_dense_macs_are_every_weight_at_every_output_position(name):
    network, seen = model(name), []
    for module, _ in pruning.prunable_tensors(network).values():
        module.register_forward_hook(lambda m, _, out: seen.append(m.weight.numel() * out[0, 0].numel()))
    network(labelled(2)[0])
    assert costs.macs_dense(model(name), SHAPE) == sum(seen)


def test_the_compression_of_several_parts_is_that_of_their_weights_together():
    parts = {"cnn": {"params_total": 9000, "params_remaining": 7}, "head": {"params_total": 1000, "params_remaining": 3}}
    assert costs.joint_rho(parts) == pytest.approx(3) and costs.joint_rho({"cnn": parts["cnn"]}) == pytest.approx(3.109, abs=1e-3)


def test_biases_and_activations_cost_nothing():
    plain = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(8, 2, bias=False))
    more = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    assert costs.macs_dense(plain, (1, 4, 4)) == costs.macs_dense(more, (1, 4, 4)) == 9 * 2 * 4 + 16


def test_dense_macs_of_a_pruned_network_are_refused():
    network = model("fc")
    pruning.apply_masks(network, pruning.masks(network))
    with pytest.raises(ValueError, match="count before pruning"):
        costs.macs_dense(network, SHAPE)


def test_counting_leaves_the_network_as_it_is():
    network = model("conv")
    before = {name: t.clone() for name, t in network.state_dict().items()}
    costs.macs_dense(network, SHAPE)
    assert network.training and all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


@MODELS
def test_live_macs_are_the_dense_ones_where_nothing_is_pruned(name):
    assert macs_live(model(name), SHAPE) == costs.macs_dense(model(name), SHAPE)


def test_live_macs_whatever_the_modules_are_called():
    layers = {"_a": nn.Linear(2, 5), "a": nn.Linear(5, 3), "a_b": nn.Linear(3, 4), "__": nn.Sequential(nn.Linear(4, 2))}
    network = nn.Sequential()
    for name, layer in {"flatten": nn.Flatten(), **layers}.items():
        network.add_module(name, layer)
    assert macs_live(network, (2, 1, 1)) == 10 + 15 + 12 + 8 == costs.macs_dense(network, (2, 1, 1))


def test_live_macs_by_hand():
    """Of the 3 x 3 outputs of either channel, (0, 0) and (1, 1) of channel 0 and none of channel 1 are read."""
    network = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))
    masks = {name: torch.zeros_like(mask) for name, mask in pruning.masks(network).items()}
    masks["0.weight"][0, 0, 0] = True  # two weights
    masks["0.weight"][1] = True  # four, that end nowhere
    masks["3.weight"][0, [0, 4]] = True
    masks["3.weight"][1, 4] = True
    pruning.apply_masks(network, masks)
    assert macs_live(network, (1, 4, 4)) == 2 * 2 + 3


@given(case=pruned_networks(), seed=st.integers(0, 99))
def test_a_weight_fewer_never_costs_more(case, seed):
    network, shape = case
    before, masks = macs_live(*case), pruning.masks(network)
    mask = masks[list(masks)[seed % len(masks)]]
    mask.view(-1)[seed % mask.numel()] = False
    pruning.apply_masks(network, masks)
    assert macs_live(network, shape) <= before


def test_a_records_part_holds_exact_counts():
    network = model("conv", shape=(1, 28, 28), classes=10)
    assert costs.part_costs(network, (1, 28, 28), rho=3.5) == {  # Table 1: 260,384 weights, 83 left
        "params_total": 260_384, "params_remaining": 83, "macs_dense": 7_702_016, "macs_live": 0,
    }

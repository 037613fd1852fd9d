"""Pruning with side information: SNIP on the losses of tuples, by hand; any score per MAC under a budget of MACs."""
import math

import pytest
import torch
from conftest import CLASSES, SHAPE, labelled, model, run_notebook
from torch import nn

from sharedlabel import costs, live, losses, pruning
from sharedlabel.pruning import scores

TOLD = ("snip_tuple", "snip_half")


def two_classes():
    """One input x, logits (w0 x, w1 x) with w0 - w1 = ln 3, so that p0 = 3^x / (3^x + 1); two images a class, of means 1 and 0."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[math.log(3) + 2], [2.0]]))
    images, labels = torch.tensor([0.0, 2.0, 1.0, -1.0]).view(4, 1, 1, 1), torch.tensor([0, 0, 1, 1])
    return network, (images, labels)


def scores_of(pruner: str, network, batch) -> dict[str, torch.Tensor]:
    return pruning.PRUNERS[pruner](network, {name: w.detach() for name, w in pruning.weights(network).items()}, batch, None)


@pytest.mark.parametrize("pruner, slope", [
    ("snip", (0 - 2 / 10 + 3 / 4 - 1 / 4) / 4),  # (p0 - [class 0]) x of the four images, mean
    ("snip_tuple", (3 / 4 - 1) / 2),  # the same of the two classes' mean images, 1 and 0
    ("snip_half", (3 / 40 - 1 / 8) / 2),
])
def test_sensitivity_to_tuples_by_hand(pruner, slope):
    network, batch = two_classes()
    expected = abs(slope) * torch.tensor([[math.log(3) + 2], [2.0]])  # dL/dw1 = -dL/dw0
    torch.testing.assert_close(scores_of(pruner, network, batch)["1.weight"], expected)


def test_of_one_image_a_class_all_three_are_snip():
    network, batch = model("conv"), (labelled()[0][:CLASSES], torch.arange(CLASSES))
    for pruner in TOLD:
        torch.testing.assert_close(scores_of(pruner, network, batch), scores_of("snip", network, batch))


@pytest.mark.parametrize("pruner", TOLD)
def test_the_losses_are_those_of_section_4_2(pruner, monkeypatch):
    seen = []
    monkeypatch.setattr(scores, "sensitivity", lambda network, weights, batch, loss: seen.append(loss))
    pruning.PRUNERS[pruner](None, None, None, None)
    assert seen == [{"snip_tuple": losses.average_same_label, "snip_half": losses.balanced}[pruner]]


@pytest.mark.parametrize("pruner", TOLD)
def test_a_batch_that_lacks_a_class_is_refused(pruner):
    with pytest.raises(ValueError, match=f"no image of class {CLASSES - 1};"):
        pruning.prune(model("fc"), pruner, 1.0, (torch.randn(CLASSES - 1, *SHAPE), torch.arange(CLASSES - 1)), iterations=1)


# ---- MACs


def kept(scores_, macs, budget, alive=None):
    given = [{"a": torch.tensor(each)} for each in (scores_, macs)]
    alive = {"a": torch.ones(len(macs), dtype=torch.bool) if alive is None else torch.tensor(alive)}
    return pruning.keep_within(*given, alive, budget)["a"].tolist()


def test_the_best_scores_per_mac_that_the_budget_pays_for_are_kept():
    given = [6.0, 4.0, 3.0, 1.0], [3, 1, 1, 1]  # per MAC 2, 4, 3, 1
    assert kept(*given, 2) == [False, True, True, False]
    assert kept(*given, 4) == [False, True, True, False]  # the third best costs 3; what is worse is not taken in its place
    assert kept(*given, 5) == [True, True, True, False]
    assert kept(*given, 6) == [True] * 4
    assert kept(*given, 0) == [False, True, False, False]  # never none
    assert kept(*given, 4, alive=[True, False, True, True]) == [True, False, True, False]
    assert kept([1.0, 1.0, 1.0], [2, 2, 2], 4) == [True, True, False]  # ties by position


def test_what_costs_nothing_is_scored_as_one_mac_and_paid_nothing():
    assert kept([0.5, 4.0, 1.0], [0, 2, 1], 2) == [False, True, False] and kept([0.5, 4.0, 1.0], [0, 2, 1], 3) == [True, True, True]
    assert kept([5.0, 4.0], [0, 1], 1) == [True, True]


def test_of_two_weights_with_the_same_negative_score_the_dearer_one_goes_first():
    assert kept([-1.0, -1.0, 2.0], [3, 1, 1], 2) == [False, True, True]


def small_conv() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 16, 2))


def test_a_convolutions_weight_costs_as_many_macs_as_positions_are_read_behind_it():
    network = small_conv()
    macs = costs.weight_macs(network, (1, 4, 4))
    whole = pruning.masks(network)
    found = macs(whole)
    assert found["0.weight"].unique().tolist() == [16] and found["3.weight"].unique().tolist() == [1]
    assert sum(int(each.sum()) for each in found.values()) == costs.macs_dense(network, (1, 4, 4))
    alive = {name: mask.clone() for name, mask in whole.items()}
    alive["3.weight"][:] = False
    alive["3.weight"][:, 5] = True  # both classes read position 5 of channel 0
    alive["3.weight"][0, 9] = True
    found = macs(alive)
    assert found["0.weight"].flatten(1).tolist() == [[2] * 9, [0] * 9]
    assert not hasattr(network[0], "weight_mask")


@pytest.mark.parametrize("pruner", ("synflow", "snip", *TOLD))
@pytest.mark.parametrize("name", ("fc", "conv", "wideresnet20"))
def test_the_live_network_keeps_to_the_budget_of_macs(name, pruner):
    network = model(name)
    dense = costs.macs_dense(network, SHAPE)
    masks = pruning.prune(network, pruner, 0.7, labelled(), iterations=8, macs=costs.weight_macs(network, SHAPE))
    need = live.live_activations(network, SHAPE)
    spent = costs.macs_live(masks, need)
    assert 0.6 * dense / 10**0.7 < spent <= dense / 10**0.7 + 1
    assert all(bool((mask.flatten(1).any(1) <= (used > 0)).all()) for mask, used in zip(masks.values(), costs.uses(masks, need).values()))


def test_weights_that_are_cheap_are_kept_in_place_of_dear_ones():
    by_weights, by_macs = model("conv"), model("conv")
    pruning.prune(by_weights, "synflow", 1.5, labelled(), iterations=20)
    pruning.prune(by_macs, "synflow", 1.5, labelled(), iterations=20, macs=costs.weight_macs(by_macs, SHAPE))
    left = [[int(mask.sum()) for mask in pruning.masks(network).values()] for network in (by_weights, by_macs)]
    assert sum(left[0][:2]) > sum(left[1][:2]) and left[1][2] > 10 * left[0][2]  # convolutions, the linear layer


def test_a_budget_below_the_shortest_path_is_refused_in_macs():
    network = model("conv")
    with pytest.raises(pruning.LayerCollapse, match="rho: 9 leaves 1 of .* MACs, and this network needs at least 3"):
        pruning.prune(network, "synflow", 9, labelled(), macs=costs.weight_macs(network, SHAPE))


def test_a_run_under_a_budget_of_macs_and_a_readout_of_it(tmp_path):
    given = {"dataset": "digits", "model": "conv", "rho": 2.5, "budget": "macs", "max_epochs": 2, "prune_iterations": 10,
             "tuples_per_class": 20, "device": "cpu", "learning_rate": 2e-3}
    cnn = run_notebook("baseline", given | {"pruner": "snip_tuple"}, tmp_path)
    part = cnn["network"]["cnn"]
    assert cnn["params"]["budget"] == "macs" and list(tmp_path.rglob("digits-conv-baseline-snip_tuple-macs2.5-seed0-*.json"))
    assert part["macs_live"] <= part["macs_dense"] / 10**2.5 + 1
    index = [t for name, t in cnn["checkpoint"].items() if name.endswith("index")]
    assert part["params_remaining"] == sum(map(len, index))
    rho = math.log10(part["params_total"] / part["params_remaining"])
    assert cnn["measures"][0]["relative_information"] == pytest.approx(cnn["measures"][0]["information_gain"] * rho, rel=1e-5)
    read = run_notebook("readout", given | {"pruner": "snip_tuple", "readout": "lda"}, tmp_path)
    assert read["network"]["cnn"] == part


def test_old_names_do_not_say_that_rho_counts_weights(tmp_path):
    given = {"dataset": "digits", "model": "fc", "rho": 1.0, "n": [1], "max_epochs": 1, "prune_iterations": 2, "tuples_per_class": 5}
    assert "budget" not in run_notebook("balanced", given, tmp_path)["params"]
    assert list(tmp_path.rglob("*-rho1-seed0-*.json"))

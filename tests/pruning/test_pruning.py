"""Pruning: exact counts, masks that only shrink, no dead network passed on, and SynFlow as its paper defines it."""
import copy
import math

import pytest
import torch
from conftest import CLASSES, count, generator, labelled, masks_at_random, model, small_networks, total
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune
from torchvision.models import resnet

from sharedlabel import choices, heads, live, models, pruning

MODELS = pytest.mark.parametrize("name", choices.MODELS)
PRUNERS = pytest.mark.parametrize("pruner", pruning.PRUNERS)

MODEST = 0.25  # in a few rounds every pruner leaves every network connected at this rho; SNIP, magnitude and others do not at 1


def prune(network: nn.Module, pruner: str = "synflow", rho: float = MODEST, **settings) -> dict[str, torch.Tensor]:
    shape = settings.pop("shape", (3, 8, 8))
    return pruning.prune(network, pruner, rho, labelled(shape=shape), generator=generator(2), **settings)


def scores(network: nn.Module, shape: tuple) -> dict[str, torch.Tensor]:
    return pruning.scores.synflow(network, pruning.weights(network), (torch.empty(1, *shape), None))


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in network.state_dict().items()}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def subset(fewer: dict[str, torch.Tensor], more: dict[str, torch.Tensor]) -> bool:
    return all(not (fewer[name] & ~more[name]).any() for name in more)


def rho_leaving(weights_left: int, of: int) -> float:
    return math.log10(of / (weights_left - 0.5))  # between the two where the count changes


# ---- how many weights are left


@given(left=st.integers(1, 10**6), rho=st.integers(0, 6))
def test_remaining_is_exact_where_the_ratio_is_whole(left, rho):
    assert pruning.remaining_weights(left * 10**rho, rho) == left
    assert pruning.remaining_weights(left * 10**rho + 1, rho) == left + 1 or rho == 0


@PRUNERS
@given(rho=st.floats(0, MODEST))
def test_prune_leaves_exactly_the_count_asked_for(pruner, rho):
    network = model("fc", classes=CLASSES)
    masks = prune(network, pruner, rho, iterations=3)
    assert count(masks) == math.ceil(total(network) / 10**rho)


@PRUNERS
@MODELS
def test_every_pruner_prunes_every_network_to_the_count(name, pruner):
    network = model(name)
    assert count(prune(network, pruner, iterations=1)) == pruning.remaining_weights(total(network), MODEST)


def test_rho_0_keeps_every_weight():
    network = model("fc")
    assert count(prune(network, rho=0.0)) == total(network)


@PRUNERS
def test_masks_are_pytorchs_own_and_keep_the_weights_values(pruner):
    network = model("conv")
    before = {name: w.detach().clone() for name, w in pruning.weights(network).items()}
    masks = prune(network, pruner, iterations=2)
    assert torch_prune.is_pruned(network)
    for name, (module, _) in pruning.prunable_tensors(network).items():
        assert torch.equal(module.weight_mask.bool(), masks[name])
        assert torch.equal(module.weight_orig, before[name])
        assert torch.equal(module.weight, before[name] * masks[name])


# ---- keep_top: which ones


@st.composite
def scored(draw):
    """Scores with many ties, a mask of those still alive, and how many of them to keep."""
    shapes = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=4))
    values, alive = {}, {}
    for i, (rows, columns) in enumerate(shapes):
        entries = st.lists(st.integers(-1, 2), min_size=rows * columns, max_size=rows * columns)
        values[str(i)] = torch.tensor(draw(entries)).double().view(rows, columns)
        alive[str(i)] = torch.tensor(draw(entries)).view(rows, columns) > -1
    assume(count(alive))
    return values, alive, draw(st.integers(1, count(alive)))


@given(case=scored())
def test_keep_top_keeps_exactly_the_best_of_those_alive_whatever_ties(case):
    values, alive, keep = case
    kept = pruning.keep_top(values, alive, keep)
    assert count(kept) == keep
    assert subset(kept, alive)
    best = torch.cat([values[name][alive[name]] for name in alive]).sort(descending=True).values[:keep]
    assert torch.equal(torch.cat([values[name][kept[name]] for name in kept]).sort(descending=True).values, best)


def test_keep_top_never_revives_the_best_weight():
    values, alive = {"a": torch.tensor([9.0, 1.0, 2.0])}, {"a": torch.tensor([False, True, True])}
    assert pruning.keep_top(values, alive, 2)["a"].tolist() == [False, True, True]


def test_keep_top_compares_weights_of_all_layers():
    values = {"a": torch.tensor([1.0, 4.0]), "b": torch.tensor([2.0, 3.0])}
    kept = pruning.keep_top(values, {name: torch.ones(2, dtype=torch.bool) for name in values}, 2)
    assert kept["a"].tolist() == [False, True] and kept["b"].tolist() == [False, True]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(bad):
    values = {"a": torch.tensor([1.0, bad])}
    with pytest.raises(FloatingPointError, match="not finite"):
        pruning.keep_top(values, {"a": torch.ones(2, dtype=torch.bool)}, 1)


# ---- the rounds


@pytest.fixture
def rounds(monkeypatch):
    """The masks after each round, as pruning goes on."""
    seen, keep_top = [], pruning.keep_top

    def watched(*arguments):
        seen.append(keep_top(*arguments))
        return seen[-1]

    monkeypatch.setattr(pruning, "keep_top", watched)
    return seen


@PRUNERS
def test_each_round_only_removes(rounds, pruner):
    network = model("fc")
    masks = prune(network, pruner, iterations=8)
    assert all(subset(later, earlier) for earlier, later in zip(rounds, rounds[1:]))
    assert same(masks, rounds[-1])


def test_rounds_follow_the_exponential_schedule(rounds):
    network = model("fc")
    prune(network, rho=2.0, iterations=10)
    weights_total = total(network)
    assert [count(masks) for masks in rounds] == [math.ceil(weights_total / 10 ** (0.2 * i)) for i in range(1, 11)]


def test_a_pruned_weight_counts_as_0_in_the_next_rounds_scores(monkeypatch):
    seen = []

    def watched(network, weights, *others):
        seen.append({name: w != 0 for name, w in weights.items()})
        return pruning.scores.magnitude(network, weights, *others)

    monkeypatch.setitem(pruning.PRUNERS, "magnitude", watched)
    network = model("fc")
    prune(network, "magnitude", iterations=4)
    weights_total = total(network)
    assert [count(alive) for alive in seen] == [math.ceil(weights_total / 10 ** (MODEST / 4 * i)) for i in range(4)]


@PRUNERS
def test_the_same_seed_prunes_the_same_weights(pruner):
    first, again = (prune(model("conv"), pruner, iterations=3) for _ in range(2))
    assert same(first, again)


def test_another_seed_prunes_other_weights():
    first, other = (prune(model("conv", seed=seed), iterations=3) for seed in (0, 1))
    assert not same(first, other)


# ---- SynFlow


@given(case=small_networks())
def test_synflows_sums_are_conserved_from_layer_to_layer(case):
    sums = [float(score.sum()) for score in scores(*case).values()]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-9)


@MODELS
def test_synflows_sums_agree_where_all_paths_pass(name):
    """First and last layer of every network: no shortcut leads around them."""
    found = list(scores(model(name), (3, 8, 8)).values())
    assert float(found[0].sum()) == pytest.approx(float(found[-1].sum()), rel=1e-9)
    assert float(found[0].sum()) > 0


@pytest.mark.parametrize("name, block", [("resnet18", resnet.BasicBlock), ("wideresnet20", models.BasicBlock)])
def test_synflows_sums_are_conserved_across_every_cut_through_a_residual_block(name, block):
    """What a block's convolution does not carry, its shortcut does: a widening one by its weights, an identity by what passes it."""
    network, shape = model(name), (3, 16, 16)
    found, passing = scores(network, shape), {}
    network = network.double().eval()
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            tensor.copy_(torch.zeros_like(tensor) if key.endswith(("bias", "running_mean")) else tensor.abs())

    def remember(module, x, out):
        out.retain_grad()
        passing[module] = x[0], out

    blocks = {key: module for key, module in network.named_modules() if isinstance(module, block)}
    for module in blocks.values():
        module.register_forward_hook(remember)
    total = network(torch.ones(1, *shape, dtype=torch.float64)).sum()
    total.backward()
    assert len(blocks) == {"resnet18": 8, "wideresnet20": 9}[name]
    for key, module in blocks.items():
        x, out = passing[module]
        widening = [score for other, score in found.items() if other.startswith((f"{key}.downsample", f"{key}.shortcut"))]
        around = widening[0].sum() if widening else (x * out.grad).sum()
        for convolution in ("conv1", "conv2"):
            assert (found[f"{key}.{convolution}.weight"].sum() + around).item() == pytest.approx(total.item(), rel=1e-9)


def test_synflow_by_hand():
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
        network[3].weight.copy_(torch.tensor([[-5.0, 7.0]]))
    found = scores(network, (2, 1, 1))
    assert found["1.weight"].tolist() == [[5, 10], [0, 21]]  # |incoming| times |outgoing|, the input being 1
    assert found["3.weight"].tolist() == [[15, 21]]


@MODELS
def test_synflow_scores_in_float64(name):
    assert {score.dtype for score in scores(model(name), (3, 8, 8)).values()} == {torch.float64}


@MODELS
def test_synflow_sees_no_biases_no_batchnorms_means_and_no_signs(name):
    network = model(name)
    before = scores(network, (3, 8, 8))
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith(("bias", "running_mean")):
                tensor.add_(3.0)
            elif key.endswith("weight"):
                tensor.neg_()
    assert same(before, scores(network, (3, 8, 8)))


@PRUNERS
@MODELS
def test_scoring_leaves_weights_biases_and_statistics_as_they_are(name, pruner):
    network = model(name)
    before = state(network)
    pruning.PRUNERS[pruner](network, pruning.weights(network), labelled(), generator())
    assert same(before, state(network))
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


@PRUNERS
def test_pruning_changes_no_bias_and_no_batchnorm(pruner):
    network = model("wideresnet20")
    before = state(network)
    prune(network, pruner, iterations=1)
    after = state(network)
    others = [name for name in before if name in after]  # a pruned weight has moved to weight_orig
    assert len(others) == len(before) - len(pruning.prunable_tensors(network)) > 0
    assert all(torch.equal(before[name], after[name]) for name in others)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name, layers", [("fc", 6), ("conv", 3)])
def test_synflow_reaches_rho_max_on_the_papers_mnist_networks(name, layers, seed):
    """One weight a layer: no mask of fewer weights could connect the network."""
    network = model(name, seed, (1, 28, 28), 10)
    masks = prune(network, rho=rho_leaving(layers, of=total(network)), shape=(1, 28, 28))
    assert [int(mask.sum()) for mask in masks.values()] == [1] * layers


def test_synflow_nearly_reaches_rho_max_past_residual_blocks():
    """Four weights could do it, over both widening shortcuts; SynFlow may go by two convolutions instead of either."""
    network = model("wideresnet20", shape=(1, 28, 28), classes=10)
    assert count(prune(network, rho=rho_leaving(6, of=total(network)), shape=(1, 28, 28))) == 6


@given(case=small_networks(), data=st.data())
def test_synflow_connects_wherever_any_mask_could(case, data):
    network, shape = case
    full, dense = pruning.masks(network), copy.deepcopy(network)
    assume(pruning.connected(network, full, shape))
    left = data.draw(st.integers(len(full), count(full)), label="weights left")
    masks = prune(network, rho=rho_leaving(left, of=count(full)), shape=shape)
    assert count(masks) == left
    assert pruning.connected(dense, masks, shape)


# ---- layer collapse


@given(case=small_networks(), data=st.data())
def test_a_network_is_connected_where_some_input_is_live(case, data):
    """Found the other way round: `live.live_activations` goes backwards from the outputs."""
    network, shape = case
    masks = masks_at_random(network, data.draw)
    found = pruning.connected(network, masks, shape)
    pruning.apply_masks(network, masks)
    assert found == live.live_activations(network, shape)["input_1"].any()


@pytest.mark.parametrize("factor", [-1.0, 0.0])
def test_what_batchnorm_has_learned_disconnects_nothing(factor):
    network = model("wideresnet20")
    with torch.no_grad():
        network.bn1.weight.mul_(factor)
        network.bn1.running_mean.add_(3.0)
    assert pruning.connected(network, pruning.masks(network), (3, 8, 8))


def test_synflow_removes_whole_residual_branches_of_resnet18_and_keeps_it_connected():
    """At Table 1's rho of 4.5, as a network whose every layer must keep a weight would have collapsed."""
    network = model("resnet18", shape=(3, 32, 32), classes=10)
    masks = prune(network, rho=4.5, shape=(3, 32, 32), iterations=10)
    blocks = [name for name, module in network.named_modules() if isinstance(module, resnet.BasicBlock)]
    removed = [name for name in blocks if not (masks[f"{name}.conv1.weight"].any() or masks[f"{name}.conv2.weight"].any())]
    assert removed and all(name.endswith(".1") for name in removed)  # those around which an identity leads
    assert live.live_activations(network, (3, 32, 32))["x"].any()


@pytest.mark.parametrize("name, pruner, rho", [
    ("fc", "magnitude", 1.0), ("fc", "grasp", 2.5), ("conv", "random", 3.0), ("conv", "magnitude", 2.0),
])
def test_pruners_that_lose_mnists_networks_are_found_out(name, pruner, rho):
    """Far beyond what benchmarks/rho_max.md says that they bear."""
    network = model(name, shape=(1, 28, 28), classes=10)
    with pytest.raises(pruning.LayerCollapse, match=f"^{pruner} at rho {rho} left no path"):
        pruning.prune(network, pruner, rho, labelled(10, (1, 28, 28), 10), 10, generator(2))


@MODELS
def test_beyond_rho_max_the_refusal_names_how_much_the_network_bears(name):
    network = model(name)
    for rho in (7.5, 308.0, 400.0):  # the last is beyond what a float holds
        expected = rf"^rho: {rho} leaves 1 of {total(network)} weights.* bears at most \d\.\d+$"
        with pytest.raises(pruning.LayerCollapse, match=expected):
            prune(network, rho=rho)


@pytest.mark.parametrize("name", ["fc", "conv"])
def test_what_the_refusal_says_it_bears_it_bears(name):
    with pytest.raises(pruning.LayerCollapse) as error:
        prune(model(name), rho=9.0)
    most = float(str(error.value).rsplit(" ", 1)[1])
    prune(model(name), rho=most)
    with pytest.raises(pruning.LayerCollapse, match=f"bears at most {most}"):  # and no more
        prune(model(name), rho=most + 2e-4)


@pytest.mark.parametrize("rho, pruner, said", [
    (5.0, "synflow", "head_rho: 5.0 leaves 1 of"), (1.0, "magnitude", "magnitude at head_rho 1.0 left no path"),
])
def test_a_collapse_names_the_parameter_that_rho_is(rho, pruner, said):
    classifier = heads.second_classifier(50, 10)
    with torch.no_grad():
        classifier[1].weight *= 1e-3  # so that magnitude leaves nothing of the layer
    with pytest.raises(pruning.LayerCollapse, match=f"^{said}"):
        pruning.prune(classifier, pruner, rho, (torch.empty(1, 50), None), 3, set_by="head_rho")


def test_a_pruner_that_cuts_the_network_is_refused_and_named(monkeypatch):
    def hates_the_last_layer(network, weights, *others):
        return {name: torch.full_like(w, name != list(weights)[-1]) for name, w in weights.items()}

    monkeypatch.setitem(pruning.PRUNERS, "magnitude", hates_the_last_layer)
    with pytest.raises(pruning.LayerCollapse, match=f"magnitude at rho {MODEST} .*: no weight is left in .*11"):
        prune(model("fc"), "magnitude")


def test_layers_whose_weights_do_not_meet_are_a_collapse_too(monkeypatch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Linear(2, 2))
    chosen = {"1.weight": torch.tensor([[1.0, 1.0], [0.0, 0.0]]), "2.weight": torch.tensor([[0.0, 1.0], [0.0, 1.0]])}
    monkeypatch.setitem(pruning.PRUNERS, "magnitude", lambda *_: chosen)
    with pytest.raises(pruning.LayerCollapse, match="every layer keeps a weight, but they do not meet"):
        prune(network, "magnitude", math.log10(2), shape=(2, 1, 1))


@pytest.mark.parametrize("how", ["too few weights", "cut"])
def test_a_refused_network_is_as_it_was(monkeypatch, how):
    def likes_none(network, weights, *others):
        return {name: w * 0 for name, w in weights.items()}

    monkeypatch.setitem(pruning.PRUNERS, "magnitude", likes_none)
    network = model("fc")
    before = state(network)
    with pytest.raises(pruning.LayerCollapse):
        prune(network, "magnitude", 9.0 if how == "too few weights" else 2.0)
    assert same(before, state(network))
    assert not torch_prune.is_pruned(network) and network.training


def test_a_network_that_is_not_on_the_cpu_is_refused():
    network = model("fc").to("meta")
    with pytest.raises(ValueError, match="the network is on meta; prune it on the CPU"):
        pruning.prune(network, "synflow", 1.0, labelled())


def test_a_pruned_network_is_not_pruned_again():
    network = model("fc")
    prune(network, iterations=2)
    with pytest.raises(ValueError, match="pruned already; build it anew"):
        prune(network)


def test_an_unknown_pruner_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match=f"pruner: 'synfow' is unknown; allowed: {', '.join(pruning.PRUNERS)}"):
        prune(model("fc"), "synfow")


def test_no_iteration_is_refused():
    with pytest.raises(ValueError, match="iterations: 0 is not allowed"):
        prune(model("fc"), iterations=0)

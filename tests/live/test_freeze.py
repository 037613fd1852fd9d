"""Freeze and retrain: a checkpoint comes back exactly, and what is frozen stays as it is."""
import pytest
import torch
import torch.nn.functional as F
from conftest import SHAPE, generator, labelled, model

from sharedlabel import live, pruning
from sharedlabel.runs import checkpoints


def pruned(name, seed=0):
    network = model(name, seed)
    pruning.prune(network, "random", 0.5, labelled(), iterations=1, generator=generator(seed))
    return live.build(network, SHAPE)


def train(small, steps=3):
    images, labels = labelled()
    optimizer = torch.optim.Adam([p for p in small.parameters() if p.requires_grad], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(small(images.flatten(1)[:, small.columns]), labels).backward()
        optimizer.step()


def outputs(small):
    small.eval()
    return small(labelled()[0].flatten(1)[:, small.columns])


@pytest.mark.parametrize("name", ("fc", "conv", "wideresnet20"))
def test_a_restored_network_gives_the_trained_ones_outputs(name, tmp_path):
    trained, fresh = pruned(name), pruned(name)
    train(trained)
    assert not torch.equal(outputs(trained), outputs(fresh))
    fresh.load_sparse_state(checkpoints.live_tensors(trained))
    assert torch.equal(outputs(trained), outputs(fresh))


@pytest.mark.parametrize("name", ("fc", "conv", "resnet18", "wideresnet20"))
def test_a_checkpoint_says_what_was_pruned(name):
    trained, network = pruned(name), model(name, seed=1)  # whose own pruning would keep others
    train(trained)
    tensors = checkpoints.live_tensors(trained)
    pruning.apply_masks(network, checkpoints.masks(network, tensors))
    again = live.build(network, SHAPE)
    again.load_sparse_state(tensors)
    assert torch.equal(outputs(trained), outputs(again))
    live.write_back(again, network)
    torch.testing.assert_close(network.eval()(labelled()[0]), outputs(trained), rtol=1e-4, atol=1e-5)


def test_masks_of_another_networks_checkpoint_are_refused():
    tensors = checkpoints.live_tensors(pruned("fc"))
    first = next(name for name in tensors if name.endswith(".index"))
    for other in (model("conv"), model("wideresnet20")):
        with pytest.raises(ValueError, match="the checkpoint is of another network"):
            checkpoints.masks(other, tensors)
    with pytest.raises(ValueError, match="the checkpoint is of another network"):
        checkpoints.masks(model("fc"), tensors | {first: tensors[first] + 10**6})


def test_a_checkpoint_of_another_mask_or_network_is_refused():
    for other in (pruned("fc", seed=1), pruned("conv")):
        with pytest.raises(ValueError, match="pruned differently"):
            pruned("fc").load_sparse_state(checkpoints.live_tensors(other))
    state = checkpoints.live_tensors(pruned("fc"))
    values = next(name for name in state if name.endswith(".values"))
    with pytest.raises(ValueError, match="pruned differently"):  # one number would be every weight's
        pruned("fc").load_sparse_state(state | {values: state[values][:1]})


@pytest.mark.parametrize("name, free, learning", [("fc", 2, ("9.", "11.")), ("conv", 1, ("5.",)), ("wideresnet20", 1, ("fc.",))])
def test_only_the_free_layers_learn(name, free, learning):
    small = pruned(name)
    live.freeze(small, free)
    before = checkpoints.live_tensors(small)
    before = {key: t.clone() for key, t in before.items()}
    train(small)
    changed = {key for key, t in checkpoints.live_tensors(small).items() if not torch.equal(t, before[key])}
    assert changed == {key for key in before if key.startswith(learning) and key.endswith((".values", ".bias"))}


@pytest.mark.parametrize("by_maps", [False, True])
@pytest.mark.parametrize("name", ("fc", "conv", "wideresnet20"))
def test_what_is_frozen_can_be_computed_once_and_the_rest_learns_as_the_whole_does(name, by_maps):
    for free in range(1, 7 if name == "fc" else 4):
        whole, parted = pruned(name).double(), pruned(name).double()
        whole.by_maps = parted.by_maps = by_maps  # as on a GPU
        live.freeze(whole, free)
        frozen, rest = live.freeze(parted, free)
        images, labels = labelled()
        pixels = images.double().flatten(1)[:, whole.columns]
        frozen.eval()
        with torch.no_grad():
            rows = frozen(pixels)
        assert rows.shape == (len(images), len(rest.columns))
        assert {p for p in parted.parameters() if p.requires_grad} <= set(rest.parameters())
        optimizers = [torch.optim.Adam([p for p in each.parameters() if p.requires_grad], lr=0.1) for each in (whole, rest)]
        for _ in range(3):
            for network, x, optimizer in ((whole, pixels, optimizers[0]), (rest, rows, optimizers[1])):
                optimizer.zero_grad()
                F.cross_entropy(network(x), labels).backward()
                optimizer.step()
        trained, expected = checkpoints.live_tensors(parted), checkpoints.live_tensors(whole)  # they share their layers
        for key, t in trained.items():
            torch.testing.assert_close(t, expected[key], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ("fc", "conv", "wideresnet20"))
def test_gradients_pass_through_both_parts(name):
    """Of the map between them some positions may be dead, and nothing comes from these."""
    network = model(name).double()
    pruning.prune(network, "random", 2.0, labelled(), iterations=1, generator=generator())
    for free in range(1, 4):
        whole = live.build(network, SHAPE)
        frozen, rest = live.freeze(live.build(network, SHAPE), free)
        found = []
        for forward in (whole, lambda x, frozen=frozen, rest=rest: rest(frozen(x))):
            for each in (whole, frozen, rest):
                each.eval()
            pixels = labelled()[0].double().flatten(1)[:, whole.columns].requires_grad_()
            for _ in range(2):  # the second finds what the first left behind
                found.append(torch.autograd.grad(forward(pixels).square().sum(), pixels)[0])
        for each in found[1:]:
            torch.testing.assert_close(each, found[0], rtol=0, atol=1e-9)


def test_the_parts_of_a_first_freezing_still_compute_the_network_after_a_second():
    small = pruned("fc")
    frozen, rest = live.freeze(small, 3)
    live.freeze(small, 1)
    pixels = labelled()[0].flatten(1)[:, small.columns]
    torch.testing.assert_close(rest(frozen(pixels)), small(pixels))


@pytest.mark.parametrize("free", [0, 7])
def test_more_frozen_layers_than_there_are_is_refused(free):
    with pytest.raises(ValueError, match=f"free_layers: {free} .* from 1 to 6"):
        live.freeze(pruned("fc"), free)

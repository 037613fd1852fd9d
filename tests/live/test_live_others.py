"""Networks that are not this repository's: what was found wrong by trying them, a test each."""
import copy
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import generator, labelled
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from sharedlabel import ROOT, choices, costs, live, models, pruning
from sharedlabel.live import compiled

SHAPE = (2, 6, 6)
CLOSE = dict(rtol=0, atol=1e-10)


class Net(nn.Module):
    """A convolution, a BatchNorm and a classifier; `forward` is given."""

    def __init__(self, forward=None):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()
        self.flatten, self.linear = nn.Flatten(), nn.Linear(48, 4)
        self.way = forward or (lambda net, x: net.linear(net.flatten(net.relu(net.norm(net.conv(x))))))

    def forward(self, x):
        return self.way(self, x)


def pruned(forward=None, amount: float = 0.5) -> Net:
    torch.manual_seed(0)
    network = Net(forward).double()
    for module in (network.conv, network.linear):
        prune.random_unstructured(module, "weight", amount)
    return network


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, *SHAPE, generator=generator(1)).double()


def said(small: live.LiveNetwork, x: torch.Tensor) -> torch.Tensor:
    return small(x.flatten(1)[:, small.columns])


def test_a_network_in_evaluation_mode_gives_one_in_evaluation_mode():
    for training in (True, False):
        network = pruned().train(training)
        small = live.build(network, SHAPE)
        assert small.training == network.training == training
        torch.testing.assert_close(said(small, images()), network(images()), **CLOSE)


def test_tracing_leaves_a_network_as_it_is():
    network = pruned()
    network.norm.eval()
    network.norm.weight.requires_grad_(False)
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    for read in (live.trace, live.live_activations, live.build):
        read(network, SHAPE)
        assert [module.training for module in network.modules()] == modes
        assert not network.norm.weight.requires_grad and network.norm.bias.requires_grad
        assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_a_frozen_batchnorm_stays_frozen():
    network = pruned()
    network.norm.eval()
    small = live.build(network, SHAPE)
    before = small.running.clone()
    torch.testing.assert_close(said(small, images()), network(images()), **CLOSE)
    assert torch.equal(small.running, before) and not small.batches.any()


def test_a_batchnorm_in_training_mode_moves_whether_it_learns_or_not():
    network = pruned()
    network.norm.requires_grad_(False)
    small = live.build(network, SHAPE)
    torch.testing.assert_close(said(small, images()), network(images()), **CLOSE)
    torch.testing.assert_close(small.running, torch.stack([network.norm.running_mean, network.norm.running_var]), **CLOSE)
    network.eval().norm.train()
    with pytest.raises(TypeError, match="^layer 'norm' .BatchNorm2d. is in training mode within a network in evaluation mode$"):
        live.build(network, SHAPE)


def test_what_has_no_gradient_learns_nothing():
    network = pruned()
    network.conv.weight_orig.requires_grad_(False)
    small = live.build(network, SHAPE)
    optimizer = torch.optim.Adam([p for p in small.parameters() if p.requires_grad], lr=0.1)
    before = {name: t.clone() for name, t in small.sparse_state().items()}
    said(small, images()).sum().backward()
    optimizer.step()
    changed = {name for name, t in small.sparse_state().items() if not torch.equal(t, before[name])}
    assert "conv.values" not in changed and {"conv.bias", "linear.values", "linear.bias"} <= changed


def keeps_features(net, x):
    net.features = net.relu(net.norm(net.conv(x)))
    return net.linear(net.flatten(net.features))


def test_a_network_that_stores_an_activation_is_pruned_and_shrunk():
    torch.manual_seed(0)
    network = Net(keeps_features)
    network(images().float())
    kept = network.features
    pruning.prune(network, "synflow", 0.5, labelled(8, SHAPE, 4), 3)
    small = live.build(network, SHAPE)
    assert network.features.shape[1:] == kept.shape[1:]
    torch.testing.assert_close(said(small, images().float()), network(images().float()))


def test_relu_after_relu_can_be_trained():
    network = pruned(lambda net, x: net.linear(net.flatten(F.relu(net.relu(F.relu(net.norm(net.conv(x))))))))
    small = live.build(network, SHAPE)
    outputs, expected = said(small, images()), network(images())
    outputs.square().sum().backward()
    expected.square().sum().backward()
    layer = small.layers["conv"]
    found = small.learning.grad[layer.places["values"] :][: layer.sizes["values"]]
    torch.testing.assert_close(found, network.conv.weight_orig.grad.flatten()[layer.index], **CLOSE)


def changes(step):
    """The way of a network in which `step` changes the convolution's map."""
    def way(net, x):
        y = net.conv(x)
        return net.linear(net.flatten(step(net, y)))
    return way


def adds_to_another_name(net, y):
    z = y
    z += net.norm(y)
    return y


def rectifies_a_view(net, y):
    rectified = torch.relu_(torch.flatten(y, 1))
    return net.flatten(y) + rectified


IN_PLACE = {
    "block": lambda net, y: net.norm(net.relu(y)) + y, "function": lambda net, y: net.norm(F.relu(y, inplace=True)) + y,
    "ignored": lambda net, y: (net.relu(y), y)[1], "method": lambda net, y: (y.relu_(), y)[1], "view": rectifies_a_view,
    "name": adds_to_another_name,
}


@pytest.mark.parametrize("way", IN_PLACE)
def test_an_activation_that_is_changed_in_place_and_read_again_is_refused(way):
    network = pruned(changes(IN_PLACE[way]))
    network.relu.inplace = True
    message = "Net computes other than" if way == "name" else "layer 'conv' .Conv2d. is changed in place before '.*' reads it$"
    with pytest.raises(TypeError, match=f"^{message}"):
        live.build(network, SHAPE)


def adds_in_place(net, y):
    y += net.norm(y)
    return net.relu(y)


@pytest.mark.parametrize("weight", [1.0, float("nan")])
def test_an_activation_that_is_changed_in_place_for_its_only_reader_is_not_refused(weight):
    network = pruned(changes(adds_in_place)).eval()
    network.relu.inplace = True
    with torch.no_grad():
        network.conv.weight_orig[0] *= weight
    torch.testing.assert_close(said(live.build(network, SHAPE), images()), network(images()), equal_nan=True, **CLOSE)


def features_and_more(net, x):
    x = net.relu(net.norm(net.conv(x)))
    net.linear(net.flatten(x))  # which nobody reads
    return x


def test_features_come_in_order_where_a_classifier_is_computed_for_nobody():
    network = pruned(features_and_more)
    small = live.build(network, SHAPE)
    assert set(small.layers) == {"conv", "norm"}
    torch.testing.assert_close(said(small, images()), network(images()).flatten(1), **CLOSE)


@pytest.mark.parametrize("pruner", ["magnitude", "snip", "grasp", "synflow"])
def test_a_classifier_of_zeros_is_refused(pruner):
    network = Net()
    nn.init.zeros_(network.linear.weight)
    nn.init.zeros_(network.linear.bias)
    with pytest.raises(ValueError, match="the weights of linear.weight are all 0"):
        pruning.prune(network, pruner, 1.0, labelled(8, SHAPE, 4), 2)


@pytest.mark.parametrize("by_maps", [False, True])
@pytest.mark.parametrize("cut", ["conv", "linear"])
def test_masks_that_cut_every_path_leave_the_biases_to_learn(cut, by_maps):
    network = pruned()
    prune.custom_from_mask(getattr(network, cut), "weight", torch.zeros_like(getattr(network, cut).weight))
    small = live.build(network, SHAPE)
    small.by_maps = by_maps
    assert small.columns.numel() == 0
    outputs, expected = said(small, images()), network(images())
    torch.testing.assert_close(outputs, expected, **CLOSE)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    layer = small.layers["linear"]
    torch.testing.assert_close(small.learning.grad[layer.places["bias"] :][:4], network.linear.bias.grad, **CLOSE)


@pytest.mark.parametrize("layer", [nn.Bilinear(4, 4, 3), nn.ConvTranspose2d(2, 2, 3), nn.Conv3d(1, 1, 1), nn.Embedding(3, 2)])
def test_dense_macs_of_a_layer_that_is_not_known_are_refused(layer):
    class With(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            if isinstance(self.layer, nn.Bilinear):
                return self.layer(x, x)
            return self.layer(x.long() if isinstance(self.layer, nn.Embedding) else x)

    shape = {nn.Bilinear: (4,), nn.ConvTranspose2d: (2, 4, 4), nn.Conv3d: (1, 2, 2, 2), nn.Embedding: (3,)}[type(layer)]
    with pytest.raises(TypeError, match=rf"'layer' \({type(layer).__name__}\) has weights that macs_dense does not know"):
        costs.macs_dense(With(), shape)


def test_a_batchs_message_is_about_the_outputs_not_the_last_registered_layer():
    class Backwards(nn.Module):
        """Its first layer is registered last, and has eleven outputs."""

        def __init__(self):
            super().__init__()
            self.last, self.flatten, self.first = nn.Linear(11, 4), nn.Flatten(), nn.Linear(72, 11)

        def forward(self, x):
            return self.last(torch.relu(self.first(self.flatten(x))))

    x, labels = labelled(8, SHAPE, 4)
    pruning.prune(Backwards(), "snip", 0.5, (x, labels), 2)
    with pytest.raises(ValueError, match="no image of class 3;"):
        pruning.prune(Backwards(), "snip", 0.5, (x, labels.clamp(max=2)), 2)


def test_a_network_of_half_precision_is_computed_in_single():
    network = pruned().half()
    small = live.build(network, SHAPE)
    outputs = said(small, images().half())
    assert outputs.dtype == small.learning.dtype == torch.float16
    torch.testing.assert_close(outputs.double(), copy.deepcopy(network).double()(images().half().double()), rtol=1e-2, atol=1e-2)
    outputs.sum().backward()
    assert small.learning.grad.dtype == torch.float16 and small.learning.grad.isfinite().all()
    live.write_back(small, network)


def test_statistics_move_in_another_type_than_the_parameters():
    network = pruned().float()
    small = live.build(network, SHAPE)
    small.running = small.running.double()
    said(small, images().float()), network(images().float())
    torch.testing.assert_close(small.running.float(), torch.stack([network.norm.running_mean, network.norm.running_var]))


def test_tensors_of_several_types_are_refused():
    network = pruned().half()
    network.norm.float()
    with pytest.raises(TypeError, match="^layer 'norm' .BatchNorm2d. has a tensor of torch.float32, where .* is of torch.float16$"):
        live.build(network, SHAPE)


@pytest.mark.parametrize("by_maps", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_an_empty_batch_moves_no_statistics_and_counts(by_maps, training):
    network = pruned().train(training)
    small = live.build(network, SHAPE)
    small.by_maps, empty = by_maps, images()[:0]
    outputs = said(small, empty)
    assert outputs.shape == network(empty).shape
    outputs.sum().backward()
    assert not small.learning.grad.any() and small.batches.item() == network.norm.num_batches_tracked.item() == training
    assert torch.equal(small.running, torch.stack([network.norm.running_mean, network.norm.running_var]))


def test_a_network_whose_weights_lie_channels_last_is_written_back():
    network = pruned().to(memory_format=torch.channels_last)
    small = live.build(network, SHAPE)
    with torch.no_grad():
        small.learning += 1
    live.write_back(small, network)
    torch.testing.assert_close(said(small, images()), network(images()), **CLOSE)


@pytest.mark.parametrize("by_maps", [False, True])
@pytest.mark.parametrize("shape, layers", [
    ((4, 5), [nn.Flatten(), nn.Linear(20, 3)]), ((2, 3, 2, 2), [nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)]),
    ((1, 4, 4), [nn.AvgPool2d(2), nn.Flatten()]), ((1, 4), [nn.Flatten(0, 1), nn.Linear(4, 3)]), ((2, 3), [nn.ReLU()]),
])
def test_inputs_of_any_shape_and_a_network_without_parameters(by_maps, shape, layers):
    network = nn.Sequential(*layers)
    small, x = live.build(network, shape), torch.randn(5, *shape, generator=generator())
    small.by_maps = by_maps
    torch.testing.assert_close(said(small, x), network(x).flatten(1))


@pytest.mark.parametrize("shape, layer", [
    ((4, 4), nn.AvgPool2d(2)), ((4, 4), nn.AdaptiveAvgPool2d(2)), ((2, 3, 4), nn.Flatten(0, 2)),
    ((1, 1, 4), nn.MaxPool2d(2, 1, 1, dilation=2)),  # of padding alone
])
def test_a_layer_that_takes_its_input_for_another_is_refused(shape, layer):
    with pytest.raises(TypeError, match=f"^layer '_0' .{type(layer).__name__}. is not one"):
        live.build(nn.Sequential(layer), shape)


def test_a_mask_that_would_be_forgotten_is_refused():
    network = pruned()
    prune.random_unstructured(network.norm, "weight", 0.5)
    with pytest.raises(TypeError, match="'norm' .BatchNorm2d. is not one"):
        live.build(network, SHAPE)


def test_pixels_of_another_number_are_refused():
    small = live.build(pruned(), SHAPE)
    with pytest.raises(ValueError, match=r"\(4, 3\) is not \[batch, \d+\], the pixels at `columns`"):
        small(torch.zeros(4, 3))


def test_two_batches_may_wait_for_their_gradients():
    """Neither overwrites the other's activations, and a graph that is kept is walked twice."""
    small = live.build(pruned(), SHAPE).eval()
    gradients = []
    for together in (True, False):
        small.zero_grad()
        losses = []
        for x in (images(), 2 * images(3)):
            loss = said(small, x).square().sum()
            losses.append(loss)
            if not together:
                loss.backward()
        if together:
            losses[1].backward(retain_graph=True)
            losses[0].backward()
            losses[1].backward()
            losses[0] = said(small, images()).square().sum()
            losses[0].backward()
        gradients.append(small.learning.grad.clone() / (2 if together else 1))
    torch.testing.assert_close(*gradients, **CLOSE)


def test_arrays_are_lent_to_one_thread_at_a_time():
    class Slow(compiled.Arrays):
        """Another thread comes between finding a pair and taking it."""

        def __iter__(self):
            for pair in super().__iter__():
                time.sleep(0.1)
                yield pair

    free = Slow([(np.zeros(9), np.zeros(9))])
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda size: compiled.Loan(free, (size, size), np.float64), (8, 9))
    assert one.pair[0] is not other.pair[0] and not free


@pytest.mark.parametrize("by_maps", [False, True])
def test_second_derivatives_are_refused_or_there(by_maps):
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    small, x = live.build(network, (6,)), torch.randn(3, 6, generator=generator()).double().requires_grad_()
    small.by_maps = by_maps
    if by_maps:
        first = [torch.autograd.grad(each(x).square().sum(), x, create_graph=True)[0] for each in (small, network)]
        torch.testing.assert_close(*(torch.autograd.grad(each.square().sum(), x)[0] for each in first), **CLOSE)
    else:
        with pytest.raises(RuntimeError, match="no second derivatives; whole maps"):
            torch.autograd.grad(small(x).square().sum(), x, create_graph=True)
    for reentrant in (False, True):
        small.zero_grad()
        checkpoint(small, x, use_reentrant=reentrant).sum().backward()
        torch.testing.assert_close(small.learning.grad, torch.autograd.grad(small(x).sum(), small.learning)[0], **CLOSE)


def test_batchnorms_statistics_are_pytorchs_where_the_mean_is_large():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -3.0]).view(2, 1, 1, 1))
    x = torch.randn(64, 1, 9, 9, generator=generator(2)) + 50
    small, exact = live.build(network, (1, 9, 9)), copy.deepcopy(network).double()
    torch.testing.assert_close(said(small, x).double(), exact(x.double()).flatten(1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(small.running.double(), torch.stack([exact[1].running_mean, exact[1].running_var]), rtol=1e-5, atol=1e-5)


def test_a_loss_that_is_not_a_number_stays_one():
    small = live.build(pruned(), SHAPE)
    assert said(small, images() * float("nan")).isnan().all()


@pytest.mark.parametrize("name", choices.MODELS)
def test_a_copy_is_a_network_of_its_own(name):
    network = models.build(name, (3, 8, 8), 4, generator())
    pruning.prune(network, "synflow", 1.0, labelled(), 2)
    small = live.build(network, (3, 8, 8))
    said(small, torch.randn(4, 3, 8, 8)).sum().backward()
    other = copy.deepcopy(small)
    before = small.learning.detach().clone()
    with torch.no_grad():
        other.learning += 1
    assert torch.equal(small.learning, before)


@pytest.mark.slow
def test_the_process_that_compiles_computes_what_others_do(tmp_path):
    """To the last bit, of networks and heads: a record must not tell whether the compiled code lay in a cache."""
    script = """
import hashlib, torch
from sharedlabel import heads, live, models, pruning
from sharedlabel.runtime import random_stream
torch.manual_seed(0)
x, y = torch.randn(64, 1, 8, 8, generator=random_stream(0, "x")), torch.arange(64) % 10
network = models.build("conv", (1, 8, 8), 10, random_stream(0, "network"))
pruning.prune(network, "synflow", 1.5, (x, y), 10)
small, head = live.build(network, (1, 8, 8)), heads.LSTMHead(10, 10, 20)
pruning.prune(head, "synflow", 1.0, (torch.zeros(1, 3, 10), None), 10)
tiny = live.lstm.build(head)
sequences = torch.randn(64, 3, 10, generator=random_stream(0, "sequences"))[..., tiny.columns]
with torch.no_grad():
    for parameter in tiny.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=random_stream(0, "head")))
for network, inputs in ((small, x.flatten(1)[:, small.columns]), (tiny, sequences)):
    torch.nn.functional.cross_entropy(network(inputs), y).backward()
    print([hashlib.md5(p.grad.numpy().tobytes()).hexdigest() for p in network.parameters() if p.grad is not None])
"""
    where = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    said = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=where).stdout for _ in range(2)]
    assert list(tmp_path.rglob("*.nbc")) and said[0] == said[1]


def test_what_was_compiled_before_an_inlined_file_changed_is_not_used(tmp_path):
    """numba looks at a function's own file alone, so the folder of what it keeps is named by all of them."""
    made = tmp_path / "made"
    made.mkdir()
    shutil.copy(ROOT / "sharedlabel" / "live" / "vectors.py", made)
    (made / "terms.py").touch()
    (made / "kernels.py").write_text("from .gates import f\nfrom .vectors import compiled\n@compiled\ndef g():\n    return f()\n")
    command = [sys.executable, "-B", "-c", "from made.kernels import g; print(g(), sum(g.stats.cache_hits.values()))"]
    where, said = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}, []
    for value in (1, 1, 2):
        (made / "gates.py").write_text(f"from .vectors import inlined\n@inlined\ndef f():\n    return {value}\n")
        said.append(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=where).stdout)
    assert said == ["1 0\n", "1 1\n", "2 0\n"]

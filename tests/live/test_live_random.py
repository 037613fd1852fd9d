"""The live network of random architectures under random masks does what the masked network does, two hundred a run."""
import random

import pytest
import torch
import torch.nn.functional as F
from conftest import generator
from torch import nn
from torch.nn.utils import prune

from sharedlabel import costs, heads, live, models, pruning
from sharedlabel.live import compiled, terms
from sharedlabel.runs import checkpoints

PARTS = 10  # test cases of twenty architectures each


class RandomNetwork(nn.Module):
    """Up to six random stages on maps, and perhaps linear layers. `plain`: convolutions, ReLUs and sums alone."""

    def __init__(self, draw: random.Random, shape: tuple[int, int, int], plain: bool):
        super().__init__()
        self.stages, self.draw = [], draw
        for i in range(draw.randint(1, 6)):
            kinds = [self.convolution, self.convolution, self.rectifier, self.sum, self.sum_of_three]
            kinds += [] if plain else [self.batchnorm, self.batchnorm, self.pool, self.same]
            try:
                shape = draw.choice(kinds)(shape) if i else self.sum(shape)
            except RuntimeError:  # the map is smaller than the kernel
                continue
        self.linears = nn.ModuleList()
        if draw.random() < 0.7:
            widths = [shape[0] * shape[1] * shape[2], *([draw.randint(1, 5)] if draw.random() < 0.5 else []), draw.randint(1, 4)]
            self.linears.extend(nn.Linear(a, b, bias=draw.random() < 0.7) for a, b in zip(widths, widths[1:]))

    def add(self, function, *modules: nn.Module) -> None:
        for module in modules:
            self.add_module(f"part_{len(self._modules)}", module)
        self.stages.append((function, modules))

    def conv(self, shape, out: int, same: bool = False) -> nn.Conv2d:
        draw = self.draw
        kernel = tuple(draw.choice([1, 2, 3, 3, 5, 7]) for _ in range(2))
        groups = draw.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0 == out % g])
        geometry = dict(stride=1, padding="same") if same else dict(
            stride=tuple(draw.choice([1, 1, 2, 3]) for _ in range(2)), padding=tuple(draw.randint(0, 3) for _ in range(2)),
        )
        return nn.Conv2d(shape[0], out, kernel, dilation=draw.choice([1, 1, 2]), groups=groups, bias=draw.random() < 0.6, **geometry)

    def convolution(self, shape):
        conv = self.conv(shape, self.draw.randint(1, 5), same=self.draw.random() < 0.3)
        found = tuple(conv(torch.zeros(1, *shape)).shape[1:])
        self.add(conv, conv)
        return found

    def rectifier(self, shape):
        relu = self.draw.choice([nn.ReLU(), F.relu, torch.relu, lambda x: x.relu()])
        self.add(relu, *([relu] if isinstance(relu, nn.Module) else []))
        return shape

    def sum(self, shape):
        conv = self.conv(shape, shape[0], same=True)
        self.add(lambda x: x + conv(x), conv)
        return shape

    def sum_of_three(self, shape):
        one, other = (self.conv(shape, shape[0], same=True) for _ in range(2))
        self.add(lambda x: torch.add(one(x), x) + other(x), one, other)
        return shape

    def batchnorm(self, shape):
        norm = nn.BatchNorm2d(shape[0], eps=0.1, momentum=self.draw.choice([0.1, 0.5, None]))
        self.add(norm, norm)
        return shape

    def pool(self, shape):
        draw = self.draw
        size, stride = draw.randint(1, 3), draw.randint(1, 3)
        pad = draw.randint(0, size // 2)
        pool = draw.choice([
            nn.MaxPool2d(size, stride, pad, dilation=draw.choice([1, 1, 2]), ceil_mode=draw.random() < 0.3),
            nn.AdaptiveAvgPool2d(draw.randint(1, 3)),
            nn.AvgPool2d(size, stride, pad, count_include_pad=draw.random() < 0.5), nn.AvgPool2d(size, divisor_override=3),
        ])
        found = pool(torch.zeros(1, *shape))
        if found.isinf().any():  # a window of padding alone, which is refused
            return shape
        self.add(pool, pool)
        return tuple(found.shape[1:])

    def same(self, shape):
        same = nn.Identity()
        self.add(same, same)
        return shape

    def forward(self, x):
        for function, _ in self.stages:
            x = function(x)
        if len(self.linears):
            x = torch.flatten(x, 1)
            for i, linear in enumerate(self.linears):
                x = linear(F.relu(x) if i else x)
        return x


def pruned_network(seed: int) -> tuple[nn.Module, tuple[int, int, int], bool]:
    draw = random.Random(seed)
    plain = draw.random() < 0.3
    shape = (draw.randint(1, 3), draw.randint(1, 9), draw.randint(1, 9))
    torch.manual_seed(seed)
    network = RandomNetwork(draw, shape, plain).double()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            mask = torch.rand(module.weight.shape) < draw.choice([0.0, 0.05, 0.2, 0.5, 0.5, 1.0])
            mask[[row for row in range(len(mask)) if draw.random() < 0.15]] = False
            prune.custom_from_mask(module, "weight", mask)
            if module.bias is not None and draw.random() < 0.3:
                prune.custom_from_mask(module, "bias", torch.rand(module.bias.shape) < 0.5)
            pruning.unmasked_parameter(module).requires_grad_(draw.random() < 0.9)
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(torch.rand(tensor.shape) + 0.5)
            module.train(draw.random() < 0.8)
            for parameter in (module.weight, module.bias):
                parameter.requires_grad_(draw.random() < 0.8)
    return network, shape, plain


def gradient(layer, small: live.LiveNetwork, name: str) -> torch.Tensor:
    vector = small.learning.grad if layer.learns[name] else torch.zeros(len(small.learning) + len(small.fixed)).double()
    return vector[layer.places[name] :][: layer.sizes[name]]


def check(seed: int, by_maps: bool) -> None:
    network, shape, plain = pruned_network(seed)
    small = live.build(network, shape)
    small.by_maps = by_maps
    assert small.training == network.training
    x = torch.randn(random.Random(seed).choice([1, 2, 5]), *shape, generator=generator(seed)).double()
    pixels = x.flatten(1)[:, small.columns].requires_grad_()
    try:
        expected = network(x.requires_grad_()).flatten(1)
    except ValueError:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            small(pixels)
        return
    outputs, close = small(pixels), dict(rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(outputs, expected, **close)
    target = torch.randn(expected.shape, generator=generator(seed + 1)).double()
    if expected.requires_grad:
        (expected * target).sum().backward()
    if outputs.requires_grad:
        (outputs * target).sum().backward()
    for name, layer in small.layers.items():
        module = network.get_submodule(name)
        for each in layer.sizes:
            parameter = pruning.unmasked_parameter(module, "weight" if each == "values" else each)
            theirs = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            at = layer.index if each == "values" else layer.rows
            ours = 0 * at.double() if small.learning.grad is None else gradient(layer, small, each)
            torch.testing.assert_close(ours, theirs.flatten()[at], **close)
            assert layer.learns[each] == parameter.requires_grad
        if layer.index is None:
            for each in ("running_mean", "running_var"):
                torch.testing.assert_close(small.tensor_of(layer, each), getattr(module, each)[layer.rows], **close)
    if x.grad is not None and x.grad.any():
        torch.testing.assert_close(pixels.grad, x.grad.flatten(1)[:, small.columns], **close)
        dead = x.grad.flatten(1).clone()
        dead[:, small.columns] = 0
        assert not dead.any()
    # what it learns goes back, and through a checkpoint
    with torch.no_grad():
        small.learning += 0.1 * torch.randn(small.learning.shape, generator=generator(seed)).double()
        for layer in small.layers.values():  # a pruned bias stays 0, as nothing moves it
            if layer.bias_places is not None and "bias" in layer.sizes:
                small.tensor_of(layer, "bias")[torch.from_numpy(layer.bias_places < 0)] = 0
    live.write_back(small, network)
    torch.testing.assert_close(small.eval()(pixels), network.eval()(x).flatten(1), **close)
    tensors = {name: t.clone() for name, t in checkpoints.live_tensors(small).items()}
    again = live.build(network, shape)
    again.load_sparse_state(tensors)
    again.by_maps = by_maps
    assert torch.equal(again(pixels), small(pixels))
    if plain:
        check_macs(network, shape)


def check_macs(network: nn.Module, shape: tuple[int, int, int]) -> None:
    """Found another way: where weights are the masks and nothing rectifies, a path to an output is a gradient."""
    expected, counted, seen = costs.macs_live(pruning.masks(network), live.live_activations(network, shape)), 0, []

    def remember(module: nn.Module, _, out: torch.Tensor) -> torch.Tensor:
        out = out * 1  # which nothing overwrites
        out.retain_grad()
        seen.append((module, out))
        return out + 1  # which every ReLU lets through

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            pruning.unmasked_parameter(module).data.fill_(1)
            if module.bias is not None:
                pruning.unmasked_parameter(module, "bias").data.fill_(0)
            module.register_forward_hook(remember)
    network(torch.ones(1, *shape).double().requires_grad_()).sum().backward()
    for module, out in seen:
        used = (out.grad[0] > 0).flatten(1).sum(1) if out.dim() == 4 else (out.grad[0] > 0).long()
        counted += int((module.weight_mask.flatten(1).sum(1) * used).sum())
    assert expected == counted


@pytest.mark.parametrize("by_maps", [False, True], ids=["compiled", "maps"])
@pytest.mark.parametrize("part", range(PARTS))
def test_a_random_network_does_what_the_masked_one_does(part, by_maps):
    for seed in range(part * 20, part * 20 + 20):
        try:
            check(seed, by_maps)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("mostly", [0.0, 2.0], ids=["gathered", "sent"])
def test_gradients_are_the_same_gathered_by_inputs_or_sent_by_outputs(mostly, monkeypatch):
    monkeypatch.setattr(terms, "MOSTLY", mostly)
    for seed in range(40):
        check(seed, by_maps=False)


@pytest.mark.parametrize("images", [1, 2])
def test_a_batch_in_parts_has_the_same_outputs_and_gradients(images, monkeypatch):
    monkeypatch.setattr(compiled, "PART", (images, 0))
    for seed in range(40):
        check(seed, by_maps=False)


def evaluated_batchnorm() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4)).double()
    network(torch.randn(5, 1, 8, 8, generator=generator()).double())  # which moves its statistics
    return live.build(network.eval(), (1, 8, 8))


def mixed_images() -> nn.Module:
    small = live.build(models.build("conv", (1, 8, 8), 3, generator()).double(), (1, 8, 8))
    small.mix_images(3, 0.5)
    return small


def head() -> nn.Module:
    small = live.lstm.build(heads.LSTMHead(5, 4).double())
    small.by_matrices = False
    return small


@pytest.mark.parametrize("made, shape", [(evaluated_batchnorm, (64, 12)), (mixed_images, (64, 12)), (head, (2, 5, 12))])
def test_parts_add_up_to_the_whole_batchs_gradients(made, shape, monkeypatch):
    torch.manual_seed(0)
    small, found = made(), []
    x = torch.randn(shape, generator=generator()).double().movedim(-1, 0)  # image by image the numbers lie far apart
    for part in ((64, 2_000_000), (3, 0)):
        monkeypatch.setattr(compiled, "PART", part)
        assert len(small.parts(len(x), 10**9, together=False)) == (1 if part[1] else 4)
        small.zero_grad()
        given = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out = small(given)
        out.square().sum().backward()
        found.append((out.detach(), small.learning.grad.clone(), given.grad))
    torch.testing.assert_close(*found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("frozen, parts", [(True, 16), (False, 1)])
def test_a_frozen_batchnorm_does_not_keep_a_training_batch_whole(frozen, parts, monkeypatch):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4))
    network[1].train(not frozen)
    small = live.build(network, (1, 8, 8))
    small.by_maps = False
    monkeypatch.setattr(compiled, "PART", (3, 0))
    assert small.training and len(small.compute(torch.randn(64, 64, generator=generator()))[1][1]) == parts


def test_parts_are_of_whole_groups_and_a_learning_batchnorm_gets_all_images(monkeypatch):
    small = live.build(models.build("conv", (1, 8, 8), 3, generator()), (1, 8, 8))
    assert small.parts(80, 29_000, together=False) == [slice(0, 80)]
    assert small.parts(400, 155_000, together=False) == [slice(first, first + 80) for first in range(0, 400, 80)]
    assert small.parts(400, 155_000, together=True) == [slice(0, 400)] and small.parts(0, 155_000, together=False) == [slice(0, 0)]
    x = torch.randn(12, 64, generator=generator())[:, small.columns]
    for group, sizes in (3, {3}), (4, {4}), (6, {6}):
        small.mix_images(group, 0.5)
        monkeypatch.setattr(compiled, "PART", (64, 2_000_000))
        whole = small(x)
        monkeypatch.setattr(compiled, "PART", (2, 0))
        parts = small.parts(len(x), 1000, together=False)
        assert {each.stop - each.start for each in parts} == sizes and parts[-1].stop == len(x)
        torch.testing.assert_close(small(x), whole)

"""Convolutions by live weights alone and BatchNorm, against PyTorch's."""
import math

import pytest
import torch
import torch.nn.functional as F
from conftest import generator
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sharedlabel import live, models, pruning


@st.composite
def layers(draw) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Images, a kernel with zeros, and a bias or none: odd kernels, images of any size, outputs and inputs without a weight."""
    random = generator(draw(st.integers(0, 999)))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (1, 3), (3, 1)]))
    outs, channels, height, width = (draw(st.integers(1, most)) for most in (5, 5, 9, 9))
    weight = torch.randn(outs, channels, *kernel, generator=random, dtype=torch.float64)
    weight *= torch.rand(weight.shape, generator=random) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    # enough images to fill the room several times and not to divide by it
    batch = draw(st.sampled_from([1, 7, 40])) if height * width > 16 else 150
    images = torch.randn(batch, channels, height, width, generator=random, dtype=torch.float64)
    return images, weight, torch.randn(outs, generator=random, dtype=torch.float64) if draw(st.booleans()) else None


def taps_of(weight: torch.Tensor, index: torch.Tensor, size: tuple[int, int]) -> live.maps.Taps:
    return live.maps.Taps(tuple(each.contiguous() for each in torch.unravel_index(index, weight.shape)), tuple(weight.shape), size)


@given(layers())
def test_a_convolution_and_its_gradients_are_pytorchs(layer):
    images, weight, bias = layer
    index = weight.flatten().nonzero().flatten()
    given = [images.clone(), weight.flatten()[index], None if bias is None else bias.clone()]
    theirs = [images.clone(), weight.clone(), None if bias is None else bias.clone()]
    for tensor in (*given, *theirs):
        if tensor is not None:
            tensor.requires_grad_()
    out = live.maps.Convolution.apply(*given, taps_of(weight, index, images.shape[2:]))
    expected = F.conv2d(*theirs, padding=tuple(each // 2 for each in weight.shape[2:]))
    torch.testing.assert_close(out, expected)
    gradient = torch.randn(out.shape, generator=generator(1), dtype=torch.float64)
    out.backward(gradient)
    expected.backward(gradient)
    torch.testing.assert_close(given[0].grad, theirs[0].grad)
    torch.testing.assert_close(given[1].grad, theirs[1].grad.flatten()[index])
    if bias is not None:
        torch.testing.assert_close(given[2].grad, theirs[2].grad)


def test_images_that_need_no_gradient_get_none():
    images, weight = torch.randn(3, 2, 8, 8, generator=generator(0)), torch.randn(4, 2, 3, 3, generator=generator(1))
    values = weight.flatten().requires_grad_()
    out = live.maps.Convolution.apply(images, values, None, taps_of(weight, torch.arange(weight.numel()), (8, 8)))
    out.sum().backward()
    assert images.grad is None
    expected = torch.nn.grad.conv2d_weight(images, weight.shape, torch.ones_like(out), padding=1)
    torch.testing.assert_close(values.grad.view(weight.shape), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rectifies", [True, False])
@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (2, 1, 1, 1), (64, 4, 32, 32)])
def test_batchnorm_and_its_gradients_are_pytorchs(shape, rectifies, dtype):
    random = generator(0)
    x = (torch.randn(shape, generator=random) * 3 + 20).to(dtype).requires_grad_()  # a mean that is large beside the deviation
    weight, bias = (torch.randn(shape[1], generator=random).to(dtype).requires_grad_() for _ in range(2))
    gradient = torch.randn(shape, generator=random).to(dtype)
    out, mean, variance = live.maps.BatchNorm.apply(x, weight, bias, 1e-5, rectifies)
    found = out, *torch.autograd.grad(out, (x, weight, bias), gradient), mean, variance
    exact = x.detach().double().requires_grad_(), weight.detach().double().requires_grad_(), bias.detach().double().requires_grad_()
    expected = F.batch_norm(exact[0], None, None, *exact[1:], True, 0.0, 1e-5)
    expected = expected.relu() if rectifies else expected
    variance, mean = torch.var_mean(exact[0], (0, 2, 3), correction=0)
    wanted = expected, *torch.autograd.grad(expected, exact, gradient.double()), mean, variance
    close = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 2e-4}
    for mine, theirs in zip(found, wanted):
        torch.testing.assert_close(mine.double(), theirs, **close)


def test_a_loss_that_is_not_a_number_stays_one():
    x = torch.full((2, 1, 4, 4), math.nan)
    assert live.maps.BatchNorm.apply(x, torch.ones(1), torch.zeros(1), 1e-5, True)[0].isnan().all()
    weight = torch.ones(1, 1, 3, 3)
    assert live.maps.Convolution.apply(x, weight.flatten(), None, taps_of(weight, torch.arange(9), (4, 4))).isnan().all()


def test_maps_of_another_size_are_refused():
    weight = torch.ones(1, 2, 3, 3)
    taps = taps_of(weight, torch.arange(18), (4, 5))
    for shape in ((1, 2, 5, 5), (1, 3, 4, 5), (1, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"this convolution was built for \(2, 4, 5\)"):
            live.maps.Convolution.apply(torch.ones(shape), weight.flatten(), None, taps)


def test_one_number_a_channel_has_no_variance():
    layer = live.layers.LiveBatchNorm(nn.BatchNorm2d(3), torch.arange(3))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(torch.ones(1, 3, 1, 1))
    assert layer.running_var.isfinite().all()


@pytest.mark.parametrize("changed", [{"dtype": torch.bfloat16}, {"momentum": None}])
def test_other_batchnorms_are_pytorchs(changed):
    x = torch.randn(4, 3, 2, 2, generator=generator(0)).to(changed.get("dtype", torch.float32))
    theirs = nn.BatchNorm2d(3, **changed)
    mine = live.layers.LiveBatchNorm(theirs, torch.arange(3))
    mine.momentum = theirs.momentum
    torch.testing.assert_close(mine(x), theirs(x))
    torch.testing.assert_close(dict(mine.named_buffers())["running_mean"], theirs.running_mean)


@pytest.mark.parametrize("changed", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"kernel_size": 2}])
def test_only_outputs_that_lie_where_inputs_do_are_served(changed):
    usual = {"kernel_size": 3, "padding": 1}
    assert live.maps.serves(nn.Conv2d(8, 8, **usual), (8, 8, 3, 3), 100)
    assert not live.maps.serves(nn.Conv2d(8, 8, **usual | changed), (8, 8, 3, 3), 100)


def test_only_large_maps_in_the_parameters_precision_are_computed_here():
    large, parameter = torch.empty(live.maps.SMALL // 4, 4, 1, 1), torch.empty(4)
    assert live.maps.computes(large, parameter)
    assert not live.maps.computes(large[1:], parameter) and not live.maps.computes(large, parameter.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not live.maps.computes(large, parameter)


def test_where_most_weights_are_live_pytorch_convolves():
    module = nn.Conv2d(32, 32, 3, padding=1)
    assert live.maps.serves(module, (32, 32, 3, 3), 32 * 32 * 3)
    assert not live.maps.serves(module, (32, 32, 3, 3), 32 * 32 * 3 + 1)


def test_a_live_network_uses_both_and_learns_the_same_without(monkeypatch):
    monkeypatch.setattr(live.maps, "SMALL", 0)
    network = models.build("wideresnet20", (3, 32, 32), 10, generator(0)).double()
    pruning.prune(network, "synflow", 2.5, (torch.randn(2, 3, 32, 32, generator=generator(1)).double(), torch.arange(2)), 50)
    images, labels = torch.randn(6, 3072, generator=generator(2)).double(), torch.arange(6)
    found = []
    for here in (True, False):
        small = live.build(network, (3, 32, 32))
        served = [layer for layer in small.modules() if isinstance(layer, live.layers.MapConv) and layer.taps is not None]
        assert len(served) > 10 and any(isinstance(layer, live.layers.Rectified) for layer in small.modules())
        if not here:
            monkeypatch.setattr(live.maps, "computes", lambda *_: False)
        outputs = small(images[:, small.columns])
        F.cross_entropy(outputs, labels).backward()
        found.append([outputs, *(parameter.grad for parameter in small.parameters()), *small.buffers()])
    for mine, theirs in zip(*found):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)

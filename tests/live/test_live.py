"""The live network computes what the masked one computes, with the same gradients, from live weights alone."""
import copy
import functools
import statistics
import weakref
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from conftest import SHAPE, count, generator, labelled, model, pruned_networks, pruned_residual_networks
from hypothesis import given
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.utils._python_dispatch import TorchDispatchMode

from sharedlabel import choices, data, heads, live, pruning, runtime, training

# The two ways to compute: a compiled program, and PyTorch's operations on whole maps, which a GPU takes.
WAYS = pytest.mark.parametrize("by_maps", [False, True], ids=["compiled", "maps"])
EXACT = dict(rtol=0, atol=1e-10)
# Before and in a BatchNorm some gradients are 0 but for rounding (up to 1e-13 behind another BatchNorm), which Adam's usual 1e-8
# would make a step of; with this a gradient of 1e-7 still is a step of 1e-10.
BATCHNORM_EPS = 1e-1


def build(network: nn.Module, shape: tuple, by_maps: bool = False) -> live.LiveNetwork:
    small = live.build(network, shape)
    small.by_maps = by_maps
    return small


@functools.cache
def masks_of(name: str, rho: float, iterations: int) -> dict[str, torch.Tensor]:
    return pruning.prune(model(name), "synflow", rho, labelled(), iterations)


def pruned(name: str, rho: float = 1.0, iterations: int = 4) -> nn.Module:
    """One of the paper's networks, pruned by SynFlow in a few rounds."""
    network = model(name)
    pruning.apply_masks(network, masks_of(name, rho, iterations))
    return network


def columns(images: torch.Tensor, small: live.LiveNetwork) -> torch.Tensor:
    return images.flatten(1)[:, small.columns]


def layers_of(small: live.LiveNetwork) -> dict[str, SimpleNamespace]:
    """Layers with weights: `index`, `rows`, and of `values` and `bias` what they are and their gradients."""
    found, vector = {}, small.learning if small.learning.grad is None else small.learning.grad
    for name, layer in small.layers.items():
        if layer.index is not None:
            gradient = {f"{each}_grad": vector[layer.places[each] :][: size] for each, size in layer.sizes.items()}
            tensors = {each: small.tensor_of(layer, each) for each in layer.sizes}
            found[name] = SimpleNamespace(index=layer.index, rows=layer.rows, **{"bias": None} | tensors, **gradient)
    return found


def batch_for(network: nn.Module, shape: tuple) -> tuple[torch.Tensor, torch.Tensor]:
    dtype = next(network.parameters()).dtype
    images = torch.randn(5, *shape, generator=generator(7)).to(dtype)
    return images, torch.arange(5) % 2


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """To the last digits of the largest entry, however small that is, unless it is 0 but for rounding, as before a BatchNorm."""
    least = 1e-3 if expected.dtype == torch.float64 else 1e-7
    scale = expected.abs().max().clamp(min=least) if len(expected) else 1
    torch.testing.assert_close(found / scale, expected / scale)


def check_outputs_and_gradients(network: nn.Module, shape: tuple, by_maps: bool = False) -> None:
    small = build(network, shape, by_maps)
    images, labels = batch_for(network, shape)
    expected, outputs = network(images), small(columns(images, small))
    assert_close(outputs, expected)
    F.cross_entropy(expected, labels).backward()
    F.cross_entropy(outputs, labels).backward()
    for name, (module, _) in pruning.prunable_tensors(network).items():
        layer = layers_of(small)[name.removesuffix(".weight")]
        gradient = pruning.unmasked_parameter(module).grad.flatten()
        assert_close(layer.values_grad, gradient[layer.index])
        gradient[layer.index] = 0
        assert not gradient.any(), f"{name}: a weight that learns is missing from the live network"
        if module.bias is not None:
            assert_close(layer.bias_grad, module.bias.grad[layer.rows])
            module.bias.grad[layer.rows] = 0
            assert not module.bias.grad.any(), f"{name}: a bias that learns is missing from the live network"


def three_adam_steps(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, eps: float = 1e-8) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, eps=eps)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()


def check_training(network: nn.Module, shape: tuple, by_maps: bool = False, eps: float = 1e-8) -> None:
    """Three steps of the masked network, and three of the live one written back into the network that it came from."""
    small = build(network, shape, by_maps)
    fresh = copy.deepcopy(network)
    images, labels = batch_for(network, shape)
    three_adam_steps(network, images, labels, eps)
    three_adam_steps(small, columns(images, small), labels, eps)
    live.write_back(small, fresh)
    torch.testing.assert_close(dict(fresh.named_parameters()), dict(network.named_parameters()), **EXACT)
    for each in (network, fresh, small):
        each.eval()  # BatchNorm's statistics show in the outputs
    torch.testing.assert_close(fresh(images), network(images), **EXACT)
    torch.testing.assert_close(small(columns(images, small)), network(images), **EXACT)


# ---- any network


@WAYS
@given(case=pruned_networks())
def test_any_small_network_has_the_masked_ones_outputs_and_gradients(by_maps, case):
    check_outputs_and_gradients(*case, by_maps)


@WAYS
@given(case=pruned_networks())
def test_training_any_small_network_is_training_the_masked_one(by_maps, case):
    check_training(*case, by_maps)


@given(case=pruned_residual_networks())
def test_any_small_residual_network_has_the_masked_ones_outputs_and_gradients(case):
    check_outputs_and_gradients(*case)


@given(case=pruned_residual_networks())
def test_training_any_small_residual_network_is_training_the_masked_one(case):
    check_training(*case, eps=BATCHNORM_EPS)


@given(case=pruned_networks())
def test_an_activation_is_needed_where_the_outputs_depend_on_it(case):
    """Found another way: where weights are the masks and nothing rectifies, a path to an output is a gradient."""
    network, shape = case
    activation = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    activations = {"input_1": activation}
    for i, layer in enumerate(network):
        if f"{i}.weight" in pruning.prunable_tensors(network):
            layer.weight_orig.data.fill_(1)
        activation = activations[f"{i}"] = layer(activation) if not isinstance(layer, nn.ReLU) else activation * 1
        activation.retain_grad()
    activation.sum().backward()
    need = live.live_activations(network, shape)
    assert set(need) == set(activations)
    assert all(torch.equal(need[name], activations[name].grad[0] > 0) for name in need)


# ---- cases that random search meets rarely, or that say what the words mean


def sequential(shape: tuple, *layers: nn.Module, **masks: list) -> tuple[nn.Sequential, tuple]:
    """A network in float64 and its images' shape; masks by layer number, as lists of the flat places that are kept."""
    network = nn.Sequential(*layers).double()
    chosen = pruning.masks(network)
    for name, places in masks.items():
        chosen[f"{name[1:]}.weight"].zero_().view(-1)[places] = True
    pruning.apply_masks(network, chosen)
    return network, shape


@pytest.mark.parametrize("name", choices.MODELS)
def test_the_papers_networks_have_the_masked_ones_outputs_and_gradients(name):
    check_outputs_and_gradients(pruned(name).double(), SHAPE)


@pytest.mark.parametrize("rho", [0.0, 2.0, 3.0])
@pytest.mark.parametrize("name", ["fc", "conv"])
def test_float32_outputs_and_gradients_agree_to_the_last_digits(name, rho):
    check_outputs_and_gradients(pruned(name, rho, iterations=50), SHAPE)


@pytest.mark.parametrize("rho", [0.0, 2.0, 3.0])
@pytest.mark.parametrize("name", ["resnet18", "wideresnet20"])
def test_with_batchnorm_float32_rounds_no_worse_than_the_masked_network(name, rho):
    """BatchNorm over few numbers of little variance magnifies rounding, so both are held against float64, in the median of eleven batches.

    In a single one an activation that is 0 but for rounding may pass its ReLU in either and not in float64. (Of five the median still
    depends on the processor: on one with AMX its ratio was from 2 to 3.6 by layer, of fifteen from 1.5 to 2.2.)
    """
    masked, exact = pruned(name, rho, iterations=50), pruned(name, rho, iterations=50).double()
    small = build(masked, SHAPE)
    errors, sizes = {masked: [], small: []}, []
    for seed in range(11):
        images, labels = torch.randn(5, *SHAPE, generator=generator(seed)), torch.arange(5) % 2
        found = {}
        for each, x in ((exact, images.double()), (masked, images), (small, columns(images, small))):
            each.zero_grad()
            outputs = each(x)
            F.cross_entropy(outputs, labels).backward()
            found[each] = {"outputs": outputs.detach().double()}
        for key, layer in layers_of(small).items():
            found[small][key] = layer.values_grad.double()
            for each in (exact, masked):
                found[each][key] = pruning.unmasked_parameter(each.get_submodule(key)).grad.flatten()[layer.index].double()
        sizes.append({key: float(t.norm()) for key, t in found[exact].items()})
        for each in errors:
            errors[each].append({key: float((t - found[exact][key]).norm()) for key, t in found[each].items()})
    for key in sizes[0]:
        of_small, of_masked, size = (statistics.median(each[key] for each in of) for of in (errors[small], errors[masked], sizes))
        assert of_small <= 3 * of_masked + 1e-6 * size + 1e-9, key


@pytest.mark.parametrize("name", choices.MODELS)
def test_training_the_papers_networks_is_training_the_masked_ones(name):
    check_training(pruned(name).double(), SHAPE, eps=1e-8 if name in ("fc", "conv") else BATCHNORM_EPS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@WAYS
@pytest.mark.parametrize("name", choices.MODELS)
def test_on_a_gpu_a_live_network_learns_what_it_learns_on_a_cpu(name, by_maps):
    network = pruned(name).double()
    images, labels = batch_for(network, SHAPE)
    here, there = build(network, SHAPE, by_maps), build(network, SHAPE, by_maps).to(runtime.select_device("cuda"))
    images = columns(images, here)
    three_adam_steps(here, images, labels, BATCHNORM_EPS)
    three_adam_steps(there, images.cuda(), labels.cuda(), BATCHNORM_EPS)
    torch.testing.assert_close(here.eval()(images), there.eval()(images.cuda()).cpu(), **EXACT)


@pytest.mark.parametrize("pruner, rho, by_maps", [
    ("random", 2.0, False), ("snip", 2.0, False), ("synflow", 3.5, False), ("synflow", 1.5, False), ("magnitude", 1.0, True),
    ("synflow", 0.0, True),
])
def test_at_its_real_size_a_network_is_computed_by_whole_maps_where_most_of_it_is_live(pruner, rho, by_maps):
    network, shape = model("conv", shape=(1, 28, 28), classes=10).double(), (1, 28, 28)
    pruning.prune(network, pruner, rho, labelled(10, shape, 10), 10, generator())
    assert live.build(network, shape).by_maps == by_maps
    check_outputs_and_gradients(network, shape, by_maps)


@WAYS
def test_every_way_trains_under_bfloat16_autocast(by_maps):
    """Its gradients are those of float32 but for what three layers of rounding to two or three digits make."""
    torch.manual_seed(0)
    network, shape = sequential(
        (2, 6, 6), nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3),
        _2=range(0, 144, 5),
    )
    small = build(network.float(), shape, by_maps)
    images = columns(torch.randn(16, *shape, generator=generator(7)), small)
    gradients = []
    for precision in ("float32", "bfloat16"):
        small.zero_grad()
        with training.autocast(precision, torch.device("cpu")):
            outputs = small(images)
        F.cross_entropy(outputs.float(), torch.arange(16) % 3).backward()
        gradients.append(small.learning.grad.clone())
    assert (gradients[1] - gradients[0]).norm() < 0.1 * gradients[0].norm()


@WAYS
def test_three_convolutions_in_a_row(by_maps):
    torch.manual_seed(0)
    case = sequential(
        (1, 5, 5), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 2), nn.ReLU(), nn.Conv2d(3, 2, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(2, 2), _2=[0, 5, 13, 22, 30], _4=[0, 6, 9, 15, 20],
    )
    check_outputs_and_gradients(*case, by_maps)


@WAYS
def test_a_network_that_ends_in_a_convolution_gives_its_map_in_order(by_maps):
    torch.manual_seed(0)
    case = sequential((1, 5, 5), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 2), nn.Flatten(), _2=[0, 5, 13, 22])
    check_outputs_and_gradients(*case, by_maps)


@WAYS
def test_a_weight_that_finds_only_padding_is_not_mistaken_for_another(by_maps):
    """The upper left output alone is read; there, the second channel's upper left tap looks past the edge."""
    torch.manual_seed(0)
    case = sequential(
        (1, 4, 4), nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(16, 2), _2=[4, 9], _5=[0, 16],
    )
    check_training(*case, by_maps)
    small = build(*case, by_maps)
    assert layers_of(small)["2"].index.tolist() == [4]


class RectifiedBeside(nn.Module):
    """A map is read twice: x + relu(x)."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.flatten, self.linear = nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)

    def forward(self, images):
        x = self.conv(images)
        return self.linear(self.flatten(x + self.relu(x)))


def test_a_map_that_has_another_reader_is_not_overwritten():
    torch.manual_seed(0)
    check_outputs_and_gradients(RectifiedBeside(), (1, 3, 3))


def test_a_unit_that_nothing_reaches_still_emits_its_bias_and_learns():
    network, shape = sequential((2, 1, 1), nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), _1=[0, 1])
    with torch.no_grad():
        network[1].bias.fill_(0.7)
    small = build(network, shape)
    assert layers_of(small)["1"].rows.tolist() == [0, 1]
    images, labels = batch_for(network, shape)
    three_adam_steps(small, columns(images, small), labels)
    assert layers_of(small)["1"].bias[1] != 0.7
    check_training(network, shape)


@WAYS
def test_a_map_that_nothing_reaches_still_emits_its_bias_and_learns(by_maps):
    torch.manual_seed(1)
    case = sequential(
        (1, 4, 4), nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 2), _0=range(9), _2=[4, 13, 30],  # channel 1 of the first map is only read
    )
    with torch.no_grad():
        case[0][0].bias.fill_(0.7)
    check_training(*case, by_maps)


def test_needed_by_hand():
    """Output (0, 1) of a 2 x 2 convolution reads columns 1 and 2 of rows 0 and 1, as far as the taps are kept."""
    layers = nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    network, shape = sequential((1, 3, 3), *layers, _0=[0, 3, 4, 5], _3=[1, 9])
    need = live.live_activations(network, shape)
    assert need["0"].flatten().nonzero().flatten().tolist() == [1]
    assert need["input_1"].flatten().nonzero().flatten().tolist() == [1, 5]  # taps (0, 0) and (1, 1)
    assert build(network, shape).columns.tolist() == [1, 5]


def test_a_dead_end_is_dropped():
    layers = nn.Flatten(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)
    network, shape = sequential((3, 1, 1), *layers, _1=[0, 4, 8], _3=[0, 4])
    small = build(network, shape)
    assert small.columns.tolist() == [0, 1]
    assert layers_of(small)["1"].index.tolist() == [0, 4]


@pytest.mark.parametrize("name", choices.MODELS)
def test_every_live_value_is_a_weight_that_the_mask_keeps(name):
    network = pruned(name)
    values = 0
    for layer_name, layer in layers_of(live.build(network, SHAPE)).items():
        module = network.get_submodule(layer_name)
        assert module.weight_mask.flatten()[layer.index].all()
        assert len(layer.index.unique()) == len(layer.index)
        assert torch.equal(layer.values, module.weight.flatten()[layer.index])
        values += len(layer.values)
    assert 0 < values <= count(pruning.masks(network))


@pytest.mark.parametrize("name", choices.MODELS)
def test_nothing_but_live_values_biases_and_batchnorms_is_learned(name):
    small = live.build(pruned(name), SHAPE)
    sizes = [size for layer in small.layers.values() for size in layer.sizes.values()]
    assert {name: len(p) for name, p in small.named_parameters()} == {"learning": sum(sizes), "fixed": 0}


@pytest.mark.parametrize("name", choices.MODELS)
def test_written_back_values_are_found_again_and_nothing_else_changes(name):
    network = pruned(name)
    small, before = live.build(network, SHAPE), pruned(name)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter += 1
    live.write_back(small, network)
    for one, other in zip(live.build(network, SHAPE).parameters(), small.parameters(), strict=True):
        assert torch.equal(one, other)
    live.write_back(live.build(before, SHAPE), network)
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), before.parameters(), strict=True))


def test_gathered_images_give_the_pruned_networks_outputs():
    train_set, _ = data.load("digits")
    network = model("conv", shape=train_set.shape, classes=10)
    pruning.prune(network, "synflow", 3.5, (train_set.batch(slice(0, 8)), None))
    small = live.build(network, train_set.shape)
    assert len(small.columns) < 64
    outputs = small(train_set.gather(small.columns).batch(slice(0, 50)))
    torch.testing.assert_close(outputs, network(train_set.batch(slice(0, 50))))


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.flatten, self.linear, self.function = nn.Flatten(), nn.Linear(48, 48), function

    def forward(self, x):
        return self.function(self.linear(self.flatten(x)))


@pytest.mark.parametrize("layer, name", [
    (nn.Sigmoid(), "Sigmoid"), (nn.Dropout(), "Dropout"), (nn.LayerNorm([3, 4, 4]), "LayerNorm"),
    (nn.ConvTranspose2d(3, 3, 1), "ConvTranspose2d"), (nn.Dropout2d(), "Dropout2d"),
    (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), "Conv2d"),
    (nn.BatchNorm2d(3, affine=False), "BatchNorm2d"), (nn.BatchNorm2d(3, track_running_stats=False), "BatchNorm2d"),
])
def test_an_unknown_layer_is_refused_by_name(layer, name):
    network = nn.Sequential(nn.Conv2d(3, 3, 1), layer, nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(TypeError, match=rf"^layer '_1' \({name}\) is not one .* knows how to shrink$"):
        live.build(network, (3, 4, 4))


@pytest.mark.parametrize("network, name", [
    (heads.LSTMHead(4, 2), "LSTM"), (nn.Sequential(nn.Flatten(2), nn.GRU(16, 4)), "GRU"),
    (nn.Sequential(nn.Conv2d(3, 3, 1), nn.MaxPool2d(2, return_indices=True)), "MaxPool2d"),
    (nn.Sequential(nn.Linear(4, 2)), "Linear"), (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(2)), "Flatten"),
])
def test_a_layer_of_another_shape_or_several_outputs_is_refused_by_name(network, name):
    shape = (3, 4) if name == "LSTM" else (3, 4, 4)
    with pytest.raises(TypeError, match=rf"^layer '.*' \({name}\) is not one that the live network knows how to shrink$"):
        live.live_activations(network, shape)


class Tied(nn.Module):
    """Two layers, one after the other, that are one (`again`), or have one weight."""

    def __init__(self, layer: nn.Module, other: nn.Module | None = None):
        super().__init__()
        self.first, self.relu, self.second, self.flatten, self.last = layer, nn.ReLU(), other or layer, nn.Flatten(), nn.Linear(48, 2)

    def forward(self, x):
        return self.last(self.flatten(self.second(self.relu(self.first(self.relu(x))))))


def tied_weight(parameter=lambda weight: weight) -> Tied:
    network = Tied(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    network.second.weight = parameter(network.first.weight)
    return network


def one_memory() -> Tied:
    return tied_weight(lambda weight: nn.Parameter(weight.data))


@pytest.mark.parametrize("network", [Tied(nn.Conv2d(3, 3, 1)), Tied(nn.BatchNorm2d(3)), tied_weight(), one_memory()])
def test_weights_that_two_layers_share_are_refused_by_name(network):
    kind = type(network.first).__name__
    with pytest.raises(TypeError, match=rf"^layer '.*' \({kind}\) shares a tensor with 'first', which the live network would part$"):
        live.build(network, (3, 4, 4))


def with_hook(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda layer, inputs, outputs: 2 * outputs)
    return layer


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("change, message", [
    (with_hook, "layer 'layer' .Linear. has hooks, which"), (nn.utils.weight_norm, "layer 'layer' .Linear. has hooks, which"),
    (nn.utils.spectral_norm, "layer 'layer' .Linear. has hooks, which"),
    (nn.utils.parametrizations.weight_norm, "layer 'layer' .ParametrizedLinear. is not one that"),
    (lambda layer: torch_prune.custom_from_mask(layer, "weight", torch.full((3, 4), 0.5)), "layer Linear.* has a mask of its weight"),
])
def test_a_layer_whose_weight_or_output_is_made_of_others_is_refused(change, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        live.build(nn.Sequential(OrderedDict(flatten=nn.Flatten(), layer=change(nn.Linear(4, 3)))), (4,))


@pytest.mark.parametrize("function, name", [
    (lambda x: x.view(x.size(0), -1), "size"), (lambda x: (x, x), "output"),
    (F.gelu, "gelu"), (torch.sigmoid, "sigmoid"), (lambda x: x.sigmoid(), "sigmoid"),
    (lambda x: x * 2, "mul"), (lambda x: x + 1, "add"), (lambda x: torch.add(x, x, alpha=2), "add"),
])
def test_an_unknown_function_is_refused_by_name(function, name):
    with pytest.raises(TypeError, match=rf"^layer '{name}' .* is not one that the live network knows how to shrink$"):
        live.build(Functional(function), (3, 4, 4))


class Peak(TorchDispatchMode):
    """The most bytes of what operations make that are alive at once."""

    def __init__(self):
        super().__init__()
        self.alive, self.most = {}, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **(keywords or {}))
        if isinstance(out, torch.Tensor) and (made := out.untyped_storage())._cdata not in self.alive:
            self.alive[made._cdata] = made.nbytes()
            weakref.finalize(made, self.alive.pop, made._cdata)
            self.most = max(self.most, sum(self.alive.values()))
        return out


def test_evaluation_on_whole_maps_keeps_no_map_that_nothing_reads_any_more():
    layers = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(12)]
    network, a_map = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 8 * 8, 2)), 64 * 4 * 8 * 8 * 4
    pruning.prune(network, "random", 0.05, (torch.zeros(1, 4, 8, 8), None), iterations=1, generator=generator())
    small = build(network, (4, 8, 8), by_maps=True)
    x = columns(torch.randn(64, 4, 8, 8, generator=generator()), small)
    small(x)  # makes its plan
    with Peak() as learning:
        small(x)
    with torch.no_grad(), Peak() as evaluating:
        small(x)
    assert learning.most > 12 * a_map and evaluating.most < 4 * a_map

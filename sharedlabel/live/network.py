"""The live network: a module that computes from live pixels, by live weights alone, what a pruned network computes."""
import copy
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from . import maps, terms
from .compiled import Compiled, LiveModule, assemble, live_rows
from .graph import WEIGHTED, Step, dense, find_live, mask_of, steps_of

STATISTICS = ("running_mean", "running_var")

# Whole maps are quicker where live weights do more than this share of what whole maps multiply (PyTorch's convolution rounds channels up
# to 16), and whole maps more than so many multiplications an image (benchmarks/speed.py --rule).
DENSE = (1 / 4, 1e6)


@dataclass
class Layer:
    """What a layer with parameters holds: its live `rows` (output channels or units), and by parameter its size and whether it learns.

    Of a convolution or linear layer `values` lie at `index` of the flattened dense weight, at `coordinates` (row among the live ones,
    input channel or unit, tap), and `bias` at `rows`. A BatchNorm has `weight` and `bias` at `rows`, and statistics from `channel` on.
    """

    name: str
    rows: Tensor
    sizes: dict[str, int]
    learns: dict[str, bool]
    index: Tensor | None = None
    coordinates: tuple[Tensor, ...] = ()
    bias_places: np.ndarray | None = None  # of every row, where its bias is among `bias`; -1: it has none, or a pruned one
    number: int = 0  # of a BatchNorm, among all
    channel: int = 0
    eps: float = 0.0
    momentum: float | None = None
    frozen: bool = False  # a BatchNorm that keeps its statistics, and normalises by them
    places: dict[str, int] = field(default_factory=dict)  # where its parameters begin, `learning` and `fixed` one behind the other

    def tensors(self) -> tuple[str, ...]:
        return (*self.sizes, *(STATISTICS if self.index is None else ()))

    def fields(self) -> dict[str, int]:
        """Of its operation in a program (`terms.FIELDS`)."""
        weights, biases = (*(self.places[name] for name in self.sizes), -1)[:2]
        learns = int(any(self.learns.values()))
        return {"weights": weights, "biases": biases, "learns": learns, "number": self.number, "channels": self.channel}


def entries_of(module: nn.Module, layer: Layer, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """The module's dense tensor, where the layer's entries lie in it, flattened, and which of these are alive: a mask may take a bias."""
    attribute, at = ("weight", layer.index) if name == "values" else (name, layer.rows)
    whole, alive = dense(module, attribute).detach(), mask_of(module, attribute).flatten()[at]
    return whole, at.to(whole.device), alive.to(whole.device)


def layer_of_weights(step: Step, inputs: Tensor) -> Layer:
    """Of a convolution or linear layer that reads these live channels or units."""
    module, mask, rows = step.module, mask_of(step.module), live_rows(step.live, step.area)
    out, channel, *taps = mask.nonzero(as_tuple=True)
    if step.kind == "convolution":
        channel = channel + out // (len(mask) // module.groups) * mask.shape[1]
    kept = torch.isin(out, rows) & torch.isin(channel, inputs)  # a weight that finds nothing but padding may have no live input
    index, sizes, places = mask.flatten().nonzero().flatten()[kept], {"values": int(kept.sum())}, np.full(len(rows), -1)
    if module.bias is not None:
        sizes["bias"] = len(rows)
        places = np.where(mask_of(module, "bias")[rows].numpy(), np.arange(len(rows)), -1)
    learns = {name: dense(module, "weight" if name == "values" else name).requires_grad for name in sizes}
    return Layer(step.name, rows, sizes, learns, index, (torch.searchsorted(rows, out[kept]), *(each[kept] for each in (channel, *taps))),
                 places)


def build(network: nn.Module, shape: tuple[int, ...]) -> "LiveNetwork":
    """The live network of one that torch.nn.utils.prune has pruned, for images of `shape` (C, H, W).

    It is in the mode, training or evaluation, that the network is in; what learns there learns here, and what is frozen (a
    BatchNorm in evaluation mode, too, where the network is training) stays so. Raises TypeError, by name, on a layer that is not known,
    and on a BatchNorm in training mode where the network is not.
    """
    steps, layers, numbers, channels = find_live(steps_of(network, shape)), {}, 0, 0
    for step in steps:
        module, source = step.module, steps[step.sources[0]] if step.sources else None
        if step.kind in WEIGHTED:
            layers[step.name] = layer_of_weights(step, live_rows(source.live, source.area if step.kind == "convolution" else 1))
            geometry = ("kernel_size", "stride", "padding", "dilation")
            step.module = SimpleNamespace(**{name: getattr(module, name, None) for name in geometry})
        elif step.kind == "batchnorm":
            rows, learns = live_rows(step.live, step.area), {name: getattr(module, name).requires_grad for name in ("weight", "bias")}
            if module.training and not network.training:
                raise TypeError(f"layer {step.name!r} (BatchNorm2d) is in training mode within a network in evaluation mode")
            frozen = network.training and not module.training
            layers[step.name] = Layer(step.name, rows, dict.fromkeys(learns, len(rows)), learns, number=numbers, channel=channels,
                                      eps=module.eps, momentum=module.momentum, frozen=frozen)
            numbers, channels, step.module = numbers + 1, channels + len(rows), None
    example = next((parameter.detach() for parameter in network.parameters()), torch.empty(0))
    live = LiveNetwork(steps, layers, example).train(network.training)
    with torch.no_grad():
        for layer in layers.values():
            module = network.get_submodule(layer.name)
            for name in layer.tensors():
                whole, at, alive = entries_of(module, layer, name)
                live.tensor_of(layer, name).copy_(whole.flatten()[at] * alive)
            if layer.index is None:
                live.batches[layer.number] = module.num_batches_tracked
    return live


class LiveNetwork(LiveModule):
    """The live part of a pruned network: pixels [B, D], those at `columns` of the flattened images -> outputs [B, F].

    Its parameters are two vectors, `learning` and `fixed` (what had requires_grad=False, or was frozen); `sparse_state` has them by
    layer. On a CPU it is one compiled program on one core, in float32 whatever autocast says, or in float64 if its parameters are. On a
    GPU, and where enough weights are live (`DENSE`), it computes whole maps of live channels by PyTorch's own operations.
    """

    def __init__(self, steps: list[Step], layers: dict[str, Layer], example: Tensor):
        super().__init__()
        self.steps, self.layers, self.plans, self.by_maps = steps, layers, {}, is_dense(steps, layers)
        norms = [layer for layer in layers.values() if layer.index is None]
        self.graphable = all(layer.momentum is not None for layer in norms)  # a count decides how far a mean over all batches moves
        self.register_buffer("columns", steps[0].live.flatten().nonzero().flatten().to(example.device), persistent=False)
        self.register_buffer("running", example.new_zeros(2, sum(len(layer.rows) for layer in norms)))
        self.register_buffer("batches", torch.zeros(len(norms), dtype=torch.int64, device=example.device))
        self.register_buffer("counted", torch.zeros_like(self.batches), persistent=False)
        self.lay_out(example)

    def lay_out(self, example: Tensor) -> None:
        """Gives every parameter its place in the two vectors, of `example`'s kind, by whether it learns; what they hold is lost."""
        end = learning = 0
        for learns in (True, False):
            for layer in self.layers.values():
                for name in (name for name in layer.sizes if layer.learns[name] == learns):
                    layer.places[name], end = end, end + layer.sizes[name]
            learning = end if learns else learning
        self.learning = nn.Parameter(example.new_zeros(learning))
        self.fixed, self.code = nn.Parameter(example.new_zeros(end - learning), requires_grad=False), None
        self.counted.zero_()[[self.layers[step.name].number for step in self.steps if self.moves(step)]] = 1

    def part(self, steps: list[Step]) -> "LiveNetwork":
        """A live network of some of the steps, which shares parameters and statistics with this one."""
        layers = copy.deepcopy(self.layers)  # so that another `freeze` of this network leaves the part as it is
        part = LiveNetwork(steps, layers, self.learning.detach()).train(self.training)
        for name in ("learning", "fixed", "running", "batches", "group", "share", "by_maps"):
            setattr(part, name, getattr(self, name))
        return part

    def tensor_of(self, layer: Layer, name: str) -> Tensor:
        """A layer's tensor: a view of the parameters or statistics."""
        if name in STATISTICS:
            return self.running[STATISTICS.index(name), layer.channel : layer.channel + len(layer.rows)]
        whole, before = (self.learning, 0) if layer.learns[name] else (self.fixed, len(self.learning))
        return whole.detach()[layer.places[name] - before :][: layer.sizes[name]]

    def sparse_state(self) -> dict[str, Tensor]:
        """By layer: `values` at `index` of the flattened weight, `bias` at `rows`; a BatchNorm's four tensors at `rows`. All are views."""
        state = {}
        for name, layer in self.layers.items():
            state |= {f"{name}.{each}": self.tensor_of(layer, each) for each in layer.tensors()}
            state |= {f"{name}.rows": layer.rows} | ({} if layer.index is None else {f"{name}.index": layer.index})
        return state

    def mix_images(self, group: int, share: float) -> None:
        """After every ReLU, moves the activations of each `group` of neighbouring images towards their mean, by `share` of the way."""
        self.group, self.share, self.code = group, share, None

    def code_for(self, x: Tensor) -> terms.Code:
        self.check(x)
        if self.code is None:
            self.code = assemble(self.steps, self.layers, len(self.learning) + len(self.fixed), self.group > 1)
        return self.code

    def forward(self, x: Tensor) -> Tensor:
        if self.is_compiled(x.device):
            return Compiled.apply(x, self.learning, self)
        self.check(x)
        out = maps.forward(self, x)
        if self.training:
            self.batches += self.counted
        return out

    def is_compiled(self, device: torch.device) -> bool:
        """Whether a program computes it there; otherwise, it computes whole maps."""
        return device.type == "cpu" and not self.by_maps

    def check(self, x: Tensor) -> None:
        """ValueError on inputs that it does not take."""
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise ValueError(f"x: {tuple(x.shape)} is not [batch, {len(self.columns)}], the pixels at `columns` that it reads")
        if len(x) % self.group:
            raise ValueError(f"x: a batch of {len(x)} images does not divide into groups of {self.group}")
        if self.training and len(x) == 1 and any(step.area == 1 and self.moves(step) for step in self.steps):
            raise ValueError("x: a BatchNorm of one number a channel needs more than 1 value per channel when training")

    def moves(self, step: Step) -> bool:
        """Whether it is a BatchNorm whose statistics training moves."""
        return step.kind == "batchnorm" and not self.layers[step.name].frozen

    def tensors(self) -> dict[str, Tensor]:
        """Every layer's tensors, by "LAYER.NAME", as functions of the parameters."""
        layers = self.layers.values()
        held = sorted((layer.places[name], layer.sizes[name], f"{layer.name}.{name}") for layer in layers for name in layer.sizes)
        values = torch.cat([self.learning, self.fixed]).split([size for _, size, _ in held])
        return dict(zip((name for *_, name in held), values))


def is_dense(steps: list[Step], layers: dict[str, Layer]) -> bool:
    """Whether whole maps are quicker, by `DENSE`."""
    live = whole = 0
    for step in (step for step in steps if step.kind in WEIGHTED):
        layer, source, conv = layers[step.name], steps[step.sources[0]], step.kind == "convolution"
        used = step.live[layer.rows].flatten(1).sum(1) if conv else torch.ones(len(layer.rows))
        live += float(used[layer.coordinates[0]].sum())
        sizes = len(layer.rows), len(live_rows(source.live, source.area if conv else 1))
        outs, inputs = (-(-size // 16) * 16 for size in sizes) if conv else sizes
        whole += outs * inputs * (step.module.kernel_size[0] * step.module.kernel_size[1] if conv else 1) * step.area
    return live > DENSE[0] * whole > DENSE[0] * DENSE[1]


def write_back(live: LiveNetwork, network: nn.Module) -> None:
    """Copies the live network's values, biases and statistics into the pruned network that it was built from."""
    with torch.no_grad():
        for layer in live.layers.values():
            module = network.get_submodule(layer.name)
            for name in layer.tensors():
                whole, at, alive = entries_of(module, layer, name)
                whole.put_(at[alive], live.tensor_of(layer, name).to(whole)[alive])  # however it lies in memory
            if layer.index is None:
                module.num_batches_tracked.fill_(int(live.batches[layer.number]))


def check_free(layers: int, free: int) -> None:
    """Raises ValueError unless 1 <= `free` <= the number of `layers` with weights."""
    if not 1 <= free <= layers:
        raise ValueError(f"free_layers: {free!r} is not allowed; this network has from 1 to {layers} layers to leave free")


def freeze(live: LiveNetwork, free: int) -> tuple[LiveNetwork, LiveNetwork]:
    """Freezes all but the last `free` layers with weights, in place: their values, biases and statistics stay as they are.

    Returns (frozen, rest): rest(frozen(x)) is live(x), and what rest learns `live` has learned, so what `frozen` says of an image can be
    computed once. They part after the last activation before the free layers that alone leads on, so never inside a
    residual block. Raises ValueError unless 1 <= free <= the number of layers with weights.
    """
    steps = live.steps
    weighted = [i for i, step in enumerate(steps) if step.kind in WEIGHTED]
    check_free(len(weighted), free)
    first, before = weighted[-free], live.sparse_state()
    for layer in (live.layers[step.name] for step in steps[:first] if step.name in live.layers):
        layer.learns, layer.frozen = dict.fromkeys(layer.learns, False), True
    live.lay_out(live.learning.detach())
    live.load_sparse_state(before)
    last = max(i for i in range(first) if all(source >= i for step in steps[i + 1 :] for source in step.sources))
    activation = replace(steps[last], name="activation", kind="input", sources=[], module=None)
    behind = [replace(step, sources=[source - last for source in step.sources]) for step in steps[last + 1 :]]
    return live.part(steps[: last + 1]), live.part([activation, *behind])

"""The live network: a module that computes from live pixels, by live weights alone, what a pruned network computes."""
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from . import kernels, maps
from .compiled import Arenas, Compiled, Executable, LiveModule, as_numpy, live_rows
from .graph import WEIGHTED, Step, dense, find_live, mask_of, steps_of

STATISTICS = ("running_mean", "running_var")

# Whole maps are quicker where live weights do more than this share of what whole maps multiply (PyTorch's convolution rounds channels up
# to 16), and that is more than so many multiplications an image (benchmarks/speed.py --rule).
DENSE = (1 / 4, 1e6)


@dataclass
class Layer:
    """What a layer with parameters holds: its live `rows` (output channels or units), and the sizes of its tensors.

    Of a convolution or linear layer `values` lie at `index` of the flattened dense weight, at `coordinates` (row among the live ones,
    input channel or unit, tap) and `bias` at `rows`. A BatchNorm has `weight` and `bias` at `rows`, and statistics from `channel` on.
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
    places: dict[str, int] = field(default_factory=dict)  # where its tensors begin, `learning` and `fixed` one behind the other

    def fields(self) -> dict[str, int]:
        """Of its operation in a program (`terms.FIELDS`)."""
        weights, biases = (*(self.places[name] for name in self.sizes), -1)[:2]
        learns = int(any(self.learns.values()))
        return {"weights": weights, "biases": biases, "learns": learns, "number": self.number, "channels": self.channel}


def layer_of_weights(step: Step, inputs: Tensor) -> tuple[Layer, dict[str, Tensor]]:
    """Of a convolution or linear layer that reads these live channels or units; with it the values of its tensors."""
    module, mask, rows = step.module, mask_of(step.module), live_rows(step.live, step.area)
    out, channel, *taps = mask.nonzero(as_tuple=True)
    if step.kind == "convolution":
        channel = channel + out // (len(mask) // module.groups) * mask.shape[1]
    kept = torch.isin(out, rows) & torch.isin(channel, inputs)  # a weight that finds nothing but padding may have no live input
    index, weight = mask.flatten().nonzero().flatten()[kept], dense(module).detach()
    tensors, places = {"values": weight.flatten()[index.to(weight.device)]}, np.full(len(rows), -1)
    if module.bias is not None:
        alive, bias = mask_of(module, "bias")[rows], dense(module, "bias").detach()
        tensors["bias"] = bias[rows.to(bias.device)] * alive.to(bias.device)
        places = np.where(alive.numpy(), np.arange(len(rows)), -1)
    learns = {name: dense(module, "weight" if name == "values" else name).requires_grad for name in tensors}
    coordinates = (torch.searchsorted(rows, out[kept]), *(each[kept] for each in (channel, *taps)))
    return Layer(step.name, rows, {name: t.numel() for name, t in tensors.items()}, learns, index, coordinates, places), tensors


def build(network: nn.Module, shape: tuple[int, ...]) -> "LiveNetwork":
    """The live network of one that torch.nn.utils.prune has pruned, for images of `shape` (C, H, W).

    It is in the mode, training or evaluation, that the network is in; what learns there learns here, and what is frozen (a
    BatchNorm in evaluation mode, too, where the network is training) stays so. Raises TypeError, by name, on a layer that is not known.
    """
    steps, layers, tensors, batchnorms = find_live(steps_of(network, shape)), {}, {}, []
    for step in steps:
        module, source = step.module, steps[step.sources[0]] if step.sources else None
        if step.kind in WEIGHTED:
            layer, own = layer_of_weights(step, live_rows(source.live, source.area if step.kind == "convolution" else 1))
            geometry = ("kernel_size", "stride", "padding", "dilation")
            step.module = SimpleNamespace(**{name: getattr(module, name, None) for name in geometry})
        elif step.kind == "batchnorm":
            rows, own = live_rows(step.live, step.area), {}
            for name in ("weight", "bias"):
                own[name] = getattr(module, name).detach()[rows.to(module.weight.device)]
            learns = {name: getattr(module, name).requires_grad for name in own}
            frozen = not any(learns.values()) or network.training and not module.training
            layer = Layer(step.name, rows, dict.fromkeys(own, len(rows)), learns, number=len(batchnorms), frozen=frozen, eps=module.eps,
                          momentum=module.momentum, channel=sum(len(other.rows) for other, _ in batchnorms))
            batchnorms.append((layer, module))
            step.module = None
        else:
            continue
        layers[step.name] = layer
        tensors |= {f"{step.name}.{name}": tensor for name, tensor in own.items()}
    example = next((parameter.detach() for parameter in network.parameters()), torch.empty(0))
    live = LiveNetwork(steps, layers, example.device).train(network.training)
    live.set_parameters(tensors, example)
    live.set_statistics(example.new_zeros(2, sum(len(layer.rows) for layer, _ in batchnorms)),
                        torch.zeros(len(batchnorms), dtype=torch.int64, device=example.device))
    with torch.no_grad():
        for layer, module in batchnorms:
            live.batches[layer.number] = module.num_batches_tracked
            for name in STATISTICS:
                live.tensor_of(layer, name).copy_(getattr(module, name)[layer.rows.to(live.columns.device)])
    return live


class LiveNetwork(LiveModule):
    """The live part of a pruned network: pixels [B, D], those at `columns` of the flattened images -> outputs [B, F].

    Its parameters are two vectors, `learning` and `fixed` (what had requires_grad=False, or was frozen); `sparse_state` has them by
    layer. On a CPU it is one compiled program on one core, in float32 whatever autocast says, or in float64 if its parameters are. On a
    GPU, and where most weights are live, it computes whole maps of live channels by PyTorch's own operations.
    """

    def __init__(self, steps: list[Step], layers: dict[str, Layer], device: torch.device):
        super().__init__()
        self.steps, self.layers, self.group, self.share = steps, layers, 1, 0.0
        self.arenas, self.code, self.plans, self.by_maps = Arenas(), None, {}, is_dense(steps, layers)
        self.register_buffer("columns", steps[0].live.flatten().nonzero().flatten().to(device), persistent=False)

    def set_parameters(self, tensors: dict[str, Tensor], example: Tensor) -> None:
        """Lays the tensors, by "LAYER.NAME", out in the two vectors; where there are none, these are of `example`'s kind."""
        parts, size = {True: [example.new_empty(0)], False: [example.new_empty(0)]}, 0
        for learns in (True, False):
            for layer in self.layers.values():
                for name in (name for name in layer.sizes if layer.learns[name] == learns):
                    layer.places[name], size = size, size + layer.sizes[name]
                    parts[learns].append(tensors[f"{layer.name}.{name}"])
        self.learning, self.code, self.known = nn.Parameter(torch.cat(parts[True])), None, {}
        self.fixed = nn.Parameter(torch.cat(parts[False]), requires_grad=False)

    def set_statistics(self, running: Tensor, batches: Tensor) -> None:
        """BatchNorms' means and variances [2, C], one layer's behind the other's, and how many batches each has seen."""
        moving = [layer.number for layer in self.batchnorms() if not layer.frozen]
        self.register_buffer("running", running)
        self.register_buffer("batches", batches)
        self.register_buffer("counted", torch.zeros_like(batches), persistent=False)
        self.counted[moving] = 1

    def sharing(self, steps: list[Step]) -> "LiveNetwork":
        """A live network of some of the steps, which shares parameters and statistics with this one."""
        layers = {step.name: self.layers[step.name] for step in steps if step.name in self.layers}
        part = LiveNetwork(steps, layers, self.columns.device).train(self.training)
        part.learning, part.fixed, part.known = self.learning, self.fixed, {}
        part.set_statistics(self.running, self.batches)
        part.group, part.share, part.by_maps = self.group, self.share, self.by_maps
        return part

    def batchnorms(self) -> list[Layer]:
        return [layer for layer in self.layers.values() if layer.index is None]

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
            held = (*layer.sizes, *(STATISTICS if layer.index is None else ()))
            state |= {f"{name}.{each}": self.tensor_of(layer, each) for each in held}
            state |= {f"{name}.rows": layer.rows} | ({} if layer.index is None else {f"{name}.index": layer.index})
        return state

    def mix_images(self, group: int, share: float) -> None:
        """After every ReLU, moves the activations of each `group` of neighbouring images towards their mean, by `share` of the way."""
        self.group, self.share, self.code = group, share, None

    def executable(self) -> Executable:
        if self.code is None:
            self.code = Executable(self.steps, self.layers, len(self.learning) + len(self.fixed), self.group > 1)
        return self.code

    def settings(self) -> np.ndarray:
        """Of every BatchNorm eps, momentum, and whether it takes the batch's statistics; [N, 3]."""
        if self.training not in self.known:
            found = np.zeros((len(self.batches), 3))
            for layer in self.batchnorms():
                momentum = 1 / (int(self.batches[layer.number]) + 1) if layer.momentum is None else layer.momentum
                found[layer.number] = layer.eps, momentum, self.training and not layer.frozen
            if any(layer.momentum is None for layer in self.batchnorms()):
                return found
            self.known[self.training] = found
        return self.known[self.training]

    def forward(self, x: Tensor) -> Tensor:
        if self.is_compiled(x.device):
            return Compiled.apply(x, self.learning, self)
        self.check(x)
        out = maps.forward(self, x)
        self.count_batch()
        return out

    def is_compiled(self, device: torch.device) -> bool:
        """Whether a program computes it there; otherwise, it computes whole maps."""
        return device.type == "cpu" and not self.by_maps

    def check(self, x) -> None:
        """ValueError on inputs, a tensor or array, that it does not take."""
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise ValueError(f"x: {tuple(x.shape)} is not [batch, {len(self.columns)}], the pixels at `columns` that it reads")
        if len(x) % self.group:
            raise ValueError(f"x: a batch of {len(x)} images does not divide into groups of {self.group}")
        if self.training and len(x) == 1 and any(step.area == 1 and self.moves(step) for step in self.steps):
            raise ValueError("x: a BatchNorm of one number a channel needs more than 1 value per channel when training")

    def count_batch(self) -> None:
        if self.training and len(self.batches):
            self.batches += self.counted

    def run(self, x: np.ndarray, learning: np.ndarray, kind: type) -> tuple[np.ndarray, tuple]:
        self.check(x)
        x, batch, code, settings = np.asarray(x, kind), len(x), self.executable(), self.settings()
        innermost = x.flags.f_contiguous and not x.flags.c_contiguous
        x = x.ravel("K" if innermost else "C")
        weights = np.concatenate([learning, as_numpy(self.fixed), code.constants], dtype=kind, casting="same_kind")
        loan, out = self.arenas.lend(code.slots * batch, kind), np.empty((batch, len(code.outputs)), kind)
        statistics, running = np.empty((2, self.running.shape[1])), np.asarray(as_numpy(self.running), kind)
        kernels.forward(code.table, code.runs, code.lists, x, innermost, code.columns, code.outputs, weights, loan.act, statistics, running,
                        settings, self.group, self.share, out)
        if self.training and self.running.dtype not in (torch.float32, torch.float64):
            self.running.copy_(torch.from_numpy(running))
        self.count_batch()
        return out, (code, weights, loan, statistics, settings, self.group, self.share)

    def run_back(self, kept: tuple, gradient: np.ndarray, to_input: bool) -> tuple[np.ndarray, np.ndarray]:
        code, weights, loan, statistics, settings, group, share = kept
        to_x = np.empty((len(gradient), len(code.columns) if to_input else 0), weights.dtype)
        to_learning = np.empty(len(self.learning), weights.dtype)
        kernels.backward(code.table, code.runs, code.lists, code.how[to_input], np.ascontiguousarray(gradient, weights.dtype), code.columns,
                         code.outputs, code.blank, weights, loan.act, loan.grad, statistics, settings, group, share, to_learning, to_x)
        return to_learning, to_x

    def moves(self, step: Step) -> bool:
        """Whether it is a BatchNorm whose statistics training moves."""
        return step.kind == "batchnorm" and not self.layers[step.name].frozen

    def tensors(self) -> dict[str, Tensor]:
        """Every layer's tensors, by "LAYER.NAME", as functions of the parameters."""
        layers, whole, sizes, end = self.layers.values(), torch.cat([self.learning, self.fixed]), {}, 0
        for place, size, name in sorted((layer.places[n], layer.sizes[n], f"{layer.name}.{n}") for layer in layers for n in layer.sizes):
            sizes |= {f"before {name}": place - end, name: size}  # of other layers, where this is a part of a network (`sharing`)
            end = place + size
        return dict(zip(sizes, whole.split([*sizes.values(), len(whole) - end])))


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
        for name, layer in live.layers.items():
            module = network.get_submodule(name)
            if layer.index is not None:
                weight = dense(module)
                weight.view(-1)[layer.index.to(weight.device)] = live.tensor_of(layer, "values").to(weight)
                if "bias" in layer.sizes:
                    bias = dense(module, "bias")
                    alive = torch.from_numpy(layer.bias_places >= 0)
                    bias[layer.rows[alive].to(bias.device)] = live.tensor_of(layer, "bias")[alive.to(live.columns.device)].to(bias)
            else:
                for each in ("weight", "bias", *STATISTICS):
                    target = getattr(module, each)
                    target[layer.rows.to(target.device)] = live.tensor_of(layer, each).to(target)
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
    first, tensors, example = weighted[-free], live.sparse_state(), live.learning.detach()
    for layer in (live.layers[step.name] for step in steps[:first] if step.name in live.layers):
        layer.learns, layer.frozen = dict.fromkeys(layer.learns, False), True
    live.set_parameters(tensors, example)
    live.set_statistics(live.running, live.batches)
    last = max(i for i in range(first) if all(source >= i for step in steps[i + 1 :] for source in step.sources))
    activation = replace(steps[last], name="activation", kind="input", sources=[], module=None)
    behind = [replace(step, sources=[source - last for source in step.sources]) for step in steps[last + 1 :]]
    return live.sharing(steps[: last + 1]), live.sharing([activation, *behind])

"""The live network: what is left of a pruned network once nothing dead is computed.

An activation is live if a path of live weights leads from it to an output. Everything else is dropped:
channels and units, and, where no BatchNorm needs whole maps for its statistics, single positions. What
is left computes the same function with the same gradients, so training it is training the pruned
network. A unit that no live weight reaches, but that is read, still emits its bias and keeps learning:
it stays. Live weights are held as one vector of values a layer and placed where a small dense
matrix needs them, or summed one by one where they are few, so no step computes or updates a pruned weight.

    live = build(network, shape)             # a pruned network -> a small one over live weights only
    images.gather(live.columns)              # the input pixels it reads, gathered once before training
    write_back(live, network)                # trained values -> the pruned network
"""
import math
import operator
import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from sharedlabel import pruning

ELEMENTWISE = (nn.ReLU, nn.Identity)
BY_CHANNEL = (nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)  # these need whole maps
ADDITIONS = (operator.add, operator.iadd, torch.add)


def needed(network: nn.Module, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Which entries of every activation are live: bool tensors ([C, H, W] or [F]) by the name of what computes it (`names`).

    Found by walking the network's graph backwards from the outputs, all of which are needed. Raises
    TypeError on a layer whose rule is not known, rather than guessing.
    """
    graph, alive = trace(network, shape), pruning.masks(network)
    need = {node: torch.zeros(node.meta["shape"], dtype=torch.bool) for node in graph.nodes if node.op != "output"}
    for node in reversed(graph.nodes):
        if node.op == "output":
            need[node.args[0]].fill_(True)
        elif node.op == "call_module":
            module, mask, source = network.get_submodule(node.target), alive.get(f"{node.target}.weight"), node.args[0]
            if isinstance(module, nn.Linear):
                need[source] |= mask[need[node]].any(0)
            elif isinstance(module, nn.Conv2d):
                if module.groups > 1 or module.padding_mode != "zeros" or isinstance(module.padding, str):
                    raise unknown(node, module)
                reads = torch.nn.grad.conv2d_input(
                    (1, *source.meta["shape"]), mask.double(), need[node][None].double(),
                    module.stride, module.padding, module.dilation, module.groups,
                )
                need[source] |= reads[0] > 0
            elif isinstance(module, nn.Flatten):
                need[source] |= need[node].view(source.meta["shape"])
            elif isinstance(module, ELEMENTWISE):
                need[source] |= need[node]
            elif isinstance(module, BY_CHANNEL):
                if isinstance(module, nn.BatchNorm2d) and not (module.affine and module.track_running_stats):
                    raise unknown(node, module)
                need[source] |= need[node].any((1, 2))[:, None, None]
            else:
                raise unknown(node, module)
        elif node.target in ADDITIONS:
            maps = [arg for arg in node.all_input_nodes if len(arg.meta["shape"]) == 3]
            if len(maps) < 2 or node.kwargs:  # of a constant, of units, of a map and itself
                raise unknown(node, node.target)
            for source in maps:
                need[source] |= need[node]
        elif node.target is torch.flatten:
            need[node.args[0]] |= need[node].view(node.args[0].meta["shape"])
        elif node.op != "placeholder":
            raise unknown(node, node.target)
    named = names(graph)
    return {named[node]: mask for node, mask in need.items()}


def names(graph: fx.Graph) -> dict[fx.Node, str]:
    """What every node is called: as its module, with "_" behind where that is used again (a block's ReLU), or as its function."""
    found = {}
    for node in sorted(graph.nodes, key=lambda node: node.op != "call_module"):  # a module's own name is never taken by others
        name = node.target if node.op == "call_module" else node.name
        while name in found.values():
            name += "_"
        found[node] = name
    return found


def trace(network: nn.Module, shape: tuple[int, ...]) -> fx.Graph:
    """The network's fx graph, every node with the shape of its activation (of one image) in meta["shape"]."""
    module = fx.symbolic_trace(network)
    training = network.training
    network.eval()  # so that no BatchNorm statistic moves
    with torch.no_grad():
        ShapeProp(module.eval()).propagate(next(network.parameters()).new_zeros(1, *shape))
    network.train(training)
    for node in module.graph.nodes:
        if hasattr(node.meta["tensor_meta"], "shape"):  # an LSTM gives a tuple
            node.meta["shape"] = node.meta["tensor_meta"].shape[1:]
    return module.graph


def unknown(node: fx.Node, what) -> TypeError:
    kind = type(what).__name__ if isinstance(what, nn.Module) else getattr(what, "__name__", what)
    return TypeError(f"layer {node.name!r} ({kind}) is not one that the live network knows how to shrink")


@dataclass
class Layout:
    """Where a live activation keeps what.

    A live activation is either "units", a matrix [U, B] with the batch last, so that picking or adding
    units moves contiguous rows (a layer may return it as [C', P B], U = C' P: an in-place ReLU on a
    view would cost autograd a copy); or, where whole maps are needed, a "map" [B, C', H, W]. Its entry
    i (units, or the flattened map) is entry order[i] of the full, flattened activation of shape `full`.
    """

    kind: str
    order: Tensor
    full: tuple[int, ...]

    @property
    def channels(self) -> Tensor:
        return (self.order // math.prod(self.full[1:])).unique()

    @property
    def positions(self) -> Tensor:
        return (self.order % math.prod(self.full[1:])).unique()

    def lookup(self) -> Tensor:
        """Where an entry of the full activation lies in the live one; -1 where it is dropped."""
        where = torch.full((math.prod(self.full),), -1)
        where[self.order] = torch.arange(len(self.order))
        return where


def grid(channels: Tensor, positions: Tensor, full: tuple[int, ...]) -> Tensor:
    """Flat entries of all `positions` of all `channels`, channel by channel."""
    return (channels[:, None] * math.prod(full[1:]) + positions).flatten()


class LiveLayer(nn.Module):
    """A layer's live weights `values`, which lie at `index` of the flat dense weight, and the live `rows` of its bias.

    Live are the weights from live `inputs` (units or channels) to live rows: one that finds nothing but padding
    wherever its live outputs look is none, and does not learn.

    A subclass computes with a small dense matrix and says in `at` where in it the values go (`SparseConv` needs none).
    """

    def __init__(self, module: nn.Module, mask: Tensor, rows: Tensor, inputs: Tensor):
        super().__init__()
        chosen = torch.zeros_like(mask)
        chosen[rows[:, None], inputs] = mask[rows[:, None], inputs]
        weight = pruning.dense(module).detach()
        self.register_buffer("index", chosen.flatten().nonzero().flatten())
        self.register_buffer("rows", rows)
        self.values = nn.Parameter(weight.flatten()[self.index])
        self.bias = None if module.bias is None else nn.Parameter(module.bias.detach()[rows])
        out, *inner = (each.contiguous() for each in torch.unravel_index(self.index, mask.shape))
        self.coordinates = torch.searchsorted(rows, out), *inner  # of every value; rows counted among the live

    def weight(self) -> Tensor:
        """The small dense matrix (or kernel) of `shape`, zero where nothing is live."""
        size = math.prod(self.shape)
        return self.values.new_zeros(size).scatter(0, self.at, self.values).view(self.shape)


class LiveLinear(LiveLayer):
    """A linear layer: units or map -> units [U, B]."""

    def __init__(self, module: nn.Linear, mask: Tensor, rows: Tensor, source: Layout):
        super().__init__(module, mask, rows, source.order)
        out, column = self.coordinates
        self.kind, self.shape = source.kind, (len(rows), len(source.order))
        self.register_buffer("at", out * self.shape[1] + source.lookup()[column])

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1).t() if self.kind == "map" else x.view(self.shape[1], -1)
        return self.weight() @ x if self.bias is None else torch.addmm(self.bias[:, None], self.weight(), x)


class PatchConv(LiveLayer):
    """The first convolution, at its live positions: pixels [U, B] -> units [C', P B].

    Its input needs no gradient, so its patches are simply gathered: [taps, P B], times the weights.
    """

    def __init__(self, module: nn.Conv2d, mask: Tensor, rows: Tensor, source: Layout, positions: Tensor, out_size):
        super().__init__(module, mask, rows, source.channels)
        out, channel, dy, dx = self.coordinates
        kernel = mask.shape[1:]
        tap = (channel * kernel[1] + dy) * kernel[2] + dx
        taps = tap.unique()
        self.shape, self.positions = (len(rows), len(taps)), len(positions)
        self.register_buffer("at", out * len(taps) + torch.searchsorted(taps, tap))
        channel, dy, dx = (each[:, None] for each in torch.unravel_index(taps, kernel))
        pixel, inside = reads(module, source.full, channel, dy, dx, positions // out_size[1], positions % out_size[1])
        # padding, and pixels that only a dead entry would read, are the row of zeros past the end
        pixel = torch.where(inside, source.lookup()[pixel], -1) % (len(source.order) + 1)
        self.register_buffer("pixel", pixel.flatten())

    def forward(self, x: Tensor) -> Tensor:
        patches = F.pad(x, (0, 0, 0, 1)).index_select(0, self.pixel).view(self.shape[1], -1)
        return self.weight() @ patches if self.bias is None else torch.addmm(self.bias[:, None], self.weight(), patches)


class TapConv(LiveLayer):
    """A later convolution, at its live outputs: units [C P, B] -> units [U, B].

    It multiplies first and looks around afterwards: one product gives what each live (output channel,
    tap) would add wherever it looked, and each output then sums the few numbers meant for it. That
    moves a fraction of what gathering the input's patches would, as there are few output channels.
    """

    def __init__(self, module: nn.Conv2d, mask: Tensor, rows: Tensor, source: Layout, units: Tensor, out_size):
        super().__init__(module, mask, rows, source.channels)
        out, channel, dy, dx = self.coordinates
        channels, positions = source.channels, source.positions
        kernel = mask.shape[2:]
        pair = (out * kernel[0] + dy) * kernel[1] + dx
        pairs = pair.unique()
        self.shape = (len(pairs), len(channels))
        self.register_buffer("at", torch.searchsorted(pairs, pair) * len(channels) + torch.searchsorted(channels, channel))
        # addend[u, t]: the row of the product [pairs P, B] that unit u sums; past the end is zero
        unit_row, y, x = torch.unravel_index(units, (len(mask), *out_size))
        unit_row = torch.searchsorted(rows, unit_row.contiguous())
        of, dy, dx = torch.unravel_index(pairs, (len(rows), *kernel))
        entry, inside = reads(module, source.full, torch.tensor(0), dy, dx, y[:, None], x[:, None])
        mine = inside & (of == unit_row[:, None])
        at = torch.searchsorted(positions, entry.clamp(0, math.prod(source.full[1:]) - 1).contiguous())
        addend = torch.where(mine, torch.arange(len(pairs)) * len(positions) + at, len(pairs) * len(positions))
        most = int(mine.sum(1).max())
        self.register_buffer("addend", addend.sort(1).values[:, :most])
        # which unit a row of the product was meant for: at most one, so the gradient is gathered too
        target = torch.full((len(pairs) * len(positions) + 1,), len(units))
        target[addend] = torch.arange(len(units))[:, None].expand_as(addend)
        self.register_buffer("target", target[:-1])
        self.register_buffer("unit_row", unit_row)

    def forward(self, x: Tensor) -> Tensor:
        product = (self.weight() @ x.reshape(self.shape[1], -1)).view(len(self.target), -1)
        out = SumOfRows.apply(product, self.addend, self.target)
        return out if self.bias is None else out + self.bias.index_select(0, self.unit_row)[:, None]


class SumOfRows(torch.autograd.Function):
    """out[u] = sum of x[addend[u]]; every row of x is an addend of one unit `target` at most (past the end: none)."""

    @staticmethod
    def forward(ctx, x: Tensor, addend: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(target)
        return F.pad(x, (0, 0, 0, 1)).index_select(0, addend.flatten()).view(*addend.shape, -1).sum(1)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (target,) = ctx.saved_tensors
        return F.pad(gradient, (0, 0, 0, 1)).index_select(0, target), None, None


class SparseConv(LiveLayer):
    """A convolution of which few weights a live output are left: units [V, B] -> units [U, B].

    Every output is a weighted sum of the inputs that its own weights look at, one at a time: a sparse matrix [U, V] of
    shared weights. A term costs more than in a product, but none is computed that nobody reads.
    """

    def __init__(self, module: nn.Conv2d, mask: Tensor, rows: Tensor, source: Layout, units: Tensor, out_size):
        super().__init__(module, mask, rows, source.channels)
        out, channel, dy, dx = self.coordinates
        unit_row, y, x = torch.unravel_index(units, (len(mask), *out_size))
        unit_row = torch.searchsorted(rows, unit_row.contiguous())
        unit, value = (unit_row[:, None] == out).nonzero(as_tuple=True)
        entry, inside = reads(module, source.full, channel[value], dy[value], dx[value], y[unit], x[unit])
        unit, value, entry = unit[inside], value[inside], source.lookup()[entry[inside]]
        order = (unit * len(source.order) + entry).argsort()
        self.sums = Sums(value[order], entry[order], unit[order], (len(units), len(source.order)))
        self.register_buffer("unit_row", unit_row)

    def forward(self, x: Tensor) -> Tensor:
        # images come as the columns of a transposed batch, and a sparse product knows no bfloat16
        x = x.reshape(self.sums.shape[1], -1).contiguous().to(self.values.dtype)
        out = SparseProduct.apply(x, self.values, self.sums)
        return out if self.bias is None else out + self.bias.index_select(0, self.unit_row)[:, None]


class Sums(nn.Module):
    """A sparse matrix whose entries are shared `values`: entry k is values[value[k]], in row[k] and column[k], row by row."""

    def __init__(self, value: Tensor, column: Tensor, row: Tensor, shape: tuple[int, int]):
        super().__init__()
        across = column.argsort(stable=True)
        starts, across_starts = (torch.searchsorted(of, torch.arange(count + 1)) for of, count in zip((row, column[across]), shape))
        self.shape = shape
        for name, tensor in {
            "value": value, "column": column, "starts": starts,
            "across_value": value[across], "across_row": row[across], "across_starts": across_starts,  # the matrix transposed
        }.items():
            self.register_buffer(name, tensor, persistent=False)

    def times(self, x: Tensor, values: Tensor) -> Tensor:
        return weighted_sums(x, values.index_select(0, self.value), self.column, self.starts)

    def transposed_times(self, x: Tensor, values: Tensor) -> Tensor:
        return weighted_sums(x, values.index_select(0, self.across_value), self.across_row, self.across_starts)

    def correlations(self, x: Tensor, gradient: Tensor, count: int) -> Tensor:
        """The gradient to the `count` values, where `gradient` is that to `times(x, values)`."""
        with warnings.catch_warnings(action="ignore"):  # CSR is "in beta state"
            pattern = torch.sparse_csr_tensor(self.starts, self.column, x.new_zeros(len(self.column)), self.shape, check_invariants=False)
        products = torch.sparse.sampled_addmm(pattern, gradient, x.t(), beta=0.0)
        return x.new_zeros(count).index_add(0, self.value, products.values())


def weighted_sums(x: Tensor, weights: Tensor, row: Tensor, starts: Tensor) -> Tensor:
    """out[i] = sum over k from starts[i] to starts[i + 1] of weights[k] * x[row[k]]."""
    return F.embedding_bag(row, x, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


class SparseProduct(torch.autograd.Function):
    """`Sums.times`, with gradients that are sparse products themselves: PyTorch's own are added up ten times slower."""

    @staticmethod
    def forward(ctx, x: Tensor, values: Tensor, sums: Sums) -> Tensor:
        ctx.save_for_backward(x, values)
        ctx.sums = sums
        return sums.times(x, values)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        x, values = ctx.saved_tensors
        gradient = gradient.contiguous()
        to_x = ctx.sums.transposed_times(gradient, values) if ctx.needs_input_grad[0] else None
        return to_x, ctx.sums.correlations(x, gradient, len(values)), None


class MapConv(LiveLayer):
    """A convolution over whole maps of the live channels: map [B, C, H, W] -> map [B, C', H', W'].

    It reads only the channels and computes only the outputs that have a live weight; an output without
    one is its bias, or 0.
    """

    def __init__(self, module: nn.Conv2d, mask: Tensor, rows: Tensor, source: Layout, out_size: tuple[int, int]):
        super().__init__(module, mask, rows, source.channels)
        out, channel, dy, dx = self.coordinates
        outs, channels = out.unique(), channel.unique()
        self.shape = (len(outs), len(channels), *mask.shape[2:])
        inner = torch.searchsorted(outs, out) * len(channels) + torch.searchsorted(channels, channel)
        self.register_buffer("at", (inner * mask.shape[2] + dy) * mask.shape[3] + dx)
        self.geometry = (module.stride, module.padding, module.dilation)
        self.out_size = out_size
        self.register_buffer("reads", None if len(channels) == len(source.channels) else torch.searchsorted(source.channels, channels))
        self.register_buffer("writes", None if len(outs) == len(rows) else outs)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.reads is None else x.index_select(1, self.reads)
        if self.writes is None and len(self.values):
            return F.conv2d(x, self.weight(), self.bias, *self.geometry)
        maps = x.new_zeros(len(x), len(self.rows), *self.out_size)
        if len(self.values):
            maps = maps.index_copy(1, self.writes, F.conv2d(x, self.weight(), None, *self.geometry).to(x.dtype))
        return maps if self.bias is None else maps + self.bias[:, None, None]


class LiveBatchNorm(nn.BatchNorm2d):
    """BatchNorm of the live channels `rows`: map -> map."""

    def __init__(self, module: nn.BatchNorm2d, rows: Tensor):
        super().__init__(len(rows), module.eps, module.momentum, module.affine, module.track_running_stats)
        self.to(module.weight.dtype)
        self.register_buffer("rows", rows)
        with torch.no_grad():
            for name in BATCH_NORM:
                getattr(self, name).copy_(getattr(module, name)[rows])

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if len(self.rows) else x

    def train(self, mode: bool = True) -> "LiveBatchNorm":
        return super().train(mode and self.weight.requires_grad)  # frozen, it keeps its statistics


BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


class LiveAdd(nn.Module):
    """The sum of two maps, of the channels that are live in it; a map may hold others, for other readers."""

    def __init__(self, rows: Tensor, left: Layout, right: Layout):
        super().__init__()
        for name, source in (("left", left), ("right", right)):
            self.register_buffer(name, None if torch.equal(source.channels, rows) else torch.searchsorted(source.channels, rows))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = x if self.left is None else x.index_select(1, self.left)
        return x + (y if self.right is None else y.index_select(1, self.right))


def reads(module: nn.Conv2d, full: tuple[int, ...], channel, dy, dx, y, x) -> tuple[Tensor, Tensor]:
    """Which flat input entry output position (y, x) of a convolution reads at a tap, and whether it lies inside."""
    y = y * module.stride[0] + dy * module.dilation[0] - module.padding[0]
    x = x * module.stride[1] + dx * module.dilation[1] - module.padding[1]
    inside = (y >= 0) & (y < full[1]) & (x >= 0) & (x < full[2])
    return torch.where(inside, (channel * full[1] + y) * full[2] + x, 0), inside


class LiveNetwork(nn.Module):
    """The live part of a pruned network: pixels [B, D] (`Images.gather(columns)`) -> outputs [B, classes], or a last map flattened."""

    def __init__(self, layers: fx.GraphModule, columns: Tensor, shape: tuple[int, ...] | None):
        super().__init__()
        self.layers, self.shape = layers, shape  # the shape of an image where the network reads maps
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(x.t() if self.shape is None else x.unflatten(1, self.shape))
        return out.flatten(1) if out.dim() == 4 else out.view(-1, len(x)).t()


def build(network: nn.Module, shape: tuple[int, ...]) -> LiveNetwork:
    """The live network of a pruned one for images of `shape` (C, H, W).

    It computes from `images.gather(live.columns)` what the pruned network computes from the images, and
    its parameters are the live values and biases only. Its layers keep the names of the original's.
    Raises TypeError on a layer that is not known here.
    """
    graph, alive, need = trace(network, shape), pruning.masks(network), needed(network, shape)
    way = cheapest_way(network, graph, alive, need)
    named, layouts, layers = names(graph), {}, {}
    nodes = list(graph.nodes)
    for node in nodes:
        if node.op == "output":
            continue
        full, live, module = node.meta["shape"], need[named[node]], layer_of(network, node)
        mask = alive.get(f"{node.target}.weight")
        if len(full) == 3:
            rows, positions = live.any((1, 2)).nonzero().flatten(), live.any(0).flatten().nonzero().flatten()
            maps = Layout("map", grid(rows, torch.arange(full[1] * full[2]), full), full)
        else:
            rows = live.nonzero().flatten()
        sources = [layouts[source] for source in node.all_input_nodes]
        layer, layout = None, None
        if node.op == "placeholder":
            columns = torch.arange(live.numel()) if way == "maps" else live.flatten().nonzero().flatten()
            layout = Layout("map" if way == "maps" else "units", columns, full)
        elif isinstance(module, nn.Linear):
            layer, layout = LiveLinear(module, mask, rows, *sources), Layout("units", rows, full)
        elif isinstance(module, nn.Conv2d) and way == "maps":
            layer, layout = MapConv(module, mask, rows, *sources, full[1:]), maps
        elif isinstance(module, nn.Conv2d) and way == "sums":
            units = live.flatten().nonzero().flatten()
            if any(isinstance(layer_of(network, n), (nn.Conv2d, nn.Linear)) for n in nodes[nodes.index(node) + 1 :]):  # not the outputs
                units = units[(units % math.prod(full[1:])).argsort(stable=True)]  # what looks at the same place, one after the other
            layer, layout = SparseConv(module, mask, rows, *sources, units, full[1:]), Layout("units", units, full)
        elif isinstance(module, nn.Conv2d) and node.args[0].op == "placeholder":
            layer = PatchConv(module, mask, rows, *sources, positions, full[1:])
            layout = Layout("units", grid(rows, positions, full), full)
        elif isinstance(module, nn.Conv2d):
            units = live.flatten().nonzero().flatten()
            layer, layout = TapConv(module, mask, rows, *sources, units, full[1:]), Layout("units", units, full)
        elif isinstance(module, nn.BatchNorm2d):
            layer, layout = LiveBatchNorm(module, sources[0].channels), sources[0]
        elif isinstance(module, BY_CHANNEL):  # of every channel that is there, as some other reader may need it
            layer, layout = module, Layout("map", grid(sources[0].channels, torch.arange(full[1] * full[2]), full), full)
        elif node.target in ADDITIONS:
            layer, layout = LiveAdd(rows, *sources), maps
        else:  # ReLU, Identity, Flatten: every entry stays where it is, and a reader flattens by itself
            alone = len(node.args[0].users) == 1 and type(layers.get(node.args[0].target, nn.Identity())) is not nn.Identity
            layer = nn.ReLU(inplace=alone) if isinstance(module, nn.ReLU) else nn.Identity()
            layout = Layout(sources[0].kind, sources[0].order, full if sources[0].kind == "units" else sources[0].full)
        layouts[node] = layout
        if layer is not None:
            node.op, node.target, node.args, node.kwargs = "call_module", named[node], tuple(node.all_input_nodes), {}
            layers[named[node]] = layer
    return LiveNetwork(fx.GraphModule(layers, graph), columns, shape if way == "maps" else None)


# Single positions are faster while a layer's live (output channel, tap) pairs, times the share of positions that are live, stay
# below a + b * its output channels: they cost by the pair, whole maps by the channel. Measured on Conv, rho 1 to 2.5, several
# pruners, 28x28 and 32x32, one thread, float32 (benchmarks/convolutions.py has some of it).
FEW_PAIRS = (30, 4)

# A term of a sum (`SparseConv`) costs as much as so many terms of a product, and a sparse product by itself as much as so many terms
# of a sum. Measured likewise.
DEAR = (4, 12_000)


def cheapest_way(network: nn.Module, graph: fx.Graph, alive: dict[str, Tensor], need: dict[str, Tensor]) -> str:
    """How to compute the convolutions: whole "maps" of live channels (`MapConv`), or single entries of them.

    These as products at live "positions" (`PatchConv`, `TapConv`), or as "sums" one by one (`SparseConv`). A TapConv reads the
    same positions of every channel, which only a PatchConv leaves, and only a chain of convolutions, linear layers and
    activations has single entries at all.
    """
    convolutions = [n for n in graph.nodes if isinstance(layer_of(network, n), nn.Conv2d)]
    if any(n.target in ADDITIONS or isinstance(layer_of(network, n), BY_CHANNEL) for n in graph.nodes):
        return "maps"
    if len(convolutions) > 2 or any(n.args[0].op != "placeholder" for n in convolutions[:1]):
        return "maps"
    if len(convolutions) < 2:
        return "positions"
    inputs, outputs, mask = need[convolutions[0].target], need[convolutions[1].target], alive[f"{convolutions[1].target}.weight"]
    pairs, positions = mask[outputs.any((1, 2))].any(1), inputs.any(0)  # [channels, height, width of the kernel], [H, W]
    terms = (mask.flatten(1).sum(1) * outputs.flatten(1).sum(1)).sum()
    if DEAR[0] * (terms + DEAR[1]) < pairs.sum() * inputs.any((1, 2)).sum() * positions.sum():
        return "sums"
    few = pairs.sum() * positions.double().mean() < FEW_PAIRS[0] + FEW_PAIRS[1] * pairs.any((1, 2)).sum()
    return "positions" if few else "maps"


def layer_of(network: nn.Module, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(node.target) if node.op == "call_module" else None


def write_back(live: LiveNetwork, network: nn.Module) -> None:
    """Copy the live network's trained values, biases and statistics into the pruned network it was built from."""
    with torch.no_grad():
        for name, layer in live.layers.named_modules():
            if isinstance(layer, LiveBatchNorm):
                for each in BATCH_NORM:
                    getattr(network.get_submodule(name), each)[layer.rows] = getattr(layer, each)
            if isinstance(layer, LiveLayer):
                module = network.get_submodule(name)
                pruning.dense(module).view(-1)[layer.index] = layer.values
                if layer.bias is not None:
                    module.bias[layer.rows] = layer.bias


def freeze(live: LiveNetwork, free: int) -> tuple[LiveNetwork, LiveNetwork]:
    """Freeze all but the last `free` layers with weights: their values, biases and statistics stay as they are.

    Returns (frozen, rest), which share their layers with `live`: rest(frozen(x)) is live(x), and as no layer of `frozen` learns,
    what it says of an image can be computed once. They part after the last activation before the free layers that alone
    leads on, so never inside a residual block. Raises ValueError unless 1 <= free <= the number of layers.
    """
    *nodes, output = live.layers.graph.nodes  # in the order of computation
    weighted = [i for i, node in enumerate(nodes) if isinstance(layer_of(live.layers, node), LiveLayer)]
    if not 1 <= free <= len(weighted):
        raise ValueError(f"free_layers: {free!r} is not allowed; this network has from 1 to {len(weighted)} layers to leave free")
    first, place = weighted[-free], {node: i for i, node in enumerate([*nodes, output])}
    for node in nodes[1:first]:
        layer_of(live.layers, node).requires_grad_(False)
    last = max(i for i in range(first) if all(place[user] <= i for node in nodes[:i] for user in node.users))
    front, back, copies = fx.Graph(), fx.Graph(), {}
    for node in nodes[: last + 1]:
        copies[node] = front.node_copy(node, copies.__getitem__)
    front.output(copies[nodes[last]])
    copies = {nodes[last]: back.placeholder("activation")}
    for node in [*nodes[last + 1 :], output]:
        copies[node] = back.node_copy(node, copies.__getitem__)
    frozen = LiveNetwork(fx.GraphModule(live.layers, front), live.columns, live.shape)
    image = next(live.parameters()).new_zeros(1, len(live.columns))
    with torch.no_grad():
        activation = frozen.eval().layers(image.t() if live.shape is None else image.unflatten(1, live.shape))
    columns = torch.arange(activation.numel(), device=image.device)
    rest = LiveNetwork(fx.GraphModule(live.layers, back), columns, activation.shape[1:] if activation.dim() == 4 else None)
    live.train()
    return frozen, rest

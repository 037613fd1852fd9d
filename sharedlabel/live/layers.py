"""The layers of a live network (`live`): each holds the live values of a layer of the pruned network, and computes with these alone.

What lies between them is described by a `Layout`. There are four ways to compute a convolution; `network.convolution_strategy` chooses.
"""
import math
import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharedlabel import pruning
from sharedlabel.live import maps


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
        weight = pruning.unmasked_parameter(module).detach()
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


def reads(module: nn.Conv2d, full: tuple[int, ...], channel, dy, dx, y, x) -> tuple[Tensor, Tensor]:
    """Which flat input entry output position (y, x) of a convolution reads at a tap, and whether it lies inside."""
    y = y * module.stride[0] + dy * module.dilation[0] - module.padding[0]
    x = x * module.stride[1] + dx * module.dilation[1] - module.padding[1]
    inside = (y >= 0) & (y < full[1]) & (x >= 0) & (x < full[2])
    return torch.where(inside, (channel * full[1] + y) * full[2] + x, 0), inside


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

    graphable = False  # making a sparse matrix waits for the GPU: see `training.GraphedStep`

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
    one is its bias, or 0. On a CPU it multiplies by live weights alone where they are few (`maps.serves`).
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
        self.taps = None
        if maps.serves(module, self.shape, len(out)):
            shape = (len(rows), len(source.channels), *mask.shape[2:])
            self.taps = maps.Taps((out, torch.searchsorted(source.channels, channel), dy, dx), shape, source.full[1:])

    def forward(self, x: Tensor) -> Tensor:
        if self.taps is not None and maps.computes(x, self.values):
            return maps.Convolution.apply(x, self.values, self.bias, self.taps)
        x = x if self.reads is None else x.index_select(1, self.reads)
        if self.writes is None and len(self.values):
            return F.conv2d(x, self.weight(), self.bias, *self.geometry)
        out = x.new_zeros(len(x), len(self.rows), *self.out_size)
        if len(self.values):
            out = out.index_copy(1, self.writes, F.conv2d(x, self.weight(), None, *self.geometry).to(x.dtype))
        return out if self.bias is None else out + self.bias[:, None, None]


BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


class LiveBatchNorm(nn.BatchNorm2d):
    """BatchNorm of the live channels `rows`: map -> map; with the ReLU behind it where it `rectifies` (`Rectified` stands there then)."""

    def __init__(self, module: nn.BatchNorm2d, rows: Tensor):
        super().__init__(len(rows), module.eps, module.momentum, module.affine, module.track_running_stats)
        self.to(module.weight.dtype)
        self.register_buffer("rows", rows)
        self.rectifies = False
        with torch.no_grad():
            for name in BATCH_NORM:
                getattr(self, name).copy_(getattr(module, name)[rows])

    def forward(self, x: Tensor) -> Tensor:
        if not len(self.rows):
            return x
        count = x.numel() // x.shape[1]
        if not self.training or count < 2 or self.momentum is None or not maps.computes(x, self.weight):
            out = super().forward(x)
            return F.relu(out, inplace=True) if self.rectifies else out
        out, mean, variance = maps.BatchNorm.apply(x, self.weight, self.bias, self.eps, self.rectifies)
        with torch.no_grad():  # as PyTorch's, with the unbiased variance
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        return out

    def train(self, mode: bool = True) -> "LiveBatchNorm":
        return super().train(mode and self.weight.requires_grad)  # frozen, it keeps its statistics


class Rectified(nn.Identity):
    """Where a ReLU stood that the BatchNorm before it computes."""


class LiveAdd(nn.Module):
    """The sum of two maps, of the channels that are live in it; a map may hold others, for other readers."""

    def __init__(self, rows: Tensor, left: Layout, right: Layout):
        super().__init__()
        for name, source in (("left", left), ("right", right)):
            self.register_buffer(name, None if torch.equal(source.channels, rows) else torch.searchsorted(source.channels, rows))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = x if self.left is None else x.index_select(1, self.left)
        return x + (y if self.right is None else y.index_select(1, self.right))

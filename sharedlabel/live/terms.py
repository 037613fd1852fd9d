"""The compiled form of a live network: where every activation lies, and the lists of terms that make each from others.

Activations lie one after the other in one array of slots; a slot holds one number of every image of the batch. A map keeps
all positions of its live channels, whether they are computed or not, so that what a kernel's weight reads lies at the same distance
everywhere. A sum is then a pattern, a list of (distance, weight), and where it applies: runs of neighbouring slots.
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .graph import Step, padding_of

SUMS, MAXIMUM, BATCHNORM, ADD, RELU, MIX = range(6)

# The columns of a program's table of operations.
FIELDS = ("kind", "first_run", "last_run", "first_back", "last_back", "source", "source_slots", "writer", "other", "other_slots",
          "out", "out_slots", "rectifies", "weights", "biases", "learns", "number", "channels")


TILE = 4  # positions of a row that are computed for all channels in turn, so that what they read stays in the first cache
OUTSIDE = -(10**9)  # where a tap would look, if it looks past the edge
MOSTLY = 1 / 3  # of its positions a convolution computes, where its inputs' gradients are gathered (`convolution`)


@dataclass
class Region:
    """Where an activation lies: from slot `first` on, `area` positions of every one of `rows` (channels, or units of area 1)."""

    first: int
    rows: Tensor
    area: int
    writer: int = -1  # the number of the operation that writes it

    @property
    def slots(self) -> int:
        return len(self.rows) * self.area

    def slots_of(self, entries: Tensor) -> Tensor:
        """Slots of entries of the flattened, full activation."""
        return self.first + torch.searchsorted(self.rows, entries // self.area) * self.area + entries % self.area


class Axis(NamedTuple):
    """One axis of a kernel or pool: output i reads, for every tap k, input start[i] + taps[i, k], or nothing where that is `OUTSIDE`."""

    start: np.ndarray  # [outputs]
    taps: np.ndarray  # [outputs, taps]

    @classmethod
    def of(cls, size: int, outputs: int, taps: int, stride: int, padding: int, dilation: int) -> "Axis":
        start, away = np.arange(outputs) * stride - padding, np.arange(taps) * dilation
        reached = start[:, None] + away
        return cls(start, np.where((reached >= 0) & (reached < size), away, OUTSIDE))

    @classmethod
    def adaptive(cls, size: int, outputs: int) -> "Axis":
        start, stop = np.arange(outputs) * size // outputs, -(-np.arange(1, outputs + 1) * size // outputs)
        away = np.arange((stop - start).max())
        return cls(start, np.where(away < (stop - start)[:, None], away, OUTSIDE))

    def reversed(self, size: int) -> "Axis":
        """The same taps from the input's side: which output reads an input, of `size`, by a tap."""
        readers = np.full((size, self.taps.shape[1]), -1)
        output, tap = (self.taps != OUTSIDE).nonzero()
        readers[self.start[output] + self.taps[output, tap], tap] = output
        start = readers.max(1, initial=0)  # any will do that lies near
        return Axis(start, np.where(readers < 0, OUTSIDE, readers - start[:, None]))

    def classes(self) -> tuple[np.ndarray, np.ndarray]:
        """Outputs with the same taps are of one class: (taps of every class, the class of every output)."""
        found, of = np.unique(self.taps, axis=0, return_inverse=True)
        return found, of.reshape(-1)


def axes_of(step: Step, shape: tuple[int, ...]) -> tuple[Axis, Axis]:
    """Both axes of a convolution or pool that reads maps of `shape`."""
    module, sizes = step.module, tuple(zip(shape[1:], step.shape[1:]))
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return tuple(Axis.adaptive(*size) for size in sizes)
    padding = padding_of(module) if step.kind == "convolution" else pair(module.padding)
    geometry = (pair(module.kernel_size), pair(module.stride), padding, pair(getattr(module, "dilation", 1)))
    return tuple(Axis.of(*size, *(each[axis] for each in geometry)) for axis, size in enumerate(sizes))


def pair(value) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


class Lists(NamedTuple):
    """The patterns of all sums."""

    starts: np.ndarray  # pattern p has the terms starts[p] to starts[p + 1]
    biases: np.ndarray  # of every pattern: its place among the layer's biases, or -1
    distances: np.ndarray  # of every term: from a run's source to what is read, in slots
    entries: np.ndarray  # and its place among the layer's weights


NO_RUNS = np.empty((0, 4), np.int64)


@dataclass
class Program:
    """Operations (a row of FIELDS each) and the lists that they refer to; `finish` makes them arrays."""

    parameters: int  # so many; constants lie behind them
    operations: list = field(default_factory=list)
    runs: list = field(default_factory=list)  # (out, source, length, pattern), all in slots
    starts: list = field(default_factory=lambda: [np.zeros(1, np.int64)])
    biases: list = field(default_factory=list)  # of `Lists`, as the two that follow
    distances: list = field(default_factory=list)
    entries: list = field(default_factory=list)
    constants: list = field(default_factory=list)  # weights that no one learns
    slots: int = 0
    counts: dict = field(default_factory=lambda: {"runs": 0, "patterns": 0, "terms": 0, "constants": 0})

    def region(self, rows: Tensor, area: int) -> Region:
        found = Region(self.slots, rows, area, len(self.operations))
        self.slots += max(1, found.slots)  # so that no two regions begin at one slot
        return found

    def add(self, kind: int, runs: np.ndarray, source: Region, out: Region, back: np.ndarray = NO_RUNS, **fields) -> None:
        row = dict.fromkeys(FIELDS, 0) | {
            "kind": kind, "source": source.first, "source_slots": source.slots, "writer": source.writer, "other": -1, "out": out.first,
            "out_slots": out.slots, "weights": -1, "biases": -1, "number": -1,
        } | fields
        for which, each in (("run", runs), ("back", back)):
            row[f"first_{which}"], row[f"last_{which}"] = self.counts["runs"], self.counts["runs"] + len(each)
            self.runs.append(each)
            self.counts["runs"] += len(each)
        self.operations.append(row)

    def patterns(self, lengths: np.ndarray, biases: np.ndarray, distances: np.ndarray, entries: np.ndarray) -> int:
        """Adds patterns of these `lengths`; returns the number of the first."""
        first, self.counts["patterns"] = self.counts["patterns"], self.counts["patterns"] + len(lengths)
        self.starts.append(self.counts["terms"] + np.cumsum(lengths))
        for held, more in ((self.biases, biases), (self.distances, distances), (self.entries, entries)):
            held.append(np.asarray(more, np.int64))
        self.counts["terms"] += len(distances)
        return first

    def finish(self) -> tuple[np.ndarray, np.ndarray, Lists]:
        """The table of operations [N, FIELDS], the runs [R, 4] and the lists of all patterns."""
        table = np.array([[row[name] for name in FIELDS] for row in self.operations], np.int64).reshape(-1, len(FIELDS))
        lists = (np.concatenate([np.empty(0, np.int64), *held]) for held in (self.starts, self.biases, self.distances, self.entries))
        return table, np.concatenate([NO_RUNS, *self.runs]), Lists(*lists)


def runs_of(out: np.ndarray, source: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """(out, source, length, pattern) of slots `out` that follow one another, as do what they read; [R, 4]."""
    if not len(out):
        return NO_RUNS
    breaks = (np.diff(out) != 1) | (np.diff(source) != 1) | (np.diff(pattern) != 0)
    first = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    length = np.diff(np.append(first, len(out)))
    return np.stack([out[first], source[first], length, pattern[first]], 1)


def linear(program: Program, layer, source: Region, out: Region, **fields) -> None:
    """Every unit is a pattern and a run of its own."""
    unit, column = (each.numpy() for each in layer.coordinates)
    lengths = np.bincount(unit, minlength=len(out.rows))
    first = program.patterns(lengths, layer.bias_places, source.slots_of(layer.coordinates[1]).numpy(), np.arange(len(unit)))
    units, zeros = np.arange(len(out.rows)), np.zeros(len(out.rows), np.int64)
    program.add(SUMS, np.stack([out.first + units, zeros, zeros + 1, first + units], 1), source, out, **fields)


def convolution(program: Program, step: Step, layer, source: Region, shape: tuple[int, ...], out: Region, **fields) -> None:
    """A pattern for every output channel and set of taps that lie inside; runs along the rows of its live positions.

    Backwards a list of its own gathers every input's gradient, unless few outputs are computed: then each sends its gradient to what
    it reads.
    """
    row, channel, *taps = (each.numpy() for each in layer.coordinates)
    channel, axes = np.searchsorted(source.rows.numpy(), channel), axes_of(step, shape)
    runs = kernel_runs(program, step.live[out.rows], out, (row, channel, *taps), layer.bias_places, axes, source, shape[2])
    back = NO_RUNS
    if float(step.live[out.rows].double().mean() if len(out.rows) else 0) > MOSTLY:
        axes, everywhere = [axis.reversed(size) for axis, size in zip(axes, shape[1:])], torch.ones(len(source.rows), *shape[1:])
        back = kernel_runs(program, everywhere, source, (channel, row, *taps), np.full(len(source.rows), -1), axes, out, step.shape[2])
    program.add(SUMS, runs, source, out, back, **fields)


def kernel_runs(program: Program, live: Tensor, out: Region, coordinates: tuple, biases: np.ndarray, axes: tuple, source: Region,
                width: int) -> np.ndarray:
    """Adds a kernel's patterns, and returns where they apply: weights at `coordinates` (row of out, row of the source, taps), from a source
    map of this width to the `live` positions, [rows, height, width], of `out`."""
    row, other, dy, dx = coordinates
    (vertical, horizontal), order = axes, np.argsort(row, kind="stable")
    (high, y_class), (wide, x_class) = vertical.classes(), horizontal.classes()
    lengths, distances, entries = [], [], []
    for taps_y in high:
        for taps_x in wide:
            terms = order[(taps_y[dy[order]] != OUTSIDE) & (taps_x[dx[order]] != OUTSIDE)]
            lengths.append(np.bincount(row[terms], minlength=len(out.rows)))
            distances.append(other[terms] * source.area + taps_y[dy[terms]] * width + taps_x[dx[terms]])
            entries.append(terms)
    biases = np.tile(biases, len(high) * len(wide))
    first = program.patterns(*map(np.concatenate, (lengths or [[]], [biases], distances, entries)))
    return position_runs(live, out, lambda c, y, x: first + (y_class[y] * len(wide) + x_class[x]) * len(out.rows) + c,
                         lambda c, y, x: source.first + vertical.start[y] * width + horizontal.start[x])


def position_runs(live: Tensor, out: Region, pattern: Callable, source: Callable) -> np.ndarray:
    """The runs of a map's live positions, image row by image row, so that what is read stays in the cache."""
    y, c, x = (each.numpy() for each in live.transpose(0, 1).nonzero(as_tuple=True))
    order = np.lexsort((x, c, x // TILE, y))
    y, c, x = y[order], c[order], x[order]
    return runs_of(out.first + c * out.area + y * live.shape[2] + x, source(c, y, x), pattern(c, y, x))


def pool(program: Program, step: Step, source: Region, shape: tuple[int, ...], out: Region) -> None:
    """One pattern for every set of positions that lie inside; of an average, with the reciprocal of their number as weight."""
    vertical, horizontal = axes_of(step, shape)
    (high, y_class), (wide, x_class) = vertical.classes(), horizontal.classes()
    channel = torch.searchsorted(source.rows, out.rows).numpy() * source.area + source.first
    if step.kind == "maxpool":
        pattern = y_class[:, None] * len(wide) + x_class
        scale = [0] * len(high) * len(wide)
    else:  # an average's divisor depends on the module's settings, and is seen in what it makes of ones
        mean = step.module(torch.ones(1, *shape, dtype=torch.float64))[0, 0].numpy()
        count = [(axis.taps != OUTSIDE).sum(1) for axis in (vertical, horizontal)]
        scale = mean / np.multiply.outer(*count)
        kinds, pattern = np.unique(np.stack([y_class[:, None] * len(wide) + x_class + 0 * scale, scale]).reshape(2, -1), axis=1,
                                   return_inverse=True)
        pattern, scale = pattern.reshape(mean.shape), kinds[1]
        high, wide = high[kinds[0].astype(int) // len(wide)], wide[kinds[0].astype(int) % len(wide)]
    pairs = zip(high, wide) if step.kind == "avgpool" else ((a, b) for a in high for b in wide)
    taps = [np.add.outer(a[a != OUTSIDE] * shape[2], b[b != OUTSIDE]).ravel() for a, b in pairs]
    lengths = np.array([len(each) for each in taps])
    first = program.patterns(lengths, np.full(len(taps), -1), np.concatenate(taps), np.repeat(np.arange(len(taps)), lengths))
    runs = position_runs(torch.ones(len(out.rows), *step.shape[1:]), out, lambda c, y, x: first + pattern[y, x],
                         lambda c, y, x: channel[c] + vertical.start[y] * shape[2] + horizontal.start[x])
    if step.kind == "maxpool":
        which = program.region(out.rows, out.area)  # which tap was the largest
        program.add(MAXIMUM, runs, source, out, other=which.first)
    else:
        program.add(SUMS, runs, source, out, weights=program.parameters + program.counts["constants"])
        program.constants.append(np.asarray(scale))
        program.counts["constants"] += len(taps)


def rowwise(program: Program, kind: int, sources: list[Region], out: Region, **fields) -> None:
    """An operation on every row of `out` and the same rows of its sources: (out, source, length, source of an addition)."""
    starts = [each.slots_of(out.rows * out.area).numpy() for each in (sources[0], sources[-1])]
    runs = np.stack([out.first + np.arange(len(out.rows)) * out.area, starts[0], np.full(len(out.rows), out.area), starts[1]], 1)
    if kind == ADD:
        fields |= {"other": sources[1].first, "other_slots": sources[1].slots}
    program.add(kind, runs, sources[0], out, **fields)

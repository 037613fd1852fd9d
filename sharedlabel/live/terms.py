"""The compiled form of a live network: where every activation lies, and the lists of terms that make each from others.

Activations lie one after the other in one array of slots; a slot holds one number of every image (of a batch's part). A map keeps
all positions of its live channels, whether they are computed or not, so that what a kernel's weight reads lies at the same distance
everywhere. A sum is then a pattern, a list of (distance, weight), and where it applies: runs of neighbouring slots.
"""
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .graph import Step, padding_of

SUMS, MAXIMUM, BATCHNORM, MIX, GATES = range(5)

# The columns of a program's table of operations.
FIELDS = ("kind", "first_run", "last_run", "first_back", "last_back", "first_span", "last_span", "rectifies", "adds", "weights", "biases",
          "learns", "number", "channels", "away")
# How a gradient comes to what an operation reads: the operation is skipped, its source needs none, it is added to others', or comes first,
# and then fills all of the source, or is added to zeros.
SKIPPED, UNNEEDED, ADDED, WRITTEN, ZEROED = range(5)

TILE = 4  # positions of a row that are computed for all channels in turn, so that what they read stays in the first cache
OUTSIDE = -(10**9)  # where a tap would look, if it looks past the edge
MOSTLY = 1 / 3  # of its positions a convolution computes, where its inputs' gradients are gathered (`convolution`)
NO_RUNS = np.empty((0, 4), np.int64)


@dataclass
class Region:
    """Where an activation lies: from slot `first` on, `area` positions of every one of `rows` (channels, or units of area 1)."""

    first: int
    rows: Tensor
    area: int
    spans: tuple[int, int] = (0, 0)  # the runs from the one to the other are where its gradient is read
    writer: dict | None = None  # the operation that completes it; the input has none

    @property
    def slots(self) -> int:
        return len(self.rows) * self.area

    def slots_of(self, entries: Tensor) -> Tensor:
        """Slots of entries of the flattened, full activation."""
        return self.first + torch.searchsorted(self.rows, entries // self.area) * self.area + entries % self.area

    def live_slots(self, step: Step) -> Tensor:
        """Slots of the live entries of a step's activation, which lies here."""
        return self.slots_of(step.live.flatten().nonzero().flatten())


class Joined:
    """Arrays one behind the other."""

    def __init__(self, first):
        self.parts, self.size = [np.asarray(first)], len(first)

    def add(self, part) -> int:
        """Where it begins."""
        self.parts.append(np.asarray(part, self.parts[0].dtype))
        self.size += len(part)
        return self.size - len(part)

    def array(self) -> np.ndarray:
        return np.concatenate(self.parts)


class Code(NamedTuple):
    """A program as `kernels` run it."""

    table: np.ndarray  # of operations, [N, FIELDS]
    how: np.ndarray  # [2, N]: how a gradient comes to what every operation reads; if the input needs one, by the second row
    runs: np.ndarray  # [R, 4]: out, source and length in slots, and the pattern
    starts: np.ndarray  # pattern p has the terms starts[p] to starts[p + 1]
    biases: np.ndarray  # of every pattern: its place among the layer's biases, or -1
    distances: np.ndarray  # of every term: from a run's source to what is read, in slots
    entries: np.ndarray  # and its place among the layer's weights
    columns: np.ndarray  # the inputs' slots
    outputs: np.ndarray  # the outputs' slots; of a head the first of `length` each, of which an output is the mean
    length: int
    blank: np.ndarray  # from which run to which are those of the last activation, if some of its slots are no outputs
    constants: np.ndarray  # weights that no one learns, behind all parameters
    settings: np.ndarray  # by BatchNorm: eps, momentum (-1: the mean over all batches), and whether its statistics move
    slots: int


class Program:
    """Operations and the lists that they refer to, in the making."""

    def __init__(self, parameters: int):
        self.parameters, self.slots, self.operations = parameters, 0, []
        self.runs, self.constants, self.starts = Joined(NO_RUNS), Joined(np.empty(0)), Joined([0])
        self.biases, self.distances, self.entries = (Joined(np.empty(0, np.int64)) for _ in range(3))

    def region(self, rows: Tensor, area: int) -> Region:
        found = Region(self.slots, rows, area)
        self.slots += max(1, found.slots)  # so that no two regions begin at one slot
        first = self.runs.add([(found.first, 0, found.slots, 0)])
        found.spans = first, first + 1
        return found

    def add(self, kind: int, runs: np.ndarray, source: Region, out: Region, back: np.ndarray = NO_RUNS, **fields) -> None:
        """Adds an operation; `back`: runs that gather the gradient of its source. A second sum for `out` is added to the first."""
        first, first_back = self.runs.add(runs), self.runs.add(back)
        gathered = int(back[:, 2].sum()) if kind == SUMS else 0 if kind == MAXIMUM else out.slots
        out.writer = dict.fromkeys(FIELDS, 0) | {
            "kind": kind, "source": source.first, "out": out.first, "fills": gathered >= source.slots, "first_run": first,
            "last_run": first + len(runs), "first_back": first_back, "last_back": first_back + len(back), "first_span": source.spans[0],
            "last_span": source.spans[1], "adds": int(out.writer is not None), "weights": -1, "biases": -1,
        } | fields
        self.operations.append(out.writer)

    def constant(self, values) -> int:
        """The place of weights that no one learns."""
        return self.parameters + self.constants.add(values)

    def patterns(self, lengths: np.ndarray, biases: np.ndarray, distances: np.ndarray, entries: np.ndarray) -> int:
        """Adds patterns of these `lengths`; returns the number of the first."""
        self.starts.add(self.distances.size + np.cumsum(lengths))
        self.distances.add(distances)
        self.entries.add(entries)
        return self.biases.add(biases)

    def gradients(self, to_input: bool) -> list[int]:
        """Of every operation, how a gradient comes to its source, where the input needs one or not."""
        depends, reached, how = {}, set(), []  # regions, by their first slot: whose gradient is needed, and that have one already
        for op in self.operations:
            needed = depends.setdefault(op["source"], to_input)  # what no operation has written is the input
            depends[op["out"]] = depends.get(op["out"], False) or bool(op["learns"]) or needed
        for op in reversed(self.operations):
            source = op["source"]
            if not (depends[op["out"]] and depends[source]):
                how.append(UNNEEDED if depends[op["out"]] else SKIPPED)
            else:
                how.append(ADDED if source in reached else WRITTEN if op["fills"] else ZEROED)
                reached.add(source)
        return how[::-1]

    def finish(self, columns: Tensor, outputs: Tensor, last: Region, length: int = 1, settings: list = ()) -> Code:
        """`columns` and `outputs`: slots; of the latter the first of `length` each, in the region `last`."""
        table = np.array([[op[name] for name in FIELDS] for op in self.operations], np.int64).reshape(-1, len(FIELDS))
        lists = (each.array() for each in (self.runs, self.starts, self.biases, self.distances, self.entries))
        how, blank = np.array([self.gradients(False), self.gradients(True)]), last.spans if len(outputs) * length < last.slots else (0, 0)
        return Code(table, how, *lists, columns.numpy(), outputs.numpy(), length, np.array(blank), self.constants.array(),
                    np.array(settings, float).reshape(-1, 3), self.slots)


class Windows(NamedTuple):
    """What a kernel or pool reads: position p, by its tap k, reads start[p] + taps[p, k], or nothing where that is `OUTSIDE`."""

    start: np.ndarray  # [positions]
    taps: np.ndarray  # [positions, taps]

    def reversed(self, inputs: int) -> "Windows":
        """The same taps from the side of `inputs` positions: which one reads an input by a tap."""
        readers = np.full((inputs, self.taps.shape[1]), -1)
        position, tap = (self.taps != OUTSIDE).nonzero()
        readers[self.start[position] + self.taps[position, tap], tap] = position
        start = readers.max(1, initial=0)  # any will do that lies near
        return Windows(start, np.where(readers < 0, OUTSIDE, readers - start[:, None]))


def windows_of(step: Step, shape: tuple[int, ...]) -> Windows:
    """Of a convolution or pool that reads maps of `shape`."""
    module, axes = step.module, []
    for axis, (size, outputs) in enumerate(zip(shape[1:], step.shape[1:])):
        if isinstance(module, nn.AdaptiveAvgPool2d):
            start, stop = np.arange(outputs) * size // outputs, -(-np.arange(1, outputs + 1) * size // outputs)[:, None]
            away = np.arange((stop[:, 0] - start).max())
        else:
            padding = padding_of(module) if step.kind == "convolution" else module.padding
            stride, dilation, taps, before = (
                pair(each)[axis] for each in (module.stride, getattr(module, "dilation", 1), module.kernel_size, padding)
            )
            start, stop, away = np.arange(outputs) * stride - before, size, np.arange(taps) * dilation
        reached = start[:, None] + away
        axes.append((start, away, (reached >= 0) & (reached < stop)))
    (y, down, inside_y), (x, right, inside_x) = axes
    inside = (inside_y[:, None, :, None] & inside_x[None, :, None, :]).reshape(len(y) * len(x), -1)
    return Windows(np.add.outer(y * shape[2], x).ravel(), np.where(inside, np.add.outer(down * shape[2], right).ravel(), OUTSIDE))


def pair(value) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def unit_runs(program: Program, unit: Tensor, entry: Tensor, biases: np.ndarray, source: Region, out: Region) -> np.ndarray:
    """Adds a pattern for every unit, one for each of `biases`, and returns where it applies: of weights at (unit, entry of the source)."""
    lengths = np.bincount(unit.numpy(), minlength=len(biases))
    first = program.patterns(lengths, biases, source.slots_of(entry).numpy() - source.first, np.arange(len(unit)))
    row, same = np.arange(len(biases)), np.ones(len(biases), np.int64)
    return np.stack([out.first + row * out.area, source.first * same, out.area * same, first + row], 1)


def convolution(program: Program, step: Step, layer, source: Region, shape: tuple[int, ...], out: Region, **fields) -> None:
    """A pattern for every output channel and set of taps that lie inside; runs along the rows of its live positions.

    Backwards a list of its own gathers every input's gradient, unless few outputs are computed: then each sends its gradient to what
    it reads.
    """
    row, channel, down, right = (each.numpy() for each in layer.coordinates)
    channel, tap = np.searchsorted(source.rows.numpy(), channel), down * step.module.kernel_size[1] + right
    windows, live = windows_of(step, shape), step.live[out.rows]
    runs = kernel_runs(program, live, out, (row, channel, tap), layer.bias_places, windows, source)
    gathers, back = float(live.double().mean() if len(out.rows) else 0) > MOSTLY, NO_RUNS
    if gathers:
        everywhere, none = torch.ones(len(source.rows), *shape[1:]), np.full(len(source.rows), -1)
        back = kernel_runs(program, everywhere, source, (channel, row, tap), none, windows.reversed(source.area), out)
    program.add(SUMS, runs, source, out, back, **fields)
    if not gathers:
        out.spans = out.writer["first_run"], out.writer["last_run"]


def kernel_runs(program: Program, live: Tensor, out: Region, coordinates: tuple, biases: np.ndarray, windows: Windows, source: Region):
    """Adds a kernel's patterns, and returns where they apply: of weights at `coordinates` (row of out, row of the source, tap), at the
    `live` positions, [rows, height, width], of `out`."""
    row, other, tap = coordinates
    sets, number = np.unique(windows.taps, axis=0, return_inverse=True)
    order, first = np.argsort(row, kind="stable"), program.biases.size
    for taps in sets:
        terms = order[taps[tap[order]] != OUTSIDE]
        lengths = np.bincount(row[terms], minlength=len(out.rows))
        program.patterns(lengths, biases, other[terms] * source.area + taps[tap[terms]], terms)
    patterns = first + number.reshape(-1) * len(out.rows) + np.arange(len(out.rows))[:, None]
    return position_runs(live, out, np.broadcast_to(source.first + windows.start, patterns.shape), patterns)


def position_runs(live: Tensor, out: Region, source: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """The runs of a map's live positions, image row by image row, so that what is read stays in the cache; `source` and `pattern` are of
    every position, [rows, area]. A run is of slots that follow one another, as do what they read."""
    c, y, x = (each.numpy() for each in live.nonzero(as_tuple=True))
    order = np.lexsort((x, c, x // TILE, y))
    c, at = c[order], (y * live.shape[2] + x)[order]
    if not len(at):
        return NO_RUNS
    out, source, pattern = out.first + c * out.area + at, source[c, at], pattern[c, at]
    breaks = (np.diff(out) != 1) | (np.diff(source) != 1) | (np.diff(pattern) != 0)
    first = np.concatenate([[0], np.flatnonzero(breaks) + 1])
    return np.stack([out[first], source[first], np.diff(np.append(first, len(out))), pattern[first]], 1)


def pool(program: Program, step: Step, source: Region, shape: tuple[int, ...], out: Region) -> None:
    """One pattern for every set of positions that lie inside; of an average, with the reciprocal of their number as weight."""
    windows, largest = windows_of(step, shape), step.kind == "maxpool"
    share = np.zeros(out.area)
    if not largest:  # an average's divisor depends on the module's settings, and is seen in what it makes of ones
        share = step.module(torch.ones(1, *shape, dtype=torch.float64))[0, 0].numpy().ravel() / (windows.taps != OUTSIDE).sum(1)
    sets, number = np.unique(np.column_stack([windows.taps, share]), axis=0, return_inverse=True)
    taps, inside = sets[:, :-1], sets[:, :-1] != OUTSIDE
    lengths = inside.sum(1)
    first = program.patterns(lengths, np.full(len(sets), -1), taps[inside], np.repeat(np.arange(len(sets)), lengths))
    begin = source.first + torch.searchsorted(source.rows, out.rows).numpy()[:, None] * source.area
    pattern = np.broadcast_to(first + number.reshape(-1), (len(out.rows), out.area))
    runs = position_runs(torch.ones(len(out.rows), *step.shape[1:]), out, begin + windows.start, pattern)
    if largest:
        which = program.region(out.rows, out.area)  # which tap was the largest
        program.add(MAXIMUM, runs, source, out, away=which.first - out.first)
    else:
        program.add(SUMS, runs, source, out, weights=program.constant(sets[:, -1]))


def row_runs(source: Region, out: Region, pattern: int = 0) -> np.ndarray:
    """Every row of `out`, and the same one of its source."""
    row, same = np.arange(len(out.rows)), np.ones(len(out.rows), np.int64)
    return np.stack([out.first + row * out.area, source.slots_of(out.rows * out.area).numpy(), out.area * same, pattern * same], 1)


def copy(program: Program, sources: list[Region], out: Region) -> None:
    """Every row of `out` is the sum of the same rows of its sources: of one term each, whose weight is 1."""
    one, pattern = program.constant([1.0]), program.patterns([1], [-1], [0], [0])
    for source in sources:
        runs = row_runs(source, out, pattern)
        program.add(SUMS, runs, source, out, runs[:, [1, 0, 2, 3]], weights=one)

"""A live network's steps as one compiled program, which to PyTorch is one differentiable function."""
import math
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn

from . import kernels, terms, vectors
from .graph import Step

PART = 64, 2_000_000  # a part of a batch has about so many images, or so many activations if that is more


def live_rows(live: Tensor, area: int) -> Tensor:
    """Of which channels (or units, of area 1) something is live."""
    return live.reshape(-1, area).any(1).nonzero().flatten()


def assemble(steps: list[Step], layers: dict, parameters: int, mixes: bool) -> terms.Code:
    """The program of the steps. `mixes`: images are mixed after every ReLU."""
    program, regions, root = terms.Program(parameters), [], list(range(len(steps)))
    for i, step in enumerate(steps):
        root[i] = root[step.sources[0]] if step.kind == "same" else i
    readers = [root[i] for step in steps if step.kind != "same" for i in step.sources]
    for step in steps:
        sources, shapes, layer = [regions[i] for i in step.sources], [steps[i].shape for i in step.sources], layers.get(step.name)
        fields = {} if layer is None else layer.fields()
        if step.kind == "same":
            out = sources[0]
        elif step.kind == "relu":
            out = sources[0]
            if out.writer and out.writer["kind"] != terms.MIX and readers.count(root[step.sources[0]]) == 1:
                out.writer["rectifies"] = 1  # nobody reads what it is before
            else:
                out = program.region(out.rows, out.area)
                terms.copy(program, sources, out)
                out.writer["rectifies"] = 1
            if mixes:
                source, out = out, program.region(out.rows, out.area)
                program.add(terms.MIX, [(out.first, source.first, out.slots, 0)], source, out)
        else:
            area = step.area if len(sources) < 2 else sources[0].area if sources[0].area == sources[1].area else 1
            out = program.region(live_rows(step.live, area), area)
            if step.kind == "linear":
                runs = terms.unit_runs(program, *layer.coordinates, layer.bias_places, sources[0], out)
                program.add(terms.SUMS, runs, sources[0], out, **fields)
            elif step.kind == "convolution":
                terms.convolution(program, step, layer, sources[0], shapes[0], out, **fields)
            elif step.kind == "batchnorm":
                program.add(terms.BATCHNORM, terms.row_runs(sources[0], out), sources[0], out, **fields)
            elif step.kind == "add":
                terms.copy(program, sources, out)
            elif step.kind != "input":
                terms.pool(program, step, sources[0], shapes[0], out)
        regions.append(out)
    columns, outputs = (regions[i].live_slots(steps[i]) for i in (0, -1))
    settings = [(layer.eps, -1 if layer.momentum is None else layer.momentum, not layer.frozen) for layer in layers.values()
                if layer.index is None]
    return program.finish(columns, outputs, regions[-1], settings=settings)


def aligned_zeros(size: int, kind: type) -> np.ndarray:
    """Zeros that begin where a cache line does: no block of 16 numbers lies in two, which takes up to a quarter longer."""
    room = np.zeros(size + 64 // np.dtype(kind).itemsize, kind)
    return room[-room.ctypes.data % 64 // room.itemsize :][:size]


class Arrays(list):
    """Pairs of arrays, for activations and their gradients, that nobody uses now; a copy of a network begins with none."""

    def __reduce__(self):
        return Arrays, ()


class Loan:
    """Two of a network's arrays, of these `sizes` at least, until nobody holds this any more."""

    def __init__(self, free: Arrays, sizes: tuple[int, int], kind: type):
        self.free, self.pair = free, None
        with suppress(IndexError):  # nothing is free
            self.pair = free.pop()  # in one step, so that no two threads are lent the same
        if self.pair is None or any(len(held) < size or held.dtype != kind for held, size in zip(self.pair, sizes)):
            self.pair = tuple(aligned_zeros(size, kind) for size in sizes)

    def __del__(self):
        if len(self.free) < 2:
            self.free.append(self.pair)


class LiveModule(nn.Module):
    """A module that a compiled program computes: what learns is one vector, `learning`.

    Within PyTorch it is one differentiable function. `compute` and `gradients` do the same without a graph, for whoever has the gradient
    to the outputs at hand, as a training step has: on few weights a graph takes longer than all there is to compute.
    """

    learning: nn.Parameter
    fixed: Tensor  # parameters that do not learn
    running: Tensor  # BatchNorms' means and variances [2, C]
    batches: Tensor  # how many batches each has seen
    counted: Tensor  # and 1 for those that training counts

    def __init__(self):
        super().__init__()
        self.free, self.group, self.share = Arrays(), 1, 0.0

    def code_for(self, x: Tensor) -> terms.Code:
        """The program for inputs like x; ValueError on some that it does not take."""
        raise NotImplementedError

    def sparse_state(self) -> dict[str, Tensor]:
        """Its values and places by tensor, as views: integers are places, all else values."""
        raise NotImplementedError

    @torch.no_grad()
    def load_sparse_state(self, state: dict[str, Tensor]) -> None:
        """Takes the values of a `sparse_state`; ValueError on one of another network, or of one that was pruned differently."""
        own = self.sparse_state()
        places = [name for name, t in own.items() if not t.is_floating_point()]
        alike = own.keys() == state.keys() and all(t.shape == state[name].shape for name, t in own.items())
        if not alike or not all(torch.equal(own[name].cpu(), state[name].long().cpu()) for name in places):
            raise ValueError("the checkpoint is of a network that was pruned differently")
        for name in own.keys() - set(places):
            own[name].copy_(state[name])

    def parts(self, images: int, slots: int, together: bool) -> list[slice]:
        """The parts of a batch: computed one after the other, so that what is read again is still in the cache. They are of whole groups,
        and of whole blocks where these are few; there is one alone where all images depend on each other."""
        count = 1 if together else max(1, images // max(PART[0], PART[1] // slots))
        unit = math.lcm(self.group, 16)
        unit = self.group if unit > 2 * PART[0] else unit
        size = max(1, math.ceil(images / count / unit)) * unit
        return [slice(first, min(first + size, images)) for first in range(0, max(1, images), size)]

    def compute(self, x: Tensor) -> tuple[Tensor, tuple]:
        """Inputs -> outputs, and what `gradients` is to be given."""
        code, kind, shape = self.code_for(x), np.float64 if self.learning.dtype == torch.float64 else np.float32, x.shape
        x = np.asarray(as_numpy(x), kind)
        innermost = x.ndim == 2 and x.flags.f_contiguous and not x.flags.c_contiguous
        trains = self.training and len(x) > 0  # an empty batch has no statistics, but counts
        weights = np.concatenate([as_numpy(self.learning), as_numpy(self.fixed), code.constants], dtype=kind, casting="same_kind")
        parts, out = self.parts(len(x), code.slots, trains and bool(self.counted.any())), np.empty((len(x), len(code.outputs)), kind)
        loan = Loan(self.free, (code.slots * len(x), code.slots * parts[0].stop), kind)
        statistics, running = np.empty((2, self.running.shape[1])), np.asarray(as_numpy(self.running), kind)
        for part in parts:
            kernels.forward(code, x[part].ravel("K" if innermost else "C"), innermost, weights, loan.pair[0][code.slots * part.start:],
                            statistics, running, as_numpy(self.batches), trains, self.group, self.share, out[part])
        if self.training and len(self.batches):
            self.running.copy_(torch.from_numpy(running))  # which is another array where they are of another type
            self.batches += self.counted
        kept = shape, parts, loan, code, weights, statistics, trains, self.group, self.share
        return torch.from_numpy(out).to(self.learning.dtype), kept

    def gradients(self, kept: tuple, gradient: Tensor, to_input: bool = False) -> tuple[Tensor, Tensor | None]:
        """The gradient to the outputs -> those to `learning`, and to the inputs where asked for."""
        shape, parts, loan, code, weights, *others = kept
        gradient = np.ascontiguousarray(as_numpy(gradient), weights.dtype)
        to_learning = np.empty(len(self.learning), weights.dtype)
        to_x = np.empty((len(gradient), len(code.columns) if to_input else 0), weights.dtype)
        sums = aligned_zeros(vectors.FOLDED * len(weights), weights.dtype)  # which all parts add to
        activations, grad = loan.pair
        for part in parts:
            act = activations[code.slots * part.start:]
            kernels.backward(code, gradient[part], weights, act, grad, *others, sums, to_learning, to_x[part])
        return torch.from_numpy(to_learning).to(self.learning.dtype), torch.from_numpy(to_x).view(shape) if to_input else None


class Compiled(torch.autograd.Function):
    """Inputs, `learning` and the module that it is of -> outputs."""

    @staticmethod
    def forward(ctx, x: Tensor, learning: Tensor, module: LiveModule) -> Tensor:
        out, kept = module.compute(x)
        ctx.kept, ctx.module, ctx.x_type = kept, module, x.dtype
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor):
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("a compiled live network has no second derivatives; whole maps (`by_maps`, or `by_matrices`) have them")
        to_learning, to_x = ctx.module.gradients(ctx.kept, gradient, ctx.needs_input_grad[0])
        return None if to_x is None else to_x.to(ctx.x_type), to_learning, None


def as_numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()

"""A live network's steps as one compiled program, which to PyTorch is one differentiable function."""
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import kernels, terms
from .graph import Step

COMPUTED_IN = {torch.float64: np.float64}  # all others: float32


def live_rows(live: Tensor, area: int) -> Tensor:
    """Of which channels (or units, of area 1) something is live."""
    return live.reshape(-1, area).any(1).nonzero().flatten()


def assemble(steps: list[Step], layers: dict, parameters: int, mixes: bool) -> tuple[terms.Program, list[terms.Region]]:
    """The program of the steps, and where the activation of each lies. `mixes`: images are mixed after every ReLU."""
    program, regions, root = terms.Program(parameters), [], list(range(len(steps)))
    for i, step in enumerate(steps):
        root[i] = root[step.sources[0]] if step.kind == "same" else i
    readers = [root[i] for step in steps if step.kind != "same" for i in step.sources]
    for step in steps:
        sources, layer = [regions[i] for i in step.sources], layers.get(step.name)
        fields = {} if layer is None else layer.fields()
        if step.kind == "same":
            out = sources[0]
        elif step.kind == "relu":
            writer = program.operations[sources[0].writer] if sources[0].writer >= 0 else {"kind": terms.MIX}
            if writer["kind"] != terms.MIX and readers.count(root[step.sources[0]]) == 1:  # nobody reads what it is before
                writer["rectifies"], out = 1, sources[0]
            else:
                out = program.region(sources[0].rows, sources[0].area)
                terms.rowwise(program, terms.RELU, sources, out, rectifies=1)
            if mixes:
                source, out = out, program.region(out.rows, out.area)
                program.add(terms.MIX, terms.NO_RUNS, source, out)
        else:
            area = step.area if len(sources) < 2 else sources[0].area if sources[0].area == sources[1].area else 1
            out = program.region(live_rows(step.live, area), area)
            if step.kind == "input":
                out.writer = -1
            elif step.kind == "linear":
                terms.linear(program, layer, sources[0], out, **fields)
            elif step.kind == "convolution":
                terms.convolution(program, step, layer, sources[0], steps[step.sources[0]].shape, out, **fields)
            elif step.kind == "batchnorm":
                terms.rowwise(program, terms.BATCHNORM, sources, out, **fields)
            elif step.kind == "add":
                terms.rowwise(program, terms.ADD, sources, out)
            else:
                terms.pool(program, step, sources[0], steps[step.sources[0]].shape, out)
        regions.append(out)
    return program, regions


def gradients_needed(table: np.ndarray, to_input: bool) -> np.ndarray:
    """`how` of `kernels.backward`: by operation, how a gradient comes to either source, and whether it is computed at all; [N, 3]."""
    fields = [dict(zip(terms.FIELDS, row)) for row in table.tolist()]
    depends, reached = {-1: False}, set()  # regions, by their first slot: whose gradient is needed, and that have one already
    for op in fields:
        sources = [op["source"], *([op["other"]] if op["kind"] == terms.ADD else [])]
        for source in sources:
            depends.setdefault(source, to_input)  # what no operation has written is the input
        depends[op["out"]] = bool(op["learns"]) or any(depends[source] for source in sources)
    how = np.zeros((len(fields), 3), np.int64)
    for number in range(len(fields) - 1, -1, -1):
        op = fields[number]
        how[number, 2] = depends[op["out"]]
        for which in range(2 if op["kind"] == terms.ADD else 1):
            source, slots = (op["source"], op["source_slots"]) if which == 0 else (op["other"], op["other_slots"])
            if how[number, 2] and depends[source]:
                rowwise = op["kind"] not in (terms.SUMS, terms.MAXIMUM) and slots == op["out_slots"]
                whole = rowwise or op["first_back"] < op["last_back"]
                how[number, which] = kernels.ADDED if source in reached else kernels.WRITTEN if whole else kernels.ZEROED
                reached.add(source)
    return how


class Executable:
    """A program's arrays, ready to run."""

    def __init__(self, steps: list[Step], layers: dict, parameters: int, mixes: bool):
        program, regions = assemble(steps, layers, parameters, mixes)
        self.table, self.runs, self.lists = program.finish()
        self.constants, self.slots = np.concatenate([np.empty(0), *program.constants]), program.slots
        self.columns, self.outputs = (
            regions[i].slots_of(steps[i].live.flatten().nonzero().flatten()).numpy() for i in (0, -1)
        )
        last = regions[-1]
        self.blank = np.array([last.first, last.first + (last.slots if len(self.outputs) < last.slots else 0)])
        self.how = {to_input: gradients_needed(self.table, to_input) for to_input in (False, True)}


class Arenas:
    """Arrays for activations that are used again: one is lent for as long as its activations may be needed, and comes back by itself."""

    def __init__(self):
        self.free = []

    def lend(self, size: int, kind: type) -> "Loan":
        arrays = next((each for each in self.free if len(each["act"]) >= size and each["act"].dtype == kind), None)
        if arrays is None:
            self.free.clear()  # those that are too small
            arrays = {"act": np.zeros(size, kind), "grad": None}
        else:
            self.free = [each for each in self.free if each is not arrays]
        return Loan(self, arrays)

    def __reduce__(self):  # a copy of a network begins with none
        return Arenas, ()


class Loan:
    """Arrays of an arena, until nobody holds this any more."""

    def __init__(self, arenas: Arenas, arrays: dict[str, np.ndarray]):
        self.arenas, self.arrays = arenas, arrays

    @property
    def act(self) -> np.ndarray:
        return self.arrays["act"]

    @property
    def grad(self) -> np.ndarray:
        if self.arrays["grad"] is None:
            self.arrays["grad"] = np.zeros_like(self.arrays["act"])
        return self.arrays["grad"]

    def __del__(self):
        if len(self.arenas.free) < 2:
            self.arenas.free.append(self.arrays)


class LiveModule(nn.Module):
    """A module that a compiled program computes: what learns is one vector, `learning`.

    Within PyTorch it is one differentiable function. `compute` and `gradients` do the same without a graph, for whoever has the gradient
    to the outputs at hand, as a training step has: on few weights a graph takes longer than all there is to compute.
    """

    learning: nn.Parameter

    def sparse_state(self) -> dict[str, Tensor]:
        """Its values and places by tensor, as views: integers are places, all else values."""
        raise NotImplementedError

    @torch.no_grad()
    def load_sparse_state(self, state: dict[str, Tensor]) -> None:
        """Takes the values of a `sparse_state`; ValueError on one of another network, or of one that was pruned differently."""
        own = self.sparse_state()
        places = [name for name, t in own.items() if not t.is_floating_point()]
        if own.keys() != state.keys() or not all(torch.equal(own[name].cpu(), state[name].long().cpu()) for name in places):
            raise ValueError("the checkpoint is of a network that was pruned differently")
        for name in own.keys() - set(places):
            own[name].copy_(state[name])

    def compute(self, x: Tensor) -> tuple[Tensor, tuple]:
        """Inputs -> outputs, and what `gradients` is to be given."""
        kind = COMPUTED_IN.get(self.learning.dtype, np.float32)
        out, kept = self.run(as_numpy(x), as_numpy(self.learning), kind)
        return torch.from_numpy(out).to(self.learning.dtype), kept

    def gradients(self, kept: tuple, gradient: Tensor, to_input: bool = False) -> tuple[Tensor, Tensor | None]:
        """The gradient to the outputs -> those to `learning`, and to the inputs where asked for."""
        to_learning, to_x = self.run_back(kept, as_numpy(gradient), to_input)
        return torch.from_numpy(to_learning).to(self.learning.dtype), torch.from_numpy(to_x) if to_input else None


class Compiled(torch.autograd.Function):
    """Inputs, `learning` and the module that it is of -> outputs."""

    @staticmethod
    def forward(ctx, x: Tensor, learning: Tensor, module: LiveModule) -> Tensor:
        out, kept = module.compute(x)
        ctx.kept, ctx.module, ctx.x_type = kept, module, x.dtype
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        to_learning, to_x = ctx.module.gradients(ctx.kept, gradient, ctx.needs_input_grad[0])
        return None if to_x is None else to_x.to(ctx.x_type), to_learning, None


def as_numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()

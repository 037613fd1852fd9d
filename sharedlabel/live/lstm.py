"""The live part of a pruned LSTM head: `live.network`, for a linear layer `embed`, an `lstm` and a linear layer `classify`.

A unit is live if the classifier reads it through a live weight, or a live unit's gates do; its four gates live and
die with it. All that is left computes in small dense matrices, for every n.

    head = build(pruned_head)                    # a head under masks -> its live units and entries only
    head(embeddings[..., head.columns])          # [B, n, d'] -> [B, l]
"""
import math
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import recurrence, terms
from .compiled import Arenas, Compiled, LiveModule
from .graph import dense, mask_of
from .recurrence import EMBEDDING, GATES, HIDDEN, INPUT, OUTPUTS

# In this order they follow one another in `learning`: the matrices, then the biases.
PARTS = ("embed.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "classify.weight")
BIASES = ("lstm.bias_ih_l0", "lstm.bias_hh_l0", "classify.bias")
TENSORS = {"embed": ("weight",), "lstm": ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), "classify": ("weight", "bias")}
READS = {"embed.weight": "embeddings", "lstm.weight_ih_l0": "embed", "lstm.weight_hh_l0": "lstm", "classify.weight": "lstm"}


def live_activations(head: nn.Module) -> dict[str, Tensor]:
    """Which features of what is live: `embeddings` bool [d], and by module name `embed` [l], `lstm` [units], `classify` [l]."""
    alive = {name: mask_of(head.get_submodule(layer), name) for layer, names in TENSORS.items() for name in names if layer == "lstm"}
    classify = mask_of(head.classify)
    units = classify.any(0)
    for _ in units:  # long enough to follow the longest chain of units
        units = units | alive["weight_hh_l0"][units.repeat(4)].any(0)
    inputs = alive["weight_ih_l0"][units.repeat(4)].any(0)
    return {"embeddings": mask_of(head.embed)[inputs].any(0), "embed": inputs, "lstm": units, "classify": classify.new_ones(len(classify))}


class Terms:
    """The terms of a head's four matrices, for `recurrence`, and where slots, weights and biases begin."""

    def __init__(self, tensors: nn.ModuleDict):
        parts, biases = ([tensors.get_submodule(name) for name in each] for each in (PARTS, BIASES))
        (embedding, inputs), (gates, _), (_, self.units), (self.outputs, _) = (part.shape for part in parts)
        self.values = sum(len(part.at) for part in parts)  # behind them lie the gates' biases, both kinds added up, and the outputs'
        self.bias_at = np.concatenate([each.at.cpu().numpy() + gates * (name == BIASES[-1]) for name, each in zip(BIASES, biases)])
        program = terms.Program(0)
        regions = [program.region(torch.arange(n), 1) for n in (inputs, embedding, gates, *[self.units] * 3, self.outputs)]
        ends = ((INPUT, EMBEDDING, -1), (EMBEDDING, GATES, self.values), (HIDDEN, GATES, -1), (HIDDEN, OUTPUTS, self.values + gates))
        begin = 0
        for part, (source, out, first_bias) in zip(parts, ends):
            width, at = max(1, part.shape[1]), part.at.cpu()
            layer = SimpleNamespace(coordinates=(at // width, at % width), bias_places=np.arange(part.shape[0]))
            terms.linear(program, layer, regions[source], regions[out], weights=begin, biases=first_bias)
            begin += len(at)
        self.first, self.slots = np.array([region.first for region in regions]), program.slots
        self.table, self.runs, self.lists = program.finish()


class LiveTensor(nn.Module):
    """Where a dense tensor's live values lie: at `index` of its entries; `at` of those of its kept rows and columns, which have `shape`."""

    def __init__(self, mask: Tensor, *kept: Tensor):
        super().__init__()
        entries = torch.arange(mask.numel()).view(mask.shape)
        for dim, keep in enumerate(kept):
            entries = entries.index_select(dim, keep.nonzero().flatten())
        chosen = mask.flatten()[entries.flatten()]
        self.shape = entries.shape
        self.register_buffer("at", chosen.nonzero().flatten())
        self.register_buffer("index", entries.flatten()[chosen])

    def place(self, values: Tensor) -> Tensor:
        if len(values) == math.prod(self.shape):  # nothing is pruned, nothing to place
            return values.view(self.shape)
        return values.new_zeros(math.prod(self.shape)).scatter(0, self.at, values).view(self.shape)


MANY = 20_000  # live values from which on dense products are quicker


class LiveHead(LiveModule):
    """Embeddings [B, n, d'], of the live `columns` alone, -> logits [B, l]. On a CPU one program, unless `MANY` values are live.

    Its parameters are one vector, `learning`; `sparse_state` has them by tensor.
    """

    def __init__(self, tensors: nn.ModuleDict, learning: Tensor, columns: Tensor):
        super().__init__()
        self.tensors, self.arenas, self.code, self.learning = tensors, Arenas(), Terms(tensors), nn.Parameter(learning)
        self.by_matrices = len(learning) > MANY
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return Compiled.apply(x, self.learning, self) if self.is_compiled(x.device) else self.forward_by_matrices(x)

    def is_compiled(self, device: torch.device) -> bool:
        """Whether a program computes it there; otherwise, it computes dense products of what is live."""
        return device.type == "cpu" and not self.by_matrices and self.code.units > 0

    def run(self, x: np.ndarray, learning: np.ndarray, kind: type) -> tuple[np.ndarray, tuple]:
        (batch, n, _), code = x.shape, self.code
        biases = np.bincount(code.bias_at, learning[code.values:], 4 * code.units + code.outputs)
        weights = np.concatenate([learning[: code.values], biases], dtype=kind, casting="same_kind")
        loan, out = self.arenas.lend(code.slots * n * batch, kind), np.empty((batch, code.outputs), kind)
        recurrence.forward(code.table, code.runs, code.lists, np.ascontiguousarray(x, kind), weights, code.first, code.units, loan.act,
                           np.empty(batch, np.int32), out)
        return out, (weights, loan, x.shape)

    def run_back(self, kept: tuple, gradient: np.ndarray, to_input: bool) -> tuple[np.ndarray, np.ndarray]:
        (weights, loan, shape), code = kept, self.code
        found, to_x = np.empty_like(weights), np.empty(shape if to_input else (0, 0, 0), weights.dtype)
        recurrence.backward(code.table, code.runs, code.lists, np.ascontiguousarray(gradient, weights.dtype), weights, code.first,
                            code.units, loan.act, loan.grad, found, to_x, shape[1])
        return np.concatenate([found[: code.values], found[code.values:][code.bias_at]]), to_x

    def values(self, vector: Tensor | None = None) -> dict[str, Tensor]:
        """The values of every tensor, by name: views of `learning`, or of a vector like it."""
        parts = (self.learning if vector is None else vector).split([len(self.tensors.get_submodule(name).at) for name in PARTS + BIASES])
        return dict(zip(PARTS + BIASES, parts))

    def matrices(self) -> dict[str, Tensor]:
        """Every tensor of what is live, by name, dense."""
        return {name: self.tensors.get_submodule(name).place(values) for name, values in self.values().items()}

    def forward_by_matrices(self, x: Tensor) -> Tensor:
        dense = self.matrices()
        x = F.linear(x, dense["embed.weight"])
        inputs, recurrent, *biases = (dense[f"lstm.{name}"] for name in TENSORS["lstm"])
        if x.shape[1] == 1:  # nothing to remember or forget: most of an LSTM's work is for nothing
            i, _, g, o = F.linear(x, inputs, sum(biases)).chunk(4, -1)
            hidden = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
        else:
            start = x.new_zeros(1, len(x), recurrent.shape[1])
            hidden, _, _ = torch.lstm(x, (start, start), [inputs, recurrent, *biases], True, 1, 0.0, self.training, False, True)
        return F.linear(hidden, dense["classify.weight"], dense["classify.bias"]).mean(1)

    def sparse_state(self) -> dict[str, Tensor]:
        """By tensor, `values` at `index` of it flattened. All are views."""
        values = {f"{name}.values": each.detach() for name, each in self.values().items()}
        return values | {f"{name}.index": self.tensors.get_submodule(name).index for name in PARTS + BIASES}



def build(head: nn.Module) -> LiveHead:
    """The live part of a pruned head, with its values: the same outputs, gradients and training."""
    live, tensors = live_activations(head), nn.ModuleDict()
    for layer, names in TENSORS.items():
        module, rows = getattr(head, layer), live[layer].repeat(4 if layer == "lstm" else 1)
        kept = {name: (rows, live[READS[f"{layer}.{name}"]]) if f"{layer}.{name}" in READS else (rows,) for name in names}
        tensors[layer] = nn.ModuleDict({name: LiveTensor(mask_of(module, name), *kept[name]) for name in names})
    learning = [dense(getattr(head, layer), name).detach().flatten()[tensors[layer][name].index]
                for layer, name in (each.split(".") for each in PARTS + BIASES)]
    return LiveHead(tensors, torch.cat(learning), live["embeddings"].nonzero().flatten())

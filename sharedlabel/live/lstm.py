"""The live part of a pruned LSTM head: `live.network`, for a linear layer `embed`, an `lstm` and a linear layer `classify`.

A unit is live if the classifier reads it through a live weight, or a live unit's gates do; its four gates live and
die with it. All that is left computes in small dense matrices, for every n.

    head = build(pruned_head)                    # a head under masks -> its live units and entries only
    head(embeddings[..., head.columns])          # [B, n, d'] -> [B, l]
"""
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import recurrence
from .compiled import COMPUTED_IN, Arenas, as_numpy
from .graph import dense, mask_of
from .terms import Lists

TENSORS = {"embed": ("weight",), "lstm": ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), "classify": ("weight", "bias")}
BIASES = ("lstm.bias_ih_l0", "lstm.bias_hh_l0", "classify.bias")
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

    def __init__(self, layers: nn.ModuleDict):
        parts = [layers.get_submodule(name) for name in PARTS]
        (embedding, inputs), (gates, _), (_, self.units), (outputs, _) = (part.shape for part in parts)
        self.first = np.cumsum([0, inputs, embedding, gates, self.units, self.units, self.units])
        self.slots, self.values = int(self.first[-1]) + outputs, [part.values.numel() for part in parts]
        begin = np.cumsum([0, *self.values])
        self.offsets = np.array([[begin[0], -1], [begin[1], begin[4]], [begin[2], -1], [begin[3], begin[4] + gates]])
        runs, starts, columns, biases = [], [np.zeros(1, np.int64)], [], []
        ends = ((recurrence.EMBEDDING, recurrence.INPUT), (recurrence.GATES, recurrence.EMBEDDING), (recurrence.GATES, recurrence.HIDDEN),
                (recurrence.OUTPUTS, recurrence.HIDDEN))
        for part, (out, source) in zip(parts, ends):
            rows, places, before = part.shape[0], part.at.cpu().numpy(), sum(map(len, runs))
            units = np.arange(rows)
            runs.append(np.stack([self.first[out] + units, np.full(rows, self.first[source]), np.ones_like(units), before + units], 1))
            starts.append(sum(map(len, columns)) + np.cumsum(np.bincount(places // max(1, part.shape[1]), minlength=rows)))
            columns.append(places % max(1, part.shape[1]))
            biases.append(units)
        entries = [np.arange(count) for count in self.values]
        self.cuts, self.runs = np.cumsum([0, *map(len, runs)]), np.concatenate(runs)
        self.lists = Lists(*map(np.concatenate, (starts, biases, columns, entries)))


class CompiledHead(torch.autograd.Function):
    """Embeddings [B, n, d'], a head, and its tensors in the order of PARTS and BIASES -> logits [B, l]."""

    @staticmethod
    def forward(ctx, x: Tensor, head: nn.Module, *tensors: Tensor) -> Tensor:
        (batch, n, _), terms, kind = x.shape, head.terms, COMPUTED_IN.get(tensors[0].dtype, np.float32)
        gates, classify = np.zeros(4 * terms.units, kind), np.zeros(terms.slots - terms.first[-1], kind)
        for total, name, tensor in zip((gates, gates, classify), BIASES, tensors[4:]):
            total[head.layers.get_submodule(name).at.numpy()] += as_numpy(tensor)
        weights = np.concatenate([*map(as_numpy, tensors[:4]), gates, classify], dtype=kind, casting="same_kind")
        loan, size = head.arenas.lend(terms.slots * n * batch, kind), n * batch
        loan.act[: terms.first[1] * size].reshape(-1, n, batch)[:] = as_numpy(x).transpose(2, 1, 0)
        recurrence.forward(terms.runs, terms.cuts, terms.lists, weights, terms.offsets, terms.first, terms.units, loan.act,
                           np.empty(batch, np.int32), n, batch)
        out = loan.act[terms.first[-1] * size : terms.slots * size].reshape(-1, n, batch).mean(1, dtype=kind)
        ctx.kept = head, weights, loan, n, batch, x.dtype
        return torch.from_numpy(np.ascontiguousarray(out.T)).to(tensors[0].dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        head, weights, loan, n, batch, x_kind = ctx.kept
        terms, size, found, act, grad = head.terms, n * batch, np.zeros_like(weights), loan.act, loan.grad
        grad[terms.first[-1] * size : terms.slots * size].reshape(-1, n, batch)[:] = (as_numpy(gradient).T / n)[:, None]
        recurrence.backward(terms.runs, terms.cuts, terms.lists, weights, terms.offsets, terms.first, terms.units, act, grad, found,
                            ctx.needs_input_grad[0], n, batch)
        *parts, gates, classify = np.split(found, np.cumsum([*terms.values, 4 * terms.units]))
        parts += [each[head.layers.get_submodule(name).at.numpy()] for each, name in zip((gates, gates, classify), BIASES)]
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = torch.from_numpy(grad[: terms.first[1] * size].reshape(-1, n, batch).transpose(2, 1, 0).copy()).to(x_kind)
        kind = head.layers["embed"]["weight"].values.dtype
        return to_x, None, *(torch.from_numpy(np.ascontiguousarray(part)).to(kind) for part in parts)


class LiveTensor(nn.Module):
    """The live `values` of a dense tensor, those at `index` of its entries, placed among those rows and columns that are `kept`."""

    def __init__(self, tensor: Tensor, mask: Tensor, *kept: Tensor):
        super().__init__()
        entries = torch.arange(mask.numel()).view(mask.shape)
        for dim, keep in enumerate(kept):
            entries = entries.index_select(dim, keep.nonzero().flatten())
        chosen = mask.flatten()[entries.flatten()]
        self.shape = entries.shape
        self.register_buffer("at", chosen.nonzero().flatten())
        self.register_buffer("index", entries.flatten()[chosen])
        self.values = nn.Parameter(tensor.detach().flatten()[self.index])

    def forward(self) -> Tensor:
        if len(self.values) == math.prod(self.shape):  # nothing is pruned, nothing to place
            return self.values.view(self.shape)
        return self.values.new_zeros(math.prod(self.shape)).scatter(0, self.at, self.values).view(self.shape)


PARTS = ("embed.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "classify.weight")
MANY = 20_000  # live values from which on dense products are quicker


class LiveHead(nn.Module):
    """Embeddings [B, n, d'], of the live `columns` alone, -> logits [B, l]. On a CPU one program, unless `MANY` values are live."""

    def __init__(self, layers: nn.ModuleDict, columns: Tensor):
        super().__init__()
        self.layers, self.arenas, self.terms = layers, Arenas(), Terms(layers)
        self.by_matrices = sum(parameter.numel() for parameter in self.parameters()) > MANY
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda or self.by_matrices or not self.terms.units:
            return self.forward_by_matrices(x)
        return CompiledHead.apply(x, self, *(self.layers.get_submodule(name).values for name in (*PARTS, *BIASES)))

    def forward_by_matrices(self, x: Tensor) -> Tensor:
        embed, lstm, classify = (self.layers[name] for name in ("embed", "lstm", "classify"))
        x = F.linear(x, embed["weight"]())
        if x.shape[1] == 1:  # nothing to remember or forget: most of an LSTM's work is for nothing
            i, _, g, o = F.linear(x, lstm["weight_ih_l0"](), lstm["bias_ih_l0"]() + lstm["bias_hh_l0"]()).chunk(4, -1)
            hidden = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
        else:
            weights = [lstm[name]() for name in TENSORS["lstm"]]
            start = x.new_zeros(1, len(x), weights[1].shape[1])
            hidden, _, _ = torch.lstm(x, (start, start), weights, True, 1, 0.0, self.training, False, True)
        return F.linear(hidden, classify["weight"](), classify["bias"]()).mean(1)

    def sparse_state(self) -> dict[str, Tensor]:
        """By tensor, `values` at `index` of it flattened."""
        return {name: t for name, t in self.layers.state_dict().items() if not name.endswith(".at")}

    @torch.no_grad()
    def load_sparse_state(self, state: dict[str, Tensor]) -> None:
        """Takes the values of a `sparse_state`; ValueError on one of a head that was pruned differently."""
        own = self.sparse_state()
        places = [name for name in own if name.endswith(".index")]
        if own.keys() != state.keys() or not all(torch.equal(own[name].cpu(), state[name].long().cpu()) for name in places):
            raise ValueError("the checkpoint is of a network that was pruned differently")
        self.layers.load_state_dict(state, strict=False)


def build(head: nn.Module) -> LiveHead:
    """The live part of a pruned head, with its values: the same outputs, gradients and training."""
    live, layers = live_activations(head), {}
    for layer, names in TENSORS.items():
        module, rows = getattr(head, layer), live[layer].repeat(4 if layer == "lstm" else 1)
        kept = {name: (rows, live[READS[f"{layer}.{name}"]]) if f"{layer}.{name}" in READS else (rows,) for name in names}
        layers[layer] = nn.ModuleDict({name: LiveTensor(dense(module, name), mask_of(module, name), *kept[name]) for name in names})
    return LiveHead(nn.ModuleDict(layers), live["embeddings"].nonzero().flatten())

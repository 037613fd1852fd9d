"""The live part of a pruned LSTM head: `live.network`, for a linear layer `embed`, an `lstm` and a linear layer `classify`.

A unit is live if the classifier reads it through a live weight, or a live unit's gates do; its four gates live and
die with it. For the compiled program a sequence of n is a map of n positions, and every matrix a convolution of kernel 1.

    head = build(pruned_head)                    # a head under masks -> its live units and entries only
    head(embeddings[..., head.columns])          # [B, n, d'] -> [B, l]
"""
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import terms
from .compiled import Compiled, LiveModule
from .graph import dense, is_hooked, mask_of

LAYERS = {"embed": nn.Linear, "lstm": nn.LSTM, "classify": nn.Linear}
READS = {"embed.weight": "embeddings", "lstm.weight_ih_l0": "embed", "lstm.weight_hh_l0": "lstm", "classify.weight": "lstm"}
# In this order they follow one another in `learning`: the matrices, then the biases.
NAMES = (*READS, "lstm.bias_ih_l0", "lstm.bias_hh_l0", "classify.bias")
TENSORS = {layer: tuple(name.partition(".")[2] for name in NAMES if name.startswith(layer)) for layer in LAYERS}

MANY = 20_000  # live values from which on dense products are quicker


def live_activations(head: nn.Module) -> dict[str, Tensor]:
    """Which features of what is live: `embeddings` bool [d], and by module name `embed` [l], `lstm` [units], `classify` [l]."""
    alive = {name: mask_of(head.get_submodule(layer), name) for layer, names in TENSORS.items() for name in names if layer == "lstm"}
    classify = mask_of(head.classify)
    units = classify.any(0)
    for _ in units:  # long enough to follow the longest chain of units
        units = units | alive["weight_hh_l0"][units.repeat(4)].any(0)
    inputs = alive["weight_ih_l0"][units.repeat(4)].any(0)
    return {"embeddings": mask_of(head.embed)[inputs].any(0), "embed": inputs, "lstm": units, "classify": classify.new_ones(len(classify))}


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


class LiveHead(LiveModule):
    """Embeddings [B, n, d'], of the live `columns` alone, -> logits [B, l]. On a CPU one program, unless `MANY` values are live.

    Its parameters are one vector, `learning`; `sparse_state` has them by tensor.
    """

    def __init__(self, tensors: nn.ModuleDict, learning: Tensor, columns: Tensor):
        super().__init__()
        self.tensors, self.learning, self.programs, self.by_matrices = tensors, nn.Parameter(learning), {}, len(learning) > MANY
        self.fixed, self.running = torch.empty(0), torch.empty(2, 0)  # no BatchNorms, and nothing that does not learn
        self.batches = self.counted = torch.empty(0, dtype=torch.int64)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return Compiled.apply(x, self.learning, self) if self.is_compiled(x.device) else self.forward_by_matrices(x)

    def is_compiled(self, device: torch.device) -> bool:
        """Whether a program computes it there; otherwise, it computes dense products of what is live."""
        return device.type == "cpu" and not self.by_matrices and self.tensors.lstm["weight_hh_l0"].shape[1] > 0

    def code_for(self, x: Tensor) -> terms.Code:
        if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != len(self.columns):
            raise ValueError(f"x: {tuple(x.shape)} is not [batch, n >= 1, {len(self.columns)}], the embeddings' `columns` that it reads")
        n = x.shape[1]
        if n not in self.programs:
            self.programs[n] = self.assemble(n)
        return self.programs[n]

    def assemble(self, n: int) -> terms.Code:
        """The program for sequences of n. A unit's gates i, f, g and o, its cell and the tanh of that are rows of one region."""
        program, begin = terms.Program(len(self.learning)), 0
        units, inputs = self.tensors.lstm["weight_hh_l0"].shape[1], len(self.columns)
        sizes = (inputs, self.tensors.embed["weight"].shape[0], 6 * units, units, self.tensors.classify["weight"].shape[0])
        embeddings, embed, gates, hidden, logits = (program.region(torch.arange(size), n) for size in sizes)
        places = {None: (0, torch.empty(0, dtype=torch.int64))}  # where every tensor's values begin, and where they lie in it
        for name in NAMES:
            places[name] = begin, self.tensors.get_submodule(name).at.cpu()
            begin += len(places[name][1])

        def product(source: terms.Region, out: terms.Region, rows: int, weight: str | None, bias: str | None = None):
            """Runs over whole sequences, and the fields of their operation."""
            (weights, at), (first_bias, biased), columns = places[weight], places[bias], max(1, len(source.rows))
            biases = np.full(rows, -1)
            biases[biased.numpy()] = np.arange(len(biased))
            runs = terms.unit_runs(program, at // columns, at % columns * n, biases, source, out)
            return runs, {"weights": weights, "biases": first_bias, "learns": 1}

        def add(source: terms.Region, out: terms.Region, *names: str | None) -> None:
            runs, fields = product(source, out, 4 * units if out is gates else len(out.rows), *names)
            program.add(terms.SUMS, runs, source, out, **fields)

        add(embeddings, embed, "embed.weight")
        add(embed, gates, None, "lstm.bias_hh_l0")
        add(embed, gates, "lstm.weight_ih_l0", "lstm.bias_ih_l0")
        runs, fields = product(hidden, gates, 4 * units, "lstm.weight_hh_l0")
        for t in range(n):
            if t:  # every gate hears of the units one place before
                program.add(terms.SUMS, runs + [t, t - 1, 1 - n, 0], hidden, gates, **fields)
            program.add(terms.GATES, terms.row_runs(gates, hidden) + [t, t, 1 - n, 0], gates, hidden, number=t, away=units * n)
        add(hidden, logits, "classify.weight", "classify.bias")
        columns = embeddings.first + torch.arange(inputs * n).view(inputs, n).T.flatten()
        return program.finish(columns, logits.first + torch.arange(len(logits.rows)) * n, logits, n)

    def values(self, vector: Tensor | None = None) -> dict[str, Tensor]:
        """The values of every tensor, by name: views of `learning`, or of a vector like it."""
        parts = (self.learning if vector is None else vector).split([len(self.tensors.get_submodule(name).at) for name in NAMES])
        return dict(zip(NAMES, parts))

    def matrices(self) -> dict[str, Tensor]:
        """Every tensor of what is live, by name, dense."""
        return {name: self.tensors.get_submodule(name).place(values) for name, values in self.values().items()}

    def forward_by_matrices(self, x: Tensor) -> Tensor:
        matrices = self.matrices()
        x = F.linear(x, matrices["embed.weight"])
        inputs, recurrent, *biases = (matrices[f"lstm.{name}"] for name in TENSORS["lstm"])
        if x.shape[1] == 1:  # nothing to remember or forget: most of an LSTM's work is for nothing
            i, _, g, o = F.linear(x, inputs, sum(biases)).chunk(4, -1)
            hidden = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
        else:
            start = x.new_zeros(1, len(x), recurrent.shape[1])
            hidden, _, _ = torch.lstm(x, (start, start), [inputs, recurrent, *biases], True, 1, 0.0, self.training, False, True)
        return F.linear(hidden, matrices["classify.weight"], matrices["classify.bias"]).mean(1)

    def sparse_state(self) -> dict[str, Tensor]:
        """By tensor, `values` at `index` of it flattened. All are views."""
        values = {f"{name}.values": each.detach() for name, each in self.values().items()}
        return values | {f"{name}.index": self.tensors.get_submodule(name).index for name in NAMES}


def check(head: nn.Module) -> None:
    """Raises TypeError unless the head's layers are `LAYERS`, and all of their `TENSORS` learn."""
    for name, kind in LAYERS.items():
        layer = getattr(head, name, None)
        if type(layer) is not kind or is_hooked(layer) or not getattr(layer, "batch_first", True):
            raise TypeError(f"layer {name!r} of the head is not of {kind.__name__}, with batch_first and without hooks: {layer}")
        learns = {each.removeprefix(f"{name}.").removesuffix("_orig"): parameter.requires_grad
                  for each, parameter in head.named_parameters() if each.startswith(f"{name}.")}
        if learns != dict.fromkeys(TENSORS[name], True):
            raise TypeError(f"layer {name!r} of the head has the tensors {', '.join(learns)}; only {', '.join(TENSORS[name])}, not frozen, "
                            "are known")


def build(head: nn.Module) -> LiveHead:
    """The live part of a pruned head, with its values: the same outputs, gradients and training. Its layers alone are read: it computes
    classify(lstm(embed(x))).mean(1), whatever the head's own `forward` does. Raises TypeError, by name, on other layers or tensors.
    """
    check(head)
    live, tensors = live_activations(head), nn.ModuleDict()
    for layer, names in TENSORS.items():
        module, rows = getattr(head, layer), live[layer].repeat(4 if layer == "lstm" else 1)
        kept = {name: (rows, live[READS[f"{layer}.{name}"]]) if f"{layer}.{name}" in READS else (rows,) for name in names}
        tensors[layer] = nn.ModuleDict({name: LiveTensor(mask_of(module, name), *kept[name]) for name in names})
    learning = [dense(getattr(head, layer), name).detach().flatten()[tensors[layer][name].index]
                for layer, name in (each.split(".") for each in NAMES)]
    return LiveHead(tensors, torch.cat(learning), live["embeddings"].nonzero().flatten())

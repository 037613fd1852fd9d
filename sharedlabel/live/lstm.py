"""The live part of a pruned LSTM head: `live`, for embeddings instead of images.

A unit is live if the classifier reads it through a live weight, or a live unit's gates do; its four gates live and
die with it. All that is left computes in small dense matrices, for every n.

    head = build(pruned_head)                    # an LSTMHead under masks -> its live units and entries only
    head(embeddings[..., head.columns])          # [B, n, d'] -> [B, l]
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharedlabel import pruning
from sharedlabel.heads import LSTMHead


def live_activations(head: LSTMHead) -> dict[str, Tensor]:
    """Which features of what is live: `embeddings` bool [d], and by module name `embed` [l], `lstm` [units], `classify` [l]."""
    alive = pruning.masks(head)
    units = alive["classify.weight"].any(0)
    for _ in units:  # long enough to follow the longest chain of units
        units = units | alive["lstm.weight_hh_l0"][units.repeat(4)].any(0)
    inputs = alive["lstm.weight_ih_l0"][units.repeat(4)].any(0)
    outputs = torch.ones(len(alive["classify.weight"]), dtype=torch.bool)
    return {"embeddings": alive["embed.weight"][inputs].any(0), "embed": inputs, "lstm": units, "classify": outputs}


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


class LiveHead(nn.Module):
    """Embeddings [B, n, d'], of the live `columns` alone, -> logits [B, l]."""

    def __init__(self, layers: nn.ModuleDict, columns: Tensor):
        super().__init__()
        self.layers = layers
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        embed, lstm, classify = (self.layers[name] for name in ("embed", "lstm", "classify"))
        x = F.linear(x, embed["weight"]())
        if x.shape[1] == 1:  # nothing to remember or forget: most of an LSTM's work is for nothing
            i, _, g, o = F.linear(x, lstm["weight_ih_l0"](), lstm["bias_ih_l0"]() + lstm["bias_hh_l0"]()).chunk(4, -1)
            hidden = o.sigmoid() * (i.sigmoid() * g.tanh()).tanh()
        else:
            weights = [lstm[name]() for name in pruning.LSTM_TENSORS]
            start = x.new_zeros(1, len(x), weights[1].shape[1])
            hidden, _, _ = torch.lstm(x, (start, start), weights, True, 1, 0.0, self.training, False, True)
        return F.linear(hidden, classify["weight"](), classify["bias"]()).mean(1)


def build(head: LSTMHead) -> LiveHead:
    """The live part of a pruned head, with its values: the same outputs, gradients and training."""
    need, alive, layers = live_activations(head), pruning.masks(head), {}
    reads = {"embed.weight": "embeddings", "lstm.weight_ih_l0": "embed", "lstm.weight_hh_l0": "lstm", "classify.weight": "lstm"}
    for name, (module, attribute) in pruning.prunable_tensors(head).items():
        layer = name.partition(".")[0]
        rows = need[layer].repeat(4 if layer == "lstm" else 1)
        kept = (rows, need[reads[name]]) if name in reads else (rows,)
        layers.setdefault(layer, {})[attribute] = LiveTensor(pruning.unmasked_parameter(module, attribute), alive[name], *kept)
    layers = nn.ModuleDict({layer: nn.ModuleDict(tensors) for layer, tensors in layers.items()})
    return LiveHead(layers, need["embeddings"].nonzero().flatten())

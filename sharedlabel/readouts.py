"""Readouts: small classifiers of a CNN's embedding of one image, whose outputs are averaged over a tuple.

The mean of the logits names class y for n to infinity only if the mean logits of class y are largest at y. Each readout here
maps the embedding to outputs for which that holds more often: linear discriminant analysis, for which it holds whenever class
means differ (`moments.linear_discriminant`), a linear layer and a perceptron with one hidden layer, trained on single images.
"""
import copy

import torch
from torch import Tensor, nn

from sharedlabel import data, live, moments, pruning, training
from sharedlabel.data import Images

MOST_FEATURES = 512  # that an embedding may have


def embed(cnn: live.LiveNetwork, sets: list[Images], embedding: str, precision: str = "float32") -> list[Tensor]:
    """Embeddings [N, d] of every set: the CNN's logits, or the live features that its last layer reads.

    ValueError if these are more than MOST_FEATURES.
    """
    rows = data.gather_columns(sets, cnn.columns)
    if embedding == "features":
        cnn = live.freeze(cnn, 1)[0]
        width = training.outputs(cnn, rows[0].subset(slice(0, 1)), precision).numel()
        if width > MOST_FEATURES:
            raise ValueError(f"embedding: the last layer of this CNN reads {width} features, more than {MOST_FEATURES}; use logits")
    return [training.outputs(cnn, images, precision).flatten(1) for images in rows]


def standardise(embeddings: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Embeddings [N, d] with mean 0 and variance 1 over the first set, without those that are constant there.

    Also returns the columns that were kept and their mean and standard deviation. If every column is constant, one is kept.
    """
    std, mean = torch.std_mean(embeddings[0], 0)
    columns = (std > 0).nonzero().flatten() if (std > 0).any() else torch.zeros(1, dtype=torch.int64, device=std.device)
    std, mean = std[columns].clamp(min=1e-6), mean[columns]
    return [(each[:, columns] - mean) / std for each in embeddings], columns, mean, std


def build(kind: str, features: int, classes: int, hidden_units: int) -> nn.Sequential:
    """A readout of `features` inputs: a linear layer (`lda`, `linear`), or two with ReLU between (`mlp`); none (`averaged`)."""
    if kind == "averaged":
        return nn.Sequential(nn.Identity())
    if kind == "mlp":
        return nn.Sequential(nn.Linear(features, hidden_units), nn.ReLU(), nn.Linear(hidden_units, classes))
    return nn.Sequential(nn.Linear(features, classes))


@torch.no_grad()
def fit_discriminant(readout: nn.Sequential, rows: Images, classes: int, shrinkage: float, at_once: int = 4096) -> None:
    """Give a linear readout the weights of linear discriminant analysis of `rows`, in one pass over batches of `at_once` images."""
    parts = torch.arange(len(rows), device=rows.labels.device).split(at_once)
    found = moments.pooled_moments(((rows.batch(part), rows.labels[part]) for part in parts), classes)
    weight, bias = moments.linear_discriminant(found, shrinkage)
    pruning.unmasked_parameter(readout[0]).copy_(weight)
    readout[0].bias.copy_(bias)


def part_costs(readout: nn.Module) -> dict[str, int]:
    """A record's entry for a readout or a set head, which is not pruned: all parameters, and the MACs of its weights for one image."""
    parameters = sum(p.numel() for p in readout.parameters())
    macs = sum(layer.weight.numel() for layer in readout.modules() if isinstance(layer, nn.Linear))
    return {"params_total": parameters, "params_remaining": parameters, "macs_dense": macs, "macs_live": macs}


def without_classifier(cnn: dict[str, int], mask: Tensor) -> dict[str, int]:
    """The costs of a CNN whose last layer, with this mask [l, F], is not computed, because its features are read instead."""
    total, kept = mask.numel(), int(mask.sum())
    less = {"params_total": total, "params_remaining": kept, "macs_dense": total, "macs_live": kept}
    return {name: cnn[name] - less[name] for name in cnn}


@torch.no_grad()
def tensors(readout: nn.Module, columns: Tensor, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """A readout, or a set head, of standardised embeddings (`standardise`) as a checkpoint: its weights, and the `columns` that it reads.

    The scaling is made part of the first layer, so that the checkpoint reads embeddings as the CNN gives them.
    """
    folded = copy.deepcopy(readout)
    first = next(layer for layer in folded.modules() if isinstance(layer, nn.Linear))
    first.weight /= std
    first.bias -= first.weight @ mean
    return {f"readout.{name}": value.cpu() for name, value in folded.state_dict().items()} | {"readout.columns": columns.cpu().int()}

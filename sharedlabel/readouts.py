"""Readouts: small classifiers of a CNN's embedding of one image, whose outputs are averaged over a tuple.

The mean of the logits names class y for n to infinity only if the mean logits of class y are largest at y. Most readouts here
map the embedding to outputs for which that holds more often: linear discriminant analysis, for which it holds whenever class
means differ (`moments.linear_discriminant`), a linear layer and a perceptron with one hidden layer, trained on single images.
An `Offset` of each class does so for nothing, as the CNN's last biases can take it in; a vote of the images is there to compare.
"""
import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharedlabel import choices, data, live, moments, pruning, training
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


class Offset(nn.Module):
    """Logits [N, l] plus an `offset` [l], which is no parameter more than the CNN has: added to its last biases it costs nothing."""

    def __init__(self, classes: int):
        super().__init__()
        self.register_buffer("offset", torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.offset


class Vote(nn.Module):
    """Logits [N, l] -> 1 at their largest, 0 elsewhere, so that the mean over a tuple counts votes.

    A thousandth of the softmax outputs is added: among classes with as many votes (n is below 1,000) their mean decides.
    """

    def forward(self, x: Tensor) -> Tensor:
        return (x == x.amax(1, keepdim=True)).to(x.dtype) + x.softmax(1) / 1000


def build(kind: str, features: int, classes: int, hidden_units: int) -> nn.Sequential:
    """A readout of `features` inputs: a linear layer (`lda`, `linear`), or two with ReLU between (`mlp`); or of logits: nothing
    (`averaged`), a `Vote`, an `Offset` (`prior`, `bias`).
    """
    if kind in choices.LOGIT_READOUTS:
        return nn.Sequential(nn.Identity() if kind == "averaged" else Vote() if kind == "vote" else Offset(classes))
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


@torch.no_grad()
def fit_prior(readout: nn.Sequential, labels: Tensor) -> None:
    """Give an `Offset` minus the log frequencies of the classes among `labels`.

    By Bayes' rule a network trained on such images has logits log p(x | y) + log p(y) + c(x). Their mean over a tuple has log p(y)
    whole, as if each of its images had drawn a label, although tuples of all classes are equally frequent. (For single images:
    logit adjustment, Menon et al. 2021.) ValueError if a class has no image.
    """
    counts = torch.bincount(labels, minlength=len(readout[0].offset))
    if counts.min() < 1:
        raise ValueError(f"class {int(counts.argmin())} has no image; its frequency is not known")
    readout[0].offset.copy_(-(counts / len(labels)).log())


def fit_bias(readout: nn.Sequential, rows: Images) -> None:
    """Give an `Offset` the values with which, and with one scale of all logits, the mean over classes of the cross entropy of single
    images is least.

    Bias-corrected temperature scaling (Alexandari et al. 2020, who fit on held-out images) with classes equally weighed; the scale,
    which no argmax of a mean depends on, is left out. Found by L-BFGS in float64, on the CPU. ValueError if a class has no image.
    """
    logits, labels = (t.cpu() for t in (rows.batch(slice(None)).double(), rows.labels))
    counts = torch.bincount(labels, minlength=logits.shape[1])
    if counts.min() < 1:
        raise ValueError(f"class {int(counts.argmin())} has no image; its bias cannot be fitted")
    log_scale, offset = (torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in (1, logits.shape[1]))
    optimiser = torch.optim.LBFGS([log_scale, offset], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = F.cross_entropy(log_scale.exp() * (logits + offset), labels, weight=1 / counts.double())
        found.backward()
        return found

    optimiser.step(loss)
    readout[0].offset.copy_(offset.detach() - offset.detach().mean())


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
def tensors(readout: nn.Module, columns: Tensor | None, mean: Tensor | None, std: Tensor | None) -> dict[str, Tensor]:
    """A readout, or a set head, of standardised embeddings (`standardise`) as a checkpoint: its weights, and the `columns` that it reads.

    The scaling is made part of the first layer, so that the checkpoint reads embeddings as the CNN gives them. columns None: all
    are read as they are.
    """
    if columns is None:
        return {f"readout.{name}": value.cpu() for name, value in readout.state_dict().items()}
    folded = copy.deepcopy(readout)
    first = next(layer for layer in folded.modules() if isinstance(layer, nn.Linear))
    first.weight /= std
    first.bias -= first.weight @ mean
    return {f"readout.{name}": value.cpu() for name, value in folded.state_dict().items()} | {"readout.columns": columns.cpu().int()}

"""Outputs of frozen layers, computed once for every image: for heads that read a CNN (section 4.4), or its last layers (Appendix D)."""
import math

import torch
from torch import Tensor, nn

from sharedlabel import live, models, pruning, training
from sharedlabel.data import Images


def compute(
    network: nn.Module, sets: list[Images], where: torch.device, precision: str = "float32", standardised: bool = False
) -> tuple[list[Images], dict[str, Tensor], dict[str, Tensor]]:
    """Embeddings of all images by a pruned network: for every set, rows [N, d + 1] in place of pixels.

    A row is an image's embedding and, last, its largest logit (its confidence). Also returned are the activations that embedding and
    confidence need, in the form of `live.live_activations`. `network` loses its classifier (`models.embedder`). `standardised`:
    the embeddings have mean 0 and variance 1 over the first set; returned last is what makes them so, `embedding.std` and
    `embedding.mean` ([d] each) of a checkpoint, else nothing.
    """
    shape = sets[0].shape
    need, classifier = live.live_activations(network, shape), getattr(network, "fc", None)
    logits = pruned_outputs(network, sets, where, precision) if quarters_overlap(network, shape) else None
    embedder = models.embedder(network)
    kept = pruning.masks(embedder)
    for name, more in live.live_activations(embedder, shape).items():  # channels that no logit needs may be alive here
        if f"{name}.weight" in kept:
            need[name] = need[name] | more
    found = pruned_outputs(embedder, sets, where, precision)
    if logits is None:
        logits = found if classifier is None else [classify(each, classifier.to(where)) for each in found]
    scaling = {}
    if standardised:
        std, mean = deviation_and_mean(found[0])
        scaling = {"embedding.std": std.cpu(), "embedding.mean": mean.cpu()}
        found = [(each - mean) / std for each in found]
    rows = [torch.cat([each, out.amax(1, keepdim=True)], 1) for each, out in zip(found, logits)]
    return [as_images(each, images.labels.to(where)) for each, images in zip(rows, sets)], need, scaling


def quarters_overlap(network: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether an embedding's quarters of the last map overlap, as those of an odd side do: then their mean is not the mean over the map."""
    return isinstance(network, models.WideResNet20) and any(math.ceil(side / 4) % 2 for side in shape[1:])  # two strides of 2


def deviation_and_mean(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """What standardises embeddings [N, d]: the deviation, 1 where a column is constant, and the mean of each column, [d] each."""
    std, mean = torch.std_mean(embeddings, 0)
    return std.masked_fill(std < 1e-6, 1), mean


@torch.no_grad()
def classify(embeddings: Tensor, classifier: nn.Linear) -> Tensor:
    """Logits [N, l] of embeddings [N, d] by the classifier that was cut off; it reads each feature's mean over its positions."""
    return classifier(embeddings.unflatten(1, (classifier.in_features, -1)).mean(2))


def select_features(rows: Images, columns: Tensor) -> Images:
    """Rows of `compute` with only these `columns` of the embeddings, and the confidence: what a head reads."""
    confidence = torch.tensor([rows.shape[0] - 1], device=columns.device)
    return rows.gather(torch.cat([columns, confidence]).to(rows.labels.device))


def as_images(rows: Tensor, labels: Tensor) -> Images:
    """Rows [N, d] as images of d "pixels" that need no normalising."""
    return Images(rows, labels, rows.new_ones(rows.shape[1]), rows.new_zeros(rows.shape[1]))


def pruned_outputs(network: nn.Module, sets: list[Images], where: torch.device, precision: str) -> list[Tensor]:
    """The outputs [N, ...] of a pruned network for each set, computed by its live part."""
    small = live.build(network, sets[0].shape).to(where)
    return [training.outputs(small, images.to(where).gather(small.columns), precision) for images in sets]

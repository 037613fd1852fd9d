"""What frozen layers say of every image, computed once: for heads that read a CNN (section 4.4), or its last layers (Appendix D)."""
import torch
from torch import Tensor, nn

from sharedlabel import live, models, pruning, training
from sharedlabel.data import Images


def store(
    network: nn.Module, sets: list[Images], where: torch.device, precision: str = "float32", standardised: bool = False
) -> tuple[list[Images], dict[str, Tensor]]:
    """For every set rows [N, d + 1] in place of pixels, an image's embedding and, last, its largest logit (its confidence).

    Also which of the pruned network's activations all that needs, as `live.needed` has it. `network` loses its
    classifier (`models.embedder`). `standardised`: embeddings of mean 0 and variance 1 over the first set.
    """
    shape, dense = sets[0].shape, pruning.masks(network)
    need, logits = live.needed(network, shape), outputs(network, sets, where, precision)
    embedder = models.embedder(network)
    for name, more in live.needed(embedder, shape).items():  # channels that no logit needs may be alive here
        if f"{name}.weight" in dense and f"{name}.weight" in pruning.masks(embedder):
            need[name] = need[name] | more
    cut = pruning.masks(embedder).keys() != dense.keys()  # else its embeddings are its logits
    found = outputs(embedder, sets, where, precision) if cut else logits
    if standardised:
        std, mean = torch.std_mean(found[0], 0)
        found = [(each - mean) / std.clamp(min=1e-6) for each in found]
    rows = [torch.cat([each, out.amax(1, keepdim=True)], 1) for each, out in zip(found, logits)]
    return [as_images(each, images.labels.to(where)) for each, images in zip(rows, sets)], need


def as_images(rows: Tensor, labels: Tensor) -> Images:
    """Rows [N, d] as images of d "pixels" that need no normalising."""
    return Images(rows, labels, rows.new_ones(rows.shape[1]), rows.new_zeros(rows.shape[1]))


def outputs(network: nn.Module, sets: list[Images], where: torch.device, precision: str) -> list[Tensor]:
    """A pruned network's outputs [N, ...] for each set, by its live part."""
    small = live.build(network, sets[0].shape).to(where)
    return [training.outputs(small, images.to(where).gather(small.columns), precision) for images in sets]

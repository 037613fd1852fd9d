"""The losses of the paper's section 4."""
import torch
import torch.nn.functional as F
from torch import Tensor


def standard(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy averaged over the batch (section 4.1); [B, l], [B] -> scalar."""
    return F.cross_entropy(outputs, labels)


def average_same_label(outputs: Tensor, labels: Tensor, labels_in_batch: int | None = None) -> Tensor:
    """1/l times the sum over labels of the cross entropy of a label's mean output (section 4.2); [B, l], [B] -> scalar.

    A label that the batch lacks adds nothing. With `labels_in_batch` the divisor is that: the ablation whose batches have so many.
    Nothing here depends on which labels are there but its values, so that a GPU need not be waited for.
    """
    classes = outputs.shape[1]
    sums = outputs.new_zeros(classes, classes).index_add(0, labels, outputs)
    counts = outputs.new_zeros(classes).index_add(0, labels, outputs.new_ones(len(labels)))
    present = (counts > 0).to(outputs.dtype)
    means, every_label = sums / counts.clamp(min=1)[:, None], torch.arange(classes, device=labels.device)
    return F.cross_entropy(means, every_label, weight=present, reduction="sum") / (labels_in_batch or classes)


def balanced(outputs: Tensor, labels: Tensor, standard_weight: float = 0.5, labels_in_batch: int | None = None) -> Tensor:
    """(1 - lambda) * average same-label loss + lambda * standard loss (section 4.2); [B, l], [B] -> scalar.

    lambda = 1 is the standard loss. `labels_in_batch`: see `average_same_label`.
    """
    return (1 - standard_weight) * average_same_label(outputs, labels, labels_in_batch) + standard_weight * standard(outputs, labels)

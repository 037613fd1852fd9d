"""The losses of the paper's section 4."""
import torch
import torch.nn.functional as F
from torch import Tensor


def standard(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy averaged over the batch (section 4.1); [B, l], [B] -> scalar."""
    return F.cross_entropy(outputs, labels)


def average_same_label(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each label's mean output in the batch, averaged over the labels there (section 4.2)."""
    present, of = labels.unique(return_inverse=True)
    sums = outputs.new_zeros(len(present), outputs.shape[1]).index_add(0, of, outputs)
    return F.cross_entropy(sums / torch.bincount(of)[:, None], present)


def balanced(outputs: Tensor, labels: Tensor, lam: float = 0.5) -> Tensor:
    """(1 - lambda) * average same-label loss + lambda * standard loss (section 4.2); lambda = 1 is the standard loss."""
    return (1 - lam) * average_same_label(outputs, labels) + lam * standard(outputs, labels)

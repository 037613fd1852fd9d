"""The losses of the paper's section 4."""
import torch.nn.functional as F
from torch import Tensor


def standard(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy averaged over the batch (section 4.1); [B, l], [B] -> scalar."""
    return F.cross_entropy(outputs, labels)

"""How each method of the paper's section 4 turns n images into one prediction."""
from torch import Tensor


def mean_of_logits(logits: Tensor, tuples: Tensor) -> Tensor:
    """Baseline and balanced method (section 4.1): argmax of the mean logit vector; [N, l], [T, n] -> [T]."""
    return logits[tuples].mean(1).argmax(1)

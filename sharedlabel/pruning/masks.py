"""Which tensors may be pruned, and their masks, by parameter name."""
import math

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from sharedlabel.heads import LSTMHead

LSTM_TENSORS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def is_bias(name: str) -> bool:
    return name.rpartition(".")[2].startswith("bias")


def prunable_tensors(network: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Where the tensors that may be pruned are: (module, attribute) by parameter name, in the network's order."""
    head = isinstance(network, LSTMHead)
    found = {}
    for name, module in network.named_modules():
        attributes = ()
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            attributes = ("weight", "bias") if head and module.bias is not None else ("weight",)
        elif isinstance(module, nn.LSTM):
            attributes = LSTM_TENSORS
        found |= {f"{name}.{attribute}".removeprefix("."): (module, attribute) for attribute in attributes}
    return found


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The prunable tensors by parameter name; zero where the network is pruned."""
    return {name: getattr(module, attribute) for name, (module, attribute) in prunable_tensors(network).items()}


def masks(network: nn.Module) -> dict[str, Tensor]:
    """The bool mask of every prunable tensor by parameter name; all True where nothing was pruned."""
    return {
        name: getattr(module, f"{attribute}_mask", torch.ones_like(getattr(module, attribute))).bool()
        for name, (module, attribute) in prunable_tensors(network).items()
    }


def apply_masks(network: nn.Module, chosen: dict[str, Tensor]) -> None:
    """Prune by these masks: `torch.nn.utils.prune` keeps the dense tensor and multiplies by the mask."""
    for name, (module, attribute) in prunable_tensors(network).items():
        torch_prune.custom_from_mask(module, attribute, chosen[name])


def unmasked_parameter(module: nn.Module, attribute: str = "weight") -> nn.Parameter:
    """The parameter behind a module's tensor, pruned or not."""
    return getattr(module, f"{attribute}_orig" if hasattr(module, f"{attribute}_mask") else attribute)


def remaining_weights(total: int, rho: float) -> int:
    """Weights left of `total` at compression ratio rho (log10): ceil(total / 10^rho), exact in the paper's tables."""
    try:
        return math.ceil(total / 10 ** float(rho))
    except OverflowError:  # beyond what a float holds
        return 1


def format_masks(masks: dict[str, Tensor]) -> str:
    """What is left, a line a tensor, to print."""
    return "\n".join(f"{name:>17}: {int(mask.sum()):6d} of {mask.numel():6d} weights left" for name, mask in masks.items())

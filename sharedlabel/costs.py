"""What a prediction costs: multiply-accumulates (MACs) of weights, for one image.

Biases, activations and averaging are not counted. FLOPs, where a figure says so, are 2 MACs.
"""
import copy

import torch
from ptflops import get_model_complexity_info
from torch import Tensor, nn

from sharedlabel import pruning


def macs_dense(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """MACs of the unpruned network, counted by ptflops' `pytorch` backend on a plain copy without biases.

    Counting tools ignore masks, and count biases and activations beside the weights; so the copy has
    neither. `network` must not be pruned yet (a masked layer would count as 0): ValueError otherwise.
    """
    if any(hasattr(module, "weight_mask") for module in network.modules()):
        raise ValueError("macs_dense counts a network that is not pruned; count before pruning")
    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.bias = None
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):  # ptflops counts it, even among `ignore_modules`
                setattr(module, name, nn.Identity())
    macs, _ = get_model_complexity_info(
        plain, tuple(shape), backend="pytorch", as_strings=False, print_per_layer_stat=False
    )
    return int(macs)


def macs_live(alive: dict[str, Tensor], need: dict[str, Tensor]) -> int:
    """MACs of the live network: every live weight as often as it is used.

    alive: masks by module name; need: live activations (`live.needed`), whose names are the modules'
    with "." as "_". A linear weight is used once, if its output is live; a convolution's once for every
    live position of its output channel (padding included, as for the dense count).
    """
    total = 0
    for name, mask in alive.items():
        out = next(n for node, n in need.items() if node.lstrip("_") == name.replace(".", "_"))
        total += int((mask.flatten(1).sum(1) * out.flatten(1).sum(1) if out.dim() == 3 else mask.sum(1) * out).sum())
    return total

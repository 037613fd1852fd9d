"""What a prediction costs: multiply-accumulates (MACs) of weights, for one image.

Biases, activations and averaging are not counted. FLOPs, where a figure says so, are 2 MACs.
"""
import copy

from ptflops import get_model_complexity_info
from torch import Tensor, nn

from sharedlabel import live, pruning


def part(network: nn.Module, shape: tuple[int, int, int], rho: float) -> dict[str, int]:
    """A record's entry for one part of the network, before it is pruned; `macs_live` is 0 until it is."""
    total = sum(module.weight.numel() for module in pruning.prunable(network).values())
    return {
        "params_total": total, "params_remaining": pruning.remaining(total, rho),
        "macs_dense": macs_dense(network, shape), "macs_live": 0,
    }


def macs_dense(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """MACs of the unpruned network for one image of `shape` (C, H, W).

    ptflops' `pytorch` backend counts each convolution and linear layer alone, on a plain copy without a
    bias, for the input that it gets in the network; on a whole network it would add biases, activations
    and additions, and count a masked layer as 0. ValueError if `network` is pruned already.
    """
    if any(hasattr(module, "weight_mask") for module in network.modules()):
        raise ValueError("macs_dense counts a network that is not pruned; count before pruning")
    total = 0
    for node in live.trace(network, shape).nodes:
        module = live.layer_of(network, node)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            plain = copy.deepcopy(module)
            plain.bias = None
            size = tuple(node.args[0].meta["shape"])
            macs, _ = get_model_complexity_info(plain, size, backend="pytorch", as_strings=False, print_per_layer_stat=False)
            total += int(macs)
    return total


def macs_live(alive: dict[str, Tensor], need: dict[str, Tensor]) -> int:
    """MACs of the live network: every live weight as often as it is used.

    alive: masks, need: live activations (`live.needed`), both by module name. A linear weight is used
    once, if its output is live; a convolution's once for every live position of its output channel
    (padding included, as for the dense count).
    """
    total = 0
    for name, mask in alive.items():
        out = need[name]
        total += int((mask.flatten(1).sum(1) * out.flatten(1).sum(1) if out.dim() == 3 else mask.sum(1) * out).sum())
    return total

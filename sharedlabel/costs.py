"""The cost of a prediction: multiply-accumulates (MACs) of weights, for one image. FLOPs are 2 MACs, and the additions that pool pixels.

A head's MACs, too, are for one image, one that follows others in the sequence. Biases, activations and averaging are not counted.
"""
import copy
import math
import sys
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.utils.prune import is_pruned

from sharedlabel import live, pruning

COUNTED = nn.Conv2d, nn.Linear, nn.LSTM


def part_costs(network: nn.Module, shape: tuple[int, ...], rho: float, keep_biases: bool = False) -> dict[str, int]:
    """A record's entry for one part of the network, a CNN or a head, before it is pruned to rho; `macs_live` is 0 until it is.

    `shape` as in `macs_dense`; with `keep_biases` those of a head all stay. ValueError if `network` is pruned already.
    """
    sizes = {name: w.numel() for name, w in pruning.weights(network).items()}
    kept = sum(size for name, size in sizes.items() if keep_biases and pruning.is_bias(name))
    total = sum(sizes.values())
    return {
        "params_total": total, "params_remaining": pruning.remaining_weights(total - kept, rho) + kept,
        "macs_dense": macs_dense(network, shape), "macs_live": 0,
    }


def macs_dense(network: nn.Module, shape: tuple[int, ...]) -> int:
    """MACs of the unpruned network for one image of `shape` (C, H, W), or of a head for one embedding, `shape` (1, d).

    ptflops' `pytorch` backend counts each convolution and linear layer alone, on a plain copy without a
    bias, for the input that it gets in the network; on a whole network it would add biases, activations
    and additions, and count a masked layer as 0. An LSTM multiplies as two linear layers do. ValueError if
    `network` is pruned already; TypeError, which names it, on another layer with weights (a BatchNorm's are only a scale).
    """
    if is_pruned(network):
        raise ValueError("macs_dense counts a network that is not pruned; count before pruning")
    total = 0
    for node in live.trace(network, shape).nodes:
        module, size = live.layer_of(network, node), node.args and getattr(node.args[0], "meta", {}).get("shape")
        weighted = module is not None and any(parameter.dim() > 1 for parameter in module.parameters())
        if node.op == "get_attr" or (weighted and not isinstance(module, COUNTED)):
            kind = type(module).__name__ if module else "a tensor read by a function"
            raise TypeError(f"layer {node.name!r} ({kind}) has weights that macs_dense does not know how to count")
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            plain = copy.deepcopy(module)
            plain.bias = None
            total += layer_macs(plain, size)
        elif isinstance(module, nn.LSTM):
            for width in (module.input_size, module.hidden_size):
                total += layer_macs(nn.Linear(width, 4 * module.hidden_size, bias=False), (*size[:-1], width))
    return total


def layer_macs(layer: nn.Module, size: tuple[int, ...]) -> int:
    """ptflops' MACs of one layer, for an input of this size (without a batch)."""
    macs, _ = ptflops().get_model_complexity_info(layer, tuple(size), backend="pytorch", as_strings=False, print_per_layer_stat=False)
    return int(macs)


def ptflops():
    """ptflops without torchvision, which it looks for to count one more layer, and which takes a second to import."""
    hidden = {"torchvision": None} if "torchvision" not in sys.modules else {}
    sys.modules.update(hidden)  # None: an ImportError, which ptflops expects
    try:
        import ptflops
    finally:
        for name in hidden:
            del sys.modules[name]
    return ptflops


def macs_live(alive: dict[str, Tensor], need: dict[str, Tensor]) -> int:
    """MACs of the live network: every live weight as often as it is used, for one image.

    alive: masks by parameter name, need: live activations (`live.live_activations`, `lstm.live_activations`) by module name. A linear
    weight is used once, if its output is live, and so is an LSTM's (its four gates live and die with their unit); a
    convolution's once for every live position of its output channel (padding included, as for the dense count).
    """
    return sum(int((alive[name].flatten(1).sum(1) * used).sum()) for name, used in uses(alive, need).items())


def after_pruning(alive: dict[str, Tensor], need: dict[str, Tensor], budget: str = "weights") -> dict[str, int]:
    """What pruning adds to `part_costs` of a CNN: `macs_live`, and under a budget of MACs `params_remaining`, which rho does not tell."""
    found = {"macs_live": macs_live(alive, need)}
    return found if budget == "weights" else found | {"params_remaining": sum(int(mask.sum()) for mask in alive.values())}


def uses(alive: dict[str, Tensor], need: dict[str, Tensor]) -> dict[str, Tensor]:
    """How often each row of weights is used for one image, int64 [rows] by parameter name; arguments as in `macs_live`."""
    found = {}
    for name in (name for name in alive if not pruning.is_bias(name)):
        live_entries = need[name.rpartition(".")[0]]
        used = live_entries.flatten(1).sum(1) if live_entries.dim() == 3 else live_entries.long()
        found[name] = used.repeat(len(alive[name]) // len(used))
    return found


def weight_macs(network: nn.Module, shape: tuple[int, ...]) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """For `pruning.prune` under a budget of MACs: masks -> MACs of each weight for one image of `shape`, in the weight's shape.

    They are those that it has, or would have, in the live network of these masks: a convolution's weight costs as much as positions of
    its output channel are live. `network` is not pruned, and stays as it is.
    """
    masked = copy.deepcopy(network)
    pruning.apply_masks(masked, pruning.masks(masked))

    def macs(alive: dict[str, Tensor]) -> dict[str, Tensor]:
        for name, (module, attribute) in pruning.prunable_tensors(masked).items():
            getattr(module, f"{attribute}_mask").copy_(alive[name])
        rows = uses(alive, live.live_activations(masked, shape))
        return {name: used.view(-1, *[1] * (alive[name].dim() - 1)).expand_as(alive[name]) for name, used in rows.items()}

    return macs


def macs_head(alive: dict[str, Tensor], need: dict[str, Tensor], n: int) -> int:
    """MACs of a live LSTM head over a sequence of n embeddings, arguments as in `macs_live`.

    Its recurrent weights are used between two images, so n - 1 times, and never where it reads each image alone. Of masks
    that keep everything it is the dense cost of an n-tuple; that of a CNN is n times `macs_dense`.
    """
    recurrent = {name: mask for name, mask in alive.items() if name.endswith("weight_hh_l0")}
    return n * macs_live(alive, need) - macs_live(recurrent, need)


def macs_set_head(head: nn.Sequential, n: int) -> int:
    """MACs of a set head or its control (`heads`) over n embeddings: what reads the pooled one is computed once. Pooling is averaging."""
    each, once = (sum(p.numel() for p in part.parameters() if p.dim() > 1) for part in (head.phi, head.pool))
    return n * each + once


def pooling_additions(shape: tuple[int, int, int], size: int) -> int:
    """Additions of `data.average_pooled` for one image of `shape` (C, H, W), before pooling: size * size - 1 for every pixel that is left.

    The division is a factor of the weights that read it, and costs nothing.
    """
    channels, height, width = shape
    return channels * (height // size) * (width // size) * (size * size - 1)


def joint_rho(network: dict[str, dict[str, int]]) -> float:
    """The compression ratio of all parts of a record's `network` together: log10 of their weights over those that remain."""
    total, remaining = (sum(part[key] for part in network.values()) for key in ("params_total", "params_remaining"))
    return math.log10(total / remaining)

"""Pruning before training: a pruner is one score (`scores`); the masking is shared.

Prunable are the weights of convolutions and linear layers; biases and BatchNorm are neither counted
nor pruned. Of an LSTM head every parameter is, biases included. (That alone gives the paper's totals.)
What rho counts is weights, or the multiply-accumulates (MACs) of one image, and then scores are per MAC.
Masks are put on the modules with `torch.nn.utils.prune`, so that a pruned network is an ordinary one of
PyTorch's ecosystem.
"""
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from sharedlabel import choices
from sharedlabel.pruning.connectivity import LayerCollapse, check_enough_weights, connected, shortest_path
from sharedlabel.pruning.masks import (
    LSTM_TENSORS,
    apply_masks,
    format_masks,
    is_bias,
    masks,
    prunable_tensors,
    remaining_weights,
    unmasked_parameter,
    weights,
)
from sharedlabel.pruning.scores import Batch

__all__ = ["LSTM_TENSORS", "PRUNERS", "Batch", "LayerCollapse", "apply_masks", "check_enough_weights", "connected", "format_masks",
           "is_bias", "keep_top", "keep_within", "masks", "prunable_tensors", "prune", "remaining_weights",
           "shortest_path", "unmasked_parameter", "weights"]

PRUNERS = choices.functions(choices.PRUNERS)


def keep_top(scores: dict[str, Tensor], alive: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """Masks of exactly the `count` best-scored weights among the `alive` ones, over all layers together.

    Ties are real (symmetric weights), so they are broken by position rather than all kept or all lost;
    a weight that is not alive never comes back. FloatingPointError where a score of one that is alive is not finite.
    """
    flat = torch.cat([scores[name][alive[name]] for name in alive])
    if not flat.isfinite().all():
        raise FloatingPointError("a pruning score is not finite")
    threshold = flat.kthvalue(len(flat) - count + 1).values
    above, tied = flat > threshold, flat == threshold
    keep = above | (tied & (tied.cumsum(0) <= count - above.sum()))
    kept = {}
    for name, chosen in zip(alive, keep.split([int(mask.sum()) for mask in alive.values()])):
        kept[name] = alive[name].masked_scatter(alive[name], chosen)
    return kept


def keep_within(scores: dict[str, Tensor], macs: dict[str, Tensor], alive: dict[str, Tensor], budget: int) -> dict[str, Tensor]:
    """Masks of the `alive` weights with the highest score per MAC, as many as cost no more than `budget` together (at least one).

    macs: what each weight costs, in the shape of its score; one that costs nothing counts as one MAC in its score. Ties as in `keep_top`.
    A negative score (of `random`, `grasp`) is multiplied, so that of two as bad the dearer one goes first.
    """
    costs = {name: each.clamp(min=1) for name, each in macs.items()}
    per_mac = {name: torch.where(score < 0, score * costs[name], score / costs[name]) for name, score in scores.items()}
    flat, price = (torch.cat([each[name][alive[name]] for name in alive]) for each in (per_mac, macs))
    spent = price[flat.argsort(descending=True, stable=True)].cumsum(0)
    return keep_top(per_mac, alive, max(1, int((spent <= budget).sum())))


def prune(
    network: nn.Module, pruner: str, rho: float, batch: Batch, iterations: int = 100, generator: torch.Generator | None = None,
    keep_biases: bool = False, shuffled: bool = False, macs: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    set_by: str = "rho",
) -> dict[str, Tensor]:
    """Prune `network` in place to exactly ceil(total / 10^rho) weights and return the masks.

    `iterations` rounds of scoring and masking follow the exponential schedule of the SynFlow paper:
    after round i, total / 10^(rho i / iterations) weights are left, and the scores of all pruners are
    computed anew (the paper runs "the pruning algorithm for 100 iterations"). The network is left in
    training mode. `generator` is for the random pruner. With `keep_biases` those of an LSTM head stay whole, and `total` counts
    the others. `shuffled`: each layer keeps as many weights as the scores say, but random ones (a sanity check, Frankle et al. 2021).
    With `macs` (masks -> what each weight costs under them, `costs.weight_macs`) rho counts MACs: the weights of the highest score per MAC
    stay that cost at most total / 10^(rho i / iterations) together, and in the end none that costs nothing, as it is dead. How
    many they are follows. As costs are those before a round's masking, the MACs left may be fewer. `set_by`: the parameter that rho is,
    which errors name.
    Masks are found on the CPU, so that no GPU's order of sums decides them (of a score by loss another processor's may); the live network
    moves to a GPU afterwards.
    Raises ValueError on an unknown pruner, on no iteration, on a network on another device, that is pruned already or has a layer of
    zeros, on a batch that the pruner cannot use (`scores.check_every_class`), FloatingPointError on a score that is not finite, and
    LayerCollapse (the network is then as it was) where rho leaves too few weights for any mask to connect the network, or where this
    pruner's mask does not.
    """
    if pruner not in PRUNERS:
        raise ValueError(f"pruner: {pruner!r} is unknown; allowed: {', '.join(PRUNERS)}")
    if iterations < 1:
        raise ValueError(f"iterations: {iterations} is not allowed; it takes at least one to prune")
    device = next(network.parameters()).device
    if device.type != "cpu":
        raise ValueError(f"the network is on {device}; prune it on the CPU, and move what is left of it (`live.build`)")
    if torch_prune.is_pruned(network):
        raise ValueError("the network is pruned already; build it anew and prune it to the larger rho")
    zeros = [name for name, w in weights(network).items() if not (is_bias(name) or w.any())]
    if zeros and pruner != "random":
        raise ValueError(f"the weights of {', '.join(zeros)} are all 0, and so are their scores by {pruner}: nothing tells them apart")
    whole = masks(network)
    alive = {name: mask for name, mask in whole.items() if not (keep_biases and is_bias(name))}
    total = sum(int(each.sum()) for each in (macs(whole) if macs else alive).values())
    check_enough_weights(network, total, rho, "MACs" if macs else "weights", set_by)
    original = {name: w.detach() for name, w in weights(network).items() if name in alive}
    for i in range(1, iterations + 1) if rho > 0 else ():
        scores = PRUNERS[pruner](network, {name: w * alive[name] for name, w in original.items()}, batch, generator)
        left = remaining_weights(total, rho * i / iterations)
        alive = keep_within(scores, macs(alive), alive, left) if macs else keep_top(scores, alive, left)
    if macs:
        alive = {name: alive[name] & (cost > 0) for name, cost in macs(alive).items()}
    if shuffled:
        alive = {name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask) for name, mask in alive.items()}
    alive = whole | alive
    network.train()
    if not connected(network, alive, batch[0].shape[1:]):
        empty = [name for name, mask in alive.items() if not mask.any()]
        raise LayerCollapse(
            f"{pruner} at {set_by} {rho}{' with shuffled masks' if shuffled else ''} left no path from the input to an output: "
            + (f"no weight is left in {', '.join(empty)}" if empty else "every layer keeps a weight, but they do not meet")
        )
    apply_masks(network, alive)
    return alive

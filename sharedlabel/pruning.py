"""Pruning before training: a pruner is one score; the masking is shared.

A score is a function of the network, its weights as masked so far (by parameter name), a batch and a
random stream, and gives one tensor a weight tensor: the higher, the sooner kept. To add a pruner, write
such a function and name it in `PRUNERS`. Scores by loss or flow set the network's mode for their pass; `prune` leaves it training.
Prunable are the weights of convolutions and linear layers; biases and BatchNorm are neither counted
nor pruned. Of an LSTM head every parameter is, biases included. (That alone gives the paper's totals.)
Masks are put on the modules with `torch.nn.utils.prune`, so that a pruned network is an ordinary one of
PyTorch's ecosystem.
"""
import contextlib
import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn.utils import prune as torch_prune

from sharedlabel import models

Batch = tuple[Tensor, Tensor]  # normalised images [B, C, H, W] and labels [B]


class LayerCollapse(ValueError):
    """No weight path leads from the input to the output: the network cannot be trained."""


LSTM = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def is_bias(name: str) -> bool:
    return name.rpartition(".")[2].startswith("bias")


def prunable(network: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Where the tensors that may be pruned are: (module, attribute) by parameter name, in the network's order."""
    head = isinstance(network, models.LSTMHead)
    found = {}
    for name, module in network.named_modules():
        attributes = ()
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            attributes = ("weight", "bias") if head and module.bias is not None else ("weight",)
        elif isinstance(module, nn.LSTM):
            attributes = LSTM
        found |= {f"{name}.{attribute}".removeprefix("."): (module, attribute) for attribute in attributes}
    return found


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The prunable tensors by parameter name; zero where the network is pruned."""
    return {name: getattr(module, attribute) for name, (module, attribute) in prunable(network).items()}


def masks(network: nn.Module) -> dict[str, Tensor]:
    """The bool mask of every prunable tensor by parameter name; all True where nothing was pruned."""
    return {
        name: getattr(module, f"{attribute}_mask", torch.ones_like(getattr(module, attribute))).bool()
        for name, (module, attribute) in prunable(network).items()
    }


def put_masks(network: nn.Module, chosen: dict[str, Tensor]) -> None:
    """Prune by these masks: `torch.nn.utils.prune` keeps the dense tensor and multiplies by the mask."""
    for name, (module, attribute) in prunable(network).items():
        torch_prune.custom_from_mask(module, attribute, chosen[name])


def dense(module: nn.Module, attribute: str = "weight") -> nn.Parameter:
    """The parameter behind a module's tensor, pruned or not."""
    return getattr(module, f"{attribute}_orig" if hasattr(module, f"{attribute}_mask") else attribute)


def remaining(total: int, rho: float) -> int:
    """Weights left of `total` at compression ratio rho (log10): ceil(total / 10^rho), exact in the paper's tables."""
    try:
        return math.ceil(total / 10 ** float(rho))
    except OverflowError:  # beyond what a float holds
        return 1


def random(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """A standard Gaussian for every weight (Appendix C.2), in float32; no pass, so no BatchNorm."""
    return {name: torch.randn(w.shape, generator=generator) for name, w in weights.items()}


def magnitude(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """The absolute value of the weight (Han et al. 2015), in the weight's precision; no pass, so no BatchNorm."""
    return {name: w.abs() for name, w in weights.items()}


def snip(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Connection sensitivity |theta * dL/dtheta| (Lee et al. 2019), L the cross entropy of the batch.

    Float32; BatchNorm normalises by the batch, as in training, and its running statistics stay as they are. The whole
    batch is one pass, so memory grows with it (WideResNet-20: 4 MiB an image, `grasp` 10).
    """
    images, labels = complete(network, batch)
    inputs, state = leaves(network, weights)
    loss = F.cross_entropy(functional_call(network.train(), state, (images,)), labels)
    gradients = torch.autograd.grad(loss, list(inputs.values()))
    return {name: (w * g).abs().detach() for name, w, g in zip(weights, inputs.values(), gradients)}


TEMPERATURE = 200  # GraSP's authors divide the logits by it, which keeps the softmax away from its corners


def grasp(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Gradient signal preservation, theta * Hg (Wang et al. 2020): kept is what most keeps the gradient's norm.

    H and g are Hessian and gradient of the cross entropy at temperature 200. Precision and BatchNorm as in `snip`.
    """
    images, labels = complete(network, batch)
    inputs, state = leaves(network, weights)
    loss = F.cross_entropy(functional_call(network.train(), state, (images,)) / TEMPERATURE, labels)
    gradients = torch.autograd.grad(loss, list(inputs.values()), create_graph=True)
    norm = sum((g * g.detach()).sum() for g in gradients)
    products = torch.autograd.grad(norm, list(inputs.values()))
    return {name: (w * hg).detach() for name, w, hg in zip(weights, inputs.values(), products)}


def synflow(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """SynFlow (Tanaka et al. 2020): |theta * dR/dtheta| with R = 1^T f(1) on absolute weights.

    R must be positively homogeneous in every layer for the score's sums to be conserved from layer to
    layer, hence: evaluation mode, every bias and BatchNorm's mean out of the pass, its weights absolute, too, float64. Only the
    shape of the batch is used.
    An LSTM head is not homogeneous, so its score is that of a linearised copy (`models.LinearisedHead`); its
    biases, which are prunable, take part as weights of an input that is always 1. So it keeps the head connected far, but not
    to the maximum as in a network without prunable biases (benchmarks/rho_max.md): a bias leads to an output without the
    input, and a sum does not tell the gate that speaks from those that only open. The longer the sequence, the more of the
    sum goes round: scored on 40 embeddings, 3 heads of 20 (seeds 4, 6 and 12) lose every path at Table 2's 3.75, on 15 or fewer none. Where
    they are kept whole, they are out of the pass as a network's are.
    """
    absolute, state = leaves(network, {name: w.double().abs() for name, w in weights.items()}, torch.float64)
    for name in state.keys() - weights.keys():
        out = is_bias(name) or name.endswith("running_mean")
        state[name] = torch.zeros_like(state[name]) if out else state[name].abs()
    ones = torch.ones((1, *batch[0].shape[1:]), dtype=torch.float64)
    scored = models.LinearisedHead.like(network) if isinstance(network, models.LSTMHead) else network
    flow = functional_call(scored.eval(), state, (ones,)).sum()
    gradients = torch.autograd.grad(flow, list(absolute.values()), materialize_grads=True)  # one image uses no recurrence
    return {name: (w * g).detach() for name, w, g in zip(weights, absolute.values(), gradients)}


PRUNERS = {"random": random, "magnitude": magnitude, "snip": snip, "grasp": grasp, "synflow": synflow}


def leaves(
    network: nn.Module, weights: dict[str, Tensor], dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(weights to differentiate by, the whole state for `functional_call`), the network's own tensors untouched."""
    inputs = {name: w.detach().to(dtype).requires_grad_() for name, w in weights.items()}
    state = dict(inputs)
    for name, t in (*network.named_parameters(), *network.named_buffers()):
        if name not in state:
            state[name] = t.detach().to(dtype, copy=True) if t.is_floating_point() else t.clone()
    return inputs, state


def complete(network: nn.Module, batch: Batch) -> Batch:
    """The batch, if it has every class: a score by loss would otherwise prune what tells the others apart.

    ValueError where it is empty or lacks one of the classes, as many as the last layer has outputs.
    """
    images, labels = batch
    if labels is None or not len(labels):
        raise ValueError("batch: it is empty; SNIP and GraSP need images of every class")
    classes = len(list(weights(network).values())[-1])
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise ValueError(f"batch: it has no image of class {', '.join(map(str, missing))}; SNIP and GraSP need every class")
    return images, labels


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


def prune(
    network: nn.Module, pruner: str, rho: float, batch: Batch, iterations: int = 100, generator: torch.Generator | None = None,
    keep_biases: bool = False,
) -> dict[str, Tensor]:
    """Prune `network` in place to exactly ceil(total / 10^rho) weights and return the masks.

    `iterations` rounds of scoring and masking follow the exponential schedule of the SynFlow paper:
    after round i, total / 10^(rho i / iterations) weights are left, and the scores of all five pruners are
    computed anew (the paper runs "the pruning algorithm for 100 iterations"). The network is left in
    training mode. `generator` is for the random pruner. With `keep_biases` those of an LSTM head stay whole, and `total` counts
    the others.
    Raises ValueError on an unknown pruner, on no iteration, on a network that is pruned already and on a batch that the
    pruner cannot use (`complete`), FloatingPointError on a score that is not finite, and LayerCollapse (the network is then
    as it was) where rho leaves too few weights for any mask to connect the network, or where this pruner's mask does not.
    """
    if pruner not in PRUNERS:
        raise ValueError(f"pruner: {pruner!r} is unknown; allowed: {', '.join(PRUNERS)}")
    if iterations < 1:
        raise ValueError(f"iterations: {iterations} is not allowed; it takes at least one to prune")
    if torch_prune.is_pruned(network):
        raise ValueError("the network is pruned already; build it anew and prune it to the larger rho")
    whole = masks(network)
    alive = {name: mask for name, mask in whole.items() if not (keep_biases and is_bias(name))}
    total = sum(mask.numel() for mask in alive.values())
    check_bearable(network, total, rho)
    original = {name: w.detach() for name, w in weights(network).items() if name in alive}
    for i in range(1, iterations + 1) if rho > 0 else ():
        scores = PRUNERS[pruner](network, {name: w * alive[name] for name, w in original.items()}, batch, generator)
        alive = keep_top(scores, alive, remaining(total, rho * i / iterations))
    alive = whole | alive
    network.train()
    if not connected(network, alive, batch[0].shape[1:]):
        empty = [name for name, mask in alive.items() if not mask.any()]
        raise LayerCollapse(
            f"{pruner} at rho {rho} left no path from the input to an output: "
            + (f"no weight is left in {', '.join(empty)}" if empty else "every layer keeps a weight, but they do not meet")
        )
    put_masks(network, alive)
    return alive


@contextlib.contextmanager
def outcome(record: dict, on_collapse: str):
    """Layer collapse in here is an error where `on_collapse` is "raise"; a grid's "record" makes it the record's outcome."""
    try:
        yield
    except LayerCollapse as collapse:
        if on_collapse == "raise":
            raise
        record |= {"status": "layer_collapse", "collapse": str(collapse)}
        print(collapse)


def told(masks: dict[str, Tensor]) -> str:
    """What is left, a line a tensor, to print."""
    return "\n".join(f"{name:>17}: {int(mask.sum()):6d} of {mask.numel():6d} weights left" for name, mask in masks.items())


def shortest_path(network: nn.Module) -> int:
    """The fewest weights that can lead from the input to an output: one a layer, shortcuts taken where they help."""
    length = {}
    for node in fx.symbolic_trace(network).graph.nodes:
        before = [length[arg] for arg in node.all_input_nodes]
        module = network.get_submodule(node.target) if node.op == "call_module" else None
        length[node] = min(before, default=0) + isinstance(module, (nn.Conv2d, nn.Linear, nn.LSTM))
    return length[node]


def check_bearable(network: nn.Module, total: int, rho: float) -> None:
    """Raise LayerCollapse where rho leaves fewer of `total` weights than the shortest path from input to output has."""
    left, needed = remaining(total, rho), shortest_path(network)
    if left < needed:
        most = math.floor(1e4 * math.log10(total / needed)) / 1e4
        raise LayerCollapse(
            f"rho: {rho} leaves {left} of {total} weights, and this network needs at least {needed} to connect "
            f"its input to an output; it bears rho <= {most}"
        )


def connected(network: nn.Module, alive: dict[str, Tensor], shape: tuple[int, ...]) -> bool:
    """Whether any input of `shape` reaches any output through the weights that are left.

    With weights 1 where alive, no biases, fresh BatchNorms and an input of ones, every activation counts the paths that
    reach it, whatever the layers are; a layer that keeps a weight nobody reaches does not help. `network` is not pruned itself.
    """
    if isinstance(network, models.LSTMHead):
        return head_connected(alive)
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    scores = synflow(plain, alive, (torch.empty(1, *shape), None))
    return any(bool(score.any()) for score in scores.values())


def head_connected(alive: dict[str, Tensor]) -> bool:
    """`connected` of an LSTM head, whose gates multiply: h = o tanh(c), c = f c + i g.

    A unit whose row of g has nothing alive stays 0, whatever reaches its other gates; one that speaks tells of the
    input if an input, or a unit that does, reaches any of its gates.
    """
    embedded = alive["embed.weight"].any(1)
    inputs, recurrent, *biases = (alive[f"lstm.{name}"].unflatten(0, (4, -1)) for name in LSTM)  # [gates i, f, g, o; units; ...]
    speaks = tells = torch.zeros(inputs.shape[1], dtype=torch.bool)
    for _ in range(2 * len(speaks)):  # long enough for both to settle, one unit at a time
        speaks = biases[0][2] | biases[1][2] | (inputs[2] & embedded).any(1) | (recurrent[2] & speaks).any(1)
        tells = speaks & ((inputs & embedded).any((0, 2)) | (recurrent & tells).any((0, 2)))
    return bool((alive["classify.weight"] & tells).any())

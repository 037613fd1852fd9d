"""The pruners, each one score: the paper's five, and two that know of tuples.

A score is a function of the network, its weights as masked so far (by parameter name), a batch and a
random stream, and gives one tensor a weight tensor: the higher, the sooner kept. To add a pruner, write
such a function under a decorator `choices.Pruner`. Scores by loss or flow set the network's mode for their pass; `prune`
leaves it training.
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from sharedlabel import choices, losses
from sharedlabel.heads import LinearisedLSTMHead, LSTMHead
from sharedlabel.pruning.masks import is_bias
from sharedlabel.pruning.masks import weights as weights_of

Batch = tuple[Tensor, Tensor]  # normalised images [B, C, H, W] and labels [B]


@choices.Pruner("random")
def random(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """A standard Gaussian for every weight (Appendix C.2), in float32; no pass, so no BatchNorm."""
    return {name: torch.randn(w.shape, generator=generator) for name, w in weights.items()}


@choices.Pruner("magnitude")
def magnitude(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """The absolute value of the weight (Han et al. 2015), in the weight's precision; no pass, so no BatchNorm."""
    return {name: w.abs() for name, w in weights.items()}


@choices.Pruner("SNIP")
def snip(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Connection sensitivity |theta * dL/dtheta| (Lee et al. 2019), L the cross entropy of the batch (`sensitivity`)."""
    return sensitivity(network, weights, batch, losses.standard)


@choices.Pruner("SNIP, tuple's loss")
def snip_tuple(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """SNIP that knows of tuples: L is the cross entropy of each class's mean output, a batch being one tuple of every class.

    Ours; it is the paper's closing question. The loss is that of section 4.2 (`losses.average_same_label`).
    """
    return sensitivity(network, weights, batch, losses.average_same_label)


@choices.Pruner("SNIP, balanced loss")
def snip_half(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """SNIP on the balanced loss: half that of `snip`, half that of `snip_tuple` (`losses.balanced` at lambda = 1/2)."""
    return sensitivity(network, weights, batch, losses.balanced)


def sensitivity(
    network: nn.Module, weights: dict[str, Tensor], batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """|theta * dL/dtheta| of every weight, L = loss(outputs [B, l], labels [B]) of the batch.

    Float32; BatchNorm normalises by the batch, as in training, and its running statistics stay as they are. The whole
    batch is one pass, so memory grows with it (WideResNet-20: 4 MiB an image, `grasp` 10).
    """
    images, labels = check_every_class(network, batch)
    inputs, state = differentiable_state(network, weights)
    gradients = torch.autograd.grad(loss(functional_call(network.train(), state, (images,)), labels), list(inputs.values()))
    return {name: (w * g).abs().detach() for name, w, g in zip(weights, inputs.values(), gradients)}


GRASP_TEMPERATURE = 200  # GraSP's authors divide the logits by it, which keeps the softmax away from its corners


@choices.Pruner("GraSP")
def grasp(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Gradient signal preservation, theta * Hg (Wang et al. 2020): kept is what most keeps the gradient's norm.

    H and g are Hessian and gradient of the cross entropy at temperature 200. Precision and BatchNorm as in `snip`.
    """
    images, labels = check_every_class(network, batch)
    inputs, state = differentiable_state(network, weights)
    loss = F.cross_entropy(functional_call(network.train(), state, (images,)) / GRASP_TEMPERATURE, labels)
    gradients = torch.autograd.grad(loss, list(inputs.values()), create_graph=True)
    norm = sum((g * g.detach()).sum() for g in gradients)
    products = torch.autograd.grad(norm, list(inputs.values()))
    return {name: (w * hg).detach() for name, w, hg in zip(weights, inputs.values(), products)}


@choices.Pruner("SynFlow")
def synflow(network: nn.Module, weights: dict[str, Tensor], batch: Batch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """SynFlow (Tanaka et al. 2020): |theta * dR/dtheta| with R = 1^T f(1) on absolute weights.

    R must be positively homogeneous in every layer for the score's sums to be conserved from layer to
    layer, hence: evaluation mode, every bias and BatchNorm's mean out of the pass, its weights absolute, too, float64. Only the
    shape of the batch is used.
    An LSTM head is not homogeneous, so its score is that of a linearised copy (`LinearisedLSTMHead`); its
    biases, which are prunable, take part as weights of an input that is always 1. So it keeps the head connected far, but not
    to the maximum as in a network without prunable biases (benchmarks/rho_max.md): a bias leads to an output without the
    input, and a sum does not tell the gate that speaks from those that only open. The longer the sequence, the more of the
    sum goes round: scored on 40 embeddings, 3 heads of 20 (seeds 4, 6 and 12) lose every path at Table 2's 3.75, on 15 or fewer none. Where
    they are kept whole, they are out of the pass as a network's are.
    """
    absolute, state = differentiable_state(network, {name: w.double().abs() for name, w in weights.items()}, torch.float64)
    for name in state.keys() - weights.keys():
        out = is_bias(name) or name.endswith("running_mean")
        state[name] = torch.zeros_like(state[name]) if out else state[name].abs()
    ones = torch.ones((1, *batch[0].shape[1:]), dtype=torch.float64)
    scored = LinearisedLSTMHead.like(network) if isinstance(network, LSTMHead) else network
    flow = functional_call(scored.eval(), state, (ones,)).sum()
    gradients = torch.autograd.grad(flow, list(absolute.values()), materialize_grads=True)  # one image uses no recurrence
    return {name: (w * g).detach() for name, w, g in zip(weights, absolute.values(), gradients)}


def differentiable_state(
    network: nn.Module, weights: dict[str, Tensor], dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(weights to differentiate by, the whole state for `functional_call`), the network's own tensors untouched."""
    inputs = {name: w.detach().to(dtype).requires_grad_() for name, w in weights.items()}
    state = dict(inputs)
    for name, t in (*network.named_parameters(), *network.named_buffers()):
        if name not in state:
            state[name] = t.detach().to(dtype, copy=True) if t.is_floating_point() else t.clone()
    return inputs, state


def check_every_class(network: nn.Module, batch: Batch) -> Batch:
    """The batch, if it has every class: a score by loss would otherwise prune what tells the others apart.

    ValueError where it is empty or lacks one of the classes, as many as the network has outputs. `network` is left in evaluation mode.
    """
    images, labels = batch
    if labels is None or not len(labels):
        raise ValueError("batch: it is empty; SNIP and GraSP need images of every class")
    with torch.no_grad():  # the outputs of the network, whatever its last layer is; evaluation mode moves no statistic
        state = differentiable_state(network, weights_of(network))[1]  # in the precision of the scores
        classes = functional_call(network.eval(), state, (images[:1],)).shape[1]
    missing = sorted(set(range(classes)) - set(labels.tolist()))
    if missing:
        raise ValueError(f"batch: it has no image of class {', '.join(map(str, missing))}; SNIP and GraSP need every class")
    return images, labels

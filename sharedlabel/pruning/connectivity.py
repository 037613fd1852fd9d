"""Whether a pruned network still leads from its input to an output."""
import copy
import math

import torch
from torch import Tensor, fx, nn

from sharedlabel.heads import LSTMHead
from sharedlabel.pruning.masks import LSTM_TENSORS, remaining_weights
from sharedlabel.pruning.scores import synflow


class LayerCollapse(ValueError):
    """No weight path leads from the input to the output: the network cannot be trained."""


def shortest_path(network: nn.Module) -> int:
    """The fewest weights that can lead from the input to an output: one a layer, shortcuts taken where they help."""
    length = {}
    for node in fx.symbolic_trace(network).graph.nodes:
        before = [length[arg] for arg in node.all_input_nodes]
        module = network.get_submodule(node.target) if node.op == "call_module" else None
        length[node] = min(before, default=0) + isinstance(module, (nn.Conv2d, nn.Linear, nn.LSTM))
    return length[node]


def check_enough_weights(network: nn.Module, total: int, rho: float, unit: str = "weights", set_by: str = "rho") -> None:
    """Raise LayerCollapse where rho leaves fewer of `total` weights than the shortest path from input to output has.

    `unit`: what rho counts; a weight costs at least one MAC. `set_by`: the parameter that rho is, which the error names.
    """
    left, needed = remaining_weights(total, rho), shortest_path(network)
    if left < needed:
        bound = math.log10(total / (needed - 1))  # from here on needed - 1 are left, as what is left is rounded up
        raise LayerCollapse(
            f"{set_by}: {rho} leaves {left} of {total} {unit}, and this network needs at least {needed} to connect its input to an "
            f"output; it bears at most {(math.ceil(1e4 * bound) - 1) / 1e4}"
        )


def connected(network: nn.Module, alive: dict[str, Tensor], shape: tuple[int, ...]) -> bool:
    """Whether any input of `shape` reaches any output through the weights that are left.

    With weights 1 where alive, no biases, fresh BatchNorms and an input of ones, every activation counts the paths that
    reach it, whatever the layers are; a layer that keeps a weight nobody reaches does not help. `network` is not pruned itself.
    """
    if isinstance(network, LSTMHead):
        return head_connected(alive, n=shape[0])
    stored = [value for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor) and not value.is_leaf]
    plain = copy.deepcopy(network, {id(tensor): tensor.detach() for tensor in stored})  # activations that a network keeps cannot be copied
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    scores = synflow(plain, alive, (torch.empty(1, *shape), None))
    return any(bool(score.any()) for score in scores.values())


def head_connected(alive: dict[str, Tensor], n: int) -> bool:
    """`connected` of an LSTM head that reads n images, whose gates multiply: h = o tanh(c), c = f c + i g.

    A unit whose row of g has nothing alive stays 0, whatever reaches its other gates; one that speaks tells of the input if an input
    reaches any of its gates, or a unit that did an image before; of f only where its cell held something before.
    """
    embedded = alive["embed.weight"].any(1)
    inputs, recurrent, *biases = (alive[f"lstm.{name}"].unflatten(0, (4, -1)) for name in LSTM_TENSORS)  # [gates i, f, g, o; units; ...]
    speaks = tells = torch.zeros(inputs.shape[1], dtype=torch.bool)
    for _ in range(min(n, 2 * len(speaks))):  # after so many images both have settled
        spoke, speaks = speaks, biases[0][2] | biases[1][2] | (inputs[2] & embedded).any(1) | (recurrent[2] & speaks).any(1)
        reached = (inputs & embedded).any(2) | (recurrent & tells).any(2)
        reached[1] &= spoke
        tells = speaks & reached.any(0)
    return bool((alive["classify.weight"] & tells).any())

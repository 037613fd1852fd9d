"""A network as a list of steps, and which entries of its activations are live.

torch.fx traces the network; every node becomes a `Step` of one of a few kinds, or is refused by name. An entry of an
activation is live if a path of live weights leads from it to an output.
"""
import math
import operator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.prune import BasePruningMethod

MODULES = {  # the kind of a step, by the module that computes it
    nn.Conv2d: "convolution", nn.Linear: "linear", nn.BatchNorm2d: "batchnorm", nn.ReLU: "relu", nn.Identity: "same",
    nn.Flatten: "same", nn.MaxPool2d: "maxpool", nn.AvgPool2d: "avgpool", nn.AdaptiveAvgPool2d: "avgpool",
}
FUNCTIONS = {  # or by the function or method
    operator.add: "add", torch.add: "add", torch.relu: "relu", torch.relu_: "relu", F.relu: "relu",
    "relu": "relu", "relu_": "relu", torch.flatten: "same", "flatten": "same",
}
WEIGHTED = ("convolution", "linear")


@dataclass
class Step:
    """One computation. `sources`: the steps that it reads, by number. `shape`: of its activation, (C, H, W) or (F,), for one image."""

    name: str
    kind: str
    sources: list[int]
    shape: tuple[int, ...]
    module: nn.Module | None = None
    live: Tensor | None = None  # bool, of `shape`

    @property
    def area(self) -> int:
        return self.shape[1] * self.shape[2] if len(self.shape) == 3 else 1


def mask_of(module: nn.Module, attribute: str = "weight") -> Tensor:
    """The bool mask that torch.nn.utils.prune has put on a module's tensor, on the CPU; all True where it was not pruned.

    Raises TypeError on one that scales what it keeps.
    """
    mask = getattr(module, f"{attribute}_mask", None)
    if mask is None:
        return torch.ones_like(getattr(module, attribute), dtype=torch.bool, device="cpu")
    if not torch.equal(mask.bool().to(mask), mask):
        raise TypeError(f"layer {module} has a mask of its {attribute} with other entries than 0 and 1")
    return mask.bool().cpu()


def dense(module: nn.Module, attribute: str = "weight") -> nn.Parameter:
    """The parameter behind a module's tensor, pruned or not."""
    return getattr(module, f"{attribute}_orig" if hasattr(module, f"{attribute}_mask") else attribute)


def is_hooked(module: nn.Module) -> bool:
    """Whether a module has hooks besides those of torch.nn.utils.prune, such as weight_norm's."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return not all(isinstance(hook, BasePruningMethod) for kind in kinds for hook in getattr(module, kind).values())


class Shapes(fx.Interpreter):
    """Notes the shape of every activation as torch's ShapeProp does, which takes a third of a second to import.

    Raises TypeError where one is read after it was changed in place, through whatever shares its memory.
    """

    def __init__(self, traced: fx.GraphModule):
        super().__init__(traced)
        self.extra_traceback = False  # which would be added to a refusal

    def run_node(self, node: fx.Node):
        for source in node.all_input_nodes:
            if "version" in source.meta and self.env[source]._version != source.meta["version"]:
                raise refusal(source, layer_of(self.module, source) or source.target, f"is changed in place before {node.name!r} reads it")
        result = super().run_node(node)
        if isinstance(result, Tensor):  # an LSTM gives a tuple, x.size(0) a number
            node.meta |= {"shape": tuple(result.shape[1:]), "version": result._version}
        return result


def agree(found, expected) -> bool:
    """Whether outputs are the same but for rounding; those that are no tensors are not compared."""
    if not isinstance(found, Tensor) or not isinstance(expected, Tensor):
        return type(found) is type(expected)
    if found.shape != expected.shape:
        return False
    found, expected = found.float().nan_to_num(), expected.float().nan_to_num()
    return bool((found - expected).norm() <= 1e-3 * expected.norm())


def trace(network: nn.Module, shape: tuple[int, ...]) -> fx.Graph:
    """The network's fx graph without what no output reads; every node has its activation's shape, for one image, in meta["shape"],
    and the last in meta["agrees"] whether the graph computes what the network does.

    The network is left as it was: every module's mode, its buffers and whatever its forward pass stores in it. Raises TypeError where it
    changes an activation in place that is read again.
    """
    before = [(module, dict(vars(module)), {k: dict(v) for k, v in vars(module).items() if k in ("_buffers", "_modules")})
              for module in network.modules()]
    parameter = next(network.parameters(), torch.empty(0))
    try:
        traced = fx.symbolic_trace(network)
        network.eval()  # so that no statistic moves
        with torch.inference_mode(False), torch.no_grad():
            image = torch.linspace(0, 1, math.prod(shape)).to(parameter).view(1, *shape)
            found, expected = Shapes(traced).run(image.clone()), network(image)
        traced.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    finally:
        for module, attributes, dictionaries in before:
            pruned = {name: value for name, value in vars(module).items() if f"{name}_mask" in module._buffers}  # made anew in every pass
            vars(module).clear()
            vars(module).update(attributes | pruned)
            for name, content in dictionaries.items():
                vars(module)[name].clear()
                vars(module)[name].update(content)
    next(reversed(traced.graph.nodes)).meta["agrees"] = agree(found, expected)
    return traced.graph


def layer_of(network: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that a node calls, if any."""
    return network.get_submodule(node.target) if node.op == "call_module" else None


def names(graph: fx.Graph) -> dict[fx.Node, str]:
    """What every node is called: as its module, with "_" behind where that is used again (a block's ReLU), or as its function."""
    found = {}
    for node in sorted(graph.nodes, key=lambda node: node.op != "call_module"):  # a module's own name is never taken by others
        name = node.target if node.op == "call_module" else node.name
        while name in found.values():
            name += "_"
        found[node] = name
    return found


def refusal(node: fx.Node, what, why: str = "is not one that the live network knows how to shrink") -> TypeError:
    kind = type(what).__name__ if isinstance(what, nn.Module) else getattr(what, "__name__", what)
    return TypeError(f"layer {node.name!r} ({kind}) {why}")


def steps_of(network: nn.Module, shape: tuple[int, ...]) -> list[Step]:
    """The network as steps in the order of computation: the first is the input, the last gives the output; nothing is live yet.

    Raises TypeError, which names the layer, on one whose rule is not known, that has hooks, or that shares memory with another.
    """
    graph, steps, number, owner, kinds = trace(network, shape), [], {}, {}, {}
    named, dtype = names(graph), next((parameter.dtype for parameter in network.parameters()), torch.float32)
    for node in graph.nodes:
        module = layer_of(network, node)
        kinds[node] = kind_of(node, module)
        if "shape" not in node.meta or kinds[node] is None:
            raise refusal(node, module or node.target)
        if module and is_hooked(module):
            raise refusal(node, module, "has hooks, which the live network would not call")
        for tensor in (*module.parameters(), *module.buffers()) if module else ():
            if tensor.is_floating_point() and tensor.dtype != dtype:
                raise refusal(node, module, f"has a tensor of {tensor.dtype}, where the network's first parameter is of {dtype}")
            place = tensor.data_ptr() or id(tensor)  # an empty one lies nowhere
            if place in owner:
                raise refusal(node, module, f"shares a tensor with {owner[place]!r}, which the live network would part")
            owner[place] = node.name
    for node in list(graph.nodes)[:-1]:
        module, kind = layer_of(network, node), kinds[node]
        if (kind == "input") != (not steps) or not known(node, kind, module):
            raise refusal(node, module or node.target)
        number[node] = len(steps)
        sources = [number[arg] for arg in (node.args if kind == "add" else node.all_input_nodes)]
        whole = node.meta["shape"]
        steps.append(Step(named[node], kind, sources, whole if len(whole) == 3 else (math.prod(whole),), module))
    if not node.next.meta["agrees"]:
        raise TypeError(f"{type(network).__name__} computes other than its layers: it changes an activation in place, has a hook, draws "
                        "random numbers or reads its mode")
    return steps


def kind_of(node: fx.Node, module: nn.Module | None) -> str | None:
    """The kind of step that a node is; None of an unknown one."""
    if node.op == "output":
        return "output" if isinstance(node.args[0], fx.Node) else None
    return "input" if node.op == "placeholder" else MODULES.get(type(module)) if module else FUNCTIONS.get(node.target)


def known(node: fx.Node, kind: str, module: nn.Module | None) -> bool:
    """Whether a node is a step of this kind as the rules below have it."""
    shape, sources = node.meta["shape"], [arg.meta["shape"] for arg in node.all_input_nodes]
    pruned = {name.removesuffix("_mask") for name, _ in module.named_buffers(recurse=False) if name.endswith("_mask")} if module else set()
    if pruned - ({"weight", "bias"} if kind in WEIGHTED else set()):
        return False  # a mask that would be forgotten
    match kind:
        case "convolution":
            return module.padding_mode == "zeros" and len(shape) == 3
        case "linear":
            return len(sources[0]) == 1  # of units, not of every row of a map
        case "batchnorm":
            return module.affine and module.track_running_stats
        case "maxpool":  # the largest of a window of padding alone is -inf
            return len(shape) == 3 and not module.return_indices and bool(module(torch.zeros(1, *sources[0])).isfinite().all())
        case "avgpool":
            return len(shape) == 3
        case "add":  # of two activations of one shape
            terms = [arg for arg in node.args if isinstance(arg, fx.Node) and arg.meta["shape"] == shape]
            return len(terms) == len(node.args) == 2 and not node.kwargs
        case "same":  # nothing moves, or a map becomes units
            return shape == sources[0] or shape == (math.prod(sources[0]),)
    return True


def padding_of(module: nn.Module) -> tuple[int, int]:
    """Rows of zeros above, and columns before, the images that a convolution reads."""
    if isinstance(module.padding, str):
        return tuple(d * (k - 1) // 2 if module.padding == "same" else 0 for d, k in zip(module.dilation, module.kernel_size))
    return module.padding


def find_live(steps: list[Step]) -> list[Step]:
    """Fills in `live` of all steps, backwards from the output, all of which is."""
    for step in steps:
        step.live = torch.zeros(step.shape, dtype=torch.bool)
    steps[-1].live.fill_(True)
    for step in reversed(steps):
        for source in (steps[i] for i in step.sources):
            source.live |= reads(step, source.shape)
    return steps


def reads(step: Step, shape: tuple[int, ...]) -> Tensor:
    """Which entries of a source of `shape` the live entries of a step read; whole channels where a layer takes them whole."""
    if step.kind == "linear":
        return mask_of(step.module)[step.live].any(0)
    if step.kind == "convolution":
        module, (above, before) = step.module, padding_of(step.module)
        read = F.conv_transpose2d(
            step.live[None].double(), mask_of(module).double(), None, module.stride, 0, 0, module.groups, module.dilation
        )[0] > 0
        return F.pad(read, (-before, shape[2] + before - read.shape[2], -above, shape[1] + above - read.shape[1]))
    if step.kind in ("batchnorm", "maxpool", "avgpool"):
        return step.live.any((1, 2))[:, None, None].expand(shape)
    return step.live.view(shape)


def live_activations(network: nn.Module, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Which entries of every activation are live: bool tensors ([C, H, W] or [F]) by the name of what computes it (`names`).

    For images of `shape` (C, H, W). BatchNorm and pools read whole channels. Raises TypeError as `steps_of` does.
    """
    return {step.name: step.live for step in find_live(steps_of(network, shape))}

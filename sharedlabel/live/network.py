"""The live network: what is left of a pruned network once nothing dead is computed.

An activation is live if a path of live weights leads from it to an output. Everything else is dropped:
channels and units, and, where no BatchNorm needs whole maps for its statistics, single positions. What
is left computes the same function with the same gradients, so training it is training the pruned
network. A unit that no live weight reaches, but that is read, still emits its bias and keeps learning:
it stays. Live weights are held as one vector of values a layer and placed where a small dense
matrix needs them, or summed one by one where they are few, so no step computes or updates a pruned weight.

    live = build(network, shape)             # a pruned network -> a small one over live weights only
    images.gather(live.columns)              # the input pixels it reads, gathered once before training
    write_back(live, network)                # trained values -> the pruned network
"""
import math
import operator

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from sharedlabel import pruning
from sharedlabel.live import layers as live_layers
from sharedlabel.live.layers import Layout, grid

ELEMENTWISE = (nn.ReLU, nn.Identity)
BY_CHANNEL = (nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)  # these need whole maps
ADDITIONS = (operator.add, operator.iadd, torch.add)


def live_activations(network: nn.Module, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Which entries of every activation are live: bool tensors ([C, H, W] or [F]) by the name of what computes it (`node_names`).

    Found by walking the network's graph backwards from the outputs, all of which are needed. Raises
    TypeError on a layer whose rule is not known, or that shares its weights with another one, rather than guessing.
    """
    graph, alive = trace(network, shape), pruning.masks(network)
    check_tensors(network, graph)
    need = {node: torch.zeros(node.meta["shape"], dtype=torch.bool) for node in graph.nodes if node.op != "output"}
    for node in reversed(graph.nodes):
        if node.op == "output":
            need[node.args[0]].fill_(True)
        elif node.op == "call_module":
            module, mask, source = network.get_submodule(node.target), alive.get(f"{node.target}.weight"), node.args[0]
            if isinstance(module, nn.Linear):
                if need[source].dim() != 1:  # of every row of a map
                    raise unknown(node, module)
                need[source] |= mask[need[node]].any(0)
            elif isinstance(module, nn.Conv2d):
                if module.groups > 1 or module.padding_mode != "zeros" or isinstance(module.padding, str):
                    raise unknown(node, module)
                reads = torch.nn.grad.conv2d_input(
                    (1, *source.meta["shape"]), mask.double(), need[node][None].double(),
                    module.stride, module.padding, module.dilation, module.groups,
                )
                need[source] |= reads[0] > 0
            elif isinstance(module, nn.Flatten):
                if need[node].dim() != 1:
                    raise unknown(node, module)
                need[source] |= need[node].view(source.meta["shape"])
            elif isinstance(module, ELEMENTWISE):
                need[source] |= need[node]
            elif isinstance(module, BY_CHANNEL):
                if isinstance(module, nn.BatchNorm2d) and not (module.affine and module.track_running_stats):
                    raise unknown(node, module)
                need[source] |= need[node].any((1, 2))[:, None, None]
            else:
                raise unknown(node, module)
        elif node.target in ADDITIONS:
            maps = [arg for arg in node.all_input_nodes if len(arg.meta["shape"]) == 3]
            if len(maps) < 2 or node.kwargs or len({arg.meta["shape"] for arg in maps}) > 1:  # of a constant, of units, of a map and itself
                raise unknown(node, node.target)
            for source in maps:
                need[source] |= need[node]
        elif node.target is torch.flatten and need[node].dim() == 1:
            need[node.args[0]] |= need[node].view(node.args[0].meta["shape"])
        elif node.op != "placeholder":
            raise unknown(node, node.target)
    named = node_names(graph)
    return {named[node]: mask for node, mask in need.items()}


def node_names(graph: fx.Graph) -> dict[fx.Node, str]:
    """What every node is called: as its module, with "_" behind where that is used again (a block's ReLU), or as its function."""
    found = {}
    for node in sorted(graph.nodes, key=lambda node: node.op != "call_module"):  # a module's own name is never taken by others
        name = node.target if node.op == "call_module" else node.name
        while name in found.values():
            name += "_"
        found[node] = name
    return found


def trace(network: nn.Module, shape: tuple[int, ...]) -> fx.Graph:
    """The network's fx graph, every node with the shape of its activation (of one image) in meta["shape"]."""
    module = fx.symbolic_trace(network)
    training = network.training
    network.eval()  # so that no BatchNorm statistic moves
    with torch.no_grad():
        ShapeProp(module.eval()).propagate(next(network.parameters()).new_zeros(1, *shape))
    network.train(training)
    for node in module.graph.nodes:
        if hasattr(node.meta.get("tensor_meta"), "shape"):  # an LSTM gives a tuple, x.size(0) a number
            node.meta["shape"] = node.meta["tensor_meta"].shape[1:]
    return module.graph


def check_tensors(network: nn.Module, graph: fx.Graph) -> None:
    """Raise TypeError unless every node gives one tensor, and no two of them the same weights or statistics."""
    owner = {}
    for node in graph.nodes:
        module = layer_of(network, node)
        if "shape" not in node.meta:
            raise unknown(node, module or node.target)
        for tensor in (*module.parameters(), *module.buffers()) if module else ():
            if tensor in owner:  # by identity, as a tensor's hash is
                kind = type(module).__name__
                raise TypeError(f"layer {node.name!r} ({kind}) shares a tensor with {owner[tensor]!r}, which the live network would part")
            owner[tensor] = node.name


def unknown(node: fx.Node, what) -> TypeError:
    kind = type(what).__name__ if isinstance(what, nn.Module) else getattr(what, "__name__", what)
    return TypeError(f"layer {node.name!r} ({kind}) is not one that the live network knows how to shrink")


class LiveNetwork(nn.Module):
    """The live part of a pruned network: pixels [B, D] (`Images.gather(columns)`) -> outputs [B, classes], or a last map flattened."""

    def __init__(self, layers: fx.GraphModule, columns: Tensor, shape: tuple[int, ...] | None):
        super().__init__()
        self.layers, self.shape = layers, shape  # the shape of an image where the network reads maps
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(x.t() if self.shape is None else x.unflatten(1, self.shape))
        return out.flatten(1) if out.dim() == 4 else out.view(-1, len(x)).t()


def build(network: nn.Module, shape: tuple[int, ...]) -> LiveNetwork:
    """The live network of a pruned one for images of `shape` (C, H, W).

    It computes from `images.gather(live.columns)` what the pruned network computes from the images, and
    its parameters are the live values and biases only. Its layers keep the names of the original's.
    Raises TypeError on a layer that is not known here.
    """
    graph, alive, need = trace(network, shape), pruning.masks(network), live_activations(network, shape)
    strategy = convolution_strategy(network, graph, alive, need)
    named, layouts, layers = node_names(graph), {}, {}
    nodes = list(graph.nodes)
    for node in nodes:
        if node.op == "output":
            continue
        full, live, module = node.meta["shape"], need[named[node]], layer_of(network, node)
        mask = alive.get(f"{node.target}.weight")
        if len(full) == 3:
            rows, positions = live.any((1, 2)).nonzero().flatten(), live.any(0).flatten().nonzero().flatten()
            maps = Layout("map", grid(rows, torch.arange(full[1] * full[2]), full), full)
        else:
            rows = live.nonzero().flatten()
        sources = [layouts[source] for source in node.all_input_nodes]
        layer, layout = None, None
        if node.op == "placeholder":
            columns = torch.arange(live.numel()) if strategy == "maps" else live.flatten().nonzero().flatten()
            layout = Layout("map" if strategy == "maps" else "units", columns, full)
        elif isinstance(module, nn.Linear):
            layer, layout = live_layers.LiveLinear(module, mask, rows, *sources), Layout("units", rows, full)
        elif isinstance(module, nn.Conv2d) and strategy == "maps":
            layer, layout = live_layers.MapConv(module, mask, rows, *sources, full[1:]), maps
        elif isinstance(module, nn.Conv2d) and strategy == "sums":
            units = live.flatten().nonzero().flatten()
            if any(isinstance(layer_of(network, n), (nn.Conv2d, nn.Linear)) for n in nodes[nodes.index(node) + 1 :]):  # not the outputs
                units = units[(units % math.prod(full[1:])).argsort(stable=True)]  # what looks at the same place, one after the other
            layer, layout = live_layers.SparseConv(module, mask, rows, *sources, units, full[1:]), Layout("units", units, full)
        elif isinstance(module, nn.Conv2d) and node.args[0].op == "placeholder":
            layer = live_layers.PatchConv(module, mask, rows, *sources, positions, full[1:])
            layout = Layout("units", grid(rows, positions, full), full)
        elif isinstance(module, nn.Conv2d):
            units = live.flatten().nonzero().flatten()
            layer, layout = live_layers.TapConv(module, mask, rows, *sources, units, full[1:]), Layout("units", units, full)
        elif isinstance(module, nn.BatchNorm2d):
            layer, layout = live_layers.LiveBatchNorm(module, sources[0].channels), sources[0]
        elif isinstance(module, BY_CHANNEL):  # of every channel that is there, as some other reader may need it
            layer, layout = module, Layout("map", grid(sources[0].channels, torch.arange(full[1] * full[2]), full), full)
        elif node.target in ADDITIONS:
            layer, layout = live_layers.LiveAdd(rows, *sources), maps
        else:  # ReLU, Identity, Flatten: every entry stays where it is, and a reader flattens by itself
            source = layers.get(node.args[0].target, nn.Identity())
            alone = len(node.args[0].users) == 1 and type(source) is not nn.Identity
            if isinstance(module, nn.ReLU) and alone and isinstance(source, live_layers.LiveBatchNorm):
                source.rectifies, layer = True, live_layers.Rectified()
            else:
                layer = nn.ReLU(inplace=alone) if isinstance(module, nn.ReLU) else nn.Identity()
            layout = Layout(sources[0].kind, sources[0].order, full if sources[0].kind == "units" else sources[0].full)
        layouts[node] = layout
        if layer is not None:
            node.op, node.target, node.args, node.kwargs = "call_module", named[node], tuple(node.all_input_nodes), {}
            layers[named[node]] = layer
    return LiveNetwork(fx.GraphModule(layers, graph), columns, shape if strategy == "maps" else None)


# Single positions are faster while a layer's live (output channel, tap) pairs, times the share of positions that are live, stay
# below a + b * its output channels: they cost by the pair, whole maps by the channel. Measured on Conv, rho 1 to 2.5, several
# pruners, 28x28 and 32x32, one thread, float32 (benchmarks/convolutions.py has some of it).
POSITIONS_RULE = (30, 4)

# A term of a sum (`SparseConv`) costs as much as so many terms of a product, and a sparse product by itself as much as so many terms
# of a sum. Measured likewise.
SUMS_RULE = (4, 12_000)


def convolution_strategy(network: nn.Module, graph: fx.Graph, alive: dict[str, Tensor], need: dict[str, Tensor]) -> str:
    """How to compute the convolutions: whole "maps" of live channels (`MapConv`), or single entries of them.

    These as products at live "positions" (`PatchConv`, `TapConv`), or as "sums" one by one (`SparseConv`). A TapConv reads the
    same positions of every channel, which only a PatchConv leaves, and only a chain of convolutions, linear layers and
    activations has single entries at all.
    """
    convolutions = [n for n in graph.nodes if isinstance(layer_of(network, n), nn.Conv2d)]
    if any(n.target in ADDITIONS or isinstance(layer_of(network, n), BY_CHANNEL) for n in graph.nodes):
        return "maps"
    if len(convolutions) > 2 or any(n.args[0].op != "placeholder" for n in convolutions[:1]):
        return "maps"
    if len(convolutions) < 2:
        return "positions"
    inputs, outputs, mask = need[convolutions[0].target], need[convolutions[1].target], alive[f"{convolutions[1].target}.weight"]
    pairs, positions = mask[outputs.any((1, 2))].any(1), inputs.any(0)  # [channels, height, width of the kernel], [H, W]
    terms = (mask.flatten(1).sum(1) * outputs.flatten(1).sum(1)).sum()
    if SUMS_RULE[0] * (terms + SUMS_RULE[1]) < pairs.sum() * inputs.any((1, 2)).sum() * positions.sum():
        return "sums"
    few = pairs.sum() * positions.double().mean() < POSITIONS_RULE[0] + POSITIONS_RULE[1] * pairs.any((1, 2)).sum()
    return "positions" if few else "maps"


def layer_of(network: nn.Module, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(node.target) if node.op == "call_module" else None


def write_back(live: LiveNetwork, network: nn.Module) -> None:
    """Copy the live network's trained values, biases and statistics into the pruned network it was built from."""
    with torch.no_grad():
        for name, layer in live.layers.named_modules():
            if isinstance(layer, live_layers.LiveBatchNorm):
                for each in live_layers.BATCH_NORM:
                    getattr(network.get_submodule(name), each)[layer.rows] = getattr(layer, each)
            if isinstance(layer, live_layers.LiveLayer):
                module = network.get_submodule(name)
                pruning.unmasked_parameter(module).view(-1)[layer.index] = layer.values
                if layer.bias is not None:
                    module.bias[layer.rows] = layer.bias


def check_free(layers: int, free: int) -> None:
    """Raise ValueError unless 1 <= `free` <= the number of `layers` with weights."""
    if not 1 <= free <= layers:
        raise ValueError(f"free_layers: {free!r} is not allowed; this network has from 1 to {layers} layers to leave free")


def freeze(live: LiveNetwork, free: int) -> tuple[LiveNetwork, LiveNetwork]:
    """Freeze all but the last `free` layers with weights: their values, biases and statistics stay as they are.

    Returns (frozen, rest), which share their layers with `live`: rest(frozen(x)) is live(x), and as no layer of `frozen` learns,
    what it says of an image can be computed once. They part after the last activation before the free layers that alone
    leads on, so never inside a residual block. Raises ValueError unless 1 <= free <= the number of layers.
    """
    *nodes, output = live.layers.graph.nodes  # in the order of computation
    weighted = [i for i, node in enumerate(nodes) if isinstance(layer_of(live.layers, node), live_layers.LiveLayer)]
    check_free(len(weighted), free)
    first, place = weighted[-free], {node: i for i, node in enumerate([*nodes, output])}
    for node in nodes[1:first]:
        layer_of(live.layers, node).requires_grad_(False)
    last = max(i for i in range(first) if all(place[user] <= i for node in nodes[:i] for user in node.users))
    front, back, copies = fx.Graph(), fx.Graph(), {}
    for node in nodes[: last + 1]:
        copies[node] = front.node_copy(node, copies.__getitem__)
    front.output(copies[nodes[last]])
    copies = {nodes[last]: back.placeholder("activation")}
    for node in [*nodes[last + 1 :], output]:
        copies[node] = back.node_copy(node, copies.__getitem__)
    frozen = LiveNetwork(fx.GraphModule(live.layers, front), live.columns, live.shape)
    image = next(live.parameters()).new_zeros(1, len(live.columns))
    with torch.no_grad():
        activation = frozen.eval().layers(image.t() if live.shape is None else image.unflatten(1, live.shape))
    columns = torch.arange(activation.numel(), device=image.device)
    rest = LiveNetwork(fx.GraphModule(live.layers, back), columns, activation.shape[1:] if activation.dim() == 4 else None)
    live.train()
    return frozen, rest

"""A predictor as one ONNX file, from pixels to probabilities: normalisation, live network, readout or head, and mean are in it.

The file is written node by node, because the live network has few kinds of steps: `torch.onnx.export` of the same network made n a
constant, and a file three times as large. It computes whole maps of the live channels, as `live.maps` does.
"""
import json
import os
from functools import singledispatch
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sharedlabel import heads, live, predictors, readouts
from sharedlabel.inference import networks
from sharedlabel.live import lstm, maps, terms
from sharedlabel.live.graph import WEIGHTED, Step, padding_of
from sharedlabel.runs.files import write_atomically

OPSET, IR_VERSION = 17, 8  # of 2022: what runtimes of today read


class Graph:
    """ONNX nodes and constants in the making; values are known by their names."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def add(self, kind: str, *inputs: str, outputs: int = 1, take: int = 0, **attributes) -> str:
        """A node; returns the name of its output number `take`."""
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[take]

    def constant(self, value) -> str:
        array = np.array(value.detach().numpy() if isinstance(value, Tensor) else value, order="C")
        self.constants.append(numpy_helper.from_array(array, f"constant_{len(self.constants)}"))
        return self.constants[-1].name

    def gather(self, x: str, columns: Tensor) -> str:
        return self.add("Gather", x, self.constant(columns.int()), axis=1)

    def linear(self, x: str, weight: Tensor, bias: Tensor | None = None) -> str:
        return self.add("Gemm", x, self.constant(weight), *([] if bias is None else [self.constant(bias)]), transB=1)

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.constant(np.array(shape)))


def write(predictor, file: str | Path) -> None:
    """`Predictor.export`."""
    facts, n, graph = predictor.facts, predictor.stages.n, Graph()
    x = graph.add("Cast", "pixels", to=TensorProto.FLOAT)
    x = graph.add("Add", graph.add("Mul", x, graph.constant(predictor.scale)), graph.constant(predictor.shift))
    rows = of_images(predictor.stages.image, graph, graph.add("Flatten", x))
    graph.add("Softmax", of_tuple(predictor.stages.together, graph, rows), axis=-1)
    graph.nodes[-1].output[0] = "probabilities"
    made = helper.make_graph(
        graph.nodes, "sharedlabel",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n" if n is None else n, *facts.shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, len(facts.classes)])], graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"classes": json.dumps(facts.classes), "record": predictor.record.stem, "white": str(facts.white)})
    onnx.checker.check_model(model, full_check=True)
    write_atomically({Path(os.path.expanduser(file)): model.SerializeToString()})


# ---- of every image: [n, D] -> [n, d]


@singledispatch
def of_images(module: nn.Module, graph: Graph, x: str) -> str:
    """The nodes of a module that reads images one by one; TypeError, by name, on one that is not known."""
    raise TypeError(f"{type(module).__name__} has no nodes in ONNX here")


@of_images.register
def _(module: nn.Sequential, graph: Graph, x: str) -> str:
    for each in module:
        x = of_images(each, graph, x)
    return x


@of_images.register
def _(module: nn.Flatten, graph: Graph, x: str) -> str:
    return graph.add("Flatten", x)


@of_images.register
def _(module: nn.Unflatten, graph: Graph, x: str) -> str:
    return graph.reshape(x, -1, *module.unflattened_size)


@of_images.register
def _(module: nn.AvgPool2d, graph: Graph, x: str) -> str:
    return graph.add("AveragePool", x, kernel_shape=[module.kernel_size] * 2, strides=[module.stride] * 2)


@of_images.register
def _(module: nn.Linear, graph: Graph, x: str) -> str:
    return graph.linear(x, module.weight, module.bias)


@of_images.register
def _(module: nn.ReLU, graph: Graph, x: str) -> str:
    return graph.add("Relu", x)


@of_images.register
def _(module: nn.Identity, graph: Graph, x: str) -> str:
    return x


@of_images.register
def _(module: readouts.Offset, graph: Graph, x: str) -> str:
    return graph.add("Add", x, graph.constant(module.offset))


@of_images.register
def _(module: readouts.Vote, graph: Graph, x: str) -> str:
    largest = graph.add("ReduceMax", x, axes=[1])
    votes = graph.add("Cast", graph.add("Equal", x, largest), to=TensorProto.FLOAT)
    return graph.add("Add", votes, graph.add("Mul", graph.add("Softmax", x, axis=1), graph.constant(np.float32(1 / 1000))))


@of_images.register
def _(module: heads.GatedScore, graph: Graph, x: str) -> str:
    gate = graph.add("Sigmoid", of_images(module.gate, graph, x))
    gated = graph.add("Mul", graph.add("Tanh", of_images(module.value, graph, x)), gate)
    return graph.add("Concat", x, of_images(module.score, graph, gated), axis=1)


@of_images.register
def _(module: networks.Columns, graph: Graph, x: str) -> str:
    return graph.gather(x, module.columns)


@of_images.register
def _(module: predictors.LogitEmbeddings, graph: Graph, x: str) -> str:
    logits = of_images(module.cnn, graph, x)
    return graph.add("Concat", logits, graph.add("ReduceMax", logits, axes=[1]), axis=1)


@of_images.register
def _(module: predictors.StoredEmbeddings, graph: Graph, x: str) -> str:
    return x


@of_images.register
def _(module: networks.Embedder, graph: Graph, x: str) -> str:
    found = logits = of_images(module.embed, graph, x)
    if module.whole is not None:
        logits = of_images(module.whole, graph, x)
    elif module.classifier is not None:
        means = graph.add("ReduceMean", graph.reshape(found, 0, module.classifier.in_features, -1), axes=[2], keepdims=0)
        logits = of_images(module.classifier, graph, means)
    if module.std is not None:
        found = graph.add("Div", graph.add("Sub", found, graph.constant(module.mean)), graph.constant(module.std))
    return graph.add("Concat", found, graph.add("ReduceMax", logits, axes=[1]), axis=1)


@of_images.register
def _(module: live.LiveNetwork, graph: Graph, x: str) -> str:
    """Whole maps of the live channels, `live.maps.forward` node by node."""
    *picked, last = maps.plan(module.steps, module.layers, torch.device("cpu"))
    tensors, found = module.tensors(), []
    for step, own in zip(module.steps, picked):
        inputs = [found[i] for i in step.sources]
        if "picks" in own:
            inputs = [each if pick is None else graph.gather(each, pick) for each, pick in zip(inputs, own["picks"])]
        if step.kind == "input":
            out = whole_maps(graph, x, own)
        elif step.kind in WEIGHTED:
            out = weighted(module, graph, step, own, inputs[0], tensors)
        elif step.kind == "batchnorm":
            layer = module.layers[step.name]
            values = [tensors[f"{step.name}.{name}"] for name in ("weight", "bias")]
            values += [module.tensor_of(layer, name) for name in ("running_mean", "running_var")]
            out = graph.add("BatchNormalization", inputs[0], *map(graph.constant, values), epsilon=layer.eps)
        elif step.kind in ("maxpool", "avgpool"):
            out = pooled(graph, step, module.steps[step.sources[0]].shape, inputs[0])
        elif step.kind == "add":
            out = graph.add("Add", *inputs)
        elif step.kind == "relu":
            out = graph.add("Relu", inputs[0])
            if module.group > 1:  # all images are one group
                mean = graph.add("ReduceMean", out, axes=[0])
                own_part, common = (graph.constant(np.float32(share)) for share in (1 - module.share, module.share))
                out = graph.add("Add", graph.add("Mul", out, own_part), graph.add("Mul", mean, common))
        else:
            out = graph.add("Flatten", inputs[0]) if len(step.shape) == 1 else inputs[0]
        found.append(out)
    return graph.gather(graph.add("Flatten", found[-1]), last["at"])


def whole_maps(graph: Graph, x: str, own: dict) -> str:
    """Live pixels [n, D] in their places among the maps of the live channels; what is dead reads a column of zeros behind them."""
    size = torch.Size(own["shape"]).numel()
    places = torch.full((size,), len(own["at"]))
    places[own["at"]] = torch.arange(len(own["at"]))
    if not torch.equal(places, torch.arange(size)):
        x = graph.gather(graph.add("Pad", x, graph.constant(np.array([0, 0, 0, 1]))), places)
    return graph.reshape(x, -1, *own["shape"])


def weighted(network: live.LiveNetwork, graph: Graph, step: Step, own: dict, x: str, tensors: dict[str, Tensor]) -> str:
    """A convolution or a linear layer of live rows. Of a linear one's inputs only those with a weight are picked."""
    layer, kernel = network.layers[step.name], own["kernel"]
    weight = torch.zeros(torch.Size(kernel).numel()).scatter(0, own["at"], tensors[f"{step.name}.values"]).view(kernel)
    bias = tensors.get(f"{step.name}.bias", torch.zeros(len(weight))) * torch.as_tensor(layer.bias_places >= 0)
    if step.kind == "linear":
        x, used = graph.add("Flatten", x), (weight != 0).any(0).nonzero().flatten()
        if len(used) == weight.shape[1]:
            return graph.linear(x, weight, bias)
        used = used if len(used) else torch.zeros(1, dtype=torch.int64)
        return graph.linear(graph.gather(x, used), weight[:, used], bias)
    geometry = {name: list(terms.pair(getattr(step.module, short))) for name, short in (("strides", "stride"), ("dilations", "dilation"))}
    before, total = list(terms.pair(padding_of(step.module))), [d * (k - 1) for d, k in zip(geometry["dilations"], kernel[2:])]
    pads = before + ([whole - part for whole, part in zip(total, before)] if step.module.padding == "same" else before)
    return graph.add("Conv", x, graph.constant(weight), graph.constant(bias), kernel_shape=list(kernel[2:]), pads=pads, **geometry)


def pooled(graph: Graph, step: Step, shape: tuple[int, ...], x: str) -> str:
    """A pool of maps of `shape`; ValueError on an average that ONNX has not, or over parts of unequal size."""
    if step.kind == "maxpool":
        pairs = [list(terms.pair(getattr(step.module, name))) for name in ("kernel_size", "stride", "dilation", "padding")]
        return graph.add("MaxPool", x, kernel_shape=pairs[0], strides=pairs[1], dilations=pairs[2], pads=2 * pairs[3],
                         ceil_mode=int(step.module.ceil_mode))
    if isinstance(step.module, nn.AvgPool2d):
        if step.module.ceil_mode or step.module.divisor_override is not None:
            raise ValueError(f"layer {step.name!r}: an AvgPool2d with ceil_mode or divisor_override is not exported")
        size, stride, padding = (list(terms.pair(getattr(step.module, name))) for name in ("kernel_size", "stride", "padding"))
        return graph.add("AveragePool", x, kernel_shape=size, strides=stride, pads=2 * padding,
                         count_include_pad=int(step.module.count_include_pad))
    sides = [size // parts for size, parts in zip(shape[1:], step.shape[1:])]
    if any(size % parts for size, parts in zip(shape[1:], step.shape[1:])):
        raise ValueError(f"layer {step.name!r} averages parts of unequal size, which is not exported")
    return graph.add("AveragePool", x, kernel_shape=sides, strides=sides)


# ---- of the tuple: rows [n, d] -> outputs [1, l]


@singledispatch
def of_tuple(module: nn.Module, graph: Graph, rows: str) -> str:
    """The nodes of a module that reads a tuple; TypeError, by name, on one that is not known."""
    raise TypeError(f"{type(module).__name__} has no nodes in ONNX here")


def mean(graph: Graph, rows: str) -> str:
    return graph.add("ReduceMean", rows, axes=[0])


@of_tuple.register
def _(module: heads.Mean, graph: Graph, rows: str) -> str:
    return mean(graph, rows)


@of_tuple.register
def _(module: predictors.MessagePassingNetwork, graph: Graph, rows: str) -> str:
    return mean(graph, of_images(module.cnn, graph, rows))


@of_tuple.register
def _(module: predictors.JointClassifier, graph: Graph, rows: str) -> str:
    joined = graph.reshape(of_images(module.cnn, graph, rows), 1, -1)
    return of_images(module.classifier, graph, graph.gather(joined, module.classifier.columns))


@of_tuple.register
def _(module: predictors.UnifiedCNNLSTM, graph: Graph, rows: str) -> str:
    if module.order == "permutations":
        raise ValueError("order: a head that averages over random permutations is not exported; allowed: confidence, random")
    rows = of_images(module.cnn, graph, rows)
    if module.order == "confidence":
        confidence = graph.add("Gather", rows, graph.constant(np.array(-1)), axis=1)
        order = graph.add("TopK", confidence, graph.add("Shape", confidence), axis=0, outputs=2, take=1)  # of equals the first one first
        rows = graph.add("Gather", rows, order, axis=0)
    return of_head(module.head, graph, graph.gather(rows, module.columns), axis=1)


@of_tuple.register
def _(module: predictors.IndependentHead, graph: Graph, rows: str) -> str:
    return of_head(module.head, graph, graph.gather(of_images(module.cnn, graph, rows), module.columns), axis=0)


@of_tuple.register
def _(module: heads.MeanPooling, graph: Graph, rows: str) -> str:
    return of_images(module.rho, graph, mean(graph, rows))


@of_tuple.register
def _(module: heads.AttentionPooling, graph: Graph, rows: str) -> str:
    units = module.rho[0].in_features
    weights = graph.add("Softmax", graph.gather(rows, torch.tensor([units])), axis=0)
    weighted_rows = graph.add("Mul", weights, graph.gather(rows, torch.arange(units)))
    return of_images(module.rho, graph, graph.add("ReduceSum", weighted_rows, graph.constant(np.array([0]))))


def of_head(head: lstm.LiveHead, graph: Graph, rows: str, axis: int) -> str:
    """A head that reads rows [n, d] as one sequence (axis 1: the batch of one stands behind) or as n of one image each (axis 0)."""
    dense = {name: each.detach() for name, each in head.matrices().items()}
    embedded = graph.add("Unsqueeze", graph.linear(rows, dense["embed.weight"]), graph.constant(np.array([axis])))
    weights = [iofc(dense[f"lstm.{name}"])[None] for name in lstm.TENSORS["lstm"]]
    units = weights[1].shape[2]
    hidden = graph.add("LSTM", embedded, *map(graph.constant, (*weights[:2], torch.cat(weights[2:], 1))), hidden_size=units)
    hidden = graph.reshape(hidden, -1, units)
    return mean(graph, graph.linear(hidden, dense["classify.weight"], dense["classify.bias"]))


def iofc(gates: Tensor) -> Tensor:
    """PyTorch's order of an LSTM's gates, i f g o, as ONNX's."""
    i, f, g, o = gates.chunk(4)
    return torch.cat([i, o, f, g])

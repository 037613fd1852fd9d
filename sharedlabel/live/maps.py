"""The live network by PyTorch's operations on whole maps of live channels: on a GPU, where they can be recorded as a CUDA graph, and for
networks of which enough is live."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .compiled import live_rows
from .graph import WEIGHTED, Step
from .terms import Region


def plan(steps: list[Step], layers: dict, device: torch.device) -> list[dict]:
    """Of every step what it picks from its sources, maps [B, C, H, W] of their live channels or units [B, U]; and last the outputs."""
    regions, found, last_reader = [], [], {source: place for place, step in enumerate(steps) for source in step.sources}
    for place, step in enumerate(steps):
        sources, layer = [regions[i] for i in step.sources], layers.get(step.name)
        region = sources[0] if step.kind in ("same", "relu") else Region(0, live_rows(step.live, step.area), step.area)
        picked = {"shape": (len(region.rows), *step.shape[1:]), "read": [i for i in step.sources if last_reader[i] == place]}
        if step.kind == "input":
            picked["at"] = region.live_slots(step)
        elif step.kind in WEIGHTED:
            row, column, *taps = layer.coordinates
            linear, source = step.kind == "linear", sources[0]
            column = source.slots_of(column) if linear else torch.searchsorted(source.rows, column)
            picked["kernel"] = (len(layer.rows), *((source.slots,) if linear else (len(source.rows), *step.module.kernel_size)))
            picked["at"] = torch.zeros_like(row)
            for size, coordinate in zip(picked["kernel"], (row, column, *taps)):
                picked["at"] = picked["at"] * size + coordinate
            kept = torch.as_tensor(layer.bias_places >= 0)
            if "bias" in layer.sizes and not kept.all():
                picked["biases"] = kept
        elif step.kind not in ("same", "relu"):
            units = len(step.shape) == 1  # which a flattened map has, too
            picks = [each.slots_of(region.rows) if units else torch.searchsorted(each.rows, region.rows) for each in sources]
            sizes = [each.slots if units else len(each.rows) for each in sources]
            picked["picks"] = [None if torch.equal(pick, torch.arange(size)) else pick for pick, size in zip(picks, sizes)]
        regions.append(region)
        found.append(picked)
    found.append({"at": regions[-1].live_slots(steps[-1])})
    return [{name: moved(value, device) for name, value in picked.items()} for picked in found]


def moved(value, device: torch.device):
    if isinstance(value, Tensor):
        return value.to(device)
    return [moved(each, device) for each in value] if isinstance(value, list) else value


def forward(network, x: Tensor) -> Tensor:
    """Pixels [B, D] -> outputs [B, F], for a `LiveNetwork`."""
    if x.device not in network.plans:
        network.plans[x.device] = plan(network.steps, network.layers, x.device)
    *picked, last = network.plans[x.device]
    tensors, found = network.tensors(), []
    for step, own in zip(network.steps, picked):
        inputs, layer = [found[i] for i in step.sources], network.layers.get(step.name)
        if "picks" in own:
            inputs = [each if pick is None else each.index_select(1, pick) for each, pick in zip(inputs, own["picks"])]
        if step.kind == "input":
            whole = torch.Size(own["shape"]).numel()
            out = (x if x.shape[1] == whole else x.new_zeros(len(x), whole).index_copy(1, own["at"], x)).unflatten(1, own["shape"])
        elif not own["shape"][0] and step.kind != "same":  # nothing of it is live
            out = x.new_zeros(len(x), *own["shape"])
        elif step.kind in WEIGHTED:
            values, bias = tensors[f"{step.name}.values"], tensors.get(f"{step.name}.bias")
            bias = bias * own["biases"] if "biases" in own else bias  # a pruned one stays 0
            weight = values.new_zeros(torch.Size(own["kernel"]).numel()).scatter(0, own["at"], values).view(own["kernel"])
            if not weight.numel():  # nothing reaches its outputs
                out = x.new_zeros(len(x), *own["shape"]) + (0 if bias is None else bias.view(-1, *[1] * (len(step.shape) - 1)))
            elif step.kind == "linear":
                out = F.linear(inputs[0].flatten(1), weight, bias)
            else:
                out = F.conv2d(inputs[0], weight, bias, step.module.stride, step.module.padding, step.module.dilation)
        elif step.kind == "batchnorm":
            own_statistics = network.training and not layer.frozen
            momentum = 1 / (int(network.batches[layer.number]) + 1) if layer.momentum is None else layer.momentum
            mean, variance = (network.tensor_of(layer, name) for name in ("running_mean", "running_var"))
            weight, bias = (tensors[f"{step.name}.{name}"] for name in ("weight", "bias"))
            out = F.batch_norm(inputs[0], mean, variance, weight, bias, own_statistics, momentum, layer.eps)
        elif step.kind in ("maxpool", "avgpool"):
            out = step.module(inputs[0])
        elif step.kind == "add":
            out = inputs[0] + inputs[1]
        elif step.kind == "relu":
            out = F.relu(inputs[0])
            if network.group > 1:
                copies = out.unflatten(0, (len(out) // network.group, network.group))
                out = torch.lerp(copies, copies.mean(1, keepdim=True).expand_as(copies), network.share).flatten(0, 1)
        else:
            out = inputs[0].flatten(1) if len(step.shape) == 1 else inputs[0]
        found.append(out)
        for source in own["read"]:  # by the last to need it: where no gradient does, its memory is free
            found[source] = None
    out = found[-1].flatten(1)
    return out if out.shape[1] == len(last["at"]) else out.index_select(1, last["at"])

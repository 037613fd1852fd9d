"""Would seeds trained together be quicker than one after the other?

    .venv/bin/python benchmarks/together.py                   # about three minutes; rewrites benchmarks/together.md
    .venv/bin/python benchmarks/together.py --device cuda     # about another device: prints the table

Five LSTM heads of MNIST's embeddings, five seeds pruned by SynFlow, on batches of 64 images in tuples of n: their live parts are stacked
(padded to the largest) and take one step by batched products, against five steps of one live head. Milliseconds of the five, the median
of seven rounds in turn, one thread, processor time (on a GPU by the clock). The stack gives the same outputs, which is asserted.

What it says: small pruned heads gain, as a step is mostly calls; unpruned ones and long sequences lose, as the library's LSTM cannot be
stacked and is unrolled. A run is a record that starts, stops and resumes by itself, so the study runs seeds as processes side by side
(`--at-once` in benchmarks/times.py measures that), and this is not used.
"""
import argparse
import math
import platform
import statistics
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharedlabel import data, live_head, losses, models, pruning, training
from timing import seconds

FEATURES, CLASSES, BATCH, SEEDS, ROUNDS, STEPS = 10, 10, 64, range(5), 7, 20
TENSORS = [("embed", "weight"), *(("lstm", name) for name in pruning.LSTM), ("classify", "weight"), ("classify", "bias")]


class Stack(nn.Module):
    """S live heads as one: embeddings [S, T, n, d] -> logits [S, T, l]."""

    def __init__(self, heads: list[live_head.LiveHead]):
        super().__init__()
        parts = [[head.layers[layer][name] for layer, name in TENSORS] for head in heads]
        hidden, features, units = (max(part[i].shape[j] for part in parts) for i, j in ((0, 0), (0, 1), (2, 1)))
        self.shapes = [
            (hidden, features), (4 * units, hidden), (4 * units, units), (4 * units,), (4 * units,), (CLASSES, units), (CLASSES,),
        ]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        places, start = [], 0
        for head in parts:
            for (layer, _), part, shape in zip(TENSORS, head, self.shapes):
                places.append(start + self.place(part, shape, 4 if layer == "lstm" else 1))
                start += math.prod(shape)
        self.register_buffer("at", torch.cat(places))
        self.values = nn.Parameter(torch.cat([part.values.detach() for head in parts for part in head]))

    @staticmethod
    def place(part: live_head.LiveTensor, shape: tuple, gates: int) -> Tensor:
        """Where the live values of one head's tensor lie in the padded one, each of whose `gates` is padded by itself."""
        own, padded = part.shape[0] // gates, shape[0] // gates
        rows = (torch.arange(gates)[:, None] * padded + torch.arange(own)).flatten()
        places = rows if len(shape) == 1 else rows[:, None] * shape[1] + torch.arange(part.shape[1])
        return places.flatten()[part.at]

    def forward(self, x: Tensor) -> Tensor:
        heads, tuples, n, _ = x.shape
        dense = self.values.new_zeros(heads * sum(self.sizes)).scatter(0, self.at, self.values).view(heads, -1)
        parts = [part.view(heads, *shape) for part, shape in zip(dense.split(self.sizes, 1), self.shapes)]
        embed, into, again, bias_in, bias_again, classify, bias = (part.mT if part.dim() == 3 else part[:, None] for part in parts)
        gates = torch.baddbmm(bias_in + bias_again, x.flatten(1, 2) @ embed, into).unflatten(1, (tuples, n))
        said, cell = [], 0
        for step in range(n):
            i, f, g, o = (torch.baddbmm(gates[:, :, step], said[-1], again) if said else gates[:, :, step]).chunk(4, -1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh() if said else i.sigmoid() * g.tanh()
            said.append(o.sigmoid() * cell.tanh())
        return torch.baddbmm(bias, torch.stack(said).mean(0), classify)


def made(rho: float, n: int) -> list[live_head.LiveHead]:
    heads = []
    for seed in SEEDS:
        with models.initialised_by(data.stream(seed, "head initialisation")):
            head = models.LSTMHead(FEATURES, CLASSES)
        try:
            pruning.prune(head, "synflow", rho, (torch.rand(CLASSES, n, FEATURES), torch.arange(CLASSES)))
        except pruning.LayerCollapse:  # seed 4 at 3.75 and n = 40
            continue
        heads.append(live_head.build(head))
    return heads


def measure(rho: float, n: int, device: torch.device) -> str:
    """One row of the table."""
    heads = made(rho, n)
    stack, count = Stack(heads).to(device), round(BATCH / n)  # it is made of heads on the CPU
    heads = [head.to(device) for head in heads]
    images = torch.rand(len(heads), count, n, FEATURES, device=device)
    widest = max(len(head.columns) for head in heads)
    own = [x[..., head.columns] for x, head in zip(images, heads)]
    padded = torch.stack([F.pad(x, (0, widest - x.shape[-1])) for x in own])
    torch.testing.assert_close(stack(padded), torch.stack([head(x) for head, x in zip(heads, own)]), rtol=1e-4, atol=1e-5)

    labels = torch.arange(count, device=device) % CLASSES
    sides = [partial(training.stepper(head, losses.standard, training.adam(head, 1e-4)), x, labels) for head, x in zip(heads, own)]
    step = training.stepper(nn.Sequential(stack, nn.Flatten(0, 1)), losses.standard, training.adam(stack, 1e-4))
    together = partial(step, padded, labels.repeat(len(heads)))
    times = {"apart": [], "together": []}
    for _ in range(ROUNDS):
        for way, steps in (("apart", sides), ("together", [together])):
            times[way].append(seconds(lambda steps=steps: [step() for _ in range(STEPS) for step in steps], device) / STEPS * 1e3)
    apart, one = (statistics.median(times[way]) for way in ("apart", "together"))
    return f"| {rho:g} | {n} | {len(heads)} | {apart:.3g} | {one:.3g} | {apart / one:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = data.device(parser.parse_args().device)
    processor = f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()}), one thread"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    lines = [
        "# Seeds trained together\n",
        f"Written by `benchmarks/together.py` (what is measured: its docstring), torch {torch.__version__}, {where}.\n",
        "Milliseconds of a training step of all heads.\n",
        "| head rho | n | heads | one after the other | together | times as fast |", "|---" * 6 + "|",
    ]
    for rho in (3.75, 2.0, 0.0):
        for n in (1, 2, 5, 15, 40):
            lines.append(measure(rho, n, device))
            print(lines[-1], flush=True)
    if device.type == "cpu":
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

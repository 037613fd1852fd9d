"""How fast is a step: live, by whole maps of live channels, masked dense, and what the arithmetic alone would take?

    .venv/bin/python benchmarks/speed.py            # about ten minutes; rewrites benchmarks/speed.md

One thread, batch 64, SynFlow with 100 iterations, float32. Times are processor time, all sides timed in turn, the median of each
and, of the live one, the least: on a busy machine the two lie apart. Images are noise of the data set's shape: no time
here depends on what they show.

- live: what training does (`sharedlabel.live`), from uint8 pixels to updated weights.
- whole maps: the live network by PyTorch's convolutions of whole maps of live channels (`LiveNetwork.by_maps`; of a head, dense
  products of what is live), which is what a GPU does. It is chosen where `live.network.DENSE` says so: "chosen" stands there then.
  The same under bfloat16 autocast, which the live program does not follow.
- masked dense: the network as `torch.nn.utils.prune` leaves it.
- arithmetic: three times the multiplications and additions of live weights (forward, to the weights, to the activations) at the rate
  at which this core multiplies large matrices, measured in the same run.

An epoch is 54,000 images on MNIST (a tenth is held out) and 45,000 on CIFAR, without evaluation. An LSTM head reads tuples of
five embeddings, 64 tuples a batch. `--rule` prints what `DENSE` was set by: both ways at several densities; `--parts` what
`live.compiled.PART` was set by: large batches in parts and whole.
"""
import argparse
import copy
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.nn.utils import prune

from sharedlabel import costs, data, heads, live, losses, models, pruning, runtime, training
from sharedlabel.live import compiled
from timing import seconds

CASES = {  # name: data shape, classes, images an epoch, model, rho
    "MNIST FC, rho 2.5": ((1, 28, 28), 10, 54_000, "fc", 2.5),
    "MNIST Conv, rho 3.5": ((1, 28, 28), 10, 54_000, "conv", 3.5),
    "MNIST Conv, rho 3": ((1, 28, 28), 10, 54_000, "conv", 3.0),
    "MNIST Conv, rho 2": ((1, 28, 28), 10, 54_000, "conv", 2.0),
    "CIFAR-10 Conv, rho 2": ((3, 32, 32), 10, 45_000, "conv", 2.0),
    "CIFAR-10 ResNet-18, rho 4.5": ((3, 32, 32), 10, 45_000, "resnet18", 4.5),
    "CIFAR-100 WideResNet-20, rho 2.5": ((3, 32, 32), 100, 45_000, "wideresnet20", 2.5),
    "MNIST LSTM head, n = 5, rho 2": ((5, 10), 10, 54_000, "head", 2.0),
    "MNIST LSTM head, n = 5, rho 3.75": ((5, 10), 10, 54_000, "head", 3.75),
}
TARGETS = {  # a masked dense epoch is to take so many times a live one
    "MNIST FC, rho 2.5": 8, "MNIST Conv, rho 3.5": 150, "MNIST Conv, rho 3": 50, "CIFAR-10 Conv, rho 2": 4,
    "CIFAR-10 ResNet-18, rho 4.5": 120, "CIFAR-100 WideResNet-20, rho 2.5": 30,
}
MILLISECONDS = {"MNIST LSTM head, n = 5, rho 3.75": 0.3}  # a live step is to take
BATCH, ROUNDS = 64, 9
SECONDS = 40.0  # after which no further round of a case begins


def take(step: Callable, images: data.Images) -> None:
    index = torch.randint(len(images), (BATCH,))
    step(images.batch(index), images.labels[index])


def in_turn(actions: list[Callable], repeats: list[int]) -> list[tuple[float, float]]:
    """(median, least) seconds of every action; a quick one runs several times a round, as others have emptied the cache."""
    times, started = [[] for _ in actions], time.monotonic()
    for i in range(ROUNDS + 1):
        if i > 3 and time.monotonic() - started > SECONDS:
            break
        for taken, action, count in zip(times, actions, repeats):
            found = [seconds(action) for _ in range(count)]
            taken += found[len(found) // 2 :] if i else []
    return [(statistics.median(taken), min(taken)) for taken in times]


def peak() -> float:
    """Multiplications and additions a second of a product of large matrices on this core."""
    a, b = torch.randn(2, 1024, 1024)
    return 2 * 1024**3 / min(seconds(lambda: torch.mm(a, b)) for _ in range(20))


def made(model: str, shape: tuple, classes: int) -> torch.nn.Module:
    stream = runtime.random_stream(0, "initialisation")
    if model == "head":
        with models.initialised_by(stream):
            return heads.LSTMHead(shape[1], classes)
    return models.build(model, shape, classes, stream)


def shrunk(network: torch.nn.Module, shape: tuple):
    """The live network, what picks its part of the images, and its MACs."""
    head = isinstance(network, heads.LSTMHead)
    small = live.lstm.build(network) if head else live.build(network, shape)
    need = live.lstm.live_activations(network) if head else live.live_activations(network, shape)

    def pick(images: data.Images) -> data.Images:
        return replace(images, pixels=images.pixels[..., small.columns]) if head else images.gather(small.columns)

    return small, pick, costs.macs_live(pruning.masks(network), need)


def measure(name: str) -> str:
    """One row of the table."""
    shape, classes, epoch, model, rho = CASES[name]
    n = shape[0] if model == "head" else 1  # images in what is trained on and measured
    runtime.select_device("cpu")
    pixels = torch.randint(0, 256, (4096, *shape), dtype=torch.uint8)
    images = data.Images(pixels, torch.arange(4096) % classes, *(torch.full((1,) * len(shape), v) for v in (0.01, -1.0)))
    network = made(model, shape, classes)
    dense = copy.deepcopy(network)
    pruned = seconds(lambda: pruning.prune(network, "synflow", rho, (images.batch(slice(0, 1)), None)))
    built = seconds(lambda: shrunk(network, shape))
    (small, pick, macs), (maps, _, _), (rough, _, _) = (shrunk(network, shape) for _ in range(3))
    way = "by_matrices" if model == "head" else "by_maps"
    chosen = getattr(small, way)
    for each in (maps, rough):
        setattr(each, way, True)

    rows, thousand = pick(images), images.subset(slice(0, 1000 // n))
    sides = ((small, "float32"), (maps, "float32"), (network, "float32"), (rough, "bfloat16"))
    steps = [training.make_step(each, losses.standard, training.adam(each, 1e-4), precision) for each, precision in sides]
    times = in_turn([partial(take, step, which) for step, which in zip(steps, (rows, rows, images, rows))], [10, 2, 1, 2])
    inference = in_turn([lambda: training.outputs(small, pick(thousand)), lambda: training.outputs(dense, thousand)], [5, 1])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    (quick, least), (whole, _), (masked, masked_least), (whole_rough, _) = times
    arithmetic, count = 3 * 2 * macs * n * BATCH / peak(), -(-epoch // (n * BATCH))
    target = f" (1/{TARGETS[name]})" if name in TARGETS else ""
    return (
        f"| {name} | {1e3 * quick:.3g} ({1e3 * least:.3g}{f'; {MILLISECONDS[name]}' if name in MILLISECONDS else ''}) | "
        f"{1e3 * whole:.3g}{' chosen' if chosen else ''} | {1e3 * whole_rough:.3g} | {1e3 * masked:.3g} | "
        f"{1e3 * arithmetic:.2g} | {quick * count:.2g} | 1/{masked / quick:.0f}, 1/{masked_least / least:.0f}{target} | "
        f"{1e3 * inference[0][0]:.3g} / {1e3 * inference[1][0]:.3g} | {pruned:.1f} + {built:.2f} | {memory:.1f} |"
    )


def rule() -> None:
    """Both ways at several shares of live weights, by a convolution between so many channels of random masks."""
    runtime.select_device("cpu")
    print("| channels | share live | compiled, ms | whole maps, ms |\n|---|---|---|---|")
    for channels in (8, 16, 32, 64):
        for share in (0.1, 0.2, 0.33, 0.5, 0.75, 1.0):
            network = torch.nn.Sequential(*(torch.nn.Conv2d(a, channels, 3, padding=1) for a in (3, channels, channels)))
            for module in network:
                prune.random_unstructured(module, "weight", 1 - share)
            network.append(torch.nn.AdaptiveAvgPool2d(1)).append(torch.nn.Flatten())
            x, sides = torch.randn(BATCH, 3 * 28 * 28), []
            for by_maps in (False, True):
                small = live.build(network, (3, 28, 28))
                small.by_maps = by_maps
                step = training.make_step(small, losses.standard, training.adam(small, 1e-4))
                sides.append(partial(step, x[:, small.columns], torch.arange(BATCH) % channels))
            (program, _), (whole, _) = in_turn(sides, [1, 1])
            print(f"| {channels} | {share} | {1e3 * program:.3g} | {1e3 * whole:.3g} |", flush=True)


def parts() -> None:
    """Steps of several batches, computed in parts and whole."""
    runtime.select_device("cpu")
    print("| case | images | in parts, us an image | whole, us an image |\n|---|---|---|---|")
    for name in ("MNIST FC, rho 2.5", "MNIST Conv, rho 3", "MNIST Conv, rho 2", "CIFAR-10 Conv, rho 2", "Tiny ImageNet Conv, rho 3"):
        shape, classes, _, model, rho = CASES.get(name, ((3, 64, 64), 200, 90_000, "conv", 3.0))
        network = made(model, shape, classes)
        pruning.prune(network, "synflow", rho, (torch.zeros(1, *shape), None))
        small = live.build(network, shape)
        step, usual = training.make_step(small, losses.standard, training.adam(small, 1e-4)), compiled.PART
        for count in (80, 200, 400, 1000, 3000):
            batch = torch.randn(len(small.columns), count).T, torch.randint(classes, (count,))
            times = in_turn([partial(take_in, part, step, batch) for part in (usual, (count, 0))], [1, 1])
            print(f"| {name} | {count} | " + " | ".join(f"{1e6 * least / count:.3g}" for _, least in times) + " |", flush=True)
        compiled.PART = usual


def take_in(part: tuple[int, int], step: Callable, batch: tuple) -> None:
    compiled.PART = part
    step(*batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, help="measure one case in this process and print its row")
    parser.add_argument("--rule", action="store_true", help="print what live.network.DENSE was set by")
    parser.add_argument("--parts", action="store_true", help="print what live.compiled.PART was set by")
    arguments = parser.parse_args()
    if arguments.case:
        print(measure(arguments.case))
    if arguments.rule:
        rule()
    if arguments.parts:
        parts()
    if arguments.case or arguments.rule or arguments.parts:
        return
    lines = [
        f"# Speed\n\nWritten by `benchmarks/speed.py` (what is measured: its docstring), torch {torch.__version__}, "
        f"{platform.machine()} ({torch.backends.cpu.get_cpu_capability()}), one thread of {os.cpu_count()}, {peak() / 1e9:.0f} GFLOP/s, "
        f"{os.getloadavg()[0]:.1f} processes running when it began.\n",
        "Milliseconds a step, medians; of the live one also the least (and what was aimed at). Ratios to the masked dense step: of "
        "medians, of least times, and in brackets what was aimed at. Inference is of a thousand images, live / dense. Last, seconds to "
        "prune and to build, and peak memory in GiB.\n",
        "| case | live | whole maps | in bfloat16 | masked dense | arithmetic | epoch, s | live / dense | inference, ms | "
        "prune + build, s | memory |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in CASES:  # a process each, so that peak memory is the case's own
        row = subprocess.run([sys.executable, __file__, "--case", name], check=True, capture_output=True, text=True)
        lines.append(row.stdout.strip())
        print(lines[-1], flush=True)
    report = Path(__file__).with_suffix(".md")
    kept = report.read_text().partition("\n## ") if report.exists() else ("", "", "")  # what was written by hand behind the table
    report.write_text("\n".join([*lines, "".join(kept[1:])]))


if __name__ == "__main__":
    main()

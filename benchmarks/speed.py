"""How fast is pruning, and how much cheaper is an epoch of the live network than of the masked dense one?

    .venv/bin/python benchmarks/speed.py            # about ten minutes; rewrites benchmarks/speed.md

One thread, batch 64, SynFlow with 100 iterations. Seconds are processor seconds, so that a busy machine
does not count against either side; the two kinds of step are timed in turn. Images are noise of the data
set's shape: no time here depends on what they show. An epoch is 54,000 images on MNIST (a tenth is held
out) and 45,000 on CIFAR.
"""
import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from sharedlabel import data, live, models, pruning, training

CASES = {  # name: data shape, classes, images an epoch, model, rho, precision
    "MNIST FC, rho 2.5": ((1, 28, 28), 10, 54_000, "fc", 2.5, "float32"),
    "MNIST Conv, rho 3.5": ((1, 28, 28), 10, 54_000, "conv", 3.5, "float32"),
    "MNIST Conv, rho 3": ((1, 28, 28), 10, 54_000, "conv", 3.0, "float32"),
    "MNIST Conv, rho 2": ((1, 28, 28), 10, 54_000, "conv", 2.0, "float32"),
    "CIFAR-10 Conv, rho 2": ((3, 32, 32), 10, 45_000, "conv", 2.0, "float32"),
    "CIFAR-10 Conv, rho 2, live in bf16": ((3, 32, 32), 10, 45_000, "conv", 2.0, "bfloat16"),
    "CIFAR-10 ResNet-18, rho 4.5": ((3, 32, 32), 10, 45_000, "resnet18", 4.5, "float32"),
    "CIFAR-100 WideResNet-20, rho 2.5": ((3, 32, 32), 100, 45_000, "wideresnet20", 2.5, "float32"),
}
BATCH, ROUNDS = 64, 7


def step(network: torch.nn.Module, optimizer, images: data.Images, index: torch.Tensor, precision: str) -> float:
    started = time.process_time()
    with training.precise(precision, torch.device("cpu")):
        outputs = network(images.batch(index))
    loss = F.cross_entropy(outputs.float(), images.labels[index])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return time.process_time() - started


def measure(name: str) -> str:
    """One row of the table."""
    shape, classes, epoch, model, rho, precision = CASES[name]
    data.device("cpu")
    pixels = torch.randint(0, 256, (4096, *shape), dtype=torch.uint8)
    images = data.Images(pixels, torch.arange(4096) % classes, *(torch.full((shape[0], 1, 1), v) for v in (0.01, -1.0)))
    network = models.build(model, shape, classes, data.stream(0, "initialisation"))
    started = time.process_time()
    pruning.prune(network, "synflow", rho, (images.batch(slice(0, 1)), None))
    pruned = time.process_time() - started
    small = live.build(network, shape)
    sides = []
    for side, inputs, how in ((small, images.gather(small.columns), precision), (network, images, "float32")):
        sides.append((side, torch.optim.Adam(side.parameters(), lr=1e-4, fused=True), inputs, how))
    times = [[], []]
    for i in range(ROUNDS + 2):
        for taken, (side, optimizer, inputs, how) in zip(times, sides):
            steps = [step(side, optimizer, inputs, torch.randint(4096, (BATCH,)), how) for _ in range(5 if side is small else 1)]
            if i >= 2:
                taken.append(statistics.median(steps))
    steps = -(-epoch // BATCH)
    quick, dense = (statistics.median(taken) for taken in times)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    per_epoch = f"{quick * steps:.1f} | {dense * steps:.0f} | 1/{dense / quick:.1f}"
    return f"| {name} | {pruned:.1f} | {quick * 1e3:.2f} | {dense * 1e3:.1f} | {per_epoch} | {memory:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, help="measure one case in this process and print its row")
    case = parser.parse_args().case
    if case:
        print(measure(case))
        return
    lines = [
        f"# Speed\n\nWritten by `benchmarks/speed.py` (what is measured: its docstring), torch {torch.__version__}, "
        f"{platform.machine()}, one thread.\n",
        "| case | prune, s | live step, ms | dense step, ms | live epoch, s | dense epoch, s | live / dense | peak memory, GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in CASES:  # a process each, so that peak memory is the case's own
        row = subprocess.run([sys.executable, __file__, "--case", name], check=True, capture_output=True, text=True)
        lines.append(row.stdout.strip())
        print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

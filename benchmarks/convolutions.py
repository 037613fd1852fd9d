"""Which way of computing a live convolution is cheapest, and is it the one that is chosen?

    .venv/bin/python benchmarks/convolutions.py     # about two minutes; rewrites benchmarks/convolutions.md

Milliseconds of one training step of Conv on MNIST's shape, 64 images, one thread, processor time, by three ways to compute its two
convolutions (`sharedlabel.live`): products at single positions (`PatchConv`, `TapConv`), whole maps (`MapConv`), and sparse
products (`SparseConv`). The ways are timed in turn, the median of seven rounds. `chosen` is what `live.build` takes by the rule whose
constants (`FEW_PAIRS`, `DEAR`) come from such measurements. It sees to it that nothing takes many times as long as it must, and
leaves SynFlow's rows at rho 2 and more to products, as the records were made, though sums would take a quarter less at 2 and 3.
(The committed table is of a slower machine than that of benchmarks/speed.md.)
SNIP and GraSP score noise, one image a class.
"""
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from sharedlabel import live, losses, models, pruning, runtime, training
from timing import seconds

SHAPE, CLASSES, BATCH, ROUNDS, STEPS = (1, 28, 28), 10, 64, 7, 3
CASES = [  # pruner, rho, rounds of pruning
    ("synflow", 3.5, 100), ("synflow", 3.0, 100), ("synflow", 2.0, 100), ("synflow", 1.0, 100), ("magnitude", 1.0, 100),
    ("random", 2.0, 100), ("random", 1.0, 100), ("snip", 2.0, 100), ("snip", 1.0, 100), ("snip", 2.0, 1), ("grasp", 1.0, 100),
]
NEVER, ALWAYS = 10**9, -1
WAYS = {
    "positions": {"FEW_PAIRS": (NEVER, 0), "DEAR": (NEVER, 0)}, "maps": {"FEW_PAIRS": (ALWAYS, 0), "DEAR": (NEVER, 0)},
    "sparse": {"DEAR": (0, 0)}, "chosen": {"DEAR": live.network.SUMS_RULE},
}


def steps(step: Callable, rows: torch.Tensor) -> None:
    for _ in range(STEPS):
        step(rows, torch.arange(BATCH) % CLASSES)


def measure(pruner: str, rho: float, rounds: int) -> str:
    """One row of the table."""
    stream = runtime.random_stream(0, "convolutions")
    network = models.build("conv", SHAPE, CLASSES, runtime.random_stream(0, "initialisation"))
    batch = torch.randn(CLASSES, *SHAPE, generator=stream), torch.arange(CLASSES)
    try:
        pruning.prune(network, pruner, rho, batch, rounds, stream)
    except pruning.LayerCollapse:
        return f"| {pruner}, rho {rho:g}{', at once' if rounds == 1 else ''} | collapsed | | | | |"
    images, networks, sides, times = torch.randn(BATCH, *SHAPE, generator=stream).flatten(1), {}, {}, {way: [] for way in WAYS}
    for way, constants in WAYS.items():
        with mock.patch.multiple(live, **constants):
            networks[way] = small = live.build(network, SHAPE)
        sides[way] = training.make_step(small, losses.standard, training.adam(small, 1e-4)), images[:, small.columns]
    for _ in range(ROUNDS):
        for way, side in sides.items():
            steps(*side)  # which bring their own back into the cache
            times[way].append(seconds(partial(steps, *side)) / STEPS * 1e3)
    kinds = [type(layer).__name__ for layer in networks["chosen"].layers.modules() if isinstance(layer, live.layers.LiveLayer)][:2]
    left = pruning.masks(network)["2.weight"].sum()
    milliseconds = " | ".join(f"{statistics.median(times[way]):.3g}" for way in WAYS)
    return f"| {pruner}, rho {rho:g}{', at once' if rounds == 1 else ''} | {left} | {milliseconds} ({', '.join(kinds)}) |"


def main() -> None:
    runtime.select_device("cpu")
    lines = [
        f"# Ways to compute a convolution\n\nWritten by `benchmarks/convolutions.py` (what is measured: its docstring), torch "
        f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread.\n",
        "Milliseconds a training step.\n",
        "| Conv, MNIST, pruned by | weights of the second convolution | positions | maps | sparse | chosen |", "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        lines.append(measure(*case))
        print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

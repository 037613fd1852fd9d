"""How fast is a training step on a GPU, by which means, and how many runs does it bear at once?

    .venv/bin/python benchmarks/gpu.py            # a minute and a half; prints the table (benchmarks/gpu.md has what two GPUs printed)

Milliseconds of one step on 64 images, the median of seven times thirty, by the clock; images are noise. `recorded` is what
training does (`training.GraphedStep`); `eager` launches every kernel from Python, as it would without. Beside them the recorded step in
bfloat16. The last columns: the same recorded or eager step where sixteen processes take it side
by side, and how many steps all of them take in a second. Start NVIDIA's MPS (`nvidia-cuda-mps-control -d`) before to see what it adds.
"""
import argparse
import copy
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch

from sharedlabel import live, losses, models, pruning, runtime, training
from timing import seconds

CASES = {  # name: data shape, classes, model, rho
    "MNIST Conv, rho 3.5": ((1, 28, 28), 10, "conv", 3.5),
    "CIFAR-100 ResNet-18, rho 4.5": ((3, 32, 32), 100, "resnet18", 4.5),
    "CIFAR-100 ResNet-18, rho 2": ((3, 32, 32), 100, "resnet18", 2.0),
    "CIFAR-100 WideResNet-20, rho 2": ((3, 32, 32), 100, "wideresnet20", 2.0),
}
WAYS = ("eager", "recorded", "bfloat16")
BATCH, ROUNDS, STEPS = 64, 7, 30

barrier = None


def pruned(name: str, iterations: int = 20) -> live.LiveNetwork:
    shape, classes, model, rho = CASES[name]
    network = models.build(model, shape, classes, runtime.random_stream(0, "initialisation"))
    pruning.prune(network, "synflow", rho, (torch.zeros(1, *shape), None), iterations)
    return live.build(network, shape)


def stepper(network: live.LiveNetwork, way: str, device: torch.device) -> Callable[[], object]:
    """A step by one of `WAYS` on a batch that stays."""
    classes, network = network(torch.zeros(2, len(network.columns))).shape[1], copy.deepcopy(network).to(device)  # hooks stay with the copy
    network.graphable = way != "eager"
    step = training.make_step(network, losses.standard, training.adam(network, 1e-4), "bfloat16" if way == "bfloat16" else "float32")
    x, labels = torch.randn(BATCH, len(network.columns), device=device), torch.arange(BATCH, device=device) % classes
    return lambda: step(x, labels)


def milliseconds(network: live.LiveNetwork, way: str, device: torch.device) -> float:
    """The median step, begun together with the other processes where there are any."""
    step = stepper(network, way, device)

    def steps() -> None:
        for _ in range(STEPS):
            step()

    times = []
    for _ in range(ROUNDS + 1):  # the first round records
        if barrier:
            barrier.wait(timeout=120)
        times.append(seconds(steps, device, by_the_clock=True) / STEPS * 1e3)
    return statistics.median(times[1:])


def beside(device: torch.device, shared) -> None:
    """Make this process one of several on that device."""
    global barrier
    barrier = shared
    runtime.select_device(str(device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=16, metavar="N", help="processes in the last columns")
    parser.add_argument("--only-at-once", action="store_true", help="leave the other columns empty")
    arguments = parser.parse_args()
    device, context, count = runtime.select_device("auto"), multiprocessing.get_context("spawn"), arguments.at_once
    networks = {name: pruned(name) for name in CASES}
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name(device) if device.type == 'cuda' else device}\n", flush=True)
    print(f"| case | {' | '.join(WAYS)} | {count} at once: recorded, steps/s | eager, steps/s |\n|{'---|' * (len(WAYS) + 3)}")
    with ProcessPoolExecutor(count, context, beside, (device, context.Barrier(count))) as pool:
        for name, network in networks.items():
            alone = ["" if arguments.only_at_once else f"{milliseconds(network, way, device):.3g}" for way in WAYS]
            shared = []
            for way in ("recorded", "eager"):
                found = list(pool.map(milliseconds, [network] * count, [way] * count, [device] * count))
                shared.append(f"{statistics.mean(found):.3g}, {count * 1e3 / statistics.mean(found):.0f}")
            print(f"| {' | '.join([name, *alone, *shared])} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

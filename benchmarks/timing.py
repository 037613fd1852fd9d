"""What the benchmarks share: a training step, and how long something takes."""
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharedlabel import training

CPU = torch.device("cpu")


def train_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor, precision: str = "float32", device: torch.device = CPU
) -> None:
    """One step as `training.train` takes it, on the batch x, which lies on the device as the network does."""
    with training.precise(precision, device):
        outputs = network(x)
    loss = F.cross_entropy(outputs.float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def seconds(action: Callable[[], object], device: torch.device = CPU, by_the_clock: bool = False) -> float:
    """Processor time of this process, which other processes disturb less; `by_the_clock` real time, as on a GPU to the end of its work."""
    clock = time.process_time if device.type == "cpu" and not by_the_clock else time.perf_counter
    started = clock()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started

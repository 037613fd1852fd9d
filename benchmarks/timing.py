"""What the benchmarks share: how long something takes."""
import time
from collections.abc import Callable

import torch

CPU = torch.device("cpu")


def seconds(action: Callable[[], object], device: torch.device = CPU, by_the_clock: bool = False) -> float:
    """Processor time of this process, which other processes disturb less; `by_the_clock` real time, as on a GPU to the end of its work."""
    clock = time.process_time if device.type == "cpu" and not by_the_clock else time.perf_counter
    started = clock()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started

"""What a run computes with, apart from its data: the device, its threads and memory, locks between processes, random streams."""
import contextlib
import ctypes
import fcntl
import os
import re
import zlib
from pathlib import Path

import torch


def select_device(name: str = "auto") -> torch.device:
    """The device to compute on: `auto` takes a GPU where there is one, of several one by the process's number: runs spread over them.

    On a CPU a run computes with one thread, as it does what it does there before a GPU: networks this small gain nothing from a second, a
    grid fills the cores with runs instead, and the same run gives the same bytes whatever the machine is doing (a GPU's sums may
    differ in their last digits). On a GPU float32 means float32, not TF32. ValueError where there is no such device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"device: {name!r} is unknown; allowed: auto, cpu, cuda, cuda:N (N counts GPUs from 0)")
    if name == "auto":
        name = f"cuda:{os.getpid() % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device: {name!r} was asked for, but torch sees no GPU here; use 'auto' or 'cpu'")
    found = torch.device(name)
    if found.type == "cuda":
        if (found.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"device: {name!r} was asked for, but torch sees {torch.cuda.device_count()} here, counted from 0")
        torch.cuda.set_device(found.index or 0)  # where a training step is recorded, which is not asked for by its tensors
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(1)
    keep_freed_memory()
    return found


def keep_freed_memory() -> None:
    """Let glibc's allocator keep what is freed: given back to the system, a step's activations cost a page fault for every 4 KB, each time.

    Other C libraries have no `mallopt`, and are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, the most that it takes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 64 << 20)  # M_TOP_PAD


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether a GPU's memory was too small, in any of the words that PyTorch and cuBLAS have for it, or `error` came of that."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error) or "ALLOC_FAILED" in str(error):
            return True
        error = error.__context__
    return False


@contextlib.contextmanager
def memory_guard(what: str, to_try: str = ""):
    """MemoryError, which says what `to_try` besides fewer runs at once, where a GPU's memory does not hold `what` is made in here."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        fewer = f"try {to_try}, or fewer" if to_try else "have fewer"
        raise MemoryError(f"the GPU's memory does not hold {what}; {fewer} runs at once") from error


@contextlib.contextmanager
def exclusive_lock(lock: Path):
    """Waits until no other process is in here, so that of several runs that start at once one makes what all of them read.

    A process that is killed lets go. Where the folder, or another user's lock, cannot be written to, nobody waits.
    """
    with contextlib.suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
    ours = os.access(lock if lock.exists() else lock.parent, os.W_OK)
    with lock.open("w") if ours else contextlib.nullcontext() as file:
        if file:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def in_grid() -> bool:
    """Whether a grid runs this process, which sets SHAREDLABEL_GRID=1: then no progress bar is shown and no picture is drawn."""
    return os.environ.get("SHAREDLABEL_GRID") == "1"


def random_stream(seed: int, purpose: str) -> torch.Generator:
    """An independent random stream (on the CPU) for one purpose of one seed."""
    return torch.Generator().manual_seed(zlib.crc32(f"{purpose}/{seed}".encode()))  # it uses 32 bits

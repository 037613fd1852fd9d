"""What a run computes with, apart from its data: the device, its threads and memory, locks between processes, random streams."""
import contextlib
import ctypes
import fcntl
import os
import re
import zlib
from pathlib import Path

import torch

from sharedlabel import choices


def select_device(name: str = "auto") -> torch.device:
    """The device to compute on. `auto` is a GPU if there is one, of several one by the process's number, as good as at random.

    CPU work uses one thread. Networks this small gain nothing from a second one, a grid fills the cores with runs instead, and one run
    gives the same bytes whatever else the machine does. (Sums on a GPU may differ in their last digits.) On a GPU float32 means
    float32, not TF32. ValueError if there is no such device, MemoryError where its memory is full.
    """
    if not re.fullmatch(choices.DEVICE, name):
        raise ValueError(f"device: {name!r} is unknown; allowed: {choices.DEVICES}")
    if name == "auto":
        name = f"cuda:{os.getpid() % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device: {name!r} was asked for, but torch sees no GPU here; use 'auto' or 'cpu'")
    found = torch.device(name)
    if found.type == "cuda":
        if (found.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"device: {name!r} was asked for, but torch sees {torch.cuda.device_count()} here, counted from 0")
        with memory_guard("even an empty run"):
            torch.cuda.set_device(found.index or 0)  # where a training step is recorded, which is not asked for by its tensors
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_num_threads(1)
    keep_freed_memory()
    return found


def keep_freed_memory() -> None:
    """Make glibc's allocator keep freed memory. Otherwise every training step pays a page fault for each 4 KB of its activations.

    Other C libraries have no `mallopt` and stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, the most that it takes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 64 << 20)  # M_TOP_PAD


# What PyTorch, cuBLAS and cuDNN say; the last two where a workspace, or their first allocation, does not fit.
OUT_OF_MEMORY = r"out of memory|ALLOC(ATION)?_FAILED|unable to find an engine|STATUS_NOT_INITIALIZED"


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether `error`, or an error that led to it, says that a GPU's memory was too small."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or re.search(OUT_OF_MEMORY, str(error)):
            return True
        error = error.__context__
    return False


@contextlib.contextmanager
def memory_guard(what: str, to_try: str = ""):
    """Turn a GPU's out-of-memory error in this block into a MemoryError that names `what` did not fit, and what `to_try` instead."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        fewer = f"try {to_try}, or fewer" if to_try else "have fewer"
        raise MemoryError(f"the GPU's memory does not hold {what}; {fewer} runs at once") from error


@contextlib.contextmanager
def exclusive_lock(lock: Path):
    """Exclusive file lock: one process prepares the data, or writes a record, and the others wait.

    A process that is killed releases it. Where the file cannot be opened for writing (another user's, or a symbolic link, which is
    not followed), and on a file system without locks, nobody waits.
    """
    with contextlib.suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def in_grid() -> bool:
    """Whether a grid runs this process, which sets SHAREDLABEL_GRID=1: then no progress bar is shown and no picture is drawn."""
    return os.environ.get("SHAREDLABEL_GRID") == "1"


def random_stream(seed: int, purpose: str) -> torch.Generator:
    """An independent random stream (on the CPU) for one purpose of one seed: all methods see the same test tuples, for example."""
    return torch.Generator().manual_seed(zlib.crc32(f"{purpose}/{seed}".encode()))  # it uses 32 bits

"""Whole data sets as uint8 tensors on the device, normalised a batch at a time.

A data set is small enough to lie in memory whole, so there are no loaders and no workers: a batch is
an indexing operation. Splits and every other random choice take their numbers from `stream`, one
independent generator a purpose, so that (for example) all methods see the same test tuples.
"""
import contextlib
import ctypes
import fcntl
import os
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets.utils import check_integrity

from sharedlabel import ROOT, tuples

CHANNELS = {"digits": 1, "mnist": 1, "cifar10": 3, "cifar100": 3, "tinyimagenet": 3}  # of an image
DATASETS = tuple(CHANNELS)
LARGEST_TUPLE = {"digits": 87, "mnist": 892, "cifar10": 1000, "cifar100": 100, "tinyimagenet": 50}  # test images of the smallest class

AUGMENTATIONS = ("none", "crop_flip")
PADDING = 4  # pixels that a random crop may move by, as on CIFAR in He et al. 2015

# torchvision looks only whether MNIST's files are there; these are the published md5 sums.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataError(RuntimeError):
    """A data set is missing or damaged; the message says which files belong where."""


@contextlib.contextmanager
def alone(lock: Path):
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


@dataclass(frozen=True)
class Images:
    """Labelled images and the affine map that normalises them.

    pixels: uint8 [N, C, H, W], or [N, D] once `gather` has picked columns for a live network.
    labels: int64 [N]. scale, shift: broadcast against one image; a batch is pixels * scale + shift,
    which has mean 0 and variance 1 a channel over the training set.
    """

    pixels: Tensor
    labels: Tensor
    scale: Tensor
    shift: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return tuple(self.pixels.shape[1:])

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def batch(self, index: Tensor | slice) -> Tensor:
        """Normalised images [B, C, H, W], or [B, D] of picked columns, in the precision of `scale`."""
        return torch.addcmul(self.shift, self.pixels[index].to(self.scale.dtype), self.scale)

    def subset(self, index: Tensor) -> "Images":
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def to(self, device: str | torch.device) -> "Images":
        with fits("the data set"):
            return replace(self, **{name: t.to(device) for name, t in vars(self).items() if isinstance(t, Tensor)})

    def gather(self, columns: Tensor) -> "Images":
        """The images as rows [N, D] of the flattened pixels `columns` (int64 [D]): those a live network reads."""
        scale, shift = (t.expand(self.shape).flatten()[columns] for t in (self.scale, self.shift))
        pixels = self.pixels.flatten(1)
        whole = torch.equal(columns, torch.arange(pixels.shape[1], device=columns.device))  # then there is no need for a second copy of all
        with fits("the data set"):
            return Images(pixels if whole else pixels[:, columns], self.labels, scale, shift)


@dataclass(frozen=True)
class CropFlip(Images):
    """Images of which every batch shows other random crops, half of them mirrored left to right.

    A crop is the image moved by up to `PADDING` pixels each way; what moves in is the image's own reflection, so that
    no border appears which no image has. `pixels` stay whole, as any of them may move to the `columns` (int64, of the
    flattened image) that a batch gives: [C, H, W], or [D] once `gather` has picked some. Only those are looked up.
    """

    generator: torch.Generator
    columns: Tensor

    def batch(self, index: Tensor | slice) -> Tensor:
        (_, height, width), device = self.shape, self.labels.device
        row = index if isinstance(index, Tensor) else torch.arange(len(self), device=device)[index]
        row = row.view(*row.shape, *[1] * self.columns.dim())
        down, right = torch.randint(-PADDING, PADDING + 1, (2, *row.shape), generator=self.generator).to(device)
        mirrored = torch.randint(2, row.shape, generator=self.generator).bool().to(device)
        channel, y, x = self.columns // (height * width), self.columns // width % height, self.columns % width
        y, x = reflected(y + down, height), reflected(torch.where(mirrored, width - 1 - x, x) + right, width)
        pixels = self.pixels.flatten(1)[row, (channel * height + y) * width + x]
        return torch.addcmul(self.shift, pixels.to(self.scale.dtype), self.scale)

    def gather(self, columns: Tensor) -> "CropFlip":
        scale, shift = (t.expand(self.shape).flatten()[columns] for t in (self.scale, self.shift))
        return replace(self, scale=scale, shift=shift, columns=self.columns.flatten()[columns])


def reflected(position: Tensor, size: int) -> Tensor:
    """Positions up to size - 1 outside of 0 ... size - 1, reflected into it."""
    return size - 1 - (size - 1 - position.abs()).abs()


def augmented(images: Images, augment: str, generator: torch.Generator) -> Images:
    """The images to train on, as `augment` has them, one of `AUGMENTATIONS`; random numbers come from `generator`."""
    if augment not in AUGMENTATIONS:
        raise ValueError(f"augment: {augment!r} is unknown; allowed: {', '.join(AUGMENTATIONS)}")
    if augment == "none":
        return images
    columns = torch.arange(images.pixels[0].numel(), device=images.labels.device).view(images.shape)
    return CropFlip(images.pixels, images.labels, images.scale, images.shift, generator, columns)


def stream(seed: int, purpose: str) -> torch.Generator:
    """An independent random stream (on the CPU) for one purpose of one seed."""
    return torch.Generator().manual_seed(zlib.crc32(f"{purpose}/{seed}".encode()))  # it uses 32 bits


def device(name: str = "auto") -> torch.device:
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
    keep_memory()
    return found


def keep_memory() -> None:
    """Let glibc's allocator keep what is freed: given back to the system, a step's activations cost a page fault for every 4 KB, each time.

    Other C libraries have no `mallopt`, and are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, the most that it takes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-2, 64 << 20)  # M_TOP_PAD


def out_of_memory(error: BaseException | None) -> bool:
    """Whether a GPU's memory was too small, in any of the words that PyTorch and cuBLAS have for it, or `error` came of that."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error) or "ALLOC_FAILED" in str(error):
            return True
        error = error.__context__
    return False


@contextlib.contextmanager
def fits(what: str, to_try: str = ""):
    """MemoryError, which says what `to_try` besides fewer runs at once, where a GPU's memory does not hold `what` is made in here."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        fewer = f"try {to_try}, or fewer" if to_try else "have fewer"
        raise MemoryError(f"the GPU's memory does not hold {what}; {fewer} runs at once") from error


def root() -> Path:
    """Where the data sets lie: environment variable SHAREDLABEL_DATA (relative: to the repository), or data/ in the repository."""
    return ROOT / Path(os.environ.get("SHAREDLABEL_DATA") or "data").expanduser()


def load(name: str) -> tuple[Images, Images]:
    """Training and test set of `name`, one of `DATASETS`, normalised by the training set's statistics.

    Raises ValueError on another name, DataError where files are missing (and cannot be downloaded) or damaged.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset: {name!r} is unknown; allowed: {', '.join(DATASETS)}")
    read = {"digits": _digits, "mnist": _mnist, "cifar10": _cifar10, "cifar100": _cifar100, "tinyimagenet": _tinyimagenet}
    train, test = read[name]()
    values = torch.arange(256, dtype=torch.float64)
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in train[0].unbind(1)]).double()
    counts = counts / counts.sum(1, keepdim=True)
    mean = counts @ values
    std = (counts @ values**2 - mean**2).sqrt()
    scale, shift = (1 / std).float()[:, None, None], (-mean / std).float()[:, None, None]
    return Images(*train, scale, shift), Images(*test, scale, shift)


def split(images: Images, fraction: float, generator: torch.Generator) -> tuple[Images, Images]:
    """(kept, held out): a stratified `fraction` of every class is held out for validation.

    Raises ValueError where that leaves a class no image on one of the two sides.
    """
    held = []
    for label, members in enumerate(tuples.by_class(images.labels)):
        order, count = torch.randperm(len(members), generator=generator), round(fraction * len(members))
        if not 0 < count < len(members):
            raise ValueError(
                f"held_out: {fraction} of class {label}'s {len(members)} images is {count}; every class needs some held out and some left"
            )
        held.append(members[order[:count]])
    out = torch.zeros(len(images), dtype=torch.bool)
    out[torch.cat(held)] = True
    return images.subset(~out), images.subset(out)


def sets(name: str, held_out: float, seed: int, n: list[int]) -> tuple[Images, Images, Images]:
    """(training, held-out, test set) of a run; ValueError if the test set cannot form tuples of every size in `n`."""
    train, test = load(name)
    for size in n:
        tuples.check(test.labels, size)
    return *split(train, held_out, stream(seed, "split")), test


def some_of_each_class(images: Images, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch (normalised images, labels) of `count` random images of every class, for scores that need data."""
    chosen = [members[torch.randperm(len(members), generator=generator)[:count]] for members in tuples.by_class(images.labels)]
    return images.batch(torch.cat(chosen)), images.labels[torch.cat(chosen)]


def _digits():
    """scikit-learn's 1,797 real 8x8 handwritten digits, in two fixed stratified halves."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    pixels = torch.tensor(bunch.images, dtype=torch.uint8)[:, None]
    labels = torch.tensor(bunch.target, dtype=torch.int64)
    train, test = train_test_split(torch.arange(len(labels)), test_size=0.5, stratify=labels, random_state=0)
    return (pixels[train], labels[train]), (pixels[test], labels[test])


def _mnist():
    from torchvision.datasets import MNIST

    folder = root() / "MNIST" / "raw"
    with alone(root() / "MNIST.lock"):
        if not all((folder / name).exists() for name in MNIST_MD5):
            try:
                MNIST(root(), download=True)
            except Exception as error:
                raise DataError(
                    f"mnist: not found, and the download failed ({error}). Put these files into {folder}, "
                    f"or point SHAREDLABEL_DATA at the folder that holds MNIST/: {', '.join(MNIST_MD5)}"
                ) from error
        for name, md5 in MNIST_MD5.items():
            if not check_integrity(folder / name, md5):
                raise DataError(f"mnist: {folder / name} is damaged (its md5 is not {md5}); delete it and fetch it again")
    sets = (MNIST(root(), train=train) for train in (True, False))
    return [(each.data[:, None].contiguous(), each.targets) for each in sets]


def _cifar10():
    from torchvision.datasets import CIFAR10

    return _cifar(CIFAR10, "cifar10")


def _cifar100():
    from torchvision.datasets import CIFAR100

    return _cifar(CIFAR100, "cifar100")


def _cifar(kind, name: str):
    folder, files = root() / kind.base_folder, dict((*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])))

    def there() -> bool:
        return all((folder / file).exists() for file in files)

    try:  # torchvision compares the files with their md5 sums
        with alone(root() / f"{kind.base_folder}.lock"):
            sets = [kind(root(), train=train, download=not there()) for train in (True, False)]
    except Exception as error:
        damaged = [str(folder / f) for f in files if there() and not check_integrity(folder / f, files[f])]
        if damaged:
            raise DataError(f"{name}: {', '.join(damaged)} is damaged (by its md5); delete it and fetch it again") from error
        if there():
            raise
        raise DataError(
            f"{name}: not found, and the download failed ({error}). Put these files into {folder}, "
            f"or point SHAREDLABEL_DATA at the folder that holds {kind.base_folder}/: {', '.join(files)}"
        ) from error
    return [(torch.from_numpy(each.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(each.targets)) for each in sets]


def _tinyimagenet():
    from sharedlabel import tinyimagenet

    return tinyimagenet.load(root(), tinyimagenet.PUBLISHED)

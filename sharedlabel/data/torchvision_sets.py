"""Data sets of torchvision, downloaded by its classes where they are missing, and checked by their published md5 sums.

torchvision is imported where it is needed: it takes a second, and MNIST's files are plain bytes behind a header.
"""
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sharedlabel import choices
from sharedlabel.data.location import DataError, root
from sharedlabel.runtime import exclusive_lock

# torchvision looks only whether MNIST's files are there; these are the published md5 sums.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@choices.DataSet("MNIST", channels=1, side=28, classes=10, smallest_class=5421, largest_tuple=892)
def mnist() -> list[tuple[Tensor, Tensor]]:
    """[(pixels, labels)] of training and test images: uint8 [N, 1, 28, 28], int64 [N]; DataError as in `check_files`.

    The files that were checked are read: the class MNIST would prefer `MNIST/processed/*.pt`, which have no published checksum.
    """
    folder = root() / "MNIST" / "raw"
    check_files("mnist", folder, MNIST_MD5, lambda: torchvision_class("MNIST")(root(), download=True))
    sets = []
    for part in ("train", "t10k"):
        images, labels = (torch.frombuffer(bytearray((folder / f"{part}-{kind}-ubyte").read_bytes()), dtype=torch.uint8, offset=header)
                          for kind, header in (("images-idx3", 16), ("labels-idx1", 8)))
        sets.append((images.view(-1, 1, 28, 28), labels.long()))
    return sets


def torchvision_class(name: str) -> type:
    import torchvision

    return getattr(torchvision.datasets, name)


@choices.DataSet("FashionMNIST", channels=1, side=28, classes=10, smallest_class=6000, largest_tuple=1000)
def fashionmnist() -> list[tuple[Tensor, Tensor]]:
    """As `mnist`. Its published checksums are those of the compressed files, so these are what is downloaded, checked and read."""
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import download_url

    folder, md5 = root() / "FashionMNIST" / "raw", dict(FashionMNIST.resources)

    def download() -> None:
        for file, value in md5.items():
            download_url(FashionMNIST.mirrors[0] + file, folder, file, value)

    check_files("fashionmnist", folder, md5, download)
    images, labels = "{}-images-idx3-ubyte.gz", "{}-labels-idx1-ubyte.gz"
    return [(read_idx(folder / images.format(part))[:, None], read_idx(folder / labels.format(part)).long()) for part in ("train", "t10k")]


def read_idx(file: Path) -> Tensor:
    """A compressed file of MNIST's format: two zeros, a type, the number of dimensions, their sizes as four bytes each, then the bytes."""
    content = gzip.decompress(file.read_bytes())
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy())


@choices.DataSet("CIFAR-10", channels=3, side=32, classes=10, smallest_class=5000, largest_tuple=1000)
def cifar10() -> list[tuple[Tensor, Tensor]]:
    """[(pixels, labels)] of training and test images: uint8 [N, 3, 32, 32], int64 [N]; DataError as in `check_files`."""
    return read_cifar("cifar10", torchvision_class("CIFAR10"))


@choices.DataSet("CIFAR-100", channels=3, side=32, classes=100, smallest_class=500, largest_tuple=100)
def cifar100() -> list[tuple[Tensor, Tensor]]:
    """As `cifar10`, with the hundred fine labels."""
    return read_cifar("cifar100", torchvision_class("CIFAR100"))


def read_cifar(name: str, kind: type) -> list[tuple[Tensor, Tensor]]:
    files = dict((*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])))
    check_files(name, root() / kind.base_folder, files, lambda: kind(root(), download=True))
    checked = type(kind.__name__, (kind,), {"_check_integrity": lambda self: True})  # it would check all files again, twice
    sets = [checked(root(), train=train) for train in (True, False)]
    return [(torch.from_numpy(each.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(each.targets)) for each in sets]


def check_files(name: str, folder: Path, md5: dict[str, str], download: Callable[[], object]) -> None:
    """Raise DataError unless all files of a data set are in its folder, downloaded if need be, and have these md5 sums."""

    files = {folder / file: value for file, value in md5.items()}
    with exclusive_lock(root() / f"{folder.relative_to(root()).parts[0]}.lock"):
        if not all(map(os.path.exists, files)):  # Path's raises below a folder closed to us
            try:
                download()
            except Exception as error:
                raise DataError(
                    f"{name}: not found, and the download failed ({error}). Put these files into {folder}, "
                    f"or point SHAREDLABEL_DATA at the folder that holds {folder.relative_to(root()).parts[0]}/: {', '.join(md5)}"
                ) from error
        damaged = [str(file) for file, value in files.items() if md5_of(file) != value]
        if damaged:
            raise DataError(f"{name}: {', '.join(damaged)} is damaged (by its md5 sum); delete it and fetch it again")


def md5_of(file: Path) -> str | None:
    """The md5 sum of a file, None of one that is missing."""
    if not os.path.isfile(file):
        return None
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

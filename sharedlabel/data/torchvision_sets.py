"""MNIST, CIFAR-10 and CIFAR-100, read by torchvision: downloaded where they are missing, and checked by their md5 sums.

torchvision is imported when one of them is loaded: that takes as long as torch's own import, and a prediction needs none of them.
"""
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from sharedlabel.data.location import DataError, root
from sharedlabel.runtime import exclusive_lock

# torchvision looks only whether MNIST's files are there; these are the published md5 sums.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def mnist() -> list[tuple[Tensor, Tensor]]:
    """[(pixels, labels)] of training and test images: uint8 [N, 1, 28, 28], int64 [N]; DataError as in `check_files`.

    The files that were checked are read: the class MNIST would prefer `MNIST/processed/*.pt`, which have no published checksum.
    """
    from torchvision.datasets import MNIST
    from torchvision.datasets.mnist import read_image_file, read_label_file

    folder = root() / "MNIST" / "raw"
    check_files("mnist", folder, MNIST_MD5, lambda: MNIST(root(), download=True))
    images, labels = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
    return [(read_image_file(str(folder / images.format(part)))[:, None].contiguous(), read_label_file(str(folder / labels.format(part))))
            for part in ("train", "t10k")]


def cifar10() -> list[tuple[Tensor, Tensor]]:
    """[(pixels, labels)] of training and test images: uint8 [N, 3, 32, 32], int64 [N]; DataError as in `check_files`."""
    return read_cifar("cifar10", "CIFAR10")


def cifar100() -> list[tuple[Tensor, Tensor]]:
    """As `cifar10`, with the hundred fine labels."""
    return read_cifar("cifar100", "CIFAR100")


def read_cifar(name: str, class_name: str) -> list[tuple[Tensor, Tensor]]:
    from torchvision import datasets

    kind = getattr(datasets, class_name)
    files = dict((*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])))
    check_files(name, root() / kind.base_folder, files, lambda: kind(root(), download=True))
    checked = type(kind.__name__, (kind,), {"_check_integrity": lambda self: True})  # it would check all files again, twice
    sets = [checked(root(), train=train) for train in (True, False)]
    return [(torch.from_numpy(each.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(each.targets)) for each in sets]


def check_files(name: str, folder: Path, md5: dict[str, str], download: Callable[[], object]) -> None:
    """Raise DataError unless all files of a data set are in its folder, downloaded if need be, and have these md5 sums."""
    from torchvision.datasets.utils import check_integrity

    files = {folder / file: value for file, value in md5.items()}
    with exclusive_lock(root() / f"{folder.relative_to(root()).parts[0]}.lock"):
        if not all(file.exists() for file in files):
            try:
                download()
            except Exception as error:
                raise DataError(
                    f"{name}: not found, and the download failed ({error}). Put these files into {folder}, "
                    f"or point SHAREDLABEL_DATA at the folder that holds {folder.relative_to(root()).parts[0]}/: {', '.join(md5)}"
                ) from error
        damaged = [str(file) for file, value in files.items() if not check_integrity(file, value)]
        if damaged:
            raise DataError(f"{name}: {', '.join(damaged)} is damaged (by its md5 sum); delete it and fetch it again")

"""Whole data sets as uint8 tensors on the device, normalised a batch at a time.

A data set is small enough to lie in memory whole, so there are no loaders and no workers: a batch is an indexing operation.
"""
import torch

from sharedlabel import choices
from sharedlabel.data.images import Images, RandomCropFlip, augmented, average_pooled
from sharedlabel.data.location import DataError, root
from sharedlabel.data.splits import by_class, check_tuple_size, gather_columns, sample_each_class, split
from sharedlabel.runtime import random_stream

__all__ = ["DataError", "Images", "RandomCropFlip", "augmented", "average_pooled", "by_class", "check_tuple_size", "gather_columns", "load",
           "load_splits", "root", "sample_each_class", "split"]

READERS = choices.functions(choices.DATASETS)


def load(name: str, path: str = "", image_size: int = 32) -> tuple[Images, Images]:
    """Training and test set of `name`, one of `choices.DATASETS`, normalised by the training set's statistics.

    `path` and `image_size` (pixels a side) are of a folder of one's own images. Raises ValueError on another name and on a folder that
    is no data set, DataError where files are missing (and cannot be downloaded) or damaged.
    """
    if name not in choices.DATASETS:
        raise ValueError(f"dataset: {name!r} is unknown; allowed: {', '.join(choices.DATASETS)}")
    train, test = READERS[name](path, image_size) if name == "folder" else READERS[name]()
    values = torch.arange(256, dtype=torch.float64)
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in train[0].unbind(1)]).double()
    counts = counts / counts.sum(1, keepdim=True)
    mean = counts @ values
    std = (counts @ values**2 - mean**2).sqrt()
    if ((counts > 0).sum(1) < 2).any():
        raise DataError(f"{path or name}: a colour has the same value in every pixel of the training images, which tells nothing apart")
    scale, shift = (1 / std).float()[:, None, None], (-mean / std).float()[:, None, None]
    return Images(*train, scale, shift), Images(*test, scale, shift)


def load_splits(
    name: str, held_out: float, seed: int, n: list[int], path: str = "", image_size: int = 32
) -> tuple[Images, Images, Images]:
    """(training, held-out, test set) of a run; ValueError if the test set cannot form tuples of every size in `n`. Others as in `load`."""
    train, test = load(name, path, image_size)
    for size in n:
        check_tuple_size(test.labels, size)
    return *split(train, held_out, random_stream(seed, "split")), test

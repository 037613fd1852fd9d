"""Whole data sets as uint8 tensors on the device, normalised a batch at a time.

A data set is small enough to lie in memory whole, so there are no loaders and no workers: a batch is an indexing operation.
"""
import torch

from sharedlabel import choices
from sharedlabel.data import digits, tinyimagenet, torchvision_sets
from sharedlabel.data.images import Images, RandomCropFlip, augmented, average_pooled
from sharedlabel.data.location import DataError, root
from sharedlabel.data.splits import by_class, check_tuple_size, gather_columns, sample_each_class, split
from sharedlabel.runtime import random_stream

__all__ = ["DataError", "Images", "RandomCropFlip", "augmented", "average_pooled", "by_class", "check_tuple_size", "gather_columns", "load",
           "load_splits", "root", "sample_each_class", "split"]

READERS = {
    "digits": digits.load, "mnist": torchvision_sets.mnist, "cifar10": torchvision_sets.cifar10, "cifar100": torchvision_sets.cifar100,
    "tinyimagenet": tinyimagenet.load,
}


def load(name: str) -> tuple[Images, Images]:
    """Training and test set of `name`, one of `choices.DATASETS`, normalised by the training set's statistics.

    Raises ValueError on another name, DataError where files are missing (and cannot be downloaded) or damaged.
    """
    if name not in choices.DATASETS:
        raise ValueError(f"dataset: {name!r} is unknown; allowed: {', '.join(choices.DATASETS)}")
    train, test = READERS[name]()
    values = torch.arange(256, dtype=torch.float64)
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in train[0].unbind(1)]).double()
    counts = counts / counts.sum(1, keepdim=True)
    mean = counts @ values
    std = (counts @ values**2 - mean**2).sqrt()
    scale, shift = (1 / std).float()[:, None, None], (-mean / std).float()[:, None, None]
    return Images(*train, scale, shift), Images(*test, scale, shift)


def load_splits(name: str, held_out: float, seed: int, n: list[int]) -> tuple[Images, Images, Images]:
    """(training, held-out, test set) of a run; ValueError if the test set cannot form tuples of every size in `n`."""
    train, test = load(name)
    for size in n:
        check_tuple_size(test.labels, size)
    return *split(train, held_out, random_stream(seed, "split")), test

"""Images by class: tuple sizes that fit, the held-out split, samples of every class."""
from collections.abc import Iterable

import torch
from torch import Tensor

from sharedlabel.data.images import Images


def by_class(labels: Tensor) -> list[Tensor]:
    """The indices of each class's images: a list of int64 [N_l], one a class."""
    return [(labels == label).nonzero().flatten() for label in range(int(labels.max()) + 1)]


def check_tuple_size(labels: Tensor, n: int, name: str = "n") -> None:
    """Raise ValueError unless 1 <= n <= the size of the smallest class; `name` is the parameter that the message names."""
    most = int(torch.bincount(labels).min())
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= most:
        raise ValueError(
            f"{name}: {n!r} is not allowed; a tuple has from 1 to {most} images, all that the smallest class has "
            f"among these {len(labels)} (set in the parameters cell, papermill's -p or -y, or the study's YAML)"
        )


def split(images: Images, fraction: float, generator: torch.Generator) -> tuple[Images, Images]:
    """(kept, held out): a stratified `fraction` of every class is held out for validation.

    Raises ValueError where that leaves a class no image on one of the two sides.
    """
    held = []
    for label, members in enumerate(by_class(images.labels)):
        order, count = torch.randperm(len(members), generator=generator), round(fraction * len(members))
        if not 0 < count < len(members):
            raise ValueError(
                f"held_out: {fraction} of class {label}'s {len(members)} images is {count}; every class needs some held out and some left"
            )
        held.append(members[order[:count]])
    out = torch.zeros(len(images), dtype=torch.bool)
    out[torch.cat(held)] = True
    return images.subset(~out), images.subset(out)


def sample_each_class(images: Images, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch (normalised images, labels) of `count` random images of every class, for scores that need data."""
    chosen = [members[torch.randperm(len(members), generator=generator)[:count]] for members in by_class(images.labels)]
    return images.batch(torch.cat(chosen)), images.labels[torch.cat(chosen)]


def gather_columns(sets: Iterable[Images], columns: Tensor) -> list[Images]:
    """Each set on the device of `columns` (int64 [D]), as rows [N, D] of those of its flattened pixels: what a live network reads."""
    return [images.to(columns.device).gather(columns) for images in sets]

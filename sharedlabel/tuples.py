"""n-tuples of images that share their label (paper, section 1.2), as index tensors [T, n]; a tuple's label is that of its first image.

Two evaluation protocols. `disjoint` cuts the test set, class by class, into tuples that share no image; the paper's tables turn out to
use it. `random` draws 100 tuples a class, as the paper's section 4 says.
"""
import torch
from torch import Tensor

from sharedlabel import choices
from sharedlabel.data import by_class, check_tuple_size


def disjoint(labels: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Every class shuffled and cut into as many disjoint n-tuples as fit; [T, n]."""
    check_tuple_size(labels, n)
    cut = []
    for members in by_class(labels):
        members = members[torch.randperm(len(members), generator=generator)]
        cut.append(members[: len(members) // n * n].view(-1, n))
    return torch.cat(cut)


def random(labels: Tensor, n: int, generator: torch.Generator, per_class: int = 100) -> Tensor:
    """`per_class` tuples of every class; no image twice in a tuple, but tuples may share images; [T, n]."""
    check_tuple_size(labels, n)
    drawn = []
    for members in by_class(labels):
        keys = torch.rand(per_class, len(members), generator=generator)
        drawn.append(members[keys.topk(n, dim=1).indices])
    return torch.cat(drawn)


def draw(protocol: str, labels: Tensor, n: int, generator: torch.Generator, per_class: int = 100) -> Tensor:
    """The tuples of one of `choices.PROTOCOLS`; [T, n]. ValueError on another protocol."""
    if protocol not in choices.PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is unknown; allowed: {', '.join(choices.PROTOCOLS)}")
    return disjoint(labels, n, generator) if protocol == "disjoint" else random(labels, n, generator, per_class)


def one_of_each_class(labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Rounds, each with one tuple of `size` images of every class; [rounds, l, size].

    All rounds together are one pass over the smallest class, and no image comes twice. ValueError if a class has fewer images
    than a tuple.
    """
    check_tuple_size(labels, size, "tuple_size")
    least, cut = int(torch.bincount(labels).min()), []
    for members in by_class(labels):
        chosen = members[torch.randperm(len(members), generator=generator)[: least // size * size]]
        cut.append(chosen.view(-1, size))
    return torch.stack(cut, dim=1)


def of_different_classes(labels: Tensor, size: int, at_once: int, generator: torch.Generator) -> Tensor:
    """Batches of `at_once` tuples, each of another class, for the balanced loss (section 4.2); [batches, at_once, size].

    Rounds of one tuple of every class (`one_of_each_class`) are cut into batches at random. ValueError if `at_once` does not divide
    the number of classes.
    """
    rounds = one_of_each_class(labels, size, generator)
    classes = rounds.shape[1]
    if at_once < 1 or classes % at_once:
        raise ValueError(
            f"tuples_per_batch: {at_once!r} is not allowed; batches cut the {classes} classes into equal parts, so it divides {classes}"
        )
    if at_once < classes:
        order = torch.rand(rounds.shape[:2], generator=generator).argsort(1)
        rounds = rounds.gather(1, order[:, :, None].expand_as(rounds))
    return rounds.reshape(-1, at_once, size)

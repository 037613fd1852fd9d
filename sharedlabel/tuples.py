"""n-tuples of test images that share their label (paper, section 1.2), as index tensors [T, n].

Two protocols: `disjoint` cuts the test set class by class into tuples that share no image, which is
what the paper's tables turn out to use; `random` draws 100 tuples a class, which is what its section 4
says. A tuple's label is the label of any of its images.
"""
import torch
from torch import Tensor

from sharedlabel import choices
from sharedlabel.data import by_class, check_tuple_size


def disjoint(labels: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Every class shuffled and cut into as many disjoint n-tuples as it has room for; [T, n]."""
    check_tuple_size(labels, n)
    cut = []
    for members in by_class(labels):
        members = members[torch.randperm(len(members), generator=generator)]
        cut.append(members[: len(members) // n * n].view(-1, n))
    return torch.cat(cut)


def random(labels: Tensor, n: int, generator: torch.Generator, per_class: int = 100) -> Tensor:
    """`per_class` tuples of every class, without repetition inside a tuple but freely between tuples; [T, n]."""
    check_tuple_size(labels, n)
    drawn = []
    for members in by_class(labels):
        keys = torch.rand(per_class, len(members), generator=generator)
        drawn.append(members[keys.topk(n, dim=1).indices])
    return torch.cat(drawn)


def draw(protocol: str, labels: Tensor, n: int, generator: torch.Generator, per_class: int = 100) -> Tensor:
    """The tuples of either protocol; [T, n]."""
    if protocol not in choices.PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is unknown; allowed: {', '.join(choices.PROTOCOLS)}")
    return disjoint(labels, n, generator) if protocol == "disjoint" else random(labels, n, generator, per_class)


def one_of_each_class(labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Rounds of one tuple of `size` images of every class each; [rounds, l, size].

    Together they are one pass over the smallest class: no image comes twice. Raises ValueError where a
    class has fewer images than a tuple.
    """
    check_tuple_size(labels, size, "tuple_size")
    least, cut = int(torch.bincount(labels).min()), []
    for members in by_class(labels):
        chosen = members[torch.randperm(len(members), generator=generator)[: least // size * size]]
        cut.append(chosen.view(-1, size))
    return torch.stack(cut, dim=1)


def of_different_classes(labels: Tensor, size: int, at_once: int, generator: torch.Generator) -> Tensor:
    """Batches for the balanced loss, to train on or to validate: `at_once` tuples, each of another class; [batches, at_once, size].

    Section 4.2's "k random n-tuples", k = `at_once`: rounds of one tuple of every class (`one_of_each_class`), each cut into batches at
    random. ValueError where k does not divide the number of classes.
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

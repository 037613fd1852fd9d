"""The law of large tuples: class means and covariances of outputs, what they predict for every n, and linear discriminant analysis.

The mean of the outputs of n independent images of class y is close to N(mu_y, S_y / n), by the central limit theorem. So the moments
of *single* images predict n-accuracy and information gain at every n, without drawing a tuple.
"""
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassMoments:
    """Of d outputs, by class: `mean` [l, d], `covariance` [l, d, d] (unbiased), `count` [l]; float64."""

    mean: Tensor
    covariance: Tensor
    count: Tensor

    @property
    def pooled_covariance(self) -> Tensor:
        """The covariance within classes, [d, d]: the classes' covariances weighed by their degrees of freedom."""
        freedom = self.count - 1
        return (freedom[:, None, None] * self.covariance).sum(0) / freedom.sum()


@dataclass(frozen=True)
class PooledMoments:
    """Of d outputs: their means by class, `mean` [l, d], and the covariance within classes, `pooled_covariance` [d, d]; float64."""

    mean: Tensor
    pooled_covariance: Tensor


def pooled_moments(batches: Iterable[tuple[Tensor, Tensor]], classes: int) -> PooledMoments:
    """Moments of outputs that come in batches (outputs [B, d], labels [B]), one pass, without holding them all.

    Sums are taken about the first batch's mean, as sums of squares of outputs far from 0 would lose digits. ValueError, which names
    the class, where one of them has no image, and where no class has two.
    """
    count, shift, total, squares = torch.zeros(classes, dtype=torch.int64), None, None, None
    for outputs, labels in batches:
        outputs, labels = outputs.double().cpu(), labels.cpu()
        if shift is None:
            shift, width = outputs.mean(0), outputs.shape[1]
            total, squares = outputs.new_zeros(classes, width), outputs.new_zeros(width, width)
        centred = outputs - shift
        count += torch.bincount(labels, minlength=classes)
        total.index_add_(0, labels, centred)
        squares += centred.T @ centred
    if count.min() < 1:
        raise ValueError(f"class {int(count.argmin())} has no image; its mean is not known")
    if count.max() < 2:
        raise ValueError("every class has one image; a covariance within classes needs two of one class")
    mean = total / count[:, None]
    return PooledMoments(mean + shift, (squares - (count[:, None] * mean).T @ mean) / (count.sum() - classes))


def class_moments(outputs: Tensor, labels: Tensor) -> ClassMoments:
    """Moments of outputs [N, d] by their labels [N]. ValueError if a class has fewer than two images."""
    outputs, classes = outputs.double(), int(labels.max()) + 1
    count = torch.bincount(labels, minlength=classes)
    if count.min() < 2:
        raise ValueError(f"class {int(count.argmin())} has {int(count.min())} images; a covariance needs two")
    mean = outputs.new_zeros(classes, outputs.shape[1]).index_add(0, labels, outputs) / count[:, None]
    covariance = torch.stack([(outputs[labels == y] - mean[y]).T.cov() for y in range(classes)]).view(classes, *[outputs.shape[1]] * 2)
    return ClassMoments(mean, covariance, count)


def predicted_confusion(moments: ClassMoments, ns: list[int], generator: torch.Generator, draws: int = 2000) -> Tensor:
    """P(prediction = j | label = y, n) for averaged outputs [len(ns), l, l], by the law; the outputs are l logits.

    A Monte Carlo mean of P(argmax(mu_y + S_y^(1/2) g / sqrt(n)) = j) over `draws` standard normal g, the same for every n and class.
    """
    classes, width = moments.mean.shape
    spread = torch.randn(draws, width, generator=generator, dtype=torch.float64) @ root_covariance(moments)  # [l, draws, d]
    found, row = [], classes * torch.arange(classes)[:, None]
    for n in ns:
        winners = (moments.mean[:, None, :] + spread / n**0.5).argmax(2)
        found.append(torch.bincount((row + winners).flatten(), minlength=classes**2).view(classes, classes) / draws)
    return torch.stack(found).double()


def root_covariance(moments: ClassMoments) -> Tensor:
    """Matrices R [l, d, d] with R^T R = S_y: g R has covariance S_y for a standard normal row g."""
    values, vectors = torch.linalg.eigh(moments.covariance)  # covariances are singular where two logits are tied
    return (vectors * values.clamp(min=0).sqrt()[:, None, :]).transpose(1, 2)


def normal_images(moments: ClassMoments, images: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Outputs [l * images, d] of so many `images` of each class, drawn from N(mu_y, S_y), and their labels [l * images]."""
    classes, width = moments.mean.shape
    noise = torch.randn(classes, images, width, generator=generator, dtype=torch.float64)
    outputs = moments.mean[:, None, :] + noise @ root_covariance(moments)
    return outputs.flatten(0, 1), torch.arange(classes).repeat_interleave(images)


def limit_confusion(moments: ClassMoments) -> Tensor:
    """`predicted_confusion` for n to infinity, [l, l]: class y is named argmax mu_y."""
    return torch.nn.functional.one_hot(moments.mean.argmax(1), moments.mean.shape[1]).double()


def effective_size(moments: ClassMoments, tuple_means: Tensor, labels: Tensor) -> float:
    """How many independent images a tuple is worth: tr S_y / tr Cov(mean of a tuple), the mean over classes.

    tuple_means: outputs [T, d] averaged over tuples, labels [T]. n for independent images, 1 for n copies of one image.
    """
    within = class_moments(tuple_means, labels)
    trace = [each.covariance.diagonal(dim1=1, dim2=2).sum(1) for each in (moments, within)]
    return float((trace[0] / trace[1]).mean())


def linear_discriminant(moments: ClassMoments | PooledMoments, shrinkage: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Linear discriminant analysis with equal priors: weight [l, d] = mu_y^T S^-1, bias [l] = -mu_y^T S^-1 mu_y / 2.

    Averaged over a tuple, its scores name class y for n to infinity whenever no other class has the same mean: the score of class j at
    mu_y is larger than any other's exactly where j minimises (mu_y - mu_j)^T S^-1 (mu_y - mu_j), which is 0 for j = y alone.
    `shrinkage`: this share of the mean variance is added to the diagonal of S, so that a singular S can be inverted; where nothing is
    added, S^-1 is the pseudo-inverse.
    """
    pooled = moments.pooled_covariance
    ridge = shrinkage * float(pooled.trace()) / len(pooled)
    if ridge:
        weight = torch.linalg.solve(pooled + ridge * torch.eye(len(pooled), dtype=pooled.dtype), moments.mean.T).T
    else:
        weight = moments.mean @ torch.linalg.pinv(pooled, hermitian=True)
    return weight, -(weight * moments.mean).sum(1) / 2

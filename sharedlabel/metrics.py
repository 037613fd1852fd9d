"""Metrics of predictions: n-accuracy, information gain, relative information (paper, sections 2 and 4).

All take a confusion matrix [l, l] of counts, rows the true labels, columns the predictions.
Accuracies are fractions, information is in bits.
"""
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sharedlabel import choices, runtime, tuples


def confusion(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Counts [classes, classes] (float64): how often label i was predicted as j."""
    counts = torch.bincount(labels * classes + predictions, minlength=classes * classes)
    return counts.view(classes, classes).double()


def n_accuracy(counts: Tensor) -> float:
    """The fraction of tuples classified correctly (section 4)."""
    return float(counts.trace() / counts.sum())


def entropy(counts: Tensor) -> float:
    """Shannon entropy in bits of the distribution with these counts (any shape)."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * p.log2()).sum())


def information_gain(counts: Tensor) -> float:
    """IG(Y; Y~) = H(Y) - H(Y | Y~), the plug-in mutual information of label and prediction (section 2)."""
    return max(0.0, entropy(counts.sum(1)) + entropy(counts.sum(0)) - entropy(counts))


def information_gain_corrected(counts: Tensor) -> float:
    """Information gain less its first-order bias (Miller and Madow 1955), never below 0 nor above the plug-in estimate.

    The plug-in estimate is too high by (cells - rows - columns + 1) / (2 T ln 2) bits, where only cells, rows and columns that
    are not empty count. That is little with 10 classes and much with 200 classes and few tuples each. The correction is first-order,
    so it needs many more tuples than non-empty cells. For `random` tuples, which overlap, it corrects too little.
    """
    cells, rows, columns = ((c > 0).sum() for c in (counts, counts.sum(1), counts.sum(0)))
    bias = max(0.0, float(cells - rows - columns + 1) / (2 * float(counts.sum()) * math.log(2)))
    return min(max(0.0, information_gain(counts) - bias), entropy(counts.sum(1)))


def relative_information(gain: float, n: int, rho: float) -> float:
    """RI = IG / (n / rho) as the paper has it (section 2), rho being the logarithm."""
    return gain * rho / n


def log_error(accuracy, count):
    """log2 of the share of tuples missed, of numbers or of columns; none missed of `count` is taken at half a miss."""
    return np.log2(np.maximum(1 - accuracy, 1 / (2 * count)))


def gain_per_mflop(gain, macs):
    """Bits per million FLOPs, of numbers or of columns; FLOPs are 2 MACs."""
    return 1e6 * gain / (2 * macs)


def measure(
    predict: Callable[[Tensor], Tensor], labels: Tensor, ns: list[int], rho: float, macs_live: Callable[[int], int],
    seed: int, per_class: int = 100,
) -> list[dict]:
    """The record's `measures`: every n under both protocols.

    predict: tuples [T, n] -> predicted labels [T]. labels: of all test images. macs_live: the cost of an
    n-tuple. The tuples come from `seed`'s own stream, so every method meets the same ones.
    """
    rows, classes = [], int(labels.max()) + 1
    for protocol in choices.PROTOCOLS:
        for n in ns:
            chosen = tuples.draw(protocol, labels, n, runtime.random_stream(seed, f"{protocol} tuples of {n}"), per_class)
            counts = confusion(labels[chosen[:, 0]], predict(chosen), classes)
            rows.append({
                "n": n, "protocol": protocol, "tuples": len(chosen), "n_accuracy": n_accuracy(counts),
                "information_gain": information_gain(counts),
                "information_gain_corrected": information_gain_corrected(counts),
                "relative_information": relative_information(information_gain(counts), n, rho),
                "macs_live": macs_live(n),
            })
    return rows


def format_measures(rows: list[dict]) -> str:
    """A record's `measures` as text, one line a row."""
    line = "{protocol:>9} n={n:<3} tuples {tuples:<5} n-accuracy {n_accuracy:.4f}  IG {information_gain:.3f} bits  "
    return "\n".join((line + "RI {relative_information:.4f}").format(**row) for row in rows)

"""Measures against cases worked by hand and against scikit-learn's mutual information."""
import math

import pandas as pd
import pytest
import torch
from conftest import generator
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from sharedlabel import choices, metrics

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=200)


def counts_of(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_confusion_counts_labels_by_row_and_predictions_by_column():
    found = metrics.confusion(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0]), 3)
    assert torch.equal(found, counts_of([1, 1, 0], [0, 1, 0], [1, 0, 0]))


def test_n_accuracy_is_the_fraction_on_the_diagonal():
    assert metrics.n_accuracy(counts_of([3, 1], [2, 4])) == 0.7


def test_entropy_by_hand():
    assert metrics.entropy(counts_of([2, 1, 1, 0])) == 1.5


@pytest.mark.parametrize("rows, bits", [
    (([5, 0], [0, 5]), 1),  # always right
    (([0, 5], [5, 0]), 1),  # always wrong says as much
    (([5, 0], [5, 0]), 0),  # always the same answer
    (([2, 2], [2, 2]), 0),  # independent
    (([2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]), 1.5),  # two classes told apart, two not
])
def test_information_gain_by_hand(rows, bits):
    assert metrics.information_gain(counts_of(*rows)) == pytest.approx(bits, abs=1e-12)


@given(pairs=PAIRS)
def test_information_gain_is_scikit_learns_mutual_information_in_bits(pairs):
    labels, predictions = torch.tensor(pairs).T
    gain = metrics.information_gain(metrics.confusion(labels, predictions, 5))
    assert gain == pytest.approx(mutual_info_score(labels, predictions) / math.log(2), abs=1e-9)


@given(pairs=PAIRS)
def test_corrected_gain_is_no_less_than_0_and_no_more_than_the_plug_in_or_the_labels_entropy(pairs):
    labels, predictions = torch.tensor(pairs).T
    counts = metrics.confusion(labels, predictions, 5)
    most = min(metrics.information_gain(counts), metrics.entropy(counts.sum(1)))
    assert 0 <= metrics.information_gain_corrected(counts) <= most


def test_a_confusion_of_few_cells_is_not_corrected_upwards():
    counts = counts_of([4, 4, 0], [0, 4, 0], [0, 0, 4])  # 4 cells, 3 rows, 3 columns: a "bias" below 0
    assert metrics.information_gain_corrected(counts) == metrics.information_gain(counts)


def test_corrected_gain_by_hand():
    counts = counts_of([30, 10], [10, 30])  # bias: (4 - 2 - 2 + 1) / (2 * 80 ln 2) bits
    expected = metrics.information_gain(counts) - 1 / (160 * math.log(2))
    assert metrics.information_gain_corrected(counts) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes, per_class, left", [(10, 100, 0.1), (10, 40, 0.2), (20, 20, 0.6)])
def test_correction_takes_bias_away_and_most_where_tuples_are_many(classes, per_class, left):
    """Independent labels and predictions, of whom nothing can be learned: the plug-in gain is the bias alone."""
    random, labels = generator(0), torch.arange(classes).repeat(per_class)
    plug_in, corrected = 0, 0
    for _ in range(50):
        counts = metrics.confusion(labels, torch.randint(classes, labels.shape, generator=random), classes)
        plug_in += metrics.information_gain(counts)
        corrected += metrics.information_gain_corrected(counts)
    assert corrected < left * plug_in


def test_relative_information_is_gain_times_rho_over_n():
    assert metrics.relative_information(2.0, n=4, rho=3.0) == 1.5


def test_log_error_of_numbers_and_of_columns_takes_no_miss_at_half_a_one():
    assert metrics.log_error(0.75, 100) == -2
    assert metrics.log_error(1.0, 32) == metrics.log_error(1 - 1 / 64, 32) == -6
    table = pd.DataFrame({"accuracy": [0.5, 1.0, 1.0], "tuples": [10, 32, 64]})
    assert metrics.log_error(table.accuracy, table.tuples).tolist() == [-1, -6, -7]
    assert metrics.log_error(table.accuracy.to_numpy(), table.tuples.to_numpy()).tolist() == [-1, -6, -7]


def test_gain_per_mflop_counts_two_flops_a_mac():
    assert metrics.gain_per_mflop(3.0, 500_000) == 3
    table = pd.DataFrame({"gain": [3.0, 1.0], "macs": [500_000, 250_000]})
    assert metrics.gain_per_mflop(table.gain, table.macs).tolist() == [3, 2]


LABELS = torch.arange(3).repeat_interleave(torch.tensor([40, 50, 60]))


def measured(predict, ns=(1, 4), seed=0):
    return metrics.measure(predict, LABELS, list(ns), 2.0, lambda n: 100 * n, seed, per_class=30)


def noisy(chosen: torch.Tensor) -> torch.Tensor:
    """Right for an image of even number, else class 0; a tuple is judged by its first image."""
    return torch.where(chosen[:, 0] % 2 == 0, LABELS[chosen[:, 0]], 0)


def test_every_n_is_measured_under_both_protocols():
    rows = measured(noisy)
    assert [(row["protocol"], row["n"], row["tuples"]) for row in rows] == [
        ("disjoint", 1, 150), ("disjoint", 4, 10 + 12 + 15), ("random", 1, 90), ("random", 4, 90)
    ]
    assert all(set(row) == {
        "n", "protocol", "tuples", "n_accuracy", "information_gain", "information_gain_corrected", "relative_information", "macs_live",
    } for row in rows)


def test_a_rows_numbers_belong_together():
    for row in measured(noisy):
        assert row["macs_live"] == 100 * row["n"]
        assert row["relative_information"] == row["information_gain"] * 2.0 / row["n"]
        assert 0 <= row["information_gain_corrected"] <= row["information_gain"] <= math.log2(3)


def test_disjoint_tuples_of_one_give_the_plain_test_accuracy():
    plain = float((noisy(torch.arange(150)[:, None]) == LABELS).double().mean())
    assert measured(noisy)[0]["n_accuracy"] == plain


def test_a_perfect_predictor_is_measured_as_perfect():
    for row in measured(lambda chosen: LABELS[chosen[:, 0]]):
        assert row["n_accuracy"] == 1


def test_the_seed_decides_the_tuples_and_so_the_numbers():
    assert measured(noisy, seed=3) == measured(noisy, seed=3) != measured(noisy, seed=4)


def test_every_method_meets_the_same_tuples():
    first, second = [], []
    for seen in (first, second):
        measured(lambda chosen, seen=seen: seen.append(chosen) or LABELS[chosen[:, 0]])
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(first) == 2 * len(choices.PROTOCOLS)


def test_the_tuples_are_those_of_the_committed_records():
    seen = []
    measured(lambda chosen: seen.append(chosen) or LABELS[chosen[:, 0]])
    assert [each[0].tolist() for each in seen] == [[19], [3, 11, 35, 38], [33], [2, 5, 18, 31]]  # disjoint, then random

"""n-tuples: who shares a tuple, how often an image is used, how many tuples there are."""
import pytest
import torch
from conftest import generator
from hypothesis import given
from hypothesis import strategies as st

from sharedlabel import choices, data, tuples

MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)  # images of each digit in MNIST's test set


def a_test_set(sizes: list[int]) -> torch.Tensor:
    """Labels of a shuffled test set with so many images of each class."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return labels[torch.randperm(len(labels), generator=generator(3))]


SETS = st.lists(st.integers(1, 40), min_size=1, max_size=6).flatmap(
    lambda sizes: st.tuples(st.just(a_test_set(sizes)), st.integers(1, min(sizes)))  # labels, a possible n
)
PROTOCOLS = pytest.mark.parametrize("protocol", choices.PROTOCOLS)


@PROTOCOLS
@given(case=SETS)
def test_a_tuples_images_share_their_label_and_never_repeat(protocol, case):
    labels, n = case
    chosen = tuples.draw(protocol, labels, n, generator())
    assert chosen.shape[1] == n and chosen.dtype == torch.int64
    assert (labels[chosen] == labels[chosen[:, :1]]).all()
    assert all(len(row.unique()) == n for row in chosen)


@given(case=SETS)
def test_disjoint_tuples_use_every_image_once_but_for_a_classs_remainder(case):
    labels, n = case
    used = torch.bincount(tuples.disjoint(labels, n, generator()).flatten(), minlength=len(labels))
    assert used.max() == 1
    left_over = torch.bincount(labels[used == 0], minlength=int(labels.max()) + 1)
    assert torch.equal(left_over, torch.bincount(labels) % n)


def test_disjoint_tuples_of_one_are_the_whole_test_set():
    labels = a_test_set((7, 5, 9))
    assert sorted(tuples.disjoint(labels, 1, generator()).flatten().tolist()) == list(range(21))


# paper/notes.md: the tables' accuracies are whole numbers of hits over these counts
@pytest.mark.parametrize("n, tuple_count", [(1, 10_000), (25, 396), (40, 245), (80, 120)])
def test_mnists_test_set_gives_the_papers_number_of_disjoint_tuples(n, tuple_count):
    assert len(tuples.disjoint(a_test_set(MNIST_TEST), n, generator())) == tuple_count


def test_mnists_class_sizes_are_those_used_here(mnist):
    assert tuple(torch.bincount(mnist[1].labels).tolist()) == MNIST_TEST


@given(case=SETS, per_class=st.integers(1, 30))
def test_random_tuples_are_as_many_of_every_class(case, per_class):
    labels, n = case
    chosen = tuples.random(labels, n, generator(), per_class)
    assert torch.bincount(labels[chosen[:, 0]]).tolist() == [per_class] * (int(labels.max()) + 1)


def test_random_tuples_reach_every_image():
    labels = a_test_set((7, 5, 9))
    assert len(tuples.random(labels, 3, generator(), per_class=200).unique()) == len(labels)


@PROTOCOLS
def test_the_seed_alone_decides_the_tuples(protocol):
    labels = a_test_set((30, 40))
    first, again, other = (tuples.draw(protocol, labels, 5, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@PROTOCOLS
@pytest.mark.parametrize("n", [0, -1, 6, 2.0, True, "2"])
def test_an_impossible_n_is_refused_and_the_possible_ones_are_named(protocol, n):
    with pytest.raises(ValueError, match=f"^n: {n!r} is not allowed.* from 1 to 5 images") as error:
        tuples.draw(protocol, a_test_set((7, 5, 9)), n, generator())
    assert "\n" not in str(error.value) and "papermill's -p or -y, or the study's YAML" in str(error.value)


def test_a_refused_tuple_size_is_called_what_the_caller_calls_it():
    with pytest.raises(ValueError, match="^train_n: 6 is not allowed; .* from 1 to 5 images, all .* among these 21 "):
        data.check_tuple_size(a_test_set((7, 5, 9)), 6, "train_n")


def test_an_unknown_protocol_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="protocol: 'both' is unknown; allowed: disjoint, random"):
        tuples.draw("both", a_test_set((7, 5)), 2, generator())

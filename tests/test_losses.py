import math

import pytest
import torch

from sharedlabel import losses, tuples

LABELS = torch.tensor([0, 1, 0, 1])
OUTPUTS = torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 4.0]])


def cross_entropy(right: float, wrong: float) -> float:
    return math.log(math.exp(right) + math.exp(wrong)) - right


def test_balanced_loss_of_a_batch_worked_by_hand():
    # The means of the two labels' outputs are (1, 0) and (0, 2).
    same_label = (cross_entropy(1, 0) + cross_entropy(2, 0)) / 2
    standard = (cross_entropy(2, 0) + cross_entropy(0, 0) + cross_entropy(0, 0) + cross_entropy(4, 0)) / 4
    assert float(losses.average_same_label(OUTPUTS, LABELS)) == pytest.approx(same_label, rel=1e-6)
    assert float(losses.standard(OUTPUTS, LABELS)) == pytest.approx(standard, rel=1e-6)
    assert float(losses.balanced(OUTPUTS, LABELS, 0.25)) == pytest.approx(0.75 * same_label + 0.25 * standard, rel=1e-6)


def test_the_sum_over_all_labels_is_divided_by_all_labels_whichever_the_batch_has():
    outputs, labels = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0, 0, 2])  # none of label 1
    of_label_0 = math.log(math.exp(2) + 2) - 2  # of the mean output, (2, 0, 0)
    of_label_2 = math.log(math.exp(1) + 2) - 1
    assert float(losses.average_same_label(outputs, labels)) == pytest.approx((of_label_0 + of_label_2) / 3, rel=1e-6)
    assert float(losses.average_same_label(outputs, labels, 2)) == pytest.approx((of_label_0 + of_label_2) / 2, rel=1e-6)
    standard = losses.standard(outputs, labels)
    assert losses.balanced(outputs, labels, 0.5, 2) == pytest.approx(0.5 * (of_label_0 + of_label_2) / 2 + 0.5 * float(standard), rel=1e-6)


def test_lambda_one_is_the_standard_loss_of_the_same_batch():
    torch.manual_seed(0)
    outputs, labels = torch.randn(40, 10), torch.arange(40) % 10
    assert torch.equal(losses.balanced(outputs, labels, 1.0), losses.standard(outputs, labels))


def test_tuples_of_one_image_make_both_losses_the_same():
    torch.manual_seed(0)
    outputs, labels = torch.randn(10, 10), torch.randperm(10)
    torch.testing.assert_close(losses.average_same_label(outputs, labels), losses.standard(outputs, labels))


def test_a_balanced_epoch_has_one_tuple_of_every_class_a_batch_and_no_image_twice():
    labels = torch.tensor([0] * 7 + [1] * 9 + [2] * 6)
    batches = tuples.one_of_each_class(labels, 2, torch.Generator().manual_seed(0))
    assert batches.shape == (3, 3, 2)  # one pass over the smallest class, of 6 images
    assert torch.equal(labels[batches], torch.arange(3)[None, :, None].expand(3, 3, 2))
    assert batches.flatten().unique().numel() == batches.numel()
    stream = torch.Generator().manual_seed(0)
    first, second = (tuples.one_of_each_class(labels, 2, stream) for _ in range(2))
    assert torch.equal(first, batches) and not torch.equal(first, second)  # another epoch has other tuples


def test_batches_of_fewer_tuples_than_classes_cut_such_an_epoch_at_random():
    labels = torch.arange(6).repeat_interleave(9)
    batches = tuples.of_different_classes(labels, 4, 2, torch.Generator().manual_seed(0))
    assert batches.shape == (6, 2, 4)  # 2 rounds of 6 classes, 2 at once
    assert (labels[batches] == labels[batches[:, :, :1]]).all() and batches.flatten().unique().numel() == batches.numel()
    for classes in labels[batches[:, :, 0]].view(2, 6):
        assert classes.sort().values.tolist() == list(range(6))  # every round has each class once
    pairs = labels[tuples.of_different_classes(labels, 1, 2, torch.Generator().manual_seed(0))[:, :, 0]]
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) > 6  # not the same classes together every time


def test_a_batch_of_every_class_is_what_it_was_before_it_could_be_cut():
    labels = torch.tensor([0] * 7 + [1] * 9 + [2] * 6)
    whole, cut = (of(torch.Generator().manual_seed(0)) for of in (
        lambda stream: tuples.one_of_each_class(labels, 2, stream), lambda stream: tuples.of_different_classes(labels, 2, 3, stream),
    ))
    assert torch.equal(whole, cut)


@pytest.mark.parametrize("at_once", [0, -1, 2, 6])
def test_tuples_that_do_not_cut_the_classes_into_equal_parts_are_refused(at_once):
    with pytest.raises(ValueError, match=f"^tuples_per_batch: {at_once} is not allowed; batches cut the 3 classes into equal parts"):
        tuples.of_different_classes(torch.arange(3).repeat(5), 2, at_once, torch.Generator())


@pytest.mark.parametrize("size", [0, 7])
def test_a_class_with_fewer_images_than_a_tuple_is_refused(size):
    with pytest.raises(ValueError, match=f"tuple_size: {size} .* from 1 to 6 images, all that the smallest class has among these 13 "):
        tuples.one_of_each_class(torch.tensor([0] * 7 + [1] * 6), size, torch.Generator())

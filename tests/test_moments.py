"""The law of large tuples, held against tuples of Gaussian outputs that are really drawn, and against arithmetic by hand."""
import math

import pytest
import torch
from conftest import generator
from hypothesis import given
from hypothesis import strategies as st

from sharedlabel import moments, predictors


def gaussian_outputs(count: int = 20_000, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose classes overlap and have covariances of their own."""
    labels = torch.arange(count) % classes
    mean = torch.randn(classes, classes, generator=generator(seed))
    mix = torch.randn(classes, classes, classes, generator=generator(seed + 1))
    noise = torch.randn(count, classes, generator=generator(seed + 2))
    return mean[labels] + 1.5 * torch.einsum("nd,nde->ne", noise, mix[labels]), labels


def test_moments_are_those_of_each_class():
    outputs, labels = gaussian_outputs(200)
    found = moments.class_moments(outputs, labels)
    for y in range(4):
        torch.testing.assert_close(found.mean[y], outputs[labels == y].double().mean(0))
        torch.testing.assert_close(found.covariance[y], outputs[labels == y].double().T.cov())
    centred = outputs.double() - found.mean[labels]
    torch.testing.assert_close(found.pooled_covariance, centred.T @ centred / (len(labels) - 4))


def test_a_class_with_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="class 1 has 1 images; a covariance needs two"):
        moments.class_moments(torch.randn(5, 3), torch.tensor([0, 0, 1, 2, 2]))


def test_one_output_is_enough():
    found = moments.class_moments(torch.tensor([[0.0], [2.0], [1.0], [5.0]]), torch.tensor([0, 0, 1, 1]))
    assert found.covariance.flatten().tolist() == [2, 8]


def test_of_two_classes_the_law_is_the_normal_distribution():
    """P(z_0 > z_1) = Phi(difference of the means / its standard deviation), at every n."""
    mean, covariance = torch.tensor([[1.0, 0.6], [0.0, 0.0]]).double(), torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()
    given = moments.ClassMoments(mean, covariance.expand(2, 2, 2), torch.tensor([100, 100]))
    found = moments.predicted_confusion(given, [1, 4, 25], generator(), draws=100_000)
    for n, confusion in zip((1, 4, 25), found):
        expected = 0.5 * (1 + math.erf(0.4 / math.sqrt(2.0 / n) / math.sqrt(2)))  # the variance of z_0 - z_1 is 2 + 1 - 2 * 0.5
        assert float(confusion[0, 0]) == pytest.approx(expected, abs=0.005)
    assert torch.allclose(found.sum(2), torch.ones(3, 2).double())


@given(seed=st.integers(0, 1000))
def test_the_law_predicts_what_drawn_tuples_of_gaussian_outputs_measure(seed):
    outputs, labels = gaussian_outputs(seed=seed)
    found = moments.predicted_confusion(moments.class_moments(outputs, labels), [1, 3, 10], generator(seed), draws=5000)
    for n, confusion in zip((1, 3, 10), found):
        members = torch.stack([(labels == y).nonzero().flatten() for y in range(4)])
        chosen = members[:, torch.randint(members.shape[1], (3000, n), generator=generator(seed))].flatten(0, 1)
        hits = predictors.mean_of_logits(outputs, chosen) == labels[chosen[:, 0]]
        assert float(hits.double().mean()) == pytest.approx(float(confusion.diagonal().mean()), abs=0.03)


def test_in_the_limit_a_class_is_named_by_its_mean():
    mean = torch.tensor([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 3.0]]).double()  # class 1 is taken for 0
    given = moments.ClassMoments(mean, torch.eye(3).double().expand(3, 3, 3), torch.tensor([9, 9, 9]))
    assert moments.limit_confusion(given).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert torch.equal(moments.predicted_confusion(given, [10**9], generator())[0], moments.limit_confusion(given))


@given(seed=st.integers(0, 1000))
def test_under_linear_discriminant_analysis_every_class_wins_in_the_limit(seed):
    outputs, labels = gaussian_outputs(2000, seed=seed)
    weight, bias = moments.linear_discriminant(moments.class_moments(outputs, labels))
    scores = outputs.double() @ weight.T + bias
    assert torch.equal(moments.limit_confusion(moments.class_moments(scores, labels)), torch.eye(4).double())


def test_discriminants_of_singular_covariances_are_finite():
    outputs, labels = gaussian_outputs(400)
    for flat in (outputs[:, :2].repeat(1, 2), torch.zeros(400, 3)):
        for shrinkage in (1e-3, 0):
            assert all(t.isfinite().all() for t in moments.linear_discriminant(moments.class_moments(flat, labels), shrinkage))


def test_without_shrinkage_a_constant_output_takes_nothing_from_the_others():
    outputs, labels = gaussian_outputs(400)
    found = moments.linear_discriminant(moments.class_moments(torch.cat([outputs, torch.ones(len(outputs), 1)], 1), labels), 0)
    expected = moments.linear_discriminant(moments.class_moments(outputs, labels), 0)
    torch.testing.assert_close(found[0][:, :-1], expected[0])
    torch.testing.assert_close(found[1], expected[1])


def test_linear_discriminant_by_hand():
    """Equal spherical covariances: nearest class mean."""
    mean = torch.tensor([[2.0, 0.0], [0.0, 4.0]]).double()
    given = moments.ClassMoments(mean, 2 * torch.eye(2).double().expand(2, 2, 2), torch.tensor([50, 50]))
    weight, bias = moments.linear_discriminant(given, shrinkage=0)
    torch.testing.assert_close(weight, mean / 2)
    torch.testing.assert_close(bias, torch.tensor([-1.0, -4.0]).double())


@pytest.mark.parametrize("copies, expected", [(1, 8), (8, 1), (2, 4)])
def test_a_tuple_is_worth_as_many_images_as_are_independent_in_it(copies, expected):
    outputs, labels = gaussian_outputs(32_000)
    members = torch.stack([(labels == y).nonzero().flatten() for y in range(4)])
    chosen = members[:, torch.randint(members.shape[1], (2000, 8 // copies), generator=generator())].flatten(0, 1)
    means = outputs[chosen].mean(1)  # copies of an image do not move the mean
    assert moments.effective_size(moments.class_moments(outputs, labels), means, labels[chosen[:, 0]]) == pytest.approx(expected, rel=0.1)

"""The paper's networks: exact counts, and initialisation from one stream alone."""
import pytest
import torch
from conftest import CLASSES, SHAPE, generator, labelled, model, total

from sharedlabel import models

MODELS = pytest.mark.parametrize("name", models.MODELS)

# model, input, classes, prunable weights: as printed in the paper's tables (params_total of each row)
COUNTS = [
    ("fc", (1, 28, 28), 10, 119_400),
    ("conv", (1, 28, 28), 10, 260_384),
    ("conv", (3, 32, 32), 10, 337_760),
    ("conv", (3, 32, 32), 100, 3_286_880),
    ("conv", (3, 64, 64), 200, 26_224_480),
    ("resnet18", (3, 32, 32), 10, 11_172_032),
    ("wideresnet20", (3, 32, 32), 100, 1_092_960),
]


@pytest.mark.parametrize("name, shape, classes, count", COUNTS)
def test_the_papers_prunable_counts(name, shape, classes, count):
    with torch.device("meta"):  # shapes without memory
        assert total(models.build(name, shape, classes, torch.Generator("cpu"))) == count


def test_every_network_has_a_count_of_the_papers():
    assert {row[0] for row in COUNTS} == set(models.MODELS)


@MODELS
def test_one_output_a_class(name):
    assert model(name)(labelled(2)[0]).shape == (2, CLASSES)


@MODELS
def test_the_logits_may_be_negative(name):
    assert (model(name)(labelled(8)[0]) < 0).any()


@MODELS
def test_the_seed_alone_decides_the_weights(name):
    first = model(name, seed=1)
    torch.rand(3)  # what ran before does not matter
    again, other = model(name, seed=1), model(name, seed=2)
    weights = zip(first.parameters(), again.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b, _ in weights)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@MODELS
def test_building_leaves_the_global_stream_alone(name):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model(name)
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_model_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="model: 'vgg' is unknown; allowed: fc, conv"):
        models.build("vgg", SHAPE, CLASSES, generator())

"""The paper's networks: exact counts, and initialisation from one stream alone."""
import pandas as pd
import pytest
import torch
from conftest import CLASSES, SHAPE, generator, labelled, model, total

from sharedlabel import ROOT, choices, heads, models, pruning

MODELS = pytest.mark.parametrize("name", choices.MODELS)

DATA = {"mnist": ((1, 28, 28), 10), "cifar10": ((3, 32, 32), 10), "cifar100": ((3, 32, 32), 100), "tinyimagenet": ((3, 64, 64), 200)}
ROWS = [row for table in ("table_1", "table_2") for row in pd.read_csv(ROOT / "paper" / f"{table}.csv").to_dict("records")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['dataset']}-{row['model']}-{row['method']}-rho{row['rho']}")
def test_the_papers_counts(row):
    """Total and what is left of it, of every row of Tables 1 and 2; a head is pruned apart, at its own rho."""
    shape, classes = DATA[row["dataset"]]
    with torch.device("meta"):  # shapes without memory
        network = models.build(row["model"], shape, classes, torch.Generator("cpu"))
        parts = [(total(network), row["rho"])]
        if row["method"] == "cnn_lstm":
            features = models.embedder(network)(torch.empty(2, *shape)).shape[1]
            parts.append((total(heads.LSTMHead(features, classes)), row["head_rho"]))
    assert sum(count for count, _ in parts) == row["params_total"]
    assert sum(pruning.remaining_weights(count, rho) for count, rho in parts) == row["params_remaining"]


def test_every_network_of_the_papers_tables_can_be_built():
    assert {row["model"] for row in ROWS} <= set(choices.MODELS)


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


@MODELS
def test_he_initialisation_has_variance_two_over_fan_in_and_no_bias(name):
    network = models.build(name, DATA["cifar10"][0], 10, generator(3), "he")
    layers = [module for module in network.modules() if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear))]
    scaled = torch.cat([layer.weight.detach().flatten() * (layer.weight[0].numel() / 2) ** 0.5 for layer in layers])
    # normal: over so many weights mean, variance and fourth moment are known to a few parts in a hundred
    assert scaled.mean().abs() < 0.02 and (scaled.var() - 1).abs() < 0.02 and (scaled.pow(4).mean() - 3).abs() < 0.2
    assert all(layer.bias is None or not layer.bias.any() for layer in layers)
    again = models.build(name, DATA["cifar10"][0], 10, generator(3), "he")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_an_unknown_initialisation_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="initialisation: 'xavier' is unknown; allowed: pytorch, he"):
        models.build("fc", SHAPE, CLASSES, generator(), "xavier")


@pytest.mark.parametrize("model, embedding", [("resnet18", "logits"), ("conv", "features")])
def test_a_network_whose_embedding_is_not_the_registered_one_is_refused(model, embedding, monkeypatch):
    monkeypatch.setitem(choices.ALL_MODELS, model, choices.ALL_MODELS[model]._replace(embedding=embedding))
    with pytest.raises(ValueError, match=f"{model}: a network has a last layer `fc` if, and only if, it is registered with embedding="):
        models.build(model, (3, 32, 32), 10, torch.Generator())


def test_an_unknown_model_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="model: 'vgg' is unknown; allowed: fc, conv"):
        models.build("vgg", SHAPE, CLASSES, generator())

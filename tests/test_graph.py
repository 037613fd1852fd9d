"""The graph method's two networks: what passes between the copies, and what the order of a tuple changes."""
import pytest
import torch
from conftest import SHAPE, generator, labelled, model
from test_predictors import CNN, execute

from sharedlabel import choices, costs, heads, live, models, predictors, pruning
from sharedlabel.runs import parameters

N = 3


def pruned(name: str):
    network = model(name)
    pruning.prune(network, "synflow", 1.0, labelled(), iterations=4)
    return network.double()


def tuples(count: int = 2) -> torch.Tensor:
    return torch.randn(count, N, *SHAPE, generator=generator(3)).double()


def columns(x: torch.Tensor, small: live.LiveNetwork) -> torch.Tensor:
    return x.flatten(2)[..., small.columns]


def copies(name: str, share: float) -> tuple[predictors.MessagePassingNetwork, torch.Tensor]:
    small = live.build(pruned(name), SHAPE)
    predictors.add_message_passing(small, N, share)
    return predictors.MessagePassingNetwork(small, N).eval(), columns(tuples(), small)


def passed(network, x: torch.Tensor, share: float) -> torch.Tensor:
    """The same, another way: the masked Sequential layer by layer, one tuple after the other."""
    outputs = []
    for images in x:
        for layer in network:
            images = layer(images)
            if isinstance(layer, torch.nn.ReLU):
                images = torch.stack([(1 - share) * images[i] + share * sum(images) / N for i in range(N)])
        outputs.append(images.mean(0))
    return torch.stack(outputs)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("by_maps", [False, True], ids=["compiled", "maps"])
@pytest.mark.parametrize("name", ["fc", "conv"])
def test_the_copies_of_every_neuron_move_towards_their_mean(name, by_maps, share):
    network, x = copies(name, share)
    network.cnn.by_maps = by_maps
    torch.testing.assert_close(network(x), passed(pruned(name), tuples(), share), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", choices.MODELS)
def test_the_order_of_the_copies_changes_nothing(name):
    network, x = copies(name, 0.5)
    torch.testing.assert_close(network(x), network(x[:, torch.tensor([2, 0, 1])]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", choices.MODELS)
def test_copies_of_one_image_are_the_plain_network(name):
    network, x = copies(name, 0.5)
    plain = live.build(pruned(name), SHAPE).eval()
    torch.testing.assert_close(network(x[:, :1].expand_as(x)), plain(x[:, 0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", choices.MODELS)
def test_something_passes(name):
    network, x = copies(name, 0.5)
    silent, _ = copies(name, 0.0)
    assert not torch.allclose(network(x), silent(x))


@pytest.mark.parametrize("name", ["fc", "resnet18"])
def test_what_passes_learns_alike_both_ways(name):
    gradients = []
    for by_maps in (False, True):
        network, x = copies(name, 0.3)
        network.train().cnn.by_maps = by_maps
        network(x.requires_grad_()).square().sum().backward()
        gradients.append((network.cnn.learning.grad, x.grad))
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-10)


def joined(name: str) -> tuple[predictors.JointClassifier, torch.Tensor, torch.nn.Sequential]:
    """With it its masked second classifier."""
    network = models.embedder(pruned(name))
    small = live.build(network, SHAPE).eval()
    x = columns(tuples(), small)
    features = small(x[0]).shape[1]
    classifier = heads.second_classifier(N * features, 4)
    pruning.prune(classifier, "synflow", 0.7, (torch.empty(1, N, 1, features), None), iterations=3)
    return predictors.JointClassifier(small, live.build(classifier.double(), (N, 1, features)), N), x, classifier


@pytest.mark.parametrize("name", choices.MODELS)
def test_a_second_classifier_reads_the_embeddings_side_by_side(name):
    network, x, classifier = joined(name)
    embeddings = torch.stack([network.cnn(images).flatten() for images in x])
    torch.testing.assert_close(network(x), classifier(embeddings), rtol=0, atol=1e-12)
    assert not torch.allclose(network(x), network(x[:, torch.tensor([2, 0, 1])]))


def test_the_second_classifiers_counts():
    classifier = heads.second_classifier(5 * 10, 10)
    assert costs.part_costs(classifier, (5, 1, 10), 1.0) == {
        "params_total": 6_000, "params_remaining": 600, "macs_dense": 6_000, "macs_live": 0,
    }


def test_a_graph_network_reads_the_n_that_it_is_built_for():
    with pytest.raises(parameters.ParameterError, match=r"n: \[2, 5\] is not allowed; .* built for train_n = 5 images, .* \[5\]"):
        parameters.check("graph", {"n": [2, 5]})


@pytest.mark.parametrize("images", [2, 4, 2 * N])
def test_a_graph_network_refuses_tuples_of_another_n(images):
    for network, x in (copies("fc", 0.5), joined("fc")[:2]):
        with pytest.raises(ValueError, match=f"n: tuples of {images} images; this graph network was built for {N}"):
            network(x.repeat(1, 2, 1)[:, :images])


@pytest.mark.parametrize("architecture", ["embedding", "neuron"])
def test_a_graph_network_learns_end_to_end(tmp_path, architecture):
    given = CNN | {"max_epochs": 8, "architecture": architecture, "train_n": 4, "n": [4], "head_rho": 1.0, "learning_rate": 5e-3}
    record = execute("graph", tmp_path, **given)
    found = {row["protocol"]: row for row in record["measures"]}
    assert found["random"]["n_accuracy"] > 0.5  # guessing gives 0.1
    assert set(record["network"]) == ({"cnn", "head"} if architecture == "embedding" else {"cnn"})
    macs = {name: part["macs_live"] for name, part in record["network"].items()}
    assert found["random"]["macs_live"] == 4 * macs["cnn"] + macs.get("head", 0) and all(macs.values())

"""An exported network computes in onnxruntime what the predictor computes in PyTorch."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_runs import RUNS, make
from torch import nn

import sharedlabel
from sharedlabel import heads, live, pruning
from sharedlabel.data.facts import Facts
from sharedlabel.inference import Predictor, networks

onnx = pytest.importorskip("onnx", reason="needs the extra `export`, which requirements.lock has")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`, which requirements.lock has")
NOT_EXPORTED = "LSTM that averages orders"
COMMITTED = (  # whole names, as the beginning of one may come to be that of two
    "mnist-conv-baseline-synflow-rho3.5-seed0-5482ba11", "cifar10-resnet18-baseline-synflow-rho4.5-seed0-28c0c3ba",
    "cifar100-wideresnet20-balanced-synflow-rho2-seed0-b82d5a2b", "cifar10-resnet18-cnn_lstm-synflow-rho4.5-n15-seed0-0132dab2",
    "cifar10-resnet18-head_control-synflow-rho4.5-n1-seed0-01e2a537",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def check_export(net, file, within: float = 1e-5) -> None:
    net.export(file)
    session = onnxruntime.InferenceSession(file)
    for n in (1, 2, 10, 40) if net.stages.n is None else (net.stages.n,):
        pixels = torch.randint(net.facts.white + 1, (n, *net.facts.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
        expected = net.combine(net.embed(pixels)[None]).softmax(1).numpy()
        np.testing.assert_allclose(session.run(["probabilities"], {"pixels": pixels.numpy()})[0], expected, rtol=0, atol=within)


@pytest.mark.slow
@pytest.mark.parametrize("what", [what for what in RUNS if what != NOT_EXPORTED])
def test_every_method_on_digits(what, results, tmp_path):
    check_export(sharedlabel.load(make(what, results)), tmp_path / "net.onnx")


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_networks(name, tmp_path):
    check_export(sharedlabel.load(name), tmp_path / "net.onnx")


def test_the_file_names_its_classes_and_record_and_is_small(tmp_path):
    net = sharedlabel.load(COMMITTED[0])
    net.export(tmp_path / "net.onnx")
    properties = {each.key: each.value for each in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(properties["classes"]) == net.classes and properties["record"] == net.record.stem and properties["white"] == "255"
    assert (tmp_path / "net.onnx").stat().st_size < 20_000  # the dense network's weights are 1 MB


@pytest.mark.parametrize("layers", [
    [nn.Conv2d(3, 4, 3, padding="same"), nn.Flatten()], [nn.Conv2d(3, 4, (2, 4), padding="same"), nn.Flatten()],
    [nn.Conv2d(3, 4, 3, padding="valid"), nn.Flatten()], [nn.Conv2d(3, 4, 3, 2, (1, 0)), nn.Flatten()],
    [nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Flatten()], [nn.Conv2d(3, 4, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Flatten()],
    [nn.Conv2d(3, 4, 3), nn.AvgPool2d((3, 2), padding=1), nn.Flatten()],
], ids=str)
def test_layers_that_a_network_of_ones_own_may_have(layers, tmp_path):
    check_export(of_layers(layers), tmp_path / "net.onnx")


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2, ceil_mode=True), nn.AvgPool2d(2, divisor_override=3)], ids=str)
def test_an_average_that_onnx_has_not_is_refused(pool, tmp_path):
    with pytest.raises(ValueError, match="layer '1': an AvgPool2d with ceil_mode or divisor_override is not exported"):
        of_layers([nn.Conv2d(3, 4, 3), pool, nn.Flatten()]).export(tmp_path / "net.onnx")


def of_layers(layers: list[nn.Module]) -> Predictor:
    """A predictor of images of 9 x 10 pixels by these layers and a linear one."""
    shape, network = (3, 9, 10), nn.Sequential(*layers)
    network.append(nn.Linear(network(torch.zeros(1, *shape)).shape[1], 5))
    pruning.prune(network, "synflow", 0.3, (torch.zeros(1, *shape), None), 3)
    facts = Facts(shape, [0.01] * 3, [-1.0] * 3, list("abcde"))
    stages = networks.Stages(networks.on_images(live.build(network.eval(), shape)).eval(), heads.Mean())
    return Predictor(Path("any.json"), {}, facts, stages)


def test_random_permutations_are_refused(results, tmp_path):
    with pytest.raises(ValueError, match="order: a head that averages over random permutations is not exported"):
        sharedlabel.load(make(NOT_EXPORTED, results)).export(tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_without_the_extra_it_is_said_what_to_install(monkeypatch, tmp_path):
    net = sharedlabel.load(COMMITTED[0])
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "sharedlabel.inference.export", raising=False)
    monkeypatch.delattr("sharedlabel.inference.export", raising=False)
    with pytest.raises(ImportError, match=r"an export needs onnx, .*pip install onnx onnxruntime"):
        net.export(tmp_path / "net.onnx")

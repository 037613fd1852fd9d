"""benchmarks/times.py: what a run's training takes at most; pages that benchmarks write from records alone; which steps are eager."""
import importlib

import pytest

from sharedlabel import ROOT
from sharedlabel.runs import parameters


@pytest.fixture
def times(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("times")


def test_what_bfloat16_costs_is_what_the_records_say(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    assert importlib.import_module("precision").report() == (ROOT / "benchmarks" / "precision.md").read_text()


def test_the_gpu_benchmarks_eager_step_is_one_that_is_not_recorded(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    gpu = importlib.import_module("gpu")
    monkeypatch.setattr(gpu.training, "make_step", lambda network, *_: lambda x, y: network)
    network = gpu.pruned("MNIST Conv, rho 3.5")
    assert [gpu.stepper(network, way, "cpu")().graphable for way in gpu.WAYS] == [way != "eager" for way in gpu.WAYS]


def run(method: str = "baseline", **given) -> dict:
    given = {"dataset": "mnist", "model": "fc", "prune_iterations": 30} | given
    return {"method": method} | parameters.check(method, given)


def test_a_run_takes_its_epochs_and_one_that_collapses_its_pruning_alone(times):
    for pruner, trains in (("synflow", True), ("magnitude", False)):  # magnitude leaves nothing of the first layer
        one, many = (times.run_seconds(run(pruner=pruner, rho=2.0, max_epochs=epochs)) for epochs in (1, 100))
        assert one > 0 and (one < many) == trains and one <= many


def test_a_set_head_takes_its_own_epochs_and_not_its_cnns(times):
    one, many, other = (times.run_seconds(run("set_head", **given)) for given in (
        {"head_max_epochs": 1}, {"head_max_epochs": 50}, {"head_max_epochs": 1, "max_epochs": 1}))
    assert 0 < one == other and many == pytest.approx(50 * one)


@pytest.mark.parametrize("pruner, trains", [("synflow", True), ("magnitude", False)])
def test_a_head_that_collapses_is_not_trained(times, pruner, trains):
    assert (times.run_seconds(run("cnn_lstm", head_pruner=pruner, head_rho=3.75)) > 0) == trains


@pytest.mark.parametrize("method, ten, every", [
    ("balanced", {"tuple_size": 4, "tuples_per_batch": 10}, {"tuple_size": 4, "tuples_per_batch": 0}),
    ("cnn_lstm", {"train_n": 5, "head_batch_size": 50}, {"train_n": 5, "head_batch_size": 0}),
])
def test_a_batch_of_every_class_takes_what_as_many_tuples_take(times, method, ten, every):
    assert times.run_seconds(run(method, rho=1.0, **every)) == pytest.approx(times.run_seconds(run(method, rho=1.0, **ten)), rel=0.5)


def test_of_a_readout_only_the_cnns_run_is_counted_and_of_a_check_after_training_the_dense_network_too(times):
    assert times.run_seconds(run("readout", rho=1.0)) == 0.0
    before, after = (times.run_seconds(run("sanity_check", rho=1.0, max_epochs=1, **given)) for given in (
        {"check": "shuffled"}, {"check": "trained_first", "dense_max_epochs": 50}))
    assert after > 5 * before


@pytest.mark.parametrize("dataset", ["fashionmnist", "cifar10", "tinyimagenet"])
def test_every_data_set_of_a_study_is_known(times, dataset):
    assert times.run_seconds(run("small_dense", dataset=dataset, model="linear", pool=4)) > 0

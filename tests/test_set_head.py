"""The method notebook `set_head`, on digits."""
import pytest
import torch
from conftest import accuracies, run_notebook

from sharedlabel import heads
from sharedlabel.runs import parameters

CNN = {"dataset": "digits", "model": "conv", "rho": 1.5, "n": [1, 5], "max_epochs": 4, "learning_rate": 2e-3, "cnn_method": "baseline",
       "prune_iterations": 10, "tuples_per_class": 20, "device": "cpu"}
HEAD = {"head_max_epochs": 6, "head_learning_rate": 3e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results with the baseline CNN in them that a head starts from."""
    folder = tmp_path_factory.mktemp("sets")
    before = parameters.prerequisite(parameters.check("set_head", CNN))
    run_notebook("baseline", {name: value for name, value in before.items() if name not in ("method", "results")}, folder)
    return folder


@pytest.mark.parametrize("kind", heads.SET_HEADS)
@pytest.mark.parametrize("train_n", [1, 5])
def test_a_set_head_learns_with_as_many_parameters_as_the_lstm_head(folder, kind, train_n):
    record = run_notebook("set_head", CNN | HEAD | {"set_head": kind, "train_n": train_n}, folder)
    head, cnn, width = record["network"]["head"], record["network"]["cnn"], len(record["checkpoint"]["readout.columns"])
    assert 0.98 * 171_710 < head["params_total"] == head["params_remaining"] <= 171_710
    assert head["units"] == heads.widest_set_head(kind, width, 10, 171_710)
    stored = sum(tensor.numel() for name, tensor in record["checkpoint"].items() if name.startswith("readout.") and "columns" not in name)
    assert stored == head["params_total"]
    macs = {row["n"]: row["macs_live"] for row in record["measures"]}
    assert macs[1] == cnn["macs_live"] + head["macs_live"]
    assert macs[5] == 5 * macs[1] if train_n == 1 else macs[5] < 5 * macs[1]
    found, curve = accuracies(record), record["epochs"]["curves"]["validation_loss"]
    assert min(curve) < 0.9 * curve[0] and found["random", 5] > 0.4 and found["random", 5] > found["random", 1]


def test_a_smaller_head_is_asked_for_by_the_rho_of_the_lstm_head(folder):
    record = run_notebook("set_head", CNN | HEAD | {"head_rho": 2.0, "head_max_epochs": 1}, folder)
    assert record["network"]["head"]["params_total"] <= 1718 and torch.isfinite(record["checkpoint"]["readout.phi.0.weight"]).all()


def test_a_head_of_no_unit_is_refused(folder):
    with pytest.raises(ValueError, match="head_rho: 18 parameters are left; deep_sets of [0-9]+ features with one hidden unit has [0-9]+"):
        run_notebook("set_head", CNN | HEAD | {"head_rho": 4.0}, folder)


@pytest.mark.parametrize("given, message", [
    ({"set_head": "transformer"}, "set_head: 'transformer' is unknown; allowed: deep_sets, attention"),
    ({"train_n": 0}, "train_n: 0 is not allowed; it is a number >= 1"), ({"head_rho": -1.0}, "head_rho: -1.0 is not allowed"),
])
def test_what_a_set_head_cannot_be_is_refused_in_one_line(given, message):
    with pytest.raises(parameters.ParameterError, match=message) as error:
        parameters.check("set_head", given)
    assert "\n" not in str(error.value)

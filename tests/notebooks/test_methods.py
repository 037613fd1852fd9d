"""Method notebooks: how they are committed, and what the records of those that average logits say after a run on digits."""
import json
import math
import shutil

import papermill
import pytest
import torch

from sharedlabel import ROOT, choices, data
from sharedlabel.analysis import tables
from sharedlabel.runs import checkpoints, names, parameters

NOTEBOOKS = sorted((ROOT / "notebooks" / "methods").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)


# ---- as committed


def cells(notebook) -> list[dict]:
    return json.loads(notebook.read_text())["cells"]


@EVERY
def test_a_method_notebook_is_committed_without_outputs(notebook):
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert "papermill" not in json.loads(notebook.read_text())["metadata"]


@EVERY
def test_a_method_notebook_opens_with_a_title_and_its_question(notebook):
    first = cells(notebook)[0]
    assert first["cell_type"] == "markdown" and "".join(first["source"]).startswith("# ")
    assert "**Question.**" in "".join(first["source"])


@EVERY
def test_a_method_notebook_has_one_parameters_cell_and_checks_it_at_once(notebook):
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert tagged == code[:1]
    assert f'from_notebook("{notebook.stem}", globals())' in "".join(code[1]["source"])


@EVERY
def test_a_method_notebook_asks_for_the_kernel_python3(notebook):
    assert json.loads(notebook.read_text())["metadata"]["kernelspec"]["name"] == "python3"


# ---- executed

GIVEN = {
    "dataset": "digits", "model": "conv", "rho": 1.5, "n": [1, 5, 25], "max_epochs": 6, "learning_rate": 2e-3,
    "prune_iterations": 30, "tuples_per_class": 20, "device": "cpu",
}


def execute(tmp_path, method: str = "baseline", **given) -> None:
    """Run a method's notebook as a grid does, its results going to tmp_path."""
    papermill.execute_notebook(
        str(ROOT / "notebooks" / "methods" / f"{method}.ipynb"), str(tmp_path / "executed.ipynb"),
        GIVEN | {"results": str(tmp_path / "results")} | given,
        kernel_name="python3", progress_bar=False, cwd=str(ROOT),
    )


def saved(tmp_path) -> list:
    return list((tmp_path / "results").rglob("*.json"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of one whole run."""
    tmp_path = tmp_path_factory.mktemp("run")
    execute(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def record(run) -> dict:
    file, = saved(run)
    return json.loads(file.read_text())


def test_a_run_leaves_one_record_of_its_name_and_a_checkpoint(run, record):
    params = parameters.check("baseline", GIVEN)
    assert record["params"] == parameters.identity("baseline", params)
    assert saved(run) == [names.record_path(record["params"], run / "results")]
    assert saved(run)[0].with_suffix(".safetensors").exists()


def test_a_record_counts_exactly(record):
    weights = 9 * 32 + 9 * 32 * 32 + 32 * 64 * 10
    part = record["network"]["cnn"]
    assert part["params_total"] == weights
    assert part["params_remaining"] == math.ceil(weights / 10**1.5)
    assert part["macs_dense"] == 64 * (9 * 32 + 9 * 32 * 32) + 32 * 64 * 10
    assert part["params_remaining"] <= part["macs_live"] < part["macs_dense"] / 10


def test_a_checkpoint_has_no_more_values_than_weights_remain(run, record):
    tensors = checkpoints.load(saved(run)[0])
    values = sum(len(t) for name, t in tensors.items() if name.endswith("values"))
    assert 0 < values <= record["network"]["cnn"]["params_remaining"]


def test_a_record_measures_every_n_under_both_protocols(record):
    sizes = torch.bincount(data.load("digits")[1].labels)
    expected = {("disjoint", n): int((sizes // n).sum()) for n in (1, 5, 25)} | {("random", n): 200 for n in (1, 5, 25)}
    assert {(row["protocol"], row["n"]): row["tuples"] for row in record["measures"]} == expected


def test_a_trained_network_beats_chance_by_far_and_gains_from_sharing(record):
    found = {(row["protocol"], row["n"]): row for row in record["measures"]}
    assert found["disjoint", 1]["n_accuracy"] > 0.5
    assert found["disjoint", 5]["n_accuracy"] > found["disjoint", 1]["n_accuracy"]
    for (_, n), row in found.items():
        assert 0 <= row["n_accuracy_low"] <= row["n_accuracy_high"] <= 1
        assert 0 < row["information_gain_corrected"] <= row["information_gain"] <= math.log2(10) + 1e-6
        assert row["relative_information"] == pytest.approx(row["information_gain"] * 1.5 / n, rel=1e-5)
        assert row["macs_live"] == n * record["network"]["cnn"]["macs_live"]


def test_a_record_has_the_whole_learning_curve(record):
    epochs = record["epochs"]
    assert {len(curve) for curve in epochs["curves"].values()} == {6}
    assert set(epochs["curves"]) == {"train_loss", "validation_loss", "n_accuracy_1", "n_accuracy_5", "n_accuracy_25"}
    assert epochs["best"] == 1 + epochs["curves"]["validation_loss"].index(min(epochs["curves"]["validation_loss"]))


def test_a_record_says_where_it_comes_from(record):
    found = record["provenance"]
    assert found["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert found["device"] == "cpu" and found["seconds"] > 0 and found["time"].startswith("20")


def test_a_run_loads_as_a_tidy_table(run):
    table = tables.load_records(run / "results")
    assert len(table) == 6 and set(table.status) == {"ok"}


def test_layer_collapse_by_hand_is_an_error_that_names_what_the_network_bears(tmp_path):
    told = r"LayerCollapse: rho: 5.0 leaves 1 of .* it bears rho <= 3\.9"
    with pytest.raises(papermill.PapermillExecutionError, match=told):
        execute(tmp_path, rho=5.0)
    assert not saved(tmp_path)


def test_layer_collapse_in_a_grid_is_recorded(tmp_path):
    execute(tmp_path, rho=400.0, on_collapse="record")
    record = json.loads(saved(tmp_path)[0].read_text())
    assert record["status"] == "layer_collapse" and "it bears rho <= 3.9" in record["collapse"]
    assert record["measures"] == [] and record["epochs"] == {}
    assert record["network"]["cnn"]["params_remaining"] == 1
    assert not list(tmp_path.rglob("*.safetensors"))
    assert set(tables.load_records(tmp_path / "results").status) == {"layer_collapse"}


def test_an_unknown_parameter_is_refused_in_the_first_cell_after_the_parameters(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="ParameterError: rhoo: not a parameter of baseline"):
        execute(tmp_path, rhoo=3.0)
    executed = [cell for cell in cells(tmp_path / "executed.ipynb") if cell.get("execution_count")]
    failed = [cell for cell in executed if any(output["output_type"] == "error" for output in cell["outputs"])]
    assert failed == executed[-1:] and "from_notebook(" in "".join(failed[0]["source"])
    assert not saved(tmp_path)


# ---- balanced training


def first_losses(folder, method: str = "balanced", **given) -> torch.Tensor:
    """Training and held-out loss of a whole network that does not move."""
    folder.mkdir()
    still = {"rho": 0.0, "learning_rate": 1e-12, "max_epochs": 1}
    if method == "freeze_retrain":
        execute(folder, "baseline", **still, **given)
    execute(folder, method, **still, **given)
    file, = (folder / "results").rglob(f"*-{method}-*.json")
    curves = json.loads(file.read_text())["epochs"]["curves"]
    return torch.tensor([*curves["train_loss"], *curves["validation_loss"]], dtype=torch.float64)


def test_lambda_and_tuple_size_reach_the_loss(tmp_path):
    tuples, both, images = (first_losses(tmp_path / f"{standard_weight}", standard_weight=standard_weight) for standard_weight in (0.0, 0.5, 1.0))
    assert ((images - tuples) > 1e-4).all()  # the mean's loss is less than the mean loss
    assert torch.allclose(both, (tuples + images) / 2, rtol=0, atol=2e-6)
    alone = first_losses(tmp_path / "alone", standard_weight=0.0, tuple_size=1)  # a tuple of one: no other loss than the standard one
    assert torch.allclose(alone, first_losses(tmp_path / "one", standard_weight=1.0, tuple_size=1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("method, given", [
    ("baseline", {}), ("freeze_retrain", {}), ("graph", {"n": [5]}),
    ("cnn_lstm", {"cnn_training": "end_to_end", "train_n": 5, "head_max_epochs": 1, "head_learning_rate": 1e-12}),
])
def test_training_images_alone_are_augmented_where_a_cnn_learns(tmp_path, method, given):
    plain, moved = (first_losses(tmp_path / augment, method, augment=augment, **given) for augment in choices.AUGMENTATIONS)
    assert (plain[0] - moved[0]).abs() > 1e-5 and torch.allclose(plain[1], moved[1], rtol=0, atol=2e-6)


def test_freeze_and_retrain_starts_from_the_baseline_and_changes_the_free_layers_alone(run, tmp_path):
    shutil.copytree(run / "results", tmp_path / "results")
    before = checkpoints.load(saved(tmp_path)[0])
    execute(tmp_path, "freeze_retrain", free_layers=2)
    record, = (json.loads(file.read_text()) for file in saved(tmp_path) if "freeze_retrain" in file.name)
    after = checkpoints.load(names.record_path(record["params"], tmp_path / "results"))
    changed = {name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert set(before) == set(after) and changed == {"2", "5"}  # the second convolution and the linear layer
    assert {(row["protocol"], row["n"]) for row in record["measures"]} == {(kind, n) for kind in ("disjoint", "random") for n in (1, 5, 25)}
    assert min(record["epochs"]["curves"]["train_loss"]) < record["epochs"]["curves"]["train_loss"][0]


@pytest.mark.parametrize("method, given, told", [
    ("balanced", {"tuple_size": 50}, r"tuple_size: 50 is not allowed; a tuple has from 1 to \d images"),
    ("freeze_retrain", {"tuple_size": 50}, r"tuple_size: 50 is not allowed; a tuple has from 1 to \d images"),
    ("freeze_retrain", {"free_layers": 4}, "free_layers: 4 is not allowed; this network has from 1 to 3 layers to leave free"),
    ("balanced", {"standard_weight": 1.5}, "standard_weight: 1.5 is not allowed; it is a number >= 0 and <= 1"),
    ("freeze_retrain", {"standard_weight": -0.1}, "standard_weight: -0.1 is not allowed; it is a number >= 0 and <= 1"),
])
def test_what_balanced_training_cannot_do_is_refused_before_it_trains(tmp_path, method, given, told):
    with pytest.raises(papermill.PapermillExecutionError, match=told):
        execute(tmp_path, method, **given)
    assert saved(tmp_path) == []

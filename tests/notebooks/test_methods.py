"""Method notebooks: how they are committed, and what the records of those that average logits say after a run on digits."""
import ast
import json
import math
import re
import shutil

import papermill
import pytest
import torch
from conftest import run_notebook

from sharedlabel import ROOT, choices, data, pruning
from sharedlabel.analysis import run_pictures, tables
from sharedlabel.runs import checkpoints, lifecycle, names, parameters, records

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
def test_a_method_notebook_opens_with_its_question_and_how_to_run_it_and_has_the_sections_of_all_others(notebook):
    text = ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "markdown"]
    assert text[0].startswith("# ") and "**Question.**" in text[0] and f"papermill notebooks/methods/{notebook.stem}.ipynb" in text[0]
    headings = [line.removeprefix("## ") for source in text for line in source.splitlines() if line.startswith("## ")]
    assert headings == ["Parameters", "Data", "Network", "Pruning", "Training", "Measures", "Record", "Pictures"]


@EVERY
def test_a_cell_of_a_method_notebook_has_fifteen_lines_at_most(notebook):
    """The parameters, which are a table, excepted."""
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])]
    assert max(len(cell["source"]) for cell in code) <= 15


@EVERY
def test_a_method_notebook_has_one_parameters_cell_and_checks_it_at_once(notebook):
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert tagged == code[:1]
    assert "".join(code[1]["source"]).endswith(f'run = lifecycle.begin("{notebook.stem}", globals())')


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
    """The folder of one whole run, as a person starts it."""
    tmp_path = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SHAREDLABEL_GRID")
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
    assert len(table) == 6 and not table.collapsed.any()


def test_layer_collapse_by_hand_is_an_error_that_names_what_the_network_bears(tmp_path):
    with pytest.raises(pruning.LayerCollapse, match=r"rho: 5.0 leaves 1 of .* it bears at most 4\.1758"):
        run_notebook("baseline", GIVEN | {"rho": 5.0}, tmp_path / "results")
    assert not saved(tmp_path)


@EVERY
def test_nothing_follows_in_a_cell_that_may_end_the_notebook(notebook):
    """Where a collapse is recorded the later cells do nothing, but the rest of the same cell would, without what was pruned."""
    code = ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "code"]
    last = [ast.parse(source.replace("%", "#")).body[-1] for source in code if "collapse_recorded" in source]
    assert last and all("collapse_recorded" in ast.unparse(statement) for statement in last)


@pytest.mark.slow
def test_layer_collapse_in_a_grid_is_recorded_and_no_later_cell_does_anything(tmp_path):
    execute(tmp_path, rho=9.0, on_collapse="record")
    code = [cell for cell in cells(tmp_path / "executed.ipynb") if cell["cell_type"] == "code"]
    collapsed = next(i for i, cell in enumerate(code) if "pruning.prune(" in "".join(cell["source"]))
    assert "the cells below do nothing until the kernel is restarted" in "".join(code[collapsed]["outputs"][0]["text"])
    assert len(code) > collapsed + 5 and not any(cell["outputs"] for cell in code[collapsed + 1 :])
    record = json.loads(saved(tmp_path)[0].read_text())
    assert record["status"] == "layer_collapse" and "it bears at most 4.1758" in record["collapse"]
    assert record["measures"] == [] and record["epochs"] == {}
    assert record["network"]["cnn"]["params_remaining"] == 1
    assert not list(tmp_path.rglob("*.safetensors"))
    assert tables.load_records(tmp_path / "results").collapsed.all()


@pytest.mark.slow
def test_an_unknown_parameter_is_refused_in_the_first_cell_after_the_parameters(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="ParameterError: rhoo: not a parameter of baseline"):
        execute(tmp_path, rhoo=3.0)
    executed = [cell for cell in cells(tmp_path / "executed.ipynb") if cell.get("execution_count")]
    failed = [cell for cell in executed if any(output["output_type"] == "error" for output in cell["outputs"])]
    assert failed == executed[-1:] and "lifecycle.begin(" in "".join(failed[0]["source"])
    assert not saved(tmp_path)


def output(notebook) -> list[dict]:
    return [output for cell in cells(notebook) for output in cell.get("outputs", [])]


def printed(notebook) -> str:
    return "".join("".join(each.get("text", "")) for each in output(notebook))


def test_a_run_by_hand_shows_its_name_its_progress_and_two_pictures(run, record):
    text = printed(run / "executed.ipynb")
    assert names.run_name(record["params"]) in text and "how long it takes" in text  # none of digits is committed
    assert "0/6 [" in text and " epochs/s" in text
    pictures = [each for each in output(run / "executed.ipynb") if "image/png" in each.get("data", {})]
    curve, images = (picture["metadata"]["image/png"]["alt"] for picture in pictures)
    assert curve.startswith("Learning curve over 6 epochs")
    assert re.fullmatch(r"5 test images of class \d\. Predicted for each by itself: (\d, ){4}\d; for the tuple: \d\.", images)
    assert not any(each.get("name") == "stderr" for each in output(run / "executed.ipynb"))


def test_a_run_in_a_grid_shows_neither_progress_nor_pictures(tmp_path, capsys):
    run_notebook("baseline", GIVEN | {"max_epochs": 1}, tmp_path / "results")
    text = capsys.readouterr().out
    assert "stopped after 1 epochs" in text and "epochs/s" not in text


def test_a_run_is_said_to_take_as_long_as_committed_ones_like_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lifecycle, "ROOT", tmp_path)
    params = parameters.defaults("baseline")
    for i, (method, device, seconds) in enumerate([
        ("baseline", "cpu", 100.0), ("baseline", "cpu", 300.0), ("baseline", "cpu", 7200.0),
        ("baseline", "cuda (a card)", 1.0), ("balanced", "cpu", 2.0),
    ]):
        file = names.record_path(params | {"method": method, "seed": i}, tmp_path / "results")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"provenance": {"device": device, "seconds": seconds}}))
    for seed, damaged in enumerate(("<<<<<<< HEAD\n{", "{}"), 90):
        names.record_path(params | {"method": "baseline", "seed": seed}, tmp_path / "results").write_text(damaged)
    found = lifecycle.seconds_of_similar_runs("baseline", params, torch.device("cpu"))
    assert sorted(found) == [100.0, 300.0, 7200.0]
    assert lifecycle.describe_times(found) == "runs of this data set, network and method took 5 minutes (median of 3)"
    assert "4 seconds (median of 1)" in lifecycle.describe_times([4.2]) and "2.0 hours" in lifecycle.describe_times([7200.0])


@pytest.mark.parametrize("method", ["freeze_retrain", "head_control", "cnn_lstm"])
def test_a_checkpoint_of_another_network_is_named_by_whoever_starts_from_it(tmp_path, method):
    given = GIVEN | {"cnn_method": "baseline"} if method != "freeze_retrain" else GIVEN
    params = parameters.check(method, given | {"results": str(tmp_path)})
    file, before = checkpoints.prerequisite_path(params), parameters.prerequisite(params)
    record = {"params": parameters.identity("baseline", before), "status": "ok"}
    records.save(record, tmp_path, {"9.index": torch.zeros(1, dtype=torch.int32)})
    with pytest.raises(ValueError, match=f"^{file}: the checkpoint is of another network"):
        run_notebook(method, given, tmp_path)


# ---- the pictures


def test_the_own_prediction_of_an_image_is_that_of_as_many_copies_as_the_network_is_built_for():
    test_set = data.load("digits")[1]
    asked = []

    def predict(chosen):
        asked.append(chosen)
        return test_set.labels[chosen[:, 0]]

    figure, description = run_pictures.tuple_of_images(test_set, predict, seed=0, n=12, copies=12)
    own, whole = asked
    assert own.shape == (120, 12) and (own == own[:, :1]).all() and whole.shape == (1, 12)
    label = int(test_set.labels[whole[0, 0]])
    every = ", ".join([str(label)] * 12)
    assert description == f"12 test images of class {label}. Predicted for each by itself: {every}; for the tuple: {label}."
    drawn = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(drawn) == 12
    assert all((picture.squeeze() == test_set.pixels[index, 0].numpy()).all() for picture, index in zip(drawn, whole[0]))


def test_a_learning_curve_has_every_curve_and_the_epoch_that_is_kept():
    epochs = {"best": 2, "curves": {"train_loss": [3.0, 2.0, 1.0], "validation_loss": [3.0, 1.5, 2.0], "n_accuracy_5": [0.1, 0.2, 0.3]}}
    figure, description = run_pictures.learning_curve(epochs)
    losses, accuracies = figure.axes
    assert [list(line.get_ydata()) for line in losses.lines[:2]] == [[3.0, 2.0, 1.0], [3.0, 1.5, 2.0]]
    assert list(accuracies.lines[0].get_ydata()) == [0.1, 0.2, 0.3]
    assert losses.lines[2].get_xdata() == [2, 2] and "to its least, 1.500, in epoch 2" in description


# ---- balanced training


def first_losses(folder, method: str = "balanced", **given) -> torch.Tensor:
    """Training and held-out loss of a whole network that does not move."""
    folder.mkdir()
    still = {"rho": 0.0, "learning_rate": 1e-12, "max_epochs": 1}
    if method == "freeze_retrain":
        run_notebook("baseline", GIVEN | still | given, folder)
    curves = run_notebook(method, GIVEN | still | given, folder)["epochs"]["curves"]
    return torch.tensor([*curves["train_loss"], *curves["validation_loss"]], dtype=torch.float64)


def test_retraining_has_a_limit_of_epochs_of_its_own(tmp_path):
    run_notebook("baseline", GIVEN | {"max_epochs": 1}, tmp_path)
    record = run_notebook("freeze_retrain", GIVEN | {"max_epochs": 1, "retrain_max_epochs": 3}, tmp_path)
    assert len(record["epochs"]["curves"]["train_loss"]) == 3


def test_lambda_and_tuple_size_reach_the_loss(tmp_path):
    tuples, both, images = (first_losses(tmp_path / f"{weight}", standard_weight=weight) for weight in (0.0, 0.5, 1.0))
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
    record = run_notebook("freeze_retrain", GIVEN | {"free_layers": 2}, tmp_path / "results")
    after = record["checkpoint"]
    changed = {name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert set(before) == set(after) and changed == {"2", "5"}  # the second convolution and the linear layer
    assert {(row["protocol"], row["n"]) for row in record["measures"]} == {(kind, n) for kind in ("disjoint", "random") for n in (1, 5, 25)}
    assert min(record["epochs"]["curves"]["train_loss"]) < record["epochs"]["curves"]["train_loss"][0]

"""Runs and studies of a folder of one's own images: their names, what they are refused for, and a sample folder from pixels to record."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import run_notebook
from PIL import Image
from sklearn.datasets import load_digits

import sharedlabel
from sharedlabel import ROOT, data, folders, training
from sharedlabel.analysis import law, planner, tables
from sharedlabel.data import facts
from sharedlabel.runs import checkpoints, contradictions, names, parameters, studies


@pytest.fixture(autouse=True)
def fresh():
    folders.read.cache_clear()


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """The sample folder: 200 of scikit-learn's digits."""
    root = tmp_path_factory.mktemp("images") / "digits"
    subprocess.run([sys.executable, str(ROOT / "tools" / "digit_folder.py"), str(root)], check=True, cwd=ROOT)
    return root


@pytest.fixture
def own(digits, tmp_path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(digits, tmp_path / "own"))


def given(root: Path, **more) -> dict:
    return {"dataset": "folder", "path": str(root), "image_size": 8} | more


def checked(root: Path, method: str = "baseline", **more) -> dict:
    folders.read.cache_clear()
    return parameters.check(method, given(root, **more))


def name(root: Path, method: str = "baseline", **more) -> str:
    return names.run_name(parameters.identity(method, checked(root, method, **more)))


def refusal(root: Path, method: str = "baseline", **more) -> str:
    with pytest.raises(parameters.ParameterError) as error:
        checked(root, method, **more)
    assert "\n" not in str(error.value) and "set in the parameters cell" in str(error.value)
    return str(error.value)


def test_the_sample_folder_holds_scikit_learns_digits(digits):
    bunch = load_digits()
    assert len(list(digits.rglob("*.png"))) == 200
    for label in range(10):
        first = np.array(Image.open(digits / str(label) / "000.png"))
        assert np.array_equal(first, (bunch.images[bunch.target == label][0] * 255 / 16).round())


# ---- names


def test_the_content_is_in_the_name_and_the_place_is_not(digits, own):
    assert name(digits) == name(own)
    assert name(digits).startswith(f"folder-{folders.read(str(digits)).identity}-8px-conv-baseline-synflow-rho2-seed0-")
    record = parameters.identity("baseline", checked(own))
    assert "path" not in record and str(own) not in json.dumps(record)
    assert names.record_path(record, "r").parts[-3:-1] == (record["dataset"], "conv")
    (own / "3" / "000.png").unlink()
    assert name(own) != name(digits)


def test_the_size_is_in_the_name_and_left_out_of_old_ones(digits):
    assert len({name(digits, image_size=size) for size in (8, 9, 32)}) == 3
    assert "image_size" not in parameters.identity("baseline", checked(digits, image_size=32))
    assert parameters.identity("baseline", checked(digits))["image_size"] == 8


def test_sizes_of_tuples_that_nobody_asked_for_are_those_that_the_test_images_form(digits):
    assert checked(digits)["n"] == [1, 2, 3, 4, 5]
    assert checked(digits, n=[2, 5])["n"] == [2, 5]
    assert parameters.check("baseline", {"dataset": "tinyimagenet"})["n"][-1] == 40
    assert parameters.check("baseline", {})["n"] == parameters.defaults("baseline")["n"]


def test_a_head_starts_from_the_cnn_that_is_made_of_the_same_folder(digits):
    before = parameters.prerequisite(checked(digits, "readout"))
    assert before == {"method": "baseline"} | checked(digits)
    assert f"-p path {digits}" in parameters.papermill_command(before)


def test_a_study_sweeps_over_folders(digits, own, tmp_path):
    (own / "3" / "000.png").unlink()
    block = given(digits, method=["baseline", "readout"], rho=[1, 2], seed=[0]) | {"path": [str(digits), str(own)]}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({"results": "runs/own", "runs": [block]}))
    runs = studies.load(file)
    assert len(set(map(studies.run_name, runs))) == len(runs) == 8
    assert {parameters.data_set(run).largest_tuple for run in runs} == {5} and parameters.data_set(runs[0]).side == 8


def test_a_study_of_a_folder_is_read_without_torch(digits):
    script = f"import sys; from sharedlabel.runs import parameters, names; p = parameters.check('baseline', {given(digits)!r}); " \
             "names.run_name(parameters.identity('baseline', p)); print({'torch', 'PIL', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "set()\n"


# ---- what is refused


def fewer(label: str, count: int):
    return lambda root: [file.unlink() for file in sorted((root / label).iterdir())[count:]]


@pytest.mark.parametrize("harm, more, said", [
    (shutil.rmtree, {}, "path: '{root}' is no folder"),
    (fewer("3", 0), {}, "path: {root}/3 has no images"),
    (fewer("3", 1), {}, "held_out: 0.1 of the 0 training images in {root}'s class 3 is 0"),
    (fewer("3", 4), {}, "held_out: 0.1 of the 3 training images in {root}'s class 3 is 0; every class needs some held out and some left"),
    (fewer("3", 8), {"n": [1, 5]}, "n: 5 is not allowed; {root}'s class 3 has 2 test images, a tuple has no more"),
    (fewer("3", 8), {"image_size": 3}, "image_size: 3 is not allowed; it is a number >= 8 and <= 1024"),
    (lambda root: None, {"path": ""}, "path: '' (in "),
    (lambda root: None, {"path": "x" * 5000}, "path: 'xxx"),
    (lambda root: None, {"dataset": "digits"}, "path: '{root}' is for the data set folder; allowed with digits: ''"),
    (lambda root: None, {"dataset": "mnist", "path": ""}, "image_size: 8 is for the data set folder; allowed with mnist: 32"),
])
def test_what_a_folder_cannot_do_is_refused_before_anything_is_decoded(own, harm, more, said):
    harm(own)
    assert refusal(own, **more).startswith(said.format(root=own))


@pytest.mark.parametrize("method, more, said", [
    ("balanced", {"tuple_size": 3}, "tuple_size: 3 is not allowed; 2 images of {root}'s class 0 are held out, a tuple has no more"),
    ("freeze_retrain", {"tuple_size": 3}, "tuple_size: 3 is not allowed; 2 images"),
    ("cnn_lstm", {"tuple_size": 2, "train_n": 3, "n": [3]}, "train_n: 3 is not allowed; 2 images"),
    ("graph", {"train_n": 3, "n": [3]}, "train_n: 3 is not allowed; 2 images of {root}'s class 0 are held out"),
])
def test_a_class_with_fewer_images_than_a_tuple_is_named(digits, method, more, said):
    assert refusal(digits, method, **more).startswith(said.format(root=digits))


def test_more_pixels_than_any_memory_are_refused(digits, monkeypatch):
    monkeypatch.setattr(contradictions, "MOST_GIB", 0.5)
    assert refusal(digits, image_size=1024).startswith(f"image_size: 1024 is not allowed; 200 images of {digits} take 1 GiB")


def test_who_names_a_folder_as_the_data_set_is_told_how(digits):
    assert f"; for images of your own: dataset folder, path '{digits}'" in refusal(digits, dataset=str(digits))


# ---- runs

QUICK = {"rho": 1.0, "max_epochs": 60, "learning_rate": 2e-3, "prune_iterations": 30, "tuples_per_class": 20, "device": "cpu"}


@pytest.fixture(scope="module")
def records(digits, tmp_path_factory) -> tuple[dict, dict, Path]:
    """A baseline and its readout, made from the sample folder, and the folder of their records."""
    results = tmp_path_factory.mktemp("runs") / "results"
    return *(run_notebook(method, given(digits, **QUICK), results) for method in ("baseline", "readout")), results


def test_a_run_of_a_folder_learns_and_gains_from_sharing(records):
    baseline, readout, _ = records
    for record in (baseline, readout):
        found = {row["n"]: row["n_accuracy"] for row in record["measures"] if row["protocol"] == "random"}
        assert list(found) == [1, 2, 3, 4, 5] and found[1] > 0.5 and found[5] >= found[1]
    assert baseline["network"]["cnn"]["macs_dense"] == 64 * (9 * 32 + 9 * 32 * 32) + 32 * 64 * 10


def test_its_records_are_a_table_of_a_data_set_of_its_own(records, digits):
    baseline, _, results = records
    table = tables.load_records(results, ("baseline", "readout"))
    assert set(table["dataset"]) == {f"folder-{folders.read(str(digits)).identity}-8px"} and set(table["image_size"]) == {8}
    assert str(digits) not in json.dumps(baseline, default=str)


def test_one_short_run_is_planned_for(records, digits):
    results = records[2]
    name = planner.data_set_name("folder", str(digits), 8, results)
    measured, filled = (planner.options(planner.Wish(name, n), results) for n in (5, 12))  # no class has 12 test images
    assert set(measured["method"]) == set(filled["method"]) == {"baseline", "readout"} and not measured["predicted"].any()
    assert all(set(own["n"]) >= {7, 25, 80, np.inf} for _, own in law.read_all(0, results).groupby("run"))  # none was measured
    assert (filled["predicted"] == (filled["n"] > 5)).all() and set(filled["n"]) == set(range(1, 13))  # five measured
    assert filled["mean"].between(0.5, 1).all() and filled["low"].isna().all() and set(filled["seeds"]) == {1}
    wish = planner.Wish(name, 12, 0.5)
    chosen = planner.plan(planner.options(wish, results), wish)
    load, *commands = planner.commands(chosen, results, str(digits)).splitlines()
    assert eval(load, {"sharedlabel": sharedlabel}).predict(digits / "3").n == 20
    assert commands and all("-p dataset folder -p image_size 8" in each and f"-p path {digits}" in each for each in commands)
    assert len(planner.plan_table(chosen, wish)) == 2 and planner.errors_of_the_law(results, name)["n"].tolist() == [2, 3, 4, 5]
    planner.draw_front(filled, chosen, wish)
    assert planner.sliders(wish, results, str(digits)).children[0].options == (name,)


@pytest.mark.parametrize("method, more", [
    ("baseline", {"model": "resnet18", "pruner": "snip", "image_size": 32}),
    ("balanced", {"model": "wideresnet20", "image_size": 12, "tuple_size": 2, "tuples_per_batch": 3}),
    ("freeze_retrain", {"model": "fc", "tuple_size": 2, "tuples_per_batch": 3, "free_layers": 2}),
    ("cnn_lstm", {"model": "fc", "cnn_method": "baseline", "train_n": 2, "head_rho": 1.0, "head_max_epochs": 1}),
    ("head_control", {"model": "fc", "cnn_method": "baseline", "train_n": 2, "head_rho": 1.0, "head_max_epochs": 1}),
    ("set_head", {"model": "fc", "cnn_method": "baseline", "train_n": 2, "head_max_epochs": 1}),
    ("graph", {"model": "conv", "train_n": 2, "n": [2], "tuples_per_batch": 3}),
])
def test_other_channels_classes_and_sizes_go_through_every_method(tmp_path, method, more):
    """Three classes of colour images of 12 x 10 pixels in train/ and test/."""
    for place, label in enumerate("abc"):
        for number in range(20):
            pixels = np.random.default_rng(100 * place + number).integers(60 * place, 60 * place + 100, (10, 12, 3), dtype=np.uint8)
            file = tmp_path / "own" / ("train" if number < 15 else "test") / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    run = QUICK | {"rho": 0.5, "max_epochs": 1, "prune_iterations": 2, "held_out": 0.2} | more
    if method in ("freeze_retrain", "cnn_lstm", "head_control", "set_head"):
        shared = {key: value for key, value in run.items() if key in parameters.defaults("baseline")}
        run_notebook("baseline", given(tmp_path / "own", **shared), tmp_path / "results")
    record = run_notebook(method, given(tmp_path / "own", **run), tmp_path / "results")
    assert {row["tuples"] for row in record["measures"] if row["protocol"] == "random"} == {60}
    assert record["status"] == "ok" and torch.isfinite(torch.tensor(record["epochs"]["curves"]["train_loss"])).all()


@pytest.mark.parametrize("method, more", [("baseline", {}), ("small_dense", {"rho": 0.0, "pool": 2})])
def test_a_folder_is_loaded_once_and_may_be_gone_after_training(own, tmp_path, monkeypatch, method, more):
    known, train = facts.of_data("folder", path=str(own), image_size=8), training.train

    def train_and_lose(*arguments, **options):
        shutil.rmtree(own)
        monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("loaded again"))
        return train(*arguments, **options)

    monkeypatch.setattr(training, "train", train_and_lose)
    run_notebook(method, given(own, **QUICK | {"max_epochs": 1} | more), tmp_path / "results")
    record, = (tmp_path / "results").rglob("*.json")
    assert facts.loads(checkpoints.load_facts(record)) == known


def test_a_run_shows_a_tuple_of_a_folder_that_has_few_test_images(own, tmp_path, monkeypatch):
    monkeypatch.delenv("SHAREDLABEL_GRID")
    fewer("3", 8)(own)
    record = run_notebook("baseline", given(own, **QUICK | {"max_epochs": 1}), tmp_path / "results")
    assert [row["n"] for row in record["measures"]] == [1, 2, 1, 2]


def test_a_head_may_be_trained_on_more_images_than_a_class_has_for_testing(digits, tmp_path):
    shared = given(digits, **QUICK | {"model": "fc", "max_epochs": 1, "held_out": 0.4})
    run_notebook("baseline", shared, tmp_path / "results")
    head = {"cnn_method": "baseline", "train_n": 6, "n": [5], "head_max_epochs": 1}
    record = run_notebook("set_head", shared | head, tmp_path / "results")
    assert {row["n"] for row in record["measures"]} == {5} and set(record["epochs"]["curves"]) == {"train_loss", "validation_loss"}


def test_the_study_that_the_documentation_shows_is_one(digits, tmp_path):
    text = (ROOT / "docs" / "data.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    file = tmp_path / "my_study.yaml"
    file.write_text(text.replace("~/photos", str(digits)))
    assert len(studies.load(file)) == 24

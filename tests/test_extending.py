"""docs/extending.md: each of its diffs touches one file, applies to this checkout, and what it adds is run."""
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from sharedlabel import ROOT

DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)


def apply(diff: str, where, *options: str) -> None:
    subprocess.run(["git", "apply", *options], input=diff, text=True, check=True, cwd=where)


def touched(diff: str) -> list[str]:
    return re.findall(r"^\+\+\+ b/(.*)$", diff, re.MULTILINE)


def test_each_touches_one_place():
    assert [len(touched(diff)) for diff in DIFFS] == [1] * 4


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package and the methods; the first diff is part of it, and the others are applied."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("sharedlabel", "notebooks/methods"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    (copy / "params").mkdir()
    apply(DIFFS[0], copy, "--reverse", "--check", "--unidiff-zero")
    for diff in DIFFS[1:]:
        apply(diff, copy)
    return copy


def run(copy, command: list[str]) -> str:
    variables = os.environ | {"PYTHONPATH": str(copy), "SHAREDLABEL_GRID": "1"}
    return subprocess.run([sys.executable, *command], check=True, cwd=copy, env=variables, capture_output=True, text=True).stdout


def test_what_they_add_is_known_by_its_name_and_title(copy):
    script = ("from sharedlabel.analysis import plots; from sharedlabel.runs import parameters; print(plots.case_title(('fashionmnist', "
              "'lenet_300_100')), plots.TITLES['scaled_magnitude'], *parameters.method_names(), sep=', ')")
    assert run(copy, ["-c", script]).startswith("FashionMNIST, LeNet-300-100, scaled magnitude, balanced, baseline, ")


def test_a_refusal_names_them(copy):
    script = "from sharedlabel.runs import parameters\ntry: parameters.check('median', {'pruner': 'none'})\n" \
             "except parameters.ParameterError as error: print(error)"
    assert "pruner: 'none' is unknown; allowed: random, magnitude, scaled_magnitude, snip" in run(copy, ["-c", script])


@pytest.mark.slow
def test_what_they_add_runs(copy):
    given = {"model": "lenet_300_100", "pruner": "scaled_magnitude", "rho": "1.5", "max_epochs": "40", "learning_rate": "0.002",
             "results": str(copy / "results")}
    words = [word for name, value in given.items() for word in ("-p", name, value)]
    run(copy, ["-m", "papermill", "--no-progress-bar", "notebooks/methods/median.ipynb", "out.ipynb", "-k", "python3", *words])
    file, = (copy / "results").rglob("*.json")
    record = json.loads(file.read_text())
    assert file.name.startswith("digits-lenet_300_100-median-scaled_magnitude-rho1.5-seed0-")
    assert record["network"]["cnn"]["params_total"] == 64 * 300 + 300 * 100 + 100 * 10
    accuracies = {row["n"]: row["n_accuracy"] for row in record["measures"] if row["protocol"] == "random"}
    assert accuracies[1] > 0.5 and accuracies[5] > accuracies[1]

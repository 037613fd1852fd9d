"""Section notebooks read records of data sets and folders that the paper does not have, and name them in their order."""
import json
import re
import shutil

import pandas as pd
import pytest
from made_records import executed

from sharedlabel import ROOT
from sharedlabel.analysis import law, plots
from sharedlabel.runs import names

NOTEBOOKS = [notebook.stem for notebook in sorted((ROOT / "notebooks" / "sections").glob("*.ipynb"))]
FOLDER, TITLE = "folder-0123456789ab-32px", "folder 0123… 32px"  # as a folder of one's own images is called, and in tables and figures


def copy_as(dataset: str, results) -> None:
    """MNIST's committed records, checkpoints and tables of the law, as those of another data set."""
    renamed = {}
    for file in (ROOT / "results" / "mnist").rglob("*.json"):
        record = json.loads(file.read_text())
        record["params"]["dataset"] = dataset
        target = names.record_path(record["params"], results)
        renamed[law.digest(file.stem)] = law.digest(target.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record))
        if file.with_suffix(".safetensors").exists():
            shutil.copy(file.with_suffix(".safetensors"), target.with_suffix(".safetensors"))
    for file in (ROOT / "results" / "tables").glob("law_*mnist_*.csv"):
        table = pd.read_csv(file, dtype={"run": str})
        table.assign(run=table["run"].map(renamed)).to_csv(results / "tables" / file.name.replace("mnist", dataset), index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose `results` has MNIST's committed records, and the same once more for FashionMNIST and for a folder of images."""
    folder = tmp_path_factory.mktemp("any_data")
    shutil.copytree(ROOT / "results" / "mnist", folder / "results" / "mnist")
    shutil.copytree(ROOT / "results" / "tables", folder / "results" / "tables")
    for dataset in ("fashionmnist", FOLDER):
        copy_as(dataset, folder / "results")
    return folder


CHOSEN = {  # they are about a few networks, listed in their modules, or about one data set
    "beyond_dependent": ["MNIST"], "beyond_pruning": ["MNIST"], "beyond_new_data": ["FashionMNIST"],
}


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_section_reads_any_data_set_and_names_it_in_its_place(folder, notebook):
    said = executed(notebook, folder)
    known = CHOSEN.get(notebook, ["MNIST", "FashionMNIST", TITLE])
    assert all(re.search(rf"(?<!\w){name}\b", said) for name in known), known
    cells = json.loads((folder / f"{notebook}.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    figures = [output["metadata"]["image/png"]["alt"] for output in outputs]
    assert figures
    for description in figures:
        named = list(dict.fromkeys(re.findall(rf"(?:Fashion)?MNIST(?=, )|{TITLE}(?=, )", description)))
        assert named == [name for name in known if name in named]


def test_a_folder_stands_last_and_is_called_by_its_hash():
    assert sorted([FOLDER, "cifar10", "fashionmnist", "mnist"], key=plots.place_of) == ["mnist", "fashionmnist", "cifar10", FOLDER]
    assert plots.case_title((FOLDER, "conv", 2.0)) == f"{TITLE}, Conv, ρ = 2" and plots.case_title(("mine", "conv")) == "mine, Conv"

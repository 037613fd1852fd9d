"""Parameters: a wrong one is refused before any training, in one line with what is allowed and where to set it."""
import json
import re
import shlex
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from sharedlabel import ROOT, choices
from sharedlabel.analysis import tables
from sharedlabel.runs import checkpoints, lifecycle, names, parameters, studies

METHODS = pytest.mark.parametrize("method", parameters.method_names())


def refusal(function, *arguments) -> str:
    with pytest.raises(parameters.ParameterError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def without(mapping: dict, key: str) -> dict:
    return {name: value for name, value in mapping.items() if name != key}


def run_name(params: dict, method: str = "baseline") -> str:
    return names.run_name(parameters.identity(method, params))


# ---- one run


@METHODS
def test_a_methods_defaults_are_those_of_its_notebook(method):
    notebook = json.loads((ROOT / "notebooks" / "methods" / f"{method}.ipynb").read_text())
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    names = {}
    exec("".join(cell["source"]), names)
    del names["__builtins__"]
    assert parameters.defaults(method) == names
    assert parameters.check(method, {}) == parameters.effective(names)


@METHODS
def test_every_method_has_what_records_and_grids_rely_on(method):
    common = {"dataset", "model", "pruner", "rho", "seed", "n", "revision", "precision", "max_epochs"}
    assert common | parameters.RUNTIME_PARAMETERS <= set(parameters.defaults(method))


def test_an_unknown_method_is_refused_and_the_known_ones_are_named():
    message = refusal(parameters.check, "basline", {})
    assert all(part in message for part in ("method", "'basline'", *parameters.method_names()))


# given, and what the message says: the parameter, the value, what is allowed
WRONG = [
    ({"rhoo": 2.0}, ["rhoo", "baseline", "rho, "]),
    ({"rho": "2"}, ["rho: '2'", "str", "float"]),
    ({"rho": None}, ["rho: None", "float"]),
    ({"rho": True}, ["rho: True", "bool", "float"]),
    ({"rho": [2.0]}, ["rho: [2.0]", "list", "float"]),
    ({"rho": -1.0}, ["rho: -1.0", ">= 0"]),
    ({"rho": float("nan")}, ["rho: nan", ">= 0"]),
    ({"rho": float("inf")}, ["rho: inf", ">= 0"]),
    ({"seed": 0.5}, ["seed: 0.5", "float", "int"]),
    ({"seed": True}, ["seed: True", "bool", "int"]),
    ({"seed": -1}, ["seed: -1", ">= 0"]),
    ({"n": 5}, ["n: 5", "int", "list (set in"]),
    ({"n": [0, 5]}, ["n: 0", ">= 1"]),
    ({"n": [5, 5]}, ["n: [5, 5]", "twice"]),
    ({"n": [1.5]}, ["n: 1.5", "float", "int"]),
    ({"n": ["5"]}, ["n: '5'", "str", "int"]),
    ({"n": [True]}, ["n: True", "bool", "int"]),
    ({"n": []}, ["n: []", "int"]),
    ({"n": [1, 5000]}, ["n: 5000 is not allowed; the smallest class of digits has 87 test images"]),
    ({"n": [893], "dataset": "mnist"}, ["n: 893", "mnist has 892 test images"]),
    ({"device": "gpu"}, ["device: 'gpu' is unknown; allowed: auto, cpu, cuda, cuda:N"]),
    ({"device": "cpu\n"}, ["device: 'cpu\\n' is unknown"]),
    ({"device": 0}, ["device: 0 is int, allowed is str"]),
    ({"dataset": "minst"}, ["dataset: 'minst'", "digits, mnist"]),
    ({"model": "vgg"}, ["model: 'vgg'", "fc, conv"]),
    ({"initialisation": "xavier"}, ["initialisation: 'xavier'", "pytorch, he"]),
    ({"pruner": "synfow"}, ["pruner: 'synfow'", "synflow"]),
    ({"augment": "crop"}, ["augment: 'crop'", "none, crop_flip"]),
    ({"precision": "float16"}, ["precision: 'float16'", "float32, bfloat16"]),
    ({"on_collapse": "ignore"}, ["on_collapse: 'ignore'", "raise, record"]),
    ({"batch_size": 0}, ["batch_size: 0", ">= 1"]),
    ({"learning_rate": 0}, ["learning_rate: 0.0", "> 0"]),
    ({"learning_rate": "1e-4"}, ["learning_rate: '1e-4'", "str", "float"]),  # YAML reads 1e-4 as a word
    ({"learning_rate": "1e-3"}, ["learning_rate: '1e-3'", "allowed is float; write 0.001 "]),
    ({"learning_rate": "1e-5"}, ["learning_rate: '1e-5'", "allowed is float; write 1.0e-05 "]),  # 1e-05 were text again
    ({"seed": "7"}, ["seed: '7'", "allowed is int; write 7 "]),
    ({"rho": "two"}, ["rho: 'two'", "allowed is float (set in"]),
    ({"rho": "nan"}, ["rho: 'nan'", "allowed is float (set in"]),
    ({"min_improvement": 1.0}, ["min_improvement: 1.0", ">= 0 and < 1 "]),
    ({"held_out": 0.6}, ["held_out: 0.6", "> 0 and <= 0.5"]),
    ({"model": "resnet18", "dataset": "mnist"}, ["model: resnet18", "3 colour channels", "mnist has 1", "fc, conv"]),
    ({"max_epochs": 0}, ["max_epochs: 0", ">= 1"]),
    ({"patience": 0}, ["patience: 0", ">= 1"]),
    ({"prune_iterations": 0}, ["prune_iterations: 0", ">= 1"]),
    ({"tuples_per_class": 0}, ["tuples_per_class: 0", ">= 1"]),
    ({"held_out": 0.0}, ["held_out: 0.0", "> 0"]),
    ({"held_out": 1.0}, ["held_out: 1.0", "<="]),
]


@pytest.mark.parametrize("given, parts", WRONG, ids=[str(given) for given, _ in WRONG])
def test_a_wrong_parameter_is_refused_in_one_line(given, parts):
    message = refusal(parameters.check, "baseline", given, "the place")
    assert all(part in message for part in (*parts, "the place"))


@pytest.mark.parametrize("given, hint", [({"n": 5}, "by -y '{n: [1, 5]}'"), ({"results": 2024}, "./2024 is text")], ids=str)
def test_who_uses_papermill_is_told_how_to_pass_it(given, hint):
    assert hint in refusal(parameters.check, "baseline", given)


@pytest.mark.parametrize("method, given, message", [
    ("cnn_lstm", {"train_n": 543}, "train_n: 543 is not allowed; 542 images of the smallest class of mnist are held out"),
    ("set_head", {"train_n": 51, "dataset": "cifar100"}, "train_n: 51 is not allowed; 50 images of the smallest class of cifar100"),
    ("balanced", {"tuple_size": 5000}, "tuple_size: 5000 is not allowed; 542 images"),
    ("baseline", {"held_out": 1e-3, "dataset": "digits"}, "held_out: 0.001 of the 87 training images in the smallest class of digits is 0"),
    ("freeze_retrain", {"tuple_size": 50, "dataset": "digits"}, "tuple_size: 50 is not allowed; 9 images"),
    ("balanced", {"standard_weight": 1.5}, "standard_weight: 1.5 is not allowed; it is a number >= 0 and <= 1"),
    ("freeze_retrain", {"standard_weight": -0.1}, "standard_weight: -0.1 is not allowed; it is a number >= 0 and <= 1"),
    ("freeze_retrain", {"free_layers": 7, "model": "fc"}, "free_layers: 7 is not allowed; fc has from 1 to 6 layers to leave free"),
    ("baseline", {"results": "."}, "results: '.' is not a folder's path: it is the repository itself"),
    ("baseline", {"results": ""}, "results: '' is not a folder's path: it is the repository itself"),
    ("cnn_lstm", {"permutations": 10**6}, "permutations: 1000000 is not allowed"),
])
def test_what_would_fail_after_a_training_is_refused_before_it(method, given, message):
    assert message in refusal(parameters.check, method, {"dataset": "mnist"} | given)


def test_the_largest_that_the_data_have_images_for_is_allowed():
    for method, given in (("cnn_lstm", {"train_n": 542}), ("freeze_retrain", {"free_layers": 3, "model": "conv"})):
        assert parameters.check(method, {"dataset": "mnist"} | given)


@pytest.mark.parametrize("results", ["2024", "None", "1e3", "runs/2024"])
def test_a_command_by_hand_gives_the_text_that_was_given(results):
    words = shlex.split(parameters.papermill_command(parameters.check("baseline", {"results": results}) | {"method": "baseline"}))
    flag, value = words[3], words[4] if words[3] == "-y" else words[5]
    assert (yaml.safe_load(value)["results"] if flag == "-y" else value) == results and (flag == "-y" or "/" in value)


def test_a_network_of_colour_images_may_be_run_on_them():
    assert parameters.check("baseline", {"model": "resnet18", "dataset": "cifar10"})["model"] == "resnet18"


@METHODS
def test_every_parameter_of_a_notebook_has_a_type_with_its_limits(method):
    assert set(parameters.defaults(method)) <= set(parameters.TYPES)


def test_no_parameter_has_a_type_that_no_notebook_needs():
    assert set(parameters.TYPES) == {name for method in parameters.method_names() for name in parameters.defaults(method)}


def test_a_parameter_that_a_new_method_adds_is_of_its_defaults_type(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks" / "methods"
    folder.mkdir(parents=True)
    text = (ROOT / "notebooks" / "methods" / "baseline.ipynb").read_text()
    (folder / "mine.ipynb").write_text(text.replace('"rho = 2.0 ', '"temperature = 2.0\\n",\n    "rho = 2.0 '))
    monkeypatch.setattr(parameters, "ROOT", tmp_path)
    assert parameters.check("mine", {"temperature": 3})["temperature"] == 3.0
    assert "temperature: 'hot' is str, allowed is float" in refusal(parameters.check, "mine", {"temperature": "hot"})


def test_reading_a_study_imports_neither_torch_nor_pandas():
    code = "import sys; from sharedlabel.runs import studies; studies.load('digits'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert "sharedlabel.runs.studies" in loaded and not {"torch", "pandas", "numpy", "papermill"} & set(loaded)


def test_a_whole_rho_saved_in_the_parameters_cell_still_lets_a_study_name_others(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks" / "methods"
    folder.mkdir(parents=True)
    text = (ROOT / "notebooks" / "methods" / "baseline.ipynb").read_text()
    assert text.count('"rho = 2.0 ') == 1
    (folder / "baseline.ipynb").write_text(text.replace('"rho = 2.0 ', '"rho = 3 '))
    monkeypatch.setattr(parameters, "ROOT", tmp_path)
    assert type(parameters.defaults("baseline")["rho"]) is float
    assert [parameters.check("baseline", {"rho": rho})["rho"] for rho in (3.75, 3)] == [3.75, 3.0]


def test_a_whole_rho_is_the_same_run_as_its_float():
    whole, decimal = (parameters.check("baseline", {"rho": rho}) for rho in (2, 2.0))
    assert type(whole["rho"]) is float
    assert run_name(whole) == run_name(decimal)


def test_where_and_how_a_run_happens_is_not_in_its_name():
    here = parameters.check("baseline", {"device": "cpu", "results": "here", "on_collapse": "raise"})
    there = parameters.check("baseline", {"device": "cuda", "results": "there", "on_collapse": "record"})
    assert parameters.identity("baseline", here) == parameters.identity("baseline", there)


@METHODS
def test_every_other_parameter_is_in_the_name(method):
    added = {name: f"not {value}" for name, value in names.LATER_PARAMETERS.items()}
    found = parameters.identity(method, parameters.defaults(method) | added)
    known = {names.RECORDED_AS.get(name, name) for name in {*parameters.defaults(method), *added} - parameters.RUNTIME_PARAMETERS}
    assert set(found) == {"method", *known}


@pytest.mark.parametrize("name, default", names.LATER_PARAMETERS.items())
def test_a_parameter_that_came_later_changes_no_name_unless_it_is_set(name, default):
    method = next(method for method in ("baseline", "cnn_lstm") if name in parameters.defaults(method))
    before = without(parameters.check(method, {"head_score_n": 5} if method == "cnn_lstm" else {}), name)
    params = before | {name: default}
    assert parameters.effective(params)[name] == default
    assert run_name(params, method) == run_name(before, method) == {
        "baseline": "digits-conv-baseline-synflow-rho2-seed0-04292187", "cnn_lstm": "digits-conv-cnn_lstm-synflow-rho2-n5-seed0-aa8cdcb7",
    }[method]
    assert run_name(params | {name: "other"}, method) != run_name(before, method)


@pytest.mark.parametrize("method, name, value, given", [
    ("readout", "hidden_units", 8, {"readout": "mlp"}), ("readout", "shrinkage", 0.1, {"readout": "lda"}),
    ("small_dense", "shrinkage", 0.1, {"model": "lda"}), ("readout", "head_batch_size", 8, {"readout": "linear"}),
    ("readout", "head_learning_rate", 0.1, {"readout": "linear"}), ("readout", "head_max_epochs", 8, {"readout": "mlp"}),
    ("cnn_lstm", "permutations", 8, {"order": "permutations"}), ("sanity_check", "dense_max_epochs", 8, {"check": "trained_first"}),
])
def test_a_parameter_is_in_the_name_only_where_it_has_an_effect(method, name, value, given):
    """Else one run would have many names, and be run as often."""
    def named(params: dict) -> str:
        return run_name(parameters.check(method, params), method)

    assert parameters.ONLY_WITH[name][1] == parameters.defaults(method)[name]
    assert named(given | {name: value}) != named(given)
    [decides] = given
    without_effect = {decides: {"readout": "vote", "model": "linear", "order": "random", "check": "shuffled"}[decides]}
    assert named(without_effect | {name: value}) == named(without_effect)


def test_every_committed_record_is_valid_and_found_under_its_own_name_whatever_was_renamed_or_added_since():
    files = [file for folder in ("results", "benchmarks") for file in (ROOT / folder).rglob("*-seed*.json")]
    assert len(files) > 1000
    recorded_names = set()
    for file in files:
        recorded = json.loads(file.read_text())["params"]
        params = parameters.of_record(recorded)
        checked = parameters.check(params.pop("method"), params)
        assert parameters.identity(recorded["method"], checked) == recorded
        assert names.record_path(recorded, file.parents[2]) == file
        recorded_names |= set(recorded)
    assert set(names.RECORDED_AS.values()) <= recorded_names and set(names.LATER_PARAMETERS) & recorded_names


@METHODS
def test_a_head_and_its_cnn_are_augmented_alike(method):
    run = parameters.prerequisite(parameters.check(method, {"augment": "crop_flip"}))
    assert run is None or run["augment"] == "crop_flip"


def test_a_baseline_to_start_from_has_its_own_revision():
    params = parameters.check("freeze_retrain", {"revision": 7, "rho": 3.0, "seed": 4})
    run = parameters.prerequisite(params)
    assert (run["method"], run["rho"], run["seed"]) == ("baseline", 3.0, 4)
    assert run["revision"] == parameters.defaults("baseline")["revision"]


def test_a_copy_of_a_method_starts_from_what_that_starts_from(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks" / "methods"
    shutil.copytree(ROOT / "notebooks" / "methods", folder)
    for method in ("freeze_retrain", "cnn_lstm"):
        shutil.copy(folder / f"{method}.ipynb", folder / f"my_{method}.ipynb")
    monkeypatch.setattr(parameters, "ROOT", tmp_path)
    for method in ("freeze_retrain", "cnn_lstm"):
        mine, own = (parameters.prerequisite(parameters.check(name, {"rho": 1.5})) for name in (f"my_{method}", method))
        assert mine == own and mine["rho"] == 1.5


def test_the_run_that_a_records_head_starts_from_is_known_without_its_folder():
    params = parameters.check("head_control", {}) | {"dataset": "folder-0123456789abcdef-8px"}
    run = parameters.prerequisite(params)
    assert (run["dataset"], run["n"]) == (params["dataset"], parameters.defaults("balanced")["n"])


@METHODS
def test_the_run_to_start_from_is_one_that_can_be_run(method):
    run = parameters.prerequisite(parameters.check(method, {}))
    if run is not None:
        assert parameters.check(run["method"], without(run, "method")) == without(run, "method")


def test_a_missing_run_to_start_from_is_named_with_the_command_that_makes_it(tmp_path):
    params = parameters.check("freeze_retrain", {"rho": 3.0, "results": str(tmp_path)})
    expected = r"digits-conv-baseline-synflow-rho3.* .venv/bin/papermill .*baseline.ipynb .*-p rho 3"
    with pytest.raises(FileNotFoundError, match=expected):
        checkpoints.load_prerequisite(params)


def test_the_command_that_makes_it_gives_lists_too(tmp_path):
    given = {"n": [1, 7], "learning_rate": 1e-5, "results": str(tmp_path / "with space")}
    with pytest.raises(FileNotFoundError) as error:
        checkpoints.load_prerequisite(parameters.check("freeze_retrain", given))
    words = shlex.split(str(error.value).partition("papermill ")[2])[2:]
    arguments = {words[i + 1]: words[i + 2] for i in range(len(words)) if words[i] == "-p"}
    assert arguments == {"learning_rate": "1e-05", "results": given["results"]}
    assert yaml.safe_load(words[words.index("-y") + 1]) == {"n": [1, 7]}


# ---- a running notebook


def test_without_its_checkout_the_package_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="has no notebooks/methods: sharedlabel runs from its checkout; pip install --editable"):
        parameters.defaults("baseline")


def kernel(*runs: str, method: str = "baseline") -> dict:
    """The globals of a kernel in which its first cells ran, each of `runs` as the cell that papermill adds."""
    notebook = json.loads((ROOT / "notebooks" / "methods" / f"{method}.ipynb").read_text())
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    names = {"In": [""]}
    for injected in runs:
        for source in ("".join(cell["source"]), injected):
            exec(source, names)
            names["In"].append(source)
        names["In"].append(f"run = lifecycle.begin('{method}', globals())")
    return names


@METHODS
def test_a_notebook_reads_its_own_defaults(method):
    assert parameters.from_notebook(method, kernel("", method=method)) == parameters.check(method, {})


def test_a_notebook_takes_what_papermill_passes():
    params = parameters.from_notebook("baseline", kernel("# Parameters\nrho = 3\nn = [1, 2]\n"))
    assert (params["rho"], params["n"]) == (3.0, [1, 2])


def test_a_notebook_computes_with_the_checked_values_and_says_what_its_run_is_called(capsys):
    names = kernel("# Parameters\nrho = 3\ndevice = 'cpu'\n")
    run = lifecycle.begin("baseline", names)
    assert type(names["rho"]) is float and names["rho"] == run.params["rho"] == 3.0
    assert run.path.stem in capsys.readouterr().out and run.path.stem.startswith("digits-conv-baseline-synflow-rho3-seed0-")


def test_a_notebook_refuses_an_unknown_parameter_that_papermill_passes():
    assert "rhoo: not a parameter of baseline" in refusal(parameters.from_notebook, "baseline", kernel("rhoo = 3.0"))


def test_a_notebook_that_reads_refuses_what_papermill_passes_and_it_does_not_have():
    cells = ["", "results = 'results'\nn = 5\n", "# Parameters\nresult = 'mine'\nn = 3\n", "parameters.refuse_unknown(globals())"]
    assert refusal(parameters.refuse_unknown, {"In": cells}) == (
        "result: not a parameter of this notebook; it has n, results; did you mean results?")
    parameters.refuse_unknown({"In": [*cells[:2], "n = 3\nfound = 1", *cells[3:]]})  # cells of somebody's own


def test_a_parameters_cell_that_lacks_one_is_told_which():
    names = kernel("")
    names["In"] = [re.sub("^patience = .*$", "", source, flags=re.MULTILINE) for source in names["In"]]
    assert "the parameters cell of baseline.ipynb lacks patience" in refusal(parameters.from_notebook, "baseline", names)


@pytest.mark.parametrize("line", ["rho: float = 2.0", "print(rho)", "rho, seed = 2.0, 0", "rho = 1 + 1", "rho = max(1, 2)"])
def test_a_parameters_cell_with_another_statement_is_told_which(tmp_path, line):
    notebook = tmp_path / "own.ipynb"
    notebook.write_text(json.dumps({"cells": [{"metadata": {"tags": ["parameters"]}, "source": ["seed = 0\n", line]}]}))
    with pytest.raises(parameters.ParameterError, match="parameters cell of own.ipynb has lines NAME = VALUE alone") as error:
        parameters.parameters_cell(notebook, 0)
    assert line in str(error.value)


def test_a_notebook_runs_twice_in_one_kernel():
    assert parameters.from_notebook("baseline", kernel("rho = 3.0", "rho = 4.0"))["rho"] == 4.0


def test_what_an_earlier_run_in_the_kernel_was_given_is_forgotten():
    assert parameters.from_notebook("baseline", kernel("rhoo = 3.0", "")) == parameters.defaults("baseline")


def test_a_cell_of_magic_is_no_obstacle():
    names = kernel("")
    names["In"].insert(1, "%matplotlib inline\nunrelated = 1")
    names["In"].append("%timeit 1")
    assert parameters.from_notebook("baseline", names) == parameters.defaults("baseline")


# ---- a study

BLOCK = {"method": "baseline", "dataset": "digits", "rho": [1, 2], "seed": [0, 1]}


@pytest.fixture
def study(tmp_path):
    """Reads a study of these blocks, or of any content."""

    def read(*blocks, content=None):
        file = tmp_path / "some.yaml"
        file.write_text(yaml.safe_dump(content or {"results": str(tmp_path / "results"), "runs": list(blocks)}))
        return studies.load(file)

    return read


def test_a_block_sweeps_its_lists_the_last_fastest(study):
    assert [(run["rho"], run["seed"]) for run in study(BLOCK)] == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 1)]


def test_n_is_a_list_anyway_and_sweeps_nothing(study):
    runs = study(BLOCK | {"n": [1, 2, 3]})
    assert len(runs) == 4 and all(run["n"] == [1, 2, 3] for run in runs)


def test_methods_are_swept_too(study):
    runs = study(BLOCK | {"method": parameters.method_names(), "rho": 1, "seed": [0]})
    assert [run["method"] for run in runs] == parameters.method_names()


def test_a_run_of_a_study_has_every_parameter_and_records_a_collapse(study, tmp_path):
    run = study(BLOCK)[0]
    assert set(run) == {"method", *parameters.defaults("baseline")}
    assert (run["on_collapse"], run["results"]) == ("record", str(tmp_path / "results"))


def test_a_runs_name_does_not_depend_on_the_study(study):
    alone, among = study(BLOCK | {"rho": 2, "seed": [1]}), study(BLOCK)
    assert run_name(alone[0]) == run_name(among[-1])


@pytest.mark.parametrize("file", sorted((ROOT / "params").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_study_of_the_repository_can_be_read(file):
    assert studies.load(file.stem) == studies.load(file)
    assert studies.load(file)


@pytest.mark.parametrize("name, runs, rhos, largest, papers", [
    ("section_5_1", 37, 8, 100, [1, 2, 3, 4, 5, 7, 10, 15, 40, 60]),
    ("appendix_e_cifar100", 18, 6, 100, [1, 2, 3, 4, 5, 7, 10, 15, 40]),
    ("appendix_e_tinyimagenet", 16, 6, 50, [1, 2, 3, 4, 5, 7, 10, 15, 40]),
])
def test_a_study_of_a_figure_has_six_rho_or_more_three_seeds_and_the_papers_n(name, runs, rhos, largest, papers):
    """`largest`: test images of a class. Tiny ImageNet's largest network, of three hours a run, has one seed."""
    found = studies.load(name)
    assert len(found) == runs and len({run["rho"] for run in found}) == rhos
    seeds = {rho: {run["seed"] for run in found if run["rho"] == rho} for rho in {run["rho"] for run in found}}
    assert [rho for rho, each in seeds.items() if not {0, 1, 2} <= each] == ([2.0] if name == "appendix_e_tinyimagenet" else [])
    assert all(set(papers) <= set(run["n"]) and max(run["n"]) <= largest for run in found)


def test_the_two_studies_of_table_1_are_its_seven_rows():
    rows = [line.split(",") for line in (ROOT / "paper" / "table_1.csv").read_text().splitlines()[1:]]
    found = studies.load("table_1") + studies.load("table_1_large")
    assert {(run["dataset"], run["model"], run["rho"]) for run in found} == {(row[0], row[1], float(row[3])) for row in rows}


def test_the_studies_of_table_2_are_its_rows():
    """LSTM and control at the stated head rho and unpruned, on either CNN, for every n; balanced alone at its own rho."""
    lines = [line.split(",") for line in (ROOT / "paper" / "table_2.csv").read_text().splitlines()[1:]]
    alone = {(data, model, float(rho)) for data, model, method, _, _, rho, *_ in lines if method == "balanced"}
    heads = {(data, model, float(rho), cnn, float(head)) for data, model, method, cnn, _, rho, head, *_ in lines if method == "cnn_lstm"}
    found = [run for name in ("table_2", "table_2_cifar", "table_2_tinyimagenet") for run in studies.load(name)]
    assert alone <= {(run["dataset"], run["model"], run["rho"]) for run in found if run["method"] == "balanced"}
    for method, sizes in (("cnn_lstm", {2, 5, 7, 15, 40}), ("head_control", {1, 2, 5, 7, 15, 40})):
        runs = [run for run in found if run["method"] == method]
        for head_rho in ("stated", "unpruned"):
            rows = {row if head_rho == "stated" else (*row[:4], 0.0) for row in heads}
            for row in rows:
                own = [run for run in runs if (run["dataset"], run["model"], run["rho"], run["cnn_method"], run["head_rho"]) == row]
                assert {run["train_n"] for run in own} == sizes, (method, row)


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "params").glob("*.yaml")))
def test_what_a_run_starts_from_can_be_run_and_of_a_table_is_in_its_study(name):
    found = studies.load(name)
    own = set(studies.run_names(name))
    for run in found:
        first = parameters.prerequisite(without(run, "method"))
        if first:
            assert max(first["n"]) <= choices.DATASETS[run["dataset"]].largest_tuple
            assert studies.run_name(first) in own or not name.startswith("table"), run


WRONG_BLOCKS = [
    ({"rhoo": 2.0}, ["rhoo", "rho, "]),
    ({"rho": [1, -1]}, ["rho: -1.0", ">= 0"]),
    ({"rho": [1, 1.0]}, ["names the run digits-conv-baseline-synflow-rho1-seed0-", "twice"]),
    ({"method": "basline"}, ["method: 'basline'", *parameters.method_names()]),
    ({"method": ["baseline", "basline"]}, ["method: 'basline'", *parameters.method_names()]),
    ({"method": 3}, ["method: 3", *parameters.method_names()]),
    ({"seed": 3}, ["seed: 3", "list of different seeds"]),
    ({"seed": []}, ["seed: []", "list of different seeds"]),
    ({"seed": [0, 1, 0]}, ["seed: [0, 1, 0]", "list of different seeds"]),
    ({"seed": None}, ["seed: None", "list of different seeds"]),
    ({"seed": ["a"]}, ["seed: 'a'", "int"]),
    ({"n": [4, 4]}, ["n: [4, 4]", "twice"]),
    ({"results": "there"}, ["results: a block of runs does not set it", "top of a study"]),
    ({"on_collapse": "raise"}, ["on_collapse: a block of runs does not set it", "records a collapse"]),
    ({"model": ["fc", "resnet18"]}, ["model: resnet18", "digits has 1"]),
    ({"dataset": ["digits", "minst"]}, ["dataset: 'minst'", "digits, mnist"]),
]


@pytest.mark.parametrize("changed, parts", WRONG_BLOCKS, ids=[str(changed) for changed, _ in WRONG_BLOCKS])
def test_a_wrong_block_is_refused_in_one_line(study, changed, parts):
    message = refusal(study, BLOCK | changed)
    assert all(part in message for part in parts)
    assert "some.yaml" in message or "method" in changed


def test_a_key_that_comes_twice_is_refused_and_named(tmp_path):
    file = tmp_path / "some.yaml"
    file.write_text("results: r\nruns:\n  - {method: baseline, rho: 1, seed: [0], rho: 2}\n")
    message = refusal(studies.load, file)
    assert all(part in message for part in ("some.yaml", "the key rho comes twice", "line 3"))


def test_a_block_without_a_method_is_refused(study):
    assert "needs the key method; allowed: " in refusal(study, without(BLOCK, "method"))


def test_a_run_named_by_two_blocks_is_refused_and_named(study):
    message = refusal(study, BLOCK, BLOCK | {"rho": 2, "seed": [1, 2]})
    assert "names the run digits-conv-baseline-synflow-rho2-seed1-" in message and "twice" in message


@pytest.mark.parametrize("content", [
    {"results": "r", "runs": [BLOCK], "seed": [0]}, {"runs": [BLOCK]}, {"results": "r", "runs": BLOCK}, [BLOCK], "text",
], ids=["a key too many", "a key missing", "no list of blocks", "a list", "a word"])
def test_a_study_of_another_form_is_refused_and_its_form_is_told(study, content):
    message = refusal(lambda: study(content=content))
    assert "some.yaml" in message and "exactly the keys results (a folder) and runs (a list, not empty)" in message


@pytest.mark.parametrize("name", ["nowhere/my.yaml", "my.yaml", "my.yml", "nowhere/my"])
def test_a_study_that_is_no_file_is_looked_for_where_the_message_says(name):
    assert re.match(rf"study: there is no \.yaml at '/.*{name.partition('.')[0]}", refusal(studies.load, name))


def test_an_unknown_study_is_refused_and_the_known_ones_are_named():
    message = refusal(studies.load, "minst")
    known = [file.stem for file in (ROOT / "params").glob("*.yaml")]
    assert all(part in message for part in ("study: 'minst'", "params/", *known))


def test_runs_as_usual_have_the_notebooks_defaults_or_no_such_parameter():
    table = pd.DataFrame({"standard_weight": [0.5, 0.0, None, 0.5], "order": [None, None, None, "random"]})
    assert list(tables.at_defaults(table, ["standard_weight", "order"]).index) == [0, 2]
    assert list(tables.at_defaults(table, ["standard_weight", "order"], but=["standard_weight"]).index) == [0, 1, 2]
    assert tables.at_defaults(table[["standard_weight"]], ["order"]).equals(table[["standard_weight"]])


# ---- one tuple of every class, and on how many images a head is scored


@pytest.mark.parametrize("dataset, classes", [("mnist", 10), ("cifar100", 100), ("tinyimagenet", 200)])
@pytest.mark.parametrize("method", ["balanced", "freeze_retrain", "graph"])
def test_a_batch_has_one_tuple_of_every_class_and_more_classes_have_smaller_tuples(method, dataset, classes):
    usual = parameters.check(method, {"dataset": dataset, "model": "conv"})
    assert usual["tuples_per_batch"] == classes and usual.get("tuple_size") in (None, 8 if classes <= 10 else 2)
    assert parameters.identity(method, usual).get("tuples_per_batch", 10) == classes
    assert parameters.check(method, usual | {"tuples_per_batch": 0}) == usual == parameters.check(method, usual)
    table = pd.DataFrame([usual | {"method": method, "classes": classes}])
    assert len(tables.at_defaults(table, ["tuple_size", "tuples_per_batch"])) == 1
    assert tables.at_defaults(table.assign(tuples_per_batch=5), ["tuple_size", "tuples_per_batch"]).empty


@pytest.mark.parametrize("given", [{}, {"tuples_per_batch": 50}, {"tuple_size": 4}])
def test_the_balanced_cnns_batches_are_not_in_the_name_of_a_head_on_a_baseline_cnn(given):
    given = {"dataset": "cifar100", "model": "wideresnet20"} | given
    baseline, balanced = (
        parameters.identity("cnn_lstm", parameters.check("cnn_lstm", given | {"cnn_method": cnn})) for cnn in ("baseline", "balanced")
    )
    assert "tuples_per_batch" not in baseline and baseline["tuple_size"] == 8
    assert (balanced["tuples_per_batch"], balanced["tuple_size"]) == (given.get("tuples_per_batch", 100), given.get("tuple_size", 2))


def test_retraining_may_take_more_epochs_than_the_baseline_that_it_starts_from():
    usual = parameters.check("freeze_retrain", {})
    assert usual["retrain_max_epochs"] == usual["max_epochs"] and "retrain_max_epochs" not in parameters.identity("freeze_retrain", usual)
    longer = parameters.check("freeze_retrain", {"max_epochs": 60, "retrain_max_epochs": 190})
    assert parameters.identity("freeze_retrain", longer)["retrain_max_epochs"] == 190
    assert parameters.prerequisite(longer)["max_epochs"] == 60
    assert parameters.training_limit(longer) == {"limit_epochs": 190, "images_a_step": 80}


def test_of_a_folder_that_only_its_name_tells_of_every_class_is_no_number():
    record = parameters.check("balanced", {"dataset": "mnist"}) | {"method": "balanced", "dataset": "folder-0123456789ab-32px"}
    assert "-p tuples_per_batch 10" in parameters.papermill_command(record)
    table = pd.DataFrame([record | {"classes": classes, "tuples_per_batch": tuples} for classes, tuples in ((10, 10), (10, 5), (None, 5))])
    for part in (table, table[2:]):
        assert list(tables.at_defaults(part, ["tuple_size", "tuples_per_batch"]).index) == [i for i in part.index if i != 1]


@pytest.mark.parametrize("method, given, limit", [
    ("baseline", {}, (160, 64)), ("balanced", {"max_epochs": 190}, (190, 200)),
    ("graph", {"train_n": 5, "n": [5], "model": "conv"}, (160, 500)), ("cnn_lstm", {"cnn_method": "baseline"}, (160, 64)),
    ("cnn_lstm", {"tuple_size": 8, "tuples_per_batch": 10}, (160, 80)),
])
def test_the_limit_of_training_is_the_cnns(method, given, limit):
    params = parameters.check(method, {"dataset": "cifar100", "model": "wideresnet20"} | given)
    assert tuple(parameters.training_limit(params).values()) == limit


@pytest.mark.parametrize("dataset, tuples_per_batch", [("cifar100", 30), ("mnist", 3), ("tinyimagenet", 400)])
def test_more_classes_a_batch_than_the_data_has_or_unequal_parts_are_refused_before_anything_else(dataset, tuples_per_batch):
    with pytest.raises(parameters.ParameterError, match=f"^tuples_per_batch: {tuples_per_batch} is not allowed; .* {dataset} into"):
        parameters.check("balanced", {"dataset": dataset, "tuples_per_batch": tuples_per_batch})


@pytest.mark.parametrize("given, scored, named", [
    ({"train_n": 40, "head_score_n": 2}, 2, True), ({"train_n": 40}, 2, True), ({"train_n": 40, "head_score_n": 0}, 40, False),
    ({"train_n": 7, "head_score_n": 40}, 7, False),
    ({"train_n": 2, "head_score_n": 2}, 2, False), ({"train_n": 1, "head_score_n": 2}, 1, False),
    ({"train_n": 40, "head_score_n": 2, "head_rho": 0.0}, 40, False),
])
def test_the_length_of_the_scored_sequence_is_named_where_it_is_not_that_of_training(given, scored, named):
    params = parameters.check("cnn_lstm", {"dataset": "mnist"} | given)
    assert params["head_score_n"] == scored
    assert ("head_score_n" in parameters.identity("cnn_lstm", params)) == named

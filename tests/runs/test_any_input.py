"""Every study and every parameter, whatever is written there, ends in runs or in one line, within five seconds."""
import json
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_grid import STUDY, clone, grid

from sharedlabel.runs import files, names, parameters, studies
from sharedlabel.runs.errors import ParameterError, show, suggest

BLOCK = "results: r\nruns:\n  - {method: baseline, seed: [0]"
NINE_TIMES = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij"))
LAUGHS = f"a: &a [x, x, x, x, x, x, x, x, x]\n{NINE_TIMES}"  # a billion, in 400 bytes
SIXTY = {name: list(range(1, 61)) for name in ("rho", "batch_size", "patience", "max_epochs", "seed")}


def outcome(function, *arguments):
    """What a function returns, or the one line that it refuses its arguments with; an error of any other kind is the test's."""
    started = time.process_time()  # whatever else the machine does
    try:
        return function(*arguments)
    except ParameterError as error:
        message = str(error)
        assert message and message.isprintable() and len(message) < 3000
        return message
    finally:
        assert time.process_time() - started < 5


def read(folder: Path, content: bytes | str):
    """The runs of a study of this content, each with a name that a record can have, or the line that refuses it."""
    file = folder / "some.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    found = outcome(studies.load, file)
    for run in found if isinstance(found, list) else ():
        path = names.record_path(parameters.identity(run["method"], run), run["results"])
        assert len(path.name.encode()) < 200 and json.dumps(run, allow_nan=False)
    return found


@pytest.mark.parametrize("content, said", [
    (b"results: \xff\xfe", "is not YAML"),
    (BLOCK + ", rho: !!int abc}", "is not YAML"),
    (BLOCK + ", rho: !!int ''}", "is not YAML"),
    (BLOCK + ", rho: !!timestamp x}", "is not YAML"),
    (BLOCK + ", rho: !!python/name:os.system ''}", "is not YAML"),
    (BLOCK + ", rho: !!int 0x" + "f" * 5000 + "}", "rho: a value of type int is int, allowed is float"),
    (BLOCK + ", rho: " + "9" * 400 + "}", "rho: 9999"),
    (BLOCK + ", rho: " + "9" * 5000 + "}", "is not YAML"),
    ("[" * 3000 + "]" * 3000, "RecursionError"),
    ("{a: " * 3000 + "}" * 3000, "RecursionError"),
    ("results: r\nruns: &a [*a]", "needs the key method"),
    ("results: r\nruns: [&a {method: baseline, seed: [0], rho: *a}]", "rho: {"),
    ("results: r\nruns:\n  - method: &a [*a]\n    seed: [0]", "is not allowed; a block names a method"),
    (LAUGHS + "results: r\nruns: *j", "exactly the keys"),
    (LAUGHS + "results: r\nruns: []", "exactly the keys"),
    (BLOCK[:-2] + ", ".join(map("{{{}}}".format, LAUGHS.splitlines())) + "]}", "is dict, allowed is int"),
    (BLOCK + ", seed: [1]}", "seed comes twice"),
    (yaml.safe_dump({"results": "r", "runs": [{"method": "baseline", **SIXTY}]}), "block of 777600000 runs"),
    (BLOCK + ", rho: 1:30}", "rho: '1:30' is str"),
    (BLOCK.replace("[0]", "[010]") + "}", "seed: '010' is str, allowed is int; write 10"),
    (BLOCK + ", rho: 2026-01-01}", "rho: '2026-01-01' is str"),
    (BLOCK + ", max_epochs: 1_000}", "max_epochs: '1_000' is str, allowed is int; write 1000"),
    ("results: r\nruns: [{method: [], seed: [0]}]", "method: [] is not allowed"),
    ("results: r\nruns: [{method: , seed: [0]}]", "method: None is unknown"),
    (BLOCK + ", 1: 2}", "1: not a parameter"),
    (BLOCK + ", \"a\\nb\": 2}", "a b: not a parameter"),
    (BLOCK + ", ? [1, 2] : 3}", "is not YAML"),
    (BLOCK + ", batch_size: 1" + "0" * 30 + "}", "batch_size: 1000000"),
    (BLOCK + ", tuples_per_class: 100000000}", "tuples_per_class: 100000000 is not allowed; it is a number >= 1 and <= 10000"),
    (BLOCK + ", dataset: cifar10, model: resnet18, batch_size: 1}", "batch_size: 1 is not allowed; resnet18 has BatchNorm"),
    (
        BLOCK.replace("baseline", "balanced") + ", dataset: cifar10, model: resnet18, tuples_per_batch: 1, tuple_size: 1}",
        "tuples_per_batch: 1 is not allowed; resnet18 has BatchNorm",
    ),
    (BLOCK + ", rho: 1.0e300}", "rho: 1e+300 is not allowed"),
    (BLOCK.replace("[0]", "[1" + "0" * 300 + "]") + "}", "seed: 1000"),
    (BLOCK + ", rho: " + "x" * 200_000 + "}", "has more than 100000 bytes"),
    (BLOCK.replace("results: r", "results: ~somebody/r") + "}", "results: '~somebody/r' is not a folder's path"),
    (BLOCK.replace("results: r", 'results: "a\\0b"') + "}", "characters that cannot be printed"),
    (BLOCK.replace("results: r", "results: " + "r" * 300) + "}", "it is too long"),
    (BLOCK.replace("results: r", "results: [r]") + "}", "results: ['r'] is list"),
    (BLOCK + ", datset: mnist}", "did you mean dataset?"),
    (BLOCK + ", dataset: minst}", "did you mean mnist?"),
    (BLOCK.replace("baseline", "basline") + "}", "did you mean baseline?"),
], ids=lambda text: str(text)[-40:])
def test_a_wrong_study_is_refused_in_one_line(tmp_path, content, said):
    found = read(tmp_path, content)
    assert isinstance(found, str) and said in found, found


def test_numbers_are_what_they_look_like(tmp_path):
    (run,) = read(tmp_path, BLOCK + ", rho: 1.5e0, learning_rate: 1.0e-3, max_epochs: 10}")
    assert (run["rho"], run["learning_rate"], run["max_epochs"]) == (1.5, 0.001, 10)


def test_a_folder_or_a_file_that_may_not_be_read_is_no_study(tmp_path):
    (tmp_path / "some.yaml").mkdir()
    assert "some.yaml: cannot be read: Is a directory" in outcome(studies.load, tmp_path / "some.yaml")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    assert "there is no .yaml at" in outcome(studies.load, tmp_path / "loop.yaml")


@pytest.mark.parametrize("name, said", [
    ("mnits", "did you mean mnist?"), ("x" * 5000, "is unknown"), ("\0.yaml", "there is no .yaml at"),
    ("../params/digits", None), ("", "is unknown"),
])
def test_a_studys_name_may_be_anything(name, said):
    found = outcome(studies.load, name)
    assert isinstance(found, list) if said is None else said in found


def test_a_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names.results_folder("~/r") == tmp_path / "r"


@pytest.mark.parametrize("kind, said", [("a file", "is not a folder"), ("read-only", "may not be written to")])
def test_a_folder_that_cannot_take_records_is_refused_before_anything_is_trained(tmp_path, monkeypatch, kind, said):
    (tmp_path / "there").touch() if kind == "a file" else monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ParameterError, match=f"results: .*there.* cannot take records, as .* {said}"):
        files.check_writable(tmp_path / "there" / "results")


def test_a_folder_below_one_that_is_closed_cannot_take_records(closed_folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ParameterError, match=f"results: .* cannot take records, as {closed_folder} may not be written to"):
        files.check_writable(closed_folder / "there" / "results")


def test_a_grid_whose_folder_cannot_take_records_ends_at_once(tmp_path):
    (tmp_path / "file").touch()
    ended = grid(clone(tmp_path / "house"), STUDY.replace("runs/tiny", str(tmp_path / "file")))
    assert ended.code == 1 and "cannot take records" in ended.output and "Traceback" not in ended.output


# ---- whatever comes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from([10**30, 10**400, -1, 0, 1, "mnist", "~", "cuda", 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)
NAMES = st.sampled_from(sorted(parameters.TYPES)) | st.text(max_size=12)
MANY = settings(max_examples=1000)


@pytest.mark.slow
@MANY
@given(method=st.sampled_from(parameters.method_names()), given_values=st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_parameters_are_a_run_or_one_line(method, given_values):
    found = outcome(parameters.check, method, given_values)
    if isinstance(found, dict):
        assert json.dumps(found, allow_nan=False)
        assert len(names.record_path(parameters.identity(method, found), "r").name.encode()) < 200


@pytest.mark.slow
@MANY
@given(content=st.binary(max_size=300) | st.text(max_size=300))
@example(content="results: r\nruns: [{method: baseline, seed: [0]}]")
def test_any_file_is_a_study_or_one_line(content, tmp_path_factory):
    read(tmp_path_factory.getbasetemp(), content)


@pytest.mark.slow
@MANY
@given(blocks=st.lists(st.fixed_dictionaries(
    {"method": st.sampled_from(["baseline", "cnn_lstm", ["baseline", "graph"], [], 3]),
     "seed": st.lists(st.integers(0, 3), max_size=3) | VALUES},
    optional={name: VALUES for name in ("rho", "dataset", "n", "batch_size", "results", "train_n", "x y")},
), max_size=3), results=st.just("r") | VALUES)
def test_any_blocks_are_runs_or_one_line(blocks, results, tmp_path_factory):
    read(tmp_path_factory.getbasetemp(), yaml.safe_dump({"results": results, "runs": blocks}))


@given(value=VALUES)
def test_any_value_is_shown_in_a_line(value):
    assert len(show(value)) < 3000
    assert suggest(value, ["mnist"]) in ("", "; did you mean mnist?")

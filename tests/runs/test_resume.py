"""A run that was killed while it trained goes on, and ends as if it had not been."""
import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import generator, run_notebook

from sharedlabel import ROOT, training
from sharedlabel.runs import parameters, resume

GIVEN = {
    "dataset": "digits", "model": "fc", "rho": 0.5, "n": [1, 5], "max_epochs": 5, "learning_rate": 2e-3, "augment": "crop_flip",
    "prune_iterations": 3, "tuples_per_class": 5, "device": "cpu",
}
HEAD = {"train_n": 2, "head_max_epochs": 5, "head_learning_rate": 1e-2}
# a rate at which ever more units die, so that the loss goes up to that of guesses, however sums are rounded
EARLY = GIVEN | {"rho": 0.0, "augment": "none", "learning_rate": 0.05, "batch_size": 8, "patience": 3, "max_epochs": 8, "seed": 1}
END_TO_END = GIVEN | HEAD | {"order": "permutations", "permutations": 2, "cnn_training": "end_to_end"}
CPU, NOWHERE = torch.device("cpu"), Path("nowhere.json")
RUNS = {
    "baseline": ("baseline", GIVEN),
    "baseline, BatchNorm": ("baseline", GIVEN | {"model": "wideresnet20", "rho": 2.0, "prune_iterations": 10, "max_epochs": 4}),
    "baseline, its best epoch early": ("baseline", EARLY),
    "balanced": ("balanced", GIVEN), "graph": ("graph", GIVEN | {"train_n": 2, "n": [2]}),
    "freeze_retrain": ("freeze_retrain", GIVEN), "freeze_retrain, frozen": ("freeze_retrain", GIVEN | {"augment": "none"}),
    "head_control": ("head_control", GIVEN | HEAD), "set_head": ("set_head", GIVEN | HEAD | {"set_head": "attention", "head_rho": 1.0}),
    "cnn_lstm": ("cnn_lstm", GIVEN | HEAD), "cnn_lstm, end to end": ("cnn_lstm", END_TO_END),
}


class Killed(Exception):
    pass


def killing_after(epochs: int):
    """`training.epochs_waited`, which is asked before every epoch, that kills the run after so many."""
    def asked(losses, min_improvement, real=training.epochs_waited):
        if len(losses) == epochs:
            raise Killed
        return real(losses, min_improvement)
    return asked


def whole_and_cut(method: str, given: dict, tmp_path, monkeypatch, capsys) -> tuple[dict, dict]:
    """The record of a run, and that of the same run killed after its second and third epoch."""
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut) if (first := parameters.prerequisite(parameters.check(method, given))) else ():
        run_notebook(first["method"], {name: value for name, value in first.items() if name not in ("method", "results")}, folder)
    expected = run_notebook(method, given, whole)
    for epochs in (2, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(training, "epochs_waited", killing_after(epochs))
            run_notebook(method, given, cut)
        assert len(list(cut.rglob("*.unfinished"))) == 1
    assert "going on after epoch 2;" in capsys.readouterr().out
    found = run_notebook(method, given, cut)
    assert "going on after epoch 3;" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.unfinished"))
    return expected, found


@pytest.mark.parametrize("run", [pytest.param(run, marks=pytest.mark.slow) if "BatchNorm" in run else run for run in RUNS])
def test_a_run_that_was_killed_twice_ends_as_one_that_was_not(run, tmp_path, monkeypatch, capsys):
    expected, found = whole_and_cut(*RUNS[run], tmp_path, monkeypatch, capsys)
    for each in (expected, found):
        del each["provenance"]
    checkpoints = expected.pop("checkpoint"), found.pop("checkpoint")
    assert found == expected and len(found["epochs"]["curves"]["train_loss"]) > 3
    assert found["epochs"]["best"] <= 3 or "early" not in run
    assert checkpoints[0].keys() == checkpoints[1].keys()
    assert all(torch.equal(t, checkpoints[1][name]) for name, t in checkpoints[0].items())


def resumable(tmp_path) -> resume.Resumable:
    return resume.Resumable(tmp_path / "run.json", CPU)


def test_what_was_saved_is_loaded_with_the_streams_and_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    first, now = resumable(tmp_path), resume.time.monotonic
    assert first.load() == {}
    stream = first.random_stream(3, "batches")
    torch.rand(5, generator=stream)
    monkeypatch.setattr(resume.time, "monotonic", lambda: now() + 100)
    first.save(curves={"train_loss": [0.1, 0.2]}, network={"weight": torch.arange(3.0)})
    expected = torch.rand(5, generator=stream)
    monkeypatch.setattr(resume.time, "monotonic", lambda: now() + 1000)
    second = resumable(tmp_path)
    stream = second.random_stream(3, "batches")
    for _ in range(2):  # as where a cell is executed again
        state = second.load()
        assert state["curves"] == {"train_loss": [0.1, 0.2]} and torch.equal(state["network"]["weight"], torch.arange(3.0))
        assert torch.equal(torch.rand(5, generator=stream), expected)
        assert second.seconds() == pytest.approx(100, abs=5)  # not the time between the two


def test_what_takes_a_moment_is_not_written_down(tmp_path):
    saved = resumable(tmp_path)
    saved.save(curves={})
    assert not list(tmp_path.iterdir())
    saved.written -= resume.SECONDS_BETWEEN_WRITES
    saved.save(curves={})
    assert [file.name for file in tmp_path.iterdir()] == ["run.unfinished"]


def test_what_was_made_by_something_else_starts_anew_and_says_what_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    mask = {"mask": torch.tensor([True, False]), "weight": torch.ones(2)}
    first = resumable(tmp_path)
    first.starts_from("network", mask)
    first.save(curves={"train_loss": [1.0]})

    def loaded(mask=mask, device="cpu") -> dict:
        again = resume.Resumable(tmp_path / "run.json", torch.device(device))
        again.starts_from("network", mask)
        return again.load()

    assert loaded()
    for name in ("code_digest", "version"):
        with monkeypatch.context() as patch:
            patch.setattr(resume, name, lambda *_: "another")
            assert loaded() == {}
        assert f": {'code' if name == 'code_digest' else 'torch, numpy, numba'} changed since" in capsys.readouterr().out
    assert loaded(mask | {"mask": torch.tensor([False, True])}) == {}
    expected = "training starts anew, .*/run.unfinished cannot be used: network changed since it was written\n"
    assert re.fullmatch(expected, capsys.readouterr().out)
    assert loaded(device="meta") == {}
    assert "device changed since" in capsys.readouterr().out


def test_the_code_of_a_run_is_the_package_and_the_notebooks_code_but_not_what_they_print(tmp_path, monkeypatch):
    for folder in ("sharedlabel", "notebooks/methods"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resume, "ROOT", tmp_path)
    digests, notebook = [resume.code_digest()], tmp_path / "notebooks" / "methods" / "baseline.ipynb"
    content = json.loads(notebook.read_text())
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    for change in (
        lambda: code[-1]["outputs"].append({"output_type": "stream", "name": "stdout", "text": "said"}),
        lambda: code[0]["source"].append("\n# another default"),
        lambda: (tmp_path / "sharedlabel" / "analysis" / "plots.py").write_text("drawn in another way"),
        lambda: code[-1]["source"].append("\n# other code"),
        lambda: (tmp_path / "sharedlabel" / "live" / "lstm.py").write_text("trained in another way"),
    ):
        change()
        notebook.write_text(json.dumps(content))
        digests.append(resume.code_digest())
    assert [digest == before for before, digest in zip(digests, digests[1:])] == [True, True, True, False, False]


def test_a_run_that_has_a_record_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    resumable(tmp_path).save(curves={"train_loss": [1.0]})
    (tmp_path / "run.json").write_text("{}")
    assert resumable(tmp_path).load() == {}
    assert not (tmp_path / "run.unfinished").exists()


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 255 for byte in content[middle : middle + 64]) + content[middle + 64 :]


def with_checksum(value) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return hashlib.sha256(content.getvalue()).digest() + content.getvalue()


@pytest.mark.parametrize("damage", [
    flipped, lambda content: content[:2000], lambda content: b"", lambda content: content[resume.DIGEST_BYTES :],
    lambda content: with_checksum([1, 2]), lambda content: with_checksum({"made_by": resume.Resumable(NOWHERE, CPU).made_by}),
    lambda content: with_checksum({"made_by": resume.Resumable(NOWHERE, CPU).made_by, "streams": {"batches": torch.ones(3)}}),
], ids=["flipped bytes", "cut short", "empty", "no checksum", "another structure", "nothing in it", "no random stream"])
def test_a_damaged_file_is_named_in_one_line_and_training_starts_anew(tmp_path, monkeypatch, capsys, damage):
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    resumable(tmp_path).save(weights=torch.rand(1000, generator=generator()))
    file = tmp_path / "run.unfinished"
    file.write_bytes(damage(file.read_bytes()))
    found = resumable(tmp_path)
    stream = found.random_stream(0, "batches")
    before = stream.get_state()
    assert found.load() == {} and torch.equal(stream.get_state(), before)
    assert re.fullmatch(f"training starts anew, {file} cannot be used: .+\n", capsys.readouterr().out)


def test_a_run_removes_what_a_killed_one_left_half_written(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f"run.unfinished.{platform.node()}.{dead.pid}.part").touch()
    resumable(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "SECONDS_BETWEEN_WRITES", 0.0)
    (tmp_path / "no_folder").touch()
    with pytest.warns(UserWarning, match="training goes on, but its progress is not saved: .*no_folder"):
        resume.Resumable(tmp_path / "no_folder" / "run.json", CPU).save(curves={})

"""A run that was stopped while it trained goes on, and ends as if it had not been."""
import json

import pytest
import torch
from conftest import generator

from sharedlabel import ROOT, parameters, records, resume, training

GIVEN = {
    "dataset": "digits", "model": "fc", "rho": 0.5, "n": [1, 5], "max_epochs": 5, "learning_rate": 2e-3, "augment": "crop_flip",
    "prune_iterations": 3, "tuples_per_class": 5, "device": "cpu",
}
HEAD = {"train_n": 2, "head_max_epochs": 5, "head_learning_rate": 1e-2}
METHODS = {
    "baseline": GIVEN, "balanced": GIVEN, "freeze_retrain": GIVEN, "head_control": GIVEN | HEAD, "graph": GIVEN | {"train_n": 2, "n": [2]},
    "cnn_lstm": GIVEN | HEAD | {"order": "permutations", "permutations": 2, "cnn_training": "end_to_end"},
}


def execute(method: str, given: dict, results) -> dict:
    """A method notebook in this process, as papermill has it run with what is given; returns its record."""
    cells = json.loads((ROOT / "notebooks" / "methods" / f"{method}.ipynb").read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    injected = "\n".join(f"{name} = {value!r}" for name, value in (given | {"results": str(results)}).items())
    names = {"In": []}  # IPython's history
    for source in (sources[0], injected, *sources[1:]):
        names["In"].append(source)
        exec(source, names)
    file = records.path(names["record"]["params"], results)
    return json.loads(file.read_text()) | {"checkpoint": records.load_checkpoint(file)}


class Stopped(Exception):
    pass


def stopping_after(epochs: int):
    """`training.epochs_waited`, which is asked before every epoch, that stops the run after so many."""
    def asked(losses, min_improvement, real=training.epochs_waited):
        if len(losses) == epochs:
            raise Stopped
        return real(losses, min_improvement)
    return asked


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_stopped_twice_ends_as_one_that_was_not(method, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resume, "EVERY", 0.0)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut) if (first := parameters.needs(method, parameters.check(method, METHODS[method]))) else ():
        execute(first["method"], {name: value for name, value in first.items() if name not in ("method", "results")}, folder)
    expected = execute(method, METHODS[method], whole)
    for epochs in (2, 3):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(training, "epochs_waited", stopping_after(epochs))
            execute(method, METHODS[method], cut)
        assert len(list(cut.rglob("*.unfinished"))) == 1
    capsys.readouterr()
    found = execute(method, METHODS[method], cut)
    assert "going on after epoch 3\n" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.unfinished"))
    for each in (expected, found):
        del each["provenance"]
    checkpoints = expected.pop("checkpoint"), found.pop("checkpoint")
    assert found == expected and len(found["epochs"]["curves"]["train_loss"]) == 5
    assert checkpoints[0].keys() == checkpoints[1].keys()
    assert all(torch.equal(t, checkpoints[1][name]) for name, t in checkpoints[0].items())


def resumable(tmp_path) -> resume.Resumable:
    return resume.Resumable(tmp_path / "run.json", torch.device("cpu"))


def test_what_was_saved_is_loaded_with_the_streams_and_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 0.0)
    first, now = resumable(tmp_path), resume.time.time
    assert first.load() == {}
    stream = first.stream(3, "batches")
    torch.rand(5, generator=stream)
    monkeypatch.setattr(resume.time, "time", lambda: now() + 100)
    first.save(curves={"train_loss": [0.1, 0.2]}, network={"weight": torch.arange(3.0)})
    expected = torch.rand(5, generator=stream)
    monkeypatch.setattr(resume.time, "time", lambda: now() + 1000)
    second = resumable(tmp_path)
    stream = second.stream(3, "batches")
    state = second.load()
    assert state["curves"] == {"train_loss": [0.1, 0.2]} and torch.equal(state["network"]["weight"], torch.arange(3.0))
    assert torch.equal(torch.rand(5, generator=stream), expected)
    assert second.seconds() == pytest.approx(100, abs=5)  # not the time between the two


def test_what_takes_a_moment_is_not_written_down(tmp_path):
    saved = resumable(tmp_path)
    saved.save(curves={})
    assert not list(tmp_path.iterdir())
    saved.written -= resume.EVERY
    saved.save(curves={})
    assert [file.name for file in tmp_path.iterdir()] == ["run.unfinished"]


def test_other_code_or_another_torch_starts_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resume, "EVERY", 0.0)
    resumable(tmp_path).save(curves={"train_loss": [1.0]})
    assert resumable(tmp_path).load()
    for owner, name, value in ((resume, "code", lambda: "another"), (torch, "__version__", "3.0")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert resumable(tmp_path).load() == {}
        assert "it starts anew" in capsys.readouterr().out


def test_a_run_that_has_a_record_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 0.0)
    resumable(tmp_path).save(curves={"train_loss": [1.0]})
    (tmp_path / "run.json").write_text("{}")
    assert resumable(tmp_path).load() == {}
    assert not (tmp_path / "run.unfinished").exists()


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 0.0)
    resumable(tmp_path).save(weights=torch.rand(1000, generator=generator()))
    file = tmp_path / "run.unfinished"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match="run.unfinished is damaged .*; delete it, and the run starts anew"):
        resumable(tmp_path).load()

"""A study's life, for real: killed, gone on with, cloned, forced. A run is done when its record exists."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sharedlabel import ROOT
from sharedlabel.runs import parameters, records, studies

RESULTS = "runs/tiny"
STUDY = """
results: runs/tiny
runs:
  - {dataset: digits, method: baseline, model: fc, rho: 9, seed: [0], prune_iterations: 5, device: cpu}
"""
# 400 epochs leave time to kill a notebook while it trains.
ONE_RHO_MORE = STUDY + """
  - {dataset: digits, method: baseline, model: fc, rho: 1, seed: [0, 1], prune_iterations: 5, max_epochs: 400, patience: 400, device: cpu}
"""
ONE_RUN = ONE_RHO_MORE.replace("[0, 1]", "[1]").replace("rho: 9", "rho: 8")


def clone(into: Path) -> Path:
    """What a clone has and a study needs; mtimes are those of the copying, as git's are those of the checkout."""
    for name in ("Snakefile", "profiles", "sharedlabel", "notebooks/methods"):
        source, target = ROOT / name, into / name
        if source.is_dir():
            for file in (f for f in source.rglob("*") if f.is_file() and f.suffix in (".py", ".yaml", ".ipynb")):
                (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target / file.relative_to(source))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return into


STARTED: list[subprocess.Popen] = []


def start(house: Path, study: str, *flags: str) -> subprocess.Popen:
    """The plain command, in a process group of its own."""
    (house / "study.yaml").write_text(study)
    command = [sys.executable, "-m", "snakemake", *(() if "--config" in flags else ("--config", "study=study.yaml")), *flags]
    pipe = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    STARTED.append(subprocess.Popen(command, cwd=house, start_new_session=True, **pipe))
    return STARTED[-1]


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_running():
    yield
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def finish(process: subprocess.Popen, house: Path) -> SimpleNamespace:
    output, _ = process.communicate(timeout=600)
    return SimpleNamespace(code=process.returncode, output=output, records=snapshot(house))


def grid(house: Path, study: str, *flags: str) -> SimpleNamespace:
    return finish(start(house, study, *flags), house)


def snapshot(house: Path) -> dict[str, tuple]:
    """Every record and checkpoint: its mtime and its bytes."""
    return {f.name: (f.stat().st_mtime_ns, f.read_bytes()) for f in sorted((house / RESULTS).rglob("*-seed*"))}


def training(house: Path) -> list[Path]:
    """The executed notebooks whose training cell is running; papermill saves them at every cell."""
    found = []
    for file in (house / "runs/notebooks").rglob("*-rho1-*.ipynb"):
        try:
            cells = json.loads(file.read_text())["cells"]
        except json.JSONDecodeError:  # it is being saved
            continue
        if any(c["metadata"]["papermill"]["status"] == "running" and "training.train(" in "".join(c["source"]) for c in cells):
            found.append(file)
    return found


def kernels(process: subprocess.Popen) -> list[psutil.Process]:
    return [p for p in psutil.Process(process.pid).children(recursive=True) if "ipykernel_launcher" in " ".join(p.cmdline())]


def wait_until(condition, seconds: float = 300):
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> SimpleNamespace:
    """What became of one study, step by step; the tests below look at the steps."""
    house, steps = clone(tmp_path_factory.mktemp("first")), SimpleNamespace()
    steps.collapse = grid(house, STUDY)
    assert steps.collapse.records, steps.collapse.output

    process = start(house, ONE_RHO_MORE)
    wait_until(lambda: len(training(house)) == 2)
    notebooks = kernels(process)
    os.killpg(process.pid, signal.SIGKILL)
    psutil.wait_procs(notebooks, timeout=30)  # in sessions of their own, they see that they are orphans and end
    steps.killed = finish(process, house)

    shutil.rmtree(house / "runs/notebooks")  # what a killed notebook left is of no use to anyone
    process = start(house, ONE_RHO_MORE)
    wait_until(lambda: len(training(house)) == 2)
    kernels(process)[0].send_signal(signal.SIGKILL)
    steps.kernel_killed = finish(process, house)

    steps.completed = grid(house, ONE_RHO_MORE)

    other = clone(tmp_path_factory.mktemp("second"))
    shutil.copytree(house / RESULTS, other / RESULTS)
    for file in (other / RESULTS).rglob("*-seed*"):
        os.utime(file, (1e9, 1e9))  # older than all that makes them
    for file in other / "Snakefile", other / "notebooks/methods/baseline.ipynb":
        file.write_text(file.read_text().replace("rho", "rho ", 1))  # a change of text
    steps.copied, steps.cloned = snapshot(other), grid(other, ONE_RHO_MORE)

    steps.forced = grid(other, ONE_RUN, "--forceall")

    process = start(other, ONE_RUN, "--forceall")
    wait_until(lambda: len(training(other)) == 1)
    steps.while_forced = snapshot(other)
    notebooks = kernels(process)
    os.killpg(process.pid, signal.SIGKILL)
    psutil.wait_procs(notebooks, timeout=30)
    steps.force_killed = finish(process, other)
    broken = other / "notebooks/methods/baseline.ipynb"
    broken.write_text(broken.read_text().replace("lifecycle.finish(run, ", "raise OSError('no space left') if run else ("))
    steps.force_failed = grid(other, ONE_RUN, "--forceall")
    steps.house = house
    return steps


def names(records: dict) -> list[str]:
    return sorted(name for name in records if name.endswith(".json"))


@pytest.mark.slow
def test_a_rho_that_cannot_be_borne_is_an_outcome_and_others_go_on(story):
    (name,) = names(story.collapse.records)
    record = json.loads(story.collapse.records[name][1])
    assert story.collapse.code == 0 and "1 of 1 runs done" in story.collapse.output
    assert record["status"] == "layer_collapse" and "needs at least" in record["collapse"]
    assert all(json.loads(story.completed.records[name][1])["status"] == "ok" for name in names(story.completed.records) if "rho1-" in name)


@pytest.mark.slow
def test_a_killed_study_keeps_what_is_done(story):
    assert story.killed.code == -signal.SIGKILL
    assert story.killed.records == story.collapse.records


@pytest.mark.slow
def test_a_killed_notebook_says_where_its_log_is_and_others_go_on(story):
    assert story.kernel_killed.code == 1
    assert len(names(story.kernel_killed.records)) == 2 and "2 of 3 runs done" in story.kernel_killed.output
    failed = next(line for line in story.kernel_killed.output.splitlines() if line.startswith("FAILED: digits-fc-baseline-synflow-rho1"))
    log = next(line.split("its log: ")[1] for line in story.kernel_killed.output.splitlines() if "its log: " in line)
    assert "Kernel died" in failed and Path(log).is_file() and Path(log).is_relative_to(story.house / "runs")


@pytest.mark.slow
def test_the_plain_command_does_what_is_missing_and_nothing_else(story):
    assert story.completed.code == 0 and "3 of 3 runs done" in story.completed.output
    assert len(names(story.completed.records)) == 3
    for earlier in story.collapse, story.kernel_killed:
        assert earlier.records.items() <= story.completed.records.items()
    assert not list((story.house / RESULTS).rglob("*.part"))


@pytest.mark.slow
def test_a_new_clone_repeats_nothing(story):
    assert story.cloned.code == 0 and "Nothing to be done" in story.cloned.output
    assert story.cloned.records == story.copied


@pytest.mark.slow
def test_a_forced_run_gives_the_same_bytes(story):
    assert story.forced.code == 0
    (name,) = (name for name in names(story.forced.records) if "rho1-seed1-" in name)
    again, first = (json.loads(step.records[name][1]) for step in (story.forced, story.completed))
    assert story.forced.records[name][0] != story.cloned.records[name][0]  # it was run
    assert again.pop("provenance") != first.pop("provenance")
    assert records.dumps(again) == records.dumps(first)
    checkpoint = name.replace(".json", ".safetensors")
    assert story.forced.records[checkpoint][1] == story.completed.records[checkpoint][1]


@pytest.mark.slow
def test_a_finished_record_outlives_a_forced_run_that_is_killed_or_fails(story):
    def trained(records: dict) -> dict[str, bytes]:
        return {name: content for name, (_, content) in records.items() if "rho1-seed1-" in name}

    assert len(trained(story.forced.records)) == 2  # the record and its checkpoint
    assert story.force_killed.code == -signal.SIGKILL
    assert story.force_failed.code == 1 and "no space left" in story.force_failed.output
    for step in story.while_forced, story.force_killed.records, story.force_failed.records:  # so another grid finds it all the time
        assert trained(step) == trained(story.forced.records) and names(step) == names(story.forced.records)


def test_reading_a_grid_imports_neither_torch_nor_pandas(tmp_path):
    house = clone(tmp_path)
    (house / "study.yaml").write_text(STUDY)
    command = [sys.executable, "-X", "importtime", "-m", "snakemake", "--dry-run", "--config", "study=study.yaml"]
    ended = subprocess.run(command, cwd=house, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}
    assert ended.returncode == 0 and "sharedlabel.runs.studies" in imported and not {"torch", "pandas", "papermill"} & imported


@pytest.mark.slow
def test_several_studies_are_one_grid(tmp_path):
    house = clone(tmp_path)
    (house / "other.yaml").write_text(STUDY.replace("rho: 9", "rho: [9, 8]"))
    both = grid(house, STUDY, "--config", "study=study.yaml other.yaml")
    assert both.code == 0 and "2 of 2 runs done" in both.output and len(names(both.records)) == 2  # one of them stands in both
    (house / "other.yaml").write_text(STUDY.replace(RESULTS, "runs/there"))
    apart = grid(house, STUDY, "--config", "study=study.yaml other.yaml")
    assert apart.code == 1 and "study.yaml other.yaml: their records go to different folders" in apart.output


@pytest.mark.parametrize(("wrong", "right", "message"), [
    ("rhos", "rho", "rhos: not a parameter of baseline"),
    ("[0, 0]", "[0]", "seed: [0, 0] is not allowed"),
])
def test_a_wrong_study_ends_in_one_line_before_anything_runs(tmp_path, wrong, right, message):
    house = clone(tmp_path)
    ended = grid(house, STUDY.replace(right, wrong))
    assert ended.code == 1 and not (house / "runs").exists()
    (line,) = (line for line in ended.output.splitlines() if not line.startswith("Using workflow specific profile"))
    assert message in line and "study.yaml" in line


@pytest.mark.parametrize(("wrong", "right", "message"), [
    ("rho: []", "rho: 9", r"rho: \[\] names no value"),
    ("[0}", "[0]", "study.yaml: is not YAML"),
    ("runs: []", "runs:", "not empty"),
])
def test_a_study_of_nothing_is_refused(tmp_path, wrong, right, message):
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace(right, wrong).partition("  - ")[0] if wrong == "runs: []" else STUDY.replace(right, wrong))
    with pytest.raises(parameters.ParameterError, match=message):
        studies.load(file)


def test_a_run_that_starts_from_another_waits_for_it_but_not_once_it_is_done(tmp_path):
    house = clone(tmp_path)
    study = STUDY.replace("baseline", "freeze_retrain")

    def missing() -> list[Path]:
        output = grid(house, study, "--dry-run", "--quiet", "host").output
        return [house / found for found in re.findall(r"^    output: (.*?)(?: \(update\))?$", output, re.MULTILINE)]

    first, second = missing()
    assert "baseline" in first.name and "freeze_retrain" in second.name
    first.parent.mkdir(parents=True)
    first.touch()
    assert missing() == [second]
    second.touch()
    first.unlink()
    assert missing() == [first]
    first.touch()  # newer than the other one
    assert missing() == []

"""A study that is killed twenty times at random moments ends as one that was not."""
import contextlib
import json
import random
import time
from pathlib import Path

import psutil
import pytest
from test_grid import clone, finish, kernels, start, wait_until

RESULTS = "runs/chaos"
STUDY = f"""
results: {RESULTS}
runs:
  - {{dataset: digits, method: [baseline, balanced, freeze_retrain], model: fc, rho: 1, seed: [0], max_epochs: 400, patience: 400}}
  - {{dataset: digits, method: baseline, model: fc, rho: [1.5, 9], seed: [0], max_epochs: 400, patience: 400}}
  - {{dataset: digits, method: cnn_lstm, model: fc, rho: 1, seed: [0], max_epochs: 400, patience: 400, cnn_method: baseline,
     train_n: 2, head_rho: 1, head_max_epochs: 100}}
"""
KILLS = 20


def house(folder: Path) -> Path:
    """A clone that writes the progress of training down after every epoch, so that every kill finds some."""
    made = clone(folder)
    file = made / "sharedlabel" / "runs" / "resume.py"
    text = file.read_text()
    assert text.count("SECONDS_BETWEEN_WRITES = 60.0") == 1
    file.write_text(text.replace("SECONDS_BETWEEN_WRITES = 60.0", "SECONDS_BETWEEN_WRITES = 0.0"))
    return made


def processes(made: Path) -> list[psutil.Process]:
    """What runs in a clone: snakemake, papermill, kernels."""
    found = []
    for process in psutil.process_iter():
        try:
            found += [process] * (Path(process.cwd()).is_relative_to(made))
        except (psutil.Error, FileNotFoundError):  # it has just ended, or is another user's
            continue
    return found


def trains(made: Path, since: float) -> bool:
    """Whether a training has written its progress down since a time."""
    try:
        return any(file.stat().st_mtime > since for file in made.rglob("*.unfinished"))
    except FileNotFoundError:  # it has just ended
        return False


def outcome(made: Path) -> dict[str, bytes]:
    """Every file of the results, records without their provenance but for the checkpoint's sha256."""
    found = {}
    for file in sorted((made / RESULTS).rglob("*-seed*")):
        found[file.name] = file.read_bytes()
        if file.suffix == ".json":
            record = json.loads(found[file.name])
            record["provenance"] = record["provenance"].get("checkpoint_sha256")
            found[file.name] = json.dumps(record).encode()
    return found


def kill(process, made: Path, kind: str) -> None:
    """All that runs, as a machine that is switched off; snakemake alone, whose runs go on beside the next start's; one kernel, then all."""
    if kind == "kernel":
        for victim in kernels(process)[:1]:
            victim.kill()
        time.sleep(0.5)
    for victim in [psutil.Process(process.pid)] if kind == "snakemake" else processes(made):
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    process.communicate()


@pytest.mark.slow
def test_a_study_that_is_killed_twenty_times_ends_as_one_that_was_not(tmp_path):
    chance, made, whole = random.Random(0), house(tmp_path / "killed"), house(tmp_path / "whole")
    kills = resumed = 0
    while kills < KILLS:
        process, started = start(made, STUDY), time.time()
        if chance.random() < 0.5:  # at any moment, mostly while notebooks start
            time.sleep(chance.uniform(1, 9))
        else:  # while something trains
            wait_until(lambda: process.poll() is not None or trains(made, started))  # noqa: B023
            time.sleep(chance.uniform(0, 3))
        if process.poll() is not None:  # the machine is quick: one run is made again
            assert process.returncode == 0, process.communicate()
            chance.choice(sorted((made / RESULTS).rglob("*.json"))).unlink()
            continue
        kill(process, made, chance.choice(["all", "all", "snakemake", "kernel"]))
        kills += 1
        resumed += bool(list(made.rglob("*.unfinished")))
    wait_until(lambda: not processes(made))  # of a killed snakemake alone
    last, reference = finish(start(made, STUDY), made), finish(start(whole, STUDY), whole)
    assert last.code == reference.code == 0 and "6 of 6 runs done" in last.output, last.output
    assert resumed >= 3
    assert outcome(made) == outcome(whole) and len(outcome(whole)) == 11  # one run has collapsed, and no checkpoint
    assert not processes(made)

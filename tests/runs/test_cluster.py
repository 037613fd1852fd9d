"""What a cluster is asked and what it says, without one: a script in the place of squeue. tests/slurm/run.sh has a real Slurm."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_grid import STUDY, clone, finish, start, wait_until

from sharedlabel import ROOT
from sharedlabel.runs import cluster, studies

NAME = "digits-fc-baseline-synflow-rho9-seed0-0123abcd"


def squeue(folder: Path, body: str) -> Path:
    """A folder for PATH with a squeue of this body."""
    script = folder / "bin" / "squeue"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return script.parent


@pytest.fixture
def answers(tmp_path, monkeypatch):
    def answer(body: str) -> None:
        monkeypatch.setenv("PATH", f"{squeue(tmp_path, body)}:{os.environ['PATH']}")
    return answer


def test_jobs_are_found_by_the_name_of_their_run(answers):
    answers(f"""cat <<'END'
7|rule_run_wildcards_digits_fc_{NAME}|/here/it's
8|rule_run_wildcards_digits_fc_{NAME.replace("seed0", "seed1")}|/there
9|something else|/here/it's
10|(null)|/here/it's
END""")
    assert cluster.queued_jobs(Path("/here/it's")) == {NAME: "7"}


def test_where_there_is_no_slurm_nothing_is_queued(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster.queued_jobs(tmp_path) == {}


def test_a_slurm_that_does_not_answer_is_named(answers, tmp_path, capsys):
    answers("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert cluster.queued_jobs(tmp_path) == {}
    assert capsys.readouterr().err.startswith("squeue does not say which jobs are queued: slurm_load_jobs error: Unable")


@pytest.mark.parametrize("own, of_job, message, reason", [
    ("Executing notebook\nValueError: n: too large", None, None, "ValueError: n: too large"),
    ("", None, None, "it did not start"),
    ("Traceback (most recent call last):\ntorch.AcceleratorError: CUDA error: out of memory\nFor debugging consider passing "
     "CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.", None, None,
     "torch.AcceleratorError: CUDA error: out of memory"),
    ("ValueError: n: too large\n\nDuring handling another exception occurred:\nLayerCollapse: fc is empty", None, None,
     "LayerCollapse: fc is empty"),
    ("Executing notebook with kernel: python3", "slurmstepd: error: *** JOB 5 ON a CANCELLED AT 2026 DUE TO TIME LIMIT ***",
     "SLURM-job '5' failed, SLURM status is: 'TIMEOUT'.",
     "Slurm ended it: TIMEOUT; slurmstepd: error: *** JOB 5 ON a CANCELLED AT 2026 DUE TO TIME LIMIT ***"),
    ("Executing notebook with kernel: python3", "slurmstepd-a: error: Exceeded job memory limit\nslurmstepd-a: error: *** STEP CANCELLED",
     "SLURM status is: 'FAILED'", "Slurm ended it: FAILED; slurmstepd-a: error: Exceeded job memory limit"),
    ("Executing notebook with kernel: python3", "", "SLURM status is: 'OUT_OF_MEMORY'", "Slurm ended it: OUT_OF_MEMORY"),
    ("ValueError: n: too large", "Error in rule run", "SLURM status is: 'FAILED'", "ValueError: n: too large"),
    ("", "Building DAG\nsrun: fatal: no configuration\nshutting down", "SLURM status is: 'FAILED'", "srun: fatal: no configuration"),
])
def test_the_reason_of_a_failure_is_slurms_where_slurm_ended_the_job(tmp_path, own, of_job, message, reason):
    logs = []
    for name, text in (("own", own), ("of_job", of_job)):
        if text is not None:
            logs.append(tmp_path / name)
            logs[-1].write_text(text)
    assert cluster.failure(logs, message) == reason


@pytest.mark.slow
def test_a_run_that_slurm_still_has_is_waited_for_and_not_run_again(tmp_path, monkeypatch):
    """Its job leaves the queue and its record appears; the other run of the study is run here."""
    house, study = clone(tmp_path / "house"), STUDY.replace("seed: [0]", "seed: [0, 1]")
    (house / "study.yaml").write_text(study)
    queued, _ = studies.run_names(house / "study.yaml")
    folder = squeue(tmp_path, f"""test -e {tmp_path}/done && exit
case "$*" in *%k*) echo '7|rule_run_wildcards_digits_fc_{queued}|{house}' ;; *) echo 7 ;; esac""")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    process, record = start(house, study), house / "runs/tiny/digits/fc" / f"{queued}.json"
    wait_until(lambda: list(record.parent.glob("*.json")), 120)
    assert process.poll() is None and not record.exists()
    record.write_text("made by the job")
    (tmp_path / "done").touch()
    ended = finish(process, house)
    assert ended.code == 0 and "2 of 2 runs done" in ended.output, ended.output
    assert record.read_text() == "made by the job"


def test_what_every_job_of_a_cluster_loads_is_light():
    """Two snakemakes stand beside each run on its node; neither loads torch."""
    code = "import re, sys; from pathlib import Path; lines = Path('Snakefile').read_text().splitlines()\n"
    code += "exec('\\n'.join(line for line in lines if line.startswith('from sharedlabel')))\n"
    code += "print('sharedlabel.runs.cluster' in sys.modules, *{'torch', 'numpy', 'pandas', 'numba'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert loaded == ["True"]

"""What a Slurm cluster says of a study's runs: which of them it still has, and why one of them ended."""
import re
import shutil
import subprocess
import sys
from pathlib import Path


def queued_jobs(folder: Path) -> dict[str, str]:
    """The ids of this user's Slurm jobs that wait or run, by the name of their run; {} where there is no Slurm.

    `folder` is the one that they were submitted from: another checkout's runs have the same names. snakemake's executor writes
    a run's data set, network and name, which `names.run_name` begins with the other two, into the job's comment. Where Slurm
    does not answer, that is said, and nothing is found.
    """
    if not shutil.which("squeue"):
        return {}
    command = ["squeue", "--me", "--noheader", "--format=%A|%k|%Z"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        print(f"squeue does not say which jobs are queued: {' '.join(answer.stderr.split())}", file=sys.stderr)
    found = {}
    for line in answer.stdout.splitlines():
        job, comment, where = line.strip().split("|", 2)
        name = re.search(r"_wildcards_(.+?)_(.+?)_(\1-\2-.+)$", comment)
        if name and Path(where) == folder:
            found[name[3]] = job
    return found


def failure(logs: list[Path], message: str | None) -> str:
    """Why a run failed, in a line: what Slurm said where Slurm ended it (memory, time, cancelled), else the last error in the run's log.

    `logs` are the run's own and, on a cluster, the job's; `message` is what the executor said of the job's status.
    """
    own, *of_job = (log.read_text(errors="replace").strip() if log.is_file() else "" for log in logs)
    status = re.search(r"status is: '(\w+)'", message or "")
    killed = [line for text in of_job for line in text.splitlines() if re.search(r"slurmstepd\S*: error:|oom.kill", line, re.I)]
    if killed or (status and status[1] != "FAILED"):
        telling = [line for line in killed if re.search("memory|oom|time limit", line, re.I)] or killed
        return "; ".join([f"Slurm ended it: {status[1] if status else 'FAILED'}", *telling[:1]])
    errors = [line for text in of_job for line in text.splitlines() if re.search(r"\b(error|fatal): ", line)]
    named = re.findall(r"^(?:\w+\.)*[A-Z]\w*: .*", own, re.MULTILINE)  # CUDA's errors go on for lines
    return (named or [own.rpartition("\n")[2]])[-1] or (errors or ["it did not start"])[-1]

# The only scheduler: one papermill execution for every run of a study whose record does not exist.
#   make grid STUDY=mnist       or, from anywhere:   snakemake --snakefile PATH/Snakefile --config study=mnist
# Several studies, as STUDY="table_1 table_1_large", are one grid.
# How snakemake treats records, failures and kills is set, each with its reason, in profiles/default/config.yaml.
import os
import re
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.logging import logger

# This checkout's package, whichever is installed: here and, from the shell command on, in the notebooks.
sys.path.insert(0, str(workflow.basedir))
from sharedlabel import ROOT
from sharedlabel.runs import cluster, files, names, parameters, studies

# Every path is anchored here. Where nobody may write here, logs and executed notebooks go to the folder that snakemake was started in.
workdir: ROOT if os.access(ROOT, os.W_OK) else os.getcwd()

RUNS = {}  # by name: the study's runs, and the runs that these start from


def anchored(path):
    """A path as snakemake is given it: relative to the checkout if in it, as braces in the checkout's own path are no wildcards."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) and Path.cwd() == ROOT else path


def add_run(run):
    """Add a run, and the one that it starts from, to `RUNS`; returns where its record lies."""
    method, given = run["method"], {name: value for name, value in run.items() if name != "method"}
    record = anchored(names.record_path(parameters.identity(method, given), given["results"]))
    prerequisite = parameters.prerequisite(given)
    RUNS[record.stem] = {"method": method, "given": given, "record": record, "before": [add_run(prerequisite)] if prerequisite else []}
    return record


try:
    asked = str(config.get("study", "--config study=NAME"))
    study_names = [asked] if Path(asked).is_file() or "study" not in config else shlex.split(asked)  # a path may have spaces
    folders = {add_run(run).parents[2] for name in study_names for run in studies.load(name)}
    if len(folders) > 1:
        apart = " and ".join(sorted(map(str, folders)))
        raise parameters.ParameterError(f"{' '.join(study_names)}: their records go to different folders, {apart}")
    files.check_writable(min(folders).absolute())
except parameters.ParameterError as error:
    sys.exit(str(error))  # before anything is trained
except ValueError as error:  # of shlex
    sys.exit(f"study: {error}: {config['study']}; a name or path with a space or an apostrophe is written in quotes")

(RESULTS,) = folders  # RESULTS/DATASET/MODEL/NAME.json
if set("{}") & set(str(RESULTS)):
    sys.exit(f"results: {str(RESULTS)!r} is not allowed; snakemake would read what is in braces as a wildcard")
# Jobs that a snakemake which died, as at a logout, left to Slurm. A job's own snakemake does not ask: it would find itself.
QUEUED = cluster.queued_jobs(Path.cwd()) if workflow.is_main_process else {}
QUEUED = {name: job for name, job in QUEUED.items() if name in RUNS}
PAPERMILL = f"{shlex.quote(sys.executable)} -m papermill"  # of the environment that runs snakemake, kernel included
NOTEBOOKS = anchored(ROOT / "notebooks" / "methods")
RECORD = f"{RESULTS}/{{dataset}}/{{model}}/{{name}}.json"


rule all:
    input: [run["record"] for run in RUNS.values()]


def data_set(wildcards):
    """What is known of a run's data set."""
    return parameters.data_set(RUNS[wildcards.name]["given"])


def before(wildcards):
    """The record that has to be there first, as long as the run's own is not: what is done needs nothing any more.

    It is `ancient`: snakemake compares mtimes whatever the profile says, and in a new clone they mean nothing.
    """
    run = RUNS[wildcards.name]
    done = run["record"].exists() and not workflow.dag_settings.forceall
    return [] if done else [ancient(str(record)) for record in run["before"]]


rule run:
    input: before
    # `update`: the record that is there stays until the new one replaces it, whatever becomes of a forced run or of two grids at once.
    output: update(RECORD)
    log: "runs/notebooks/{dataset}/{model}/{name}.log"
    params:
        method=lambda wildcards: RUNS[wildcards.name]["method"],
        # YAML, not JSON: papermill reads YAML 1.1, to which JSON's 1e-05 is a string.
        given=lambda wildcards: yaml.safe_dump(RUNS[wildcards.name]["given"], default_flow_style=True, width=10**6).strip(),
    threads: 1  # snakemake hands it on as OMP_NUM_THREADS
    resources:  # what a cluster is asked for: its memory, and minutes; Tiny ImageNet is 1.3 GB of pixels, and a run of it may take days
        mem_mb=lambda wildcards: 4000 if data_set(wildcards).channels == 1 else 8000,
        runtime=lambda wildcards: 5760 if data_set(wildcards).side >= 64 else 1440,
    shell:
        # Relative paths: papermill would fill in braces in the checkout's own path.
        "PYTHONPATH={ROOT:q}:${{PYTHONPATH:-}} SHAREDLABEL_GRID=1 {PAPERMILL} --no-progress-bar"
        " {NOTEBOOKS:q}/{params.method}.ipynb runs/notebooks/{wildcards.dataset}/{wildcards.model}/{wildcards.name}.ipynb -y {params.given:q} > {log:q} 2>&1"


if QUEUED:
    ruleorder: wait > run
    localrules: wait

    rule wait:
        output: update(RECORD)
        wildcard_constraints: name="|".join(map(re.escape, QUEUED))
        log: "runs/notebooks/{dataset}/{model}/{name}.log"
        params: job=lambda wildcards: QUEUED[wildcards.name]
        threads: 0  # however many runs are waited for
        shell:
            "until queue=$(squeue --me --noheader --format=%A) && ! grep --quiet --line-regexp {params.job} <<< \"$queue\"; do sleep 5; done"


onstart:
    for run in RUNS.values():
        if run["record"].exists():  # as after a kill, when another process did the same run
            names.progress_path(run["record"]).unlink(missing_ok=True)


# Of snakemake's log only this is shown: how many runs are done of how many (snakemake counts the steps of this start), and of a
# run that failed, why and where its log is.
def rewrite_message(message, shown=[]):
    event, text = getattr(message, "event", None), str(message.msg)
    if event in ("workflow_started", "progress"):
        text = f"{sum(run['record'].exists() for run in RUNS.values())} of {len(RUNS)} runs done"
        if shown[-1:] == [text]:
            return False
        shown.append(text)
    elif event == "job_error" and message.log:
        logs = [Path(log).absolute() for log in message.log if log]
        text = f"FAILED: {logs[0].stem}: {cluster.failure(logs, message.rule_msg)}\n  its log: {logs[0]}"
    elif event == "error" and message.exception == "RuleException":  # the failed command, a screen of parameters
        return False
    else:
        return event not in ("job_finished", "resources_info") and not text.startswith(("Select jobs", "Execute ", "Cannot restore"))
    message.event, message.quietness, message.msg = None, None, text
    return True


logger.addFilter(rewrite_message)

"""What a run is called and where its files lie.

A run's name is readable and ends in a hash of all parameters that can change its result.
"""
import hashlib
import json
from pathlib import Path

from sharedlabel import ROOT
from sharedlabel.runs.errors import ParameterError, show

# Parameters that methods got after the first records were committed, and the value that those records had without saying so.
# With that value they are in no name and in no record, so that an old record keeps its name and is found as done.
LATER_PARAMETERS = {"augment": "none", "initialisation": "pytorch", "head_biases": "pruned", "tuples_per_batch": 10, "image_size": 32,
                    "budget": "weights"}

# Likewise, but their value then was that of another parameter.
LATER_SAME_AS = {"head_score_n": "train_n", "retrain_max_epochs": "max_epochs"}

# Parameters that have another name in records and in the hash of a run's name than in notebooks and studies: they were renamed
# after the first records were committed.
RECORDED_AS = {"standard_weight": "lam", "message_weight": "passing"}


def run_name(params: dict) -> str:
    """A readable, unique name; params as in a record."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]
    counted = "rho" if params.get("budget", "weights") == "weights" else "macs"
    parts = [params["dataset"], params["model"], params["method"]]
    parts += [f"pool{params['pool']}", f"width{params['width']}"] if "pool" in params else []
    parts += [params["pruner"], f"{counted}{params['rho']:g}"] if params["rho"] or "pool" not in params else []
    parts += [params["check"]] if "check" in params else []
    parts += [f"n{params['train_n']}"] if "train_n" in params else []
    parts += [params["set_head"]] if "set_head" in params else []
    parts += [params["readout"] + (f"{params['hidden_units']}" if params["readout"] == "mlp" else "")] if "readout" in params else []
    return "-".join((*parts, f"seed{params['seed']}", digest))


def results_folder(results: str | Path) -> Path:
    """The folder of records that a parameter or a study names: relative to the repository, or with ~ for a home.

    ParameterError where no folder can have that path, or where it is the repository itself.
    """
    path, refused = str(results), f"results: {show(str(results))} is not a folder's path: "
    if not path.isprintable():
        raise ParameterError(f"{refused}it has characters that cannot be printed")
    if len(path.encode()) > 2000 or max(len(part.encode()) for part in path.split("/")) > 200:
        raise ParameterError(f"{refused}it is too long")
    try:
        folder = ROOT / Path(path).expanduser()
    except RuntimeError as error:  # ~SOMEBODY who has no home here
        raise ParameterError(f"{refused}{error}") from error
    if folder == ROOT:
        raise ParameterError(f"{refused}it is the repository itself; name a folder in it")
    return folder


def record_path(params: dict, results: str | Path) -> Path:
    """Where the run's record lies below the folder `results` (see `results_folder`)."""
    return results_folder(results) / params["dataset"] / params["model"] / f"{run_name(params)}.json"


def progress_path(record_path: Path) -> Path:
    """Where the progress of a run's training is saved until its record exists (`runs.resume`); git ignores it."""
    return record_path.with_suffix(".unfinished")


def checkpoint_paths(record_path: Path) -> tuple[Path, Path]:
    """Where a record's checkpoint lies, by whether it is small or large."""
    return record_path.with_suffix(".safetensors"), record_path.with_suffix(".large.safetensors")

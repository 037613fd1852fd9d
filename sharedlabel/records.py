"""Runs and their records: one small JSON a run, and a sparse checkpoint beside it.

A run's name is readable and ends in a hash of all parameters that can change its result. A run is done
when its record exists; records appear by atomic rename, after their checkpoint.
"""
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from sharedlabel import ROOT, pruning

# Parameters that methods got after the first records were committed, and the value that those records had without saying so.
# With that value they are in no name and in no record, so that an old record keeps its name and is found as done.
ADDED = {"augment": "none", "initialisation": "pytorch", "head_biases": "pruned", "tuples_per_batch": 10}


# Bytes of a checkpoint up to which it is committed; a larger one is named so that git ignores it (an unpruned head: no run starts from it).
COMMITTED = 256 * 1024


def run_name(params: dict) -> str:
    """A readable, unique name; params as in a record."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]
    parts = [params["dataset"], params["model"], params["method"], params["pruner"], f"rho{params['rho']:g}"]
    parts += [f"n{params['train_n']}"] if "train_n" in params else []
    return "-".join((*parts, f"seed{params['seed']}", digest))


def path(params: dict, results: str | Path) -> Path:
    """Where the run's record lies below the folder `results` (relative: to the repository)."""
    return ROOT / results / params["dataset"] / params["model"] / f"{run_name(params)}.json"


def save(record: dict, results: str | Path, tensors: dict[str, Tensor] | None = None) -> Path:
    """Write the record, and `tensors` as its checkpoint, each whole or not at all; returns the record's path.

    The checkpoint is NAME.safetensors, or NAME.large.safetensors where it is larger than `COMMITTED`. What the run had `unfinished` goes.
    """
    target = path(record["params"], results)
    if tensors:
        content, (small, large) = safetensors.save(tensors), checkpoints(target)  # save_file would let nobody else read it
        chosen, other = (small, large) if len(content) <= COMMITTED else (large, small)
        write(chosen, content)
        other.unlink(missing_ok=True)
    write(target, dumps(record).encode())
    unfinished(target).unlink(missing_ok=True)
    return target


def write(file: Path, content: bytes) -> None:
    """The file, whole or not at all; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, file)


def unfinished(record_path: Path) -> Path:
    """Where it is written down how far the training of a run without a record has come (`sharedlabel.resume`); git ignores it."""
    return record_path.with_suffix(".unfinished")


def dumps(record: dict) -> str:
    """JSON with sorted keys, one line an entry of `measures` and of a learning curve."""
    text, lines = json.dumps(rounded(record), sort_keys=True, indent=1), []
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip())
        deep = depth >= 3 or (depth == 2 and line.strip(" ,") in ("}", "]"))
        if deep and lines:
            lines[-1] += (" " if lines[-1].endswith(",") else "") + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def rounded(value):
    """Floats to seven significant digits, which is what float32 holds."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def git(*arguments: str) -> str:
    """What git answers about this checkout; nothing where there is no git, or this is no checkout."""
    try:
        command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def provenance(device, seconds: float) -> dict:
    """What a record says of where it came from: versions, device, seconds, commit, time.

    `dirty`: whether code that a run is made of had changes that are not in the commit.
    """
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "sharedlabel", "notebooks/methods")
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", "torchvision", "numpy", "numba")},
        "device": f"{device} ({torch.cuda.get_device_name(device)})" if torch.device(device).type == "cuda" else str(device),
        "seconds": round(seconds, 1), "commit": git("rev-parse", "HEAD"), "dirty": bool(changed),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


KEPT = ("index", "values", "rows", "bias", "weight", "running_mean", "running_var")


def live_tensors(live: nn.Module) -> dict[str, Tensor]:
    """A live network as a sparse checkpoint: `values` at `index` and `bias` at `rows` of every layer, BatchNorm whole."""
    kept = {name: t for name, t in live.layers.state_dict().items() if name.rpartition(".")[2] in KEPT}
    return {name: (t if t.is_floating_point() else t.int()).cpu().contiguous() for name, t in kept.items()}


def masks(network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The bool masks of `network`'s weights that a sparse checkpoint was trained with, by parameter name; a dead weight is pruned, too.

    Who starts from a checkpoint takes these and does not prune again: a score by loss is a sum in float32, which
    another processor rounds otherwise, and so may keep another weight. ValueError where the checkpoint is another network's.
    """
    chosen = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in pruning.weights(network).items()}
    index = {f"{name.removesuffix('index')}weight": t.long() for name, t in tensors.items() if name.endswith(".index")}
    if index.keys() != chosen.keys() or any(len(at) and at.max() >= chosen[name].numel() for name, at in index.items()):
        raise ValueError("the checkpoint is of another network")
    for name, at in index.items():
        chosen[name].view(-1)[at] = True
    return chosen


def restore(live: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put a sparse checkpoint's values into the live network of the same pruned network; ValueError on another's."""
    own = live_tensors(live)
    fixed = [name for name in own if not own[name].is_floating_point()]
    if set(own) != set(tensors) or not all(torch.equal(own[name], tensors[name]) for name in fixed):
        raise ValueError("the checkpoint is of a network that was pruned differently")
    live.layers.load_state_dict(tensors, strict=False)


def load_checkpoint(record_path: Path) -> dict[str, Tensor]:
    """The sparse checkpoint beside a record (safetensors: no file can run code); FileNotFoundError where there is none."""
    for file in checkpoints(record_path):
        if file.exists():
            return safetensors.load_file(file)
    raise FileNotFoundError(
        f"{record_path} has lost its checkpoint; put the .safetensors back (no large one is committed), or delete it, and it is made again"
    )


def checkpoints(record_path: Path) -> tuple[Path, Path]:
    """Where a record's checkpoint lies, by whether it is small or large."""
    return record_path.with_suffix(".safetensors"), record_path.with_suffix(".large.safetensors")


def load(results: str | Path = "results") -> pd.DataFrame:
    """All records below `results` as one tidy table: a row a run, n and protocol.

    Columns: `run`, `status`, every parameter (those of `ADDED` filled in), the entries of `measures`, and of the network's parts
    summed: `params_total`, `params_remaining`, `macs_dense` and `macs_live_image` (of one image;
    `macs_live` is the tuple's), `seconds`; of its training, `epochs` (how many), `best` and why it `stopped`. A run
    that measured nothing (`layer_collapse`) has one row, empty there. FileNotFoundError where there is no record,
    ValueError, which names the file, on one that is damaged.
    """
    return gather(results, rows_of)


def distinct(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The table as it is, if no two of its runs have the same `keys`; else ValueError: a mean over seeds would mix what differs in more."""
    twice = table[table.duplicated(keys, keep=False)]
    if len(twice):
        raise ValueError(f"runs that differ in more than {', '.join(keys)} cannot be averaged: {', '.join(sorted(set(twice['run'])))}")
    return table


def curves(results: str | Path = "results") -> pd.DataFrame:
    """The learning curves of all records below `results` as one table: a row a run and epoch.

    Columns: `run`, `epoch` (from 1) and the curves by name, nan where a run did not watch it. Errors as in `load`.
    """
    return gather(results, curve_rows)


def gather(results: str | Path, rows: Callable[[dict, str], list[dict]]) -> pd.DataFrame:
    """The rows(record, run) of every record below `results`, one below the other."""
    files, found = sorted((ROOT / results).rglob("*.json")), []
    if not files:
        raise FileNotFoundError(f"no record lies below {ROOT / results}; a study's runs put theirs there (make grid STUDY=...)")
    for file in files:
        try:
            found += rows(json.loads(file.read_text()), file.stem)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is not a whole record ({error!r}); delete it, and its study makes it again") from error
    return pd.DataFrame(found)


def rows_of(record: dict, run: str) -> list[dict]:
    """One record's rows of the table."""
    params = {key: tuple(v) if isinstance(v, list) else v for key, v in record["params"].items() if key != "n"}
    parts, trained = record["network"].values(), record["epochs"]
    network = {key: sum(part[key] for part in parts) for key in ("params_total", "params_remaining", "macs_dense", "macs_live")}
    network["macs_live_image"] = network.pop("macs_live")
    epochs = {"epochs": len(trained["curves"]["train_loss"]) if trained else None} | {key: trained.get(key) for key in ("best", "stopped")}
    base = {"run": run, "status": record["status"], **ADDED, **params, **network, **epochs, "seconds": record["provenance"]["seconds"]}
    return [base | measure for measure in record["measures"] or [{}]]


def curve_rows(record: dict, run: str) -> list[dict]:
    """One record's rows of the table of learning curves."""
    curves = record["epochs"].get("curves", {})
    return [{"run": run, "epoch": epoch, **dict(zip(curves, values))} for epoch, values in enumerate(zip(*curves.values()), start=1)]

"""Records: one small JSON a run, and a sparse checkpoint beside it.

A run is done when its record exists. A record appears by atomic rename, after its checkpoint. A run that is made again replaces both by
two renames, and one that has no checkpoint this time deletes the old one. Killed between the renames, it leaves the new checkpoint beside
the old record, which whoever loads it says (`checkpoints.load`).
"""
import hashlib
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from sharedlabel import ROOT, runtime
from sharedlabel.runs import checkpoints, names
from sharedlabel.runs.files import remove_stale_parts, write_atomically


def save(record: dict, results: str | Path, tensors: dict[str, Tensor] | None = None, facts: str = "") -> Path:
    """Write the record, and just before it `tensors` and `facts` as its checkpoint, each whole or not at all; returns the record's path.

    The checkpoint's sha256 goes into the record's `provenance`. The progress of its training (`runs.resume`) is deleted.
    """
    target, written = names.record_path(record["params"], results), {}
    if tensors:
        content = checkpoints.dumps(tensors, facts)
        record = record | {"provenance": record.get("provenance", {}) | {"checkpoint_sha256": hashlib.sha256(content).hexdigest()}}
        written[checkpoints.choose_path(content, target)] = content
    with runtime.exclusive_lock(target.with_name(".lock")):  # or two processes of one run leave one's checkpoint, the other's record
        write_atomically(written | {target: dumps(record).encode()})
        for path in names.checkpoint_paths(target):
            if path not in written:
                path.unlink(missing_ok=True)  # of a run before, by this name or collapsed now
    progress = names.progress_path(target)
    remove_stale_parts(progress)
    progress.unlink(missing_ok=True)
    return target


def dumps(record: dict) -> str:
    """JSON with sorted keys, one line an entry of `measures` and of a learning curve. ValueError on NaN and infinity, which it has not."""
    text, lines = json.dumps(rounded(record), sort_keys=True, indent=1, allow_nan=False), []
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip())
        deep = depth >= 3 or (depth == 2 and line.strip(" ,") in ("}", "]"))
        if deep and lines:
            lines[-1] += (" " if lines[-1].endswith(",") else "") + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def rounded(value):
    """Floats to seven significant digits, which is what float32 holds; `params` stay as they are, as the run's name is made of them."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: each if key == "params" else rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def git(*arguments: str) -> str:
    """Output of a git command in this checkout; empty where there is no git, or this is no checkout."""
    elsewhere = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # set while git runs a hook or a rebase, maybe of another repository
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere}
    try:
        command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout.strip()
    except OSError:
        return ""


def commit() -> str:
    """The commit that this checkout is of; where it is none, as after a download without git or inside another repository, that is said."""
    folder = git("rev-parse", "--show-toplevel")
    own = bool(folder) and Path(folder).resolve() == ROOT
    return (own and git("rev-parse", "HEAD")) or "none: the code is no checkout of git"


def provenance(device, seconds: float) -> dict:
    """Where a record came from: versions, device, seconds of the run, commit, time.

    `engine`: how live networks are computed on this device (`sharedlabel.live`): `terms` by the compiled program, in float32 whatever the
    run's precision, or, where so much is live that it would be slower, as `maps`; records without one are of older code, whose sums have
    another order.
    `dirty`: whether the package or a method notebook had changes, new files too, that are not in the commit.
    """
    found = commit()
    changed = not found.startswith("none") and git("status", "--porcelain", "--", "sharedlabel", "notebooks/methods")
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in ("torch", "torchvision", "numpy", "numba")},
        "engine": "maps" if torch.device(device).type == "cuda" else "terms",
        "device": f"{device} ({torch.cuda.get_device_name(device)})" if torch.device(device).type == "cuda" else str(device),
        "seconds": round(seconds, 1), "commit": found, "dirty": bool(changed),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }

"""Sparse checkpoints: the live values of a trained network, in safetensors, which cannot run code."""
import json
import shlex
from pathlib import Path

import torch
import yaml
from safetensors import torch as safetensors
from torch import Tensor, nn

from sharedlabel import pruning
from sharedlabel.runs import names, parameters
from sharedlabel.runs.files import write_atomically

# Bytes of a checkpoint up to which it is committed; a larger one is named so that git ignores it (an unpruned head: no run starts from it).
COMMITTED_BYTES = 256 * 1024
STORED = ("index", "values", "rows", "bias", "weight", "running_mean", "running_var")


def live_tensors(live: nn.Module) -> dict[str, Tensor]:
    """A live network as a sparse checkpoint: `values` at `index` and `bias` at `rows` of every layer, BatchNorm whole."""
    kept = {name: t for name, t in live.layers.state_dict().items() if name.rpartition(".")[2] in STORED}
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


def save(tensors: dict[str, Tensor], record_path: Path) -> None:
    """Write the checkpoint of a record: NAME.safetensors, or NAME.large.safetensors where it is larger than `COMMITTED_BYTES`."""
    content, (small, large) = safetensors.save(tensors), names.checkpoint_paths(record_path)  # save_file would let nobody else read it
    chosen, other = (small, large) if len(content) <= COMMITTED_BYTES else (large, small)
    write_atomically(chosen, content)
    other.unlink(missing_ok=True)


def load(record_path: Path) -> dict[str, Tensor]:
    """The sparse checkpoint beside a record (safetensors: no file can run code); FileNotFoundError where there is none."""
    for file in names.checkpoint_paths(record_path):
        if file.exists():
            return safetensors.load_file(file)
    raise FileNotFoundError(
        f"{record_path} has lost its checkpoint; put the .safetensors back (no large one is committed), or delete it, and it is made again"
    )


def load_prerequisite(method: str, params: dict) -> dict[str, Tensor]:
    """The checkpoint of the run that `parameters.prerequisite` names, read from `params["results"]`.

    FileNotFoundError, naming the command that makes it, where that run has no record there, or no checkpoint beside it; ValueError
    where what lies there is the record of another run; LayerCollapse where that run's network collapsed, and so has nothing to start from.
    """
    run, results = parameters.prerequisite(method, params), params["results"]
    before = run.pop("method")
    record = names.record_path(parameters.identity(before, run), results)
    if not record.exists():
        defaults = parameters.defaults(before)
        changed = {name: value for name, value in run.items() if value != defaults[name]}
        lists = {name: value for name, value in changed.items() if isinstance(value, list)}  # -p takes none
        arguments = [f"-p {name} {shlex.quote(str(value))}" for name, value in changed.items() if name not in lists]
        arguments += [f"-y {shlex.quote(yaml.safe_dump(lists, default_flow_style=True, width=10**6).strip())}"] if lists else []
        raise FileNotFoundError(
            f"this run starts from {record.stem}, which has no record in {results}; a grid makes it first, by hand it is "
            f"papermill notebooks/methods/{before}.ipynb out.ipynb {' '.join(arguments)}"
        )
    known = json.loads(record.read_text())
    found, wanted = known["params"], parameters.identity(before, run)
    other = [f"{name} {found.get(name)!r}, not {wanted[name]!r}" for name in wanted if found.get(name) != wanted[name]]
    if other:
        raise ValueError(f"{record} is the record of another run: {'; '.join(other)}")
    if known["status"] == "layer_collapse":
        raise pruning.LayerCollapse(known["collapse"])
    return load(record)

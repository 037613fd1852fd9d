"""Sparse checkpoints: the live values of a trained network, in safetensors, which cannot run code."""
import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor, nn

from sharedlabel import live, pruning
from sharedlabel.runs import names, parameters
from sharedlabel.runs.files import read_record

# Bytes of a checkpoint up to which it is committed; a larger one is named so that git ignores it (an unpruned head: no run starts from it).
COMMITTED_BYTES = 256 * 1024


def live_tensors(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """A live network as a sparse checkpoint: `values` at `index` and `bias` at `rows` of every layer, BatchNorm whole.

    `prefix` goes before every name, where a checkpoint has several parts.
    """
    return {prefix + name: (t if t.is_floating_point() else t.int()).cpu().contiguous() for name, t in network.sparse_state().items()}


def masks(network: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The bool masks of `network`'s weights that a sparse checkpoint was trained with, by parameter name; a dead weight is pruned, too.

    Who starts from a checkpoint takes these and does not prune again: a score by loss is a sum in float32, which
    another processor rounds in another way, so it may keep another weight. ValueError where the checkpoint is another network's.
    """
    chosen = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in pruning.weights(network).items()}
    index = {f"{name.removesuffix('index')}weight": t.long() for name, t in tensors.items() if name.endswith(".index")}
    if index.keys() != chosen.keys() or any(len(at) and at.max() >= chosen[name].numel() for name, at in index.items()):
        raise ValueError("the checkpoint is of another network")
    for name, at in index.items():
        chosen[name].view(-1)[at] = True
    return chosen


def restore_network(network: nn.Module, shape: tuple[int, int, int], tensors: dict[str, Tensor]) -> live.LiveNetwork:
    """The live network of a sparse checkpoint, for images of `shape`.

    `network`, which is the same one before pruning, is pruned in place and given the checkpoint's values. ValueError on another one's.
    """
    pruning.apply_masks(network, masks(network, tensors))
    small = live.build(network, shape)
    small.load_sparse_state(tensors)
    live.write_back(small, network)
    return small


def dumps(tensors: dict[str, Tensor], facts: str = "") -> bytes:
    """A checkpoint's content.

    facts: of the data (`data.facts.dumps`), which go into its metadata, as the one entry, because the order of several is not fixed.
    """
    return safetensors.save(tensors, {"data": facts} if facts else None)  # save_file would let nobody else read it


def choose_path(content: bytes, record_path: Path) -> Path:
    """Where this checkpoint of a record goes: NAME.safetensors, or NAME.large.safetensors beyond `COMMITTED_BYTES`."""
    small, large = names.checkpoint_paths(record_path)
    return small if len(content) <= COMMITTED_BYTES else large


def find(record_path: Path) -> Path | None:
    """The file of a record's checkpoint, None where there is none."""
    return next(filter(Path.exists, names.checkpoint_paths(record_path)), None)


def load_facts(record_path: Path) -> str:
    """The `facts` that a record's checkpoint was saved with; "" where it has none, as the first ones that were committed, or is not there.

    ValueError, which names the file, where it is damaged.
    """
    file = find(record_path)
    if file is None:
        return ""
    try:
        with safe_open(file, "pt") as content:
            return (content.metadata() or {}).get("data", "")
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged ({error}); delete it and its record, and they are made again") from error


def load(record_path: Path) -> dict[str, Tensor]:
    """The sparse checkpoint beside a record (safetensors: no file can run code).

    FileNotFoundError where there is none; ValueError, which names the file, where it is damaged or not the one whose sha256 the
    record names (older records name none).
    """
    file = find(record_path)
    if file is None:
        raise FileNotFoundError(
            f"{record_path} has no checkpoint beside it (no large one is committed); put the .safetensors there, or, of a run of your "
            "own, delete the record, and it is made again"
        )
    content, expected = file.read_bytes(), read_record(record_path).get("provenance", {}).get("checkpoint_sha256")
    if expected not in (None, hashlib.sha256(content).hexdigest()):
        raise ValueError(f"{file} is not the checkpoint whose sha256 its record names; delete both, and they are made again")
    try:
        return safetensors.load(content)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged ({error}); delete it and its record, and they are made again") from error


def load_prerequisite(params: dict) -> dict[str, Tensor]:
    """The checkpoint of the run that `parameters.prerequisite` names, read from `params["results"]`.

    FileNotFoundError, naming the command that makes it, where that run has no record there or no checkpoint beside it; ValueError
    where what lies there is damaged or another run's; LayerCollapse where that run's network collapsed, and so has nothing to start from.
    """
    run, file = parameters.prerequisite(params), prerequisite_path(params)
    if not file.exists():
        raise FileNotFoundError(
            f"this run starts from {file.stem}, which has no record in {params['results']}; a grid makes it first, by hand it is "
            + parameters.papermill_command(run)
        )
    record, expected = read_record(file), parameters.identity(run["method"], run)
    found = record["params"]
    other = [f"{name} {found.get(name)!r}, not {expected[name]!r}" for name in expected if found.get(name) != expected[name]]
    if other:
        raise ValueError(f"{file} is the record of another run: {'; '.join(other)}")
    if record["status"] == "layer_collapse":
        raise pruning.LayerCollapse(record["collapse"])
    try:
        return load(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; by hand: {parameters.papermill_command(run)}") from None


def prerequisite_path(params: dict) -> Path:
    """Where the record of the run lies that a run of these `params` starts from."""
    run = parameters.prerequisite(params)
    return names.record_path(parameters.identity(run["method"], run), params["results"])

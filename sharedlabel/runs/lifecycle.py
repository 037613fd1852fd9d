"""How a method notebook begins and ends, and what its run keeps in between."""
import contextlib
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from sharedlabel import ROOT, data, folders, live, pruning, runtime
from sharedlabel.data import Images, facts
from sharedlabel.data.facts import Facts
from sharedlabel.runs import checkpoints, names, parameters, records
from sharedlabel.runs.files import check_writable
from sharedlabel.runs.resume import Resumable


@dataclass
class Run:
    """A run: its parameters, its device, the progress of its training, and what the notebook puts into its record."""

    method: str
    params: dict
    path: Path  # of the record
    device: torch.device
    resumable: Resumable
    data_facts: Facts | None = None  # of its data set, which may be gone once it is trained (`load_splits`)
    network: dict = field(default_factory=dict)  # `costs.part_costs` by part: cnn, head
    epochs: dict = field(default_factory=dict)  # what `training.train` returns
    measures: list[dict] = field(default_factory=list)  # what `metrics.measure` returns


def begin(method: str, namespace: dict) -> Run:
    """Begin the run of a method notebook, whose `globals()` are `namespace`; prints its name and how long runs like it took.

    The parameters and the folder of records are checked (ParameterError), and the checked values, such as 3.0 for `rho = 3`, replace the
    notebook's. ValueError on a device that is not there.
    """
    folders.read.cache_clear()  # a notebook may run twice in one kernel, and images have changed in between
    params = parameters.from_notebook(method, namespace)
    namespace.update(params)
    device = runtime.select_device(params["device"])
    path = names.record_path(parameters.identity(method, params), params["results"])
    check_writable(path.parent)
    print(f"{path.stem}\n{describe_times(seconds_of_similar_runs(method, params, device))}")
    return Run(method, params, path, device, Resumable(path, device))


def seconds_of_similar_runs(method: str, params: dict, device: torch.device) -> list[float]:
    """How long the committed runs of the same data set, network and method took on a device of this kind."""
    dataset, model = parameters.identity(method, params)["dataset"], params["model"]
    files = (ROOT / "results" / dataset / model).glob(f"{dataset}-{model}-{method}-*.json")
    found = []
    for file in files:
        with contextlib.suppress(ValueError, KeyError):  # a damaged record is the business of who reads its results
            found.append(json.loads(file.read_text())["provenance"])
    return [provenance["seconds"] for provenance in found if provenance["device"].startswith(device.type)]


def describe_times(seconds: list[float]) -> str:
    """The median of how long runs took, as a line to print."""
    if not seconds:
        return "no committed run of this data set, network and method says how long it takes"
    median = statistics.median(seconds)
    text = f"{median:.0f} seconds" if median < 90 else f"{median / 60:.0f} minutes" if median < 5400 else f"{median / 3600:.1f} hours"
    return f"runs of this data set, network and method took {text} (median of {len(seconds)})"


def load_splits(run: Run) -> tuple[Images, Images, Images]:
    """(training, held-out, test set) of the run; errors as in `data.load_splits`."""
    sets = data.load_splits(*(run.params[name] for name in ("dataset", "held_out", "seed", "n", "path", "image_size")))
    run.data_facts = facts.find(run.params, sets[0])
    return sets


@contextlib.contextmanager
def collapse_recorded(run: Run) -> Iterator[None]:
    """Layer collapse in here is an error where `on_collapse` is "raise"; where it is "record" it is recorded and ends the notebook."""
    try:
        yield
    except pruning.LayerCollapse as collapse:
        if run.params["on_collapse"] == "raise":
            raise
        from IPython import get_ipython

        path = save(run, status="layer_collapse", collapse=str(collapse))
        print(f"{collapse}\n{path}\nthe cells below do nothing until the kernel is restarted")
        # Only an error ends a notebook early, and papermill takes that for a failed run. So IPython makes an empty cell of every later one.
        get_ipython().input_transformers_post.append(lambda lines: [])


def restore_prerequisite(run: Run, network: nn.Module, shape: tuple[int, int, int]) -> live.LiveNetwork:
    """The trained live network of the run that this one starts from; `network`, built anew, is pruned as it was and given its values.

    Pruned again, on another processor, it might keep other weights. Errors as in `checkpoints.load_prerequisite`.
    """
    tensors = checkpoints.load_prerequisite(run.params)
    run.resumable.starts_from("the CNN", tensors)
    try:
        return checkpoints.restore_network(network, shape, tensors)
    except ValueError as error:
        raise ValueError(f"{checkpoints.prerequisite_path(run.params)}: {error}") from error


def training_options(run: Run, batch_parameter: str, part: str = "") -> dict:
    """The keyword arguments of `training.train` that parameters decide; `part` is "head_" for a head's own learning rate and epochs.

    `batch_parameter` is the one to lower where a GPU's memory does not hold a batch.
    """
    options = {name: run.params[part + name] for name in ("learning_rate", "max_epochs")}
    options |= {name: run.params[name] for name in ("patience", "min_improvement")}
    return options | {"set_by": (batch_parameter, run.params[batch_parameter]), "resumable": run.resumable}


def finish(run: Run, tensors: dict[str, Tensor]) -> None:
    """End the run: write its record, and `tensors` as its checkpoint; prints the record's path."""
    print(save(run, tensors))


def save(run: Run, tensors: dict[str, Tensor] | None = None, **outcome: str) -> Path:
    """Write the run's record, with `outcome` in place of status "ok"; returns its path."""
    record = {"params": parameters.identity(run.method, run.params), "status": "ok", "network": run.network, "epochs": run.epochs}
    record |= {"measures": run.measures, "provenance": records.provenance(run.device, run.resumable.seconds())} | outcome
    return records.save(record, run.params["results"], tensors, facts.dumps(run.data_facts or facts.find(run.params)) if tensors else "")

"""Made-up records whose verdicts are known, and what a section notebook shows of them."""
import json
from pathlib import Path

import papermill

from sharedlabel import ROOT
from sharedlabel.runs import names, parameters, records

PROVENANCE = {"versions": {}, "device": "cpu", "seconds": 60.0, "commit": "", "time": ""}


def write_run(results: Path, accuracies: dict[int, float], method: str = "baseline", macs: int = 40, bits: dict[int, float] | None = None,
              weights: int | None = None, stopped: str = "no improvement", **given) -> None:
    """A record with these n-accuracies in per cent by n, under both protocols.

    macs: of an image. bits: information gain by n, default 1. weights: left of 260,384, by default as many as rho leaves.
    """
    bits, rho = bits or dict.fromkeys(accuracies, 1.0), given["rho"]
    information = {n: {"information_gain": gain, "information_gain_corrected": gain, "relative_information": gain * rho / n}
                   for n, gain in bits.items()}
    measures = [
        {"n": n, "protocol": protocol, "tuples": 10_000 // n, "n_accuracy": accuracy / 100, "n_accuracy_low": 0.0, "n_accuracy_high": 1.0,
         "macs_live": macs * n, **information[n]}
        for protocol in ("disjoint", "random") for n, accuracy in accuracies.items()
    ]
    left = weights or -int(-260384 // 10**rho)
    records.save({
        "params": parameters.identity(method, parameters.check(method, given)), "status": "ok", "measures": measures,
        "network": {"cnn": {"params_total": 260384, "params_remaining": left, "macs_dense": 1000, "macs_live": macs}},
        "epochs": {"best": 30, "stopped": stopped, "curves": {"train_loss": [1.0] * 30, "validation_loss": [1.0] * 30}},
        "provenance": PROVENANCE,
    }, results)


def write_collapse(results: Path, weights: int, **given) -> None:
    """A record of a baseline that pruning to so many weights left no path."""
    network = {"cnn": {"params_total": 260384, "params_remaining": weights, "macs_dense": 1000, "macs_live": 0}}
    records.save({
        "params": parameters.identity("baseline", parameters.check("baseline", given)), "status": "layer_collapse", "collapse": "no path",
        "network": network, "measures": [], "epochs": {}, "provenance": PROVENANCE,
    }, results)


def copy_run(results: Path, **given) -> None:
    """A committed record of a baseline with its checkpoint, copied to the folder `results`."""
    record = names.record_path(parameters.identity("baseline", parameters.check("baseline", given)), "results")
    target = results / record.relative_to(ROOT / "results")
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in (record, record.with_suffix(".safetensors")):
        (target.parent / file.name).write_bytes(file.read_bytes())


def execute_notebook(name: str, results: Path) -> str:
    """All text that a section notebook shows of the records in a folder, tables as plain text."""
    executed = results.parent / f"{name}.ipynb"
    papermill.execute_notebook(
        str(ROOT / "notebooks" / "sections" / f"{name}.ipynb"), str(executed), {"results": str(results)},
        kernel_name="python3", progress_bar=False, cwd=str(ROOT),
    )
    outputs = [output for cell in json.loads(executed.read_text())["cells"] for output in cell.get("outputs", [])]
    data = [output.get("data", {"text/plain": output.get("text")}) for output in outputs]
    return "\n".join("".join(each.get("text/markdown", each["text/plain"])) for each in data)

"""Made-up records whose verdicts are known, and section notebooks executed on them."""
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import papermill

from sharedlabel import ROOT
from sharedlabel.analysis import comparisons
from sharedlabel.runs import names, parameters, records

SIZES = [1, 25, 80]


def verdicts(rows: pd.DataFrame) -> list[str]:
    """Those of a claim's cases, in the form that all claims share."""
    assert list(rows.columns) == comparisons.CLAIM_COLUMNS
    return list(rows["verdict"])


def write(
    results, method: str, accuracies: dict[int, float], curves: dict[str, list[float]], head: int = 0,
    stopped: str = "no improvement", macs: int = 40, bits: dict[int, float] | None = None, **given,
) -> None:
    """A record with these n-accuracies in per cent by n and these learning curves, with `head` weights left in a head if there is one.

    `macs`: what its CNN costs an image. `bits`: information gain by n, by default 1.
    """
    bits, rho = bits or dict.fromkeys(accuracies, 1.0), given["rho"]
    measures = [
        {"n": n, "protocol": protocol, "tuples": 10_000 // n, "n_accuracy": accuracy / 100,
         "macs_live": (macs + head) * n,
         "information_gain": bits[n], "information_gain_corrected": bits[n], "relative_information": bits[n] * rho / n}
        for protocol in ("disjoint", "random") for n, accuracy in accuracies.items()
    ]
    left = -(-260384 // 10 ** rho)
    network = {"cnn": {"params_total": 260384, "params_remaining": left, "macs_dense": 1000, "macs_live": macs}}
    network |= {"head": {"params_total": 171710, "params_remaining": head, "macs_dense": 1000, "macs_live": head}} if head else {}
    records.save({
        "params": parameters.identity(method, parameters.check(method, given)), "status": "ok", "network": network,
        "measures": measures, "epochs": {"best": 30, "stopped": stopped, "curves": curves},
        "provenance": {"versions": {}, "device": "cpu", "seconds": 60.0, "commit": "", "time": ""},
    }, results)


def write_run(results, accuracies: dict[int, float], method: str = "baseline", **given) -> None:
    """`write` with learning curves that say nothing."""
    write(results, method, accuracies, {"train_loss": [1.0] * 30, "validation_loss": [1.0] * 30}, **given)


def copy_run(results: Path, **given) -> None:
    """A committed record of a baseline with its checkpoint, copied to the folder `results`."""
    record = names.record_path(parameters.identity("baseline", parameters.check("baseline", given)), "results")
    target = results / record.relative_to(ROOT / "results")
    target.parent.mkdir(parents=True, exist_ok=True)
    for file in (record, record.with_suffix(".safetensors")):
        shutil.copy(file, target.parent)


def collapse(results, left: int, **given) -> None:
    """A record of a baseline that pruning to `left` weights left no path."""
    params = parameters.identity("baseline", parameters.check("baseline", given))
    network = {"cnn": {"params_total": 260384, "params_remaining": left, "macs_dense": 1000, "macs_live": 0}}
    records.save({
        "params": params, "status": "layer_collapse", "collapse": "no path", "network": network, "measures": [], "epochs": {},
        "provenance": {"versions": {}, "device": "cpu", "seconds": 1.0, "commit": "", "time": ""},
    }, results)


def save(results, method: str, seed: int, accuracies: list[float], epochs: int = 30, **given) -> None:
    """A record of MNIST Conv at rho 3.5 with these n-accuracies in per cent at n = 1, 25, 80; its epochs zigzag about them by one."""
    zigzag = 0.01 * np.resize([-1.0, 1.0], epochs)
    curves = {f"n_accuracy_{n}": list(accuracy / 100 + zigzag) for n, accuracy in zip(SIZES, accuracies)} | {"train_loss": [1.0] * epochs}
    falling = [1.0, 0.9, 0.9, 0.9, *np.linspace(0.8, 0.5, 26)]  # two epochs without an improvement, then many with one
    curves["validation_loss"] = falling[:epochs]
    given = {"dataset": "mnist", "model": "conv", "rho": 3.5, "seed": seed, "n": SIZES} | given
    write(results, method, dict(zip(SIZES, accuracies)), curves, **given)


def executed(notebook: str, folder, **given: str) -> str:
    """What a section notebook prints and displays of the records in `folder`/results; `given`: other folders in `folder` that it reads."""
    folders = {name: str(folder / value) for name, value in ({"results": "results"} | given).items()}
    papermill.execute_notebook(
        str(ROOT / "notebooks" / "sections" / f"{notebook}.ipynb"), str(folder / f"{notebook}.ipynb"), folders,
        kernel_name="python3", progress_bar=False, cwd=str(ROOT),
    )
    cells = json.loads((folder / f"{notebook}.ipynb").read_text())["cells"]
    return "".join(output_text(output) for cell in cells for output in cell.get("outputs", []))


def output_text(output: dict) -> str:
    """What one output of a cell prints, or displays as Markdown or plain text."""
    if "text" in output:
        return "".join(output["text"])
    return "".join([*(output["data"].get("text/markdown") or output["data"]["text/plain"]), "\n"])

"""Do runs made again agree with their committed records, whose sums were taken in another order?

    .venv/bin/python benchmarks/agreement.py                      # twenty of MNIST's quickest runs, made again below runs/agreement
    .venv/bin/python benchmarks/agreement.py --each               # of every method and network the quickest run
    .venv/bin/python benchmarks/agreement.py results/mnist/conv/RUN.json ...    # these

Every run is its method's notebook, executed by papermill with its record's parameters. Printed are both n-accuracies at the n
that the record has nearest to 5, and, over all runs, the mean difference, new less old, with its 95 % t-interval: of rounding alone it
holds 0. Training is chaotic, so that a single run may differ by as much as two seeds do. Masks, MACs and counts have to be the same.
"""
import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from scipy import stats

from sharedlabel import ROOT
from sharedlabel.runs import names, parameters

AGAIN = ROOT / "runs" / "agreement"


def quickest(count: int) -> list[Path]:
    """MNIST's records of runs that took least and learned something; such as start from no other run."""
    found = []
    for file in (ROOT / "results" / "mnist").rglob("*.json"):
        record = json.loads(file.read_text())
        if record["status"] == "ok" and record["params"]["method"] in ("baseline", "balanced") and accuracy(record) > 0.2:
            found.append((record["provenance"]["seconds"], file))
    return [file for _, file in sorted(found)[:count]]


def quickest_of_each() -> list[Path]:
    """Of every method and network the run on a CPU that took least, of those that trained by gradients and learned something."""
    found = {}
    for file in (ROOT / "results").rglob("*.json"):
        record = json.loads(file.read_text())
        params, made = record["params"], record["provenance"]
        if record["status"] == "ok" and record["epochs"] and made["device"] == "cpu" and accuracy(record) > 0.2:
            kind = params["method"], params["model"]
            found[kind] = min(found.get(kind, (float("inf"), file)), (made["seconds"], file))
    return [file for _, (_, file) in sorted(found.items())]


def accuracy(record: dict) -> float:
    return min((m for m in record["measures"]), key=lambda m: (abs(m["n"] - 5), m["protocol"]))["n_accuracy"]


def again(file: Path) -> dict:
    """The run's new record. What it starts from is found beside it, in a copy of the committed results."""
    recorded = json.loads(file.read_text())["params"]
    params, record = parameters.of_record(recorded), names.record_path(recorded, AGAIN)
    record.unlink()  # the copy: it would be taken for the new one
    given = yaml.safe_dump({name: value for name, value in params.items() if name != "method"}, default_flow_style=True, width=10**6)
    notebook = ROOT / "notebooks" / "methods" / f"{params['method']}.ipynb"
    subprocess.run(
        [sys.executable, "-m", "papermill", "--no-progress-bar", notebook, AGAIN / "notebook.ipynb", "-y", given, "-p", "results", AGAIN,
         "-p", "on_collapse", "record"], check=True, capture_output=True, cwd=ROOT,
    )
    return json.loads(record.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="*", type=Path)
    parser.add_argument("--each", action="store_true")
    asked = parser.parse_args()
    files = asked.records or (quickest_of_each() if asked.each else quickest(20))
    shutil.copytree(ROOT / "results", AGAIN, dirs_exist_ok=True)
    differences = []
    for file in files:
        old, new = json.loads(file.read_text()), again(file)
        assert old["network"] == new["network"], f"{file.stem}: another mask"
        differences.append(accuracy(new) - accuracy(old))
        print(f"{file.stem}: {accuracy(old):.4f} -> {accuracy(new):.4f}", flush=True)
    if len(differences) > 1:
        half = stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1)
        print(f"{len(differences)} runs: {np.mean(differences):+.4f} ± {half:.4f}")


if __name__ == "__main__":
    main()

"""Section 5.2: are Table 1's numbers means of softmax outputs instead of logits? Both readings on the committed networks.

    python -m sharedlabel.analysis.section_5_2_readings

Every network is evaluated once on the test images; tuples are those of its record (disjoint). Writes results/tables/softmax_reading.csv.
"""
import argparse
from pathlib import Path

import pandas as pd
from torch import Tensor

from sharedlabel import data, inference, tuples
from sharedlabel.analysis import intervals, law, section_5_2, tables
from sharedlabel.analysis.intervals import ROW
from sharedlabel.runs import names
from sharedlabel.runs.files import write_atomically
from sharedlabel.runtime import random_stream, select_device

TABLE = "tables/softmax_reading.csv"
READINGS = {"logits": lambda outputs: outputs, "softmax": lambda outputs: outputs.softmax(-1)}


def tuple_accuracies(outputs: Tensor, labels: Tensor, ns: list[int], seed: int) -> list[dict]:
    """For every n, the n-accuracy in per cent of each reading's mean over disjoint tuples: argmax of it; outputs [N, l], labels [N]."""
    rows = []
    for n in ns:
        chosen = tuples.disjoint(labels, n, random_stream(seed, f"disjoint tuples of {n}"))
        hits = {name: read(outputs)[chosen].mean(1).argmax(1) == labels[chosen[:, 0]] for name, read in READINGS.items()}
        rows.append({"n": n} | {name: 100 * float(hit.double().mean()) for name, hit in hits.items()})
    return rows


def run_rows(file: Path, ns: list[int]) -> list[dict]:
    """A record's rows of the table; FileNotFoundError where its checkpoint is missing, ValueError where it is damaged."""
    net = inference.load(file)
    test_set = data.load(net.params["dataset"])[1]
    outputs = law.single_outputs(net, test_set)
    return [{"run": file.stem} | row for row in tuple_accuracies(outputs, test_set.labels, ns, net.params["seed"])]


def write(results: str = "results") -> int:
    """Write the table anew for every network of Table 1 with a committed checkpoint, baseline and balanced; returns how many."""
    select_device("cpu")
    runs, paper = section_5_2.select_runs(tables.load_records(results)), section_5_2.load_paper()
    runs = section_5_2.select_default(runs, "disjoint")
    runs = runs[runs["method"].isin(["baseline", "balanced"]) & section_5_2.is_among(runs, section_5_2.paper_networks())]
    folder, rows = names.results_folder(results), []
    for name in sorted(set(runs["run"])):
        file = next(folder.rglob(f"{name}.json"))
        if file.with_suffix(".safetensors").exists():
            rows += run_rows(file, sorted(set(paper["n"])))
    write_atomically({folder / TABLE: pd.DataFrame(rows).to_csv(index=False, float_format="%.4g", lineterminator="\n").encode()})
    return len({row["run"] for row in rows})


def beside_paper(runs: pd.DataFrame, results: str = "results") -> pd.DataFrame:
    """Mean over seeds by ROW, method and n of either reading in per cent beside the paper's Table 1: columns `logits`, `softmax`, `paper`.

    Empty where `results` has no such table.
    """
    file, of_run = names.results_folder(results) / TABLE, runs.drop_duplicates("run")[["run", *ROW, "method"]]
    found = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["run", "n", *READINGS])
    found = found.merge(of_run, on="run").astype({"n": int} | dict.fromkeys(READINGS, float))
    keys = [*ROW, "method", "n"]
    means = [intervals.summary(found, name, keys).set_index(keys)["mean"].rename(name) for name in READINGS]
    return pd.concat(means, axis=1).reset_index().merge(section_5_2.load_paper())


def distances(found: pd.DataFrame) -> pd.DataFrame:
    """How far either reading lies from the paper, root mean square over n in points, by ROW and method (of `beside_paper`)."""
    squares = found.assign(**{name: (found[name] - found["paper"]) ** 2 for name in READINGS})
    return squares.groupby([*ROW, "method"], sort=False)[list(READINGS)].mean().pow(0.5).reset_index()


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{write()} networks")

"""Tuples of n views of one image, over committed networks, beside tuples of n different images: CSV files in results/tables.

    python -m sharedlabel.analysis.dependent          # those of CASES that the files do not have yet

A view is a test image shifted at random by up to SHIFTS pixels, photographs mirrored or not (`data.RandomCropFlip`); a tuple of different
images has one view of each. So the two differ in nothing but dependence. Nothing is trained, and no network was trained on views.
"""
import argparse
import itertools
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from sharedlabel import data, inference, metrics, moments, predictors, tuples
from sharedlabel.analysis import law, tables
from sharedlabel.analysis.intervals import ROW
from sharedlabel.data import Images
from sharedlabel.runs import names
from sharedlabel.runs.files import write_atomically
from sharedlabel.runtime import random_stream, select_device

CASES = [("mnist", "conv", 3.5), ("mnist", "conv", 3.75), ("mnist", "fc", 2.5), ("cifar10", "resnet18", 4.5), ("cifar10", "conv", 3.0)]
HEAD_RHO = {"mnist": 2.0, "cifar10": 2.5}  # of the LSTM heads; MNIST's harder pruned ones name hardly a class, others have no checkpoint
SHIFTS = [1, 4]  # 4 as in training with `augment: crop_flip`
SIZES = [1, 2, 5, 10, 15, 25, 40]
IMAGES, VIEWS = 1000, max(SIZES)  # test images of all classes together that views are taken of, and how many of each
TUPLES = 500  # of different images, of each class; for an LSTM, which reads every tuple anew, a fifth
SETTINGS = ["pruner", "prune_iterations", "order", "permutations", "cnn_training", "standardised", "head_biases", "head_score_n",
            "standard_weight", "tuple_size", "tuples_per_batch", "initialisation", "augment", "head_learning_rate"]
COLUMNS = [*ROW, "cnn_method", "reader", "shift", "seed", "n", "independent", "dependent", "effective", "predicted", "run"]


def select_files(results: str | Path = "results") -> pd.DataFrame:
    """The runs of CASES whose checkpoint is committed: ROW, `cnn_method`, `seed`, `run`, `train_n`, and `reader`.

    A reader turns a CNN's outputs for a tuple into a prediction: averaged, lda, head (the LSTM head on each image alone, trained so), lstm
    (trained on tuples of train_n).
    """
    runs = tables.load_records(results, ("baseline", "balanced", "readout", "head_control", "cnn_lstm")).drop_duplicates("run")
    runs = tables.at_defaults(runs, SETTINGS)
    runs = runs.merge(pd.DataFrame(CASES, columns=ROW), on=ROW)
    head = (runs["head_rho"] == runs["dataset"].map(HEAD_RHO)) & (runs["head_pruner"] == "synflow")
    readers = {
        "averaged": runs["method"].isin(["baseline", "balanced"]),
        "lda": (runs["readout"] == "lda") & (runs["embedding"] == "logits"),
        "head": (runs["method"] == "head_control") & (runs["train_n"] == 1) & head,
        "lstm": (runs["method"] == "cnn_lstm") & runs["train_n"].isin([5, 15]) & head,
    }
    runs = runs.assign(reader=None, cnn_method=runs["cnn_method"].where(~readers["averaged"], runs["method"]))
    for name, chosen in readers.items():
        runs.loc[chosen, "reader"] = name
    runs = runs[runs["reader"].notna()]
    there = [tables.record_path(run, results).with_suffix(".safetensors").exists() for run in runs.itertuples()]
    return runs[pd.Series(there, runs.index, dtype=bool)]


@lru_cache(maxsize=1)
def view_sets(dataset: str, shift: int, seed: int) -> tuple[Images, Images]:
    """(one view of every test image, VIEWS views of each of about IMAGES test images, one image's views after another's)."""
    test = data.load(dataset)[1]
    stream = random_stream(seed, "views")
    crops = replace(data.augmented(test, "crop_flip", stream), mirrors=test.shape[0] == 3, padding=shift)  # a mirrored digit is none
    chosen = tuples.random(test.labels, 1, stream, IMAGES // test.classes)[:, 0].repeat_interleave(VIEWS)
    return tuple(replace(test, pixels=crops.views(index), labels=test.labels[index]) for index in (torch.arange(len(test)), chosen))


def accuracy(means: Tensor, labels: Tensor) -> float:
    """The percentage of outputs [T, l] that are largest at the label [T]."""
    return 100 * float((means.argmax(1) == labels).double().mean())


def measure_averages(single: Tensor, labels: Tensor, views: Tensor, view_labels: Tensor, seed: int) -> list[dict]:
    """A row for every n of SIZES, of a reader that averages outputs: single [N, l] of different images, views [M, VIEWS, l] of M images.

    `independent`, `dependent`: n-accuracy in percent on tuples of different images and on views of one. `effective`: how many
    independent images n views are worth (`moments.effective_size`). `predicted`: n-accuracy by the law at that number.
    """
    found, rows = moments.class_moments(single, labels), []
    for n in SIZES:
        drawn = tuples.random(labels, n, random_stream(seed, f"dependent {n}"), TUPLES)
        means = views[:, :n].mean(1)
        effective = moments.effective_size(found, means, view_labels)
        confusion = moments.predicted_confusion(found, [effective], random_stream(0, "law"), law.DRAWS // single.shape[1])[0]
        rows.append({
            "n": n, "independent": 100 * float((predictors.mean_of_logits(single, drawn) == labels[drawn[:, 0]]).double().mean()),
            "dependent": accuracy(means, view_labels), "effective": effective, "predicted": 100 * metrics.n_accuracy(confusion),
        })
    return rows


def measure_lstm(net: inference.Predictor, images: Images, of_views: Images) -> list[dict]:
    """A row as of `measure_averages` for an LSTM head, at the n that it was trained for; it averages no outputs: nothing is predicted."""
    n = net.params["train_n"]
    drawn = tuples.random(images.labels, n, random_stream(net.params["seed"], f"dependent {n}"), TUPLES // 5)
    views = torch.arange(len(of_views)).view(-1, VIEWS)[:, :n]
    found = {name: accuracy(net.combine(net.embed(each.pixels)[chosen]), each.labels[chosen[:, 0]])
             for name, each, chosen in (("independent", images, drawn), ("dependent", of_views, views))}
    return [{"n": n} | found]


def measure(file: Path, reader: str, shift: int) -> list[dict]:
    """The rows of a run, for views shifted by up to `shift` pixels."""
    net = inference.load(file)
    images, of_views = view_sets(net.params["dataset"], shift, net.params["seed"])
    if reader == "lstm":
        return measure_lstm(net, images, of_views)
    single, views = (law.single_outputs(net, each) for each in (images, of_views))
    return measure_averages(single, images.labels, views.unflatten(0, (-1, VIEWS)), of_views.labels[::VIEWS], net.params["seed"])


def table_file(results: str | Path = "results") -> Path:
    return names.results_folder(results) / "tables" / "dependent.csv"


def read(results: str | Path = "results") -> pd.DataFrame:
    """The rows of all runs, COLUMNS; empty where there are none."""
    file = table_file(results)
    return pd.read_csv(file, dtype={"run": str}) if file.exists() else pd.DataFrame(columns=COLUMNS)


def update(results: str | Path = "results") -> int:
    """Bring the CSV up to date with the records; returns how many runs were measured."""
    runs, old = select_files(results), read(results)
    new = runs[~runs["run"].map(law.digest).isin(old["run"])].sort_values(["dataset", "seed", *ROW[1:], "cnn_method", "reader"])
    rows = []
    for (dataset, seed), part in new.groupby(["dataset", "seed"]):
        start = time.monotonic()
        for shift, run in itertools.product(SHIFTS, part.itertuples()):
            keys = {name: getattr(run, name) for name in [*ROW, "cnn_method", "reader", "seed"]}
            keys |= {"shift": shift, "run": law.digest(run.run)}
            rows += [keys | row for row in measure(tables.record_path(run, results), run.reader, shift)]
        print(f"{dataset}, seed {seed}: {len(part)} runs in {time.monotonic() - start:.0f} s", flush=True)
    kept = old[old["run"].isin(runs["run"].map(law.digest))]
    found = pd.concat([each for each in (kept, pd.DataFrame(rows, columns=COLUMNS)) if len(each)] or [kept])
    content = found.sort_values(COLUMNS[:8]).to_csv(index=False, float_format="%.4g", lineterminator="\n")
    write_atomically({table_file(results): content.encode()})
    return len(new)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    select_device("cpu")
    update()

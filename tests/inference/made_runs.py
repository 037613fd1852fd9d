"""Short runs of every method on digits, and what a predictor reaches on a record's own test tuples."""
import contextlib
import json
from pathlib import Path

import torch
from conftest import run_notebook

from sharedlabel import tuples
from sharedlabel.data import Images
from sharedlabel.inference import Predictor
from sharedlabel.runs import names, parameters
from sharedlabel.runtime import random_stream

CNN = {"dataset": "digits", "model": "fc", "rho": 1.0, "max_epochs": 6, "learning_rate": 1e-2, "prune_iterations": 10,
       "tuples_per_class": 20, "device": "cpu"}
HEAD = {"train_n": 5, "head_rho": 1.5, "head_max_epochs": 2, "head_learning_rate": 2e-3}
SET = {"train_n": 5, "head_rho": 1.0, "head_max_epochs": 4, "head_learning_rate": 3e-3}
RUNS = {  # by what is said of them: a method and its parameters
    "baseline": ("baseline", {}),
    "residual network": ("baseline", {"model": "wideresnet20", "rho": 1.5}),
    "balanced": ("balanced", {}),
    "freeze and retrain": ("freeze_retrain", {}),
    "averaged logits": ("readout", {"readout": "averaged"}),
    "majority vote": ("readout", {"readout": "vote"}),
    "logits less log frequencies": ("readout", {"readout": "prior"}),
    "refitted biases": ("readout", {"readout": "bias"}),
    "LDA": ("readout", {}),
    "LDA of features": ("readout", {"embedding": "features"}),
    "perceptron": ("readout", {"readout": "mlp", "hidden_units": 16, "head_max_epochs": 10, "head_learning_rate": 1e-2}),
    "LSTM": ("cnn_lstm", HEAD),
    "LSTM of standardised embeddings": ("cnn_lstm", HEAD | {"standardised": True, "order": "random"}),
    "LSTM of features": ("cnn_lstm", HEAD | {"model": "wideresnet20", "rho": 1.5, "head_rho": 0.5, "head_max_epochs": 6,
                                            "head_learning_rate": 1e-2}),
    "LSTM that averages orders": ("cnn_lstm", HEAD | {"order": "permutations"}),
    "LSTM on a CNN that learns on": ("cnn_lstm", HEAD | {"cnn_training": "fine_tune"}),
    "head alone": ("head_control", HEAD | {"cnn_method": "baseline"}),
    "DeepSets": ("set_head", SET),
    "attention pooling": ("set_head", SET | {"set_head": "attention"}),
    "attention pooling of features": ("set_head", SET | {"set_head": "attention", "model": "wideresnet20", "rho": 1.5}),
    "DeepSets alone": ("set_head", SET | {"train_n": 1}),
    "attention pooling alone": ("set_head", SET | {"set_head": "attention", "train_n": 1}),
    "graph of neurons": ("graph", {"train_n": 5, "n": [5]}),
    "graph of embeddings": ("graph", {"train_n": 5, "n": [5], "architecture": "embedding", "head_rho": 1.0}),
}
if "small_dense" in parameters.method_names():
    RUNS["pooled pixels"] = ("small_dense", {"model": "mlp", "width": 20, "pool": 2, "rho": 0.0})
    RUNS["LDA of pooled pixels"] = ("small_dense", {"model": "lda", "pool": 4, "rho": 0.0})


SMALL = {"held_out": 0.3, "tuple_size": 4, "train_n": 2}  # what a folder with five test images a class has images for


def make(what: str, results: Path, folder: Path | None = None) -> Path:
    """The record of one of RUNS, made in `results` if it is not there, and before it that of the CNN that it starts from.

    On digits, or on a `folder` of them.
    """
    method, given = RUNS[what]
    if folder is not None:
        given = given | {name: value for name, value in SMALL.items() if name in parameters.defaults(method)}
        given |= {"dataset": "folder", "path": str(folder), "image_size": 8} | ({"n": [SMALL["train_n"]]} if "n" in given else {})
    params = {"method": method} | parameters.check(method, CNN | given | {"results": str(results)})
    before = parameters.prerequisite(params)
    for run in (before, params):
        if run is not None and not record_of(run, results).exists():
            with contextlib.suppress(FileNotFoundError):  # averaged logits and votes have no checkpoint to return
                run_notebook(run["method"], {name: value for name, value in run.items() if name != "method"}, results)
    return record_of(params, results)


def record_of(run: dict, results: Path) -> Path:
    return names.record_path(parameters.identity(run["method"], run), results)


def measured_again(net: Predictor, test_set: Images) -> list[tuple[dict, float]]:
    """Every row of a record's measures, with the n-accuracy that the predictor reaches on the same tuples of the test set."""
    rows, found = net.embed(test_set.pixels), []
    for row in json.loads(net.record.read_text())["measures"]:
        stream = random_stream(net.params["seed"], f"{row['protocol']} tuples of {row['n']}")
        chosen = tuples.draw(row["protocol"], test_set.labels, row["n"], stream, net.params["tuples_per_class"])
        predicted = torch.cat([net.combine(rows[part]) for part in chosen.split(256)]).argmax(1)
        found.append((row, float((predicted == test_set.labels[chosen[:, 0]]).double().mean())))
    return found

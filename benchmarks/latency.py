"""How long a prediction takes, from the pixels of a tuple to probabilities: live, dense and small dense networks, and their ONNX files.

    .venv/bin/python benchmarks/latency.py              # what benchmarks/latency.csv lacks: a record of every configuration in results/
    .venv/bin/python benchmarks/latency.py RECORD ...   # these, by name or path, anew

Any record that `sharedlabel.load` takes; beside it the dense network of its data set and kind, where it is one of the paper's. `torch`: the
live network as a predictor computes it, or the dense one by PyTorch, with the mean of its logits. `onnx`: the exported file in onnxruntime.
A tuple of one image and of TUPLE, in milliseconds of processor time on one thread, the least of many repetitions: other processes can only
make one longer.
The planner reads benchmarks/latency.csv; a part of it is shown in benchmarks/latency.md. For the milliseconds of another machine delete
the CSV first, or name the records that matter.
"""
import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # before they are read

import argparse
import json
import platform
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pandas as pd
import torch
from torch import nn

import sharedlabel
import timing
from sharedlabel import ROOT, choices, heads, live, models, runtime
from sharedlabel.inference import Predictor, networks
from sharedlabel.runs import checkpoints

CSV, REPORT = ROOT / "benchmarks" / "latency.csv", ROOT / "benchmarks" / "latency.md"
TUPLE = 10  # images; a graph network has its own number
LEAST_REPETITIONS, LEAST_SECONDS = 20, 0.05
AT_ONCE = 20  # networks after which the CSV is written


def milliseconds(action: Callable[[], object]) -> float:
    """The least of many repetitions."""
    action()
    found = []
    while len(found) < LEAST_REPETITIONS or sum(found) < LEAST_SECONDS:
        found.append(timing.seconds(action))
    return 1000 * min(found)


def measure(name: str, net: Predictor, exported: Predictor) -> list[dict]:
    """Rows of the CSV, one for each size of tuple: of a network, and of the file of `exported`, the same one as a live network."""
    with tempfile.TemporaryDirectory() as folder:
        file, rows = Path(folder) / "net.onnx", []
        try:
            exported.export(file)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session, size = onnxruntime.InferenceSession(file, options), file.stat().st_size
        except ValueError:  # a head that averages over random orders
            session, size = None, None
        for n in (1, TUPLE) if net.stages.n is None else (net.stages.n,):
            pixels = torch.zeros(n, *net.facts.shape, dtype=torch.uint8)
            by_torch = milliseconds(lambda pixels=pixels: net.combine(net.embed(pixels)[None]).softmax(1))
            by_onnx = milliseconds(lambda pixels=pixels: session.run(None, {"pixels": pixels.numpy()})) if session else None
            rows.append({"network": name, "n": n, "torch": by_torch, "onnx": by_onnx, "bytes": size})
    return rows


def dense_name(params: dict) -> str:
    return f"{params['dataset']}-{params['model']}-dense"


def measure_dense(net: Predictor) -> list[dict]:
    """Of the dense network of a record's data set and kind; its weights are random, which no time depends on."""
    network = models.build(net.params["model"], net.facts.shape, len(net.classes), torch.Generator()).eval()
    stages = nn.Sequential(nn.Unflatten(1, net.facts.shape), network), networks.on_images(live.build(network, net.facts.shape)).eval()
    by_torch, exported = (Predictor(net.record, net.params, net.facts, networks.Stages(each, heads.Mean())) for each in stages)
    return measure(dense_name(net.params), by_torch, exported)


def one_of_each_configuration() -> list[Path]:
    """A record with a checkpoint of every configuration, which is all parameters but the seed and the n that were measured."""
    found = {}
    for file in sorted((ROOT / "results").glob("*/*/*.json")):
        record = json.loads(file.read_text())
        params = {name: value for name, value in record["params"].items() if name not in ("seed", "n")}
        if record["status"] == "ok" and (checkpoints.find(file) or params.get("readout") in choices.STATELESS_READOUTS):
            found.setdefault(json.dumps(params, sort_keys=True), file)
    return list(found.values())


def write(table: pd.DataFrame) -> None:
    table = table.sort_values(["network", "n"]).astype({"n": int, "bytes": "Int64"})
    table.to_csv(CSV, index=False, float_format="%.3g", lineterminator="\n")


def report(table: pd.DataFrame) -> str:
    """The rows of the dense networks, below each its baselines by ρ, small dense ones by size and one record of every other method, as
    Markdown; small networks that are none of the paper's behind them.
    """
    lines = ["| network | torch, n = 1 | n = 10 | onnx, n = 1 | n = 10 | file, kB |", "|---|---|---|---|---|---|"]
    by_name, shown = {name: rows.set_index("n") for name, rows in table.groupby("network")}, set()
    records = {name: json.loads(file.read_text())["params"] for name in by_name for file in (ROOT / "results").glob(f"*/*/{name}.json")}
    for dense in [f"{dataset}-{model}-dense" for dataset in choices.DATASETS for model in choices.MODELS | choices.SMALL_MODELS]:
        own = sorted(name for name in by_name if name.startswith(dense.removesuffix("dense")) and name in records)
        for name in [dense, *own] if dense in by_name else own:
            params = records.get(name, {})
            method, pruner = params.get("method", "dense"), params.get("pruner", "synflow")
            size = {"baseline": params.get("rho"), "small_dense": (params.get("pool"), params.get("width"))}.get(method)
            kind = (dense, method, params.get("architecture"), size)
            if kind not in shown and pruner == "synflow":
                shown.add(kind)
                rows = by_name[name]
                cells = [f"{rows.loc[n, column]:.3g}" if n in rows.index else "" for column in ("torch", "onnx") for n in (1, TUPLE)]
                lines.append(f"| {name} | {' | '.join(cells)} | {rows['bytes'].iloc[0] / 1000:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="*")
    named = parser.parse_args().records
    runtime.select_device("cpu")  # one thread, and freed memory is kept
    table = pd.read_csv(CSV) if CSV.exists() else pd.DataFrame(columns=["network"])
    wanted = named or [file for file in one_of_each_configuration() if file.stem not in set(table["network"])]
    for start in range(0, len(wanted), AT_ONCE):
        for net in map(sharedlabel.load, wanted[start : start + AT_ONCE]):
            rows, dense = measure(net.record.stem, net, net), dense_name(net.params)
            if net.params["model"] in choices.MODELS and dense not in set(table["network"]):
                rows += measure_dense(net)
            table = pd.concat([table[~table["network"].isin({row["network"] for row in rows})], pd.DataFrame(rows)], ignore_index=True)
        write(table)
        print(f"{min(start + AT_ONCE, len(wanted))} of {len(wanted)}", flush=True)
    head, _, _ = REPORT.read_text().partition("| network") if REPORT.exists() else ("# Latency\n\n", "", "")
    REPORT.write_text(f"{head}{report(table)}\n")
    cpus = Path("/proc/cpuinfo")  # of Linux
    named = re.search("model name\\s*: (.*)", cpus.read_text()) if cpus.exists() else None
    processor = named[1] if named else platform.processor()
    print(f"{platform.machine()} {processor}, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()

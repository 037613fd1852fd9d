"""How long would what is missing of a study take on one core of this machine?

    .venv/bin/python benchmarks/times.py                           # all studies but `digits`, half an hour; rewrites times.md
    .venv/bin/python benchmarks/times.py table_2 section_5_1       # these rows; the others stay as they are

For every kind of run that has no record yet, its network is pruned and the median of a few training steps is timed, processor
time, one thread, on noise of the data set's shape (on a GPU by the clock, `--device cuda`). That times the steps of an epoch times
the most epochs it may train, and pruning, is what the run takes at most; evaluation, a tenth or so, is left out. Most runs stop
earlier. Two runs at a time on two cores take half as long together. A graph's step is taken for its CNN's.
"""
import argparse
import functools
import statistics
from pathlib import Path

import torch
from torch import Tensor, nn

from sharedlabel import ROOT, data, live, live_head, models, parameters, pruning, records
from timing import seconds, train_step

SETS = {  # classes, side of an image, training images
    "mnist": (10, 28, 60_000), "cifar10": (10, 32, 50_000), "cifar100": (100, 32, 50_000), "tinyimagenet": (200, 64, 100_000),
}
STEPS = 9


where = torch.device("cpu")


def step_seconds(network: nn.Module, x: Tensor, classes: int, precision: str = "float32") -> float:
    """The median training step of a live network on the batch x."""
    network, x, labels = network.to(where), x.to(where), (torch.arange(len(x)) % classes).to(where)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def step() -> None:
        train_step(network, optimizer, x, labels, precision, where)

    return statistics.median([seconds(step, where) for _ in range(STEPS + 2)][2:])


@functools.cache
def cnn_seconds(
    dataset: str, model: str, pruner: str, rho: float, iterations: int, precision: str, batch_size: int, free: int
) -> tuple[float, float]:
    """(pruning, a step) of a CNN; with `free` layers that learn, what lies before them is computed once."""
    classes, side, _ = SETS[dataset]
    shape = (data.CHANNELS[dataset], side, side)
    network = models.build(model, shape, classes, data.stream(0, "initialisation"))
    batch = torch.randn(classes, *shape), torch.arange(classes)
    pruned = seconds(lambda: pruning.prune(network, pruner, rho, batch, iterations, data.stream(0, "pruning")))
    small = live.build(network, shape)
    small = live.freeze(small, free)[1] if free else small
    return pruned, step_seconds(small, torch.randn(batch_size, len(small.columns)), classes, precision)


@functools.cache
def head_seconds(features: int, classes: int, pruner: str, rho: float, n: int, batch_size: int, alone: bool) -> float:
    """A step of a head on round(batch_size / n) tuples, or on their images one by one."""
    with models.initialised_by(data.stream(0, "head initialisation")):
        head = models.LSTMHead(features, classes)
    seen = 1 if alone else n
    pruning.prune(head, pruner, rho, (torch.randn(classes, seen, features), torch.arange(classes)), 100, data.stream(0, "head pruning"))
    small, tuples = live_head.build(head), max(1, round(batch_size / n))
    return step_seconds(small, torch.randn(tuples * n // seen, seen, len(small.columns)), classes)


def run_seconds(run: dict) -> float:
    """What a run takes at most."""
    classes, side, images = SETS[run["dataset"]]
    images = images * (1 - run["held_out"])
    batch_size = run["batch_size"] if run["method"] == "baseline" else classes * run.get("tuple_size", run.get("train_n"))
    what = [run[name] for name in ("dataset", "model", "pruner", "rho", "prune_iterations", "precision")]
    if run["method"] not in ("cnn_lstm", "head_control"):
        pruned, step = cnn_seconds(*what, batch_size, run["free_layers"] if run["method"] == "freeze_retrain" else 0)
        return pruned + step * images / batch_size * run["max_epochs"]
    embedder = models.embedder(models.build(run["model"], (data.CHANNELS[run["dataset"]], side, side), classes, data.stream(0, "any")))
    features = embedder.eval()(torch.zeros(1, data.CHANNELS[run["dataset"]], side, side)).shape[1]
    alone, trained = run["method"] == "head_control", run.get("cnn_training", "frozen") != "frozen"
    step = head_seconds(features, classes, run["head_pruner"], run["head_rho"], run["train_n"], run["head_batch_size"], alone)
    pruned, cnn_step = cnn_seconds(*what, run["head_batch_size"], 0)
    step += cnn_step if trained else 0.0
    return pruned + step * images / run["head_batch_size"] * run["head_max_epochs"]


def row(study: str) -> str:
    """A line of the table."""
    runs = parameters.study(study)
    missing = [run for run in runs if not records.path(parameters.result_params(run["method"], run), run["results"]).exists()]
    hours = sorted(run_seconds(run) / 3600 for run in missing)
    each = f"{hours[len(hours) // 2]:.2f}, {hours[-1]:.2f}" if hours else "-"
    return f"| `{study}` | {len(missing)} of {len(runs)} | {sum(hours):.1f} | {each} |"


def main() -> None:
    known = sorted(file.stem for file in (ROOT / "params").glob("*.yaml") if file.stem != "digits")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(known)}; none: all of them")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    chosen = arguments.studies or known
    if set(chosen) - set(known):
        parser.error(f"{', '.join(set(chosen) - set(known))}: not a study; there are {', '.join(known)}")
    global where
    where = data.device(arguments.device)
    file = Path(__file__).with_suffix(".md")
    rows = {line.split("`")[1]: line for line in file.read_text().splitlines() if line.startswith("| `")} if file.exists() else {}
    for study in chosen:
        rows[study] = row(study)
        print(rows[study], flush=True)
        file.write_text("\n".join([
            "# How long what is missing takes, at most\n",
            f"Written by `benchmarks/times.py` (what is estimated: its docstring), torch {torch.__version__}, "
            f"{torch.backends.cpu.get_cpu_capability() if where.type == 'cpu' else torch.cuda.get_device_name()}, hours of one process.\n",
            "| study | runs missing | all of them | a run: median, longest |", "|---|---|---|---|",
            *(rows[name] for name in known if name in rows),
        ]) + "\n")


if __name__ == "__main__":
    main()

"""How long did a study's records take, and how long would what is missing of it take on one core of this machine?

    .venv/bin/python benchmarks/times.py                           # all studies but `digits`, half an hour; rewrites times.md
    .venv/bin/python benchmarks/times.py table_2 section_5_1       # these rows; the others stay as they are
    .venv/bin/python benchmarks/times.py --all --at-once 16 --device cuda table_1 table_1_large table_2 table_2_cifar table_2_tinyimagenet
                                                                   # how far is a GPU from all of both tables in half an hour?

What records took is the sum of what they say themselves, by the clock, starting the notebook excepted, of those of a CPU; most were made
two at once on two cores, so that half of it is what the two took.

For every kind of run that has no record yet (`--all`: of any run), its network is pruned and the median of a few training steps is timed,
processor time, one thread, on noise of the data set's shape. That times the steps of an epoch times the most epochs it may train, and
pruning, is what its training takes at most; most runs stop earlier. Left out are evaluation, a tenth of that on ten classes but up to as
much again on a hundred or more, the embeddings that a head reads, readouts (seconds), and starting: Python, its notebook and the data are
some 10 seconds of a core, which where training is quick is the most of it. A graph's step is taken for its CNN's. On a GPU, and where
several processes time the same steps side by side (`--at-once`), the clock counts, and the hours of a study are those of all its runs
divided among the processes: what sharing a processor or a GPU costs is in them.
"""
import argparse
import contextlib
import functools
import json
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import is_pruned

from sharedlabel import ROOT, choices, costs, heads, live, losses, models, pruning, runtime, training
from sharedlabel.live import lstm
from sharedlabel.runs import names, parameters, studies
from timing import seconds

TRAINING_IMAGES = {"mnist": 60_000, "fashionmnist": 60_000, "cifar10": 50_000, "cifar100": 50_000, "tinyimagenet": 100_000}
BEFORE, STEPS = 5, 9  # a GPU records the fourth step, and replays it from then on


where = torch.device("cpu")
others = None  # a barrier at which the processes that time side by side wait for each other


def beside(device: torch.device, barrier) -> None:
    """Make this process one of several that time the same steps side by side."""
    global where, others
    where, others = runtime.select_device(str(device)), barrier


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes here, begun together with the others."""
    if others:
        others.wait(timeout=600)  # ends all of them where one has failed
    return seconds(action, where, by_the_clock=others is not None)


def step_seconds(network: nn.Module, x: Tensor, classes: int, precision: str = "float32") -> float:
    """The median training step of a live network on the batch x."""
    network, x, labels = network.to(where), x.to(where), (torch.arange(len(x)) % classes).to(where)
    step = training.make_step(network, losses.standard, training.adam(network, 1e-4), precision)
    return statistics.median([timed(lambda: step(x, labels)) for _ in range(BEFORE + STEPS)][BEFORE:])


@functools.cache
def cnn_seconds(
    dataset: str, model: str, pruner: str, rho: float, iterations: int, precision: str, batch_size: int, free: int,
    width: int = 0, pool: int = 1, budget: str = "weights", initialisation: str = "pytorch",
) -> tuple[float, float]:
    """(pruning, a step) of a CNN; with `free` layers that learn, what lies before them is computed once. No step where it collapses."""
    data = choices.DATASETS[dataset]
    classes, shape = data.classes, (data.channels, data.side // pool, data.side // pool)
    network = models.build(model, shape, classes, runtime.random_stream(0, "initialisation"), initialisation, width)
    macs = costs.weight_macs(network, shape) if budget == "macs" else None
    batch = torch.randn(classes, *shape), torch.arange(classes)

    def prune() -> None:
        with contextlib.suppress(pruning.LayerCollapse):
            pruning.prune(network, pruner, rho, batch, iterations, runtime.random_stream(0, "pruning"), macs=macs)

    pruned = timed(prune)
    if not is_pruned(network):  # it collapsed
        return pruned, 0.0
    small = live.build(network, shape)
    small = live.freeze(small, free)[1] if free else small
    return pruned, step_seconds(small, torch.randn(batch_size, len(small.columns)), classes, precision)


@functools.cache
def head_seconds(features: int, classes: int, pruner: str, rho: float, n: int, batch_size: int, alone: bool) -> float:
    """A step of a head on round(batch_size / n) tuples, or on their images one by one; none of one that collapses."""
    with models.initialised_by(runtime.random_stream(0, "head initialisation")):
        head = heads.LSTMHead(features, classes)
    seen = 1 if alone else n
    batch = torch.randn(classes, seen, features), torch.arange(classes)
    try:
        pruning.prune(head, pruner, rho, batch, 100, runtime.random_stream(0, "head pruning"))
    except pruning.LayerCollapse:
        return 0.0
    small, tuples = lstm.build(head), max(1, round(batch_size / n))
    return step_seconds(small, torch.randn(tuples * n // seen, seen, len(small.columns)), classes)


@functools.cache
def set_head_seconds(kind: str, features: int, classes: int, rho: float, n: int, batch_size: int) -> float:
    """A step of a set head for one of the images in its batch."""
    whole = sum(parameter.numel() for parameter in heads.LSTMHead(features, classes).parameters())
    head = heads.SET_HEADS[kind](features, classes, heads.widest_set_head(kind, features, classes, pruning.remaining_weights(whole, rho)))
    head, tuples = heads.set_head_alone(head) if n == 1 else head, max(1, round(batch_size / n)) if batch_size else classes
    return step_seconds(head, torch.randn(tuples, n, features), classes) / (tuples * n)


def run_seconds(run: dict) -> float:
    """What a run's training takes at most."""
    if run["method"] == "readout":
        return 0.0
    data = choices.DATASETS[run["dataset"]]
    classes, images = data.classes, TRAINING_IMAGES[run["dataset"]] * (1 - run["held_out"])
    limit_epochs, batch_size = parameters.training_limit(parameters.effective(run)).values()
    what = [run[name] for name in ("dataset", "model", "pruner", "rho", "prune_iterations", "precision")]
    if run["method"] not in ("cnn_lstm", "head_control", "set_head"):
        others = {name: run[name] for name in ("width", "pool", "budget", "initialisation") if name in run}
        pruned, step = cnn_seconds(*what, batch_size, run.get("free_layers", 0), **others)
        dense = 0.0
        if run.get("check") == "trained_first":
            dense = cnn_seconds(*what[:3], 0.0, 1, run["precision"], batch_size, 0)[1] * run["dense_max_epochs"]
        return pruned + (step * limit_epochs + dense) * images / batch_size
    shape = data.channels, data.side, data.side
    embedder = models.embedder(models.build(run["model"], shape, classes, runtime.random_stream(0, "any")))
    features = embedder.eval()(torch.zeros(1, *shape)).shape[1]
    head_batch_size = run["head_batch_size"] or classes * run["train_n"]  # 0: a tuple of every class
    if run["method"] == "set_head":
        how = [run[name] for name in ("set_head", "head_rho", "train_n", "head_batch_size")]
        return set_head_seconds(how[0], features, classes, *how[1:]) * images * run["head_max_epochs"]
    alone, trained = run["method"] == "head_control", run.get("cnn_training", "frozen") != "frozen"
    step = head_seconds(features, classes, run["head_pruner"], run["head_rho"], run["train_n"], head_batch_size, alone)
    pruned, cnn_step = cnn_seconds(*what, head_batch_size, 0) if trained else (0.0, 0.0)
    step += cnn_step
    return pruned + step * images / head_batch_size * run["head_max_epochs"]


def hours(study: str, every: bool) -> list[float]:
    """What the training of each run of the study takes at most, or of each that has no record yet."""
    runs = studies.load(study)
    if not every:
        runs = [run for run in runs if not names.record_path(parameters.identity(run["method"], run), run["results"]).exists()]
    return [run_seconds(run) / 3600 for run in runs]


def row(study: str, every: bool, at_once: int) -> str:
    """A line of the table."""
    if at_once == 1:
        found = hours(study, every)
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(at_once, context, beside, (where, context.Barrier(at_once))) as pool:
            found = [statistics.mean(each) for each in zip(*pool.map(hours, [study] * at_once, [every] * at_once))]
    found.sort()
    count = f"all {len(found)}" if every else f"{len(found)} missing of {len(studies.load(study))}"
    each = f"{found[len(found) // 2]:.2f}, {found[-1]:.2f}" if found else "-"
    return f"| `{study}` | {count} | {device_name()} | {at_once} | {sum(found) / at_once:.1f} | {each} |"


def taken(study: str) -> str | None:
    """A line of the table of what is there."""
    files = [names.record_path(parameters.identity(run["method"], run), run["results"]) for run in studies.load(study)]
    found = [json.loads(file.read_text())["provenance"] for file in files if file.exists()]
    hours = sorted(each["seconds"] / 3600 for each in found if not each["device"].startswith("cuda"))
    if not hours:
        return None
    minutes = f"{60 * statistics.median(hours):.1f}, {60 * hours[-1]:.0f}"
    return f"| `{study}` | {len(found)} of {len(files)} | {len(found) - len(hours)} | {sum(hours):.1f} | {minutes} |"


def device_name() -> str:
    return torch.backends.cpu.get_cpu_capability() if where.type == "cpu" else torch.cuda.get_device_name(where)


def key(line: str) -> tuple[str, bool, str, int]:
    """What a line is about; a new one takes the place of an old one."""
    study, count, device, at_once, *_ = (cell.strip() for cell in line.strip("|").split("|"))
    return study, count.split()[0] == "all", device, int(at_once)


def main() -> None:
    known = sorted(file.stem for file in (ROOT / "params").glob("*.yaml") if file.stem != "digits")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(known)}; none: all of them")
    parser.add_argument("--all", action="store_true", help="every run, not only those that have no record yet")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="so many processes time the same steps side by side")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    chosen = arguments.studies or known
    if set(chosen) - set(known):
        parser.error(f"{', '.join(set(chosen) - set(known))}: not a study; there are {', '.join(known)}")
    if arguments.at_once < 1:
        parser.error(f"--at-once {arguments.at_once}: at least one process")
    global where
    where = runtime.select_device(arguments.device)
    file = Path(__file__).with_suffix(".md")
    lines = file.read_text().partition("## What is missing")[2].splitlines() if file.exists() else []
    lines = [line for line in lines if line.startswith("| `")]
    rows = {key(line): line for line in lines}
    for study in chosen:
        line = row(study, arguments.all, arguments.at_once)
        print(line, flush=True)
        rows.pop(key(line), None)
        if " 0 missing" not in line:
            rows[key(line)] = line
        file.write_text("\n".join([
            "# How long a study takes\n",
            f"Written by `benchmarks/times.py` (what is counted and what is estimated: its docstring), torch {torch.__version__}.\n",
            "## What is there\n",
            "| study | records | of them a GPU's | the others: hours of one core | minutes a run: median, longest |",
            "|---|---|---|---|---|",
            *filter(None, map(taken, known)),
            "\n## What is missing: training alone, at most, in hours\n",
            "A row counts what was missing when it was last measured.\n",
            "| study | runs | device | processes at once | all of them | a run: median, longest |", "|---|---|---|---|---|---|",
            *(rows[each] for each in sorted(rows)),
        ]) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

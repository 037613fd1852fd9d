"""What does a run take beside its training?

    .venv/bin/python benchmarks/startup.py                       # a minute; prints the table of this checkout
    .venv/bin/python benchmarks/startup.py --before CHECKOUT     # and of another one, in turn; rewrites benchmarks/startup.md

Seconds of processor time of the parts of a baseline run of MNIST Conv at rho = 3.5, but for its epochs: the least of several fresh
processes, one thread. The kernel that papermill starts and its messages are not in it. Compiled code lies in numba's cache.
"""
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 5
PARTS = '''
import time, json
last, parts = time.process_time(), {}
def part(name):
    global last
    now = time.process_time()
    parts[name], last = now - last, now
import torch
part("import torch")
from sharedlabel import costs, data, live, losses, metrics, models, predictors, pruning, training
from sharedlabel.runs import checkpoints, lifecycle
from sharedlabel.runtime import random_stream, select_device
select_device("cpu")
part("import the package")
n = [1, 2, 3, 4, 5, 7, 10, 15, 25, 40, 60, 80]
train_set, held_out_set, test_set = data.load_splits("mnist", 0.1, 0, n)
part("read MNIST")
network = models.build("conv", train_set.shape, 10, random_stream(0, "initialisation"))
costs.part_costs(network, train_set.shape, 3.5)
part("build the network, count its MACs")
generator = random_stream(0, "pruning")
pruning.prune(network, "synflow", 3.5, data.sample_each_class(train_set, 10, generator), 100, generator)
part("prune it in 100 rounds")
live.live_activations(network, train_set.shape)
small = live.build(network, train_set.shape)
train_rows, held_out_rows, test_rows = data.gather_columns([train_set, held_out_set, test_set], small.columns)
part("build the live network, gather its pixels")
step = training.make_step(small, losses.standard, training.adam(small, 1e-4))
step(train_rows.batch(torch.arange(64)), train_rows.labels[:64])
part("first step: load the compiled code")
logits = training.outputs(small, test_rows)
metrics.measure(lambda chosen: predictors.mean_of_logits(logits, chosen), test_set.labels, n, 3.5, lambda size: size, 0)
part("measure")
print(json.dumps(parts))
'''


def run(checkout: Path) -> dict[str, float]:
    """Seconds by part, of one process."""
    where = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    said = subprocess.run([sys.executable, "-c", PARTS], check=True, capture_output=True, text=True, env=where, cwd=checkout)
    return json.loads(said.stdout)


def revision(checkout: Path) -> str:
    command = ["git", "-C", checkout, "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another checkout of this repository, to be timed in turn")
    arguments = parser.parse_args()
    checkouts = [*([arguments.before.resolve()] if arguments.before else []), ROOT]
    found = {checkout: [] for checkout in checkouts}
    for i in range(PROCESSES + 1):
        for checkout in checkouts:
            times = run(checkout)
            if i:  # the first may compile
                found[checkout].append(times)
    columns = [{name: min(times[name] for times in each) for name in each[0]} for each in found.values()]
    heads = [f"{head} ({revision(checkout)})" for head, checkout in zip(["before", "now"][-len(columns):], checkouts)]
    lines = [f"| part | {' | '.join(heads)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{each[name]:.2f}' for each in columns)} |" for name in columns[-1]]
    lines.append(f"| **all** | {' | '.join(f'**{sum(each.values()):.2f}**' for each in columns)} |")
    print("\n".join(lines))
    if arguments.before:
        Path(__file__).with_suffix(".md").write_text("\n".join([
            "# What a run takes beside its training\n",
            "Written by `benchmarks/startup.py` (what is measured: its docstring). Seconds of processor time.\n",
            *lines,
        ]) + "\n")


if __name__ == "__main__":
    main()

"""Which size of tuples should balanced training have on CIFAR-100, one tuple of every class in a batch?

    make grid STUDY=table_1_large; make grid STUDY=settings; .venv/bin/python benchmarks/tuple_size.py    # rewrites tuple_size.md

A run stops by the held-out loss of its own tuples, and the mean of eight outputs has a lower loss than that of two. So the networks
of seed 0 that were kept are compared by the loss of the same held-out tuples, of every size that was tried; the test images have no say.
"""
import argparse
from pathlib import Path

import pandas as pd
import torch

from sharedlabel import choices, losses, tuples
from sharedlabel.analysis import law, tables
from sharedlabel.runs import names, parameters, studies
from sharedlabel.runtime import random_stream

SHUFFLES = 20  # ways of cutting the held-out images into tuples, over which the loss is a mean


def held_out_loss(outputs: torch.Tensor, labels: torch.Tensor, size: int) -> float:
    """The balanced loss of held-out tuples of `size` images, one of every class at a time; outputs [N, l], labels [N]."""
    generator, classes = random_stream(0, "held out"), outputs.shape[1]
    drawn = torch.cat([tuples.of_different_classes(labels, size, classes, generator) for _ in range(SHUFFLES)]).flatten(1)
    return float(torch.stack([losses.balanced(outputs[chosen], labels[chosen]) for chosen in drawn]).mean())


def main() -> None:
    runs = [run for study in ("table_1_large", "settings") for run in studies.load(study)
            if (run["dataset"], run["method"], run.get("tuples_per_batch"), run["seed"]) == ("cifar100", "balanced", 100, 0)]
    tried = [(run["model"], run["rho"]) for run in runs if run["tuple_size"] != 2]
    runs = [run for run in runs if (run["model"], run["rho"]) in tried and run["standard_weight"] == 0.5]
    records = pd.concat(map(tables.load_records, sorted({run["results"] for run in runs}))).drop_duplicates("run").set_index("run")
    sizes = sorted({run["tuple_size"] for run in runs})
    columns = ["network", "ρ", "trained on tuples of", "epochs", "limit", "minutes"]
    columns += [f"held-out loss, tuples of {size}" for size in sizes]
    lines = ["# The size of a tuple on CIFAR-100\n", "Written by `benchmarks/tuple_size.py`, whose docstring says what is compared.\n",
             f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for run in runs:
        file = names.record_path(parameters.identity(run["method"], run), run["results"])
        if not file.exists():
            print(f"not there yet: {file.stem}")
            continue
        record, (outputs, labels) = records.loc[file.stem], law.run_outputs(file)[1]
        cells = [choices.MODELS[run["model"]].title, f"{run['rho']:g}", f"{run['tuple_size']}"]
        cells += [f"{value:.0f}" for value in (record["epochs"], record["max_epochs"], record["seconds"] / 60)]
        lines.append(f"| {' | '.join(cells + [f'{held_out_loss(outputs, labels, size):.3f}' for size in sizes])} |")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()

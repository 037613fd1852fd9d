"""Does training in bfloat16 cost accuracy?

    make grid STUDY=precision && .venv/bin/python benchmarks/precision.py    # rewrites benchmarks/precision.md

The study's runs (params/precision.yaml), in float32, beside the same runs of `results/` that were trained under bfloat16
autocast: equal in every other parameter, initial weights, batches and test tuples included. Two trainings that
differ in rounding alone drift apart, too; so the difference in pairs by seed has to be read against the spread of
the float32 seeds, which stands beside it.
"""
import argparse
from pathlib import Path

import pandas as pd

from sharedlabel import ROOT
from sharedlabel.analysis import comparisons, intervals, tables
from sharedlabel.runs import studies

SIZES = [1, 5, 25, 80]  # the n that are shown


def report() -> str:
    """The page, from the records."""
    runs = studies.load("precision")
    wanted = {studies.run_name(run | {"precision": precision}) for run in runs for precision in ("float32", "bfloat16")}
    table = pd.concat([tables.load_records(ROOT / "results"), tables.load_records(runs[0]["results"])])
    table = table[table["run"].isin(wanted) & (table["protocol"] == "random") & table["n"].isin(SIZES)].astype({"n": int})
    if table["run"].nunique() < len(wanted):
        raise SystemExit(f"{table['run'].nunique()} of {len(wanted)} runs are there; make grid STUDY='precision section_5_1'")
    table["per_cent"] = 100 * table["n_accuracy"]

    level = intervals.summary(table, "per_cent", ["rho", "n", "precision"]).set_index(["rho", "n", "precision"])
    spread = table[table["precision"] == "float32"].groupby(["rho", "n"])["per_cent"].std()
    ahead = comparisons.differences_from(table, "per_cent", "precision", "bfloat16", ["rho", "n"]).set_index(["rho", "n"])
    minutes = (table.drop_duplicates("run").groupby(["rho", "precision"])["seconds"].mean() / 60).unstack()

    def told(row) -> str:
        return f"{row['mean']:.2f} ± {row['high'] - row['mean']:.2f}"

    lines = [
        "# Training in bfloat16\n",
        "Written by `benchmarks/precision.py`, whose docstring says what is compared.\n",
        f"CIFAR-10, Conv, SynFlow, baseline, {table['seed'].nunique()} seeds: n-accuracy in per cent (100 random tuples a class), means "
        "over seeds with 95 % t-intervals; the difference is bfloat16 less float32, in pairs by seed.\n",
        "| rho | n | float32 | bfloat16 | difference | standard deviation of the float32 seeds |", "|---" * 6 + "|",
    ]
    for rho, n in ahead.index:
        cells = told(level.loc[rho, n, "float32"]), told(level.loc[rho, n, "bfloat16"]), told(ahead.loc[rho, n]), f"{spread[rho, n]:.2f}"
        lines.append(f"| {rho:g} | {n} | {' | '.join(cells)} |")
    lines.append("\nMean minutes of a run, float32 / bfloat16: " + ", ".join(
        f"{row.float32:.1f} / {row.bfloat16:.1f} at rho {row.Index:g}" for row in minutes.itertuples()) + ".")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(page := report())
    Path(__file__).with_suffix(".md").write_text(page)

"""Does training in bfloat16 cost accuracy?

    make grid STUDY=precision && .venv/bin/python benchmarks/precision.py    # rewrites benchmarks/precision.md

The study's runs (params/precision.yaml), trained under bfloat16 autocast, beside the same runs in float32 of
`results/`: equal in every other parameter, initial weights, batches and test tuples included. Two trainings that
differ in rounding alone drift apart, too; so the difference in pairs by seed has to be read against the spread of
the float32 seeds, which stands beside it.
"""
from pathlib import Path

import pandas as pd

from sharedlabel import ROOT, parameters, records, statistics

SIZES = [1, 5, 25, 80]  # the n that are shown


def main() -> None:
    runs = parameters.study("precision")
    names = {records.run_name(parameters.result_params(run["method"], run | {"precision": precision}))
             for run in runs for precision in ("float32", "bfloat16")}
    table = pd.concat([records.load(ROOT / "results"), records.load(runs[0]["results"])])
    table = table[table["run"].isin(names) & (table["protocol"] == "random") & table["n"].isin(SIZES)].astype({"n": int})
    table["per cent"] = 100 * table["n_accuracy"]
    if len(table) < len(names) * len(SIZES):
        raise SystemExit(f"{table['run'].nunique()} of {len(names)} runs are there; make grid STUDY=precision, make grid STUDY=table_1")

    level = statistics.summary(table, "per cent", ["precision", "n"]).set_index(["precision", "n"])
    spread = table[table["precision"] == "float32"].groupby("n")["per cent"].std()
    ahead = statistics.ahead(table, "per cent", "precision", "bfloat16", ["n"]).set_index("n")
    minutes = table.drop_duplicates("run").groupby("precision")[["seconds", "epochs"]].mean()
    minutes["seconds"] /= 60

    def told(row) -> str:
        return f"{row['mean']:.2f} ± {row['high'] - row['mean']:.2f}"

    cells = {n: [told(level.loc["float32", n]), told(level.loc["bfloat16", n]), told(ahead.loc[n]), f"{spread[n]:.2f}"] for n in SIZES}
    lines = [
        "# Training in bfloat16\n",
        "Written by `benchmarks/precision.py`, whose docstring says what is compared.\n",
        f"CIFAR-10, Conv, rho 2, SynFlow, baseline, {len(runs)} seeds: n-accuracy in per cent (100 random tuples a class), means over "
        "seeds with 95 % t-intervals; the difference is bfloat16 less float32, in pairs by seed.\n",
        "| n | float32 | bfloat16 | difference | standard deviation of the float32 seeds |", "|---|---|---|---|---|",
    ]
    lines += [f"| {n} | {' | '.join(row)} |" for n, row in cells.items()]
    lines.append("\nMean length of a run: " + ", ".join(
        f"{row.seconds:.1f} minutes and {row.epochs:.0f} epochs in {row.Index}" for row in minutes.itertuples()) + ".")
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""How far would other test images move the differences of Table 1? Intervals over seeds do not say, as all seeds have the same test images.

    .venv/bin/python benchmarks/test_images.py    # needs the data sets; rewrites test_images.md in ten minutes

The test images of every class are drawn anew with replacement (a bootstrap), as many as there are, and the tuples from these; all seeds of
a network, trained by either method, meet the same ones. Beside half the 95 % t-interval over seeds stands half the range of 95 % of the
mean difference over such test sets. Networks whose checkpoints are too large to be committed are left out.
"""
import argparse
from pathlib import Path

import pandas as pd
import torch

from sharedlabel import data, inference, predictors, tuples
from sharedlabel.analysis import intervals, plots, report, section_5_2, tables
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.law import single_outputs
from sharedlabel.runtime import random_stream

SIZES, TEST_SETS, PER_CLASS = (25, 80), 100, 100
METHODS = ("balanced", "baseline")


def differences(outputs: dict[str, list[torch.Tensor]], labels: torch.Tensor, n: int) -> torch.Tensor:
    """Balanced minus baseline in points, [1 + TEST_SETS, seeds]: of the test images as they are, and of resampled ones.

    outputs: of either method the test images' outputs [N, l], a seed each.
    """
    generator, members, rows = random_stream(0, f"test images, {n}"), data.by_class(labels), []
    for resampled in range(1 + TEST_SETS):
        images = torch.cat([own[torch.randint(len(own), (len(own),), generator=generator)] if resampled else own for own in members])
        chosen = tuples.random(labels[images], n, generator, PER_CLASS)
        wanted = labels[images][chosen[:, 0]]
        named = [[(predictors.mean_of_logits(each[images], chosen) == wanted).double().mean() for each in outputs[method]]
                 for method in METHODS]
        rows.append(100 * (torch.tensor(named[0]) - torch.tensor(named[1])))
    return torch.stack(rows)


def main() -> None:
    runs = section_5_2.select_default(section_5_2.select_runs(tables.load_records()), "random")
    runs = runs[runs["method"].isin(METHODS)].drop_duplicates("run")
    runs = runs.assign(file=[tables.record_path(run).with_suffix(".safetensors") for run in runs.itertuples()])
    runs = runs[runs["file"].map(Path.exists) & (runs["dataset"] != "tinyimagenet")]
    lines = ["# What other test images would change\n",
             "Written by `benchmarks/test_images.py`, whose docstring says what was done. Balanced minus baseline in points.\n",
             "| network | seeds | n | difference, ± over seeds | ± over test images |", "|---|---|---|---|---|"]
    for case in plots.cases(section_5_2.keep_networks(runs, True), ROW):
        files = plots.select_case(runs, case).pivot(index="seed", columns="method", values="file").reindex(columns=METHODS).dropna()
        if len(files) < 3:
            continue
        _, test_set = data.load(case[0])
        outputs = {method: [single_outputs(inference.load(file.with_suffix(".json")), test_set) for file in files[method]]
                   for method in METHODS}
        for n in SIZES:
            found = differences(outputs, test_set.labels, n)
            seeds = intervals.summary(pd.DataFrame({"n": n, "points": found[0]}), "points", ["n"])
            spread = torch.quantile(found[1:].mean(1), torch.tensor([0.025, 0.975], dtype=found.dtype)).diff().item() / 2
            lines.append(f"| {plots.case_title(case)} | {len(files)} | {n} | {report.format_summary(seeds)[0]} | {spread:.1f} |")
            print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    main()

"""Section 5.3: the paper's Table 2 beside our runs, of disjoint tuples as the table was made, and which reading of it gives its numbers.

The table states three rhos a network: the CNN's where logits are averaged, the CNN's under the LSTM, and the head's.
"""
import numpy as np
import pandas as pd

from sharedlabel.analysis import intervals, plots
from sharedlabel.analysis.intervals import CASE, PANEL, ROW
from sharedlabel.analysis.section_5_3_runs import (
    TABLE_2_N,
    WITH_HEAD,
    Runs,
    at_defaults,
    at_own_n,
    concat,
    each_panel,
    printed_table_2,
)
from sharedlabel.runs import parameters

LINES = ["balanced_table_2", "lstm_balanced", "head_per_image_balanced", "head_tuple_mean_balanced",
         "lstm_baseline", "head_per_image_baseline", "head_tuple_mean_baseline"]
READING = ["head_rho", "head_pruner", "head_biases", "standardised", "head_learning_rate"]  # what may differ from what the paper says
CELL = ["cnn_training", "n", "paper"]  # a printed number of the CNN-LSTM


def beside_printed(runs: Runs) -> pd.DataFrame:
    """Our means beside the printed numbers: PANEL, `variant`, n, mean, low, high, seeds, `paper` (nan: not in the table).

    With the median `weights`, the `flops` an image and the runs that `collapsed` at this n, which are in no mean. A line of the
    head alone has no printed number.
    """
    printed = printed_table_2()[[*CASE, "variant", "n", "paper"]]
    lost = runs.records[runs.records["collapsed"] & (runs.records["pruner"] == "synflow")]
    lost, found = at_defaults(lost[lost["method"].isin(WITH_HEAD)]).drop_duplicates("run"), []
    panels = runs.panels[(runs.panels["protocol"] == "disjoint") & runs.panels["in_table_2"]]
    for case, part in each_panel(panels):
        part = part[part["variant"].isin(LINES) & part["n"].isin(TABLE_2_N)].assign(flops_an_image=lambda t: t["flops"] / t["n"])
        if part.empty:
            continue
        grouped = part.groupby(["variant", "n"])
        costs = grouped.agg(weights=("params_remaining", "median"), flops=("flops_an_image", "mean"))
        collapsed = plots.select_case(lost, case).groupby(["variant", "train_n"])["run"].count().rename_axis(["variant", "n"])
        means = intervals.summary(part, "per_cent", ["variant", "n"]).merge(costs.join(collapsed.rename("collapsed")).reset_index())
        means["collapsed"] = means["collapsed"].fillna(0).astype(int)
        found.append(means.assign(**dict(zip(PANEL, case))))
    columns = [*PANEL, "variant", "n", "mean", "low", "high", "seeds", "weights", "flops", "collapsed"]
    return concat(found, pd.DataFrame(columns=columns))[columns].merge(printed, how="left")


def distances(beside: pd.DataFrame) -> pd.DataFrame:
    """How far each CNN-LSTM, and each head alone in its place, is from the CNN-LSTM's printed line: PANEL, `variant`, `points`.

    points: the mean distance over n.
    """
    rows = []
    for case, part in each_panel(beside):
        for cnn in ("balanced", "baseline"):
            line = part[part["variant"] == f"lstm_{cnn}"].set_index("n")["paper"]
            for variant in [name for name in LINES if name.endswith(cnn)]:
                own = part[part["variant"] == variant].set_index("n")["mean"]
                if len(own) and line.notna().any():
                    rows.append(dict(zip(PANEL, case)) | {"variant": variant, "points": (own - line).abs().mean()})
    return pd.DataFrame(rows, columns=[*PANEL, "variant", "points"])


def pruned_less(runs: Runs) -> pd.DataFrame:
    """Averaged logits of CNNs at the rhos of the panels and up to one less: CASE, `rho`, `variant`, n, mean, low, high, seeds.

    With the median `weights` and the mean `flops` of an image.
    """
    table = runs.at_default[(runs.at_default["pruner"] == "synflow") & (runs.at_default["protocol"] == "disjoint")]
    table = table[table["variant"].isin(["baseline", "balanced"]) & table["n"].isin(TABLE_2_N)]
    hardest = runs.panels.groupby(CASE)["rho"].max().rename("hardest").reset_index()
    table = table.assign(flops_an_image=table["flops"] / table["n"]).merge(hardest)
    table = table[table["rho"].between(table["hardest"] - 1, table["hardest"])]
    by = [*CASE, "rho", "variant", "n"]
    costs = table.groupby(by, as_index=False).agg(weights=("params_remaining", "median"), flops=("flops_an_image", "mean"))
    return intervals.summary(table, "per_cent", by).merge(costs)


def readings(runs: Runs) -> pd.DataFrame:
    """How near every reading of Table 2 comes to its numbers: ROW, `head`, READING, `cells`, `seeds`, and distances in points.

    head: lstm, or head_per_image or head_tuple_mean in its place. `points`: the mean distance of our means from the printed cells.
    Not every reading has every run: `fullest` is the distance of the reading with the most, of the same cells and seeds; the nearest,
    by the difference of the two, comes first. `nearest`: readings that lie no further from it than one standard deviation of the
    seeds within a cell (`spread`).
    """
    table = runs.measured[(runs.measured["pruner"] == "synflow") & (runs.measured["protocol"] == "disjoint")]
    table = at_own_n(at_defaults(table[table["method"].isin(WITH_HEAD)], tuple(READING)))
    table = table.assign(head=table["variant"].str.replace(r"_(balanced|baseline)$", "", regex=True), cnn_training=table["cnn_method"])
    printed = printed_table_2()
    table = table.merge(printed.loc[printed["method"] == "cnn_lstm", [*ROW, *CELL]])
    rows = [
        nearest_readings(plots.select_case(table[table["head"] == head], row)).assign(head=head, **dict(zip(ROW, row)))
        for row in plots.cases(table, ROW) for head in ("lstm", "head_per_image", "head_tuple_mean")
        if len(plots.select_case(table[table["head"] == head], row))
    ]
    columns = [*ROW, "head", *READING, "cells", "seeds", "points", "fullest", "spread", "nearest"]
    return concat(rows, pd.DataFrame(columns=columns))[columns]


def nearest_readings(table: pd.DataFrame) -> pd.DataFrame:
    """`readings` of one row and head."""
    wide = table.pivot(index=READING, columns=[*CELL, "seed"], values="per_cent")
    fullest, rows = wide.loc[wide.notna().sum(axis=1).idxmax()], []
    for reading, own in wide.iterrows():
        shared = own.notna() & fullest.notna()
        own, same = own[shared], fullest[shared]
        rows.append(dict(zip(READING, reading)) | {
            "cells": own.groupby(["cnn_training", "n"]).ngroups, "seeds": own.index.get_level_values("seed").nunique(),
            "points": distance(own), "fullest": distance(same),
        })
    found = pd.DataFrame(rows)
    nearer = found["points"] - found["fullest"]
    spread = np.sqrt(fullest.groupby(["cnn_training", "n"]).var().mean())
    found = found.assign(spread=spread, nearest=nearer <= nearer.min() + np.nan_to_num(spread))
    return found.loc[nearer.sort_values(kind="stable").index].reset_index(drop=True)


def distance(values: pd.Series) -> float:
    """The mean distance, in points, of means over seeds from the printed numbers; values by CELL and seed."""
    means = values.groupby(CELL).mean()
    return (means - means.index.get_level_values("paper")).abs().mean()


def describe_reading(reading: pd.Series) -> str:
    """A reading in words: how the head is pruned, and what is not as the paper says."""
    pruned = f"pruned to ρ = {reading['head_rho']:g} by {plots.TITLES[reading['head_pruner']]}" if reading["head_rho"] else "unpruned"
    rate = reading["head_learning_rate"]
    others = [", its biases not pruned"] if reading["head_biases"] == "kept" else []
    others += [", embeddings standardised"] if reading["standardised"] else []
    others += [f", learning rate {rate:g}"] if rate != parameters.default("head_learning_rate") else []
    return pruned + "".join(others)

"""Section 5.2, other settings of training: the batches, the initial weights, lambda, the size of tuples, what is retrained.

`runs` and `curves` as in `analysis.section_5_2` and `.section_5_2_training`; `records` are those of params/settings.yaml, which lie apart.
"""
import itertools

import pandas as pd

from sharedlabel.analysis import comparisons, intervals, plots, tables
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.section_5_2 import (
    SETTINGS,
    compare_losses,
    judge_rows,
    load_paper,
    paper_networks,
    select_default,
    sweep,
)
from sharedlabel.analysis.section_5_2_training import melt_curves
from sharedlabel.runs import names, parameters


def load_settings(folder: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records of `folder` and their learning curves (`tables.load_records`, `load_curves`); empty where it has none."""
    there = any(names.results_folder(folder).rglob("*.json"))
    records, curves = (tables.load_records(folder), tables.load_curves(folder)) if there else (pd.DataFrame(), pd.DataFrame())
    needed = ["run", "method", "protocol", "n", "n_accuracy", "seed", *ROW, *SETTINGS]
    records = records.reindex(columns=list(dict.fromkeys([*records.columns, *needed])))
    curves = curves.reindex(columns=list(dict.fromkeys([*curves.columns, "run", "epoch"])))
    return records.astype({"run": str, "dataset": str, "model": str, "rho": float, "seed": int}), curves.astype({"run": str})


# ---- freeze-and-retrain: the loss or the longer training?


def retraining_controls(runs: pd.DataFrame) -> pd.DataFrame:
    """Freeze-and-retrain minus the same with the standard loss (lambda = 1), and minus the same with two free layers, in points.

    Columns `control`, ROW, n and those of `summary`, of random tuples; `verdict` on it being positive.
    """
    retrained, found = runs[(runs["method"] == "freeze_retrain") & (runs["protocol"] == "random")], []
    for name, value, control in (("standard_weight", 1.0, "standard loss (λ = 1)"), ("free_layers", 2, "two free layers")):
        varied, default = tables.at_defaults(retrained, SETTINGS, but=[name]), parameters.defaults("freeze_retrain")[name]
        pairs = comparisons.paired_differences(varied, default, value, "per_cent", by=name)
        found.append(intervals.summary(pairs, "difference", [*ROW, "n"]).assign(control=control))
    found = pd.concat(found)
    return found.assign(verdict=judge_rows(found))


# ---- lambda and the size of tuples


def sweeps_beside_paper(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """The `sweep` of parameter `name` on each of the paper's networks, of disjoint tuples, beside its balanced rows of Table 1.

    Columns ROW, `name`, n and those of `summary`, in per cent, and `paper`.
    """
    swept = [sweep(runs, name, network, "disjoint") for network in paper_networks()]
    swept = [part for part in swept if part[name].nunique() > 1]
    if not swept:
        return pd.DataFrame(columns=[*ROW, name, "n", "mean", "low", "high", "seeds", "paper"])
    found = intervals.summary(pd.concat(swept), "per_cent", [*ROW, name, "n"])
    return found.merge(load_paper().query("method == 'balanced'").drop(columns="method"))


def root_mean_square(found: pd.DataFrame, by: list[str]) -> pd.Series:
    """How far the means of a `summary` lie from the column `paper`, root mean square in points over n."""
    return found.assign(square=(found["mean"] - found["paper"]) ** 2).groupby(by)["square"].mean().pow(0.5)


# ---- batches and initial weights of the baseline


def batches_beside_paper(records: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The baseline with other batches or initial weights and, of the same seeds, with the default ones, of disjoint tuples.

    Columns ROW, `setting`, n, those of `summary` in per cent, `paper`; `change`, `change_low`, `change_high`: the difference from
    the default setting, in pairs by seed, in points.
    """
    changed = records[(records["method"] == "baseline") & (records["protocol"] == "disjoint")]
    found = []
    for network in plots.cases(changed, ROW):
        default = plots.select_case(select_default(runs, "disjoint").query("method == 'baseline'"), network)
        own = plots.select_case(changed, network)
        own = own[own["limit_epochs"].isin(default["limit_epochs"])]
        if default.empty or own.empty:
            continue
        both = pd.concat([default, own.assign(per_cent=100 * own["n_accuracy"])])
        both = both[both["n"].isin(load_paper()["n"]) & both["seed"].isin(own["seed"])].astype({"n": int, "batch_size": int})
        if not default["seed"].isin(own["seed"]).any():  # no pair
            continue
        both["setting"] = "batches of " + both["batch_size"].astype(str) + ", " + both["initialisation"]
        tables.check_distinct(both, ["setting", "seed", "n"])
        named = f"batches of {default['batch_size'].iloc[0]:.0f}, {default['initialisation'].iloc[0]}"
        change = -comparisons.differences_from(both, "per_cent", "setting", named, [*ROW, "n"]).set_index([*ROW, "n", "setting"])
        change = change.rename(columns={"mean": "change", "high": "change_low", "low": "change_high"}).drop(columns="seeds").reset_index()
        found.append(intervals.summary(both, "per_cent", [*ROW, "setting", "n"]).merge(change, how="left"))
    if not found:
        return pd.DataFrame(columns=[*ROW, "setting", "n", "mean", "low", "high", "seeds", "change", "change_low", "change_high", "paper"])
    return pd.concat(found).merge(load_paper().query("method == 'baseline'").drop(columns="method"))


# ---- the loss or the batches?


def loss_or_batches(runs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """What the tuples' loss adds to its batches, and what these add to the baseline, in points, in pairs by seed, of random tuples.

    Columns `part`, ROW, n and those of `summary`. Between the two lies the standard loss (lambda = 1) on balanced batches; `their equal
    classes` is that minus the baseline in batches as large.
    """
    own = pd.concat([runs, records.assign(per_cent=100 * records["n_accuracy"])])
    standard = own[(own["method"] == "balanced") & (own["protocol"] == "random") & (own["standard_weight"] == 1)]
    sizes = standard[[*ROW, "images_a_step"]].drop_duplicates()
    large = own[(own["method"] == "baseline") & (own["protocol"] == "random")].merge(sizes)
    both = pd.concat([standard, large.assign(method="large"), select_default(runs, "random").query("method == 'baseline'")])
    parts = {"the loss": compare_losses(own)}
    parts["its batches"] = comparisons.paired_differences(both, "balanced", "baseline", "per_cent")
    both, matched = both.assign(images=both["images_a_step"]), [*intervals.MATCHED, "images"]
    parts["their equal classes"] = comparisons.paired_differences(both, "balanced", "large", "per_cent", matched=matched)
    found = [intervals.summary(pairs, "difference", [*ROW, "n"]).assign(part=part) for part, pairs in parts.items()]
    return plots.in_order(pd.concat(found, ignore_index=True), ROW)


def add_fewer_classes(
    records: pd.DataFrame, own: pd.DataFrame, runs: pd.DataFrame, curves: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`load_settings`'s two tables and, below each, balanced runs without every class in a batch and their `curves` (as loaded)."""
    fewer = runs[(runs["method"] == "balanced") & (runs["tuples_per_batch"] < runs["classes"])]
    if fewer.empty:
        return records, own
    return pd.concat([records, fewer]), pd.concat([own, curves[curves["run"].isin(fewer["run"])]])


def name_trainings(records: pd.DataFrame) -> pd.DataFrame:
    """The balanced runs of `records`, a row a run, with `training` (lambda and the tuples of a batch in words) and `images` of a batch."""
    batches = records[records["method"] == "balanced"].drop_duplicates("run")
    return batches.assign(training=tables.name_trainings(batches), images=batches["tuple_size"] * batches["tuples_per_batch"])


def batch_curves(records: pd.DataFrame, own: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Learning curves of balanced training on other batches beside the baseline's and balanced's, of the seeds that the former have.

    `own`: the learning curves of `records`. Columns ROW, `training`, seed, epoch, n, `per_cent`.
    """
    batches, keys = name_trainings(records), [*ROW, "training", "seed", "epoch"]
    others = melt_curves(own.merge(batches[["run", *keys[:-1]]], on="run"), keys)
    default = curves[curves["method"].isin(["baseline", "balanced"])].merge(batches[[*ROW, "seed"]].drop_duplicates())
    return pd.concat([default.assign(training=default["method"]), others])[[*keys, "n", "per_cent"]]


def batch_differences(records: pd.DataFrame, own: pd.DataFrame, curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Balanced training on other batches minus baseline and balanced, in points, in pairs by seed, on random tuples.

    Columns ROW, `when`, `one`, `other`, n and those of `summary`, `verdict` on it being positive. When: after the epochs that all
    trainings of the network have, after as many training steps as the baseline (both of the learning curves), and of the
    weights that were kept in the end, where both had the same limit of epochs or of steps.
    """
    each, batches = batch_curves(records, own, curves), name_trainings(records)
    images = {"baseline": parameters.defaults("baseline")["batch_size"]} | dict(zip(batches["training"], batches["images"]))
    kept = records[records["protocol"] == "random"].drop(columns="method").merge(batches[["run", "training"]], on="run")
    kept = pd.concat([select_default(runs, "random"), kept.assign(method=kept["training"], per_cent=100 * kept["n_accuracy"])])
    found = []
    for network in plots.cases(batches, ROW):
        part = plots.select_case(each, network)
        value = part.set_index(["training", "epoch", "n", "seed"])["per_cent"].sort_index()
        ends = part.groupby(["training", "seed"])["epoch"].max().groupby("training").min()
        for one, other in itertools.product(sorted(set(ends.index) - {"baseline", "balanced"}), {"baseline", "balanced"} & set(ends.index)):
            pairs = comparisons.paired_differences(plots.select_case(kept[kept["n"].isin(part["n"])], network), one, other, "per_cent")
            compared = {"trained to the end": pairs.set_index(["n", "seed"])["difference"]}
            if ends.min() < ends.max():
                compared[f"after {ends.min()} epochs"] = value[one, ends.min()] - value[other, ends.min()]
            as_many = int(ends[one] * images["baseline"] / images[one])
            if other == "baseline" and 0 < as_many <= ends["baseline"]:
                compared[f"after as many steps (epoch {ends[one]} and {as_many})"] = value[one, ends[one]] - value["baseline", as_many]
            for when, difference in compared.items():
                rows = intervals.summary(difference.rename("difference").reset_index().dropna(), "difference", ["n"])
                found.append(rows.assign(**dict(zip(ROW, network)), when=when, one=one, other=other))
    found = pd.concat(found or [pd.DataFrame(columns=["n", "mean", "low", "high", "seeds", *ROW, "when", "one", "other"])])
    return found.assign(verdict=judge_rows(found)).sort_values([*ROW, "when", "one", "other", "n"], ignore_index=True)

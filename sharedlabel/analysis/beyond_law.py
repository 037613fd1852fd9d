"""The law of large tuples against what was measured: how near it comes, where it fails, and what it explains.

`analysis.law` predicts from the outputs of single training and held-out images; records say what tuples of test images gave.
n-accuracies are in percent here, information in bits, tuples are the `random` ones. They share test images, which makes the information
that records measure too much: it is compared with what the law says would be measured of such tuples (`law.measured_information`).
"""
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from sharedlabel.analysis import intervals, law, plots, report, sweet_spots, tables
from sharedlabel.analysis.comparisons import Claim, as_cases, claim_rows, judge_each, judge_each_negligible
from sharedlabel.analysis.intervals import CASE, ROW
from sharedlabel.runs import parameters

LARGE_N = 5  # the claims on the law are about n from here on
POINTS, BITS = 2.0, 0.1  # within which a prediction counts as right
HIGH = 98.0  # n-accuracy from which on who always says 100 % is as near
SHOWN_N = [1, 2, 5, 15, 25, 80]
TRAINING = ["standard_weight", "tuple_size", "tuples_per_batch", "free_layers", "initialisation"]
METHOD_TITLES = {"baseline": "baseline", "balanced": "balanced", "freeze_retrain": "freeze and retrain", "head_control": "head alone"}
PREDICTIONS = {
    "training": "the law, training images", "held_out": "the law, held-out images", "corrected": "the same, corrected for their number",
    "resampled": "tuples of training images, drawn",
}
HELD_OUT = {"mnist": 600, "fashionmnist": 600, "cifar10": 500, "cifar100": 50, "tinyimagenet": 50}  # images of a class, not trained on


def select_runs(results: str | Path = "results") -> pd.DataFrame:
    """Measured and predicted, a row a run and n: columns of `tables.load_records`, `predicted_*`, `limit` and `error_*` of PREDICTIONS.

    Only runs that the CSV files of `analysis.law` have; empty where there are none.
    """
    runs = tables.load_records(results)
    runs = runs[(runs["protocol"] == "random") & runs["method"].isin(METHOD_TITLES)].astype({"n": float})
    runs = runs.assign(run=runs["run"].map(law.digest), accuracy=100 * runs["n_accuracy"])
    predicted = law.read_all(0, results)
    images = predicted["run"].map(runs.groupby("run")["dataset"].first()).map(HELD_OUT)
    predicted["corrected_accuracy"] = correct_for_number(predicted, images)
    for name in PREDICTIONS:
        predicted[f"predicted_{name}"] = 100 * predicted[f"{name}_accuracy"]
    limits = predicted[np.isinf(predicted["n"])].set_index("run")
    found = runs.merge(predicted, on=["run", "n"], validate="one_to_one").astype({"n": int})
    found["limit"] = found["run"].map(limits["predicted_training"])
    errors = {f"error_{name}": found[f"predicted_{name}"] - found["accuracy"] for name in PREDICTIONS}
    room = {"room_accuracy": 100 - found["accuracy"], "room_information": np.log2(found["classes"]) - found["information_gain"]}
    return found.assign(**errors, **room, error_information=found["measured_information"] - found["information_gain"])


def correct_for_number(laws: pd.DataFrame, images: pd.Series) -> np.ndarray:
    """The law's n-accuracy of held-out images, of which a class has so many `images` (of each row): a column beside `laws` (run, n).

    The mean of m images is itself off by S / m, so that what they say of n is true of fewer: 1 / n' = 1 / n + 1 / m. The law is read where
    n' is the n wanted, linear in 1 / sqrt(n) between two that it has; nan from n = m on, where no n is large enough.
    """
    found = np.full(len(laws), np.nan)
    x, values, least = laws["n"].to_numpy() ** -1.0, laws["held_out_accuracy"].to_numpy(), 1 / images.to_numpy(float)
    for rows in laws.reset_index(drop=True).groupby("run").indices.values():
        own = rows[np.argsort(x[rows])]
        wanted = rows[x[rows] > least[rows]]
        found[wanted] = np.interp((x[wanted] - least[wanted]) ** 0.5, x[own] ** 0.5, values[own])
    return found


def select_margins(runs: pd.DataFrame, results: str | Path = "results") -> pd.DataFrame:
    """The margins' statistics (`law.margin_statistics`) of every run, with its data set and its |error| at n = 1, in points."""
    single = runs.loc[runs["n"] == 1, ["run", "dataset", "model", "method", "error_training"]]
    return single.merge(law.read_all(1, results), on="run")


def usual(runs: pd.DataFrame, but: Iterable[str] = ()) -> pd.DataFrame:
    """The runs that claims are about: pruned by SynFlow in 100 rounds, trained at the defaults, but for parameters in `but`."""
    chosen = tables.at_defaults(runs, TRAINING, but)
    return chosen[(chosen["pruner"] == "synflow") & (chosen["prune_iterations"] == 100)]


def case_name(case: tuple) -> str:
    """A row of the paper's tables and a method in words."""
    return f"{plots.case_title(case[:3])}, {METHOD_TITLES[case[3]]}"


def claim_within(
    runs: pd.DataFrame, column: str, tolerance: float, ns: list[int], text: str, room: str = "room_accuracy"
) -> pd.DataFrame:
    """Whether the mean |`column`| over `ns` is less than `tolerance`, by network and method; heads of a seed are averaged first.

    room: the column of how far what was measured is from the most there is. Where that is less than `tolerance` on average, who always
    says the most is as near, and nobody can tell.
    """
    by, chosen = [*ROW, "method"], usual(runs)[lambda table: table["n"].isin(ns)]
    by_seed = chosen.assign(size=chosen[column].abs()).groupby([*by, "seed"])[["size", room]].mean().reset_index()
    found = intervals.summary(by_seed, "size", by).merge(by_seed.groupby(by)[room].mean().reset_index(), on=by)
    cases = [case_name(case) for case in zip(*(found[name] for name in by))]
    return as_cases(found, cases, judge_each_negligible(found, tolerance, found[room]), n=text)


def claim_large_n(runs: pd.DataFrame) -> pd.DataFrame:
    """|predicted - measured n-accuracy| for n >= LARGE_N."""
    return claim_within(runs, "error_training", POINTS, [n for n in runs["n"].unique() if n >= LARGE_N], f"{LARGE_N} and more")


def claim_small_n(runs: pd.DataFrame) -> pd.DataFrame:
    """|predicted - measured n-accuracy| for n = 1 and 2."""
    return claim_within(runs, "error_training", POINTS, [1, 2], "1 and 2")


def claim_information(runs: pd.DataFrame) -> pd.DataFrame:
    """|predicted - measured information gain| for n >= LARGE_N, both of tuples that share test images."""
    ns = [n for n in runs["n"].unique() if n >= LARGE_N]
    return claim_within(runs, "error_information", BITS, ns, f"{LARGE_N} and more", "room_information")


def claim_limit(runs: pd.DataFrame) -> pd.DataFrame:
    """|limit - measured n-accuracy| at n = 80, of networks that average logits."""
    chosen = runs[runs["method"].isin(plots.METHODS)]
    chosen = chosen.assign(distance=chosen["limit"] - chosen["accuracy"])
    return claim_within(chosen, "distance", POINTS, [80], "80")


def claim_balanced_limit(runs: pd.DataFrame) -> pd.DataFrame:
    """By how much balanced training raises the limit of n-accuracy, in pairs by seed."""
    chosen = usual(runs)[lambda table: (table["n"] == 1) & table["method"].isin(["baseline", "balanced"])]
    wide = chosen.pivot(index=[*ROW, "seed"], columns="method", values="limit").reindex(columns=["baseline", "balanced"]).dropna()
    pairs = wide.assign(gain=wide["balanced"] - wide["baseline"]).reset_index()
    found = intervals.summary(pairs, "gain", ROW)
    cases = plots.titles(found, ROW)
    return as_cases(found, cases, judge_each(found), n="infinity")


def relative_information(runs: pd.DataFrame) -> pd.DataFrame:
    """The baseline's runs at every rho of the networks that have three or more, with measured and predicted relative information."""
    chosen = usual(runs)[lambda table: table["method"] == "baseline"]
    chosen = chosen[chosen.groupby(CASE)["rho"].transform("nunique") >= 3]
    return chosen.assign(predicted_relative=chosen["measured_information"] * chosen["rho"] / chosen["n"])


def claim_sweet_spot(runs: pd.DataFrame) -> pd.DataFrame:
    """The rho with the most predicted relative information against the plausible range of the measured one, for every network and n."""
    rows, chosen = [], relative_information(runs)
    for case in plots.cases(chosen):
        part = plots.select_case(chosen, case)
        predicted = part.groupby(["n", "rho"])["predicted_relative"].mean().unstack("rho").dropna().idxmax(axis=1)
        rhos, seeds = sorted(part["rho"].unique()), part.groupby("rho")["seed"].nunique().min()
        for spot in sweet_spots.find(part, "relative_information").itertuples():
            if spot.n not in predicted.index:  # of a class with one image the law says nothing
                continue
            at = rhos.index(predicted[spot.n])
            apart = spot.low > rhos[at] or spot.high < rhos[at]
            narrow = 0 < at < len(rhos) - 1 and rhos[at - 1] <= spot.low and spot.high <= rhos[at + 1]
            rows.append({"case": plots.case_title(case), "n": spot.n, "estimate": rhos[at], "low": spot.low, "high": spot.high,
                         "seeds": seeds, "verdict": "fails" if apart else "holds" if narrow else "cannot tell"})
    return claim_rows(rows)


RULE = ("the 95 % interval of the mean |predicted − measured| over seeds lies below {:g}; nobody can tell where who always says {} is "
        "as near")
CLAIMS = [
    Claim("law-large-n", "ours", f"the law predicts n-accuracy from single training images within {POINTS:g} points for n ≥ {LARGE_N}",
          "points", RULE.format(POINTS, "100 %"), claim_large_n, wanted=(0, POINTS)),
    Claim("law-small-n", "ours", f"the law predicts n-accuracy for n = 1 and 2, too ({POINTS:g} points)",
          "points", RULE.format(POINTS, "100 %"), claim_small_n, wanted=(0, POINTS)),
    Claim("law-information", "ours", f"the law predicts information gain within {BITS:g} bits for n ≥ {LARGE_N}",
          "bits", RULE.format(BITS, "the most bits there are"), claim_information, wanted=(0, BITS)),
    Claim("law-limit", "ours", f"at n = 80 n-accuracy is within {POINTS:g} points of its limit, the share of classes with the largest mean",
          "points", RULE.format(POINTS, "100 %"), claim_limit, wanted=(0, POINTS)),
    Claim("balanced-limit", "ours", "balanced training raises the limit of n-accuracy for large n",
          "points", "the paired 95 % interval lies above 0", claim_balanced_limit),
    Claim("law-sweet-spot", "ours", "the sweet spot that the law predicts is the measured one",
          "ρ*", "fails outside the 95 % range of the measured ρ*; holds inside one of at most a step of ρ either way, not at an end",
          claim_sweet_spot),
]


# ---- tables


def at_every_n(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that were measured at every n that any run of their data set was: a curve of their means against n is of the same runs."""
    ns, all_ns = (runs.groupby(by)["n"].transform("nunique") for by in (["dataset", "run"], "dataset"))
    return runs[ns == all_ns]


def tabulate_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and worst |predicted - measured| in points by data set and n, for every kind of prediction; SHOWN_N, runs `at_every_n`.

    The law's errors on training images also of the runs that name less than HIGH at this n alone.
    """
    rows = []
    for (dataset, n), part in at_every_n(runs)[lambda table: table["n"].isin(SHOWN_N)].groupby(["dataset", "n"]):
        sizes = {name: part[f"error_{name}"].abs() for name in PREDICTIONS}
        row = {"data set": plots.TITLES[dataset], "n": n, "runs": len(part), PREDICTIONS["training"]: sizes["training"].mean(),
               f"of those below {HIGH:g} %": sizes["training"][part["accuracy"] < HIGH].mean()}
        row |= {PREDICTIONS[name]: size.mean() for name, size in sizes.items()}
        rows.append(row | {"worst, training": sizes["training"].max()})
    return pd.DataFrame(rows)


def tabulate_networks(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean, signed mean and worst error of the law by network and method, for n below LARGE_N and from there on."""
    split = runs.assign(size=runs["error_training"].abs(), bits=runs["error_information"].abs(), large=runs["n"] >= LARGE_N)
    found = split.groupby([*CASE, "method", "large"]).agg(
        runs=("run", "nunique"), mean=("size", "mean"), bias=("error_training", "mean"), worst=("size", "max"), bits=("bits", "mean"),
    ).reset_index()
    found.insert(0, "network", plots.titles(found, ["dataset", "model"]))
    found["n"] = np.where(found["large"], f"≥ {LARGE_N}", f"< {LARGE_N}")
    found["method"] = found["method"].map(METHOD_TITLES)
    columns = {"mean": "mean |error|", "bias": "mean error", "worst": "worst |error|", "bits": "mean |error|, bits"}
    return found.rename(columns=columns)[["network", "method", "n", "runs", *columns.values()]]


def tabulate_normality(margins: pd.DataFrame) -> pd.DataFrame:
    """How normal the margin is, the median run of a data set: skewness, excess kurtosis, share of classes that pass the test."""
    columns = {"skewness": "|skewness|, n = 1", "kurtosis": "excess kurtosis, n = 1"}
    columns |= {f"normal_{n}": f"% normal at n = {n}" for n in law.TESTED}
    found = margins.assign(**{f"normal_{n}": 100 * margins[f"normal_{n}"] for n in law.TESTED}).groupby("dataset")[list(columns)].median()
    found.insert(0, "data set", [plots.TITLES[dataset] for dataset in found.index])
    return found.rename(columns=columns).reset_index(drop=True)


def tabulate_limits(runs: pd.DataFrame, n: int = 80) -> pd.DataFrame:
    """Where n-accuracy stops rising: the limit from the class means beside n-accuracy at `n`, means over seeds with intervals."""
    chosen = usual(runs)[lambda table: (table["n"] == n) & table["method"].isin(plots.METHODS)]
    columns = {}
    for name, title in (("accuracy", f"measured at n = {n}"), ("predicted_training", f"predicted at n = {n}"), ("limit", "limit")):
        found = intervals.summary(chosen, name, [*ROW, "method"])
        columns[title] = pd.Series(report.format_summary(found), pd.MultiIndex.from_frame(found[[*ROW, "method"]]))
    found = pd.DataFrame(columns).reset_index()
    rows, methods = plots.cases(found, ROW), list(METHOD_TITLES)
    place = [(rows.index(row), methods.index(method)) for row, method in zip(zip(*(found[name] for name in ROW)), found["method"])]
    found = found.iloc[sorted(range(len(found)), key=place.__getitem__)]
    found.insert(0, "network", plots.titles(found, ROW))
    return found.assign(method=found["method"].map(METHOD_TITLES)).drop(columns=ROW).reset_index(drop=True)


def tabulate_limit_parts(runs: pd.DataFrame) -> pd.DataFrame:
    """By how many points balanced training's batches raise the baseline's limit (with its loss, λ = 1), and its loss the limit of these.

    In pairs by seed, of the networks that have all three trainings.
    """
    chosen = usual(runs, but=["standard_weight"])
    chosen = chosen[(chosen["n"] == 1) & chosen["method"].isin(["baseline", "balanced"])]
    names = {1: "batches", parameters.default("standard_weight"): "balanced"}
    chosen = chosen.assign(training=chosen["standard_weight"].map(names).where(chosen["method"] == "balanced", "baseline"))
    wide = chosen.dropna(subset="training").pivot(index=[*ROW, "seed"], columns="training", values="limit")
    wide = wide.reindex(columns=["baseline", *names.values()]).dropna().reset_index()
    if wide.empty:
        return pd.DataFrame()
    columns = {}
    for title, one, other in (("its batches", "batches", "baseline"), ("its loss", "balanced", "batches")):
        found = intervals.summary(wide.assign(gain=wide[one] - wide[other]), "gain", ROW)
        columns[title] = pd.Series(report.format_summary(found), pd.MultiIndex.from_frame(found[ROW]))
    table = pd.DataFrame(columns | {"seeds": wide.groupby(ROW)["seed"].nunique()}).loc[plots.cases(wide, ROW)]
    return table.set_axis([plots.case_title(case) for case in table.index]).rename_axis("network").reset_index()


def tabulate_sweet_spots(runs: pd.DataFrame) -> pd.DataFrame:
    """The predicted rho of most relative information and the measured one's range, a row a network, a column for each of SHOWN_N:
    "3.5 (3 to 3.5)".
    """
    found = claim_sweet_spot(runs)
    found = found[found["n"].isin(SHOWN_N)]
    text = [f"{row.estimate:g} ({row.low:g} to {row.high:g})" for row in found.itertuples()]
    return found.assign(text=text, n="n = " + found["n"].astype(str)).pivot(index="case", columns="n", values="text").rename_axis(
        index="network", columns=None)[[f"n = {n}" for n in SHOWN_N if (found["n"] == n).any()]]

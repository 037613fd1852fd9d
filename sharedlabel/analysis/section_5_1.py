"""Section 5.1: is there a best compression ratio for every n? The runs, and the tables under the figures (`section_5_1_figures`).

Networks are the baseline's, pruned by SynFlow in 100 rounds and measured at three rho or more. FLOPs are those of the live
weights, of the whole tuple.
"""
from pathlib import Path

import pandas as pd

from sharedlabel import choices, metrics
from sharedlabel.analysis import intervals, plots, report, sweet_spots, tables
from sharedlabel.runs import studies

FEWEST = 3  # rho that a curve and a verdict rest on at least
MARGIN = 5  # points above guessing: of a network with less at its largest n, which learned too little, nobody can tell
SURE = 0.975  # the share of plausible means from which on something counts as decided
TARGETS = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]  # n-accuracies, and shares of the most information measured
SHOWN_N = [1, 2, 5, 10, 25, 80]  # of the n that were measured
MEASURES = ["n_accuracy", "log_error", "information_gain", "relative_information", "gain_per_mflop"]
ABLATIONS = ["standard_weight", "tuple_size", "tuples_per_batch", "free_layers"]  # parameters of the other methods, at their defaults here
COUNTS_IN_CSV = ["epochs", "epoch limit", "minutes"]  # columns of `count_runs` that the notebook leaves to the CSV
SPOTS_CAPTION = "The best ρ (and its 95 % range); *: not surely inside the measured range; inside: at how many n it surely is"
SMALL_N = (1, 2, 3, 4, 5, 7, 10, 15, 40)
PAPER_N = {("cifar10", "conv"): (*SMALL_N, 60), ("tinyimagenet", "wideresnet20"): SMALL_N, ("cifar100", "resnet18"): SMALL_N}
PAPER_FIGURES = {("cifar10", "conv"): "1 to 7", ("tinyimagenet", "wideresnet20"): "11 to 15", ("cifar100", "resnet18"): "16 to 20"}


def select_runs(results: str | Path = "results", protocol: str = "random") -> pd.DataFrame:
    """Runs of the methods that average logits, of graphs and CNN-LSTMs, pruned by SynFlow: a row a run and n under `protocol`, one with
    n = nan for a collapse.

    Adds `flops`, `gain_per_mflop`, `per_cent` and `log_error`. ValueError for an unknown protocol.
    """
    if protocol not in choices.PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is unknown; allowed: {', '.join(choices.PROTOCOLS)}")
    runs = tables.load_records(results)
    runs = runs[(runs["pruner"] == "synflow") & (runs["prune_iterations"] > 1) & runs["method"].isin([*plots.METHODS, "graph", "cnn_lstm"])]
    runs = tables.at_defaults(runs[runs["n"].isna() | (runs["protocol"] == protocol)], ABLATIONS)
    return runs.assign(flops=2 * runs["macs_live"], gain_per_mflop=metrics.gain_per_mflop(runs["information_gain"], runs["macs_live"]),
                       log_error=metrics.log_error(runs["n_accuracy"], runs["tuples"]), per_cent=100 * runs["n_accuracy"])


def curve_runs(runs: pd.DataFrame, method: str = "baseline") -> pd.DataFrame:
    """The measured runs of one method on every network that has three rho or more; ValueError if two differ in more than the seed."""
    found = runs[(runs["method"] == method) & runs["n"].notna()].astype({"n": int})
    found = tables.check_distinct(found, [*intervals.CASE, "rho", "n", "seed"])
    return found[found.groupby(intervals.CASE)["rho"].transform("nunique") >= FEWEST]


def share_of_best(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `share_of_best`: relative information as a share of the highest mean that a rho of the network has at this n."""
    found = curve_runs(runs)
    means = found.groupby([*intervals.ROW, "n"])["relative_information"].mean()
    best = means.groupby([*intervals.CASE, "n"]).max().rename("highest").reset_index()
    found = found.merge(best, on=[*intervals.CASE, "n"])
    return found.assign(share_of_best=found["relative_information"] / found["highest"])


def networks(runs: pd.DataFrame, method: str = "baseline") -> dict[str, pd.DataFrame]:
    """The `curve_runs` of every network by its title."""
    found = curve_runs(runs, method)
    return {plots.case_title(case): plots.select_case(found, case) for case in plots.cases(found)}


def chance(part: pd.DataFrame) -> float:
    """What guessing names of one network's tuples, in per cent."""
    return 100 / part["classes"].iloc[0]


def inconclusive(runs: pd.DataFrame, method: str = "baseline") -> dict[str, str]:
    """Those of the `networks` of which nobody can tell, and why: no rho has two seeds, so that another might change all, or n-accuracy
    at the largest n is nowhere MARGIN above guessing, at the rho of two seeds or more.
    """
    found = {}
    for network, part in networks(runs, method).items():
        known = replicated(part)
        best = known[known["n"] == known["n"].max()].groupby("rho")["per_cent"].mean().max()
        doubts = {"one seed": part.groupby("rho")["seed"].nunique().max() < 2,
                  f"less than {MARGIN} points above guessing": best < chance(part) + MARGIN}
        found[network] = ", ".join(doubt for doubt, true in doubts.items() if true)
    return {network: why for network, why in found.items() if why}


def replicated(part: pd.DataFrame) -> pd.DataFrame:
    """The runs at those rho that have two seeds or more; all where none has."""
    seeds = part.groupby("rho")["seed"].transform("nunique")
    return part[seeds >= min(2, seeds.max())]


def describe_inconclusive(runs: pd.DataFrame) -> str:
    """The networks of which nobody can tell, in a sentence; empty if there is none."""
    parts, each = networks(runs), []
    for network, why in inconclusive(runs).items():
        part, known = parts[network], replicated(parts[network])
        where = "" if len(known) == len(part) else "at the ρ of two seeds or more "
        each.append(f"{network} ({why}: {where}n-accuracy is at most {known['per_cent'].max():.2g} %, guessing {chance(part):.2g} %)")
    return f"Open in every claim on what was learned, and without a ring: {'; '.join(each)}." if each else ""


def count_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """What was run: a row a network and rho, with the runs that did not learn or did not finish.

    `at limit`, `collapsed`, which is in no mean, and `learned nothing` (`idle`), which is in every mean, as in `tables.load_records`.
    """
    once = runs[runs["method"] == "baseline"].drop_duplicates("run")
    counts = {
        "seeds": ("seed", "count"), "weights": ("params_remaining", "first"), "MACs of an image": ("macs_live_image", "mean"),
        "epochs": ("epochs", "mean"), "epoch limit": ("max_epochs", "first"), "minutes": ("seconds", lambda seconds: seconds.sum() / 60),
        "at limit": ("at_limit", "sum"), "collapsed": ("collapsed", "sum"), "learned nothing": ("idle", "sum"),
    }
    found = once.groupby(intervals.ROW).agg(**counts).loc[plots.cases(once, intervals.ROW)].reset_index()
    found.insert(0, "network", plots.titles(found, ["dataset", "model"]))
    return found.drop(columns=intervals.CASE).rename(columns={"rho": "ρ"})


def describe_missing(runs: pd.DataFrame, study_names: list[str], results: str) -> str:
    """A Markdown list of what is missing: networks without a curve, the paper's figures, runs of the studies."""
    once, found = runs[runs["method"] == "baseline"], plots.cases(curve_runs(runs))
    collapsed = once["collapsed"].groupby([once[name] for name in intervals.ROW]).transform("all")
    gone = [plots.case_title(case) for case in plots.cases(once[collapsed], intervals.ROW)]
    few = [plots.case_title(case) for case in plots.cases(once[once["n"].notna()]) if case not in found]
    missing = [f"Figures {numbers} ({plots.case_title(case)})" for case, numbers in PAPER_FIGURES.items() if case not in found]
    lines = [
        "Not measured, as every run collapsed: " + "; ".join(gone),
        "Measured at one or two ρ only (for Tables 1 and 2), and not drawn: " + "; ".join(few),
        "Missing of the paper: " + "; ".join(missing),
    ]
    lines = [line for line in lines if not line.endswith(": ")]
    lines += [] if found else ["No network is measured at three ρ or more; without one there is no curve to draw or to judge"]
    lines += [studies.progress(study, once["run"], results) for study in study_names]
    return "\n".join(f"- {line[:1].upper()}{line[1:]}." for line in lines)


# ---- the numbers of the figures


def summarise_measures(runs: pd.DataFrame) -> pd.DataFrame:
    """The numbers of all figures: columns dataset, model, measure, rho, n and those of `intervals.summary`."""
    found = curve_runs(runs)
    each = [intervals.summary(found, value, [*intervals.ROW, "n"]).assign(measure=value) for value in MEASURES]
    return pd.concat(each)[[*intervals.CASE, "measure", "rho", "n", "mean", "low", "high", "seeds"]]


def tabulate_measure(runs: pd.DataFrame, value: str, ns: list[int] = SHOWN_N) -> pd.DataFrame:
    """One measure as a table: a row a network and rho, a column for each of `ns` that was measured."""
    wide = {}
    for network, part in networks(runs).items():
        found = intervals.summary(part[part["n"].isin(ns)], value, ["rho", "n"])
        found = found.assign(text=report.format_summary(found)).pivot(index="rho", columns="n", values="text").add_prefix("n = ")
        wide[network] = found.rename_axis(index="ρ", columns=None).reset_index()
    return report.stack_networks(wide)


def tabulate_cheapest(runs: pd.DataFrame, value: str = "n_accuracy") -> pd.DataFrame:
    """The cheapest rho and n that reach each target, and the FLOPs of the tuple: a row a network and target."""
    rows, named = [], name_doubts(runs)
    for network, part in networks(runs).items():
        found = sweet_spots.cheapest(part, targets(part, value), value)
        for target, row in zip(TARGETS, found.itertuples()):
            rows.append({"network": named[network], "target": f"{100 * target:g} %", "ρ": row.rho, "n": row.n,
                         "FLOPs": report.format_count(2 * row.macs_live)})
    return pd.DataFrame(rows)


def reach_one_image(part: pd.DataFrame, n: int) -> pd.DataFrame:
    """`summary` by rho of a network's n-accuracy at n minus that at n = 1 of the smallest rho, in points, in pairs by seed."""
    known = replicated(part)
    one = known[(known["rho"] == known["rho"].min()) & (known["n"] == 1)]
    harder = known[(known["n"] == n) & (known["rho"] > known["rho"].min())]
    pairs = harder.merge(one[["seed", "per_cent"]], on="seed", suffixes=("", "_one"))
    return intervals.summary(pairs.assign(difference=pairs["per_cent"] - pairs["per_cent_one"]), "difference", ["rho"])


def surely_reached(reached: pd.DataFrame) -> pd.DataFrame:
    """The rows of `reach_one_image` from the smallest rho on, as long as the interval is at or above 0; each is tested only if all
    before it passed, so that their number needs no correction."""
    return reached[(reached["low"] >= 0).cumprod().astype(bool)]


def tabulate_harder(runs: pd.DataFrame) -> pd.DataFrame:
    """What one image is worth at the smallest rho, and with n images the largest rho that is `surely_reached`.

    A row a network, a column for each of SHOWN_N but 1: rho, and in brackets the difference in points and the tuple's FLOPs over those
    of the one image.
    """
    rows, named = [], name_doubts(runs)
    for network, part in networks(runs).items():
        known = replicated(part)
        least, images = known["rho"].min(), known.groupby("rho")["macs_live_image"].mean()
        one = known.loc[(known["rho"] == least) & (known["n"] == 1), "per_cent"].mean()
        row = {"network": named[network], "one image": "-" if pd.isna(one) else f"{one:.1f} % at ρ = {least:g}"}
        for n in sorted(set(SHOWN_N[1:]) & set(known["n"])):
            row[f"n = {n}"] = "-"
            for last in surely_reached(reach_one_image(part, n)).tail(1).itertuples():
                more = report.format_estimate(last.mean, last.low, last.high)
                row[f"n = {n}"] = f"{last.rho:g} ({more}; {n * images[last.rho] / images[least]:.2g})"
        rows.append(row)
    return pd.DataFrame(rows)


def name_doubts(runs: pd.DataFrame) -> dict[str, str]:
    """What a table calls each network: with the reason where nobody can tell of it."""
    doubts = inconclusive(runs)
    return {network: f"{network} ({doubts[network]})" if network in doubts else network for network in networks(runs)}


def targets(part: pd.DataFrame, value: str) -> list[float]:
    """TARGETS of one network: of n-accuracy as they are, of information as shares of the highest mean."""
    most = 1 if value == "n_accuracy" else part.groupby(["rho", "n"])[value].mean().max()
    return [target * most for target in TARGETS]


def summarise_sweet_spots(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Where the best rho of every network and n lies: `network` and the columns of `sweet_spots.find`."""
    return report.stack_networks({network: sweet_spots.find(part, value) for network, part in networks(runs).items()})


def summarise_all_sweet_spots(runs: pd.DataFrame) -> pd.DataFrame:
    """`summarise_sweet_spots` by both costs, which `measure` names."""
    return pd.concat([summarise_sweet_spots(runs, value).assign(measure=value) for value in ("relative_information", "gain_per_mflop")])


def tabulate_sweet_spots(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """The best rho, and its 95 % range: a row a network, a column for each of SHOWN_N, `inside`: at how many n it surely is.

    A star: the best rho lies at an end of the rho measured in more than 2.5 % of the plausible means.
    """
    named = name_doubts(runs)
    rows = [
        {"network": named[network], **sweet_spots.describe_each(found[found["n"].isin(SHOWN_N)]),
         "inside": f"{(found['inside'] >= SURE).sum()} of {len(found)} n"}
        for network, found in summarise_sweet_spots(runs, value).groupby("network", sort=False)
    ]
    return pd.DataFrame(rows)


def judged_networks(runs: pd.DataFrame, paper_alone: bool = True) -> dict[str, pd.DataFrame]:
    """The `networks` that are a claim's cases; paper_alone: the paper's at its n (PAPER_N), where any of them was run."""
    found = networks(runs)
    printed = {network: part[part["n"].isin(PAPER_N.get(plots.cases(part)[0], ()))] for network, part in found.items()}
    printed = {network: part for network, part in printed.items() if len(part)}
    return printed if paper_alone and printed else found

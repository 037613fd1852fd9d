"""Section 5.1: is there a best compression ratio for every n? Claims, and the tables under the figures (`section_5_1_figures`).

Networks are the baseline's, pruned by SynFlow in 100 rounds and measured at three rho or more. FLOPs are those of the live
weights, of the whole tuple.
"""
from functools import partial
from pathlib import Path

import pandas as pd

from sharedlabel import choices, metrics
from sharedlabel.analysis import intervals, plots, report, sweet_spots, tables
from sharedlabel.analysis.comparisons import Claim, claim_rows
from sharedlabel.runs import studies

FEWEST = 3  # rho that a curve and a verdict rest on at least
MARGIN = 5  # points above chance: a network with less at its largest n has learned too little for a conclusion
SURE = 0.975  # the share of plausible means from which on something counts as decided
HIGH = 0.9  # correlation from which on two measures are "very highly" correlated
SHALLOW = 0.02  # a shallower dip, as a share of the highest mean at its n, is none
TARGETS = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]  # n-accuracies, and shares of the most information measured
SHOWN_N = [1, 2, 5, 10, 25, 80]  # of the n that were measured
MEASURES = ["n_accuracy", "log_error", "information_gain", "relative_information", "gain_per_mflop"]
ABLATIONS = ["standard_weight", "tuple_size", "tuples_per_batch", "free_layers"]  # parameters of the other methods, at their defaults here
COUNTS_IN_CSV = ["epochs", "epoch limit", "minutes"]  # columns of `count_runs` that the notebook leaves to the CSV
SPOTS_CAPTION = "The best ρ (and its 95 % range); *: not surely inside the measured range; inside: at how many n it surely is"
PAPER_FIGURES = {("cifar10", "conv"): "1 to 7", ("tinyimagenet", "wideresnet20"): "11 to 15", ("cifar100", "resnet18"): "16 to 20"}


def select_runs(results: str | Path = "results", protocol: str = "random") -> pd.DataFrame:
    """Runs of the methods that average logits, pruned by SynFlow: a row a run and n under `protocol`, one with n = nan for a collapse.

    Adds `flops`, `gain_per_mflop`, `per_cent` and `log_error`. ValueError for an unknown protocol.
    """
    if protocol not in choices.PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is unknown; allowed: {', '.join(choices.PROTOCOLS)}")
    runs = tables.load_records(results)
    runs = runs[(runs["pruner"] == "synflow") & (runs["prune_iterations"] > 1) & runs["method"].isin(plots.METHODS)]
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
    """Those of the `networks` from which nothing is concluded, and why: no rho has two seeds, so that nobody can tell what another
    seed would change, or n-accuracy at the largest n is nowhere MARGIN above chance, at the rho of two seeds or more.
    """
    found = {}
    for network, part in networks(runs, method).items():
        known = replicated(part)
        best = known[known["n"] == known["n"].max()].groupby("rho")["per_cent"].mean().max()
        doubts = {"one seed": part.groupby("rho")["seed"].nunique().max() < 2, "near chance": best < chance(part) + MARGIN}
        found[network] = ", ".join(doubt for doubt, true in doubts.items() if true)
    return {network: why for network, why in found.items() if why}


def replicated(part: pd.DataFrame) -> pd.DataFrame:
    """The runs at those rho that have two seeds or more; all where none has."""
    seeds = part.groupby("rho")["seed"].transform("nunique")
    return part[seeds >= min(2, seeds.max())]


def describe_inconclusive(runs: pd.DataFrame) -> str:
    """The networks from which nothing is concluded, in a sentence; empty if there is none."""
    parts, each = networks(runs), []
    for network, why in inconclusive(runs).items():
        part, known = parts[network], replicated(parts[network])
        where = "" if len(known) == len(part) else "at the ρ of two seeds or more "
        each.append(f"{network} ({why}: {where}n-accuracy is at most {known['per_cent'].max():.2g} %, guessing {chance(part):.2g} %)")
    return f"No conclusion, and so no ring and no case: {'; '.join(each)}." if each else ""


def count_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """What was run: a row a network and rho, with the runs that did not learn or did not finish.

    `at limit`: trained to the epoch limit, and might still improve. `collapsed`: no path from input to output was left; such a run
    has no measures and is in no mean. `learned nothing`: names one class whatever it sees; it counts in every mean.
    """
    once = runs[runs["method"] == "baseline"].drop_duplicates("run")
    collapsed, nothing = once["status"] == "layer_collapse", once["information_gain"] == 0
    once = once.assign(at_limit=once["stopped"] == "limit", collapsed=collapsed, nothing=nothing)
    counts = {
        "seeds": ("seed", "count"), "weights": ("params_remaining", "first"), "MACs of an image": ("macs_live_image", "mean"),
        "epochs": ("epochs", "mean"), "epoch limit": ("max_epochs", "first"), "minutes": ("seconds", lambda seconds: seconds.sum() / 60),
        "at limit": ("at_limit", "sum"), "collapsed": ("collapsed", "sum"), "learned nothing": ("nothing", "sum"),
    }
    found = once.groupby(intervals.ROW).agg(**counts).loc[plots.cases(once, intervals.ROW)].reset_index()
    found.insert(0, "network", plots.titles(found, ["dataset", "model"]))
    return found.drop(columns=intervals.CASE).rename(columns={"rho": "ρ"})


def describe_missing(runs: pd.DataFrame, study_names: list[str], results: str) -> str:
    """A Markdown list of what is missing: networks without a curve, the paper's figures, runs of the studies."""
    once, found = runs[runs["method"] == "baseline"], plots.cases(curve_runs(runs))
    collapsed = (once["status"] == "layer_collapse").groupby([once[name] for name in intervals.ROW]).transform("all")
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


def name_doubts(runs: pd.DataFrame) -> dict[str, str]:
    """What a table calls each network: with the reason where nothing is concluded from it."""
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


# ---- the claims


def judged_networks(runs: pd.DataFrame, method: str = "baseline") -> dict[str, pd.DataFrame]:
    """The `networks` from which something can be concluded."""
    doubts = inconclusive(runs, method)
    return {network: part for network, part in networks(runs, method).items() if network not in doubts}


def span(part: pd.DataFrame) -> dict:
    """What a claim's row says of runs of several rho and n: its n, and the least number of seeds of a rho."""
    ns = sorted(part["n"].unique())
    return {"n": f"{ns[0]} to {ns[-1]}", "seeds": int(part.groupby("rho")["seed"].nunique().min())}


def judge_sweet_spots(network: str, part: pd.DataFrame, value: str, at_an_end: str) -> list[dict]:
    """A claim's rows on the best rho of every n: `holds` where it is surely inside the measured range, `at_an_end` where surely not."""
    rows = []
    for spot in sweet_spots.find(part, value).itertuples():
        verdict = "holds" if spot.inside >= SURE else at_an_end if max(spot.lower_end, spot.upper_end) >= SURE else "cannot tell"
        rows.append({"case": network, "n": spot.n, "estimate": spot.best, "low": spot.low, "high": spot.high,
                     "seeds": span(part)["seeds"], "verdict": verdict})
    return rows


def claim_sweet_spot(runs: pd.DataFrame, value: str = "relative_information", at_an_end: str = "cannot tell") -> pd.DataFrame:
    """A row a network and n; the estimate is the best rho by `value`. `at_an_end`: the verdict where that surely is an end of the range."""
    rows = [judge_sweet_spots(network, part, value, at_an_end) for network, part in judged_networks(runs).items()]
    return claim_rows(sum(rows, []))


# Beyond an end there may be a better rho, so that an end decides nothing; but the claim on FLOPs is about the measured range.
claim_sweet_spot_flops = partial(claim_sweet_spot, value="gain_per_mflop", at_an_end="fails")


def claim_sweet_spot_methods(runs: pd.DataFrame) -> pd.DataFrame:
    """`claim_sweet_spot` of the other methods that average logits, on the baseline's networks; one row a method for what was not tested."""
    rows = []
    for method in plots.METHODS[1:]:
        found, untested = judged_networks(runs, method), []
        for network, baseline in judged_networks(runs).items():
            if network in found and surrounds_best(found[network], baseline):
                rows += judge_sweet_spots(f"{network}, {plots.TITLES[method]}", found[network], "relative_information", "cannot tell")
            else:
                untested.append(f"{network} ({list_rhos(runs, method, baseline)})")
        if untested:
            rows.append({"case": f"not tested: {plots.TITLES[method]} on {'; '.join(untested)}", "verdict": "not tested"})
    return claim_rows(rows)


def surrounds_best(part: pd.DataFrame, baseline: pd.DataFrame) -> bool:
    """Whether a method was run below and above the baseline's best rho of some n; else a maximum at an end of its rho says nothing."""
    best = sweet_spots.find(baseline, "relative_information")["best"]
    return bool(((part["rho"].min() < best) & (best < part["rho"].max())).any())


def list_rhos(runs: pd.DataFrame, method: str, baseline: pd.DataFrame) -> str:
    """At which rho a method was run on the baseline's network."""
    own = plots.select_case(runs[runs["method"] == method], plots.cases(baseline)[0])
    return ", ".join(f"ρ = {rho:g}" for rho in sorted(own["rho"].unique())).replace(", ρ =", ",") or "not run"


def claim_cheapest(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network and measure; the estimate is how many rho are the cheapest for one of the targets."""
    rows = []
    for network, part in judged_networks(runs).items():
        for value in ("n_accuracy", "information_gain"):
            count, verdict = sweet_spots.judge_cheapest(part, targets(part, value), value)
            case = f"{network}, {plots.LABELS[value].partition(' (')[0]}"
            rows.append({"case": case, **span(part), "estimate": count, "verdict": verdict})
    return claim_rows(rows)


def claim_rho_order(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network; the estimate is Kendall's W of the orders of the rho by mean relative information over n."""
    rows = []
    for network, part in judged_networks(runs).items():
        agreement, swapped = (how(part, "relative_information") for how in (sweet_spots.kendalls_w, sweet_spots.rank_swaps))
        verdict = "holds" if sweet_spots.same_order(part, "relative_information") >= SURE else "fails" if swapped else "cannot tell"
        rows.append({"case": f"{network}, swapped pairs of ρ: {len(swapped)}", "estimate": agreement, **span(part), "verdict": verdict})
    return claim_rows(rows)


def halves(part: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of the lower and of the upper half of the measured rho; the median belongs to the lower."""
    lower = part["rho"] <= part["rho"].drop_duplicates().median()
    found = {"lower": part[lower], "upper": part[~lower]}
    return {f"{name} ρ ({', '.join(f'{rho:g}' for rho in sorted(half['rho'].unique()))})": half for name, half in found.items()}


def claim_accuracy_information(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network and half of its rho; the estimate is `intervals.correlation` of n-accuracy and information gain."""
    rows = []
    for network, part in judged_networks(runs).items():
        for name, half in halves(part).items():
            row = {"case": f"{network}, {name}", **span(half), "verdict": "cannot tell"}
            if half["run"].nunique() > 2 and half[["n_accuracy", "information_gain"]].nunique().min() > 1:
                row["estimate"], row["low"], row["high"] = intervals.correlation_interval(half, "n_accuracy", "information_gain")
                row["verdict"] = "holds" if row["low"] > HIGH else "fails" if row["high"] < HIGH else "cannot tell"
            rows.append(row)
    return claim_rows(rows)


def claim_no_double_descent(runs: pd.DataFrame, value: str = "relative_information") -> pd.DataFrame:
    """A row a network; the estimate is at how many n a rho lies surely below one on either side (`sweet_spots.count_dips`)."""
    rows = []
    for network, part in judged_networks(runs).items():
        *_, means = intervals.sample_means(part, value)
        dips = sum(sweet_spots.count_dips(means[:, :, i]) > 0 for i in range(means.shape[2]))
        shallow = means.shape[1] > 2 and sweet_spots.dip_depth(means) < SHALLOW  # of two rho none lies between others
        verdict = "fails" if dips else "holds" if shallow else "cannot tell"
        rows.append({"case": network, "estimate": dips, **span(part), "verdict": verdict})
    return claim_rows(rows)


NO_DIP = f"fails where a ρ lies surely below one on either side at some n, holds where surely by less than {100 * SHALLOW:g} % of the " \
         "highest mean at every n"
CLAIMS = [
    Claim("sweet-spot", "sections 2 and 5.1, Figure 7", "for every n relative information has its maximum at some ρ*", "ρ*",
          "holds at an n where ρ* lies inside the measured range of ρ in 97.5 % of the plausible means over seeds", claim_sweet_spot),
    Claim("sweet-spot-flops", "ours", "information per FLOP, too, has its maximum inside the measured range of ρ, for every n", "best ρ",
          "holds at an n where it lies inside in 97.5 % of the plausible means, fails where at an end in as many", claim_sweet_spot_flops),
    Claim("sweet-spot-methods", "sections 2 and 5.1", "the other methods have a best ρ* for every n as well", "ρ*",
          "as for the baseline; tested where a method was run below and above the baseline's ρ*", claim_sweet_spot_methods),
    Claim("cheapest-rho", "Figures 1 and 4", "which ρ costs the fewest FLOPs depends on the accuracy and the information wanted",
          "different ρ", "holds where of two ρ each costs a tenth more than the other for one of eight targets in 97.5 % of the plausible "
          "means, corrected for the number of pairs and targets, and fails where in 97.5 % one costs nowhere a tenth more than the "
          "cheapest; between two n that were measured means are interpolated", claim_cheapest),
    Claim("rho-order", "ours", "relative information puts the ρ in the same order for every n (Figure 3: a specific one for each)",
          "Kendall's W",
          "holds where all n have them in one order in 97.5 % of the plausible means, and fails where two ρ surely swap places between two "
          "n, corrected for the number of pairs and n",
          claim_rho_order),
    Claim("accuracy-information", "section 4, Figures 5 and 6", "n-accuracy and information gain are very highly correlated", "correlation",
          f"holds where the 95 % range of the lesser of Pearson's and Spearman's, when runs are drawn with replacement, is above {HIGH}, "
          "and fails where it is below", claim_accuracy_information),
    Claim("no-double-descent", "section 3", "there is no double descent in relative information", "n with a dip", NO_DIP,
          claim_no_double_descent),
    Claim("no-double-descent-accuracy", "ours", "there is none in n-accuracy", "n with a dip", NO_DIP,
          partial(claim_no_double_descent, value="n_accuracy")),
]

"""Section 5.1: its claims. The paper's are judged on its own networks and n (`section_5_1.PAPER_N`), ours on all that were run."""
from collections.abc import Callable
from functools import partial

import pandas as pd

from sharedlabel.analysis import comparisons, intervals, plots, section_5_3_runs, sweet_spots
from sharedlabel.analysis.comparisons import Claim, claim_rows
from sharedlabel.analysis.section_5_1 import (
    FEWEST,
    SURE,
    inconclusive,
    judged_networks,
    networks,
    reach_one_image,
    replicated,
    surely_reached,
    targets,
)

ALIKE = 1.1  # times by which two costs may differ
HIGH = 0.9  # correlation from which on two measures are "very highly" correlated
SHALLOW = 0.02  # a shallower dip, as a share of the highest mean at its n, is none


def span(part: pd.DataFrame) -> dict:
    """What a claim's row says of runs of several rho and n: its n, and the least number of seeds of a rho."""
    ns = sorted(part["n"].unique())
    return {"n": f"{ns[0]} to {ns[-1]}", "seeds": int(part.groupby("rho")["seed"].nunique().min())}


def withhold(rows: list[dict], doubts: dict[str, str]) -> list[dict]:
    """A claim's rows, in which nobody can tell of the networks that are `inconclusive`, whatever their numbers say."""
    return [row | {"verdict": "cannot tell"} if row["case"].startswith(tuple(doubts)) else row for row in rows]


def judge_sweet_spots(network: str, part: pd.DataFrame, value: str, at_an_end: str) -> list[dict]:
    """A claim's rows on the best rho of every n: `holds` where it is surely inside the measured range, `at_an_end` where surely not."""
    rows = []
    for spot in sweet_spots.find(part, value).itertuples():
        verdict = "holds" if spot.inside >= SURE else at_an_end if max(spot.lower_end, spot.upper_end) >= SURE else "cannot tell"
        rows.append({"case": network, "n": spot.n, "estimate": spot.best, "low": spot.low, "high": spot.high,
                     "seeds": span(part)["seeds"], "verdict": verdict})
    return rows


def claim_cost(runs: pd.DataFrame, paper_alone: bool = True) -> pd.DataFrame:
    """A row a network, also where it learned too little; the estimate is by which factor FLOPs fall from the smallest to the largest rho,
    over n / rho's."""
    rows = []
    for network, part in judged_networks(runs, paper_alone).items():
        images = replicated(part[part["rho"] > 0]).pivot_table(index="seed", columns="rho", values="macs_live_image")
        first, last = images.columns[[0, -1]]
        ratio = (images[first] / images[last] / (last / first)).rename("ratio").reset_index().assign(network=network)
        row = intervals.summary(ratio, "ratio", ["network"]).iloc[0]  # nan where no seed has both
        alike, apart = row.low > 1 / ALIKE and row.high < ALIKE, row.low > ALIKE or row.high < 1 / ALIKE
        rows.append({"case": f"{network}, ρ = {first:g} and {last:g}", **span(part), "estimate": row["mean"], "low": row.low,
                     "high": row.high, "seeds": row.seeds, "verdict": "holds" if alike else "fails" if apart else "cannot tell"})
    return claim_rows(rows)


def claim_pruned_harder(runs: pd.DataFrame, paper_alone: bool = True) -> pd.DataFrame:
    """A row a network, at its largest n; the estimate is how much larger a rho is `surely_reached` there."""
    rows = []
    for network, part in judged_networks(runs, paper_alone).items():
        n, reached = part["n"].max(), reach_one_image(part, part["n"].max())
        fewer = (comparisons.holm(comparisons.p_values(reached)) < 0.05) & (reached["mean"] < 0)
        harder = surely_reached(reached)["rho"].max() - replicated(part)["rho"].min()
        verdict = "holds" if harder > 0 else "fails" if len(reached) and fewer.all() else "cannot tell"
        rows.append({"case": network, "n": n, "estimate": harder, "seeds": reached["seeds"].min(), "verdict": verdict})
    return claim_rows(withhold(rows, inconclusive(runs)))


def claim_sweet_spot(
    runs: pd.DataFrame, value: str = "relative_information", at_an_end: str = "cannot tell", paper_alone: bool = True
) -> pd.DataFrame:
    """A row a network and n; the estimate is the best rho by `value`. `at_an_end`: the verdict where that surely is an end of the range."""
    rows = [judge_sweet_spots(network, part, value, at_an_end) for network, part in judged_networks(runs, paper_alone).items()]
    return claim_rows(withhold(sum(rows, []), inconclusive(runs)))


# Beyond an end there may be a better rho, so that an end decides nothing; but the claim on FLOPs is about the measured range.
claim_sweet_spot_flops = partial(claim_sweet_spot, value="gain_per_mflop", at_an_end="fails", paper_alone=False)


def count_everywhere(claim: Callable, runs: pd.DataFrame) -> str:
    """How often a claim of the paper holds on all networks and n that were run, in a sentence; those that are ours have no part in it."""
    verdicts = list(claim(runs, paper_alone=False)["verdict"])
    return f"With the networks and n that are ours ({len(verdicts)} cases): {comparisons.count_verdicts(verdicts)}."


def claim_sweet_spot_methods(runs: pd.DataFrame) -> pd.DataFrame:
    """`claim_sweet_spot` of the other methods, on all networks; one row a method for what was not tested.

    Those that average logits at the rho of the CNN, on the baseline's networks; the CNN-LSTM, which was run at one, at that of its head.
    """
    rows, untested = judge_heads(runs)
    for method in plots.METHODS[1:]:
        found, doubts = networks(runs, method), inconclusive(runs, method)
        for network, baseline in networks(runs).items():
            if network in found and surrounds_best(found[network], baseline):
                title = f"{network}, {plots.TITLES[method]}"
                rows += withhold(judge_sweet_spots(title, found[network], "relative_information", "cannot tell"), doubts)
            else:
                untested.setdefault(plots.TITLES[method], []).append(f"{network} ({list_rhos(runs, method, baseline)})")
    graphs = runs[runs["method"] == "graph"]
    if len(graphs):
        untested["graph"] = [f"{network} (one ρ)" for network in dict.fromkeys(plots.titles(graphs, intervals.CASE))]
    rows += [{"case": f"not tested: {method} on {'; '.join(where)}", "verdict": "not tested"} for method, where in untested.items()]
    return claim_rows(rows)


def judge_heads(runs: pd.DataFrame) -> tuple[list[dict], dict[str, list[str]]]:
    """A claim's rows on the CNN-LSTM on the balanced CNN by the rho of its head, where it was run at FEWEST; and where it was not."""
    heads = runs[(runs["method"] == "cnn_lstm") & (runs["cnn_method"] == "balanced") & (runs["n"] == runs["train_n"])]
    heads, rows, untested = section_5_3_runs.at_defaults(heads).astype({"n": int}), [], {}
    for case in plots.cases(heads, intervals.ROW):
        part, title = plots.select_case(heads, case), f"{plots.case_title(case)}, CNN-LSTM by its head's ρ"
        swept = part.assign(rho=part["head_rho"])[part.groupby("n")["head_rho"].transform("nunique") >= FEWEST]
        for _, own in swept.groupby("n"):
            rows += judge_sweet_spots(title, own, "relative_information", "cannot tell")
        if swept.empty:
            rhos = ", ".join(f"{rho:g}" for rho in sorted(part["head_rho"].unique()))
            untested.setdefault("CNN-LSTM", []).append(f"{plots.case_title(case)} (head ρ = {rhos})")
    return rows, untested


def surrounds_best(part: pd.DataFrame, baseline: pd.DataFrame) -> bool:
    """Whether a method was run below and above the baseline's best rho of some n; else a maximum at an end of its rho says nothing."""
    best = sweet_spots.find(baseline, "relative_information")["best"]
    return bool(((part["rho"].min() < best) & (best < part["rho"].max())).any())


def list_rhos(runs: pd.DataFrame, method: str, baseline: pd.DataFrame) -> str:
    """At which rho a method was run on the baseline's network."""
    own = plots.select_case(runs[runs["method"] == method], plots.cases(baseline)[0])
    return ", ".join(f"ρ = {rho:g}" for rho in sorted(own["rho"].unique())).replace(", ρ =", ",") or "not run"


def claim_cheapest(runs: pd.DataFrame, paper_alone: bool = True) -> pd.DataFrame:
    """A row a network and measure; the estimate is how many rho are the cheapest for one of the targets."""
    rows = []
    for network, part in judged_networks(runs, paper_alone).items():
        for value in ("n_accuracy", "information_gain"):
            count, verdict = sweet_spots.judge_cheapest(part, targets(part, value), value)
            case = f"{network}, {plots.LABELS[value].partition(' (')[0]}"
            rows.append({"case": case, **span(part), "estimate": count, "verdict": verdict})
    return claim_rows(withhold(rows, inconclusive(runs)))


def claim_rho_order(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network; the estimate is Kendall's W of the orders of the rho by mean relative information over n."""
    rows = []
    for network, part in networks(runs).items():
        agreement, swapped = (how(part, "relative_information") for how in (sweet_spots.kendalls_w, sweet_spots.rank_swaps))
        verdict = "holds" if sweet_spots.same_order(part, "relative_information") >= SURE else "fails" if swapped else "cannot tell"
        rows.append({"case": f"{network}, swapped pairs of ρ: {len(swapped)}", "estimate": agreement, **span(part), "verdict": verdict})
    return claim_rows(withhold(rows, inconclusive(runs)))


def halves(part: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of the lower and of the upper half of the measured rho; the median belongs to the lower."""
    lower = part["rho"] <= part["rho"].drop_duplicates().median()
    found = {"lower": part[lower], "upper": part[~lower]}
    return {f"{name} ρ ({', '.join(f'{rho:g}' for rho in sorted(half['rho'].unique()))})": half for name, half in found.items()}


def claim_accuracy_information(runs: pd.DataFrame, paper_alone: bool = True) -> pd.DataFrame:
    """A row a network and half of its rho; the estimate is `intervals.correlation` of n-accuracy and information gain."""
    rows = []
    for network, part in judged_networks(runs, paper_alone).items():
        for name, half in halves(part).items():
            row = {"case": f"{network}, {name}", **span(half), "verdict": "cannot tell"}
            if half["run"].nunique() > 2 and half[["n_accuracy", "information_gain"]].nunique().min() > 1:
                row["estimate"], row["low"], row["high"] = intervals.correlation_interval(half, "n_accuracy", "information_gain")
                row["verdict"] = "holds" if row["low"] > HIGH else "fails" if row["high"] < HIGH else "cannot tell"
            rows.append(row)
    return claim_rows(withhold(rows, inconclusive(runs)))


def claim_no_double_descent(runs: pd.DataFrame, value: str = "relative_information", paper_alone: bool = True) -> pd.DataFrame:
    """A row a network; the estimate is at how many n a rho lies surely below one on either side (`sweet_spots.count_dips`)."""
    rows = []
    for network, part in judged_networks(runs, paper_alone).items():
        *_, means = intervals.sample_means(part, value)
        dips = sum(sweet_spots.count_dips(means[:, :, i]) > 0 for i in range(means.shape[2]))
        shallow = means.shape[1] > 2 and sweet_spots.dip_depth(means) < SHALLOW  # of two rho none lies between others
        verdict = "fails" if dips else "holds" if shallow else "cannot tell"
        rows.append({"case": network, "estimate": dips, **span(part), "verdict": verdict})
    return claim_rows(withhold(rows, inconclusive(runs)))


NO_DIP = f"fails where a ρ lies surely below one on either side at some n, holds where surely by less than {100 * SHALLOW:g} % of the " \
         "highest mean at every n"
CLAIMS = [
    Claim("pruned-harder", "title, section 1", "more images of one label allow harder pruning at the same n-accuracy",
          "ρ more", "holds where at the largest n the second smallest ρ surely names no fewer than the smallest ρ does at n = 1 (the 95 % "
          "interval in pairs by seed is at or above 0; the estimate is how far up this is so), and fails where each larger ρ names fewer, "
          "significant at 5 % among all ρ (Holm)", claim_pruned_harder),
    Claim("cost", "section 2", "the computing for a tuple is proportional to n/ρ", "times n/ρ's factor",
          "FLOPs fall from the smallest to the largest ρ by the factor by which n/ρ does, within a tenth; holds and fails by the 95 % "
          "interval", claim_cost, wanted=(1 / ALIKE, ALIKE)),
    Claim("sweet-spot", "sections 2 and 5.1, Figure 7", "for every n relative information has its maximum at some ρ*", "ρ*",
          "holds at an n where ρ* lies inside the measured range of ρ in 97.5 % of the plausible means over seeds", claim_sweet_spot),
    Claim("sweet-spot-flops", "ours", "information per FLOP, too, has its maximum inside the measured range of ρ, for every n", "best ρ",
          "holds at an n where it lies inside in 97.5 % of the plausible means, fails where at an end in as many", claim_sweet_spot_flops),
    Claim("sweet-spot-methods", "sections 2 and 5.1", "the other methods have a best ρ* for every n as well", "ρ*",
          "as for the baseline; tested where a method was run below and above the baseline's ρ*", claim_sweet_spot_methods),
    Claim("cheapest-rho", "Figures 1 and 4", "which ρ costs the fewest FLOPs depends on the accuracy or information wanted",
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
          partial(claim_no_double_descent, value="n_accuracy", paper_alone=False)),
]

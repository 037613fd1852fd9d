"""Appendix C.2: is SynFlow the best pruner? Runs of the baseline, compared in pairs by seed, and by what their networks cost.

A *pruning* is a pruner and its rounds: all five prune in 100 rounds here, SNIP and GraSP also at once, as in their own papers.
"""
from pathlib import Path

import pandas as pd

from sharedlabel import choices
from sharedlabel.analysis import comparisons, intervals, plots, report, sweet_spots, tables
from sharedlabel.analysis.comparisons import Claim, claim_rows
from sharedlabel.runs import studies

SIZES = [1, 5]  # the n that are compared: most pruners are at 100 % for more images
CEILING = 0.998  # n-accuracy; of two prunings that are both better than this neither can be ahead by much
CELL = [*intervals.CASE, "n", "rho"]  # one comparison of SynFlow with each other pruning
SPOT_N = [1, 2, 5, 10, 25, 80]  # at which the best rho is shown
OTHER_WEIGHTS = "benchmarks/initialisation"  # the records of the study of that name


def name_pruning(table: pd.DataFrame) -> pd.Series:
    """Each row's pruning: the pruner's name, with "_once" for one round."""
    return table["pruner"].where(table["prune_iterations"] > 1, table["pruner"] + "_once")


def planned_runs(study: str) -> pd.DataFrame:
    """The runs of a study and SynFlow's at the same places: parameters, `run` and `pruning`."""
    runs = studies.load(study)
    planned = [*runs, *(run | {"pruner": "synflow", "prune_iterations": 100} for run in runs)]
    found = pd.DataFrame([run | {"run": studies.run_name(run)} for run in planned])
    return found.assign(pruning=name_pruning(found)).drop_duplicates("run")


def select_runs(results: str | Path = "results", study: str = "pruning", protocol: str = "random") -> pd.DataFrame:
    """The baseline's runs on the networks on which the paper's pruners are compared: a row a run and n under `protocol`.

    n = nan for a collapse. Networks are those of the study, and others with a run of another pruner than SynFlow. Adds `pruning`
    and `flops` (of an image). ValueError where two runs differ in more than their seed.
    """
    runs = baselines(results, protocol)
    compared = pd.concat([planned_runs(study), runs[runs["pruner"] != "synflow"]])[intervals.CASE].drop_duplicates()
    return tables.check_distinct(runs.merge(compared, on=intervals.CASE), [*intervals.CASE, "pruning", "rho", "n", "seed"])


def baselines(results: str | Path, protocol: str) -> pd.DataFrame:
    """The baseline's runs of the paper's pruners, as `select_runs` has them, of all networks."""
    runs = tables.load_records(results)
    runs = runs[(runs["method"] == "baseline") & (runs["n"].isna() | (runs["protocol"] == protocol))]
    runs = runs[runs["pruner"].isin(choices.PAPER_PRUNERS)]
    return runs.assign(pruning=name_pruning(runs), flops=2 * runs["macs_live_image"])


def measured(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that did not collapse, at the SIZES that are compared."""
    return runs[runs["n"].isin(SIZES)].astype({"n": int})


def guessing(runs: pd.DataFrame) -> pd.Series:
    """By data set: the n-accuracy of guessing, one in as many classes."""
    return 1 / runs.groupby("dataset")["classes"].max().astype(float)


def score_collapses(runs: pd.DataFrame) -> pd.DataFrame:
    """`measured` with a row for each collapsed run and n, whose n-accuracy is that of guessing."""
    lost = runs[runs["collapsed"]].drop(columns=["n", "n_accuracy"]).merge(pd.DataFrame({"n": SIZES}), how="cross")
    return pd.concat([measured(runs), lost.assign(n_accuracy=lost["dataset"].map(guessing(runs)))])


# ---- what was run


def count_outcomes(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network and rho, a column a pruning: how many runs, how many of them collapsed or learned nothing.

    Collapsed: no path of weights leads from the input to an output. Learned nothing: connected, but names one class whatever it sees.
    """
    once = runs.drop_duplicates("run")

    def outcome(group: pd.DataFrame) -> str:
        counts = {"collapsed": group["collapsed"].sum(), "learned nothing": group["idle"].sum()}
        return ", ".join([str(len(group)), *(f"{count} {what}" for what, count in counts.items() if count)])

    cells = once.groupby([*intervals.ROW, "pruning"])[["collapsed", "idle"]].apply(outcome)
    return tabulate(cells)


def tabulate(cells: pd.Series) -> pd.DataFrame:
    """Text by (data set, network, rho, pruning) as a table: a row a network and rho, a column for each pruning that has any."""
    if cells.empty:
        return pd.DataFrame()
    wide = cells.unstack("pruning")
    wide = wide[[pruning for pruning in plots.PRUNINGS if pruning in wide]].loc[plots.cases(cells.index.to_frame(), intervals.ROW)]
    wide.index = pd.Index([plots.case_title(place) for place in wide.index], name="network")
    return wide.rename(columns=plots.TITLES).rename_axis(columns=None)


def describe_missing(runs: pd.DataFrame, study: str) -> str:
    """A Markdown list of the runs of the study and of the paper's data sets that are missing."""
    planned = planned_runs(study)
    missing = planned[~planned["run"].isin(runs["run"])]
    lines = [f"Missing: {len(missing)} of the {len(planned)} runs to compare" + (f" (make grid STUDY={study})" if len(missing) else "")]
    for (model, pruning), group in missing.groupby(["model", "pruning"]):
        rhos = ", ".join(f"{rho:g}" for rho in sorted(set(group["rho"])))
        lines.append(f"{plots.TITLES[model]}, {plots.TITLES[pruning]}: {len(group)} runs, ρ = {rhos}")
    absent = [plots.TITLES[name] for name in choices.PAPER_DATASETS if name not in set(runs["dataset"])]
    return "\n".join(f"- {line}." for line in [*lines, f"Missing of the paper's data sets: {', '.join(absent) or 'none'}"])


# ---- n-accuracy at the same rho


def tabulate_pruners(runs: pd.DataFrame, value: str, n: int, unit: float = 1.0) -> pd.DataFrame:
    """The means of `value` / `unit` at one n: a row a network and rho, a column a pruning; collapsed runs are in none."""
    found = measured(runs)
    found = found[found["n"] == n]
    means = intervals.summary(found.assign(**{value: found[value] / unit}), value, [*intervals.ROW, "pruning"])
    return tabulate(means.assign(text=report.format_summary(means)).set_index([*intervals.ROW, "pruning"])["text"])


def compare_with_synflow(runs: pd.DataFrame, with_collapses: bool = True) -> pd.DataFrame:
    """n-accuracy of SynFlow minus that of each other pruning, in pairs by seed: columns CELL, `pruning`, those of `intervals.summary`, `p`.

    with_collapses: a collapsed run counts as guessing; else only pairs of two trained runs count. `lost`: whether the other collapsed in
    every run. `ceiling`: both means are above CEILING, and nobody can tell; `verdict` is `comparisons.judge_each`'s of all the others, p
    that of their paired t-tests, adjusted over them (Holm).
    """
    scored = score_collapses(runs) if with_collapses else measured(runs)
    if "synflow" not in set(scored["pruning"]):
        return pd.DataFrame(columns=[*CELL, "pruning", "mean", "low", "high", "seeds", "lost", "p", "ceiling", "verdict"])
    found = comparisons.differences_from(scored, "n_accuracy", "pruning", "synflow", CELL)
    each = scored.groupby([*CELL, "pruning"]).agg(mean=("n_accuracy", "mean"), lost=("collapsed", "all"))
    other = each.loc[pd.MultiIndex.from_frame(found[[*CELL, "pruning"]])].set_axis(found.index)
    own = each.loc[pd.MultiIndex.from_frame(found[CELL].assign(pruning="synflow"))].set_axis(found.index)
    found = found.assign(lost=other["lost"], ceiling=(own["mean"] > CEILING) & (other["mean"] > CEILING))
    open_ones = found[~found["ceiling"]]
    verdicts = pd.Series(comparisons.judge_each(open_ones), open_ones.index, dtype=object).reindex(found.index, fill_value="cannot tell")
    return found.assign(p=comparisons.holm(comparisons.p_values(open_ones)), verdict=verdicts)


def summarise_differences(runs: pd.DataFrame) -> pd.DataFrame:
    """`compare_with_synflow` of all pairs and of those in which both were trained, which `pairs` names."""
    sides = {"all": True, "both trained": False}
    return pd.concat([compare_with_synflow(runs, with_collapses).assign(pairs=pairs) for pairs, with_collapses in sides.items()])


def tabulate_differences(runs: pd.DataFrame, n: int, with_collapses: bool) -> pd.DataFrame:
    """`compare_with_synflow` at one n in points: a row a network and rho, a column for each other pruning."""
    found = compare_with_synflow(runs, with_collapses)
    found = in_points(found[found["n"] == n])
    return tabulate(found.assign(text=report.format_summary(found)).set_index([*intervals.ROW, "pruning"])["text"])


def in_points(found: pd.DataFrame) -> pd.DataFrame:
    """A `summary` of fractions in percentage points."""
    return found.assign(**{name: 100 * found[name] for name in ("mean", "low", "high")})


def count_verdicts(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network and n: in how many comparisons SynFlow is better by their own interval, among them those with a pruner that lost
    every path in every run, in how many surely worse, and the median margin in points."""
    rows, found = [], compare_with_synflow(runs)
    for case in plots.cases(found):
        for n, part in plots.select_case(found, case).groupby("n"):
            verdicts = list(part["verdict"])
            rows.append({
                "network": plots.case_title(case), "n": n, "comparisons": len(part), "better": verdicts.count("holds"),
                "all the other's collapsed": ((part["verdict"] == "holds") & part["lost"]).sum(),
                "worse": verdicts.count("fails"), "undecided": verdicts.count("cannot tell"), "at the ceiling": part["ceiling"].sum(),
                "median margin": 100 * part["mean"].median(),
            })
    return pd.DataFrame(rows)


def list_worse(runs: pd.DataFrame) -> pd.DataFrame:
    """The comparisons in which SynFlow is worse by their own interval, in points, with p after Holm and the verdict."""
    found = compare_with_synflow(runs)
    found = in_points(found[(found["high"] < 0) & ~found["ceiling"].astype(bool)])
    return pd.DataFrame([
        {"case": plots.case_title((row.dataset, row.model, row.rho)), "n": row.n, "other": plots.TITLES[row.pruning],
         "SynFlow minus the other": report.format_estimate(row.mean, row.low, row.high), "pairs": row.seeds, "p (Holm)": f"{row.p:.3f}",
         "verdict": row.verdict}
        for row in found.itertuples()
    ])


def claim_best(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network, rho, other pruning and n; the estimate is SynFlow's n-accuracy minus the other's, a collapse counted as guessing."""
    found = in_points(compare_with_synflow(runs))
    return claim_rows([
        {"case": f"{plots.case_title((row.dataset, row.model, row.rho))}, {plots.TITLES[row.pruning]}" + ", all collapsed" * row.lost,
         "n": row.n, "estimate": row.mean, "low": row.low, "high": row.high, "seeds": row.seeds, "verdict": row.verdict}
        for row in found.itertuples()
    ])


# ---- from other initial weights


def add_other_weights(runs: pd.DataFrame, results: str = OTHER_WEIGHTS) -> pd.DataFrame:
    """The runs that start from other than the usual weights, and those of `runs` with the same network, rho and pruning."""
    others = baselines(results, "random")
    places = [*intervals.ROW, "pruning"]
    both = [one.merge(other[places].drop_duplicates()) for one, other in ((runs, others), (others, runs))]
    return pd.concat([part for part in both if len(part)] or both)


def compare_weights(found: pd.DataFrame) -> pd.DataFrame:
    """SynFlow minus SNIP in points, in pairs by seed, from either initial weights, a collapse counted as guessing: CELL, `initialisation`,
    those of `intervals.summary`, the means `snip` and `synflow`, and in how many runs `snip_collapsed`."""
    cells, scored = [*CELL, "initialisation"], score_collapses(found).assign(per_cent=lambda runs: 100 * runs["n_accuracy"])
    if not {"synflow", "snip"} <= set(scored["pruning"]):
        return pd.DataFrame()
    pairs = comparisons.differences_from(scored, "per_cent", "pruning", "synflow", cells)
    means = scored.groupby([*cells, "pruning"])["per_cent"].mean().unstack("pruning")
    lost = scored[scored["pruning"] == "snip"].groupby(cells)["collapsed"].sum().rename("snip_collapsed")
    found = pairs.merge(means.join(lost).reset_index(), on=cells).sort_values(["n", "initialisation"], ascending=[True, False])
    return plots.in_order(found, intervals.ROW)


def tabulate_weights(found: pd.DataFrame) -> pd.DataFrame:
    """`compare_weights` as a table: a row a network, n and initial weights."""
    if found.empty:
        return pd.DataFrame()
    return pd.DataFrame({
        "network": plots.titles(found, intervals.ROW), "n": found["n"],
        "initial weights": found["initialisation"].map({"pytorch": "PyTorch's", "he": "He's"}),
        "SNIP (%)": found["snip"].map("{:.1f}".format), "SynFlow (%)": found["synflow"].map("{:.1f}".format),
        "SynFlow minus SNIP": report.format_summary(found), "pairs": found["seeds"], "of which SNIP collapsed": found["snip_collapsed"],
    })


# ---- n-accuracy at the same price


def compare_at_price(own: pd.DataFrame) -> pd.DataFrame:
    """SynFlow minus each other pruning and rho of one network and n, in pairs by seed, at SynFlow's next price above and below.

    Columns `pruning`, `rho`, `kflops` (of an image), `side` ("dearer": the cheapest of SynFlow's rho that costs at least as much,
    "cheaper": the dearest that costs at most as much), `its_rho`, `its_kflops`, and those of `intervals.summary`.
    """
    price = own.groupby(["pruning", "rho"])["flops"].mean()
    value, pairs = own.set_index(["pruning", "rho", "seed"])["n_accuracy"].sort_index(), []
    for (pruning, rho), paid in price.drop("synflow", errors="ignore").items():
        offers = price.get("synflow", pd.Series(dtype=float))
        dearer, cheaper = offers[offers >= paid], offers[offers <= paid]
        for side, offer in (("dearer", dearer.nsmallest(1)), ("cheaper", cheaper.nlargest(1))):
            for its_rho, its_price in offer.items():
                difference = (value["synflow", its_rho] - value[pruning, rho]).dropna().rename("difference").reset_index()
                pairs.append(difference.assign(pruning=pruning, rho=rho, kflops=paid / 1000, side=side, its_rho=its_rho,
                                               its_kflops=its_price / 1000))
    if not pairs:
        return pd.DataFrame()
    return intervals.summary(pd.concat(pairs), "difference", ["pruning", "rho", "kflops", "side", "its_rho", "its_kflops"])


def judge_price(row) -> str:
    """Of one row of `compare_prices`: `holds` where SynFlow is surely better, by the row's own interval, and cheaper; `fails` where it is
    surely worse, also among all rows, and dearer."""
    if row.low > 0 and row.side == "cheaper":
        return "holds"
    return "fails" if row.mean < 0 and row.p < 0.05 and row.side == "dearer" else "cannot tell"


def compare_prices(runs: pd.DataFrame) -> pd.DataFrame:
    """`compare_at_price` of every network at the least n, in points, with `network`, `n`, `p`, adjusted over all (Holm), and `verdict`."""
    found, least = measured(runs), min(SIZES)
    parts = {plots.case_title(case): compare_at_price(plots.select_case(found[found["n"] == least], case)) for case in plots.cases(found)}
    found = report.stack_networks({network: part for network, part in parts.items() if len(part)})
    if found.empty:
        return found
    found = in_points(found).assign(n=least, p=comparisons.holm(comparisons.p_values(found)))
    return found.assign(verdict=[judge_price(row) for row in found.itertuples()])


def claim_price(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network, other pruning, rho and side of its price; the estimate is SynFlow's n-accuracy minus the other's."""
    return claim_rows([
        {"case": f"{row.network}, {plots.TITLES[row.pruning]} at ρ = {row.rho:g}, SynFlow {row.side} (ρ = {row.its_rho:g})", "n": row.n,
         "estimate": row.mean, "low": row.low, "high": row.high, "seeds": row.seeds, "verdict": row.verdict}
        for row in compare_prices(runs).itertuples()
    ])


def tabulate_sweet_spots(runs: pd.DataFrame) -> pd.DataFrame:
    """The rho of most relative information: a row a network and pruning that kept a path in every run at three rho or more, at these."""
    rows, held = [], runs[~runs.groupby([*intervals.ROW, "pruning"])["collapsed"].transform("any")].astype({"n": int})
    for case in plots.cases(held):
        for pruning, own in plots.select_case(held, case).groupby("pruning"):
            spots = sweet_spots.find(own, "relative_information")
            if spots["inside"].notna().all():
                name = f"{plots.case_title(case)}, {plots.TITLES[pruning]}"
                rows.append({"network, pruner": name, "ρ": ", ".join(f"{rho:g}" for rho in sorted(own["rho"].unique())),
                             **sweet_spots.describe_each(spots[spots["n"].isin(SPOT_N)])})
    return pd.DataFrame(rows)


CLAIMS = [
    Claim("synflow-best", "appendix C", "SynFlow is the best pruner for the baseline", "points",
          "a case holds by its own paired 95 % t-interval and fails where it is significant at 5 % among all (Holm), a "
          "collapse being a guess; where both are above 99.8 % nobody can tell, and it is not among them", claim_best),
    Claim("synflow-price", "ours", "SynFlow's networks are the best for what they cost in FLOPs", "points",
          "a case holds where SynFlow is surely better than another pruner's network, by its own 95 % interval, and cheaper, and fails "
          "where surely worse and dearer (5 % among all, Holm)", claim_price),
]

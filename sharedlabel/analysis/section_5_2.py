"""Section 5.2 and Appendix D: baseline, balanced method and freeze-and-retrain, compared in pairs by seed.

`runs` is what `select_runs` returns. A network is a (data set, model, rho), as a row of the paper's Table 1.
Accuracies are in per cent, differences in points (percentage points).
"""
from collections.abc import Callable, Container
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from sharedlabel import ROOT
from sharedlabel.analysis import comparisons, intervals, plots, tables
from sharedlabel.analysis.comparisons import NEGLIGIBLE, Claim
from sharedlabel.analysis.intervals import ROW
from sharedlabel.runs import parameters

SETTINGS = ["standard_weight", "tuple_size", "tuples_per_batch", "free_layers"]  # of balanced training
MIN_SEEDS = 3  # a verdict needs as many pairs
OVER = ", over "  # between a case's network and its opponent


def select_runs(records: pd.DataFrame) -> pd.DataFrame:
    """The SynFlow runs of the three methods, on the networks of the paper's Table 1 and any other with two methods to compare.

    Adds to the columns of `tables.load_records` `per_cent` (n-accuracy) and `default_settings` (whether all of SETTINGS are the
    defaults). ValueError where two such runs of one network, method and seed differ in anything else.
    """
    runs = records[records["method"].isin(plots.METHODS) & (records["pruner"] == "synflow") & records["n"].notna()]
    defaults = tables.at_defaults(runs, SETTINGS)
    runs = runs.assign(default_settings=runs.index.isin(defaults.index)).astype({"n": int, "n_accuracy": float})
    runs["per_cent"] = 100 * runs["n_accuracy"]
    tables.check_distinct(runs[runs["default_settings"]], [*ROW, "method", "seed", "n", "protocol"])
    methods = runs[runs["default_settings"]].groupby(ROW)["method"].nunique()
    kept = set(paper_networks()) | set(methods.index[methods > 1])
    return runs[is_among(runs, kept)]


def select_default(runs: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The runs with default settings, measured by one protocol (`disjoint` or `random`)."""
    return runs[runs["default_settings"] & (runs["protocol"] == protocol)]


def load_paper() -> pd.DataFrame:
    """The paper's Table 1: columns ROW, method, n, `paper` (n-accuracy in per cent)."""
    wide = pd.read_csv(ROOT / "paper" / "table_1.csv")
    paper = wide.melt([*ROW, "method"], ["n1", "n25", "n40", "n60", "n80"], "n", "paper")
    return paper.assign(n=paper["n"].str[1:].astype(int))


def paper_networks() -> list[tuple]:
    """The networks of the paper's Table 1."""
    return plots.cases(load_paper(), ROW)


def paper_differences() -> pd.DataFrame:
    """Balanced minus baseline in the paper's Table 1: columns ROW, n, `paper`."""
    wide = load_paper().pivot(index=[*ROW, "n"], columns="method", values="paper")
    return wide.eval("balanced - baseline").rename("paper").reset_index()


def is_among(table: pd.DataFrame, networks: Container[tuple]) -> np.ndarray:
    """Of each row, whether its network is one of these: bool [rows]."""
    return np.array([network in networks for network in zip(*(table[name] for name in ROW))], bool)


def judge_rows(found: pd.DataFrame) -> list[str]:
    """The verdict on every difference of a `summary` being positive; `cannot tell` with fewer than MIN_SEEDS pairs."""
    enough = found["seeds"] >= MIN_SEEDS
    return comparisons.judge_each(found.assign(**{name: found[name].where(enough) for name in ("mean", "low", "high")}))


# ---- what was run


def overview(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network and method: weights left, seeds, mean epochs and their limit, how many stopped there, minutes of all seeds.

    `learned nothing`: runs that predict one class for every image.
    """
    each = select_default(runs, "random").drop_duplicates("run")
    found = each.groupby([*ROW, "method"]).agg(**{
        "weights": ("params_remaining", "first"), "seeds": ("seed", "count"), "epochs": ("epochs", "mean"),
        "limit": ("limit_epochs", "first"), "at limit": ("at_limit", "sum"), "learned nothing": ("idle", "sum"),
        "minutes": ("seconds", lambda seconds: seconds.sum() / 60),
    }).round(0).astype(int).reset_index()
    return plots.in_order(found, ROW)


# ---- Table 1 beside ours


def table_1(runs: pd.DataFrame) -> pd.DataFrame:
    """Every cell of the paper's Table 1 beside our mean over seeds, both of disjoint tuples, in per cent; nan where we have no run.

    `paper_low`, `paper_high`: Wilson's 95 % interval of the paper's number, had it been counted on as many `tuples` as ours.
    `half`: half the 95 % t-interval of our mean, at least one tuple wide, nan with fewer than MIN_SEEDS. `inside`: whether the
    paper's number lies in that interval; `inside_run`: whether it lies where one further seed of ours would in 95 of 100
    cases (the prediction interval, sqrt(seeds + 1) times as wide).
    """
    disjoint = select_default(runs, "disjoint")
    ours = intervals.summary(disjoint, "per_cent", [*ROW, "method", "n"])
    ours["tuples"] = disjoint.groupby([*ROW, "method", "n"])["tuples"].first().to_numpy()
    cells = load_paper().merge(ours, how="left").rename(columns={"mean": "ours"})
    cells["half"] = (cells["high"] - cells["ours"]).clip(lower=100 / cells["tuples"]).where(cells["seeds"] >= MIN_SEEDS)
    cells["difference"] = cells["ours"] - cells["paper"]
    for name, width in {"inside": 1, "inside_run": np.sqrt(cells["seeds"] + 1)}.items():
        cells[name] = (cells["difference"].abs() <= width * cells["half"]).where(cells["half"].notna())
    cells["paper_low"], cells["paper_high"] = zip(*map(wilson_interval, cells["paper"], cells["tuples"]))
    return plots.in_order(cells.drop(columns=["low", "high"]), ROW)


def wilson_interval(per_cent: float, tuples: float) -> tuple[float, float]:
    """Wilson's 95 % binomial interval, in per cent, of an accuracy that was counted on so many tuples; nan for nan."""
    if np.isnan(tuples):
        return np.nan, np.nan
    found = stats.binomtest(round(per_cent / 100 * tuples), int(tuples)).proportion_ci(method="wilson")
    return 100 * found.low, 100 * found.high


# ---- differences in pairs


def compare_all(runs: pd.DataFrame) -> pd.DataFrame:
    """`paired_differences` of each method from the baseline on random tuples, in points, with the column `method`."""
    random = select_default(runs, "random")
    return pd.concat([comparisons.paired_differences(random, one, "baseline", "per_cent").assign(method=one)
                      for one in plots.METHODS if one != "baseline"])


def summarise_accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    """`summary` of n-accuracy of random tuples in per cent by ROW, method and n."""
    return plots.in_order(intervals.summary(select_default(runs, "random"), "per_cent", [*ROW, "method", "n"]), ROW)


def summarise_differences(runs: pd.DataFrame) -> pd.DataFrame:
    """`summary` of `compare_all` by ROW, method and n."""
    return plots.in_order(intervals.summary(compare_all(runs), "difference", [*ROW, "method", "n"]), ROW)


def crossovers(runs: pd.DataFrame) -> pd.DataFrame:
    """From which n on a method has the higher mean than the baseline (`comparisons.crossover`): a row a network and method.

    `first`: that n, inf for none; `low`, `high`: 95 % of the plausible ones; `never`: the share of plausible means in which the
    method is not ahead at the largest n; all nan but `first` with fewer than MIN_SEEDS pairs. `better`, `worse`: the n at
    which the paired 95 % t-interval, by itself, lies above or below 0.
    """
    rows, differences = [], compare_all(runs)
    for network in plots.cases(differences, ROW):
        for method, pairs in plots.select_case(differences, network).groupby("method"):
            each, found = intervals.summary(pairs, "difference", ["n"]), comparisons.crossover(pairs)
            if found["seeds"] < MIN_SEEDS:
                found |= dict.fromkeys(("low", "high", "never"), np.nan)
            significant = {"better": each.loc[each["low"] > 0, "n"], "worse": each.loc[each["high"] < 0, "n"]}
            rows.append(dict(zip(ROW, network)) | {"method": method} | found | {name: list(ns) for name, ns in significant.items()})
    return pd.DataFrame(rows, columns=[*ROW, "method", "first", "low", "high", "never", "seeds", "better", "worse"])


def pair_methods(runs: pd.DataFrame, one: str, other: str, n: int | None = None) -> pd.DataFrame:
    """`paired_differences` of method `one` from `other` at this n or, if None, at the largest n of each network.

    n = 1 is measured on every test image (disjoint tuples of one), any other n on random tuples.
    """
    pairs = comparisons.paired_differences(select_default(runs, "disjoint" if n == 1 else "random"), one, other, "per_cent")
    return at_largest_n(pairs) if n is None else pairs[pairs["n"] == n]


def at_largest_n(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs at the largest n that their network has."""
    return pairs[pairs["n"] == pairs.groupby(ROW)["n"].transform("max")]


def compare(runs: pd.DataFrame, one: str, other: str, n: int | None = None) -> pd.DataFrame:
    """The summary of `pair_methods`: columns ROW, n, `mean`, `low`, `high`, `seeds` of the difference, the mean accuracies `one` and
    `other`; a row a network that has pairs."""
    pairs = pair_methods(runs, one, other, n)
    found = intervals.summary(pairs, "difference", [*ROW, "n"])
    return plots.in_order(found.merge(pairs.groupby(ROW)[[one, other]].mean().reset_index(), on=ROW), ROW)


def as_cases(found: pd.DataFrame) -> pd.DataFrame:
    """A `summary` with columns ROW and n as the rows of a claim (CLAIM_COLUMNS) that every difference in it is positive."""
    return comparisons.as_cases(found, plots.titles(found, ROW), judge_rows(found))


def keep_networks(found: pd.DataFrame, in_paper: bool | None) -> pd.DataFrame:
    """The rows whose network is (True) or is not (False) in the paper's Table 1; all of them for None."""
    return found if in_paper is None else found[is_among(found, paper_networks()) == in_paper]


# ---- the claims


def claim_balanced_large_n(runs: pd.DataFrame, in_paper: bool | None = True) -> pd.DataFrame:
    """Balanced minus baseline at the largest n of every network (CLAIM_COLUMNS); of the networks see `keep_networks`."""
    return as_cases(keep_networks(compare(runs, "balanced", "baseline"), in_paper))


def claim_baseline_n_1(runs: pd.DataFrame, in_paper: bool | None = True) -> pd.DataFrame:
    """Baseline minus balanced at n = 1 (CLAIM_COLUMNS)."""
    return as_cases(keep_networks(compare(runs, "baseline", "balanced", n=1), in_paper))


def claim_freeze_retrain_large_n(runs: pd.DataFrame, in_paper: bool | None = True) -> pd.DataFrame:
    """Freeze-and-retrain minus each of the others at the largest n of every network (CLAIM_COLUMNS): two rows a network."""
    found = [compare(runs, "freeze_retrain", other).assign(other=other) for other in ("baseline", "balanced")]
    rows = keep_networks(pd.concat(found, ignore_index=True), in_paper)
    cases = [f"{network}{OVER}{other}" for network, other in zip(plots.titles(rows, ROW), rows["other"])]
    return comparisons.as_cases(rows, cases, judge_rows(rows))


def claim_lambda_0(runs: pd.DataFrame) -> pd.DataFrame:
    """The default lambda minus lambda = 0 at n = 1 and at the largest n of the network on which lambda was swept (CLAIM_COLUMNS)."""
    pairs = sweep_differences(runs, "standard_weight")
    pairs = pairs[(pairs["standard_weight"] == 0) & pairs["n"].isin([1, pairs["n"].max()])]
    return as_cases(intervals.summary(pairs.assign(difference=-pairs["difference"]), "difference", [*ROW, "n"]))


def compare_losses(runs: pd.DataFrame) -> pd.DataFrame:
    """`paired_differences` of balanced training from the standard loss (lambda = 1) on the same batches, of random tuples, in points."""
    balanced = runs[(runs["method"] == "balanced") & (runs["protocol"] == "random")]
    batches = [*intervals.MATCHED, "tuple_size", "tuples_per_batch"]
    default = parameters.default("standard_weight")
    return comparisons.paired_differences(balanced, default, 1.0, "per_cent", by="standard_weight", matched=batches)


def claim_lambda_1(runs: pd.DataFrame) -> pd.DataFrame:
    """Balanced training with lambda = 1 minus the baseline at the largest n of every network that has both (CLAIM_COLUMNS)."""
    own = runs[(runs["protocol"] == "random") & ((runs["method"] == "baseline") | (runs["standard_weight"] == 1))]
    pairs = comparisons.paired_differences(tables.at_defaults(own, SETTINGS, but=["standard_weight"]), "balanced", "baseline", "per_cent")
    found = plots.in_order(intervals.summary(at_largest_n(pairs), "difference", [*ROW, "n"]), ROW)
    return comparisons.as_cases(found, plots.titles(found, ROW), comparisons.judge_each_negligible(found, NEGLIGIBLE))


def claim_loss_not_batches(runs: pd.DataFrame) -> pd.DataFrame:
    """Balanced training minus the standard loss on the same batches at the largest n of every network that has both (CLAIM_COLUMNS)."""
    pairs = at_largest_n(compare_losses(runs))
    return as_cases(plots.in_order(intervals.summary(pairs, "difference", [*ROW, "n"]), ROW))


def sweep(runs: pd.DataFrame, name: str, network: tuple | None = None, protocol: str = "random") -> pd.DataFrame:
    """The balanced runs with parameter `name` varied, on `network` or else the one with the most values of it.

    Of the seeds that have every value; empty where there is none.
    """
    part = tables.at_defaults(runs[(runs["method"] == "balanced") & (runs["protocol"] == protocol)], SETTINGS, but=[name])
    values = part.groupby(ROW)[name].nunique()
    if values.empty or values.max() < 2:
        return part[:0]
    part = plots.select_case(part, network or values.idxmax())
    return part[part.groupby("seed")[name].transform("nunique") == part[name].nunique()]


def sweep_differences(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """`paired_differences` of each value of a `sweep` from the default value, in points, with the value in column `name`."""
    swept = sweep(runs, name)
    swept = swept.assign(value=swept[name].where(swept[name] != tables.usual_values(swept, name), "usual"))
    pairs = partial(comparisons.paired_differences, swept, other="usual", value="per_cent", by="value")
    values = sorted(set(swept["value"]) - {"usual"})
    return pd.concat([pairs(value)[[*ROW, "seed", "n", "difference"]].assign(**{name: value}) for value in values] or
                     [pd.DataFrame(columns=[*ROW, "seed", "n", "difference", name])])


def summarise_sweep(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """`summary` of `sweep_differences` by ROW, the value of parameter `name`, and n."""
    return intervals.summary(sweep_differences(runs, name), "difference", [*ROW, name, "n"])


def count_networks(rows: Callable, runs: pd.DataFrame) -> str:
    """On how many networks a claim holds, in a sentence: Table 1's and, apart, others, which have no part in the verdict.

    rows: the claim's function. Against several opponents it holds on a network if it holds against each, and fails if it fails against one.
    """
    counts = []
    for in_paper, name in ((True, "Networks of Table 1"), (False, "other networks")):
        found, verdicts = rows(runs, in_paper), {}
        for case, verdict in zip(found["case"], found["verdict"]):
            verdicts.setdefault(case.partition(OVER)[0], []).append(verdict)
        each = [comparisons.judge_all(own) for own in verdicts.values()]
        against = ", against every other" if any(OVER in case for case in found["case"]) else ""
        counts.append(f"{name} ({len(each)}){against}: {comparisons.count_verdicts(each)}")
    return "; ".join(counts) + "."


def paper_share() -> float:
    """The share of the networks in the paper's Table 1 on which the baseline is better than balanced at n = 1."""
    first = paper_differences().query("n == 1")
    return float((first["paper"] < 0).mean())


def judge_almost_all(verdicts: list[str]) -> str:
    """`holds` where at least `paper_share` of the verdicts hold, `fails` where more fail than that leaves, else `cannot tell`."""
    wins, losses = (verdicts.count(word) / max(len(verdicts), 1) for word in ("holds", "fails"))
    return "holds" if wins >= paper_share() else "fails" if losses > 1 - paper_share() else "cannot tell"


PAIRED = "the paired 95 % t-interval over at least 3 seeds lies above 0; fails where it is below 0 after Holm"
CLAIMS = [
    Claim(
        "balanced-large-n", "section 5.2, Table 1", "Balanced training beats the baseline for sufficiently large n, on every network",
        "points of n-accuracy, balanced minus baseline", f"at the largest n measured {PAIRED}; on all networks of Table 1",
        claim_balanced_large_n, paper="+3.3 to +35.8 at n = 80",
    ),
    Claim(
        "baseline-n-1", "section 5.2, Table 1", "The baseline almost always beats balanced training at n = 1",
        "points of accuracy, baseline minus balanced",
        f"on every test image {PAIRED}; on at least as large a share of Table 1's networks as in the paper, 6 of 7",
        claim_baseline_n_1, paper="-0.1 to +15.4", overall=judge_almost_all,
    ),
    Claim(
        "freeze-retrain-large-n", "Appendix D", "Freeze-and-retrain beats the baseline and balanced training for large n",
        "points of n-accuracy, freeze-and-retrain minus the other",
        f"at the largest n measured {PAIRED}; against both, on all networks of Table 1", claim_freeze_retrain_large_n,
    ),
    Claim(
        "lambda-0", "section 4.2", "Training on the tuples' loss alone (λ = 0) does not generalise well",
        "points of n-accuracy, λ = 1/2 minus λ = 0",
        f"λ = 0 has the lower n-accuracy at n = 1 and at the largest n: {PAIRED}; on the network where λ was varied most", claim_lambda_0,
    ),
    Claim(
        "lambda-1", "section 4.2", "Balanced batches with λ = 1 are equivalent to the baseline",
        "points of n-accuracy, λ = 1 minus baseline",
        f"at the largest n measured the paired 95 % t-interval lies within {NEGLIGIBLE:g} points either way; fails where the difference is "
        "larger after Holm; on all networks where it was run", claim_lambda_1, wanted=(-NEGLIGIBLE, NEGLIGIBLE),
    ),
    Claim(
        "loss-not-batches", "ours", "It is the tuples' loss that helps for large n, not the batches that it needs",
        "points of n-accuracy, balanced minus the standard loss (λ = 1) on the same batches",
        f"at the largest n measured {PAIRED}; on all networks where it was run", claim_loss_not_batches,
    ),
]

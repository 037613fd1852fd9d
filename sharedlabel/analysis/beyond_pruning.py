"""Does side information help to prune? Runs of the study `side_information`: claims and tables. n-accuracies are in percent.

A *pruning* is a pruner and what its budget counts: weights (the paper's), or MACs of an image, and then scores are per MAC. The records lie
apart (params/side_information.yaml), as they were trained in fewer and larger steps than those of `results`.
"""
from functools import partial
from pathlib import Path

import pandas as pd

from sharedlabel import choices
from sharedlabel.analysis import appendix_c_2, intervals, plots, report, tables
from sharedlabel.analysis.comparisons import Claim, as_cases, judge_each, pair_up
from sharedlabel.analysis.intervals import ROW
from sharedlabel.runs import checkpoints, names, studies

STUDY = "side_information"
SIZES = [1, 5, 25]  # the n that are compared
TOLD, USUAL = ("snip_tuple", "snip_half"), ("snip", "synflow")  # pruners that know of tuples, and those that do not
EQUAL_MACS = {  # rho of the MACs, and of SynFlow's weights
    ("mnist", "conv"): (3.25, 3.5), ("cifar10", "conv"): (3.05, 3.5), ("cifar10", "resnet18"): (3.3, 4.5),
}
READINGS = {"baseline": "averaged logits", "balanced": "balanced training", "lda": "LDA"}
KEYS = [*ROW, "budget", "pruner", "reading", "seed", "n"]


def select_runs(results: str | Path = f"benchmarks/{STUDY}") -> pd.DataFrame:
    """The study's runs, a row a run and n of random tuples: KEYS, `run`, `accuracy`, `weights`, `macs` (of an image), `collapsed`,
    `idle`: connected, but names one class whatever it sees.

    `reading`: averaged logits of a CNN trained on images (baseline) or balanced, or LDA of the former's logits. A collapsed run stands
    there with the accuracy of guessing and no costs. Empty where there are no records.
    """
    columns = [*KEYS, "run", "accuracy", "weights", "macs", "collapsed", "idle"]
    if not any(names.results_folder(results).rglob("*.json")):
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(("accuracy", "weights", "macs"), float) | {"collapsed": bool})
    runs = tables.load_records(results, ("baseline", "balanced", "readout"))
    lost = runs[runs["collapsed"]].drop(columns="n").merge(pd.DataFrame({"n": SIZES}), how="cross")
    costs = dict.fromkeys(("params_remaining", "macs_live_image"), float("nan"))
    lost = lost.assign(n_accuracy=lost["dataset"].map(appendix_c_2.guessing(runs)), **costs)
    runs = pd.concat([each for each in (runs[runs["protocol"] == "random"], lost) if len(each)] or [lost])
    runs = runs.assign(reading=runs["method"].mask(runs["method"] == "readout", runs["readout"]), accuracy=100 * runs["n_accuracy"],
                       weights=runs["params_remaining"], macs=runs["macs_live_image"])
    return tables.check_distinct(runs[columns], KEYS).astype({"n": int, "seed": int})


def describe_missing(results: str | Path = f"benchmarks/{STUDY}") -> str:
    """How many of the study's runs are there and what makes the others, a sentence."""
    done = [file.stem for file in names.results_folder(results).rglob("*.json")]
    return f"Done {studies.progress(STUDY, done, str(results))}."


def networks(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """The (data set, network) pairs there are, in a fixed order."""
    found = set(zip(runs["dataset"], runs["model"]))
    return [case for case in EQUAL_MACS if case in found]


def prunings(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """The (budget, pruner) pairs there are, in a fixed order."""
    found = set(zip(runs["budget"], runs["pruner"]))
    return [(budget, pruner) for budget in choices.BUDGETS for pruner in (*USUAL[::-1], *TOLD) if (budget, pruner) in found]


def pruning_title(budget: str, pruner: str) -> str:
    return choices.PRUNERS[pruner].title + (" per MAC" if budget == "macs" else "")


def summarise_differences(runs: pd.DataFrame, one: dict, other: dict, ns: list[int]) -> pd.DataFrame:
    """`intervals.summary` of how far runs with the values `one` lie above those with `other`, in points, in pairs by seed.

    `one` and `other`: values of some of KEYS, the same ones; each combination of the others is a case of its own.
    """
    free = [name for name in KEYS if name not in one]
    sides = [tables.select(runs[runs["n"].isin(ns)], **chosen) for chosen in (one, other)]
    pairs = pair_up(*sides, free, "accuracy")
    return intervals.summary(pairs, "difference", [name for name in free if name != "seed"])


def synflow_minus_snip(runs: pd.DataFrame, reading: str = "baseline") -> pd.DataFrame:
    """SynFlow minus SNIP at equal weights, the outputs read in one way: `summarise_differences`, a row a network, rho and n."""
    chosen = tables.select(runs, budget="weights", reading=reading)
    return summarise_differences(chosen, {"pruner": "synflow"}, {"pruner": "snip"}, SIZES)


def judged(found: pd.DataFrame, title) -> pd.DataFrame:
    """The rows of a claim that all differences of a summary are positive; `title(row)` says what a row compares. Failures by Holm."""
    return as_cases(found, map(title, found.itertuples()), judge_each(found))


def against(runs: pd.DataFrame, others: tuple[str, ...], budget: str) -> pd.DataFrame:
    """Pruners that know of tuples minus `others`, at the same budget."""
    chosen = runs[runs["budget"] == budget]
    found = [
        summarise_differences(chosen, {"pruner": one}, {"pruner": other}, SIZES).assign(one=one, other=other)
        for one in TOLD for other in others
    ]
    titles = {name: pruner.title for name, pruner in choices.PRUNERS.items()}
    return judged(pd.concat(found, ignore_index=True), lambda row: (
        f"{titles[row.one]} − {titles[row.other]}, {budget_title((row.dataset, row.model, row.rho), budget)}, {READINGS[row.reading]}"))


def budget_title(case: tuple, budget: str) -> str:
    """A network and its budget in words."""
    return f"{plots.case_title(case[:2])}, {'ρ' if budget == 'weights' else 'ρ of MACs'} = {case[2]:g}"


claim_snip, claim_snip_macs = (partial(against, others=("snip",), budget=budget) for budget in ("weights", "macs"))
claim_synflow, claim_synflow_macs = (partial(against, others=("synflow",), budget=budget) for budget in ("weights", "macs"))


def claim_per_mac(runs: pd.DataFrame) -> pd.DataFrame:
    """Every pruner per MAC minus SynFlow at a budget of weights that costs more MACs (EQUAL_MACS)."""
    found = []
    for (dataset, model), (macs_rho, rho) in EQUAL_MACS.items():
        part = runs[(runs["dataset"] == dataset) & (runs["model"] == model)]
        for pruner in (*USUAL, *TOLD):
            one = {"budget": "macs", "rho": macs_rho, "pruner": pruner}
            other = {"budget": "weights", "rho": rho, "pruner": "synflow"}
            found.append(summarise_differences(part, one, other, SIZES).assign(one=pruner))
    return judged(pd.concat(found, ignore_index=True), lambda row: (
        f"{pruning_title('macs', row.one)}, {plots.case_title((row.dataset, row.model))}, {READINGS[row.reading]}"))


POSITIVE = "the paired 95 % interval of the difference lies above 0; fails where it is below 0 after Holm"
CLAIMS = [
    Claim("told-snip", "ours", "SNIP on the loss of tuples beats SNIP at equal weights", "points", POSITIVE, claim_snip),
    Claim("told-snip-macs", "ours", "SNIP on the loss of tuples beats SNIP at equal MACs, both scored per MAC", "points", POSITIVE,
          claim_snip_macs),
    Claim("told-synflow", "ours", "SNIP on the loss of tuples beats SynFlow at equal weights", "points", POSITIVE, claim_synflow),
    Claim("told-synflow-macs", "ours", "SNIP on the loss of tuples beats SynFlow at equal MACs, both scored per MAC", "points", POSITIVE,
          claim_synflow_macs),
    Claim("per-mac", "ours", "scored per MAC, every pruner beats SynFlow at a budget of weights that costs more MACs", "points",
          POSITIVE, claim_per_mac),
]


# ---- tables


def tabulate(runs: pd.DataFrame, case: tuple, n: int) -> pd.DataFrame:
    """A row a pruning on one network at n: seeds, of how many its network collapsed or, by any training, learned nothing, and of those
    that did not collapse weights, MACs, n-accuracy."""
    part = runs[(runs["dataset"] == case[0]) & (runs["model"] == case[1]) & (runs["n"] == n)]
    if part.empty:
        return pd.DataFrame()
    keys = ["budget", "rho", "pruner"]
    cnn = part[part["reading"] != "lda"]
    columns = {"weights": ("weights", "mean"), "MACs": ("macs", "mean"), "seeds": ("seed", "nunique")}
    costs = cnn.groupby(keys).agg(**columns).round()
    for name, title in {"collapsed": "collapsed", "idle": "learned nothing"}.items():
        each = cnn.groupby([*keys, "seed"])[name].any().groupby(keys)  # all trainings of a seed have one mask
        costs[title] = [f"{lost} of {every}" for lost, every in each.agg(["sum", "count"]).to_numpy()]
    found = intervals.summary(part[~part["collapsed"]], "accuracy", [*keys, "reading"])
    text = found.assign(text=report.format_summary(found)).pivot(index=keys, columns="reading", values="text").fillna("-")
    table = costs.join(text.reindex(columns=[name for name in READINGS if name in text])).reset_index()
    order = prunings(part)
    table = table.iloc[sorted(range(len(table)), key=lambda i: (table["budget"][i] == "macs", -table["rho"][i],
                                                                order.index((table["budget"][i], table["pruner"][i]))))]
    table.insert(0, "pruning", [f"{pruning_title(b, p)}, ρ = {rho:g}" for b, rho, p in zip(table["budget"], table["rho"], table["pruner"])])
    return table.drop(columns=keys).rename(columns=READINGS).reset_index(drop=True)


def tabulate_usual(runs: pd.DataFrame) -> pd.DataFrame:
    """`synflow_minus_snip` a row a network and rho, a column an n, and how many times SNIP's MACs an image costs SynFlow."""
    found = synflow_minus_snip(runs)
    found = plots.in_order(found.assign(text=report.format_summary(found), network=plots.titles(found, ROW)), ROW)
    wide = found.assign(n="n = " + found["n"].astype(str)).pivot(index="network", columns="n", values="text")
    order = found.drop_duplicates("network").set_index("network")
    macs = tables.select(runs, budget="weights", reading="baseline", n=SIZES[0]).groupby([*ROW, "pruner"])["macs"].mean().unstack()
    ratios = [macs["synflow"][tuple(row)] / macs["snip"][tuple(row)] for row in order[ROW].to_numpy()]
    wide = wide.reindex(index=order.index, columns=[f"n = {n}" for n in SIZES])
    return wide.assign(pairs=order["seeds"], **{"MACs, times SNIP's": ratios}).rename_axis(columns=None)


CONV_LAYERS = {"0": "first convolution", "2": "second convolution", "5": "linear layer"}  # of the network Conv, by the modules' names


def tabulate_layers(runs: pd.DataFrame, dataset: str, results: str | Path = f"benchmarks/{STUDY}") -> pd.DataFrame:
    """Where the live weights of Conv are: a row a pruning, a column a layer, means over seeds; from the checkpoints."""
    part = runs[(runs["dataset"] == dataset) & (runs["model"] == "conv") & (runs["n"] == 1) & (runs["reading"] == "baseline")]
    rows = []
    for budget, pruner in prunings(part):
        for run in part[(part["budget"] == budget) & (part["pruner"] == pruner) & ~part["collapsed"]].itertuples():
            tensors = checkpoints.load(tables.record_path(run, results))
            counts = {title: len(tensors[f"{layer}.index"]) for layer, title in CONV_LAYERS.items()}
            rows.append({"pruning": f"{pruning_title(budget, pruner)}, ρ = {run.rho:g}"} | counts)
    return pd.DataFrame(rows).groupby("pruning", sort=False).mean().round() if rows else pd.DataFrame()


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """n-accuracy, weights and MACs of every pruning, for the CSV."""
    found = intervals.summary(runs, "accuracy", [name for name in KEYS if name != "seed"])
    costs = runs.groupby([name for name in KEYS if name != "seed"])[["weights", "macs"]].mean().reset_index()
    return found.merge(costs)

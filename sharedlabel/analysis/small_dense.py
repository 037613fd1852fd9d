"""Small dense networks beside pruned ones: who recognises more tuples at the same cost, and for how much less at the same accuracy.

A configuration is all parameters of a run but its seed. Pruned are all methods of the study on a network pruned before training, with their
heads and readouts; dense are the runs of the small_dense method. n-accuracies are in percent, tuples the `random` ones. FLOPs are
of one image: 2 MACs, and the additions that pool its pixels. Weights are as in the paper's tables, those of convolutions and linear layers;
of a head or a readout every parameter.
"""
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from sharedlabel import choices
from sharedlabel.analysis import intervals, plots, report, tables
from sharedlabel.analysis.comparisons import CLAIM_COLUMNS, Claim, judge_each
from sharedlabel.analysis.intervals import CASE
from sharedlabel.runs import parameters

SHOWN_N = [1, 5, 25, 80]
COSTS = {"flops": "FLOPs an image", "weights": "weights"}
TOLERANCE = 1.0  # points by which a dense network may fall short and still count as no worse
LEAST_SEEDS = 3  # that a configuration needs
APART = "benchmarks/side_information"  # runs pruned by scores per MAC and by scores of tuples, which train shorter at a higher rate
TARGETS = [30.0, 50.0, 70.0, 90.0, 98.0]  # n-accuracies at which costs are compared
DENSE_MODELS = choices.ALL_MODELS
NAMED = [*tables.HEAD_SETTINGS, "standard_weight", "tuples_per_batch", "tuple_size", "prune_iterations", "budget", "free_layers",
         "learning_rate"]


def select_runs(results: str | Path = "results") -> pd.DataFrame:
    """The runs of all methods at SHOWN_N, a row a run and n: parameters, `configuration`, `dense`, `accuracy`, `weights` and `flops`.

    Beside those of `results/` also APART's, whose networks are the cheapest of their accuracy among the pruned ones.
    """
    folders = [results, *([APART] if str(results) == "results" else [])]
    runs = pd.concat([tables.load_records(folder, parameters.method_names()) for folder in folders], ignore_index=True)
    runs = runs[((runs["protocol"] == "random") & runs["n"].isin(SHOWN_N)) | runs["collapsed"]]
    runs = runs.assign(
        configuration=tables.configurations(runs), dense=runs["method"] == "small_dense", accuracy=100 * runs["n_accuracy"],
        weights=runs["params_remaining"], flops=2 * runs["macs_live"] / runs["n"] + runs["additions"],
        unusual=tables.name_unusual(runs, NAMED),
    )
    return runs.reset_index(drop=True)


def configurations(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a configuration and n, of those with LEAST_SEEDS: `mean`, `low`, `high`, `seeds`, COSTS as means over seeds, and `name`.

    Sanity checks are none, nor is a small network that was pruned.
    """
    chosen = runs[runs["accuracy"].notna() & (runs["method"] != "sanity_check") & ~(runs["dense"] & (runs["rho"] > 0))]
    by = ["configuration", "n"]
    found = intervals.summary(chosen, "accuracy", by)
    costs = chosen.groupby(by)[list(COSTS)].mean().reset_index()
    first = chosen.drop_duplicates(by)[[*by, *CASE, "method", "rho", "dense"]].assign(name=lambda table: [
        describe(chosen.loc[i]) for i in table.index])
    found = found.merge(costs, on=by).merge(first, on=by).astype({"n": int})
    return found[found["seeds"] >= LEAST_SEEDS].reset_index(drop=True)


def describe(run: pd.Series) -> str:
    """A configuration in words: "Conv, balanced, ρ = 2", or "LDA, pool 4"."""
    if run["method"] == "small_dense":
        return describe_dense(run["model"], int(run["width"]), int(run["pool"]), run["rho"])
    words = [plots.TITLES[run["model"]], f"ρ = {run['rho']:g}"]
    words += [plots.TITLES[run["pruner"]]] if run["pruner"] != "synflow" else []
    cnn = run["cnn_method"] if isinstance(run["cnn_method"], str) else run["method"]
    words += [plots.TITLES[cnn]] if cnn in plots.METHODS and cnn != "baseline" else []
    if run["method"] == "readout":
        units = f" {run['hidden_units']:g}" if run["readout"] == "mlp" else ""
        words += [choices.READOUTS[run["readout"]] + units + (" of features" if run["embedding"] == "features" else "")]
    if run["method"] == "set_head":
        words += [choices.SET_HEADS[run["set_head"]] + (" alone" if run["train_n"] == 1 else f", trained for n = {run['train_n']:g}")]
    heads = {"head_control": "head alone", "cnn_lstm": "LSTM head", "graph": "graph"}
    words += [heads[run["method"]]] if run["method"] in heads else []
    if run["method"] in heads:
        words += [f"head ρ = {run['head_rho']:g}"] if run["head_rho"] > 0 else []
        words += [f"trained for n = {run['train_n']:g}"] if run["train_n"] > 1 else []
        words += [run["architecture"]] if run["method"] == "graph" else []
    words += [run["unusual"].replace("budget macs", "per MAC")] if run["unusual"] else []
    return ", ".join(words)


def describe_dense(model: str, width: int, pool: int, rho: float = 0) -> str:
    """A small dense network in words; `pool` is the side of the squares of pixels that are averaged; `rho` is above 0 if it was pruned."""
    words = [DENSE_MODELS[model].title] + ([f"{width} {'units' if model in ('mlp', 'fc') else 'channels'}"] if width else [])
    return ", ".join(words + ([f"pool {pool}"] if pool > 1 else []) + ([f"ρ = {rho:g}"] if rho else []))


def front(found: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The configurations (of one data set, n and kind) that none is more accurate than for as little `cost`; cheapest first."""
    ordered = found.sort_values([cost, "mean"], ascending=[True, False])
    best = ordered["mean"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["mean"] > best]


def cheapest(found: pd.DataFrame, cost: str, accuracy: float) -> pd.Series | None:
    """The cheapest of these configurations whose mean reaches `accuracy`; None where none does."""
    fits = found[found["mean"] >= accuracy]
    return None if fits.empty else fits.loc[fits[cost].idxmin()]


# ---- claims


def compare_with_front(runs: pd.DataFrame, cost: str, dense_models: tuple[str, ...], same_network: bool = False) -> pd.DataFrame:
    """The best dense configuration that costs no more than each pruned configuration of the front, minus that, in pairs by seed.

    With `same_network` each network has its own front, and dense ones of its own kind. Columns CLAIM_COLUMNS, `dataset`, `dense`, `pruned`,
    `dense_cost`, `pruned_cost`, `pruned_accuracy`. Where no dense configuration costs so little the estimate is nan. On both sides the best
    is that of the highest mean.
    """
    found, rows = configurations(runs), []
    values = {key: part.set_index("seed")["accuracy"] for key, part in runs.groupby(["configuration", "n"])}
    by = ["dataset", "n"] + (["model"] if same_network else [])
    for key, pruned in found[~found["dense"]].groupby(by):
        wanted = dict(zip(by, key))
        dense = tables.select(found[found["dense"] & found["model"].isin(dense_models)], **wanted)
        for row in front(pruned, cost).to_dict("records") if len(dense) else ():
            affordable = dense[dense[cost] <= row[cost]]
            case = {"dataset": row["dataset"], "case": f"{plots.TITLES[row['dataset']]}, {row['name']}", "n": row["n"],
                    "pruned": row["name"], "pruned_cost": row[cost], "pruned_accuracy": row["mean"]}
            if len(affordable):
                best = affordable.loc[affordable["mean"].idxmax()]
                pairs = (values[best["configuration"], row["n"]] - values[row["configuration"], row["n"]]).dropna()
                (pair,) = intervals.summary(pairs.rename("gain").reset_index().assign(all=0), "gain", ["all"]).to_dict("records")
                case |= pair | {"dense": best["name"], "dense_cost": best[cost]}
            rows.append(case)
    columns = ["case", "n", "mean", "low", "high", "seeds", "dataset", "pruned", "pruned_cost", "pruned_accuracy", "dense", "dense_cost"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(["mean", "low", "high", "seeds"], float))
    shifted = table.assign(**{name: table[name] + TOLERANCE for name in ("mean", "low", "high")})
    return table.assign(verdict=judge_each(shifted)).rename(columns={"mean": "estimate"})


def claim_no_worse(runs: pd.DataFrame, cost: str, models: tuple[str, ...], same_network: bool = False) -> pd.DataFrame:
    """The cases of a claim from `compare_with_front`: those in which some dense configuration costs as little."""
    compared = compare_with_front(runs, cost, models, same_network)
    return compared[compared["estimate"].notna()][CLAIM_COLUMNS].reset_index(drop=True)


claim_flops, claim_weights = (partial(claim_no_worse, cost=cost, models=tuple(DENSE_MODELS)) for cost in ("flops", "weights"))
claim_narrow_flops, claim_narrow_weights = (  # the paper's networks made narrow against the same network pruned
    partial(claim_no_worse, cost=cost, models=tuple(choices.MODELS), same_network=True) for cost in ("flops", "weights"))


RULE = (f"the paired 95 % interval of the best dense network that costs no more, minus the pruned one, lies above −{TOLERANCE:g}; it fails "
        f"where the difference is below −{TOLERANCE:g}, significantly at 5 % among all cases (Holm). Pruned ones that cost less than every "
        "dense one are no cases")
CLAIMS = [
    Claim("dense-flops", "ours", "for no more FLOPs a small dense network recognises no fewer tuples than any pruned one", "points", RULE,
          claim_flops, wanted=(-TOLERANCE, np.inf)),
    Claim("dense-weights", "ours", "with no more weights a small dense network recognises no fewer tuples than any pruned one", "points",
          RULE, claim_weights, wanted=(-TOLERANCE, np.inf)),
    Claim("narrow-flops", "ours", "the same network made narrow recognises no fewer than pruned, for no more FLOPs", "points", RULE,
          claim_narrow_flops, wanted=(-TOLERANCE, np.inf)),
    Claim("narrow-weights", "ours", "the same network made narrow recognises no fewer than pruned, with no more weights", "points", RULE,
          claim_narrow_weights, wanted=(-TOLERANCE, np.inf)),
]


# ---- tables


def dataset_sizes(found: pd.DataFrame) -> list[tuple[str, int]]:
    """The data sets and n of a table, in the order of plots.TITLES."""
    return sorted(set(zip(found["dataset"], found["n"])), key=lambda key: (plots.place_of(key[0]), key[1]))


def equal_accuracy(found: pd.DataFrame, cost: str, targets: list[float] = TARGETS) -> pd.DataFrame:
    """The cheapest pruned and the cheapest dense configuration that reach each of `targets`: a row a data set, n and target.

    `factor`: how much more the pruned one costs; inf where only dense ones reach it, 0 where only pruned ones do.
    """
    rows = []
    for dataset, n in dataset_sizes(found):
        part = tables.select(found, dataset=dataset, n=n)
        for target in targets:
            pruned, dense = (cheapest(part[part["dense"] == kind], cost, target) for kind in (False, True))
            if pruned is None and dense is None:
                continue
            factor = np.inf if pruned is None else 0.0 if dense is None else pruned[cost] / dense[cost]
            names = ["-" if side is None else side["name"] for side in (pruned, dense)]
            costs = [np.nan if side is None else side[cost] for side in (pruned, dense)]
            rows.append(dict(zip(EQUAL_ACCURACY, (dataset, n, target, names[0], costs[0], names[1], costs[1], factor))))
    return pd.DataFrame(rows, columns=EQUAL_ACCURACY)


EQUAL_ACCURACY = ["dataset", "n", "target", "pruned", "pruned_cost", "dense", "dense_cost", "factor"]


def tabulate_equal_accuracy(found: pd.DataFrame, cost: str) -> pd.DataFrame:
    """`equal_accuracy` in words."""
    rows = equal_accuracy(found, cost)
    factors = ["only dense" if np.isinf(each) else "only pruned" if each == 0 else f"{each:.3g}" for each in rows["factor"]]
    rows = rows.assign(dataset=rows["dataset"].map(plots.TITLES), factor=factors, target=rows["target"].map("{:g}".format))
    unit = "its FLOPs" if cost == "flops" else "its weights"
    return rows.set_axis(["data", "n", "accuracy (%)", "pruned", unit, "dense", f"{unit} ", "pruned costs × dense"], axis=1)


def tabulate_pruned_wins(compared: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Where no dense network that costs no more is as good: the difference's own interval says so, or none costs so little."""
    rows = compared[(compared["high"] < 0) | compared["estimate"].isna()]
    gain = report.format_summary(rows, "estimate")
    return pd.DataFrame({
        "data": rows["dataset"].map(plots.TITLES), "n": rows["n"], "pruned": rows["pruned"], COSTS[cost]: rows["pruned_cost"].round(),
        "n-accuracy (%)": rows["pruned_accuracy"].map("{:.1f}".format), "best dense": rows["dense"].fillna("none costs so little"),
        f"{COSTS[cost]} ": rows["dense_cost"].round(),
        "dense − pruned": gain,
    }).reset_index(drop=True)


def tabulate_ends(found: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Both ends of the fronts by data set and n: below the cheapest dense network, and above the most accurate one, pruned ones are alone.

    Columns: what the cheapest dense network costs, the n-accuracy of the best pruned one that costs less, and of either kind the
    most accurate with its cost.
    """
    rows, unit = [], COSTS[cost]
    for dataset, n in dataset_sizes(found):
        part = tables.select(found, dataset=dataset, n=n)
        dense, pruned = part[part["dense"]], part[~part["dense"]]
        if len(dense) and len(pruned):
            least = dense[cost].min()
            best = {kind: side.loc[side["mean"].idxmax()] for kind, side in (("dense", dense), ("pruned", pruned))}
            row = {"data": plots.TITLES[dataset], "n": n, f"cheapest dense: {unit}": round(least),
                   "pruned, cheaper (%)": pruned.loc[pruned[cost] < least, "mean"].max()}
            for kind, each in best.items():
                row |= {f"best {kind} (%)": each["mean"], f"{kind}: {unit}": round(each[cost])}
            rows.append(row)
    return pd.DataFrame(rows)


def summarise(found: pd.DataFrame) -> pd.DataFrame:
    """Every configuration, for the CSV."""
    columns = ["dataset", "n", "dense", "name", "method", *COSTS, "mean", "low", "high", "seeds"]
    return found.sort_values(["dataset", "n", "dense", "flops"])[columns]

"""What a practitioner should choose: the cheapest configuration of everything measured that reaches an accuracy.

A configuration is all parameters of a run but its seed. It is chosen by one half of its seeds and reported by the other half, so that the
promise is not the luck of the choice.
"""
import numpy as np
import pandas as pd

from sharedlabel import choices
from sharedlabel.analysis import intervals, plots, report, small_dense, tables
from sharedlabel.runs import parameters

KEPT = ["dataset", "model", "method", "variant", "pruner", "rho", "head_rho", "cnn_method", "readout", "hidden_units", "embedding", "width",
        "pool", "prune_iterations", "budget", "set_head", "train_n", "training", "unusual", "free_layers", "collapsed", "n"]
MISSED = 0.02  # below what is wanted
LEAST_SEEDS = 3  # that an interval needs: of two it tells nothing
TRAINING = ["standard_weight", "tuples_per_batch", "tuple_size"]  # of a balanced CNN


def load_runs(results: str = "results") -> pd.DataFrame:
    """Everything measured of random tuples, a row a run and n: KEPT, the record's measures, `configuration`, a number, `collapsed`, how
    many further seeds of it pruning cut off (layer collapse), and `macs` of the tuple, two additions that pool pixels counted as one.
    """
    methods = set(parameters.method_names()) - {"sanity_check"}  # whose networks are meant to be worse
    runs = tables.load_records(results, methods)
    runs = runs[(runs["protocol"] == "random") | runs["collapsed"]]
    unusual = ~runs.index.isin(tables.at_defaults(runs, TRAINING).index)
    runs = runs.assign(variant=plots.name_variants(runs), training=np.where(unusual, tables.name_trainings(runs), ""),
                       unusual=tables.name_unusual(runs))
    runs = runs.assign(configuration=tables.configurations(runs), macs=runs["macs_live"] + runs["n"] * runs["additions"] / 2)
    collapsed = runs[runs["collapsed"]].groupby("configuration")["seed"].nunique()
    runs = runs.assign(collapsed=runs["configuration"].map(collapsed).fillna(0).astype(int))
    return runs[runs["n"].notna()].astype({"n": int})


def configurations(results: str = "results") -> pd.DataFrame:
    """`summarise` of `load_runs`."""
    return summarise(load_runs(results))


def summarise(runs: pd.DataFrame, value: str = "n_accuracy", few: bool = False) -> pd.DataFrame:
    """A row a configuration and n, with at least three seeds: KEPT, `chosen_by` (mean `value` of its first, third, ... seed), and of the
    other seeds `mean`, `low`, `high`, `seeds`; `macs` of the tuple and `weights`, means over all seeds.

    few: also configurations of one or two seeds, which are reported by the seeds that they are chosen by, without an interval.
    """
    by = ["configuration", "n"]
    odd = runs.groupby("configuration")["seed"].rank("dense") % 2 == 0
    found = intervals.summary(runs[odd], value, by)
    found = found.merge(runs[~odd].groupby(by)[value].agg(chosen_by="mean", chosen_seeds="count").reset_index(), on=by)
    costs = runs.groupby(by).agg(macs=("macs", "mean"), weights=("params_remaining", "mean")).reset_index()
    described = runs.drop_duplicates(by)[["configuration", *KEPT]]
    found = found.merge(costs, on=by).merge(described, on=by)
    found = found[found["seeds"] + found["chosen_seeds"] > 2].drop(columns="chosen_seeds")
    if few:
        rest = runs[~runs["configuration"].isin(found["configuration"])]
        same = intervals.summary(rest, value, by).assign(low=float("nan"), high=float("nan"))
        same = same.assign(chosen_by=same["mean"]).merge(costs, on=by).merge(described, on=by)
        found = pd.concat([found, same[found.columns]], ignore_index=True)
    return found


def describe(row: pd.Series) -> str:
    """A configuration in words: "Conv, balanced, ρ = 2"."""
    if row["method"] == "small_dense":
        how = "small dense" if not row["rho"] else "pruned"
        return f"{how} {small_dense.describe_dense(row['model'], int(row['width']), int(row['pool']), row['rho'])}"
    how = plots.TITLES[row["variant"]]
    if row["method"] == "readout":
        units = f" of {row['hidden_units']:g} units" if row["readout"] == "mlp" else ""
        how = f"{choices.READOUTS[row['readout']]}{units} on the {row['embedding']} of the {plots.TITLES[row['cnn_method']]} CNN"
    if row["method"] == "set_head":
        how = f"{choices.SET_HEADS[row['set_head']]} trained for n = {row['train_n']:g} on the {plots.TITLES[row['cnn_method']]} CNN"
    words = [plots.TITLES[row["model"]], how, f"ρ = {row['rho']:g}"]
    words += [f"head ρ = {row['head_rho']:g}"] if pd.notna(row["head_rho"]) else []
    words += [plots.TITLES[row["pruner"]]] if row["pruner"] != "synflow" or row["prune_iterations"] == 1 else []
    words[-1] += " at once" if row["prune_iterations"] == 1 else ""
    words += ["ρ counts MACs"] if row["budget"] == "macs" else []
    of_tuples = row["method"] in ("cnn_lstm", "graph") or row["variant"].startswith("head_tuple")
    words += [f"trained for n = {row['train_n']:g}"] if of_tuples else []
    words += [each for each in (row["training"], row["unusual"]) if each]
    words += [f"{row['free_layers']:g} layers retrained"] if row["free_layers"] > 1 else []
    return ", ".join(words)


def choices_table(found: pd.DataFrame, accuracies: tuple[float, ...] = (0.5, 0.9, 0.98)) -> pd.DataFrame:
    """The cheapest choice for each data set and wanted accuracy, n, what the seeds that did not choose it reached, how many, cost.

    Where these seeds are more than MISSED below what is wanted, that is said.
    """
    rows = []
    for dataset in sorted(set(found["dataset"]), key=plots.place_of):
        for accuracy in accuracies:
            row = cheapest(found, dataset, accuracy)
            if row is not None:
                missed = " (missed)" if row["mean"] < accuracy - MISSED else ""
                rows.append({
                    "data": plots.TITLES[dataset], "wanted (%)": f"{100 * accuracy:g}", "cheapest choice": describe(row),
                    "n": row["n"], "reached (%)": reached(row) + missed, "seeds": row["seeds"],
                    "FLOPs a tuple": f"{2 * row['macs']:,.0f}", "weights": f"{row['weights']:,.0f}",
                })
    return pd.DataFrame(rows)


def reached(row: pd.Series, scale: float = 100, most: float = 1) -> str:
    """What the seeds that did not choose reached, with an interval where they are LEAST_SEEDS, cut off at zero and at what is possible."""
    ends = (max(row["low"], 0), min(row["high"], most)) if row["seeds"] >= LEAST_SEEDS else ()
    return report.format_estimate(*(scale * value for value in (row["mean"], *ends)))


def cheapest(found: pd.DataFrame, dataset: str, accuracy: float, n: int | None = None) -> pd.Series | None:
    """The row of `configurations` with the fewest MACs a tuple, of at most n images, whose choosing seeds reach `accuracy` (a fraction);
    of equally many the best.

    n None: of any number. None where nothing measured reaches it.
    """
    fits = found[(found["dataset"] == dataset) & (found["chosen_by"] >= accuracy)]
    fits = fits if n is None else fits[fits["n"] <= n]
    return None if fits.empty else fits.sort_values(["macs", "chosen_by"], ascending=[True, False], kind="stable").iloc[0]

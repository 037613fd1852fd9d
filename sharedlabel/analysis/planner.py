"""What `notebooks/planner.ipynb` does: of everything in a folder of records the cheapest choice that reaches what is wanted.

Chosen on one half of the seeds, reported on the other (`choose`); of a folder of one's own images one short run is enough. Who has n
images may use fewer. Sizes of tuples that nobody measured are filled in by the law of large tuples, and marked. Milliseconds are those of
benchmarks/latency.csv.
"""
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sharedlabel import ROOT, choices, folders
from sharedlabel.analysis import choose, law, plots, report, small_dense, tables
from sharedlabel.inference import networks
from sharedlabel.runs import checkpoints, parameters
from sharedlabel.runs.errors import ParameterError, show

VALUES = {"n_accuracy": "training_accuracy", "information_gain": "training_information"}  # and what the law's table calls them
KINDS = {  # of configurations in a figure, by title: methods, marker; what averages a pruned CNN's logits is all that others do
    "averaged logits": ((), "o"), "readout, head or graph": (("readout", "set_head", "head_control", "cnn_lstm", "graph"), "s"),
    "small dense": (("small_dense",), "^"),
}
COSTS = {"flops": "FLOPs a tuple", "weights": "weights", "ms": "milliseconds a tuple"}
MOST_N = 10**6
LATENCY, TIMING = ROOT / "benchmarks" / "latency.csv", "benchmarks/latency.py with the paths of records"


@dataclass(frozen=True)
class Wish:
    """What is wanted of a prediction. None: anything.

    n: images at hand that share a label; fewer may be used, at None as many as were measured. accuracy: a fraction of tuples.
    information: bits. cost: what is to be small, one of COSTS. flops, weights, ms: the most that a tuple may cost. Without accuracy
    and information the best that fits is chosen.
    """

    dataset: str
    n: int | None = None
    accuracy: float | None = None
    information: float | None = None
    cost: str = "flops"
    flops: float | None = None
    weights: float | None = None
    ms: float | None = None

    def __post_init__(self):
        if self.cost not in COSTS:
            raise ParameterError(f"cost: {show(self.cost)} is unknown; allowed: {', '.join(COSTS)}")
        if self.accuracy is not None and self.information is not None:
            raise ParameterError("accuracy and information: one of them is wanted, the other is None")
        if self.n is not None and not (type(self.n) is int and 1 <= self.n <= MOST_N):
            raise ParameterError(f"n: {show(self.n)} is not allowed; it is None or a whole number from 1 to {MOST_N}")
        for name, least, most in (("accuracy", 0, 1), ("information", 0, 64), *((cost, 0, np.inf) for cost in COSTS)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and least <= value <= most):
                raise ParameterError(f"{name}: {show(value)} is not allowed; it is None or a number from {least} to {most}")

    @property
    def value(self) -> str:
        """What is reached, one of VALUES."""
        return "information_gain" if self.information is not None else "n_accuracy"

    @property
    def target(self) -> float | None:
        return self.accuracy if self.information is None else self.information


def data_set_name(dataset: str, path: str, image_size: int, results: str | Path = "results") -> str:
    """What records call a data set. Of a `folder` of one's own its images are read, and the law of its runs is brought up to date.

    ParameterError where `path` is no such folder, or another data set is given one.
    """
    if (dataset == "folder") != bool(path):
        allowed = "where your images are" if dataset == "folder" else "''"
        raise ParameterError(f"path: {show(path)} is not allowed with dataset {show(dataset)}; allowed: {allowed}")
    for cached in (folders.read, law.image_sets, load):  # images and records may have changed since
        cached.cache_clear()
    if dataset != "folder":
        return dataset
    try:
        name = parameters.folder_name(path, image_size)
    except folders.FolderError as error:
        raise ParameterError(f"path: {error}") from None
    for model in law.MODELS:
        law.update(name, model, results, path)
    return name


@lru_cache(maxsize=2)
def load(results: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`choose.load_runs` and the law's rows, read once a session."""
    return choose.load_runs(results), law.read_all(0, results)


def options(wish: Wish, results: str = "results") -> pd.DataFrame:
    """Every configuration of the wish's data set with up to its n images, a row each n: `choose.summarise` with `flops`, `ms`, `predicted`.

    At a size that a configuration did not measure the law fills it in, where it has that configuration. ParameterError where
    nothing is known of the data set.
    """
    runs, laws = load(results)
    known = sorted(set(runs["dataset"]))
    if wish.dataset not in known:
        own = f" (runs by hand are in {parameters.default('results')})"
        own += "; a folder's are told apart by image_size: set it as in the runs" if wish.dataset.startswith("folder-") else ""
        raise ParameterError(f"dataset: {show(wish.dataset)} has no records in {results}; there are some of {', '.join(known)}{own}")
    runs = runs[runs["dataset"] == wish.dataset]
    few = wish.dataset.startswith("folder-") or runs.groupby("configuration")["seed"].nunique().max() < 3  # else of three seeds alone
    most = wish.n or int(runs["n"].max())
    found = choose.summarise(runs[runs["n"] <= most], wish.value, few).assign(predicted=False)
    filled = fill_in(runs, laws, sizes(most))
    if len(filled):
        predicted = choose.summarise(filled, wish.value, few).assign(predicted=True)
        found = pd.concat([found, predicted], ignore_index=True).drop_duplicates(["configuration", "n"])  # what was measured comes first
    return found.assign(flops=2 * found["macs"], ms=milliseconds(found, runs))


def sizes(most: int) -> list[int]:
    """The n to try: every one up to 100, then in steps of two percent, which is as much as a choice may cost too much, and `most`."""
    return sorted({n for n in [*range(1, 101), *np.geomspace(100, MOST_N, 466).astype(int).tolist()] if n < most} | {most})


def fill_in(runs: pd.DataFrame, laws: pd.DataFrame, ns: list[int]) -> pd.DataFrame:
    """Rows at these n of the runs that have none, but smaller ones: the law's value, less how far off it was where the run was measured.

    Both are taken at the nearest smaller and larger n, linear in 1 / sqrt(n); the law's largest n is infinity, an error beyond the last
    measured n is that at the last. No share is above 1 then, and no information above that of the label.
    """
    wanted, runs = np.array(ns, float), runs.assign(digest=runs["run"].map(law.digest))
    measured = runs[["digest", "n", *VALUES]].astype({"n": float}).rename(columns={"digest": "run"})
    both = laws.merge(measured, how="left", on=["run", "n"]).sort_values(["run", "n"], ascending=[True, False])
    found, numbers = [], both[["n", *VALUES, *VALUES.values()]].to_numpy(float)
    for own in np.split(np.arange(len(both)), np.flatnonzero(both["run"].to_numpy()[1:] != both["run"].to_numpy()[:-1]) + 1):
        x, (measures, laws_own) = numbers[own, 0] ** -0.5, np.split(numbers[own, 1:].T, 2)
        at = ~np.isnan(measures[0])
        if at.any() and not np.isnan(laws_own).any():
            new = wanted[(wanted > numbers[own, 0][at].min()) & ~np.isin(wanted, numbers[own, 0][at])]
            values = {
                name: np.interp(new**-0.5, x, predicted) + np.interp(new**-0.5, x[at], (value - predicted)[at])
                for name, value, predicted in zip(VALUES, measures, laws_own)
            }
            found.append(pd.DataFrame({"digest": both["run"].iloc[own[0]], "n": new.astype(int), **values}))
    if not found:
        return runs.head(0)
    first = runs.drop_duplicates("run").assign(of_one=lambda table: table["macs"] / table["n"]).drop(columns=["n", *VALUES])
    filled = first.merge(pd.concat(found), on="digest").drop(columns="digest")
    most = filled["dataset"].map(lambda name: most_of("information_gain", name)).astype(float)
    return filled.assign(
        macs=filled["of_one"] * filled["n"], n_accuracy=filled["n_accuracy"].clip(0, 1),
        information_gain=filled["information_gain"].clip(0, most),
    )


def most_of(value: str, dataset: str) -> float:
    """The largest n-accuracy or information gain that there is; of a folder's labels nobody knows the information."""
    bits = np.log2(choices.DATASETS[dataset].classes) if dataset in choices.DATASETS else np.inf
    return 1 if value == "n_accuracy" else bits


def milliseconds(found: pd.DataFrame, runs: pd.DataFrame) -> list[float]:
    """Of every row: measured at its n, or on the line through the two sizes that were measured; nan where its configuration was not."""
    if not LATENCY.exists():
        return [np.nan] * len(found)
    measured = pd.read_csv(LATENCY).rename(columns={"network": "run"})
    measured = measured.merge(runs[["run", "configuration"]].drop_duplicates(), on="run")
    lines = {configuration: rows.groupby("n")["torch"].mean() for configuration, rows in measured.groupby("configuration")}
    ms = []
    for configuration, n in zip(found["configuration"], found["n"]):
        line = lines.get(configuration, pd.Series(dtype=float))
        if n in line.index:
            ms.append(float(line[n]))
        elif len(line) > 1:
            ms.append(line.iloc[0] + (line.iloc[-1] - line.iloc[0]) * (n - line.index[0]) / (line.index[-1] - line.index[0]))
        else:
            ms.append(np.nan)
    return ms


def plan(found: pd.DataFrame, wish: Wish) -> pd.DataFrame:
    """The choice and its runner-up, another configuration; rows of `options`, fewer where fewer fit.

    With a target the cheapest whose choosing seeds reach it; without one the best that fits, the cheaper of equals; of equal cost, as
    weights are at every n, the one with fewer FLOPs, then the better one. ParameterError where milliseconds matter and none were measured.
    """
    if (wish.cost == "ms" or wish.ms is not None) and len(found) and found["ms"].isna().all():
        raise ParameterError(f"ms: nobody has timed a network of {wish.dataset}; {TIMING} does; or take flops")
    found = affordable(found, wish)
    if wish.target is None:
        found = found.sort_values(["chosen_by", wish.cost, "macs"], ascending=[False, True, True], kind="stable")
    else:
        found = found[found["chosen_by"] >= wish.target]
        found = found.sort_values([wish.cost, "macs", "chosen_by"], ascending=[True, True, False], kind="stable")
    return found.drop_duplicates("configuration").head(2)


def affordable(found: pd.DataFrame, wish: Wish) -> pd.DataFrame:
    """The options within the wish's budgets of which the cost that it counts is known."""
    for cost in COSTS:
        most = getattr(wish, cost)
        found = found if most is None else found[found[cost] <= most]
    return found[found[wish.cost].notna()]


def plan_table(chosen: pd.DataFrame, wish: Wish) -> pd.DataFrame:
    """`plan` in words and numbers to read."""
    scale = 100 if wish.value == "n_accuracy" else 1
    reached = "n-accuracy (%)" if scale == 100 else "information (bits)"
    return pd.DataFrame([{
        "": place, "network": choose.describe(row), "images used": row["n"],
        reached: choose.reached(row, scale, most_of(wish.value, wish.dataset)), "seeds": row["seeds"],
        "known by": "the law" if row["predicted"] else "measuring", "FLOPs a tuple": f"{row['flops']:,.0f}",
        "weights": f"{row['weights']:,.0f}", "ms a tuple": "-" if np.isnan(row["ms"]) else f"{row['ms']:.2g}",
    } for place, (_, row) in zip(("choice", "runner-up"), chosen.iterrows())])


def remarks(found: pd.DataFrame, chosen: pd.DataFrame, wish: Wish) -> str:
    """What to know of a choice (`options`, `plan`), in lines: luck, seeds that collapsed, and how much nobody timed."""
    lines, scale = [], "{:.0%}" if wish.value == "n_accuracy" else "{:.2f} bits"
    if chosen.empty and wish.target is not None and len(within := affordable(found, wish)):
        lines.append(f"the most that is known for this is {scale.format(within['chosen_by'].max())}")
    if wish.target is not None and len(chosen) and chosen.iloc[0]["mean"] < wish.target:
        lines.append("the seeds that did not choose reach less than is wanted: the choice may have been lucky; ask for more")
    if len(chosen) and (collapsed := chosen.iloc[0]["collapsed"]):
        seeds = f"{collapsed} further seeds" if collapsed > 1 else "one further seed"
        lines.append(f"pruning cut the choice off with {seeds} (layer collapse), which is seen before training: take another seed then")
    timed = found.groupby("configuration")["ms"].any()
    if (wish.cost == "ms" or wish.ms is not None) and not timed.all():
        lines.append(f"{(~timed).sum()} of {len(timed)} networks were not timed, and so not chosen; {TIMING} times them")
    return "\n".join(lines)


def draw_front(found: pd.DataFrame, chosen: pd.DataFrame, wish: Wish) -> tuple[Figure, str]:
    """Every option by its cost and by what the reporting seeds reached; in colour the front, of what nothing cheaper surpasses."""
    figure, ax = plt.subplots(figsize=(6.8, 5), dpi=120, layout="constrained")
    shown, scale = found[found[wish.cost].notna()], 100 if wish.value == "n_accuracy" else 1
    front = small_dense.front(shown, wish.cost)
    ax.plot(shown[wish.cost], scale * shown["mean"], ".", color="0.8", markersize=3, zorder=0, label="something cheaper is as good")
    ax.step(front[wish.cost], scale * front["mean"], where="post", color="0.5", linewidth=1, zorder=1, label="the front")
    kinds = front["method"].map({method: title for title, (methods, _) in KINDS.items() for method in methods}).fillna(next(iter(KINDS)))
    for (title, (_, marker)), colour in zip(KINDS.items(), plots.PALETTE):
        for predicted, own in front[kinds == title].groupby("predicted"):
            label = f"{title}, interpolated" if predicted else title
            ax.plot(own[wish.cost], scale * own["mean"], marker, color=colour, markersize=5, label=label,
                    markerfacecolor="none" if predicted else colour)
    if wish.target is not None:
        ax.axhline(scale * wish.target, color="crimson", linewidth=1, linestyle=":", label="wanted")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.15 * (high - low))  # room for two names above the front
    for (_, row), word, side in zip(chosen.iterrows(), ("choice", "runner-up"), (-1, 1)):
        ax.annotate(word, (row[wish.cost], scale * row["mean"]), (35 * side, 28), textcoords="offset points", ha="center", color="crimson",
                    fontweight="bold" if side < 0 else None, arrowprops={"arrowstyle": "->", "color": "crimson", "shrinkB": 4})
    size = told_size(wish)
    ax.set(xscale="log", xlabel=COSTS[wish.cost], ylabel=plots.LABELS["per_cent" if scale == 100 else "information_gain"],
           title=f"{plots.TITLES[wish.dataset]}, {size}")
    if len(shown):
        figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)
    return figure, (
        f"{count_options(shown)} for {wish.dataset} with {size}, by {COSTS[wish.cost]} on a logarithmic axis, and what they reach; a line "
        f"is the front of {len(front)} that nothing cheaper surpasses."
    )


def told_size(wish: Wish) -> str:
    """How many images there are, in words."""
    return "any number of images" if wish.n is None else "one image" if wish.n == 1 else f"up to {wish.n} images"


def count_options(found: pd.DataFrame) -> str:
    """How many rows of `options` there are, and of how many configurations."""
    return f"{len(found):,} options ({found['configuration'].nunique()} networks, each with several numbers of images)"


def commands(chosen: pd.DataFrame, results: str = "results", path: str = "") -> str:
    """How to load the choice, or that its network is not there, and how to train it: the commands, what it starts from before it.

    path: of a folder of one's own, which no record says.
    """
    if chosen.empty:
        return "nothing that is known reaches it; ask for less, or for more images"
    runs, _ = load(results)
    own = runs[runs["configuration"] == chosen.iloc[0]["configuration"]].sort_values("seed")
    file = tables.record_path(own.iloc[0], results)
    params = networks.complete_parameters(file) | ({"dataset": "folder", "path": path} if path else {})
    where = "" if str(results) == "results" else f', results="{results}"'
    lines = [f'sharedlabel.load("{file.stem}"{where})']
    if params["method"] not in networks.BUILDERS:
        lines = [f"# networks of method {params['method']} cannot be loaded (inference/networks.py)"]
    elif checkpoints.find(file) is None:
        lines = ["# its network is not here (large ones are not committed)"]
    return "\n".join(lines + parameters.commands_by_hand(params))


def errors_of_the_law(results: str | Path, dataset: str, known: int | None = None) -> pd.DataFrame:
    """How far `fill_in` is from what was measured, where it may not look at that n: a row an n, of a data set's runs that the law has.

    Points of n-accuracy: the mean error (filled in less measured), the mean absolute one, and what nine tenths of runs are within.
    known: of larger n it may look at none, but at the law, as for a folder with test images for tuples of so many.
    """
    (runs, laws), rows = load(results), []
    runs = runs[runs["dataset"] == dataset]
    for n in sorted(set(runs["n"][runs["n"] > (known or 0)])):
        own = runs[runs["n"] == n].set_index("run")["n_accuracy"]
        seen = (runs[runs["n"] <= known], laws) if known else (runs[runs["n"] != n], laws[laws["n"] != n])
        filled = fill_in(*seen, [n]).set_index("run")["n_accuracy"]
        error = 100 * (filled - own).dropna()
        if len(error):
            rows.append({"n": n, "runs": len(error), "mean error": error.mean(), "mean absolute error": error.abs().mean(),
                         "nine tenths within": error.abs().quantile(0.9)})
    return pd.DataFrame(rows)


def sliders(wish: Wish, results: str = "results", path: str = ""):
    """Widgets that plan anew when they are moved, in JupyterLab; without ipywidgets a sentence that says how to go on."""
    try:
        import ipywidgets
    except ImportError:
        return "Sliders need ipywidgets (pip install ipywidgets). Without it, change the parameters cell and run the cells below it again."
    datasets = sorted(set(load(results)[0]["dataset"]), key=plots.place_of)

    def again(dataset: str, n: int, accuracy: float, cost: str, budget: float) -> None:
        asked = Wish(dataset, n, accuracy / 100, cost=cost, **{cost: budget})
        try:
            found = options(asked, results)
            chosen = plan(found, asked)
        except ParameterError as error:
            return print(error)
        if len(chosen):
            report.show_table(plan_table(chosen, asked), "The choice")
        report.show_figure(*draw_front(found, chosen, asked))
        lines = remarks(found, chosen, asked), commands(chosen, results, path if dataset == wish.dataset else "")
        print(*filter(None, lines), sep="\n")

    late, wanted, most = {"continuous_update": False}, 100 * (wish.accuracy or 0.9), getattr(wish, wish.cost) or 1e12
    return ipywidgets.interactive(
        again, dataset=ipywidgets.Dropdown(options=datasets, value=wish.dataset),
        n=ipywidgets.IntSlider(wish.n or 5, 1, max(200, wish.n or 1), **late),
        accuracy=ipywidgets.FloatSlider(wanted, min=1, max=100, **late), cost=ipywidgets.Dropdown(options=list(COSTS), value=wish.cost),
        budget=ipywidgets.FloatLogSlider(most, min=-2, max=12, **late),  # of `cost`, a tuple
    )

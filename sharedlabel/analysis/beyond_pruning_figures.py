"""The figures of the notebook on pruning with side information."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker

from sharedlabel.analysis import beyond_pruning, intervals, plots
from sharedlabel.analysis.beyond_pruning import SIZES, TOLD, USUAL

COLOURS = dict(zip((*USUAL, *TOLD), plots.PALETTE))
MARKERS = {"weights": "o", "macs": "^"}


def draw_costs(runs: pd.DataFrame, case: tuple, reading: str = "baseline"):
    """n-accuracy against MACs of an image on one network (data set, model): a point a run, a large one the mean; a panel an n."""
    part = runs[(runs["dataset"] == case[0]) & (runs["model"] == case[1]) & (runs["reading"] == reading) & ~runs["collapsed"].astype(bool)]
    if part.empty:
        return None, ""
    figure, axes = plt.subplots(1, len(SIZES), figsize=(10.2, 4.4), layout="constrained", sharey=True)
    for ax, n in zip(axes, SIZES):
        at_n = part[part["n"] == n]
        for (budget, pruner), runs_of in at_n.groupby(["budget", "pruner"]):
            how = {"color": COLOURS[pruner], "marker": MARKERS[budget], "linestyle": ""}
            ax.plot(runs_of["macs"], runs_of["accuracy"], markersize=3, alpha=0.5, **how)
            for _, same in runs_of.groupby("rho"):
                ax.plot(same["macs"].mean(), same["accuracy"].mean(), markersize=10, markeredgecolor="black", **how)
            ax.plot([], [], label=beyond_pruning.pruning_title(budget, pruner), **how)
        ax.set(title=f"n = {n}", xscale="log", xlabel="MACs of an image", ylim=(0, 103))
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.minorticks_off()
    axes[0].set_ylabel("n-accuracy (%)")
    figure.suptitle(f"{plots.case_title(case)}, {beyond_pruning.READINGS[reading]}", fontsize="medium")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4, frameon=False)
    return figure, (
        f"n-accuracy against MACs of an image on {plots.case_title(case)}, three panels for n = 1, 5 and 25, a small point for each run, "
        "a large one for the mean; circles are budgets of weights, triangles budgets of MACs."
    )


def draw_differences(runs: pd.DataFrame, other: str = "snip"):
    """Pruners that know of tuples minus `other`, in pairs by seed, 95 % intervals: a panel an n, a line a network, budget and reading."""
    found = []
    for one in TOLD:
        found.append(beyond_pruning.summarise_differences(runs, {"pruner": one}, {"pruner": other}, SIZES).assign(one=one))
    found = pd.concat(found, ignore_index=True)
    if found.empty:
        return None, ""
    keys = [*intervals.ROW, "budget", "reading"]
    lines = sorted(set(zip(*(found[name] for name in keys))), key=str)
    figure, axes = plt.subplots(1, len(SIZES), figsize=(10.2, 1.2 + 0.32 * len(lines)), layout="constrained", sharey=True)
    for ax, n in zip(axes, SIZES):
        for shift, one in zip((-0.12, 0.12), TOLD):
            part = found[(found["n"] == n) & (found["one"] == one)].set_index(keys)
            rows = [(place, part.loc[line]) for place, line in enumerate(lines) if line in part.index]
            if rows:
                mean, low, high = (np.array([row[name] for _, row in rows], float) for name in ("mean", "low", "high"))
                at = [place + shift for place, _ in rows]
                ax.errorbar(mean, at, xerr=[mean - low, high - mean], fmt="o", color=COLOURS[one], markersize=5,
                            label=beyond_pruning.pruning_title("weights", one))
        ax.axvline(0, color="0.4", linewidth=1)
        left, right = ax.get_xlim()
        ax.set_xlim(max(left, -100), min(right, 100))  # of two seeds an interval may be wider than anything possible
        ax.set(title=f"n = {n}", xlabel=f"minus {plots.TITLES[other]} (points)")
    labels = [f"{beyond_pruning.budget_title(line[:3], line[3])}, {beyond_pruning.READINGS[line[4]]}" for line in lines]
    axes[0].set_yticks(range(len(lines)), labels=labels)
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncol=2, frameon=False)
    return figure, (
        f"Differences in n-accuracy between SNIP on a loss of tuples and {plots.TITLES[other]}, with 95 % intervals, three panels for "
        "n = 1, 5 and 25, a line for each network, budget and way of reading."
    )

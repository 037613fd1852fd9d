"""The figures of the notebook on pruning with side information."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import ticker

from sharedlabel.analysis import beyond_pruning, intervals, plots
from sharedlabel.analysis.beyond_pruning import SIZES, TOLD, USUAL

COLOURS = dict(zip((*USUAL, *TOLD), plots.PALETTE))
MARKERS = {"weights": "o", "macs": "^"}
WIDEST, TOO_WIDE = 100, "hollow: the 95 % interval is wider than 100 points"


def draw_costs(runs: pd.DataFrame, case: tuple, reading: str = "baseline"):
    """n-accuracy against MACs of an image on one network (data set, model): a point a run, a large one the mean; a panel an n."""
    part = runs[(runs["dataset"] == case[0]) & (runs["model"] == case[1]) & (runs["reading"] == reading) & ~runs["collapsed"]]
    if part.empty:
        return None, ""
    figure, axes = plt.subplots(1, len(SIZES), figsize=(6.8, 4.2), dpi=120, layout="constrained", sharey=True)
    ticks = (1, 2, 5) if part["macs"].max() < 30 * part["macs"].min() else (1,)  # of a decade; more would not fit
    for ax, n in zip(axes, SIZES):
        at_n = part[part["n"] == n]
        for (budget, pruner), runs_of in at_n.groupby(["budget", "pruner"]):
            side = 1.04 ** (list(COLOURS).index(pruner) - (len(COLOURS) - 1) / 2)  # equal ones lie side by side, not on each other
            runs_of = runs_of.assign(macs=runs_of["macs"] * side)
            how = {"color": COLOURS[pruner], "marker": MARKERS[budget], "linestyle": ""}
            ax.plot(runs_of["macs"], runs_of["accuracy"], markersize=3, alpha=0.5, **how)
            for _, same in runs_of.groupby("rho"):
                ax.plot(same["macs"].mean(), same["accuracy"].mean(), markersize=10, markeredgecolor="black", **how)
            ax.plot([], [], label=beyond_pruning.pruning_title(budget, pruner), **how)
        ax.set(title=f"n = {n}", xscale="log", ylim=(0, 103))
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=ticks))
        ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        ax.minorticks_off()
    axes[0].set_ylabel("n-accuracy (%)")
    figure.supxlabel("MACs of an image", fontsize=12)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncol=3, frameon=False, columnspacing=1,
                  title=f"{plots.case_title(case)}, {beyond_pruning.READINGS[reading]}")
    means = part[part["n"] == SIZES[1]].groupby(["budget", "pruner", "rho"])[["macs", "accuracy"]].mean()
    told = [f"{beyond_pruning.pruning_title(*kind)} at ρ = {rho:g} {row.accuracy:.0f} per cent for {row.macs:,.0f}"
            for (*kind, rho), row in means.iterrows()]
    return figure, (
        f"{beyond_pruning.READINGS[reading]}: n-accuracy against MACs of an image on {plots.case_title(case)}, three panels for "
        "n = 1, 5 and 25, a small point for each run, a large one for the mean; circles are budgets of weights, triangles budgets of MACs. "
        f"Means at n = {SIZES[1]}: {'; '.join(told)}."
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
    size = 6.8, 1.7 + 0.36 * len(lines)
    figure, axes = plt.subplots(1, len(SIZES), figsize=size, dpi=120, layout="constrained", sharey=True, sharex=True)
    for ax, n in zip(axes, SIZES):
        for shift, one in zip((-0.12, 0.12), TOLD):
            part = found[(found["n"] == n) & (found["one"] == one)].set_index(keys)
            rows = [(place, part.loc[line]) for place, line in enumerate(lines) if line in part.index]
            if rows:
                mean, low, high = (np.array([row[name] for _, row in rows], float) for name in ("mean", "low", "high"))
                at = [place + shift for place, _ in rows]
                told = high - low <= WIDEST  # of two seeds an interval may be wider than anything possible
                ax.hlines(np.array(at)[told], low[told], high[told], color=COLOURS[one], linewidth=1.5)
                for which, face, label in ((told, COLOURS[one], beyond_pruning.pruning_title("weights", one)), (~told, "white", TOO_WIDE)):
                    if which.any():
                        ax.plot(mean[which], np.array(at)[which], "o", color=COLOURS[one], markerfacecolor=face, markersize=6, label=label)
        ax.axvline(0, color="0.4", linewidth=1)
        ax.set(title=f"n = {n}")
    figure.supxlabel(f"minus {plots.TITLES[other]} (points)", fontsize=12)
    labels = [f"{beyond_pruning.budget_title(line[:3], line[3])},\n{beyond_pruning.READINGS[line[4]]}" for line in lines]
    axes[0].set_yticks(range(len(lines)), labels=labels, fontsize="small")
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncol=2, frameon=False)
    return figure, (
        f"Differences in n-accuracy between SNIP on a loss of tuples and {plots.TITLES[other]}, with 95 % intervals, three panels for "
        f"n = 1, 5 and 25, a line for each network, budget and way of reading. The means lie between {found['mean'].min():.0f} and "
        f"{found['mean'].max():.0f} points; {(found['low'] > 0).sum()} of {len(found)} intervals lie above zero, "
        f"{(found['high'] < 0).sum()} below."
    )

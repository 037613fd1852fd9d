"""Figures of small dense networks beside pruned ones; each function returns a figure and its alternative text."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from sharedlabel.analysis import plots, small_dense, tables

DENSE, PRUNED = plots.PALETTE[0], plots.PALETTE[1]
BROWN = tuple(0.7 * part for part in PRUNED)  # dark enough for words
KINDS = {True: ("small dense", DENSE, "o"), False: ("pruned before training", PRUNED, "^")}
ARROW_AT = (90, 70, 50, 30)  # n-accuracies about which the cost factors are written, the first that both fronts reach
ABOUT = 2  # points to either side: fronts have steps


def draw_fronts(found: pd.DataFrame, dataset: str, cost: str):
    """n-accuracy of every configuration against its cost, a panel an n; lines are the fronts, the area between has the winner's colour."""
    own = tables.select(found, dataset=dataset)
    if own["dense"].nunique() < 2:
        return None, ""
    figure, axes = plt.subplots(2, 2, figsize=(6.8, 6), dpi=120, layout="constrained", sharex=True, sharey=True)
    told = []
    for ax, n in zip(axes.flat, small_dense.SHOWN_N):
        part = tables.select(own, n=n)
        lines = {kind: small_dense.front(part[part["dense"] == kind], cost) for kind in KINDS}
        if any(line.empty for line in lines.values()):  # at this n one side was not measured
            continue
        draw_area(ax, lines, cost)
        for kind, (label, colour, marker) in KINDS.items():
            points = part[part["dense"] == kind]
            ax.plot(points[cost], points["mean"], marker, color=colour, alpha=0.35, markersize=4, linestyle="")
            costs, heights = [*lines[kind][cost], 1.5 * part[cost].max()], [*lines[kind]["mean"], lines[kind]["mean"].max()]
            ax.step(costs, heights, where="post", color=colour, linewidth=2)
            ax.plot(lines[kind][cost], lines[kind]["mean"], marker, color=colour, markersize=6, linestyle="", label=label)
        told += [f"at n = {n} and {words}" for words in draw_factor(ax, part, cost)]
        ax.set_title(f"n = {n}", pad=20)
        ax.set(xscale="log", ylim=(0, 103))
    figure.supxlabel(small_dense.COSTS[cost], fontsize=12)
    figure.supylabel("n-accuracy (%)", fontsize=12)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles += [Patch(color=colour, alpha=0.25, linewidth=0) for _, colour, _ in KINDS.values()]
    labels += [f"{label} is more accurate" for label in ("small dense", "pruned")]
    title = f"{plots.TITLES[dataset]}: lines are the best for the cost; pruned / dense: ratio of costs"
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, title=title, title_fontsize="medium")
    return figure, (
        f"n-accuracy against {small_dense.COSTS[cost]} on {plots.TITLES[dataset]}, four panels for n = 1, 5, 25 and 80, with the fronts of "
        f"pruned and of small dense networks. Costs of the cheapest that reach one accuracy: {'; '.join(told) or 'none can be compared'}."
    )


def draw_area(ax, lines: dict[bool, pd.DataFrame], cost: str) -> None:
    """Shade what lies between the two fronts in the colour of the one that is higher, up to the largest cost."""
    edges = np.unique(np.concatenate([line[cost] for line in lines.values()]))
    edges = np.append(edges, edges[-1] * 1.5)  # as far as the lines go
    heights = {}
    for kind, line in lines.items():
        place = np.searchsorted(line[cost], edges, side="right") - 1
        heights[kind] = np.where(place < 0, 0.0, line["mean"].to_numpy()[place])
    for kind, (_, colour, _) in KINDS.items():
        higher = heights[kind] > heights[not kind]
        ax.fill_between(edges, heights[kind], heights[not kind], where=higher, step="post", color=colour, alpha=0.18, linewidth=0)


def draw_factor(ax, part: pd.DataFrame, cost: str) -> list[str]:
    """A line between the fronts at one accuracy that both reach, and above the panel the least and largest factor about it; in words."""
    for accuracy in ARROW_AT:
        rows = small_dense.equal_accuracy(part, cost, range(accuracy - ABOUT, accuracy + ABOUT + 1))
        least, most = rows["factor"].min(), rows["factor"].max()
        if len(rows) > 2 * ABOUT and least > 0 and most < np.inf:
            ends = dict.fromkeys(f"{each:{'.0f' if each >= 10 else '.2g'}}" for each in (least, most))
            words = f"{accuracy} ± {ABOUT} %: pruned / dense {' to '.join(ends)}"
            pruned, dense = rows.loc[rows["target"] == accuracy, ["pruned_cost", "dense_cost"]].iloc[0]
            colour = DENSE if least >= 1 else BROWN if most <= 1 else "0.15"
            arrow = {"arrowstyle": "|-|,widthA=0.3,widthB=0.3", "color": "0.15", "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (dense, accuracy), (pruned, accuracy), arrowprops=arrow)
            ax.text(0.5, 1.02, words, transform=ax.transAxes, ha="center", va="bottom", fontsize="small", color=colour)
            return [words]
    return []


def draw_factors(found: pd.DataFrame, cost: str):
    """How much more the cheapest pruned network costs than the cheapest dense one that reaches the same n-accuracy; a panel a data set."""
    both = found.groupby("dataset")["dense"].nunique()
    datasets = sorted(both.index[both == 2], key=plots.place_of)
    if not datasets:
        return None, ""
    figure, axes = plt.subplots(1, len(datasets), figsize=(6.8, 3.8), dpi=120, layout="constrained", sharey=True, squeeze=False)
    targets = list(range(5, 100))
    factors = small_dense.equal_accuracy(found, cost, targets)
    for ax, dataset in zip(axes[0], datasets):
        for colour, line, n in zip(plots.PALETTE, ("-", "--", "-.", ":"), small_dense.SHOWN_N):
            own = tables.select(factors, dataset=dataset, n=n)
            own = own[np.isfinite(own["factor"]) & (own["factor"] > 0)]
            ax.plot(own["target"], own["factor"], color=colour, linestyle=line, linewidth=2, label=f"n = {n}")
        ax.axhline(1, color="0.2", linewidth=1)
        ax.set(title=plots.TITLES[dataset], yscale="log", xlim=(0, 100), xticks=(20, 50, 80))
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].set(ylim=(min(low, 0.3), max(high, 3)), ylabel=f"{small_dense.COSTS[cost]}:\npruned / dense")
    for ax in axes[0]:
        ax.axhspan(1, ax.get_ylim()[1], color=DENSE, alpha=0.08, linewidth=0)
        ax.axhspan(ax.get_ylim()[0], 1, color=PRUNED, alpha=0.08, linewidth=0)
    axes[0, 0].text(3, axes[0, 0].get_ylim()[1] / 1.3, "dense is cheaper", color=DENSE, va="top", fontweight="bold")
    axes[0, 0].text(3, axes[0, 0].get_ylim()[0] * 1.2, "pruned is cheaper", color=BROWN, va="bottom", fontweight="bold")
    figure.supxlabel("n-accuracy reached (%)", fontsize=12)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure, (
        f"{small_dense.COSTS[cost]} of the cheapest pruned network over that of the cheapest dense one, above 1 where the dense one is "
        f"cheaper, against the n-accuracy that both reach, in per cent, a panel a data set. {plots.describe_curves(figure)}"
    )

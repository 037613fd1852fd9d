"""The figures of section 5.2: at most three panels a row and 8.2 inches wide, so that text is legible on a narrow screen."""
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sharedlabel.analysis import plots, section_5_2
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.report import VERDICT_COLOURS, format_summary
from sharedlabel.analysis.section_5_2_training import COMPARED, find_most_restless

WIDTH = 8.2  # inches
DASHES = ["-", "-", "--", "-.", ":", (0, (7, 2)), (0, (4, 1, 1, 1, 1, 1))]  # the first two are of COMPARED
TICKS = {"n": [1, 5, 25, 80], "epoch": [1, 5, 20, 60, 160]}


def network_panels(networks: list[tuple], columns: int = 3, height: float = 2.4):
    """A panel a network, `columns` side by side, with the network above it; returns figure and axes, None where there is no network."""
    if not networks:
        return None, []
    lines = -(-len(networks) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, height * lines), squeeze=False, layout="constrained")
    for ax, network in zip(axes.flat, networks):
        name, rho = plots.case_title(network).rsplit(", ", 1)
        ax.set_title(f"{name}\n{rho}")
    for ax in axes.flat[len(networks):]:
        ax.remove()
    return figure, list(axes.flat[: len(networks)])


def finish(figure, axes: list, x: str, ylabel: str, xscale: str = "log") -> None:
    """Common axis labels, an x axis with the TICKS of `x` where it is logarithmic, and one legend of all panels' curves above them."""
    for ax in axes:
        ax.set(xscale=xscale, xlabel="", ylabel="")
        if xscale == "log":
            ticks = [tick for tick in TICKS[x] if ax.dataLim.x0 <= tick <= ax.dataLim.x1]
            ax.set_xticks(ticks, ticks)
            ax.minorticks_off()
    figure.supxlabel(plots.LABELS.get(x, x), fontsize="medium")
    figure.supylabel(ylabel, fontsize="medium")
    curves = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels())}
    figure.legend(curves.values(), curves, loc="outside upper center", ncols=3, frameon=False)


def share_y(axes: list) -> None:
    """One scale for all panels, fitted to their curves."""
    heights = [height for ax in axes for line in ax.get_lines() for height in line.get_ydata() if height == height]
    for ax in axes:
        margin = 0.05 * (max(heights) - min(heights))
        ax.set_ylim(min(heights) - margin, max(heights) + margin)
        ax.tick_params(labelleft=ax.get_subplotspec().is_first_col())


def differences(runs: pd.DataFrame):
    """How far balanced and freeze-and-retrain are above the baseline, against n, a panel a network."""
    pairs = section_5_2.compare_all(runs)
    figure, axes = network_panels(plots.cases(pairs, ROW))
    for ax, network in zip(axes, plots.cases(pairs, ROW)):
        plots.curves(ax, plots.select_case(pairs, network), "n", "difference", by="method", along="n")
        ax.axhline(0, color=plots.COLOURS["baseline"], linewidth=1.4, label="baseline")
    if figure:
        share_y(axes)
        finish(figure, axes, "n", "above the baseline (points)")
    return figure


def accuracies(runs: pd.DataFrame):
    """n-accuracy against n of all three methods, the paper's Table 1 as crosses, a panel a network."""
    random, paper = section_5_2.select_default(runs, "random"), section_5_2.load_paper()
    figure, axes = network_panels(plots.cases(random, ROW))
    for ax, network in zip(axes, plots.cases(random, ROW)):
        plots.curves(ax, plots.select_case(random, network), "n", "per_cent", by="method", along="n")
        for method, part in plots.select_case(paper, network).groupby("method"):
            label = f"{method}, the paper"
            ax.plot(part["n"], part["paper"], "x", color=plots.COLOURS[method], markersize=7, markeredgewidth=1.8, label=label)
        plots.fit_y_axis(ax)
    if figure:
        finish(figure, axes, "n", plots.LABELS["per_cent"])
    return figure


def cases(rows: pd.DataFrame, xlabel: str, paper: list[float] | None = None):
    """The cases of a claim, one below the other: estimate, 95 % interval and verdict.

    paper: the paper's numbers, one a case, nan where it has none.
    """
    if rows.empty:
        return None
    figure, ax = plt.subplots(figsize=(WIDTH, 0.36 * len(rows) + 1.2), layout="constrained")
    for place, row in enumerate(rows.itertuples()):
        colour, filled = VERDICT_COLOURS[row.verdict], row.verdict != "cannot tell"
        ax.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
        ax.plot(row.estimate, place, {"holds": "o", "fails": "s"}.get(row.verdict, "o"), color=colour, markersize=8,
                markerfacecolor=colour if filled else "white")
        ax.annotate(row.verdict, (1.01, place), xycoords=("axes fraction", "data"), color=colour, va="center", annotation_clip=False)
    if paper is not None:
        ax.plot(paper, range(len(rows)), "x", color="black", markersize=7, markeredgewidth=1.8, label="the paper")
        figure.legend(loc="outside upper center", frameon=False)
    ax.axvline(0, color="0.3", linewidth=1)
    ax.set(yticks=range(len(rows)), yticklabels=rows["case"], xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
    return figure


def printed_differences(rows: pd.DataFrame, sign: int = 1) -> list[float]:
    """What the paper's Table 1 has for each case of a claim: balanced minus baseline, times `sign`; nan where it has none."""
    paper = section_5_2.paper_differences()
    known = {key: sign * value for key, value in zip(zip(plots.titles(paper, ROW), paper["n"]), paper["paper"])}
    return [known.get(key, np.nan) for key in zip(rows["case"], rows["n"])]


def describe_cases(rows: pd.DataFrame, what: str, paper: list[float] | None = None) -> str:
    """The alternative text of `cases`: every estimate with its interval and verdict."""
    numbers = [""] * len(rows) if paper is None else ["" if np.isnan(value) else f", the paper {value:+.1f}" for value in paper]
    each = [f"{case}: {estimate}, " for case, estimate in zip(rows["case"], format_summary(rows, "estimate"))]
    return f"{what}, with 95 % intervals. " + "; ".join(map("".join, zip(each, rows["verdict"], numbers)))


def sweeps(runs: pd.DataFrame, names: tuple[str, ...] = ("standard_weight", "tuple_size")):
    """n-accuracy of balanced training against lambda and against the size of its tuples, a curve an n."""
    swept = {name: section_5_2.sweep(runs, name) for name in names}
    swept = {name: part for name, part in swept.items() if len(part)}
    if not swept:
        return None
    figure, axes = plt.subplots(1, len(swept), figsize=(WIDTH, 3.4), squeeze=False, layout="constrained", sharey=True)
    for ax, (name, part) in zip(axes[0], swept.items()):
        plots.curves(ax, part[part["n"].isin([1, 5, 25, part["n"].max()])], name, "per_cent", by="n", along=name)
        ax.set_title(plots.case_title(plots.cases(part, ROW)[0]))
        plots.fit_y_axis(ax)
        ax.set_ylabel(plots.LABELS["per_cent"] if ax is axes[0, 0] else "")
    if "tuple_size" in swept:
        axes[0, -1].set(xscale="log")
        axes[0, -1].set_xticks(*[sorted(set(swept["tuple_size"]["tuple_size"].astype(int)))] * 2)
        axes[0, -1].minorticks_off()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, [f"n = {label}" for label in labels], loc="outside upper center", ncols=4, frameon=False)
    return figure


def batches(each: pd.DataFrame, ns: tuple[int, ...] = (1, 80)):
    """Learning curves of balanced training on other batches (`batch_curves`) beside the two methods', means over seeds, at two n."""
    networks = plots.cases(each, ROW)
    panels = [(network, n) for network in networks for n in ns]
    figure, axes = network_panels([network for network, _ in panels], columns=len(ns), height=2.6)
    trainings = [*COMPARED, *sorted(set(each["training"]) - set(COMPARED))]
    for ax, (network, n) in zip(axes, panels):
        part = plots.select_case(each[each["n"] == n], network)
        for training, colour, dashes in zip(trainings, itertools.cycle(plots.PALETTE), itertools.cycle(DASHES)):
            means = part[part["training"] == training].groupby("epoch")["per_cent"].mean()
            if len(means):
                ax.plot(means.index, means, linestyle=dashes, color=colour, linewidth=1.8, label=training)
        ax.set_title(f"{ax.get_title().replace(chr(10), ', ')}\nn = {n}")
    if figure:
        finish(figure, axes, "epoch", plots.LABELS["per_cent"], xscale="linear")
    return figure


def restless(curves: pd.DataFrame, seeds: int = 3):
    """n-accuracy epoch by epoch of single runs, `seeds` a method at most, on one network (`find_most_restless`), at the least and the
    largest n; with its alternative text.
    """
    if curves.empty:
        return None, ""
    network, ns = find_most_restless(curves, seeds), sorted({curves["n"].min(), curves["n"].max()})
    figure, axes = plt.subplots(1, len(ns), figsize=(WIDTH, 3.2), squeeze=False, layout="constrained")
    part = plots.select_case(curves[curves["method"].isin(COMPARED)], network)
    part = part[part.groupby("method")["seed"].rank("dense") <= seeds]
    first, counts = part.groupby("method")["seed"].min(), part.groupby("method")["seed"].nunique()
    for ax, n in zip(axes[0], ns):
        for (method, seed), run in part[part["n"] == n].groupby(["method", "seed"]):
            colour, kept = plots.COLOURS[method], run[run["epoch"] == run["best"]]
            label = f"{method} (runs: {counts[method]})" if seed == first[method] else None
            ax.plot(run["epoch"], run["per_cent"], color=colour, linewidth=1.1, label=label)
            ax.plot(kept["epoch"], kept["per_cent"], "o", markersize=9, markerfacecolor="none", markeredgewidth=1.6, color=colour)
        ax.set(xlabel="epoch", ylabel=plots.LABELS["per_cent"] if n == ns[0] else "", title=f"{plots.case_title(network)}\nn = {n}")
        ax.legend(frameon=False)
    part = part.sort_values("epoch")
    jumps = part.assign(jump=part.groupby(["method", "seed", "n"])["per_cent"].diff().abs()).groupby("n")["jump"].quantile(0.9)
    told = f"single runs ({', '.join(f'{method}: {count}' for method, count in counts.items())}) of {plots.case_title(network)}"
    moves = "; ".join(f"at n = {n} one step in ten is by more than {jumps[n]:.1f} points" for n in ns)
    return figure, f"Test n-accuracy epoch by epoch of {told}. From epoch to epoch, {moves}."


def progress(compared: pd.DataFrame):
    """Our mean n-accuracy minus the paper's after every epoch (`compare_epochs`), at the least and the largest n, a panel a network."""
    networks = [network for network in plots.cases(compared, ROW) if network in section_5_2.paper_networks()]
    figure, axes = network_panels(networks)
    dashes = dict(zip(sorted(set(compared["n"])), itertools.cycle(["-", ":", "--"])))
    for ax, network in zip(axes, networks):
        ends = plots.select_case(compared, network)[lambda table: table["n"].isin([compared["n"].min(), compared["n"].max()])]
        for (method, n), line in ends.groupby(["method", "n"]):
            look = {"color": plots.COLOURS[method], "linewidth": 1.6, "label": f"{method}, n = {n}"}
            ax.plot(line["epoch"], line["difference"].astype(float), dashes[n], **look)
        ax.axhline(0, color="0.3", linewidth=1)
        ax.set_ylim(bottom=max(-40, ax.get_ylim()[0]))
    if figure:
        finish(figure, axes, "epoch", "ours minus the paper's (points)")
    return figure

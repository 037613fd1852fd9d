"""The figures of the notebook on images that are not independent."""
import numpy as np
import pandas as pd

from sharedlabel.analysis import beyond_dependent, dependent, intervals, plots, tables
from sharedlabel.analysis.intervals import ROW

CURVES = {"independent": ("n different images", "o"), "dependent": ("n views of one image", "s")}


def select(runs: pd.DataFrame, cnn_method: str, reader: str) -> pd.DataFrame:
    return runs[(runs["cnn_method"] == cnn_method) & (runs["reader"] == reader)]


def log_axis(ax) -> None:
    """n on a logarithmic axis with the n that were measured."""
    ax.set(xscale="log", xlabel="n")
    ticks = [n for n in dependent.SIZES if n != 15]  # it would touch its neighbours
    ax.set_xticks(ticks, labels=map(str, ticks))
    ax.minorticks_off()


def draw_accuracy(runs: pd.DataFrame, cases: list[tuple], reader: str = "averaged", cnn_method: str = "baseline"):
    """n-accuracy on different images and on views of one, a panel a case (ROW and shift); dashed: so many images as views are worth."""
    chosen = select(runs, cnn_method, reader)
    if chosen.empty:
        return None, ""
    figure, axes = plots.panel_row([f"{plots.case_title(case[:3])}, ±{case[3]} px" for case in cases], 4)
    for ax, case in zip(axes, cases):
        part = tables.select(chosen, **dict(zip([*ROW, "shift"], case)))
        for (column, (label, marker)), colour in zip(CURVES.items(), plots.PALETTE):
            plots.curve(ax, part, "n", column, "n", color=colour, marker=marker, label=label)
        found = part.groupby("n")["equivalent"].mean()
        ax.plot(found.index, found, "--", color="0.3", label="as many different images as n views are worth")
        ax.set_ylim(0, 103)
        log_axis(ax)
    axes[0].set_ylabel("n-accuracy (%)")
    figure.suptitle(beyond_dependent.READERS[reader])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=2, frameon=False)
    return figure, (
        f"{beyond_dependent.READERS[reader]}: n-accuracy against n, a panel a network: for n different images, for n views of one image, "
        "which stay below, and dashed for as "
        f"many different images as the views are worth. {plots.describe_curves(figure)}"
    )


def draw_effective(runs: pd.DataFrame, cnn_method: str = "baseline"):
    """How many images n views are worth against n, a panel a shift, a curve a network; lines are Kish's formula from the largest n."""
    chosen = select(runs, cnn_method, "averaged")
    if chosen.empty:
        return None, ""
    figure, axes = plots.panel_row([f"shifted by up to ±{shift} px" for shift in dependent.SHIFTS], 4.4)
    at = np.geomspace(1, dependent.VIEWS, 50)
    for ax, shift in zip(axes, dependent.SHIFTS):
        for case, colour, marker in zip(plots.cases(chosen, ROW), plots.PALETTE, plots.MARKERS):
            part = plots.select_case(chosen[chosen["shift"] == shift], case)
            found = intervals.summary(part, "effective", ["n"]).set_index("n")["mean"]
            correlation = beyond_dependent.correlation_within(found[dependent.VIEWS], dependent.VIEWS)
            ax.plot(at, beyond_dependent.kish(at, correlation), color=colour, linewidth=1.2)
            ax.plot(found.index, found, marker, color=colour, label=plots.case_title(case))
        ax.plot(at, at, ":", color="0.4", label="independent images")
        ax.set(yscale="log", ylim=(0.9, 45))
        ax.set_yticks([1, 2, 5, 10, 20, 40], labels=["1", "2", "5", "10", "20", "40"])
        log_axis(ax)
    axes[0].set_ylabel("images that n views are worth")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=2, frameon=False)
    return figure, (
        "The effective number of images against the number of views n, a panel a shift, a curve a network; dotted: independent images. "
        + plots.describe_curves(figure)
    )

"""Section 5.3: its figures, two panels a row, legible at 390 pixels.

A function returns a figure, or None where there is nothing to draw.
"""
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib import ticker

from sharedlabel import data
from sharedlabel.analysis import diagrams, intervals, plots
from sharedlabel.analysis.intervals import PANEL, ROW
from sharedlabel.analysis.section_5_3 import controls_of
from sharedlabel.analysis.section_5_3_equal_cost import AVERAGED, COSTS, OTHERS, spending_means
from sharedlabel.analysis.section_5_3_heads import by_trained_n, head_sweep, sweep_curves
from sharedlabel.analysis.section_5_3_runs import CNNS, WITH_HEAD, Runs, concat, each_panel, pairs_at, printed_table_2, random_tuples

METHODS = ["lstm_balanced", "lstm_baseline", "balanced_table_2", "balanced", "baseline", "graph_embedding"]  # as many as a panel can bear
BY_COST = ["lstm_balanced", "head_per_image_balanced", "balanced_table_2", "balanced", "graph_embedding"]
SERIES = {  # how the points of `spending` are drawn
    "averaged logits, SynFlow": {"color": plots.COLOURS["baseline"], "marker": "o"},
    "averaged logits, SNIP": {"color": plots.COLOURS["freeze_retrain"], "marker": "D", "linestyle": "--"},
    "averaged logits of the balanced CNN, SynFlow": {"color": plots.COLOURS["balanced"], "marker": "s", "linestyle": ":"},
    **{name: {"color": plots.COLOURS[name], "marker": marker} for name, marker in zip(OTHERS, "^XxP")},
}
SPENT_N = (2, 15)


def style() -> None:
    """The study's style at 115 dots an inch: two panels of 3.6 inches are 830 pixels wide."""
    plots.style()
    plt.rcParams.update({"figure.dpi": 115, "legend.fontsize": 11})


def architecture() -> plt.Figure:
    """The unified CNN-LSTM over a tuple of three real digits (paper, Figure 10)."""
    train_set, _ = data.load("digits")
    figure = diagrams.unified_cnn_lstm(train_set.pixels[train_set.labels == 7][:3, 0].numpy())
    figure.set_size_inches(7.2, 4.8)
    return figure


def in_panels(table: pd.DataFrame, y: str, by: str, x: str = "n", ylabel: str = "", bars: bool = False):
    """A panel a (data set, network, rho, head rho): y against x, a curve for each `by`; one legend above all. Returns figure and axes.

    ylabel: instead of `plots.LABELS`'; bars: as in `plots.curves`.
    """
    drawn = plots.cases(table, PANEL)
    if not drawn:
        return None, []
    figure, axes = plots.panel_grid(drawn, size=(3.6, 3.1), apart=len(ROW))
    figure.set_figheight(figure.get_figheight() + 0.7)  # for the legend
    styles = plots.curve_styles(table, by)
    for ax, case in zip(axes, drawn):
        own = plots.select_case(table, case)
        plots.curves(ax, own, x, y, by, along="n", bars=bars, styles=styles)
        ax.set(xscale="log", xlabel="", ylabel=(ylabel or plots.LABELS[y]) if ax.get_subplotspec().is_first_col() else "")
        if x == "n":
            ticks = [n for n in (1, 2, 5, 15, 40) if n >= own["n"].min()]
            ax.set_xticks(ticks, ticks)
            ax.xaxis.set_minor_formatter("")
        seeds = own.groupby([by, "n"])["seed"].nunique()
        told = "–".join(str(number) for number in sorted({seeds.min(), seeds.max()}))
        ax.set_title(f"{plots.case_title(case).replace(', head', chr(10) + 'head')}; {told} seed{'s' * (told != '1')}", fontsize=11)
        plots.fit_y_axis(ax)
    figure.supxlabel(plots.LABELS[x], fontsize=12)
    legend_above(figure, by, table)
    return figure, axes


def legend_above(figure, by: str, table: pd.DataFrame) -> None:
    """One legend above all panels, in the order of `plots.curve_styles`."""
    found = {label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels())}
    labels = [label for *_, label in plots.curve_styles(table, by) if label in found]
    heading = None if by in plots.CURVE_ORDER else plots.LABELS[by]
    columns = 2 if by in plots.CURVE_ORDER else len(labels)
    figure.legend([found[label] for label in labels], labels, loc="outside upper center", ncols=columns, frameon=False, title=heading)


def drawn(runs: Runs) -> pd.DataFrame:
    """The runs of the panels that figures show: up to n = 60."""
    parts = [part[part["n"] <= 60] for _, part in each_panel(random_tuples(runs))]
    return concat([part for part in parts if part["method"].isin([*WITH_HEAD, "graph"]).any()], runs.panels)


def methods(runs: Runs, y: str = "per_cent", x: str = "n", variants: list[str] = METHODS):
    """A measure of the methods by panel (paper, Figures 8, 9, 21 and 22); against n with Table 2's numbers as crosses."""
    table = drawn(runs)
    table = table[table["variant"].isin(variants)]
    figure, axes = in_panels(table, y, "variant", x)
    printed = printed_table_2()
    for ax, case in zip(axes, plots.cases(table, PANEL)):
        own = plots.select_case(table, case)
        if (x, y) == ("n", "per_cent"):
            for variant, part in plots.select_case(printed[printed["variant"].isin(own["variant"])], case[:2]).groupby("variant"):
                ax.plot(part["n"], part["paper"], "x", color=plots.COLOURS[variant], markersize=7, markeredgewidth=1.6)
            figure.legends[0].set_title("× the paper's Table 2")
        if y == "relative_information":
            ax.set_yscale("log")
        plots.fit_y_axis(ax)
    return figure


def lstm_minus_controls(runs: Runs):
    """The CNN-LSTM minus each of its controls, by panel, in pairs by seed; above zero sharing pays."""
    pairs = [pairs_at(part, f"lstm_{cnn}", controls_of(cnn), heads=True)
             for _, part in each_panel(random_tuples(runs)) for cnn in CNNS]
    found = concat(pairs, runs.panels.assign(difference=0.0))
    figure, axes = in_panels(found, "difference", "variant", ylabel="CNN-LSTM minus (points)", bars=True)
    for ax in axes:
        ax.axhline(0, color="0.4", linewidth=1)
        plots.fit_y_axis(ax, bands=True)
    return figure


def sweep(runs: Runs):
    """n-accuracy against the head's rho, a column an n, and below it the CNN-LSTM minus each control."""
    table = head_sweep(runs)
    places = sorted(table.groupby([*ROW, "n"]), key=lambda place: (plots.place_of(place[0][0]), *place[0][1:]))
    if not places:
        return None
    figure, axes = plt.subplots(2, len(places), figsize=(3.6 * len(places), 6), squeeze=False, sharex=True, layout="constrained")
    for (above, below), ((*row, n), part) in zip(axes.T, places):
        plots.curves(above, sweep_curves(part), "head_rho", "per_cent", by="variant", along="head_rho")
        plots.curves(below, sweep_curves(part, minus=True), "head_rho", "difference", by="variant", along="head_rho")
        above.set(xlabel="", ylabel="n-accuracy (%)")
        above.set_title(f"{plots.case_title(tuple(row))}\nn = {n}", fontsize=12)
        below.set(xlabel="", ylabel="CNN-LSTM minus (points)")
        below.set_label(f"CNN-LSTM minus, {plots.case_title(tuple(row))}, n = {n}")  # for the alternative text
        below.axhline(0, color="0.4", linewidth=1)
        plots.fit_y_axis(above)
        plots.fit_y_axis(below, bands=True)
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    figure.supxlabel(plots.LABELS["head_rho"], fontsize=12)
    legend_above(figure, "variant", sweep_curves(table))
    return figure


def trained_n(runs: Runs):
    """n-accuracy of heads that were trained for one n and measured at all; None where only one n was trained for."""
    table = by_trained_n(runs)
    return in_panels(table, "per_cent", "train_n", bars=True)[0] if table["train_n"].nunique() > 1 else None


def spending(runs: Runs) -> dict[tuple, plt.Figure]:
    """For each row a figure: n-accuracy against weights and against FLOPs an image, a line an n of SPENT_N.

    A row whose averaged logits were run at one rho alone is left out, as there is nothing to choose.
    """
    figures, table = {}, spending_means(runs)
    for row in plots.cases(random_tuples(runs), ROW):
        part = table[table["case"] == row]
        if part.loc[part["series"].isin(AVERAGED), "at"].nunique() < 2:
            continue
        figure, axes = plt.subplots(2, 2, figsize=(7.2, 6.2), layout="constrained", sharex="col", sharey="row")
        for line, n in zip(axes, SPENT_N):
            at_n = part[part["n"] == n]
            most = min(100, at_n["high"].fillna(at_n["mean"]).max())
            for ax, (cost, label) in zip(line, COSTS.items()):
                for name, look in SERIES.items():
                    own = at_n[at_n["series"] == name].sort_values("at")
                    if len(own):
                        bars = ax.errorbar(own[cost], own["mean"], own["high"] - own["mean"], label=plots.TITLES[name], markersize=6,
                                           linewidth=1.4, elinewidth=0.8, **look)
                        bars[0].set_label(plots.TITLES[name])  # for the alternative text, as the next
                ax.set_label(f"n = {n}, by {label}")
                ax.set(xscale="log", ylim=(0, 1.03 * most), xlabel=label if n == SPENT_N[-1] else "")
                span = part[cost].max() / part[cost].min()
                ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if span < 30 else (1, 3) if span < 300 else (1,)))
                ax.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
                ax.xaxis.set_minor_formatter("")
            line[0].set_ylabel(f"n-accuracy (%), n = {n}")
        found = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels())}
        figure.legend(found.values(), found, loc="outside upper center", ncols=2, frameon=False, title=plots.case_title(row))
        figures[row] = figure
    return figures


def summaries(runs: Runs) -> pd.DataFrame:
    """The numbers of the figures of methods: PANEL, `variant`, n, `seeds`, n-accuracy in per cent (mean, low, high), relative information.
    """
    table, by = drawn(runs), [*PANEL, "variant", "n"]
    accuracy, information = (intervals.summary(table, name, by) for name in ("per_cent", "relative_information"))
    return accuracy.merge(information, on=[*by, "seeds"], suffixes=("", "_relative_information"))


assert set(SERIES) == {*AVERAGED, *OTHERS}

"""The study's figures: means over seeds with their intervals, legible in print and to the colour-blind.

Every curve has a colour and a marker of its own. A figure function draws and returns the figure; the
numbers beneath it come from the same `intervals.summary`.
"""
import contextlib
import itertools
import re

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib import ticker, transforms

from sharedlabel import choices
from sharedlabel.analysis import intervals, sweet_spots, tables

MARKERS = "osD^vP*X<>hd"
PALETTE = sns.color_palette("colorblind")
PALETTE[8] = (0.1, 0.1, 0.1)  # its yellow is hardly seen on white
PALETTE += [(0.36, 0.2, 0.58), (0.45, 0.45, 0.1)]  # as many as there are markers: no two variants look alike
LABELS = {
    "n": "tuple size n", "rho": "compression ratio ρ (log10)", "flops": "FLOPs of the tuple (2 × MACs)",
    "n_accuracy": "n-accuracy", "information_gain": "information gain (bits)", "log_error": "log2(1 − n-accuracy)",
    "relative_information": "relative information IG·ρ/n (bits)", "gain_per_mflop": "bits per million FLOPs",
    "params_remaining": "weights left", "per_cent": "n-accuracy (%)", "difference": "difference in n-accuracy (points)",
    "standard_weight": "λ, the weight of the standard loss", "tuple_size": "images of a class in a training batch",
    "head_rho": "ρ of the head (log10; 0: unpruned)", "train_n": "trained for n", "share_of_best": "share of the best",
}
MOST = {"n_accuracy": 1, "per_cent": 100}  # above which an interval is not drawn


class Titles(dict):
    """What each name is called in tables and figures, in their order. A folder of images is called by its hash, another name by itself."""

    def __missing__(self, name: str) -> str:
        folder = re.fullmatch(r"folder-([0-9a-f]{4})[0-9a-f]{8}-(\d+)px", name)
        return f"folder {folder[1]}… {folder[2]}px" if folder else name


TITLES = Titles({name: entry.title for table in (choices.DATASETS, choices.MODELS, choices.PRUNERS) for name, entry in table.items()})
TITLES |= {
    "snip_once": "SNIP at once", "grasp_once": "GraSP at once",
    "baseline": "baseline", "balanced": "balanced", "freeze_retrain": "freeze and retrain",
    "lstm_balanced": "CNN-LSTM on balanced CNN", "lstm_baseline": "CNN-LSTM on baseline CNN",
    "graph_embedding": "graph: joined embeddings", "graph_neuron": "graph: neurons",
    "head_per_image_balanced": "head alone, per image", "head_tuple_mean_balanced": "head alone, tuple's mean",
    "head_per_image_baseline": "head alone, per image (baseline CNN)",
    "head_tuple_mean_baseline": "head alone, tuple's mean (baseline CNN)",
    "balanced_table_2": "balanced at Table 2's ρ for averaging",
}
METHODS = ("baseline", "balanced", "freeze_retrain")
VARIANTS = (*METHODS, "lstm_balanced", "lstm_baseline", "graph_embedding", "graph_neuron",
            "head_per_image_balanced", "balanced_table_2", "head_tuple_mean_balanced",  # what a CNN-LSTM has to beat is black
            "head_per_image_baseline", "head_tuple_mean_baseline")  # what section 5.3 compares (`name_variants`)
PRUNINGS = (*choices.PAPER_PRUNERS, "snip_once", "grasp_once")  # what appendix C.2 compares
CURVE_ORDER = {  # in the order of their colours
    "pruning": PRUNINGS, "method": METHODS, "variant": VARIANTS,
    "order": (*choices.READING_ORDERS, "head_per_image_balanced", "head_tuple_mean_balanced"),
}
COLOURS = dict(zip(VARIANTS, itertools.cycle(PALETTE)))


def style() -> None:
    """Seaborn's theme for every figure; PNG, so that a rerun changes nothing but pixels."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"figure.dpi": 90, "axes.titlesize": "medium", "legend.fontsize": "small"})


def place_of(name: str) -> tuple[int, str]:
    """To sort by: a name's place in TITLES, behind all of these where it is in none."""
    return (list(TITLES).index(name) if name in TITLES else len(TITLES)), name


def cases(table: pd.DataFrame, by: list[str] = intervals.CASE) -> list[tuple]:
    """The (data set, network) pairs of a table, or with `by=intervals.ROW` its (data set, network, rho), in a fixed order.

    With `by=intervals.PANEL` the head's rho comes, too, from the hardest pruned one on.
    """
    def place(case: tuple) -> list:
        dataset, model, *rhos = case
        return [place_of(dataset), place_of(model), *rhos[:1], *(-head_rho for head_rho in rhos[1:])]

    return sorted(set(zip(*(table[name] for name in by))), key=place)


def case_title(case: tuple) -> str:
    """A case, row or panel in words; a head at ρ = 0 is an unpruned one."""
    rhos = [f"{name} = {rho:g}" for name, rho in zip(("ρ", "head ρ"), case[2:])]
    return ", ".join([TITLES[case[0]], TITLES[case[1]], *rhos]) + (" (unpruned)" if case[3:] == (0,) else "")


def titles(table: pd.DataFrame, columns: list[str] = intervals.PANEL) -> list[str]:
    """What each row's panel (or row of the paper's table, or network) is called."""
    return [case_title(case) for case in zip(*(table[name] for name in columns))]


def in_order(table: pd.DataFrame, columns: list[str] = intervals.PANEL) -> pd.DataFrame:
    """The table with its panels (or rows, or networks) in the order of every figure; within one its rows keep theirs."""
    place = {case: i for i, case in enumerate(cases(table, columns))}
    return table.iloc[[i for _, i in sorted((place[case], i) for i, case in enumerate(zip(*(table[name] for name in columns))))]]


def curve_styles(table: pd.DataFrame, by: str) -> list[tuple]:
    """(value, colour, marker, label) of every value of column `by`: a name's are its own in every figure, numbers share a scale."""
    found = set(table[by])
    if by in CURVE_ORDER:
        each = zip(CURVE_ORDER[by], itertools.cycle(PALETTE), MARKERS)
        return [(name, COLOURS.get(name, colour), marker, TITLES[name]) for name, colour, marker in each if name in found]
    colours, markers = sns.color_palette("viridis_r", len(found)), itertools.cycle(MARKERS)
    return [(number, colour, marker, f"{number:g}") for number, colour, marker in zip(sorted(found), colours, markers)]


def curves(ax, table: pd.DataFrame, x: str, y: str, by: str, along: str, bars: bool = False, styles: list[tuple] | None = None) -> None:
    """A curve for each value of `by`, a point for each value of `along` with its interval over seeds.

    x may itself vary with the seed (FLOPs do); its mean is drawn. bars: intervals as thin lines side by side, a twentieth of an inch
    apart, where bands would cover everything. styles: `curve_styles` of all panels of a figure, so that one legend serves them.
    """
    found = [style for style in styles or curve_styles(table, by) if style[0] in set(table[by])]
    for place, (group, colour, marker, label) in enumerate(found):  # many bands that lie on each other would hide the curves
        band = 0 if bars else min(0.15, 0.6 / len(found))
        own = table[table[by] == group]
        aside = transforms.ScaledTranslation((place - (len(found) - 1) / 2) * bars / 20, 0, ax.figure.dpi_scale_trans)
        curve(ax, own, x, y, along, band, color=colour, marker=marker, label=label, transform=ax.transData + aside)
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])


def curve(ax, table: pd.DataFrame, x: str, y: str, along: str, band: float = 0.15, **how) -> None:
    """One of `curves`; `how` is its colour, marker and label, `band` the opacity of its interval; 0: a thin line.

    On a logarithmic axis an interval that reaches below zero is not drawn: twelve such bands would hide all else.
    """
    found = intervals.summary(table, y, [along])
    found["high"] = found["high"].clip(upper=MOST.get(y))
    at = found[along] if x == along else found[along].map(table.groupby(along)[x].mean())
    ax.plot(at, found["mean"], markersize=5, linewidth=1.4, **how)
    ax.update_datalim(list(zip(at, found["mean"])))  # matplotlib does not where a transform is given
    low = found["low"].where(found["low"] > 0) if ax.get_yscale() == "log" else found["low"]
    if band:
        ax.fill_between(at, low, found["high"], color=how["color"], alpha=band, linewidth=0)
    else:
        ax.vlines(at, low, found["high"], color=how["color"], linewidth=1, transform=how.get("transform", ax.transData))


def panel_grid(drawn: list[tuple], size: tuple[float, float], apart: int = 0, columns: int = 2):
    """A panel with its title for each case, `columns` side by side, each of `size` inches; returns figure and axes [cases].

    A new line begins where the first `apart` entries of a case change.
    """
    lines = []
    for case in drawn:
        if not lines or len(lines[-1]) == columns or lines[-1][-1][:apart] != case[:apart]:
            lines.append([])
        lines[-1].append(case)
    widest = max(map(len, lines))
    figsize = size[0] * widest, size[1] * len(lines)
    figure, axes = plt.subplots(len(lines), widest, figsize=figsize, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.07, h_pad=0.07)  # inches: no title touches the axis above it
    for line, row in zip(lines, axes):
        for ax, case in zip(row, line):
            ax.set_title(case_title(case), fontsize="medium" if len(case_title(case)) < 55 else "small")  # as wide as the panel at most
        for ax in row[len(line) :]:
            ax.remove()
    return figure, [ax for line, row in zip(lines, axes) for ax in row[: len(line)]]


def name_variants(table: pd.DataFrame) -> pd.Series:
    """What each row's run is called where section 5.3 compares it: one of VARIANTS.

    A graph has its architecture in its name, a head the training of its CNN; a control (`head_control`) also whether it was
    trained per image or on the mean output of a tuple.
    """
    found, cnn = table["method"].copy(), table["cnn_method"].astype(str)
    trained = table["train_n"].map(lambda n: "head_per_image_" if n == 1 else "head_tuple_mean_")
    named = {"graph": "graph_" + table["architecture"].astype(str), "cnn_lstm": "lstm_" + cnn, "head_control": trained + cnn}
    for method, names in named.items():
        found = found.mask(table["method"] == method, names)
    return found


def fit_y_axis(ax, bands: bool = False) -> None:
    """Fit the y axis to the curves: an interval of three seeds can be far wider than anything possible. With `bands` to these, too."""
    heights = [height for line in ax.get_lines() for height in line.get_ydata()]
    heights += [height for band in ax.collections for path in band.get_paths() for height in path.vertices[:, 1]] if bands else []
    if len(set(heights)) < 2:
        return
    low, high = min(heights), max(heights)
    if ax.get_yscale() == "log":
        ax.set_ylim(low / 1.4, high * 1.4)
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
    else:
        ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))


def select_case(table: pd.DataFrame, case: tuple) -> pd.DataFrame:
    """The part of a table that belongs to one of its `cases`."""
    return tables.select(table, **dict(zip(intervals.PANEL, case)))


def mark_sweet_spots(ax, table: pd.DataFrame, value: str) -> None:
    """A ring at rho* of every n, where it lies inside the range of rho: an end says that it may lie beyond."""
    means = table.groupby(["n", "rho"])[value].mean()
    for spot in sweet_spots.find(table, value).itertuples():
        if not spot.at_end:
            ax.plot(spot.best, means[spot.n, spot.best], "o", markersize=13, markerfacecolor="none", markeredgecolor="crimson", zorder=5)


def compact_grid(drawn: list[tuple], size: tuple[float, float] = (3.4, 2.9), apart: int = 0):
    """`panel_grid` two panels wide, as section notebooks show it: 820 pixels, and its text is still legible at 390."""
    figure, axes = panel_grid(drawn, size, apart)
    figure.set_dpi(120)
    return figure, axes


def panel_row(titles: list[str], height: float):
    """A panel for each title side by side, with one y axis, 820 pixels wide like a `compact_grid`; returns figure and axes."""
    figure, axes = plt.subplots(1, len(titles), figsize=(6.8, height), dpi=120, squeeze=False, sharey=True, layout="constrained")
    for ax, title in zip(axes[0], titles):
        ax.set_title(title.replace(", ρ", "\nρ"), fontsize="medium" if len(titles) < 3 else "small")
    return figure, list(axes[0])


def describe_curves(figure, largest: bool = False) -> str:
    """A sentence a panel on a figure's labelled curves, for its alternative text: the first and last value of each, or where it is largest.
    """
    panels = []
    for ax in figure.axes if figure else []:
        told = []
        for line in ax.get_lines():
            points = [(y, x) for x, y in zip(*line.get_data()) if y == y]
            level = line.get_transform() == ax.get_yaxis_transform()  # across the panel, at no x
            if points and not level and not line.get_label().startswith("_"):
                shown = [max(points)] if largest else dict.fromkeys([points[0], points[-1]])
                at = [f"{x:.0f}" if x > 1000 else f"{x:.3g}" for _, x in shown]
                values = [f"largest at {x}" if largest else f"{round(y, 2):.3g} at {x}" for (y, _), x in zip(shown, at)]
                told.append(f"{line.get_label()}: {', '.join(values)}")
        if told:
            panels.append(f"{' '.join((ax.get_title() or ax.get_label()).split())}, {'; '.join(told)}.")
    return " ".join(panels)


def n_axis(ax) -> None:
    """Tuple sizes on a logarithmic x axis."""
    ax.set(xlabel="n", xscale="log")
    ax.set_xticks([1, 2, 5, 10, 25, 80], labels=["1", "2", "5", "10", "25", "80"])
    ax.minorticks_off()


def legend_below(figure, title: str | None = None, columns: int = 6, **how) -> None:
    """One legend of the curves of all panels, below them: numbers sorted, names in the order of TITLES."""
    found = {label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels())}
    order = {name: place for place, name in enumerate(TITLES.values())}
    with contextlib.suppress(ValueError):  # other words stay in the order in which they were drawn
        found = dict(sorted(found.items(), key=lambda each: order[each[0]] if each[0] in order else float(each[0])))
    figure.legend(found.values(), found.keys(), title=title, loc="outside lower center", ncols=columns, frameon=False, **how)

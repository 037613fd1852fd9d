"""The study's figures: means over seeds with their intervals, legible in print and to the colour-blind.

Every curve has a colour and a marker of its own. A figure function draws and returns the figure; the
numbers beneath it are printed from the same summary by `numbers`.
"""
import base64
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from sharedlabel import statistics

MARKERS = "osD^vP*X<>hd"
LABELS = {
    "n": "tuple size n", "rho": "compression ratio ρ (log10)", "flops": "FLOPs of the tuple (2 × MACs)",
    "n_accuracy": "n-accuracy", "information_gain": "information gain (bits)", "log_error": "log2(1 − n-accuracy)",
    "relative_information": "relative information IG·ρ/n", "gain_per_mflop": "bits per million FLOPs",
    "params_remaining": "weights left", "per_cent": "n-accuracy (%)", "difference": "difference in n-accuracy (points)",
    "lam": "λ, the weight of the standard loss", "tuple_size": "images of a class in a training batch",
}
NAMES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "tinyimagenet": "Tiny ImageNet",
         "fc": "FC", "conv": "Conv", "resnet18": "ResNet-18", "wideresnet20": "WideResNet-20"}
METHODS = {"baseline": "baseline", "balanced": "balanced", "freeze_retrain": "freeze and retrain"}
COLOURS = dict(zip(METHODS, sns.color_palette("colorblind")))


def style() -> None:
    """Seaborn's theme for every figure; PNG, so that a rerun changes nothing but pixels."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"figure.dpi": 90, "axes.titlesize": "medium", "legend.fontsize": "small"})


def cases(table: pd.DataFrame, by: list[str] = statistics.CASE) -> list[tuple]:
    """The (data set, network) pairs of a table, or with `by=statistics.ROW` its (data set, network, rho), in a fixed order."""
    order = list(NAMES)
    return sorted(set(zip(*(table[name] for name in by))), key=lambda case: [*map(order.index, case[:2]), *case[2:]])


def title(case: tuple) -> str:
    return ", ".join([NAMES[case[0]], NAMES[case[1]], *(f"ρ = {rho:g}" for rho in case[2:])])


def panels(table: pd.DataFrame, width: float = 5.6, height: float = 4.2, rows: int = 1):
    """One panel a case side by side, `rows` of them; returns figure and axes [rows, cases]."""
    count = len(cases(table))
    return plt.subplots(rows, count, figsize=(width * count, height * rows), squeeze=False, layout="constrained")


def curves(ax, table: pd.DataFrame, x: str, y: str, by: str, along: str) -> None:
    """A curve for each value of `by`, a point for each value of `along` with its interval over seeds.

    x may itself vary with the seed (FLOPs do); its mean is drawn.
    """
    groups = sorted(table[by].unique())
    for i, (group, colour) in enumerate(zip(groups, sns.color_palette("viridis_r", len(groups)))):
        curve(ax, table[table[by] == group], x, y, along, color=colour, marker=MARKERS[i % len(MARKERS)], label=f"{group:g}")
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])


def curve(ax, table: pd.DataFrame, x: str, y: str, along: str, **how) -> None:
    """One of `curves`; `how` is its colour, marker and label."""
    found = statistics.summary(table, y, [along])
    at = found[along] if x == along else found[along].map(table.groupby(along)[x].mean())
    ax.plot(at, found["mean"], markersize=5, linewidth=1.4, **how)
    ax.fill_between(at, found["low"], found["high"], color=how["color"], alpha=0.15, linewidth=0)


def by_method(table: pd.DataFrame, y: str, width: float = 5.2, height: float = 4.0):
    """One panel a (data set, network, rho), three side by side: y against n, a curve for each method; returns figure and axes."""
    rows = cases(table, statistics.ROW)
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(width * columns, height * lines), squeeze=False, layout="constrained")
    for ax, row in zip(axes.flat, rows):
        part = select(table, row)
        for method, marker in zip(METHODS, MARKERS):
            if method in set(part["method"]):
                one = part[part["method"] == method]
                curve(ax, one, "n", y, "n", color=COLOURS[method], marker=marker, label=METHODS[method])
        ax.set(xscale="log", xlabel=LABELS["n"], ylabel=LABELS[y], title=title(row))
        ax.set_xticks([1, 2, 5, 10, 25, 80], [1, 2, 5, 10, 25, 80])
        frame(ax)
        ax.legend(frameon=False)
    for ax in axes.flat[len(rows) :]:
        ax.remove()
    return figure, axes.flat[: len(rows)]


def frame(ax) -> None:
    """Fit the y axis to the curves: an interval of three seeds can be far wider than anything possible."""
    low, high = (f(f(line.get_ydata()) for line in ax.get_lines()) for f in (min, max))
    if ax.get_yscale() == "log":
        ax.set_ylim(low / 1.4, high * 1.4)
    else:
        ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))


def by_case(table: pd.DataFrame, x: str, y: str, by: str, along: str, xscale: str = "linear", yscale: str = "linear"):
    """One panel a case of `curves`, the legend beside the last."""
    figure, axes = panels(table)
    for ax, case in zip(axes[0], cases(table)):
        curves(ax, select(table, case), x, y, by, along)
        ax.set(xscale=xscale, yscale=yscale, title=title(case))
        frame(ax)
        ax.legend(title={"rho": "ρ", "n": "n"}[by], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def select(table: pd.DataFrame, case: tuple) -> pd.DataFrame:
    """The part of a table that belongs to one of its `cases`."""
    for name, value in zip(statistics.ROW, case):
        table = table[table[name] == value]
    return table


def mark_sweet_spots(ax, table: pd.DataFrame, value: str) -> None:
    """A ring at rho* of every n."""
    means = table.groupby(["n", "rho"])[value].mean()
    for spot in statistics.sweet_spots(table, value).itertuples():
        ax.plot(spot.best, means[spot.n, spot.best], "o", markersize=13, markerfacecolor="none", markeredgecolor="crimson", zorder=5)


def numbers(
    table: pd.DataFrame, value: str, rows: str = "rho", columns: str = "n", digits: int = 3, by: list[str] = statistics.CASE,
) -> str:
    """The numbers of a figure as text: the mean over seeds, ± half its 95 % interval, a table for each of `cases(table, by)`."""
    text = []
    for case in cases(table, by):
        found = statistics.summary(select(table, case), value, [rows, columns])
        half = (found["high"] - found["mean"]).map(lambda h: "" if pd.isna(h) else f"±{h:.{digits}f}")
        found["shown"] = found["mean"].map(lambda m: f"{m:.{digits}f}") + half
        text.append(f"{title(case)}: {value}\n{found.pivot(index=rows, columns=columns, values='shown').fillna('-').to_string()}")
    return "\n\n".join(text)


def scatter(ax, table: pd.DataFrame, x: str, y: str, by: str) -> None:
    """A point a row, coloured and marked by `by`."""
    groups = sorted(table[by].unique())
    for i, (group, colour) in enumerate(zip(groups, sns.color_palette("viridis_r", len(groups)))):
        part = table[table[by] == group]
        ax.scatter(part[x], part[y], s=22, color=colour, marker=MARKERS[i % len(MARKERS)], alpha=0.7, linewidth=0, label=f"{group:g}")
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])
    ax.legend(title={"rho": "ρ", "n": "n"}[by], frameon=False)


def extract(notebook: str, heading: str, target: str) -> None:
    """Write the first figure below a heading of an executed notebook to a PNG file, for the README."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    start = next(i for i, cell in enumerate(cells) if "".join(cell["source"]).startswith(heading))
    outputs = [output for cell in cells[start:] for output in cell.get("outputs", [])]
    picture = next(output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    Path(target).write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    extract(*sys.argv[1:])

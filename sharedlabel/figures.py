"""The study's figures: means over seeds with their intervals, legible in print and to the colour-blind.

Every curve has a colour and a marker of its own. A figure function draws and returns the figure; the
numbers beneath it are printed from the same summary by `numbers`.
"""
import base64
import io
import itertools
import json
import math
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib import ticker
from matplotlib.colors import LogNorm
from PIL import Image
from torch import Tensor, nn

from sharedlabel import live, methods, pruning, statistics

MARKERS = "osD^vP*X<>hd"
PALETTE = sns.color_palette("colorblind")
PALETTE[8] = (0.15, 0.15, 0.15)  # in place of a yellow that is hard to see on white
PALETTE += [(0.36, 0.2, 0.58), (0.45, 0.45, 0.1)]  # as many as there are markers: no two variants look alike
LABELS = {
    "n": "tuple size n", "rho": "compression ratio ρ (log10)", "flops": "FLOPs of the tuple (2 × MACs)",
    "n_accuracy": "n-accuracy", "information_gain": "information gain (bits)", "log_error": "log2(1 − n-accuracy)",
    "relative_information": "relative information IG·ρ/n", "gain_per_mflop": "bits per million FLOPs",
    "params_remaining": "weights left", "per_cent": "n-accuracy (%)", "difference": "difference in n-accuracy (points)",
    "lam": "λ, the weight of the standard loss", "tuple_size": "images of a class in a training batch",
    "head_rho": "ρ of the head (log10; 0: unpruned)", "train_n": "trained for n",
}
NAMES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "tinyimagenet": "Tiny ImageNet",
         "fc": "FC", "conv": "Conv", "resnet18": "ResNet-18", "wideresnet20": "WideResNet-20",
         "random": "random", "magnitude": "magnitude", "snip": "SNIP", "grasp": "GraSP", "synflow": "SynFlow",
         "snip_once": "SNIP at once", "grasp_once": "GraSP at once",
         "baseline": "baseline", "balanced": "balanced", "freeze_retrain": "freeze and retrain",
         "lstm_balanced": "CNN-LSTM on balanced CNN", "lstm_baseline": "CNN-LSTM on baseline CNN",
         "graph_embedding": "graph: joined embeddings", "graph_neuron": "graph: neurons",
         "alone_balanced": "head alone, per image", "mean_balanced": "head alone, tuple's mean",
         "alone_baseline": "head alone, per image (baseline CNN)", "mean_baseline": "head alone, tuple's mean (baseline CNN)",
         "balanced_table_2": "balanced at Table 2's ρ for averaging"}
METHODS = ("baseline", "balanced", "freeze_retrain")
VARIANTS = (*METHODS, "lstm_balanced", "lstm_baseline", "graph_embedding", "graph_neuron", "alone_balanced", "mean_balanced",
            "balanced_table_2", "alone_baseline", "mean_baseline")  # what section 5.3 compares (`variants`)
PRUNINGS = (*pruning.PRUNERS, "snip_once", "grasp_once")  # what appendix C.2 compares
NAMED = {  # in the order of their colours
    "pruning": PRUNINGS, "method": METHODS, "variant": VARIANTS, "order": (*methods.ORDERS, "alone_balanced", "mean_balanced"),
}
COLOURS = dict(zip(VARIANTS, itertools.cycle(PALETTE)))


def style() -> None:
    """Seaborn's theme for every figure; PNG, so that a rerun changes nothing but pixels."""
    sns.set_theme(context="notebook", style="whitegrid", rc={"figure.dpi": 90, "axes.titlesize": "medium", "legend.fontsize": "small"})


def cases(table: pd.DataFrame, by: list[str] = statistics.CASE) -> list[tuple]:
    """The (data set, network) pairs of a table, or with `by=statistics.ROW` its (data set, network, rho), in a fixed order.

    With `by=statistics.PANEL` the head's rho comes, too, from the hardest pruned one on.
    """
    order = list(NAMES)

    def place(case: tuple) -> list[float]:
        dataset, model, *rhos = case
        return [order.index(dataset), order.index(model), *rhos[:1], *(-head_rho for head_rho in rhos[1:])]

    return sorted(set(zip(*(table[name] for name in by))), key=place)


def title(case: tuple) -> str:
    """A case, row or panel in words; a head at ρ = 0 is an unpruned one."""
    rhos = [f"{name} = {rho:g}" for name, rho in zip(("ρ", "head ρ"), case[2:])]
    return ", ".join([NAMES[case[0]], NAMES[case[1]], *rhos]) + (" (unpruned)" if case[3:] == (0,) else "")


def panels(table: pd.DataFrame, height: float = 4.2, rows: int = 1):
    """One panel a case side by side, `rows` of them; returns figure and axes [rows, cases]; of no case neither."""
    count = len(cases(table))
    if not count:
        return None, np.empty((rows, 0), object)
    return plt.subplots(rows, count, figsize=(5.6 * count, height * rows), squeeze=False, layout="constrained")


def looks(table: pd.DataFrame, by: str) -> list[tuple]:
    """(value, colour, marker, label) of every value of column `by`: a name's are its own in every figure, numbers share a scale."""
    found = set(table[by])
    if by in NAMED:
        each = zip(NAMED[by], itertools.cycle(PALETTE), MARKERS)
        return [(name, colour, marker, NAMES.get(name, name)) for name, colour, marker in each if name in found]
    colours, markers = sns.color_palette("viridis_r", len(found)), itertools.cycle(MARKERS)
    return [(number, colour, marker, f"{number:g}") for number, colour, marker in zip(sorted(found), colours, markers)]


def curves(ax, table: pd.DataFrame, x: str, y: str, by: str, along: str) -> None:
    """A curve for each value of `by`, a point for each value of `along` with its interval over seeds.

    x may itself vary with the seed (FLOPs do); its mean is drawn.
    """
    found = looks(table, by)
    for group, colour, marker, label in found:  # many bands that lie on each other would hide the curves
        curve(ax, table[table[by] == group], x, y, along, min(0.15, 0.6 / len(found)), color=colour, marker=marker, label=label)
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])


def curve(ax, table: pd.DataFrame, x: str, y: str, along: str, band: float = 0.15, **how) -> None:
    """One of `curves`; `how` is its colour, marker and label, `band` the opacity of its interval.

    On a logarithmic axis an interval that reaches below zero is not drawn: twelve such bands would hide all else.
    """
    found = statistics.summary(table, y, [along])
    at = found[along] if x == along else found[along].map(table.groupby(along)[x].mean())
    ax.plot(at, found["mean"], markersize=5, linewidth=1.4, **how)
    low = found["low"].where(found["low"] > 0) if ax.get_yscale() == "log" else found["low"]
    ax.fill_between(at, low, found["high"], color=how["color"], alpha=band, linewidth=0)


def grid(drawn: list[tuple], columns: int, size: tuple[float, float], room: float = 0, apart: int = 0):
    """A panel with its title for each case, `columns` side by side, each of `size` inches; returns figure and axes [cases].

    A new line begins where the first `apart` entries of a case change. `room`: inches for a legend on the right.
    """
    lines = []
    for case in drawn:
        if not lines or len(lines[-1]) == columns or lines[-1][-1][:apart] != case[:apart]:
            lines.append([])
        lines[-1].append(case)
    widest = max(map(len, lines))
    figsize = size[0] * widest + room, size[1] * len(lines)
    figure, axes = plt.subplots(len(lines), widest, figsize=figsize, squeeze=False, layout="constrained")
    for line, row in zip(lines, axes):
        for ax, case in zip(row, line):
            ax.set_title(title(case), fontsize="medium" if len(title(case)) < 55 else "small")  # as wide as the panel at most
        for ax in row[len(line) :]:
            ax.remove()
    return figure, [ax for line, row in zip(lines, axes) for ax in row[: len(line)]]


def by_method(table: pd.DataFrame, y: str):
    """One panel a (data set, network, rho), three side by side: y against n, a curve for each method; returns figure and axes."""
    rows = cases(table, statistics.ROW)
    figure, axes = grid(rows, columns=3, size=(5.2, 4))
    for ax, row in zip(axes, rows):
        curves(ax, select(table, row), "n", y, by="method", along="n")
        ax.set_xscale("log")
        ax.set_xticks([1, 2, 5, 10, 25, 80], [1, 2, 5, 10, 25, 80])
        frame(ax)
        ax.legend(frameon=False)
    return figure, axes


def by_panel(table: pd.DataFrame, y: str, by: str, x: str = "n"):
    """One panel a (data set, network, rho, head rho), two side by side: y against x, a point for each n, a curve for each `by`.

    One legend serves all. Returns figure and axes.
    """
    drawn = cases(table, statistics.PANEL)
    figure, axes = grid(drawn, columns=2, size=(5.4, 4.4), room=2, apart=len(statistics.ROW))
    for ax, case in zip(axes, drawn):
        curves(ax, select(table, case), x, y, by, along="n")
        ax.set_xscale("log")
        if x == "n":
            ax.set_xticks([1, 2, 5, 15, 40], [1, 2, 5, 15, 40])
        frame(ax)
    legend(figure, by, table)
    return figure, axes


def legend(figure, by: str, table: pd.DataFrame) -> None:
    """One legend, outside on the right, of the curves of all panels, in the order of `looks`."""
    found = {label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels())}
    labels = [label for *_, label in looks(table, by) if label in found]
    heading = None if by in NAMED else LABELS[by]
    figure.legend([found[label] for label in labels], labels, loc="outside right center", frameon=False, title=heading)


def variants(table: pd.DataFrame) -> pd.Series:
    """What each row's run is called where section 5.3 compares it: one of VARIANTS.

    A graph has its architecture in its name, a head the training of its CNN; a control (`head_control`) also whether it was
    trained on each image `alone` or on the `mean` output of a tuple.
    """
    found, cnn = table["method"].copy(), table["cnn_method"].astype(str)
    trained = table["train_n"].map(lambda n: "alone_" if n == 1 else "mean_")
    named = {"graph": "graph_" + table["architecture"].astype(str), "cnn_lstm": "lstm_" + cnn, "head_control": trained + cnn}
    for method, names in named.items():
        found = found.mask(table["method"] == method, names)
    return found


def frame(ax, bands: bool = False) -> None:
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


def by_case(table: pd.DataFrame, x: str, y: str, by: str, along: str, xscale: str = "linear", yscale: str = "linear"):
    """One panel a case of `curves`, the legend beside the last."""
    figure, axes = panels(table)
    for ax, case in zip(axes[0], cases(table)):
        ax.set(xscale=xscale, yscale=yscale, title=title(case))
        curves(ax, select(table, case), x, y, by, along)
        frame(ax)
        ax.legend(title={"rho": "ρ", "n": "n"}[by], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def select(table: pd.DataFrame, case: tuple) -> pd.DataFrame:
    """The part of a table that belongs to one of its `cases`."""
    for name, value in zip(statistics.PANEL, case):
        table = table[table[name] == value]
    return table


def mark_sweet_spots(ax, table: pd.DataFrame, value: str) -> None:
    """A ring at rho* of every n, where it lies inside the range of rho: an end says that it may lie beyond."""
    means = table.groupby(["n", "rho"])[value].mean()
    ends = table["rho"].min(), table["rho"].max()
    for spot in statistics.sweet_spots(table, value).itertuples():
        if spot.best not in ends:
            ax.plot(spot.best, means[spot.n, spot.best], "o", markersize=13, markerfacecolor="none", markeredgecolor="crimson", zorder=5)


def numbers(
    table: pd.DataFrame, value: str, rows: str = "rho", columns: str = "n", digits: int = 3, by: list[str] = statistics.CASE,
) -> str:
    """The numbers of a figure as text: the mean over seeds, ± half its 95 % interval, a table for each of `cases(table, by)`."""
    text = []
    for case in cases(table, by):
        found = statistics.summary(select(table, case), value, [rows, columns])
        found["shown"] = statistics.in_words(found, f".{digits}f")
        text.append(f"{title(case)}: {value}\n{found.pivot(index=rows, columns=columns, values='shown').fillna('-').to_string()}")
    return "\n\n".join(text)


def scatter(ax, table: pd.DataFrame, x: str, y: str, by: str) -> None:
    """A point a row, coloured and marked by `by`."""
    for group, colour, marker, label in looks(table, by):
        part = table[table[by] == group]
        ax.scatter(part[x], part[y], s=22, color=colour, marker=marker, alpha=0.7, linewidth=0, label=label)
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])
    ax.legend(title={"rho": "ρ", "n": "n"}[by], frameon=False)


def times_read(module: nn.Conv2d | nn.Linear, source: Tensor, target: Tensor) -> Tensor:
    """How many products of a live weight each entry of a layer's input goes into.

    source, target: bool [C, H, W] or [F], which entries of the layer's input and output are live (`live.needed`).
    """
    alive, target = (module.weight != 0).double(), target.double()
    if isinstance(module, nn.Linear):
        return (target @ alive).view(source.shape)
    geometry = (module.stride, module.padding, module.dilation)
    return torch.nn.grad.conv2d_input((1, *source.shape), alive, target[None], *geometry)[0].round()


def survivors(network: nn.Module, shape: tuple[int, int, int]):
    """What is left of a pruned Conv (`models.conv`), drawn from the pixels that it reads to its classes.

    Only live channels are drawn. A map shows how many products each of its positions goes into, kernels and classes
    show the weights themselves; a class's grey dots are the positions that it leaves to the others.
    """
    need = live.needed(network, shape)
    (first, conv1), (second, conv2), (_, linear) = ((n, m) for n, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    images, maps1, maps2 = next(iter(need.values())), need[first], need[second]  # bool [C, H, W]
    inputs, rows, columns = (maps.any((1, 2)).nonzero().flatten().tolist() for maps in (images, maps1, maps2))
    classes = linear.weight.detach().view(-1, *maps2.shape)
    kernels1, kernels2 = conv1.weight.detach()[rows][:, inputs], conv2.weight.detach()[columns][:, rows]
    read = times_read(conv1, images, maps1), times_read(conv2, maps1, maps2), (classes != 0).sum(0)
    most, values = max(int(each.max()) for each in read), torch.cat([each[each != 0] for each in (kernels1, kernels2, classes)])
    limit = float(values.abs().quantile(0.95))  # a few large weights would leave all others pale
    counts, signed = {"cmap": "cividis_r", "norm": LogNorm(1, max(most, 2))}, {"cmap": "RdBu", "norm": plt.Normalize(-limit, limit)}

    def panel(cell, picture: Tensor, look: dict, label: str = ""):
        ax = figure.add_subplot(cell, xticks=[], yticks=[])
        ax.imshow(np.ma.masked_equal(picture.numpy(), 0), interpolation="nearest", **look)
        ax.set_ylabel(label, fontsize="x-small", labelpad=3)
        return ax

    def kernel(cell, picture: Tensor):
        ax = panel(cell, picture, signed)
        for y, x in picture.nonzero().tolist():
            ink = "white" if picture[y, x].abs() > 0.7 * limit else "black"
            ax.text(x, y, f"{picture[y, x]:+.2f}".replace("-", "−"), ha="center", va="center", fontsize=6, color=ink)

    pairs = math.ceil(len(classes) / 2)
    figure = plt.figure(figsize=(14, 1.1 * max(len(rows), pairs) + 1.6))
    inch = 1 / figure.get_figheight()
    grid = figure.add_gridspec(1, 6, width_ratios=[2.6, len(inputs), 1.1, len(columns), 2.6, 2.3], wspace=0.25,
                               left=0.01, right=0.99, bottom=0.9 * inch, top=1 - 0.6 * inch)
    sizes = (1, 1), (len(rows), len(inputs)), (len(rows), 1), (len(rows), len(columns)), (len(columns), 1), (pairs, 2)
    cells = [part.subgridspec(*size, hspace=0.1, wspace=0.3) for part, size in zip(grid, sizes)]
    panel(cells[0][0, 0], read[0].sum(0), counts)
    for i, row in enumerate(rows):
        panel(cells[2][i, 0], read[1][row], counts, f"channel {row}")
        for j in range(len(inputs)):
            kernel(cells[1][i, j], kernels1[i, j])
        for j in range(len(columns)):
            kernel(cells[3][i, j], kernels2[j, i])
    for j, column in enumerate(columns):
        panel(cells[4][j, 0], read[2][column], counts, f"channel {column}")
    for i, weights in enumerate(classes):
        ax = panel(cells[5][i // 2, i % 2], torch.zeros(maps2.shape[1:]), signed, f"class {i}")
        others, own = (maps2 & (weights == 0)).nonzero().T, weights.nonzero().T
        ax.scatter(*others[[2, 1]], s=4, color="0.8", linewidth=0)
        ax.scatter(*own[[2, 1]], s=34, c=weights[tuple(own)], edgecolor="0.2", linewidth=0.7, **signed)
    heads = (
        f"image: {int(images.sum())} of\n{images.numel()} pixels", f"convolution 1:\n{int((kernels1 != 0).sum())} weights",
        f"{len(rows)} of {len(maps1)} channels,\n{int(maps1.sum())} positions", f"convolution 2:\n{int((kernels2 != 0).sum())} weights",
        f"{len(columns)} of {len(maps2)} channels,\n{int(maps2.sum())} positions",
        f"linear layer: {int((classes != 0).sum())} weights\nto {len(classes)} classes",
    )
    for part, head in zip(grid, heads):
        box, arrow = part.get_position(figure), "" if head == heads[-1] else " →"
        figure.text((box.x0 + box.x1) / 2, 1 - 0.1 * inch, head + arrow, ha="center", va="top", fontsize="small")
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 50, 100) if tick <= most]
    for left, look, label, given in (
        (0.01, counts, "products that a position goes into", {"ticks": ticks, "format": "%d"}),
        (0.78, signed, "weight", {"extend": "both"}),
    ):
        scale, ax = plt.cm.ScalarMappable(look["norm"], look["cmap"]), figure.add_axes([left, 0.6 * inch, 0.2, 0.12 * inch])
        bar = figure.colorbar(scale, ax, orientation="horizontal", **given)
        bar.minorticks_off()
        bar.set_label(label, fontsize="small")
    return figure


def unified(images: np.ndarray):
    """The unified CNN-LSTM (the paper's Figure 10), for a tuple of `images` [n, H, W], the most confident first."""
    n, figure = len(images), plt.figure(figsize=(9.6, 6.4))
    ax = figure.add_axes([0, 0, 1, 1], xlim=(0, 2.6 * n + 3.4), ylim=(0, 8.8))
    ax.axis("off")

    def box(x: float, y: float, text: str, colour, width: float = 1.9) -> None:
        ax.text(x, y, text, ha="center", va="center", fontsize=11, zorder=3)
        ax.add_patch(plt.Rectangle((x - width / 2, y - 0.42), width, 0.84, facecolor=(*colour, 0.35), edgecolor="0.25", zorder=2))

    def arrow(start: tuple, end: tuple, text: str = "") -> None:
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.25", "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0})
        ax.text((start[0] + end[0]) / 2 + 0.12, (start[1] + end[1]) / 2, text, va="center", fontsize=10)

    places = [1.5 + 2.6 * i for i in range(n)]
    levels = {"CNN": (2.5, PALETTE[1]), "Linear": (4.1, PALETTE[2]), "LSTM": (5.3, PALETTE[3]), "Linear ": (6.5, PALETTE[2])}
    middle = sum(places) / n
    for i, (x, image) in enumerate(zip(places, images), start=1):
        ax.imshow(image, cmap="gray_r", extent=(x - 0.6, x + 0.6, 0.3, 1.5), zorder=2, aspect="auto")
        ax.add_patch(plt.Rectangle((x - 0.6, 0.3), 1.2, 1.2, fill=False, edgecolor="0.25", zorder=3))
        heights = [1.5, *(height for height, _ in levels.values())]
        for name, (height, colour) in levels.items():
            box(x, height, name.strip(), colour)
        for low, high in zip(heights, heights[1:]):
            arrow((x, low + 0.42 * (low > 1.5)), (x, high - 0.42), f"embedding {i}" if high == 4.1 else "")
        arrow((x, 6.92), (middle + 0.55 * (i - (n + 1) / 2), 7.68))
    for left, right in zip(places, places[1:]):
        arrow((left + 0.95, 5.3), (right - 0.95, 5.3))
    box(middle, 8.1, "mean, then softmax", PALETTE[0], 3.4)
    arrow((middle + 1.7, 8.1), (middle + 2.9, 8.1))
    ax.text(middle + 3.0, 8.1, "the label\nthat all share", va="center", fontsize=11)
    side = places[-1] + 1.25
    told = {0.9: "a tuple, the image of\nwhich the CNN is\nsurest first", 2.5: "one CNN for all,\npruned, trained first,\nthen frozen",
            5.3: "one head for all,\npruned by itself"}
    for height, text in told.items():
        ax.text(side, height, text, va="center", fontsize=10, color="0.25")
    return figure


def extract(notebook: str, heading: str, target: str) -> None:
    """Write the first figure below a heading of an executed notebook to a PNG file, for the README."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    start = next(i for i, cell in enumerate(cells) if "".join(cell["source"]).startswith(heading))
    outputs = [output for cell in cells[start:] for output in cell.get("outputs", [])]
    picture = next(output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    Path(target).write_bytes(base64.b64decode(picture))


def shrink(*notebooks: str) -> None:
    """Give the figures in executed notebooks 256 colours each, which nobody sees and which makes them a third as large."""
    for notebook in map(Path, notebooks):
        content = json.loads(notebook.read_text())
        for output in (output for cell in content["cells"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})):
            whole, small = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))), io.BytesIO()
            if whole.mode != "P":  # not yet
                whole.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
                output["data"]["image/png"] = base64.encodebytes(small.getvalue()).decode()
        notebook.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":  # python -m sharedlabel.figures extract NOTEBOOK HEADING TARGET, or shrink NOTEBOOK...
    {"extract": extract, "shrink": shrink}[sys.argv[1]](*sys.argv[2:])

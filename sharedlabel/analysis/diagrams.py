"""Drawings of networks: what is left of a pruned Conv, and the unified CNN-LSTM."""
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import LogNorm
from torch import Tensor, nn

from sharedlabel import live
from sharedlabel.analysis.plots import PALETTE


def times_read(module: nn.Conv2d | nn.Linear, source: Tensor, target: Tensor) -> Tensor:
    """How many products of a live weight each entry of a layer's input goes into.

    source, target: bool [C, H, W] or [F], which entries of the layer's input and output are live (`live.live_activations`).
    """
    alive, target = (module.weight != 0).double(), target.double()
    if isinstance(module, nn.Linear):
        return (target @ alive).view(source.shape)
    geometry = (module.stride, module.padding, module.dilation)
    return torch.nn.grad.conv2d_input((1, *source.shape), alive, target[None], *geometry)[0].round()


def survivors(network: nn.Module, shape: tuple[int, int, int]):
    """What is left of a pruned Conv (`models.conv`), drawn from the pixels that it reads to its classes.

    From left to right, in two rows: image, kernels and channels of the first convolution, then of the second, and the classes.
    Only live channels are drawn. A map shows how many products each of its positions goes into, kernels and classes
    show the weights as colours; a class's grey dots are the positions that it leaves to the others.
    """
    need = live.live_activations(network, shape)
    (first, conv1), (second, conv2), (_, linear) = ((n, m) for n, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    images, maps1, maps2 = next(iter(need.values())), need[first], need[second]  # bool [C, H, W]
    inputs, rows, columns = (each.any((1, 2)).nonzero().flatten().tolist() for each in (images, maps1, maps2))
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

    pairs = math.ceil(len(classes) / 2)
    upper, lower = 0.9 * max(len(rows), 3), 0.9 * max(len(rows), pairs, 3)  # inches
    figure = plt.figure(figsize=(6.8, upper + lower + 2.2), dpi=120)
    inch = 1 / figure.get_figheight()
    grid = [*figure.add_gridspec(1, 3, width_ratios=[2.6, len(inputs), 1.1], wspace=0.25, left=0.01, right=0.99,
                                 bottom=1 - (0.6 + upper) * inch, top=1 - 0.6 * inch),
            *figure.add_gridspec(1, 3, width_ratios=[1.1 * len(columns), 2.6, 2.3], wspace=0.25, left=0.06, right=0.99,
                                 bottom=0.9 * inch, top=(0.9 + lower) * inch)]
    sizes = (1, 1), (len(rows), len(inputs)), (len(rows), 1), (len(rows), len(columns)), (len(columns), 1), (pairs, 2)
    cells = [part.subgridspec(*size, hspace=0.1, wspace=0.3) for part, size in zip(grid, sizes)]
    panel(cells[0][0, 0], read[0].sum(0), counts)
    for i, row in enumerate(rows):
        panel(cells[2][i, 0], read[1][row], counts, f"channel {row}")
        for j in range(len(inputs)):
            panel(cells[1][i, j], kernels1[i, j], signed)
        for j in range(len(columns)):
            panel(cells[3][i, j], kernels2[j, i], signed)
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
        figure.text((box.x0 + box.x1) / 2, box.y1 + 0.1 * inch, head + arrow, ha="center", va="bottom", fontsize="small")
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 50, 100) if tick <= most]
    for left, look, label, given in (
        (0.01, counts, "products that a position goes into", {"ticks": ticks, "format": "%d"}),
        (0.65, signed, "weight", {"extend": "both"}),
    ):
        scale, ax = plt.cm.ScalarMappable(look["norm"], look["cmap"]), figure.add_axes([left, 0.6 * inch, 0.33, 0.12 * inch])
        bar = figure.colorbar(scale, ax, orientation="horizontal", **given)
        bar.minorticks_off()
        bar.set_label(label, fontsize="small")
    return figure


def unified_cnn_lstm(images: np.ndarray):
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

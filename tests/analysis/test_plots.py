"""What figures promise beyond their looks: a name keeps its colour, and the picture of the survivors counts right."""
import base64
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import generator, labelled, pruned_networks
from hypothesis import assume, given
from matplotlib import pyplot as plt
from PIL import Image
from torch import nn

from sharedlabel import costs, live, models, pruning
from sharedlabel.analysis import diagrams, notebooks, plots

SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_pruner_looks_the_same_whichever_others_are_there():
    shown = ["synflow"], ["snip", "synflow", "random"]
    alone, among = (plots.curve_styles(pd.DataFrame({"pruning": names}), "pruning") for names in shown)
    assert alone == among[-1:]
    assert [label for *_, label in among] == ["random", "SNIP", "SynFlow"]


def test_a_method_keeps_its_colour_among_the_variants():
    alone, among = (plots.curve_styles(pd.DataFrame({by: plots.METHODS}), by) for by in ("method", "variant"))
    assert alone == among
    assert [colour for _, colour, _, _ in among] == [plots.COLOURS[method] for method in plots.METHODS]


def test_variants_by_hand():
    runs = [("baseline", None, None, None), ("graph", "neuron", None, 5), ("cnn_lstm", None, "baseline", 5),
            ("head_control", None, "balanced", 1), ("head_control", None, "balanced", 5)]
    found = plots.name_variants(pd.DataFrame(runs, columns=["method", "architecture", "cnn_method", "train_n"]))
    assert list(found) == ["baseline", "graph_neuron", "lstm_baseline", "head_per_image_balanced", "head_tuple_mean_balanced"]
    assert set(found) <= set(plots.VARIANTS) and set(plots.VARIANTS) <= set(plots.TITLES)


def test_a_panel_has_a_head_rho_in_its_title_and_all_panels_one_legend():
    cases = [("mnist", "conv", 3.75, 3.75), ("mnist", "conv", 3.75, 0.0)]
    figure, axes = plots.compact_grid(cases)
    for ax, labels in zip(axes, (("CNN-LSTM on balanced CNN",), ("CNN-LSTM on balanced CNN", "baseline"))):
        for label in labels:
            ax.plot([1, 2], label=label)
    plots.legend_below(figure)
    assert [ax.get_title() for ax in axes] == ["MNIST, Conv, ρ = 3.75, head ρ = 3.75", "MNIST, Conv, ρ = 3.75, head ρ = 0 (unpruned)"]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["baseline", "CNN-LSTM on balanced CNN"]


def test_a_legend_of_numbers_is_sorted():
    figure, [ax] = plots.compact_grid([("mnist", "conv")])
    for label in ("10", "2", "1.5"):
        ax.plot([1, 2], label=label)
    plots.legend_below(figure, "ρ")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1.5", "2", "10"]


def test_a_grid_begins_a_line_where_the_row_changes_and_where_it_is_full():
    drawn = [("mnist", "conv", 3.75, head_rho) for head_rho in (3.75, 2.0, 0.0)] + [("cifar10", "resnet18", 4.0, 0.0)]
    figure, axes = plots.panel_grid(drawn, size=(3, 2), apart=3)
    assert [ax.get_title() for ax in axes] == [plots.case_title(case) for case in drawn]
    assert [(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in axes] == [(0, 0), (0, 1), (1, 0), (2, 0)]
    assert figure.axes == axes  # places without a case are empty


def test_the_unified_architecture_has_a_network_for_every_image():
    words = [text.get_text() for text in diagrams.unified_cnn_lstm(torch.zeros(4, 8, 8).numpy()).axes[0].texts]
    assert (words.count("CNN"), words.count("LSTM"), words.count("Linear"), words.count("embedding 4")) == (4, 4, 8, 1)


def test_numbers_are_sorted_and_share_no_colour():
    found = plots.curve_styles(pd.DataFrame({"n": [25, 1, 80, 25]}), "n")
    assert [(value, label) for value, _, _, label in found] == [(1, "1"), (25, "25"), (80, "80")]
    assert len({colour for _, colour, _, _ in found}) == 3


def test_frame_takes_the_curves_and_not_their_intervals():
    ax = plt.figure().subplots()
    plots.fit_y_axis(ax)  # nothing to fit
    ax.plot([1, 2], [3, 4])
    ax.fill_between([1, 2], [-9, -9], [9, 9])
    plots.fit_y_axis(ax)
    assert ax.get_ylim() == pytest.approx((2.9, 4.1))


def test_a_logarithmic_axis_has_plain_numbers_however_far_it_reaches():
    for high, expected in ((4.0, ["0.5", "1", "2", "5"]), (4000.0, ["1", "10", "100", "1000"])):
        ax = plt.figure().subplots()
        ax.set_yscale("log")
        ax.plot([1, 2], [0.6, high])
        plots.fit_y_axis(ax)
        ax.figure.canvas.draw()
        low, top = ax.get_ylim()
        assert low < 0.6 < high < top
        assert [label.get_text() for label in ax.get_yticklabels() if low <= label.get_position()[1] <= top] == expected
        assert not any(label.get_text() for label in ax.get_yticklabels(minor=True))


@pytest.mark.parametrize(("scale", "drawn"), [("linear", [1.0, 2.0]), ("log", [1.0])])
def test_an_interval_that_reaches_below_zero_is_not_drawn_on_a_logarithmic_axis(scale, drawn):
    table = pd.DataFrame({"rho": [1.0, 1.0, 2.0, 2.0], "gain": [5.0, 5.1, 0.1, 9.0]})
    ax = plt.figure().subplots()
    ax.set_yscale(scale)
    plots.curve(ax, table, "rho", "gain", "rho", color="C0")
    corners = [corner for path in ax.collections[0].get_paths() for corner in path.vertices]
    assert sorted({x for x, _ in corners}) == drawn


def test_only_a_sweet_spot_inside_the_range_is_ringed():
    table = pd.DataFrame([
        {"rho": rho, "n": n, "seed": seed, "gain": value + seed / 100}
        for n, values in ((1, (1, 3, 2)), (2, (1, 2, 3))) for rho, value in zip((1.0, 2.0, 3.0), values) for seed in (0, 1)
    ])
    ax = plt.figure().subplots()
    plots.mark_sweet_spots(ax, table, "gain")
    assert [tuple(line.get_xydata()[0]) for line in ax.get_lines()] == [(2.0, pytest.approx(3.005))]


def test_times_read_by_hand():
    convolution = nn.Conv2d(1, 2, (1, 2), bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[[[-3.0, 2.0]]], [[[0.0, 5.0]]]]))
    source, target = torch.ones(1, 1, 3, dtype=torch.bool), torch.tensor([[[True, True]], [[False, True]]])
    assert diagrams.times_read(convolution, source, target).tolist() == [[[1, 2, 2]]]  # the last: from x = 1 by either channel


@given(case=pruned_networks())
def test_all_that_is_read_is_what_the_live_network_costs(case):
    """Where nothing is padded, a layer's live MACs are the reads of its input."""
    network, shape = case
    layers = [module for module in network if isinstance(module, (nn.Conv2d, nn.Linear))]
    assume(all(layer.padding == (0, 0) for layer in layers if isinstance(layer, nn.Conv2d)))
    need = live.live_activations(network, shape)
    inputs, outputs = list(need.values())[:-1], list(need.values())[1:]  # of every module, activations included
    read = sum(int(diagrams.times_read(module, *around).sum()) for module, *around in zip(network, inputs, outputs) if module in layers)
    assert read == costs.macs_live(pruning.masks(network), need)


def test_the_survivors_are_counted_as_pruning_left_them():
    network = models.build("conv", SHAPE, 10, generator())
    masks = pruning.prune(network, "synflow", 2.5, labelled(shape=SHAPE))
    need = live.live_activations(network, SHAPE)
    figure = diagrams.survivors(network, SHAPE)
    told = " ".join(text.get_text() for text in figure.texts)
    for mask in masks.values():
        assert f"{int(mask.sum())} weights" in told  # SynFlow leaves no weight that is dead
    for maps in (out for out in need.values() if out.dim() == 3 and len(out) == 32):
        assert f"{int(maps.any((1, 2)).sum())} of 32 channels,\n{int(maps.sum())} positions" in told
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert [f"class {i}" for i in range(10)] == [label for label in labels if label.startswith("class")]


def test_intervals_that_would_cover_everything_are_lines_side_by_side():
    runs = [("confidence", 2, 1.0), ("confidence", 2, 3.0), ("random", 2, 2.0), ("random", 2, 2.0)]
    figure, ax = plt.subplots()
    plots.curves(ax, pd.DataFrame(runs, columns=["order", "n", "per_cent"]), "n", "per_cent", by="order", along="n", bars=True)
    assert [list(line.get_xdata()) for line in ax.get_lines()] == [[2], [2]]
    (one, height), (other, _) = (line.get_transform().transform((2, 2)) for line in ax.get_lines())
    assert other - one == pytest.approx(figure.dpi / 20) and (one + other) / 2 == pytest.approx(ax.transData.transform((2, 2))[0])
    assert [bars.get_transform().transform((2, 2)).tolist() for bars in ax.collections] == [[one, height], [other, height]]
    assert ax.get_xlim()[0] < 2 < ax.get_xlim()[1]


def test_panels_with_other_curves_share_one_legend():
    table = pd.DataFrame([(n, trained, 50.0) for n in (1, 2) for trained in (2, 5, 40)], columns=["n", "train_n", "per_cent"])
    figure, (left, right) = plt.subplots(1, 2)
    for ax, part in ((left, table), (right, table[table["train_n"] != 5])):
        plots.curves(ax, part, "n", "per_cent", by="train_n", along="n", styles=plots.curve_styles(table, "train_n"))
    looks = [{line.get_label(): (line.get_marker(), tuple(line.get_color())) for line in ax.get_lines()} for ax in (left, right)]
    assert looks[1] == {label: look for label, look in looks[0].items() if label != "5"}


def test_an_interval_ends_at_what_is_possible():
    figure, ax = plt.subplots()
    runs = pd.DataFrame({"n": [1] * 3, "seed": range(3), "per_cent": [90.0, 99.0, 100.0]})
    plots.curve(ax, runs, "n", "per_cent", "n", color="k", marker="o", label="a")
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == 100


def test_no_two_variants_of_a_figure_look_alike():
    found = plots.curve_styles(pd.DataFrame({"variant": plots.VARIANTS}), "variant")
    assert len(found) == len(plots.VARIANTS)
    assert len({tuple(colour) for _, colour, _, _ in found}) == len({marker for _, _, marker, _ in found}) == len(found)


def test_an_executed_notebooks_figures_shrink_once_and_look_the_same(tmp_path):
    figure, ax = plt.subplots()
    for i in range(6):
        ax.fill_between([0, 1], [i, i + 1], [i + 2, i], alpha=0.3)
    content, file = io.BytesIO(), tmp_path / "notebook.ipynb"
    figure.savefig(content, format="png")
    outputs = [{"output_type": "display_data", "data": {"image/png": base64.encodebytes(content.getvalue()).decode(), "text/plain": "ρ"}}]
    cells = [{"source": ["# A"], "outputs": outputs}, {"source": ["text"]}]
    file.write_text(json.dumps({"cells": cells, "metadata": {"widgets": {"state": 1}}}))
    notebooks.shrink(str(file))
    once = file.read_text()
    notebooks.shrink(str(file))
    assert file.read_text() == once and once.endswith("\n") and "ρ" in once
    command = [sys.executable, notebooks.__file__, "extract", file, "# A", tmp_path / "picture.png"]
    subprocess.run(command, check=True)
    refused = subprocess.run(command[:-1], capture_output=True, text=True)
    assert refused.returncode == 2 and "extract takes a notebook, a heading and a target" in refused.stderr
    picture = tmp_path / "picture.png"
    assert picture.stat().st_size < 0.5 * len(content.getvalue())
    seen, drawn = (np.asarray(Image.open(each).convert("RGB")).astype(int) for each in (picture, content))
    assert np.abs(seen - drawn).mean() < 1 and (seen[drawn.min(2) == 255] == 255).all()  # white stays white


def shrink(figure: plt.Figure, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A figure's pixels [height, width, 3], as they are in a notebook after `notebooks.shrink` and as they were drawn."""
    content, file = io.BytesIO(), folder / "notebook.ipynb"
    figure.savefig(content, format="png")
    data = {"image/png": base64.encodebytes(content.getvalue()).decode()}
    file.write_text(json.dumps({"cells": [{"source": [], "outputs": [{"output_type": "display_data", "data": data}]}], "metadata": {}}))
    notebooks.shrink(str(file))
    [picture] = json.loads(file.read_text())["cells"][0]["outputs"]
    pictures = io.BytesIO(base64.b64decode(picture["data"]["image/png"])), content
    return tuple(np.asarray(Image.open(each).convert("RGB")).astype(int) for each in pictures)


def test_shrinking_keeps_the_colours_of_a_legend_beside_many_others(tmp_path):
    figure, ax = plt.subplots()
    x, y, stream = np.arange(200), np.arange(200) % 17, np.random.default_rng(0)
    for colour in plots.PALETTE:
        ax.scatter(stream.permutation(x), y, color=colour, alpha=0.5, s=12)
    ax.plot([], [], "o", color="#de8f05", markersize=4, label="balanced")
    ax.legend()
    seen, drawn = shrink(figure, tmp_path)
    marker = (drawn == (0xDE, 0x8F, 0x05)).all(2)
    assert marker.any() and np.abs(seen - drawn)[marker].max() < 12


def test_shrinking_keeps_faint_areas_apart(tmp_path):
    figure, (left, right) = plt.subplots(1, 2)
    for ax, colour in ((left, plots.PALETTE[0]), (right, plots.PALETTE[1])):
        ax.axhspan(0, 1, color=colour, alpha=0.08, linewidth=0)
    for place, colour in enumerate(plt.get_cmap("hsv")(np.linspace(0, 1, 120))):  # more colours than there is room for
        left.plot([0, 1], [0, place / 200], color=colour, linewidth=0.5)
    seen, drawn = shrink(figure, tmp_path)
    assert len({tuple(drawn[80, x]) for x in (100, 400)}) == 2 and (seen[80, [100, 400]] == drawn[80, [100, 400]]).all()


def test_an_alternative_text_says_where_each_curve_begins_and_ends_or_is_largest():
    figure, (left, right) = plt.subplots(1, 2)
    left.set_title("MNIST,\nConv")
    runs = pd.DataFrame({"n": [1, 5, 80], "n_accuracy": [0.5, 0.9, 0.75], "variant": "lda"})
    plots.curves(left, runs, "n", "n_accuracy", "variant", "n", bars=True, styles=[("lda", "k", "o", "LDA")])  # stands aside of others
    left.plot([1, 5, 80], [1, 1, 1])  # has no name
    left.axhline(0.1, label="guessing")
    left.plot([1, 2501.6], [0.25, 0.5], label="mean")
    right.set_title("FC")
    right.plot([1, 5, 80], [math.nan, 12.345, math.nan], label="n = 1")
    assert plots.describe_curves(figure) == "MNIST, Conv, LDA: 0.5 at 1, 0.75 at 80; mean: 0.25 at 1, 0.5 at 2502. FC, n = 1: 12.3 at 5."
    assert plots.describe_curves(figure, largest=True) == "MNIST, Conv, LDA: largest at 5; mean: largest at 2502. FC, n = 1: largest at 5."
    plt.close(figure)

"""What `notebooks/overview.ipynb` shows: the problem in pictures, the measures on one example, and the findings.

    python -m sharedlabel.analysis.overview      makes the example anew, from MNIST's test images and a committed checkpoint
"""
import argparse
import html
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from sharedlabel import ROOT, data, inference, metrics
from sharedlabel.analysis import choose, claims, intervals, plots, report, tables
from sharedlabel.runs import names, parameters

EXAMPLE = ROOT / "notebooks" / "images" / "tuple.json"  # and the images beside it, as a PNG
NETWORK = {"dataset": "mnist", "model": "conv", "pruner": "synflow", "rho": 3.5, "seed": 0}  # a baseline
LABEL, N = 9, 5  # of the tuple
RIGHT, WRONG = plots.PALETTE[0], plots.PALETTE[1]


def make_example() -> None:
    """Write the example: the first `N` test images of class `LABEL`, and the logits that the baseline `NETWORK` gives them."""
    record = names.record_path(parameters.identity("baseline", parameters.check("baseline", NETWORK)), "results")
    test_set = data.load(NETWORK["dataset"])[1]
    index = (test_set.labels == LABEL).nonzero().flatten()[:N]
    logits = inference.load(record).embed(test_set.pixels[index])
    Image.fromarray(np.hstack(test_set.pixels[index, 0].numpy())).save(EXAMPLE.with_suffix(".png"))
    content = {"record": record.stem, "label": LABEL, "test images": index.tolist(), "logits": logits.double().round(decimals=4).tolist()}
    EXAMPLE.write_text(json.dumps(content, indent=1) + "\n")


def load_example() -> tuple[np.ndarray, torch.Tensor]:
    """The images of the example, uint8 [N, 28, 28], and their logits [N, 10]."""
    images = np.stack(np.split(np.array(Image.open(EXAMPLE.with_suffix(".png"))), N, axis=1))
    return images, torch.tensor(json.loads(EXAMPLE.read_text())["logits"])


def draw_tuple() -> tuple[Figure, str]:
    """Every image of the example with its logits as bars below it, and the mean logits on the right; with alternative text."""
    images, logits = load_example()
    figure, axes = plt.subplots(2, N + 1, figsize=(6.8, 2.7), dpi=120, layout="constrained", height_ratios=[1, 1.3], sharey="row")
    for i, (top, below) in enumerate(axes.T):
        top.axis("off")
        values = logits.mean(0) if i == N else logits[i]
        named = int(values.argmax())
        if i == N:
            top.text(0.5, 0.5, "mean\nof the\nlogits", ha="center", va="center", transform=top.transAxes)
        else:
            top.imshow(images[i], cmap="gray_r", aspect="equal")
        colours = [(RIGHT if named == LABEL else WRONG) if label == named else "0.75" for label in range(10)]
        below.bar(range(10), values.tolist(), color=colours)
        below.set(xticks=range(0, 10, 2), yticks=[])
        below.set_title(f"says {named}", color=RIGHT if named == LABEL else WRONG, fontsize="medium")
        below.grid(False)
    alone = int((logits.argmax(1) == LABEL).sum())
    return figure, (
        f"Five handwritten {LABEL}s, each above a bar chart of its ten logits. By its largest logit the network names {alone} of the five "
        f"images correctly; the largest mean logit is that of {int(logits.mean(0).argmax())}."
    )


def sweep(results: str = "results") -> pd.DataFrame:
    """The baseline runs of Conv on MNIST, pruned by SynFlow, of random tuples: a row a rho, seed and n."""
    runs = tables.load_records(results)
    runs = runs[(runs["method"] == "baseline") & (runs["pruner"] == "synflow") & (runs["prune_iterations"] > 1)]
    runs = runs[(runs["dataset"] == "mnist") & (runs["model"] == "conv") & (runs["protocol"] == "random")]
    return tables.at_defaults(runs, ["batch_size", "initialisation", "max_epochs", "augment"]).astype({"n": int})


def draw_pruning(runs: pd.DataFrame) -> tuple[Figure | None, str]:
    """What rho does to a network: weights left and FLOPs of an image (left), n-accuracy at a few n (right), against rho."""
    if runs.empty:
        return None, ""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3), dpi=120, layout="constrained")
    costs = runs.groupby("rho")[["params_remaining", "macs_live_image"]].mean()
    left.plot(costs.index, costs["params_remaining"], "o-", color=plots.PALETTE[0], label="weights left")
    left.plot(costs.index, 2 * costs["macs_live_image"], "s-", color=plots.PALETTE[1], label="FLOPs of an image")
    left.set(yscale="log", xlabel="ρ", title="What is left")
    left.legend(frameon=False, loc="lower left")
    found = intervals.summary(runs.assign(per_cent=100 * runs["n_accuracy"]), "per_cent", ["n", "rho"])
    for n, colour, marker in zip((1, 5, 25), plots.PALETTE[2:], "oD^"):
        own = found[found["n"] == n]
        half = (own["high"] - own["mean"]).to_numpy()
        right.errorbar(own["rho"].to_numpy(), own["mean"].to_numpy(), half, color=colour, marker=marker, capsize=2, label=f"n = {n}")
    right.set(xlabel="ρ", ylabel="n-accuracy (%)", ylim=(0, 102), title="What it still names")
    right.legend(frameon=False, loc="lower left")
    last = found[found["n"] <= 25].sort_values(["rho", "n"]).iloc[-1]
    return figure, (
        f"Left: weights and FLOPs fall with rho on a logarithmic axis, to {costs['params_remaining'].iloc[-1]:.0f} weights at rho "
        f"{last['rho']:g}. Right: n-accuracy falls with rho, later for larger n; at rho {last['rho']:g} and n = {last['n']:g} it is "
        f"{last['mean']:.0f} per cent."
    )


def worked_example(runs: pd.DataFrame, rho: float = 3.5, ns: tuple[int, ...] = (1, 5, 25)) -> pd.DataFrame:
    """The paper's measures at one rho, means over seeds, a row an n: n-accuracy, information gain, relative information, cost."""
    own = runs[(runs["rho"] == rho) & runs["n"].isin(ns)]
    own = own.assign(gain_per_mflop=metrics.gain_per_mflop(own["information_gain"], own["macs_live"]))
    measured = ["n_accuracy", "information_gain", "relative_information", "macs_live", "gain_per_mflop"]
    found = own.groupby("n")[measured].mean().reset_index()
    return pd.DataFrame({
        "n": found["n"], "n-accuracy (%)": 100 * found["n_accuracy"],
        "information gain (bits)": found["information_gain"],
        "RI = IG·ρ/n": found["relative_information"],
        "FLOPs of the tuple": 2 * found["macs_live"], "bits per MFLOP": found["gain_per_mflop"],
    })


def show_scoreboard(board: pd.DataFrame, folder: str = "sections") -> None:
    """Display the paper's claims, and ours folded away, with verdict, cases, numbers, and links to the notebooks in `folder`."""
    paper, ours = scoreboard_table(board[~board["ours"]], folder), scoreboard_table(board[board["ours"]], folder)
    plain = board[["claim", "verdict", "cases", "estimate", "section"]].to_string(index=False)
    folded = f"<details><summary>{int(board['ours'].sum())} claims that the paper does not make</summary>{ours}</details>"
    display({"text/html": paper + folded, "text/plain": plain}, raw=True)


def scoreboard_table(board: pd.DataFrame, folder: str) -> str:
    """The claims as an HTML table, a row each."""
    rows = []
    for row in board.itertuples():
        verdict = f'<b style="color: {report.verdict_colour(row.verdict)}; white-space: nowrap">{row.verdict}</b>'
        link = f'<a href="{folder}/{row.section}.ipynb#{report.anchor(row.id)}">{claims.SECTIONS[row.section].title}</a>'
        cells = [html.escape(claims.capitalise(row.claim)), verdict, html.escape(row.cases), html.escape(row.estimate), link]
        rows.append("<tr>" + "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells) + "</tr>")
    columns = ("claim", "verdict", "case by case", "range of our estimates (of the failing cases, if any)", "decided in")
    head = "".join(f'<th style="text-align: left">{column}</th>' for column in columns)
    return f'<div style="overflow-x: auto"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def count_spots(claim: pd.Series) -> str:
    """The cases of a claim that there is a sweet spot, in words; a row of `claims.scoreboard`."""
    cases = claim["hold"] + claim["fail"] + claim["open"]
    return f"one in {claim['hold']} of {cases} cases, none in {claim['fail']}, open in {claim['open']}"


def count_own(claim: pd.Series, yes: str = "better", no: str = "worse") -> str:
    """The cases of a claim that a difference lies above zero, either way by the same rule; a row of `claims.scoreboard`."""
    cases = claim["hold"] + claim["fail"] + claim["open"]
    return f"{yes} in {claim['hold']} of {cases} cases, {no} in {claim['against']}, each by its own interval"


def surprises(board: pd.DataFrame, found: pd.DataFrame) -> str:
    """What surprised us, in plain sentences with the numbers of the scoreboard (`claims.scoreboard`) and of `choose.configurations`."""
    board, small = board.set_index("id"), choose.cheapest(found, "mnist", 0.98)
    controls = board.loc[["sharing-adds", "lstm-beats-head"]]
    often, (tuples, single) = "hardly ever" if controls["hold"].any() else "never", (count_own(row) for _, row in controls.iterrows())
    return "\n".join((
        f"1. In the mean over n, reading the images together by an LSTM was {often} surely better than the same head on each image alone. "
        f"Against one trained on the same tuples it is {tuples}; against one trained on single images {single}. Set heads, too, are hardly "
        "ever ahead of the latter.",
        "2. The sweet spot belongs to the measure. By n/ρ the paper's networks and n have "
        f"{count_spots(board.loc['sweet-spot'])}; by FLOPs these and ours have {count_spots(board.loc['sweet-spot-flops'])}.",
        "3. Averaging more images does not always help. For large n a class is named by its mean output; a class that loses there is "
        "lost, however many images come.",
        f"4. Training for the tuple is worth it on most networks at large n ({count_own(board.loc['balanced-large-n'])}). On FC "
        "and ResNet-18 its batches, with equally many images of every class, do nearly all of it: that its loss adds to these is "
        f"{count_own(board.loc['loss-not-batches'], 'sure', 'refuted')}.",
        *([] if small is None else [f"5. Very little is enough. {describe_small(small)}"]),
    ))


def describe_small(small: pd.Series) -> str:
    """What a row of `choose.configurations` of MNIST costs and names, a sentence."""
    linear = {"lda": "A linear classifier (LDA)", "linear": "A linear classifier (logistic regression)"}.get(small["model"])
    named = f"{linear} on means of {small['pool']:g} × {small['pool']:g} pixels" if linear else claims.capitalise(choose.describe(small))
    images = "one digit" if small["n"] == 1 else f"{small['n']} digits"
    return (f"{named}, {small['weights']:,.0f} weights, names {images} of one class with {100 * small['mean']:.0f} % n-accuracy for "
            f"{2 * small['macs']:,.0f} FLOPs.")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    make_example()

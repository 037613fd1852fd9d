"""Figures of the law of large tuples; each function returns a figure and its alternative text."""
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.patches import Ellipse

from sharedlabel.analysis import beyond_law, plots
from sharedlabel.analysis.report import VERDICT_COLOURS
from sharedlabel.moments import ClassMoments
from sharedlabel.runs import names

ELLIPSE_N = (1, 5, 40)
SPOT_N = (1, 5, 25)


def data_sets(runs: pd.DataFrame) -> list[str]:
    """The data sets of these runs in their usual order."""
    return sorted(set(runs["dataset"]), key=plots.place_of)


def draw_scatter(runs: pd.DataFrame):
    """Measured n-accuracy against the law's, a point a run and n: small n on the left, large n on the right."""
    if runs.empty:
        return None, ""
    split = {"n = 1 and 2": runs["n"] <= 2, f"n ≥ {beyond_law.LARGE_N}": runs["n"] >= beyond_law.LARGE_N}
    figure, axes = plots.panel_row(list(split), 3.8)
    for ax, chosen in zip(axes, split.values()):
        for dataset, colour in zip(data_sets(runs), plots.PALETTE):
            part = runs[chosen & (runs["dataset"] == dataset)]
            label = plots.TITLES[dataset]
            ax.scatter(part["predicted_training"], part["accuracy"], s=7, alpha=0.45, color=colour, label=label, linewidths=0)
        ax.plot([0, 100], [0, 100], color="0.3", linewidth=1)
        ax.set(xlabel="predicted (%)", xlim=(0, 101), ylim=(0, 101))
    axes[0].set_ylabel("measured n-accuracy (%)")
    plots.legend_below(figure, markerscale=3)
    errors = {title: runs.loc[chosen, "error_training"].abs() for title, chosen in split.items() if chosen.any()}
    within = [f"{title}, half of them within {error.median():.1f} points, 95 per cent within {error.quantile(0.95):.1f}"
              for title, error in errors.items()]
    return figure, f"Measured against predicted n-accuracy, a point a run and n, along the diagonal: {'; '.join(within)}."


def draw_errors(runs: pd.DataFrame):
    """Mean |predicted - measured| against n of the runs at every n, a panel a data set, a curve for each kind of prediction."""
    runs = beyond_law.at_every_n(runs)
    datasets = data_sets(runs)
    if not datasets:
        return None, ""
    figure, axes = plots.panel_row([plots.TITLES[name] for name in datasets], 3.6)
    styles = zip(beyond_law.PREDICTIONS.items(), plots.PALETTE, plots.MARKERS)
    for (name, label), colour, marker in styles:
        for ax, dataset in zip(axes, datasets):
            sizes = runs[runs["dataset"] == dataset].groupby("n")[f"error_{name}"].agg(lambda error: error.abs().mean()).dropna()
            ax.plot(sizes.index, sizes, color=colour, marker=marker, markersize=4, label=label)
            plots.n_axis(ax)
    axes[0].set(ylabel="mean absolute error (points)", ylim=(0, None))
    plots.legend_below(figure, columns=2)
    return figure, f"Mean absolute error of the predictions in points against n. {plots.describe_curves(figure)}"


def draw_saturation(runs: pd.DataFrame, rows: list[tuple]):
    """n-accuracy of the baseline on some networks (data set, model, rho): points measured, lines predicted, dashed the limit; 3 seeds."""
    chosen = beyond_law.usual(runs)[lambda table: table["method"] == "baseline"]
    rows = [row for row in rows if len(plots.select_case(chosen, row))]
    if not rows:
        return None, ""
    figure, axes = plots.panel_row([plots.case_title(row) for row in rows], 3.8)
    for ax, row in zip(axes, rows):
        part = plots.select_case(chosen, row)
        for place, ((seed, own), colour) in enumerate(zip(list(part.groupby("seed"))[:3], plots.PALETTE)):
            own = own.sort_values("n")
            ax.plot(own["n"], own["predicted_training"], color=colour, label=f"seed {seed:g}")
            ax.plot(own["n"], own["accuracy"], "o", color=colour, markersize=5)
            ax.axhline(own["limit"].iloc[0], color=colour, linestyle=(4 * place, (4, 8)), linewidth=1.6)  # equal limits take turns
        ax.set_ylim(0, 103)
        plots.n_axis(ax)
    axes[0].set_ylabel("n-accuracy (%)")
    told = plots.describe_curves(figure)
    for look, label in (("o", "measured"), ("-", "predicted"), ("--", "limit")):
        axes[0].plot([], [], look, color="0.4", label=label)
    plots.legend_below(figure, columns=3)
    return figure, (
        "n-accuracy against n of three seeds: points measured, curves predicted, dashed lines the limit. The predictions: "
        f"{told}"
    )


def draw_sweet_spots(runs: pd.DataFrame):
    """Relative information against rho, as a share of the largest measured: markers measured, lines predicted; a panel a network."""
    chosen = beyond_law.relative_information(runs)
    networks = plots.cases(chosen)[:3]
    if not networks:
        return None, ""
    figure, axes = plots.panel_row([plots.case_title(case) for case in networks], 3.6)
    for ax, case in zip(axes, networks):
        part = plots.select_case(chosen, case)
        for n, colour, marker in zip(SPOT_N, plots.PALETTE, plots.MARKERS):
            means = part[part["n"] == n].groupby("rho")[["relative_information", "predicted_relative"]].mean()
            means = means / means["relative_information"].max()
            ax.plot(means.index, means["predicted_relative"], color=colour)
            ax.plot(means.index, means["relative_information"], marker, color=colour, markersize=6, label=f"n = {n}")
        ax.set(xlabel="ρ", ylim=(0, 1.1))
    axes[0].set_ylabel("share of the best")
    plots.legend_below(figure)
    return figure, (
        "Relative information against ρ as a share of the largest measured: lines predicted, markers measured. Measured: "
        f"{plots.describe_curves(figure, largest=True)}"
    )


def read_example(results: str | Path = "results") -> dict[str, ClassMoments]:
    """The class moments of the worked example by method; {} where its file is missing."""
    file = names.results_folder(results) / "tables" / "law_example.csv"
    if not file.exists():
        return {}
    found = {}
    for method, part in pd.read_csv(file).groupby("method", sort=False):
        means = torch.tensor((part["entry"] == "mean").to_numpy(copy=True))
        values = torch.tensor(part.drop(columns=["method", "label", "entry"]).to_numpy(copy=True))
        mean, rest = values[means], values[~means]
        found[method] = ClassMoments(mean, rest.view(len(mean), -1, mean.shape[1]), torch.full((len(mean),), 1000))
    return found


def leading_discriminants(moments: ClassMoments) -> torch.Tensor:
    """The two directions [d, 2] along which class means are farthest apart, in units of the spread within classes."""
    within = moments.pooled_covariance
    within = within + 1e-3 * within.trace() / len(within) * torch.eye(len(within), dtype=within.dtype)
    values, vectors = torch.linalg.eigh(within)
    whiten = vectors / values.sqrt()
    centred = (moments.mean - moments.mean.mean(0)) @ whiten
    return whiten @ torch.linalg.svd(centred).Vh[:2].T


def draw_means(moments: ClassMoments):
    """Ten class means in the plane of the two leading discriminants, with the ellipse that holds half of the mean outputs of n images."""
    plane = leading_discriminants(moments)
    points, winners = moments.mean @ plane, moments.mean.argmax(1)
    figure, axes = plots.panel_row([f"n = {n}" for n in ELLIPSE_N], 3.2)
    radius = np.sqrt(2 * np.log(2))  # in a plane, half of a normal distribution lies within it
    for ax, n in zip(axes, ELLIPSE_N):
        for label, point in enumerate(points):
            values, vectors = torch.linalg.eigh(plane.T @ moments.covariance[label] @ plane / n)
            own = int(winners[label]) == label
            colour = VERDICT_COLOURS["holds" if own else "fails"]
            size = 2 * radius * values.clamp(min=0).sqrt()
            angle = float(torch.rad2deg(torch.atan2(vectors[1, 1], vectors[0, 1])))
            ax.add_patch(Ellipse(point.tolist(), float(size[1]), float(size[0]), angle=angle, color=colour, alpha=0.25))
            text = str(label) if own else f"{label}→{int(winners[label])}"
            towards = "center" if own else "right" if point[0] > points[:, 0].mean() else "left"  # longer: away from the border
            ax.annotate(text, point.tolist(), ha=towards, va="center", fontsize="small", fontweight="bold", color=colour)
        spread = points.max(0).values - points.min(0).values
        low, high = points.min(0).values - 0.15 * spread, points.max(0).values + 0.15 * spread
        ax.set(xlabel="discriminant 1", xlim=(float(low[0]), float(high[0])), ylim=(float(low[1]), float(high[1])))
    axes[0].set_ylabel("discriminant 2")
    named = [f"{label} is taken for {int(winner)}" for label, winner in enumerate(winners) if int(winner) != label]
    return figure, (
        "Class means of ten digits in the plane of two discriminants, with ellipses that shrink as n grows from 1 to 40. "
        f"By the largest mean logit {', '.join(named) or 'every class is named correctly'}."
    )


def tabulate_means(found: dict[str, ClassMoments]) -> pd.DataFrame:
    """By how much each class's own mean logit exceeds the largest of the others, by method, and which class wins where it does not."""
    columns = {"class": range(len(next(iter(found.values())).mean))} if found else {}
    for method, moments in found.items():
        own, rivals = moments.mean.diagonal(), moments.mean.clone()
        rivals.fill_diagonal_(-torch.inf)
        lead, winner = own - rivals.max(1).values, moments.mean.argmax(1)
        columns[beyond_law.METHOD_TITLES[method]] = [
            f"{value:+.2f}" + (f" ({w} wins)" if value < 0 else "") for value, w in zip(lead.tolist(), winner.tolist())
        ]
    return pd.DataFrame(columns)

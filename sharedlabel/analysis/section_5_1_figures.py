"""The figures of section 5.1, each with its alternative text; without a curve to draw the figure is None."""
import pandas as pd
from matplotlib.figure import Figure

from sharedlabel.analysis import intervals, plots, section_5_1, section_5_1_claims

CURVES = 6  # of rho in a figure
COSTS = {"relative_information": "by n/ρ, the paper's cost", "gain_per_mflop": "by FLOPs"}
LABELS = plots.LABELS | {  # no longer than the axes of a small panel
    "relative_information": "IG·ρ/n (bits)", "gain_per_mflop": "bits per MFLOP", "information_gain": "IG (bits)",
    "flops": "FLOPs of the tuple", "rho": "ρ",
}


def draw_curves(ax, part: pd.DataFrame, styles: list[tuple], x: str, y: str, by: str, along: str) -> None:
    """`plots.curves` with labels that fit a small panel."""
    plots.curves(ax, part, x, y, by, along, styles=styles)
    ax.set(xlabel=LABELS[x], ylabel=LABELS[y])
    plots.fit_y_axis(ax)


def add_doubt(ax, doubt: str | None) -> None:
    """Below a panel's title, why nobody can tell of its network."""
    if doubt:
        ax.set_title(f"{ax.get_title()}\n({doubt})", fontsize="small")


def few_rhos(found: pd.DataFrame) -> pd.DataFrame:
    """The runs at few enough rho to be told apart: at all, if these are CURVES at most; else at whole ones and each network's largest."""
    largest = found.groupby(intervals.CASE)["rho"].transform("max")
    return found if found["rho"].nunique() <= CURVES else found[(found["rho"] % 1 == 0) | (found["rho"] == largest)]


def draw_networks(runs: pd.DataFrame, x: str, y: str, by: str = "rho", along: str = "n") -> tuple[Figure | None, str]:
    """A panel a network: y against x (logarithmic), a curve for each `by`, a point for each `along`."""
    found = section_5_1.curve_runs(runs)
    found = found[found["n"].isin(section_5_1.SHOWN_N)] if by == "n" else few_rhos(found)
    if found.empty:
        return None, ""
    cases, long, doubts = plots.cases(found), LABELS | plots.LABELS, section_5_1.inconclusive(runs)
    text = [f"{long[y]} against {long[x]}, a panel a network, a curve a {long[by]}"]
    figure, axes = plots.compact_grid(cases)
    for ax, case in zip(axes, cases):
        part = plots.select_case(found, case)
        ax.set_xscale("log")
        draw_curves(ax, part, plots.curve_styles(found, by), x, y, by, along)
        add_doubt(ax, doubts.get(plots.case_title(case)))
        if x == "n":
            ax.set_xticks(section_5_1.SHOWN_N, section_5_1.SHOWN_N)
            ax.minorticks_off()
        for value, curve in part.groupby([by, along])[y].mean().unstack().iloc[[0, -1]].iterrows():
            text.append(f"{plots.case_title(case)}, {LABELS[by]} = {value:g}: from {curve.iloc[0]:.3g} on the left to {curve.iloc[-1]:.3g}")
    some = " (some; all are in the tables)" if found["rho"].nunique() < runs["rho"].nunique() else ""
    plots.legend_below(figure, LABELS[by] + some if by == "rho" else by)
    return figure, ". ".join(text) + "."


def paper_network_first(runs: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The network of the paper's Figures 1 to 7, or the first one where that was not run, and all others."""
    found = list(section_5_1.networks(runs))
    first = plots.case_title(next(iter(section_5_1.PAPER_FIGURES)))
    head = [first] if first in found else found[:1]
    return head, [title for title in found if title not in head]


def draw_sweet_spots(runs: pd.DataFrame, titles: list[str]) -> tuple[Figure | None, str]:
    """A row of two panels a network of `titles`: relative information and information per FLOP against rho, a curve for some n.

    A ring marks the best rho of an n where it lies inside the measured range, but not on networks of which nobody can tell. Both
    values are on logarithmic axes.
    """
    doubts = section_5_1.inconclusive(runs)
    parts = [part[part["n"].isin(section_5_1.SHOWN_N)] for title, part in section_5_1.networks(runs).items() if title in titles]
    if not parts:
        return None, ""
    panels = [(part, value) for part in parts for value in COSTS]
    figure, axes = plots.compact_grid([plots.cases(part)[0] for part, _ in panels], size=(3.4, 3.3), apart=2)
    styles = plots.curve_styles(pd.concat(parts), "n")
    for ax, (part, value) in zip(axes, panels):
        doubt = doubts.get(ax.get_title())
        ax.set(yscale="log", title=f"{ax.get_title()}\n{COSTS[value]}")
        draw_curves(ax, part, styles, "rho", value, "n", "rho")
        add_doubt(ax, doubt)
        if not doubt:
            plots.mark_sweet_spots(ax, part, value)
    plots.legend_below(figure, "n")
    return figure, describe_sweet_spots(runs, titles)


def describe_sweet_spots(runs: pd.DataFrame, titles: list[str]) -> str:
    """The alternative text of `draw_sweet_spots`: where each network's curves have their maxima."""
    text = ["Relative information and bits per million FLOPs against ρ, on logarithmic axes, a curve for each n"]
    doubts = section_5_1.inconclusive(runs)
    for value, cost in COSTS.items():
        spots = section_5_1.summarise_sweet_spots(runs, value)
        for title in titles:
            if title in doubts:
                text.append(f"{title}, {cost}: no ring ({doubts[title]})")
                continue
            own = spots[spots["network"] == title]
            (first, *_, last), inside = list(own.itertuples()), (own["inside"] >= section_5_1.SURE).sum()
            text.append(f"{title}, {cost}: the maximum is at ρ = {first.best:g} for n = {first.n}, at ρ = {last.best:g} for n = {last.n}, "
                        f"surely inside the range at {inside} of {len(own)} n")
    return ". ".join(text) + "."


def draw_correlation(runs: pd.DataFrame) -> tuple[Figure | None, str]:
    """A row of two panels a network: information gain against n-accuracy, a point a run and n, at the lower and the upper rho."""
    panels = [(network, *half) for network, part in section_5_1.networks(runs).items() for half in section_5_1_claims.halves(part).items()]
    doubts = section_5_1.inconclusive(runs)
    if not panels:
        return None, ""
    figure, axes = plots.compact_grid([plots.cases(half)[0] for *_, half in panels], apart=2)
    for ax, (network, name, half) in zip(axes, panels):
        for (rho, own), colour, marker in zip(half.groupby("rho"), plots.PALETTE, plots.MARKERS):
            points = own["per_cent"], own["information_gain"]
            ax.scatter(*points, s=22, color=colour, marker=marker, alpha=0.6, linewidth=0, label=f"ρ = {rho:g}")
        ax.set(title=f"{network}, {name.partition(' (')[0]}", xlabel=LABELS["per_cent"], ylabel=LABELS["information_gain"])
        ax.legend(loc="lower right", markerscale=1.4, handletextpad=0.1)
        add_doubt(ax, doubts.get(network))
    rows = section_5_1_claims.claim_accuracy_information(runs, paper_alone=False).dropna(subset="estimate")
    text = "Information gain against n-accuracy, a point a run and n; the lesser of Pearson's and Spearman's correlation is "
    return figure, text + "; ".join(f"{row.estimate:.2f} for {row.case}" for row in rows.itertuples()) + "."

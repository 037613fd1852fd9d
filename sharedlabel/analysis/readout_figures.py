"""Figures of the readouts; each function returns a figure and its alternative text."""
import numpy as np
import pandas as pd

from sharedlabel.analysis import intervals, plots, readout, readout_tables
from sharedlabel.analysis.comparisons import pair_up

LADDER_N = (2, 5, 40)
IN_TABLES_ONLY = ("vote", "prior", "bias", "deep_sets_alone", "attention", "attention_alone")  # as dear as another
CURVES = ("averaged", "lda", "mlp32", "deep_sets", "head", "lstm")


def rung_styles() -> dict[str, tuple]:
    """Colour and marker of every rung that is drawn, the same in every figure."""
    drawn = [rung for rung in readout.RUNGS if rung not in IN_TABLES_ONLY]
    return {rung: (colour, marker) for rung, colour, marker in zip(drawn, plots.PALETTE, plots.MARKERS, strict=True)}


def spread(costs: pd.Series) -> pd.Series:
    """Costs of which those that are nearly the same lie beside each other on a logarithmic axis, so that no mark covers another."""
    alike = costs.groupby(np.log10(costs).round(1))
    return costs * 1.12 ** (alike.cumcount() - (alike.transform("size") - 1) / 2)


def draw_ladder(runs: pd.DataFrame, case: tuple, cost: str = "weights"):
    """n-accuracy of every rung on one CNN (ROW and cnn_method) against its `cost`, a panel an n; hollow: the paper's rows."""
    part = readout.select_ladder(runs, case)
    if part.empty:
        return None, ""
    figure, axes = plots.panel_row([f"n = {n}" for n in LADDER_N], 5)
    paper = readout_tables.paper_rows()[lambda table: (table["dataset"] == case[0]) & (table["model"] == case[1])]
    for ax, n in zip(axes, LADDER_N):
        found = intervals.summary(part[part["n"] == n], "accuracy", ["rung"]).set_index("rung")
        costs = spread(part[part["n"] == n].groupby("rung")[cost].mean().reindex(list(rung_styles())).dropna())
        for rung, (colour, marker) in rung_styles().items():
            if rung in found.index:
                row = found.loc[rung]
                bar = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]] if np.isfinite(row["low"]) else None
                how = {"marker": marker, "color": colour, "label": readout.RUNGS[rung], "linestyle": "", "markersize": 7}
                ax.errorbar(costs[rung], row["mean"], bar, **how)
        if cost == "weights":
            for row, name, marker in zip(paper.itertuples(), readout_tables.paper_names(paper), "*Pd"):
                how = {"color": "0.25", "markersize": 9, "markerfacecolor": "white", "linestyle": "", "label": f"paper: {name}"}
                ax.plot(row.params_remaining, getattr(row, f"n{n}"), marker, **how)
        ax.set(xscale="log", xlabel="weights" if cost == "weights" else "MACs of an image", ylim=(0, 103))
    axes[0].set_ylabel("n-accuracy (%)")
    plots.legend_below(figure, columns=2)
    means = part[part["n"].isin(LADDER_N)].groupby(["rung", "n"])["accuracy"].mean().unstack()
    means = means.reindex(list(rung_styles())).dropna(how="all")
    each = [f"{readout.RUNGS[rung]} {', '.join(f'{value:.0f}' for value in row)}" for rung, row in zip(means.index, means.to_numpy())]
    sizes = " and ".join(map(str, means.columns))
    return figure, f"n-accuracy against {axes[0].get_xlabel()} on {plots.case_title(case[:3])}, per cent at n = {sizes}: {'; '.join(each)}."


def draw_curves(runs: pd.DataFrame, cases: list[tuple]):
    """n-accuracy against n on some CNNs (ROW and cnn_method), a curve a rung; of the CNN-LSTM the heads trained for each n."""
    drawn = []
    for case in cases:
        part = readout.on_cnn(runs, case)
        drawn += [(case, part)] if len(part) else []
    if not drawn:
        return None, ""
    figure, axes = plots.panel_row([plots.case_title(case[:3]) for case, _ in drawn], 4)
    for ax, (_, part) in zip(axes, drawn):
        for rung in CURVES:
            colour, marker = rung_styles()[rung]
            if (part["rung"] == rung).any():
                plots.curve(ax, part[part["rung"] == rung], "n", "accuracy", "n", color=colour, marker=marker, label=readout.RUNGS[rung])
        ax.set_ylim(0, 103)
        plots.n_axis(ax)
    axes[0].set_ylabel("n-accuracy (%)")
    plots.legend_below(figure, columns=3)
    return figure, f"n-accuracy against n by readout, a panel a CNN, with 95 per cent bands over seeds. {plots.describe_curves(figure)}"


def draw_offsets(runs: pd.DataFrame, cases: list[tuple]):
    """What is averaged minus averaged logits of the baseline's CNN against n, in pairs by seed, on some networks (ROW), and so balanced
    training."""
    found = readout.beside_balanced(runs)
    cases = [case for case in cases if (plots.select_case(found, case)["rung"] == "bias").any()]
    if not cases:
        return None, ""
    figure, axes = plots.compact_grid(cases)
    for ax, case in zip(axes, cases):
        part = plots.select_case(found, case)
        for (rung, label), colour, marker in zip(readout.OFFSETS.items(), plots.PALETTE, plots.MARKERS):
            pairs = pair_up(*(part[part["rung"] == each] for each in (rung, "averaged")), ["seed", "n"], "accuracy")
            if rung in ("prior", "bias", "balanced") and len(pairs):
                plots.curve(ax, pairs, "n", "difference", "n", color=colour, marker=marker, label=label)
        ax.axhline(0, color="0.4", linewidth=1)
        ax.set_ylabel("minus averaged (points)" if ax.get_subplotspec().is_first_col() else "")
        plots.fit_y_axis(ax, bands=True)
        plots.n_axis(ax)
    plots.legend_below(figure, columns=3)
    said = "n-accuracy minus that of averaged logits against n, in points, a panel a network, with 95 per cent bands over pairs by seed."
    return figure, f"{said} {plots.describe_curves(figure)}"


def draw_needed(found: pd.DataFrame):
    """Images needed for 95 % against rho, a panel a network: markers measured, lines predicted by the law; medians over seeds."""
    networks = plots.cases(found)[:3]
    if not networks:
        return None, ""
    figure, axes = plots.panel_row([plots.case_title(case) for case in networks], 3.6)
    for ax, case in zip(axes, networks):
        part = plots.select_case(found, case)
        for rung in ("averaged", "lda"):
            colour, marker = rung_styles()[rung]
            medians = part[part["rung"] == rung].groupby("rho")[["measured", "predicted"]].median().replace(np.inf, np.nan)
            ax.plot(medians.index, medians["predicted"], color=colour)
            ax.plot(medians.index, medians["measured"], marker, color=colour, label=readout.RUNGS[rung])
        ax.set(xlabel="ρ", yscale="log", ylim=(0.9, 90))
        ax.set_yticks([1, 2, 5, 10, 20, 40, 80], labels=["1", "2", "5", "10", "20", "40", "80"])
        ax.minorticks_off()
    axes[0].set_ylabel("images needed for 95 %")
    plots.legend_below(figure)
    return figure, (
        f"Images needed for an n-accuracy of 95 per cent against ρ: markers measured, lines predicted. {plots.describe_curves(figure)}"
    )

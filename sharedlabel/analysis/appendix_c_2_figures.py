"""The figures of appendix C.2, each with its alternative text, and the network whose survivors are drawn."""
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sharedlabel import choices, costs, live, models
from sharedlabel.analysis import appendix_c_2, diagrams, intervals, plots, tables
from sharedlabel.pruning import masks
from sharedlabel.runs import checkpoints, names, parameters


def panels(found: pd.DataFrame) -> list[tuple]:
    """(case, n, its rows) of every panel: a line a network, a panel for each n that is compared."""
    return [(case, n, plots.select_case(found[found["n"] == n], case)) for case in plots.cases(found) for n in appendix_c_2.SIZES]


def draw_accuracy(runs: pd.DataFrame) -> tuple[Figure | None, str]:
    """n-accuracy against rho, a curve for each pruner in 100 rounds, of the runs that did not collapse; the dotted line is guessing.

    A cross on it: every run of a pruner collapsed.
    """
    found = appendix_c_2.measured(runs).assign(per_cent=lambda table: 100 * table["n_accuracy"])
    found, guessing = found[found["pruning"].isin(choices.PAPER_PRUNERS)], 100 * appendix_c_2.guessing(runs)
    if found.empty:
        return None, ""
    drawn, text = panels(found), ["n-accuracy against ρ, a curve for each pruner in 100 rounds; a cross: every run collapsed"]
    lost = runs.groupby([*intervals.CASE, "pruning", "rho"])["collapsed"].all().reset_index().query("collapsed")
    styles = plots.curve_styles(runs[runs["pruning"].isin(choices.PAPER_PRUNERS)], "pruning")
    figure, axes = plots.compact_grid([case for case, *_ in drawn], apart=2)
    for ax, (case, n, part) in zip(axes, drawn):
        plots.curves(ax, part, "rho", "per_cent", by="pruning", along="rho", styles=styles)
        ax.axhline(guessing[case[0]], color="0.4", linestyle=":", linewidth=1)
        for place, (pruning, colour, _, label) in enumerate(styles):  # side by side
            at = tables.select(plots.select_case(lost, case), pruning=pruning)["rho"] + 0.05 * (place - (len(styles) - 1) / 2)
            label = None if pruning in set(found["pruning"]) else label  # of the curve, where there is one
            ax.plot(at, [guessing[case[0]]] * len(at), "x", color=colour, label=label, markersize=7, markeredgewidth=2)
        ax.set(title=f"{plots.case_title(case)}, n = {n}", ylim=(0, 103), xlabel="ρ")
        for pruning, means in part.groupby(["pruning", "rho"])["per_cent"].mean().groupby("pruning"):
            ends = [f"{value:.0f} % at ρ = {rho:g}" for (_, rho), value in means.iloc[[0, -1]].items()]
            text.append(f"{plots.case_title(case)}, n = {n}, {plots.TITLES[pruning]}: {', '.join(dict.fromkeys(ends))}")
    plots.legend_below(figure, "a cross: every run collapsed; dotted: guessing", columns=5)
    return figure, ". ".join(text) + "."


def draw_differences(runs: pd.DataFrame) -> tuple[Figure | None, str]:
    """SynFlow minus each other pruning in points against rho, with 95 % intervals: pairs of trained runs (filled), all pairs (hollow)."""
    every, trained = (appendix_c_2.in_points(appendix_c_2.compare_with_synflow(runs, collapses)) for collapses in (True, False))
    every, trained = (found[found["pruning"].isin(choices.PAPER_PRUNERS)] if len(found) else found for found in (every, trained))
    if every.empty:
        return None, ""
    drawn, titles = panels(every), [plots.case_title(case) for case in plots.cases(every)]
    figure, axes = plots.compact_grid([case for case, *_ in drawn], apart=2)
    for ax, (case, n, part) in zip(axes, drawn):
        for found, filled in ((part, False), (plots.select_case(trained[trained["n"] == n], case), True)):
            for pruning, colour, marker, label in plots.curve_styles(found, "pruning"):
                own = found[found["pruning"] == pruning]
                shift = 0.04 * (plots.PRUNINGS.index(pruning) - 1.5)  # so that intervals do not lie on each other
                ax.errorbar(own["rho"] + shift, own["mean"], own["high"] - own["mean"], fmt=marker, color=colour, linewidth=1.2,
                            markersize=6, markerfacecolor=colour if filled else "white", label=None if filled else label)
        plots.fit_y_axis(ax)
        ax.axhline(0, color="0.4", linewidth=1)
        ax.set(title=f"{plots.case_title(case)}, n = {n}", xlabel="ρ")
    figure.supylabel("SynFlow minus the other (points)", fontsize="medium")
    plots.legend_below(figure, columns=4, title="filled: pairs that were both trained; hollow: all pairs")
    rows = appendix_c_2.claim_best(runs)
    worse = sorted(rows[rows["verdict"] == "fails"].itertuples(), key=lambda row: titles.index(", ".join(row.case.split(", ")[:2])))
    worse = "; ".join(f"{row.case} at n = {row.n} by {-row.estimate:.1f}" for row in worse)
    return figure, f"n-accuracy of SynFlow minus that of each other pruner against ρ, in points; surely negative: {worse or 'none'}."


def draw_prices(runs: pd.DataFrame) -> tuple[Figure | None, str]:
    """n-accuracy at the least n against the FLOPs of one image, a curve for each pruner in 100 rounds, a point a rho."""
    least = min(appendix_c_2.SIZES)
    found = appendix_c_2.measured(runs).assign(per_cent=lambda table: 100 * table["n_accuracy"])
    found = found[found["pruning"].isin(choices.PAPER_PRUNERS) & (found["n"] == least)]
    if found.empty:
        return None, ""
    cases, text = plots.cases(found), [f"n-accuracy at n = {least} against the FLOPs of one image, a curve for each pruner in 100 rounds"]
    prices, guessing = appendix_c_2.compare_prices(runs), 100 * appendix_c_2.guessing(runs)
    figure, axes = plots.compact_grid(cases)
    for ax, case in zip(axes, cases):
        part = plots.select_case(found, case)
        plots.curves(ax, part, "flops", "per_cent", by="pruning", along="rho")
        ax.axhline(guessing[case[0]], color="0.4", linestyle=":", linewidth=1)
        ax.set(title=f"{plots.case_title(case)}, n = {least}", xscale="log", xlabel="FLOPs of one image", ylim=(0, 103))
        worse = prices[(prices["verdict"] == "fails") & (prices["network"] == plots.case_title(case))] if len(prices) else prices
        named = ", ".join(f"{plots.TITLES[row.pruning]} at ρ = {row.rho:g}" for row in worse.itertuples())
        text.append(f"{plots.case_title(case)}: SynFlow is surely worse and dearer than {named or 'none'}")
    plots.legend_below(figure, columns=5)
    return figure, ". ".join(text) + "."


def restore_network(results: str | Path, run: dict, shape: tuple[int, int, int]) -> nn.Module | None:
    """The trained network of a run of the baseline from its checkpoint in `results`, pruned weights masked, None where there is none;
    shape: of its images.
    """
    given = parameters.check("baseline", run)
    record = names.record_path(parameters.identity("baseline", given), results)
    return read_network(record, given, shape) if checkpoints.find(record) else None


def read_network(record: Path, params: dict, shape: tuple[int, int, int]) -> nn.Module:
    """`restore_network` of a record and its parameters."""
    network = models.build(params["model"], shape, choices.DATASETS[params["dataset"]].classes, torch.Generator())  # all replaced
    checkpoints.restore_network(network, shape, checkpoints.load(record))
    return network


def count_survivors(network: nn.Module | None, shape: tuple[int, int, int]) -> pd.DataFrame:
    """A row for the image and each layer: its weights, and its live channels, positions and outputs, each "left of all"."""
    if network is None:
        return pd.DataFrame()
    need = live.live_activations(network, shape)
    image = next(iter(need.values()))
    rows = [{"layer": "image", "outputs": f"{int(image.sum())} of {image.numel()}"}]
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            out, alive = need[name], module.weight != 0
            row = {"layer": f"{type(module).__name__} {name}", "weights": f"{int(alive.sum())} of {alive.numel()}",
                   "outputs": f"{int(out.sum())} of {out.numel()}"}
            if out.dim() == 3:
                row["channels"] = f"{int(out.any((1, 2)).sum())} of {len(out)}"
                row["positions"] = f"{int(out.any(0).sum())} of {out[0].numel()}"
            rows.append(row)
    return pd.DataFrame(rows, columns=["layer", "weights", "channels", "positions", "outputs"])


def constant_share(network: nn.Module, shape: tuple[int, int, int]) -> float:
    """The share of the MACs of a pruned network without BatchNorm, for images of `shape` (C, H, W), that multiply constants: what units and
    channels say that no pixel reaches.

    With weights 1 where alive, no biases and an image of ones every activation counts the paths from the image to it.
    """
    alive, need, silent = masks(network), live.live_activations(network, shape), {}
    counted = {name: module for name, module in network.named_modules() if f"{name}.weight" in alive}
    ones = {name: torch.full_like(parameter, not name.endswith("bias")) for name, parameter in network.named_parameters()}

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        silent[module] = (inputs[0][0] == 0).reshape(inputs[0].shape[1], -1).all(1)

    hooks = [module.register_forward_pre_hook(note) for module in counted.values()]
    torch.func.functional_call(network.eval(), ones, torch.ones(1, *shape))
    for hook in hooks:
        hook.remove()
    constant = {}
    for name, module in counted.items():
        mask = alive[f"{name}.weight"]
        constant[f"{name}.weight"] = mask & silent[module].view(1, -1, *[1] * (mask.dim() - 2))
    return costs.macs_live(constant, need) / costs.macs_live(alive, need)


def constant_shares(runs: pd.DataFrame, results: str | Path = "results") -> pd.DataFrame:
    """`constant_share` of every run with a committed checkpoint, in per cent, as the column `constant`: a row a run.

    Runs on a folder of one's own images are left out, as their records do not say the shape of these.
    """
    rows = []
    for run in runs[runs["n"] == min(appendix_c_2.SIZES)].itertuples():
        row, record = run._asdict(), tables.record_path(run, results)
        if row["dataset"] in choices.DATASETS and record.with_suffix(".safetensors").exists():
            data = choices.DATASETS[row["dataset"]]
            shape = data.channels, data.side, data.side
            rows.append(row | {"constant": 100 * constant_share(read_network(record, row, shape), shape)})
    return pd.DataFrame(rows, columns=[*runs, "constant"])


def tabulate_constants(runs: pd.DataFrame, results: str | Path = "results") -> pd.DataFrame:
    """The means of `constant_shares`: a row a network and rho, a column a pruning."""
    means = constant_shares(runs, results).groupby([*intervals.ROW, "pruning"])["constant"].mean()
    return appendix_c_2.tabulate(means.map("{:.1f}".format))


def draw_survivors(network: nn.Module | None, shape: tuple[int, int, int]) -> tuple[Figure | None, str]:
    """What is left of a pruned Conv (`diagrams.survivors`)."""
    if network is None:
        return None, ""
    counts = "; ".join(", ".join(f"{value} {name}" if name != "layer" else value for name, value in row.dropna().items())
                       for _, row in count_survivors(network, shape).iterrows())
    return diagrams.survivors(network, shape), f"What is left of the pruned network, from the pixels it reads to its classes: {counts}."

"""The tables of section 5.2 as its notebook shows them: at most eight columns, an estimate with its 95 % interval in one cell."""
import numpy as np
import pandas as pd

from sharedlabel.analysis import plots, report, section_5_2
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.report import format_estimate, format_summary
from sharedlabel.analysis.section_5_2_settings import root_mean_square
from sharedlabel.analysis.section_5_2_training import equally_long

SIZES = [1, 5, 25, 80]  # n that tables name
SWEPT = {"standard_weight": "λ", "tuple_size": "tuple size"}


def decimal(value: float) -> str:
    """A number with one decimal; "-" for nan."""
    return "-" if np.isnan(value) else f"{value:.1f}".replace("-", "−")


def signed(value: float) -> str:
    """A difference with its sign and one decimal; "-" for nan."""
    return "-" if np.isnan(value) else f"{value:+.1f}".replace("-", "−")


def answer(inside) -> str:
    """Whether something is inside an interval: yes, no, or "-" where there is no interval."""
    return "-" if pd.isna(inside) else "yes" if inside else "no"


def with_network(table: pd.DataFrame) -> pd.DataFrame:
    """The table in the order of the figures, its network in words in the first column, methods by their titles."""
    if "method" in table:
        table = table.sort_values("method", key=lambda names: names.map(plots.METHODS.index), kind="stable")
        table = table.assign(method=table["method"].map(plots.TITLES))
    table = plots.in_order(table, ROW)
    table.insert(0, "network", plots.titles(table, ROW))
    return table.drop(columns=ROW)


def show_long(table: pd.DataFrame, tidy: pd.DataFrame, caption: str, name: str, results: str) -> None:
    """Display a long table collapsed, and write its numbers (`tidy`) to `results`/tables/section_5_2_NAME.csv."""
    report.show_table(table, f"{caption} (tables/section_5_2_{name}.csv)", collapsed=True)
    report.write_long_table(tidy, f"section_5_2_{name}", results)


def by_n(found: pd.DataFrame, rows: list[str], ns: list[int] | None = None, mark: bool = False) -> pd.DataFrame:
    """A `summary` with a column for each n: mean and half interval, and the seeds; `rows` name what is on a line.

    mark: a star where the interval excludes 0.
    """
    found = found[found["n"].isin(ns)] if ns else found
    if found.empty:
        return pd.DataFrame(columns=[*rows, "seeds"])
    stars = [" *" if mark and (low > 0 or high < 0) else "" for low, high in zip(found["low"], found["high"])]
    found = found.assign(text=[text + star for text, star in zip(format_summary(found), stars)], order=range(len(found)))
    wide = found.pivot(index=rows, columns="n", values="text").rename(columns="n = {}".format).fillna("-")
    wide["seeds"] = found.groupby(rows, dropna=False)["seeds"].max()
    return wide.loc[found.sort_values("order").set_index(rows).index.unique()].reset_index().rename_axis(columns=None)


def at_sizes(found: pd.DataFrame, rows: list[str], mark: bool = False) -> pd.DataFrame:
    """A `summary` by ROW, `rows` and n, at SIZES; mark: a star where the interval excludes 0."""
    return with_network(by_n(found, [*ROW, *rows], SIZES, mark).rename(columns=SWEPT))


# ---- what was run, Table 1


def runs_table(runs: pd.DataFrame) -> pd.DataFrame:
    """`overview` without what is the same for all: a row a network and method."""
    return with_network(section_5_2.overview(runs)).drop(columns="minutes")


def table_1_summary(cells: pd.DataFrame) -> pd.DataFrame:
    """`table_1` in short, a row a network and method: both numbers at the least and the largest n, and the cells within our intervals."""
    rows = []
    for keys, part in cells.groupby([*ROW, "method"], sort=False):
        judged = part["inside"].dropna()
        row = dict(zip([*ROW, "method"], keys))
        for cell in part[part["n"].isin([part["n"].min(), part["n"].max()])].itertuples():
            ours = format_estimate(cell.ours, cell.ours - cell.half, cell.ours + cell.half)
            row |= {f"paper, n = {cell.n}": decimal(cell.paper), f"ours, n = {cell.n}": ours}
        inside = {"inside our interval": part["inside"], "one more run": part["inside_run"]}
        rows.append(row | {name: f"{int(values.sum())} of {len(judged)}" for name, values in inside.items()})
    return with_network(pd.DataFrame(rows))


def table_1_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """`table_1` cell by cell, numbers with one decimal."""
    ours = format_summary(cells.assign(low=cells["ours"] - cells["half"], high=cells["ours"] + cells["half"]), "ours")
    wilson = cells["paper_low"].map(decimal) + " to " + cells["paper_high"].map(decimal)
    table = cells[[*ROW, "method", "n", "paper"]].assign(**{
        "paper's 95 %": wilson, "ours": ours,
        "inside our interval": cells["inside"].map(answer), "one more run": cells["inside_run"].map(answer),
    })
    return with_network(table.sort_values(["method", "n"], kind="stable"))


def count_inside(cells: pd.DataFrame) -> str:
    """How many of the paper's numbers lie within our intervals, in a sentence."""
    judged, inside, run = (int(cells[name].count() if name == "half" else cells[name].sum()) for name in ("half", "inside", "inside_run"))
    return (f"Of the {judged} cells with an interval, the paper's number lies inside that of our mean in {inside}, "
            f"and where one more run of ours would lie in {run}.")


# ---- the claims


def evidence(runs: pd.DataFrame, curves: pd.DataFrame, one: str, other: str, n: int | None = None) -> pd.DataFrame:
    """What a comparison (`compare`) rests on: both accuracies, the difference, the same after equally many epochs, epochs, pairs.

    The epochs are those of the runs that are in a pair.
    A star marks a network that the paper's Table 1 does not have.
    """
    found = section_5_2.compare(runs, one, other, n)
    networks, paired = (pd.MultiIndex.from_frame(rows[[*ROW, "seed"]]) for rows in (runs, section_5_2.pair_methods(runs, one, other, n)))
    trained = section_5_2.overview(runs[networks.isin(paired)]).pivot(index=ROW, columns="method", values="epochs")
    table = found[ROW].assign(**{f"{plots.TITLES[side]} %": found[side].map(decimal) for side in (one, other)})
    table["difference"] = format_summary(found)
    if "freeze_retrain" not in (one, other) and len(found):
        table["equally long"] = format_lookup(equally_long(curves.merge(found[[*ROW, "n"]]), one, other), found)
    if "freeze_retrain" in trained:  # what is retrained has the baseline's epochs behind it
        trained = trained.astype("Int64").astype(str)
        trained["freeze_retrain"] = trained["baseline"] + " + " + trained["freeze_retrain"]
    lengths = [[trained.loc[network, side] for side in (one, other)] for network in zip(*(found[name] for name in ROW))]
    table = with_network(table.assign(epochs=[f"{first} and {second}" for first, second in lengths], pairs=found["seeds"]))
    in_paper = {plots.case_title(network) for network in section_5_2.paper_networks()}
    return table.assign(network=[name if name in in_paper else f"{name} *" for name in table["network"]])


def format_lookup(summary: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """The formatted estimates of a `summary` by ROW for each of `rows`; "-" where it has none."""
    known = dict(zip(zip(*(summary[name] for name in ROW)), format_summary(summary)))
    return [known.get(network, "-") for network in zip(*(rows[name] for name in ROW))]


def crossover_table(found: pd.DataFrame) -> pd.DataFrame:
    """`crossovers` in words."""
    def place(n: float) -> str:
        return "-" if np.isnan(n) else "none" if np.isinf(n) else f"{n:g}"

    def listed(ns: list[int]) -> str:
        return ", ".join(map(str, ns)) or "no n"

    return with_network(found[[*ROW, "method"]].assign(**{
        "ahead from n": found["first"].map(place),
        "95 %": [f"{place(low)} to {place(high)}" for low, high in zip(found["low"], found["high"])],
        "never ahead": ["-" if np.isnan(share) else f"{share:.1%}" for share in found["never"]],
        "pairs": found["seeds"], "significantly above": found["better"].map(listed), "significantly below": found["worse"].map(listed),
    }))


# ---- training and settings


def late_table(found: pd.DataFrame) -> pd.DataFrame:
    """`late_gains` with signed points."""
    return with_network(found.assign(**{name: found[name].map(signed) for name in ("baseline", "balanced")}))


def unrest_table(found: pd.DataFrame) -> pd.DataFrame:
    """`unrest` with one decimal."""
    names = {"epochs_sd": "sd of epochs", "range": "range", "seeds_sd": "sd of seeds"}
    return with_network(found.assign(**{name: found[name].map(decimal) for name in names}).rename(columns=names))


def gap_table(found: pd.DataFrame, ns: tuple[int, ...] = (1, 80)) -> pd.DataFrame:
    """`compare_gaps` at some n."""
    found = found[found["n"].isin(ns)]
    ours = format_summary(found.assign(low=found["ours"] - found["half"], high=found["ours"] + found["half"]), "ours")
    return with_network(found[[*ROW, "n"]].assign(**{
        "paper": found["paper"].map(signed), "ours": ours, "pairs": found["seeds"],
        "one more pair, ±": found["half_pair"].map(decimal), "paper inside": found["inside"].map(answer),
        "epoch of stopping, ±": found["half_epochs"].map(decimal),
    }))


def closest_table(found: pd.DataFrame) -> pd.DataFrame:
    """`closest_epochs` after some of the epochs."""
    numbers = found.drop(columns=[*ROW, "epoch"]).map(decimal)
    table = pd.concat([found[ROW], numbers[[name for name in numbers if name not in (5, 80)]], found["epoch"].rename("at epoch")], axis=1)
    return with_network(table.rename(columns={name: f"after {name}" for name in numbers if name != "least"}))


def reached_table(found: pd.DataFrame) -> pd.DataFrame:
    """`reach_paper` after some of the epochs."""
    numbers = found[[name for name in found.columns if name in (20, 60, 160)]].map(decimal).rename(columns="after {}".format)
    ends = found["paper"].map(decimal), numbers, found["reached"].rename("at least the paper's at epoch")
    return with_network(pd.concat([found[[*ROW, "method", "n"]], *ends], axis=1))


def by_test_table(found: pd.DataFrame) -> pd.DataFrame:
    """`choose_by_test`: n-accuracy of the epochs that were kept, and the highest of a baseline's."""
    heads = {"baseline": "baseline, as kept", "best baseline": "baseline, best of its epochs", "balanced": "balanced, as kept"}
    return with_network(pd.concat([found[[*ROW, "n"]], found[[*heads]].map(decimal).rename(columns=heads), found["seeds"]], axis=1))


def readings_table(found: pd.DataFrame) -> pd.DataFrame:
    """`section_5_2_readings.distances` as a table."""
    means = found[["logits", "softmax"]].map(decimal).rename(columns="mean of {}".format)
    return with_network(pd.concat([found[[*ROW, "method"]], means], axis=1))


def stopping_table(found: pd.DataFrame) -> pd.DataFrame:
    """`replay_stopping` in short: the root mean square difference from the paper over n, in points, and the epochs, by patience."""
    apart = root_mean_square(found.rename(columns={"ours": "mean"}), [*ROW, "method", "patience"])
    epochs = found.groupby([*ROW, "method", "patience"])["epochs"].first()
    text = apart.map(decimal) + " (" + epochs.map("{:.0f}".format) + ")"
    return with_network(text.unstack("patience").rename(columns="patience {}".format).reset_index().rename_axis(columns=None))


def batches_table(found: pd.DataFrame) -> pd.DataFrame:
    """`batches_beside_paper`: accuracies, and below them the differences from the default settings."""
    printed = found.drop_duplicates([*ROW, "n"]).assign(setting="the paper", mean=found["paper"], low=np.nan, high=np.nan, seeds=np.nan)
    change = found.dropna(subset="change").assign(mean=found["change"], low=found["change_low"], high=found["change_high"])
    change = change.assign(setting=change["setting"] + ", minus the default")
    return with_network(by_n(pd.concat([found, printed, change]), [*ROW, "setting"]))


def sweep_table(found: pd.DataFrame, name: str) -> pd.DataFrame:
    """`sweeps_beside_paper` of parameter `name`, the paper's line last; `apart`: root mean square difference from it."""
    apart = root_mean_square(found, [*ROW, name]).map(decimal)
    printed = found.drop_duplicates([*ROW, "n"]).assign(mean=found["paper"], low=np.nan, high=np.nan, seeds=np.nan, **{name: np.inf})
    table = by_n(pd.concat([found, printed]).astype({name: float}), [*ROW, name], [1, 25, 60, 80])
    table[name] = table[name].astype(float)  # also of no row
    table["apart"] = [apart.get(tuple(keys), "-") for keys in table[[*ROW, name]].itertuples(index=False)]
    table[name] = [f"{value:g}" if np.isfinite(value) else "the paper" for value in table[name]]
    return with_network(table.rename(columns=SWEPT))


def batch_table(found: pd.DataFrame) -> pd.DataFrame:
    """`batch_differences` at SIZES; a star where the interval excludes 0."""
    named = found.assign(comparison=[f"{one} minus {other}" for one, other in zip(found["one"], found["other"])])
    return at_sizes(named, ["comparison", "when"], mark=True)

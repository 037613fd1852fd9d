"""Section 5.3: what was run, for how long, and what was not."""
import pandas as pd

from sharedlabel.analysis import plots, tables
from sharedlabel.analysis.intervals import PANEL, ROW
from sharedlabel.analysis.section_5_3_runs import AT_DEFAULT, WITH_HEAD, Runs, each_panel, random_tuples, stated_panels


def what_was_run(runs: Runs) -> pd.DataFrame:
    """The runs with a head and the graphs, a row for each panel, pruner, method and setting that is not the default.

    `limit`: runs that stopped at the epoch limit; `learned nothing`: that name one class whatever they see; `collapsed`: that pruning
    left no path.
    """
    table = runs.records[runs.records["method"].isin([*WITH_HEAD, "graph"]) & (runs.records["protocol"] != "disjoint")]
    table = table[table["n"].isna() | (table["n"] == table["train_n"])]
    table = table.assign(
        head=table["head_rho"].map("{:g}".format).replace("nan", "-"), settings=other_settings(table),
    )
    found = table.groupby([*ROW, "variant", "head", "settings"], as_index=False).agg(
        runs=("run", "count"), seeds=("seed", "nunique"), n=("train_n", lambda n: ", ".join(f"{size:g}" for size in sorted(set(n)))),
        weights=("params_remaining", "median"), epochs=("epochs", "mean"), limit=("at_limit", "sum"),
        collapsed=("collapsed", "sum"), minutes=("seconds", lambda seconds: seconds.sum() / 60), **{"learned nothing": ("idle", "sum")},
    )
    found = plots.in_order(found, ROW)
    found.insert(0, "CNN", plots.titles(found, ROW))
    found = found.round({"epochs": 0, "minutes": 0}).assign(variant=found["variant"].map(plots.TITLES)).drop(columns=ROW)
    return found.rename(columns={"variant": "method", "head": "head ρ"})


def other_settings(table: pd.DataFrame) -> list[str]:
    """What of each run's settings is not the default, and its pruner where that is not SynFlow."""
    usual = {name: tables.usual_values(table, name) for name in AT_DEFAULT} | {"pruner": "synflow", "head_pruner": table["pruner"]}
    odd = {name: table[name].notna() & (table[name] != value) for name, value in usual.items()}
    shown = {name: table[name].map(lambda value: f"{value:g}" if isinstance(value, float) else value) for name in odd}
    return [", ".join(f"{name} = {shown[name][i]}" for name in odd if odd[name][i]) for i in table.index]


def missing(runs: Runs) -> pd.DataFrame:
    """What was not run: the methods that each panel lacks, and Table 2's panels of networks of which no run has a head."""
    rows = []
    for case, part in each_panel(random_tuples(runs)):
        lacking = [plots.TITLES[variant] for variant in plots.VARIANTS if variant not in set(part["variant"])]
        rows += [{"panel": plots.case_title(case), "not run": ", ".join(lacking)}] if lacking else []
    run = plots.cases(runs.panels)
    rows += [{"panel": plots.case_title(case), "not run": "all methods with a head"} for case in stated_panels() if case[:2] not in run]
    return pd.DataFrame(rows, columns=["panel", "not run"])


def epochs(runs: Runs) -> pd.DataFrame:
    """How many epochs the heads were trained for, a column an n: the mean over seeds and how many runs stopped at the limit."""
    table = random_tuples(runs, every_head=True)
    table = plots.in_order(table[table["method"].isin(WITH_HEAD)].drop_duplicates([*PANEL, "run"]))
    table = table.assign(panel=plots.titles(table), method=table["variant"].map(plots.TITLES))
    table = table.astype({"train_n": int})
    found = table.groupby(["panel", "method", "train_n"], as_index=False, sort=False).agg(
        epochs=("epochs", "mean"), limit=("at_limit", "sum"), runs=("run", "count"))
    cells = found.assign(cell=[f"{row.epochs:.0f} ({row.limit} of {row.runs})" for row in found.itertuples()])
    wide = cells.pivot_table(index=["panel", "method"], columns="train_n", values="cell", aggfunc="first", sort=False)
    return wide[sorted(wide.columns)].rename_axis(columns=None).fillna("-")

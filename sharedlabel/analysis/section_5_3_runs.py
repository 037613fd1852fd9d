"""Section 5.3: the runs that it compares, as one table with a panel for each data set, network, rho of the CNN and rho of the head.

A method is identified by its `variant` (`plots.VARIANTS`). All variants but the CNN-LSTM and its controls have no head, and stand in
every panel of their CNN's rho.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharedlabel import ROOT
from sharedlabel.analysis import comparisons, intervals, plots, tables
from sharedlabel.analysis.intervals import CASE, HEAD_MATCHED, MATCHED, PANEL, ROW

TABLE_2_N = [2, 5, 7, 15, 40]
WITH_HEAD = ["cnn_lstm", "head_control"]
AT_DEFAULT = ["standard_weight", "tuple_size", "tuples_per_batch", "augment", "free_layers", "message_weight", "order", "permutations",
              "cnn_training", "standardised", "head_biases", "head_score_n", "head_batch_size", "head_learning_rate"]
CNNS = ("balanced", "baseline")  # what trains the CNN that a head reads
COMPARISON = [*PANEL, "one", "variant", "n", "mean", "low", "high", "seeds", "verdict"]  # `one` minus `variant`; n = 0: the mean over n


@dataclass(frozen=True)
class Runs:
    """The records of section 5.3, a row a run, n and protocol; `per_cent` is the n-accuracy, `flops` those of the tuple."""

    records: pd.DataFrame  # all, also those that measured nothing (`collapsed`)
    measured: pd.DataFrame  # with an n-accuracy
    at_default: pd.DataFrame  # of these, with default settings and at the n that they were trained for
    panels: pd.DataFrame  # of these, those pruned by SynFlow, once for each panel that they stand in (`panel`)
    results: str


def select_runs(results: str = "results") -> Runs:
    """The runs below a folder of records, relative to the repository. FileNotFoundError where it has none."""
    records = with_variant(tables.load_records(results))
    measured = records[records["n"].notna()].astype({"n": int})
    measured = measured.assign(per_cent=100 * measured["n_accuracy"], flops=2 * measured["macs_live"], own_head_rho=measured["head_rho"])
    at_default = tables.check_distinct(at_own_n(at_defaults(measured)), [*PANEL, "pruner", "variant", "seed", "n", "protocol"])
    synflow = at_default[at_default["pruner"] == "synflow"]
    panels = [panel(synflow, case).assign(in_table_2=stated) for case, stated in panel_cases(synflow)]
    return Runs(records, measured, at_default, concat(panels, synflow.assign(in_table_2=False)), results)


def with_variant(records: pd.DataFrame) -> pd.DataFrame:
    """The records with iterative pruning (appendix C.2 has those pruned at once) and a `variant`."""
    records = records[records["prune_iterations"] > 1]
    records = records.assign(variant=plots.name_variants(records))
    records.loc[records["variant"] == "graph_neuron", "head_rho"] = np.nan  # it has no second classifier
    return records


def at_defaults(table: pd.DataFrame, but: tuple[str, ...] = ()) -> pd.DataFrame:
    """The runs whose settings, `but` excepted, have default values, and whose head has its CNN's pruner."""
    table = tables.at_defaults(table, AT_DEFAULT, but)
    return table if "head_pruner" in but else table[table["head_pruner"].isna() | (table["head_pruner"] == table["pruner"])]


def at_own_n(table: pd.DataFrame) -> pd.DataFrame:
    """Runs measured at the n that they were trained for; the head that was trained per image serves every n."""
    per_image = (table["method"] == "head_control") & (table["train_n"] == 1)
    return table[table["train_n"].isna() | per_image | (table["train_n"] == table["n"])]


def printed_table_2() -> pd.DataFrame:
    """Table 2 as the paper prints it, in per cent: a row a data set, network, variant and n, with `rho`, `head_rho` and `paper`."""
    table = pd.read_csv(ROOT / "paper" / "table_2.csv")
    table = table.melt([*PANEL, "method", "cnn_training"], [f"n{n}" for n in TABLE_2_N], "n", "paper")
    averaged = table["method"] == "balanced"
    return table.assign(n=table["n"].str[1:].astype(int), variant=("lstm_" + table["cnn_training"]).mask(averaged, "balanced_table_2"))


def rho_for_averaging() -> pd.Series:
    """By (data set, network): the rho of the CNN whose logits are averaged in Table 2."""
    table = printed_table_2()
    return table[table["method"] == "balanced"].groupby(CASE)["rho"].first()


def stated_panels() -> list[tuple]:
    """The panels (data set, network, rho, head rho) that Table 2 states for the CNN-LSTM."""
    return plots.cases(printed_table_2().dropna(subset="head_rho"), PANEL)


def panel_cases(table: pd.DataFrame) -> list[tuple[tuple, bool]]:
    """(panel, whether Table 2 or the figures show it) of every rho of a head that was run, and one for a row with graphs alone.

    They show the head rho that the table states and 0; in a row that the table has not, all.
    """
    cases = []
    for row in plots.cases(table[table["method"].isin([*WITH_HEAD, "graph"])], ROW):
        run = set(plots.select_case(table[table["method"].isin(WITH_HEAD)], row)["head_rho"])
        stated = {case[3] for case in stated_panels() if case[:3] == row}
        shown = run & {*stated, 0.0} if stated else run
        shown = shown or {0.0}
        cases += [((*row, head_rho), head_rho in shown) for head_rho in sorted(run | shown, reverse=True)]
    return cases


def panel(table: pd.DataFrame, case: tuple) -> pd.DataFrame:
    """The runs to compare in one panel: its heads, all variants without one, and balanced at Table 2's rho for averaging.

    `head_rho` is the panel's, `own_head_rho` the run's. The second classifier of a graph is another network than the head;
    of its rhos the one nearest to the panel's is taken, of two as near the smaller.
    """
    *row, head_rho = case
    own = plots.select_case(table, row)
    graph = own["method"] == "graph"
    nearest = min(own.loc[graph, "head_rho"].dropna(), key=lambda rho: (abs(rho - head_rho), rho), default=np.nan)
    own = own[own["head_rho"].isna() | (own["head_rho"] == np.where(graph, nearest, head_rho))]
    averaging = (*row[:2], rho_for_averaging().get(tuple(row[:2])))
    other = plots.select_case(table[table["variant"] == "balanced"], averaging)
    return pd.concat([own, other.assign(variant="balanced_table_2", rho=row[2])]).assign(head_rho=head_rho)


def random_tuples(runs: Runs, every_head: bool = False) -> pd.DataFrame:
    """The panels of tuples drawn at random: those that Table 2 or the figures show, or with `every_head` all."""
    return runs.panels[(runs.panels["protocol"] == "random") & (runs.panels["in_table_2"] | every_head)]


def each_panel(table: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """(panel, its runs) in a fixed order."""
    for case in plots.cases(table, PANEL):
        yield case, plots.select_case(table, case)


def concat(found: list[pd.DataFrame], empty: pd.DataFrame) -> pd.DataFrame:
    """All tables below one another; of none, the columns of `empty`."""
    found = [table for table in found if len(table)]
    return pd.concat(found, ignore_index=True) if found else empty[:0]


def pairs_at(part: pd.DataFrame, one: str, others: list[str], heads: bool = False, value: str = "per_cent") -> pd.DataFrame:
    """`one` minus each of `others` at Table 2's n, in pairs by seed: `paired_differences`, with the other's name in `variant`.

    heads: both have a head, and share its settings.
    """
    part = part[part["n"].isin(TABLE_2_N)]
    matched = HEAD_MATCHED if heads else MATCHED
    others = [other for other in others if {one, other} <= set(part["variant"])] or others[:1]  # of no pair, a table without rows
    pairs = [comparisons.paired_differences(part, one, other, value, "variant", matched).assign(variant=other) for other in others]
    return pd.concat(pairs)


def with_mean_over_n(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs and, as n = 0, their mean over the n that a variant has, if it has two, of the seeds that have them all."""
    sizes = pairs.groupby("variant")["n"].transform("nunique")
    each = pairs[(pairs.groupby(["variant", "seed"])["n"].transform("nunique") == sizes) & (sizes > 1)]
    return pd.concat([pairs, each.groupby(["variant", "seed"], as_index=False)["difference"].mean().assign(n=0)])


def mean_differences(pairs: pd.DataFrame, one: str, by: str = "variant") -> pd.DataFrame:
    """The mean differences by `by` and n with their intervals."""
    return intervals.summary(pairs, "difference", [by, "n"]).assign(one=one)


def compare_panels(table: pd.DataFrame, compare: Callable[[tuple, pd.DataFrame], list[pd.DataFrame]]) -> pd.DataFrame:
    """A table with the columns COMPARISON: what compare(panel, its runs) finds in every panel, below one another, judged all together."""
    found = [each.assign(**dict(zip(PANEL, case))) for case, part in each_panel(table) for each in compare(case, part)]
    found = concat(found, pd.DataFrame(columns=COMPARISON))
    return found.assign(verdict=comparisons.judge_each(found))[COMPARISON]


def as_cases(found: pd.DataFrame, words: Callable | None = None) -> pd.DataFrame:
    """The rows of a claim (CLAIM_COLUMNS) from a comparison; `words` says of a row what is compared, by default its two variants."""
    words = words or (lambda row: f"{plots.TITLES[row.one]} minus {plots.TITLES[row.variant]}")
    cases = [f"{title}: {words(row)}" for title, row in zip(plots.titles(found), found.itertuples())]
    return comparisons.as_cases(found, cases, found["verdict"], n=[n or "mean over n" for n in found["n"]])


def costs(part: pd.DataFrame, variant: str, *others: str) -> dict:
    """What a variant costs at Table 2's n, over the seeds that `others` have too.

    `weights`: their median, nan where there is no run; `flops` of an image by n, `seeds`: how many.
    """
    seeds = set.intersection(*(set(part.loc[part["variant"] == name, "seed"]) for name in (variant, *others)))
    own = part[(part["variant"] == variant) & part["seed"].isin(seeds) & part["n"].isin(TABLE_2_N)]
    flops = (own["flops"] / own["n"]).groupby(own["n"]).mean()
    return {"weights": own["params_remaining"].median(), "flops": flops, "seeds": len(seeds)}

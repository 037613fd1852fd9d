"""Section 5.3, past the paper: weights in the CNN or in a head? Methods beside averaged logits of CNNs that cost as much."""
from functools import partial

import numpy as np
import pandas as pd

from sharedlabel.analysis import comparisons, intervals, plots
from sharedlabel.analysis.intervals import MATCHED, PANEL, ROW
from sharedlabel.analysis.section_5_3_runs import (
    TABLE_2_N,
    WITH_HEAD,
    Runs,
    as_cases,
    compare_panels,
    concat,
    mean_differences,
    random_tuples,
)

AVERAGED = {  # averaged logits at every rho, by name: what trains the CNN, and its pruner
    "averaged logits, SynFlow": ("baseline", "synflow"), "averaged logits, SNIP": ("baseline", "snip"),
    "averaged logits of the balanced CNN, SynFlow": ("balanced", "synflow"),
}
OTHERS = ["lstm_balanced", "head_per_image_balanced", "head_tuple_mean_balanced", "graph_embedding"]  # on one CNN, at every rho of the head
HEADS = OTHERS[:3]
COSTS = {"params_remaining": "weights left", "flops_an_image": "FLOPs an image"}


def spending(runs: Runs) -> pd.DataFrame:
    """The runs to compare by cost, random tuples at Table 2's n: `case` is the row (data set, network, rho of the CNN under the heads).

    `series`: one of AVERAGED or OTHERS; `at`: the rho that its points differ by, the CNN's of AVERAGED, the head's of OTHERS.
    """
    table, found = runs.at_default, []
    table = table[(table["protocol"] == "random") & table["n"].isin(TABLE_2_N)].assign(flops_an_image=lambda t: t["flops"] / t["n"])
    synflow = table[table["pruner"] == "synflow"]
    for row in plots.cases(synflow[synflow["method"].isin([*WITH_HEAD, "graph"])], ROW):
        for name, (method, pruner) in AVERAGED.items():
            own = plots.select_case(table[(table["method"] == method) & (table["pruner"] == pruner)], row[:2]).drop_duplicates(["run", "n"])
            found.append(own.assign(series=name, at=own["rho"], case=[row] * len(own)))
        for variant in OTHERS:
            own = plots.select_case(synflow[synflow["variant"] == variant], row)
            found.append(own.assign(series=variant, at=own["own_head_rho"], case=[row] * len(own)))
    return concat(found, table.assign(series="", at=np.nan, case=None))


def spending_means(runs: Runs) -> pd.DataFrame:
    """Means over seeds of `spending`: `case`, `series`, `at`, n, mean, low, high, seeds and both COSTS (of that n), ordered by FLOPs."""
    table = spending(runs)
    found = intervals.summary(table, "per_cent", ["case", "series", "at", "n"])
    costs = table.groupby(["case", "series", "at", "n"], as_index=False)[list(COSTS)].mean()
    return found.merge(costs).sort_values(["case", "series", "flops_an_image"], kind="stable", ignore_index=True)


def minus_cheaper_cnn(part: pd.DataFrame, variant: str, averaged: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    """(rho, pairs) of a variant minus averaged logits of the least pruned CNN with no more weights and no more FLOPs an image.

    rho is chosen by its costs alone, of the variant's seeds, as a mask has its costs. It is nan where no CNN costs as little.
    """
    own = part[(part["variant"] == variant) & part["n"].isin(TABLE_2_N)]
    least = own.assign(flops_an_image=own["flops"] / own["n"]).groupby("n")[list(COSTS)].mean().min()
    most = averaged[averaged["seed"].isin(own["seed"])].groupby("rho")[list(COSTS)].mean()
    affordable = most.index[(most <= least).all(axis=1)]
    if own.empty or affordable.empty:
        return np.nan, own[:0].assign(difference=np.nan)
    rho = affordable.min()
    other = averaged[averaged["rho"] == rho].assign(variant="averaged", rho=own["rho"].iloc[0])
    matched = [name for name in MATCHED if name != "pruner"]
    return rho, comparisons.paired_differences(pd.concat([own, other]), variant, "averaged", "per_cent", "variant", matched)


def at_equal_cost(runs: Runs) -> pd.DataFrame:
    """Each head minus averaged logits that cost no more: a comparison, whose `variant` names the CNN, its pruner and its rho.

    Panels whose averaged logits were run at one rho alone have no choice and are left out.
    """
    table = spending(runs)

    def compare(case: tuple, part: pd.DataFrame) -> list[pd.DataFrame]:
        own = table[table["series"].isin(AVERAGED) & (table["case"] == case[:3])]
        if own["rho"].nunique() < 2:
            return []
        pairs = []
        for variant in HEADS:
            for name in AVERAGED:
                rho, each = minus_cheaper_cnn(part, variant, own[own["series"] == name])
                pairs.append(each.assign(comparison=f"{variant}|{name}, ρ = {rho:g}"))
        found = mean_differences(pd.concat(pairs), "", by="comparison")
        names = found["comparison"].str.split("|", expand=True).reindex(columns=[0, 1])
        return [found.assign(one=names[0], variant=names[1])]

    return compare_panels(random_tuples(runs, every_head=True), compare)


def without_choice(runs: Runs) -> list[str]:
    """The panels that `at_equal_cost` leaves out, as their averaged logits were run at one rho alone."""
    table = spending(runs)
    table = table[table["series"].isin(AVERAGED)]
    panels = plots.cases(random_tuples(runs, every_head=True), PANEL)
    return [plots.case_title(case) for case in panels if table.loc[table["case"] == case[:3], "rho"].nunique() < 2]


def claim_worth_its_weights(runs: Runs, variants: list[str]) -> pd.DataFrame:
    """The cases of the claim that these variants beat averaged logits of a CNN with no more weights and FLOPs."""
    found = at_equal_cost(runs)
    found = found[found["one"].isin(variants)]
    return as_cases(found.assign(verdict=comparisons.judge_each(found)), lambda row: f"{plots.TITLES[row.one]} minus {row.variant}")


claim_lstm_worth_its_weights = partial(claim_worth_its_weights, variants=HEADS[:1])
claim_head_worth_its_weights = partial(claim_worth_its_weights, variants=HEADS[1:])  # in both its trainings

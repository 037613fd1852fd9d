"""Section 5.3: the methods under other pruners than SynFlow: whether they have the same order, and whether SynFlow is the best for each."""
from collections.abc import Callable

import numpy as np
import pandas as pd

from sharedlabel import choices
from sharedlabel.analysis import comparisons, intervals, plots
from sharedlabel.analysis.intervals import HEAD_MATCHED, PANEL, ROW
from sharedlabel.analysis.section_5_2 import at_largest_n, is_among, paper_networks
from sharedlabel.analysis.section_5_3_runs import (
    COMPARISON,
    TABLE_2_N,
    WITH_HEAD,
    Runs,
    as_cases,
    concat,
    each_panel,
    mean_differences,
    pairs_at,
    panel,
    random_tuples,
)

PAIRS = [("lstm_balanced", "balanced"), ("lstm_balanced", "head_per_image_balanced"), ("lstm_balanced", "head_tuple_mean_balanced"),
         ("head_per_image_balanced", "balanced"), ("balanced", "baseline"), ("freeze_retrain", "baseline"), ("freeze_retrain", "balanced")]
OTHERS = [pruner for pruner in choices.PAPER_PRUNERS if pruner != "synflow"]
METHODS = ("balanced", "freeze_retrain", "lstm_balanced")
KEYS, VALUES = ["one", "variant", "n"], ["mean", "low", "high", "seeds", "significant"]


def runs_under(runs: Runs, pruner: str, case: tuple) -> pd.DataFrame:
    """The runs of one panel under another pruner, at those n of Table 2 that its CNN-LSTM has; none where it has no head."""
    own = panel(runs.at_default[(runs.at_default["pruner"] == pruner) & (runs.at_default["protocol"] == "random")], case)
    if not own["method"].isin(WITH_HEAD).any():
        return own[:0]
    return own[own["n"].isin(set(own.loc[own["method"] == "cnn_lstm", "n"]) & set(TABLE_2_N))]


def differences(part: pd.DataFrame, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    """The differences of PAIRS at each n and whether each is `significant` at 5 % among them all (Holm)."""
    found = pd.concat([mean_differences(pairs_at(part, one, [other]), one) for one, other in pairs], ignore_index=True)
    return found.assign(significant=comparisons.holm(comparisons.p_values(found)) < 0.05)


def orders(runs: Runs, pruner: str) -> pd.DataFrame:
    """The differences under SynFlow (columns `synflow_mean`, ...) and under another pruner side by side: PANEL, `one`, `variant`, n.

    `agree`: 1 where both order a pair significantly and alike, -1 the other way round, 0 where one of them cannot tell. Pairs of methods
    without a head stand in the first panel of their CNN only.
    """
    found, seen = [], set()
    for case, part in each_panel(random_tuples(runs)):
        other = runs_under(runs, pruner, case)
        if other.empty:
            continue
        pairs = [pair for pair in PAIRS if case[:3] not in seen or pair[0].startswith(("lstm", "head"))]
        seen.add(case[:3])
        synflow, theirs = (differences(side, pairs)[[*KEYS, *VALUES]] for side in (part[part["n"].isin(other["n"])], other))
        synflow = synflow.rename(columns={name: f"synflow_{name}" for name in VALUES})
        found.append(synflow.merge(theirs, on=KEYS).dropna(subset=["mean", "synflow_mean"]).assign(**dict(zip(PANEL, case))))
    columns = [*PANEL, *KEYS, *(f"synflow_{name}" for name in VALUES), *VALUES]
    return mark_agreement(concat(found, pd.DataFrame(columns=columns)))


def orders_in_table_1(runs: Runs, pruner: str) -> pd.DataFrame:
    """Balanced minus baseline at the largest n of each network of Table 1 that both pruners have: as `orders`, with ROW for PANEL."""
    averaged, sides = runs.at_default[runs.at_default["protocol"] == "random"], []
    for name in ("synflow", pruner):
        pairs = comparisons.paired_differences(averaged[averaged["pruner"] == name], "balanced", "baseline", "per_cent", "variant")
        pairs = pairs[is_among(pairs, paper_networks())]
        sides.append(intervals.summary(at_largest_n(pairs), "difference", [*ROW, "n"]))
    synflow, theirs = (one[is_among(one, plots.cases(other, ROW))] for one, other in zip(sides, reversed(sides)))
    synflow, theirs = (side.assign(significant=comparisons.holm(comparisons.p_values(side)) < 0.05) for side in (synflow, theirs))
    found = synflow.rename(columns={name: f"synflow_{name}" for name in VALUES}).merge(theirs, on=[*ROW, "n"])
    return mark_agreement(found.assign(one="balanced", variant="baseline"))


def mark_agreement(found: pd.DataFrame) -> pd.DataFrame:
    """The table with `agree` of `orders`."""
    signs = [np.sign(found[f"{side}mean"].astype(float)) * found[f"{side}significant"].astype(bool) for side in ("synflow_", "")]
    return found.assign(agree=(signs[0] * signs[1]).astype(int))


def claim_order(runs: Runs) -> pd.DataFrame:
    """The cases of the claim that other pruners' runs order alike what SynFlow's order significantly; above zero: alike."""
    return pd.concat([under_others(runs, order_under), graphs_not_tested(runs)], ignore_index=True)


def order_under(runs: Runs, pruner: str) -> pd.DataFrame:
    """The cases of `claim_order` under one pruner: the paper's methods in every panel (not a head alone), and those of Table 1."""
    found = orders(runs, pruner)
    found = found[~(found["one"] + found["variant"]).str.contains("head_").astype(bool)]
    averaged = orders_in_table_1(runs, pruner)
    return pd.concat([judge_orders(found, plots.titles(found), pruner), judge_orders(averaged, plots.titles(averaged, ROW), pruner)])


def judge_orders(found: pd.DataFrame, titles: list[str], pruner: str) -> pd.DataFrame:
    """The cases of a claim from `orders`, of the pairs that SynFlow's runs order significantly, turned so that SynFlow's is above zero."""
    found = found.assign(title=titles)[found["synflow_significant"].astype(bool)]
    alike = np.sign(found["synflow_mean"].astype(float))
    ends = np.sort([found["low"].astype(float) * alike, found["high"].astype(float) * alike], axis=0)
    verdicts = found["agree"].map({1: "holds", -1: "fails", 0: "cannot tell"})
    first, second = found["one"].where(alike > 0, found["variant"]), found["variant"].where(alike > 0, found["one"])
    words = [f"{title}: {plots.TITLES[one]} minus {plots.TITLES[other]} under {plots.TITLES[pruner]}"
             for title, one, other in zip(found["title"], first, second)]
    return comparisons.as_cases(found.assign(mean=found["mean"] * alike, low=ends[0], high=ends[1]), words, verdicts)


def claim_synflow_best(runs: Runs) -> pd.DataFrame:
    """The cases of the claim that SynFlow achieves the best results of all pruners for the other methods than the baseline, too."""
    tested = under_others(runs, lambda runs, pruner: as_cases(
        synflow_minus(runs, pruner), lambda row: f"{plots.TITLES[row.variant]}, SynFlow minus {plots.TITLES[pruner]}"))
    return pd.concat([tested, graphs_not_tested(runs)], ignore_index=True)


def graphs_not_tested(runs: Runs) -> pd.DataFrame:
    """A claim's row that says that no other pruner has runs of graphs, where none has."""
    graphs = (runs.records["method"] == "graph") & runs.records["pruner"].isin(OTHERS)
    return comparisons.claim_rows([] if graphs.any() else [{"case": "not tested: graph", "verdict": "not tested"}])


def synflow_minus(runs: Runs, pruner: str) -> pd.DataFrame:
    """The paper's methods but the baseline (`variant`) pruned by SynFlow minus by another pruner, in pairs by seed; as a comparison."""
    matched, found, seen = [name for name in HEAD_MATCHED if "pruner" not in name], [], set()
    for case, part in each_panel(random_tuples(runs)):
        both = pd.concat([part, runs_under(runs, pruner, case)])
        for variant in METHODS:
            if variant.startswith("lstm") or case[:3] not in seen:  # one without a head stands in every panel of its CNN
                pairs = comparisons.paired_differences(both[both["variant"] == variant], "synflow", pruner, "per_cent", "pruner", matched)
                found.append(mean_differences(pairs.assign(variant=variant), "synflow").assign(**dict(zip(PANEL, case))))
        seen.add(case[:3])
    found = concat(found, pd.DataFrame(columns=COMPARISON))
    return found.assign(verdict=comparisons.judge_each(found))


def under_others(runs: Runs, cases: Callable[[Runs, str], pd.DataFrame]) -> pd.DataFrame:
    """`cases` of every other pruner of the paper, below one another; one that has none is not tested, and why, where networks collapse."""
    rows = []
    for pruner in OTHERS:
        found, lost = cases(runs, pruner), collapses(runs, pruner)
        if found.empty:
            why = [f"{where}, networks collapse from ρ = {rho:g}" for where, rho in lost.itertuples(index=False)]
            case = "; ".join([f"not tested: {plots.TITLES[pruner]}", *why])
            found = comparisons.claim_rows([{"case": case, "verdict": "not tested"}])
        rows.append(found)
    return pd.concat(rows, ignore_index=True)


def collapses(runs: Runs, pruner: str) -> pd.DataFrame:
    """The CNNs without a head under a pruner because networks collapse there: `CNN`, and from which rho on."""
    lost = runs.records[(runs.records["pruner"] == pruner) & runs.records["collapsed"]]
    lost, rows = lost[lost["method"] == "baseline"], []
    for case, _ in each_panel(random_tuples(runs)):
        rhos = plots.select_case(lost, case[:2])["rho"]
        if runs_under(runs, pruner, case).empty and (rhos <= case[2]).any():
            rows.append({"CNN": plots.case_title(case[:3]), "networks collapse from ρ": rhos.min()})
    return pd.DataFrame(rows, columns=["CNN", "networks collapse from ρ"]).drop_duplicates()

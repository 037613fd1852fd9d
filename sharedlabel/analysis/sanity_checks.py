"""Sanity checks of networks pruned before training (Frankle et al. 2021), each minus the baseline run of the same network, rho and seed.

The runs are those of `small_dense.select_runs`. Where a check lost every path, its network names one class always: it counts with chance.
Checks keep as many weights as the baseline, not as many live ones: `tabulate` says what they cost.
"""
from functools import partial

import numpy as np
import pandas as pd

from sharedlabel import choices
from sharedlabel.analysis import intervals, plots, report, tables
from sharedlabel.analysis.comparisons import Claim, as_cases, judge_each, judge_each_negligible, negate
from sharedlabel.analysis.intervals import ROW
from sharedlabel.analysis.small_dense import SHOWN_N

LITTLE = 2.0  # points that count as no difference
LEAST_RHO = 2.5  # at which magnitude pruning was tried, as a test checks
KINDS = {  # in the order of the table: a check, and for what is pruned after training the pruner
    "shuffled": choices.SANITY_CHECKS["shuffled"], "reinitialised": choices.SANITY_CHECKS["reinitialised"],
    "trained_first_magnitude": "pruned after training, magnitude", "trained_first_synflow": "pruned after training, SynFlow",
}
PAIRED = [*ROW, "seed", "max_epochs", "precision", "learning_rate", "batch_size"]


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a check's run and n: PAIRED, `kind` (one of KINDS), `accuracy`, `baseline`, `difference`, `flops`, `own_flops`, `collapsed`.

    `flops` are the baseline's; of a check that lost every path the `own_flops` are nan.

    The baseline is pruned by SynFlow in 100 rounds, and so are the masks that are shuffled or given other weights.
    """
    baseline = tables.select(runs, method="baseline", pruner="synflow", prune_iterations=100, initialisation="pytorch", augment="none")
    baseline = baseline.assign(chance=100 * baseline["tuples_per_class"] / baseline["tuples"])
    baseline = baseline[[*PAIRED, "n", "accuracy", "chance", "flops"]].rename(columns={"accuracy": "baseline"})
    checks = tables.select(runs, method="sanity_check")
    after = checks["check"] == "trained_first"
    kinds = checks["check"].astype(str) + np.where(after, "_" + checks["pruner"].astype(str), "")
    checks = checks.assign(kind=kinds, collapsed=checks["accuracy"].isna()).rename(columns={"flops": "own_flops"})
    checks = checks[checks["kind"].isin(list(KINDS))]
    whole = checks[checks["collapsed"]].drop(columns="n").merge(pd.DataFrame({"n": [float(n) for n in SHOWN_N]}), how="cross")
    checks = pd.concat([checks[~checks["collapsed"]], whole])[[*PAIRED, "n", "kind", "accuracy", "own_flops", "collapsed"]]
    found = checks.merge(baseline, on=[*PAIRED, "n"], validate="many_to_one").astype({"n": int})
    found["accuracy"] = found["accuracy"].astype(float).fillna(found["chance"])
    return found.assign(difference=found["accuracy"] - found["baseline"])


def claim_difference(runs: pd.DataFrame, kind: str, decide) -> pd.DataFrame:
    """The cases of a claim about one kind of check: a network and an n each; `decide` gives the verdicts on a `summary`."""
    found = intervals.summary(tables.select(differences(runs), kind=kind), "difference", [*ROW, "n"])
    cases = plots.titles(found, ROW)
    return as_cases(found, cases, decide(found))


def below_zero(found: pd.DataFrame) -> list[str]:
    """`judge_each` of a claim that all differences are negative."""
    return judge_each(negate(found))


HOLM = "fails where it is {} after Holm"
CLAIMS = [
    Claim("shuffled-masks", "ours", "a mask shuffled within its layers, which cuts most of its paths, recognises fewer tuples", "points",
          f"the paired 95 % interval of shuffled minus the pruner's own lies below 0; {HOLM.format('above')}",
          partial(claim_difference, kind="shuffled", decide=below_zero), wanted=(-np.inf, 0)),
    Claim("reinitialised-weights", "ours", f"a mask does not need its weights: drawn anew they change less than {LITTLE:g} points",
          "points",
          f"the paired 95 % interval of the difference lies within ±{LITTLE:g}; {HOLM.format('outside')}",
          partial(claim_difference, kind="reinitialised", decide=partial(judge_each_negligible, little=LITTLE)), wanted=(-LITTLE, LITTLE)),
    Claim("magnitude-after-training", "ours",
          f"magnitude pruning in one step to ρ ≥ {LEAST_RHO:g}, after a short training, recognises more than SynFlow before it", "points",
          f"the paired 95 % interval of the difference lies above 0; {HOLM.format('below')}",
          partial(claim_difference, kind="trained_first_magnitude", decide=judge_each)),
    Claim("synflow-after-training", "ours", "SynFlow's score after training recognises more than before it", "points",
          f"the paired 95 % interval of the difference lies above 0; {HOLM.format('below')}",
          partial(claim_difference, kind="trained_first_synflow", decide=judge_each)),
]


def tabulate(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a network and check: mean n-accuracy of the baseline, and the check minus it at SHOWN_N; how many runs lost every path, and the
    FLOPs of the others over the baseline's of their seeds."""
    found, rows = differences(runs), []
    for case in plots.cases(found, ROW):
        own = plots.select_case(found, case)
        for kind, title in KINDS.items():
            part = own[own["kind"] == kind]
            if part.empty:
                continue
            by_n = intervals.summary(part, "difference", ["n"])
            lost = part.loc[part["n"] == SHOWN_N[0], "collapsed"]
            kept = part[~part["collapsed"]]
            rows.append({"network": plots.case_title(case), "check": title, "lost every path": f"{lost.sum()} of {len(lost)}",
                         "FLOPs, times SynFlow's": kept["own_flops"].mean() / kept["flops"].mean()}
                        | {f"n = {n}": text for n, text in zip(by_n["n"], report.format_summary(by_n))})
    return pd.DataFrame(rows)


def tabulate_baselines(runs: pd.DataFrame) -> pd.DataFrame:
    """n-accuracy of the networks that the checks stand beside, of the same seeds."""
    found = differences(runs).drop_duplicates([*ROW, "seed", "n"])
    means = intervals.summary(found, "baseline", [*ROW, "n"])
    means = means.assign(text=report.format_summary(means)).pivot(index=ROW, columns="n", values="text").add_prefix("n = ").reset_index()
    means.insert(0, "network", plots.titles(means, ROW))
    return means.drop(columns=ROW).rename_axis(columns=None)

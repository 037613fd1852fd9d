"""Claims on pruning with side information, on made-up runs and records."""
import itertools

import pandas as pd
from made_records import collapse, verdicts, write_run

from sharedlabel.analysis import beyond_pruning


def made_runs(budget: str = "weights", rho: float = 3.5, **gains: float) -> pd.DataFrame:
    """Averaged logits on MNIST's Conv, five seeds: SNIP has 60 + 5 seed %, the pruners in `gains` so many points more, a little apart."""
    rows = [
        {"dataset": "mnist", "model": "conv", "rho": rho, "budget": budget, "pruner": pruner, "reading": "baseline", "seed": seed, "n": n,
         "run": f"{pruner}{seed}", "accuracy": 60 + 5 * seed + gain + 0.1 * (seed % 2 if gain else 0), "weights": 83.0, "macs": 2000.0,
         "collapsed": False}
        for (pruner, gain), seed, n in itertools.product(gains.items(), range(5), beyond_pruning.SIZES)
    ]
    return pd.DataFrame(rows)


def test_pruners_are_compared_in_pairs_at_the_same_budget():
    runs = made_runs(snip=0, synflow=-20, snip_tuple=3, snip_half=4)
    found = beyond_pruning.claim_snip(runs)
    assert set(verdicts(found)) == {"holds"} and len(found) == 2 * 3 and found["estimate"].min() > 2.9
    assert set(verdicts(beyond_pruning.claim_synflow(runs))) == {"holds"}
    assert set(verdicts(beyond_pruning.claim_snip(made_runs(snip=0, snip_tuple=-3, snip_half=-2)))) == {"fails"}
    assert not verdicts(beyond_pruning.claim_snip_macs(runs))
    assert set(verdicts(beyond_pruning.claim_snip_macs(made_runs("macs", 3.25, snip=0, snip_tuple=3, snip_half=4)))) == {"holds"}
    assert set(beyond_pruning.claim_snip(made_runs(snip=0, snip_tuple=0))["verdict"]) == {"cannot tell"}


def test_scores_per_mac_are_set_against_synflows_dearer_networks():
    runs = pd.concat([made_runs(synflow=0, snip=50), made_runs("macs", 3.25, synflow=10, snip=20), made_runs("macs", 3.0, snip_tuple=20)])
    found = beyond_pruning.claim_per_mac(runs)
    assert set(verdicts(found)) == {"holds"} and len(found) == 2 * 3
    assert sorted(found["estimate"].round()) == [10.0] * 3 + [20.0] * 3
    assert found["case"].iloc[0] == "SNIP per MAC, MNIST, Conv, averaged logits"


def test_the_two_usual_pruners_are_compared_with_what_they_cost():
    runs = pd.concat([made_runs(snip=0, synflow=-20), made_runs(snip=0, synflow=7, rho=2.0), made_runs("macs", 3.25, snip=0, synflow=50)])
    runs.loc[runs["pruner"] == "synflow", "macs"] *= 3
    table = beyond_pruning.tabulate_usual(runs)
    assert [text.split(" ")[0] for text in table["n = 25"]] == ["7.040", "−19.96"] and set(table["MACs, times SNIP's"]) == {3.0}
    assert list(table.index) == ["MNIST, Conv, ρ = 2", "MNIST, Conv, ρ = 3.5"] and list(table.columns[:3]) == ["n = 1", "n = 5", "n = 25"]
    assert beyond_pruning.tabulate_usual(made_runs(snip=0)).empty


def test_records_of_both_budgets_and_a_collapse(tmp_path):
    given = {"dataset": "mnist", "model": "conv", "n": [1, 5, 25], "seed": 0}
    for pruner, budget, rho in (("snip", "weights", 3.5), ("snip", "macs", 3.25), ("snip_tuple", "macs", 3.25)):
        write_run(tmp_path, {1: 50, 5: 60, 25: 70}, pruner=pruner, budget=budget, rho=rho, **given)
    collapse(tmp_path, 0, pruner="snip_half", budget="macs", rho=3.25, **given)
    runs = beyond_pruning.select_runs(tmp_path)
    assert len(runs) == 12
    assert beyond_pruning.prunings(runs) == [("weights", "snip"), *itertools.product(["macs"], ["snip", *beyond_pruning.TOLD])]
    assert set(runs.loc[runs["collapsed"], "accuracy"]) == {10.0}  # guessing
    table = beyond_pruning.tabulate(runs, ("mnist", "conv"), 5)
    assert table["pruning"].tolist() == ["SNIP, ρ = 3.5", "SNIP per MAC, ρ = 3.25", "SNIP, tuple's loss per MAC, ρ = 3.25",
                                         "SNIP, balanced loss per MAC, ρ = 3.25"]
    assert table["collapsed"].tolist() == ["0 of 1", "0 of 1", "0 of 1", "1 of 1"]
    assert len(table.columns) <= 8

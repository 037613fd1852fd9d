"""Section 5.3's comparisons, claims and tables, on made-up records whose verdicts are known."""
import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from made_records import collapse, executed, write
from matplotlib import pyplot as plt
from pytest import approx

from sharedlabel.analysis import comparisons, report
from sharedlabel.analysis import section_5_3 as section
from sharedlabel.analysis import section_5_3_equal_cost as equal_cost
from sharedlabel.analysis import section_5_3_figures as figures
from sharedlabel.analysis import section_5_3_heads as heads
from sharedlabel.analysis import section_5_3_inventory as inventory
from sharedlabel.analysis import section_5_3_pruners as pruners
from sharedlabel.analysis import section_5_3_runs as selected
from sharedlabel.analysis import section_5_3_table_2 as table_2
from sharedlabel.analysis import section_5_3_tables as tables
from sharedlabel.runs import parameters, studies

NETWORK = {"dataset": "mnist", "model": "conv", "rho": 3.75}
PRUNED, UNPRUNED = "MNIST, Conv, ρ = 3.75, head ρ = 3.75", "MNIST, Conv, ρ = 3.75, head ρ = 0 (unpruned)"
CLAIMS = {claim.id: claim for claim in section.CLAIMS}


def save_heads(folder) -> None:
    """Three seeds of MNIST Conv: unpruned, the LSTM is far ahead of its head alone; pruned as stated, it is as far behind."""
    for seed, noise in enumerate((-0.5, 0.1, 0.6)):
        def run(method: str, accuracies: dict[int, float], epochs: int = 30, noise=noise, seed=seed, **given) -> None:
            near = {n: accuracy + noise * (1 + n / 50) for n, accuracy in accuracies.items()}
            head = {3.75: 31, 0.0: 171710, 2.0: 1718}.get(given.get("head_rho"), 0)
            given = NETWORK | {"seed": seed, "n": list(accuracies)} | given
            write(folder / "results", method, near, {"train_loss": [1.0] * epochs}, head, **given)

        run("balanced", {1: 40, 2: 50 - 2 * noise, 5: 55})
        run("balanced", {2: 59, 5: 69}, rho=3.5)
        run("baseline", {2: 48 + noise, 5: 54})
        run("baseline", {2: 95 - noise, 5: 97}, rho=3.0, macs=5000)  # ahead of the unpruned LSTM, and far cheaper
        run("cnn_lstm", {2: 90, 5: 95}, rho=3.5, train_n=2, head_rho=0.0)  # here balanced is at Table 2's rho for averaging
        for pruner, swapped in (("synflow", 0), ("magnitude", 20)):  # magnitude's LSTM is behind its control
            for head_rho, lead in ((0.0, 30 - 2 * swapped), (3.75, -10)):
                common = {"head_rho": head_rho, "pruner": pruner, "head_pruner": pruner}
                run("head_control", {2: 60 - noise, 5: 61 - noise}, train_n=1, **common)
                for n in (2, 5):
                    run("head_control", {n: 58 + n + noise}, train_n=n, **common)
                    run("cnn_lstm", {2: 58 + n + lead - 8 * (n == 5), n: 58 + n + lead}, train_n=n, **common)
        run("cnn_lstm", {5: 80}, train_n=5, cnn_method="baseline", head_rho=0.0)  # here the head alone brings the greater part
        run("head_control", {5: 76 - noise}, train_n=5, cnn_method="baseline", head_rho=0.0)
        run("cnn_lstm", {5: 70 - noise}, train_n=5, cnn_training="end_to_end", head_rho=0.0, epochs=50)
        run("cnn_lstm", {5: 93.4 + noise}, train_n=5, cnn_training="fine_tune", head_rho=0.0)
        run("graph", {5: 57 - noise}, architecture="neuron", train_n=5)
        for n, lead in ((2, 6), (5, 2)):
            run("cnn_lstm", {n: 80 + lead + 2 * noise / n}, train_n=n, head_rho=2.0)
        run("head_control", {2: 84 + noise, 5: 80}, train_n=1, head_rho=2.0)  # of the tuple's mean there is n = 2 alone
        run("head_control", {2: 85 + 3 * noise}, train_n=2, head_rho=2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    save_heads(folder)
    return folder


@pytest.fixture(scope="module")
def runs(folder) -> selected.Runs:
    return selected.select_runs(folder / "results")


def points(found: pd.DataFrame) -> dict:
    """What is compared and n: mean ± half its interval, and the verdict."""
    cells = zip(report.format_summary(found), found["verdict"])
    return {(*keys, n): cell for *keys, n, cell in zip(found["one"], found["variant"], found["n"], cells)}


def in_panel(table: pd.DataFrame, head_rho: float) -> pd.DataFrame:
    return table[(table["rho"] == 3.75) & (table["head_rho"] == head_rho)]


def part_of(runs: selected.Runs, head_rho: float) -> pd.DataFrame:
    return in_panel(selected.random_tuples(runs, every_head=True), head_rho)


def verdicts(rows: pd.DataFrame, case: str) -> list[str]:
    return list(rows.loc[rows["case"].str.startswith(case), "verdict"])


def test_every_claim_has_the_shared_form(runs):
    assert len(CLAIMS) == len(section.CLAIMS) == 15
    for rows in comparisons.judge_claims(section.CLAIMS, runs).values():
        assert list(rows) == comparisons.CLAIM_COLUMNS and set(rows["verdict"]) <= {"holds", "fails", "cannot tell", "not tested"}


def test_panels_hold_all_methods_without_a_head_and_table_2s_balanced(runs):
    panels = list(selected.each_panel(selected.random_tuples(runs, every_head=True)))
    assert [case[2:] for case, _ in panels] == [(3.5, 0.0), (3.75, 3.75), (3.75, 2.0), (3.75, 0.0)]
    shown = {case[2:] for case, _ in selected.each_panel(selected.random_tuples(runs))}
    assert shown == {(3.5, 0.0), (3.75, 3.75), (3.75, 0.0)}  # Table 2 has head rho 3.75; 2 is of the sweep alone
    pruned = part_of(runs, 3.75)
    assert {"baseline", "balanced", "graph_neuron", "lstm_balanced", "balanced_table_2"} <= set(pruned["variant"])
    assert set(pruned.loc[pruned["variant"] == "balanced_table_2", "params_remaining"]) == {83}  # 260,384 / 10 ** 3.5


def test_sharing_and_head_capacity_are_separated_both_ways_round(runs):
    for variant in ("lstm_balanced", "head_per_image_balanced"):
        costs = selected.costs(part_of(runs, 0.0), variant)
        assert (costs["weights"], set(costs["flops"]), costs["seeds"]) == (171757, {2 * 171750}, 3)
    rows = [CLAIMS[claim].rows(runs) for claim in ("sharing-adds", "lstm-beats-head")]
    for own in rows:
        assert verdicts(own, f"{UNPRUNED}: CNN-LSTM on balanced CNN") == ["holds"]  # a mean over n
        assert verdicts(own, f"{PRUNED}: CNN-LSTM on balanced CNN") == ["fails"]
        assert comparisons.judge_all(list(own["verdict"])) == "fails"
    single = [own[own["case"].str.startswith(PRUNED.replace("3.75, head ρ = 3.75", "3.75, head ρ = 2"))] for own in rows]
    assert set(pd.concat(single)["n"]) == {"mean over n", 2}  # where there is one n alone, that
    leads = in_panel(section.leads(runs), 0.0).set_index(["one", "n"])[["lead", "head", "sharing"]].round(1)
    assert leads.loc[("lstm_balanced", 5)].tolist() == [38.0, 8.1, 29.9]
    assert leads.loc[("lstm_baseline", 5)].tolist() == [26.0, 21.9, 4.1]


def test_the_section_in_brief_has_the_numbers_of_its_tables(runs):
    brief = tables.in_brief(runs)
    assert brief.index.tolist() == ["MNIST, Conv, ρ = 3.75"] and brief.columns.tolist() == list(tables.BRIEF.values())
    leads = tables.lead_in_brief(section.lstm_minus_averaged(runs), section.lstm_minus_controls(runs))
    pruned, unpruned = (leads.loc[(panel, "balanced")] for panel in (PRUNED, UNPRUNED))
    beside = section.lstm_minus_averaged(runs, "balanced_table_2").query("head_rho == 3.75 and one == 'lstm_balanced'")
    given = [report.format_summary(beside)[0], pruned["averaged logits"], *unpruned[["head, tuple's mean", "head, per image"]]]
    assert brief.iloc[0].tolist() == [cell.rstrip(" ✓✗") for cell in given]


def test_the_greater_part_of_a_lead(runs):
    rows = CLAIMS["sharing-greater-part"].rows(runs)
    assert verdicts(rows, f"{UNPRUNED}: CNN-LSTM on balanced CNN") == ["holds"] * 2
    assert verdicts(rows, f"{UNPRUNED}: CNN-LSTM on baseline CNN") == ["fails"]
    assert verdicts(rows, PRUNED) == []  # it is significantly ahead of averaged logits nowhere
    assert comparisons.judge_all(list(rows["verdict"])) == "fails"
    assert len(tables.sharing_minus_head(section.sharing_minus_head(runs))) == 3


def test_the_lead_in_brief_is_the_mean_over_n(runs):
    brief = tables.lead_in_brief(section.lstm_minus_averaged(runs), section.lstm_minus_controls(runs))
    assert brief.columns.tolist() == ["averaged logits", "head, per image", "head, tuple's mean"]
    assert brief.loc[(UNPRUNED, "balanced")].tolist() == ["39.1 ± 1.4 ✓", "31.1 ± 1.4 ✓", "29.9 ± 1.4 ✓"]
    assert brief.loc[(PRUNED, "balanced"), "head, per image"].endswith(" ✗")


def test_a_mean_over_n_is_one_comparison_more_and_over_one_n_none(runs):
    found = points(in_panel(section.lstm_minus_controls(runs), 2.0))  # the tuple's mean was run at n = 2 alone
    per_image, mean = ("lstm_balanced", "head_per_image_balanced"), ("lstm_balanced", "head_tuple_mean_balanced")
    assert set(found) == {(*per_image, 2), (*per_image, 5), (*per_image, 0), (*mean, 2)}
    assert found[(*mean, 2)] == ("0.9 ± 2.7", "cannot tell")
    assert found[(*per_image, 0)] == ("2.01 ± 0.27", "holds")
    assert [verdict for _, verdict in found.values()].count("holds") == 3
    baseline = in_panel(section.lstm_minus_controls(runs), 0.0).query("one == 'lstm_baseline'")
    assert list(points(baseline)) == [("lstm_baseline", "head_tuple_mean_baseline", 5)] and list(baseline["verdict"]) == ["holds"]


def test_the_sweep_of_the_heads_rho_is_in_pairs(runs):
    sweep = heads.head_sweep(runs)
    assert set(sweep["n"]) == {2}  # at 5, too, the LSTM has three rho, but not its controls
    assert sorted(set(sweep["head_rho"])) == [0.0, 2.0, 3.75] and sorted(set(sweep["seed"])) == [0, 1, 2]
    minus = tables.sweep(sweep, minus=True)
    assert minus.columns.tolist() == ["0", "2", "3.75"]
    row = ("MNIST, Conv, ρ = 3.75", 2)
    assert minus.loc[(*row, "head alone, per image")].tolist() == ["30.1 ± 1.4", "2 ± 0", "−9.9 ± 1.4"]
    assert minus.loc[(*row, "head alone, tuple's mean")].tolist() == ["29.9 ± 1.4", "0.9 ± 2.7", "−10.1 ± 1.4"]


def test_a_head_is_held_against_a_larger_cnn_that_costs_no_more(runs):
    means = equal_cost.spending_means(runs)
    averaged = means[(means["series"] == "averaged logits, SynFlow") & (means["case"] == ("mnist", "conv", 3.75))]
    assert averaged[["at", "n", "params_remaining", "flops_an_image", "seeds"]].to_numpy().tolist() == [
        [3.75, 2, 47, 80, 3], [3.75, 5, 47, 80, 3], [3.0, 2, 261, 10000, 3], [3.0, 5, 261, 10000, 3]]
    assert report.format_summary(averaged) == ["48.1 ± 2.8", "54.1 ± 1.5", "95.00 ± 0.05", "97.1 ± 1.5"]
    found = equal_cost.at_equal_cost(runs)
    pruned, unpruned = (points(in_panel(found, head_rho).query("one == 'lstm_balanced'")) for head_rho in (3.75, 0.0))
    assert pruned == {("lstm_balanced", "averaged logits, SynFlow, ρ = 3.75", 2): ("1.9 ± 1.4", "holds"),
                      ("lstm_balanced", "averaged logits, SynFlow, ρ = 3.75", 5): ("−1 ± 0", "fails"),
                      ("lstm_balanced", "averaged logits of the balanced CNN, SynFlow, ρ = 3.75", 2): ("0.1 ± 2.7", "cannot tell"),
                      ("lstm_balanced", "averaged logits of the balanced CNN, SynFlow, ρ = 3.75", 5): ("−2 ± 0", "fails")}
    assert unpruned == {("lstm_balanced", "averaged logits, SynFlow, ρ = 3", 2): ("−4.9 ± 1.4", "fails"),
                        ("lstm_balanced", "averaged logits, SynFlow, ρ = 3", 5): ("−4 ± 0", "fails"),
                        ("lstm_balanced", "averaged logits of the balanced CNN, SynFlow, ρ = 3.5", 2): ("31 ± 0", "holds"),
                        ("lstm_balanced", "averaged logits of the balanced CNN, SynFlow, ρ = 3.5", 5): ("24 ± 0", "holds")}
    assert comparisons.judge_all(list(CLAIMS["lstm-worth-its-weights"].rows(runs)["verdict"])) == "fails"


def test_the_order_under_another_pruner_is_compared_pair_by_pair(runs):
    found = in_panel(pruners.orders(runs, "magnitude"), 0.0)
    lstm = found[(found["one"] == "lstm_balanced") & (found["variant"] == "head_per_image_balanced")].set_index("n")
    assert lstm["synflow_mean"].round(1).tolist() == [30.1, 32.1] and lstm["mean"].round(1).tolist() == [-9.9, -7.9]
    assert lstm["significant"].all() and lstm["synflow_significant"].all()
    assert found.loc[found["synflow_significant"].astype(bool), "agree"].tolist() == [-1] * 4
    cells = tables.orders_under(runs, "magnitude").loc[(UNPRUNED, "CNN-LSTM on balanced CNN minus head alone, per image")]
    assert cells["SynFlow, n = 2"] == "30.1 ± 1.4*" and cells["magnitude, n = 2"] == "−9.9 ± 1.4*"


def test_of_two_pairs_there_is_no_interval(runs):
    own = {name: table for name, table in vars(runs).items() if isinstance(table, pd.DataFrame)}
    few = dataclasses.replace(runs, **{name: table[table["seed"] < 2] for name, table in own.items()})
    cells = tables.orders_under(few, "magnitude").loc[(UNPRUNED, "CNN-LSTM on balanced CNN minus head alone, per image")]
    assert not cells.str.contains("±").any() and cells["SynFlow, n = 2"] == "29.8*"
    assert not tables.accuracies_under(few, "magnitude").stack().str.contains("±").any()
    assert tables.accuracies_under(runs, "magnitude").stack().str.contains("±").all()


def test_reversed_orders_fail_and_no_runs_cannot_tell(runs, tmp_path):
    def under_magnitude(given: selected.Runs) -> pd.DataFrame:
        rows = CLAIMS["order-under-others"].rows(given)
        untested = rows["verdict"] == "not tested"
        assert set(rows.loc[untested, "case"]) >= {f"not tested: {what}" for what in ("random", "SNIP", "GraSP", "graph")}
        return rows[~untested]

    assert under_magnitude(runs).empty  # heads alone are not the paper's
    save_heads(tmp_path)
    for seed, noise in enumerate((-0.5, 0.1, 0.6)):
        def run(method: str, accuracies: dict[int, float], pruner: str = "magnitude", seed=seed, noise=noise, **given) -> None:
            near = {n: accuracy + (noise if method == "balanced" else 0) for n, accuracy in accuracies.items()}
            given = NETWORK | {"seed": seed, "n": list(near), "pruner": pruner} | given
            write(tmp_path / "results", method, near, {"train_loss": [1.0] * 30}, **given)

        run("balanced", {2: 70, 5: 75})  # SynFlow's unpruned LSTM is 40 points ahead of its CNN, at n = 5 the pruned one behind
        run("baseline", {2: 50, 5: 60}, pruner="synflow", rho=3.5)  # in Table 1; there balanced names 69 at n = 5
        run("baseline", {2: 90, 5: 80}, rho=3.5)
        run("balanced", {2: 60, 5: 70}, rho=3.5)
    found = under_magnitude(selected.select_runs(tmp_path / "results"))
    words = ("CNN-LSTM on balanced CNN minus balanced", "balanced minus CNN-LSTM on balanced CNN", "balanced minus baseline")
    cases = [(PRUNED, words[1], 5, 22, "holds"), (UNPRUNED, words[0], 2, -20, "fails"), (UNPRUNED, words[0], 5, -22, "fails"),
             ("MNIST, Conv, ρ = 3.5", words[2], 5, -10, "fails")]
    assert list(found["case"]) == [f"{panel}: {pair} under magnitude" for panel, pair, *_ in cases]
    assert list(found["n"]) == [case[2] for case in cases] and list(found["verdict"]) == [case[4] for case in cases]
    assert list(found["estimate"]) == approx([case[3] for case in cases], abs=1.5)
    assert (found["low"] < found["estimate"]).all() and (found["estimate"] < found["high"]).all()


def test_synflow_is_compared_with_each_other_pruner_for_the_other_methods(runs):
    rows = CLAIMS["synflow-best-methods"].rows(runs)
    found = rows[rows["verdict"] != "not tested"]  # both prune alike but for the unpruned head's CNN
    words = "CNN-LSTM on balanced CNN, SynFlow minus magnitude"
    assert list(found["case"]) == [f"{panel}: {words}" for panel in (PRUNED, PRUNED, UNPRUNED, UNPRUNED)]
    assert list(found["estimate"]) == approx([0, 0, 40, 40]) and list(found["n"]) == [2, 5] * 2
    assert list(found["verdict"]) == ["cannot tell"] * 2 + ["holds"] * 2 and (rows["verdict"] == "not tested").sum() == 4


def test_collapsed_networks_say_why_a_pruner_cannot_be_asked(runs, tmp_path):
    assert pruners.collapses(runs, "snip").empty
    save_heads(tmp_path)
    for rho, left in ((2.0, 2604), (3.0, 261)):
        collapse(tmp_path / "results", left, **NETWORK | {"rho": rho, "pruner": "snip"})
    found = pruners.collapses(selected.select_runs(tmp_path / "results"), "snip")
    assert found["CNN"].tolist() == ["MNIST, Conv, ρ = 3.5", "MNIST, Conv, ρ = 3.75"] and set(found["networks collapse from ρ"]) == {2.0}
    cases = CLAIMS["order-under-others"].rows(selected.select_runs(tmp_path / "results"))["case"]
    why = [f"MNIST, Conv, ρ = {rho}, networks collapse from ρ = 2" for rho in ("3.5", "3.75")]
    assert "; ".join(["not tested: SNIP", *why]) in list(cases)


def test_winning_and_its_price_are_judged_apart(runs):
    pruned, unpruned = (section.lstm_minus_methods(runs, pruned_head) for pruned_head in (True, False))
    assert set(pruned["head_rho"]) == {3.75} and set(unpruned["head_rho"]) == {0.0}
    assert [len(CLAIMS[name].rows(runs)) for name in ("lstm-beats-all", "lstm-unpruned-beats-all")] == [len(pruned), len(unpruned)]
    methods, unpruned = pd.concat([pruned, unpruned]), in_panel(unpruned, 0.0)
    assert {"balanced_table_2", "graph_neuron"} <= set(unpruned["variant"]) and list(unpruned["verdict"]) == ["holds"] * 8
    table = tables.opponents(methods).set_index("panel")
    assert table.loc[UNPRUNED, ["paired, of", "it wins", "verdict"]].tolist() == ["8 of 35", 8, "holds"]
    assert table.loc["MNIST, Conv, ρ = 3.5, head ρ = 0 (unpruned)", "paired, of"] == "1 of 30"  # there two names are one opponent
    costs = CLAIMS["lstm-costs-less"].rows(runs).set_index("case")
    assert f"{UNPRUNED}: weights" not in costs.index  # the paper states a pruned head
    assert costs.loc[f"{PRUNED}: weights", ["estimate", "verdict"]].tolist() == [78 / 83, "holds"]
    assert costs.loc[f"{PRUNED}: FLOPs", ["estimate", "verdict"]].tolist() == [142 / 80, "fails"]
    assert tables.costs_of_lstm(runs).set_index("panel").loc[PRUNED].tolist() == [78, 83, "140", "80"]


def test_a_cnn_is_better_trained_by_itself_and_fine_tuning_changes_little(runs):
    by_itself, fine_tuned = (CLAIMS[name].rows(runs) for name in ("trained-by-itself", "fine-tuning-negligible"))
    assert [list(rows["verdict"]) for rows in (by_itself, fine_tuned)] == [["holds"], ["holds"]]
    table = tables.training(runs, "frozen", "end_to_end", by_itself).iloc[0]
    assert table.tolist() == [UNPRUNED, 5, "23.1 ± 1.4", 3, "30 + 30", "50", "holds"]
    table = tables.training(runs, "fine_tune", "frozen", fine_tuned).iloc[0]
    assert table.tolist() == [UNPRUNED, 5, "0.5 ± 1.4", 3, "30 + 30", "30 + 30", "holds"]


@pytest.mark.parametrize("limited, verdict", [((), "holds"), ((0,), "holds"), ((0, 1, 2, 3, 4), "cannot tell")])
@pytest.mark.parametrize("behind", ["end_to_end", "frozen"])
def test_a_run_that_is_behind_and_stopped_at_the_limit_counts_as_level(behind, limited, verdict, tmp_path):
    """The other side's limit changes nothing."""
    for seed, noise in enumerate((-0.5, 0.1, 0.6, 0.3, -0.2)):
        given = NETWORK | {"seed": seed, "n": [5], "train_n": 5, "head_rho": 0.0}
        for training in ("frozen", "end_to_end"):
            accuracy, at_limit = (70 - noise, seed in limited) if training == behind else (90 + noise, True)
            stopped = "limit" if at_limit else "no improvement"
            write(tmp_path, "cnn_lstm", {5: accuracy}, {"train_loss": [1.0]}, 171710, stopped, cnn_training=training, **given)
    [row] = CLAIMS["trained-by-itself"].rows(selected.select_runs(tmp_path)).to_dict("records")
    assert row["verdict"] == (verdict if behind == "end_to_end" or verdict == "cannot tell" else "fails")
    assert abs(row["estimate"]) == approx(20, abs=0.5)  # as measured


def test_all_networks_and_seeds_are_pooled_with_unpruned_heads(runs):
    found = section.pool_unpruned(runs).set_index("control")
    rows = CLAIMS["lstm-beats-head"].rows(runs)
    of_balanced = rows[rows["case"].str.startswith(UNPRUNED) & rows["case"].str.contains("per image$")]["estimate"].item()
    assert found.loc["head_per_image", "seeds"] == 3 and found.loc["head_per_image", "mean"] == approx(of_balanced)  # one CNN has it
    assert found.loc["head_tuple_mean", "mean"] < 29  # the mean of both CNNs: 29.9 and, at n = 5 alone, 4.1


def test_unpruned_heads_are_pooled_by_network_of_those_that_have_every_n(tmp_path):
    leads = {("mnist", "conv", 3.75): {2: 3, 5: 5}, ("cifar10", "resnet18", 4.5): {2: -6, 5: -6},
             ("cifar10", "resnet18", 4.0): {2: -2, 5: -2}, ("cifar100", "conv", 2.5): {2: 30}}
    for seed, noise in enumerate((-1, 0, 1)):
        for (dataset, model, rho), by_n in leads.items():
            for n, lead in by_n.items():
                given = {"dataset": dataset, "model": model, "rho": rho, "seed": seed, "n": [n], "train_n": n, "head_rho": 0.0}
                for method, accuracy in (("head_control", 50), ("cnn_lstm", 50 + lead + noise)):
                    write(tmp_path, method, {n: accuracy}, {"train_loss": [1.0]}, 171710, **given)
    found = section.pool_unpruned(selected.select_runs(tmp_path)).set_index("control").loc["head_tuple_mean"]
    assert found[["strata", "seeds"]].tolist() == [2, 6]  # CIFAR-10's two rho are one network
    assert found[["least", "mean", "most"]].tolist() == approx([-4, 0, 4])  # CIFAR-100's lacks n = 5


def test_the_nearest_reading_of_table_2(runs):
    found = table_2.readings(runs)
    lstm = found[(found["head"] == "lstm") & (found["rho"] == 3.75)]
    assert table_2.describe_reading(lstm.iloc[0]) == "unpruned"
    assert lstm.iloc[0][["cells", "seeds", "nearest"]].tolist() == [3, 3, True] and lstm["points"].iloc[0] == approx(5.4, abs=0.05)
    stated = lstm[tables.as_stated(lstm)]
    assert stated[table_2.READING].to_numpy().tolist() == [[3.75, "synflow", "pruned", False, 0.0001]]
    assert stated[["cells", "seeds", "points", "fullest", "nearest"]].round(1).to_numpy().tolist() == [[2, 3, 42.1, 2.1, False]]
    assert len(tables.readings(found)) == len(found)


def test_one_head_does_not_serve_every_n(runs):
    found = in_panel(heads.trained_for_5(runs), 0.0)
    assert found["n"].tolist() == [2] and report.format_summary(found) == ["−5 ± 0"]  # better at 5, worse away from it


def test_the_printed_table_stands_above_ours(runs):
    beside = table_2.beside_printed(runs)
    lines = tables.printed(beside, table_2.LINES).reset_index()
    lines = lines[(lines["panel"] == UNPRUNED) & (lines["method"] == "CNN-LSTM on balanced CNN")]
    assert lines.iloc[:, 2:].to_numpy().tolist() == [["paper", "91.0", "96.3"], ["ours", "90.1 ± 1.4", "93.1 ± 1.5"]]
    ours = in_panel(beside, 0.0).query("variant == 'lstm_balanced'")
    assert ours[["weights", "flops", "seeds", "collapsed"]].to_numpy().tolist() == [[171757, 2 * 171750, 3, 0]] * 2
    distance = table_2.distances(in_panel(beside, 0.0)).set_index("variant")["points"]
    assert distance["lstm_balanced"] == approx(np.mean([90.97 - 90.07, 96.34 - 93.07]), abs=0.01)


def test_a_collapsed_head_is_counted_beside_its_n(tmp_path):
    for seed in (0, 1):
        given = NETWORK | {"seed": seed, "n": [2], "train_n": 2, "head_rho": 3.75}
        write(tmp_path, "cnn_lstm", {2: 24.0 + seed}, {"train_loss": [1.0]}, 31, **given)
    lost = max(tmp_path.rglob("*.json"), key=lambda file: "seed1" in file.name)
    lost.write_text(json.dumps(json.loads(lost.read_text()) | {"status": "layer_collapse", "measures": [], "epochs": {}}))
    beside = table_2.beside_printed(selected.select_runs(tmp_path))
    assert beside[["variant", "n", "mean", "seeds", "collapsed"]].to_numpy().tolist() == [["lstm_balanced", 2, 24.0, 1, 1]]


def test_networks_without_a_head_are_said_to_be_missing(runs):
    missing = inventory.missing(runs).set_index("panel")["not run"]
    assert missing["CIFAR-10, ResNet-18, ρ = 4.5, head ρ = 2.5"] == "all methods with a head"
    assert "graph: joined embeddings" in missing[UNPRUNED] and "graph: neurons" not in missing[UNPRUNED]


def test_cnns_that_are_pruned_less_stand_beside_the_table(runs):
    found = tables.pruned_less(runs)
    assert found.loc[("MNIST, Conv", "baseline, ρ = 3: 261", "10 k")].tolist() == ["95.00 ± 0.05", "97.1 ± 1.5"]


def test_a_learning_rate_is_compared_seed_by_seed(tmp_path):
    for seed, rate, per_cent, epochs in ((0, 1e-4, 60, 100), (1, 1e-4, 99, 10), (0, 1e-3, 50, 20)):
        given = NETWORK | {"seed": seed, "n": [5], "train_n": 5, "head_rho": 0.0, "head_learning_rate": rate}
        write(tmp_path, "cnn_lstm", {5: per_cent}, {"train_loss": [1.0] * epochs}, 171710, **given)
    [row] = heads.higher_rate(selected.select_runs(tmp_path)).to_dict("records")
    names = ("rate", "per_cent", "per_cent_at_default", "epochs", "epochs_at_default", "seeds")
    assert [row[name] for name in names] == [1e-3, 50, 60, 20, 100, 1]


def test_a_head_scored_otherwise_is_held_against_the_usual_one_of_its_seed(tmp_path):
    for seed, scores in enumerate([{5: 60, 2: 70, 1: 40}, {5: 50, 2: 58}, {1: 90}]):  # the last has no partner
        for score_n, per_cent in scores.items():
            given = NETWORK | {"seed": seed, "n": [5, 15], "train_n": 5, "head_rho": 3.75, "head_score_n": score_n}
            write(tmp_path, "cnn_lstm", {5: per_cent, 15: 99}, {"train_loss": [1.0]}, 31, **given)
    runs = selected.select_runs(tmp_path)
    usual = parameters.effective({"head_score_n": parameters.default("head_score_n"), "head_rho": 3.75, "train_n": 5})["head_score_n"]
    expected = {5: {1: (-20, 1), 2: (9, 2)}, 2: {1: (-30, 1), 5: (-9, 2)}}[usual]
    found = heads.other_minus_usual(runs, "head_score_n").set_index("value")
    assert {value: tuple(row.round(6)) for value, row in found[["mean", "seeds"]].iterrows()} == expected and set(found["n"]) == {5}
    shown = tables.other_minus_usual(runs, "head_score_n").index.get_level_values("head_score_n")
    assert set(shown) == {"n" if value == 5 else str(value) for value in expected}
    assert heads.other_minus_usual(runs, "head_batch_size").empty and tables.other_minus_usual(runs, "head_batch_size").empty


def test_live_weights_are_counted_by_what_they_do():
    counts = heads.count_alive({f"head.{name}.index": torch.arange(count) for count, name in enumerate(heads.PARTS, start=1)})
    assert counts == {"embedding": 1, "gates": 2, "recurrent": 3, "gates' biases": 4 + 5, "classifier": 6, "its biases": 7}


def test_epochs_and_what_was_run_are_counted(runs):
    epochs = inventory.epochs(runs)
    assert epochs.loc[(UNPRUNED, "CNN-LSTM on balanced CNN")].tolist() == ["-", "30 (0 of 3)", "30 (0 of 3)"]
    assert epochs.loc[(UNPRUNED, "head alone, per image")].tolist() == ["30 (0 of 3)", "-", "-"]
    run = inventory.what_was_run(runs)
    found = run[(run["method"] == "CNN-LSTM on balanced CNN") & (run["settings"] == "cnn_training = end_to_end")]
    assert found[["CNN", "head ρ", "runs", "seeds", "n", "weights", "epochs", "limit"]].to_numpy().tolist() == [
        ["MNIST, Conv, ρ = 3.75", "0", 3, 3, "5", 171757, 50, 0]]


def test_figures_have_a_panel_a_head_and_the_papers_numbers_as_crosses(runs):
    figure = figures.methods(runs)
    titles = [ax.get_title().partition(";")[0].replace("\n", ", ") for ax in figure.axes]
    assert titles == ["MNIST, Conv, ρ = 3.5, head ρ = 0 (unpruned)", PRUNED, UNPRUNED]
    crosses = [line.get_ydata().tolist() for line in figure.axes[1].get_lines() if line.get_linestyle() == "None"]
    assert [90.97, 96.34, 97.40, 98.33, 99.18] in crosses
    assert list(figures.spending(runs)) == [("mnist", "conv", 3.5), ("mnist", "conv", 3.75)]
    figure = figures.trained_n(runs)
    legend = {handle.get_label(): handle.get_marker() for handle in figure.legends[0].legend_handles}
    drawn = {(ax, line.get_label()): line.get_marker() for ax in figure.axes for line in ax.get_lines()}
    assert {marker == legend[label] for (_, label), marker in drawn.items()} == {True}
    assert len({frozenset(label for at, label in drawn if at is ax) for ax in figure.axes}) > 1  # panels with other curves
    assert figures.sweep(runs) is not None
    plt.close("all")


@pytest.mark.slow
def test_the_notebook_shows_every_verdict(folder):
    said = executed("section_5_3", folder)
    for claim in section.CLAIMS:
        assert said.count(f"**Claim** ({claim.source}): {claim.words}. **Verdict:** ") == 1  # below its heading
    assert re.search(r"fails .* holds \d+, fails \d+.* (ours|section)", said)
    assert not re.search(r"\bnan\b", said)
    assert re.search(rf"of the study heads \(params/heads.yaml\), \d+ of {len(studies.run_names('heads'))} runs are in", said)
    assert (folder / "results" / "tables" / "section_5_3_claims.csv").exists()


@pytest.mark.slow
def test_the_notebook_goes_on_with_a_lone_run(tmp_path):
    write(tmp_path / "results", "baseline", {2: 50.0}, {"train_loss": [1.0]}, **NETWORK, seed=0, n=[2])
    collapse(tmp_path / "results", 27, **NETWORK | {"rho": 4.0})
    said = executed("section_5_3", tmp_path)
    assert said.count("no runs yet") > 10
    for claim in section.CLAIMS:
        assert re.search(rf"{re.escape(claim.words)}\. \*\*Verdict:\*\* <b [^>]*>(?:cannot tell|not tested|no runs yet)</b>", said)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no record lies below"):
        selected.select_runs(tmp_path)


def test_curves_of_a_panel_are_of_the_seeds_that_all_have():
    part = pd.DataFrame([("baseline", 0), ("baseline", 1), ("baseline", 2), ("balanced", 0)], columns=["variant", "seed"])
    assert heads.same_seeds(part, "variant")["seed"].tolist() == [0, 0] and len(heads.same_seeds(part[1:], "variant")) == 3

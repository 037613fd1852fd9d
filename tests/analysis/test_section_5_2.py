"""Section 5.2's comparisons, claims and tables, on made-up records whose verdicts are known."""
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from made_records import collapse, executed, save
from pytest import approx

from sharedlabel.analysis import (
    comparisons,
    section_5_2,
    section_5_2_plots,
    section_5_2_readings,
    section_5_2_settings,
    section_5_2_tables,
    tables,
)
from sharedlabel.analysis import section_5_2_training as training
from sharedlabel.runs import studies

NETWORK = ("mnist", "conv", 3.5)
NAMED = "MNIST, Conv, ρ = 3.5"
HALF = 1.120  # half the 95 % t-interval of the mean of NOISE
NOISE = (-0.4, 0.0, 0.5)
CLAIMS = {claim.id: claim for claim in section_5_2.CLAIMS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Balanced is 5 points below the baseline at n = 1 and 8 above it at n = 80, freeze-and-retrain 3 above it at n = 80."""
    folder = tmp_path_factory.mktemp("section")
    for seed, noise in enumerate(NOISE):
        baseline = np.array([40.0, 70.0, 80.0]) + 3 * noise
        save(folder / "results", "baseline", seed, list(baseline))
        save(folder / "results", "balanced", seed, list(baseline + [-5 + noise, 1 + noise, 8 + noise]))
        save(folder / "results", "freeze_retrain", seed, list(baseline + [0, 0, 3 + noise]))
        save(folder / "results", "balanced", seed, list(baseline + [-9 + noise, -2, 3]), standard_weight=0.0)
        save(folder / "results", "freeze_retrain", seed, list(baseline + [0, 0, 1]), standard_weight=1.0)
        save(folder / "settings", "baseline", seed, list(baseline + [-2 + noise, 0, 4]), batch_size=256)
        save(folder / "settings", "balanced", seed, list(baseline + [-1 + noise, 0, 4]), standard_weight=1.0)
        short = {"epochs": 10, "max_epochs": 10, "tuple_size": 2, "tuples_per_batch": 10}
        save(folder / "settings", "balanced", seed, list(baseline + [-3, 0, 4 + noise]), **short)
    save(folder / "results", "balanced", 0, [35.0, 70.0, 90.0], tuple_size=25)
    return folder


@pytest.fixture(scope="module")
def made(folder) -> SimpleNamespace:
    """Their tables: runs, curves, and the records and curves with other settings."""
    return load(folder)


def load(folder) -> SimpleNamespace:
    runs = section_5_2.select_runs(tables.load_records(folder / "results"))
    curves = training.select_curves(tables.load_curves(folder / "results"), runs)
    records, own = section_5_2_settings.load_settings(str(folder / "settings"))
    return SimpleNamespace(runs=runs, curves=curves, records=records, own=own)


def at(found: pd.DataFrame, **where) -> pd.Series:
    """The one row of a table with these values."""
    for name, value in where.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def values(row: pd.Series, *names: str) -> list:
    return [row[name] for name in names]


# ---- the claims


@pytest.mark.parametrize("claim, n, case, estimate, half, verdict", [
    ("balanced-large-n", 80, NAMED, 8.033, HALF, "holds"),
    ("baseline-n-1", 1, NAMED, 4.967, HALF, "holds"),
    ("freeze-retrain-large-n", 80, f"{NAMED}, over baseline", 3.033, HALF, "holds"),
    ("freeze-retrain-large-n", 80, f"{NAMED}, over balanced", -5.0, 0, "fails"),
    ("lambda-0", 1, NAMED, 4.0, 0, "holds"),
    ("lambda-0", 80, NAMED, 5.033, HALF, "holds"),
])
def test_each_claim_is_judged_case_by_case(made, claim, n, case, estimate, half, verdict):
    rows = CLAIMS[claim].rows(made.runs)
    assert list(rows.columns) == comparisons.CLAIM_COLUMNS
    row = at(rows, case=case, n=n)
    assert values(row, "estimate", "low", "high") == approx([estimate, estimate - half, estimate + half], abs=2e-3)
    assert values(row, "seeds", "verdict") == [3, verdict]


@pytest.mark.parametrize("claim, verdict, cases", [
    ("balanced-large-n", "holds", 1), ("baseline-n-1", "holds", 1), ("freeze-retrain-large-n", "fails", 2), ("lambda-0", "holds", 2),
])
def test_the_cases_are_summed_up(made, claim, verdict, cases):
    verdicts = list(CLAIMS[claim].rows(made.runs)["verdict"])
    assert (CLAIMS[claim].overall(verdicts), len(verdicts)) == (verdict, cases)


def test_a_claim_without_runs_cannot_be_told(made):
    for claim in section_5_2.CLAIMS:
        rows = claim.rows(made.runs[:0])
        assert list(rows.columns) == comparisons.CLAIM_COLUMNS and rows.empty
        assert claim.verdict(rows) == comparisons.NO_RUNS


def test_two_pairs_are_too_few_for_a_verdict(made):
    rows = section_5_2.claim_balanced_large_n(made.runs[made.runs["seed"] < 2])
    assert values(rows.iloc[0], "seeds", "verdict") == [2, "cannot tell"] and rows["low"].notna().all()


def test_other_networks_are_counted_apart(made, tmp_path):
    for seed, noise in enumerate(NOISE):
        save(tmp_path / "results", "baseline", seed, [50 + noise, 60, 70], rho=1.0)
        save(tmp_path / "results", "balanced", seed, [50, 60, 60 + noise], rho=1.0)
        save(tmp_path / "results", "baseline", seed, [50, 60, 70], rho=2.0)  # with one method there is nothing to compare
    other = section_5_2.select_runs(tables.load_records(tmp_path / "results"))
    assert set(other["rho"]) == {1.0}
    both = pd.concat([made.runs, other])
    assert list(section_5_2.claim_balanced_large_n(both)["case"]) == [NAMED]
    assert section_5_2.count_networks(section_5_2.claim_balanced_large_n, both) == (
        "Networks of Table 1 (1): 1 holds, 0 fails, 0 cannot tell; other networks (1): 0 holds, 1 fails, 0 cannot tell.")
    counted = section_5_2.count_networks(section_5_2.claim_freeze_retrain_large_n, both)
    assert counted.startswith("Networks of Table 1 (1), against every other: 0 holds, 1 fails, 0 cannot tell; other networks (0)")
    named = list(section_5_2_tables.evidence(both, made.curves, "balanced", "baseline")["network"])
    assert named == ["MNIST, Conv, ρ = 1 *", NAMED]


@pytest.mark.parametrize("verdicts, verdict", [
    (["holds"] * 6 + ["cannot tell"], "holds"), (["holds"] * 5 + ["cannot tell"] * 2, "cannot tell"),
    (["holds"] * 5 + ["fails"] * 2, "fails"), (["fails"] + ["cannot tell"] * 6, "cannot tell"), ([], "cannot tell"),
])
def test_almost_always_is_the_share_that_the_paper_has(verdicts, verdict):
    assert section_5_2.paper_share() == approx(6 / 7)
    assert section_5_2.judge_almost_all(verdicts) == verdict


def test_the_papers_differences_are_its_tables():
    paper = section_5_2.paper_differences()
    large = paper.loc[paper["n"] == 80, "paper"]
    assert CLAIMS["balanced-large-n"].paper == f"{large.min():+.1f} to {large.max():+.1f} at n = 80"
    first = -paper.loc[paper["n"] == 1, "paper"]
    assert CLAIMS["baseline-n-1"].paper == f"{first.min():+.1f} to {first.max():+.1f}"
    rows = pd.DataFrame({"case": [NAMED, "digits, FC, ρ = 1"], "n": [1, 1]})
    assert section_5_2_plots.printed_differences(rows, sign=-1) == approx([4.05, np.nan], nan_ok=True)


def test_runs_that_differ_in_more_than_the_settings_cannot_be_averaged(tmp_path):
    for epochs in (10, 20):
        save(tmp_path, "baseline", 0, [40, 70, 80], max_epochs=epochs)
    with pytest.raises(ValueError, match="cannot be averaged"):
        section_5_2.select_runs(tables.load_records(tmp_path))


# ---- what the claims rest on


def test_the_evidence_has_accuracies_epochs_and_the_difference_after_equally_many_epochs(made):
    row = section_5_2_tables.evidence(made.runs, made.curves, "balanced", "baseline").iloc[0]
    assert values(row, "network", "balanced %", "baseline %", "difference", "equally long", "epochs", "pairs") == [
        NAMED, "88.1", "80.1", "8.0 ± 1.1", "8.0 ± 1.1", "30 and 30", 3]
    row = section_5_2_tables.evidence(made.runs, made.curves, "freeze_retrain", "balanced").iloc[0]
    assert values(row, "freeze and retrain %", "balanced %", "epochs") == ["83.1", "88.1", "30 + 30 and 30"]
    row = at(training.equally_long(made.curves.query("n == 1"), "baseline", "balanced"), rho=3.5)
    assert values(row, "mean", "low", "seeds") == approx([4.967, 4.967 - HALF, 3], abs=2e-3)


def test_the_evidence_has_the_epochs_of_the_pairs_alone(tmp_path):
    for seed in range(4):
        save(tmp_path / "results", "balanced", seed, [40, 70, 80 + seed], epochs=20 if seed == 3 else 7)
        if seed < 3:
            save(tmp_path / "results", "baseline", seed, [40, 70, 70], epochs=6)
    made = load(tmp_path)
    assert values(section_5_2_tables.evidence(made.runs, made.curves, "balanced", "baseline").iloc[0], "epochs", "pairs") == ["7 and 6", 3]


def test_equally_long_ends_with_the_shorter_run_of_a_pair(tmp_path):
    for seed, noise in enumerate(NOISE):
        save(tmp_path / "results", "baseline", seed, [40, 70, 80], epochs=7)  # odd: ends a point low
        save(tmp_path / "results", "balanced", seed, [40, 70, 80 + noise], epochs=30)
    row = at(training.equally_long(load(tmp_path).curves.query("n == 80"), "balanced", "baseline"), rho=3.5)
    assert values(row, "mean", "seeds") == approx([np.mean(NOISE), 3])


def test_the_n_of_the_crossover_has_its_uncertainty(made):
    row = at(section_5_2.crossovers(made.runs), method="balanced")
    assert values(row, "first", "low", "high", "seeds", "better", "worse") == [25, 25, 80, 3, [80], [1]]
    row = at(section_5_2_tables.crossover_table(section_5_2.crossovers(made.runs)), method="balanced")
    assert values(row, "ahead from n", "95 %", "significantly above", "significantly below") == ["25", "25 to 80", "80", "1"]


def test_a_crossover_of_two_pairs_has_no_interval(made):
    row = at(section_5_2.crossovers(made.runs[made.runs["seed"] < 2]), method="balanced")
    assert row["first"] == 25 and np.isnan([row["low"], row["high"], row["never"]]).all()


def test_the_papers_number_is_compared_in_points(made):
    cells = section_5_2.table_1(made.runs)
    cell = at(cells, dataset="mnist", model="conv", rho=3.5, method="balanced", n=80)
    expected = [125, 94.17, 88.9, 97.3, 88.133, 4.5, -6.0, 3]
    names = ["tuples", "paper", "paper_low", "paper_high", "ours", "half", "difference", "seeds"]
    assert values(cell, *names) == approx(expected, abs=0.05)
    assert values(cell, "inside", "inside_run") == [False, True]
    assert len(cells) == 70 and cells["half"].notna().sum() == 6  # ours are one network, at three of its five n, by two methods
    assert at(cells, model="resnet18", method="baseline", n=1)[["ours", "half", "inside"]].isna().all()
    assert section_5_2_tables.count_inside(cells).startswith("Of the 6 cells with an interval")


def test_an_interval_is_at_least_one_tuple_wide(tmp_path):
    for seed in range(3):
        save(tmp_path, "baseline", seed, [40, 70, 80])
    cells = section_5_2.table_1(section_5_2.select_runs(tables.load_records(tmp_path)))
    assert at(cells, model="conv", rho=3.5, method="baseline", n=80)["half"] == approx(100 / 125)


def test_the_overview_counts_runs_at_the_limit_and_those_that_learned_nothing(tmp_path):
    save(tmp_path, "baseline", 0, [40, 70, 80], epochs=20)
    save(tmp_path, "baseline", 1, [40, 70, 80], epochs=30)
    records = tables.load_records(tmp_path)
    records.loc[records["seed"] == 0, ["at_limit", "idle"]] = True
    row = section_5_2.overview(section_5_2.select_runs(records)).iloc[0]
    names = ["weights", "seeds", "epochs", "limit", "at limit", "learned nothing", "minutes"]
    assert values(row, *names) == [83, 2, 25, 160, 1, 1, 2]


# ---- the course of training


def test_late_gains_are_of_each_runs_own_last_ten_epochs():
    def course(method: str, seed: int, epochs: int, each: float) -> pd.DataFrame:
        points = [40 + each * epoch for epoch in range(epochs)]
        return pd.DataFrame({"method": method, "seed": seed, "epoch": range(1, epochs + 1), "n": 25, "per_cent": points})
    curves = pd.concat([course("baseline", 0, 12, 1.0), course("balanced", 0, 30, 0.5), course("balanced", 1, 4, 1.0)])
    curves[["dataset", "model", "rho"]] = NETWORK
    row = training.late_gains(curves).iloc[0]
    assert values(row, "baseline", "balanced") == approx([10, (5 + 3) / 2])  # a run of four epochs has risen by three steps


def test_the_best_of_a_baselines_epochs_stands_beside_the_ones_that_were_kept():
    def course(method: str, best: int, per_cent: dict[int, float]) -> pd.DataFrame:
        points = 50 + pd.Series(per_cent, dtype=float).reindex(range(1, 41), fill_value=0.0)
        return pd.DataFrame({"method": method, "seed": 0, "best": best, "epoch": points.index, "n": 80, "per_cent": points.to_numpy()})
    curves = pd.concat([course("baseline", 35, {20: 9, 35: 4}), course("balanced", 10, {10: 8, 40: 30})])
    curves[["dataset", "model", "rho"]] = NETWORK
    low = curves.assign(n=25, per_cent=99.0)  # at a smaller n
    row = training.choose_by_test(pd.concat([curves, low])).iloc[0]
    assert values(row, "n", "baseline", "best baseline", "balanced", "seeds") == [80, 54, 59, 58, 1]


def test_unrest_is_the_zigzag_of_an_epoch_and_the_spread_of_seeds(made):
    row = at(training.unrest(made.curves), method="baseline", n=80)
    assert values(row, "range", "seeds_sd") == approx([2.0, 3 * np.std(NOISE, ddof=1)])
    assert row["epochs_sd"] == approx(1.05, abs=0.03)  # of a zigzag by one about its trend, with two degrees of freedom less


def test_single_runs_are_drawn_of_the_most_restless_network_that_has_enough_of_both_methods(made):
    other = made.curves.assign(dataset="cifar10", per_cent=made.curves["per_cent"] * 2)  # twice as restless
    curves = pd.concat([made.curves, other[(other["method"] == "baseline") | (other["seed"] == 1)]])
    assert training.find_most_restless(pd.concat([made.curves, other])) == ("cifar10", *NETWORK[1:])
    assert training.find_most_restless(curves) == NETWORK and training.find_most_restless(curves, seeds=1) == ("cifar10", *NETWORK[1:])
    figure, text = section_5_2_plots.restless(other[(other["method"] == "baseline") | (other["seed"] == 1)])
    assert [entry.get_text() for entry in figure.axes[0].get_legend().get_texts()] == ["balanced (runs: 1)", "baseline (runs: 3)"]
    assert "(balanced: 1, baseline: 3) of CIFAR-10, Conv, ρ = 3.5." in text
    assert section_5_2_plots.restless(made.curves[:0]) == (None, "")


def test_the_papers_gap_is_read_against_our_pairs_and_the_zigzag_of_training(made):
    gaps = training.compare_gaps(made.runs, made.curves)
    names = ["paper", "ours", "half", "seeds", "half_pair"]
    assert values(at(gaps, n=1), *names, "half_epochs") == approx([-4.05, -4.967, HALF, 3, 2 * HALF, 2.9], abs=0.05)
    assert values(at(gaps, n=25), *names) == approx([3.28, 1.033, HALF, 3, 2 * HALF], abs=0.01)
    assert list(gaps["inside"]) == [True, False, True] and np.isnan(at(gaps, n=25)["half_epochs"])


def test_epochs_and_stopping_are_set_beside_the_paper(made):
    compared = training.compare_epochs(made.curves)
    reached = at(training.reach_paper(compared), method="balanced", n=1)
    assert values(reached, "paper", 5, 10, 20, "reached") == approx([35.15, 34.133, 36.133, 36.133, 2], abs=1e-3)
    closest = training.closest_epochs(compared).iloc[0]
    assert closest["epoch"] % 2 == 0 and closest["least"] == approx(closest[10])
    stopped = training.replay_stopping(made.curves)
    balanced = stopped[(stopped["method"] == "balanced") & (stopped["patience"] == 2)]
    assert list(balanced["epochs"]) == [4, 4, 4]  # stops after 4 epochs, keeps the second
    assert list(balanced.sort_values("n")["ours"]) == approx([36.133, 72.133, 89.133], abs=1e-3)
    assert set(stopped.loc[stopped["patience"] == 5, "epochs"]) == {30}


@pytest.mark.parametrize("patience, epochs", [(1, 3), (2, 4), (3, 5), (4, 6)])
def test_training_stops_after_so_many_epochs_without_an_improvement(patience, epochs):
    assert training.count_epochs(np.array([1.0, 0.9, 0.9, 0.9, 0.9, 0.9]), patience, 0.001) == epochs


# ---- other settings


def test_freeze_and_retrain_is_held_against_its_controls(made):
    found = section_5_2_settings.retraining_controls(made.runs)
    assert set(found["control"]) == {"standard loss (λ = 1)"}  # no run has two free layers
    assert list(found["mean"]) == approx([0, 0, 2.033], abs=1e-3)
    assert values(at(found, n=80), "high", "seeds", "verdict") == [approx(2.033 + HALF, abs=2e-3), 3, "holds"]


def test_the_loss_is_told_from_its_batches(tmp_path, made):
    for seed, noise in enumerate(NOISE):
        save(tmp_path / "results", "baseline", seed, [40, 70, 80])
        save(tmp_path / "results", "balanced", seed, [41, 70, 80])
        save(tmp_path / "results", "balanced", seed, [43 + noise, 70, 80 - noise], standard_weight=1.0)
        save(tmp_path / "results", "balanced", seed, [90, 90, 90], tuple_size=2)  # on batches that no run has with the standard loss
        save(tmp_path / "settings", "baseline", seed, [40, 70, 82 + noise], batch_size=80)  # as large as ten tuples of eight
        save(tmp_path / "settings", "baseline", seed, [10, 10, 10], batch_size=256)
    runs, (records, _) = load(tmp_path).runs, section_5_2_settings.load_settings(str(tmp_path / "settings"))
    found = section_5_2_settings.loss_or_batches(runs, records)
    assert values(at(found, part="its batches", n=1), "mean", "seeds") == approx([3.033, 3], abs=1e-3)
    assert values(at(found, part="the loss", n=1), "mean", "seeds") == approx([-2.033, 3], abs=1e-3)
    assert values(at(found, part="their equal classes", n=80), "mean", "seeds") == approx([-2.067, 3], abs=1e-3)
    assert len(found) == 9
    assert len(section_5_2_settings.loss_or_batches(runs, records[:0])) == 6
    [case] = section_5_2.claim_loss_not_batches(runs).to_dict("records")
    assert (case["n"], case["seeds"], case["verdict"]) == (80, 3, "cannot tell") and case["estimate"] == approx(0.033, abs=1e-3)
    [case] = section_5_2.claim_lambda_1(runs).to_dict("records")  # as the baseline but for the noise of half a point
    assert (case["n"], case["seeds"], case["verdict"]) == (80, 3, "holds") and case["estimate"] == approx(-0.033, abs=1e-3)
    for seed, noise in enumerate(NOISE):
        save(tmp_path / "more", "baseline", seed, [40, 70, 80])
        save(tmp_path / "more", "balanced", seed, [40, 70, 86 + noise], standard_weight=1.0)
    assert list(section_5_2.claim_lambda_1(section_5_2.select_runs(tables.load_records(tmp_path / "more")))["verdict"]) == ["fails"]
    both = section_5_2_settings.loss_or_batches(made.runs, made.records)  # the settings' folder has the standard loss of the same batches
    assert values(at(both, part="the loss", n=80), "mean", "seeds") == approx([4.033, 3], abs=1e-3)


def test_a_sweep_takes_the_seeds_that_have_every_value(made):
    assert set(section_5_2.sweep(made.runs, "standard_weight")["seed"]) == {0, 1, 2}
    assert set(section_5_2.sweep(made.runs, "tuple_size")["seed"]) == {0}
    fewer = made.runs[(made.runs["standard_weight"] != 0) | (made.runs["seed"] != 1)]
    more = pd.concat([fewer, fewer[fewer["standard_weight"] == 0].assign(standard_weight=0.25).query("seed == 2")])
    assert set(section_5_2.sweep(fewer, "standard_weight")["seed"]) == {0, 2}
    assert set(section_5_2.sweep(more, "standard_weight")["seed"]) == {2}
    found = at(section_5_2.sweep_differences(made.runs, "tuple_size"), n=80, tuple_size=25)
    assert found["difference"] == approx(90 - (80 - 1.2 + 8 - 0.4))
    beside = section_5_2_settings.sweeps_beside_paper(made.runs, "standard_weight")
    assert values(at(beside, n=80, standard_weight=0.0), "mean", "paper", "seeds") == approx([83.1, 94.17, 3], abs=1e-3)
    apart = section_5_2_settings.root_mean_square(beside, ["standard_weight"])
    errors = np.array([31.133 - 35.15, 68.1 - 78.79, 83.1 - 94.17])
    assert apart[0.0] == approx(np.sqrt((errors**2).mean()), abs=1e-3)


def test_batches_of_the_baseline_are_compared_in_pairs(made):
    found = section_5_2_settings.batches_beside_paper(made.records, made.runs)
    changed = found[found["setting"] == "batches of 256, pytorch"]
    assert list(changed["change"]) == approx([-1.967, 0, 4], abs=1e-3)
    assert values(at(changed, n=1), "change_low", "change_high") == approx([-1.967 - HALF, -1.967 + HALF], abs=2e-3)
    assert list(changed["paper"]) == approx([39.20, 75.51, 86.67])
    assert set(found.loc[found["change"].isna(), "setting"]) == {"batches of 64, pytorch"}


def test_learning_curves_of_other_batches_stand_beside_the_methods(made):
    each = section_5_2_settings.batch_curves(made.records, made.own, made.curves)
    means = each[each["n"] == 1].groupby(["training", "epoch"])["per_cent"].mean()
    short = means["λ = 0.5, 10 tuples of 2"]
    assert list(short.loc[[2, 5, 10]]) == approx([38.1, 36.1, 38.1]) and len(short) == 10
    assert (means["baseline"][2], means["balanced"][2]) == (approx(41.1), approx(36.133, abs=1e-3))


def test_every_training_on_other_batches_has_a_curve_of_its_own(made):
    each = section_5_2_settings.batch_curves(made.records, made.own, made.curves)
    copies = [each[each["training"] == "baseline"].assign(training=f"λ = 1, {k} tuples of 2") for k in (20, 30, 40, 50, 60)]
    figure = section_5_2_plots.batches(pd.concat([each, *copies]))
    drawn = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in figure.axes[0].get_lines()}
    assert len(drawn) == each["training"].nunique() + 5 == len(set(drawn.values()))


def test_balanced_training_without_every_class_in_a_batch_stands_beside_the_other_batches(made):
    fewer = made.runs[made.runs["default_settings"]].assign(tuples_per_batch=5.0)
    curves = pd.DataFrame({"run": [*fewer["run"].unique(), "another"], "epoch": 1})
    records, own = section_5_2_settings.add_fewer_classes(made.records, made.own, fewer, curves)
    added = records[len(made.records):]
    assert set(added["method"]) == {"balanced"} and set(added["run"]) == set(own["run"][len(made.own):]) and len(set(added["run"])) == 3
    assert "λ = 0.5, 5 tuples of 8" in set(section_5_2_settings.name_trainings(records)["training"])
    assert len(section_5_2_settings.add_fewer_classes(made.records, made.own, made.runs, curves)[0]) == len(made.records)


@pytest.mark.parametrize("when, one, other, means, verdicts", [
    ("after 10 epochs", "λ = 0.5, 10 tuples of 2", "baseline", [-3, 0, 4.033], ["fails", "cannot tell", "holds"]),
    ("after 10 epochs", "λ = 1, 10 tuples of 8", "balanced", [4, -1.033, -4.033], ["holds", "cannot tell", "cannot tell"]),  # Holm
    ("trained to the end", "λ = 1, 10 tuples of 8", "baseline", [-0.967, 0, 4], ["cannot tell", "cannot tell", "holds"]),
    ("after as many steps (epoch 30 and 24)", "λ = 1, 10 tuples of 8", "baseline", [-0.967, 0, 4], ["cannot tell", "cannot tell", "holds"]),
])
def test_the_batches_are_told_from_the_loss(made, when, one, other, means, verdicts):
    found = section_5_2_settings.batch_differences(made.records, made.own, made.curves, made.runs)
    rows = found[(found["when"] == when) & (found["one"] == one) & (found["other"] == other)]
    assert list(rows["n"]) == [1, 25, 80] and list(rows["mean"]) == approx(means, abs=1e-3)
    assert [verdict for verdict, mean in zip(rows["verdict"], means) if mean] == [v for v, mean in zip(verdicts, means) if mean]


def test_other_batches_are_compared_only_where_both_have_the_epochs_and_the_limits(made):
    found = section_5_2_settings.batch_differences(made.records, made.own, made.curves, made.runs)
    short = set(found.loc[found["one"] == "λ = 0.5, 10 tuples of 2", "when"])
    assert short == {"after 10 epochs"}  # the baseline has no 32 epochs, and nothing else the limit of 10


# ---- the notebook


def verdicts(text: str) -> list[str]:
    """The verdict under each claim, plain or in colour."""
    return re.findall(r"\*\*Verdict:[^.]*?(holds|fails|cannot tell|no runs yet)", text)


def test_the_notebook_says_what_the_functions_find(folder):
    text = executed("section_5_2", folder, settings="settings")
    assert verdicts(text) == ["holds", "no runs yet", "no runs yet", "holds", "fails", "holds"]  # λ = 1 lies in settings
    assert "Networks of Table 1 (1), against every other: 0 holds, 1 fails, 0 cannot tell" in text
    total = len(studies.load("table_1"))
    assert f"of the study table_1 (params/table_1.yaml), 0 of {total} runs are in" in text  # the made-up runs have other n
    assert "nan" not in text
    written = pd.read_csv(folder / "results" / "tables" / "section_5_2_table_1.csv")
    assert len(written) == 70 and written["ours"].notna().sum() == 6


@pytest.mark.parametrize("lone", ["run", "collapse"])
def test_the_notebook_says_what_is_missing(tmp_path, lone):
    if lone == "run":
        save(tmp_path / "results", "baseline", 0, [40, 70, 80])
        save(tmp_path / "settings", "balanced", 0, [39, 70, 80], standard_weight=1.0)
    else:
        collapse(tmp_path / "results", 27, dataset="mnist", model="conv", rho=3.5)
    text = executed("section_5_2", tmp_path, settings="settings")
    assert text.count("no runs yet") >= 8 and "No runs to draw yet" in text and "nan" not in text
    assert verdicts(text) == ["no runs yet"] * 6


def test_the_mean_of_softmax_outputs_may_name_another_label_than_that_of_logits():
    outputs = torch.tensor([[0.0, 10.0], [3.0, 0.0], [3.0, 0.0]])  # mean logits (2, 3.3); mean softmax outputs (0.64, 0.36)
    rows = section_5_2_readings.tuple_accuracies(torch.cat([outputs, -outputs]), torch.tensor([0, 0, 0, 1, 1, 1]), [1, 3], seed=0)
    assert rows == [
        {"n": 1, "logits": pytest.approx(200 / 3), "softmax": pytest.approx(200 / 3)}, {"n": 3, "logits": 0.0, "softmax": 100.0},
    ]

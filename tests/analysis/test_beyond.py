"""Claims on the law and on readouts, on made-up runs; and notebooks past the paper on a folder that has next to nothing."""
import itertools

import numpy as np
import pandas as pd
import pytest
from conftest import run_notebook
from made_records import executed, verdicts

from sharedlabel.analysis import beyond_law, readout, readout_tables, tables
from sharedlabel.analysis import beyond_law_figures as figures
from sharedlabel.analysis import readout_figures as figures_of_readouts


def law_runs(errors: dict[int, float], seeds: int = 3, method: str = "baseline", limit: float = 90, **given) -> pd.DataFrame:
    """Runs of one network with these errors (predicted - measured) by n, a little apart between seeds."""
    rows = []
    for seed, (n, error) in itertools.product(range(seeds), errors.items()):
        rows.append({
            "run": f"{method}{seed}", "dataset": "mnist", "model": "conv", "rho": 3.5, "method": method, "seed": seed, "n": n,
            "pruner": "synflow", "prune_iterations": 100, "accuracy": 88.0, "limit": limit + seed,
            "room_accuracy": 12.0, "room_information": 0.3,
            "predicted_training": 88 + error, "error_training": error + 0.1 * seed,
            "error_information": 0.01 * error, "measured_information": 3.0, "limit_information": 3.0, "relative_information": 3.0 * 3.5 / n,
        } | given)
    return pd.DataFrame(rows)


def test_the_law_holds_within_two_points_and_fails_beyond():
    assert verdicts(beyond_law.claim_large_n(law_runs({1: 9, 5: 1, 80: -1}))) == ["holds"]
    assert verdicts(beyond_law.claim_large_n(law_runs({1: 0, 5: 5, 80: -5}))) == ["fails"]  # errors do not cancel
    assert verdicts(beyond_law.claim_small_n(law_runs({1: 9, 5: 1, 80: -1}))) == ["fails"]
    assert verdicts(beyond_law.claim_large_n(law_runs({5: 1}, seeds=1))) == ["cannot tell"]
    assert verdicts(beyond_law.claim_information(law_runs({5: 5}))) == ["holds"]
    assert verdicts(beyond_law.claim_large_n(law_runs({5: 5}, pruner="snip"))) == []


def test_another_loss_or_batch_has_no_part_in_the_laws_cases():
    usual = law_runs({5: 1}, method="balanced", standard_weight=0.5, tuple_size=8, tuples_per_batch=10, classes=10)
    runs = pd.concat([usual, usual.assign(standard_weight=1.0, error_training=50.0, run="other")])
    assert beyond_law.claim_large_n(runs)["estimate"].tolist() == beyond_law.claim_large_n(usual)["estimate"].tolist()


def test_a_prediction_that_anybody_could_make_proves_nothing():
    """Where nearly all that there is was measured, whoever always says the most is as near."""
    full = law_runs({5: 1, 80: -1}, room_accuracy=1.9, room_information=0.09)
    assert verdicts(beyond_law.claim_large_n(full)) == verdicts(beyond_law.claim_information(full)) == ["cannot tell"]
    assert verdicts(beyond_law.claim_large_n(law_runs({5: 9, 80: -9}, room_accuracy=1.9))) == ["fails"]


def test_a_curve_of_errors_is_of_the_same_runs():
    few = law_runs({1: 50, 5: 50}, method="head_control")  # not measured at 80
    table = beyond_law.tabulate_errors(pd.concat([law_runs({1: 9, 5: 1, 80: -1}), few]).assign(
        error_held_out=0.0, error_corrected=0.0, error_resampled=0.0))
    assert table["runs"].tolist() == [3, 3, 3] and table["the law, training images"].tolist() == pytest.approx([9.1, 1.1, 0.9])


def test_errors_are_told_apart_where_there_is_room_for_them():
    runs = pd.concat([law_runs({5: 3}), law_runs({5: 0}, method="balanced", accuracy=98.0)])
    table = beyond_law.tabulate_errors(runs.assign(error_held_out=0.0, error_corrected=0.0, error_resampled=0.0))
    assert table["the law, training images"].item() == pytest.approx(1.6)
    assert table["of those below 98 %"].item() == pytest.approx(3.1)


def test_the_limit_is_compared_with_n_80():
    assert verdicts(beyond_law.claim_limit(law_runs({80: 0}, limit=87.0))) == ["cannot tell"]
    assert verdicts(beyond_law.claim_limit(law_runs({80: 0}, limit=100.0))) == ["fails"]


def test_balanced_training_raises_the_limit_in_pairs_by_seed():
    both = pd.concat([law_runs({1: 0}), law_runs({1: 0}, method="balanced", limit=97)])
    rows = beyond_law.claim_balanced_limit(both)
    assert verdicts(rows) == ["cannot tell"] or rows["estimate"].tolist() == [7.0]
    both.loc[(both["method"] == "balanced") & (both["seed"] == 0), "limit"] += 1
    assert verdicts(beyond_law.claim_balanced_limit(both)) == ["holds"]


def test_what_raises_a_limit_is_told_apart_in_pairs_by_seed():
    only_loss = law_runs({1: 0}, method="balanced", limit=91, standard_weight=1.0)
    usual = law_runs({1: 0}, method="balanced", limit=97, standard_weight=0.5, seeds=4)  # the fourth has no partner
    other = law_runs({1: 0}, method="balanced", limit=50, standard_weight=0.25)
    table = beyond_law.tabulate_limit_parts(pd.concat([law_runs({1: 0}), only_loss, usual, other], ignore_index=True))
    assert table.to_dict("records") == [{"network": "MNIST, Conv, ρ = 3.5", "its batches": "1 ± 0", "its loss": "6 ± 0", "seeds": 3}]
    assert beyond_law.tabulate_limit_parts(law_runs({1: 0}, standard_weight=np.nan)).empty
    assert beyond_law.tabulate_limit_parts(pd.concat([law_runs({1: 0}), usual], ignore_index=True)).empty


def test_the_sweet_spot_of_the_law_is_compared_with_the_measured_range():
    def swept(peak: float) -> pd.DataFrame:
        parts = []
        for rho, gain in ((2.0, 3.0), (3.0, 2.9), (4.0, 1.0)):
            predicted = 3.0 if rho == peak else 0.1
            part = law_runs({1: 0}, rho=rho, measured_information=predicted)
            parts.append(part.assign(relative_information=gain * rho + 0.01 * part["seed"]))
        return pd.concat(parts)

    assert verdicts(beyond_law.claim_sweet_spot(swept(3.0))) == ["holds"]
    assert verdicts(beyond_law.claim_sweet_spot(swept(4.0))) == ["fails"]
    at_an_end = swept(3.0)[lambda table: table["rho"] > 2]
    lower = at_an_end[at_an_end["rho"] == 4]
    at_an_end = pd.concat([at_an_end, lower.assign(rho=5.0, relative_information=lower["relative_information"] - 1)])
    assert verdicts(beyond_law.claim_sweet_spot(at_an_end)) == ["cannot tell"]


def test_images_needed_by_hand():
    ns = np.array([1, 2, 4, 8])
    assert readout.images_needed(ns, np.array([96, 97, 98, 99])) == 1
    assert readout.images_needed(ns, np.array([50, 90, 100, 100])) == pytest.approx(2 * 2**0.5)
    assert readout.images_needed(ns, np.array([50, 96, 94, 96])) == pytest.approx(4 * 2**0.5)  # it has to stay there
    assert readout.images_needed(ns, np.array([50, 60, 70, 80])) == np.inf


def rungs(**accuracies: list[float]) -> pd.DataFrame:
    """Runs of rungs at n = 5 and 40 with these accuracies by seed."""
    rows = [
        {"dataset": "mnist", "model": "conv", "rho": 3.75, "cnn_method": "balanced", "rung": rung, "seed": seed, "n": n,
         "run": f"{rung}-{seed}", "accuracy": value, "weights": 47, "macs": 1000}
        for rung, values in accuracies.items() for seed, value in enumerate(values) for n in (5, 40, 80)
    ]
    return pd.DataFrame(rows)


def test_rungs_are_compared_in_pairs_by_seed():
    runs = rungs(averaged=[40.0, 60.0, 80.0], lda=[50.0, 71.0, 89.0])
    assert verdicts(readout.claim_lda(runs)) == ["holds"] * 2 and set(readout.claim_lda(runs)["estimate"]) == {10.0}
    assert verdicts(readout.claim_lda(rungs(averaged=[50.0, 70.0], lda=[40.0, 60.5]))) == ["fails"] * 2
    level, below = (rungs(lstm=[96.0, 97.0, 98.0], mlp32=[96.0 - gap, 97.1 - gap, 98.0 - gap]) for gap in (1, 6))
    assert verdicts(readout.claim_mlp_lstm(level))[0] == "holds" and verdicts(readout.claim_mlp_lstm(below))[0] == "fails"
    assert verdicts(readout.claim_limit(rungs(lda=[99.0, 99.5, 99.9]))) == ["holds"]
    assert verdicts(readout.claim_limit(rungs(lda=[59.0, 59.5, 59.9]))) == ["fails"]
    assert verdicts(readout.claim_lda_pruned_lstm(runs)) == []


def test_refitted_biases_of_the_baseline_are_compared_with_balanced_training():
    baseline = rungs(averaged=[70.0, 71.0, 72.0], bias=[79.0, 80.1, 81.2], prior=[70.1, 71.0, 71.9]).assign(cnn_method="baseline")
    runs = pd.concat([baseline, rungs(averaged=[80.0, 81.0, 82.0], bias=[99.0, 99.0, 99.0])])  # these of the balanced CNN
    assert verdicts(readout.claim_bias(runs)) == ["holds"] * 2 and verdicts(readout.claim_prior(runs)) == ["cannot tell"] * 2
    against = readout.claim_bias_balanced(runs)
    assert verdicts(against) == ["holds"] * 2 and against["estimate"].tolist() == pytest.approx([-0.9] * 2)
    assert against["case"].tolist() == ["MNIST, Conv, ρ = 3.75, baseline network"] * 2
    assert verdicts(readout.claim_bias_balanced(baseline)) == []
    table = readout_tables.tabulate_offsets(runs, 40)
    assert table.columns.tolist() == ["network", "averaged logits", "less log frequencies", "refitted biases", "balanced training",
                                      "balanced, refitted"]
    assert [text.split()[0] for text in table.iloc[0, 1:]] == ["71.0", "71.0", "80.1", "81.0", "99"]
    figure, text = figures_of_readouts.draw_offsets(runs, [("mnist", "conv", 3.75), ("mnist", "fc", 2.5)])
    assert len(figure.axes) == 1 and "balanced training" in text and "refitted biases" in text
    assert figures_of_readouts.draw_offsets(rungs(lda=[1.0]), [("mnist", "conv", 3.75)]) == (None, "")
    assert readout_tables.tabulate_offsets(rungs(lda=[1.0]), 40).empty


def test_of_a_network_that_the_law_takes_for_hopeless_nobody_can_tell(monkeypatch):
    places = [{"dataset": "mnist", "model": "conv", "rho": rho, "rung": "lda", "seed": seed} for rho in (3.0, 3.5) for seed in range(3)]
    found = pd.DataFrame(places).assign(measured=[10.0, 11.0, 12.0, 60.0, 70.0, np.inf], predicted=[10.1, 11.1, 12.0, 61.0, np.inf, 9.0])
    monkeypatch.setattr(readout, "needed", lambda runs: found)
    rows = readout.claim_needed(None)
    assert verdicts(rows) == ["holds", "cannot tell"] and list(rows["seeds"]) == [3, 1]
    assert rows["case"][1] == "MNIST, Conv, ρ = 3.5 (by the law never up to n = 80 in 1 more)"
    found["measured"] = found["predicted"] = 1.1  # to say that one image is enough takes no law
    assert verdicts(readout.claim_needed(None)) == ["cannot tell"] * 2


def test_set_heads_are_compared_each_with_the_lstm_and_with_itself_alone():
    of_sets = {"deep_sets": [96.5, 97.6, 98.4], "attention": [90.0, 91.1, 92.1], "deep_sets_alone": [97.5, 98.5, 99.5]}
    runs = rungs(lstm=[96.0, 97.0, 98.0], **of_sets)
    rows = readout.claim_sets_lstm(runs)
    assert verdicts(rows) == ["holds"] * 2 + ["fails"] * 2 and list(rows["n"]) == [5, 40] * 2
    assert list(rows["case"])[1:3] == [f"{name}, MNIST, Conv, ρ = 3.75, balanced network" for name in ("DeepSets", "attention pooling")]
    assert verdicts(readout.claim_sets_alone(runs)) == ["fails"] * 2  # of attention there is no control
    assert verdicts(readout.claim_sets_alone(rungs(lda=[1.0]))) == [] == verdicts(readout.claim_sets_head(runs))


def test_failures_of_both_set_heads_are_corrected_for_all_of_them():
    few = rungs(lstm=[96.0, 97.0, 98.0], attention=[90.0, 91.5, 93.0])  # each of its two cases has p = 0.007
    level = pd.concat([rungs(lstm=[96.0, 97.0, 98.0], deep_sets=[90.0, 97.1, 104.0]).assign(rho=rho) for rho in range(30)])
    assert verdicts(readout.claim_sets_lstm(few)) == ["fails"] * 2
    assert "fails" not in verdicts(readout.claim_sets_lstm(pd.concat([few, level])))


def made_set_head(**given) -> dict:
    """A row of a set head's record, as `tables.load_records` has it."""
    return {
        "method": "set_head", "set_head": "deep_sets", "train_n": 5, "head_rho": 0.0, "head_batch_size": 0, "head_learning_rate": 1e-3,
        "dataset": "mnist", "model": "conv", "rho": 3.75, "cnn_method": "balanced", "seed": 0, "protocol": "random", "pruner": "synflow",
        "prune_iterations": 100, "n_accuracy": 0.9, "params_remaining": 171_000, "macs_live_image": 170_000, "run": "a",
    } | given


def test_a_set_head_is_read_at_the_n_that_it_was_trained_for_and_its_control_at_every_n(monkeypatch):
    alone = {"train_n": 1, "head_batch_size": 64, "run": "b"}
    rows = [made_set_head(n=n, macs_live=10 * n + 100, **more) for n in (1, 2, 5, 7, 15, 40) for more in (
        {}, alone, {"train_n": 15, "run": "c"}, {"head_rho": 1.0, "run": "d"}, {"head_learning_rate": 1e-4, "run": "e"})]
    made = pd.DataFrame(rows)
    made = made.reindex(columns=list(dict.fromkeys([*made, *tables.parameter_names()])))  # as a folder's table has them
    monkeypatch.setattr(readout.tables, "load_records", lambda *_: made)
    found = readout.select_runs()
    sizes = {rung: list(part["n"]) for rung, part in found.groupby("rung")}
    assert sizes == {"deep_sets": [2, 5, 7, 15], "deep_sets_alone": [1, 2, 5, 7, 15, 40]}
    shared_out = found[found["rung"] == "deep_sets"].set_index("n")["macs"]
    assert shared_out.to_dict() == pytest.approx({2: 120 / 2, 5: 150 / 5, 7: 170 / 7, 15: 250 / 15})


def test_trained_readouts_are_rungs_although_their_batches_are_not_the_heads():
    assert {"linear", "mlp8", "mlp32", "mlp200"} <= set(readout.select_runs()["rung"])


def test_a_curve_is_of_the_seeds_that_lda_has():
    runs = pd.concat([rungs(averaged=[50.0, 60.0, 70.0], lda=[70.0, 80.0]), rungs(averaged=[1.0, 2.0, 3.0]).assign(rho=2.0)])
    cases = [("mnist", "conv", rho, "balanced") for rho in (3.75, 2.0)]
    figure, text = figures_of_readouts.draw_curves(runs, cases)
    assert len(figure.axes) == 1 and "averaged logits: 55 at 5, 55 at 80" in text and "LDA: 75 at 5, 75 at 80" in text


def test_every_rung_looks_like_no_other():
    styles = figures_of_readouts.rung_styles()
    assert set(styles) == set(readout.RUNGS) - set(figures_of_readouts.IN_TABLES_ONLY) > set(figures_of_readouts.CURVES)
    assert all(len(set(looks)) == len(styles) for looks in zip(*styles.values()))


def test_what_the_paper_did_not_ask_is_not_in_the_tables_of_its_sections():
    assert "readout" not in set(readout.tables.load_records("results")["method"])


def test_the_ladder_is_in_its_order_and_has_costs():
    runs = rungs(lstm=[96.0, 97.0], averaged=[40.0, 41.0], lda=[90.0, 91.0])
    table = readout_tables.tabulate_ladder(runs, ("mnist", "conv", 3.75, "balanced"))
    assert table["readout"].tolist() == ["averaged logits", "LDA", "CNN-LSTM"] and table["weights"].tolist() == [47] * 3
    assert readout_tables.tabulate_ladder(rungs(lda=[1.0]), ("cifar10", "conv", 2.0, "baseline")).empty


def test_the_ladder_has_the_seeds_of_lda_alone():
    runs = rungs(lstm=[96.0, 97.0], averaged=[40.0, 42.0, 90.0], lda=[90.0, 91.0])
    table = readout_tables.tabulate_ladder(runs, ("mnist", "conv", 3.75, "balanced"))
    assert table.set_index("readout")["n = 5"]["averaged logits"].startswith("41")


def test_marks_of_equal_cost_lie_side_by_side_about_it():
    spread = figures_of_readouts.spread(pd.Series({"a": 100.0, "b": 101.0, "c": 1000.0}))
    assert spread["c"] == 1000 and spread["a"] < 100 < 101 < spread["b"]
    assert spread["a"] * spread["b"] == pytest.approx(100 * 101)


def test_committed_averaged_readouts_are_what_the_cnns_say():
    """Why `averaged` needs no more runs than one row's."""
    runs = readout.tables.load_records("results", ("baseline", "balanced", "readout"))
    runs = runs[(runs["protocol"] == "random") & (runs["dataset"] == "mnist") & (runs["rho"] == 3.75) & (runs["pruner"] == "synflow")]
    averaged = runs[runs["readout"] == "averaged"].set_index(["cnn_method", "seed", "n"])["n_accuracy"]
    usual = readout.tables.at_defaults(runs, ["standard_weight"])
    cnn = usual[usual["method"].isin(["baseline", "balanced"])].set_index(["method", "seed", "n"])["n_accuracy"]
    assert len(averaged) and (averaged - cnn.reindex(averaged.index)).abs().max() == 0


def test_the_example_names_classes_as_the_limit_does():
    for moments in figures.read_example().values():
        winners = moments.mean.argmax(1)
        plane = figures.leading_discriminants(moments)
        assert plane.shape == (10, 2)
        lead = figures.tabulate_means({"baseline": moments})["baseline"]
        assert [("wins" in text) for text in lead] == [int(w) != label for label, w in enumerate(winners)]


@pytest.mark.parametrize("notebook", ["beyond_law", "beyond_readout", "beyond_small_dense", "beyond_pruning", "beyond_dependent"])
def test_a_notebook_says_what_is_missing_where_there_is_one_run(notebook, tmp_path):
    run_notebook("baseline", {"dataset": "digits", "model": "fc", "rho": 1.0, "n": [1, 5], "max_epochs": 2, "prune_iterations": 5,
                              "tuples_per_class": 20, "device": "cpu"}, tmp_path / "results")
    text = executed(notebook, tmp_path, **({"study": "results"} if notebook == "beyond_pruning" else {}))
    assert "no runs yet" in text and "No runs to draw yet" in text

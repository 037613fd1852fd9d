"""Small dense networks against pruned ones, and sanity checks, on made-up records whose verdicts are known; figures and notebook."""
import json

import numpy as np
import pandas as pd
import pytest
from made_records import write
from matplotlib.text import Text

from sharedlabel.analysis import comparisons, plots, sanity_checks, small_dense
from sharedlabel.analysis import small_dense_figures as figures
from sharedlabel.runs import parameters, records

SIZES = [1, 5, 25, 80]
CURVES = {"train_loss": [1.0] * 3, "validation_loss": [1.0] * 3}
PRUNED = {"method": "baseline", "dataset": "mnist", "model": "conv"}
DENSE = {"method": "small_dense", "dataset": "mnist", "model": "lda", "rho": 0.0}


def put(folder, accuracy: float, macs: int, seeds: int = 4, **given) -> None:
    """Records of one configuration with this n-accuracy in percent at every n, give or take a little between seeds."""
    method = given.pop("method")
    for seed in range(seeds):
        accuracies = {n: accuracy + 0.1 * seed + 0.01 * n * (seed % 2) for n in SIZES}
        write(folder, method, accuracies, CURVES, macs=macs, seed=seed, n=SIZES, **given)


@pytest.fixture
def runs(tmp_path):
    """The runs of a folder in which a dense network (pool 4) beats the pruned one of 5,000 MACs, and not that of 100,000 nor of 50."""
    put(tmp_path, 40.0, 5000, **PRUNED, rho=3.5)
    put(tmp_path, 95.0, 100_000, **PRUNED, rho=2.5)
    put(tmp_path, 20.0, 50, **PRUNED, rho=4.0)
    put(tmp_path, 30.0, 6000, **PRUNED, rho=3.75)  # not of the front
    put(tmp_path, 85.0, 490, **DENSE, pool=4)
    put(tmp_path, 50.0, 40, **DENSE, pool=14, seeds=2)  # too few seeds to be a configuration
    return small_dense.select_runs(tmp_path)


def test_flops_are_two_macs_and_the_additions_of_pooling(tmp_path):
    put(tmp_path, 85.0, 490, **DENSE, pool=4, seeds=1)
    file, = tmp_path.rglob("*.json")
    record = json.loads(file.read_text())
    record["network"]["cnn"]["additions"] = 735
    records.save(record, tmp_path)
    found = small_dense.select_runs(tmp_path)
    assert found["flops"].unique().tolist() == [2 * 490 + 735] and found["n"].tolist() == SIZES


def test_a_configuration_is_all_parameters_but_the_seed(runs):
    found = small_dense.configurations(runs)
    assert len(found) == 5 * len(SIZES) and (found["seeds"] == 4).all()
    assert set(found["name"]) == {"Conv, ρ = 3.5", "Conv, ρ = 2.5", "Conv, ρ = 4", "Conv, ρ = 3.75", "LDA, pool 4"}


def test_no_two_configurations_of_the_study_have_one_name():
    found = small_dense.configurations(small_dense.select_runs())
    assert len(found) > 1000 and not found.duplicated(["dataset", "n", "name"]).any()


def test_the_front_is_what_nothing_as_cheap_is_more_accurate_than():
    table = pd.DataFrame({"flops": [5, 1, 3, 3, 9], "mean": [50.0, 20.0, 40.0, 45.0, 50.0]})
    assert small_dense.front(table, "flops")["mean"].tolist() == [20.0, 45.0, 50.0]
    assert small_dense.front(table, "flops")["flops"].tolist() == [1, 3, 5]


def test_the_best_dense_network_that_costs_no_more_is_compared_with_the_pruned_front(runs):
    rows = small_dense.claim_flops(runs)
    assert list(rows.columns) == comparisons.CLAIM_COLUMNS
    at_one = rows[rows["n"] == 1].set_index("case")
    assert at_one["verdict"].to_dict() == {"MNIST, Conv, ρ = 3.5": "holds", "MNIST, Conv, ρ = 2.5": "fails"}
    assert at_one.loc["MNIST, Conv, ρ = 3.5", "estimate"] == pytest.approx(45.0)
    table = small_dense.tabulate_pruned_wins(small_dense.compare_with_front(runs, "flops", tuple(small_dense.DENSE_MODELS)), "flops")
    assert set(table["pruned"]) == {"Conv, ρ = 2.5", "Conv, ρ = 4"}  # the more accurate, and the one that costs less than any dense one
    assert table.loc[table["pruned"] == "Conv, ρ = 4", "best dense"].tolist() == ["none costs so little"] * 4


def test_narrow_networks_are_compared_with_their_own_kind(runs, tmp_path):
    assert small_dense.claim_narrow_flops(runs).empty  # LDA is none of the paper's
    put(tmp_path, 97.0, 4000, **DENSE | {"model": "conv", "width": 2, "pool": 2})
    found = small_dense.claim_narrow_flops(small_dense.select_runs(tmp_path))
    assert set(found["verdict"]) == {"holds"} and set(found["case"]) == {"MNIST, Conv, ρ = 3.5", "MNIST, Conv, ρ = 2.5"}


def test_costs_are_compared_at_equal_accuracy(runs):
    found = small_dense.equal_accuracy(small_dense.configurations(runs), "flops", [10.0, 50.0, 90.0, 99.0])
    assert found.loc[found["n"] == 1, "factor"].tolist() == [100 / 980, 200_000 / 980, 0.0]
    words = small_dense.tabulate_equal_accuracy(small_dense.configurations(runs), "flops")
    assert words.shape[1] == 8 and "only pruned" in set(words["pruned costs × dense"])


def test_the_ends_say_where_pruned_networks_are_alone(runs):
    table = small_dense.tabulate_ends(small_dense.configurations(runs), "flops")
    assert table.shape == (4, 8)
    assert table.iloc[0].tolist()[1:] == pytest.approx([1, 980, 20.155, 85.155, 980, 95.155, 200_000])


def test_figures_say_the_factor(runs):
    plots.style()
    found = small_dense.configurations(runs)
    for drawn, alt in (figures.draw_fronts(found, "mnist", "flops"), figures.draw_factors(found, "flops")):
        assert drawn is not None and len(alt) > 100
        assert "MNIST" in " ".join(text.get_text() for text in drawn.findobj(Text))
    assert "at n = 1 and 70 ± 2 %: pruned / dense 204;" in figures.draw_fronts(found, "mnist", "flops")[1]
    assert figures.draw_fronts(found[~found["dense"]], "mnist", "flops") == (None, "")
    assert figures.draw_factors(found[~found["dense"]], "flops") == (None, "")


def test_a_step_of_the_front_shows_in_the_factor(tmp_path, runs):
    put(tmp_path, 70.9, 20_000, **PRUNED, rho=3.25)  # up to 71 % a fifth of what it takes beyond
    found = small_dense.configurations(small_dense.select_runs(tmp_path))
    assert "at n = 1 and 70 ± 2 %: pruned / dense 41 to 204;" in figures.draw_fronts(found, "mnist", "flops")[1]


# ---- sanity checks


@pytest.fixture
def checked(tmp_path):
    """A baseline at 40 %; shuffled masks lose every path in two runs of four, other weights change nothing, training first helps."""
    put(tmp_path, 40.0, 5000, **PRUNED, rho=3.5)
    check = PRUNED | {"method": "sanity_check", "rho": 3.5}
    put(tmp_path, 12.0, 900, **check, check="shuffled", seeds=2)
    part = dict.fromkeys(("params_total", "params_remaining", "macs_dense", "macs_live"), 83)
    for seed in (2, 3):
        params = {"dataset": "mnist", "model": "conv", "rho": 3.5, "check": "shuffled", "seed": seed, "n": SIZES}
        records.save({
            "params": parameters.identity("sanity_check", parameters.check("sanity_check", params)), "status": "layer_collapse",
            "network": {"cnn": part}, "collapse": "no path", "measures": [], "epochs": {}, "provenance": {"seconds": 1.0},
        }, tmp_path)
    put(tmp_path, 40.3, 5000, **check, check="reinitialised")
    put(tmp_path, 60.0, 5000, **check | {"pruner": "magnitude", "prune_iterations": 1}, check="trained_first")
    return small_dense.select_runs(tmp_path).assign(tuples=1000)  # a hundred of each of ten classes


def test_checks_are_compared_with_the_baseline_of_their_seed(checked):
    found = sanity_checks.differences(checked)
    assert set(found["kind"]) == {"shuffled", "reinitialised", "trained_first_magnitude"}
    lost = found[found["collapsed"]]
    assert len(lost) == 2 * len(SIZES) and set(lost["n"]) == set(SIZES)
    assert (lost["accuracy"] == 10.0).all()


def test_the_verdicts_on_the_checks(checked):
    verdicts = {claim.id: set(claim.rows(checked)["verdict"]) for claim in sanity_checks.CLAIMS}
    assert verdicts == {"shuffled-masks": {"holds"}, "reinitialised-weights": {"holds"}, "magnitude-after-training": {"holds"},
                        "synflow-after-training": set()}
    table = sanity_checks.tabulate(checked)
    assert table["check"].tolist() == ["masks shuffled in layers", "weights drawn anew", "pruned after training, magnitude"]
    assert table["lost every path"].tolist() == ["2 of 4", "0 of 4", "0 of 4"] and table.loc[1, "n = 1"].startswith("0.3")
    assert table["FLOPs, times SynFlow's"].tolist() == [0.18, 1, 1]  # of the two that kept a path
    assert sanity_checks.tabulate_baselines(checked)["network"].tolist() == ["MNIST, Conv, ρ = 3.5"]


def test_without_records_of_checks_there_is_nothing_to_say(runs):
    assert sanity_checks.tabulate(runs).empty and sanity_checks.tabulate_baselines(runs).empty
    assert all(claim.rows(runs).empty for claim in sanity_checks.CLAIMS)


def test_sanity_checks_and_pruned_small_networks_are_no_rivals(checked):
    assert set(small_dense.configurations(checked)["method"]) == {"baseline"}
    assert np.isfinite(small_dense.configurations(checked)["flops"]).all()

"""Appendix C.2's claims and tables, on made-up records whose verdicts are known; nbval executes the notebook on the real ones."""
import re

import numpy as np
import pytest
import torch
from made_records import collapse, copy_run, executed, write_run
from torch import nn
from torch.nn.utils import prune as torch_prune

from sharedlabel.analysis import appendix_c_2, comparisons
from sharedlabel.analysis import appendix_c_2_figures as figures

PLACE = {"dataset": "mnist", "model": "fc", "rho": 1.5}
DRAWN = {"dataset": "mnist", "model": "conv", "pruner": "synflow", "rho": 3.5, "seed": 0}  # a real run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """On FC at 1.5 SynFlow beats random, is worse than SNIP at n = 1 alone, and magnitude collapses. SNIP is cheaper, random dearer."""
    folder = tmp_path_factory.mktemp("pruners") / "results"
    copy_run(folder, **DRAWN)
    for seed, noise in enumerate((-0.4, -0.1, 0.0, 0.2, 0.3)):
        write_run(folder, {1: 90 + noise, 5: 99.9}, pruner="synflow", macs=40, seed=seed, **PLACE)
        write_run(folder, {1: 95 - noise, 5: 99.95}, pruner="snip", macs=30, seed=seed, **PLACE)
        write_run(folder, {1: 70 + 3 * noise, 5: 80 - noise}, pruner="random", macs=50, seed=seed, **PLACE)
        collapse(folder, 3776, pruner="magnitude", seed=seed, **PLACE)
    return folder


@pytest.fixture(scope="module")
def runs(results):
    return appendix_c_2.select_runs(results)


def test_a_collapse_guesses_on_any_data_set(runs):
    """Of a folder of images the classes are known from the runs that measured something."""
    folder = runs.assign(dataset="folder-0123456789ab-32px", classes=runs["classes"].mask(runs["collapsed"]))
    found, expected = appendix_c_2.compare_with_synflow(folder), appendix_c_2.compare_with_synflow(runs)
    assert list(found["mean"]) == list(expected["mean"]) and found["lost"].sum() == expected["lost"].sum() > 0


def test_what_became_of_the_runs_is_counted(runs):
    counts = appendix_c_2.count_outcomes(runs)
    assert counts.loc["MNIST, FC, ρ = 1.5"].to_dict() == {"random": "5", "magnitude": "5, 5 collapsed", "SNIP": "5", "SynFlow": "5"}
    assert counts.loc["MNIST, Conv, ρ = 3.5", "SynFlow"] == "1"
    missing = appendix_c_2.describe_missing(runs, "pruning")
    assert missing.startswith("- Missing: 225 of the 246 runs to compare (make grid STUDY=pruning).\n")
    assert "- FC, GraSP at once: 15 runs, ρ = 1, 1.5, 2, 2.5, 3.\n" in missing
    assert missing.endswith("- Missing of the paper's data sets: CIFAR-10, CIFAR-100, Tiny ImageNet.")


def test_a_network_that_learned_nothing_is_counted(tmp_path):
    write_run(tmp_path, {1: 10, 5: 10}, bits={1: 0.0, 5: 0.0}, pruner="snip", seed=0, **PLACE)
    write_run(tmp_path, {1: 50, 5: 90}, pruner="snip", seed=1, **PLACE)
    assert appendix_c_2.count_outcomes(appendix_c_2.select_runs(tmp_path)).to_numpy().tolist() == [["2, 1 learned nothing"]]


def test_synflow_is_judged_against_each_other_pruning(runs):
    rows = appendix_c_2.claim_best(runs).set_index(["case", "n"])
    assert list(rows.reset_index()) == comparisons.CLAIM_COLUMNS
    assert rows["verdict"].to_dict() == {
        ("MNIST, FC, ρ = 1.5, magnitude, all collapsed", 1): "holds",
        ("MNIST, FC, ρ = 1.5, random", 1): "holds", ("MNIST, FC, ρ = 1.5, SNIP", 1): "fails",
        ("MNIST, FC, ρ = 1.5, magnitude, all collapsed", 5): "holds", ("MNIST, FC, ρ = 1.5, random", 5): "holds",
        ("MNIST, FC, ρ = 1.5, SNIP", 5): "cannot tell",  # both are above 99.8 %
    }
    worse = rows.loc[("MNIST, FC, ρ = 1.5, SNIP", 1)]
    half = 2 * 2.776 * np.std([-0.4, -0.1, 0.0, 0.2, 0.3], ddof=1) / np.sqrt(5)  # the difference is -5 + 2 * noise
    assert worse["estimate"] == pytest.approx(-5.0) and worse["high"] - worse["estimate"] == pytest.approx(half, rel=1e-3)
    assert rows.loc[("MNIST, FC, ρ = 1.5, magnitude, all collapsed", 1), "estimate"] == pytest.approx(80.0)  # a collapse guesses 10 %
    assert rows["seeds"].tolist() == [5] * 6
    assert comparisons.judge_all(list(rows["verdict"])) == "fails"


def test_the_verdicts_are_counted_with_the_ceiling_and_the_median_margin(runs):
    rows = appendix_c_2.count_verdicts(runs).set_index("n")
    columns = ["network", "comparisons", "better", "all the other's collapsed", "worse", "undecided", "at the ceiling"]
    assert rows.loc[1, columns].tolist() == ["MNIST, FC", 3, 2, 1, 1, 0, 0] and rows.loc[1, "median margin"] == pytest.approx(20.0)
    assert rows.loc[5, columns].tolist() == ["MNIST, FC", 3, 2, 1, 0, 1, 1] and rows.loc[5, "median margin"] == pytest.approx(19.9)
    [worse] = appendix_c_2.list_worse(runs).to_dict("records")
    assert worse == {"case": "MNIST, FC, ρ = 1.5", "n": 1, "other": "SNIP", "SynFlow minus the other": "−5.00 ± 0.68", "pairs": 5,
                     "p (Holm)": "0.000", "verdict": "fails"}


def test_pairs_in_which_both_were_trained_have_no_collapse(runs):
    trained = appendix_c_2.tabulate_differences(runs, 1, with_collapses=False)
    assert trained.loc["MNIST, FC, ρ = 1.5"].to_dict() == {"random": "20.00 ± 0.68", "SNIP": "−5.00 ± 0.68"}
    assert appendix_c_2.tabulate_differences(runs, 1, with_collapses=True).loc["MNIST, FC, ρ = 1.5", "magnitude"] == "80.00 ± 0.34"
    both = appendix_c_2.summarise_differences(runs)
    assert both.groupby("pairs")["pruning"].count().to_dict() == {"all": 6, "both trained": 4}


def test_the_same_pruners_are_compared_from_other_weights_at_the_places_that_both_have(runs, tmp_path):
    for seed in range(3):
        for pruner, accuracy in (("synflow", 80), ("snip", 84)):
            write_run(tmp_path, {1: accuracy + seed, 5: 99}, pruner=pruner, seed=seed, initialisation="he", **PLACE)
        write_run(tmp_path, {1: 50, 5: 60}, pruner="snip", seed=seed, initialisation="he", **PLACE | {"rho": 3.0})  # not run from the usual
    found = appendix_c_2.compare_weights(appendix_c_2.add_other_weights(runs, str(tmp_path))).query("n == 1").set_index("initialisation")
    assert found.loc["he", ["synflow", "snip", "mean", "seeds", "snip_collapsed"]].tolist() == pytest.approx([81, 85, -4, 3, 0])
    assert found.loc["pytorch", ["synflow", "snip", "mean", "seeds"]].tolist() == pytest.approx([90, 95, -5, 5])
    table = appendix_c_2.tabulate_weights(found.reset_index())
    assert table["initial weights"].tolist() == ["PyTorch's", "He's"]
    assert table.iloc[1].tolist() == ["MNIST, FC, ρ = 1.5", 1, "He's", "85.0", "81.0", "−4 ± 0", 3, 0]
    others = appendix_c_2.compare_weights(appendix_c_2.add_other_weights(runs[runs["model"] == "conv"], str(tmp_path)))
    assert appendix_c_2.tabulate_weights(others).empty  # no place has both


def test_figures_say_what_they_show(runs):
    figure, text = figures.draw_accuracy(runs)
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["random", "magnitude", "SNIP", "SynFlow"]
    crosses = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x" and len(line.get_xdata())]
    assert [line.get_label() for line in crosses] == ["magnitude"] and list(crosses[0].get_ydata()) == [10]
    assert "MNIST, FC, n = 1, SNIP: 95 % at ρ = 1.5. MNIST, FC, n = 1, SynFlow: 90 % at ρ = 1.5." in text
    assert figures.draw_differences(runs)[1].endswith("in points; surely negative: MNIST, FC, ρ = 1.5, SNIP at n = 1 by 5.0.")
    assert "MNIST, FC: SynFlow is surely worse and dearer than SNIP at ρ = 1.5." in figures.draw_prices(runs)[1]


def test_prices_are_compared_with_the_next_dearer_and_the_next_cheaper_network(runs):
    rows = appendix_c_2.claim_price(runs).set_index("case")
    assert rows["verdict"].to_dict() == {
        "MNIST, FC, random at ρ = 1.5, SynFlow cheaper (ρ = 1.5)": "holds", "MNIST, FC, SNIP at ρ = 1.5, SynFlow dearer (ρ = 1.5)": "fails",
    }
    assert rows["estimate"].tolist() == [pytest.approx(20.0), pytest.approx(-5.0)]
    prices = appendix_c_2.compare_prices(runs)
    assert prices[["kflops", "its_kflops"]].to_numpy().tolist() == [[0.1, 0.08], [0.06, 0.08]]


def test_a_best_rho_is_found_for_a_pruner_that_kept_a_path_at_three(tmp_path):
    for rho in (1.0, 2.0, 3.0):
        for seed, noise in enumerate((-0.01, 0.0, 0.01)):
            bits = {1: {1.0: 3.0, 2.0: 2.5, 3.0: 0.5}[rho] + noise, 5: 1.0 + noise}
            for pruner in ("synflow", "snip", "random"):
                given = {"dataset": "mnist", "model": "fc", "rho": rho, "pruner": pruner, "seed": seed}
                if pruner == "random" and rho == 3 and seed == 0:
                    collapse(tmp_path, 120, **given)
                else:
                    write_run(tmp_path, {1: 50 + 100 * noise, 5: 90}, bits=bits, **given)
    spots = appendix_c_2.tabulate_sweet_spots(appendix_c_2.select_runs(tmp_path))
    assert spots.to_dict("records") == [
        {"network, pruner": f"MNIST, FC, {pruner}", "ρ": "1, 2, 3", "n = 1": "2", "n = 5": "3*"} for pruner in ("SNIP", "SynFlow")]


def test_the_survivors_of_a_real_run_are_counted(results):
    shape = (1, 28, 28)
    network = figures.restore_network(results, DRAWN, shape)
    rows = figures.count_survivors(network, shape).set_index("layer")
    assert rows["weights"].dropna().tolist() == ["26 of 288", "25 of 9216", "32 of 250880"]
    assert rows.loc["image", "outputs"] == "476 of 784"
    assert rows.loc["Conv2d 0", ["channels", "positions", "outputs"]].tolist() == ["5 of 32", "226 of 784", "687 of 25088"]
    lost = figures.restore_network(results, DRAWN | {"seed": 1}, shape)  # has no checkpoint
    assert lost is None and figures.draw_survivors(lost, shape) == (None, "") and figures.count_survivors(lost, shape).empty


def test_what_multiplies_constants_is_told_by_hand():
    """Of 3 pixels to 2 units to 2 classes: the second unit has lost its pixels, and is its bias; one class reads both, one that alone."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    for layer, mask in ((network[1], [[1, 1, 0], [0, 0, 0]]), (network[3], [[1, 1], [0, 1]])):
        torch_prune.custom_from_mask(layer, "weight", torch.tensor(mask))
    assert figures.constant_share(network, (1, 1, 3)) == 2 / 5


def test_constants_of_a_channel_are_read_at_every_position():
    """The second of two channels reads nothing, and a kernel of one weight reads it at all 4 x 4 positions, as one of the first does."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1), nn.Flatten(), nn.Linear(16, 1))
    for layer, mask in ((network[0], [1, 0]), (network[2], [1, 1]), (network[4], [1] * 16)):
        torch_prune.custom_from_mask(layer, "weight", torch.tensor(mask).view(layer.weight.shape))
    assert figures.constant_share(network, (1, 4, 4)) == 16 / (16 + 32 + 16)


def test_the_constants_of_a_real_run_are_few(runs, results):
    found = figures.constant_shares(runs, results)
    assert found["run"].nunique() == 1 and 0 <= found["constant"].item() < 3


def test_the_notebook_goes_on_where_pruners_collapse_and_networks_are_missing(results):
    text = executed("appendix_c_2", results.parent)
    words = "SynFlow is the best pruner for the baseline"
    assert re.search(f"{words} +fails .*holds 4, fails 1, cannot tell 1", text)
    assert "−5.00 ± 0.68" in text and "- Missing: 225 of the 246 runs to compare" in text and "nan" not in text


def test_without_synflow_or_another_pruner_nothing_can_be_told(tmp_path):
    for pruner in ("random", "synflow"):
        write_run(tmp_path / pruner, {1: 90, 5: 99}, pruner=pruner, seed=0, **PLACE)
        runs = appendix_c_2.select_runs(tmp_path / pruner)
        assert appendix_c_2.claim_best(runs).empty and appendix_c_2.claim_price(runs).empty
        assert appendix_c_2.count_verdicts(runs).empty and appendix_c_2.list_worse(runs).empty
        assert appendix_c_2.tabulate_differences(runs, 1, True).empty and figures.draw_differences(runs) == (None, "")
        assert figures.draw_accuracy(runs)[0] is not None

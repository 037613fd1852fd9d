"""Appendix A.3's claims, on made-up records whose verdicts are known."""
import re

import numpy as np
import pytest
from made_records import collapse, executed, write
from pytest import approx

from sharedlabel.analysis import appendix_a_3 as section
from sharedlabel.analysis import comparisons, report

NETWORK = {"dataset": "mnist", "model": "conv", "rho": 3.75}
PANEL = "MNIST, Conv, ρ = 3.75, head ρ = {}"
CLAIMS = {claim.id: claim for claim in section.CLAIMS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """At head rho 2 confidence is 6 points ahead of random at n = 2 and 2 ahead at n = 5; at head rho 1 both are near 100 %."""
    folder = tmp_path_factory.mktemp("orders")
    for seed, noise in enumerate((-0.5, 0.1, 0.6)):
        def run(method: str, accuracies: dict[int, float], epochs: int = 30, noise=noise, seed=seed, **given) -> None:
            near = {n: accuracy + noise * (1 + n / 50) for n, accuracy in accuracies.items()}
            given = NETWORK | {"seed": seed, "n": list(accuracies)} | given
            curves = {"train_loss": [1.0] * epochs, "validation_loss": np.linspace(1, 0, epochs).tolist()}
            write(folder / "results", method, near, curves, 1718, **given)

        run("cnn_lstm", {3: 99.2 + noise / 4}, train_n=3, head_rho=1.0)
        run("cnn_lstm", {3: 99 + noise / 4}, train_n=3, head_rho=1.0, order="random")
        run("cnn_lstm", {2: 60}, train_n=2, head_rho=0.0)  # of the order by confidence alone: not compared
        for n, lead in ((2, 6), (5, 2)):
            run("cnn_lstm", {n: 80 + noise}, train_n=n, head_rho=2.0, order="random", stopped="limit" if n == 5 else "no improvement")
            run("cnn_lstm", {n: 80 + lead + 2 * noise / n}, train_n=n, head_rho=2.0)
            run("cnn_lstm", {n: 80.2}, train_n=n, head_rho=2.0, order="permutations", epochs=40 + seed)
        run("cnn_lstm", {7: 91}, train_n=7, head_rho=2.0)  # at this n no other order was run
        run("head_control", {2: 84 + noise, 5: 80, 7: 90}, train_n=1, head_rho=2.0)
        run("head_control", {2: 85 + 3 * noise}, train_n=2, head_rho=2.0)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    return section.select_runs(folder / "results")


def rows_of(claim: str, runs) -> list[tuple]:
    """(head rho, n, estimate ± half its interval, verdict) of every case."""
    rows = CLAIMS[claim].rows(runs)
    assert list(rows) == comparisons.CLAIM_COLUMNS
    cells = zip(rows["case"], rows["n"], report.format_summary(rows, "estimate"), rows["verdict"])
    return [(case.removeprefix(PANEL.format("")), n, estimate, verdict) for case, n, estimate, verdict in cells]


def overall(claim: str, runs) -> str:
    return CLAIMS[claim].overall(list(CLAIMS[claim].rows(runs)["verdict"]))


def test_only_panels_with_another_order_are_compared_and_the_controls_stand_beside_them(runs):
    assert set(runs["head_rho"]) == {1.0, 2.0} and 7 not in set(runs["n"])
    controls = runs[runs["method"] == "head_control"]
    assert sorted(set(zip(controls["order"], controls["n"]))) == [
        ("head_per_image_balanced", 2), ("head_per_image_balanced", 5), ("head_tuple_mean_balanced", 2)]  # no order was run at 7
    found = section.by_order(section.differences(runs), "difference")
    assert found.loc[(PANEL.format(2), "head alone, per image")].tolist()[0] == "4 ± 0"


def test_the_order_by_confidence_is_better(runs):
    assert rows_of("confidence-order", runs) == [
        ("1", 3, "0.2 ± 0", "holds"), ("2", 2, "6 ± 0", "holds"), ("2", 5, "1.96 ± 0.82", "holds")]
    assert overall("confidence-order", runs) == "holds"


@pytest.mark.parametrize("verdicts, expected", [
    (["holds", "holds", "fails"], "holds"), (["holds", "fails"], "fails"), (["holds", "cannot tell"], "cannot tell"),
    (["fails", "cannot tell", "cannot tell"], "cannot tell"), ([], "cannot tell"),
])
def test_usually_is_most_of_the_cases(verdicts, expected):
    assert section.judge_usually(verdicts) == expected


def test_the_lead_grows_at_low_n_where_there_is_room(runs):
    few, growth = CLAIMS["confidence-low-n"].rows(runs).to_dict("records")
    assert (few["case"], few["n"], few["verdict"]) == (PANEL.format(1), "fewer than two below 98 %", "cannot tell")
    assert np.isnan(few["estimate"])
    assert (growth["case"], growth["n"], growth["verdict"]) == (PANEL.format(2), "2, 5", "holds")
    assert growth["estimate"] == approx(4 / np.log2(2.5), abs=0.1) and growth["high"] - growth["estimate"] == approx(0.6, abs=0.05)
    assert overall("confidence-low-n", runs) == "cannot tell"


def test_permutations_make_a_negligible_difference(runs):
    assert rows_of("permutations-negligible", runs) == [("2", 2, "0.1 ± 1.4", "holds"), ("2", 5, "0.1 ± 1.4", "holds")]
    assert overall("permutations-negligible", runs) == "holds"
    near = runs.assign(per_cent=98.5 + (runs["per_cent"] - runs["per_cent"].mean()) / 100)  # no gain of two points is possible
    assert [row[-1] for row in rows_of("permutations-negligible", near)] == ["cannot tell"] * 2


def test_permutations_are_compared_by_the_epochs_of_their_own_way(runs):
    assert [section.epochs_to_converge(np.array(losses)) for losses in ([5, 3, 1.2, 1.1, 1, 2], [1, 2, 3], [2, 1])] == [3, 1, 2]
    later = [("2", 2, "10.3 ± 1.4", "holds"), ("2", 5, "10.3 ± 1.4", "cannot tell")]  # at n = 5 the earlier runs stopped at the limit
    assert rows_of("permutations-converge-later", runs) == later
    swapped = runs.assign(order=runs["order"].replace({"random": "permutations", "permutations": "random"}))
    assert rows_of("permutations-converge-later", swapped) == [("2", 2, "−10.3 ± 1.4", "fails"), ("2", 5, "−10.3 ± 1.4", "cannot tell")]
    half = runs.assign(losses=[loss if order != "permutations" else loss / 2 + 0.5 for loss, order in zip(runs["losses"], runs["order"])])
    assert rows_of("permutations-converge-later", half) == later  # a lower loss decides nothing
    table = section.convergence(runs)
    assert table.loc[(PANEL.format(2), 5)].tolist() == ["41 (0 of 3)", "30 (3 of 3)"]


@pytest.mark.slow
def test_the_notebook_shows_every_verdict(folder):
    said = executed("appendix_a_3", folder)
    for claim in section.CLAIMS:
        assert f"**Claim** ({claim.source}): {claim.words}." in said
    assert "missing of the paper's data sets: CIFAR-10, CIFAR-100, Tiny ImageNet\n" in said


@pytest.mark.slow
def test_the_notebook_goes_on_without_runs_to_compare(tmp_path):
    write(tmp_path / "results", "cnn_lstm", {2: 50.0}, {"train_loss": [1.0]}, 31, **NETWORK, seed=0, n=[2], train_n=2, head_rho=3.75)
    collapse(tmp_path / "results", 27, **NETWORK | {"rho": 4.0})
    said = executed("appendix_a_3", tmp_path)
    for claim in section.CLAIMS:
        assert re.search(rf"{re.escape(claim.words)} +no runs yet .*appendix A.3", said)


def test_only_collapsed_runs_leave_nothing_to_compare(tmp_path):
    collapse(tmp_path, 27, **NETWORK | {"rho": 4.0})
    empty = section.select_runs(tmp_path)
    assert empty.empty and all(rows.empty for rows in comparisons.judge_claims(section.CLAIMS, empty).values())
    with pytest.raises(FileNotFoundError, match="no record lies below"):
        section.select_runs(tmp_path / "none")

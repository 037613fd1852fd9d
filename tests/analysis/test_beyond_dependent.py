"""Tuples of views of one image: what they are worth, by hand and on made-up outputs; a run of digits; claims on made-up rows."""
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import generator, run_notebook
from made_records import verdicts

from sharedlabel import data
from sharedlabel.analysis import beyond_dependent, dependent, law
from sharedlabel.data import Images

GIVEN = {"dataset": "digits", "model": "fc", "rho": 1.0, "max_epochs": 12, "learning_rate": 2e-3,
         "tuples_per_class": 20, "device": "cpu"}


def images() -> Images:
    return Images(torch.arange(2 * 36, dtype=torch.uint8).view(2, 1, 6, 6), torch.tensor([0, 1]), torch.ones(1, 1, 1), torch.zeros(1, 1, 1))


def test_views_are_shifts_as_far_as_they_are_told_and_mirrored_only_if_they_are():
    crops = data.augmented(images(), "crop_flip", generator())
    index = torch.zeros(400, dtype=torch.int64)
    still = replace(crops, mirrors=False, padding=0).views(index)
    assert torch.equal(still, images().pixels[index]) and still.dtype == torch.uint8
    inner = {tuple(view[0, 2:4, 2:4].flatten().tolist()) for view in replace(crops, mirrors=False, padding=1).views(index)}
    assert inner == {tuple(images().pixels[0, 0, 2 + y : 4 + y, 2 + x : 4 + x].flatten().tolist())
                     for y, x in itertools.product((-1, 0, 1), repeat=2)}
    mirrored = {tuple(view[0, 2].tolist()) for view in replace(crops, padding=0).views(index)}
    assert mirrored == {tuple(images().pixels[0, 0, 2].tolist()), tuple(images().pixels[0, 0, 2].flip(0).tolist())}


def drawn(between: float, within: float, count: int = 600):
    """Outputs of 3 classes: their means, a part that an image's views share and a part of each view's own, of these standard deviations."""
    labels, stream = torch.arange(count) % 3, generator()
    shared = torch.eye(3)[labels] + between * torch.randn(count, 3, generator=stream)
    return shared[:, None] + within * torch.randn(count, dependent.VIEWS, 3, generator=stream), labels


@pytest.mark.parametrize("between, within", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 1.0)])
def test_what_views_are_worth_is_a_matter_of_the_variance_that_they_share(between, within):
    views, labels = drawn(between, within)
    rows = {row["n"]: row for row in dependent.measure_averages(views[:, 0], labels, views, labels, 0)}
    for n in (2, 5, 25):
        expected = (between**2 + within**2) / (between**2 + within**2 / n)
        assert rows[n]["effective"] == pytest.approx(expected, rel=0.12)
        assert beyond_dependent.kish(n, between**2 / (between**2 + within**2)) == pytest.approx(expected)
    if not within:  # copies
        assert rows[1]["dependent"] == rows[25]["dependent"] < rows[25]["independent"] - 20
    if not between:
        assert abs(rows[25]["dependent"] - rows[25]["independent"]) < 2


def test_kishs_formula_and_its_solution():
    assert beyond_dependent.kish(10, 0.0) == 10 and beyond_dependent.kish(10, 1.0) == 1 and beyond_dependent.kish(3, 0.5) == 1.5
    assert beyond_dependent.correlation_within(1.5, 3) == 0.5


def test_a_run_of_digits_and_its_readout(tmp_path, monkeypatch):
    monkeypatch.setattr(dependent, "CASES", [("digits", "fc", 1.0)])
    monkeypatch.setattr(dependent, "IMAGES", 800)
    run_notebook("baseline", GIVEN, tmp_path)
    run_notebook("readout", GIVEN | {"readout": "lda"}, tmp_path)
    run_notebook("baseline", GIVEN | {"pruner": "magnitude"}, tmp_path)  # of another pruner
    assert dependent.update(tmp_path) == 2
    rows = dependent.read(tmp_path)
    assert list(rows.columns) == dependent.COLUMNS and len(rows) == 2 * len(dependent.SHIFTS) * len(dependent.SIZES)
    assert set(rows["reader"]) == {"averaged", "lda"} and not rows.duplicated(["reader", "shift", "n"]).any()
    single = rows[rows["n"] == 1]
    assert (single["effective"] - 1).abs().max() < 0.25 and (single["independent"] - single["dependent"]).abs().max() < 12
    before = dependent.table_file(tmp_path).read_text()
    assert dependent.update(tmp_path) == 0 and dependent.table_file(tmp_path).read_text() == before


def test_every_committed_run_of_its_cases_is_measured():
    assert set(dependent.select_files()["run"].map(law.digest)) == set(dependent.read()["run"])


def made_rows(**given) -> pd.DataFrame:
    """Rows of averaged logits on one CNN, five seeds, at n = 1, 5, 15, 25; different images reach 40 + 10 log2 n."""
    rows = [
        {"dataset": "mnist", "model": "conv", "rho": 3.5, "cnn_method": "baseline", "reader": "averaged", "shift": 1, "seed": seed, "n": n,
         "independent": 40 + 10 * np.log2(n), "dependent": 50 + 0.1 * seed, "effective": min(n, 2.0), "predicted": 50.0,
         "run": f"r{seed}"} | given
        for seed, n in itertools.product(range(5), (1, 5, 15, 25))
    ]
    return pd.DataFrame(rows)


def select(monkeypatch, *tables: pd.DataFrame) -> pd.DataFrame:
    monkeypatch.setattr(dependent, "read", lambda results: pd.concat(tables, ignore_index=True))
    return beyond_dependent.select_runs()


def test_views_against_as_many_images_as_they_are_worth(monkeypatch):
    runs = select(monkeypatch, made_rows())
    assert runs.loc[runs["n"] == 25, "equivalent"].tolist() == pytest.approx([50.0] * 5)  # two images, between n = 1 and 5
    assert verdicts(beyond_dependent.claim_equivalent(runs)) == ["holds"] * 2
    assert verdicts(beyond_dependent.claim_equivalent(select(monkeypatch, made_rows(dependent=60.0)))) == ["fails"] * 2
    assert verdicts(beyond_dependent.claim_below(runs)) == ["holds"] and verdicts(beyond_dependent.claim_worth(runs)) == ["holds"]
    wide = made_rows().assign(effective=lambda rows: np.where(rows["n"] == 1, 1.5, 13.5))  # one view is one image
    runs = select(monkeypatch, wide)
    assert set(runs["effective"]) == {1.0, 9.0} and verdicts(beyond_dependent.claim_worth(runs)) == ["fails"]


def test_ways_of_sharing_are_compared_on_views_in_pairs(monkeypatch):
    lda = made_rows(reader="lda", run="lda")
    lda["dependent"] += 7
    balanced = made_rows(cnn_method="balanced", run="balanced")
    balanced["dependent"] -= 3 + 0.1 * balanced["seed"] % 0.2
    runs = select(monkeypatch, made_rows(), lda, balanced)
    gain = beyond_dependent.claim_lda(runs)
    assert verdicts(gain) == ["holds"] and gain["estimate"].tolist() == pytest.approx([7.0])
    assert beyond_dependent.claim_lda_adds(runs)["estimate"].tolist() == pytest.approx([0.0])  # as far ahead on one view
    lda.loc[lda["n"] == 25, "dependent"] += 3
    assert beyond_dependent.claim_lda_adds(select(monkeypatch, made_rows(), lda))["estimate"].tolist() == pytest.approx([3.0])
    assert verdicts(beyond_dependent.claim_balanced(runs)) == ["fails"]
    assert verdicts(beyond_dependent.claim_lstm(runs)) == []
    lstm = made_rows(reader="lstm", run="lstm")[lambda rows: rows["n"].isin([5, 15])]
    head = made_rows(reader="head", run="head", dependent=45.0)
    assert verdicts(beyond_dependent.claim_lstm(select(monkeypatch, lstm, head))) == ["holds"] * 2


def test_more_views_against_one(monkeypatch):
    rows = made_rows()
    rows.loc[rows["n"] == 1, "dependent"] -= 4
    assert verdicts(beyond_dependent.claim_views_help(select(monkeypatch, rows))) == ["holds"]
    assert verdicts(beyond_dependent.claim_views_help(select(monkeypatch, made_rows()))) == ["cannot tell"]

"""Readouts, held against arithmetic by hand and against the CNN's own record."""
import json
import os
import shutil

import pytest
import torch
from conftest import accuracies, generator, run_notebook
from hypothesis import given
from hypothesis import strategies as st

from sharedlabel import choices, embeddings, moments, predictors, readouts
from sharedlabel.runs import names, parameters

CNN = {"dataset": "digits", "model": "conv", "rho": 1.5, "n": [1, 5], "max_epochs": 4, "learning_rate": 2e-3,
       "prune_iterations": 10, "tuples_per_class": 20, "device": "cpu"}
TRAINED = {"head_max_epochs": 15, "head_learning_rate": 1e-2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results with a trained baseline CNN in them, made at the n that a readout's prerequisite has."""
    return with_cnn(tmp_path_factory.mktemp("readouts"))


def test_averaged_logits_repeat_the_record_of_the_cnn(folder):
    record = run_notebook_without_checkpoint(CNN | {"readout": "averaged"}, folder)
    cnn = json.loads(next(folder.rglob("*conv-baseline*rho1.5*.json")).read_text())
    expected = accuracies(cnn)
    assert accuracies(record) == {key: expected[key] for key in accuracies(record)}
    assert record["network"]["head"] == {"params_total": 0, "params_remaining": 0, "macs_dense": 0, "macs_live": 0}
    assert record["network"]["cnn"] == cnn["network"]["cnn"]


def run_notebook_without_checkpoint(given: dict, folder) -> dict:
    """As `run_notebook`, of a run that leaves no checkpoint."""
    with pytest.raises(FileNotFoundError, match="has no checkpoint beside it"):
        run_notebook("readout", given, folder)
    params = parameters.identity("readout", parameters.check("readout", given))
    return json.loads(names.record_path(params, folder).read_text())


@pytest.mark.parametrize("given, parts", [
    ({"readout": "lda"}, lambda d: (d * 10 + 10, d * 10)), ({"readout": "linear"} | TRAINED, lambda d: (d * 10 + 10, d * 10)),
    ({"readout": "mlp", "hidden_units": 7} | TRAINED, lambda d: (d * 7 + 7 + 7 * 10 + 10, d * 7 + 7 * 10)),
])
def test_a_readout_learns_and_its_record_counts_every_parameter(folder, given, parts):
    record = run_notebook("readout", CNN | given, folder)
    head, columns = record["network"]["head"], len(record["checkpoint"]["readout.columns"])
    assert (head["params_total"], head["macs_dense"]) == parts(columns)
    assert (head["params_remaining"], head["macs_live"]) == parts(columns)
    found, macs = accuracies(record), record["network"]["cnn"]["macs_live"] + head["macs_live"]
    assert [row["macs_live"] for row in record["measures"]] == [macs * row["n"] for row in record["measures"]]
    averaged = json.loads(next(folder.rglob("*conv-baseline*rho1.5*.json")).read_text())
    assert found["random", 5] > accuracies(averaged)["random", 5] - 0.05 and found["random", 5] > 0.3
    assert bool(record["epochs"]) == (given["readout"] != "lda")


def test_features_replace_the_classifier_and_are_not_counted_twice(folder):
    given = CNN | {"readout": "lda", "model": "fc"}
    with_cnn(folder, model="fc")
    logits, features = (run_notebook("readout", given | {"embedding": kind}, folder) for kind in ("logits", "features"))
    less = logits["network"]["cnn"]["params_remaining"] - features["network"]["cnn"]["params_remaining"]
    assert less > 0 and less == logits["network"]["cnn"]["macs_live"] - features["network"]["cnn"]["macs_live"]
    assert logits["network"]["cnn"]["params_total"] - features["network"]["cnn"]["params_total"] == 1000
    assert len(features["checkpoint"]["readout.columns"]) <= 100


def with_cnn(folder, **given):
    """The folder, with the baseline CNN that a readout with these parameters starts from in it."""
    before = parameters.prerequisite(parameters.check("readout", CNN | given))
    if not names.record_path(parameters.identity("baseline", before), folder).exists():
        run_notebook("baseline", {name: value for name, value in before.items() if name not in ("method", "results")}, folder)
    return folder


def test_too_many_features_are_refused(folder):
    with pytest.raises(ValueError, match="reads [0-9]+ features, more than 512; use logits"):
        run_notebook("readout", CNN | {"readout": "lda", "embedding": "features", "rho": 0.5}, with_cnn(folder, rho=0.5))


def test_a_cnn_without_its_checkpoint_says_which_command_makes_it(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "results")
    for file in (tmp_path / "results").rglob("*baseline*.safetensors"):
        os.remove(file)
    with pytest.raises(FileNotFoundError, match=r"by hand: .venv/bin/papermill notebooks/methods/baseline.ipynb out.ipynb .*-p rho 1.5"):
        run_notebook("readout", CNN | {"readout": "lda"}, tmp_path / "results")


@pytest.mark.parametrize("kind", choices.LOGIT_READOUTS)
def test_what_has_no_weights_reads_logits_only(kind):
    with pytest.raises(parameters.ParameterError, match=f"'features' is for a readout with weights; allowed with readout {kind}: logits"):
        parameters.check("readout", {"readout": kind, "embedding": "features"})


@pytest.mark.parametrize("kind", ["vote", "prior", "bias"])
def test_what_has_no_weights_costs_nothing(folder, kind):
    record = (run_notebook_without_checkpoint if kind == "vote" else lambda *given: run_notebook("readout", *given))(
        CNN | {"readout": kind}, folder)
    assert set(record["network"]["head"].values()) == {0} and not record["epochs"]
    cnn = json.loads(next(folder.rglob("*conv-baseline*rho1.5*.json")).read_text())
    expected, found = accuracies(cnn), accuracies(record)
    assert all(abs(found[key] - expected[key]) < 0.15 for key in found)
    assert kind != "vote" or found["disjoint", 1] == expected["disjoint", 1]  # one vote is the prediction
    if kind != "vote":
        assert record["checkpoint"]["readout.0.offset"].shape == (10,) and float(record["checkpoint"]["readout.0.offset"].abs().max()) > 0


# ---- functions


def test_votes_are_counted_and_ties_go_to_the_larger_mean_of_softmax_outputs():
    logits = torch.tensor([[2.0, 1, 0], [2, 1, 0], [0, 99, 0], [0, 0, 0.1], [0, 0, 9]])
    outputs = readouts.build("vote", 3, 3, 1)(logits)
    assert predictors.mean_of_logits(outputs, torch.tensor([[0, 1, 2], [2, 3, 4], [2, 2, 4]])).tolist() == [0, 2, 1]
    assert predictors.mean_of_logits(outputs, torch.tensor([[0, 2], [2, 3], [3, 0]])).tolist() == [1, 1, 0]  # one vote each
    assert predictors.mean_of_logits(logits, torch.tensor([[0, 1, 2]])).tolist() == [1]


def test_the_prior_is_taken_off_so_that_averaging_is_bayes_rule():
    frequency = torch.tensor([0.7, 0.2, 0.1])
    likelihood = torch.tensor([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])  # p(x | y), [classes, values of x]
    posterior = (frequency[:, None] * likelihood).log().T  # logits of an image with each value of x
    readout = readouts.build("prior", 3, 3, 1)
    readouts.fit_prior(readout, torch.arange(3).repeat_interleave((1000 * frequency).round().long()))
    pairs = torch.tensor([[0, 0], [0, 1], [1, 1]])
    expected = torch.stack([likelihood[:, pair].prod(1).argmax() for pair in pairs])
    assert torch.equal(predictors.mean_of_logits(readout(posterior), pairs), expected)
    assert not torch.equal(predictors.mean_of_logits(posterior, pairs), expected)


@given(seed=st.integers(0, 100), scale=st.floats(0.2, 5))
def test_refitted_biases_undo_a_shift_whatever_the_scale_of_the_logits_and_the_number_of_images(seed, scale):
    logits = torch.randn(3000, 4, generator=generator(seed))
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator(seed + 1))[:, 0]
    kept = torch.cat([torch.arange(3000)[labels != 0], torch.arange(3000)[labels == 0][::3]])  # class 0 is a third as frequent
    shift = torch.tensor([2.0, -1, 0, 0.5])
    readouts.fit_bias(fitted := readouts.build("bias", 4, 4, 1), embeddings.as_images(scale * (logits + shift)[kept], labels[kept]))
    offset = fitted[0].offset / scale
    torch.testing.assert_close(offset, shift.mean() - shift, atol=0.35, rtol=0)
    assert abs(float(offset.sum())) < 1e-4


@pytest.mark.parametrize("fit", [
    lambda readout, labels: readouts.fit_prior(readout, labels),
    lambda readout, labels: readouts.fit_bias(readout, embeddings.as_images(torch.randn(len(labels), 3), labels)),
])
def test_an_offset_of_a_class_without_images_is_refused(fit):
    with pytest.raises(ValueError, match="class 1 has no image"):
        fit(readouts.build("bias", 3, 3, 1), torch.tensor([0, 2, 2, 0]))


def test_biases_of_a_network_that_knows_nothing_and_of_one_that_knows_all_are_finite():
    labels = torch.arange(90) % 3
    for logits in (torch.ones(90, 3), 50 * torch.eye(3)[labels]):
        readouts.fit_bias(fitted := readouts.build("bias", 3, 3, 1), embeddings.as_images(logits, labels))
        assert fitted[0].offset.isfinite().all() and float(fitted[0].offset.abs().max()) < 1


def drawn(count: int = 600, width: int = 5, classes: int = 3, seed: int = 0):
    labels = torch.arange(count) % classes
    mean = torch.randn(classes, width, generator=generator(seed))
    return 100 + mean[labels] + torch.randn(count, width, generator=generator(seed + 1)), labels


@given(seed=st.integers(0, 200), size=st.integers(1, 250))
def test_moments_in_batches_are_those_of_all_at_once(seed, size):
    outputs, labels = drawn(seed=seed)
    order = torch.randperm(600, generator=generator(seed))
    found = moments.pooled_moments(((outputs[part], labels[part]) for part in order.split(size)), 3)
    expected = moments.class_moments(outputs, labels)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.pooled_covariance, expected.pooled_covariance)


def test_a_class_without_images_is_named():
    with pytest.raises(ValueError, match="class 1 has no image"):
        moments.pooled_moments([(torch.randn(4, 2), torch.tensor([0, 0, 2, 2]))], 3)
    with pytest.raises(ValueError, match="every class has one image"):
        moments.pooled_moments([(torch.randn(2, 2), torch.tensor([0, 1]))], 2)


def test_constant_embeddings_are_left_out_and_one_is_kept_where_all_are():
    outputs, _ = drawn()
    outputs[:, 2] = 7.0
    (first, second), columns, mean, std = readouts.standardise([outputs, outputs[:10]])
    assert columns.tolist() == [0, 1, 3, 4] and second.shape == (10, 4)
    torch.testing.assert_close(first.std(0), torch.ones(4))
    (flat,), columns, *_ = readouts.standardise([torch.full((9, 3), 2.0)])
    assert columns.tolist() == [0] and flat.tolist() == [[0.0]] * 9


@pytest.mark.parametrize("kind", ["lda", "linear", "mlp"])
def test_a_checkpoint_reads_embeddings_as_the_cnn_gives_them(kind):
    outputs, labels = drawn()
    (scaled,), columns, mean, std = readouts.standardise([outputs])
    readout = readouts.build(kind, 5, 3, 4)
    if kind == "lda":
        readouts.fit_discriminant(readout, embeddings.as_images(scaled, labels), 3, 1e-3, at_once=70)
    tensors = readouts.tensors(readout, columns, mean, std)
    other = readouts.build(kind, 5, 3, 4)
    other.load_state_dict({name.removeprefix("readout."): t for name, t in tensors.items() if name != "readout.columns"})
    torch.testing.assert_close(other(outputs[:, columns]), readout(scaled), atol=1e-3, rtol=1e-3)


def test_a_singular_covariance_gives_finite_discriminants_that_still_tell_classes_apart():
    outputs, labels = drawn(width=3)
    twice = torch.cat([outputs, outputs], 1)
    (scaled,), *_ = readouts.standardise([twice])
    readout = readouts.build("lda", 6, 3, 1)
    readouts.fit_discriminant(readout, embeddings.as_images(scaled, labels), 3, 1e-3)
    scores = readout(scaled)
    assert scores.isfinite().all()
    assert torch.equal(moments.limit_confusion(moments.class_moments(scores.detach(), labels)), torch.eye(3).double())

"""Heads over tuples: who reads what, in which order, and that the control shares nothing."""
import json
import shutil

import papermill
import pytest
import torch
from conftest import generator, labelled, model
from safetensors import torch as safetensors
from torch import nn

from sharedlabel import ROOT, choices, costs, data, embeddings, heads, live, losses, models, predictors, pruning, training
from sharedlabel.live import lstm
from sharedlabel.runs import checkpoints, names, parameters, records

N = 4


def head(features: int = 5, classes: int = 3) -> heads.LSTMHead:
    with models.initialised_by(generator(1)):
        return heads.LSTMHead(features, classes, 6)


def stored(count: int = 2) -> torch.Tensor:
    """Rows of embeddings and confidence for `count` tuples; [T, n, d + 1]."""
    return torch.randn(count, N, 6, generator=generator(2))


def unified(order: str, permutations: int = 3) -> predictors.UnifiedCNNLSTM:
    return predictors.UnifiedCNNLSTM(predictors.StoredEmbeddings(), head(), torch.arange(5), order, permutations, generator(3))


# ---- orders


def test_confidence_reads_the_surest_image_first():
    places = predictors.reading_orders("confidence", torch.tensor([[0.1, 0.9, 0.5], [2.0, 2.0, 3.0]]), 1, generator())
    assert places.tolist() == [[[1, 2, 0]], [[2, 0, 1]]]


def test_random_reads_tuples_as_they_were_drawn():
    assert predictors.reading_orders("random", torch.rand(2, 3), 1, generator()).tolist() == [[[0, 1, 2]]] * 2


def test_permutations_are_that_many_random_orders_of_every_tuple():
    places = predictors.reading_orders("permutations", torch.rand(50, N), 7, generator())
    assert places.shape == (50, 7, N)
    assert torch.equal(places.sort(2).values, torch.arange(N).expand(50, 7, N))
    assert len({tuple(each) for each in places.flatten(0, 1).tolist()}) == 24  # every order of four occurs


def test_an_order_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="order: 'sure' is unknown; allowed: confidence, random, permutations"):
        predictors.reading_orders("sure", torch.rand(2, 3), 1, generator())
    with pytest.raises(parameters.ParameterError, match="order: 'sure' is unknown; allowed: confidence"):
        parameters.check("cnn_lstm", {"order": "sure"})


# ---- the unified network and its control


def test_the_unified_network_runs_the_head_over_the_embeddings_in_order():
    x = stored()
    ordered = torch.stack([rows[rows[:, -1].argsort(descending=True)] for rows in x])
    torch.testing.assert_close(unified("confidence")(x), head()(ordered[..., :5]))
    torch.testing.assert_close(unified("random")(x), head()(x[..., :5]))


def test_by_confidence_the_order_of_a_tuple_changes_nothing_and_by_random_it_does():
    x, other = stored(), stored()[:, torch.tensor([2, 0, 3, 1])]
    torch.testing.assert_close(unified("confidence")(x), unified("confidence")(other))
    assert not torch.allclose(unified("random")(x), unified("random")(other))


def test_permutations_average_the_outputs():
    x = stored()
    places = predictors.reading_orders("permutations", x[..., -1], 3, generator(3))
    each = [head()(x[torch.arange(2)[:, None], places[:, k], :5]) for k in range(3)]
    torch.testing.assert_close(unified("permutations")(x), torch.stack(each).mean(0))


def test_the_control_averages_what_the_head_says_of_each_image_alone():
    x = stored()
    control = predictors.IndependentHead(predictors.StoredEmbeddings(), head(), torch.arange(5))
    expected = torch.stack([head()(x[:, i : i + 1, :5]) for i in range(N)]).mean(0)
    torch.testing.assert_close(control(x), expected)


def test_nothing_passes_between_the_images_of_the_control():
    """A tuple's output is the sum of what each image adds: changing one image changes it by as much whatever the others are."""
    control = predictors.IndependentHead(predictors.StoredEmbeddings(), head(), torch.arange(5))

    def change(network: nn.Module, others: torch.Tensor) -> torch.Tensor:
        x, changed = others.clone(), others.clone()
        x[:, 0], changed[:, 0] = 0.5, -0.5
        return network(changed) - network(x)

    one, other = (change(control, torch.randn(2, N, 6, generator=generator(i))) for i in (5, 6))
    torch.testing.assert_close(one, other)
    shared = unified("random")
    assert not torch.allclose(*(change(shared, torch.randn(2, N, 6, generator=generator(i))) for i in (5, 6)))


def test_permutations_are_drawn_anew_in_training_and_stay_in_evaluation():
    network, x = unified("permutations"), stored()
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_permutations_of_an_evaluation_are_the_same_however_many_tuples_come_at_once():
    network, many = unified("permutations").eval(), torch.randn(3 * predictors.REPEATED, N, 6, generator=generator(1))
    parts = [network(part) for part in many.split(predictors.REPEATED)]
    torch.testing.assert_close(network(many), torch.cat(parts))


def test_a_cnn_that_learns_on_gets_the_heads_gradient():
    cnn = nn.Linear(7, 5)
    network = predictors.UnifiedCNNLSTM(predictors.LogitEmbeddings(cnn), head(), torch.arange(5), "confidence", 1, generator())
    losses.standard(network(torch.randn(2, N, 7)), torch.tensor([0, 1])).backward()
    assert cnn.weight.grad.any()


# ---- what a frozen CNN says


def images(count: int = 12, shape: tuple = (3, 8, 8)) -> data.Images:
    pixels = torch.randint(256, (count, *shape), generator=generator(4), dtype=torch.uint8)
    return data.Images(pixels, torch.arange(count) % 4, torch.full((3, 1, 1), 1 / 60), torch.full((3, 1, 1), -2.0))


@pytest.mark.parametrize(("name", "side"), [*((name, 8) for name in choices.MODELS), ("wideresnet20", 12)])  # 12: its last map has a middle
def test_the_store_holds_embeddings_and_the_largest_logit(name, side):
    network = model(name, shape=(3, side, side))
    pruning.prune(network, "synflow", 0.5, labelled(shape=(3, side, side)), iterations=3)
    whole = images(shape=(3, side, side))
    x = whole.batch(slice(None))
    with torch.no_grad():
        logits = network.eval()(x)
    (rows,), need, scaling = embeddings.compute(network, [whole], torch.device("cpu"))  # the network has lost its classifier now
    with torch.no_grad():
        expected = network.eval()(x)
    torch.testing.assert_close(rows.batch(slice(None)), torch.cat([expected, logits.amax(1, keepdim=True)], 1), rtol=1e-4, atol=1e-4)
    assert torch.equal(rows.labels, whole.labels) and scaling == {}
    everything, fewer = pruning.masks(network), live.live_activations(network, whole.shape)
    assert all((need[layer] | ~fewer[layer]).all() for layer in (key.removesuffix(".weight") for key in everything))


@pytest.mark.parametrize("side", range(8, 40))
def test_quarters_overlap_where_the_last_map_has_an_odd_side(side):
    network = model("wideresnet20", shape=(3, side, side))
    last = []
    network.blocks[-1].register_forward_hook(lambda module, given, out: last.append(out.shape[-1]))
    network.eval()(torch.zeros(1, 3, side, side))
    assert embeddings.quarters_overlap(network, (3, side, side)) == bool(last[0] % 2)


def test_an_embedding_may_need_channels_that_no_logit_does():
    network = model("wideresnet20")
    masks = {name: torch.ones_like(mask) for name, mask in pruning.masks(network).items()}
    masks["fc.weight"][:, 1:] = False  # one feature is left to the classifier
    pruning.apply_masks(network, masks)
    few = live.live_activations(network, (3, 8, 8))
    _, need, _ = embeddings.compute(network, [images()], torch.device("cpu"))
    assert few["blocks.8.conv2"].any((1, 2)).sum() == 1 and need["blocks.8.conv2"].all()
    assert costs.macs_live(masks, need) > costs.macs_live(masks, few)


def test_standardised_embeddings_have_mean_0_and_variance_1_over_the_first_set():
    network = model("fc")
    pruning.prune(network, "synflow", 0.5, labelled(), iterations=3)
    with torch.no_grad():
        before = network.eval()(images(60).batch(slice(None)))  # its embeddings are its logits
    (rows, _), _, scaling = embeddings.compute(network, [images(60), images()], torch.device("cpu"), standardised=True)
    expected = (before - scaling["embedding.mean"]) / scaling["embedding.std"]
    torch.testing.assert_close(rows.pixels[:, :-1], expected, rtol=1e-3, atol=1e-4)
    std, mean = torch.std_mean(rows.pixels[:, :-1], 0)
    torch.testing.assert_close(std, torch.ones_like(std))
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-5)


def test_a_feature_that_no_training_image_has_does_not_drown_the_others():
    rows = torch.randn(20, 3, generator=generator(2))
    rows[:, 1] = 0.25
    std, mean = embeddings.deviation_and_mean(rows)
    assert std[1] == 1 and mean[1] == 0.25 and (std[[0, 2]] != 1).all()


def test_an_epoch_in_tuples_is_one_pass_over_the_images_in_tuples_of_one_label():
    whole = data.Images(torch.arange(40)[:, None].to(torch.uint8), torch.arange(40) % 4, torch.ones(1), torch.zeros(1))
    batches = list(training.in_tuples(whole, 3, 16, generator()))  # 16 images are about five tuples
    seen = torch.cat([x.flatten() for x, _ in batches])
    assert [len(y) for _, y in batches] == [5, 5, 2] and len(seen.unique()) == 36
    assert all(torch.equal(x[..., 0] % 4, y[:, None].expand(-1, 3).float()) for x, y in batches)
    assert [len(y) for _, y in training.in_tuples(whole, 10, 4, generator())] == [1, 1, 1, 1]  # never less than a tuple


def test_an_epoch_may_have_one_tuple_of_every_class_a_batch():
    whole = data.Images(torch.arange(40)[:, None].to(torch.uint8), torch.arange(40) % 4, torch.ones(1), torch.zeros(1))
    batches = list(training.in_tuples(whole, 3, 0, generator()))
    assert [y.tolist() for _, y in batches] == [[0, 1, 2, 3]] * 3 and len(torch.cat([x.flatten() for x, _ in batches]).unique()) == 36
    assert all(torch.equal(x[..., 0] % 4, y[:, None].expand(-1, 3).float()) for x, y in batches)


# ---- where a head starts from


def test_a_head_starts_from_its_cnns_own_run_whatever_its_n():
    params = parameters.check("cnn_lstm", {"dataset": "mnist", "rho": 3.75, "n": [3], "cnn_method": "baseline"})
    first = parameters.prerequisite(params)
    assert first == {"method": "baseline"} | parameters.check("baseline", {"dataset": "mnist", "rho": 3.75, "results": params["results"]})
    assert parameters.prerequisite(params | {"cnn_method": "balanced"})["method"] == "balanced"
    assert parameters.prerequisite(params | {"cnn_training": "end_to_end"}) is None
    control = parameters.check("head_control", {"dataset": "mnist", "rho": 3.75, "cnn_method": "baseline"})
    assert parameters.prerequisite(control) == first


def test_a_record_that_is_another_runs_is_refused_by_name(tmp_path):
    params = parameters.check("cnn_lstm", {"cnn_method": "baseline", "results": str(tmp_path)})
    wanted = parameters.identity("baseline", parameters.prerequisite(params))
    file = checkpoints.prerequisite_path(params)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"params": wanted | {"dataset": "mnist", "rho": 3.0}, "status": "ok"}))
    with pytest.raises(ValueError, match="the record of another run: dataset 'mnist', not 'digits'; rho 3.0, not 2.0"):
        checkpoints.load_prerequisite(params)


def test_a_record_without_its_checkpoint_is_named(tmp_path):
    params = parameters.check("head_control", {"cnn_method": "baseline", "results": str(tmp_path)})
    before = parameters.prerequisite(params)
    file = records.save({"params": parameters.identity("baseline", before), "status": "ok"}, tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{file.name} has no checkpoint beside it .no large one is committed.; put the"):
        checkpoints.load_prerequisite(params)


@pytest.mark.parametrize("text", ["", "{half", "[]", "3", '{"params": {}}'])
def test_a_damaged_record_to_start_from_is_named(tmp_path, text):
    params = parameters.check("head_control", {"cnn_method": "baseline", "results": str(tmp_path)})
    file = checkpoints.prerequisite_path(params)
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(ValueError, match=f"^{file} is not a whole record .* delete it"):
        checkpoints.load_prerequisite(params)


def test_a_cnn_that_collapsed_is_nothing_to_start_from(tmp_path):
    params = parameters.check("head_control", {"cnn_method": "baseline", "results": str(tmp_path)})
    before = parameters.prerequisite(params)
    record = {"params": parameters.identity("baseline", before), "status": "layer_collapse", "collapse": "no path is left"}
    records.save(record, tmp_path)
    with pytest.raises(pruning.LayerCollapse, match="no path is left"):
        checkpoints.load_prerequisite(params)


def test_only_a_cnn_whose_embeddings_are_its_logits_learns_on():
    with pytest.raises(parameters.ParameterError, match="cnn_training: 'fine_tune' is for networks .* fc and conv"):
        parameters.check("cnn_lstm", {"dataset": "cifar10", "model": "resnet18", "cnn_training": "fine_tune"})


@pytest.mark.parametrize("given, allowed", [({"standardised": True}, "False"), ({"precision": "bfloat16"}, "'float32'")])
@pytest.mark.parametrize("how", ["fine_tune", "end_to_end"])
def test_what_is_for_embeddings_computed_once_is_refused_where_the_cnn_learns_on(how, given, allowed):
    (name, value), = given.items()
    told = f"{name}: {value!r} is for a frozen CNN; allowed with cnn_training {how}: {allowed} "
    with pytest.raises(parameters.ParameterError, match=told):
        parameters.check("cnn_lstm", given | {"cnn_training": how})


# ---- the notebooks, on digits

CNN = {"dataset": "digits", "rho": 1.0, "max_epochs": 5, "learning_rate": 2e-3, "prune_iterations": 20, "tuples_per_class": 20}
HEAD = {"cnn_method": "baseline", "n": [1, 5], "head_rho": 1.5, "head_max_epochs": 12, "head_learning_rate": 1e-2, "head_batch_size": 16}


def execute(method: str, folder, **given) -> dict:
    """The record of a run."""
    given |= {"results": str(folder / "results"), "device": "cpu"}
    notebook = str(ROOT / "notebooks" / "methods" / f"{method}.ipynb")
    papermill.execute_notebook(notebook, str(folder / "out.ipynb"), given, kernel_name="python3", progress_bar=False, cwd=str(ROOT))
    params = parameters.identity(method, parameters.check(method, given))
    return json.loads(names.record_path(params, folder / "results").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results with a trained baseline CNN in them."""
    folder = tmp_path_factory.mktemp("heads")
    execute("baseline", folder, **CNN)
    return folder


@pytest.mark.parametrize("method, given", [
    ("cnn_lstm", {"train_n": 5}), ("cnn_lstm", {"train_n": 5, "head_biases": "kept"}),
    ("cnn_lstm", {"train_n": 3, "cnn_training": "fine_tune"}),
    ("cnn_lstm", {"train_n": 3, "cnn_training": "end_to_end", "order": "permutations", "permutations": 2}),
    ("head_control", {"train_n": 1}), ("head_control", {"train_n": 5, "standardised": True}),
])
def test_a_head_learns_and_its_record_counts_both_parts(folder, method, given):
    record = execute(method, folder, **CNN, **HEAD, **given)
    assert record["status"] == "ok"
    cnn, small = record["network"]["cnn"], record["network"]["head"]
    kept = 1_610 if given.get("head_biases") == "kept" else 0
    assert small["params_total"] == 171_710 and small["params_remaining"] == pruning.remaining_weights(171_710 - kept, 1.5) + kept
    assert 0 < small["macs_live"] < small["macs_dense"] and 0 < cnn["macs_live"] < cnn["macs_dense"]
    found = {(row["protocol"], row["n"]): row for row in record["measures"]}
    assert set(found) == {(protocol, n) for protocol in ("disjoint", "random") for n in (1, 5)}
    alone, five = (found["random", n]["macs_live"] for n in (1, 5))
    assert five - alone == 4 * (cnn["macs_live"] + small["macs_live"])  # the first image finds nothing to remember
    assert alone == cnn["macs_live"] + small["macs_live"] if method == "head_control" else alone <= cnn["macs_live"] + small["macs_live"]
    curve = record["epochs"]["curves"]["validation_loss"]
    assert min(curve) < 0.9 * curve[0]
    assert found["random", 5]["n_accuracy"] > 0.25  # guessing gives 0.1


@pytest.mark.slow
@pytest.mark.parametrize("head_rho", [0.0, 2.5])
def test_of_single_images_the_lstm_and_its_control_are_the_same_to_the_last_bit(folder, head_rho):
    """So they share initial weights, data in its order, pruning, loss and stopping; all that is left for larger tuples is sharing."""
    lstm, control = (execute(method, folder, **CNN, **HEAD | {"train_n": 1, "n": [1], "head_rho": head_rho, "head_max_epochs": 3})
                     for method in ("cnn_lstm", "head_control"))
    assert lstm["epochs"] == control["epochs"] and lstm["measures"] == control["measures"]
    paths = [names.record_path(record["params"], folder / "results") for record in (lstm, control)]
    one, other = map(checkpoints.load, paths)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("method, given", [("head_control", HEAD | {"train_n": 5, "head_max_epochs": 1}), ("freeze_retrain", {})])
def test_a_moved_study_goes_on_although_another_processor_would_prune_otherwise(folder, tmp_path, method, given):
    """It starts from the weights that the CNN's record names. Here the CNN keeps one that pruning it here would not."""
    shutil.copytree(folder / "results", tmp_path / "results")
    file = next((tmp_path / "results").rglob("*baseline*.safetensors"))
    tensors = safetensors.load_file(file)
    kept = set(tensors["2.index"].tolist())  # and another place in the same kernel
    at, other = next((at, other) for at in sorted(kept) for other in range(at // 9 * 9, at // 9 * 9 + 9) if other not in kept)
    tensors["2.index"] = torch.tensor(sorted(kept - {at} | {other}), dtype=torch.int32)
    safetensors.save_file(tensors, file)
    record = json.loads(file.with_suffix(".json").read_text())
    del record["provenance"]["checkpoint_sha256"]
    file.with_suffix(".json").write_text(json.dumps(record))
    assert execute(method, tmp_path, **CNN, **given)["status"] == "ok"


def test_a_head_without_its_cnn_says_how_to_make_it(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match=r"papermill notebooks/methods/baseline.ipynb out.ipynb .*-p rho 1.0"):
        execute("cnn_lstm", tmp_path, **CNN, **HEAD)


@pytest.mark.parametrize("method", ["cnn_lstm", "head_control", "graph"])
def test_a_tuple_too_large_to_train_on_is_refused_by_its_name(method, tmp_path):
    """A class of digits has 87 images to test on, 9 held out."""
    given = {"n": [40]} if method == "graph" else HEAD
    with pytest.raises(papermill.PapermillExecutionError, match="train_n: 40 is not allowed; 9 images of the smallest class"):
        execute(method, tmp_path, **CNN | given | {"train_n": 40})
    assert not list(tmp_path.rglob("*.json"))


def test_the_live_head_reads_only_the_columns_it_needs():
    small, x = head(), stored()
    masks = {name: torch.ones_like(mask) for name, mask in pruning.masks(small).items()}
    masks["embed.weight"][:, [1, 3]] = False
    pruning.apply_masks(small, masks)
    lively = lstm.build(small)
    assert lively.columns.tolist() == [0, 2, 4]
    network = predictors.UnifiedCNNLSTM(predictors.StoredEmbeddings(), lively, lively.columns, "random", 1, generator())
    torch.testing.assert_close(network(x), small(x[..., :5]))
    picked = embeddings.select_features(embeddings.as_images(x.flatten(0, 1), torch.zeros(2 * N)), lively.columns)
    rows = picked.batch(torch.arange(2 * N).view(2, N))
    for method, settings in ((predictors.UnifiedCNNLSTM, ("confidence", 1, generator())), (predictors.IndependentHead, ())):
        network, again = (method(predictors.StoredEmbeddings(), lively, columns, *settings) for columns in (lively.columns, None))
        assert torch.equal(network(x), again(rows))  # gathered beforehand, the same is read

"""Small dense networks and the sanity checks of pruned ones: costs and counts by hand, records of runs on digits, what is refused."""
import json
import math

import pytest
import torch
from conftest import accuracies, generator, run_notebook, total

from sharedlabel import costs, data, embeddings, models, predictors, pruning, readouts, training
from sharedlabel.data import Images
from sharedlabel.runs import checkpoints, names, parameters

GIVEN = {"dataset": "digits", "n": [1, 5], "tuples_per_class": 20, "device": "cpu", "max_epochs": 8, "learning_rate": 1e-2}
PRUNED = GIVEN | {"model": "conv", "rho": 1.5, "prune_iterations": 20, "max_epochs": 4, "learning_rate": 2e-3}


# ---- pooling


def some_images(side: int = 4) -> Images:
    pixels = torch.arange(2 * 3 * side * side, dtype=torch.uint8).view(2, 3, side, side)
    return Images(pixels, torch.tensor([0, 1]), torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), -1.0))


def test_pooling_averages_squares_of_pixels():
    images = some_images()
    small = data.average_pooled(images, 2)
    assert small.shape == (3, 2, 2) and torch.equal(small.labels, images.labels)
    assert small.pixels[0, 0].tolist() == [[(0 + 1 + 4 + 5) / 4, (2 + 3 + 6 + 7) / 4], [(8 + 9 + 12 + 13) / 4, (10 + 11 + 14 + 15) / 4]]
    assert small.batch(slice(0, 1))[0, 0, 0, 0] == 0.5 * 2.5 - 1
    assert data.average_pooled(images, 1) is images


def test_a_pool_size_that_does_not_divide_the_image_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match=r"pool: 3 is not allowed; .* 4 x 4 pixels .* one of 1, 2, 4 \(set in the parameters cell"):
        data.average_pooled(some_images(), 3)
    with pytest.raises(ValueError, match="pool: 5 is not allowed"):
        run_notebook("small_dense", GIVEN | {"pool": 5}, "/nowhere")


@pytest.mark.parametrize("shape, size, additions", [
    ((1, 28, 28), 4, 7 * 7 * 15), ((3, 32, 32), 8, 3 * 4 * 4 * 63), ((3, 32, 32), 32, 3 * 1023), ((1, 8, 8), 1, 0),
])
def test_additions_of_pooling_by_hand(shape, size, additions):
    assert costs.pooling_additions(shape, size) == additions


# ---- width


def conv_counts(channels: int, positions: int, classes: int, width: int) -> tuple[int, int]:
    """(weights, MACs) of Conv by hand."""
    convolutions, last = 9 * channels * width + 9 * width * width, width * positions * classes
    return convolutions + last, positions * convolutions + last


def resnet18_counts(width: int, classes: int) -> tuple[int, int]:
    """Of ResNet-18 for 32 x 32 pixels: maps of 16 x 16 after the stem, 8 x 8, 4 x 4, 2 x 2 and 1 x 1 in the stages."""
    weights, macs = 3 * 49 * width, 3 * 49 * width * 16 * 16
    for stage in range(4):
        own, before, area = width * 2**stage, width * 2 ** max(0, stage - 1), 4 ** (3 - stage)
        layers = 9 * before * own + 3 * 9 * own * own + (before * own if stage else 0)
        weights, macs = weights + layers, macs + layers * area
    return weights + 8 * width * classes, macs + 8 * width * classes


def wideresnet_counts(width: int, classes: int) -> tuple[int, int]:
    """Of WideResNet-20 for 32 x 32 pixels: maps of 32 x 32, 16 x 16 and 8 x 8."""
    weights, macs = 27 * width, 27 * width * 1024
    for stage in range(3):
        own, before, area = width * 2**stage, width * 2 ** max(0, stage - 1), 1024 // 4**stage
        layers = 9 * before * own + 5 * 9 * own * own + (before * own if stage else 0)
        weights, macs = weights + layers, macs + layers * area
    return weights + 4 * width * classes, macs + 4 * width * classes


@pytest.mark.parametrize("name, shape, classes, width, counts", [
    ("conv", (1, 14, 14), 10, 2, conv_counts(1, 196, 10, 2)), ("conv", (3, 8, 8), 100, 5, conv_counts(3, 64, 100, 5)),
    ("mlp", (3, 4, 4), 10, 16, (48 * 16 + 160, 48 * 16 + 160)), ("fc", (1, 7, 7), 10, 8, (49 * 8 + 4 * 64 + 80,) * 2),
    ("resnet18", (3, 32, 32), 10, 1, resnet18_counts(1, 10)), ("resnet18", (3, 32, 32), 100, 8, resnet18_counts(8, 100)),
    ("resnet18", (3, 32, 32), 10, 64, resnet18_counts(64, 10)),
    ("wideresnet20", (3, 32, 32), 10, 4, wideresnet_counts(4, 10)), ("wideresnet20", (3, 32, 32), 100, 32, wideresnet_counts(32, 100)),
])
def test_weights_and_macs_of_a_width_by_hand(name, shape, classes, width, counts):
    network = models.build(name, shape, classes, generator(), width=width)
    assert (total(network), costs.macs_dense(network, shape)) == counts
    assert network(torch.randn(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize("name", models.WIDTHS)
def test_no_width_is_the_networks_own(name):
    networks = [models.build(name, (3, 16, 16), 4, generator(5), width=width) for width in (0, models.WIDTHS[name])]
    pairs = zip(*(network.state_dict().items() for network in networks), strict=True)
    assert all(first[0] == second[0] and torch.equal(first[1], second[1]) for first, second in pairs)


def test_a_narrow_resnet_is_initialised_as_torchvisions():
    whole, narrow = (models.build("resnet18", (3, 32, 32), 10, generator(), width=width) for width in (64, 16))
    for name in ("conv1", "layer2.0.conv1", "layer4.1.conv2"):
        spread = [network.get_submodule(name).weight.std().item() for network in (whole, narrow)]
        assert spread[1] == pytest.approx(2 * spread[0], rel=0.06)  # variance 2 / fan-out, and a quarter as many channels


def test_a_width_for_what_has_none_is_refused():
    with pytest.raises(ValueError, match="width: 4 is for networks with hidden units; allowed with linear: 0"):
        models.build("linear", (1, 4, 4), 3, generator(), width=4)


# ---- parameters


@pytest.mark.parametrize("method, given, message", [
    ("baseline", {"model": "lda"}, "model: 'lda' is for the method small_dense; allowed: fc, conv, resnet18, wideresnet20"),
    ("readout", {"model": "mlp"}, "model: 'mlp' is for the method small_dense"),
    ("small_dense", {"model": "linear", "width": 4}, "width: 4 is for networks with hidden units; allowed with model linear: 0"),
    ("small_dense", {"model": "lda", "rho": 1.0}, "rho: 1 is for networks that are trained; allowed with model lda: 0"),
    ("small_dense", {"pool": 2, "augment": "crop_flip"}, "augment: 'crop_flip' moves whole pixels; allowed with pool 2: none"),
    ("small_dense", {"pool": 3}, "pool: 3 is not allowed; it divides an image's 8 x 8 pixels into squares, so it is one of 1, 2, 4, 8"),
    ("small_dense", {"pool": 0}, "pool: 0 is not allowed; it is a number >= 1"),
    ("small_dense", {"width": -1}, "width: -1 is not allowed; it is a number >= 0"),
    ("small_dense", {"model": "lad"}, "model: 'lad' is unknown; allowed: fc, .*, lda, mlp; did you mean lda"),
    ("sanity_check", {"check": "shuffle"}, "check: 'shuffle' is unknown; allowed: shuffled, reinitialised, trained_first"),
    ("sanity_check", {"dense_max_epochs": 0}, "dense_max_epochs: 0 is not allowed"),
])
def test_what_does_not_fit_is_refused_before_anything_is_read(method, given, message):
    with pytest.raises(parameters.ParameterError, match=message):
        parameters.check(method, given)


def test_a_run_is_named_by_what_makes_it_small_and_by_rho_only_where_it_is_pruned():
    given = {"model": "mlp", "width": 8, "pool": 2}
    runs = [parameters.check("small_dense", given | {"rho": rho}) for rho in (0.0, 1.0)]
    dense, pruned = (names.run_name(parameters.identity("small_dense", run)) for run in runs)
    assert dense.startswith("digits-mlp-small_dense-pool2-width8-seed0-")
    assert pruned.startswith("digits-mlp-small_dense-pool2-width8-synflow-rho1-seed0-")


# ---- runs


@pytest.mark.parametrize("given, weights", [
    ({"model": "lda"}, 16 * 10), ({"model": "linear"}, 16 * 10), ({"model": "mlp", "width": 7}, 16 * 7 + 7 * 10),
])
def test_a_small_network_learns_and_its_record_counts_its_pooling(tmp_path, given, weights):
    record = run_notebook("small_dense", GIVEN | given | {"pool": 2}, tmp_path)
    expected = {"params_total": weights, "params_remaining": weights, "macs_dense": weights, "macs_live": weights, "additions": 16 * 3}
    assert record["network"] == {"cnn": expected}
    found = accuracies(record)
    assert found["disjoint", 1] > 0.6 and found["random", 5] > found["random", 1]
    assert [row["macs_live"] for row in record["measures"]] == [weights * row["n"] for row in record["measures"]]
    assert bool(record["epochs"]) == (given["model"] != "lda")


def test_a_checkpoint_predicts_what_the_record_says(tmp_path):
    record = run_notebook("small_dense", GIVEN | {"model": "lda", "pool": 2}, tmp_path)
    test_set = data.average_pooled(data.load("digits")[1], 2)
    live = checkpoints.restore_network(models.build("lda", test_set.shape, 10, generator()), test_set.shape, record["checkpoint"])
    logits = training.outputs(live, test_set.gather(live.columns))
    hits = predictors.mean_of_logits(logits, torch.arange(len(test_set))[:, None]) == test_set.labels
    assert float(hits.double().mean()) == pytest.approx(accuracies(record)["disjoint", 1], abs=1e-6)


def test_lda_of_pixels_that_never_vary_is_finite(tmp_path):
    """Three of the 64 pixels of digits are 0 in all training images, so their covariance is singular."""
    train_set = data.load("digits")[0]
    assert (train_set.pixels.flatten(1).float().std(0) == 0).any()
    record = run_notebook("small_dense", GIVEN | {"model": "lda", "pool": 1}, tmp_path)
    assert all(t.isfinite().all() for t in record["checkpoint"].values() if t.is_floating_point())
    assert accuracies(record)["disjoint", 1] > 0.85


def test_lda_names_a_class_without_images():
    rows = embeddings.as_images(torch.randn(6, 4, generator=generator()), torch.tensor([0, 0, 2, 2, 3, 3]))
    with pytest.raises(ValueError, match="class 1 has no image"):
        readouts.fit_discriminant(models.build("lda", (1, 2, 2), 4, generator())[1:], rows, 4, 1e-3)


def test_a_small_network_may_be_pruned_too(tmp_path):
    record = run_notebook("small_dense", GIVEN | {"model": "mlp", "width": 20, "rho": 1.0, "prune_iterations": 10}, tmp_path)
    part = record["network"]["cnn"]
    assert part["params_remaining"] == math.ceil((64 * 20 + 200) / 10) and part["macs_live"] <= part["params_remaining"]


# ---- sanity checks


@pytest.fixture(scope="module")
def baseline(tmp_path_factory) -> dict:
    return run_notebook("baseline", PRUNED, tmp_path_factory.mktemp("baseline"))


def check(name: str, folder, **given) -> dict:
    return run_notebook("sanity_check", PRUNED | {"check": name} | given, folder)


def test_weights_drawn_anew_keep_the_mask(baseline, tmp_path):
    record = check("reinitialised", tmp_path, max_epochs=1, learning_rate=1e-12)
    still = run_notebook("baseline", PRUNED | {"max_epochs": 1, "learning_rate": 1e-12}, tmp_path)
    assert record["network"] == baseline["network"]
    for name in (name for name in still["checkpoint"] if name.endswith(".index")):
        assert torch.equal(record["checkpoint"][name], still["checkpoint"][name])
        value = name.replace("index", "values")
        assert not torch.isclose(record["checkpoint"][value], still["checkpoint"][value]).any()


def test_shuffled_masks_keep_every_layers_count():
    shape = (1, 8, 8)
    first, second = (models.build("conv", shape, 10, generator(3)) for _ in range(2))
    masks = pruning.prune(first, "synflow", 1.0, (torch.empty(1, *shape), None), 10, generator(7))
    shuffled = pruning.prune(second, "synflow", 1.0, (torch.empty(1, *shape), None), 10, generator(7), shuffled=True)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {name: int(mask.sum()) for name, mask in shuffled.items()}
    assert all(not torch.equal(masks[name], shuffled[name]) for name in masks)
    assert all(torch.equal(shuffled[name], pruning.masks(second)[name]) for name in masks)


def test_shuffled_masks_that_connect_nothing_are_a_layer_collapse_and_say_so(tmp_path):
    with pytest.raises(pruning.LayerCollapse, match="synflow at rho 3.5 with shuffled masks left no path"):
        check("shuffled", tmp_path, rho=3.5)


def test_a_run_of_shuffled_masks_differs_from_the_baseline_in_its_mask_alone(baseline, tmp_path):
    record = check("shuffled", tmp_path)
    parts = [each["network"]["cnn"] for each in (record, baseline)]
    assert parts[0]["params_remaining"] == parts[1]["params_remaining"] and parts[0]["macs_live"] != parts[1]["macs_live"]


def test_a_network_trained_first_keeps_what_training_made_large(tmp_path):
    """Without any training after pruning, it is far better than chance; and the more epochs before, the other the mask."""
    one, many = (check("trained_first", tmp_path, model="fc", pruner="magnitude", rho=0.5, prune_iterations=1, dense_max_epochs=epochs,
                       learning_rate=5e-3, max_epochs=1) for epochs in (1, 6))
    assert accuracies(many)["disjoint", 1] > 0.6
    indices = [torch.cat([t for name, t in sorted(each["checkpoint"].items()) if name.endswith(".index")]) for each in (one, many)]
    assert indices[0].shape != indices[1].shape or not torch.equal(*indices)


def test_a_check_is_in_the_runs_name(tmp_path):
    record = check("shuffled", tmp_path)
    assert "-sanity_check-synflow-rho1.5-shuffled-seed0-" in json.dumps([file.stem for file in tmp_path.rglob("*.json")])
    assert record["params"]["check"] == "shuffled" and "augment" not in record["params"]

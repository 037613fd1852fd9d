"""Training: it learns, it stops, it keeps the best epoch, and the same seed gives the same bits."""
import itertools

import pytest
import torch
from conftest import generator, model
from torch import nn

from sharedlabel import choices, data, live, losses, metrics, predictors, pruning, runtime, training
from sharedlabel.data import Images


def toy() -> Images:
    """Two classes of 4-pixel images that differ in brightness."""
    labels = torch.arange(70) % 2
    pixels = torch.randint(100, (70, 1, 2, 2), generator=generator()) + 100 * labels[:, None, None, None]
    return Images(pixels.to(torch.uint8), labels, torch.tensor(1 / 50), torch.tensor(-2.0))


def linear(seed: int = 0) -> nn.Sequential:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(2, 4, generator=generator(seed)))
    return network


def train(network, images=None, validate=None, watch=dict, batches=None, **changed) -> dict:
    images, batches = images or toy(), batches or generator(3)
    settings = dict(learning_rate=1e-2, max_epochs=5, patience=100, min_improvement=0.0) | changed
    validate = validate or (lambda: float(losses.standard(training.outputs(network, images), images.labels)))
    epoch = lambda: training.shuffled(images, 16, batches)  # noqa: E731
    return training.train(network, epoch, losses.standard, validate, watch, **settings)


def told(*values: float):
    """A validation loss that is told beforehand; the last value for ever."""
    return itertools.chain(values, itertools.repeat(values[-1])).__next__


def test_training_reduces_the_loss():
    curves = train(linear(), max_epochs=30)["curves"]
    assert curves["train_loss"][-1] < 0.5 * curves["train_loss"][0]
    assert curves["validation_loss"][-1] < 0.5 * curves["validation_loss"][0]


def test_every_epoch_is_in_the_learning_curve():
    result = train(linear(), watch=lambda: {"n_accuracy_5": 0.5}, max_epochs=4)
    assert {name: len(curve) for name, curve in result["curves"].items()} == {
        "train_loss": 4, "validation_loss": 4, "n_accuracy_5": 4
    }
    assert result["stopped"] == "limit"


def test_the_train_loss_is_the_mean_over_images_not_over_batches():
    network, images = linear(), toy()
    expected = float(losses.standard(training.outputs(network, images), images.labels))
    found = train(network, images, learning_rate=1e-12, max_epochs=1)["curves"]["train_loss"][0]
    assert found == pytest.approx(expected, rel=1e-5)


def test_training_stops_when_patience_is_at_its_end():
    result = train(linear(), validate=told(1.0, 0.5, 0.6, 0.7, 0.4), patience=2, max_epochs=10)
    assert result["curves"]["validation_loss"] == [1.0, 0.5, 0.6, 0.7]
    assert (result["best"], result["stopped"]) == (2, "no improvement")


def test_an_improvement_starts_the_wait_anew():
    result = train(linear(), validate=told(1.0, 1.1, 0.9, 1.1, 0.8, 1.1, 1.2), patience=2, max_epochs=10)
    assert len(result["curves"]["validation_loss"]) == 7


def test_an_improvement_too_small_does_not_stop_the_wait():
    result = train(linear(), validate=told(1.0, 0.9995, 0.9992, 0.5), patience=2, min_improvement=0.001, max_epochs=10)
    assert len(result["curves"]["validation_loss"]) == 3
    assert result["best"] == 3  # though the best epoch counts, however small its lead


def test_small_improvements_add_up():
    slow = told(1.0, 0.9994, 0.9988, 0.9982, 0.9976, 0.9970)
    assert train(linear(), validate=slow, patience=2, min_improvement=0.001, max_epochs=6)["stopped"] == "limit"


def test_the_best_epochs_weights_are_kept():
    network, seen = linear(), []

    def watch():
        seen.append({name: t.clone() for name, t in network.state_dict().items()})
        return {}

    result = train(network, validate=told(1.0, 0.7, 0.3, 0.4, 0.5), watch=watch, max_epochs=5)
    assert result["best"] == 3
    assert all(torch.equal(t, seen[2][name]) for name, t in network.state_dict().items())
    assert not torch.equal(seen[2]["1.weight"], seen[4]["1.weight"])


def test_of_two_epochs_as_good_the_first_is_the_best_and_its_weights_are_kept():
    network, seen = linear(), []
    watch = lambda: seen.append(network[1].weight.detach().clone()) or {}  # noqa: E731
    result = train(network, validate=told(1.0, 0.3, 0.3, 0.4), watch=watch, max_epochs=4)
    assert result["best"] == 2 and torch.equal(network[1].weight, seen[1])


def test_an_epoch_that_is_as_good_as_the_best_is_waited_for():
    assert len(train(linear(), validate=told(1.0, 1.0), patience=2, max_epochs=10)["curves"]["validation_loss"]) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_held_out_loss_that_is_not_finite_is_an_error_that_names_its_epoch(bad):
    told_so = f"^epoch 2: .*, the held-out loss {bad}; lower the learning rate, which is 0.01$"
    with pytest.raises(FloatingPointError, match=told_so):
        train(linear(), validate=told(0.7, bad))


def test_a_training_loss_that_is_not_finite_is_an_error_that_names_what_to_lower():
    told_so = "^epoch 1: the training loss is (nan|inf), .*; lower the learning rate, which is 1e[+]38$"
    with pytest.raises(FloatingPointError, match=told_so):
        train(linear(), learning_rate=1e38, validate=told(0.7))


class TooLarge(nn.Module):
    """A network whose activations a GPU's memory holds for a batch of up to `most` images."""

    def __init__(self, most: int):
        super().__init__()
        self.network, self.most = linear(), most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.network(x)


def test_a_gpu_whose_memory_is_too_small_to_train_names_the_batch_size_to_try():
    fewer = "have fewer runs at once"
    for set_by, said in (
        (("tuple_size", 7), "try tuple_size 3, or fewer runs at once"), (("tuple_size", 1), fewer), (None, fewer),
        (("tuples_per_batch", 25), "try tuples_per_batch 5, or fewer runs at once"),  # as it divides the number of classes
    ):
        with pytest.raises(MemoryError, match=f"^the GPU's memory does not hold a training batch; {said}$"):
            train(TooLarge(15), validate=told(1.0), set_by=set_by)


def test_so_does_one_that_is_too_small_for_the_batch_alone(monkeypatch):
    def batch(self, index):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(data.Images, "batch", batch)
    with pytest.raises(MemoryError, match="does not hold a training batch; try batch_size 32"):
        train(linear(), validate=told(1.0), set_by=("batch_size", 64))


@pytest.mark.parametrize("words", [
    "CUDA error: out of memory", "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "CUBLAS_STATUS_ALLOC_FAILED when calling",
    "GET was unable to find an engine to execute this computation", "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
])
def test_memory_that_is_too_small_is_known_in_all_of_its_words(words):
    with pytest.raises(MemoryError, match="does not hold a batch; have fewer runs at once$"), runtime.memory_guard("a batch"):
        raise RuntimeError(words)


def test_what_else_goes_wrong_in_training_is_told_as_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(nn.Linear(3, 2))


def test_a_gpu_whose_memory_is_too_small_to_evaluate_is_given_fewer_images_at_once():
    network, images = TooLarge(16), toy()
    torch.testing.assert_close(training.outputs(network, images), training.outputs(network.network, images))
    with pytest.raises(MemoryError, match="does not hold what a network makes of one image or tuple; have fewer runs at once$"):
        training.outputs(TooLarge(0), images)


def test_a_gpu_is_given_whole_multiples_of_as_many_tuples_as_permutations_are_drawn_for():
    for n in range(1, 300):
        assert not any(training.evaluated_at_once(device, n) % predictors.REPEATED for device in ("cpu", "cuda"))
    assert training.evaluated_at_once("cuda", 1) == training.ON_GPU and training.evaluated_at_once("cuda", 7) == 256


def test_so_it_is_where_its_memory_holds_fewer(monkeypatch):
    images, tried = toy(), []
    network = TooLarge(40)
    network.register_forward_pre_hook(lambda module, given: tried.append(len(given[0])))
    monkeypatch.setattr(training, "evaluated_at_once", lambda device, n: 6 * training.AT_ONCE)
    training.outputs(network, images, chosen=torch.zeros(400, dtype=torch.int64))
    assert tried[:4] == [384, 192, 64, 32]


@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_leaves_a_network_in_the_mode_that_it_was_in(mode):
    network = nn.Sequential(nn.Flatten(), nn.LazyBatchNorm1d()).eval()
    training.outputs(network, toy())
    network.train(mode)
    before = network[1].running_mean.clone()
    training.outputs(network, toy())
    assert network.training is network[1].training is mode and torch.equal(network[1].running_mean, before)


def test_evaluation_that_does_not_fit_is_not_told_as_a_batch_that_a_smaller_one_would_help():
    with pytest.raises(MemoryError, match="one image or tuple; have fewer runs at once"):
        train(linear(), validate=lambda: float(training.outputs(TooLarge(0), toy()).sum()), set_by=("batch_size", 64))


def test_a_recording_that_memory_was_too_small_for_is_known_by_what_came_before():
    def batch(self, index):  # as leaving torch.cuda.graph may raise while it handles the error itself
        try:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        except RuntimeError:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")  # noqa: B904

    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError, match="training batch; try batch_size 32"):
        patch.setattr(data.Images, "batch", batch)
        train(linear(), validate=told(1.0), set_by=("batch_size", 64))


def test_a_batch_that_fits_is_trained_on():
    assert train(TooLarge(16), max_epochs=1)["best"] == 1


def trained_on_digits(name: str, precision: str = "float32") -> tuple[dict, torch.Tensor]:
    """Curves of a pruned network trained for two epochs of some digits, and its outputs for others."""
    train_set, test_set = (images.subset(torch.arange(200)) for images in data.load("digits"))
    train_set, held_out = data.split(train_set, 0.1, runtime.random_stream(0, "split"))
    network = model(name, 0, train_set.shape, 10)
    pruning.prune(network, "synflow", 1.0, (train_set.batch(slice(0, 8)), None), iterations=8)
    network = live.build(network, train_set.shape)
    train_rows, held_out, test_set = (images.gather(network.columns) for images in (train_set, held_out, test_set))
    batches = runtime.random_stream(0, "batches")
    result = training.train(
        network, lambda: training.shuffled(train_rows, 32, batches), losses.standard,
        lambda: float(losses.standard(training.outputs(network, held_out, precision), held_out.labels)), dict,
        learning_rate=1e-3, max_epochs=2, patience=9, min_improvement=0.0, precision=precision,
    )
    return result, training.outputs(network, test_set, precision)


TRAINABLE = pytest.mark.parametrize("name", [name for name in choices.MODELS if name != "resnet18"])  # digits are grey


@TRAINABLE
def test_the_same_seed_gives_the_same_result_bit_for_bit(name):
    (curves, outputs), (again, outputs_again) = (trained_on_digits(name) for _ in range(2))
    assert curves == again
    assert torch.equal(outputs, outputs_again)


@TRAINABLE
def test_bfloat16_trains_to_nearly_the_same(name):
    """The compiled program computes in float32 under autocast, too; whole maps do not."""
    (exact, _), (rough, outputs) = (trained_on_digits(name, p) for p in choices.PRECISIONS)
    assert outputs.dtype == torch.float32 and outputs.isfinite().all()
    assert rough["curves"]["train_loss"] == pytest.approx(exact["curves"]["train_loss"], rel=0.05)


def test_an_unknown_precision_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="precision: 'float16' is unknown; allowed: float32, bfloat16"):
        train(linear(), precision="float16")


@pytest.mark.parametrize("batch_size, sizes", [(13, [13, 13, 14]), (39, [40]), (16, [16, 16, 8]), (40, [40]), (64, [40]), (1, [1] * 40)])
def test_one_image_that_is_left_over_goes_with_the_batch_before(batch_size, sizes):
    images = data.Images(torch.arange(40)[:, None].to(torch.uint8), torch.arange(40), torch.ones(1), torch.zeros(1))
    batches = [labels for _, labels in training.shuffled(images, batch_size, generator())]
    assert [len(labels) for labels in batches] == sizes and torch.cat(batches).sort().values.tolist() == list(range(40))


def test_an_epoch_shows_every_image_once_in_another_order_each_time():
    images, batches = toy(), generator()
    epochs = [list(training.shuffled(images, 16, batches)) for _ in range(2)]
    assert [len(y) for _, y in epochs[0]] == [16, 16, 16, 16, 6]
    shown = [torch.cat([x for x, _ in epoch]).flatten(1) for epoch in epochs]
    expected = images.batch(slice(None)).flatten(1)
    assert all(sorted(rows.tolist()) == sorted(expected.tolist()) for rows in shown)
    assert not torch.equal(*shown)


def test_a_batchs_labels_belong_to_its_images():
    for x, y in training.shuffled(toy(), 16, generator()):
        assert torch.equal(x.mean((1, 2, 3)) > 0, y == 1)


def test_outputs_are_in_order_in_evaluation_mode_and_leave_training_mode():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2))
    before = network[0].running_mean.clone()
    found = training.outputs(network, toy())  # two batches
    assert network.training and torch.equal(network[0].running_mean, before)
    torch.testing.assert_close(found, network.eval()(toy().batch(slice(None))))


def test_the_watcher_gives_the_n_accuracy_of_the_sizes_asked_for():
    labels = torch.arange(60) % 2
    logits = nn.functional.one_hot(labels, 2).float()
    logits[::6] = logits[::6].flip(1) * 1.5  # a sixth of the images, all of label 0, is wrong, and surer than the rest
    watch = training.accuracy_monitor(lambda: lambda chosen: logits[chosen].mean(1).argmax(1), labels, [1, 5], seed=0, per_class=400)
    assert watch() == watch()
    assert set(watch()) == {"n_accuracy_1", "n_accuracy_5"}
    assert training.monitored_sizes([1, 2, 3, 4, 5, 7, 80]) == [1, 5, 80]
    assert watch()["n_accuracy_1"] == pytest.approx(5 / 6, abs=0.03)
    assert watch()["n_accuracy_5"] > watch()["n_accuracy_1"]


def test_the_watched_tuples_are_not_those_that_are_measured():
    labels, seen = torch.arange(60) % 2, []
    training.accuracy_monitor(lambda: lambda chosen: seen.append(chosen) or labels[chosen[:, 0]], labels, [5], seed=0, per_class=30)()
    metrics.measure(lambda chosen: seen.append(chosen) or labels[chosen[:, 0]], labels, [5], 1.0, lambda n: n, 0, per_class=30)
    watched, _, random = seen
    assert watched.shape == random.shape and not torch.equal(watched, random)


def test_only_sizes_are_watched_of_which_the_test_set_has_tuples():
    """A head may be trained on more images than its smallest class has for testing; it is measured on fewer."""
    watch = training.accuracy_monitor(lambda: lambda chosen: chosen[:, 0] % 2, torch.arange(60) % 2, [1, 31], seed=0)
    assert watch() == {"n_accuracy_1": 1.0}


@pytest.mark.parametrize("sizes", [[], [31]])
def test_nothing_is_evaluated_where_no_size_is_watched(sizes):
    assert training.accuracy_monitor(lambda: pytest.fail("evaluated"), torch.arange(60) % 2, sizes, seed=0)() == {}


def test_a_share_of_tuples_that_is_less_than_one_a_class_is_one():
    """A share of 1,000 tuples, say, among more classes; of no tuples the accuracy were NaN."""
    watch = training.accuracy_monitor(lambda: lambda chosen: chosen[:, 0] % 2, torch.arange(60) % 2, [5], seed=0, per_class=0)
    assert watch() == {"n_accuracy_5": 1.0}


def test_adam_is_pytorchs_to_the_last_bit():
    ours, theirs = ([nn.Parameter(torch.randn(n, generator=generator(n))) for n in (3, 40, 7)] for _ in range(2))
    own, reference = training.Adam(ours, 1e-2), torch.optim.Adam(theirs, lr=1e-2, fused=True)
    for step in range(5):
        for i, pair in enumerate(zip(ours, theirs)):
            for parameter in pair:  # the last has no gradient at first
                parameter.grad = None if i == 2 and step < 2 else torch.randn(len(parameter), generator=generator(10 * step + i))
        own.step()
        reference.step()
        if step == 2:  # as where a run goes on
            state, own = own.state_dict(), training.Adam(ours, 1e-2)
            own.load_state_dict(state)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))


@pytest.mark.parametrize("name", choices.MODELS)
def test_a_live_networks_step_without_a_graph_is_the_step_with_one(name):
    """To the last bit, three of them: the outputs' loss, the parameters and BatchNorm's statistics."""
    network = model(name)
    images, labels = torch.randn(8, 3, 8, 8, generator=generator(1)), torch.arange(8) % 4
    pruning.prune(network, "synflow", 1.0, (images, labels), 4)
    small = [live.build(network, (3, 8, 8)) for _ in range(2)]
    x = images.flatten(1)[:, small[0].columns]
    optimizers = [training.adam(each, 1e-2) for each in small]
    step = training.make_step(small[0], losses.balanced, optimizers[0])
    for _ in range(3):
        found, expected = step(x, labels), losses.balanced(small[1](x), labels)
        optimizers[1].zero_grad()
        expected.backward()
        optimizers[1].step()
        assert torch.equal(found, expected)
        states = [each.state_dict() for each in small]
        assert all(torch.equal(t, states[1][key]) for key, t in states[0].items())

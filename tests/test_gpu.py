"""What only a GPU can show: a recorded step learns what an eager one learns, and every method's notebook runs there."""
import json

import pytest
import torch
from conftest import generator, model
from test_methods import execute, saved
from test_resume import RUNS, whole_and_cut

from sharedlabel import choices, live, losses, predictors, pruning, runtime, training
from sharedlabel.runs import parameters

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SHAPE, CLASSES = (3, 32, 32), 10


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Eight batches for every way of being taken: before the recording, by it, and of another size."""
    sizes, stream = (16, 16, 16, 16, 16, 5, 16, 16), generator()
    return [(torch.randn(size, *SHAPE, generator=stream), torch.randint(CLASSES, (size,), generator=stream)) for size in sizes]


@pytest.mark.parametrize("precision", choices.PRECISIONS)
@pytest.mark.parametrize("loss", [losses.standard, losses.balanced])
@pytest.mark.parametrize("name", choices.MODELS)
def test_a_recorded_step_learns_what_an_eager_one_learns(name, loss, precision):
    network, device = model(name, 0, SHAPE, CLASSES), runtime.select_device("cuda")
    pruning.prune(network, "synflow", 1.5, (torch.zeros(1, *SHAPE), None), iterations=8)
    # in float64, as Adam makes of rounding errors steps as long as any other where BatchNorm leaves a weight no gradient
    kind, close = (torch.float64, {"rtol": 1e-5, "atol": 1e-6}) if precision == "float32" else (torch.float32, {"rtol": 2e-2, "atol": 2e-2})
    found = []
    for recordable in (True, False):
        small = live.build(network, SHAPE).to(device, kind)
        small.recordable = recordable
        step = training.make_step(small, loss, training.adam(small, 1e-3), precision)
        assert isinstance(step, training.GraphedStep) == recordable
        said = [float(step(x.to(device, kind).flatten(1)[:, small.columns], y.to(device))) for x, y in batches()]
        assert not recordable or step.graph
        found.append((said, *small.state_dict().values()))
    torch.testing.assert_close(*found, **close)


def test_what_waits_for_the_gpu_or_draws_in_every_step_is_not_recorded():
    network = model("conv", 0, (1, 28, 28), CLASSES)
    pruning.prune(network, "random", 2.0, (torch.zeros(1, 1, 28, 28), None), iterations=1, generator=generator())
    sparse = live.build(network, (1, 28, 28)).cuda()
    assert any(not getattr(module, "recordable", True) for module in sparse.modules())
    step = training.make_step(sparse, losses.standard, training.adam(sparse, 1e-3))
    assert not isinstance(step, training.GraphedStep)
    assert float(step(torch.randn(8, len(sparse.columns)).cuda(), torch.arange(8).cuda())) > 0
    for order, recordable in (("confidence", True), ("permutations", False)):
        cnn, head = predictors.StoredEmbeddings(), torch.nn.Linear(2, 2)
        unified = predictors.UnifiedCNNLSTM(cnn, head, torch.arange(2), order, 3, generator()).cuda()
        assert isinstance(training.make_step(unified, losses.standard, training.adam(unified, 1e-3)), training.GraphedStep) == recordable


def test_predictions_by_mean_logits_are_those_of_a_cpu():
    logits, chosen = torch.randn(50, 7, generator=generator()), torch.randint(50, (200, 5), generator=generator())
    assert torch.equal(predictors.mean_of_logits(logits.cuda(), chosen), predictors.mean_of_logits(logits, chosen))


@pytest.mark.parametrize("method", parameters.method_names())
def test_a_methods_notebook_runs_on_a_gpu_and_measures_about_what_it_does_on_a_cpu(method, tmp_path):
    n = {"n": [5]} if method == "graph" else {}
    before = {"freeze_retrain": "baseline", "cnn_lstm": "balanced", "head_control": "balanced"}.get(method)
    accuracies = []
    for device in ("cuda", "cpu"):
        folder = tmp_path / device
        folder.mkdir()
        if before:
            usual = [size for size in parameters.defaults(before)["n"] if size <= choices.DATASETS["digits"].largest_tuple]
            execute(folder, before, device=device, **{"n": usual} if method != "freeze_retrain" else {})
        heads = {"head_rho": 1.0, "head_max_epochs": 6, "head_learning_rate": 2e-3} if before == "balanced" else {}
        execute(folder, method, device=device, **n, **heads)
        record = next(r for path in saved(folder) if (r := json.loads(path.read_text()))["params"]["method"] == method)
        assert record["provenance"]["device"].startswith(device) and record["status"] == "ok"
        accuracies.append(next(row["n_accuracy"] for row in record["measures"] if row["n"] == 5))
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.15) and accuracies[0] > 0.3


@pytest.mark.parametrize("run", [name for name in RUNS if "early" not in name])  # which is left to rounding there
def test_a_run_that_was_killed_on_a_gpu_goes_on_there(run, tmp_path, monkeypatch, capsys):
    """As tests/test_resume.py has it, but for rounding: a GPU adds up in another order each time."""
    method, given = RUNS[run]
    records = whole_and_cut(method, given | {"device": "cuda"}, tmp_path, monkeypatch, capsys)
    whole, cut = (record["epochs"]["curves"]["train_loss"] for record in records)
    assert cut == pytest.approx(whole, rel=1e-2) and len(whole) > 3

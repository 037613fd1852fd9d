"""What only a GPU can show: a recorded step learns what an eager one learns, and every method's notebook runs there."""
import json
from pathlib import Path

import pytest
import torch
from conftest import generator, model
from test_methods import GIVEN, execute, saved
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
    for graphable in (True, False):
        small = live.build(network, SHAPE).to(device, kind)
        small.graphable = graphable
        step = training.make_step(small, loss, training.adam(small, 1e-3), precision)
        assert isinstance(step, training.GraphedStep) == graphable
        said = [float(step(x.to(device, kind).flatten(1)[:, small.columns], y.to(device))) for x, y in batches()]
        assert not graphable or step.graph
        found.append((said, *small.state_dict().values()))
    torch.testing.assert_close(*found, **close)


def test_what_draws_in_every_step_is_not_recorded():
    for order, graphable in (("confidence", True), ("permutations", False)):
        cnn, head = predictors.StoredEmbeddings(), torch.nn.Linear(2, 2)
        unified = predictors.UnifiedCNNLSTM(cnn, head, torch.arange(2), order, 3, generator()).cuda()
        assert isinstance(training.make_step(unified, losses.standard, training.adam(unified, 1e-3)), training.GraphedStep) == graphable


def test_predictions_by_mean_logits_are_those_of_a_cpu():
    logits, chosen = torch.randn(50, 7, generator=generator()), torch.randint(50, (200, 5), generator=generator())
    assert torch.equal(predictors.mean_of_logits(logits.cuda(), chosen), predictors.mean_of_logits(logits, chosen))


def accuracy_at_5(method: str, device: str, folder: Path, variant: dict) -> float:
    """What a method's notebook measures after a short run on a device, and after the run that it starts from, if any."""
    known, folder = parameters.defaults(method), folder / device
    folder.mkdir()
    given = variant | ({"n": [5]} if method == "graph" else {})
    given |= {name: value for name, value in {"head_rho": 1.0, "head_max_epochs": 6, "head_learning_rate": 2e-3}.items() if name in known}
    before = parameters.prerequisite(parameters.check(method, GIVEN | given))
    if before:
        execute(folder, before["method"], **{name: before[name] for name in before.keys() - {"method", "results"}} | {"device": device})
    execute(folder, method, device=device, **given)
    record = next(r for path in saved(folder) if (r := json.loads(path.read_text()))["params"]["method"] == method)
    assert record["provenance"]["device"].startswith(device) and record["status"] == "ok"
    return next(row["n_accuracy"] for row in record["measures"] if row["n"] == 5)


VARIANTS = [  # that are recorded in other ways than a notebook's defaults
    ("graph", {"architecture": "embedding"}), ("set_head", {"set_head": "attention"}),
    ("cnn_lstm", {"cnn_training": "fine_tune"}), ("cnn_lstm", {"cnn_training": "end_to_end"}),
]


@pytest.mark.parametrize("method, variant", [*((method, {}) for method in parameters.method_names()), *VARIANTS], ids=str)
def test_a_methods_notebook_runs_on_a_gpu_and_measures_about_what_it_does_on_a_cpu(method, variant, tmp_path):
    found = [accuracy_at_5(method, device, tmp_path, variant) for device in ("cuda", "cpu")]
    assert found[0] == pytest.approx(found[1], abs=0.15) and found[0] > 0.3


@pytest.mark.parametrize("run", [name for name in RUNS if "early" not in name])  # which is left to rounding there
def test_a_run_that_was_killed_on_a_gpu_goes_on_there(run, tmp_path, monkeypatch, capsys):
    """As tests/test_resume.py has it, but for rounding: a GPU adds up in another order each time."""
    method, given = RUNS[run]
    records = whole_and_cut(method, given | {"device": "cuda"}, tmp_path, monkeypatch, capsys)
    whole, cut = (record["epochs"]["curves"]["train_loss"] for record in records)
    assert cut == pytest.approx(whole, rel=1e-2) and len(whole) > 3

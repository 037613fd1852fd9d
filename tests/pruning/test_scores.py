"""Each score against the same thing computed another way."""
import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSES, SHAPE, generator, labelled, model
from torch.autograd.functional import hvp
from torch.func import functional_call
from torch.nn.utils import prune as torch_prune

from sharedlabel import pruning

NAMES = ("fc", "conv", "wideresnet20")


def weights(network):
    return {name: w.detach() for name, w in pruning.weights(network).items()}


def loss_of(network, batch, temperature=1.0):
    """The loss as a function of the list of weights, in training mode."""
    names, rest = list(weights(network)), dict(network.named_buffers())
    state = {name: t.detach() for name, t in network.named_parameters()} | {name: t.clone() for name, t in rest.items()}

    def loss(*values):
        replaced = state | dict(zip(names, values))
        return F.cross_entropy(functional_call(network.train(), replaced, (batch[0],)) / temperature, batch[1])

    return loss


def test_magnitude_in_one_round_is_pytorchs_global_unstructured():
    ours, theirs = model("fc"), model("fc")
    masks = pruning.prune(ours, "magnitude", 0.25, labelled(), iterations=1)
    left = sum(int(mask.sum()) for mask in masks.values())
    total = sum(mask.numel() for mask in masks.values())
    torch_prune.global_unstructured(pruning.prunable_tensors(theirs).values(), torch_prune.L1Unstructured, amount=total - left)
    for name, (module, _) in pruning.prunable_tensors(theirs).items():
        assert torch.equal(masks[name], module.weight_mask.bool())


@pytest.mark.parametrize("name", NAMES)
def test_snip_is_the_change_of_the_loss_along_each_weight(name):
    network, batch = model(name), labelled()
    scores = pruning.scores.snip(network, weights(network), batch, None)
    exact = copy.deepcopy(network).double()
    loss, own = loss_of(exact, (batch[0].double(), batch[1])), weights(exact)
    for i, key in enumerate(own):
        flat = own[key].flatten()
        some = scores[key].flatten().nonzero().flatten()  # most are 0 where few units speak
        for at in some[torch.randint(len(some), (5,), generator=generator(i))].tolist():
            step = torch.zeros_like(flat)
            step[at] = 1e-6  # so small that hardly a ReLU switches
            ends = [loss(*(w + sign * step.view_as(w) if k == key else w for k, w in own.items())) for sign in (1, -1)]
            slope = float(ends[0] - ends[1]) / 2e-6
            assert float(scores[key].flatten()[at]) == pytest.approx(abs(float(flat[at]) * slope), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_grasp_is_the_weight_times_a_hessian_vector_product(name):
    network, batch = model(name), labelled()
    scores = pruning.scores.grasp(network, weights(network), batch, None)
    exact = copy.deepcopy(network).double()
    batch, own = (batch[0].double(), batch[1]), tuple(weights(exact).values())
    loss = loss_of(exact, batch, 200)  # its authors' temperature
    gradient = torch.autograd.functional.jacobian(loss, own)
    for score, w, product in zip(scores.values(), own, hvp(loss, own, gradient)[1]):
        torch.testing.assert_close(score.double(), w * product, rtol=2e-3, atol=2e-3 * float((w * product).abs().max()))


@pytest.mark.parametrize("pruner", ("snip", "grasp"))
def test_scores_by_loss_are_float32_normalise_by_the_batch_and_leave_the_running_statistics(pruner):
    network, batch = model("wideresnet20"), labelled()
    before = {name: t.clone() for name, t in network.named_buffers()}
    score = pruning.PRUNERS[pruner]
    first = score(network, weights(network), batch, None)
    assert {each.dtype for each in first.values()} == {torch.float32}
    assert all(torch.equal(before[name], t) for name, t in network.named_buffers())
    with torch.no_grad():
        network.bn1.running_mean += 3.0  # would matter in evaluation mode
    second = score(network.eval(), weights(network), batch, None)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("pruner", ("snip", "grasp"))
@pytest.mark.parametrize("count, said", [(CLASSES - 1, f"no image of class {CLASSES - 1};"), (0, "batch: it is empty;")])
def test_a_batch_that_lacks_a_class_is_refused(pruner, count, said):
    images, labels = torch.randn(count, *SHAPE), torch.arange(count)
    with pytest.raises(ValueError, match=said):
        pruning.prune(model("fc"), pruner, 1.0, (images, labels), iterations=1)


def test_random_scores_are_standard_gaussian_and_follow_their_stream():
    own = weights(model("conv", shape=(1, 28, 28), classes=10))
    first, again = (pruning.scores.random(None, own, None, generator(3)) for _ in range(2))
    values = torch.cat([score.flatten() for score in first.values()])
    assert abs(float(values.mean())) < 0.01 and abs(float(values.std()) - 1) < 0.01
    assert all(torch.equal(first[name], again[name]) for name in first)

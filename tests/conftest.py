"""What several test files share: settings, data, method notebooks run in this process, and small networks drawn by hypothesis."""
import json
import math
import os
import shutil

import pytest
import torch
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright
from torch import Tensor, nn

from sharedlabel import ROOT, data, models, pruning
from sharedlabel.runs import checkpoints

# The same examples in every run, so that what fails fails again; `--hypothesis-profile=thorough` looks for new ones.
QUICK = settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=list(HealthCheck))
settings.register_profile("quick", QUICK)
settings.register_profile("thorough", QUICK, derandomize=False, max_examples=1000)
settings.load_profile("quick")

SHAPE, CLASSES = (3, 8, 8), 4  # of the images that tests of whole models use


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items):
    """The cells of notebooks, which nbval executes, are slow ones."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def quiet_notebooks():
    """Method notebooks run as in a grid, without a progress bar and pictures; a test of those unsets it."""
    os.environ["SHAREDLABEL_GRID"] = "1"


@pytest.fixture
def closed_folder(tmp_path, monkeypatch):
    """A folder that may not be looked into: Python 3.11's `Path.exists`, `is_dir` and `is_file` raise there. (Root may look anywhere.)"""
    folder, stat = tmp_path / "closed", os.stat
    folder.mkdir()

    def refuse_within(path, *others, **options):
        if str(path).startswith(f"{folder}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *others, **options)

    monkeypatch.setattr(os, "stat", refuse_within)
    return folder


@pytest.fixture(scope="module")
def chromium():
    """A headless browser, this system's Chromium; what asks for it is skipped where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        miss("needs Chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])  # root may not have one


def make_environment() -> dict[str, str]:
    """The variables for a test's `make`; what a `make test FLAGS=...` around it was given goes on to children, and is not for this one."""
    left_out = {"PYTHONPATH", "MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "FLAGS", "CORES", "FORCE", "STUDY", "VENV", "PYTHON"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def notebook_cells(method: str) -> list[dict]:
    return json.loads((ROOT / "notebooks" / "methods" / f"{method}.ipynb").read_text())["cells"]


def run_notebook(method: str, given: dict, results) -> dict:
    """The record of a method notebook and its `checkpoint`, executed in this process with what papermill would be given; seconds faster."""
    sources = ["".join(cell["source"]) for cell in notebook_cells(method) if cell["cell_type"] == "code"]
    injected = "\n".join(f"{name} = {value!r}" for name, value in (given | {"results": str(results)}).items())
    namespace = {"In": []}  # IPython's history
    for source in (sources[0], injected, *sources[1:]):
        namespace["In"].append(source)
        exec(source, namespace)
    file = namespace["run"].path
    return json.loads(file.read_text()) | {"checkpoint": checkpoints.load(file)}


def accuracies(record: dict) -> dict:
    """A record's n-accuracies by protocol and n."""
    return {(row["protocol"], row["n"]): row["n_accuracy"] for row in record["measures"]}


def same_sets(one, other) -> bool:
    """Whether training and test sets, (pixels, labels) each, are equal."""
    return all(torch.equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True))


def miss(what: str) -> None:
    """Skip a test that needs what is not here; fail it where whoever started the tests says that all is here (SHAREDLABEL_ALL_HERE)."""
    (pytest.fail if os.environ.get("SHAREDLABEL_ALL_HERE") else pytest.skip)(what)


@pytest.fixture(scope="session")
def mnist():
    """MNIST's two halves; the tests that need the real files are skipped where there are none."""
    folder = data.root() / "MNIST" / "raw"
    if not all((folder / name).exists() for name in data.torchvision_sets.MNIST_MD5):
        miss(f"needs MNIST's files, and {folder} does not hold them (set SHAREDLABEL_DATA)")
    return data.load("mnist")


@pytest.fixture(scope="session", params=["cifar10", "cifar100"])
def cifar(request):
    """Its name, training and test set; skipped where the files are not there."""
    folder = data.root() / {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[request.param]
    if not folder.exists():
        miss(f"needs {request.param}'s files, and there is no {folder} (set SHAREDLABEL_DATA)")
    return request.param, *data.load(request.param)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labelled(count: int = 8, shape: tuple = SHAPE, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """A batch of images of noise, with labels."""
    return torch.randn(count, *shape, generator=generator(1)), torch.arange(count) % classes


def model(name: str, seed: int = 0, shape: tuple = SHAPE, classes: int = CLASSES) -> nn.Module:
    return models.build(name, shape, classes, generator(seed))


def count(masks: dict[str, Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def total(network: nn.Module) -> int:
    return sum(w.numel() for w in pruning.weights(network).values())


@st.composite
def small_networks(draw) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """A dense network in float64, and its images' shape: up to three convolutions of any geometry, linear layers."""
    small = st.integers(1, 3)
    shape = draw(st.tuples(small, st.integers(1, 7), st.integers(1, 7)))
    layers, size = [], shape
    for _ in range(draw(st.integers(0, 3))):
        geometry = dict(
            kernel_size=draw(st.tuples(small, small)), stride=draw(st.tuples(*[st.integers(1, 2)] * 2)),
            padding=draw(st.tuples(*[st.integers(0, 2)] * 2)), dilation=draw(st.sampled_from([1, 1, 2])),
        )
        convolution = nn.Conv2d(size[0], draw(st.integers(1, 4)), **geometry, bias=draw(st.booleans()))
        try:
            size = tuple(convolution(torch.zeros(1, *size)).shape[1:])
        except RuntimeError:  # the map is smaller than the kernel
            continue
        layers += [convolution, draw(st.sampled_from([nn.ReLU, nn.ReLU, nn.Identity]))()]
    layers.append(nn.Flatten())
    width = math.prod(size)
    for hidden in draw(st.lists(st.integers(1, 5), max_size=1)):
        layers += [nn.Linear(width, hidden, bias=draw(st.booleans())), nn.ReLU()]
        width = hidden
    network = nn.Sequential(*layers, nn.Linear(width, draw(st.integers(2, 4)))).double()
    fill(network, draw)
    return network, shape


@st.composite
def pruned_networks(draw) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """A small network under random masks; some path is left."""
    network, shape = draw(small_networks())
    return mask_at_random(network, shape, draw), shape


def fill(network: nn.Module, draw) -> None:
    """Random weights and biases that come from drawn seeds, so that a failure shrinks and repeats."""
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator(draw(st.integers(0, 99)) + 100 * i)))


def masks_at_random(network: nn.Module, draw) -> dict[str, Tensor]:
    """Dead ends and units that nothing reaches come of themselves, and networks without any path."""
    masks = {}
    for name, weight in pruning.weights(network).items():
        density, seed = draw(st.sampled_from([0.05, 0.2, 0.5, 1.0])), draw(st.integers(0, 99))
        masks[name] = torch.rand(weight.shape, generator=generator(seed)) < density
        for row in draw(st.sets(st.integers(0, len(weight) - 1), max_size=1)):
            masks[name][row] = False
    return masks


def mask_at_random(network: nn.Module, shape: tuple, draw) -> nn.Module:
    """The network under random masks; some path is left."""
    masks = masks_at_random(network, draw)
    assume(pruning.connected(network, masks, shape))
    pruning.apply_masks(network, masks)
    return network


class PreActivation(nn.Module):
    """A residual block whose input is read by a BatchNorm and a sum: x + conv(relu(bn(x)))."""

    def __init__(self, width: int):
        super().__init__()
        self.bn, self.relu, self.conv = nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.relu(self.bn(x)))


@st.composite
def pruned_residual_networks(draw) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """A small network with BatchNorm, pooling and residual blocks in float64 under random masks; some path is left."""
    width, shape = draw(st.integers(1, 4)), (draw(st.integers(1, 3)), draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    pools = [nn.Identity(), nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(2)]
    layers = [nn.Conv2d(shape[0], width, 3, padding=1, bias=draw(st.booleans())), nn.BatchNorm2d(width), nn.ReLU()]
    layers.append(draw(st.sampled_from(pools)))
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            layers.append(PreActivation(width))
        else:
            wider = width + draw(st.integers(0, 1))
            layers.append(models.BasicBlock(width, wider, draw(st.integers(1, 2))))
            width = wider
    side = draw(st.integers(1, 2))
    layers += [nn.AdaptiveAvgPool2d(side), nn.Flatten(), nn.Linear(width * side * side, 3)]
    network = nn.Sequential(*layers).double()
    fill(network, draw)
    with torch.no_grad():  # not those of a fresh BatchNorm, so that none can be left behind unnoticed
        for i, statistic in enumerate(network.buffers()):
            if statistic.is_floating_point():
                statistic.copy_(torch.rand(statistic.shape, generator=generator(i)) + 0.5)
    return mask_at_random(network, shape, draw), shape

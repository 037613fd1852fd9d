"""The names that parameters may take, and what each is called in tables and figures; imports no torch, so that a study is read quickly.

A data set, a network and a pruner are registered where they are written, by a decorator:

    @choices.Pruner("SNIP")
    def snip(network, weights, batch, generator): ...

Here the decorators are read from the source, which is not executed, as `runs.parameters` reads the notebooks of methods.
"""
import ast
import pkgutil
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent


class DataSet(NamedTuple):
    """What has to be known of a data set before it is loaded. Registers a function () -> [(pixels, labels)] of training and test images.

    Of a folder of one's own images all but the title depends on the folder (`runs.parameters.data_set`).
    """

    title: str
    channels: int | None = None  # of an image
    side: int | None = None  # pixels of an image's height and width
    classes: int | None = None
    smallest_class: int | None = None  # its training images
    largest_tuple: int | None = None  # test images of the smallest class
    place: str = ""  # where the function is: "module:function"

    def __call__(self, function):
        return function


class Network(NamedTuple):
    """What has to be known of a network before it is built. Registers a function (shape, classes) -> module, or a class."""

    title: str
    channels: int | None = None  # that an image must have; None: any number
    layers: int | None = None  # that have weights; None: not known before it is built
    batch_norm: bool = False
    embedding: str = "logits"  # what a head reads: logits; features: what its last layer, `fc`, reads
    place: str = ""

    def __call__(self, function):
        return function


class Pruner(NamedTuple):
    """A pruner. Registers a function (network, weights, batch, random stream) -> scores."""

    title: str
    place: str = ""

    def __call__(self, function):
        return function


def registered(kind: type, *files: Path) -> dict:
    """What decorators of one kind in these files of the package register: by name, in small letters, in the order of the source."""
    found = {}
    for file in files:
        module = ".".join((PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts))
        for node in ast.parse(file.read_text()).body:
            for call in getattr(node, "decorator_list", ()):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == f"choices.{kind.__name__}":
                    name, place = node.name.lower(), f"{module}:{node.name}"
                    if name in found:
                        raise ValueError(f"{name} is registered twice, as {found[name].place} and as {place}")
                    try:
                        values = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
                        found[name] = kind(*map(ast.literal_eval, call.args), **values, place=place)
                    except (TypeError, ValueError) as error:
                        raise ValueError(f"{place}, line {call.lineno}: a decorator's arguments are literals ({error})") from None
                    lacking = [field for field, value in zip(found[name]._fields, found[name]) if value is None]
                    if kind is DataSet and lacking and name != "folder":  # whose images decide
                        raise ValueError(f"{place}, line {call.lineno}: the decorator lacks {', '.join(lacking)}")
    return found


def functions(entries: dict) -> dict:
    """What was registered, by name: functions, of which modules are now imported."""
    return {name: pkgutil.resolve_name(entry.place) for name, entry in entries.items()}


def pixels(data_set: DataSet) -> float:
    """How many numbers an image has; data sets stand in this order, those of equal images by their classes."""
    return data_set.channels * data_set.side**2 if data_set.side else float("inf")


def networks_for(channels: int) -> str:
    """The networks that read images of so many channels, to name in an error message."""
    return ", ".join(name for name, network in MODELS.items() if network.channels in (None, channels))


DATASETS = registered(DataSet, *sorted((PACKAGE / "data").glob("*.py")))
DATASETS = dict(sorted(DATASETS.items(), key=lambda item: (pixels(item[1]), item[1].classes or 0)))
MODELS = registered(Network, PACKAGE / "models.py")
# Of pooled pixels, for the method small_dense.
SMALL_MODELS = {"linear": Network("logistic regression"), "lda": Network("LDA"), "mlp": Network("one hidden layer")}
ALL_MODELS = MODELS | SMALL_MODELS
SANITY_CHECKS = {"shuffled": "masks shuffled in layers", "reinitialised": "weights drawn anew", "trained_first": "pruned after training"}
PRUNERS = registered(Pruner, *sorted((PACKAGE / "pruning").glob("*.py")))
BUDGETS = ("weights", "macs")  # what rho says how many are left of
INITIALISATIONS = ("pytorch", "he")
AUGMENTATIONS = ("none", "crop_flip")
PRECISIONS = ("float32", "bfloat16")
PROTOCOLS = ("disjoint", "random")
CNN_METHODS = ("baseline", "balanced")  # what trains a CNN that a head reads
CNN_TRAININGS = ("frozen", "fine_tune", "end_to_end")
READING_ORDERS = ("confidence", "random", "permutations")
ARCHITECTURES = ("embedding", "neuron")  # of the graph method
HEAD_BIASES = ("pruned", "kept")
DEVICE, DEVICES = r"^(auto|cpu|cuda(:[0-9]+)?)$", "auto, cpu, cuda, cuda:N (N counts GPUs from 0)"  # a name's form; the same in words
ON_COLLAPSE = ("raise", "record")
READOUTS = {"averaged": "averaged logits", "vote": "majority vote", "prior": "logits less log frequencies", "bias": "refitted biases",
            "lda": "LDA", "linear": "linear layer", "mlp": "MLP"}
LOGIT_READOUTS = ("averaged", "vote", "prior", "bias")  # which cost nothing beside a CNN
STATELESS_READOUTS = ("averaged", "vote")
SET_HEADS = {"deep_sets": "DeepSets", "attention": "attention pooling"}
EMBEDDINGS = ("logits", "features")  # what a readout reads

# What the notebooks on the paper's sections read, or name as missing.
PAPER_METHODS = ("baseline", "balanced", "freeze_retrain", "cnn_lstm", "head_control", "graph")
PAPER_DATASETS = ("mnist", "cifar10", "cifar100", "tinyimagenet")
PAPER_PRUNERS = ("random", "magnitude", "snip", "grasp", "synflow")

"""A trained network that names the label of images that share it."""
import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sharedlabel import choices
from sharedlabel.data import facts as data_facts
from sharedlabel.data.facts import Facts
from sharedlabel.inference import images as given_images
from sharedlabel.inference import networks, records
from sharedlabel.runs import checkpoints, parameters
from sharedlabel.runs.errors import ParameterError
from sharedlabel.runs.files import read_record

AT_ONCE = 64  # images or tuples that are computed together, as in training.outputs


class Prediction(NamedTuple):
    """What a network says of one tuple of n images: the likeliest class and the next, by name, each with its probability."""

    label: str
    probability: float
    runner_up: str
    runner_up_probability: float
    n: int


def on_cpu(function):
    """A function that makes its tensors on the CPU, whatever default device its caller has set."""
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with torch.device("cpu"):
            return function(*args, **kwargs)

    return wrapped


@on_cpu
def load(record: str | Path, results: str | Path = "results") -> "Predictor":
    """`sharedlabel.load`. Whoever calls keeps the default device and the random streams that they have."""
    file = records.find(record, results)
    found = read_record(file)
    if found["status"] != "ok":
        raise ParameterError(f"record: {file.stem} has no network ({found['status']}: {found.get('collapse', '')}); take another")
    params = networks.complete_parameters(file)
    try:
        cnn = networks.cnn_record(file, params)
        facts = find_facts(file, cnn, params)
        with torch.random.fork_rng(devices=[]):
            return Predictor(file, params, facts, networks.build(file, cnn, params, facts))
    except FileNotFoundError as error:
        where = parameters.default("results")
        made = "; ".join(parameters.commands_by_hand(params))
        raise FileNotFoundError(f"{error}; by hand: {made}; then sharedlabel.load({file.stem!r}, results={where!r})") from None


def find_facts(file: Path, cnn: Path | None, params: dict) -> Facts:
    """Of the data that a record's network was trained on: from its checkpoint, that of the `cnn` it starts from, or what is committed.

    FileNotFoundError where there is none of these.
    """
    text = next(filter(None, map(checkpoints.load_facts, filter(None, (file, cnn)))), "")
    if not text and params["dataset"] not in choices.DATASETS:  # a folder of images, which is named by what is in it
        checkpoints.load(file)
    found = data_facts.loads(text) if text else data_facts.find(params)
    committed = data_facts.file(params["dataset"])  # has names of classes that were numbers when FashionMNIST's networks were trained
    return replace(found, classes=data_facts.loads(committed.read_text()).classes) if text and committed.exists() else found


class Predictor:
    """The network of a record (`sharedlabel.load`). It computes on the CPU, by the record's live weights alone, on as many threads as
    PyTorch has, which nothing here sets: it is the caller's process.

    record: the record's path. params: its parameters. classes: the names of the classes.
    """

    def __init__(self, record: Path, params: dict, facts: Facts, stages: networks.Stages):
        self.record, self.params, self.facts, self.stages = record, params, facts, stages
        self.scale, self.shift = (torch.tensor(each)[:, None, None] for each in (facts.scale, facts.shift))

    @property
    def classes(self) -> list[str]:
        return self.facts.classes

    def __repr__(self) -> str:
        size = "any n" if self.stages.n is None else f"n = {self.stages.n}"
        size += f", trained for n = {self.params['train_n']}" if "train_n" in self.params and self.stages.n is None else ""
        shown = {n: share for n, share in self.n_accuracy.items() if n in (1, 5, 25)} or self.n_accuracy  # of twelve, mostly
        measured = ", ".join(f"{100 * share:.1f} % at n = {n}" for n, share in shown.items())
        return f"Predictor({self.record.stem}: {len(self.classes)} classes, images {self.facts.shape}, {size}; n-accuracy {measured})"

    @property
    def n_accuracy(self) -> dict[int, float]:
        """The share of tuples of n test images of one class that it named correctly when it was trained, by n."""
        return {row["n"]: row["n_accuracy"] for row in read_record(self.record)["measures"] if row["protocol"] == "random"}

    def predict(self, images) -> Prediction:
        """The label of one tuple: `images` that all show the same class.

        images: a list of pictures (Pillow), arrays [H, W] or [H, W, C], tensors [H, W] or [C, H, W], or paths; one array or tensor
        with all of them, [n, ...]; one of these alone, where a gray network takes [n, H, W] for n images, an RGB tensor [3, H, W], too;
        or the path of a folder of images. Arrays are uint8 as the data set has its
        pixels, or floats from 0 (black) to 1 (white). Any size: each image is squeezed to the size that the network was trained on,
        without keeping its proportions (`data.pictures`), so cut it first to show what the training images show. Files and pictures are
        made gray or RGB as the network needs it; arrays and tensors have as many channels as it reads.
        The probability is the softmax of the tuple's output. The network was trained to be right, not to know how often it is.
        ValueError on images that cannot be used, DataError, which names the file, on a file that is no JPEG, PNG or WebP.
        """
        pixels = given_images.as_pixels(images, self.facts)
        (one, two), (label, next_one) = self.probabilities_of(pixels).topk(2)
        return Prediction(self.classes[label], float(one), self.classes[next_one], float(two), len(pixels))

    def probabilities(self, images) -> Tensor:
        """Of every class, in the order of `classes`, [l]: what `predict` names the two largest of. Images and errors as there."""
        return self.probabilities_of(given_images.as_pixels(images, self.facts))

    def probabilities_of(self, pixels: Tensor) -> Tensor:
        """Of one tuple's pixels, uint8 [n, C, H, W] of the network's size -> [l]. ValueError where its checkpoint gives no numbers."""
        found = self.combine(self.embed(pixels)[None])[0].softmax(0)
        if not found.isfinite().all():
            raise ValueError(f"{self.record.stem} gives no number for these images: its checkpoint is damaged")
        return found

    def predict_groups(self, folder: str | Path):
        """The label of each sub-folder of images, whose images share one: a DataFrame of group (its name), n, label, probability,
        runner_up and runner_up_probability, a row a sub-folder, in the order of their names. Images as in `predict`.

        DataError, which names the file, where a folder holds no images or others than JPEG, PNG or WebP, or an image is in none;
        ValueError, which names the group, where a graph network was built for another number of images.
        """
        import pandas as pd

        found = given_images.groups_in(Path(os.path.expanduser(folder)))
        groups = {group: given_images.files_in(group) for group in found}  # errors come first
        rows = [{"group": group.name} | self.predict_group(group, files)._asdict() for group, files in groups.items()]
        return pd.DataFrame(rows)[["group", "n", *(name for name in Prediction._fields if name != "n")]]

    def predict_group(self, folder: Path, files: list[Path]) -> Prediction:
        """`predict` of a folder's files; every error names the folder."""
        try:
            return self.predict(files)
        except ValueError as error:
            raise ValueError(f"group {folder.name}: {error}") from error

    def export(self, file: str | Path) -> None:
        """Write the network to one ONNX file: `pixels`, uint8 [n, C, H, W] of one tuple -> `probabilities` [1, l], as `predict` has them.

        Normalisation, readout or head, and the mean over the tuple are in it; n is free, but for a graph network. The pixels have the
        network's own size. In its metadata are the names of the classes, `classes`, as JSON, and `white`, the value of a white pixel.
        ImportError without the extra `export`; ValueError on a head that averages over random permutations, and on a network that
        averages parts of a map of unequal size.
        """
        try:
            from sharedlabel.inference import export
        except ModuleNotFoundError as error:
            raise ImportError(f"an export needs {error.name}, which is not installed: pip install onnx onnxruntime") from error
        export.write(self, file)

    @torch.no_grad()
    @on_cpu
    def embed(self, pixels: Tensor) -> Tensor:
        """What a tuple needs of each image (`networks`): uint8 [N, C, H, W] -> [N, d]."""
        batches = (torch.addcmul(self.shift, part.float(), self.scale).flatten(1) for part in pixels.split(AT_ONCE))
        return torch.cat([self.stages.image(batch) for batch in batches])

    @torch.no_grad()
    @on_cpu
    def combine(self, rows: Tensor) -> Tensor:
        """Rows of `embed`, n a tuple, [T, n, d] -> outputs [T, l]. ValueError where a graph network was built for another n."""
        return torch.cat([self.stages.together(part) for part in rows.split(AT_ONCE)])

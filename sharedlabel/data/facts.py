"""What a prediction needs to know of the data that a network was trained on, in a small JSON file a data set.

    python -m sharedlabel.data.facts mnist          writes it anew from the data; or several data sets

So a network of a committed record predicts without its training set. Whoever trains puts the facts into the checkpoint, too.
"""
import argparse
import json
from dataclasses import asdict
from pathlib import Path

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sharedlabel import choices
from sharedlabel.data.images import Images

FOLDER = Path(__file__).parent / "facts"
WHITE = {"digits": 16}  # the largest value of a pixel, where it is not 255


@dataclass(frozen=True, config=ConfigDict(strict=True, allow_inf_nan=False))
class Facts:
    """shape: (C, H, W) of an image. scale, shift: of each channel; pixels * scale + shift has mean 0 and variance 1 over the training set.

    classes: their names, in the order of their numbers. white: the largest value that a pixel may have.
    """

    shape: tuple[int, int, int]
    scale: list[float]
    shift: list[float]
    classes: list[str]
    white: int = Field(default=255, ge=1, le=255)

    def __post_init__(self):
        if min(self.shape) < 1 or not self.classes or not len(self.scale) == len(self.shift) == self.shape[0]:
            raise ValueError("shape, scale, shift and classes do not fit together")


def of_data(name: str, **where) -> Facts:
    """The facts of a data set, from the data; arguments and errors as in `data.load`."""
    from sharedlabel import data

    return of_images(name, data.load(name, **where)[0], **where)


def of_images(name: str, train: Images, **where) -> Facts:
    """As `of_data`, of which `train` are the training images or, as all are normalised alike, a part that has every class."""
    scale, shift = (each.flatten().tolist() for each in (train.scale, train.shift))
    return Facts(train.shape, scale, shift, class_names(name, train.classes, **where), WHITE.get(name, 255))


def class_names(name: str, classes: int, path: str = "", **_) -> list[str]:
    """The names of a data set's classes, where its files or a folder's sub-folders are called by any; else their numbers."""
    from sharedlabel.data import location, tinyimagenet

    if name == "folder":
        from sharedlabel import folders

        return list(folders.read(path).classes)
    if name in ("cifar10", "cifar100"):
        from torchvision.datasets import CIFAR10, CIFAR100

        return {"cifar10": CIFAR10, "cifar100": CIFAR100}[name](location.root(), train=False).classes
    if name == "fashionmnist":
        from torchvision.datasets import FashionMNIST

        return list(FashionMNIST.classes)
    if name == "tinyimagenet":
        folder = location.root() / tinyimagenet.NAME
        words = dict(line.split("\t", 1) for line in (folder / "words.txt").read_text().splitlines())
        return [words[wordnet].partition(",")[0] for wordnet in sorted((folder / "wnids.txt").read_text().split())]
    return [str(label) for label in range(classes)]


def file(name: str) -> Path:
    """Where a data set's facts are committed, if they are."""
    return FOLDER / f"{name}.json"


def find(params: dict, train: Images | None = None) -> Facts:
    """The facts of the data set of a run's parameters: those that are committed, or, where there are none, from the data.

    train: as in `of_images`; where it is not given, the data set is loaded.
    """
    if file(params["dataset"]).exists():
        return loads(file(params["dataset"]).read_text())
    where = {name: params[name] for name in ("path", "image_size") if name in params}
    return of_data(params["dataset"], **where) if train is None else of_images(params["dataset"], train, **where)


def dumps(facts: Facts) -> str:
    return json.dumps(asdict(facts))


def loads(text: str) -> Facts:
    """ValueError where the text is none of `dumps`."""
    try:
        return TypeAdapter(Facts).validate_json(text)
    except ValidationError as error:
        raise ValueError(f"facts of no data set: {error.errors(include_url=False)[0]['msg']}") from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", choices=[name for name in choices.DATASETS if name != "folder"])
    for each in parser.parse_args().datasets:
        file(each).write_text(dumps(of_data(each)) + "\n")

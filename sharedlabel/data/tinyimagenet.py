"""Tiny ImageNet from its published zip: downloaded, checked, unpacked, and decoded once into a cache beside it.

In the data folder lie `tiny-imagenet-200.zip`, `tiny-imagenet-200/` and `tiny-imagenet-200.safetensors`, the cache;
each appears whole, by rename, and what is there is not made again. The published test images have no labels, so the
validation images are the test set.
"""
import contextlib
import os
import shutil
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sharedlabel import choices
from sharedlabel.data import decoded, location, pictures
from sharedlabel.data.location import DataError
from sharedlabel.data.torchvision_sets import md5_of

NAME = "tiny-imagenet-200"
SIDE = 64  # pixels
DECODING = "1"  # raised by whoever changes what a cache holds, or in which order


@dataclass(frozen=True)
class Edition:
    """What is published: where, its size in bytes and md5 sum, how many classes, and images of each class."""

    url: str
    size: int
    md5: str
    classes: int
    training: int
    validation: int


PUBLISHED = Edition(f"http://cs231n.stanford.edu/{NAME}.zip", 248_100_043, "90528d7ca1a48142e341f4ef8d21d0de", 200, 500, 50)


@choices.DataSet("Tiny ImageNet", channels=3, side=64, classes=200, smallest_class=500, largest_tuple=50)
def tinyimagenet() -> list[tuple[Tensor, Tensor]]:
    """`load_edition` of what is published, in the data folder."""
    return load_edition(location.root(), PUBLISHED)


def load_edition(root: Path, edition: Edition) -> list[tuple[Tensor, Tensor]]:
    """[(pixels, labels)] of training and validation images: uint8 [N, 3, 64, 64], int64 [N], classes in the order of their WordNet ids.

    Raises DataError where the zip cannot be downloaded, is damaged, or a folder misses classes or images.
    """

    def make() -> dict[str, Tensor]:
        folder = root / NAME
        if not os.path.exists(folder):  # Path's raises below a folder closed to us
            unpack(checked_zip(root, edition), folder)
        return decode(folder, edition)

    found = decoded.cached(root / f"{NAME}.safetensors", made_from(edition), make)
    return [(found[f"{part}.pixels"], found[f"{part}.labels"]) for part in ("train", "test")]


def made_from(edition: Edition) -> dict[str, str]:
    """What a cache says of itself: how it was made, and from what."""
    return {"decoding": DECODING, "zip": edition.md5}


# ---- the zip


def checked_zip(root: Path, edition: Edition) -> Path:
    """The zip, downloaded if it is not there; DataError unless its checksum is that of the edition."""
    file, part = root / f"{NAME}.zip", root / f"{NAME}.zip.part"
    if not os.path.exists(file):
        try:
            download(edition, part)
        except OSError as error:
            with contextlib.suppress(OSError):  # as where a file is in place of the folder
                part.unlink()
            raise DataError(
                f"tinyimagenet: not found, and the download failed ({error}). Put {file.name} ({edition.url}) into {root}, "
                f"or point SHAREDLABEL_DATA at the folder that holds it or {NAME}/, which is what it unpacks to"
            ) from error
        os.replace(part, file)
    if md5_of(file) != edition.md5:
        raise DataError(f"tinyimagenet: {file} is damaged or cut short (its md5 is not {edition.md5}); delete it and fetch it again")
    return file


def download(edition: Edition, part: Path) -> None:
    """Fetch the zip into `part`; OSError where it does not come whole, or there is more of it than was published."""
    part.unlink(missing_ok=True)  # a link would be written through
    with urllib.request.urlopen(edition.url, timeout=60) as answer, part.open("xb") as file:
        while file.tell() <= edition.size and (chunk := answer.read(min(2**20, edition.size + 1 - file.tell()))):
            file.write(chunk)
        if file.tell() != edition.size:
            came = "more" if file.tell() > edition.size else file.tell()
            raise OSError(f"{came} of {edition.size} bytes came")


def unpack(file: Path, folder: Path) -> None:
    """Unpack the zip, whose checksum is right, so that its folder appears whole; DataError where nothing may be written."""
    if not os.access(folder.parent, os.W_OK):
        raise DataError(f"tinyimagenet: {file} is not unpacked, as {folder.parent} may not be written to; let somebody do it who may")
    scratch = folder.with_name(f"{NAME}.part")
    if scratch.is_symlink():  # through which it would write elsewhere
        scratch.unlink()
    shutil.rmtree(scratch, ignore_errors=True)
    with zipfile.ZipFile(file) as content:
        content.extractall(scratch)
    os.replace(scratch / NAME, folder)
    shutil.rmtree(scratch)


# ---- the folder


def decode(folder: Path, edition: Edition) -> dict[str, Tensor]:
    """The pixels and labels of an unpacked folder; images in the order of their classes and names.

    Raises DataError where classes or images are missing or cannot be read.
    """
    classes, annotations = sorted(set(read_text(folder, "wnids.txt").split())), read_text(folder, "val/val_annotations.txt")
    training = {name: list((folder / "train" / name / "images").glob("*.JPEG")) for name in classes}
    validation = {name: [] for name in classes}
    for line in annotations.splitlines():
        image, name, *_ = f"{line}\t".split("\t")
        if name in validation and (folder / "val" / "images" / image).exists():
            validation[name].append(folder / "val" / "images" / image)
    if len(classes) != edition.classes:
        raise unusable(folder, f"has {len(classes)} of {edition.classes} classes in wnids.txt")
    for what, images, expected in (("training", training, edition.training), ("validation", validation, edition.validation)):
        for name in classes:
            if len(images[name]) != expected:
                raise unusable(folder, f"has {len(images[name])} of {expected} {what} images of class {name}")
    found = {}
    for part, images in {"train": training, "test": validation}.items():
        files = [file for name in classes for file in sorted(images[name])]
        found[f"{part}.pixels"] = torch.empty(len(files), 3, SIDE, SIDE, dtype=torch.uint8)
        for pixels, file in zip(found[f"{part}.pixels"], files):
            pixels.copy_(read_rgb(file, folder))
        found[f"{part}.labels"] = torch.arange(len(classes)).repeat_interleave(len(files) // len(classes))
    return found


def read_text(folder: Path, name: str) -> str:
    """A text of an unpacked folder; DataError where it is missing or cannot be read."""
    try:
        return (folder / name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(folder, f"has no {name} that can be read ({error})") from error


def unusable(folder: Path, why: str) -> DataError:
    return DataError(f"tinyimagenet: {folder} {why}; delete this folder, and the zip is unpacked anew")


def read_rgb(file: Path, folder: Path) -> Tensor:
    """An image, grayscale ones included, as uint8 [3, 64, 64]. No other format than JPEG, and no other size, is decoded."""

    def in_colour(image: Image.Image) -> Image.Image:
        if image.size != (SIDE, SIDE):
            size = f"{image.width} x {image.height}"
            raise unusable(folder, f"has an image of {size} pixels, {file.relative_to(folder)}; they have {SIDE} x {SIDE}")
        return image.convert("RGB")

    try:
        return torch.from_numpy(pictures.decode(file.read_bytes(), ("JPEG",), in_colour)).permute(2, 0, 1)
    except (OSError, pictures.UnreadableImage) as error:
        raise unusable(folder, f"has an image that cannot be read, {file.relative_to(folder)} ({error})") from error

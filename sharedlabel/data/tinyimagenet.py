"""Tiny ImageNet from its published zip: fetched, checked, unpacked, and decoded once into a cache beside it.

In the data folder lie `tiny-imagenet-200.zip`, `tiny-imagenet-200/` and `tiny-imagenet-200.safetensors`, the cache;
each appears whole, by rename, and what is there is not made again. The published test images have no labels, so the
validation images are the test set. Pillow decodes the JPEGs; torchvision, which needs it, brings it along.
"""
import contextlib
import http.client
import os
import shutil
import stat
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torchvision.datasets.utils import calculate_md5, check_integrity

from sharedlabel.data import location
from sharedlabel.data.location import DataError
from sharedlabel.runtime import exclusive_lock

NAME = "tiny-imagenet-200"
SIDE = 64  # pixels
ATTEMPTS = 5  # to fetch what is still missing of the zip
DECODING = "1"  # raised by whoever changes what a cache holds, or in which order


@dataclass(frozen=True)
class Edition:
    """What is published: where, its md5 sum, how many classes, and images of each class."""

    url: str
    md5: str
    classes: int
    training: int
    validation: int


PUBLISHED = Edition(f"http://cs231n.stanford.edu/{NAME}.zip", "90528d7ca1a48142e341f4ef8d21d0de", 200, 500, 50)


def load() -> list[tuple[Tensor, Tensor]]:
    """`load_edition` of what is published, in the data folder."""
    return load_edition(location.root(), PUBLISHED)


def load_edition(root: Path, edition: Edition) -> list[tuple[Tensor, Tensor]]:
    """[(pixels, labels)] of training and validation images: uint8 [N, 3, 64, 64], int64 [N], classes in the order of their WordNet ids.

    Raises DataError where the zip cannot be had, is damaged or not safe to unpack, or a folder misses classes or images.
    """
    cache = root / f"{NAME}.safetensors"
    found = cached(cache, edition)
    if found is None:
        with exclusive_lock(root / f"{NAME}.lock"):
            found = cached(cache, edition)
            if found is None:
                folder = root / NAME
                if not folder.exists():
                    unpack(archive(root, edition), folder)
                found = decode(folder, edition)
                if os.access(root, os.W_OK):  # else every run decodes anew
                    keep(cache, found, edition)
    return [(found[f"{part}.pixels"], found[f"{part}.labels"]) for part in ("train", "test")]


# ---- the zip


def archive(root: Path, edition: Edition) -> Path:
    """The zip, downloaded if it is not there; its checksum is that of the edition."""
    file, part = root / f"{NAME}.zip", root / f"{NAME}.zip.part"
    if not file.exists():
        try:
            download(edition.url, part)
        except (OSError, http.client.HTTPException) as error:
            begun = f"; the {part.stat().st_size} bytes that came are kept, and the next start goes on from there" if part.exists() else ""
            raise DataError(
                f"tinyimagenet: not found, and the download failed ({error}){begun}. Put {file.name} ({edition.url}) into {root}, "
                f"or point SHAREDLABEL_DATA at the folder that holds it or {NAME}/, which is what it unpacks to"
            ) from error
        found = calculate_md5(part)
        if found != edition.md5:
            part.unlink()
            raise DataError(f"tinyimagenet: what {edition.url} gave has the md5 {found}, not {edition.md5}; it was deleted, fetch it again")
        os.replace(part, file)
    elif not check_integrity(file, edition.md5):
        raise DataError(f"tinyimagenet: {file} is damaged or cut short (its md5 is not {edition.md5}); delete it and fetch it again")
    return file


def download(url: str, part: Path) -> None:
    """Fetch `url` into `part`, going on from what is there; OSError where it does not come whole.

    A connection that ends early is tried again from there; a server that knows no ranges sends all of it anew.
    """
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=60)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return  # there is no more of it; the checksum tells whether it is right
        goes_on, length = answer.status == http.HTTPStatus.PARTIAL_CONTENT, answer.headers["Content-Length"]
        whole = length and int(length) + (have if goes_on else 0)
        early = contextlib.suppress(ConnectionError, TimeoutError, http.client.IncompleteRead)
        with answer, part.open("ab" if goes_on else "wb") as file, early:
            shutil.copyfileobj(answer, file, 2**20)
        if whole in (None, part.stat().st_size):
            return
    raise ConnectionError(f"it ended early {ATTEMPTS} times, at last after {part.stat().st_size} of {whole} bytes")


def unpack(file: Path, folder: Path) -> None:
    """Unpack the zip's folder as `folder`, whole or not at all.

    DataError, before anything is written, where nothing may be written, or the zip would write elsewhere.
    """
    if not os.access(folder.parent, os.W_OK):
        raise DataError(f"tinyimagenet: {file} is not unpacked, as {folder.parent} may not be written to; let somebody do it who may")
    scratch = folder.with_name(f"{NAME}.part")
    if scratch.is_symlink():  # through which it would write elsewhere
        scratch.unlink()
    shutil.rmtree(scratch, ignore_errors=True)
    with zipfile.ZipFile(file) as content:
        for name, mode in ((member.filename, member.external_attr >> 16) for member in content.infolist()):
            parts = PurePosixPath(name).parts
            if parts[:1] != (NAME,) or ".." in parts or stat.S_ISLNK(mode):
                raise DataError(f"tinyimagenet: {file} is not unpacked, as its member {name!r} is a link or lies outside of {NAME}/")
        content.extractall(scratch)
    os.replace(scratch / NAME, folder)
    scratch.rmdir()


# ---- the folder


def decode(folder: Path, edition: Edition) -> dict[str, Tensor]:
    """The pixels and labels of an unpacked folder; images in the order of their classes and names.

    Raises DataError where classes or images are missing or cannot be read.
    """
    for file in (folder / "wnids.txt", folder / "val" / "val_annotations.txt"):
        if not file.exists():
            raise unusable(folder, f"has no {file.relative_to(folder)}")
    classes = sorted(set((folder / "wnids.txt").read_text().split()))
    training = {name: list((folder / "train" / name / "images").glob("*.JPEG")) for name in classes}
    validation = {name: [] for name in classes}
    for line in (folder / "val" / "val_annotations.txt").read_text().splitlines():
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
            pixels.copy_(rgb(file, folder))
        found[f"{part}.labels"] = torch.arange(len(classes)).repeat_interleave(len(files) // len(classes))
    return found


def unusable(folder: Path, why: str) -> DataError:
    return DataError(f"tinyimagenet: {folder} {why}; delete this folder, and the zip is unpacked anew")


def rgb(file: Path, folder: Path) -> Tensor:
    """An image, grayscale ones included, as uint8 [3, 64, 64]."""
    try:
        with Image.open(file) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    except OSError as error:
        raise unusable(folder, f"has an image that cannot be read, {file.relative_to(folder)} ({error})") from error
    if pixels.shape != (3, SIDE, SIDE):
        size = f"{pixels.shape[2]} x {pixels.shape[1]}"
        raise unusable(folder, f"has an image of {size} pixels, {file.relative_to(folder)}; they have {SIDE} x {SIDE}")
    return pixels


# ---- the cache


def stamp(found: dict[str, Tensor], edition: Edition) -> dict[str, str]:
    """What a cache says of itself: how it was made, from what, and its content's checksum."""
    check = 0
    for name in sorted(found):
        check = zlib.crc32(found[name].numpy(), check)
    return {"decoding": DECODING, "zip": edition.md5, "crc32": str(check)}


def keep(cache: Path, found: dict[str, Tensor], edition: Edition) -> None:
    part = cache.with_suffix(".safetensors.part")
    save_file(found, part, stamp(found, edition))
    part.chmod(0o644)  # save_file would let nobody else read it
    os.replace(part, cache)


def cached(cache: Path, edition: Edition) -> dict[str, Tensor] | None:
    """What the cache holds; None where there is none, or one that is damaged or was made otherwise."""
    try:
        with safe_open(cache, "pt") as file:
            found, said = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    return found if said == stamp(found, edition) else None

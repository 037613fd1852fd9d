"""Whatever somebody has for images -> the pixels of one tuple."""
import os.path
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sharedlabel import folders
from sharedlabel.data import pictures
from sharedlabel.data.facts import Facts
from sharedlabel.data.location import DataError


def as_pixels(images, facts: Facts) -> Tensor:
    """One tuple's images as uint8 [n, C, H, W]; what `images` may be, and the errors, are said in `Predictor.predict`."""
    if isinstance(images, (str, Path)):
        folder = os.path.expanduser(images)
        images = files_in(Path(folder)) if os.path.isdir(folder) else [images]
    elif isinstance(images, Image.Image) or (isinstance(images, (np.ndarray, Tensor)) and is_one(images, facts)):
        images = [images]
    elif not isinstance(images, Iterable) or isinstance(images, Mapping) or getattr(images, "ndim", 1) == 0:
        raise ValueError(f"images: {type(images).__name__} is not allowed; images are pictures, arrays, tensors or paths, as a list")
    found = [as_image(each, facts, i) for i, each in enumerate(images)]
    if not found:
        raise ValueError("images: there are none; a prediction needs at least one")
    return torch.stack(found)


def is_one(values: np.ndarray | Tensor, facts: Facts) -> bool:
    """Whether an array or tensor is one image, not several: [n, H, W] is several of a gray network, but not [H, W, C] of few columns."""
    with_channels = isinstance(values, np.ndarray) and values.ndim == 3 and values.shape[2] < pictures.SMALLEST
    return values.ndim == 2 or with_channels or (values.ndim == 3 and facts.shape[0] > 1)


def files_in(folder: Path) -> list[Path]:
    """The images in a folder by name, without what is hidden or file managers leave; DataError, which names it, on another kind of file,
    and where there is none.
    """
    files = sorted(file for file in folder.iterdir() if not folders.ignored(file.name))
    other = next((file for file in files if not file.is_file() or file.suffix.lower() not in pictures.SUFFIXES), None)
    if other is not None:
        raise DataError(f"{other} is no image; a group's folder holds nothing but {', '.join(pictures.SUFFIXES)}, and hidden files")
    if not files:
        raise DataError(f"{folder} holds no image")
    return files


def groups_in(folder: Path) -> list[Path]:
    """The sub-folders of a folder by name, without hidden ones; DataError, which names it, on an image beside them, and where there
    is none.
    """
    if not os.path.isdir(folder):  # Path's raises below a folder closed to us
        raise DataError(f"{folder} is no folder; a folder with a sub-folder for each group is wanted")
    found = sorted(each for each in folder.iterdir() if not folders.ignored(each.name))
    groups, loose = [each for each in found if each.is_dir()], [each for each in found if each.suffix.lower() in pictures.SUFFIXES]
    loose = [each for each in loose if not each.is_dir()]
    if not groups:
        raise DataError(f"{folder} has no sub-folder; it wants one for each group of images (`predict` takes one group)")
    if loose:
        raise DataError(f"{loose[0]} is in no sub-folder, so it is of no group")
    return groups


def as_image(image, facts: Facts, number: int) -> Tensor:
    """One image as uint8 [C, H, W]; errors name its `number` in the tuple, or its file."""
    if isinstance(image, (str, Path)):
        return darker(pictures.read_file(image, facts.shape), facts)
    try:
        if isinstance(image, Image.Image):
            return darker(pictures.from_picture(image, facts.shape), facts)
        if isinstance(image, Tensor):
            image = image.detach().cpu()
            image = image.float() if image.is_floating_point() else image  # NumPy has no bfloat16
            return from_array((image.movedim(0, -1) if image.dim() == 3 else image).numpy(), facts)
        return from_array(np.asarray(image), facts)
    except (ValueError, TypeError) as error:
        raise ValueError(f"images: number {number}: {error}") from error


def darker(pixels: Tensor, facts: Facts) -> Tensor:
    """Pixels from 0 to 255 as pixels from 0 to `facts.white`."""
    return pixels if facts.white == 255 else (pixels.float() * (facts.white / 255)).round().to(torch.uint8)


def from_array(values: np.ndarray, facts: Facts) -> Tensor:
    """An array [H, W] or [H, W, C] as uint8 [C, H, W]: uint8 are pixels as the data set has them, floats from 0 (black) to 1 (white)."""
    channels, white = facts.shape[0], facts.white
    gray = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 1)
    if values.ndim not in (2, 3) or min(values.shape[:2]) < pictures.SMALLEST:
        sizes = "H x W, or with channels H x W x C of an array and C x H x W of a tensor"
        raise ValueError(f"{values.shape} is the shape of no image; allowed: {sizes}, at least {pictures.SMALLEST} pixels a side")
    found = 1 if gray else values.shape[2]
    if found != channels:
        raise ValueError(f"{found} channel{'s' * (found != 1)}; this network reads {channels}")
    if values.dtype.kind == "f":
        if not ((values >= 0) & (values <= 1)).all():  # nan is neither
            raise ValueError("a float outside of 0 to 1; pixels are floats from 0 (black) to 1 (white), or uint8")
        values = np.round(values * white).astype(np.uint8)
    elif values.dtype != np.uint8 or values.max() > white:
        what = values.dtype if values.dtype != np.uint8 else f"a value of {values.max()}"
        raise ValueError(f"{what}; pixels are uint8 from 0 to {white}, or floats from 0 (black) to 1 (white)")
    image = Image.fromarray(values.squeeze(2) if gray and values.ndim == 3 else np.ascontiguousarray(values))
    return pictures.as_tensor(np.array(pictures.resized(image, facts.shape[1:])))

"""Pictures from files and in memory, of any size, as the pixels that a network reads.

Files are decoded by Pillow as the formats that are asked for and nothing else, whatever their name says: of an EPS it would have
Ghostscript make pixels.
"""
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from sharedlabel.data.location import DataError
from sharedlabel.folders import FORMATS, MOST_BYTES, SUFFIXES

__all__ = ["SMALLEST", "SUFFIXES", "UnreadableImage", "decode", "from_picture", "read_file", "resized", "square"]

MOST_PIXELS = 2**26  # of an image, 8192 x 8192; a file of a few KB may claim far more
MODES = {1: "L", 3: "RGB"}  # Pillow's, by channels
GREY = ("1", "L", "LA", "La")  # all others are colour
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # of more than 8 bits, which `convert` would clip
SMALLEST = 4  # pixels a side; less is an array whose axes were mistaken


class UnreadableImage(ValueError):
    """An image that is not decoded, and why."""


def decode(content: bytes, formats: tuple[str, ...], prepare: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """What `prepare` makes of an image in one of Pillow's `formats`, as uint8: [H, W] of a grey one, [H, W, 3] of one in colour.

    UnreadableImage where it is damaged, of another format, of more than MOST_PIXELS or of more than 8 bits.
    """
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            return np.array(prepare(check(image)))
    except (UnreadableImage, DataError):
        raise
    except UnidentifiedImageError:  # which names a buffer
        raise UnreadableImage(f"cannot identify image file; it is none of {', '.join(formats)}") from None
    except Exception as error:
        raise damaged(error) from error


def damaged(error: Exception) -> UnreadableImage:
    """What a decoder says of a damaged file, in a line: it raises errors of many kinds."""
    return UnreadableImage(" ".join(str(error).split())[:200] or type(error).__name__)


def check(image: Image.Image) -> Image.Image:
    """The image, if it has pixels, no more than MOST_PIXELS, and 8 bits; else UnreadableImage."""
    if not image.width * image.height:
        raise UnreadableImage("it has no pixels")
    if image.width * image.height > MOST_PIXELS:
        raise UnreadableImage(f"it has {image.width} x {image.height} pixels, more than {MOST_PIXELS}")
    if image.mode in DEEP:
        raise UnreadableImage("it has more than 8 bits a pixel and channel")
    return image


def read_file(file: str | Path, shape: tuple[int, int, int]) -> Tensor:
    """The picture in a file as uint8 of `shape` (C, H, W), as `from_picture`; DataError, which names the file, where it cannot be read."""
    try:
        file = Path(os.path.expanduser(file))
        found = file.stat()
        if stat.S_ISDIR(found.st_mode):
            raise DataError(f"{file} is a folder; its images are one tuple if it is given alone, not in a list")
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise DataError(f"{file} is no file of at most {MOST_BYTES} bytes")
        return as_tensor(decode(file.read_bytes(), FORMATS, lambda image: decoded(image, shape[1:], MODES[shape[0]])))
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: an UnreadableImage, or a path that no file can have
        raise DataError(f"{file} cannot be read as {', '.join(FORMATS)}: {error}") from error


def from_picture(picture: Image.Image, shape: tuple[int, int, int]) -> Tensor:
    """A Pillow image as uint8 of `shape` (C, H, W): upright, grey or RGB, and squeezed into H x W. UnreadableImage as in `decode`."""
    try:
        return as_tensor(np.array(squeezed(check(picture), shape[1:], MODES[shape[0]])))
    except UnreadableImage:
        raise
    except Exception as error:  # a file's picture may be decoded only now
        raise damaged(error) from error


def square(image: Image.Image, side: int) -> Image.Image:
    """An image as it is trained on: upright, grey or RGB, whichever it is, and squeezed into `side` x `side` pixels."""
    return decoded(image, (side, side), MODES[1] if image.mode in GREY else MODES[3])


def decoded(image: Image.Image, size: tuple[int, int], mode: str) -> Image.Image:
    """`squeezed` of an image that nobody else holds.

    Of a JPEG far larger than that, fewer pixels are decoded, but never fewer than twice as many a side.
    """
    height, width = size
    image.draft(None, (2 * width, 2 * height))  # for good: its size is another one from here on
    return squeezed(image, size, mode)


def squeezed(image: Image.Image, size: tuple[int, int], mode: str) -> Image.Image:
    """An image turned as its EXIF says, of Pillow's `mode`, and squeezed into `size` (height, width)."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)  # a copy
    image.info.pop("transparency", None)  # which is dropped; `convert` would warn of it in every image
    return resized(image.convert(mode), size)


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image squeezed into `size` (height, width) by Pillow's bilinear filter, which averages."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)


def as_tensor(pixels: np.ndarray) -> Tensor:
    """[H, W] or [H, W, C] as [C, H, W]."""
    return torch.from_numpy(pixels).view(*pixels.shape[:2], -1).permute(2, 0, 1)

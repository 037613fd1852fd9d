"""Pictures of any size as the pixels that a network reads.

Files are decoded by Pillow as JPEG, PNG or WebP and nothing else, whatever their name says: an EPS would start Ghostscript.
"""
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sharedlabel.data.location import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MODES = {1: "L", 3: "RGB"}  # Pillow's, by channels
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # modes that `convert` makes one of MODES without clipping
SMALLEST = 4  # pixels a side; less is an array whose axes were mistaken


def read_file(file: str | Path, shape: tuple[int, int, int]) -> Tensor:
    """The picture in a file as uint8 of `shape`, by `from_picture`; DataError, which names the file, where it is none that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as picture:
                return from_picture(picture, shape)
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{file} is no image that is read here; allowed: JPEG, PNG, WebP") from None
    except Exception as error:  # Pillow says of no decoder which errors a damaged file may raise
        raise DataError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def from_picture(picture: Image.Image, shape: tuple[int, int, int]) -> Tensor:
    """A Pillow image as uint8 of `shape` (C, H, W): turned as its EXIF says, made gray or RGB, and squeezed into H x W (`resized`).

    Of a JPEG far larger than that, fewer pixels are decoded, but never fewer than twice as many a side. ValueError on an image of more
    than 8 bits a channel, which Pillow would clip.
    """
    from PIL import ImageOps

    if picture.mode not in EIGHT_BITS:
        raise ValueError(f"its pixels are of Pillow's mode {picture.mode!r}; allowed are 8 bits a channel: {', '.join(EIGHT_BITS)}")
    picture.draft(None, (2 * shape[2], 2 * shape[1]))
    return resized(ImageOps.exif_transpose(picture).convert(MODES[shape[0]]), shape)


def resized(picture: Image.Image, shape: tuple[int, int, int]) -> Tensor:
    """A gray or RGB image as uint8 [C, H, W]; one of another size is squeezed to it by Pillow's bilinear filter, which averages."""
    _, height, width = shape
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).view(height, width, -1).permute(2, 0, 1)

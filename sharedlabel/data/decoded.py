"""Images from files, decoded once into a cache: what Tiny ImageNet and a folder of one's own share.

Pillow, which torchvision needs, decodes; no format but those that are asked for, of an EPS it would have Ghostscript make pixels.
"""
import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sharedlabel.data.location import DataError
from sharedlabel.runtime import exclusive_lock

MOST_PIXELS = 2**26  # of an image, 8192 x 8192; a file of a few KB may claim far more
GREY = ("1", "L", "LA", "La")  # Pillow's modes; all others are colour
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # of more than 8 bits


class UnreadableImage(ValueError):
    """An image that is not decoded, and why."""


def decode(content: bytes, formats: list[str], prepare: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """What `prepare` makes of an image in one of Pillow's `formats`, as uint8: [H, W] of a grey one, [H, W, 3] of one in colour.

    UnreadableImage where it is damaged, of another format, of more than MOST_PIXELS or of more than 8 bits.
    """
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableImage(f"it has {image.width} x {image.height} pixels, more than {MOST_PIXELS}")
            if image.mode in DEEP:
                raise UnreadableImage("it has more than 8 bits a pixel and channel")
            return np.array(prepare(image))
    except (UnreadableImage, DataError):
        raise
    except Exception as error:  # decoders raise errors of many kinds on a damaged file
        raise UnreadableImage(" ".join(str(error).split())[:200] or type(error).__name__) from error


def square(image: Image.Image, side: int) -> Image.Image:
    """An image as it is trained on: upright, grey or RGB, and squeezed into `side` x `side` pixels by the bilinear filter, which averages.

    Of a JPEG far larger than that, fewer pixels are decoded, but never fewer than twice as many a side.
    """
    image.draft(None, (2 * side, 2 * side))
    upright = ImageOps.exif_transpose(image).convert("L" if image.mode in GREY else "RGB")
    return upright.resize((side, side), Image.Resampling.BILINEAR)


# ---- the cache


def cached(cache: Path, made_from: dict[str, str], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `make` makes, kept in the file `cache`; `made_from` says of what and how, and where it changes, the cache is made anew.

    One process makes it, the others wait. Where the folder may not be written to, every run makes it for itself.
    """
    found = read_cache(cache, made_from)
    if found is None:
        with exclusive_lock(cache.with_suffix(".lock")):
            found = read_cache(cache, made_from)
            if found is None:
                found = make()
                if os.access(cache.parent, os.W_OK):
                    write_cache(cache, found, made_from)
    return found


def checksum(found: dict[str, Tensor]) -> str:
    check = 0
    for name in sorted(found):
        check = zlib.crc32(found[name].numpy(), check)
    return str(check)


def write_cache(cache: Path, found: dict[str, Tensor], made_from: dict[str, str]) -> None:
    """Write the cache, whole or not at all; where the disk is full, this is said."""
    part = cache.with_suffix(".safetensors.part")
    part.unlink(missing_ok=True)  # a link would be written through
    try:
        save_file(found, part, made_from | {"crc32": checksum(found)})
        part.chmod(0o644)  # save_file would let nobody else read it
        os.replace(part, cache)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        print(f"the decoded images are not kept in {cache}, and are decoded again by the next run: {error}")


def read_cache(cache: Path, made_from: dict[str, str]) -> dict[str, Tensor] | None:
    """What the cache holds; None where there is none, or one that is damaged or was made otherwise."""
    try:
        with safe_open(cache, "pt") as file:
            if {name: value for name, value in (file.metadata() or {}).items() if name != "crc32"} != made_from:
                return None
            found, said = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    return found if said.get("crc32") == checksum(found) else None

"""The cache of images that are decoded once: what Tiny ImageNet and a folder of one's own share."""
import os
import zlib
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sharedlabel.runtime import exclusive_lock


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

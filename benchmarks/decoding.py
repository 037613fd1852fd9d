"""How long a folder of 10,000 images of 64 x 64 pixels takes: its identity, its decoding, and both again, from what is kept beside it.

    .venv/bin/python benchmarks/decoding.py          # JPEG; or: png, webp

The images are smooth noise, which compresses as photos do (2 KB each as JPEG). They are written to a temporary folder first.
"""
import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sharedlabel import folders
from sharedlabel.data import folder as own

SIDE, CLASSES, EACH = 64, 10, 1000


def write(root: Path, suffix: str) -> None:
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (root / str(label)).mkdir(parents=True)
        for number in range(EACH):
            coarse = Image.fromarray(random.integers(0, 256, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8))
            coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(root / str(label) / f"{number:04}.{suffix}", quality=90)


def main(suffix: str = "jpg") -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "images"
        write(root, suffix)
        time.sleep(folders.NEW_SECONDS)  # of a folder that is still being written no identity is kept
        for what in ("first", "again"):
            started = time.perf_counter()
            folders.read.cache_clear()
            folders.read(str(root))
            identified = time.perf_counter()
            own.folder(str(root), SIDE)
            print(f"{what}: identity {identified - started:.1f} s, images {time.perf_counter() - identified:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suffix", nargs="?", choices=["jpg", "png", "webp"], default="jpg")
    main(parser.parse_args().suffix)

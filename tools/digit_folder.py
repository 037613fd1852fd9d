"""A folder of images to try `dataset folder` with: 200 of scikit-learn's real handwritten digits as PNG files, in one sub-folder a class.

    .venv/bin/python tools/digit_folder.py runs/digit-folder
"""
import argparse
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits


def write(folder: Path, each: int = 20) -> None:
    """Write `each` digits of every class, in the order in which scikit-learn has them: grey, 8 x 8 pixels, of values from 0 to 255."""
    digits = load_digits()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(digits.images[digits.target == label][:each]):
            Image.fromarray((image * 255 / 16).round().astype("uint8")).save(folder / str(label) / f"{number:03}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)

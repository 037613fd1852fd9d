"""FashionMNIST, on a small folder of its files' format: checked by the published md5 sums, and one clear line where it is not there."""
import gzip
import hashlib

import pytest
import torch
from conftest import generator
from torchvision.datasets import MNIST, FashionMNIST, utils

from sharedlabel import choices, data

SIZES = {"train": 40, "t10k": 20}
PIXELS = {part: torch.randint(256, (count, 28, 28), generator=generator(count), dtype=torch.uint8) for part, count in SIZES.items()}
LABELS = {part: (torch.arange(count) % 10).to(torch.uint8) for part, count in SIZES.items()}


def idx(values: torch.Tensor) -> bytes:
    """Bytes in MNIST's format: 0, 0, 8 (bytes), dimensions, sizes, values."""
    header = bytes([0, 0, 8, values.dim()]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(header + values.numpy().tobytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with the four files of a small FashionMNIST, whose checksums are the published ones."""
    files = {f"{part}-images-idx3-ubyte.gz": idx(PIXELS[part]) for part in SIZES}
    files |= {f"{part}-labels-idx1-ubyte.gz": idx(LABELS[part]) for part in SIZES}
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(FashionMNIST, "resources", [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()])
    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path))
    return folder


def test_its_files_are_those_of_torchvision():
    assert {name for name, _ in FashionMNIST.resources} == {name for name, _ in MNIST.resources}


def test_images_and_labels_are_those_of_the_files(folder):
    train, test = data.load("fashionmnist")
    for images, part in ((train, "train"), (test, "t10k")):
        assert torch.equal(images.pixels[:, 0], PIXELS[part]) and torch.equal(images.labels, LABELS[part].long())
    entry = choices.DATASETS["fashionmnist"]
    assert train.shape == (entry.channels, entry.side, entry.side) and train.classes == entry.classes


def test_torchvision_reads_the_same(folder):
    for file in folder.iterdir():
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
    theirs = FashionMNIST(folder.parents[1], train=True)
    assert torch.equal(theirs.data, data.load("fashionmnist")[0].pixels[:, 0])


def test_a_damaged_file_is_named(folder):
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(data.DataError, match=f"^fashionmnist: {file} is damaged.*$"):
        data.load("fashionmnist")


def test_without_a_network_the_files_and_their_folder_are_named_in_one_line(tmp_path, monkeypatch):
    def no_network(*_):
        raise OSError("no network")

    monkeypatch.setattr(utils, "download_url", no_network)
    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path))
    with pytest.raises(data.DataError) as error:
        data.load("fashionmnist")
    folder = tmp_path / "FashionMNIST" / "raw"
    for part in ("fashionmnist: not found", "no network", "SHAREDLABEL_DATA", str(folder), "t10k-labels-idx1-ubyte.gz"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)

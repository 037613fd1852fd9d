"""Data: what is loaded, how it is normalised and split, and what is said when files are missing or damaged."""
import os

import pytest
import torch
import torchvision
from conftest import generator
from hypothesis import given
from hypothesis import strategies as st

from sharedlabel import data
from sharedlabel.data import Images


def rows(images: Images) -> set[bytes]:
    return {bytes(each.flatten().numpy()) for each in images.pixels}


@pytest.fixture(scope="module")
def digits() -> tuple[Images, Images]:
    return data.load("digits")


def test_digits_are_scikit_learns_1797_in_two_halves(digits):
    train, test = digits
    assert (len(train), len(test)) == (898, 899)
    assert train.shape == test.shape == (1, 8, 8)
    assert train.pixels.dtype == test.pixels.dtype == torch.uint8
    assert train.classes == 10


def test_digits_halves_are_disjoint_and_stratified(digits):
    train, test = digits
    assert not rows(train) & rows(test)
    assert (torch.bincount(train.labels) - torch.bincount(test.labels)).abs().max() <= 1


def test_digits_halves_are_always_the_same(digits):
    for before, again in zip(digits, data.load("digits"), strict=True):
        assert torch.equal(before.pixels, again.pixels) and torch.equal(before.labels, again.labels)


def check_normalised(train: Images, test: Images) -> None:
    batch = train.batch(slice(None)).double()
    variance, mean = torch.var_mean(batch, (0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-5)
    torch.testing.assert_close(variance, torch.ones_like(mean), rtol=0, atol=1e-4)
    assert torch.equal(train.scale, test.scale) and torch.equal(train.shift, test.shift)


def test_a_channel_has_mean_0_and_variance_1_over_the_training_set(digits):
    check_normalised(*digits)


def test_channels_are_normalised_each_by_itself(monkeypatch):
    pixels = torch.randint(256, (50, 3, 4, 5), generator=generator()) // torch.tensor([1, 2, 5])[:, None, None]
    part = pixels.to(torch.uint8), torch.arange(50) % 2
    monkeypatch.setattr(data, "_digits", lambda: (part, part))
    check_normalised(*data.load("digits"))


def test_mnist_is_whole_and_normalised(mnist):
    train, test = mnist
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.shape == test.shape == (1, 28, 28)
    assert train.classes == 10
    check_normalised(train, test)


def colour_images() -> Images:
    pixels = torch.randint(256, (9, 3, 4, 5), generator=generator(), dtype=torch.uint8)
    scale, shift = torch.rand(2, 3, 1, 1, generator=generator(1))
    return Images(pixels, torch.arange(9) % 3, scale, shift)


@given(columns=st.lists(st.integers(0, 59), max_size=70), index=st.lists(st.integers(0, 8), min_size=1))
def test_gathered_columns_are_the_same_columns_of_the_normalised_images(columns, index):
    images, columns, index = colour_images(), torch.tensor(columns, dtype=torch.int64), torch.tensor(index)
    assert torch.equal(images.gather(columns).batch(index), images.batch(index).flatten(1)[:, columns])


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), fraction=st.floats(0.01, 0.99))
def test_a_split_parts_the_images_and_holds_out_the_fraction_of_every_class(sizes, fraction):
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    images = Images(torch.arange(len(labels))[:, None], labels, torch.tensor(1.0), torch.tensor(0.0))
    kept, held_out = data.split(images, fraction, generator())
    assert sorted(torch.cat([kept.pixels, held_out.pixels]).flatten().tolist()) == list(range(len(labels)))
    assert torch.bincount(held_out.labels, minlength=len(sizes)).tolist() == [round(fraction * size) for size in sizes]
    assert torch.equal(kept.labels, labels[kept.pixels.flatten()])


def test_another_seed_splits_otherwise(digits):
    first, again, other = (data.split(digits[0], 0.1, generator(seed))[1].pixels for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_streams_repeat_and_differ_by_seed_and_by_purpose():
    keys = [(seed, purpose) for seed in (0, 1, 2) for purpose in ("batches", "split")]
    draws = {key: torch.rand(4, generator=data.stream(*key)) for key in keys}
    again = {key: torch.rand(4, generator=data.stream(*key)) for key in draws}
    assert all(torch.equal(draws[key], again[key]) for key in draws)
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == len(draws)


def test_drawing_from_one_stream_leaves_the_others_alone():
    expected = torch.rand(4, generator=data.stream(0, "batches"))
    torch.rand(100, generator=data.stream(0, "split"))
    torch.manual_seed(7)
    assert torch.equal(torch.rand(4, generator=data.stream(0, "batches")), expected)


def test_an_unknown_data_set_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="dataset: 'mnits' is unknown; allowed: digits, mnist"):
        data.load("mnits")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so cuda is not refused")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused_and_a_way_out_is_named(name):
    with pytest.raises(ValueError, match=f"device: '{name}' was asked for, but torch sees no GPU here; use 'auto'"):
        data.device(name)


def test_auto_is_the_gpu_where_there_is_one():
    assert data.device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_missing_mnist_without_a_network_says_which_files_go_where(tmp_path, monkeypatch):
    def download(self):
        raise RuntimeError("no network")

    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", download)
    with pytest.raises(data.DataError) as error:
        data.load("mnist")
    for part in ("mnist", "no network", "SHAREDLABEL_DATA", str(tmp_path / "MNIST" / "raw"), *data.MNIST_MD5):
        assert part in str(error.value)


def test_without_the_variable_data_lies_in_the_repository(monkeypatch):
    monkeypatch.delenv("SHAREDLABEL_DATA", raising=False)
    assert data.root() == data.ROOT / "data"


@pytest.fixture
def copy_of_mnist(tmp_path, monkeypatch, mnist):
    """The folder of a copy of MNIST's files (links, but for the test labels, which are a file of their own)."""
    original = data.root() / "MNIST" / "raw"
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in data.MNIST_MD5:
        os.symlink((original / name).resolve(), folder / name)
    labels = folder / "t10k-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.unlink()
    labels.write_bytes(content)
    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path))
    return folder


def test_a_whole_copy_of_mnist_loads(copy_of_mnist, mnist):
    assert torch.equal(data.load("mnist")[1].labels, mnist[1].labels)


def one_bit_flipped(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


@pytest.mark.parametrize("harm", [lambda content: content[:-1], one_bit_flipped, lambda content: b""])
def test_a_damaged_file_of_mnist_is_named(copy_of_mnist, harm):
    labels = copy_of_mnist / "t10k-labels-idx1-ubyte"
    labels.write_bytes(harm(labels.read_bytes()))
    with pytest.raises(data.DataError, match=f"mnist: {labels} is damaged") as error:
        data.load("mnist")
    assert "\n" not in str(error.value)

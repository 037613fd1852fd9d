"""Data: what is loaded, how it is normalised and split, and what is said when files are missing or damaged."""
import contextlib
import os
import pickle
import shutil

import pytest
import torch
import torchvision
from conftest import generator
from hypothesis import assume, given
from hypothesis import strategies as st

from sharedlabel import ROOT, choices, data, training
from sharedlabel.data import DataError, Images, tinyimagenet, torchvision_sets


def rows(images: Images) -> set[bytes]:
    return {bytes(each.flatten().numpy()) for each in images.pixels}


@pytest.fixture(scope="module")
def digits() -> tuple[Images, Images]:
    return data.load("digits")


def test_digits_are_scikit_learns_1797_in_two_halves(digits):
    train, test = digits
    assert (len(train), len(test)) == (898, 899)
    assert train.shape == test.shape == (1, 8, 8)
    assert train.shape[0] == choices.DATASETS["digits"].channels
    assert train.pixels.dtype == test.pixels.dtype == torch.uint8
    assert train.classes == 10


def check_smallest_class(name, train, test):
    """A data set is registered with the number of images of its smallest class, for training and for testing."""
    entry = choices.DATASETS[name]
    assert [torch.bincount(each.labels).min() for each in (train, test)] == [entry.smallest_class, entry.largest_tuple]


def test_digits_halves_are_disjoint_and_stratified(digits):
    train, test = digits
    assert not rows(train) & rows(test)
    assert (torch.bincount(train.labels) - torch.bincount(test.labels)).abs().max() <= 1
    check_smallest_class("digits", train, test)


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
    monkeypatch.setitem(data.READERS, "digits", lambda: (part, part))
    check_normalised(*data.load("digits"))


def test_mnist_is_whole_and_normalised(mnist):
    train, test = mnist
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.shape == test.shape == (1, 28, 28)
    assert train.classes == 10
    check_smallest_class("mnist", train, test)
    check_normalised(train, test)


# mean and standard deviation of the training sets' channels, as they are widely published
CIFAR = {
    "cifar10": (10, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "cifar100": (100, [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
}


def test_cifar_is_whole_and_normalised(cifar):
    name, train, test = cifar
    classes, mean, std = CIFAR[name]
    assert train.pixels.shape == (50_000, 3, 32, 32) and test.pixels.shape == (10_000, 3, 32, 32)
    assert torch.bincount(train.labels).tolist() == [50_000 // classes] * classes
    check_smallest_class(name, train, test)
    torch.testing.assert_close(1 / train.scale.flatten() / 255, torch.tensor(std), rtol=0, atol=1e-4)
    torch.testing.assert_close((-train.shift / train.scale).flatten() / 255, torch.tensor(mean), rtol=0, atol=1e-4)


def wide_images() -> Images:
    """Four images of three colours, wide enough that no two crops are alike."""
    pixels = torch.randint(256, (4, 3, 6, 11), generator=generator(2), dtype=torch.uint8)
    scale, shift = torch.rand(2, 3, 1, 1, generator=generator(1))
    return Images(pixels, torch.arange(4) % 2, scale, shift)


def colour_images() -> Images:
    pixels = torch.randint(256, (9, 3, 4, 5), generator=generator(), dtype=torch.uint8)
    scale, shift = torch.rand(2, 3, 1, 1, generator=generator(1))
    return Images(pixels, torch.arange(9) % 3, scale, shift)


@given(columns=st.lists(st.integers(0, 59), max_size=70), index=st.lists(st.integers(0, 8), min_size=1))
def test_gathered_columns_are_the_same_columns_of_the_normalised_images(columns, index):
    images, columns, index = colour_images(), torch.tensor(columns, dtype=torch.int64), torch.tensor(index)
    assert torch.equal(images.gather(columns).batch(index), images.batch(index).flatten(1)[:, columns])


# ---- augmentation


def moved(images: Images, down: int, right: int, mirrored: bool) -> torch.Tensor:
    """All images of one movement, by way of a padded image."""
    around = data.images.CROP_PADDING
    padded = torch.nn.functional.pad(images.batch(slice(None)), [around] * 4, mode="reflect")
    _, height, width = images.shape
    crop = padded[..., around + down:around + down + height, around + right:around + right + width]
    return crop.flip(-1) if mirrored else crop


def test_images_are_not_augmented_unless_told_to():
    images = colour_images()
    assert data.augmented(images, "none", generator()) is images


def test_an_unknown_augmentation_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="augment: 'crop' is unknown; allowed: none, crop_flip"):
        data.augmented(colour_images(), "crop", generator())


def test_without_movement_a_crop_is_the_image(monkeypatch):
    images = wide_images()
    still = data.augmented(images, "crop_flip", generator())
    monkeypatch.setattr(torch, "randint", lambda *arguments, **_: torch.zeros(arguments[-1], dtype=torch.int64))
    index = torch.tensor([[3, 1], [0, 3]])
    assert torch.equal(still.batch(index), images.batch(index)) and torch.equal(still.batch(slice(1, 3)), images.batch(slice(1, 3)))


@given(down=st.integers(-4, 4), right=st.integers(-4, 4), mirrored=st.booleans())
def test_a_crop_is_that_of_the_image_padded_by_reflection(down, right, mirrored):
    images = wide_images()
    draws = iter([torch.tensor([down, right]).view(2, 1, 1, 1, 1).expand(2, 4, 1, 1, 1), torch.full((4, 1, 1, 1), int(mirrored))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randint", lambda *_, **__: next(draws))
        found = data.augmented(images, "crop_flip", generator()).batch(slice(None))
    assert torch.equal(found, moved(images, down, right, mirrored))


@given(columns=st.lists(st.integers(0, 3 * 6 * 11 - 1), max_size=100), index=st.lists(st.integers(0, 3), min_size=1))
def test_gathered_columns_of_a_crop_are_those_of_the_whole_crop(columns, index):
    columns, index = torch.tensor(columns, dtype=torch.int64), torch.tensor(index)
    whole, picked = (data.augmented(wide_images(), "crop_flip", generator(5)) for _ in range(2))
    for _ in range(2):
        assert torch.equal(picked.gather(columns).batch(index), whole.batch(index).flatten(1)[:, columns])


def test_every_batch_shows_other_crops_of_every_kind():
    images, seen = wide_images(), set()
    crops = data.augmented(images, "crop_flip", generator())
    kinds = {moved(images, down, right, mirrored)[1].numpy().tobytes(): (down, right, mirrored)
             for down in range(-4, 5) for right in range(-4, 5) for mirrored in (False, True)}
    for _ in range(200):
        seen |= {kinds[each.numpy().tobytes()] for each in crops.batch(torch.full((20,), 1))}
    assert len(kinds) == len(seen) == 9 * 9 * 2


def test_augmented_images_train_as_others_do_and_draw_from_their_own_stream():
    images, batches = wide_images(), generator(7)
    crops = data.augmented(images, "crop_flip", generator()).to("cpu").gather(torch.arange(198))
    shown = list(training.shuffled(crops, 2, batches))
    assert [x.shape for x, _ in shown] == [(2, 198), (2, 198)]
    for (_, labels), (_, expected) in zip(shown, training.shuffled(images, 2, generator(7)), strict=True):
        assert torch.equal(labels, expected)


# ---- splits


def numbered_images(sizes: list[int]) -> Images:
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return Images(torch.arange(len(labels))[:, None], labels, torch.tensor(1.0), torch.tensor(0.0))


@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=5), fraction=st.floats(0.01, 0.99))
def test_a_split_parts_the_images_and_holds_out_the_fraction_of_every_class(sizes, fraction):
    images, labels = numbered_images(sizes), numbered_images(sizes).labels
    assume(all(0 < round(fraction * size) < size for size in sizes))
    kept, held_out = data.split(images, fraction, generator())
    assert sorted(torch.cat([kept.pixels, held_out.pixels]).flatten().tolist()) == list(range(len(labels)))
    assert torch.bincount(held_out.labels, minlength=len(sizes)).tolist() == [round(fraction * size) for size in sizes]
    assert torch.equal(kept.labels, labels[kept.pixels.flatten()])


@pytest.mark.parametrize("fraction, said", [(0.004, "0.004 of class 1's 90 images is 0"), (0.999, "0.999 of class 0's 100 images is 100")])
def test_a_split_that_leaves_a_class_without_images_is_refused(fraction, said):
    with pytest.raises(ValueError, match=f"^held_out: {said}; every class needs some held out and some left$"):
        data.split(numbered_images([200 if fraction < 0.5 else 100, 90]), fraction, generator())


def test_a_runs_sets_are_stratified_and_the_test_set_is_the_whole_one(digits):
    train, held_out, test = data.load_splits("digits", 0.1, 0, [1, 80])
    assert (len(train) + len(held_out), len(test)) == (898, 899)
    assert (torch.bincount(held_out.labels) - 9).abs().max() <= 1
    assert torch.equal(test.pixels, digits[1].pixels)


def test_tuples_larger_than_a_class_are_refused_before_training():
    with pytest.raises(ValueError, match="n: 100 is not allowed; a tuple has from 1 to 87 images"):
        data.load_splits("digits", 0.1, 0, [1, 100])


def test_some_of_each_class_are_as_many_of_every_class(digits):
    images, labels = data.sample_each_class(digits[0], 7, generator())
    assert torch.bincount(labels).tolist() == [7] * 10
    assert images.shape == (70, 1, 8, 8) and len(images.flatten(1).unique(dim=0)) == 70
    assert not torch.equal(images, data.sample_each_class(digits[0], 7, generator(1))[0])


def test_another_seed_splits_otherwise(digits):
    first, again, other = (data.split(digits[0], 0.1, generator(seed))[1].pixels for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_an_unknown_data_set_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="dataset: 'mnits' is unknown; allowed: digits, mnist"):
        data.load("mnits")


def test_a_gpu_whose_memory_does_not_hold_the_data_set_is_told_so():
    def to(self, device):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    images = data.load("digits")[0]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError, match="memory does not hold the data set; have fewer runs"):
        patch.setattr(torch.Tensor, "to", to)
        images.to("cuda")


@pytest.mark.parametrize("name, kind, folder, files", [
    ("mnist", "MNIST", "MNIST/raw", data.torchvision_sets.MNIST_MD5),
    ("cifar10", "CIFAR10", "cifar-10-batches-py", ["data_batch_1", "data_batch_5", "test_batch", "batches.meta"]),
    ("cifar100", "CIFAR100", "cifar-100-python", ["train", "test", "meta"]),
])
def test_missing_files_without_a_network_are_named_with_their_folder(tmp_path, monkeypatch, name, kind, folder, files):
    def download(self):
        raise RuntimeError("no network")

    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path))
    monkeypatch.setattr(getattr(torchvision.datasets, kind), "download", download)
    with pytest.raises(data.DataError) as error:
        data.load(name)
    for part in (f"{name}: not found", "no network", "SHAREDLABEL_DATA", str(tmp_path / folder), *files):
        assert part in str(error.value)


def test_what_else_hinders_reading_is_told_as_it_is(cifar, monkeypatch):
    @contextlib.contextmanager
    def locked_by_another_user(lock):
        raise PermissionError(f"{lock}: permission denied")
        yield

    monkeypatch.setattr(data.torchvision_sets, "exclusive_lock", locked_by_another_user)
    with pytest.raises(PermissionError, match="permission denied"):
        data.load(cifar[0])


def test_without_the_variable_data_lies_in_the_repository(monkeypatch):
    monkeypatch.delenv("SHAREDLABEL_DATA", raising=False)
    assert data.root() == ROOT / "data"


def test_a_relative_data_folder_is_anchored_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for told, expected in {"elsewhere/data": ROOT / "elsewhere/data", str(tmp_path): tmp_path}.items():
        monkeypatch.setenv("SHAREDLABEL_DATA", told)
        assert data.root() == expected


def copy(folder: str, name: str, to):
    """A copy below `to` of a data set's folder: links, but the file `name`, which is one of its own; its path."""
    original = (data.root() / folder).resolve()
    (to / folder).mkdir(parents=True)
    for file in original.iterdir():
        if file.name != name:
            os.symlink(file, to / folder / file.name)
    return shutil.copyfile(original / name, to / folder / name)


@pytest.fixture
def copy_of_mnist(tmp_path, monkeypatch, mnist):
    """The test labels' file in a copy of MNIST, which is where data is now read."""
    file = copy("MNIST/raw", "t10k-labels-idx1-ubyte", tmp_path)
    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path))
    return file


def test_a_whole_copy_of_mnist_loads(copy_of_mnist, mnist):
    assert torch.equal(data.load("mnist")[1].labels, mnist[1].labels)


def test_pixels_without_a_checksum_are_not_read(copy_of_mnist, mnist):
    """torchvision prefers these files, where they are there."""
    folder = copy_of_mnist.parents[1] / "processed"
    folder.mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(10, 28, 28, dtype=torch.uint8), torch.arange(10)), folder / name)
    assert torch.equal(data.load("mnist")[1].pixels, mnist[1].pixels)


def one_bit_flipped(content: bytes) -> bytes:
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


@pytest.mark.parametrize("harm", [lambda content: content[:-1], one_bit_flipped, lambda content: b""])
def test_a_damaged_file_of_mnist_is_named(copy_of_mnist, harm):
    copy_of_mnist.write_bytes(harm(copy_of_mnist.read_bytes()))
    with pytest.raises(data.DataError, match=f"^mnist: {copy_of_mnist} is damaged.*$"):
        data.load("mnist")


@pytest.mark.parametrize("cifar", ["cifar10"], indirect=True)
@pytest.mark.parametrize("name", ["test_batch", "batches.meta"])
def test_a_damaged_file_of_cifar_is_named_and_not_unpickled(cifar, tmp_path, monkeypatch, name):
    file = copy("cifar-10-batches-py", name, tmp_path)
    monkeypatch.setenv("SHAREDLABEL_DATA", str(tmp_path))
    monkeypatch.setattr(pickle, "load", None)
    file.write_bytes(one_bit_flipped(file.read_bytes()))
    with pytest.raises(data.DataError, match=f"^cifar10: {file} is damaged.*$"):
        data.load("cifar10")


def test_a_batch_of_rows_is_what_pytorch_makes_of_them():
    """To the last bit, wherever addcmul multiplies and adds at once, as it does on processors that can."""
    pixels = torch.randint(0, 256, (100, 3, 5, 7), dtype=torch.uint8, generator=generator())
    images = Images(pixels, torch.arange(100) % 4, torch.rand(3, 1, 1) + 0.1, torch.randn(3, 1, 1))
    columns = torch.arange(0, 105, 2)
    rows, index = images.gather(columns), torch.randint(100, (6, 9), generator=generator())
    torch.testing.assert_close(rows.batch(index), images.batch(index).flatten(2)[..., columns], rtol=1e-6, atol=1e-5)
    assert torch.equal(rows.batch(index.flatten()), rows.batch(index).flatten(0, 1))
    assert torch.equal(rows.batch(index[0]), rows.batch(index)[0])
    for wrong in (-1, 100):
        with pytest.raises(IndexError):
            rows.batch(torch.tensor([0, wrong]))


def test_files_below_a_folder_that_is_closed_are_not_found(closed_folder, monkeypatch):
    monkeypatch.setenv("SHAREDLABEL_DATA", str(closed_folder / "data"))

    def download():
        raise OSError("closed")

    with pytest.raises(DataError, match="mnist: not found, and the download failed .closed.. Put these files into"):
        torchvision_sets.check_files("mnist", closed_folder / "data" / "MNIST", {"a": ""}, download)
    monkeypatch.setattr(tinyimagenet, "download", lambda *_: download())
    with pytest.raises(DataError, match="tinyimagenet: not found, and the download failed .*Put tiny"):
        tinyimagenet.checked_zip(closed_folder / "data", tinyimagenet.PUBLISHED)

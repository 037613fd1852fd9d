"""A folder of one's own images is decoded once, into what Pillow shows of each; what cannot be read is named."""
import struct
import subprocess
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import same_sets
from PIL import Image
from safetensors.torch import load_file, save_file

from sharedlabel import choices, data, folders
from sharedlabel.data import decoded
from sharedlabel.data import folder as module

SIDE = 8


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(file: Path, pixels: np.ndarray, **how) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **how)
    return file


@pytest.fixture
def root(tmp_path):
    """Two classes of eight colour images of 8 x 8 pixels each; PNG, which loses nothing."""
    folders.read.cache_clear()
    for place, name in enumerate(("cat", "dog")):
        for number in range(8):
            save(tmp_path / "pets" / name / f"{number}.png", noise(10 * place + number, SIDE, SIDE, 3))
    return tmp_path / "pets"


def load(root: Path, side: int = SIDE):
    folders.read.cache_clear()
    return module.folder(str(root), side)


def refusal(root: Path, side: int = SIDE) -> str:
    with pytest.raises(data.DataError) as error:
        load(root, side)
    assert "\n" not in str(error.value) and not list(root.parent.glob("*.safetensors*"))
    return str(error.value)


def pixels_of(root: Path, side: int = SIDE) -> dict[str, torch.Tensor]:
    """What was decoded of every file, by its path below the folder."""
    found, given = load(root, side), folders.read(str(root))
    return {file: image for part, files in zip(found, (given.train, given.test)) for image, file in zip(part[0], sum(files, []))}


# ---- what is decoded


def test_images_and_labels_are_those_of_the_files(root):
    found, (train, test) = pixels_of(root), load(root)
    for file, image in found.items():
        assert np.array_equal(image.permute(1, 2, 0), np.array(Image.open(root / file)))
    assert train[0].shape == (12, 3, SIDE, SIDE) and train[0].dtype == torch.uint8 and train[1].tolist() == [0] * 6 + [1] * 6
    assert test[0].shape == (4, 3, SIDE, SIDE) and test[1].tolist() == [0, 0, 1, 1] and test[1].dtype == torch.int64


def test_it_is_a_data_set_like_any_other(root):
    train, test = data.load("folder", str(root), SIDE)
    assert (train.shape, train.classes, len(test)) == ((3, SIDE, SIDE), 2, 4)
    variance, mean = torch.var_mean(train.batch(slice(None)).double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(torch.stack([mean, variance]), torch.tensor([[0.0] * 3, [1.0] * 3]).double(), rtol=0, atol=1e-4)
    parts = data.load_splits("folder", 0.2, 0, [1, 2], str(root), SIDE)
    assert [len(part) for part in parts] == [10, 2, 4]


def test_grey_images_have_one_channel(root):
    for file in root.rglob("*.png"):
        save(file, noise(int(file.stem), SIDE, SIDE))
    assert load(root)[0][0].shape == (12, 1, SIDE, SIDE)
    assert all(np.array_equal(image[0], np.array(Image.open(root / file))) for file, image in pixels_of(root).items())


def test_grey_images_among_others_are_read_as_colour_and_named_in_every_run(root, capsys):
    save(root / "dog" / "3.png", noise(3, SIDE, SIDE))
    for _ in range(2):
        image = pixels_of(root)["dog/3.png"]
        said = f"{root}: 2 classes, cat, dog\n{root}: 1 of 16 images are grey, such as dog/3.png; they are read as colour images, "
        assert said + "as others, such as cat/" in capsys.readouterr().out
    assert (image == torch.from_numpy(noise(3, SIDE, SIDE))).all()


@pytest.mark.parametrize("mode, channels", [("RGBA", 3), ("P", 3), ("CMYK", 3), ("LA", 1), ("1", 1)])
def test_other_kinds_of_colour_are_read_as_pillow_converts_them(root, mode, channels):
    for file in root.rglob("*.png"):
        image = Image.open(file).convert(mode)
        how = {"transparency": bytes([0, 128])} if mode == "P" else {}  # which is dropped, without a word for every image
        image.save(file, "JPEG" if mode == "CMYK" else "PNG", **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixels_of(root)
    for file, image in found.items():
        expected = np.array(Image.open(root / file).convert("RGB" if channels == 3 else "L"))
        assert np.array_equal(image.permute(1, 2, 0).squeeze(2), expected)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_colour_of_16_bits_is_read_as_8(root):
    deep = np.random.default_rng(1).integers(0, 2**16, (SIDE, SIDE, 3))
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (root / "dog" / "3.png").write_bytes(content)
    assert np.array_equal(pixels_of(root)["dog/3.png"].permute(1, 2, 0), deep // 256)


@pytest.mark.parametrize("format", folders.FORMATS)
def test_every_format_is_read_whatever_the_suffix_says(root, format):
    for number, file in enumerate(sorted(root.rglob("*.png"))):
        new = file.with_suffix((".jpg", ".JPEG", ".webp", ".PNG")[number % 4])
        Image.open(file).save(new, format)
        if new != file:
            file.unlink()
    assert all(np.array_equal(image.permute(1, 2, 0), np.array(Image.open(root / file))) for file, image in pixels_of(root).items())


def test_an_image_is_squeezed_into_the_asked_size(root):
    wide = noise(1, 40, 100, 3)
    save(root / "dog" / "0.png", wide)
    expected = Image.fromarray(wide).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    found = pixels_of(root)
    assert np.array_equal(found["dog/0.png"].permute(1, 2, 0), np.array(expected))
    assert pixels_of(root, 20)["cat/0.png"].shape == (3, 20, 20)


def test_a_large_jpeg_is_near_to_what_all_of_its_pixels_give(root):
    large = np.array(Image.fromarray(noise(2, 12, 12, 3)).resize((640, 480), Image.Resampling.BICUBIC))
    save(root / "dog" / "0.jpg", large, quality=95)
    (root / "dog" / "0.png").unlink()
    whole = Image.open(root / "dog" / "0.jpg").resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(pixels_of(root, 32)["dog/0.jpg"].permute(1, 2, 0).numpy().astype(int) - np.array(whole, dtype=int)).mean() < 3


def test_a_photo_that_was_taken_sideways_stands_upright(root):
    exif, pixels = Image.Exif(), noise(5, SIDE, SIDE, 3)
    exif[0x0112] = 6  # its orientation: turned by a quarter
    save(root / "dog" / "0.png", pixels, exif=exif)
    assert np.array_equal(pixels_of(root)["dog/0.png"].permute(1, 2, 0), np.rot90(pixels, -1))


# ---- what is not


def eps(file: Path) -> None:
    Image.fromarray(noise(0, SIDE, SIDE, 3)).save(file, "EPS")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def bomb(file: Path) -> None:
    Image.new("L", (20_000, 20_000)).save(file)


@pytest.mark.parametrize("harm, said", [
    (eps, "cannot identify image file"), (cut, "truncated"), (bomb, "decompression bomb"),
    (lambda file: Image.new("L", (9000, 9000)).save(file), "it has 9000 x 9000 pixels, more than 67108864"),
    (lambda file: Image.fromarray(noise(0, 8, 8).astype(np.uint16) * 200).save(file), "more than 8 bits"),
    (lambda file: file.write_bytes(b""), "cannot identify image file"),
    (lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50)), ""),
    (lambda file: Image.new("RGB", (8, 8)).save(file, "GIF"), "cannot identify image file"),
    (lambda file: Image.new("RGB", (8, 8)).save(file, "TIFF"), "cannot identify image file"),
])
def test_a_file_that_is_not_to_be_decoded_is_named_and_no_other_program_is_started(root, monkeypatch, harm, said):
    harm(root / "dog" / "3.png")
    monkeypatch.setattr(subprocess, "Popen", None)  # of an EPS Pillow would have Ghostscript make pixels
    told = refusal(root)
    assert told.startswith(f"folder: {root}/dog/3.png cannot be read as an image: ") and said in told and "move it elsewhere" in told


def test_a_picture_that_could_be_decoded_otherwise_is_refused_for_its_format_alone(root):
    eps(root / "dog" / "3.png")
    assert Image.open(root / "dog" / "3.png").format == "EPS"
    refusal(root)


def test_what_changes_between_identity_and_decoding_is_not_kept(root):
    folders.read(str(root))
    save(root / "dog" / "0.png", noise(99, SIDE, SIDE, 3))
    with pytest.raises(data.DataError, match="changed while they were read; run it again"):
        module.folder(str(root), SIDE)
    (root / "dog" / "0.png").unlink()
    with pytest.raises(data.DataError, match=r"dog/0\.png cannot be read as an image: .*No such file"):
        module.folder(str(root), SIDE)


def test_images_that_are_all_of_one_colour_are_refused(root):
    for file in root.rglob("*.png"):
        save(file, np.full((SIDE, SIDE, 3), 7, np.uint8))
    with pytest.raises(data.DataError, match=f"^{root}: a colour has the same value in every pixel"):
        data.load("folder", str(root), SIDE)


# ---- the cache


def test_images_are_decoded_once_a_size(root, monkeypatch):
    before, other = load(root), load(root, 4)
    monkeypatch.setattr(module, "decode", None)
    assert same_sets(load(root), before) and same_sets(load(root, 4), other) and other[0][0].shape[2:] == (4, 4)
    names = {file.name for file in root.parent.iterdir()} - {"pets", "pets.sharedlabel.json"}
    assert names == {f"pets.sharedlabel-{side}.{suffix}" for side in (4, 8) for suffix in ("safetensors", "lock")}


def test_other_images_replace_the_cache(root):
    load(root)
    save(root / "dog" / "0.png", noise(77, SIDE, SIDE, 3))
    assert np.array_equal(pixels_of(root)["dog/0.png"].permute(1, 2, 0), noise(77, SIDE, SIDE, 3))
    assert len(list(root.parent.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("harm", [
    lambda file: file.write_bytes(file.read_bytes()[:-1]), lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1])),
    lambda file: save_file(load_file(file), file),
])
def test_a_damaged_cache_is_made_anew(root, harm):
    before = load(root)
    cache, = root.parent.glob("*.safetensors")
    harm(cache)
    harmed = cache.read_bytes()
    assert same_sets(load(root), before) and cache.read_bytes() != harmed


def test_a_cache_that_cannot_be_written_is_no_obstacle(root, monkeypatch, capsys):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(decoded, "save_file", full)
    found = load(root)
    assert "are not kept in" in capsys.readouterr().out and not list(root.parent.glob("*.safetensors*"))
    monkeypatch.setattr(decoded.os, "access", lambda path, mode: False)
    assert same_sets(load(root), found)


def test_a_cache_does_not_write_through_a_link(root):
    mine = root.parent / "mine"
    mine.write_text("mine")
    (root.parent / f"pets.sharedlabel-{SIDE}.safetensors.part").symlink_to(mine)
    load(root)
    assert mine.read_text() == "mine"


def test_nothing_is_known_of_a_folder_before_it_is_read():
    assert choices.DATASETS["folder"][1:5] == (None, None, None, None) and list(choices.DATASETS)[-1] == "folder"

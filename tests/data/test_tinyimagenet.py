"""Tiny ImageNet, on a small zip of the published one's layout and servers of our own: never a half set, never a file elsewhere."""
import contextlib
import hashlib
import http.server
import io
import shutil
import socket
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import same_sets
from PIL import Image

from sharedlabel import choices, data
from sharedlabel.data import decoded, tinyimagenet
from sharedlabel.data.tinyimagenet import NAME, Edition

CLASSES = ["n03", "n01", "n02"]  # as in wnids.txt, which is not sorted
TRAINING, VALIDATION = 4, 2


def colour(name: str, number: int, part: str) -> tuple[int, int, int]:
    """The one colour of an image; the last of a class is grey."""
    red, last = 10 + 40 * sorted(CLASSES).index(name), {"train": TRAINING, "val": VALIDATION}[part] - 1
    return (red,) * 3 if number == last else (red, 20 * number, {"train": 200, "val": 100}[part])


def jpeg(rgb: tuple[int, int, int]) -> bytes:
    grey, content = len(set(rgb)) == 1, io.BytesIO()
    Image.new("L" if grey else "RGB", (64, 64), rgb[0] if grey else rgb).save(content, "JPEG", quality=95)
    return content.getvalue()


def members() -> dict[str, bytes]:
    """The files of the small zip."""
    found = {"wnids.txt": "\n".join(CLASSES).encode(), "words.txt": b"", "test/images/test_0.JPEG": b"nobody looks at it"}
    validation = [(number, name) for number in range(VALIDATION) for name in CLASSES]
    for name in CLASSES:
        found[f"train/{name}/{name}_boxes.txt"] = b""
        found |= {f"train/{name}/images/{name}_{i}.JPEG": jpeg(colour(name, i, "train")) for i in range(TRAINING)}
    found |= {f"val/images/val_{i}.JPEG": jpeg(colour(name, number, "val")) for i, (number, name) in enumerate(validation)}
    lines = [f"val_{i}.JPEG\t{name}\t0\t0\t62\t62\n" for i, (_, name) in enumerate(validation)]
    found["val/val_annotations.txt"] = "".join(reversed(lines)).encode()
    return {f"{NAME}/{file}": content for file, content in found.items()}


def packed(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, each in files.items():
            archive.writestr(name, each)
    return content.getvalue()


ZIP = packed(members())


def edition(url: str = "http://127.0.0.1:9/nobody", content: bytes = ZIP) -> Edition:
    return Edition(url, len(content), hashlib.md5(content).hexdigest(), len(CLASSES), TRAINING, VALIDATION)


@pytest.fixture
def root(tmp_path):
    """A data folder that holds the zip."""
    (tmp_path / f"{NAME}.zip").write_bytes(ZIP)
    return tmp_path


@pytest.fixture
def unpacked(root):
    """The same, unpacked, and the zip gone."""
    tinyimagenet.unpack(root / f"{NAME}.zip", root / NAME)
    (root / f"{NAME}.zip").unlink()
    return root / NAME


def refusal(root: Path, told: Edition) -> str:
    with pytest.raises(data.DataError) as error:
        tinyimagenet.load_edition(root, told)
    assert "\n" not in str(error.value) and str(error.value).startswith("tinyimagenet: ")
    assert not (root / f"{NAME}.safetensors").exists()
    return str(error.value)


# ---- what is loaded


def test_what_is_published_has_200_classes_of_500_and_50_images():
    published = tinyimagenet.PUBLISHED
    assert (published.classes, published.training, published.validation) == (200, 500, 50)
    assert published.url == "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    assert published.md5 == "90528d7ca1a48142e341f4ef8d21d0de"


def test_images_and_labels_are_those_of_the_zip(root):
    train, test = tinyimagenet.load_edition(root, edition())
    for (pixels, labels), part, count in ((train, "train", TRAINING), (test, "val", VALIDATION)):
        assert pixels.shape == (3 * count, 3, 64, 64) and pixels.dtype == torch.uint8 and pixels.is_contiguous()
        assert labels.tolist() == [label for label in range(3) for _ in range(count)]
        expected = torch.tensor([colour(name, i, part) for name in sorted(CLASSES) for i in range(count)])
        assert (pixels.flatten(2).int() - expected[:, :, None]).abs().max() <= 3  # JPEG rounds
        assert (pixels[count - 1, :1] == pixels[count - 1]).all()  # grey


def test_it_is_a_data_set_like_any_other(root, monkeypatch):
    monkeypatch.setenv("SHAREDLABEL_DATA", str(root))
    monkeypatch.setattr(tinyimagenet, "PUBLISHED", edition())
    train, test = data.load("tinyimagenet")
    assert (train.shape, train.classes, len(test)) == ((choices.DATASETS["tinyimagenet"].channels, 64, 64), 3, 3 * VALIDATION)
    variance, mean = torch.var_mean(train.batch(slice(None)).double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(torch.stack([mean, variance]), torch.tensor([[0.0] * 3, [1.0] * 3]).double(), rtol=0, atol=1e-4)


def test_an_unpacked_folder_does_without_the_zip(root, unpacked):
    found = tinyimagenet.load_edition(root, edition())
    assert [len(labels) for _, labels in found] == [3 * TRAINING, 3 * VALIDATION]


# ---- the cache


@pytest.fixture
def cached(root):
    """The cache's path, once it is there, and what was loaded."""
    return root / f"{NAME}.safetensors", tinyimagenet.load_edition(root, edition())


def test_the_images_are_decoded_once(cached, monkeypatch):
    file, before = cached
    monkeypatch.setattr(tinyimagenet, "decode", None)
    shutil.rmtree(file.parent / NAME)
    (file.parent / f"{NAME}.zip").unlink()
    assert same_sets(tinyimagenet.load_edition(file.parent, edition()), before)
    assert not list(file.parent.glob("*.part")) and file.stat().st_mode & 0o044


def test_a_cache_that_was_decoded_otherwise_or_from_another_zip_is_made_anew(cached, monkeypatch):
    file, before = cached
    another = replace(edition(), md5="another")
    assert decoded.read_cache(file, tinyimagenet.made_from(another)) is None
    monkeypatch.setattr(tinyimagenet, "DECODING", "another")
    assert same_sets(tinyimagenet.load_edition(file.parent, another), before)
    assert decoded.read_cache(file, tinyimagenet.made_from(another)) is not None


# ---- the download


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content`, of each request at most `at_most` bytes, and counts the requests."""

    content, at_most, asked = ZIP, len(ZIP), None

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[:self.at_most])

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Starts a server; its address, and the ranges that it was asked for."""
    servers = []
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def start(**changed) -> tuple[str, list]:
        handler = type("Handler", (Server,), changed | {"asked": []})
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/{NAME}.zip", handler.asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_zip_that_is_not_there_is_downloaded(tmp_path, serve):
    url, asked = serve()
    root = tmp_path / "data"  # not there yet either
    assert len(tinyimagenet.load_edition(root, edition(url))[0][1]) == 3 * TRAINING
    assert len(asked) == 1 and (root / f"{NAME}.zip").read_bytes() == ZIP
    assert sorted(file.name for file in root.iterdir()) == [NAME, f"{NAME}.lock", f"{NAME}.safetensors", f"{NAME}.zip"]


def test_a_download_that_is_cut_short_is_told_and_deleted(tmp_path, serve):
    url, _ = serve(at_most=10)
    assert f"10 of {len(ZIP)} bytes came" in refusal(tmp_path, edition(url)) and not list(tmp_path.glob("*.zip*"))


def test_a_download_that_never_ends_is_cut_off_at_the_published_size(tmp_path, serve):
    def endlessly(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            while True:
                self.wfile.write(bytes(2**16))

    url, _ = serve(do_GET=endlessly)
    assert f"more of {len(ZIP)} bytes came" in refusal(tmp_path, edition(url)) and not list(tmp_path.glob("*.zip*"))


def test_a_download_does_not_write_through_a_link(tmp_path, serve):
    url, _ = serve()
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / f"{NAME}.zip.part").symlink_to(tmp_path / "elsewhere")
    tinyimagenet.load_edition(tmp_path, edition(url))
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_a_download_of_another_checksum_is_refused(tmp_path, serve):
    url, _ = serve(content=ZIP[:-1] + b"x")
    told = refusal(tmp_path, edition(url))
    assert f"not {edition().md5}" in told and "fetch it again" in told and not (tmp_path / NAME).exists()


def test_without_a_network_the_file_and_its_folder_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as nobody:  # bound, but nobody listens
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/x.zip"
        told = refusal(tmp_path, edition(url))
    for part in ("not found", "refused", f"Put {NAME}.zip ({url}) into {tmp_path}", "SHAREDLABEL_DATA", f"{NAME}/"):
        assert part in told


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_place_of_the_data_folder_is_told(tmp_path, place):
    (tmp_path / "file").write_text("")
    told = refusal(tmp_path / place, edition())
    assert f"Not a directory: '{tmp_path / place}" in told and "point SHAREDLABEL_DATA at the folder that holds it" in told


def test_an_address_that_is_not_there_is_told(tmp_path, serve):
    url, asked = serve(do_GET=lambda self: self.send_error(404))
    assert "404" in refusal(tmp_path, edition(url))


# ---- the zip


@pytest.mark.parametrize("content", [ZIP[:-1], ZIP + b"x", b""])
def test_a_zip_of_another_checksum_is_named_and_left_alone(root, content):
    file = root / f"{NAME}.zip"
    file.write_bytes(content)
    told = refusal(root, edition())
    assert f"{file} is damaged or cut short" in told and "delete it and fetch it again" in told
    assert file.read_bytes() == content and not (root / NAME).exists()


def test_a_folder_that_nobody_can_write_to_is_decoded_and_nothing_is_kept(root, monkeypatch):
    first = tinyimagenet.load_edition(root, edition())
    (root / f"{NAME}.safetensors").unlink()
    monkeypatch.setattr(tinyimagenet.os, "access", lambda path, mode: False)
    again = tinyimagenet.load_edition(root, edition())
    assert same_sets(first, again)
    assert not list(root.glob("*.safetensors*"))


def test_a_zip_in_a_folder_that_nobody_can_write_to_is_told_of(root, monkeypatch):
    monkeypatch.setattr(tinyimagenet.os, "access", lambda path, mode: False)
    with pytest.raises(data.DataError, match="zip is not unpacked, as .* may not be written to"):
        tinyimagenet.load_edition(root, edition())
    assert {file.name for file in root.iterdir()} == {f"{NAME}.zip", f"{NAME}.lock"}


def test_a_zip_writes_nowhere_else(tmp_path):
    root = tmp_path / "a" / "data"
    root.mkdir(parents=True)
    evil = packed(members() | {"/escaped": b"", "../escaped": b"", f"{NAME}/../../escaped": b""})
    (root / f"{NAME}.zip").write_bytes(evil)
    tinyimagenet.load_edition(root, edition(content=evil))
    assert {file.name for file in tmp_path.iterdir()} == {"a"} and not [file for file in root.iterdir() if "escaped" in file.name]


def test_what_a_killed_start_unpacked_is_not_taken_for_the_folder(root):
    half = root / f"{NAME}.part" / NAME
    half.mkdir(parents=True)
    (half / "wnids.txt").write_text("n01")
    assert len(tinyimagenet.load_edition(root, edition())[0][1]) == 3 * TRAINING
    assert not half.parent.exists()


def test_a_link_where_it_is_unpacked_is_not_followed(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (root / f"{NAME}.part").symlink_to(elsewhere)
    assert len(tinyimagenet.load_edition(root, edition())[0][1]) == 3 * TRAINING
    assert not list(elsewhere.iterdir()) and not (root / f"{NAME}.part").exists()


# ---- the folder


def replaced(content: bytes):
    return lambda file: file.write_bytes(content)


@pytest.mark.parametrize("name, harm, said", [
    ("wnids.txt", Path.unlink, "has no wnids.txt"),
    ("val/val_annotations.txt", Path.unlink, "has no val/val_annotations.txt"),
    ("wnids.txt", replaced(b"n01\nn02\nn03\xff\n"), "has no wnids.txt that can be read ('utf-8' codec"),
    ("val/val_annotations.txt", replaced(b"\xff"), "has no val/val_annotations.txt that can be read ('utf-8'"),
    ("wnids.txt", replaced(b"n01\nn02\nn02\n"), "has 2 of 3 classes in wnids.txt"),
    ("wnids.txt", replaced(b"n01\nn02\nn04\n"), "has 0 of 4 training images of class n04"),
    ("train/n02", shutil.rmtree, "has 0 of 4 training images of class n02"),
    ("train/n02/images/n02_1.JPEG", Path.unlink, "has 3 of 4 training images of class n02"),
    ("val/images/val_3.JPEG", Path.unlink, "has 1 of 2 validation images of class n03"),
    ("val/val_annotations.txt", replaced(b""), "has 0 of 2 validation images of class n01"),
    ("train/n02/images/n02_1.JPEG", replaced(b"no image"), "an image that cannot be read, train/n02/images/n02_1.JPEG"),
    ("train/n02/images/n02_1.JPEG", replaced(jpeg((1, 2, 3))[:-200]), "an image that cannot be read, train/n02/images/n02_1.JPEG"),
])
def test_a_folder_that_misses_something_is_refused_and_it_is_named(root, unpacked, name, harm, said):
    harm(unpacked / name)
    told = refusal(root, edition())
    assert said in told and str(unpacked) in told and "delete this folder" in told


def test_an_image_of_another_size_is_refused(root, unpacked):
    Image.new("RGB", (32, 48)).save(unpacked / "val" / "images" / "val_0.JPEG")
    assert "has an image of 32 x 48 pixels, val/images/val_0.JPEG" in refusal(root, edition())


def test_an_image_of_another_format_is_not_decoded(root, unpacked):
    """Of an EPS Pillow would have Ghostscript make pixels."""
    Image.new("RGB", (64, 64)).save(unpacked / "val" / "images" / "val_0.JPEG", "EPS")
    assert "an image that cannot be read, val/images/val_0.JPEG" in refusal(root, edition())

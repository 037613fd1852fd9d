"""A folder of one's own images: what is listed, how it is split and identified, and what is refused in a line that names the file."""
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from sharedlabel import ROOT, folders


def save(file: Path, colour=(10, 20, 30), size=(6, 6), **how) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(file, **how)
    return file


def fill(root: Path, **counts: int) -> Path:
    """A folder with so many images of each class, none like another."""
    for place, (name, count) in enumerate(counts.items()):
        for number in range(count):
            save(root / name.replace("__", "/") / f"{number:02}.png", (place, number, 7))
    return root


@pytest.fixture(autouse=True)
def fresh():
    folders.read.cache_clear()


@pytest.fixture
def root(tmp_path):
    return fill(tmp_path / "pets", dog=8, cat=12)




def read(root) -> folders.Folder:
    folders.read.cache_clear()
    return folders.read(str(root))


# ---- what is listed


def test_classes_are_sub_folders_by_name_and_a_quarter_of_each_is_for_testing(root):
    found = read(root)
    assert found.classes == ("cat", "dog") and found.path == root
    assert [len(files) for files in found.train] == [9, 6] and [len(files) for files in found.test] == [3, 2]
    for name, count, train, test in zip(found.classes, (12, 8), found.train, found.test):
        assert sorted(train + test) == [f"{name}/{number:02}.png" for number in range(count)]


def test_the_split_is_always_the_same_and_most_of_it_stays_when_images_come(root):
    before = read(root)
    assert read(root) == before
    for number in range(8, 12):
        save(root / "dog" / f"{number:02}.png", (9, number, 9))
    after = read(root)
    assert after.train[0] == before.train[0] and len(set(before.train[1]) & set(after.train[1])) >= len(before.train[1]) - 1


def test_train_and_test_are_taken_as_they_are_and_listed_as_torchvision_lists_them(tmp_path):
    from torchvision.datasets import ImageFolder

    root = fill(tmp_path / "pets", train__dog=3, train__cat=2, train__cat__young=2, test__cat=1, test__dog=2)
    found = read(root)
    for part, files in (("train", found.train), ("test", found.test)):
        theirs = ImageFolder(root / part)
        assert tuple(theirs.classes) == found.classes
        assert [(str(root / file), label) for label, names in enumerate(files) for file in names] == theirs.samples


def test_names_may_be_in_any_script_and_have_any_space(root):
    for name in ("Hündchen & 'Freunde'", "犬", "Screenshot at 1.00\u202fPM", "\U0001f468\u200d\U0001f469"):
        (root / "dog").rename(root / name)
        assert read(root).classes == tuple(sorted(("cat", name)))
        (root / name).rename(root / "dog")
    root.rename(root.parent / "my\u202fpets")
    assert read(root.parent / "my\u202fpets").classes == ("cat", "dog")


def test_what_file_managers_leave_is_ignored_and_so_are_texts_beside_the_classes(root):
    before = read(root)
    for name in ("dog/.DS_Store", "dog/Thumbs.db", "desktop.ini", ".git/x.jpg", "README.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    assert read(root) == before


def test_a_relative_path_is_from_the_repository_and_a_link_to_the_folder_is_followed(root, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "ROOT", tmp_path)
    (tmp_path / "link").symlink_to(root)
    assert read("pets") == read("link") == read(root)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("~/pets") == read(root)
    assert folders.locate(str(ROOT)) == ROOT


# ---- what is refused


def link_to(what: str):
    def make(root: Path) -> None:
        (root.parent / "elsewhere").mkdir()
        save(root.parent / "elsewhere" / "secret.png")
        (root / what).symlink_to(root.parent / "elsewhere" / ("secret.png" if what.endswith("png") else ""))
    return make


def move(old: str, new: str):
    return lambda root: (root / old).rename(root / new)


REFUSED = [
    (shutil.rmtree, "'{root}' is no folder"),
    (lambda root: [shutil.rmtree(each) for each in root.iterdir()], "{root} has no sub-folders; images lie in one sub-folder a class"),
    (lambda root: shutil.rmtree(root / "dog"), "{root} has one class, cat; it takes two or more"),
    (lambda root: [file.unlink() for file in (root / "dog").iterdir()], "{root}/dog has no images"),
    (lambda root: (root / "dog" / "notes.txt").write_text("x"), "{root}/dog/notes.txt is not named as an image is (.jpg, .jpeg, .png, "),
    (lambda root: save(root / "dog" / "x.gif"), "{root}/dog/x.gif is not named as an image is"),
    (lambda root: os.mkfifo(root / "dog" / "x.png"), "{root}/dog/x.png is no file"),
    (lambda root: save(root / "x.jpg"), "{root}/x.jpg is in no class's sub-folder"),
    (link_to("dog/x.png"), "{root}/dog/x.png is a link, and none is followed"),
    (link_to("dog/more"), "{root}/dog/more is a link, and none is followed"),
    (link_to("bird"), "{root}/bird is a link, and none is followed"),
    (lambda root: (root / "dog" / "again").symlink_to(root), "{root}/dog/again is a link, and none is followed"),
    (lambda root: [move("dog", "train")(root), move("cat", "val")(root)], "{root} has train, val; it takes train/ and test/ alone"),
    (lambda root: [move("dog", "Training")(root), move("cat", "Testing")(root)], "{root} has Testing, Training; it takes train/ and"),
    (lambda root: [move("dog", "train")(root), move("cat", "Test")(root)], "{root} has Test, train; it takes train/ and test/ alone, so"),
    (lambda root: [shutil.rmtree(root), fill(root, train__a=2, train__b=2, test__a=2, test__b=2), save(root / "x.png")],
     "{root}/x.png is in no class's sub-folder"),
    (move("dog", "d\nog"), "{root} holds 'd\\nog', a name that cannot be printed; rename it"),
    (move("dog/00.png", "dog/\udcff.png"), "{root}/dog holds '\\udcff.png', a name that cannot be printed; rename it"),  # no UTF-8
    (lambda root: fill(root, train__a=1, test__a=1), "{root} has cat, dog, test, train; it takes train/ and test/ alone"),
    (lambda root: [shutil.rmtree(root), fill(root, train__a=2, train__b=2, test__a=2)], "{root}: the class b is in train/ alone"),
    (lambda root: [shutil.rmtree(root), fill(root, train__a=2, test__a=2)], "{root} has one class, a; it takes two or more"),
]


@pytest.mark.parametrize("harm, said", REFUSED, ids=[said for _, said in REFUSED])
def test_a_folder_that_is_no_data_set_is_refused_and_what_is_wrong_is_named(root, harm, said):
    harm(root)
    with pytest.raises(folders.FolderError) as error:
        read(root)
    assert str(error.value).startswith(said.format(root=root)) and "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["", "nowhere/at/all", "/nowhere", "a\nb", "\0", "~nobody_of_this_name/x", "x" * 5000, "pyproject.toml"])
def test_a_path_that_names_no_folder_is_shown_as_it_was_given(path):
    looked = "" if path.startswith(("/", "~")) else re.escape(f" (in {ROOT})")
    with pytest.raises(folders.FolderError, match=f"'{looked} is no folder; it is one that has a sub-folder of images for each class"):
        read(path)


def test_folders_and_files_beyond_all_measure_are_refused(root, monkeypatch):
    monkeypatch.setattr(folders, "MOST_IMAGES", 19)
    with pytest.raises(folders.FolderError, match="has 20 images, more than 19"):
        read(root)
    monkeypatch.setattr(folders, "MOST_BYTES", 20)
    with pytest.raises(folders.FolderError, match=r"cat/00\.png has \d+ bytes, more than 20"):
        read(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_class_that_may_not_be_read_is_named(root):
    (root / "dog").chmod(0)
    with pytest.raises(folders.FolderError, match="dog cannot be read: Permission denied"):
        read(root)


# ---- identity


def test_the_identity_is_of_names_and_contents_and_not_of_the_place_or_the_times(root, tmp_path):
    before = read(root).identity
    assert len(before) == 12 and set(before) <= set("0123456789abcdef")
    shutil.copytree(root, tmp_path / "elsewhere" / "other")
    assert read(tmp_path / "elsewhere" / "other").identity == before
    os.utime(root / "dog" / "00.png", (1, 1))
    assert read(root).identity == before


@pytest.mark.parametrize("change", [
    move("dog/00.png", "dog/99.png"), move("dog", "wolf"), move("dog/00.png", "cat/99.png"),
    lambda root: (root / "dog" / "00.png").unlink(), lambda root: save(root / "dog" / "00.png", (1, 1, 1)), lambda root: fill(root, bird=4),
], ids=["renamed", "class renamed", "moved", "deleted", "painted", "new class"])
def test_another_name_or_content_is_another_identity(root, change):
    before = read(root).identity
    change(root)
    assert read(root).identity != before


@pytest.fixture
def old(root, monkeypatch):
    """The folder, read once, when all its files had not changed for long."""
    now = time.time
    monkeypatch.setattr(folders.time, "time", lambda: now() + 60)
    read(root)
    return root


def test_contents_are_read_once_as_long_as_nothing_changes(old, monkeypatch):
    before = read(old)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert read(old) == before
    assert sorted(file.name for file in old.parent.iterdir()) == ["pets", "pets.sharedlabel.json"]


def test_a_change_of_one_byte_is_seen_even_if_size_and_time_are_put_back(old):
    before, file = read(old).identity, old / "dog" / "00.png"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_size == times.st_size and file.stat().st_mtime_ns == times.st_mtime_ns
    assert read(old).identity != before


def test_of_a_folder_that_is_still_being_written_nothing_is_kept(root):
    read(root)
    assert not (root.parent / "pets.sharedlabel.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"times": 1}', "\0"])
def test_a_damaged_index_is_made_anew(old, content):
    before, index = read(old).identity, old.parent / "pets.sharedlabel.json"
    index.write_text(content)
    assert read(old).identity == before and json.loads(index.read_text())["identity"] == before


def test_an_index_cannot_lead_a_run_elsewhere(old):
    index = old.parent / "pets.sharedlabel.json"
    kept = json.loads(index.read_text())
    index.write_text(json.dumps(kept | {"identity": "../../../x"}))
    assert read(old).identity == kept["identity"]


def test_where_nothing_may_be_written_the_folder_is_read_all_the_same(root, monkeypatch):
    monkeypatch.setattr(folders.os, "access", lambda path, mode: False)
    assert read(root).identity and [file.name for file in root.parent.iterdir()] == ["pets"]

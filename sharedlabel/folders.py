"""One's own images in a folder: its classes and files, which of them are for testing, and a hash of them all. Imports no torch.

Images lie in one sub-folder a class, or in `train/` and `test/` with one sub-folder a class each. Nothing is decoded here.
"""
import contextlib
import functools
import hashlib
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from sharedlabel import ROOT

SUFFIXES, FORMATS = (".jpg", ".jpeg", ".png", ".webp"), ("JPEG", "PNG", "WEBP")  # of images, and what Pillow calls these formats
LEFT_BY_FILE_MANAGERS = ("thumbs.db", "desktop.ini")  # these and hidden files are ignored
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # ends a line, or is no UTF-8 (as `os` decodes such names)
TEST_SHARE = 4  # one in so many images of a class is for testing, where there is no test/
MOST_IMAGES, MOST_BYTES = 1_000_000, 2**28  # of a folder, of a file
PARTS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval")  # what no class is called, small or large
NEW_SECONDS = 2  # a file that changed so lately may change again without its times telling


class FolderError(ValueError):
    """A folder that cannot be used as a data set; the message, one line, names the folder or the file."""


@dataclass(frozen=True)
class Folder:
    """The classes of a folder and their files, [class][image], as paths below it; `identity` is a hash of these paths and all contents."""

    path: Path
    classes: tuple[str, ...]
    train: list[list[str]]
    test: list[list[str]]
    identity: str


@functools.cache
def read(path: str) -> Folder:
    """The folder that the parameter `path` names (`locate`). FolderError where it is no data set.

    A process reads a folder once, until `read.cache_clear()`: a study asks for it in every run.
    """
    root = locate(path)
    try:
        refuse_loose_images(root)
        parts = [list_classes(root / part, root) for part in (("train", "test") if has_parts(root) else ("",))]
        classes, files = sorted(parts[0]), sorted(file for part in parts for files in part.values() for file in files)
        for name in sorted(parts[0].keys() ^ parts[-1].keys()):
            raise FolderError(f"{root}: the class {name} is in {'train' if name in parts[0] else 'test'}/ alone")
        if len(classes) < 2:
            raise FolderError(f"{root} has one class, {classes[0]}; it takes two or more, each a sub-folder")
        if len(files) > MOST_IMAGES:
            raise FolderError(f"{root} has {len(files)} images, more than {MOST_IMAGES}")
        if len(parts) == 1:
            parts = list(zip(*(split(parts[0][name]) for name in classes)))
        else:
            parts = [[part[name] for name in classes] for part in parts]
        return Folder(root, tuple(classes), *map(list, parts), identify(root, files))
    except OSError as error:
        raise FolderError(f"{error.filename or root} cannot be read: {error.strerror}") from error


def locate(path: str) -> Path:
    """A folder, relative to the repository or with ~ for a home; a link to it is followed. FolderError where there is none."""
    try:
        found = (ROOT / Path(path).expanduser()).resolve()
        if path and not UNPRINTABLE.search(path) and found.is_dir():
            return found
    except (OSError, RuntimeError, ValueError):  # too long, ~SOMEBODY who has no home here, links in a circle, a null byte
        pass
    shown = repr(path[:200]) + ("" if path.startswith(("/", "~")) else f" (in {ROOT})")
    raise FolderError(f"{shown} is no folder; it is one that has a sub-folder of images for each class, or train/ and test/ with these")


def entries(folder: Path) -> list[os.DirEntry]:
    """What is in a folder, by name, but for what is ignored. FolderError on a link: what it leads to may be anywhere; on a name that
    cannot be printed, as classes are called by it.
    """
    with os.scandir(folder) as found:
        kept = [each for each in found if not ignored(each.name)]
    for each in kept:
        if UNPRINTABLE.search(each.name):
            raise FolderError(f"{folder} holds {each.name!a}, a name that cannot be printed; rename it")
        if each.is_symlink():
            raise FolderError(f"{each.path} is a link, and none is followed; put what it leads to in its place")
    return sorted(kept, key=lambda each: each.name)


def ignored(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that file managers leave."""
    return name.startswith(".") or name.lower() in LEFT_BY_FILE_MANAGERS


def has_parts(root: Path) -> bool:
    """Whether a folder has `train/` and `test/`. FolderError where it seems to have parts, but not these two alone."""
    found = {each.name for each in entries(root) if each.is_dir()}
    if found != {"train", "test"} and sum(name.lower() in PARTS for name in found) > 1:
        shown = ", ".join(sorted(found))[:200]
        raise FolderError(f"{root} has {shown}; it takes train/ and test/ alone, so called, or one sub-folder a class")
    return found == {"train", "test"}


def list_classes(folder: Path, root: Path) -> dict[str, list[str]]:
    """The files of every class of a folder, as paths below `root`, sorted. FolderError unless each has images and nothing else."""
    refuse_loose_images(folder)
    found = {each.name: list_images(Path(each.path), root) for each in entries(folder) if each.is_dir()}
    if not found:
        raise FolderError(f"{folder} has no sub-folders; images lie in one sub-folder a class, or in train/ and test/ with these")
    return found


def refuse_loose_images(folder: Path) -> None:
    """FolderError where an image lies beside the sub-folders; other files there are nobody's business."""
    for each in entries(folder):
        if not each.is_dir() and each.name.lower().endswith(SUFFIXES):
            raise FolderError(f"{each.path} is in no class's sub-folder")


def list_images(folder: Path, root: Path) -> list[str]:
    """The images of one class, those in sub-folders of its folder too; FolderError where there are none, or anything else."""
    found, waiting = [], [folder]
    while waiting:
        for each in entries(waiting.pop()):
            if each.is_dir():
                waiting.append(Path(each.path))
            elif not each.is_file():
                raise FolderError(f"{each.path} is no file; move it elsewhere")
            elif not each.name.lower().endswith(SUFFIXES):
                suffixes = ", ".join(SUFFIXES)
                raise FolderError(f"{each.path} is not named as an image is ({suffixes}); rename or convert it, or move it elsewhere")
            elif each.stat().st_size > MOST_BYTES:
                raise FolderError(f"{each.path} has {each.stat().st_size} bytes, more than {MOST_BYTES}")
            else:
                found.append(each.path.removeprefix(f"{root}/"))
    if not found:
        raise FolderError(f"{folder} has no images")
    return sorted(found)


def split(files: list[str]) -> tuple[list[str], list[str]]:
    """(training, test): a class's images in the order of their names' hashes, one in TEST_SHARE for testing, one at least.

    So the split is always the same, and images that come later leave most of the others where they are.
    """
    mixed = sorted(files, key=content_hash)
    count = max(1, round(len(files) / TEST_SHARE))
    return sorted(mixed[count:]), sorted(mixed[:count])


# ---- identity


def content_hash(content: str | bytes) -> bytes:
    """The sha256 of a file's content, or of its name."""
    return hashlib.sha256(os.fsencode(content)).digest()


def combine(hashes: dict[str, bytes]) -> str:
    """The identity of a data set, twelve hexadecimal digits: a hash of its files' names and of their contents' hashes."""
    return hashlib.sha256(b"".join(content_hash(name) + hashes[name] for name in sorted(hashes))).hexdigest()[:12]


def beside(root: Path, suffix: str) -> Path:
    """A file that is kept beside a folder: what took long to find out of it."""
    return root.with_name(f"{root.name}.sharedlabel{suffix}")


def identify(root: Path, files: list[str]) -> str:
    """The identity of a folder's files. It is kept beside the folder, and holds as long as no file's size, times and inode change."""
    index, newest, times = beside(root, ".json"), 0, hashlib.sha256()
    for name in files:
        found = os.stat(f"{root}/{name}", follow_symlinks=False)
        newest = max(newest, found.st_mtime, found.st_ctime)
        times.update(os.fsencode(f"{name}\0{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}\n"))
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(index.read_text())
        if kept["times"] == times.hexdigest() and re.fullmatch("[0-9a-f]{12}", kept["identity"]):  # it becomes part of a path
            return kept["identity"]
    started = time.time()
    found = combine({name: content_hash((root / name).read_bytes()) for name in files})
    if newest < started - NEW_SECONDS and os.access(root.parent, os.W_OK):
        with contextlib.suppress(OSError):
            part = index.with_suffix(f".{os.getpid()}.part")
            with part.open("x") as file:  # a link would be written through
                json.dump({"identity": found, "times": times.hexdigest()}, file)
            os.replace(part, index)
    return found

"""A folder of one's own images (`sharedlabel.folders`), decoded once into a cache beside it."""
import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from sharedlabel import choices, folders
from sharedlabel.data import decoded, pictures
from sharedlabel.data.location import DataError

DECODING = "1"  # raised by whoever changes what a cache holds
THREADS = min(8, os.cpu_count() or 1)  # Pillow decodes outside of Python's lock


@choices.DataSet("own images")
def folder(path: str, image_size: int) -> list[tuple[Tensor, Tensor]]:
    """[(pixels, labels)] of training and test images: uint8 [N, C, image_size, image_size], int64 [N], classes in the order of their names.

    C is 1 where all images are grey, else 3. FolderError where the folder is no data set, DataError where an image cannot be read.
    """
    given = folders.read(path)
    parts = given.train, given.test
    files = [file for part in parts for names in part for file in names]
    made_from = {"decoding": DECODING, "identity": given.identity, "image_size": str(image_size)}
    cache = folders.beside(given.path, f"-{image_size}.safetensors")
    found = decoded.cached(cache, made_from, lambda: decode(given, files, image_size))
    print(f"{given.path}: {len(given.classes)} classes, {', '.join(given.classes)[:200]}")
    if found["grey"].any() and not found["grey"].all():
        count, grey, colour = int(found["grey"].sum()), *(files[int((found["grey"] == is_grey).nonzero()[0])] for is_grey in (True, False))
        print(f"{given.path}: {count} of {len(files)} images are grey, such as {grey}; they are read as colour images, as others, such as "
              f"{colour}, are")
    sizes = [torch.tensor([len(names) for names in part]) for part in parts]
    labels = [torch.arange(len(each)).repeat_interleave(each) for each in sizes]
    return list(zip(found["pixels"].split([len(each) for each in labels]), labels))


def decode(given: folders.Folder, files: list[str], side: int) -> dict[str, Tensor]:
    """The pixels [N, C, side, side] of all files, in their order, and which are `grey` [N].

    DataError, which names the file, where one cannot be read, and where contents are not those that the folder was identified by.
    """
    print(f"decoding {len(files)} images of {given.path}, which is done once")
    pixels, grey = torch.empty(len(files), 3, side, side, dtype=torch.uint8), torch.empty(len(files), dtype=torch.bool)

    def decode_one(i: int) -> bytes:
        file = given.path / files[i]
        try:
            content = file.read_bytes()
            image = torch.from_numpy(pictures.decode(content, folders.FORMATS, lambda image: pictures.square(image, side)))
        except (OSError, pictures.UnreadableImage) as error:
            raise DataError(f"folder: {file} cannot be read as an image: {error}; mend it, or move it elsewhere") from error
        grey[i] = image.dim() == 2
        pixels[i] = image if image.dim() == 2 else image.permute(2, 0, 1)
        return folders.content_hash(content)

    pool = ThreadPoolExecutor(THREADS)
    try:
        hashes = dict(zip(files, pool.map(decode_one, range(len(files)))))
    finally:
        pool.shutdown(cancel_futures=True)
    if folders.combine(hashes) != given.identity:
        raise DataError(f"folder: images of {given.path} changed while they were read; run it again")
    return {"pixels": pixels[:, :1].contiguous() if grey.all() else pixels, "grey": grey}

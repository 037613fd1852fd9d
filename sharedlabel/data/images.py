"""Labelled images, normalised a batch at a time; augmentation."""
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sharedlabel import choices
from sharedlabel.data import rows
from sharedlabel.runtime import memory_guard

CROP_PADDING = 4  # pixels that a random crop may move by, as on CIFAR in He et al. 2015


@dataclass(frozen=True)
class Images:
    """Labelled images and the affine map that normalises them.

    pixels: uint8 [N, C, H, W] (float32 once pooled), or [N, D] once `gather` has picked columns for a live network.
    labels: int64 [N]. scale, shift: broadcast against one image; a batch is pixels * scale + shift,
    which has mean 0 and variance 1 a channel over the training set.
    """

    pixels: Tensor
    labels: Tensor
    scale: Tensor
    shift: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return tuple(self.pixels.shape[1:])

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def batch(self, index: Tensor | slice) -> Tensor:
        """Normalised images [B, C, H, W], or [B, D] of picked columns, in the precision of `scale`."""
        picked = self.pixels.dim() == 2 and self.pixels.dtype == torch.uint8 and not self.pixels.is_cuda
        if picked and isinstance(index, Tensor) and index.dtype == torch.int64:
            return rows.batch(self.pixels, index, self.scale, self.shift)
        return torch.addcmul(self.shift, self.pixels[index].to(self.scale.dtype), self.scale)

    def subset(self, index: Tensor) -> "Images":
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def to(self, device: str | torch.device) -> "Images":
        with memory_guard("the data set"):
            return replace(self, **{name: t.to(device) for name, t in vars(self).items() if isinstance(t, Tensor)})

    def gather(self, columns: Tensor) -> "Images":
        """The images as rows [N, D] of the flattened pixels `columns` (int64 [D]): those a live network reads."""
        scale, shift = (t.expand(self.shape).flatten()[columns] for t in (self.scale, self.shift))
        pixels = self.pixels.flatten(1)
        whole = torch.equal(columns, torch.arange(pixels.shape[1], device=columns.device))  # then there is no need for a second copy of all
        with memory_guard("the data set"):
            return Images(pixels if whole else pixels[:, columns], self.labels, scale, shift)


@dataclass(frozen=True)
class RandomCropFlip(Images):
    """Images of which every batch shows new random crops, half of them mirrored left to right unless `mirrors` is False.

    A crop is the image shifted by up to `padding` pixels each way. The gap is filled with the image's own reflection. `pixels`
    stay whole, because any pixel may move into the `columns` (int64, indices into the flattened image) that a batch returns:
    [C, H, W], or [D] after `gather`. Only those columns are looked up.
    """

    generator: torch.Generator
    columns: Tensor
    mirrors: bool = True
    padding: int = CROP_PADDING

    def batch(self, index: Tensor | slice) -> Tensor:
        return torch.addcmul(self.shift, self.views(index).to(self.scale.dtype), self.scale)

    def views(self, index: Tensor | slice) -> Tensor:
        """Pixels of new random crops of the images `index`, in their own type: [B, C, H, W], or [B, D] after `gather`."""
        (_, height, width), device = self.shape, self.labels.device
        row = index if isinstance(index, Tensor) else torch.arange(len(self), device=device)[index]
        row = row.view(*row.shape, *[1] * self.columns.dim())
        down, right = torch.randint(-self.padding, self.padding + 1, (2, *row.shape), generator=self.generator).to(device)
        mirrored = torch.randint(2 if self.mirrors else 1, row.shape, generator=self.generator).bool().to(device)
        channel, y, x = self.columns // (height * width), self.columns // width % height, self.columns % width
        y, x = reflect(y + down, height), reflect(torch.where(mirrored, width - 1 - x, x) + right, width)
        return self.pixels.flatten(1)[row, (channel * height + y) * width + x]

    def gather(self, columns: Tensor) -> "RandomCropFlip":
        scale, shift = (t.expand(self.shape).flatten()[columns] for t in (self.scale, self.shift))
        return replace(self, scale=scale, shift=shift, columns=self.columns.flatten()[columns])


def reflect(position: Tensor, size: int) -> Tensor:
    """Positions up to size - 1 outside of 0 ... size - 1, reflect into it."""
    return size - 1 - (size - 1 - position.abs()).abs()


def average_pooled(images: Images, size: int) -> Images:
    """The images made small, [N, C, H / size, W / size]: the mean of every square of `size` x `size` pixels; 1 leaves them as they are.

    ValueError unless `size` divides height and width.
    """
    _, height, width = images.shape
    if height % size or width % size:
        allowed = ", ".join(str(each) for each in range(1, min(height, width) + 1) if height % each == width % each == 0)
        raise ValueError(
            f"pool: {size} is not allowed; it divides an image's {height} x {width} pixels into squares, so it is one of {allowed} "
            "(set in the parameters cell, papermill's -p or -y, or the study's YAML)"
        )
    if size == 1:
        return images
    with memory_guard("the data set"):
        return replace(images, pixels=torch.cat([F.avg_pool2d(part.float(), size) for part in images.pixels.split(4096)]))


def augmented(images: Images, augment: str, generator: torch.Generator) -> Images:
    """The training images under augmentation `augment`, one of `choices.AUGMENTATIONS`; random numbers come from `generator`."""
    if augment not in choices.AUGMENTATIONS:
        raise ValueError(f"augment: {augment!r} is unknown; allowed: {', '.join(choices.AUGMENTATIONS)}")
    if augment == "none":
        return images
    columns = torch.arange(images.pixels[0].numel(), device=images.labels.device).view(images.shape)
    return RandomCropFlip(images.pixels, images.labels, images.scale, images.shift, generator, columns)

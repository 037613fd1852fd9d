"""A batch of rows of pixels, gathered and normalised in one compiled loop, laid out as the live network computes: a pixel's numbers of all
images side by side."""
import numba
import torch
from torch import Tensor


@numba.njit(nogil=True, cache=True, fastmath={"contract"})  # as torch.addcmul rounds
def normalise(pixels, index, scale, shift, out):
    """out [D, B] <- pixels [N, D] at `index` [B], * scale [D] + shift [D]; sixteen pixels at a time, as an image's lie side by side."""
    for row in index:
        if not 0 <= row < len(pixels):
            raise IndexError("index: out of range")
    for first in range(0, len(scale), 16):
        some, by, and_ = out[first:first + 16], scale[first:first + 16], shift[first:first + 16]
        for b in range(len(index)):
            row = pixels[index[b], first:first + 16]
            for j in range(len(by)):
                some[j, b] = row[j] * by[j] + and_[j]


def batch(pixels: Tensor, index: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Normalised rows [..., D], of `index` [...], of pixels uint8 [N, D] on a CPU."""
    out = torch.empty(pixels.shape[1], index.numel(), dtype=scale.dtype)
    normalise(pixels.numpy(), index.flatten().numpy(), scale.numpy(), shift.numpy(), out.numpy())
    return out.T.unflatten(0, index.shape)

"""Whole maps on a CPU: convolutions that multiply by their live weights alone, and BatchNorm, compiled by numba.

PyTorch's convolution multiplies by every weight between live channels, of which half or more are pruned, and rounds 8
channels up to 16. Here an output map is a sum of shifted input maps, one for each live weight: where the rows of padded images
lie behind one another, a shift is an offset, and a sum one long loop in the processor's widest registers.

`Convolution` and `BatchNorm` have the values and gradients of `torch.nn.functional`'s, to rounding, in float32 and
float64. They use one core.
"""
import math
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})  # sums in any order; NaN stays NaN

SMALL = 20_000  # numbers in a batch of maps below which PyTorch's calls, which cost less, are quicker: ResNet-18's last ones
LOOP = 1024  # about how many pixels a loop should run over: where images are smaller, it takes several


def serves(module: nn.Conv2d, shape: tuple[int, ...], weights: int) -> bool:
    """Whether to compute a layer by `Convolution`: its outputs lie where its inputs do, and few of its weights are live.

    `shape` is that of the kernel between live channels, `weights` how many of it are live. Measured on one core, images of 1x1 to 32x32
    pixels: a third of what PyTorch's convolution multiplies by, channels rounded up to 16, is about where both take the same time.
    """
    same = all(size == 2 * padding + 1 for size, padding in zip(module.kernel_size, module.padding))
    outs, channels = (-(-count // 16) * 16 for count in shape[:2])
    return same and module.stride == module.dilation == (1, 1) and 0 < 3 * weights <= outs * channels * shape[2] * shape[3]


def computes(x: Tensor, parameter: Tensor) -> bool:
    """Whether to compute with maps x here: on a CPU, in the precision of the parameters, which no autocast lowers, and of some size."""
    exact = x.dtype == parameter.dtype and x.dtype in (torch.float32, torch.float64)
    return x.device.type == "cpu" and x.numel() >= SMALL and exact and not torch.is_autocast_enabled("cpu")


class Sums(NamedTuple):
    """Which shifted maps are summed to which: those of map m from starts[m] to starts[m + 1]."""

    entry: Tensor  # by which of a layer's values each is multiplied
    starts: np.ndarray
    offset: np.ndarray  # where in the padded images each begins

    @classmethod
    def of(cls, to: Tensor, count: int, offset: Tensor) -> "Sums":
        """Entry k goes to map to[k] of `count`."""
        entry = to.argsort(stable=True)
        return cls(entry, torch.searchsorted(to[entry], torch.arange(count + 1)).numpy(), offset[entry].numpy().astype(np.uint64))


class Taps:
    """What each map of a convolution sums (`there`), and each map of the gradient to its input (`back`), for images of `size` (H, W).

    `at` are the coordinates (output, channel, row, column) of the values in a kernel of `shape` [C', C, h, w].
    """

    def __init__(self, at: tuple[Tensor, Tensor, Tensor, Tensor], shape: tuple[int, int, int, int], size: tuple[int, int]):
        (out, channel, dy, dx), (outs, channels, high, wide) = at, shape
        self.padding, self.outs, self.reads = (high // 2, wide // 2), outs, (channels, *size)
        pitch, length, count = padded(*size, *self.padding)
        self.there = Sums.of(out, outs, channel * count * length + dy * pitch + dx)
        self.back = Sums.of(channel, channels, out * count * length + (high - 1 - dy) * pitch + wide - 1 - dx)


class Convolution(torch.autograd.Function):
    """x [B, C, H, W], values [K], bias [C'] or None -> [B, C', H, W], by the `taps`; ValueError on maps of another size than theirs."""

    @staticmethod
    def forward(ctx, x: Tensor, values: Tensor, bias: Tensor | None, taps: Taps):
        if x.shape[1:] != taps.reads:  # nobody looks at bounds below
            raise ValueError(f"maps of shape {tuple(x.shape[1:])}; this convolution was built for {taps.reads}")
        x = x.contiguous()
        ctx.save_for_backward(x, values)
        ctx.taps = taps
        out, there = x.new_empty(len(x), taps.outs, *x.shape[2:]), taps.there
        bias = x.new_zeros(taps.outs) if bias is None else bias
        convolve(x.numpy(), values[there.entry].numpy(), bias.numpy(), there.starts, there.offset, taps.padding, out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, values = ctx.saved_tensors
        gradient, (there, back), padding = gradient.contiguous(), (ctx.taps.there, ctx.taps.back), ctx.taps.padding
        to_x = to_bias = None
        if ctx.needs_input_grad[0]:
            to_x, zeros = torch.empty_like(x), x.new_zeros(x.shape[1])
            convolve(gradient.numpy(), values[back.entry].numpy(), zeros.numpy(), back.starts, back.offset, padding, to_x.numpy())
        found = torch.zeros_like(values)
        correlate(x.numpy(), gradient.numpy(), there.starts, there.offset, padding, found.numpy())
        if ctx.needs_input_grad[2]:
            to_bias = gradient.sum((0, 2, 3))
        return to_x, torch.empty_like(values).index_copy_(0, there.entry, found), to_bias, None


class BatchNorm(torch.autograd.Function):
    """x [B, C, H, W], weight and bias [C] -> (x normalised by its own statistics, weighed and shifted; mean and biased variance [C]).

    With the ReLU behind it where it `rectifies`. Needs more than one number a channel.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, rectifies: bool):
        x = x.contiguous()
        mean, variance = torch.empty(2, x.shape[1], dtype=torch.float64)
        moments(x.flatten(2).numpy(), mean.numpy(), variance.numpy())
        scale, out = (variance + eps).rsqrt(), torch.empty_like(x)
        slope, *statistics = ((weight * scale).to(x.dtype), mean.to(x.dtype), variance.to(x.dtype))
        ctx.floor = 0.0 if rectifies else -math.inf
        normalise(x.flatten(2).numpy(), statistics[0].numpy(), slope.numpy(), bias.numpy(), ctx.floor, out.flatten(2).numpy())
        ctx.save_for_backward(x, weight, bias, statistics[0], slope, scale)
        ctx.mark_non_differentiable(*statistics)
        return out, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, *_):
        x, weight, bias, mean, slope, scale = ctx.saved_tensors
        count, to_x = x.numel() // x.shape[1], torch.empty_like(x)
        given = x.flatten(2).numpy(), mean.numpy(), slope.numpy(), bias.numpy(), ctx.floor, gradient.contiguous().flatten(2).numpy()
        plain, along = torch.zeros(2, x.shape[1], dtype=torch.float64)
        gradient_moments(*given, plain.numpy(), along.numpy())
        # weight scale ((g - its mean) - (x - mean) scale^2 (mean of g (x - mean)))
        factors = plain / count, -weight * scale**3 * along / count
        combine(*given, *(each.to(x.dtype).numpy() for each in factors), to_x.flatten(2).numpy())
        return to_x, (along * scale).to(weight.dtype), plain.to(weight.dtype), None, None


@compiled
def padded(height, width, above, before):
    """Of padded images: how far apart their rows lie, an image's length, and how many lie behind one another.

    A row has zeros before it, which end the one above it, too.
    """
    pitch = width + before
    length = (height + 2 * above) * pitch + before
    return pitch, length, max(1, LOOP // length)


@compiled
def room(images, padding):
    """Zeros to pad a few images in, by channel [C, count * length]."""
    _, channels, height, width = images.shape
    _, length, count = padded(height, width, padding[0], padding[1])
    return np.zeros((channels, count * length), images.dtype)


@compiled
def room_for_sums(images, padding):
    """For one channel of a few padded images, from the first pixel of the first to the last of the last."""
    _, _, height, width = images.shape
    pitch, length, count = padded(height, width, padding[0], padding[1])
    return np.empty((count - 1) * length + height * pitch - padding[1], images.dtype)


@compiled
def fill(images, padding, into):
    """Images [count, C, H, W] into the padded ones of `room`."""
    _, channels, height, width = images.shape
    pitch, length, _ = padded(height, width, padding[0], padding[1])
    for c in range(channels):
        for b in range(len(images)):
            for y in range(height):
                row = into[c, b * length + (y + padding[0]) * pitch + padding[1]:]
                for x in range(width):
                    row[x] = images[b, c, y, x]


@compiled
def unfill(sums, padding, into):
    """What `room_for_sums` holds, into images [count, H, W]."""
    _, height, width = into.shape
    pitch, length, _ = padded(height, width, padding[0], padding[1])
    for b in range(len(into)):
        for y in range(height):
            row = sums[b * length + y * pitch:]
            for x in range(width):
                into[b, y, x] = row[x]


@compiled
def convolve(images, values, bias, starts, offset, padding, out):
    """out[b, o] = bias[o] + the sum of its shifted maps."""
    room_for_images, sums = room(images, padding), room_for_sums(images, padding)
    count = padded(images.shape[2], images.shape[3], padding[0], padding[1])[2]
    for b in range(0, len(images), count):  # what the last ones do not fill is summed, too, and not copied out
        fill(images[b : b + count], padding, room_for_images)
        for o in range(len(bias)):
            sums[:] = bias[o]
            add(room_for_images.reshape(-1), values, starts[o], starts[o + 1], offset, sums)
            unfill(sums, padding, out[b : b + count, o])


@compiled
def correlate(images, gradients, starts, offset, padding, found):
    """Adds to `found` the gradients to the weights, given those to `convolve`'s out."""
    room_for_images, room_for_gradients = room(images, padding), room(gradients, padding)
    pitch, _, count = padded(images.shape[2], images.shape[3], padding[0], padding[1])
    first, size = padding[0] * pitch + padding[1], len(room_for_sums(images, padding))  # between the rows and images lie zeros
    for b in range(0, len(images), count):
        if len(images) - b < count:  # the last ones do not fill the room
            room_for_gradients[:] = 0
        fill(images[b : b + count], padding, room_for_images)
        fill(gradients[b : b + count], padding, room_for_gradients)
        for o in range(len(room_for_gradients)):
            multiply(room_for_images.reshape(-1), room_for_gradients[o, first : first + size], starts[o], starts[o + 1], offset, found)


@compiled
def add(pixels, values, start, end, offset, sums):
    """sums += values[k] * the pixels from offset[k] on, for k from `start` to `end`; four at a time, as each goes through the sums once."""
    for k in range(start, end - 3, 4):
        o0, o1, o2, o3 = offset[k], offset[k + 1], offset[k + 2], offset[k + 3]
        v0, v1, v2, v3 = values[k], values[k + 1], values[k + 2], values[k + 3]
        for i in range(len(sums)):
            j = np.uint64(i)  # an unsigned index cannot count from the end, which lets the loop be vectorised
            sums[j] += v0 * pixels[o0 + j] + v1 * pixels[o1 + j] + v2 * pixels[o2 + j] + v3 * pixels[o3 + j]
    for k in range(end - (end - start) % 4, end):
        o0, v0 = offset[k], values[k]
        for i in range(len(sums)):
            j = np.uint64(i)
            sums[j] += v0 * pixels[o0 + j]


@compiled
def multiply(pixels, gradient, start, end, offset, found):
    """found[k] += the gradient times the pixels from offset[k] on, summed, for k from `start` to `end`."""
    zero = pixels.dtype.type(0)
    for k in range(start, end - 3, 4):
        o0, o1, o2, o3 = offset[k], offset[k + 1], offset[k + 2], offset[k + 3]
        s0 = s1 = s2 = s3 = zero
        for i in range(len(gradient)):
            j = np.uint64(i)
            g = gradient[j]
            s0 += g * pixels[o0 + j]
            s1 += g * pixels[o1 + j]
            s2 += g * pixels[o2 + j]
            s3 += g * pixels[o3 + j]
        found[k] += s0
        found[k + 1] += s1
        found[k + 2] += s2
        found[k + 3] += s3
    for k in range(end - (end - start) % 4, end):
        o0, s0 = offset[k], zero
        for i in range(len(gradient)):
            j = np.uint64(i)
            s0 += gradient[j] * pixels[o0 + j]
        found[k] += s0


@compiled
def moments(maps, mean, variance):
    """Of every channel of maps [B, C, pixels], over all images: one after the other is merged (Chan, Golub and LeVeque)."""
    batch, channels, pixels = maps.shape
    mean[:] = 0
    variance[:] = 0
    for b in range(batch):
        for c in range(channels):
            row = maps[b, c]
            s = q = row.dtype.type(0)
            for i in range(pixels):
                s += row[i]
            own = s / pixels
            centre = row.dtype.type(own)
            for i in range(pixels):
                q += (row[i] - centre) * (row[i] - centre)
            step = own - mean[c]
            mean[c] += step / (b + 1)
            variance[c] += q + step * step * pixels * b / (b + 1)
    variance /= batch * pixels


@compiled
def normalise(maps, mean, slope, bias, floor, out):
    """out = slope (maps [B, C, pixels] - mean) + bias by channel, or `floor` where that is more."""
    for b in range(maps.shape[0]):
        for c in range(maps.shape[1]):
            row, centre, s, t, least, result = maps[b, c], mean[c], slope[c], bias[c], maps.dtype.type(floor), out[b, c]
            for i in range(len(row)):
                value = s * (row[i] - centre) + t
                result[i] = least if value < least else value


@compiled
def gradient_moments(maps, mean, slope, bias, floor, gradient, plain, along):
    """Of the gradients g to `normalise`'s out, 0 below the floor: adds by channel to `plain` their sum, to `along` g (maps - mean)'s."""
    for b in range(maps.shape[0]):
        for c in range(maps.shape[1]):
            row, centre, s, t, least, to_out = maps[b, c], mean[c], slope[c], bias[c], maps.dtype.type(floor), gradient[b, c]
            first = second = zero = row.dtype.type(0)
            for i in range(len(row)):
                away = row[i] - centre
                g = to_out[i] if s * away + t > least else zero
                first += g
                second += g * away
            plain[c] += first
            along[c] += second


@compiled
def combine(maps, mean, slope, bias, floor, gradient, gradient_mean, by_map, out):
    """out = slope (g - its mean) + by_map (maps - mean): the gradient to the maps."""
    for b in range(maps.shape[0]):
        for c in range(maps.shape[1]):
            row, centre, s, t, least, to_out = maps[b, c], mean[c], slope[c], bias[c], maps.dtype.type(floor), gradient[b, c]
            result, m, v, zero = out[b, c], gradient_mean[c], by_map[c], row.dtype.type(0)
            for i in range(len(row)):
                away = row[i] - centre
                g = to_out[i] if s * away + t > least else zero
                result[i] = s * (g - m) + v * away

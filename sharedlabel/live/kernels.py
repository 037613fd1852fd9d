"""The compiled loops: a program (`terms`) forward and backward over a batch, on one core.

`act` holds the activations and `grad` the gradients to them, slot after slot, each with its number of every image: slot s of a batch of B
lies at s * B. Sums are taken in any order, and NaN stays NaN. The gradient to what a sum reads is added to as the sum is
walked again, so that one list serves both directions.
"""
import numba
import numpy as np

from .terms import ADD, BATCHNORM, FIELDS, MAXIMUM, MIX, SUMS
from .vectors import LARGE, SMALL, add_product, large, load, small, store, total_of_products

(KIND, FIRST, LAST, SOURCE, SOURCE_SLOTS, WRITER, OTHER, OTHER_SLOTS, OUT, OUT_SLOTS, RECTIFIES, WEIGHTS, BIASES, LEARNS, NUMBER,
 CHANNELS) = range(len(FIELDS))
ADDED, WRITTEN, ZEROED = 1, 2, 3  # how a gradient comes to what is read: added to others', as the first, or after zeros

# What Python calls is `compiled`, all else is `inlined` into it. A function that was compiled by itself would, in the process that compiled
# it, be called in place of its copy in the program, and may take sums in another order than the copy that other processes load.
compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
inlined = numba.njit(nogil=True, cache=True, forceinline=True, fastmath={"contract", "reassoc", "nsz"})

CHUNK = 1024  # numbers that a loop runs over, at most, so that several arrays of them lie in the first cache


@compiled
def forward(table, runs, lists, x, columns, outputs, weights, act, statistics, running, settings, group, share, out):
    """Images x [B, D] -> out [B, F].

    statistics: mean and scale of BatchNorms' channels, filled in. running: their running means and variances [2, C], updated where
    settings[number] = (eps, momentum, whether the batch's statistics are used) says so. group, share: of MIX.
    """
    batch = len(x)
    take_images(x, columns, act)
    for op in table:
        listed = runs[op[FIRST]:op[LAST]]
        if op[KIND] == SUMS:
            sums(listed, lists, weights, op[WEIGHTS], op[BIASES], op[RECTIFIES], act, batch)
        elif op[KIND] == BATCHNORM:
            normalise(listed, op, weights, act, statistics, running, settings[op[NUMBER]], batch)
        elif op[KIND] == MAXIMUM:
            maximum(listed, lists, act, op[OTHER] - op[OUT], op[RECTIFIES], batch)
        elif op[KIND] == MIX:
            mix(act[op[SOURCE] * batch:], act[op[OUT] * batch:], op[OUT_SLOTS] * batch, group, share, False)
        else:
            for r in range(len(listed)):
                n = listed[r, 2] * batch
                a, o = act[listed[r, 1] * batch:], act[listed[r, 0] * batch:]
                if op[KIND] == ADD:
                    b = act[listed[r, 3] * batch:]
                    for i in range(n):
                        o[i] = a[i] + b[i]
                else:
                    o[:n] = a[:n]
                if op[RECTIFIES]:
                    rectify(o, n)
    for b in range(batch):
        for j in range(len(outputs)):
            out[b, j] = act[outputs[j] * batch + b]


@compiled
def backward(table, runs, lists, how, gradient, columns, outputs, weights, act, grad, statistics, settings, group, share, to_weights,
             to_x):
    """gradient [B, F] to the outputs -> to_weights (added to), and to_x [B, D] unless it is empty.

    how[op] = how a gradient comes to an operation's sources (0: not at all; ADDED, WRITTEN, ZEROED), and whether it is computed at all.
    """
    batch = len(gradient)
    for j in range(len(outputs)):
        for b in range(batch):
            grad[outputs[j] * batch + b] = gradient[b, j]
    for number in range(len(table) - 1, -1, -1):
        op, needed = table[number], how[number]
        if not needed[2]:
            continue
        listed = runs[op[FIRST]:op[LAST]]
        if op[RECTIFIES]:
            for r in range(len(listed)):
                mask(grad[listed[r, 0] * batch:], act[listed[r, 0] * batch:], listed[r, 2] * batch)
        if needed[0] == ZEROED:
            zero(table, runs, op[WRITER], grad[op[SOURCE] * batch:(op[SOURCE] + op[SOURCE_SLOTS]) * batch], op[SOURCE], batch)
        if op[KIND] == SUMS:
            to_source = needed[0] != 0
            sums_backward(listed, lists, weights, op[WEIGHTS], op[BIASES], op[LEARNS], to_source, act, grad, to_weights, batch)
        elif op[KIND] == BATCHNORM:
            normalise_backward(listed, op, needed[0], weights, act, grad, statistics, settings[op[NUMBER]], to_weights, batch)
        elif op[KIND] == MAXIMUM:
            maximum_backward(listed, lists, act, grad, op[OTHER] - op[OUT], batch)
        elif op[KIND] == MIX:
            mix(grad[op[OUT] * batch:], grad[op[SOURCE] * batch:], op[OUT_SLOTS] * batch, group, share, needed[0] != WRITTEN)
        else:
            if op[KIND] == ADD and needed[1] == ZEROED:
                grad[op[OTHER] * batch:(op[OTHER] + op[OTHER_SLOTS]) * batch] = 0
            for r in range(len(listed)):
                n, g = listed[r, 2] * batch, grad[listed[r, 0] * batch:]
                if needed[0]:
                    pass_on(g, grad[listed[r, 1] * batch:], n, needed[0] == WRITTEN)
                if op[KIND] == ADD and needed[1]:
                    pass_on(g, grad[listed[r, 3] * batch:], n, needed[1] == WRITTEN)
    if to_x.size:
        for j in range(len(columns)):
            for b in range(batch):
                to_x[b, j] = grad[columns[j] * batch + b]


@inlined
def take_images(x, columns, act):
    """Images x [B, D] into the slots `columns`, sixteen images at a time, as they lie far apart."""
    batch = len(x)
    for first in range(0, batch, 16):
        for j in range(len(columns)):
            for b in range(first, min(first + 16, batch)):
                act[columns[j] * batch + b] = x[b, j]


@inlined
def zero(table, runs, writer, region, first, batch):
    """Zeros in a region from slot `first` on, where it is computed: of a map of which single positions are, there alone."""
    if writer >= 0 and table[writer, KIND] == SUMS:
        for r in range(table[writer, FIRST], table[writer, LAST]):
            start = (runs[r, 0] - first) * batch
            region[start:start + runs[r, 2] * batch] = 0
    else:
        region[:] = 0


@inlined
def rectify(o, n):
    zero = o.dtype.type(0)
    for i in range(n):
        o[i] = zero if o[i] < zero else o[i]


@inlined
def mask(g, o, n):
    """The gradient through a ReLU whose values are o."""
    zero = o.dtype.type(0)
    for i in range(n):
        g[i] = zero if o[i] <= zero else g[i]


@inlined
def pass_on(g, to, n, first):
    if first:
        to[:n] = g[:n]
    else:
        for i in range(n):
            to[i] += g[i]


@inlined
def sums(runs, lists, weights, first_weight, first_bias, rectifies, act, batch):
    """out = bias + the sum over a pattern's terms of weight * source, for every run."""
    for r in range(len(runs)):
        p, out, n = runs[r, 3], runs[r, 0] * batch, runs[r, 2] * batch
        bias = weights[first_bias + lists.biases[p]] if first_bias >= 0 and lists.biases[p] >= 0 else weights.dtype.type(0)
        away, first, last, i = runs[r, 1] * batch - out, lists.starts[p], lists.starts[p + 1], out
        while i + LARGE <= out + n:
            store(act, i, summed(large(bias), i + away, first, last, lists, weights, first_weight, act, batch))
            i += LARGE
        while i + SMALL <= out + n:
            store(act, i, summed(small(bias), i + away, first, last, lists, weights, first_weight, act, batch))
            i += SMALL
        while i < out + n:
            one = bias
            for t in range(first, last):
                one += weights[first_weight + lists.entries[t]] * act[i + away + lists.distances[t] * batch]
            act[i] = one
            i += 1
        if rectifies:
            rectify(act[out:], n)


@inlined
def summed(block, source, first, last, lists, weights, first_weight, act, batch):
    for t in range(first, last):
        block = add_product(block, weights[first_weight + lists.entries[t]], load(act, source + lists.distances[t] * batch, block))
    return block


@inlined
def sums_backward(runs, lists, weights, first_weight, first_bias, learns, to_source, act, grad, to_weights, batch):
    """Adds the gradients to the weights and biases, where the layer `learns`, and to the sources."""
    for r in range(len(runs)):
        p, out = runs[r, 3], runs[r, 0] * batch
        away, end = runs[r, 1] * batch - out, out + runs[r, 2] * batch
        if first_bias >= 0 and lists.biases[p] >= 0:
            bias_gradient = act.dtype.type(0)
            for i in range(out, end):
                bias_gradient += grad[i]
            to_weights[first_bias + lists.biases[p]] += bias_gradient
        first, last, i, zero = lists.starts[p], lists.starts[p + 1], out, act.dtype.type(0)
        while i + LARGE <= end:
            g = load(grad, i, large(zero))
            pass_back(g, i + away, first, last, lists, weights, first_weight, learns, to_source, act, grad, to_weights, batch)
            i += LARGE
        while i + SMALL <= end:
            g = load(grad, i, small(zero))
            pass_back(g, i + away, first, last, lists, weights, first_weight, learns, to_source, act, grad, to_weights, batch)
            i += SMALL
        while i < end:
            for t in range(first, last):
                place, source = first_weight + lists.entries[t], i + away + lists.distances[t] * batch
                to_weights[place] += grad[i] * act[source]
                if to_source:
                    grad[source] += weights[place] * grad[i]
            i += 1


@inlined
def pass_back(g, source, first, last, lists, weights, first_weight, learns, to_source, act, grad, to_weights, batch):
    """The block g of a gradient to the weights and sources of its pattern's terms."""
    for t in range(first, last):
        place, at = first_weight + lists.entries[t], source + lists.distances[t] * batch
        if learns:
            to_weights[place] += total_of_products(g, load(act, at, g))
        if to_source:
            store(grad, at, add_product(load(grad, at, g), weights[place], g))


@inlined
def maximum(runs, lists, act, away, rectifies, batch):
    """out = the largest of a pattern's sources, the first of equal ones; which of them it was lies `away` slots further."""
    for r in range(len(runs)):
        n, o, which = runs[r, 2] * batch, act[runs[r, 0] * batch:], act[(runs[r, 0] + away) * batch:]
        first = lists.starts[runs[r, 3]]
        for t in range(first, lists.starts[runs[r, 3] + 1]):
            x, number = act[(runs[r, 1] + lists.distances[t]) * batch:], act.dtype.type(t - first)
            for i in range(n):
                if t == first or x[i] > o[i] or x[i] != x[i]:
                    o[i] = x[i]
                    which[i] = number
        if rectifies:
            rectify(o, n)


@inlined
def maximum_backward(runs, lists, act, grad, away, batch):
    for r in range(len(runs)):
        n, g, which = runs[r, 2] * batch, grad[runs[r, 0] * batch:], act[(runs[r, 0] + away) * batch:]
        first, zero = lists.starts[runs[r, 3]], act.dtype.type(0)
        for t in range(first, lists.starts[runs[r, 3] + 1]):
            to, number = grad[(runs[r, 1] + lists.distances[t]) * batch:], act.dtype.type(t - first)
            for i in range(n):
                to[i] += g[i] if which[i] == number else zero


@inlined
def normalise(runs, op, weights, act, statistics, running, setting, batch):
    """BatchNorm, channel by channel: a run is one, of `length` slots. The batch's moments are merged from chunks (Chan et al. 1983)."""
    eps, momentum, trains = setting
    for r in range(len(runs)):
        count, channel = runs[r, 2] * batch, op[CHANNELS] + r
        x, o = act[runs[r, 1] * batch:], act[runs[r, 0] * batch:]
        mean, variance = running[0, channel], running[1, channel]
        if trains:
            mean = square = 0.0
            for c in range(0, count, CHUNK):
                n = min(CHUNK, count - c)
                total = squares = x.dtype.type(0)
                for i in range(c, c + n):
                    total += x[i]
                own = total / n
                centre = x.dtype.type(own)
                for i in range(c, c + n):
                    squares += (x[i] - centre) * (x[i] - centre)
                step = own - mean
                mean += step * n / (c + n)
                square += squares + step * step * c * n / (c + n)
            variance = square / count
            running[0, channel] += momentum * (mean - running[0, channel])
            running[1, channel] += momentum * (square / (count - 1) - running[1, channel])
        statistics[0, channel], statistics[1, channel] = mean, 1 / np.sqrt(variance + eps)
        centre, slope = x.dtype.type(mean), x.dtype.type(weights[op[WEIGHTS] + r] * statistics[1, channel])
        bias = weights[op[BIASES] + r]
        for i in range(count):
            o[i] = slope * (x[i] - centre) + bias
        if op[RECTIFIES]:
            rectify(o, count)


@inlined
def normalise_backward(runs, op, needed, weights, act, grad, statistics, setting, to_weights, batch):
    """By w, s, g, d for weight, scale, gradient and distance from the mean: w s (g - its mean) - w s^3 d (mean of g d)."""
    for r in range(len(runs)):
        count, channel = runs[r, 2] * batch, op[CHANNELS] + r
        x, g, to = act[runs[r, 1] * batch:], grad[runs[r, 0] * batch:], grad[runs[r, 1] * batch:]
        centre, scale, weight = x.dtype.type(statistics[0, channel]), statistics[1, channel], weights[op[WEIGHTS] + r]
        plain = along = 0.0
        for c in range(0, count, CHUNK):
            first = second = x.dtype.type(0)
            for i in range(c, min(c + CHUNK, count)):
                first += g[i]
                second += g[i] * (x[i] - centre)
            plain += first
            along += second
        if op[LEARNS]:
            to_weights[op[WEIGHTS] + r] += along * scale
            to_weights[op[BIASES] + r] += plain
        if needed:
            slope, shift, tilt = x.dtype.type(weight * scale), x.dtype.type(0), x.dtype.type(0)
            if setting[2]:
                shift, tilt = x.dtype.type(plain / count), x.dtype.type(-weight * scale**3 * along / count)
            if needed == WRITTEN:
                for i in range(count):
                    to[i] = slope * (g[i] - shift) + tilt * (x[i] - centre)
            else:
                for i in range(count):
                    to[i] += slope * (g[i] - shift) + tilt * (x[i] - centre)


@inlined
def mix(x, to, count, group, share, adds):
    """Moves every number towards the mean of its group of neighbouring images, by `share` of the way."""
    for i in range(0, count, group):
        mean = x.dtype.type(0)
        for j in range(i, i + group):
            mean += x[j]
        mean = share * mean / group
        for j in range(i, i + group):
            value = x.dtype.type((1 - share) * x[j] + mean)
            to[j] = to[j] + value if adds else value

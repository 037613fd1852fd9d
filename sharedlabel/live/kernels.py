"""The compiled loops: a program (`terms`) forward and backward over a batch, on one core.

`act` holds the activations and `grad` the gradients to them, slot after slot, each with its number of every image: slot s of a batch of B
lies at s * B. Sums are taken in any order, and NaN stays NaN. The gradient to what a sum reads is added to as the sum is
walked again, or gathered by a list of its own.
"""
import numba
import numpy as np

from .terms import ADD, BATCHNORM, FIELDS, MAXIMUM, MIX, SUMS
from .vectors import FOLDED, add_folded, add_product, block, lanes, load, rectified, store

(KIND, FIRST, LAST, FIRST_BACK, LAST_BACK, SOURCE, SOURCE_SLOTS, WRITER, OTHER, OTHER_SLOTS, OUT, OUT_SLOTS, RECTIFIES, WEIGHTS, BIASES,
 LEARNS, NUMBER, CHANNELS) = range(len(FIELDS))
ADDED, WRITTEN, ZEROED = 1, 2, 3  # how a gradient comes to what is read: added to others', as the first, or after zeros

# What Python calls is `compiled`, all else is `inlined` into it. A function that was compiled by itself would, in the process that compiled
# it, be called in place of its copy in the program, and may take sums in another order than the copy that other processes load.
compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
inlined = numba.njit(nogil=True, cache=True, forceinline=True, fastmath={"contract", "reassoc", "nsz"})

CHUNK = 1024  # numbers that a loop runs over, at most, so that several arrays of them lie in the first cache


@compiled
def forward(table, runs, lists, x, innermost, columns, outputs, weights, act, statistics, running, settings, group, share, out):
    """Images x [B D], of which `innermost` says how they lie (`take_images`) -> out [B, F].

    statistics: mean and scale of BatchNorms' channels, filled in. running: their running means and variances [2, C], updated where
    settings[number] = (eps, momentum, whether the batch's statistics are used) says so. group, share: of MIX.
    """
    batch = len(out)
    take_images(x, innermost, columns, act, batch)
    for op in table:
        listed = runs[op[FIRST]:op[LAST]]
        if op[KIND] == SUMS:
            sums(listed, lists, weights, op[WEIGHTS], op[BIASES], op[RECTIFIES], False, act, batch, 0, batch, 0)
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
                    rectify(o, o, 0, n)
    for b in range(batch):
        for j in range(len(outputs)):
            out[b, j] = act[outputs[j] * batch + b]


@compiled
def backward(table, runs, lists, how, gradient, columns, outputs, blank, weights, act, grad, statistics, settings, group, share, to_weights,
             to_x):
    """gradient [B, F] to the outputs -> to_weights [parameters that learn], and to_x [B, D] unless it is empty.

    how[op] = how a gradient comes to an operation's sources (0: not at all; ADDED, WRITTEN, ZEROED), and whether it is computed at all.
    blank: from which to which slot lie outputs of which some are not among `outputs`.
    Of every weight's gradient sixteen partial sums are kept apart until the end: a term adds a register to them.
    """
    batch, partial = len(gradient), np.zeros(FOLDED * len(weights), weights.dtype)
    grad[blank[0] * batch:blank[1] * batch] = 0
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
                rectify(grad, act, listed[r, 0] * batch, (listed[r, 0] + listed[r, 2]) * batch)
        if needed[0] == ZEROED:
            zero(table, runs, op[WRITER], grad[op[SOURCE] * batch:(op[SOURCE] + op[SOURCE_SLOTS]) * batch], op[SOURCE], batch)
        if op[KIND] == SUMS:
            gathers = op[FIRST_BACK] < op[LAST_BACK]
            to_source = needed[0] != 0 and not gathers
            sums_backward(listed, lists, weights, op[WEIGHTS], op[BIASES], op[LEARNS], to_source, act, grad, partial, batch, 0, batch, 0)
            if needed[0] and gathers:
                sums(runs[op[FIRST_BACK]:op[LAST_BACK]], lists, weights, op[WEIGHTS], -1, False, needed[0] == ADDED, grad, batch, 0,
                     batch, 0)
        elif op[KIND] == BATCHNORM:
            normalise_backward(listed, op, needed[0], weights, act, grad, statistics, settings[op[NUMBER]], partial, batch)
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
    add_up(partial, to_weights)
    if to_x.size:
        for j in range(len(columns)):
            for b in range(batch):
                to_x[b, j] = grad[columns[j] * batch + b]


@inlined
def take_images(x, innermost, columns, act, batch):
    """Images into the slots `columns`: x holds them one after the other, or slot after slot as `act` does. Of the former sixteen numbers
    of every image in turn, as those of one slot lie far apart."""
    for first in range(0, len(columns), 16):
        part = columns[first:first + 16]
        if innermost:
            for j in range(len(part)):
                to, given = act[part[j] * batch:], x[(first + j) * batch:]
                for b in range(batch):
                    to[b] = given[b]
        else:
            for b in range(batch):
                to, given = act[b:], x[b * len(columns) + first:]
                for j in range(len(part)):
                    to[part[j] * batch] = given[j]


@inlined
def add_up(partial, to_weights):
    """to_weights <- the totals of `FOLDED` partial sums each."""
    for place in range(len(to_weights)):
        total, parts = partial.dtype.type(0), partial[FOLDED * place:FOLDED * place + FOLDED]
        for i in range(FOLDED):
            total += parts[i]
        to_weights[place] = total


@inlined
def zero(table, runs, writer, region, first, batch):
    """Zeros in a region from slot `first` on; of a map of which few positions are computed, there alone."""
    if writer >= 0 and table[writer, KIND] == SUMS and table[writer, FIRST_BACK] == table[writer, LAST_BACK]:
        for r in range(table[writer, FIRST], table[writer, LAST]):
            start = (runs[r, 0] - first) * batch
            region[start:start + runs[r, 2] * batch] = 0
    else:
        region[:] = 0


@inlined
def rectify(values, by, first, end):
    """Zeros among the values from `first` to `end`, where `by` is not above 0: a ReLU of themselves, or the gradient through one."""
    i = rectify_blocks(block(by.dtype.type(0), 64), values, by, first, end)
    rectify_blocks(block(by.dtype.type(0), 1), values, by, i, end)


@inlined
def rectify_blocks(like, values, by, i, end):
    while i + lanes(like) <= end:
        store(values, i, rectified(load(values, i, like), load(by, i, like)))
        i += lanes(like)
    return i


@inlined
def pass_on(g, to, n, first):
    if first:
        to[:n] = g[:n]
    else:
        for i in range(n):
            to[i] += g[i]


@inlined
def sums(runs, lists, weights, first_weight, first_bias, rectifies, adds, act, slot, begin, count, lag):
    """out = bias + the sum over a pattern's terms of weight * source, for every run; added to what is there where it `adds`.

    A slot has so many numbers, of which `count` from `begin` on are computed: all of a batch, or one image's of every sequence in a
    batch. Of its sources are read those that lie `lag` before.
    """
    for r in range(len(runs)):
        p, i, away = runs[r, 3], runs[r, 0] * slot + begin, (runs[r, 1] - runs[r, 0]) * slot - lag
        end, first, last = i + (runs[r, 2] - 1) * slot + count, lists.starts[p], lists.starts[p + 1]
        bias = weights[first_bias + lists.biases[p]] if first_bias >= 0 and lists.biases[p] >= 0 else act.dtype.type(0)
        i = sum_blocks(block(bias, 256), i, end, away, first, last, lists, weights, first_weight, rectifies, adds, act, slot)
        i = sum_blocks(block(bias, 64), i, end, away, first, last, lists, weights, first_weight, rectifies, adds, act, slot)
        i = sum_blocks(block(bias, 16), i, end, away, first, last, lists, weights, first_weight, rectifies, adds, act, slot)
        i = sum_blocks(block(bias, 4), i, end, away, first, last, lists, weights, first_weight, rectifies, adds, act, slot)
        sum_blocks(block(bias, 1), i, end, away, first, last, lists, weights, first_weight, rectifies, adds, act, slot)


@inlined
def sum_blocks(bias, i, end, away, first, last, lists, weights, first_weight, rectifies, adds, act, slot):
    while i + lanes(bias) <= end:
        total = load(act, i, bias) if adds else bias
        for t in range(first, last):
            source = load(act, i + away + lists.distances[t] * slot, bias)
            total = add_product(total, weights[first_weight + lists.entries[t]], source)
        store(act, i, rectified(total, total) if rectifies else total)
        i += lanes(bias)
    return i


@inlined
def sums_backward(runs, lists, weights, first_weight, first_bias, learns, to_source, act, grad, partial, slot, begin, count, lag):
    """Adds the gradients to the weights and biases, where the layer `learns`, and to the sources; the last arguments as in `sums`."""
    if not (learns or to_source):
        return
    one = act.dtype.type(1)
    for r in range(len(runs)):
        p, i, away = runs[r, 3], runs[r, 0] * slot + begin, (runs[r, 1] - runs[r, 0]) * slot - lag
        end, first, last = i + (runs[r, 2] - 1) * slot + count, lists.starts[p], lists.starts[p + 1]
        bias = first_bias + lists.biases[p] if learns and first_bias >= 0 and lists.biases[p] >= 0 else -1
        i = pass_blocks(block(one, 64), i, end, away, first, last, bias, lists, weights, first_weight, learns, to_source, act, grad,
                        partial, slot)
        i = pass_blocks(block(one, 16), i, end, away, first, last, bias, lists, weights, first_weight, learns, to_source, act, grad,
                        partial, slot)
        i = pass_blocks(block(one, 4), i, end, away, first, last, bias, lists, weights, first_weight, learns, to_source, act, grad,
                        partial, slot)
        pass_blocks(block(one, 1), i, end, away, first, last, bias, lists, weights, first_weight, learns, to_source, act, grad,
                    partial, slot)


@inlined
def pass_blocks(ones, i, end, away, first, last, bias, lists, weights, first_weight, learns, to_source, act, grad, partial, slot):
    folded = block(act.dtype.type(0), 16)
    while i + lanes(ones) <= end:
        g = load(grad, i, ones)
        if bias >= 0:
            store(partial, FOLDED * bias, add_folded(load(partial, FOLDED * bias, folded), g, ones))
        for t in range(first, last):
            place, at = first_weight + lists.entries[t], i + away + lists.distances[t] * slot
            if learns:
                store(partial, FOLDED * place, add_folded(load(partial, FOLDED * place, folded), g, load(act, at, ones)))
            if to_source:
                store(grad, at, add_product(load(grad, at, ones), weights[place], g))
        i += lanes(ones)
    return i


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
            rectify(o, o, 0, n)


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
                part = x[c:min(c + CHUNK, count)]
                n = len(part)
                total = squares = x.dtype.type(0)
                for i in range(n):
                    total += part[i]
                own = total / n
                centre = x.dtype.type(own)
                for i in range(n):
                    squares += (part[i] - centre) * (part[i] - centre)
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
            rectify(o, o, 0, count)


@inlined
def normalise_backward(runs, op, needed, weights, act, grad, statistics, setting, partial, batch):
    """By w, s, g, d for weight, scale, gradient and distance from the mean: w s (g - its mean) - w s^3 d (mean of g d)."""
    for r in range(len(runs)):
        count, channel = runs[r, 2] * batch, op[CHANNELS] + r
        x, g, to = act[runs[r, 1] * batch:], grad[runs[r, 0] * batch:], grad[runs[r, 1] * batch:]
        centre, scale, weight = x.dtype.type(statistics[0, channel]), statistics[1, channel], weights[op[WEIGHTS] + r]
        plain = along = 0.0
        for c in range(0, count, CHUNK):
            first, second, end = x.dtype.type(0), x.dtype.type(0), min(c + CHUNK, count)
            from_g, from_x = g[c:end], x[c:end]
            for i in range(end - c):
                first += from_g[i]
                second += from_g[i] * (from_x[i] - centre)
            plain += first
            along += second
        if op[LEARNS]:
            partial[FOLDED * (op[WEIGHTS] + r)] = along * scale
            partial[FOLDED * (op[BIASES] + r)] = plain
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

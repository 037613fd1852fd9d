"""The compiled loops: a program (`terms`) forward and backward over a batch, on one core.

`act` holds the activations and `grad` the gradients to them, slot after slot, each with its number of every image: slot s of a batch of B
lies at s * B. Sums are taken in any order, and NaN stays NaN. The gradient to what a sum reads is added to as the sum is
walked again, or gathered by a list of its own.
"""
import numpy as np

from .gates import gates, gates_backward
from .terms import ADDED, BATCHNORM, FIELDS, MAXIMUM, MIX, SKIPPED, SUMS, UNNEEDED, WRITTEN, ZEROED
from .vectors import FOLDED, add_folded, add_product, block, compiled, inlined, lanes, load, rectified, store

(KIND, FIRST, LAST, FIRST_BACK, LAST_BACK, FIRST_SPAN, LAST_SPAN, RECTIFIES, ADDS, WEIGHTS, BIASES, LEARNS, NUMBER, CHANNELS,
 AWAY) = range(len(FIELDS))

CHUNK = 1024  # numbers that a loop runs over, at most, so that several arrays of them lie in the first cache


@compiled
def forward(code, x, innermost, weights, act, statistics, running, batches, trains, group, share, out):
    """Images x [B D], of which `innermost` says how they lie (`take_images`) -> out [B, F].

    statistics: mean and scale of BatchNorms' channels, filled in. running: their running means and variances [2, C], updated where it
    `trains`. batches: how many each BatchNorm has seen. group, share: of MIX.
    """
    batch, bits = len(out), np.empty(len(out), np.int32)
    take_images(x, innermost, code.columns, act, batch)
    for op in code.table:
        listed = code.runs[op[FIRST]:op[LAST]]
        if op[KIND] == SUMS:
            sums(listed, code, weights, op[WEIGHTS], op[BIASES], op[RECTIFIES], op[ADDS], act, batch)
        elif op[KIND] == BATCHNORM:
            normalise(listed, op, weights, act, statistics, running, code.settings[op[NUMBER]], batches[op[NUMBER]], trains, batch)
        elif op[KIND] == MAXIMUM:
            maximum(listed, code, act, op[AWAY], op[RECTIFIES], batch)
        elif op[KIND] == MIX:
            mix(act[listed[0, 1] * batch:], act[listed[0, 0] * batch:], listed[0, 2] * batch, group, share, False)
        else:
            gates(listed, op[AWAY], op[NUMBER], act, bits, batch)
    for b in range(batch):
        for j in range(len(code.outputs)):
            total = act[code.outputs[j] * batch + b]
            for i in range(1, code.length):
                total += act[(code.outputs[j] + i) * batch + b]
            out[b, j] = total / code.length


@compiled
def backward(code, gradient, weights, act, grad, statistics, trained, group, share, partial, to_weights, to_x):
    """gradient [B, F] to the outputs -> to_weights [parameters that learn], and to_x [B, D] unless it is empty.

    Of every weight's gradient sixteen partial sums, zeros before a batch's first part, are kept apart until the end: a term adds a register
    to them.
    """
    batch, runs = len(gradient), code.runs
    zero(runs[code.blank[0]:code.blank[1]], grad, batch)
    for j in range(len(code.outputs)):
        for i in range(code.length):
            for b in range(batch):
                grad[(code.outputs[j] + i) * batch + b] = gradient[b, j] / code.length
    for number in range(len(code.table) - 1, -1, -1):
        op, to_source = code.table[number], code.how[1 if to_x.size else 0, number]
        if to_source == SKIPPED:
            continue
        listed = runs[op[FIRST]:op[LAST]]
        if op[RECTIFIES]:
            for r in range(len(listed)):
                rectify(grad, act, listed[r, 0] * batch, (listed[r, 0] + listed[r, 2]) * batch)
        if to_source == ZEROED:
            zero(runs[op[FIRST_SPAN]:op[LAST_SPAN]], grad, batch)
        if op[KIND] == SUMS:
            back = runs[op[FIRST_BACK]:op[LAST_BACK]]
            sends = to_source != UNNEEDED and len(back) == 0
            sums_backward(listed, code, weights, op[WEIGHTS], op[BIASES], op[LEARNS], sends, act, grad, partial, batch)
            if to_source != UNNEEDED:
                sums(back, code, weights, op[WEIGHTS], -1, False, to_source == ADDED, grad, batch)
        elif op[KIND] == BATCHNORM:
            normalise_backward(listed, op, to_source, weights, act, grad, statistics, code.settings[op[NUMBER]], trained, partial,
                               batch)
        elif op[KIND] == MAXIMUM:
            maximum_backward(listed, code, act, grad, op[AWAY], batch)
        elif op[KIND] == MIX:
            mix(grad[listed[0, 0] * batch:], grad[listed[0, 1] * batch:], listed[0, 2] * batch, group, share, to_source != WRITTEN)
        else:
            gates_backward(listed, op[AWAY], op[NUMBER], act, grad, batch)
    add_up(partial, to_weights)
    if to_x.size:
        for j in range(len(code.columns)):
            for b in range(batch):
                to_x[b, j] = grad[code.columns[j] * batch + b]


@inlined
def take_images(x, innermost, columns, act, batch):
    """Images into the slots `columns`: x holds them one after the other, or slot after slot as `act` does. Of the former sixteen numbers
    of every image in turn, as those of one slot lie far apart."""
    for first in range(0, len(columns), 16):
        part = columns[first:first + 16]
        if innermost:
            for j in range(len(part)):
                act[part[j] * batch:(part[j] + 1) * batch] = x[(first + j) * batch:(first + j + 1) * batch]
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
def zero(spans, values, batch):
    for r in range(len(spans)):
        values[spans[r, 0] * batch:(spans[r, 0] + spans[r, 2]) * batch] = 0


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
def sums(runs, code, weights, first_weight, first_bias, rectifies, adds, act, batch):
    """out = bias + the sum over a pattern's terms of weight * source, for every run; added to what is there where it `adds`."""
    for r in range(len(runs)):
        p, i, away = runs[r, 3], runs[r, 0] * batch, (runs[r, 1] - runs[r, 0]) * batch
        end = i + runs[r, 2] * batch
        bias = weights[first_bias + code.biases[p]] if first_bias >= 0 and code.biases[p] >= 0 else act.dtype.type(0)
        i = sum_blocks(block(bias, 256), i, end, away, p, code, weights, first_weight, rectifies, adds, act, batch)
        i = sum_blocks(block(bias, 64), i, end, away, p, code, weights, first_weight, rectifies, adds, act, batch)
        i = sum_blocks(block(bias, 16), i, end, away, p, code, weights, first_weight, rectifies, adds, act, batch)
        i = sum_blocks(block(bias, 4), i, end, away, p, code, weights, first_weight, rectifies, adds, act, batch)
        sum_blocks(block(bias, 1), i, end, away, p, code, weights, first_weight, rectifies, adds, act, batch)


@inlined
def sum_blocks(bias, i, end, away, pattern, code, weights, first_weight, rectifies, adds, act, batch):
    first, last, one = code.starts[pattern], code.starts[pattern + 1], act.dtype.type(1)
    while i + lanes(bias) <= end:
        total = add_product(bias, one, load(act, i, bias)) if adds else bias
        for t in range(first, last):
            source = load(act, i + away + code.distances[t] * batch, bias)
            total = add_product(total, weights[first_weight + code.entries[t]], source)
        store(act, i, rectified(total, total) if rectifies else total)
        i += lanes(bias)
    return i


@inlined
def sums_backward(runs, code, weights, first_weight, first_bias, learns, sends, act, grad, partial, batch):
    """Adds the gradients to the weights and biases, where the layer `learns`, and to the sources, if it `sends` them theirs."""
    if not (learns or sends):
        return
    one = act.dtype.type(1)
    for r in range(len(runs)):
        p, i, away = runs[r, 3], runs[r, 0] * batch, (runs[r, 1] - runs[r, 0]) * batch
        end = i + runs[r, 2] * batch
        bias = first_bias + code.biases[p] if learns and first_bias >= 0 and code.biases[p] >= 0 else -1
        i = pass_blocks(block(one, 64), i, end, away, p, bias, code, weights, first_weight, learns, sends, act, grad, partial, batch)
        i = pass_blocks(block(one, 16), i, end, away, p, bias, code, weights, first_weight, learns, sends, act, grad, partial, batch)
        i = pass_blocks(block(one, 4), i, end, away, p, bias, code, weights, first_weight, learns, sends, act, grad, partial, batch)
        pass_blocks(block(one, 1), i, end, away, p, bias, code, weights, first_weight, learns, sends, act, grad, partial, batch)


@inlined
def pass_blocks(ones, i, end, away, pattern, bias, code, weights, first_weight, learns, sends, act, grad, partial, batch):
    first, last, folded = code.starts[pattern], code.starts[pattern + 1], block(act.dtype.type(0), 16)
    while i + lanes(ones) <= end:
        g = load(grad, i, ones)
        if bias >= 0:
            store(partial, FOLDED * bias, add_folded(load(partial, FOLDED * bias, folded), g, ones))
        for t in range(first, last):
            place, at = first_weight + code.entries[t], i + away + code.distances[t] * batch
            if learns:
                store(partial, FOLDED * place, add_folded(load(partial, FOLDED * place, folded), g, load(act, at, ones)))
            if sends:
                store(grad, at, add_product(load(grad, at, ones), weights[place], g))
        i += lanes(ones)
    return i


@inlined
def maximum(runs, code, act, away, rectifies, batch):
    """out = the largest of a pattern's sources, the first of equal ones; which of them it was lies `away` slots further."""
    for r in range(len(runs)):
        n, o, which = runs[r, 2] * batch, act[runs[r, 0] * batch:], act[(runs[r, 0] + away) * batch:]
        first = code.starts[runs[r, 3]]
        for t in range(first, code.starts[runs[r, 3] + 1]):
            x, number = act[(runs[r, 1] + code.distances[t]) * batch:], act.dtype.type(t - first)
            for i in range(n):
                if t == first or x[i] > o[i] or x[i] != x[i]:
                    o[i] = x[i]
                    which[i] = number
        if rectifies:
            rectify(o, o, 0, n)


@inlined
def maximum_backward(runs, code, act, grad, away, batch):
    for r in range(len(runs)):
        n, g, which = runs[r, 2] * batch, grad[runs[r, 0] * batch:], act[(runs[r, 0] + away) * batch:]
        first, zero = code.starts[runs[r, 3]], act.dtype.type(0)
        for t in range(first, code.starts[runs[r, 3] + 1]):
            to, number = grad[(runs[r, 1] + code.distances[t]) * batch:], act.dtype.type(t - first)
            for i in range(n):
                to[i] += g[i] if which[i] == number else zero


@inlined
def normalise(runs, op, weights, act, statistics, running, setting, seen, trains, batch):
    """BatchNorm, channel by channel: a run is one, of `length` slots. The batch's moments are merged from chunks (Chan et al. 1983)."""
    eps, momentum, moves = setting
    if momentum < 0:  # None: the mean over all batches
        momentum = 1 / (seen + 1)
    for r in range(len(runs)):
        count, channel = runs[r, 2] * batch, op[CHANNELS] + r
        x, o = act[runs[r, 1] * batch:], act[runs[r, 0] * batch:]
        mean, variance = running[0, channel], running[1, channel]
        if trains and moves:
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
def normalise_backward(runs, op, to_source, weights, act, grad, statistics, setting, trained, partial, batch):
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
            partial[FOLDED * (op[WEIGHTS] + r)] += along * scale
            partial[FOLDED * (op[BIASES] + r)] += plain
        if to_source != UNNEEDED:
            slope, shift, tilt = x.dtype.type(weight * scale), x.dtype.type(0), x.dtype.type(0)
            if trained and setting[2]:
                shift, tilt = x.dtype.type(plain / count), x.dtype.type(-weight * scale**3 * along / count)
            if to_source == WRITTEN:
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

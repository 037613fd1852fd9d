"""The compiled loops of a live LSTM head, forward and backward: the lists of terms of `kernels`, and between them the gates.

Slot s of a sequence of n batches of B lies at s * n * B, image after image of the sequence. `first` has where the slots of the input, the
embedding, the gates (i, f, g and o of all units), the cells, their tanh, the hidden units and the outputs begin.
"""
import math

import numpy as np

from .kernels import compiled, inlined, pass_back, summed, sums, sums_backward
from .vectors import LARGE, large, load, store

INPUT, EMBEDDING, GATES, CELLS, SQUASHED, HIDDEN, OUTPUTS = range(7)


@compiled
def forward(runs, cuts, lists, weights, offsets, first, units, act, bits, n, batch):
    """runs[cuts[k] : cuts[k + 1]]: those of embed, input weights, recurrent weights, classify; offsets[k]: where weights and biases lie."""
    size = n * batch
    sums(runs[cuts[0]:cuts[1]], lists, weights, offsets[0, 0], offsets[0, 1], 0, act, size)
    sums(runs[cuts[1]:cuts[2]], lists, weights, offsets[1, 0], offsets[1, 1], 0, act, size)
    for t in range(n):
        now = t * batch
        if t:
            for r in range(cuts[2], cuts[3]):
                add_earlier(runs[r], lists, weights, offsets[2, 0], act, now, batch, size)
        for u in range(units):
            at = [(first[GATES] + gate * units + u) * size + now for gate in range(4)]
            for gate in range(4):
                squash(act[at[gate]:at[gate] + batch], bits, gate == 2)
            i, f, g, o = act[at[0]:], act[at[1]:], act[at[2]:], act[at[3]:]
            cell, squashed, hidden = (first[CELLS] + u) * size + now, (first[SQUASHED] + u) * size + now, (first[HIDDEN] + u) * size + now
            for b in range(batch):
                before = act[cell - batch + b] if t else act.dtype.type(0)
                act[cell + b] = f[b] * before + i[b] * g[b]
                act[squashed + b] = act[cell + b]
            squash(act[squashed:squashed + batch], bits, True)
            for b in range(batch):
                act[hidden + b] = o[b] * act[squashed + b]
    sums(runs[cuts[3]:cuts[4]], lists, weights, offsets[3, 0], offsets[3, 1], 0, act, size)


@inlined
def add_earlier(run, lists, weights, first_weight, act, now, batch, size):
    """Adds to one gate's numbers what it hears of the hidden units one image before."""
    out, source, first, last, i = run[0] * size + now, run[1] * size + now - batch, lists.starts[run[3]], lists.starts[run[3] + 1], 0
    while i + LARGE <= batch:
        block = load(act, out + i, large(act.dtype.type(0)))
        store(act, out + i, summed(block, source + i, first, last, lists, weights, first_weight, act, size))
        i += LARGE
    for t in range(first, last):
        weight, at = weights[first_weight + lists.entries[t]], source + lists.distances[t] * size
        for b in range(i, batch):
            act[out + b] += weight * act[at + b]


@compiled
def backward(runs, cuts, lists, weights, offsets, first, units, act, grad, to_weights, to_input, n, batch):
    """From the gradients to the outputs, which lie in `grad`, those to all weights and biases (added), and to the input where asked for."""
    size = n * batch
    grad[first[EMBEDDING] * size:first[OUTPUTS] * size] = 0
    sums_backward(runs[cuts[3]:cuts[4]], lists, weights, offsets[3, 0], offsets[3, 1], 1, True, act, grad, to_weights, size)
    for t in range(n - 1, -1, -1):
        now = t * batch
        for u in range(units):
            at = [(first[GATES] + gate * units + u) * size + now for gate in range(4)]
            cell, squashed, hidden = (first[CELLS] + u) * size + now, (first[SQUASHED] + u) * size + now, (first[HIDDEN] + u) * size + now
            for b in range(batch):
                i, f, g, o = act[at[0] + b], act[at[1] + b], act[at[2] + b], act[at[3] + b]
                tanh, to_hidden = act[squashed + b], grad[hidden + b]
                to_cell = grad[cell + b] + to_hidden * o * (1 - tanh * tanh)
                grad[at[0] + b] = to_cell * g * i * (1 - i)
                grad[at[2] + b] = to_cell * i * (1 - g * g)
                grad[at[3] + b] = to_hidden * tanh * o * (1 - o)
                if t:
                    grad[at[1] + b] = to_cell * act[cell - batch + b] * f * (1 - f)
                    grad[cell - batch + b] += to_cell * f
        if t:
            for r in range(cuts[2], cuts[3]):
                send_earlier(runs[r], lists, weights, offsets[2, 0], act, grad, to_weights, now, batch, size)
    sums_backward(runs[cuts[1]:cuts[2]], lists, weights, offsets[1, 0], offsets[1, 1], 1, True, act, grad, to_weights, size)
    if to_input:
        grad[:first[EMBEDDING] * size] = 0
    sums_backward(runs[cuts[0]:cuts[1]], lists, weights, offsets[0, 0], offsets[0, 1], 1, to_input, act, grad, to_weights,
                  size)


@inlined
def send_earlier(run, lists, weights, first_weight, act, grad, to_weights, now, batch, size):
    """The gradient to one gate's numbers to the recurrent weights, and to the hidden units one image before."""
    out, source, first, last, i = run[0] * size + now, run[1] * size + now - batch, lists.starts[run[3]], lists.starts[run[3] + 1], 0
    while i + LARGE <= batch:
        g = load(grad, out + i, large(act.dtype.type(0)))
        pass_back(g, source + i, first, last, lists, weights, first_weight, 1, True, act, grad, to_weights, size)
        i += LARGE
    for t in range(first, last):
        place, at, found = first_weight + lists.entries[t], source + lists.distances[t] * size, act.dtype.type(0)
        for b in range(i, batch):
            found += grad[out + b] * act[at + b]
            grad[at + b] += weights[place] * grad[out + b]
        to_weights[place] += found


@inlined
def squash(x, bits, tanh):
    """x <- its tanh or logistic function; in single precision by a polynomial for 2^fraction and the bits of 2^integer, without calls."""
    one = x.dtype.type(1)
    scale = x.dtype.type(2 if tanh else 1)
    if x.itemsize == 4:
        power = bits.view(np.float32)
        for i in range(len(x)):
            y = min(max(-scale * x[i], np.float32(-87)), np.float32(87)) * np.float32(1.4426950408889634)
            whole = np.float32(np.floor(y + np.float32(0.5)))
            z = (y - whole) * np.float32(0.6931471805599453)
            bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
            series = np.float32(1 / 720) + z * np.float32(1 / 5040)
            series = np.float32(1 / 24) + z * (np.float32(1 / 120) + z * series)
            series = one + z * (one + z * (np.float32(1 / 2) + z * (np.float32(1 / 6) + z * series)))
            x[i] = series if x[i] == x[i] else x[i]
        for i in range(len(x)):
            x[i] = one / (one + x[i] * power[i])
    else:
        for i in range(len(x)):
            x[i] = one / (one + x.dtype.type(math.exp(-scale * x[i])))
    if tanh:
        for i in range(len(x)):
            x[i] = scale * x[i] - one

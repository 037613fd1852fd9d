"""The compiled loops of a live LSTM head, forward and backward: the lists of terms of `kernels`, and between them the gates.

Slot s of a sequence of n batches of B lies at s * n * B, image after image of the sequence. `first` has where the slots of the input, the
embedding, the gates (i, f, g and o of all units), the cells, their tanh, the hidden units and the outputs begin.
"""
import math

import numpy as np

from .kernels import BIASES, FIRST, LAST, WEIGHTS, add_up, compiled, inlined, sums, sums_backward
from .vectors import FOLDED

INPUT, EMBEDDING, GATES, CELLS, SQUASHED, HIDDEN, OUTPUTS = range(7)
TO_EMBEDDING, TO_GATES, RECURRENT, TO_OUTPUTS = range(4)  # the operations of a head's table


@compiled
def forward(table, runs, lists, x, weights, first, units, act, bits, out):
    """Embeddings x [B, n, d] -> out [B, l], the mean over the sequence."""
    batch, n, inputs = x.shape
    size = n * batch
    for b in range(batch):
        for t in range(n):
            for j in range(inputs):
                act[j * size + t * batch + b] = x[b, t, j]
    add_terms(table[TO_EMBEDDING], runs, lists, weights, act, size, 0, size)
    add_terms(table[TO_GATES], runs, lists, weights, act, size, 0, size)
    for t in range(n):
        now = t * batch
        if t:
            add_terms(table[RECURRENT], runs, lists, weights, act, size, now, batch)
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
    add_terms(table[TO_OUTPUTS], runs, lists, weights, act, size, 0, size)
    for b in range(batch):
        for j in range(out.shape[1]):
            total, told = act.dtype.type(0), act[(first[OUTPUTS] + j) * size + b:]
            for t in range(n):
                total += told[t * batch]
            out[b, j] = total / n


@compiled
def backward(table, runs, lists, gradient, weights, first, units, act, grad, to_weights, to_x, n):
    """The gradient [B, l] to the outputs -> to_weights, all weights' and biases', and to_x [B, n, d] unless it is empty."""
    batch, partial = len(gradient), np.zeros(FOLDED * len(weights), weights.dtype)
    size = n * batch
    for b in range(batch):
        for j in range(gradient.shape[1]):
            for t in range(n):
                grad[(first[OUTPUTS] + j) * size + t * batch + b] = gradient[b, j] / n
    grad[first[EMBEDDING] * size:first[OUTPUTS] * size] = 0
    pass_terms(table[TO_OUTPUTS], runs, lists, weights, True, act, grad, partial, size, 0, size)
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
            pass_terms(table[RECURRENT], runs, lists, weights, True, act, grad, partial, size, now, batch)
    pass_terms(table[TO_GATES], runs, lists, weights, True, act, grad, partial, size, 0, size)
    to_input = to_x.size > 0
    if to_input:
        grad[:first[EMBEDDING] * size] = 0
    pass_terms(table[TO_EMBEDDING], runs, lists, weights, to_input, act, grad, partial, size, 0, size)
    add_up(partial, to_weights)
    if to_input:
        for b in range(batch):
            for t in range(n):
                for j in range(to_x.shape[2]):
                    to_x[b, t, j] = grad[j * size + t * batch + b]


@inlined
def add_terms(op, runs, lists, weights, act, size, now, count):
    """`kernels.sums` of an operation: of all images in their places, or, added to what is there, of the images `now`, from those before."""
    sums(runs[op[FIRST]:op[LAST]], lists, weights, op[WEIGHTS], op[BIASES], False, now > 0, act, size, now, count, count if now else 0)


@inlined
def pass_terms(op, runs, lists, weights, to_source, act, grad, partial, size, now, count):
    """`kernels.sums_backward` of an operation, likewise."""
    sums_backward(runs[op[FIRST]:op[LAST]], lists, weights, op[WEIGHTS], op[BIASES], True, to_source, act, grad, partial, size, now, count,
                  count if now else 0)


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

"""The loops of an LSTM's gates, forward and backward (`kernels` calls them)."""
import math

import numpy as np

from .vectors import inlined


@inlined
def gates(runs, away, place, act, bits, batch):
    """An LSTM's units at one `place` of their sequences. A run says where a unit's output and its gate i lie; its gates f, g and o, its
    cell and the tanh of that lie `away` slots from one another, and what is of the place before, one slot before."""
    for r in range(len(runs)):
        hidden, at, size = act[runs[r, 0] * batch:], runs[r, 1] * batch, away * batch
        for gate in range(4):
            squash(act[at + gate * size:at + gate * size + batch], bits, gate == 2)
        i, f, g, o, cell = act[at:], act[at + size:], act[at + 2 * size:], act[at + 3 * size:], at + 4 * size
        squashed = act[cell + size:cell + size + batch]
        for b in range(batch):
            before = act[cell - batch + b] if place else act.dtype.type(0)
            act[cell + b] = f[b] * before + i[b] * g[b]
            squashed[b] = act[cell + b]
        squash(squashed, bits, True)
        for b in range(batch):
            hidden[b] = o[b] * squashed[b]


@inlined
def gates_backward(runs, away, place, act, grad, batch):
    for r in range(len(runs)):
        hidden, at, size = runs[r, 0] * batch, runs[r, 1] * batch, away * batch
        for b in range(at, at + batch):
            i, f, g, o, tanh = act[b], act[b + size], act[b + 2 * size], act[b + 3 * size], act[b + 5 * size]
            cell, to_hidden = b + 4 * size, grad[hidden + b - at]
            to_cell = grad[cell] + to_hidden * o * (1 - tanh * tanh)
            grad[b] = to_cell * g * i * (1 - i)
            grad[b + 2 * size] = to_cell * i * (1 - g * g)
            grad[b + 3 * size] = to_hidden * tanh * o * (1 - o)
            if place:
                grad[b + size] = to_cell * act[cell - batch] * f * (1 - f)
                grad[cell - batch] += to_cell * f


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

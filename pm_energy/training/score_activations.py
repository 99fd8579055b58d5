"""Activations of small networks and their first three derivatives, as numpy functions.

Hand-written beside a test that equates them with the PyTensor formulas of
:mod:`pm_energy.energies.neural`. Score matching bends a network twice in x and once more in its
parameters, hence three derivatives.
"""

import numpy as np


def sigmoid(a):
    """Logistic function; through tanh, which numpy computes in SIMD and which cannot overflow."""
    half = a.dtype.type(0.5)
    out = np.tanh(half * a)
    out += 1
    out *= half
    return out


def silu(a, order):
    """``a sigmoid(a)`` and its derivatives up to ``order``."""
    s = sigmoid(a)
    value = a * s
    if order == 0:
        return (value,)
    rest = 1 - s
    first = s + value * rest  # s (1 + a (1 - s))
    if order == 1:
        return value, first
    slope = s * rest
    twist = 1 - 2 * s
    second = slope * (2 + a * twist)
    if order == 2:
        return value, first, second
    return value, first, second, slope * (3 * twist + a * (1 - 6 * slope))


def softplus(a, order):
    """``log(1 + exp(a))`` and its derivatives up to ``order``."""
    value = np.logaddexp(a, a.dtype.type(0))
    if order == 0:
        return (value,)
    s = sigmoid(a)
    if order == 1:
        return value, s
    slope = s * (1 - s)
    return (value, s, slope, slope * (1 - 2 * s))[: order + 1]


def tanh(a, order):
    """Hyperbolic tangent and its derivatives up to ``order``."""
    t = np.tanh(a)
    if order == 0:
        return (t,)
    first = 1 - t * t
    if order == 1:
        return t, first
    second = -2 * t * first
    return (t, first, second, -2 * first * (first - 2 * t * t))[: order + 1]


DERIVATIVES = {"silu": silu, "softplus": softplus, "tanh": tanh}

"""An RBM of spins as one of bits.

Kernels know bits only. Spins are ``2 bit - 1``: an affine change of units, hence one of parameters,
through which gradients go back by the chain rule. ``lows`` are the lower states, 0 or -1, of
visible and hidden units; upper ones are 1.
"""

import numpy as np


def to_bits(theta, lows):
    """Weights and both biases of the same model for units in {0, 1}."""
    w, a, b = theta["weights"], theta["visible_bias"], theta["hidden_bias"]
    v_low, h_low = lows
    if v_low or h_low:
        a = (1 - v_low) * (a + h_low * w.sum(axis=1))
        b = (1 - h_low) * (b + v_low * w.sum(axis=0))
        w = (1 - v_low) * (1 - h_low) * w
    return np.ascontiguousarray(w), a, b


def gradient_from_bits(w, a, b, lows):
    """From derivatives in the parameters of the bits to those in the model's own."""
    v_low, h_low = lows
    if v_low or h_low:
        a, b = (1 - v_low) * a, (1 - h_low) * b
        w = (1 - v_low) * (1 - h_low) * w + h_low * a[:, None] + v_low * b
    return {"weights": w, "visible_bias": a, "hidden_bias": b}


def statistics_from_bits(w, a, b, lows):
    """From means of bits and their products to those of the units.

    That is :func:`gradient_from_bits`, and the constant by which the two energies differ.
    """
    statistics = gradient_from_bits(w, a, b, lows)
    if any(lows):
        for name, constant in zip(statistics, (lows[0] * lows[1], *lows), strict=True):
            statistics[name] = statistics[name] + statistics[name].dtype.type(constant)
    return statistics


def log_z_from_bits(log_z, theta, lows):
    """Log Z of the model from that of its bits."""
    v_low, h_low = lows
    constant = v_low * theta["visible_bias"].sum() + h_low * theta["hidden_bias"].sum()
    return float(log_z + constant + v_low * h_low * theta["weights"].sum())


def gaussian_to_bits(theta, h_low):
    """The same for Gaussian visible units: weights and biases, and what log Z has beside theirs.

    With hidden spins ``2 y - 1``, the term of -1 moves the means of the visible units from a to
    ``a - W 1``, and the squares that complete it are constant.
    """
    w, a, b = theta["weights"], theta["visible_bias"], theta["hidden_bias"]
    span = 1 - h_low
    moved = a + h_low * w.sum(axis=1)
    squares = (moved**2 - a**2) / (2 * np.exp(theta["log_variance"]))
    return (span * w, moved, span * b), float(h_low * b.sum() + squares.sum())

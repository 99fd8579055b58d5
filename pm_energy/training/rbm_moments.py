"""Log Z and the statistics of an RBM summed over all states of its smaller layer."""

import numpy as np

from pm_energy.kernels.gaussian_rbm_exact import gaussian_rbm_exact_moments
from pm_energy.kernels.rbm_exact import rbm_exact_moments
from pm_energy.training.rbm_coding import (
    gaussian_to_bits,
    log_z_from_bits,
    statistics_from_bits,
    to_bits,
)


def two_state_moments(theta, lows):
    """Log Z and statistics where both layers have two states; float64."""
    theta = {name: np.asarray(value, float) for name, value in theta.items()}
    log_z, *moments = rbm_exact_moments(*to_bits(theta, lows))
    return log_z_from_bits(log_z, theta, lows), statistics_from_bits(*moments, lows)


def gaussian_moments(theta, h_low):
    """Log Z and statistics where visible units are Gaussian; float64."""
    theta = {name: np.asarray(value, float) for name, value in theta.items()}
    w, a = theta["weights"], theta["visible_bias"]
    variance, span = np.exp(theta["log_variance"]), 1 - h_low
    bits, constant = gaussian_to_bits(theta, h_low)
    log_z, pairs, v, h, square = gaussian_rbm_exact_moments(*bits, variance)
    pairs = (span * pairs + h_low * v[:, None]) / variance[:, None]
    spread = (square - 2 * a * v + a**2) / (2 * variance)
    return float(log_z + constant), {
        "weights": pairs,
        "visible_bias": (v - a) / variance,
        "hidden_bias": span * h + h_low,
        "log_variance": spread - (w * pairs).sum(axis=1),
    }

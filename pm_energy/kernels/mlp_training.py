"""Regression on noisy data: batches, and the loop of learning a network, compiled.

A row x0 of the data becomes ``alpha x0 + sigma eps`` at one of many levels of noise, and the
network learns ``a x0 + b eps`` from it. Tables of (alpha, sigma, a, b, ...) over the levels make
this denoising score matching, diffusion in any parametrisation, or flow matching: the kernel knows
no formula of theirs.
"""

import numpy as np
from numba import int64, njit, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.mlp import copy, count, propagate, propagate_back
from pm_energy.kernels.mlp_noise import WORDS, fill_normal_single
from pm_energy.kernels.mlp_updates import NORM_EPSILON, adam_step, sum_of_squares
from pm_energy.kernels.random import next_word, to_unit

ALPHA, SIGMA, DATA, NOISE, WEIGHT, SCALE = range(6)  # columns of the table of levels


@inner(forceinline=True)
def draw(state):
    """Advance a stream of four words; return a uniform float64 in [0, 1)."""
    word, s0, s1, s2, s3 = next_word(state[0], state[1], state[2], state[3])
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return to_unit(word)


@inner(forceinline=True, error_model="numpy", fastmath={"contract", "reassoc"})
def take_errors(outputs, at, targets, weights, first, n, errors):
    """Write the gradient of the loss in the outputs to the errors; return the loss.

    The loss is the mean over rows of ``w_i sum_j (y_ij - target_ij)^2``.

    Parameters
    ----------
    outputs, at : ndarray of float32, flat, and int
        Where the outputs (rows x n) of the last layer begin; they end the array.
    targets, weights : ndarray of float32, flat
    first, n : int
        Which row of these is the first; outputs of a row.
    errors : ndarray of float32, flat
        Overwritten from ``at`` on.
    """
    at, first, n = uint64(at), uint64(first), uint64(n)
    rows = (uint64(outputs.size) - at) // n
    scale = np.float32(2.0 / rows)
    total = 0.0
    for i in range(rows):
        weight = weights[first + i]
        for j in range(n):
            difference = outputs[at + i * n + j] - targets[(first + i) * n + j]
            weighted = weight * difference
            total += weighted * difference
            errors[at + i * n + j] = scale * weighted
    return total / rows


@njit(cache=True, error_model="numpy")
def make_batches(data, schedule, streams, pairs, drop, inputs, targets, weights):
    """Draw rows, levels and labels; fill in the inputs of the network, its targets and weights.

    Levels are stratified over a batch, which lowers the variance of the gradient.

    Parameters
    ----------
    data : tuple of ndarray
        x (N, d) of float32, labels (N,) of int64 or empty, weights of rows (N,) of float32 or
        empty.
    schedule : tuple of ndarray of float32, shapes (L, 6) and (L, K)
        Levels, and features of the time at each.
    streams : tuple of ndarray of uint64, shapes (4,) and (4, LANES)
        Random words, advanced.
    pairs : tuple of ndarray, shapes (n_steps, B) and (n_steps, B, d)
        Rows of the data, of int64, and their noise, of float32; drawn here if empty.
    drop : float
        Probability that a label is left out.
    inputs, targets, weights : ndarray of float32
        Shapes (n_steps, B, n_in), (n_steps, B, d) and (n_steps, B); overwritten.
    """
    x, labels, row_weights = data
    levels, features = schedule
    state, numbers = streams
    chosen, noise = pairs
    n_steps, rows, d = targets.shape
    n_features, n_in = features.shape[1], inputs.shape[2]
    drawn, buffer = np.empty(rows * d + rows * d % 2, np.float32), np.empty(WORDS, np.uint64)
    for step in range(n_steps):
        if not chosen.size:
            fill_normal_single(numbers, buffer, drawn)  # come in pairs
        offset = draw(state)
        for i in range(rows):
            row = chosen[step, i] if chosen.size else int(draw(state) * len(x))
            level = int((i + offset) / rows * len(levels))
            level = level if level < len(levels) else len(levels) - 1
            alpha, sigma = levels[level, ALPHA], levels[level, SIGMA]
            a, b, scale = levels[level, DATA], levels[level, NOISE], levels[level, SCALE]
            for j in range(d):
                z = noise[step, i, j] if chosen.size else drawn[i * d + j]
                inputs[step, i, j] = scale * (alpha * x[row, j] + sigma * z)
                targets[step, i, j] = a * x[row, j] + b * z
            for j in range(n_features):
                inputs[step, i, d + j] = features[level, j]
            for j in range(d + n_features, n_in):
                inputs[step, i, j] = np.float32(0)
            if labels.size and labels[row] >= 0 and draw(state) >= drop:
                inputs[step, i, d + n_features + labels[row]] = np.float32(1)
            weights[step, i] = levels[level, WEIGHT]
            if row_weights.size:
                weights[step, i] *= row_weights[row]


@inner(forceinline=True, error_model="numpy")
def update(sizes, learner, gradient, step, rate, settings):
    """Clip the gradient and change what is learned; biases do not decay."""
    theta, mean, square, average = learner
    decay, max_norm, keep = settings
    scale = 1.0
    if max_norm < np.inf:
        norm = np.sqrt(sum_of_squares(gradient))
        scale = (norm if norm < max_norm else max_norm) / (NORM_EPSILON + norm)
    early = step / (step + 9.0)  # early parameters are soon forgotten
    kept = early if early < keep else keep
    at = int64(0)  # a literal would be a type of its own, and compiled for
    for part in range(2 * sizes.size - 2):  # weights and bias of each layer in turn
        is_bias = part % 2
        n = (1 if is_bias else sizes[part // 2]) * sizes[part // 2 + 1]
        shrink = 0.0 if is_bias else decay
        adam_step(at, n, theta, gradient, mean, square, average, scale, step, rate, shrink, kept)
        at += n


@njit(cache=True, error_model="numpy")
def train_steps(network, learner, rows, batches, rates, settings, done, losses):
    """Learn for some steps; return how many were made before a loss was not finite.

    Parameters
    ----------
    network : tuple
        Sizes (int64 array), address of the activation, residual.
    learner : tuple of ndarray of float32, shape (P,)
        Parameters, both moments of Adam, averaged parameters; overwritten.
    rows : int
        B, of a batch.
    batches : tuple of ndarray of float32, flat
        Inputs, targets and weights of at least as many steps as there are rates; see
        :func:`make_batches`.
    rates : ndarray of float64, shape (n_steps,)
    settings : tuple of float
        Weight decay, largest norm of a gradient, decay of the average.
    done : int
        Steps made in earlier calls.
    losses : ndarray of float64, shape (n_steps,)
        Overwritten.
    """
    sizes, activation, residual = network
    theta = learner[0]
    inputs, targets, weights = batches
    width, n_in, n_out = count(sizes), sizes[0], sizes[-1]
    units = np.empty(rows * width, np.float32)
    slopes = np.empty(rows * width, np.float32)
    errors = np.empty(rows * width, np.float32)
    gradient = np.empty(theta.size, np.float32)
    first, last = int64(0), rows * (width - n_out)
    for step in range(rates.size):
        copy(inputs, step * rows * n_in, units, first, rows * n_in)
        propagate(theta, sizes, activation, residual, rows, units, slopes)
        losses[step] = take_errors(units, last, targets, weights, step * rows, n_out, errors)
        if not np.isfinite(losses[step]):
            return step
        propagate_back(theta, sizes, residual, rows, units, slopes, errors, gradient, False)
        update(sizes, learner, gradient, done + step + 1, rates[step], settings)
    return rates.size

"""Regression on noisy data: batches, and the loop of learning a network, compiled.

A row x0 of the data becomes ``alpha x0 + sigma eps`` at one of many levels of noise, and the
network learns ``a x0 + b eps`` from it. Tables of (alpha, sigma, a, b, ...) over the levels make
this denoising score matching, diffusion in any parametrisation, or flow matching: the kernel knows
no formula of theirs.
"""

import numpy as np
from numba import njit

from pm_energy.kernels.mlp import block, copy, count, propagate, propagate_back
from pm_energy.kernels.mlp_noise import WORDS, fill_normal_single
from pm_energy.kernels.mlp_updates import NORM_EPSILON, adam_step, sum_of_squares
from pm_energy.kernels.random import next_word, to_unit

ALPHA, SIGMA, DATA, NOISE, WEIGHT, SCALE = range(6)  # columns of the table of levels


@njit(forceinline=True)
def draw(state):
    """Advance a stream of four words; return a uniform float64 in [0, 1)."""
    word, s0, s1, s2, s3 = next_word(state[0], state[1], state[2], state[3])
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return to_unit(word)


@njit(forceinline=True, error_model="numpy", fastmath={"contract", "reassoc"})
def take_errors(outputs, targets, weights, errors):
    """Errors of the last layer, the gradient of the loss in the outputs; return the loss.

    The loss is the mean over rows of ``w_i sum_j (y_ij - target_ij)^2``.
    """
    rows, n = outputs.shape
    scale = np.float32(2.0 / rows)
    total = 0.0
    for i in range(rows):
        for j in range(n):
            difference = outputs[i, j] - targets[i, j]
            weighted = weights[i] * difference
            total += weighted * difference
            errors[i, j] = scale * weighted
    return total / rows


@njit(forceinline=True, error_model="numpy")
def make_batch(
    state, x, labels, row_weights, levels, features, drop, chosen, noise, inputs, targets, weights
):
    """Draw rows, levels and labels; fill in the inputs of the network, its targets and weights.

    Levels are stratified over the batch, which lowers the variance of the gradient.

    Parameters
    ----------
    state : ndarray of uint64, shape (4,)
        Stream of random words, advanced.
    x : ndarray of float32, shape (N, d)
    labels : ndarray of int64, shape (N,) or empty
    row_weights : ndarray of float32, shape (N,) or empty
    levels : ndarray of float32, shape (L, 6)
    features : ndarray of float32, shape (L, K)
        Of the time at each level.
    drop : float
        Probability that a label is left out.
    chosen : ndarray of int64, shape (B,) or empty
        Rows of the data; drawn if empty.
    noise : ndarray of float32, shape (B, d)
    inputs, targets, weights : ndarray of float32, shape (B, n_in), (B, d) and (B,)
        Overwritten.
    """
    rows, d = noise.shape
    n_features = features.shape[1]
    offset = draw(state)
    for i in range(rows):
        row = chosen[i] if chosen.size else int(draw(state) * len(x))
        level = min(int((i + offset) / rows * len(levels)), len(levels) - 1)
        alpha, sigma = levels[level, ALPHA], levels[level, SIGMA]
        a, b, scale = levels[level, DATA], levels[level, NOISE], levels[level, SCALE]
        for j in range(d):
            inputs[i, j] = scale * (alpha * x[row, j] + sigma * noise[i, j])
            targets[i, j] = a * x[row, j] + b * noise[i, j]
        for j in range(n_features):
            inputs[i, d + j] = features[level, j]
        for j in range(d + n_features, inputs.shape[1]):
            inputs[i, j] = np.float32(0)
        if labels.size and labels[row] >= 0 and draw(state) >= drop:
            inputs[i, d + n_features + labels[row]] = np.float32(1)
        weights[i] = levels[level, WEIGHT]
        if row_weights.size:
            weights[i] *= row_weights[row]


@njit(cache=True, error_model="numpy")
def make_batches(data, schedule, streams, pairs, drop, inputs, targets, weights):
    """Fill in the batches of some steps.

    Parameters
    ----------
    data : tuple of ndarray
        x, labels and weights of rows, as in :func:`make_batch`.
    schedule : tuple of ndarray
        Levels and their features.
    streams : tuple of ndarray of uint64, shapes (4,) and (4, LANES)
        Random words, advanced.
    pairs : tuple of ndarray, shapes (n_steps, B) and (n_steps, B, d)
        Rows and their noise; drawn here if empty.
    drop : float
        Probability of dropping a label.
    inputs, targets, weights : ndarray of float32
        Shapes (n_steps, B, n_in), (n_steps, B, d) and (n_steps, B); overwritten.
    """
    x, labels, row_weights = data
    levels, features = schedule
    n_steps, rows, d = targets.shape
    numbers = np.empty(rows * d + rows * d % 2, np.float32)  # come in pairs
    noise, chosen = block(numbers, 0, rows, d), np.empty(0, np.int64)
    buffer = np.empty(WORDS, np.uint64)
    for step in range(n_steps):
        if len(pairs[0]):
            chosen, noise = pairs[0][step], pairs[1][step]
        else:
            fill_normal_single(streams[1], buffer, numbers)
        make_batch(
            streams[0], x, labels, row_weights, levels, features, drop, chosen, noise, inputs[step],
            targets[step], weights[step],
        )  # fmt: skip


@njit(forceinline=True, error_model="numpy")
def update(sizes, learner, gradient, step, rate, settings):
    """Clip the gradient and change what is learned; biases do not decay."""
    theta, mean, square, average = learner
    decay, max_norm, keep = settings
    scale = 1.0
    if max_norm < np.inf:
        norm = np.sqrt(sum_of_squares(gradient))
        scale = min(norm, max_norm) / (NORM_EPSILON + norm)
    kept = min(keep, step / (step + 9.0))  # early parameters are soon forgotten
    at = 0
    for part in range(2 * sizes.size - 2):  # weights and bias of each layer in turn
        is_bias = part % 2
        stop = at + (1 if is_bias else sizes[part // 2]) * sizes[part // 2 + 1]
        adam_step(
            theta[at:stop], gradient[at:stop], mean[at:stop], square[at:stop], average[at:stop],
            scale, step, rate, 0.0 if is_bias else decay, kept,
        )  # fmt: skip
        at = stop


@njit(cache=True, error_model="numpy")
def train_steps(network, learner, batches, rates, settings, done, losses):
    """Learn for some steps; return how many were made before a loss was not finite.

    Parameters
    ----------
    network : tuple
        Sizes (int64 array), address of the activation, residual.
    learner : tuple of ndarray of float32, shape (P,)
        Parameters, both moments of Adam, averaged parameters; overwritten.
    batches : tuple of ndarray of float32
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
    rows, width, n_out = weights.shape[1], count(sizes), sizes[-1]
    units = np.empty(rows * width, np.float32)
    slopes, errors = np.empty_like(units), np.empty_like(units)
    gradient = np.empty_like(theta)
    first, last = block(units, 0, rows, sizes[0]), rows * (width - n_out)
    outputs, error = block(units, last, rows, n_out), block(errors, last, rows, n_out)
    for step in range(rates.size):
        copy(inputs[step], first)
        propagate(theta, sizes, activation, residual, rows, units, slopes)
        losses[step] = take_errors(outputs, targets[step], weights[step], error)
        if not np.isfinite(losses[step]):
            return step
        propagate_back(theta, sizes, residual, rows, units, slopes, errors, gradient, False)
        update(sizes, learner, gradient, done + step + 1, rates[step], settings)
    return rates.size

"""Exact laws of small spin systems, in log-odds form, for the tests of the single-spin kernels."""

import numpy as np
from scipy.stats import chi2

STARTS = 20_000
FALSE_ALARM = 1e-6


def all_spins(n):
    """All states, (2**n, n) int8; the first spin is the slowest digit."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1)) & 1
    return (2 * bits - 1).astype(np.int8)


def numbers(spins):
    return ((spins > 0) * 2 ** np.arange(spins.shape[-1] - 1, -1, -1)).sum(-1)


def sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def distribution(matrix, bias):
    """P(s_i = +1 | rest) = sigmoid(bias_i + matrix_i . s) for all i means exactly these weights."""
    s = all_spins(len(bias)).astype(float)
    log_weight = 0.5 * (s @ bias) + 0.25 * ((s @ matrix) * s).sum(-1)
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()


def transition(matrix, bias, order):
    """The exact matrix of one sweep: a product of one-site conditionals."""
    states = all_spins(len(bias))
    index = np.arange(len(states))
    sweep = np.eye(len(states))
    for i in order:
        p_up = sigmoid(bias[i] + states @ matrix[i])
        up, down = states.copy(), states.copy()
        up[:, i], down[:, i] = 1, -1
        site = np.zeros_like(sweep)
        site[index, numbers(up)] += p_up
        site[index, numbers(down)] += 1.0 - p_up
        sweep = sweep @ site
    return sweep


def lattice_matrix(shape, periodic, coupling):
    """Coupling matrix of a lattice: a pair of sites has one bond, whatever the axis' length."""
    index = np.arange(np.prod(shape)).reshape(shape)
    matrix = np.zeros((index.size, index.size))
    for axis, wraps in enumerate(np.broadcast_to(periodic, len(shape))):
        other = np.roll(index, -1, axis)
        keep = slice(None) if wraps else slice(None, -1)
        ends = [np.moveaxis(a, axis, 0)[keep].ravel() for a in (index, other)]
        matrix[ends[0], ends[1]] = matrix[ends[1], ends[0]] = coupling
    np.fill_diagonal(matrix, 0.0)
    return matrix


def visiting_order(shape, periodic):
    """Row by row: even columns, odd columns; the last of an odd ring after all others."""
    width, closed = shape[-1], np.broadcast_to(periodic, len(shape))[-1] and shape[-1] > 2
    last = width - 1 if closed and width % 2 else width
    row = [*range(0, last, 2), *range(1, last, 2), *range(last, width)]
    return [start + k for start in range(0, np.prod(shape), width) for k in row]


def xoshiro(state):
    """One step of xoshiro256+ for each column of an object array of Python integers, in place."""
    s0, s1, s2, s3 = state
    mask = 2**64 - 1
    word = (s0 + s3) & mask
    s2, s3, t = s2 ^ s0, s3 ^ s1, (s1 << 17) & mask
    state[:] = s0 ^ s3, s1 ^ s2, s2 ^ t, ((s3 << 45) | (s3 >> 19)) & mask
    return word


def mixed_words(lanes, n):
    """The ``n`` (rounded up) next words of all lanes, low bits mended, as Python integers."""
    words = []
    while len(words) < n:
        words.extend(word ^ (word >> 32) for word in xoshiro(lanes))
    return words


def random_system(n, seed, density=1.0, scale=1.0):
    """A random symmetric coupling matrix with zero diagonal, and biases."""
    rng = np.random.default_rng(seed)
    matrix = np.triu(rng.normal(0, scale, (n, n)) * (rng.random((n, n)) < density), 1)
    return matrix + matrix.T, rng.normal(0, 0.5, n)


def graph(matrix):
    """CSR arrays (indptr, indices, coupling) of a matrix."""
    rows, columns = np.nonzero(matrix)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
    return indptr, columns, matrix[rows, columns]


def sweep_by_hand(rng, x, matrix, bias, order, stale=False):
    """One sweep of many states at once; ``stale`` never corrects the fields within the sweep."""
    field = bias + x @ matrix
    for i in order:
        now = field[:, i] if stale else bias[i] + x @ matrix[i]
        x[:, i] = np.where(rng.random(len(x)) < sigmoid(now), 1, -1)


def exact_starts(rng, pi, n, count=STARTS):
    return np.ascontiguousarray(all_spins(n)[rng.choice(len(pi), size=count, p=pi)])


def p_value(x, pi):
    """Of Pearson's chi-square of states x against pi, states rarer than 20 expected pooled."""
    observed, expected = np.bincount(numbers(x), minlength=len(pi)), len(x) * pi
    rare = expected < 20
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    some = expected > 0
    if observed[~some].sum():
        return 0.0
    statistic = ((observed - expected)[some] ** 2 / expected[some]).sum()
    return chi2.sf(statistic, some.sum() - 1)

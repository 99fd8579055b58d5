"""Chains of discrete units: random states, states at data, hidden units, sweeps."""

import numpy as np


def random_states(block, n, rng):
    """Draw n independent uniform states of a block of discrete units."""
    return rng.choice(block.domain.states, size=(n, *block.shape))


def states_at(x, domain, rng):
    """Return rows of units as states; where two-state units are means, states are drawn.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> states_at(np.array([[-1.0, 1.0]]), pme.Spin(), np.random.default_rng(0))
    array([[-1,  1]], dtype=int8)
    """
    if domain.code_ndim:
        return x.astype(domain.dtype)
    low, high = domain.states.astype(float)
    return domain.states[(rng.random(x.shape) < (x - low) / (high - low)).astype(int)]


def draw_units(field, domain, rng):
    """Draw independent units from their fields, shape (N, *code_shape)."""
    if domain.code_ndim:
        return _choose(np.moveaxis(field, -1, 0), domain.states, rng)
    return _choose(np.multiply.outer(domain.states.astype(float), field), domain.states, rng)


def kernel_sweeps(graphs, x, beta, values, rng, n_sweeps):
    """Sweep over each state by the kernel of its form, in place."""
    numbers, sweep = graphs.sweeper
    tensors = numbers(np.asarray(beta, dtype=float), *values)
    for row in x:
        sweep(rng, row, tensors, None, n_sweeps)


def heat_bath_sweeps(x, states, energies, rng, n_sweeps):
    """Draw each unit of all chains given the others from the energies of its states, in place.

    For energies of any form. A unit costs one call for all states of all chains.

    Parameters
    ----------
    x : array, shape (N, *block)
    states : array, shape (k,)
        Of a unit.
    energies : callable
        ``energies(x)`` of rows of x, shape (N,).
    rng : numpy.random.Generator
    n_sweeps : int

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros((2, 3), dtype=int)
    >>> heat_bath_sweeps(
    ...     x, np.arange(3), lambda x: 99.0 * (x != 2).sum(axis=1), np.random.default_rng(0), 1
    ... )
    >>> x
    array([[2, 2, 2],
           [2, 2, 2]])
    """
    copies = np.repeat(x.reshape(1, len(x), -1), len(states), axis=0)
    for i in np.tile(np.arange(copies.shape[2]), n_sweeps):
        copies[:, :, i] = states[:, None]
        energy = energies(copies.reshape(-1, *x.shape[1:]))
        copies[:, :, i] = _choose(-energy.reshape(len(states), -1), states, rng)
    x[...] = copies[0].reshape(x.shape)


def _choose(log_weights, states, rng):
    """Draw a state for each entry behind the first axis, which counts states.

    The largest log-weight plus Gumbel noise is a draw from their softmax.
    """
    return states[np.argmax(log_weights + rng.gumbel(size=log_weights.shape), axis=0)]

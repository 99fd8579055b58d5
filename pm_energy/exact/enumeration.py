"""All states of a small energy: the oracle of the tests, and exact answers for small models."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pm_energy.compile import energy_function
from pm_energy.energy import single_block

LIMIT = 2.0**24  # states


def count_states(block):
    """Number of states of a block, as a float (it may be huge); infinite if continuous."""
    if block.domain.states is None:
        return np.inf
    with np.errstate(over="ignore"):
        return float(np.float_power(len(block.domain.states), math.prod(block.shape)))


def states_between(block, start, stop):
    """States number ``start`` to ``stop`` of a block, the first unit the slowest digit."""
    n, values = math.prod(block.shape), block.domain.states
    numbers = np.arange(start, stop)
    out = np.empty((len(numbers), n), dtype=values.dtype)
    for i in range(n - 1, -1, -1):
        numbers, digit = np.divmod(numbers, len(values))
        out[:, i] = values[digit]
    return out.reshape(-1, *block.shape)


def all_states(block):
    """All states of a :class:`~pm_energy.energy.Block`, shape (n_states**n, *shape).

    Raises
    ------
    ValueError
        If there are more than 2**24 of them.
    """
    total = _affordable(block)
    return states_between(block, 0, total)


def _affordable(block):
    total = count_states(block)
    if block.domain.states is None:
        raise ValueError("real-valued units have no list of states")
    if total > LIMIT:
        raise ValueError(f"{total:.3g} states are too many to list; the limit is {LIMIT:.3g}")
    return int(total)


def _chunks(energy):
    block = single_block(energy)
    total = _affordable(block)
    cost = energy_function(energy, total)
    size = max(1, min(2**16, 2**20 // math.prod(block.code_shape)))  # 8 MB of floats
    for start in range(0, total, size):
        states = states_between(block, start, min(start + size, total))
        yield states, np.broadcast_to(cost(states), len(states))


def log_partition(energy):
    """Log Z by adding up all states, in blocks of small memory (to 24 two-state units).

    Parameters
    ----------
    energy : Energy
        Over one block of discrete units, with numeric parameters.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are more than 2**24 states, or units are continuous.

    Examples
    --------
    >>> import pm_energy as pme
    >>> triangle = pme.Ising(graph=[[0, 1], [1, 2], [2, 0]], coupling=-1.0)
    >>> round(pme.exact.log_partition(triangle), 6)  # 6 e + 2 e^-3
    2.797846
    """
    return float(logsumexp([logsumexp(-cost) for _, cost in _chunks(energy)]))


@dataclass(frozen=True)
class Moments:
    """Exact expectations under a Boltzmann distribution.

    Attributes
    ----------
    log_partition : float
    energy : float
        Mean energy.
    energy_variance : float
        Its variance: the heat capacity at temperature one.
    mean : array, shape (*event_shape[, q])
        Mean of the encoded units: the marginals, for categories.
    second : array, shape (n, n)
        Mean products of the encoded units, ravelled.
    """

    log_partition: float
    energy: float
    energy_variance: float
    mean: np.ndarray
    second: np.ndarray


def moments(energy):
    """Exact moments by adding up all states.

    Parameters
    ----------
    energy : Energy
        As for :func:`log_partition`, with the same errors.

    Returns
    -------
    Moments

    Examples
    --------
    >>> import pm_energy as pme
    >>> pair = pme.exact.moments(pme.Ising(graph=[[0, 1]], coupling=1.0))
    >>> round(-pair.energy, 6), round(float(pair.second[0, 1]), 6)  # tanh(1)
    (0.761594, 0.761594)
    """
    block = single_block(energy)
    log_z = log_partition(energy)
    k = math.prod(block.code_shape)
    entropy, square, mean, second = 0.0, 0.0, np.zeros(k), np.zeros((k, k))
    for states, cost in _chunks(energy):
        information = cost + log_z  # free of the energy's offset, which would drown the variance
        p = np.exp(-information)
        code = _encode(states, block.domain).reshape(len(states), k)
        entropy += p @ information
        square += p @ information**2
        mean += p @ code
        second += code.T @ (p[:, None] * code)
    variance = square - entropy**2
    return Moments(
        log_z, float(entropy - log_z), float(variance), mean.reshape(block.code_shape), second
    )


def _encode(states, domain):
    """The domain's encoding, on arrays."""
    if domain.code_ndim:
        return (states[..., None] == domain.states).astype(float)
    return states.astype(float)


def distribution(energy):
    """All states and their probabilities.

    Parameters
    ----------
    energy : Energy
        As for :func:`log_partition`, with the same errors.

    Returns
    -------
    states : array, shape (n_states, *event_shape)
    probabilities : array, shape (n_states,)

    Examples
    --------
    >>> import pm_energy as pme
    >>> states, p = pme.exact.distribution(pme.Ising(graph=[[0, 1]], coupling=0.0))
    >>> states.tolist(), p.tolist()
    ([[-1, -1], [-1, 1], [1, -1], [1, 1]], [0.25, 0.25, 0.25, 0.25])
    """
    states = all_states(single_block(energy))
    cost = np.concatenate([cost for _, cost in _chunks(energy)])
    return states, np.exp(-cost - logsumexp(-cost))


def state_number(states, domain):
    """Number of each state in the order of :func:`all_states`.

    Parameters
    ----------
    states : array_like, shape (B, ...)
    domain : Domain

    Returns
    -------
    array of int, shape (B,)
    """
    flat = np.asarray(states).reshape(len(states), -1)
    digits = np.searchsorted(domain.states, flat)
    weights = len(domain.states) ** np.arange(flat.shape[1] - 1, -1, -1)
    return digits @ weights


def draw(energy, rng, size):
    """Draw exactly and independently from a table of all states.

    Parameters
    ----------
    energy : Energy
        As for :func:`log_partition`, with the same errors.
    rng : numpy.random.Generator
    size : int

    Returns
    -------
    array, shape (size, *event_shape)
    """
    states, p = distribution(energy)
    return states[rng.choice(len(states), size=size, p=p)]

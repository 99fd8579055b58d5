"""All states of a small energy: the oracle of the tests, and exact answers for small models."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pm_energy.compile import energy_values
from pm_energy.energy import blocks_of

LIMIT = 2.0**24  # states


def count_states(block):
    """Number of states of a block, as a float (it may be huge); infinite if continuous."""
    if block.domain.states is None:
        return np.inf
    return float(len(block.domain.states)) ** float(np.prod(block.shape))


def states_between(block, start, stop):
    """States number ``start`` to ``stop`` of a block, the first unit the slowest digit."""
    n, values = int(np.prod(block.shape)), block.domain.states
    numbers = np.arange(start, stop)
    out = np.empty((len(numbers), n), dtype=values.dtype)
    for i in range(n - 1, -1, -1):
        numbers, digit = np.divmod(numbers, len(values))
        out[:, i] = values[digit]
    return out.reshape(-1, *block.shape)


def all_states(block):
    """All states of a block, shape (n_states**n, *shape), in its dtype."""
    total = count_states(block)
    if total > LIMIT:
        raise ValueError(f"{total:.3g} states are too many to list; the limit is {LIMIT:.3g}")
    return states_between(block, 0, int(total))


def _checked_block(energy):
    blocks = blocks_of(energy)
    if len(blocks) != 1:
        raise ValueError("enumeration needs one block; use Marginal(energy) or Joined(energy)")
    total = count_states(blocks[0])
    if total > LIMIT:
        raise ValueError(
            f"{type(energy).__name__} has {total:.3g} states; enumeration goes to {LIMIT:.3g}"
        )
    return blocks[0], int(total)


def _chunks(energy, size=2**16):
    block, total = _checked_block(energy)
    for start in range(0, total, size):
        states = states_between(block, start, min(start + size, total))
        yield states, energy_values(energy, states)


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
    2.797882
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
    """Exact moments by adding up all states. Arguments and errors as :func:`log_partition`."""
    block, _ = _checked_block(energy)
    log_z = log_partition(energy)
    shape = block.code_shape
    first, square, k = 0.0, 0.0, int(np.prod(shape))
    mean, second = np.zeros(k), np.zeros((k, k))
    for states, cost in _chunks(energy):
        p = np.exp(-cost - log_z)
        code = _encode(states, block.domain).reshape(len(states), -1)
        first += p @ cost
        square += p @ cost**2
        mean += p @ code
        second += code.T @ (p[:, None] * code)
    return Moments(log_z, first, square - first**2, mean.reshape(shape), second)


def _encode(states, domain):
    """The domain's encoding, on arrays."""
    return domain.encode(states).eval() if domain.code_ndim else states.astype(float)


def distribution(energy):
    """All states and their probabilities.

    Returns
    -------
    states : array, shape (n_states, *event_shape)
    probabilities : array, shape (n_states,)
    """
    block, total = _checked_block(energy)
    states = all_states(block)
    cost = energy_values(energy, states)
    return states, np.exp(-cost - logsumexp(-cost))


def state_number(states, domain):
    """Number of each state in the order of :func:`all_states`, shape (B,)."""
    flat = np.asarray(states).reshape(len(states), -1)
    digits = np.searchsorted(domain.states, flat)
    weights = len(domain.states) ** np.arange(flat.shape[1] - 1, -1, -1)
    return digits @ weights


def draw(energy, rng, size):
    """Exact independent draws, shape (size, *event_shape), from a table of all states."""
    states, p = distribution(energy)
    return states[rng.choice(len(states), size=size, p=p)]

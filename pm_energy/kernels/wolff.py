"""Wolff's updates of ferromagnetic Ising and Potts models: one cluster at a time.

Why site weights fit in is explained in :mod:`pm_energy.kernels.cluster`.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.cluster import bond_thresholds, checked_weight
from pm_energy.kernels.random import next_word, seed_words, to_unit


def wolff(rng, states, indptr, indices, coupling_csr, log_weight=None, q=2, n_clusters=1):
    """Grow ``n_clusters`` clusters, one after the other, and offer each a new state, in place [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
    states : ndarray of int8 or int16, shape (n,)
        Values 0..q-1; overwritten. Spins -1 and +1 are states 0 and 1.
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each edge in both directions.
    coupling_csr : float or ndarray, shape (2m,)
        Log-weight gained by a bond whose ends agree, finite and >= 0.
    log_weight, q
        As for :func:`~pm_energy.kernels.cluster.swendsen_wang`.
        Without weights every offer is accepted.
    n_clusters : int

    Returns
    -------
    changes : int
        Sum of the sizes of the clusters that took a new state.

    Raises
    ------
    ValueError
        As :func:`~pm_energy.kernels.cluster.swendsen_wang`.

    References
    ----------
    .. [1] Wolff (1989), Physical Review Letters 62, 361-364.

    Examples
    --------
    >>> import numpy as np
    >>> states = np.zeros(2, np.int8)
    >>> wolff(np.random.default_rng(0), states, np.array([0, 1, 2]), np.array([1, 0]), 30.0)
    2
    >>> states
    array([1, 1], dtype=int8)
    """
    if len(indptr) != states.size + 1:
        raise ValueError(f"indptr must have n + 1 = {states.size + 1} entries; got {len(indptr)}.")
    weight = checked_weight(states, log_weight, q)
    threshold = bond_thresholds(coupling_csr, len(indices))
    return _wolff(seed_words(rng), states, indptr, indices, threshold, weight, q, n_clusters)


@njit(cache=True, error_model="numpy")
def _wolff(words, states, indptr, indices, threshold, weight, q, n_clusters):
    s0, s1, s2, s3 = words
    step = uint64(threshold.size > 1)
    row_step = uint64(weight.shape[0] > 1)
    cluster = np.empty(states.size + 1, np.uint32)  # its sites, in the order they were reached
    changes = 0
    for _ in range(n_clusters):
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        cluster[0] = uint64(to_unit(word) * states.size)
        old = states[cluster[0]]
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        new = states.dtype.type((old + 1 + int(to_unit(word) * (q - 1))) % q)
        states[cluster[0]] = new  # which marks a site as reached, too
        done, reached, gain = 0, 1, 0.0
        while done < reached:
            i = uint64(cluster[done])
            done += 1
            if weight.shape[0]:
                gain += weight[i * row_step, new] - weight[i * row_step, old]
            for k in range(uint64(indptr[i]), uint64(indptr[i + uint64(1)])):
                j = uint64(indices[k])
                word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
                joins = (states[j] == old) & ((word >> uint64(32)) < threshold[k * step])
                cluster[reached] = j  # kept only if the count moves on: no branch on chance
                states[j] = new if joins else states[j]
                reached += joins
        word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
        if gain >= 0.0 or to_unit(word) < np.exp(gain):
            changes += reached
        else:
            for k in range(reached):
                states[cluster[k]] = old
    return changes

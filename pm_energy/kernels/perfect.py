"""Exact draws from ferromagnets of any size: monotone coupling from the past.

Start the highest and the lowest state far in the past, at time -T, and move both by the same random
numbers. If they have met by time 0, every start would have led there, and so the state at time 0
is a draw from the stationary distribution itself, not from near it. If not, start from -2T, *with
the same random numbers* for the times -T..-1 that were tried already: fresh ones would favour
the numbers that bring the two together quickly. For the same reason the state is read at time 0,
not at the moment of meeting, and the algorithm is chosen from the parameters alone: to switch
when a run seems slow would drop the slow outcomes from the distribution.

Two monotone chains serve. The heat bath of single spins mixes in O(n log n) steps, in any field,
if ``(degree - 1) tanh(coupling / 2) < 1`` [2]_, and exponentially slowly in an ordered phase. The
bonds of the random-cluster (Fortuin-Kasteleyn) model, each drawn given the others, mix in
polynomial time at every temperature for Ising [3]_, but all fields must favour one state: a field
is then a bond to a ghost site in that state.

References
----------
.. [1] Propp & Wilson (1996), Random Structures and Algorithms 9, 223-252.
.. [2] Mossel & Sly (2013), Annals of Probability 41, 294-328.
.. [3] Guo & Jerrum (2018), Annals of Applied Probability 28, 1292-1313.
"""

import numpy as np
from numba import njit

from pm_energy.kernels.potts import relative_log_weight
from pm_energy.kernels.random import next_word, seed_words, to_unit
from pm_energy.kernels.random_cluster import bond_sweeps, cluster_roots

METHODS = ("auto", "heat-bath", "random-cluster")
MAX_SWEEPS = 2**16


def coupling_from_the_past_ising(
    rng, indptr, indices, coupling_csr, bias, max_sweeps=MAX_SWEEPS, method="auto"
):
    """Draw one exact state of a ferromagnetic Ising model.

    Parameters
    ----------
    rng : numpy.random.Generator
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each edge in both directions.
    coupling_csr : float or ndarray, shape (2m,)
        Couplings in log-odds form, 2 J / T, finite and >= 0, equal in both directions.
    bias : float or ndarray, shape (n,)
        Fields in log-odds form, 2 h / T, of any sign; an infinite one pins its spin.
    max_sweeps : int
        How far back to start at most.
    method : {"auto", "heat-bath", "random-cluster"}
        "auto" takes the heat bath where it is known to be fast or where fields of both
        signs leave no choice, and the random-cluster model otherwise.

    Returns
    -------
    spins : ndarray of int8, shape (n,)
        -1 and +1.

    Raises
    ------
    ValueError
        If a coupling is negative, a shape does not fit, or ``method`` does not fit the fields.
    RuntimeError
        If the states have not met when started ``max_sweeps`` ago.

    Examples
    --------
    >>> import numpy as np
    >>> bond = np.array([0, 1, 2]), np.array([1, 0])
    >>> coupling_from_the_past_ising(np.random.default_rng(0), *bond, 1.0, [99.0, 99.0])
    array([1, 1], dtype=int8)
    """
    n = len(indptr) - 1
    coupling = _checked_coupling(coupling_csr, len(indices))
    bias = np.array(np.broadcast_to(np.asarray(bias, dtype=np.float64), n))
    if np.isnan(bias).any():
        raise ValueError("bias must not be NaN.")
    one_sign = bool((bias >= 0).all() or (bias <= 0).all())
    if method not in METHODS or (method == "random-cluster" and not one_sign):
        raise ValueError(
            f"method must be one of {METHODS}, and not 'random-cluster' for fields of both signs; "
            f"got {method!r}."
        )
    if method == "auto":
        degree = np.diff(indptr).max(initial=0)
        is_fast = (degree - 1) * np.tanh(coupling.max(initial=0.0) / 2) < 1
        method = "heat-bath" if is_fast or not one_sign else "random-cluster"
    if method == "heat-bath":
        upper, lower = np.ones(n, np.int8), -np.ones(n, np.int8)
        _meet(rng, _heat_bath_sweeps, upper, lower, (indptr, indices, coupling, bias), max_sweeps)
        return upper
    source = np.repeat(np.arange(n), np.diff(indptr))
    once = source < indices
    edges = np.stack([source[once], np.asarray(indices)[once]], axis=1)
    favoured = int(bias.sum() > 0)
    states = _draw_by_bonds(rng, n, edges, coupling[once], 2, np.abs(bias), favoured, max_sweeps)
    return 2 * states - np.int8(1)


def coupling_from_the_past_potts(
    rng, n, edges, coupling, q, log_weight=None, max_sweeps=MAX_SWEEPS
):
    """Draw one exact state of a ferromagnetic Potts model.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Number of sites.
    edges : ndarray of int, shape (m, 2)
        Each bond once.
    coupling : float or ndarray, shape (m,)
        Log-weight gained by a bond whose ends agree, finite and >= 0.
    q : int
        Number of states, >= 2.
    log_weight : ndarray, shape (n, q) or (q,), optional
        Log-weights that favour one state, the same for all sites, by any amount >= 0 at each
        site, and do not tell the others apart.
    max_sweeps : int
        How far back to start at most.

    Returns
    -------
    states : ndarray of int8 (int16 if q > 127), shape (n,)
        Values 0..q-1.

    Raises
    ------
    ValueError
        If a coupling is negative, a shape does not fit, or ``log_weight`` is not as above.
    RuntimeError
        If the states have not met when started ``max_sweeps`` ago. For q > 4 in two
        dimensions the time explodes with n at the first-order transition.

    Examples
    --------
    >>> import numpy as np
    >>> chain = np.array([[0, 1], [1, 2]])
    >>> coupling_from_the_past_potts(np.random.default_rng(0), 3, chain, 0.5, 4, [0, 0, 99, 0])
    array([2, 2, 2], dtype=int8)
    """
    edges = np.asarray(edges).reshape(-1, 2)
    coupling = _checked_coupling(coupling, len(edges))
    field, favoured = np.zeros(n), 0
    if log_weight is not None:
        relative = np.broadcast_to(relative_log_weight(log_weight, n), (n, q))
        favoured = int(np.argmax((relative == 0).sum(axis=0)))
        others = np.delete(relative, favoured, axis=1)
        if (relative[:, favoured] < 0).any() or not np.allclose(others, others[:, :1], 0, 1e-12):
            raise ValueError(
                "log_weight must favour the same state at every site and be equal for the others; "
                "otherwise no monotone chain is known. For q = 2 use coupling_from_the_past_ising."
            )
        field = -others[:, 0]
    return _draw_by_bonds(rng, n, edges, coupling, q, field, favoured, max_sweeps)


def _checked_coupling(coupling, m):
    coupling = np.asarray(coupling, dtype=np.float64)
    if coupling.shape not in ((), (m,)):
        raise ValueError(f"coupling must be a number or of shape ({m},); got {coupling.shape}.")
    if not ((coupling >= 0) & (coupling < np.inf)).all():
        raise ValueError(
            "coupling must be finite and >= 0: only ferromagnets have monotone chains."
        )
    return np.full(m, coupling)


def _meet(rng, sweeps, upper, lower, parameters, max_sweeps):
    """Run ``sweeps`` from ever earlier starts until ``upper`` equals ``lower`` at time 0."""
    highest, lowest = upper.copy(), lower.copy()
    spans = [(1, seed_words(rng))]  # backwards from now: 1, 1, 2, 4, ... sweeps and random words
    while True:
        upper[:], lower[:] = highest, lowest
        met = False
        for length, words in reversed(spans):
            met = sweeps(words, length, met, upper, lower, *parameters)
        if met:
            return
        start = sum(length for length, _ in spans)
        if 2 * start > max_sweeps:
            raise RuntimeError(
                f"The highest and lowest state, started {start} sweeps ago, have not met. Raise "
                f"max_sweeps (now {max_sweeps}) or weaken the coupling. Do not repeat the call "
                "until it succeeds: that would keep the quick draws only, which are biased."
            )
        spans.append((start, seed_words(rng)))


@njit(cache=True, error_model="numpy")
def _heat_bath_sweeps(words, n_sweeps, met, upper, lower, indptr, indices, coupling, bias):
    """Move both states; return whether they are equal. Once they are, only one is computed.

    Rounding keeps order: sums taken term by term in the same order are monotone in their terms.
    """
    s0, s1, s2, s3 = words
    for _ in range(n_sweeps):
        differences = 0
        for i in range(upper.size):
            high = low = bias[i]
            for k in range(indptr[i], indptr[i + 1]):
                high += coupling[k] * upper[indices[k]]
                if not met:
                    low += coupling[k] * lower[indices[k]]
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            u = to_unit(word)
            logistic = np.log(u / (1.0 - u))
            upper[i] = 1 if logistic < high else -1
            if not met:
                lower[i] = 1 if logistic < low else -1
                differences += upper[i] != lower[i]
        met = differences == 0
    if met:
        lower[:] = upper
    return met


def _draw_by_bonds(rng, n, edges, coupling, q, field, favoured, max_sweeps):
    """Draw bonds from the past, then a state for each of their clusters."""
    tied = np.flatnonzero(field)
    ghost = np.stack([tied, np.full(tied.size, n)], axis=1)
    ends = np.concatenate([edges, ghost]).astype(np.int64)
    p = -np.expm1(-np.concatenate([coupling, field[tied]]))
    bridge = p / (p + (1.0 - p) * q)  # what is left of p where the bond would join two clusters
    upper, lower = np.ones(p.size, np.bool_), np.zeros(p.size, np.bool_)
    _meet(rng, bond_sweeps, upper, lower, (ends, n + 1, p, bridge), max_sweeps)
    root = cluster_roots(ends[upper], n + 1)
    colour = rng.integers(q, size=n + 1)
    colour[root[n]] = favoured
    return colour[root[:n]].astype(np.int8 if q <= 127 else np.int16)

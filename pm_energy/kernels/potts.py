"""Single-site updates of Potts models on any graph, in CSR form.

The target is ``log p(x) = sum_edges coupling [x_i == x_j] + sum_i log_weight[i, x_i] + const``. The
weights of a site's states, given its neighbours, are laid end to end; one of two rules chooses:

``"heat-bath"``
    the new state is the one that a uniform point of ``[0, total)`` falls in.
``"suwa-todo"``
    bend ``[0, total)`` into a circle, take a uniform point of the *old* state's arc and carry it
    forward by the length of the widest arc. Each arc is only shifted, so the measure is kept
    (balance), though flows are one-way (no detailed balance); an arc meets itself again only if it
    is longer than half of the circle, so the old state is left as often as balance permits.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import next_word, seed_words, to_unit

UPDATES = ("heat-bath", "suwa-todo")
# Up to this |coupling| x degree, products of exponentials are as good as sums of logs: a weight
# that underflows (below e^-745) belongs to a state of probability below e^(-745 + 2 x 300).
SAFE_STRENGTH = 300.0
UNROLLED = 16  # up to this number of states, loops over them are compiled for each number


def potts_sweeps(
    rng,
    states,
    indptr,
    indices,
    coupling_csr,
    log_weight,
    order=None,
    n_sweeps=1,
    update="heat-bath",
):
    """Resample every site ``n_sweeps`` times, in place, given its neighbours.

    Parameters
    ----------
    rng : numpy.random.Generator
    states : ndarray of int8 or int16, shape (n,)
        Values 0..q-1; overwritten.
    indptr, indices : ndarray of int, shapes (n + 1,) and (2m,)
        The graph in CSR form, each edge in both directions.
    coupling_csr : float or ndarray, shape (2m,)
        Log-weight gained by an edge whose ends agree, of either sign; one number is faster.
    log_weight : ndarray, shape (n, q) or (q,)
        Log-weight of each state at each site, or one row for all sites; ``-inf`` forbids a state.
    order : ndarray of int, optional
        Sites in the order of their visits (default 0..n-1). Faster if successive sites are no
        neighbours, as in a colouring: a processor then overlaps their updates.
    n_sweeps : int
    update : {"heat-bath", "suwa-todo"}
        Suwa-Todo [1]_ decorrelates faster; see the module's text.

    Returns
    -------
    changes : int
        How often a site took a new state.

    Raises
    ------
    ValueError
        If a shape, a state, a coupling, a log-weight or ``update`` is not as above.

    References
    ----------
    .. [1] Suwa & Todo (2010), Physical Review Letters 105, 120603.

    Examples
    --------
    >>> import numpy as np
    >>> states = np.zeros(2, np.int8)  # one bond, strong; its second end is pinned to state 2
    >>> pin = np.array([[0.0, 0.0, 0.0], [-np.inf, -np.inf, 0.0]])
    >>> graph = np.array([0, 1, 2]), np.array([1, 0])
    >>> potts_sweeps(np.random.default_rng(0), states, *graph, 50.0, pin, n_sweeps=2) > 1
    True
    >>> states
    array([2, 2], dtype=int8)
    """
    n = states.size
    weight, suwa_todo = weights_and_rule(states, log_weight, update)
    coupling = np.asarray(coupling_csr, dtype=np.float64)
    if len(indptr) != n + 1 or coupling.shape not in ((), (len(indices),)):
        raise ValueError(
            f"indptr must have n + 1 = {n + 1} entries and coupling_csr be a number or one for "
            f"each of the {len(indices)} CSR entries; got {len(indptr)} and {coupling.shape}."
        )
    if order is not None and np.shape(order) != (n,):
        raise ValueError(f"order must name each of the {n} sites once; got {np.shape(order)}.")
    order = np.empty(0, np.int64) if order is None else np.asarray(order)
    degree, q = _max_degree(indptr), weight.shape[1]
    uniform = coupling.ndim == 0 and degree < 2 ** (64 // q)
    table = coupling * np.arange(degree + 1.0) if uniform else np.full(len(indices), coupling)
    in_logs = in_logs_or_exponentiate(coupling, degree, table, weight)
    rule = n_sweeps, suwa_todo, in_logs, colour_range(q)
    words = seed_words(rng)
    return _graph_sweeps(words, states, indptr, indices, table, uniform, weight, order, *rule)


def check_states(states, q):
    """Raise a ValueError unless ``states`` is a flat int8 or int16 array of 0..q-1."""
    kind = getattr(states, "dtype", None)
    if kind not in (np.int8, np.int16) or states.ndim != 1 or not states.flags.c_contiguous:
        raise ValueError("states must be a flat, contiguous array of int8 or int16.")
    if states.size and (states.min() < 0 or states.max() >= q):
        raise ValueError(f"states must lie in 0..{q - 1}; got {states.min()}..{states.max()}.")


def relative_log_weight(log_weight, n):
    """Return ``log_weight`` less the maximum of each row, as (n, q) or (1, q), checked."""
    rows = np.ascontiguousarray(np.atleast_2d(log_weight), dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] not in (1, n) or rows.shape[1] < 2:
        raise ValueError(
            f"log_weight must have shape ({n}, q) or (q,) with q >= 2; got {np.shape(log_weight)}."
        )
    relative, is_valid = _subtract_row_max(rows, colour_range(rows.shape[1]))
    if not is_valid:
        raise ValueError(
            "log_weight must be below +inf, and above -inf for some state of each site."
        )
    return relative


def colour_range(q):
    """Return something of length q: a tuple, whose length the compiler knows, unless q is large."""
    return (0,) * q if q <= UNROLLED else np.zeros(q, np.int8)


def weights_and_rule(states, log_weight, update):
    """Return relative log-weights, and whether the rule is that of Suwa and Todo; checked."""
    weight = relative_log_weight(log_weight, states.size)
    check_states(states, weight.shape[1])
    if update not in UPDATES:
        raise ValueError(f"update must be one of {UPDATES}; got {update!r}.")
    return weight, update == "suwa-todo"


def in_logs_or_exponentiate(coupling, degree, table, weight):
    """Return True if the sweep must work in logs; otherwise exponentiate both arrays in place."""
    strength = max(coupling.max(initial=0.0), -coupling.min(initial=0.0)) * degree
    if not strength < np.inf:  # so written that NaN is caught too
        raise ValueError("coupling must be finite; forbid a state by log_weight = -inf instead.")
    if strength > SAFE_STRENGTH:
        return True
    np.exp(table, out=table)  # NumPy's exp is SIMD: .6 ns, where one call at a time takes 5
    np.exp(weight, out=weight)
    return False


@njit(cache=True)
def _max_degree(indptr):
    degree = 0
    for i in range(indptr.size - 1):
        degree = max(degree, indptr[i + 1] - indptr[i])
    return degree


@njit(cache=True)
def _subtract_row_max(rows, colours):
    """Return each row less its maximum, and whether they all can be log-probabilities.

    Memory comes from Numba: NumPy asks for huge pages, whose first use can take 80 ns a site.
    """
    out = np.empty(rows.shape)
    is_valid = True
    for i in range(rows.shape[0]):
        top = rows[i, 0]
        for c in range(1, len(colours)):
            top = max(top, rows[i, c])
        for c in range(len(colours)):
            out[i, c] = rows[i, c] - top
            is_valid &= out[i, c] <= 0.0  # false for NaN, which -inf - -inf and inf - inf are too
    return out, is_valid


# Helpers are inlined by LLVM (forceinline), not by Numba (inline="always"), which leaves an atomic
# reference count on each array argument at each call: 25 ns a site. Indices are unsigned where
# they can be: a signed one is tested for Python's counting from the end, 3 ns a site.


@inner(forceinline=True, error_model="numpy")
def _accumulate(cumulative, colours, in_logs):
    """Turn weights, or log-weights, into cumulative weights in place; return the last."""
    total = 0.0
    if in_logs:
        top = cumulative[0]
        for c in range(1, len(colours)):
            top = max(top, cumulative[c])
        for c in range(len(colours)):
            cumulative[c] = np.exp(cumulative[c] - top)
    for c in range(len(colours)):
        total += cumulative[c]
        cumulative[c] = total
    return total


@njit(forceinline=True, error_model="numpy")
def accumulate_counts(cumulative, weight, row, table, packed, colours, in_logs):
    """Do the same for a site whose neighbours' states are counted in the bits of ``packed``."""
    width = uint64(64 // len(colours))
    mask = (uint64(1) << width) - uint64(1)
    for c in range(uint64(len(colours))):
        gain = table[packed & mask]
        packed >>= width
        cumulative[c] = weight[row, c] + gain if in_logs else weight[row, c] * gain
    return _accumulate(cumulative, colours, in_logs)


@njit(forceinline=True, error_model="numpy")
def choose(cumulative, total, u, old, colours, suwa):
    """Return the state whose arc holds the point; a state of zero weight has an empty arc."""
    if suwa:
        widest = cumulative[0]
        for c in range(1, len(colours)):
            widest = max(widest, cumulative[c] - cumulative[c - 1])
        left = cumulative[old - 1] if old > 0 else 0.0
        point = left + u * (cumulative[old] - left) + widest
        if point >= total:
            point -= total
        if point >= total:  # by rounding only, where one arc is the whole circle
            point = 0.0
    else:
        point = u * total
    new = 0
    for c in range(len(colours) - 1):  # no early exit: a branch on chance costs more than the adds
        new += point >= cumulative[c]
    return new


@njit(cache=True, error_model="numpy")
def _graph_sweeps(
    words, states, indptr, indices, table, uniform, weight, order, n_sweeps, suwa, in_logs, colours
):
    s0, s1, s2, s3 = words
    # The q counts share one register, 64 // q bits each: counters in memory would make each
    # neighbour wait for the store of the one before.
    width = uint64(64 // len(colours))
    cumulative = np.empty(len(colours))
    step = uint64(weight.shape[0] > 1)
    changes = 0
    for _ in range(n_sweeps):
        for t in range(states.size):
            i = uint64(order[t] if order.size else t)
            neighbours = range(uint64(indptr[i]), uint64(indptr[i + uint64(1)]))
            if uniform:
                packed = uint64(0)
                for k in neighbours:
                    packed += uint64(1) << (width * uint64(states[uint64(indices[k])]))
                total = accumulate_counts(
                    cumulative, weight, i * step, table, packed, colours, in_logs
                )
            else:
                for c in range(len(colours)):
                    cumulative[c] = weight[i * step, c]
                for k in neighbours:
                    agree = uint64(states[uint64(indices[k])])
                    cumulative[agree] = (
                        cumulative[agree] + table[k] if in_logs else cumulative[agree] * table[k]
                    )
                total = _accumulate(cumulative, colours, in_logs)
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            new = choose(cumulative, total, to_unit(word), states[i], colours, suwa)
            changes += new != states[i]
            states[i] = new
    return changes

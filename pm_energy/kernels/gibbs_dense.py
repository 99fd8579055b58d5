"""Single-spin heat-bath sweeps with a dense coupling matrix.

The log-odds of all spins are carried along: a visit costs one comparison, and only a flip costs a
pass over a row of the matrix. Memory traffic is what limits a flip: keep the couplings in float32
where they allow it, and start their rows on cache lines (:func:`aligned`).
"""

import numpy as np
from numba import njit

from pm_energy.kernels.heat_bath import check_spins, turns_up
from pm_energy.kernels.random import next_word, seed_words

_CACHE_LINE = 64  # bytes


def dense_sweeps(rng, spins, field, coupling, n_sweeps=1):
    r"""Resample every spin ``n_sweeps`` times, in place, given all others.

    Parameters
    ----------
    rng : numpy.random.Generator
    spins : ndarray of int8, shape (n,)
        Values -1 and +1; overwritten.
    field : ndarray of float64 or float32, shape (n,)
        Log-odds of +1 of each spin, ``bias + coupling @ spins`` (dimensionless); kept up to date.
    coupling : ndarray of float64 or float32, shape (n, n)
        Change of the log-odds of one spin per unit of another: symmetric, with zero diagonal (not
        checked: that would cost more than a sweep).
    n_sweeps : int

    Returns
    -------
    flips : int
        How many spins changed sign, counted in each sweep.

    Raises
    ------
    ValueError
        If an array has another type or shape.

    Notes
    -----
    Each flip rounds each entry of ``field`` once, so that K flips move it by at most
    :math:`K \epsilon \max |field|`, with :math:`\epsilon` = 1.1e-16 in float64 and 6e-8 in float32
    (and in fact by about :math:`\sqrt K` instead of K). In float64 a thousand million flips stay
    within 1e-7 of the largest; float32 is a fifth faster and worse than that after two flips. To
    start afresh, overwrite the field by :func:`dense_field`.

    Examples
    --------
    >>> import numpy as np
    >>> coupling = np.array([[0.0, 80.0], [80.0, 0.0]])  # the two spins all but always agree
    >>> spins = np.array([1, -1], dtype=np.int8)
    >>> field = dense_field(spins, coupling, np.zeros(2))
    >>> dense_sweeps(np.random.default_rng(0), spins, field, coupling)
    1
    >>> spins, field
    (array([-1, -1], dtype=int8), array([-80., -80.]))
    """
    check_spins(spins)
    n = spins.size
    floats = (np.float32, np.float64)
    if field.shape != (n,) or field.dtype not in floats or not field.flags.c_contiguous:
        raise ValueError(f"field must be a contiguous float array of shape ({n},)")
    if coupling.shape != (n, n) or coupling.dtype not in floats or not coupling.flags.c_contiguous:
        raise ValueError(f"coupling must be a contiguous float array of shape ({n}, {n})")
    return dense_loop(seed_words(rng), spins, field, coupling, 1.0, n_sweeps)


@njit(cache=True, error_model="numpy")
def dense_loop(words, spins, field, coupling, beta, n_sweeps):
    """Sweep at inverse temperature ``beta``, in place; also for use in other jitted loops.

    Parameters
    ----------
    words : ndarray of uint64, shape (4,)
        State of the random stream, from :func:`pm_energy.kernels.random.seed_words`; advanced.
    spins, field, coupling, n_sweeps
        As for :func:`dense_sweeps`; ``field`` and ``coupling`` stay those of ``beta = 1``.
    beta : float

    Returns
    -------
    flips : int
    """
    s0, s1, s2, s3 = words
    flips = 0
    for _ in range(n_sweeps):
        for i in range(spins.size):
            word, s0, s1, s2, s3 = next_word(s0, s1, s2, s3)
            new = np.int8(2 * np.int8(turns_up(word, beta * field[i])) - 1)
            if new != spins[i]:
                spins[i] = new
                row = coupling[i]
                change = row.dtype.type(2 * new)  # a power of two: the product is exact
                for j in range(row.size):
                    field[j] += change * row[j]
                flips += 1
    words[0], words[1], words[2], words[3] = s0, s1, s2, s3
    return flips


@njit(cache=True, fastmath={"reassoc", "contract"})
def dense_field(spins, coupling, bias):
    """Return ``bias + coupling @ spins``, summed in float64 whatever the coupling's type.

    Parameters
    ----------
    spins : ndarray of int8, shape (n,)
    coupling : ndarray, shape (n, n)
    bias : ndarray, shape (n,)

    Returns
    -------
    field : ndarray of float64, shape (n,)
    """
    field = np.empty(spins.size)
    for i in range(spins.size):
        total = 0.0
        row = coupling[i]
        for j in range(row.size):
            total += np.float64(row[j]) * spins[j]
        field[i] = bias[i] + total
    return field


def aligned(matrix):
    """Return a copy of ``matrix`` that starts on a cache line: sweeps are a quarter faster.

    Parameters
    ----------
    matrix : ndarray

    Returns
    -------
    ndarray
        Equal to ``matrix``, C-contiguous. (NumPy itself aligns to 16 bytes only.)

    Examples
    --------
    >>> import numpy as np
    >>> aligned(np.eye(3)).ctypes.data % 64
    0
    """
    buffer = np.empty(matrix.nbytes + _CACHE_LINE, np.uint8)
    start = -buffer.ctypes.data % _CACHE_LINE
    copy = buffer[start : start + matrix.nbytes].view(matrix.dtype).reshape(matrix.shape)
    copy[...] = matrix
    return copy

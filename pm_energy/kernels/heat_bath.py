"""The heat-bath decision, +1 with probability sigmoid(log-odds), without an exponential.

Cut [0, 1) into 1,024 cells and tabulate the log-odds of their edges. The uniform number u falls in
one cell; whether it lies below sigmoid(z) is then plain from comparing z with the cell's two edges,
except in the one cell that holds sigmoid(z) itself. Only there, once in 1,024 draws, is the
exponential needed. The outcome is that of ``u < sigmoid(z)`` with a 53-bit u, not an approximation
of it, at half of the time.
"""

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import to_unit

_CELL_BITS = 10
_EDGES = np.arange(2**_CELL_BITS + 1) / 2**_CELL_BITS
with np.errstate(divide="ignore"):  # the outer edges are -inf and inf
    _LOG_ODDS = np.log(_EDGES) - np.log1p(-_EDGES)


@inner(cache=True, error_model="numpy")
def _is_below(word, log_odds):
    return to_unit(word) * (1.0 + np.exp(-log_odds)) < 1.0


@njit(forceinline=True)
def turns_up(word, log_odds):
    """Return True with probability ``sigmoid(log_odds)``, given a random 64-bit word.

    Parameters
    ----------
    word : uint64
    log_odds : float
        May be infinite: the outcome is then certain.

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> half = np.uint64(2**63)  # u = 1/2
    >>> turns_up(half, 0.1), turns_up(half, -0.1), turns_up(half, np.inf)
    (True, False, True)
    """
    cell = word >> uint64(64 - _CELL_BITS)
    up = log_odds >= _LOG_ODDS[cell + uint64(1)]
    # One comparison of two flags, not "and": chance must not steer a branch that is often taken.
    if up != (log_odds > _LOG_ODDS[cell]):
        up = _is_below(word, log_odds)
    return up


def check_spins(spins):
    """Raise a ValueError unless ``spins`` is a flat array that a kernel can update in place."""
    if (
        getattr(spins, "dtype", None) != np.int8
        or spins.ndim != 1
        or not (spins.flags.c_contiguous and spins.flags.writeable)
    ):
        raise ValueError(
            "spins must be a flat, contiguous, writeable int8 array of -1 and +1; "
            "convert it by np.ascontiguousarray(spins, dtype=np.int8).ravel()"
        )

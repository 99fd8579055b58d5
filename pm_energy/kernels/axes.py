"""The axes of a hypercubic lattice whose kernels find neighbours by index arithmetic."""

import math
from functools import lru_cache

import numpy as np


def lattice_axes(shape, periodic, n):
    """Check the axes of a lattice of ``n`` sites; return those that have bonds.

    Parameters
    ----------
    shape : tuple of int
        Lengths of the axes, sites in C order.
    periodic : bool or sequence of bool
        Whether each axis closes on itself.
    n : int

    Returns
    -------
    lengths, strides : ndarray of int64, shape (n_axes,)
        Axes of length 1 are left out, but a lone site is a row of its own.
    wraps : ndarray of bool, shape (n_axes,)
        Axes of length 2 do not wrap: a pair of sites has one bond.

    Raises
    ------
    ValueError
        If the lengths do not multiply to ``n``, or the flags are not one or one for each axis.

    Examples
    --------
    >>> lattice_axes((4, 1, 2, 3), True, 24)
    (array([4, 2, 3]), array([6, 3, 1]), array([ True, False,  True]))
    """
    return _lattice_axes(tuple(shape), periodic if np.ndim(periodic) == 0 else tuple(periodic), n)


@lru_cache(maxsize=64)  # half of the time of a call on a small lattice
def _lattice_axes(shape, periodic, n):
    if not shape or min(shape) < 1 or math.prod(shape) != n:
        raise ValueError(f"shape must multiply to the number of sites, {n}; got {shape}")
    flags = np.asarray(periodic, dtype=bool)
    if flags.shape not in ((), (len(shape),)):
        raise ValueError(f"periodic must be one flag or one for each of {len(shape)} axes")
    lengths, flags = np.array(shape, dtype=np.int64), np.broadcast_to(flags, len(shape))
    has_bonds = lengths > 1
    if not has_bonds.any():
        has_bonds[-1] = True
    lengths, flags = lengths[has_bonds], flags[has_bonds]
    strides = np.append(np.cumprod(lengths[:0:-1])[::-1], 1)
    return lengths, strides, flags & (lengths > 2)

"""Sixty-four replicas in a word: bit b of word w at a site is the spin of replica 64 w + b.

A set bit is spin +1. A logical operation on words then acts on 64 replicas at once, and on 512 with
vectors of eight words (:mod:`pm_energy.kernels.lanes_vector`).
"""

import numpy as np

from pm_energy.kernels.lanes_vector import empty_on_cache_lines

WORD = 64  # replicas
COLUMN = 8  # words of a vector: 512 replicas


def pack_spins(spins):
    """Turn spins into words.

    Parameters
    ----------
    spins : ndarray of int, shape (n_replicas, n)
        Values -1 and +1; ``n_replicas`` a multiple of 64.

    Returns
    -------
    words : ndarray of uint64, shape (n, n_replicas / 64)

    Raises
    ------
    ValueError
        If the array has another shape or other values.

    Examples
    --------
    >>> import numpy as np
    >>> spins = np.ones((64, 2), np.int8)
    >>> spins[1] = -1  # both spins of the second replica
    >>> [hex(word) for word in pack_spins(spins)[:, 0]]
    ['0xfffffffffffffffd', '0xfffffffffffffffd']
    """
    spins = np.asarray(spins)
    if spins.ndim != 2 or spins.shape[0] == 0 or spins.shape[0] % WORD:
        raise ValueError(
            f"spins must have shape (n_replicas, n), n_replicas a multiple of {WORD}; "
            f"got {spins.shape}"
        )
    if not (np.abs(spins) == 1).all():
        raise ValueError("spins must be -1 or +1")
    bytes_ = np.packbits(spins.T > 0, axis=1, bitorder="little")
    return np.ascontiguousarray(bytes_).view("<u8").astype(np.uint64, copy=False)


def unpack_spins(words):
    """Turn words back into spins.

    Parameters
    ----------
    words : ndarray of uint64, shape (n, n_words)

    Returns
    -------
    spins : ndarray of int8, shape (64 * n_words, n)

    Raises
    ------
    ValueError
        If ``words`` is no matrix of uint64.

    Examples
    --------
    >>> import numpy as np
    >>> unpack_spins(np.array([[5], [2]], dtype=np.uint64))[:4]
    array([[ 1, -1],
           [-1,  1],
           [ 1, -1],
           [-1, -1]], dtype=int8)
    """
    check_words(words)
    bytes_ = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    bits = np.unpackbits(bytes_, axis=1, bitorder="little")
    return np.ascontiguousarray((2 * bits.view(np.int8) - 1).T)


def check_words(words, n=None):
    """Raise a ValueError unless ``words`` is a matrix of uint64, with ``n`` rows if n is given."""
    if getattr(words, "dtype", None) != np.uint64 or words.ndim != 2 or 0 in words.shape:
        raise ValueError(
            "words must be a uint64 array of shape (n, n_words); make one with pack_spins"
        )
    if n is not None and len(words) != n:
        raise ValueError(f"words must have a row for each of {n} sites; got {len(words)} rows")


def to_rows(words):
    """Copy words to rows that vectors can be loaded from.

    A row starts on a cache line and has an odd number of lines: rows a power of two apart would
    share few places of the cache. The last line of each is spare, so that a vector may start at any
    word of the row.

    Returns
    -------
    rows : ndarray of uint64, shape (n, 8 * odd)
        The words in front, then zeros.
    """
    n, n_words = words.shape
    rows = empty_on_cache_lines((n, COLUMN * ((n_columns(n_words) + 1) | 1)), np.uint64)
    rows[:, :n_words] = words
    rows[:, n_words:] = 0
    return rows


def n_columns(n_words):
    """How many vectors hold the words of a site."""
    return -(-n_words // COLUMN)


def per_word(name, values, n_words):
    """Broadcast numbers to one for each word; raise a ValueError that names the argument."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape not in ((), (n_words,)) or not (values >= 0).all():
        raise ValueError(
            f"{name} must be one number >= 0, or one for each of {n_words} words; got {values}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {values}")
    return np.ascontiguousarray(np.broadcast_to(values, (n_words,)))

r"""Annealed importance sampling of RBMs with units in {0, 1}, for their log partition function.

A run goes through the distributions

.. math:: p_\beta(v, h) \propto e^{(1 - \beta) a_0 \cdot v + \beta (a \cdot v + b \cdot h + v W h)}

by block Gibbs, from beta = 0, where all units are independent, to 1. Its weight is a product of
ratios of :math:`p_\beta(v)`, with the hidden units summed out, so that they add no noise. Runs go
through the ladder in blocks that fit the cache, with the products of :mod:`pm_energy.kernels.rbm`.
"""

import numpy as np
from numba import int64, njit, uint64

from pm_energy.kernels.arguments import finite_array, ladder
from pm_energy.kernels.bernoulli import draw_units
from pm_energy.kernels.binary_product import VECTOR_BYTES, aligned_zeros
from pm_energy.kernels.inner import inner
from pm_energy.kernels.random import LANES, seed_words
from pm_energy.kernels.rbm import tile_rbm
from pm_energy.kernels.rbm_layers import new_layer, new_tables, read_bits, update_fields, write_bits
from pm_energy.kernels.softplus import add_softplus_change

BLOCK = 256  # runs side by side


def rbm_base_log_partition(base_bias, n_hidden):
    """Log Z of the base: visible units with the given log-odds, hidden units with even odds.

    Parameters
    ----------
    base_bias : array_like, shape (n_v,)
    n_hidden : int

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> round(rbm_base_log_partition(np.zeros(3), 2), 4)  # 5 log(2)
    3.4657
    """
    return float(np.logaddexp(0.0, base_bias, dtype=np.float64).sum() + n_hidden * np.log(2.0))


def rbm_ais(rng, weights, visible_bias, hidden_bias, base_bias, n_chains, betas):
    r"""Anneal from the base to the RBM, and weigh the runs.

    Parameters
    ----------
    rng : numpy.random.Generator
    weights : ndarray of float32 or float64, shape (n_v, n_h)
        Its dtype is that of the sampling.
    visible_bias : array_like, shape (n_v,)
    hidden_bias : array_like, shape (n_h,)
    base_bias : array_like, shape (n_v,)
        Log-odds a0 of the visible units at beta = 0: those of the data's means, or zeros.
    n_chains : int
        Number of independent runs.
    betas : array_like, shape (K + 1,)
        Increasing from 0 to 1. Rounded to the dtype of the weights.

    Returns
    -------
    works : ndarray of float64, shape (n_chains,)
        -log(weight) of each run: :math:`\langle e^{-W} \rangle = Z / Z_0`, with Z_0 from
        :func:`rbm_base_log_partition`.
    states : ndarray, shape (n_chains, n_v), dtype of ``weights``
        Visible states at the end, which :math:`e^{-W}` weighs for the RBM.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, values are not finite or the ladder is none.

    Notes
    -----
    Weights are accumulated in float64 in either dtype. In float32 the rounding of fields and
    factors moves a work of 1,000 steps of 500 hidden units by some 1e-5.

    References
    ----------
    .. [1] Neal (2001), Statistics and Computing 11, 125-139.
    .. [2] Salakhutdinov & Murray (2008), ICML, 872-879.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> weights, zeros = np.full((3, 2), 0.5), np.zeros(3)
    >>> ladder = np.linspace(0, 1, 101)
    >>> works, states = rbm_ais(rng, weights, zeros, zeros[:2], zeros, 1000, ladder)
    >>> log_z = rbm_base_log_partition(zeros, 2) + np.log(np.exp(-works).mean())
    >>> round(float(log_z), 1)  # exactly 4.5703
    4.6
    """
    parameters, base = _parameters(weights, visible_bias, hidden_bias, base_bias)
    if n_chains < 1:
        raise ValueError(f"n_chains must be at least 1, got {n_chains}")
    betas = ladder(betas)
    p_on = np.exp(-np.logaddexp(0.0, -base.astype(np.float64)))
    states = (rng.random((n_chains, len(base))) < p_on).astype(base.dtype)
    return -_anneal(rng, states, *parameters, base, betas), states


def rbm_ais_reverse(rng, weights, visible_bias, hidden_bias, base_bias, states, betas):
    r"""Anneal from the RBM down to the base: the reverse of :func:`rbm_ais`.

    Parameters
    ----------
    rng, weights, visible_bias, hidden_bias, base_bias, betas
        As for :func:`rbm_ais`; betas increase here too.
    states : array_like, shape (n_chains, n_v)
        Zeros and ones: draws of the RBM's visible layer.

    Returns
    -------
    works : ndarray of float64, shape (n_chains,)
        In the sign of forward works: :math:`\langle e^{W} \rangle = Z_0 / Z` if the states are
        exact draws.

    Raises
    ------
    ValueError
        As :func:`rbm_ais`, or if states are not zeros and ones.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> weights, bias = np.zeros((2, 2)), np.array([1.0, -1.0])
    >>> states = np.zeros((3, 2))
    >>> rbm_ais_reverse(rng, weights, bias, [0.0, 0.0], bias, states, [0.0, 0.5, 1.0])
    array([0., 0., 0.])
    """
    parameters, base = _parameters(weights, visible_bias, hidden_bias, base_bias)
    states = finite_array("states", states, (None, len(base)), base.dtype).copy()
    return _anneal(rng, states, *parameters, base, ladder(betas)[::-1])


def _parameters(weights, visible_bias, hidden_bias, base_bias):
    tiles = tile_rbm(weights)
    dtype = tiles.to_hidden.dtype
    finite_array("weights", weights, (None, None))
    n_v, n_h = tiles.shape
    a = finite_array("visible_bias", visible_bias, (n_v,), dtype)
    b = finite_array("hidden_bias", hidden_bias, (n_h,), dtype)
    return (tiles, a, b), finite_array("base_bias", base_bias, (n_v,), dtype)


def _anneal(rng, v, tiles, a, b, base, betas):
    """Take v, in place, through the ladder; return the sums of log p_next(v) / p_this(v)."""
    betas = betas.astype(v.dtype).astype(np.float64)
    log_weights = np.zeros(len(v))
    for start in range(0, len(v), BLOCK):
        part = slice(start, start + BLOCK)
        words = seed_words(rng, LANES)
        if not _anneal_block(words, v[part], *tiles[:2], a, b, base, betas, log_weights[part]):
            raise ValueError("states must hold zeros and ones only")
    return log_weights


@njit(cache=True)
def _anneal_block(words, v, to_hidden, to_visible, a, b, base, betas, log_weights):
    """Return whether v is zeros and ones."""
    batch, n_v, n_h = len(v), a.size, b.size
    visible = new_layer(v, a.reshape(1, n_v))
    hidden = new_layer(np.empty((batch, n_h), v.dtype), b.reshape(1, n_h))
    if not read_bits(v, v.dtype.type(0), visible.states):
        return False
    tile = VECTOR_BYTES // v.itemsize
    tables = new_tables(v)
    log_odds = aligned_zeros(max(visible.fields.size, hidden.fields.size), v)
    v_flips = int64(0)
    v_age = h_age = int64(-1)
    for k in range(betas.size - 1):
        old, new = betas[k], betas[k + 1]
        h_age = update_fields(hidden, visible, v_flips, h_age, to_hidden, tables, batch)
        _add_field(log_weights, visible.states, new - old, a, base)
        add_softplus_change(log_weights, hidden.fields, n_h, tile, batch * tile, tile, old, new)
        if k == betas.size - 2:
            break  # a move after the last weight would change nothing
        _mix(log_odds, hidden.fields, new, np.zeros_like(b), batch)
        h_flips = draw_units(words, log_odds[: hidden.fields.size], hidden.states, hidden.flipped)
        v_age = update_fields(visible, hidden, h_flips, v_age, to_visible, tables, batch)
        _mix(log_odds, visible.fields, new, base, batch)
        v_flips = draw_units(
            words, log_odds[: visible.fields.size], visible.states, visible.flipped
        )
    write_bits(visible.states, v.dtype.type(0), v)
    return True


@inner(cache=True, error_model="numpy", fastmath={"contract"})
def _mix(log_odds, fields, beta, base, batch):
    """log_odds = beta * fields + (1 - beta) * base, and -inf in the padding."""
    tile = VECTOR_BYTES // fields.itemsize
    scale, shift = fields.dtype.type(beta), np.zeros(tile, fields.dtype)
    for t in range(fields.size // (batch * tile)):
        for j in range(min(tile, base.size - t * tile)):
            shift[j] = (1.0 - beta) * base[t * tile + j]
        for b in range(batch):
            at = (t * batch + b) * tile
            for j in range(uint64(tile)):
                log_odds[uint64(at) + j] = scale * fields[uint64(at) + j] + shift[j]


@inner(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _add_field(log_weights, states, step, a, base):
    """Add step * (a - base) . v to the log-weight of each state."""
    tile = VECTOR_BYTES // a.itemsize
    batch = log_weights.size
    slope = np.zeros(tile, a.dtype)
    for t in range(states.size // (batch * tile)):
        width = min(tile, a.size - t * tile)
        for j in range(width):
            slope[j] = a[t * tile + j] - base[t * tile + j]
        for b in range(batch):
            at = (t * batch + b) * tile
            total = a.dtype.type(0)
            for j in range(uint64(tile)):  # in the padding all states are 0
                total += a.dtype.type(states[uint64(at) + j]) * slope[j]
            log_weights[b] += step * total

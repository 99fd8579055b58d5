r"""Annealed importance sampling of RBMs with Gaussian visible units.

As :mod:`pm_energy.kernels.rbm_ais`, with independent Gaussians of given means m and variances s^2
as the base:

.. math:: E_\beta(v, h) = (1 - \beta) \sum_i \frac{(v_i - m_i)^2}{2 s_i^2} + \beta E(v, h)

Visible states are real numbers, so the fields come from BLAS: a number of threads that rounds
differently may turn a rare draw. All runs advance together.
"""

import itertools

import numpy as np
from numba import njit

from pm_energy.kernels.arguments import finite_array, ladder, positive_array
from pm_energy.kernels.bernoulli import draw_units
from pm_energy.kernels.random import LANES, seed_words
from pm_energy.kernels.softplus import add_softplus_change

TILE = 64


def gaussian_rbm_base_log_partition(base_variance, n_hidden):
    """Log Z of the base: independent Gaussians, and hidden units with even odds.

    Parameters
    ----------
    base_variance : array_like, shape (n_v,)
    n_hidden : int

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> round(gaussian_rbm_base_log_partition(np.full(2, 0.5 / np.pi), 3), 4)  # 3 log(2)
    2.0794
    """
    volume = 0.5 * np.log(2 * np.pi * np.asarray(base_variance, np.float64)).sum()
    return float(volume + n_hidden * np.log(2.0))


def gaussian_rbm_ais(
    rng,
    weights,
    visible_bias,
    hidden_bias,
    variance,
    base_mean,
    base_variance,
    n_chains,
    betas,
):
    r"""Anneal from independent Gaussians to the RBM, and weigh the runs.

    The energy is that of :func:`pm_energy.kernels.gaussian_rbm_exact.gaussian_rbm_log_partition`.

    Parameters
    ----------
    rng : numpy.random.Generator
    weights : ndarray of float32 or float64, shape (n_v, n_h)
        Its dtype is that of the sampling.
    visible_bias : array_like, shape (n_v,)
    hidden_bias : array_like, shape (n_h,)
    variance : array_like, shape (n_v,)
    base_mean, base_variance : array_like, shape (n_v,)
        Those of the data, for a start near the RBM.
    n_chains : int
        Number of independent runs.
    betas : array_like, shape (K + 1,)
        Increasing from 0 to 1. Rounded to the dtype of the weights.

    Returns
    -------
    works : ndarray of float64, shape (n_chains,)
        -log(weight) of each run: :math:`\langle e^{-W} \rangle = Z / Z_0`, with Z_0 from
        :func:`gaussian_rbm_base_log_partition`.
    states : ndarray, shape (n_chains, n_v), dtype of ``weights``
        Visible states at the end, which :math:`e^{-W}` weighs for the RBM.

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit, values are not finite, a variance is not positive or the
        ladder is none.

    References
    ----------
    .. [1] Neal (2001), Statistics and Computing 11, 125-139.
    .. [2] Cho, Ilin & Raiko (2011), ICANN, Lecture Notes in Computer Science 6791, 10-17.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> one, ladder = np.ones(1), np.linspace(0, 1, 101)
    >>> works, states = gaussian_rbm_ais(
    ...     rng, np.ones((1, 1)), 0 * one, 0 * one, one, 0 * one, one, 1000, ladder
    ... )
    >>> log_z = gaussian_rbm_base_log_partition(one, 1) + np.log(np.exp(-works).mean())
    >>> round(float(log_z), 1)  # 1.893
    1.9
    """
    model = _parameters(weights, visible_bias, hidden_bias, variance, base_mean, base_variance)
    if n_chains < 1:
        raise ValueError(f"n_chains must be at least 1, got {n_chains}")
    _, _, _, _, mean, spread = model
    noise = rng.standard_normal((n_chains, len(mean)), mean.dtype)
    states = mean + np.sqrt(spread) * noise
    log_weights, states = _anneal(rng, states, *model, ladder(betas))
    return -log_weights, states


def gaussian_rbm_ais_reverse(
    rng,
    weights,
    visible_bias,
    hidden_bias,
    variance,
    base_mean,
    base_variance,
    states,
    betas,
):
    r"""Anneal from the RBM down to the base: the reverse of :func:`gaussian_rbm_ais`.

    Parameters
    ----------
    rng, weights, visible_bias, hidden_bias, variance, base_mean, base_variance, betas
        As for :func:`gaussian_rbm_ais`; betas increase here too.
    states : array_like, shape (n_chains, n_v)
        Draws of the RBM's visible layer.

    Returns
    -------
    works : ndarray of float64, shape (n_chains,)
        In the sign of forward works: :math:`\langle e^{W} \rangle = Z_0 / Z` if the states are
        exact draws.

    Raises
    ------
    ValueError
        As :func:`gaussian_rbm_ais`.

    Examples
    --------
    >>> import numpy as np
    >>> rng, one = np.random.default_rng(0), np.ones(1)
    >>> gaussian_rbm_ais_reverse(
    ...     rng, np.zeros((1, 1)), one, 0 * one, one, one, one, [[1.0], [0.5]], [0.0, 0.5, 1.0]
    ... )
    array([0., 0.])
    """
    model = _parameters(weights, visible_bias, hidden_bias, variance, base_mean, base_variance)
    states = finite_array("states", states, (None, len(model[0])), model[0].dtype)
    return _anneal(rng, states, *model, ladder(betas)[::-1])[0]


def _parameters(weights, visible_bias, hidden_bias, variance, base_mean, base_variance):
    dtype = np.asarray(weights).dtype
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"weights must be float32 or float64, got {dtype}")
    w = finite_array("weights", weights, (None, None), dtype)
    n_v, n_h = w.shape
    return (
        w,
        finite_array("visible_bias", visible_bias, (n_v,), dtype),
        finite_array("hidden_bias", hidden_bias, (n_h,), dtype),
        positive_array("variance", variance, (n_v,), dtype),
        finite_array("base_mean", base_mean, (n_v,), dtype),
        positive_array("base_variance", base_variance, (n_v,), dtype),
    )


def _anneal(rng, v, w, a, b, variance, base_mean, base_variance, betas):
    """Return the sums of log p_next(v) / p_this(v) along the ladder, and the last v."""
    dtype = w.dtype
    betas = betas.astype(dtype).astype(np.float64)
    words = seed_words(rng, LANES)
    size, shape = len(v) * len(b), (len(v), len(b))
    fields, log_odds = np.zeros((2, -(-size // (2 * LANES)) * 2 * LANES), dtype)
    drawn, flipped = np.zeros((2, fields.size), np.uint8)
    precise, back = w / variance[:, None], np.ascontiguousarray(w.T)
    log_weights = np.zeros(len(v))
    for step, (old, new) in enumerate(itertools.pairwise(betas)):
        x = np.matmul(v, precise, out=fields[:size].reshape(shape))
        x += b
        _add_confinement(log_weights, v, new - old, a, variance, base_mean, base_variance)
        add_softplus_change(log_weights, fields, len(b), TILE, TILE, len(b), old, new)
        if step == len(betas) - 2:
            break  # a move after the last weight would change nothing
        np.multiply(fields, dtype.type(new), out=log_odds)
        draw_units(words, log_odds, drawn, flipped)
        v = drawn[:size].reshape(shape).astype(dtype) @ back
        v += a
        ours, theirs = dtype.type(new) / variance, dtype.type(1 - new) / base_variance
        v *= ours / (ours + theirs)
        v += theirs * base_mean / (ours + theirs)
        noise = rng.standard_normal(v.shape, dtype)
        noise *= np.sqrt(1 / (ours + theirs))
        v += noise
    return log_weights, v


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _add_confinement(log_weights, v, step, a, variance, base_mean, base_variance):
    """Add the change of the energy's part that is quadratic in v; in float64."""
    for k in range(log_weights.size):
        total = 0.0
        for i in range(a.size):
            base = (np.float64(v[k, i]) - base_mean[i]) ** 2 / base_variance[i]
            total += base - (np.float64(v[k, i]) - a[i]) ** 2 / variance[i]
        log_weights[k] += 0.5 * step * total

"""Log Z of restricted Boltzmann machines, and draws from them: exact where a layer is small."""

import numpy as np
from scipy.special import logit

from pm_energy.kernels.gaussian_rbm_ais import (
    gaussian_rbm_ais,
    gaussian_rbm_ais_reverse,
    gaussian_rbm_base_log_partition,
)
from pm_energy.kernels.gaussian_rbm_exact import gaussian_rbm_log_partition
from pm_energy.kernels.rbm_ais import rbm_ais, rbm_ais_reverse, rbm_base_log_partition
from pm_energy.kernels.rbm_exact import rbm_log_partition
from pm_energy.kernels.two_state import log_traces
from pm_energy.partition.result import LogPartition
from pm_energy.training.annealed import BLOCK, CHAINS, anneal, annealed_log_z, by_weight
from pm_energy.training.rbm_coding import gaussian_to_bits, log_z_from_bits, to_bits

EXACT_UNITS = 20  # of the smaller layer
LISTED_UNITS = 16  # whose states are listed to draw from them
WARM_UP = 50  # sweeps that tell the base how often each unit is on
AFTER = 20  # sweeps after annealing, which tell draws of one ancestor apart
LISTED_AT_ONCE = 2**11


def rbm_log_z(model, theta, rng, n_chains=None, n_betas=1000, *, n_jobs=None, check=True):
    """Return log Z: a sum over the smaller layer, or annealed importance sampling.

    Annealing starts from independent units with means like the model's, as short chains find them
    [1]_. With ``check``, as many chains anneal back; see
    :func:`pm_energy.training.annealed.annealed_log_z`.

    Parameters
    ----------
    model : RBMModel
    theta : dict of str to array
    rng : numpy.random.Generator
    n_chains : int, optional
        Of annealing; None for 200, and for the exact sum where the smaller layer has at most 20
        units.
    n_betas : int
    n_jobs : int, optional
        Processes, as joblib has them.
    check : bool

    Returns
    -------
    LogPartition

    Warns
    -----
    EvidenceWarning
        If annealing back gives another value, or the standard error is above 0.3.

    References
    ----------
    .. [1] Salakhutdinov & Murray (2008), ICML, 872-879.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.rbm_model import RBMModel
    >>> model = RBMModel(3, 2)
    >>> theta = {"weights": np.ones((3, 2)), "visible_bias": np.zeros(3),
    ...          "hidden_bias": np.zeros(2)}
    >>> rng = np.random.default_rng(0)
    >>> print(rbm_log_z(model, theta, rng))
    6.553 ± 0.000 (exact; between 6.553 and 6.553)
    >>> annealed = rbm_log_z(model, theta, rng, n_chains=1000)
    >>> abs(annealed.value - 6.553) < 0.02
    True
    """
    if n_chains is None:
        exact = _exact(model, theta)
        if exact is not None:
            return LogPartition(exact, 0.0, exact, exact, "exact")
    forth, back, log_z_base = _runs(model, theta, rng, n_betas)
    return annealed_log_z(rng, forth, back if check else None, log_z_base, n_chains, n_jobs=n_jobs)


def draw_rbm(model, theta, rng, size):
    """Draw visible states: exactly where a layer is small, else by annealing.

    Annealed chains are resampled by their weights and swept some more; they are as good as
    annealing back agrees with annealing forth in :func:`rbm_log_z`.

    Parameters
    ----------
    model : RBMModel
    theta : dict of str to array
    rng : numpy.random.Generator
    size : int

    Returns
    -------
    ndarray, shape (size, n_visible)
    """
    n_visible, n_hidden = model.shape
    dtype = theta["weights"].dtype
    if n_hidden <= LISTED_UNITS:
        log_weight = np.concatenate(
            [_hidden_log_weight(model, theta, h) for h in _listed(model.hidden_units, n_hidden)]
        )
        chosen = by_weight(rng, log_weight, size)
        h = _states(model.hidden_units, chosen, n_hidden).astype(dtype)
        return model.sample_visible(theta, h, rng)
    if n_visible <= LISTED_UNITS and model.visible_units != "gaussian":
        log_weight = np.concatenate(
            [-model.free_energy(theta, v) for v in _listed(model.visible_units, n_visible)]
        )
        chosen = by_weight(rng, log_weight, size)
        return _states(model.visible_units, chosen, n_visible).astype(dtype)
    forth, *_ = _runs(model, theta, rng, 1000)
    works, states = anneal(rng, forth, max(size, CHAINS))
    v = states[by_weight(rng, -works, size)]
    chains = model.start(theta, rng, x=2 * v - 1 if model.visible_units == "spin" else v)
    model.sweep(theta, chains, rng, AFTER)
    return model.visible(chains)


def _exact(model, theta):
    """Log Z as a sum over the smaller layer, or None if that is too large."""
    gaussian = model.visible_units == "gaussian"
    if (model.shape[1] if gaussian else min(model.shape)) > EXACT_UNITS:
        return None
    bits, constant = _as_bits(model, theta)
    if gaussian:
        return constant + gaussian_rbm_log_partition(*bits, np.exp(theta["log_variance"]))
    return constant + rbm_log_partition(*bits)


def _as_bits(model, theta):
    """Weights and biases of the same model for two-state units in {0, 1}, and log Z - log Z'."""
    low = -1 if model.hidden_units == "spin" else 0
    if model.visible_units == "gaussian":
        return gaussian_to_bits(theta, low)
    lows = -1 if model.visible_units == "spin" else 0, low
    return to_bits(theta, lows), log_z_from_bits(0.0, theta, lows)


def _runs(model, theta, rng, n_betas):
    """Annealing from the base and back, of visible bits or reals, and log Z of the base.

    The base is independent units with means (and variances) like those of short chains.
    """
    chains = model.start(theta, rng, n=BLOCK)
    model.sweep(theta, chains, rng, WARM_UP)
    v = model.visible(chains).astype(float)
    parameters, constant = _as_bits(model, theta)
    betas = np.linspace(0, 1, n_betas + 1)
    if model.visible_units == "gaussian":
        down, up = gaussian_rbm_ais_reverse, gaussian_rbm_ais
        own = np.exp(theta["log_variance"])
        variance = own.astype(float) + v.var(axis=0)
        parameters = *parameters, own, v.mean(axis=0), variance
        log_z_base = constant + gaussian_rbm_base_log_partition(variance, model.shape[1])
    else:
        down, up = rbm_ais_reverse, rbm_ais
        bias = logit(((v > 0).sum(axis=0) + 1) / (BLOCK + 2))
        parameters = *parameters, bias
        log_z_base = constant + rbm_base_log_partition(bias, model.shape[1])

    def forth(rng, size):
        return up(rng, *parameters, size, betas)

    def back(rng, states):
        return down(rng, *parameters, states, betas)

    return forth, back, log_z_base


def _states(kind, numbers, n):
    bits = (np.asarray(numbers)[:, None] >> np.arange(n)) & 1
    return 2 * bits - 1 if kind == "spin" else bits


def _listed(kind, n):
    """All states of n units, a part of them at a time."""
    for first in range(0, 2**n, LISTED_AT_ONCE):
        yield _states(kind, np.arange(first, min(first + LISTED_AT_ONCE, 2**n)), n).astype(float)


def _hidden_log_weight(model, theta, h):
    """``log sum_v exp(-E(v, h))`` but for a constant."""
    w, a, b = (theta[name].astype(float) for name in ("weights", "visible_bias", "hidden_bias"))
    push = h @ w.T
    if model.visible_units == "gaussian":
        return h @ b + ((a + 0.5 * push) * push / np.exp(theta["log_variance"])).sum(axis=1)
    return h @ b + log_traces(push, a, -1 if model.visible_units == "spin" else 0)

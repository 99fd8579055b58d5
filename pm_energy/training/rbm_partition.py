"""Log Z of restricted Boltzmann machines, and draws from them: exact where a layer is small."""

import warnings

import joblib
import numpy as np
from scipy.special import logit

from pm_energy.kernels.gaussian_rbm_ais import gaussian_rbm_ais, gaussian_rbm_ais_reverse
from pm_energy.kernels.gaussian_rbm_exact import gaussian_rbm_log_partition
from pm_energy.kernels.rbm_ais import rbm_ais, rbm_ais_reverse
from pm_energy.kernels.rbm_exact import rbm_log_partition
from pm_energy.kernels.two_state import log_traces
from pm_energy.partition.result import EvidenceWarning, LogPartition
from pm_energy.partition.works import ais, ais_reverse
from pm_energy.training.rbm_coding import gaussian_to_bits, log_z_from_bits, to_bits

EXACT_UNITS = 20  # of the smaller layer
LISTED_UNITS = 16  # whose states are listed to draw from them
CHAINS = 200
BLOCK = 100  # chains that anneal together; the same whatever the number of processes
WARM_UP = 50  # sweeps that tell the base how often each unit is on
AFTER = 20  # sweeps after annealing, which tell draws of one ancestor apart
GAP = 0.3  # between annealing forth and back that is worth a warning, in nats
LISTED_AT_ONCE = 2**11


def rbm_log_z(model, theta, rng, n_chains=None, n_betas=1000, *, n_jobs=None, check=True):
    """Return log Z: a sum over the smaller layer, or annealed importance sampling.

    Annealing starts from independent units with means like the model's, as short chains find them
    [1]_. With ``check``, as many chains anneal back from where it ended: a consistency check, and
    no bound, because they do not start from exact draws.

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
        If annealing back gives another value.

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
    n_chains = n_chains or CHAINS
    forth, back = anneal_both_ways(model, theta, rng, n_chains, n_betas, n_jobs=n_jobs, back=check)
    if back is not None:
        apart = abs(forth.value - back.value)
        if apart > max(GAP, 4 * np.hypot(forth.mcse, back.mcse)):
            warnings.warn(
                f"log Z is {forth} by annealing from independent units, but {back} by annealing "
                "back from there: take more inverse temperatures (n_betas) or chains (n_chains)",
                EvidenceWarning,
                stacklevel=2,
            )
    return forth


def anneal_both_ways(model, theta, rng, n_chains, n_betas, *, n_jobs=None, back=True):
    """Log Z by annealing from independent units, and by annealing back from where that ended.

    Parameters
    ----------
    model, theta, rng, n_chains, n_betas, n_jobs
        As for :func:`rbm_log_z`.
    back : bool
        Whether to anneal back.

    Returns
    -------
    forth : LogPartition
    back : LogPartition or None
        A consistency check. Its starts are not exact draws, so it is no bound.
    """
    base, log_z_base = _base(model, theta, rng)
    works, _, returns = _anneal(model, theta, rng, base, n_chains, n_betas, n_jobs, back)
    forth = ais(works).log_partition(log_z_base)
    if not back:
        return forth, None
    return forth, ais_reverse(returns, exact=False).log_partition(log_z_base)


def draw_rbm(model, theta, rng, size):
    """Draw visible states: exactly where a layer is small, else by annealing.

    Annealed chains are resampled by their weights and swept some more; they are as good as
    :func:`anneal_both_ways` agrees with itself.

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
        chosen = _choose(rng, log_weight, size)
        h = _states(model.hidden_units, chosen, n_hidden).astype(dtype)
        return model.sample_visible(theta, h, rng)
    if n_visible <= LISTED_UNITS and model.visible_units != "gaussian":
        log_weight = np.concatenate(
            [-model.free_energy(theta, v) for v in _listed(model.visible_units, n_visible)]
        )
        chosen = _choose(rng, log_weight, size)
        return _states(model.visible_units, chosen, n_visible).astype(dtype)
    base, _ = _base(model, theta, rng)
    works, states, _ = _anneal(model, theta, rng, base, max(size, CHAINS), 1000, None, False)
    chains = model.start(theta, rng, x=states[_choose(rng, -works, size)])
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


def _base(model, theta, rng):
    """Means (and variances) of the visible units by short chains: independent units to start from.

    Returns
    -------
    base : tuple of array
        Bias of two-state units as bits, or mean and variance.
    log_z_base : float
    """
    chains = model.start(theta, rng, n=BLOCK)
    model.sweep(theta, chains, rng, WARM_UP)
    v = model.visible(chains).astype(float)
    _, constant = _as_bits(model, theta)
    hidden = model.shape[1] * np.log(2)
    if model.visible_units == "gaussian":
        variance = np.exp(theta["log_variance"]).astype(float) + v.var(axis=0)
        base = v.mean(axis=0), variance
        return base, constant + hidden + 0.5 * float(np.log(2 * np.pi * variance).sum())
    on = (v > 0).sum(axis=0)
    bias = logit((on + 1) / (BLOCK + 2))
    return (bias,), constant + hidden + float(np.logaddexp(0, bias).sum())


def _anneal(model, theta, rng, base, n_chains, n_betas, n_jobs, back):
    """Works forth, the states they lead to, and works back, in blocks of chains."""
    bits, _ = _as_bits(model, theta)
    gaussian = model.visible_units == "gaussian"
    variance = (np.exp(theta["log_variance"]),) if gaussian else ()
    forth, again = (
        (gaussian_rbm_ais, gaussian_rbm_ais_reverse) if gaussian else (rbm_ais, rbm_ais_reverse)
    )
    betas = np.linspace(0, 1, n_betas + 1)
    blocks = np.diff([*range(0, n_chains, BLOCK), n_chains])

    def run(generator, size):
        works, states = forth(generator, *bits, *variance, *base, size, betas)
        returns = again(generator, *bits, *variance, *base, states, betas) if back else None
        return works, states, returns

    jobs = zip(rng.spawn(len(blocks)), blocks, strict=True)
    done = joblib.Parallel(n_jobs)(joblib.delayed(run)(*job) for job in jobs)
    works, states, returns = zip(*done, strict=True)
    states = np.concatenate(states)
    if model.visible_units == "spin":
        states = 2 * states - 1
    return np.concatenate(works), states, np.concatenate(returns) if back else None


def _choose(rng, log_weight, size):
    cumulative = np.cumsum(np.exp(log_weight - log_weight.max()))
    return np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")


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

"""Log Z of Boltzmann machines, and draws from them: exact where they are small, else by annealing.

Annealing starts from independent units with means like the model's, as short chains find them.

References
----------
.. [1] Neal (2001), Statistics and Computing 11, 125-139.
.. [2] Salakhutdinov & Murray (2008), ICML, 872-879.
"""

import warnings
from itertools import pairwise

import numpy as np

from pm_energy.partition.result import EvidenceWarning, LogPartition
from pm_energy.partition.works import ais, ais_reverse
from pm_energy.training.pair_coding import coded
from pm_energy.training.pair_exact import LIMIT, spin_states
from pm_energy.training.pair_sweeps import draw_spins

CHAINS = 200
DRAW_BETAS, DRAW_SWEEPS = 200, 100  # of draws: the sweeps tell those of one ancestor apart
LISTED_UNITS = 16  # whose states are listed to draw from them
WARM_UP = 50  # sweeps that tell the base how often each unit is on
GAP = 0.3  # between annealing forth and back that is worth a warning, in nats


def pair_log_z(model, theta, rng, n_chains=None, n_betas=1000):
    """Return log Z over all units: a sum over states, or annealed importance sampling.

    As many chains anneal back from where the first ended: a consistency check, and no bound,
    because they do not start from exact draws.

    Parameters
    ----------
    model : PairModel
    theta : dict of str to array
    rng : numpy.random.Generator
    n_chains : int, optional
        Of annealing; None for 200, and for the sum where there are at most 20 units.
    n_betas : int

    Returns
    -------
    LogPartition

    Warns
    -----
    EvidenceWarning
        If annealing back gives another value.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.pair_model import PairModel
    >>> model = PairModel(3, edges=[[0, 1], [1, 2]], coding="spin")
    >>> theta = {"couplings": np.array([0.5, 0.5]), "bias": np.zeros(3)}
    >>> rng = np.random.default_rng(0)
    >>> print(pair_log_z(model, theta, rng))
    2.320 ± 0.000 (exact; between 2.320 and 2.320)
    >>> abs(pair_log_z(model, theta, rng, n_chains=100).errors_from(2.3197)) < 4
    True
    """
    if n_chains is None and model.n <= LIMIT:
        value = model.exact(theta)[0]
        return LogPartition(value, 0.0, value, value, "exact")
    coupling, field, offset = model.spin_theta(theta)
    n_chains = n_chains or CHAINS
    base = _base(model, coupling, field, rng)
    works, ends = _anneal(model, coupling, field, base, rng, n_chains, n_betas)
    log_z_base = float(np.logaddexp(base, -base).sum()) - offset
    forth = ais(works).log_partition(log_z_base)
    starts = ends[_by_weight(rng, works, n_chains)]
    returns = _anneal_back(model, coupling, field, base, rng, starts, n_betas)
    back = ais_reverse(returns, exact=False).log_partition(log_z_base)
    if abs(forth.value - back.value) > max(GAP, 4 * np.hypot(forth.mcse, back.mcse)):
        warnings.warn(
            f"log Z is {forth} by annealing from independent units, but {back} by annealing back "
            "from there: take more inverse temperatures (n_betas) or chains (n_chains)",
            EvidenceWarning,
            stacklevel=2,
        )
    return forth


def draw_pairs(model, theta, rng, size):
    """Draw states of all units, int8 of shape (size, n).

    From a table of all states for up to 16 units; otherwise by chains that anneal from independent
    units, are resampled by their weights and swept some more.

    Parameters
    ----------
    model : PairModel
    theta : dict of str to array
    rng : numpy.random.Generator
    size : int
    """
    coupling, field, _ = model.spin_theta(theta)
    if model.n <= LISTED_UNITS:
        states = spin_states(model.n)
        first, second = model.edges.T
        log_p = (states[:, first] * states[:, second]) @ coupling + states @ field
        p = np.exp(log_p - log_p.max())
        chosen = rng.choice(len(states), size=size, p=p / p.sum())
        return coded(states[chosen].astype(np.int8), model.coding)
    base = _base(model, coupling, field, rng)
    works, ends = _anneal(model, coupling, field, base, rng, size, DRAW_BETAS)
    spins = ends[_by_weight(rng, works, size)]
    model.sweeps(rng, spins, coupling, field, DRAW_SWEEPS)
    return coded(spins, model.coding)


def _base(model, coupling, field, rng):
    """Fields of independent spins with about the means of the model."""
    spins = draw_spins(rng, np.zeros((CHAINS, model.n)))
    model.sweeps(rng, spins, coupling, field, WARM_UP)
    return np.arctanh(spins.sum(axis=0) / (CHAINS + 1))


def _works(model, coupling, field, base, spins):
    """Energy less that of the base, without the constant."""
    units = np.ascontiguousarray(spins.T, np.float64)
    pairs = units * model.fields(coupling, np.zeros(model.n), units)  # each counted twice
    return -0.5 * pairs.sum(axis=0) - (field - base) @ units


def _sweep_between(model, coupling, field, base, rng, spins, beta):
    between = base + beta * (field - base)
    model.sweeps(rng, spins, beta * coupling, between)


def _anneal(model, coupling, field, base, rng, size, n_betas):
    """Works (size,) of runs from the base, and where they end."""
    betas = np.linspace(0, 1, n_betas + 1)
    spins = draw_spins(rng, np.broadcast_to(np.tanh(base), (size, model.n)))
    works = np.zeros(size)
    for before, beta in pairwise(betas):
        works += (beta - before) * _works(model, coupling, field, base, spins)
        _sweep_between(model, coupling, field, base, rng, spins, beta)
    return works, spins


def _anneal_back(model, coupling, field, base, rng, spins, n_betas):
    """Works of the reverse runs, with the sign of forward ones."""
    betas = np.linspace(1, 0, n_betas + 1)
    works = np.zeros(len(spins))
    for beta, before in pairwise(betas):
        _sweep_between(model, coupling, field, base, rng, spins, beta)
        works += (beta - before) * _works(model, coupling, field, base, spins)
    return works


def _by_weight(rng, works, size):
    p = np.exp(works.min() - works)
    return rng.choice(len(works), size=size, p=p / p.sum())

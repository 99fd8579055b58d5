"""Log Z of Boltzmann machines, and draws from them: exact where they are small, else by annealing.

Annealing starts from independent units with means like the model's, as short chains find them.
"""

from itertools import pairwise

import numpy as np

from pm_energy.partition.result import LogPartition
from pm_energy.training.annealed import CHAINS, anneal, annealed_log_z, by_weight
from pm_energy.training.pair_coding import coded
from pm_energy.training.pair_exact import LIMIT, spin_states
from pm_energy.training.pair_sweeps import draw_spins

DRAW_BETAS, DRAW_SWEEPS = 200, 100  # of draws: the sweeps tell those of one ancestor apart
BLOCK = 1000  # chains that anneal together: a sweep of few takes as long
LISTED_UNITS = 16  # whose states are listed to draw from them
WARM_UP = 50  # sweeps that tell the base how often each unit is on


def pair_log_z(model, theta, rng, n_chains=None, n_betas=1000):
    """Return log Z over all units: a sum over states, or annealed importance sampling.

    See :func:`pm_energy.training.annealed.annealed_log_z`.

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
        If annealing back gives another value, or the standard error is above 0.3.

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
    forth, back, log_z_base = _runs(model, coupling, field, rng, n_betas)
    return annealed_log_z(rng, forth, back, log_z_base - offset, n_chains, block=BLOCK)


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
        return coded(states[by_weight(rng, log_p, size)].astype(np.int8), model.coding)
    forth, *_ = _runs(model, coupling, field, rng, DRAW_BETAS)
    works, ends = anneal(rng, forth, size, block=BLOCK)
    spins = ends[by_weight(rng, -works, size)]
    model.sweeps(rng, spins, coupling, field, DRAW_SWEEPS)
    return coded(spins, model.coding)


def _runs(model, coupling, field, rng, n_betas):
    """Annealing from the base and back, and log Z of the base.

    The base is independent spins with about the means of the model.
    """
    spins = draw_spins(rng, np.zeros((CHAINS, model.n)))
    model.sweeps(rng, spins, coupling, field, WARM_UP)
    base = np.arctanh(spins.sum(axis=0) / (CHAINS + 1))
    betas, no_field = np.linspace(0, 1, n_betas + 1), np.zeros(model.n)

    def works_of(spins):
        """Energy less that of the base, without the constant."""
        units = np.ascontiguousarray(spins.T, np.float64)
        pairs = units * model.fields(coupling, no_field, units)  # each counted twice
        return -0.5 * pairs.sum(axis=0) - (field - base) @ units

    def sweep(rng, spins, beta):
        model.sweeps(rng, spins, beta * coupling, base + beta * (field - base))

    def forth(rng, size):
        spins = draw_spins(rng, np.broadcast_to(np.tanh(base), (size, model.n)))
        works = np.zeros(size)
        for before, beta in pairwise(betas):
            works += (beta - before) * works_of(spins)
            sweep(rng, spins, beta)
        return works, spins

    def back(rng, spins):
        works = np.zeros(len(spins))
        for beta, before in pairwise(betas[::-1]):
            sweep(rng, spins, beta)
            works += (beta - before) * works_of(spins)
        return works

    return forth, back, float(np.logaddexp(base, -base).sum())

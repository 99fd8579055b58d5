"""Log Z by annealing from independent units and back again, in blocks of chains.

References
----------
.. [1] Neal (2001), Statistics and Computing 11, 125-139.
.. [2] Salakhutdinov & Murray (2008), ICML, 872-879.
"""

import warnings
from pathlib import Path

import joblib
import numpy as np

from pm_energy.partition.result import EvidenceWarning
from pm_energy.partition.works import ais, ais_reverse

CHAINS = 200
BLOCK = 100
GAP = 0.3  # in nats: an error, or a gap between forth and back, that is worth a warning
INSIDE = (str(Path(__file__).parents[1]),)  # a warning shows the line that called the package


def annealed_log_z(rng, forth, back, log_z_base, n_chains=None, *, block=BLOCK, n_jobs=None):
    """Return log Z from works of annealing.

    As many chains anneal back from where the first ended: a consistency check, and no bound, as
    they do not start from exact draws but from those that the weights choose.

    Parameters
    ----------
    rng : numpy.random.Generator
    forth : callable
        ``forth(rng, size)`` -> works (size,) and last states of chains from the base.
    back : callable or None
        ``back(rng, states)`` -> works of the reverse runs, with the sign of forward ones; None for
        no check.
    log_z_base : float
    n_chains : int, optional
        200 by default.
    block : int
        Chains that anneal together.
    n_jobs : int, optional
        Processes, as joblib has them; results do not depend on their number.

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
    >>> def forth(rng, size):  # to a Gaussian half as wide, in one step
    ...     x = rng.normal(size=size)
    ...     return 1.5 * x**2, x
    >>> log_z = annealed_log_z(np.random.default_rng(0), forth, None, 0.0, 10_000)
    >>> print(abs(log_z.errors_from(-np.log(2))) < 4)
    True
    """
    works, states = anneal(rng, forth, n_chains or CHAINS, block=block, n_jobs=n_jobs)
    found = ais(works).log_partition(log_z_base)
    if back is not None:
        starts = states[by_weight(rng, -works, len(works))]
        parts = np.split(starts, range(block, len(starts), block))
        returns = np.concatenate(_in_blocks(rng, back, parts, n_jobs))
        again = ais_reverse(returns, exact=False).log_partition(log_z_base)
        apart = abs(found.value - again.value)
        # few chains have all the weight where the error is large, and then they agree by chance
        if found.mcse > GAP or apart > max(GAP, 4 * np.hypot(found.mcse, again.mcse)):
            warnings.warn(
                f"log Z is {found} by annealing from independent units, and {again} by annealing "
                "back from there: take more inverse temperatures (n_betas) or chains (n_chains)",
                EvidenceWarning,
                skip_file_prefixes=INSIDE,
            )
    return found


def anneal(rng, forth, size, *, block=BLOCK, n_jobs=None):
    """Return works (size,) and last states of as many chains; arguments as above."""
    sizes = np.diff([*range(0, size, block), size])
    works, states = zip(*_in_blocks(rng, forth, sizes, n_jobs), strict=True)
    return np.concatenate(works), np.concatenate(states)


def by_weight(rng, log_weights, size):
    """Draw indices (size,) with these log-probabilities, which need not be normalised."""
    cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
    return np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")


def _in_blocks(rng, run, parts, n_jobs):
    jobs = zip(rng.spawn(len(parts)), parts, strict=True)
    return joblib.Parallel(n_jobs)(joblib.delayed(run)(*job) for job in jobs)

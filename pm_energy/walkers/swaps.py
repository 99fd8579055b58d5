"""Parallel tempering: local moves, then swaps of neighbours, even and odd pairs in turn.

Taking turns, in place of drawing which pairs are tried, makes replicas cross the ladder without
turning back at random: the number of round trips no longer falls with the number of levels [1]_.

References
----------
.. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.
"""

from dataclasses import dataclass, field

import numpy as np


def swap_log_ratio(betas, log_ratio):
    """Log acceptance ratio of a swap of each pair of neighbours.

    Parameters
    ----------
    betas, log_ratio : ndarray, shape (n_levels,)
        Of the states at the levels.

    Returns
    -------
    ndarray, shape (n_levels - 1,)
        Minus infinity where it is undefined: both states are impossible.
    """
    with np.errstate(invalid="ignore"):
        log_r = np.diff(betas) * (log_ratio[:-1] - log_ratio[1:])
    return np.where(np.isnan(log_r), -np.inf, log_r)


@dataclass
class Segment:
    """What a stretch of parallel tempering leaves behind.

    Attributes
    ----------
    log_ratio : list of ndarray, shape (n_levels,)
        Of the state at each level, after the swaps.
    replica : list of ndarray of int, shape (n_levels,)
        Which walker sits at each level.
    values : list of dict
        State at beta = 1.
    stats : list
        What its step said.
    acceptance : ndarray, shape (n_levels - 1,)
        Sum over iterations of the swap probability of each pair.
    iterations : int
    """

    log_ratio: list = field(default_factory=list)
    replica: list = field(default_factory=list)
    values: list = field(default_factory=list)
    stats: list = field(default_factory=list)
    acceptance: np.ndarray | float = 0.0
    iterations: int = 0

    @property
    def rejection(self):
        """Mean rejection of each pair."""
        return 1.0 - self.acceptance / self.iterations

    def extend(self, part):
        """Append what a later stretch left; of an iteration cut short nothing."""
        lists = ("log_ratio", "replica", "values", "stats")
        whole = min(len(getattr(part, name)) for name in lists)
        for name in lists:
            getattr(self, name).extend(getattr(part, name)[:whole])
        self.acceptance = self.acceptance + part.acceptance
        self.iterations += part.iterations


class Replicas:
    """Walkers on a ladder, one at each level, and who is where.

    Parameters
    ----------
    walkers : Walkers
        As many as levels.
    sweeps : int
        Moves between swaps.
    """

    def __init__(self, walkers, sweeps=1):
        self.walkers, self.sweeps = walkers, sweeps
        self.order = np.arange(walkers.size)  # level -> walker
        self.count = 0

    def run(self, rng, n, segment, record=False, report=None):
        """Make n iterations and note them in a segment; draws are kept if asked for."""
        for _ in range(n):
            self._iterate(rng, segment)
            if record:
                top = self.order[-1]
                segment.log_ratio.append(self.walkers.log_ratio[self.order])
                segment.replica.append(self.order.copy())
                segment.values.append(
                    {name: x[0] for name, x in self.walkers.values([top]).items()}
                )
                segment.stats.append(self.walkers.statistics(top))
            if report is not None:
                report(1)

    def _iterate(self, rng, segment):
        walkers, order = self.walkers, self.order
        levels = np.empty_like(order)
        levels[order] = np.arange(order.size)
        walkers.move(rng, levels, self.sweeps)
        log_r = swap_log_ratio(walkers.ladder, walkers.log_ratio[order])
        segment.acceptance = segment.acceptance + np.exp(np.minimum(0.0, log_r))
        segment.iterations += 1
        with np.errstate(divide="ignore"):
            accepted = np.log(rng.random(log_r.size)) < log_r
        accepted[1 - self.count % 2 :: 2] = False
        for k in np.flatnonzero(accepted):
            order[k], order[k + 1] = order[k + 1], order[k]
        self.count += 1

    def state(self):
        """Everything that a later run needs."""
        return self.walkers.state(), self.order.copy(), self.count

    def restore(self, state):
        """Go on from a state."""
        walkers, self.order, self.count = state
        self.walkers.restore(walkers)

"""Chains of parallel tempering: walkers on ladders, and who is at which level.

Walkers of a field alone have a kernel that moves and swaps the replicas of many chains at once;
all others move by their own roads and swap here, chain by chain.
"""

from dataclasses import dataclass

import numpy as np

from pm_energy.walkers.tempering import swap

STARTS = 20  # times that all replicas are drawn anew before giving up on a finite start
AT_ONCE = 64  # chains in one call of a kernel, and bits of a machine word
STRETCH = 100  # iterations of a kernel between two looks at the clock


@dataclass(eq=False)
class Stretch:
    """What a stretch of parallel tempering leaves behind.

    Attributes
    ----------
    log_ratio : ndarray, shape (n, n_chains, n_levels)
        Of the state at each level after each iteration.
    replica : ndarray of int, shape (n, n_chains, n_levels)
        Which walker of its chain sits there.
    values : dict of str to ndarray, shape (n, n_chains, ...)
        States at beta = 1.
    stats : list of list
        For each iteration and chain, what the step at beta = 1 said.
    acceptance : ndarray, shape (n_chains, n_levels - 1)
        Sum over iterations of the swap probability of each pair.
    iterations : int
    interrupted : bool
        Whether Ctrl-C ended it early.
    """

    log_ratio: np.ndarray
    replica: np.ndarray
    values: dict
    stats: list
    acceptance: np.ndarray
    iterations: int
    interrupted: bool = False

    @property
    def rejection(self):
        """Mean rejection of each pair, shape (n_chains, n_levels - 1)."""
        return 1.0 - self.acceptance / max(self.iterations, 1)

    @classmethod
    def joined(cls, parts):
        """Put stretches end to end."""
        return cls(
            np.concatenate([part.log_ratio for part in parts]),
            np.concatenate([part.replica for part in parts]),
            {
                name: np.concatenate([part.values[name] for part in parts])
                for name in parts[0].values
            },
            [said for part in parts for said in part.stats],
            sum(part.acceptance for part in parts),
            sum(part.iterations for part in parts),
            any(part.interrupted for part in parts),
        )


class Replicas:
    """One chain of replicas by any walkers.

    Parameters
    ----------
    walkers : Walkers
    sweeps : int
        Moves between swaps.
    """

    n_chains = 1

    def __init__(self, walkers, sweeps=1):
        self.walkers, self.sweeps = walkers, sweeps

    def begin(self, rng, ladders):
        """Draw all replicas, where the target does not vanish if the base allows it.

        Parameters
        ----------
        rng : numpy.random.Generator
        ladders : ndarray, shape (n_chains, n_levels)

        Raises
        ------
        ValueError
            If the target vanishes everywhere.
        """
        walkers = self.walkers
        self._resize(ladders.size)
        for _ in range(STARTS):
            walkers.start(rng)
            possible = np.flatnonzero(np.isfinite(walkers.log_ratio))
            if possible.size:
                break
        else:
            point = {name: x[0] for name, x in walkers.values([0]).items()}
            raise ValueError(
                f"the target vanishes at all of {STARTS * walkers.size} draws of the base "
                f"({walkers.path.explain(point)}): is the data possible under the model?"
            )
        if possible.size < walkers.size:
            walkers.take(np.resize(possible, walkers.size))
        self.count = 0
        self.replica = np.tile(np.arange(ladders.shape[1]), (len(ladders), 1))
        self._set(ladders)

    def change(self, ladders):
        """Go on with other ladders; if they have other numbers of levels, replicas are copied."""
        levels = ladders.shape[1]
        if levels != self.replica.shape[1]:
            self._resize(ladders.size)
            self.replica = np.tile(np.arange(levels), (len(ladders), 1))
        self._set(ladders)

    def _resize(self, size):
        if size != self.walkers.size:
            self.walkers.take(np.sort(np.resize(np.arange(self.walkers.size), size)))

    def _set(self, ladders):
        self.ladders = ladders
        self.walkers.set_ladder(ladders[0])

    def run(self, rng, n, keep=0, report=None):
        """Make n iterations; return a :class:`Stretch` of every ``keep``-th, if any are wanted."""
        walkers, replica = self.walkers, self.replica[0]
        ratios, seats, tops, stats = [], [], [], []
        acceptance, done, interrupted = np.zeros((1, replica.size - 1)), 0, False
        levels = np.empty_like(replica)
        try:
            for _ in range(n):
                levels[replica] = np.arange(replica.size)
                walkers.move(rng, levels, self.sweeps)
                log_ratio = walkers.log_ratio[replica]
                acceptance += swap(rng, self.ladders, log_ratio[None], self.replica, self.count % 2)
                self.count += 1
                done += 1
                if keep and done % keep == 0:
                    top = replica[-1]
                    ratios.append(log_ratio)
                    seats.append(replica.copy())
                    tops.append(walkers.values([top]))
                    stats.append([walkers.statistics(top)])
                if report is not None:
                    report(1)
        except KeyboardInterrupt:
            interrupted = True
        kept = len(stats)
        return Stretch(
            np.array(ratios[:kept]).reshape(kept, 1, replica.size),
            np.array(seats[:kept]).reshape(kept, 1, replica.size),
            {k: np.array([top[k] for top in tops[:kept]]) for k in (tops[0] if tops else {})},
            stats[:kept],
            acceptance,
            done,
            interrupted,
        )

    def state(self):
        """Everything that a later run needs."""
        return self.walkers.state(), self.ladders, self.replica.copy(), self.count

    def restore(self, state):
        """Go on from a state."""
        walkers, self.ladders, self.replica, self.count = state
        self.walkers.restore(walkers)


class ManyReplicas(Replicas):
    """Many chains at once, of walkers that have a kernel for it: their method ``temper``."""

    def __init__(self, walkers, sweeps=1, n_chains=1):
        super().__init__(walkers, sweeps)
        self.n_chains = n_chains

    def _set(self, ladders):
        self.ladders = ladders

    def run(self, rng, n, keep=0, report=None):
        """Make n iterations; return a :class:`Stretch` of every ``keep``-th, if any are wanted."""
        parts, left = [], n
        at_once = STRETCH if not keep else keep * max(1, STRETCH // keep)
        name = next(iter(self.walkers.values([0])))
        try:
            while left:
                m = min(left, at_once)
                run = self.walkers.temper(
                    rng, self.ladders, self.replica, m,
                    n_sweeps=self.sweeps, thin=keep or m, first=self.count,
                )  # fmt: skip
                kept = slice(m // keep if keep else 0)
                stats = [[[] for _ in range(self.n_chains)]] * kept.stop
                parts.append(Stretch(
                    run.log_ratio[kept], run.replica[kept], {name: run.states[kept]}, stats,
                    m * run.acceptance, m,
                ))  # fmt: skip
                self.count += m
                left -= m
                if report is not None:
                    report(m)
        except KeyboardInterrupt:
            if not parts:
                raise
            parts[-1].interrupted = True
        return Stretch.joined(parts)


def make_replicas(walkers, sweeps, n_chains=1):
    """Return replicas by the fastest road of their walkers."""
    if hasattr(walkers, "temper"):
        return ManyReplicas(walkers, sweeps, n_chains)
    return Replicas(walkers, sweeps)


def chains_at_once(walkers):
    """Return how many chains run together."""
    return AT_ONCE if hasattr(walkers, "temper") else 1

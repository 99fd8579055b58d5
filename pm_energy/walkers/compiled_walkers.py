"""Walkers of continuous models: all moved in one jitted loop through the compiled density."""

import copy

import numpy as np

from pm_energy.compile import NotNative
from pm_energy.kernels.tempered_hmc import hmc_moves
from pm_energy.kernels.tempered_slice import slice_moves
from pm_energy.native_density import NativeDensity
from pm_energy.walkers.base import Walkers, checked_log_ratio
from pm_energy.walkers.spread import Spread

ROADS = {
    "slice": "compiled slice sampling",
    "hmc": "compiled Hamiltonian Monte Carlo and slice sampling",
    "mala": "compiled Langevin moves and slice sampling",
}
SLICES_UP_TO = 10  # dimensions; trajectories need a gradient, which takes long to compile
SPARE_DRAWS = 64  # of the base are made at once
SLICES_BESIDE = 2  # for each trajectory
TIME, MOST_STEPS = 1.5, 32  # of trajectories; time pi / 2 takes a Gaussian to independence
FIRST_STEP, LONGEST_STEP = 0.5, 2.0
ACCEPTANCE = 0.8  # that steps are tuned to


class CompiledWalkers(Walkers):
    """States of a continuous model, moved by slice sampling or Hamiltonian Monte Carlo.

    Both are tuned by the covariance of the states at each level. Trajectories are followed by a few
    slices, which reach over to other modes and free walkers from where the density is so curved
    that no trajectory is accepted.

    Parameters
    ----------
    path : Path
    size : int
    moves : {"auto", "slice", "hmc", "mala"}
        "auto": slices in up to 10 dimensions or where there is no gradient, else trajectories.

    Raises
    ------
    NotNative
        If a variable is discrete or the density cannot be compiled.
    ValueError
        If moves is something else.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pm_energy.paths import make_path
    >>> with pm.Model() as model:
    ...     x = pm.Normal("x", 0, 5)
    ...     y = pm.Normal("y", x, 1, observed=9.0)
    >>> walkers = CompiledWalkers(make_path(model), size=1000)
    >>> rng = np.random.default_rng(0)
    >>> walkers.start(rng)
    >>> took = walkers.move(rng, levels=np.ones(1000, dtype=int), n_sweeps=10)
    >>> print(walkers.values(range(1000))["x"].mean().round(1))  # 9 * 25 / 26 is 8.65
    8.7
    """

    def __init__(self, path, size, moves="auto"):
        if moves not in ("auto", *ROADS):
            raise ValueError(f"moves must be one of {['auto', *ROADS]}, got {moves!r}")
        self.path, self.size, self.exact_base = path, size, path.exact_base
        draws = path.draw_base(np.random.default_rng(0), SPARE_DRAWS)
        self._shapes = {v.name: np.shape(draws[v.name])[1:] for v in path.inputs}
        graphs = path.inputs, list(self._shapes.values()), path.log_base, path.log_ratio
        self._density, self._slope = NativeDensity(*graphs), None
        if moves in ("hmc", "mala") or (moves == "auto" and self._density.dim > SLICES_UP_TO):
            try:
                self._slope = NativeDensity(*graphs, gradient=True)
            except NotNative:
                if moves != "auto":
                    raise
        if moves == "auto":
            moves = "slice" if self._slope is None else "hmc"
        self.road = ROADS[moves]
        self._most_steps = 1 if moves == "mala" else MOST_STEPS
        self.ladder = np.array([0.0, 1.0])
        self.x = np.zeros((size, self._density.dim))
        self._log_base, self.log_ratio = np.zeros((2, size))
        self._begin(self._flat(draws))

    def start(self, rng):
        """Put independent draws of the base everywhere, and tuning back to its beginning."""
        for density in (self._density, self._slope):
            if density is not None:
                density.refresh()
        self.put(self.path.draw_base(rng, self.size))
        self._begin(self._flat(self.path.draw_base(rng, SPARE_DRAWS)))

    def _begin(self, draws):
        """Tune as for the base, by draws of it, which are kept to move to."""
        self._spare, self._tuning = draws, True
        self._spread = Spread(draws)
        self._step = np.full(1, FIRST_STEP)
        self._carry(np.zeros(len(self.ladder), dtype=int))

    def _carry(self, source):
        self._spread.carry(source)
        self._step, self._visits = self._step[source], np.zeros(len(source))

    def put(self, values):
        """Replace all states."""
        self.x = self._flat(values)
        self._log_base, ratio = self._density(self.x).T.copy()
        ratio[~np.isfinite(self._log_base)] = np.nan
        if not (ratio < np.inf).all():
            every = self.values(np.arange(self.size))
            points = [{name: x[i] for name, x in every.items()} for i in range(self.size)]
            ratio = checked_log_ratio(ratio, self.path, points)
        self.log_ratio = ratio

    def _flat(self, values):
        parts = [np.asarray(values[name], dtype=float) for name in self._shapes]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def set_ladder(self, betas):
        """Set the levels; new ones begin with what was tuned at the nearest."""
        betas, old = np.asarray(betas, dtype=float), self.ladder
        self.ladder = betas
        self._carry(np.abs(betas[:, None] - old).argmin(axis=1))

    def move(self, rng, levels, n_sweeps=1):
        """Move each walker at the inverse temperature of its level."""
        betas = self.ladder[levels]
        took, moving = np.full(self.size, np.nan), levels
        drawn = np.flatnonzero(betas == 0) if self.exact_base else ()
        if len(drawn):
            self._draw(rng, drawn)
            took[drawn] = 1.0
            moving = levels.copy()
            moving[drawn] = -1
        if len(drawn) < self.size:
            walkers = self.x, self._log_base, self.log_ratio, betas, moving
            if self._slope is None:
                self._slice(rng, walkers, n_sweeps * self.x.shape[1], in_turn=True)
            else:
                took[moving >= 0] = 0.0
                for _ in range(n_sweeps):
                    accepted = self._follow(rng, walkers)
                    took[moving >= 0] += accepted[moving >= 0] / n_sweeps
                    self._slice(rng, walkers, SLICES_BESIDE, in_turn=False)
        if self._tuning:
            self._spread.see(self.x, levels)
        return took

    def _draw(self, rng, which):
        """Replace some states by draws of the base, a stock of which is at hand."""
        if len(which) > len(self._spare):
            missing = max(SPARE_DRAWS, len(which) - len(self._spare))
            more = self._flat(self.path.draw_base(rng, missing))
            self._spare = np.concatenate([self._spare, more])
        self.x[which] = self._spare[: len(which)]
        self._spare = self._spare[len(which) :]
        self._log_base[which], ratio = self._density(self.x[which]).T
        self.log_ratio[which] = np.where(ratio < np.inf, ratio, -np.inf)

    def _slice(self, rng, walkers, n_slices, in_turn):
        slice_moves(rng, self._density, walkers, self._spread.directions, n_slices, in_turn=in_turn)

    def _follow(self, rng, walkers):
        accepted = hmc_moves(
            rng, self._slope, walkers, self._spread.scale, self._step, TIME, self._most_steps
        )
        if self._tuning:
            self._tune_step(accepted, walkers[-1])
        return accepted

    def _tune_step(self, accepted, levels):
        """Robbins-Monro, level by level."""
        here = levels >= 0
        count = np.bincount(levels[here], minlength=len(self._step))
        total = np.bincount(levels[here], accepted[here], minlength=len(self._step))
        seen = count > 0
        self._visits[seen] += 1
        gain = 2.0 / (3.0 + self._visits[seen]) ** 0.6
        self._step[seen] *= np.exp(gain * (total[seen] / count[seen] - ACCEPTANCE))
        np.minimum(self._step, LONGEST_STEP, out=self._step)

    def adapt(self):
        """Learn the covariances of the states since the last call; steps adapt as they go."""
        if self._tuning:
            self._step /= self._spread.learn()

    def freeze(self):
        """Stop tuning."""
        self._tuning = False

    def take(self, source):
        """Copy states."""
        self.x, self.size = self.x[source], len(source)
        self._log_base, self.log_ratio = self._log_base[source], self.log_ratio[source]

    def values(self, which):
        """Return the states of some walkers."""
        rows, end, out = self.x[np.asarray(which)], 0, {}
        for v, shape in zip(self.path.inputs, self._shapes.values(), strict=True):
            start, end = end, end + int(np.prod(shape))
            out[v.name] = rows[:, start:end].reshape(len(rows), *shape).astype(v.dtype)
        return out

    def state(self):
        """Everything that a later run needs."""
        return copy.deepcopy({name: getattr(self, name) for name in STATE})

    def restore(self, state):
        """Go on from a state."""
        for name, value in copy.deepcopy(state).items():
            setattr(self, name, value)


STATE = (
    "x", "size", "log_ratio", "_log_base", "ladder", "_spread", "_step", "_visits", "_tuning",
    "_spare",
)  # fmt: skip

"""Simulated tempering as a PyMC step method for all variables of a model."""

from typing import ClassVar

import numpy as np
from pymc.model import modelcontext
from pymc.step_methods.compound import BlockedStep, Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator, get_value_vars_from_user_vars

from pm_energy.paths import make_path
from pm_energy.step_methods.shared import ProgressColumns, WatchedData
from pm_energy.validate import numeric_array
from pm_energy.walkers.choose import make_walkers
from pm_energy.walkers.tempering_pilot import checked_levels, first_levels
from pm_energy.walkers.tempering_walk import TemperingWalk, excursion_stats


@dataclass_state
class SimulatedTemperingState(StepMethodState):
    """What a run needs to be resumed, beside the point."""

    walk_state: dict | None
    seen_at_top: dict | None
    under_way: bool
    tune: bool


class SimulatedTempering(ProgressColumns, BlockedStep):
    """Steps through other temperatures, for all free variables of a model.

    One step is an excursion: the state moves, its inverse temperature is drawn anew, and so on
    until it is at beta = 1 again. That leaves the posterior invariant whatever the weights of the
    levels are; with good ones an excursion takes as many moves as there are levels, on average. The
    ladder is found when a chain is set up, the weights are learned while it tunes, and both are
    frozen then.

    Parameters
    ----------
    vars : list of variables, optional
        All free variables of the model.
    n_levels : int or "auto"
        By default twice the rejections between base and target, measured by a pilot run.
    ladder : array_like, shape (n_levels,), optional
        Inverse temperatures from 0 to 1.
    log_weight : array_like, shape (n_levels,), optional
        Weights of the levels of a given ladder, to begin with. Good ones are minus log Z.
    step : step method or sequence of step methods, optional
        Which moves the state at each temperature, by default what PyMC assigns.
    base, temper
        See :func:`pm_energy.paths.make_path`.
    model, rng
        As for PyMC's step methods.

    Attributes
    ----------
    walk : TemperingWalk or None
        With the ``ladder`` and ``log_weight`` of the chain, once it is set up in this process.

    Raises
    ------
    ValueError
        If there is nothing to temper, other variables are asked for, or an argument is out of
        range; where a chain has no tuning and no weights.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 5)
    ...     y = pm.Normal("y", x**2, 1, observed=9.0)  # x is near 3 or near -3
    ...     step = pme.SimulatedTempering()
    ...     trace = pm.sample(
    ...         500, tune=200, step=step, chains=2, cores=1, random_seed=1, progressbar=False,
    ...         quiet=True,
    ...     )
    >>> bool(abs((trace["posterior"]["x"] > 0).mean() - 0.5) < 0.1)
    True
    """

    name = "simulated_tempering"
    _state_class = SimulatedTemperingState
    stats_dtypes_shapes: ClassVar[dict[str, tuple]] = {
        "excursion_length": (np.int64, []),
        "lowest_level": (np.int64, []),
        "base_reached": (bool, []),
    }
    _columns: ClassVar = {"excursion_length": ("Excursion", ""), "lowest_level": ("Lowest", "")}

    def __init__(
        self,
        vars=None,
        *,
        n_levels="auto",
        ladder=None,
        log_weight=None,
        step=None,
        base="prior",
        temper=None,
        model=None,
        rng=None,
        blocked=True,
    ):
        model = modelcontext(model)
        given = model.value_vars if vars is None else get_value_vars_from_user_vars(vars, model)
        others = [v.name for v in model.value_vars if v not in given]
        if others:
            raise ValueError(
                f"SimulatedTempering moves all free variables of a model together, but vars lacks "
                f"{others}: leave vars out"
            )
        self.n_levels, self.ladder = checked_levels(n_levels, ladder)
        self.log_weight = None if log_weight is None else numeric_array("log_weight", log_weight)
        if self.log_weight is not None and np.shape(ladder) != self.log_weight.shape:
            raise ValueError(
                f"log_weight must have one number for each level of a given ladder, got shapes "
                f"{self.log_weight.shape} and {np.shape(ladder)}"
            )
        self.vars = model.value_vars
        self.rng = get_random_generator(rng)
        self.data = WatchedData(model)  # of which the path is made
        self.walkers = make_walkers(make_path(model, base=base, temper=temper), 1, step)
        self._compile()
        self.walk, self.tune, self.under_way, self.seen_at_top = None, False, False, None

    def _compile(self):
        """Run everything once, or each forked chain would compile for itself."""
        rng = np.random.default_rng(0)
        self.walkers.set_ladder([0.0, 1.0])
        self.walkers.start(rng)
        for level in (0, 1):
            if np.isfinite(self.walkers.log_ratio[0]):
                self.walkers.move(rng, np.array([level]))

    def setup_chain(self, rng, tune, draws):
        """Find the ladder and weights to begin with."""
        self.data.check(type(self).__name__, "build the step again")
        super().setup_chain(rng, tune, draws)
        if not tune and self.log_weight is None:
            raise ValueError(
                "weights of the levels are learned while tuning: pass tune > 0, or ladder and "
                "log_weight"
            )
        ladder, log_weight = self.ladder, self.log_weight
        if log_weight is None:
            ladder, log_weight = first_levels(self.walkers, self.rng, self.n_levels, ladder)
        self.walk = TemperingWalk(self.walkers, ladder, log_weight)
        self.walk.start(self.rng, learn=bool(tune))
        self.tune, self.under_way, self.seen_at_top = bool(tune), bool(tune), None
        if not tune:
            self.walk.freeze()

    def stop_tuning(self):
        """Freeze weights and moves."""
        self.tune = False
        self.walk.freeze()

    def step(self, point):
        """Make an excursion; while tuning, as many iterations as there are levels."""
        if self.tune:
            levels = [self._learn() for _ in self.walk.ladder]
            self.walkers.adapt()
            end = self.seen_at_top or point
        else:
            if not self.under_way:  # from where tuning left it, the walker first has to come up
                self.walk.put(point)
            levels, _ = self.walk.excursion(self.rng)
            end, self.under_way = self.walk.point(), False
        # in the order of the point, which PyMC records by
        new = {name: np.asarray(end[name], dtype=x.dtype) for name, x in point.items()}
        return new, [excursion_stats(levels)]

    def _learn(self):
        level, _ = self.walk.iterate(self.rng)
        if level == self.walk.top:
            self.seen_at_top = self.walk.point()
        return level

    @property
    def walk_state(self):
        """Where the walker is and what it learned, for runs that are resumed."""
        return None if self.walk is None else self.walk.state()

    @walk_state.setter
    def walk_state(self, state):
        if state is not None:
            self.walk = TemperingWalk(self.walkers, state["ladder"], state["log_weight"])
            self.walk.restore(state)

    @staticmethod
    def competence(var, has_grad):
        """Incompatible: it is for whole models, by hand."""
        return Competence.INCOMPATIBLE

"""What the step methods for discrete Boltzmann variables share: point -> plan -> point and stats."""

import logging
from abc import abstractmethod

import numpy as np
import pymc as pm
from pymc.step_methods.compound import BlockedStep, Competence
from pymc.util import get_random_generator, get_value_vars_from_user_vars

from pm_energy.distributions import EnergyRV
from pm_energy.energy import single_block
from pm_energy.validate import positive_int

_log = logging.getLogger("pymc").getChild("pm_energy")  # speaks where PyMC names its samplers


def is_discrete_boltzmann(rv):
    """Whether a random variable is a Boltzmann variable of discrete units."""
    op = getattr(rv.owner, "op", None)
    if not isinstance(op, EnergyRV):
        return False
    return single_block(op.energy(op.dist_params(rv.owner))).domain.states is not None


class EnergyStep(BlockedStep):
    """Sweeps over one discrete Boltzmann variable. Subclasses say by which plan."""

    default_blocked = False
    stats_dtypes_shapes = {
        "boltzmann_energy": (np.float64, []),
        "flip_rate": (np.float64, []),
        "road": (np.int64, []),
    }

    def __init__(self, vars, sweeps_per_draw, model, rng, initial_point, compile_kwargs):
        model = pm.modelcontext(model)
        (value,) = get_value_vars_from_user_vars(vars, model)
        rv = model.values_to_rvs[value]
        if not is_discrete_boltzmann(rv):
            raise ValueError(
                f"{rv.name} is not a discrete Boltzmann variable; {type(self).__name__} needs one"
            )
        self.vars = [value]
        self.sweeps_per_draw = positive_int("sweeps_per_draw", sweeps_per_draw)
        self.rng = get_random_generator(rng)
        point = model.initial_point() if initial_point is None else initial_point
        self.plan = self._make_plan(model, rv, point, compile_kwargs or {})
        # compile everything now: forked chains would each compile for themselves
        self._sweep(dict(point), np.random.default_rng(0))
        self.plan.energy(point)
        _log.info(f"{type(self).__name__}: [{rv.name}] {self.plan.road.label}: {self.plan.reason}")

    @abstractmethod
    def _make_plan(self, model, rv, point, compile_kwargs):
        """Return the :class:`~pm_energy.step_methods.plan.Plan` of the sweeps."""

    @property
    def road(self):
        """The :class:`~pm_energy.Road` taken."""
        return self.plan.road

    def _sweep(self, point, rng):
        name = self.vars[0].name
        x = np.array(point[name], order="C")
        changes = self.plan.sweep(point, x, rng, self.sweeps_per_draw)
        point[name] = x
        return changes / (x.size * self.sweeps_per_draw)

    def step(self, point):
        """Make ``sweeps_per_draw`` sweeps."""
        point = dict(point)
        flip_rate = self._sweep(point, self.rng)
        stats = {
            "boltzmann_energy": self.plan.energy(point),
            "flip_rate": flip_rate,
            "road": int(self.plan.road),
        }
        return point, [stats]

    @staticmethod
    def competence(var, has_grad):
        """Incompatible, unless a subclass wants to be assigned by itself."""
        return Competence.INCOMPATIBLE

    @staticmethod
    def _progressbar_config(n_chains=1):
        from rich.progress import TextColumn
        from rich.table import Column

        columns = [
            TextColumn("{task.fields[flip_rate]:0.2f}", table_column=Column("Flips", ratio=1)),
            TextColumn("{task.fields[boltzmann_energy]:0.1f}", table_column=Column("Energy", ratio=1)),
        ]
        return columns, {"flip_rate": [0.0] * n_chains, "boltzmann_energy": [0.0] * n_chains}

    @staticmethod
    def _make_progressbar_update_functions():
        def update(stats):
            return {key: stats[key] for key in ("flip_rate", "boltzmann_energy")}

        return (update,)

"""What the step methods of discrete Boltzmann variables share: point -> plan -> point and stats."""

import logging
from abc import abstractmethod
from typing import ClassVar

import numpy as np
import pymc as pm
from pymc.step_methods.compound import BlockedStep, Competence
from pymc.util import get_random_generator, get_value_vars_from_user_vars

from pm_energy.distributions import EnergyRV
from pm_energy.energy import single_block
from pm_energy.step_methods.plan import Road
from pm_energy.step_methods.shared import ProgressColumns, WatchedData
from pm_energy.validate import positive_int

_log = logging.getLogger("pymc").getChild("pm_energy")  # speaks where PyMC names its samplers


def discrete_fields(model):
    """The free discrete Boltzmann variables of a model."""
    return [rv for rv in model.free_RVs if is_discrete_boltzmann(rv)]


def is_discrete_boltzmann(rv):
    """Whether a random variable is a Boltzmann variable of discrete units."""
    op = getattr(rv.owner, "op", None)
    if not isinstance(op, EnergyRV):
        return False
    return single_block(op.energy(op.dist_params(rv.owner))).domain.states is not None


class EnergyStep(ProgressColumns, BlockedStep):
    """Sweeps over one discrete Boltzmann variable. Subclasses say by which plan."""

    default_blocked = False
    stats_dtypes_shapes: ClassVar[dict[str, tuple]] = {
        "boltzmann_energy": (np.float64, []),
        "flip_rate": (np.float64, []),
        "road": (np.int64, []),
    }
    _columns: ClassVar = {"flip_rate": ("Flips", "0.2f"), "boltzmann_energy": ("Energy", "0.1f")}

    def __new__(cls, *args, **kwargs):
        """Make a step for each variable: of all fields of the model, if none are named."""
        if not args and kwargs.get("vars") is None:
            kwargs["vars"] = discrete_fields(pm.modelcontext(kwargs.get("model")))
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        vars=None,
        *,
        sweeps_per_draw=1,
        model=None,
        rng=None,
        initial_point=None,
        compile_kwargs=None,
        blocked=False,
    ):
        model = pm.modelcontext(model)
        vars = discrete_fields(model) if vars is None else vars
        values = get_value_vars_from_user_vars(vars, model)
        rvs = [model.values_to_rvs[value] for value in values]
        if len(rvs) != 1 or not is_discrete_boltzmann(rvs[0]):
            raise ValueError(
                f"vars must be one discrete Boltzmann variable of the model for each "
                f"{type(self).__name__}, got {[rv.name for rv in rvs]}"
            )
        [value], [rv] = values, rvs
        self.vars = [value]
        self.sweeps_per_draw = positive_int("sweeps_per_draw", sweeps_per_draw)
        self.rng = get_random_generator(rng)
        self.data = WatchedData(model)  # for which holds what is proved about the model
        point = model.initial_point() if initial_point is None else initial_point
        self.plan = self._make_plan(model, rv, point, (compile_kwargs or {}).get("mode"))
        # compile everything now: forked chains would each compile for themselves. A kernel is
        # compiled by a sweep; the other roads, where a sweep may take minutes, before the first one
        x = np.array(point[value.name], order="C")
        self.plan.sweep(point, x, np.random.default_rng(0), int(self.road is Road.KERNEL))
        self.plan.energy(point)
        _log.info(f"{type(self).__name__}: [{rv.name}] {self.road.label}: {self.plan.reason}")

    @abstractmethod
    def _make_plan(self, model, rv, point, mode):
        """Return the :class:`~pm_energy.step_methods.plan.Plan` of the sweeps."""

    def setup_chain(self, rng, tune, draws):
        """Take the chain's random generator, after a look at the data."""
        self.data.check(type(self).__name__, "build the step again, or leave it to pm.sample")
        super().setup_chain(rng, tune, draws)

    @property
    def road(self):
        """The :class:`~pm_energy.Road` taken."""
        return self.plan.road

    def step(self, point):
        """Make ``sweeps_per_draw`` sweeps."""
        name = self.vars[0].name
        x = np.array(point[name], order="C")
        changes = self.plan.sweep(point, x, self.rng, self.sweeps_per_draw)
        point = {**point, name: x}  # a new point in the same order, which PyMC records by
        stats = {
            "boltzmann_energy": self.plan.energy(point),
            "flip_rate": changes / (x.size * self.sweeps_per_draw),
            "road": int(self.road),
        }
        return point, [stats]

    @staticmethod
    def competence(var, has_grad):
        """Incompatible, unless a subclass wants to be assigned by itself."""
        return Competence.INCOMPATIBLE

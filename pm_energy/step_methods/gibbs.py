"""EnergyGibbs: Gibbs sampling of a discrete Boltzmann variable, alone or inside a larger model."""

from dataclasses import field
from functools import partial

from pymc.step_methods.compound import Competence, StepMethodState
from pymc.step_methods.state import dataclass_state

from pm_energy.kernels.potts import UPDATES
from pm_energy.roads import sweeper
from pm_energy.step_methods.base import EnergyStep, is_discrete_boltzmann
from pm_energy.step_methods.plan import make_plan


@dataclass_state
class EnergyGibbsState(StepMethodState):
    """What a run needs to be resumed, beside the point."""

    sweeps_per_draw: int = field(metadata={"frozen": True})
    update: str = field(metadata={"frozen": True})


class EnergyGibbs(EnergyStep):
    """Gibbs sweeps for a discrete :class:`~pm_energy.Boltzmann` variable.

    Assigned by itself. Every term of the model that depends on the variable is read from its log-
    density graph; see :func:`~pm_energy.explain_sampler` for the road taken and why.

    Parameters
    ----------
    vars : list of variables, optional
        All discrete Boltzmann variables of the model by default, each with a step of its own.
    sweeps_per_draw : int
        Sweeps over all units between two draws.
    update : {"heat-bath", "suwa-todo"}
        How a unit with more than two states is resampled. Suwa-Todo avoids staying [1]_, for 2 to 3
        times as many effective draws of the energy near the transition of Potts fields (q = 3, 4,
        10) in the same time.
    model, rng, initial_point
        As for PyMC's step methods.
    compile_kwargs : dict, optional
        Of these, ``mode`` is used.

    Raises
    ------
    ValueError
        If the variable is not a discrete Boltzmann variable or an argument is out of range.

    References
    ----------
    .. [1] Suwa & Todo (2010), Physical Review Letters 105, 120603.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     z = pme.Boltzmann("z", pme.Ising(lattice=(8, 8), coupling=0.3))
    ...     step = pme.EnergyGibbs(sweeps_per_draw=5)
    ...     trace = pm.sample(100, step=step, chains=1, progressbar=False, quiet=True)
    >>> trace["posterior"]["z"].shape
    (1, 100, 8, 8)
    """

    name = "energy_gibbs"
    _state_class = EnergyGibbsState

    def __init__(self, vars=None, *, update="heat-bath", **kwargs):
        if update not in UPDATES:
            raise ValueError(f"update must be one of {UPDATES}, got {update!r}")
        self.update = update
        super().__init__(vars, **kwargs)

    def _make_plan(self, model, rv, point, mode):
        return make_plan(model, rv, point, mode, partial(sweeper, update=self.update))

    @staticmethod
    def competence(var, has_grad):
        """Ideal for discrete Boltzmann variables, incompatible with all others."""
        return Competence.IDEAL if is_discrete_boltzmann(var) else Competence.INCOMPATIBLE

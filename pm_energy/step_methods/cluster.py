"""EnergyCluster: Swendsen-Wang and Wolff updates of ferromagnetic Ising and Potts variables."""

from dataclasses import field
from functools import partial

from pymc.step_methods.compound import StepMethodState
from pymc.step_methods.state import dataclass_state

from pm_energy.cluster_roads import cluster_sweeper
from pm_energy.step_methods.base import EnergyStep
from pm_energy.step_methods.plan import Road, make_plan

ALGORITHMS = ("swendsen-wang", "wolff")


@dataclass_state
class EnergyClusterState(StepMethodState):
    """What a run needs to be resumed, beside the point."""

    sweeps_per_draw: int = field(metadata={"frozen": True})
    algorithm: str = field(metadata={"frozen": True})


class EnergyCluster(EnergyStep):
    """Cluster updates for a ferromagnetic Ising or Potts variable, where single spins are slow.

    Fields and site-wise terms of the model enter exactly. Give it by ``step=``.

    Parameters
    ----------
    vars : list of variables, optional
        All discrete Boltzmann variables of the model by default, each with a step of its own.
    algorithm : {"swendsen-wang", "wolff"}
        All clusters at once [1]_, or one cluster at a time [2]_.
    sweeps_per_draw : int
        Swendsen-Wang sweeps, or Wolff clusters, between two draws.
    model, rng, initial_point, compile_kwargs
        As for :class:`EnergyGibbs`.

    Raises
    ------
    ValueError
        If the variable has no clusters: another kind of energy, a negative coupling, or terms of
        the model that are not site-wise.

    References
    ----------
    .. [1] Swendsen & Wang (1987), Physical Review Letters 58, 86-88.
    .. [2] Wolff (1989), Physical Review Letters 62, 361-364.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     z = pme.Boltzmann("z", pme.Potts(3, lattice=(8, 8), coupling=1.0))
    ...     trace = pm.sample(
    ...         100, step=pme.EnergyCluster(), chains=1, progressbar=False, quiet=True
    ...     )
    >>> trace["posterior"]["z"].shape
    (1, 100, 8, 8)
    """

    name = "energy_cluster"
    _state_class = EnergyClusterState

    def __init__(self, vars=None, *, algorithm="swendsen-wang", **kwargs):
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm must be one of {ALGORITHMS}, got {algorithm!r}")
        self.algorithm = algorithm
        super().__init__(vars, **kwargs)

    def _make_plan(self, model, rv, point, mode):
        make_sweep = partial(cluster_sweeper, algorithm=self.algorithm)
        plan = make_plan(model, rv, point, mode, make_sweep)
        if plan.road is not Road.KERNEL:
            raise ValueError(
                f"there are no cluster updates of {rv.name}: {plan.reason}; use EnergyGibbs"
            )
        return plan

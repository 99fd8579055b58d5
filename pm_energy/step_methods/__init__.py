"""PyMC step methods for Boltzmann variables."""

import pymc as pm
from pymc.step_methods import STEP_METHODS

from pm_energy.compile import ONCE
from pm_energy.distributions import Boltzmann
from pm_energy.step_methods.base import discrete_fields
from pm_energy.step_methods.cluster import EnergyCluster
from pm_energy.step_methods.exchange import EnergyExchange
from pm_energy.step_methods.exchange_bias import ExchangeBias, exchange_bias
from pm_energy.step_methods.gibbs import EnergyGibbs
from pm_energy.step_methods.plan import Road, make_plan

if EnergyGibbs not in STEP_METHODS:  # so that pm.sample assigns it by itself
    STEP_METHODS.append(EnergyGibbs)
if EnergyExchange not in STEP_METHODS:  # NUTS is as sure of itself, and the first one wins
    STEP_METHODS.insert(0, EnergyExchange)

__all__ = [
    "Boltzmann",
    "EnergyCluster",
    "EnergyExchange",
    "EnergyGibbs",
    "ExchangeBias",
    "Road",
    "exchange_bias",
    "explain_sampler",
]


def explain_sampler(model=None):
    """Say how EnergyGibbs would sample each discrete Boltzmann variable of a model, and why.

    Parameters
    ----------
    model : pymc.Model, optional
        Taken from the context if not given.

    Returns
    -------
    dict of str to str
        Variable name to road and reason.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model() as model:
    ...     z = pme.Boltzmann("z", pme.Ising(lattice=(8, 8), coupling=0.3))
    >>> pme.explain_sampler(model)["z"]
    'KERNEL: no other term depends on it; pair couplings on a 8 x 8 lattice'
    """
    model = pm.modelcontext(model)
    point = model.initial_point()
    plans = {rv.name: make_plan(model, rv, point, ONCE) for rv in discrete_fields(model)}
    return {name: f"{plan.road.name}: {plan.reason}" for name, plan in plans.items()}

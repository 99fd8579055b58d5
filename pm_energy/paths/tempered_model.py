"""A PyMC model in which a shared beta multiplies what a path adds to its base.

Every PyMC step method works on it unchanged.
"""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.model.fgraph import ModelFreeRV, clone_model, fgraph_from_model, model_from_fgraph

from pm_energy import log_partition as lp
from pm_energy.compose import Tempered
from pm_energy.random_variable import EnergyRV


@dataclass(frozen=True)
class LinearNormaliser:
    """``beta log Z``: the normaliser along a straight path, where that of ``beta E`` is not wanted.

    So the whole log-density of a field, its log Z included, is multiplied by beta.
    """

    normaliser: object

    def __call__(self, energy):
        """Log Z of the energy inside, times beta."""
        inside = self.normaliser
        log_z = inside if callable(inside) else lp.METHODS[inside]
        return energy.beta * log_z(energy.energy)


def tempered_model(model, tempered, energies):
    """Return a clone of a model and the shared beta by which it is tempered.

    Parameters
    ----------
    model : pymc.Model
    tempered : list of str
        Names of observed variables and potentials.
    energies : list of str
        Names of Boltzmann variables whose energies are multiplied by beta, too.

    Returns
    -------
    model : pymc.Model
    beta : SharedVariable
    """
    beta = pytensor.shared(np.float64(1.0), name="beta")

    def multiplied(energy, normaliser):
        return Tempered(energy, beta), None if normaliser is None else LinearNormaliser(normaliser)

    clone = with_energies(model, energies, multiplied)
    factors = [clone[name] for name in tempered]
    terms = clone.logp(vars=factors, sum=False)
    for factor in factors:
        kind = clone.potentials if factor in clone.potentials else clone.observed_RVs
        kind.remove(factor)
    with clone:
        for name, term in zip(tempered, terms, strict=True):
            # at beta = 0 a likelihood of zero must not count: 0 * -inf is NaN
            pm.Potential(f"{name}__tempered", pt.switch(pt.gt(beta, 0.0), beta * term, 0.0))
    return clone, beta


def with_energies(model, names, change):
    """Return a clone of a model in which some Boltzmann variables have another energy.

    Parameters
    ----------
    model : pymc.Model
    names : list of str
    change : callable
        (energy, normaliser) -> (energy, normaliser).
    """
    if not names:
        return clone_model(model)
    fgraph, _ = fgraph_from_model(model)
    for node in fgraph.toposort():
        if isinstance(node.op, ModelFreeRV) and node.op.name in names:
            rv = node.inputs[0]
            op = rv.owner.op
            energy, normaliser = change(op.energy(op.dist_params(rv.owner)), op.normaliser)
            new_op, leaves = EnergyRV.of(energy, normaliser)
            rng, size = rv.owner.inputs[:2]
            _, new = new_op(*leaves, size=size, rng=rng, return_next_rng=True)
            fgraph.replace(rv, new, import_missing=True)
    return model_from_fgraph(fgraph, mutate_fgraph=True)

"""Draws of the target itself, to start runs from: made, or read from what a user has."""

import numpy as np
import xarray as xr

from pm_energy.compile import ONCE, compile_function, numeric_leaves
from pm_energy.draws import NoExactDraw, sampler_of
from pm_energy.energy import single_block
from pm_energy.paths.base_draws import PriorDraws, drawn_exactly
from pm_energy.random_variable import EnergyRV
from pm_energy.structure import flatten
from pm_energy.validate import numeric_array


def exact_draws(path, rng, n):
    """Draw from a path's target itself, if that can be done exactly.

    It can if nothing is observed, so that the target is the model's prior, and all variables can be
    drawn: large Boltzmann fields only if they are ferromagnets, by coupling from the past.

    Parameters
    ----------
    path : Path
    rng : numpy.random.Generator
    n : int

    Returns
    -------
    dict of str to ndarray, shape (n, ...), or None
    """
    model = path.model
    if model.observed_RVs or model.potentials:
        return None
    if drawn_exactly(model):
        return PriorDraws(model)(rng, n)
    rvs = model.free_RVs
    if len(rvs) > 1 or not isinstance(rvs[0].owner.op, EnergyRV):
        return None
    energy = rvs[0].owner.op.energy(rvs[0].owner.op.dist_params(rvs[0].owner))
    if rvs[0].ndim > len(single_block(energy).shape):
        return None
    structure, leaves = flatten(energy)
    sampler = sampler_of(structure)
    if sampler.perfect is None:
        return None
    tensors = sampler.tensors(*numeric_leaves(leaves))
    try:
        states = np.array([sampler.perfect(rng, tensors) for _ in range(n)])
    except (NoExactDraw, RuntimeError):  # no ferromagnet, or one that would take for ever
        return None
    return {path.inputs[0].name: states}


def read_draws(path, draws):
    """Return a user's draws of the target as states of the value variables.

    Parameters
    ----------
    path : Path
    draws : DataTree, dict of str to array, or array
        Of all free variables, on their own scales: as the posterior of a DataTree, or with one
        leading axis of draws. An array alone is for a model of one variable.

    Returns
    -------
    dict of str to ndarray, shape (n, ...)

    Raises
    ------
    ValueError
        If a variable is missing, or has another shape or type.
    """
    rvs, transforms = path.model.free_RVs, path.model.rvs_to_transforms
    arrays = [_checked(rv, array) for rv, array in zip(rvs, _arrays(rvs, draws), strict=True)]
    if len({len(array) for array in arrays}) != 1:
        raise ValueError("target_draws must hold as many draws of each variable")
    values = [
        rv if transforms[rv] is None else transforms[rv].forward(rv, *rv.owner.inputs) for rv in rvs
    ]
    fn = compile_function(rvs, values, mode=ONCE)
    columns = zip(*(fn(*map(np.asarray, row)) for row in zip(*arrays, strict=True)), strict=True)
    names = [path.model.rvs_to_values[rv].name for rv in rvs]
    return {name: np.stack(column) for name, column in zip(names, columns, strict=True)}


def _arrays(rvs, draws):
    if isinstance(draws, xr.DataTree) and "posterior" in draws.children:
        posterior = draws["posterior"].to_dataset().stack(all_draws=("chain", "draw"))
        draws = dict(posterior.transpose("all_draws", ...).data_vars)
    elif not isinstance(draws, dict):
        draws = {rvs[0].name: draws} if len(rvs) == 1 else {}
    missing = [rv.name for rv in rvs if rv.name not in draws]
    if missing:
        raise ValueError(
            f"target_draws has no draws of {missing}: pass a DataTree with a posterior of all free "
            "variables, or a dict of arrays with a leading axis of draws"
        )
    return [draws[rv.name] for rv in rvs]


def _checked(rv, array):
    array, shape = numeric_array(f"target_draws[{rv.name!r}]", array), tuple(rv.shape.eval())
    if array.shape[1:] != shape or not array.size:
        raise ValueError(
            f"target_draws[{rv.name!r}] must have the shape {('n', *shape)}, got {array.shape}"
        )
    cast = array.astype(rv.dtype)
    if cast.dtype.kind in "iu" and (cast != array).any():
        raise ValueError(f"target_draws[{rv.name!r}] must be integers")
    return cast

"""Hidden units of a layered energy, drawn after sampling."""

import math

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pymc.util import get_random_generator
from pytensor.graph.replace import graph_replace, vectorize_graph

from pm_energy.compile import ONCE, compile_function
from pm_energy.compose import Clamped, Marginal
from pm_energy.energy import blocks_of, field
from pm_energy.random_variable import EnergyRV, random_ancestors


def sample_hidden(trace, name, *, model=None, random_seed=None):
    """Draw the hidden units given each draw of the visible ones.

    The hidden units of an RBM are summed out while its visible layer is sampled. Given the visible
    units and the parameters they are independent, so one exact draw completes each posterior draw.

    Parameters
    ----------
    trace : DataTree
        What ``pm.sample`` returned; its ``posterior`` is read.
    name : str
        The visible variable: free, observed or partly observed.
    model : pymc.Model, optional
        Taken from the context if not given.
    random_seed : int, optional

    Returns
    -------
    DataArray
        Hidden states, dims (chain, draw, ..., f"{name}_hidden_unit").

    Raises
    ------
    ValueError
        If the variable has no hidden layer, or the posterior lacks a variable that this needs.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     v = pme.Boltzmann("v", pme.RBM([[4.0], [4.0], [4.0]], -6.0, hidden_bias=-6.0))
    ...     trace = pm.sample(20, tune=0, chains=1, progressbar=False, quiet=True)
    ...     h = pme.sample_hidden(trace, "v")
    >>> dict(h.sizes)
    {'chain': 1, 'draw': 20, 'v_hidden_unit': 1}
    """
    model = pm.modelcontext(model)
    posterior = trace["posterior"].dataset
    domain, slope = _hidden_field(model, name)
    inputs = random_ancestors([slope])
    absent = sorted(v.name or str(v) for v in inputs if v.name not in posterior)
    if absent:
        raise ValueError(
            f"the hidden units of {name} depend on {absent}, which trace does not hold; "
            "keep these variables when sampling"
        )
    sizes = posterior.sizes["chain"], posterior.sizes["draw"]
    batched = [pt.tensor(dtype=v.dtype, shape=(None, *v.type.shape)) for v in inputs]
    if inputs:
        slope = vectorize_graph(slope, dict(zip(inputs, batched, strict=True)))
    draws = [posterior[v.name].transpose("chain", "draw", ...).values for v in inputs]
    at = compile_function(batched, slope, mode=ONCE)(
        *[d.reshape(-1, *d.shape[2:]).astype(v.dtype) for d, v in zip(draws, inputs, strict=True)]
    )
    codes = np.eye(len(domain.states)) if domain.code_ndim else domain.states[:, None].astype(float)
    logits = (at if domain.code_ndim else at[..., None]) @ codes.T
    if not inputs:
        logits = np.broadcast_to(logits, (math.prod(sizes), *logits.shape))
    # the largest logit plus Gumbel noise is a draw from their softmax
    noise = get_random_generator(random_seed).gumbel(size=logits.shape)
    hidden = domain.states[np.argmax(logits + noise, axis=-1)]
    hidden = hidden.reshape(*sizes, *hidden.shape[1:])
    dims = ["chain", "draw", *_lead_dims(model, name, hidden.ndim - 3), f"{name}_hidden_unit"]
    coords = {d: posterior[d] for d in dims if d in posterior.coords}
    return xr.DataArray(hidden, dims=dims, coords=coords, name=f"{name}_hidden")


def _hidden_field(model, name):
    """Domain of the hidden units and the field on them, a graph of the model's variables."""
    partly = model.named_vars.get(f"{name}_unobserved")
    rv = model.named_vars.get(name) if partly is None else partly
    op = None if rv is None or rv.owner is None else rv.owner.op
    if not isinstance(op, EnergyRV):
        raise ValueError(f"name must be a Boltzmann variable of the model, got {name!r}")
    x, leaves = op.core_inputs()
    marginal, state = op.energy(leaves), x
    if isinstance(marginal, Clamped):
        marginal, state = marginal.energy, marginal.scatter(x)
    if not isinstance(marginal, Marginal):
        raise ValueError(f"{name} has no hidden layer that was summed out")
    joint, wrt = marginal.energy, marginal.block
    visible, hidden = blocks_of(joint)[1 - wrt], blocks_of(joint)[wrt]
    code = pt.tensor(shape=visible.code_shape, dtype="float64")
    units = [code, pt.zeros(hidden.code_shape)]
    slope = field(joint, *(units if wrt == 1 else units[::-1]), wrt=wrt)
    slope = graph_replace(slope, {code: visible.domain.encode(state)}, strict=False)
    shown = model.rvs_to_values[rv] if rv in model.observed_RVs else rv
    params = op.dist_params(rv.owner)
    given = {x: shown, **dict(zip(leaves, params, strict=True))}
    return hidden.domain, vectorize_graph(slope, given)


def _lead_dims(model, name, n):
    """Names of the batch axes, as ArviZ has them."""
    named = model.named_vars_to_dims.get(name) or (None,) * n
    return [dim or f"{name}_dim_{i}" for i, dim in enumerate(named[:n])]

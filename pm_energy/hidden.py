"""Hidden units of a layered energy, drawn after sampling."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pymc.util import get_random_generator
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import ancestors

from pm_energy.compile import compile_function
from pm_energy.compose import Marginal
from pm_energy.distributions import EnergyRV
from pm_energy.energy import blocks_of, field


def sample_hidden(trace, name, *, model=None, random_seed=None):
    """Draw the hidden units given each draw of the visible ones.

    The hidden units of an RBM are summed out while its visible layer is sampled. Given the visible
    units and the parameters they are independent, so one exact draw completes each posterior draw.

    Parameters
    ----------
    trace : DataTree
        What ``pm.sample`` returned; its ``posterior`` is read.
    name : str
        The visible variable.
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
        If the variable is not there or has no hidden layer.
    """
    model = pm.modelcontext(model)
    posterior = trace["posterior"].dataset
    if name not in model.named_vars or name not in posterior:
        raise ValueError(f"name must be a sampled variable of the model, got {name!r}")
    rv = model[name]
    op = getattr(rv.owner, "op", None)
    if not isinstance(op, EnergyRV) or not isinstance(op.energy(op.core_inputs()[1]), Marginal):
        raise ValueError(f"{name} has no hidden layer that was summed out")
    x, leaves = op.core_inputs()
    marginal = op.energy(leaves)
    joint, hidden = marginal.energy, marginal.block
    shown, summed = blocks_of(joint)[1 - hidden], blocks_of(joint)[hidden]
    code = pt.tensor(shape=shown.code_shape, dtype="float64")
    units = [code, pt.zeros(summed.code_shape)]
    slope = field(joint, *(units if hidden == 1 else units[::-1]), wrt=hidden)
    slope = graph_replace(slope, {code: shown.domain.encode(x)}, strict=False)
    params = op.dist_params(rv.owner)
    slope = vectorize_graph(slope, {x: rv, **dict(zip(leaves, params, strict=True))})

    used = set(ancestors([slope]))
    inputs = [v for v in model.free_RVs if v in used and v.name in posterior]
    fn = compile_function(inputs, slope)
    values = summed.domain.states
    codes = np.eye(len(values)) if summed.domain.code_ndim else values[:, None].astype(float)
    rng = get_random_generator(random_seed)
    draws = [posterior[v.name].transpose("chain", "draw", ...).values for v in inputs]
    rows = []
    for chain, draw in np.ndindex(draws[0].shape[:2]):
        f = fn(
            *[np.asarray(d[chain, draw], dtype=v.dtype) for d, v in zip(draws, inputs, strict=True)]
        )
        logits = (f if summed.domain.code_ndim else f[..., None]) @ codes.T
        # the largest logit plus Gumbel noise is a draw from their softmax
        rows.append(values[np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)])
    shape = (*draws[0].shape[:2], *rows[0].shape)
    lead = [str(d) for d in posterior[name].dims[2 : 2 + len(shape) - 3]]
    dims = ["chain", "draw", *lead, f"{name}_hidden_unit"]
    coords = {d: posterior[d] for d in dims if d in posterior.coords}
    return xr.DataArray(np.reshape(rows, shape), dims=dims, coords=coords, name=f"{name}_hidden")

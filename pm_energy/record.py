"""Draws of a model's value variables -> a DataTree like that of ``pm.sample``."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from pymc.backends.base import MultiTrace
from pymc.backends.ndarray import NDArray
from pytensor.graph.replace import vectorize_graph

from pm_energy.compile import ONCE, compile_function

AT_ONCE = 256  # draws: what they are transformed to need not all be in memory twice


def to_datatree(model, values, stats=None, groups=None, attrs=None):
    """Make a DataTree of posterior, statistics, data and groups of our own.

    Parameters
    ----------
    model : pymc.Model
    values : dict of str to array, shape (chain, draw, ...)
        States of the value variables, as samplers see them.
    stats : list of list of dict, optional
        For each chain and step method: name of statistic -> array (draw,).
    groups : dict of str to xarray.Dataset, optional
    attrs : dict, optional
        Attributes of the posterior.

    Returns
    -------
    xarray.DataTree
    """
    outputs = model.unobserved_value_vars
    arrays = _transformed(model, outputs, values)
    names = [variable.name for variable in outputs]
    n_chains, n_draws = next(iter(arrays.values())).shape[:2]
    dtypes = [{k: v.dtype for k, v in part.items()} for part in stats[0]] if stats else None
    traces = []
    for chain in range(n_chains):
        trace = NDArray(
            model=model,
            vars=outputs,
            fn=lambda **point: None,
            var_shapes={name: arrays[name].shape[2:] for name in names},
            var_dtypes={name: arrays[name].dtype for name in names},
        )
        trace.setup(n_draws, chain, dtypes)
        for name in names:
            trace.samples[name][:] = arrays[name][chain]
        for part, found in zip(trace._stats or [], stats[chain] if stats else [], strict=True):
            part.update(found)
        trace.draw_idx = n_draws
        traces.append(trace)
    tree = pm.to_inference_data(MultiTrace(traces), model=model, save_warmup=False)
    tree["posterior"].attrs.update(attrs or {})
    for name, dataset in (groups or {}).items():
        tree[name] = xr.DataTree(dataset)
    return tree


def _transformed(model, outputs, values):
    """Values, variables on their own scales and deterministics: name -> (chain, draw, ...)."""
    inputs = model.value_vars
    lead = next(iter(values.values())).shape[:2]
    given = [np.asarray(values[v.name], v.dtype) for v in inputs]
    given = [x.reshape(-1, *x.shape[2:]) for x in given]
    if set(outputs) <= set(inputs):
        found = [given[inputs.index(v)] for v in outputs]
    else:
        found = _evaluate(inputs, outputs, given)
    return {v.name: x.reshape(*lead, *x.shape[1:]) for v, x in zip(outputs, found, strict=True)}


def _evaluate(inputs, outputs, given):
    """Evaluate graphs at many points: vectorised, or one after the other."""
    n = len(given[0])
    try:
        batches = [pt.tensor(dtype=v.dtype, shape=(None, *v.type.shape)) for v in inputs]
        batched = vectorize_graph(outputs, dict(zip(inputs, batches, strict=True)))
        fn, step = compile_function(batches, _with_axis(batched, outputs, batches), ONCE), AT_ONCE
        parts = [fn(*[x[i : i + step] for x in given]) for i in range(0, n, step)]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]
    except NotImplementedError:
        fn = compile_function(inputs, outputs, ONCE)
        rows = [fn(*[x[i] for x in given]) for i in range(n)]
        return [np.stack(column) for column in zip(*rows, strict=True)]


def _with_axis(batched, outputs, batches):
    """Give outputs that depend on no variable an axis of draws all the same."""
    n = batches[0].shape[0]
    return [
        pt.broadcast_to(b, (n, *b.shape)) if b.ndim == v.ndim else b
        for b, v in zip(batched, outputs, strict=True)
    ]


def statistics_arrays(moves):
    """Statistics of the moves of a chain as arrays.

    Parameters
    ----------
    moves : list of list of dict
        For each draw, what each step method said.

    Returns
    -------
    list of dict of str to array, shape (draw,)
        Numbers that every draw has.
    """
    arrays = []
    for part in zip(*moves, strict=True):
        shared = set.intersection(*[set(said) for said in part])
        columns = {key: np.array([said[key] for said in part]) for key in part[0] if key in shared}
        arrays.append({key: x for key, x in columns.items() if x.dtype.kind in "biuf"})
    return arrays

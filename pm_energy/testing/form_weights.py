"""What a normal form says about a state, in plain numpy: the reference for forms and kernels."""

from functools import singledispatch

import numpy as np

from pm_energy.domains import Spin
from pm_energy.energies.sites import Complete
from pm_energy.forms import Held, Layers, PottsPairs, SpinPairs


@singledispatch
def log_weights(form, tensors, states, domain):
    """Log-probability of states up to a constant, shape (B,).

    Parameters
    ----------
    form : SpinPairs, PottsPairs, Layers or Held
    tensors : sequence of ndarray
        The numbers of ``form.tensors``.
    states : ndarray, shape (B, *event_shape)
    domain : Domain
    """
    raise TypeError(f"{type(form).__name__} is no normal form")


def _bonds(sites, coupling):
    if isinstance(sites, Complete):
        edges = np.stack(np.triu_indices(sites.n, k=1), axis=1)
        return edges, coupling[edges[:, 0], edges[:, 1]]
    return sites.edges, coupling


@log_weights.register
def _(form: SpinPairs, tensors, states, domain):
    coupling, bias = tensors
    flat = states.reshape(len(states), -1).astype(float)
    s = flat if isinstance(domain, Spin) else 2.0 * flat - 1.0
    edges, values = _bonds(form.sites, coupling)
    pairs = (values * s[:, edges[:, 0]] * s[:, edges[:, 1]]).sum(-1)
    return 0.5 * (pairs + (np.ravel(bias) * s).sum(-1))


@log_weights.register
def _(form: PottsPairs, tensors, states, domain):
    coupling, log_weight = tensors
    x = states.reshape(len(states), -1)
    edges, values = _bonds(form.sites, coupling)
    table = np.broadcast_to(log_weight, (*states.shape[1:], form.q)).reshape(-1, form.q)
    pairs = (values * (x[:, edges[:, 0]] == x[:, edges[:, 1]])).sum(-1)
    return pairs + table[np.arange(x.shape[1]), x].sum(-1)


@log_weights.register
def _(form: Layers, tensors, states, domain):
    weights, a, b = tensors
    bits = (states.reshape(len(states), -1) > 0).astype(float)
    v = bits[:, : form.shape[0]]
    field = v @ weights + b
    if form.kind == "joined":
        return v @ a + (field * bits[:, form.shape[0] :]).sum(-1)
    return v @ a + np.logaddexp(0.0, field).sum(-1)


@log_weights.register
def _(form: Held, tensors, states, domain):
    full = np.broadcast_to(form.states, (len(states), *form.mask.shape)).copy()
    full[:, ~form.mask] = states
    return log_weights(form.form, tensors, full, domain)

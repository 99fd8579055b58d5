"""Per-site log-weights of a discrete variable from the other factors of a PyMC model.

A Gibbs sampler of a field z inside a bigger model needs, besides the energy's own conditional,
what the rest of the model says about each z_i. If every other factor that looks at z is a sum of
functions of single entries, ``sum_i f_i(z_i)``, then the log-weight of state k at site i is
``f_i(k)``: exact for any likelihood. That form is proved from the graph
(:mod:`pm_energy.graph.sites`), after taking apart the sums at its root
(:mod:`pm_energy.graph.additive`); f_i(k) is then read off by setting *all* entries to k and adding
up the elements that belong to site i.

A check of a parameter that depends on z, such as ``sigma[z] > 0``, counts as it does in PyMC's
compiled log-density: at the root of a factor it gives weight ``-inf`` to the states that fail it at
a site. Further in (in a mixture component, say) one failing site would silence the component at all
sites, which is no sum over sites: there the weights raise ``ParameterValueError`` if a state fails.
"""

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.utils import CheckParameterValue
from pytensor.graph.replace import clone_replace, graph_replace

from pm_energy.graph.additive import additive_parts, take_apart
from pm_energy.graph.factors import (
    current_data,
    readable,
    root_nodes,
    shaped_inputs,
    split_factors,
)
from pm_energy.graph.site_rules import NotSitewise
from pm_energy.graph.sites import Sites

__all__ = ["NotSitewise", "model_site_log_weights", "site_log_weights"]


def model_site_log_weights(model, rv, states, initial_point=None):
    """Per-site log-weights of a discrete variable from all other factors of a model.

    Parameters
    ----------
    model : pymc.Model
    rv : TensorVariable
        A discrete random variable of the model.
    states : sequence of int
        States of one entry.
    initial_point : dict of str to array, optional
        A point of the model, for the shapes of its variables; ``model.initial_point()`` by default.

    Returns
    -------
    weights : TensorVariable or None, float64, shape (len(states), *rv.shape)
        Sum over the factors that were proved to be site-wise, up to a constant at each site. A
        graph of value variables and shared data, free of the value of ``rv``. None if there is no
        such factor.
    unproven : dict of str to str
        Names of the other factors, with the reason.

    Notes
    -----
    The proof uses the shapes of the variables and the data (``pm.Data``) of the moment; call it
    again after ``pm.set_data``.
    """
    _, others, x = split_factors(model, rv)
    shapes = {v: v.type.shape for v in model.value_vars}
    if any(None in shape for shape in shapes.values()):
        point = model.initial_point() if initial_point is None else initial_point
        shapes = {v: np.shape(point[v.name]) for v in model.value_vars}
    weights, unproven = None, {}
    for name, term in others.items():
        try:
            found = site_log_weights(term, x, states, shapes)
        except NotSitewise as reason:
            unproven[name] = str(reason)
        else:
            weights = found if weights is None else weights + found
    return weights, unproven


def site_log_weights(term, x, states, shapes):
    r"""Log-weight of each state at each site, from a factor that is a sum over sites.

    .. math:: \text{term}(x) = \sum_i f_i(x_i) + c, \qquad w_{ki} = f_i(k)

    Parameters
    ----------
    term : TensorVariable
        A log-density factor of any shape, understood to be summed over its elements.
    x : TensorVariable
        The discrete variable.
    states : sequence of int
        States of one entry.
    shapes : dict of TensorVariable to tuple of int
        Shapes of the variables in the graph, x included. Shared variables are found by themselves.

    Returns
    -------
    TensorVariable, float64, shape (len(states), *x.shape)
        A graph free of x. Impossible states have weight ``-inf``.

    Raises
    ------
    NotSitewise
        If the form was not proved, naming the operation that stands in the way. Not being proved
        says nothing about other ways of writing the same factor.

    Examples
    --------
    >>> import numpy as np, pytensor.tensor as pt
    >>> z, mu = pt.ivector("z"), pt.dvector("mu")
    >>> likelihood = -0.5 * (np.array([0.0, 1.0, 2.0]) - mu[z]) ** 2
    >>> weights = site_log_weights(likelihood, z, [0, 1], {z: (3,), mu: (2,)})
    >>> weights.eval({mu: [0.0, 2.0]})
    array([[-0. , -0.5, -2. ],
           [-2. , -0.5, -0. ]])
    """
    term = readable(term, x)
    shaped = shaped_inputs(term, shapes)
    if x not in shaped:
        return pt.zeros((len(states), *shapes[x]), dtype="float64")
    [term] = clone_replace([term], shaped, rebuild_strict=False)
    sites = Sites(term, shaped[x], current_data(shaped))
    at_sites = _sum_over_elements(term, sites)
    inputs = {new: pt.specify_shape(old, new.type.shape) for old, new in shaped.items()}
    in_state = [pt.full(shapes[x], state, dtype=x.dtype) for state in states]
    return pt.stack(
        [graph_replace(at_sites, {**inputs, shaped[x]: k}, strict=False) for k in in_state]
    )


def _sum_over_elements(term, sites):
    """Sum of the elements that belong to each site, a graph of x."""
    checks, weight, v = [], None, term
    for node in root_nodes(term):
        if isinstance(node.op, CheckParameterValue):
            checks += [c for check in node.inputs[1:] for c in sites.conditions(check)]
        [(v, weight)] = take_apart(node.op, node, weight, sites)
    total = pt.zeros(sites.x.type.shape, dtype="float64")
    for w, part in additive_parts(v, weight, sites):
        value = part.astype("float64")
        if w is not None:  # what was not chosen stays out even if it is infinite
            value = pt.switch(pt.eq(w, 0.0), 0.0, w * value)
        total += _at_sites(value, sites.ids(part), total.type.shape)
    for check in checks:  # not added: the value may be nan where a check fails
        failures = _at_sites(pt.switch(check, 0.0, 1.0), sites.ids(check), total.type.shape)
        total = pt.switch(pt.eq(failures, 0.0), total, -np.inf)
    return total


def _at_sites(value, ids, shape):
    """Sum of the elements of each site."""
    for axis in range(ids.ndim):  # replicas
        first = ids[(slice(None),) * axis + (slice(0, 1),)]
        if ids.shape[axis] > 1 and np.all(ids == first):
            value, ids = value.sum(axis=axis, keepdims=True), first
    n_sites = int(np.prod(shape))
    if np.array_equal(ids.ravel(), np.arange(n_sites)):
        return value.reshape(shape)
    of_a_site = np.flatnonzero(ids >= 0)
    at = ids.ravel()[of_a_site]
    flat = value.ravel()[of_a_site]
    return pt.zeros(n_sites, dtype="float64")[at].inc(flat).reshape(shape)

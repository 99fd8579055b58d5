"""What a model's parameters see of its states: ``-dE/dtheta``, and its covariance."""

import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.replace import vectorize_graph

from pm_energy.energy import evaluate
from pm_energy.structure import symbolic_like


def statistics(energy, *states):
    """Return ``-dE/dtheta`` for each tensor parameter, at each state.

    The gradient of the log-likelihood is its mean over the data minus its mean over the model.

    Parameters
    ----------
    energy : Energy
    *states : TensorVariable or array, shape (B, *block)

    Returns
    -------
    list of TensorVariable, each (B, *parameter)
        In the order of the fields of the dataclass.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pair_sum, total = pme.statistics(pme.Ising(lattice=(3, 3)), np.ones((1, 3, 3)))
    >>> pair_sum.eval(), total.eval()
    (array([18.]), array([9.]))
    """
    core, inputs, leaves = symbolic_like(energy)
    states = [pt.as_tensor(x) for x in states]
    units = [pt.tensor(dtype=x.dtype, shape=x.type.shape[1:]) for x in states]
    energy = evaluate(core, *units)
    slopes = grad(-energy, inputs, disconnected_inputs="ignore", return_disconnected="zero")
    batch = states[0].shape[0]
    out = []
    for slope in slopes:
        given = {u: x for u, x in zip(units, states, strict=True)}
        given |= dict(zip(inputs, leaves, strict=True))
        value = vectorize_graph(slope, given)
        if value.ndim == slope.ndim:  # the same for all states: it did not get the batch axis
            value = pt.broadcast_to(value, (batch, *[value.shape[i] for i in range(value.ndim)]))
        out.append(value)
    return out


def fisher_information(energy, *states, weights=None):
    """Covariance of ``-dE/dtheta`` over states: the Fisher information of the parameters.

    Parameters
    ----------
    energy : Energy
    *states : array, shape (B, *block)
        All states with their probabilities as ``weights``, or draws from the model.
    weights : array, shape (B,), optional
        Weights of the states, summing to 1; equal by default.

    Returns
    -------
    TensorVariable, shape (k, k)
        For the k entries of all parameters in order, each ravelled.

    Raises
    ------
    ValueError
        If the energy has no tensor parameters.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pair = pme.Ising(graph=[[0, 1]], coupling=0.0)
    >>> states, p = pme.exact.distribution(pair)
    >>> pme.fisher_information(pair, states, weights=p).eval()  # coupling, field
    array([[1., 0.],
           [0., 2.]])
    """
    slopes = statistics(energy, *states)
    if not slopes:
        raise ValueError(f"{type(energy).__name__} has no tensor parameters")
    table = pt.concatenate([s.reshape((s.shape[0], -1)) for s in slopes], axis=1)
    w = pt.as_tensor(weights) if weights is not None else pt.ones(table.shape[0]) / table.shape[0]
    centred = table - (w[:, None] * table).sum(axis=0)
    return (w[:, None] * centred).T @ centred

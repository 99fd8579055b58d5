"""Moves of a two-state or categorical field that need the whole log-density and nothing else."""

import numpy as np
from pytensor.gradient import DisconnectedInputError, NullTypeGradError, grad
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import toposort
from pytensor.scalar.basic import Cast
from pytensor.tensor.elemwise import CAReduce, Elemwise

from pm_energy.kernels.single_site import balanced_moves, evaluated_sweeps


def balanced(density, x, states, reader_of):
    """Locally balanced moves, informed by the gradient in the states seen as real numbers.

    Parameters
    ----------
    density : TensorVariable, shape ()
        All of the log-density that depends on x.
    x : TensorVariable
        Value variable of a field of two-state units.
    states : ndarray, shape (2,)
    reader_of : callable
        Makes a function of the model's point from a list of graphs.

    Returns
    -------
    callable
        ``sweep(point, x, rng, n_sweeps)``

    Raises
    ------
    NotDifferentiable
        If there is no gradient.
    """
    real = x.type.clone(dtype="float64")()
    try:
        slope = grad(_with_real_states(density, x, real), real)
    except (DisconnectedInputError, NullTypeGradError, NotImplementedError, TypeError) as why:
        raise NotDifferentiable(f"it cannot be differentiated ({type(why).__name__})") from why
    reader = reader_of([density, graph_replace(slope, {real: x.astype("float64")})])

    def sweep(point, state, rng, n_sweeps):
        flat, point = state.reshape(-1), {**point, x.name: state}

        def value_and_slope(_):
            value, slope = reader(point)
            return float(value), np.ravel(slope)

        return balanced_moves(rng, flat, states, value_and_slope, flat.size * n_sweeps)

    return sweep


class NotDifferentiable(Exception):
    """The log-density has no gradient in the states; the message says why."""


def _with_real_states(density, x, real):
    """The same formula of real numbers. Integer types that were chosen for x must not stay."""
    new = {x: real}
    for node in toposort([density]):
        if not any(v in new for v in node.inputs):
            continue
        inputs, op = [new.get(v, v) for v in node.inputs], node.op
        to_integer = op.scalar_op if isinstance(op, Elemwise) else None
        if isinstance(to_integer, Cast) and to_integer.o_type.dtype.startswith("int"):
            new[node.outputs[0]] = inputs[0]
            continue
        if isinstance(op, CAReduce) and str(op.dtype or "").startswith("int"):
            op = type(op)(axis=op.axis)
        new.update(zip(node.outputs, op.make_node(*inputs).outputs, strict=True))
    return new.get(density, density)


def evaluated(density, x, states, reader_of):
    """Heat bath from the log-density at every state of every unit; arguments as above."""
    reader = reader_of([density])

    def sweep(point, state, rng, n_sweeps):
        flat, point = state.reshape(-1), {**point, x.name: state}
        return evaluated_sweeps(rng, flat, states, lambda _: float(reader(point)[0]), n_sweeps)

    return sweep

"""Is an energy quadratic? Is it affine in each unit? Read from its graph.

Where E is quadratic its couplings ``-d2E/dx2`` are constant in x, and a sweep can keep the fields
up to date in O(n) per flip. Where E is affine in each unit, ``-dE/dx`` gives the exact conditional
of every unit. Both are properties of polynomials, so a graph is first required to be one: of
products, sums and what moves elements about. That shuts out ``abs``, ``maximum`` or comparisons,
which have zero second derivatives almost everywhere and are neither quadratic nor affine.
"""

from typing import NamedTuple

import numpy as np
import pytensor.scalar.basic as ps
import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, graph_inputs
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.sharedvar import TensorSharedVariable
from pytensor.tensor.type import TensorType

from pm_energy.compile import ONCE, compile_function
from pm_energy.energy import single_block
from pm_energy.polynomial import NotQuadratic, as_polynomial, nodes_after, values_read

__all__ = ["NotQuadratic", "QuadraticForm", "affine_failure", "quadratic_form"]

KINKED_SCALAR_OPS = (
    ps.Abs | ps.Ceil | ps.Clip | ps.FixedLogicalComparison | ps.Floor | ps.IntDiv
    | ps.LogicalComparison | ps.Maximum | ps.Minimum | ps.Mod | ps.RoundHalfAwayFromZero
    | ps.RoundHalfToEven | ps.Sign | ps.Trunc
)  # fmt: skip
BATCH = 2**16  # numbers in a batch of directions: stays in the cache
ROUNDING = 1e-10  # of a unit's largest second derivative; float64 leaves about 1e-15


class QuadraticForm(NamedTuple):
    r"""The energy :math:`E(x) = E(0) - f \cdot x - \tfrac12 x^\top J x`, x ravelled.

    Attributes
    ----------
    field : TensorVariable, shape x.shape
        f, the field ``-dE/dx`` at x = 0.
    coupling : TensorVariable, shape (n, n)
        J, the couplings ``-d2E/dx2`` between the n entries of x in C order, symmetric. Its diagonal
        is zero if E is affine in each unit.
    """

    field: Variable
    coupling: Variable


def quadratic_form(energy, x):
    """Field and couplings of an energy that is quadratic in x, for all values of its parameters.

    Parameters
    ----------
    energy : TensorVariable, scalar
    x : TensorVariable, float, any ndim, its static shape known

    Returns
    -------
    QuadraticForm
        Graphs free of x.

    Raises
    ------
    NotQuadratic
        If the energy is not written as a polynomial, or its second derivatives depend on x; names
        the operations to blame.

    Examples
    --------
    >>> import numpy as np, pytensor.tensor as pt
    >>> x = pt.tensor("x", shape=(3,))
    >>> form = quadratic_form(-2.0 * x[0] * x[1] - x.sum(), x)
    >>> form.coupling.eval()
    array([[0., 2., 0.],
           [2., 0., 0.],
           [0., 0., 0.]])
    >>> form.field.eval()
    array([1., 1., 1.])
    """
    polynomial, coefficients = as_polynomial(-energy, x)
    product, direction = _hessian_product(polynomial, x)
    culprits = _dependence(product, x)
    if culprits is not None:
        raise NotQuadratic(f"its second derivatives depend on {x}, through {culprits}")
    shape = x.type.shape
    n = int(np.prod(shape))
    if direction in ancestors([product]):
        basis = pt.eye(n, dtype=x.dtype).reshape((n, *shape))
        coupling = vectorize_graph(product, {direction: basis}).reshape((n, n))
    else:
        coupling = pt.zeros((n, n), dtype=x.dtype)
    at_zero = {x: pt.zeros(shape, dtype=x.dtype), **coefficients}
    return QuadraticForm(
        *graph_replace([_simplified_grad(polynomial, x), coupling], at_zero, strict=False)
    )


def affine_failure(energy):
    """Why an energy is not affine in each unit, or None if it is.

    A unit enters affinely if its second derivative vanishes identically; for categories, if the
    block of second derivatives between the categories of one site does. That is tested at random
    real points, with random values of the parameters that are not numbers: a polynomial that is not
    zero is zero there with probability zero.

    Parameters
    ----------
    energy : Energy
        Over one block of discrete units. Its parameters are numbers or PyTensor variables, which
        need a known static shape.

    Returns
    -------
    str or None

    Examples
    --------
    >>> import pm_energy as pme
    >>> affine_failure(pme.Ising(lattice=(3, 3))) is None
    True
    >>> affine_failure(pme.energy_from_function(lambda x: (x**2).sum(-1), pme.Spin(), (2,)))
    'd2E/dx2 of unit 0 is not zero'
    """
    block = single_block(energy)
    x = pt.tensor("x", shape=block.code_shape, dtype="float64")
    value = energy(x)
    try:
        polynomial, coefficients = as_polynomial(value, x)
    except NotQuadratic as why:
        return str(why)
    inputs = [v for v in graph_inputs([value]) if v is not x]
    free = [v for v in inputs if not isinstance(v, Constant | TensorSharedVariable)]
    kinks = {str(node.op) for node in nodes_after(value, free) if _is_kinked(node.op)}
    if kinks:
        return f"it is not smooth in its parameters ({', '.join(sorted(kinks))})"
    parameters = [v for v in free if isinstance(v.type, TensorType)]
    for v in parameters:
        if None in v.type.shape:
            return f"the shape of its parameter {v} is not known"
    product, direction = _hessian_product(polynomial, x)
    if direction not in ancestors([product]):
        return None  # linear
    directions = pt.tensor(shape=(None, *block.code_shape), dtype="float64")
    product = graph_replace(
        vectorize_graph(product, {direction: directions}), coefficients, strict=False
    )
    along = compile_function([x, directions, *parameters], product, mode=ONCE)
    rng = np.random.default_rng(0)
    # parameters of either sign, where that makes sense, and positive ones, where it must
    for draw, must_be_finite in ((rng.standard_normal, False), (rng.random, True)):
        values = [np.asarray(draw(v.type.shape), dtype=v.dtype) for v in parameters]
        failure = _same_site_failure(along, block, rng, values, must_be_finite or not parameters)
        if failure is not None or not parameters:
            return failure
    return None


def _same_site_failure(along, block, rng, parameters, must_be_finite):
    """Look for a second derivative within one site, at a random point along random directions."""
    n_sites = int(np.prod(block.shape))
    per_site = int(np.prod(block.code_shape)) // n_sites
    at = rng.standard_normal(block.code_shape)
    step = max(1, BATCH // at.size)
    for start in range(0, n_sites, step):
        sites = np.arange(start, min(start + step, n_sites))
        rows = np.arange(len(sites))
        directions = np.zeros((len(sites), n_sites, per_site))
        directions[rows, sites] = rng.standard_normal((len(sites), per_site))
        change = along(at, directions.reshape((-1, *at.shape)), *parameters)
        change = np.abs(change).reshape(directions.shape)
        if not np.isfinite(change).all():
            return "its second derivatives are not finite" if must_be_finite else None
        nonlinear = change[rows, sites].max(axis=1) > ROUNDING * change.max(axis=(1, 2))
        if nonlinear.any():
            return f"d2E/dx2 of unit {sites[nonlinear.argmax()]} is not zero"
    return None


def _is_kinked(op):
    return isinstance(getattr(op, "scalar_op", op), KINKED_SCALAR_OPS)


def _simplified_grad(cost, x):
    slope = grad(cost, x, disconnected_inputs="ignore", return_disconnected="zero")
    simplified = FunctionGraph(outputs=[slope], copy_inputs=False)
    rewrite_graph(simplified)
    return simplified.outputs[0]


def _hessian_product(polynomial, x):
    """``H v``, simplified, and the direction v."""
    direction = x.type("direction")
    slope_along = (_simplified_grad(polynomial, x) * direction).sum()
    return _simplified_grad(slope_along, x), direction


def _dependence(product, x):
    """Operations that make ``product`` depend on the value of x."""
    varying, names = {x}, set()
    for node in nodes_after(product, [x]):
        if varying.intersection(values_read(node)):
            varying.update(node.outputs)
            if isinstance(node.op, Elemwise | CAReduce | Dot | Blockwise):
                names.add(str(node.op))
    return ", ".join(sorted(names)) if product in varying else None

"""Is an energy written as a polynomial in its units? What depends on what in its graph?"""

import numpy as np
import pytensor.scalar.basic as ps
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.rewriting import inline_ofg_node
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import graph_replace
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import graph_inputs, toposort
from pytensor.tensor.basic import (
    Alloc,
    ExtractDiag,
    Join,
    MakeVector,
    ScalarFromTensor,
    Split,
    TensorFromScalar,
)
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp, Repeat
from pytensor.tensor.math import Dot, Prod, Sum
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.signal.conv import Convolve1d
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
)

from pm_energy.compile import evaluate_once

# Multilinear in their float inputs. Their integer inputs cannot depend on x: what makes integers or
# truth values of floats is not among the operations allowed.
POLYNOMIAL_OPS = (
    AdvancedIncSubtensor | AdvancedSubtensor | Alloc | Convolve1d | CumOp | DimShuffle | Dot
    | ExtractDiag | IncSubtensor | Join | MakeVector | Repeat | Reshape | ScalarFromTensor
    | SpecifyShape | Split | Subtensor | Sum | TensorFromScalar
)  # fmt: skip
POLYNOMIAL_SCALAR_OPS = ps.Add | ps.Identity | ps.Mul | ps.Neg | ps.Second | ps.Sqr | ps.Sub


class NotQuadratic(Exception):
    """An energy was not proved to be quadratic in its units, or a polynomial at all."""


def as_polynomial(energy, x):
    """Take an energy for a polynomial in x.

    Parameters
    ----------
    energy : TensorVariable, scalar
    x : TensorVariable, float, of known static shape

    Returns
    -------
    polynomial : TensorVariable
        The energy, with a fresh variable for each coefficient: their graphs, which may hold random
        variables, stay as they are.
    coefficients : dict of Variable to Variable
        What these variables stand for.

    Raises
    ------
    NotQuadratic
        Naming the operation that does not give a polynomial.
    """
    if energy.type.ndim != 0:
        raise ValueError(f"energy must be the scalar energy of one state, got {energy.type}")
    if x.type.dtype not in ("float64", "float32") or None in x.type.shape:
        raise ValueError(f"{x} must be a float tensor of known static shape, got {x.type}")
    reached = {v for node in nodes_after(energy, [x]) for v in node.inputs}
    after_x = {x, *(v for node in nodes_after(energy, [x]) for v in node.outputs)}
    cut = {v: v.type(v.name) for v in reached - after_x if not _is_constant(v)}
    graph = FunctionGraph(outputs=[graph_replace(energy, cut, strict=False)], copy_inputs=False)
    dfs_rewriter(spell_out, _unroll).rewrite(graph)
    varying = {x}
    for node in nodes_after(graph.outputs[0], [x]):
        if varying.intersection(values_read(node)):
            if not _is_polynomial(node, varying):
                raise NotQuadratic(f"{node.op} does not give a polynomial of {x}")
            varying.update(node.outputs)
    rewrite_graph(graph)  # only now: it drops stopped gradients, among others
    return graph.outputs[0], {new: old for old, new in cut.items()}


@node_rewriter([OpFromGraph])
def spell_out(fgraph, node):
    """Rewrite: replace a symbolic operation (einsum, logsumexp) by the graph it stands for."""
    return inline_ofg_node(node)


@node_rewriter([Prod])
def _unroll(fgraph, node):
    """Write a product along an axis with Mul, which can be differentiated twice."""
    [v] = node.inputs
    axes = range(v.ndim) if node.op.axis is None else node.op.axis
    for axis in sorted(axes, reverse=True):
        if v.type.shape[axis] is None:
            return None
        v = pt.mul(1.0, *[v.take(k, axis=axis) for k in range(v.type.shape[axis])])
    return [v.astype(node.outputs[0].dtype)]


def nodes_after(root, variables):
    """List the nodes between variables and a root, in topological order."""
    after, nodes = set(variables), []
    for node in toposort([root]):
        if after.intersection(node.inputs):
            nodes.append(node)
            after.update(node.outputs)
    return nodes


def values_read(node):
    """Return the inputs of a node of which the values are used, not only the shapes."""
    if isinstance(node.op, Shape | Shape_i):
        return []
    is_fill = isinstance(getattr(node.op, "scalar_op", None), ps.Second)
    return node.inputs[1:] if is_fill else node.inputs


def _is_constant(v):
    return all(isinstance(a, Constant) for a in graph_inputs([v]))


def _is_polynomial(node, varying):
    """Whether outputs are polynomials of the inputs in ``varying``, of any coefficients."""
    op = node.op.core_op if isinstance(node.op, Blockwise) else node.op
    if not isinstance(op, Elemwise | ps.ScalarOp):
        return isinstance(op, POLYNOMIAL_OPS)
    first, *others = node.inputs
    match getattr(op, "scalar_op", op):
        case ps.Cast():
            return node.outputs[0].dtype in ("float32", "float64")
        case ps.TrueDiv():
            return not varying.intersection(others)
        case ps.Switch():
            return first not in varying
        case ps.Pow():
            exponents = evaluate_once(others[0]) if _is_constant(others[0]) else -1
            return bool(np.all((exponents >= 0) & (exponents == np.round(exponents))))
        case scalar_op:
            return isinstance(scalar_op, POLYNOMIAL_SCALAR_OPS)

"""A PyMC model's log-density, factor by factor, in a form that can be read."""

import pytensor.tensor as pt
from pymc.logprob.utils import CheckParameterValue, ParameterValueError
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import dfs_rewriter
from pytensor.graph.traversal import ancestors, graph_inputs
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Sum
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.type import TensorType

from pm_energy.polynomial import spell_out


def split_factors(model, rv):
    """Split a model's log-density into a variable's own factor and the others that depend on it.

    Parameters
    ----------
    model : pymc.Model
    rv : TensorVariable
        A random variable of the model.

    Returns
    -------
    own : TensorVariable
        Log-density of ``rv``.
    others : dict of str to TensorVariable
        Elementwise log-densities of the other variables and potentials that depend on ``rv``.
    x : TensorVariable
        Value variable of ``rv``; all factors are graphs of value variables.
    """
    factors = [*model.basic_RVs, *model.potentials]
    terms = dict(zip(factors, model.logp(factors, sum=False), strict=True))
    own, x = terms.pop(rv), model.rvs_to_values[rv]
    return own, {v.name: term for v, term in terms.items() if x in ancestors([term])}, x


def _is_shared(v):
    return isinstance(v, SharedVariable) and isinstance(v.type, TensorType)


def shaped_inputs(term, shapes):
    """Inputs of a graph, each with a variable like it whose static shape is known."""
    known = {v: shapes[v] for v in graph_inputs([term]) if v in shapes}
    shared = {v: v.get_value(borrow=True).shape for v in graph_inputs([term]) if _is_shared(v)}
    return {v: v.type.clone(shape=shape)(v.name) for v, shape in {**shared, **known}.items()}


def current_data(shaped):
    """Values of those of the shaped inputs that are shared."""
    return {new: pt.constant(v.get_value()) for v, new in shaped.items() if _is_shared(v)}


def readable(term, x):
    """Return the factor with symbolic operations spelled out and inner checks of x that raise."""
    fgraph = FunctionGraph(outputs=[term], clone=True, copy_inputs=False)
    dfs_rewriter(spell_out).rewrite(fgraph)
    root = set(root_nodes(fgraph.outputs[0]))
    for node in fgraph.toposort():
        inner = isinstance(node.op, CheckParameterValue) and node not in root
        if inner and x in ancestors(node.inputs[1:]):
            strict = CheckAndRaise(ParameterValueError, node.op.msg)(*node.inputs)
            fgraph.replace(node.outputs[0], strict, import_missing=True)
    return fgraph.outputs[0]


def root_nodes(term):
    """Yield nodes from the root down while they only add up, lay out or check elements."""
    v = term
    while v.owner is not None:
        op = v.owner.op
        check = isinstance(op, CheckParameterValue) and op.can_be_replaced_by_ninf
        if not (check or isinstance(op, Sum | Alloc | DimShuffle | SpecifyShape)):
            return
        yield v.owner
        v = v.owner.inputs[0]

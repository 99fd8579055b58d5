"""Taking a sum apart into site-wise terms.

``(weight * v).sum()`` is rewritten from the root down, through operations that are linear in x's
side of the graph, until every term is a function of single entries of x. This is what makes factors
such as ``h @ x``, ``-a * x.sum() + b * x[0]`` or a potential that is already summed readable.
"""

from functools import singledispatch

import pytensor.tensor as pt
from pymc.logprob.utils import CheckParameterValue
from pytensor.scalar.basic import Add, Cast, Identity, Mul, Neg, Sub, Switch, TrueDiv
from pytensor.tensor.basic import Alloc
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.shape import SpecifyShape

from pm_energy.graph.site_rules import NotSitewise

LINEAR = Add | Cast | Identity | Mul | Neg | Sub | Switch | TrueDiv


def additive_parts(v, weight, sites):
    """Write ``(weight * v).sum()`` as a sum of such terms with site-wise v: a list of (weight, v).

    Weights have the shape of what they multiply and are free of x; None stands for ones.
    """
    if not sites.depends(v):
        return []  # a constant
    try:
        sites.ids(v)
    except NotSitewise:
        pieces = take_apart(v.owner.op, v.owner, weight, sites)
        if pieces is None:
            raise
        return [part for piece, w in pieces for part in additive_parts(piece, w, sites)]
    return [(weight, v)]


@singledispatch
def take_apart(op, node, weight, sites):
    """Inputs and their weights with the same weighted sum as the output's; None if not linear."""
    return None


@take_apart.register(Alloc)
@take_apart.register(SpecifyShape)
@take_apart.register(CheckParameterValue)
def _(op, node, weight, sites):
    v, [out] = node.inputs[0], node.outputs
    return [(v, _unbroadcast(weight, sites.shape(out), sites.shape(v)))]


@take_apart.register(Sum)
def _(op, node, weight, sites):
    [v] = node.inputs
    if weight is not None:
        axes = tuple(range(v.ndim)) if op.axis is None else tuple(op.axis)
        weight = pt.broadcast_to(pt.expand_dims(weight, axes), sites.shape(v))
    return [(v, weight)]


@take_apart.register(DimShuffle)
def _(op, node, weight, sites):
    if weight is not None:
        weight = weight.squeeze([i for i, axis in enumerate(op.new_order) if axis == "x"])
        kept = [axis for axis in op.new_order if axis != "x"]
        order = [kept.index(axis) if axis in kept else "x" for axis in range(op.input_ndim)]
        weight = weight.dimshuffle(order)
    return [(node.inputs[0], weight)]


@take_apart.register(Dot)
@take_apart.register(Blockwise)
def _(op, node, weight, sites):
    if not isinstance(getattr(op, "core_op", op), Dot):
        return None
    (a, b), shape = node.inputs, sites.shape(node.outputs[0])
    if sites.depends(a) and sites.depends(b):
        return None
    weight = pt.ones(shape, dtype="float64") if weight is None else weight
    v, weight = (a, weight @ b.mT) if sites.depends(a) else (b, a.mT @ weight)
    return [(v, _unbroadcast(weight, shape[:-2] + sites.shape(v)[-2:], sites.shape(v)))]


@take_apart.register(Elemwise)
def _(op, node, weight, sites):
    if not isinstance(op.scalar_op, LINEAR):
        return None
    shape = sites.shape(node.outputs[0])
    varying = [v for v in node.inputs if sites.depends(v)]
    scalars = [v for v in node.inputs if not sites.depends(v)]
    ones = pt.ones(shape, dtype="float64") if weight is None else weight
    match op.scalar_op:
        case Add() | Identity():
            pieces = [(v, weight) for v in varying]
        case Cast() if op.scalar_op.o_type.dtype.startswith("float"):
            pieces = [(v, weight) for v in varying]
        case Neg():
            pieces = [(v, -ones) for v in varying]
        case Sub():
            signed = zip(node.inputs, (weight, -ones), strict=True)
            pieces = [(v, w) for v, w in signed if sites.depends(v)]
        case Mul() if len(varying) == 1:
            pieces = [(varying[0], pt.mul(ones, *scalars))]
        case TrueDiv() if varying == node.inputs[:1]:
            pieces = [(varying[0], ones / scalars[0])]
        case Switch() if not sites.depends(node.inputs[0]):
            choice, *values = node.inputs
            chosen = pt.switch(choice, ones, 0.0), pt.switch(choice, 0.0, ones)
            pieces = [(v, w) for v, w in zip(values, chosen, strict=True) if sites.depends(v)]
        case _:
            return None
    return [(v, _unbroadcast(w, shape, sites.shape(v))) for v, w in pieces]


def _unbroadcast(weight, shape, to):
    """Weights of the elements of an array of shape ``to`` that was broadcast to ``shape``."""
    if shape == to:
        return weight
    weight = pt.ones(shape, dtype="float64") if weight is None else weight
    lead = len(shape) - len(to)
    repeated = [lead + i for i, n in enumerate(to) if shape[lead + i] != n]
    return weight.sum(axis=repeated, keepdims=True).sum(axis=tuple(range(lead)))

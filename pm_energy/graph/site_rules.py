"""How site ids pass through each kind of operation: one rule an operation.

What moves elements moves their ids, what combines elements must combine equal ids (or -1, none),
and everything else is refused. Rules get the node and its :class:`~pm_energy.graph.sites.Sites`.
"""

from functools import singledispatch

import numpy as np
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar.basic import ScalarOp
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
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import Repeat
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    unflatten_index_variables,
)


class NotSitewise(Exception):
    """A log-density factor was not proved to be a sum of functions of single entries."""

    op = None  # the operation that stands in the way, once known

    def __str__(self):
        reason = super().__str__()
        return reason if self.op is None else f"{self.op}: {reason}"


def combine(shape, parts):
    """Ids of elements that are each computed from one element of every (broadcast) part."""
    out = np.broadcast_to(parts[0], shape)
    for part in parts[1:]:
        if part is not parts[0]:
            if np.any((out != part) & (out >= 0) & (part >= 0)):
                raise NotSitewise("combines different entries in one element")
            out = np.maximum(out, part)
    return out


def collapse(ids, axes):
    """Ids along axes on which they are constant, with these axes of length 1."""
    top = ids.max(axis=axes, keepdims=True, initial=-1)
    if np.any((ids != top) & (ids >= 0)):
        raise NotSitewise("combines different entries along an axis")
    return top


@singledispatch
def site_ids(op, node, sites):
    """Ids of the outputs of a node (an array, or a list of them)."""
    raise NotSitewise("is not known to keep entries apart")


@site_ids.register(Elemwise)
@site_ids.register(ScalarOp)
def _(op, node, sites):
    parts = [sites.ids(v) for v in node.inputs if sites.depends(v)]
    return combine(np.broadcast_shapes(*[sites.shape(v) for v in node.inputs]), parts)


@site_ids.register(SpecifyShape)
@site_ids.register(ScalarFromTensor)
@site_ids.register(TensorFromScalar)
def _(op, node, sites):
    return sites.ids(node.inputs[0])


@site_ids.register(CheckAndRaise)
def _(op, node, sites):
    # Raises or passes its value on. If it passes wherever all entries of x are in one state, for
    # every state, then each of the conditions holds for every x, as each looks at one entry.
    for check in node.inputs[1:]:
        sites.conditions(check)
    return sites.ids(node.inputs[0])


@site_ids.register(CAReduce)
def _(op, node, sites):
    [v] = node.inputs
    axes = tuple(range(v.ndim)) if op.axis is None else tuple(op.axis)
    return collapse(sites.ids(v), axes).squeeze(axes)


@site_ids.register(DimShuffle)
def _(op, node, sites):
    kept = [axis for axis in op.new_order if axis != "x"]
    dropped = [axis for axis in range(op.input_ndim) if axis not in kept]
    ids = sites.ids(node.inputs[0]).transpose(*kept, *dropped)
    ids = ids.reshape(ids.shape[: len(kept)])
    return np.expand_dims(ids, [i for i, axis in enumerate(op.new_order) if axis == "x"])


@site_ids.register(Reshape)
def _(op, node, sites):
    return sites.ids(node.inputs[0]).reshape(sites.shape(node.outputs[0]))


@site_ids.register(Alloc)
def _(op, node, sites):
    return np.broadcast_to(sites.ids(node.inputs[0]), sites.shape(node.outputs[0]))


@site_ids.register(Join)
def _(op, node, sites):
    return np.concatenate([sites.ids(v) for v in node.inputs], axis=op.axis)


@site_ids.register(MakeVector)
def _(op, node, sites):
    return np.stack([sites.ids(v) for v in node.inputs])


@site_ids.register(Split)
def _(op, node, sites):
    lengths = sites.fixed(node.inputs[1], "the lengths of the pieces")
    return np.split(sites.ids(node.inputs[0]), np.cumsum(lengths)[:-1], axis=op.axis)


@site_ids.register(Repeat)
def _(op, node, sites):
    repeats = sites.fixed(node.inputs[1], "the number of repeats")
    return np.repeat(sites.ids(node.inputs[0]), repeats, axis=op.axis)


@site_ids.register(ExtractDiag)
def _(op, node, sites):
    return np.diagonal(sites.ids(node.inputs[0]), op.offset, op.axis1, op.axis2)


@site_ids.register(Dot)
def _(op, node, sites):
    a, b = (sites.ids(v) for v in node.inputs)
    left, right = collapse(a, -1), collapse(b, -2)
    return combine(np.broadcast_shapes(left.shape, right.shape), [left, right])


@site_ids.register(Blockwise)
def _(op, node, sites):
    if isinstance(op.core_op, Dot):
        return site_ids(op.core_op, node, sites)
    # every element of a core output may depend on every element of the core inputs
    batches = []
    for v, core in zip(node.inputs, op.inputs_sig, strict=True):
        axes = tuple(range(-len(core), 0))
        batches.append(collapse(sites.ids(v), axes).squeeze(axes))
    batch = combine(np.broadcast_shapes(*[b.shape for b in batches]), batches)
    return [
        np.broadcast_to(np.expand_dims(batch, tuple(range(-len(core), 0))), sites.shape(out))
        for out, core in zip(node.outputs, op.outputs_sig, strict=True)
    ]


@site_ids.register(Subtensor)
@site_ids.register(AdvancedSubtensor)
def _(op, node, sites):
    array, *flat = node.inputs
    ids = sites.ids(array)
    index, gathers = [], []
    for entry in unflatten_index_variables(flat, op.idx_list):
        if isinstance(entry, slice):
            index.append(_slice(entry, sites))
        elif (value := sites.value(entry)) is not None:
            value = np.asarray(value)
            index.extend(np.nonzero(value) if value.dtype == bool else [value])
        elif entry.type.dtype == "bool":
            raise NotSitewise("selects by a mask that is not fixed")
        else:
            # which element is taken is unknown, so all along this axis must have the same id
            ids = np.broadcast_to(collapse(ids, len(index)), ids.shape)
            gathers.append(entry)
            index.append(np.zeros(sites.shape(entry), dtype=int))
    taken = np.asarray(ids[tuple(index)])
    gathers = [sites.ids(v) for v in gathers if sites.depends(v)]
    if not gathers:
        return taken
    arrays = [i for i in index if not isinstance(i, slice)]
    indexed_by = combine(np.broadcast_shapes(*[i.shape for i in arrays]), gathers)
    return combine(taken.shape, [taken, _lay_out(indexed_by, ids.shape, index)])


def _slice(entry, sites):
    bounds = (entry.start, entry.stop, entry.step)
    return slice(*[None if b is None else int(sites.fixed(b, "a slice")) for b in bounds])


def _lay_out(indexed_by, shape, index):
    """Place what belongs to the elements of an index where indexing puts these elements.

    Done by indexing itself: an array whose first indexed axis enumerates the elements of the index.
    """
    first = next(axis for axis, i in enumerate(index) if not isinstance(i, slice))
    count = np.arange(indexed_by.size).reshape([-1 if a == first else 1 for a in range(len(shape))])
    elements = np.arange(indexed_by.size).reshape(indexed_by.shape)
    where = [i if isinstance(i, slice) else np.zeros((), dtype=int) for i in index]
    where[first] = elements
    lengths = [indexed_by.size if a == first else n for a, n in enumerate(shape)]
    return indexed_by.ravel()[np.broadcast_to(count, lengths)[tuple(where)]]


@site_ids.register(IncSubtensor)
@site_ids.register(AdvancedIncSubtensor)
def _(op, node, sites):
    array, new, *flat = node.inputs
    index = tuple(
        _slice(entry, sites) if isinstance(entry, slice) else sites.fixed(entry, "the index")
        for entry in unflatten_index_variables(flat, op.idx_list)
    )
    ids = np.array(sites.ids(array))
    times_set = np.zeros(ids.shape, dtype=int)
    np.add.at(times_set, index, 1)
    if np.any(times_set > 1):
        raise NotSitewise("writes an element more than once")
    old = ids[index]
    ids[index] = combine(old.shape, [sites.ids(new), -1 if op.set_instead_of_inc else old])
    return ids

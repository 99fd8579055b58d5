"""Which entry of a variable each element of a graph depends on.

The flat indices of x's entries, its *site ids*, are pushed through the graph as arrays: element e
of a tensor carries the id of the one entry of x that it is a function of, or -1 if it is free of
x. A tensor that passes the rules of :mod:`pm_energy.graph.site_rules` is then proved to satisfy
``t(x)[e] == t(x')[e]`` wherever ``x`` and ``x'`` agree on entry ``ids[e]``, whatever the values of
all other variables.

Only what is fixed during a run may shape the proof: shapes of variables, constants, shared data.
"""

import numpy as np
from pymc.pytensorf import constant_fold
from pytensor.graph.basic import Constant
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import graph_inputs, toposort
from pytensor.scalar.basic import AND
from pytensor.tensor.basic import MakeVector, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import All
from pytensor.tensor.shape import Shape, Shape_i

from pm_energy.graph.site_rules import NotSitewise, site_ids


class Sites:
    """Site ids of every tensor between ``x`` and ``term``.

    Parameters
    ----------
    term : Variable
        Root of the graph.
    x : TensorVariable
        Its static shape must be known.
    data : dict of Variable to Constant
        Inputs of the graph whose values are fixed during a run.
    """

    def __init__(self, term, x, data):
        self.x, self.data = x, data
        self._ids = {x: np.arange(np.prod(x.type.shape, dtype=int)).reshape(x.type.shape)}
        for node in toposort([term]):
            if any(v in self._ids for v in node.inputs):
                self._visit(node)

    def _visit(self, node):
        if isinstance(node.op, Shape | Shape_i):
            self.shape(node.inputs[0])  # free of x only because it is fixed
            return
        try:
            found = site_ids(node.op, node, self)
        except NotSitewise as failure:
            # kept, not raised: a sum further up may still be taken apart
            failure.op = failure.op or node.op
            found = failure
        if not isinstance(found, list):
            found = [found] * len(node.outputs)
        self._ids.update(zip(node.outputs, found, strict=True))

    def depends(self, v):
        """Whether the value of ``v`` depends on x."""
        return v in self._ids

    def ids(self, v):
        """Site ids of ``v``, an integer array of its shape, or raise :class:`NotSitewise`."""
        if v not in self._ids:
            return np.broadcast_to(-1, self.shape(v))
        if isinstance(self._ids[v], NotSitewise):
            raise self._ids[v]
        return self._ids[v]

    def shape(self, v):
        """Shape of ``v``, a tuple of int, or raise :class:`NotSitewise` if it is not fixed."""
        if None not in v.type.shape:
            return v.type.shape
        shape = self._fold(v.shape)
        if shape is None:
            raise NotSitewise(f"the shape of {v} is not fixed ({self._causes(v)})")
        return tuple(int(n) for n in shape)

    def value(self, v):
        """Value of ``v`` as an array, or None if it is not fixed."""
        return None if self.depends(v) else self._fold(v)

    def _fold(self, v):
        v = self.data[v] if v in self.data else graph_replace(v, self.data, strict=False)
        if isinstance(v, Constant):
            return v.data
        [folded] = constant_fold([v], raise_not_constant=False)
        return folded if isinstance(folded, np.ndarray | np.generic) else None

    def _causes(self, v):
        free = [a for a in graph_inputs([v]) if not isinstance(a, Constant) and a not in self.data]
        return "it depends on " + ", ".join(sorted(str(a) for a in free))

    def fixed(self, v, what):
        """Value of ``v``, or raise :class:`NotSitewise`."""
        value = self.value(v)
        if value is None:
            raise NotSitewise(f"{what} is not fixed ({self._causes(v)})")
        return value

    def conditions(self, check):
        """Return the elementwise conditions whose conjunction ``check`` is, if they depend on x."""
        if not self.depends(check):
            return []
        node = check.owner
        conjunction = All | MakeVector | ScalarFromTensor | TensorFromScalar | DimShuffle | AND
        if isinstance(getattr(node.op, "scalar_op", node.op), conjunction):
            return [c for v in node.inputs for c in self.conditions(v)]
        self.ids(check)
        return [check]

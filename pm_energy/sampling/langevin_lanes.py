"""A small graph as statements about the numbers in it, for loops over chains.

PyTensor evaluates a batch operation by operation, each a loop of its own over arrays. Where a graph
holds few numbers, each of them becomes a variable of one loop over chains, which the compiler turns
into SIMD. What is not understood here keeps its compiled gradient.
"""

import numpy as np
import pytensor.scalar as ps
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Constant
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.basic import (
    Alloc,
    Join,
    MakeVector,
    ScalarFromTensor,
    TensorFromScalar,
)
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import IncSubtensor, Subtensor, indices_from_subtensor

from pm_energy.compile import NotNative
from pm_energy.energy import field, single_block

_SPECIAL = {"inf": "np.inf", "-inf": "(-np.inf)", "nan": "np.nan"}
MOST = 2000  # statements: more would take long to compile
FORMS = {  # how a number follows from others
    ps.Sub: "({} - {})",
    ps.TrueDiv: "({} / {})",
    ps.Neg: "(-{})",
    ps.Sqr: "({0} * {0})",
    ps.Sqrt: "np.sqrt({})",
    ps.Exp: "exp({})",
    ps.Log: "log({})",
    ps.Tanh: "tanh({})",
    ps.Sigmoid: "sigmoid({})",
    ps.Softplus: "softplus({})",
    ps.Sinh: "(0.5 * (exp({0}) - exp(-{0})))",
    ps.Cosh: "(0.5 * (exp({0}) + exp(-{0})))",
    ps.Reciprocal: "(1.0 / {})",
    ps.Abs: "abs({})",
    ps.Sin: "np.sin({})",
    ps.Cos: "np.cos({})",
    ps.Sign: "np.sign({})",
    ps.Switch: "pick({}, {}, {})",
    ps.LT: "({} < {})",
    ps.GT: "({} > {})",
    ps.LE: "({} <= {})",
    ps.GE: "({} >= {})",
    ps.EQ: "({} == {})",
    ps.IsInf: "(abs({}) == np.inf)",
    ps.Invert: "(not {})",
}
FOLDS = {ps.Add: "({} + {})", ps.Mul: "({} * {})", ps.ScalarMaximum: "larger({}, {})",
         ps.ScalarMinimum: "smaller({}, {})", ps.AND: "({} & {})", ps.OR: "({} | {})"}  # fmt: skip


class Unrolled:
    """Statements that compute numbers of a graph from those of its inputs.

    Those in ``fixed`` depend on parameters alone, those in ``moving`` on the state.
    """

    def __init__(self):
        self.fixed, self.moving, self._names, self._moving_names = [], [], {}, set()

    def number(self, form, *args):
        """Return the name of a number, or the number where it is a constant."""
        text = form.format(*args)
        if text in self._names:
            return self._names[text]
        if len(self._names) == MOST:
            raise NotNative(f"more than {MOST} numbers")
        name = self._names[text] = f"t{len(self._names)}"
        moves = form.startswith("x[") or not self._moving_names.isdisjoint(args)
        if moves:
            self._moving_names.add(name)
        (self.moving if moves else self.fixed).append(f"{name} = {text}")
        return name

    def evaluate(self, inputs, outputs):
        """Return the numbers of outputs, as arrays of names and constants.

        Parameters
        ----------
        inputs : dict of TensorVariable to ndarray of object
        outputs : list of TensorVariable

        Raises
        ------
        NotNative
            If an operation is not known here.
        """
        known = dict(inputs)

        def value(v):
            if isinstance(v, Constant):
                return np.asarray(v.data).astype(object)
            return known[v]

        for node in io_toposort(list(inputs), outputs):
            args = [value(v) for v in node.inputs]
            if isinstance(node.op, OpFromGraph):
                inner = dict(zip(node.op.inner_inputs, args, strict=True))
                results = self.evaluate(inner, node.op.inner_outputs)
            else:
                results = [np.asarray(self._apply(node, args), dtype=object)]
            known |= zip(node.outputs, results, strict=True)
        return [value(v) for v in outputs]

    def _apply(self, node, args):
        match node.op:
            case Elemwise(scalar_op=op):
                arrays = np.broadcast_arrays(*args)
                flat = [self._scalar(op, numbers) for numbers in zip(*(a.flat for a in arrays),
                                                                     strict=True)]  # fmt: skip
                return _filled(flat, arrays[0].shape)
            case DimShuffle(new_order=order):
                kept = [axis for axis in order if axis != "x"]
                a = args[0].reshape([args[0].shape[axis] for axis in sorted(kept)])
                a = a.transpose(np.argsort(np.argsort(kept)))
                return a[tuple(None if axis == "x" else slice(None) for axis in order)]
            case CAReduce(scalar_op=op, axis=axes):
                return self._reduced(op, axes, args[0])
            case Subtensor(idx_list=places):
                return np.asarray(args[0][_index(args[1:], places)], dtype=object)
            case IncSubtensor(idx_list=places, set_instead_of_inc=replace):
                return self._placed(args, places, replace)
            case MakeVector():
                return _filled([a.item() for a in args], (len(args),))
            case Join():
                return np.concatenate(args[1:], axis=int(args[0].item()))
            case Alloc():
                return np.broadcast_to(args[0], [int(n.item()) for n in args[1:]])
            case Reshape():
                return args[0].reshape([int(n) for n in args[1]])
            case Dot():
                return self._product(*args)
            case TensorFromScalar() | ScalarFromTensor() | SpecifyShape():
                return args[0]
        raise NotNative(f"{node.op} is not unrolled")

    def _scalar(self, op, args):
        if not any(isinstance(a, str) for a in args):
            return op.impl(*args)
        if type(op) in FOLDS:
            total = args[0]
            for a in args[1:]:
                total = self.number(FOLDS[type(op)], _text(total), _text(a))
            return total
        if isinstance(op, ps.Pow):
            return self._power(*args)
        if isinstance(op, ps.Cast) and op.o_type.dtype.startswith("float"):
            return args[0]
        if isinstance(op, ps.Identity | ps.Second):
            return args[-1]
        if type(op) not in FORMS:
            raise NotNative(f"{op} is not unrolled")
        return self.number(FORMS[type(op)], *map(_text, args))

    def _power(self, base, exponent):
        if isinstance(exponent, str) or exponent != int(exponent) or not 0 < exponent <= 8:
            raise NotNative(f"a power of {exponent} is not unrolled")
        total = base
        for _ in range(int(exponent) - 1):
            total = self.number("({} * {})", total, base)
        return total

    def _reduced(self, op, axes, a):
        if type(op) not in FOLDS:
            raise NotNative(f"reduction by {op} is not unrolled")
        axes = tuple(range(a.ndim)) if axes is None else axes
        kept = [i for i in range(a.ndim) if i not in axes]
        rows = a.transpose(*kept, *axes).reshape(*(a.shape[i] for i in kept), -1)
        out = np.empty(rows.shape[:-1], dtype=object)
        for place in np.ndindex(out.shape):
            out[place] = self._scalar(op, list(rows[place]))
        return out

    def _placed(self, args, places, replace):
        out, at = args[0].copy(), _index(args[2:], places)
        new = np.broadcast_to(args[1], np.shape(out[at]))
        if not replace:
            old = np.asarray(out[at], dtype=object)
            sums = [self._scalar(ps.add, pair) for pair in zip(old.flat, new.flat, strict=True)]
            new = _filled(sums, old.shape)
        out[at] = new if np.ndim(new) else new.item()
        return out

    def _product(self, a, b):
        out = np.empty((*a.shape[:-1], *b.shape[1:]), dtype=object)
        for place in np.ndindex(out.shape):
            row, column = a[place[: a.ndim - 1]], b[(slice(None), *place[a.ndim - 1 :])]
            pairs = zip(row, column, strict=True)
            out[place] = self._scalar(ps.add, [self._scalar(ps.mul, pair) for pair in pairs])
        return out


def _filled(flat, shape):
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(shape)


def _text(number):
    if isinstance(number, str):
        return number
    if isinstance(number, bool | np.bool_):
        return repr(bool(number))
    return repr(float(number)) if np.isfinite(number) else _SPECIAL[str(float(number))]


def _index(args, places):
    """Index of a subtensor, whose numbers are constants."""
    found = indices_from_subtensor([a.item() for a in args], places)
    if any(isinstance(i, str) for i in found):
        raise NotNative("an index that depends on the state is not unrolled")
    return tuple(found)


def unroll(energy, leaves, d, with_log_density):
    """Return statements for the scores, and log-density if wanted, of one chain among n.

    Parameters
    ----------
    energy : Energy
    leaves : list of TensorVariable
        Its parameters, of static shape.
    d : int
        Numbers of a state.
    with_log_density : bool

    Returns
    -------
    fixed, moving : tuple of str
        See :func:`pm_energy.kernels.langevin_lanes.compile_lanes`.

    Raises
    ------
    NotNative
        If an operation is not known here, or there are too many numbers.
    """
    x = pt.tensor("x", dtype="float64", shape=single_block(energy).shape)
    outputs = [field(energy, x).flatten()]
    outputs += [-energy(x).reshape((1,))] * with_log_density
    clean = rewrite_graph(outputs, include=("canonicalize", "stabilize"), clone=True)
    made, start = Unrolled(), 0
    named = {x: _filled([made.number(f"x[{i} * n + c]") for i in range(d)], x.type.shape)}
    for leaf in leaves:
        size = int(np.prod(leaf.type.shape))
        numbers = [made.number(f"p[{start + i}]") for i in range(size)]
        named[leaf] = _filled(numbers, leaf.type.shape)
        start += size
    found = np.concatenate(made.evaluate(named, clean))
    writes = [f"out[{i} * n + c] = beta * {_text(number)}" for i, number in enumerate(found)]
    return tuple(made.fixed), (*made.moving, *writes)

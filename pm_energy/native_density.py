"""A path's densities as one native function of one vector."""

import math

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.gradient import NullTypeGradError
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import io_toposort
from pytensor.graph.utils import MethodNotDefined
from pytensor.tensor.random.op import RNGConsumerOp
from pytensor.tensor.type import DenseTensorType

from pm_energy.compile import ONCE, NotNative, compile_native
from pm_energy.kernels.native import evaluate

SMALL = 4  # numbers: smaller constants are exponents, lengths and the like, compiled in


class NativeDensity:
    """The densities of a path as a native function of one vector, for loops of numba.

    What depends on data alone is evaluated here and handed over at each call, constants included:
    other data of the same shape need no new compilation, and :meth:`refresh` reads shared data
    anew. Whatever goes wrong inside the function makes its results NaN.

    Parameters
    ----------
    inputs : list of TensorVariable
        Continuous.
    shapes : list of tuple of int
        Of the inputs; their entries in turn make up the vector.
    log_base, log_ratio : TensorVariable, shape ()
    gradient : bool
        Whether the function also returns the gradient of ``log_base + beta * log_ratio``.

    Attributes
    ----------
    address : int
        Of ``f(double *x, double beta, int64 *table, double *out)``; see
        :mod:`pm_energy.kernels.native`.
    table : ndarray of int64
    dim, width : int
        Lengths of x and out.

    Raises
    ------
    NotNative
        If an input is discrete, a graph has random draws, operations that need Python or, where
        one is asked for, no gradient; or if PyTensor has no longer the hook that this takes.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> from pm_energy.native_density import NativeDensity
    >>> x = pt.dvector("x")
    >>> density = NativeDensity([x], [(2,)], -(x**2).sum(), x[0] * x[1], gradient=True)
    >>> density(np.array([[1.0, 3.0]]), 0.5)  # log_base, log_ratio and the gradient at beta = 0.5
    array([[-10. ,   3. ,  -0.5,  -5.5]])
    """

    def __init__(self, inputs, shapes, log_base, log_ratio, gradient=False):
        self._recipe = inputs, shapes, log_base, log_ratio, gradient
        discrete = [v for v in inputs if not v.dtype.startswith("float")]
        if discrete:
            raise NotNative(f"{discrete} are discrete")
        self.dim = sum(math.prod(shape) for shape in shapes)
        self.width = 2 + self.dim * gradient
        x = pt.tensor("x", dtype="float64", shape=(self.dim,))
        beta = pt.scalar("beta", dtype="float64")
        parts = dict(zip(inputs, _parts(x, inputs, shapes), strict=True))
        outputs = clone_replace([log_base, log_ratio], parts)
        if gradient:
            outputs.append(_gradient(outputs[0] + beta * outputs[1], x))
        data = _data(outputs, [x, beta])
        arguments = [v.type() for v in data]
        outputs = clone_replace(outputs, dict(zip(data, arguments, strict=True)))
        self._read = pytensor.function([], data, mode=ONCE)
        self.refresh()
        self._function = compile_native(x, beta, arguments, outputs)
        self.address = self._function.address

    def refresh(self):
        """Read shared data anew."""
        self._arrays = [np.asarray(value, order="C") for value in self._read()]
        rows = [(array.ctypes.data, *array.shape) for array in self._arrays]
        self.table = np.array([self.dim, *(n for row in rows for n in row)], dtype=np.int64)

    def __call__(self, states, betas=1.0):
        """Evaluate at states (n, dim) and betas (n,): array (n, width)."""
        states = np.ascontiguousarray(states, dtype=float)
        betas = np.ascontiguousarray(np.broadcast_to(betas, len(states)), dtype=float)
        out = np.empty((len(states), self.width))
        evaluate(self.address, self.table, states, betas, out)
        return out

    def __reduce__(self):
        return NativeDensity, self._recipe


def _parts(x, inputs, shapes):
    """The inputs as parts of one vector."""
    end, parts = 0, []
    for v, shape in zip(inputs, shapes, strict=True):
        start, end = end, end + math.prod(shape)
        parts.append(x[start:end].reshape(shape).astype(v.dtype))
    return parts


def _gradient(log_density, x):
    try:
        return pt.grad(log_density, x, disconnected_inputs="ignore")
    except (NullTypeGradError, NotImplementedError, MethodNotDefined) as error:
        raise NotNative(f"it has no gradient: {error}") from error


def _data(outputs, variables):
    """The largest parts of graphs that depend on constants and shared data only.

    Without small constants and what is made of them.
    """
    moving, shared, found = set(variables), set(), {}
    nodes = io_toposort(variables, outputs)
    for node in nodes:
        if isinstance(node.op, RNGConsumerOp):
            raise NotNative(f"it has random draws: {node}")
        if any(isinstance(v, SharedVariable) for v in node.inputs) or shared & set(node.inputs):
            shared |= set(node.outputs)
        if moving & set(node.inputs):
            moving |= set(node.outputs)
    edge = [v for node in nodes if moving & set(node.outputs) for v in node.inputs]
    edge += outputs
    while edge:
        v = edge.pop()
        if v in moving or v in found:
            continue
        changes = v in shared or isinstance(v, SharedVariable)
        if isinstance(v.type, DenseTensorType):
            if changes or None in v.type.shape or math.prod(v.type.shape) > SMALL:
                found[v] = None
        elif isinstance(v, SharedVariable):
            raise NotNative(f"it depends on {v}, which is no dense array")
        elif changes:
            edge += v.owner.inputs
    return list(found)

"""Log-densities as native functions, called by address.

A loop that took its density as a compiled function of numba's would be compiled again for each
model, which takes seconds. By address it is compiled once and kept on disk for all models.

The function is ``f(double *x, double beta, int64 *table, double *out)``; ``table`` holds the
addresses and lengths of data. It writes ``[log_base, log_ratio]``, or these and the gradient of
``log_base + beta * log_ratio``. Callers see to it that ``out`` is long enough.
"""

import math

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def call_native(typingctx, address, x, beta, table, out):
    """Call the function at ``address``; x, table and out are contiguous arrays."""
    signature = types.void(types.int64, x, types.float64, table, out)

    def codegen(context, builder, sig, args):
        def data(k):
            return context.make_array(sig.args[k])(context, builder, args[k]).data

        reals, integers = ir.DoubleType().as_pointer(), ir.IntType(64).as_pointer()
        function = ir.FunctionType(ir.VoidType(), [reals, ir.DoubleType(), integers, reals])
        pointer = builder.inttoptr(args[0], function.as_pointer())
        builder.call(pointer, [data(1), args[2], data(3), data(4)])
        return context.get_dummy_value()

    return signature, codegen


def element(context, builder, kind, array, index):
    """Point to an element of a contiguous array of a numba type, for intrinsics (not checked)."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@intrinsic
def as_pointer(typingctx, address):
    """Return an integer as a pointer, for ``numba.carray``."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@njit(cache=True)
def possible(log_density):
    """Return a log-density that may be compared: what is NaN or +inf is minus infinity.

    A state that cannot be evaluated is thus never accepted.
    """
    return log_density if log_density < math.inf else -math.inf


@njit(cache=True)
def tempered(log_base, log_ratio, beta):
    """Return ``log_base + beta * log_ratio``; at the base even where the target vanishes."""
    if beta == 0.0:
        return possible(log_base)
    return possible(log_base + beta * log_ratio)


@njit(cache=True)
def evaluate(address, table, states, betas, out):
    """Call a density at each of many states (n, d); write its results into the rows of ``out``."""
    for i in range(states.shape[0]):
        call_native(address, states[i], betas[i], table, out[i])

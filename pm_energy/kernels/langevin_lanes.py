"""Straight-line code over the chains of a block, compiled from statements about one chain.

The functions that statements may use have no branch and no call, so that the loop over chains
becomes SIMD. Next to zero ``tanh`` is right to 1e-16 absolute, not relative.
"""

from functools import lru_cache

import numpy as np
from numba import carray, cfunc, int64, njit, types, uint64
from numba.core.errors import NumbaError
from numba.extending import intrinsic

from pm_energy.kernels.exponential import exp_double
from pm_energy.kernels.native import as_pointer

_inlined = njit(forceinline=True, error_model="numpy", fastmath={"contract"})
SQRT_HALF = np.array(0.5**0.5).view(np.int64)[()]  # its bits
LN2 = float(np.log(2.0))


@intrinsic
def pick(typingctx, condition, a, b):
    """Return a where the condition holds, else b: without the branch that Python's ``if`` makes."""

    def codegen(context, builder, signature, args):
        return builder.select(args[0], args[1], args[2])

    return types.float64(types.boolean, types.float64, types.float64), codegen


@_inlined
def larger(a, b):
    """Return the larger of two numbers; NaN of NaN."""
    return pick(a > b, a, pick(a == a, b, a))


@_inlined
def smaller(a, b):
    """Return the smaller of two numbers; NaN of NaN."""
    return pick(a < b, a, pick(a == a, b, a))


@_inlined
def exp_lane(x):
    """Return exp(x), and what is below e^-708 stays there; NaN of NaN."""
    e = exp_double(pick(x > 709.0, 709.0, pick(x > -708.0, x, -708.0)))
    return pick(x > 709.0, np.inf, pick(x == x, e, x))


@_inlined
def log_lane(x):
    """Return log(x) for normal numbers, to 4e-16 relative or absolute; NaN below zero."""
    bits = np.float64(x).view(np.int64)
    k = (bits - SQRT_HALF) >> int64(52)
    m = np.int64(bits - (k << int64(52))).view(np.float64)  # from sqrt(1/2) to sqrt(2)
    z = (m - 1.0) / (m + 1.0)  # log(m) = 2 artanh(z), |z| < .172
    s = z * z
    a = 1 / 21
    a = a * s + 1 / 19
    a = a * s + 1 / 17
    a = a * s + 1 / 15
    a = a * s + 1 / 13
    a = a * s + 1 / 11
    a = a * s + 1 / 9
    a = a * s + 1 / 7
    a = a * s + 1 / 5
    a = a * s + 1 / 3
    a = a * s + 1.0
    value = float(k) * LN2 + 2.0 * z * a
    value = pick(x > 0.0, value, pick(x == 0.0, -np.inf, np.nan))
    return pick(x == np.inf, x, value)


@_inlined
def tanh_lane(x):
    """Return tanh(x)."""
    size = abs(x)
    e = exp_double(-2.0 * pick(size < 354.0, size, 354.0))
    t = (1.0 - e) / (1.0 + e)
    return pick(x > 0.0, t, pick(x == x, -t, x))


@_inlined
def sigmoid_lane(x):
    """Return 1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + exp_lane(-x))


@_inlined
def softplus_lane(x):
    """Return log(1 + exp(x))."""
    return larger(x, 0.0) + log_lane(1.0 + exp_lane(-abs(x)))


FUNCTIONS = {
    "exp": exp_lane, "log": log_lane, "tanh": tanh_lane, "sigmoid": sigmoid_lane,
    "softplus": softplus_lane, "larger": larger, "smaller": smaller, "pick": pick,
}  # fmt: skip
LOOP = """
def loop(x, n, beta, p, out):
    {fixed}
    for c in range(uint64(n)):
        {moving}
"""


@lru_cache(maxsize=64)
def compile_lanes(fixed, moving):
    """Compile statements to ``f(double *state, double beta, int64 *table, double *out)``.

    Parameters
    ----------
    fixed, moving : tuple of str
        Assignments of Python, those of one chain after those that are the same for all. They may
        use parameters ``p[i]``, ``beta``, ``np`` and :data:`FUNCTIONS`; those of a chain use
        ``x[i * n + c]``, coordinate i of chain c of n, and write ``out[i * n + c]``.

    Returns
    -------
    numba.core.ccallback.CFunc
        With ``address``; its table holds the length of the state, n, the address of the parameters,
        float64, and their number.

    Raises
    ------
    TypeError
        If numba cannot compile them.
    """
    names = {**FUNCTIONS, "np": np, "uint64": uint64}
    before, inside = "\n    ".join(("pass", *fixed)), "\n        ".join(moving)
    exec(LOOP.format(fixed=before, moving=inside), names)
    loop = njit(error_model="numpy", fastmath={"contract"})(names["loop"])

    def density(state, beta, table_, out_):
        table = carray(table_, (4,))
        x, out = carray(state, (table[0],)), carray(out_, (2 + table[0],))[2:]
        loop(x, table[1], beta, carray(as_pointer(table[2]), (table[3],), np.float64), out)

    reals, integers = types.CPointer(types.float64), types.CPointer(types.int64)
    try:
        return cfunc(types.void(reals, types.float64, integers, reals))(density)
    except NumbaError as error:
        raise TypeError(f"the statements do not fit together: {error}") from error

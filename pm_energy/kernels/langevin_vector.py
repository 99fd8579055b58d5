"""Vectors of 256 bytes for long chains of arithmetic, and what floats in vectors need besides.

The results of an exponential function come late: with several registers a vector, some are worked
on while others wait.

Examples
--------
>>> import numpy as np
>>> from numba import njit, uint64
>>> from pm_energy.kernels.lanes_vector import store
>>> @njit
... def halve_roots(x):
...     y = root(load_many(x, uint64(0)))
...     store(x, uint64(0), divided(y, y + y))
>>> x = np.full(MANY, 9.0)
>>> halve_roots(x)
>>> x[:4]
array([0.5, 0.5, 0.5, 0.5])
"""

from llvmlite import ir
from numba import float32, types, uint32, uint64
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from pm_energy.kernels.exponential import ROUND_SINGLE
from pm_energy.kernels.inner import inner
from pm_energy.kernels.lanes_vector import FLOATS, Vector, fused
from pm_energy.kernels.native import element

MANY = 32  # elements
ROUND = 6755399441055744.0  # as ROUND_SINGLE, for float64


class ManyNumbers(Vector):
    """Numba's name for a vector of MANY elements of one type."""

    def __init__(self, element):
        self.element, self.count = element, MANY
        types.Type.__init__(self, f"vector({element} x {MANY})")


@register_model(ManyNumbers)
class _ManyModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


@intrinsic
def load_many(context, array, index):
    """The MANY elements of a flat, contiguous array from ``index`` on (not checked)."""
    kind = ManyNumbers(array.dtype)

    def build(context, builder, signature, args):
        place = element(context, builder, signature.args[0], *args)
        place = builder.bitcast(place, kind.llvm.as_pointer())
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return kind(array, types.uint64), build


@intrinsic
def splat_many(context, scalar):
    """The vector of MANY elements that are all ``scalar``."""
    kind = ManyNumbers(scalar)

    def build(context, builder, signature, args):
        undefined = ir.Constant(kind.llvm, ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), MANY), [0] * MANY)
        return builder.shuffle_vector(first, undefined, zeros)

    return kind(scalar), build


def _converter(method, kinds, text):
    """An intrinsic that turns vectors of MANY elements of one type into such of another."""

    def convert(context, vector):
        kind = ManyNumbers(kinds[vector.element])

        def build(context, builder, signature, args):
            return args[0] if kind == vector else getattr(builder, method)(args[0], kind.llvm)

        return kind(vector), build

    convert.__doc__ = text
    return intrinsic(convert)


to_single = _converter(
    "fptrunc", {types.float64: types.float32}, "Float64 as float32; what is too large is infinite."
)
to_double = _converter(
    "fpext", {types.float32: types.float64, types.float64: types.float64}, "Floats as float64."
)
as_words = _converter(
    "bitcast", {types.float32: types.uint32, types.float64: types.uint64}, "The bits of floats."
)
as_floats = _converter(
    "bitcast", {types.uint32: types.float32, types.uint64: types.float64}, "Floats of their bits."
)


@intrinsic
def divided(context, a, b):
    """The quotients of the elements of two vectors of floats."""

    def build(context, builder, signature, args):
        return builder.fdiv(*args)

    return a(a, b), build


@intrinsic
def root(context, a):
    """The square roots of the elements of a vector of floats."""

    def build(context, builder, signature, args):
        name = f"llvm.sqrt.v{a.count}f{a.element.bitwidth}"
        form = ir.FunctionType(a.llvm, [a.llvm])
        return builder.call(cgutils.get_or_insert_function(builder.module, form, name), args)

    return a(a), build


@intrinsic
def larger(context, a, b):
    """The larger of each pair of elements of two vectors of floats; b if one is no number."""

    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return a(a, b), build


@intrinsic
def where_less(context, a, b, x, y):
    """Elements of x where those of a are less than those of b, elsewhere of y."""

    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args[:2]), *args[2:])

    return x(a, b, x, y), build


@intrinsic
def signed_floats(context, half_words):
    """The signed numbers of a vector of 16 words of 32 bits as float32, rounded to nearest."""

    def build(context, builder, signature, args):
        return builder.sitofp(args[0], FLOATS.llvm)

    return FLOATS(half_words), build


@inner(forceinline=True)
def exp_doubles(x):
    """Return exp(x) for -708 <= x <= 709, to 5e-16, by the polynomial of :func:`exp_double`."""
    whole = x * 1.4426950408889634 + ROUND
    k = whole - ROUND
    r = fused(-0.69314718036912382, k, x)
    r = fused(-1.9082149292705877e-10, k, r)
    e = fused(1 / 6227020800, r, splat_many(1 / 479001600))
    e = fused(e, r, splat_many(1 / 39916800))
    e = fused(e, r, splat_many(1 / 3628800))
    e = fused(e, r, splat_many(1 / 362880))
    e = fused(e, r, splat_many(1 / 40320))
    e = fused(e, r, splat_many(1 / 5040))
    e = fused(e, r, splat_many(1 / 720))
    e = fused(e, r, splat_many(1 / 120))
    e = fused(e, r, splat_many(1 / 24))
    e = fused(e, r, splat_many(1 / 6))
    e = fused(e, r, splat_many(1 / 2))
    e = fused(e, r, splat_many(1.0))
    e = fused(e, r, splat_many(1.0))
    return as_floats(as_words(e) + (as_words(whole) << uint64(52)))


@inner(forceinline=True)
def exp2_singles(x):
    """Return 2 to the power of -126 <= x <= 127, to 1.5e-7; the minimax polynomial of 2^r."""
    whole = x + float32(ROUND_SINGLE)
    r = x - (whole - float32(ROUND_SINGLE))
    y = fused(float32(1.3264727e-3), r, splat_many(float32(9.6715130e-3)))
    y = fused(y, r, splat_many(float32(5.5507336e-2)))
    y = fused(y, r, splat_many(float32(2.4022242e-1)))
    y = fused(y, r, splat_many(float32(6.9314700e-1)))
    y = fused(y, r, splat_many(float32(1)))
    return as_floats(as_words(y) + (as_words(whole) << uint32(23)))

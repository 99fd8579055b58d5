"""Vectors of 64 bytes as plain values in jitted code: what a processor's SIMD registers hold.

Loops over short arrays become SIMD only if the compiler sees through them, and what they carry from
one step to the next is then stored and loaded again. A vector stays in a register: it is loaded,
combined by ``& | ^ ~ + - * << >>`` as a number would be, and stored. A scalar of the same type
beside a vector stands for all of its elements. Where registers are narrower than 64 bytes the
compiler uses several of them.

A vector has 8 elements of uint64 or float64, or 16 of uint32 or float32.

Examples
--------
>>> import numpy as np
>>> from numba import njit, uint64
>>> @njit
... def flip_all(words):
...     for at in range(0, words.size, 8):
...         store(words, at, ~load(words, at) & uint64(7))
>>> words = np.arange(8, dtype=np.uint64)
>>> flip_all(words)
>>> words
array([7, 6, 5, 4, 3, 2, 1, 0], dtype=uint64)
"""

import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    lower_builtin,
    models,
    register_model,
    type_callable,
)

from pm_energy.kernels.native import element

_BYTES = 64
_ELEMENTS = {
    types.uint64: ir.IntType(64),
    types.uint32: ir.IntType(32),
    types.float64: ir.DoubleType(),
    types.float32: ir.FloatType(),
}


class Vector(types.Type):
    """Numba's name for a vector of 64 bytes of elements of one type."""

    def __init__(self, element):
        self.element = element
        self.count = _BYTES * 8 // element.bitwidth
        super().__init__(f"vector({element} x {self.count})")

    @property
    def llvm(self):
        """The type in the compiler's language."""
        return ir.VectorType(_ELEMENTS[self.element], self.count)


WORDS = Vector(types.uint64)
HALF_WORDS = Vector(types.uint32)
FLOATS = Vector(types.float32)
DOUBLES = Vector(types.float64)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


def _fill(builder, kind, value):
    """A vector whose elements are all ``value``."""
    undefined = ir.Constant(kind.llvm, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, zeros)


def _define(symbols, on_words, on_floats=None):
    """Give an operator its meaning for two vectors of one type, or a vector and a scalar."""

    def answer(a, b):
        return a if isinstance(a, Vector) and b in (a, a.element) else None

    def lower(context, builder, signature, args):
        kind, right = signature.args
        a, b = args
        if right != kind:
            b = _fill(builder, kind, b)
        method = on_floats if isinstance(kind.element, types.Float) else on_words
        return getattr(builder, method)(a, b)

    for symbol in symbols:
        type_callable(symbol)(lambda context: answer)
        lower_builtin(symbol, Vector, Vector)(lower)
        lower_builtin(symbol, Vector, types.Number)(lower)


_define((operator.and_, operator.iand), "and_")
_define((operator.or_, operator.ior), "or_")
_define((operator.xor, operator.ixor), "xor")
_define((operator.lshift, operator.ilshift), "shl")
_define((operator.rshift, operator.irshift), "lshr")
_define((operator.add, operator.iadd), "add", "fadd")
_define((operator.sub, operator.isub), "sub", "fsub")
_define((operator.mul, operator.imul), "mul", "fmul")


@type_callable(operator.invert)
def _type_invert(context):
    def answer(a):
        return a if isinstance(a, Vector) else None

    return answer


@lower_builtin(operator.invert, Vector)
def _lower_invert(context, builder, signature, args):
    return builder.not_(args[0])


def _place(context, builder, array_type, array, index, kind):
    place = element(context, builder, array_type, array, index)
    return builder.bitcast(place, kind.llvm.as_pointer())


@intrinsic
def load(context, array, index):
    """The vector of the elements of a flat, contiguous array from ``index`` on (not checked)."""
    kind = Vector(array.dtype)

    def build(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args, kind)
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return kind(array, types.uint64), build


@intrinsic
def store(context, array, index, vector):
    """Write a vector to a flat, contiguous array from ``index`` on (not checked)."""

    def build(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args[:2], vector)
        builder.store(args[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, vector), build


@intrinsic
def splat(context, scalar):
    """The vector whose elements are all ``scalar``."""
    kind = Vector(scalar)

    def build(context, builder, signature, args):
        return _fill(builder, kind, args[0])

    return kind(scalar), build


@intrinsic
def any_bit(context, words):
    """Whether any bit of a vector of words is set."""

    def build(context, builder, signature, args):
        zero = ir.Constant(words.llvm, None)
        nonzero = builder.icmp_unsigned("!=", args[0], zero)
        flags = builder.bitcast(nonzero, ir.IntType(words.count))
        return builder.icmp_unsigned("!=", flags, ir.Constant(flags.type, 0))

    return types.boolean(words), build


@intrinsic
def swap_neighbors(context, words):
    """The vector with elements 0 and 1, 2 and 3, and so on, exchanged."""

    def build(context, builder, signature, args):
        places = [k ^ 1 for k in range(words.count)]
        pattern = ir.Constant(ir.VectorType(ir.IntType(32), words.count), places)
        return builder.shuffle_vector(args[0], ir.Constant(words.llvm, ir.Undefined), pattern)

    return words(words), build


@intrinsic
def fused(context, a, b, c):
    """The vector ``a * b + c``, rounded once where the processor can; a may be a scalar."""
    kind = b

    def build(context, builder, signature, args):
        first = args[0] if signature.args[0] == kind else _fill(builder, kind, args[0])
        name = f"llvm.fmuladd.v{kind.count}f{kind.element.bitwidth}"
        form = ir.FunctionType(kind.llvm, [kind.llvm] * 3)
        function = cgutils.get_or_insert_function(builder.module, form, name)
        return builder.call(function, [first, args[1], args[2]])

    return kind(a, b, c), build


@intrinsic
def smaller(context, a, b):
    """The smaller of each pair of elements of two vectors of floats; b if one is no number."""

    def build(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return a(a, b), build


@intrinsic
def bits(context, vector):
    """The same 512 bits as a vector of 16 words of 32 bits."""

    def build(context, builder, signature, args):
        return builder.bitcast(args[0], HALF_WORDS.llvm)

    return HALF_WORDS(vector), build


@intrinsic
def words(context, vector):
    """The same 512 bits as a vector of 8 words of 64 bits."""

    def build(context, builder, signature, args):
        return builder.bitcast(args[0], WORDS.llvm)

    return WORDS(vector), build


@intrinsic
def floats_of_bits(context, vector):
    """The same 512 bits as a vector of float32."""

    def build(context, builder, signature, args):
        return builder.bitcast(args[0], FLOATS.llvm)

    return FLOATS(vector), build


@intrinsic
def to_floats(context, half_words):
    """The unsigned numbers of a vector of uint32 as float32, rounded to nearest."""

    def build(context, builder, signature, args):
        return builder.uitofp(args[0], FLOATS.llvm)

    return FLOATS(half_words), build


@intrinsic
def to_doubles(context, floats, second):
    """The first 8 elements of a vector of float32, or the second 8, as a vector of float64."""

    def build(context, builder, signature, args):
        vector, choice = args
        undefined = ir.Constant(floats.llvm, ir.Undefined)
        halves = [
            builder.shuffle_vector(
                vector,
                undefined,
                ir.Constant(ir.VectorType(ir.IntType(32), 8), list(range(start, start + 8))),
            )
            for start in (0, 8)
        ]
        return builder.fpext(builder.select(choice, halves[1], halves[0]), DOUBLES.llvm)

    return DOUBLES(floats, types.boolean), build


def empty_on_cache_lines(shape, dtype):
    """An uninitialised array that starts on a cache line, as vectors should.

    A vector that straddles two lines is two memory accesses, and numpy aligns to 16 bytes only.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Returns
    -------
    ndarray

    Examples
    --------
    >>> empty_on_cache_lines((3, 5), np.uint64).ctypes.data % 64
    0
    """
    dtype = np.dtype(dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    buffer = np.empty(n_bytes + _BYTES, np.uint8)
    start = -buffer.ctypes.data % _BYTES
    return buffer[start : start + n_bytes].view(dtype).reshape(shape)

"""Products of matrices that lie in flat arrays.

``np.dot`` wants matrices: views of flat arrays, a type for each order of their elements, and the
compiler's time for all of them. BLAS itself is content with addresses.

Examples
--------
>>> import numpy as np
>>> from numba import njit
>>> @njit
... def square(x, out):
...     product(x, 0, x, 0, out, 0, 2, 2, 2)
>>> out = np.empty(4)
>>> square(np.array([1.0, 1.0, 0.0, 1.0]), out)
>>> out.reshape(2, 2)
array([[1., 2.],
       [0., 1.]])
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

from pm_energy.kernels.native import element

GEMM = {"float32": "sgemm", "float64": "dgemm"}
for _name in GEMM.values():  # compiled code that is kept on disk finds it by its name
    llvm.add_symbol(
        f"pm_energy_{_name}", get_cython_function_address("scipy.linalg.cython_blas", _name)
    )


def _product(turned_a, turned_b, text):
    """An intrinsic for one of the forms of a product.

    BLAS takes matrices by columns: what lies by rows is the transpose to it, and the transpose of a
    product is that of the factors in the other order.
    """

    def product(typingctx, a, at_a, b, at_b, out, at_out, m, n, k):
        whole = types.int64
        signature = types.void(a, whole, b, whole, out, whole, whole, whole, whole)

        def build(context, builder, sig, args):
            number, word = context.get_value_type(out.dtype), ir.IntType(32)
            m, n, k = (builder.trunc(size, word) for size in args[6:])

            def given(value):
                return cgutils.alloca_once_value(builder, value)

            def place(i):
                return element(context, builder, sig.args[i], *args[i : i + 2])

            order = [given(ir.Constant(ir.IntType(8), ord("NT"[t]))) for t in (turned_b, turned_a)]
            one, nothing = (given(ir.Constant(number, value)) for value in (1.0, 0.0))
            operands = [
                *order, *map(given, (n, m, k)), one, place(2), given(k if turned_b else n),
                place(0), given(m if turned_a else k), nothing, place(4), given(n),
            ]  # fmt: skip
            kind = ir.FunctionType(ir.VoidType(), [operand.type for operand in operands])
            name = f"pm_energy_{GEMM[str(out.dtype)]}"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)
            return context.get_dummy_value()

        return signature, build

    product.__doc__ = f"""Write {text} to a place in a flat array.

    Parameters
    ----------
    a, at_a, b, at_b : ndarray, flat, and int
        Where A and B begin. All arrays are contiguous, of one float dtype, and long enough.
    out, at_out : ndarray, flat, and int
        Where the product begins, which is no part of A or B.
    m, n, k : int
        Rows and columns of the product, and how many terms each of its elements adds up.
    """
    return intrinsic(product)


product = _product(False, False, "A B, of A (m x k) and B (k x n),")
product_turned_left = _product(True, False, "A' B, of A (k x m) and B (k x n),")
product_turned_right = _product(False, True, "A B', of A (m x k) and B (n x k),")

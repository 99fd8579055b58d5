"""For functions that only compiled code calls: without what Python and C would call them by.

These wrappers take the compiler about as long as a small function itself. A call from Python would
end the process: tests wrap such a function, ``njit(lambda *args: function(*args))``.

Examples
--------
>>> from numba import njit
>>> @inner(forceinline=True)
... def half(x):
...     return x / 2
>>> @njit
... def quarter(x):
...     return half(half(x))
>>> quarter(1.0)
0.25
"""

from functools import partial

from numba import njit

inner = partial(njit, no_cpython_wrapper=True, no_cfunc_wrapper=True)

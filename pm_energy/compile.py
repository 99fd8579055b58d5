"""PyTensor graph -> function of arrays: the one place that chooses modes and touches hooks."""

import math
import warnings
from functools import lru_cache
from hashlib import sha256

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode, get_mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import explicit_graph_inputs, io_toposort
from pytensor.scalar.basic import Cast
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.random.op import RNGConsumerOp

from pm_energy.energy import blocks_of, evaluate
from pm_energy.structure import flatten, leaf_specs, unflatten
from pm_energy.validate import numeric_array, states_in_domain

ONCE = Mode(linker="py", optimizer="fast_compile")  # no compiler at all: for what runs a few times
COMPILER_PAYS = 2**22  # numbers that Python loops over in the seconds that compiling takes


class CompiledFunction:
    """A function of arrays; where it is unpickled, it is compiled again in the same way."""

    def __init__(self, inputs, outputs, mode):
        self._recipe = inputs, outputs, mode
        with pytensor.config.change_flags(numba__fastmath=False):
            self.function = pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore")
        self.function.trust_input = True

    def __call__(self, *arrays):
        """Evaluate at arrays of the dtypes of the inputs."""
        return self.function(*arrays)

    def __reduce__(self):
        return CompiledFunction, self._recipe


def compile_function(inputs, outputs, mode=None):
    """Compile a function that trusts its inputs.

    Fast-math is off: with it, a cold and a warm compiler cache give different bits, and so do a
    function and its pickle, enough to part two chains with the same seed.
    """
    return CompiledFunction(inputs, outputs, mode)


def jax_traceable(inputs, outputs):
    """Return a graph as a function of arrays that JAX can trace, to be part of a larger one.

    Raises
    ------
    ImportError
        If JAX is not installed.
    """
    try:
        from pytensor.link.jax.dispatch import jax_funcify
    except ImportError as error:
        raise ImportError("this needs JAX: pip install 'pm_energy[jax]'") from error
    graph = FunctionGraph(inputs, outputs, clone=True)
    get_mode("JAX").optimizer.rewrite(graph)
    return jax_funcify(graph)


def evaluate_once(outputs):
    """Evaluate graphs that depend on constants and shared variables only, without a compiler."""
    return pytensor.function([], outputs, mode=ONCE)()


def numeric_leaves(leaves):
    """Return the values of parameters that are numbers or shared data.

    Raises
    ------
    ValueError
        If a parameter is random or otherwise unknown.
    """
    if all(isinstance(leaf, Constant) for leaf in leaves):
        return [leaf.data for leaf in leaves]
    random = any(isinstance(node.op, RNGConsumerOp) for node in io_toposort([], leaves))
    if random or not is_constant(leaves):
        raise ValueError(
            f"the energy's parameters must be numbers here, but they depend on PyTensor variables: "
            f"{leaves}. Build the energy from values of them"
        )
    return evaluate_once(leaves)


def is_constant(outputs):
    """Whether graphs have no inputs but constants and shared data."""
    return all(isinstance(v, SharedVariable) for v in explicit_graph_inputs(outputs))


def energy_function(energy, rows):
    """Return a function from batches of states to their energies.

    Parameters
    ----------
    energy : Energy
        With numeric parameters.
    rows : int
        For how many states in all: that decides whether a compiler pays.

    Returns
    -------
    callable
        Takes arrays (B, *block) of the domains' dtypes, which it trusts, for each block.
    """
    structure, leaves = flatten(energy)
    values = numeric_leaves(leaves)
    fn = _energy_graph(structure, ONCE)
    numbers = sum(math.prod(block.code_shape) for block in blocks_of(energy))
    if rows * numbers > COMPILER_PAYS and _has_python_loops(fn.function):
        fn = _energy_graph(structure, None)
    return lambda *states: fn(*states, *values)


@lru_cache(maxsize=128)
def _energy_graph(structure, mode):
    leaves = [pt.tensor(dtype=leaf.dtype, shape=leaf.shape) for leaf in leaf_specs(structure)]
    energy = unflatten(structure, leaves)
    states = [pt.tensor(dtype=b.domain.dtype, shape=(None, *b.shape)) for b in blocks_of(energy)]
    return compile_function([*states, *leaves], evaluate(energy, *states), mode=mode)


def _has_python_loops(fn):
    """Whether a function without compiler calls Python for each element, for want of a ufunc."""
    ops = [node.op for node in fn.maker.fgraph.apply_nodes if isinstance(node.op, Elemwise)]
    return any(not op.nfunc_spec and not isinstance(op.scalar_op, Cast) for op in ops)


def energy_values(energy, *states):
    """Energies of a batch of states, as numbers.

    Parameters
    ----------
    energy : Energy
        With numeric parameters.
    *states : array_like, shape (B, *block), one for each block

    Returns
    -------
    array, shape (B,)

    Raises
    ------
    ValueError
        If states have another shape or lie outside the domain, or parameters are not numeric.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.energy_values(pme.Ising(lattice=(3, 3)), np.ones((1, 3, 3)))
    array([-18.])
    """
    blocks = blocks_of(energy)
    if len(states) != len(blocks):
        raise ValueError(
            f"{type(energy).__name__} has {len(blocks)} blocks of units: pass states for each, "
            f"got {len(states)}"
        )
    arrays = [_as_states(x, block.domain) for x, block in zip(states, blocks, strict=True)]
    for block, x in zip(blocks, arrays, strict=True):
        if x.shape[1:] != block.shape or x.ndim == len(block.shape):
            wanted = ", ".join(["B", *map(str, block.shape)])
            raise ValueError(f"states must have shape ({wanted}), got {x.shape}")
        if len(x) != len(arrays[0]):
            raise ValueError(f"states of the blocks differ in number: {len(arrays[0])}, {len(x)}")
    fn = energy_function(energy, len(arrays[0]))
    # parts of at most 8 MB of floats, so that enumerating 2**24 states stays small
    step = max(1, 2**20 // max(1, *(math.prod(b.code_shape) for b in blocks)))
    out = np.empty(len(arrays[0]))
    for i in range(0, len(out), step):
        out[i : i + step] = fn(*[x[i : i + step] for x in arrays])
    return out


def _as_states(x, domain):
    if domain.states is None:  # an energy has a value at infinity, too
        return numeric_array("states", x).astype(domain.dtype)
    return states_in_domain("states", x, domain)


class NotNative(RuntimeError):
    """A graph that cannot become a native function; the message says why."""


def compile_native(x, beta, arguments, outputs):
    """Compile the densities of a path to ``f(double *x, double beta, int64 *table, double *out)``.

    PyTensor keeps what it compiles on disk. The wrapper with C types is kept in the same place,
    under the key of the graph: compiled anew it would optimise all of the graph once more.

    Parameters
    ----------
    x : TensorVariable, shape (n,)
    beta : TensorVariable, shape ()
    arguments : list of TensorVariable
        Data. In ``table`` stand n and then, for each of these, its address and shape.
    outputs : list of TensorVariable
        Two numbers, and a vector (n,) if wanted. They are NaN where an operation fails.

    Returns
    -------
    numba.core.ccallback.CFunc
        Its attribute ``address`` is good as long as it lives.

    Raises
    ------
    NotNative
        If an operation needs Python, or PyTensor has no longer the hook that this takes.
    """
    from numba import carray, cfunc, types
    from numba.core.errors import NumbaError

    from pm_energy.kernels.native import as_pointer

    reals, integers = types.CPointer(types.float64), types.CPointer(types.int64)
    signature = types.void(reals, types.float64, integers, reals)
    mode = get_mode("NUMBA").including("local_check_parameter_to_ninf_switch")
    with warnings.catch_warnings(), pytensor.config.change_flags(numba__fastmath=False):
        warnings.filterwarnings("error", message="Numba will use object mode", category=UserWarning)
        try:
            fn = pytensor.function(
                [x, beta, *arguments], outputs, mode=mode, on_unused_input="ignore"
            )
            graph = getattr(fn.vm, "jit_fn", None)
            if graph is None:
                raise NotNative("this version of PyTensor hides what numba compiles")
            source = _wrapper_source(arguments, len(outputs) == 3)
            names = {"__name__": __name__, "carray": carray, "as_pointer": as_pointer, "np": np,
                     "graph": graph}  # fmt: skip
            wrapper, cached = _cached_source(source, names, graph)
            return cfunc(signature, cache=cached)(wrapper)
        except (NumbaError, NotImplementedError, UserWarning) as error:
            raise NotNative(f"numba cannot compile it: {error}") from error


def _wrapper_source(arguments, with_gradient):
    place, arrays = 1, []
    for v in arguments:
        shape = "".join(f"table[{place + 1 + i}], " for i in range(v.ndim))
        arrays.append(f"carray(as_pointer(table[{place}]), ({shape}), np.{v.dtype})")
        place += 1 + v.ndim
    point = ["carray(x, (dim,))", "np.asarray(beta)"]
    return f"""
def density(x, beta, table_, out_):
    table = carray(table_, ({place},))
    dim = table[0]
    out = carray(out_, (2{" + dim" if with_gradient else ""},))
    try:
        results = graph({", ".join(point + arrays)})
        out[0], out[1] = results[0].item(), results[1].item()
        {"out[2:] = results[2]" if with_gradient else ""}
    except Exception:
        out[:] = np.nan
"""


def _cached_source(source, names, graph):
    """Run the source of a wrapper; return it and whether numba may keep what it compiles."""
    from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS, compile_numba_function_src

    key = CACHED_SRC_FUNCTIONS.get(graph.py_func)
    if key is not None:
        key = sha256(f"{key} {source}".encode()).hexdigest()
    return compile_numba_function_src(source, "density", names, cache_key=key), key is not None

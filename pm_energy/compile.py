"""PyTensor graph -> function of arrays. The one place that chooses modes and touches compiler hooks."""

from functools import lru_cache

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import explicit_graph_inputs
from pytensor.link.numba.dispatch import basic as numba_basic
from pytensor.link.numba.dispatch.random import numba_core_rv_funcify

from pm_energy.energy import blocks_of, evaluate
from pm_energy.structure import flatten, leaf_specs, unflatten

ONCE = Mode(linker="py", optimizer="fast_compile")  # no compiler at all: for what runs a few times


def compile_function(inputs, outputs, mode=None):
    """Compile a function that trusts its inputs.

    Fast-math is off: with it, a cold and a warm compiler cache give different bits, enough to part two
    chains with the same seed.
    """
    with pytensor.config.change_flags(numba__fastmath=False):
        fn = pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore")
    fn.trust_input = True
    return fn


def evaluate_once(outputs):
    """Evaluate graphs that depend on constants and shared variables only, without a compiler."""
    return pytensor.function([], outputs, mode=ONCE)()


def numeric_leaves(leaves):
    """Values of leaves that depend on no random variable."""
    if all(isinstance(leaf, Constant) for leaf in leaves):
        return [leaf.data for leaf in leaves]
    return evaluate_once(leaves)


def is_constant(outputs):
    """Whether graphs have no inputs but constants and shared data."""
    return all(isinstance(v, SharedVariable) for v in explicit_graph_inputs(outputs))


@lru_cache(maxsize=128)
def _energy_function(structure):
    leaves = [pt.tensor(dtype=leaf.dtype, shape=(None,) * leaf.ndim) for leaf in leaf_specs(structure)]
    energy = unflatten(structure, leaves)
    states = [
        pt.tensor(dtype=block.domain.dtype, shape=(None, *block.shape)) for block in blocks_of(energy)
    ]
    return compile_function([*states, *leaves], evaluate(energy, *states), mode=ONCE)


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

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.energy_values(pme.Ising(lattice=(3, 3)), np.ones((1, 3, 3)))
    array([-18.])
    """
    structure, leaves = flatten(energy)
    blocks = blocks_of(energy)
    if len(states) != len(blocks):
        raise ValueError(f"{type(energy).__name__} has {len(blocks)} blocks, got {len(states)} arrays")
    arrays = [np.asarray(x, dtype=b.domain.dtype) for x, b in zip(states, blocks, strict=True)]
    for block, x in zip(blocks, arrays, strict=True):
        if x.shape[1:] != block.shape:
            raise ValueError(f"states must have shape (B, {block.shape}), got {x.shape}")
    values = numeric_leaves(leaves)
    fn = _energy_function(structure)
    # blocks of at most 8 MB of floats, so that enumerating 2**24 states stays small
    step = max(1, 2**20 // max(1, *(int(np.prod(b.code_shape)) for b in blocks)))
    out = np.empty(len(arrays[0]))
    for i in range(0, len(out), step):
        out[i : i + step] = fn(*[x[i : i + step] for x in arrays], *values)
    return out


def draw_in_object_mode(op_type, draw):
    """Let numba-compiled graphs draw one core variable of an Op by ``draw(op, rng, params)``."""

    @numba_core_rv_funcify.register(op_type)
    def funcify(op, node):
        out = node.default_output().type
        result = numba.types.Array(numba.from_dtype(np.dtype(out.dtype)), op.ndim_supp, "C")

        def python_draw(rng, params):
            return np.ascontiguousarray(draw(op, rng, params))

        @numba_basic.numba_njit
        def core(rng, *params):
            with numba.objmode(drawn=result):
                drawn = python_draw(rng, params)
            return drawn

        return core, None  # holds a Python function, so it cannot be cached

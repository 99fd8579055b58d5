"""Log Z of a narrow two-dimensional lattice by transfer matrix: any couplings, any fields.

One pass down the lattice gives log Z, one pass up its gradient, which is what NUTS needs to sample
couplings and fields; see :mod:`pm_energy.kernels.transfer`.
"""

import math

import numpy as np
import pytensor.tensor as pt
from numba import objmode, types
from pytensor.gradient import DisconnectedType, grad_not_implemented
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import (
    numba_njit,
    register_funcify_default_op_cache_key,
)

from pm_energy.kernels.transfer import strip_partition
from pm_energy.validate import parameter, positive_int, shape_matches, static_shape

MAX_STATES = 2**10  # of a row
MAX_RING_STATES = 2**8  # of a row, if the rows close into a ring: the cost grows as their square


def log_partition_strip(shape, periodic, coupling, field=0.0):
    """Log Z of an Ising model on a narrow lattice, ``E = -sum J s s' - sum h s`` in units of T.

    Parameters
    ----------
    shape : tuple of two int
        Sides, one of which is the width w of the transfer matrix: 2^w may be up to 1,024 if the
        other axis is free and up to 256 if it is periodic.
    periodic : bool or tuple of two bool
        Whether each axis wraps around; an axis of fewer than 3 sites never does, since each pair of
        neighbours counts once.
    coupling : tensor_like, shape () or (n_bonds,)
        J / T, one value or a value for each bond: first the bonds along the first axis, from (r, c)
        to (r + 1, c), by rows, then those from (r, c) to (r, c + 1); as in ``Lattice.edges``.
    field : tensor_like, shape () or ``shape``
        h / T.

    Returns
    -------
    TensorVariable, shape ()
        Differentiable once: its gradient holds the means of ``s s'`` and of ``s``. Exact unless the
        couplings within a row and to the next one add up to some 300 or more.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the lattice is too wide.

    References
    ----------
    .. [1] Kramers & Wannier (1941), Physical Review 60, 252-276.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(log_partition_strip((4, 4), True, np.log1p(np.sqrt(2)) / 2).eval()), 6)
    15.521915
    """
    shape, periodic = _read_lattice(shape, periodic)
    h = parameter("field", field, (0, 2))
    _check_shape("field", h, shape)
    spin = np.array([-1.0, 1.0])
    site = pt.as_tensor(h)[..., None] * spin
    return _log_partition(shape, periodic, coupling, site, "spin")


def log_partition_potts_strip(shape, periodic, q, coupling, field=0.0):
    """Log Z of a Potts model on a narrow lattice, ``E = -sum J [x = x'] - sum h(x)`` in units of T.

    Parameters
    ----------
    shape, periodic, coupling
        As for :func:`log_partition_strip`; q^w states may be as many as 2^w there.
    q : int
        Number of states.
    field : tensor_like, shape (), (q,) or (\\*shape, q)
        h / T of each state, the same for all sites or not.

    Returns
    -------
    TensorVariable, shape ()
        Differentiable once: its gradient holds the probabilities of neighbours to agree and of
        sites to be in each state.

    Examples
    --------
    A ring of three sites has 3 states in which all agree, 18 with one pair that does and 6 without:

    >>> import numpy as np
    >>> value = log_partition_potts_strip((3, 1), True, 3, 0.7).eval()
    >>> round(float(value - np.log(3 * np.exp(2.1) + 18 * np.exp(0.7) + 6)), 12)
    0.0
    """
    shape, periodic = _read_lattice(shape, periodic)
    q = positive_int("q", q)
    h = parameter("field", field, (0, 1, 3))
    _check_shape("field", h, {1: (q,), 3: (*shape, q)}.get(h.ndim))
    return _log_partition(shape, periodic, coupling, pt.as_tensor(h), "equal", q)


def _log_partition(shape, periodic, coupling, site, pair, q=2):
    turned = _turned(shape, periodic, q)
    site = pt.broadcast_to(site, (*shape, q)).astype("float64")
    first, second = _bonds(shape, periodic, coupling)
    if turned:
        first, second, site = second.T, first.T, site.swapaxes(0, 1)
    closed = periodic[1] if turned else periodic[0]
    return _Strip(pair, q, closed)(second, first, site)[0]


def _read_lattice(shape, periodic):
    sides = tuple(positive_int("shape", side) for side in shape)
    flags = (periodic,) * 2 if isinstance(periodic, bool | np.bool_) else tuple(periodic)
    if len(sides) != 2 or len(flags) != 2:
        raise ValueError(
            f"shape must be two sides and periodic a bool for each, got {shape} and {periodic}"
        )
    return sides, tuple(bool(p) and side >= 3 for p, side in zip(flags, sides, strict=True))


def _check_shape(name, value, wanted):
    if value.ndim and not shape_matches(value, wanted):
        raise ValueError(f"{name} must be a scalar or of shape {wanted}, got {static_shape(value)}")


def _turned(shape, periodic, q):
    """Whether the first axis is to be the width: the cheaper way of those that are possible."""
    costs = []
    for length, width, closed in (
        (shape[0], shape[1], periodic[0]),
        (shape[1], shape[0], periodic[1]),
    ):
        limit = MAX_RING_STATES if closed else MAX_STATES
        log_states = width * math.log(q)
        possible = log_states <= math.log(limit) + 1e-9
        costs.append(
            length * width * q**width * (q**width if closed else 1) if possible else math.inf
        )
    if min(costs) == math.inf:
        raise ValueError(
            f"shape {shape} is too wide for a transfer matrix: for one of its sides w, {q}^w must "
            f"be at most {MAX_STATES}, or {MAX_RING_STATES} where the other axis is periodic"
        )
    return costs[1] < costs[0]


def _bonds(shape, periodic, coupling):
    """Couplings along both axes, arrays of the full shape with zeros where there is no bond."""
    coupling = parameter("coupling", coupling, (0, 1))
    sizes = [
        tuple(side if a != axis or periodic[axis] else side - 1 for a, side in enumerate(shape))
        for axis in (0, 1)
    ]
    cut = math.prod(sizes[0])
    n_bonds = cut + math.prod(sizes[1])
    if coupling.ndim and not shape_matches(coupling, (n_bonds,)):
        raise ValueError(
            f"coupling must be a scalar or one value for each of the {n_bonds} bonds, got shape "
            f"{static_shape(coupling)}"
        )
    coupling = pt.as_tensor(coupling).astype("float64")
    first, second = np.zeros(shape), np.zeros(shape)
    kept = [tuple(slice(n) for n in size) for size in sizes]
    if coupling.ndim == 0:
        first[kept[0]] = second[kept[1]] = 1.0
        return coupling * first, coupling * second
    return (
        pt.set_subtensor(pt.as_tensor(first)[kept[0]], coupling[:cut].reshape(sizes[0])),
        pt.set_subtensor(pt.as_tensor(second)[kept[1]], coupling[cut:].reshape(sizes[1])),
    )


SCALAR, MATRIX, CUBE = (types.Array(types.float64, ndim, "C") for ndim in (0, 2, 3))


class _Strip(Op):
    """Log Z of a strip and its derivatives: :func:`~pm_energy.kernels.transfer.strip_partition`.

    Parameters
    ----------
    pair : {"spin", "equal"}
        Bonds weigh the product of two spins, or whether two states are equal.
    q : int
        Number of states of a site.
    closed : bool
        Whether the rows close into a ring.
    """

    __props__ = ("pair", "q", "closed")
    gufunc_signature = "(r,w),(r,w),(r,w,q)->(),(r,w),(r,w),(r,w,q)"

    def __init__(self, pair, q, closed):
        self.pair = pair
        self.q = q
        self.closed = closed

    def make_node(self, across, down, site):
        inputs = [pt.as_tensor(x) for x in (across, down, site)]
        return Apply(self, inputs, [pt.dscalar(), *(x.type() for x in inputs)])

    @property
    def pair_matrix(self):
        return np.array([[1.0, -1.0], [-1.0, 1.0]]) if self.pair == "spin" else np.eye(self.q)

    def perform(self, node, inputs, output_storage):
        arrays = [np.ascontiguousarray(x) for x in inputs]
        log_z, *gradient = strip_partition(*arrays, self.pair_matrix, self.closed)
        for storage, value in zip(output_storage, [np.asarray(log_z), *gradient], strict=True):
            storage[0] = value

    def infer_shape(self, node, shapes):
        return [(), *shapes]

    def connection_pattern(self, node):
        return [[True, True, True, True]] * 3

    def pullback(self, inputs, outputs, cotangents):
        if any(not isinstance(c.type, DisconnectedType) for c in cotangents[1:]):
            reason = "log Z of a strip is differentiable once"
            return [grad_not_implemented(self, i, x, reason) for i, x in enumerate(inputs)]
        return [cotangents[0] * gradient for gradient in outputs[1:]]


@register_funcify_default_op_cache_key(_Strip)
def _compile_strip(op, node, **kwargs):
    """Let numba-compiled graphs call the kernel by way of Python, some 10 us a call.

    Linked in, the kernel would be optimised again with every graph that holds it, for 5 to 20 s.
    """
    pair, closed = op.pair_matrix, op.closed

    def call(across, down, site):
        arrays = [np.ascontiguousarray(x) for x in (across, down, site)]
        log_z, *gradient = strip_partition(*arrays, pair, closed)
        return np.asarray(log_z), *gradient

    @numba_njit
    def strip(across, down, site):
        with objmode(log_z=SCALAR, mean_across=MATRIX, mean_down=MATRIX, marginal=CUBE):
            log_z, mean_across, mean_down, marginal = call(across, down, site)
        return log_z, mean_across, mean_down, marginal

    return strip, 1  # the version of this function, for the compiler cache

"""An energy and what is derived from it.

``p(x) = exp(-E(x)) / Z``. An energy is a frozen dataclass: its fields are its parameters, its call is
its formula, a PyTensor expression over *blocks* of units, vectorised over leading axes. Field,
couplings, free energy and sufficient statistics are derivatives of that one expression.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import pytensor.tensor as pt
from pytensor.gradient import grad
from pytensor.graph.replace import vectorize_graph

from pm_energy.domains import Domain
from pm_energy.structure import symbolic_like
from pm_energy.typing import TensorLike


class Block(NamedTuple):
    """A set of units: their domain and the shape they are laid out in."""

    domain: Domain
    shape: tuple

    @property
    def code_shape(self):
        """Shape of the encoded block, as formulas see it."""
        extra = (len(self.domain.states),) if self.domain.code_ndim else ()
        return (*self.shape, *extra)


@runtime_checkable
class Energy(Protocol):
    """What an energy must have: the domain and shape of its units, and a formula.

    Energies over several blocks (an RBM's visible and hidden layer) have ``blocks`` instead of
    ``domain`` and ``event_shape``. An energy may have ``on_states``, the same formula on states in
    place of their encoding, where the encoding would be large.
    """

    def __call__(self, *blocks): ...


def blocks_of(energy):
    """Return the energy's blocks of units, a tuple of :class:`Block`."""
    if hasattr(energy, "blocks"):
        return tuple(energy.blocks)
    missing = [name for name in ("domain", "event_shape") if not hasattr(energy, name)]
    if missing or not callable(energy):
        raise ValueError(
            f"{energy!r} is not an energy: it needs a call, a domain and an event_shape "
            "(or blocks). Wrap a plain function with pm_energy.energy_from_function"
        )
    return (Block(energy.domain, tuple(energy.event_shape)),)


def single_block(energy):
    """Return the one block of an energy, or raise a ValueError."""
    blocks = blocks_of(energy)
    if len(blocks) != 1:
        raise ValueError(
            f"{type(energy).__name__} has {len(blocks)} blocks of units; "
            "use Marginal(energy) to sum one out or Joined(energy) to make them one"
        )
    return blocks[0]


def evaluate(energy, *states):
    """Energy of states (integers for discrete units) as a PyTensor expression, shape (...)."""
    if hasattr(energy, "on_states"):
        return energy.on_states(*states)
    return energy(*[b.domain.encode(x) for b, x in zip(blocks_of(energy), states, strict=True)])


def field(energy, *blocks, wrt=0):
    """Return the field ``-dE/dx`` on each unit of a block.

    Where the energy is affine in each unit it is the Gibbs conditional: the log-odds are the field
    for {0, 1} units, twice the field for spins, and its differences along the last axis for
    categories.

    Parameters
    ----------
    energy : Energy
    *blocks : TensorVariable, shape (..., *block)
        The encoded units.
    wrt : int
        Which block.

    Returns
    -------
    TensorVariable, shape (..., *block)
    """
    return -_grad(energy(*blocks).sum(), blocks[wrt])


def couplings(energy, *blocks, wrt=0):
    """Return the couplings ``-d2E/dx2`` within a block, shape (n, n) for n entries of the block.

    Raises
    ------
    NotQuadratic
        If they depend on the units, naming the term that is not quadratic.
    """
    from pm_energy.quadratic import quadratic_form

    x = blocks[wrt].type("x")
    others = [x if i == wrt else b for i, b in enumerate(blocks)]
    return quadratic_form(energy(*others), x).coupling


def free_energy(energy, *blocks, wrt=-1):
    r"""Free energy of the other blocks once block ``wrt`` is summed out exactly.

    .. math:: F(v) = E(v, h_0) + h_0 \cdot f(v) - \sum_j \log \sum_{h_j} e^{f_j(v) h_j}

    with the field ``f = -dE/dh``, which must not depend on h: units of the block that are affine in
    the energy and not coupled with one another.

    Parameters
    ----------
    energy : Energy
    *blocks : TensorVariable
        The *other* blocks, encoded, in order.
    wrt : int
        The block to sum out.

    Returns
    -------
    TensorVariable, shape (...)
    """
    summed = blocks_of(energy)[wrt]
    wrt = wrt % (len(blocks) + 1)
    lead = blocks[0].shape[: blocks[0].ndim - len(_other_code(energy, wrt, 0))]
    zero = pt.zeros((*lead, *summed.code_shape))
    units = [*blocks[:wrt], zero, *blocks[wrt:]]
    trace = summed.domain.log_trace(field(energy, *units, wrt=wrt))
    axes = tuple(range(-len(summed.shape), 0))
    return energy(*units) - trace.sum(axis=axes)


def _other_code(energy, wrt, index):
    others = [b for i, b in enumerate(blocks_of(energy)) if i != wrt]
    return others[index].code_shape


def statistics(energy, *states):
    """Return ``-dE/dtheta`` for each tensor parameter, at each state.

    The gradient of the log-likelihood is its mean over the data minus its mean over the model.

    Parameters
    ----------
    energy : Energy
    *states : TensorVariable or array, shape (B, *block)

    Returns
    -------
    list of TensorVariable, each (B, *parameter)
    """
    core, inputs, leaves = symbolic_like(energy)
    states = [pt.as_tensor(x) for x in states]
    units = [pt.tensor(dtype=x.dtype, shape=x.type.shape[1:]) for x in states]
    slopes = [-_grad(evaluate(core, *units), leaf) for leaf in inputs]
    batch = states[0].shape[0]
    out = []
    for slope in slopes:
        given = {u: x for u, x in zip(units, states, strict=True)}
        given |= dict(zip(inputs, leaves, strict=True))
        value = vectorize_graph(slope, given)
        # a statistic that is the same for all states did not get the batch axis
        out.append(value if value.ndim > slope.ndim else pt.broadcast_to(value, (batch, *value.shape)))
    return out


def fisher_information(energy, *states, weights=None):
    """Covariance of ``-dE/dtheta`` over states: the Fisher information of the parameters.

    Parameters
    ----------
    energy : Energy
    *states : array, shape (B, *block)
        All states with their probabilities as ``weights``, or draws from the model.
    weights : array, shape (B,), optional
        Weights of the states, summing to 1; equal by default.

    Returns
    -------
    TensorVariable, shape (k, k), for the k entries of all parameters in order, each ravelled
    """
    table = pt.concatenate([s.reshape((s.shape[0], -1)) for s in statistics(energy, *states)], axis=1)
    w = pt.as_tensor(weights) if weights is not None else pt.ones(table.shape[0]) / table.shape[0]
    centred = table - (w[:, None] * table).sum(axis=0)
    return (w[:, None] * centred).T @ centred


def _grad(cost, wrt):
    return grad(cost, wrt, disconnected_inputs="ignore", return_disconnected="zero")


@dataclass(frozen=True, eq=False)
class FunctionEnergy:
    """A plain function as an energy. See :func:`energy_from_function`."""

    function: Callable
    parameters: dict
    domain: Domain
    event_shape: tuple

    def __call__(self, x):
        return self.function(x, **self.parameters)


def energy_from_function(function, domain, event_shape, **parameters: TensorLike):
    """Make an energy of a plain function.

    Parameters
    ----------
    function : callable
        ``function(x, **parameters)``, a PyTensor expression of shape (...) for encoded units x of
        shape (..., *event_shape). Parameters must come in as arguments, not by closure.
    domain : Domain
        :class:`~pm_energy.Spin`, :class:`~pm_energy.Binary`, :class:`~pm_energy.Categorical` or
        :class:`~pm_energy.Real`.
    event_shape : tuple of int
        Shape of the units.
    **parameters : tensor_like
        Numbers, arrays or PyTensor variables, random ones included.

    Returns
    -------
    FunctionEnergy

    Examples
    --------
    >>> import pm_energy as pme
    >>> quartic = pme.energy_from_function(
    ...     lambda x, a: (a * (x**2 - 1) ** 2).sum(-1), pme.Real(), (2,), a=4.0
    ... )
    >>> float(quartic(np.zeros(2)))
    8.0
    """
    from pm_energy.validate import parameter

    shape = (event_shape,) if isinstance(event_shape, int) else tuple(event_shape)
    if not callable(function):
        raise ValueError(f"function must be callable, got {function!r}")
    checked = {name: parameter(name, value) for name, value in parameters.items()}
    return FunctionEnergy(function, checked, domain, shape)

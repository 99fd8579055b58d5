"""An energy and what is derived from it.

``p(x) = exp(-E(x)) / Z``. An energy is a frozen dataclass: its fields are its parameters, its call
is its formula, a PyTensor expression over *blocks* of units, vectorised over leading axes. Field,
couplings and free energy are derived from that one expression.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pytensor.tensor as pt
from pytensor.gradient import grad

from pm_energy.domains import Domain
from pm_energy.typing import TensorLike
from pm_energy.validate import parameter, positive_int


class Block(NamedTuple):
    """A set of units: their domain and the shape they are laid out in.

    An energy over several sets has ``blocks``, a tuple of these, in the order of its call.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pme.RBM([[1.0], [-1.0]]).blocks
    (Block(domain=Binary(), shape=(2,)), Block(domain=Binary(), shape=(1,)))
    """

    domain: Domain
    shape: tuple

    @property
    def code_shape(self):
        """Shape of the encoded block, as formulas see it."""
        extra = (len(self.domain.states),) if self.domain.code_ndim else ()
        return (*self.shape, *extra)


class Energy(Protocol):
    """What an energy must have: the domain and shape of its units, and a formula.

    Energies over several blocks (an RBM's visible and hidden layer) have ``blocks`` instead of
    ``domain`` and ``event_shape``. An energy may have ``on_states``, the same formula on states in
    place of their encoding, where the encoding would be large.
    """

    def __call__(self, *blocks):
        """Energy of encoded units, a shape (..., *block code shape) each -> (...)."""


def blocks_of(energy):
    """Return the energy's blocks of units, a tuple of :class:`Block`."""
    if hasattr(energy, "blocks") and not isinstance(energy, type):
        return tuple(energy.blocks)
    named = hasattr(energy, "domain") and hasattr(energy, "event_shape")
    if isinstance(energy, type) or not named or not callable(energy):
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
    """Energy of states (integers for discrete units) as a PyTensor expression, shape (...).

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.evaluate(pme.Potts(3, lattice=(3, 3)), np.zeros((3, 3), dtype=int)).eval()
    array(-18.)
    """
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

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.field(pme.Ising(graph=[[0, 1], [1, 2]], field=0.5), np.ones(3)).eval()
    array([1.5, 2.5, 1.5])
    """
    blocks = [pt.as_tensor(x) for x in blocks]
    return -_grad(energy(*blocks).sum(), blocks[wrt])


def couplings(energy, *blocks, wrt=0):
    """Return the couplings ``-d2E/dx2`` within a block.

    Parameters
    ----------
    energy : Energy
    *blocks : TensorVariable, shape (*block)
        The encoded units, of known static shape.
    wrt : int
        Which block.

    Returns
    -------
    TensorVariable, shape (n, n)
        For the n entries of the block in C order.

    Raises
    ------
    NotQuadratic
        If they depend on the units, naming the term that is not quadratic.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> pme.couplings(pme.Ising(graph=[[0, 1], [1, 2]], coupling=2.0), np.ones(3)).eval()
    array([[0., 2., 0.],
           [2., 0., 2.],
           [0., 2., 0.]])
    """
    from pm_energy.quadratic import quadratic_form  # derived from this module

    blocks = [pt.as_tensor(x) for x in blocks]
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

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> rbm = pme.RBM(np.zeros((3, 2)))
    >>> pme.free_energy(rbm, np.ones(3)).eval().round(6)  # -2 log(1 + exp(0))
    np.float64(-1.386294)
    """
    layers = list(blocks_of(energy))
    if len(blocks) != len(layers) - 1:
        raise ValueError(
            f"{type(energy).__name__} has {len(layers)} blocks of units: "
            f"pass all but the one to sum out, got {len(blocks)}"
        )
    blocks = [pt.as_tensor(x) for x in blocks]
    wrt = wrt % len(layers)
    summed = layers.pop(wrt)
    lead = [blocks[0].shape[i] for i in range(blocks[0].ndim - len(layers[0].code_shape))]
    zero = pt.zeros((*lead, *summed.code_shape))
    units = [*blocks[:wrt], zero, *blocks[wrt:]]
    trace = summed.domain.log_trace(field(energy, *units, wrt=wrt))
    axes = tuple(range(-len(summed.shape), 0))
    return energy(*units) - trace.sum(axis=axes)


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
        """Energy of encoded units, (..., *code shape) -> (...)."""
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

    Raises
    ------
    ValueError
        If the function cannot be called, the domain is none, the shape holds anything but positive
        integers, or a parameter is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> quartic = pme.energy_from_function(
    ...     lambda x, a: (a * (x**2 - 1) ** 2).sum(-1), pme.Real(), (2,), a=4.0
    ... )
    >>> float(quartic(np.zeros(2)))
    8.0
    """
    shape = event_shape if isinstance(event_shape, tuple | list) else (event_shape,)
    shape = tuple(positive_int("event_shape", side) for side in shape)
    if not callable(function):
        raise ValueError(f"function must be callable, got {function!r}")
    if isinstance(domain, type) or not hasattr(domain, "log_trace"):
        raise ValueError(f"domain must be a domain such as pm_energy.Spin(), got {domain!r}")
    checked = {name: parameter(name, value) for name, value in parameters.items()}
    return FunctionEnergy(function, checked, domain, shape)

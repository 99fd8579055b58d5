"""Energy -> normal form: what the fast kernels understand, read off the class or derived.

A *form* holds PyTensor expressions of the log-probabilities a kernel needs, at temperature one:
:class:`SpinPairs` for two-state units with pair couplings, :class:`PottsPairs` for categories,
:class:`Layers` for two layers. Every form of a known class is checked against the form derived
from the formula. Where there is no form, ``normal_form`` returns None and the reason is found by
deriving.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from pm_energy.compose import Clamped, Joined, Marginal, Sum, Tempered
from pm_energy.domains import Binary, Spin
from pm_energy.energies.boltzmann import RBM, BoltzmannMachine
from pm_energy.energies.hopfield import Hopfield
from pm_energy.energies.ising import Ising
from pm_energy.energies.potts import Potts
from pm_energy.energies.sites import Complete, Graph, Lattice
from pm_energy.energy import single_block
from pm_energy.quadratic import NotQuadratic, quadratic_form


class _Linear:
    """A form whose tensors are linear in the energy."""

    names: ClassVar[tuple[str, ...]]

    @property
    def tensors(self):
        """What a kernel needs the numbers of."""
        return tuple(getattr(self, name) for name in self.names)

    def scaled(self, beta):
        """Return the form of ``beta`` times the energy."""
        return dataclasses.replace(
            self, **{name: beta * getattr(self, name) for name in self.names}
        )

    def plus(self, other):
        """Return the form of the sum of two energies over the same units."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in self.names}
        return dataclasses.replace(self, **sums)


@dataclass(frozen=True)
class SpinPairs(_Linear):
    """Two-state units as spins: log-odds of +1 are ``bias_i + sum_j coupling_ij s_j``."""

    sites: Lattice | Graph | Complete
    coupling: Any  # scalar, (n_bonds,) or (n, n)
    bias: Any  # scalar or the shape of the units

    names: ClassVar = ("coupling", "bias")

    @property
    def label(self):
        """The form in words."""
        return f"pair couplings on {self.sites.label}"


@dataclass(frozen=True)
class PottsPairs(_Linear):
    """Categories: log p is ``coupling`` for each equal pair plus ``log_weight[i, x_i]``."""

    q: int
    sites: Lattice | Graph | Complete
    coupling: Any
    log_weight: Any  # scalar, (q,) or (*sites, q)

    names: ClassVar = ("coupling", "log_weight")

    @property
    def label(self):
        """The form in words."""
        return f"{self.q}-state couplings on {self.sites.label}"


@dataclass(frozen=True)
class Layers(_Linear):
    """Two layers of {0, 1} units: log p is ``v.a + h.b + v W h``.

    The variable is both layers end to end (``kind`` "joined"), the visible one with the hidden one
    summed out ("marginal"), or not settled yet ("layers").
    """

    shape: tuple[int, int]
    weights: Any
    visible_bias: Any
    hidden_bias: Any
    kind: str = "layers"

    names: ClassVar = ("weights", "visible_bias", "hidden_bias")

    @property
    def label(self):
        """The form in words."""
        return "two layers of {} and {} units".format(*self.shape)


@dataclass(frozen=True)
class Held:
    """A form over all units of which some are held: a mask and their states."""

    form: Any
    mask: np.ndarray
    states: np.ndarray

    @property
    def label(self):
        """The form in words."""
        return f"{self.form.label}, {self.mask.sum()} units held"

    @property
    def tensors(self):
        """What a kernel needs the numbers of."""
        return self.form.tensors

    def scaled(self, beta):
        """Return the form of ``beta`` times the energy."""
        return dataclasses.replace(self, form=self.form.scaled(beta))


@singledispatch
def normal_form(energy):
    """Return the form of an energy, or None where its class says nothing.

    Examples
    --------
    >>> import pm_energy as pme
    >>> normal_form(pme.Tempered(pme.Ising(lattice=(8, 8), coupling=1.0), 0.5)).label
    'pair couplings on a 8 x 8 lattice'
    """
    return None


@normal_form.register
def _(energy: Ising):
    return SpinPairs(energy.sites, 2.0 * energy.coupling, 2.0 * energy.field)


@normal_form.register
def _(energy: BoltzmannMachine):
    if energy.coding == "binary":
        energy = energy.to_spin()
    return SpinPairs(Complete(energy.n), 2.0 * energy.coupling, 2.0 * energy.bias)


@normal_form.register
def _(energy: Hopfield):
    return normal_form(energy.to_boltzmann_machine())


@normal_form.register
def _(energy: Potts):
    return PottsPairs(energy.q, energy.sites, energy.coupling, energy.field)


@normal_form.register
def _(energy: RBM):
    if energy.visible == "gaussian":
        return None
    n_visible, n_hidden = energy.shape
    weights = energy.weights
    a = energy.visible_bias * pt.ones(n_visible)
    b = energy.hidden_bias * pt.ones(n_hidden)
    if energy.visible == "spin":  # v = 2x - 1
        weights, a, b = 2.0 * weights, 2.0 * a, b - weights.sum(axis=0)
    if energy.hidden == "spin":
        weights, a, b = 2.0 * weights, a - weights.sum(axis=1), 2.0 * b
    return Layers(energy.shape, weights, a, b)


@normal_form.register
def _(energy: Tempered):
    form = normal_form(energy.energy)
    if form is None or _is_marginal(form):
        return None  # a tempered free energy is not the free energy of a tempered joint
    return form.scaled(energy.beta)


def _is_marginal(form):
    form = form.form if isinstance(form, Held) else form
    return isinstance(form, Layers) and form.kind == "marginal"


@normal_form.register
def _(energy: Sum):
    forms = [normal_form(term) for term in energy.terms]
    first = forms[0]
    if any(f is None or isinstance(f, Held) or _is_marginal(f) for f in forms):
        return None
    if any(_kind(f) != _kind(first) for f in forms):
        return None
    total = first
    for form in forms[1:]:
        total = total.plus(form)
    return total


def _kind(form):
    """What two forms must share for their tensors to be added."""
    if isinstance(form, Layers):
        return Layers, form.shape, form.kind
    q = form.q if isinstance(form, PottsPairs) else 2
    return type(form), q, _sites_key(form.sites)


def _sites_key(sites):
    return (sites.n, sites.edges.tobytes()) if isinstance(sites, Graph) else sites


@normal_form.register
def _(energy: Clamped):
    form = normal_form(energy.energy)
    if form is None or isinstance(form, Held):
        return None
    return Held(form, energy.mask, energy.states)


@normal_form.register
def _(energy: Marginal):
    form = normal_form(energy.energy)
    if not isinstance(form, Layers):
        return None
    if energy.block == 0:
        form = Layers(form.shape[::-1], form.weights.T, form.hidden_bias, form.visible_bias)
    return dataclasses.replace(form, kind="marginal")


@normal_form.register
def _(energy: Joined):
    form = normal_form(energy.energy)
    return dataclasses.replace(form, kind="joined") if isinstance(form, Layers) else None


DENSE_LIMIT = 4096  # units above which no coupling matrix is derived


def derived_form(energy):
    """Derive the pair form of any energy over two-state units from its formula.

    Parameters
    ----------
    energy : Energy
        Over one block.

    Returns
    -------
    SpinPairs
        With a dense coupling matrix.

    Raises
    ------
    NotQuadratic
        If its couplings depend on the units, or a matrix of them would be too large.

    Examples
    --------
    >>> import pm_energy as pme
    >>> pair = pme.energy_from_function(lambda x: -x[..., 0] * x[..., 1], pme.Spin(), (2,))
    >>> derived_form(pair).coupling.eval()
    array([[0., 2.],
           [2., 0.]])
    """
    block = single_block(energy)
    if not isinstance(block.domain, Binary | Spin):
        raise NotQuadratic(f"a form is derived for two-state units only, not for {block.domain}")
    n = math.prod(block.shape)
    if n > DENSE_LIMIT:
        raise NotQuadratic(f"the coupling matrix of {n} units would be too large")
    x = pt.tensor("x", shape=block.shape, dtype="float64")
    field, coupling = quadratic_form(energy(x), x)
    diagonal = pt.diagonal(coupling)
    coupling = pt.fill_diagonal(coupling, 0.0)
    if isinstance(block.domain, Spin):  # s**2 = 1: the diagonal is a constant
        return SpinPairs(Complete(n), 2.0 * coupling, 2.0 * field)
    # x**2 = x puts the diagonal into the field; then x = (s + 1) / 2
    field = field + 0.5 * (diagonal + coupling.sum(axis=1)).reshape(block.shape)
    return SpinPairs(Complete(n), 0.5 * coupling, field)


def find_form(energy):
    """Return the form of an energy, from its class or else derived.

    Raises
    ------
    NotQuadratic
        If it has none.
    """
    form = normal_form(energy)
    return derived_form(energy) if form is None else form

"""One PyMC distribution for every energy."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.distribution import Distribution
from pymc.distributions.shape_utils import convert_dims, convert_shape, shape_from_dims
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable

from pm_energy import log_partition as lp
from pm_energy.compile import evaluate_once, is_constant
from pm_energy.compose import Clamped, Joined, Marginal, Sum, Tempered
from pm_energy.energy import blocks_of, single_block
from pm_energy.random_variable import (
    EnergyRV,
    Whole,
    leaves_out_log_z,
    mark_exchange_parameters,
    random_ancestors,
)
from pm_energy.structure import flatten
from pm_energy.validate import is_numeric, parameter, positive, states_in_domain

__all__ = ["Boltzmann", "EnergyRV"]


def _choose_normaliser(energy, log_partition):
    """Return how log p is normalised, or raise an error that lists the choices."""
    _, leaves = flatten(energy)
    if log_partition == "pseudolikelihood":
        if single_block(energy).domain.states is None:
            raise ValueError("log_partition='pseudolikelihood' is for discrete units")
        return log_partition
    if log_partition == "exchange":
        if single_block(energy).domain.states is None and not hasattr(energy, "draw"):
            raise ValueError(
                f"log_partition='exchange' needs draws from {type(energy).__name__} at every step: "
                "for real-valued units give the energy a method draw(rng, size)"
            )
        return log_partition
    if callable(log_partition):
        return log_partition
    if log_partition not in (None, "exact"):
        raise ValueError(
            "log_partition must be None, 'exact', 'exchange', 'pseudolikelihood' or a callable, "
            f"got {log_partition!r}"
        )
    if log_partition is None and not random_ancestors(leaves):
        return None  # a constant log Z matters to nobody
    reasons = []
    for name, method in lp.METHODS.items():
        try:
            method(energy)
        except lp.NotTractable as why:
            reasons.append(f"  - {name}: {why}")
        else:
            return name
    if log_partition is None:
        need = "its parameters depend on random variables, so log Z matters"
    else:
        need = "log_partition='exact' asks for log Z"
    raise ValueError(
        f"{type(energy).__name__}: {need}, and it is not available exactly:\n"
        + "\n".join(reasons)
        + "\nYour choices:\n"
        "  - a smaller or simpler energy, for which it is exact;\n"
        "  - log_partition='exchange', the exchange algorithm (Murray et al. 2006): no log Z, and\n"
        "    exact where states can be drawn exactly;\n"
        "  - log_partition='pseudolikelihood', an approximation (Besag 1975);\n"
        "  - log_partition=f, a callable that returns log Z (or an approximation) as a PyTensor\n"
        "    expression of the energy;\n"
        "  - parameters that are constants or pm.Data."
    )


def _prepare(energy, temperature):
    """One block, tempered."""
    temperature = positive("temperature", parameter("temperature", temperature, 0))
    if len(blocks_of(energy)) == 2:
        energy = Marginal(energy)
    if is_numeric(temperature) and temperature == 1:
        return energy
    return _tempered(energy, 1.0 / temperature)


def _tempered(energy, beta):
    """Temperature acts on all units together, those that are summed out or held included."""
    match energy:
        case Marginal(energy=joint, block=block):
            return Marginal(_tempered(joint, beta), block)
        case Joined(energy=layers):
            return Joined(_tempered(layers, beta))
        case Clamped(energy=whole, mask=mask, states=states):
            return Clamped(_tempered(whole, beta), mask, states)
        case Sum(terms=terms):
            return Sum(tuple(_tempered(term, beta) for term in terms))
    return Tempered(energy, beta)


class Boltzmann(Distribution):
    r"""The distribution :math:`p(x) = \exp(-E(x) / T) / Z` of an energy.

    Discrete energies give integer states, sampled by :class:`~pm_energy.EnergyGibbs` by itself;
    continuous ones are sampled by NUTS. An energy with a visible and a hidden layer gives the
    visible layer, the hidden one summed out; temperature acts on both.

    Parameters
    ----------
    energy : Energy
        What :mod:`pm_energy` offers, a dataclass of your own, or
        :func:`~pm_energy.energy_from_function`. Its parameters may be random variables.
    temperature : tensor_like, shape ()
        T, in the units of the energy.
    log_partition : None, "exact", "exchange", "pseudolikelihood" or callable
        How log Z is found. By default it is left out where it is a constant; where a parameter
        depends on a random variable it is exact, or an error lists the choices. "exact" asks for it
        everywhere: where log p itself counts, as in the components of a mixture. "exchange" leaves
        it out of log p and :class:`~pm_energy.EnergyExchange` to the parameters, on any graph [2]_:
        for ``pm.sample`` only, as nothing else knows what is missing. "pseudolikelihood" replaces p
        by the product of the conditionals [1]_, an approximation. A callable takes the energy and
        returns log Z, or what you take for it, as a PyTensor expression.
    **kwargs
        ``dims``, ``shape``, ``observed``, ``initval`` and so on, as for any PyMC distribution.
        Batch axes lead. Missing (masked or NaN) entries of ``observed`` are imputed: they become
        the variable ``{name}_unobserved``, and ``name`` the whole field.

    Raises
    ------
    ValueError
        If a shape contradicts the energy's, observed or initial states lie outside the domain, a
        random variable reaches the formula by closure, or log Z matters and is not available.

    Notes
    -----
    All units of a field are *one* observation: log p does not split over sites. So
    ``log_likelihood`` holds one number a draw, and leave-one-out estimates (``az.loo``) over the
    sites of an observed field do not exist. ``pm.find_MAP`` moves continuous variables only:
    discrete fields stay at their initial values, as every discrete variable in PyMC does.
    ``pm.fit`` and the external NUTS samplers refuse models with discrete variables. ``pm.observe``
    and ``pm.do`` take arrays in the dtype of the variable only (``int8``).

    Forward draws (``pm.draw``, predictive sampling) are exact up to 2**16 states, for ferromagnets
    of any size and for energies with a ``draw`` method; otherwise see :mod:`pm_energy.draws`.

    States are small integers, and PyTensor computes functions of ``int8`` alone, such as
    ``pm.math.exp(z)`` or ``pm.math.sigmoid(0.5 * z)``, in single precision. Where seven digits are
    too few write ``z.astype("float64")``.

    References
    ----------
    .. [1] Besag (1975), The Statistician 24, 179-195.
    .. [2] Murray, Ghahramani & MacKay (2006), Uncertainty in Artificial Intelligence 22, 359-366.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     z = pme.Boltzmann("z", pme.Ising(lattice=(8, 8), coupling=0.3))
    >>> z.type.shape, z.dtype
    ((8, 8), 'int8')
    """

    rv_type = EnergyRV

    def __new__(
        cls,
        name,
        energy,
        *,
        temperature=1.0,
        log_partition=None,
        observed=None,
        initval=None,
        **kwargs,
    ):
        """Add the variable to the model."""
        energy = _prepare(energy, temperature)
        if isinstance(observed, SharedVariable):  # pm.Data: PyMC's cast of it would hide bad states
            _read_observed(observed.get_value(borrow=True), energy)
        elif observed is not None and not isinstance(observed, Variable):
            observed, missing = _read_observed(observed, energy)
            if missing is not None:
                normaliser = Whole(_choose_normaliser(energy, log_partition))
                return _impute(name, energy, observed, missing, normaliser, initval, **kwargs)
        if initval is not None and not isinstance(initval, str | Variable):
            initval = states_in_domain("initval", initval, single_block(energy).domain)
        return super().__new__(
            cls,
            name,
            energy,
            log_partition=log_partition,
            observed=observed,
            initval=initval,
            **kwargs,
        )

    @staticmethod
    def rv_op(energy, normaliser=None, *, size=None, rng=None):
        """Build the variable's graph."""
        op, leaves = EnergyRV.of(energy, normaliser)
        if leaves_out_log_z(op):
            mark_exchange_parameters(leaves)
        rng = pt.random.shared_rng(seed=None) if rng is None else rng
        return op(*leaves, size=size, rng=rng, return_next_rng=True)[1]

    @classmethod
    def dist(cls, energy, *, temperature=1.0, log_partition=None, shape=None, **kwargs):
        """Return the variable without adding it to a model."""
        energy = _prepare(energy, temperature)
        _check_shape(shape, single_block(energy).shape)
        normaliser = _choose_normaliser(energy, log_partition)
        return super().dist([energy, normaliser], shape=shape, **kwargs)


def _check_shape(shape, event_shape):
    """PyMC ignores a shape (or dims) that contradicts the variable's own."""
    shape = convert_shape(shape)
    if shape is None:
        return
    lengths = [_length(n) for n in shape]
    tail = zip(lengths[len(shape) - len(event_shape) :], event_shape, strict=False)
    if len(shape) < len(event_shape) or any(a not in (None, b) for a, b in tail):
        raise ValueError(
            f"shape (or the lengths of dims) must end with the energy's own shape {event_shape}, "
            f"batch axes lead; got {tuple('?' if n is None else n for n in lengths)}"
        )


def _length(n):
    """An axis length as an integer, or None if it is not known."""
    if isinstance(n, Variable):
        return int(evaluate_once(n)) if is_constant([n]) else None
    return int(n)


def _read_observed(observed, energy):
    """Return observed states in the domain's dtype and a mask of missing ones, or None."""
    block = single_block(energy)
    values = observed if np.ma.isMaskedArray(observed) else np.asarray(observed)
    missing, values = np.ma.getmaskarray(values), np.ma.getdata(values)
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    if values.shape[max(0, values.ndim - len(block.shape)) :] != block.shape:
        raise ValueError(
            f"observed must end with the energy's shape {block.shape}, got {values.shape}"
        )
    filler = 0 if block.domain.states is None else block.domain.states[0]
    states = states_in_domain("observed", np.where(missing, filler, values), block.domain)
    return states, missing if missing.any() else None


def _impute(name, energy, observed, missing, normaliser, initval, dims=None, shape=None, **kwargs):
    """Add the missing entries as a free variable and the whole field as a Deterministic."""
    event_shape = single_block(energy).shape
    model = pm.modelcontext(None)
    if missing.shape != event_shape:
        raise ValueError(
            f"observed has batch axes {missing.shape} and missing entries; "
            "make one variable for each field"
        )
    if missing.all():
        raise ValueError("observed has no observed entry; leave it out")
    if dims is not None:
        shape = shape_from_dims(convert_dims(dims), model)
    _check_shape(shape, event_shape)
    if initval is not None and not isinstance(initval, str | Variable):
        initval = np.asarray(initval)
        initval = initval[missing] if initval.shape == event_shape else initval
        initval = states_in_domain("initval", initval, single_block(energy).domain)
    clamped = Clamped(energy, ~missing, observed)
    rv = super(Boltzmann, Boltzmann).dist([clamped, normaliser])
    free = model.register_rv(rv, f"{name}_unobserved", initval=initval, **kwargs)
    return pm.Deterministic(name, clamped.scatter(free), dims=dims)

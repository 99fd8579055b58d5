"""The path of a PyMC model, or of an energy, from a base to the target."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.model.transform.optimization import freeze_dims_and_data

from pm_energy.compile import ONCE, compile_function
from pm_energy.distributions import Boltzmann
from pm_energy.energy import blocks_of, single_block
from pm_energy.paths.base_draws import PriorDraws, drawn_exactly
from pm_energy.paths.gaussian import fit_gaussian, gaussian_tempered_model
from pm_energy.paths.tempered_model import tempered_model, with_energies
from pm_energy.paths.uniform import uniform_like
from pm_energy.random_variable import EnergyRV, leaves_out_log_z

KINDS = ("likelihood", "potentials", "energies")
_log = logging.getLogger("pymc").getChild("pm_energy")


@dataclass(frozen=True, eq=False)
class Path:
    """Densities ``base * exp(beta * log_ratio)`` over the value variables of a model.

    Attributes
    ----------
    model : pymc.Model
        With constant data and lengths, so that what is compiled stays true.
    inputs : list of TensorVariable
        The value variables: transformed, as samplers see them.
    log_base, log_ratio : TensorVariable, shape ()
        Unnormalised; the target is their sum.
    terms : dict of str to TensorVariable
        The parts that log_base and log_ratio are made of, by name.
    draw_base : callable
        (rng, n) -> dict of name of value variable to array (n, ...).
    exact_base : bool
        Whether these are independent draws of the base itself. If not, they are where to start.
    log_z_base : float
        Log normaliser of the base.
    base, tempered : str
        What the base is and what beta multiplies, in words.
    tempered_model : callable
        () -> a model with a shared beta for PyMC step methods, and that beta.
    """

    model: pm.Model
    inputs: list
    log_base: Any
    log_ratio: Any
    terms: dict
    draw_base: Callable
    exact_base: bool
    log_z_base: float
    base: str
    tempered: str
    tempered_model: Callable

    def explain(self, point):
        """Say which terms are NaN or infinite at a point, for error messages."""
        bad = [f"{k} = {v}" for k, v in self._terms_at(point).items() if not np.isfinite(v)]
        return ", ".join(bad) if bad else "all terms are finite"

    def fingerprint(self):
        """Return numbers that another model, or other data, would change: text for each term."""
        return {k: repr(float(v)) for k, v in self._terms_at(self.model.initial_point()).items()}

    def _terms_at(self, point):
        values = [pt.sum(value) for value in self.terms.values()]
        # a parameter out of range is a density of zero, as for samplers, and no exception
        mode = ONCE.including("local_check_parameter_to_ninf_switch")
        fn = compile_function(self.inputs, values, mode=mode)
        found = fn(*[np.asarray(point[v.name], dtype=v.dtype) for v in self.inputs])
        return dict(zip(self.terms, found, strict=True))


def make_path(model=None, *, base="prior", temper=None):
    """Read the path from base to target out of a model.

    Parameters
    ----------
    model : pymc.Model or Energy, optional
        Taken from the context if not given. An energy over discrete units starts at the uniform
        distribution; one over real units needs ``base="variational"``.
    base : {"prior", "variational"}
        Where beta = 0. "variational": a Gaussian fitted by mean-field variational inference (for
        continuous models), where the prior is far from the posterior. It covers one mode: where
        there may be several, keep the prior, and for an energy over real units write a model with
        a Uniform prior and the energy as a Potential.
    temper : str or sequence of str, optional
        What beta multiplies beside a Gaussian base: any of "likelihood", "potentials" (which
        otherwise belong to the base) and "energies" (of discrete Boltzmann variables, whose base
        is then uniform). By default the likelihood; if nothing is observed, potentials; if there
        are none, energies.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there is nothing to temper, the prior is improper or an argument is out of range.

    Examples
    --------
    >>> import pymc as pm
    >>> from pm_energy.paths import make_path
    >>> with pm.Model() as model:
    ...     x = pm.Normal("x", 0, 5)
    ...     y = pm.Normal("y", x**2, 1, observed=4.0)
    >>> path = make_path(model)
    >>> path.base, path.tempered
    ('prior', 'likelihood of y')
    """
    if base not in ("prior", "variational"):
        raise ValueError(f"base must be 'prior' or 'variational', got {base!r}")
    if model is not None and not isinstance(model, pm.Model):
        model = _model_of(model)
    model = _frozen(pm.modelcontext(model))
    if not model.free_RVs:
        raise ValueError("the model has no free variables: there is nothing to sample")
    if base == "variational":
        if temper is not None:
            raise ValueError("temper is for base='prior'; a Gaussian base tempers the whole model")
        _refuse_exchange(model.basic_RVs)
        return _gaussian_path(model)
    observed, potentials, energies = _what_to_temper(model, temper)
    _refuse_exchange([model[name] for name in (*observed, *energies)])
    return _prior_path(model, observed, potentials, energies)


def _frozen(model):
    """A copy of a model with constant data and lengths; starts of its user do not matter here."""
    starts = dict(model.rvs_to_initial_values)
    try:
        model.rvs_to_initial_values.update(dict.fromkeys(starts))  # PyMC copies no others
        return freeze_dims_and_data(model)
    finally:
        model.rvs_to_initial_values.update(starts)


def _model_of(energy):
    if len(blocks_of(energy)) != 1:
        raise ValueError(
            f"{type(energy).__name__} has several blocks of units: temper Joined(energy), all "
            "units side by side, or Marginal(energy)"
        )
    with pm.Model() as model:
        Boltzmann("x", energy)
    return model


def _refuse_exchange(rvs):
    """A factor without its log Z cannot be raised to a power."""
    for rv in rvs:
        if isinstance(rv.owner.op, EnergyRV) and leaves_out_log_z(rv.owner.op):
            raise ValueError(
                f"log Z of {rv.name!r} is unknown (log_partition='exchange'), so this factor "
                "cannot be tempered: use pm.sample, an exact log_partition, or another temper"
            )


def _discrete_fields(model):
    """Names of the free Boltzmann variables with finitely many states."""
    return [
        rv.name
        for rv in model.free_RVs
        if isinstance(rv.owner.op, EnergyRV) and _block(rv).domain.states is not None
    ]


def _block(rv):
    return single_block(rv.owner.op.energy(rv.owner.op.dist_params(rv.owner)))


def _what_to_temper(model, temper):
    """Names of observed variables, potentials and Boltzmann variables that beta multiplies."""
    found = {
        "likelihood": [rv.name for rv in model.observed_RVs],
        "potentials": [term.name for term in model.potentials],
        "energies": _discrete_fields(model),
    }
    if temper is None:
        temper = next((kind for kind in KINDS if found[kind]), None)
        if temper is None:
            raise ValueError(
                "the model has no observed variables, no potentials and no discrete Boltzmann "
                "variables: prior and target are the same, and there is nothing to temper. Observe "
                "data, or pass base='variational' to come from a Gaussian"
            )
    chosen = {temper} if isinstance(temper, str) else set(temper)
    if not chosen or not chosen <= set(KINDS):
        raise ValueError(f"temper must be one or several of {KINDS}, got {temper!r}")
    missing = [kind for kind in KINDS if kind in chosen and not found[kind]]
    if missing:
        raise ValueError(f"temper asks for {missing}, and the model has none")
    return [found[kind] if kind in chosen else [] for kind in KINDS]


def _prior_path(model, observed, potentials, energies):
    tempered = [*observed, *potentials, *energies]
    factors = [*model.free_RVs, *model.observed_RVs, *model.potentials]
    terms = dict(zip([f.name for f in factors], model.logp(vars=factors, sum=False), strict=True))
    above = [terms[name] for name in tempered]
    below = [term for name, term in terms.items() if name not in tempered]
    uniform = sum(_log_states(_block(model[name])) for name in energies)
    kept = [term.name for term in model.potentials if term.name not in tempered]
    words = zip(KINDS, (observed, potentials, energies), strict=True)
    base = with_energies(model, energies, lambda energy, _: (uniform_like(energy), None))
    path = Path(
        model=model,
        inputs=model.value_vars,
        log_base=_total(below),
        log_ratio=_total(above),
        terms=terms,
        draw_base=PriorDraws(base),
        exact_base=not kept and drawn_exactly(base),
        log_z_base=float(uniform),
        base="uniform" if energies and len(energies) == len(model.free_RVs) else "prior",
        tempered="; ".join(f"{kind} of {', '.join(names)}" for kind, names in words if names),
        tempered_model=partial(tempered_model, model, [*observed, *potentials], energies),
    )
    _log.info(f"path: from the {path.base} to the target, beta multiplies the {path.tempered}")
    return path


def _log_states(block):
    return math.prod(block.shape) * math.log(len(block.domain.states))


def _total(terms):
    """Sum of terms as one number, in double precision."""
    return sum((pt.sum(term).astype("float64") for term in terms), pt.as_tensor(np.float64(0.0)))


def _gaussian_path(model):
    discrete = [rv.name for rv in model.free_RVs if rv.dtype not in ("float64", "float32")]
    if discrete:
        raise ValueError(
            f"base='variational' is a Gaussian, for continuous variables only: {discrete} are "
            "discrete. Use base='prior'"
        )
    factors = [*model.free_RVs, *model.observed_RVs, *model.potentials]
    terms = dict(zip([f.name for f in factors], model.logp(vars=factors, sum=False), strict=True))
    gaussian = fit_gaussian(model)
    log_base = gaussian.log_density(model.value_vars)
    path = Path(
        model=model,
        inputs=model.value_vars,
        log_base=log_base,
        log_ratio=_total(terms.values()) - log_base,
        terms=terms,
        draw_base=gaussian.draw,
        exact_base=True,
        log_z_base=0.0,
        base="variational",
        tempered="whole log-density",
        tempered_model=partial(gaussian_tempered_model, model, gaussian),
    )
    _log.info("path: from a Gaussian fitted by variational inference to the target")
    return path

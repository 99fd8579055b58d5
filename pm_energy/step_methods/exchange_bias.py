"""How far inner draws that are not exact move the posterior of the exchange algorithm."""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.progress_bar import create_simple_progress
from pymc.util import get_random_generator
from pytensor.gradient import grad
from pytensor.graph.replace import graph_replace

from pm_energy.compile import ONCE, compile_function
from pm_energy.step_methods.exchange import INNER_SWEEPS
from pm_energy.step_methods.exchange_model import (
    ExchangeField,
    exchange_fields,
    exchange_parameters,
)
from pm_energy.validate import positive_int


@dataclass(frozen=True, slots=True)
class ExchangeBias:
    """What :func:`exchange_bias` found, an entry for each parameter.

    Attributes
    ----------
    names : tuple of str
    shift : ndarray
        Estimated error of the posterior mean, in posterior standard deviations.
    shift_mcse : ndarray
        Its standard error.
    widening : ndarray
        Estimated error of the posterior standard deviation, as a share of it.
    widening_mcse : ndarray
        Its standard error.
    disagreement : ndarray
        Of the long runs from two kinds of starts, in the units of ``shift``. Beyond three times
        ``shift_mcse`` or so, even those are too short, and the bias may be larger than it seems.
    exact : bool
        All inner draws were exact: there is no bias, and the rest is zero.
    """

    names: tuple
    shift: np.ndarray
    shift_mcse: np.ndarray
    widening: np.ndarray
    widening_mcse: np.ndarray
    disagreement: np.ndarray
    exact: bool


def exchange_bias(
    trace,
    *,
    inner_sweeps=INNER_SWEEPS,
    factor=10,
    runs=200,
    random_seed=None,
    progressbar=True,
    model=None,
):
    r"""Measure the bias that inner draws bring into a posterior of the exchange algorithm.

    Inner draws follow some other distribution q than the energy's own, p. So the algorithm follows
    the wrong slope of the log-likelihood, by :math:`e(\theta) = E_p S - E_q S` with
    :math:`S = -\partial E / \partial \theta`. To first order the posterior mean is off by
    :math:`\Sigma \langle e \rangle` and the posterior covariance :math:`\Sigma` by
    :math:`\Sigma\, \mathrm{Cov}(e, \theta)`. At random draws of the posterior, S is taken from one
    run as :class:`EnergyExchange` makes it, and from one that is ``factor`` times as long and
    begins, in turn, at the field itself and at a random state.

    Parameters
    ----------
    trace : DataTree
        As :func:`pymc.sample` returned it.
    inner_sweeps : int
        As it was for the sampling.
    factor : int
        Length of the long runs, in units of ``inner_sweeps``.
    runs : int
        Number of posterior draws, at least 4.
    random_seed : int or numpy.random.Generator, optional
    progressbar : bool
    model : pymc.Model, optional
        Taken from the context if not given.

    Returns
    -------
    ExchangeBias

    Raises
    ------
    ValueError
        If the model has no field for the exchange algorithm, or the trace lacks a variable.

    Examples
    --------
    >>> import numpy as np, pymc as pm
    >>> import pm_energy as pme
    >>> from pm_energy.step_methods import exchange_bias
    >>> bonds, signs = [[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]], np.array([1.0, 1, 1, -1, 1])
    >>> with pm.Model():
    ...     J = pm.HalfNormal("J")
    ...     glass = pme.Ising(graph=bonds, coupling=J * signs)
    ...     x = pme.Boltzmann("x", glass, log_partition="exchange", observed=[1, 1, 1, 1])
    ...     trace = pm.sample(100, chains=1, random_seed=1, progressbar=False, quiet=True)
    ...     bias = exchange_bias(trace, progressbar=False)
    >>> bias.exact, bias.shift
    (True, array([0.]))
    """
    model = pm.modelcontext(model)
    inner_sweeps, runs = positive_int("inner_sweeps", inner_sweeps), positive_int("runs", runs)
    factor = positive_int("factor", factor)
    if runs < 4:
        raise ValueError(f"runs must be at least 4, for errors to be estimated, got {runs}")
    rvs, parameters = exchange_fields(model), exchange_parameters(model)
    if not rvs:
        raise ValueError("no Boltzmann variable of the model has log_partition='exchange'")
    values = _posterior(trace, [*parameters, *(rv for rv in rvs if rv in model.free_RVs)])
    slopes = [_Slope(rv, model, parameters, list(values)) for rv in rvs]
    names = [f"{rv.name}{list(i)}" if i else rv.name
             for rv in parameters for i in np.ndindex(*values[rv].shape[1:])]  # fmt: skip
    theta = np.concatenate([values[rv].reshape(len(values[rv]), -1) for rv in parameters], axis=1)
    covariance = np.cov(theta.T).reshape(len(names), len(names))
    rng = get_random_generator(random_seed)
    chosen = rng.integers(len(theta), size=runs)
    error, exact = np.zeros((runs, len(names))), True
    progress = create_simple_progress(progressbar=progressbar)
    with progress:
        task = progress.add_task("Inner runs", total=runs)
        for i, draw in enumerate(chosen):
            point = [v[draw] for v in values.values()]
            for slope in slopes:
                found, is_exact = slope.error(rng, point, inner_sweeps, factor, bool(i % 2))
                error[i], exact = error[i] + found, exact and is_exact
            progress.update(task, advance=1)
    return _to_first_order(
        tuple(names), theta[chosen] - theta.mean(axis=0), covariance, error, exact
    )


def _posterior(trace, rvs):
    """Draws of variables, chains one after the other: arrays (draws, ...)."""
    posterior = trace["posterior"]
    missing = [rv.name for rv in rvs if rv.name not in posterior]
    if missing:
        raise ValueError(f"trace must hold the posterior of {missing}")
    arrays = {rv: posterior[rv.name].values for rv in rvs}
    return {rv: a.reshape(-1, *a.shape[2:]).astype(rv.dtype) for rv, a in arrays.items()}


def _to_first_order(names, theta, covariance, error, exact):
    """Turn errors of the slope at parameters theta (off their mean) into those of the posterior."""
    sd = np.sqrt(np.diag(covariance))
    shift = error @ covariance / sd  # (runs, parameters); its mean is what counts
    stretch = (error @ covariance) * theta / (2 * sd**2)
    n = len(error)
    return ExchangeBias(
        names=names,
        shift=shift.mean(axis=0),
        shift_mcse=shift.std(axis=0, ddof=1) / np.sqrt(n),
        widening=stretch.mean(axis=0),
        widening_mcse=stretch.std(axis=0, ddof=1) / np.sqrt(n),
        disagreement=shift[::2].mean(axis=0) - shift[1::2].mean(axis=0),
        exact=exact,
    )


class _Slope:
    """``-dE/dtheta`` of one field, and how far inner draws have it wrong."""

    def __init__(self, rv, model, parameters, inputs):
        stand_in = {v: v.type() for v in inputs}
        given = {v: model.rvs_to_values[v] for v in model.observed_RVs} | stand_in

        def read(graphs):
            return graph_replace(graphs, given, strict=False)

        self.field = ExchangeField(rv, given[rv], read, ONCE)
        inputs = list(stand_in.values())
        outputs = [self.field.state, *self.field.params]
        self.look = compile_function(inputs, outputs, ONCE)
        y = self.field.state.type()
        energy = self.field.energy(y, self.field.params).sum()
        wanted = [stand_in[v] for v in parameters]
        slopes = grad(-energy, wanted, disconnected_inputs="ignore")
        flat = pt.concatenate([pt.flatten(slope) for slope in slopes])
        self.at = compile_function([y, *inputs], flat, ONCE)

    def error(self, rng, point, n_sweeps, factor, from_anywhere):
        """Slope at the end of a long run less that of an inner draw; whether that is exact."""
        point = [np.asarray(v) for v in point]
        state, *params = [np.asarray(v) for v in self.look(*point)]
        y, is_exact = self.field.draw(rng, state, params, n_sweeps)
        if is_exact:
            return 0.0, True
        if from_anywhere:
            states = self.field.draws.domain.states
            state = rng.choice(states, size=state.shape).astype(state.dtype)
        reference, _ = self.field.draw(rng, state, params, factor * n_sweeps)
        return self.at(reference, *point) - self.at(y, *point), False

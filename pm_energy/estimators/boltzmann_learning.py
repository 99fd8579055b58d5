"""From the settings of a Boltzmann machine to a fit."""

from itertools import count

import numpy as np

from pm_energy.energies.read_sites import read_graph
from pm_energy.energies.sites import Complete, Graph
from pm_energy.estimators.learning import warn, warn_of_failure
from pm_energy.training.fit import fit
from pm_energy.training.flips import FLIP_KINDS
from pm_energy.training.full_batch import minimise
from pm_energy.training.progress import Progress
from pm_energy.training.recipe import is_deterministic, make_objective, make_schedule

SMALL = 12  # units whose states are added up at each iteration without a thought
WATCHED_ROWS = 1000


def choose_objective(name, n_visible, n_hidden, l1):
    """Return the name of an objective, "auto" resolved; raise a ValueError if it does not fit."""
    if name == "auto":
        if n_visible + n_hidden <= SMALL:
            return "exact"
        return "pcd" if n_hidden else "pseudolikelihood"
    if n_hidden and name in FLIP_KINDS:
        raise ValueError(
            f"objective={name!r} needs all units to be visible, got n_hidden={n_hidden}; use "
            "'exact' or 'pcd'"
        )
    if l1 and not is_deterministic(name):
        raise ValueError(
            f"l1 is for objectives that are not sampled, got objective={name!r}; use l2, or "
            "'pseudolikelihood' or 'exact'"
        )
    return name


def read_edges(graph, n_visible, n_hidden):
    """Return the edges (m, 2) of what users call a graph; its weights do not matter."""
    n = n_visible + n_hidden
    if graph is None:
        return Complete(n).edges
    sites = graph
    if isinstance(graph, list | tuple) and not graph:
        sites = Graph(n, [])
    elif not isinstance(graph, Graph):
        sites = read_graph(graph)[0]
    if sites.n > n:
        raise ValueError(
            f"graph has {sites.n} units, but there are only {n_visible} features and "
            f"n_hidden={n_hidden}"
        )
    return np.array(sites.edges)


def first_theta(model, x, weights, rng):
    """Parameters of independent spins with the data's means, hidden ones coupled at random.

    Chance must tell hidden units apart, and tell enough: where their couplings are small the
    gradient of a parity is smaller still.
    """
    n = len(x) if weights is None else weights.sum()
    mean = np.average(x, axis=0, weights=weights).astype(float)
    mean *= n / (n + 1)  # a constant column has a finite bias
    to_hidden = (model.edges >= model.n_visible).any(axis=1)
    bias = np.zeros(model.n)
    bias[: model.n_visible] = np.arctanh(mean)
    noise = rng.standard_normal(len(to_hidden)) / np.sqrt(model.n)  # fields of order one
    theta = {"couplings": np.where(to_hidden, noise, 0.0), "bias": bias}
    return {name: value.astype(x.dtype) for name, value in theta.items()}


def learn_pairs(settings, name, model, theta, x, weights, rng, state, n_epochs, schedule):
    """Learn the parameters of a machine of spins.

    Parameters
    ----------
    settings : BoltzmannMachine
    name : str
        Of the objective.
    model : PairModel
        Of spins.
    theta : dict of str to array
        Where to start.
    x : ndarray, shape (N, n_visible)
        Spins, or their means.
    weights : ndarray, shape (N,), or None
    rng : numpy.random.Generator
    state : dict or None
        What the objective left behind last time.
    n_epochs : int
        Or iterations.
    schedule : {"linear", "constant"}
        Of the learning rate; a constant one is for minibatches, whatever the objective.

    Returns
    -------
    Fitted
    state : dict
    """
    by_batches = schedule == "constant" or not is_deterministic(name)
    objective = make_objective(
        name, n_chains=settings.n_chains, n_sweeps=settings.n_sweeps,
        betas=np.linspace(0, 1, settings.n_levels),
        centred=by_batches and name not in FLIP_KINDS,
    )  # fmt: skip
    if state is not None and state.keys() == objective.state().keys():
        objective.restore(state)
    with Progress("fit BoltzmannMachine", n_epochs, settings.verbose) as progress:
        if not by_batches:
            fitted = _by_lbfgs(settings, model, theta, objective, x, weights, n_epochs, progress)
            return fitted, objective.state()
        watch = _watcher(model, x, weights, rng)
        before = watch(theta)
        n_steps = n_epochs * -(-len(x) // settings.batch_size)
        rate = make_schedule(schedule, settings.learning_rate, n_steps)
        with np.errstate(over="ignore", invalid="ignore"):  # told once, when learning has diverged
            fitted = fit(
                model, theta, objective, x, _descent(rate), rng,
                weights=weights, batch_size=settings.batch_size, n_epochs=n_epochs, monitor=watch,
                decay=settings.l2, decayed=("couplings",), progress=progress,
            )  # fmt: skip
        warn_of_failure(fitted.failure, before, watch(fitted.theta))
    return fitted, objective.state()


def _by_lbfgs(settings, model, theta, objective, x, weights, n_iter, progress):
    rows = _distinct(x, weights) if model.n_visible <= SMALL else (np.asfortranarray(x), weights)
    fitted = minimise(
        model, theta, objective, *rows, l1=settings.l1, decay=settings.l2, decayed=("couplings",),
        max_iter=n_iter, tol=settings.tol, progress=progress,
    )  # fmt: skip
    if fitted.failure:
        warn(f"learning diverged: {fitted.failure}. Add a penalty by l2")
    elif fitted.n_epochs >= n_iter:
        warn(f"learning has not converged in n_iter={n_iter} iterations: raise n_iter or tol")
    return fitted


def _descent(rate):
    """Steps against the gradient, of a length by the schedule."""
    steps = count()

    def updates(theta, gradient):
        length = rate(next(steps))
        return {k: (theta[k] - length * g).astype(g.dtype, copy=False) for k, g in gradient.items()}

    return updates


def _distinct(x, weights):
    """Each row once, and how often it counts."""
    rows, number = np.unique(x, axis=0, return_inverse=True)
    return rows, np.bincount(number, weights, len(rows)).astype(float)


def _watcher(model, x, weights, rng):
    """Function of the parameters that finds a likelihood of some rows."""
    chosen = np.sort(rng.permutation(len(x))[:WATCHED_ROWS])
    x, flipped = x[chosen], rng.integers(model.n_visible, size=len(chosen))
    weights = None if weights is None or not weights[chosen].any() else weights[chosen]
    other = x.copy()
    other[np.arange(len(x)), flipped] *= -1

    def watch(theta):
        here = model.free_energy(theta, x)
        if model.n <= SMALL:
            name, value = "log_likelihood", -here - model.exact(theta)[0]
        else:
            change = model.free_energy(theta, other) - here
            name, value = "pseudo_log_likelihood", -model.n_visible * np.logaddexp(0, -change)
        return {name: float(np.average(value, weights=weights))}

    return watch

"""Population annealing of any PyMC model."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from pymc.progress_bar import create_simple_progress
from pymc.util import get_random_generator

from pm_energy.paths import make_path
from pm_energy.paths.schedule import effective_fraction, overlap_fraction
from pm_energy.record import to_datatree
from pm_energy.sampling.parallel import run_chains, workers_for
from pm_energy.sampling.pilot import Plan, send_pilot
from pm_energy.sampling.population import Population, anneal_population
from pm_energy.trust import check_tempering
from pm_energy.validate import positive_int
from pm_energy.walkers.choose import make_walkers

PILOT = 1000  # members at most: more would find the same ladder
_log = logging.getLogger("pymc").getChild("pm_energy")


def sample_population_annealing(
    size=1000,
    *,
    chains=2,
    target_ess=0.8,
    overlap=None,
    sweeps_per_step="auto",
    step=None,
    cores=None,
    random_seed=None,
    model=None,
    base="prior",
    temper=None,
    progressbar=True,
):
    """Sample a model by population annealing: many modes and the evidence in one pass.

    A population of independent draws of the base is taken to the target in small steps of beta. At
    each step members are copied or deleted by their weights, ``exp(step * log_ratio)``, and moved
    by PyMC's step methods or compiled kernels [1]_ [2]_. The mean weights multiply to an estimate
    of Z_1 / Z_0 whose expectation is exact, however few members there are [3]_.

    A pilot population, which is thrown away, finds the steps in beta, how many moves each needs,
    and tunes the moves; the populations that are kept find all this decided.

    Parameters
    ----------
    size : int
        Members of a population. What one member of the final population is worth depends on the
        families: see ``rho_t``.
    chains : int
        Independent populations.
    target_ess : float
        Effective number of the weights of a step, as a fraction of all. The nearer to 1 the
        shorter the steps.
    overlap : float, optional
        Instead of ``target_ess``: the overlap of the histograms of log_ratio before and after a
        step; one minus the fraction of members that get no copy.
    sweeps_per_step : int or "auto"
        Moves at each beta. By default as many as it took in the pilot until the log_ratio of
        members was correlated by less than a half with what it had been.
    step : step method or sequence of step methods, optional
        As for :func:`pymc.sample`; built again for each temperature. Variables without one get
        what PyMC assigns.
    cores : int, optional
        Processes. By default what ``joblib.parallel_config`` says and, without it, as many as there
        are chains and cores, if the run is long. The draws are the same for any number.
    random_seed : int, Generator or None
    model : pymc.Model or Energy, optional
        Taken from the context if not given.
    base, temper
        See :func:`pm_energy.paths.make_path`.
    progressbar : bool

    Returns
    -------
    xarray.DataTree
        Like that of :func:`pymc.sample`: a chain is a population and a draw is a member. Relatives
        are neighbours, so that ArviZ's effective sample size sees them as such. A group
        ``population`` has, by step and chain, the free-energy curve ``log_z`` and what became of
        the families; and for each member its family and log_ratio. After Ctrl-C there are the
        populations that were complete.

    Raises
    ------
    ValueError
        If there is nothing to temper, the prior is improper, the log-density is nowhere finite or
        not a number, or an argument is out of range.
    KeyboardInterrupt
        If interrupted before the first population was complete.

    Notes
    -----
    Members are resampled at every step, by one comb over their weights in the order of their
    families. Carrying weights along until they get uneven gave log Z errors larger by 10 to 50% on
    four targets with several modes.

    References
    ----------
    .. [1] Hukushima & Iba (2003), AIP Conf. Proc. 690, 200-206.
    .. [2] Machta (2010), Physical Review E 82, 026704.
    .. [3] Del Moral, Doucet & Jasra (2006), JRSS B 68, 411-436.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 5)
    ...     y = pm.Normal("y", x**2, 1, observed=9.0)  # x is near 3 or near -3
    ...     dt = pme.sample_population_annealing(200, random_seed=1, progressbar=False)
    >>> bool(abs((dt.posterior["x"] > 0).mean() - 0.5) < 0.2)
    True
    >>> dt["population"]["log_z"].dims
    ('chain', 'step')
    """
    size, chains = positive_int("size", size), positive_int("chains", chains)
    if size < 2:
        raise ValueError("size must be at least 2: one member has nobody to be weighed against")
    target, measure = _checked_target(target_ess, overlap)
    sweeps = sweeps_per_step
    if sweeps != "auto":
        sweeps = positive_int("sweeps_per_step", sweeps)
    began = time.perf_counter()
    path = make_path(model, base=base, temper=temper)
    pilot_rng, *rngs = get_random_generator(random_seed).spawn(chains + 1)
    walkers = make_walkers(path, min(size, PILOT), step)
    started = time.perf_counter()
    progress = create_simple_progress(progressbar=progressbar)
    with progress:
        task = progress.add_task("Pilot population", completed=0.0, total=1.0)
        survey = send_pilot(
            walkers, path, pilot_rng, sweeps=sweeps, target=target, measure=measure,
            report=lambda rise: progress.advance(task, rise),
        )  # fmt: skip
    plan = survey.plan
    seconds = (time.perf_counter() - started) * size / walkers.size
    _log.info(
        f"population annealing: {chains} populations of {size}, {len(plan.beta) - 1} steps, "
        f"{plan.n_sweeps.sum()} sweeps, by {walkers.road}"
    )
    n_jobs = workers_for(chains, cores, seconds * chains)
    results = run_chains(
        _Chain(walkers, path, plan, size), rngs, n_jobs=n_jobs, total=len(plan.beta) - 1,
        progressbar=progressbar, description="Population annealing",
    )  # fmt: skip
    populations = [result for result in results if not result.interrupted]
    if len(populations) < chains:
        _log.warning(f"interrupted: {len(populations)} of {chains} populations are returned")
    tree = _datatree(path, walkers, plan, populations, time.perf_counter() - began)
    for reason in check_tempering(tree):
        _log.warning(reason)
    return tree


def _checked_target(target_ess, overlap):
    name, value, measure = "target_ess", target_ess, effective_fraction
    if overlap is not None:
        name, value, measure = "overlap", overlap, overlap_fraction
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")
    return float(value), measure


@dataclass
class _Chain:
    """The task of one population: it travels to other processes."""

    walkers: Any
    path: Any
    plan: Plan
    size: int

    def __call__(self, index, rng, report):
        try:
            return anneal_population(self.walkers, self.path, self.plan, self.size, rng, report)
        except KeyboardInterrupt:
            if index == 0:
                raise
            return Population(interrupted=True)


def _datatree(path, walkers, plan, populations, seconds):
    def stacked(part):
        pieces = [getattr(p, part) for p in populations]
        return {name: np.stack([piece[name] for piece in pieces]) for name in pieces[0]}

    group = xr.Dataset(
        {
            "beta": ("step", plan.beta),
            "n_sweeps": ("step", plan.n_sweeps),
            **{name: (("chain", "step"), x) for name, x in stacked("per_step").items()},
            "family": (("chain", "draw"), np.stack([p.family for p in populations])),
            "log_ratio": (("chain", "draw"), np.stack([p.log_ratio for p in populations])),
        },
        coords={
            "chain": np.arange(len(populations)),
            "draw": np.arange(len(populations[0].family)),
            "step": np.arange(len(plan.beta)),
        },
        attrs={
            "log_z_base": path.log_z_base,
            "road": walkers.road,
            "base": path.base,
            "tempered": path.tempered,
        },
    )
    return to_datatree(
        path.model,
        stacked("values"),
        groups={"population": group},
        attrs={"sampling_time": seconds},
    )

"""Annealed importance sampling of any PyMC model, forward and reverse."""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from pymc.progress_bar import create_simple_progress
from pymc.util import get_random_generator

from pm_energy.kernels.resample import systematic
from pm_energy.paths import make_path
from pm_energy.paths.ladder import equal_rejection_ladder
from pm_energy.paths.schedule import effective_fraction
from pm_energy.record import to_datatree
from pm_energy.sampling.annealed_runs import Runs, run_forward, run_reverse
from pm_energy.sampling.parallel import run_chains, workers_for
from pm_energy.sampling.pilot import Plan, send_pilot
from pm_energy.sampling.target_draws import exact_draws, read_draws
from pm_energy.trust import check_tempering
from pm_energy.validate import positive_int
from pm_energy.walkers.choose import make_walkers
from pm_energy.walkers.tempering_pilot import checked_levels

PILOT = 250  # members
PILOT_ESS = 0.8
BATCH = 250  # runs at most that are moved together
VARIANCE = 0.5  # of the work, that n_betas="auto" aims at; the least total cost is just below 1
MOST_BETAS = 100_000
_log = logging.getLogger("pymc").getChild("pm_energy")


def ais(
    particles=1000,
    *,
    n_betas="auto",
    ladder=None,
    reverse=None,
    target_draws=None,
    exact=False,
    sweeps_per_step=1,
    step=None,
    cores=None,
    random_seed=None,
    model=None,
    base="prior",
    temper=None,
    progressbar=True,
):
    """Estimate log Z by annealed importance sampling, forward and, if wanted, reverse.

    Each run takes a draw of the base to the target through many values of beta, with few moves at
    each. The mean weight is an unbiased estimate of Z_1 / Z_0, and its log a stochastic lower bound
    of the log [1]_. Reverse runs, from the target to the base, give a stochastic upper bound, if
    they start at exact draws of the target [2]_; otherwise only another estimate.

    A pilot population, which is thrown away, tunes the moves and measures how fast the log_ratio
    varies and is forgotten on the way. Betas are placed so that all steps dissipate equally [3]_.

    Parameters
    ----------
    particles : int
        Forward runs.
    n_betas : int or "auto"
        Values of beta, 0 and 1 included. By default as many as should make the variance of the
        work 1/2, by the pilot.
    ladder : array_like, optional
        Values of beta, increasing from 0 to 1, in place of those.
    reverse : int, optional
        Reverse runs; by default one for each of ``target_draws``, otherwise none.
    target_draws : DataTree, dict of str to array, or array, optional
        Where reverse runs start: draws of all free variables, on their own scales. By default
        exact draws of the target where it can be drawn (small fields, ferromagnets of any size),
        otherwise ends of the forward runs, resampled by their weights.
    exact : bool
        Your word that ``target_draws`` are independent draws of the target itself.
    sweeps_per_step : int
        Moves at each beta.
    step : step method or sequence of step methods, optional
        As for :func:`pymc.sample`; built again for each beta. Variables without one get what PyMC
        assigns.
    cores : int, optional
        Processes. By default what ``joblib.parallel_config`` says and, without it, as many as there
        are cores, if the run is long. The draws are the same for any number.
    random_seed : int, Generator or None
    model : pymc.Model or Energy, optional
        Taken from the context if not given.
    base, temper
        See :func:`pm_energy.paths.make_path`.
    progressbar : bool

    Returns
    -------
    xarray.DataTree
        Groups ``work``: the work W of forward runs, minus log weight, and of reverse runs, log
        weight, and whether those started from exact draws; ``annealed``: where forward runs ended,
        with their ``log_weight``. After Ctrl-C there are the runs that were complete.

    Raises
    ------
    ValueError
        If there is nothing to temper, the prior is improper, the log-density is nowhere finite or
        not a number, or an argument is out of range.
    KeyboardInterrupt
        If interrupted before any run was complete.

    References
    ----------
    .. [1] Neal (2001), Stat. Comput. 11, 125-139.
    .. [2] Grosse, Ghahramani & Adams (2015), arXiv:1511.02543.
    .. [3] Sivak & Crooks (2012), Phys. Rev. Lett. 108, 190602.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> triangle = pme.Ising(graph=[[0, 1], [1, 2], [2, 0]], coupling=-1.0)  # frustrated
    >>> dt = pme.ais(200, model=triangle, reverse=200, random_seed=1, progressbar=False)
    >>> log_z = dt["work"].attrs["log_z_base"] + np.log(np.mean(np.exp(-dt["work"]["forward"])))
    >>> bool(abs(log_z - np.log(6 * np.exp(1) + 2 * np.exp(-3))) < 0.2)
    True
    """
    particles = positive_int("particles", particles)
    sweeps = positive_int("sweeps_per_step", sweeps_per_step)
    n_betas, ladder = _checked_ladder(n_betas, ladder)
    began = time.perf_counter()
    path = make_path(model, base=base, temper=temper)
    starts = None if target_draws is None else read_draws(path, target_draws)
    reverse = _checked_reverse(reverse, starts)
    pilot_rng, starts_rng, runs_rng = get_random_generator(random_seed).spawn(3)
    walkers = make_walkers(path, PILOT, step)
    survey, seconds = _send_pilot(walkers, path, pilot_rng, progressbar)
    if ladder is None:
        n_betas = _how_many(n_betas, survey.lengths)
        ladder = equal_rejection_ladder(survey.plan.beta, survey.lengths, n_betas)
    n_sweeps = np.full(len(ladder), sweeps)
    n_sweeps[0] = survey.plan.n_sweeps[0]
    walkers.set_ladder(ladder)
    walkers.freeze()
    _log.info(f"annealed importance sampling: {len(ladder)} betas, by {walkers.road}")
    batches = _Batches(walkers, path, Plan(ladder, n_sweeps), seconds * n_sweeps.sum())
    forward = batches.run("Forward runs", particles, runs_rng, cores, progressbar)
    if not np.isfinite(forward.work).any():
        raise ValueError(
            f"the target vanishes at all {particles} draws of the base: take more, or a base "
            "nearer to the target"
        )
    backward, is_exact = Runs(), False
    if reverse and len(forward.work) == particles:
        starts, is_exact = _choose_starts(path, starts, exact, forward, reverse, starts_rng)
        batches.starts = starts
        with suppress(KeyboardInterrupt):  # what is missing is said below
            backward = batches.run("Reverse runs", reverse, runs_rng, cores, progressbar)
    found = len(forward.work), len(backward.work)
    if found != (particles, reverse):
        _log.warning(f"interrupted: {found[0]} forward, {found[1]} reverse runs are returned")
    tree = _datatree(path, batches, forward, backward, is_exact, time.perf_counter() - began)
    for reason in check_tempering(tree):
        _log.warning(reason)
    return tree


def _checked_ladder(n_betas, ladder):
    if ladder is None:
        if n_betas != "auto" and positive_int("n_betas", n_betas) < 2:
            raise ValueError("n_betas must be at least 2: the base and the target; got 1")
    elif n_betas != "auto":
        raise ValueError("pass either n_betas or a ladder")
    return n_betas, checked_levels("auto", ladder)[1]


def _checked_reverse(reverse, starts):
    there = None if starts is None else len(next(iter(starts.values())))
    if reverse is None:
        return there or 0
    if reverse != 0:
        positive_int("reverse", reverse)
    if there is not None and reverse > there:
        raise ValueError(f"reverse={reverse} runs need as many target_draws, got {there}")
    return reverse


def _send_pilot(walkers, path, rng, progressbar):
    """Return what a pilot found, and the seconds of a sweep of a walker."""
    started = time.perf_counter()
    progress = create_simple_progress(progressbar=progressbar)
    with progress:
        task = progress.add_task("Pilot population", completed=0.0, total=1.0)
        survey = send_pilot(
            walkers, path, rng, sweeps="auto", target=PILOT_ESS, measure=effective_fraction,
            report=lambda rise: progress.advance(task, rise),
        )  # fmt: skip
    seconds = time.perf_counter() - started
    return survey, seconds / (walkers.size * max(survey.plan.n_sweeps.sum(), 1))


def _how_many(n_betas, lengths):
    """Betas at which the variance of the work, length^2 / steps if these are many, is as wanted."""
    if n_betas != "auto":
        return n_betas
    return int(np.clip(np.ceil(lengths.sum() ** 2 / VARIANCE), len(lengths), MOST_BETAS)) + 1


@dataclass
class _Batches:
    """Runs, some of which are moved together; batches travel to other processes."""

    walkers: Any
    path: Any
    plan: Plan
    seconds: float
    starts: dict | None = None
    edges: np.ndarray | None = None

    def run(self, description, n, rng, cores, progressbar):
        """Make n runs."""
        n_batches = -(-n // BATCH)
        self.edges = np.linspace(0, n, n_batches + 1).astype(int)
        results = run_chains(
            self, rng.spawn(n_batches), n_jobs=workers_for(n_batches, cores, self.seconds * n),
            total=len(self.plan.beta) - 1, progressbar=progressbar, description=description,
        )  # fmt: skip
        parts = [result for result in results if not result.interrupted]
        values = {
            name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values
        }
        return Runs(np.concatenate([part.work for part in parts]), values)

    def __call__(self, index, rng, report):
        """Make the runs of one batch."""
        first, last = self.edges[index : index + 2]
        try:
            if self.starts is None:
                size = last - first
                return run_forward(self.walkers, self.path, self.plan, size, rng, report)
            starts = {name: x[first:last] for name, x in self.starts.items()}
            return run_reverse(self.walkers, self.path, self.plan, starts, rng, report)
        except KeyboardInterrupt:
            if index == 0:
                raise
            return Runs(interrupted=True)


def _choose_starts(path, given, exact, forward, n, rng):
    """States to start reverse runs from, and whether they are exact draws of the target."""
    if given is not None:
        there = len(next(iter(given.values())))
        which = np.linspace(0, there, n, endpoint=False).astype(int)
        return {name: x[which] for name, x in given.items()}, exact
    drawn = exact_draws(path, rng, n)
    if drawn is not None:
        return drawn, True
    which = systematic(rng, np.exp(forward.work.min() - forward.work), n)
    return {name: x[which] for name, x in forward.values.items()}, False


def _datatree(path, batches, forward, backward, is_exact, seconds):
    work = {"beta": ("step", batches.plan.beta), "forward": ("particle", forward.work)}
    attrs = {
        "log_z_base": path.log_z_base,
        "road": batches.walkers.road,
        "base": path.base,
        "tempered": path.tempered,
        "reverse_exact": int(is_exact),
        "sampling_time": seconds,
    }
    if backward.work.size:
        work["reverse"] = ("particle_reverse", backward.work)
    group = xr.Dataset(work, attrs=attrs)
    values = {name: x[None] for name, x in forward.values.items()}
    tree = to_datatree(path.model, values, groups={"work": group})
    ends = tree["posterior"].to_dataset().isel(chain=0, drop=True).rename(draw="particle")
    tree["annealed"] = xr.DataTree(ends.assign(log_weight=("particle", -forward.work)))
    del tree["posterior"], tree["sample_stats"]
    return tree

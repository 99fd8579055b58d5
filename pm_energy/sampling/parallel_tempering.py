"""Parallel tempering of any PyMC model."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from pymc.util import get_random_generator

from pm_energy.paths import make_path
from pm_energy.paths.ladder import equal_rejection_ladder, first_ladder, levels_for
from pm_energy.record import statistics_arrays, to_datatree
from pm_energy.sampling.checkpoint import RunFolder
from pm_energy.sampling.parallel import run_chains, workers_for
from pm_energy.trust import check_tempering
from pm_energy.validate import positive_int
from pm_energy.walkers.choose import make_walkers
from pm_energy.walkers.replicas import Stretch, chains_at_once, make_replicas

FIRST_LEVELS = 8  # of the pilot, that finds how many are needed
CHECKED = 500_000  # numbers; to look through more of them would take longer than to draw them
FIRST_ROUND = 32  # iterations; each round of adaptation is twice as long as the one before
_log = logging.getLogger("pymc").getChild("pm_energy")


def sample_parallel_tempering(
    draws=1000,
    tune=1000,
    *,
    n_replicas="auto",
    sweeps_per_swap=1,
    thin=1,
    step=None,
    chains=4,
    cores=None,
    random_seed=None,
    model=None,
    base="prior",
    temper=None,
    checkpoint=None,
    checkpoint_every=250,
    progressbar=True,
):
    """Sample a model by parallel tempering: for posteriors with several modes.

    Replicas at inverse temperatures from 0, the base, to 1, the target, exchange places. Each moves
    by PyMC's step methods or by compiled kernels, whichever suits the model. The ladder is adapted
    while tuning and frozen for the kept draws [1]_.

    Parameters
    ----------
    draws : int
        Draws kept of each chain.
    tune : int
        Iterations before them.
    n_replicas : int or "auto"
        Levels of the ladder. By default twice the communication barrier, measured by a pilot run.
    sweeps_per_swap : int
        Local moves between swaps.
    thin : int
        Iterations for each draw that is kept.
    step : step method or sequence of step methods, optional
        As for :func:`pymc.sample`; built again for each temperature. Variables without one get
        what PyMC assigns.
    chains : int
        Independent ladders.
    cores : int, optional
        Processes. By default what ``joblib.parallel_config`` says and, without it, as many as there
        are chains and cores, if the run is long. The draws are the same for any number.
    random_seed : int, Generator or None
    model : pymc.Model or Energy, optional
        Taken from the context if not given.
    base, temper
        See :func:`pm_energy.paths.make_path`.
    checkpoint : path-like, optional
        A folder. A run that was stopped goes on from it when called again with the same arguments,
        with the same draws as if it had never been stopped.
    checkpoint_every : int
        Draws between checkpoints.
    progressbar : bool

    Returns
    -------
    xarray.DataTree
        Like that of :func:`pymc.sample`, with a group ``tempering``: the ladder, log_ratio and
        replica at each level, swap acceptance, history of the ladder. After Ctrl-C it holds what
        was drawn until then.

    Raises
    ------
    ValueError
        If there is nothing to temper, the prior is improper, the log-density is nowhere finite, or
        an argument is out of range.

    References
    ----------
    .. [1] Syed, Bouchard-Cote, Deligiannidis & Doucet (2022), JRSS B 84, 321-350.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 5)
    ...     y = pm.Normal("y", x**2, 1, observed=9.0)  # x is near 3 or near -3
    ...     dt = pme.sample_parallel_tempering(
    ...         500, chains=2, random_seed=1, progressbar=False
    ...     )
    >>> bool(abs((dt.posterior["x"] > 0).mean() - 0.5) < 0.1)
    True
    """
    draws = positive_int("draws", draws)
    tune, chains = positive_int("tune", tune), positive_int("chains", chains)
    sweeps, thin = positive_int("sweeps_per_swap", sweeps_per_swap), positive_int("thin", thin)
    every = positive_int("checkpoint_every", checkpoint_every)
    if n_replicas != "auto" and positive_int("n_replicas", n_replicas) < 2:
        raise ValueError("n_replicas must be at least 2: the base and the target; got 1")
    began = time.perf_counter()
    path = make_path(model, base=base, temper=temper)
    folder = None
    if checkpoint is not None:
        asked = dict(
            draws=draws, tune=tune, n_replicas=n_replicas, sweeps=sweeps, thin=thin,
            chains=chains, every=every, path=path.fingerprint(),
        )  # fmt: skip
        folder = RunFolder(checkpoint, asked, random_seed)
        random_seed = folder.seed
    pilot_rng, *rngs = get_random_generator(random_seed).spawn(chains + 1)
    size = FIRST_LEVELS if n_replicas == "auto" else n_replicas
    walkers = make_walkers(path, size, step, tune=tune, draws=draws)
    ladder, seconds = _pilot(make_replicas(walkers, sweeps), pilot_rng, size, n_replicas == "auto")
    together = chains_at_once(walkers)
    groups = [len(rngs[i : i + together]) for i in range(0, chains, together)]
    run = _Chains(walkers, ladder, groups, draws, tune, sweeps, thin, folder, every)
    n_jobs = workers_for(len(groups), cores, seconds * chains * (draws * thin + tune))
    _log.info(f"parallel tempering: {chains} chains of {len(ladder)} replicas, by {walkers.road}")
    results = run_chains(
        run, rngs[::together], n_jobs=n_jobs, total=draws * thin + tune, progressbar=progressbar,
        description="Parallel tempering",
    )  # fmt: skip
    tree = _datatree(path, walkers, results, time.perf_counter() - began)
    if tree["tempering"]["log_ratio"].size <= CHECKED:
        for reason in check_tempering(tree):
            _log.warning(reason)
    else:
        _log.info("many draws: ask pme.check_tempering whether to trust them")
    return tree


def _pilot(replicas, rng, size, adaptive):
    """Find the ladder, and how many levels it needs; return it and the seconds of an iteration."""
    replicas.begin(rng, first_ladder(size)[None])
    length = FIRST_ROUND
    while True:
        began = time.perf_counter()
        stretch = replicas.run(rng, length)
        if stretch.interrupted:
            raise KeyboardInterrupt
        [rejection] = stretch.rejection
        seconds = (time.perf_counter() - began) / length
        replicas.walkers.adapt()
        wanted = levels_for(rejection.sum()) if adaptive else size
        last = wanted <= size and length >= 4 * FIRST_ROUND
        # a coarse ladder hides part of its barrier: no more than twice as many levels at once
        levels = wanted if last else int(np.clip(wanted, size, 2 * size))
        ladder = equal_rejection_ladder(replicas.ladders[0], rejection, levels)
        replicas.change(ladder[None])
        if last:
            return ladder, seconds * levels / size
        size = levels
        length = min(2 * length, 8 * FIRST_ROUND)


@dataclass(eq=False)
class _Result:
    """A group of chains: its draws and how it came to its ladders."""

    draws: Stretch
    betas: np.ndarray
    beta_history: np.ndarray
    rejection_history: np.ndarray

    @property
    def interrupted(self):
        return self.draws.interrupted


@dataclass
class _Chains:
    """The task of a group of chains: it travels to other processes."""

    walkers: Any
    ladder: np.ndarray
    groups: list
    draws: int
    tune: int
    sweeps: int
    thin: int
    folder: RunFolder | None
    every: int

    def __call__(self, index, rng, report):
        replicas = make_replicas(self.walkers, self.sweeps, self.groups[index])
        segments = None if self.folder is None else self.folder.chain(index)
        saved = [] if segments is None else segments.load()
        parts = [part for part, *_ in saved]
        if saved:
            _, histories, state, rng = saved[-1]
            replicas.restore(state)
            report(self.tune + sum(part.iterations for part in parts))
        else:
            histories = self._adapt(replicas, rng, report)
        left = self.draws - sum(len(part.log_ratio) for part in parts)
        while left:
            n = self.thin * min(self.every, left)
            part = replicas.run(rng, n, keep=self.thin, report=report)
            if len(part.log_ratio):
                parts.append(part)
            if part.interrupted:
                break
            left -= len(part.log_ratio)
            if segments is not None:
                segments.save((part, histories, replicas.state(), rng))
        if not parts:
            raise KeyboardInterrupt
        draws = Stretch.joined(parts)
        draws.interrupted = left > 0
        return _Result(draws, replicas.ladders, *histories)

    def _adapt(self, replicas, rng, report):
        """Rounds, each twice as long as the one before; the ladder follows the rejections."""
        replicas.begin(rng, np.tile(self.ladder, (replicas.n_chains, 1)))
        left, length = self.tune, FIRST_ROUND
        betas, rejections = [], []
        while left:
            n = left if left < 3 * length else length
            stretch = replicas.run(rng, n, report=report)
            if stretch.interrupted:
                raise KeyboardInterrupt
            left -= n
            length *= 2
            betas.append(replicas.ladders.copy())
            rejections.append(stretch.rejection)
            replicas.walkers.adapt()
            # chains that run together share a ladder, so that the same word holds the same beta
            rejection = stretch.rejection.mean(axis=0)
            ladder = equal_rejection_ladder(replicas.ladders[0], rejection)
            replicas.change(np.tile(ladder, (replicas.n_chains, 1)))
        replicas.walkers.freeze()
        return np.stack(betas, axis=1), np.stack(rejections, axis=1)


def _datatree(path, walkers, results, seconds):
    """Put chains together; after an interrupt only as far as the shortest goes."""
    runs = [result.draws for result in results]
    n = min(len(run.log_ratio) for run in runs)

    def together(arrays):  # (n, chain, ...) each -> (chain, draw, ...)
        return np.concatenate([np.moveaxis(x[:n], 1, 0) for x in arrays])

    if any(run.interrupted for run in runs):
        chains = sum(run.log_ratio.shape[1] for run in runs)
        _log.warning(f"interrupted: {chains} chains of {n} draws are returned")
    group = xr.Dataset(
        {
            "beta": (("chain", "level"), np.concatenate([r.betas for r in results])),
            "log_ratio": (("chain", "draw", "level"), together([run.log_ratio for run in runs])),
            "replica": (("chain", "draw", "level"), together([run.replica for run in runs])),
            "swap_acceptance": (
                ("chain", "pair"),
                np.concatenate([run.acceptance / run.iterations for run in runs]),
            ),
            "beta_history": (
                ("chain", "round", "level"),
                np.concatenate([r.beta_history for r in results]),
            ),
            "rejection_history": (
                ("chain", "round", "pair"),
                np.concatenate([r.rejection_history for r in results]),
            ),
        },
        attrs={
            "log_z_base": path.log_z_base,
            "road": walkers.road,
            "base": path.base,
            "tempered": path.tempered,
        },
    )
    group = group.assign_coords({name: np.arange(k) for name, k in group.sizes.items()})
    stats = [
        statistics_arrays([said[chain] for said in run.stats[:n]])
        for run in runs
        for chain in range(run.log_ratio.shape[1])
    ]
    return to_datatree(
        path.model,
        {name: together([run.values[name] for run in runs]) for name in runs[0].values},
        stats=stats if stats[0] else None,
        groups={"tempering": group},
        attrs={"sampling_time": seconds},
    )

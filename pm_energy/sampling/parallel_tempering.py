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
from pm_energy.validate import positive_int
from pm_energy.walkers.choose import make_walkers
from pm_energy.walkers.swaps import Replicas, Segment

FIRST_LEVELS = 8  # of the pilot, that finds how many are needed
FIRST_ROUND = 32  # iterations; each round of adaptation is twice as long as the one before
STARTS = 20  # times that all replicas are drawn anew before giving up on a finite start
_log = logging.getLogger("pymc").getChild("pm_energy")


def sample_parallel_tempering(
    draws=1000,
    tune=1000,
    *,
    n_replicas="auto",
    sweeps_per_swap=1,
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
    draws, tune : int
        Iterations kept, and before them, for each chain.
    n_replicas : int or "auto"
        Levels of the ladder. By default twice the communication barrier, measured by a pilot run.
    sweeps_per_swap : int
        Local moves between swaps.
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
    >>>     >>> import pm_energy as pme
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
    sweeps = positive_int("sweeps_per_swap", sweeps_per_swap)
    every = positive_int("checkpoint_every", checkpoint_every)
    if n_replicas != "auto" and positive_int("n_replicas", n_replicas) < 2:
        raise ValueError("n_replicas must be at least 2: the base and the target; got 1")
    began = time.perf_counter()
    path = make_path(model, base=base, temper=temper)
    folder = None
    if checkpoint is not None:
        asked = {"draws": draws, "tune": tune, "n_replicas": n_replicas, "sweeps": sweeps,
                 "chains": chains, "every": every, "path": path.fingerprint()}  # fmt: skip
        folder = RunFolder(checkpoint, asked, random_seed)
        random_seed = folder.seed
    pilot_rng, *rngs = get_random_generator(random_seed).spawn(chains + 1)
    size = FIRST_LEVELS if n_replicas == "auto" else n_replicas
    walkers = make_walkers(path, size, step, tune=tune, draws=draws)
    ladder, seconds = _pilot(walkers, pilot_rng, n_replicas, sweeps)
    run = _Chain(walkers, ladder, draws, tune, sweeps, folder, every)
    n_jobs = workers_for(chains, cores, seconds * chains * (draws + tune))
    _log.info(f"parallel tempering: {chains} chains of {len(ladder)} replicas, by {walkers.road}")
    results = run_chains(
        run, rngs, n_jobs=n_jobs, total=draws + tune, progressbar=progressbar,
        description="Parallel tempering",
    )  # fmt: skip
    return _datatree(path, walkers, results, time.perf_counter() - began)


def _begin(walkers, rng):
    """Start with replicas at which the target does not vanish, wherever the base allows."""
    for _ in range(STARTS):
        walkers.start(rng)
        possible = np.flatnonzero(np.isfinite(walkers.log_ratio))
        if possible.size:
            walkers.take(np.resize(possible, walkers.size))
            return
    point = {name: x[0] for name, x in walkers.values([0]).items()}
    raise ValueError(
        f"the target vanishes at all of {STARTS * walkers.size} draws of the base "
        f"({walkers.path.explain(point)}): is the data possible under the model?"
    )


def _pilot(walkers, rng, n_replicas, sweeps):
    """Find the ladder, and how many levels it needs; return it and the seconds of an iteration."""
    _begin(walkers, rng)
    walkers.set_ladder(first_ladder(walkers.size))
    length, seconds = FIRST_ROUND, 0.0
    while True:
        began = time.perf_counter()
        part = Segment()
        Replicas(walkers, sweeps).run(rng, length, part)
        rejection = part.rejection
        seconds = (time.perf_counter() - began) / length
        walkers.adapt()
        size = walkers.size
        wanted = size if n_replicas != "auto" else levels_for(rejection.sum())
        # a coarse ladder hides part of its barrier: no more than twice as many levels at once
        grow = n_replicas == "auto" and wanted > size
        size = min(wanted, 2 * size) if grow else size
        last = not grow and length >= 4 * FIRST_ROUND
        if last and n_replicas == "auto":
            size = wanted
        ladder = equal_rejection_ladder(walkers.ladder, rejection, size)
        if size != walkers.size:
            seconds *= size / walkers.size
            walkers.take(np.sort(np.resize(np.arange(walkers.size), size)))
        walkers.set_ladder(ladder)
        if last:
            return ladder, seconds
        length = min(2 * length, 8 * FIRST_ROUND)


@dataclass
class _Result:
    """One chain."""

    segment: Segment
    betas: np.ndarray
    beta_history: list
    rejection_history: list
    interrupted: bool = False


@dataclass
class _Chain:
    """The task of one chain: it travels to other processes."""

    walkers: Any
    ladder: np.ndarray
    draws: int
    tune: int
    sweeps: int
    folder: RunFolder | None
    every: int

    def __call__(self, index, rng, report):
        walkers = self.walkers
        result = _Result(Segment(), self.ladder, [], [])
        saved, segments = [], None
        if self.folder is not None:
            segments = self.folder.chain(index)
            saved = segments.load()
        try:
            if saved:
                replicas, rng = self._go_on(saved, result)
                report(self.tune + len(result.segment.values))
            else:
                _begin(walkers, rng)
                walkers.set_ladder(self.ladder)
                replicas = Replicas(walkers, self.sweeps)
                self._adapt(replicas, rng, result, report)
            while len(result.segment.values) < self.draws:
                n = min(self.every, self.draws - len(result.segment.values))
                part = Segment()
                try:
                    replicas.run(rng, n, part, record=True, report=report)
                finally:
                    result.segment.extend(part)
                if segments is not None:
                    history = result.betas, result.beta_history, result.rejection_history
                    segments.save((part, history, replicas.state(), rng))
        except KeyboardInterrupt:
            result.interrupted = True
            if not result.segment.values:
                raise
        return result

    def _go_on(self, saved, result):
        for part, *_ in saved:
            result.segment.extend(part)
        _, history, state, rng = saved[-1]
        result.betas, result.beta_history, result.rejection_history = history
        replicas = Replicas(self.walkers, self.sweeps)
        replicas.restore(state)
        return replicas, rng

    def _adapt(self, replicas, rng, result, report):
        """Rounds, each twice as long as the one before; the ladder follows the rejections."""
        walkers, left, length = replicas.walkers, self.tune, FIRST_ROUND
        while left:
            n = left if left < 3 * length else length
            part = Segment()
            replicas.run(rng, n, part, report=report)
            left -= n
            length *= 2
            result.beta_history.append(walkers.ladder.copy())
            result.rejection_history.append(part.rejection)
            walkers.adapt()
            walkers.set_ladder(equal_rejection_ladder(walkers.ladder, part.rejection))
        walkers.freeze()
        result.betas = walkers.ladder.copy()


def _datatree(path, walkers, results, seconds):
    """Put chains together; after an interrupt only as far as the shortest goes."""
    segments = [result.segment for result in results]
    n = min(len(segment.values) for segment in segments)
    if any(result.interrupted for result in results):
        _log.warning(f"interrupted: {len(results)} chains of {n} draws are returned")
    values = {
        name: np.array([[point[name] for point in segment.values[:n]] for segment in segments])
        for name in segments[0].values[0]
    }
    level, pair = np.arange(len(results[0].betas)), np.arange(len(results[0].betas) - 1)
    acceptance = [segment.acceptance / segment.iterations for segment in segments]
    group = xr.Dataset(
        {
            "beta": (("chain", "level"), [result.betas for result in results]),
            "log_ratio": (("chain", "draw", "level"), [s.log_ratio[:n] for s in segments]),
            "replica": (("chain", "draw", "level"), [s.replica[:n] for s in segments]),
            "swap_acceptance": (("chain", "pair"), acceptance),
            "beta_history": (("chain", "round", "level"), [r.beta_history for r in results]),
            "rejection_history": (
                ("chain", "round", "pair"),
                [r.rejection_history for r in results],
            ),
        },
        coords={
            "chain": np.arange(len(results)),
            "draw": np.arange(n),
            "level": level,
            "pair": pair,
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
        values,
        stats=[statistics_arrays(segment.stats[:n]) for segment in segments],
        groups={"tempering": group},
        attrs={"sampling_time": seconds},
    )

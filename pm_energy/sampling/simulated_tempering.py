"""Simulated tempering of any PyMC model."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np
import xarray as xr
from pymc.util import get_random_generator

from pm_energy.paths import make_path
from pm_energy.record import statistics_arrays, to_datatree
from pm_energy.sampling.checkpoint import RunFolder
from pm_energy.sampling.parallel import run_chains, workers_for
from pm_energy.trust import check_tempering
from pm_energy.validate import positive_int
from pm_energy.walkers.choose import make_walkers
from pm_energy.walkers.tempering_pilot import checked_levels, first_levels
from pm_energy.walkers.tempering_walk import TemperingWalk, excursion_stats

TIMED = 20  # moves, to know how long the run will take
_log = logging.getLogger("pymc").getChild("pm_energy")


def sample_simulated_tempering(
    draws=1000,
    tune=1000,
    *,
    n_levels="auto",
    ladder=None,
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
    """Sample a model by simulated tempering: one state that wanders between base and target.

    After each move the inverse temperature of the state is drawn anew [1]_, and a draw is what is
    found whenever it is 1. Levels are visited equally often if their weights are minus their log Z;
    weights are learned while tuning (see Notes) and frozen for the kept draws. Needs the memory and
    the tuning of one state for each chain; parallel tempering needs no weights.

    Parameters
    ----------
    draws, tune : int
        Draws kept, and before them, for each chain: a draw takes as many moves as there are levels,
        on average.
    n_levels : int or "auto"
        By default twice the rejections between base and target, measured by a pilot run.
    ladder : array_like, shape (n_levels,), optional
        Inverse temperatures from 0 to 1. By default at equal rejections of the pilot run.
    step : step method or sequence of step methods, optional
        As for :func:`pymc.sample`; built again for each temperature. Variables without one get
        what PyMC assigns.
    chains : int
        Independent walkers; they learn independently, and draw with the median of their weights.
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
        Like that of :func:`pymc.sample`, with a group ``simulated_tempering``: ladder, frozen
        weights, and level and log_ratio of the first ``draws * n_levels`` iterations. The
        statistics of a draw are how many iterations it took, and the lowest level and whether the
        base was reached since the draw before. After Ctrl-C it holds what was drawn until then.

    Raises
    ------
    ValueError
        If there is nothing to temper, the prior is improper, the log-density is nowhere finite, or
        an argument is out of range.

    Notes
    -----
    Weights begin with the average-energy recursion [2]_ and go on by stochastic approximation, a
    method of Wang and Landau whose gain ends as 1/t [3]_.

    References
    ----------
    .. [1] Marinari & Parisi (1992), Europhysics Letters 19, 451-458.
    .. [2] Park & Pande (2007), Physical Review E 76, 016703.
    .. [3] Tan (2017), Journal of Computational and Graphical Statistics 26, 54-65.

    Examples
    --------
    >>> import pymc as pm
    >>> import pm_energy as pme
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 5)
    ...     y = pm.Normal("y", x**2, 1, observed=9.0)  # x is near 3 or near -3
    ...     dt = pme.sample_simulated_tempering(
    ...         500, tune=200, chains=2, random_seed=1, progressbar=False
    ...     )
    >>> bool(abs((dt.posterior["x"] > 0).mean() - 0.5) < 0.1)
    True
    """
    draws = positive_int("draws", draws)
    tune, chains = positive_int("tune", tune), positive_int("chains", chains)
    every = positive_int("checkpoint_every", checkpoint_every)
    n_levels, ladder = checked_levels(n_levels, ladder)
    began = time.perf_counter()
    path = make_path(model, base=base, temper=temper)
    folder = None
    if checkpoint is not None:
        asked = {"draws": draws, "tune": tune, "n_levels": n_levels, "chains": chains,
                 "ladder": None if ladder is None else ladder.tolist(), "every": every,
                 "path": path.fingerprint()}  # fmt: skip
        folder = RunFolder(checkpoint, asked, random_seed)
        random_seed = folder.seed
    learn_rng, draw_rng = get_random_generator(random_seed).spawn(2)
    walkers = make_walkers(path, 1, step, tune=tune, draws=draws)
    store = None if folder is None else folder.chain("weights")
    saved = store.load() if store is not None else []
    if saved:
        [learned] = saved
    else:
        learned = _learn(walkers, learn_rng, n_levels, ladder, tune, chains, cores, progressbar)
        if store is not None:
            store.save(learned)
    results = run_chains(
        _Drawing(walkers, learned, draws, folder, every), draw_rng.spawn(chains),
        n_jobs=workers_for(chains, cores, chains * draws * learned.seconds), total=draws,
        progressbar=progressbar, description="Simulated tempering",
    )  # fmt: skip
    tree = _datatree(path, walkers, learned, results, draws, time.perf_counter() - began)
    for reason in check_tempering(tree):
        _log.warning(reason)
    return tree


@dataclass(frozen=True)
class _Learned:
    """What was found before the kept draws."""

    ladder: np.ndarray
    log_weight: np.ndarray
    walks: list  # pickled: where each chain is, its moves tuned and frozen
    seconds: float  # that a draw takes


def _learn(walkers, rng, n_levels, ladder, tune, chains, cores, progressbar):
    """Find the ladder; let each chain learn weights by itself, and take their median."""
    pilot_rng, *rngs = rng.spawn(1 + chains)
    ladder, log_weight = first_levels(walkers, pilot_rng, n_levels, ladder)
    began = time.perf_counter()
    walkers.move(pilot_rng, np.array([1]), TIMED)
    seconds = (time.perf_counter() - began) / TIMED * len(ladder)
    _log.info(f"simulated tempering: {chains} chains on {len(ladder)} levels, by {walkers.road}")
    walks = run_chains(
        _Learning(walkers, ladder, log_weight, tune), rngs,
        n_jobs=workers_for(chains, cores, chains * tune * seconds), total=tune,
        progressbar=progressbar, description="Learning weights",
    )  # fmt: skip
    if len(walks) < chains:
        raise KeyboardInterrupt
    weights = [weight for weight, _ in walks]
    return _Learned(ladder, np.median(weights, axis=0), [walk for _, walk in walks], seconds)


@dataclass
class _Learning:
    """The first task of a chain; it travels to other processes."""

    walkers: Any
    ladder: np.ndarray
    log_weight: np.ndarray
    tune: int

    def __call__(self, index, rng, report):
        """Iterate as often as the same number of draws would take."""
        walk = TemperingWalk(self.walkers, self.ladder, self.log_weight)
        walk.start(rng, learn=True)
        for _ in range(self.tune):
            for _ in self.ladder:
                walk.iterate(rng)
            self.walkers.adapt()
            report(1)
        walk.freeze()
        return walk.log_weight, cloudpickle.dumps(walk.state())


@dataclass
class _Result:
    """One chain: excursions from beta = 1, each its levels, log-ratios and the state it ends in."""

    excursions: list
    interrupted: bool = False

    def joined(self, column):
        """Levels (0) or log-ratios (1) of all iterations."""
        return np.concatenate([excursion[column] for excursion in self.excursions])


@dataclass
class _Drawing:
    """The second task of a chain."""

    walkers: Any
    learned: _Learned
    draws: int
    folder: RunFolder | None
    every: int

    def __call__(self, index, rng, report):
        found, walk, segments, saved = [], self._walk(index), None, []
        if self.folder is not None:
            segments = self.folder.chain(index)
            saved = segments.load()
        if saved:
            found = [excursion for part, *_ in saved for excursion in part]
            _, state, rng = saved[-1]
            walk.restore(state)
            report(min(self.draws, len(found)))
        result, kept = _Result(found), len(found)
        # iterations are told for a number known beforehand, which no chain can influence
        iterations = self.draws * len(self.learned.ladder)
        made = sum(len(levels) for levels, *_ in found)
        try:
            if not found:
                walk.excursion(rng)  # up to beta = 1
            while len(found) < self.draws or made < iterations:
                levels, log_ratios = walk.excursion(rng)
                found.append((np.array(levels, dtype=np.int16), np.array(log_ratios), walk.point()))
                made += len(levels)
                report(int(len(found) <= self.draws))
                if segments is not None and len(found) - kept == self.every:
                    segments.save((found[kept:], walk.state(), rng))
                    kept = len(found)
        except KeyboardInterrupt:
            result.interrupted = True
        return result

    def _walk(self, index):
        walk = TemperingWalk(self.walkers, self.learned.ladder, self.learned.log_weight)
        walk.restore(cloudpickle.loads(self.learned.walks[index]))
        walk.log_weight = self.learned.log_weight  # of all chains
        return walk


def _datatree(path, walkers, learned, results, draws, seconds):
    """Put chains together; after an interrupt only as far as the shortest goes."""
    interrupted = any(result.interrupted for result in results)
    results = [result for result in results if result.excursions]
    if not results:
        raise KeyboardInterrupt
    draws = min(draws, *[len(result.excursions) for result in results])
    if interrupted:
        _log.warning(f"interrupted: {len(results)} chains of {draws} draws are returned")
    kept = [result.excursions[:draws] for result in results]
    values = {
        name: np.array([[point[name] for *_, point in chain] for chain in kept])
        for name in kept[0][0][-1]
    }
    said = [[[excursion_stats(levels)] for levels, *_ in chain] for chain in kept]
    level, log_ratio = ([result.joined(i) for result in results] for i in (0, 1))
    n = min(draws * len(learned.ladder), *[len(row) for row in level])
    group = xr.Dataset(
        {
            "beta": ("level", learned.ladder),
            "log_weight": ("level", learned.log_weight),
            "level": (("chain", "iteration"), [row[:n] for row in level]),
            "log_ratio": (("chain", "iteration"), [row[:n] for row in log_ratio]),
        },
        coords={"chain": np.arange(len(results)), "iteration": np.arange(n)},
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
        stats=[statistics_arrays(chain) for chain in said],
        groups={"simulated_tempering": group},
        attrs={"sampling_time": seconds},
    )

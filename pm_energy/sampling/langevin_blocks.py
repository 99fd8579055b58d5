"""Blocks of Langevin and Hamiltonian chains, run by threads."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from joblib.parallel import get_active_backend
from pymc.progress_bar import create_simple_progress
from threadpoolctl import threadpool_limits

from pm_energy.kernels.langevin import ADJUSTED, OVERDAMPED, UNDERDAMPED, Chains, langevin_moves
from pm_energy.sampling.hamiltonian_blocks import PARTS, parts, run_trajectories
from pm_energy.training.energy_continuous import TARGET

METHODS = {"mala": ADJUSTED, "ula": OVERDAMPED, "sgld": OVERDAMPED, "underdamped": UNDERDAMPED}
TRAJECTORIES = ("hmc", "hybrid")  # methods that tune themselves
SMALL_BIAS = {"ula": 0.98, "underdamped": 0.9}  # a Metropolis test of the step would accept so many
NUMBERS, MOST, LEAST = 2**16, 512, 16  # of a block, which should stay in the cache


def block_size(chains, d):
    """Return how many chains make a block, which must not depend on the number of threads."""
    most = int(np.clip(NUMBERS // d, LEAST, MOST))
    size = -(-chains // -(-chains // most))
    return size if size < 64 else -(-size // 8) * 8  # rows of blocks start cache lines


@dataclass(frozen=True)
class Plan:
    """What every block does."""

    method: str
    draws: int
    tune: int
    thin: int
    beta: float
    friction: float
    step_size: float | None

    @property
    def adjusts(self):
        """Whether log-densities are needed."""
        return self.method in ("mala", *TRAJECTORIES) or self.step_size is None


@dataclass
class Result:
    """What a block gave, chains first."""

    draws: np.ndarray  # (B, draws, d)
    stats: dict[str, np.ndarray]  # (B, draws) each


def run_block(plan, density, x, rng, report):
    """Tune and draw.

    Parameters
    ----------
    plan : Plan
    density : BatchDensity
    x : ndarray, shape (d, B)
        Starts.
    rng : numpy.random.Generator
    report : callable
        ``report(n)`` is told of n more moves.

    Returns
    -------
    Result
    """
    if plan.method in TRAJECTORIES:
        return Result(*run_trajectories(plan, density, x, rng, report))
    method, step = METHODS[plan.method], plan.step_size
    target = SMALL_BIAS.get(plan.method, TARGET)
    first = len(x) ** (-1 / 6) * plan.beta**-0.5 if step is None else step
    tuning = np.array([first, 0.0, target if step is None else 0.0])
    chains = Chains(x.copy(), rng.standard_normal(x.shape), tuning)

    def move(how, n_moves, thin):
        """Move in parts; n_moves is a multiple of thin."""
        records = []
        for n_records in parts(n_moves // thin):
            records.append(
                langevin_moves(rng, density, chains, how, plan.beta, plan.friction, n_records, thin)
            )
            report(n_records * thin)
        return [np.concatenate(found) for found in zip(*records, strict=True)]

    if plan.tune:
        learning = plan.tune if method == ADJUSTED or step is not None else -(-plan.tune // 2)
        _unrecorded(move, method if step is not None else ADJUSTED, learning)
        tuning[2] = 0.0
        if plan.tune > learning:
            _unrecorded(move, method, plan.tune - learning)
    tuning[2] = 0.0
    record, acceptance = move(method, plan.draws * plan.thin, plan.thin)
    stats = {"step_size": np.full(acceptance.T.shape, tuning[0])}
    if method == ADJUSTED:
        stats["acceptance_rate"] = acceptance.T
    return Result(record.transpose(2, 0, 1), stats)


def _unrecorded(move, how, n_moves):
    """Moves of which only the end of each part is looked at."""
    long = max(1, n_moves // PARTS)
    move(how, n_moves // long * long, long)
    if n_moves % long:
        move(how, n_moves % long, n_moves % long)


def run_blocks(plan, densities, starts, rngs, cores, progressbar):
    """Run all blocks, in threads.

    Parameters
    ----------
    plan : Plan
    densities : list of BatchDensity
        One for each block.
    starts : ndarray, shape (n_blocks, d, B)
    rngs : list of numpy.random.Generator
    cores : int or None
        None: what ``joblib.parallel_config`` says, or else all.
    progressbar : bool

    Returns
    -------
    list of Result
    """
    total = (plan.tune + plan.draws * plan.thin) * len(rngs)
    progress = create_simple_progress(progressbar=progressbar)
    # threads are of blocks, not of products of matrices; looking for libraries takes milliseconds
    limits = threadpool_limits(1, "blas") if densities[0].uses_blas else nullcontext()
    with progress, limits:
        task = progress.add_task("Langevin moves", completed=0, total=total)
        tasks = [
            (plan, *block, lambda n: progress.advance(task, n))
            for block in zip(densities, starts, rngs, strict=True)
        ]
        n_jobs = min(cores or get_active_backend()[1] or joblib.cpu_count(), len(tasks))
        if n_jobs == 1 or densities[0].address is None:  # what Python evaluates gains no threads
            return [run_block(*task) for task in tasks]
        jobs = joblib.Parallel(n_jobs=n_jobs, require="sharedmem")
        return jobs(joblib.delayed(run_block)(*task) for task in tasks)


@dataclass
class MinibatchScore:
    """Scores from a user's estimate of the gradient on rows drawn at random, for each chain."""

    gradient: Any
    shape: tuple
    data_size: int
    batch_size: int
    rng: np.random.Generator
    address: None = None
    uses_blas: bool = False
    road: str = "gradient of minibatches"

    def __call__(self, x, beta):
        """Estimate the scores (d, B) at x, shape (d, B)."""
        d, n_chains = x.shape
        rows = self.rng.integers(self.data_size, size=(n_chains, self.batch_size))
        points = np.ascontiguousarray(x.T).reshape(n_chains, *self.shape)
        slope = np.asarray(self.gradient(points, rows), dtype=float)
        if slope.shape != points.shape:
            raise ValueError(
                f"gradient must return one number for each unit of each chain, shape "
                f"{points.shape}, got {slope.shape}"
            )
        return np.ascontiguousarray(-beta * slope.reshape(n_chains, d).T), np.empty(0)

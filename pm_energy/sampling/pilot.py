"""A population that goes ahead: it finds the steps in beta, tunes the moves, and is thrown away.

What is chosen by looking at a population biases what the same population estimates. So a pilot
decides everything, and the populations that count find it decided.
"""

from dataclasses import dataclass

import numpy as np

from pm_energy.kernels.resample import systematic
from pm_energy.paths.schedule import next_beta, thermodynamic_lengths
from pm_energy.sampling.starts import check_numbers, check_possible

FORGOTTEN = 0.5  # correlation of the log-ratio before and after enough moves
MAX_SWEEPS = 50  # a step; where more are needed, more members help more
MAX_STEPS = 5_000
BURN_IN = 10  # times enough moves, where the base cannot be drawn


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs between base and target follow.

    Attributes
    ----------
    beta : ndarray, shape (n,)
        From 0 to 1.
    n_sweeps : ndarray of int, shape (n,)
        Moves at each beta. At the base: from its approximate draws; none where draws are exact.
    """

    beta: np.ndarray
    n_sweeps: np.ndarray


@dataclass(frozen=True, slots=True)
class Survey:
    """What a pilot found.

    Attributes
    ----------
    plan : Plan
    mean_log_ratio : ndarray, shape (n,)
        Of the states at which the target does not vanish.
    memory : ndarray, shape (n,)
        Integrated autocorrelation time of the log-ratio, in sweeps.
    """

    plan: Plan
    mean_log_ratio: np.ndarray
    memory: np.ndarray

    @property
    def lengths(self):
        """Thermodynamic lengths of the steps; shape (n - 1,)."""
        return thermodynamic_lengths(self.plan.beta, self.mean_log_ratio, self.memory)


def send_pilot(walkers, path, rng, *, sweeps, target, measure, report=lambda step: None):
    """Let a population find the way to the target, and leave walkers tuned for it and frozen.

    Parameters
    ----------
    walkers : Walkers
    path : Path
    rng : numpy.random.Generator
    sweeps : int or "auto"
        Moves at each beta; "auto": until the log-ratio has half forgotten what it was.
    target, measure
        See :func:`pm_energy.paths.schedule.next_beta`.
    report : callable
        Called with the length of each step in beta.

    Returns
    -------
    Survey

    Raises
    ------
    ValueError
        If the target vanishes at all starts, a log-density is not a number, or the way is too long.
    """
    walkers.set_ladder(np.zeros(1))
    walkers.start(rng)
    rows = [(0.0, 0, 1.0)]
    if not walkers.exact_base:
        n, memory = _forget(walkers, rng, 0, sweeps)
        rows = [(0.0, BURN_IN * n, memory)]
        walkers.move(rng, np.zeros(walkers.size, dtype=int), BURN_IN * n)
    check_numbers(walkers, path)
    check_possible(walkers, path)
    means = [walkers.log_ratio[np.isfinite(walkers.log_ratio)].mean()]
    while (beta := rows[-1][0]) < 1.0:
        if len(rows) > MAX_STEPS:
            raise ValueError(
                f"the way from the base to the target takes more than {MAX_STEPS} steps (beta = "
                f"{beta:.3g} is reached): accept longer ones, or pass base='variational'"
            )
        new = next_beta(walkers.log_ratio, beta, target, measure)
        log_w = (new - beta) * walkers.log_ratio
        walkers.take(systematic(rng, np.exp(log_w - log_w.max())))
        walkers.set_ladder(np.append(walkers.ladder, new))
        rows.append((new, *_forget(walkers, rng, len(rows), sweeps)))
        check_numbers(walkers, path)
        means.append(walkers.log_ratio.mean())
        report(new - beta)
    walkers.freeze()
    betas, n_sweeps, memory = map(np.array, zip(*rows, strict=True))
    return Survey(Plan(betas, n_sweeps), np.array(means), memory)


def _forget(walkers, rng, level, sweeps):
    """Move and tune; return how many moves it took to forget, and the memory of one."""
    levels = np.full(walkers.size, level)
    before = _clipped(walkers.log_ratio)
    most = MAX_SWEEPS if sweeps == "auto" else sweeps
    n, kept = 0, 1.0
    while n < most and not (sweeps == "auto" and kept <= FORGOTTEN):
        walkers.move(rng, levels)
        walkers.adapt()
        kept = _correlation(before, _clipped(walkers.log_ratio))
        n += 1
    rate = min(max(kept, 0.0), 0.999) ** (1 / n)
    return n, (1 + rate) / (1 - rate)


def _correlation(x, y):
    """Of two samples; zero if there is none to speak of."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return x @ y / scale if scale > 0 else 0.0


def _clipped(log_ratio):
    """Put the impossible with the least likely; there are such states at the base only."""
    finite = np.isfinite(log_ratio)
    return np.where(finite, log_ratio, log_ratio[finite].min(initial=0.0))

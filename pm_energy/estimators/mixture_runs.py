"""Runs of EM for a Gaussian mixture: which rows, from which starts, at which temperatures."""

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils.validation import check_array
from threadpoolctl import threadpool_limits

from pm_energy.estimators.base import generator
from pm_energy.training.em_missing import MissingRows
from pm_energy.training.em_mixture import CollapsedError, CompleteRows, run_em
from pm_energy.training.progress import Progress

_FACTOR = 1.2  # from one stage of annealing to the next


def ladder(annealing):
    """Return the stages of annealing as rising inverse temperatures that end with 1."""
    if annealing is None:
        return np.ones(1)
    if np.ndim(annealing) == 0:
        steps = int(np.ceil(np.log(1.0 / annealing) / np.log(_FACTOR)))
        return np.geomspace(annealing, 1.0, steps + 1)
    betas = check_array(annealing, dtype=np.float64, ensure_2d=False, input_name="annealing")
    if betas.ndim != 1 or betas[0] <= 0.0 or (np.diff(betas) <= 0.0).any() or betas[-1] != 1.0:
        raise ValueError(f"annealing must rise from above 0 and end with 1, got {betas.tolist()}")
    return betas


def rows_that_count(x, weights, n_components):
    """Leave out rows without weight or without entries.

    Raises
    ------
    ValueError
        If fewer rows than components are left, or a column has no entries.
    """
    there = ~np.isnan(x)
    counts = (weights > 0.0) & there.any(axis=1)
    if not counts.all():
        x, weights, there = x[counts], weights[counts], there[counts]
    if len(x) < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {len(x)} that have an entry and a weight"
        )
    lost = np.flatnonzero(~there.any(axis=0))
    if lost.size:
        raise ValueError(f"columns {lost.tolist()} of X have no entries: leave them out")
    return x, weights


def as_rows(coordinates, x, weights):
    """Return rows for EM, and what to add to each one's log-density to have it over x."""
    z = coordinates.rows(x)
    missing = np.isnan(z)
    if not missing.any():
        return CompleteRows(z, weights), np.full(len(x), coordinates.log_scale)
    return MissingRows(z, weights), np.log(np.diagonal(coordinates.whiten)) @ ~missing


def best_run(rows, starts, random_state, *, n_jobs, show, max_iter, betas, **settings):
    """Run EM from each start, and return the run with the highest likelihood.

    Parameters
    ----------
    rows : CompleteRows or MissingRows
    starts : list of Mixture
    random_state : numpy.random.RandomState
        For annealing.
    n_jobs : int or None
        Threads.
    show : bool
        Whether to show a progress bar.
    max_iter, betas, **settings
        Those of :func:`pm_energy.training.em_mixture.run_em`.

    Raises
    ------
    ValueError
        If a component collapses.
    """
    rngs = [generator(random_state) if len(betas) > 1 else None for _ in starts]
    total = len(starts) * len(betas) * max_iter
    # one thread of BLAS a run: products of blocks are too small for more, and sums do not depend on
    # how many runs share the processor
    alone = threadpool_limits(1, user_api="blas")
    with Progress("EM", total=total, show=show) as progress, alone:

        def run(start, rng):
            done = run_em(
                rows,
                start,
                max_iter=max_iter,
                betas=betas,
                rng=rng,
                on_step=(lambda bound: progress.advance(f"bound {bound:.4f}")) if show else None,
                **settings,
            )
            for _ in range(len(betas) * max_iter - len(done.bounds) if show else 0):
                progress.advance()  # the steps that were not needed
            return done

        try:
            found = Parallel(n_jobs=n_jobs, require="sharedmem")(map(delayed(run), starts, rngs))
        except CollapsedError as error:
            raise ValueError(
                "Fitting the mixture model failed because some components have ill-defined "
                f"empirical covariance: {error}. Use fewer n_components, raise reg_covar, or scale "
                "the input data"
            ) from error
    return max(found, key=lambda run: run.bounds[-1] if run.bounds.size else -np.inf)

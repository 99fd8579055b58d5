"""A step of EM for Gaussian mixtures against scikit-learn.

    python tests/benchmarks/bench_em.py

100,000 rows in 10 dimensions, 20 components, the same start for both. The time of a step is the
difference between fits of few and of more steps, so what a fit costs once is left out; a whole fit
from k-means is timed beside it. In every round both run, in turn; a ratio is taken within a round,
and the median and range over the rounds are printed. BLAS has one thread.
"""

import functools
import time
import warnings

import numpy as np
from rounds import interleave, print_ratio, print_versions, spread, use_one_core
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from pm_energy.estimators import GaussianMixtureEM

N, D, K, ROUNDS = 100_000, 10, 20, 7
FLOORS = {"full": 8.0}


def problem():
    """Rows of a mixture whose components overlap somewhat."""
    rng = np.random.default_rng(0)
    centres = 4.0 * rng.normal(size=(K, D))
    shapes = rng.normal(size=(K, D, D)) / np.sqrt(D)
    of = rng.integers(K, size=N)
    noise = (shapes[of] @ rng.normal(size=(N, D, 1)))[:, :, 0]
    return centres[of] + noise + 0.3 * rng.normal(size=(N, D))


def start(x, kind):
    """Components of unit width at random rows."""
    shape = {"full": np.tile(np.eye(D), (K, 1, 1)), "tied": np.eye(D)}
    shape |= {"diag": np.ones((K, D)), "spherical": np.ones(K)}
    rows = np.random.default_rng(1).choice(N, K, replace=False)
    given = {"weights_init": np.full(K, 1 / K), "means_init": x[rows]}
    return given | {"precisions_init": shape[kind], "covariance_type": kind}


def seconds(estimator, x):
    begin = time.perf_counter()
    estimator.fit(x)
    return time.perf_counter() - begin


def seconds_per_step(mixture, x, settings, few=1, more=6):
    """Time that a step adds to a fit."""
    runs = (mixture(K, tol=0.0, max_iter=n, **settings) for n in (more, few))
    long, short = (seconds(run, x) for run in runs)
    return (long - short) / (more - few)


def main():
    """Time steps for each kind of covariance, fits from k-means, and steps with missing entries."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    x = problem()
    use_one_core()
    with threadpool_limits(1, user_api="blas"):
        print_versions("numpy", "numba", "scikit-learn")
        print(f"{N:,} x {D}, {K} components: ms a step; time of scikit-learn / pm_energy")
        for kind in ("full", "tied", "diag", "spherical"):
            settings = start(x, kind)
            timers = {
                mixture: functools.partial(seconds_per_step, mixture, x, settings)
                for mixture in (GaussianMixtureEM, GaussianMixture)
            }
            timers[GaussianMixtureEM]()  # compiles
            times = interleave(timers, ROUNDS)
            ours, peer = times[GaussianMixtureEM], times[GaussianMixture]
            print(f"  {kind:9s} {spread(1e3 * ours, 1)} against {spread(1e3 * peer, 1)}")
            print_ratio(kind, peer / ours, FLOORS.get(kind))
        fits = {
            mixture: functools.partial(seconds, mixture(K, random_state=0, max_iter=30), x)
            for mixture in (GaussianMixtureEM, GaussianMixture)
        }
        times = interleave(fits, 3)
        print_ratio("fit from k-means", times[GaussianMixture] / times[GaussianMixtureEM])
        holes = np.where(np.random.default_rng(2).random(x.shape) < 0.05, np.nan, x)
        step = [seconds_per_step(GaussianMixtureEM, holes, start(x, "full"), 1, 3) for _ in "123"]
        print(f"  5% of entries missing, full: {spread(1e3 * np.array(step), 0)} ms a step")


if __name__ == "__main__":
    main()

"""Flow matching as an estimator."""

import warnings

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from pm_energy.estimators.flow_matching import FlowMatching

SKEWED = np.random.default_rng(0).exponential(size=(4000, 1))


@pytest.mark.parametrize("coupling", ["independent", "optimal"])
def test_an_estimator_keeps_the_conventions(coupling):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = FlowMatching(coupling=coupling, hidden=(4,), n_iter=5, batch_size=16)
        results = check_estimator(model, on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert len(results) > 40


def test_the_density_integrates_to_one_and_is_that_of_draws():
    """Quantiles of 4,000 draws err by .02 of probability; those of a normal by .16."""
    model = FlowMatching(hidden=(32,), n_iter=1500, random_state=0).fit(SKEWED)
    grid = np.linspace(-3, 20, 2001)
    p = np.exp(model.score_samples(grid[:, None])) * (grid[1] - grid[0])
    assert p.sum() == pytest.approx(1.0, abs=2e-3)
    draws = model.sample(4000, random_state=0)[:, 0]
    below = np.interp(np.quantile(draws, [0.1, 0.3, 0.5, 0.7, 0.9]), grid, p.cumsum())
    np.testing.assert_allclose(below, [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.04)
    assert np.median(draws) == pytest.approx(np.log(2), abs=0.1)


def test_optimal_coupling_makes_paths_straighter():
    """Four steps of Euler's rule lose less where velocities hardly change along a path."""
    rng = np.random.default_rng(0)
    X = rng.choice([-3.0, 3.0], size=(2000, 1)) + 0.3 * rng.normal(size=(2000, 1))
    apart = {}
    for coupling in ("independent", "optimal"):
        model = FlowMatching(
            coupling=coupling, hidden=(32,), n_iter=1000, batch_size=64, random_state=0
        ).fit(X)
        many = model.sample(1000, random_state=0)
        few = model.set_params(n_steps=4, sampler="euler").sample(1000, random_state=0)
        apart[coupling] = np.sqrt(((many - few) ** 2).mean())
        assert (many > 0).mean() == pytest.approx(0.5, abs=0.08)
    assert apart["optimal"] < 0.7 * apart["independent"]

"""One network energy at all levels of noise: it knows how much is in each of modes far apart."""

import warnings

import numpy as np
import pymc as pm
import pytest
from sklearn.utils.estimator_checks import check_estimator

import pm_energy as pme
from pm_energy.diagnostics import c2st, fisher_divergence
from pm_energy.estimators import score_learning
from pm_energy.estimators.score_matching import ScoreMatching
from pm_energy.training.score_network import NetworkModel

MEANS, DEVIATION, SHARE = np.array([[-4.0], [4.0]]), 0.5, 0.2
RANGE = (0.1, 8.0)
DEEP = {"hidden": (64, 64, 64), "learning_rate": 1e-2, "random_state": 0}
SMALL = {"sigma": (0.1, 5.0), "hidden": (8,), "n_iter": 20, "batch_size": 32, "random_state": 0}
ROWS = np.random.default_rng(0).normal(size=(96, 2))


def smoothed(sigma):
    return pme.GaussianMixtureEnergy([SHARE, 1 - SHARE], MEANS, DEVIATION**2 + sigma**2)


X = smoothed(0.0).draw(np.random.default_rng(0), 2000)
GRID = np.linspace(-12, 12, 2401)[:, None]


def share_of_the_left(log_p):
    p = np.exp(log_p - log_p.max())
    return p[GRID[:, 0] < 0].sum() / p.sum()


@pytest.fixture(scope="module")
def learned():
    return ScoreMatching(sigma=RANGE, **DEEP).fit(X)


def test_it_keeps_the_conventions():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            ScoreMatching(sigma="auto", hidden=(4,), n_iter=5), on_skip=None, on_fail=None
        )
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert len(results) > 40


def test_modes_far_apart_have_their_shares(learned):
    """Over six seeds of data they err by .009; those of one small noise are anything."""
    share = share_of_the_left(learned.score_samples(GRID))
    assert share == pytest.approx((X < 0).mean(), abs=0.045)
    one = ScoreMatching(sigma=RANGE[0], hidden=(16,), n_iter=500, random_state=0).fit(X)
    assert abs(share_of_the_left(one.score_samples(GRID)) - SHARE) > 0.1


class ScoresAlone(NetworkModel):
    """Is taught the slope along sigma that it has."""

    def level_regression(self, theta, x, sigma, targets, rates, weights=None):
        double = {name: value.astype(float) for name, value in theta.items()}

        def log_p(sigma):
            widths = self._levels.scale(self._fixed[1], sigma)
            return -self.value_and_slope(double, x, sigma)[0] - np.log(widths).sum(axis=1)

        own = (log_p(sigma * np.exp(1e-3)) - log_p(sigma * np.exp(-1e-3))) / 2e-3
        return super().level_regression(theta, x, sigma, targets, own, weights)


def test_the_scores_of_all_levels_do_not_tell_shares(monkeypatch):
    """They are as good as any, and the left mode, which has a fifth, gets .04."""
    monkeypatch.setattr(score_learning, "NetworkModel", ScoresAlone)
    blind = ScoreMatching(sigma=RANGE, random_state=0, hidden=(64, 64), n_iter=1000).fit(X)
    x = smoothed(1.0).draw(np.random.default_rng(1), 2000)
    found = fisher_divergence(blind.score_field(x, 1.0), mixture_score(x, 1.0), x)
    assert found.relative < 0.1
    assert abs(share_of_the_left(blind.score_samples(GRID)) - SHARE) > 0.1


@pytest.mark.parametrize("sigma", [0.1, 1.0, 8.0])
def test_scores_are_those_of_the_smoothed_data(learned, sigma):
    x = smoothed(sigma).draw(np.random.default_rng(1), 2000)
    found = fisher_divergence(learned.score_field(x, sigma), mixture_score(x, sigma), x)
    assert found.relative < 0.05  # .014, .003 and .001


def mixture_score(x, sigma):
    variance = DEVIATION**2 + sigma**2
    odds = np.log((1 - SHARE) / SHARE) + 8 * x / variance  # of the right mode
    return (4 * np.tanh(odds / 2) - x) / variance


def test_a_level_is_an_energy_with_numbers(learned):
    at = learned.energy_at(1.7)
    for i, energy in enumerate((at, learned.energy_)):
        sigma = (1.7, None)[i]
        ahead, behind = (pme.energy_values(energy, GRID + s * 1e-5) for s in (1, -1))
        np.testing.assert_allclose(
            learned.score_field(GRID, sigma)[:, 0], (behind - ahead) / 2e-5, rtol=1e-5, atol=1e-5
        )
    least = learned.energy_at(learned.sigma_)
    np.testing.assert_allclose(
        pme.energy_values(least, GRID), pme.energy_values(learned.energy_, GRID), rtol=1e-12
    )
    np.testing.assert_array_equal(learned.score_field(GRID), learned.score_field(GRID, 0.1))
    np.testing.assert_allclose(
        learned.denoise(GRID, 1.7), GRID + 1.7**2 * learned.score_field(GRID, 1.7), rtol=1e-12
    )
    np.testing.assert_array_equal(learned.denoise(GRID), learned.denoise(GRID, 0.1))


def test_draws_are_those_of_the_energy(learned):
    """They have its shares, and are told from fresh data by little more than chance."""
    x = learned.sample(1000, random_state=0)
    np.testing.assert_array_equal(x, learned.sample(1000, random_state=0))
    share = share_of_the_left(learned.score_samples(GRID))
    assert (x < 0).mean() == pytest.approx(share, abs=0.06)
    fresh = smoothed(RANGE[0]).draw(np.random.default_rng(2), 1000)
    told = c2st(x, fresh, random_state=0)
    assert told.value < 0.5 + 5 * told.error + 0.02


def test_any_level_is_a_prior(learned):
    """Under NUTS, which crosses between modes that noise has brought together: TV over 24 bins."""
    with pm.Model():
        x = pme.Boltzmann("x", learned.energy_at(2.0))
        pm.Normal("y", x[0], 4.0, observed=-1.0)
        dt = pm.sample(
            draws=600, tune=200, chains=2, cores=1, random_seed=3, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip
    p = np.exp(-pme.energy_values(smoothed(2.0), GRID) - 0.5 * ((GRID[:, 0] + 1) / 4) ** 2)
    edges = np.linspace(-9, 9, 25)
    wanted = np.histogram(GRID[:, 0], bins=edges, weights=p / p.sum())[0]
    draws = dt["posterior"]["x"].values.ravel()
    found = np.histogram(draws, bins=edges)[0] / draws.size
    # n independent draws have a mean distance of sum(sqrt(p (1 - p))) / sqrt(2 pi n); these draws
    # are worth a tenth of their number
    mean = np.sqrt(wanted * (1 - wanted)).sum() / np.sqrt(2 * np.pi * draws.size / 10)
    assert 0.5 * np.abs(found - wanted).sum() < mean + 0.08
    assert 0.5 * np.abs(found - np.roll(wanted, 4)).sum() > 0.3  # what is wrong is noticed


def test_files_and_parts_hold_all_levels(tmp_path):
    model = ScoreMatching(**SMALL).fit(ROWS)
    model.save(tmp_path / "model.npz")
    loaded = ScoreMatching.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.score_field(ROWS, 1.0), model.score_field(ROWS, 1.0))
    assert loaded.sigma == SMALL["sigma"]
    for estimator in (model, loaded):
        estimator.partial_fit(ROWS + 1.0)
    np.testing.assert_array_equal(loaded.coefs_[0], model.coefs_[0])
    tree = model.to_datatree()
    np.testing.assert_array_equal(tree["parameters"]["sigmas"], [0.1, 5.0])
    parts = ScoreMatching(**SMALL)
    for _ in range(4):
        parts.partial_fit(ROWS)
    whole = ScoreMatching(**SMALL | {"n_iter": 12}, schedule="constant").fit(ROWS)
    for mine, other in zip(parts.coefs_, whole.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert parts.sigma_ == 0.1


def test_all_levels_are_chosen_by_the_data():
    model = ScoreMatching(**SMALL | {"sigma": "auto"}).fit(np.array([[0.0, 0.0], [30.0, 40.0]]))
    np.testing.assert_allclose(model.sigmas_, [0.1 * np.sqrt(312.5), 50.0])


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: ScoreMatching(sigma=(1.0, 0.1)).fit(ROWS), "a least noise above zero and a larg"),
        (lambda: ScoreMatching(sigma=(0.0, 1.0)).fit(ROWS), "a least noise above zero and a larg"),
        (lambda: ScoreMatching(sigma=(1.0,)).fit(ROWS), "sigma must be a noise, a least and a"),
        (lambda: ScoreMatching(sigma="all").fit(ROWS), "'sigma' parameter"),
        (lambda: ScoreMatching(sigma="auto").fit(np.ones((5, 2))), "X is constant: give sigma"),
        (lambda: ScoreMatching(**SMALL).fit(ROWS).score_field(ROWS, 9.0), "from 0.1 to 5.0, got 9"),
        (lambda: ScoreMatching(**SMALL).fit(ROWS).energy_at("x"), "sigma must be one number"),
        (lambda: ScoreMatching(**SMALL | {"sigma": 0.1}).fit(ROWS).denoise(ROWS, 0.1), "left out"),
    ],
)
def test_bad_input_is_named(do, message):
    with pytest.raises(ValueError, match=message):
        do()


@pytest.mark.parametrize("settings", [{"sigma": 0.1}, {"objective": "sliced", "sigma": "auto"}])
def test_one_level_has_no_others(settings):
    with pytest.raises(AttributeError, match="energy_at"):
        _ = ScoreMatching(**settings).energy_at

"""Network energies as scikit-learn estimators, and as priors in PyMC."""

import itertools
import warnings

import numpy as np
import pymc as pm
import pytest
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

import pm_energy as pme
from pm_energy.estimators.energy_matching import EnergyMatching
from pm_energy.estimators.score_matching import ScoreMatching

MOONS = make_moons(1000, noise=0.05, random_state=0)[0]
NORMAL = np.random.default_rng(0).normal([1.0, -20.0], [0.5, 0.5], size=(2000, 2))
SMALL = {"hidden": (16,), "n_iter": 20, "random_state": 0}


@pytest.fixture(scope="module")
def moons():
    return ScoreMatching(sigma=0.2, hidden=(16, 16), n_iter=800, random_state=0).fit(MOONS)


@pytest.mark.parametrize(
    "estimator",
    [
        ScoreMatching(hidden=(4,), n_iter=5),
        ScoreMatching("sliced", hidden=(4,), n_iter=5),
        EnergyMatching(hidden=(4,), n_iter=2, n_warm_up=2, n_chains=8),
    ],
    ids=["denoising", "sliced", "energy matching"],
)
def test_an_estimator_keeps_the_conventions(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert len(results) > 40


@pytest.mark.parametrize("objective", ["denoising", "explicit", "sliced"])
def test_of_normal_data_it_learns_the_normal_score(objective):
    """Smoothed, where it denoises. Means err by 1/sqrt(2000), deviations by less."""
    model = ScoreMatching(
        objective, sigma=0.3 if objective == "denoising" else None, hidden=(16,), n_iter=300,
        random_state=0,
    ).fit(NORMAL)  # fmt: skip
    variance = 0.25 + (0.09 if objective == "denoising" else 0.0)
    x = np.array([[1.0, -20.0], [1.5, -20.0], [1.0, -20.7]])
    wanted = -(x - [1.0, -20.0]) / variance
    np.testing.assert_allclose(model.score_field(x), wanted, atol=0.35)  # scores up to 2.8
    np.testing.assert_allclose(model.scale_, np.sqrt(variance), rtol=0.05)
    log_density = -((x - [1.0, -20.0]) ** 2).sum(axis=1) / (2 * variance)
    log_density -= np.log(2 * np.pi * variance)
    np.testing.assert_allclose(model.score_samples(x), log_density, atol=0.15)


def test_field_energy_and_density_are_of_one_energy(moons):
    x = MOONS[:5]
    energies = pme.energy_values(moons.energy_, x)
    np.testing.assert_allclose(moons.score_samples(x), -energies - moons.log_partition_, rtol=1e-12)
    for i in range(2):
        step = 1e-5 * np.eye(2)[i]
        ahead, behind = (pme.energy_values(moons.energy_, x + s * step) for s in (1, -1))
        np.testing.assert_allclose(
            moons.score_field(x)[:, i], (behind - ahead) / 2e-5, rtol=1e-5, atol=1e-6
        )
    np.testing.assert_allclose(moons.denoise(x), x + 0.04 * moons.score_field(x), rtol=1e-12)
    assert moons.score(x) == pytest.approx(moons.score_samples(x).mean())


def test_denoising_takes_noise_away(moons):
    clean = make_moons(1000, noise=0.05, random_state=1)[0]
    noisy = clean + 0.2 * np.random.default_rng(1).standard_normal(clean.shape)
    before, after = (((x - clean) ** 2).mean() for x in (noisy, moons.denoise(noisy)))
    assert after < 0.8 * before  # .70; 1 if nothing were learned


def test_samples_have_the_density(moons):
    """Counts of cells against probabilities on a grid; a standard normal cloud has others."""
    x = moons.sample(2000, random_state=0)
    assert x.shape == (2000, 2)
    np.testing.assert_array_equal(x, moons.sample(2000, random_state=0))
    edges = np.linspace(-3, 4, 8), np.linspace(-2.5, 3, 8)
    share, fine = _cells(moons, edges)
    found = np.histogram2d(*x.T, bins=edges)[0] / len(x)
    # annealed populations have a few times the noise of independent draws
    noise = np.sqrt(share * (1 - share) / len(x)) + 1e-3
    assert np.abs(found - share).max() / noise.max() < 6
    other = np.histogram2d(*(0.9 * x + 0.3).T, bins=edges)[0] / len(x)
    assert np.abs(other - share).max() / noise.max() > 6
    assert fine == pytest.approx(1.0, abs=1e-3)


def _cells(model, edges, points=40):
    """Probabilities of cells by the midpoint rule, and their sum."""
    sides = [
        np.concatenate([
            a + (b - a) * (np.arange(points) + 0.5) / points
            for a, b in itertools.pairwise(e)
        ])
        for e in edges
    ]  # fmt: skip
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
    area = np.prod([(e[1] - e[0]) / points for e in edges])
    p = np.exp(model.score_samples(grid.reshape(-1, 2))) * area
    n = [len(e) - 1 for e in edges]
    share = p.reshape(n[0], points, n[1], points).sum(axis=(1, 3))
    return share, share.sum()


def test_energy_matching_sees_how_much_is_in_each_mode():
    rng = np.random.default_rng(2)
    x = rng.normal(np.where(rng.random((1500, 1)) < 0.75, -4.0, 4.0), 1.0)
    model = EnergyMatching(hidden=(32,), n_warm_up=200, n_iter=300, random_state=0).fit(x)
    grid = np.linspace(-12, 12, 2001)[:, None]
    p = np.exp(model.score_samples(grid)) * 0.012
    assert p.sum() == pytest.approx(1.0, abs=1e-3)
    assert p[grid[:, 0] < 0].sum() == pytest.approx(0.75, abs=0.1)
    assert np.exp(model.score_samples([[0.0]])) < 0.5 * np.exp(model.score_samples([[4.0]]))
    assert not hasattr(model, "denoise")


def test_a_learned_prior_under_nuts_is_the_learned_prior(moons):
    """Of a noisy measurement of one coordinate: TV over 25 bins of the other."""
    with pm.Model():
        x = pme.Boltzmann("x", moons.energy_)
        pm.Normal("y", x[0], 0.5, observed=0.5)
        dt = pm.sample(
            draws=600, tune=300, chains=2, cores=1, random_seed=3, progressbar=False,
            compute_convergence_checks=False, target_accept=0.9,
        )  # fmt: skip
    draws = dt["posterior"]["x"].values
    edges = np.linspace(-1.5, 2.0, 26)
    found = np.histogram(draws[..., 1], bins=edges)[0] / draws[..., 1].size
    sides = np.linspace(-4, 5, 181), np.linspace(-4, 5, 1801)
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    log_p = moons.score_samples(grid) - 0.5 * ((grid[:, 0] - 0.5) / 0.5) ** 2
    p = np.exp(log_p - log_p.max()).reshape(181, 1801).sum(axis=0)
    wanted = np.histogram(sides[1], bins=edges, weights=p / p.sum())[0]
    distance = 0.5 * np.abs(found - wanted).sum()
    # n independent draws have a mean distance of sum(sqrt(p (1 - p))) / sqrt(2 pi n); these draws
    # are worth a tenth of their number, and .08 more is five deviations of it and the bins' edges
    n = draws[..., 1].size / 10
    assert distance < np.sqrt(wanted * (1 - wanted)).sum() / np.sqrt(2 * np.pi * n) + 0.08
    assert 0.5 * np.abs(found - np.roll(wanted, 5)).sum() > 0.3  # what is wrong is noticed


@pytest.mark.parametrize("make", [ScoreMatching, EnergyMatching])
def test_files_and_trees_hold_what_was_learned(make, tmp_path):
    model = make(**SMALL).fit(MOONS)
    model.save(tmp_path / "model.npz")
    loaded = make.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.score_field(MOONS), model.score_field(MOONS))
    assert loaded.log_partition_ == model.log_partition_
    tree = model.to_datatree()
    np.testing.assert_array_equal(tree["parameters"]["coef_0"], model.coefs_[0])
    assert tree["training"]["loss"].sizes == {"step": len(model.history_["loss"])}
    again = clone(model).fit(MOONS)
    np.testing.assert_array_equal(again.coefs_[0], model.coefs_[0])


def test_data_that_are_hard():
    one = ScoreMatching(**SMALL).fit(MOONS[:, :1])  # one feature
    assert one.sample(3, random_state=0).shape == (3, 1)
    assert one.score_samples(MOONS[:4, :1]).shape == (4,)
    few = ScoreMatching(**SMALL).fit(MOONS[:3])  # fewer rows than a batch
    assert np.isfinite(few.score_field(MOONS)).all()
    constant = ScoreMatching(sigma=0.5, hidden=(16,), n_iter=300, random_state=0)
    constant.fit(np.full((10, 2), 7.0))  # smoothed, it is a normal density
    x = np.array([[7.0, 7.0], [7.5, 7.0]])
    np.testing.assert_allclose(constant.score_field(x), [[0, 0], [-2, 0]], atol=0.3)
    three = ScoreMatching(**SMALL).fit(np.random.default_rng(0).normal(size=(50, 3)))
    assert three.sample(2, random_state=0).shape == (2, 3)
    assert three.score_samples(np.zeros((4, 3))).shape == (4,)


def test_divergence_is_an_error_that_keeps_what_was_good():
    model = ScoreMatching(
        learning_rate=1e6, schedule="constant", hidden=(8,), n_iter=200, random_state=0
    )
    with pytest.raises(FloatingPointError, match=r"learning diverged: .*(at|by) step \d.*those of"):
        model.fit(MOONS)
    assert model.n_iter_ < 200
    assert np.isfinite(model.score_field(MOONS)).all()
    assert np.isfinite(model.score_samples(MOONS)).all()


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: ScoreMatching(sigma=0.0).fit(MOONS), "'sigma' parameter"),
        (lambda: ScoreMatching(sigma=-1.0).fit(MOONS), "'sigma' parameter"),
        (lambda: ScoreMatching("noising").fit(MOONS), "'objective' parameter"),
        (lambda: ScoreMatching(activation="relu").fit(MOONS), "'activation' parameter"),
        (lambda: ScoreMatching(hidden=(8, 0)).fit(MOONS), "hidden must be a positive integer"),
        (lambda: ScoreMatching(hidden=()).fit(MOONS), "one a hidden layer"),
        (lambda: ScoreMatching().fit(np.array([[0.0, np.nan], [1.0, 2.0]])), "NaN"),
        (lambda: ScoreMatching().fit(np.ones((5, 2))), "X is constant: give sigma"),
        (lambda: ScoreMatching("explicit").fit(np.eye(3)[:, :2] * [1, 0]), r"columns \[1\] of X"),
        (lambda: EnergyMatching().fit(np.ones((5, 2))), r"columns \[0, 1\] of X are constant"),
        (lambda: EnergyMatching(temperature=0.0).fit(MOONS), "'temperature' parameter"),
        (lambda: ScoreMatching(**SMALL).fit(MOONS).sample(0), "n_samples must be an integer"),
    ],
)
def test_bad_input_is_named(do, message):
    with pytest.raises(ValueError, match=message):
        do()


def test_an_objective_without_noise_does_not_denoise():
    model = ScoreMatching("sliced", **SMALL).fit(MOONS)
    with pytest.raises(AttributeError, match="denoise"):
        model.denoise(MOONS)
    with pytest.raises(NotFittedError):
        ScoreMatching().score_field(MOONS)

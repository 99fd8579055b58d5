"""Networks learned by their likelihood, learning in parts, and densities of many features."""

import warnings

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.utils.estimator_checks import check_estimator

import pm_energy as pme
from pm_energy.estimators.energy_based_model import EnergyBasedModel
from pm_energy.estimators.energy_matching import EnergyMatching
from pm_energy.estimators.score_matching import ScoreMatching
from pm_energy.testing.invariance import FALSE_ALARM

RNG = np.random.default_rng(0)
MIXTURE = pme.GaussianMixtureEnergy([0.7, 0.3], [[-3.0], [4.0]], [1.0, 0.25])
X = MIXTURE.draw(RNG, 3000)
ROWS = RNG.normal(size=(96, 2))
SMALL = {"hidden": (8,), "batch_size": 32, "random_state": 0}
MAKERS = [
    lambda: ScoreMatching(n_iter=20, **SMALL),
    lambda: EnergyMatching(n_iter=10, n_warm_up=3, n_chains=16, **SMALL),
    lambda: EnergyBasedModel(n_iter=20, buffer_size=50, n_chains=20, **SMALL),
    lambda: EnergyBasedModel(n_iter=20, step_size=0.1, n_steps=3, spectral_norm=1.5, **SMALL),
]
NAMES = ["score matching", "energy matching", "exact chains", "short runs"]


def test_it_keeps_the_conventions():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            EnergyBasedModel(hidden=(4,), n_iter=5, n_chains=8, n_steps=2),
            on_skip=None, on_fail=None,
        )  # fmt: skip
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert len(results) > 40


def test_a_mixture_is_learned_almost_as_well_as_by_its_formula():
    """Five parameters would fit the rows 5 / 2n = .001 better than the truth does."""
    model = EnergyBasedModel(hidden=(32, 32), n_iter=800, random_state=0).fit(X)
    for rows in (X, MIXTURE.draw(np.random.default_rng(1), 4000)):
        truth = -pme.energy_values(MIXTURE, rows).mean()
        assert truth - 0.02 < model.score(rows) < truth + 0.01  # truth - .003
    grid = np.linspace(-8, 8, 1601)[:, None]
    p = np.exp(model.score_samples(grid)) * 0.01
    assert p.sum() == pytest.approx(1.0, abs=1e-3)
    assert p[grid[:, 0] < 1].sum() == pytest.approx(0.7, abs=0.04)
    drawn = model.sample(2000, random_state=0)
    assert np.mean(drawn < 1) == pytest.approx(0.7, abs=0.06)
    assert abs(model.history_["energy_gap"][-4:].mean()) < 0.2
    assert model.log_partition_error_ == 0.0


def test_short_runs_learn_a_density_that_is_too_narrow():
    """Steps without correction scatter; an energy whose chains look like the data makes up for it.

    Of a normal with variance v a step of size h has chains of variance ``v / (1 - h**2 / 4v)``.
    """
    x = np.random.default_rng(2).normal(size=(2000, 1))
    grid = np.linspace(-6, 6, 1201)[:, None]
    variances = {}
    for step_size in (None, 1.0):
        model = EnergyBasedModel(
            step_size=step_size, reinit=0.0, hidden=(16,), n_iter=500, random_state=0
        ).fit(x)
        p = np.exp(model.score_samples(grid)) * 0.01
        variances[step_size] = float(p @ grid[:, 0] ** 2 - (p @ grid[:, 0]) ** 2)
    assert variances[None] == pytest.approx(x.var(), abs=0.1)
    assert variances[1.0] < 0.85 * x.var()


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_parts_go_on_where_the_last_one_ended(make, tmp_path):
    parts = make().partial_fit(ROWS)
    assert parts.n_iter_ == 3  # a pass over 96 rows, 32 at a time
    first = [coef.copy() for coef in parts.coefs_]
    location, noise = parts.location_.copy(), getattr(parts, "sigma_", None)
    parts.save(tmp_path / "parts.npz")
    loaded = type(parts).load(tmp_path / "parts.npz")
    for model in (parts, loaded):
        model.partial_fit(ROWS + 1.0)
    np.testing.assert_array_equal(parts.coefs_[0], loaded.coefs_[0])  # chains and all
    assert parts.n_iter_ == 6
    curve = next(iter(parts.history_.values()))
    assert len(curve) == 2
    np.testing.assert_array_equal(parts.location_, location)
    assert getattr(parts, "sigma_", None) == noise
    anew = make().partial_fit(ROWS + 1.0)
    assert not np.allclose(anew.coefs_[0], parts.coefs_[0])
    forgetful = type(parts).load(tmp_path / "parts.npz")
    forgetful._state = {"rng": forgetful._state["rng"]}
    forgetful.partial_fit(ROWS + 1.0)
    assert not np.allclose(forgetful.coefs_[0], parts.coefs_[0])  # moments and chains were used
    with pytest.raises(ValueError, match="X has 3 features, but"):
        parts.partial_fit(np.zeros((5, 3)))
    assert not np.array_equal(first[0], parts.coefs_[0])


@pytest.mark.parametrize("make", [MAKERS[0], MAKERS[2], MAKERS[3]], ids=[NAMES[0], *NAMES[2:]])
def test_parts_are_a_fit_at_a_constant_rate(make):
    """Bit for bit: nothing is lost between calls. Energy matching begins Adam anew in a phase."""
    parts = make()
    for _ in range(4):
        parts.partial_fit(ROWS)
    whole = make().set_params(schedule="constant", n_iter=12).fit(ROWS)
    for mine, other in zip(parts.coefs_, whole.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert parts.n_iter_ == whole.n_iter_ == 12
    whole.set_params(spectral_norm=1.0).partial_fit(ROWS)  # with another optimiser, anew
    assert whole.n_iter_ == 15


def test_energy_matching_in_parts_warms_up_first():
    model = MAKERS[1]().set_params(n_warm_up=4)
    model.partial_fit(ROWS)
    assert "memory" in model._state
    assert not model._state["memory"]  # three updates of four: no chains so far
    model.partial_fit(ROWS)
    assert len(model._state["memory"]["buffer"]["visible"]) == 16


def test_learning_that_diverges_can_go_on():
    model = EnergyBasedModel(
        learning_rate=1e5, schedule="constant", hidden=(8,), n_iter=200, random_state=0
    )
    with pytest.raises(FloatingPointError, match="learning diverged"):
        model.fit(ROWS)
    assert model.n_iter_ < 200
    model.set_params(learning_rate=1e-3).partial_fit(ROWS)
    assert np.isfinite(model.score_samples(ROWS)).all()


def test_a_density_of_many_features_is_normalised():
    """Of a network that says nothing: a normal, whose log-density is known; 12 seeds."""
    n = 5
    x = np.random.default_rng(3).normal(size=(200, n)) * [1.0, 2.0, 0.1, 30.0, 1.0]
    model = ScoreMatching(hidden=(4,), n_iter=1, random_state=0).fit(x)
    model.coefs_[-1][:] = 0.0
    truth = 0.5 * n * np.log(2 * np.pi) + np.log(model.scale_).sum()
    found = [model.log_partition(200, 20, random_state=seed) for seed in range(12)]
    errors = np.array([log_z.errors_from(truth) for log_z in found])
    assert (errors**2).sum() < chi2.isf(FALSE_ALARM, 12)
    assert max(log_z.mcse for log_z in found) < 0.1
    assert abs(model.log_partition_ - truth) < 5 * model.log_partition_error_
    assert 0 < model.log_partition_error_ < 0.05
    z = (x - model.location_) / model.scale_
    log_density = -0.5 * (z**2).sum(axis=1) - truth
    np.testing.assert_allclose(
        model.score_samples(x), log_density, atol=5 * model.log_partition_error_
    )


def test_an_estimate_of_log_z_is_fixed_and_written_nowhere(tmp_path):
    x = np.random.default_rng(4).normal(size=(100, 3))
    model = EnergyBasedModel(n_iter=20, **SMALL).fit(x)
    some = model.score_samples(x[:4])
    np.testing.assert_array_equal(some, model.score_samples(x)[:4])  # whatever rows are asked for
    model.save(tmp_path / "model.npz")
    loaded = EnergyBasedModel.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.score_samples(x[:4]), some)
    again = EnergyBasedModel(n_iter=20, **SMALL).fit(x)
    assert again.log_partition_ == model.log_partition_
    assert again.log_partition_error_ == model.log_partition_error_
    before = model.log_partition_
    model.partial_fit(x)
    assert model.log_partition_ != before  # of another network
    on_grid = EnergyBasedModel(n_iter=20, **SMALL).fit(x[:, :2])
    annealed = on_grid.log_partition(500, random_state=0)
    assert on_grid.log_partition().mcse == 0.0
    assert abs(annealed.errors_from(on_grid.log_partition_)) < 5


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: EnergyBasedModel(reinit=1.5).fit(ROWS), "'reinit' parameter"),
        (lambda: EnergyBasedModel(step_size=0.0).fit(ROWS), "'step_size' parameter"),
        (lambda: EnergyBasedModel(buffer_size=10).fit(ROWS), "n_chains must be at most"),
        (lambda: EnergyBasedModel().fit(np.ones((5, 2))), r"columns \[0, 1\] of X are constant"),
        (lambda: EnergyBasedModel().partial_fit(np.ones((5, 2))), "are constant"),
        (lambda: MAKERS[2]().fit(ROWS).log_partition(0), "n_chains must be a positive integer"),
        (lambda: MAKERS[2]().fit(ROWS).log_partition(5, 0), "n_betas must be a positive integer"),
    ],
)
def test_bad_input_is_named(do, message):
    with pytest.raises(ValueError, match=message):
        do()

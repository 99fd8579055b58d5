"""Diffusion models that know how far off they are: variances of steps back, and bounds."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA

import pm_energy as pme
from pm_energy.diffusion import DiffusedMixture, variational_bound
from pm_energy.estimators.diffusion_model import DiffusionModel

CENTRE, WIDTH = np.array([1.0, -20.0]), np.array([0.2, 2.0])
NORMAL = np.random.default_rng(0).normal(CENTRE, WIDTH, size=(4000, 2))
WEIGHTS, PLACES, WIDTHS = np.array([0.2, 0.5, 0.3]), np.array([-4.0, 0.0, 3.0]), [0.5, 0.4, 0.7]
SMALL = {"hidden": (8,), "n_iter": 20, "random_state": 0, "learn_variance": True}


def without(model):
    """The same model, as if it had not learned a variance."""
    other = clone(model)
    other.__dict__.update(model.__dict__)
    del other.variance_parameters_
    return other


@pytest.fixture(scope="module")
def normal():
    """One feature ten times as wide as the other, both in one unit."""
    return DiffusionModel(
        scaling="common", sampler="ddpm", n_steps=5, hidden=(32,), n_iter=2500,
        learn_variance=True, random_state=0,
    ).fit(NORMAL)  # fmt: skip


@pytest.fixture(scope="module")
def three():
    """Three modes on a line, and fresh points."""
    rng = np.random.default_rng(0)
    energy = pme.GaussianMixtureEnergy(WEIGHTS, PLACES[:, None], np.square(WIDTHS))
    model = DiffusionModel(hidden=(64, 64), n_iter=4000, learn_variance=True, random_state=0)
    return model.fit(energy.draw(rng, 5000)), energy.draw(rng, 1000)


def test_few_steps_keep_spreads(normal):
    """Steps back of normal data are normal: with 5 of them spreads are right to 2%, else to 50%."""
    for model, is_right in ((normal, True), (without(normal), False)):
        spread = model.sample(4000, random_state=0).std(axis=0) / WIDTH
        assert (np.abs(spread - 1).max() < 0.1) == is_right  # by chance 2%


def test_the_bound_of_normal_data(normal):
    """Below the log-density and near it, with few steps too; without the variance far below."""
    x = np.random.default_rng(1).normal(CENTRE, WIDTH, size=(1000, 2))
    z, flow = (x - CENTRE) / WIDTH, normal.score_samples(x).mean()
    log_density = -0.5 * (z**2).sum(axis=1).mean() - np.log(2 * np.pi * WIDTH.prod())
    for n_steps in (5, 20, 100):
        bound = normal.bound(x, n_steps=n_steps, random_state=0)
        assert bound.path.shape == (n_steps - 1, 1000)
        error = np.sqrt((bound.mcse**2).sum()) / len(x)
        assert error < 0.04
        for above in (log_density, flow):
            assert -5 * error < above - bound.total.mean() < 0.2
        half_way = without(normal).bound(x, n_steps=n_steps, random_state=0)
        assert half_way.total.mean() < bound.total.mean() - 0.1
    assert without(normal).bound(x, n_steps=5, random_state=0).total.mean() < -10


@pytest.mark.parametrize("t", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_what_is_left_open_is_learned(three, t):
    """Logarithms of the variance of the data given noisy ones, in two ways spread over more."""
    model, fresh = three
    means, widths = (PLACES - model.mean_) / model.scale_, np.array(WIDTHS) / model.scale_
    energy = pme.GaussianMixtureEnergy(WEIGHTS, means[:, None], widths**2)
    x = (fresh - model.mean_) / model.scale_
    x = model.schedule_.diffuse(x, t, np.random.default_rng(0))[0]
    exact = np.log(DiffusedMixture(energy, model.schedule_).data_variance(x, t))
    away = np.log(model._residual(None)(x, t)) - exact
    assert np.sqrt((away**2).mean()) < 0.25
    if t == 0.3:  # where rows between modes are told from those within
        assert exact.std() > 0.6


def test_the_bound_of_a_mixture(three):
    model, fresh = three
    energy = pme.GaussianMixtureEnergy(WEIGHTS, PLACES[:, None], np.square(WIDTHS))
    log_density = DiffusedMixture(energy, model.schedule_).log_density(fresh).mean()
    flow, gaps = model.score_samples(fresh).mean(), []
    for n_steps in (10, 30, 100):
        bound = model.bound(fresh, n_steps=n_steps, random_state=0)
        error = np.sqrt((bound.mcse**2).sum()) / len(fresh)
        assert bound.total.mean() < min(flow, log_density) + 5 * error
        half_way = without(model).bound(fresh, n_steps=n_steps, random_state=0)
        gaps.append(bound.total.mean() - half_way.total.mean())
    assert bound.total.mean() > log_density - 0.2
    assert gaps[0] > 1
    assert gaps[0] > gaps[1] > gaps[2] > 0


@pytest.mark.parametrize("learn_variance", [True, False])
def test_the_bound_is_that_of_the_chain_in_units_of_the_data(learn_variance):
    settings = SMALL | {"learn_variance": learn_variance}
    model = DiffusionModel(**settings).fit(NORMAL)
    x = NORMAL[:50]
    found = model.bound(x, n_steps=7, n_draws=2, random_state=0)
    rng = np.random.default_rng(np.random.RandomState(0).randint(2**32, size=4, dtype=np.uint32))
    wanted = variational_bound(
        model._predictor(None), model.schedule_, (x - model.mean_) / model.scale_, n_steps=7,
        kind="v", n_draws=2, rng=rng, residual=model._residual(None) if learn_variance else None,
    )  # fmt: skip
    np.testing.assert_allclose(
        found.total, wanted.total - np.log(model.scale_).sum(), rtol=1e-12, atol=1e-12
    )
    stretched = DiffusionModel(**settings).fit(8.0 * NORMAL)  # a power of two does not round
    np.testing.assert_allclose(
        stretched.bound(8.0 * x, n_steps=7, n_draws=2, random_state=0).total,
        found.total - 2 * np.log(8.0), rtol=1e-9,
    )  # fmt: skip


def test_classes_have_variances_and_bounds_of_their_own():
    rng = np.random.default_rng(1)
    y = np.repeat(["narrow", "wide"], 1000)
    x = rng.normal(0, np.where(y == "wide", 2.0, 0.4))[:, None]
    model = DiffusionModel(hidden=(32,), n_iter=2500, random_state=0, learn_variance=True)
    model.set_params(sampler="ddpm", n_steps=8).fit(x, y)
    for name, width in (("narrow", 0.4), ("wide", 2.0)):
        assert model.sample(1000, y=name, random_state=0).std() == pytest.approx(width, rel=0.15)
        rows = x[y == name]
        bound = model.bound(rows, name, n_steps=30, random_state=0).total.mean()
        assert bound == pytest.approx(-0.5 * np.log(2 * np.pi * np.e * width**2), abs=0.25)
    mixed = model.bound(x[[0, -1]], ["narrow", "wide"], n_steps=30, n_draws=3, random_state=0)
    swapped = model.bound(x[[0, -1]], ["wide", "narrow"], n_steps=30, n_draws=3, random_state=0)
    assert mixed.total.sum() > swapped.total.sum() + 2


def test_the_network_itself_stays_as_it_is():
    plain = DiffusionModel(**SMALL | {"learn_variance": False}).fit(NORMAL)
    model = DiffusionModel(**SMALL).fit(NORMAL)
    np.testing.assert_array_equal(model.parameters_, plain.parameters_)
    assert not hasattr(plain, "variance_parameters_")
    draws = model.sample(5, random_state=0)  # by a sampler that needs no variance
    np.testing.assert_array_equal(draws, plain.sample(5, random_state=0))
    model.set_params(learn_variance=False).fit(NORMAL)
    assert not hasattr(model, "variance_parameters_")


def test_files_and_pickles_hold_the_variance_and_go_on(tmp_path):
    model = DiffusionModel(sampler="ddpm", n_steps=4, **SMALL).fit(NORMAL)
    model.save(tmp_path / "model.npz")
    draws = model.sample(5, random_state=0)
    for other in (DiffusionModel.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.sample(5, random_state=0), draws)
        on = pickle.loads(pickle.dumps(model)).partial_fit(NORMAL)
        other.partial_fit(NORMAL)
        for name in ("parameters_", "variance_parameters_"):
            np.testing.assert_array_equal(getattr(other, name), getattr(on, name))
            assert np.abs(getattr(other, name) - getattr(model, name)).max() > 0
    tree = on.to_datatree()
    assert tree["training"]["variance_loss"].sizes == {"step": 20 + 16}
    assert tree["parameters"]["variance_parameters"].shape == model.parameters_.shape
    first = DiffusionModel(**SMALL).partial_fit(NORMAL[:10])
    assert len(first.partial_fit(NORMAL[:4]).history_["variance_loss"]) == 2


def test_without_a_mean_no_variance_is_learned():
    model = DiffusionModel(**SMALL | {"learning_rate": 1e12, "n_iter": 300})
    with pytest.raises(FloatingPointError, match="the loss was not finite at step"):
        model.fit(NORMAL)
    assert np.isfinite(model.bound(NORMAL[:3], n_steps=3).total).all()
    model.to_datatree()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="'learn_variance' parameter"):
        DiffusionModel(learn_variance="yes").fit(NORMAL)
    model = DiffusionModel(**SMALL).fit(NORMAL)
    with pytest.raises(ValueError, match="n_draws must be"):
        model.bound(NORMAL[:3], n_draws=0)
    with pytest.raises(ValueError, match="n_steps must be"):
        model.bound(NORMAL[:3], n_steps=0)
    with pytest.raises(ValueError, match="no labels to learn from"):
        model.bound(NORMAL[:3], "left")
    coded = DiffusionModel(encoder=PCA(1), **SMALL).fit(NORMAL)
    assert not hasattr(coded, "bound")
    assert coded.set_params(sampler="ddpm").sample(3).shape == (3, 2)

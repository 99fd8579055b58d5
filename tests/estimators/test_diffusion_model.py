"""Diffusion models and noise-conditional scores as estimators: conventions, laws, quality."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

import pm_energy as pme
from pm_energy.diffusion import log_likelihood
from pm_energy.estimators.diffusion_model import DiffusionModel
from pm_energy.estimators.flow_matching import FlowMatching
from pm_energy.estimators.noise_conditional_score import NoiseConditionalScore

CENTRE, WIDTH = np.array([1.0, -20.0]), np.array([0.5, 2.0])
NORMAL = np.random.default_rng(0).normal(CENTRE, WIDTH, size=(4000, 2))
SMALL = {"hidden": (8,), "n_iter": 20, "random_state": 0}
EVERY = (DiffusionModel, NoiseConditionalScore, FlowMatching)
CORNERS = 2 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
SHARES = np.array([1, 2, 1, 2, 3, 1, 2, 4]) / 16


def eight_gaussians(rng, n):
    return CORNERS[rng.choice(8, n, p=SHARES)] + 0.1 * rng.standard_normal((n, 2))


@pytest.fixture(scope="module")
def labelled():
    """Three classes on a line, the middle one twice as wide."""
    rng = np.random.default_rng(1)
    y = np.repeat(["left", "middle", "right"], 700)
    place = {"left": -4.0, "middle": 0.0, "right": 4.0}
    x = rng.normal([[place[name]] for name in y], np.where(y == "middle", 1.0, 0.5)[:, None])
    return DiffusionModel(hidden=(64,), n_iter=4000, random_state=0).fit(x, y)


@pytest.mark.parametrize("make", [DiffusionModel, NoiseConditionalScore])
def test_an_estimator_keeps_the_conventions(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(make(hidden=(4,), n_iter=5), on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert len(results) > 40


@pytest.mark.parametrize(
    ("noise", "parametrization"),
    [
        ("cosine", "v"), ("cosine", "velocity"), ("cosine", "data"), ("vp", "noise"),
        ("vp", "score"), ("sub-vp", "noise"), ("ve", "noise"), ("straight", "v"),
    ],
)  # fmt: skip
def test_of_normal_data_all_is_known(noise, parametrization):
    """Score, mean given noisy data and moments of draws; errors are those of a small network."""
    model = DiffusionModel(
        noise=noise, parametrization=parametrization, hidden=(32,), n_iter=2500, random_state=0
    ).fit(NORMAL)
    z = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -1.5]])
    x = CENTRE + z * WIDTH
    # the deviation of scores over z is about 1, and of means given data, which sigma^2 scales, .2
    score = model.score_field(x, sigma=0.5) * WIDTH
    np.testing.assert_allclose(score, -z / 1.25, atol=0.3)
    mean = (model.denoise(x, 0.5) - CENTRE) / WIDTH
    np.testing.assert_allclose(mean, z / 1.25, atol=0.075)
    assert np.abs(mean - z).max() > 0.15  # what does nothing is noticed
    draws = (model.sample(2000, random_state=0) - CENTRE) / WIDTH
    np.testing.assert_allclose(draws.mean(axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(draws.std(axis=0), 1.0, atol=0.15)


@pytest.mark.parametrize("make", EVERY)
def test_the_density_is_that_of_the_flow(make):
    """Steps of equal length against steps chosen by their error; differences err by 1e-5."""
    model = make(hidden=(16,), n_iter=300, random_state=0).fit(NORMAL)
    x = NORMAL[:5]
    network, schedule = model._network(), model.schedule_
    theta = {
        name: part.astype(float) for name, part in network.unflatten(model.parameters_).items()
    }

    def predict(x, t):
        by = 1 / np.hypot(schedule.alpha(t), schedule.sigma(t))
        return network.apply(theta, by * x, t=schedule.log_snr(t))

    z, kind = (x - model.mean_) / model.scale_, model._made["kind"]
    wanted = log_likelihood(predict, schedule, z, kind=kind, rtol=1e-8, atol=1e-8)
    found = model.score_samples(x)
    np.testing.assert_allclose(found, wanted - np.log(model.scale_).sum(), atol=2e-4)
    assert model.score(x) == pytest.approx(found.mean())
    # two signs a direction: many are the trace, as products of different signs average out
    np.testing.assert_allclose(model.score_samples(x, probes=400), found, atol=0.1)


def test_the_density_of_normal_data_is_learned():
    model = DiffusionModel(hidden=(32,), n_iter=1500, random_state=0).fit(NORMAL)
    z = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, -1.5]])
    log_density = -0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi * WIDTH.prod())
    np.testing.assert_allclose(model.score_samples(CENTRE + z * WIDTH), log_density, atol=0.15)


@pytest.mark.parametrize(
    "model",
    [
        DiffusionModel(hidden=(64, 64), n_iter=8000, random_state=0),
        NoiseConditionalScore(hidden=(64, 64), n_iter=8000, random_state=0),
        FlowMatching(hidden=(64, 64), n_iter=8000, random_state=0),
    ],
    ids=["diffusion", "annealed Langevin", "flow matching"],
)
def test_all_modes_get_their_shares(model):
    """Shares err by learning, .02 to .04 each; the true ones differ by up to .19."""
    rng = np.random.default_rng(0)
    model.fit(eight_gaussians(rng, 5000))
    draws = model.sample(2000, random_state=0)
    distance = np.linalg.norm(draws[:, None] - CORNERS, axis=2)
    assert (distance.min(axis=1) < 0.5).mean() > 0.93  # a normal cloud of their variance has .18
    shares = np.bincount(distance.argmin(axis=1), minlength=8) / 2000
    assert np.abs(shares - SHARES).max() < 0.06
    assert chisquare(2000 * shares, np.full(8, 250.0)).pvalue < 1e-6
    fresh = [eight_gaussians(rng, 2000) for _ in range(2)]
    chance = pme.diagnostics.c2st(*fresh, random_state=0).value
    assert pme.diagnostics.c2st(draws, fresh[0], random_state=0).value < chance + 0.06


def test_draws_have_the_class_that_is_asked_for(labelled):
    for name, place, width in (("left", -4.0, 0.5), ("middle", 0.0, 1.0), ("right", 4.0, 0.5)):
        draws = labelled.sample(500, y=name, random_state=0)
        assert draws.mean() == pytest.approx(place, abs=0.3)
        assert draws.std() == pytest.approx(width, abs=0.2)
    mixed = labelled.sample(4, y=["left", "right", "left", "right"], random_state=0)
    np.testing.assert_array_equal(mixed[:, 0] > 0, [False, True, False, True])
    free = labelled.sample(900, random_state=0)  # of no class: all of them
    assert (np.histogram(free, bins=[-9, -2, 2, 9])[0] > 150).all()


def test_guidance_draws_what_is_typical(labelled):
    """Of the middle one, the parts that the others hardly reach."""
    guided = clone(labelled)
    guided.__dict__.update(labelled.__dict__, guidance=3.0)
    spread = [m.sample(500, y="middle", random_state=0).std() for m in (labelled, guided)]
    assert spread[1] < 0.8 * spread[0]


def test_densities_of_classes(labelled):
    x = np.array([[-4.0], [0.0], [4.0]])
    middle = labelled.score_samples(x, "middle")
    assert middle.argmax() == 1
    np.testing.assert_allclose(middle[1], -0.92, atol=0.2)  # of a standard normal
    mixed = labelled.score_samples(x, ["left", "middle", "right"])
    assert mixed[1] == middle[1]
    assert (mixed > labelled.score_samples(x) + 0.5).all()  # log 3 more than without a label


def test_codes_of_an_encoder_are_learned():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(2, 10))
    X = (rng.normal(size=(1000, 2)) @ plane).astype(np.float32)
    model = DiffusionModel(encoder=PCA(2), hidden=(32,), n_iter=800, random_state=0).fit(X)
    draws = model.sample(1000, random_state=0)
    assert draws.shape == (1000, 10)
    assert draws.dtype == np.float32
    away = draws - draws @ np.linalg.pinv(plane) @ plane
    assert np.abs(away).max() < 1e-4  # of what lies outside the plane, float32 rounds
    np.testing.assert_allclose(np.cov(draws.T), np.cov(X.T), atol=0.25 * np.cov(X.T).max())
    fitted = PCA(2).fit(X[:100])
    assert clone(model).set_params(n_iter=2).fit(X).encoder_ is not fitted
    same = DiffusionModel(encoder=fitted, **SMALL)
    same.encoder = fitted  # as it is, not a copy without what it knows
    assert same.fit(X).encoder_ is fitted
    assert not hasattr(model, "score_samples")
    with pytest.raises(AttributeError, match="denoise"):
        model.denoise(X, 0.5)


def test_digits_are_drawn_by_class():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    judge = SVC(C=10).fit(X[900:], y[900:])
    model = DiffusionModel(scaling="common", n_iter=1000, guidance=2.0, random_state=0)
    model.fit(X[:900], y[:900])
    wanted = np.repeat(np.arange(10), 20)
    right = judge.predict(model.sample(200, wanted, random_state=0)) == wanted
    assert right.mean() > 0.9  # and .99 after more steps; by chance .1


@pytest.mark.parametrize("make", EVERY)
def test_files_pickles_and_trees_hold_what_was_learned(make, tmp_path):
    y = np.where(NORMAL[:, 0] > 1, "a", "b")
    model = make(**SMALL).fit(NORMAL, y)
    model.save(tmp_path / "model.npz")
    draws = model.sample(5, "b", random_state=0)
    for other in (make.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.sample(5, "b", random_state=0), draws)
        np.testing.assert_array_equal(  # goes on as the one it was
            other.partial_fit(NORMAL, y).parameters_,
            pickle.loads(pickle.dumps(model)).partial_fit(NORMAL, y).parameters_,
        )
    np.testing.assert_array_equal(clone(model).fit(NORMAL, y).parameters_, model.parameters_)
    tree = model.to_datatree()
    assert tree["parameters"]["classes"].values.tolist() == ["a", "b"]
    assert tree["training"]["loss"].sizes == {"step": 20}
    with pytest.raises(AttributeError, match="need not be the gradient of any energy"):
        _ = model.energy_


def test_layers_that_add_to_the_one_before():
    """With no weights in between, what is added is nothing."""
    plain, residual = (
        DiffusionModel(hidden=(16, 16, 16), n_iter=20, residual=is_residual, random_state=0)
        for is_residual in (False, True)
    )
    assert plain.fit(NORMAL).parameters_.shape == residual.fit(NORMAL).parameters_.shape
    assert np.abs(plain.parameters_ - residual.parameters_).max() > 1e-3
    network = residual._network()
    theta = network.unflatten(residual.parameters_.copy())
    for layer in (1, 2):
        theta[f"weights_{layer}"][:] = theta[f"bias_{layer}"][:] = 0
    thin = DiffusionModel(hidden=(16,), n_iter=1, random_state=0).fit(NORMAL)._network()
    names = ["weights_0", "bias_0", "weights_3", "bias_3"]
    kept = dict(zip(thin.shapes, (theta[name] for name in names), strict=True))
    said = (net.apply(p, NORMAL[:9], t=1.0) for net, p in ((network, theta), (thin, kept)))
    np.testing.assert_allclose(*said, rtol=1e-5)


def test_learning_goes_on():
    model = DiffusionModel(hidden=(16,), n_iter=300, random_state=0).fit(NORMAL)
    loss, n_iter = model.history_["loss"], model.n_iter_
    for _ in range(3):
        model.partial_fit(NORMAL)
    assert model.n_iter_ == n_iter + 3 * 16
    np.testing.assert_array_equal(model.history_["loss"][:n_iter], loss)
    assert loss[-50:].mean() < 0.8 * loss[:10].mean()
    first = DiffusionModel(**SMALL).partial_fit(NORMAL[:10], np.zeros(10, int), classes=[0, 1])
    first.partial_fit(NORMAL[:4], [1, 1, 0, 1])
    assert first.sample(3, 1).shape == (3, 2)
    with pytest.raises(ValueError, match=r"y has labels \[2\], known are \[0, 1\]"):
        first.partial_fit(NORMAL[:2], [1, 2])


@pytest.mark.parametrize("make", EVERY)
def test_data_that_are_hard(make):
    one = make(**SMALL).fit(NORMAL[:, :1])
    assert one.sample(3, random_state=0).shape == (3, 1)
    few = make(**SMALL).fit(NORMAL[:3].astype(np.float32))  # fewer rows than a batch
    assert few.sample(3).dtype == np.float32
    assert np.isfinite(few.score_samples(NORMAL[:3])).all()
    constant = NORMAL * [1.0, 0.0] + [0.0, 7.0]
    draws = (
        make(hidden=(32,), n_iter=1500, random_state=0).fit(constant).sample(200, random_state=0)
    )
    assert np.abs(draws[:, 1] - 7).max() < 0.3  # of scale 1, a draw without that column is 7 +- 1
    assert np.isfinite(make(**SMALL).fit(np.full((5, 2), 3.0)).sample(2)).all()


@pytest.mark.parametrize("make", EVERY)
def test_divergence_is_an_error_that_keeps_what_was_good(make):
    model = make(learning_rate=1e12, hidden=(8,), n_iter=300, random_state=0)
    with pytest.raises(FloatingPointError, match="the loss was not finite at step"):
        model.fit(NORMAL)
    assert np.isfinite(model.sample(3)).all()
    assert model.n_iter_ < 300
    assert np.isfinite(model.parameters_).all()


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: DiffusionModel(noise="pink").fit(NORMAL), "'noise' parameter"),
        (lambda: DiffusionModel(parametrization="x").fit(NORMAL), "'parametrization' parameter"),
        (lambda: DiffusionModel(encoder=3).fit(NORMAL), "'encoder' parameter"),
        (lambda: DiffusionModel(hidden=(8, 0)).fit(NORMAL), "width in hidden"),
        (lambda: DiffusionModel(time_features=3).fit(NORMAL), "time_features must be even"),
        (lambda: DiffusionModel().fit(np.array([[0.0, np.nan], [1.0, 2.0]])), "NaN"),
        (lambda: DiffusionModel(**SMALL).fit(NORMAL, NORMAL[:, 0]), "continuous"),
        (lambda: DiffusionModel(**SMALL).fit(NORMAL, [0, 1]), "one label for each of 4000 rows"),
        (lambda: DiffusionModel(**SMALL).fit(NORMAL).sample(2, 1), "no labels to learn from"),
        (lambda: DiffusionModel(**SMALL).fit(NORMAL).sample(0), "n_samples"),
        (lambda: DiffusionModel(**SMALL).fit(NORMAL).denoise(NORMAL, 1e-9), "sigma must be one"),
        (lambda: DiffusionModel(**SMALL).fit(NORMAL).score_field(NORMAL, 2.0), "t must be one"),
        (lambda: DiffusionModel(**SMALL).fit(NORMAL).score_field(NORMAL, 0.5, sigma=1.0), "both"),
        (lambda: NoiseConditionalScore(sigmas=(1.0, 0.1)).fit(NORMAL), "sigmas must be 'auto'"),
        (lambda: NoiseConditionalScore(sigmas=(0.0, 0.1)).fit(NORMAL), "sigmas must be 'auto'"),
        (lambda: DiffusionModel(**SMALL).partial_fit(NORMAL, None, [0]), "no labels: pass y"),
    ],
)
def test_bad_input_is_named(do, message):
    with pytest.raises(ValueError, match=message):
        do()
    with pytest.raises(NotFittedError):
        DiffusionModel().sample(3)

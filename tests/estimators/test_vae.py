"""Variational autoencoders against automatic derivatives, closed forms and quadrature."""

import pickle
import warnings

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

import pm_energy as pme
from pm_energy.compile import ONCE
from pm_energy.estimators import VariationalAutoencoder
from pm_energy.training.vae_chain import LatentChain
from pm_energy.training.vae_energy import DecoderEnergy

RNG = np.random.default_rng(0)
PLANE = RNG.normal(size=(300, 2)) @ RNG.normal(size=(2, 5)) + 0.3 * RNG.normal(size=(300, 5)) + 2.0
BITS = np.repeat([[1.0, 1, 0, 0, 1], [0, 0, 1, 1, 1]], 50, axis=0)


def small(n_components=2, **settings):
    settings = {"hidden": (6,), "n_iter": 3, "random_state": 0, "batch_size": 50} | settings
    return VariationalAutoencoder(n_components, **settings)


def loss_graph(chain, flat, x, noise, beta):
    """Minus the bound as a formula, for automatic derivatives."""
    encoders, decoders, log_noise = chain.split(flat)
    layers, moments = [x], []
    for level, size in enumerate(chain.latents):
        out = chain.encoders[level].graph(encoders[level], layers[-1])
        mean, log_variance = out[:, :size], out[:, size:]
        moments.append((mean, log_variance))
        layers.append(mean + pt.exp(log_variance / 2) * noise[level])
    out = chain.decoders[0].graph(decoders[0], layers[1])
    if chain.likelihood == "bernoulli":
        reconstruction = (x * pt.log(pt.sigmoid(out)) + (1 - x) * pt.log1p(-pt.sigmoid(out))).sum(1)
    else:
        squares = (x - out) ** 2 / pt.exp(log_noise)
        reconstruction = -0.5 * (squares + np.log(2 * np.pi) + log_noise).sum(axis=1)
    mean, log_variance = moments[-1]
    kl = 0.5 * (mean**2 + pt.exp(log_variance) - 1 - log_variance).sum(axis=1)
    for level in range(1, len(chain.latents)):
        out = chain.decoders[level].graph(decoders[level], layers[level + 1])
        size = chain.latents[level - 1]
        squares = (layers[level] - out[:, :size]) ** 2 / pt.exp(out[:, size:])
        kl += 0.5 * (squares + out[:, size:] - 1 - moments[level - 1][1]).sum(axis=1)
    return reconstruction.mean(), kl.mean(), (beta * kl - reconstruction).mean()


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize(
    ("latents", "hidden", "activation"),
    [
        ((2,), (), "silu"),
        ((3,), (5, 4), "tanh"),
        ((4, 2, 3), (5,), "silu"),
        ((1, 1), (3, 2), "softplus"),
        ((2,), (4,), "relu"),
    ],
)
def test_the_gradient_is_that_of_the_formula(likelihood, latents, hidden, activation):
    chain = LatentChain(4, latents, hidden, activation, likelihood)
    rng = np.random.default_rng(1)
    theta = chain.init(rng, "float64")
    theta += 0.3 * rng.normal(size=theta.shape)
    x = rng.uniform(size=(7, 4))
    noise = [rng.normal(size=(7, k)) for k in latents]
    flat = pt.dvector()
    *terms, loss = loss_graph(chain, flat, pt.constant(x), list(map(pt.constant, noise)), 1.7)
    function = pytensor.function([flat], [*terms, pt.grad(loss, flat)], mode=ONCE)
    reconstruction, kl, expected = function(theta)
    found, gradient = chain.gradient(theta, x, noise, beta=1.7)
    np.testing.assert_allclose(found.reconstruction.mean(), reconstruction, rtol=1e-10)
    np.testing.assert_allclose(found.kl.mean(), kl, rtol=1e-10)
    np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-10)
    again = chain.terms(theta, x, noise)
    np.testing.assert_array_equal(again.kl, found.kl)


def test_the_bound_is_the_mean_log_weight_over_the_encoder():
    """Gauss-Hermite quadrature is exact for the quadratic forms of a linear chain."""
    chain = LatentChain(3, (1,), ())
    rng = np.random.default_rng(2)
    theta = chain.init(rng, "float64") + 0.3 * rng.normal(size=2 * 3 + 2 + 3 + 3 + 1)
    x = rng.normal(size=(6, 3))
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()
    noise = [[np.full((6, 1), node)] for node in nodes]
    terms = [chain.terms(theta, x, eps) for eps in noise]
    bound = sum(w * (t.reconstruction - t.kl) for w, t in zip(weights, terms, strict=True))
    logs = [chain.log_weights(theta, x, eps) for eps in noise]
    np.testing.assert_allclose(sum(w * v for w, v in zip(weights, logs, strict=True)), bound)


def ppca_optimum(X, k):
    """Largest mean log-likelihood of k components and its noise variance (Tipping & Bishop)."""
    d = X.shape[1]
    values = np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1]
    noise = values[k:].mean()
    logs = d * np.log(2 * np.pi) + np.log(values[:k]).sum() + (d - k) * np.log(noise) + d
    return -0.5 * logs, noise


@pytest.mark.parametrize(("n_iter", "is_enough"), [(80, True), (5, False)])
def test_a_linear_autoencoder_reaches_the_optimum_of_ppca_on_digits(n_iter, is_enough):
    X = load_digits().data
    best, noise = ppca_optimum(X, 8)
    vae = VariationalAutoencoder(
        8, hidden=(), learning_rate=0.01, n_iter=n_iter, random_state=0
    ).fit(X)
    bound = vae.score(X)
    # no likelihood is above; the mean over 32 Sobol points is within .1 of the bound
    assert bound < best + 0.1
    assert (bound > best - 0.01 * abs(best)) == is_enough
    assert (abs(vae.noise_variance_ / noise - 1) < 0.05) == is_enough


@pytest.fixture(scope="module")
def linear():
    return small(2, hidden=(), n_iter=60, learning_rate=0.02).fit(PLANE)


def linear_parts(vae):
    """Matrix and mean of the data given latents, in units of the data."""
    theta = vae._chain.split(vae.parameters_)[1][0]
    return vae.scale_ * theta["weights_0"], vae.mean_ + vae.scale_ * theta["bias_0"]


def test_importance_sampling_finds_the_likelihood_and_the_bound_is_below(linear):
    W, mean = linear_parts(linear)
    covariance = W.T @ W + linear.noise_variance_ * np.eye(5)
    exact = multivariate_normal(mean, covariance).logpdf(PLANE[:40])
    found, error = linear.score_samples(
        PLANE[:40], estimate="importance", n_draws=2000, return_error=True
    )
    assert np.abs((found - exact) / error).max() < 5.5  # 40 of them: 2e-6
    assert error.mean() < 0.05
    bound = linear.score_samples(PLANE[:40])
    assert (bound < exact + 0.01).all()  # and not far: the encoder can be exact here
    assert np.mean(exact - bound) < 0.3


def test_the_posterior_energy_is_the_posterior(linear):
    """Of a linear decoder it is normal; the energy is exactly its quadratic form."""
    W, mean = linear_parts(linear)
    x, s2 = PLANE[0], linear.noise_variance_
    precision = np.eye(2) + W @ W.T / s2
    centre = np.linalg.solve(precision, W @ (x - mean) / s2)
    evidence = multivariate_normal(mean, W.T @ W + s2 * np.eye(5)).logpdf(x)
    z = np.random.default_rng(3).normal(size=(6, 2))
    quadratic = 0.5 * np.einsum("ni,ij,nj->n", z - centre, precision, z - centre)
    log_peak = 0.5 * np.linalg.slogdet(precision)[1] - np.log(2 * np.pi)
    energy = linear.posterior_energy(x)
    np.testing.assert_allclose(pme.energy_values(energy, z), quadratic - log_peak - evidence)
    np.testing.assert_allclose(linear.transform(x[None])[0], centre, atol=0.2)
    joint = np.concatenate([z, np.tile(x, (6, 1))], axis=1)
    np.testing.assert_allclose(
        pme.energy_values(linear.energy_, joint), pme.energy_values(energy, z)
    )


@pytest.mark.parametrize(("likelihood", "X"), [("gaussian", PLANE), ("bernoulli", BITS)])
def test_likelihoods_of_one_latent_are_integrals(likelihood, X):
    vae = small(1, likelihood=likelihood, n_iter=20).fit(X)
    rows = X[[0, -1]]
    grid = np.linspace(-9, 9, 4001)
    energies = [pme.energy_values(vae.posterior_energy(row), grid[:, None]) for row in rows]
    exact = logsumexp(-np.array(energies), axis=1) + np.log(grid[1] - grid[0])
    found, error = vae.score_samples(rows, estimate="importance", return_error=True)
    assert np.abs((found - exact) / error).max() < 6
    assert (vae.score_samples(rows) < exact + 0.02).all()
    if likelihood == "bernoulli":
        joint = pme.energy_values(vae.energy_, grid[:5, None], np.tile(rows[0], (5, 1)))
        np.testing.assert_allclose(joint, energies[0][:5])
    else:
        assert vae.energy_.log_partition().eval() == 0.0


@pytest.mark.parametrize(("likelihood", "X"), [("gaussian", PLANE), ("bernoulli", BITS)])
def test_the_decoder_is_one_formula_in_numpy_and_in_pytensor(likelihood, X):
    vae = small(2, likelihood=likelihood).fit(X)
    Z = np.random.default_rng(5).normal(size=(3, 2))
    z = pt.dmatrix()
    decode = pytensor.function([z], vae.decoder_graph(z), mode=ONCE)
    np.testing.assert_allclose(decode(Z), vae.inverse_transform(Z))


def test_a_chain_generates_what_its_energy_says():
    """log p(u, x) of the energy against draws of the chain's own weights."""
    vae = small((3, 2), n_iter=5).fit(PLANE)
    chain, flat = vae._chain, vae.parameters_
    rng = np.random.default_rng(4)
    u = rng.normal(size=(6, 5))
    z = pt.dmatrix()
    decoded = pytensor.function([z], vae.decoder_graph(z), mode=ONCE)(u)
    np.testing.assert_allclose(decoded, vae._in_units(chain.decode(flat, u)))
    energy = vae.energy_
    x = rng.normal(size=(6, 5)) + PLANE[:6]
    s2 = vae.noise_variance_
    normal = 0.5 * (((x - decoded) ** 2).sum(axis=1) / s2 + 5 * np.log(2 * np.pi * s2))
    expected = normal + 0.5 * (u**2).sum(axis=1) + 2.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(pme.energy_values(energy, np.concatenate([u, x], axis=1)), expected)
    # the same joint density by importance weights: p(x) as a mean over either set of coordinates
    small_row = PLANE[:1]
    found, error = vae.score_samples(
        small_row, estimate="importance", n_draws=4000, return_error=True
    )
    prior = chain.decode(flat, rng.normal(size=(100_000, 5)))
    logs = chain.log_likelihood(
        np.broadcast_to(vae._inner(small_row), prior.shape), prior, flat[-1]
    )
    logs = logs + vae._log_volume()
    plain = logsumexp(logs) - np.log(len(logs))
    spread = np.exp(logs - plain).std() / np.sqrt(len(logs))
    assert abs(found[0] - plain) < 5 * np.hypot(error[0], spread)
    assert np.hypot(error[0], spread) < 0.2
    assert vae.score_samples(small_row)[0] < found[0] + 3 * error[0]


def test_kl_falls_as_beta_rises():
    kl = [small(beta=beta, n_iter=30).fit(PLANE).history_["kl"][-1] for beta in (0.3, 1, 4)]
    assert (np.diff(kl) < -0.2).all()
    assert kl[-1] < 0.1  # a code is not worth its price


def test_bits_are_learned_from_their_patterns():
    vae = small(1, likelihood="bernoulli", hidden=(16,), n_iter=80, learning_rate=0.02).fit(BITS)
    assert vae.score(BITS) > -1.5  # log 2 is the best; independent bits have 4 log 2 = 2.8
    assert np.abs(vae.reconstruct(BITS) - BITS).max() < 0.2
    draws = vae.sample(400, random_state=1)
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert np.mean(draws[:, 0] == draws[:, 1]) > 0.8
    with pytest.raises(AttributeError, match="bits have no noise variance"):
        _ = vae.noise_variance_


def test_draws_have_the_moments_of_the_model(linear):
    W, mean = linear_parts(linear)
    covariance = W.T @ W + linear.noise_variance_ * np.eye(5)
    draws = linear.sample(20_000, random_state=2)
    z = (draws.mean(axis=0) - mean) / np.sqrt(np.diag(covariance) / len(draws))
    assert np.abs(z).max() < 5.2  # 1e-6
    # the relative error of a covariance is at most sqrt(2 / n) = .01 of the variances
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(draws.T) - covariance) / scale).max() < 0.055


def test_units_of_the_data_do_not_matter():
    """Codes are the same; the density is that of the stretched space."""
    first, second = small().fit(PLANE), small().fit(1000 * PLANE + 5)
    np.testing.assert_allclose(
        first.transform(PLANE), second.transform(1000 * PLANE + 5), atol=1e-6
    )
    np.testing.assert_allclose(first.score(PLANE), second.score(1000 * PLANE + 5) + 5 * np.log(1e3))
    np.testing.assert_allclose(
        first.history_["bound"], second.history_["bound"] + 5 * np.log(1e3), rtol=1e-6
    )


def test_the_noise_variance_can_be_known():
    assert small(noise_variance=0.09).fit(PLANE).noise_variance_ == pytest.approx(0.09)


def test_history_adds_up_and_the_bound_rises():
    history = small(n_iter=20).fit(PLANE).history_
    np.testing.assert_allclose(history["bound"], history["reconstruction"] - history["kl"])
    assert history["bound"].shape == (20,)
    assert history["bound"][-1] > history["bound"][0] + 1


@pytest.mark.parametrize("n_components", [2, (3, 2)])
def test_a_file_and_a_pickle_bring_the_same_back(n_components, tmp_path):
    vae = small(n_components).fit(PLANE)
    vae.save(tmp_path / "vae.npz")
    tree = vae.to_datatree()
    assert tree["training"]["bound"].shape == (3,)
    for again in (
        VariationalAutoencoder.load(tmp_path / "vae.npz"),
        pickle.loads(pickle.dumps(vae)),
    ):
        np.testing.assert_array_equal(again.transform(PLANE), vae.transform(PLANE))
        np.testing.assert_array_equal(again.score_samples(PLANE), vae.score_samples(PLANE))
        again.partial_fit(PLANE)
    vae.partial_fit(PLANE)
    np.testing.assert_array_equal(again.parameters_, vae.parameters_)


def test_partial_fit_goes_on_with_its_optimiser():
    whole = small(schedule="constant", n_iter=3).fit(PLANE)
    parts = small()
    for _ in range(3):
        parts.partial_fit(PLANE)
    assert parts.n_iter_ == 1
    parts_loss, whole_loss = parts.history_["bound"][-1], whole.history_["bound"][-1]
    assert parts_loss == pytest.approx(whole_loss, abs=0.5)
    more = small(warm_start=True, n_iter=20).fit(PLANE)
    before = more.history_["bound"][-1]
    assert more.fit(PLANE).history_["bound"][-1] > before
    with pytest.raises(ValueError, match="layers have changed since the last fit"):
        more.set_params(n_components=3).fit(PLANE)


def test_dtypes_are_kept_and_single_precision_agrees():
    single = small(n_iter=2).fit(PLANE.astype("float32"))
    assert single.parameters_.dtype == np.float32
    assert single.transform(PLANE.astype("float32")).dtype == np.float32
    assert single.inverse_transform(np.zeros((3, 2))).dtype == np.float32
    assert single.sample(3).dtype == np.float32
    assert single.score_samples(PLANE).dtype == np.float64
    assert list(single.get_feature_names_out()) == [
        "variationalautoencoder0",
        "variationalautoencoder1",
    ]


@pytest.mark.parametrize(
    "X", [np.ones((20, 3)), PLANE[:, :1], PLANE[:2]], ids=["constant", "one column", "two rows"]
)
def test_poor_data_give_finite_answers(X):
    vae = small(n_iter=2).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    assert vae.reconstruct(X).shape == X.shape


def test_divergence_is_told_and_the_last_good_parameters_stay():
    vae = small(learning_rate=1e3, schedule="constant")
    with pytest.raises(FloatingPointError, match=r"diverged: .* in epoch \d.*Lower learning_rate"):
        vae.fit(PLANE)
    assert np.isfinite(vae.parameters_).all()
    assert np.isfinite(vae.transform(PLANE)).all()


@pytest.mark.parametrize(
    ("settings", "X", "message"),
    [
        ({"n_components": 0}, PLANE, "n_components"),
        ({"n_components": ()}, PLANE, "n_components must name at least 1 layer"),
        ({"n_components": (2, 0)}, PLANE, "each number in n_components must be a positive"),
        ({"hidden": (3, -1)}, PLANE, "each number in hidden must be a positive"),
        ({"activation": "cubic"}, PLANE, "activation"),
        ({"likelihood": "poisson"}, PLANE, "likelihood"),
        ({"likelihood": "bernoulli"}, PLANE, r"X must lie between 0 and 1 .*MinMaxScaler"),
        ({"beta": -1.0}, PLANE, "beta"),
        ({"noise_variance": 0.0}, PLANE, "noise_variance"),
        ({"learning_rate": 0.0}, PLANE, "learning_rate"),
        ({}, np.where(PLANE > 3, np.nan, PLANE), "NaN"),
    ],
)
def test_bad_settings_and_data_are_named(settings, X, message):
    with pytest.raises(ValueError, match=message):
        small(**settings).fit(X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: v.transform(PLANE[:, :2]), "2 features, but .* expecting 5"),
        (lambda v: v.inverse_transform(np.zeros((1, 3))), "Z must have 2 columns"),
        (lambda v: v.sample(0), "n_samples must be a positive integer"),
        (lambda v: v.score_samples(PLANE, estimate="exact"), "estimate must be 'bound' or"),
        (lambda v: v.score_samples(PLANE, return_error=True), "return_error is for"),
        (lambda v: v.score_samples(PLANE, n_draws=0), "n_draws must be a positive integer"),
        (
            lambda v: v.score_samples(PLANE, estimate="importance", n_draws=1),
            "n_draws must be at least 2",
        ),
        (lambda v: v.posterior_energy(PLANE), r"x must be one row of shape \(5,\)"),
        (lambda v: v.posterior_energy(PLANE[0]).log_partition(), "log-likelihood of its data"),
    ],
)
def test_bad_questions_are_named(call, message, linear):
    with pytest.raises(ValueError, match=message):
        call(linear)


def test_questions_before_learning_are_refused():
    with pytest.raises(NotFittedError):
        small().sample()


def test_the_conventions_of_scikit_learn_are_kept():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(small(n_iter=2), on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert len(results) > 40


def test_the_energy_is_a_distribution_for_pymc(linear):
    import pymc as pm

    with pm.Model() as model:
        pme.Boltzmann("z", linear.posterior_energy(PLANE[0]))
    z = np.array([0.3, -0.2])
    found = model.compile_logp(mode=ONCE)({"z": z})
    np.testing.assert_allclose(
        found, -pme.energy_values(linear.posterior_energy(PLANE[0]), z[None])[0]
    )
    assert isinstance(linear.energy_, DecoderEnergy)


@pytest.mark.parametrize("n_draws", [1, 5, 100])
def test_any_number_of_draws_gives_the_bound_of_each_row(n_draws, linear):
    """The same for a row alone as among others; with more draws, nearer to the limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = linear.score_samples(PLANE[:10], n_draws=n_draws)
    np.testing.assert_allclose(linear.score_samples(PLANE[3:4], n_draws=n_draws)[0], found[3])
    if n_draws == 100:
        np.testing.assert_allclose(found, linear.score_samples(PLANE[:10], n_draws=4096), atol=0.2)

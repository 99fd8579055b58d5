"""Variances of steps back from what a prediction leaves open: the best that there are.

Of mixtures the variance of the data given noisy points is known, so what it brings is seen apart
from any network.
"""

import numpy as np
import pytest
from diffusion_cases import PLANE, SCHEDULES, THREE, chance, distance, normal_score, oracle
from scipy.integrate import quad
from scipy.stats import norm

import pm_energy as pme
from pm_energy.diffusion import DiffusedMixture, ddpm, posterior, variational_bound
from pm_energy.diffusion.ancestral import step_variance

every = pytest.mark.parametrize("name", SCHEDULES)
TIMES = np.linspace(0.1, 0.9, 6)


@every
def test_the_variance_of_the_data_is_the_slope_of_their_mean(name):
    """It is sigma^2 / alpha d E[x_0 | x_t] / d x_t; its trace follows from the divergence, too."""
    mixture, x, step = oracle(name), np.random.default_rng(0).normal(0, 2, (6, 2)), 1e-5
    for t in (0.07, 0.5, 0.9):
        alpha, sigma = float(mixture.schedule.alpha(t)), float(mixture.schedule.sigma(t))
        found = mixture.data_variance(x, t)
        trace = (sigma / alpha) ** 2 * (2 + sigma**2 * mixture.divergence(x, t))
        assert np.allclose(found.sum(axis=1), trace, rtol=1e-9, atol=1e-9 * (sigma / alpha) ** 2)
        for j in range(2):
            away = step * sigma * np.eye(2)[j]
            rise = mixture.data(x + away, t)[:, j] - mixture.data(x - away, t)[:, j]
            slope = rise / (2 * step * sigma)
            assert np.allclose(found[:, j], sigma**2 / alpha * slope, rtol=1e-4, atol=1e-6)
    each = np.concatenate([mixture.data_variance(x[i : i + 1], t) for i, t in enumerate(TIMES)])
    assert np.allclose(mixture.data_variance(x, TIMES), each, rtol=1e-12)


def test_the_variance_of_the_data_by_quadrature():
    mixture, t = oracle("straight", THREE), 0.4
    for x in (-2.0, 0.1, 2.5):

        def moment(power, x=x):
            def integrand(x0):
                data = np.exp(mixture.log_density(np.array([[x0]]))[0])
                return x0**power * data * norm.pdf(x, 0.6 * x0, 0.4)

            return quad(integrand, -9, 9, limit=400)[0]

        wanted = moment(2) / moment(0) - (moment(1) / moment(0)) ** 2
        found = mixture.data_variance(np.array([[x]]), t)[0, 0]
        assert found == pytest.approx(wanted, rel=1e-6)


def test_between_modes_the_best_variance_is_above_the_larger_one():
    """And in a narrow mode next to the smaller one: no v in [0, 1] says both."""
    pair = pme.GaussianMixtureEnergy([0.5, 0.5], [[-3.0], [3.0]], 1e-4)
    mixture, s, t = DiffusedMixture(pair, SCHEDULES["vp"]), 0.2, 0.3
    step = posterior(mixture.schedule, s, t)
    _, _, small, large = step
    at = np.array([[0.0], [3.0]]) * float(mixture.schedule.alpha(t))
    between, inside = step_variance(None, mixture.data_variance)(at, t, *step)[:, 0]
    assert between > 2 * large
    assert small < inside < 1.01 * small


class PlusAndMinus:
    """Two draws, one the negative of the other: exact for what is quadratic in the noise."""

    def standard_normal(self, shape):
        noise = np.ones(shape)
        noise[1::2] = -1.0
        return noise


@every
@pytest.mark.parametrize("n_steps", [2, 5, 30])
def test_of_normal_data_nothing_is_lost_but_by_the_prior(name, n_steps):
    """All steps back are the true ones: minus the entropy, less the prior's divergence."""
    schedule, mean, variance = SCHEDULES[name], 0.3, 0.6
    x = mean + np.sqrt(variance) * np.array([[-1.0], [1.0]])  # has the moments of the data
    energy = pme.GaussianMixtureEnergy([1.0], [[mean]], variance)
    bound = variational_bound(
        normal_score(schedule, mean, variance), schedule, x, n_steps=n_steps, rng=PlusAndMinus(),
        n_draws=2, residual=DiffusedMixture(energy, schedule).data_variance,
    )  # fmt: skip
    alpha, prior = float(schedule.alpha(schedule.t_max)), schedule.prior_variance
    ratio = 1 + alpha**2 * variance / prior
    lost = 0.5 * (ratio - 1 - np.log(ratio) + (alpha * mean) ** 2 / prior)
    entropy = 0.5 * np.log(2 * np.pi * np.e * variance)
    assert bound.total.mean() == pytest.approx(-entropy - lost, abs=1e-9)


@pytest.mark.parametrize("name", ["cosine", "vp", "ve", "straight"])
def test_no_other_variance_gives_a_larger_bound(name):
    """Ten steps. Noise is the same for all, so what differs is tens of standard errors."""
    mixture, x = oracle(name, THREE), THREE.draw(np.random.default_rng(0), 1000)

    def bound(**variance):
        return variational_bound(
            mixture.score, mixture.schedule, x, n_steps=10, rng=np.random.default_rng(1),
            n_draws=4, **variance,
        ).total  # fmt: skip

    best = bound(residual=mixture.data_variance)
    others = {f"v = {v}": bound(v=v) for v in np.linspace(0, 1, 6)}
    for factor in (0.7, 1.4):
        others[f"times {factor}"] = bound(
            residual=lambda x, t, factor=factor: factor * mixture.data_variance(x, t)
        )
    for other, values in others.items():
        gain = best - values
        assert gain.mean() > 5 * gain.std() / np.sqrt(len(x)), other  # by chance 3e-7
    assert best.mean() < mixture.log_density(x).mean()


@pytest.mark.parametrize(
    ("name", "n_steps"), [("cosine", 10), ("vp", 10), ("ve", 5), ("straight", 5)]
)
def test_few_steps_come_nearer(name, n_steps):
    """Distances of distribution functions, apart by more than chance in both."""
    mixture, n, found = oracle(name, THREE), 20_000, []
    start = mixture.schedule.prior(np.random.default_rng(0), n, 1)
    options = [{"v": v} for v in (0.0, 0.5, 1.0)] + [{"residual": mixture.data_variance}]
    for option in options:
        draws = ddpm(
            mixture.score, mixture.schedule, start, n_steps=n_steps, spacing="log_snr",
            rng=np.random.default_rng(1), **option,
        )  # fmt: skip
        found.append(distance(draws))
    *others, best = found
    assert best + chance(n) < min(others) - chance(n)


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (0.1, "residual must be a function of x and t"),
        (lambda x, t: -np.ones(x.shape), "they are from -1 to -1"),
        (lambda x, t: np.full(x.shape, np.nan), "residual must return positive finite numbers"),
    ],
)
def test_a_residual_that_is_none_is_named(residual, message):
    mixture, x = oracle("vp", PLANE), np.zeros((3, 2))
    options = {"n_steps": 3, "rng": np.random.default_rng(0), "residual": residual}
    for use in (ddpm, variational_bound):
        with pytest.raises(ValueError, match=message):
            use(mixture.score, mixture.schedule, x, **options)

"""With the score known, every sampler draws the mixture; guidance and the variational bound."""

import itertools

import numpy as np
import pytest
from diffusion_cases import SCHEDULES, THREE, chance, distance, normal_score, oracle, orders

import pm_energy as pme
from pm_energy.diffusion import (
    DiffusedMixture,
    VarianceExploding,
    VariancePreserving,
    annealed_langevin,
    ddim,
    ddpm,
    guide,
    langevin,
    posterior,
    reverse_variance,
    sample,
    time_grid,
    variational_bound,
)
from pm_energy.diffusion.sample import METHODS

N = 3_000
# what steps err: at most this over 30,000 draws, where .005 is usual by chance
SETTINGS = {
    "ddpm": ({"n_steps": 80}, 0.015),
    "ddim": ({"n_steps": 80}, 0.012),
    "ode": ({"n_steps": 40}, 0.010),
    "dpm++": ({"n_steps": 40}, 0.010),
    "sde": ({"n_steps": 80}, 0.010),
    "pc": ({"n_steps": 80}, 0.015),
    "langevin": ({"n_steps": 15, "steps_per_level": 60}, 0.035),
}
PAIRS = [(method, "vp") for method in METHODS] + [
    ("ddpm", "ve"), ("ddim", "straight"), ("ode", "sub-vp"), ("dpm++", "cosine"),
    ("sde", "ve"), ("pc", "straight"), ("ddpm", "stepwise"),
]  # fmt: skip


def right(score):
    return score


def half(score):
    return lambda x, t: 0.5 * score(x, t)


@pytest.mark.parametrize(("method", "name"), PAIRS)
@pytest.mark.parametrize(("twin", "is_right"), [(right, True), (half, False)])
def test_every_sampler_draws_the_mixture(method, name, twin, is_right):
    """The distance of distribution functions, false alarm 1e-6; it bounds mode weights as well."""
    mixture, (options, bias) = oracle(name, THREE), SETTINGS[method]
    rng = np.random.default_rng(5)
    x = sample(twin(mixture.score), mixture.schedule, N, 1, rng=rng, method=method, **options)
    assert (distance(x) < chance(N) + bias) == is_right


def test_langevin_finds_the_weights_of_modes_only_when_annealed():
    """Modes at -4 and 4 of weights .2 and .8, all chains started at -12."""
    pair = pme.GaussianMixtureEnergy([0.2, 0.8], [[-4.0], [4.0]], 0.25)
    schedule, n = VarianceExploding(0.05, 20.0), 2_000
    score, start = DiffusedMixture(pair, schedule).score, np.full((n, 1), -12.0)
    rng = np.random.default_rng(6)
    plain = langevin(score, start, step=0.05, n_steps=600, rng=rng)
    levels = {"n_steps": 15, "steps_per_level": 40}  # as many steps in all
    annealed = annealed_langevin(score, schedule, start, rng=rng, **levels)
    error = 5 * np.sqrt(0.2 * 0.8 / n)  # false alarm 6e-7
    assert (plain > 0).mean() < 0.01
    assert abs((annealed > 0).mean() - 0.8) < error + 0.02  # .02 as above


@pytest.mark.parametrize("method", METHODS)
def test_draws_follow_from_the_generator(method):
    mixture = oracle("vp")
    few = {"steps_per_level": 3} if method == "langevin" else {}

    def draw(seed, **options):
        rng, schedule = np.random.default_rng(seed), mixture.schedule
        options |= few
        return sample(mixture.score, schedule, 4, 2, rng=rng, method=method, n_steps=5, **options)

    assert np.array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))
    states = draw(0, path=True)
    assert states.shape == (6, 4, 2)
    assert np.array_equal(states[-1], draw(0))
    same = draw(0, progressbar=True)
    assert np.array_equal(same, draw(0))


@pytest.mark.parametrize("kind", ["noise", "data", "velocity", "v"])
@pytest.mark.parametrize("method", METHODS)
def test_all_predictions_give_the_same_draws(method, kind):
    mixture = oracle("cosine")
    runs = [
        sample(
            mixture.predict(name), mixture.schedule, 4, 2, rng=np.random.default_rng(0),
            method=method, n_steps=4, kind=name, spacing="log_snr",
        )
        for name in ("score", kind)
    ]  # fmt: skip
    assert np.allclose(*runs, rtol=1e-6, atol=1e-6)  # divided by alpha = .0016 at first


def test_one_step_is_the_mean_of_the_data_given_noise():
    mixture = oracle("vp")
    start = mixture.schedule.prior(np.random.default_rng(0), 4, 2)
    for method in METHODS.keys() - {"langevin"}:
        rng = np.random.default_rng(0)
        x = sample(mixture.score, mixture.schedule, 4, 2, rng=rng, method=method, n_steps=1)
        assert x == pytest.approx(mixture.data(start, 1.0), rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "euler"}, "method must be one of"),
        ({"n_steps": 0}, "n_steps must be a positive integer"),
        ({"n_steps": 2.5}, "n_steps must be a positive integer"),
        ({"n": -1}, "n must be a positive integer"),
        ({"kind": "epsilon"}, "a prediction must be one of"),
        ({"v": 1.5}, "v must be a number in"),
        ({"v": np.nan}, "v must be a number in"),
        ({"v": lambda x, t: 2.0}, r"v must be in \[0, 1\]"),
        ({"method": "ddim", "eta": -0.1}, "eta must be a number in"),
        ({"method": "pc", "corrections": 0}, "corrections must be a positive integer"),
        ({"method": "pc", "snr": 0.0}, "snr must be a number in"),
        ({"method": "langevin", "step": 3.0}, "step must be a number in"),
        ({"method": "langevin", "steps_per_level": 0}, "steps_per_level must be a positive"),
    ],
)
def test_bad_arguments_are_named(options, message):
    mixture = oracle("vp")
    arguments = {"n": 3, "d": 2, "n_steps": 4} | options
    with pytest.raises(ValueError, match=message):
        sample(mixture.score, mixture.schedule, rng=np.random.default_rng(0), **arguments)


def test_bad_starts_are_named():
    schedule, rng = SCHEDULES["vp"], np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"x must have shape \(N, d\)"):
        ddpm(lambda x, t: -x, schedule, np.zeros(3), n_steps=2, rng=rng)
    with pytest.raises(ValueError, match="x must be finite"):
        ddpm(lambda x, t: -x, schedule, np.full((1, 1), np.nan), n_steps=2, rng=rng)
    with pytest.raises(ValueError, match="eta > 0 adds noise: pass rng"):
        ddim(lambda x, t: -x, schedule, np.zeros((1, 1)), n_steps=2, eta=1.0)
    with pytest.raises(ValueError, match=r"Langevin chains diverged in step \d+; try a step of"):
        langevin(lambda x: -(x**3), np.full((1, 1), 9.0), step=1.0, n_steps=50, rng=rng)
    with pytest.raises(ValueError, match="step must be a number in"):
        langevin(lambda x: -x, np.zeros((1, 1)), step=0.0, n_steps=5, rng=rng)


CLASSES = np.array([-2.0, 2.0])


def of_class(x, t, label):
    """Score of normal data about the mean of a class, or, without label, of both at once."""
    schedule = VariancePreserving()
    pair = DiffusedMixture(pme.GaussianMixtureEnergy([0.5, 0.5], CLASSES[:, None]), schedule)
    with_label = schedule.alpha(t) * CLASSES[np.minimum(label, 1)][:, None] - x
    return np.where((label == 2)[:, None], pair.score(x, t), with_label)


def test_guidance_scales_the_effect_of_labels():
    x, t, labels = np.linspace(-3, 3, 5)[:, None], 0.3, np.array([0, 1, 1, 0, 1])
    nothing = of_class(x, t, np.full(5, 2))
    all_of_it = of_class(x, t, labels)
    assert np.array_equal(guide(of_class, labels, 0.0, no_label=2)(x, t), nothing)
    assert guide(of_class, labels, 1.0, no_label=2)(x, t) == pytest.approx(all_of_it, rel=1e-14)
    twice = guide(of_class, labels, 2.0, no_label=2)(x, t)
    assert twice == pytest.approx(2 * all_of_it - nothing, rel=1e-12)


def test_labels_choose_the_mode_and_scale_sharpens_it():
    spreads = []
    for scale in (1.0, 3.0):
        score = guide(of_class, 1, scale, no_label=2)
        rng = np.random.default_rng(0)
        x = sample(score, VariancePreserving(), N, 1, rng=rng, method="dpm++", n_steps=30)
        assert x.mean() > 2 - 5 / np.sqrt(N) - 0.01  # false alarm 3e-7, and what 30 steps err
        spreads.append((x < 0.5).mean())
    assert spreads[0] == pytest.approx(0.0668, abs=5 * np.sqrt(0.067 / N) + 0.01)  # Phi(-1.5)
    assert spreads[1] < 0.5 * spreads[0]


def test_bad_guidance_is_named():
    with pytest.raises(ValueError, match="scale must be a number in"):
        guide(of_class, 1, -1.0, no_label=2)
    with pytest.raises(ValueError, match="there are 2 labels for 3 points"):
        guide(of_class, [0, 1], 1.0, no_label=2)(np.zeros((3, 1)), 0.5)


class PlusAndMinus:
    """Noise of which half is 1 and half -1: expectations of quadratic functions are then exact."""

    def standard_normal(self, shape):
        noise = np.ones(shape)
        noise[1::2] = -1.0
        return noise


def chain_log_density(x, schedule, mean, variance, n_steps, v):
    """Log-density of the end of DDPM's chain of normal steps, by composing them."""
    times = time_grid(schedule, n_steps, "log_snr")
    centre, spread = 0.0, schedule.prior_variance
    for t, s in itertools.pairwise(times):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        gain = alpha * variance / (alpha**2 * variance + sigma**2)  # of E[x_0 | x_t]
        of_x, of_data, small, large = posterior(schedule, s, t)
        slope, shift = of_x + of_data * gain, of_data * (1 - gain * alpha) * mean
        added = (sigma / alpha) ** 2 if s == 0 else reverse_variance(v, small, large)
        centre, spread = slope * centre + shift, slope**2 * spread + added
    return -0.5 * ((x - centre) ** 2 / spread + np.log(2 * np.pi * spread))


@pytest.mark.parametrize("name", ["vp", "ve", "straight"])
@pytest.mark.parametrize("v", [0.0, 0.5, 1.0])
def test_the_bound_is_below_the_likelihood_and_comes_near(name, v):
    """All of it exact: data are mean +- sd, so means over them are of normal data as well."""
    schedule, mean, variance = SCHEDULES[name], 0.3, 0.6
    x = mean + np.sqrt(variance) * np.array([[-1.0], [1.0]])
    score, gaps = normal_score(schedule, mean, variance), []
    entropy = 0.5 * np.log(2 * np.pi * np.e * variance)
    for n_steps in (100, 200, 400):
        bound = variational_bound(
            score, schedule, x, n_steps=n_steps, rng=PlusAndMinus(), v=v, n_draws=2
        )
        parts = bound.reconstruction - bound.path.sum(axis=0) - bound.prior
        assert bound.total == pytest.approx(parts, rel=1e-12)
        assert bound.path.shape == (n_steps - 1, 2)
        assert (bound.path >= 0).all()
        of_chain = chain_log_density(x[:, 0], schedule, mean, variance, n_steps, v)
        assert (bound.total <= of_chain).all()
        assert of_chain.mean() <= -entropy  # no density is above that of the data
        gaps.append(-entropy - bound.total.mean())
    assert orders(gaps) == pytest.approx(1, abs=0.2)


def test_the_parts_of_the_bound_are_normal_divergences():
    """One point, one step back, by hand."""
    schedule, x = SCHEDULES["straight"], np.array([[0.7]])
    bound = variational_bound(
        lambda x, t: 0 * x, schedule, x, n_steps=2, rng=PlusAndMinus(), kind="data", v=1.0
    )
    t, s = schedule.t_max, schedule.t_min
    large = t**2 - ((1 - t) / (1 - s)) ** 2 * s**2
    small = large * (s / t) ** 2
    slope = (1 - s) * large / t**2
    path = 0.5 * (small / large - 1 - np.log(small / large) + (slope * 0.7) ** 2 / large)
    assert bound.path == pytest.approx(path, rel=1e-9)
    assert bound.prior == pytest.approx(0.5 * ((1 - t) * 0.7 / t) ** 2, rel=1e-12)
    tau = (s / (1 - s)) ** 2
    assert bound.reconstruction == pytest.approx(
        -0.5 * (0.49 / tau + np.log(2 * np.pi * tau)), rel=1e-12
    )
    assert np.isnan(bound.mcse).all()


def test_the_bound_of_a_mixture_is_below_its_likelihood():
    mixture, rng = oracle("vp", THREE), np.random.default_rng(7)
    x = THREE.draw(rng, 200)
    bound = variational_bound(mixture.score, mixture.schedule, x, n_steps=100, rng=rng, n_draws=4)
    gap = mixture.log_density(x).mean() - bound.total.mean()
    error = np.sqrt((bound.mcse**2).sum()) / len(x)
    assert -5 * error < gap < 0.5  # false alarm 3e-7

"""What tests of diffusion share: schedules, mixtures of known scores, distances, moments."""

import numpy as np
from scipy.stats import norm

import pm_energy as pme
from pm_energy.diffusion import (
    CosineVP,
    DiffusedMixture,
    StepwiseVP,
    StraightPath,
    SubVP,
    VarianceExploding,
    VariancePreserving,
)

SCHEDULES = {
    "vp": VariancePreserving(),
    "cosine": CosineVP(),
    "sub-vp": SubVP(),
    "ve": VarianceExploding(0.01, 30.0),
    "straight": StraightPath(),
    "stepwise": StepwiseVP(np.linspace(1e-4, 0.1, 200)),
}

WEIGHTS, MEANS, WIDTHS = np.array([0.2, 0.5, 0.3]), np.array([-4.0, 0.0, 3.0]), [0.5, 0.4, 0.7]
THREE = pme.GaussianMixtureEnergy(WEIGHTS, MEANS[:, None], np.square(WIDTHS))
PLANE = pme.GaussianMixtureEnergy(
    [0.3, 0.7], [[-2.0, 0.0], [2.0, 1.0]], [[[0.5, 0.2], [0.2, 0.3]], [[0.2, 0.0], [0.0, 0.4]]]
)


def oracle(name, energy=PLANE):
    return DiffusedMixture(energy, SCHEDULES[name])


def distance(x):
    """Largest difference of distribution functions (Kolmogorov), of draws and THREE."""
    u = np.sort((WEIGHTS * norm.cdf((x - MEANS) / WIDTHS)).sum(axis=1))
    n = len(u)
    return max((np.arange(1, n + 1) / n - u).max(), (u - np.arange(n) / n).max())


def chance(n, false_alarm=1e-6):
    """Distance that n independent draws exceed with this probability at most (Massart 1990)."""
    return np.sqrt(np.log(2 / false_alarm) / (2 * n))


class UnitNoise:
    """A generator of which each call gives a 1 to one row, the next one each time, else zeros.

    A sampler that is linear in its start and its noise is thus told apart: row j has what it makes
    of its j-th noise.
    """

    def __init__(self):
        self.calls = 0

    def standard_normal(self, shape):
        noise = np.zeros(shape)
        self.calls += 1
        noise[self.calls] = 1.0
        return noise


def moments(sampler, start_variance, n_noises):
    """Exact mean and variance of what a linear sampler returns from normal starts in 1-D.

    ``sampler(x, rng)``; it must call the generator n_noises times.
    """
    x, rng = np.zeros((n_noises + 2, 1)), UnitNoise()
    x[0] = np.sqrt(start_variance)
    out = sampler(x, rng)[:, 0]
    assert rng.calls == n_noises
    return out[-1], ((out[:-1] - out[-1]) ** 2).sum()


def normal_score(schedule, mean, variance):
    """Score of normal data on their way to noise, linear in x."""

    def score(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return -(x - alpha * mean) / (alpha**2 * variance + sigma**2)

    return score


def orders(errors):
    """Powers of the step in which errors fall when steps double."""
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))

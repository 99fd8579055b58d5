"""The native score of network energies against the gradient that PyTensor derives."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba import njit

import pm_energy as pme
from pm_energy.kernels.native import call_native
from pm_energy.sampling.langevin import sample_langevin
from pm_energy.sampling.langevin_density import make_density

BETA = 0.7


@njit
def ask(address, x, table, out):
    call_native(address, x, BETA, table, out)


def network(d, hidden, activation, context=None):
    rng = np.random.default_rng(d)
    place = {"location": rng.normal(size=d), "scale": 0.5 + rng.random(d), "confinement": 0.8}
    place |= {"activation": activation, "context": context}
    return pme.NeuralEnergy.initial(rng, d, hidden, **place)


def derived(energy, x):
    """Scores and log-densities of rows by automatic differentiation."""
    v = pt.dmatrix("v")
    values = energy(v)
    return pytensor.function([v], [-BETA * pt.grad(values.sum(), v), -BETA * values])(x)


@pytest.mark.parametrize("n_chains", [1, 128, 200])  # a part of a matrix product, one, more
@pytest.mark.parametrize("hidden", [(5,), (8, 6, 7)])
@pytest.mark.parametrize(
    ("activation", "context"),
    [("silu", None), ("softplus", None), ("tanh", None), ("silu", [0.7, -1.0])],
)
def test_scores_and_densities_are_those_of_the_formula(activation, context, hidden, n_chains):
    energy = network(3, hidden, activation, context)
    x = 2 * np.random.default_rng(1).normal(size=(n_chains, 3))
    score, log_p = derived(energy, x)
    for with_log_density, tolerance in ((True, 1e-12), (False, 3e-6)):
        density = make_density(energy, n_chains, with_log_density)
        assert density.road == "network kernel"
        state, out = np.zeros(density.table[0]), np.empty(2 + density.table[0])
        state[: x.size] = x.T.ravel()
        ask(density.address, state, density.table, out)
        found = out[2 : 2 + x.size].reshape(3, n_chains).T
        np.testing.assert_allclose(found, score, atol=tolerance * np.abs(score).max())
        if with_log_density:
            np.testing.assert_allclose(out[2 + x.size :], log_p, rtol=1e-12)


def test_chains_sample_what_the_network_says():
    """Mean and variance of exact chains against quadrature; z beyond 5 has a chance of 6e-7."""
    energy = network(1, (8, 8), "silu")
    grid = np.linspace(-8, 8, 4001)[:, None]
    p = np.exp(derived(energy, grid)[1] / BETA)[:, None]
    mean = (p * grid).sum() / p.sum()
    variance = (p * (grid - mean) ** 2).sum() / p.sum()
    tree = sample_langevin(energy, 100, 200, chains=400, thin=5, random_seed=0, progressbar=False)
    x = tree["posterior"]["x"].values[..., 0]
    assert tree["posterior"].attrs["road"] == "network kernel"
    for values, truth in ((x, mean), ((x - mean) ** 2, variance)):
        by_chain = values.mean(axis=1)  # chains are independent
        assert abs(by_chain.mean() - truth) < 5 * by_chain.std(ddof=1) / np.sqrt(len(by_chain))


def test_draws_do_not_depend_on_the_number_of_threads():
    energy = network(2, (16, 16), "tanh")
    draws = [
        sample_langevin(
            energy, 5, 5, method=method, step_size=0.3, chains=600, cores=cores, random_seed=0,
            progressbar=False,
        )["posterior"]["x"].values
        for method in ("ula", "mala")
        for cores in (1, 2)
    ]  # fmt: skip
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[2], draws[3])

"""Natural gradients: exact on an exponential family, the same in any coordinates."""

import numpy as np
import pytest

import pm_energy as pme
from pm_energy.training.natural import natural_gradient

RNG = np.random.default_rng(7)


def rows_of(n, shapes):
    return {name: RNG.normal(size=(n, *shape)) for name, shape in shapes.items()}


def test_a_full_step_lands_on_a_gaussian_mean():
    """E = x' P x / 2 - theta x has mean inv(P) theta and Fisher information inv(P)."""
    root = RNG.normal(size=(5, 5))
    covariance = root @ root.T
    theta, data_mean = RNG.normal(size=5), RNG.normal(size=5)
    gradient = {"theta": covariance @ theta - data_mean}
    step = natural_gradient(gradient, covariance, damping=0.0)
    np.testing.assert_allclose(covariance @ (theta - step["theta"]), data_mean, rtol=1e-9)


def test_all_states_with_their_probabilities_give_the_exact_fisher_information():
    machine = pme.Ising(graph=[[0, 1], [1, 2]], coupling=[0.5, -0.3], field=[0.1, 0.2, 0.3])
    states, p = pme.exact.distribution(machine)
    fisher = pme.fisher_information(machine, states, weights=p).eval()
    pairs, units = (s.eval() for s in pme.statistics(machine, states))
    gradient = {"coupling": RNG.normal(size=2), "field": RNG.normal(size=3)}
    ours = natural_gradient(gradient, {"coupling": pairs, "field": units}, 0.0, weights=p)
    expected = np.linalg.solve(fisher, np.concatenate(list(gradient.values())))
    np.testing.assert_allclose(np.concatenate(list(ours.values())), expected, rtol=1e-10)


def test_linear_coordinates_do_not_matter():
    """With theta = B phi, gradients and statistics are those of theta times B."""
    b = RNG.normal(size=(4, 4)) + 4 * np.eye(4)
    gradient, rows = RNG.normal(size=4), RNG.normal(size=(50, 4))
    d_theta = natural_gradient({"x": gradient}, {"x": rows}, damping=0.0)["x"]
    d_phi = natural_gradient({"x": gradient @ b}, {"x": rows @ b}, damping=0.0)["x"]
    np.testing.assert_allclose(b @ d_phi, d_theta, rtol=1e-10)
    assert np.abs(b @ (gradient @ b) - gradient).max() > 1  # the plain gradient does care


@pytest.mark.parametrize("n", [6, 40])
def test_samples_give_what_their_covariance_gives(n):
    """Fewer samples than parameters, and more."""
    shapes = {"weights": (3, 4), "bias": (3,), "scale": ()}
    gradient, rows = {k: v[0] for k, v in rows_of(1, shapes).items()}, rows_of(n, shapes)
    weights = RNG.uniform(0.5, 1.5, size=n)
    table = np.concatenate([v.reshape(n, -1) for v in rows.values()], axis=1)
    fisher = np.cov(table.T, aweights=weights, ddof=0)
    ours = natural_gradient(gradient, rows, 0.1, weights=weights)
    direct = natural_gradient(gradient, fisher, 0.1)
    assert {name: d.shape for name, d in ours.items()} == shapes
    for name in shapes:
        np.testing.assert_allclose(ours[name], direct[name], rtol=1e-10)


def test_dtype_is_that_of_the_gradient():
    gradient, rows = {"w": np.ones(3, "float32")}, {"w": np.eye(2, 3, dtype="float32")}
    assert natural_gradient(gradient, rows)["w"].dtype == np.float32


@pytest.mark.parametrize(
    ("statistics", "options", "message"),
    [
        ({"b": np.ones((5, 2))}, {}, "must have the names"),
        ({"a": np.ones((5, 3))}, {}, r"statistics\['a'\] must have shape \(5, 2\)"),
        (np.eye(3), {}, r"statistics must have shape \(2, 2\)"),
        (np.eye(2), {"weights": np.ones(2)}, "weights belong to samples"),
        ({"a": np.ones((5, 2))}, {"weights": np.ones(4)}, "weights must be 5"),
        (np.eye(2), {"damping": -1.0}, "damping must be"),
        ({"a": np.ones((5, 2))}, {"damping": 0.0}, "Raise damping"),
    ],
)
def test_bad_arguments_are_named(statistics, options, message):
    with pytest.raises(ValueError, match=message):
        natural_gradient({"a": np.ones(2)}, statistics, **options)

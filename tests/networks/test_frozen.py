"""A network that is frozen says what it said, and refuses what it refused."""

import numpy as np
import pytest
from test_mlp import FORWARD, NETWORKS, arguments

from pm_energy.networks import MLP, frozen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_says_what_the_network_says(name, dtype):
    network = NETWORKS[name]
    theta, x, t, label = arguments(network, dtype)
    apply = frozen(network, theta)
    np.testing.assert_array_equal(apply(x, t, label), network.apply(theta, x, t, label))
    of_all = {"t": None if t is None else float(t[0]), "label": None if label is None else 2}
    wanted, found = network.apply(theta, x, **of_all), apply(x, **of_all)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=FORWARD[dtype], atol=FORWARD[dtype])
    for value in theta.values():
        value += 1.0
    np.testing.assert_array_equal(apply(x, **of_all), found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 2)),), "t is missing"),
        ((np.zeros((3, 1)), 0.5), r"x must have shape \(N, 2\)"),
        ((np.zeros(2), 0.5), r"x must have shape \(N, 2\)"),
        ((np.zeros((3, 2)), 0.5, 1), "label must be left out"),
        ((np.zeros((3, 2)), np.zeros(2)), r"t must be a number or have shape \(3,\)"),
        ((np.zeros((3, 2)), "late"), "t must be numeric"),
    ],
)
def test_bad_input_is_named(arguments, message):
    network = MLP(2, 2, time_features=4)
    with pytest.raises(ValueError, match=message):
        frozen(network, network.init(np.random.default_rng(0)))(*arguments)

"""Networks: the kernel is the graph, forwards and backwards, and what it refuses."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from pm_energy.compile import ONCE, compile_function
from pm_energy.networks import MLP

# float32 rounds at 6e-8, and a field is a sum over up to 20 units that are passed through 3 layers
FORWARD = {"float32": 1e-5, "float64": 1e-12}
BACKWARD = {"float32": 1e-4, "float64": 1e-10}  # of the largest entry
NETWORKS = {
    "linear": MLP(3, 2, hidden=()),
    "plain": MLP(2, 2, hidden=(8, 8), activation="tanh"),
    "silu": MLP(3, 3, hidden=(16, 9)),
    "softplus": MLP(3, 1, hidden=(16, 20), activation="softplus"),
    "relu": MLP(3, 2, hidden=(16, 7), activation="relu"),
    "residual": MLP(2, 2, hidden=(10, 10, 10, 6, 6), residual=True),
    "told": MLP(2, 2, hidden=(12, 12), time_features=6, time_range=(-2, 3), n_classes=3),
}


def arguments(network, dtype, n=37):
    rng = np.random.default_rng(1)
    theta = network.init(rng, dtype)
    for name, value in theta.items():
        if name.startswith("bias"):
            value += rng.normal(0, 0.5, value.shape)
    x = rng.normal(0, 2, (n, network.n_in)).astype(dtype)
    t = rng.uniform(-2, 3, n).astype(dtype) if network.time_features else None
    label = rng.integers(-1, network.n_classes, n) if network.n_classes else None
    return theta, x, t, label


def by_graph(network, theta, x, t, label, cotangent):
    """Outputs and gradients of PyTensor, without a compiler."""
    with pytensor.config.change_flags(floatX=str(x.dtype)):
        variables = {name: pt.as_tensor(value).type(name) for name, value in theta.items()}
        x_variable = pt.matrix("x")
        extras = {}
        if t is not None:
            extras["t"] = pt.vector("t")
        if label is not None:
            extras["label"] = pt.lvector("label")
        out = network.graph(variables, x_variable, **extras)
        wanted = [*variables.values(), x_variable]
        gradients = pt.grad((out * cotangent).sum(), wanted)
        inputs = [*wanted, *extras.values()]
        fn = compile_function(inputs, [out, *gradients], mode=ONCE)
    values = [*theta.values(), x, *(v for v in (t, label) if v is not None)]
    return fn(*values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_kernel_is_the_graph(name, dtype):
    network = NETWORKS[name]
    theta, x, t, label = arguments(network, dtype)
    cotangent = np.random.default_rng(2).normal(size=(len(x), network.n_out)).astype(dtype)
    expected, *gradients = by_graph(network, theta, x, t, label, cotangent)
    out = network.apply(theta, x, t, label)
    assert out.dtype == dtype == expected.dtype
    np.testing.assert_allclose(out, expected, atol=FORWARD[dtype] * max(1, np.abs(expected).max()))
    same, gradient, slope = network.vector_jacobian(theta, x, cotangent, t, label)
    np.testing.assert_array_equal(same, out)
    for ours, theirs in zip([*gradient.values(), slope], gradients, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, atol=BACKWARD[dtype] * np.abs(theirs).max())


def test_a_slope_of_another_activation_is_seen():
    """The comparison above has power: networks that differ in the activation alone do not agree."""
    theta, x, *_ = arguments(NETWORKS["silu"], "float64")
    other = MLP(3, 3, hidden=(16, 9), activation="tanh")
    expected = by_graph(other, theta, x, None, None, np.ones((len(x), 3)))[0]
    assert np.abs(NETWORKS["silu"].apply(theta, x) - expected).max() > 0.1


def test_rows_beyond_a_block_are_done_as_well():
    network = NETWORKS["silu"]
    theta, x, *_ = arguments(network, "float64", n=600)
    one_by_one = np.concatenate([network.apply(theta, row[None]) for row in x[::97]])
    np.testing.assert_allclose(network.apply(theta, x)[::97], one_by_one, atol=1e-12)
    _, whole, _ = network.vector_jacobian(theta, x, np.ones((600, 3)))
    parts = [
        network.vector_jacobian(theta, x[i : i + 100], np.ones((100, 3)))[1]
        for i in range(0, 600, 100)
    ]
    for name, value in whole.items():
        np.testing.assert_allclose(value, sum(p[name] for p in parts), rtol=1e-10, atol=1e-10)
    assert network.apply(theta, x[:0]).shape == (0, 3)


def test_no_label_is_a_label_of_its_own():
    network = NETWORKS["told"]
    theta, x, t, _ = arguments(network, "float64")
    without = network.apply(theta, x, t)
    np.testing.assert_array_equal(network.apply(theta, x, t, -1), without)
    for label in range(3):
        assert np.abs(network.apply(theta, x, t, label) - without).max() > 0.01


def test_one_time_for_all_rows_is_a_time_for_each():
    network = NETWORKS["told"]
    theta, x, _, label = arguments(network, "float64")
    one_by_one = network.apply(theta, x, np.full(len(x), 0.7), label)
    np.testing.assert_array_equal(network.apply(theta, x, 0.7, label), one_by_one)
    other = network.apply(theta, x, 0.8, label)
    assert np.abs(other - one_by_one).max() > 1e-3


def test_infinite_and_nan_inputs_do_not_pass_for_numbers():
    for activation in ("silu", "tanh", "softplus", "relu"):
        network = MLP(1, 1, hidden=(4,), activation=activation)
        theta = network.init(np.random.default_rng(0))
        assert np.isnan(network.apply(theta, [[np.nan]])).all()
        far = network.apply(theta, [[1e30]])  # saturates, or grows
        assert np.isfinite(far).all()


def test_parameters_flat_and_by_name():
    network = NETWORKS["told"]
    theta = network.init(np.random.default_rng(0))
    back = network.unflatten(network.flatten(theta))
    assert list(back) == list(theta)
    for name, value in theta.items():
        np.testing.assert_array_equal(back[name], value)


def test_fields_keep_their_size_at_the_start():
    """Derived: with variance gain / n_in, fields of a layer have a variance of order one."""
    for activation in ("silu", "tanh", "relu"):
        network = MLP(50, 1, hidden=(200, 200, 200), activation=activation)
        theta = network.init(np.random.default_rng(0), "float64")
        out = network.apply(theta, np.random.default_rng(1).normal(size=(500, 50)))
        assert 0.05 < out.std() < 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_in": 0}, "n_in must be a positive integer"),
        ({"hidden": (8, 0)}, "hidden"),
        ({"activation": "sine"}, "activation must be one of silu, tanh"),
        ({"time_features": 3}, "time_features must be even"),
        ({"time_features": -2}, "time_features must be an integer of at least zero"),
        ({"time_range": (1, 0)}, "time_range must be two rising times"),
        ({"n_classes": 1.5}, "n_classes must be an integer of at least zero"),
    ],
)
def test_networks_that_make_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        MLP(**({"n_in": 2, "n_out": 2} | change))


@pytest.mark.parametrize(
    ("network", "args", "message"),
    [
        ("plain", (np.zeros(2),), r"x must have shape \(N, 2\)"),
        ("plain", (np.zeros((3, 2)), 0.5), "t must be left out"),
        ("plain", (np.zeros((3, 2)), None, 1), "label must be left out"),
        ("told", (np.zeros((3, 2)),), "t is missing"),
        ("told", (np.zeros((3, 2)), [0.1, 0.2]), r"t must be a number or have shape \(3,\)"),
        ("told", (np.zeros((3, 2)), 0.1, 3), "label must be from 0 to 2"),
        ("told", (np.zeros((3, 2)), 0.1, 0.5), "label must be integers"),
    ],
)
def test_arguments_that_do_not_fit(network, args, message):
    network = NETWORKS[network]
    theta = network.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        network.apply(theta, *args)


def test_parameters_of_another_network():
    network = NETWORKS["plain"]
    theta = network.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match="theta must have the names"):
        network.apply({"weights_0": theta["weights_0"]}, np.zeros((1, 2)))
    with pytest.raises(ValueError, match="must have shape"):
        network.apply(theta | {"bias_0": np.zeros(3, "float32")}, np.zeros((1, 2)))
    with pytest.raises(ValueError, match="float32, or all of float64"):
        network.apply(theta | {"bias_0": np.zeros(8)}, np.zeros((1, 2)))
    with pytest.raises(ValueError, match="cotangent must be float32 of shape"):
        network.vector_jacobian(theta, np.zeros((1, 2)), np.ones((1, 3)))

"""PyMC's optimisers on arrays against their papers' formulas; what is ours by hand."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

from pm_energy.training.adamw import adamw
from pm_energy.training.optimisers import OPTIMISERS, Updates, make_optimiser
from pm_energy.training.schedules import Cosine, Inverse

RNG = np.random.default_rng(11)
THETA = {"weights": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=3)}
GRADIENTS = [{name: RNG.normal(size=x.shape) for name, x in THETA.items()} for _ in range(4)]


def run(updates, gradients=GRADIENTS, theta=THETA):
    for gradient in gradients:
        theta = updates(theta, gradient)
    return theta


def assert_same(found, expected, rtol=1e-12):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol)


def sgd(x, gradients, rate=0.1):
    for g in gradients:
        x = x - rate * g
    return x


def momentum(x, gradients, rate=0.1, keep=0.9):
    velocity = 0.0
    for g in gradients:
        velocity = keep * velocity - rate * g
        x = x + velocity
    return x


def adam(x, gradients, rate=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0):
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        rate_t = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        x = x - rate_t * m / (np.sqrt(v) + epsilon) - rate * weight_decay * x
    return x


@pytest.mark.parametrize(
    ("name", "reference"), [("sgd", sgd), ("momentum", momentum), ("adam", adam)]
)
def test_pymc_optimisers_on_arrays(name, reference):
    found = run(Updates(make_optimiser(name, 0.1), THETA))
    expected = {k: reference(x, [g[k] for g in GRADIENTS]) for k, x in THETA.items()}
    assert_same(found, expected)


def test_adamw_decays_weights_but_not_biases():
    found = run(Updates(adamw(learning_rate=0.1, weight_decay=0.3), THETA))
    decay = {"weights": 0.3, "bias": 0.0}
    expected = {
        k: adam(x, [g[k] for g in GRADIENTS], weight_decay=decay[k]) for k, x in THETA.items()
    }
    assert_same(found, expected)
    other = run(Updates(adamw(learning_rate=0.1, weight_decay=0.3, decay=["bias"]), THETA))
    assert_same(other, {
        k: adam(x, [g[k] for g in GRADIENTS], weight_decay=0.3 - decay[k]) for k, x in THETA.items()
    })  # fmt: skip


def test_a_schedule_counts_the_steps():
    schedule = Inverse(0.3, delay=2)
    found = run(Updates(make_optimiser("sgd", schedule), THETA))
    expected = {
        name: x - sum(schedule(t) * g[name] for t, g in enumerate(GRADIENTS))
        for name, x in THETA.items()
    }
    assert_same(found, expected)


def test_the_norm_of_all_gradients_together_is_bounded():
    step = run(Updates(make_optimiser("sgd", 1.0, max_norm=0.5), THETA), GRADIENTS[:1])
    moved = {name: THETA[name] - x for name, x in step.items()}
    norm = np.sqrt(sum((g**2).sum() for g in GRADIENTS[0].values()))
    assert norm > 0.5
    assert_same(moved, {k: g * 0.5 / norm for k, g in GRADIENTS[0].items()}, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(OPTIMISERS) - {"adagrad_window"}))
def test_single_precision_stays_and_the_parameters_given_are_not_touched(name):
    theta = {"weights": THETA["weights"].astype("float32")}
    before = theta["weights"].copy()
    updates = Updates(make_optimiser(name, Cosine(0.1, n_steps=10)), theta)
    one = updates(theta, {"weights": np.asfortranarray(GRADIENTS[0]["weights"])})
    kept = one["weights"].copy()
    two = updates(one, {"weights": GRADIENTS[1]["weights"].astype("float32")})
    assert two["weights"].dtype == np.float32
    assert np.isfinite(two["weights"]).all()
    np.testing.assert_array_equal(theta["weights"], before)
    np.testing.assert_array_equal(one["weights"], kept)
    assert {x.dtype.name for x in updates.state().values()} <= {"float32", "int64"}


@pytest.mark.parametrize("copied", [False, True])
def test_learning_goes_on_from_a_saved_state_bit_by_bit(copied):
    optimiser = make_optimiser("adamw", Cosine(0.1, n_steps=10))
    first = Updates(optimiser, THETA)
    half = run(first, GRADIENTS[:2])
    if copied:
        second = pickle.loads(pickle.dumps(first))
    else:
        second = Updates(optimiser, THETA)
        second.restore(first.state())
    through = run(first, GRADIENTS[2:], half)
    resumed = run(second, GRADIENTS[2:], half)
    for name in THETA:
        np.testing.assert_array_equal(through[name], resumed[name])
    fresh = run(Updates(optimiser, THETA), GRADIENTS[2:], half)
    assert np.abs(fresh["bias"] - through["bias"]).max() > 1e-6  # the state does matter


def test_a_saved_state_is_a_copy():
    updates = Updates(make_optimiser("momentum", 0.1), THETA)
    run(updates)
    state = updates.state()
    before = pickle.dumps(state)
    run(updates)
    updates.restore(state)
    run(updates)
    assert pickle.dumps(state) == before


def test_ours_work_in_pymc():
    """As an optimiser of variational inference, with a schedule and weight decay by name."""
    with pm.Model():
        pm.Normal("x", 3.0, 0.5)
        optimiser = make_optimiser("adamw", Cosine(0.2, n_steps=400), decay=["rho"])
        approx = pm.fit(400, obj_optimizer=optimiser, progressbar=False, random_seed=1)
    assert abs(approx.mean.eval()[0] - 3.0) < 0.3


def test_any_callable_in_the_convention_of_pymc():
    def signs(grads, params):
        return {p: p - 0.1 * pt.sign(g) for p, g in zip(params, grads, strict=True)}

    found = run(Updates(signs, THETA), GRADIENTS[:1])
    assert_same(found, {k: x - 0.1 * np.sign(GRADIENTS[0][k]) for k, x in THETA.items()})


def test_what_an_optimiser_keeps_is_its_own():
    """Here the last gradient and the last parameters, which the caller may overwrite."""

    def remembering(grads, params):
        (x,), (g,) = params, grads
        last_x, last_g = (pytensor.shared(np.zeros(3), shape=(3,)) for _ in range(2))
        return {x: x - last_g + 0 * last_x, last_g: g, last_x: x}

    theta, gradient = {"x": np.zeros(3)}, {"x": np.ones(3)}
    updates = Updates(remembering, theta)
    one = updates(theta, gradient)
    gradient["x"][:] = 5.0
    two = updates(one, gradient)
    np.testing.assert_array_equal(two["x"], -np.ones(3))
    np.testing.assert_array_equal(gradient["x"], np.full(3, 5.0))
    updates(two, {"x": np.ones(3)})
    np.testing.assert_array_equal(one["x"], np.zeros(3))
    np.testing.assert_array_equal(two["x"], -np.ones(3))


def test_a_shared_learning_rate_can_be_changed_on_the_way():
    rate = pytensor.shared(1.0)
    updates = Updates(make_optimiser("sgd", rate), THETA)
    rate.set_value(0.1)
    assert_same(run(updates), {k: sgd(x, [g[k] for g in GRADIENTS]) for k, x in THETA.items()})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make_optimiser("lbfgs"), "optimiser must be one of sgd, momentum"),
        (lambda: make_optimiser(3), "optimiser must be a name or a callable"),
        (lambda: make_optimiser("sgd", -0.1), "learning_rate must be positive"),
        (lambda: make_optimiser("sgd", np.nan), "learning_rate must be finite"),
        (lambda: make_optimiser("sgd", max_norm=0.0), "max_norm must be positive"),
        (lambda: make_optimiser("sgd", momentum=0.5), "unexpected keyword argument 'momentum'"),
        (lambda: adamw(beta1=1.0), "beta1 must be at least 0 and below 1"),
        (lambda: adamw(weight_decay=-1.0), "weight_decay must be at least 0"),
        (lambda: Updates(adamw(decay=["w"]), THETA), r"decay names \['w'\], but the parameters"),
        (lambda: Updates("sgd", {"n": np.arange(3)}), "theta must be arrays of one float dtype"),
        (lambda: Updates("sgd", {}), "theta must be arrays of one float dtype"),
        (lambda: Updates("sgd", THETA)(THETA, {"bias": 0}), "gradient must have the names"),
        (
            lambda: Updates("sgd", THETA)(THETA, {"weights": np.ones(3), "bias": np.ones(3)}),
            r"gradient\['weights'\] must have shape \(3, 2\)",
        ),
        (lambda: Updates("adam", THETA).restore({}), "state must be that of the same optimiser"),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_updates_of_one_kind_share_a_function_but_no_numbers():
    theta = {"w": np.ones(3)}
    gradients = [np.array([1.0, -2.0, 0.5]), np.array([3.0, 0.0, -1.0])]

    def run(updates, gradient, steps=3):
        now = theta
        for _ in range(steps):
            now = updates(now, {"w": gradient})
        return now["w"]

    alone = [run(Updates(make_optimiser("adam", 0.1), theta), g) for g in gradients]
    first, second = (Updates(make_optimiser("adam", 0.1), theta) for _ in range(2))
    assert first._function is second._function
    a, b = theta, theta
    for _ in range(3):  # in turn
        a, b = first(a, {"w": gradients[0]}), second(b, {"w": gradients[1]})
    np.testing.assert_array_equal(a["w"], alone[0])
    np.testing.assert_array_equal(b["w"], alone[1])
    other = Updates(make_optimiser("adam", 0.2), theta)
    assert other._function is not first._function
    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(Updates, make_optimiser("adam", 0.1), theta).result()
    assert elsewhere._function is not first._function

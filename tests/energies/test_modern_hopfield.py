import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.special import logsumexp, softmax

from pm_energy.compile import ONCE, compile_function, energy_values
from pm_energy.energies import modern_hopfield
from pm_energy.energies.gaussian_mixture import GaussianMixtureEnergy
from pm_energy.energies.modern_hopfield import ModernHopfield
from pm_energy.energy import field


def unit_rows(seed, k, d):
    x = np.random.default_rng(seed).standard_normal((k, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def random_memory(seed, k=6, d=4, beta=1.7):
    rng = np.random.default_rng(seed)
    return ModernHopfield(rng.standard_normal((k, d)), beta), 2 * rng.standard_normal((50, d))


def test_update_is_softmax_attention():
    memory, x = random_memory(1)
    queries, keys, values = x, memory.patterns, memory.patterns
    attention = softmax(memory.beta * queries @ keys.T, axis=1) @ values
    np.testing.assert_allclose(memory.update(x), attention, rtol=0, atol=1e-13)
    np.testing.assert_allclose(memory.update(x[0]), attention[0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(memory.update(x.reshape(5, 10, 4)).reshape(50, 4), attention)


def test_update_is_the_field_added_to_the_state():
    memory, x = random_memory(2)
    symbol = pt.dmatrix()
    slope = compile_function([symbol], field(memory, symbol), mode=ONCE)(x)
    np.testing.assert_allclose(memory.update(x), x + slope, rtol=0, atol=1e-12)


def test_retrieval_reports_the_energies_of_the_formula():
    memory, x = random_memory(3)
    retrieval = memory.retrieve(x)
    np.testing.assert_allclose(retrieval.energies[0], energy_values(memory, x), rtol=0, atol=1e-12)
    last = energy_values(memory, retrieval.states)
    np.testing.assert_allclose(retrieval.energies[-1], last, rtol=0, atol=1e-12)
    assert retrieval.converged.all()


def misprinted(memory, x):
    """Without 1 / beta before the logarithm."""
    return 0.5 * (x**2).sum(axis=1) - logsumexp(memory.beta * x @ memory.patterns.T, axis=1)


@pytest.mark.parametrize(("cost", "is_right"), [(energy_values, True), (misprinted, False)])
def test_update_lowers_the_energy_by_half_the_square_of_the_step(cost, is_right):
    holds = True
    for seed, beta in enumerate([0.1, 0.5, 2.0, 10.0, 100.0]):
        memory, x = random_memory(seed, beta=beta)
        new = memory.update(x)
        drop = cost(memory, x) - cost(memory, new)
        holds &= bool((drop >= 0.5 * ((new - x) ** 2).sum(axis=1) - 1e-12).all())
    assert holds == is_right


def test_update_is_the_concave_convex_step():
    # the tangent of the concave part -lse bounds E from above; the bound is least at the next state
    memory, x = random_memory(4)
    new = memory.update(x)
    z = np.random.default_rng(5).standard_normal((50, 4))

    def bound(z):
        tangent = (new * (z - x)).sum(axis=1)
        return energy_values(memory, x) + 0.5 * ((z**2).sum(axis=1) - (x**2).sum(axis=1)) - tangent

    np.testing.assert_allclose(bound(x), energy_values(memory, x), rtol=0, atol=1e-12)
    assert (bound(z) >= energy_values(memory, z) - 1e-12).all()
    least = bound(new) + 0.5 * ((z - new) ** 2).sum(axis=1)
    np.testing.assert_allclose(bound(z), least, rtol=0, atol=1e-12)


def test_energy_is_never_negative():
    memory, x = random_memory(6, beta=30.0)
    everywhere = np.concatenate([x, memory.patterns, 10 * x])
    assert (energy_values(memory, everywhere) >= 0).all()


def test_at_temperature_one_over_beta_it_is_a_mixture_of_gaussians():
    memory, x = random_memory(7)
    squares = (memory.patterns**2).sum(axis=1)
    weights = softmax(0.5 * memory.beta * squares)
    mixture = GaussianMixtureEnergy(weights, memory.patterns, 1.0 / memory.beta)
    difference = memory.beta * energy_values(memory, x) - energy_values(mixture, x)
    log_z = 2 * np.log(2 * np.pi / memory.beta) + logsumexp(0.5 * memory.beta * squares)
    log_z -= np.log(6) + 0.5 * memory.beta * squares.max()
    np.testing.assert_allclose(difference, -log_z, rtol=0, atol=1e-12)


def test_unit_norm_patterns_at_beta_one_have_one_fixed_point_near_their_mean():
    patterns = unit_rows(8, 5000, 20)
    retrieval = ModernHopfield(patterns).retrieve(patterns[::100])
    assert retrieval.converged.all()
    mean = patterns.mean(axis=0)
    np.testing.assert_allclose(
        retrieval.states, retrieval.states[:1] + 0 * patterns[::100], atol=1e-7
    )
    # to first order in beta the fixed point is (1 + beta / d) mean
    np.testing.assert_allclose(retrieval.states[0], 1.05 * mean, atol=0.1 * np.linalg.norm(mean))
    assert np.linalg.norm(mean) < 0.05


@pytest.mark.parametrize(("beta", "retrieved"), [(10.0, 0.0), (20.0, 1.0), (100.0, 1.0)])
def test_five_thousand_patterns_in_twenty_dimensions_need_a_larger_beta(beta, retrieved):
    patterns = unit_rows(9, 5000, 20)
    rng = np.random.default_rng(10)
    stored = patterns[:200]
    noisy = stored + 0.2 * rng.standard_normal(stored.shape) / np.sqrt(20)
    states = ModernHopfield(patterns, beta).retrieve(noisy, tol=1e-6).states
    near = np.linalg.norm(states - stored, axis=1) < 0.1
    assert near.mean() == retrieved


def test_chunks_do_not_show(monkeypatch):
    memory, x = random_memory(11)
    whole = memory.retrieve(x)
    monkeypatch.setattr(modern_hopfield, "CHUNK", 7 * 6)
    parts = memory.retrieve(x)
    np.testing.assert_allclose(parts.states, whole.states, rtol=0, atol=1e-13)
    np.testing.assert_allclose(parts.energies, whole.energies, rtol=0, atol=1e-12)


def test_retrieval_stops_when_told_and_says_so():
    memory, x = random_memory(12, beta=5.0)
    retrieval = memory.retrieve(x.reshape(5, 10, 4), max_updates=1)
    np.testing.assert_array_equal(retrieval.states, memory.update(x.reshape(5, 10, 4)))
    assert retrieval.updates.shape == retrieval.converged.shape == (5, 10)
    assert retrieval.energies.shape == (2, 5, 10)
    assert not retrieval.converged.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModernHopfield([1.0, 2.0]), "patterns must have 2 dimension"),
        (lambda: ModernHopfield(np.zeros((0, 3))), "patterns must have a known shape"),
        (lambda: ModernHopfield([[1.0, np.nan]]), "patterns must be finite"),
        (lambda: ModernHopfield([["a"]]), "patterns must be numeric"),
        (lambda: ModernHopfield([[1.0]], beta=0.0), "beta must be positive"),
        (lambda: ModernHopfield([[1.0]], beta=-1.0), "beta must be positive"),
        (lambda: ModernHopfield([[1.0]], beta=[1.0, 2.0]), "beta must have 0 dimension"),
        (lambda: ModernHopfield([[1.0]]).update([1.0, 2.0]), r"x must have shape \(..., 1\)"),
        (lambda: ModernHopfield([[1.0]]).retrieve([np.inf]), "x must be finite"),
        (lambda: ModernHopfield([[1.0]]).retrieve([1.0], tol=-1.0), "tol must be a positive"),
        (lambda: ModernHopfield([[1.0]]).retrieve([1.0], max_updates=0), "max_updates must be"),
        (lambda: ModernHopfield([[1.0]], beta=pt.dscalar()).update([1.0]), "beta is a PyTensor"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

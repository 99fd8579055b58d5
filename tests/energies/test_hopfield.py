import itertools

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.special import logsumexp

from pm_energy.compile import ONCE, compile_function, energy_values
from pm_energy.energies import graded_hopfield
from pm_energy.energies.graded_hopfield import GradedHopfield
from pm_energy.energies.hopfield import Hopfield
from pm_energy.energies.memory_rules import RULES, hebbian, pseudo_inverse, storkey
from pm_energy.energy import field
from pm_energy.kernels.recall import asynchronous_recall, recall_sweep, tie_width
from pm_energy.structure import flatten, unflatten

SPINS = np.array(list(itertools.product([-1, 1], repeat=7)), dtype=np.int8)


def random_patterns(seed, k, n):
    return np.random.default_rng(seed).choice([-1, 1], size=(k, n))


def random_coupling(rng, n, integer=False):
    """Symmetric, zero diagonal; integers make every field exact and ties frequent."""
    upper = np.triu(rng.integers(-2, 3, (n, n)) if integer else rng.standard_normal((n, n)), 1)
    return (upper + upper.T).astype(float)


def random_network(seed, n=7, **kwargs):
    rng = np.random.default_rng(seed)
    threshold, external = rng.standard_normal((2, n))
    return Hopfield(random_coupling(rng, n), threshold, external, **kwargs)


# Energies


@pytest.mark.parametrize("coding", ["spin", "binary"])
def test_energy_is_the_pair_sum_and_the_boltzmann_machine_s(coding):
    memory = random_network(1, coding=coding, offset=0.7)
    x = (SPINS if coding == "spin" else (SPINS + 1) // 2).astype(float)
    upper = np.triu(memory.coupling, 1)
    expected = (
        0.7 - np.einsum("bi,ij,bj->b", x, upper, x) + x @ (memory.threshold - memory.external)
    )
    np.testing.assert_allclose(memory(x), expected, rtol=0, atol=1e-12)
    machine = memory.to_boltzmann_machine()
    assert machine.domain == memory.domain
    np.testing.assert_allclose(machine(x), expected, rtol=0, atol=1e-12)


def test_codings_have_the_same_energies():
    spin = random_network(2, offset=-0.3)
    binary = spin.to_binary()
    expected, bits = energy_values(spin, SPINS), (SPINS + 1) // 2
    np.testing.assert_allclose(energy_values(binary, bits), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(energy_values(binary.to_spin(), SPINS), expected, rtol=0, atol=1e-12)
    assert binary.to_binary() is binary
    assert spin.to_spin() is spin


def test_parameters_may_be_tensor_variables_of_unknown_shape():
    memory = random_network(3)
    structure, leaves = flatten(memory)
    symbols = [pt.tensor(dtype=leaf.dtype, shape=(None,) * leaf.ndim) for leaf in leaves]
    symbolic = unflatten(structure, symbols)
    graphs = [symbolic(SPINS), symbolic.to_binary()((SPINS + 1) // 2)]
    fn = compile_function(symbols, graphs, mode=ONCE)
    for value in fn(*[leaf.data for leaf in leaves]):
        np.testing.assert_allclose(value, energy_values(memory, SPINS), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="coupling is a PyTensor variable"):
        symbolic.recall(SPINS)


# Learning rules


def storkey_as_printed(patterns):
    n = patterns.shape[1]
    coupling = np.zeros((n, n))
    for xi in patterns:
        new = coupling.copy()
        for i, j in itertools.product(range(n), repeat=2):
            h_ij = sum(coupling[i, m] * xi[m] for m in range(n) if m not in (i, j))
            h_ji = sum(coupling[j, m] * xi[m] for m in range(n) if m not in (i, j))
            new[i, j] += (xi[i] * xi[j] - xi[i] * h_ji - h_ij * xi[j]) / n
        coupling = new
    return coupling - np.diag(np.diag(coupling))


def projection_as_printed(patterns):
    n = patterns.shape[1]
    overlaps = patterns @ patterns.T / n
    coupling = patterns.T @ np.linalg.inv(overlaps) @ patterns / n
    return coupling - np.diag(np.diag(coupling))


def hebbian_as_printed(patterns):
    coupling = sum(np.outer(xi, xi) for xi in patterns) / patterns.shape[1]
    return coupling - np.diag(np.diag(coupling))


@pytest.mark.parametrize(
    ("rule", "printed"),
    [
        (hebbian, hebbian_as_printed),
        (storkey, storkey_as_printed),
        (pseudo_inverse, projection_as_printed),
    ],
)
def test_rules_are_the_printed_formulas(rule, printed):
    patterns = random_patterns(4, 4, 9).astype(float)
    np.testing.assert_allclose(rule(patterns), printed(patterns), rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 10, 29])
def test_pseudo_inverse_makes_independent_patterns_fixed_points(seed, k):
    patterns = random_patterns(seed, k, 30)
    assert np.linalg.matrix_rank(patterns) == k  # of these seeds
    memory = Hopfield.from_patterns(patterns, rule="pseudo-inverse")
    recall = memory.recall(patterns, random_seed=seed)
    np.testing.assert_array_equal(recall.states, patterns)
    assert (recall.sweeps == 1).all()


def test_pseudo_inverse_of_a_whole_basis_couples_nothing():
    patterns = random_patterns(3, 24, 24)  # spans the space: no unit is determined by the others
    assert np.linalg.matrix_rank(patterns) == 24
    assert not pseudo_inverse(patterns.astype(float)).any()


def test_pseudo_inverse_takes_dependent_patterns():
    patterns = random_patterns(5, 4, 20)
    twice = np.concatenate([patterns, -patterns[:2], patterns[2:]])
    np.testing.assert_allclose(
        pseudo_inverse(twice.astype(float)), pseudo_inverse(patterns.astype(float)), atol=1e-13
    )


def test_storkey_holds_a_load_that_hebbian_does_not():
    patterns = random_patterns(6, 36, 200)  # .18 patterns a unit
    stable = {}
    for rule in RULES:
        memory = Hopfield.from_patterns(patterns, rule=rule)
        stable[rule] = np.mean(memory.recall(patterns, random_seed=1).sweeps == 1)
    assert stable["hebbian"] < 0.3
    assert stable["storkey"] > 0.9
    assert stable["pseudo-inverse"] == 1.0


def test_hebbian_capacity_lies_where_amit_gutfreund_and_sompolinsky_put_it():
    # overlap .97 at .138 n patterns in the limit; at n = 500 the loads .08 and .25 are clear of it
    overlaps = []
    for load in (0.08, 0.25):
        patterns = random_patterns(7, int(load * 500), 500)
        states = Hopfield.from_patterns(patterns).recall(patterns, random_seed=2).states
        overlaps.append(np.mean(patterns * states.astype(float)))
    assert overlaps[0] > 0.98
    assert overlaps[1] < 0.6


def test_patterns_in_either_notation_make_the_same_memory():
    patterns = random_patterns(8, 3, 12)
    a, b = Hopfield.from_patterns(patterns), Hopfield.from_patterns((patterns + 1) // 2)
    np.testing.assert_array_equal(a.coupling, b.coupling)


# Recall


def sweep_that_turns_tied_units(x, field, coupling, tie, order, low):
    flips = np.zeros(len(x), dtype=np.int64)
    for b, place in np.ndindex(x.shape):
        i = order[b, place]
        new = 1.0 if field[b, i] > 0 else low if field[b, i] < 0 else (1.0 + low) - x[b, i]
        if new != x[b, i]:
            field[b] += (new - x[b, i]) * coupling[i]
            x[b, i], flips[b] = new, flips[b] + 1
    return flips


def sweep_with_stale_fields(x, field, coupling, tie, order, low):
    flips = np.zeros(len(x), dtype=np.int64)
    for b, place in np.ndindex(x.shape):
        i = order[b, place]
        new = 1.0 if field[b, i] > tie[i] else low if field[b, i] < -tie[i] else x[b, i]
        flips[b] += new != x[b, i]
        x[b, i] = new
    return flips


@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [(recall_sweep, True), (sweep_that_turns_tied_units, False), (sweep_with_stale_fields, False)],
)
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_a_sweep_that_flips_lowers_the_energy(sweep, is_right, low):
    rng, lowered = np.random.default_rng(9), True
    for _ in range(50):
        n = int(rng.integers(2, 12))
        coupling, bias = random_coupling(rng, n, integer=True), rng.integers(-1, 2, n).astype(float)
        memory = Hopfield(coupling, external=bias, coding="spin" if low else "binary")
        x = rng.choice([low, 1.0], size=(8, n))
        for _ in range(5):
            before, current = memory(x), bias + x @ coupling
            order = rng.permuted(np.tile(np.arange(n), (8, 1)), axis=1)
            flips = sweep(x, current, coupling, tie_width(coupling, bias), order, low)
            np.testing.assert_array_equal(memory(x)[flips == 0], before[flips == 0])
            lowered &= bool((memory(x) < before)[flips > 0].all())
    assert lowered == is_right


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 25),
    coding=st.sampled_from(["spin", "binary"]),
    order=st.sampled_from(["random", "sequential"]),
    integer=st.booleans(),
)
def test_asynchronous_recall_never_raises_the_energy_and_ends_in_a_minimum(
    seed, n, coding, order, integer
):
    rng = np.random.default_rng(seed)
    memory = Hopfield(random_coupling(rng, n, integer), rng.integers(-1, 2, n), coding=coding)
    starts = rng.choice(memory.domain.states, size=(10, n))
    recall = memory.recall(starts, order=order, max_sweeps=10_000, random_seed=rng)
    scale = 1 + np.abs(memory.coupling).sum()
    assert recall.converged.all()
    assert (np.diff(recall.energies, axis=0) <= 1e-14 * scale).all()
    np.testing.assert_allclose(
        recall.energies[0], energy_values(memory, starts), atol=1e-13 * scale
    )
    np.testing.assert_allclose(
        recall.energies[-1], energy_values(memory, recall.states), atol=1e-13 * scale
    )
    low = memory.domain.states[0]
    for i in range(n):
        flipped = recall.states.copy()
        flipped[:, i] = 1 + low - flipped[:, i]
        assert (energy_values(memory, flipped) >= recall.energies[-1] - 1e-13 * scale).all()


def test_a_unit_without_a_field_keeps_its_state_even_where_rounding_gives_it_one():
    coupling = np.zeros((4, 4))
    coupling[0, 1:] = coupling[1:, 0] = 0.1, 0.2, -0.3  # .1 + .2 - .3 is 5.6e-17 in floats
    starts = np.array([[1, 1, 1, 1], [-1, 1, 1, 1]])
    external = 10.0 * np.array([0, 1, 1, 1])
    for mode in ("asynchronous", "synchronous"):
        recall = Hopfield(coupling, external=external).recall(starts, mode=mode, random_seed=1)
        np.testing.assert_array_equal(recall.states, starts)
        assert recall.converged.all()


def test_codings_recall_alike():
    memory = random_network(10, n=40)
    starts = random_patterns(11, 30, 40)
    for mode in ("asynchronous", "synchronous"):
        spin = memory.recall(starts, mode=mode, order="sequential")
        binary = memory.to_binary().recall((starts + 1) // 2, mode=mode, order="sequential")
        np.testing.assert_array_equal(spin.states, 2 * binary.states - 1)
        np.testing.assert_array_equal(spin.cycles, binary.cycles)
        np.testing.assert_allclose(spin.energies, binary.energies, rtol=0, atol=1e-11)


def test_asynchronous_recall_counts_sweeps_and_reports_running_out_of_them():
    n = 50
    chain = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    memory = Hopfield(chain, external=2.5 * np.eye(n)[-1] - 0.5 * np.eye(n)[0])
    start = np.full(n, -1)  # the last unit turns up first, then the one before it, ...
    recall = memory.recall(start, order="sequential", max_sweeps=1)
    assert not recall.converged
    assert recall.sweeps == 1
    assert recall.energies.shape == (2,)
    assert recall.states.sum() == 2 - n


def test_synchronous_recall_ends_in_a_fixed_point_or_a_cycle_of_two():
    pair = Hopfield([[0.0, 1.0], [1.0, 0.0]])
    recall = pair.recall([[1, -1], [1, 1]], mode="synchronous")
    np.testing.assert_array_equal(recall.cycles, [True, False])
    np.testing.assert_array_equal(recall.converged, [False, True])
    np.testing.assert_array_equal(pair.recall([1, -1]).energies[[0, -1]], [1.0, -1.0])

    rng = np.random.default_rng(12)
    seen = np.zeros(2, dtype=int)
    for _ in range(40):
        n = int(rng.integers(2, 30))
        memory = Hopfield(random_coupling(rng, n, integer=True), rng.integers(-1, 2, n))
        starts = rng.choice([-1, 1], size=(20, n))
        recall = memory.recall(starts, mode="synchronous", max_sweeps=1000)
        assert (recall.converged ^ recall.cycles).all()
        once = memory.recall(recall.states, mode="synchronous", max_sweeps=1).states
        twice = memory.recall(once, mode="synchronous", max_sweeps=1).states
        np.testing.assert_array_equal((once != recall.states).any(axis=1), recall.cycles)
        np.testing.assert_array_equal(twice, recall.states)
        seen += recall.converged.sum(), recall.cycles.sum()
    assert (seen > 50).all()  # both happen here


def test_recall_repairs_patterns_and_keeps_batch_axes():
    patterns = random_patterns(13, 6, 120)
    noisy = np.tile(patterns, (5, 1, 1))
    noisy[np.random.default_rng(14).random(noisy.shape) < 0.15] *= -1
    memory = Hopfield.from_patterns(patterns)
    recall = memory.recall(noisy, random_seed=3)
    assert recall.states.shape == (5, 6, 120)
    assert recall.states.dtype == np.int8
    assert recall.converged.shape == recall.sweeps.shape == recall.cycles.shape == (5, 6)
    assert recall.energies.shape[1:] == (5, 6)
    assert (recall.states == patterns).all(axis=-1).mean() > 0.95
    again = memory.recall(noisy, random_seed=3)
    np.testing.assert_array_equal(again.energies, recall.energies)


def test_the_kernel_works_in_place_and_draws_its_order_from_the_generator():
    memory = random_network(15, n=30)
    x = random_patterns(16, 4, 30).astype(float)
    rngs = [np.random.default_rng(5), np.random.default_rng(5)]
    copies = [x.copy(), x.copy()]
    for rng, copy in zip(rngs, copies, strict=True):
        asynchronous_recall(rng, copy, memory.coupling, memory.external - memory.threshold, 100)
    np.testing.assert_array_equal(*copies)
    assert (copies[0] != x).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hopfield([[0.0, 1.0], [2.0, 0.0]]), "coupling must be symmetric"),
        (lambda: Hopfield(np.eye(2)), "coupling must have a zero diagonal"),
        (lambda: Hopfield([[0.0, np.nan], [np.nan, 0.0]]), "coupling must be finite"),
        (lambda: Hopfield(np.zeros(3)), r"coupling must be a square matrix"),
        (lambda: Hopfield(np.zeros((2, 3))), "coupling must be a square"),
        (lambda: Hopfield(np.zeros((0, 0))), "coupling must be a square matrix"),
        (lambda: Hopfield(np.zeros((2, 2)), [1.0, 2.0, 3.0]), "threshold must be a scalar"),
        (lambda: Hopfield(np.zeros((2, 2)), external=[np.inf, 0]), "external must be finite"),
        (lambda: Hopfield(np.zeros((2, 2)), coding="potts"), "coding must be one of"),
        (lambda: Hopfield.from_patterns([[1, -1]], rule="delta"), "rule must be one of"),
        (lambda: Hopfield.from_patterns([[1, -1]], coding="x"), "coding must be one of"),
        (lambda: Hopfield.from_patterns([[1, 2]]), "patterns must be in"),
        (lambda: Hopfield.from_patterns([[1, -1, 0]]), "patterns must be in"),
        (lambda: Hopfield.from_patterns([[1, np.nan]]), "patterns must be finite"),
        (lambda: Hopfield.from_patterns([[1, -1], [1]]), "patterns is no array"),
        (lambda: Hopfield.from_patterns([1, -1]), "patterns must have 2 dimension"),
        (lambda: Hopfield.from_patterns(np.zeros((0, 4))), "patterns must be a non-empty"),
        (lambda: Hopfield.from_patterns(pt.dmatrix()), "patterns must be a non-empty"),
        (lambda: PAIR.recall([1, 0]), "states contains the value 0"),
        (lambda: PAIR.recall([1, 1, 1]), r"states must have shape \(..., 2\)"),
        (lambda: PAIR.recall(1), r"states must have shape \(..., 2\)"),
        (lambda: PAIR.recall([1, 1], mode="parallel"), "mode must be one of"),
        (lambda: PAIR.recall([1, 1], order="backwards"), "order must be one of"),
        (lambda: PAIR.recall([1, 1], max_sweeps=0), "max_sweeps must be a positive integer"),
        (lambda: GradedHopfield(np.zeros((2, 2)), gain=0.0), "gain must be positive"),
        (lambda: GradedHopfield(np.zeros((2, 2)), gain=np.ones(3)), "gain must be a scalar"),
        (lambda: GradedHopfield(np.zeros((2, 2))).recall([0.0, 1.0]), "states must lie in"),
        (lambda: GradedHopfield(np.zeros((2, 2))).recall([0.0, np.nan]), "states must be finite"),
        (lambda: GradedHopfield(np.zeros((2, 2))).recall([0.0]), "states must have shape"),
        (lambda: GradedHopfield(np.zeros((2, 2))).recall([0, 0], tol=0.0), "tol must be"),
        (lambda: GradedHopfield(np.zeros((2, 2))).recall([0, 0], max_updates=-1), "max_updates"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


PAIR = Hopfield([[0.0, 1.0], [1.0, 0.0]])


# Graded units


def random_graded(seed, n=7, gain=1.3):
    memory = random_network(seed, n)
    return GradedHopfield(memory.coupling, memory.threshold, memory.external, gain=gain)


def test_graded_energy_holds_the_integral_of_the_inverse_answer():
    gain = np.array([0.5, 1.0, 4.0])
    graded = GradedHopfield(np.zeros((3, 3)), gain=gain)
    v = np.array([0.3, -0.9, 0.999])
    integrals = [quad(np.arctanh, 0, end)[0] / g for end, g in zip(v, gain, strict=True)]
    np.testing.assert_allclose(energy_values(graded, v[None])[0], sum(integrals), atol=1e-9)
    outside = energy_values(graded, np.array([[0.0, 0.0, 1.1], [-2.0, 0.0, 0.0], [1.0, -1.0, 1.0]]))
    np.testing.assert_array_equal(np.isinf(outside), [True, True, False])


def test_graded_energy_is_the_mean_field_free_energy_of_the_spins():
    graded = random_graded(20)
    spins = Hopfield(graded.coupling, graded.threshold, graded.external)
    cost = energy_values(spins, SPINS)
    v = np.random.default_rng(21).uniform(-0.99, 0.99, (20, 7))
    p = np.prod(0.5 * (1 + v[:, None, :] * SPINS), axis=-1)  # product distributions of means v
    free_energy = (p * (cost + np.log(p) / graded.gain)).sum(axis=1)
    constant = 7 * np.log(2) / graded.gain
    np.testing.assert_allclose(energy_values(graded, v), free_energy + constant, rtol=0, atol=1e-12)
    least = -logsumexp(-graded.gain * cost) / graded.gain + constant  # Gibbs-Bogoliubov
    assert (energy_values(graded, v) >= least).all()


def test_graded_corners_are_the_classical_energies():
    graded = random_graded(22, gain=50.0)
    spins = Hopfield(graded.coupling, graded.threshold, graded.external)
    corner = 7 * np.log(2) / 50.0
    np.testing.assert_allclose(
        energy_values(graded, SPINS.astype(float)),
        energy_values(spins, SPINS) + corner,
        rtol=0,
        atol=1e-12,
    )


def graded_field(graded, v):
    x = pt.dmatrix()
    return compile_function([x], field(graded, x), mode=ONCE)(v)


@pytest.mark.parametrize(("gain", "antiferro"), [(0.7, False), (3.0, False), (8.0, True)])
def test_graded_recall_never_raises_the_energy_and_ends_where_the_field_vanishes(gain, antiferro):
    rng = np.random.default_rng(23)
    coupling = np.eye(20) - 1.0 if antiferro else random_coupling(rng, 20)
    graded = GradedHopfield(coupling, external=0.1 * rng.standard_normal(20), gain=gain)
    starts = rng.uniform(-0.9, 0.9, (15, 20))
    recall = graded.recall(starts, max_updates=20_000)
    assert recall.converged.all()
    assert (np.diff(recall.energies, axis=0) <= 1e-12).all()
    np.testing.assert_allclose(recall.energies[0], energy_values(graded, starts), atol=1e-12)
    np.testing.assert_allclose(
        recall.energies[-1], energy_values(graded, recall.states), atol=1e-12
    )
    expected = np.tanh(gain * (recall.states @ coupling + graded.external))
    np.testing.assert_allclose(recall.states, expected, rtol=0, atol=1e-5)
    inner = np.abs(recall.states).max(axis=1) < 1 - 1e-9
    slope = graded_field(graded, recall.states[inner])
    np.testing.assert_allclose(slope, 0.0, atol=1e-4)


def test_a_step_longer_than_the_bound_does_raise_the_graded_energy(monkeypatch):
    graded = GradedHopfield(np.eye(20) - 1.0, gain=8.0)
    starts = np.random.default_rng(24).uniform(-0.9, 0.9, (15, 20))
    monkeypatch.setattr(graded_hopfield, "eigvalsh", lambda *args, **kwargs: np.zeros(1))
    rises = np.diff(graded.recall(starts).energies, axis=0)
    assert rises.max() > 0.1


def test_graded_recall_ends_where_the_differential_equation_does():
    graded = random_graded(25, gain=2.0)
    start = np.random.default_rng(26).uniform(-0.5, 0.5, 7)
    bias = graded.external - graded.threshold

    def velocity(time, u):
        return np.tanh(2.0 * u) @ graded.coupling + bias - u

    end = solve_ivp(velocity, (0, 200), np.arctanh(start) / 2.0, method="LSODA", rtol=1e-10).y[
        :, -1
    ]
    recall = graded.recall(start)
    np.testing.assert_allclose(recall.states, np.tanh(2.0 * end), atol=1e-6)


def test_graded_recall_of_a_high_gain_finds_the_patterns():
    patterns = random_patterns(27, 4, 80)
    graded = GradedHopfield(hebbian(patterns.astype(float)), gain=20.0)
    recall = graded.recall(0.2 * patterns)
    np.testing.assert_array_equal(np.sign(recall.states), patterns)
    assert recall.updates.shape == (4,)

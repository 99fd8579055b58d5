import numpy as np
import pytest
from replica_oracle import (
    joint_numbers,
    mean_swap_acceptance,
    product_law,
    tempering_by_hand,
)
from scipy.stats import norm
from spin_oracle import FALSE_ALARM, all_spins, distribution, graph, random_system

from pm_energy.kernels.lanes_anneal import lanes_anneal, lanes_descent
from pm_energy.kernels.lanes_energies import lanes_energies
from pm_energy.kernels.lanes_graph import (
    DenseLanes,
    LanesGraph,
    lanes_graph,
    pack_lanes,
    unpack_lanes,
)
from pm_energy.kernels.lanes_sweeps import lanes_sweeps
from pm_energy.kernels.lanes_tempering import lanes_tempering
from pm_energy.testing import pooled_chisquare

N = 4
MATRIX, BIAS = random_system(N, seed=1, scale=1.5)
GRAPH = lanes_graph(*graph(MATRIX), BIAS)
SPARSE = lanes_graph(*graph(MATRIX), BIAS, np.arange(N))
BETAS = np.array([0.0, 0.4, 1.0])
LAWS = [distribution(beta * MATRIX, beta * BIAS) for beta in BETAS]
LADDERS = 25_600


def energy(spins, matrix=MATRIX, bias=BIAS):
    s = spins.astype(float)
    return -0.5 * (s @ bias) - 0.25 * ((s @ matrix) * s).sum(-1)


def fresh(n_levels, n_ladders):
    return np.repeat(np.arange(n_levels, dtype=np.int16)[:, None], n_ladders, axis=1)


def exact_starts(rng, laws, count):
    """(n_levels, count, n)"""
    return np.stack([all_spins(N)[rng.choice(2**N, count, p=law)] for law in laws])


def at_levels(state, replica):
    """States by level, (n_levels, n_ladders, n)."""
    by_replica = unpack_lanes(state).reshape(*replica.shape, -1)
    return np.take_along_axis(by_replica, replica[:, :, None].astype(int), axis=0)


def kernel(rng, spins, parity):
    state, replica = pack_lanes(spins.reshape(-1, N)), fresh(len(BETAS), LADDERS)
    lanes_tempering(rng, state, GRAPH, BETAS, replica, 1, offset=parity)
    return at_levels(state, replica)


def sparse_kernel(rng, spins, parity):
    state, replica = pack_lanes(spins.reshape(-1, N)), fresh(len(BETAS), LADDERS)
    lanes_tempering(rng, state, SPARSE, BETAS, replica, 1, offset=parity)
    return at_levels(state, replica)


def by_hand(rng, spins, parity, **defect):
    state = pack_lanes(spins.reshape(-1, N))
    lanes_sweeps(rng, state, GRAPH, np.repeat(BETAS, LADDERS))
    swapped = unpack_lanes(state).reshape(spins.shape).swapaxes(0, 1).copy()
    tempering_by_hand(rng, swapped, energy, BETAS, parity, **defect)
    return swapped.swapaxes(0, 1)


def reversed_sign(rng, spins, parity):
    return by_hand(rng, spins, parity, sign=-1)


def aliased(rng, spins, parity):
    return by_hand(rng, spins, parity, alias=True)


def betas_of_the_wrong_levels(rng, spins, parity):
    state, replica = pack_lanes(spins.reshape(-1, N)), fresh(len(BETAS), LADDERS)
    wrong = replica[::-1].copy()
    lanes_tempering(rng, state, GRAPH, BETAS, wrong, 1, offset=parity)
    return at_levels(state, replica)


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize(
    ("step", "is_right"),
    [
        (kernel, True),
        (sparse_kernel, True),
        (by_hand, True),
        (reversed_sign, False),
        (aliased, False),
        (betas_of_the_wrong_levels, False),
    ],
)
def test_a_step_leaves_the_product_of_all_levels_invariant(step, is_right, parity):
    rng = np.random.default_rng(2)
    spins = step(rng, exact_starts(rng, LAWS, LADDERS), parity)
    p = pooled_chisquare(joint_numbers(spins.swapaxes(0, 1)), product_law(LAWS))
    assert (p > FALSE_ALARM) == is_right


def test_swaps_are_accepted_as_often_as_they_should_be():
    betas = np.linspace(0.0, 2.0, 8)
    laws = [distribution(beta * MATRIX, beta * BIAS) for beta in betas]
    rng, count = np.random.default_rng(3), 20_000
    state = pack_lanes(exact_starts(rng, laws, count).reshape(-1, N))
    run = lanes_tempering(rng, state, GRAPH, betas, fresh(8, count), 2)
    exact = mean_swap_acceptance(energy(all_spins(N)), laws, betas)
    # min(1, ratio) lies in [0, 1]: its variance is at most mean (1 - mean).
    error = np.sqrt(exact * (1 - exact) / count)
    assert (np.abs(run.swap_acceptance - exact) < norm.isf(FALSE_ALARM / 14) * error).all()


def test_the_energies_returned_are_those_of_the_states_at_their_levels():
    rng = np.random.default_rng(4)
    betas, replica = np.linspace(0.0, 2.0, 8), fresh(8, 16)
    state = pack_lanes(rng.choice([-1, 1], size=(128, N)))
    for t in range(20):
        run = lanes_tempering(rng, state, GRAPH, betas, replica, 1, offset=t)
        np.testing.assert_array_equal(run.replica[0], replica)
        np.testing.assert_allclose(
            run.energy[0], energy(at_levels(state, replica)), rtol=0, atol=1e-13
        )


def test_a_run_in_pieces_wanders_on():
    """The betas of the lanes follow from ``replica``: 2 + 3 iterations keep all laws, too."""
    rng = np.random.default_rng(5)
    state, replica = pack_lanes(exact_starts(rng, LAWS, LADDERS).reshape(-1, N)), fresh(3, LADDERS)
    lanes_tempering(rng, state, GRAPH, BETAS, replica, 2)
    lanes_tempering(rng, state, GRAPH, BETAS, replica, 3, offset=2)
    spins = at_levels(state, replica).swapaxes(0, 1)
    assert pooled_chisquare(joint_numbers(spins), product_law(LAWS)) > FALSE_ALARM


def test_equal_levels_always_swap_in_turns():
    replica = fresh(4, 8)
    run = lanes_tempering(
        np.random.default_rng(6), pack_lanes(np.ones((32, N))), GRAPH, np.full(4, 0.5), replica, 4
    )
    way = [[1, 0, 3, 2], [1, 3, 0, 2], [3, 1, 2, 0], [3, 2, 1, 0]]
    np.testing.assert_array_equal(run.replica[:, :, 5], way)
    np.testing.assert_array_equal(replica[:, 5], way[-1])
    np.testing.assert_array_equal(run.swap_acceptance, 1.0)


def test_nothing_is_kept_unless_asked_for():
    run = lanes_tempering(
        np.random.default_rng(7), pack_lanes(np.ones((96, N))), GRAPH, BETAS, fresh(3, 32), 1,
        record=False,
    )  # fmt: skip
    assert run.energy is None
    assert run.replica is None
    np.testing.assert_array_equal(np.isnan(run.swap_acceptance), [False, True])


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(("n", "biased"), [(2, True), (11, True), (40, False), (41, True)])
def test_energies_are_those_of_the_formula(n, biased, dense):
    matrix, bias = random_system(n, seed=n, density=0.9)
    bias = bias if biased else np.zeros(n)
    spins = np.random.default_rng(8).choice([-1, 1], size=(96, n))
    form = lanes_graph(*graph(matrix), bias, None if dense else np.arange(n))
    assert isinstance(form, DenseLanes if dense else LanesGraph)
    found = lanes_energies(pack_lanes(spins), form)
    np.testing.assert_allclose(found, energy(spins, matrix, bias), rtol=0, atol=1e-12)


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_descent_ends_in_local_minima_no_higher_than_it_started(density):
    matrix, bias = random_system(100, seed=9, density=density)
    spins = np.random.default_rng(10).choice([-1, 1], size=(320, 100))
    state = pack_lanes(spins)
    lanes_descent(state, lanes_graph(*graph(matrix), bias))
    after = unpack_lanes(state)
    assert (after * (after @ matrix + bias) > -1e-4).all()
    assert (energy(after, matrix, bias) < energy(spins, matrix, bias)).all()


@pytest.mark.parametrize("order", [None, np.arange(60)])
def test_descent_ends_where_rounding_makes_fields_of_nothing(order):
    """Sums that cancel exactly, but not in float32 and not in every order."""
    rng = np.random.default_rng(11)
    half = rng.normal(size=(30, 30)) * 1e3
    matrix = np.block([[np.zeros((30, 30)), half], [half.T, np.zeros((30, 30))]])
    matrix[:, ::2] = -matrix[:, 1::2]
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
    state = pack_lanes(rng.choice([-1, 1], size=(64, 60)))
    assert lanes_descent(state, lanes_graph(*graph(matrix), 0.0, order)) < 60


@pytest.mark.parametrize(("seed", "density"), [(0, 0.2), (1, 0.2), (2, 0.9)])
def test_anneals_find_the_ground_state(seed, density):
    matrix, bias = random_system(12, seed, density)
    rng = np.random.default_rng(seed)
    state = pack_lanes(rng.choice([-1, 1], size=(64, 12)))
    found = lanes_anneal(rng, state, lanes_graph(*graph(matrix), bias), np.linspace(0.1, 4, 60))
    np.testing.assert_allclose(found, energy(unpack_lanes(state), matrix, bias), atol=1e-12)
    assert found.min() == pytest.approx(energy(all_spins(12), matrix, bias).min(), abs=1e-12)


def test_each_lane_may_have_its_own_schedule():
    rng = np.random.default_rng(12)
    state = pack_lanes(rng.choice([-1, 1], size=(64, N)))
    schedule = np.outer(np.ones(40), np.r_[np.zeros(32), np.full(32, 50.0)])
    found = lanes_anneal(rng, state, GRAPH, schedule, descend=False)
    minima = all_spins(N)
    minima = minima[(minima * (minima @ MATRIX + BIAS) >= 0).all(1)]
    assert np.isin(found[32:].round(9), energy(minima).round(9)).all()
    assert not np.isin(found[:32].round(9), energy(minima).round(9)).all()


@pytest.mark.parametrize("betas", [-1.0, [-0.1, 1.0], [np.nan], np.ones((3, 2))])
def test_bad_schedules_are_named(betas):
    with pytest.raises(ValueError, match="betas"):
        lanes_anneal(np.random.default_rng(0), pack_lanes(np.ones((32, N))), GRAPH, betas)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", np.ones((3, N + 1, 32), np.float32)),
        ("betas", np.array([0.0, 0.4, 0.5, 0.6, 0.7])),
        ("betas", np.array([0.0, 0.9, 0.5])),
        ("betas", np.array([-0.1, 0.0, 0.5])),
        ("replica", np.zeros((3, 32), int)),
        ("replica", np.zeros((3, 32), np.int16)),
        ("replica", fresh(3, 31)),
        ("update", "wolff"),
    ],
)
def test_bad_arguments_are_named(name, value):
    arguments = {
        "state": pack_lanes(np.ones((96, N))),
        "betas": BETAS,
        "replica": fresh(3, 32),
        "update": "metropolis",
    } | {name: value}
    with pytest.raises(ValueError, match=name):
        lanes_tempering(np.random.default_rng(0), graph=GRAPH, n_iterations=1, **arguments)

import numpy as np
import pytest
from replica_oracle import (
    joint_numbers,
    mean_swap_acceptance,
    product_law,
    tempering_by_hand,
)
from scipy.stats import norm
from spin_oracle import FALSE_ALARM, all_spins, distribution, graph

from pm_energy.kernels.multispin_energies import multispin_energies
from pm_energy.kernels.multispin_graph import multispin_graph
from pm_energy.kernels.multispin_sweeps import multispin_sweeps
from pm_energy.kernels.multispin_tempering import multispin_tempering, swap_rows
from pm_energy.kernels.multispin_words import pack_spins, to_rows, unpack_spins
from pm_energy.testing import pooled_chisquare

# A frustrated triangle with a spin on a string: 16 states.
MATRIX = np.array([[0, 1, -1, 0], [1, 0, 1, 0], [-1, 1, 0, -1], [0, 0, -1, 0]])
N = len(MATRIX)
GRAPH = multispin_graph(*graph(MATRIX))
BETAS = np.array([0.0, 0.3, 0.9])
LAWS = [distribution(2 * beta * MATRIX, np.zeros(N)) for beta in BETAS]
BATCHES = 400  # of 64 ladders


def energy(spins):
    s = spins.astype(int)
    return -((s @ MATRIX) * s).sum(-1) / 2


def exact_starts(rng, laws=LAWS):
    """(64, n_levels, n)"""
    return np.stack([all_spins(N)[rng.choice(2**N, 64, p=law)] for law in laws], axis=1)


def to_words(spins):
    return np.concatenate([pack_spins(level) for level in spins.swapaxes(0, 1)], axis=1)


def to_spins(words, n_levels):
    return unpack_spins(words).reshape(n_levels, 64, -1).swapaxes(0, 1)


def kernel(rng, spins, parity):
    words = to_words(spins)
    multispin_tempering(rng, words, GRAPH, BETAS, 1, offset=parity)
    spins[...] = to_spins(words, len(BETAS))


def by_hand(rng, spins, parity, **defect):
    words = to_words(spins)
    multispin_sweeps(rng, words, GRAPH, BETAS)
    spins[...] = to_spins(words, len(BETAS))
    tempering_by_hand(rng, spins, energy, BETAS, parity, **defect)


def reversed_sign(rng, spins, parity):
    by_hand(rng, spins, parity, sign=-1)


def aliased(rng, spins, parity):
    by_hand(rng, spins, parity, alias=True)


def betas_of_the_wrong_levels(rng, spins, parity):
    words = to_words(spins[:, ::-1])
    multispin_tempering(rng, words, GRAPH, BETAS, 1, offset=parity)
    spins[...] = to_spins(words, len(BETAS))[:, ::-1]


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize(
    ("step", "is_right"),
    [
        (kernel, True),
        (by_hand, True),
        (reversed_sign, False),
        (aliased, False),
        (betas_of_the_wrong_levels, False),
    ],
)
def test_a_step_leaves_the_product_of_all_levels_invariant(step, is_right, parity):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(BATCHES):
        spins = exact_starts(rng)
        step(rng, spins, parity)
        found.append(joint_numbers(spins))
    p = pooled_chisquare(np.concatenate(found), product_law(LAWS))
    assert (p > FALSE_ALARM) == is_right


def test_many_levels_keep_their_laws_and_accept_as_often_as_they_should():
    """Twelve levels: swaps within a vector of eight words and across its end."""
    betas = np.linspace(0.0, 1.5, 12)
    laws = [distribution(2 * beta * MATRIX, np.zeros(N)) for beta in betas]
    rng = np.random.default_rng(2)
    acceptance, found = [], []
    for _ in range(BATCHES):
        words = to_words(exact_starts(rng, laws))
        run = multispin_tempering(rng, words, GRAPH, betas, 2)
        acceptance.append(run.swap_acceptance)
        found.append(run.bond_sums[-1])
    exact = mean_swap_acceptance(energy(all_spins(N)), laws, betas)
    mean, error = np.mean(acceptance, axis=0), np.std(acceptance, axis=0) / np.sqrt(BATCHES)
    assert (np.abs(mean - exact) < norm.isf(FALSE_ALARM / 22) * error).all()
    for level, law in enumerate(laws):
        values, which = np.unique(-energy(all_spins(N)), return_inverse=True)
        sums = np.concatenate([sums[level] for sums in found])
        number = np.searchsorted(values, sums)
        np.testing.assert_array_equal(values[number], sums)
        assert pooled_chisquare(number, np.bincount(which, law)) > FALSE_ALARM / 12


@pytest.mark.parametrize("update", ["heat-bath", "metropolis"])
def test_the_sums_returned_are_those_of_the_states_at_their_levels(update):
    """Fails if energies are swapped and states are not, or the other way round."""
    rng = np.random.default_rng(3)
    betas = np.linspace(0.0, 1.0, 11)
    words = rng.integers(0, 2**64, size=(N, 11), dtype=np.uint64)
    for t in range(20):
        run = multispin_tempering(rng, words, GRAPH, betas, 1, offset=t, update=update)
        sums = multispin_energies(words, GRAPH).reshape(11, 64)
        np.testing.assert_array_equal(run.bond_sums[0], sums)


def test_replicas_carry_their_states_along():
    """Without sweeps each replica keeps the state it came with, wherever it wanders."""
    rng = np.random.default_rng(4)
    betas = np.linspace(0.0, 1.0, 19)
    words = rng.integers(0, 2**64, size=(N, 19), dtype=np.uint64)
    start = to_spins(words, 19)
    replica = np.repeat(np.arange(19, dtype=np.int16)[:, None], 64, axis=1)
    run = multispin_tempering(rng, words, GRAPH, betas, 50, sweeps_per_swap=0, replica=replica)
    np.testing.assert_array_equal(run.replica[-1], replica)
    ladder = np.arange(64)[:, None]
    np.testing.assert_array_equal(to_spins(words, 19), start[ladder, replica.T])
    assert (np.sort(run.replica, axis=1) == np.arange(19)[:, None]).all()
    assert (replica != np.arange(19)[:, None]).any()


def test_equal_levels_always_swap_in_turns():
    """The way of a replica through the ladder is then that of a ball between two walls."""
    replica = np.repeat(np.arange(4, dtype=np.int16)[:, None], 64, axis=1)
    words = np.zeros((N, 4), np.uint64)
    run = multispin_tempering(
        np.random.default_rng(5), words, GRAPH, np.full(4, 0.5), 4, replica=replica
    )
    way = [[1, 0, 3, 2], [1, 3, 0, 2], [3, 1, 2, 0], [3, 2, 1, 0]]
    np.testing.assert_array_equal(run.replica[:, :, 17], way)
    np.testing.assert_array_equal(run.swap_acceptance, 1.0)
    odd_first = multispin_tempering(
        np.random.default_rng(5), words, GRAPH, np.full(4, 0.5), 1, offset=1, replica=replica
    )
    np.testing.assert_array_equal(odd_first.replica[0, :, 17], [3, 1, 2, 0])
    np.testing.assert_array_equal(odd_first.swap_acceptance, [np.nan, 1.0, np.nan])


def test_words_change_places_where_the_mask_is_set():
    rng = np.random.default_rng(6)
    for n_words in (2, 8, 9, 17):
        words = rng.integers(0, 2**64, size=(5, n_words), dtype=np.uint64)
        for first in (0, 1):
            rows = to_rows(words)
            masks = np.zeros(8 * -(-n_words // 8) + 8, np.uint64)
            expected = words.copy()
            for low in range(first, n_words - 1, 2):
                mask = rng.integers(0, 2**64, dtype=np.uint64)
                masks[low : low + 2] = mask
                a, b = words[:, low], words[:, low + 1]
                expected[:, low] = (a & ~mask) | (b & mask)
                expected[:, low + 1] = (b & ~mask) | (a & mask)
            swap_rows(rows, masks, first)
            np.testing.assert_array_equal(rows[:, :n_words], expected)


def test_differences_beyond_the_table_of_acceptances():
    """A ladder with one large step on a graph with more bonds than are tabulated."""
    n = 3_000
    i = np.arange(n)
    ring = multispin_graph(
        np.arange(0, 2 * n + 1, 2),
        np.stack([(i - 1) % n, (i + 1) % n], axis=1).ravel(),
        np.ones(2 * n, int),
    )
    up_and_down = np.where(i % 2, ~np.uint64(0), np.uint64(0))
    words = np.stack([np.zeros(n, np.uint64), up_and_down], axis=1)
    step = 1 / 6_000  # hot and ordered, cold and disordered: swapped for sure
    run = multispin_tempering(
        np.random.default_rng(7), words, ring, np.array([0.0, step]), 1, sweeps_per_swap=0
    )
    np.testing.assert_array_equal(run.swap_acceptance, 1.0)
    run = multispin_tempering(
        np.random.default_rng(7), words, ring, np.array([0.0, step]), 1, sweeps_per_swap=0
    )
    np.testing.assert_allclose(run.swap_acceptance, np.exp(-1.0))


def test_nothing_is_kept_unless_asked_for():
    words = np.zeros((N, 3), np.uint64)
    run = multispin_tempering(np.random.default_rng(8), words, GRAPH, BETAS, 3, record=False)
    assert run.bond_sums is None
    assert run.replica is None
    assert run.swap_acceptance.shape == (2,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("words", np.zeros((N + 1, 3), np.uint64)),
        ("betas", np.array([0.0, 0.5])),
        ("betas", np.array([0.0, 0.9, 0.5])),
        ("betas", np.array([-0.1, 0.0, 0.5])),
        ("replica", np.zeros((3, 64), int)),
        ("replica", np.zeros((2, 64), np.int16)),
        ("update", "wolff"),
    ],
)
def test_bad_arguments_are_named(name, value):
    arguments = {"words": np.zeros((N, 3), np.uint64), "betas": BETAS} | {name: value}
    with pytest.raises(ValueError, match=name):
        multispin_tempering(np.random.default_rng(0), graph=GRAPH, n_iterations=1, **arguments)

import numpy as np
import pytest
from spin_oracle import all_spins, graph

from pm_energy.kernels.multispin_anneal import multispin_anneal, multispin_descent
from pm_energy.kernels.multispin_energies import multispin_energies
from pm_energy.kernels.multispin_graph import multispin_graph
from pm_energy.kernels.multispin_words import pack_spins, unpack_spins


def bond_sums(spins, matrix):
    s = spins.astype(int)
    return ((s @ matrix) * s).sum(1) // 2


def sparse_signs(n, degree, seed):
    """About ``degree`` bonds a site, at most 8, of random sign."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((n, n), int)
    for i, j in rng.integers(n, size=(n * degree // 2, 2)):
        if i != j and max(np.count_nonzero(matrix[i]), np.count_nonzero(matrix[j])) < 8:
            matrix[i, j] = matrix[j, i] = rng.choice([-1, 1])
    return matrix


@pytest.mark.parametrize(("n", "n_words"), [(2, 1), (17, 3), (100, 8), (400, 17)])
def test_sums_are_those_of_the_energy(n, n_words):
    matrix = sparse_signs(n, 4, seed=n)
    spins = np.random.default_rng(1).choice([-1, 1], size=(64 * n_words, n))
    found = multispin_energies(pack_spins(spins), multispin_graph(*graph(matrix)))
    np.testing.assert_array_equal(found, bond_sums(spins, matrix))


def test_sums_of_more_bonds_than_16_bits_count():
    n = 40_000
    i = np.arange(n)
    beside = np.stack([(i + k) % n for k in (-2, -1, 1, 2)], axis=1)
    signs = np.ones(4 * n, int)
    ring = multispin_graph(np.arange(0, 4 * n + 1, 4), beside.ravel(), signs)
    words = np.zeros((n, 1), np.uint64)
    words[::2] = 1  # the first replica: up and down in turn; the others: all down
    sums = multispin_energies(words, ring)
    assert (sums[0], set(sums[1:])) == (0, {2 * n})


def test_two_bonds_between_two_sites_count_twice():
    pair = np.array([0, 2, 4]), np.array([1, 1, 0, 0])
    words = np.array([[0], [1]], np.uint64)
    same = multispin_energies(words, multispin_graph(*pair, np.array([1, 1, 1, 1])))
    opposed = multispin_energies(words, multispin_graph(*pair, np.array([1, -1, -1, 1])))
    assert (same[0], same[1], opposed[0], opposed[1]) == (-2, 2, 0, 0)


def test_energies_of_wrong_words_are_refused():
    with pytest.raises(ValueError, match="words"):
        multispin_energies(np.zeros((3, 2), np.int8), multispin_graph(*graph(np.eye(2)[::-1])))


def test_descent_ends_in_local_minima_no_higher_than_it_started():
    matrix = sparse_signs(200, 5, seed=2)
    spins = np.random.default_rng(3).choice([-1, 1], size=(640, 200))
    words = pack_spins(spins)
    multispin_descent(words, multispin_graph(*graph(matrix)))
    after = unpack_spins(words).astype(int)
    assert ((after @ matrix) * after >= 0).all()
    assert (bond_sums(after, matrix) > bond_sums(spins, matrix)).all()


def test_descent_moves_no_spin_that_lowers_nothing():
    ring = np.roll(np.eye(6, dtype=int), 1, axis=1)
    words = np.array([7, 7, 7, 0, 0, 0], np.uint64)[:, None]  # walls between free spins
    before = words.copy()
    assert multispin_descent(words, multispin_graph(*graph(ring + ring.T))) == 1
    np.testing.assert_array_equal(words, before)


@pytest.mark.parametrize("seed", range(3))
def test_anneals_find_the_ground_state(seed):
    matrix = sparse_signs(12, 5, seed)
    ground = bond_sums(all_spins(12), matrix).max()
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2**64, size=(12, 2), dtype=np.uint64)
    found = multispin_anneal(rng, words, multispin_graph(*graph(matrix)), np.linspace(0.1, 2, 60))
    np.testing.assert_array_equal(found, bond_sums(unpack_spins(words), matrix))
    assert found.max() == ground


def test_descent_can_be_left_out():
    matrix = sparse_signs(200, 5, seed=4)
    words = np.zeros((200, 1), np.uint64)
    sums = [
        multispin_anneal(
            np.random.default_rng(5),
            words.copy(),
            multispin_graph(*graph(matrix)),
            np.full(5, 0.5),
            descend,
        )
        for descend in (False, True)
    ]
    assert (sums[1] > sums[0]).all()


@pytest.mark.parametrize("betas", [-1.0, [-0.1, 1.0], [np.nan], np.ones((3, 2))])
def test_bad_schedules_are_named(betas):
    matrix = sparse_signs(5, 2, seed=6)
    with pytest.raises(ValueError, match="betas"):
        multispin_anneal(
            np.random.default_rng(0),
            np.zeros((5, 1), np.uint64),
            multispin_graph(*graph(matrix)),
            betas,
        )

"""Energies made from energies, nested as well."""

import numpy as np
import pytensor.tensor as pt
import pytest
from energy_cases import ALL, COMPOSED, DENSE, EDGES, ISING, MACHINES, MASK, POTTS, rbm
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, evaluate_once
from pm_energy.energy import Block, blocks_of, single_block
from pm_energy.exact.enumeration import all_states
from pm_energy.structure import flatten, unflatten


def states_of(energy):
    return all_states(single_block(energy))


@pytest.mark.parametrize("name", ["ising bonds", "potts dense", "cubic", "marginal spin binary"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 4.0])
def test_tempered_multiplies_the_energy(name, beta):
    energy, x = ALL[name], states_of(ALL[name])
    tempered = pme.energy_values(pme.Tempered(energy, beta), x)
    np.testing.assert_allclose(tempered, beta * pme.energy_values(energy, x), atol=1e-12)


def test_sum_adds_energies_of_any_classes():
    terms = (MACHINES["spin machine"], ISING["ising dense"], ALL["cubic"])
    x = states_of(terms[0])
    expected = sum(pme.energy_values(term, x) for term in terms)
    np.testing.assert_allclose(pme.energy_values(pme.Sum(terms), x), expected, atol=1e-12)
    as_list = pme.Sum(list(terms))
    np.testing.assert_allclose(pme.energy_values(as_list, x), expected, atol=1e-12)


def test_sum_of_layered_energies():
    v, h = np.random.default_rng(1).integers(0, 2, size=(2, 6, 3))
    h = h[:, :2]
    total = pme.Sum((rbm(), pme.Tempered(rbm(), 2.0)))
    value = pme.energy_values(total, v, h)
    np.testing.assert_allclose(value, 3 * pme.energy_values(rbm(), v, h), atol=1e-12)


@pytest.mark.parametrize("name", ["ising field", "potts sites", "binary machine", "cubic"])
def test_clamped_keeps_the_energy_of_the_whole_state(name):
    energy = ALL[name]
    x = states_of(energy)
    rng = np.random.default_rng(2)
    mask = rng.random(x.shape[1:]) < 0.5
    mask.flat[:2] = True, False
    held = x[rng.integers(len(x))]
    rows = x[(x == held)[:, mask].all(axis=1)]
    clamped = pme.Clamped(energy, mask, held)
    assert clamped.event_shape == ((~mask).sum(),)
    value = pme.energy_values(clamped, rows[:, ~mask])
    np.testing.assert_allclose(value, pme.energy_values(energy, rows), atol=1e-12)
    whole = evaluate_once(clamped.scatter(pt.as_tensor(rows[:, ~mask])))
    np.testing.assert_array_equal(whole, rows)


def test_clamped_conditions_the_distribution():
    """p(free | held) is the joint, restricted and normalised."""
    energy, held = ISING["ising dense"], np.array([1, 0, 0, -1])
    states, p = pme.exact.distribution(energy)
    rows = (states[:, MASK] == held[MASK]).all(axis=1)
    free, conditional = pme.exact.distribution(pme.Clamped(energy, MASK, held))
    np.testing.assert_array_equal(free, states[rows][:, ~MASK])
    np.testing.assert_allclose(conditional, p[rows] / p[rows].sum(), atol=1e-14)


def test_what_stands_at_free_units_does_not_matter():
    values = [
        pme.energy_values(pme.Clamped(ISING["ising dense"], MASK, states), [[1, -1]])
        for states in ([1, -1, 1, -1], [1, 0, 77, -1], [1.0, np.nan, np.nan, -1.0])
    ]
    assert values[0] == values[1] == values[2]


def test_clamped_real_units():
    energy = pme.energy_from_function(
        lambda x, a: (a * x**2).sum(-1), pme.Real(), (3,), a=[1.0, 2.0, 3.0]
    )
    clamped = pme.Clamped(energy, [False, True, False], [np.nan, 0.5, np.nan])
    value = pme.energy_values(clamped, [[1.0, 2.0], [0.0, 1.0]])
    np.testing.assert_allclose(value, [13.5, 3.5], rtol=1e-15)
    structure, leaves = flatten(clamped)
    again = pme.energy_values(unflatten(structure, leaves), [[1.0, 2.0]])
    np.testing.assert_allclose(again, 13.5, rtol=1e-15)


def test_clamped_takes_encoded_units_of_unknown_shape():
    clamped = COMPOSED["clamped potts"]
    for shape in ((None, 2, 3), (None, None, None)):
        x = pt.tensor(shape=shape, dtype="float64")
        fn = compile_function([x], clamped(x), mode=ONCE)
        one_hot = np.eye(3)[[[0, 1], [2, 2]]]
        np.testing.assert_allclose(
            fn(one_hot), pme.energy_values(clamped, [[0, 1], [2, 2]]), rtol=1e-13
        )


@pytest.mark.parametrize("visible", ["binary", "spin"])
@pytest.mark.parametrize("hidden", ["binary", "spin"])
@pytest.mark.parametrize("block", [0, 1])
def test_marginal_sums_a_block_out(visible, hidden, block):
    energy = rbm(visible, hidden)
    tables = [all_states(b).astype(float) for b in blocks_of(energy)]
    both = energy(tables[0][:, None], tables[1][None])
    marginal = pme.Marginal(energy, block)
    value = pme.energy_values(marginal, tables[1 - block])
    np.testing.assert_allclose(value, -logsumexp(-both, axis=block), atol=1e-12)


def test_marginal_of_categories():
    """A hidden layer of one-hot units: a product of mixtures."""

    class Mixture:
        blocks = (Block(pme.Binary(), (3,)), Block(pme.Categorical(4), (2,)))

        def __call__(self, v, z):
            weights = np.linspace(-1, 1, 24).reshape(3, 8)
            flat = z.reshape((*[z.shape[i] for i in range(z.ndim - 2)], 8))
            return -((v @ weights) * flat).sum(-1) - 0.2 * v.sum(-1)

    energy = Mixture()
    v, z = (all_states(block) for block in energy.blocks)
    one_hot = np.eye(4)[z]
    both = [evaluate_once(energy(pt.as_tensor(np.tile(row, (16, 1)).astype(float)),
                                 pt.as_tensor(one_hot))) for row in v]  # fmt: skip
    value = pme.energy_values(pme.Marginal(energy), v)
    np.testing.assert_allclose(value, -logsumexp(-np.array(both), axis=1), atol=1e-12)


class Layered:
    """Two layers of bits with a term that may forbid to sum the second one out."""

    blocks = (Block(pme.Binary(), (2,)), Block(pme.Binary(), (2,)))

    def __init__(self, term):
        self.term = term

    def __call__(self, v, h):
        return -v[..., 0] * h[..., 1] + self.term(v, h)


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        (lambda v, h: h[..., 0] * h[..., 1], "its units interact"),
        (lambda v, h: v[..., 0] * h[..., 0] * h[..., 1], "its units interact"),
        (lambda v, h: (h**2).sum(-1), "do not enter affinely"),
        (lambda v, h: abs(h - 0.5).sum(-1), "does not give a polynomial"),
        (lambda v, h: pt.floor(h).sum(-1), "does not give a polynomial"),
        (lambda v, h: pt.exp(h).sum(-1), "does not give a polynomial"),
    ],
)
def test_marginal_refuses_units_that_interact_or_enter_otherwise(term, reason):
    with pytest.raises(ValueError, match=rf"block 1 of Layered cannot be summed out: .*{reason}"):
        pme.Marginal(Layered(term))


def test_marginal_does_not_mind_what_the_other_block_does():
    energy = Layered(lambda v, h: pt.exp(v[..., 0] * v[..., 1]) - v.sum(-1) * h.sum(-1))
    v, h = np.meshgrid(range(4), range(4), indexing="ij")
    states = all_states(energy.blocks[0])
    both = pme.energy_values(energy, states[v.ravel()], states[h.ravel()]).reshape(4, 4)
    value = pme.energy_values(pme.Marginal(energy), states)
    np.testing.assert_allclose(value, -logsumexp(-both, axis=1), atol=1e-12)
    with pytest.raises(ValueError, match="block 0"):
        pme.Marginal(energy, block=0)


@pytest.mark.parametrize("coding", ["binary", "spin"])
def test_joined_lays_blocks_end_to_end(coding):
    energy = rbm(coding, coding)
    joined = pme.Joined(energy)
    x = states_of(joined)
    assert joined.event_shape == (5,)
    assert joined.sizes == (3, 2)
    value = pme.energy_values(energy, x[:, :3], x[:, 3:])
    np.testing.assert_allclose(pme.energy_values(joined, x), value, atol=1e-12)


def test_joined_splits_blocks_of_any_shape_and_coding():
    class Two:
        blocks = (Block(pme.Categorical(3), (2, 2)), Block(pme.Categorical(3), (2,)))

        def __call__(self, a, b):
            return -(a[..., 0, 1, :] * b[..., 1, :]).sum(-1) - a[..., 1, 0, 2]

    x = np.random.default_rng(3).integers(0, 3, size=(50, 6))
    value = pme.energy_values(pme.Joined(Two()), x)
    expected = -(x[:, 1] == x[:, 5]).astype(float) - (x[:, 2] == 2)
    np.testing.assert_allclose(value, expected, atol=1e-14)
    parts = pme.Joined(Two()).split(x)
    assert [p.shape for p in parts] == [(50, 2, 2), (50, 2)]


def test_marginal_of_the_joint_at_a_temperature_is_not_a_tempered_marginal():
    energy, x = rbm(), all_states(Block(pme.Binary(), (3,)))
    inside = pme.energy_values(pme.Marginal(pme.Tempered(energy, 0.3)), x)
    outside = pme.energy_values(pme.Tempered(pme.Marginal(energy), 0.3), x)
    assert np.ptp(inside - outside) > 0.1


@pytest.mark.parametrize("name", COMPOSED)
def test_compositions_survive_taking_apart(name):
    energy, x = COMPOSED[name], states_of(COMPOSED[name])
    again = unflatten(*flatten(energy))
    assert blocks_of(again) == blocks_of(energy)
    np.testing.assert_array_equal(pme.energy_values(again, x), pme.energy_values(energy, x))


RING = pme.Ising(lattice=(3,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pme.Tempered(RING, -0.1), "beta must not be negative"),
        (lambda: pme.Tempered(RING, np.nan), "beta must be finite"),
        (lambda: pme.Tempered(RING, np.inf), "beta must be finite"),
        (lambda: pme.Tempered(RING, [0.1, 0.2]), r"beta must have 0 dimension\(s\)"),
        (lambda: pme.Tempered(RING, "hot"), "beta must be numeric"),
        (lambda: pme.Tempered("ising", 1.0), "is not an energy"),
        (lambda: pme.Sum(()), "terms must hold at least one energy"),
        (lambda: pme.Sum(RING), "terms must be a tuple of energies"),
        (lambda: pme.Sum((RING, 3)), "is not an energy"),
        (lambda: pme.Sum((RING, pme.Ising(lattice=(4,)))), "terms must share domain and shape"),
        (lambda: pme.Sum((RING, pme.Potts(2, lattice=(3,)))), "terms must share domain and shape"),
        (lambda: pme.Sum((rbm(), rbm("spin"))), "terms must share domain and shape"),
        (lambda: pme.Sum((POTTS["potts bonds"], pme.Potts(4, graph=EDGES))), "terms must share"),
        (lambda: pme.Clamped(RING, [True, False], [1, 1]), "mask must be a bool array of shape"),
        (lambda: pme.Clamped(RING, [1, 0, 0], [1, 1, 1]), "mask must be a bool array"),
        (lambda: pme.Clamped(RING, [True] * 3, [1, 1, 1]), "mask holds every unit"),
        (lambda: pme.Clamped(RING, [True, False, False], [1, 1]), "states must have shape"),
        (lambda: pme.Clamped(RING, [True, False, False], [0, 1, 1]), "states contains the value 0"),
        (lambda: pme.Clamped(RING, [True, False, False], [np.nan, 1, 1]), "states contains the"),
        (lambda: pme.Clamped(RING, [True, False, False], ["1", 1, 1]), "states must be numeric"),
        (lambda: pme.Clamped(RING, [True, False, False], [None, 1, 1]), "states must be numeric"),
        (lambda: pme.Clamped(RING, [True, False, False], pt.lvector()), "states must have shape"),
        (lambda: pme.Clamped(rbm(), [True], [1]), "RBM has 2 blocks"),
        (lambda: pme.Marginal(RING), r"Marginal needs an energy over two blocks .* got 1 block"),
        (lambda: pme.Marginal(rbm(), 2), "block=2"),
        (lambda: pme.Marginal(rbm(), "hidden"), "block='hidden'"),
        (lambda: pme.Marginal(pme.RBM(DENSE, visible="gaussian"), 0), "block is real-valued"),
        (lambda: pme.Joined(rbm("spin", "binary")), "Joined needs blocks of one domain"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""The kernel of every normal form leaves the distribution of the energy and weights invariant."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.special import softmax

import pm_energy as pme
from pm_energy.cluster_roads import cluster_sweeper
from pm_energy.compile import energy_values, evaluate_once
from pm_energy.energy import single_block
from pm_energy.exact import all_states, state_number
from pm_energy.forms import find_form
from pm_energy.roads import sweeper
from pm_energy.testing import check_invariance

RNG = np.random.default_rng(3)


def symmetric(n):
    matrix = RNG.normal(size=(n, n))
    return (matrix + matrix.T) * (1 - np.eye(n)) / 2


LAYERS = RNG.normal(size=(5, 3)), RNG.normal(size=5), RNG.normal(size=3)
TRIANGLE = [[0, 1], [1, 2], [2, 0], [2, 3]]
MASK = np.array([[True, False, False], [False, False, True]])
SHAPE = (2, 3)
FIELD = RNG.normal(size=SHAPE)
ENERGIES = {
    "even torus": pme.Ising(lattice=(4, 2), coupling=0.4, field=0.1),
    "odd torus": pme.Ising(lattice=(3, 3), coupling=0.3, field=0.2),
    "lattice": pme.Ising(lattice=SHAPE, coupling=-0.5, field=FIELD, periodic=False),
    "bonds": pme.Ising(lattice=SHAPE, coupling=RNG.normal(size=9), field=FIELD),
    "triangular": pme.Ising(lattice=(3, 3), triangular=True, coupling=0.2),
    "cube": pme.Ising(lattice=(2, 2, 2), coupling=0.3),
    "graph": pme.Ising(graph=TRIANGLE, coupling=RNG.normal(size=4), field=0.3),
    "dense": pme.Ising(symmetric(5), RNG.normal(size=5)),
    "machine": pme.BoltzmannMachine(symmetric(5), RNG.normal(size=5)),
    "derived": pme.energy_from_function(
        lambda x, a: -a * (x[..., 0, 0] * x[..., 1, 2] + x[..., 1, 1]), pme.Binary(), SHAPE, a=1.1
    ),
    "Potts": pme.Potts(3, lattice=SHAPE, coupling=0.5, field=RNG.normal(size=(*SHAPE, 3))),
    "Potts graph": pme.Potts(3, graph=TRIANGLE, coupling=RNG.normal(size=4)),
    "dense Potts": pme.Potts(3, symmetric(4), RNG.normal(size=3)),
    "many states": pme.Potts(40, lattice=(2,), coupling=2.0, field=RNG.normal(size=40)),
    "many states, square": pme.Potts(30, lattice=(2, 1), coupling=2.0),
    "int16": pme.Potts(130, lattice=(2,), coupling=3.0),
    "RBM": pme.Marginal(pme.RBM(*LAYERS)),
    "hidden layer": pme.Marginal(pme.RBM(*LAYERS), 0),
    "spin RBM": pme.Marginal(pme.RBM(*LAYERS, visible="spin", hidden="spin")),
    "mixed RBM": pme.Marginal(pme.RBM(*LAYERS, visible="spin")),
    "joined RBM": pme.Joined(pme.RBM(*LAYERS)),
    "tempered RBM": pme.Marginal(pme.Tempered(pme.RBM(*LAYERS), 0.4)),
    "held": pme.Clamped(pme.Ising(lattice=SHAPE, coupling=0.5, field=FIELD), MASK, np.ones(SHAPE)),
    "held dense": pme.Clamped(
        pme.Ising(symmetric(5)), np.arange(5) < 2, np.array([1, -1, 1, 1, 1])
    ),
    "held Potts": pme.Clamped(pme.Potts(3, lattice=SHAPE), MASK, np.full(SHAPE, 2)),
    "held RBM": pme.Clamped(pme.Marginal(pme.RBM(*LAYERS)), np.arange(5) < 2, [1, 0, 0, 0, 0]),
    "held layers": pme.Clamped(pme.Joined(pme.RBM(*LAYERS)), np.arange(8) > 5, np.ones(8)),
    "tempered sum": pme.Tempered(
        pme.Sum((pme.Ising(lattice=SHAPE), pme.Ising(lattice=SHAPE, coupling=-0.3, field=FIELD))),
        0.5,
    ),
}
FERROMAGNETS = {
    "lattice": pme.Ising(lattice=(3, 3), coupling=0.4),
    "lattice in a field": pme.Ising(lattice=SHAPE, coupling=0.4, field=FIELD),
    "bonds": pme.Ising(graph=TRIANGLE, coupling=[0.1, 0.5, 0.0, 1.0]),
    "dense": pme.BoltzmannMachine(np.abs(symmetric(5))),
    "Potts": pme.Potts(3, lattice=SHAPE, coupling=0.7),
    "Potts in a field": pme.Potts(3, lattice=SHAPE, coupling=0.7, field=[0.5, 0.0, -0.5]),
    "dense Potts": pme.Potts(3, np.abs(symmetric(4))),
    "held": pme.Clamped(pme.Ising(lattice=SHAPE, coupling=0.5), MASK, np.ones(SHAPE)),
}


def check(energy, make_sweep, weights, seen_weights=None):
    """One sweep from exact starts; ``seen_weights`` is what the kernel is told if it is wrong."""
    block = single_block(energy)
    states = all_states(block)
    log_p = -energy_values(energy, states)
    if weights is not None:
        index = np.searchsorted(block.domain.states, states)
        log_p = log_p + np.take_along_axis(weights, index, axis=0).reshape(len(states), -1).sum(1)
    form = find_form(energy)
    tensors = evaluate_once([pt.as_tensor(t) for t in form.tensors])
    sweep = make_sweep(form, block.domain)
    told = weights if seen_weights is None else seen_weights

    def update(rng, x):
        before = x.copy()
        changes = sweep(rng, x, tensors, told, 1)
        assert changes >= np.count_nonzero(x != before)
        return x

    check_invariance(
        update,
        states,
        softmax(log_p),
        lambda x: state_number(x, block.domain),
        starts=20_000 if seen_weights is None else 5000,
    )


def random_weights(energy):
    block = single_block(energy)
    return RNG.normal(size=(len(block.domain.states), *block.shape))


@pytest.mark.parametrize(
    "name", ["even torus", "odd torus", "bonds", "dense", "machine", "Potts", "RBM", "held"]
)
def test_kernel_of_an_energy(name):
    check(ENERGIES[name], sweeper, None)


@pytest.mark.parametrize("name", ENERGIES)
def test_kernel_of_an_energy_and_weights(name):
    check(ENERGIES[name], sweeper, random_weights(ENERGIES[name]))


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("odd torus", 0.0),
        ("bonds", -1.0),
        ("dense", 0.0),
        ("Potts", 0.0),
        ("RBM", -1.0),
        ("held", 0.0),
    ],
)
def test_wrong_weights_are_seen(name, factor):
    """Weights ignored, and weights of the wrong sign."""
    weights = random_weights(ENERGIES[name])
    told = factor * weights
    with pytest.raises(AssertionError, match="invariant"):
        check(ENERGIES[name], sweeper, weights, told)


@pytest.mark.parametrize("name", ["odd torus", "Potts", "RBM"])
def test_forbidden_states_are_never_taken(name):
    weights = random_weights(ENERGIES[name])
    weights.reshape(len(weights), -1)[0, ::2] = -np.inf
    check(ENERGIES[name], sweeper, weights)


@pytest.mark.parametrize("name", ["Potts", "Potts graph", "many states"])
def test_suwa_todo(name):
    def make(form, domain):
        return sweeper(form, domain, "suwa-todo")

    check(ENERGIES[name], make, random_weights(ENERGIES[name]))


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        *[(name, "swendsen-wang") for name in FERROMAGNETS],
        *[(name, "wolff") for name in ("lattice", "bonds", "Potts in a field", "dense")],
    ],
)
def test_cluster_kernels(name, algorithm):
    def make(form, domain):
        return cluster_sweeper(form, domain, algorithm)

    energy = FERROMAGNETS[name]
    check(energy, make, random_weights(energy))
    if name in ("lattice", "Potts"):  # these have kernels of their own without weights
        check(energy, make, None)


@pytest.mark.parametrize("algorithm", ["swendsen-wang", "wolff"])
def test_wrong_weights_of_clusters_are_seen(algorithm):
    def make(form, domain):
        return cluster_sweeper(form, domain, algorithm)

    energy = FERROMAGNETS["lattice"]
    weights = random_weights(energy)
    with pytest.raises(AssertionError, match="invariant"):
        check(energy, make, weights, -weights)


def test_clusters_need_a_ferromagnet():
    energy = pme.Ising(lattice=SHAPE, coupling=-0.1)
    with pytest.raises(ValueError, match=r"couplings >= 0.*-0.2.*EnergyGibbs"):
        check(energy, cluster_sweeper, None)
    with pytest.raises(ValueError, match="Layers"):
        check(ENERGIES["RBM"], cluster_sweeper, None)


def test_float32_layers():
    energy = ENERGIES["RBM"]
    form, block = find_form(energy), single_block(energy)
    single = [t.astype("float32") for t in evaluate_once([pt.as_tensor(t) for t in form.tensors])]
    states, p = pme.exact.distribution(energy)
    sweep = sweeper(form, block.domain)

    def update(rng, x):
        sweep(rng, x, single, None, 1)
        return x

    check_invariance(update, states, p, lambda x: state_number(x, block.domain))
    single[0] = 0.7 * single[0]
    with pytest.raises(AssertionError, match="invariant"):
        check_invariance(update, states, p, lambda x: state_number(x, block.domain), starts=5000)


def test_layers_follow_weights_that_change():
    """Tiles of a weight matrix are kept; they must not outlive it."""
    energy = ENERGIES["RBM"]
    form, block = find_form(energy), single_block(energy)
    sweep = sweeper(form, block.domain)
    rng, x = np.random.default_rng(0), np.zeros(block.shape, dtype=np.int8)
    for strength in (50.0, -50.0):
        coupling = np.full((5, 3), strength)
        sweep(rng, x, [coupling, np.full(5, -40.0), np.full(3, 500.0)], None, 3)
        assert x.tolist() == [int(strength > 0)] * 5


def test_forms_without_a_kernel():
    with pytest.raises(TypeError, match="no kernel for dict"):
        sweeper({}, pme.Spin())

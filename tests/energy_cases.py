"""Small energies of every kind over one block of discrete units, for tests that hold for all."""

import numpy as np

import pm_energy as pme
from pm_energy.energies.dense_memory import ExponentialMemory, PolynomialMemory

RNG = np.random.default_rng(11)
DENSE = np.triu(RNG.normal(size=(4, 4)), 1)
DENSE = DENSE + DENSE.T
EDGES = [[0, 1], [1, 2], [3, 1], [4, 0]]
SQUARE = RNG.normal(size=(2, 3))
MASK = np.array([True, False, False, True])


def rbm(visible="binary", hidden="binary"):
    """A small restricted machine of either coding."""
    rng = np.random.default_rng(12)
    weights, a, b = rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2)
    return pme.RBM(weights, a, b, visible=visible, hidden=hidden)


def cubic(x, a):
    """Affine in each unit, but not quadratic."""
    return -(a * x[..., :-1] * x[..., 1:]).sum(-1) - 0.7 * x[..., 0] * x[..., 1] * x[..., 2]


def squares(x, j):
    """Quadratic with self-couplings, which are constants for spins and fields for bits."""
    return -0.5 * ((x @ j) * x).sum(-1) - 0.3 * x.sum(-1)


def plane(x, a):
    """Quadratic on a two-dimensional block."""
    return -(a * x[..., 1:, :] * x[..., :-1, :]).sum((-1, -2)) - 0.2 * x.sum((-1, -2))


FULL = DENSE + np.diag([0.5, -0.2, 0.1, 1.0])
ISING = {
    "ising torus": pme.Ising(0.4, lattice=(3, 3)),
    "ising field": pme.Ising(-0.4, SQUARE, lattice=(2, 3)),
    "ising bonds": pme.Ising(RNG.normal(size=7), 0.3, lattice=(2, 3), periodic=False),
    "ising chain": pme.Ising(0.4, 0.1, lattice=(5,), periodic=False),
    "ising triangular": pme.Ising(-0.4, 0.2, lattice=(3, 3), triangular=True),
    "ising cube": pme.Ising(0.2, lattice=(2, 2, 2)),
    "ising graph": pme.Ising(RNG.normal(size=4), RNG.normal(size=5), graph=EDGES),
    "ising isolated": pme.Ising(0.5, 0.2, graph=EDGES, n_sites=6),
    "ising dense": pme.Ising(DENSE, 0.1),
}
MACHINES = {
    "binary machine": pme.BoltzmannMachine(DENSE, RNG.normal(size=4), offset=2.0),
    "binary scalar": pme.BoltzmannMachine(DENSE, 0.3),
    "spin machine": pme.BoltzmannMachine(DENSE, RNG.normal(size=4), coding="spin"),
    "spin network": pme.Hopfield(DENSE, [0.5, -0.3, 0.2, 0.1], 0.4, offset=-1.0),
    "binary network": pme.Hopfield(DENSE, -0.3, [0.1, 0.2, 0.7, -0.6], coding="binary"),
}
POTTS = {
    "potts torus": pme.Potts(2, 0.5, lattice=(3, 3)),
    "potts states": pme.Potts(3, 0.5, RNG.normal(size=3), lattice=(2, 2)),
    "potts sites": pme.Potts(3, -0.5, RNG.normal(size=(2, 2, 3)), lattice=(2, 2)),
    "potts bonds": pme.Potts(3, RNG.normal(size=4), 0.3, graph=EDGES),
    "potts triangular": pme.Potts(2, 0.5, lattice=(3, 3), triangular=True),
    "potts dense": pme.Potts(3, DENSE, RNG.normal(size=(4, 3))),
}
MARGINALS = {
    f"marginal {visible} {hidden}": pme.Marginal(rbm(visible, hidden))
    for visible in ("binary", "spin")
    for hidden in ("binary", "spin")
} | {
    "hidden units": pme.Marginal(rbm(), block=0),
    "tempered marginal": pme.Marginal(pme.Tempered(rbm("spin"), 0.4)),
    "marginal sum": pme.Marginal(pme.Sum((rbm(), pme.Tempered(rbm(), 0.5)))),
}
JOINED = {
    "joined binary": pme.Joined(rbm()),
    "joined spin": pme.Joined(rbm("spin", "spin")),
    "joined tempered": pme.Joined(pme.Tempered(rbm("spin", "spin"), 0.4)),
}
COMPOSED = {
    "tempered ising": pme.Tempered(ISING["ising bonds"], 0.3),
    "tempered twice": pme.Tempered(pme.Tempered(POTTS["potts states"], 0.3), 2.0),
    "tempered to zero": pme.Tempered(ISING["ising dense"], 0.0),
    "sum of ising": pme.Sum((ISING["ising field"], pme.Ising(0.2, lattice=(2, 3)))),
    "sum of bonds": pme.Sum((ISING["ising graph"], pme.Ising(0.2, graph=EDGES))),
    "sum of machines": pme.Sum((MACHINES["binary machine"], MACHINES["binary scalar"])),
    "sum of potts": pme.Sum((POTTS["potts states"], POTTS["potts sites"])),
    "sum of other graphs": pme.Sum((ISING["ising graph"], pme.Ising(0.2, graph=EDGES[::-1]))),
    "sum with a machine": pme.Sum((MACHINES["spin machine"], ISING["ising dense"])),
    "clamped ising": pme.Clamped(ISING["ising field"], SQUARE > 0, np.sign(SQUARE)),
    "clamped machine": pme.Clamped(MACHINES["binary machine"], MASK, [1, 9, 9, 0]),
    "clamped potts": pme.Clamped(POTTS["potts dense"], MASK, [2, 0, 0, 1]),
    "clamped tempered": pme.Clamped(pme.Tempered(POTTS["potts bonds"], 0.5), [True, *[False] * 4],
                                    [1] * 5),
    "tempered clamped": pme.Tempered(pme.Clamped(ISING["ising dense"], MASK, [1, 0, 0, -1]), 2.0),
    "clamped twice": pme.Clamped(pme.Clamped(ISING["ising dense"], MASK, [1, 0, 0, -1]),
                                 [True, False], [1, 0]),
    "clamped joined": pme.Clamped(JOINED["joined binary"], [True, *[False] * 4], [1] * 5),
    "sum of clamped": pme.Sum((pme.Clamped(ISING["ising dense"], MASK, [1, 0, 0, -1]),
                               pme.Clamped(MACHINES["spin machine"], MASK, [1, 0, 0, 1]))),
}  # fmt: skip
FUNCTIONS = {
    "spin function": pme.energy_from_function(squares, pme.Spin(), (4,), j=FULL),
    "binary function": pme.energy_from_function(squares, pme.Binary(), (4,), j=FULL),
    "plane of spins": pme.energy_from_function(plane, pme.Spin(), (2, 3), a=0.5),
    "plane of bits": pme.energy_from_function(plane, pme.Binary(), (2, 3), a=0.5),
}
CUBIC = {"cubic": pme.energy_from_function(cubic, pme.Spin(), (4,), a=0.5)}
SPINS = [[1, 1, -1, 1], [-1, 1, 1, 1], [1, -1, -1, -1]]
MEMORIES = {
    "polynomial memory": PolynomialMemory(SPINS),
    "exponential memory": ExponentialMemory(SPINS, 0.4),
}

WITH_FORM = ISING | MACHINES | POTTS | MARGINALS | JOINED | COMPOSED | FUNCTIONS
AFFINE = {
    name: energy
    for name, energy in (WITH_FORM | CUBIC).items()
    if name not in MARGINALS and name not in ("spin function", "binary function")
}
ALL = WITH_FORM | CUBIC | MEMORIES
# one of each kind, for properties that a single formula proves for its whole class
EACH_KIND = {
    name: ALL[name]
    for name in (
        "ising field", "ising bonds", "ising graph", "ising dense", "binary machine",
        "spin machine", "potts states", "potts bonds", "potts dense", "marginal binary spin",
        "hidden units", "joined spin", "tempered twice", "sum of bonds", "sum of machines",
        "clamped machine", "clamped potts", "spin function", "plane of bits", "cubic",
    )
}  # fmt: skip

"""Models with one discrete Boltzmann field, as users write them, and the road each should take."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import pm_energy as pme
from pm_energy import Road

RNG = np.random.default_rng(31)
SHAPE = (2, 3)
Y = RNG.normal(size=SHAPE)
COUNTS = RNG.poisson(3.0, size=SHAPE)
MISSING = np.array([[True, False, False], [False, True, False]])
ISING = pme.Ising(lattice=SHAPE, coupling=0.4, field=RNG.normal(size=SHAPE))
POTTS = pme.Potts(3, lattice=SHAPE, coupling=0.6)
LEVELS = pt.as_tensor([-1.0, 0.0, 2.0])
RBM = pme.RBM(RNG.normal(size=(6, 3)), RNG.normal(size=6))


@dataclass(frozen=True, eq=False)
class ThreeSpin:
    """A user's own energy, affine in each spin and not quadratic."""

    coupling: Any
    domain: ClassVar = pme.Spin()
    event_shape: ClassVar = (5,)

    def __call__(self, s):
        return -self.coupling * (s * pt.roll(s, 1, axis=-1) * pt.roll(s, 2, axis=-1)).sum(axis=-1)


@dataclass(frozen=True, eq=False)
class ThreePotts(ThreeSpin):
    """The same of categories: three equal neighbours in a row."""

    domain: ClassVar = pme.Categorical(3)
    event_shape: ClassVar = (4,)

    def __call__(self, x):
        runs = x[..., :-2, :] * x[..., 1:-1, :] * x[..., 2:, :]
        return -self.coupling * runs.sum(axis=(-1, -2))


@dataclass(frozen=True, eq=False)
class Margin(ThreeSpin):
    """Not affine: the distance of the sum from a target."""

    def __call__(self, s):
        return self.coupling * pt.abs(s.sum(axis=-1) - 2.0)


def prior(energy, **kwargs):
    pme.Boltzmann("z", energy, **kwargs)


def gaussian():
    z, mu = pme.Boltzmann("z", ISING), pm.Normal("mu", shape=2)
    pm.Normal("y", mu[(z + 1) // 2], pm.HalfNormal("sigma"), observed=Y)


def poisson():
    z, rate = pme.Boltzmann("z", POTTS), pm.Gamma("rate", 2.0, 1.0, shape=3)
    pm.Poisson("y", rate[z], observed=COUNTS)


def mixture():
    z, w = pme.Boltzmann("z", POTTS), pm.Dirichlet("w", np.ones(2), shape=(3, 2))
    parts = [pm.Normal.dist(-1.0, 1.0), pm.StudentT.dist(nu=3, mu=2.0, sigma=0.5)]
    pm.Mixture("y", w=w[z], comp_dists=parts, observed=Y)


def normal_mixture():
    z, mu = pme.Boltzmann("z", ISING), pm.Normal("mu", shape=(2, 3))
    pm.NormalMixture("y", w=[0.2, 0.3, 0.5], mu=mu[(z + 1) // 2], sigma=0.7, observed=Y)


def replicated():
    z, mu = pme.Boltzmann("z", ISING), pm.Normal("mu")
    pm.Normal("y", mu * z, 1.0, observed=RNG.normal(size=(4, *SHAPE)))


def potential():
    z, a = pme.Boltzmann("z", POTTS), pm.Normal("a", shape=SHAPE)
    pm.Potential("pull", (a * pt.eq(z, 1)).sum() - 0.3 * z[0, 1] ** 2)


def several_terms():
    z, mu = pme.Boltzmann("z", ISING), pm.Normal("mu")
    pm.Normal("first", mu * z, 1.0, observed=Y)
    pm.Bernoulli("second", pm.math.sigmoid(0.5 * z.astype("float64")), observed=Y > 0)
    confusion = pt.as_tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    pm.Categorical("third", confusion[(z + 1) // 2], observed=RNG.integers(3, size=SHAPE))
    pm.Potential("fourth", 0.2 * z.sum())


def data_and_dims():
    model = pm.modelcontext(None)
    model.add_coords({"row": range(2), "col": range(3)})
    z = pme.Boltzmann("z", pme.Ising(lattice=SHAPE, field=pm.Data("h", 0.2)), dims=("row", "col"))
    pm.Normal("y", z * pm.Data("scale", np.abs(Y)), 1.0, observed=pm.Data("seen", Y))


def random_coupling():
    J, T = pm.HalfNormal("J"), pm.LogNormal("T")
    z = pme.Boltzmann("z", pme.Ising(lattice=SHAPE, coupling=J), temperature=T)
    pm.Normal("y", z, 1.0, observed=Y)


def batch():
    z, mu = pme.Boltzmann("z", pme.Ising(lattice=(3,), field=0.3), shape=(2, 3)), pm.Normal("mu")
    pm.Normal("y", mu * z, [[1.0], [2.0]], observed=Y)


def partly_observed():
    z = pme.Boltzmann("z", ISING, observed=np.where(MISSING, np.nan, np.sign(Y)))
    pm.Normal("y", z, 1.0, observed=Y)


def partly_observed_layer():
    bits = (Y.ravel() > 0).astype(float)
    pme.Boltzmann("z", RBM, observed=np.where(MISSING.ravel(), np.nan, bits))


def layer():
    v, mu = pme.Boltzmann("z", RBM, temperature=1.5), pm.Normal("mu", shape=2)
    pm.Normal("y", mu[v], 1.0, observed=Y.ravel())


def joined_layers():
    units = pme.Boltzmann("z", pme.Joined(pme.RBM(RNG.normal(size=(4, 2)))))
    pm.Normal("hidden", units[4:], 1.0, observed=[0.3, 1.2])


def three_spins():
    z = pme.Boltzmann("z", ThreeSpin(0.7))
    pm.Normal("y", z, 1.0, observed=Y.ravel()[:5])


def three_categories():
    z = pme.Boltzmann("z", ThreePotts(0.9))
    pm.Normal("y", LEVELS[z], 1.0, observed=Y.ravel()[:4])


def total():
    z = pme.Boltzmann("z", ISING)
    pm.Normal("sum", z.sum(), 1.5, observed=2.0)
    pm.Normal("y", 0.5 * z, 1.0, observed=Y)


def blurred():
    z = pme.Boltzmann("z", pme.BoltzmannMachine(np.zeros((6, 6)), 0.3))
    pm.Normal("y", (RNG.normal(size=(4, 6)) * z).sum(-1), 1.0, observed=RNG.normal(size=4))


def blurred_categories():
    z = pme.Boltzmann("z", pme.Potts(3, lattice=(4,)))
    pm.Normal("y", LEVELS[z].sum(), 1.0, observed=2.0)


def margin():
    z = pme.Boltzmann("z", Margin(0.6))
    pm.Normal("y", z, 1.5, observed=Y.ravel()[:5])


def looked_up():
    table = pt.as_tensor(RNG.normal(size=64))
    z = pme.Boltzmann("z", ISING)
    pm.Potential("table", table[((z + 1) // 2 * (2 ** np.arange(6)).reshape(SHAPE)).sum()])


MODELS = {
    "prior": (lambda: prior(ISING), Road.KERNEL),
    "tempered prior": (lambda: prior(POTTS, temperature=2.0), Road.KERNEL),
    "Gaussian": (gaussian, Road.KERNEL),
    "Poisson": (poisson, Road.KERNEL),
    "mixture": (mixture, Road.KERNEL),
    "normal mixture": (normal_mixture, Road.KERNEL),
    "replicated": (replicated, Road.KERNEL),
    "potential": (potential, Road.KERNEL),
    "several terms": (several_terms, Road.KERNEL),
    "data and dims": (data_and_dims, Road.KERNEL),
    "random coupling": (random_coupling, Road.KERNEL),
    "batch": (batch, Road.KERNEL),
    "partly observed": (partly_observed, Road.KERNEL),
    "partly observed layer": (partly_observed_layer, Road.KERNEL),
    "layer": (layer, Road.KERNEL),
    "joined layers": (joined_layers, Road.KERNEL),
    "three spins": (three_spins, Road.DERIVED),
    "three categories": (three_categories, Road.DERIVED),
    "total": (total, Road.BALANCED),
    "blurred": (blurred, Road.BALANCED),
    "margin": (margin, Road.BALANCED),
    "blurred categories": (blurred_categories, Road.EVALUATED),
    "looked up": (looked_up, Road.EVALUATED),
}


def build(name):
    with pm.Model() as model:
        MODELS[name][0]()
    return model


def field_of(model):
    """The only discrete free variable."""
    [rv] = [rv for rv in model.free_RVs if rv.dtype.startswith("int")]
    return rv


def random_point(model, seed):
    """A point of the model with its continuous variables away from their starts."""
    rng = np.random.default_rng(seed)
    start = model.initial_point()
    return {
        name: np.asarray(x + 0.5 * rng.normal(size=np.shape(x)))
        if np.asarray(x).dtype.kind == "f"
        else x
        for name, x in start.items()
    }

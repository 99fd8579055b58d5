"""EnergyGibbs in ``pm.sample`` against PyMC's own Gibbs-Metropolis steps on the same fields.

    python tests/benchmarks/bench_pymc.py

A 32 x 32 Ising torus against BinaryGibbsMetropolis, and a hidden 3-state Potts field under a noisy
picture, alone and together with unknown class means and noise, against CategoricalGibbsMetropolis;
the stock models state the couplings as a ``pm.Potential``. The time of a draw is the slope between
a short and a long call of ``pm.sample`` with one step object, so compilation and set-up are left
out; all that PyMC does for each draw is in. The effective samples are those of the field's own
energy, whose means must agree.
"""

import argparse
import logging
import time

import arviz as az
import numpy as np
import pymc as pm
from pymc.step_methods.metropolis import BinaryGibbsMetropolis, CategoricalGibbsMetropolis
from rounds import interleave, print_ratio, print_versions, spread, use_one_core

import pm_energy as pme

SIDE = 32
SITES = SIDE**2
ISING = 0.4
POTTS, CLASSES, NOISE = 0.8, 3, 0.25


def neighbours_equal(z, periodic):
    """Number of equal neighbours, as a PyTensor expression or for arrays (..., SIDE, SIDE)."""
    total = 0
    for axis in (-1, -2):
        ahead = np.s_[..., 1:] if axis == -1 else np.s_[..., 1:, :]
        behind = np.s_[..., :-1] if axis == -1 else np.s_[..., :-1, :]
        total = total + (1 * pm.math.eq(z[ahead], z[behind])).sum((-1, -2))
        if periodic:
            first, last = (np.s_[..., k] if axis == -1 else np.s_[..., k, :] for k in (0, -1))
            total = total + (1 * pm.math.eq(z[first], z[last])).sum(-1)
    return total


def energy_of(draws, periodic):
    """Agreement of each draw, shape (draws,): the energy up to scale."""
    total = np.zeros(len(draws))
    for axis in (1, 2):
        equal = draws == np.roll(draws, 1, axis)
        if not periodic:
            equal = np.delete(equal, 0, axis)
        total += equal.sum((1, 2))
    return total


def stock_ising():
    with pm.Model() as model:
        z = pm.Bernoulli("z", 0.5, shape=(SIDE, SIDE))
        pm.Potential("couplings", 2 * ISING * neighbours_equal(z, periodic=True))
    return model


def our_ising():
    with pm.Model() as model:
        pme.Boltzmann("z", pme.Ising(lattice=(SIDE, SIDE), coupling=ISING))
    return model


def picture():
    """Three vertical stripes at 0, 1/2 and 1, and noise."""
    stripes = np.repeat(np.arange(SIDE)[None] * CLASSES // SIDE, SIDE, axis=0) / (CLASSES - 1)
    return stripes + np.random.default_rng(1).normal(0, NOISE, stripes.shape)


def likelihood(z, unknown):
    """A picture of the classes, their means and the noise known or not."""
    mean, noise = pm.math.constant(np.linspace(0, 1, CLASSES)), NOISE
    if unknown:
        ordered = pm.distributions.transforms.ordered
        start = np.linspace(0, 1, CLASSES)
        mean = pm.Normal("mean", 0.5, 0.5, shape=CLASSES, transform=ordered, initval=start)
        noise = pm.HalfNormal("noise", 0.5)
    pm.Normal("pixel", mean[z], noise, observed=picture())


def stock_potts(unknown):
    with pm.Model() as model:
        z = pm.Categorical("z", p=np.full(CLASSES, 1 / CLASSES), shape=(SIDE, SIDE))
        pm.Potential("couplings", POTTS * neighbours_equal(z, periodic=False))
        likelihood(z, unknown)
    return model


def our_potts(unknown):
    with pm.Model() as model:
        field = pme.Potts(CLASSES, lattice=(SIDE, SIDE), periodic=False, coupling=POTTS)
        likelihood(pme.Boltzmann("z", field), unknown)
    return model


class Contender:
    """A model and its step, built once."""

    def __init__(self, model, method, short, long, sweeps=1, **kwargs):
        self.model, self.short, self.long, self.sweeps = model, short, long, sweeps
        with model:
            self.step = [method([model["z"]], **kwargs)]
            others = [rv for rv in model.free_RVs if rv.name != "z"]
            if others:
                self.step.append(pm.NUTS(others))
        self.sample(10)

    def sample(self, draws, tune=0, seed=0):
        with self.model:
            return pm.sample(
                draws,
                tune=tune,
                chains=1,
                step=self.step,
                random_seed=seed,
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
            )

    def seconds_a_draw(self):
        """Wall time of a draw, by the slope between two lengths of run."""
        times = []
        for draws in (self.short, self.long):
            start = time.perf_counter()
            self.sample(draws)
            times.append(time.perf_counter() - start)
        return (times[1] - times[0]) / (self.long - self.short)

    def energies(self, draws, periodic):
        """Mean energy, its standard error, and how many draws are worth one independent one."""
        trace = self.sample(draws, tune=draws // 5, seed=1)
        series = energy_of(trace["posterior"]["z"].values[0], periodic)
        ess = float(az.ess(series[None]))
        return series.mean(), series.std() / np.sqrt(ess), len(series) / ess


def compare(title, contenders, rounds, stock_draws, our_draws, periodic, floors):
    """Print time per site update, and effective samples per second, of all against the first."""
    print(f"\n{title}: ns per site update")
    times = interleave({name: c.seconds_a_draw for name, c in contenders.items()}, rounds)
    ns = {name: 1e9 * t / (SITES * contenders[name].sweeps) for name, t in times.items()}
    stock, *ours = contenders
    for name, values in ns.items():
        print(f"  {name:34s} {spread(values)}")
    for name in ours:
        print_ratio(f"{stock} / {name}", ns[stock] / ns[name], floors.get(name))
    print(f"{title}: effective samples of the energy per second")
    rates, means = {}, {}
    for name, contender in contenders.items():
        draws = stock_draws if name == stock else our_draws
        *means[name], worth = contender.energies(draws, periodic)
        rates[name] = 1 / (worth * times[name])
        print(f"  {name:34s} {spread(rates[name], 1)}; {worth:.1f} draws for one")
    for name in ours:
        print_ratio(f"{name} / {stock}", rates[name] / rates[stock])
        (a, a_error), (b, b_error) = means[name], means[stock]
        apart = abs(a - b) / np.hypot(a_error, b_error)
        print(f"    mean energies {a:.1f} and {b:.1f}: {apart:.1f} standard errors apart")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--draws", type=int, default=1000, help="of stock PyMC, for its ESS")
    options = parser.parse_args()
    use_one_core()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    print_versions("pymc", "pytensor", "numba", "numpy")
    size, run = (5, 45), (options.rounds, options.draws, 20 * options.draws)

    ising = {"BinaryGibbsMetropolis": Contender(stock_ising(), BinaryGibbsMetropolis, *size)}
    for sweeps in (1, 20):
        ising[f"EnergyGibbs, {sweeps} a draw"] = Contender(
            our_ising(), pme.EnergyGibbs, 500, 5500, sweeps, sweeps_per_draw=sweeps
        )
    floors = {"EnergyGibbs, 1 a draw": 150, "EnergyGibbs, 20 a draw": 1000}
    compare(f"Ising {SIDE} x {SIDE} torus, K = {ISING}", ising, *run, True, floors)

    for unknown, what in ((False, "means and noise known"), (True, "means and noise by NUTS")):
        potts = {
            "CategoricalGibbsMetropolis": Contender(
                stock_potts(unknown), CategoricalGibbsMetropolis, *size
            ),
            "EnergyGibbs, 1 a draw": Contender(our_potts(unknown), pme.EnergyGibbs, 300, 2300),
        }
        compare(f"Hidden Potts {SIDE} x {SIDE}, {what}", potts, *run, False, {})


if __name__ == "__main__":
    main()

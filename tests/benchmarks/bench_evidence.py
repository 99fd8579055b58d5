"""Log evidence and mode weights beside tempered SMC: seconds to a given error.

Run ``python tests/benchmarks/bench_evidence.py``, with the ``bench`` extra installed. Two problems
with known answers: thin Gaussian shells in 10 dimensions, and two modes in 20 dimensions, 10
standard deviations apart, with weights 1/3 and 2/3.

Every contender makes one run for each seed, in turn, in this process on one core. An estimate of
root mean square error r that takes t seconds would take ``t (r / .1)^2`` to an error of .1 if it
were repeated and averaged: the figure compared. It flatters those with a bias, which averages do
not remove. Times are CPU times with compilation, where a call compiles (the compiler's caches are
full after the first call, which is told apart); log_evidence counts as part of a run.

blackjax gets its log-density by hand in jax: HMC of 5 steps, 5 moves a temperature, scales and step
sizes adapted. It is compared with its compilation, as in a script that samples a model once, and
without it ("compiled blackjax").
"""

import argparse
import importlib.util
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pymc as pm
from rounds import print_versions, use_one_core

import pm_energy as pme

sys.path.insert(0, str(Path(__file__).parents[1] / "sampling"))
from known_evidence import shells, two_modes

ERRORS = {"log Z": 0.1, "mode weight": 0.02}


class Problem:
    """A model, its log evidence, and the weight of the mode on the positive side."""

    def __init__(self, make, weight, side):
        (self.model, self.log_z), self.weight, self.side = make, weight, side

    def __call__(self, log_z, x):
        """Errors of an estimate and of draws (..., d)."""
        return log_z - self.log_z, np.mean(self.side(np.asarray(x)) > 0) - self.weight


def problems():
    return {
        "shells 10-D": Problem(shells(10), 1 / 2, lambda x: x[..., 0]),
        "two modes 20-D": Problem(two_modes(), 2 / 3, lambda x: x.sum(axis=-1)),
    }


def tempered(driver, **options):
    """A driver of pm_energy."""

    def run(problem, name, seed):
        tree = driver(model=problem.model, random_seed=seed, cores=1, progressbar=False, **options)
        return pme.log_evidence(tree).value, tree["posterior"]["x"].values

    return run


def smc(draws):
    """PyMC's tempered SMC."""

    def run(problem, name, seed):
        tree = pm.sample_smc(
            draws, chains=1, cores=1, model=problem.model, random_seed=seed, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip
        found = tree["sample_stats"]["log_marginal_likelihood"].values.ravel()
        values = np.array([float(np.ravel(v)[-1]) for v in found])
        return values[np.isfinite(values)][-1], tree["posterior"]["x"].values

    return run


def blackjax_smc(particles, moves=5, steps=5, acceptance=0.8):
    """Adaptive tempered SMC with Hamiltonian moves, by hand in jax."""
    import blackjax
    import jax
    import jax.numpy as jnp
    from blackjax.smc import resampling
    from blackjax.smc.tuning.from_particles import particles_stds

    def shell_density(x):
        rest = (x[1:] ** 2).sum()
        r = [jnp.sqrt((x[0] - c) ** 2 + rest) for c in (3.5, -3.5)]
        logs = [-0.5 * ((a - 2) / 0.1) ** 2 - jnp.log(0.1 * jnp.sqrt(2 * jnp.pi)) for a in r]
        return jnp.logaddexp(*logs)

    def mode_density(x):
        c = 5 / jnp.sqrt(20.0)
        logs = [jnp.log(w / 3) - 0.5 * ((x - s * c) ** 2).sum() for w, s in ((1, -1), (2, 1))]
        return jnp.logaddexp(*logs) - 10 * jnp.log(2 * jnp.pi)

    settings = {"shells 10-D": (shell_density, 10, 6.0), "two modes 20-D": (mode_density, 20, 10.0)}
    hmc, compiled = blackjax.hmc.build_kernel(), {}

    def build(name):
        density, d, half = settings[name]

        def prior(x):
            return jnp.where((jnp.abs(x) < half).all(), -d * jnp.log(2 * half), -jnp.inf)

        def parameters(variance, step):
            return {
                "inverse_mass_matrix": variance[None],
                "step_size": jnp.full((1,), step),
                "num_integration_steps": jnp.full((1,), steps),
            }

        def body(carry):
            state, tuned, key, log_z, count = carry
            key, now = jax.random.split(key)
            sampler = blackjax.adaptive_tempered_smc(
                logprior_fn=prior, loglikelihood_fn=density, mcmc_step_fn=hmc,
                mcmc_init_fn=blackjax.hmc.init, mcmc_parameters=tuned, target_ess=0.5,
                resampling_fn=resampling.systematic, num_mcmc_steps=moves,
            )  # fmt: skip
            state, info = sampler.step(now, state)
            took = info.update_info.acceptance_rate.mean()
            step = tuned["step_size"][0] * jnp.exp(2 * (took - acceptance))
            tuned = parameters(particles_stds(state.particles) ** 2, step)
            return state, tuned, key, log_z + info.log_likelihood_increment, count + 1

        def unfinished(carry):
            return (carry[0].tempering_param < 1) & (carry[4] < 400)

        @jax.jit
        def run(key):
            first, key = jax.random.split(key)
            x = jax.random.uniform(first, (particles, d), minval=-half, maxval=half)
            start = blackjax.smc.tempered.init(x)
            tuned = parameters(particles_stds(x) ** 2, 1.0)
            carry = start, tuned, key, jnp.zeros(()), 0
            state, _, _, log_z, _ = jax.lax.while_loop(unfinished, body, carry)
            return log_z, state.particles

        return run

    def run(problem, name, seed):
        if name not in compiled:
            compiled[name] = build(name)
        log_z, x = jax.block_until_ready(compiled[name](jax.random.key(seed)))
        return float(log_z), x

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=12)
    seeds = parser.parse_args().seeds
    use_one_core()
    warnings.simplefilter("ignore")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    contenders = {
        "pm_energy population annealing": tempered(pme.sample_population_annealing, chains=1),
        "pm_energy population of 3,000": tempered(
            pme.sample_population_annealing, size=3000, chains=1
        ),
        "pm_energy parallel tempering": tempered(
            pme.sample_parallel_tempering, draws=1000, tune=250, chains=1
        ),
        "pm.sample_smc 1,000": smc(1000),
        "pm.sample_smc 2,000": smc(2000),
    }
    packages = ["pymc", "pytensor", "numba", "numpy"]
    if importlib.util.find_spec("blackjax"):
        contenders["blackjax SMC-HMC 1,000"] = blackjax_smc(1000)
        packages += ["blackjax", "jax"]
    print_versions(*packages)
    for name, problem in problems().items():
        print(f"\n{name}, {seeds} seeds")
        figures = compare(problem, name, contenders, seeds)
        for quantity in ERRORS:
            ours = min(v[quantity] for k, v in figures.items() if k.startswith("pm_energy"))
            for peer in ("pm.sample_smc", "blackjax", "compiled blackjax"):
                theirs = [v[quantity] for k, v in figures.items() if k.startswith(peer)]
                if theirs:
                    ratio = min(theirs) / ours
                    verdict = "met" if ratio >= 1 else "MISSED"
                    print(f"  {quantity} against {peer}: {ratio:.2f}  floor 1: {verdict}")


def compare(problem, name, contenders, seeds):
    """Seconds of CPU to the stated errors, for each contender."""
    errors, times = {k: [] for k in contenders}, {k: [] for k in contenders}
    first = {}
    for seed in range(seeds + 1):
        for k, run in contenders.items():
            began = time.process_time()
            found = run(problem, name, seed)
            spent = time.process_time() - began
            if seed == 0:
                first[k] = spent
            else:
                times[k].append(spent)
                errors[k].append(problem(*found))
    figures = {}
    for k in contenders:
        t, rms = np.median(times[k]), np.sqrt(np.mean(np.square(errors[k]), axis=0))
        bias = np.mean(errors[k], axis=0)
        pairs = zip(ERRORS.items(), rms, strict=True)
        powers = {quantity: (r / wanted) ** 2 for (quantity, wanted), r in pairs}
        figures[k] = {quantity: t * power for quantity, power in powers.items()}
        if k.startswith("blackjax"):  # its first call compiles, as every call of the others does
            figures[f"compiled {k}"] = figures[k]
            figures[k] = {quantity: first[k] * power for quantity, power in powers.items()}
        print(
            f"  {k:32s} {t:.2f} s a run (first {first[k]:.1f}); log Z off by {bias[0]:+.3f}, rms "
            f"{rms[0]:.3f}: {figures[k]['log Z']:.2f} s to .1; mode weight rms {rms[1]:.4f}: "
            f"{figures[k]['mode weight']:.2f} s to .02",
            flush=True,
        )
    return figures


if __name__ == "__main__":
    main()

"""Unadjusted Langevin moves of 1,000 chains x 1,000 steps in two dimensions against JAX.

    python tests/benchmarks/bench_langevin.py

One target is a mixture of two Gaussians, whose score is -x + 2 tanh(2 x_0) e_0. JAX has it by hand,
in float32, in one jitted scan, with either of its generators; the faster one counts. Ours is the
mixture kernel, and the derived gradient of the same energy as a formula that nothing is known about
and of a double well; in float64, but for noise and the components' shares. The other is a network
of two hidden layers of 64 units, of which JAX has the gradient; a tenth of the steps. In every
round all run, in turn, on one core; a ratio is taken within a round. What threads add is timed
afterwards on all cores.
"""

import functools
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytensor.tensor as pt
from rounds import interleave, print_ratio, print_versions, spread, use_one_core

import pm_energy as pme
from pm_energy.sampling.langevin import sample_langevin
from pm_energy.sampling.langevin_blocks import Plan, block_size, run_blocks
from pm_energy.sampling.langevin_density import make_density

CHAINS, STEPS, STEP, ROUNDS = 1000, 1000, 0.05**0.5, 15
FLOORS = {"mixture kernel": 4.0, "formula": 1.0, "double well": 1.0}
NETWORK = pme.NeuralEnergy.initial(np.random.default_rng(0), 2, hidden=(64, 64))
ENERGIES = {
    "mixture kernel": pme.GaussianMixtureEnergy([0.5, 0.5], [[-2.0, 0.0], [2.0, 0.0]]),
    "formula": pme.energy_from_function(
        lambda x: 0.5 * (x**2).sum(-1) - pt.log(pt.cosh(2 * x[..., 0])), pme.Real(), (2,)
    ),
    "double well": pme.DoubleWell(2),
}


def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def mixture_score(x):
    return 2.0 * jnp.tanh(2.0 * x) * jnp.array([[1.0], [0.0]]) - x


def network_score():
    """Of the network, by JAX's gradient."""
    *hidden, last = (jnp.asarray(part, jnp.float32) for part in NETWORK.weights)
    biases = [jnp.asarray(part, jnp.float32)[:, None] for part in NETWORK.biases]

    def log_p(x):
        h = x
        for weights, bias in zip(hidden, biases, strict=True):
            h = jax.nn.silu(weights.T @ h + bias)
        return -(last @ h).sum() - 0.5 * (x**2).sum()

    return jax.grad(log_p)


def jax_run(score, generator, steps=STEPS):
    """A jitted scan that returns the last states."""

    @jax.jit
    def scan(key):
        def move(x, key):
            return x + 0.5 * STEP**2 * score(x) + STEP * jax.random.normal(key, x.shape), None

        start = jax.random.normal(key, (2, CHAINS))
        return jax.lax.scan(move, start, jax.random.split(key, steps))[0]

    return lambda: np.asarray(scan(jax.random.key(1, impl=generator)))


def our_run(energy, method="ula", cores=1, chains=CHAINS, steps=STEPS):
    """Moves of all blocks; the last states are kept."""
    size = block_size(chains, 2)
    n_blocks = -(-chains // size)
    plan = Plan(method, 1, 0, steps, 1.0, 1.0, STEP)
    densities = [make_density(energy, size, plan.adjusts)] * n_blocks
    starts = np.random.default_rng(0).normal(size=(n_blocks, 2, size))
    rngs = np.random.default_rng(1).spawn(n_blocks)
    return functools.partial(run_blocks, plan, densities, starts, rngs, cores, False)


def main():
    """Time moves against JAX, the driver as a whole, and threads."""
    cores = sorted(os.sched_getaffinity(0))
    use_one_core()
    print_versions("numpy", "numba", "pytensor", "jax")
    generators = "rbg", "threefry2x32"
    runs = {f"jax {name}": jax_run(mixture_score, name) for name in generators}
    for name, energy in ENERGIES.items():
        runs[name] = lambda energy=energy: our_run(energy)()
    first = {name: seconds(run) for name, run in runs.items()}
    runs |= {name: our_run(energy) for name, energy in ENERGIES.items()}
    runs["mixture kernel, MALA"] = our_run(ENERGIES["mixture kernel"], "mala")
    runs["mixture kernel, underdamped"] = our_run(ENERGIES["mixture kernel"], "underdamped")
    few, score = STEPS // 10, network_score()
    runs |= {f"network, jax {name}": jax_run(score, name, few) for name in generators}
    runs["network"] = our_run(NETWORK, steps=few)
    runs["network, MALA"] = our_run(NETWORK, "mala", steps=few)
    for run in runs.values():
        run()
    times = interleave(
        {name: functools.partial(seconds, run) for name, run in runs.items()}, ROUNDS
    )
    print(f"{CHAINS:,} chains x {STEPS:,} steps: ms; the first call in s, compiling (or from disk)")
    for name, values in times.items():
        compiled = f", first {first[name]:.2f} s" if name in first else ""
        print(f"  {name:28s} {spread(1e3 * values)}, least {1e3 * min(values):.2f}{compiled}")
    print("time of JAX / pm_energy")
    peer = np.minimum(times["jax rbg"], times["jax threefry2x32"])
    for name, floor in FLOORS.items():
        print_ratio(name, peer / times[name], floor)
    peer = np.minimum(*(times[f"network, jax {name}"] for name in generators))
    print_ratio("network", peer / times["network"], 1.0)
    whole = functools.partial(
        sample_langevin, ENERGIES["mixture kernel"], 1, 0, method="ula", step_size=STEP, thin=STEPS,
        chains=CHAINS, cores=1, progressbar=False, random_seed=1,
    )  # fmt: skip
    whole()
    print(
        f"  the whole driver, DataTree included: {1e3 * min(seconds(whole) for _ in 'abc'):.1f} ms"
    )
    os.sched_setaffinity(0, cores)
    for n in range(1, len(cores) + 1):
        for steps in (STEPS, 10 * STEPS):  # threads take some 10 ms to start and to be waited for
            run = our_run(ENERGIES["mixture kernel"], cores=n, chains=16 * CHAINS, steps=steps)
            run()
            best = min(seconds(run) for _ in range(5))
            print(f"  {16 * CHAINS:,} chains x {steps:,}, {n} threads: {1e3 * best:.1f} ms")


if __name__ == "__main__":
    main()

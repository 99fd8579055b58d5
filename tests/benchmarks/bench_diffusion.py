"""Steps of DDIM for 1,000 points in two dimensions, by a network that is told the time.

    python tests/benchmarks/bench_diffusion.py

One core, float32 in the networks. JAX makes all steps in one jitted scan, compiled before, its
parameters, features of time and levels of noise in arrays: with the features beside x, as one
writes it, and with their part of the first layer added to its bias once a step, as pm_energy has
it; the faster one counts. pm_energy steps in numpy, points in float64, and checks each prediction.
What ``DiffusionModel.sample`` takes for a step, all included, is shown beside. In every round all
run, in turn; a ratio is taken within a round. Times are those of the processor.
"""

import functools
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from rounds import interleave, print_ratio, print_versions, spread, use_one_core
from threadpoolctl import threadpool_limits

from pm_energy.diffusion import CosineVP, sample, time_grid
from pm_energy.estimators.diffusion_model import DiffusionModel
from pm_energy.networks import MLP, frozen
from pm_energy.networks.features import time_waves

POINTS, STEPS, ROUNDS, WAVES, FLOOR = 1000, 100, 15, 16, 1 / 1.4
SCHEDULE = CosineVP()
ENDS = tuple(float(SCHEDULE.log_snr(t)) for t in (SCHEDULE.t_max, SCHEDULE.t_min))
HIDDEN = ((64, 64), (128, 128))


def microseconds(run):
    """Of the processor, for a step."""
    begin = time.process_time()
    run()
    return (time.process_time() - begin) / STEPS * 1e6


def our_run(network, theta):
    apply = frozen(network, theta)

    def predict(x, t):
        return apply(x, SCHEDULE.log_snr(t))

    return lambda: sample(
        predict, SCHEDULE, POINTS, 2, rng=np.random.default_rng(0), method="ddim", kind="v",
        n_steps=STEPS,
    )  # fmt: skip


def jax_run(theta, start, in_bias):
    """A jitted scan over noise levels and features of time."""
    *hidden, (last, shift) = [
        (jnp.asarray(theta[f"weights_{i}"]), jnp.asarray(theta[f"bias_{i}"]))
        for i in range(len(theta) // 2)
    ]
    times = time_grid(SCHEDULE, STEPS)
    waves = jnp.asarray(time_waves(SCHEDULE.log_snr(times[:-1]), WAVES, ENDS, np.float32))
    alpha, sigma = (jnp.asarray(value, jnp.float32) for value in SCHEDULE.path(times))

    @jax.jit
    def scan(x):
        def step(x, level):
            wave, a, s, next_a, next_s = level
            (first, bias), *rest = hidden
            if in_bias:
                h = jax.nn.silu(x @ first[:2] + (wave @ first[2:] + bias))
            else:
                told = jnp.broadcast_to(wave, (POINTS, WAVES))
                h = jax.nn.silu(jnp.concatenate([x, told], axis=1) @ first + bias)
            for weights, bias in rest:
                h = jax.nn.silu(h @ weights + bias)
            v = h @ last + shift
            data, noise = a * x - s * v, s * x + a * v  # of alpha^2 + sigma^2 = 1
            return next_a * data + next_s * noise, None

        levels = waves, alpha[:-1], sigma[:-1], alpha[1:], sigma[1:]
        return jax.lax.scan(step, x, levels)[0]

    start = jnp.asarray(start, jnp.float32)
    return lambda: np.asarray(scan(start))


def estimator_run(hidden):
    model = DiffusionModel(
        hidden=hidden, time_features=WAVES, sampler="ddim", n_steps=STEPS, n_iter=1, random_state=0
    ).fit(np.random.default_rng(0).normal(size=(POINTS, 2)))
    return functools.partial(model.sample, POINTS, random_state=0)


def main():
    """Time steps against JAX, networks small and larger."""
    use_one_core()  # XLA's threads, too
    warnings.simplefilter("ignore")
    with threadpool_limits(1, user_api="blas"):
        print_versions("numpy", "scipy", "numba", "jax")
        for hidden in HIDDEN:
            network = MLP(2, 2, hidden, time_features=WAVES, time_range=ENDS)
            theta = network.init(np.random.default_rng(0))
            start = SCHEDULE.prior(np.random.default_rng(0), POINTS, 2)
            runs = {
                "pm_energy": our_run(network, theta),
                "DiffusionModel.sample": estimator_run(hidden),
                "jax, time beside x": jax_run(theta, start, in_bias=False),
                "jax, time in the bias": jax_run(theta, start, in_bias=True),
            }
            ends = [runs[name]() for name in runs if name != "DiffusionModel.sample"]
            away = max(np.abs(end - ends[0]).max() for end in ends)
            runs["DiffusionModel.sample"]()
            timers = {name: functools.partial(microseconds, run) for name, run in runs.items()}
            times = interleave(timers, ROUNDS)
            widths = "-".join(map(str, hidden))
            print(f"\nDDIM step, {POINTS:,} points, 2-{widths}-2: microseconds")
            print(f"  (after {STEPS} steps points differ by {away:.1e} at most)")
            for name, values in times.items():
                print(f"  {name:24s} {spread(values, 1)}, least {min(values):.1f}")
            print("time of JAX / pm_energy")
            peer = np.minimum(times["jax, time beside x"], times["jax, time in the bias"])
            print_ratio(f"2-{widths}-2", peer / times["pm_energy"], FLOOR)
            for name in ("jax, time beside x", "jax, time in the bias"):
                print_ratio(name, times[name] / times["pm_energy"])


if __name__ == "__main__":
    main()

"""Denoising score matching with a small network, against JAX and torch.

    python tests/benchmarks/bench_networks.py

One core, float32: steps that draw a batch out of 20,000 rows, add noise, go through the network
forwards and backwards, and end with Adam; all contenders do the same work, and pm_energy averages
the parameters, too. JAX does it as one scan, torch eagerly, pm_energy by ``train``, with its own
kernel and with JAX (which PyTensor switches to float64: so JAX's own loop is timed in a process of
its own). In every round each makes some hundred steps, in turn; a ratio is taken within a round,
and the median and range over the rounds are printed. Compilation is left out there and measured by
itself: a first fit in a fresh process with an empty cache. Times are those of the processor.

Peers that are not installed are skipped. They may live in other interpreters: name them in the
environment variables ``BENCH_JAX_PYTHON`` and ``BENCH_TORCH_PYTHON``.
"""

import argparse
import functools
import importlib.util
import itertools
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

SIGMA, RATE = 0.5, 1e-3
WITH_JAX = "pm_energy in JAX"
CASES = {  # widths, batch, steps in a call, and by how much a peer must be slower
    "2-64-64-2": ((2, 64, 64, 2), 128, 2_000, {"jax": 1 / 1.5, "torch": 4.0}),
    "64-256-256-64": ((64, 256, 256, 64), 256, 200, {"jax": 1 / 1.5}),
}
FIRST_FIT = """
import time
import numpy as np
import pymc
start = time.process_time()
from pm_energy.networks import MLP
from pm_energy.training.regression import train
from pm_energy.training.regression_noise import score_levels
rng = np.random.default_rng(0)
network = MLP(2, 2)
levels = score_levels(0.5)
train(network, network.init(rng), rng.normal(size=(1000, 2)), levels, rng, n_steps=1000)
print(time.process_time() - start)
"""


def problem(widths):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, widths[0]))
    x[:, 0] += rng.choice([-2.0, 2.0], len(x))
    pairs = list(itertools.pairwise(widths))
    weights = [rng.normal(0, np.sqrt(1 / a), (a, b)).astype(np.float32) for a, b in pairs]
    return x.astype(np.float32), weights, [np.zeros(b, np.float32) for _, b in pairs]


def pm_energy(widths, batch, steps, **options):
    from pm_energy.networks import MLP
    from pm_energy.training.regression import train
    from pm_energy.training.regression_noise import score_levels

    x, _, _ = problem(widths)
    network = MLP(widths[0], widths[-1], hidden=widths[1:-1])
    rng, levels = np.random.default_rng(1), score_levels(SIGMA, weight=1.0)
    start = network.init(rng)
    return lambda: train(
        network, start, x, levels, rng, n_steps=steps, batch_size=batch, rates=RATE, **options
    ).losses[-1]


def jax(widths, batch, steps):
    import jax
    import jax.numpy as jnp

    x, weights, biases = problem(widths)
    x = jnp.asarray(x)
    theta = [tuple(map(jnp.asarray, layer)) for layer in zip(weights, biases, strict=True)]
    add = functools.partial(jax.tree.map, jnp.add)

    def loss(theta, noisy, target):
        h = noisy
        for w, b in theta[:-1]:
            h = jax.nn.silu(h @ w + b)
        return ((h @ theta[-1][0] + theta[-1][1] - target) ** 2).sum() / batch

    def step(carry, key):
        theta, mean, square, count = carry
        to_rows, to_noise = jax.random.split(key)
        noise = jax.random.normal(to_noise, (batch, widths[0]))
        rows = x[jax.random.randint(to_rows, (batch,), 0, len(x))]
        value, g = jax.value_and_grad(loss)(theta, rows + SIGMA * noise, -noise / SIGMA)
        count += 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, g)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, g)
        rate = RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        change = jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + 1e-8), mean, square)
        return (add(theta, change), mean, square, count), value

    zeros = jax.tree.map(jnp.zeros_like, theta)
    run = jax.jit(lambda key: jax.lax.scan(step, (theta, zeros, zeros, 0.0),
                                           jax.random.split(key, steps)))  # fmt: skip
    return lambda: jax.block_until_ready(run(jax.random.key(0)))[1][-1]


def torch(widths, batch, steps):
    import torch

    torch.set_num_threads(1)
    x, weights, biases = problem(widths)
    x, layers = torch.from_numpy(x), []
    for w, b in zip(weights, biases, strict=True):
        layer = torch.nn.Linear(*w.shape)
        layer.weight.data, layer.bias.data = torch.from_numpy(w.T.copy()), torch.from_numpy(b)
        layers += [layer, torch.nn.SiLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)

    def call():
        for _ in range(steps):
            noise = torch.randn(batch, widths[0])
            noisy = x[torch.randint(len(x), (batch,))] + SIGMA * noise
            optimiser.zero_grad()
            loss = ((network(noisy) + noise / SIGMA) ** 2).sum() / batch
            loss.backward()
            optimiser.step()
        return loss.item()

    return call


PEERS = {"jax": jax, "torch": torch}


def timer(build, case):
    """Microseconds of processor time for a step."""
    widths, batch, steps, _ = CASES[case]
    call = build(widths, batch, steps)
    call()

    def ask():
        start = time.process_time()
        call()
        return (time.process_time() - start) / steps * 1e6

    return ask


def elsewhere(name, interpreter, case):
    """A timer in a child process, which times itself whenever it is asked to."""
    command = [interpreter, "-E", __file__, "--peer", name, case]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask():
        child.stdin.write("go\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    return ask


def contenders(case):
    found = {"pm_energy": timer(pm_energy, case)}
    if importlib.util.find_spec("jax"):
        found[WITH_JAX] = timer(functools.partial(pm_energy, backend="jax"), case)
    for name in PEERS:
        interpreter = os.environ.get(f"BENCH_{name.upper()}_PYTHON")
        if importlib.util.find_spec(name):
            found[name] = elsewhere(name, sys.executable, case)
        elif interpreter:
            found[name] = elsewhere(name, interpreter, case)
        else:
            print(f"{name} is not installed: skipped")
    return found


def first_fit():
    """Seconds of processor time of a first fit, with a cold and then with a warm cache."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", FIRST_FIT]
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        return [
            float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
            for _ in range(2)
        ]


def main():
    from rounds import interleave, print_ratio, print_versions, spread, use_one_core
    from threadpoolctl import threadpool_limits

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    use_one_core()  # XLA's threads and child processes, too
    with threadpool_limits(1):
        print_versions("numpy", "scipy", "numba")
        print("first fit, cold and warm: {:.1f} s and {:.1f} s".format(*first_fit()))
        for case, (_, batch, _, floors) in CASES.items():
            times = interleave(contenders(case), options.rounds)
            print(f"\nDSM step, {case}, batch {batch}, float32: microseconds")
            for name, values in times.items():
                print(f"  {name:16s} {spread(values, 1)}")
            print("time of the peer / pm_energy")
            for name, values in times.items():
                print_ratio(name, values / times["pm_energy"], floors.get(name))
            if {"jax", WITH_JAX} <= times.keys():
                print_ratio(f"jax / {WITH_JAX}", times["jax"] / times[WITH_JAX], 1 / 1.1)


if __name__ == "__main__":
    if "--peer" in sys.argv:
        ask = timer(PEERS[sys.argv[-2]], sys.argv[-1])
        for _ in sys.stdin:
            print(ask(), flush=True)
    else:
        main()

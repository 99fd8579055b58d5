"""Block Gibbs sampling of an RBM against scikit-learn, JAX, torch and plain numpy.

    python tests/benchmarks/bench_rbm.py

One core, float32, 10 sweeps a call, the same random weights for all. In every round each contender
runs for a fraction of a second, in turn; a ratio is taken within a round, and the median and range
over the rounds are printed. Compilation and first calls are left out. Peers that are not installed
are skipped. Torch may live in another interpreter: name it in the environment variable
``BENCH_TORCH_PYTHON``. numpy's BLAS, which matters to numpy and scikit-learn but not to pm_energy,
takes other kernels if ``OPENBLAS_CORETYPE=SkylakeX`` is set from outside.
"""

import functools
import importlib.metadata
import importlib.util
import itertools
import os
import subprocess
import sys
import time

import numpy as np

SHAPES = [(784, 500), (784, 128)]
BATCH, SWEEPS, ROUNDS, SECONDS = 100, 10, 11, 0.25


def problem(n_v, n_h):
    """Weights of the size found in trained machines, and a batch with half of its units on."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.05, size=(n_v, n_h)).astype(np.float32)
    return weights, (rng.random((BATCH, n_v)) < 0.5).astype(np.float32)


def seconds_per_sweep(call, duration=SECONDS):
    """Median processor time of a call over ``duration``, per sweep."""
    times, end = [], time.perf_counter() + duration
    while not times or time.perf_counter() < end:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return float(np.median(times)) / SWEEPS


def ours(n_v, n_h):
    from pm_energy.kernels.rbm import rbm_sweeps, tile_rbm

    weights, v = problem(n_v, n_h)
    tiles, h = tile_rbm(weights), np.zeros((BATCH, n_h), np.float32)
    a, b, rng = np.zeros(n_v), np.zeros(n_h), np.random.default_rng(1)
    return lambda: rbm_sweeps(rng, v, h, tiles, a, b, SWEEPS)


def plain_numpy(n_v, n_h):
    weights, v = problem(n_v, n_h)
    rng = np.random.default_rng(1)

    def sample(log_odds):
        p = 1 / (1 + np.exp(-log_odds))
        return (rng.random(p.shape, dtype=np.float32) < p).astype(np.float32)

    def call():
        state = v
        for _ in range(SWEEPS):
            state = sample(sample(state @ weights) @ weights.T)

    return call


def sklearn(n_v, n_h):
    from sklearn.neural_network import BernoulliRBM

    weights, v = problem(n_v, n_h)
    machine = BernoulliRBM(n_components=n_h, n_iter=1, random_state=0).fit(v)
    machine.components_ = weights.T.copy()
    machine.intercept_hidden_ = np.zeros(n_h, np.float32)
    machine.intercept_visible_ = np.zeros(n_v, np.float32)

    def call():
        state = v
        for _ in range(SWEEPS):
            state = machine.gibbs(state).astype(np.float32)

    return call


def jax(n_v, n_h):
    import jax
    import jax.numpy as jnp

    weights, v = (jnp.asarray(x) for x in problem(n_v, n_h))

    def sample(key, log_odds):
        u = jax.random.uniform(key, log_odds.shape)
        return (u < jax.nn.sigmoid(log_odds)).astype(jnp.float32)

    def sweep(_, carry):
        key, state = carry
        key, to_hidden, to_visible = jax.random.split(key, 3)
        return key, sample(to_visible, sample(to_hidden, state @ weights) @ weights.T)

    run = jax.jit(lambda key, state: jax.lax.fori_loop(0, SWEEPS, sweep, (key, state))[1])
    return lambda: run(jax.random.key(1), v).block_until_ready()


def torch(n_v, n_h):
    import torch

    torch.set_num_threads(1)
    weights, v = (torch.from_numpy(x) for x in problem(n_v, n_h))
    back, a, b = weights.T.contiguous(), torch.zeros(n_v), torch.zeros(n_h)

    def sample(p):  # twice as fast as torch.bernoulli
        return (torch.rand(p.shape) < p).float()

    def call():
        with torch.no_grad():
            state = v
            for _ in range(SWEEPS):
                h = sample(torch.addmm(b, state, weights).sigmoid_())
                state = sample(torch.addmm(a, h, back).sigmoid_())

    return call


def torch_elsewhere(n_v, n_h):
    """The same in a child process, which times itself whenever it is asked to."""
    command = [os.environ["BENCH_TORCH_PYTHON"], "-E", __file__, "--torch", str(n_v), str(n_h)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask():
        child.stdin.write("go\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    return ask


def answer(n_v, n_h):
    """What the child process does."""
    call = torch(n_v, n_h)
    call()
    for _ in sys.stdin:
        print(seconds_per_sweep(call), flush=True)


def contenders():
    """Name and builder of each; a builder returns a call, or for another process its own timing."""
    found = {"pm_energy": ours, "numpy": plain_numpy, "scikit-learn": sklearn}
    for name, build in (("jax", jax), ("torch", torch)):
        if importlib.util.find_spec(name):
            found[name] = build
        elif name == "torch" and "BENCH_TORCH_PYTHON" in os.environ:
            found[name] = torch_elsewhere
        else:
            print(f"{name} is not installed: skipped")
    return found


def versions():
    from threadpoolctl import threadpool_info

    modules = {"numpy": "numpy", "numba": "numba", "scikit-learn": "sklearn", "jax": "jax"}
    installed = [name for name, module in modules.items() if importlib.util.find_spec(module)]
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in installed)
    print(f"python {sys.version.split()[0]}, {found}; one thread")
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            print(f"BLAS of numpy: {pool['internal_api']}, kernel {pool.get('architecture', '?')}")


def compare(n_v, n_h):
    print(f"\n{n_v} x {n_h}, batch {BATCH}: ns per unit and sweep; time of the peer / pm_energy")
    timers = {}
    for name, build in contenders().items():
        call = build(n_v, n_h)
        call()
        timers[name] = call if build is torch_elsewhere else lambda c=call: seconds_per_sweep(c)
    times = np.array([[timer() for timer in timers.values()] for _ in range(ROUNDS)])
    ratios = times / times[:, :1]
    per_unit = 1e9 * np.median(times, 0) / (BATCH * (n_v + n_h))
    for k, name in enumerate(timers):
        low, mid, high = np.quantile(ratios[:, k], [0, 0.5, 1])
        print(f"  {name:14s}{per_unit[k]:7.2f} ns   x {mid:5.2f}  ({low:.2f} to {high:.2f})")


def alone(n_v, n_h):
    """Figures of pm_energy for other uses, where the cost depends on the flips and on the batch."""
    from pm_energy.kernels.rbm import rbm_sweeps, tile_rbm

    weights, _ = problem(n_v, n_h)
    print(f"\n{n_v} x {n_h}, pm_energy alone: dtype, batch, bias of all units: flips, ns per unit")
    for dtype, batch, bias in itertools.product(
        (np.float32, np.float64), (1, 10, 100), (0.0, -2.0, -4.0)
    ):
        rng = np.random.default_rng(2)
        v, h = np.zeros((batch, n_v), dtype), np.zeros((batch, n_h), dtype)
        data = v, h, tile_rbm(weights.astype(dtype)), np.full(n_v, bias), np.full(n_h, bias)
        flips = rbm_sweeps(rng, *data, 50) / (50 * batch * (n_v + n_h))
        seconds = seconds_per_sweep(functools.partial(rbm_sweeps, rng, *data, SWEEPS), 0.1)
        ns = 1e9 * seconds / (batch * (n_v + n_h))
        print(f"  {dtype.__name__} {batch:4d} {bias:5.1f}: {flips:6.1%} {ns:7.2f}")


def main():
    from threadpoolctl import threadpool_limits

    if hasattr(os, "sched_setaffinity"):  # one core for XLA's threads and child processes too
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with threadpool_limits(1):
        versions()
        for shape in SHAPES:
            compare(*shape)
            alone(*shape)


if __name__ == "__main__":
    if "--torch" in sys.argv:
        answer(*map(int, sys.argv[2:]))
    else:
        main()

"""Learning an RBM by persistent contrastive divergence, against scikit-learn, JAX and torch.

    python tests/benchmarks/bench_rbm_training.py

One core, float32: an epoch over 10,000 rows of 784 units, a fifth of them on, 256 hidden units,
batches and 100 chains of one sweep, plain gradient steps; all contenders do the same work. In every
round each runs one epoch, in turn; a ratio is taken within a round, and the median and range over
the rounds are printed. Compilation and first calls are left out. pm_energy is timed through its fit
loop, with the optimiser that it compiles, and as the statistics of its model with a step by numpy.

Peers that are not installed are skipped. JAX and torch may live in other interpreters: name them in
the environment variables ``BENCH_JAX_PYTHON`` and ``BENCH_TORCH_PYTHON``. The BLAS matters to
scikit-learn: numpy's OpenBLAS takes other kernels if ``OPENBLAS_CORETYPE=SkylakeX`` is set from
outside.
"""

import argparse
import functools
import importlib.util
import os
import subprocess
import sys
import time

import numpy as np

N, N_V, N_H, BATCH = 10_000, 784, 256, 100
RATE = 0.01
FLOORS = {"scikit-learn": 1.5, "torch": 1.4}


def problem():
    rng = np.random.default_rng(0)
    x = (rng.random((N, N_V)) < 0.2).astype(np.float32)
    theta = {
        "weights": rng.normal(0, 0.01, (N_V, N_H)).astype(np.float32),
        "visible_bias": np.zeros(N_V, np.float32),
        "hidden_bias": np.zeros(N_H, np.float32),
    }
    return x, theta


def fit_loop():
    from pm_energy.training.fit import fit
    from pm_energy.training.likelihood import PersistentCD
    from pm_energy.training.optimisers import Updates, make_optimiser
    from pm_energy.training.rbm_model import RBMModel

    x, theta = problem()
    model, rng = RBMModel(N_V, N_H), np.random.default_rng(1)
    objective = PersistentCD(BATCH)
    updates = Updates(make_optimiser("sgd", RATE), theta)
    return lambda: fit(model, theta, objective, x, updates, rng, batch_size=BATCH)


def statistics(binary=True):
    from pm_energy.training.rbm_model import RBMModel

    x, theta = problem()
    if not binary:
        x = np.clip(x, 0.01, 0.99)
    model, rng = RBMModel(N_V, N_H), np.random.default_rng(1)
    chains = model.start(theta, rng, n=BATCH)

    def call():
        for first in range(0, N, BATCH):
            data = model.statistics(theta, x[first : first + BATCH])
            negative = model.negative(theta, chains, rng, 1)
            for name in theta:
                step = np.subtract(data[name], negative[name], out=data[name])
                step *= RATE
                theta[name] += step

    return call


def sklearn():
    from sklearn.neural_network import BernoulliRBM

    x, _ = problem()
    machine = BernoulliRBM(N_H, learning_rate=RATE, batch_size=BATCH, n_iter=1, random_state=0)
    return lambda: machine.fit(x)


def jax():
    import jax
    import jax.numpy as jnp

    x, theta = problem()
    batches = jnp.asarray(x).reshape(-1, BATCH, N_V)
    start = tuple(jnp.asarray(value) for value in theta.values())

    def sample(key, p):
        return (jax.random.uniform(key, p.shape) < p).astype(jnp.float32)

    def step(carry, data):
        (w, a, b), h, key = carry
        key, to_visible, to_hidden = jax.random.split(key, 3)
        at_data = jax.nn.sigmoid(data @ w + b)
        v = sample(to_visible, jax.nn.sigmoid(h @ w.T + a))
        p = jax.nn.sigmoid(v @ w + b)
        rate = RATE / BATCH
        w = w + rate * (data.T @ at_data - v.T @ p)
        a, b = a + rate * (data - v).sum(0), b + rate * (at_data - p).sum(0)
        return ((w, a, b), sample(to_hidden, p), key), None

    epoch = jax.jit(lambda carry: jax.lax.scan(step, carry, batches)[0])
    carry = start, jnp.zeros((BATCH, N_H)), jax.random.key(0)
    return lambda: jax.block_until_ready(epoch(carry))


def torch():
    import torch

    torch.set_num_threads(1)
    x, theta = problem()
    x = torch.from_numpy(x)
    w, a, b = (torch.from_numpy(value) for value in theta.values())
    h = torch.zeros(BATCH, N_H)

    def sample(p):  # twice as fast as torch.bernoulli
        return (torch.rand(p.shape) < p).float()

    def call():
        rate = RATE / BATCH
        with torch.no_grad():
            for first in range(0, N, BATCH):
                data = x[first : first + BATCH]
                at_data = torch.addmm(b, data, w).sigmoid_()
                v = sample(torch.addmm(a, h, w.t()).sigmoid_())
                p = torch.addmm(b, v, w).sigmoid_()
                h.copy_(sample(p))
                w.addmm_(data.t(), at_data, alpha=rate).addmm_(v.t(), p, alpha=-rate)
                a.add_((data - v).sum(0), alpha=rate)
                b.add_((at_data - p).sum(0), alpha=rate)

    return call


def seconds(call):
    """Processor time of a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def timer(build):
    call = build()
    call()
    return lambda: seconds(call)


def elsewhere(name, interpreter):
    """A timer in a child process, which times itself whenever it is asked to."""
    command = [interpreter, "-E", __file__, "--peer", name]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask():
        child.stdin.write("go\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    ask()
    return ask


def contenders():
    found = {
        "pm_energy, fit loop": timer(fit_loop),
        "pm_energy, statistics": timer(statistics),
        "pm_energy, grey data": timer(functools.partial(statistics, binary=False)),
        "scikit-learn": timer(sklearn),
    }
    for name, build in PEERS.items():
        interpreter = os.environ.get(f"BENCH_{name.upper()}_PYTHON")
        if importlib.util.find_spec(name):
            found[name] = timer(build)
        elif interpreter:
            found[name] = elsewhere(name, interpreter)
        else:
            print(f"{name} is not installed: skipped")
    return found


PEERS = {"jax": jax, "torch": torch}


def main():
    from rounds import interleave, print_ratio, print_versions, spread, use_one_core
    from threadpoolctl import threadpool_limits

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    use_one_core()  # XLA's threads and child processes, too
    with threadpool_limits(1):
        print_versions("numpy", "numba", "scikit-learn")
        times = interleave(contenders(), options.rounds)
    print(f"\nPCD-1 epoch, {N:,} x {N_V}, {N_H} hidden units, batch {BATCH}, float32: seconds")
    for name, values in times.items():
        print(f"  {name:22s} {spread(values, 3)}")
    print("\ntime of the peer / pm_energy, fit loop")
    for name, values in times.items():
        print_ratio(name, values / times["pm_energy, fit loop"], FLOORS.get(name))


if __name__ == "__main__":
    if "--peer" in sys.argv:
        ask = timer(PEERS[sys.argv[-1]])
        for _ in sys.stdin:
            print(ask(), flush=True)
    else:
        main()

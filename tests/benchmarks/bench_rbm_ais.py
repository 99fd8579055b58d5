"""Log Z of RBMs: annealed importance sampling against the rate of sgemm, and exact sums.

    python tests/benchmarks/bench_rbm_ais.py

One core, processor time. A step of annealing is two products of the states with the weights, which
as general matrix products are 4 n_v n_h operations a chain; it also draws the units and sums the
weights. All is timed in every round, in turn, and ratios are formed within a round. numpy's BLAS
takes other kernels if ``OPENBLAS_CORETYPE=SkylakeX`` is set from outside.
"""

import time

import numpy as np
from rounds import interleave, print_ratio, print_versions, spread, use_one_core
from threadpoolctl import threadpool_limits

N_V, N_H, CHAINS, STEPS, ROUNDS = 784, 500, 1000, 1000, 3
EXACT = [(784, 16), (784, 20), (64, 16), (19, 24)]


def seconds(call):
    """Processor time of one call: one thread, whoever else is on the core."""
    start = time.process_time()
    call()
    return time.process_time() - start


def best(call, repeats=5):
    """The least of a few times: of calls so short, others are disturbed."""
    return min(seconds(call) for _ in range(repeats))


def problem(n_v, n_h, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.05, (n_v, n_h)).astype(dtype), np.zeros(n_v), np.zeros(n_h)


def sgemm():
    """Seconds of the matrix products alone, for as many steps."""
    weights, _, _ = problem(N_V, N_H)
    back = np.ascontiguousarray(weights.T)
    v, h = np.ones((CHAINS, N_V), np.float32), np.ones((CHAINS, N_H), np.float32)

    def products():
        np.dot(v, weights, out=h)
        np.dot(h, back, out=v)
        v.fill(1.0)

    products()
    return best(products, 20) * STEPS


def anneal():
    from pm_energy.kernels.rbm_ais import rbm_ais

    weights, a, b = problem(N_V, N_H)
    betas = np.linspace(0, 1, STEPS + 1)
    return seconds(lambda: rbm_ais(np.random.default_rng(1), weights, a, b, a, CHAINS, betas))


def anneal_gaussian():
    """The time of a tenth of the steps, times ten."""
    from pm_energy.kernels.gaussian_rbm_ais import gaussian_rbm_ais

    weights, a, b = problem(N_V, N_H)
    betas, one = np.linspace(0, 1, STEPS // 10 + 1), np.ones(N_V)
    rng = np.random.default_rng(1)
    return 10 * seconds(lambda: gaussian_rbm_ais(rng, weights, a, b, one, a, one, CHAINS, betas))


def rates():
    print(f"\n{N_V} x {N_H}, {CHAINS:,} chains x {STEPS:,} inverse temperatures, float32")
    operations = 4 * CHAINS * N_V * N_H * STEPS / 1e9
    timers = {"two sgemm": sgemm, "rbm_ais": anneal, "gaussian_rbm_ais": anneal_gaussian}
    times = interleave(timers, ROUNDS)
    for name, took in times.items():
        print(f"  {name:17s}{spread(took)} s, {spread(operations / took, 0)} GFLOP/s")
    shares = {name: times["two sgemm"] / took for name, took in times.items()}
    print_ratio("rate of rbm_ais / sgemm", shares["rbm_ais"], floor=0.35)
    print_ratio("rate of gaussian_rbm_ais / sgemm", shares["gaussian_rbm_ais"], floor=0.35)


def exact_sums():
    from pm_energy.kernels.rbm_exact import rbm_exact_moments, rbm_log_partition

    print("\nExact, float64: ms for log Z and for the moments")
    calls = {
        (n_v, n_h, function.__name__): (function, problem(n_v, n_h, np.float64))
        for n_v, n_h in EXACT
        for function in (rbm_log_partition, rbm_exact_moments)
    }
    timers = {key: lambda f=f, p=p: 1e3 * best(lambda: f(*p)) for key, (f, p) in calls.items()}
    for (n_v, n_h, name), took in interleave(timers, ROUNDS).items():
        print(f"  {n_v:4d} x {n_h}  {name:18s}{spread(took, 1)}")


def error():
    from pm_energy.kernels.rbm_ais import rbm_ais, rbm_base_log_partition
    from pm_energy.kernels.rbm_exact import rbm_log_partition
    from pm_energy.partition import ais

    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.3, (784, 16)).astype(np.float32)
    a, b = rng.normal(0, 0.5, 784), rng.normal(0, 0.5, 16)
    log_z, log_z_base = rbm_log_partition(weights, a, b), rbm_base_log_partition(a, 16)
    print(f"\n784 x 16, weights of 0.3, 1,000 chains: exact log Z {log_z:.4f}")
    for steps in (100, 1000):
        works, _ = rbm_ais(rng, weights, a, b, a, 1000, np.linspace(0, 1, steps + 1))
        found = ais(works).log_partition(log_z_base)
        print(f"  {steps:5d} steps: {found}, {found.errors_from(log_z):+.2f} errors off")


def main():
    use_one_core()
    print_versions("numpy", "numba", "pm_energy")
    with threadpool_limits(1):
        rates()
        exact_sums()
        error()


if __name__ == "__main__":
    main()

"""Single-spin kernels beside the fastest packages: ns per spin update, and ESS per second.

Run ``python tests/benchmarks/bench_spin_kernels.py``, with the ``bench`` extra installed. All run
in this process, on one core and one thread, in turn, round after round; a ratio is formed within a
round. Times are CPU times of the process, which other processes disturb least. That of a sweep is
the slope between a short and a long run, so that set-up, compilation and the conversion of inputs
and outputs are left out, for all alike.
"""

import argparse
import importlib.util
import os
import time

import numpy as np
from numba import njit
from spin_ess import BETA, effective_samples, lattice_edges, thrml_chain

from pm_energy.kernels.coloring import color_order
from pm_energy.kernels.gibbs_dense import aligned, dense_field, dense_loop
from pm_energy.kernels.gibbs_lattice import lattice_sweeps
from pm_energy.kernels.gibbs_sparse import sparse_field, sparse_loop
from pm_energy.kernels.random import seed_words

ANNEAL = 0.1, 3.0  # inverse temperatures, from and to


def random_spins(rng, n):
    return np.where(rng.random(n) < 0.5, 1, -1).astype(np.int8)


def csr(edges, values, n):
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    by_row = np.lexsort((columns, rows))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))])
    return indptr, columns[by_row], np.tile(values, 2)[by_row]


# A runner is a function of the number of sweeps. pm_energy's:


def torus_runner(side, per_site=False):
    rng = np.random.default_rng(0)
    spins = random_spins(rng, side * side)
    bias = np.zeros(side * side) if per_site else 0.0
    return lambda n: lattice_sweeps(rng, spins, (side, side), True, bias, 2 * BETA, n)


@njit
def anneal_dense(words, spins, field, coupling, betas):
    for beta in betas:
        dense_loop(words, spins, field, coupling, beta, 1)


@njit
def anneal_sparse(words, spins, field, indptr, indices, coupling, order, betas):
    for beta in betas:
        sparse_loop(words, spins, field, indptr, indices, coupling, order, beta, 1)


def dense_runner(matrix, dtype):
    rng, n = np.random.default_rng(1), len(matrix)
    coupling = aligned((2 * matrix).astype(dtype))

    def run(n_sweeps):
        spins = random_spins(rng, n)
        field = aligned(dense_field(spins, coupling, np.zeros(n)))
        anneal_dense(seed_words(rng), spins, field, coupling, np.linspace(*ANNEAL, n_sweeps))

    return run


def sparse_runner(edges, values, n):
    rng = np.random.default_rng(2)
    graph = csr(edges, 2 * values, n)
    order = color_order(*graph[:2])

    def run(n_sweeps):
        spins = random_spins(rng, n)
        field = sparse_field(spins, *graph, np.zeros(n))
        betas = np.linspace(*ANNEAL, n_sweeps)
        anneal_sparse(seed_words(rng), spins, field, *graph, order, betas)

    return run


# The peers', in their own conventions (dwave and openjij minimise +J s s, the others -J s s):


def dwave_runner(edges, values, n, betas, criterion):
    import dimod
    from dwave.samplers import SimulatedAnnealingSampler

    model = dimod.BQM.from_numpy_vectors(np.zeros(n), (*edges.T, -values), 0.0, dimod.SPIN)
    sampler = SimulatedAnnealingSampler()
    return lambda n_sweeps: sampler.sample(
        model,
        beta_schedule_type="custom",
        beta_schedule=np.linspace(*betas, n_sweeps),
        num_sweeps_per_beta=1,
        proposal_acceptance_criteria=criterion,
        seed=3,
    )


def openjij_runner(edges, values, n, betas, dense):
    import openjij

    sampler = openjij.SASampler()
    pairs = {(int(a), int(b)): -float(v) for (a, b), v in zip(edges, values, strict=True)}
    return lambda n_sweeps: sampler.sample_ising(
        {}, pairs, schedule=[[float(b), 1] for b in np.linspace(*betas, n_sweeps)], sparse=not dense
    )


def peapods_runner(side):
    import peapods

    model = peapods.Ising((side, side), "ferro", temperatures=np.array([1 / BETA]), n_replicas=1)
    return lambda n_sweeps: model.sample(n_sweeps, sweep_mode="metropolis", sequential=True)


def thrml_runner(side):
    run = thrml_chain(side)
    return lambda n_sweeps: run(n_sweeps, 1)


PEERS = {
    "thrml": "thrml",
    "dwave": "dwave.samplers",
    "openjij": "openjij",
    "peapods": "peapods",
}


def available():
    """Peers that are installed; says which are not."""
    found = set()
    for peer, module in PEERS.items():
        if importlib.util.find_spec(module.split(".")[0]) is None:
            print(f"{peer}: not installed, left out (python -m pip install 'pm_energy[bench]')")
        else:
            found.add(peer)
    return found


def slope(runner, n_spins, short, long):
    """Nanoseconds per spin update, from the times of a short and a long run."""
    times = []
    for n_sweeps in (short, long):
        begin = time.process_time()
        runner(n_sweeps)
        times.append(time.process_time() - begin)
    return 1e9 * (times[1] - times[0]) / ((long - short) * n_spins)


def compare(title, n_spins, ours, peers, rounds, budget=0.15):
    """Interleave all runners; print ns per spin and each peer's ratio to each of ours.

    ``ours`` maps names to runners, ``peers`` to (runner maker, floor of the ratio or None).
    """
    print(f"\n{title}")
    runners = ours | {name: make() for name, (make, _) in peers.items()}
    lengths = {}
    for name, runner in runners.items():
        runner(10)  # compile
        long = 10 + max(
            40, int(budget / (n_spins * 1e-9 * max(slope(runner, n_spins, 10, 210), 0.2)))
        )
        runner(long)
        lengths[name] = 10, long
    table = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            table[name].append(slope(runner, n_spins, *lengths[name]))
    for name, values in table.items():
        print(
            f"  {name:34s} {np.median(values):8.3f} ns/spin  ({min(values):.3f}-{max(values):.3f})"
        )
    for mine in ours:
        for name, (_, floor) in peers.items():
            ratio = np.array(table[name]) / np.array(table[mine])
            verdict = ""
            if floor is not None:
                verdict = f"  floor {floor}: {'met' if np.median(ratio) >= floor else 'MISSED'}"
            print(
                f"  {name} / {mine}: {np.median(ratio):.2f}  "
                f"({ratio.min():.2f}-{ratio.max():.2f}){verdict}"
            )


def pin_to_one_core():
    """Hold this process, and whatever threads the peers start later, on one core."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # read when JAX is imported
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    pin_to_one_core()
    found = available()

    def keep(peers):
        return {name: peer for name, peer in peers.items() if name.split()[0] in found}

    side = 64
    edges = lattice_edges(side, 2)
    ones, fixed = np.ones(len(edges)), (BETA, BETA)
    compare(
        f"Torus L={side}, beta {BETA}, one chain",
        side * side,
        {
            "pm_energy, equal field": torus_runner(side),
            "pm_energy, field per site": torus_runner(side, per_site=True),
        },
        keep(
            {
                "thrml": (lambda: thrml_runner(side), 3.0),
                "dwave Metropolis": (
                    lambda: dwave_runner(edges, ones, side * side, fixed, "Metropolis"), 5.0,
                ),
                "peapods": (lambda: peapods_runner(side), None),
            }
        ),
        rounds,
    )  # fmt: skip

    n = 512
    rng = np.random.default_rng(5)
    pairs = np.stack(np.triu_indices(n, 1), axis=1)
    values = rng.normal(size=len(pairs)) / np.sqrt(n)
    matrix = np.zeros((n, n))
    matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = values
    compare(
        f"Sherrington-Kirkpatrick N={n}, annealed from beta {ANNEAL[0]} to {ANNEAL[1]}",
        n,
        {
            "pm_energy, float32 couplings": dense_runner(matrix, np.float32),
            "pm_energy, float64 couplings": dense_runner(matrix, np.float64),
        },
        keep(
            {
                "openjij": (lambda: openjij_runner(pairs, values, n, ANNEAL, True), 2.5),
                "dwave Metropolis": (
                    lambda: dwave_runner(pairs, values, n, ANNEAL, "Metropolis"), None,
                ),
            }
        ),
        rounds,
    )  # fmt: skip

    edges, n = lattice_edges(8, 3), 8**3
    signs = rng.choice([-1.0, 1.0], len(edges))
    compare(
        f"3-D +-J spin glass L=8, one chain annealed from beta {ANNEAL[0]} to {ANNEAL[1]}",
        n,
        {"pm_energy": sparse_runner(edges, signs, n)},
        keep(
            {
                "dwave Metropolis": (
                    lambda: dwave_runner(edges, signs, n, ANNEAL, "Metropolis"), None,
                ),
                "openjij": (lambda: openjij_runner(edges, signs, n, ANNEAL, False), None),
            }
        ),
        rounds,
    )  # fmt: skip
    effective_samples(side, "thrml" in found, rounds)


if __name__ == "__main__":
    main()

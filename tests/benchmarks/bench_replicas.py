"""Many replicas of a spin system beside the fastest packages: ns per spin update.

Run ``python tests/benchmarks/bench_replicas.py``, with the ``bench`` extra installed. All run in
this process, on one core and one thread, in turn, round after round; a ratio is formed within a
round. Times are CPU times of the process, which other processes disturb least. That of an update is
the slope between a short and a long run, so that set-up, compilation and the conversion of inputs
and outputs are left out, for all alike. For tempering it includes energies, swaps and what is
recorded of them. thrml runs with the number of chains at which it is fastest (1,024 chains of 64 x
64 spins do not fit its caches: 24 ns). What a first call costs is measured apart, in processes with
empty caches.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from replica_runners import (
    ANNEAL,
    N_LEVELS,
    all_to_all,
    bits_anneal_runner,
    bits_runner,
    bits_tempering_runner,
    dwave_runner,
    lanes_anneal_runner,
    lanes_runner,
    lanes_tempering_runner,
    lattice,
    openjij_runner,
    peapods_runner,
    thrml_runner,
)
from rounds import interleave, print_ratio, print_versions, spread, use_one_core

TORUS_BETA, GLASS_BETA = 0.44, 0.8

COLD = """
import time
import numpy as np
{setup}
start = time.process_time()
{call}
print(time.process_time() - start)
"""
PAIR = "pair = np.array([0, 1, 2]), np.array([1, 0]); rng = np.random.default_rng(0)"
BITS = f"""
from pm_energy.kernels.multispin_graph import multispin_graph
from pm_energy.kernels.{{module}} import *
{PAIR}; graph = multispin_graph(*pair, np.ones(2, int)); words = np.zeros((2, 8), np.uint64)
"""
LANES = f"""
from pm_energy.kernels.lanes_graph import *
from pm_energy.kernels.{{module}} import *
{PAIR}; graph = lanes_graph(*pair, np.ones(2), 0.0); state = pack_lanes(np.ones((32, 2)))
replica = np.repeat(np.arange(8, dtype=np.int16)[:, None], 4, axis=1)
"""
FIRST_CALLS = {
    "multispin_sweeps": (BITS, "multispin_sweeps(rng, words, graph, 1.0)"),
    "multispin_energies": (BITS, "multispin_energies(words, graph)"),
    "multispin_anneal": (BITS, "multispin_anneal(rng, words, graph, np.ones(2))"),
    "multispin_tempering": (BITS, "multispin_tempering(rng, words, graph, np.ones(8), 1)"),
    "lanes_sweeps": (LANES, "lanes_sweeps(rng, state, graph, 1.0)"),
    "lanes_energies": (LANES, "lanes_energies(state, graph)"),
    "lanes_anneal": (LANES, "lanes_anneal(rng, state, graph, np.ones(2))"),
    "lanes_tempering": (LANES, "lanes_tempering(rng, state, graph, np.ones(8), replica, 1)"),
}


PEERS = {"thrml": "thrml", "dwave": "dwave", "openjij": "openjij", "peapods": "peapods"}


def available():
    """Peers that are installed; says which are not."""
    found = {peer for peer, module in PEERS.items() if importlib.util.find_spec(module)}
    for peer in PEERS.keys() - found:
        print(f"{peer}: not installed, left out (python -m pip install 'pm_energy[bench]')")
    return found


def slope(runner, n_updates, short, long):
    """Nanoseconds per spin update, from the times of a short and a long run."""
    times = []
    for n_sweeps in (short, long):
        begin = time.process_time()
        runner(n_sweeps)
        times.append(time.process_time() - begin)
    return 1e9 * (times[1] - times[0]) / ((long - short) * n_updates)


def compare(title, n_spins, ours, peers, rounds, budget=0.4):
    """Interleave all; print ns per spin and each peer's ratio to each of ours.

    ``ours`` maps names to (runner, replicas, floor of the ratio or None), ``peers`` to (maker of a
    runner, replicas).
    """
    print(f"\n{title}")
    runners = {name: (runner, replicas) for name, (runner, replicas, _) in ours.items()}
    runners |= {name: (make(), replicas) for name, (make, replicas) in peers.items()}
    timers = {}
    for name, (runner, replicas) in runners.items():
        runner(2)  # compile
        runner(6)
        per_sweep = slope(runner, 1e9, 2, 6)
        long = 2 + max(4, int(budget / max(per_sweep, 1e-5)))
        runner(long)
        timers[name] = lambda r=runner, k=n_spins * replicas, n=long: slope(r, k, 2, n)
    times = interleave(timers, rounds)
    for name, values in times.items():
        print(f"  {name:44s} {spread(values, 4)} ns/spin")
    for mine, (_, _, floor) in ours.items():
        for peer in peers:
            print_ratio(f"{peer} / {mine}", times[peer] / times[mine], floor)


def print_first_calls():
    print("\nCPU seconds of a first call, compilation included, caches empty")
    for name, (setup, call) in FIRST_CALLS.items():
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", COLD.format(setup=setup.format(module=name), call=call)],
                env=os.environ | {"NUMBA_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                check=True,
            )
        print(f"  {name:44s} {float(done.stdout):.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # read when JAX is imported
    use_one_core()
    found = available()
    print_versions("numba", "numpy", *sorted({"thrml", "jax", "peapods"} & (found | {"numba"})))

    def keep(peers):
        return {name: peer for name, peer in peers.items() if name.split()[0] in found}

    rng = np.random.default_rng(5)
    square = lattice(64, 2, np.ones(2 * 64**2, int))
    signs = lattice(8, 3, rng.choice([-1, 1], 3 * 8**3))
    normal = lattice(8, 3, rng.normal(size=3 * 8**3))
    n = 512
    dense = all_to_all(n, rng.normal(size=n * (n - 1) // 2) / np.sqrt(n))

    compare(
        f"Torus L=64, beta {TORUS_BETA}, 1,024 replicas",
        square.n,
        {
            "64 replicas a word, heat bath": (
                bits_runner(square, TORUS_BETA, 1024, "heat-bath"), 1024, 200,
            ),
            "64 replicas a word, Metropolis": (
                bits_runner(square, TORUS_BETA, 1024, "metropolis"), 1024, 200,
            ),
            "lanes, heat bath": (lanes_runner(square, TORUS_BETA, 1024, "heat-bath"), 1024, None),
        },
        keep({"thrml": (lambda: thrml_runner(square, TORUS_BETA, 32), 32)}),  # its fastest
        rounds,
    )  # fmt: skip
    compare(
        f"3-D +-J spin glass L=8, beta {GLASS_BETA}, 1,024 replicas",
        signs.n,
        {
            "64 replicas a word, heat bath": (
                bits_runner(signs, GLASS_BETA, 1024, "heat-bath"), 1024, 130,
            ),
            "64 replicas a word, Metropolis": (
                bits_runner(signs, GLASS_BETA, 1024, "metropolis"), 1024, 130,
            ),
        },
        keep({"thrml": (lambda: thrml_runner(signs, GLASS_BETA, 256), 256)}),
        rounds,
    )  # fmt: skip
    compare(
        f"3-D spin glass L=8 with normal couplings, beta {GLASS_BETA}, 1,024 replicas",
        normal.n,
        {
            "lanes, heat bath": (lanes_runner(normal, GLASS_BETA, 1024, "heat-bath"), 1024, 25),
            "lanes, Metropolis": (lanes_runner(normal, GLASS_BETA, 1024, "metropolis"), 1024, 25),
        },
        keep({"thrml": (lambda: thrml_runner(normal, GLASS_BETA, 256), 256)}),
        rounds,
    )
    compare(
        f"3-D +-J spin glass L=8, annealed from beta {ANNEAL[0]} to {ANNEAL[1]}",
        signs.n,
        {
            "64 replicas a word": (bits_anneal_runner(signs, 1024), 1024, None),
            "lanes": (lanes_anneal_runner(signs, 1024), 1024, None),
        },
        keep({"dwave": (lambda: dwave_runner(signs, 8), 8)}),
        rounds,
    )
    compare(
        f"Sherrington-Kirkpatrick N={n}, annealed from beta {ANNEAL[0]} to {ANNEAL[1]}",
        n,
        {"lanes": (lanes_anneal_runner(dense, 128), 128, 5)},
        keep({"openjij": (lambda: openjij_runner(dense, 4), 4)}),
        rounds,
    )
    compare(
        f"3-D +-J spin glass L=8, {N_LEVELS} temperatures .8 to 1.6, swaps after each sweep",
        signs.n,
        {
            "64 ladders, replicas in words": (
                bits_tempering_runner(signs), 64 * N_LEVELS, 100,
            ),
            "64 ladders, replicas in lanes": (
                lanes_tempering_runner(signs, 64), 64 * N_LEVELS, None,
            ),
        },
        keep({"peapods": (lambda: peapods_runner(8, 2), 2 * N_LEVELS)}),
        rounds,
    )  # fmt: skip
    print_first_calls()


if __name__ == "__main__":
    main()

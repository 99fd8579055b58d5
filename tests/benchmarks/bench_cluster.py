"""Swendsen-Wang and Wolff against peapods on the critical Ising torus; coupling from the past.

Run ``python tests/benchmarks/bench_cluster.py`` with ``pip install .[bench]``. Peer and kernel take
turns in one process, and the ratio of each round is free of the machine's mood. peapods makes a
Metropolis sweep with each cluster update, so its cluster update is timed as the difference of runs
with and without one.
"""

import importlib.util
import time

import numpy as np

from pm_energy.kernels.cluster import swendsen_wang
from pm_energy.kernels.cluster_lattice import swendsen_wang_lattice
from pm_energy.kernels.perfect import coupling_from_the_past_ising
from pm_energy.kernels.wolff import wolff

CRITICAL = np.log(1 + np.sqrt(2)) / 2
ROUNDS = 9
PEER = importlib.util.find_spec("peapods") is not None
FLOOR = 2.0  # of the ratio at L = 64


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def torus(side):
    site = np.arange(side * side).reshape(side, side)
    pairs = [np.stack([site, np.roll(site, -1, axis)], -1).reshape(-1, 2) for axis in (0, 1)]
    return np.concatenate(pairs)


def csr(edges, n):
    source = np.concatenate([edges[:, 0], edges[:, 1]])
    order = np.argsort(source, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=n))])
    return indptr, np.concatenate([edges[:, 1], edges[:, 0]])[order].astype(np.int32)


def autocorrelation_time(series):
    """Integrated autocorrelation time, 1/2 + the sum up to six of itself (Sokal's window)."""
    x = series - series.mean()
    spectrum = np.fft.rfft(x, 2 * len(x))
    rho = np.fft.irfft(spectrum * spectrum.conj())[: len(x)]
    tau = 0.5 + np.cumsum(rho[1:] / rho[0])
    return tau[np.argmax(np.arange(1, len(x)) > 6 * tau)]


def series(side, update, steps):
    """Energy and |magnetisation| of each step."""
    edges, x = torus(side), np.zeros(side * side, np.int8)
    energy, magnetisation = np.empty(steps), np.empty(steps)
    for t in range(-300, steps):
        update(x, 1)
        if t >= 0:
            energy[t] = (x[edges[:, 0]] != x[edges[:, 1]]).sum()
            magnetisation[t] = abs(2.0 * x.mean() - 1.0)
    return energy, magnetisation


def spread(values, unit=""):
    return f"{np.median(values):.2f}{unit} ({np.min(values):.2f}-{np.max(values):.2f})"


def peer_seconds(side, mode, steps):
    """Seconds per cluster update of peapods, and per Metropolis sweep with it."""
    from peapods import Ising

    model = Ising((side, side), "ferro", temperatures=np.array([1 / CRITICAL]), n_replicas=1)
    model.sample(steps // 4, cluster_update_interval=1, cluster_mode=mode, sequential=True)
    bare = seconds(lambda: model.sample(steps, sequential=True))
    full = seconds(
        lambda: model.sample(steps, cluster_update_interval=1, cluster_mode=mode, sequential=True)
    )
    return (full - bare) / steps, full / steps


def bench(side, steps):
    rng, n, coupling = np.random.default_rng(0), side * side, 2 * CRITICAL
    edges = torus(side)
    graph = csr(edges, n)
    kernels = {
        "swendsen_wang_lattice": (
            "sw",
            lambda x, k: swendsen_wang_lattice(rng, x, (side, side), True, coupling, n_sweeps=k),
        ),
        "swendsen_wang": ("sw", lambda x, k: swendsen_wang(rng, x, edges, coupling, n_sweeps=k)),
        "wolff": ("wolff", lambda x, k: wolff(rng, x, *graph, coupling, n_clusters=k)),
    }
    for name, (mode, update) in kernels.items():
        x = np.zeros(n, np.int8)
        cold = seconds(lambda x=x, update=update: update(x, 1))
        update(x, 200)
        ours, theirs, both = [], [], []
        count = steps if mode == "sw" else 5 * steps  # sizes of Wolff's clusters vary: take more
        for _ in range(ROUNDS):
            ours.append(seconds(lambda x=x, k=count, update=update: update(x, k)) / count)
            alone, with_sweep = peer_seconds(side, mode, count) if PEER else (np.nan, np.nan)
            theirs.append(alone)
            both.append(with_sweep)
        ours, theirs, both = (1e9 / n * np.array(v) for v in (ours, theirs, both))
        print(f"\n{name}, L = {side} (first call, compiled or from the cache: {cold:.1f} s)")
        print(f"  ns per lattice site: {spread(ours)}; peapods {spread(theirs)}")
        if PEER:
            ratios = theirs / ours
            verdict = "met" if np.median(ratios) >= FLOOR else "MISSED"
            print(f"  {name} L = {side}: ratio {spread(ratios, 'x')}, floor {FLOOR}: {verdict}")
            print(f"  with the sweep that peapods adds: {spread(both / ours, 'x')}")
        else:
            print("  peapods is not installed (pip install '.[bench]'): nothing to compare with")
        if mode == "wolff":
            flipped = update(x, 20 * count) / (20 * count)
            print(f"  cluster {flipped / n:.3f} n: {np.median(ours) * n / flipped:.1f} ns a flip")
        taus = [autocorrelation_time(v) for v in series(side, update, 20_000)]
        rate = [1e9 / (2 * tau * np.median(ours) * n) for tau in taus]
        print(
            f"  tau(energy, |m|) {taus[0]:.1f}, {taus[1]:.1f} steps; effective draws a second "
            f"{rate[0]:.0f}, {rate[1]:.0f}"
        )


def bench_perfect():
    rng = np.random.default_rng(0)
    print("\ncoupling_from_the_past_ising, seconds a draw: median (range) of 5")
    for side in (16, 32, 64):
        graph = csr(torus(side), side * side)
        for k in (0.3, CRITICAL, 0.6):
            for method in ("auto", "heat-bath", "random-cluster"):
                if method == "heat-bath" and k > 0.5:
                    continue  # exponentially slow in the ordered phase

                def draw(graph=graph, k=k, method=method):
                    coupling_from_the_past_ising(
                        rng, *graph, 2 * k, 0.0, max_sweeps=2**22, method=method
                    )

                draw()
                times = [seconds(draw) for _ in range(5)]
                print(
                    f"  L = {side}, K = {k:.4f}, {method:14s} {np.median(times):.5f} "
                    f"({min(times):.5f}-{max(times):.5f})"
                )


if __name__ == "__main__":
    bench(64, 400)
    bench(256, 40)
    bench_perfect()

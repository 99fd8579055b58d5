"""Potts sweeps: time per site, and what Suwa-Todo gains over the heat bath at criticality.

Run ``python tests/benchmarks/bench_potts.py``. No peer: none of those measured samples a Potts
model with weights of its own at each site.
"""

import time

import numpy as np

from pm_energy.kernels.potts import potts_sweeps
from pm_energy.kernels.potts_lattice import potts_lattice_sweeps

ROUNDS = 9


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def torus_csr(side):
    site = np.arange(side * side).reshape(side, side)
    moves = [np.roll(site, step, axis).ravel() for axis in (0, 1) for step in (1, -1)]
    return np.arange(0, 4 * side * side + 1, 4), np.stack(moves, 1).ravel().astype(np.int32)


def checkerboard(side):
    row, column = np.divmod(np.arange(side * side), side)
    return np.argsort((row + column) % 2, kind="stable").astype(np.int32)


def bench_time(side=224):
    """Interleaved rounds; the first line is a draw in ``pm.sample``: new weights at every sweep."""
    rng, n = np.random.default_rng(0), side * side
    indptr, indices = torus_csr(side)
    order = checkerboard(side)
    print(f"ns per site and sweep, {side} x {side} torus: median (range) of {ROUNDS}")
    for q in (2, 3, 5, 10):
        coupling = np.log(1 + np.sqrt(q))
        weight = rng.normal(size=(n, q))
        x = rng.integers(q, size=n).astype(np.int8)
        graph, bonds = (rng, x, indptr, indices), np.full(len(indices), coupling)

        def swept(k, *args, update="heat-bath", graph=graph, weight=weight):
            return lambda: potts_sweeps(*graph, args[0], weight, *args[1:], k, update)

        def latticed(k, rows, update="heat-bath", x=x, coupling=coupling):
            return lambda: potts_lattice_sweeps(
                rng, x, (side, side), True, coupling, rows, k, update
            )

        cases = {
            "new weights each sweep, by colours": (1, swept(1, coupling, order)),
            "new weights each sweep, in order": (1, swept(1, coupling, None)),
            "new weights and a coupling a bond": (1, swept(1, bonds, order)),
            "same weights, by colours": (20, swept(20, coupling, order)),
            "same weights, a coupling a bond": (20, swept(20, bonds, order)),
            "same weights, Suwa-Todo": (20, swept(20, coupling, order, update="suwa-todo")),
            "strong coupling, in logs": (20, swept(20, 100 * coupling, order)),
            "lattice": (20, latticed(20, weight)),
            "lattice, one row of weights": (20, latticed(20, weight[0])),
            "lattice, Suwa-Todo": (20, latticed(20, weight, "suwa-todo")),
        }
        for _, run in cases.values():
            run()
        times = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, (sweeps, run) in cases.items():
                times[name].append(1e9 * seconds(run) / (n * sweeps))
        for name, values in times.items():
            print(
                f"  q = {q:2d}  {name:36s}{np.median(values):6.2f} "
                f"({min(values):.2f}-{max(values):.2f})"
            )


def autocorrelation_time(series):
    """Integrated autocorrelation time, 1/2 + the sum up to six of itself (Sokal's window)."""
    x = series - series.mean()
    spectrum = np.fft.rfft(x, 2 * len(x))
    rho = np.fft.irfft(spectrum * spectrum.conj())[: len(x)]
    tau = 0.5 + np.cumsum(rho[1:] / rho[0])
    return tau[np.argmax(np.arange(1, len(x)) > 6 * tau)]


def measure(side, q, update, steps, between, seed):
    """Autocorrelation times, in sweeps, of energy and magnetisation; and ns per site and sweep."""
    rng, coupling = np.random.default_rng(seed), np.log(1 + np.sqrt(q))
    x = rng.integers(q, size=side * side).astype(np.int8)
    grid = x.reshape(side, side)
    energy, magnetisation, spent = np.empty(steps), np.empty(steps), 0.0
    for t in range(-steps // 10, steps):
        start = time.perf_counter()
        potts_lattice_sweeps(rng, x, grid.shape, True, coupling, np.zeros(q), between, update)
        spent += time.perf_counter() - start
        if t >= 0:
            energy[t] = -np.count_nonzero(grid[1:] == grid[:-1]) - np.count_nonzero(
                grid[0] == grid[-1]
            )
            energy[t] -= np.count_nonzero(grid[:, 1:] == grid[:, :-1])
            energy[t] -= np.count_nonzero(grid[:, 0] == grid[:, -1])
            magnetisation[t] = (np.bincount(x, minlength=q) ** 2.0).sum()
    ns = 1e9 * spent / ((steps + steps // 10) * between * x.size)
    return [between * autocorrelation_time(v) for v in (energy, magnetisation)] + [
        energy.mean() / x.size,
        ns,
    ]


def bench_suwa_todo():
    print("\nAutocorrelation times at the critical coupling, in sweeps, from 4 runs (mean, error)")
    for q in (3, 4):
        for side, steps, between in ((16, 60_000, 2), (32, 60_000, 8)):
            results = {
                update: np.array([measure(side, q, update, steps, between, s) for s in range(4)])
                for update in ("heat-bath", "suwa-todo")
            }
            for update, runs in results.items():
                mean, error = runs.mean(0), runs.std(0, ddof=1) / 2
                print(
                    f"  q = {q}, L = {side}, {update:9s}: energy {mean[0]:.1f} ({error[0]:.1f}), "
                    f"magnetisation {mean[1]:.0f} ({error[1]:.0f}), <E>/n {mean[2]:.4f} "
                    f"({error[2]:.4f}), {mean[3]:.2f} ns a site"
                )
            gain = results["heat-bath"].mean(0) / results["suwa-todo"].mean(0)
            print(
                f"    gain in sweeps: energy {gain[0]:.2f}, magnetisation {gain[1]:.2f}; in time: "
                f"{gain[0] * gain[3]:.2f}, {gain[1] * gain[3]:.2f}"
            )


if __name__ == "__main__":
    bench_time()
    bench_suwa_todo()

"""ESS of the energy per second of one critical Ising chain; run by ``bench_spin_kernels.py``."""

import time

import numpy as np
from numba import njit

from pm_energy.kernels.gibbs_torus import LANES, torus_loop
from pm_energy.kernels.random import seed_words

BETA = 0.44


def lattice_edges(side, n_axes):
    index = np.arange(side**n_axes).reshape((side,) * n_axes)
    return np.concatenate(
        [np.stack([index, np.roll(index, -1, a)], -1).reshape(-1, 2) for a in range(n_axes)]
    )


def thrml_chain(side, thin=1):
    """Return ``run(n_warmup, n_samples)``, compiled when first called, giving bits (n, sites)."""
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

    nodes = [SpinNode() for _ in range(side * side)]
    edges = lattice_edges(side, 2)
    model = IsingEBM(
        nodes,
        [(nodes[a], nodes[b]) for a, b in edges],
        jnp.zeros(len(nodes)),
        jnp.ones(len(edges)),
        jnp.array(BETA),
    )
    color = np.indices((side, side)).sum(0).ravel() % 2
    blocks = [Block([nodes[i] for i in np.flatnonzero(color == k)]) for k in range(2)]
    program = IsingSamplingProgram(model, blocks, [])
    start = hinton_init(jax.random.key(0), model, blocks, ())
    compiled = {}

    def run(n_warmup, n_samples):
        if (n_warmup, n_samples) not in compiled:
            schedule = SamplingSchedule(n_warmup, n_samples, steps_per_sample=thin)
            compiled[n_warmup, n_samples] = jax.jit(
                lambda key: sample_states(key, program, schedule, start, [], [Block(nodes)])
            )
        key = jax.random.key(time.perf_counter_ns())
        return np.asarray(compiled[n_warmup, n_samples](key)[0])

    return run


def autocorrelation_time(series):
    """Integrated: 1/2 + the sum of the correlations over a window of five times itself."""
    centred = series - series.mean()
    power = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    correlation = np.fft.irfft(power)[: len(centred)]
    tau = np.cumsum(correlation / correlation[0]) - 0.5
    return tau[np.argmax(np.arange(len(tau)) > 5 * tau)]


def energies_of(spins):
    """Energy per spin of lattices (n, side, side) of spins or, as well, of bits."""
    unequal = sum((spins != np.roll(spins, -1, axis)).mean((1, 2)) for axis in (1, 2))
    return 2.0 * unequal - 2.0


@njit
def torus_chain(lanes, spins, side, coupling, thin, states):
    for t in range(len(states)):
        torus_loop(lanes, spins, side, side, 0.0, coupling, thin)
        states[t] = spins


def effective_samples(side, with_thrml, rounds, thin=10, length=4_000):
    """ESS of the energy per second: one chain each, its state recorded at every ``thin`` sweeps."""
    print(f"\nESS of the energy per second, torus L={side}, beta {BETA}, one chain")
    rng = np.random.default_rng(4)
    spins, lanes = np.ones(side * side, np.int8), seed_words(rng, LANES)

    def ours():
        states = np.empty((length, side * side), np.int8)
        torus_chain(lanes, spins, side, 2 * BETA, thin, states)
        return states

    chains = {"pm_energy": ours}
    if with_thrml:
        run = thrml_chain(side, thin)
        chains["thrml"] = lambda: run(500, length)
    seconds, taus = {name: [] for name in chains}, {name: [] for name in chains}
    for chain in chains.values():
        chain()
    for _ in range(rounds):
        for name, chain in chains.items():
            begin = time.process_time()
            states = chain()
            seconds[name].append(time.process_time() - begin)
            energies = energies_of(states.reshape(-1, side, side))
            taus[name].append(thin * autocorrelation_time(energies))
    # Both are heat-bath checkerboards, so that they share one autocorrelation time.
    tau = np.mean(list(taus.values()))
    for name, times in seconds.items():
        ess = length * thin / (2 * tau) / np.array(times)
        print(
            f"  {name:10s} {np.median(ess):9.1f} ESS/s  ({ess.min():.1f}-{ess.max():.1f}); "
            f"tau {np.mean(taus[name]):.0f} sweeps"
        )
    if with_thrml:
        ratio = np.array(seconds["thrml"]) / np.array(seconds["pm_energy"])
        print(f"  ratio {np.median(ratio):.1f}  ({ratio.min():.1f}-{ratio.max():.1f})")

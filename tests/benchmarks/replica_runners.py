"""Runners of many replicas, pm_energy's and the peers'; used by ``bench_replicas.py``.

A runner is a function of the number of sweeps, or of iterations of sweep and swaps.
"""

import numpy as np
from spin_ess import lattice_edges

from pm_energy.kernels.lanes_anneal import lanes_anneal
from pm_energy.kernels.lanes_graph import lanes_graph, pack_lanes
from pm_energy.kernels.lanes_sweeps import lanes_sweeps
from pm_energy.kernels.lanes_tempering import lanes_tempering
from pm_energy.kernels.multispin_anneal import multispin_anneal
from pm_energy.kernels.multispin_graph import multispin_graph
from pm_energy.kernels.multispin_sweeps import multispin_sweeps
from pm_energy.kernels.multispin_tempering import multispin_tempering

ANNEAL = 0.1, 3.0  # inverse temperatures, from and to
N_LEVELS = 16
TEMPERATURES = np.linspace(0.8, 1.6, N_LEVELS)


class System:
    """Spins with energy minus the sum of J s s, in the forms that all need."""

    def __init__(self, n, edges, couplings, color=None):
        self.n, self.edges, self.couplings, self.color = n, edges, couplings, color
        rows, columns = np.concatenate([self.edges, self.edges[:, ::-1]]).T
        by_row = np.lexsort((columns, rows))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=self.n))])
        self.csr = indptr, columns[by_row], np.tile(couplings, 2)[by_row]


def lattice(side, n_axes, couplings):
    color = np.indices((side,) * n_axes).sum(0).ravel() % 2
    return System(side**n_axes, lattice_edges(side, n_axes), couplings, color)


def all_to_all(n, couplings):
    return System(n, np.stack(np.triu_indices(n, 1), axis=1), couplings)


def random_words(system, n_words):
    return np.random.default_rng(1).integers(0, 2**64, (system.n, n_words), dtype=np.uint64)


def random_lanes(system, n_replicas):
    return pack_lanes(np.random.default_rng(1).choice([-1, 1], (n_replicas, system.n)))


def bits_runner(system, beta, n_replicas, update):
    rng, words = np.random.default_rng(0), random_words(system, n_replicas // 64)
    graph = multispin_graph(*system.csr)
    return lambda n: multispin_sweeps(rng, words, graph, beta, n, update)


def bits_anneal_runner(system, n_replicas):
    rng, words = np.random.default_rng(0), random_words(system, n_replicas // 64)
    graph = multispin_graph(*system.csr)
    return lambda n: multispin_anneal(rng, words, graph, np.linspace(*ANNEAL, n))


def bits_tempering_runner(system):
    rng, words = np.random.default_rng(0), random_words(system, N_LEVELS)
    graph, betas = multispin_graph(*system.csr), 1 / TEMPERATURES[::-1]
    replica = np.repeat(np.arange(N_LEVELS, dtype=np.int16)[:, None], 64, axis=1)
    return lambda n: multispin_tempering(rng, words, graph, betas, n, replica=replica)


def log_odds_graph(system):
    indptr, indices, couplings = system.csr
    return lanes_graph(indptr, indices, 2 * couplings, 0.0)


def lanes_runner(system, beta, n_replicas, update):
    rng, state = np.random.default_rng(0), random_lanes(system, n_replicas)
    graph = log_odds_graph(system)
    return lambda n: lanes_sweeps(rng, state, graph, beta, n, update)


def lanes_anneal_runner(system, n_replicas):
    rng, state = np.random.default_rng(0), random_lanes(system, n_replicas)
    graph = log_odds_graph(system)
    return lambda n: lanes_anneal(rng, state, graph, np.linspace(*ANNEAL, n))


def lanes_tempering_runner(system, n_ladders):
    rng, state = np.random.default_rng(0), random_lanes(system, N_LEVELS * n_ladders)
    graph, betas = log_odds_graph(system), 1 / TEMPERATURES[::-1]
    replica = np.repeat(np.arange(N_LEVELS, dtype=np.int16)[:, None], n_ladders, axis=1)
    return lambda n: lanes_tempering(rng, state, graph, betas, replica, n)


# The peers', in their own conventions (dwave minimises +J s s, the others -J s s):


def thrml_runner(system, beta, chains):
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

    nodes = [SpinNode() for _ in range(system.n)]
    pairs = [(nodes[a], nodes[b]) for a, b in system.edges]
    couplings = jnp.array(system.couplings, jnp.float32)
    model = IsingEBM(nodes, pairs, jnp.zeros(system.n), couplings, jnp.array(beta))
    blocks = [Block([nodes[i] for i in np.flatnonzero(system.color == k)]) for k in range(2)]
    program = IsingSamplingProgram(model, blocks, [])
    key = jax.random.key(0)
    start, keys = hinton_init(key, model, blocks, (chains,)), jax.random.split(key, chains)
    compiled = {}

    def run(n_sweeps):
        if n_sweeps not in compiled:
            schedule = SamplingSchedule(n_warmup=n_sweeps, n_samples=1, steps_per_sample=1)
            compiled[n_sweeps] = jax.jit(
                jax.vmap(
                    lambda key, bits: sample_states(
                        key, program, schedule, bits, [], [Block(nodes)]
                    )
                )
            )
        jax.block_until_ready(compiled[n_sweeps](keys, start))

    return run


def dwave_runner(system, reads):
    import dimod
    from dwave.samplers import SimulatedAnnealingSampler

    model = dimod.BQM.from_numpy_vectors(
        np.zeros(system.n), (*system.edges.T, -system.couplings), 0.0, dimod.SPIN
    )
    sampler = SimulatedAnnealingSampler()
    return lambda n_sweeps: sampler.sample(
        model,
        num_reads=reads,
        beta_schedule_type="custom",
        beta_schedule=np.linspace(*ANNEAL, n_sweeps),
        num_sweeps_per_beta=1,
        seed=3,
    )


def openjij_runner(system, reads):
    import openjij

    sampler = openjij.SASampler()
    pairs = {
        (int(a), int(b)): -float(v)
        for (a, b), v in zip(system.edges, system.couplings, strict=True)
    }
    return lambda n_sweeps: sampler.sample_ising(
        {},
        pairs,
        num_reads=reads,
        schedule=[[float(b), 1] for b in np.linspace(*ANNEAL, n_sweeps)],
        sparse=False,
    )


def peapods_runner(side, n_replicas):
    import peapods

    model = peapods.Ising((side,) * 3, "bimodal", temperatures=TEMPERATURES, n_replicas=n_replicas)
    return lambda n_sweeps: model.sample(n_sweeps, pt_interval=1, sequential=True)

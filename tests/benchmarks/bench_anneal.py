"""Annealing beside the fastest packages: time to the best energy known, with 99% confidence.

Run ``python tests/benchmarks/bench_anneal.py``, with the ``bench`` extra installed. Instances are
3-D +-J spin glasses of 8 x 8 x 8 spins. If a read (one anneal) takes t seconds and succeeds with
probability p, the amortised time is ``t log(0.01) / log(1 - p)``: many reads are wanted anyway.
Latency is the time of the shortest single call of ``pm_energy.anneal``, from an energy to its
result, that succeeds with 99%; a peer, whose reads follow each other, needs its amortised time.

All contenders run in this process on one core, in turn, round after round; ratios are formed within
a round. Times are CPU times. Every contender has the length of its anneals that suits it best, and
the same linear schedule but for ``pm_energy``, which finds its own. Probabilities are those of all
rounds together, for one read says next to nothing. Instances of which fewer than 1% of
pm_energy's anneals of 1,000 sweeps find the target are left out: of a peer's, a few minutes hold
too few reads to tell.
"""

import argparse
import importlib.util
import itertools
import time

import numpy as np
from rounds import interleave, print_ratio, print_versions, spread, use_one_core

import pm_energy as pme

SIDE = 8
SCHEDULE = 0.1, 3.0
LENGTHS = 300, 1000, 2000  # sweeps
READS = {"pm_energy": 4096, "dwave": 400, "openjij": 400}
FLOORS = {"dwave": (40, 4), "openjij": (None, None)}  # amortised, latency
BATCH = 512  # replicas of a single call
RARE = 0.01
# sweeps of such a call
LATENCIES = (30, 50, 70, 100, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000)  # fmt: skip


class Instance:
    """A spin glass and the lowest energy found in a long search."""

    def __init__(self, seed):
        lattice = pme.Lattice((SIDE,) * 3)
        self.edges, self.n = lattice.edges, lattice.n
        self.signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(self.edges))
        self.energy = pme.Ising(self.signs, lattice=lattice.shape)
        # some ground states lie at the end of a narrow valley that slow anneals pass by
        run = self.pm_energy()
        many = run(0, 1000, 128 * BATCH)
        self.target = min(run(0, 10_000, BATCH).min(), many.min())
        self.is_hard = np.mean(many <= self.target + 1e-6) < RARE

    def pm_energy(self):
        def run(seed, n_sweeps, reads):
            task = {"n_sweeps": n_sweeps, "n_replicas": reads, "cores": 1}
            return pme.anneal(self.energy, random_seed=seed, progressbar=False, **task).energies

        return run

    def dwave(self):
        import dimod
        from dwave.samplers import SimulatedAnnealingSampler

        model = dimod.BQM.from_numpy_vectors(
            np.zeros(self.n), (*self.edges.T, -self.signs), 0.0, dimod.SPIN
        )
        sampler = SimulatedAnnealingSampler()
        return lambda seed, n_sweeps, reads: (
            sampler.sample(
                model,
                num_reads=reads,
                beta_schedule_type="custom",
                beta_schedule=np.linspace(*SCHEDULE, n_sweeps),
                num_sweeps_per_beta=1,
                seed=seed,
            ).record.energy
        )

    def openjij(self):
        import openjij

        sampler = openjij.SASampler()
        pairs = {
            (int(a), int(b)): -float(v) for (a, b), v in zip(self.edges, self.signs, strict=True)
        }
        # with a seed all of its reads are the same
        return lambda seed, n_sweeps, reads: (
            sampler.sample_ising(
                {},
                pairs,
                num_reads=reads,
                schedule=[[b, 1] for b in np.linspace(*SCHEDULE, n_sweeps)],
            ).record.energy
        )


class Contest:
    """Reads of one contender on one instance: seconds, and how many reach the target."""

    def __init__(self, instance, run, reads):
        self.instance, self.run, self.reads = instance, run, reads
        self.hits, self.made, self.seed = dict.fromkeys(LENGTHS, 0), dict.fromkeys(LENGTHS, 0), 0

    def seconds_a_read(self, n_sweeps):
        self.seed += 1
        begin = time.process_time()
        energies = np.asarray(self.run(self.seed, n_sweeps, self.reads))
        seconds = time.process_time() - begin
        if energies.min() < self.instance.target - 1e-6:
            raise RuntimeError("an energy below the target was found: search longer for the target")
        self.hits[n_sweeps] += np.count_nonzero(energies <= self.instance.target + 1e-6)
        self.made[n_sweeps] += len(energies)
        return seconds / len(energies)

    def reads_wanted(self, n_sweeps):
        """For 99%; half a hit where there was none."""
        p = max(self.hits[n_sweeps], 0.5) / self.made[n_sweeps]
        return max(1.0, np.log(0.01) / np.log1p(-p)) if p < 1 else 1.0


def solve(instance, names, rounds):
    """Amortised times of each contender in each round, at its best length: name -> (rounds,)."""
    runs = {name: getattr(instance, name)() for name in names}
    contests = {name: Contest(instance, run, READS[name]) for name, run in runs.items()}
    timers = {
        (name, length): (lambda c=contest, n=length: c.seconds_a_read(n))
        for name, contest in contests.items()
        for length in LENGTHS
    }
    for contest in contests.values():
        contest.run(0, 10, 8)  # compile
    seconds = interleave(timers, rounds)
    best = {}
    for name, contest in contests.items():
        times = {n: seconds[name, n] * contest.reads_wanted(n) for n in LENGTHS}
        length = min(LENGTHS, key=lambda n: np.median(times[n]))
        best[name] = times[length]
        p = contest.hits[length] / contest.made[length]
        print(
            f"  {name:12s} {length:5d} sweeps: p = {p:.4f} ({contest.hits[length]} hits), "
            f"{1e3 * np.median(times[length]):8.2f} ms"
        )
    return best


def latency(instance, rounds):
    """CPU time of single calls, the shortest of which 99% succeed: (rounds,), and its sweeps."""
    run = instance.pm_energy()
    for n_sweeps in LATENCIES:
        hits = np.mean(run(7, n_sweeps, 16 * BATCH) <= instance.target + 1e-6)
        if (1 - hits) ** BATCH <= 0.01:
            break
    times = []
    for seed in range(rounds):
        begin = time.process_time()
        run(seed, n_sweeps, BATCH)
        times.append(time.process_time() - begin)
    return np.array(times), n_sweeps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instances", type=int, default=5)
    arguments = parser.parse_args()
    use_one_core()
    modules = {"dwave": "dwave", "openjij": "openjij"}
    names = ["pm_energy", *(n for n, m in modules.items() if importlib.util.find_spec(m))]
    print_versions("numpy", "numba", *{"dwave": "dwave-samplers", "openjij": "openjij"}.values())
    amortised, direct = {}, {}
    seeds = itertools.count(11)
    while len(next(iter(amortised.values()), [])) < arguments.instances:
        seed = next(seeds)
        instance = Instance(seed)
        print(f"+-J spin glass {SIDE}^3, seed {seed}, energy {instance.target:g}")
        if instance.is_hard:
            print("  left out")
            continue
        best = solve(instance, names, arguments.rounds)
        single, n_sweeps = latency(instance, arguments.rounds)
        print(f"  single call  {n_sweeps:5d} sweeps of {BATCH} replicas: {spread(1e3 * single)} ms")
        for name in names[1:]:
            amortised.setdefault(name, []).append(best[name] / best["pm_energy"])
            direct.setdefault(name, []).append(best[name] / single)
    print(f"\nratios, geometric means over {arguments.instances} instances; rounds: range")
    for name in names[1:]:
        for what, table, floor in zip(
            ("amortised", "latency"), (amortised, direct), FLOORS[name], strict=True
        ):
            print_ratio(
                f"{name} / pm_energy, {what}", np.exp(np.log(table[name]).mean(axis=0)), floor
            )


if __name__ == "__main__":
    main()

"""Simulated annealing as an optimiser: states of low energy, for any discrete energy."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymc.util import get_random_generator

from pm_energy.energy import single_block
from pm_energy.sampling.anneal_result import Annealed
from pm_energy.sampling.parallel import run_chains, workers_for
from pm_energy.validate import numeric_array, positive_int, states_in_domain
from pm_energy.walkers.beta_range import beta_range as find_beta_range
from pm_energy.walkers.choose_moves import moves_of

SCHEDULES = ("linear", "geometric")
REPORTS = 20  # at most, in the course of an anneal; only there can kernels be interrupted
TRIED = 8  # sweeps, to see how long all will take
_log = logging.getLogger("pymc").getChild("pm_energy")


def anneal(
    energy,
    *,
    n_sweeps=1000,
    n_replicas=64,
    beta_range=None,
    schedule="linear",
    restarts=1,
    polish=True,
    initial_states=None,
    random_seed=None,
    cores=None,
    progressbar=True,
):
    """Look for the states of lowest energy by simulated annealing [1]_.

    Replicas start at random and are swept at inverse temperatures that rise from where they move
    freely to where they hardly move. There is no guarantee that the lowest energy is found: trust
    it more the more replicas end there.

    Parameters
    ----------
    energy : Energy
        Over one block of discrete units (two-state units or categories), with numeric parameters.
        Energies with pair couplings or two layers run on kernels, spins all replicas at once; any
        other takes a slower way, an evaluation of the energy for each unit.
    n_sweeps : int
        Sweeps of an anneal. A schedule given by its values has its own number.
    n_replicas : int
        Independent anneals. Where all couplings are of one size and there are no fields, 64 of them
        share each word of memory, and 512 take as long as one.
    beta_range : (float, float), optional
        Inverse temperatures of the first and last sweep. By default found from the energy, so that
        it does not depend on its units or coding: at first the costliest change of one unit is made
        with probability 1/2, at last one against a small gap in a hundred sweeps.
    schedule : {"linear", "geometric"} or array_like
        How inverse temperatures rise between the ends, or all of them.
    restarts : int
        Anneals of each replica, of which the best is kept.
    polish : bool
        Whether each anneal ends in a greedy descent to a state of which no change of a single unit
        lowers the energy.
    initial_states : array_like, shape (n_replicas, *event_shape) or (*event_shape), optional
        Where to start, in place of random states. They are remembered only if the range of inverse
        temperatures starts cold.
    random_seed : int, Generator or None
    cores : int, optional
        Processes, among which batches of replicas and restarts are shared. By default what
        ``joblib.parallel_config`` says and, without it, more than one only where the run is long.
        The result is the same for any number.
    progressbar : bool

    Returns
    -------
    Annealed
        States, energies, different minima and their counts. After Ctrl-C what was reached until
        then.

    Raises
    ------
    ValueError
        If the units are continuous, a parameter of the energy is not a number, energies are not
        numbers, or an argument is out of range.

    References
    ----------
    .. [1] Kirkpatrick, Gelatt & Vecchi (1983), Science 220, 671-680.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> signs = np.random.default_rng(0).choice([-1.0, 1.0], 192)  # a spin glass
    >>> glass = pme.Ising(signs, lattice=(4, 4, 4))
    >>> found = pme.anneal(glass, random_seed=1, progressbar=False)
    >>> found.best_energy, int((found.energies == found.best_energy).sum()) > 10
    (-122.0, True)
    """
    began = time.perf_counter()
    block = _discrete_block(energy)
    n_replicas = positive_int("n_replicas", n_replicas)
    restarts = positive_int("restarts", restarts)
    n_sweeps = positive_int("n_sweeps", n_sweeps)
    starts = _read_starts(initial_states, n_replicas, block)
    moves = moves_of(energy)
    betas = _read_schedule(schedule, beta_range, n_sweeps, moves)
    run = _Anneal(moves, betas, n_replicas, starts, polish)
    rngs = get_random_generator(random_seed).spawn(restarts * run.n_batches)
    n_jobs = workers_for(len(rngs), cores, run.seconds() * len(rngs)) if len(rngs) > 1 else 1
    batches = run_chains(
        run, rngs, n_jobs=n_jobs, total=len(betas), progressbar=progressbar,
        description="Annealing",
    )  # fmt: skip
    if len(batches) < len(rngs) or batches[-1].interrupted:
        _log.warning(f"interrupted: {len(batches)} of {len(rngs)} batches of replicas are returned")
    states, energies = _best_of_restarts(moves, batches, run.n_batches)
    seconds = time.perf_counter() - began
    return Annealed(states, energies, betas, restarts, block.domain, moves.road, seconds)


def _discrete_block(energy):
    block = single_block(energy)
    if block.domain.states is None:
        raise ValueError(
            f"the units of {type(energy).__name__} are continuous, and annealing is for discrete "
            "ones: put it into a model, pm_energy.Boltzmann('x', energy), and call pm.find_MAP "
            "from several starts, or sample it by parallel tempering"
        )
    return block


def _read_starts(states, n_replicas, block):
    if states is None:
        return None
    states = states_in_domain("initial_states", states, block.domain)
    if states.shape == block.shape:
        states = np.broadcast_to(states, (n_replicas, *block.shape))
    if states.shape != (n_replicas, *block.shape):
        raise ValueError(
            f"initial_states must have shape {block.shape} or {(n_replicas, *block.shape)}, got "
            f"{states.shape}"
        )
    return states


def _read_schedule(schedule, ends, n_sweeps, moves):
    """Inverse temperature of each sweep."""
    if not isinstance(schedule, str):
        if ends is not None:
            raise ValueError("beta_range is for named schedules; this one has its own values")
        betas = numeric_array("schedule", schedule).astype(float)
        if betas.ndim != 1 or not betas.size or not np.all(np.isfinite(betas) & (betas >= 0)):
            raise ValueError(
                "schedule must be 'linear', 'geometric' or a vector of inverse temperatures, "
                "finite and not negative"
            )
        return betas
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {SCHEDULES} or a vector, got {schedule!r}")
    hot, cold = find_beta_range(moves) if ends is None else _read_ends(ends)
    if schedule == "linear":
        return np.linspace(hot, cold, n_sweeps)
    if hot == 0:
        raise ValueError(
            "a geometric schedule cannot start at beta_range[0] = 0: take a linear one"
        )
    return np.geomspace(hot, cold, n_sweeps)


def _read_ends(ends):
    ends = numeric_array("beta_range", ends).astype(float)
    if ends.shape != (2,) or not np.isfinite(ends).all() or not 0 <= ends[0] <= ends[1]:
        raise ValueError(
            "beta_range must be two inverse temperatures, the hot one (small, not negative) first, "
            f"got {ends.tolist()}"
        )
    return ends


@dataclass
class _Batch:
    """Replicas that were annealed together."""

    states: np.ndarray
    interrupted: bool = False


@dataclass
class _Anneal:
    """The task of one batch: it travels to other processes."""

    moves: Any
    betas: np.ndarray
    n_replicas: int
    starts: np.ndarray | None
    polish: bool

    @property
    def n_batches(self):
        """Batches of replicas; their sizes must not depend on the number of processes."""
        return -(-self.n_replicas // self.moves.batch)

    def seconds(self):
        """How long a batch will take, about, from a few sweeps of it."""
        rng, few = np.random.default_rng(0), self.betas[:: 1 + len(self.betas) // TRIED]
        x = self.moves.draw(rng, min(self.n_replicas, self.moves.batch))
        self.moves.anneal(rng, x, few[:1])  # compile
        began = time.perf_counter()
        self.moves.anneal(rng, x, few)
        return (time.perf_counter() - began) / len(few) * len(self.betas)

    def __call__(self, index, rng, report):
        first = (index % self.n_batches) * self.moves.batch
        size = min(self.moves.batch, self.n_replicas - first)
        if self.starts is None:
            x = self.moves.draw(rng, size)
        else:
            x = np.array(self.starts[first : first + size], order="C")
        batch = _Batch(x)
        try:
            for part in np.array_split(self.betas, self._n_parts(x)):
                self.moves.anneal(rng, x, part)
                report(len(part))
        except KeyboardInterrupt:
            batch.interrupted = True
        if self.polish:
            self.moves.descend(x)
        return batch

    def _n_parts(self, x):
        parts = x.size * len(self.betas) // self.moves.updates_a_part
        return min(max(1, parts), REPORTS, len(self.betas))


def _best_of_restarts(moves, batches, n_batches):
    """States and energies, of each replica the best."""
    states = energies = None
    for start in range(0, len(batches), n_batches):
        new = np.concatenate([batch.states for batch in batches[start : start + n_batches]])
        values = moves.energies(new)
        if states is None:
            states, energies = new, values
        else:
            lower = np.flatnonzero(values < energies[: len(new)])
            states[lower], energies[lower] = new[lower], values[lower]
    if np.isnan(energies).any():
        raise ValueError(
            f"the energy is not a number at {np.isnan(energies).sum()} of {len(energies)} states "
            f"that replicas ended in, for instance {states[np.isnan(energies)][0].tolist()}"
        )
    return states, energies

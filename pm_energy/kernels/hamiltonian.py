"""Hamiltonian trajectories of a block of chains, with coarse Langevin moves where density is low.

Arrays of a block are (d, B), chains in lanes; mass and noise are one. Leapfrog steps are reversible
and keep volumes whatever the force is, so it may be cut as that of Langevin moves is. One leapfrog
step with a fresh velocity is such a move [1]_.

Where two kinds of move are mixed, each chain first draws of which kind its next one is. It is
coarse with probability

    w(x) = 1 / (1 + exp((log p(x) - place) / width)),

so that state and kind together have the density p(x) w(x) or p(x) (1 - w(x)). Moves keep the kind,
and the Metropolis test is of that density: it knows how likely the kind would have been at the
other end. Without this the mixture would leave another density invariant than p, though each of
its kinds does leave p. While others are on one trajectory of L steps, a coarse chain makes L moves.

References
----------
.. [1] Duane, Kennedy, Pendleton & Roweth (1987), Physics Letters B 195, 216-222; Neal (2011),
   Handbook of Markov Chain Monte Carlo, chapter 5.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pm_energy.kernels.exponential import exp_double
from pm_energy.kernels.inner import inner
from pm_energy.kernels.langevin import between_0_and_1, drift, make_buffers
from pm_energy.kernels.langevin_lanes import exp_lane, larger, log_lane, pick, sigmoid_lane
from pm_energy.kernels.langevin_noise import fill_normals
from pm_energy.kernels.native import call_native
from pm_energy.kernels.random import LANES, fill_words, seed_words

_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
NEVER = (-np.inf, 1.0)  # a switch without coarse moves


class Trajectories(NamedTuple):
    """A block of B chains in d dimensions, moved in place.

    ``fine`` is of trajectories and ``coarse`` of Langevin moves: the step size, how many tests it
    has learned from, and the acceptance that it is tuned to, 0 where it is fixed.
    """

    x: np.ndarray  # (d, B)
    fine: np.ndarray  # (3,)
    coarse: np.ndarray  # (3,)
    switch: np.ndarray  # (2,): place and width


class Flight(NamedTuple):
    """Where chains are on their trajectories, and where these began."""

    y: np.ndarray  # (d, B)
    score: np.ndarray  # (d, B), at y
    log_p: np.ndarray  # (B,)
    score_x: np.ndarray  # (d, B), where they began
    log_p_x: np.ndarray  # (B,)
    velocity: np.ndarray  # (d, B)
    kinetic: np.ndarray  # (B,), energy of the velocity they began with
    kind: np.ndarray  # (B,): 1 if coarse, else 0
    accepted: np.ndarray  # (B,), sum of acceptance probabilities
    tests: np.ndarray  # (B,), how many these were


def hamiltonian_moves(rng, density, chains, beta, lengths, thin):
    """Move a block of chains, and record every ``thin``-th state.

    Parameters
    ----------
    rng : numpy.random.Generator
    density : BatchDensity
        Scores and log-densities: with ``address`` and ``table`` for native code, or callable.
    chains : Trajectories
    beta : float
        Inverse temperature.
    lengths : ndarray of int, shape (n_records * thin,)
        Leapfrog steps of each move: as many evaluations.
    thin : int

    Returns
    -------
    record : ndarray, shape (n_records, d, B)
    acceptance : ndarray, shape (n_records, B)
        Mean acceptance probability.
    coarse : ndarray, shape (n_records, B)
        Share of moves that were coarse.
    """
    d, n_chains = chains.x.shape
    n_records = len(lengths) // thin
    record = np.empty((n_records, d, n_chains))
    acceptance, coarse = np.empty((n_records, n_chains)), np.zeros((n_records, n_chains))
    args = chains, beta, np.asarray(lengths), thin, record, acceptance, coarse
    words, buffers = seed_words(rng, LANES), make_buffers(d, n_chains)
    if density.address is None:
        _move_called(words, buffers, density, *args)
    else:
        _move_native(words, buffers, density.address, density.table, *args)
    return record, acceptance, coarse


@_compiled
def _move_native(
    words, buffers, address, table, chains, beta, lengths, thin, record, acceptance, coarse
):
    d, n_chains = chains.x.shape
    n = d * n_chains
    state, out = np.empty(table[0]), np.empty(2 + table[0])
    y, score = state[:n].reshape(d, n_chains), out[2 : 2 + n].reshape(d, n_chains)
    y[:] = chains.x
    call_native(address, state, beta, table, out)
    flight = take_off(y, score, out[2 + n :][:n_chains])
    for r in range(len(record)):
        for length in lengths[r * thin : (r + 1) * thin]:
            begin(words, buffers, chains, flight)
            coarse[r] += flight.kind
            for left in range(length - 1, -1, -1):
                leap(chains, flight)
                call_native(address, state, beta, table, out)
                land(words, buffers, left == 0, chains, flight)
        _note(r, thin, flight, record, acceptance, coarse)


def _move_called(words, buffers, density, chains, beta, lengths, thin, record, acceptance, coarse):
    """The same with a density that Python evaluates."""
    flight = take_off(chains.x.copy(), *density(chains.x, beta))
    for r in range(len(record)):
        for length in lengths[r * thin : (r + 1) * thin]:
            begin(words, buffers, chains, flight)
            coarse[r] += flight.kind
            for left in range(length - 1, -1, -1):
                leap(chains, flight)
                flight.score[:], flight.log_p[:] = density(flight.y, beta)
                land(words, buffers, left == 0, chains, flight)
        _note(r, thin, flight, record, acceptance, coarse)


@_compiled
def take_off(y, score, log_p):
    """Return chains that are about to begin at y, shape (d, B), with what is known there."""
    lanes = log_p.size
    return Flight(
        y, score, log_p, score.copy(), log_p.copy(), np.empty(y.shape), np.empty(lanes),
        np.zeros(lanes), np.zeros(lanes), np.zeros(lanes),
    )  # fmt: skip


@_compiled
def _note(r, thin, flight, record, acceptance, coarse):
    record[r] = flight.y
    acceptance[r] = flight.accepted / flight.tests
    coarse[r] /= thin
    flight.accepted[:] = 0.0
    flight.tests[:] = 0.0


@_compiled
def begin(words, buffers, chains, flight):
    """Draw the kind of each chain's next move, and velocities."""
    uniform = buffers[1]
    place, width = chains.switch
    fill_words(words, uniform)
    for c in range(uint64(flight.kind.size)):
        chance = sigmoid_lane((place - flight.log_p[c]) / width)
        flight.kind[c] = pick(between_0_and_1(uniform[c]) < chance, 1.0, 0.0)
    refresh(words, buffers, np.ones(flight.kind.size), flight)


@_compiled
def refresh(words, buffers, chosen, flight):
    """Draw velocities of the chains that are chosen."""
    noise, _ = buffers
    d, n_chains = flight.y.shape
    lanes = uint64(n_chains)
    fill_normals(words, noise)
    for c in range(lanes):
        flight.kinetic[c] = pick(chosen[c] > 0.5, 0.0, flight.kinetic[c])
    for i in range(d):
        v, z = flight.velocity[i], noise[i * n_chains : (i + 1) * n_chains]
        for c in range(lanes):
            v[c] = pick(chosen[c] > 0.5, z[c], v[c])
            flight.kinetic[c] += pick(chosen[c] > 0.5, 0.5 * v[c] * v[c], 0.0)


@_compiled
def leap(chains, flight):
    """Begin a leapfrog step: half a kick and the whole way."""
    fine, coarse, kind = chains.fine[0], chains.coarse[0], flight.kind
    for i in range(len(flight.y)):
        y, v, score = flight.y[i], flight.velocity[i], flight.score[i]
        for c in range(uint64(kind.size)):
            step = pick(kind[c] > 0.5, coarse, fine)
            v[c] += drift(score[c], step)
            y[c] += step * v[c]


@_compiled
def land(words, buffers, last, chains, flight):
    """End a leapfrog step: the other half of the kick, and a test for all whose move is over.

    Parameters
    ----------
    words, buffers : random words, and buffers from :func:`make_buffers`
    last : bool
        Whether trajectories end here; coarse moves always do.
    chains : Trajectories
        Where a state is accepted, ``x`` becomes it. The step sizes learn.
    flight : Flight
        With the score and the log-density at y. Where a state is rejected, y is x again.
    """
    fine, coarse, kind = chains.fine[0], chains.coarse[0], flight.kind
    for i in range(len(flight.y)):
        v, score = flight.velocity[i], flight.score[i]
        for c in range(uint64(kind.size)):
            v[c] += drift(score[c], pick(kind[c] > 0.5, coarse, fine))
    if last or chains.switch[0] > -np.inf:
        fill_words(words, buffers[1])
        judge(buffers[1], last, chains, flight)
        if not last:
            refresh(words, buffers, kind, flight)


@_compiled
def judge(uniform, last, chains, flight):
    """Accept or reject, by random words ``uniform``, where moves are over; tune the steps.

    States whose log-density is NaN or minus infinity are never accepted.
    """
    kind, log_p, log_p_x, kinetic = flight.kind, flight.log_p, flight.log_p_x, flight.kinetic
    place, width = chains.switch
    d, n_chains = flight.y.shape
    lanes = uint64(n_chains)
    chance = log_p - log_p_x + kinetic
    for i in range(d):
        v = flight.velocity[i]
        for c in range(lanes):
            chance[c] -= 0.5 * v[c] * v[c]
    alone = chance.copy()
    for c in range(lanes):
        sign = (2.0 * kind[c] - 1.0) / width  # the kind has probability 1 / (1 + exp(here)), and
        here, there = sign * (log_p_x[c] - place), sign * (log_p[c] - place)
        chance[c] += larger(here, 0.0) - larger(there, 0.0)  # the log-ratio has one log, not two
        chance[c] += log_lane((1.0 + exp_lane(-abs(here))) / (1.0 + exp_lane(-abs(there))))
    _to_probability(alone)
    _to_probability(chance)
    over = np.ones(n_chains) if last else kind
    taken, left = np.empty(n_chains), np.empty(n_chains)  # y becomes x, or stays where x is
    for c in range(lanes):
        taken[c] = pick(between_0_and_1(uniform[c]) < chance[c], over[c], 0.0)
        left[c] = over[c] - taken[c]
    flight.accepted[:] += over * chance
    flight.tests[:] += over
    _settle(taken, left, log_p, log_p_x)
    for i in range(d):
        _settle(taken, left, flight.y[i], chains.x[i])
        _settle(taken, left, flight.score[i], flight.score_x[i])
    if last and chains.fine[2] > 0.0:
        _learn(chains.fine, alone, 1.0 - kind)
    if chains.coarse[2] > 0.0:
        _learn(chains.coarse, alone, kind)  # smaller steps would not make kinds more alike


@inner(forceinline=True)
def _to_probability(log_ratio):
    """Turn log-ratios of densities into probabilities of acceptance, in place."""
    for c in range(uint64(log_ratio.size)):
        bounded = pick(log_ratio[c] > -708.0, log_ratio[c], -708.0)  # where it is NaN, too
        log_ratio[c] = exp_double(pick(bounded < 0.0, bounded, 0.0))


@inner(forceinline=True)
def _settle(taken, left, new, old):
    for c in range(uint64(new.size)):
        y, x = new[c], old[c]
        old[c] = pick(taken[c] > 0.5, y, x)
        new[c] = pick(left[c] > 0.5, x, y)


@_compiled
def _learn(tuning, chance, weight):
    """Change a step size by what was accepted of the chains that took it."""
    total = weight.sum()
    if total > 0.0:
        tuning[1] += 1.0
        tuning[0] *= np.exp(((weight * chance).sum() / total - tuning[2]) * tuning[1] ** -0.6)

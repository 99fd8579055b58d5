"""Langevin moves of a block of chains: overdamped, Metropolis-adjusted and underdamped.

A step size is the standard deviation of the noise that a move adds, which is also the time step of
the underdamped dynamics of unit mass. Arrays of a block are (d, B), chains in lanes.

The drift of a coordinate is cut at :data:`LONGEST` times the noise [1]_. It hardly ever is that
long where the density is not negligible; far out, where an energy rises faster than a square, an
uncut drift would lead over to the other side and further out. The Metropolis test knows of the cut.

References
----------
.. [1] Brosse, Durmus, Moulines & Sabanis (2019), Stochastic Processes and their Applications 129,
   3638-3663: the coordinate-wise tamed algorithm.
.. [2] Roberts & Tweedie (1996), Bernoulli 2, 341-363.
.. [3] Roberts & Rosenthal (2007), Journal of Applied Probability 44, 458-475.
.. [4] Leimkuhler & Matthews (2013), Applied Mathematics Research eXpress 2013, 34-56: BAOAB.
"""

from typing import NamedTuple

import numpy as np
from numba import float64, njit, uint64

from pm_energy.kernels.exponential import exp_double
from pm_energy.kernels.inner import inner
from pm_energy.kernels.langevin_lanes import pick
from pm_energy.kernels.langevin_noise import fill_normals, noise_buffer
from pm_energy.kernels.native import call_native
from pm_energy.kernels.random import LANES, fill_words, seed_words

OVERDAMPED, ADJUSTED, UNDERDAMPED = 0, 1, 2
LONGEST = 4.0
_compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


class Chains(NamedTuple):
    """A block of B chains in d dimensions, moved in place.

    ``tuning`` holds the step size, how many moves it has learned from, and the acceptance that it
    is tuned to, 0 where it is fixed.
    """

    x: np.ndarray  # (d, B)
    velocity: np.ndarray  # (d, B), of underdamped chains
    tuning: np.ndarray  # (3,)


def langevin_moves(rng, density, chains, method, beta, friction, n_records, thin):
    """Move a block of chains, and record every ``thin``-th state.

    Parameters
    ----------
    rng : numpy.random.Generator
    density : BatchDensity
        Scores and, for adjusted moves, log-densities: with ``address`` and ``table`` for native
        code, or callable.
    chains : Chains
    method : {OVERDAMPED, ADJUSTED, UNDERDAMPED}
    beta : float
        Inverse temperature.
    friction : float
        Of underdamped moves, in units of one over time.
    n_records, thin : int

    Returns
    -------
    record : ndarray, shape (n_records, d, B)
    acceptance : ndarray, shape (n_records, B)
        Mean acceptance probability of adjusted moves; zero of others.
    """
    d, n_chains = chains.x.shape
    record, acceptance = np.empty((n_records, d * n_chains)), np.zeros((n_records, n_chains))
    words, buffers = seed_words(rng, LANES), make_buffers(d, n_chains)
    if density.address is None:
        _move_called(words, buffers, density, chains, method, beta, friction, thin, record,
                     acceptance)  # fmt: skip
    elif method == ADJUSTED:
        _move_adjusted(words, *buffers, density.address, density.table, chains.x, chains.tuning,
                       beta, thin, record, acceptance)  # fmt: skip
    else:
        _move_freely(words, buffers[0], density.address, density.table, chains, method, beta,
                     friction, thin, record)  # fmt: skip
    return record.reshape(n_records, d, n_chains), acceptance / thin


def make_buffers(d, n_chains):
    """Return buffers for d * n_chains normal numbers and for n_chains uniform ones."""
    return noise_buffer(d * n_chains), np.empty(-(-n_chains // LANES) * LANES, np.uint64)


@_compiled
def _move_freely(words, noise, address, table, chains, method, beta, friction, thin, record):
    x, velocity, step = chains.x.reshape(-1), chains.velocity.reshape(-1), chains.tuning[0]
    state, out = _on_cache_lines(table[0], 0), _on_cache_lines(2 + table[0], 2)
    y, score = state[: x.size], out[2 : 2 + x.size]
    _copy(x, y)
    call_native(address, state, beta, table, out)
    for r in range(len(record)):
        for _ in range(thin):
            fill_normals(words, noise)
            propose(method, y, velocity, score, noise, step, friction)
            call_native(address, state, beta, table, out)
            if method == UNDERDAMPED:
                kick(velocity, score, step)
        _copy(y, record[r])
    _copy(y, x)


@_compiled
def _move_adjusted(
    words, noise, uniform, address, table, chains_x, tuning, beta, thin, record, acceptance
):
    x, n_chains = chains_x.reshape(-1), chains_x.shape[1]
    state, out = _on_cache_lines(table[0], 0), _on_cache_lines(2 + table[0], 2)
    y, score, log_p = state[: x.size], out[2 : 2 + x.size], out[2 + x.size :][:n_chains]
    _copy(x, y)
    call_native(address, state, beta, table, out)
    score_x, log_p_x = score.copy(), log_p.copy()
    for r in range(len(record)):
        for _ in range(thin):
            fill_normals(words, noise)
            propose(ADJUSTED, y, y, score, noise, tuning[0], 0.0)
            call_native(address, state, beta, table, out)
            fill_words(words, uniform)
            accept(x, score_x, log_p_x, y, score, log_p, noise, uniform, tuning, acceptance[r])
        _copy(y, record[r])


@inner(forceinline=True)
def _copy(source, target):
    """In a loop: to assign an array to a part of another takes a second more to compile."""
    for i in range(uint64(source.size)):
        target[i] = source[i]


@inner(forceinline=True)
def _on_cache_lines(n, place):
    """An array whose element ``place`` starts a cache line: vectors across two take longer."""
    buffer = np.empty(n + 8)
    first = (-(buffer.ctypes.data // 8 + place)) % 8
    return buffer[first : first + n]


def _move_called(words, buffers, density, chains, method, beta, friction, thin, record, acceptance):
    """The same with a density that Python evaluates."""
    noise, uniform = buffers
    x, velocity, tuning = chains
    y = x.copy()
    score, log_p = density(y, beta)
    score_x, log_p_x = score.copy(), log_p.copy()
    for r in range(len(record)):
        for _ in range(thin):
            _draw(words, noise)
            propose(method, y.ravel(), velocity.ravel(), score.ravel(), noise, tuning[0], friction)
            score, log_p = density(y, beta)
            if method == ADJUSTED:
                _draw_words(words, uniform)
                accept(x.ravel(), score_x.ravel(), log_p_x, y.ravel(), score.ravel(), log_p, noise,
                       uniform, tuning, acceptance[r])  # fmt: skip
            elif method == UNDERDAMPED:
                kick(velocity.ravel(), score.ravel(), tuning[0])
        record[r] = y.ravel()
    x[:] = y


@_compiled
def _draw(words, noise):
    fill_normals(words, noise)


@_compiled
def _draw_words(words, buffer):
    fill_words(words, buffer)


@njit(forceinline=True)
def drift(score, step):
    """Return half the score in units of the noise, cut."""
    return max(min(0.5 * step * score, LONGEST), -LONGEST)


@inner(forceinline=True)
def between_0_and_1(word):
    """Map a random word to a float64 between 0 and 1, 53 bits."""
    return (float(word >> uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def propose(method, y, velocity, score, noise, step, friction):
    """Make a move, in place, up to where the score at the new state is needed.

    Parameters
    ----------
    method : int
    y, velocity, score : ndarray, shape (d * B,)
    noise : ndarray, shape (>= d * B,)
    step, friction : float
    """
    if method == UNDERDAMPED:
        keep = np.exp(-friction * step)
        spread = np.sqrt(-np.expm1(-2.0 * friction * step))
        for i in range(uint64(y.size)):
            v = velocity[i] + drift(score[i], step)
            new = keep * v + spread * noise[i]
            y[i] += 0.5 * step * (v + new)
            velocity[i] = new
    else:
        for i in range(uint64(y.size)):
            y[i] += step * (drift(score[i], step) + noise[i])


@njit(forceinline=True, error_model="numpy", fastmath={"contract"})
def kick(velocity, score, step):
    """End an underdamped move: half a time step of force."""
    for i in range(uint64(velocity.size)):
        velocity[i] += drift(score[i], step)


@_compiled
def accept(x, score_x, log_p_x, y, score, log_p, noise, uniform, tuning, acceptance):
    """Accept or reject the proposals y, and tune the step size.

    What was accepted is copied to ``x``, ``score_x`` and ``log_p_x``; where a proposal is rejected,
    these are copied back to ``y``, ``score`` and ``log_p``. States whose log-density is NaN or
    minus infinity are never accepted.

    Parameters
    ----------
    x, score_x, y, score : ndarray, shape (d * B,)
    log_p_x, log_p : ndarray, shape (B,)
    noise : ndarray, shape (>= d * B,)
        That led from x to y.
    uniform : ndarray of uint64, shape (>= B,)
        Random words.
    tuning : ndarray, shape (3,)
        See :class:`Chains`.
    acceptance : ndarray, shape (B,)
        Acceptance probabilities are added to it.
    """
    step, lanes = tuning[0], uint64(log_p.size)
    log_ratio, chosen = np.empty(log_p.size), np.empty(log_p.size)
    for c in range(lanes):
        log_ratio[c] = log_p[c] - log_p_x[c]
    for i in range(uint64(0), uint64(x.size), lanes):
        there, here, z = score[i:], score_x[i:], noise[i:]
        for c in range(lanes):
            forth = float64(z[c])
            back = forth + drift(here[c], step) + drift(there[c], step)  # minus the noise back
            log_ratio[c] += 0.5 * (forth * forth - back * back)
    for c in range(lanes):
        bounded = pick(log_ratio[c] > -708.0, log_ratio[c], -708.0)  # where it is NaN, too
        log_ratio[c] = exp_double(pick(bounded < 0.0, bounded, 0.0))
        acceptance[c] += log_ratio[c]
    for c in range(lanes):
        chosen[c] = pick(between_0_and_1(uniform[c]) < log_ratio[c], 1.0, 0.0)
    _choose(chosen, log_p, log_p_x)
    for i in range(uint64(0), uint64(x.size), lanes):
        _choose(chosen, y[i:], x[i:])
        _choose(chosen, score[i:], score_x[i:])
    if tuning[2] > 0.0:
        tuning[1] += 1.0
        tuning[0] *= np.exp((log_ratio.mean() - tuning[2]) * tuning[1] ** -0.6)


@njit(forceinline=True)
def _choose(chosen, new, old):
    """Make both what is new where it was chosen, else what is old."""
    for c in range(uint64(chosen.size)):
        value = pick(chosen[c] > 0.5, new[c], old[c])
        new[c] = value
        old[c] = value

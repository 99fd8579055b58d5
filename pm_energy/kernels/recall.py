"""Recall in associative memories: descent of an energy from many starts at once.

Two-state units have fields ``bias_i + sum_j coupling_ij x_j`` and turn up where the field is
positive, down where it is negative. A unit without a field keeps its state: turning it would not
lower the energy, and units that turn freely may do so for ever. A field within its own rounding
error counts as none.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def recall_sweep(x, field, coupling, tie, order, low):
    """Turn each unit of each state into its field once, in place; return the flips of each state.

    Parameters
    ----------
    x : array, shape (B, n)
        Units in {low, 1} as float64.
    field : array, shape (B, n)
        Fields of the states, kept up to date.
    coupling : array, shape (n, n)
    tie : array, shape (n,)
        Fields of at most this size are ties.
    order : array of int, shape (B, n)
        The order in which each state's units are visited.
    low : float
        The lower of the two states, -1 or 0.
    """
    flips = np.zeros(x.shape[0], dtype=np.int64)
    for b in range(x.shape[0]):
        for i in order[b]:
            h = field[b, i]
            if -tie[i] <= h <= tie[i]:
                continue
            new = 1.0 if h > 0 else low
            change = new - x[b, i]
            if change != 0.0:
                x[b, i] = new
                flips[b] += 1
                field[b] += change * coupling[i]  # O(n) a flip, and flips are few
    return flips


def tie_width(coupling, bias):
    """Bound on the rounding error of a field summed up once and then updated for a sweep."""
    n = len(coupling)
    return 4 * n * np.finfo(float).eps * (np.abs(bias) + np.abs(coupling).sum(axis=1))


def asynchronous_recall(rng, x, coupling, bias, max_sweeps, *, low=-1.0, shuffle=True):
    """Visit units one after the other until a whole sweep turns none. No flip raises the energy.

    Parameters
    ----------
    rng : numpy.random.Generator
        Shuffles the units anew for each state and sweep.
    x : array, shape (B, n)
        Units in {low, 1} as float64, C-contiguous; changed in place.
    coupling : array, shape (n, n)
        Symmetric with zero diagonal.
    bias : array, shape (n,)
    max_sweeps : int
    low : float
        The lower of the two states, -1 or 0.
    shuffle : bool
        Whether to visit units in random order, else from first to last.

    Returns
    -------
    energies : array, shape (n_sweeps + 1, B)
        Of the start and after each sweep.
    sweeps : array of int, shape (B,)
        Sweeps that each state took, the last one without a flip.
    converged : array of bool, shape (B,)
        Whether there was such a last sweep.
    """
    tie = tie_width(coupling, bias)
    active, sweeps = np.arange(len(x)), np.zeros(len(x), dtype=np.int64)
    field = bias + x @ coupling
    energies = [_energy(x, field, bias)]
    in_order = np.arange(x.shape[1])
    for _ in range(max_sweeps):
        order = np.broadcast_to(in_order, (len(active), in_order.size)).copy()
        if shuffle:
            rng.permuted(order, axis=1, out=order)
        moving = x[active]
        flips = recall_sweep(moving, field, coupling, tie, order, low)
        sweeps[active] += 1
        moving, active = moving[flips > 0], active[flips > 0]
        x[active] = moving
        field = bias + moving @ coupling  # afresh once a sweep: rounding errors do not pile up
        energy = energies[-1].copy()
        energy[active] = _energy(moving, field, bias)
        energies.append(energy)
        if not active.size:
            break
    converged = np.ones(len(x), dtype=bool)
    converged[active] = False
    return np.array(energies), sweeps, converged


def synchronous_recall(x, coupling, bias, max_sweeps, *, low=-1.0):
    """Turn all units at once until none turns, or all turn back: the only two ends there are [1]_.

    Parameters
    ----------
    x, coupling, bias, max_sweeps, low
        As for :func:`asynchronous_recall`.

    Returns
    -------
    energies, sweeps, converged
        As for :func:`asynchronous_recall`; energies may rise.
    cycles : array of bool, shape (B,)
        Whether the state ended up going back and forth between two states.

    References
    ----------
    .. [1] Goles-Chacc, Fogelman-Soulie & Pellegrin (1985), Discrete Applied Mathematics 12,
       261-277.
    """
    tie = tie_width(coupling, bias)
    active, sweeps = np.arange(len(x)), np.zeros(len(x), dtype=np.int64)
    converged, cycles = np.zeros((2, len(x)), dtype=bool)
    now, before = x.copy(), np.full_like(x, np.nan)  # NaN: there is no state before the first
    field = bias + now @ coupling
    energies = [_energy(now, field, bias)]
    for _ in range(max_sweeps):
        after = np.where(field > tie, 1.0, np.where(field < -tie, low, now))
        sweeps[active] += 1
        fixed = (after == now).all(axis=1)
        back = (after == before).all(axis=1) & ~fixed
        x[active] = after
        converged[active], cycles[active] = fixed, back
        field = bias + after @ coupling
        energy = energies[-1].copy()
        energy[active] = _energy(after, field, bias)
        energies.append(energy)
        going = ~(fixed | back)
        active, before, now, field = active[going], now[going], after[going], field[going]
        if not active.size:
            break
    return np.array(energies), sweeps, converged, cycles


def _energy(x, field, bias):
    """Energies (B,) of states whose fields are known."""
    return -0.5 * (x * (field + bias)).sum(axis=1)


def settle(update, x, tol, max_updates):
    """Repeat an update of real-valued states until none moves by more than ``tol``.

    Parameters
    ----------
    update : callable
        ``update(x) -> (new x, energies of x)`` for states (B, n).
    x : array, shape (B, n)
        Changed in place.
    tol : float
        Largest change of any unit at which a state counts as settled.
    max_updates : int

    Returns
    -------
    energies : array, shape (n_updates + 1, B)
        Of the start and after each update.
    updates : array of int, shape (B,)
    converged : array of bool, shape (B,)
    """
    active, updates = np.arange(len(x)), np.zeros(len(x), dtype=np.int64)
    energy, energies = np.empty(len(x)), []
    for _ in range(max_updates):
        old = x[active]
        new, energy[active] = update(old)
        energies.append(energy.copy())
        x[active] = new
        updates[active] += 1
        active = active[np.abs(new - old).max(axis=1) > tol]
        if not active.size:
            break
    energies.append(update(x)[1])
    converged = np.ones(len(x), dtype=bool)
    converged[active] = False
    return np.array(energies), updates, converged

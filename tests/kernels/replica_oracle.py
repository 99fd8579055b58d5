"""Exact laws for the tests of the kernels that update many replicas at once."""

import numpy as np
from spin_oracle import all_spins, numbers

from pm_energy.testing import pooled_chisquare


def metropolis_transition(matrix, bias, order):
    """The exact matrix of one sweep in which spins without or against their field always flip."""
    states = all_spins(len(bias))
    index = np.arange(len(states))
    sweep = np.eye(len(states))
    for i in order:
        log_odds_to_stay = states[:, i] * (bias[i] + states @ matrix[i])
        flips = np.exp(-np.maximum(log_odds_to_stay, 0.0))
        flipped = states.copy()
        flipped[:, i] *= -1
        site = np.zeros_like(sweep)
        site[index, numbers(flipped)] += flips
        site[index, index] += 1.0 - flips
        sweep = sweep @ site
    return sweep


def row_p_value(after, row):
    """P-value of the numbers of states reached from one state, ``row`` of its transition matrix."""
    if row.max() > 0.98:  # too few go elsewhere for a chi-square
        return float((row[np.unique(after)] > 0).all())
    return pooled_chisquare(after, row)


def signed_matrix(n, seed, hub):
    """Bonds -1, 0 or 1 between n sites; site 0 has ``hub`` neighbours, the last has none."""
    rng = np.random.default_rng(seed)
    matrix = np.triu(rng.choice([-1, 0, 1], size=(n, n), p=(0.3, 0.4, 0.3)), 1)
    matrix[0, 1:] = 0
    matrix[0, 1 : hub + 1] = rng.choice([-1, 1], size=hub)
    matrix[:, -1] = 0
    return matrix + matrix.T


def joint_numbers(spins):
    """Number the joint states of all levels; spins of shape (count, n_levels, n)."""
    n_levels, n = spins.shape[1:]
    return numbers(spins) @ 2 ** (n * np.arange(n_levels - 1, -1, -1))


def product_law(laws):
    """The law of independent levels, numbered as by :func:`joint_numbers`."""
    joint = laws[0]
    for law in laws[1:]:
        joint = np.outer(joint, law).ravel()
    return joint


def tempering_by_hand(rng, spins, energy, betas, parity, sign=1, alias=False):
    """Swap neighbouring levels, in place; spins of shape (count, n_levels, n), energy a function.

    ``sign`` -1 reverses the swap rule; ``alias`` copies one state over the other.
    """
    for low in range(parity, len(betas) - 1, 2):
        colder, hotter = energy(spins[:, low + 1]), energy(spins[:, low])
        log_ratio = sign * (betas[low + 1] - betas[low]) * (colder - hotter)
        swap = np.log(rng.random(len(spins))) < log_ratio
        kept = spins[swap, low].copy()
        spins[swap, low] = spins[swap, low + 1]
        spins[swap, low + 1] = spins[swap, low] if alias else kept


def mean_swap_acceptance(energies, laws, betas):
    """Exact mean of min(1, ratio) for each pair of neighbouring levels, of all states' energies."""
    gains = energies[None, :] - energies[:, None]  # [state at the hotter, state at the colder]
    return np.array(
        [
            laws[k] @ np.exp(np.minimum(0.0, (betas[k + 1] - betas[k]) * gains)) @ laws[k + 1]
            for k in range(len(betas) - 1)
        ]
    )

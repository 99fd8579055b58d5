"""Blocks of Hamiltonian chains: explore by coarse Langevin moves, tune, freeze, then draw."""

import numpy as np

from pm_energy.kernels.hamiltonian import NEVER, Trajectories, hamiltonian_moves
from pm_energy.kernels.langevin import ADJUSTED, OVERDAMPED, Chains, langevin_moves
from pm_energy.kernels.native import evaluate
from pm_energy.training.energy_continuous import TARGET

HAMILTONIAN = 0.8  # acceptance that steps of trajectories are tuned to
LENGTHS = 2 ** np.arange(1, 9)  # leapfrog steps of a trajectory, to choose from
NUMBERS = 2**22  # of states that are looked at for a length
LEAST_TUNE = 100  # moves in which all of this can be learned
PARTS = 10  # of tuning and of drawing, after which progress is shown


def run_trajectories(plan, density, x, rng, report):
    """Explore, tune and draw.

    The first half of tuning are Langevin moves: a quarter with a Metropolis test, for the step, a
    quarter of the same step without it, which wander further. The other half are trajectories, and
    all that is learned in it is frozen before the first draw.

    Parameters
    ----------
    plan : Plan
    density : BatchDensity
    x : ndarray, shape (d, B)
        Starts.
    rng : numpy.random.Generator
    report : callable
        ``report(n)`` is told of n more moves.

    Returns
    -------
    draws : ndarray, shape (B, draws, d)
    stats : dict of str to ndarray, shape (B, draws)
    """
    quarter = plan.tune // 4
    x, step = explore(plan, density, x, rng, quarter, report)
    tuning = [np.array([step, 0.0, target]) for target in (HAMILTONIAN, TARGET)]
    chains = Trajectories(x, *tuning, np.array(NEVER))

    def move(n_records, length, thin=1):
        lengths = jittered(rng, length, n_records * thin)
        report(len(lengths))
        return *hamiltonian_moves(rng, density, chains, plan.beta, lengths, thin), lengths

    length, spent, states = choose_length(move, chains, quarter)
    if plan.method == "hybrid":
        log_p = [log_densities(density, state, plan.beta) for state in states]
        chains.switch[:] = np.mean(log_p), np.std(log_p) or 1.0
    chains.fine[1] = 0.0
    for n_moves in parts(plan.tune - 2 * quarter - spent):
        move(1, length, n_moves)
    chains.fine[2] = chains.coarse[2] = 0.0  # frozen
    found = [move(n_records, length, plan.thin) for n_records in parts(plan.draws)]
    record, acceptance, coarse, lengths = map(np.concatenate, zip(*found, strict=True))
    stats = {
        "acceptance_rate": acceptance.T,
        "step_size": np.full(acceptance.T.shape, chains.fine[0]),
        "n_steps": np.tile(lengths.reshape(-1, plan.thin).sum(axis=1), (x.shape[1], 1)),
    }
    if plan.method == "hybrid":
        stats["coarse"] = coarse.T
        stats["coarse_step_size"] = np.full(coarse.T.shape, chains.coarse[0])
    return record.transpose(2, 0, 1), stats


def parts(n):
    """Return the lengths of at most PARTS parts of n."""
    k = min(PARTS, n)
    return [n // k + (i < n % k) for i in range(k)]


def explore(plan, density, x, rng, n_moves, report):
    """Make Langevin moves with a test and then without; return where they lead, and the step."""
    tuning = np.array([len(x) ** (-1 / 6) * plan.beta**-0.5, 0.0, TARGET])
    chains, ends = Chains(x.copy(), np.zeros_like(x), tuning), []
    for method in (ADJUSTED, OVERDAMPED):
        for part in parts(n_moves):
            langevin_moves(rng, density, chains, method, plan.beta, 1.0, 1, part)
            report(part)
        ends.append(chains.x.copy())
    inside = np.isfinite(log_densities(density, chains.x, plan.beta))
    return np.where(inside, *ends[::-1]), tuning[0]


def log_densities(density, x, beta):
    """Return the log-densities (B,) at a block of points (d, B)."""
    if density.address is None:
        return density(x, beta)[1]
    state, out = np.zeros((1, density.table[0])), np.empty((1, 2 + density.table[0]))
    state[0, : x.size] = x.ravel()
    evaluate(density.address, density.table, state, np.array([beta]), out)
    return out[0, 2 + x.size :][: x.shape[1]]


def jittered(rng, length, n):
    """Draw n numbers of steps from half to three halves of a length.

    With one number only, periodic motion might come back to where it was each time.
    """
    return rng.integers(-(-length // 2), 3 * length // 2 + 1, size=n)


def choose_length(move, chains, n_moves):
    """Find the length of trajectories at which much changes and few gradients are taken.

    What changes is the squared distance from the mean [1]_, which a trajectory that has turned back
    does not change; it is weighed against the root of the length [2]_. Lengths are doubled until
    that has fallen to half of the best.

    Parameters
    ----------
    move : callable
        ``move(n, length)`` makes n moves and returns states (n, d, B), two more and the steps (n,)
        that were taken.
    chains : Trajectories
    n_moves : int
        At most, over all lengths.

    Returns
    -------
    length : int
    spent : int
        Moves.
    states : ndarray, shape (n, d, B)
        After the moves of that length.

    References
    ----------
    .. [1] Hoffman, Radul & Sountsov (2021), AISTATS, Proc. Machine Learning Research 130,
       3907-3915.
    .. [2] Wang, Mohamed & de Freitas (2013), ICML, Proc. Machine Learning Research 28(3),
       1462-1470.
    """
    each = min(n_moves // (len(LENGTHS) + 1), max(10, NUMBERS // chains.x.size))
    spent, best = each, -np.inf
    move(each, LENGTHS[0])  # until what explored is forgotten, and the step fits
    for length in LENGTHS:
        start = chains.x.copy()[None]
        states, _, _, taken = move(each, length)
        path = np.concatenate([start, states])
        away = ((path - path.mean(axis=(0, 2), keepdims=True)) ** 2).sum(axis=1)
        rate = (np.diff(away, axis=0) ** 2).mean() / np.sqrt(taken.mean())
        spent += each
        if rate > best:
            best, chosen, found = rate, int(length), states
        elif rate < 0.5 * best:
            break
    return chosen, spent, found

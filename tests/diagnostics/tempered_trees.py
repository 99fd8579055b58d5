"""Runs of the tempering drivers on a target whose every number is known.

The base is a standard normal in d dimensions, ``log_ratio(x) = -k |x|^2 / 2``. At beta the energy
``-log_ratio`` is Gamma(d / 2) with the rate 1 / k + beta, so all can be drawn without a chain.
"""

import numpy as np
import xarray as xr
from scipy.special import betainc

D, K = 8, 100.0
LADDER = np.array([0.0, 0.008, 0.03, 0.09, 0.25, 0.5, 1.0])


def log_z(beta):
    return -D / 2 * np.log1p(K * beta)


def log_ratio_draws(rng, beta, size=None):
    return -rng.gamma(D / 2, size=size) / (1 / K + beta)


def exact_rejection(beta):
    """The energies' ratio is a beta prime variable, and E min(1, w) = 2 P(w > 1)."""
    rate = 1 / K + beta
    return 1 - 2 * betainc(D / 2, D / 2, rate[:-1] / (rate[:-1] + rate[1:]))


def parallel_tempering(rng, chains=4, draws=500, beta=LADDER, rounds=4):
    """Even and odd swaps between levels that are drawn anew each time: perfect moves."""
    n = len(beta)
    energy = np.empty((chains, draws, n))
    replica = np.empty((chains, draws, n), dtype=int)
    at, row = np.tile(np.arange(n), (chains, 1)), np.arange(chains)
    accepted = np.zeros((chains, n - 1))
    for t in range(draws):
        lr = log_ratio_draws(rng, beta, (chains, n))
        ratio = np.exp(np.minimum(np.diff(beta) * (lr[:, :-1] - lr[:, 1:]), 0))
        accepted += ratio / draws
        swaps = rng.random(ratio.shape) < ratio
        for pair in range(t % 2, n - 1, 2):
            c = row[swaps[:, pair]]
            for array in (lr, at):
                array[c, pair], array[c, pair + 1] = array[c, pair + 1], array[c, pair]
        energy[:, t], replica[:, t] = -lr, at
    history = np.linspace(np.linspace(0, 1, n), beta, rounds)
    return tree(
        "tempering",
        {
            "beta": (("chain", "level"), np.tile(beta, (chains, 1))),
            "log_ratio": (("chain", "draw", "level"), -energy),
            "replica": (("chain", "draw", "level"), replica),
            "swap_acceptance": (("chain", "pair"), accepted),
            "beta_history": (("chain", "round", "level"), np.tile(history, (chains, 1, 1))),
            "rejection_history": (
                ("chain", "round", "pair"),
                np.tile([exact_rejection(row) for row in history], (chains, 1, 1)),
            ),
        },
        road="compiled",
        base="prior",
        tempered="likelihood",
    )


def simulated_tempering(rng, chains=3, iterations=2000, beta=LADDER, log_weight=None):
    """Levels drawn by Metropolis steps between neighbours, with perfect moves."""
    g = -log_z(beta) if log_weight is None else np.asarray(log_weight)
    level = np.zeros((chains, iterations), dtype=int)
    energy = np.empty((chains, iterations))
    at = np.zeros(chains, dtype=int)
    for t in range(iterations):
        lr = log_ratio_draws(rng, beta[at], chains)
        new = at + rng.choice([-1, 1], chains)
        inside = (new >= 0) & (new < len(beta))
        new = np.where(inside, new, at)
        gain = (beta[new] - beta[at]) * lr + g[new] - g[at]
        at = np.where(inside & (np.log(rng.random(chains)) < gain), new, at)
        level[:, t], energy[:, t] = at, -lr
    return tree(
        "simulated_tempering",
        {
            "beta": ("level", beta),
            "log_weight": ("level", g),
            "level": (("chain", "iteration"), level),
            "log_ratio": (("chain", "iteration"), -energy),
        },
    )


def population_annealing(rng, chains=2, size=2000, steps=24):
    """Multinomial resampling of founders, and members drawn anew at each beta."""
    beta = np.append(0, np.geomspace(1e-3, 1, steps))
    names = ("log_z", "ess", "mean_log_ratio", "var_log_ratio", "family_entropy", "rho_t")
    out = {name: np.zeros((chains, len(beta))) for name in names}
    out["acceptance"] = np.full((chains, len(beta)), np.nan)
    family = np.tile(np.arange(size), (chains, 1))
    final = np.empty((chains, size))
    for chain in range(chains):
        lr = np.zeros(size)
        for step, b in enumerate(beta):
            if step:
                log_w = (b - beta[step - 1]) * lr
                w = np.exp(log_w)
                out["log_z"][chain, step] = out["log_z"][chain, step - 1] + np.log(w.mean())
                out["ess"][chain, step] = w.mean() ** 2 / (w**2).mean()
                family[chain] = rng.choice(family[chain], size, p=w / w.sum())
                out["acceptance"][chain, step] = 0.7 - 0.05 * np.log1p(K * b)
            else:
                out["ess"][chain] = 1
            lr = log_ratio_draws(rng, b, size)
            share = np.bincount(family[chain]) / size
            share = share[share > 0]
            out["family_entropy"][chain, step] = -(share * np.log(share)).sum()
            out["rho_t"][chain, step] = size * (share**2).sum()
            out["mean_log_ratio"][chain, step] = lr.mean()
            out["var_log_ratio"][chain, step] = lr.var()
        final[chain] = lr
    groups = {name: (("chain", "step"), values) for name, values in out.items()}
    groups["beta"] = ("step", beta)
    groups["family"] = (("chain", "draw"), family)
    groups["log_ratio"] = (("chain", "draw"), final)
    return tree("population", groups)


def annealed_work(rng, runs=400, steps=60, reverse=True):
    """Work of runs whose every state is drawn anew, there and back."""
    beta = np.append(0, np.geomspace(1e-3, 1, steps))
    lr = log_ratio_draws(rng, beta, (runs, len(beta)))
    back = log_ratio_draws(rng, beta, (runs, len(beta)))
    groups = {"beta": ("step", beta), "forward": ("particle", -(lr[:, :-1] @ np.diff(beta)))}
    if reverse:
        groups["reverse"] = ("particle_reverse", -(back[:, 1:] @ np.diff(beta)))
    return tree("work", groups, reverse_exact=1)


def tree(group, variables, **attrs):
    attrs = {"log_z_base": 0.0} | attrs
    return xr.DataTree.from_dict({group: xr.Dataset(variables, attrs=attrs)})

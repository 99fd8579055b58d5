"""Tempered runs with known log Z, made by numpy alone.

A Gaussian path: base N(0, 1) in d dimensions, u(x) = -a |x - c|^2 / 2. The density at beta is
normal with precision 1 + beta a and mean beta a c / (1 + beta a).
"""

import numpy as np
import xarray as xr
from scipy.signal import lfilter

A, C, D = 3.0, 1.5, 2
LADDER = (4 ** np.linspace(0, 1, 6) - 1) / 3  # equal ratios of precisions
DIMS = ("chain", "draw", "level")


def log_z(beta=1.0):
    """Log Z_beta / Z_0, exactly."""
    return D * (-0.5 * np.log1p(beta * A) - 0.5 * C**2 * beta * A / (1 + beta * A))


def mean_u(beta):
    precision = 1 + beta * A
    return -0.5 * A * D * (1 / precision + (C / precision) ** 2)


def var_u(beta):
    precision = 1 + beta * A
    return A**2 * D * (0.5 / precision**2 + C**2 / precision**3)


def log_ratio(x):
    return -0.5 * A * ((x - C) ** 2).sum(axis=-1)


def at_level(noise, beta):
    """Standard normal numbers (..., level, d) to states."""
    precision = (1 + beta * A)[:, None]
    return beta[:, None] * A * C / precision + noise / np.sqrt(precision)


def autoregressive(rng, shape, rho):
    """Stationary AR(1) series along axis 0, of unit variance."""
    noise = rng.normal(size=shape)
    noise[0] /= np.sqrt(1 - rho**2)
    return np.sqrt(1 - rho**2) * lfilter([1.0], [1.0, -rho], noise, axis=0)


def ladders_of_chains(rng, seeds, chains=4, draws=500, rho=0.8, beta=LADDER):
    """Log-ratios (seed, chain, draw, level): an AR(1) chain of its own at each level."""
    noise = autoregressive(rng, (draws, seeds, chains, len(beta), D), rho)
    return np.moveaxis(log_ratio(at_level(noise, beta)), 0, 2)


def ladders_with_swaps(rng, seeds, chains=4, draws=500, rho=0.8, beta=LADDER):
    """The same of walkers that are swapped, even and odd pairs in turn, and their numbers."""
    levels = np.arange(len(beta))
    x = at_level(rng.normal(size=(seeds, chains, len(beta), D)), beta)
    who = np.broadcast_to(levels, x.shape[:-1]).copy()
    u, replica = np.empty((2, draws, *x.shape[:-1]))
    precision = (1 + beta * A)[:, None]
    mean, sd = beta[:, None] * A * C / precision, precision**-0.5
    for t in range(draws):
        x = mean + rho * (x - mean) + np.sqrt(1 - rho**2) * sd * rng.normal(size=x.shape)
        now = log_ratio(x)
        low = levels[t % 2 : -1 : 2]
        gain = (beta[low + 1] - beta[low]) * (now[..., low] - now[..., low + 1])
        source = np.broadcast_to(levels, now.shape).copy()
        swap = np.log(rng.random(gain.shape)) < gain
        source[..., low] += swap
        source[..., low + 1] -= swap
        x = np.take_along_axis(x, source[..., None], axis=-2)
        who = np.take_along_axis(who, source, axis=-1)
        u[t], replica[t] = np.take_along_axis(now, source, axis=-1), who
    return np.moveaxis(u, 0, 2), np.moveaxis(replica, 0, 2).astype(int)


def wanderers(rng, seeds, chains=4, draws=3000, rho=0.5, beta=LADDER, log_weight=None):
    """Simulated tempering: log-ratios and levels (seed, chain, draw), and the weights."""
    g = -log_z(beta) if log_weight is None else log_weight
    precision = 1 + beta * A
    level = np.zeros((seeds, chains), dtype=int)
    x = rng.normal(size=(seeds, chains, D))
    u, levels = np.empty((draws, seeds, chains)), np.empty((draws, seeds, chains), dtype=int)
    for t in range(draws):
        mean = (beta * A * C / precision)[level][..., None]
        sd = (precision**-0.5)[level][..., None]
        x = mean + rho * (x - mean) + np.sqrt(1 - rho**2) * sd * rng.normal(size=x.shape)
        now = log_ratio(x)
        new = np.clip(level + rng.choice([-1, 1], size=level.shape), 0, len(beta) - 1)
        gain = (beta[new] - beta[level]) * now + g[new] - g[level]
        level = np.where(np.log(rng.random(level.shape)) < gain, new, level)
        u[t], levels[t] = now, level
    return np.moveaxis(u, 0, 2), np.moveaxis(levels, 0, 2), g


def populations(rng, seeds, size=500, rho=0.9, steps=20):
    """Population annealing with systematic resampling: arrays (seed, step) by name.

    ``rho`` is what a move keeps of the state: near 1 families stay alike.
    """
    beta = np.append(0, np.geomspace(0.01, 1, steps))
    x = rng.normal(size=(seeds, size, D))
    family = np.broadcast_to(np.arange(size), (seeds, size))
    total, rows = np.zeros(seeds), []
    for step, b in enumerate(beta):
        u = log_ratio(x)
        if step:
            log_weight = (b - beta[step - 1]) * u
            weight = np.exp(log_weight)
            total = total + np.log(weight.mean(axis=1))
            edges = np.cumsum(weight, axis=1)
            edges = edges / edges[:, -1:] * size + rng.random((seeds, 1))
            copies = np.diff(np.floor(edges).astype(int), axis=1, prepend=0)
            copies[:, -1] += size - copies.sum(axis=1)
            source = np.stack([np.repeat(np.arange(size), n) for n in copies])
            family = np.take_along_axis(family, source, axis=1)
            x = np.take_along_axis(x, source[..., None], axis=1)
            mean, sd = b * A * C / (1 + b * A), (1 + b * A) ** -0.5
            x = mean + rho * (x - mean) + np.sqrt(1 - rho**2) * sd * rng.normal(size=x.shape)
            u = log_ratio(x)
        shares = np.stack([np.bincount(row, minlength=size) for row in family]) / size
        rows.append((total, u.mean(axis=1), u.var(axis=1), size * (shares**2).sum(axis=1)))
    names = ("log_z", "mean_log_ratio", "var_log_ratio", "rho_t")
    return beta, dict(zip(names, np.moveaxis(rows, 0, -1), strict=True))


def works(rng, seeds, runs, beta, rho):
    """Works of forward and reverse runs (seed, run), from exact draws."""
    out = []
    for ladder in (beta, beta[::-1]):
        sd = (1 + ladder * A) ** -0.5
        mean = ladder * A * C / (1 + ladder * A)
        x = mean[0] + sd[0] * rng.normal(size=(seeds, runs, D))
        work = 0.0
        for k in range(1, len(ladder)):
            work = work - (ladder[k] - ladder[k - 1]) * log_ratio(x)
            keep = mean[k] + rho * (x - mean[k])
            x = keep + np.sqrt(1 - rho**2) * sd[k] * rng.normal(size=x.shape)
        out.append(work)
    return out[0], -out[1]


def tempering_tree(log_ratio, beta, replica=None, log_z_base=0.0):
    """A DataTree like that of parallel tempering; walkers travel perfectly if not given."""
    chains, _, levels = log_ratio.shape
    if replica is None:
        still = np.broadcast_to(np.arange(levels), log_ratio.shape)
        replica = np.random.default_rng(0).permuted(still, axis=-1)
    return tree(
        "tempering",
        {
            "log_ratio": (DIMS, log_ratio),
            "replica": (DIMS, replica),
            "beta": (("chain", "level"), np.broadcast_to(beta, (chains, levels))),
        },
        log_z_base=log_z_base,
    )


def tree(group, variables, **attrs):
    return xr.DataTree.from_dict({group: xr.Dataset(variables, attrs={"log_z_base": 0.0} | attrs)})


PHASES = np.array([-60.0, 0.0])  # u of two phases at the base, with a spread of 4 each
ENTROPY = np.array([0.0, -30.0])
SPREAD = 4.0
AROUND_HALF = np.array([0.0, 0.15, 0.3, 0.4, 0.44, 0.47, 0.5, 0.53, 0.56, 0.6, 0.7, 0.85, 1.0])


def log_z_of_phases(beta=1.0):
    beta = np.asarray(beta)[..., None]
    of_phase = ENTROPY + beta * PHASES + 0.5 * (beta * SPREAD) ** 2
    return np.logaddexp.reduce(of_phase, axis=-1) - np.logaddexp.reduce(ENTROPY)


def first_order(rng, chains=4, draws=1500, flips=0.002, beta=AROUND_HALF):
    """Tempering through a first-order transition: log-ratios and walkers (chain, draw, level).

    A walker gets a new u in its phase at each move, and draws its phase anew with probability
    ``flips``. Walkers start in the likelier phase of their level.
    """
    levels = np.arange(len(beta))
    of_phase = ENTROPY + beta[:, None] * PHASES + 0.5 * (beta[:, None] * SPREAD) ** 2
    cold = 1 / (1 + np.exp(of_phase[:, 0] - of_phase[:, 1]))
    phase = np.broadcast_to((cold > 0.5).astype(int), (chains, len(beta)))
    who = np.broadcast_to(levels, phase.shape)
    u, replica = np.empty((2, draws, chains, len(beta)))
    for t in range(draws):
        new = (rng.random(phase.shape) < cold).astype(int)
        phase = np.where(rng.random(phase.shape) < flips, new, phase)
        now = PHASES[phase] + beta * SPREAD**2 + SPREAD * rng.normal(size=phase.shape)
        low = levels[t % 2 : -1 : 2]
        gain = (beta[low + 1] - beta[low]) * (now[:, low] - now[:, low + 1])
        source = np.broadcast_to(levels, now.shape).copy()
        swap = np.log(rng.random(gain.shape)) < gain
        source[:, low] += swap
        source[:, low + 1] -= swap
        phase, who, now = (np.take_along_axis(a, source, axis=-1) for a in (phase, who, now))
        u[t], replica[t] = now, who
    return np.moveaxis(u, 0, 1), np.moveaxis(replica, 0, 1).astype(int)

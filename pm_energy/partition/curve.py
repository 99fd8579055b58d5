"""The free energy between base and target, and its derivatives."""

import numpy as np
import xarray as xr

from pm_energy.partition.errors import mcse_of_mean
from pm_energy.partition.groups import Population, Works, read_run

POINTS = 100  # at least, over the ladder
BLOCKS = 500  # a chain, at most: draws are summed in blocks before autocorrelation is counted


def free_energy_curve(dt, beta=None):
    r"""Log Z, mean and variance of the log-ratio at all inverse temperatures.

    .. math:: \frac{d \log Z}{d\beta} = \langle u \rangle_\beta, \qquad
              \frac{d^2 \log Z}{d\beta^2} = \mathrm{Var}_\beta(u), \qquad
              C = \beta^2 \, \mathrm{Var}_\beta(u)

    From the draws of all levels, reweighted to each beta (:func:`mbar`). For a population, at its
    own steps.

    Parameters
    ----------
    dt : DataTree
        From a tempering driver, with a group "tempering", "simulated_tempering" or "population".
    beta : array_like, optional
        Where, in the range of the ladder; by default at all levels and between them, 100 points or
        more. Not for populations.

    Returns
    -------
    Dataset
        ``log_z`` (with that of the base), ``mean_log_ratio``, ``var_log_ratio`` and
        ``heat_capacity``, and ``..._mcse`` of each, over ``beta``. Where the likelihood vanishes on
        a part of the base, mean and variance do not exist at beta = 0: -inf and NaN.

    Raises
    ------
    ValueError
        If there are no draws along the way, or ``beta`` is out of range.

    Notes
    -----
    Errors of a population's moments are :math:`\sqrt{\mathrm{Var}\, \rho_t / R}`, by which its
    families bound them (Wang, Machta & Katzgraber 2015), with a normal distribution for the error
    of the variance.

    Examples
    --------
    A standard normal base and u = -x^2 / 2: the mean is -1 / (2 + 2 beta).

    >>> import numpy as np, xarray as xr
    >>> from pm_energy.partition import free_energy_curve
    >>> rng, ladder = np.random.default_rng(0), np.array([0.0, 0.3, 1.0])
    >>> x = rng.normal(size=(4, 1000, 3)) / np.sqrt(1 + ladder)
    >>> draws = ("chain", "draw", "level")
    >>> group = xr.Dataset(
    ...     {
    ...         "log_ratio": (draws, -(x**2) / 2),
    ...         "replica": (draws, np.broadcast_to(np.arange(3), x.shape)),
    ...         "beta": (("chain", "level"), np.tile(ladder, (4, 1))),
    ...     },
    ...     attrs={"log_z_base": 0.0},
    ... )
    >>> curve = free_energy_curve(xr.DataTree.from_dict({"tempering": group}), [0.0, 0.5, 1.0])
    >>> curve["mean_log_ratio"].round(2).values.tolist()
    [-0.5, -0.33, -0.25]
    """
    run, log_z_base = read_run(dt)
    if isinstance(run, Works):
        raise ValueError(
            "annealing runs keep no draws along the way: use sample_parallel_tempering, "
            "sample_simulated_tempering or sample_population_annealing for a free-energy curve"
        )
    if isinstance(run, Population):
        if beta is not None:
            raise ValueError("leave beta out for a population: its curve is at its own steps")
        beta, columns = _of_population(run)
    else:
        beta = _grid(beta, run.mixture.beta)
        columns = _of_draws(run, beta)
    columns["log_z"][0] += log_z_base
    columns["heat_capacity"] = [beta**2 * column for column in columns["var_log_ratio"]]
    data = {}
    for name, (value, mcse) in columns.items():
        data |= {name: ("beta", value), f"{name}_mcse": ("beta", mcse)}
    return xr.Dataset(data, coords={"beta": beta}, attrs={"log_z_base": log_z_base})


def _grid(beta, ladder):
    if beta is None:
        between = -(-POINTS // (len(ladder) - 1))
        places = np.arange(between * (len(ladder) - 1) + 1) / between
        return np.interp(places, np.arange(len(ladder)), ladder)
    beta = np.atleast_1d(np.asarray(beta, dtype=float))
    if beta.ndim != 1 or not ((beta >= ladder[0]) & (beta <= ladder[-1])).all():
        raise ValueError(f"beta must be in the range [{ladder[0]}, {ladder[-1]}], got {beta}")
    return beta


def _of_draws(run, beta):
    """Value and error of each quantity, from a mixture of draws."""
    mixture, u = run.mixture, run.log_ratio
    grid = np.append(mixture.beta[0], beta)  # log Z is relative to the first
    slopes = np.diff(mixture.log_z) / np.diff(mixture.beta)  # near the means, against cancellation
    at = np.clip(np.searchsorted(mixture.beta, grid, side="right") - 1, 0, len(slopes) - 1)
    centre = slopes[at]
    log_z, by_level = mixture.moments(grid, centre)
    first, second = by_level[1:].sum(axis=-1)
    variance = second - first**2
    one, zero = np.ones_like(grid), np.zeros_like(grid)
    polynomials = np.array(
        [[one, zero, zero], [-first, one, zero], [first**2 - variance, -2 * first, one]]
    )
    series = _in_blocks(mixture.shares(grid, log_z, by_level, polynomials, centre), u, len(grid))
    errors = mcse_of_mean(series)[:, 1:]
    out = {
        "log_z": [log_z[1:] - log_z[0], errors[0]],
        "mean_log_ratio": [(centre + first)[1:], errors[1]],
        "var_log_ratio": [variance[1:], errors[2]],
    }
    if np.isneginf(u).any():
        nowhere = np.equal(beta, 0)
        for name, value in (("mean_log_ratio", -np.inf), ("var_log_ratio", np.nan)):
            out[name][0][nowhere], out[name][1][nowhere] = value, np.nan
    return out


def _in_blocks(shares, u, points):
    """Sum shares over blocks of successive draws: (chain, block, 3, point)."""
    chains, draws = u.shape[:2]
    block = -(-draws // BLOCKS)
    blocks = -(-draws // block)
    draw = np.arange(u.size) // (u.size // (chains * draws))
    at = draw // draws * blocks + draw % draws // block
    sums = np.zeros((chains * blocks, 3, points))
    for part, share in shares:
        share[0] -= share[0, :1].copy()
        here = at[part]
        starts = np.flatnonzero(np.diff(here, prepend=-1))
        sums[here[starts]] += np.moveaxis(np.add.reduceat(share, starts, axis=-1), -1, 0)
    return sums.reshape(chains, blocks, 3, points) * (chains * blocks)


def _of_population(run):
    """Value and error of each quantity at the steps of population annealing."""
    fits = [run.at(step) for step in range(len(run.beta))]
    mean, variance = run.mean.mean(axis=0), run.variance.mean(axis=0)
    per_member = np.sqrt(run.rho_t.mean(axis=0) / (run.size * len(run.mean)))
    return run.beta, {
        "log_z": [np.array([fit.value for fit in fits]), np.array([fit.mcse for fit in fits])],
        "mean_log_ratio": [mean, np.sqrt(variance) * per_member],
        "var_log_ratio": [variance, np.sqrt(2) * variance * per_member],
    }

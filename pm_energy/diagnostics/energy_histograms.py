"""Histograms of the energy at each level of a ladder, and how far neighbours overlap."""

from itertools import pairwise

import numpy as np
import xarray as xr

from pm_energy.trust import tempered_group
from pm_energy.validate import positive_int

CELLS = 20  # of equal content, to measure an overlap; more only add noise
LONG = 60  # spreads of the target that a linear axis can show


def energy_histograms(data, bins=60):
    r"""Histograms of the energy, minus ``log_ratio``, at each level.

    Two levels swap if their energies overlap. The overlap of neighbours is :math:`\sum_i \min(p_i,
    q_i)` over energies if they take few values, else over cells that hold equal shares of the draws
    of the two: 1 if they are alike, 0 if a gap parts them.

    Parameters
    ----------
    data : DataTree or Dataset
        From ``pme.sample_parallel_tempering``, or its group "tempering".
    bins : int
        Number of bins, at most: discrete energies get bins that hold equally many values.

    Returns
    -------
    Dataset
        ``fraction`` of draws (chain, level, bin), with the edges ``left`` and ``right`` of the
        bins; ``infinite`` (chain, level), the fraction with infinite energy; ``overlap`` (chain,
        pair); ``beta`` (chain, level). If energies at the base reach far beyond those at the
        target, bins widen with the height above the lowest energy, like those of its inverse
        hyperbolic sine; the attribute ``scale`` is then its unit, else 0.

    Raises
    ------
    ValueError
        If there is no group "tempering", an energy is NaN, or none is finite.

    Examples
    --------
    >>> import xarray as xr
    >>> import pm_energy as pme
    >>> run = xr.Dataset(
    ...     {
    ...         "beta": (("chain", "level"), [[0.0, 1.0]]),
    ...         "log_ratio": (("chain", "draw", "level"), [[[0.0, 1], [1, 1], [0, 1], [1, 0]]]),
    ...     }
    ... )
    >>> seen = pme.diagnostics.energy_histograms(run)
    >>> seen["fraction"].values
    array([[[0.5 , 0.5 ],
            [0.75, 0.25]]])
    >>> seen["overlap"].values
    array([[0.75]])
    """
    group = tempered_group(data, "tempering")
    energy = -group["log_ratio"].transpose("chain", "level", "draw").values
    if np.isnan(energy).any():
        raise ValueError("log_ratio contains NaN")
    finite = energy[np.isfinite(energy)]
    if finite.size == 0:
        raise ValueError("log_ratio holds no finite value")
    top = energy[:, -1][np.isfinite(energy[:, -1])]
    edges, scale = _edges(finite, top if top.size else finite, positive_int("bins", bins))
    counts = np.apply_along_axis(lambda row: np.histogram(row, edges)[0], -1, energy)
    overlaps = [[_overlap(*pair) for pair in pairwise(c)] for c in energy]
    values = {
        "fraction": (("chain", "level", "bin"), counts / energy.shape[-1]),
        "infinite": (("chain", "level"), np.isinf(energy).mean(-1)),
        "overlap": (("chain", "pair"), np.array(overlaps).reshape(len(energy), -1)),
        "beta": group["beta"],
    }
    coords = {"left": ("bin", edges[:-1]), "right": ("bin", edges[1:])}
    return xr.Dataset(values, coords=coords, attrs={"scale": scale})


def _edges(finite, top, bins):
    """Edges of bins, and the unit of their widening."""
    values = np.unique(finite)
    if len(values) <= bins:  # a bin for each
        middles = (values[1:] + values[:-1]) / 2
        margin = (middles[0] - values[0]) if len(middles) else 0.5
        return np.concatenate([[values[0] - margin], middles, [values[-1] + margin]]), 0.0
    low, high = values[0], values[-1]
    gap = np.diff(values).min()
    steps = (values - low) / gap
    if gap > 1e-6 * (high - low) and np.allclose(steps, np.rint(steps), atol=1e-3):
        per_bin = np.ceil((steps[-1] + 1) / bins)  # a comb of fuller and emptier bins otherwise
        n = int(np.ceil((steps[-1] + 1) / per_bin))
        return low + gap * (per_bin * np.arange(n + 1) - 0.5), 0.0
    spread = np.subtract(*np.quantile(top, [0.9, 0.1]))
    if spread > 0 and high - low > LONG * spread:
        scale = float(spread) / 4  # so that the target's own histogram has room
        edges = low + scale * np.sinh(np.linspace(0, np.arcsinh((high - low) / scale), bins + 1))
        edges[-1] = high  # whatever rounding did
        return edges, scale
    return np.linspace(low, high, bins + 1), 0.0


def _overlap(a, b):
    both = np.concatenate([a, b])
    both = both[np.isfinite(both)]
    cuts = np.unique(both)
    if len(cuts) > CELLS:
        cuts = np.unique(np.quantile(both, np.linspace(0, 1, CELLS + 1), method="inverted_cdf"))
    cuts = np.append(cuts, np.inf)  # infinite energies have a cell of their own
    shares = [
        np.bincount(np.searchsorted(cuts, x, side="left"), minlength=len(cuts) + 1) / x.size
        for x in (a, b)
    ]
    return np.minimum(*shares).sum()

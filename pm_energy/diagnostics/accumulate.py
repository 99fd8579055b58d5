"""Summaries of a field too large to keep its draws, fed as they are made."""

import numpy as np
import xarray as xr

from pm_energy.diagnostics.fields import SAMPLE_DIMS
from pm_energy.diagnostics.site_maps import posterior_mode, site_entropy
from pm_energy.diagnostics.summary import (
    draw_scalars,
    label_scalars,
    neighbours,
    summary_tree,
)
from pm_energy.validate import positive_int


class FieldAccumulator:
    """Counts of the states of each site, and a few scalars of each draw.

    Keeps ``q`` counts a site (32 MB for a 2,000 x 2,000 field of spins) instead of the draws.

    Parameters
    ----------
    shape : tuple of int
        Shape of the sites.
    states : sequence of int
        All states, -1 and 1 for spins or 0, ..., q-1.
    chains : int
        Number of chains.
    name : str
        Name of the field in :meth:`summaries`.
    dims : sequence of str, optional
        Names of the site dimensions.
    sites : energy, Lattice or Graph, optional
        Which sites are neighbours, as for :func:`field_summaries`.

    Raises
    ------
    ValueError
        If an argument makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> seen = pme.diagnostics.FieldAccumulator((2, 2), states=(-1, 1))
    >>> for spin in (1, 1, 1, -1):
    ...     seen.update(np.full((2, 2), spin))
    >>> seen.dataset()["probability"].sel(state=1).values
    array([[0.75, 0.75],
           [0.75, 0.75]])
    """

    def __init__(self, shape, states, *, chains=1, name="z", dims=None, sites=None):
        self.shape = tuple(positive_int("shape", side) for side in np.atleast_1d(shape))
        self.states = tuple(int(k) for k in states)
        if len(set(self.states)) < max(2, len(self.states)):
            raise ValueError(f"states must be at least two different integers, got {states!r}")
        self.name = name
        default = [f"{name}_dim_{i}" for i in range(len(self.shape))]
        self.dims = tuple(default if dims is None else dims)
        if len(self.dims) != len(self.shape):
            raise ValueError(f"dims must name {len(self.shape)} dimensions, got {self.dims}")
        self._sites = neighbours(name, self.shape, sites)
        self._counts = np.zeros((len(self.states), *self.shape), dtype=np.uint32)
        self._scalars = [[] for _ in range(positive_int("chains", chains))]
        self._last = [None] * len(self._scalars)

    @property
    def n_draws(self):
        """Number of draws seen in each chain, a list."""
        return [sum(len(block["changes"]) for block in blocks) for blocks in self._scalars]

    def update(self, x, chain=0):
        """Take in a draw, or successive draws along a leading axis, of one chain.

        Raises
        ------
        ValueError
            If the shape is another or a value is not one of the states; nothing is counted then.
        """
        x = np.asarray(x)
        if x.shape == self.shape:
            x = x[None]
        if x.shape[1:] != self.shape or len(x) == 0:
            raise ValueError(f"x must have shape {self.shape} or (B, *{self.shape}), got {x.shape}")
        if not 0 <= chain < len(self._scalars):
            raise ValueError(f"chain must be in 0..{len(self._scalars) - 1}, got {chain}")
        hits = [(x == k).sum(axis=0, dtype=np.uint32) for k in self.states]
        if (sum(hits) != len(x)).any():
            wrong = x[~np.isin(x, self.states)].flat[0]
            raise ValueError(f"x contains the value {wrong}; the states are {self.states}")
        for count, hit in zip(self._counts, hits, strict=True):
            count += hit
        scalars = draw_scalars(x, self.states, self._sites, self.shape)
        previous = self._last[chain]
        axes = tuple(range(1, x.ndim))
        first = np.nan if previous is None else (x[0] != previous).sum()
        scalars["changes"] = np.append(first, (x[1:] != x[:-1]).sum(axis=axes)).astype(float)
        self._scalars[chain].append(scalars)
        self._last[chain] = x[-1].copy()

    def dataset(self):
        """Return maps over the sites: ``probability`` of each state, ``mode``, ``entropy``."""
        total = sum(self.n_draws)
        if total == 0:
            raise ValueError("no draws were taken in yet; call update first")
        p = xr.DataArray(
            np.moveaxis(self._counts, 0, -1) / total,
            dims=(*self.dims, "state"),
            coords={"state": list(self.states)},
            attrs={"field": self.name},
        )
        out = xr.Dataset({"probability": p}, attrs={"n_draws": total})
        return out.assign(mode=posterior_mode(out), entropy=site_entropy(out))

    def summaries(self):
        """Return the scalars of each draw as :func:`field_summaries` does, for ``az.summary``.

        Raises
        ------
        ValueError
            If no draws were taken in, or the chains have different numbers of them.
        """
        lengths = self.n_draws
        if len(set(lengths)) > 1 or lengths[0] == 0:
            raise ValueError(f"the chains must have the same number of draws, got {lengths}")
        values = {
            key: np.stack([np.concatenate([b[key] for b in blocks]) for blocks in self._scalars])
            for key in self._scalars[0][0]
        }
        stats = xr.Dataset({f"{self.name}_changes": (SAMPLE_DIMS, values.pop("changes"))})
        return summary_tree(label_scalars(self.name, self.states, values), stats)

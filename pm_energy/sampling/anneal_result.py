"""What an anneal leaves behind."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from pm_energy.domains import Binary, Domain, Spin

SHOWN = 3  # energies in the representation


@dataclass(frozen=True, eq=False, repr=False)
class Annealed:
    """States that :func:`pm_energy.anneal` found, and their energies.

    Attributes
    ----------
    states : ndarray, shape (n_replicas, *event_shape)
        In the coding and dtype of the energy's domain: of each replica the best of its restarts.
    energies : ndarray, shape (n_replicas,)
        Their energies, as :func:`pm_energy.energy_values` gives them.
    schedule : ndarray, shape (n_sweeps,)
        Inverse temperature of each sweep.
    restarts : int
        How often each replica was annealed.
    domain : Domain
        What values a unit can take.
    road : str
        How states were moved, in words.
    seconds : float
        How long all took.

    Examples
    --------
    >>> import pm_energy as pme
    >>> square = pme.Ising(lattice=(3, 3))
    >>> pme.anneal(square, random_seed=0, progressbar=False).minima.energies
    array([-18., -18.])
    """

    states: np.ndarray
    energies: np.ndarray
    schedule: np.ndarray
    restarts: int
    domain: Domain
    road: str
    seconds: float

    @property
    def best_state(self):
        """The state of the lowest energy, shape (*event_shape)."""
        return self.states[self.energies.argmin()]

    @property
    def best_energy(self):
        """The lowest energy."""
        return float(self.energies.min())

    @property
    def sweeps(self):
        """Number of sweeps of each replica, restarts included."""
        return self.restarts * len(self.schedule)

    @property
    def minima(self):
        """The different states found, by increasing energy, and how many replicas found each."""
        _, first, counts = np.unique(
            self.states.reshape(len(self.states), -1), axis=0, return_index=True, return_counts=True
        )
        order = np.argsort(self.energies[first], kind="stable")
        first = first[order]
        return Minima(self.states[first], self.energies[first], counts[order])

    def to_dimod(self):
        """Return the states as a ``dimod.SampleSet``, in the order of the replicas.

        Units of a vector are named by their numbers, those of a lattice by their coordinates.

        Returns
        -------
        dimod.SampleSet
            Of vartype SPIN, BINARY or (for categories) INTEGER.

        Raises
        ------
        ImportError
            If dimod is not installed.
        """
        try:
            import dimod
        except ImportError as why:
            raise ImportError(
                "to_dimod needs the package dimod: pip install 'pm_energy[dimod]'"
            ) from why
        shape = self.states.shape[1:]
        labels = list(range(shape[0])) if len(shape) == 1 else list(np.ndindex(*shape))
        kind = {Spin: "SPIN", Binary: "BINARY"}.get(type(self.domain), "INTEGER")
        info = {
            "beta_range": [float(self.schedule[0]), float(self.schedule[-1])],
            "num_sweeps": len(self.schedule),
            "num_restarts": self.restarts,
        }
        samples = self.states.reshape(len(self.states), -1), labels
        return dimod.SampleSet.from_samples(samples, kind, energy=self.energies, info=info)

    def to_datatree(self, dims=None):
        """Return the states, energies and schedule as a DataTree with the group ``annealing``.

        Parameters
        ----------
        dims : sequence of str, optional
            Names of the axes of a state.

        Returns
        -------
        xarray.DataTree

        Raises
        ------
        ValueError
            If there are not as many names as axes.
        """
        ndim = self.states.ndim - 1
        if dims is None:
            dims = [f"state_dim_{i}" for i in range(ndim)]
        elif len(dims) != ndim:
            raise ValueError(f"dims must name the {ndim} axes of a state, got {list(dims)}")
        group = xr.Dataset(
            {
                "state": (("replica", *dims), self.states),
                "energy": (("replica",), self.energies),
                "beta": (("sweep",), self.schedule),
            },
            coords={
                "replica": np.arange(len(self.states)),
                "sweep": np.arange(len(self.schedule)),
            },
            attrs={
                "restarts": self.restarts,
                "road": self.road,
                "sampling_time": self.seconds,
            },
        )
        return xr.DataTree.from_dict({"annealing": group})

    def __repr__(self):
        found = self.minima
        lines = [
            f"Annealed: {len(self.states)} replicas of {self.states[0].size} units, "
            f"{self.restarts} x {len(self.schedule)} sweeps, "
            f"beta {self.schedule[0]:.3g} to {self.schedule[-1]:.3g}, {self.seconds:.3g} s",
            f"  by {self.road}",
            f"  {len(found.counts)} different states; lowest energies:",
        ]
        for energy in np.unique(found.energies)[:SHOWN]:
            counts = found.counts[found.energies == energy]
            lines.append(f"    {energy:.10g}: {counts.sum()} replicas, {len(counts)} states")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Minima:
    """Different states of an anneal, by increasing energy.

    Attributes
    ----------
    states : ndarray, shape (n, *event_shape)
    energies : ndarray, shape (n,)
    counts : ndarray of int, shape (n,)
        How many replicas ended there.
    """

    states: np.ndarray
    energies: np.ndarray
    counts: np.ndarray

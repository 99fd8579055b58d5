"""What tempered runs leave in a DataTree, as arrays, and the estimators that each kind allows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from pm_energy.index_process import walker_levels
from pm_energy.partition.mbar import bridge, mbar_of, pool
from pm_energy.partition.population import population_annealing, population_integration
from pm_energy.partition.result import NotAvailable
from pm_energy.partition.stepping_stone import (
    stepping_stone,
    stepping_stone_backward,
    stepping_stone_forward,
)
from pm_energy.partition.thermodynamic import thermodynamic_integration
from pm_energy.partition.wandering import rao_blackwell
from pm_energy.partition.works import ais, ais_bridge, ais_reverse


class Reader:
    """Reads variables of a group, with the dimensions in a given order.

    Parameters
    ----------
    dataset : Dataset
    name : str
        Of the group, for messages.
    driver : str
        What makes it.
    """

    def __init__(self, dataset, name, driver):
        self.dataset, self.name, self.driver = dataset, name, driver

    def __contains__(self, variable):
        return variable in self.dataset.variables

    def __call__(self, variable, *dims):
        """Values of a variable, or a ValueError that says what to run."""
        if variable not in self:
            raise ValueError(
                f"the group {self.name!r} has no {variable!r}: make it by {self.driver}"
            )
        array = self.dataset[variable]
        if set(array.dims) != set(dims):
            raise ValueError(
                f"{variable!r} of the group {self.name!r} must have dimensions {dims}, got "
                f"{array.dims}: make it by {self.driver}"
            )
        return array.transpose(*dims).values

    def attribute(self, name):
        """An attribute of the group, as a finite float."""
        value = self.dataset.attrs.get(name, np.nan)
        if not np.isfinite(value):
            raise ValueError(
                f"the group {self.name!r} must have the attribute {name!r}, a finite number, got "
                f"{value}: make it by {self.driver}"
            )
        return float(value)


@dataclass(frozen=True, eq=False)
class Tempering:
    """Parallel tempering: a state at each level, (chain, draw, level)."""

    log_ratio: np.ndarray
    beta: np.ndarray
    replica: np.ndarray

    @classmethod
    def read(cls, reader):
        """Read the group."""
        dims = ("chain", "draw", "level")
        return cls(
            reader("log_ratio", *dims), reader("beta", "chain", "level"), reader("replica", *dims)
        )

    @cached_property
    def mixture(self):
        """All draws, pooled."""
        return pool(self.log_ratio, self.beta)

    @cached_property
    def levels(self):
        """Where each walker was, (chain, draw, walker)."""
        return walker_levels(self.replica)

    @property
    def walks(self):
        """Log-ratio along the way of each walker, (chain, draw, walker)."""
        return np.take_along_axis(self.log_ratio, self.levels, axis=-1)

    def estimators(self):
        """Functions without arguments that return an Estimate, the best first."""
        u, beta = self.log_ratio, self.beta
        return {
            "mbar": lambda: mbar_of(self.mixture, u.shape[:2]),
            "bridge": lambda: bridge(u, beta),
            "stepping-stone": lambda: stepping_stone(u, beta),
            "stepping-stone-forward": lambda: stepping_stone_forward(u, beta),
            "stepping-stone-backward": lambda: stepping_stone_backward(u, beta),
            "thermodynamic-integration": lambda: thermodynamic_integration(u, beta),
        }


@dataclass(frozen=True, eq=False)
class SimulatedTempering:
    """One state that wanders over levels, (chain, iteration)."""

    log_ratio: np.ndarray
    beta: np.ndarray
    level: np.ndarray
    log_weight: np.ndarray

    @classmethod
    def read(cls, reader):
        """Read the group; the weights may be the same for all chains or not."""
        dims = ("chain", "iteration")
        of_weights = reader.dataset["log_weight"].dims if "log_weight" in reader else ("level",)
        return cls(
            reader("log_ratio", *dims),
            reader("beta", "level"),
            reader("level", *dims),
            reader("log_weight", *(("chain", "level") if "chain" in of_weights else ("level",))),
        )

    @cached_property
    def mixture(self):
        """All draws, pooled."""
        return pool(self.log_ratio, self.beta, self.level)

    @property
    def levels(self):
        """Where each walker was: one a chain."""
        return self.level

    @property
    def walks(self):
        """Log-ratio along the way of each walker."""
        return self.log_ratio

    def estimators(self):
        """Functions without arguments that return an Estimate, the best first."""
        return {
            "mbar": lambda: mbar_of(self.mixture, self.log_ratio.shape),
            "rao-blackwell": lambda: rao_blackwell(self.log_ratio, self.beta, self.log_weight),
        }


@dataclass(frozen=True, eq=False)
class Population:
    """Population annealing: moments at each step, (chain, step)."""

    beta: np.ndarray
    log_z: np.ndarray
    rho_t: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    size: int

    @classmethod
    def read(cls, reader):
        """Read the group."""
        dims = ("chain", "step")
        return cls(
            reader("beta", "step"),
            reader("log_z", *dims),
            reader("rho_t", *dims),
            reader("mean_log_ratio", *dims),
            reader("var_log_ratio", *dims),
            reader("log_ratio", "chain", "draw").shape[1],
        )

    def at(self, step):
        """Estimate of log Z at a step."""
        return population_annealing(self.log_z[:, step], self.rho_t[:, step], self.size)

    def estimators(self):
        """Functions without arguments that return an Estimate, the best first."""
        return {
            "population-annealing": lambda: self.at(-1),
            "thermodynamic-integration": lambda: population_integration(
                self.beta, self.mean, self.variance, self.at(-1).mcse
            ),
        }


@dataclass(frozen=True, eq=False)
class Works:
    """Annealed importance sampling: works of runs in one or both directions."""

    forward: np.ndarray
    reverse: np.ndarray | None
    reverse_exact: bool

    @classmethod
    def read(cls, reader):
        """Read the group."""
        both = "reverse" in reader
        return cls(
            reader("forward", "particle"),
            reader("reverse", "particle_reverse") if both else None,
            both and bool(reader.attribute("reverse_exact")),
        )

    def estimators(self):
        """Functions without arguments that return an Estimate, the best first."""
        forward = {"ais": lambda: ais(self.forward)}
        if self.reverse is None:
            return forward
        exact = self.reverse_exact
        bridge = {"bridge": lambda: ais_bridge(self.forward, self.reverse, exact=exact)}
        return bridge | forward | {"ais-reverse": self._backward}

    def _backward(self):
        if np.isposinf(self.forward).any():
            raise NotAvailable(
                "some forward runs have an infinite work: reverse runs never end in that part of "
                "the base, so alone they cannot count it. Use 'bridge'"
            )
        return ais_reverse(self.reverse, exact=self.reverse_exact)


KINDS = {
    "tempering": (Tempering, "pme.sample_parallel_tempering"),
    "simulated_tempering": (SimulatedTempering, "pme.sample_simulated_tempering"),
    "population": (Population, "pme.sample_population_annealing"),
    "work": (Works, "pme.ais"),
}


def read_run(dt):
    """Read the first group of a tempered run that a DataTree holds.

    Returns
    -------
    run : Tempering, SimulatedTempering, Population or Works
    log_z_base : float

    Raises
    ------
    ValueError
        If there is none, or something is missing in it; says what to run.
    """
    names = [name for name in KINDS if isinstance(dt, xr.DataTree) and name in dt.children]
    if not names:
        raise ValueError(
            f"expected a DataTree with one of the groups {list(KINDS)}, got "
            f"{sorted(dt.children) if isinstance(dt, xr.DataTree) else type(dt).__name__}. "
            f"Run {', '.join(driver for _, driver in KINDS.values())}"
        )
    kind, driver = KINDS[names[0]]
    reader = Reader(dt[names[0]].to_dataset(), names[0], driver)
    return kind.read(reader), reader.attribute("log_z_base")


def all_estimates(run):
    """Every estimate that the draws of a run allow: name -> Estimate."""
    found = {}
    for name, estimator in run.estimators().items():
        try:
            found[name] = estimator()
        except NotAvailable:
            continue
    return found

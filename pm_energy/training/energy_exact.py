"""Log Z and the mean of ``-dE/dtheta`` under the model, exactly."""

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad
from scipy.special import logsumexp

from pm_energy.compile import ONCE, compile_function
from pm_energy.energies.gaussian_mixture import GaussianMixtureEnergy
from pm_energy.exact.enumeration import LIMIT, count_states, states_between
from pm_energy.log_partition import METHODS, NotTractable
from pm_energy.structure import leaf_specs, unflatten
from pm_energy.training.energy_parameters import constrained

QUICK = 2**12  # states that are added up before other methods are asked for
CHUNK = 2**20  # numbers in an array of states


def by_enumeration(graphs, values):
    """Log Z and statistics as sums over all states, in blocks of small memory.

    Parameters
    ----------
    graphs : EnergyGraphs
    values : list of array
        All parameters.
    """
    total = int(count_states(graphs.block))
    size = max(1, CHUNK // graphs.numbers)
    spans = [(start, min(start + size, total)) for start in range(0, total, size)]

    def states(span):
        return states_between(graphs.block, *span).astype(graphs.dtype)

    one = np.asarray(1.0)
    energies = [graphs.call("free_energy", total, states(s), one, *values) for s in spans]
    log_z = logsumexp([logsumexp(-energy) for energy in energies])
    totals = None
    for span, energy in zip(spans, energies, strict=True):
        part = graphs.call("statistics", total, states(span), np.exp(-energy - log_z), *values)
        totals = part if totals is None else [a + b for a, b in zip(totals, part, strict=True)]
    return float(log_z), totals


def closed_log_partition(parameters):
    """Compile log Z and its gradient, where it is known as a graph: closed forms, strips, layers.

    Parameters
    ----------
    parameters : Parameters

    Returns
    -------
    callable
        Of the learned parameters.

    Raises
    ------
    NotTractable
        If there is no such method, with the reason of each.
    """
    specs = leaf_specs(parameters.structure)
    inputs = [pt.tensor(dtype=specs[i].dtype, shape=specs[i].shape) for i in parameters.places]
    leaves = list(parameters.values.values())
    for place, variable in zip(parameters.places, inputs, strict=True):
        leaves[place] = variable.copy()  # computed, so that no method takes its value for settled
    energy = unflatten(parameters.structure, constrained(parameters.structure, leaves))
    if isinstance(energy, GaussianMixtureEnergy) and "weights" in parameters.learned:
        raise NotTractable("log Z of a mixture is zero only as long as its weights sum to 1")
    reasons = []
    for name, method in METHODS.items():
        if name == "enumeration":
            continue
        try:
            log_z = method(energy)
        except NotTractable as why:
            reasons.append(f"{name}: {why}")
            continue
        slopes = grad(log_z, inputs, disconnected_inputs="ignore", return_disconnected="zero")
        return compile_function(inputs, [log_z, *slopes], ONCE)
    raise NotTractable("; ".join(reasons))


class ExactRoad:
    """How log Z of a family of energies is found; chosen when it is first asked for."""

    def __init__(self, parameters, graphs):
        self._parameters, self._graphs = parameters, graphs
        self._states = count_states(graphs.block)
        self._closed = None

    def __call__(self, theta):
        """Return log Z and the statistics, a list in the order of the learned parameters.

        Raises
        ------
        ValueError
            If log Z is not tractable.
        """
        values = self._parameters.all(theta)
        if self._states > QUICK and self._closed is None:
            self._closed = self._find()
        if not callable(self._closed):
            return by_enumeration(self._graphs, values)
        log_z, *slopes = self._closed(*[values[i] for i in self._parameters.places])
        return float(log_z), slopes

    def _find(self):
        try:
            return closed_log_partition(self._parameters)
        except NotTractable as why:
            if self._states <= LIMIT:
                return "enumeration"
            raise ValueError(
                f"log Z is not tractable here ({why}). Use PersistentCD, TemperedCD or, for "
                "discrete units, FlipObjective"
            ) from why

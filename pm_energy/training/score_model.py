"""Any energy of real-valued units as a model of scores: everything derived from its formula.

The score of a density is the gradient of its logarithm in x, here ``-dE/dx``: log Z is not in it.
"""

import math
from functools import lru_cache

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad

from pm_energy.compile import ONCE, compile_function
from pm_energy.energy import single_block
from pm_energy.training.energy_graphs import COMPILER_PAYS, graphs_of, row_shares
from pm_energy.training.energy_parameters import Parameters
from pm_energy.training.score_chains import ScoreChains
from pm_energy.validate import numeric_array


class ScoreModel(ScoreChains):
    """An energy whose parameters are learned from its score.

    What objectives of score matching ask for: losses made of the first and second derivatives of E
    in x, and their gradients in the parameters, by automatic differentiation. ``theta`` is as for
    :class:`~pm_energy.training.energy_model.EnergyModel`; sums are done in float64.

    Parameters
    ----------
    energy : Energy
        Over one block of real-valued units, with numeric parameters: where learning starts.
    learn : str or collection of str, optional
        Names of the parameters to learn; all by default. The others stay as they are.

    Raises
    ------
    ValueError
        If units are discrete, parameters are not numbers, or ``learn`` names none of them.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.score_model import ScoreModel
    >>> model = ScoreModel(pme.GaussianMixtureEnergy([1.0], [[2.0]]), learn="means")
    >>> model.score(model.initial(), np.array([[0.0], [3.0]]))
    array([[ 2.],
           [-1.]])
    """

    def __init__(self, energy, learn=None):
        if single_block(energy).domain.states is not None:
            raise ValueError(
                "discrete units have no score; use pseudolikelihood, ratio matching or probability "
                "flow: pm_energy.training.flips"
            )
        self._parameters = Parameters(energy, learn)
        self._graphs = _score_graphs(self._parameters.structure, self._parameters.places)

    def initial(self, dtype="float64"):
        """Return the parameters the energy came with, as theta."""
        return self._parameters.start(dtype)

    def energy(self, theta):
        """Return the energy with these numbers."""
        return self._parameters.energy(theta)

    def value_and_slope(self, theta, x):
        """Energies (N,) of rows of x (N, *event_shape), and their gradient in x."""
        return self._call("value_and_slope", theta, x)

    def score(self, theta, x):
        """``-dE/dx`` at rows of x, of the shape of x."""
        return -self.value_and_slope(theta, x)[1]

    def statistics(self, theta, x, weights=None):
        """Weighted mean over rows of x of ``-dE/dtheta``."""
        return self._named(theta, self._call("statistics", theta, x, row_shares(weights, len(x))))

    def score_regression(self, theta, x, targets, weights=None):
        """Weighted mean of ``|score(x) - target|**2`` over rows, and its gradient in theta.

        Parameters
        ----------
        theta : dict of str to array
        x, targets : array, shape (N, *event_shape)
        weights : array, shape (N,), optional

        Returns
        -------
        loss : float
        gradient : dict of str to array
        """
        shares = row_shares(weights, len(x))
        loss, *slopes = self._call("regression", theta, x, targets, shares)
        return float(loss), self._named(theta, slopes)

    def score_slices(self, theta, x, directions, weights=None, *, squared=True):
        """Weighted mean of ``(v . s)**2 / 2 + v . ds/dx v`` over rows, and its gradient in theta.

        Parameters
        ----------
        theta : dict of str to array
        x, directions : array, shape (N, *event_shape)
            Points and a direction v for each.
        weights : array, shape (N,), optional
        squared : bool
            Whether the first term is there.

        Returns
        -------
        loss : float
        gradient : dict of str to array
        """
        shares = row_shares(weights, len(x))
        loss, *slopes = self._call(
            "slices", theta, x, directions, shares, np.asarray(float(squared))
        )
        return float(loss), self._named(theta, slopes)

    def _units(self):
        return 0.0, 1.0, self._graphs.shape

    def _call(self, name, theta, x, *arrays):
        shape = self._graphs.shape
        x = numeric_array("x", x)
        if x.shape[1:] != shape or not len(x):
            raise ValueError(f"x must have shape {('N', *shape)} with N above 0, got {x.shape}")
        arrays = [np.asarray(array, dtype=float) for array in (x, *arrays)]
        return self._graphs.call(name, len(x), *arrays, *self._parameters.all(theta))

    def _named(self, theta, values):
        pairs = zip(self._parameters.learned, values, strict=True)
        return {name: np.asarray(value, theta[name].dtype) for name, value in pairs}


@lru_cache(maxsize=64)
def _score_graphs(structure, places):
    return ScoreGraphs(graphs_of(structure, places))


class ScoreGraphs:
    """Losses made of an energy's derivatives in x: compiled once for each structure.

    All functions take batches (N, *event_shape), rows' shares where they are summed, and then all
    parameters of the energy as float64 arrays.

    Parameters
    ----------
    graphs : EnergyGraphs
    """

    def __init__(self, graphs):
        self.graphs, self.shape = graphs, graphs.block.shape
        self._axes = tuple(range(1, 1 + len(self.shape)))
        self._compiled = {}

    def call(self, name, rows, *arrays):
        """Evaluate one of the functions below; ``rows`` decides whether a compiler pays."""
        mode = None if rows * math.prod(self.shape) > COMPILER_PAYS else ONCE
        if (name, mode) not in self._compiled:
            inputs, outputs = getattr(self, name)()
            self._compiled[name, mode] = compile_function(
                [*inputs, *self.graphs.leaves], outputs, mode
            )
        return self._compiled[name, mode](*arrays)

    def value_and_slope(self):
        """Units -> energies and their gradient in the units."""
        x = self._batch("x")
        value = self.graphs.free(x)
        return [x], [value, _slope(value.sum(), x)]

    def statistics(self):
        """Units and shares -> weighted sum of ``-dE/dtheta``."""
        x, shares = self._batch("x"), pt.dvector("shares")
        return [x, shares], self._slopes(-(shares * self.graphs.free(x)).sum())

    def regression(self):
        """Units, targets and shares -> the loss of regressing the score, and its gradient."""
        x, targets, shares = self._batch("x"), self._batch("targets"), pt.dvector("shares")
        score = -_slope(self.graphs.free(x).sum(), x)
        loss = (shares * ((score - targets) ** 2).sum(axis=self._axes)).sum()
        return [x, targets, shares], [loss, *self._slopes(loss)]

    def slices(self):
        """Units, directions, shares, 0 or 1 -> loss of slices of the score, and its gradient."""
        x, directions, shares = self._batch("x"), self._batch("directions"), pt.dvector("shares")
        squared = pt.dscalar("squared")
        along = (_slope(self.graphs.free(x).sum(), x) * directions).sum(axis=self._axes)
        bent = (_slope(along.sum(), x) * directions).sum(axis=self._axes)
        loss = (shares * (0.5 * squared * along**2 - bent)).sum()
        return [x, directions, shares, squared], [loss, *self._slopes(loss)]

    def _batch(self, name):
        return pt.tensor(name, dtype="float64", shape=(None, *self.shape))

    def _slopes(self, cost):
        return _slope(cost, self.graphs.learned)


def _slope(cost, variables):
    """Gradient, zero where the cost does not depend on a variable."""
    return grad(cost, variables, disconnected_inputs="ignore", return_disconnected="zero")

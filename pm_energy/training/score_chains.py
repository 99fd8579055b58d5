"""Chains of models of scores: what learning by the likelihood asks for beside the score."""

import numpy as np
from scipy.spatial.distance import cdist

from pm_energy.training.energy_continuous import StepSize, langevin, mala, starts
from pm_energy.validate import positive_int

WIDTHS = np.array([0.05, 0.15, 0.45])  # of jumps' landings: one is about right for any mode


class ScoreChains:
    """Mixin of models with ``value_and_slope`` and ``statistics``: chains of real-valued units.

    They say by ``_units()`` where their units have their centre, how long each is, and the shape of
    a row. Chains move in these units, so that one step size is right for all of a row. It is tuned
    to the acceptance of exact moves and kept: make a new model for a run that is to be repeated
    with the same seed.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.energies.neural import NeuralEnergy
    >>> from pm_energy.training.score_network import NetworkModel
    >>> rng = np.random.default_rng(0)
    >>> model = NetworkModel(NeuralEnergy(([[0.0]], [0.0]), ([0.0],), location=5.0))  # N(5, 1)
    >>> theta = model.initial()
    >>> chains = model.start(theta, rng, x=np.zeros((500, 1)))
    >>> model.sweep(theta, chains, rng, 50)
    >>> bool(abs(model.visible(chains).mean() - 5.0) < 0.2)
    True
    """

    _step_size = None

    def free_energy(self, theta, x):
        """Energies of rows of x, shape (N,)."""
        return self.value_and_slope(theta, x)[0]

    def start(self, theta, rng, n=None, x=None):
        """Return n chains at random states, normal in the model's units, or one at each row."""
        if x is not None:
            return {"visible": np.array(x, dtype=float)}
        location, scale, shape = self._units()

        def energies(z):
            return self.free_energy(theta, location + scale * z)

        z = starts(positive_int("n", n), shape, energies, rng)
        return {"visible": location + scale * z}

    def sweep(self, theta, chains, rng, n_sweeps=1):
        """Move chains in place by Langevin steps that leave ``exp(-E)`` invariant."""
        if self._step_size is None:
            self._step_size = StepSize(chains["visible"][0].size)
        self._move(mala, theta, chains, self._step_size, rng, n_sweeps)

    def jump(self, theta, chains, x, rng):
        """Propose to each chain a place near a row of x; this leaves ``exp(-E)`` invariant.

        Proposals are independent draws of a kernel density of the rows, of several widths at once,
        and are accepted with the probability of Metropolis and Hastings. So modes far apart
        exchange chains until each has its share. In many dimensions few jumps are accepted.
        """
        location, scale, shape = self._units()
        rows, old = ((part - location) / scale for part in (x, chains["visible"]))
        width = WIDTHS[rng.integers(len(WIDTHS), size=(len(old), *[1] * len(shape)))]
        new = rows[rng.integers(len(rows), size=len(old))] + width * rng.standard_normal(old.shape)
        places = np.concatenate([old, new])
        values = self.free_energy(theta, location + scale * places)
        log_target = -np.asarray(values, dtype=float) - _log_kernels(places, rows)
        before, after = np.split(log_target, 2)
        taken = np.log(rng.random(len(old))) < after - before  # never where it is NaN
        chains["visible"][taken] = location + scale * new[taken]

    def langevin(self, theta, chains, rng, n_steps, step_size):
        """Move chains in place by Langevin steps that nothing corrects, of a size in these units.

        They do not leave the distribution invariant: where they lead depends on the step size.
        """
        self._move(langevin, theta, chains, step_size, rng, n_steps)

    def chain_energy(self, theta, chains):
        """Energy of each chain, shape (n,)."""
        return self.free_energy(theta, chains["visible"])

    def chain_statistics(self, theta, chains):
        """Mean over chains of ``-dE/dtheta``."""
        return self.statistics(theta, chains["visible"])

    def visible(self, chains):
        """Units of each chain, shape (n, *event_shape)."""
        return chains["visible"]

    def tuning(self):
        """Return what the moves have learned, a dict of numbers."""
        return {} if self._step_size is None else self._step_size.state()

    def retune(self, tuning):
        """Go on from what :meth:`tuning` returned."""
        if tuning:
            self._step_size = StepSize(1)
            self._step_size.restore(tuning)

    def _move(self, kernel, theta, chains, step_size, rng, n_moves):
        location, scale, _ = self._units()

        def value_and_slope(z):
            value, slope = self.value_and_slope(theta, location + scale * z)
            return value, scale * slope

        z = (chains["visible"] - location) / scale
        kernel(z, value_and_slope, step_size, rng, n_moves)
        chains["visible"][...] = location + scale * z


def _log_kernels(z, rows):
    """Log of the density, but for a constant, of normal noise of all widths around rows."""
    z, rows = z.reshape(len(z), -1), rows.reshape(len(rows), -1)
    d = z.shape[1]
    squares = cdist(z, rows, "sqeuclidean")
    least = squares.min(axis=1)
    squares -= least[:, None]  # so that no sum vanishes
    logs = [
        np.log(np.exp(squares * (-0.5 / w**2)).sum(axis=1)) - 0.5 * least / w**2 - d * np.log(w)
        for w in WIDTHS
    ]
    return np.logaddexp.reduce(logs)

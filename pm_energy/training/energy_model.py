"""Any energy as a model to learn: everything derived from its formula."""

import math

import numpy as np
from scipy.sparse import issparse

from pm_energy.energy import blocks_of
from pm_energy.training.energy_continuous import StepSize, langevin, mala, starts
from pm_energy.training.energy_discrete import (
    draw_units,
    heat_bath_sweeps,
    kernel_sweeps,
    random_states,
    states_at,
)
from pm_energy.training.energy_exact import ExactRoad
from pm_energy.training.energy_graphs import graphs_of, row_shares
from pm_energy.training.energy_parameters import Parameters
from pm_energy.training.flips import FLIP_KINDS
from pm_energy.validate import positive_int

NEIGHBOURS = 2**20  # numbers in the neighbours of as many rows as are looked at together

LOWEST = np.finfo(float).min


class EnergyModel:
    """Any energy of the package, or of yours, as a model to learn.

    Statistics are gradients of the mean free energy, by automatic differentiation. Chains of
    discrete units use the package's kernels where the energy has a normal form, and otherwise a
    heat bath from energies. Real-valued units move by Metropolis-adjusted Langevin steps [1]_; the
    model tunes their size at each inverse temperature and keeps it: make a new model for a run that
    is to be repeated with the same seed.

    ``theta`` has the float parameters by the names of their fields (``"coupling"``; those of an
    energy inside another one ``"energy.coupling"``; arguments of a plain function by their own
    names). Sums are done in float64; what is returned has the dtype of theta.

    A coupling matrix that has to be symmetric with a zero diagonal stays so: its gradient is taken
    through the energy's constructor, which takes that part of a variable. Other constraints, such
    as a variance above zero, are not enforced: write the energy in the logarithm.

    Parameters
    ----------
    energy : Energy
        With numeric parameters: where learning starts. Over one block of units, or over two of
        which the second one (that of a :class:`~pm_energy.Marginal` otherwise) is hidden and can be
        summed out.
    learn : str or collection of str, optional
        Names of the parameters to learn; all by default. The others stay as they are.

    Raises
    ------
    ValueError
        If the energy's parameters are not numbers, ``learn`` names none of them, or hidden units
        cannot be summed out.

    References
    ----------
    .. [1] Roberts & Tweedie (1996), Bernoulli 2, 341-363.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.energy_model import EnergyModel
    >>> model = EnergyModel(pme.Ising(lattice=(3, 3), coupling=0.0), learn="coupling")
    >>> theta = model.initial()
    >>> model.statistics(theta, np.ones((2, 3, 3))), model.exact(theta)
    ({'coupling': array(18.)}, (6.238..., {'coupling': array(0.)}))
    >>> chains = model.start(theta, np.random.default_rng(0), n=2)
    >>> model.visible(chains).shape
    (2, 3, 3)
    """

    def __init__(self, energy, learn=None):
        blocks_of(energy)  # refuse what is no energy
        self._given = energy
        self._parameters = Parameters(energy, learn)
        self._graphs = graphs_of(self._parameters.structure, self._parameters.places)
        self._exact = ExactRoad(self._parameters, self._graphs)
        self._block, self._hidden = self._graphs.block, self._graphs.hidden
        self._is_real = self._block.domain.states is None
        self._n = math.prod(self._block.shape)
        states = (LOWEST, -LOWEST) if self._is_real else self._block.domain.states
        self._range = states[0], states[-1]
        self._step_sizes = {}

    def __reduce__(self):  # what was compiled is compiled anew
        kept = {"_step_sizes": self._step_sizes}
        return EnergyModel, (self._given, self._parameters.learned), kept

    def initial(self, dtype="float64"):
        """Return the parameters the energy came with, as theta."""
        return self._parameters.start(dtype)

    def energy(self, theta):
        """Return the energy with these numbers."""
        return self._parameters.energy(theta)

    def statistics(self, theta, x, weights=None):
        """Weighted mean over rows of x (N, *event_shape) of ``-dF/dtheta``.

        Rows may be flat. Two-state units may be means between the two states.
        """
        x = self._rows(x)
        return self._named(theta, self._call("statistics", theta, x, row_shares(weights, len(x))))

    def statistics_rows(self, theta, x):
        """``-dF/dtheta`` of each row, arrays (N, *parameter): samples of a Fisher information.

        As :func:`~pm_energy.training.natural.natural_gradient` takes them.
        """
        return self._named(theta, self._call("statistics_rows", theta, self._rows(x)))

    def free_energy(self, theta, x):
        """``-log sum_h exp(-E(x, h))`` of rows of x, or their energy, shape (N,), float64."""
        return self._free_energy(theta, self._rows(x))

    def start(self, theta, rng, n=None, x=None):
        """Return n chains at random states, or one at each row of x.

        Random two-state units and categories are uniform, real-valued ones standard normal.
        """
        if x is not None:
            x = self._rows(x)
            visible = x.copy() if self._is_real else states_at(x, self._block.domain, rng)
        elif self._is_real:

            def energies(x):
                return self._free_energy(theta, x)

            visible = starts(positive_int("n", n), self._block.shape, energies, rng)
        else:
            visible = random_states(self._block, positive_int("n", n), rng)
        chains = {"visible": visible}
        if self._hidden is not None:
            chains["hidden"] = self._draw_hidden(theta, visible, 1.0, rng)
        return chains

    def sweep(self, theta, chains, rng, n_sweeps=1, beta=1.0):
        """Move chains in place by a kernel that leaves ``exp(-beta E)`` of all units invariant.

        Visible units move with the hidden ones summed out at that beta, and hidden units are drawn
        given them. Of real-valued units a sweep is one Langevin step of all of them. Chains stay as
        they are where parameters are no longer finite.
        """
        x = chains["visible"]
        if not all(np.isfinite(value).all() for value in theta.values()):
            return  # learning has diverged, and the fit loop will say so
        if self._is_real:
            mala(x, self._slopes(theta, beta), self._step_size(beta), rng, n_sweeps)
        elif self._graphs.sweeper is not None:
            kernel_sweeps(self._graphs, x, beta, self._parameters.all(theta), rng, n_sweeps)
        else:

            def energies(x):
                return self._free_energy(theta, x.astype(self._graphs.dtype), beta)

            heat_bath_sweeps(x, self._block.domain.states, energies, rng, n_sweeps)
        if self._hidden is not None:
            chains["hidden"][...] = self._draw_hidden(theta, x, beta, rng)

    def langevin(self, theta, chains, rng, n_steps, step_size):
        """Move real-valued chains in place by Langevin steps that nothing corrects.

        They do not leave the distribution invariant: where they lead depends on the step size.

        Raises
        ------
        ValueError
            If units are discrete.
        """
        if not self._is_real:
            raise ValueError("discrete units have no gradient to follow; leave step_size out")
        langevin(chains["visible"], self._slopes(theta, 1.0), step_size, rng, n_steps)
        if self._hidden is not None:
            chains["hidden"][...] = self._draw_hidden(theta, chains["visible"], 1.0, rng)

    def acceptance(self, beta=1.0):
        """Share of Langevin steps that the last sweep of real-valued units accepted."""
        return self._step_size(beta).acceptance

    def chain_energy(self, theta, chains):
        """Energy of all units of each chain, shape (n,)."""
        x = chains["visible"].astype(self._graphs.dtype)
        if self._hidden is None:
            return self._free_energy(theta, x)
        return self._call("joint_energy", theta, x, chains["hidden"])

    def chain_statistics(self, theta, chains):
        """Mean over chains of ``-dE/dtheta``, its mean over the hidden units given the others."""
        return self.statistics(theta, chains["visible"])

    def visible(self, chains):
        """Visible units of each chain, shape (n, *event_shape)."""
        return chains["visible"]

    def exact(self, theta):
        """Return log Z and the statistics under the model.

        By adding up all states, or from log Z where it is known: small strips and tori, layers of
        which one is small, energies of real-valued units that say theirs.

        Raises
        ------
        ValueError
            If log Z is not tractable.
        """
        log_z, slopes = self._exact(theta)
        return log_z, self._named(theta, slopes)

    def flip_loss(self, theta, x, kind, weights=None):
        """Return a loss made of the cost of flipping each unit, and its gradient.

        As :class:`~pm_energy.training.model.Model` says. Of categories only the pseudolikelihood is
        known, where each of the other states counts as a flip.

        Raises
        ------
        ValueError
            If units are real-valued, there is no such kind, or x holds means.
        """
        if kind not in FLIP_KINDS:
            raise ValueError(f"kind must be one of {FLIP_KINDS}, got {kind!r}")
        domain = self._block.domain
        if self._is_real:
            raise ValueError(
                "real-valued units cannot be flipped: use ReplayBuffer or PersistentCD, or score "
                "matching"
            )
        if domain.code_ndim and kind != "pseudolikelihood":
            raise ValueError(
                f"{kind} is for units of two states, and these have {domain.q}: "
                "use kind='pseudolikelihood'"
            )
        x = self._rows(x)
        if not np.isin(x, domain.states).all():
            raise ValueError("x must hold states, not means: flips are of states")
        shares = row_shares(weights, len(x))
        if domain.code_ndim:
            loss, *slopes = self._call("pseudolikelihood", theta, x, shares)
        else:
            name = f"flip_{kind.replace('-', '_')}"
            size = len(x) if self._graphs.is_affine else max(1, NEIGHBOURS // self._n**2)
            parts = [
                self._call(name, theta, x[i : i + size], shares[i : i + size])
                for i in range(0, len(x), size)
            ]
            loss, *slopes = [sum(terms) for terms in zip(*parts, strict=True)]
        return float(loss), self._named(theta, slopes)

    def _rows(self, x):
        """Rows as the formulas take them, checked."""
        x = np.asarray(x.toarray() if issparse(x) else x)
        shape = self._block.shape
        if x.ndim == 0 or x.shape[1:] not in (shape, (self._n,)) or not len(x):
            wanted = ", ".join(map(str, ("N", *shape)))
            raise ValueError(f"x must have shape ({wanted}) with N above 0, got {x.shape}")
        low, high = self._range
        if not (x.min() >= low and x.max() <= high):  # NaN, too
            raise ValueError(f"x must be from {low} to {high}, got {x.min()} to {x.max()}")
        return np.ascontiguousarray(x.reshape(-1, *shape), self._graphs.dtype)

    def _call(self, name, theta, x, *arrays):
        rows = len(x) * (self._n if name.startswith("flip") else 1)
        return self._graphs.call(name, rows, x, *arrays, *self._parameters.all(theta))

    def _named(self, theta, values):
        """Values of the learned parameters by name, in the dtypes of theta."""
        pairs = zip(self._parameters.learned, values, strict=True)
        return {name: np.asarray(value, theta[name].dtype) for name, value in pairs}

    def _free_energy(self, theta, x, beta=1.0):
        energies = self._call("free_energy", theta, x, np.asarray(float(beta)))
        return np.broadcast_to(energies, len(x))

    def _slopes(self, theta, beta):
        if not beta > 0:
            raise ValueError(
                f"beta must be positive for real-valued units, got {beta}: without an energy they "
                "have no distribution; let the ladder start above 0"
            )
        values = np.asarray(float(beta)), *self._parameters.all(theta)
        return lambda x: self._graphs.call("value_and_slope", len(x), x, *values)

    def _step_size(self, beta):
        return self._step_sizes.setdefault(float(beta), StepSize(self._n))

    def _draw_hidden(self, theta, x, beta, rng):
        field = self._call("hidden_field", theta, x.astype(self._graphs.dtype))
        return draw_units(beta * field, self._hidden.domain, rng)

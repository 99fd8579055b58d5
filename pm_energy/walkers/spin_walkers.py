"""Walkers of a discrete Boltzmann field: all in one call of a kernel, from the uniform base."""

import numpy as np
from pytensor.graph.traversal import ancestors

from pm_energy.compile import ONCE, compile_function, evaluate_once, is_constant
from pm_energy.energy import single_block
from pm_energy.graph.sitewise import model_site_log_weights
from pm_energy.random_variable import EnergyRV, Whole
from pm_energy.walkers.base import Walkers
from pm_energy.walkers.choose_moves import moves_of

CHECKED = 8  # random states at which the density is compared with that of the model
AGREES = 1e-8  # to this fraction of the largest
_SEED = 1


class NotOneField(Exception):
    """A path that these walkers cannot follow; the message says why."""


class SpinWalkers(Walkers):
    """States of a discrete Boltzmann variable, tempered as a whole from the uniform distribution.

    The variable is the only free one of its model and its energy has numeric parameters. Other
    terms of the model (a likelihood, say) may look at it site by site if they are tempered, too.

    Parameters
    ----------
    path : Path
    size : int

    Raises
    ------
    NotOneField
        If the model or the path is another.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.paths import make_path
    >>> walkers = SpinWalkers(make_path(pme.Ising(lattice=(8, 8))), size=4)
    >>> rng = np.random.default_rng(0)
    >>> walkers.start(rng)
    >>> walkers.set_ladder([0.0, 0.2, 0.4, 1.0])
    >>> took = walkers.move(rng, levels=np.arange(4), n_sweeps=100)
    >>> float(walkers.log_ratio[3]) in (128.0, 120.0)  # minus the energy
    True
    """

    exact_base = True

    def __init__(self, path, size):
        self.path, self.size = path, size
        energy, weights, self._name = _read(path)
        self.moves = moves_of(energy, weights)
        self._offset = _offset(path, self.moves)
        self.road = self.moves.road
        self.ladder = np.array([0.0, 1.0])
        self.x = np.zeros((size, *self.moves.block.shape), self.moves.states.dtype)

    @property
    def log_ratio(self):
        """Minus the energy, with the other terms and what is constant in them."""
        return self._log_ratio

    def start(self, rng):
        """Put independent uniform states everywhere."""
        self._set(self.moves.draw(rng, self.size))

    def put(self, values):
        """Replace all states."""
        self._set(np.array(values[self._name], dtype=self.moves.states.dtype, order="C"))

    def _set(self, x):
        self.x, self.size = x, len(x)
        self._log_ratio = self.moves.log_ratio(x) + self._offset

    def set_ladder(self, betas):
        """Set the levels; nothing is tuned."""
        self.ladder = np.asarray(betas, dtype=float)

    def move(self, rng, levels, n_sweeps=1):
        """Sweep each walker; returns which fraction of its units is another afterwards."""
        before = self.x.copy()
        self.moves.sweep(rng, self.x, self.ladder[levels], n_sweeps)
        self._log_ratio = self.moves.log_ratio(self.x) + self._offset
        return (self.x != before).reshape(self.size, -1).mean(axis=1)

    def temper(self, rng, betas, replica, n_iterations, *, n_sweeps=1, thin=1, first=0):
        """Run parallel tempering of several ladders at once, swaps included.

        Parameters
        ----------
        rng : numpy.random.Generator
        betas : ndarray, shape (n_chains, n_levels)
            A ladder for each chain, in place of the walkers' own. ``n_chains * n_levels`` is the
            number of walkers, chain after chain.
        replica : ndarray of int, shape (n_chains, n_levels)
            Which walker of its chain, 0 to n_levels - 1, sits at each level; overwritten.
        n_iterations : int
        n_sweeps : int
            Sweeps between swaps.
        thin : int
            Every so manieth iteration is kept.
        first : int
            How many iterations were made before these: even and odd ones try different pairs.

        Returns
        -------
        Tempering

        Raises
        ------
        ValueError
            If there are not as many walkers as chains and levels say.
        """
        betas = np.asarray(betas, dtype=float)
        if betas.ndim != 2 or betas.size != self.size or replica.shape != betas.shape:
            raise ValueError(
                f"betas and replica must have shape (n_chains, n_levels) for {self.size} walkers, "
                f"got {betas.shape} and {replica.shape}"
            )
        run = self.moves.temper(
            rng, self.x, betas, replica, n_iterations, n_sweeps=n_sweeps, thin=thin, first=first
        )
        run.log_ratio += self._offset
        self._log_ratio = self.moves.log_ratio(self.x) + self._offset
        return run

    def adapt(self):
        """Nothing is tuned."""

    def freeze(self):
        """Nothing is tuned."""

    def take(self, source):
        """Copy states."""
        self.x, self._log_ratio = self.x[source], self._log_ratio[source]
        self.size = len(source)

    def values(self, which):
        """Return the states of some walkers."""
        return {self._name: self.x[which]}

    def state(self):
        """Everything that a later run needs."""
        return {"x": self.x.copy(), "ladder": self.ladder.copy()}

    def restore(self, state):
        """Go on from a state."""
        self.set_ladder(state["ladder"])
        self._set(state["x"].copy())


def _read(path):
    """The energy, its site-wise weights and the value variable's name; or why there are none."""
    model = path.model
    if len(model.free_RVs) != 1:
        raise NotOneField(f"the model has {len(model.free_RVs)} free variables")
    [rv], [value] = model.free_RVs, path.inputs
    if not isinstance(rv.owner.op, EnergyRV):
        raise NotOneField(f"{rv.name} is no Boltzmann variable")
    op = rv.owner.op
    params = op.dist_params(rv.owner)
    if value in ancestors([path.log_base]):
        raise NotOneField(f"the base of the path is not uniform in {rv.name}")
    normaliser = op.normaliser
    inner = normaliser.normaliser if isinstance(normaliser, Whole) else normaliser
    if inner == "pseudolikelihood":
        raise NotOneField(f"{rv.name} has a pseudolikelihood in place of its energy")
    if not is_constant(params):
        raise NotOneField(f"the parameters of {rv.name} are not numbers")
    energy = op.energy(evaluate_once(params) if params else [])
    block = single_block(energy)
    if block.domain.states is None:
        raise NotOneField(f"{rv.name} is continuous")
    if value.ndim != len(block.shape):
        raise NotOneField(f"{rv.name} is a batch of fields")
    weights, unproven = model_site_log_weights(model, rv, block.domain.states)
    if unproven:
        name, why = next(iter(unproven.items()))
        raise NotOneField(f"the term {name} is not site-wise: {why}")
    if weights is not None:
        [weights] = evaluate_once([weights])
        if not np.isfinite(weights).all():
            raise NotOneField("other terms forbid some states")
    return energy, weights, value.name


def _offset(path, moves):
    """What is constant in the path's log-ratio; the rest is compared with it."""
    x = moves.draw(np.random.default_rng(_SEED), CHECKED)
    evaluate = compile_function(path.inputs, path.log_ratio, mode=ONCE)
    wanted, found = np.array([float(evaluate(state)) for state in x]), moves.log_ratio(x)
    offset = wanted[0] - found[0]
    worst = np.abs(wanted - found - offset).max()
    if not worst <= AGREES * max(1.0, np.abs(wanted).max()):
        raise NotOneField(f"the log-density differs from that of the energy by {worst:.3g}")
    return offset

"""Persistent chains of which some are started anew: learning energies of real-valued units."""

from typing import ClassVar

import numpy as np

from pm_energy.training.likelihood import LikelihoodObjective
from pm_energy.validate import positive_int

STARTS = ("random", "data")


class ReplayBuffer(LikelihoodObjective):
    """Chains from a buffer, a few of them started anew at each update (Du & Mordatch 2019).

    More chains are kept than are moved at an update, so that a chain moves on while the parameters
    hardly change; fresh ones find modes that the old ones have not. Both cost something: chains
    that are young or have waited are not yet where the model is, so the fixed point is that of
    maximum likelihood only as ``reinit`` falls to zero, or ``n_steps`` is enough to get there from
    a start.

    Parameters
    ----------
    size : int
        Chains in the buffer.
    n_chains : int, optional
        Chains that an update moves; as many as there are rows in the batch by default.
    reinit : float
        Share of these that start anew, from 0 to 1.
    n_steps : int
        Of each moved chain.
    step_size : float, optional
        If given, Langevin steps of that size without correction, as in [1]_ and [2]_. They are
        *biased*: what is learned is the energy for which such chains, with this step size and this
        number of steps, look like the data, and not the maximum of the likelihood. By default the
        model's own sweeps, which are exact.
    start : {"random", "data"} or callable
        Where chains start: where the model starts them, or at rows of the batch; or
        ``start(model, theta, x, n, rng)``, which returns n chains.
    jumps : bool
        Whether an update first proposes to each chain that it start anew near a row of the batch,
        which is accepted so that its distribution stays what it is. Such chains cross between
        modes far apart and are exact. The model must be able to: models of scores.

    Raises
    ------
    ValueError
        If a number is out of its range, or there are to be exact jumps between biased steps.

    References
    ----------
    .. [1] Du & Mordatch (2019), "Implicit generation and modeling with energy-based models",
       NeurIPS.
    .. [2] Nijkamp, Hill, Zhu & Wu (2019), "Learning non-convergent non-persistent short-run MCMC
       toward energy-based model", NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.energy_model import EnergyModel
    >>> from pm_energy.training.replay import ReplayBuffer
    >>> model = EnergyModel(pme.DoubleWell(barrier=1.0), learn="tilt")
    >>> x, rng = np.full((50, 1), -1.0), np.random.default_rng(0)
    >>> objective = ReplayBuffer(size=200, n_steps=50)
    >>> gradient, info = objective.gradient(model, model.initial(), x, None, rng)
    >>> bool(gradient["tilt"] < 0)  # more tilt makes the left well, where the data are, deeper
    True
    """

    _memory: ClassVar[tuple[str, ...]] = ("offsets", "buffer")

    def __init__(
        self,
        size=1000,
        n_chains=None,
        *,
        reinit=0.05,
        n_steps=20,
        step_size=None,
        start="random",
        jumps=False,
    ):
        super().__init__()
        self.size = positive_int("size", size)
        self.n_chains = None if n_chains is None else positive_int("n_chains", n_chains)
        if self.n_chains is not None and self.n_chains > self.size:
            raise ValueError(f"n_chains must be at most size = {size}, got {n_chains}")
        if not 0 <= reinit <= 1:
            raise ValueError(f"reinit must be from 0 to 1, got {reinit!r}")
        if step_size is not None and not 0 < step_size < np.inf:
            raise ValueError(f"step_size must be a positive number, got {step_size!r}")
        if not callable(start) and start not in STARTS:
            raise ValueError(f"start must be one of {STARTS}, or callable, got {start!r}")
        if jumps and step_size is not None:
            raise ValueError("jumps are exact and steps of a given step_size are not: use one")
        self.reinit, self.step_size, self.start_at = float(reinit), step_size, start
        self.n_steps, self.jumps = positive_int("n_steps", n_steps), jumps
        self.buffer = None

    def model_statistics(self, model, theta, x, rng):
        """Statistics of the chains that moved, and their mean energy, which makes a gap."""
        if self.buffer is None or len(model.visible(self.buffer)) != self.size:
            self.buffer = self._fresh(model, theta, x, self.size, rng)
        n = min(self.size, x.shape[0]) if self.n_chains is None else self.n_chains
        rows = rng.choice(self.size, n, replace=False)
        chains = {name: part[rows] for name, part in self.buffer.items()}
        anew = np.flatnonzero(rng.random(n) < self.reinit)
        if anew.size:
            for name, part in self._fresh(model, theta, x, anew.size, rng).items():
                chains[name][anew] = part
        if self.jumps:
            model.jump(theta, chains, x, rng)
        if self.step_size is None:
            model.sweep(theta, chains, rng, self.n_steps)
        else:
            model.langevin(theta, chains, rng, self.n_steps, self.step_size)
        for name, part in chains.items():
            self.buffer[name][rows] = part
        energies = model.free_energy(theta, model.visible(chains))
        return model.chain_statistics(theta, chains), {"model_energy": float(energies.mean())}

    def _fresh(self, model, theta, x, n, rng):
        if callable(self.start_at):
            return self.start_at(model, theta, x, n, rng)
        if self.start_at == "random":
            return model.start(theta, rng, n=n)
        return model.start(theta, rng, x=x[rng.integers(x.shape[0], size=n)])

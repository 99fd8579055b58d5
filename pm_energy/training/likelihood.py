"""Objectives that climb the likelihood: data statistics against model statistics.

They differ in where the model's statistics come from: from all states, from short chains started
at the data, from chains that persist, or from persistent chains over a ladder of temperatures.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from pm_energy.training.model import difference, negative_phase
from pm_energy.validate import numeric_array, positive_int


class LikelihoodObjective(ABC):
    """Gradient of the mean negative log-likelihood, the model's part of it estimated.

    Parameters
    ----------
    centred : bool
        Follow the gradient for units measured from their means under data and model, which does
        not change when a unit is recoded [1]_. The model must be able to: RBMs and pair models.

    References
    ----------
    .. [1] Montavon & Mueller (2012), in Neural Networks: Tricks of the Trade, 621-637;
       Melchior, Fischer & Wiskott (2016), JMLR 17, 1-61.
    """

    _memory: ClassVar[tuple[str, ...]] = ("offsets",)  # what is carried from batch to batch

    def __init__(self, *, centred=False):
        self.centred = centred
        self.offsets = None

    def state(self):
        """Return what the objective carries from batch to batch, by name."""
        return {name: getattr(self, name) for name in self._memory}

    def restore(self, state):
        """Go on from what :meth:`state` returned."""
        for name in self._memory:
            setattr(self, name, state[name])

    @abstractmethod
    def model_statistics(self, model, theta, x, rng):
        """Return the model's statistics and what else was found, a dict of floats."""

    def gradient(self, model, theta, x, weights, rng):
        """Return the gradient of the loss, and a dict of floats worth watching.

        Parameters
        ----------
        model : Model
        theta : dict of str to array
        x : array, shape (N, n)
        weights : array, shape (N,), or None
        rng : numpy.random.Generator
        """
        data = model.statistics(theta, x, weights)
        negative, info = self.model_statistics(model, theta, x, rng)
        gradient = difference(negative, data)
        if self.centred:
            self.offsets = model.offsets(data, negative, self.offsets)
            gradient = model.centre(gradient, self.offsets)
        if "log_z" in info:
            energies = model.free_energy(theta, x)
            info["log_likelihood"] = -float(np.average(energies, weights=weights)) - info["log_z"]
        if "model_energy" in info:
            energies = model.free_energy(theta, x)
            info["energy_gap"] = float(np.average(energies, weights=weights))
            info["energy_gap"] -= info.pop("model_energy")
        return gradient, info


class ExactLikelihood(LikelihoodObjective):
    """Maximum likelihood, the model's statistics summed over all states.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.likelihood import ExactLikelihood
    >>> from pm_energy.training.rbm_model import RBMModel
    >>> model = RBMModel(2, 1)
    >>> theta = {"weights": np.zeros((2, 1)), "visible_bias": np.zeros(2),
    ...          "hidden_bias": np.zeros(1)}
    >>> rng = np.random.default_rng(0)
    >>> gradient, info = ExactLikelihood().gradient(model, theta, np.array([[1.0, 0.0]]), None, rng)
    >>> gradient["visible_bias"].round(3), round(info["log_likelihood"], 4)
    (array([-0.5,  0.5]), -1.3863)
    """

    deterministic = True

    def model_statistics(self, model, theta, x, rng):
        """Statistics of the model, and ``log_z``."""
        log_z, statistics = model.exact(theta)
        return statistics, {"log_z": log_z}


class ContrastiveDivergence(LikelihoodObjective):
    """Contrastive divergence: chains of a few sweeps from the data (Hinton 2002).

    Its fixed point is not that of the likelihood, but is near it where chains mix in that many
    sweeps.

    Parameters
    ----------
    n_sweeps : int
    centred : bool

    References
    ----------
    .. [1] Hinton (2002), Neural Computation 14, 1771-1800.
    """

    def __init__(self, n_sweeps=1, *, centred=False):
        super().__init__(centred=centred)
        self.n_sweeps = positive_int("n_sweeps", n_sweeps)

    def model_statistics(self, model, theta, x, rng):
        """Statistics of the chains after their sweeps."""
        chains = model.start(theta, rng, x=x)
        return negative_phase(model, theta, chains, rng, self.n_sweeps), {}


class PersistentCD(LikelihoodObjective):
    """Persistent contrastive divergence: the chains go on from batch to batch (Tieleman 2008).

    Also called stochastic maximum likelihood; as the learning rate falls its fixed point is that of
    the likelihood (Younes 1999).

    Parameters
    ----------
    n_chains : int
    n_sweeps : int
        Between two updates.
    centred : bool

    References
    ----------
    .. [1] Tieleman (2008), ICML, 1064-1071.
    .. [2] Younes (1999), Stochastics and Stochastic Reports 65, 177-228.
    """

    _memory: ClassVar[tuple[str, ...]] = ("offsets", "chains")

    def __init__(self, n_chains=100, n_sweeps=1, *, centred=False):
        super().__init__(centred=centred)
        self.n_chains = positive_int("n_chains", n_chains)
        self.n_sweeps = positive_int("n_sweeps", n_sweeps)
        self.chains = None

    def model_statistics(self, model, theta, x, rng):
        """Statistics of the chains after some more sweeps."""
        if self.chains is None:
            self.chains = model.start(theta, rng, n=self.n_chains)
        return negative_phase(model, theta, self.chains, rng, self.n_sweeps), {}


class TemperedCD(LikelihoodObjective):
    """Persistent chains at a ladder of temperatures that exchange states (Desjardins et al. 2010).

    Hot chains cross from mode to mode, so those at beta = 1 do not stay in the modes where they
    started. All units are tempered together: level k has the density ``exp(-beta_k E)``.

    Parameters
    ----------
    n_chains : int
        At each level.
    betas : array_like, shape (n_levels,)
        Increasing from 0 or more to 1.
    n_sweeps : int
        Between two exchanges and updates.
    centred : bool

    Raises
    ------
    ValueError
        If betas do not increase to 1.

    References
    ----------
    .. [1] Desjardins, Courville, Bengio, Vincent & Delalleau (2010), AISTATS, 145-152.
    """

    _memory: ClassVar[tuple[str, ...]] = ("offsets", "levels", "parity")

    def __init__(self, n_chains=100, betas=None, n_sweeps=1, *, centred=False):
        super().__init__(centred=centred)
        betas = np.linspace(0, 1, 10) if betas is None else numeric_array("betas", betas)
        if betas.ndim != 1 or betas.size < 2 or betas[0] < 0 or betas[-1] != 1:
            raise ValueError(f"betas must be two or more numbers from 0 or above to 1, got {betas}")
        if np.any(np.diff(betas) <= 0):
            raise ValueError(f"betas must increase, got {betas}")
        self.n_chains = positive_int("n_chains", n_chains)
        self.n_sweeps = positive_int("n_sweeps", n_sweeps)
        self.betas = betas.astype(float)
        self.levels = None
        self.parity = 0

    def model_statistics(self, model, theta, x, rng):
        """Statistics of the chains at beta = 1, and how many swaps were accepted."""
        if self.levels is None:
            self.levels = [model.start(theta, rng, n=self.n_chains) for _ in self.betas]
        for beta, chains in zip(self.betas, self.levels, strict=True):
            model.sweep(theta, chains, rng, self.n_sweeps, beta)
        energies = [model.chain_energy(theta, chains) for chains in self.levels]
        pairs = range(self.parity, len(self.betas) - 1, 2)  # even and odd pairs in turn
        self.parity = 1 - self.parity
        accepted = [self._swap(k, energies, rng) for k in pairs]
        info = {"swap_acceptance": float(np.mean(accepted))} if accepted else {}
        return model.chain_statistics(theta, self.levels[-1]), info

    def _swap(self, k, energies, rng):
        """Exchange states between levels k and k + 1, chain by chain."""
        gap = (self.betas[k + 1] - self.betas[k]) * (energies[k + 1] - energies[k])
        chosen = np.log(rng.random(gap.size)) < gap
        low, high = self.levels[k], self.levels[k + 1]
        for name in low:
            kept = low[name][chosen]  # a copy: the two arrays must not alias
            low[name][chosen] = high[name][chosen]
            high[name][chosen] = kept
        return chosen.mean()

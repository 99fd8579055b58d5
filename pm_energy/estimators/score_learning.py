"""Learning of estimators whose energy is a network of the data's own units."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from pm_energy.energies.neural import ACTIVATIONS, NeuralEnergy
from pm_energy.estimators.base import generator
from pm_energy.estimators.learning import raise_divergence
from pm_energy.training.progress import Progress
from pm_energy.training.recipe import SCHEDULES, make_schedule
from pm_energy.training.score_adam import Adam
from pm_energy.training.score_fit import BLOCK, fit_steps
from pm_energy.training.score_network import NetworkModel
from pm_energy.training.score_spectral import SpectralLimit

NETWORK: dict = {  # constraints of the parameters that estimators of this kind have in common
    "hidden": ["array-like"],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "n_iter": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "schedule": [StrOptions(set(SCHEDULES))],
    "spectral_norm": [Interval(Real, 0, None, closed="neither"), None],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}


class ScoreLearning:
    """Mixin of estimators that learn a network energy by updates on rows.

    They say by ``_blur(x)`` what noise the learned density has beside the data, by ``_length()``
    how many updates a fit has, and by ``_phases(first, n_steps)`` the objectives of so many
    updates after the first ones, each with how many of them it gets.
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Fit a new network to the rows of X (n_samples, n_features).

        Raises
        ------
        ValueError
            If X is not finite, or columns are constant where there is no noise to make a density
            of them.
        FloatingPointError
            If learning diverges. The estimator has the last good parameters.
        """
        return self._learn(X, online=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Learn some more: about one pass over X, at a constant rate.

        It goes on with the network, the moments of Adam, chains and random numbers of the call
        before; also of :meth:`fit`. The first call begins, and chooses location, scale and noise by
        its rows.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As :meth:`fit`; and if X has another number of features than before.
        FloatingPointError
            As :meth:`fit`. The next call goes on from the last good parameters, with new moments
            and chains.
        """
        return self._learn(X, online=True)

    def _learn(self, X, online):
        goes_on = online and hasattr(self, "coefs_")
        x = self._rows(X, reset=not goes_on)
        n_steps = -(-len(x) // self.batch_size) if online else self._length()
        schedule = "constant" if online else self.schedule
        if goes_on:
            energy, state, history, first = self.energy_, self._state, self.history_, self.n_iter_
        else:
            state, history, first = {"rng": generator(self.random_state)}, {}, 0
            energy = self._initial(x, state["rng"])
        model, rng = NetworkModel(energy, self._levels()), state["rng"]
        model.retune(state.get("tuning", {}))
        theta, rows = model.initial("float32"), x.astype(np.float32)
        phases = self._phases(first, n_steps)
        n_blocks = sum(-(-n // BLOCK) for _, n in phases)
        with Progress(f"fit {type(self).__name__}", n_blocks, self.verbose) as progress:
            for objective, n in phases:
                updates = Adam(make_schedule(schedule, self.learning_rate, n))
                if self.spectral_norm is not None:
                    updates = SpectralLimit(updates, self.spectral_norm)
                # of another optimiser, since spectral_norm was given or taken away, they are no use
                if online and state.get("updates", {}).keys() == updates.state().keys():
                    updates.restore(state["updates"])
                if state.get("memory"):
                    objective.restore(state["memory"])
                fitted = fit_steps(
                    model, theta, objective, rows, updates, rng,
                    batch_size=self.batch_size, n_steps=n, history=history, progress=progress,
                )  # fmt: skip
                theta, history, first = fitted.theta, fitted.history, first + fitted.n_epochs
                state = {"rng": rng}
                if fitted.failure:  # its moments and chains are no use
                    break
                memory = objective.state() if hasattr(objective, "state") else {}
                state |= {"updates": updates.state(), "memory": memory, "tuning": model.tuning()}
        self._state, self.history_, self.n_iter_ = state, history, first
        learned = model.energy(theta)
        self.coefs_, self.intercepts_ = map(list, (learned.weights, learned.biases))
        self._log_partition = None
        raise_divergence(
            fitted.failure and f"{fitted.failure}; the parameters are those of step {first}",
            "Lower learning_rate, or set spectral_norm",
        )
        return self

    def _initial(self, x, rng):
        self._seed = int(rng.integers(2**31))
        blur = self._blur(x)
        self.location_, self.scale_ = x.mean(axis=0), np.sqrt(x.var(axis=0) + blur**2)
        return NeuralEnergy.initial(
            rng,
            x.shape[1],
            tuple(self.hidden),
            activation=self.activation,
            **self._place(),
        )

    def _length(self):
        return self.n_iter

    def _rows(self, X, reset=False):
        least = 2 if reset else 1
        return validate_data(self, X, dtype=np.float64, reset=reset, ensure_min_samples=least)


def refuse_constant(x):
    """Raise a ValueError that names the columns of x that have no density."""
    constant = np.flatnonzero(x.std(axis=0) == 0)
    if constant.size:
        raise ValueError(
            f"columns {constant.tolist()} of X are constant and have no density: leave them out, "
            "or use ScoreMatching with a sigma, which learns them with noise"
        )

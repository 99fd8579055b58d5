"""What can be asked of a learned network energy, whatever its objective was."""

import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from pm_energy.energies.neural import ACTIVATIONS, NeuralEnergy
from pm_energy.estimators.base import generator
from pm_energy.training.progress import Progress
from pm_energy.training.recipe import SCHEDULES, make_schedule
from pm_energy.training.score_adam import Adam
from pm_energy.training.score_draws import annealed_draws, grid_log_partition
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
SAMPLED = "estimate log Z of more features from tempered draws of energy_: see the page on evidence"


def grid_is_possible(estimator):
    """Whether there are few enough features for log Z by quadrature."""
    n = getattr(estimator, "n_features_in_", 1)
    if n > 2:
        raise AttributeError(f"log Z by quadrature is for 1 or 2 features, got {n}: {SAMPLED}")
    return True


class ScoreQueries:
    """Mixin of estimators whose energy is a :class:`~pm_energy.energies.neural.NeuralEnergy`.

    They have ``coefs_``, ``intercepts_``, ``location_`` and ``scale_`` once fitted.
    """

    _dims: ClassVar[dict] = {"location_": ("visible",), "scale_": ("visible",)}
    _transient: ClassVar[tuple] = ("_log_partition",)

    @property
    def energy_(self):
        """The learned energy, a :class:`~pm_energy.energies.neural.NeuralEnergy`."""
        check_is_fitted(self)
        return NeuralEnergy(
            tuple(self.coefs_),
            tuple(self.intercepts_),
            activation=self.activation,
            location=self.location_,
            scale=self.scale_,
        )

    def score_field(self, X):
        """Return the score ``-dE/dx`` (n_samples, n_features) at the rows of X."""
        model, theta = self._model()
        return model.score(theta, self._rows(X))

    def sample(self, n_samples=1, random_state=None, *, n_steps=200):
        """Draw from the learned density, shape (n_samples, n_features).

        A population of at least 512 is annealed from a normal distribution to the energy, so that
        modes far apart get their shares; its moves are Metropolis-adjusted Langevin steps.

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or None
        n_steps : int
            Moves of each member. Exact as these and the population grow.
        """
        model, theta = self._model()
        for name, value in (("n_samples", n_samples), ("n_steps", n_steps)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        return annealed_draws(
            lambda x: model.value_and_slope(theta, x),
            self.location_,
            1.5 * self.scale_,
            generator(random_state),
            int(n_samples),
            int(n_steps),
        )

    @property
    def log_partition_(self):
        """Log Z of ``energy_`` by quadrature on a grid; of 1 or 2 features only."""
        grid_is_possible(self)
        model, theta = self._model()
        if getattr(self, "_log_partition", None) is None:  # a cache that no file keeps
            self._log_partition = grid_log_partition(
                lambda x: model.value_and_slope(theta, x)[0], self.location_, self.scale_
            )
        return self._log_partition

    @available_if(grid_is_possible)
    def score_samples(self, X):
        """Return the log-density (n_samples,) at the rows of X, log Z by quadrature on a grid.

        There only are of 1 or 2 features.
        """
        model, theta = self._model()
        return -model.value_and_slope(theta, self._rows(X))[0] - self.log_partition_

    @available_if(grid_is_possible)
    def score(self, X, y=None):
        """Return the mean log-density of the rows of X; see :meth:`score_samples`."""
        return float(self.score_samples(X).mean())

    def to_datatree(self):
        """Return what was learned, as of :class:`~pm_energy.estimators.base.EnergyEstimator`.

        Layers are ``coef_0``, ``intercept_0``, and so on.
        """
        tree = super().to_datatree()
        layers = {}
        for i, coef in enumerate(self.coefs_):
            layers[f"coef_{i}"] = (f"layer_{i}", f"layer_{i + 1}")[: coef.ndim], coef
        for i, intercept in enumerate(self.intercepts_):
            layers[f"intercept_{i}"] = (f"layer_{i + 1}",), intercept
        tree["parameters"] = tree["parameters"].to_dataset().assign(layers)
        return tree

    def _rows(self, X, reset=False):
        least = 2 if reset else 1
        return validate_data(self, X, dtype=np.float64, reset=reset, ensure_min_samples=least)

    def _refuse_constant(self, x):
        constant = np.flatnonzero(x.std(axis=0) == 0)
        if constant.size:
            raise ValueError(
                f"columns {constant.tolist()} of X are constant and have no density: leave them "
                "out, or use ScoreMatching with a sigma, which learns them with noise"
            )

    def _model(self):
        model = NetworkModel(self.energy_)
        return model, model.initial()

    def _learn(self, x, rng, blur, phases):
        """Fit a new network to rows in phases, each an objective and a number of steps.

        ``phases(location, scale)`` says them; ``blur`` is the noise that the learned density has
        beside the data.
        """
        self.location_, self.scale_ = x.mean(axis=0), np.sqrt(x.var(axis=0) + blur**2)
        start = NeuralEnergy.initial(
            rng,
            x.shape[1],
            tuple(self.hidden),
            activation=self.activation,
            location=self.location_,
            scale=self.scale_,
        )
        model = NetworkModel(start)
        theta, rows = model.initial("float32"), x.astype(np.float32)
        phases = phases(self.location_, self.scale_)
        losses, self.n_iter_ = [], 0
        n_blocks = sum(-(-n_steps // BLOCK) for _, n_steps in phases)
        with Progress(f"fit {type(self).__name__}", n_blocks, self.verbose) as progress:
            for objective, n_steps in phases:
                rate = make_schedule(self.schedule, self.learning_rate, n_steps)
                updates = Adam(rate)
                if self.spectral_norm is not None:
                    updates = SpectralLimit(updates, self.spectral_norm)
                fitted = fit_steps(
                    model, theta, objective, rows, updates, rng,
                    batch_size=self.batch_size, n_steps=n_steps, progress=progress,
                )  # fmt: skip
                theta = fitted.theta
                losses.append(fitted.history["loss"])
                self.n_iter_ += fitted.n_epochs
                if fitted.failure:
                    break
        if fitted.failure:
            warnings.warn(
                f"learning diverged: {fitted.failure}. The parameters are those of step "
                f"{self.n_iter_}. Lower learning_rate, or set spectral_norm",
                ConvergenceWarning,
                stacklevel=4,  # where fit was called
            )
        self.history_ = {"loss": np.concatenate(losses)}
        learned = model.energy(theta)
        self.coefs_, self.intercepts_ = map(list, (learned.weights, learned.biases))
        self._log_partition = None
        return self

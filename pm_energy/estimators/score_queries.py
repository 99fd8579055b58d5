"""What can be asked of a learned network energy, whatever its objective was."""

from functools import partial
from numbers import Integral
from typing import ClassVar

from sklearn.utils.validation import check_is_fitted

from pm_energy.energies.neural import NeuralEnergy
from pm_energy.estimators.base import generator
from pm_energy.partition.result import LogPartition
from pm_energy.training.score_draws import annealed_draws, grid_log_partition
from pm_energy.training.score_levels import level_draws
from pm_energy.training.score_network import NetworkModel
from pm_energy.training.score_partition import annealed_log_partition
from pm_energy.validate import positive_int

BROADER = 1.5  # than the data: where annealing starts
CHAINS = 500


class ScoreQueries:
    """Mixin of estimators whose energy is a :class:`~pm_energy.energies.neural.NeuralEnergy`.

    They have ``coefs_``, ``intercepts_``, ``location_`` and ``scale_`` once fitted, and may say by
    ``_levels()`` which levels of noise the network knows of.
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
            **self._place(),
        )

    def score_field(self, X):
        """Return the score ``-dE/dx`` (n_samples, n_features) at the rows of X."""
        model, theta = self._model()
        return model.score(theta, self._rows(X))

    def sample(self, n_samples=1, random_state=None, *, n_steps=200):
        """Draw from the learned density, shape (n_samples, n_features).

        A population of at least 512 is annealed from a normal distribution to the energy, so that
        modes far apart get their shares; its moves are Metropolis-adjusted Langevin steps. Where
        the network knows of levels of noise, it is noise that falls on the way.

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
        energies, levels = partial(model.value_and_slope, theta), self._levels()
        rng, n, n_steps = generator(random_state), int(n_samples), int(n_steps)
        if levels is not None:
            return level_draws(energies, levels, self.location_, self.scale_, rng, n, n_steps)
        return annealed_draws(energies, self.location_, BROADER * self.scale_, rng, n, n_steps)

    def log_partition(self, n_chains=None, n_betas=200, *, random_state=None):
        """Estimate log Z of ``energy_``.

        Parameters
        ----------
        n_chains : int, optional
            Of annealed importance sampling from a normal distribution half as broad again as the
            data. By default a grid is summed for 1 or 2 features, and there are 500 for more.
        n_betas : int
            Inverse temperatures of the annealing.
        random_state : int, RandomState or None

        Returns
        -------
        LogPartition
            Its ``mcse`` is 0 by a grid, whose error is far below that of any use.

        Warns
        -----
        EvidenceWarning
            If annealing back gives another value, or the standard error is above 0.3.
        """
        model, theta = self._model()
        if n_chains is None and self.n_features_in_ <= 2:
            value = grid_log_partition(
                lambda x: model.value_and_slope(theta, x)[0], self.location_, self.scale_
            )
            return LogPartition(value, 0.0, value, value, "quadrature")
        return annealed_log_partition(
            lambda x: model.value_and_slope(theta, x),
            self.location_,
            BROADER * self.scale_,
            generator(random_state),
            positive_int("n_chains", CHAINS if n_chains is None else n_chains),
            positive_int("n_betas", n_betas),
        )

    @property
    def log_partition_(self):
        """Log Z of ``energy_``, a float, as :meth:`log_partition` finds it by default."""
        return self._known_partition().value

    @property
    def log_partition_error_(self):
        """Standard error of ``log_partition_``: 0 by a grid, for 1 or 2 features."""
        return self._known_partition().mcse

    def score_samples(self, X):
        """Return the log-density (n_samples,) at the rows of X, as good as ``log_partition_``."""
        model, theta = self._model()
        return -model.value_and_slope(theta, self._rows(X))[0] - self.log_partition_

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

    def _known_partition(self):
        check_is_fitted(self)
        if getattr(self, "_log_partition", None) is None:  # a cache that no file keeps
            self._log_partition = self.log_partition(random_state=self._seed)
        return self._log_partition

    def _model(self):
        model = NetworkModel(self.energy_, self._levels())
        return model, model.initial()

    def _levels(self):
        """The NoiseRange that the network knows of: none, if an estimator does not say."""

    def _place(self):
        """Where units have their centre, how long each is, and what the network is told."""
        place = {"location": self.location_, "scale": self.scale_}
        levels = self._levels()
        return place if levels is None else levels.place(**place, sigma=levels.low)

"""Learning of estimators whose network learns from noisy data."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import validate_data

from pm_energy.estimators.base import generator
from pm_energy.estimators.learning import raise_divergence
from pm_energy.estimators.noise_learning import (
    encode_labels,
    fitted_encoder,
    largest_distance,
    learn_network,
    read_classes,
    scales,
)
from pm_energy.estimators.noise_variance import learn_variance
from pm_energy.kernels.mlp_activations import ACTIVATIONS
from pm_energy.training.regression import BACKENDS

POSITIVE = Interval(Integral, 1, None, closed="left")
NETWORK: dict = {  # constraints of the parameters that these estimators have in common
    "hidden": ["array-like"],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "residual": ["boolean"],
    "time_features": [Interval(Integral, 2, None, closed="left")],
    "scaling": [StrOptions({"features", "common"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "batch_size": [POSITIVE],
    "n_iter": [POSITIVE],
    "ema": [Interval(Real, 0, 1, closed="left")],
    "backend": [StrOptions(set(BACKENDS))],
    "encoder": [HasMethods(["fit", "transform", "inverse_transform"]), None],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}
LEAST = 0.01  # noise, in units of the data's deviation


class NoiseMixin:
    """Mixin of estimators of a network that learns from data with noise of many levels.

    They say what is learned by ``_path()``: a noise, a prediction and a coupling. Once fitted they
    have ``parameters_``, ``mean_``, ``scale_``, and ``classes_`` if there were labels.
    """

    def fit(self, X, y=None):
        """Learn a network from the rows of X, with labels if there are any.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        y : array_like, shape (n_samples,), optional
            Labels of classes, for draws that have one. A tenth of the rows are learned from
            without theirs, so that what has no label is learned, too, if less well: for scores and
            densities of rows whose labels are not known leave them out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is not finite, y is not made of classes, or a parameter is out of range.
        FloatingPointError
            If the loss is not finite at some step. The estimator has the last good parameters.
        """
        self._validate_params()
        return self._learn(X, y, None, False, self.n_iter)

    def partial_fit(self, X, y=None, classes=None):
        """Learn some more: about one pass over X, at a constant rate.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        y : array_like, shape (n_samples,), optional
        classes : array_like, optional
            All labels that will ever come, at the first call; by default those of y.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As :meth:`fit`; and if a label is none of ``classes_``.
        """
        self._validate_params()
        return self._learn(X, y, classes, hasattr(self, "parameters_"), None)

    def _learn(self, X, y, classes, goes_on, n_steps):
        X = validate_data(
            self, X, dtype=(np.float64, np.float32), reset=not goes_on,
            ensure_min_samples=1 if goes_on else 2,
        )  # fmt: skip
        if goes_on:
            rng, start = self._state["rng"], self._state
            label = self._labels(y, len(X))
        else:
            rng, start = generator(self.random_state), None
            names = read_classes(y, classes)
            label = None if names is None else encode_labels(y, names, len(X))
            self._begin(X, names)
        codes = X if self._encoder() is None else self._encoder().transform(X)
        if not goes_on:
            self.mean_, self.scale_ = scales(codes, self.scaling)
        x = (codes.astype(np.float64) - self.mean_) / self.scale_
        if not goes_on and self._made["noise"] == "ve":
            self.sigmas_ = self._noise_range(x, rng)
        self.parameters_, self._state, losses, failure = learn_network(
            self, self._network(), self.schedule_, self._made["kind"], x, label, start, rng, n_steps
        )
        self.history_ = {"loss": losses}
        self.n_iter_ = len(losses)
        raise_divergence(failure)
        if self._made.get("variance"):
            raise_divergence(self._learn_variance(x, label, rng, n_steps))
        return self

    def _learn_variance(self, x, label, rng, n_steps):
        """Learn what the network leaves open; return what went wrong, if anything."""
        self.variance_parameters_, self._variance_state, losses, failure = learn_variance(
            self, self._network(), self.schedule_, self.parameters_, x, label,
            getattr(self, "_variance_state", None), rng, n_steps,
        )  # fmt: skip
        # curves of one length, whichever was cut short
        lost = self.n_iter_ - len(losses)
        self.history_ = {
            "loss": np.pad(self.history_["loss"], (0, max(-lost, 0)), constant_values=np.nan),
            "variance_loss": np.pad(losses, (0, max(lost, 0)), constant_values=np.nan),
        }
        return failure

    def _begin(self, X, names):
        """Forget an earlier fit, and keep what the network is made of."""
        for name in (
            "classes_", "sigmas_", "encoder_", "parameters_", "variance_parameters_",
            "_variance_state",
        ):  # fmt: skip
            if hasattr(self, name):
                delattr(self, name)
        if names is not None:
            self.classes_ = names
        if self.encoder is not None:
            self.encoder_ = fitted_encoder(self.encoder, X)
        noise, kind, coupling = self._path()
        self._made = {
            "noise": noise,
            "kind": kind,
            "coupling": coupling,
            "hidden": [int(width) for width in self.hidden],
            "activation": self.activation,
            "residual": bool(self.residual),
            "time_features": int(self.time_features),
            "n_classes": 0 if names is None else len(names),
            "variance": bool(getattr(self, "learn_variance", False)),
            "dtype": X.dtype.name,
        }

    def _noise_range(self, x, rng):
        """Least and most noise of a path on which it explodes, in units of ``scale_``."""
        sigmas = getattr(self, "sigmas", "auto")
        if not isinstance(sigmas, str):
            sigmas = np.array(sigmas, float)
            if sigmas.shape != (2,) or not 0 < sigmas[0] < sigmas[1] < np.inf:
                raise ValueError(
                    f"sigmas must be 'auto' or a least and a larger noise, got {self.sigmas!r}"
                )
            return sigmas
        return np.array([LEAST, largest_distance(x, rng)])

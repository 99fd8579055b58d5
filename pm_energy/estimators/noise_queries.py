"""What can be asked of a network that learned from noisy data: draws, scores, densities."""

from typing import ClassVar

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from pm_energy.diffusion import guide, sample
from pm_energy.diffusion.predictions import predictor
from pm_energy.estimators.base import generator
from pm_energy.estimators.noise_density import flow_log_density
from pm_energy.estimators.noise_learning import (
    NOISES,
    encode_labels,
    make_network,
    read_time,
)
from pm_energy.networks import frozen
from pm_energy.validate import positive_int

NO_ENERGY = (
    "the network gives a score, which need not be the gradient of any energy: use score_field and "
    "score_samples, or learn an energy with ScoreMatching or EnergyMatching"
)
FEW = 8  # features, up to which the trace of a Jacobian is exact
PROBES = 16


def of_the_data(estimator):
    """Whether queries about X are answered, for ``available_if``."""
    if estimator.encoder is not None:
        raise AttributeError("with an encoder there is noise on codes only, not on X")
    return True


class NoiseQueries:
    """Mixin of estimators that have learned by :class:`NoiseMixin`.

    They say how draws are made by ``_sampling(label)``: a method, and what it takes.
    """

    _dims: ClassVar[dict[str, tuple[str, ...]]] = {
        "parameters_": ("parameter",),
        "variance_parameters_": ("parameter",),
        "mean_": ("feature",),
        "scale_": ("feature",),
        "classes_": ("class",),
    }

    @property
    def energy_(self):
        """There is none."""
        raise AttributeError(NO_ENERGY)

    @property
    def schedule_(self):
        """The path from data to noise, in units of ``scale_``."""
        check_is_fitted(self)
        noise = self._made["noise"]
        return NOISES[noise](*self.sigmas_) if noise == "ve" else NOISES[noise]()

    def sample(self, n_samples=1, y=None, random_state=None):
        """Draw rows.

        Parameters
        ----------
        n_samples : int
        y : label or array_like, shape (n_samples,), optional
            Which classes to draw from; by default from all as they come.
        random_state : int, RandomState or None

        Returns
        -------
        ndarray, shape (n_samples, n_features)
            Of the dtype of the data.

        Raises
        ------
        ValueError
            If a label is unknown, or the network has not learned any.
        """
        check_is_fitted(self)
        n = positive_int("n_samples", n_samples)
        label = self._labels(y, n)
        method, options = self._sampling(label)
        predict = self._predictor(label, getattr(self, "guidance", 1.0))
        with threadpool_limits(1, user_api="blas"):  # whose threads take longer over so little
            draws = sample(
                predict, self.schedule_, n, len(self.mean_), rng=generator(random_state),
                method=method, kind=self._made["kind"], progressbar=bool(self.verbose), **options,
            )  # fmt: skip
        x = draws * self.scale_ + self.mean_
        if self._encoder() is not None:
            x = self._encoder().inverse_transform(x)
        return x.astype(self._made["dtype"])

    @available_if(of_the_data)
    def score_field(self, X, t=None, y=None, *, sigma=None):
        """Return the score of the data with noise at the rows of X: the gradient of log p.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        t : float, optional
            Time, where the noise has ``sigma(t) / alpha(t)`` of ``schedule_``, in units of
            ``scale_``; by default the earliest, with the least noise.
        y : label or array_like, shape (n_samples,), optional
        sigma : float, optional
            The noise itself, in place of a time.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
            Per unit of X.
        """
        x, t = self._rows(X), read_time(self.schedule_, t, sigma)
        alpha = float(self.schedule_.alpha(t))
        return alpha / self.scale_ * self._predict_kind("score", alpha * x, t, y)

    @available_if(of_the_data)
    def denoise(self, X, sigma, y=None):
        r"""Return the mean of the data given X, by Tweedie's formula.

        .. math:: \langle x \mid \tilde x \rangle = \tilde x + \sigma^2 s(\tilde x)

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            With noise of standard deviation ``sigma * scale_``.
        sigma : float
        y : label or array_like, shape (n_samples,), optional

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        x, t = self._rows(X), read_time(self.schedule_, None, sigma)
        data = self._predict_kind("data", float(self.schedule_.alpha(t)) * x, t, y)
        return (data * self.scale_ + self.mean_).astype(self._made["dtype"])

    @available_if(of_the_data)
    def score_samples(self, X, y=None, *, probes="auto"):
        """Return the log-density of the rows of X, by the ODE of the probability flow.

        It is that of data with noise as small as the network knows, a hundredth of ``scale_`` or
        less, and the network's own if it has learned a true score. The trace in the ODE is exact
        up to 8 features; of more it is estimated from 16 random directions (Hutchinson), the same
        for all rows. Computed in float64.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        y : label or array_like, shape (n_samples,), optional
            For the density of a class.
        probes : int, None or "auto"
            Random directions; None is exact.

        Returns
        -------
        ndarray, shape (n_samples,)
        """
        x = self._rows(X)
        if probes == "auto":
            probes = None if x.shape[1] <= FEW else PROBES
        elif probes is not None:
            positive_int("probes", probes)
        label = self._labels(y, len(x))
        log_density = np.empty(len(x))
        for code in [None] if label is None else np.unique(label):
            rows = slice(None) if code is None else label == code
            with threadpool_limits(1, user_api="blas"):
                log_density[rows] = flow_log_density(
                    self._jacobian(code), self.schedule_, self._made["kind"], x[rows], probes=probes
                )
        return log_density - np.log(self.scale_).sum()

    @available_if(of_the_data)
    def score(self, X, y=None):
        """Return the mean log-density of the rows of X; y is used if labels were learned."""
        y = y if hasattr(self, "classes_") else None
        return float(self.score_samples(X, y).mean())

    def _jacobian(self, code):
        """What the network says in float64, and products of rows with its Jacobian."""
        network, schedule = self._network(), self.schedule_
        theta = network.unflatten(self.parameters_.astype(np.float64))

        def jacobian(x, t, v):
            by = 1 / np.hypot(*schedule.path(t))
            t = schedule.log_snr(t)
            out, _, product = network.vector_jacobian(theta, by * x, v, t=t, label=code)
            return out, by * product

        return jacobian

    def _predictor(self, label, guidance=1.0):
        """What the network says of points and a time, in units of ``scale_``."""
        network, schedule = self._network(), self.schedule_
        apply = frozen(network, network.unflatten(self.parameters_))

        def predict(x, t, label=label):
            return apply(x / np.hypot(*schedule.path(t)), schedule.log_snr(t), label)

        if label is None or guidance == 1:
            return predict
        return guide(predict, label, guidance, no_label=-1)

    def _predict_kind(self, kind, x, t, y):
        label, made = self._labels(y, len(x)), self._made["kind"]
        return predictor(self._predictor(label), made, kind, self.schedule_)(x, t)

    def _network(self):
        return make_network(self._made, len(self.mean_), self.schedule_)

    def _encoder(self):
        return getattr(self, "encoder_", None)

    def _labels(self, y, n):
        """Codes of labels, or none."""
        if y is None:
            return None
        if not hasattr(self, "classes_"):
            raise ValueError("y must be left out: there were no labels to learn from")
        return encode_labels(np.broadcast_to(y, n) if np.ndim(y) == 0 else y, self.classes_, n)

    def _rows(self, X):
        """Rows in units of ``scale_``, as float64."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return (X.astype(np.float64) - self.mean_) / self.scale_

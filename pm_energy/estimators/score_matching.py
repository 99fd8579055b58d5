"""A network energy learned by score matching, as a scikit-learn estimator."""

from dataclasses import replace
from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.noise_learning import largest_distance
from pm_energy.estimators.score_learning import NETWORK, ScoreLearning, refuse_constant
from pm_energy.estimators.score_queries import ScoreQueries
from pm_energy.training.noise_range import NoiseRange
from pm_energy.training.score_matching import OBJECTIVES, make_score_objective

SHARE = 0.1  # of the data's root mean square deviation that sigma is by default


def _denoises(estimator):
    if estimator.objective != "denoising":
        raise AttributeError(
            f"only objective='denoising' learns the score of data with noise, got "
            f"{estimator.objective!r}"
        )
    return True


def _has_levels(estimator):
    if estimator.objective != "denoising" or isinstance(estimator.sigma, Real | None):
        raise AttributeError(
            "one level of noise has been learned, or none: set sigma=(least, most) or 'auto'"
        )
    return True


class ScoreMatching(ScoreLearning, ScoreQueries, DensityMixin, EnergyEstimator):
    r"""Density of real-valued data: a network energy learned from its score, without log Z.

    The energy is a multilayer perceptron in a quadratic bowl, a
    :class:`~pm_energy.energies.neural.NeuralEnergy`. It can be used like any other:
    ``pme.Boltzmann("x", model.energy_)`` is a learned prior in a PyMC model.

    - "denoising": the score of the data smoothed by noise of standard deviation ``sigma`` [2]_,
      which is broader than the data's own, or at several levels of noise at once [4]_. The loss
      does not go to zero: see
      :class:`~pm_energy.training.score_matching.DenoisingScoreMatching`.
    - "explicit": Hyvarinen's objective with the exact Laplacian [1]_; for few features.
    - "sliced": the same along random directions [3]_.

    The last two aim at the density itself. They are without a lower bound for a network, which can
    dig a narrow well at each row: they want many rows, few steps, or ``spectral_norm``.

    Parameters
    ----------
    objective : {"denoising", "explicit", "sliced"}
    sigma : float, (float, float) or "auto", optional
        Of the noise, in the units of the data; a tenth of their root mean square deviation by
        default. Less is a sharper density that takes longer to learn. Of a least and a most noise
        all levels between them are learned by one network, and 'auto' is from the default to
        the largest distance between rows. Then modes far apart get their shares, if the most noise
        makes them one. It is more to learn: a third hidden layer and a higher rate pay.
    hidden : tuple of int
        Widths of the hidden layers.
    activation : {"silu", "softplus", "tanh"}
    n_iter : int
        Updates.
    batch_size : int
        Rows of an update, drawn with replacement; all of them if there are fewer.
    learning_rate : float
        Of Adam.
    schedule : {"linear", "cosine", "constant"}
        How the rate falls.
    spectral_norm : float, optional
        Largest singular value of hidden layers.
    verbose : int
        Whether to show progress.
    random_state : int, RandomState or None

    Attributes
    ----------
    energy_ : NeuralEnergy
        Of several levels that of the least noise; see :meth:`energy_at`.
    coefs_, intercepts_ : list of ndarray
        Weights and biases of the layers.
    location_, scale_ : ndarray, shape (n_features,)
        Mean of the data, and their deviation with the noise.
    sigma_ : float
        Noise of ``energy_``, of "denoising" only.
    sigmas_ : ndarray, shape (2,)
        Least and most noise, if several levels were learned; otherwise None.
    log_partition_, log_partition_error_ : float
        Log Z and its standard error: by quadrature for 1 or 2 features, with an error of 0, and by
        annealed importance sampling for more.
    history_ : dict
        ``loss``: its means over 50 updates at a time, and at the end of a call.
    n_iter_ : int
        Updates that were kept, of all calls since learning began.
    n_features_in_, feature_names_in_
        As scikit-learn's.

    References
    ----------
    .. [1] Hyvarinen (2005), Journal of Machine Learning Research 6, 695-709.
    .. [2] Vincent (2011), Neural Computation 23, 1661-1674.
    .. [3] Song, Garg, Shi & Ermon (2019), Sliced score matching, UAI.
    .. [4] Guth, Kadkhodaie & Simoncelli (2025), Learning normalized image densities via dual score
       matching, arXiv 2506.05310.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.score_matching import ScoreMatching
    >>> X = np.random.default_rng(0).normal(size=(1000, 1))
    >>> model = ScoreMatching(sigma=0.5, hidden=(16,), n_iter=200, random_state=0).fit(X)
    >>> bool(abs(model.score_field([[1.0]]) + 1 / (1 + 0.5**2)) < 0.1)  # of the smoothed normal
    True
    >>> bool(abs(model.denoise([[1.0]]) - 1 / (1 + 0.5**2)) < 0.1)  # mean of x given x + noise
    True

    All levels of noise tell that a fifth is on the left:

    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(np.where(rng.random((1000, 1)) < 0.2, -4.0, 4.0), 1.0)
    >>> model = ScoreMatching(
    ...     sigma=(0.2, 8.0), hidden=(32, 32), learning_rate=1e-2, n_iter=800, random_state=0
    ... ).fit(X)
    >>> bool(abs((model.sample(2000, random_state=0) < 0).mean() - 0.2) < 0.1)
    True
    >>> model.energy_at(2.0).scale.round(1)  # of the data with that noise
    array([3.9])
    """

    _dims: ClassVar[dict] = ScoreQueries._dims | {"sigmas_": ("end",)}
    _parameter_constraints: ClassVar[dict] = {
        "objective": [StrOptions(set(OBJECTIVES))],
        "sigma": [
            Interval(Real, 0, None, closed="neither"),
            "array-like",
            StrOptions({"auto"}),
            None,
        ],
        **NETWORK,
    }

    def __init__(
        self,
        objective="denoising",
        *,
        sigma=None,
        hidden=(64, 64),
        activation="silu",
        n_iter=2000,
        batch_size=128,
        learning_rate=3e-3,
        schedule="cosine",
        spectral_norm=None,
        verbose=0,
        random_state=None,
    ):
        self.objective = objective
        self.sigma = sigma
        self.hidden = hidden
        self.activation = activation
        self.n_iter = n_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.spectral_norm = spectral_norm
        self.verbose = verbose
        self.random_state = random_state

    @available_if(_has_levels)
    def energy_at(self, sigma):
        """Return the energy of the data with some noise, a NeuralEnergy.

        Parameters
        ----------
        sigma : float
            Between the ends of ``sigmas_``.

        Raises
        ------
        ValueError
            If it is not.
        """
        energy, levels = self.energy_, self._levels()
        return replace(energy, **levels.place(self.location_, self.scale_, self._known(sigma)))

    def score_field(self, X, sigma=None):
        """Return the score ``-dE/dx`` (n_samples, n_features) at the rows of X.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        sigma : float, optional
            Another noise than the least, if several levels were learned.
        """
        model, theta = self._model()
        return model.score(theta, self._rows(X), None if sigma is None else self._known(sigma))

    @available_if(_denoises)
    def denoise(self, X, sigma=None):
        r"""Return the mean of the data given the data with noise, by Tweedie's formula.

        .. math:: \langle x \mid \tilde x \rangle = \tilde x + \sigma^2 s(\tilde x)

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            With noise.
        sigma : float, optional
            Its standard deviation, if several levels were learned; ``sigma_`` by default.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        field = self.score_field(X, sigma)
        return self._rows(X) + (self.sigma_ if sigma is None else sigma) ** 2 * field

    def _known(self, sigma):
        """Return a noise, or raise a ValueError if the network has not learned it."""
        if self.sigmas_ is None:
            raise ValueError("sigma must be left out: one noise was learned, or none")
        low, high = self.sigmas_
        if not isinstance(sigma, Real) or not low <= sigma <= high:
            raise ValueError(f"sigma must be one number from {low} to {high}, got {sigma!r}")
        return float(sigma)

    def _blur(self, x):
        self.sigmas_ = None
        if self.objective != "denoising":
            refuse_constant(x)
            self.sigma_ = None
            return 0.0
        rms = float(np.sqrt(x.var(axis=0).mean()))
        if not isinstance(self.sigma, Real | None):
            self.sigmas_ = self._noise_range(x, rms)
            self.sigma_ = float(self.sigmas_[0])
        else:
            self.sigma_ = SHARE * rms if self.sigma is None else float(self.sigma)
        if not self.sigma_ > 0:
            raise ValueError("X is constant: give sigma, the noise that is to be learned")
        return self.sigma_

    def _noise_range(self, x, rms):
        if isinstance(self.sigma, str):
            rng = np.random.default_rng(self._seed)
            return np.array([SHARE * rms, rms * largest_distance(x / (rms or 1.0), rng)])
        sigmas = np.array(self.sigma, dtype=float)
        if sigmas.shape != (2,):
            raise ValueError(
                f"sigma must be a noise, a least and a larger one, or 'auto', got {self.sigma!r}"
            )
        NoiseRange(*sigmas)
        return sigmas

    def _levels(self):
        return None if self.sigmas_ is None else NoiseRange(*map(float, self.sigmas_))

    def _phases(self, first, n_steps):
        noise = self._levels() or self.sigma_
        return [(make_score_objective(self.objective, noise), n_steps)]

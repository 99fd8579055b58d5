"""A network energy learned by score matching, as a scikit-learn estimator."""

from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.score_learning import NETWORK, ScoreLearning, refuse_constant
from pm_energy.estimators.score_queries import ScoreQueries
from pm_energy.training.score_matching import OBJECTIVES, make_score_objective

SHARE = 0.1  # of the data's root mean square deviation that sigma is by default


def _denoises(estimator):
    if estimator.objective != "denoising":
        raise AttributeError(
            f"only objective='denoising' learns the score of data with noise, got "
            f"{estimator.objective!r}"
        )
    return True


class ScoreMatching(ScoreLearning, ScoreQueries, DensityMixin, EnergyEstimator):
    r"""Density of real-valued data: a network energy learned from its score, without log Z.

    The energy is a multilayer perceptron in a quadratic bowl, a
    :class:`~pm_energy.energies.neural.NeuralEnergy`. It can be used like any other:
    ``pme.Boltzmann("x", model.energy_)`` is a learned prior in a PyMC model.

    - "denoising": the score of the data smoothed by noise of standard deviation ``sigma`` [2]_,
      which is broader than the data's own. The loss does not go to zero: see
      :class:`~pm_energy.training.score_matching.DenoisingScoreMatching`.
    - "explicit": Hyvarinen's objective with the exact Laplacian [1]_; for few features.
    - "sliced": the same along random directions [3]_.

    The last two aim at the density itself. They are without a lower bound for a network, which can
    dig a narrow well at each row: they want many rows, few steps, or ``spectral_norm``.

    Parameters
    ----------
    objective : {"denoising", "explicit", "sliced"}
    sigma : float, optional
        Of the noise, in the units of the data; a tenth of their root mean square deviation by
        default. Less is a sharper density that takes longer to learn.
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
    coefs_, intercepts_ : list of ndarray
        Weights and biases of the layers.
    location_, scale_ : ndarray, shape (n_features,)
        Mean of the data, and their deviation with the noise.
    sigma_ : float
        Noise that was used, of "denoising" only.
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
    """

    _parameter_constraints: ClassVar[dict] = {
        "objective": [StrOptions(set(OBJECTIVES))],
        "sigma": [Interval(Real, 0, None, closed="neither"), None],
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

    def _blur(self, x):
        if self.objective != "denoising":
            refuse_constant(x)
            self.sigma_ = None
            return 0.0
        rms = float(np.sqrt(x.var(axis=0).mean()))
        self.sigma_ = SHARE * rms if self.sigma is None else float(self.sigma)
        if not self.sigma_ > 0:
            raise ValueError("X is constant: give sigma, the noise that is to be learned")
        return self.sigma_

    def _phases(self, first, n_steps):
        return [(make_score_objective(self.objective, self.sigma_), n_steps)]

    @available_if(_denoises)
    def denoise(self, X):
        r"""Return the mean of the data given the data with noise, by Tweedie's formula.

        .. math:: \langle x \mid \tilde x \rangle = \tilde x + \sigma^2 s(\tilde x)

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            With noise of standard deviation ``sigma_``.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        field = self.score_field(X)
        return self._rows(X) + self.sigma_**2 * field

"""Noise-conditional score network: scores of data with much noise and little, as an estimator."""

from numbers import Integral, Real
from typing import ClassVar

from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.noise_mixin import NETWORK, NoiseMixin
from pm_energy.estimators.noise_queries import NoiseQueries


class NoiseConditionalScore(NoiseMixin, NoiseQueries, DensityMixin, EnergyEstimator):
    r"""Noise-conditional score network [1]_, from which annealed Langevin dynamics draws.

    One network learns the score of data with noise of any size between two, each with the same
    importance. Where noise is large there is one mode, and chains find it; as it fades modes part,
    and each keeps its share. The last step is without noise, by Tweedie's formula.

    Langevin steps are not corrected, so draws are biased by their length. A
    :class:`~pm_energy.estimators.diffusion_model.DiffusionModel` with ``noise="ve"`` learns the
    same and draws in fewer steps.

    Parameters
    ----------
    sigmas : "auto" or (float, float)
        Least and most noise, in units of ``scale_``; by default 0.01, and the largest distance
        between rows.
    n_levels : int
        Of noise, in equal ratios, at which chains run. The network learns a thousand.
    steps_per_level : int
    step : float
        Of Langevin dynamics, in units of the squared noise.
    hidden, activation, residual, time_features, scaling, learning_rate, batch_size, n_iter
        As of :class:`~pm_energy.estimators.diffusion_model.DiffusionModel`.
    ema, backend, encoder
        As of :class:`~pm_energy.estimators.diffusion_model.DiffusionModel`.

    Attributes
    ----------
    sigmas_ : ndarray, shape (2,)
        Least and most noise, in units of ``scale_``.
    parameters_ : dict of str to ndarray
        And the others of :class:`~pm_energy.estimators.diffusion_model.DiffusionModel`.

    References
    ----------
    .. [1] Song & Ermon (2019), "Generative modeling by estimating gradients of the data
       distribution", NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.noise_conditional_score import NoiseConditionalScore
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(np.repeat([-4.0, 4.0], [300, 700])[:, None], 1.0)
    >>> model = NoiseConditionalScore(hidden=(32,), n_iter=1000, random_state=0).fit(X)
    >>> bool(abs((model.sample(1000, random_state=0) < 0).mean() - 0.3) < 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "sigmas": [StrOptions({"auto"}), "array-like"],
        "n_levels": [Interval(Integral, 2, None, closed="left")],
        "steps_per_level": [Interval(Integral, 1, None, closed="left")],
        "step": [Interval(Real, 0, 2, closed="neither")],
        **NETWORK,
    }

    def __init__(
        self,
        *,
        sigmas="auto",
        n_levels=20,
        steps_per_level=20,
        step=0.1,
        hidden=(128, 128),
        activation="silu",
        residual=False,
        time_features=16,
        scaling="features",
        learning_rate=5e-3,
        batch_size=256,
        n_iter=5000,
        ema=0.999,
        backend="numba",
        encoder=None,
        verbose=0,
        random_state=None,
    ):
        self.sigmas = sigmas
        self.n_levels = n_levels
        self.steps_per_level = steps_per_level
        self.step = step
        self.hidden = hidden
        self.activation = activation
        self.residual = residual
        self.time_features = time_features
        self.scaling = scaling
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.ema = ema
        self.backend = backend
        self.encoder = encoder
        self.verbose = verbose
        self.random_state = random_state

    def _path(self):
        return "ve", "noise", "independent"

    def _sampling(self, label):
        options = {"steps_per_level": self.steps_per_level, "step": self.step}
        return "langevin", {"n_steps": self.n_levels, **options}

"""A diffusion model: draws, scores and densities of data by a network that takes noise away."""

from numbers import Integral, Real
from typing import ClassVar

from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions

from pm_energy.diffusion import PREDICTIONS
from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.noise_mixin import NETWORK, NoiseMixin
from pm_energy.estimators.noise_queries import NoiseQueries
from pm_energy.estimators.noise_variance import VarianceQueries

SAMPLERS = ("ddpm", "ddim", "ode", "dpm++", "sde", "pc")


class DiffusionModel(NoiseMixin, VarianceQueries, NoiseQueries, DensityMixin, EnergyEstimator):
    r"""Diffusion model [1]_: a network learns to take noise away, of any size, and so to draw.

    Rows become :math:`\alpha(t) x_0 + \sigma(t) \epsilon`; a multilayer perceptron is told this and
    the signal-to-noise ratio and predicts what was there. From it draws are made, back from noise;
    so are the score of the data with any noise, their mean given noisy data, and by the ODE of the
    probability flow [2]_ a log-density, and by the variational bound of its chain [1]_ one from
    below.

    With labels draws can be asked for by class, and by a ``guidance`` above 1 made more typical of
    it [3]_, at the price of their variety.

    Data are centred and divided by ``scale_``; what is given back is in the units of X and has its
    dtype. The network learns and computes in float32, samplers and densities in float64.

    Parameters
    ----------
    parametrization : {"v", "noise", "data", "score", "velocity"}
        What the network predicts. All say the same; "v" [4]_ and "velocity" err least over all
        levels of noise, "data" where there is much of it. "noise" and "score" do not know the data
        where next to nothing is left of them: draws need "vp", "sub-vp" or "ve" for them.
    noise : {"cosine", "vp", "sub-vp", "ve", "straight"}
        The path from data to noise: see :mod:`pm_energy.diffusion`. "ve" adds noise from 0.01 to
        the largest distance between rows, in units of ``scale_``.
    sampler : {"dpm++", "ddim", "ddpm", "ode", "sde", "pc"}
        See :func:`pm_energy.diffusion.sample`. The first, DPM-Solver++ 2M, needs fewest steps.
    n_steps : int
        Of the sampler.
    guidance : float
        How much more than asked for a label is followed: 0 ignores it.
    learn_variance : bool
        Whether a second network learns, after the first, how far off that one is: from it follow
        the variances of steps back that are best for any number of steps [6]_. "ddpm" draws by
        them, so that few steps keep spreads, and :meth:`bound` is tighter. Learning takes about
        three times as long.
    hidden : tuple of int
        Units of the hidden layers.
    activation : {"silu", "tanh", "softplus", "relu"}
    residual : bool
        Whether each hidden layer as wide as the one before is added to it: for deep networks.
    time_features : int
        Sines and cosines of the log SNR that the network is told; even.
    scaling : {"features", "common"}
        Whether each feature is divided by its own deviation, or all by one number, so that noise of
        one size is noise of one size in X, as of pixels. A constant feature has the scale 1.
    learning_rate : float
        Of Adam, at the start of :meth:`fit`; it falls to zero.
    batch_size : int
        Rows of an update, drawn with replacement.
    n_iter : int
        Updates.
    ema : float
        How much of the running average of the parameters is kept at each update.
    backend : {"numba", "jax"}
        "jax" makes the same updates, equal to rounding, in one loop that JAX compiles in some
        seconds, in each process anew, and runs on all cores or an accelerator.
    encoder : transformer with inverse_transform, optional
        Such as PCA: what it makes of X is learned (latent diffusion [5]_). One that is fitted is
        taken as it is. Then there is neither score nor density of X. Files of :meth:`save` cannot
        hold it; ``joblib.dump`` can.
    verbose : int
        Whether to show progress.
    random_state : int, RandomState or None

    Attributes
    ----------
    parameters_ : ndarray
        Of the network: the running average of what was learned.
    variance_parameters_ : ndarray
        Of the second network, if there is one.
    mean_, scale_ : ndarray, shape (n_features,)
        The network sees ``(X - mean_) / scale_``; of codes, if there is an encoder.
    schedule_ : NoiseSchedule
        The path from data to noise, in units of ``scale_``.
    sigmas_ : ndarray, shape (2,)
        Least and most noise, of "ve" only.
    classes_ : ndarray
        Labels, if there were any.
    encoder_ : transformer
        If there is one.
    history_ : dict
        ``loss`` of each update, and ``variance_loss`` of those of the second network.
    n_iter_ : int
        Updates, those of :meth:`partial_fit` among them.
    n_features_in_, feature_names_in_
        As scikit-learn's.

    References
    ----------
    .. [1] Ho, Jain & Abbeel (2020), "Denoising diffusion probabilistic models", NeurIPS.
    .. [2] Song et al. (2021), "Score-based generative modeling through stochastic differential
       equations", ICLR.
    .. [3] Ho & Salimans (2022), "Classifier-free diffusion guidance", arXiv:2207.12598.
    .. [4] Salimans & Ho (2022), "Progressive distillation for fast sampling of diffusion models",
       ICLR.
    .. [5] Rombach et al. (2022), "High-resolution image synthesis with latent diffusion models",
       CVPR.
    .. [6] Bao et al. (2022), "Estimating the optimal covariance with imperfect mean in diffusion
       probabilistic models", ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.diffusion_model import DiffusionModel
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal([[-3.0], [3.0]], 1.0, (2, 500)).reshape(-1, 1)  # two clusters
    >>> y = np.repeat(["left", "right"], 500)
    >>> model = DiffusionModel(hidden=(32,), n_iter=500, random_state=0).fit(X, y)
    >>> draws = model.sample(200, y="left", random_state=0)
    >>> bool((draws < 0).mean() > 0.95)
    True
    >>> here, away = model.score_samples([[-3.0], [0.0]], y="left")
    >>> bool(away < here)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "parametrization": [StrOptions(set(PREDICTIONS))],
        "noise": [StrOptions({"cosine", "vp", "sub-vp", "ve", "straight"})],
        "sampler": [StrOptions(set(SAMPLERS))],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "guidance": [Interval(Real, 0, None, closed="left")],
        "learn_variance": ["boolean"],
        **NETWORK,
    }

    def __init__(
        self,
        *,
        parametrization="v",
        noise="cosine",
        sampler="dpm++",
        n_steps=30,
        guidance=1.0,
        learn_variance=False,
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
        self.parametrization = parametrization
        self.noise = noise
        self.sampler = sampler
        self.n_steps = n_steps
        self.guidance = guidance
        self.learn_variance = learn_variance
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
        return self.noise, self.parametrization, "independent"

    def _sampling(self, label):
        options = {"n_steps": self.n_steps}
        if self.sampler == "ddpm":
            options["residual"] = self._residual(label)
        return self.sampler, options

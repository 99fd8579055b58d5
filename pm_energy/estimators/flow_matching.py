"""Flow matching: a velocity that carries noise to data along straight lines, as an estimator."""

from numbers import Integral
from typing import ClassVar

from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.noise_mixin import NETWORK, NoiseMixin
from pm_energy.estimators.noise_queries import NoiseQueries
from pm_energy.training.regression import COUPLINGS


class FlowMatching(NoiseMixin, NoiseQueries, DensityMixin, EnergyEstimator):
    r"""Flow matching [1]_: a network learns the velocity that makes data of noise.

    It is the mean of noise minus data on all lines :math:`(1 - t) x_0 + t \epsilon` through a
    point. With independent noise that is a diffusion on a straight path. With "optimal" coupling
    noise is paired with data that are near [2]_: lines cross less, so paths are straighter and
    fewer steps do. Then the velocity is not that of a diffusion, and what :meth:`score_field` and
    :meth:`denoise` make of it only approximates a score; draws and densities are the flow's own.

    Parameters
    ----------
    coupling : {"independent", "optimal"}
        "optimal" solves an assignment for each batch, and takes many times as long.
    sampler : {"ode", "euler"}
        Rule for the flow: Heun's in equal steps of the log SNR, two calls of the network each, or
        Euler's in equal steps of time, which is right at once where paths are straight.
    n_steps : int
        Of the sampler.
    hidden, activation, residual, time_features, scaling, learning_rate, batch_size, n_iter
        As of :class:`~pm_energy.estimators.diffusion_model.DiffusionModel`.
    ema, backend, encoder
        As of :class:`~pm_energy.estimators.diffusion_model.DiffusionModel`.

    Attributes
    ----------
    parameters_ : dict of str to ndarray
        And the others of :class:`~pm_energy.estimators.diffusion_model.DiffusionModel`.

    References
    ----------
    .. [1] Lipman et al. (2023), "Flow matching for generative modeling", ICLR.
    .. [2] Tong et al. (2024), "Improving and generalizing flow-based generative models with
       minibatch optimal transport", TMLR.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.flow_matching import FlowMatching
    >>> X = np.random.default_rng(0).exponential(size=(1000, 1))
    >>> model = FlowMatching(hidden=(32,), n_iter=500, random_state=0).fit(X)
    >>> bool(abs(np.median(model.sample(1000, random_state=0)) - np.log(2)) < 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "coupling": [StrOptions(set(COUPLINGS))],
        "sampler": [StrOptions({"ode", "euler"})],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        **NETWORK,
    }

    def __init__(
        self,
        *,
        coupling="independent",
        sampler="ode",
        n_steps=30,
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
        self.coupling = coupling
        self.sampler = sampler
        self.n_steps = n_steps
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
        return "straight", "velocity", self.coupling

    def _sampling(self, label):
        # on a straight path DDIM without noise is Euler's rule
        return {"ode": "ode", "euler": "ddim"}[self.sampler], {"n_steps": self.n_steps}

"""A network energy learned by energy matching, as a scikit-learn estimator."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.score_learning import NETWORK, ScoreLearning, refuse_constant
from pm_energy.estimators.score_queries import ScoreQueries
from pm_energy.training.energy_matching import EnergyMatchingObjective, TransportMatching

END = 0.8  # of the lines in the second phase, which leave the rest to the likelihood


class EnergyMatching(ScoreLearning, ScoreQueries, DensityMixin, EnergyEstimator):
    r"""Density of real-valued data: an energy that leads noise to the data and is theirs there.

    First the force :math:`-\epsilon \partial E / \partial x` learns to carry noise to data along
    straight lines; then contrastive steps with Langevin negatives, which by then start near the
    data and jump between their modes, make :math:`e^{-E}` their density [1]_. Unlike denoising
    score matching it does not smooth the data, and sees how much of them is in each of modes far
    apart.

    Parameters
    ----------
    temperature : float
        :math:`\epsilon`, in units of the squared deviation of the data: the force is
        :math:`\epsilon` times the score. Small beside the width of the modes.
    n_warm_up, n_iter : int
        Updates of the two phases.
    transport_weight : float
        Of the transport in the second phase.
    n_chains, n_steps : int
        Negatives, and their Langevin moves at an update.
    hidden, activation, batch_size, learning_rate, schedule, spectral_norm, verbose, random_state
        As of :class:`~pm_energy.estimators.score_matching.ScoreMatching`. The schedule starts anew
        with the second phase.

    Attributes
    ----------
    energy_ : NeuralEnergy
        And the others of :class:`~pm_energy.estimators.score_matching.ScoreMatching`. The loss is
        that of the transport, and ``n_iter_`` counts the updates of both phases.

    References
    ----------
    .. [1] Balcerak et al. (2025), Energy matching: unifying flow matching and energy-based models
       for generative modeling, arXiv 2504.10612.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.energy_matching import EnergyMatching
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal([[-3.0], [3.0]], 1.0, (2, 500)).reshape(-1, 1)  # two clusters
    >>> model = EnergyMatching(hidden=(16,), n_warm_up=100, n_iter=400, random_state=0).fit(X)
    >>> left, middle, right = model.score_samples([[-3.0], [0.0], [3.0]])
    >>> bool(middle < left and middle < right)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_warm_up": [Interval(Integral, 1, None, closed="left")],
        "transport_weight": [Interval(Real, 0, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        **NETWORK,
    }

    def __init__(
        self,
        *,
        temperature=0.1,
        n_warm_up=300,
        n_iter=1000,
        transport_weight=0.1,
        n_chains=256,
        n_steps=5,
        hidden=(64, 64),
        activation="silu",
        batch_size=128,
        learning_rate=2e-2,
        schedule="cosine",
        spectral_norm=None,
        verbose=0,
        random_state=None,
    ):
        self.temperature = temperature
        self.n_warm_up = n_warm_up
        self.n_iter = n_iter
        self.transport_weight = transport_weight
        self.n_chains = n_chains
        self.n_steps = n_steps
        self.hidden = hidden
        self.activation = activation
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.spectral_norm = spectral_norm
        self.verbose = verbose
        self.random_state = random_state

    def _blur(self, x):
        refuse_constant(x)
        return 0.0

    def _length(self):
        return self.n_warm_up + self.n_iter

    def _phases(self, first, n_steps):
        temperature = self.temperature * float((self.scale_**2).mean())
        whole, part = (
            TransportMatching(self.location_, self.scale_, temperature=temperature, end=end)
            for end in (1.0, END)
        )
        matching = EnergyMatchingObjective(
            part,
            weight=self.transport_weight,
            n_chains=self.n_chains,
            n_steps=self.n_steps,
        )
        warm_up = int(np.clip(self.n_warm_up - first, 0, n_steps))
        phases = (whole, warm_up), (matching, n_steps - warm_up)
        return [(objective, n) for objective, n in phases if n]

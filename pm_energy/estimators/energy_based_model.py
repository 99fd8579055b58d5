"""A network energy learned by its likelihood, as a scikit-learn estimator."""

from numbers import Integral, Real
from typing import ClassVar

from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval

from pm_energy.estimators.base import EnergyEstimator
from pm_energy.estimators.score_learning import NETWORK, ScoreLearning, refuse_constant
from pm_energy.estimators.score_queries import ScoreQueries
from pm_energy.training.replay import ReplayBuffer


class EnergyBasedModel(ScoreLearning, ScoreQueries, DensityMixin, EnergyEstimator):
    r"""Density of real-valued data: a network energy learned by maximum likelihood, from chains.

    An update lowers the energy of data and raises that of the model's own draws,

    .. math:: \Bigl\langle \frac{\partial E}{\partial \theta} \Bigr\rangle_{data} -
              \Bigl\langle \frac{\partial E}{\partial \theta} \Bigr\rangle_{model},

    which are chains in a buffer that go on from update to update [1]_. By default their moves are
    exact: Langevin steps with a Metropolis correction and, once an update, a jump to the
    neighbourhood of a row of data that is accepted or refused so that chains remain draws of the
    model. So modes far apart get their shares, which Langevin steps of their own cannot tell.

    With a ``step_size`` they are Langevin steps without correction and without jumps, as in [1]_
    and [2]_. Such negatives are *biased*: what is learned is the energy for which short runs with
    this step look like the data, and ``score_samples`` is then not their log-density.

    Parameters
    ----------
    buffer_size : int
        Chains that are kept.
    n_chains : int
        Chains that an update moves.
    reinit : float
        Share of these that start anew from a normal distribution as broad as the data, from 0 to 1.
        They find modes that the model has and the data do not. They also bias what is learned, as
        they are not draws of the model until they have moved for a while.
    n_steps : int
        Langevin steps of each moved chain.
    step_size : float, optional
        Of steps without correction, in units of the data's deviation; None corrects them, and tunes
        their size.
    hidden, activation, spectral_norm
    n_iter, batch_size, learning_rate, schedule, verbose, random_state
        As of :class:`~pm_energy.estimators.score_matching.ScoreMatching`.

    Attributes
    ----------
    energy_ : NeuralEnergy
        And the others of :class:`~pm_energy.estimators.score_matching.ScoreMatching`.
    history_ : dict
        ``energy_gap``: mean energy of data minus that of chains, its means over 50 updates at a
        time. It is no loss, and says nothing of how good a fit is: it is about zero as soon as
        chains look like the data. One that keeps growing shows learning that diverges.

    References
    ----------
    .. [1] Du & Mordatch (2019), Implicit generation and modeling with energy-based models, NeurIPS.
    .. [2] Nijkamp, Hill, Zhu & Wu (2019), Learning non-convergent non-persistent short-run MCMC
       toward energy-based model, NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.estimators.energy_based_model import EnergyBasedModel
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(np.where(rng.random((1000, 1)) < 0.8, -3.0, 3.0), 0.5)  # unequal clusters
    >>> model = EnergyBasedModel(hidden=(16,), n_iter=300, random_state=0).fit(X)
    >>> draws = model.sample(1000, random_state=0)
    >>> bool(abs((draws < 0).mean() - 0.8) < 0.1)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "buffer_size": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "reinit": [Interval(Real, 0, 1, closed="both")],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "step_size": [Interval(Real, 0, None, closed="neither"), None],
        **NETWORK,
    }

    def __init__(
        self,
        *,
        buffer_size=1000,
        n_chains=128,
        reinit=0.01,
        n_steps=5,
        step_size=None,
        hidden=(64, 64),
        activation="silu",
        n_iter=2000,
        batch_size=128,
        learning_rate=1e-2,
        schedule="cosine",
        spectral_norm=None,
        verbose=0,
        random_state=None,
    ):
        self.buffer_size = buffer_size
        self.n_chains = n_chains
        self.reinit = reinit
        self.n_steps = n_steps
        self.step_size = step_size
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
        refuse_constant(x)
        return 0.0

    def _phases(self, first, n_steps):
        negatives = ReplayBuffer(
            self.buffer_size,
            self.n_chains,
            reinit=self.reinit,
            n_steps=self.n_steps,
            step_size=self.step_size,
            jumps=self.step_size is None,
        )
        return [(negatives, n_steps)]

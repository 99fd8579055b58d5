r"""Energy matching: an energy that leads noise to the data and, there, is their log-density [1]_.

Far from the data the force :math:`-\epsilon \partial E/\partial x` is regressed on straight lines
from noise to data, paired by optimal transport [2]_; near them contrastive steps make
:math:`e^{-E}` the density of the data. Unlike a flow's velocity the force knows no time.

References
----------
.. [1] Balcerak et al. (2025), Energy matching: unifying flow matching and energy-based models for
   generative modeling, arXiv 2504.10612.
.. [2] Tong et al. (2024), Improving and generalizing flow-based generative models with minibatch
   optimal transport, Transactions on Machine Learning Research.
"""

from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pm_energy.training.replay import ReplayBuffer
from pm_energy.validate import parameter, positive, positive_int


def transport_pairs(noise, x):
    """Return rows of ``x`` in the order in which their squared distances from ``noise`` sum least.

    Parameters
    ----------
    noise, x : array, shape (N, d)

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.energy_matching import transport_pairs
    >>> transport_pairs(np.array([[0.0], [5.0]]), np.array([[4.0], [1.0]]))
    array([[1.],
           [4.]])
    """
    _, order = linear_sum_assignment(cdist(noise, x, "sqeuclidean"))
    return x[order]


class TransportMatching:
    r"""The warm-up: forces along straight lines from noise to data.

    .. math:: L = \frac1{r^2} \Bigl\langle \bigl| \epsilon s(x_t) - (x_1 - x_0) \bigr|^2
              \Bigr\rangle, \quad x_t = (1 - t) x_0 + t x_1, \quad x_0 \sim N(m, r^2)

    with x_1 from the data, pairs of least squared distance in each batch, and t uniform on
    [0, ``end``].

    Parameters
    ----------
    location, scale : array_like, shape () or (d,)
        m and r of the noise.
    temperature : float
        The factor epsilon between the score and the force.
    end : float
        Where lines end, above 0 and at most 1.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.energy_matching import TransportMatching
    >>> from pm_energy.training.score_model import ScoreModel
    >>> model = ScoreModel(pme.GaussianMixtureEnergy([1.0], [[0.0]]), learn="means")
    >>> objective, rng = TransportMatching(0.0, 1.0), np.random.default_rng(0)
    >>> gradient, _ = objective.gradient(model, model.initial(), np.full((100, 1), 5.0), None, rng)
    >>> bool(gradient["means"].item() < 0)  # the well has to move to the data
    True
    """

    def __init__(self, location, scale, *, temperature=1.0, end=1.0):
        self.location = parameter("location", location, (0, 1))
        self.scale = positive("scale", scale)
        self.temperature = float(positive("temperature", temperature))
        if not 0 < end <= 1:
            raise ValueError(f"end must be above 0 and at most 1, got {end!r}")
        self.end = float(end)

    def noise(self, rng, x):
        """Draw as many rows of noise as there are in x."""
        return (self.location + self.scale * rng.standard_normal(x.shape)).astype(x.dtype)

    def gradient(self, model, theta, x, weights, rng):
        """Return the gradient of the loss and ``{"loss": ...}``; rows have no weights."""
        noise = self.noise(rng, x)
        x = transport_pairs(noise, x)
        t = self.end * rng.random((len(x), 1)).astype(x.dtype)
        targets = (x - noise) / self.temperature
        loss, gradient = model.score_regression(theta, (1 - t) * noise + t * x, targets)
        share = self.temperature**2 / float((self.scale**2).mean())
        return {name: share * g for name, g in gradient.items()}, {"loss": share * loss}


class EnergyMatchingObjective:
    r"""The second phase: transport far from the data, the likelihood near them.

    The gradient is :math:`\lambda` times that of the transport plus that of the likelihood,
    :math:`\langle \partial E / \partial\theta \rangle_{data} - \langle \partial E /
    \partial\theta \rangle_{model}`. Negatives are chains with a Metropolis correction that are
    kept from update to update and jump between modes, a
    :class:`~pm_energy.training.replay.ReplayBuffer`, rather than short runs without one as in [1]_:
    a few of them start anew at each update, half of these at data and half at noise that the force
    has carried to the data.

    Parameters
    ----------
    transport : TransportMatching
        Lines that end before the data, so that it does not speak where the likelihood does.
    weight : float
        :math:`\lambda`, at least zero.
    n_chains, n_steps : int
        Negatives, and moves of each at an update.
    reinit : float
        Share of chains that start anew.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    .. [1] Balcerak et al. (2025), arXiv 2504.10612.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.energy_matching import EnergyMatchingObjective, TransportMatching
    >>> from pm_energy.training.score_model import ScoreModel
    >>> model = ScoreModel(pme.GaussianMixtureEnergy([1.0], [[0.0]]), learn="means")
    >>> objective = EnergyMatchingObjective(TransportMatching(0.0, 1.0, end=0.8))
    >>> x, rng = np.full((100, 1), 5.0), np.random.default_rng(0)
    >>> gradient, _ = objective.gradient(model, model.initial(), x, None, rng)
    >>> bool(gradient["means"].item() < 0)
    True
    """

    def __init__(self, transport, *, weight=0.1, n_chains=256, n_steps=10, reinit=0.05):
        self.transport = transport
        if not weight >= 0:
            raise ValueError(f"weight must be at least zero, got {weight!r}")
        self.weight = float(weight)
        self.negatives = ReplayBuffer(
            positive_int("n_chains", n_chains),
            n_chains,
            reinit=reinit,
            n_steps=n_steps,
            start=self._starts,
            jumps=True,
        )

    def gradient(self, model, theta, x, weights, rng):
        """Return the gradient, and the transport's loss: the contrastive part follows none."""
        contrast, _ = self.negatives.gradient(model, theta, x, weights, rng)
        flow, info = self.transport.gradient(model, theta, x, weights, rng)
        return {k: self.weight * flow[k] + contrast[k] for k in contrast}, info

    def state(self):
        """Return what is carried from batch to batch: the chains."""
        return self.negatives.state()

    def restore(self, state):
        """Go on from what :meth:`state` returned."""
        self.negatives.restore(state)

    def _starts(self, model, theta, x, n, rng, n_flow=20):
        """Rows of data, and noise carried along the force for a unit of time."""
        rows = x[rng.integers(len(x), size=n)]
        carried = self.transport.noise(rng, rows[: n // 2])
        for _ in range(n_flow if len(carried) else 0):
            carried += self.transport.temperature / n_flow * model.score(theta, carried)
        rows[: n // 2] = carried
        return model.start(theta, rng, x=rows)

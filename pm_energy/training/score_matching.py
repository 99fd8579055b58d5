r"""Objectives of score matching: learning an energy without its log Z.

The score :math:`s(x) = -\partial E/\partial x` does not contain log Z. Its mean squared distance
from the score of the data, the Fisher divergence, needs that of the data only through an integral
by parts [1]_, or through noise that is added to them [2]_.

References
----------
.. [1] Hyvarinen (2005), Estimation of non-normalized statistical models by score matching, Journal
   of Machine Learning Research 6, 695-709.
.. [2] Vincent (2011), A connection between score matching and denoising autoencoders, Neural
   Computation 23, 1661-1674.
"""

import math

import numpy as np

from pm_energy.training.noise_range import NoiseRange
from pm_energy.validate import positive, positive_int


class ExplicitScoreMatching:
    r"""Score matching with the exact Laplacian.

    .. math:: L = \Bigl\langle \tfrac12 |s(x)|^2 + \operatorname{div} s(x) \Bigr\rangle_{data}

    which is half the Fisher divergence but for a constant. A function of the parameters, with no
    noise in it; costs a second derivative along each coordinate. For exponential families it is
    quadratic in the parameters. A flexible network can make it as low as it likes by a narrow well
    at each row: keep it for few parameters or many data.

    References
    ----------
    .. [1] Hyvarinen (2005), Journal of Machine Learning Research 6, 695-709.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.score_matching import ExplicitScoreMatching
    >>> from pm_energy.training.score_model import ScoreModel
    >>> model = ScoreModel(pme.GaussianMixtureEnergy([1.0], [[0.0]]), learn="means")
    >>> x = np.array([[1.0], [3.0]])
    >>> gradient, info = ExplicitScoreMatching().gradient(model, model.initial(), x, None, None)
    >>> gradient, info  # mu - mean(x), and mean(x**2) / 2 - 1
    ({'means': array([[-2.]])}, {'loss': 1.5})
    """

    deterministic = True

    def gradient(self, model, theta, x, weights, rng):
        """Return the gradient of the loss and ``{"loss": ...}``; ``rng`` is not used."""
        x = np.asarray(x)
        n = math.prod(x.shape[1:])
        units = np.eye(n, dtype=x.dtype).reshape(n, *x.shape[1:])
        directions = np.tile(units, (len(x),) + (1,) * (x.ndim - 1))
        weights = None if weights is None else np.repeat(weights, n)
        # slices along all coordinates add up to |s|**2 / 2 and the divergence
        loss, gradient = model.score_slices(theta, np.repeat(x, n, axis=0), directions, weights)
        return {name: n * slope for name, slope in gradient.items()}, {"loss": n * loss}


class SlicedScoreMatching:
    r"""Score matching along random directions.

    .. math:: L = \Bigl\langle \tfrac12 |s(x)|^2 + v^\top \frac{\partial s}{\partial x} v
              \Bigr\rangle_{data, v}

    with random signs for v, so that the mean over v is the divergence. Its expectation is the loss
    of :class:`ExplicitScoreMatching` at the cost of two backward passes in any dimension.

    Parameters
    ----------
    n_directions : int
        For each row.
    reduced : bool
        Whether :math:`|s|^2` is exact, as above, which has the smaller variance; otherwise it is
        :math:`(v^\top s)^2`.

    References
    ----------
    .. [1] Song, Garg, Shi & Ermon (2019), Sliced score matching, UAI.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.score_matching import SlicedScoreMatching
    >>> from pm_energy.training.score_model import ScoreModel
    >>> model = ScoreModel(pme.GaussianMixtureEnergy([1.0], [[0.0, 0.0]]), learn="means")
    >>> x, rng = np.array([[1.0, 0.0], [3.0, 0.0]]), np.random.default_rng(0)
    >>> SlicedScoreMatching().gradient(model, model.initial(), x, None, rng)
    ({'means': array([[-2.,  0.]])}, {'loss': 0.5})
    """

    def __init__(self, n_directions=1, *, reduced=True):
        self.n_directions = positive_int("n_directions", n_directions)
        self.reduced = bool(reduced)

    def gradient(self, model, theta, x, weights, rng):
        """Return the gradient of the loss and ``{"loss": ...}``."""
        x = np.asarray(x)
        points = np.repeat(x, self.n_directions, axis=0)
        directions = rng.choice(np.array([-1, 1], dtype=points.dtype), size=points.shape)
        shares = None if weights is None else np.repeat(weights, self.n_directions)
        loss, gradient = model.score_slices(
            theta, points, directions, shares, squared=not self.reduced
        )
        if self.reduced:
            squares, slopes = model.score_regression(theta, x, np.zeros_like(x), weights)
            loss += 0.5 * squares
            gradient = {name: g + 0.5 * slopes[name] for name, g in gradient.items()}
        return gradient, {"loss": loss}


class DenoisingScoreMatching:
    r"""Score matching for data with noise, which the score learns to remove.

    .. math:: L = \Bigl\langle \bigl| s(x + \sigma\epsilon) + \epsilon / \sigma \bigr|^2
              \Bigr\rangle, \quad \epsilon \sim N(0, I)

    Its minimum is the score of the data *smoothed* by :math:`N(0, \sigma^2 I)`, and there the loss
    is not zero: it is :math:`n/\sigma^2 - \langle |s|^2 \rangle` of n units, as
    :math:`\epsilon / \sigma` is noise about what it has for a mean. Each row is seen with a noise
    and with its opposite, which cancels most of the noise of the gradient where sigma is small.

    With a least and a largest noise, sigma is drawn for each row, log-uniform between them and
    stratified over the batch, and an energy that is told sigma learns both of its slopes [2]_,

    .. math:: L = \Bigl\langle | \sigma s + \epsilon |^2 + \frac1{2n} \Bigl(
              \frac{\partial \log p}{\partial \log\sigma} - |\epsilon|^2 + n \Bigr)^2 \Bigr\rangle

    with :math:`\log p = -E - \sum_i \log r_i` of a bowl of deviations r. Scores alone, as in [3]_,
    would leave open how much is in each of modes far apart: at a small sigma nothing is between
    them. The slope along sigma leads from one mode up to where they are one, and down to the other.
    It also makes log Z of this p the same at all levels. Each term has the weight of its noise.

    Parameters
    ----------
    sigma : float or NoiseRange
        In units of x. Levels need a model with the same ones.

    Raises
    ------
    ValueError
        If sigma is not positive.

    References
    ----------
    .. [1] Vincent (2011), Neural Computation 23, 1661-1674.
    .. [2] Guth, Kadkhodaie & Simoncelli (2025), Learning normalized image densities via dual score
       matching, arXiv 2506.05310.
    .. [3] Song & Ermon (2019), Generative modeling by estimating gradients of the data
       distribution, NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.training.score_matching import DenoisingScoreMatching
    >>> from pm_energy.training.score_model import ScoreModel
    >>> smoothed = pme.GaussianMixtureEnergy([1.0], [[0.0]], 1.0 + 0.5**2)  # N(0, 1) with noise
    >>> model = ScoreModel(smoothed, learn="means")
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100_000, 1))
    >>> objective = DenoisingScoreMatching(0.5)
    >>> _, info = objective.gradient(model, model.initial(), x, None, rng)
    >>> round(info["loss"], 1), 1 / 0.5**2 - 1 / 1.25  # the floor
    (3.2, 3.2)
    """

    def __init__(self, sigma):
        if not isinstance(sigma, NoiseRange):
            sigma = float(positive("sigma", sigma))
        self.sigma = sigma

    def gradient(self, model, theta, x, weights, rng):
        """Return the gradient of the loss and ``{"loss": ...}``."""
        x = np.asarray(x)
        noise = rng.standard_normal(x.shape).astype(x.dtype, copy=False)
        shares = None if weights is None else np.tile(weights, 2)
        if not isinstance(self.sigma, NoiseRange):
            points, targets = _both_ways(x, noise, self.sigma)
            loss, gradient = model.score_regression(theta, points, targets, shares)
            return gradient, {"loss": loss}
        sigma = self.sigma.draw(rng, len(x)).astype(x.dtype, copy=False)
        points, targets = _both_ways(x, noise, sigma[:, None])
        rates = (noise * noise).sum(axis=1) - x.shape[1]
        loss, gradient = model.level_regression(
            theta, points, np.tile(sigma, 2), targets, np.tile(rates, 2), shares
        )
        return gradient, {"loss": loss}


def _both_ways(x, noise, sigma):
    """Rows with a noise and with its opposite, and what is seen of the score there."""
    pull = noise / sigma
    return np.concatenate([x + sigma * noise, x - sigma * noise]), np.concatenate([-pull, pull])


OBJECTIVES = ("denoising", "explicit", "sliced")


def make_score_objective(name, sigma=None):
    """Return the objective of that name; ``sigma``, one or NoiseRange, is for "denoising".

    Examples
    --------
    >>> from pm_energy.training.score_matching import make_score_objective
    >>> make_score_objective("denoising", 0.1).sigma
    0.1
    """
    match name:
        case "denoising":
            return DenoisingScoreMatching(sigma)
        case "explicit":
            return ExplicitScoreMatching()
        case "sliced":
            return SlicedScoreMatching()
    raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {name!r}")

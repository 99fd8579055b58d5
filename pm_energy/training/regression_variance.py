r"""Learning what a prediction leaves open: the mean square of its error, given a noisy row.

Beside a network that predicts from noisy rows and stays as it is, a second one of the same make
learns the logarithm h of what the first one's squared errors are on average, by the logarithmic
score of a normal distribution of variance :math:`e^h`,

.. math:: \tfrac12 \sum_j \big(h_j + e_j^2 e^{-h_j}\big)

It is least where :math:`e^h` is the conditional mean square, whatever the law of the errors, and
minds their ratio only: small errors count as much as large ones [1]_. Errors are those of the data,
in units of what they would be of standard normal data, :math:`\sigma^2 / (\alpha^2 + \sigma^2)`, so
that h is of order one at all levels of noise. Whoever knows them knows the best variance of steps
back of any length [2]_.

References
----------
.. [1] Gneiting & Raftery (2007), "Strictly proper scoring rules, prediction, and estimation",
   Journal of the American Statistical Association 102, 359-378.
.. [2] Bao et al. (2022), "Estimating the optimal covariance with imperfect mean in diffusion
   probabilistic models", ICML.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from pm_energy.kernels.mlp import forward, vector_jacobian
from pm_energy.kernels.mlp_updates import adam_step
from pm_energy.networks.features import checked_labels, one_hot
from pm_energy.training.progress import Progress
from pm_energy.training.regression import Trained, resume
from pm_energy.training.schedules import Schedule
from pm_energy.validate import numeric_array, positive_int

LEAST = 1e-8  # mean square, of errors that may be none
OFTEN = 100  # steps between parameters that are kept in case later ones are no good


def train_variance(
    network,
    start,
    theta,
    x,
    levels,
    rng,
    *,
    n_steps,
    batch_size=128,
    rates=1e-3,
    keep=0.999,
    labels=None,
    drop_label=0.1,
    progress=False,
):
    """Learn the mean square of errors of a network that has learned from noisy data, by Adam.

    Parameters
    ----------
    network : MLP
        What both networks are.
    start : dict of str to array, or Trained
        Parameters of the one that learns; or an earlier run to go on from, which stays as it is.
        It starts best with the outputs 0, the errors of standard normal data.
    theta : dict of str to array
        Parameters of the one that predicts.
    x : array_like, shape (N, d)
        Data.
    levels : NoiseLevels
        Noise, and what is predicted.
    rng : numpy.random.Generator
    n_steps, batch_size : int
    rates : float or Schedule
        Learning rates. A schedule goes on where an earlier run ended.
    keep, labels, drop_label, progress
        As of :func:`~pm_energy.training.regression.train`.

    Returns
    -------
    Trained
        The exponential of the network's output, times ``sigma**2 / (alpha**2 + sigma**2)``, is the
        mean square of the error of the data predicted.

    Raises
    ------
    ValueError
        If x or labels do not fit the network, or a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks import MLP
    >>> from pm_energy.training.regression_noise import score_levels
    >>> from pm_energy.training.regression_variance import train_variance
    >>> rng, network = np.random.default_rng(0), MLP(1, 1, hidden=())
    >>> x, zero = rng.normal(size=(5_000, 1)), network.unflatten(np.zeros(2, np.float32))
    >>> score = zero | {"weights_0": np.array([[-0.5]], np.float32)}  # with noise of the same size
    >>> options = {"n_steps": 500, "rates": 0.01}
    >>> found = train_variance(network, zero, score, x, score_levels(1.0), rng, **options)
    >>> print(abs(found.average["bias_0"]) < 0.1)  # standard normal data, so h is 0
    [ True]
    """
    n_steps, batch_size = positive_int("n_steps", n_steps), positive_int("batch_size", batch_size)
    draw = _batches(network, theta, x, levels, labels, drop_label, batch_size)
    slope = _slopes(network, batch_size)
    run = resume(network, start)
    learner = run.learner(network)
    good, losses, failure = (0, _copies(learner)), np.empty(n_steps), ""
    bar = Progress("learning variances", n_steps, progress)
    # BLAS threads take longer over such small matrices; what overflows is said below
    quiet = np.errstate(over="ignore", invalid="ignore")
    with bar, threadpool_limits(1, user_api="blas"), quiet:
        for i in range(n_steps):
            losses[i], gradient = slope(learner[0], *draw(rng))
            if not np.isfinite(losses[i]):
                done, learner = good
                failure = (
                    f"the loss was not finite at step {run.n_steps + i + 1}; the parameters are "
                    f"those after step {run.n_steps + done}"
                )
                losses = losses[:i]
                break
            if i % OFTEN == 0:
                good = i, _copies(learner)
            now = run.n_steps + i
            rate = float(rates(now) if isinstance(rates, Schedule) else rates)
            kept = min(keep, (now + 1) / (now + 10))  # early parameters are soon forgotten
            adam_step(
                0, gradient.size, learner[0], gradient, *learner[1:], 1.0, now + 1, rate, 0.0, kept
            )
            bar.advance(f"loss {losses[i]:.4g}")
        else:
            done = n_steps
    theta, *moments, average = learner
    return Trained(
        theta=network.unflatten(theta),
        average=network.unflatten(average),
        losses=np.append(run.losses, losses),
        failure=failure,
        moments=tuple(moments),
        n_steps=run.n_steps + done,
    )


def _batches(network, theta, x, levels, labels, drop_label, size):
    """A function of a generator: noisy rows as the network reads them, and squares of errors."""
    x = np.ascontiguousarray(numeric_array("x", x), np.float32)
    if x.ndim != 2 or x.shape[1] != network.n_in or not len(x):
        raise ValueError(f"x must have shape (N, {network.n_in}) with N > 0, got {x.shape}")
    if labels is not None:
        labels = checked_labels(labels, network.n_classes)
        if labels.shape != (len(x),):
            raise ValueError(f"labels must have shape ({len(x)},), got {labels.shape}")
    theta, table = network.flatten(theta).astype(np.float32), levels.table()
    extras = network.time_features, network.n_classes
    told = network.inputs(np.zeros((len(table), network.n_in)), levels.time if extras[0] else None)
    told = told[:, network.n_in :]  # of time; the columns of labels are zeros
    # from an error of what is predicted to one of the data, in its unit
    cross = levels.data * levels.sigma - levels.noise * levels.alpha
    unit = ((levels.alpha**2 + levels.sigma**2) / cross**2).astype(np.float32)[:, None]

    def draw(rng):
        rows, noise = rng.integers(len(x), size=size), rng.standard_normal((size, x.shape[1]))
        level = ((np.arange(size) + rng.random()) / size * len(table)).astype(np.int64)
        alpha, sigma, data, of_noise, _, scale = table[level].T[:, :, None]
        noise = noise.astype(np.float32)
        inputs = np.concatenate([scale * (alpha * x[rows] + sigma * noise), told[level]], axis=1)
        if labels is not None:
            label = np.where(rng.random(size) < drop_label, -1, labels[rows])
            inputs[:, -extras[1] :] = one_hot(label, extras[1], np.float32)
        found = forward(inputs, theta, network.sizes, network.activation, network.residual)
        return inputs, unit[level] * (found - (data * x[rows] + of_noise * noise)) ** 2

    return draw


def _slopes(network, size):
    """A function of parameters, inputs and squared errors: the loss of a batch, and its slope."""
    architecture = network.sizes, network.activation, network.residual

    def slope(theta, inputs, squares):
        outputs = forward(inputs, theta, *architecture)
        ratio = (squares + np.float32(LEAST)) * np.exp(-outputs)
        loss = 0.5 * float((outputs + ratio).sum(dtype=np.float64)) / size
        errors = (1 - ratio) * np.float32(0.5 / size)
        return loss, vector_jacobian(inputs, errors, theta, *architecture)[1]

    return slope


def _copies(arrays):
    return [np.array(part) for part in arrays]

"""What a network that takes noise away leaves open: learned, and in bounds of log-likelihoods."""

from dataclasses import replace

import numpy as np
from sklearn.utils.metaestimators import available_if
from threadpoolctl import threadpool_limits

from pm_energy.diffusion import variational_bound
from pm_energy.estimators.base import generator
from pm_energy.estimators.noise_learning import (
    UNLABELLED,
    resumed,
    state_of,
    steps_and_rates,
    told_levels,
)
from pm_energy.estimators.noise_queries import of_the_data
from pm_energy.networks import frozen
from pm_energy.training.regression_variance import train_variance
from pm_energy.validate import positive_int


def learn_variance(settings, network, schedule, theta, x, labels, start, rng, n_steps):
    """Learn the mean squares of a network's errors by another one, anew or from an earlier end.

    Parameters
    ----------
    settings : estimator
        As of :func:`~pm_energy.estimators.noise_learning.learn_network`.
    network : MLP
        What both are.
    schedule : NoiseSchedule
    theta : array
        Parameters of the network that predicts, which stay as they are.
    x, labels, start, rng, n_steps
        As of :func:`~pm_energy.estimators.noise_learning.learn_network`.

    Returns
    -------
    tuple
        As of :func:`~pm_energy.estimators.noise_learning.learn_network`; no generator in the state.
    """
    if start is None:
        start = network.init(rng)
        last = f"weights_{len(network.hidden)}"
        start[last] = np.zeros_like(start[last])  # errors as of standard normal data
    else:
        start = resumed(network, start)
    n_steps, rates = steps_and_rates(settings, len(x), n_steps)
    found = train_variance(
        network, start, network.unflatten(theta), x, told_levels(schedule, settings._made["kind"]),
        rng, n_steps=n_steps, batch_size=settings.batch_size, rates=rates, keep=settings.ema,
        labels=labels, drop_label=UNLABELLED, progress=bool(settings.verbose),
    )  # fmt: skip
    state = state_of(network, found)
    return state["average"], state, found.losses, found.failure


class VarianceQueries:
    """Mixin of estimators whose steps back may have a learned variance."""

    @available_if(of_the_data)
    def bound(self, X, y=None, *, n_steps=100, n_draws=4, random_state=None):
        """Bound the log-density of the rows of X from below, part by part.

        It is the variational bound of the chain of the sampler "ddpm" in ``n_steps`` steps, equal
        in log SNR, with the learned variance if there is one; "ddpm" leaves out the noise of the
        last step. More steps make it tighter. :meth:`score_samples` is the log-density of the flow,
        which has another law unless the network is perfect, and no bound.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
        y : label or array_like, shape (n_samples,), optional
            For the density of a class.
        n_steps : int
        n_draws : int
            Noisy rows for each row and step; with one there is no standard error.
        random_state : int, RandomState or None

        Returns
        -------
        VariationalBound
            ``total`` and its parts, in nats, of densities in units of X.

        Raises
        ------
        ValueError
            If a label is unknown, or a number is out of range.
        """
        x = self._rows(X)
        label = self._labels(y, len(x))
        if label is not None:  # all draws go in one batch
            label = np.tile(label, positive_int("n_draws", n_draws))
        with threadpool_limits(1, user_api="blas"):
            found = variational_bound(
                self._predictor(label), self.schedule_, x, n_steps=n_steps, n_draws=n_draws,
                rng=generator(random_state), kind=self._made["kind"],
                residual=self._residual(label),
            )  # fmt: skip
        return replace(found, reconstruction=found.reconstruction - np.log(self.scale_).sum())

    def _residual(self, label):
        """Mean squares of errors of data predicted, in units of ``scale_``; None if not learned."""
        if not hasattr(self, "variance_parameters_"):
            return None
        network, schedule = self._network(), self.schedule_
        apply = frozen(network, network.unflatten(self.variance_parameters_))

        def residual(x, t):
            alpha, sigma = schedule.path(t)
            size = np.hypot(alpha, sigma)
            found = apply(x / size, schedule.log_snr(t), label)
            return (sigma / size) ** 2 * np.exp(found.astype(np.float64))

        return residual

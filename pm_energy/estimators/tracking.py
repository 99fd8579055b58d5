"""What is watched while a machine learns: its likelihood, or what comes nearest at little cost."""

import numpy as np

from pm_energy.training.fit import dense_rows
from pm_energy.training.rbm_partition import rbm_log_z

TRACKS = ("auto", "log_likelihood", "pseudo_log_likelihood", "reconstruction_error")
ROWS = 1000  # of the data are watched
EXACT_UNITS = 12  # of the smaller layer: listing their states costs less than an epoch
CHAINS, BETAS = 100, 200  # of annealing, where listing states would cost too much


def tracker(track, model, x, read, weights, rng):
    """Return ``theta -> {name: value}`` for the training curve.

    Parameters
    ----------
    track : {"auto", "log_likelihood", "pseudo_log_likelihood", "reconstruction_error"} or None
        "auto" is the log-likelihood where its log Z is a short sum, else the pseudo-log-likelihood
        of two-state units or the reconstruction error of Gaussian ones.
    model : RBMModel
    x, read, weights
        The data, as in :func:`pm_energy.training.fit.fit`.
    rng : numpy.random.Generator
        Gives the rows and flips, the same at each call.

    Returns
    -------
    callable
    """
    if track is None:
        return lambda theta: {}
    n = x.shape[0]
    chosen = np.sort(rng.permutation(n)[:ROWS])
    rows = (read or dense_rows)(x, chosen)
    weights = None if weights is None else weights[chosen]
    if weights is not None and not weights.any():
        weights = None
    gaussian = model.visible_units == "gaussian"
    layers = [model.shape[1]] if gaussian else [model.shape[1], model.shape[0]]
    if track == "auto":
        instead = "reconstruction_error" if gaussian else "pseudo_log_likelihood"
        track = "log_likelihood" if min(layers) <= EXACT_UNITS else instead
    if gaussian and track == "pseudo_log_likelihood":
        raise ValueError("track='pseudo_log_likelihood' needs two-state visible units")
    seed = int(rng.integers(2**31))
    flipped = rng.integers(model.shape[0], size=len(rows))

    def log_likelihood(theta):
        chains = None if min(layers) <= EXACT_UNITS else CHAINS
        log_z = rbm_log_z(model, theta, np.random.default_rng(seed), chains, BETAS, check=False)
        return -model.free_energy(theta, rows) - log_z.value

    def pseudo_log_likelihood(theta):
        other = rows.copy()
        at = np.arange(len(rows)), flipped  # of each row one unit, in place of all
        other[at] = (1 if model.visible_units == "binary" else 0) - other[at]
        change = model.free_energy(theta, other) - model.free_energy(theta, rows)
        return -model.shape[0] * np.logaddexp(0, -change)

    def reconstruction_error(theta):
        h = model.hidden_probabilities(theta, rows)
        h = 2 * h - 1 if model.hidden_units == "spin" else h
        return ((model.visible_mean(theta, h) - rows) ** 2).mean(axis=1)

    function = {
        "log_likelihood": log_likelihood,
        "pseudo_log_likelihood": pseudo_log_likelihood,
        "reconstruction_error": reconstruction_error,
    }[track]
    return lambda theta: {track: float(np.average(function(theta), weights=weights))}

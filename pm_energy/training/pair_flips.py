"""Log-probabilities of units given the others, from what it costs to flip them."""

import numpy as np

from pm_energy.training.pair_coding import blocks


def pseudo_log_likelihood(model, theta, x):
    """Sum over visible units of the log-probability of each, given the other visible ones.

    Without hidden units the costs of all flips are in the fields; with them each flip takes a free
    energy of its own.

    Parameters
    ----------
    model : PairModel
    theta : dict of str to array
    x : ndarray, shape (N, n_visible)
        States, or their means, which a flip mirrors.

    Returns
    -------
    ndarray, shape (N,)

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.pair_model import PairModel
    >>> model = PairModel(2, coding="spin")
    >>> theta = {"couplings": np.array([0.5]), "bias": np.zeros(2)}
    >>> pseudo_log_likelihood(model, theta, np.array([[1, 1], [1, -1]])).round(4)
    array([-0.6265, -2.6265])
    """
    if model.n_hidden:
        here, total = model.free_energy(theta, x), np.zeros(len(x))
        for unit in range(model.n_visible):
            other = np.array(x)
            other[:, unit] = (1 if model.coding == "binary" else 0) - other[:, unit]
            total -= np.logaddexp(0, here - model.free_energy(theta, other))
        return total
    coupling, field, _ = model.spin_theta(theta)
    out = []
    for units, _ in blocks(x, None, model.n, model.coding):
        cost = 2 * units * model.fields(coupling, field, units)
        out.append(-np.logaddexp(0, -cost).sum(axis=0))
    return np.concatenate(out)

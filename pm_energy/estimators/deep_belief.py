"""Deep belief networks: machines stacked in a scikit-learn Pipeline, and drawn from top down."""

from sklearn.utils import check_random_state

from pm_energy.estimators.rbm_mixin import RBMMixin


def sample_deep_belief(pipeline, n_samples=1, random_state=None):
    """Draw from a pipeline of restricted Boltzmann machines [1]_.

    Each machine was fitted to the hidden units of the one below. The topmost is drawn from, and
    every layer below it is drawn given the one above; steps that are no machines, such as scalers,
    are undone by their ``inverse_transform``.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; its last step is a machine.
    n_samples : int
    random_state : int, RandomState or None

    Returns
    -------
    ndarray, shape (n_samples, n_features)

    Raises
    ------
    ValueError
        If the last step is no restricted Boltzmann machine.

    References
    ----------
    .. [1] Hinton, Osindero & Teh (2006), Neural Computation 18, 1527-1554.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from sklearn.pipeline import make_pipeline
    >>> X = np.repeat([[1, 1, 0, 0], [0, 0, 1, 1]], 20, axis=0)
    >>> layers = [pme.BernoulliRBM(n, n_iter=50, random_state=0) for n in (3, 2)]
    >>> deep = make_pipeline(*layers).fit(X)
    >>> pme.sample_deep_belief(deep, 5, random_state=0).shape
    (5, 4)
    """
    machines = [step for _, step in getattr(pipeline, "steps", [("", pipeline)])]
    if not isinstance(machines[-1], RBMMixin):
        raise ValueError(
            "pipeline must be a Pipeline whose last step is a restricted Boltzmann machine, got "
            f"{machines[-1]!r}"
        )
    random_state = check_random_state(random_state)
    units = machines[-1].sample(n_samples, random_state)
    for machine in reversed(machines[:-1]):
        if isinstance(machine, RBMMixin):
            units = machine.sample_visible(units, random_state)
        else:
            units = machine.inverse_transform(units)
    return units

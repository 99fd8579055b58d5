"""Spectral normalisation: layers that stretch no vector by more than a factor."""

import numpy as np

from pm_energy.validate import positive


class SpectralLimit:
    """Updates after which matrices are scaled down to a largest singular value [1]_.

    The largest singular value is followed by a step of power iteration at each update, as in [2]_,
    which is from below: between updates it may be exceeded by what the iteration has yet to see.
    With activations of slopes up to 1 a network of such layers is Lipschitz, and so the score of an
    energy cannot be huge anywhere. (That of silu is up to 1.1.)

    Parameters
    ----------
    updates : callable
        ``theta = updates(theta, gradient)``.
    limit : float

    References
    ----------
    .. [1] Gouk, Frank, Pfahringer & Cree (2021), Regularisation of neural networks by enforcing
       Lipschitz continuity, Machine Learning 110, 393-416.
    .. [2] Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative
       adversarial networks, ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.optimisers import Updates, make_optimiser
    >>> from pm_energy.training.score_spectral import SpectralLimit
    >>> theta = {"w": np.diag([3.0, 1.0])}
    >>> updates = SpectralLimit(Updates(make_optimiser("sgd", 0.1), theta), limit=1.5)
    >>> for _ in range(20):
    ...     theta = updates(theta, {"w": np.zeros((2, 2))})
    >>> theta["w"].round(3)
    array([[1.5, 0. ],
           [0. , 0.5]])
    """

    def __init__(self, updates, limit):
        self.updates, self.limit = updates, float(positive("limit", limit))
        self._vectors = {}

    def state(self):
        """Return what it takes to go on: the directions found, and the state of the updates."""
        return {"vectors": dict(self._vectors), "updates": self.updates.state()}

    def restore(self, state):
        """Go on from what :meth:`state` returned."""
        self._vectors = dict(state["vectors"])
        self.updates.restore(state["updates"])

    def __call__(self, theta, gradient):
        """Return the parameters after one step."""
        theta = self.updates(theta, gradient)
        return {name: self._limited(name, value) for name, value in theta.items()}

    def _limited(self, name, value):
        if value.ndim != 2:
            return value
        v = self._vectors.get(name)
        if v is None:  # in no direction that a layer prefers
            v = np.random.default_rng(0).standard_normal(value.shape[1]).astype(value.dtype)
        u = value @ v
        v = u @ value
        length = np.sqrt(v @ v)
        if not length > 0:
            return value
        self._vectors[name] = v = v / length
        u = value @ v
        largest = np.sqrt(u @ u)
        return value if largest <= self.limit else value * (self.limit / largest)

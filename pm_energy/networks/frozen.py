"""A network that has learned, for those who call it many times: samplers and densities."""

import numpy as np

from pm_energy.kernels import mlp as kernel
from pm_energy.validate import numeric_array


def frozen(network, theta):
    """A function of x, a time and labels that says what ``network.apply(theta, ...)`` does, sooner.

    Parameters are checked and laid out once. What one time and one label, given as a float and an
    int, add to the first layer for all rows is added to its bias, so that it is not multiplied row
    by row; that rounds in another order.

    Parameters
    ----------
    network : MLP
    theta : dict of str to array
        Copied: later changes are not seen.

    Returns
    -------
    callable
        ``f(x, t=None, label=None)``, as :meth:`MLP.apply`.

    Raises
    ------
    ValueError
        As :meth:`MLP.apply`.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks import MLP
    >>> from pm_energy.networks.frozen import frozen
    >>> network, rng = MLP(2, 2, time_features=8), np.random.default_rng(0)
    >>> theta, x = network.init(rng), rng.normal(size=(5, 2))
    >>> found = frozen(network, theta)(x, 0.3)
    >>> print(np.allclose(found, network.apply(theta, x, 0.3), atol=1e-6))
    True
    """
    flat, sizes, n = network.flatten(theta), network.sizes, network.n_in
    rest = network.activation, network.residual
    start, stop = n * sizes[1], sizes[0] * sizes[1]  # of the weights of time and label
    of_extras = flat[start:stop].reshape(-1, sizes[1])
    alone, bias = np.delete(flat, np.s_[start:stop]), flat[stop : stop + sizes[1]]
    origin = np.zeros((1, n))

    def apply(x, t=None, label=None):
        if not (isinstance(t, float | None) and isinstance(label, int | None)):
            inputs = network.inputs(x, t, label, flat.dtype)
            return kernel.forward(inputs, flat, sizes, *rest)
        extras = network.inputs(origin, t if t is None else [t], label, flat.dtype)[:, n:]
        x = np.ascontiguousarray(numeric_array("x", x), flat.dtype)
        if x.ndim != 2 or x.shape[1] != n:
            raise ValueError(f"x must have shape (N, {n}), got {x.shape}")
        parameters = alone.copy()  # whoever calls at the same time has a bias of their own
        parameters[start : start + sizes[1]] = bias + extras[0] @ of_extras
        return kernel.forward(x, parameters, (n, *sizes[1:]), *rest)

    return apply

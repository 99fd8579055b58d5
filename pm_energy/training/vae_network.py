"""An MLP forward and backward in numpy alone: no compiler to wait for, activations kept between.

The formula is that of :meth:`pm_energy.networks.MLP.graph`; tests equate the two.
"""

import numpy as np
from scipy.special import expit


def forward(network, theta, x):
    """Outputs of a network, and the inputs and slopes of its layers that :func:`backward` needs.

    Parameters
    ----------
    network : MLP
        Without time, labels and residual connections.
    theta : dict of str to array
    x : array, shape (N, n_in)

    Returns
    -------
    outputs : array, shape (N, n_out)
    memory : tuple

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.networks import MLP
    >>> line = MLP(1, 1, hidden=())
    >>> theta = {"weights_0": np.array([[3.0]]), "bias_0": np.array([1.0])}
    >>> outputs, memory = forward(line, theta, np.array([[2.0]]))
    >>> outputs
    array([[7.]])
    >>> backward(network=line, theta=theta, memory=memory, cotangent=np.ones((1, 1)))
    (array([2., 1.]), array([[3.]]))
    """
    inputs, slopes = [x], []
    for layer in range(len(network.hidden)):
        field = inputs[-1] @ theta[f"weights_{layer}"]
        field += theta[f"bias_{layer}"]
        units, slope = _ACTIVATIONS[network.activation](field)
        inputs.append(units)
        slopes.append(slope)
    last = len(network.hidden)
    return inputs[-1] @ theta[f"weights_{last}"] + theta[f"bias_{last}"], (inputs, slopes)


def backward(network, theta, memory, cotangent):
    """Gradient of ``sum(cotangent * outputs)`` in the parameters, one vector, and in x.

    Parameters
    ----------
    network, theta
        As in :func:`forward`.
    memory : tuple
        Of :func:`forward`.
    cotangent : array, shape (N, n_out)

    Returns
    -------
    gradient : array
        In the order of :meth:`pm_energy.networks.MLP.flatten`.
    slope : array, shape (N, n_in)
    """
    inputs, slopes = memory
    parts = []
    for layer in reversed(range(len(inputs))):
        parts += [cotangent.sum(axis=0), (inputs[layer].T @ cotangent).ravel()]
        cotangent = cotangent @ theta[f"weights_{layer}"].T
        if layer:
            cotangent *= slopes[layer - 1]
    return np.concatenate(parts[::-1]), cotangent


def _silu(field):
    on = expit(field)
    units = field * on
    return units, on + units - units * on


def _tanh(field):
    units = np.tanh(field)
    return units, 1 - units**2


def _softplus(field):
    return np.logaddexp(0, field).astype(field.dtype, copy=False), expit(field)


def _relu(field):
    on = field > 0
    return field * on, on.astype(field.dtype)


_ACTIVATIONS = {"silu": _silu, "tanh": _tanh, "softplus": _softplus, "relu": _relu}

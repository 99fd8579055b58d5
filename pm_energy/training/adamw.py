"""Adam with decoupled weight decay, on top of PyMC's Adam.

References
----------
.. [1] Loshchilov & Hutter (2019), "Decoupled weight decay regularization", ICLR.
"""

from functools import partial

import numpy as np
from pymc.variational import updates as pymc_updates
from pytensor.graph.basic import Variable

from pm_energy.validate import positive


def adamw(
    loss_or_grads=None,
    params=None,
    learning_rate=1e-3,
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-8,
    weight_decay=1e-2,
    decay=None,
):
    """Adam with weight decay that does not pass through the gradient's moments [1]_.

    Each decaying parameter is also multiplied by ``1 - learning_rate * weight_decay`` at each step.

    Parameters
    ----------
    loss_or_grads : TensorVariable or list of TensorVariable
        A loss, or its gradient for each parameter.
    params : list of shared variables
    learning_rate : float or scalar variable
    beta1, beta2 : float
        How much of the averages of the gradient and of its square is kept at each step.
    epsilon : float
        Added to the root of the averaged square.
    weight_decay : float
    decay : collection of str, optional
        Names of the parameters that decay; by default all with two axes or more, since biases
        should not.

    Returns
    -------
    dict
        Next values of parameters and of the averages; without gradients and parameters, a function
        of these.

    Raises
    ------
    ValueError
        If a number is out of range, or ``decay`` names no parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.training.adamw import adamw
    >>> from pm_energy.training.optimisers import Updates
    >>> updates = Updates(adamw(learning_rate=0.1, weight_decay=0.5), {"w": np.ones((1, 1))})
    >>> updates({"w": np.ones((1, 1))}, {"w": np.zeros((1, 1))})
    {'w': array([[0.95]])}

    References
    ----------
    .. [1] Loshchilov & Hutter (2019), "Decoupled weight decay regularization", ICLR.
    """
    _check_range("beta1", beta1, below=1.0)
    _check_range("beta2", beta2, below=1.0)
    _check_range("weight_decay", weight_decay, below=np.inf)
    positive("epsilon", epsilon)
    moments = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    options = {"learning_rate": learning_rate, "weight_decay": weight_decay, "decay": decay}
    if loss_or_grads is None and params is None:
        return partial(adamw, **options, **moments)
    updates = pymc_updates.adam(loss_or_grads, params, learning_rate, **moments)
    unknown = set(decay or ()) - {param.name for param in params}
    if unknown:
        raise ValueError(
            f"decay names {sorted(unknown)}, but the parameters are {[p.name for p in params]}"
        )
    for param in params:
        if param.ndim >= 2 if decay is None else param.name in decay:
            updates[param] -= learning_rate * weight_decay * param
    return updates


def _check_range(name, value, below):
    if not isinstance(value, Variable) and not 0 <= value < below:
        raise ValueError(f"{name} must be at least 0 and below {below}, got {value!r}")

"""Classifier-free guidance: a step beyond what a label asks for."""

import numpy as np

from pm_energy.diffusion.checks import in_interval


def guide(predict, labels, scale, *, no_label):
    r"""Predictor of points with labels, their effect scaled [1]_.

    .. math:: \text{without} + w\,(\text{with} - \text{without})

    As predictions are linear in each other, any kind will do, and the score is that of
    :math:`p_t(x)^{1-w} p_t(x | c)^w` at each time. Unless w is 0 or 1 these are not the marginals
    of one diffusion, so what is sampled depends on the sampler, and is no tilted density of data.

    Parameters
    ----------
    predict : callable
        ``predict(x, t, labels)`` of labels (N,) returns (N, d).
    labels : int or array of int, shape (N,)
        What is wanted: one label for all points, or one for each.
    scale : float
        w above: 0 ignores labels, 1 takes them as they are, more exaggerates. Ho and Salimans
        count from 1: theirs is w - 1.
    no_label : int
        The label that stands for none.

    Returns
    -------
    callable
        Of x and t, for any sampler.

    Raises
    ------
    ValueError
        If the scale is negative or not finite; when called, if there is not one label for each
        point.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import guide
    >>> means = np.array([-2.0, 2.0, 0.0])  # of two classes, and of both
    >>> score = guide(lambda x, t, label: means[label, None] - x, 1, 2.0, no_label=2)
    >>> score(np.zeros((1, 1)), 0.5)
    array([[4.]])

    References
    ----------
    .. [1] Ho & Salimans (2022), "Classifier-free diffusion guidance", arXiv:2207.12598.
    """
    scale = in_interval("scale", scale, 0.0)
    labels = np.asarray(labels)
    if labels.ndim > 1:
        raise ValueError(f"labels must be one or have shape (N,), got shape {labels.shape}")

    def guided(x, t):
        if labels.ndim and len(labels) != len(x):
            raise ValueError(f"there are {len(labels)} labels for {len(x)} points")
        wanted = np.broadcast_to(labels, len(x))
        without = predict(x, t, np.full_like(wanted, no_label))
        return without + scale * (predict(x, t, wanted) - without)

    return guided

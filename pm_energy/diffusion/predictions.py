r"""What a network may say of a noisy point, and how to say the same in other words.

At (x_t, t) all are linear in what the point was made of,
:math:`x_t = \alpha x_0 + \sigma \epsilon`:

============  ======================================  =========================================
prediction    of data and noise                       who
============  ======================================  =========================================
``score``     :math:`-\epsilon / \sigma`              gradient of the log-density of x_t
``noise``     :math:`\epsilon`                        DDPM
``data``      :math:`x_0`                             denoisers; the mean of x_0 given x_t
``velocity``  :math:`\alpha' x_0 + \sigma' \epsilon`  flow matching: dx/dt of the probability flow
``v``         :math:`\alpha \epsilon - \sigma x_0`    Salimans & Ho (2022), ICLR
============  ======================================  =========================================

Expectations given x_t obey the same equations, so :math:`\epsilon = -\sigma s` holds for what
networks learn.
"""

import numpy as np

from pm_energy.diffusion.checks import checked_time
from pm_energy.diffusion.schedules import column

PREDICTIONS = ("score", "noise", "data", "velocity", "v")


def parts(kind, t, schedule):
    """How much data and how much noise a prediction consists of, at times in (0, 1].

    Parameters
    ----------
    kind : {"score", "noise", "data", "velocity", "v"}
    t : float or array
    schedule : NoiseSchedule

    Returns
    -------
    tuple of array
        Factors of ``x_0`` and of the noise, of the shape of t.

    Raises
    ------
    ValueError
        If the kind is unknown or a time outside (0, 1].

    Examples
    --------
    >>> from pm_energy.diffusion import StraightPath
    >>> from pm_energy.diffusion.predictions import parts
    >>> print(*parts("velocity", 0.3, StraightPath()))  # noise minus data
    -1.0 1.0
    """
    t = checked_time("t", t)
    return _parts(kind, t, schedule, *schedule.path(t))


def _parts(kind, t, schedule, alpha, sigma):
    zero = 0.0 * t
    if kind == "score":
        return zero, -1 / sigma
    if kind == "noise":
        return zero, zero + 1.0
    if kind == "data":
        return zero + 1.0, zero
    if kind == "velocity":
        return schedule.rates(t)
    if kind == "v":
        return -sigma, alpha
    raise ValueError(f"a prediction must be one of {PREDICTIONS}, got {kind!r}")


def factors(source, target, t, schedule):
    """Factors of x and of the source prediction that add up to the target prediction.

    Parameters
    ----------
    source, target : {"score", "noise", "data", "velocity", "v"}
    t : float or array
    schedule : NoiseSchedule

    Returns
    -------
    tuple of array
        ``a, b`` with ``target = a x + b source``, of the shape of t.

    Raises
    ------
    ValueError
        If a kind is unknown, a time is outside (0, 1], or the source does not say what the target
        asks for: noise does not tell the data where alpha = 0.
    """
    t = checked_time("t", t)
    alpha, sigma = schedule.path(t)
    data, noise = _parts(source, t, schedule, alpha, sigma)
    wanted_data, wanted_noise = _parts(target, t, schedule, alpha, sigma)
    cross = wanted_data * noise - wanted_noise * data
    if not cross.any():  # the same but for a factor: noise and score, for which alpha may be 0
        return 0.0 * t, (wanted_data * data + wanted_noise * noise) / (data**2 + noise**2)
    det = alpha * noise - sigma * data  # of the equations for x and for the source
    if not det.all():
        raise ValueError(
            f"{target} cannot be had from {source} where nothing is left of the data; "
            f"keep t at or below t_max = {schedule.t_max}"
        )
    return cross / det, (alpha * wanted_noise - sigma * wanted_data) / det


def convert(prediction, source, target, x, t, schedule):
    """Say a prediction in the words of another kind.

    Parameters
    ----------
    prediction : array, shape (N, d)
    source, target : {"score", "noise", "data", "velocity", "v"}
        What it is, and what is wanted.
    x : array, shape (N, d)
        Noisy points that it is about.
    t : float or array, shape (N,)
        Their times, in (0, 1].
    schedule : NoiseSchedule

    Returns
    -------
    array, shape (N, d)

    Raises
    ------
    ValueError
        If a kind is unknown, a time is outside (0, 1], or the source does not say what the target
        asks for.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import VarianceExploding, convert
    >>> x, score = np.array([[3.0]]), np.array([[-2.0]])
    >>> convert(score, "score", "data", x, 0.5, VarianceExploding(0.01, 100.0))  # sigma is 1
    array([[1.]])
    """
    t = checked_time("t", t)
    of_x, of_prediction = factors(source, target, t, schedule)
    return column(of_x) * x + column(of_prediction) * prediction


def predictor(predict, kind, target, schedule):
    """A predictor of another kind, which checks what the given one returns.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` for x of shape (N, d) and a float t returns (N, d).
    kind, target : {"score", "noise", "data", "velocity", "v"}
        What it predicts, and what is wanted.
    schedule : NoiseSchedule

    Returns
    -------
    callable
        Of x and t. It raises a ValueError where ``predict`` returns another shape, or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion import StraightPath
    >>> from pm_energy.diffusion.predictions import predictor
    >>> noise = predictor(lambda x, t: -x, "score", "noise", StraightPath())
    >>> noise(np.ones((1, 2)), 0.5)
    array([[0.5, 0.5]])
    """
    for name in (kind, target):
        parts(name, schedule.t_max, schedule)  # of a known kind, or an error now
    predict = checked_predict(predict)
    return lambda x, t: convert(predict(x, t), kind, target, x, t, schedule)


def checked_predict(predict):
    """A predictor that raises a ValueError where the given one returns another shape, or NaN."""
    if not callable(predict):
        raise ValueError(f"predict must be a function of x and t, got {predict!r}")

    def checked(x, t):
        prediction = np.asarray(predict(x, t), dtype=float)
        if prediction.shape != x.shape:
            raise ValueError(
                f"predict must return an array of the shape of x, {x.shape}, got {prediction.shape}"
            )
        if not np.isfinite(prediction).all():
            raise ValueError(
                f"predict returned NaN or infinity at t = {float(np.min(t)):.4g}; where it starts "
                f"from finite points, look at |x| <= {np.abs(x).max():.3g} there"
            )
        return prediction

    return checked

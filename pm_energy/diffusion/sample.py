"""One front door to all samplers: from the prior to data."""

from pm_energy.diffusion.ancestral import ddpm
from pm_energy.diffusion.ddim import ddim
from pm_energy.diffusion.dpm_solver import dpm_solver
from pm_energy.diffusion.langevin import annealed_langevin
from pm_energy.diffusion.ode import heun
from pm_energy.diffusion.predictor_corrector import predictor_corrector
from pm_energy.diffusion.sde import reverse_sde

METHODS = {
    "ddpm": ddpm,
    "ddim": ddim,
    "ode": heun,
    "dpm++": dpm_solver,
    "sde": reverse_sde,
    "pc": predictor_corrector,
    "langevin": annealed_langevin,
}
WITHOUT_NOISE = {"ode", "dpm++"}


def sample(predict, schedule, n, d, *, rng, method="ddpm", n_steps=100, **options):
    """Draw from a diffusion.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` of x (N, d) and a float t in (0, 1] returns (N, d).
    schedule : NoiseSchedule
    n, d : int
        Number of points and their dimension.
    rng : numpy.random.Generator
        For the starts and all noise: equal states give equal draws.
    method : {"ddpm", "ddim", "ode", "dpm++", "sde", "pc", "langevin"}
        :func:`ddpm`, :func:`ddim`, :func:`heun`, :func:`dpm_solver`, :func:`reverse_sde`,
        :func:`predictor_corrector` or :func:`annealed_langevin`.
    n_steps : int
        Steps, or noise levels.
    **options
        Passed on: ``kind``, what ``predict`` predicts, ``spacing``, ``path``, ``progressbar``, and
        what the method has of its own.

    Returns
    -------
    array, shape (n, d)
        With ``path=True`` all states, (n_steps + 1, n, d).

    Raises
    ------
    ValueError
        If the method is unknown, or an argument makes no sense.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> from pm_energy.diffusion import CosineVP, DiffusedMixture, sample
    >>> pair = pme.GaussianMixtureEnergy([0.5, 0.5], [[-3.0, 0.0], [3.0, 0.0]], 0.1)
    >>> score = DiffusedMixture(pair, CosineVP()).score
    >>> rng = np.random.default_rng(0)
    >>> x = sample(score, CosineVP(), 500, 2, rng=rng, method="dpm++", n_steps=20)
    >>> print(np.abs(np.abs(x[:, 0]) - 3).mean() < 0.5)
    True
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {tuple(METHODS)}, got {method!r}")
    start = schedule.prior(rng, n, d)
    noise = {} if method in WITHOUT_NOISE else {"rng": rng}
    return METHODS[method](predict, schedule, start, n_steps=n_steps, **noise, **options)

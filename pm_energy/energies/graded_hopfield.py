"""Hopfield's network of graded units: the deterministic descent of a free energy."""

import dataclasses
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.special import xlogy
from scipy.linalg import eigvalsh

from pm_energy.domains import Real
from pm_energy.energies.network import fits, network, numeric_network
from pm_energy.energies.retrieval import read_starts, retrieval
from pm_energy.typing import TensorLike
from pm_energy.validate import positive


@dataclass(frozen=True, eq=False)
class GradedHopfield:
    r"""Units in [-1, 1] that answer their input with ``tanh(gain * input)``.

    .. math:: E(v) = -\tfrac12 v^\top J v + \theta^\top v - h^\top v
              + \sum_i \frac{1}{g_i} \int_0^{v_i} \operatorname{artanh}(u) \, du

    and infinite outside. The integral is log 2 less the entropy of a spin of mean :math:`v_i`, so
    where all have one gain g this is, up to a constant, the mean-field free energy of the spins at
    temperature 1/g; as g grows it becomes the energy of :class:`~pm_energy.Hopfield`.

    Parameters
    ----------
    coupling : tensor_like, shape (n, n)
        Symmetric with zero diagonal.
    threshold, external : tensor_like, shape () or (n,)
        As for :class:`~pm_energy.Hopfield`.
    gain : tensor_like, shape () or (n,)
        Slope of each unit's answer, positive.

    Raises
    ------
    ValueError
        If the coupling is not square, symmetric and free of self-coupling, shapes do not fit,
        values are not finite or a gain is not positive.

    References
    ----------
    .. [1] Hopfield (1984), PNAS 81, 3088-3092.

    Examples
    --------
    >>> import numpy as np
    >>> import pm_energy as pme
    >>> memory = pme.Hopfield.from_patterns([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]])
    >>> graded = pme.GradedHopfield(memory.coupling, gain=5.0)
    >>> pme.energy_values(graded, np.zeros((1, 6)))
    array([0.])
    >>> recall = graded.recall([0.9, 0.9, 0.9, -0.9, -0.9, 0.1])
    >>> np.sign(recall.states), bool(recall.converged)
    (array([ 1.,  1.,  1., -1., -1., -1.]), True)
    """

    coupling: TensorLike
    threshold: TensorLike = 0.0
    external: TensorLike = 0.0
    _: KW_ONLY
    gain: TensorLike = 1.0
    n: int = dataclasses.field(init=False)

    domain: ClassVar[Real] = Real()

    def __post_init__(self):
        checked = network(self.coupling, threshold=self.threshold, external=self.external)
        gain = positive("gain", self.gain)
        fits("gain", gain, checked["n"])
        for name, value in {**checked, "gain": gain}.items():
            object.__setattr__(self, name, value)

    @property
    def event_shape(self):
        return (self.n,)

    def __call__(self, v):  # (..., n) -> (...)
        inside = pt.clip(v, -1.0, 1.0)
        integral = 0.5 * (xlogy(1.0 + inside, 1.0 + inside) + xlogy(1.0 - inside, 1.0 - inside))
        linear = (self.threshold - self.external) * inside + integral / self.gain
        energy = linear.sum(axis=-1) - 0.5 * ((inside @ self.coupling) * inside).sum(axis=-1)
        return pt.switch(pt.eq(v, inside).all(axis=-1), energy, np.inf)

    def recall(self, states, *, tol=1e-8, max_updates=1000):
        r"""Follow the network's dynamics ``du/dt = J v - theta + h - u``, ``v = tanh(gain u)``.

        The decay of u is stepped implicitly, the rest explicitly, which is a Bregman proximal
        gradient step on the energy; with the step length taken here it never raises the energy
        [1]_.

        Parameters
        ----------
        states : array_like, shape (..., n)
            Starts in (-1, 1).
        tol : float
            Largest change of an input u in an update at which a state counts as settled.
        max_updates : int

        Returns
        -------
        Retrieval

        References
        ----------
        .. [1] Bauschke, Bolte & Teboulle (2017), Mathematics of Operations Research 42, 330-348.
        """
        coupling, bias = numeric_network(self)
        gain = np.asarray(self.gain)
        v = read_starts("states", states, self.n)
        if (np.abs(v) >= 1).any():
            raise ValueError(f"states must lie in (-1, 1), got {v.flat[np.abs(v).argmax()]}")
        # the curvature of -v J v / 2 is at most `stiffness` times that of the integral
        stiffness = gain.max() * max(0.0, -eigvalsh(coupling, subset_by_index=[0, 0])[0])
        rate = 1.0 / (1.0 + stiffness)

        def answer(u):
            return np.tanh(gain * u)

        def update(u):
            v = answer(u)
            force = v @ coupling
            slope = gain * np.abs(u)  # log cosh without overflow
            log_cosh = slope + np.log1p(np.exp(-2 * slope)) - np.log(2)
            energy = (v * (u - bias - 0.5 * force) - log_cosh / gain).sum(axis=1)
            return u + rate * (force + bias - u), energy

        return retrieval(update, np.arctanh(v) / gain, tol, max_updates, answer)

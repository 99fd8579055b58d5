"""A Gaussian base, fitted to the target by variational inference, for when the prior is far.

Evidence along this path is as right as from the prior: the base is normalised, and what a bad fit
costs is only length of the path.
"""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.model.fgraph import clone_model

ITERATIONS = 20_000
WIDEN = 1.5  # mean-field fits are too narrow, and a narrow base makes heavy weights


@dataclass(frozen=True)
class Gaussian:
    """Independent normal densities over the value variables of a model.

    Parameters
    ----------
    mean, sd : dict of str to array
    """

    mean: dict
    sd: dict

    def log_density(self, values):
        """Log density of value variables, as a graph."""
        terms = []
        for value in values:
            mean, sd = self.mean[value.name], self.sd[value.name]
            z = (value - mean) / sd
            terms.append(pt.sum(-0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)))
        return sum(terms[1:], terms[0])

    def draw(self, rng, n):
        """Return n draws: name of value variable -> array (n, ...)."""
        return {
            name: mean + self.sd[name] * rng.normal(size=(n, *np.shape(mean)))
            for name, mean in self.mean.items()
        }


def fit_gaussian(model):
    """Fit by automatic differentiation variational inference, then widen."""
    with model:
        fit = pm.fit(ITERATIONS, method="advi", progressbar=False, random_seed=0)
    mean, sd = fit.mean.eval(), WIDEN * fit.std.eval()
    return Gaussian(_unravel(fit, mean), _unravel(fit, sd))


def _unravel(fit, flat):
    return {
        name: np.asarray(flat[part].reshape(shape), dtype=np.float64)
        for name, (_, part, shape, _) in fit.ordering.items()
    }


def gaussian_tempered_model(model, gaussian):
    """Return a clone whose density is ``q**(1 - beta) p**beta``, and the shared beta."""
    beta = pytensor.shared(np.float64(1.0), name="beta")
    clone = clone_model(model)
    log_p = clone.logp()
    log_q = gaussian.log_density(clone.value_vars)
    with clone:
        # where p vanishes it vanishes at every beta > 0; the difference would be NaN
        pm.Potential(
            "base__tempered", pt.switch(pt.isinf(log_p), 0.0, (1.0 - beta) * (log_q - log_p))
        )
    return clone, beta

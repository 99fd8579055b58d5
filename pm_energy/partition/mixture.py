r"""Draws of all levels as one sample of their mixture.

N_k draws from each of the densities :math:`e^{\beta_k u - F_k}` with respect to the base,
:math:`F_k = \log Z_k / Z_0`, pool into a sample of their mixture, and expectations at any beta
follow from it by importance weights. The F_k themselves are the solution of

.. math:: \sum_n p_k(u_n) = N_k, \qquad
          p_k(u) = \frac{e^{b_k + \beta_k u}}{\sum_j e^{b_j + \beta_j u}}, \quad
          b_k = \log N_k - F_k

(Shirts & Chodera 2008), which is the minimum of a convex function of b. Only u matters, not the
level that a draw came from.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

CHUNK = 2**16  # numbers held at a time, so that they stay in the cache
ONE_THREAD = 2**18  # multiplications in a matrix product that OpenBLAS does not share among
# threads: where other processes run, these wait for each other, and all gets 5 to 40 times slower
FIRST = 4096  # quantiles of u on which Newton's method starts, where there are many more draws
LAST_STEP = 1e-7  # of Newton's method, in nats: its error is then about the square
LONGEST = 10.0  # step, in nats: far from the minimum the function is nearly flat
MAX_STEPS = 100  # reached only where levels do not overlap and there is nothing to find
FLAT = 1e-13  # least curvature, a draw: what keeps levels without overlap apart from 1 / 0


@dataclass(frozen=True, eq=False)
class Mixture:
    """A sample of a mixture of levels, with the levels' normalisers.

    Parameters
    ----------
    u : ndarray (n,)
        Log-ratios of all draws; -inf where beta = 0 alone.
    state : ndarray of int (n,)
        Which level each was drawn at.
    beta : ndarray (K,)
        Inverse temperatures of the levels, increasing, each with draws.
    count : ndarray (K,)
        Number of draws at each.
    log_z : ndarray (K,)
        Log Z of each level relative to the first.
    bias : ndarray (K,)
        b_k, in the same gauge.
    inverse : ndarray (K, K)
        Inverse second derivative of the convex function.
    """

    u: np.ndarray
    state: np.ndarray
    beta: np.ndarray
    count: np.ndarray
    log_z: np.ndarray
    bias: np.ndarray
    inverse: np.ndarray

    def difference(self):
        r"""Log Z of the last level relative to the first, and how each draw moves it, (n,).

        The F_k are where :math:`\sum_n p_k(u_n) = N_k`, and a draw moves them by
        :math:`H^{-1} (p(u_n) - \langle p \rangle)` with the expectation at the draw's own level.
        Taken so, the numbers of draws may be fixed (parallel tempering) or random (simulated
        tempering). Shares sum to zero.
        """
        along = self.inverse[-1] - self.inverse[0]
        expected = along.copy()
        expected[0] += 1 / self.count[0]
        expected[-1] -= 1 / self.count[-1]
        shares = -expected[self.state]
        for part in parts(len(self.u), len(self.beta), 1):
            p, _ = membership(self.u[part], self.beta, self.bias)
            shares[part] += along @ p
        return self.log_z[-1], shares

    def log_weights(self, u, beta):
        """Log-weights (B, n) that turn draws of the mixture into draws at the given betas.

        They are normalised at the levels, and by linear interpolation of log Z between them.
        """
        return np.hstack([log_weight for _, _, log_weight in self._passes(u, beta)])

    def moments(self, beta, centre):
        r"""Moments at the given betas, split by level.

        Parameters
        ----------
        beta, centre : ndarray (B,)

        Returns
        -------
        log_z : ndarray (B,)
            Log Z relative to the first level.
        by_level : ndarray (3, B, K)
            :math:`\sum_n w_n (u_n - c)^i p_k(u_n)` for i = 0, 1, 2, with :math:`\sum_n w_n = 1`.
        """
        sums = np.zeros((3, len(beta), len(self.beta)))
        for part, p, log_weight in self._passes(self.u, beta):
            weight = np.exp(log_weight)
            v = _from_centre(self.u[part], centre)
            for power in range(3):
                sums[power] += weight @ p.T
                weight *= v
        total = sums[0].sum(axis=-1)
        return self._interpolated(beta) + np.log(total), sums / total[:, None]

    def shares(self, beta, log_z, by_level, polynomials, centre):
        r"""How each draw moves means :math:`\sum_n w_n h(u_n)` of polynomials h of u - centre.

        A draw takes part in the mean, and in the F_k that the weights rest on:

        .. math:: y_n = w_n h(u_n) + \sum_k t_k \big( p_k(u_n) - 1[n \text{ drawn at } k] \big),
                  \qquad t = H^{-1} \sum_n w_n h(u_n) \, p(u_n)

        Where the mean of h is zero, so is the expectation of the share at each level.

        Parameters
        ----------
        beta, centre : ndarray (B,)
        log_z, by_level : ndarray
            From :meth:`moments`.
        polynomials : ndarray (m, 3, B)
            Coefficients of the powers 0, 1, 2.

        Yields
        ------
        part : slice
            Of the draws.
        shares : ndarray (m, B, size)
        """
        pull = np.einsum("mib,ibk->mbk", polynomials, by_level)
        through = pull @ self.inverse
        constant, linear, square = polynomials.transpose(1, 0, 2)[..., None]
        shift = (log_z - self._interpolated(beta))[:, None]
        for part, p, log_weight in self._passes(self.u, beta):
            v = _from_centre(self.u[part], centre)
            share = np.exp(log_weight - shift) * (constant + v * (linear + v * square))
            share += through @ p
            share -= through[..., self.state[part]]
            yield part, share

    def _interpolated(self, beta):
        return np.interp(beta, self.beta, self.log_z)

    def _passes(self, u, beta):
        """Yield slices of draws, p (K, size) and log-weights (B, size)."""
        scale = self._interpolated(beta)[:, None]
        for part in parts(len(u), len(self.beta), len(beta)):
            p, log_mixture = membership(u[part], self.beta, self.bias)
            yield part, p, tilt(beta, u[part]) - log_mixture - scale


def solve(u, state, beta):
    """Pool draws of levels and find the levels' normalisers.

    Parameters
    ----------
    u : ndarray (n,)
        Log-ratios.
    state : ndarray of int (n,)
        Level of each draw.
    beta : ndarray (K,)
        Increasing; a level without draws must not be there.

    Returns
    -------
    Mixture
    """
    count = np.bincount(state, minlength=len(beta))
    bias = np.log(count) - _first_guess(u, state, beta)
    if u.size > 4 * FIRST:
        middle = ((np.arange(FIRST) + 0.5) * (u.size / FIRST)).astype(int)
        bias, _ = _minimise(np.sort(u)[middle], u.size / FIRST, beta, count, bias)
    bias, inverse = _minimise(u, 1.0, beta, count, bias)
    log_z = np.log(count) - bias
    return Mixture(u, state, beta, count, log_z - log_z[0], bias + log_z[0], inverse)


def parts(draws, levels, rows):
    """Yield slices of the draws, of a size that is fast for ``rows`` numbers a draw and level."""
    size = max(32, min(CHUNK // (levels + rows), ONE_THREAD // (levels * rows)))
    for start in range(0, draws, size):
        yield slice(start, start + size)


def membership(u, beta, bias):
    """Probabilities p_k (K, n) that draws belong to each level, and log of their denominator."""
    p = tilt(beta, u)
    p += bias[:, None]
    largest = p.max(axis=0)
    p -= largest
    np.exp(p, out=p)
    total = p.sum(axis=0)
    p /= total
    return p, largest + np.log(total)


def tilt(beta, u):
    """Beta times u, (K, n); zero at beta = 0, for u = -inf too."""
    with np.errstate(invalid="ignore"):
        out = np.multiply.outer(beta, u)
    out[np.equal(beta, 0)] = 0.0
    return out


def _first_guess(u, state, beta):
    """Log Z of the levels by stepping stones, the mean of forward and backward ones."""
    draws = [u[state == k] for k in range(len(beta))]
    steps = []
    for k, width in enumerate(np.diff(beta)):
        up, down = width * draws[k], -width * draws[k + 1]
        both = [logsumexp(up) - np.log(up.size), np.log(down.size) - logsumexp(down)]
        steps.append(np.mean([step for step in both if np.isfinite(step)]))
    return np.cumsum([0.0, *steps])


def _minimise(u, weight, beta, count, bias):
    """Newton's method on the convex function, each draw counting ``weight`` times."""
    value, gradient, inverse = _derivatives(u, weight, beta, count, bias)
    for _ in range(MAX_STEPS):
        step = -inverse @ gradient
        step *= min(1.0, LONGEST / max(np.abs(step).max(), LONGEST))
        if np.abs(step).max() < LAST_STEP:
            return bias + step, inverse
        found = _derivatives(u, weight, beta, count, bias + step)
        while found[0] > value + 1e-9 * abs(value) and np.abs(step).max() > LAST_STEP:
            step /= 2
            found = _derivatives(u, weight, beta, count, bias + step)
        bias = bias + step
        value, gradient, inverse = found
    return bias, inverse


def _derivatives(u, weight, beta, count, bias):
    """Value, gradient and inverse second derivative of the convex function."""
    value, levels = 0.0, len(beta)
    total, overlap = np.zeros(levels), np.zeros((levels, levels))
    for part in parts(len(u), levels, levels):
        p, log_mixture = membership(u[part], beta, bias)
        value += log_mixture.sum()
        total += p.sum(axis=1)
        overlap += p @ p.T
    # equal shifts of all b change nothing, so their curvature is free
    curvature = weight * (np.diag(total) - overlap + total.mean() / levels)
    along, axes = np.linalg.eigh(curvature)
    inverse = (axes / np.maximum(along, FLAT * count.sum())) @ axes.T
    return weight * value - count @ bias, weight * total - count, inverse


def _from_centre(u, centre):
    """U - centre (B, n); zero where u = -inf, whose weight is zero at beta > 0."""
    return np.where(np.isneginf(u), 0.0, u - centre[:, None])

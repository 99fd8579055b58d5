"""What every estimator of log Z returns."""

from dataclasses import dataclass

import numpy as np

from pm_energy.partition.errors import mcse_of_mean


@dataclass(frozen=True, slots=True)
class LogPartition:
    """An estimate of log Z, or of a log evidence.

    Parameters
    ----------
    value : float
        The estimate, in nats.
    mcse : float
        Its Monte Carlo standard error. NaN if the draws do not tell.
    lower, upper : float
        Bounds: log Z is between them but for *their* Monte Carlo error. Infinite if there are none.
    method : str
        The estimator.

    Examples
    --------
    >>> from pm_energy.partition import LogPartition
    >>> log_z = LogPartition(-14.6123, 0.0312, -15.1, float("inf"), "mbar")
    >>> print(log_z)
    -14.612 ± 0.031 (mbar; at least -15.100)
    >>> round(log_z.errors_from(-14.59), 2)
    -0.71
    """

    value: float
    mcse: float
    lower: float
    upper: float
    method: str

    def errors_from(self, other):
        """How many standard errors this is above another estimate, or above an exact value.

        The errors of two estimates are taken as independent, as from different runs.
        :func:`check_evidence` compares estimates that were made from the same draws.
        """
        if isinstance(other, LogPartition):
            return (self.value - other.value) / np.hypot(self.mcse, other.mcse)
        return (self.value - other) / self.mcse

    def __str__(self):
        digits = 3
        if np.isfinite(self.mcse) and self.mcse > 0:
            digits = int(np.clip(1 - np.floor(np.log10(self.mcse)), 0, 15))
        notes = [self.method]
        if np.isfinite([self.lower, self.upper]).all():
            notes.append(f"between {self.lower:.{digits}f} and {self.upper:.{digits}f}")
        elif np.isfinite(self.lower):
            notes.append(f"at least {self.lower:.{digits}f}")
        elif np.isfinite(self.upper):
            notes.append(f"at most {self.upper:.{digits}f}")
        return f"{self.value:.{digits}f} ± {self.mcse:.{digits}f} ({'; '.join(notes)})"


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    r"""An estimate of log(Z_1 / Z_0) that knows how each draw moved it.

    To first order its error is a sum of means of such *shares* (the influence function):

    .. math:: \hat v - v \approx \sum_s \frac{1}{n_s} \sum_t y_{s,t}

    So its standard error is that of means of series, and the error of the difference of two
    estimates from the same draws is that of the difference of their shares.

    Parameters
    ----------
    value : float
    method : str
    shares : tuple of ndarray (chain, draw)
        One array for each independent set of draws.
    lower, upper : float
        Bounds of log(Z_1 / Z_0).
    floor : float
        The least standard error, from what the shares cannot see.
    """

    value: float
    method: str
    shares: tuple = ()
    lower: float = -np.inf
    upper: float = np.inf
    floor: float = 0.0

    @property
    def mcse(self):
        """Monte Carlo standard error of the value."""
        own = np.sqrt(sum(mcse_of_mean(share) ** 2 for share in self.shares))
        return float(np.maximum(own, self.floor))

    def errors_from(self, other):
        """How many errors of the difference this is above an estimate from the same draws."""
        error = np.sqrt(
            sum(mcse_of_mean(a - b) ** 2 for a, b in zip(self.shares, other.shares, strict=True))
        )
        gap = self.value - other.value
        if error > 0:
            return float(gap / error)
        return float(np.copysign(np.inf, gap)) if gap else 0.0

    def log_partition(self, log_z_base=0.0):
        """Return the :class:`LogPartition` of the target, given log Z_0 of the base."""
        return LogPartition(
            value=float(self.value + log_z_base),
            mcse=self.mcse,
            lower=float(self.lower + log_z_base),
            upper=float(self.upper + log_z_base),
            method=self.method,
        )


class NotAvailable(ValueError):
    """The draws do not allow this estimator; the message says why."""


class EvidenceWarning(UserWarning):
    """A reason not to trust an estimate of log Z.

    A class of its own, so that a script can refuse such estimates:

    >>> import warnings
    >>> from pm_energy.partition import EvidenceWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", EvidenceWarning)
    ...     pass  # here log_evidence raises where it would warn
    """

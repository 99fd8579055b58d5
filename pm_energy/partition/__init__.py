r"""Log Z and log evidence from tempered draws, each estimate with an error and, if any, bounds.

:func:`log_evidence` reads what a tempering driver returned and takes the best estimator that it
allows; :func:`evidence_table` shows all of them; the others take arrays. The notion is that of a
path, :math:`\log p_\beta(x) = \log p_0(x) + \beta u(x) - \log Z_\beta`, with u the log-ratio of
target and base.

Which one to trust
------------------

*Parallel and simulated tempering.* :func:`mbar` uses all draws at once and has the smallest error.
:func:`bridge` needs only neighbours to overlap and is nearly as good with few levels.
The stepping stones are of use for their signs: :func:`stepping_stone_forward` errs low and
:func:`stepping_stone_backward` high, so where they disagree the levels are too far apart. The
backward one must not be trusted near a vague prior, where its weights have a heavy tail.
:func:`thermodynamic_integration` has an error of quadrature that no draws remove and its ``mcse``
does not count; its bounds, though, hold for any ladder. :func:`rao_blackwell` does not depend on
how often a level was visited, but on weights that make all levels visited.

*Annealed importance sampling.* :func:`ais_bridge` with works in both directions. :func:`ais` alone
is dominated by rare small works once they vary by more than a few nats: it is then too low, and its
error too small; its lower bound stands. :func:`ais_reverse` gives an upper bound only if its runs
start from exact draws of the target.

*Population annealing.* :func:`population_annealing`: its error counts what the founders contributed
and the spread of independent populations; its bias is about minus half the square of the error.

Errors are calibrated where draws visit what matters: over repeated runs (value - truth) / mcse has
a standard deviation near one, autocorrelation included. No error knows of a mode that was never
visited. Where energies jump (:func:`two_peaks`), walkers rarely change phase and all estimators
agree on a wrong number: :func:`check_evidence` looks for that, and :func:`log_evidence` warns.
"""

from pm_energy.partition.checks import check_evidence
from pm_energy.partition.curve import free_energy_curve
from pm_energy.partition.errors import effective_draws, mcse_of_mean
from pm_energy.partition.evidence import evidence_table, log_evidence
from pm_energy.partition.mbar import bridge, mbar
from pm_energy.partition.population import population_annealing, population_integration
from pm_energy.partition.result import Estimate, EvidenceWarning, LogPartition, NotAvailable
from pm_energy.partition.second_law import second_law
from pm_energy.partition.stepping_stone import (
    stepping_stone,
    stepping_stone_backward,
    stepping_stone_forward,
)
from pm_energy.partition.thermodynamic import thermodynamic_integration
from pm_energy.partition.two_peaks import two_peaks
from pm_energy.partition.wandering import rao_blackwell
from pm_energy.partition.works import ais, ais_bridge, ais_reverse

__all__ = [
    "Estimate",
    "EvidenceWarning",
    "LogPartition",
    "NotAvailable",
    "ais",
    "ais_bridge",
    "ais_reverse",
    "bridge",
    "check_evidence",
    "effective_draws",
    "evidence_table",
    "free_energy_curve",
    "log_evidence",
    "mbar",
    "mcse_of_mean",
    "population_annealing",
    "population_integration",
    "rao_blackwell",
    "second_law",
    "stepping_stone",
    "stepping_stone_backward",
    "stepping_stone_forward",
    "thermodynamic_integration",
    "two_peaks",
]

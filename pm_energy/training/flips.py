"""Objectives without log Z: what it costs to flip each unit of the data."""

FLIP_KINDS = ("pseudolikelihood", "ratio-matching", "probability-flow")


class FlipObjective:
    """Pseudo-likelihood, ratio matching or minimum probability flow.

    All three compare each row with the rows that differ from it in one unit, so log Z cancels.
    With the change of free energy ``Delta_i = F(x with unit i flipped) - F(x)`` they are sums over
    units of ``log(1 + exp(-Delta_i))`` [1]_, ``sigmoid(-Delta_i)**2`` [2]_ and
    ``exp(-Delta_i / 2)`` [3]_, which are least where the data are likelier than their neighbours.

    Parameters
    ----------
    kind : {"pseudolikelihood", "ratio-matching", "probability-flow"}

    Raises
    ------
    ValueError
        If there is no such kind.

    References
    ----------
    .. [1] Besag (1975), The Statistician 24, 179-195.
    .. [2] Hyvarinen (2007), Computational Statistics & Data Analysis 51, 2499-2512.
    .. [3] Sohl-Dickstein, Battaglino & DeWeese (2011), Physical Review Letters 107, 220601.
    """

    deterministic = True

    def __init__(self, kind="pseudolikelihood"):
        if kind not in FLIP_KINDS:
            raise ValueError(f"kind must be one of {FLIP_KINDS}, got {kind!r}")
        self.kind = kind

    def state(self):
        """Nothing is carried from batch to batch."""
        return {}

    def restore(self, state):
        """Nothing to restore."""

    def gradient(self, model, theta, x, weights, rng):
        """Return the gradient of the loss, and the loss."""
        loss, gradient = model.flip_loss(theta, x, self.kind, weights)
        return gradient, {"loss": loss}

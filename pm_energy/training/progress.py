"""A progress bar for learning: PyMC's, with what is being learned written beside it."""

from pymc.progress_bar import create_simple_progress
from rich.progress import Progress as RichProgress


class Progress:
    """Context manager over a known number of steps.

    Parameters
    ----------
    description : str
    total : int
    show : bool

    Examples
    --------
    >>> from pm_energy.training.progress import Progress
    >>> with Progress("learning", total=2, show=False) as progress:
    ...     for _ in range(2):
    ...         progress.advance("log-likelihood -1.00")
    """

    def __init__(self, description, total, show):
        self.description = description
        self._bar = create_simple_progress(progressbar=bool(show))
        self._total = total

    def __enter__(self):
        self._bar.__enter__()
        self._task = self._bar.add_task(self.description, completed=0, total=self._total)
        return self

    def __exit__(self, *exception):
        return self._bar.__exit__(*exception)

    def advance(self, text=""):
        """Say that one step is done, and what it found."""
        self._bar.advance(self._task, 1)
        if text and isinstance(self._bar, RichProgress):  # other bars cannot change their text
            self._bar.update(self._task, description=f"{self.description}: {text}")

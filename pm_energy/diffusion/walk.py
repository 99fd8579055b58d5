"""The loop that samplers share: through times, keeping the path if asked, with a progress bar."""

import numpy as np
from rich.progress import track


def walk(step, x, n_steps, *, path=False, progressbar=False, description="sampling"):
    """Apply ``x = step(i, x)`` for i = 0, ..., n_steps - 1.

    Parameters
    ----------
    step : callable
    x : array, shape (N, d)
    n_steps : int
    path : bool
        Whether to return all states and not only the last one.
    progressbar : bool
    description : str
        Written beside the bar.

    Returns
    -------
    array, shape (N, d) or (n_steps + 1, N, d)

    Examples
    --------
    >>> import numpy as np
    >>> from pm_energy.diffusion.walk import walk
    >>> walk(lambda i, x: x / 2, np.ones((1, 1)), 3, path=True).ravel()
    array([1.   , 0.5  , 0.25 , 0.125])
    """
    states = [x]
    for i in track(range(n_steps), description=description, disable=not progressbar):
        x = step(i, x)
        if path:
            states.append(x)
    return np.array(states) if path else x

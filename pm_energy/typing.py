"""Types used in signatures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

type Array = NDArray[np.generic]
# A number, an array or a PyTensor variable, random or not. No narrower type knows their arithmetic.
type TensorLike = Any

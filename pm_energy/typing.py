"""Types used in signatures."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pytensor.graph.basic import Variable

type Array = NDArray[np.generic]
type TensorLike = ArrayLike | Variable  # a number, an array or a PyTensor variable, random or not

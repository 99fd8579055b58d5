"""Seeds of kernels: words of numpy's generators, the same by whichever road they are drawn."""

import numpy as np
import pytest

from pm_energy.kernels.random import LANES, seed_words


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937"])
def test_words_are_those_of_integers(bits):
    """Zero, which they would leave out, has a chance of 2^-64."""
    ours, numpys = (np.random.Generator(getattr(np.random, bits)(3)) for _ in "ab")
    for lanes in (None, LANES, None):
        assert ours.integers(7, dtype=np.int32) == numpys.integers(7, dtype=np.int32)
        words = seed_words(ours, lanes)
        shape = 4 if lanes is None else (4, lanes)
        expected = numpys.integers(1, 2**64, size=shape, dtype=np.uint64)
        np.testing.assert_array_equal(words, expected)
        assert words.dtype == np.uint64
    assert ours.random() == numpys.random()

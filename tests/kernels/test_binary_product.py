"""States in {0, 1} times weights: both ways equal the ordinary matrix product."""

import numpy as np
import pytest

from pm_energy.kernels.binary_product import (
    GROUPS,
    VECTOR_BYTES,
    add_all_units,
    add_listed_units,
    aligned_zeros,
    tile_weights,
)

SHAPES = [(1, 1), (5, 3), (64, 64), (65, 33), (97, 130), (784, 70)]


def in_tiles(matrix, tile):
    batch, n = matrix.shape
    n_tiles = -(-n // tile)
    flat = aligned_zeros(n_tiles * batch * tile, matrix)
    padded = np.pad(matrix, ((0, 0), (0, n_tiles * tile - n)))
    flat.reshape(n_tiles, batch, tile)[:] = padded.reshape(batch, n_tiles, tile).transpose(1, 0, 2)
    return flat


def out_of_tiles(flat, batch, n, tile):
    return flat.reshape(-1, batch, tile).transpose(1, 0, 2).reshape(batch, -1)[:, :n]


def case(rng, n, m, batch, dtype):
    weights = rng.normal(size=(n, m)).astype(dtype)
    tile = VECTOR_BYTES // weights.itemsize
    states = (rng.random((batch, n)) < 0.4).astype(np.uint8)
    fields = aligned_zeros(-(-m // tile) * batch * tile, weights)
    return weights, tile_weights(weights.reshape(-1), n, m, m, 1), states, fields, tile


def tolerance(weights):
    """A sum of n numbers is right to n units in the last place of the sum of their sizes."""
    return len(weights) * np.finfo(weights.dtype).eps * np.abs(weights).sum(0).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "m"), SHAPES)
@pytest.mark.parametrize("batch", [1, 7])
def test_tables_and_lists_equal_the_matrix_product(n, m, batch, dtype):
    rng = np.random.default_rng(n * m + batch)
    weights, tiled, states, fields, tile = case(rng, n, m, batch, dtype)
    exact = states @ weights.astype(float)
    tables = aligned_zeros(GROUPS * 16 * tile, weights)
    rows = -(-n // tile) * tile
    flat = in_tiles(states, tile)
    add_all_units(fields, flat, tiled, rows, batch, n, tables)
    np.testing.assert_allclose(
        out_of_tiles(fields, batch, m, tile), exact, rtol=0, atol=tolerance(weights)
    )
    fields[:] = 0
    add_listed_units(fields, flat, flat, tiled, rows, batch)
    np.testing.assert_allclose(
        out_of_tiles(fields, batch, m, tile), exact, rtol=0, atol=tolerance(weights)
    )


@pytest.mark.parametrize("flip_rate", [0.0, 0.03, 0.5, 1.0])
def test_listed_flips_bring_the_fields_up_to_date(flip_rate):
    rng = np.random.default_rng(1)
    weights, tiled, old, fields, tile = case(rng, 97, 130, 7, np.float64)
    flipped = (rng.random(old.shape) < flip_rate).astype(np.uint8)
    fields[:] = in_tiles(old @ weights, tile)
    new = old ^ flipped
    rows = -(-97 // tile) * tile
    add_listed_units(fields, in_tiles(new, tile), in_tiles(flipped, tile), tiled, rows, 7)
    np.testing.assert_allclose(out_of_tiles(fields, 7, 130, tile), new @ weights, atol=1e-12)


def test_tiles_of_the_transpose_need_no_transposed_copy():
    weights = np.random.default_rng(2).normal(size=(70, 45))
    direct = tile_weights(np.ascontiguousarray(weights.T).reshape(-1), 45, 70, 70, 1)
    np.testing.assert_array_equal(tile_weights(weights.reshape(-1), 45, 70, 1, 45), direct)


def test_arrays_start_on_a_cache_line():
    for size in range(1, 40):
        assert aligned_zeros(size, np.zeros(1)).ctypes.data % 64 == 0
        assert aligned_zeros(size, np.zeros(1, np.uint8)).ctypes.data % 64 == 0

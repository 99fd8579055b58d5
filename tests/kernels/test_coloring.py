import numpy as np
import pytest
from spin_oracle import graph, lattice_matrix, random_system

from pm_energy.kernels.coloring import color_order, greedy_colors


def is_proper(colors, matrix):
    rows, columns = np.nonzero(matrix)
    return (colors[rows] != colors[columns]).all()


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 1.0])
def test_neighbours_differ_and_colours_are_at_most_one_more_than_the_degree(density):
    matrix, _ = random_system(60, seed=4, density=density)
    colors = greedy_colors(*graph(matrix)[:2])
    assert is_proper(colors, matrix)
    assert colors.min() == 0
    assert colors.max() <= (matrix != 0).sum(0).max()


@pytest.mark.parametrize(
    ("shape", "periodic"), [((6, 8), True), ((5, 7), False), ((4, 3, 5), (True, False, False))]
)
def test_a_bipartite_lattice_gets_its_checkerboard(shape, periodic):
    matrix = lattice_matrix(shape, periodic, 1.0)
    colors = greedy_colors(*graph(matrix)[:2]).reshape(shape)
    np.testing.assert_array_equal(colors, np.indices(shape).sum(0) % 2)


def test_a_tree_numbered_at_random_gets_two_colours():
    rng = np.random.default_rng(5)
    matrix, names = np.zeros((40, 40)), rng.permutation(40)
    for child in range(1, 40):
        a, b = names[child], names[rng.integers(child)]
        matrix[a, b] = matrix[b, a] = 1.0
    colors = greedy_colors(*graph(matrix)[:2])
    assert is_proper(colors, matrix)
    assert set(colors) == {0, 1}


def test_order_visits_every_site_once_colour_by_colour():
    matrix, _ = random_system(50, seed=6, density=0.1)
    order = color_order(*graph(matrix)[:2])
    np.testing.assert_array_equal(np.sort(order), np.arange(50))
    assert (np.diff(greedy_colors(*graph(matrix)[:2])[order]) >= 0).all()


def test_no_bonds_one_colour():
    np.testing.assert_array_equal(greedy_colors(np.zeros(4, int), np.empty(0, int)), np.zeros(3))

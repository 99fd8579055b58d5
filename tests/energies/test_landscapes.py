import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.optimize import approx_fprime
from scipy.special import iv, logsumexp
from scipy.stats import chisquare, kstest, norm

from pm_energy.compile import ONCE, compile_function, energy_values
from pm_energy.energies.gaussian_mixture import GaussianMixtureEnergy
from pm_energy.energies.landscapes import DoubleWell, Funnel, MuellerBrown, Rosenbrock
from pm_energy.energies.multimodal import Eggbox, GaussianShells
from pm_energy.structure import flatten, unflatten

MEANS = np.array([[-2.0, 0.0], [1.0, 1.5], [2.0, -2.0]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
FULL = np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.3, 0.0], [0.0, 1.5]], [[2.0, -1.1], [-1.1, 1.0]]])

TABLE = {  # a box that holds all but 1e-9 of the mass, and a grid that resolves it
    "double well": (DoubleWell(2, barrier=3.0, tilt=0.4), (-3, 3), (-3, 3)),
    "steep double well": (DoubleWell(2, barrier=60.0, position=2.0, tilt=-0.3), (-4, 4), (-4, 4)),
    "funnel": (Funnel(2, scale=0.5), (-4, 4), (-15, 15)),
    "banana": (Rosenbrock(0.5, stiffness=2.0, scale=1.5), (-6, 7), (-7, 50)),
    "mixture, full": (GaussianMixtureEnergy(WEIGHTS, MEANS, FULL), (-11, 13), (-11, 12)),
    "mixture, diagonal": (
        GaussianMixtureEnergy(WEIGHTS, MEANS, [[1.0, 0.5], [0.2, 2.0], [1.0, 1.0]]),
        (-9, 9),
        (-10, 11),
    ),
    "mixture, isotropic": (
        GaussianMixtureEnergy(WEIGHTS, MEANS, [0.5, 1.0, 1.5]),
        (-9, 11),
        (-11, 9),
    ),
    "mixture, shared": (GaussianMixtureEnergy(WEIGHTS, MEANS, 0.7), (-8, 8), (-8, 8)),
    "eggbox": (Eggbox(), (0, 10 * np.pi), (0, 10 * np.pi)),
    "shells": (GaussianShells(2), (-6, 6), (-6, 6)),
}


def masses(energy, x_range, y_range, points=1200, cells=48):
    """Log Z and the probabilities of the cells of a grid, by the midpoint rule."""
    sides = [
        low + (high - low) * (np.arange(points) + 0.5) / points for low, high in (x_range, y_range)
    ]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    area = np.prod([(high - low) / points for low, high in (x_range, y_range)])
    log_p = -energy_values(energy, grid)
    log_z = logsumexp(log_p)
    share = np.exp(log_p - log_z).reshape(cells, points // cells, cells, points // cells)
    return log_z + np.log(area), share.sum(axis=(1, 3))


def log_partition(energy):
    return float(compile_function([], energy.log_partition(), mode=ONCE)())


@pytest.mark.parametrize("name", TABLE)
def test_log_partition_and_draws_agree_with_quadrature(name):
    energy, x_range, y_range = TABLE[name]
    log_z, p = masses(energy, x_range, y_range)
    assert log_partition(energy) == pytest.approx(log_z, abs=1e-6 if name == "shells" else 1e-9)

    n = 20_000
    x = energy.draw(np.random.default_rng(1), n)
    assert x.shape == (n, 2)
    assert np.isfinite(energy_values(energy, x)).all()

    def agrees(x):
        edges = [np.linspace(*r, 49) for r in (x_range, y_range)]
        counts, expected = np.histogram2d(*x.T, bins=edges)[0].ravel(), n * p.ravel()
        rare = expected < 20
        counts = np.append(counts[~rare], n - counts[~rare].sum())
        expected = np.append(expected[~rare], n - expected[~rare].sum())
        if expected[-1] < 20:  # too few even together
            counts, expected = counts[:-1], expected[:-1] * counts[:-1].sum() / expected[:-1].sum()
        return chisquare(counts, expected).pvalue > 1e-6  # false alarm: one in a million

    assert agrees(x)
    middle = np.mean([x_range, y_range], axis=1)
    assert not agrees(middle + 0.93 * (x - middle))  # a slightly wrong sampler is noticed


@pytest.mark.parametrize(("barrier", "position"), [(0.05, 1.0), (4.0, 1.0), (1000.0, 0.3)])
def test_double_well_log_partition_is_the_bessel_form(barrier, position):
    # integral of exp(-b (t^2 - 1)^2) over t, t = x / a
    u = barrier / 2
    bessel = 0.5 * np.pi * np.exp(-u) * (iv(-0.25, u) + iv(0.25, u)) if u < 300 else None
    if bessel is None:  # its expansion for large u
        bessel = np.sqrt(np.pi / barrier) * (1 + 3 / (32 * u) + 105 / (2048 * u**2))
    energy = DoubleWell(3, barrier=barrier, position=position)
    assert log_partition(energy) == pytest.approx(3 * np.log(position * bessel), abs=1e-8)


def test_one_dimensional_draws_follow_their_distribution_in_more_dimensions():
    rng = np.random.default_rng(2)
    grid = np.linspace(-3, 3, 20_001)
    energy = DoubleWell(5, barrier=2.0, tilt=-0.5)
    cdf = np.cumsum(np.exp(-energy_values(DoubleWell(1, barrier=2.0, tilt=-0.5), grid[:, None])))
    x = energy.draw(rng, 4_000).ravel()
    assert kstest(x, lambda t: np.interp(t, grid, cdf / cdf[-1])).pvalue > 1e-6
    assert kstest(-x, lambda t: np.interp(t, grid, cdf / cdf[-1])).pvalue < 1e-6


def test_funnel_draws_are_normal_given_the_neck():
    x = Funnel(10).draw(np.random.default_rng(3), 5_000)
    assert kstest(x[:, 0] / 3.0, "norm").pvalue > 1e-6
    standard = x[:, 1:] * np.exp(-0.5 * x[:, :1])
    assert kstest(standard.ravel(), "norm").pvalue > 1e-6
    assert kstest((x[:, 1:] * np.exp(-x[:, :1])).ravel(), "norm").pvalue < 1e-6


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_shells_log_partition_and_radii(n):
    shells = GaussianShells(n)
    r = np.linspace(1.0, 3.0, 20_001)
    density = r ** (n - 1) * np.exp(-0.5 * ((r - 2.0) / 0.1) ** 2) / np.sqrt(0.02 * np.pi)
    area = {1: 2.0, 2: 2 * np.pi, 5: 8 * np.pi**2 / 3, 10: np.pi**5 / 12}[n]
    integral = 2 * area * np.trapezoid(density, r)
    assert log_partition(shells) == pytest.approx(np.log(integral) - n * np.log(12.0), abs=1e-12)
    x = shells.draw(np.random.default_rng(4), 5_000)
    centred = x - 3.5 * np.sign(x[:, :1]) * np.eye(n)[0]
    cdf = np.cumsum(density) / density.sum()
    assert kstest(np.linalg.norm(centred, axis=1), lambda t: np.interp(t, r, cdf)).pvalue > 1e-6
    assert abs(np.mean(x[:, 0] > 0) - 0.5) < 5 * 0.5 / np.sqrt(5_000)


def test_the_published_evidences():
    assert log_partition(Eggbox()) == pytest.approx(235.856, abs=5e-4)
    published = {2: -1.746, 5: -5.674, 10: -14.590}
    for n, value in published.items():
        assert log_partition(GaussianShells(n)) == pytest.approx(value, abs=5e-4)


def test_outside_the_box_the_energy_is_infinite():
    for energy, low, high in ((Eggbox(), 0.0, 10 * np.pi), (GaussianShells(2), -6.0, 6.0)):
        x = np.array([[low, high], [low - 1e-9, 1.0], [1.0, high + 1e-9], [np.inf, 1.0]])
        np.testing.assert_array_equal(np.isinf(energy_values(energy, x)), [False, True, True, True])
        start = energy.support_point()
        assert np.isfinite(energy_values(energy, start[None])).all()


MINIMA = [(-0.55822363, 1.44172584), (0.62349941, 0.02803776), (-0.05001082, 0.46669410)]
SADDLES = [(-0.82200156, 0.62431281), (0.21248658, 0.29298833)]


def test_mueller_brown_has_the_published_stationary_points():
    energy = MuellerBrown()
    values = energy_values(energy, np.array(MINIMA + SADDLES))
    published = [-146.6995, -108.1667, -80.7678, -40.6648, -72.2489]
    np.testing.assert_allclose(values, published, atol=1e-3)

    def cost(x):
        return energy_values(energy, np.atleast_2d(x))[0]

    for point, n_down in [(p, 0) for p in MINIMA] + [(p, 1) for p in SADDLES]:
        slope = approx_fprime(np.array(point), cost, 1e-6)
        assert np.abs(slope).max() < 0.01
        step, point = 1e-4, np.array(point)
        hessian = np.array([
            [
                (cost(point + step * (a + b)) - cost(point + step * (a - b))
                 - cost(point - step * (a - b)) + cost(point - step * (a + b))) / (4 * step**2)
                for a in np.eye(2)
            ]
            for b in np.eye(2)
        ])  # fmt: skip
        assert (np.linalg.eigvalsh(hessian) < 0).sum() == n_down


def test_rosenbrock_and_funnel_densities_are_products_of_normals():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((20, 2))
    a, b, s = 1.0, 100.0, 20.0
    marginal = -((x[:, 0] - a) ** 2) / s - 0.5 * np.log(np.pi * s)
    conditional = -b * (x[:, 1] - x[:, 0] ** 2) ** 2 / s - 0.5 * np.log(np.pi * s / b)
    energy = Rosenbrock()
    log_p = -energy_values(energy, x) - log_partition(energy)
    np.testing.assert_allclose(log_p, marginal + conditional, rtol=1e-12)

    x = rng.standard_normal((20, 4))
    log_p = norm(0.0, 3.0).logpdf(x[:, 0])
    log_p += norm(0.0, np.exp(x[:, :1] / 2)).logpdf(x[:, 1:]).sum(axis=1)
    np.testing.assert_allclose(-energy_values(Funnel(4), x), log_p, rtol=1e-12)


@pytest.mark.parametrize(
    "energy",
    [
        DoubleWell(2, barrier=3.0, tilt=0.5),
        DoubleWell(1, barrier=3.0),
        Rosenbrock(),
        Funnel(3),
        GaussianShells(3),
        GaussianMixtureEnergy(WEIGHTS, MEANS, FULL),
    ],
    ids=lambda energy: type(energy).__name__,
)
def test_log_partition_has_the_right_gradient_in_the_parameters(energy):
    structure, leaves = flatten(energy)
    values = [leaf.data for leaf in leaves]
    symbols = [pt.tensor(dtype=leaf.dtype, shape=(None,) * leaf.ndim) for leaf in leaves]
    log_z = unflatten(structure, symbols).log_partition()
    slopes = pytensor.grad(log_z, symbols, disconnected_inputs="ignore")
    fn = compile_function(symbols, [log_z, *slopes], mode=ONCE)
    value, *slopes = fn(*values)
    assert value == pytest.approx(log_partition(energy), abs=1e-12)
    for i, slope in enumerate(slopes):
        if values[i].ndim:  # normalised whatever they are
            np.testing.assert_array_equal(slope, 0.0)
            continue
        moved = [[v + sign * 1e-5 * (i == j) for j, v in enumerate(values)] for sign in (1, -1)]
        difference = (fn(*moved[0])[0] - fn(*moved[1])[0]) / 2e-5
        np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DoubleWell(0), "n must be a positive integer"),
        (lambda: DoubleWell(2.5), "n must be a positive integer"),
        (lambda: DoubleWell(barrier=-1.0), "barrier must be positive"),
        (lambda: DoubleWell(position=0.0), "position must be positive"),
        (lambda: DoubleWell(tilt=np.nan), "tilt must be finite"),
        (lambda: DoubleWell(barrier=1.0, tilt=-1.5), "tilt must be at most barrier / position"),
        (lambda: DoubleWell(barrier=[1.0, 2.0]), "barrier must have 0 dimension"),
        (lambda: DoubleWell(barrier=pt.dscalar()).draw(None, 1), "barrier is a PyTensor variable"),
        (lambda: Funnel(scale=0.0), "scale must be positive"),
        (lambda: Funnel(-3), "n must be a positive integer"),
        (lambda: Rosenbrock(stiffness=0.0), "stiffness must be positive"),
        (lambda: Rosenbrock(np.inf), "location must be finite"),
        (lambda: GaussianShells(radius=0.5), "radius must be at least 8 widths"),
        (lambda: GaussianShells(box=5.0), "box must be at least"),
        (lambda: GaussianMixtureEnergy([0.5, 0.6], MEANS[:2]), "weights must sum to 1"),
        (lambda: GaussianMixtureEnergy([1.0, 0.0], MEANS[:2]), "weights must be positive"),
        (lambda: GaussianMixtureEnergy([0.5, 0.5], MEANS), r"weights must have shape \(3,\)"),
        (lambda: GaussianMixtureEnergy([1.0], [0.0]), "means must have 2 dimension"),
        (lambda: GaussianMixtureEnergy([], np.zeros((0, 2))), "weights must sum to 1"),
        (lambda: GaussianMixtureEnergy(WEIGHTS, MEANS, [1.0, 2.0]), "covariances must have shape"),
        (lambda: GaussianMixtureEnergy(WEIGHTS, MEANS, -1.0), "covariances must be positive"),
        (lambda: GaussianMixtureEnergy(WEIGHTS, MEANS, -FULL), "must be positive definite"),
        (
            lambda: GaussianMixtureEnergy(WEIGHTS, MEANS, FULL + np.eye(2)[::-1] * [0, 1]),
            "be symmetric",
        ),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

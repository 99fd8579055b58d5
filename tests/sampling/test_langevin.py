"""Langevin chains of any energy: exact or known to be biased, the same by any number of threads."""

import logging

import arviz as az
import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.stats import kstest, norm

import pm_energy as pme
from pm_energy.compile import ONCE, NotNative, compile_function
from pm_energy.energy import single_block
from pm_energy.kernels import native
from pm_energy.sampling import langevin_density
from pm_energy.sampling.langevin import sample_langevin
from pm_energy.sampling.langevin_blocks import block_size

FALSE_ALARM = 1e-6
WEIGHTS, MEANS = [0.7, 0.3], [[-1.0, 0.0], [1.5, 0.0]]
PAIR = pme.GaussianMixtureEnergy(WEIGHTS, MEANS, [0.5, 0.8])
WELL = pme.DoubleWell(2, barrier=2.0)


def normal(k):
    return pme.energy_from_function(lambda x, k: 0.5 * k * (x**2).sum(-1), pme.Real(), (1,), k=k)


def run(energy, *args, **kwargs):
    return sample_langevin(energy, *args, **{"random_seed": 1, "progressbar": False, **kwargs})


def well_cdf(barrier):
    grid = np.linspace(-4, 4, 8001)
    cdf = np.cumsum(np.exp(-barrier * (grid**2 - 1) ** 2))
    return lambda x: np.interp(x, grid, cdf / cdf[-1])


def pair_cdf(x):
    return norm.cdf((x[:, None] - [-1.0, 1.5]) / np.sqrt([0.5, 0.8])) @ WEIGHTS


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_adjusted_chains_leave_wells_invariant(temperature):
    """Exact starts at each temperature; those of another one are found out."""
    there = pme.DoubleWell(2, barrier=2.0 / temperature)
    start = there.draw(np.random.default_rng(2), 5000)
    moves = {"chains": 5000, "tune": 0, "step_size": 0.6, "thin": 3, "start": start}
    x = run(WELL, 1, temperature=temperature, **moves)["posterior"]["x"].values.ravel()
    assert kstest(x, well_cdf(2.0 / temperature)).pvalue > FALSE_ALARM
    hotter = run(WELL, 1, temperature=2.0 * temperature, **moves)["posterior"]["x"].values.ravel()
    assert kstest(hotter, well_cdf(2.0 / temperature)).pvalue < FALSE_ALARM


def test_adjusted_chains_leave_a_mixture_invariant():
    start = PAIR.draw(np.random.default_rng(3), 20_000)
    tree = run(PAIR, 1, chains=20_000, tune=0, step_size=1.2, thin=5, start=start)
    x = tree["posterior"]["x"].values[:, 0]
    assert kstest(x[:, 0], pair_cdf).pvalue > FALSE_ALARM
    assert 0.3 < float(tree["sample_stats"]["acceptance_rate"].mean()) < 0.9


@pytest.mark.parametrize(
    ("method", "variance"), [("ula", 1.0 / (1.0 - 0.25)), ("underdamped", 1.0), ("mala", 1.0)]
)
def test_chains_settle_on_what_theory_says(method, variance):
    """A step of one; T / k = 1."""
    moves = {"tune": 60, "chains": 10_000, "step_size": 1.0, "temperature": 3.0}
    x = run(normal(3.0), 1, method=method, **moves)["posterior"]["x"].values.ravel()
    assert kstest(x / np.sqrt(variance), "norm").pvalue > FALSE_ALARM
    assert kstest(1.25 * x / np.sqrt(variance), "norm").pvalue < FALSE_ALARM


def test_stochastic_gradients_have_the_variance_of_their_noise():
    """x' = (1 - h^2 k / 2) x + h z + (h^2 / 2) e with Var e = (n / b) sum of squares."""
    rng = np.random.default_rng(4)
    data = rng.normal(size=50)
    n, b, h = 50, 5, 0.15
    k = 1.0 + n

    def gradient(x, rows):  # of x^2 / 2 + sum (y - x)^2 / 2
        return x + n * x - n / b * data[rows].sum(axis=1, keepdims=True)

    energy = normal(k)
    tree = run(
        energy, 1, tune=20, method="sgld", step_size=h, gradient=gradient, data_size=n,
        batch_size=b, chains=4000, start=[data.mean() * n / k],
    )  # fmt: skip
    noise = n**2 / b * data.var()
    variance = (h**2 + h**4 / 4 * noise) / (1 - (1 - h * h * k / 2) ** 2)
    z = (tree["posterior"]["x"].values.ravel() - data.sum() / k) / np.sqrt(variance)
    assert kstest(z, "norm").pvalue > FALSE_ALARM
    assert kstest(z * np.sqrt(variance * k), "norm").pvalue < FALSE_ALARM  # not the posterior
    assert tree["posterior"].attrs["exactness"] == "biased"


@pytest.mark.parametrize("method", ["mala", "ula", "underdamped"])
def test_steps_are_tuned_and_draws_do_not_depend_on_threads(method):
    trees = [
        run(PAIR, 20, tune=300, chains=600, method=method, cores=cores, random_seed=5)
        for cores in (1, 2, 3)
    ]
    for tree in trees[1:]:
        np.testing.assert_array_equal(tree["posterior"]["x"], trees[0]["posterior"]["x"])
    other = run(PAIR, 20, tune=300, chains=600, method=method, random_seed=6)
    assert (other["posterior"]["x"] != trees[0]["posterior"]["x"]).all()
    steps = trees[0]["sample_stats"]["step_size"].values
    assert (steps == steps[:, :1]).all()
    low, high = {"mala": (1.0, 1.8), "ula": (0.25, 0.6), "underdamped": (0.5, 1.0)}[method]
    assert low < steps.min() <= steps.max() < high
    if method == "mala":
        rate = float(trees[0]["sample_stats"]["acceptance_rate"].mean())
        assert rate == pytest.approx(0.574, abs=0.05)


def test_results_are_for_arviz():
    tree = run(WELL, 300, tune=300, chains=4, name="position", thin=5)
    assert tree["posterior"]["position"].dims == ("chain", "draw", "position_dim_0")
    assert (az.ess(tree)["position"] > 50).all()
    assert (az.rhat(tree)["position"] < 1.3).all()
    flat = tree["posterior"]["position"].values.reshape(-1, 2)
    energies = pme.energy_values(WELL, flat)
    np.testing.assert_array_equal(tree["sample_stats"]["energy"].values.ravel(), energies)
    assert tree["posterior"].attrs["exactness"] == "exact"
    assert "acceptance_rate" in tree["sample_stats"]


def test_methods_say_that_they_are_biased(caplog):
    with caplog.at_level(logging.INFO, logger="pymc"):
        tree = run(PAIR, 2, tune=0, step_size=0.1, method="ula", chains=2)
    assert "biased: no Metropolis test" in caplog.text
    assert tree["posterior"].attrs["exactness"] == "biased"
    assert "acceptance_rate" not in tree["sample_stats"]


def test_chains_that_start_far_out_come_back():
    """Where a step along the whole gradient would lead to the other side and further out."""
    quartic = pme.DoubleWell(1, barrier=100.0)
    for method in ("ula", "underdamped"):
        x = run(quartic, 50, tune=2000, step_size=0.04, method=method, start=[30.0])["posterior"]
        assert (np.abs(np.abs(x["x"].values) - 1) < 0.5).all()


def refuse(*args):
    raise NotNative("for a test")


def test_blocks_of_units_keep_their_shape_on_all_roads(monkeypatch):
    """The same draws, to rounding, by unrolled, native and called gradients."""
    matrix = pme.energy_from_function(
        lambda x, a: (a * x**2).sum((-2, -1)), pme.Real(), (2, 3), a=np.arange(1.0, 7).reshape(2, 3)
    )
    trees = [run(matrix, 3, tune=20, chains=5)]
    for slower in ("_unrolled", "_native"):
        monkeypatch.setattr(langevin_density, slower, refuse)
        trees.append(run(matrix, 3, tune=20, chains=5))
    assert len({tree["posterior"].attrs["road"] for tree in trees}) == 3
    for tree in trees:
        assert tree["posterior"]["x"].shape == (5, 3, 2, 3)
        np.testing.assert_allclose(tree["posterior"]["x"], trees[0]["posterior"]["x"], rtol=1e-9)


NETWORK = {"a": np.linspace(-2, 2, 8).reshape(2, 4), "b": np.linspace(-1, 1, 12).reshape(4, 3)}
UNROLLED = [
    pme.DoubleWell(3, tilt=0.5),
    pme.Funnel(3),
    pme.Rosenbrock(),
    pme.MuellerBrown(),
    pme.Eggbox(),
    pme.GaussianShells(n=3),
    pme.Tempered(pme.GaussianMixtureEnergy(WEIGHTS, MEANS, np.array([[1.0, 2.0], [0.5, 1]])), 0.5),
    pme.energy_from_function(
        lambda x, a, b: pt.softplus(pt.tanh(x @ a) @ b).sum(-1) + pt.log(pt.cosh(x[..., 0])),
        pme.Real(), (2,), **NETWORK,
    ),
    pme.energy_from_function(
        lambda x, k: pt.sigmoid(k * x[..., ::-1]).sum(-1) + pt.maximum(abs(x), k).sum(-1) * 2.0,
        pme.Real(), (2,), k=1.5,
    ),
]  # fmt: skip


@pytest.mark.parametrize("energy", UNROLLED, ids=lambda energy: type(energy).__name__)
def test_unrolled_graphs_are_the_graphs(energy):
    """To rounding: the same formula at the same points."""
    block = single_block(energy)
    rng, n, d = np.random.default_rng(7), 21, int(np.prod(block.shape))
    low, high = (1, 20) if isinstance(energy, pme.Eggbox) else (-2, 2)
    x = rng.uniform(low, high, size=(d, n))
    density = langevin_density.make_density(energy, n, with_log_density=True)
    assert density.road == "unrolled gradient"
    state, out = np.zeros((1, density.table[0])), np.empty((1, 2 + density.table[0]))
    state[0, : d * n] = x.ravel()
    native.evaluate(density.address, density.table, state, np.array([0.7]), out)
    rows = pt.dmatrix("rows")
    score, values = compile_function([rows], [pme.field(energy, rows), energy(rows)], ONCE)(x.T)
    scale = np.abs(score).max() + np.abs(values).max()
    np.testing.assert_allclose(out[0, 2 : 2 + d * n].reshape(d, n), 0.7 * score.T,
                               rtol=1e-12, atol=1e-14 * scale)  # fmt: skip
    np.testing.assert_allclose(out[0, 2 + d * n :], -0.7 * values, rtol=1e-12, atol=1e-14 * scale)


def test_sizes_of_blocks_cover_all_chains():
    for chains, d in ((1, 1), (4, 2), (257, 2), (513, 2), (1000, 2), (1000, 5000)):
        size = block_size(chains, d)
        n_blocks = -(-chains // size)
        assert chains <= size * n_blocks < chains + n_blocks + size
        assert size <= 512


def test_chains_that_leave_the_domain_are_an_error():
    wall = pme.energy_from_function(lambda x: -np.log(x).sum(-1) + x.sum(-1), pme.Real(), (1,))
    with pytest.raises(ValueError, match="smaller step_size, or method='mala'"):
        run(wall, 200, tune=0, method="ula", step_size=3.0, start=[1.0])
    inside = run(wall, 200, tune=200, start=[1.0])
    assert (inside["posterior"]["x"] > 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "nuts"}, "method must be one of"),
        ({"method": "hmc", "step_size": 0.1}, "leave step_size='auto' and pass tune >= 100"),
        ({"method": "hybrid", "tune": 99}, "leave step_size='auto' and pass tune >= 100"),
        ({"method": "hmc", "step_size": "big"}, "step_size must be one of"),
        ({"draws": 0}, "draws must be a positive integer"),
        ({"tune": -1}, "tune must be"),
        ({"tune": 0}, "step_size='auto' is learned while tuning"),
        ({"thin": 0}, "thin must be"),
        ({"chains": 2.5}, "chains must be"),
        ({"cores": 0}, "cores must be"),
        ({"step_size": -0.1}, "step_size must be a positive number"),
        ({"step_size": np.nan}, "step_size must be a positive number"),
        ({"step_size": "big"}, "step_size must be one of"),
        ({"temperature": 0}, "temperature must be a positive number"),
        ({"friction": np.inf}, "friction must be a positive number"),
        ({"start": np.zeros(3)}, "start must have shape"),
        ({"start": [np.nan, 0.0]}, "start must be finite"),
        ({"gradient": np.sin}, "are for method='sgld'"),
        ({"method": "sgld"}, "step_size must be a number"),
        ({"method": "sgld", "step_size": 0.1}, "gradient must be callable"),
        ({"method": "sgld", "step_size": 0.1, "gradient": np.sin}, "data_size must be"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        run(PAIR, **arguments)


def test_energies_that_have_no_langevin_dynamics_are_refused():
    with pytest.raises(ValueError, match="units of Ising are discrete"):
        run(pme.Ising(lattice=(3, 3)))
    wall = pme.energy_from_function(lambda x: -np.log(x).sum(-1), pme.Real(), (1,))
    with pytest.raises(ValueError, match="energy is not finite at the start"):
        run(wall, start=[-1.0])
    with pytest.raises(ValueError, match="gradient must return"):
        run(
            PAIR, method="sgld", step_size=0.1, gradient=lambda x, rows: x[:, 0], data_size=3,
            batch_size=1,
        )  # fmt: skip

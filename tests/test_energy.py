"""What is derived from an energy: batches, fields, couplings, free energies, statistics."""

import numpy as np
import pytensor.tensor as pt
import pytest
from energy_cases import AFFINE, ALL, EACH_KIND, ISING, MACHINES, MARGINALS, POTTS, WITH_FORM, rbm
from pytensor.gradient import grad
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy.compile import ONCE, compile_function, evaluate_once
from pm_energy.energy import Block, blocks_of, evaluate, single_block
from pm_energy.exact.enumeration import all_states
from pm_energy.quadratic import NotQuadratic
from pm_energy.structure import symbolic_like

QUADRATIC = [name for name in EACH_KIND if name not in (*MARGINALS, "cubic")]


def random_states(energy, batch, seed=1):
    block = single_block(energy)
    rng = np.random.default_rng(seed)
    return rng.choice(block.domain.states, size=(*batch, *block.shape))


def encode(energy, x):
    domain = single_block(energy).domain
    return np.eye(len(domain.states))[x] if domain.code_ndim else x.astype(float)


@pytest.mark.parametrize("name", ALL)
def test_batches_of_any_shape_have_the_energies_of_their_states(name):
    energy = ALL[name]
    x = random_states(energy, (2, 3))
    expected = np.reshape([pme.energy_values(energy, s[None]) for row in x for s in row], (2, 3))
    batched, encoded, alone = evaluate_once(
        [
            evaluate(energy, pt.as_tensor(x)),
            energy(pt.as_tensor(encode(energy, x))),
            evaluate(energy, pt.as_tensor(x[0, 0])),
        ]
    )
    for value, right in ((batched, expected), (encoded, expected), (alone, expected[0, 0])):
        assert value.shape == right.shape
        np.testing.assert_allclose(value, right, atol=1e-12)


@pytest.mark.parametrize("visible", ["binary", "spin", "gaussian"])
def test_batches_of_two_layers(visible):
    energy = rbm(visible)
    rng = np.random.default_rng(2)
    v, h = rng.choice([-1.0, 1.0], size=(2, 3, 3)), rng.choice([0.0, 1.0], size=(2, 3, 2))
    v = (v + 1) / 2 if visible == "binary" else v
    for composed in (energy, pme.Tempered(energy, 0.5), pme.Sum((energy, energy))):
        value = evaluate_once(composed(pt.as_tensor(v), pt.as_tensor(h)))
        flat = pme.energy_values(composed, v.reshape(6, 3), h.reshape(6, 2))
        np.testing.assert_allclose(value.ravel(), flat, atol=1e-12)
        free = evaluate_once(pme.free_energy(composed, v))
        assert free.shape == (2, 3)
        np.testing.assert_allclose(free[1, 2], evaluate_once(pme.free_energy(composed, v[1, 2])))


@pytest.mark.parametrize("name", AFFINE)
def test_field_is_the_exact_conditional_of_each_unit(name):
    """Its product with the change of the encoding is the energy difference."""
    energy = AFFINE[name]
    block = single_block(energy)
    x = random_states(energy, (5,))
    slope = evaluate_once(pme.field(energy, encode(energy, x)))
    assert slope.shape == (5, *block.code_shape)
    here = pme.energy_values(energy, x)
    sites = list(np.ndindex(*block.shape))
    changed = np.tile(x, (len(sites), len(block.domain.states), *[1] * x.ndim))
    for row, i in zip(changed, sites, strict=True):
        row[(slice(None), slice(None), *i)] = block.domain.states[:, None]
    step = (encode(energy, changed) - encode(energy, x)) * slope
    step = step.reshape(*changed.shape[:3], -1).sum(-1)
    there = pme.energy_values(energy, changed.reshape(-1, *block.shape)).reshape(step.shape)
    np.testing.assert_allclose(here - there, step, atol=1e-12)


@pytest.mark.parametrize("name", QUADRATIC)
def test_couplings_and_the_field_at_zero_make_the_energy(name):
    """E(x) = E(0) - f.x - x J x / 2, on encoded units."""
    energy = WITH_FORM[name]
    x = encode(energy, random_states(energy, (7,)))
    zero = np.zeros(single_block(energy).code_shape)
    parts = evaluate_once(
        [pme.couplings(energy, zero), pme.field(energy, zero), energy(pt.as_tensor(zero))]
    )
    coupling, field, offset = parts
    flat = x.reshape(7, -1)
    np.testing.assert_array_equal(coupling, coupling.T)
    expected = offset - flat @ field.ravel() - 0.5 * ((flat @ coupling) * flat).sum(axis=1)
    np.testing.assert_allclose(evaluate_once(energy(pt.as_tensor(x))), expected, atol=1e-12)


def test_couplings_within_a_layer_vanish_and_fields_of_one_come_from_the_other():
    energy = rbm("spin")
    v, h = np.array([1.0, -1.0, 1.0]), np.array([1.0, 0.0])
    for wrt in (0, 1):
        np.testing.assert_array_equal(evaluate_once(pme.couplings(energy, v, h, wrt=wrt)), 0.0)
    field_v, field_h = evaluate_once([pme.field(energy, v, h, wrt=k) for k in (0, 1)])
    np.testing.assert_allclose(field_v, energy.visible_bias + energy.weights @ h, atol=1e-14)
    np.testing.assert_allclose(field_h, energy.hidden_bias + v @ energy.weights, atol=1e-14)


def test_couplings_that_depend_on_the_units_are_refused():
    with pytest.raises(NotQuadratic, match="depend"):
        pme.couplings(ALL["cubic"], np.ones(4))


@pytest.mark.parametrize("domain", [pme.Spin(), pme.Binary(), pme.Categorical(3)], ids=repr)
@pytest.mark.parametrize("wrt", [0, 1, 2, -1])
def test_free_energy_sums_any_of_several_blocks_out(domain, wrt):
    """Three blocks in a row of matrices; the sum over each is written out."""

    class Chain:
        blocks = (Block(pme.Spin(), (2,)), Block(domain, (3,)), Block(pme.Binary(), (2, 2)))

        def __call__(self, a, b, c):
            b, c = (x.reshape((*a.shape[:-1], -1)) for x in (b, c))
            n = 3 * len(domain.states) ** domain.code_ndim
            middle = np.linspace(-1, 1, 2 * n).reshape(2, n)
            outer = np.linspace(-2, 1, n * 4).reshape(n, 4)
            return -((a @ middle) * b).sum(-1) - ((b @ outer) * c).sum(-1) - 0.3 * a.sum(-1)

    chain, tables = Chain(), [all_states(block) for block in Chain.blocks]
    codes = [evaluate_once(b.domain.encode(pt.as_tensor(t)))
             for b, t in zip(chain.blocks, tables, strict=True)]  # fmt: skip
    summed = wrt % 3
    others = [i for i in range(3) if i != summed]
    picked = {i: codes[i][[1, 2]] for i in others}
    given = [pt.as_tensor(picked[i]) for i in others]
    free = evaluate_once(pme.free_energy(chain, *given, wrt=wrt))
    for row in range(2):
        units = [np.broadcast_to(picked[i][row], (len(codes[summed]), *picked[i][row].shape))
                 if i != summed else codes[i] for i in range(3)]  # fmt: skip
        energies = evaluate_once(chain(*[pt.as_tensor(u) for u in units]))
        np.testing.assert_allclose(free[row], -logsumexp(-energies), atol=1e-12)


def parameter_vector(energy):
    """Log Z by enumeration, and the moments of the statistics, as functions of all parameters."""
    twin, inputs, leaves = symbolic_like(energy)
    states = all_states(single_block(energy))
    log_z = pt.logsumexp(-evaluate(twin, pt.as_tensor(states)))
    return inputs, [leaf.data for leaf in leaves], log_z, states


CASES = {
    **{k: ISING[k] for k in ("ising field", "ising bonds", "ising graph", "ising dense")},
    **MACHINES,
    **{k: POTTS[k] for k in ("potts torus", "potts states", "potts sites", "potts bonds")},
    "tempered": ALL["tempered ising"],
    "sum": ALL["sum of machines"],
    "clamped": ALL["clamped potts"],
    "rbm": MARGINALS["marginal binary spin"],
    "tempered rbm": MARGINALS["tempered marginal"],
    "function": ALL["cubic"],
}


@pytest.mark.parametrize("name", CASES)
def test_statistics_and_fisher_information_are_derivatives_of_log_z(name):
    """d log Z / d theta = <-dE/dtheta>; the Hessian adds <-d2E/dtheta2>, zero where E is linear."""
    energy = CASES[name]
    inputs, values, log_z, states = parameter_vector(energy)
    expected = compile_function(inputs, grad(log_z, inputs), mode=ONCE)(*values)
    found = evaluate_once(pme.statistics(energy, states))
    _, p = pme.exact.distribution(energy)
    for slope, table in zip(expected, found, strict=True):
        assert table.shape == (len(states), *slope.shape)
        np.testing.assert_allclose(np.tensordot(p, table, 1), slope, atol=1e-12)
    if "tempered" in name or "rbm" in name:
        return  # not linear in the parameters
    directions = [pt.tensor(dtype=v.dtype, shape=v.type.shape) for v in inputs]
    slopes = zip(grad(log_z, inputs), directions, strict=True)
    products = grad(sum((g * d).sum() for g, d in slopes), inputs, disconnected_inputs="ignore")
    row = pt.concatenate([product.ravel() for product in products])
    hessian_row = compile_function([*inputs, *directions], row, mode=ONCE)
    ends = np.cumsum([v.size for v in values])
    hessian = []
    for direction in np.eye(ends[-1]):
        parts = zip(np.split(direction, ends[:-1]), values, strict=True)
        hessian.append(hessian_row(*values, *[part.reshape(v.shape) for part, v in parts]))
    fisher = evaluate_once(pme.fisher_information(energy, states, weights=p))
    np.testing.assert_allclose(fisher, hessian, atol=1e-11)
    np.testing.assert_allclose(fisher, fisher.T, atol=1e-12)


def test_statistics_of_two_layers_are_the_terms_of_contrastive_divergence():
    energy, rng = rbm(), np.random.default_rng(3)
    v, h = rng.integers(0, 2, size=(5, 3)), rng.integers(0, 2, size=(5, 2))
    weights, a, b = evaluate_once(pme.statistics(energy, v, h))
    np.testing.assert_array_equal(weights, v[:, :, None] * h[:, None, :])
    np.testing.assert_array_equal(a, v)
    np.testing.assert_array_equal(b, h)
    of_marginal = evaluate_once(pme.statistics(pme.Marginal(energy), v))
    mean_h = 1 / (1 + np.exp(-(energy.hidden_bias + v @ energy.weights)))
    np.testing.assert_allclose(of_marginal[0], v[:, :, None] * mean_h[:, None, :], atol=1e-14)
    np.testing.assert_allclose(of_marginal[2], mean_h, atol=1e-14)


def test_statistics_match_finite_differences_of_the_energy():
    field = np.random.default_rng(4).normal(size=(2, 3))
    x, step = random_states(ISING["ising field"], (4,)), 1e-6
    _, slope = evaluate_once(pme.statistics(pme.Ising(0.4, field, lattice=(2, 3)), x))
    shift = np.zeros((2, 3))
    shift[1, 2] = step
    up, down = (
        pme.energy_values(pme.Ising(0.4, field + sign * shift, lattice=(2, 3)), x)
        for sign in (1, -1)
    )
    np.testing.assert_allclose(slope[:, 1, 2], (down - up) / (2 * step), atol=1e-8)


def test_equal_weights_are_the_default_of_the_fisher_information():
    energy = pme.Ising(0.4, graph=[[0, 1], [1, 2]])
    x = random_states(energy, (50,))
    fisher = evaluate_once(pme.fisher_information(energy, x))
    table = np.concatenate(
        [t.reshape(50, -1) for t in evaluate_once(pme.statistics(energy, x))], axis=1
    )
    np.testing.assert_allclose(fisher, np.cov(table.T, bias=True), atol=1e-14)


def test_an_energy_without_parameters_has_no_fisher_information():
    still = pme.energy_from_function(lambda x: -x.sum(-1), pme.Spin(), (2,))
    assert pme.statistics(still, np.ones((1, 2), dtype=int)) == []
    with pytest.raises(ValueError, match="has no tensor parameters"):
        pme.fisher_information(still, np.ones((1, 2), dtype=int))


def test_blocks_are_what_the_energy_says():
    energy = pme.Potts(3, lattice=(2, 4))
    assert blocks_of(energy) == (Block(pme.Categorical(3), (2, 4)),)
    assert single_block(energy).code_shape == (2, 4, 3)
    assert [b.shape for b in blocks_of(rbm())] == [(3,), (2,)]
    with pytest.raises(ValueError, match=r"RBM has 2 blocks of units; use Marginal"):
        single_block(rbm())


@pytest.mark.parametrize("thing", [3, "ising", None, lambda x: x, pme.Ising, pme.RBM, object()])
def test_what_is_no_energy_is_refused(thing):
    with pytest.raises(ValueError, match="is not an energy"):
        blocks_of(thing)


def test_the_wrong_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="RBM has 2 blocks of units: pass all but the one"):
        pme.free_energy(rbm(), np.ones(3), np.ones(2))


def test_scalar_units_and_integer_shapes():
    square = pme.energy_from_function(lambda x: x**2, pme.Real(), ())
    np.testing.assert_allclose(pme.energy_values(square, [1.0, -2.0]), [1.0, 4.0])
    assert pme.energy_from_function(lambda x: x.sum(-1), pme.Real(), np.int64(3)).event_shape == (
        3,
    )


def test_parameters_are_copies():
    coupling, field = np.ones(2), np.zeros(3)
    energy = pme.Ising(coupling, field, graph=[[0, 1], [1, 2]])
    coupling[:], field[:] = 7.0, 7.0
    assert energy(np.ones(3)) == -2.0

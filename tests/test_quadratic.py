"""Which energies are quadratic, and which affine in each unit, against what is known of them."""

import itertools
import re

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors

from pm_energy import polynomial
from pm_energy.compile import ONCE
from pm_energy.domains import Binary, Categorical, Spin
from pm_energy.energy import energy_from_function
from pm_energy.quadratic import NotQuadratic, affine_failure, quadratic_form

N = 6
RNG = np.random.default_rng(3)
DENSE = RNG.normal(size=(N, N))
COUPLING = np.triu(DENSE, 1) + np.triu(DENSE, 1).T
FIELD = RNG.normal(size=N)
EDGES = np.array(list(itertools.combinations(range(N), 2)))
TRIPLES = np.array(list(itertools.combinations(range(N), 3)))
BONDS, CUBIC = RNG.normal(size=len(EDGES)), RNG.normal(size=len(TRIPLES))


def dense(x):
    return -(x @ FIELD) - 0.5 * ((x @ COUPLING) * x).sum(-1)


def einsum(x):
    return -(x @ FIELD) - 0.5 * pt.einsum("i,ij,j->", x, COUPLING, x)


def sparse(x):
    i, j = EDGES.T
    return -(x * FIELD).sum(-1) - (COUPLING[i, j] * x[..., i] * x[..., j]).sum(-1)


def with_self_couplings(x):
    return -0.5 * ((x @ DENSE) * x).sum(-1) - x @ FIELD


def curie_weiss(x):
    return -0.7 * (x.sum(-1) ** 2 - pt.sqr(x).sum(-1)) / (2 * N)


def linear(x):
    return -(x @ FIELD)


def three_spin(x):
    i, j, k = TRIPLES.T
    return -(CUBIC * x[..., i] * x[..., j] * x[..., k]).sum(-1) - x @ FIELD


def parity(x):
    return -0.5 * pt.prod(x, axis=-1)


def squares(x):
    return dense(x) + 0.1 * x[..., 2] ** 2


def quartic(x):
    return ((x**2 - 1) ** 2).sum(-1)


def absolute(x):
    return pt.abs(x @ FIELD)


def rectified(x):
    return pt.maximum(x, 0.0).sum(-1)


def switched(x):
    return pt.switch(x > 0, x, 2.0 * x).sum(-1)


def root_of_square(x):
    return pt.sqrt(x**2).sum(-1)


def rounded(x):
    return (pt.floor(x) * x).sum(-1)


def through_integers(x):
    return pt.as_tensor(FIELD)[x.astype("int64")].sum(-1)


def hidden_layer(x):
    return -pt.softplus(x @ DENSE).sum(-1)


def stopped_gradient(x):
    return (pytensor.gradient.disconnected_grad(x) * x).sum(-1)


NOT_A_POLYNOMIAL = "does not give a polynomial"
CUBIC_REASON = "second derivatives depend on x"
CASES = [  # energy, what keeps it from being quadratic, what from being affine
    (dense, None, None),
    (einsum, None, None),
    (sparse, None, None),
    (curie_weiss, None, None),
    (linear, None, None),
    (with_self_couplings, None, "of unit 0 is not zero"),
    (squares, None, "of unit 2 is not zero"),
    (three_spin, f"{CUBIC_REASON}, through .*Mul", None),
    (parity, CUBIC_REASON, None),
    (quartic, CUBIC_REASON, "of unit 0 is not zero"),
    (absolute, f"Abs {NOT_A_POLYNOMIAL}", f"Abs {NOT_A_POLYNOMIAL}"),
    (rectified, f"Maximum {NOT_A_POLYNOMIAL}", f"Maximum {NOT_A_POLYNOMIAL}"),
    (switched, f"Gt {NOT_A_POLYNOMIAL}", f"Gt {NOT_A_POLYNOMIAL}"),
    (root_of_square, f"Sqrt {NOT_A_POLYNOMIAL}", f"Sqrt {NOT_A_POLYNOMIAL}"),
    (rounded, f"Floor {NOT_A_POLYNOMIAL}", f"Floor {NOT_A_POLYNOMIAL}"),
    (through_integers, f"Cast.* {NOT_A_POLYNOMIAL}", f"Cast.* {NOT_A_POLYNOMIAL}"),
    (hidden_layer, f"Softplus {NOT_A_POLYNOMIAL}", f"Softplus {NOT_A_POLYNOMIAL}"),
    (stopped_gradient, NOT_A_POLYNOMIAL, NOT_A_POLYNOMIAL),
]


def units(*shape):
    return pt.tensor("x", shape=shape, dtype="float64")


def values_of(form):
    return form.field.eval(mode=ONCE), form.coupling.eval(mode=ONCE)


@pytest.mark.parametrize(("formula", "reason", "_"), CASES)
def test_a_quadratic_energy_is_its_field_and_couplings(formula, reason, _):
    x = units(N)
    if reason is not None:
        with pytest.raises(NotQuadratic, match=reason):
            quadratic_form(formula(x), x)
        return
    field, coupling = values_of(quadratic_form(formula(x), x))
    states = RNG.normal(size=(10, N))
    energy = pytensor.function([x], formula(x), mode=ONCE)
    expected = [energy(s) - energy(np.zeros(N)) for s in states]
    found = -(states @ field) - 0.5 * np.einsum("si,ij,sj->s", states, coupling, states)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(coupling, coupling.T, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("formula", "_", "reason"), CASES)
@pytest.mark.parametrize("domain", [Spin(), Binary()])
def test_affine_in_each_unit(formula, _, reason, domain):
    failure = affine_failure(energy_from_function(formula, domain, (N,)))
    if reason is None:
        assert failure is None
    else:
        assert re.search(reason, failure)


def test_without_the_polynomial_test_kinks_would_pass(monkeypatch):
    monkeypatch.setattr(polynomial, "_is_polynomial", lambda node, varying: True)
    x = units(N)
    np.testing.assert_array_equal(values_of(quadratic_form(rectified(x), x))[1], 0.0)
    assert affine_failure(energy_from_function(absolute, Spin(), (N,))) is None


def test_random_polynomials():
    """The verdicts are those that the exponents give."""
    rng = np.random.default_rng(8)
    for _ in range(12):
        exponents = rng.choice([0, 0, 0, 1, 1, 2], size=(3, 4))
        weights = rng.normal(size=3)

        def formula(x, exponents=exponents, weights=weights):
            factors = [
                pt.stack([x[..., i] ** int(e) for i, e in enumerate(row)]) for row in exponents
            ]
            return pt.add(*[w * pt.prod(f, axis=0) for w, f in zip(weights, factors, strict=True)])

        x = units(4)
        if exponents.sum(axis=1).max() <= 2:
            quadratic_form(formula(x), x)
        else:
            with pytest.raises(NotQuadratic):
                quadratic_form(formula(x), x)
        failure = affine_failure(energy_from_function(formula, Spin(), (4,)))
        assert (failure is None) == (exponents.max() <= 1)


def test_units_may_have_any_shape():
    def lattice(x):
        right, down = x * pt.roll(x, 1, -1), x * pt.roll(x, 1, -2)
        return -0.4 * (right + down).sum((-1, -2)) - 0.1 * x.sum((-1, -2))

    x = units(3, 4)
    field, coupling = values_of(quadratic_form(lattice(x), x))
    np.testing.assert_allclose(field, np.full((3, 4), 0.1), atol=1e-15)
    assert sorted(np.count_nonzero(coupling, axis=1)) == [4] * 12
    assert affine_failure(energy_from_function(lattice, Spin(), (3, 4))) is None


@pytest.mark.parametrize(
    ("formula", "is_affine"),
    [
        (lambda x: -((x[..., 0, :] * x[..., 1, :]) @ np.array([1.0, 2.0, 3.0])), True),
        (lambda x: -(x[..., 0, 0] * x[..., 1, 2] * x[..., 2, 1]), True),
        (lambda x: -(x[..., 1, 0] * x[..., 1, 2]), False),  # no square, but two of one site
        (lambda x: -(x[..., 1, 0] ** 2), False),
    ],
)
def test_categories_of_one_site_must_not_multiply(formula, is_affine):
    failure = affine_failure(energy_from_function(formula, Categorical(3), (3,)))
    assert failure == (None if is_affine else "d2E/dx2 of unit 1 is not zero")


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        (lambda x, theta: -theta * x[..., 0] * x[..., 1], None),
        (lambda x, theta: -pt.log(theta) * x[..., 0] * x[..., 1] / pt.exp(theta), None),
        (lambda x, theta: theta * x[..., 0] ** 2, "unit 0"),  # though zero at theta = 0
        (lambda x, theta: pt.maximum(-theta, 0) * x[..., 0] ** 2, r"not smooth .* \(Maximum\)"),
        (lambda x, theta: pt.log(theta - 2.0) * x[..., 0] * x[..., 1], "not finite"),
    ],
)
def test_affine_for_all_values_of_a_parameter(formula, reason):
    energy = energy_from_function(formula, Spin(), (2,), theta=pt.dscalar("theta"))
    failure = affine_failure(energy)
    if reason is None:
        assert failure is None
    else:
        assert re.search(reason, failure)


def test_a_parameter_of_unknown_shape_cannot_be_tested():
    energy = energy_from_function(lambda x, h: -(x * h).sum(-1), Spin(), (2,), h=pt.dvector("h"))
    assert affine_failure(energy) == "the shape of its parameter h is not known"


def test_random_variables_stay_the_ones_of_the_model():
    with pm.Model() as model:
        scale = pm.HalfNormal("scale")
        bonds = scale * pm.Normal("bonds", shape=(N, N))
    x = units(N)
    form = quadratic_form(-0.5 * ((x @ (bonds + bonds.T)) * x).sum(), x)
    found = set(ancestors([form.coupling]))
    assert {model["scale"], model["bonds"]} <= found
    assert x not in found
    _, coupling = model.replace_rvs_by_values(list(form))
    raw = np.ones((N, N))
    at = {model.rvs_to_values[scale]: np.log(0.5), model.rvs_to_values[model["bonds"]]: raw}
    np.testing.assert_allclose(coupling.eval(at), np.ones((N, N)), rtol=1e-14)


def test_units_need_a_shape_and_a_scalar_energy():
    with pytest.raises(ValueError, match="known static shape"):
        quadratic_form(pt.dvector("x").sum(), x := pt.dvector("x"))
    x = units(N)
    with pytest.raises(ValueError, match="scalar energy of one state"):
        quadratic_form(x**2, x)

"""Normal forms against the formula: conditionals by energy differences, one unit at a time."""

import numpy as np
import pytensor.tensor as pt
import pytest
from energy_cases import CUBIC, EACH_KIND, FUNCTIONS, JOINED, MARGINALS, WITH_FORM, rbm
from scipy.special import logsumexp

import pm_energy as pme
from pm_energy.compile import evaluate_once
from pm_energy.domains import Binary
from pm_energy.energies.sites import Complete
from pm_energy.energy import single_block
from pm_energy.exact.enumeration import all_states
from pm_energy.forms import (
    Held,
    Layers,
    PottsPairs,
    SpinPairs,
    derived_form,
    find_form,
    normal_form,
)
from pm_energy.quadratic import NotQuadratic, affine_failure
from pm_energy.roads import sweeper

DERIVED = ["sum of other graphs", "clamped twice", "sum of clamped", *FUNCTIONS]

TWO_STATE = [
    name
    for name, energy in (EACH_KIND | FUNCTIONS).items()
    if name not in (*MARGINALS, *CUBIC) and single_block(energy).domain.code_ndim == 0
]


def dense(sites, coupling):
    """Coupling matrix of a form."""
    if isinstance(sites, Complete):
        return coupling
    matrix = np.zeros((sites.n, sites.n))
    matrix[tuple(sites.edges.T)] = coupling
    return matrix + matrix.T


def log_weights(form, x, domain):
    """Unnormalised log-probabilities of each state at each unit of states x (B, *shape)."""
    if isinstance(form, Held):
        full = np.broadcast_to(form.states, (len(x), *form.mask.shape)).copy()
        full[:, ~form.mask] = x
        return log_weights(form.form, full, domain)[:, ~form.mask.ravel()]
    tensors = evaluate_once([pt.as_tensor(t) for t in form.tensors])
    x = x.reshape(len(x), -1)
    if isinstance(form, SpinPairs):
        coupling, bias = tensors
        spins = 2.0 * x - 1 if isinstance(domain, Binary) else x
        log_odds = np.ravel(bias) + spins @ dense(form.sites, coupling)
        return np.stack([np.zeros_like(log_odds), log_odds], axis=-1)
    if isinstance(form, PottsPairs):
        coupling, weight = tensors
        weight = np.broadcast_to(weight, (*form.sites.event_shape, form.q)).reshape(-1, form.q)
        return weight + np.einsum("ij,bjq->biq", dense(form.sites, coupling), np.eye(form.q)[x])
    w, a, b = tensors
    bits = (x + 1) // 2 if not isinstance(domain, Binary) else x
    v, h = bits[:, : len(a)], bits[:, len(a) :]
    log_odds = np.concatenate([a + h @ w.T, b + v @ w], axis=1)
    return np.stack([np.zeros_like(log_odds), log_odds], axis=-1)


def exact_log_weights(energy, x, domain):
    """The same from the energies of all states that differ in one unit."""
    flat = x.reshape(len(x), -1)
    changed = np.tile(flat, (flat.shape[1], len(domain.states), 1, 1))
    for i, row in enumerate(changed):
        row[:, :, i] = domain.states[:, None]
    cost = pme.energy_values(energy, changed.reshape(-1, *x.shape[1:]))
    return -cost.reshape(changed.shape[:3]).transpose(2, 0, 1)


def assert_same_conditionals(form, energy):
    block = single_block(energy)
    x = all_states(block)
    x = x[np.random.default_rng(1).permutation(len(x))[:40]]
    derived, exact = (f(e, x, block.domain) for f, e in
                      ((log_weights, form), (exact_log_weights, energy)))  # fmt: skip
    derived, exact = (w - logsumexp(w, axis=-1, keepdims=True) for w in (derived, exact))
    np.testing.assert_allclose(derived, exact, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in WITH_FORM if name not in MARGINALS])
def test_form_has_the_conditionals_of_the_energy(name):
    energy = WITH_FORM[name]
    assert (normal_form(energy) is None) == (name in DERIVED)
    assert_same_conditionals(find_form(energy), energy)


@pytest.mark.parametrize("name", TWO_STATE)
def test_derived_form_has_the_conditionals_of_the_energy(name):
    assert_same_conditionals(derived_form(WITH_FORM[name]), WITH_FORM[name])


@pytest.mark.parametrize("name", MARGINALS)
def test_marginal_form_gives_the_free_energy_up_to_a_constant(name):
    """-F(v) = a.v + sum softplus(b + v W) in the coding of the form."""
    energy = MARGINALS[name]
    block, form = single_block(energy), normal_form(energy)
    assert isinstance(form, Layers)
    assert form.kind == "marginal"
    w, a, b = evaluate_once([pt.as_tensor(t) for t in form.tensors])
    assert w.shape == form.shape == (*block.shape, len(b))
    x = all_states(block)
    bits = x if isinstance(block.domain, Binary) else (x + 1) // 2
    difference = bits @ a + np.logaddexp(0, b + bits @ w).sum(axis=1) + pme.energy_values(energy, x)
    np.testing.assert_allclose(difference, difference[0], atol=1e-12)


@pytest.mark.parametrize("name", JOINED)
def test_joined_form_gives_the_energy_up_to_a_constant(name):
    energy = JOINED[name]
    form, block = normal_form(energy), single_block(energy)
    assert form.kind == "joined"
    w, a, b = evaluate_once([pt.as_tensor(t) for t in form.tensors])
    x = all_states(block)
    bits = x if isinstance(block.domain, Binary) else (x + 1) // 2
    v, h = bits[:, : len(a)], bits[:, len(a) :]
    difference = v @ a + h @ b + ((v @ w) * h).sum(axis=1) + pme.energy_values(energy, x)
    np.testing.assert_allclose(difference, difference[0], atol=1e-12)


def test_forms_keep_lattices_and_graphs_sparse():
    lattice = find_form(pme.Tempered(pme.Ising(0.5, lattice=(2000, 2000)), 0.5))
    assert "edges" not in vars(lattice.sites)
    assert lattice.label == "pair couplings on a 2000 x 2000 lattice"
    assert np.ndim(lattice.coupling) == 0
    potts = find_form(pme.Potts(3, lattice=(2000, 2000)))
    assert "edges" not in vars(potts.sites)
    assert potts.label == "3-state couplings on a 2000 x 2000 lattice"


@pytest.mark.parametrize("energy", [pme.Ising(0.3, lattice=(6, 6)), pme.Potts(3, lattice=(6, 6))])
def test_sweeps_over_a_lattice_with_one_coupling_make_no_edge_list(energy):
    form, domain = find_form(energy), single_block(energy).domain
    tensors = evaluate_once([pt.as_tensor(t) for t in form.tensors])
    x = np.full((6, 6), domain.states[0])
    sweeper(form, domain)(np.random.default_rng(1), x, tensors, None, 2)
    assert "edges" not in vars(form.sites)
    assert np.isin(x, domain.states).all()


@pytest.mark.parametrize("coding", ["spin", "binary"])
def test_a_network_is_swept_alike_by_its_own_form_and_by_the_derived_one(coding):
    rng = np.random.default_rng(3)
    patterns = rng.choice([-1, 1], size=(3, 30))
    energy = pme.Hopfield.from_patterns(patterns, coding=coding, external=rng.normal(size=30))
    ends = []
    for form in (normal_form(energy), derived_form(energy)):
        tensors = evaluate_once([pt.as_tensor(t) for t in form.tensors])
        x = np.full(30, energy.domain.states[0])
        sweeper(form, energy.domain)(np.random.default_rng(1), x, tensors, None, 20)
        ends.append(x)
    np.testing.assert_array_equal(*ends)  # the same words; log-odds differ by rounding only


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (CUBIC["cubic"], "depend"),
        (MARGINALS["marginal binary binary"], "does not give a polynomial"),
        (pme.Tempered(MARGINALS["marginal spin spin"], 0.5), "does not give a polynomial"),
        (pme.energy_from_function(lambda x: -x.sum((-1, -2)), pme.Categorical(3), (2,)),
         "two-state units only"),
        (pme.Sum((pme.Ising(graph=[[0, 1]], n_sites=5000), pme.Ising(lattice=(5000,)))),
         "5000 units would be too large"),
    ],
)  # fmt: skip
def test_what_has_no_derived_form_says_why(energy, reason):
    with pytest.raises(NotQuadratic, match=reason):
        derived_form(energy)
    if normal_form(energy) is None:
        with pytest.raises(NotQuadratic, match=reason):
            find_form(energy)


def test_a_tempered_free_energy_has_no_form():
    """Its hidden units are at another temperature than its visible ones."""
    held = pme.Clamped(pme.Marginal(rbm()), [True, False, False], [1, 0, 0])
    for inner in (pme.Marginal(rbm()), pme.Sum((pme.Marginal(rbm()), pme.Marginal(rbm()))), held):
        assert normal_form(pme.Tempered(inner, 0.5)) is None
    assert normal_form(held).form.kind == "marginal"


def test_a_gaussian_layer_has_no_form():
    gaussian = pme.RBM(np.ones((3, 2)), visible="gaussian")
    for energy in (gaussian, pme.Marginal(gaussian), pme.Tempered(gaussian, 0.5)):
        assert normal_form(energy) is None


def test_wrong_form_is_noticed():
    """The comparison has power: a coupling forgotten, a factor of 2, a sign."""
    energy = WITH_FORM["ising bonds"]
    form = normal_form(energy)
    for wrong in (form.scaled(0.5), form.scaled(-1.0), form.plus(form)):
        with pytest.raises(AssertionError):
            assert_same_conditionals(wrong, energy)


@pytest.mark.parametrize("name", EACH_KIND)
def test_affinity_is_found_where_it_is(name):
    not_affine = name in MARGINALS or name in ("spin function", "binary function")
    assert (affine_failure(EACH_KIND[name]) is not None) == not_affine

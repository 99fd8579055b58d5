"""Distributions that extremise information: under given means, and under a given distortion."""

import numpy as np
import pytest

import pm_energy as pme
from pm_energy import information

RNG = np.random.default_rng(8)
ONE, TWO = np.triu_indices(5, 1)
GRAPH = np.column_stack([ONE, TWO])
ISING = pme.Ising(graph=GRAPH, coupling=RNG.normal(0, 0.5, ONE.size), field=RNG.normal(0, 0.5, 5))
BLANK = pme.Ising(graph=GRAPH, coupling=np.zeros(ONE.size), field=np.zeros(5))
DIE = np.arange(1.0, 7.0)[:, None]


def ising_moments():
    states, p = pme.exact.distribution(ISING)
    return {"coupling": p @ (states[:, ONE] * states[:, TWO]), "field": p @ states}


def test_means_and_pairs_give_the_ising_model_back():
    found = information.maximum_entropy(BLANK, ising_moments())
    np.testing.assert_allclose(found.energy.coupling, ISING.coupling, atol=1e-10)
    np.testing.assert_allclose(found.energy.field, ISING.field, atol=1e-10)
    np.testing.assert_allclose(found.log_partition, pme.exact.log_partition(ISING), rtol=1e-12)
    np.testing.assert_allclose(found.probabilities, pme.exact.distribution(ISING)[1], rtol=1e-9)


def test_parameters_that_are_not_named_keep_their_values():
    found = information.maximum_entropy(
        pme.Ising(graph=GRAPH, coupling=ISING.coupling, field=np.zeros(5)),
        {"field": ising_moments()["field"]},
    )
    np.testing.assert_allclose(found.energy.field, ISING.field, atol=1e-10)
    assert found.multipliers.keys() == {"field"}


@pytest.mark.parametrize("coding", ["binary", "spin"])
def test_a_boltzmann_machine_gets_no_self_coupling(coding):
    machine = pme.BoltzmannMachine(np.zeros((5, 5)), np.zeros(5), coding=coding)
    matrix = np.zeros((5, 5))
    matrix[ONE, TWO] = matrix[TWO, ONE] = ISING.coupling
    truth = pme.BoltzmannMachine(matrix, ISING.field, coding=coding)
    states, p = pme.exact.distribution(truth)
    pairs, units, _ = (np.tensordot(p, s.eval(), 1) for s in pme.statistics(truth, states))
    found = information.maximum_entropy(machine, {"coupling": pairs, "bias": units}).energy
    np.testing.assert_allclose(found.coupling, matrix, atol=1e-10)
    np.testing.assert_allclose(found.bias, truth.bias, atol=1e-10)


def test_any_other_distribution_with_these_means_has_less_entropy():
    features = RNG.normal(size=(8, 2))
    p = RNG.dirichlet(np.ones(8), size=50)
    for other in p:
        found = information.maximum_entropy(features, other @ features)
        np.testing.assert_allclose(found.probabilities @ features, other @ features, atol=1e-10)
        best, least = information.entropy(found.probabilities), information.entropy(other)
        # Pythagoras: the entropy that is missing is the divergence
        gap = information.kl_divergence(other, found.probabilities)
        np.testing.assert_allclose(best - least, gap, atol=1e-12)


def test_the_energy_of_a_table_is_its_distribution():
    found = information.maximum_entropy(DIE, [4.5])
    _, p = pme.exact.distribution(found.energy)
    np.testing.assert_allclose(p, found.probabilities, rtol=1e-12)
    assert found.log_partition == pytest.approx(pme.exact.log_partition(found.energy), rel=1e-12)


def test_redundant_features_share_a_multiplier():
    found = information.maximum_entropy(np.hstack([DIE, 2 * DIE]), [4.5, 9.0])
    alone = information.maximum_entropy(DIE, [4.5])
    np.testing.assert_allclose(found.probabilities, alone.probabilities, rtol=1e-10)
    np.testing.assert_allclose(found.multipliers @ [1, 2], alone.multipliers[0], rtol=1e-10)


@pytest.mark.parametrize(("mean", "possible"), [(5.9999, True), (6.0, False), (6.1, False)])
def test_an_edge_is_told_from_what_is_only_near_it(mean, possible):
    if possible:
        found = information.maximum_entropy(DIE, [mean])
        assert found.probabilities @ DIE[:, 0] == pytest.approx(mean, abs=1e-10)
    else:
        with pytest.raises(ValueError, match="edge" if mean == 6 else "no distribution has these"):
            information.maximum_entropy(DIE, [mean])


@pytest.mark.parametrize(
    ("family", "moments", "message"),
    [
        (np.hstack([DIE, 2 * DIE]), [4.5, 8.0], "moments contradict each other"),
        (DIE, [np.nan], "moments must be finite"),
        (DIE, [1.0, 2.0], r"moments \(k,\)"),
        (DIE[:1], [1.0], "at least two states"),
        (BLANK, {"warp": 1.0}, "moments must name parameters of the energy, one of"),
        (BLANK, {}, "moments must name at least one parameter"),
        (BLANK, {"field": 0.5}, r"moments\['field'\] must have the shape of the parameter, \(5,\)"),
        (pme.DoubleWell(), {"barrier": 1.0}, "discrete units"),
        (
            pme.energy_from_function(lambda s, a: -((a * s) ** 3).sum(-1), pme.Spin(), (2,), a=1.0),
            {"a": 0.5},
            "must be linear in",
        ),
    ],
)
def test_bad_families_and_moments_are_named(family, moments, message):
    with pytest.raises(ValueError, match=message):
        information.maximum_entropy(family, moments)


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0, 40.0])
def test_rate_distortion_of_a_fair_bit(beta):
    """R(D) = log 2 - h(D), with D = 1 / (1 + exp(beta))."""
    point = information.rate_distortion([0.5, 0.5], 1 - np.eye(2), beta)
    d = 1 / (1 + np.exp(beta))
    assert point.distortion == pytest.approx(d, abs=1e-12)
    assert point.rate == pytest.approx(np.log(2) - information.entropy([d, 1 - d]), abs=1e-9)


def test_rate_distortion_of_a_biased_bit_in_bits():
    """R(D) = h(p) - h(D) while D is below p; beyond, nothing need be said."""
    p = [0.3, 0.7]
    point = information.rate_distortion(p, 1 - np.eye(2), 2.0, base=2, tol=1e-9)
    d = point.distortion
    expected = information.entropy(p, base=2) - information.entropy([d, 1 - d], base=2)
    assert point.rate == pytest.approx(expected, abs=1e-6)
    silent = information.rate_distortion(p, 1 - np.eye(2), 0.1, tol=1e-9)
    assert silent.distortion == pytest.approx(0.3, abs=1e-6)
    assert silent.rate == pytest.approx(0, abs=1e-6)


def test_rate_is_the_mutual_information_and_the_gap_holds_the_optimum():
    p = RNG.dirichlet(np.ones(6))
    cost = RNG.uniform(size=(6, 4))
    best = information.rate_distortion(p, cost, 5.0, tol=1e-12)
    rough = information.rate_distortion(p, cost, 5.0, tol=1e-2)
    for point in (best, rough):
        mutual = information.mutual_information(p[:, None] * point.conditional)
        assert point.rate == pytest.approx(mutual, abs=1e-12)
    assert rough.gap > 1e-4
    losses = [point.rate + 5.0 * point.distortion for point in (best, rough)]
    assert losses[0] <= losses[1] <= losses[0] + rough.gap + 1e-12


def test_letters_that_never_come_do_not_matter():
    cost = np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 9.0]])
    point = information.rate_distortion([0.5, 0.5, 0.0], cost, 2.0)
    assert point.rate == information.rate_distortion([0.5, 0.5], cost[:2], 2.0).rate
    assert point.conditional.shape == (3, 2)


def test_too_few_steps_are_said_to_be_too_few():
    with pytest.warns(RuntimeWarning, match="the rate is known to"):
        information.rate_distortion([0.3, 0.7], 1 - np.eye(2), 1.0, max_iter=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], np.eye(2), 1.0), "p must sum to 1"),
        (([0.5, 0.5], np.eye(3), 1.0), "a row for each letter"),
        (([0.5, 0.5], [[0, np.inf], [1, 0]], 1.0), "distortion must be finite"),
        (([0.5, 0.5], np.eye(2), -1.0), "beta must be a finite number of at least zero"),
    ],
)
def test_bad_sources_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        information.rate_distortion(*arguments)

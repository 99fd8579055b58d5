"""Identities of information theory, and agreement with closed forms and with scipy."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import xlogy

from pm_energy import information

RNG = np.random.default_rng(5)
P, Q = RNG.dirichlet(np.ones(6), size=(2, 40))  # 40 pairs of distributions over 6 states
JOINT = RNG.dirichlet(np.ones(12), size=10).reshape(10, 3, 4)


def test_entropy_of_equal_states_and_of_a_certain_one():
    assert information.entropy(np.full(8, 1 / 8), base=2) == 3
    assert information.entropy([0.0, 1.0]) == 0
    assert information.entropy(P.T, axis=0).shape == (40,)
    np.testing.assert_allclose(information.entropy(P), stats.entropy(P, axis=1), rtol=1e-12)


def test_cross_entropy_is_entropy_and_divergence():
    parts = information.entropy(P) + information.kl_divergence(P, Q)
    np.testing.assert_allclose(information.cross_entropy(P, Q), parts, rtol=1e-12)
    assert information.cross_entropy([0.5, 0.5], [1.0, 0.0]) == np.inf


def test_perplexity_is_the_same_in_bits_and_nats():
    np.testing.assert_allclose(
        information.perplexity(P), 2 ** information.entropy(P, base=2), rtol=1e-12
    )
    assert (information.perplexity(P, Q) > information.perplexity(P)).all()


@pytest.mark.parametrize(
    "divergence",
    [
        information.kl_divergence,
        information.jensen_shannon,
        lambda p, q: information.alpha_divergence(p, q, -1.0),
        lambda p, q: information.alpha_divergence(p, q, 0.3),
        lambda p, q: information.alpha_divergence(p, q, 2.0),
        lambda p, q: information.f_divergence(p, q, lambda t: np.abs(t - 1)),
    ],
)
def test_divergences_are_zero_only_at_equality_and_shrink_when_data_are_processed(divergence):
    assert (divergence(P, Q) > 0).all()
    assert (np.abs(divergence(P, P)) < 1e-15).all()
    channel = RNG.dirichlet(np.ones(4), size=6)
    assert (divergence(P @ channel, Q @ channel) <= divergence(P, Q)).all()


def test_kl_is_infinite_where_it_is_infinite():
    """Leaving the term out would give log 2."""
    assert information.kl_divergence([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert information.kl_divergence([1.0, 0.0], [0.5, 0.5]) == pytest.approx(np.log(2))


def test_chain_rules():
    x, y = JOINT.sum(axis=2), JOINT.sum(axis=1)
    whole = information.entropy(JOINT.reshape(10, 12))
    x_given_y = information.conditional_entropy(JOINT)
    y_given_x = information.conditional_entropy(JOINT, given=-2)
    np.testing.assert_allclose(whole, information.entropy(y) + x_given_y, rtol=1e-12)
    np.testing.assert_allclose(whole, information.entropy(x) + y_given_x, rtol=1e-12)
    mutual = information.mutual_information(JOINT)
    np.testing.assert_allclose(mutual, information.entropy(x) - x_given_y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mutual, information.entropy(y) - y_given_x, rtol=0, atol=1e-12)
    independent = x[:, :, None] * y[:, None, :]
    np.testing.assert_allclose(information.mutual_information(independent), 0, atol=1e-15)


def test_chain_rule_of_kl():
    """KL of joints is KL of marginals and the mean KL of conditionals."""
    p, q = JOINT[:5], JOINT[5:]
    x_p, x_q = p.sum(axis=2), q.sum(axis=2)
    inner = information.kl_divergence(p / x_p[..., None], q / x_q[..., None])
    joint = information.kl_divergence(p.reshape(5, 12), q.reshape(5, 12))
    parts = information.kl_divergence(x_p, x_q) + (x_p * inner).sum(axis=1)
    np.testing.assert_allclose(joint, parts, rtol=1e-12)


def test_jensen_shannon_is_what_scipy_takes_the_root_of():
    from scipy.spatial.distance import jensenshannon

    ours = information.jensen_shannon(P, Q, base=2)
    np.testing.assert_allclose(ours, jensenshannon(P, Q, base=2, axis=1) ** 2, rtol=1e-10)
    assert (ours <= 1).all()


def test_alpha_divergence_has_its_limits_and_its_landmarks():
    near = [information.alpha_divergence(P, Q, a) for a in (1 + 1e-9, 1e-9)]
    np.testing.assert_allclose(near[0], information.kl_divergence(P, Q), rtol=1e-7)
    np.testing.assert_allclose(near[1], information.kl_divergence(Q, P), rtol=1e-7)
    exact = information.alpha_divergence(P, Q, 1), information.kl_divergence(P, Q)
    np.testing.assert_array_equal(*exact)
    hellinger = 1 - np.sqrt(P * Q).sum(axis=1)
    np.testing.assert_allclose(information.alpha_divergence(P, Q, 0.5), 4 * hellinger, rtol=1e-12)
    pearson = ((P - Q) ** 2 / Q).sum(axis=1)
    np.testing.assert_allclose(information.alpha_divergence(P, Q, 2), pearson / 2, rtol=1e-12)


@pytest.mark.parametrize(("alpha", "where"), [(-1, 1), (0, 1), (0.5, 2), (1, 0), (2, 0)])
def test_alpha_divergence_is_infinite_where_mass_is_missing(alpha, where):
    """where = 0: q misses mass of p; 1: p misses mass of q; 2: neither matters."""
    q_misses = information.alpha_divergence([0.5, 0.5], [1.0, 0.0], alpha)
    p_misses = information.alpha_divergence([1.0, 0.0], [0.5, 0.5], alpha)
    assert [np.isinf(q_misses), np.isinf(p_misses)] == [where == 0, where == 1]


def test_f_divergences_that_have_names():
    def kl(t):
        return xlogy(t, t)

    p, q = [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]
    np.testing.assert_allclose(
        information.f_divergence(P, Q, kl), information.kl_divergence(P, Q), rtol=1e-12
    )
    assert information.f_divergence(p, q, kl, slope=np.inf) == np.inf
    assert information.f_divergence(p, q, lambda t: np.abs(t - 1) / 2, slope=0.5) == 0.5
    assert information.f_divergence(q, p, lambda t: -np.log(t), slope=0.0) == np.inf


def test_closed_forms_of_normal_distributions():
    root_p, root_q = RNG.normal(size=(2, 3, 3))
    c_p, c_q = root_p @ root_p.T, root_q @ root_q.T
    m_p, m_q = RNG.normal(size=(2, 3))
    p, q = stats.multivariate_normal(m_p, c_p), stats.multivariate_normal(m_q, c_q)
    np.testing.assert_allclose(information.gaussian_entropy(c_p), p.entropy(), rtol=1e-10)
    shift = m_q - m_p
    by_hand = 0.5 * (
        np.trace(np.linalg.solve(c_q, c_p)) + shift @ np.linalg.solve(c_q, shift) - 3
    ) + 0.5 * (np.linalg.slogdet(c_q)[1] - np.linalg.slogdet(c_p)[1])
    ours = information.gaussian_kl(m_p, c_p, m_q, c_q)
    np.testing.assert_allclose(ours, by_hand, rtol=1e-9)
    batch = information.gaussian_kl([m_p, m_q], [c_p, c_q], m_q, c_q)
    np.testing.assert_allclose(batch, [ours, 0], atol=1e-12)
    draws = p.rvs(20_000, random_state=3)
    value, mcse = information.kl_monte_carlo(p.logpdf(draws), q.logpdf(draws))
    assert abs(value - ours) < 5 * mcse  # one false alarm in two million
    reverse = information.gaussian_kl(m_q, c_q, m_p, c_p)
    assert abs(value - reverse) > 5 * mcse  # the other direction is another number


def test_monte_carlo_kl_is_infinite_where_a_draw_is_impossible():
    value, mcse = information.kl_monte_carlo(np.zeros(3), np.array([0.0, -np.inf, 0.0]))
    assert value == np.inf
    assert np.isnan(mcse)


def test_differential_entropy_of_distributions_and_draws():
    exact = 0.5 * np.log2(2 * np.pi * np.e * 4)
    assert information.differential_entropy(stats.norm(0, 2), base=2) == pytest.approx(exact)
    draws = RNG.normal(0, 2, size=(2, 4_000))
    found = information.differential_entropy(draws, base=2)
    np.testing.assert_allclose(found, exact, atol=0.1)


def test_wasserstein_distances_of_shifted_points():
    x = RNG.normal(size=(12, 3))
    shift = np.array([3.0, 4.0, 0.0])
    assert information.wasserstein(x, x + shift) == pytest.approx(5.0)
    assert information.wasserstein(x[:, 0], x[:, 0] + 2) == pytest.approx(2.0)
    assert information.wasserstein([0.0, 1.0], [0.0], x_weights=[1, 3]) == pytest.approx(0.75)


def test_softmax_at_any_temperature():
    gains = np.array([0.0, 1.0, -np.inf])
    cold = information.softmax(gains, temperature=1e-300)
    np.testing.assert_array_equal(cold, [0, 1, 0])
    hot = information.softmax(gains, temperature=1e300)
    np.testing.assert_allclose(hot, [0.5, 0.5, 0])


def test_rounding_of_single_precision_is_divided_out():
    p = P.astype("float32")
    assert (information.kl_divergence(p, p) == 0).all()
    np.testing.assert_allclose(information.entropy(p), information.entropy(P), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: information.entropy([2, 3]), "p must sum to 1 along axis -1, got 5"),
        (lambda: information.entropy([1.5, -0.5]), "p must not be negative"),
        (lambda: information.entropy([np.nan, 1.0]), "p must be finite"),
        (lambda: information.entropy(1.0), "p must have at least one axis"),
        (lambda: information.entropy([]), "p must have at least one axis and one entry"),
        (lambda: information.entropy([0.5, 0.5], base=1), "base must be a number above 1"),
        (lambda: information.kl_divergence([1.0], [0.5, 0.5]), "the same number of states"),
        (lambda: information.kl_divergence(P[:3], Q[:2]), "batches of p and q must broadcast"),
        (lambda: information.alpha_divergence(P, Q, np.inf), "alpha must be a finite number"),
        (lambda: information.f_divergence(P, Q, np.exp), "generator must be zero at 1"),
        (
            lambda: information.f_divergence([0, 1], [0.5, 0.5], lambda t: np.sqrt(t - 1)),
            "generator must not be NaN",
        ),
        (
            lambda: information.f_divergence([0.5, 0.5], [0, 1], lambda t: abs(t - 1)),
            "pass slope",
        ),
        (lambda: information.mutual_information(P[0]), "joint must have at least two axes"),
        (lambda: information.conditional_entropy(JOINT, given=0), "given must be -1 or -2"),
        (lambda: information.gaussian_entropy([[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
        (lambda: information.gaussian_entropy([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (
            lambda: information.gaussian_kl([0.0], [[1.0]], [0.0, 0.0], np.eye(2)),
            "must have the same d",
        ),
        (lambda: information.differential_entropy([1.0, 2.0]), "at least four finite draws"),
        (lambda: information.differential_entropy(stats.poisson(2)), "must have a density"),
        (lambda: information.kl_monte_carlo([0.0], [0.0]), "n > 1"),
        (lambda: information.kl_monte_carlo([0.0, -np.inf], [0, 0]), "log_p must be finite"),
        (lambda: information.wasserstein([0.0], [[0.0]]), "of the same dimension"),
        (lambda: information.softmax([0.0], temperature=0), "temperature must be"),
        (lambda: information.softmax([np.nan, 0.0]), "must not be NaN"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

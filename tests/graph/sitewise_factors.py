"""Factors of a model that are sums over the sites of z, (3, 4), with states 0, 1, 2."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

SHAPE, STATES = (3, 4), (0, 1, 2)
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=SHAPE)
COUNTS = RNG.poisson(3.0, size=SHAPE)
REPLICAS = RNG.normal(size=(5, *SHAPE))
MASKED = np.ma.masked_array(DATA, mask=DATA > 0.8)
PERMUTATION = RNG.permutation(12)


def gaussian(z):
    mu = pm.Normal("mu", shape=3)
    sigma = pm.HalfNormal("sigma", shape=3)
    pm.Normal("y", mu[z], sigma[z], observed=DATA)


def ordered_means(z):
    mu = pm.Normal(
        "mu", [-1, 0, 1], shape=3, transform=pm.distributions.transforms.ordered, initval=[-1, 0, 1]
    )
    pm.Normal("y", mu[z], 1.0, observed=DATA)


def means_by_column(z):
    mu = pm.Normal("mu", shape=(3, 4))
    pm.Normal("y", mu[z, np.arange(4)], 1.0, observed=DATA)


def poisson(z):
    rate = pm.Gamma("rate", 2, 1, shape=3)
    pm.Poisson("y", rate[z], observed=COUNTS)


def zero_inflated(z):
    rate = pm.Gamma("rate", 2, 1, shape=3)
    pm.ZeroInflatedPoisson("y", 0.7, rate[z], observed=COUNTS)


def log_normal(z):
    level = pm.Deterministic("level", pm.math.exp(0.3 * z) + pm.Normal("shift"))
    pm.LogNormal("y", level, 0.5, observed=np.exp(DATA))


def mixture_likelihood(z):
    mu = pm.Normal("mu", shape=3)
    weights = pm.Dirichlet("weights", np.ones(2))
    components = [pm.Normal.dist(mu[z], 1.0), pm.Laplace.dist(0.0, 2.0, shape=SHAPE)]
    pm.Mixture("y", weights, components, observed=DATA)


def mixture_with_weights_and_scales_of_the_state(z):
    weights = pm.Dirichlet("weights", np.ones(2), shape=(3, 2))
    sigma = pm.HalfNormal("sigma", shape=3)
    components = [pm.Normal.dist(0, sigma[z]), pm.Normal.dist(1.0, sigma[z])]
    pm.Mixture("y", weights[z], components, observed=DATA)


def probability_table(z):
    p = pm.Dirichlet("p", np.ones(5), shape=(3, 5))
    pm.Categorical("y", p=p[z], observed=COUNTS % 5)


def logit_table(z):
    logits = pm.Normal("logits", shape=(3, 5))
    pm.Categorical("y", p=pm.math.softmax(logits[z], axis=-1), observed=COUNTS % 5)


def hidden_layer_below(z):
    p = pm.Dirichlet("p", np.ones(5), shape=(3, 5))
    pm.Categorical("u", p=p[z])  # another random variable picks from each site's own row


def multivariate(z):
    mu = pm.Normal("mu", shape=(3, 2))
    cov = np.array([[1.0, 0.3], [0.3, 2.0]])
    pm.MvNormal("y", mu[z], cov, observed=np.stack([DATA, DATA**2], axis=-1))


def replicated_data(z):
    mu = pm.Normal("mu", shape=3)
    pm.Normal("y", mu[z], 1.0, observed=pm.Data("data", REPLICAS))


def replicated_on_the_right(z):
    pm.Normal("y", z[..., None], 1.0, observed=np.moveaxis(REPLICAS, 0, -1))


def partly_observed(z):
    mu = pm.Normal("mu", shape=3)
    pm.Normal("y", mu[z], 1.0, observed=MASKED)


def two_sources(z):
    mu = pm.Normal("mu", shape=3)
    pm.Normal("y", mu[z], 1.0, observed=DATA)
    pm.Poisson("n", pt.exp(mu[z]), observed=COUNTS)
    pm.Normal("free", mu[z].T, 1.0, shape=(4, 3))


def two_fields(z):
    u = pm.Bernoulli("u", 0.5, shape=SHAPE)
    mu = pm.Normal("mu", shape=(2, 3))
    pm.Normal("y", mu[u, z], 1.0, observed=DATA)
    pm.Normal("other", mu[u, z] + u, 1.0, observed=-DATA)


def gathered(z):
    mu = pm.Normal("mu", shape=3)
    where = np.array([5, 0, 5, 11, 5, 2])  # some sites often, some never
    pm.Normal("y", mu[z.ravel()[where]], 1.0, observed=DATA.ravel()[:6])


def gathered_by_data(z):
    where = pm.Data("where", np.array([[0, 1], [2, 3], [2, 3]]))
    pm.Normal("few", z[where[:, 0], where[:, 1]], 1.0, observed=DATA.ravel()[:3])


def permuted(z):
    y = pt.as_tensor(DATA)
    pm.Potential("y", -((y - z.ravel()[PERMUTATION].reshape((4, 3)).T) ** 2))


def rolled_stacked_and_split(z):
    wide = pt.concatenate([pt.roll(z, 1, axis=0), z[::-1]], axis=1)
    left, right = pt.split(wide, [3, 5], n_splits=2, axis=1)
    pm.Potential("a", pt.sin(left * np.arange(3.0)))
    pm.Potential("b", pt.stack([right, right**2]))
    pm.Potential("c", pt.repeat(z, 2, axis=0).reshape((3, 2, 4)).sum(1) ** 3)
    pm.Potential("d", pt.tile(z, (2, 1)) ** 2)
    pm.Potential("e", pt.diagonal(z) ** 2)


def written_into_an_array(z):
    padded = pt.zeros((5, 4))[1:4].set(z)
    padded = padded[np.array([0, 1])].inc(pt.stack([z[2], 2 * z[0]]))
    pm.Normal("y", padded**2, 1.0, observed=np.zeros((5, 4)))


def switched(z):
    a, b = pm.Normal("a"), pm.Normal("b")
    pm.Normal("y", pt.switch(pt.eq(z, 1), a, b * z), 1.0, observed=DATA)


def one_hot(z):
    mu = pm.Normal("mu", shape=3)
    pm.Normal("y", pt.eq(z[..., None], np.arange(3)).astype("float64") @ mu, 1.0, observed=DATA)


def linear_potentials(z):
    h = pm.Normal("h", shape=SHAPE)
    pm.Potential("field", (h * z).sum() - 0.5 * (z.sum() - z.mean()) / 3)
    pm.Potential("dot", h.ravel() @ z.ravel() - z[0] @ h[0] + 2 * h[0, 0])
    pm.Potential("matrix", -(h @ z.T))
    pm.Potential("broadcast", z.sum() + h[:, :1] + z.sum(axis=0, keepdims=True) * h)
    pm.Potential("guarded", pt.switch(h[0, 0] > -99, (h * z).sum(), -np.inf))
    pm.Potential("chosen", pt.switch(h > -99, (h * z).sum(axis=0), pt.log(z).sum()))
    pm.Potential("nonlinear", -pt.sqrt(z + 1.0).sum() * h[0, 0] ** 2 + (z**2).astype(float).sum())


FACTORS = [
    gaussian,
    ordered_means,
    means_by_column,
    poisson,
    zero_inflated,
    log_normal,
    mixture_likelihood,
    mixture_with_weights_and_scales_of_the_state,
    probability_table,
    logit_table,
    hidden_layer_below,
    multivariate,
    replicated_data,
    replicated_on_the_right,
    partly_observed,
    two_sources,
    two_fields,
    gathered,
    gathered_by_data,
    permuted,
    rolled_stacked_and_split,
    written_into_an_array,
    switched,
    one_hot,
    linear_potentials,
]

"""scikit-learn's own checks of every estimator; those that cannot hold are named, with the reason.

Checks feed data of any size, which two-state units must refuse. So that nothing else hides behind
that, each such estimator is checked once more with a subclass that squashes data into [0, 1].
"""

import warnings

import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.utils.estimator_checks import check_estimator

from pm_energy.estimators import (
    BernoulliRBM,
    BoltzmannMachine,
    GaussianMixtureEM,
    GaussianRBM,
    HopfieldNetwork,
    ModernHopfield,
)

STOCHASTIC = {
    name: "minibatches of repeated rows are other minibatches; equal in distribution only"
    for name in (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    )
}
OUTSIDE = "the check's data are outside [0, 1]"
DOMAIN = dict.fromkeys(
    [
        "check_estimators_overwrite_params",
        "check_dont_overwrite_parameters",
        "check_estimators_fit_returns_self",
        "check_readonly_memmap_input",
        "check_n_features_in_after_fitting",
        "check_positive_only_tag_during_fit",
        "check_estimators_dtypes",
        "check_sample_weights_pandas_series",
        "check_sample_weights_not_an_array",
        "check_all_zero_sample_weights_error",
        "check_sample_weights_shape",
        "check_sample_weights_not_overwritten",
        "check_pipeline_consistency",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_transformer_data_not_an_array",
        "check_transformer_general",
        "check_transformer_preserve_dtypes",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_fit2d_1sample",
        "check_fit2d_1feature",
        "check_dict_unchanged",
        "check_fit_idempotent",
        "check_fit_check_is_fitted",
        "check_n_features_in",
        "check_fit2d_predict1d",
    ],
    OUTSIDE,
)


class Squashed:
    """Takes any data, by a function that keeps zeros."""

    def _check_domain(self, X):
        """Anything goes."""

    def _validated(self, X, reset=False):
        X = super()._validated(X, reset).copy()
        values = X.data if issparse(X) else X
        values[...] = abs(values) / (1 + abs(values))
        return X


class SquashedRBM(Squashed, BernoulliRBM):
    """For data of any size."""


class SquashedMachine(Squashed, BoltzmannMachine):
    """For data of any size."""


CASES = [
    (GaussianRBM(2, n_iter=2, objective="exact"), {}),
    (BernoulliRBM(2, n_iter=2), STOCHASTIC | DOMAIN),
    (SquashedRBM(2, n_iter=2), STOCHASTIC),
    (BoltzmannMachine(), {k: why for k, why in DOMAIN.items() if "transformer" not in k}),
    (SquashedMachine(), {}),
    (SquashedMachine(2, n_iter=2), STOCHASTIC),
    (GaussianMixtureEM(1), {}),
    (HopfieldNetwork(), {}),
    (ModernHopfield(), {}),
]


@pytest.mark.parametrize(("estimator", "expected"), CASES, ids=lambda case: str(case)[:40])
def test_an_estimator_keeps_the_conventions(estimator, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed.keys() == expected.keys(), {k: failed[k] for k in failed.keys() - expected}
    assert len(results) > 40


def test_squashing_is_what_the_docstring_says():
    X = np.array([[0.0, -3.0], [1.0, 2.0]])
    fitted = SquashedRBM(1, n_iter=1).fit(X)
    np.testing.assert_array_equal(fitted._validated(X), [[0.0, 0.75], [0.5, 2 / 3]])

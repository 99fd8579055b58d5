"""Files of estimators: whole, safe, and honest about what they cannot hold."""

import numpy as np
import pytest

import pm_energy as pme
from pm_energy.estimators.base import generator
from pm_energy.estimators.persistence import read, write

VALUES = {
    "none": None,
    "flag": True,
    "count": 3,
    "rate": 0.1,
    "infinite": -np.inf,
    "name": "pcd",
    "pair": (1, "two"),
    "several": [1.5, None],
    "tree": {"a": np.arange(3), "b": {"c": np.float32(2.5)}},
    "names": np.array(["a", "b"], dtype=object),
    "generator": np.random.default_rng(0),
    "random_state": np.random.RandomState(1),
}


def test_values_come_back(tmp_path):
    path = tmp_path / "x.npz"
    write(path, "Thing", VALUES, {})
    parameters, fitted = read(path, "Thing")
    assert fitted == {}
    for name in ("none", "flag", "count", "rate", "infinite", "name", "pair", "several"):
        assert parameters[name] == VALUES[name]
    np.testing.assert_array_equal(parameters["tree"]["a"], np.arange(3))
    assert parameters["tree"]["b"]["c"].dtype == np.float32
    assert parameters["names"].tolist() == ["a", "b"]
    assert parameters["generator"].random() == np.random.default_rng(0).random()
    assert parameters["random_state"].rand() == np.random.RandomState(1).rand()
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written stays behind


@pytest.mark.parametrize("value", [print, {1: 2}, 1j, np.array([print])])
def test_what_needs_pickle_is_refused_by_name(value, tmp_path):
    with pytest.raises(ValueError, match="callback"):
        write(tmp_path / "x.npz", "Thing", {"callback": value}, {})
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_estimators_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    write(path, "Thing", {}, {})
    with pytest.raises(ValueError, match=r"Thing\.load"):
        read(path, "Other")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not an estimator"):
        read(path, "Thing")
    np.savez(path, header=np.array("not json"))
    with pytest.raises(ValueError, match="not an estimator"):
        read(path, "Thing")
    np.savez(path, header=np.array([print]), allow_pickle=True)
    with pytest.raises(ValueError, match="not an estimator"):  # and nothing was unpickled
        read(path, "Thing")


def test_a_file_cannot_replace_methods(tmp_path):
    path = tmp_path / "x.npz"
    parameters = pme.BernoulliRBM().get_params()
    write(path, "BernoulliRBM", parameters, {"fit": 1})
    with pytest.raises(ValueError, match="no fitted attribute"):
        pme.BernoulliRBM.load(path)
    write(path, "BernoulliRBM", {}, {})
    with pytest.raises(ValueError, match="other parameters"):
        pme.BernoulliRBM.load(path)


def test_generators_follow_scikit_learn():
    assert generator(3).integers(2**60) == generator(3).integers(2**60)
    state = np.random.RandomState(0)
    assert generator(state).integers(2**60) != generator(state).integers(2**60)

"""Fitted estimators as files: arrays and a JSON header in an npz, no pickle.

Reading such a file runs no code of its author: it holds numbers and text, and what class they
belong to is the reader's choice.
"""

import json
import math
import zipfile
from pathlib import Path

import numpy as np

FORMAT = 1


def write(path, kind, parameters, fitted):
    """Write an estimator's parameters and fitted attributes to ``path``.

    Raises
    ------
    ValueError
        If a value is not one that a file can hold.
    """
    arrays = {}
    header = {
        "format": FORMAT,
        "class": kind,
        "parameters": {k: _encode(k, v, arrays) for k, v in parameters.items()},
        "fitted": {k: _encode(k, v, arrays) for k, v in fitted.items()},
    }
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)
    partial.replace(path)  # a whole file or none


def read(path, kind):
    """Return the parameters and the fitted attributes in a file.

    Raises
    ------
    ValueError
        If the file is no such file, is damaged, of a newer format or of another class.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an estimator saved by pm_energy: it is no npz file")
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in file.files if name != "header"}
        found = header["format"], header["class"]
        parts = header["parameters"], header["fitted"]
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, ValueError) as error:
        why = "it holds objects, which are not read" if "pickle" in str(error) else error
        raise ValueError(f"{path} is not an estimator saved by pm_energy: {why}") from error
    if found[0] != FORMAT:
        raise ValueError(f"{path} has format {found[0]}; this version reads format {FORMAT}")
    if found[1] != kind:
        raise ValueError(f"{path} holds a {found[1]}; load it by {found[1]}.load")
    return tuple({k: _decode(v, arrays) for k, v in part.items()} for part in parts)


def _encode(name, value, arrays):
    """A value as JSON; arrays go to ``arrays`` and leave their number."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        key = f"array_{len(arrays)}"
        arrays[key] = value
        return {"array": key}
    if isinstance(value, np.generic):
        return {"scalar": _encode(name, np.asarray(value), arrays)}
    if isinstance(value, np.ndarray) and all(isinstance(v, str) for v in value.ravel()):
        return {"names": value.tolist()}  # scikit-learn's feature_names_in_
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(name, v, arrays) for v in value]}
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": {k: _encode(name, v, arrays) for k, v in value.items()}}
    if isinstance(value, np.random.Generator):
        kind, state = type(value.bit_generator).__name__, value.bit_generator.state
        return {"generator": kind, "state": _encode(name, state, arrays)}
    if isinstance(value, np.random.RandomState):
        return {"random_state": _encode(name, value.get_state(legacy=False), arrays)}
    raise ValueError(
        f"{name} = {value!r} cannot be saved without pickle: numbers, text, arrays, and lists and "
        "dicts of these can. Set it to one of them, or use joblib.dump for files you trust"
    )


def _decode(value, arrays):
    if not isinstance(value, dict):
        return value
    match value:
        case {"array": key}:
            return arrays[key]
        case {"scalar": inner}:
            return _decode(inner, arrays)[()]
        case {"names": names}:
            return np.array(names, dtype=object)
        case {"float": text}:
            return float(text)
        case {"list": items}:
            return [_decode(v, arrays) for v in items]
        case {"tuple": items}:
            return tuple(_decode(v, arrays) for v in items)
        case {"dict": items}:
            return {k: _decode(v, arrays) for k, v in items.items()}
        case {"generator": "PCG64", "state": state}:
            generator = np.random.Generator(np.random.PCG64())
            generator.bit_generator.state = _decode(state, arrays)
            return generator
        case {"random_state": state}:
            random_state = np.random.RandomState()
            random_state.set_state(_decode(state, arrays))
            return random_state
    raise ValueError(f"damaged file: {value}")

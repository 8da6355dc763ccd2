"""Digests change with every bit, shape and type, and tell numbers that are none."""

import ml_dtypes
import numpy as np
import pytest

from grel.runs import digests

TREE = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)}, "c": np.int32(4)}


def test_leaves_by_path():
    assert list(digests.of_arrays(TREE)) == ["a/b", "c"]
    assert digests.of_arrays(TREE) == digests.of_arrays({**TREE, "c": np.array(4, np.int32)})


@pytest.mark.parametrize("change", [lambda x: x.T.copy(), lambda x: x.astype(int), lambda x: -x])
def test_any_change_is_another(change):
    other = {"a": {"b": change(TREE["a"]["b"])}, "c": TREE["c"]}
    assert digests.of_arrays(other)["a/b"] != digests.of_arrays(TREE)["a/b"]


def test_of_json_goes_by_content():
    assert digests.of_json({"a": 1, "b": [2]}) == digests.of_json({"b": [2], "a": 1})
    assert digests.of_json({"a": 1}) != digests.of_json({"a": 2})


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_not_finite(dtype, value):
    assert digests.not_finite(TREE) is None
    assert digests.not_finite({**TREE, "d": np.array([0, value], dtype)}) == "d"

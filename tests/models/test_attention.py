"""The mask as it is drawn, and attention against a literal reference."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models.attention import (
    Keys,
    attend,
    cudnn_applies,
    distance_buckets,
    seq2seq_mask,
    twin_mask,
)
from tests.models import literal


def _drawn(mask_fn, size):
    text = inspect.getdoc(mask_fn)  # the indentation of __doc__ depends on Python's version
    drawing = re.findall(rf"^ {{4}}\S+((?: +[01]){{{size}}})$", text, re.MULTILINE)
    drawn = np.array([[int(cell) for cell in row.split()] for row in drawing], bool)
    assert drawn.shape == (size, size)
    return drawn


def test_the_mask_is_the_one_drawn():
    allow_BLL = seq2seq_mask(jnp.array([4]), jnp.array([7]), 8)
    np.testing.assert_array_equal(allow_BLL[0], _drawn(seq2seq_mask, 8))


def test_the_mask_with_twins_is_the_one_drawn():
    """Twins of a longer target than the row has see all of it."""
    allow_BLL = twin_mask(jnp.array([3, 3]), jnp.array([5, 4]), 6, 3)
    np.testing.assert_array_equal(allow_BLL[0], _drawn(twin_mask, 9))
    assert allow_BLL[1, 8].astype(int).tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 1]


def test_the_mask_against_its_definition():
    rng = np.random.default_rng(0)
    length = 12
    total_B = rng.integers(0, length + 1, 200)
    source_B = np.array([rng.integers(0, n + 1) for n in total_B])
    allow_BLL = np.array(seq2seq_mask(jnp.array(source_B), jnp.array(total_B), length))
    for source, total, allow_LL in zip(source_B, total_B, allow_BLL, strict=True):
        for query in range(total):
            for key in range(length):
                if key >= total:
                    expected = False
                elif query < source:
                    expected = key < source
                else:
                    expected = key < source or key <= query
                assert allow_LL[query, key] == expected


def _random_part(rng, batch, queries, keys, heads=2, size=4):
    allow_BQM = rng.random((batch, queries, keys)) < 0.6
    allow_BQM[:, :, 0] = True
    shape = (batch, heads, keys, size)
    return Keys(rng.normal(size=shape), rng.normal(size=shape), allow_BQM)


def _bias(part, b, h, q, m):
    if part.bias_BHQM is None:
        return 0.0
    return part.bias_BHQM[b % len(part.bias_BHQM), h, q, m]


def _literal(query_BHQK, parts):
    out = np.zeros_like(query_BHQK)
    batch, heads, queries, _ = query_BHQK.shape
    for b in range(batch):
        for q in range(queries):
            for h in range(heads):
                keys, values, biases = [], [], []
                for part in parts:
                    for m in range(part.key_BHMK.shape[2]):
                        if part.allow_BQM[b, q, m]:
                            keys.append(part.key_BHMK[b, h, m])
                            values.append(part.value_BHMK[b, h, m])
                            biases.append(_bias(part, b, h, q, m))
                out[b, h, q] = literal.dot_attention(query_BHQK[b, h, q], keys, values, biases)
    return out


def test_attention_over_parts_against_a_literal_reference():
    rng = np.random.default_rng(1)
    for _ in range(10):
        query_BHQK = rng.normal(size=(2, 2, 3, 4))
        parts = [_random_part(rng, 2, 3, n) for n in rng.integers(1, 6, rng.integers(1, 4))]
        got = attend(jnp.array(query_BHQK), jax.tree.map(jnp.array, parts))
        np.testing.assert_allclose(got, _literal(query_BHQK, parts), atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_bias_is_added_to_the_scores_of_its_part(rows):
    rng = np.random.default_rng(5)
    query_BHQK = rng.normal(size=(2, 2, 3, 4))
    plain, other = _random_part(rng, 2, 3, 5), _random_part(rng, 2, 3, 4)
    parts = [plain, other._replace(bias_BHQM=rng.normal(size=(rows, 2, 3, 4)))]
    got = attend(jnp.array(query_BHQK), jax.tree.map(jnp.array, parts))
    np.testing.assert_allclose(got, _literal(query_BHQK, parts), atol=1e-5)


def _bucket(ahead, num_buckets, furthest):
    """The bucket of one distance: of widths that grow, laid out one after the other."""
    half, exact = num_buckets // 2, num_buckets // 4
    distance, side = abs(ahead), half if ahead > 0 else 0
    if distance < exact:
        return side + distance
    bucket = exact
    while bucket + 1 < half:
        # By whole numbers: a root would be inexact where a power is hit.
        step = bucket + 1 - exact
        if distance ** (half - exact) * exact**step < exact ** (half - exact) * furthest**step:
            break
        bucket += 1
    return side + bucket


@pytest.mark.parametrize(("num_buckets", "furthest"), [(32, 128), (8, 128), (4, 16), (64, 500)])
def test_distance_buckets_against_their_definition(num_buckets, furthest):
    ahead_M = np.arange(-600, 601)
    got = distance_buckets(jnp.zeros((1, 1), int), jnp.array([ahead_M]), num_buckets, furthest)
    expected = [_bucket(int(ahead), num_buckets, furthest) for ahead in ahead_M]
    assert got[0, 0].tolist() == expected
    assert set(expected) == set(range(num_buckets)) - {num_buckets // 2}, "0 is not ahead"


def test_distance_buckets_are_of_each_query_and_key():
    rng = np.random.default_rng(6)
    from_BQ, to_BM = rng.integers(0, 200, (3, 4)), rng.integers(0, 200, (3, 5))
    got_BQM = distance_buckets(jnp.array(from_BQ), jnp.array(to_BM), 32)
    for b, q, m in np.ndindex(3, 4, 5):
        assert got_BQM[b, q, m] == _bucket(int(to_BM[b, m]) - int(from_BQ[b, q]), 32, 128)


def test_distance_buckets_are_those_of_transformers():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    mpnet = pytest.importorskip(
        "transformers.models.mpnet.modeling_mpnet", reason="transformers is not installed"
    )
    ahead_M = np.arange(-600, 601)
    expected = mpnet.MPNetEncoder.relative_position_bucket(torch.tensor(ahead_M)).numpy()
    got = distance_buckets(jnp.zeros((1, 1), int), jnp.array([ahead_M]), 32)
    np.testing.assert_array_equal(got[0, 0], expected)


def test_keys_of_fewer_rows_serve_consecutive_rows_of_queries():
    rng = np.random.default_rng(4)
    query_BHQK = rng.normal(size=(6, 2, 3, 4))
    shared, own = _random_part(rng, 2, 3, 5), _random_part(rng, 6, 3, 2)
    allow_BQM = rng.random((6, 3, 5)) < 0.6
    repeated = Keys(*(np.repeat(x, 3, axis=0) for x in shared[:2]), allow_BQM)
    parts = [shared._replace(allow_BQM=allow_BQM), own]
    got = attend(jnp.array(query_BHQK), jax.tree.map(jnp.array, parts))
    np.testing.assert_allclose(got, _literal(query_BHQK, [repeated, own]), atol=1e-5)


def test_a_query_without_any_key_gives_no_nan():
    rng = np.random.default_rng(2)
    part = _random_part(rng, 1, 2, 3)._replace(allow_BQM=np.zeros((1, 2, 3), bool))
    got = attend(jnp.ones((1, 2, 2, 4)), [jax.tree.map(jnp.array, part)])
    assert np.isfinite(got).all()


def test_attention_dropout_needs_a_key_and_falls_on_weights():
    rng = np.random.default_rng(3)
    part = jax.tree.map(jnp.array, _random_part(rng, 2, 3, 5))
    query_BHQK = jnp.array(rng.normal(size=(2, 2, 3, 4)))
    plain = attend(query_BHQK, [part])
    np.testing.assert_array_equal(plain, attend(query_BHQK, [part], dropout_rate=0.5))
    keys = jax.random.split(jax.random.PRNGKey(0), 4000)
    row_B = jnp.arange(2)
    dropped = jax.vmap(
        lambda k: attend(query_BHQK, [part], dropout_rate=0.5, dropout_key=k, row_B=row_B)
    )(keys)
    assert not np.allclose(dropped[0], plain)
    with pytest.raises(ValueError, match="dropout goes by the rows' numbers: give row_B too"):
        attend(query_BHQK, [part], dropout_rate=0.5, dropout_key=keys[0])
    np.testing.assert_allclose(dropped.mean(0), plain, atol=0.15)


def test_when_cudnn_applies():
    half = jnp.zeros((1, 2, 4, 8), jnp.bfloat16)
    part = Keys(half, half, jnp.ones((1, 4, 4), bool))
    assert cudnn_applies("gpu", half, part, 0.0)
    assert not cudnn_applies("cpu", half, part, 0.0)
    assert not cudnn_applies("gpu", half, part, 0.1)
    assert not cudnn_applies("gpu", half.astype(jnp.float32), part, 0.0)
    assert not cudnn_applies("gpu", half[..., :6], part, 0.0)
    for size, applies in [(128, True), (136, False)]:
        wide = jnp.zeros((1, 2, 4, size), jnp.bfloat16)
        assert cudnn_applies("gpu", wide, part._replace(key_BHMK=wide), 0.0) == applies
    assert not cudnn_applies("gpu", half, part._replace(key_BHMK=half[:, :, :3]), 0.0)
    assert not cudnn_applies("gpu", half, part._replace(bias_BHQM=jnp.ones((1, 2, 4, 4))), 0.0)

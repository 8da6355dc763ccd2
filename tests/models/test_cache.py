"""Which rows of the caches move where; that decoding goes on from them is in test_bert.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models import cache

LAYERS, BATCH, WIDTH, ROOM, HEADS, SIZE = 2, 4, 5, 3, 2, 3


def numbered(*shape: int):
    """Keys and values of some layers that all differ."""
    keys = np.arange(LAYERS * np.prod(shape), dtype=np.float32).reshape(LAYERS, *shape)
    return tuple((jnp.asarray(of_layer), jnp.asarray(-of_layer)) for of_layer in keys)


def _shapes(tree):
    return [x.shape for x in jax.tree.leaves(tree)]


def _pairs(before, after):
    return zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)


def state(num_beams: int) -> cache.DecodeState:
    source = numbered(BATCH, HEADS, WIDTH, SIZE)
    empty = cache.init(source, jnp.arange(BATCH), ROOM, num_beams)
    assert empty.num_beams == num_beams
    assert empty.source is source
    filled = numbered(BATCH * num_beams, HEADS, ROOM, SIZE)
    assert _shapes(empty.target) == _shapes(filled)
    assert not any(x.any() for x in jax.tree.leaves(empty.target))
    return empty.replace(target=filled, step=jnp.int32(2))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_take_rows_takes_examples_with_all_their_beams(num_beams):
    before = state(num_beams)
    after = cache.take_rows(before, jnp.array([3, 0, 3]))
    assert (after.num_beams, after.step) == (num_beams, 2)
    assert after.source_length_B.tolist() == [3, 0, 3]
    for place, example in enumerate([3, 0, 3]):
        for old, new in _pairs(before.source, after.source):
            np.testing.assert_array_equal(new[place], old[example])
        for beam in range(num_beams):
            for old, new in _pairs(before.target, after.target):
                np.testing.assert_array_equal(
                    new[place * num_beams + beam], old[example * num_beams + beam]
                )


def test_rows_that_go_on_by_different_numbers_of_tokens():
    before = cache.by_rows(state(1))
    after = cache.take_rows(cache.keep(before, jnp.array([1, 3, 2, 0])), jnp.array([3, 1, 1]))
    assert before.step.tolist() == [2, 2, 2, 2]
    assert after.step.tolist() == [2, 5, 5]


def test_filled_puts_tokens_where_each_row_is():
    cached, new = (
        np.zeros((3, HEADS, 6, SIZE)),
        np.random.default_rng(0).random((3, HEADS, 2, SIZE)),
    )
    for step in (np.array(1), np.array([3]), np.array([0, 4, 2])):
        expected = cached.copy()
        for row, at in enumerate(np.broadcast_to(step, 3)):
            expected[row, :, at : at + 2] = new[row]
        np.testing.assert_array_equal(
            cache.filled(jnp.asarray(cached), jnp.asarray(new), jnp.asarray(step)),
            expected.astype(np.float32),
        )


def test_reorder_beams_moves_targets_within_their_example_and_no_source():
    before = state(3)
    origin_BW = np.random.default_rng(0).integers(0, 3, (BATCH, 3))
    after = cache.reorder_beams(before, jnp.asarray(origin_BW))
    assert after.source is before.source
    for (example, beam), origin in np.ndenumerate(origin_BW):
        for old, new in _pairs(before.target, after.target):
            np.testing.assert_array_equal(new[example * 3 + beam], old[example * 3 + origin])


def test_grow_adds_room_behind_what_is_there():
    before = state(3)
    after = cache.grow(before, ROOM + 4)
    assert after.source is before.source
    for old, new in _pairs(before.target, after.target):
        assert new.shape[2] == ROOM + 4
        np.testing.assert_array_equal(new[:, :, :ROOM], old)
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), before, cache.grow(before, ROOM)))

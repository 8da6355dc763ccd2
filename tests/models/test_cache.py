"""Which rows of the caches move where; that decoding goes on from them is in test_bert.py."""

import jax.numpy as jnp
import numpy as np
import pytest

from grel.models import cache

LAYERS, BATCH, WIDTH, ROOM, HEADS, SIZE = 2, 4, 5, 3, 2, 3


def numbered(*shape: int):
    """Keys and values that all differ."""
    keys = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return jnp.asarray(keys), jnp.asarray(-keys)


def state(num_beams: int) -> cache.DecodeState:
    source = numbered(LAYERS, BATCH, HEADS, WIDTH, SIZE)
    empty = cache.init(source, jnp.arange(BATCH), ROOM, num_beams)
    assert empty.num_beams == num_beams
    assert empty.source is source
    filled = numbered(LAYERS, BATCH * num_beams, HEADS, ROOM, SIZE)
    assert [x.shape for x in empty.target] == [x.shape for x in filled]
    assert not any(x.any() for x in empty.target)
    return empty.replace(target=filled, step=jnp.int32(2))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_take_rows_takes_examples_with_all_their_beams(num_beams):
    before = state(num_beams)
    after = cache.take_rows(before, jnp.array([3, 0, 3]))
    assert (after.num_beams, after.step) == (num_beams, 2)
    assert after.source_length_B.tolist() == [3, 0, 3]
    for place, example in enumerate([3, 0, 3]):
        for old, new in zip(before.source, after.source, strict=True):
            np.testing.assert_array_equal(new[:, place], old[:, example])
        for beam in range(num_beams):
            for old, new in zip(before.target, after.target, strict=True):
                np.testing.assert_array_equal(
                    new[:, place * num_beams + beam], old[:, example * num_beams + beam]
                )


def test_reorder_beams_moves_targets_within_their_example_and_no_source():
    before = state(3)
    origin_BW = np.random.default_rng(0).integers(0, 3, (BATCH, 3))
    after = cache.reorder_beams(before, jnp.asarray(origin_BW))
    assert after.source is before.source
    for (example, beam), origin in np.ndenumerate(origin_BW):
        for old, new in zip(before.target, after.target, strict=True):
            np.testing.assert_array_equal(new[:, example * 3 + beam], old[:, example * 3 + origin])

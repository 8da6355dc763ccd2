"""The driver on eight devices: order, buckets and limits, with a table in place of a model."""

import dataclasses

import jax
import numpy as np
import pytest

from grel import parallel
from grel.decoding import driver
from tests.decoding import reference

PAD, CLS, SEP, EXCLUDED = 0, 1, 2, (0, 1, 2, 3)
VOCAB, NUM_KEYS, NUM_STEPS, MAX_TARGET, BUCKETS = 14, 61, 16, 9, (8, 16)

shapes_encoded: list[tuple[int, ...]] = []


def init_fn(params, source_BS, source_length_B, num_steps):
    """A row's logits depend on all of its ids, padding included, and on its length."""
    assert num_steps == NUM_STEPS
    shapes_encoded.append(source_BS.shape)
    return (source_BS.sum(-1) + source_length_B) % NUM_KEYS, 0


def step_fn(params, state, token_B):
    key_B, step = state
    token_table, bio_table = params
    at = key_B, step, token_B
    return token_table[at], bio_table[at], (key_B, step + 1)


def random_params():
    rng = np.random.default_rng(0)
    token_table = rng.integers(0, 4, (NUM_KEYS, NUM_STEPS, VOCAB, VOCAB)).astype(np.float32)
    token_table[..., SEP] -= rng.choice([-1, 0, 9], (NUM_KEYS, 1, 1))
    bio_table = rng.integers(0, 3, (NUM_KEYS, NUM_STEPS, VOCAB, 3)).astype(np.float32)
    return token_table, bio_table


PARAMS = random_params()


def decoder(batch_size: int, copy: str = "on", buckets: tuple[int, ...] = BUCKETS):
    shapes_encoded.clear()
    return driver.Decoder(
        init_fn,
        step_fn,
        driver.Options(copy, MAX_TARGET, batch_size, buckets),
        special=(PAD, CLS, SEP),
        excluded_ids=EXCLUDED,
    )


def random_sources(num: int) -> list[list[int]]:
    """Of 0 to 20 tokens, where 14 fit into the last bucket."""
    rng = np.random.default_rng(1)
    return [rng.integers(3, VOCAB, rng.integers(0, 21)).tolist() for _ in range(num)]


def expected(source: list[int], mode: str) -> list[reference.Step]:
    """All that is written for a source, the end token and what goes beyond the limit included."""
    seen = source[: BUCKETS[-1] - 2]
    if not seen:
        return []
    key = (CLS + sum(seen) + SEP + len(seen) + 2) % NUM_KEYS
    return reference.decode(
        seen,
        lambda step, token: (PARAMS[0][key, step, token], PARAMS[1][key, step, token]),
        max_steps=NUM_STEPS,
        start_id=SEP,
        end_id=SEP,
        excluded=EXCLUDED,
        mode=mode,
    )


@pytest.fixture(scope="module")
def params():
    return parallel.replicate(PARAMS)


@pytest.fixture(scope="module")
def written(params):
    """What a decoder of 32 rows writes for 200 sources."""
    return decoder(32)(params, random_sources(200))


def assert_same(one: driver.Written, other: driver.Written):
    for name in ("ids", "labels", "log_probs"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.ended, one.num_cut) == (other.ended, other.num_cut)


def check(written: list[driver.Written], sources: list[list[int]], mode: str):
    for one, source in zip(written, sources, strict=True):
        steps = expected(source, mode)
        ended = not steps or SEP in [s.token for s in steps[: MAX_TARGET + 1]]
        steps = [s for s in steps if s.token != SEP][:MAX_TARGET]
        assert one.ids.tolist() == [s.token for s in steps]
        assert one.labels.tolist() == [s.label for s in steps]
        np.testing.assert_allclose(one.log_probs, [s.log_prob for s in steps], atol=1e-5)
        assert one.ended == ended
        assert one.num_cut == max(0, len(source) - 14)


def test_writes_what_the_reference_writes_in_the_order_of_the_sources(written):
    sources = random_sources(200)
    assert len({len(one.ids) for one in written}) == MAX_TARGET + 1
    check(written, sources, "on")


def test_copy_mode_is_passed_on(params):
    sources = random_sources(16)
    off = decoder(16, "off", BUCKETS[-1:])(params, sources)
    check(off, sources, "off")
    steps = [expected(source, mode) for source in sources for mode in ("on", "off")]
    assert steps[::2] != steps[1::2]


def test_results_depend_neither_on_batch_size_nor_on_other_rows(params, written):
    """Batches of one row a device, in another order, and some sources alone."""
    sources = random_sources(200)
    small = decoder(8)
    shuffled = np.random.default_rng(2).permutation(200)
    for place, one in zip(shuffled, small(params, [sources[i] for i in shuffled]), strict=True):
        assert_same(one, written[place])
    for place in (3, 77):
        assert_same(small(params, [sources[place]])[0], written[place])


def test_batches_take_the_smallest_bucket_that_holds_their_longest(params):
    """Sources are sorted, so that short ones do not pay for a long one; two shapes in all."""
    d = decoder(8)
    sources = [[5] * n for n in (9, 2, 6, 14, 1, 6, 3, 2, 30, 3, 4)]
    places, _ = zip(*d.batches(params, sources), strict=True)
    assert [sorted(len(sources[i]) for i in batch) for batch in places] == [
        [1, 2, 2, 3, 3, 4, 6, 6],
        [9, 14, 30],
    ]
    assert set(shapes_encoded) == {(1, 8), (1, 16)}
    traced = len(shapes_encoded)
    d(params, sources)
    assert len(shapes_encoded) == traced


def test_cut_sources_are_marked_and_read_from_their_beginning(params, written):
    sources = random_sources(200)
    longest = max(range(200), key=lambda i: len(sources[i]))
    assert written[longest].num_cut == len(sources[longest]) - 14 == 6
    (short,) = decoder(8)(params, [sources[longest][:14]])
    assert short.num_cut == 0
    assert_same(dataclasses.replace(short, num_cut=6), written[longest])
    assert {one.num_cut for one in written} == set(range(7))


def test_a_row_that_ends_beyond_the_limit_has_not_ended(written):
    """Steps are run in groups, so a row may go on past `max_target` and end there."""
    late = [
        one
        for one, source in zip(written, random_sources(200), strict=True)
        if MAX_TARGET < sum(s.token != SEP for s in expected(source, "on")) < NUM_STEPS
    ]
    assert late
    for one in late:
        assert not one.ended
        assert len(one.ids) == len(one.labels) == len(one.log_probs) == MAX_TARGET


def test_no_sources(params):
    assert decoder(8)(params, []) == []


def test_rows_must_divide_over_the_devices(params):
    assert jax.local_device_count() == 8
    with pytest.raises(ValueError, match="12 rows do not divide over 8 devices"):
        decoder(12)(params, [[5]])

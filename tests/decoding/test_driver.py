"""The driver on eight devices: order, buckets and limits, with a table in place of a model."""

import dataclasses

import jax
import numpy as np
import pytest

from grel import parallel
from grel.decoding import greedy
from grel.text import bio, linearize
from tests.decoding import reference
from tests.decoding.table_model import (
    BUCKETS,
    FORM,
    MAX_TARGET,
    NUM_STEPS,
    PARAMS,
    SCHEMA,
    SEP,
    assert_same,
    check,
    decoder,
    expected,
    random_sources,
    shapes_encoded,
)


@pytest.fixture(scope="module")
def params():
    return parallel.replicate(PARAMS)


@pytest.fixture(scope="module")
def halving(params):
    """A decoder of 16 rows a device that has written the 200 sources, what, and in how many steps.

    Devices go on with 8 and with 4 rows when they may.
    """
    sizes = {stage.size for stage in greedy.stages(16, NUM_STEPS)}
    assert sizes == {16, 8, 4}
    d = decoder(128, buckets=BUCKETS[-1:])
    return d, d(params, random_sources(200)), d.row_steps


@pytest.fixture(scope="module")
def written(params):
    """What a decoder of 32 rows writes for 200 sources."""
    return decoder(32)(params, random_sources(200))


def test_writes_what_the_reference_writes_in_the_order_of_the_sources(written):
    sources = random_sources(200)
    assert len({len(one.ids) for one in written}) == MAX_TARGET + 1
    check(written, sources, "on")


def test_results_depend_neither_on_batch_size_nor_on_other_rows(params, written, halving):
    """Batches of one row a device, in another order, some sources alone, and halving ones."""
    sources = random_sources(200)
    for one, other in zip(halving[1], written, strict=True):
        assert_same(one, other)
    small = decoder(8)
    shuffled = np.random.default_rng(2).permutation(200)
    for place, one in zip(shuffled, small(params, [sources[i] for i in shuffled]), strict=True):
        assert_same(one, written[place])
    for place in (3, 77):
        assert_same(small(params, [sources[place]])[0], written[place])


def test_a_few_sources_take_a_small_batch(params, halving):
    """Of 4 rows a device, MIN_ROWS, instead of 16; with one source more it is as ever."""
    d, written, _ = halving
    shapes_encoded.clear()
    sources = random_sources(200)
    for num in (33, 32, 1):
        for one, other in zip(d(params, sources[:num]), written[:num], strict=True):
            assert_same(one, other)
        assert shapes_encoded == ([] if num == 33 else [(4, 16)])


def test_batches_take_the_smallest_bucket_that_holds_their_longest(params):
    """Sources are sorted, so that short ones do not pay for a long one; two shapes in all."""
    d = decoder(8)
    sources = [[5] * n for n in (9, 2, 6, 14, 1, 6, 3, 2, 30, 3, 4)]
    d(params, sources)
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
        assert len(one.positions) == MAX_TARGET


def test_row_steps_are_those_that_each_device_ran(params, halving):
    """A device goes on with half of its rows when it may, whatever the others do."""
    sources = random_sources(200)
    d, _, row_steps = halving
    order = sorted(range(200), key=lambda i: len(sources[i]))
    num_steps = np.zeros((2, 8, 16), int)
    num_steps.reshape(-1)[:200] = [len(expected(sources[i])) for i in order]
    count = 0
    for device in num_steps.reshape(-1, 16):
        step = 0
        for size, until in ((16, 8), (8, 4), (4, 0)):
            while (device > step).sum() > until:
                step += greedy.STEPS_PER_CHECK
                count += size * greedy.STEPS_PER_CHECK
    assert row_steps == count
    before = d.row_steps
    d(params, sources[:1])
    assert 0 < d.row_steps - before <= 4 * NUM_STEPS


def test_positions_say_where_an_entity_was_copied_from(written):
    """Of every token: where what was written since the last B ends, first place first."""
    num_found = 0
    for one, source in zip(written, random_sources(200), strict=True):
        ids, labels = one.ids.tolist(), one.labels.tolist()
        for t, position in enumerate(one.positions):
            q = reference.copied_so_far(ids[: t + 1], labels[: t + 1])
            starts = bio.occurrences(source[:14], q)
            assert position == (starts[0] + len(q) - 1 if starts else -1)
            num_found += position >= 0
    assert num_found > 200


@pytest.fixture(scope="module")
def structured():
    return decoder(32, buckets=BUCKETS[-1:], schema=SCHEMA, structure="on")


def test_structure_writes_whole_triples_only(params, structured):
    """An output that does not end within the limit is cut after its last triple."""
    sources = random_sources(200)
    written = structured(params, sources)
    check(written, sources, relations=SCHEMA.relation_ids)
    num_cut = num_triples = 0
    for one in written:
        parsed = linearize.parse(one.ids.tolist(), FORM)
        assert parsed.num_malformed == 0
        num_triples += len(parsed.triples)
        num_cut += not one.ended and len(one.ids) > 0
    assert num_triples > 30
    assert num_cut > 5


def test_relations_are_restricted_without_compiling_again(params, structured):
    sources = random_sources(200)
    structured(params, sources)
    traced = len(shapes_encoded)
    some, others = structured.restricted(["ab", "c"]), structured.restricted(["a"])
    check(others(params, sources), sources, relations=["a"])
    check(some(params, sources), sources, relations=["ab", "c"])
    check(structured(params, sources), sources, relations=SCHEMA.relation_ids)
    assert len(shapes_encoded) == traced


def test_what_relations_cannot_be_restricted_to(structured):
    with pytest.raises(ValueError, match="relation 'b' is not in the schema; one of a, ab, c"):
        structured.restricted(["a", "b"])
    with pytest.raises(ValueError, match="no relations to write; name at least one"):
        structured.restricted([])
    with pytest.raises(ValueError, match="restricted with structure='on' only"):
        decoder(8, schema=SCHEMA).restricted(["a"])
    with pytest.raises(ValueError, match="restricted with structure='on' only"):
        decoder(8, schema=SCHEMA, relations=["a"])
    with pytest.raises(ValueError, match="needs the schema"):
        decoder(8, structure="on")


def test_traces_follow_the_decoder(params, structured):
    """Sources are cut as they are for the model, and relations are the restricted ones."""
    sources = random_sources(200)
    few = structured.restricted(["ab"])
    at_once = decoder(8, schema=SCHEMA, structure="on", relations=["ab"])
    free = decoder(8, "off")
    for source, one in zip(sources, few(params, sources), strict=True):
        allowed = [s.allowed for s in expected(source, relations=["ab"])][: len(one.ids)]
        assert [set(s.allowed) for s in few.trace(source, one)] == allowed
        assert at_once.trace(source, one) == few.trace(source, one)
        told = free.trace(source, one)
        assert [(s.token_id, s.allowed) for s in told] == [(token, None) for token in one.ids]


def test_a_model_that_does_not_tell_where_it_looked(written):
    assert {place for one in written for place in one.attended.tolist()} == {-1}


def test_max_source_is_the_longest_that_is_not_cut():
    assert decoder(8).max_source == 14


def test_no_sources(params):
    assert decoder(8)(params, []) == []


def test_a_batch_that_does_not_divide_over_the_devices_has_a_few_rows_more(params, written):
    assert jax.local_device_count() == 8
    sources = random_sources(200)
    for size, rows in ((1, 1), (12, 2)):
        found = decoder(size, buckets=BUCKETS[-1:])(params, sources[:40])
        assert {shape[0] for shape in shapes_encoded} == {rows}
        for one, other in zip(found, written, strict=False):
            assert_same(one, other)

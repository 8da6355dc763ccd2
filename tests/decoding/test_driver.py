"""The driver on eight devices: order, buckets and limits, with a table in place of a model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel import parallel
from grel.decoding import beam, copying, driver, greedy, network
from grel.decoding.structure import Schema
from grel.text import bio, linearize
from tests.decoding import reference

PAD, CLS, SEP, PART_END, TRIPLE_END = EXCLUDED = 0, 1, 2, 3, 4
VOCAB, NUM_KEYS, NUM_STEPS, MAX_TARGET, BUCKETS = 14, 61, 10, 8, (8, 16)
FORM = linearize.Form(PART_END, TRIPLE_END)
SCHEMA = Schema({"a": (5,), "ab": (5, 6), "c": (7,)}, FORM, SEP)

shapes_encoded: list[tuple[int, ...]] = []


def init_fn(params, source_BS, source_length_B, num_steps, num_beams):
    """A row's logits depend on all of its ids, padding included, and on its length."""
    assert num_steps in (NUM_STEPS, NUM_STEPS + 2)  # with two drafted tokens behind the last one
    shapes_encoded.append(source_BS.shape)
    key_B = (source_BS.sum(-1) + source_length_B) % NUM_KEYS
    return jnp.repeat(key_B, num_beams), jnp.int32(0)


def step_fn(params, state, token_B):
    key_B, step = state
    token_table, bio_table = params
    at = key_B, step, token_B
    return token_table[at], bio_table[at], (key_B, step + 1)


def take_rows_fn(state, index_B):
    key_B, step = state
    return key_B[index_B], step[index_B] if step.ndim else step


def random_params():
    rng = np.random.default_rng(0)
    token_table = rng.integers(0, 4, (NUM_KEYS, NUM_STEPS, VOCAB, VOCAB)).astype(np.float32)
    token_table[..., SEP] -= rng.choice([-1, 0, 9], (NUM_KEYS, 1, 1))
    bio_table = rng.integers(0, 3, (NUM_KEYS, NUM_STEPS, VOCAB, 3)).astype(np.float32)
    return token_table, bio_table


PARAMS = random_params()


def decoder(
    batch_size: int,
    copy: str = "on",
    buckets: tuple[int, ...] = BUCKETS,
    schema: Schema | None = None,
    relations=None,
    feeding: network.Feeding | None = None,
    joined_V=None,
    **fields,
):
    shapes_encoded.clear()
    return driver.Decoder(
        network.Functions(
            init=init_fn,
            decoding_params=lambda params: params,
            step=step_fn,
            take_rows=take_rows_fn,
            grow=lambda state, num_steps: state,
            reorder_beams=lambda state, origin_BW: state,
            feeding=feeding,
        ),
        driver.Options(copy, MAX_TARGET, batch_size, buckets, **fields),
        frame=driver.Frame.packed(PAD, CLS, SEP),
        excluded_ids=EXCLUDED,
        schema=schema,
        relations=relations,
        joined_V=joined_V,
    )


def random_sources(num: int) -> list[list[int]]:
    """Of 0 to 20 tokens, where 14 fit into the last bucket."""
    rng = np.random.default_rng(1)
    return [rng.integers(3, VOCAB, rng.integers(0, 21)).tolist() for _ in range(num)]


def expected(source: list[int], mode: str = "on", relations=(), **how) -> list[reference.Step]:
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
        layout=reference.Layout([SCHEMA.relation_ids[name] for name in relations], 3, 4, SEP)
        if relations
        else None,
        **how,
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


def assert_same(one: driver.Written, other: driver.Written):
    for name in ("ids", "labels", "log_probs", "positions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.ended, one.num_cut) == (other.ended, other.num_cut)


def check(written: list[driver.Written], sources: list[list[int]], mode="on", relations=()):
    for one, source in zip(written, sources, strict=True):
        steps = expected(source, mode, relations)
        ended = not steps or SEP in [s.token for s in steps[: MAX_TARGET + 1]]
        steps = [s for s in steps if s.token != SEP][:MAX_TARGET]
        if relations and not ended:
            while steps and steps[-1].token != TRIPLE_END:
                steps.pop()
            steps = steps[:-1]
        assert one.ids.tolist() == [s.token for s in steps]
        assert one.labels.tolist() == [s.label for s in steps]
        np.testing.assert_allclose(one.log_probs, [s.log_prob for s in steps], atol=1e-5)
        assert one.ended == ended
        assert one.num_cut == max(0, len(source) - 14)


def test_writes_what_the_reference_writes_in_the_order_of_the_sources(written):
    sources = random_sources(200)
    assert len({len(one.ids) for one in written}) == MAX_TARGET + 1
    check(written, sources, "on")


def feed_fn(params, state, tokens_BF):
    key_B, step_B = state
    place_BF = step_B[:, None] + jnp.arange(tokens_BF.shape[1])[None]
    at = key_B[:, None], jnp.minimum(place_BF, NUM_STEPS - 1), tokens_BF
    return params[0][at], params[1][at], state


FEEDING = network.Feeding(
    lambda state: (state[0], jnp.full(len(state[0]), state[1])),
    feed_fn,
    lambda state, num_B: (state[0], state[1] + num_B),
)


@pytest.mark.parametrize("structure", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_drafts_change_nothing_but_the_number_of_steps(params, structure):
    sources = random_sources(200)
    how = {"buckets": BUCKETS[-1:], "schema": SCHEMA, "structure": structure}
    plain = decoder(64, **how)
    drafted = decoder(64, **how, draft=2, feeding=FEEDING, joined_V=np.arange(VOCAB) % 2 == 0)
    for one, other in zip(drafted(params, sources), plain(params, sources), strict=True):
        assert_same(one, other)
    assert 0 < drafted.row_steps < plain.row_steps


def test_drafts_need_a_model_that_is_fed_several_tokens_at_once():
    with pytest.raises(ValueError, match="draft is 2, but this model is fed one token at a time"):
        decoder(8, schema=SCHEMA, draft=2)
    with pytest.raises(ValueError, match="drafts need the schema"):
        decoder(8, draft=2, feeding=FEEDING)
    with pytest.raises(ValueError, match="draft is 2, but beams write one token a step"):
        decoder(8, schema=SCHEMA, draft=2, num_beams=2)


def test_copy_mode_is_passed_on(params):
    sources = random_sources(16)
    off = decoder(16, "off", BUCKETS[-1:])(params, sources)
    check(off, sources, "off")
    steps = [expected(source, mode) for source in sources for mode in ("on", "off")]
    assert steps[::2] != steps[1::2]


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


def test_options_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="set copy='on', or structure='off'"):
        decoder(8, "off", schema=SCHEMA, structure="on")


def test_label_and_scores_are_passed_on(params):
    source = random_sources(200)[77]
    (one,) = decoder(8, buckets=BUCKETS[-1:], label="joint", scores="renormalized")(
        params, [source]
    )
    steps = expected(source, choose="joint", scores="renormalized")
    steps = [s for s in steps if s.token != SEP][:MAX_TARGET]
    assert one.ids.tolist() == [s.token for s in steps]
    np.testing.assert_allclose(one.log_probs, [s.log_prob for s in steps], atol=1e-5)
    assert steps != expected(source)[: len(steps)]


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


def test_words_bring_their_characters_in_any_frame(params):
    """As WordDec decodes: start and end differ, and the model tells where it looked."""
    unknown, start, end, before = 8, 9, SEP, 7

    def init(params, source_BS, source_length_B, num_steps, num_beams, chars_BSK):
        state = init_fn(params, source_BS, source_length_B, num_steps, num_beams)
        place_1S = jnp.arange(source_BS.shape[1])[None]
        return (state[0] + (place_1S * chars_BSK.sum(-1)).sum(-1)) % NUM_KEYS, state[1]

    functions = network.Functions(
        init=init,
        decoding_params=lambda params: params,
        step=step_fn,
        take_rows=take_rows_fn,
        grow=lambda state, num_steps: state,
        reorder_beams=lambda state, origin_BW: state,
        attended=lambda state: jnp.full(len(state[0]), 1 + state[1] % 5),
    )
    words = driver.Decoder(
        functions,
        driver.Options("words", MAX_TARGET, 8, BUCKETS),
        frame=driver.Frame(PAD, (before,), (), start, end),
        excluded_ids=EXCLUDED,
        schema=SCHEMA,
        unknown_id=unknown,
    )
    assert words.max_source == BUCKETS[-1] - 1
    rng, sources = np.random.default_rng(3), random_sources(60)
    chars = [rng.integers(0, 9, (len(source), 3)) for source in sources]
    others = {*SCHEMA.token_ids, unknown}
    written = words(params, sources, chars)
    for source, of_words, one in zip(sources, chars, written, strict=True):
        seen = source[: BUCKETS[-1] - 1]
        key = before + sum(seen) + len(seen) + 1
        key += sum(place * int(sum(of)) for place, of in enumerate(of_words[: len(seen)], start=1))
        key %= NUM_KEYS
        steps = reference.decode(
            seen,
            lambda step, token, key=key: (PARAMS[0][key, step, token], PARAMS[1][key, step, token]),
            max_steps=NUM_STEPS if seen else 0,
            start_id=start,
            end_id=end,
            excluded=EXCLUDED,
            mode="words",
            others=others,
        )
        steps = [s for s in steps if s.token != end][:MAX_TARGET]
        assert one.ids.tolist() == [s.token for s in steps]
        assert one.attended.tolist() == [(t + 1) % 5 for t in range(len(steps))]
        assert one.num_cut == max(0, len(source) - BUCKETS[-1] + 1)
        assert [set(s.allowed) for s in words.trace(source, one)] == [s.allowed for s in steps]
    assert {unknown, PART_END, TRIPLE_END} <= {i for one in written for i in one.ids.tolist()}


@pytest.mark.parametrize("copy", copying.CHOICES["copy"])
def test_a_pointer_goes_by_every_rule_and_has_the_places_that_the_schema_says(copy):
    """By the rule of WordDec too, which writes the unknown token where a source has it alone."""
    unknown, width = 8, BUCKETS[-1]
    num_places = width + len(SCHEMA.token_ids)
    rng = np.random.default_rng(5)
    place_table = rng.normal(size=(NUM_KEYS, NUM_STEPS, VOCAB, num_places)).astype(np.float32)
    tables = place_table, PARAMS[1]

    def init(params, source_BS, source_length_B, num_steps, num_beams):
        place_1S = jnp.arange(width)[None]
        inside_BS = (place_1S > 0) & (place_1S < source_length_B[:, None] - 1)
        key_B, step = init_fn(params, source_BS, source_length_B, num_steps, num_beams)
        others_BE = jnp.ones((len(key_B), len(SCHEMA.token_ids)), bool)
        return key_B, step, jnp.concatenate([inside_BS, others_BE], axis=1)

    def step(params, state, token_B):
        *before, real_BX = state
        place_logits_BX, bio_logits_BC, after = step_fn(params, before, token_B)
        return jnp.where(real_BX, place_logits_BX, -jnp.inf), bio_logits_BC, (*after, real_BX)

    points = driver.Decoder(
        network.Functions(
            init=init,
            decoding_params=lambda params: params,
            step=step,
            take_rows=lambda state, index_B: (*take_rows_fn(state[:2], index_B), state[2][index_B]),
            grow=lambda state, num_steps: state,
            reorder_beams=lambda state, origin_BW: state,
        ),
        driver.Options(copy, MAX_TARGET, 8, BUCKETS[-1:], head="pointer"),
        frame=driver.Frame.packed(PAD, CLS, SEP),
        excluded_ids=EXCLUDED,
        schema=SCHEMA,
        unknown_id=unknown,
    )
    sources = [source for source in random_sources(60) if 0 < len(source) <= width - 2]
    written = points(parallel.replicate(tables), sources)
    for source, one in zip(sources, written, strict=True):
        key = (CLS + sum(source) + SEP + len(source) + 2) % NUM_KEYS
        ids = [*source, *SCHEMA.token_ids]

        def step_of(step, token, key=key, source=source, ids=ids):
            logits = place_table[key, step, token]
            logits = np.concatenate([logits[1 : 1 + len(source)], logits[width:]])
            return reference.over_vocabulary(logits, ids, VOCAB), PARAMS[1][key, step, token]

        steps = reference.decode(
            source,
            step_of,
            max_steps=NUM_STEPS,
            start_id=SEP,
            end_id=SEP,
            excluded=EXCLUDED,
            mode=copy,
            others=SCHEMA.token_ids,
        )
        steps = [s for s in steps if s.token != SEP][:MAX_TARGET]
        assert one.ids.tolist() == [s.token for s in steps]
        np.testing.assert_allclose(one.log_probs, [s.log_prob for s in steps], atol=1e-5)
        allowed = [s.allowed and set(s.allowed) for s in points.trace(source, one)]
        assert allowed == [s.allowed for s in steps]
        assert unknown in source or unknown not in one.ids
    assert unknown in {i for one in written for i in one.ids.tolist()}


def test_a_model_that_does_not_tell_where_it_looked(written):
    assert {place for one in written for place in one.attended.tolist()} == {-1}


def test_words_need_the_schema():
    with pytest.raises(ValueError, match="copy='words'"):
        decoder(8, "words")


def test_max_source_is_the_longest_that_is_not_cut():
    assert decoder(8).max_source == 14


def test_no_sources(params):
    assert decoder(8)(params, []) == []


def test_rows_must_divide_over_the_devices(params):
    assert jax.local_device_count() == 8
    with pytest.raises(ValueError, match="12 rows do not divide over 8 devices"):
        decoder(12)(params, [[5]])


def test_beams_bring_what_a_search_of_the_source_alone_brings(params):
    sources = random_sources(40)
    settings = {"num_beams": 3, "num_best": 3}
    written = decoder(16, buckets=BUCKETS[-1:], **settings, length_penalty=0.7)(params, sources)

    @jax.jit
    def search(source_BS, source_length_B):
        state = init_fn(PARAMS, source_BS, source_length_B, NUM_STEPS, 3)
        return beam.search(
            lambda state, token_B: step_fn(jax.tree.map(jnp.asarray, PARAMS), state, token_B),
            state,
            copying.copy_masks(source_BS, source_length_B, EXCLUDED),
            copying.Rules(),
            num_steps=NUM_STEPS,
            start_id=SEP,
            end_id=SEP,
            reorder_fn=lambda state, origin_BW: state,
            take_rows_fn=lambda state, index_B: state,
            grow_fn=lambda state, num_steps: state,
            penalty_power=0.7,
            **settings,
        )[0]

    for source, one in zip(sources, written, strict=True):
        row = [CLS, *source[: BUCKETS[-1] - 2], SEP]
        padded = np.full((1, BUCKETS[-1]), PAD)
        padded[0, : len(row)] = row
        found = search(padded, np.array([len(row)]))
        tokens_WT = np.asarray(found.written.tokens_BT[0][found.score_BW[0] > -np.inf])
        expected_ids = [[t for t in tokens if t != SEP][:MAX_TARGET] for tokens in tokens_WT]
        assert [w.ids.tolist() for w in (one, *one.others)] == expected_ids
    assert any(len(one.others) == 2 for one in written)


@pytest.mark.parametrize("logit", [np.nan, -np.inf])
def test_beams_without_a_score_write_nothing_and_do_not_end(logit):
    """The other sources of the batch have what they have anyway."""
    token_table, bio_table = (table.copy() for table in PARAMS)
    sources = [[5, 6, 7], [8, 9, 10]]
    lost, kept = ((CLS + sum(source) + SEP + 5) % NUM_KEYS for source in sources)
    assert lost != kept
    token_table[lost] = logit
    beams = decoder(16, buckets=BUCKETS[:1], num_beams=2, num_best=2)
    one, other = beams(parallel.replicate((token_table, bio_table)), sources)
    assert (one.ids.tolist(), one.ended, one.others) == ([], False, ())
    assert_same(other, beams(parallel.replicate(PARAMS), sources)[1])


def test_more_outputs_than_beams_are_refused():
    with pytest.raises(ValueError, match="num_best is 3; it must be from 1 to num_beams, 2"):
        decoder(8, num_beams=2, num_best=3)


def test_a_length_penalty_without_beams_is_refused():
    with pytest.raises(ValueError, match="but greedy search compares no outputs: set"):
        decoder(8, length_penalty=2.0)

"""The program that the driver compiles: rules, heads, drafts and beams reach the search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel import parallel
from grel.decoding import beam, copying, driver, network, program
from tests.decoding import reference
from tests.decoding.table_model import (
    BUCKETS,
    CLS,
    EXCLUDED,
    FUNCTIONS,
    MAX_TARGET,
    NUM_KEYS,
    NUM_STEPS,
    PAD,
    PARAMS,
    PART_END,
    SCHEMA,
    SEP,
    TRIPLE_END,
    VOCAB,
    assert_same,
    check,
    decoder,
    expected,
    init_fn,
    random_sources,
    step_fn,
    take_rows_fn,
)


@pytest.fixture(scope="module")
def params():
    return parallel.replicate(PARAMS)


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


def test_words_bring_their_characters_in_any_frame(params):
    """As WordDec decodes: start and end differ, and the model tells where it looked."""
    unknown, start, end, before = 8, 9, SEP, 7

    def init(params, source_BS, source_length_B, num_steps, num_beams, chars_BSK):
        state = init_fn(params, source_BS, source_length_B, num_steps, num_beams)
        place_1S = jnp.arange(source_BS.shape[1])[None]
        return (state[0] + (place_1S * chars_BSK.sum(-1)).sum(-1)) % NUM_KEYS, state[1]

    def attended(state):
        return jnp.full(len(state[0]), 1 + state[1] % 5)

    words = driver.Decoder(
        FUNCTIONS._replace(init=init, attended=attended),
        program.Options("words", MAX_TARGET, 8, BUCKETS),
        frame=program.Frame(PAD, (before,), (), start, end),
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

    def take_rows(state, index_B):
        return *take_rows_fn(state[:2], index_B), state[2][index_B]

    points = driver.Decoder(
        FUNCTIONS._replace(init=init, step=step, take_rows=take_rows),
        program.Options(copy, MAX_TARGET, 8, BUCKETS[-1:], head="pointer"),
        frame=program.Frame.packed(PAD, CLS, SEP),
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


def test_words_need_the_schema():
    with pytest.raises(ValueError, match="copy='words'"):
        decoder(8, "words")


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

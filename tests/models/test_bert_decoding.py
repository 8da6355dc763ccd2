"""BERT step by step: caches give what reading all anew gives; parameters for decoding."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models import bert, bert_decoding
from tests.models.bert_cases import (
    MARKED,
    POINTER,
    SOURCE_B,
    TINY,
    own_words,
    packed_hidden,
    random_marks,
    random_params,
)


@pytest.fixture(scope="module")
def params():
    return random_params()


def _sources(rng):
    source_BS = rng.integers(5, 50, (4, 10)).astype(np.int32)
    for row, length in enumerate(SOURCE_B):
        source_BS[row, [0, length - 1]] = [2, 3]
        source_BS[row, length:] = 0
    return source_BS


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _init_decode(config, params, source_BS, source_length_B, num_steps, num_beams=1, *beside):
    params = bert_decoding.decoding_params(config, params)
    return bert_decoding.init_decode(
        config, params, source_BS, source_length_B, num_steps, num_beams, *beside
    )


_grow = functools.partial(jax.jit, static_argnums=1)(bert_decoding.grow)


@functools.partial(jax.jit, static_argnums=0)
def _decode_step(config, params, state, token_B):
    return bert_decoding.decode_step(
        config, bert_decoding.decoding_params(config, params), state, token_B
    )


@functools.partial(jax.jit, static_argnums=0)
def _feed(config, params, state, tokens_BF):
    return bert_decoding.feed(
        config, bert_decoding.decoding_params(config, params), state, tokens_BF
    )


@functools.partial(jax.jit, static_argnames="config")
def _last_logits(params, packed_RL, source_R, length_R, config):
    """Both heads at the last position of packed rows."""
    model, variables = bert.Model(config), {"params": params}
    hidden_RLD = packed_hidden(params, packed_RL, source_R, length_R, config)
    last_R1D = jnp.take_along_axis(hidden_RLD, length_R[:, None, None] - 1, axis=1)
    places = None
    if config.head == "pointer":
        places = model.apply(variables, packed_RL, source_R, hidden_RLD, method=bert.Model.places)
    token_R1X, bio_R1C = model.apply(variables, last_R1D, places, method=bert.Model.heads)
    return token_R1X[:, 0], bio_R1C[:, 0]


def _assert_same_logits(config, logits, expected):
    """Those of places agree where there is a place; a cache pads the source, a packed row more."""
    token_RX, bio_RC = map(np.asarray, logits)
    other_RX, other_RC = map(np.asarray, expected)
    np.testing.assert_allclose(bio_RC, other_RC, atol=2e-4)
    if config.head == "pointer":
        num_places, num_others = 10, len(config.writable_ids)
        assert (other_RX[:, num_places:-num_others] == -np.inf).all()
        other_RX = np.delete(other_RX, np.s_[num_places:-num_others], axis=1)
    np.testing.assert_allclose(token_RX, other_RX, atol=2e-4)


def test_a_source_is_read_with_its_marks(params):
    params, marks_BLM, marks_BLZ = random_marks(params, 12)
    source_BS = _sources(np.random.default_rng(3))
    marks_BSM, marks_BSZ = marks_BLM[:, :10], marks_BLZ[:, :10].astype(np.int32)
    state = _init_decode(MARKED, params, source_BS, SOURCE_B, 4, 1, marks_BSZ)
    own_BS, other_params, config = own_words(params, source_BS, marks_BSM)
    expected = _init_decode(config, other_params, own_BS, SOURCE_B, 4)
    for ours, theirs in zip(
        jax.tree.leaves(state.source), jax.tree.leaves(expected.source), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("objective", "head", "num_segments", "source", "target"),
    [
        ("mlm", "vocabulary", 2, 0, 1),
        pytest.param(*("causal", "vocabulary", 6, 4, 5), marks=pytest.mark.slow),
        ("causal", "pointer", 2, 0, 1),
        pytest.param(*("pseudo", "pointer", 6, 4, 5), marks=pytest.mark.slow),
    ],
)
def test_cached_decoding_equals_encoding_anew(
    params, objective, head, num_segments, source, target
):
    """Step t's logits are those of the packed pair so far, whatever the padding and the room."""
    config = dataclasses.replace(
        POINTER,
        head=head,
        objective=objective,
        num_segments=num_segments,
        source_segment=source,
        target_segment=target,
    )
    rng = np.random.default_rng(1)
    table = rng.normal(size=(num_segments, 16)).astype(np.float32)
    params = {**params, "segments": {"embedding": table}}
    steps = 6
    written_BT = rng.integers(5, 50, (4, steps)).astype(np.int32)
    source_BS = _sources(rng)
    state = _init_decode(config, params, source_BS, SOURCE_B, 4)
    token_B = np.full(4, 3, np.int32)
    for t in range(steps):
        if t == 4:
            state = _grow(state, steps)
        *logits, state = _decode_step(config, params, state, token_B)
        token_B = written_BT[:, t]
        packed_BL = np.zeros((4, 16), np.int32)
        length_B = SOURCE_B + t + (objective != "causal")
        for row, length in enumerate(SOURCE_B):
            packed = [*source_BS[row, :length], *written_BT[row, :t], 4]
            packed_BL[row, : length_B[row]] = packed[: length_B[row]]
        expected = _last_logits(params, packed_BL, SOURCE_B, length_B, config)
        _assert_same_logits(config, logits, expected)


@pytest.mark.parametrize(
    ("objective", "head"),
    [
        pytest.param("mlm", "vocabulary", marks=pytest.mark.slow),
        pytest.param("causal", "vocabulary", marks=pytest.mark.slow),
        ("causal", "pointer"),
        pytest.param("pseudo", "pointer", marks=pytest.mark.slow),
    ],
)
def test_several_tokens_fed_at_once_equal_encoding_anew(params, objective, head):
    """Some of them are dropped afterwards, of each row others; rows change places, caches grow."""
    config = dataclasses.replace(POINTER, head=head, objective=objective)
    rng = np.random.default_rng(4)
    source_BS, source_B, num_fed = _sources(rng), SOURCE_B, 3
    written = [[3]] * 4  # with the token that is fed first
    state = bert_decoding.by_rows(_init_decode(config, params, source_BS, SOURCE_B, 8, 1))
    for room, index_B in ((8, [2, 0, 2, 1]), (12, [0, 3, 1, 2]), (12, [0, 1, 2, 3])):
        state = _grow(state, room)
        drafted_BU = rng.integers(5, 50, (4, num_fed - 1))
        fed_BF = np.array([[of[-1], *more] for of, more in zip(written, drafted_BU, strict=True)])
        *logits, state = _feed(config, params, state, fed_BF)
        for f in range(num_fed):
            packed_BL, length_B = np.zeros((4, 24), np.int32), np.zeros(4, int)
            for row, length in enumerate(source_B):
                packed = [*source_BS[row, :length], *written[row][1:], *drafted_BU[row, :f]]
                packed += [4] * (objective != "causal")
                length_B[row] = len(packed)
                packed_BL[row, : len(packed)] = packed
            expected = _last_logits(params, packed_BL, source_B, length_B, config)
            _assert_same_logits(config, [x[:, f] for x in logits], expected)
        num_kept_B = rng.integers(1, num_fed + 1, 4)
        state = bert_decoding.keep(state, num_kept_B)
        state = bert_decoding.take_rows(state, np.array(index_B))
        # The last token written is what the model says and not a draft, and is yet to be fed.
        written = [
            [*written[row], *drafted_BU[row, : num_kept_B[row] - 1], int(rng.integers(5, 50))]
            for row in index_B
        ]
        source_BS, source_B = source_BS[index_B], source_B[index_B]


def test_drafts_may_go_beyond_the_last_position(params):
    """There, where nothing is written any more, they spoil nothing."""
    config = dataclasses.replace(TINY, max_positions=12)
    params = {**params, "positions": {"embedding": params["positions"]["embedding"][:12]}}
    source_BS = _sources(np.random.default_rng(5))
    plain = _init_decode(config, params, source_BS, SOURCE_B, 8)
    several = bert_decoding.by_rows(plain)
    for token in (3, 7, 8):
        token_B = np.full(4, token, np.int32)
        *expected, plain = _decode_step(config, params, plain, token_B)
        *logits, several = _feed(config, params, several, token_B[:, None] + np.arange(4)[None])
        several = bert_decoding.keep(several, np.ones(4, int))
        for all_of_them, alone in zip(logits, expected, strict=True):
            np.testing.assert_allclose(all_of_them[:, 0], alone, atol=2e-4)


@pytest.mark.parametrize(
    ("objective", "head"),
    [
        ("mlm", "vocabulary"),
        pytest.param("causal", "vocabulary", marks=pytest.mark.slow),
        pytest.param("causal", "pointer", marks=pytest.mark.slow),
    ],
)
def test_beams_that_change_places_equal_encoding_anew(params, objective, head):
    """Beams of one source: some go on from the same beam, some from none, after every step."""
    config = dataclasses.replace(POINTER, head=head, objective=objective)
    rng = np.random.default_rng(3)
    source_BS, num_beams, steps = _sources(rng), 3, 5
    state = _init_decode(config, params, source_BS, SOURCE_B, steps, num_beams)
    assert {len(x) for x in jax.tree.leaves(state.source)} == {4}
    reorder_fn = jax.jit(bert_decoding.reorder_beams)
    written_BWT = np.full((4, num_beams, 0), 0)
    token_BW = np.full((4, num_beams), 3, np.int32)
    for _ in range(steps):
        origin_BW = rng.integers(0, num_beams, (4, num_beams))
        *logits, state = _decode_step(config, params, state, token_BW.reshape(-1))
        state = reorder_fn(state, origin_BW)
        packed_RL = np.zeros((12, 16), np.int32)
        length_R = np.repeat(SOURCE_B, num_beams) + written_BWT.shape[-1] + (objective == "mlm")
        for row, written in enumerate(written_BWT.reshape(12, -1)):
            source = source_BS[row // num_beams, : SOURCE_B[row // num_beams]]
            packed = [*source, *written, 4]
            packed_RL[row, : length_R[row]] = packed[: length_R[row]]
        source_R = np.repeat(SOURCE_B, num_beams)
        _assert_same_logits(
            config, logits, _last_logits(params, packed_RL, source_R, length_R, config)
        )
        written_BWT = np.take_along_axis(written_BWT, origin_BW[..., None], axis=1)
        token_BW = rng.integers(5, 50, (4, num_beams)).astype(np.int32)
        written_BWT = np.concatenate([written_BWT, token_BW[..., None]], axis=-1)


@pytest.mark.parametrize("config", [TINY, POINTER], ids=bert.HEADS)
def test_taken_rows_decode_as_they_would_alone(params, config):
    """Some examples, one of them twice, taken in the middle of a search and in another order."""
    rng = np.random.default_rng(2)
    source_BS = _sources(rng)
    written_TBW = rng.integers(5, 50, (4, 4, 3)).astype(np.int32)
    written_TBW[0] = 3
    index_B = np.array([2, 0, 2, 1])

    def decode(state, written_TBW):
        for written_BW in written_TBW:
            *logits, state = _decode_step(config, params, state, written_BW.reshape(-1))
            yield logits, state

    whole = _init_decode(config, params, source_BS, SOURCE_B, 5, 3)
    *_, (_, state) = decode(whole, written_TBW[:2])
    taken = decode(jax.jit(bert_decoding.take_rows)(state, index_B), written_TBW[2:, index_B])
    alone = _init_decode(config, params, source_BS[index_B], SOURCE_B[index_B], 5, 3)
    _, _, *alone = decode(alone, written_TBW[:, index_B])
    for (logits, _), (expected, _) in zip(taken, alone, strict=True):
        np.testing.assert_allclose(logits[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(logits[1], expected[1], atol=1e-5)


@pytest.mark.parametrize("fields", [{}, {"half_products": True}, {"dtype": jnp.bfloat16}])
def test_parameters_for_decoding(params, fields):
    """Layer by layer, kernels as they are multiplied; copied only where they are rounded."""
    prepared = bert_decoding.decoding_params(dataclasses.replace(TINY, **fields), params)
    assert len(prepared["layers"]) == TINY.num_layers
    stacked = dict(prepared, layers=jax.tree.map(lambda *xs: np.stack(xs), *prepared["layers"]))

    def check(path, ours, given):
        is_rounded = fields and path[-1].key == "kernel"
        np.testing.assert_array_equal(ours, given.astype(jnp.bfloat16) if is_rounded else given)
        assert ours.dtype == (jnp.bfloat16 if is_rounded else np.float32)

    jax.tree_util.tree_map_with_path(check, stacked, params)
    if not fields:
        one, all_of_them = prepared["layers"][1]["ff_in"], params["layers"]["ff_in"]
        assert np.shares_memory(one["kernel"], all_of_them["kernel"])

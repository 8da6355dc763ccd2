"""BERT: causality, gathered heads, cached decoding, parameter counts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.data.pipeline import Batch
from grel.models import bert, losses

TINY = bert.Config(
    vocab_size=50,
    num_layers=2,
    hidden_size=16,
    num_heads=2,
    ff_size=32,
    max_positions=32,
    mask_id=4,
    sep_id=3,
)
SOURCE_B = np.array([6, 4, 9, 2])
LENGTH_B = np.array([11, 12, 10, 5])


@pytest.fixture(scope="module")
def params():
    # Larger than at initialization, so that what should differ does so visibly.
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: bert.init(TINY, jax.random.PRNGKey(0)))
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    tokens_BL = rng.integers(5, 50, (4, 12)).astype(np.int32)
    for row, (source, length) in enumerate(zip(SOURCE_B, LENGTH_B, strict=True)):
        tokens_BL[row, [0, source - 1, length - 1]] = [2, 3, 3]
        tokens_BL[row, length:] = 0
    labels_BL = rng.integers(0, 3, (4, 12)).astype(np.int32)
    return Batch(tokens_BL, labels_BL, SOURCE_B, LENGTH_B, np.arange(4), 8)


@functools.partial(jax.jit, static_argnames="config")
def _packed(params, tokens_BL, source_B, length_B, config=TINY):
    return bert.Model(config).apply(
        {"params": params}, tokens_BL, source_B, length_B, method=bert.Model.packed
    )


@functools.partial(jax.jit, static_argnames="config")
def _heads(params, hidden_BLD, config=TINY):
    return bert.Model(config).apply({"params": params}, hidden_BLD, method=bert.Model.heads)


def _hidden(params, tokens_BL, config=TINY):
    return _packed(params, tokens_BL, SOURCE_B, LENGTH_B, config)


def _sources(rng):
    source_BS = rng.integers(5, 50, (4, 10)).astype(np.int32)
    for row, length in enumerate(SOURCE_B):
        source_BS[row, [0, length - 1]] = [2, 3]
        source_BS[row, length:] = 0
    return source_BS


_init_decode = functools.partial(jax.jit, static_argnums=(0, 4, 5))(bert.init_decode)
_grow = functools.partial(jax.jit, static_argnums=1)(bert.grow)


@functools.partial(jax.jit, static_argnums=0)
def _decode_step(config, params, state, token_B):
    return bert.decode_step(config, bert.decoding_params(params), state, token_B)


_loss = functools.partial(jax.jit, static_argnums=0)(bert.loss)


def test_causality_by_gradients(params, batch):
    """The source never feels the target; a target position feels its own past only."""
    embedded = params["words"]["embedding"][batch.tokens_BL]

    def hidden_of(embedded_BLD):
        # One word per position, so that the gradient by its row is that by the position.
        table = embedded_BLD.reshape(-1, embedded_BLD.shape[-1])
        places = jnp.arange(len(table)).reshape(batch.tokens_BL.shape)
        own = {**params, "words": {"embedding": table}, "token_bias": jnp.zeros(len(table))}
        config = dataclasses.replace(TINY, vocab_size=len(table))
        return _hidden(own, places, config)[..., 0]

    jacobian_BLBLD = jax.jacrev(hidden_of)(embedded)
    felt_BLBL = np.abs(jacobian_BLBLD).max(-1) > 0
    for row, (source, length) in enumerate(zip(SOURCE_B, LENGTH_B, strict=True)):
        for query in range(length):
            felt_L = felt_BLBL[row, query, row]
            others = np.delete(felt_BLBL[row, query], row, axis=0)
            assert not others.any()
            expected_L = np.arange(12) < (source if query < source else query + 1)
            np.testing.assert_array_equal(felt_L, expected_L, err_msg=f"row {row} at {query}")


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
def test_gathered_heads_equal_heads_everywhere(params, batch, objective):
    config = dataclasses.replace(TINY, objective=objective)
    mask_key = jax.random.PRNGKey(7)
    sums = _loss(config, params, batch, mask_key)
    if objective == "mlm":
        tokens_BL, targets = losses.mask_tokens(
            mask_key, batch, rate=config.mask_rate, mask_id=4, vocab=50
        )
    else:
        tokens_BL, targets = batch.tokens_BL, losses.next_tokens(batch)
    hidden_BLD = _hidden(params, tokens_BL)
    logits = _heads(params, hidden_BLD, config)
    token_BLV, bio_BLC = (np.asarray(jax.nn.log_softmax(x)) for x in logits)
    token_loss = bio_loss = num = 0
    for row in range(4):
        for p in np.flatnonzero(targets.counts_BP[row]):
            at = int(targets.position_BP[row, p])
            of = at if objective == "mlm" else at + 1
            token_loss -= token_BLV[row, at, batch.tokens_BL[row, of]]
            bio_loss -= bio_BLC[row, at, batch.labels_BL[row, of]]
            num += 1
    assert sums["loss"][1] == num > 0
    np.testing.assert_allclose(sums["token_loss"][0], token_loss, rtol=1e-5)
    np.testing.assert_allclose(sums["bio_loss"][0], bio_loss, rtol=1e-5)
    np.testing.assert_allclose(sums["loss"][0], 0.1 * token_loss + 0.9 * bio_loss, rtol=1e-5)


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
@pytest.mark.parametrize(("num_segments", "source", "target"), [(2, 0, 1), (6, 4, 5)])
def test_cached_decoding_equals_encoding_anew(params, objective, num_segments, source, target):
    """Step t's logits are those of the packed pair so far, whatever the padding and the room."""
    config = dataclasses.replace(
        TINY,
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
        token_logits_BV, bio_logits_BC, state = _decode_step(config, params, state, token_B)
        token_B = written_BT[:, t]
        for row, length in enumerate(SOURCE_B):
            packed = [*source_BS[row, :length], *written_BT[row, :t]]
            if objective == "mlm":
                packed.append(4)
            padded = np.pad([packed], ((0, 0), (0, 16 - len(packed))))
            hidden_BLD = _packed(
                params, padded, np.array([length]), np.array([len(packed)]), config
            )
            token_BPV, bio_BPC = _heads(
                params, hidden_BLD[:, len(packed) - 1 : len(packed)], config
            )
            np.testing.assert_allclose(token_logits_BV[row], token_BPV[0, 0], atol=2e-4)
            np.testing.assert_allclose(bio_logits_BC[row], bio_BPC[0, 0], atol=2e-4)


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
def test_beams_that_change_places_equal_encoding_anew(params, objective):
    """Beams of one source: some go on from the same beam, some from none, after every step."""
    config = dataclasses.replace(TINY, objective=objective)
    rng = np.random.default_rng(3)
    source_BS, num_beams, steps = _sources(rng), 3, 5
    state = _init_decode(config, params, source_BS, SOURCE_B, steps, num_beams)
    assert {len(x) for x in jax.tree.leaves(state.source)} == {4}
    reorder_fn = jax.jit(bert.reorder_beams)
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
        hidden_RLD = _packed(params, packed_RL, np.repeat(SOURCE_B, num_beams), length_R, config)
        last_R1D = jnp.take_along_axis(hidden_RLD, length_R[:, None, None] - 1, axis=1)
        for one, other in zip(logits, _heads(params, last_R1D, config), strict=True):
            np.testing.assert_allclose(one, other[:, 0], atol=2e-4)
        written_BWT = np.take_along_axis(written_BWT, origin_BW[..., None], axis=1)
        token_BW = rng.integers(5, 50, (4, num_beams)).astype(np.int32)
        written_BWT = np.concatenate([written_BWT, token_BW[..., None]], axis=-1)


def test_taken_rows_decode_as_they_would_alone(params):
    """Some examples, one of them twice, taken in the middle of a search and in another order."""
    rng = np.random.default_rng(2)
    source_BS = _sources(rng)
    written_TBW = rng.integers(5, 50, (4, 4, 3)).astype(np.int32)
    written_TBW[0] = 3
    index_B = np.array([2, 0, 2, 1])

    def decode(state, written_TBW):
        for written_BW in written_TBW:
            *logits, state = _decode_step(TINY, params, state, written_BW.reshape(-1))
            yield logits, state

    whole = _init_decode(TINY, params, source_BS, SOURCE_B, 5, 3)
    *_, (_, state) = decode(whole, written_TBW[:2])
    taken = decode(jax.jit(bert.take_rows)(state, index_B), written_TBW[2:, index_B])
    alone = _init_decode(TINY, params, source_BS[index_B], SOURCE_B[index_B], 5, 3)
    _, _, *alone = decode(alone, written_TBW[:, index_B])
    for (logits, _), (expected, _) in zip(taken, alone, strict=True):
        np.testing.assert_allclose(logits[0], expected[0], atol=1e-5)
        np.testing.assert_allclose(logits[1], expected[1], atol=1e-5)


def test_padding_changes_nothing(params, batch):
    short = _hidden(params, batch.tokens_BL)
    wide = np.pad(batch.tokens_BL, ((0, 0), (0, 6)))
    wide[:, 12:] = 17
    wide = _hidden(params, wide)
    for row, length in enumerate(LENGTH_B):
        np.testing.assert_allclose(short[row, :length], wide[row, :length], atol=1e-5)


def test_dropout_only_with_a_key(params, batch):
    key = jax.random.PRNGKey(0)
    plain, again = (_loss(TINY, params, batch, key)["loss"][0] for _ in range(2))
    dropped = _loss(TINY, params, batch, key, jax.random.PRNGKey(1))["loss"][0]
    assert plain == again != dropped


def test_remat_changes_no_number(params, batch):
    def gradient(config):
        return jax.grad(
            lambda p: _loss(config, p, batch, *jax.random.split(jax.random.PRNGKey(0)))["loss"][0]
        )(params)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5),
        gradient(TINY),
        gradient(dataclasses.replace(TINY, remat=True)),
    )


def test_bfloat16_computes_in_half_and_keeps_parameters_whole(params, batch):
    config = dataclasses.replace(TINY, dtype="bfloat16")
    shapes = jax.eval_shape(lambda: bert.init(config, jax.random.PRNGKey(0)))
    assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    assert _hidden(params, batch.tokens_BL, config).dtype == jnp.bfloat16
    assert _loss(config, params, batch, jax.random.PRNGKey(0))["loss"][0].dtype == jnp.float32


@pytest.mark.parametrize(
    ("size", "vocab", "count"),
    [
        # Encoder, tied token head (transform and bias) and BIO head; no pooler.
        ("tiny", 28_996, 4_220_231),
        ("mini", 28_996, 10_810_183),
        ("small", 28_996, 22_158_151),
        ("base", 28_996, 108_343_111),
        ("large", 28_996, 333_613_383),
    ],
)
def test_parameter_counts(size, vocab, count):
    config = bert.Config(vocab_size=vocab, mask_id=103, sep_id=102, **bert.SIZES[size])
    shapes = jax.eval_shape(lambda: bert.init(config, jax.random.PRNGKey(0)))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "3 heads"),
        ({"objective": "nsp"}, "nsp"),
        ({"source_segment": 4}, "table of 2"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)

"""BERT: causality, gathered heads, cached decoding, parameter counts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.data.pipeline import Batch
from grel.models import bert, bert_decoding, losses

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
POINTER = dataclasses.replace(TINY, head="pointer", writable_ids=(3, 6, 7, 9), relative_buckets=8)
MARKED = dataclasses.replace(POINTER, num_marks=10)
SOURCE_B = np.array([6, 4, 9, 2])
LENGTH_B = np.array([11, 12, 10, 5])


@pytest.fixture(scope="module")
def params():
    """Of a model that points, which has all that the other has."""
    # Larger than at initialization, so that what should differ does so visibly.
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: bert.init(POINTER, jax.random.PRNGKey(0)))
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


@functools.partial(jax.jit, static_argnames=("config", "num_twins"))
def _marked(params, tokens_BL, source_B, length_B, marks_BLZ, num_twins=0, config=MARKED):
    given = params, tokens_BL, source_B, length_B, num_twins
    return bert.Model(config).apply(
        {"params": given[0]}, *given[1:], marks_BLZ=marks_BLZ, method=bert.Model.packed
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


@jax.jit
def _pointer_parts(params, hidden_BPD):
    """What the two products of the pointer take, by the model's layers alone."""
    variables = {"params": params}
    model = bert.Model(POINTER)
    return (
        model.apply(variables, hidden_BPD, method=lambda m, h: m.pointer_query(h)),
        model.apply(variables, hidden_BPD, method=lambda m, h: m.pointer_key(h)),
        _heads(params, hidden_BPD)[0],
    )


def _own_words(params, tokens_BL, marks_BLM):
    """Tokens and parameters of a model without marks: each position's word has its marks added."""
    embedded_BLD = params["words"]["embedding"][tokens_BL].copy()
    for row, marks_LM in enumerate(marks_BLM):
        for place, marks_M in enumerate(marks_LM):
            for mark in np.flatnonzero(marks_M):
                embedded_BLD[row, place] += params["marks"]["embedding"][mark]
    table = embedded_BLD.reshape(-1, embedded_BLD.shape[-1])
    places_BL = np.arange(len(table), dtype=np.int32).reshape(tokens_BL.shape)
    words = {"words": {"embedding": table}, "token_bias": np.zeros(len(table))}
    return places_BL, {**params, **words}, dataclasses.replace(POINTER, vocab_size=len(table))


@pytest.fixture(scope="module")
def marked(params, batch):
    """Parameters of a model with marks, marks_BLM, and these as bits."""
    rng = np.random.default_rng(6)
    table = rng.normal(0, 0.3, (MARKED.num_marks, MARKED.hidden_size)).astype(np.float32)
    marks_BLM = rng.random((*batch.tokens_BL.shape, MARKED.num_marks)) < 0.2
    marks_BLM &= (np.arange(12) < SOURCE_B[:, None] - 1)[..., None]
    params = {**params, "marks": {"embedding": table}}
    return params, marks_BLM, np.packbits(marks_BLM, axis=2)


@pytest.mark.parametrize("num_twins", [0, 3])
def test_marks_are_added_to_words(marked, batch, num_twins):
    params, marks_BLM, marks_BLZ = marked
    given = SOURCE_B, LENGTH_B
    hidden = _marked(params, batch.tokens_BL, *given, marks_BLZ, num_twins)
    tokens_BL, other_params, config = _own_words(params, batch.tokens_BL, marks_BLM)
    mask = params["words"]["embedding"][MARKED.mask_id]
    table = np.concatenate([other_params["words"]["embedding"], mask[None]])
    other_params["words"] = {"embedding": table}
    other_params["token_bias"] = np.zeros(len(table))
    config = dataclasses.replace(config, vocab_size=len(table), mask_id=len(table) - 1)
    expected = _marked(other_params, tokens_BL, *given, None, num_twins, config)
    np.testing.assert_allclose(hidden, expected, atol=1e-5)
    without = _marked(params, batch.tokens_BL, *given, marks_BLZ * 0, num_twins)
    assert np.abs(hidden - without).max() > 0.02


def test_a_source_is_read_with_its_marks(marked):
    params, marks_BLM, marks_BLZ = marked
    source_BS = _sources(np.random.default_rng(3))
    marks_BSM, marks_BSZ = marks_BLM[:, :10], marks_BLZ[:, :10].astype(np.int32)
    state = _init_decode(MARKED, params, source_BS, SOURCE_B, 4, 1, marks_BSZ)
    own_BS, other_params, config = _own_words(params, source_BS, marks_BSM)
    expected = _init_decode(config, other_params, own_BS, SOURCE_B, 4)
    for ours, theirs in zip(
        jax.tree.leaves(state.source), jax.tree.leaves(expected.source), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_loss_is_that_of_marked_sources(marked, batch):
    """Marks reach what is learned, and each has a gradient where it stands."""
    params, marks_BLM, marks_BLZ = marked
    told = batch.replace(marks_BLZ=marks_BLZ)
    config = dataclasses.replace(MARKED, objective="causal")
    key = jax.random.PRNGKey(0)
    loss, gradient = jax.value_and_grad(lambda p: _loss(config, p, told, key)["loss"][0])(params)
    untold = batch.replace(marks_BLZ=marks_BLZ * 0)
    assert loss != _loss(config, params, untold, key)["loss"][0]
    felt_M = np.abs(gradient["marks"]["embedding"]).max(axis=1) > 0
    np.testing.assert_array_equal(felt_M, marks_BLM.any((0, 1)))


def _token_log_prob(params, config, hidden_LD, tokens, source, at, token) -> float:
    """log p(token) by the state at a position, place by place; -inf where it can't be written."""
    query_LD, key_LD, vocabulary_LV = (np.asarray(x[0]) for x in _pointer_parts(params, hidden_LD))
    logits = vocabulary_LV[at].astype(float)
    if config.head == "vocabulary":
        return logits[token] - np.logaddexp.reduce(logits)
    places = [(i, logits[i]) for i in config.writable_ids]
    for j in range(1, source - 1):
        bilinear = query_LD[at] @ key_LD[j] / np.sqrt(config.hidden_size)
        places.append((tokens[j], logits[tokens[j]] + bilinear))
    norm = np.logaddexp.reduce([logit for _, logit in places])
    return np.logaddexp.reduce([-np.inf, *(x for i, x in places if i == token)]) - norm


@pytest.mark.parametrize("objective", losses.OBJECTIVES)
@pytest.mark.parametrize("head", bert.HEADS)
def test_loss_against_its_definition(params, batch, objective, head):
    """Position by position: heads are gathered and twins run together, which changes nothing."""
    config = dataclasses.replace(POINTER, head=head, objective=objective)
    mask_key = jax.random.PRNGKey(7)
    sums = _loss(config, params, batch, mask_key)
    tokens_BL = batch.tokens_BL
    if objective == "mlm":
        tokens_BL, targets = losses.mask_tokens(
            mask_key, batch, source_rate=0.15, target_rate=0.15, mask_id=4, vocab=50
        )
    hidden_BLD = _hidden(params, tokens_BL, POINTER)
    token_loss = bio_loss = num = num_tokens = unwritable = 0
    for row, (source, length) in enumerate(zip(SOURCE_B, LENGTH_B, strict=True)):
        predicted = range(source, length)
        if objective == "mlm":
            predicted = np.array(targets.position_BP[row])[np.array(targets.counts_BP[row])]
        for of in predicted:
            at, hidden_1LD = of, hidden_BLD[row : row + 1]
            if objective == "causal":
                at = of - 1
            elif objective == "pseudo":  # fed the target before it, and [MASK]
                twin_1L = np.pad([[*batch.tokens_BL[row, :of], 4]], ((0, 0), (0, 11 - of)))
                lengths = np.array([source]), np.array([of + 1])
                hidden_1LD = _packed(params, twin_1L, *lengths, POINTER)
            bio_logits = np.asarray(_heads(params, hidden_1LD)[1])[0, at].astype(float)
            bio_loss -= bio_logits[batch.labels_BL[row, of]] - np.logaddexp.reduce(bio_logits)
            num += 1
            if head == "pointer" and of < source:
                continue
            found = _token_log_prob(
                params,
                config,
                hidden_1LD,
                batch.tokens_BL[row],
                source,
                at,
                batch.tokens_BL[row, of],
            )
            num_tokens += found > -np.inf
            unwritable += found == -np.inf
            token_loss -= found if found > -np.inf else 0
    assert (sums["bio_loss"][1], sums["token_loss"][1]) == (num, num_tokens)
    assert sums["unwritable"][0] == unwritable
    assert (unwritable > 0) == (head == "pointer")
    np.testing.assert_allclose(sums["token_loss"][0], token_loss, rtol=1e-4)
    np.testing.assert_allclose(sums["bio_loss"][0], bio_loss, rtol=1e-4)
    np.testing.assert_allclose(sums["loss"][0], 0.1 * token_loss + 0.9 * bio_loss, rtol=1e-4)


@functools.partial(jax.jit, static_argnames="config")
def _last_logits(params, packed_RL, source_R, length_R, config):
    """Both heads at the last position of packed rows."""
    model, variables = bert.Model(config), {"params": params}
    hidden_RLD = _packed(params, packed_RL, source_R, length_R, config)
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


def test_label_smoothing_is_for_training(params, batch):
    config = dataclasses.replace(TINY, label_smoothing=0.1, dropout=0.0, attention_dropout=0.0)
    keys = jax.random.split(jax.random.PRNGKey(0))
    plain = _loss(TINY, params, batch, keys[0])["loss"][0]
    assert _loss(config, params, batch, keys[0])["loss"][0] == plain
    assert _loss(config, params, batch, *keys)["loss"][0] != plain


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


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"remat": True}, {"scan_layers": False}])
def test_how_layers_run_changes_no_number(params, batch, other):
    def gradient(config):
        return jax.grad(
            lambda p: _loss(config, p, batch, *jax.random.split(jax.random.PRNGKey(0)))["loss"][0]
        )(params)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5),
        gradient(TINY),
        gradient(dataclasses.replace(TINY, **other)),
    )


def test_half_products_are_near_and_not_the_same(params, batch):
    config = dataclasses.replace(TINY, half_products=True)
    keys = jax.random.split(jax.random.PRNGKey(0))
    plain, half = (float(_loss(c, params, batch, *keys)["loss"][0]) for c in (TINY, config))
    assert plain != half == pytest.approx(plain, rel=2e-2)


def test_bfloat16_computes_in_half_and_keeps_parameters_whole(params, batch):
    config = dataclasses.replace(TINY, dtype="bfloat16")
    shapes = jax.eval_shape(lambda: bert.init(config, jax.random.PRNGKey(0)))
    assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    hidden = jax.eval_shape(lambda: _hidden(params, batch.tokens_BL, config))
    loss = jax.eval_shape(lambda: _loss(config, params, batch, jax.random.PRNGKey(0))["loss"][0])
    assert (hidden.dtype, loss.dtype) == (jnp.bfloat16, jnp.float32)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "3 heads"),
        ({"objective": "nsp"}, "nsp"),
        ({"head": "softmax"}, "head is 'softmax'"),
        ({"head": "pointer", "writable_ids": (7,)}, "must be able to write the end"),
        ({"source_segment": 4}, "table of 2"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)

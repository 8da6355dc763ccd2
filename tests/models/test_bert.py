"""BERT: causality, marks, its loss by definition, gathered heads, parameter counts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.data.pipeline import Batch
from grel.models import bert, losses
from tests.models.bert_cases import (
    LENGTH_B,
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


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    tokens_BL = rng.integers(5, 50, (4, 12)).astype(np.int32)
    for row, (source, length) in enumerate(zip(SOURCE_B, LENGTH_B, strict=True)):
        tokens_BL[row, [0, source - 1, length - 1]] = [2, 3, 3]
        tokens_BL[row, length:] = 0
    labels_BL = rng.integers(0, 3, (4, 12)).astype(np.int32)
    return Batch(tokens_BL, labels_BL, SOURCE_B, LENGTH_B, np.arange(4), 8)


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
    return packed_hidden(params, tokens_BL, SOURCE_B, LENGTH_B, config)


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


@pytest.fixture(scope="module")
def marked(params, batch):
    return random_marks(params, batch.tokens_BL.shape[1])


@pytest.mark.parametrize("num_twins", [0, 3])
def test_marks_are_added_to_words(marked, batch, num_twins):
    params, marks_BLM, marks_BLZ = marked
    given = SOURCE_B, LENGTH_B
    hidden = _marked(params, batch.tokens_BL, *given, marks_BLZ, num_twins)
    tokens_BL, other_params, config = own_words(params, batch.tokens_BL, marks_BLM)
    mask = params["words"]["embedding"][MARKED.mask_id]
    table = np.concatenate([other_params["words"]["embedding"], mask[None]])
    other_params["words"] = {"embedding": table}
    other_params["token_bias"] = np.zeros(len(table))
    config = dataclasses.replace(config, vocab_size=len(table), mask_id=len(table) - 1)
    expected = _marked(other_params, tokens_BL, *given, None, num_twins, config)
    np.testing.assert_allclose(hidden, expected, atol=1e-5)
    without = _marked(params, batch.tokens_BL, *given, marks_BLZ * 0, num_twins)
    assert np.abs(hidden - without).max() > 0.02


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
                hidden_1LD = packed_hidden(params, twin_1L, *lengths, POINTER)
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


@pytest.mark.parametrize("scan_layers", [pytest.param(True, marks=pytest.mark.slow), False])
def test_layers_that_are_recomputed_take_less_memory(params, scan_layers):
    """Of the gradient of four, compiled: what the layers keep for it is most of what it takes."""
    layers = jax.tree.map(lambda x: jnp.concatenate([x] * 2), params["layers"])
    lengths = np.full(4, 30), np.full(4, 60)
    config = dataclasses.replace(TINY, num_layers=4, max_positions=64, scan_layers=scan_layers)
    params = {**params, "layers": layers, "positions": {"embedding": np.zeros((64, 16))}}

    def num_bytes(config):
        gradient = jax.grad(lambda p, x: packed_hidden(p, x, *lengths, config).sum())
        compiled = jax.jit(gradient).lower(params, np.ones((4, 64), np.int32)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert num_bytes(dataclasses.replace(config, remat=True)) < 0.6 * num_bytes(config)


def test_layers_leave_hidden_states_and_nothing_beside(params, batch):
    """Keys and values of all layers would be kept for nothing: a decoder makes its own."""
    rows = batch.tokens_BL, SOURCE_B, LENGTH_B
    jaxpr = jax.make_jaxpr(lambda p: packed_hidden(p, *rows))(params)
    (called,) = jaxpr.eqns
    (scan,) = (eqn for eqn in called.params["jaxpr"].eqns if eqn.primitive.name == "scan")
    assert [x.aval.shape for x in scan.outvars] == [(4, 12, TINY.hidden_size)]


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

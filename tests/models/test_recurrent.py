"""Recurrent layers against loops in numpy that read one row without its padding at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from grel.models import recurrent
from tests.models import literal

LENGTHS = np.array([3, 0, 5, 1])
BATCH, LENGTH, INPUTS, FEATURES = 4, 5, 3, 2


def random_inputs(seed: int = 0):
    """Padding holds what must not be seen."""
    inputs_BSX = np.random.default_rng(seed).normal(size=(BATCH, LENGTH, INPUTS))
    inputs_BSX[np.arange(LENGTH) >= LENGTHS[:, None]] = 1e3
    return inputs_BSX.astype(np.float32)


@pytest.mark.parametrize("initializer", recurrent.INITIALIZERS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("has_carry", [False, True])
def test_lstm_equals_a_loop_over_the_true_positions(initializer, reverse, has_carry):
    layer = recurrent.LSTM(FEATURES, initializer, reverse)
    inputs_BSX = random_inputs()
    params = layer.init(jax.random.PRNGKey(1), inputs_BSX, LENGTHS)["params"]
    carry = np.random.default_rng(2).normal(size=(2, BATCH, FEATURES)) * has_carry
    given = tuple(jnp.asarray(carry, jnp.float32)) if has_carry else None
    after, outputs_BSD = layer.apply({"params": params}, inputs_BSX, LENGTHS, given)
    for row, length in enumerate(LENGTHS):
        order = slice(None, None, -1 if reverse else 1)
        (c, h), outputs = literal.lstm(
            literal.as_numpy(params),
            inputs_BSX[row, :length][order],
            carry[:, row],
            forget_bias=1.0 if initializer == "tensorflow" else 0.0,
        )
        np.testing.assert_allclose(after[0][row], c, atol=1e-5)
        np.testing.assert_allclose(after[1][row], h, atol=1e-5)
        expected = np.zeros((LENGTH, FEATURES))
        expected[:length] = outputs[order]
        np.testing.assert_allclose(outputs_BSD[row], expected, atol=1e-5)


def test_steps_are_the_same_as_the_whole():
    layer = recurrent.LSTM(FEATURES)
    inputs_BSX = random_inputs()
    params = layer.init(jax.random.PRNGKey(1), inputs_BSX, LENGTHS)["params"]
    apply = functools.partial(layer.apply, {"params": params})
    _, outputs_BSD = apply(inputs_BSX, LENGTHS)
    carry = apply(inputs_BSX[:, 0], method=recurrent.LSTM.zeros)
    for place in range(LENGTH):
        carry, h_BD = apply(carry, inputs_BSX[:, place], method=recurrent.LSTM.step)
        goes_on = place < LENGTHS
        np.testing.assert_allclose(h_BD[goes_on], outputs_BSD[goes_on, place], atol=1e-6)


@pytest.mark.parametrize(
    ("initializer", "bound", "bias_bound"),
    [
        ("torch", 1 / np.sqrt(50), 1 / np.sqrt(50)),
        ("tensorflow", np.sqrt(6 / (20 + 50 + 4 * 50)), 0.0),
    ],
)
def test_weights_are_drawn_as_published_programs_draw_them(initializer, bound, bias_bound):
    layer = recurrent.LSTM(50, initializer)
    params = layer.init(jax.random.PRNGKey(0), jnp.zeros((1, 1, 20)), jnp.ones(1, int))["params"]
    assert params["kernel"].shape == (70, 200)
    for drawn, limit in ((params["kernel"], bound), (params["bias"], bias_bound)):
        assert np.abs(drawn).max() <= limit
        np.testing.assert_allclose(np.std(drawn), limit / np.sqrt(3), rtol=0.1)


def test_bilstm_reads_each_row_in_both_directions():
    layer = recurrent.BiLSTM(FEATURES)
    inputs_BSX = random_inputs()
    params = layer.init(jax.random.PRNGKey(1), inputs_BSX, LENGTHS)["params"]
    finals, outputs = layer.apply({"params": params}, inputs_BSX, LENGTHS)
    weights = literal.as_numpy(params)
    for name, step, final, outputs_BSD in zip(
        ("forward", "backward"), (1, -1), finals, outputs, strict=True
    ):
        for row, length in enumerate(LENGTHS):
            (c, h), expected = literal.lstm(weights[name], inputs_BSX[row, :length][::step])
            np.testing.assert_allclose(final[0][row], c, atol=1e-5)
            np.testing.assert_allclose(final[1][row], h, atol=1e-5)
            np.testing.assert_allclose(outputs_BSD[row, :length], expected[::step], atol=1e-5)


def test_padding_changes_neither_results_nor_gradients():
    layer = recurrent.BiLSTM(FEATURES)
    inputs_BSX = random_inputs()
    params = layer.init(jax.random.PRNGKey(1), inputs_BSX, LENGTHS)["params"]

    def total(params, inputs_BSX):
        finals, outputs = layer.apply({"params": params}, inputs_BSX, LENGTHS)
        leaves = [*jax.tree.leaves(finals), *outputs]
        return sum((x * x).sum() for x in leaves)

    wider_BSX = np.pad(inputs_BSX, ((0, 0), (0, 2), (0, 0)), constant_values=-7)
    few, many = (jax.jit(jax.value_and_grad(total))(params, x) for x in (inputs_BSX, wider_BSX))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), few, many)


def test_additive_attention_by_hand():
    """Two true positions of three, a row of all three, and one without any."""
    layer = recurrent.AdditiveAttention(FEATURES)
    rng = np.random.default_rng(0)
    outputs_BSD = rng.normal(size=(3, 3, FEATURES)).astype(np.float32)
    query_BD = rng.normal(size=(3, FEATURES)).astype(np.float32)
    length_B = np.array([2, 3, 0])

    def attend(layer, query_BD, outputs_BSD):
        return layer(query_BD, layer.keys(outputs_BSD), outputs_BSD, length_B)

    variables = layer.init(jax.random.PRNGKey(0), query_BD, outputs_BSD, method=attend)
    context_BD, weight_BS = layer.apply(variables, query_BD, outputs_BSD, method=attend)
    for row, length in enumerate(length_B):
        context, weights = literal.additive_attention(
            literal.as_numpy(variables["params"]), query_BD[row], outputs_BSD[row, :length]
        )
        np.testing.assert_allclose(weight_BS[row, :length], weights, rtol=1e-5)
        assert (weight_BS[row, length:] == 0).all()
        np.testing.assert_allclose(context_BD[row], context, atol=1e-6)

    def total(query_BD):
        return layer.apply(variables, query_BD, outputs_BSD, method=attend)[0].sum()

    gradient_BD = jax.jit(jax.grad(total))(query_BD)
    assert np.isfinite(gradient_BD).all()
    assert (gradient_BD[2] == 0).all()


WORD_LENGTH = 4


@pytest.fixture(scope="module")
def encoder():
    return recurrent.WordEncoder(
        num_words=9,
        num_chars=7,
        word_features=3,
        char_features=2,
        num_filters=4,
        features=FEATURES,
        dropout=0.5,
    )


@pytest.fixture(scope="module")
def sentences():
    """Words, their characters (some are shorter), and lengths."""
    rng = np.random.default_rng(4)
    inside_BS = np.arange(LENGTH) < LENGTHS[:, None]
    words_BS = np.where(inside_BS, rng.integers(1, 9, (BATCH, LENGTH)), 0)
    chars_BSK = rng.integers(1, 7, (BATCH, LENGTH, WORD_LENGTH))
    of_word_BSK = np.arange(WORD_LENGTH) < rng.integers(1, 5, (BATCH, LENGTH, 1))
    return words_BS, np.where(inside_BS[..., None] & of_word_BSK, chars_BSK, 0), LENGTHS


@pytest.fixture(scope="module")
def params(encoder, sentences):
    return jax.jit(encoder.init)(jax.random.PRNGKey(3), *sentences)["params"]


def test_word_encoder_equals_its_definition(encoder, params, sentences):
    words_BS, chars_BSK, _ = sentences
    outputs_BSD = encoder.apply({"params": params}, *sentences)
    for row, length in enumerate(LENGTHS):
        expected = literal.word_encoder(
            literal.as_numpy(params), words_BS[row, :length], chars_BSK[row, :length]
        )
        np.testing.assert_allclose(outputs_BSD[row, :length], expected, atol=1e-5)
        assert (outputs_BSD[row, length:] == 0).all()


def test_a_word_has_the_same_characters_whatever_stands_beside_it(encoder, params, sentences):
    """Its neighbor's characters change nothing of what the forward layer has read before."""
    words_BS, chars_BSK, length_B = sentences
    other_BSK = chars_BSK.copy()
    other_BSK[2, 1] = [6, 5, 6, 5]
    before, after = (
        encoder.apply({"params": params}, words_BS, chars, length_B)
        for chars in (chars_BSK, other_BSK)
    )
    np.testing.assert_array_equal(before[2, 0, :FEATURES], after[2, 0, :FEATURES])
    assert (np.abs(before[2, 1:, :FEATURES] - after[2, 1:, :FEATURES]) > 0).all()


def test_padding_is_never_trained(encoder, params, sentences):
    def total(params):
        return (encoder.apply({"params": params}, *sentences) ** 2).sum()

    gradient = jax.jit(jax.grad(total))(params)
    for name in ("words", "chars"):
        assert (gradient[name]["embedding"][0] == 0).all()
        assert np.abs(gradient[name]["embedding"][1:]).max() > 0


def test_dropout_follows_the_row_and_needs_a_key(encoder, params, sentences):
    row_B = np.array([7, 1, 0, 4])

    @jax.jit
    def apply(key, row_B, *of_rows):
        rngs = None if key is None else {"dropout": key}
        return encoder.apply({"params": params}, *of_rows, row_B, rngs=rngs)

    def encode(order, key):
        key = None if key is None else jax.random.PRNGKey(key)
        return np.asarray(apply(key, row_B[order], *(x[order] for x in sentences)))

    order = np.array([2, 0, 3, 1])
    dropped_BSD = encode(np.arange(BATCH), 5)
    np.testing.assert_array_equal(dropped_BSD[order], encode(order, 5))
    # Of the twenty outputs of the longest row about half.
    num_dropped = int((dropped_BSD[2] == 0).sum())
    assert 3 <= num_dropped <= 17
    assert np.abs(dropped_BSD - encode(np.arange(BATCH), 6)).max() > 0
    whole_BSD = encode(np.arange(BATCH), None)
    assert not (whole_BSD[2] == 0).any()

"""Recurrent layers: LSTMs that stop at the true length, additive attention, the word encoder.

What a position is fed is multiplied by its weights for all positions at once, so that a step of the
recurrence has one product of its own. Padding is never read: a backward layer starts at the last
true position, attention gives padding no weight, outputs there are zero.

Equations, with one bias as two would add up:

    i, f, g, o = x W + b + h U
    c' = sigmoid(f + forget_bias) c + sigmoid(i) tanh(g)
    h' = sigmoid(o) tanh(c')
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from grel.models.dropout import Dropout

# (c_BD, h_BD) of an LSTM.
Carry = tuple[jax.Array, jax.Array]

# How published programs draw the weights of LSTMs: TensorFlow adds 1 to the forget gate.
INITIALIZERS = ("torch", "tensorflow")


def uniform(bound: float) -> nn.initializers.Initializer:
    """Draws from [-bound, bound)."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class _Step(nn.RNNCellBase):
    """One step, on an input that was multiplied by its weights already."""

    features: int
    kernel_init: nn.initializers.Initializer
    forget_bias: float

    @nn.compact
    def __call__(self, carry: Carry, gates_BG: jax.Array) -> tuple[Carry, jax.Array]:
        c_BD, h_BD = carry
        kernel_DG = self.param("kernel", self.kernel_init, (self.features, 4 * self.features))
        i_BD, f_BD, g_BD, o_BD = jnp.split(gates_BG + h_BD @ kernel_DG, 4, axis=-1)
        c_BD = nn.sigmoid(f_BD + self.forget_bias) * c_BD + nn.sigmoid(i_BD) * jnp.tanh(g_BD)
        h_BD = nn.sigmoid(o_BD) * jnp.tanh(c_BD)
        return (c_BD, h_BD), h_BD

    @nn.nowrap
    def initialize_carry(self, rng: Any, input_shape: tuple[int, ...]) -> Carry:
        del rng
        zeros = jnp.zeros((*input_shape[:-1], self.features))
        return zeros, zeros

    @property
    def num_feature_axes(self) -> int:
        return 1


class LSTM(nn.Module):
    """An LSTM over padded sequences, or by `step` over one position.

    Attributes:
        features: D.
        initializer: a name in `INITIALIZERS`.
        reverse: from the last true position to the first.
    """

    features: int
    initializer: str = "torch"
    reverse: bool = False

    def setup(self):
        is_torch = self.initializer == "torch"
        drawn = uniform(1 / math.sqrt(self.features))
        kernel_init = drawn if is_torch else nn.initializers.glorot_uniform()
        bias_init = drawn if is_torch else nn.initializers.zeros
        self.inputs = nn.Dense(4 * self.features, kernel_init=kernel_init, bias_init=bias_init)
        self.hidden = _Step(self.features, kernel_init, 0.0 if is_torch else 1.0)
        self.rnn = nn.RNN(
            self.hidden, return_carry=True, reverse=self.reverse, keep_order=self.reverse
        )

    def __call__(
        self, inputs_BSX: jax.Array, length_B: jax.Array, carry: Carry | None = None
    ) -> tuple[Carry, jax.Array]:
        """The state behind the last position that was read, and outputs_BSD."""
        gates_BSG = self.inputs(inputs_BSX)
        # A sequence without any position still takes one step, whose results are put right below.
        carry = self.zeros(inputs_BSX[:, 0]) if carry is None else carry
        after, outputs_BSD = self.rnn(
            gates_BSG, initial_carry=carry, seq_lengths=jnp.maximum(length_B, 1)
        )
        is_empty_B1 = (length_B == 0)[:, None]
        after = jax.tree.map(lambda new, old: jnp.where(is_empty_B1, old, new), after, carry)
        return after, jnp.where(inside(length_B, inputs_BSX.shape[1])[..., None], outputs_BSD, 0)

    def step(self, carry: Carry, inputs_BX: jax.Array) -> tuple[Carry, jax.Array]:
        """Feeds one position: the new state, and h_BD."""
        return self.hidden(carry, self.inputs(inputs_BX))

    def zeros(self, like_BX: jax.Array) -> Carry:
        """The state before anything was read."""
        return self.hidden.initialize_carry(None, like_BX.shape)


class BiLSTM(nn.Module):
    """Two LSTMs, one in each direction; `features` is the width of either."""

    features: int
    initializer: str = "torch"

    def setup(self):
        self.forward = LSTM(self.features, self.initializer)
        self.backward = LSTM(self.features, self.initializer, reverse=True)

    def __call__(
        self, inputs_BSX: jax.Array, length_B: jax.Array
    ) -> tuple[tuple[Carry, Carry], tuple[jax.Array, jax.Array]]:
        """The final states of both directions, and the outputs_BSD of both."""
        ahead, outputs_BSD = self.forward(inputs_BSX, length_B)
        back, reversed_BSD = self.backward(inputs_BSX, length_B)
        return (ahead, back), (outputs_BSD, reversed_BSD)


class AdditiveAttention(nn.Module):
    """e_i = v . tanh(U o_i + W q + b) + b_v over the true positions (Bahdanau et al. 2015).

    `keys` is apart, so that a decoder computes U o_i once and not at every step.
    """

    features: int

    def setup(self):
        drawn = _torch_dense(self.features)
        self.key = nn.Dense(self.features, use_bias=False, **drawn[0])
        self.query = nn.Dense(self.features, **drawn[0], **drawn[1])
        self.score = nn.Dense(1, **drawn[0], **drawn[1])

    def keys(self, outputs_BSD: jax.Array) -> jax.Array:
        """U o_i: keys_BSD."""
        return self.key(outputs_BSD)

    def __call__(
        self, query_BD: jax.Array, keys_BSD: jax.Array, outputs_BSD: jax.Array, length_B: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """context_BD and weight_BS; all zero where there is nothing to attend to."""
        score_BS = self.score(jnp.tanh(keys_BSD + self.query(query_BD)[:, None]))[..., 0]
        weight_BS = masked_softmax(score_BS, inside(length_B, keys_BSD.shape[1]))
        return jnp.einsum("BS,BSD->BD", weight_BS, outputs_BSD), weight_BS


def inside(length_B: jax.Array, length: int) -> jax.Array:
    """Which of so many positions are no padding: inside_BS."""
    return jnp.arange(length)[None] < length_B[:, None]


def masked_softmax(score_BS: jax.Array, allowed_BS: jax.Array) -> jax.Array:
    """Softmax over what is allowed; zeros in a row that allows nothing."""
    return nn.softmax(jnp.where(allowed_BS, score_BS, -jnp.inf), axis=-1, where=allowed_BS)


def _torch_dense(fan_in: int) -> tuple[dict[str, Any], dict[str, Any]]:
    drawn = uniform(1 / math.sqrt(fan_in))
    return {"kernel_init": drawn}, {"bias_init": drawn}


class WordEncoder(nn.Module):
    """Words by their vectors and characters, read in both directions (Nayak and Ng 2020).

    The characters of a sentence are one sequence: two of padding, then of each word `WORD_LENGTH`
    characters and two of padding. A filter of width 3 so sees a word and the padding beside it,
    never two words.

    Attributes:
        num_words, num_chars: of the vocabularies, padding (0) included.
        word_features, char_features, num_filters: widths.
        features: of either direction.
        dropout: on word vectors, character vectors and outputs.
    """

    num_words: int
    num_chars: int
    word_features: int = 300
    char_features: int = 50
    num_filters: int = 50
    features: int = 150
    dropout: float = 0.3

    def setup(self):
        self.words = nn.Embed(
            self.num_words, self.word_features, embedding_init=_with_padding(uniform(0.25))
        )
        self.chars = nn.Embed(
            self.num_chars, self.char_features, embedding_init=_with_padding(_NORMAL)
        )
        drawn = _torch_dense(3 * self.char_features)
        self.filters = nn.Conv(self.num_filters, (3,), padding="VALID", **drawn[0], **drawn[1])
        self.layers = BiLSTM(self.features)
        self.drop = Dropout(self.dropout)

    def word_vectors(self, words: jax.Array, row_B: jax.Array | None = None) -> jax.Array:
        """Vectors of word ids of any shape."""
        return self.drop(self.words(words), row_B)

    def __call__(
        self,
        words_BS: jax.Array,
        chars_BSK: jax.Array,
        length_B: jax.Array,
        row_B: jax.Array | None = None,
    ) -> jax.Array:
        """outputs_BSD, both directions side by side; `chars_BSK` has `WORD_LENGTH` a word.

        `row_B` is for dropout, which is done where `apply` has a key of it.
        """
        batch, length, word_length = chars_BSK.shape
        padded_BSK = jnp.pad(chars_BSK, ((0, 0), (0, 0), (0, 2))).reshape(batch, -1)
        padded_BC = jnp.pad(padded_BSK, ((0, 0), (2, 0)))
        vectors_BCX = self.drop(self.chars(padded_BC), row_B)
        filtered_BCF = self.filters(vectors_BCX)
        of_words_BSKF = filtered_BCF.reshape(batch, length, word_length + 2, self.num_filters)
        inputs_BSX = jnp.concatenate(
            [self.word_vectors(words_BS, row_B), jnp.tanh(of_words_BSKF.max(axis=2))],
            axis=-1,
        )
        _, both = self.layers(inputs_BSX, length_B)
        return self.drop(jnp.concatenate(both, axis=-1), row_B)


# Characters of a word that the encoder sees.
WORD_LENGTH = 10

_NORMAL = nn.initializers.normal(1.0)


def _with_padding(drawn: nn.initializers.Initializer) -> nn.initializers.Initializer:
    """Row 0 is zero."""

    def init(key, shape, dtype=jnp.float32):
        return drawn(key, shape, dtype).at[0].set(0)

    return init

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

    @nn.compact
    def weights(self, num_inputs: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        """W, U and b of the equations."""
        is_torch = self.initializer == "torch"
        drawn = uniform(1 / math.sqrt(self.features))
        # One kernel for both, as TensorFlow has it: Glorot's bound depends on its shape.
        kernel_XG = self.param(
            "kernel",
            drawn if is_torch else nn.initializers.glorot_uniform(),
            (num_inputs + self.features, 4 * self.features),
        )
        bias_G = self.param(
            "bias", drawn if is_torch else nn.initializers.zeros, (4 * self.features,)
        )
        return kernel_XG[:num_inputs], kernel_XG[num_inputs:], bias_G

    def __call__(
        self, inputs_BSX: jax.Array, length_B: jax.Array, carry: Carry | None = None
    ) -> tuple[Carry, jax.Array]:
        """The state behind the last position that was read, and outputs_BSD."""
        input_XG, hidden_DG, bias_G = self.weights(inputs_BSX.shape[-1])
        gates_BSG = inputs_BSX @ input_XG + bias_G[None, None]
        inside_BS = inside(length_B, inputs_BSX.shape[1])

        def step(carry, at_position):
            gates_BG, inside_B = at_position
            inside_B1 = inside_B[:, None]
            after = self._advance(carry, gates_BG, hidden_DG)
            after = jax.tree.map(lambda new, old: jnp.where(inside_B1, new, old), after, carry)
            return after, jnp.where(inside_B1, after[1], 0)

        carry = self.zeros(inputs_BSX[:, 0]) if carry is None else carry
        over_positions = gates_BSG.swapaxes(0, 1), inside_BS.T
        after, outputs_SBD = jax.lax.scan(step, carry, over_positions, reverse=self.reverse)
        return after, outputs_SBD.swapaxes(0, 1)

    def step(self, carry: Carry, inputs_BX: jax.Array) -> tuple[Carry, jax.Array]:
        """Feeds one position: the new state, and h_BD."""
        input_XG, hidden_DG, bias_G = self.weights(inputs_BX.shape[-1])
        carry = self._advance(carry, inputs_BX @ input_XG + bias_G[None], hidden_DG)
        return carry, carry[1]

    def zeros(self, like_BX: jax.Array) -> Carry:
        """The state before anything was read."""
        zeros_BD = jnp.zeros((len(like_BX), self.features))
        return zeros_BD, zeros_BD

    def _advance(self, carry: Carry, gates_BG: jax.Array, hidden_DG: jax.Array) -> Carry:
        c_BD, h_BD = carry
        i_BD, f_BD, g_BD, o_BD = jnp.split(gates_BG + h_BD @ hidden_DG, 4, axis=-1)
        forget_bias = 0.0 if self.initializer == "torch" else 1.0
        c_BD = nn.sigmoid(f_BD + forget_bias) * c_BD + nn.sigmoid(i_BD) * jnp.tanh(g_BD)
        return c_BD, nn.sigmoid(o_BD) * jnp.tanh(c_BD)


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
        self.key = torch_dense(self.features, self.features, use_bias=False)
        self.query = torch_dense(self.features, self.features)
        self.score = torch_dense(self.features, 1)

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


def torch_dense(
    num_inputs: int, features: int, use_bias: bool = True, name: str | None = None
) -> nn.Dense:
    """A dense layer whose weights and bias are drawn as PyTorch draws them."""
    drawn = uniform(1 / math.sqrt(num_inputs))
    return nn.Dense(features, use_bias, kernel_init=drawn, bias_init=drawn, name=name)


class WordEncoder(nn.Module):
    """Words by their vectors and characters, read in both directions (Nayak and Ng 2020).

    The characters of a sentence are one sequence: two of padding, then of each word K characters
    and two of padding. A filter of width 3 so sees a word and the padding beside it, never two
    words. Vectors of padding are zero.

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
        self.words = nn.Embed(self.num_words, self.word_features, embedding_init=uniform(0.25))
        self.chars = nn.Embed(
            self.num_chars, self.char_features, embedding_init=nn.initializers.normal(1.0)
        )
        drawn = uniform(1 / math.sqrt(3 * self.char_features))
        self.filters = nn.Conv(
            self.num_filters, (3,), padding="VALID", kernel_init=drawn, bias_init=drawn
        )
        self.layers = BiLSTM(self.features)
        self.drop = Dropout(self.dropout)

    def word_vectors(self, words: jax.Array, row_B: jax.Array | None = None) -> jax.Array:
        """Vectors of word ids; zeros for padding."""
        return self.drop(_vectors(self.words, words), row_B)

    def __call__(
        self,
        words_BS: jax.Array,
        chars_BSK: jax.Array,
        length_B: jax.Array,
        row_B: jax.Array | None = None,
    ) -> jax.Array:
        """outputs_BSD, both directions side by side.

        `row_B` is for dropout, which is done where `apply` has a key of it.
        """
        batch, length, word_length = chars_BSK.shape
        padded_BSK = jnp.pad(chars_BSK, ((0, 0), (0, 0), (0, 2))).reshape(batch, -1)
        padded_BC = jnp.pad(padded_BSK, ((0, 0), (2, 0)))
        vectors_BCX = self.drop(_vectors(self.chars, padded_BC), row_B)
        filtered_BCF = self.filters(vectors_BCX)
        of_words_BSKF = filtered_BCF.reshape(batch, length, word_length + 2, self.num_filters)
        inputs_BSX = jnp.concatenate(
            [self.word_vectors(words_BS, row_B), jnp.tanh(of_words_BSKF.max(axis=2))],
            axis=-1,
        )
        _, both = self.layers(inputs_BSX, length_B)
        return self.drop(jnp.concatenate(both, axis=-1), row_B)


def _vectors(table: nn.Embed, ids: jax.Array) -> jax.Array:
    """Rows of a table, and zeros for padding, which filters see and which is never trained."""
    return jnp.where(ids[..., None] == 0, 0, table(ids))

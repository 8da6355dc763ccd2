"""CopyRE: an encoder of words, and decoders that choose relations and copy words.

An entity is the position of its last word. Source: Zeng et al. (2018), "Extracting Relational Facts
by an End-to-End Neural Model with Copy Mechanism", and its program. A step (models/choices.py):

    beta_i   = selu([o_i; q] w_c)                context = sum_i softmax(beta)_i o_i
    y, state = LSTM([v; context] W_u, state)     v: vector of the choice before, q: h of the state
    relation = [selu(y W_r) + b_r; stop]         stop = selu(y w_n) + b_n
    position = [selu([o_i; y] w_e); stop]        a tail can't be where its head is

y adds the same to the scores of all positions before selu, which is monotone, so a decoder ranks
the positions of a sentence alike in all of its triples. That is the model and not an error.

With `quirks="authors"` it computes what the published program does: a head's position gets the
score 0 and not -inf for the tail; the context is divided by the padded length; q is the cell state;
padding is read by all layers and can be chosen; the first of several decoders starts from half of
the encoder's state. What is predicted then depends on the padded length, which was 100.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding.pointers import Found
from grel.models import choices, losses
from grel.models.choices import (
    STOP,
    Choices,
    Joined,
    Scores,
    Source,
    decode,
    mean,
    triples,
    unique,
    weighted,
)
from grel.models.dropout import apply
from grel.models.recurrent import LSTM, BiLSTM, Carry, inside, uniform

CHOICES = {
    "decoder": ("multi", "one"),
    "teacher_forcing": ("off", "on"),
    "quirks": ("paper", "authors"),
}

# Less than this a probability does not count in the loss.
MIN_PROBABILITY = 1e-10


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape and behavior of the model.

    Attributes:
        num_words: of the vocabulary, padding (0) included.
        num_relations: relations, the stop not included.
        word_features: width of word vectors and of all that the decoder is fed.
        features: width of either direction of the encoder, and of the decoder.
        num_triples: that are chosen for each sentence.
        decoder: "multi", a decoder for each triple, or "one" for all.
        teacher_forcing: "on" feeds the gold choices in training; the paper does not.
        quirks: "paper", or "authors" for what the published program does otherwise.
    """

    num_words: int
    num_relations: int
    word_features: int = 100
    features: int = 1000
    num_triples: int = 5
    decoder: str = "multi"
    teacher_forcing: str = "off"
    quirks: str = "paper"

    def __post_init__(self):
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} is {getattr(self, field)!r}; one of {list(allowed)}")


class Batch(flax.struct.PyTreeNode):
    """Sentences and what is to be chosen for them.

    Attributes:
        words_BS: word ids, padded with 0.
        length_B: words of the sentence; 0 in an empty row.
        gold_BN3: relation, position of the head's last word, of the tail's; `STOP` three times
            where there is no triple.
    """

    words_BS: np.ndarray
    length_B: np.ndarray
    gold_BN3: np.ndarray

    @property
    def num_tokens(self) -> int:
        """Words, without padding."""
        return int(self.length_B.sum())


class Encoder(nn.Module):
    """Words to a `Source`, with the vectors of all that can be chosen.

    Attributes:
        config: of the system.
        cells: whose LSTM it is (models/recurrent.py).
        word_init: draws vectors of words, and of the stop among positions.
        row_init: draws vectors of relations, of the stop among them, and of the start.
        is_averaged: outputs are the mean of both directions, and not the two joined.
        padding_is_read: the authors' layers take padding for words, and not their softmaxes alone.
    """

    config: Config
    cells: str = "tensorflow"
    word_init: nn.initializers.Initializer = nn.initializers.uniform(1.0)
    row_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    is_averaged: bool = False
    padding_is_read: bool = True

    def setup(self):
        c = self.config

        def with_padding(*args):
            return self.word_init(*args).at[0].set(0)

        self.words = nn.Embed(c.num_words, c.word_features, embedding_init=with_padding)
        self.stop = self.param("stop", self.word_init, (1, c.word_features))
        rows = (c.num_relations + 1, c.word_features)
        self.relations = self.param("relations", self.row_init, rows)
        self.go = self.param("go", self.row_init, (1, c.word_features))
        self.layers = BiLSTM(c.features, self.cells)

    def __call__(self, words_BS: jax.Array, length_B: jax.Array) -> Source:
        inside_BS = inside(length_B, words_BS.shape[1])
        seen_BS = inside_BS | (self.config.quirks == "authors")
        read_BS = seen_BS if self.padding_is_read else inside_BS
        vectors_BSX = self.words(words_BS)
        (ahead, back), both = self.layers(vectors_BSX, read_BS.sum(1))

        def rows(vectors_RX):
            return jnp.broadcast_to(vectors_RX[None], (len(words_BS), *vectors_RX.shape))

        return Source(
            outputs_BSD=mean(*both) if self.is_averaged else jnp.concatenate(both, axis=-1),
            state=mean(ahead, back),
            seen_BS=seen_BS,
            copyable_BS=read_BS,
            vectors_BPX=jnp.concatenate([vectors_BSX, rows(self.stop)], axis=1),
            relations_BRX=rows(self.relations),
            go_BX=rows(self.go[0]),
        )


class Decoder(choices.Decoder):
    """A step's equations."""

    def setup(self):
        c = self.config
        glorot = nn.initializers.glorot_uniform()
        self.attention = Joined(1, (2 * c.features, c.features), glorot)
        self.combine = nn.Dense(c.word_features, use_bias=False, kernel_init=glorot)
        self.cell = LSTM(c.features, "tensorflow")
        self.relation = nn.Dense(c.num_relations, use_bias=False, kernel_init=glorot)
        self.relation_bias = self.param("relation_bias", _glorot_bias, (c.num_relations,))
        self.stop = nn.Dense(1, use_bias=False, kernel_init=glorot)
        self.stop_bias = self.param("stop_bias", _glorot_bias, (1,))
        # `Module` has a method `copy`.
        self.copying = Joined(1, (2 * c.features, c.features), glorot, name="copy")

    def keys(self, outputs_BSD: jax.Array) -> Any:
        return self.attention.keys(outputs_BSD), self.copying.keys(outputs_BSD)

    def context(self, state: Carry, source: Source, keys: Any) -> jax.Array:
        c_BD, h_BD = state
        is_authors = self.config.quirks == "authors"
        beta_BS1 = nn.selu(self.attention(keys[0], c_BD if is_authors else h_BD))
        context_BD = weighted(beta_BS1, source)
        return context_BD / source.seen_BS.shape[1] if is_authors else context_BD

    def scores(self, output_BD: jax.Array, keys: Any) -> Scores:
        return Scores(
            nn.selu(self.relation(output_BD)) + self.relation_bias[None],
            nn.selu(self.copying(keys[1], output_BD))[..., 0],
            nn.selu(self.stop(output_BD)) + self.stop_bias[None],
        )


def _glorot_bias(key, shape, dtype=jnp.float32):
    # TensorFlow takes the length of a vector for both of its sides.
    return uniform(math.sqrt(3 / shape[0]))(key, shape, dtype)


@functools.partial(jax.jit, static_argnums=0)
def init(config: Config, key: jax.Array) -> Any:
    """Fresh parameters, drawn as the published program does."""
    return choices.init(Encoder(config), Decoder(config), key)


def loss(
    config: Config,
    params: Any,
    batch: Batch,
    mask_key: jax.Array,
    dropout_key: jax.Array | None = None,
) -> losses.Sums:
    """Mean cross entropy of all choices, stops included; nothing is masked or dropped out."""
    del mask_key, dropout_key
    source: Source = apply(Encoder(config), params["encoder"], batch.words_BS, batch.length_B)
    chosen = decode(Decoder(config), params, source, batch.gold_BN3)
    log_prob_BN3 = jnp.maximum(chosen.log_prob_BN3, math.log(MIN_PROBABILITY))
    return sums(batch, chosen.choice_BN3, log_prob_BN3)


def sums(batch: Batch, choice_BN3: jax.Array, log_prob_BN3: jax.Array) -> losses.Sums:
    """The loss of the choices and its parts, as (sum, count) over choices of rows that count."""
    counts_BN3 = jnp.broadcast_to(batch.length_B[:, None, None] > 0, choice_BN3.shape)

    def total(value_BN3, parts):
        counted_BN3 = counts_BN3[..., parts]
        num = counted_BN3.sum().astype(jnp.float32)
        return jnp.where(counted_BN3, value_BN3[..., parts], 0).sum().astype(jnp.float32), num

    right_BN3 = choice_BN3 == batch.gold_BN3
    return {
        "loss": total(-log_prob_BN3, slice(None)),
        "relation_loss": total(-log_prob_BN3, slice(1)),
        "position_loss": total(-log_prob_BN3, slice(1, None)),
        "relation_accuracy": total(right_BN3, slice(1)),
        "position_accuracy": total(right_BN3, slice(1, None)),
    }


def extract(config: Config, params: Any, words_BS: jax.Array, length_B: jax.Array) -> Choices:
    """What is chosen for some sentences, with the log probability of each choice."""
    source: Source = apply(Encoder(config), params["encoder"], words_BS, length_B)
    return decode(Decoder(config), params, source)


def read(config: Config, row: Choices, length: int) -> list[Found]:
    """The triples of one row of `extract`, without duplicates; every entity is one word.

    Only a triple of three stops is none. One that is stopped in part can't be right but was
    predicted, and has to count as wrong: what is missing is None, and so is a padding position.
    """
    del config

    def span(last):
        return (last, last + 1) if 0 <= last < length else None

    return unique(
        Found(span(head), span(tail), None if relation == STOP else relation, probability)
        for relation, head, tail, probability in triples(row)
        if not relation == head == tail == STOP
    )

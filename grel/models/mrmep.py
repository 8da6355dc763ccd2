"""MrMep: a classifier for each relation, then pointers to its entity pairs (Chen et al. 2019).

A sentence is read by an LSTM. For each relation two layers say whether it holds, and the first one
of them is its relation vector. A decoder that is given this vector writes four pointers for each
pair, a distribution over the words being what a step says and, weighted so, what the next is fed.

A stop position stands before the sentence, which pairs that are missing point at. Pointers here and
in batches are words counted from 0, both ends included, and -1 is the stop; positions are one more.
The four are head start, head end, tail start, tail end. R are classes of relations, NONE and then
those of the schema; T pairs of a relation. Source: Chen et al. (2019),
and their program.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding import pointers
from grel.decoding.pointers import Found
from grel.models.attention import Keys, attend
from grel.models.dropout import Dropout, apply
from grel.models.losses import Sums
from grel.models.recurrent import LSTM, Carry, inside, uniform

# Class of no relation; relation r of the schema is r + FIRST.
NONE, FIRST = 0, 1

# Of the loss of a pointer: at the stop, at a word.
STOP_WEIGHT, WORD_WEIGHT = 1.0, 5.0

DECODERS = ("layer", "para")
QUIRKS = ("paper", "authors")


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape and behavior of the model.

    Attributes:
        num_words: of the vocabulary, padding (0) included.
        num_relations: of the schema.
        word_features: of word vectors; features: of all else.
        num_heads: of the attention of words to words.
        num_pairs: of a relation that are learned and written at most.
        max_span: words of a name that is written.
        max_words: of a sentence, to which the authors pad; the loss is divided by as many
            positions, however far the batch is padded. Longer sentences are read all the same.
        decoder: how a position is scored, "layer" or "para"; see `Model.point`.
        pointer_weight: of the pointers' loss against the classifiers'.
        dropout: on word vectors, on what classifiers are fed, on what pointers see.
        quirks: "paper"; or "authors", who in training make all relation vectors from the first
            sentence of the batch, and whose pointers and pooling see the padding to `max_words`.
            Each device takes the first of its own rows, and so does each part of a batch with
            `train.accumulation`, so that the loss then depends on both.
    """

    num_words: int
    num_relations: int
    word_features: int = 100
    features: int = 100
    num_heads: int = 4
    num_pairs: int = 4
    max_span: int = 15
    max_words: int = 100
    decoder: str = "layer"
    pointer_weight: float = 3.0
    dropout: float = 0.5
    quirks: str = "paper"

    def __post_init__(self):
        if self.decoder not in DECODERS:
            raise ValueError(f"decoder is {self.decoder!r}; one of {list(DECODERS)}")
        if self.quirks not in QUIRKS:
            raise ValueError(f"quirks is {self.quirks!r}; one of {list(QUIRKS)}")
        if self.features % self.num_heads:
            raise ValueError(f"features {self.features} do not divide over {self.num_heads} heads")


class Batch(flax.struct.PyTreeNode):
    """One row for each relation of each sentence.

    Attributes:
        words_BS: ids.
        length_B: words; 0 in an empty row.
        relation_B: class of the row's relation.
        holds_BR: whether the relation of this class holds in the row's sentence.
        pointers_BT4: the pairs of the row's relation, then -1; T is `Config.num_pairs`.
        row_B: number of the row in the global batch, which dropout goes by.
    """

    words_BS: np.ndarray
    length_B: np.ndarray
    relation_B: np.ndarray
    holds_BR: np.ndarray
    pointers_BT4: np.ndarray
    row_B: np.ndarray

    @property
    def num_tokens(self) -> int:
        return int(self.length_B.sum())


class Source(NamedTuple):
    """A sentence that was read; S counts the stop position.

    Attributes:
        seen_BSD: what pointers see of the positions.
        pointable_BS: which positions take part in their softmax.
        sentence_BD: the last state of the encoder.
        holds_BR2: log-probabilities of "no" and "yes".
        relations_BRD: the relation vectors.
    """

    seen_BSD: jax.Array
    pointable_BS: jax.Array
    sentence_BD: jax.Array
    holds_BR2: jax.Array
    relations_BRD: jax.Array


class Model(nn.Module):
    """Encoder, classifiers, and the decoder, one pointer at a time."""

    config: Config

    def setup(self):
        c = self.config
        dense = functools.partial(
            nn.Dense, c.features, use_bias=False, kernel_init=nn.initializers.glorot_uniform()
        )
        self.words = nn.Embed(c.num_words, c.word_features, embedding_init=_words_init)
        self.encoder = LSTM(c.features, "tensorflow")
        self.filters = nn.Conv(
            c.features, (3,), padding="SAME", kernel_init=nn.initializers.glorot_uniform()
        )
        classes = FIRST + c.num_relations
        glorot = nn.initializers.glorot_uniform(batch_axis=0)
        zeros = nn.initializers.zeros
        self.relation_kernel = self.param(
            "relation_kernel", glorot, (classes, 2 * c.features, c.features)
        )
        self.relation_bias = self.param("relation_bias", zeros, (classes, c.features))
        self.holds_kernel = self.param("holds_kernel", glorot, (classes, c.features, 2))
        self.holds_bias = self.param("holds_bias", zeros, (classes, 2))
        self.query, self.key, self.value = dense(), dense(), dense()
        self.norm = nn.LayerNorm(epsilon=1e-8, use_fast_variance=False)
        self.cell = LSTM(c.features, "tensorflow")
        # Glorot's bound for as many inputs as outputs.
        vector = (uniform(math.sqrt(3 / c.features)), (c.features,))
        self.of_state = self.param("of_state", *vector)
        self.of_relation = self.param("of_relation", *vector)
        if c.decoder == "layer":
            self.bilinear = dense()
        else:
            self.of_position = self.param("of_position", *vector)
            self.score = self.param("score", *vector)
        self.drop = Dropout(c.dropout)

    def encode(
        self, words_BS: jax.Array, length_B: jax.Array, row_B: jax.Array | None = None
    ) -> Source:
        """Reads sentences and asks all classifiers; `row_B` is for dropout."""
        c = self.config
        behind = 0
        if c.quirks == "authors":
            behind = max(0, c.max_words - words_BS.shape[1])
        # The stop position is a word whose vector is zero.
        vectors_BSX = jnp.pad(self.drop(self.words(words_BS), row_B), ((0, 0), (1, behind), (0, 0)))
        length_B = length_B + 1
        inside_BS = inside(length_B, vectors_BSX.shape[1])
        (sentence_BD, _), hidden_BSD = self.encoder(vectors_BSX, length_B)
        pointable_BS = jnp.ones_like(inside_BS) if c.quirks == "authors" else inside_BS
        filtered_BSD = jnp.where(pointable_BS[..., None], self.filters(hidden_BSD), -jnp.inf)
        features_BX = nn.relu(jnp.concatenate([filtered_BSD.max(1), sentence_BD], axis=-1))
        features_BX = self.drop(features_BX, row_B)
        relations_BRD = jnp.einsum("BX,RXD->BRD", features_BX, self.relation_kernel)
        relations_BRD += self.relation_bias[None]
        holds_BR2 = jnp.einsum("BRD,RDC->BRC", relations_BRD, self.holds_kernel)
        holds_BR2 = nn.log_softmax(holds_BR2 + self.holds_bias[None])
        seen_BSD = self.norm(hidden_BSD + self._attended(hidden_BSD, inside_BS))
        seen_BSD = self.drop(seen_BSD, row_B)
        return Source(seen_BSD, pointable_BS, sentence_BD, holds_BR2, relations_BRD)

    def _attended(self, hidden_BSD, inside_BS):
        """What words take from each other; zero on padding, which takes and gives nothing."""
        query_BHSK, key_BHSK, value_BHSK = (
            part(hidden_BSD)
            .reshape(*hidden_BSD.shape[:2], self.config.num_heads, -1)
            .swapaxes(1, 2)
            for part in (self.query, self.key, self.value)
        )
        allow_BSS = jnp.broadcast_to(inside_BS[:, None], (*inside_BS.shape, inside_BS.shape[1]))
        context_BHSK = attend(query_BHSK, [Keys(key_BHSK, value_BHSK, allow_BSS)])
        context_BSD = context_BHSK.swapaxes(1, 2).reshape(hidden_BSD.shape)
        return jnp.where(inside_BS[..., None], context_BSD, 0)

    def point(
        self, state: Carry, source: Source, relation_BD: jax.Array
    ) -> tuple[Carry, jax.Array]:
        """One pointer: the state after it, and log-probabilities of the positions, log_prob_BS.

        With the last output q (which is h of the state), the relation r and a position p:
            layer:  p . W tanh(a q + b r)
            para:   v . tanh(d p + a q + b r)
        where a, b, d and v are vectors and products of vectors go by elements.
        """
        asked_BD = state[1] * self.of_state[None] + relation_BD * self.of_relation[None]
        if self.config.decoder == "layer":
            # The product with what is asked first: one for a row and not one for a position.
            asked_BD = self.bilinear(jnp.tanh(asked_BD))
            score_BS = jnp.einsum("BSD,BD->BS", source.seen_BSD, asked_BD)
        else:
            placed_BSD = source.seen_BSD * self.of_position[None, None]
            score_BS = jnp.tanh(placed_BSD + asked_BD[:, None]) @ self.score
        log_prob_BS = nn.log_softmax(jnp.where(source.pointable_BS, score_BS, -jnp.inf))
        context_BD = jnp.einsum("BS,BSD->BD", jnp.exp(log_prob_BS), source.seen_BSD)
        state, _ = self.cell.step(state, context_BD)
        return state, log_prob_BS

    def __call__(self, words_BS, length_B):
        """A first pointer of class 0; what initialization traces."""
        source = self.encode(words_BS, length_B)
        return self.point((source.sentence_BD,) * 2, source, source.relations_BRD[:, 0])


def _words_init(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype).at[0].set(0)


@functools.partial(jax.jit, static_argnums=0)
def init(config: Config, key: jax.Array) -> Any:
    """Fresh parameters, as TensorFlow draws them; word vectors from [0, 1)."""
    one = jnp.ones((1,), jnp.int32)
    return Model(config).init(key, one[:, None], one)["params"]


def _decode(config: Config, params: Any, source: Source, relation_BD: jax.Array) -> jax.Array:
    """All pointers of one relation in each row: log_prob_BT4S."""

    def step(state, _):
        return apply(Model(config), params, state, source, relation_BD, method=Model.point)

    _, log_prob_XBS = jax.lax.scan(step, (source.sentence_BD,) * 2, length=config.num_pairs * 4)
    log_prob_BXS = log_prob_XBS.swapaxes(0, 1)
    return log_prob_BXS.reshape(len(relation_BD), config.num_pairs, 4, -1)


def loss(
    config: Config,
    params: Any,
    batch: Batch,
    mask_key: jax.Array,
    dropout_key: jax.Array | None = None,
) -> Sums:
    """`pointer_weight` times the pointers' loss, plus the classifiers'.

    The pointers' is the mean over rows, all pointers of a row and `max_words` + 1 positions of
    -w log p of what is to be pointed at, where w is `WORD_WEIGHT` or, at the stop, `STOP_WEIGHT`;
    in each row that is one weighted logarithm a pointer, divided by a constant. The classifiers' is
    the mean cross entropy over rows and classes. Both count rows, so that parts of a batch add up.
    Nothing is masked: `mask_key` is not used.
    """
    del mask_key
    source: Source = apply(
        Model(config),
        params,
        batch.words_BS,
        batch.length_B,
        batch.row_B,
        method=Model.encode,
        dropout_key=dropout_key,
    )
    made_from_B = jnp.arange(len(batch.length_B))
    if config.quirks == "authors":
        made_from_B = jnp.zeros_like(made_from_B)
    relation_BD = source.relations_BRD[made_from_B, batch.relation_B]
    log_prob_BT4S = _decode(config, params, source, relation_BD)
    log_prob_BT4 = pointers.at(log_prob_BT4S, batch.pointers_BT4 + 1)
    weight_BT4 = jnp.where(batch.pointers_BT4 < 0, STOP_WEIGHT, WORD_WEIGHT)
    num_terms = 4 * config.num_pairs * (config.max_words + 1)
    pointer_loss_B = -(weight_BT4 * log_prob_BT4).sum((1, 2)) / num_terms
    relation_loss_B = -pointers.at(source.holds_BR2, batch.holds_BR.astype(jnp.int32)).mean(-1)
    is_real_B = batch.length_B > 0
    num_rows = is_real_B.sum().astype(jnp.float32)
    loss_B = config.pointer_weight * pointer_loss_B + relation_loss_B
    return {
        name: (jnp.where(is_real_B, value_B, 0).sum(), num_rows)
        for name, value_B in (
            ("loss", loss_B),
            ("pointer_loss", pointer_loss_B),
            ("relation_loss", relation_loss_B),
        )
    }


class Extracted(flax.struct.PyTreeNode):
    """What was written: in each row a slot for each relation, of which the first ones are filled.

    Attributes:
        relation_BR: classes of the relations that hold, ascending, then NONE.
        pointers_BRT4: of their pairs, -1 being the stop; not cut there.
        relation_log_prob_BR, log_prob_BRT4: of these choices; 0 in slots that are not filled.
    """

    relation_BR: jax.Array
    pointers_BRT4: jax.Array
    relation_log_prob_BR: jax.Array
    log_prob_BRT4: jax.Array


def extract(config: Config, params: Any, words_BS: jax.Array, length_B: jax.Array) -> Extracted:
    """Asks the classifiers, then the decoder for each relation that holds.

    The decoder runs over all rows for the first relation of each, then for the second of each, and
    so on as long as a row has one. A batch then costs as many runs as its richest sentence has
    relations, about three, where running it for all relations of the schema costs that many; and
    shapes are fixed without any limit to what a sentence can hold.
    """
    source: Source = apply(Model(config), params, words_BS, length_B, method=Model.encode)
    inside_BS = inside(length_B + 1, source.seen_BSD.shape[1])
    yes_BR = (source.holds_BR2[..., 1] > source.holds_BR2[..., 0]) & (length_B > 0)[:, None]
    yes_BR = yes_BR[:, FIRST:]
    num_B = yes_BR.sum(-1)
    order_BR = jnp.argsort(~yes_BR, axis=-1, stable=True) + FIRST
    is_filled_BR = jnp.arange(config.num_relations)[None] < num_B[:, None]
    shape = (*yes_BR.shape, config.num_pairs, 4)

    def decode(slot, written):
        pointers_BRT4, log_prob_BRT4 = written
        relation_BD = source.relations_BRD[jnp.arange(len(num_B)), order_BR[:, slot]]
        log_prob_BT4S = _decode(config, params, source, relation_BD)
        # A name has no padding in it, whatever its probability.
        prob_BT4S = jnp.where(inside_BS[:, None, None], jnp.exp(log_prob_BT4S), -jnp.inf)
        spans = pointers.best_span(
            pointers.Scores(prob_BT4S[:, :, 0::2], prob_BT4S[:, :, 1::2]), config.max_span
        )
        position_BT4 = jnp.stack(spans[:2], axis=-1).reshape(-1, config.num_pairs, 4)
        is_filled_B11 = is_filled_BR[:, slot, None, None]
        pointers_BT4 = jnp.where(is_filled_B11, position_BT4 - 1, -1)
        log_prob_BT4 = jnp.where(is_filled_B11, pointers.at(log_prob_BT4S, position_BT4), 0)
        return (
            pointers_BRT4.at[:, slot].set(pointers_BT4),
            log_prob_BRT4.at[:, slot].set(log_prob_BT4),
        )

    nothing = jnp.full(shape, -1), jnp.zeros(shape)
    pointers_BRT4, log_prob_BRT4 = jax.lax.fori_loop(0, num_B.max(), decode, nothing)
    relation_log_prob_BR = jnp.take_along_axis(source.holds_BR2[..., 1], order_BR, axis=1)
    return Extracted(
        relation_BR=jnp.where(is_filled_BR, order_BR, NONE),
        pointers_BRT4=pointers_BRT4,
        relation_log_prob_BR=jnp.where(is_filled_BR, relation_log_prob_BR, 0),
        log_prob_BRT4=log_prob_BRT4,
    )


def read(row: Extracted) -> list[Found]:
    """The triples of one sentence by relation, and in the order written, each once.

    A relation's pairs end at the first that points at the stop anywhere. Two triples are the same
    if the places of their names are.

    Args:
        row: of `Extracted`, without the axis B, as numpy arrays.
    """
    found: dict[Any, Found] = {}
    for relation, pointers_T4, relation_log_prob, log_prob_T4 in zip(
        row.relation_BR, row.pointers_BRT4, row.relation_log_prob_BR, row.log_prob_BRT4, strict=True
    ):
        if relation == NONE:
            break
        for pointed, log_prob_4 in zip(pointers_T4, log_prob_T4, strict=True):
            if (pointed < 0).any():
                break
            head_start, head_end, tail_start, tail_end = (int(p) for p in pointed)
            triple = Found(
                head=(head_start, head_end + 1),
                tail=(tail_start, tail_end + 1),
                relation=int(relation) - FIRST,
                probability=math.exp(float(relation_log_prob) + float(log_prob_4.sum())),
            )
            found.setdefault(triple[:3], triple)
    return list(found.values())

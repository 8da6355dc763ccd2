"""PtDec: a decoder that writes one triple a step, its names as pointers (Nayak and Ng 2020).

A step reads the sentence with two attentions, one asked by the decoder's state and one by the sum
of all triples so far, and runs two recurrent layers over the words, that of the head and, on top,
that of the tail. Each gives every word a probability as start and as end; the words weighted so are
the entity, and state and entities choose the relation. The relation None ends a row.

Here T are steps, R classes of relations: PAD, NONE, then the relations. Pointers are words, counted
from 0 without anything before the sentence, both ends included; -1 where there is none. The four
are head start, head end, tail start, tail end. Source: Nayak and
Ng (2020), and their program.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding import pointers
from grel.decoding.pointers import Found
from grel.models.dropout import Dropout, apply
from grel.models.losses import Sums
from grel.models.recurrent import (
    LSTM,
    AdditiveAttention,
    BiLSTM,
    WordEncoder,
    inside,
    torch_dense,
)
from grel.text.words import WORD_LENGTH

# Classes of relations; relation r of the schema is r + FIRST.
PAD, NONE, FIRST = 0, 1, 2

QUIRKS = ("paper", "authors")


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape and behavior of the model.

    Attributes:
        num_words, num_chars: of the vocabularies, padding (0) included.
        num_relations: of the schema.
        word_features, char_features, num_filters, relation_features: widths.
        features: of the decoder's state, of the encoder (half of it in either direction), and of
            the layers of head and tail (in either direction).
        num_steps: triples that are written at most.
        max_span: words of a name that is written.
        dropout: on all that a layer gives, the decoder's state included, which is carried on so.
        quirks: "paper"; or "authors", whose recurrent layers read padding, so that what is found in
            a sentence depends on how far it was padded.
    """

    num_words: int
    num_chars: int
    num_relations: int
    word_features: int = 300
    char_features: int = 50
    num_filters: int = 50
    features: int = 300
    relation_features: int = 300
    num_steps: int = 10
    max_span: int = 5
    dropout: float = 0.3
    quirks: str = "paper"

    def __post_init__(self):
        if self.quirks not in QUIRKS:
            raise ValueError(f"quirks is {self.quirks!r}; one of {list(QUIRKS)}")
        if self.features % 2:
            raise ValueError(f"features {self.features} do not divide over two directions")

    @property
    def triple_features(self) -> int:
        """Width of a triple: two words of two directions for head and tail, and the relation."""
        return 2 * (2 * 2 * self.features) + self.relation_features


class Batch(flax.struct.PyTreeNode):
    """Sentences and their triples in the order in which they are to be written.

    Attributes:
        words_BS, chars_BSK: ids, `WORD_LENGTH` characters a word.
        length_B: words; 0 in an empty row.
        relation_BT: classes of the triples, then NONE, then PAD; T fits the longest row.
        pointers_BT4: of the triples; looked at where there is one.
        steps_per_triple_B: classes that are not PAD over triples, in the *global* batch, the same
            in all rows; it lets a part of the batch weigh its two means as the whole does.
        row_B: number of the row in the global batch, which dropout goes by.
    """

    words_BS: np.ndarray
    chars_BSK: np.ndarray
    length_B: np.ndarray
    relation_BT: np.ndarray
    pointers_BT4: np.ndarray
    steps_per_triple_B: np.ndarray
    row_B: np.ndarray

    @property
    def num_tokens(self) -> int:
        return int(self.length_B.sum())


class Source(NamedTuple):
    """A sentence that was read.

    Attributes:
        outputs_BSD: of the encoder.
        keys_BSD, past_keys_BSD: of the two attentions.
        length_B: words; read_B: positions that recurrent layers read.
    """

    outputs_BSD: jax.Array
    keys_BSD: jax.Array
    past_keys_BSD: jax.Array
    length_B: jax.Array
    read_B: jax.Array


class State(NamedTuple):
    """Between two steps: the LSTM's c_BD and h_BD, and the sum of all triples so far, past_BX."""

    c_BD: jax.Array
    h_BD: jax.Array
    past_BX: jax.Array


class Scores(NamedTuple):
    """What a step says: log-probabilities relation_BR and pointers_B4S, -inf on padding."""

    relation_BR: jax.Array
    pointers_B4S: jax.Array


class Model(nn.Module):
    """Encoder and decoder, the latter one step at a time."""

    config: Config

    def setup(self):
        c = self.config
        num_classes = FIRST + c.num_relations
        self.encoder = WordEncoder(
            c.num_words,
            c.num_chars,
            word_features=c.word_features,
            char_features=c.char_features,
            num_filters=c.num_filters,
            features=c.features // 2,
            dropout=c.dropout,
        )
        self.attention = AdditiveAttention(c.features)
        self.past_attention = AdditiveAttention(c.features)
        self.past_query = torch_dense(c.triple_features, c.features)
        self.cell = LSTM(c.features)
        self.head_layers, self.tail_layers = BiLSTM(c.features), BiLSTM(c.features)
        # Start and end.
        self.head_pointers = torch_dense(2 * c.features, 2)
        self.tail_pointers = torch_dense(2 * c.features, 2)
        self.relation = torch_dense(9 * c.features, num_classes)
        self.relations = nn.Embed(
            num_classes, c.relation_features, embedding_init=nn.initializers.normal(1.0)
        )
        self.drop = Dropout(c.dropout)

    def encode(
        self,
        words_BS: jax.Array,
        chars_BSK: jax.Array,
        length_B: jax.Array,
        row_B: jax.Array | None = None,
    ) -> Source:
        """Reads sentences; `row_B` is for dropout, here and below."""
        read_B = length_B
        if self.config.quirks == "authors":
            read_B = jnp.full_like(length_B, words_BS.shape[1])
        outputs_BSD = self.encoder(words_BS, chars_BSK, read_B, row_B)
        keys_BSD, past_keys_BSD = (
            attention.keys(outputs_BSD) for attention in (self.attention, self.past_attention)
        )
        return Source(outputs_BSD, keys_BSD, past_keys_BSD, length_B, read_B)

    def start(self, source: Source) -> State:
        """Before the first step: nothing but zeros."""
        rows, c = len(source.length_B), self.config
        return State(*(jnp.zeros((rows, n)) for n in (c.features, c.features, c.triple_features)))

    def step(
        self,
        state: State,
        source: Source,
        relation_B: jax.Array | None = None,
        row_B: jax.Array | None = None,
    ) -> tuple[State, Scores, jax.Array]:
        """One triple: the state after it, its scores, and the class of relation it was taken for.

        That is the gold one where it is given, and the likeliest but PAD otherwise.
        """
        outputs_BSD, keys_BSD, past_keys_BSD, length_B, _ = source
        context_BD, _ = self.attention(state.h_BD, keys_BSD, outputs_BSD, length_B)
        past_context_BD, _ = self.past_attention(
            self.past_query(state.past_BX), past_keys_BSD, outputs_BSD, length_B
        )
        inputs_BX = jnp.concatenate([state.past_BX, context_BD, past_context_BD], axis=-1)
        (c_BD, h_BD), _ = self.cell.step((state.c_BD, state.h_BD), inputs_BX)
        h_BD = self.drop(h_BD, row_B)

        asked_BSD = jnp.broadcast_to(h_BD[:, None], (*outputs_BSD.shape[:2], h_BD.shape[-1]))
        of_head_BSX = jnp.concatenate([outputs_BSD, asked_BSD], axis=-1)
        head_B2S, head_words_BSX, head_BX = self._entity(
            self.head_layers, self.head_pointers, of_head_BSX, source, row_B
        )
        of_tail_BSX = jnp.concatenate([of_head_BSX, head_words_BSX], axis=-1)
        tail_B2S, _, tail_BX = self._entity(
            self.tail_layers, self.tail_pointers, of_tail_BSX, source, row_B
        )
        relation_BR = nn.log_softmax(
            self.relation(jnp.concatenate([h_BD, head_BX, tail_BX], axis=-1))
        )
        if relation_B is None:
            relation_B = relation_BR[:, NONE:].argmax(-1) + NONE
        relation_BX = self.drop(self.relations(relation_B), row_B)
        triple_BX = jnp.concatenate([head_BX, tail_BX, relation_BX], axis=-1)
        scores = Scores(relation_BR, jnp.concatenate([head_B2S, tail_B2S], axis=1))
        return State(c_BD, h_BD, state.past_BX + triple_BX), scores, relation_B

    def _entity(self, layers, start_and_end, inputs_BSX, source, row_B):
        """Log-probabilities_B2S of start and end, the words in this light, and the entity."""
        words_BSX = self.drop(jnp.concatenate(layers(inputs_BSX, source.read_B)[1], axis=-1), row_B)
        # An empty row points at its first position, as a softmax over nothing is not a number.
        inside_BS1 = inside(jnp.maximum(source.length_B, 1), words_BSX.shape[1])[..., None]
        log_prob_BS2 = nn.log_softmax(
            jnp.where(inside_BS1, start_and_end(words_BSX), -jnp.inf), axis=1
        )
        ends_BPX = jnp.einsum("BSP,BSX->BPX", jnp.exp(log_prob_BS2), words_BSX)
        entity_BX = self.drop(ends_BPX.reshape(len(ends_BPX), -1), row_B)
        return log_prob_BS2.swapaxes(1, 2), words_BSX, entity_BX

    def __call__(self, words_BS, chars_BSK, length_B):
        """A first step; what initialization traces."""
        source = self.encode(words_BS, chars_BSK, length_B)
        return self.step(self.start(source), source)


@functools.partial(jax.jit, static_argnums=0)
def init(config: Config, key: jax.Array) -> Any:
    """Fresh parameters, as PyTorch draws them."""
    one = jnp.ones((1,), jnp.int32)
    chars_BSK = jnp.ones((1, 1, WORD_LENGTH), jnp.int32)
    return Model(config).init(key, one[:, None], chars_BSK, one)["params"]


def loss(
    config: Config,
    params: Any,
    batch: Batch,
    mask_key: jax.Array,
    dropout_key: jax.Array | None = None,
) -> Sums:
    """The relation's mean negative log-likelihood and that of each of the four pointers, added.

    The former is a mean over all that is to be written, None included, the latter over triples. The
    decoder is fed the gold relations, but its own entities. Nothing is masked: `mask_key` is
    not used.
    """
    del mask_key
    model = Model(config)

    def numbered(number, *args, method):
        key = None if dropout_key is None else jax.random.fold_in(dropout_key, number)
        return apply(model, params, *args, row_B=batch.row_B, method=method, dropout_key=key)

    source = numbered(0, batch.words_BS, batch.chars_BSK, batch.length_B, method=Model.encode)

    def step(state, xs):
        number, relation_B = xs
        state, scores, _ = numbered(number, state, source, relation_B, method=Model.step)
        return state, scores

    relation_TB = jnp.asarray(batch.relation_BT).T
    _, (relation_TBR, pointers_TB4S) = jax.lax.scan(
        step, model.start(source), (1 + jnp.arange(len(relation_TB)), relation_TB)
    )
    is_step_BT, is_triple_BT = batch.relation_BT != PAD, batch.relation_BT >= FIRST
    relation_BT = pointers.at(relation_TBR.swapaxes(0, 1), batch.relation_BT)
    pointers_BT4 = pointers.at(pointers_TB4S.swapaxes(0, 1), jnp.maximum(batch.pointers_BT4, 0))
    relation_loss = -jnp.where(is_step_BT, relation_BT, 0).sum()
    pointer_loss_B = -jnp.where(is_triple_BT, pointers_BT4.sum(-1), 0).sum(-1)
    num_steps, num_triples = (
        which_BT.sum().astype(jnp.float32) for which_BT in (is_step_BT, is_triple_BT)
    )
    weighted = (batch.steps_per_triple_B * pointer_loss_B).sum()
    return {
        "loss": (relation_loss + weighted, num_steps),
        "relation_loss": (relation_loss, num_steps),
        "pointer_loss": (pointer_loss_B.sum(), num_triples),
    }


class Extracted(flax.struct.PyTreeNode):
    """What was written, T steps a row.

    Attributes:
        relation_BT: classes; NONE from where a row has ended.
        pointers_BT4: of the triples; -1 where there is none.
        relation_log_prob_BT, log_prob_BT4: of these choices; 0 behind the end, and -inf where a
            sentence has no room for two names.
    """

    relation_BT: jax.Array
    pointers_BT4: jax.Array
    relation_log_prob_BT: jax.Array
    log_prob_BT4: jax.Array


def extract(
    config: Config, params: Any, words_BS: jax.Array, chars_BSK: jax.Array, length_B: jax.Array
) -> Extracted:
    """Writes the triples of sentences greedily, until all rows have ended or are full."""
    model = Model(config)
    source = apply(model, params, words_BS, chars_BSK, length_B, method=Model.encode)
    shape = len(length_B), config.num_steps
    nothing = Extracted(
        relation_BT=jnp.full(shape, NONE),
        pointers_BT4=jnp.full((*shape, 4), -1),
        relation_log_prob_BT=jnp.zeros(shape),
        log_prob_BT4=jnp.zeros((*shape, 4)),
    )

    def goes_on(carry):
        number, _, goes_on_B, _ = carry
        return (number < config.num_steps) & goes_on_B.any()

    def step(carry):
        number, state, goes_on_B, written = carry
        state, scores, relation_B = apply(model, params, state, source, method=Model.step)
        head_start_BS, head_end_BS, tail_start_BS, tail_end_BS = scores.pointers_B4S.swapaxes(0, 1)
        head, tail = pointers.best_pair(
            pointers.Scores(head_start_BS, head_end_BS),
            pointers.Scores(tail_start_BS, tail_end_BS),
            config.max_span,
        )
        pointers_B4 = jnp.stack([*head[:2], *tail[:2]], axis=-1)
        is_triple_B = goes_on_B & (relation_B != NONE)
        has_room_B = is_triple_B & jnp.isfinite(head.score_B + tail.score_B)
        relation_log_prob_B = pointers.at(scores.relation_BR, relation_B)
        log_prob_B4 = jnp.where(
            has_room_B[:, None], pointers.at(scores.pointers_B4S, pointers_B4), -jnp.inf
        )
        return (
            number + 1,
            state,
            is_triple_B,
            Extracted(
                relation_BT=written.relation_BT.at[:, number].set(
                    jnp.where(is_triple_B, relation_B, NONE)
                ),
                pointers_BT4=written.pointers_BT4.at[:, number].set(
                    jnp.where(has_room_B[:, None], pointers_B4, -1)
                ),
                relation_log_prob_BT=written.relation_log_prob_BT.at[:, number].set(
                    jnp.where(goes_on_B, relation_log_prob_B, 0)
                ),
                log_prob_BT4=written.log_prob_BT4.at[:, number].set(
                    jnp.where(is_triple_B[:, None], log_prob_B4, 0)
                ),
            ),
        )

    start = jnp.int32(0), model.start(source), length_B > 0, nothing
    return jax.lax.while_loop(goes_on, step, start)[-1]


def read(row: Extracted, words: Sequence[str]) -> list[Found]:
    """The triples of one sentence, in the order written, each once.

    Two are the same if relation and names are, wherever these stand. Triples whose head and tail
    are the same name, and those for which there was no room, are dropped.

    Args:
        row: of `Extracted`, without the axis B, as numpy arrays.
        words: of the sentence.
    """
    found: dict[Any, Found] = {}
    for relation, pointed, relation_log_prob, log_prob_4 in zip(
        row.relation_BT, row.pointers_BT4, row.relation_log_prob_BT, row.log_prob_BT4, strict=True
    ):
        if relation == NONE:
            break
        head_start, head_end, tail_start, tail_end = (int(p) for p in pointed)
        head, tail = (head_start, head_end + 1), (tail_start, tail_end + 1)
        names = tuple(tuple(words[slice(*span)]) for span in (head, tail))
        if head_start < 0 or names[0] == names[1]:
            continue
        probability = math.exp(float(relation_log_prob) + float(log_prob_4.sum()))
        triple = Found(head, tail, int(relation) - FIRST, probability)
        found.setdefault((relation, names), triple)
    return list(found.values())

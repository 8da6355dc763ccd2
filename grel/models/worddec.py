"""WordDec: words in, words out, by an LSTM with attention (Nayak and Ng 2020).

The sentence is read by `recurrent.WordEncoder`. The decoder is fed the word before and what an
additive attention sees of the sentence, and scores the whole vocabulary, in training as well. Three
systems are this model and differ in how they decode (METHOD section 6):

- WordDec by copy="words": only words of the sentence, relations and separators are written.
- LSTM by copy="off": everything is.
- LSTM + copy has a second head, of BIO labels, and decodes by copy="on". One word is one token, and
  an unknown one is copied by its own id: words that the vocabulary lacks are numbered in each
  sentence by first occurrence (`text.words`), so that there is no pointer.

A model without labels says O for certain, so that decoding knows one kind of model.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from grel.models import losses
from grel.models.dropout import Dropout, apply
from grel.models.recurrent import LSTM, AdditiveAttention, Carry, WordEncoder, inside, torch_dense
from grel.text import bio
from grel.text.words import WORD_LENGTH


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape and behavior of the model; widths are the authors'.

    Attributes:
        num_words, num_chars: of the vocabularies, padding (0) included.
        sos_id: the word that is fed first.
        word_features, char_features, num_filters: widths of vectors and of the character filters.
        features: of the decoder; each direction of the encoder has half of it.
        dropout: on vectors, on the encoder's outputs, and on the decoder's state, which goes on
            with it.
        label_head: predict BIO labels too; alpha: weight of the word loss against the label loss.
    """

    num_words: int
    num_chars: int
    sos_id: int
    word_features: int = 300
    char_features: int = 50
    num_filters: int = 50
    features: int = 300
    dropout: float = 0.3
    label_head: bool = False
    alpha: float = 0.1

    def __post_init__(self):
        if self.features % 2:
            raise ValueError(f"features is {self.features}; it must be even, for two directions")


class Batch(flax.struct.PyTreeNode):
    """Sentences and what is to be written for them, padded.

    Attributes:
        words_BS: ids of the words; chars_BSK: of their characters, `WORD_LENGTH` a word.
        length_B: words of the sentence; 0 in an empty row.
        targets_BT: the target's words and EOS behind them, without SOS.
        target_length_B: words of the target, EOS included; 0 in an empty row.
        labels_BT: BIO labels of these words, O of EOS; read where the model has the head.
        row_B: number of the row in the global batch, which seeds what is random in it.
    """

    words_BS: np.ndarray
    chars_BSK: np.ndarray
    length_B: np.ndarray
    targets_BT: np.ndarray
    target_length_B: np.ndarray
    labels_BT: np.ndarray
    row_B: np.ndarray

    @property
    def num_tokens(self) -> int:
        """Words of sources and targets, padding not counted."""
        return int(self.length_B.sum() + self.target_length_B.sum())


class DecodeState(flax.struct.PyTreeNode):
    """What is known of R rows, the beams of an example side by side.

    Attributes:
        outputs_RSD: of the encoder; keys_RSD: of them for attention.
        length_R: words of the sentences.
        carry_RD: of the decoder.
        attended_R: the position with the highest attention at the last step.
        num_beams: W.
    """

    outputs_RSD: jax.Array
    keys_RSD: jax.Array
    length_R: jax.Array
    carry_RD: Carry
    attended_R: jax.Array
    num_beams: int = flax.struct.field(pytree_node=False)


class Model(nn.Module):
    """Encoder, decoder and the heads."""

    config: Config

    def setup(self):
        c = self.config
        self.encoder = WordEncoder(
            num_words=c.num_words,
            num_chars=c.num_chars,
            word_features=c.word_features,
            char_features=c.char_features,
            num_filters=c.num_filters,
            features=c.features // 2,
            dropout=c.dropout,
        )
        self.attention = AdditiveAttention(c.features)
        self.cell = LSTM(c.features)
        self.token = torch_dense(c.features, c.num_words)
        if c.label_head:
            self.bio = torch_dense(c.features, bio.NUM_LABELS)
        self.dropout = Dropout(c.dropout)

    def encode(
        self,
        words_BS: jax.Array,
        chars_BSK: jax.Array,
        length_B: jax.Array,
        row_B: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """outputs_BSD and what attention takes of them, keys_BSD; `row_B` is for dropout."""
        outputs_BSD = self.encoder(words_BS, chars_BSK, length_B, row_B)
        return outputs_BSD, self.attention.keys(outputs_BSD)

    def step(
        self,
        carry: Carry,
        word_BX: jax.Array,
        outputs_BSD: jax.Array,
        keys_BSD: jax.Array,
        length_B: jax.Array,
        row_B: jax.Array | None = None,
    ) -> tuple[Carry, jax.Array]:
        """Feeds the vector of a word: the new state, whose h predicts, and attention weight_BS."""
        context_BD, weight_BS = self.attention(carry[1], keys_BSD, outputs_BSD, length_B)
        (c_BD, h_BD), _ = self.cell.step(carry, jnp.concatenate([word_BX, context_BD], axis=-1))
        return (c_BD, self.dropout(h_BD, row_B)), weight_BS

    def heads(self, h_BXD: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Logits of words, and of labels where there is the head."""
        return self.token(h_BXD), self.labels(h_BXD)

    def labels(self, h_BXD: jax.Array) -> jax.Array | None:
        """Logits of labels where there is the head."""
        return self.bio(h_BXD) if self.config.label_head else None

    def write(
        self,
        carry: Carry,
        word_B: jax.Array,
        outputs_BSD: jax.Array,
        keys_BSD: jax.Array,
        length_B: jax.Array,
    ) -> tuple[Carry, jax.Array, tuple[jax.Array, jax.Array | None]]:
        """One step of decoding: the new state, attention weight_BS, and what `heads` gives."""
        word_BX = self.encoder.word_vectors(word_B)
        carry, weight_BS = self.step(carry, word_BX, outputs_BSD, keys_BSD, length_B)
        return carry, weight_BS, self.heads(carry[1])

    def __call__(
        self,
        words_BS: jax.Array,
        chars_BSK: jax.Array,
        length_B: jax.Array,
        fed_BT: jax.Array,
        row_B: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Logits of the word after each that is fed, logits_BTV, and bio_logits_BTC or None."""
        return self.heads(self.states(words_BS, chars_BSK, length_B, fed_BT, row_B))

    def states(
        self,
        words_BS: jax.Array,
        chars_BSK: jax.Array,
        length_B: jax.Array,
        fed_BT: jax.Array,
        row_B: jax.Array | None = None,
    ) -> jax.Array:
        """The decoder's state behind each word that is fed, which predicts the next: h_BTD."""
        outputs_BSD, keys_BSD = self.encode(words_BS, chars_BSK, length_B, row_B)

        def step(model, carry, word_BX):
            carry, _ = model.step(carry, word_BX, outputs_BSD, keys_BSD, length_B, row_B)
            return carry, carry[1]

        steps = nn.scan(
            step,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=1,
            out_axes=1,
        )
        carry = self.cell.zeros(outputs_BSD[:, 0])
        _, h_BTD = steps(self, carry, self.encoder.word_vectors(fed_BT, row_B))
        return h_BTD


@functools.partial(jax.jit, static_argnums=0)
def init(config: Config, key: jax.Array) -> Any:
    """Fresh parameters, as PyTorch draws them."""
    one = jnp.ones((1, 1), jnp.int32)
    chars = jnp.ones((1, 1, WORD_LENGTH), jnp.int32)
    return Model(config).init(key, one, chars, one[0], one)["params"]


def loss(
    config: Config,
    params: Any,
    batch: Batch,
    mask_key: jax.Array,
    dropout_key: jax.Array | None = None,
) -> losses.Sums:
    """Sums and counts of the cross entropy over the words to be written, EOS included.

    With the label head it is `alpha * CE_word + (1 - alpha) * CE_bio` (METHOD section 5). Nothing
    is masked, so that `mask_key` is not used; dropout is where it has a key.
    """
    del mask_key
    targets_BT, labels_BT, target_length_B = map(
        jnp.asarray, (batch.targets_BT, batch.labels_BT, batch.target_length_B)
    )
    model = functools.partial(apply, Model(config), params)
    h_BTD = model(
        batch.words_BS,
        batch.chars_BSK,
        batch.length_B,
        _shifted(targets_BT, config.sos_id),
        batch.row_B,
        method=Model.states,
        dropout_key=dropout_key,
    )
    num_steps = targets_BT.shape[1]
    place_BT = jnp.broadcast_to(jnp.arange(num_steps)[None], targets_BT.shape)
    targets = losses.Targets(
        position_BP=place_BT,
        target_position_BP=place_BT,
        token_BP=targets_BT,
        label_BP=labels_BT,
        counts_BP=inside(target_length_B, num_steps),
        num_overflow=jnp.int32(0),
    )
    token = params["token"]
    tokens = losses.vocabulary_sums(h_BTD, token["kernel"], token["bias"], targets)
    return losses.with_labels(tokens, model(h_BTD, method=Model.labels), targets, config.alpha)


def _shifted(targets_BT: jax.Array, sos_id: int) -> jax.Array:
    """What is fed to write the targets: each word after the one before, SOS at first."""
    return jnp.pad(targets_BT, ((0, 0), (1, 0)), constant_values=sos_id)[:, :-1]


def init_decode(
    config: Config,
    params: Any,
    source_BS: jax.Array,
    source_length_B: jax.Array,
    num_steps: int,
    num_beams: int,
    chars_BSK: jax.Array,
) -> DecodeState:
    """Encodes padded sentences for `num_beams` beams; the first word to feed is SOS.

    There is nothing that would need room for `num_steps` steps.
    """
    del num_steps
    encoded = apply(
        Model(config), params, source_BS, chars_BSK, source_length_B, method=Model.encode
    )
    outputs_RSD, keys_RSD, length_R = (
        jnp.repeat(x, num_beams, axis=0) for x in (*encoded, source_length_B)
    )
    zeros_RD = jnp.zeros((len(length_R), config.features))
    return DecodeState(
        outputs_RSD,
        keys_RSD,
        length_R,
        carry_RD=(zeros_RD, zeros_RD),
        attended_R=jnp.zeros_like(length_R),
        num_beams=num_beams,
    )


def decoding_params(config: Config, params: Any) -> Any:
    """The parameters as `decode_step` takes them."""
    del config
    return params


def decode_step(
    config: Config, params: Any, state: DecodeState, token_R: jax.Array
) -> tuple[jax.Array, jax.Array, DecodeState]:
    """Feeds the previous word: logits_RV and bio_logits_RC of the next one, and the new state."""
    carry_RD, weight_RS, (logits_RV, bio_logits_RC) = apply(
        Model(config),
        params,
        state.carry_RD,
        token_R,
        state.outputs_RSD,
        state.keys_RSD,
        state.length_R,
        method=Model.write,
    )
    if bio_logits_RC is None:
        certain_1C = jnp.where(jnp.arange(bio.NUM_LABELS) == bio.O, 0.0, -jnp.inf)[None]
        bio_logits_RC = jnp.broadcast_to(certain_1C, (len(token_R), bio.NUM_LABELS))
    state = state.replace(carry_RD=carry_RD, attended_R=weight_RS.argmax(-1))
    return logits_RV, bio_logits_RC, state


def attended(state: DecodeState) -> jax.Array:
    """The source word with the highest attention at the last step; the first of equals."""
    return state.attended_R


def take_rows(state: DecodeState, index_B: jax.Array) -> DecodeState:
    """The state of chosen examples, all their beams included; for a batch that shrinks."""
    row_BW = index_B[:, None] * state.num_beams + jnp.arange(state.num_beams)[None]
    return jax.tree.map(lambda x: x[row_BW.reshape(-1)], state)


def grow(state: DecodeState, num_steps: int) -> DecodeState:
    """The same state: it has room for any number of steps."""
    del num_steps
    return state


def reorder_beams(state: DecodeState, origin_BW: jax.Array) -> DecodeState:
    """Every beam goes on from the beam of its example that `origin_BW` (0 to W-1) names."""
    batch, num_beams = origin_BW.shape
    row_R = (jnp.arange(batch)[:, None] * num_beams + origin_BW).reshape(-1)
    # What was read of the sentence is the same for all its beams.
    carry_RD, attended_R = jax.tree.map(lambda x: x[row_R], (state.carry_RD, state.attended_R))
    return state.replace(carry_RD=carry_RD, attended_R=attended_R)

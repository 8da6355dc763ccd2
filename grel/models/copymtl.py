"""CopyMTL: CopyRE with a copy score that can rank, and a tagger that gives entities their length.

Source: Zeng, Zhang and Liu (2020), "CopyMTL: Copy Mechanism for Joint Extraction of Entities and
Relations with Multi-Task Learning", and its two programs. What differs from models/copyre.py:
the two directions of the encoder are averaged, and in a step

    beta_i   = [o_i; q] w + b
    y, state = LSTM([v; context] W + b, state)
    relation = [y W_r + b_r; stop]               stop = y w_n + b_n
    position = [selu(selu([o_i; y]) W_f + b_f) w_o + b_o; stop]

A head's position is open to the tail. Several decoders share all weights but the cells, and the
first input of each is what the one before it chose last. A conditional random field tags the words
by B, I and O; a copied word is the last of an entity, which goes on to the left over I. The loss is
the sum over a sentence's choices, and `crf_weight` times the tags' negative log-likelihood.

With `quirks="authors"` softmaxes run over padding, though it can't be chosen; the first of several
decoders starts from half of the encoder's state; a name takes in the O before an I.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from grel.decoding.pointers import Found
from grel.models import choices, copyre, losses
from grel.models.choices import STOP, Choices, Joined, Scores, Source, weighted
from grel.models.crf import CRF
from grel.models.dropout import apply
from grel.models.recurrent import LSTM, Carry, torch_dense, uniform
from grel.text import bio


@dataclasses.dataclass(frozen=True)
class Config(copyre.Config):
    """CopyRE's and two more.

    Attributes:
        copy_features: width of the layer within the copy score.
        crf_weight: of the tagger's loss.
    """

    copy_features: int = 100
    crf_weight: float = 1.0


class Batch(copyre.Batch):
    """CopyRE's, and `tags_BS`: B, I and O of the words (text/bio.py)."""

    tags_BS: np.ndarray


class Decoder(choices.Decoder):
    """A step's equations."""

    own = ("cell",)
    starts_again = False
    hides_head = False

    def setup(self):
        c = self.config
        widths = (c.features, c.features)
        drawn = uniform(1 / math.sqrt(sum(widths)))
        self.attention = Joined(1, widths, drawn, drawn)
        self.combine = torch_dense(c.word_features + c.features, c.word_features)
        self.cell = LSTM(c.features, "torch")
        self.relation = torch_dense(c.features, c.num_relations)
        self.stop = torch_dense(c.features, 1)
        self.fuse = Joined(c.copy_features, widths, drawn, drawn)
        # `Module` has a method `copy`.
        self.copying = torch_dense(c.copy_features, 1, name="copy")

    def keys(self, outputs_BSD: jax.Array) -> Any:
        return self.attention.keys(outputs_BSD), self.fuse.keys(nn.selu(outputs_BSD))

    def context(self, state: Carry, source: Source, keys: Any) -> jax.Array:
        _, h_BD = state
        return weighted(self.attention(keys[0], h_BD), source)

    def scores(self, output_BD: jax.Array, keys: Any) -> Scores:
        fused_BSX = nn.selu(self.fuse(keys[1], nn.selu(output_BD)))
        copy_BS = self.copying(fused_BSX)[..., 0]
        return Scores(self.relation(output_BD), copy_BS, self.stop(output_BD))


class Tagger(nn.Module):
    """A conditional random field over a linear map of the encoder's outputs."""

    features: int

    def setup(self):
        self.emission = torch_dense(self.features, bio.NUM_LABELS)
        self.crf = CRF(bio.NUM_LABELS)

    def __call__(
        self, outputs_BSD: jax.Array, tags_BS: jax.Array, length_B: jax.Array
    ) -> jax.Array:
        """Log probability of these tags: log_likelihood_B."""
        return self.crf.log_likelihood(self.emission(outputs_BSD), tags_BS, length_B)

    def tag(self, outputs_BSD: jax.Array, length_B: jax.Array) -> jax.Array:
        """The likeliest tags_BS."""
        return self.crf.viterbi(self.emission(outputs_BSD), length_B)


def _encoder(config: Config) -> copyre.Encoder:
    normal = nn.initializers.normal(1.0)
    return copyre.Encoder(
        config,
        cells="torch",
        word_init=normal,
        row_init=normal,
        is_averaged=True,
        padding_is_read=False,
    )


@functools.partial(jax.jit, static_argnums=0)
def init(config: Config, key: jax.Array) -> Any:
    """Fresh parameters, drawn as the published program does."""
    key, tagger_key = jax.random.split(key)
    one = jnp.ones((1,), jnp.int32)
    outputs_BSD = jnp.zeros((1, 1, config.features))
    tagger = Tagger(config.features).init(tagger_key, outputs_BSD, one[:, None], one)
    params = choices.init(_encoder(config), Decoder(config), key)
    return params | {"tagger": tagger["params"]}


def loss(
    config: Config,
    params: Any,
    batch: Batch,
    mask_key: jax.Array,
    dropout_key: jax.Array | None = None,
) -> losses.Sums:
    """Mean over sentences of their choices' cross entropy and the tagger's loss, and the parts.

    Nothing is masked or dropped out.
    """
    del mask_key, dropout_key
    source: Source = apply(_encoder(config), params["encoder"], batch.words_BS, batch.length_B)
    chosen = choices.decode(Decoder(config), params, source, batch.gold_BN3)
    sums = copyre.sums(batch, chosen.choice_BN3, chosen.log_prob_BN3)
    log_likelihood_B = apply(
        Tagger(config.features), params["tagger"], source.outputs_BSD, batch.tags_BS, batch.length_B
    )
    decoder, crf = sums["loss"][0], -log_likelihood_B.sum()
    num = (batch.length_B > 0).sum().astype(jnp.float32)
    return sums | {
        "loss": (decoder + config.crf_weight * crf, num),
        "decoder_loss": (decoder, num),
        "crf_loss": (crf, num),
    }


class Extracted(NamedTuple):
    """`Choices`, and the likeliest tags of the words."""

    choice_BN3: jax.Array
    log_prob_BN3: jax.Array
    tags_BS: jax.Array


def extract(config: Config, params: Any, words_BS: jax.Array, length_B: jax.Array) -> Extracted:
    """What is chosen for some sentences, with the log probability of each choice, and tags."""
    source: Source = apply(_encoder(config), params["encoder"], words_BS, length_B)
    chosen = choices.decode(Decoder(config), params, source)
    tagger = Tagger(config.features)
    tags_BS = apply(tagger, params["tagger"], source.outputs_BSD, length_B, method=Tagger.tag)
    return Extracted(*chosen, tags_BS)


def read(config: Config, row: Extracted, length: int) -> list[Found]:
    """The triples of one row of `extract` before the first relation that is a stop.

    Those without both entities are left out, and so are duplicates.
    """
    tags = np.asarray(row.tags_BS)[:length].tolist()
    found = []
    for relation, head, tail, probability in choices.triples(Choices(*row[:2])):
        if relation == STOP:
            break
        if STOP not in (head, tail):
            spans = [entity(tags, last, config.quirks) for last in (head, tail)]
            found.append(Found(spans[0], spans[1], relation, probability))
    return choices.unique(found)


def entity(tags: list[int], last: int, quirks: str = "paper") -> tuple[int, int]:
    """The span of the entity that ends with this word; it goes on to the left of I.

    That is a B or another I. With the authors' quirk it may be an O, where the entity ends then.

    Example: of words tagged O B I I B the span that ends with the fourth is (1, 4).
    """
    first = last
    while first > 0 and tags[first] == bio.I and (quirks == "authors" or tags[first - 1] != bio.O):
        first -= 1
    return first, last + 1

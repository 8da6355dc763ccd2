"""BERT with UniLM's attention mask and two heads: the token to write and its BIO copy label.

The token head scores the vocabulary, as the paper has it, or only the places that a token can be
taken from (models/pointer.py).

One post-layer-norm stack reads the source and writes the target. Training runs it over the packed
pair; decoding (models/bert_decoding.py) runs the same layers over one step's tokens, so there is
one implementation of a layer and not two that have to agree.
Source: paper section 3.3, UniLM (Dong et al. 2019); METHOD sections 4 and 5.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from grel.data.pipeline import Batch
from grel.models import losses, pointer, products
from grel.models.attention import Keys, attend, distance_buckets, seq2seq_mask, twin_mask
from grel.models.cache import KeysAndValues
from grel.models.dropout import Dropout, apply
from grel.text import bio

HEADS = ("vocabulary", "pointer")

SIZES = {
    "tiny": {"num_layers": 2, "hidden_size": 128, "num_heads": 2, "ff_size": 512},
    "mini": {"num_layers": 4, "hidden_size": 256, "num_heads": 4, "ff_size": 1024},
    "small": {"num_layers": 6, "hidden_size": 384, "num_heads": 12, "ff_size": 1536},
    "base": {"num_layers": 12, "hidden_size": 768, "num_heads": 12, "ff_size": 3072},
    "large": {"num_layers": 24, "hidden_size": 1024, "num_heads": 16, "ff_size": 4096},
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Shape and behavior of the model.

    Attributes:
        vocab_size, num_layers, hidden_size, num_heads, ff_size, max_positions: as in BERT.
        num_segments, source_segment, target_segment: UniLM checkpoints have a table of 6 and use
            4 and 5; plain BERT has 2 and uses 0 and 1.
        dropout: on embeddings and on what layers add; attention_dropout: on attention weights.
        layer_norm_eps: 1e-12 for BERT, 1e-5 for UniLM and MPNet.
        dtype: of the computation; parameters are always float32.
        init_stddev: of fresh kernels and embeddings.
        half_products: round to bfloat16 what dense layers and the vocabulary's head multiply.
        scan_layers: compile one layer, run over all layers' parameters; else each by itself, which
            takes longer to compile, and a CPU less time to run.
        remat: recompute each layer in the backward pass, for memory; layers are scanned then.
        head: "vocabulary" (paper), or "pointer", which scores only what can be written.
        writable_ids: what a pointer can write beside the tokens of the source.
        objective: "mlm" (paper), "causal" (Su 2021) or "pseudo" (UniLM v2); METHOD section 5.
        mask_id: of [MASK]; sep_id: of [SEP], from which the target starts.
        source_mask_rate, target_mask_rate: of maskable positions, for "mlm".
        alpha: weight of the token loss against the label loss.
        label_smoothing: share of a target token's mass that is spread over all tokens.
        num_marks: of a memory (`text.known`), which tokens of the source may have; 0 is none.
        relative_buckets: of distances between tokens, by which heads attend beside what they see,
            as MPNet and UniLM v2 do; 0 is none, which BERT has.
    """

    vocab_size: int
    num_layers: int
    hidden_size: int
    num_heads: int
    ff_size: int
    mask_id: int
    sep_id: int
    max_positions: int = 512
    num_segments: int = 2
    source_segment: int = 0
    target_segment: int = 1
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    dtype: str = "float32"
    half_products: bool = False
    scan_layers: bool = True
    remat: bool = False
    init_stddev: float = 0.02
    head: str = "vocabulary"
    writable_ids: tuple[int, ...] = ()
    objective: str = "mlm"
    source_mask_rate: float = 0.15
    target_mask_rate: float = 0.15
    alpha: float = 0.1
    label_smoothing: float = 0.0
    num_marks: int = 0
    relative_buckets: int = 0

    def __post_init__(self):
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide over {self.num_heads} heads"
            )
        if self.objective not in losses.OBJECTIVES:
            raise ValueError(f"objective is {self.objective!r}; one of {list(losses.OBJECTIVES)}")
        if self.head not in HEADS:
            raise ValueError(f"head is {self.head!r}; one of {list(HEADS)}")
        if self.head == "pointer" and self.sep_id not in self.writable_ids:
            raise ValueError("a pointer must be able to write the end, sep_id; see writable_ids")
        if max(self.source_segment, self.target_segment) >= self.num_segments:
            raise ValueError(
                f"segments {self.source_segment} and {self.target_segment} do not fit a table of "
                f"{self.num_segments} rows"
            )


def _dense(
    config: Config, features: int | tuple[int, ...], axis: int | tuple[int, ...] = -1
) -> nn.Module:
    return nn.DenseGeneral(
        features,
        axis=axis,
        dtype=config.dtype,
        dot_general=products.dot_general(config.half_products),
        kernel_init=nn.initializers.truncated_normal(config.init_stddev),
    )


class LayerNorm(nn.Module):
    """Layer norm computed in float32, whatever the compute dtype."""

    config: Config

    @nn.compact
    def __call__(self, x):
        norm = nn.LayerNorm(epsilon=self.config.layer_norm_eps, dtype=jnp.float32, name="norm")
        return norm(x).astype(self.config.dtype)


class Layer(nn.Module):
    """One post-LN transformer layer.

    Called, it runs over positions that see each other, as a step of a scan, which gives hidden
    states and nothing beside; a decoder, which keeps keys and values, asks for these and then for
    the output.
    """

    config: Config

    def setup(self):
        c = self.config
        heads = (c.num_heads, c.hidden_size // c.num_heads)
        self.query, self.key, self.value = (_dense(c, heads) for _ in range(3))
        self.attention_out = _dense(c, c.hidden_size, axis=(-2, -1))
        self.attention_norm = LayerNorm(c)
        self.ff_in = _dense(c, c.ff_size)
        self.ff_out = _dense(c, c.hidden_size)
        self.ff_norm = LayerNorm(c)
        self.dropout = Dropout(c.dropout)

    def keys_and_values(self, hidden_BQD: jax.Array) -> KeysAndValues:
        """What these positions let others attend to: (key_BHQK, value_BHQK)."""
        return self.key(hidden_BQD).swapaxes(1, 2), self.value(hidden_BQD).swapaxes(1, 2)

    def output(
        self, hidden_BQD: jax.Array, seen: Sequence[Keys], row_B: jax.Array | None = None
    ) -> jax.Array:
        """The new hidden states of positions that see these keys; `row_B` is for dropout."""
        c = self.config
        training = bool(c.attention_dropout) and self.has_rng("dropout")
        context_BHQK = attend(
            self.query(hidden_BQD).swapaxes(1, 2),
            seen,
            dropout_rate=c.attention_dropout,
            dropout_key=self.make_rng("dropout") if training else None,
            row_B=row_B,
        )
        added_BQD = self.attention_out(context_BHQK.swapaxes(1, 2))
        hidden_BQD = self.attention_norm(hidden_BQD + self.dropout(added_BQD, row_B))
        inner_BQF = products.gelu(self.ff_in(hidden_BQD))
        return self.ff_norm(hidden_BQD + self.dropout(self.ff_out(inner_BQF), row_B))

    def __call__(self, hidden_BQD, allow_BQQ, bias_BHQQ, row_B):
        own = self.keys_and_values(hidden_BQD)
        return self.output(hidden_BQD, [Keys(*own, allow_BQQ, bias_BHQQ)], row_B), None


class Model(nn.Module):
    """The encoder stack and its two heads.

    Parameters are laid out for foreign checkpoints: one table each for words, positions and
    segments, layers stacked on a leading axis N, and a token head tied to the word table.
    """

    config: Config

    def setup(self):
        c = self.config

        def table(rows):
            return nn.Embed(
                rows,
                c.hidden_size,
                embedding_init=nn.initializers.truncated_normal(c.init_stddev),
                dtype=c.dtype,
            )

        self.words = table(c.vocab_size)
        self.positions = table(c.max_positions)
        self.segments = table(c.num_segments)
        if c.num_marks:
            self.marks = table(c.num_marks)
        if c.relative_buckets:
            self.distances = nn.Embed(
                c.relative_buckets,
                c.num_heads,
                embedding_init=nn.initializers.truncated_normal(c.init_stddev),
            )
        self.embedding_norm = LayerNorm(c)
        self.embedding_dropout = Dropout(c.dropout)
        self.transform = _dense(c, c.hidden_size)
        self.transform_norm = LayerNorm(c)
        self.token_bias = self.param("token_bias", nn.initializers.zeros, (c.vocab_size,))
        self.bio = _dense(c, bio.NUM_LABELS)
        if c.head == "pointer":
            self.pointer_query = _dense(c, c.hidden_size)
            self.pointer_key = _dense(c, c.hidden_size)
        layer = nn.remat(Layer, prevent_cse=False) if c.remat else Layer
        self.layers = nn.scan(
            layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,
            length=c.num_layers,
            # Without a loop around them, XLA takes what is recomputed for what is there already.
            unroll=1 if c.scan_layers or c.remat else c.num_layers,
        )(c)

    def embed(
        self,
        tokens_BQ: jax.Array,
        positions_BQ: jax.Array,
        segments_BQ: jax.Array,
        row_B: jax.Array | None = None,
        marks_BQZ: jax.Array | None = None,
    ) -> jax.Array:
        """What the first layer is given: hidden_BQD; `row_B` is for dropout."""
        embedded_BQD = (
            self.words(tokens_BQ) + self.positions(positions_BQ) + self.segments(segments_BQ)
        )
        if marks_BQZ is not None:
            embedded_BQD += self._marked(marks_BQZ)
        hidden_BQD = self.embedding_dropout(self.embedding_norm(embedded_BQD), row_B)
        return hidden_BQD.astype(self.config.dtype)

    def _marked(self, marks_BQZ: jax.Array) -> jax.Array:
        """The sum of the vectors of each token's marks."""
        bits = jnp.unpackbits(marks_BQZ.astype(jnp.uint8), axis=-1, count=self.config.num_marks)
        return bits.astype(self.config.dtype) @ self.marks.embedding.astype(self.config.dtype)

    def distance_bias(self, from_BQ: jax.Array, to_BM: jax.Array) -> jax.Array | None:
        """What heads add to their scores by the distance from query to key, or None: bias_BHQM."""
        if not self.config.relative_buckets:
            return None
        bucket_BQM = distance_buckets(from_BQ, to_BM, self.config.relative_buckets)
        bias_BHQM = jnp.moveaxis(self.distances(bucket_BQM), -1, 1)
        return bias_BHQM.astype(self.config.dtype)

    def stack(
        self,
        tokens_BQ: jax.Array,
        positions_BQ: jax.Array,
        segments_BQ: jax.Array,
        allow_BQQ: jax.Array,
        row_B: jax.Array | None = None,
        marks_BQZ: jax.Array | None = None,
    ) -> jax.Array:
        """Runs the stack over some positions: hidden_BQD.

        Args:
            tokens_BQ, positions_BQ, segments_BQ: the inputs; positions may have one row for all.
            allow_BQQ: which of these positions may attend to which.
            row_B: numbers of the rows in the global batch, which dropout goes by.
            marks_BQZ: of the memory, where the model has one.
        """
        hidden_BQD = self.embed(tokens_BQ, positions_BQ, segments_BQ, row_B, marks_BQZ)
        bias_BHQQ = self.distance_bias(positions_BQ, positions_BQ)
        hidden_BQD, _ = self.layers(hidden_BQD, allow_BQQ, bias_BHQQ, row_B)
        return hidden_BQD

    def places(
        self, tokens_BS: jax.Array, source_length_B: jax.Array, hidden_BSD: jax.Array
    ) -> pointer.Places:
        """What the pointer sees of a source that was read, whatever stands behind it."""
        inside_BS = pointer.inside(source_length_B, tokens_BS.shape[1])
        return pointer.Places(
            self.pointer_key(hidden_BSD),
            self.words(tokens_BS),
            jnp.where(inside_BS, self.token_bias[tokens_BS], -jnp.inf),
        )

    def heads(
        self, hidden_BPD: jax.Array, places: pointer.Places | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Token logits and bio_logits_BPC of some hidden states, both float32.

        Tokens are the vocabulary's, token_logits_BPV, or where there are `places`, as the head
        points, those of the places and the writable ones, token_logits_BPX.
        """
        c = self.config
        transformed_BPD = products.gelu(self.transform(hidden_BPD))
        transformed_BPD = self.transform_norm(transformed_BPD)
        bio_logits_BPC = self.bio(hidden_BPD).astype(jnp.float32)
        if places is not None:
            writable_E = jnp.array(c.writable_ids)
            token_logits_BPX = pointer.logits(
                self.pointer_query(hidden_BPD) * c.hidden_size**-0.5,
                transformed_BPD,
                places,
                self.words(writable_E),
                self.token_bias[writable_E],
            )
            return token_logits_BPX, bio_logits_BPC
        word_VD = self.words.embedding.astype(c.dtype)
        token_logits_BPV = products.product(
            transformed_BPD, word_VD, c.half_products, transposed=True
        )
        return token_logits_BPV.astype(jnp.float32) + self.token_bias[None, None], bio_logits_BPC

    def packed(
        self,
        tokens_BL: jax.Array,
        source_length_B: jax.Array,
        length_B: jax.Array,
        num_twins: int = 0,
        row_B: jax.Array | None = None,
        marks_BLZ: jax.Array | None = None,
    ) -> jax.Array:
        """Hidden states of packed pairs under the sequence-to-sequence mask: hidden_BLD.

        With twins of the target's positions, which are fed [MASK], their states come behind.
        `row_B` is for dropout.
        """
        c = self.config
        length = tokens_BL.shape[1]
        place_1L = jnp.arange(length)[None]
        in_source_BL = place_1L < source_length_B[:, None]
        segments_BL = jnp.where(in_source_BL, c.source_segment, c.target_segment)
        if not num_twins:
            allow_BLL = seq2seq_mask(source_length_B, length_B, length)
            return self.stack(tokens_BL, place_1L, segments_BL, allow_BLL, row_B, marks_BLZ)
        if marks_BLZ is not None:
            marks_BLZ = jnp.pad(marks_BLZ, ((0, 0), (0, num_twins), (0, 0)))
        # Twins of padding stand anywhere.
        twin_BP = jnp.minimum(source_length_B[:, None] + jnp.arange(num_twins)[None], length - 1)
        return self.stack(
            jnp.pad(tokens_BL, ((0, 0), (0, num_twins)), constant_values=c.mask_id),
            jnp.concatenate([jnp.broadcast_to(place_1L, tokens_BL.shape), twin_BP], axis=1),
            jnp.pad(segments_BL, ((0, 0), (0, num_twins)), constant_values=c.target_segment),
            twin_mask(source_length_B, length_B, length, num_twins),
            row_B,
            marks_BLZ,
        )

    def __call__(self, tokens_BL, source_length_B, length_B):
        """Both heads at every position; what initialization traces."""
        marks_BLZ = None
        if self.config.num_marks:
            none_BLM = jnp.zeros((*tokens_BL.shape, self.config.num_marks), bool)
            marks_BLZ = jnp.packbits(none_BLM, axis=-1)
        hidden_BLD = self.packed(tokens_BL, source_length_B, length_B, marks_BLZ=marks_BLZ)
        if self.config.head == "vocabulary":
            return self.heads(hidden_BLD)
        return self.heads(hidden_BLD, self.places(tokens_BL, source_length_B, hidden_BLD))


@functools.partial(jax.jit, static_argnums=0)
def init(config: Config, key: jax.Array) -> Any:
    """Fresh parameters, as BERT initializes them."""
    one = jnp.ones((1,), jnp.int32)
    return Model(config).init(key, one[:, None], one, one)["params"]


def supervised(
    config: Config, batch: Batch, mask_key: jax.Array
) -> tuple[jax.Array, losses.Targets, int]:
    """What an objective makes of a batch: the tokens to read, the targets, and twins of a row."""
    tokens_BL = jnp.asarray(batch.tokens_BL)
    if config.objective == "mlm":
        tokens_BL, targets = losses.mask_tokens(
            mask_key,
            batch,
            source_rate=config.source_mask_rate,
            target_rate=config.target_mask_rate,
            mask_id=config.mask_id,
            vocab=config.vocab_size,
        )
        return tokens_BL, targets, 0
    if config.objective == "pseudo":
        return tokens_BL, losses.twin_tokens(batch), batch.num_targets
    return tokens_BL, losses.next_tokens(batch), 0


def loss(
    config: Config,
    params: Any,
    batch: Batch,
    mask_key: jax.Array,
    dropout_key: jax.Array | None = None,
) -> losses.Sums:
    """Sums and counts of METHOD section 5's loss over a batch; dropout where it has a key."""
    model = functools.partial(apply, Model(config), params)
    tokens_BL, targets, num_twins = supervised(config, batch, mask_key)
    hidden_BLD = model(
        tokens_BL,
        batch.source_length_B,
        batch.length_B,
        num_twins,
        batch.row_B,
        batch.marks_BLZ,
        method=Model.packed,
        dropout_key=dropout_key,
    )
    # Only positions that carry a loss reach the head, which is most of a small model's cost.
    hidden_BPD = jnp.take_along_axis(hidden_BLD, targets.position_BP[..., None], axis=1)
    smoothing = config.label_smoothing if dropout_key is not None else 0.0
    if config.head == "vocabulary":
        logits_BPV, bio_logits_BPC = model(hidden_BPD, method=Model.heads)
        scores = losses.vocabulary_scores(logits_BPV, targets.token_BP, smoothing)
        return losses.sums(scores, bio_logits_BPC, targets, config.alpha)
    places = model(
        batch.tokens_BL,
        batch.source_length_B,
        hidden_BLD[:, : tokens_BL.shape[1]],
        method=Model.places,
    )
    logits_BPX, bio_logits_BPC = model(hidden_BPD, places, method=Model.heads)
    writable_BE = jnp.broadcast_to(
        jnp.array(config.writable_ids), (len(tokens_BL), len(config.writable_ids))
    )
    ids_BX = jnp.concatenate([batch.tokens_BL, writable_BE], axis=1)
    scores = losses.place_scores(logits_BPX, ids_BX, targets.token_BP, smoothing)
    # A hidden token of the source could be read off its own place.
    return losses.sums(scores, bio_logits_BPC, targets, config.alpha, targets.written_BP(batch))

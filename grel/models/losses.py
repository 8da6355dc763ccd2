"""Training targets and the two-headed loss, the same for every family that writes tokens.

A loss is a set of (sum, count) pairs and never a mean: sums and counts are added over slices,
devices and processes and divided once, so that uneven masks do not weigh examples differently.
Source: paper section 3.4; METHOD section 5.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from grel.data.pipeline import Batch

OBJECTIVES = ("mlm", "causal")

Sums = dict[str, tuple[jax.Array, jax.Array]]


class Targets(NamedTuple):
    """What is to be predicted where.

    Attributes:
        position_BP: positions of the packed row whose hidden state predicts.
        token_BP, label_BP: what it should predict.
        counts_BP: whether this entry counts.
        num_overflow: targets for which P had no room; lost to training, so it is reported.
    """

    position_BP: jax.Array
    token_BP: jax.Array
    label_BP: jax.Array
    counts_BP: jax.Array
    num_overflow: jax.Array


def maskable(batch: Batch) -> jax.Array:
    """Positions that may be masked: S1, S2 and the final [SEP]; maskable_BL."""
    place_1L = jnp.arange(batch.tokens_BL.shape[1])[None]
    source_B1, length_B1 = batch.source_length_B[:, None], batch.length_B[:, None]
    return (place_1L > 0) & (place_1L != source_B1 - 1) & (place_1L < length_B1)


def mask_tokens(
    key: jax.Array, batch: Batch, *, rate: float, mask_id: int, vocab: int
) -> tuple[jax.Array, Targets]:
    """Hides `rate` of each row's maskable positions (rounded, at least one): the "mlm" objective.

    Of the hidden ones 80 % become [MASK], 10 % a random token, 10 % stay. What is random in a row
    comes from `key` and the row's number in the global batch, so it does not depend on how the
    batch is spread over devices. Returns the tokens as the model sees them, and the targets.
    """
    length = batch.tokens_BL.shape[1]
    # Python rounds halves to even as jnp does, so no row can need more than this.
    num_predict = max(1, round(rate * length))

    def mask_row(row, maskable_L, token_L):
        choice_key, fate_key, token_key = jax.random.split(jax.random.fold_in(key, row), 3)
        order_L = jnp.where(maskable_L, jax.random.uniform(choice_key, (length,)), -1.0)
        _, position_P = jax.lax.top_k(order_L, num_predict)
        num_maskable = maskable_L.sum()
        wanted = jnp.where(
            num_maskable > 0, jnp.maximum(1, jnp.round(rate * num_maskable).astype(jnp.int32)), 0
        )
        counts_P = jnp.arange(num_predict) < wanted
        fate_P = jax.random.uniform(fate_key, (num_predict,))
        random_P = jax.random.randint(token_key, (num_predict,), 0, vocab)
        true_P = token_L[position_P]
        seen_P = jnp.where(fate_P < 0.8, mask_id, jnp.where(fate_P < 0.9, random_P, true_P))
        hidden_L = token_L.at[position_P].set(jnp.where(counts_P, seen_P, true_P))
        return hidden_L, position_P, counts_P, jnp.maximum(wanted - num_predict, 0)

    tokens_BL, position_BP, counts_BP, overflow_B = jax.vmap(mask_row)(
        batch.row_B, maskable(batch), batch.tokens_BL
    )
    return tokens_BL, _targets(batch, position_BP, position_BP, counts_BP, overflow_B.sum())


def next_tokens(batch: Batch) -> Targets:
    """Each position from the first [SEP] on predicts the next one: the "causal" objective."""
    place_1P = jnp.arange(batch.num_targets)[None]
    wanted_B = batch.length_B - batch.source_length_B
    position_BP = jnp.maximum(batch.source_length_B[:, None] - 1 + place_1P, 0)
    position_BP = jnp.minimum(position_BP, batch.tokens_BL.shape[1] - 2)
    counts_BP = place_1P < wanted_B[:, None]
    overflow = jnp.maximum(wanted_B - batch.num_targets, 0).sum()
    return _targets(batch, position_BP, position_BP + 1, counts_BP, overflow)


def _targets(batch, position_BP, target_position_BP, counts_BP, num_overflow) -> Targets:
    token_BP, label_BP = (
        jnp.take_along_axis(values_BL, target_position_BP, axis=1)
        for values_BL in (batch.tokens_BL, batch.labels_BL)
    )
    return Targets(position_BP, token_BP, label_BP, counts_BP, num_overflow)


def sums(
    token_logits_BPV: jax.Array, bio_logits_BPC: jax.Array, targets: Targets, alpha: float
) -> Sums:
    """`alpha * CE_token + (1 - alpha) * CE_bio` and its parts, as (sum, count) over what counts."""
    counts_BP = targets.counts_BP
    num = counts_BP.sum().astype(jnp.float32)

    def total(value_BP):
        return jnp.where(counts_BP, value_BP, 0).sum()

    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    token_loss = total(cross_entropy(token_logits_BPV, targets.token_BP))
    bio_loss = total(cross_entropy(bio_logits_BPC, targets.label_BP))
    token_right = total(token_logits_BPV.argmax(-1) == targets.token_BP)
    bio_right = total(bio_logits_BPC.argmax(-1) == targets.label_BP)
    return {
        "loss": (alpha * token_loss + (1 - alpha) * bio_loss, num),
        "token_loss": (token_loss, num),
        "bio_loss": (bio_loss, num),
        "token_accuracy": (token_right, num),
        "bio_accuracy": (bio_right, num),
        "overflow": (targets.num_overflow, num),
    }

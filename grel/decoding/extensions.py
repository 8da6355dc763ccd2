"""All ways on from what beams have written: labels, tokens, and their log-probabilities."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from grel.decoding import copying
from grel.text.bio import NUM_LABELS


def extensions(
    token_logits: jax.Array,
    scores: copying.Scores,
    bio_logits_RC: jax.Array,
    masks: copying.CopyMasks,
    copied: copying.CopyState,
    rules: copying.Rules,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """All ways on from each row: L labels, their scores, and log p(token) under each.

    With the likeliest label L is 1 and its score 0. A token or label that may not come next has
    -inf. Tokens (Y) go by id, or where the model points by place, each at the first it stands at.

    Returns label_RL, label_score_RL, log_prob_RLY.
    """
    if rules.label == "argmax":
        label_RL = copying.choose_label(bio_logits_RC, masks, copied, rules)[:, None]
        label_score_RL = jnp.zeros(label_RL.shape)
    else:
        label_RL = jnp.broadcast_to(jnp.arange(NUM_LABELS)[None], bio_logits_RC.shape)
        label_score_RL = _written_label_scores(bio_logits_RC, masks, copied, rules)
    log_prob_RLY = jnp.stack(
        [
            _token_log_probs(token_logits, scores, masks, copied, label_R, rules)
            for label_R in label_RL.T
        ],
        axis=1,
    )
    return label_RL, label_score_RL, log_prob_RLY


def _written_label_scores(
    bio_logits_RC: jax.Array,
    masks: copying.CopyMasks,
    copied: copying.CopyState,
    rules: copying.Rules,
) -> jax.Array:
    """log p of the label that the model means by a written one, the likeliest if by several."""
    feasible_RC = copying.feasible_labels(masks, copied, rules)
    log_prob_RC = jnp.where(feasible_RC, jax.nn.log_softmax(bio_logits_RC), -jnp.inf)
    written_RC = jnp.stack(
        [
            copying.final_label(jnp.full_like(copied.label_B, label), masks, copied, rules)
            for label in range(NUM_LABELS)
        ],
        axis=-1,
    )
    means_RCC = written_RC[:, None, :] == jnp.arange(NUM_LABELS)[None, :, None]
    return jnp.where(means_RCC, log_prob_RC[:, None, :], -jnp.inf).max(-1)


def _token_log_probs(
    token_logits: jax.Array,
    scores: copying.Scores,
    masks: copying.CopyMasks,
    copied: copying.CopyState,
    label_R: jax.Array,
    rules: copying.Rules,
) -> jax.Array:
    """log p of every token as `rules.scores` has it; -inf for those that the label forbids."""
    allow = copying.allowed(masks, copied, label_R, rules)
    norm_R1 = copying.token_norm(scores, masks, allow, rules)[:, None]
    free_R1 = allow.free_B[:, None]
    if rules.head == "pointer":
        everywhere_RX = jnp.ones_like(allow.place_BX)
        allow_RX = copying.distinct(masks, allow.place_BX | free_R1 & everywhere_RX)
        return jnp.where(allow_RX, scores.logit_BX - norm_R1, -jnp.inf)
    row_R1 = jnp.arange(len(token_logits))[:, None]
    allow_RV = jnp.zeros(token_logits.shape, bool).at[row_R1, masks.ids_BX].max(allow.place_BX)
    return jnp.where(allow_RV | free_R1, token_logits - norm_R1, -jnp.inf)

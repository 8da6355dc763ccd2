"""Greedy search under the copy mechanism: label first, then the token that the label allows.

The loop is a scan over a few steps inside a `while_loop` that asks in between whether every row has
ended: asking costs a round trip on accelerators, running to the maximum length costs far more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from grel.bio import O
from grel.decoding import copying

STEPS_PER_CHECK = 8

# (state, token_B) -> (token_logits_BV, bio_logits_BC, state)
StepFn = Callable[[Any, jax.Array], tuple[jax.Array, jax.Array, Any]]


@flax.struct.dataclass
class Generated:
    """What was written, T tokens a row.

    Attributes:
        tokens_BT: ids; the end token from where a row has ended.
        labels_BT: the labels that were predicted with them.
        log_prob_BT: log-probability of each token under the model's unmasked distribution.
        length_B: tokens before the end token; T where a row did not end.
    """

    tokens_BT: jax.Array
    labels_BT: jax.Array
    log_prob_BT: jax.Array
    length_B: jax.Array


def num_steps_for(num_tokens: int) -> int:
    """Steps that a search of at most `num_tokens` tokens and the end token makes room for."""
    return -(-(num_tokens + 1) // STEPS_PER_CHECK) * STEPS_PER_CHECK


def search(
    step_fn: StepFn,
    state: Any,
    masks: copying.CopyMasks,
    *,
    num_steps: int,
    start_id: int,
    end_id: int,
    mode: str,
) -> Generated:
    """Writes up to `num_steps` tokens (a multiple of STEPS_PER_CHECK) for each row.

    Rows without a source, which fill up a batch, are ended from the start.

    Args:
        step_fn: the model: feeds a token, predicts the next one and its label.
        state: its state before the first token.
        masks: the copy masks of the sources.
        start_id: the first token to feed; end_id: the token that ends a row.
        mode: a name in `copying.MODES`.

    Raises ValueError on any other `num_steps`.
    """
    if num_steps % STEPS_PER_CHECK:
        raise ValueError(f"num_steps is {num_steps}; it must be a multiple of {STEPS_PER_CHECK}")
    num_rows = len(masks.source_BS)

    def step(carry, _):
        state, copied, token_B, ended_B = carry
        token_logits_BV, bio_logits_BC, state = step_fn(state, token_B)
        label_B = copying.choose_label(bio_logits_BC, masks, copied, mode)
        allow_BS = copying.allowed_positions(masks, copied, label_B, mode)
        token_B = copying.choose_token(token_logits_BV, masks, allow_BS)
        token_B = jnp.where(ended_B, end_id, token_B)
        log_prob_B = jnp.take_along_axis(token_logits_BV, token_B[:, None], axis=-1)[
            :, 0
        ] - jax.nn.logsumexp(token_logits_BV, axis=-1)
        copied = copying.advance(masks, copied, token_B, label_B)
        written = (token_B, jnp.where(ended_B, O, label_B), jnp.where(ended_B, 0.0, log_prob_B))
        return (state, copied, token_B, token_B == end_id), written

    def some_steps(loop):
        carry, written, num_done = loop
        carry, new = jax.lax.scan(step, carry, length=STEPS_PER_CHECK)
        written = jax.tree.map(
            lambda all_TB, new_TB: jax.lax.dynamic_update_slice_in_dim(
                all_TB, new_TB.astype(all_TB.dtype), num_done, axis=0
            ),
            written,
            new,
        )
        return carry, written, num_done + STEPS_PER_CHECK

    def goes_on(loop):
        (_, _, _, ended_B), _, num_done = loop
        return (num_done < num_steps) & ~ended_B.all()

    carry = (
        state,
        copying.init_copy(masks),
        jnp.full(num_rows, start_id),
        ~masks.inside_BS.any(-1),
    )
    written = (
        jnp.full((num_steps, num_rows), end_id),
        jnp.full((num_steps, num_rows), O),
        jnp.zeros((num_steps, num_rows)),
    )
    _, written, _ = jax.lax.while_loop(goes_on, some_steps, (carry, written, jnp.int32(0)))
    tokens_BT, labels_BT, log_prob_BT = (all_TB.T for all_TB in written)
    return Generated(
        tokens_BT=tokens_BT,
        labels_BT=labels_BT,
        log_prob_BT=log_prob_BT,
        length_B=(tokens_BT != end_id).sum(-1),
    )

"""The copy mechanism of decoding: which tokens a BIO label allows, and which of them wins.

A label's candidates are always tokens of the source (or everything), so nothing of the size of the
vocabulary is masked at a step: the logits are gathered at the source positions and the best allowed
one is taken. What continues an n-gram of the source is a shifted boolean vector over its positions.
Both are exact and cost O(source) a step. Source: paper section 3.5; METHOD section 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp

from grel.bio import NUM_LABELS, B, I, O

MODES = ("on", "off", "su")


@flax.struct.dataclass
class CopyMasks:
    """What the source allows; computed once, before the loop.

    Attributes:
        source_BS: wordpiece ids of `[CLS] S1 [SEP] pad`.
        inside_BS: positions of S1.
        candidate_BS: positions of S1 whose token may be copied.
    """

    source_BS: jax.Array
    inside_BS: jax.Array
    candidate_BS: jax.Array


@flax.struct.dataclass
class CopyState:
    """What was copied so far.

    Attributes:
        match_BS: position j of the source where the tokens since the last B end, if they stand
            there contiguously.
        label_B: the previous label.
    """

    match_BS: jax.Array
    label_B: jax.Array


def copy_masks(
    source_BS: jax.Array, source_length_B: jax.Array, excluded_ids: Sequence[int]
) -> CopyMasks:
    """Masks of padded sources `[CLS] S1 [SEP]`; `excluded_ids` are never candidates."""
    place_1S = jnp.arange(source_BS.shape[1])[None]
    inside_BS = (place_1S > 0) & (place_1S < source_length_B[:, None] - 1)
    excluded_BS = jnp.isin(source_BS, jnp.array(excluded_ids, jnp.int32))
    return CopyMasks(source_BS, inside_BS, inside_BS & ~excluded_BS)


def init_copy(masks: CopyMasks) -> CopyState:
    """Nothing copied yet: nothing matches."""
    return CopyState(
        match_BS=jnp.zeros_like(masks.inside_BS),
        label_B=jnp.full(len(masks.source_BS), O),
    )


def choose_label(
    bio_logits_BC: jax.Array, masks: CopyMasks, state: CopyState, mode: str
) -> jax.Array:
    """The likeliest label. Returns label_B.

    In mode "su" (Su 2021) I may not follow O, and an I that finds nothing to continue becomes B: it
    copies anew from anywhere.
    """
    if mode != "su":
        return bio_logits_BC.argmax(-1)
    barred_BC = (state.label_B[:, None] == O) & (jnp.arange(NUM_LABELS)[None] == I)
    label_B = jnp.where(barred_BC, -jnp.inf, bio_logits_BC).argmax(-1)
    stray_B = (label_B == I) & ~_continuations(masks, state).any(-1)
    return jnp.where(stray_B, B, label_B)


def allowed_positions(
    masks: CopyMasks, state: CopyState, label_B: jax.Array, mode: str
) -> jax.Array:
    """Source positions whose tokens the label allows: allow_BS; no position means every token.

    B: the tokens of the source. I: those that follow a match. In mode "off" a label allows all.
    """
    if mode == "off":
        return jnp.zeros_like(masks.candidate_BS)
    label_B1 = label_B[:, None]
    return jnp.where(
        label_B1 == I, _continuations(masks, state), (label_B1 == B) & masks.candidate_BS
    )


def choose_token(token_logits_BV: jax.Array, masks: CopyMasks, allow_BS: jax.Array) -> jax.Array:
    """The best token among the allowed positions' tokens, or among all where there is none.

    Ties go to the lowest id, as in an argmax over the masked vocabulary, to which this is equal bit
    for bit. Returns token_B.
    """
    vocab = token_logits_BV.shape[-1]
    logits_BS = jnp.take_along_axis(token_logits_BV, masks.source_BS, axis=-1)
    logits_BS = jnp.where(allow_BS, logits_BS, -jnp.inf)
    best_BS = allow_BS & (logits_BS == logits_BS.max(-1, keepdims=True))
    copied_B = jnp.where(best_BS, masks.source_BS, vocab).min(-1)
    return jnp.where(copied_B < vocab, copied_B, token_logits_BV.argmax(-1))


def advance(
    masks: CopyMasks, state: CopyState, token_B: jax.Array, label_B: jax.Array
) -> CopyState:
    """The state after `token_B` was written under `label_B`.

    Example: the source is `x y x z`. After B:x the match is `1 0 1 0`, so that I offers y and z;
    after I:z it is `0 0 0 1`, and an I would find nothing.
    """
    here_BS = masks.inside_BS & (masks.source_BS == token_B[:, None])
    goes_on_BS = (label_B == B)[:, None] | _shift(state.match_BS)
    return CopyState(match_BS=here_BS & goes_on_BS, label_B=label_B)


def _continuations(masks: CopyMasks, state: CopyState) -> jax.Array:
    """Positions right after a match whose token may be copied."""
    return _shift(state.match_BS) & masks.candidate_BS


def _shift(x_BS: jax.Array) -> jax.Array:
    """Moves every row one position to the right."""
    return jnp.pad(x_BS, ((0, 0), (1, 0)))[:, :-1]

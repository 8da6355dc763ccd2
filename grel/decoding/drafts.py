"""What probably comes next: tokens that are guessed without the model, for it to verify.

A model that is fed several tokens at once says what it would have written after each of them, so
that a right guess saves a step and a wrong one changes nothing. A target is easy to guess: a name
goes on as the sentence does, at least to the end of the word; a separator or the rest of a
relation's name is often all that the grammar leaves; and the next triple is often about the two
names of the last one, the second triple in the other order. Source: METHOD section 6.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from grel.decoding import copying, structure
from grel.text.bio import B, I


class Hints(flax.struct.PyTreeNode):
    """What drafts go by beside what was written.

    Attributes:
        grammar: the automaton whose states the copy state has.
        joined_V: of each token, whether it goes on with the word before.
        part_end: the separator of head and tail.
    """

    grammar: structure.Grammar
    joined_V: jax.Array
    part_end: int = flax.struct.field(pytree_node=False)


class _Names(NamedTuple):
    """Head and tail of a triple, or the other way round, as they would be written.

    Attributes:
        tokens_BT: the first name, the separator, the second name; behind them anything.
        separator_B: where the separator stands.
        length_B: tokens of all three.
    """

    tokens_BT: jax.Array
    separator_B: jax.Array
    length_B: jax.Array


def draft(
    hints: Hints,
    num_drafted: int,
    masks: copying.CopyMasks,
    copied: copying.CopyState,
    tokens_BT: jax.Array,
    labels_BT: jax.Array,
    length_B: jax.Array,
) -> jax.Array:
    """Guesses the next tokens, U a row.

    Args:
        hints: see there; num_drafted: U.
        masks, copied: the sources, and the copy state after what was written.
        tokens_BT, labels_BT: what was written; behind `length_B` tokens labels are O.

    Example: the source is `am ##y of new york`, the relations R1 and R2 are one token each.
    After `R1 am` the draft is `##y ; - ...`, after `R1 am ##y ; new` it is `york - ...`, and after
    `R1 am ##y ; new york R2` it is `new york ; am ##y`, where `-` is no guess.

    Returns draft_BU. What could not be guessed is the separator, which is a token like any other.
    """
    grammar = hints.grammar
    place_B, slot_B = copying.place(copied), copied.slot_B
    names, done_B = _names_again(hints, slot_B, tokens_BT, labels_BT, length_B)
    drafted = []
    for _ in range(num_drafted):
        known_B = slot_B != structure.NOWHERE
        in_name_B = known_B & grammar.inside_A[slot_B]
        allowed_BE = known_B[:, None] & (grammar.next_AE[slot_B] != structure.NOWHERE)
        only_B = grammar.token_ids_E[allowed_BE.argmax(-1)]

        starts_B = known_B & grammar.starts_A[slot_B]
        again_B = (done_B < names.length_B) & (in_name_B | starts_B)
        next_B = jnp.minimum(place_B + 1, masks.source_BS.shape[1] - 1)
        follows_B = (place_B >= 0) & _at(masks.candidate_BS, next_B)
        source_B = _at(masks.source_BS, next_B)
        in_word_B = in_name_B & follows_B & hints.joined_V[source_B]
        ends_B = ~again_B & ~in_word_B & ~starts_B & (allowed_BE.sum(-1) == 1)
        goes_on_B = ~again_B & ~ends_B & in_name_B & follows_B

        token_B = jnp.full_like(length_B, hints.part_end)
        token_B = jnp.where(ends_B, only_B, token_B)
        token_B = jnp.where(goes_on_B, source_B, token_B)
        token_B = jnp.where(again_B, _at(names.tokens_BT, done_B), token_B)
        drafted.append(token_B)

        is_copied_B = goes_on_B | (again_B & (done_B != names.separator_B))
        slot_B = structure.follow(grammar, slot_B, token_B, is_copied_B)
        slot_B = jnp.where(again_B | ends_B | goes_on_B, slot_B, structure.NOWHERE)
        place_B = jnp.where(goes_on_B, place_B + 1, -1)
        done_B += again_B
    return jnp.stack(drafted, axis=1)


def _names_again(
    hints: Hints,
    slot_B: jax.Array,
    tokens_BT: jax.Array,
    labels_BT: jax.Array,
    length_B: jax.Array,
) -> tuple[_Names, jax.Array]:
    """The last triple's names as far as this one repeats them, and how many tokens it has of them.

    They are in the order in which this triple began with them. Both are possible before it begins:
    then the second triple has the other order, as relations go with their inverses, and a later one
    has that of the last triple. Where it began with other names, their length is 0.
    """
    place_1T = jnp.arange(tokens_BT.shape[1])[None]
    # Where names start, from the last one; the present triple has begun the first few of them.
    start_BT = jnp.where((labels_BT == B) & (place_1T < length_B[:, None]), place_1T, -1)
    num_names = 5
    if tokens_BT.shape[1] < num_names:
        start_BT = jnp.pad(
            start_BT, ((0, 0), (0, num_names - tokens_BT.shape[1])), constant_values=-1
        )
    starts_BX = jnp.concatenate([length_B[:, None], jax.lax.top_k(start_BT, num_names)[0]], axis=1)
    num_begun_B = jnp.where((slot_B == structure.IN_HEAD) | (slot_B == structure.TAIL), 1, 0)
    num_begun_B = jnp.where(slot_B == structure.IN_TAIL, 2, num_begun_B)
    this_B, tail_B, head_B, before_B = (_at(starts_BX, num_begun_B + n) for n in range(4))

    def length_of(start_B):
        behind_BT = (place_1T > start_B[:, None]) & (labels_BT != I)
        return jnp.where(behind_BT, place_1T, tokens_BT.shape[1]).min(-1) - start_B

    def from_place(index_BT):
        index_BT = jnp.clip(index_BT, 0, tokens_BT.shape[1] - 1)
        return jnp.take_along_axis(tokens_BT, index_BT, axis=1)

    done_B = length_B - this_B
    this_BT = from_place(this_B[:, None] + place_1T)

    def names(first_B, second_B):
        separator_B1 = length_of(first_B)[:, None]
        first_BT = from_place(first_B[:, None] + place_1T)
        second_BT = from_place(second_B[:, None] + place_1T - separator_B1 - 1)
        text_BT = jnp.where(place_1T < separator_B1, first_BT, second_BT)
        text_BT = jnp.where(place_1T == separator_B1, hints.part_end, text_BT)
        length_B = separator_B1[:, 0] + 1 + length_of(second_B)
        agree_B = ((text_BT == this_BT) | (place_1T >= done_B[:, None])).all(-1)
        agree_B &= (head_B >= 0) & (done_B < length_B)
        return _Names(text_BT, separator_B1[:, 0], jnp.where(agree_B, length_B, 0))

    same, swapped = names(head_B, tail_B), names(tail_B, head_B)
    is_same_B = (same.length_B > 0) & ((before_B >= 0) | (swapped.length_B == 0))
    return _Names(
        jnp.where(is_same_B[:, None], same.tokens_BT, swapped.tokens_BT),
        jnp.where(is_same_B, same.separator_B, swapped.separator_B),
        jnp.where(is_same_B, same.length_B, swapped.length_B),
    ), done_B


def _at(x_BX: jax.Array, index_B: jax.Array) -> jax.Array:
    """The entry of each row at its index."""
    return jnp.take_along_axis(x_BX, index_B[:, None], axis=1)[:, 0]

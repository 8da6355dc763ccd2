"""The grammar of a target as an automaton over its slots, in tables that a device can look up.

A target leaves few choices: an entity is copied, so only where it starts and whether it goes on is
open, and a relation is a path through the trie of the schema's names. Tables of a few states and a
few tokens say all of it, so that structure costs a look-up a step, and restricting the relations
changes the tables' values but never their shapes. Source: METHOD section 2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from grel.text.linearize import Form

# The states outside the trie, whose root comes next. A state says what may follow.
FIRST, HEAD, IN_HEAD, TAIL, IN_TAIL = range(5)
_ROOT = 5

NOWHERE = -1  # after what may not come


class Grammar(flax.struct.PyTreeNode):
    """Tables of the automaton; A states, E grammar tokens.

    Attributes:
        token_ids_E: the tokens that are not copied: the end token, the separators and all tokens
            of relation names, each once.
        next_AE: the state after such a token, -1 where it may not come.
        next_copied_A: the state after a copied token.
        is_end_E: which of them is the end token.
        starts_A: whether an entity may start in this state.
        inside_A: whether an entity was begun and may go on.
    """

    token_ids_E: np.ndarray
    next_AE: np.ndarray
    next_copied_A: np.ndarray
    is_end_E: np.ndarray
    starts_A: np.ndarray
    inside_A: np.ndarray


def follow(
    grammar: Grammar, slot_B: jax.Array, token_B: jax.Array, is_copied_B: jax.Array
) -> jax.Array:
    """The states after these tokens, copied ones or not: slot_B.

    It is -1 where a token may not come, and ever after.
    """
    is_token_BE = token_B[:, None] == grammar.token_ids_E[None]
    after_B = jnp.where(
        is_token_BE.any(-1), grammar.next_AE[slot_B, is_token_BE.argmax(-1)], NOWHERE
    )
    after_B = jnp.where(is_copied_B, grammar.next_copied_A[slot_B], after_B)
    return jnp.where(slot_B == NOWHERE, NOWHERE, after_B)


class Schema:
    """The relations that may be written, and how a target is put together.

    Args:
        relation_ids: relation -> the ids that write it; one may be a prefix of another.
        form: how triples are written, in ids; end_id: the token that ends a row.

    Attributes:
        token_ids: the tokens that are not copied, see `Grammar.token_ids_E`.
    """

    def __init__(self, relation_ids: Mapping[str, Sequence[int]], form: Form[int], end_id: int):
        self.relation_ids = {name: tuple(ids) for name, ids in relation_ids.items()}
        self.form, self.end_id = form, end_id
        prefixes = {ids[:n] for ids in self.relation_ids.values() for n in range(len(ids) + 1)}
        self._states = {prefix: _ROOT + i for i, prefix in enumerate(sorted(prefixes))}
        written = {token for ids in self.relation_ids.values() for token in ids}
        self.token_ids = tuple(sorted({end_id, form.part_end, form.triple_end} | written))

    def chosen(self, relations: Collection[str] | None = None) -> dict[str, tuple[int, ...]]:
        """The ids of these relations, or of all.

        Raises ValueError for a relation that the schema lacks, and where none is left.
        """
        if relations is None:
            relations = self.relation_ids
        if unknown := sorted(set(relations) - self.relation_ids.keys()):
            raise ValueError(
                f"relation {unknown[0]!r} is not in the schema; "
                f"one of {', '.join(sorted(self.relation_ids))}"
            )
        if not relations:
            raise ValueError("there are no relations to write; name at least one")
        return {name: self.relation_ids[name] for name in relations}

    def whole(self, ids: Sequence[int]) -> int:
        """How many tokens of an output that broke off are whole triples for certain."""
        boundaries = (i for i, token in enumerate(ids) if int(token) in self.form.boundaries)
        return max(boundaries, default=0)

    def grammar(self, relations: Collection[str] | None = None) -> Grammar:
        """The automaton that writes these relations only, or all; its shapes are always the same.

        Raises as `chosen`.
        """
        form = self.form
        num_states = _ROOT + len(self._states)
        column = {token: e for e, token in enumerate(self.token_ids)}
        part_end, triple_end, end = (
            column[token] for token in (form.part_end, form.triple_end, self.end_id)
        )
        next_AE = np.full((num_states, len(column)), NOWHERE, np.int32)
        next_copied_A = np.full(num_states, NOWHERE, np.int32)
        next_copied_A[[HEAD, IN_HEAD]] = IN_HEAD
        next_copied_A[[TAIL, IN_TAIL]] = IN_TAIL
        next_AE[IN_HEAD, part_end] = TAIL
        written = []  # states in which a relation is complete
        for ids in self.chosen(relations).values():
            for n, token in enumerate(ids):
                next_AE[self._states[ids[:n]], column[token]] = self._states[ids[: n + 1]]
            written.append(self._states[ids])
        if not form.relation_first:
            next_copied_A[FIRST] = IN_HEAD
            next_AE[IN_TAIL, part_end] = _ROOT
            next_AE[written, triple_end] = HEAD
            next_AE[written, end] = FIRST
        else:
            next_AE[FIRST] = next_AE[_ROOT]
            if form.openers:
                next_copied_A[written] = IN_HEAD
                next_AE[IN_TAIL] = next_AE[_ROOT]
            else:
                next_AE[written, part_end] = HEAD
                next_AE[IN_TAIL, triple_end] = _ROOT
            next_AE[IN_TAIL, end] = FIRST
        next_AE[FIRST, end] = FIRST
        inside_A = np.isin(np.arange(num_states), (IN_HEAD, IN_TAIL))
        return Grammar(
            token_ids_E=np.array(self.token_ids, np.int32),
            next_AE=next_AE,
            next_copied_A=next_copied_A,
            is_end_E=np.array(self.token_ids) == self.end_id,
            starts_A=(next_copied_A != NOWHERE) & ~inside_A,
            inside_A=inside_A,
        )

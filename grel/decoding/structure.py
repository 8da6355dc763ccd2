"""The grammar of a target as an automaton over its slots, in tables that a device can look up.

`head ; tail ; relation | ...` leaves few choices: an entity is copied, so only where it starts and
whether it goes on is open, and a relation is a path through the trie of the schema's names. Tables
of a few states and a few tokens say all of it, so that structure costs a look-up a step, and
restricting the relations changes the tables' values but never their shapes. Source: METHOD
section 2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import flax.struct
import jax
import numpy as np

# The states outside the trie, whose root comes next. A state says what may follow.
FIRST, HEAD, IN_HEAD, TAIL, IN_TAIL = range(5)
_ROOT = 5

_NOWHERE = -1


@flax.struct.dataclass
class Grammar:
    """Tables of the automaton; A states, E grammar tokens.

    Attributes:
        token_ids_E: the tokens that are not copied: the end token, the separators and all tokens
            of relation names, each once.
        next_AE: the state after such a token, -1 where it may not come.
        next_copied_A: the state after a copied token.
        starts_A: whether an entity may start in this state.
        inside_A: whether an entity was begun and may go on.
    """

    token_ids_E: jax.Array
    next_AE: jax.Array
    next_copied_A: jax.Array
    starts_A: jax.Array
    inside_A: jax.Array


class Schema:
    """The relations that may be written, and how a target is put together.

    Args:
        relation_ids: relation -> the ids that write it; one may be a prefix of another.
        part_end_id, triple_end_id: the separators `;` and `|`; end_id: the token that ends a row.
    """

    def __init__(
        self,
        relation_ids: Mapping[str, Sequence[int]],
        *,
        part_end_id: int,
        triple_end_id: int,
        end_id: int,
    ):
        self.relation_ids = {name: tuple(ids) for name, ids in relation_ids.items()}
        self.part_end_id, self.triple_end_id, self.end_id = part_end_id, triple_end_id, end_id
        prefixes = {ids[:n] for ids in self.relation_ids.values() for n in range(len(ids) + 1)}
        self._states = {prefix: _ROOT + i for i, prefix in enumerate(sorted(prefixes))}
        written = {token for ids in self.relation_ids.values() for token in ids}
        self._token_ids = sorted({end_id, part_end_id, triple_end_id} | written)

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

    def grammar(self, relations: Collection[str] | None = None) -> Grammar:
        """The automaton that writes these relations only, or all; its shapes are always the same.

        Raises as `chosen`.
        """
        num_states = _ROOT + len(self._states)
        column = {token: e for e, token in enumerate(self._token_ids)}
        next_AE = np.full((num_states, len(column)), _NOWHERE, np.int32)
        next_AE[FIRST, column[self.end_id]] = FIRST
        next_AE[IN_HEAD, column[self.part_end_id]] = TAIL
        next_AE[IN_TAIL, column[self.part_end_id]] = _ROOT
        for ids in self.chosen(relations).values():
            for n, token in enumerate(ids):
                next_AE[self._states[ids[:n]], column[token]] = self._states[ids[: n + 1]]
            next_AE[self._states[ids], column[self.triple_end_id]] = HEAD
            next_AE[self._states[ids], column[self.end_id]] = FIRST
        next_copied_A = np.full(num_states, _NOWHERE, np.int32)
        next_copied_A[[FIRST, HEAD, IN_HEAD]] = IN_HEAD
        next_copied_A[[TAIL, IN_TAIL]] = IN_TAIL
        states = np.arange(num_states)
        return Grammar(
            token_ids_E=np.array(self._token_ids, np.int32),
            next_AE=next_AE,
            next_copied_A=next_copied_A,
            starts_A=np.isin(states, (FIRST, HEAD, TAIL)),
            inside_A=np.isin(states, (IN_HEAD, IN_TAIL)),
        )

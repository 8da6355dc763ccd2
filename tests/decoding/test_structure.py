"""The automaton by hand: what each state offers, restricted schemas, unknown relations."""

import jax
import numpy as np
import pytest

from grel.decoding import structure
from grel.text.linearize import Form

END, PART_END, TRIPLE_END = 2, 3, 4
# "new" is the beginning of "new york", and "york" is a word of two names.
SCHEMA = structure.Schema(
    {"new": [7], "new york": (7, 8), "old york": (6, 8), "x": (9,)},
    Form(PART_END, TRIPLE_END),
    END,
)
COPY = "copy"


def offered(grammar: structure.Grammar, *written) -> set:
    """What may follow: tokens of the grammar, and COPY; `written` likewise."""
    tokens = grammar.token_ids_E.tolist()
    state = structure.FIRST
    for step in written:
        at = grammar.next_copied_A[state] if step == COPY else None
        state = grammar.next_AE[state, tokens.index(step)] if at is None else at
        assert state >= 0, f"{step} cannot come there"
    may_copy = grammar.starts_A[state] or grammar.inside_A[state]
    assert may_copy == (grammar.next_copied_A[state] >= 0)
    found = {t for t, then in zip(tokens, grammar.next_AE[state], strict=True) if then >= 0}
    return found | ({COPY} if may_copy else set())


HEAD = (COPY, COPY, PART_END)
TAIL = (*HEAD, COPY, PART_END)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((), {COPY, END}),
        ((COPY,), {COPY, PART_END}),
        (HEAD, {COPY}),
        ((*HEAD, COPY), {COPY, PART_END}),
        (TAIL, {6, 7, 9}),
        ((*TAIL, 6), {8}),
        ((*TAIL, 7), {8, TRIPLE_END, END}),
        ((*TAIL, 7, 8), {TRIPLE_END, END}),
        ((*TAIL, 9), {TRIPLE_END, END}),
        ((*TAIL, 9, TRIPLE_END), {COPY}),
        ((*TAIL, 9, TRIPLE_END, COPY), {COPY, PART_END}),
        ((*TAIL, 9, TRIPLE_END, *TAIL, 6), {8}),
    ],
)
def test_what_may_follow(written, expected):
    assert offered(SCHEMA.grammar(), *written) == expected


@pytest.mark.parametrize(
    ("relations", "after_tail", "after_new"),
    [
        (["new"], {7}, {TRIPLE_END, END}),
        (["new york"], {7}, {8}),
        (["old york", "new"], {6, 7}, {TRIPLE_END, END}),
        (["new york", "new"], {7}, {8, TRIPLE_END, END}),
    ],
)
def test_restricted_to_some_relations(relations, after_tail, after_new):
    """A name that begins another one is passed through, but is no end, where it is not wanted."""
    grammar = SCHEMA.grammar(relations)
    assert offered(grammar, *TAIL) == after_tail
    assert offered(grammar, *TAIL, 7) == after_new


REL_NAMES = {"new": (7,), "new york": (7, 8), "old york": (6, 8), "x": (9,)}
WORDS_FIRST = structure.Schema(REL_NAMES, Form(PART_END, TRIPLE_END, relation_first=True), END)
TOKENS = {"a": (6,), "b": (7,), "c": (9,)}
OPENERS = frozenset([6, 7, 9])
TOKENS_FIRST = structure.Schema(TOKENS, Form(PART_END, TRIPLE_END, True, OPENERS), END)
X_HEAD = (9, PART_END, COPY)
A_HEAD = (6, COPY)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((), {6, 7, 9, END}),
        ((6,), {8}),
        ((7,), {8, PART_END}),
        ((7, 8), {PART_END}),
        ((7, 8, PART_END), {COPY}),
        (X_HEAD, {COPY, PART_END}),
        ((*X_HEAD, PART_END), {COPY}),
        ((*X_HEAD, PART_END, COPY), {COPY, TRIPLE_END, END}),
        ((*X_HEAD, PART_END, COPY, TRIPLE_END), {6, 7, 9}),
        ((*X_HEAD, PART_END, COPY, TRIPLE_END, 7), {8, PART_END}),
    ],
)
def test_what_may_follow_where_words_of_a_relation_come_first(written, expected):
    assert offered(WORDS_FIRST.grammar(), *written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((), {6, 7, 9, END}),
        ((6,), {COPY}),
        (A_HEAD, {COPY, PART_END}),
        ((*A_HEAD, PART_END), {COPY}),
        ((*A_HEAD, PART_END, COPY), {COPY, 6, 7, 9, END}),
        ((*A_HEAD, PART_END, COPY, COPY, 9), {COPY}),
    ],
)
def test_what_may_follow_where_a_relation_opens_a_triple(written, expected):
    assert offered(TOKENS_FIRST.grammar(), *written) == expected


def test_restricted_openers():
    grammar = TOKENS_FIRST.grammar(["b"])
    assert offered(grammar) == {7, END}
    assert offered(grammar, 7, COPY, PART_END, COPY) == {COPY, 7, END}
    after_a = TOKENS_FIRST.grammar().next_AE[structure.FIRST, TOKENS_FIRST.token_ids.index(6)]
    assert not grammar.starts_A[after_a]


@pytest.mark.parametrize(
    ("schema", "written", "whole"),
    [
        (SCHEMA, [20, 3, 20, 3, 9, 4, 20, 3], 5),
        (SCHEMA, [20, 3, 20], 0),
        (WORDS_FIRST, [9, 3, 20, 3, 20, 4, 7], 5),
        (TOKENS_FIRST, [6, 20, 3, 20, 7, 20, 20], 4),
        (TOKENS_FIRST, [6, 20, 3, 20], 0),
        (TOKENS_FIRST, [], 0),
    ],
)
def test_what_is_whole_of_an_output_that_broke_off(schema, written, whole):
    assert schema.whole(written) == whole


def test_restricting_changes_values_only():
    everything, one = SCHEMA.grammar(), SCHEMA.grammar(["x"])
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), g) for g in (everything, one)]
    assert shapes[0] == shapes[1]
    assert (everything.next_AE != one.next_AE).any()


def test_a_state_is_inside_an_entity_at_its_start_or_neither():
    grammar = SCHEMA.grammar()
    assert not (grammar.starts_A & grammar.inside_A).any()
    starts = [structure.FIRST, structure.HEAD, structure.TAIL]
    np.testing.assert_array_equal(np.flatnonzero(grammar.starts_A), starts)
    inside = [structure.IN_HEAD, structure.IN_TAIL]
    np.testing.assert_array_equal(np.flatnonzero(grammar.inside_A), inside)


def test_relations_that_cannot_be_chosen():
    with pytest.raises(ValueError, match="relation 'y' is not in the schema; one of new, new york"):
        SCHEMA.grammar(["new", "y"])
    with pytest.raises(ValueError, match="no relations to write; name at least one"):
        SCHEMA.chosen([])
    empty = structure.Schema({}, Form(PART_END, TRIPLE_END), END)
    with pytest.raises(ValueError, match="no relations to write"):
        empty.grammar()

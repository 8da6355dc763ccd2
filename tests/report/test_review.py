"""What is right and wrong in a sentence, and how its text is cut at overlapping spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.records import Document, Triple
from grel.report.review import Status, marked, pieces, places, review, triple_errors
from grel.scoring.judged import judge
from grel.scoring.protocols import PROTOCOLS

TEXT = "Ann Moore , chairman of Time Inc. , lives in New York"
WORKS = Triple("Ann Moore", "company", "Time Inc.", (0, 9), (24, 33))
LIVES = Triple("Ann Moore", "lives_in", "New York", (0, 9), (45, 53))
GOLD = Document("a", TEXT, (WORKS, LIVES))


def _review(*predicted, protocol="exact", gold=GOLD):
    prediction = Document(gold.id, gold.text, predicted)
    (judged,) = judge([gold], [prediction], PROTOCOLS[protocol])
    return review(judged, prediction, PROTOCOLS[protocol])


@pytest.mark.parametrize(
    ("triple", "errors"),
    [
        (Triple("Moore", "company", "Time Inc."), ("incompletion",)),
        (Triple("Moore", "company", "Inc. Time"), ("disorder", "incompletion")),
        (Triple("chairman", "company", "Time Inc."), ("other",)),
        (Triple("Time Inc.", "company", "Ann Moore"), ("reversed",)),
        (Triple("Ann Moore", "founder", "Time Inc."), ("relation",)),
        (Triple("Time Inc.", "founder", "Ann Moore"), ("pair",)),
        (Triple("Time Inc.", "company", "New York"), ("pair",)),
        (Triple("Ann Moore", "company", "Time Inc.", (0, 9), (1, 2)), ("place",)),
    ],
)
def test_every_wrong_triple_has_an_error_class(triple, errors):
    assert triple_errors(triple, GOLD.triples, TEXT) == errors


def test_names_are_compared_in_canonical_form():
    composed = Triple("José", "company", "Åre")
    for head, tail, errors in (("José", "Åre", "relation"), ("Jose\u0301", "\u212bre", "relation")):
        assert triple_errors(Triple(head, "founder", tail), [composed], "José") == (errors,)
        assert triple_errors(Triple(tail, "company", head), [composed], "José") == ("reversed",)


def test_rows_tell_what_became_of_each_triple():
    wrong = Triple("Moore", "company", "Time Inc.")
    found = _review(WORKS, wrong, WORKS)
    assert [row.status for row in found.gold] == [Status.FOUND, Status.MISSED]
    assert [row.status for row in found.predicted] == [Status.CORRECT, Status.WRONG]
    assert found.classes == {"missed", "incompletion"}
    assert _review(WORKS, LIVES).classes == frozenset()


def test_the_protocol_decides():
    assert _review(
        Triple("A. Moore", "company", "X Inc."), LIVES, protocol="partial_last"
    ).classes == (frozenset())
    dropped = _review(WORKS, LIVES, Triple("Ann Moore", "company", "Ann Moore"), protocol="nayak")
    assert [row.status for row in dropped.predicted][2:] == [Status.DROPPED]
    assert dropped.classes == frozenset()


def test_spans_that_nest_and_overlap_are_cut_as_the_docstring_says():
    assert pieces("New York City", [((0, 13), 0), ((4, 8), 1)]) == [
        ("New ", (0,)),
        ("York", (0, 1)),
        (" City", (0,)),
    ]
    assert pieces("abcd", [((0, 3), 0), ((1, 4), 1), ((1, 3), 1)]) == [
        ("a", (0,)),
        ("bc", (0, 1)),
        ("d", (1,)),
    ]
    assert pieces("abc", []) == [("abc", ())]


@given(st.text(min_size=1, max_size=12), st.data())
def test_pieces_mark_each_character_as_a_literal_loop_does(text, data):
    offsets = st.integers(0, len(text) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, len(text)))
    )
    spans = data.draw(st.lists(st.tuples(offsets, st.integers(0, 3)), max_size=5))
    marks = [marks for string, marks in pieces(text, spans) for _ in string]
    assert marks == [
        tuple(sorted({mark for (start, end), mark in spans if start <= at < end}))
        for at in range(len(text))
    ]
    assert "".join(string for string, _ in pieces(text, spans)) == text


def test_a_name_without_a_span_is_marked_wherever_it_stands():
    assert places("ana or ana", "ana", None) == ((0, 3), (7, 10))
    assert places("ana or ana", "ana", (7, 10)) == ((7, 10),)
    assert places("ana or ana", "bob", None) == ()


def test_rows_mark_their_heads_and_tails_by_number():
    found = _review(WORKS, LIVES)
    cut = dict(marked(GOLD, found.gold))
    assert cut["Ann Moore"] == (0, 2)
    assert cut["Time Inc."] == (1,)
    assert cut["New York"] == (3,)

"""What is right and wrong in a sentence."""

import pytest

from grel.records import Document, Triple
from grel.report.review import Status, review, triple_errors
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

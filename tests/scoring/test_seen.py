"""The set of training triples: what is in it, and that it travels as text."""

import base64

import pytest

from grel.records import Document, Triple
from grel.scoring.seen import SeenTriples

ANN = Triple("Ann", "lives_in", "Oslo")
BO = Triple("Bo", "lives_in", "Åre")


def _seen(*triples):
    return SeenTriples.of([Document("a", "t", triples)])


def test_names_and_relation_decide_not_places_and_scores():
    seen = _seen(Triple("Ann", "lives_in", "Oslo", (0, 3), (5, 9), score=0.5))
    assert ANN in seen
    for other in (BO, Triple("Oslo", "lives_in", "Ann"), Triple("Ann", "born_in", "Oslo"), ANN.key):
        assert other not in seen


def test_parts_are_not_taken_for_one_another():
    assert Triple("a b", "r", "c") not in _seen(Triple("a", "b r", "c"), Triple("a", "b", "r c"))
    assert Triple('a", "b', "r", "c") not in _seen(Triple("a", "b", "r"))


def test_what_is_no_triple_is_not_in_it():
    assert ANN in _seen(ANN)
    assert ANN.key not in _seen(ANN)


def test_text_brings_the_set_back_whatever_the_order():
    triples = [Triple("Ann", "counts", str(number)) for number in range(20)]
    text = _seen(*triples, *triples[:5]).to_text()
    backwards = [Document(t.tail, "t", (t,)) for t in reversed(triples)]
    assert text == SeenTriples.of(backwards).to_text()
    back = SeenTriples.from_text(text)
    assert len(back) == 20
    assert all(triple in back for triple in triples)
    assert ANN not in back
    assert len(base64.b64decode(text)) == 20 * 8
    assert len(SeenTriples.from_text(SeenTriples([]).to_text())) == 0


def test_text_of_something_else_is_refused():
    text = _seen(ANN, BO).to_text()
    data = base64.b64decode(text)
    swapped = base64.b64encode(data[8:] + data[:8]).decode()
    twice = base64.b64encode(data[:8] * 2).decode()
    for damaged in (text[:-4], text[:-1], f"!{text[1:]}", swapped, twice):
        with pytest.raises(ValueError, match=r".+"):
            SeenTriples.from_text(damaged)

"""Extractions that are filtered after they were made, as requests of a server are."""

import types

from hypothesis import given
from hypothesis import strategies as st

from grel.extraction.reading import Part, as_record, at_least, read_document, without_places
from grel.families.writer import Tally
from grel.records import Document, Triple

TEXT = "Ann and Bo met Ann in Oslo"
NAMES = st.sampled_from(["Ann", "Bo", "Oslo", "Eva"])
SCORES = st.none() | st.sampled_from([0.0, 0.2, 0.5, 1.0])


def _place(name):
    start = TEXT.find(name)
    return None if start < 0 else (start, start + len(name))


TRIPLES = st.builds(
    lambda head, tail, score: Triple(head, "met", tail, _place(head), _place(tail), score=score),
    *(NAMES, NAMES, SCORES),
)


def _read(windows, **how):
    writer = types.SimpleNamespace(read=lambda text, encoding, output: (output, Tally(malformed=1)))
    parts = [Part(None, triples) for triples in windows]
    return read_document(Document("a", TEXT), parts, writer, **how)


@given(st.lists(st.lists(TRIPLES, max_size=4), max_size=3), st.sampled_from([0.0, 0.2, 0.3, 1.0]))
def test_filtered_afterwards_is_filtered_at_once(windows, min_score):
    assert at_least(_read(windows), min_score) == _read(windows, min_score=min_score)


@given(
    st.lists(st.lists(TRIPLES, max_size=4), max_size=3),
    st.lists(TRIPLES, max_size=4),
    st.sampled_from([0.0, 0.2, 0.3, 1.0]),
)
def test_known_triples_stand_beside_those_that_were_written(windows, known, min_score):
    extraction = _read(windows, known=known, min_score=min_score)
    assert extraction == at_least(_read(windows, known=known), min_score)
    best = {}
    for triple in [*(triple for window in windows for triple in window), *known]:
        score = triple.score or 0.0
        best[triple.key] = max(score, best.get(triple.key, score))
    assert {triple.key: triple.score or 0.0 for triple in extraction.document.triples} == {
        key: score for key, score in best.items() if score >= min_score
    }
    written = {triple.key for window in windows for triple in window}
    assert extraction.tally.remembered == len({triple.key for triple in known} - written)


def test_a_record_tells_what_went_wrong_and_may_leave_places_out():
    triple = Triple("Ann", "met", "Bo", (0, 3), (8, 10))
    document = as_record(_read([[triple], [triple]], num_unknown=3))
    assert document.other == {"windowed": True, "unknown_tokens": 3}
    (found,) = document.triples
    assert found.head_spans == ((0, 3), (15, 18))
    (bare,) = without_places(document).triples
    assert bare == triple

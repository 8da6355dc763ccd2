"""Answers: records that other commands read, and never longer than they should be."""

import json

from grel import records
from grel.extraction.reading import Extraction
from grel.families.writer import Tally
from grel.files.reading import Item
from grel.records import Document, Triple
from grel.serving.answers import answer
from grel.serving.model import Found


def _found(document, *traces, **tally):
    return Found(Extraction(document, Tally(**tally), ()), list(traces))


def test_documents_are_records():
    triple = Triple("Ann", "in", "Zoë", (0, 3), (7, 10), score=0.5, head_spans=((0, 3),))
    document = Document("0", "Ann in Zoë", (triple,))
    body, num_triples = answer([_found(document)], 0.0, traced=False)
    assert num_triples == 1
    (record,) = json.loads(body)["documents"]
    line = json.dumps(record).encode()
    assert records.parse_line(Item(1, line)) == document


def test_what_went_wrong_is_added_up_and_what_is_dropped_is_counted():
    triples = Triple("a", "in", "Oslo", score=0.2), Triple("b", "in", "Oslo", score=0.4)
    found = [_found(Document("0", "a b", triples), malformed=2), _found(Document("1", ""))]
    body, num_triples = answer(found, 0.3, traced=False)
    assert num_triples == 1
    tally = json.loads(body)["tally"]
    assert (tally["malformed"], tally["below_min_score"]) == (2, 1)


def test_a_record_that_would_be_too_long_says_that_it_has_not_all_places():
    places = tuple((n, n + 1) for n in range(30_000))
    triple = Triple("a", "is", "a", (0, 1), (0, 1), head_spans=places, tail_spans=places)
    document = Document("0", "a" * 30_000, (triple,))
    (record,) = json.loads(answer([_found(document)], 0.0, traced=False)[0])["documents"]
    assert record["without_places"] is True
    assert record["triples"] == [
        {"head": "a", "relation": "is", "tail": "a", "head_span": [0, 1], "tail_span": [0, 1]}
    ]


def test_traces_are_as_brief_as_those_of_the_report():
    step = {"label": "B", "match_length": 0, "allowed": [5, 6], "token_id": 5, "token": "Ann"}
    trace = {
        "id": "0",
        "source_ids": [5, 6],
        "source_tokens": ["Ann", "Zoë"],
        "excluded_ids": [],
        "steps": [step, {**step, "label": "O", "allowed": "all"}],
    }
    body, _ = answer([_found(Document("0", "Ann"), trace)], 0.0, traced=True)
    assert "Zoë".encode() in body
    assert json.loads(body)["traces"] == [
        [
            {
                "tokens": ["Ann", "Zoë"],
                "steps": [["B", "sentence", 0, None, "Ann"], ["O", "any", 0, None, "Ann"]],
            }
        ]
    ]

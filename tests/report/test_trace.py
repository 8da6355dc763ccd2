"""Decoding traces: strict reading, and what the page is told of them."""

import json

import pytest

from grel.files.faults import RecordError
from grel.report.trace import read_traces
from tests.report import sample


def _read(tmp_path, *records):
    path = tmp_path / "trace.jsonl"
    sample.write_lines(path, records)
    return list(read_traces(path))


def test_a_step_is_told_by_its_strategy_and_what_candidates_are_worth_telling(tmp_path):
    (trace,) = _read(tmp_path, sample.TRACE)
    brief = json.loads(json.dumps(trace.brief()))
    assert brief["tokens"] == ["Ann", "Time", "Inc.", "Time"]
    assert brief["steps"] == [
        ["B", "sentence", 0, None, "Time"],
        ["I", "continue", 1, [2], "Inc."],
        ["O", "any", 2, None, ";"],
        ["O", "grammar", 0, ["id 1", "id 55"], ";"],
        ["I", "free", 0, None, "<i>"],
    ]


def test_what_is_excluded_is_no_candidate_of_the_sentence(tmp_path):
    (trace,) = _read(tmp_path, {**sample.TRACE, "excluded_ids": [7]})
    # Now 7, 8, 9 is more than the sentence offers, so it is told in full.
    assert trace.brief()["steps"][0][3] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_tokens": ["Ann"]}, "4 source_ids, but 1 source_tokens"),
        ({"source_ids": ["7"] * 4}, "source_ids[0]: it must be an integer"),
        ({"steps": [{**sample.TRACE["steps"][0], "label": "X"}]}, "one of B, I, O, not 'X'"),
        ({"steps": [{**sample.TRACE["steps"][0], "allowed": "some"}]}, "'allowed' must be a list"),
        ({"steps": [{**sample.TRACE["steps"][0], "match_length": -1}]}, "must not be negative"),
        ({"steps": [{**sample.TRACE["steps"][0], "token_id": None}]}, "'token_id' must be"),
        ({"id": 3}, "'id' must be a string"),
    ],
)
def test_faulty_traces_say_where_and_what(tmp_path, change, message):
    with pytest.raises(RecordError, match=r"trace\.jsonl:1: ") as caught:
        _read(tmp_path, {**sample.TRACE, **change})
    assert message in str(caught.value)


def test_an_id_stands_once(tmp_path):
    with pytest.raises(RecordError, match=r":2: id 'right' stands"):
        _read(tmp_path, sample.TRACE, sample.TRACE)

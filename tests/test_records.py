"""Records: where entities stand, what is refused, and that nothing changes on the way to disk."""

import dataclasses
import io
import itertools
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.files.faults import RecordError
from grel.files.parsing import MAX_LINE_BYTES
from grel.names import locate
from grel.records import (
    Document,
    Triple,
    parse_document,
    read_jsonl,
    to_json,
    write_jsonl,
)

TEXT = "Ann Moore , chairman of Time Inc. , likes Time"
TRIPLE = {
    "head": "Ann Moore",
    "relation": "company",
    "tail": "Time Inc.",
    "head_span": [0, 9],
    "tail_span": [24, 33],
    "score": -0.25,
    "score_per_token": -0.125,
    "head_spans": [[0, 9]],
    "tail_spans": [[24, 33]],
}
RECORD = {"id": "a", "text": TEXT, "triples": [TRIPLE]}

ENCODABLE = st.characters(exclude_categories=["Cs"])
STATED = st.text(ENCODABLE, min_size=1, max_size=20).filter(str.strip)


@st.composite
def documents(draw):
    text = draw(STATED)
    stated = [
        (i, j) for i, j in itertools.combinations(range(len(text) + 1), 2) if text[i:j].strip()
    ]

    def entity():
        if draw(st.booleans()):
            return draw(STATED), None, ()
        span = draw(st.sampled_from(stated))
        name = text[slice(*span)]
        others = tuple(place for place in locate(text, name) if place != span)
        return name, span, draw(st.sampled_from([(), (span,), (span, *others)]))

    triples = []
    for _ in range(draw(st.integers(0, 3))):
        (head, head_span, head_spans), (tail, tail_span, tail_spans) = entity(), entity()
        finite = st.none() | st.floats(allow_nan=False, allow_infinity=False)
        spans = (head_span, tail_span), (head_spans, tail_spans)
        triples.append(
            Triple(head, draw(STATED), tail, *spans[0], draw(finite), draw(finite), *spans[1])
        )
    return Document(draw(STATED), text, tuple(triples))


@pytest.fixture
def written(tmp_path):
    def write(*lines):
        path = tmp_path / "data.jsonl"
        lines = [json.dumps(line).encode() if isinstance(line, dict) else line for line in lines]
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path

    return write


def test_a_triple_prints_its_names_and_its_score():
    assert str(Triple("Ann Moore", "lives_in", "Oslo", (0, 9))) == "(Ann Moore; lives_in; Oslo)"
    assert f"{Triple('Zoë', 'born in', 'Oslo', score=0.98765)}" == "(Zoë; born in; Oslo) 0.988"


def test_without_duplicates_keeps_the_first_of_each_in_order():
    a, b = Triple("x", "r", "y", (0, 1), (2, 3)), Triple("y", "r", "x")
    again = dataclasses.replace(a, head_span=(4, 5), score=0.5)
    assert Document("1", "x y x", (a, b, again, b)).without_duplicates().triples == (a, b)


def test_keys_are_equal_where_unicode_says_so():
    composed, decomposed = Triple("José", "né", "Åre"), Triple("Jose\u0301", "ne\u0301", "\u212bre")
    assert composed.key == decomposed.key == ("José", "né", "Åre")
    assert Document("1", "x", (decomposed, composed)).without_duplicates().triples == (decomposed,)
    for other in ("Jose", "JOSÉ", "José ", "Jos\u00e8"):
        assert Triple(other, "né", "Åre").key != composed.key


@given(st.lists(documents(), max_size=4, unique_by=lambda document: document.id))
def test_what_is_written_is_read_again(tmp_path_factory, documents):
    path = tmp_path_factory.getbasetemp() / "round_trip.jsonl"
    write_jsonl(path, documents)
    assert list(read_jsonl(path)) == documents
    assert path.read_bytes().count(b"\n") == len(documents)
    assert [parse_document(to_json(d).encode(), path, 1) for d in documents] == documents


def test_what_is_not_there_is_not_written():
    document = Document("ä", "x y", (Triple("x", "r", "y", tail_span=(2, 3)),))
    expected = '"triples": [{"head": "x", "relation": "r", "tail": "y", "tail_span": [2, 3]}]'
    assert to_json(document) == f'{{"id": "ä", "text": "x y", {expected}}}'


def test_spans_and_scores_are_optional_and_may_be_integers(written):
    bare = {"head": "Ann", "relation": "r", "tail": "Time"}
    record = {"id": "a", "text": TEXT, "triples": [{**bare, "score": 1}]}
    (document,) = read_jsonl(written(record))
    (triple,) = document.triples
    assert triple == Triple("Ann", "r", "Time", score=1.0)
    assert type(triple.score) is float


def _without(record, name):
    return {key: value for key, value in record.items() if key != name}


def _with_triple(**fields):
    return {**RECORD, "triples": [TRIPLE, {**TRIPLE, **fields}]}


FAULTY = [
    (b"\xff", "not UTF-8: byte 0xff"),
    (b"{", "not JSON"),
    (b"", "blank line"),
    (b"[]", "must be an object"),
    (b'"a"', "must be an object"),
    (json.dumps(RECORD).encode()[:-1] + b', "id": "a"}', "key 'id' stands more than once"),
    *((_without(RECORD, name), f"field '{name}' is missing") for name in RECORD),
    *(
        ({**RECORD, "triples": [_without(TRIPLE, name)]}, f"triples[0]: field '{name}' is missing")
        for name in ("head", "relation", "tail")
    ),
    (_with_triple(heads="x"), "triples[1]: unknown field 'heads'"),
    ({**RECORD, "id": 7}, "field 'id' must be a string, not 7"),
    ({**RECORD, "text": None}, "field 'text' must be a string, not None"),
    ({**RECORD, "text": ["a"]}, "field 'text' must be a string, not ['a']"),
    ({**RECORD, "triples": {}}, "field 'triples' must be a list"),
    ({**RECORD, "triples": [[]]}, "triples[0]: it must be an object"),
    (_with_triple(tail=True), "triples[1]: field 'tail' must be a string, not True"),
    ({**RECORD, "id": ""}, "id is empty"),
    ({**RECORD, "text": " \t\u00a0"}, "text is empty"),
    (_with_triple(head="  "), "triples[1]: head is empty"),
    (_with_triple(relation=""), "triples[1]: relation is empty"),
    (_with_triple(tail=""), "triples[1]: tail is empty"),
    (_with_triple(score="1"), "triples[1]: field 'score' must be a finite number"),
    (_with_triple(score=True), "field 'score' must be a finite number"),
    (_with_triple(score=None), "field 'score' must be a finite number"),
    (_with_triple(score=float("nan")), "NaN is no number"),
    (json.dumps(RECORD).replace("-0.25", "1e999").encode(), "'1e999' is too large a number"),
    (json.dumps(RECORD).replace("-0.25", "9" * 400).encode(), "an integer of 400 digits"),
    (_with_triple(head_span=None), "field 'head_span' must be a list"),
    (_with_triple(head_span=[0]), "must be [start, end]"),
    (_with_triple(head_span=[0, 9, 9]), "must be [start, end]"),
    (_with_triple(head_span=[False, 9]), "must be [start, end]"),
    (_with_triple(head_span=[0, 9.0]), "must be [start, end]"),
    (_with_triple(head_span=[0, 8]), "triples[1]: head_span [0, 8] is 'Ann Moor', not 'Ann Moore'"),
    (_with_triple(tail_span=[25, 34]), "tail_span [25, 34] is 'ime Inc. ', not 'Time Inc.'"),
    (_with_triple(head_span=[0, 99]), "[0, 99] lies outside the text, which has 46 characters"),
    (_with_triple(head_span=[-46, 9]), "[-46, 9] lies outside the text"),
    (_with_triple(head_span=[9, 0]), "[9, 0] lies outside the text"),
    (_with_triple(head_span=[3, 3]), "[3, 3] lies outside the text"),
    (_with_triple(score_per_token="1"), "field 'score_per_token' must be a finite number"),
    (_with_triple(head_spans=None), "field 'head_spans' must be a list"),
    (_with_triple(head_spans=[]), "triples[1]: field 'head_spans' is empty; leave it out"),
    (_with_triple(head_spans=[0, 9]), "head_spans[0]: it must be a list, not 0"),
    (_with_triple(head_spans=[[0]]), "head_spans[0]: it must be [start, end]"),
    (_with_triple(tail_spans=[[42, 46]]), "triples[1]: the first of tail_spans must be tail_span"),
    (_with_triple(head_spans=[[0, 9]] * 2), "triples[1]: head_spans holds a span twice"),
    (
        _with_triple(tail_spans=[[24, 33], [42, 46]]),
        "triples[1]: tail_spans[1] [42, 46] is 'Time', not 'Time Inc.'",
    ),
    (_with_triple(tail_spans=[[24, 33], [42, 99]]), "tail_spans[1] [42, 99] lies outside"),
    (
        {**RECORD, "triples": [_without(TRIPLE, "head_span")]},
        "triples[0]: the first of head_spans must be head_span",
    ),
    ({**RECORD, "text": "\ud800" + TEXT}, "half of a surrogate pair"),
    ({**RECORD, "text": "x" * MAX_LINE_BYTES}, f"longer than {MAX_LINE_BYTES:,} bytes"),
    (b'{"id": ' + b"[" * 200_000, "nested too deeply"),
]


@pytest.mark.parametrize(("line", "reason"), FAULTY)
def test_a_faulty_record_is_raised_with_file_line_and_reason(written, line, reason):
    path = written({**RECORD, "id": "before"}, line, {**RECORD, "id": "after"})
    reader = read_jsonl(path)
    assert next(reader).id == "before"
    with pytest.raises(RecordError) as info:
        next(reader)
    assert (info.value.path, info.value.line) == (str(path), 2)
    assert reason in info.value.reason
    assert str(info.value) == f"{path}:2: {info.value.reason}"
    assert "\n" not in str(info.value)
    str(info.value).encode()


@pytest.mark.parametrize(("line", "reason"), FAULTY)
def test_a_faulty_record_is_handed_over_and_skipped(written, line, reason):
    errors = []
    path = written({**RECORD, "id": "before"}, line, {**RECORD, "id": "after"})
    assert [d.id for d in read_jsonl(path, on_error=errors.append)] == ["before", "after"]
    (error,) = errors
    assert error.line == 2
    assert reason in error.reason


def test_parse_document_says_where(written):
    with pytest.raises(
        RecordError, match=r"^some/file:7: field 'text' is missing; there are \['id', 'triples'\]$"
    ):
        parse_document(b'{"id": "a", "triples": []}', "some/file", 7)


def test_accents_may_differ_between_a_span_and_its_entity():
    line = '{"id": "a", "text": "Medellin", "triples": [{"head": "Medellín", "relation": "r", \
"tail": "x", "head_span": [0, 8]}]}'
    assert parse_document(line.encode(), "f", 1).triples[0].head_span == (0, 8)


def test_ids_must_differ(written):
    errors = []
    path = written(RECORD, {**RECORD, "id": "b"}, RECORD, {**RECORD, "id": "c"})
    assert [d.id for d in read_jsonl(path, on_error=errors.append)] == ["a", "b", "c"]
    assert [(e.line, e.reason) for e in errors] == [(3, "id 'a' stands on line 1 already")]


def test_other_fields_of_a_record_are_kept(written, tmp_path):
    other = {"source": {"page": [1, None, 12345678901234567890]}, "other": "x", "text2": ""}
    (document,) = read_jsonl(written({**RECORD, **other}))
    assert document.other == other
    write_jsonl(tmp_path / "out", [document])
    assert json.loads((tmp_path / "out").read_text()) == {**RECORD, **other}


def test_a_skipped_record_does_not_claim_its_id(written):
    path = written({**RECORD, "text": ""}, RECORD)
    assert [d.id for d in read_jsonl(path, on_error=lambda _: None)] == ["a"]


def test_relations_can_be_closed(written):
    path = written({**RECORD, "id": "b", "triples": []}, _with_triple(relation="like"))
    assert len(list(read_jsonl(path, relations=["company", "like"]))) == 2
    for relations in (["company"], []):
        with pytest.raises(RecordError, match=r":2: unknown relation '(like|company)'"):
            list(read_jsonl(path, relations=relations))


def test_blank_lines_and_a_byte_order_mark_may_stand_at_the_ends(written):
    line = json.dumps(RECORD).encode()
    assert [d.id for d in read_jsonl(written(b"\xef\xbb\xbf" + line, b"", b" ", b""))] == ["a"]


def test_a_line_without_end_is_not_read_into_memory(written):
    reader = read_jsonl(written(b"x" * (2 * MAX_LINE_BYTES + 9), RECORD), on_error=lambda _: None)
    assert [d.id for d in reader] == ["a"]


def test_dash_is_standard_input_and_output(monkeypatch, capsysbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(RECORD).encode())))
    documents = list(read_jsonl("-"))
    write_jsonl("-", documents)
    assert json.loads(capsysbinary.readouterr().out) == RECORD


def test_a_missing_file_is_an_error_even_when_skipping(tmp_path):
    with pytest.raises(RecordError, match=r"missing.jsonl: cannot read: No such file"):
        list(read_jsonl(tmp_path / "missing.jsonl", on_error=lambda _: None))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("b", "x", (Triple("x", "r", "x", score=float("inf")),)), "not JSON compliant"),
        (Document("b", "\ud800"), "surrogates not allowed"),
        (Document("b", "x" * MAX_LINE_BYTES), f"longer than {MAX_LINE_BYTES:,} bytes"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path, document, reason):
    path = tmp_path / "out.jsonl"
    with pytest.raises(RecordError, match=reason) as info:
        write_jsonl(path, [Document("a", "x"), document])
    assert info.value.line == 2
    assert list(tmp_path.iterdir()) == []

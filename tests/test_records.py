"""Records: where entities stand, what is refused, and that nothing changes on the way to disk."""

import dataclasses
import io
import itertools
import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.files.textio import MAX_LINE_BYTES, RecordError
from grel.records import (
    Document,
    Triple,
    extends,
    is_whole,
    locate,
    num_unlike_text,
    parse_document,
    read_jsonl,
    spelled_unlike,
    spells,
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


def _decomposed(text):
    return "".join(unicodedata.normalize("NFD", char) for char in text)


# Accents of both kinds, vowel signs, emoji with what belongs to them, blanks, word and other
# characters, and letters that decompose into others; where signs stand side by side, in their
# canonical order.
TRICKY = st.text(
    "aAáåe\u0301é \u00a0\n-_1한\u1112रा\u094d\u0958\u093cかが\u3099😀\u200d\U0001f3fd", max_size=8
).filter(lambda text: _decomposed(text) == unicodedata.normalize("NFD", text))


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


def _without_accents(text):
    """Decomposed, without the marks that are only accents; of all, those that TRICKY has."""
    return "".join(part for part in _decomposed(text) if part not in "\u0301\u030a")


def _belongs(text, at):
    """Whether the character there belongs to the one before it."""
    if not 0 < at < len(text):
        return False
    return (
        text[at] in "\u0301ा\u094d\u093c\u3099\u200d\U0001f3fd"
        or text[at - 1 : at + 1] == "\u200d😀"
    )


def _locate_slowly(text, entity):
    def splits_blanks(at):
        return 0 < at < len(text) and text[at - 1].isspace() and text[at].isspace()

    def found(spelled):
        return [
            (i, j)
            for i, j in itertools.combinations(range(len(text) + 1), 2)
            if _without_accents(spelled(text[i:j])) == _without_accents(spelled(entity)) != ""
            and text[i] != "\u0301"
            and not _belongs(text, i)
            and not _belongs(text, j)
        ]

    def even(name):
        return re.sub(r"\s+", " ", name)

    spelled, spans = str, found(str)
    if not spans:
        spelled, spans = even, [s for s in found(even) if not any(map(splits_blanks, s))]

    def in_word(char):
        return char.isalnum() or char in "_\u0301ा\u094d\u093c\u3099\u200d\U0001f3fd"

    def is_cut(at):
        return 0 < at < len(text) and in_word(text[at - 1]) and in_word(text[at])

    def is_equal(i, j):
        one, other = (unicodedata.normalize("NFC", spelled(s)) for s in (text[i:j], entity))
        return one == other

    whole = [(i, j) for i, j in spans if not is_cut(i) and not is_cut(j)]
    spans = whole or spans
    return tuple([span for span in spans if is_equal(*span)] or spans)


@given(TRICKY, TRICKY)
def test_locate_is_what_its_definition_says(text, entity):
    spans = locate(text, entity)
    assert spans == _locate_slowly(text, entity)
    assert all(spells(text, span, entity) for span in spans)


@given(TRICKY, st.data())
def test_locate_finds_every_part_of_a_text(text, data):
    """Every part that leaves characters and their marks together."""
    i, j = data.draw(st.tuples(*[st.integers(0, len(text))] * 2).map(sorted))
    spans = locate(text, text[i:j])
    assert spans == _locate_slowly(text, text[i:j])
    if _without_accents(text[i:j]) and text[i] != "\u0301":
        assert bool(spans) or _belongs(text, i) or _belongs(text, j)
    assert all(spells(text, span, text[i:j]) for span in spans)


@given(st.text(), st.data())
def test_locate_splits_no_character_from_its_marks(text, data):
    i, j = data.draw(st.tuples(*[st.integers(0, len(text))] * 2).map(sorted))
    for form in ("NFC", "NFD"):
        for span in locate(text, unicodedata.normalize(form, text[i:j])):
            assert not any(text[at : at + 1] and extends(text[at]) for at in span if at > 0)


@pytest.mark.parametrize(
    ("text", "entity", "spans"),
    [
        ("Dana, ana", "ana", ((6, 9),)),
        ("banana", "ana", ((1, 4), (3, 6))),
        ("in Medellin , Medellin", "Medellín", ((3, 11), (14, 22))),
        ("in Medellín and Medellin", "Medellin", ((16, 24),)),
        ("in Medelli\u0301n .", "Medellín", ((3, 12),)),
        ("in Medellin .", "Medelli\u0301n", ((3, 11),)),
        ("Jose\u0301 and Jose", "Jose", ((10, 14),)),
        ("Jose\u0301 and Jose", "José", ((0, 5),)),
        ("Jose\u0301", "José", ((0, 5),)),
        ("Joseph and José", "Jose", ((11, 15),)),
        ("रामा और राम", "राम", ((8, 11),)),
        ("रामा", "राम", ()),
        ("कि में", "में", ((3, 6),)),
        ("மாலா மால", "மால", ((5, 8),)),
        ("ทีมา ที", "ท", ()),
        ("かぎ と かき", "かき", ((5, 7),)),
        ("か\u3099く", "がく", ((0, 3),)),
        ("க்ஷ", "க", ()),
        ("\u0958 क", "क", ((2, 3),)),
        ("a ≠ b", "=", ()),
        ("👍🏽 👍", "👍", ((3, 4),)),
        ("👩\u200d💻 💻", "💻", ((4, 5),)),
        ("❤\ufe0f", "❤", ()),
        ("می\u200cخواهم خواهم", "خواهم", ((9, 14),)),
        ("U.S. and the U.S.-led", "U.S.", ((0, 4), (13, 17))),
        ("在北京市", "北京", ((1, 3),)),
        ("in New\u00a0 York", "New York", ((3, 12),)),
        ("in New York", "New\n York", ((3, 11),)),
        ("New  York, New York", "New York", ((11, 19),)),
        ("Bogot\u00e1  D.C.", "Bogota D.C.", ((0, 12),)),
        ("New\u200b York", "New York", ((0, 9),)),
        ("Paris", "paris", ()),
        ("Paris", "", ()),
        ("", "Paris", ()),
        ("Paris", "\u0301", ()),
    ],
)
def test_locate_examples(text, entity, spans):
    assert locate(text, entity) == spans


@pytest.mark.parametrize(
    ("span", "entity", "expected"),
    [
        ((0, 2), "né", True),
        ((0, 2), "ne", True),
        ((0, 2), "ne\u0301", True),
        ((0, 2), "n", False),
        ((0, 3), "né", False),
        ((-2, 2), "né", False),
        ((1, 1), "", False),
        ((2, 0), "né", False),
    ],
)
def test_spells(span, entity, expected):
    assert spells("né", span, entity) is expected


@pytest.mark.parametrize(
    ("text", "span", "whole"),
    [
        ("Iranian", (0, 4), False),
        ("Iran's", (0, 4), True),
        ("Iran", (0, 4), True),
        ("my Iran", (2, 7), True),
        ("रामा", (0, 3), False),
        ("राम।", (0, 3), True),
        ("a😀", (0, 1), True),
        ("😀\ufe0f", (0, 1), False),
        ("x\u20dd", (0, 1), False),
        (" \u0301", (0, 1), False),
    ],
)
def test_whole_words(text, span, whole):
    assert is_whole(text, span) is whole


@pytest.mark.parametrize(
    ("text", "entity", "span", "unlike"),
    [
        ("in Medellin", "Medellín", None, True),
        ("in Medellín", "Medellin", (3, 11), True),
        ("in Medelli\u0301n", "Medellín", (3, 12), False),
        ("in Medelli\u0301n", "Medellín", None, False),
        ("in PARIS", "Paris", None, True),
        ("Paris , PARIS", "Paris", (8, 13), True),
        ("in New\u00a0 York", "New York", (3, 12), True),
        ("in New\nYork", "new york", None, True),
        ("in Paris", "Oslo", None, False),
    ],
)
def test_names_spelled_unlike_their_text(text, entity, span, unlike):
    assert spelled_unlike(text, entity, span) is unlike
    triples = (Triple(entity, "r", "in", span), Triple("in", "s", entity, None, span))
    assert num_unlike_text(Document("1", text, triples)) == unlike


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

"""TACRED, OpenNRE and FewRel: a pair a record, a sentence a document."""

import copy
import json

import pytest

from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import READERS
from grel.files.faults import RecordError
from tests.corpora.samples import FEWREL, MEMBERS, ROWS, TEXT, TOKENS, TRIPLES


@pytest.fixture
def read(tmp_path):
    def read_records(format, content):
        path = tmp_path / "data.json"
        path.write_text(json.dumps(content))
        notes, errors = [], []
        documents = list(READERS[format](path, on_note=notes.append, on_error=errors.append))
        return documents, notes, [(error.line, error.reason) for error in errors]

    return read_records


@pytest.mark.parametrize("format", ROWS)
def test_records_of_other_sentences_are_other_documents(read, format):
    first, second = copy.deepcopy(ROWS[format])
    key = "token" if "token" in first else "text"
    other = {**first, key: [*TOKENS, "!"] if key == "token" else f"{TEXT} !"}
    documents, _, errors = read(format, [first, other, second])
    assert [(d.id, len(d.triples)) for d in documents] == [("data-1", 2), ("data-2", 1)]
    assert errors == []


def test_pairs_without_a_relation_leave_the_sentence(read):
    rows = [{**row, "relation": "no_relation"} for row in ROWS["tacred"]]
    ((document,), notes, _) = read("tacred", rows)
    assert (document.text, document.triples) == (TEXT, ())
    assert [note.kind for note in notes] == [NoteKind.NO_RELATION] * 2


def test_tokens_of_opennre(read):
    places = [((2, 4), (5, 7)), ((5, 7), (8, 9))]
    rows = [
        {"token": TOKENS, "relation": relation, "h": {"pos": head}, "t": {"pos": tail}}
        for (_, relation, _), (head, tail) in zip(MEMBERS, places, strict=True)
    ]
    ((document,), _, errors) = read("opennre", rows)
    assert (document.text, document.triples, errors) == (TEXT, TRIPLES, [])


def test_a_place_of_opennre_that_does_not_spell_its_name_is_told_and_searched_for(read):
    rows = copy.deepcopy(ROWS["opennre"])
    rows[0]["t"]["pos"] = [17, 21]
    tokens = {"token": TOKENS, "relation": MEMBERS[1][1]}
    ends = {"h": {"name": "time inc.", "pos": [5, 7]}, "t": {"name": "Medellin", "pos": [4, 5]}}
    ((document,), notes, errors) = read("opennre", [rows[0], {**tokens, **ends}])
    assert (document.text, document.triples, errors) == (TEXT, TRIPLES, [])
    assert notes == [Note(1, NoteKind.MISPLACED, f"'{name}'") for name in ("Time Inc.", "Medellin")]


def test_names_of_fewrel_in_lower_case_are_as_the_text_spells_them(read):
    content = copy.deepcopy(FEWREL)
    for group in content.values():
        for end in ("h", "t"):
            group[0][end][0] = group[0][end][0].lower()
    ((document,), notes, errors) = read("fewrel", content)
    assert (document.triples, notes, errors) == (TRIPLES, [], [])
    content[MEMBERS[1][1]][0]["t"] = ["Medellin", "Q1", [[4]]]
    ((document,), notes, errors) = read("fewrel", content)
    assert (document.triples, errors) == (TRIPLES, [])
    assert notes == [Note(1, NoteKind.MISPLACED, "'Medellin'")]


@pytest.mark.parametrize(
    ("format", "change", "reason"),
    [
        ("tacred", {"subj_end": 9}, "tokens [2, 10] are no range of the 9 tokens"),
        ("tacred", {"subj_type": 3}, "field 'subj_type' must be a string, not 3"),
        ("tacred", {"token": [1]}, "token[0]: it must be a string, not 1"),
        ("opennre", {"h": {"pos": [40, 99]}}, "characters [40, 99] are no range of the text"),
        ("opennre", {"h": {"pos": [1]}}, "it must be [int, int], not [1]"),
        ("opennre", {"h": 3}, "field 'h' must be an object, not 3"),
    ],
)
def test_faults(read, format, change, reason):
    rows = copy.deepcopy(ROWS[format])
    rows[0] |= change
    documents, _, errors = read(format, rows)
    assert documents[0].triples == TRIPLES[1:]
    assert errors == [(1, f"item 1: {reason}")] or reason in errors[0][1]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["tokens"], "x", "field 'tokens' must be a list, not 'x'"),
        (["h"], ["a", "b"], "it must be [str, str, list], not ['a', 'b']"),
        (["h"], ["a", "b", []], "tokens [-1, 0] are no range of the 9 tokens"),
        (["h"], ["a", "b", [[]]], "tokens [-1, 0] are no range of the 9 tokens"),
        (["h"], ["a", "b", [1]], "place must be a list, not 1"),
        (["h"], ["a", "b", [["x"]]], "token must be an integer, not 'x'"),
        (["h"], ["a", "b", [[8, 9]]], "tokens [8, 10] are no range of the 9 tokens"),
    ],
)
def test_faults_of_fewrel(read, path, value, reason):
    content = copy.deepcopy(FEWREL)
    content[MEMBERS[0][1]][0][path[0]] = value
    documents, _, errors = read("fewrel", content)
    assert documents[0].triples == TRIPLES[1:]
    assert errors == [(1, f"item 1: {reason}")]


def test_fewrel_is_one_object(tmp_path):
    for content, reason in (("[]", "the file must be an object"), ("{", "not JSON"), ("", "blank")):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(RecordError, match=reason):
            list(READERS["fewrel"](tmp_path / "x.json"))

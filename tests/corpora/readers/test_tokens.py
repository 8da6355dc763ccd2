"""DyGIE++, DocRED and GLiNER: words counted in their own ways, and what is faulty."""

import copy
import json

import pytest

from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import READERS
from tests.corpora.samples import MEMBERS, PLACED, TEXT, TRIPLES, told


@pytest.fixture
def read(tmp_path):
    def read_record(format, record):
        path = tmp_path / "data.json"
        path.write_text(json.dumps(record) + "\n")
        errors = []
        documents = list(READERS[format](path, on_error=errors.append))
        return documents, [error.reason for error in errors]

    return read_record


def _changed(format, path, value):
    record = copy.deepcopy(PLACED[format])
    *parents, last = path
    place = record
    for name in parents:
        place = place[name]
    place[last] = value
    return record


@pytest.mark.parametrize(
    ("format", "path", "value", "reason"),
    [
        ("dygie", ["sentences", 0], ["a", 1], "sentences[0]: each must be a string, not 1"),
        ("dygie", ["ner", 1, 0], [2, 9, "T"], "tokens [2, 10] are no range of the 9 tokens"),
        ("dygie", ["ner", 1, 0], [2, 3], "it must be [int, int, str], not [2, 3]"),
        ("dygie", ["relations", 1, 0], [2, 3, 5, 6], "it must be [int, int, int, int, str]"),
        ("dygie", ["relations", 1, 0], [2, 3, 5, 9, "r"], "tokens [5, 10] are no range"),
        ("docred", ["vertexSet", 0, 0, "sent_id"], 2, "sentence 2 is not among the 2 sentences"),
        ("docred", ["vertexSet", 0, 0, "pos"], [0, 9], "tokens [2, 11] are no range"),
        ("docred", ["vertexSet", 0, 0, "pos"], ["0", 9], "it must be [int, int], not ['0', 9]"),
        ("docred", ["vertexSet", 0], [], "vertexSet[0]: an entity without mentions"),
        ("docred", ["labels", 1, "t"], 3, "labels[1]: entities [1, 3] are not among the 3"),
        ("docred", ["labels", 1, "r"], None, "labels[1]: field 'r' must be a string"),
        ("gliner", ["ner", 1], [5, 9, "T"], "ner[1]: tokens [5, 10] are no range"),
        ("gliner", ["relations", 1], [1, 3, "r"], "relations[1]: entities [1, 3] are not among"),
        ("gliner", ["relations", 1], "x", "relations[1]: it must be an object, not 'x'"),
        ("gliner", ["relations", 1], {"head": {}}, "relations[1]: field 'position' is missing"),
    ],
)
def test_faults(read, format, path, value, reason):
    documents, errors = read(format, _changed(format, path, value))
    assert documents == []
    assert len(errors) == 1
    assert reason in errors[0]


def test_glirel_says_where_the_ends_stand(read):
    ends = [
        {
            "head": {"position": [2, 3]},
            "tail": {"position": [5, 6]},
            "relation_text": MEMBERS[0][1],
        },
        {
            "head": {"position": [5, 6]},
            "tail": {"position": [8, 8]},
            "relation_text": MEMBERS[1][1],
        },
    ]
    ((document,), errors) = read("gliner", _changed("gliner", ["relations"], ends))
    assert (document.text, document.triples, errors) == (TEXT, TRIPLES, [])


def test_all_mentions_of_docred_are_entities_and_the_first_gives_the_name(read):
    again = {"name": "Time", "sent_id": 0, "pos": [0, 1], "type": "Org"}
    record = _changed("docred", ["vertexSet", 1], [*PLACED["docred"]["vertexSet"][1], again])
    record["title"] = "Time"
    ((document,), _) = read("docred", record)
    assert document.triples == TRIPLES
    names = [entity["text"] for entity in document.other["entities"]]
    assert names == ["Ann Moore", "Time Inc.", "Time", "Medellin"]
    assert document.other["title"] == "Time"


def test_a_place_of_docred_that_does_not_spell_its_name_is_told_and_searched_for(tmp_path):
    (tmp_path / "data.json").write_text(
        json.dumps([_changed("docred", ["vertexSet", 2, 0, "pos"], [2, 3])])
    )
    notes = []
    documents = list(READERS["docred"](tmp_path / "data.json", on_note=notes.append))
    assert documents == [told("docred")]
    assert notes == [Note(1, NoteKind.MISPLACED, "'Medellin'")]


@pytest.mark.parametrize("name", ["Time Inc .", "time inc.", None])
def test_names_of_docred_may_be_tokenized_otherwise_or_lack(read, name):
    ((document,), _) = read("docred", _changed("docred", ["vertexSet", 1, 0, "name"], name))
    assert document == told("docred")


def test_docred_without_labels_has_no_triples(read):
    record = {name: value for name, value in PLACED["docred"].items() if name != "labels"}
    ((document,), errors) = read("docred", record)
    assert (document.text, document.triples, errors) == (TEXT, (), [])


def test_dygie_needs_no_entities(read):
    record = {name: value for name, value in PLACED["dygie"].items() if name != "ner"}
    ((document,), errors) = read("dygie", record)
    assert (document.triples, document.other, errors) == (TRIPLES, {}, [])

"""DuIE and REBEL: slots, linearized triples, and what is faulty."""

import copy
import json

import pytest

from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import READERS
from grel.corpora.inputs import find
from tests.corpora.samples import MEMBERS, PLACED, TEXT, TRIPLES, told


@pytest.fixture
def read(tmp_path):
    def read_record(format, record):
        path = tmp_path / "data.json"
        path.write_text(json.dumps(record) + "\n")
        notes, errors = [], []
        documents = list(READERS[format](path, on_note=notes.append, on_error=errors.append))
        return documents, notes, [error.reason for error in errors]

    return read_record


def test_slots_of_duie_are_relations(read):
    record = copy.deepcopy(PLACED["duie"])
    fact = record["spo_list"][1]
    fact["object"]["inArea"], fact["object_type"]["inArea"] = "Time", "Area"
    ((document,), _, errors) = read("duie", record)
    assert [(t.relation, t.tail) for t in document.triples[1:]] == [
        ("located in", "Medellin"),
        ("located in_inArea", "Time"),
    ]
    assert document.other["entities"][-1] == {"text": "Time", "type": "Area", "span": [0, 4]}
    assert errors == []


def test_duie_1_has_strings(read):
    record = copy.deepcopy(PLACED["duie"])
    for fact in record["spo_list"]:
        fact["object"], fact["object_type"] = (
            fact["object"]["@value"],
            fact["object_type"]["@value"],
        )
    assert read("duie", record) == ([told("duie")], [], [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"object": 3}, "spo_list[0]: field 'object' must be an object, not 3"),
        ({"object": {"@value": 3}}, "spo_list[0]: field '@value' must be a string, not 3"),
        ({"object_type": "Org"}, "spo_list[0]: field 'object_type' must be an object, not 'Org'"),
        ({"predicate": None}, "spo_list[0]: field 'predicate' must be a string, not None"),
    ],
)
def test_faults_of_duie(read, change, reason):
    record = copy.deepcopy(PLACED["duie"])
    record["spo_list"][0] |= change
    assert read("duie", record)[2] == [reason]


def test_rebel_reads_what_its_models_write(read, tmp_path):
    (head, label, tail), (_, other, place) = MEMBERS
    line = f"<triplet> {head} <subj> {tail} <obj> {label} <triplet> {tail} <subj> {place} <obj> "
    record = {"id": 3, "context": TEXT, "triplets": f"{line}{other}"}
    ((document,), notes, errors) = read("rebel", record)
    assert (document.id, document.triples, notes, errors) == ("3", TRIPLES, [], [])
    assert find(str(tmp_path / "data.json")).format == "rebel"
    record["triplets"] = f"<triplet> {head} <subj> {tail} <obj> a <subj> {place} <obj> b"
    ((document,), _, _) = read("rebel", record)
    assert [(t.head, t.relation, t.tail) for t in document.triples] == [
        (head, "a", tail),
        (head, "b", place),
    ]


@pytest.mark.parametrize(
    ("triplets", "reason"),
    [
        ("a <triplet> b", "must begin with <triplet>, not 'a '"),
        ("<triplet> a <subj> b", "no <obj> in ' b'"),
        ("<triplet> a <subj> <obj> r", "triples[0]: tail is empty"),
    ],
)
def test_faults_of_linearized_triples(read, triplets, reason):
    errors = read("rebel", {"id": "1", "context": TEXT, "triplets": triplets})[2]
    assert reason in errors[0]


def test_boundaries_that_do_not_spell_a_name_are_searched_for(read):
    record = copy.deepcopy(PLACED["rebel"])
    record["triples"][0]["subject"]["boundaries"] = [0, 4]
    ((document,), notes, _) = read("rebel", record)
    assert document.triples == TRIPLES
    assert notes == [Note(1, NoteKind.MISPLACED, "'Ann Moore'")]

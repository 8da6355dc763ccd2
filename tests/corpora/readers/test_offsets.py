"""doccano, Label Studio and Prodigy: what they say, what is left out, and what is faulty."""

import copy
import json

import pytest

from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import READERS
from tests.corpora.samples import MEMBERS, PLACED, TEXT, TRIPLES, told

LABELS = PLACED["labelstudio"]
RELATION = LABELS["annotations"][0]["result"][3]


@pytest.fixture
def read(tmp_path):
    def read_records(format, *records):
        path = tmp_path / "data.json"
        path.write_text(json.dumps(records))
        notes, errors = [], []
        options = {"on_note": notes.append, "on_error": errors.append}
        documents = list(READERS[format](path, **options))
        return documents, notes, [error.reason for error in errors]

    return read_records


def _changed(record, path, value):
    record = copy.deepcopy(record)
    *parents, last = path
    place = record
    for name in parents:
        place = place[name]
    place[last] = value
    return record


RESULT = ["annotations", 0, "result"]


@pytest.mark.parametrize(
    ("format", "path", "value", "reason"),
    [
        ("doccano", ["entities", 1, "end_offset"], 99, "entities[1]: characters [22, 99] are no"),
        ("doccano", ["entities", 1, "id"], None, "entities[1]: field 'id' must be a string"),
        ("doccano", ["entities", 1, "id"], 10, "entities[1]: id 10 stands twice, for different"),
        ("doccano", ["entities", 1, "label"], 3, "entities[1]: field 'label' must be a string"),
        ("doccano", ["relations", 0, "to_id"], 99, "relations[0]: entities [10, 99] are not among"),
        ("doccano", ["relations", 0, "type"], None, "relations[0]: field 'type' must be a string"),
        ("prodigy", ["spans", 0, "start"], "0", "spans[0]: field 'start' must be an integer"),
        ("prodigy", ["relations", 0, "head_span", "end"], 99, "relations[0]: characters [7, 99]"),
        ("prodigy", ["relations", 0, "label"], 1, "relations[0]: field 'label' must be a string"),
        ("labelstudio", ["data"], {"a": "x", "b": "y"}, "has no 'text' but ['a', 'b']; rename"),
        ("labelstudio", [*RESULT, 0, "value", "end"], 99, "result[0]: characters [7, 99] are no"),
        ("labelstudio", [*RESULT, 0, "value", "labels"], [1], "result[0]: labels[0]: it must be a"),
        ("labelstudio", [*RESULT, 1, "id"], "Ann Moore", "result[1]: id 'Ann Moore' stands twice"),
        ("labelstudio", [*RESULT, 3, "to_id"], "x", "result[3]: entities ['Ann Moore', 'x'] are"),
        (
            "labelstudio",
            [*RESULT, 3, "direction"],
            "up",
            "'direction' must be right, left, bi, not",
        ),
        (
            "labelstudio",
            [*RESULT, 3, "direction"],
            [],
            "'direction' must be right, left, bi, not []",
        ),
        ("labelstudio", [*RESULT, 3], 7, "result[3]: it must be an object, not 7"),
        ("labelstudio", ["annotations", 0], 7, "each annotation must be an object, not 7"),
    ],
)
def test_faults(read, format, path, value, reason):
    documents, _, errors = read(format, _changed(PLACED[format], path, value))
    assert documents == []
    assert len(errors) == 1
    assert reason in errors[0]


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_what_prodigy_rejected_is_left_out_and_told(read, answer):
    rejected = {**PLACED["prodigy"], "answer": answer}
    documents, notes, errors = read("prodigy", rejected, PLACED["prodigy"])
    assert [document.id for document in documents] == ["data-2"]
    assert [(note.line, note.kind) for note in notes] == [(1, NoteKind.REJECTED)]
    assert errors == []


def test_prodigy_without_spans_of_the_ends_has_their_tokens(read):
    tokens = [{"text": "Ann", "start": 0, "end": 3}, {"text": "runs", "start": 4, "end": 8}]
    record = {"text": "Ann runs", "tokens": tokens, "relations": []}
    record["relations"] = [{"head": 0, "child": 1, "label": "r"}]
    ((document,), _, errors) = read("prodigy", record)
    assert [(t.head, t.tail, t.tail_span) for t in document.triples] == [("Ann", "runs", (4, 8))]
    assert (document.other, errors) == ({}, [])
    record["relations"][0]["child"] = 2
    assert "token 2 is not among the 2 tokens" in read("prodigy", record)[2][0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"direction": "left"}, [("Time Inc.", "Ann Moore")]),
        ({"direction": "bi"}, [("Ann Moore", "Time Inc."), ("Time Inc.", "Ann Moore")]),
        ({"labels": ["a", "b"]}, [("Ann Moore", "Time Inc."), ("Ann Moore", "Time Inc.")]),
    ],
)
def test_directions_and_labels_of_label_studio(read, change, expected):
    task = _changed(LABELS, [*RESULT, 3], {**RELATION, **change})
    ((document,), notes, errors) = read("labelstudio", task)
    assert [(t.head, t.tail) for t in document.triples[:-1]] == expected
    assert notes == errors == []


@pytest.mark.parametrize("labels", [[], None])
def test_a_relation_without_a_label_is_left_out_and_told(read, labels):
    task = _changed(LABELS, [*RESULT, 3, "labels"], labels)
    ((document,), notes, _) = read("labelstudio", task)
    assert document.triples == TRIPLES[1:]
    assert notes == [Note(1, NoteKind.UNNAMED, "('Ann Moore', 'Time Inc.')")]


def test_other_results_and_second_labels_are_told(read):
    task = copy.deepcopy(LABELS)
    result = task["annotations"][0]["result"]
    result[0]["value"]["labels"].append("Boss")
    result.append({"id": "z", "type": "choices", "value": {"choices": ["good"]}})
    ((document,), notes, _) = read("labelstudio", task)
    assert document.triples == TRIPLES
    assert notes == [
        Note(1, NoteKind.OTHER, "second label 'Boss'"),
        Note(1, NoteKind.OTHER, "'choices'"),
    ]


def test_results_of_one_region_have_its_id(read):
    task = copy.deepcopy(LABELS)
    result = task["annotations"][0]["result"]
    again = copy.deepcopy(result[0])
    other = {**copy.deepcopy(again), "from_name": "roles"}
    other["value"]["labels"] = ["Boss"]
    choice = {**again, "type": "choices", "value": {**again["value"], "choices": ["good"]}}
    result += [again, other, choice]
    assert read("labelstudio", task) == (
        [told("labelstudio")],
        [Note(1, NoteKind.OTHER, "second label 'Boss'"), Note(1, NoteKind.OTHER, "'choices'")],
        [],
    )


def test_the_first_annotation_that_stands_is_taken(read):
    task = copy.deepcopy(LABELS)
    cancelled = {"id": 0, "was_cancelled": True, "result": []}
    task["annotations"] = [cancelled, *task["annotations"], {"id": 9, "result": []}]
    ((document,), notes, _) = read("labelstudio", task)
    assert document.triples == TRIPLES
    assert notes == [Note(1, NoteKind.FURTHER, "annotation 9")]
    task["annotations"] = [cancelled]
    task["predictions"] = LABELS["annotations"]
    documents, notes, _ = read("labelstudio", task)
    assert documents == []
    assert [note.kind for note in notes] == [NoteKind.REJECTED]


def test_without_annotations_the_prediction_is_taken_with_its_scores(read):
    task = _changed(LABELS, [*RESULT, 3, "score"], 0.25)
    task |= {"annotations": [], "predictions": task["annotations"]}
    ((document,), _, _) = read("labelstudio", task)
    assert [t.score for t in document.triples] == [0.25, None]
    task["predictions"] = [3]
    assert [note.kind for note in read("labelstudio", task)[1]] == [NoteKind.REJECTED]


def test_offsets_of_old_versions_of_label_studio_are_understood(read):
    text = f"😊 {TEXT}"
    for shift in (2, 3):
        task = _changed(LABELS, ["data", "text"], text)
        for region in task["annotations"][0]["result"][:3]:
            region["value"]["start"] += shift
            region["value"]["end"] += shift
        ((document,), notes, _) = read("labelstudio", task)
        assert [t.head for t in document.triples] == [head for head, _, _ in MEMBERS]
        assert document.triples[0].head_span == (9, 18)
        assert notes == []


def test_a_region_that_does_not_spell_its_text_is_told_and_searched_for(read):
    value = {"start": 17, "end": 21, "text": "Medellin", "labels": ["Loc"]}
    documents, notes, _ = read("labelstudio", _changed(LABELS, [*RESULT, 2, "value"], value))
    assert documents == [told("labelstudio")]
    assert notes == [Note(1, NoteKind.MISPLACED, "'Medellin'")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ann\nMoore runs", "Ann\\nMoore"),
        ("Ann\r\nMoore runs", "Ann\\n\\nMoore"),
        ("Ann  Moore runs", "Ann Moore"),
        ("Ann\\nMoore runs", "Ann\\nMoore"),
    ],
)
def test_lines_and_blanks_are_as_the_editor_of_label_studio_has_them(read, text, said):
    value = {"start": 0, "end": text.index(" runs"), "text": said, "labels": ["Peop"]}
    result = [{"id": "a", "type": "labels", "value": value}]
    task = {"data": {"text": text}, "annotations": [{"result": result}]}
    ((document,), notes, _) = read("labelstudio", task)
    assert document.other["entities"] == [
        {"text": text[: value["end"]], "type": "Peop", "span": [0, value["end"]]}
    ]
    assert notes == []


def test_a_text_may_have_another_name_and_ids_those_of_the_data(read):
    task = {**LABELS, "data": {"sentence": TEXT, "id": 12, "n": 3}}
    assert read("labelstudio", task)[0][0].id == "12"


def test_doccano_ids_may_be_strings_and_labels_null(read):
    text = json.dumps(PLACED["doccano"])
    record = json.loads(text.replace("10,", '"e",').replace('"id": 7', '"id": "x"'))
    record["entities"][0]["label"] = None
    ((document,), _, errors) = read("doccano", record)
    assert (document.id, document.triples, errors) == ("x", TRIPLES, [])
    assert [entity["text"] for entity in document.other["entities"]] == ["Time Inc.", "Medellin"]

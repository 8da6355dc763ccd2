"""What all raw formats share: ids, spans, notes, and words counted in characters."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.corpora.drafts import Draft, Entity, Note, NoteKind, Words, read_drafts
from grel.files.faults import Fault
from grel.files.reading import Item
from grel.records import Triple

TEXT = "Ann likes Ann Moore , not Time"
OPEN = {"relations": None, "on_error": None, "on_note": None}


def _read(draft_of_item, items, path="dir/corpus.v1.json", **options):
    parse = draft_of_item if callable(draft_of_item) else lambda item, remark: draft_of_item
    return list(read_drafts(path, items, parse, **{**OPEN, **options}))


@pytest.mark.parametrize(
    ("path", "item", "id", "expected"),
    [
        ("dir/corpus.v1.json", Item(7, b""), None, "corpus.v1-7"),
        ("dir/corpus.json", Item(7, b"", 3), None, "corpus-3"),
        ("-", Item(7, b""), None, "stdin-7"),
        ("dir/corpus.json", Item(7, b""), "own", "own"),
    ],
)
def test_ids(path, item, id, expected):
    assert _read(Draft("x", [], id), [item], path)[0].id == expected


def test_an_empty_id_is_not_replaced():
    with pytest.raises(ValueError, match="id is empty"):
        _read(Draft("x", [], ""), [Item(1, b"")])


def test_only_open_spans_are_filled():
    stated = [Triple("Ann", "r", "Time"), Triple("Ann", "r", "Bob", head_span=(10, 13))]
    notes = []
    (document,) = _read(Draft(TEXT, stated), [Item(4, b"")], on_note=notes.append)
    assert document.triples == (
        Triple("Ann", "r", "Time", (0, 3), (26, 30)),
        Triple("Ann", "r", "Bob", (10, 13), None),
    )
    assert notes == [Note(4, NoteKind.MISSING, "'Bob'")]


@pytest.mark.parametrize("span", [(1, 4), (-3, 3), (3, 0), (2, 99), (10, 12)])
def test_a_span_of_the_file_that_is_wrong_is_noted_and_searched_for(span):
    notes = []
    stated = [Triple("Ann", "r", "Time", span, head_spans=(span, (0, 3)))]
    (document,) = _read(Draft(TEXT, stated), [Item(1, b"")], on_note=notes.append)
    assert document.triples == (Triple("Ann", "r", "Time", (0, 3), (26, 30)),)
    assert notes == [Note(1, NoteKind.MISPLACED, "'Ann'")]


@pytest.mark.parametrize("span", [None, (1, 4), (-3, 3), (2, 99)])
def test_entities_stand_where_triples_do_and_are_noted_once(span):
    names = {"Ann": [0, 3], "Bob": None}
    triples = [Triple("Ann", "r", "Bob", span, span)]
    entities = [Entity(name, "T", place) for name in names for place in (span, (0, 3))]
    expected = [{"text": "Ann", "type": "T", "span": [0, 3]}, {"text": "Bob", "type": "T"}]
    for linked in (triples, []):
        notes = []
        draft = Draft(TEXT, linked, entities=entities)
        (document,) = _read(draft, [Item(1, b"")], on_note=notes.append)
        assert document.other["entities"] == expected
        for triple in document.triples:
            assert (triple.head_span, triple.tail_span) == ((0, 3), None)
        assert [note.detail for note in notes if note.kind is NoteKind.MISPLACED] == (
            ["'Bob'"] if span is None else ["'Ann'", "'Bob'", "'Bob'"]
        )


def test_one_wrong_place_of_several_is_noted_too():
    notes = []
    stated = [Triple("Ann", "r", "Time", (10, 13), head_spans=((10, 13), (1, 4)))]
    (document,) = _read(Draft(TEXT, stated), [Item(1, b"")], on_note=notes.append)
    assert document.triples == (Triple("Ann", "r", "Time", (0, 3), (26, 30)),)
    assert notes == [Note(1, NoteKind.MISPLACED, "'Ann'")]


def test_all_places_of_the_file_are_kept():
    stated = [Triple("Ann", "r", "Time", (10, 13), head_spans=((10, 13), (0, 3)))]
    (document,) = _read(Draft(TEXT, stated), [Item(1, b"")])
    assert document.triples[0].head_spans == ((10, 13), (0, 3))


def test_names_spelled_unlike_their_text_are_noted():
    text = "José , Ann and Bob\u00a0X in Medellin"
    stated = [
        Triple("Jose", "r", "Jose\u0301", (0, 4)),
        Triple("ANN", "r", "Medellín", tail_span=(24, 32)),
        Triple("Bob X", "r", "Eve"),
    ]
    notes = []
    (document,) = _read(Draft(text, stated), [Item(4, b"")], on_note=notes.append)
    spans = [(t.head_span, t.tail_span) for t in document.triples]
    assert spans == [((0, 4), (0, 4)), (None, (24, 32)), ((15, 20), None)]
    assert notes == [
        Note(4, NoteKind.UNLIKE, "'Jose' for 'José'"),
        Note(4, NoteKind.UNLIKE, "'ANN'"),
        Note(4, NoteKind.UNLIKE, "'Medellín' for 'Medellin'"),
        Note(4, NoteKind.UNLIKE, r"'Bob X' for 'Bob\xa0X'"),
        Note(4, NoteKind.MISSING, "'Eve'"),
    ]


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
def test_any_names_are_kept_or_noted_and_pass_the_checks(text, head, tail):
    notes = []
    draft = Draft(f"x{text}", [Triple(head, "r", tail, (0, 1))])
    for document in _read(draft, [Item(1, b"")], on_note=notes.append, on_error=lambda _: None):
        (triple,) = document.triples
        told = {note.kind for note in notes}
        assert (triple.head, triple.tail) == (head.strip(), tail.strip())
        assert (NoteKind.TRIMMED in told) == ((triple.head, triple.tail) != (head, tail))
        if None in (triple.head_span, triple.tail_span):
            assert told & {NoteKind.MISSING, NoteKind.UNLIKE}
        else:
            assert NoteKind.MISSING not in told


def test_an_entity_is_noted_once_a_document():
    stated = [Triple("Bob", "r", "Time"), Triple("Bob", "q", "Bob")]
    notes = []
    items = [Item(1, b""), Item(2, b"")]
    _read(Draft(TEXT, stated), items, on_note=notes.append)
    assert notes == [Note(line, NoteKind.MISSING, "'Bob'") for line in (1, 2)]


def test_notes_come_with_their_document_and_not_with_skipped_ones():
    def parse(item, remark):
        remark(NoteKind.REPEATED, f"in {item.line}")
        if item.line == 2:
            raise Fault("bad")
        return Draft("" if item.line == 3 else "x", [])

    errors, notes = [], []
    documents = read_drafts(
        "f",
        [Item(line, b"") for line in (1, 2, 3, 4)],
        parse,
        relations=None,
        on_error=errors.append,
        on_note=notes.append,
    )
    assert next(documents).id == "f-1"
    assert [note.line for note in notes] == [1]
    assert next(documents).id == "f-4"
    assert [note.line for note in notes] == [1, 4]
    assert [(error.line, error.reason) for error in errors] == [(2, "bad"), (3, "text is empty")]


@given(st.text())
def test_split_words_are_those_of_str_split(text):
    words = Words.split(text)
    assert [text[slice(*span)] for span in words.spans] == text.split()


@given(st.lists(st.text("ab é ")))
def test_joined_words_are_the_tokens(tokens):
    words = Words.join(tokens)
    assert words.text == " ".join(tokens)
    assert [words.text[slice(*span)] for span in words.spans] == tokens


@given(st.text("ab "), st.integers(-3, 9), st.integers(-3, 9))
def test_characters_of_word_ranges(text, first, end):
    words = Words.split(text)
    span = words.characters((first, end))
    assert (span is not None) == (0 <= first < end <= len(text.split()))
    if span is not None:
        assert re.split(" +", text[slice(*span)]) == text.split()[first:end]


def test_the_first_range_that_spells_the_entity_is_taken():
    remarks = []
    words = Words.split(TEXT)
    placed = words.place(
        Triple("Ann", "r", "Moore"),
        [(1, 2), (5, 99), (2, 3), (0, 1)],
        [(2, 4)],
        lambda *remark: remarks.append(remark),
    )
    assert placed == Triple("Ann", "r", "Moore", (10, 13), None)
    assert remarks == [(NoteKind.MISPLACED, "'Moore'")]

"""Entities at words and characters, links between them, offsets in UTF-16, rows of one text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.corpora.drafts import Draft, Entity, Words
from grel.corpora.readers import shapes
from grel.files.faults import Fault, RecordError
from grel.files.reading import Item
from grel.records import Triple


@given(st.text(), st.data())
def test_offsets_in_utf16_are_those_of_the_encoded_text(text, data):
    ends = st.integers(0, len(text))
    start, end = sorted((data.draw(ends), data.draw(ends)))

    def units(place):
        return len(text[:place].encode("utf-16-le")) // 2

    offsets = shapes.UnitOffsets.of(text)
    assert offsets.characters((units(start), units(end))) == (start, end)


def test_an_offset_inside_of_a_character_is_a_fault():
    with pytest.raises(Fault, match=r"offsets \[1, 2\] are no range"):
        shapes.UnitOffsets.of("😊x").characters((1, 2))


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 3)], Entity("Ann", "T", (0, 3))),
        ([(8, 13), (0, 3)], Entity("Ann Moore", "T", None, in_pieces=True)),
        ([(0, 3), (4, 7)], Entity("Ann von", "T", (0, 7))),
        ([(0, 2), (1, 3)], Entity("Ann", "T", (0, 3))),
        ([(0, 7), (1, 3)], Entity("Ann von", "T", (0, 7))),
    ],
)
def test_pieces(spans, expected):
    assert shapes.scattered_entity("Ann von Moore", spans, "T") == expected


@pytest.mark.parametrize("span", [(-1, 2), (2, 2), (3, 2), (2, 6)])
def test_entities_lie_in_their_text(span):
    with pytest.raises(Fault, match=re.escape(f"characters {list(span)} are no range of the text")):
        shapes.text_entity("abcde", span, "")
    with pytest.raises(Fault, match="are no range"):
        shapes.scattered_entity("abcde", [(0, 1), span], "")
    with pytest.raises(Fault, match=re.escape(f"tokens {list(span)} are no range of the 5 tokens")):
        shapes.word_entity(Words.split("a b c d e"), span, "")


@pytest.mark.parametrize(
    ("stands", "name", "expected"),
    [
        ("Ak - Sar - Ben Bridge", "ak-sar-ben bridge", "Ak - Sar - Ben Bridge"),
        ("Ak - Sar - Ben Bridge", "oslo", "oslo"),
        ("Zest Airways , Inc.", "Zest Airways, Inc.", "Zest Airways , Inc."),
        ("Özlem Özçelik", "ozlem o\u0308zc\u0327elik", "Özlem Özçelik"),
        ("Ann", "Ann Moore", "Ann Moore"),
        ("1948", 1948, "1948"),
        ("Ann", None, "Ann"),
        ("Ann", " ", "Ann"),
    ],
)
def test_a_stated_name_is_the_name_unless_it_stands_there(stands, name, expected):
    span = (0, len(stands))
    assert shapes.named(Entity(stands, "T", span), name) == Entity(expected, "T", span)


def test_a_link_needs_both_ends():
    ends = {1: Entity("a", "", (0, 1)), "x": Entity("b", "", None)}
    assert shapes.link(ends, (1, "x"), "r") == Triple("a", "r", "b", (0, 1), None)
    with pytest.raises(Fault, match=r"entities \[1, 2\] are not among the 2 entities"):
        shapes.link(ends, (1, 2), "r")


def test_an_id_stands_for_one_thing():
    known = {}
    for value in (1, 1):
        shapes.put(known, "a", value)
    with pytest.raises(Fault, match="id 'a' stands twice, for different things; keep one, or give"):
        shapes.put(known, "a", 2)
    assert known == {"a": 1}


def test_rows_of_one_text_and_id_are_one_document():
    def parse(item):
        id, text, name = item.data
        if not name:
            raise Fault("no name")
        return Draft(text, [Triple(name, "r", "a")], id, entities=[Entity(name, "T", None)])

    rows = [(None, "a b", "a"), ("1", "a b", "b"), (None, "c a", "c"), (None, "a b", "b")]
    rows += [(None, "a b", ""), ("1", "a b", "a")]
    errors = []
    items = [Item(line, row) for line, row in enumerate(rows, start=1)]
    documents = list(shapes.read_rows("f.x", items, parse, on_error=errors.append))
    assert [(d.id, [t.head for t in d.triples]) for d in documents] == [
        ("f-1", ["a", "b"]),
        ("1", ["b", "a"]),
        ("f-3", ["c"]),
    ]
    assert documents[0].other["entities"] == [
        {"text": "a", "type": "T", "span": [0, 1]},
        {"text": "b", "type": "T", "span": [2, 3]},
    ]
    assert [(error.line, error.reason) for error in errors] == [(5, "no name")]
    with pytest.raises(RecordError, match=r"f\.x:5: no name"):
        next(shapes.read_rows("f.x", items, parse))

"""brat: pieces, files beside each other, names, and what is faulty."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.corpora import inputs
from grel.corpora.drafts import Note, NoteKind
from grel.corpora.readers import brat
from grel.files.faults import RecordError
from tests.corpora.samples import BRAT, TEXT, TRIPLES, told

SCATTERED = "North and South America"


@pytest.fixture
def read(tmp_path):
    def read_files(ann, text=TEXT, name="data", **more):
        (tmp_path / f"{name}.txt").write_bytes(text.encode())
        (tmp_path / f"{name}.ann").write_bytes(ann.encode())
        for suffix, content in more.items():
            (tmp_path / f"{name}.{suffix}").write_text(content)
        notes = []
        (document,) = brat.read(tmp_path / f"{name}.ann", on_note=notes.append)
        return document, notes

    return read_files


@pytest.mark.parametrize("name", ["data", "data.txt", "data.ann"])
def test_the_text_its_annotations_and_what_they_share_name_the_same(tmp_path, read, name):
    read(BRAT)
    found = inputs.find(str(tmp_path / name))
    assert found.format == "brat"
    assert list(found.read()) == [told("brat")]


def test_an_entity_in_pieces_is_kept_without_a_span_and_told(read):
    ann = (
        "R1\tpart_of Arg1:T1 Arg2:T2\n"
        "T1\tPlace 0 5;16 23\tNorth America\n"
        "T2\tPlace 10 15;16 23\tSouth America\n"
    )
    document, notes = read(ann, SCATTERED)
    (triple,) = document.triples
    assert (triple.head, triple.head_span) == ("North America", None)
    assert (triple.tail, triple.tail_span) == ("South America", (10, 23))
    assert document.other["entities"] == [
        {"text": "North America", "type": "Place"},
        {"text": "South America", "type": "Place", "span": [10, 23]},
    ]
    assert notes == [Note(1, NoteKind.SCATTERED, "'North America'")]


def test_other_annotations_are_told(read):
    others = ["A1\tNegated T1", "E1\tPeop:T1 Org:T2", "*\tEquiv T1 T2", "N1\tReference T1 W:1\tx"]
    document, notes = read(BRAT + "\n".join([*others, "#1\tAnnotatorNotes T1\tsee", ""]))
    assert document.triples == TRIPLES
    assert [note.kind for note in notes] == [NoteKind.OTHER] * 5


def test_relations_may_end_at_events_and_have_scores(read):
    ann = BRAT.replace("Arg1:T1", "Arg1:E1") + ("E1\tPeop:T1\n#1\tAnnotatorNotes R1\tscore 0.25\n")
    document, _ = read(ann)
    assert document.triples[0].head == "Ann Moore"
    assert [triple.score for triple in document.triples] == [0.25, None]


def test_a1_and_a2_are_read_together(read, tmp_path):
    lines = BRAT.splitlines(keepends=True)
    read("")
    (tmp_path / "data.ann").unlink()
    for suffix, kind in (("a1", "T"), ("a2", "R")):
        content = "".join(line for line in lines if line.startswith(kind))
        (tmp_path / f"data.{suffix}").write_text(content)
    (document,) = inputs.find(str(tmp_path)).read()
    assert document.triples == TRIPLES


def test_a_reference_text_that_is_another_is_searched_for(read):
    document, notes = read(BRAT.replace("7 16\tAnn", "0 4\tAnn"))
    assert document.triples == TRIPLES
    assert document.other["entities"][0]["span"] == [7, 16]
    assert notes == [Note(1, NoteKind.MISPLACED, "'Ann Moore'")]


def test_line_breaks_count(read):
    document, notes = read("T1\tPeop 5 14\tAnn Moore\n", "ab\r\n Ann\nMoore")
    assert document.other["entities"][0]["span"] == [5, 14]
    assert notes == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("T1\tPeop 7 99\tAnn Moore", "characters [7, 99] are no range of the text, which has 43"),
        ("T1\tPeop 7\tAnn Moore", "'Peop 7' is not of the form 'Type 0 9'"),
        ("T1\tPeop 7 1\u0666\tx", "'Peop 7 1\u0666' is not of the form 'Type 0 9'"),
        ("R1\tx Arg1:T1", "'x Arg1:T1' is not of the form 'Type Arg1:T1 Arg2:T2'"),
        ("Ann Moore", "'Ann Moore' is no line of brat's"),
        ("#1\tAnnotatorNotes R1\tscore nan", "'nan' is no finite number"),
        ("T9\tPeop 7 16\tAnn Moore", "id 'T9' stands twice, for different things"),
    ],
)
def test_faults_name_the_line(read, line, reason):
    with pytest.raises(RecordError, match=re.escape(f"data.ann:2: {reason}")):
        read(f"T9\tOrg 22 31\tTime Inc.\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "T2\tOrg 0 4\tTime",
        "R1\tlocated%20in Arg1:T2 Arg2:T3",
        "E1\tPeop:T3",
        "#2\tAnnotatorNotes R1\tscore 0.5",
    ],
)
def test_an_id_that_stands_for_two_is_a_fault_and_a_line_told_again_is_none(read, line):
    ann = BRAT + "E1\tPeop:T1\n#1\tAnnotatorNotes R1\tscore 0.25\n"
    once, _ = read(ann)
    assert read(ann, a1=ann)[0] == once
    with pytest.raises(RecordError, match=r"data\.ann:8: id '(T2|R1|E1)' stands twice, for"):
        read(f"{ann}{line}\n")


def test_a_relation_without_its_entity_is_a_fault(read):
    with pytest.raises(RecordError, match=r"R1: entities \['T1', 'T2'\] are not among the 0"):
        read("R1\tx Arg1:T1 Arg2:T2\n")


def test_annotations_without_a_text_are_a_fault(tmp_path):
    (tmp_path / "a.ann").write_text(BRAT)
    with pytest.raises(RecordError, match=r"a\.txt: cannot read"):
        list(brat.read(tmp_path / "a.ann"))


# A letter of four bytes takes twelve signs.
@given(st.text(min_size=1, max_size=brat._LONGEST_NAME // 12))
def test_names_of_files_lead_nowhere_and_stand_for_their_ids(id):
    name = brat.name_of(id)
    assert re.fullmatch(r"[A-Za-z0-9_%~-][A-Za-z0-9_.%~-]*", name)
    assert brat.id_of(name) == id


@pytest.mark.parametrize("id", ["../../etc/passwd", "..", ".", "/etc", "a/b", "a\0b", ".hidden"])
def test_names_of_files_are_of_their_folder(id):
    name = brat.name_of(id)
    assert "/" not in name
    assert not name.startswith(".")


def test_long_names_are_cut_and_stay_different():
    names = {brat.name_of("x" * 1000 + end) for end in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 200 and brat.id_of(name) == name for name in names)


@pytest.mark.parametrize("name", ["100%", "a%2", "a%20b c", "ä", "a+b"])
def test_names_that_users_gave_are_their_ids(name):
    assert brat.id_of(name) == name

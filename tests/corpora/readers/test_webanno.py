"""INCEpTION's TSV: numbers, stacks, escapes, offsets in UTF-16, and what is faulty."""

import re

import pytest

from grel.corpora.drafts import Note, NoteKind
from grel.corpora.readers import webanno
from grel.files.faults import RecordError
from tests.corpora.samples import WEBANNO

HEADER = "#FORMAT=WebAnno TSV 3.2\n#T_SP=webanno.custom.Span|value\n"
RELATIONS = "#T_RL=webanno.custom.Rel|BT_webanno.custom.Span\n"


@pytest.fixture
def read(tmp_path):
    def read_sheet(content, name="data.tsv"):
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
        notes = []
        (document,) = webanno.read(tmp_path / name, on_note=notes.append)
        return document, notes

    return read_sheet


def _entities(document):
    return [(e["text"], e["type"], tuple(e["span"])) for e in document.other.get("entities", [])]


def test_offsets_count_as_java_does(read):
    rows = "1-1\t0-2\t😊\tJoy\t\n1-2\t3-5\tit\tThing\t\n"
    document, notes = read(f"{HEADER}\n\n#Text=😊 it\n{rows}")
    assert _entities(document) == [("😊", "Joy", (0, 1)), ("it", "Thing", (2, 4))]
    assert notes == []


def test_sentences_stand_where_their_tokens_say(read):
    first = "#Text=It is\n#Text=so\n1-1\t1-3\tIt\t_\t\n1-2\t4-6\tis\t_\t\n1-3\t7-9\tso\tA\t\n"
    second = "#Text=x\\ty\n2-1\t11-12\tx\t_\t\n2-2\t13-14\ty\tB\t\n"
    document, _ = read(f"{HEADER}\n\n{first}\n{second}")
    assert document.text == " It is\nso  x\ty"
    assert _entities(document) == [("so", "A", (7, 9)), ("y", "B", (13, 14))]


def test_values_stack_and_parts_of_words_have_lines(read):
    rows = (
        "1-1\t0-6\tNewYork\tPlace[1]|Odd\\|ity[2]\t\n".replace("0-6", "0-7")
        + "1-1.1\t0-3\tNew\tAge[3]\t\n"
        + "1-2\t8-12\tCity\tPlace[1]\t\n"
    )
    document, _ = read(f"{HEADER}\n\n#Text=NewYork City\n{rows}")
    assert _entities(document) == [
        ("NewYork City", "Place", (0, 12)),
        ("NewYork", "Odd|ity", (0, 7)),
        ("New", "Age", (0, 3)),
    ]


def test_a_second_label_of_one_annotation_is_told(read):
    rows = "1-1\t0-1\ta\tX[1]\t\n1-2\t2-3\tb\tY[1]\t\n1-3\t4-5\tc\tX|Y\t\n"
    document, notes = read(f"{HEADER}\n\n#Text=a b c\n{rows}")
    assert _entities(document) == [("a b", "X", (0, 3)), ("c", "X", (4, 5))]
    assert notes == [Note(1, NoteKind.OTHER, "second label 'Y'")] * 2


def test_an_annotation_over_words_apart_has_no_span(read):
    rows = "1-1\t0-1\ta\tX[1]\t\n1-2\t2-3\tb\t_\t\n1-3\t4-5\tc\tX[1]\t\n"
    document, notes = read(f"{HEADER}\n\n#Text=a b c\n{rows}")
    assert document.other["entities"] == [{"text": "a c", "type": "X"}]
    assert notes == [Note(1, NoteKind.SCATTERED, "'a c'")]


def test_annotations_without_values_are_called_as_their_layer(read):
    rows = "1-1\t0-1\ta\t*\t_\t\n1-2\t2-3\tb\t*\t1-1\t\n"
    document, notes = read(f"{HEADER}{RELATIONS}\n\n#Text=a b\n{rows}")
    assert [(t.head, t.relation, t.tail) for t in document.triples] == [("a", "Rel", "b")]
    assert [type for _, type, _ in _entities(document)] == ["Span", "Span"]
    assert notes == []


def test_an_annotation_of_no_width_is_left_out_and_told(read):
    rows = "1-1\t0-3\tAnn\tPer\t\n1-1.1\t3-3\t\tGap[1]\t\n"
    document, notes = read(f"{HEADER}\n\n#Text=Ann\n{rows}")
    assert _entities(document) == [("Ann", "Per", (0, 3))]
    assert notes == [Note(1, NoteKind.OTHER, "'Gap' on nothing")]


def test_relations_tell_stacked_ends_apart(read):
    header = HEADER + "#T_RL=webanno.custom.Rel|kind|label|BT_webanno.custom.Span\n"
    rows = (
        "1-1\t0-1\ta\tX[1]|Y[2]\t_\t_\t_\t\n"
        "1-2\t2-3\tb\tX[1]\t_\t_\t_\t\n"
        "1-3\t4-5\tc\tZ\tk|*\tr|*\t1-1[1_0]|1-1[2_0]\t\n"
    )
    document, _ = read(f"{header}\n\n#Text=a b c\n{rows}")
    assert [(t.head, t.relation, t.tail) for t in document.triples] == [
        ("a b", "r", "c"),
        ("a", "Rel", "c"),
    ]


def test_layers_of_the_preprocessing_and_chains_are_left_out_and_told(read):
    header = (
        "#FORMAT=WebAnno TSV 3.3\n"
        "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS|coarseValue|PosValue\n"
        "#T_CH=webanno.custom.Coref|referenceRelation|referenceType\n"
        "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value\n"
    )
    row = "1-1\t0-3\tAnn\tNOUN\tNNP\t*->1-1\tx\thttp:Q1\tPER\t\n"
    document, notes = read(f"{header}\n\n#Text=Ann\n{row}")
    assert _entities(document) == [("Ann", "PER", (0, 3))]
    assert [note.kind for note in notes] == [NoteKind.OTHER] * 2


def test_relations_between_tokens_have_tokens_for_ends(read):
    token = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token"
    header = f"#FORMAT=WebAnno TSV 3.3\n#T_RL=webanno.custom.Rel|label|BT_{token}\n"
    rows = "1-1\t0-1\ta\t_\t_\t\n1-2\t2-3\tb\tr\t1-1\t\n"
    document, _ = read(f"{header}\n\n#Text=a b\n{rows}")
    assert [(t.head, t.relation, t.tail_span) for t in document.triples] == [("a", "r", (2, 3))]
    assert document.other == {}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends(read, end):
    document, notes = read(WEBANNO.replace("\n", end))
    assert [t.relation for t in document.triples] == ["/business/person/company", "located in"]
    assert notes == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1-4\t11-16\tMoore", "1-4\t11\tMoore", "data.tsv:11: '1-4\\t11\\tMoore"),
        ("\tPeop[1]\t_\t_\t\n1-4", "\tPeop[1]\t_\n1-4", "data.tsv:9: 2 columns for 3 in the"),
        ("0-4\tTime", "1-4\tTime", "token 1-1 is 'Time', but the text has 'Tim'"),
        ("0-4\tTime", "0-4\tTide", "data.tsv:7: 'Tide' does not stand at 0, by the text of the"),
        ("0-4\tTime", "999999-4\tTime", "stands 999,999 characters behind the sentence before"),
        ("1-2\t5-6\t:", "1-1\t5-6\t:", "data.tsv:8: id '1-1' stands twice, for different things"),
        ("1-3[1_2]", "1-3[9_2]", "relation '1-3[9_2]' at 1-6 lacks a span at one of its ends"),
        ("1-3[1_2]", "x", "'x' is not of the form '1-2' or '1-2[3_4]'"),
    ],
)
def test_faults(read, old, new, reason):
    assert old in WEBANNO
    with pytest.raises(RecordError) as info:
        read(WEBANNO.replace(old, new, 1))
    assert reason.replace("data.tsv:11", "data.tsv:10") in str(info.value)


def test_notes_are_of_the_document(read):
    text = WEBANNO.replace("\tPeop[1]\t", "\tNone[1]\t").replace("/business/person/company", "None")
    document, notes = read(text)
    assert len(document.triples) == 1
    assert notes == [Note(1, NoteKind.NO_RELATION, "('Ann Moore', 'Time Inc.')")]
    assert re.match("Time", document.text)

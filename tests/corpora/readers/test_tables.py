"""Tables: columns by their names, rows of one text, quoted cells, and what is faulty."""

import re

import pytest

from grel.corpora import inputs
from grel.corpora.drafts import Note, NoteKind
from grel.corpora.readers import tables
from grel.files.faults import RecordError
from grel.records import Triple
from tests.corpora.samples import TABLE


@pytest.fixture
def read(tmp_path):
    def read_table(content, **options):
        path = tmp_path / "data.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(tables.read(path, **options))

    return read_table


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_by_their_names_in_any_order(read, tmp_path, delimiter, end):
    rows = [
        ["Object", "n", "Predicate", "Sentence", "Subject"],
        ["Oslo", "1", "in", "Ann in Oslo", "Ann"],
    ]
    documents = read("\ufeff" + end.join(delimiter.join(row) for row in rows) + end)
    assert [d.triples for d in documents] == [(Triple("Ann", "in", "Oslo", (0, 3), (7, 11)),)]
    found = inputs.find(str(tmp_path / "data.csv"))
    assert found.format == "csv"
    assert found.why.startswith("its first line names the columns text, head, relation, tail")


def test_quoted_cells_may_have_lines_and_delimiters(read):
    (first, second) = read('text,head,relation,tail\n"a,\n""b""","a,",r,"""b"""\n\nc,,,\n')
    assert (first.text, first.triples[0].tail_span) == ('a,\n"b"', (3, 6))
    assert (second.id, second.text, second.triples) == ("data-5", "c", ())


def test_rows_of_one_text_and_id_are_one_document(read):
    rows = ["x,a b,a,r,b", "y,a b,b,r,a", "x,a b,b,q,a"]
    documents = read("id,text,head,relation,tail\n" + "\n".join(rows))
    assert [(d.id, [t.relation for t in d.triples]) for d in documents] == [
        ("x", ["r", "q"]),
        ("y", ["r"]),
    ]


def test_an_id_of_two_texts_is_a_fault(read):
    with pytest.raises(RecordError, match="id 'x' stands on line 2 already"):
        read("id,text,head,relation,tail\nx,a b,a,r,b\nx,b a,b,r,a")


@pytest.mark.parametrize(
    ("row", "line", "reason"),
    [
        ("a b,a,,b", 2, "column 'relation' is empty, and others are not"),
        ("a b,a", 2, "column 'relation' is empty"),
        (",a,r,b", 2, "text is empty"),
        ("a b, he said,a,r,b", 2, "5 cells under 4 columns; a cell with the delimiter in it needs"),
        ("a b,a,r,b,, ,x,", 2, "7 cells under 4 columns"),
        ('a b,"a"x,r,b', 2, "not a table: "),
        ('a b,a,r,b\n"a', 3, "not a table: "),
    ],
)
def test_faults(read, row, line, reason):
    with pytest.raises(RecordError, match=re.escape(f"data.csv:{line}: {reason}")):
        read(f"text,head,relation,tail\n{row}\n")


@pytest.mark.parametrize("place", ["0,1", "2,99", "99,100", "3,2"])
def test_places_that_do_not_spell_their_name_are_searched_for(read, place):
    notes = []
    header = "text,head,relation,tail,head_start,head_end,head_type"
    (document,) = read(f"{header}\na b,b,r,a,{place},T\n", on_note=notes.append)
    assert document.triples[0].head_span == (2, 3)
    assert document.other["entities"] == [{"text": "b", "type": "T", "span": [2, 3]}]
    assert notes == [Note(2, NoteKind.MISPLACED, "'b'")]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("1,,,,", "head_start and head_end must be two numbers, not ['1', '']"),
        (",,-1,2,", "tail_start and tail_end must be two numbers, not ['-1', '2']"),
        (",,\u0661,2,", "tail_start and tail_end must be two numbers"),
        (",,,,much", "'much' is no finite number"),
        (",,,,1e999", "'1e999' is no finite number"),
    ],
)
def test_faults_of_numbers(read, cells, reason):
    header = "text,head,relation,tail,head_start,head_end,tail_start,tail_end,score"
    with pytest.raises(RecordError, match=re.escape(reason)):
        read(f"{header}\na b,a,r,b,{cells}\n")


def test_a_faulty_row_does_not_take_the_others_along(read):
    errors = []
    documents = read(TABLE.replace("located in", ""), on_error=errors.append)
    assert [len(document.triples) for document in documents] == [1]
    assert [error.line for error in errors] == [3]


def test_blank_cells_beyond_the_columns_are_nothing(read):
    (document,) = read("text,head,relation,tail\na b,a,r,b,, \n")
    assert document.triples == (Triple("a", "r", "b", (0, 1), (2, 3)),)


def test_a_row_with_more_cells_than_columns_does_not_take_the_others_along(read):
    errors = []
    rows = ["a b,a,r,b", "a b, he said,a,r,b", "b a,b,r,a"]
    documents = read("text,head,relation,tail\n" + "\n".join(rows), on_error=errors.append)
    assert [document.text for document in documents] == ["a b", "b a"]
    assert [error.line for error in errors] == [3]


def test_scores_are_kept(read):
    (document,) = read("text,head,relation,tail,score\na b,a,r,b,0.5\n")
    assert document.triples[0].score == 0.5


def test_what_is_no_table_is_refused(read):
    with pytest.raises(RecordError, match=r"data\.csv:1: the first line must name columns text"):
        read("text,head,tail\na,b,c\n")
    with pytest.raises(RecordError, match="not UTF-8: byte 0xff"):
        read(b"text,head,relation,tail\na b,a,\xff,b\n")

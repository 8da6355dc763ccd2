"""WebNLG's XML: sentences of entries, and a parser that expands and fetches nothing."""

import re

import pytest

from grel.corpora.drafts import NoteKind
from grel.corpora.readers import webnlg
from grel.files.faults import RecordError
from tests.corpora.samples import TEXT, WEBNLG

DOCTYPES = [
    '<!DOCTYPE benchmark [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    '<!DOCTYPE benchmark [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE benchmark SYSTEM "http://example.org/x.dtd">',
]


@pytest.fixture
def read(tmp_path):
    def read_xml(content, **options):
        path = tmp_path / "data.xml"
        path.write_text(content)
        return list(webnlg.read(path, **options))

    return read_xml


@pytest.mark.parametrize("doctype", DOCTYPES)
def test_a_doctype_is_refused(read, doctype):
    content = WEBNLG.replace("<benchmark>", f"{doctype}<benchmark>").replace("Time_Inc.", "&b;")
    with pytest.raises(RecordError, match=r"data\.xml:2: it has a DOCTYPE"):
        read(content)


def test_sentences_of_an_entry_share_its_triples_and_bad_ones_are_left_out(read):
    bad = '<lex comment="bad" lid="2">No.</lex><lex lid="3">Ann Moore &amp;\n Time Inc.</lex>'
    notes = []
    documents = read(WEBNLG.replace("</entry>", f"{bad}</entry>"), on_note=notes.append)
    assert [(d.id, d.text) for d in documents] == [
        ("data-1", TEXT),
        ("data-3", "Ann Moore & Time Inc."),
    ]
    assert [len(document.triples) for document in documents] == [2, 2]
    assert (NoteKind.REJECTED, "'No.'") in [(note.kind, note.detail) for note in notes]


def test_enriched_sentences_are_the_text_inside(read):
    lex = f"<lex lid='1'><sortedtripleset/><text>{TEXT}</text><template>A B</template></lex>"
    (document,) = read(re.sub("<lex.*</lex>", lex, WEBNLG))
    assert document.text == TEXT


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("</entries>", "", "not XML: mismatched tag"),
        ("Time_Inc. | located in |", "Time_Inc. |", "is not of the form 'head | relation | tail'"),
        ("<benchmark>", "<benchmark>" + "<a>" * 200, "nested too deeply"),
        ("Ann_Moore", "&undefined;", "not XML: undefined entity"),
        ("Ann_Moore", "\x01", "not XML: not well-formed"),
        (
            "utf-8",
            "GBK",
            "data.xml:1: multi-byte encodings are not supported; save the file as UTF-8",
        ),
        ("utf-8", "foo", "data.xml:1: unknown encoding: foo; save the file as UTF-8"),
    ],
)
def test_faults(read, old, new, reason):
    assert old in WEBNLG
    with pytest.raises(RecordError, match=re.escape(reason)):
        read(WEBNLG.replace(old, new, 1))


def test_sentences_before_a_fault_are_read(read):
    errors = []
    with pytest.raises(RecordError, match="not XML"):
        read(WEBNLG.replace("</benchmark>", ""), on_error=errors.append)
    assert errors == []

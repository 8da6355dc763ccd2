"""CoNLL04 in two forms: blocks, words that the corpus writes otherwise, and what is faulty."""

import re

import pytest

from grel.corpora.formats import READERS
from grel.files.faults import RecordError
from tests.corpora.samples import CORP, MULTIHEAD, TEXT


@pytest.fixture
def read(tmp_path):
    def read_file(format, content, **options):
        path = tmp_path / "data.txt"
        path.write_text(content)
        return list(READERS[format](path, **options))

    return read_file


@pytest.mark.parametrize("between", ["", "\n"])
def test_sentences_with_and_without_relations(read, between):
    bare = CORP.partition("\n\n")[0] + "\n\n\n"
    documents = read("conll04", CORP + between + bare + CORP)
    assert [len(document.triples) for document in documents] == [2, 0, 2]
    assert {document.text for document in documents} == {TEXT}
    assert documents[1].id == f"data-{12 + bool(between)}"


def test_a_block_of_relations_may_be_missing_with_its_blank_line(read):
    bare = CORP.partition("\n\n")[0] + "\n\n"
    assert [len(document.triples) for document in read("conll04", bare + CORP)] == [0, 2]


def test_words_of_the_corpus(read):
    content = (
        "1\tO\t0\tO\tNN\tand/or\tO\tO\tO\n1\tO\t1\tO\t,\tCOMMA\tO\tO\tO\n"
        "1\tOther\t2\tO\t-LRB-/NN/-RRB-\t-LRB-/a/-RRB-\tO\tO\tO\n"
    )
    (document,) = read("conll04", content)
    assert document.text == "and/or , ( a )"
    assert document.other["entities"] == [{"text": "( a )", "type": "Other", "span": [9, 14]}]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2\t4\t/bus", "2\t9\t/bus", "data.txt:9: entities ['2', '9'] are not among the 7"),
        ("2\t4\t/bus", "2\t4\tx\t/bus", "data.txt:9: 4 columns; tokens have 9, relations 3"),
        ("\tO\tO\tO\n9\tO\t1", "\tO\tO\n9\tO\t1", "data.txt:1: 8 columns"),
    ],
)
def test_faults_of_corp(read, old, new, reason):
    with pytest.raises(RecordError, match=re.escape(reason)):
        read("conll04", CORP.replace(old, new, 1))


def test_sentences_without_a_blank_line_between_them_are_a_fault(read):
    bare = CORP.partition("\n\n")[0] + "\n"
    reason = "data.txt:8: id '0' stands twice, for different things; keep one, or give it another"
    with pytest.raises(RecordError, match=f"{re.escape(reason)}.* put a blank line before it"):
        read("conll04", bare + CORP)


def test_faults_are_of_their_sentence(read):
    errors = []
    bad = CORP.replace("2\t4\t/bus", "2\t9\t/bus")
    documents = read("conll04", bad + CORP, on_error=errors.append)
    assert [error.line for error in errors] == [9]
    assert [document.text for document in documents] == [TEXT]


def test_several_relations_of_one_word(read):
    content = MULTIHEAD.replace("#doc 5", "#doc 6").replace(
        "['located in']\t[8]", "[\"located in\", 'near']\t[8, 3]"
    )
    documents = read("multihead", f"{MULTIHEAD}\n{content}")
    assert [document.id for document in documents] == ["5", "6"]
    assert [(t.relation, t.tail) for t in documents[1].triples[1:]] == [
        ("located in", "Medellin"),
        ("near", "Ann Moore"),
    ]


def test_tags_that_go_on_with_nothing_begin(read):
    tags = ["I-A", "I-A", "I-B", "B-B", "O", "I-", "B-A"]
    rows = "".join(f"{n}\tw{n}\t{tag}\t['N']\t[{n}]\n" for n, tag in enumerate(tags))
    (document,) = read("multihead", f"#doc 1\n{rows}")
    found = [(entity["text"], entity["type"]) for entity in document.other["entities"]]
    assert found == [("w0 w1", "A"), ("w2", "B"), ("w3", "B"), ("w6", "A")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[6]", "[4]", "data.txt:5: no entity ends at 4"),
        ("[6]", "['x']", "data.txt:5: it must be 3, word, tag, ['label', ...], [number, ...]"),
        ("[6]", "[6, 8]", "data.txt:5: it must be 3, word"),
        ("[6]", "[[6]]", "data.txt:5: no entity ends at [6]"),
        ("[6]", "7", "data.txt:5: it must be 3, word"),
        ("[6]", "[" * 100_000, "data.txt:5: it must be 3, word"),
        ("3\tMoore", "4\tMoore", "data.txt:5: it must be 3, word"),
        ("3\tMoore\t", "3\tMoore", "data.txt:5: it must be 3, word"),
        ("I-Peop\t[", "O\t[", "data.txt:5: no entity ends at 3"),
        ("#doc 5", "#docs", "it must begin with '#doc ID', not '#docs'"),
    ],
)
def test_faults_of_multihead(read, old, new, reason):
    assert old in MULTIHEAD
    with pytest.raises(RecordError, match=re.escape(reason)):
        read("multihead", MULTIHEAD.replace(old, new, 1))

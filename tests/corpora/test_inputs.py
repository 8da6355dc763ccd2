"""What a user points at: every format is recognised for what it is, and folders are one corpus."""

import gzip
import json

import pytest

from grel.corpora import inputs
from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import FORMATS
from grel.corpora.recognition import Head
from grel.errors import UsageError
from grel.files.faults import RecordError
from tests.corpora.samples import FILES, OWN_IDS, PLACED, SAME, TEXT, told, write

CASREL = SAME["casrel"]


def _lines(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_every_format_has_a_sample():
    assert {*FILES, "spacy"} == set(FORMATS)  # which needs spaCy to make one


@pytest.mark.parametrize("format", FILES)
def test_every_format_is_recognised_and_says_the_same(tmp_path, format):
    path = write(tmp_path, format)
    found = inputs.find(str(path))
    assert (found.format, found.others) == (format, ())
    assert found.why
    assert sorted(found.files) == sorted(str(tmp_path / name) for name in FILES[format][1])
    assert list(found.read()) == [told(format)]


@pytest.mark.parametrize("format", FILES)
def test_a_folder_of_it_says_the_same_under_ids_of_its_places(tmp_path, format):
    for part in ("a", "b/c"):
        write(tmp_path / part, format)
    (tmp_path / ".hidden").write_text("no matter")
    (tmp_path / "README.md").write_text("# About\n")
    for asked in (format, inputs.AUTO):
        found = inputs.find(str(tmp_path), asked)
        assert (found.format, found.others) == (format, ("README.md",))
        assert bool(found.why) == (asked == inputs.AUTO)
        seen, errors = set(), []
        for document in found.read(on_error=errors.append):
            assert document.text == TEXT
            seen.add(document.id)
        if format in OWN_IDS:
            assert seen == {told(format).id}
            assert "is in a/data" in errors[0].reason
        else:
            assert seen == {f"{part}/{told(format).id}" for part in ("a", "b/c")}
            assert errors == []


@pytest.mark.parametrize("format", [name for name in FILES if name in SAME])
def test_lists_lines_and_compressed_files_are_recognised(tmp_path, format):
    record = SAME[format]
    for text in (json.dumps([record] * 3), json.dumps(record, indent=1), f"\n{json.dumps(record)}"):
        (tmp_path / "x").write_bytes(gzip.compress(text.encode()))
        assert inputs.find(str(tmp_path / "x")).format == format


def test_a_faulty_record_does_not_hide_what_the_others_are(tmp_path):
    _lines(tmp_path / "x", {"text": "a"}, CASREL, CASREL)
    found = inputs.find(str(tmp_path / "x"))
    assert (found.format, found.why) == ("casrel", "its records have text and triple_list")
    with pytest.raises(RecordError, match="x:1: field 'triple_list' is missing"):
        list(found.read())


@pytest.mark.parametrize(
    ("triples", "format"),
    [
        ([[]], "jsonl"),
        ([[], [{"head": "a", "relation": "r", "tail": "b"}]], "jsonl"),
        ([[], PLACED["rebel"]["triples"]], "rebel"),
    ],
)
def test_records_without_triples_do_not_tell_rebel_from_grel(tmp_path, triples, format):
    records = [
        {"id": f"{n}", "docid": "d", "text": TEXT, "triples": t} for n, t in enumerate(triples)
    ]
    _lines(tmp_path / "x", *records)
    assert inputs.find(str(tmp_path / "x")).format == format
    if format == "jsonl":
        for document in inputs.find(str(tmp_path / "x")).read():
            assert document.other["docid"] == "d"


def test_rebel_without_triples_is_rebel(tmp_path):
    _lines(tmp_path / "x", {**PLACED["rebel"], "triples": []})
    assert inputs.find(str(tmp_path / "x")).format == "rebel"


@pytest.mark.parametrize("format", ["spert", "doccano", "prodigy"])
def test_sentences_without_relations_are_recognised(tmp_path, format):
    record = (SAME | PLACED)[format]
    _lines(tmp_path / "x", *[{**record, "relations": []}] * 2)
    assert inputs.find(str(tmp_path / "x")).format == format


@pytest.mark.parametrize(
    ("content", "told_as"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"\xef\xbb\xbf\x1c", "it is empty"),
        (b'{"sentence": "x", "facts": []}', "JSON objects with the fields 'sentence' and 'facts'"),
        (b"[1, 2]", "it is JSON, but not objects: 1"),
        (b'{"a": ', "it looks like JSON, but does not parse"),
        (b"Ann lives in Oslo .\n", "it is text that begins with 'Ann lives in Oslo .'"),
        (b"PK\x03\x04\x00\x00", "it is no text in UTF-8 and begins with b'PK"),
        (b"\xff\xfea\x00", "it is no text in UTF-8"),
    ],
)
def test_what_is_of_no_format_is_described(tmp_path, content, told_as):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(inputs.InputError, match="no format fits it") as info:
        inputs.find(str(tmp_path / "x"))
    assert told_as in str(info.value)
    assert all(name in str(info.value) for name in FORMATS)
    assert "\n" not in str(info.value)


def test_standard_input_needs_a_format():
    with pytest.raises(UsageError, match="say its --format"):
        inputs.find("-")
    assert inputs.find("-", "casrel").sources == (inputs.Source("-"),)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(RecordError, match="none: cannot read: No such file"):
        inputs.find(str(tmp_path / "none"))


def test_a_folder_without_a_corpus_says_what_is_in_it(tmp_path):
    with pytest.raises(inputs.InputError, match="no file in it is of a format: it is empty"):
        inputs.find(str(tmp_path))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(inputs.InputError, match=r"in the format 'hrl': there are \['notes.txt'\]"):
        inputs.find(str(tmp_path), "hrl")


def test_a_folder_of_several_formats_asks_which(tmp_path):
    for format in ("hrl", "casrel"):
        write(tmp_path / format, format)
    with pytest.raises(inputs.InputError, match=r"1 in casrel, 1 in hrl; say --format=NAME"):
        inputs.find(str(tmp_path))
    found = inputs.find(str(tmp_path), "hrl")
    assert [source.name for source in found.sources] == ["hrl/data.json"]
    assert found.others == ("casrel/data.json",)


def test_links_out_of_a_folder_are_not_followed(tmp_path):
    write(tmp_path / "else", "casrel")
    inside = tmp_path / "inside"
    write(inside, "casrel")
    (inside / "out.json").symlink_to(tmp_path / "else" / "data.json")
    (inside / "same.json").symlink_to(inside / "data.json")
    (inside / "all").symlink_to(tmp_path / "else")
    found = inputs.find(str(inside))
    assert [source.name for source in found.sources] == ["data.json", "same.json"]
    assert found.others == ("out.json (a link out of the folder)",)


def test_notes_and_errors_of_a_folder_name_the_file(tmp_path):
    unknown = {**CASREL, "triple_list": [["Bob", "r", "Time"]]}
    _lines(tmp_path / "a" / "x.json", CASREL, unknown)
    _lines(tmp_path / "b.json", CASREL, {})
    notes, errors = [], []
    found = inputs.find(str(tmp_path), "casrel")
    documents = list(found.read(on_note=notes.append, on_error=errors.append))
    assert [document.id for document in documents] == ["a/x-1", "a/x-2", "b-1"]
    assert notes == [Note(2, NoteKind.MISSING, "'Bob'", "a/x.json")]
    (error,) = errors
    assert (error.path, error.line) == (str(tmp_path / "b.json"), 2)


def test_files_that_differ_in_their_endings_have_ids_of_their_own(tmp_path):
    for name in ("a.json", "a.jsonl", "b.json"):
        _lines(tmp_path / name, CASREL)
    ids = [document.id for document in inputs.find(str(tmp_path)).read()]
    assert ids == ["a.json-1", "a.jsonl-1", "b-1"]


def test_damaged_files_are_one_error(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(json.dumps(CASREL).encode(), mtime=0)[:-20])
    for path in (tmp_path / "x.gz", tmp_path):
        with pytest.raises(RecordError, match=r"x\.gz: (the compressed data ends|cannot read)"):
            inputs.find(str(path))


def test_ids_are_those_of_one_corpus(tmp_path):
    for name in ("a.json", "b.json"):
        _lines(tmp_path / name, {**SAME["tplinker"], "id": "x"})
    with pytest.raises(RecordError, match=r"b\.json: id 'x' is in a\.json already"):
        list(inputs.find(str(tmp_path)).read())


def test_a_head_is_short_whatever_the_file(tmp_path):
    (tmp_path / "x").write_bytes(gzip.compress(b"a" * (1 << 24)))
    assert len(Head.of(tmp_path / "x").data) == 1 << 16


def test_records_without_ids_are_told_what_they_lack(tmp_path):
    _lines(tmp_path / "x", {"text": "a b", "triples": []})
    found = inputs.find(str(tmp_path / "x"))
    assert found.format == "jsonl"
    with pytest.raises(RecordError, match="x:1: field 'id' is missing"):
        list(found.read())

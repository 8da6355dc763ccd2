"""Every raw format: one sentence told in all of them, their faults, and the real corpora."""

import gzip
import json
from pathlib import Path

import pytest

from grel.corpora.drafts import Note, NoteKind
from grel.corpora.formats import READERS
from grel.files.faults import RecordError, quote
from grel.files.parsing import MAX_LINE_BYTES
from grel.records import Document, Triple
from tests.corpora.samples import FILES, MEMBERS, POINTER, SAME, TEXT, TOKENS, TRIPLES, TUP, told

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no corpora at {DATA}")


@pytest.fixture
def written(tmp_path):
    def write(*records, name="data.json"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
        return path

    return write


@pytest.fixture
def ptrnet(tmp_path):
    def write(sent, tup, pointer=None):
        for suffix, text in (("sent", sent), ("tup", tup), ("pointer", pointer)):
            if text is not None:
                data = text if isinstance(text, bytes) else text.encode()
                (tmp_path / f"dev.{suffix}").write_bytes(data)
        return tmp_path / "dev"

    return write


def _all(format, path, **options):
    """Documents, notes and errors."""
    notes, errors = [], []
    documents = list(READERS[format](path, on_note=notes.append, on_error=errors.append, **options))
    return documents, notes, errors


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("format", SAME)
def test_every_format_says_the_same(written, format, as_list):
    path = written([SAME[format]] if as_list else SAME[format])
    assert _all(format, path) == ([told(format)], [], [])


@pytest.mark.parametrize("pointer", [None, POINTER + "\n", POINTER + "\r\n"])
def test_ptrnet_says_the_same(ptrnet, pointer):
    path = ptrnet(TEXT + "\n", TUP + "\n", pointer)
    assert _all("ptrnet", path) == ([Document("dev-1", TEXT, TRIPLES)], [], [])


def test_no_format_is_left_out():
    assert {*FILES, "spacy"} == set(READERS)


@pytest.mark.parametrize("format", SAME)
def test_annotated_places_win_over_the_first_occurrence(written, format):
    swapped = json.loads(json.dumps(SAME[format]).replace("Time Inc.", "Time"))
    if format == "spert":
        swapped["tokens"] = TOKENS
        swapped["entities"][0]["end"] = 6
    elif format == "hrl":
        swapped["sentext"] = TEXT
        swapped["relations"][0]["tags"][6] = swapped["relations"][1]["tags"][6] = 0
    elif format == "tplinker":
        swapped["text"] = TEXT
        swapped["relation_list"][0]["obj_char_span"] = [22, 26]
        swapped["relation_list"][1]["subj_char_span"] = [22, 26]
    elif format == "jointer":
        swapped["tokens"] = TOKENS
        swapped["spo_details"][0][5] = swapped["spo_details"][1][1] = 6
    else:
        swapped["sentText" if format == "copyre" else "text"] = TEXT
    ((document,), notes, errors) = _all(format, written(swapped))
    annotated = format in ("spert", "hrl", "tplinker", "jointer")
    place = (22, 26) if annotated else (0, 4)
    assert [document.triples[0].tail_span, document.triples[1].head_span] == [place, place]
    assert notes == errors == []


@pytest.mark.parametrize("format", [name for name in SAME if name != "spert"])
def test_an_entity_that_is_not_in_the_text_is_kept_and_noted(written, format):
    record = json.loads(json.dumps(SAME[format]).replace("Ann Moore", "Ann Curry"))
    for name in ("text", "sentText", "sentext"):
        if name in record:
            record[name] = TEXT
    if format == "tplinker":
        del record["relation_list"][0]["subj_char_span"]
    ((document,), notes, errors) = _all(format, written(record))
    assert document.triples[0] == Triple(
        "Ann Curry", MEMBERS[0][1], "Time Inc.", None, TRIPLES[0].tail_span
    )
    assert Note(1, NoteKind.MISSING, "'Ann Curry'") in notes
    assert errors == []


@pytest.mark.parametrize("format", SAME)
def test_accents_are_folded(written, format):
    record = json.loads(json.dumps(SAME[format]).replace("Medellin", "Medellín"))
    if "tokens" in record:
        record["tokens"] = TOKENS
    for name in ("text", "sentText", "sentext"):
        if name in record:
            record[name] = TEXT
    ((document,), notes, errors) = _all(format, written(record))
    expected = "Medellin" if format == "spert" else "Medellín"
    assert (document.triples[1].tail, document.triples[1].tail_span) == (expected, (35, 43))
    unlike = [Note(1, NoteKind.UNLIKE, "'Medellín' for 'Medellin'")]
    assert (notes, errors) == ([] if format == "spert" else unlike, [])


@pytest.mark.parametrize("format", SAME)
def test_duplicates_stay_but_where_a_format_repeats_by_design(written, format):
    record = json.loads(json.dumps(SAME[format]))
    for name in ("relationMentions", "triple_list", "relation_list", "relations", "triples"):
        if name in record:
            record[name].append(record[name][0])
    for name in ("spo_list", "spo_details"):
        if name in record:
            record[name].append(record[name][0])
    ((document,), notes, errors) = _all(format, written(record))
    if format == "tplinker":
        assert document.triples == TRIPLES
        assert [(note.line, note.kind) for note in notes] == [(1, NoteKind.REPEATED)]
    else:
        assert document.triples == (*TRIPLES, TRIPLES[0])
        assert notes == []
    assert errors == []


@pytest.mark.parametrize("label", ["None", "NA", "n/a", "no_relation", "No Relation", "Other"])
@pytest.mark.parametrize("format", SAME)
def test_pairs_without_a_relation_are_left_out_and_noted(written, format, label):
    record = json.loads(json.dumps(SAME[format]).replace(MEMBERS[0][1], label))
    ((document,), notes, errors) = _all(format, written(record), relations=["located in"])
    assert document.triples == TRIPLES[1:]
    assert notes == [Note(1, NoteKind.NO_RELATION, "('Ann Moore', 'Time Inc.')")]
    assert errors == []
    ((document,), notes, _) = _all(format, written(record), relations=["located in", label])
    assert [t.relation for t in document.triples] == [label, "located in"]
    assert notes == []


@pytest.mark.parametrize("format", [name for name in SAME if name != "spert"])
def test_padded_names_are_trimmed_and_noted(written, format):
    record = json.loads(json.dumps(SAME[format]).replace("located in", " located in"))
    for name in ("Ann Moore", "Medellin"):
        record = json.loads(json.dumps(record).replace(f'"{name}"', f'" {name}\\t"'))
    if format == "tplinker":
        record["relation_list"][0]["subj_char_span"] = [6, 17]
    for name in ("tokens", "entities"):
        if name in record:
            record[name] = SAME[format][name]
    ((document,), notes, errors) = _all(format, written(record))
    assert document.triples == TRIPLES
    details = [note.detail for note in notes if note.kind is NoteKind.TRIMMED]
    assert details == [
        "' Ann Moore\\t'",
        *(["'Ann Moore' at [6, 17]"] if format == "tplinker" else []),
        "' located in'",
        "' Medellin\\t'",
    ]
    assert len(notes) == len(details)
    assert errors == []


@pytest.mark.parametrize("blank", ["\u00a0", "  ", "\n", "\u2003 ", "\r\n"])
@pytest.mark.parametrize("format", [name for name in SAME if name not in ("spert", "jointer")])
def test_blanks_of_a_name_may_be_others_than_those_of_its_text(written, format, blank):
    text = TEXT.replace("Ann Moore", f"Ann{blank}Moore")
    record = json.loads(json.dumps(SAME[format]))
    for name in ("text", "sentText", "sentext"):
        if name in record:
            record[name] = text
    for relation in record.get("relation_list", []):
        del relation["subj_char_span"], relation["obj_char_span"]
    ((document,), notes, errors) = _all(format, written(record))
    assert document.triples[0].head == "Ann Moore"
    assert document.triples[0].head_span == (7, 15 + len(blank))
    assert [note.kind for note in notes] == [NoteKind.UNLIKE]
    assert errors == []


@pytest.mark.parametrize("format", SAME)
def test_pretty_printed_and_compressed_files_say_the_same(tmp_path, format):
    lines = json.dumps(SAME[format]) + "\n"
    pretty = json.dumps(SAME[format], indent=2)
    for data in (pretty, f"\ufeff\n{pretty}\n", json.dumps([SAME[format]], indent=2), lines):
        for compress in (bytes, gzip.compress):
            (tmp_path / "data.json").write_bytes(compress(data.encode()))
            documents, notes, errors = _all(format, tmp_path / "data.json")
            assert documents == [told(format)]
            assert notes == errors == []


def test_a_list_inside_an_object_is_told_for_what_it_is(written):
    (error,) = _all("casrel", written({"data": [SAME["casrel"]]}))[2]
    assert error.reason == (
        "field 'triple_list' is missing; 'data' is a list of records with it: let the file be that "
        "list alone"
    )


@pytest.mark.parametrize(
    ("format", "name", "value", "id"),
    [
        ("tplinker", "id", "valid_3", "valid_3"),
        ("tplinker", "id", 3, "3"),
        ("spert", "orig_id", 5178, "5178"),
        ("spert", "orig_id", "5a-b", "5a-b"),
        ("copyre", "sentId", "9", "data-1"),
    ],
)
def test_ids_of_the_file(written, format, name, value, id):
    assert _all(format, written({**SAME[format], name: value}))[0][0].id == id


def _changed(format, path, value):
    record = json.loads(json.dumps(SAME[format]))
    *parents, last = path
    place = record
    for name in parents:
        place = place[name]
    place[last] = value
    return record


@pytest.mark.parametrize(
    ("format", "path", "value", "reason"),
    [
        ("copyre", ["sentText"], 1, "field 'sentText' must be a string, not 1"),
        ("copyre", ["relationMentions"], None, "field 'relationMentions' must be a list"),
        ("copyre", ["relationMentions", 1], {"em1Text": "a"}, "relationMentions[1]: field 'label'"),
        ("copyre", ["relationMentions", 0, "em1Text"], " ", "triples[0]: head is empty"),
        ("copyre", ["relationMentions", 0, "label"], "x", "unknown relation 'x'"),
        ("casrel", ["triple_list", 1], ["a", "b"], "triple_list[1]: it must be [head, relation,"),
        ("casrel", ["triple_list", 1], ["a", "b", 3], "triple_list[1]: it must be [head, relation"),
        ("casrel", ["triple_list", 1], "abc", "triple_list[1]: it must be a list, not 'abc'"),
        ("casrel", ["text"], " ", "text is empty"),
        ("spert", ["tokens", 3], 3, "tokens[3]: it must be a string, not 3"),
        ("spert", ["entities", 2, "end"], 10, "entities[2]: tokens [8, 10] are no range of the 9"),
        ("spert", ["entities", 2, "end"], 8, "entities[2]: tokens [8, 8] are no range"),
        ("spert", ["entities", 2, "start"], -1, "entities[2]: tokens [-1, 9] are no range"),
        ("spert", ["entities", 2, "start"], "8", "entities[2]: field 'start' must be an integer"),
        ("spert", ["relations", 1, "tail"], 3, "relations[1]: entities [0, 3] are not among the 3"),
        ("spert", ["relations", 1, "head"], -1, "relations[1]: entities [-1, 2] are not among"),
        ("spert", ["relations", 1, "head"], True, "relations[1]: field 'head' must be an integer"),
        ("spert", ["orig_id"], None, "field 'orig_id' must be a string, not None"),
        ("hrl", ["relations", 0, "tags"], [4, 5], "relations[0]: 2 tags for 9 words"),
        ("hrl", ["relations", 0, "tags", 3], "1", "relations[0]: tags[3]: it must be an integer"),
        ("hrl", ["relations", 0, "rtext"], None, "relations[0]: field 'rtext' must be a string"),
        ("tplinker", ["relation_list", 0, "obj_char_span"], [[22, 31]], "must be [start, end]"),
        ("jointer", ["spo_list", 0], ["a"], "spo_list[0]: it must be [head, relation, tail]"),
        ("jointer", ["spo_details", 1], [1, 2], "spo_details[1]: it must be [int, int, str,"),
        ("jointer", ["tokens"], [], "text is empty"),
        ("jsonl", ["triples", 0, "surplus"], 1, "unknown field 'surplus'"),
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_faults(written, format, path, value, reason, as_list):
    good = SAME[format]
    records = [good, _changed(format, path, value), _changed(format, ["id"], "after")]
    relations = [r for _, r, _ in MEMBERS]
    path = written(records) if as_list else written(*records)
    documents, _, errors = _all(format, path, relations=relations)
    assert [document.text for document in documents] == [TEXT, TEXT]
    (error,) = errors
    assert (error.path, error.line) == (str(path), 1 if as_list else 2)
    assert reason in error.reason
    assert error.reason.startswith("item 2: ") == as_list
    with pytest.raises(RecordError):
        list(READERS[format](path, relations=relations))


@pytest.mark.parametrize("format", SAME)
def test_every_needed_field_is_asked_for(written, format):
    for name in SAME[format]:
        record = {key: value for key, value in SAME[format].items() if key != name}
        _, _, errors = _all(format, written(record))
        needed = name not in ("articleId", "sentId", "spo_details", "pos_tags") and (
            (format, name) != ("hrl", "entities")
        )
        missing = f"field '{name}' is missing; there are {quote(list(record))}"
        assert [error.reason for error in errors] == [missing] * needed


def test_positions_that_do_not_fit_are_noted_and_searched_for(written, ptrnet):
    hrl = _changed("hrl", ["relations", 0, "tags"], [4, 0, 0, 0, 0, 5, 2, 0, 0])
    jointer = _changed("jointer", ["spo_details", 0, 1], 3)
    few = {**SAME["jointer"], "spo_details": SAME["jointer"]["spo_details"][:1]}
    tplinker = _changed("tplinker", ["relation_list", 0, "subj_char_span"], [8, 17])
    jsonl = _changed("jsonl", ["triples", 0, "head_span"], [7, 99])
    for path, format, detail in (
        (written(hrl), "hrl", "'Ann Moore'"),
        (written(tplinker, name="data.tp"), "tplinker", "'Ann Moore'"),
        (written(jsonl, name="data.jsonl"), "jsonl", "'Ann Moore'"),
        (written(jointer, name="j"), "jointer", "'Ann Moore'"),
        (written(few, name="k"), "jointer", "1 positions for 2 triples"),
        (ptrnet(TEXT, TUP, POINTER.replace("2 3", "3 4", 1)), "ptrnet", "'Ann Moore'"),
        (ptrnet(TEXT, TUP, POINTER.replace("2 3", "98 99", 1)), "ptrnet", "'Ann Moore'"),
    ):
        ((document,), notes, errors) = _all(format, path)
        assert document.triples == TRIPLES
        assert notes == [Note(1, NoteKind.MISPLACED, detail)]
        assert errors == []


def test_an_hrl_mention_that_is_tagged_twice(written):
    tags = [4, 0, 4, 1, 0, 5, 2, 0, 0]
    documents, notes, _ = _all("hrl", written(_changed("hrl", ["relations", 0, "tags"], tags)))
    assert documents[0].triples == TRIPLES
    assert notes == []


def test_an_hrl_mention_at_the_end(written):
    relation = {"em1": "runs", "rtext": "r", "em2": "Ann Moore", "tags": [5, 2, 0, 4, 5, 2]}
    record = {"sentext": "Ann M. , runs Ann Moore", "relations": [relation]}
    documents, notes, _ = _all("hrl", written(record))
    assert documents[0].triples[0].tail_span == (14, 23)
    assert notes == []


def test_tplinker_spans_are_optional(written):
    record = json.loads(json.dumps(SAME["tplinker"]))
    for relation in record["relation_list"]:
        del relation["subj_char_span"], relation["obj_char_span"]
    assert _all("tplinker", written(record))[0][0].triples == TRIPLES


@pytest.mark.parametrize("suffix", ["sent", "tup", "pointer"])
def test_ptrnet_takes_a_file_for_its_stem(ptrnet, suffix):
    path = ptrnet(TEXT, TUP, POINTER)
    documents, notes, errors = _all("ptrnet", f"{path}.{suffix}")
    assert documents == [Document("dev-1", TEXT, TRIPLES)]
    assert notes == errors == []


def test_ptrnet_files_may_be_compressed(ptrnet):
    path = ptrnet(gzip.compress(TEXT.encode()), TUP, gzip.compress(POINTER.encode()))
    assert _all("ptrnet", path) == ([Document("dev-1", TEXT, TRIPLES)], [], [])


def test_a_stem_that_ends_like_a_file_is_a_stem(tmp_path):
    for suffix, text in ((".sent", TEXT), (".tup", TUP)):
        (tmp_path / f"a.sent{suffix}").write_text(text)
    assert [d.id for d in READERS["ptrnet"](tmp_path / "a.sent")] == ["a.sent-1"]


def test_ptrnet_sentences_without_triples(ptrnet):
    path = ptrnet(f"{TEXT}\na b\n", f"{TUP}\n \n", f"{POINTER}\n\n")
    documents, _, errors = _all("ptrnet", path)
    assert [len(document.triples) for document in documents] == [2, 0]
    assert errors == []


def test_ptrnet_separators_stand_alone(ptrnet):
    documents, _, errors = _all("ptrnet", ptrnet("A;B likes C|D", "A;B ; C|D ; r"))
    assert documents[0].triples == (Triple("A;B", "r", "C|D", (0, 3), (10, 13)),)
    assert errors == []


@pytest.mark.parametrize(
    ("sent", "tup", "pointer", "file", "reason"),
    [
        ("\n", TUP, POINTER, "sent", "the sentence is empty"),
        (b"\xff", TUP, POINTER, "sent", "not UTF-8"),
        (TEXT, b"\xff", POINTER, "tup", "not UTF-8"),
        (TEXT, TUP, b"\xff", "pointer", "not UTF-8"),
        ("x" * (MAX_LINE_BYTES + 1), TUP, POINTER, "sent", "longer than"),
        (TEXT, "a ; b", POINTER, "tup", "'a ; b' is not of the form 'head ; tail ; relation'"),
        (TEXT, "a ; b ; c ; d", POINTER, "tup", "is not of the form"),
        (TEXT, TUP + " |", POINTER, "tup", "'' is not of the form"),
        (TEXT, "| " + TUP, POINTER, "tup", "'' is not of the form"),
        (TEXT, "a ; ; c", "0 0 1 1 c", "tup", "triples[0]: tail is empty"),
        (TEXT, TUP.replace("located in", "x"), POINTER.replace("located in", "x"), "tup", "unkn"),
        (TEXT, TUP, POINTER.partition(" | ")[0], "pointer", "not those of dev.tup"),
        (TEXT, TUP, POINTER.replace("located in", "x"), "pointer", "not those of dev.tup"),
        (TEXT, TUP, POINTER.replace("2 3", "2 -3"), "pointer", "not of the form '3 4 0 1 relation"),
        (TEXT, TUP, POINTER.replace("2 3", "2 3.0"), "pointer", "not of the form"),
        (TEXT, TUP, POINTER.replace("2 3", "2 ٣"), "pointer", "not of the form"),
    ],
)
def test_ptrnet_faults_name_the_file(ptrnet, sent, tup, pointer, file, reason):
    def lines(faulty, good):
        return good.encode() + b"\n" + (faulty if isinstance(faulty, bytes) else faulty.encode())

    path = ptrnet(lines(sent, TEXT), lines(tup, TUP), lines(pointer, POINTER))
    reader = READERS["ptrnet"](path, relations=[r for _, r, _ in MEMBERS])
    assert next(reader).triples == TRIPLES
    with pytest.raises(RecordError) as info:
        next(reader)
    assert (info.value.path, info.value.line) == (f"{path}.{file}", 2)
    assert reason in info.value.reason


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        ((2, 1, None), "dev.sent has 2, dev.tup has 1"),
        ((1, 2, 1), "dev.sent has 1, dev.tup has 2, dev.pointer has 1"),
        ((1, 1, 2), "dev.sent has 1, dev.tup has 1, dev.pointer has 2"),
    ],
)
def test_ptrnet_files_must_be_parallel(ptrnet, lines, counts):
    texts = (TEXT, TUP, POINTER)
    path = ptrnet(*(n and (t + "\n") * n for n, t in zip(lines, texts, strict=True)))
    with pytest.raises(RecordError, match=f"{path}: .*number of lines: {counts}"):
        next(READERS["ptrnet"](path, on_error=lambda _: None))


def test_ptrnet_needs_both_files(ptrnet):
    with pytest.raises(RecordError, match=r"dev\.tup: cannot read"):
        list(READERS["ptrnet"](ptrnet(TEXT, None)))


@pytest.mark.parametrize("format", SAME)
def test_ids_that_stand_twice_are_faults(written, format):
    name = {"spert": "orig_id"}.get(format, "id")
    path = written({**SAME[format], name: "x"}, {**SAME[format], name: "x"})
    reasons = [error.reason for error in _all(format, path)[2]]
    has_ids = format in ("spert", "tplinker", "jsonl")
    assert reasons == ["id 'x' stands on line 1 already"] * has_ids


@needs_data
@pytest.mark.parametrize(
    ("format", "path", "num_documents", "num_triples", "num_distinct"),
    [
        ("ptrnet", "nyt24/dev", 5000, 8489, 7985),
        ("ptrnet", "nyt29/dev", 7033, 8766, 8766),
        ("copyre", "nyt24/extra.jsonl", 868, 2384, 2190),
        ("casrel", "webnlg/train_triples.json", 5019, 11313, 11312),
        ("casrel", "webnlg/val_triples.json", 500, 1224, 1223),
        ("spert", "conll04/train_triples.json", 922, 1283, 1260),
        ("spert", "conll04/dev_triples.json", 231, 343, 331),
        ("spert", "scierc/train_triples.json", 1861, 3219, 3212),
        ("spert", "scierc/dev_triples.json", 275, 455, 455),
        ("spert", "ade/train_triples.json", 3845, 6155, 5980),
    ],
)
def test_real_corpora(format, path, num_documents, num_triples, num_distinct):
    notes = []
    documents = list(READERS[format](DATA / path, on_note=notes.append))
    assert len(documents) == num_documents
    assert sum(len(d.triples) for d in documents) == num_triples
    assert sum(len(d.without_duplicates().triples) for d in documents) == num_distinct
    assert all(t.head_span and t.tail_span for d in documents for t in d.triples)
    unlike = {"nyt24/dev": 23, "nyt24/extra.jsonl": 3}.get(path, 0)
    assert [note.kind for note in notes] == [NoteKind.UNLIKE] * unlike


@needs_data
def test_accented_mentions_of_nyt24_are_found():
    mentions = [
        (document.text[slice(*span)], entity)
        for document in READERS["ptrnet"](DATA / "nyt24/dev")
        for t in document.triples
        for entity, span in ((t.head, t.head_span), (t.tail, t.tail_span))
    ]
    different = [(found, entity) for found, entity in mentions if found != entity]
    assert len(different) == 47
    assert all(found.isascii() and not entity.isascii() for found, entity in different)

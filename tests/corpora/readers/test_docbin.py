"""spaCy's DocBin, as spaCy itself writes it."""

import dataclasses
import importlib.util
import zlib

import pytest

from grel import convert, records
from grel.corpora import inputs
from grel.corpora.readers import docbin
from grel.files.faults import RecordError
from tests.corpora.samples import MEMBERS, TEXT, TOKENS, TRIPLES

HAS_SPACY = importlib.util.find_spec("spacy") is not None
needs_spacy = pytest.mark.skipif(not HAS_SPACY, reason="spaCy is not installed: pip install spacy")
TYPES = {"Ann Moore": "Peop", "Time Inc.": "Org", "Medellin": "Loc"}


@pytest.fixture
def saved(tmp_path):
    """Saves one document with entities and custom attributes."""
    import spacy
    from spacy.tokens import Doc, DocBin

    def save(rel, ents=True):
        doc = Doc(spacy.blank("en").vocab, words=TOKENS)
        spans = [doc.char_span(*span, label=TYPES[TEXT[slice(*span)]]) for span in PLACES]
        if ents:
            doc.ents = spans
        else:
            doc.spans["sc"] = spans
        Doc.set_extension("rel", default={}, force=True)
        doc._.rel = rel
        DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "x.spacy")
        return tmp_path / "x.spacy"

    return save


PLACES = [TRIPLES[0].head_span, TRIPLES[0].tail_span, TRIPLES[1].tail_span]
REL = {
    (2, 5): {"/business/person/company": 0.9, "located in": 0.1},
    (5, 8): {"located in": 1.0},
    (8, 2): {"located in": 0.0},
}


@needs_spacy
@pytest.mark.parametrize("ents", [True, False])
def test_relations_of_the_tutorial(saved, ents):
    found = inputs.find(str(saved(REL, ents=ents)))
    assert (found.format, found.why) == ("spacy", "it is a compressed DocBin")
    (document,) = found.read()
    scored = tuple(
        dataclasses.replace(t, score=s) for t, s in zip(TRIPLES, (0.9, 1.0), strict=True)
    )
    assert (document.id, document.text.strip(), document.triples) == ("x-1", TEXT, scored)
    assert [entity["type"] for entity in document.other["entities"]] == list(TYPES.values())


@needs_spacy
def test_a_label_alone_has_no_score(saved):
    (document,) = docbin.read(saved({(2, 5): MEMBERS[0][1], (5, 8): {MEMBERS[1][1]: 0.5}}))
    assert document.triples == (TRIPLES[0], dataclasses.replace(TRIPLES[1], score=0.5))


@needs_spacy
@pytest.mark.parametrize(
    ("key", "labels", "types"),
    [
        ("grel", ["head", "tail"], ["Peop"]),
        ("names", ["head", "head"], ["Peop"]),
        ("grel", ["head", "Org"], ["Peop", "head", "Org"]),
        ("entities", ["head", "tail"], ["Peop", "head", "tail"]),
    ],
)
def test_the_parts_of_names_in_triples_are_no_types(tmp_path, key, labels, types):
    """As the component "grel" leaves them, in a group of any name; grel's own has types."""
    import spacy
    from spacy.tokens import Doc, DocBin

    docs = []
    for data in ({docbin.TRIPLES: list(map(records.fields, TRIPLES))}, {}):
        doc = Doc(spacy.blank("en").vocab, words=TOKENS, user_data=data)
        doc.ents = [doc.char_span(*PLACES[0], label="Peop")]
        doc.spans[key] = [
            doc.char_span(*span, label=label) for span, label in zip(PLACES, labels, strict=False)
        ]
        docs.append(doc)
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "x.spacy")
    stated, without = docbin.read(tmp_path / "x.spacy")
    assert (stated.triples, without.triples) == (TRIPLES, ())
    assert [entity["type"] for entity in stated.other["entities"]] == types
    assert [entity["type"] for entity in without.other["entities"]] == ["Peop", *labels]


@needs_spacy
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head_spans": 3}, "3 is no list"),
        ({"head_spans": [[0, 99]]}, r"characters \[0, 99\] are no range of the text"),
        ({"tail_spans": [[22, 31], 3]}, "3 is no list"),
        ({"score_per_token": "x"}, "'x' is no finite number"),
    ],
)
def test_faults_of_stated_triples(tmp_path, change, reason):
    import spacy
    from spacy.tokens import Doc, DocBin

    data = {docbin.TRIPLES: [records.fields(TRIPLES[0]) | change]}
    doc = Doc(spacy.blank("en").vocab, words=TOKENS, user_data=data)
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "x.spacy")
    with pytest.raises(RecordError, match=reason):
        list(docbin.read(tmp_path / "x.spacy"))


@needs_spacy
@pytest.mark.parametrize(
    ("rel", "reason"),
    [
        ({(2, 6): {"r": 1.0}}, r"entities \[2, 6\] are not among the 3 entities"),
        ({2: {"r": 1.0}}, "2 is no list"),
        ({(2, "x"): {"r": 1.0}}, r"must be \[int, int\], not \[2, 'x'\]"),
        ({(2, 5): 3}, "labels of a pair must be an object, not 3"),
        ({(2, 5): {"r": "x"}}, "'x' is no finite number"),
        ({(2, 5): {"r": float("nan")}}, "nan is no finite number"),
        ([1], r"doc\._\.rel must be an object"),
    ],
)
def test_faults(saved, rel, reason):
    with pytest.raises(RecordError, match=reason):
        list(docbin.read(saved(rel)))


@needs_spacy
@pytest.mark.parametrize("ents", [True, False])
def test_of_entities_that_begin_at_one_token_a_relation_means_that_of_ents(saved, ents):
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    path = saved(REL)
    (doc,) = DocBin().from_disk(path).get_docs(Vocab())
    doc.spans["nested"] = [doc[5:7], doc[5:6]]
    if not ents:
        doc.ents = []
        doc.spans["all"] = [doc.char_span(*span, label="T") for span in PLACES]
    DocBin(docs=[doc], store_user_data=True).to_disk(path)
    if ents:
        (document,) = docbin.read(path)
        assert [triple.key for triple in document.triples] == [triple.key for triple in TRIPLES]
    else:
        with pytest.raises(RecordError, match="several entities begin at token 5; put the one me"):
            list(docbin.read(path))


@needs_spacy
@pytest.mark.parametrize("content", [b"", b"nothing", zlib.compress(b"\x01"), zlib.compress(b"")])
def test_what_is_no_docbin_is_refused(tmp_path, content):
    (tmp_path / "x.spacy").write_bytes(content)
    with pytest.raises(RecordError, match=r"it is no DocBin|spaCy cannot read it"):
        list(docbin.read(tmp_path / "x.spacy"))


@needs_spacy
def test_a_label_that_its_strings_lack_is_a_fault_of_its_document(saved):
    import spacy
    from spacy.tokens import Doc, DocBin

    path = saved({})
    packed = DocBin(store_user_data=True).from_disk(path)
    packed.strings -= {*TYPES.values()}
    packed.add(Doc(spacy.blank("en").vocab, words=["Ann"]))
    packed.to_disk(path)
    errors = []
    assert [d.id for d in docbin.read(path, on_error=errors.append)] == ["x-2"]
    assert [error.line for error in errors] == [1]
    assert "item 1: spaCy cannot read it: [E084]" in errors[0].reason


@pytest.mark.skipif(HAS_SPACY, reason="spaCy is installed")
def test_without_spacy_it_is_one_line(tmp_path, capsys):
    path = tmp_path / "x.spacy"
    path.write_bytes(zlib.compress(b"version attrs"))
    assert convert.main([f"--input={path}", f"--output={tmp_path / 'out.jsonl'}"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("error: the format 'spacy' needs spaCy: pip install spacy")

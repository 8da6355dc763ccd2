"""The spaCy component on a small run: triples, spans, batches, and what is saved and read again."""

from pathlib import Path

import pytest

import grel

REASON = "spaCy is not installed: pip install spacy"
spacy = pytest.importorskip("spacy", reason=REASON)
component = pytest.importorskip("grel.extraction.spacy", reason=REASON)

RUN = str(Path(__file__).parent / "old_runs/lookup")
TEXT = "Bo Li lives in Cairo ."


@pytest.fixture(scope="module")
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("grel", config={"workdir": RUN})
    return nlp


@pytest.fixture(scope="module")
def extractor():
    return grel.Extractor.from_checkpoint(RUN, compile_cache=None)


def test_a_document_has_the_triples_of_the_extractor(nlp, extractor):
    doc = nlp(TEXT)
    (document,) = extractor([TEXT])
    assert doc._.triples == document.triples
    assert [str(triple).split(")")[0] for triple in doc._.triples] == [
        "(Bo Li; /people/person/place_lived; Cairo"
    ]
    spans = [(span.text, span.label_) for span in doc.spans["grel"]]
    assert spans == [("Bo Li", "head"), ("Cairo", "tail")]


@pytest.mark.parametrize("text", ["", "  \n", "Nobody is anywhere .", "é\U0001f600 Ω"])
def test_a_document_without_triples_has_none(nlp, text):
    doc = nlp(text)
    assert (doc.text, doc._.triples, len(doc.spans["grel"])) == (text, (), 0)


def test_batches_change_nothing(nlp):
    texts = [*(Path(RUN).parent / "texts").read_text().splitlines(), "x", TEXT]
    one_by_one = [nlp(text)._.triples for text in texts]
    assert sum(map(len, one_by_one)) >= 4
    assert [doc._.triples for doc in nlp.pipe(texts, batch_size=2)] == one_by_one


def test_options_are_those_of_the_extractor(extractor):
    nlp = spacy.blank("en")
    nlp.add_pipe("grel", config={"workdir": RUN, "min_score": 1.0, "spans_key": "names"})
    doc = nlp(TEXT)
    assert doc._.triples == tuple(t for t in extractor([TEXT])[0].triples if t.score == 1.0)
    assert list(doc.spans) == ["names"]
    nlp = spacy.blank("en")
    none = {"workdir": RUN, "relations": ["no such relation"]}
    with pytest.raises(ValueError, match="unknown relation 'no such relation'"):
        nlp.add_pipe("grel", config=none)
    with pytest.raises(ValueError, match="workdir"):
        nlp.add_pipe("grel")


def test_names_within_words_are_exact_in_triples_and_whole_words_in_spans(nlp):
    triple = grel.Triple("New York", "in", "USA", (1, 9), (15, 18), 0.5, None, ((1, 9),))

    class Fixed:
        def __call__(self, texts):
            return [grel.Document("0", text, (triple,)) for text in texts]

    doc = component.Component(Fixed(), "grel")(nlp.make_doc("xNew Yorker of USA."))
    assert doc._.triples == (triple,)
    assert [span.text for span in doc.spans["grel"]] == ["xNew Yorker", "USA"]


def test_what_is_saved_is_read_again(nlp, tmp_path):
    from grel.corpora.readers import docbin

    docs = list(nlp.pipe([TEXT, "x", "Ann Moore , born in Lima , lives in Port Moresby ."]))
    bin = spacy.tokens.DocBin(docs=docs, store_user_data=True)
    again = list(spacy.tokens.DocBin().from_bytes(bin.to_bytes()).get_docs(nlp.vocab))
    assert [doc._.triples for doc in again] == [doc._.triples for doc in docs]
    bin.to_disk(tmp_path / "x.spacy")
    read = [document.triples for document in docbin.read(tmp_path / "x.spacy")]
    assert [[t.key for t in triples] for triples in read] == [
        [t.key for t in doc._.triples] for doc in docs
    ]


def test_a_pipeline_is_saved_and_opened(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again(TEXT)._.triples == nlp(TEXT)._.triples

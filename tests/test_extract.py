"""Reading outputs: names are cut from the text, what goes wrong is counted, scores are right."""

import types

import numpy as np
import pytest

from grel.decoding.driver import Written
from grel.extract import Extractor, Tally, extract, place, read_output
from grel.records import Document, Triple
from grel.wordpiece import SPECIAL, Wordpiece

LIVES, BORN = "/people/person/place_lived", "/people/person/place_of_birth"
PIECES = "ann moore ##s in new york medellin the ##ville . , place _ lived of birth"
VOCABULARY = [*SPECIAL, "[unused0]", "[unused1]", *PIECES.split()]


@pytest.fixture(scope="module")
def wordpiece():
    return Wordpiece(VOCABULARY, [LIVES, BORN], lowercase=True)


def write(wordpiece, output: str, *, probabilities=(), ended=True, num_cut=0) -> Written:
    """Wordpieces, `;` and `|` as the decoder gives them; all certain, or of these probabilities."""
    reserved = {";": wordpiece.part_end_id, "|": wordpiece.triple_end_id}
    ids = [reserved.get(token) or VOCABULARY.index(token) for token in output.split()]
    log_probs = np.log(probabilities or np.ones(len(ids))).astype(np.float32)
    return Written(np.array(ids), np.zeros(len(ids), int), log_probs, ended, num_cut)


def read(wordpiece, text: str, output: str, **fields):
    document = Document("id-1", text)
    written = write(wordpiece, output, **fields)
    return read_output(document, wordpiece.encode(text), written, wordpiece)


def names(document: Document):
    return [(t.head, t.head_span, t.tail, t.tail_span) for t in document.triples]


def test_a_document_with_its_triples(wordpiece):
    text = "Ann Moore lives in New York."
    output = "ann moore ; new york ; place _ lived | new york ; ann moore ; place _ of _ birth"
    document, tally = read(wordpiece, text, output)
    assert document == Document(
        "id-1",
        text,
        (
            Triple("Ann Moore", LIVES, "New York", (0, 9), (19, 27), 1.0),
            Triple("New York", BORN, "Ann Moore", (19, 27), (0, 9), 1.0),
        ),
    )
    assert tally == Tally()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("in NEW  York .", "NEW  York"),
        ("in new\u00a0york.", "new\u00a0york"),
        ("in Ne\u0301w York\u0301.", "Ne\u0301w York\u0301"),
        ("in Né\u0301w Yórk", "Né\u0301w Yórk"),
    ],
)
def test_names_are_spelled_as_in_the_text(wordpiece, text, name):
    """Casing, spacing and accents, those that are characters of their own included."""
    document, tally = read(wordpiece, text, "new york ; in ; place _ lived")
    start = text.index(name)
    assert names(document) == [(name, (start, start + len(name)), "in", (0, 2))]
    assert tally.not_in_text == 0


def test_part_of_a_word_is_cut_where_its_wordpieces_end(wordpiece):
    document, _ = read(wordpiece, "The Moores in Newville", "moore ; ##ville ; place _ lived")
    assert names(document) == [("Moore", (4, 9), "ville", (17, 22))]


def test_of_several_places_the_first(wordpiece):
    text = "new moore , New York , new york"
    document, _ = read(wordpiece, text, "new york ; moore ; place _ lived")
    assert names(document) == [("New York", (12, 20), "moore", (4, 9))]


def test_place_needs_all_wordpieces_side_by_side(wordpiece):
    text = "New Moore York"
    source = wordpiece.encode(text)
    assert place(source.ids, source, text) == (0, 14)
    assert place([source.ids[0], source.ids[2]], source, text) is None
    assert place([*source.ids, source.ids[0]], source, text) is None


def test_entity_that_is_not_in_the_text(wordpiece):
    document, tally = read(wordpiece, "Ann lives in York", "ann ; new york ##ville ; place _ lived")
    assert names(document) == [("Ann", (0, 3), "new yorkville", None)]
    assert tally == Tally(not_in_text=1)


def test_duplicates_once(wordpiece):
    """The first one counts, with its score."""
    piece = "ann ; new ; place _ lived"
    document, tally = read(
        wordpiece,
        "Ann in New York",
        f"{piece} | ann ; new york ; place _ lived | {piece}",
        probabilities=[0.5, *[1] * 7, 0.25, *[1] * 8, 0.75, *[1] * 6],
    )
    assert [t.tail for t in document.triples] == ["New", "New York"]
    np.testing.assert_allclose([t.score for t in document.triples], [0.5, 0.25])
    assert tally == Tally()


@pytest.mark.parametrize(
    ("output", "tally"),
    [
        ("", Tally()),
        ("ann ; new ; place _ birth", Tally(unknown_relation=1)),
        ("york ; york ; york | moore ; moore ; the", Tally(unknown_relation=2)),
        ("ann ; new", Tally(malformed=1)),
        ("ann ; new ; york ; place _ lived", Tally(malformed=1)),
        ("ann ; ; place _ lived", Tally(malformed=1)),
        ("| ann ; |", Tally(malformed=3)),
    ],
)
def test_what_is_no_triple_is_counted(wordpiece, output, tally):
    """By itself, and it does not take the good ones beside it along."""
    assert read(wordpiece, "Ann in New York", output) == (
        Document("id-1", "Ann in New York"),
        tally,
    )
    good = "ann ; york ; place _ lived"
    document, beside = read(wordpiece, "Ann in New York", f"{good} | {output}")
    assert [t.key for t in document.triples] == [("Ann", LIVES, "York")]
    assert beside == (tally if output else Tally(malformed=1))


def test_score_is_the_product_of_the_probabilities_without_the_separators(wordpiece):
    document, _ = read(
        wordpiece,
        "Ann Moore in York",
        "ann moore ; york ; place _ lived | ann ; york ; place _ of _ birth",
        probabilities=[0.9, 0.8, 0.1, 0.7, 0.1, 0.6, 1, 0.5, 0.1, *[0.5, 0.1, 1, 0.1], *[1] * 5],
    )
    scores = [t.score for t in document.triples]
    np.testing.assert_allclose(scores, [0.9 * 0.8 * 0.7 * 0.6 * 0.5, 0.5], rtol=1e-6)


def test_scores_are_probabilities_whatever_the_rounding(wordpiece):
    document, _ = read(
        wordpiece, "Ann in York", "ann ; york ; place _ lived", probabilities=[1 + 1e-6] * 7
    )
    assert document.triples[0].score == 1.0


def test_relations_as_tokens():
    vocabulary = [*SPECIAL, *(f"[unused{i}]" for i in range(4)), "ann", "york"]
    wordpiece = Wordpiece(vocabulary, [LIVES, BORN], relation_as="token")
    (birth_id,) = wordpiece.relation_ids[BORN]
    ids = np.array([8 + 1, wordpiece.part_end_id, 8 + 2, wordpiece.part_end_id, birth_id])
    written = Written(ids, np.zeros(5, int), np.zeros(5), True, 0)
    document, _ = read_output(
        Document("0", "york ann"), wordpiece.encode("york ann"), written, wordpiece
    )
    assert [t.key for t in document.triples] == [("ann", BORN, "york")]


def test_unended_and_cut_are_counted_once_a_document(wordpiece):
    _, tally = read(wordpiece, "Ann", "", ended=False, num_cut=7)
    assert tally == Tally(unended=1, cut=1)


def test_tallies_add_up():
    one, other = Tally(1, 2, 3, 4, 5), Tally(10, 20, 30, 40, 50)
    assert one + other == Tally(11, 22, 33, 44, 55)
    assert sum([one, other], Tally()) == one + other


class FakeDecoder:
    """Writes for each source that its first wordpiece lives in its last one."""

    def __init__(self, wordpiece):
        self.wordpiece = wordpiece

    def __call__(self, params, sources):
        assert params == "the parameters"
        for ids in sources:
            assert self.wordpiece.cls_id not in ids
        vocabulary = self.wordpiece.vocabulary
        return [
            write(self.wordpiece, f"{vocabulary[ids[0]]} ; {vocabulary[ids[-1]]} ; place _ lived")
            if ids
            else write(self.wordpiece, "", ended=False)
            for ids in sources
        ]


def test_extract_replaces_given_triples_and_adds_up(wordpiece):
    given = Triple("Moore", BORN, "York")
    documents = [
        Document("a", "Ann in Medellín", (given,)),
        Document("b", " "),
        Document("c", "Moore in York", (given,)),
    ]
    extracted, tally = extract(FakeDecoder(wordpiece), "the parameters", wordpiece, documents)
    assert [(d.id, d.text) for d in extracted] == [(d.id, d.text) for d in documents]
    assert [[t.key for t in d.triples] for d in extracted] == [
        [("Ann", LIVES, "Medellín")],
        [],
        [("Moore", LIVES, "York")],
    ]
    assert tally == Tally(unended=1)
    assert extract(FakeDecoder(wordpiece), "the parameters", wordpiece, []) == ([], Tally())


def test_extractor_numbers_texts_and_passes_overrides(wordpiece, monkeypatch):
    overrides = {}

    def decoder(**given):
        overrides.update(given)
        return FakeDecoder(wordpiece)

    monkeypatch.setattr("grel.parallel.replicate", lambda params: f"the {params}")
    system = types.SimpleNamespace(decoder=decoder, wordpiece=wordpiece)
    extracted = Extractor(system, "parameters", copy="off")(["Ann in York", "Moore in New York"])
    assert overrides == {"copy": "off"}
    assert [(d.id, d.triples[0].key) for d in extracted] == [
        ("0", ("Ann", LIVES, "York")),
        ("1", ("Moore", LIVES, "York")),
    ]

"""Reading outputs: names are cut from the text, what goes wrong is counted, scores are right."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grel.data.features import Options, examples
from grel.extraction.reading import Part, read_document
from grel.families.reading import place
from grel.families.tokens import WordpieceWriter
from grel.families.writer import Tally
from grel.names import extends, is_whole
from grel.records import Document, Triple, check
from grel.text.wordpiece import SPECIAL, Encoding, Wordpiece, train_vocabulary
from tests.fakes import BORN, LIVES, make_wordpiece, write


@pytest.fixture(scope="module")
def wordpiece():
    return make_wordpiece()


def _writer(wordpiece):
    return WordpieceWriter(wordpiece, SimpleNamespace(max_source=10**6))


def read_parts(wordpiece, text: str, *outputs, min_score=0.0):
    """What is read where the same whole text is the source of each output."""
    parts = [Part(wordpiece.encode(text), output) for output in outputs]
    writer = _writer(wordpiece)
    extraction = read_document(
        Document("id-1", text),
        parts,
        writer,
        min_score=min_score,
        num_unknown=writer.num_unknown(wordpiece.encode(text)),
    )
    check(extraction.document)
    assert extraction.parts == tuple(parts)
    return extraction.document, extraction.tally


def read(wordpiece, text: str, output: str, **fields):
    return read_parts(wordpiece, text, write(wordpiece, output, **fields))


def names(document: Document):
    return [(t.head, t.head_span, t.tail, t.tail_span) for t in document.triples]


def test_a_document_with_its_triples(wordpiece):
    text = "Ann Moore lives in New York."
    ann, york = (0, 9), (19, 27)
    output = "ann moore ; new york ; place _ lived | new york ; ann moore ; place _ of _ birth"
    document, tally = read(wordpiece, text, output)
    assert wordpiece.encode(text).ids.count(wordpiece.unk_id) == tally.unknown_tokens == 1
    assert document == Document(
        "id-1",
        text,
        (
            Triple("Ann Moore", LIVES, "New York", *(ann, york, 1.0, 1.0), (ann,), (york,)),
            Triple("New York", BORN, "Ann Moore", *(york, ann, 1.0, 1.0), (york,), (ann,)),
        ),
    )
    assert tally == Tally(unknown_tokens=1)


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


def test_all_places_of_a_name_are_given_and_the_first_chosen(wordpiece):
    """Those spelled alike: it is the text that is cited."""
    text = "new moore , New York , new york , New York"
    document, _ = read(wordpiece, text, "new york ; moore ; place _ lived")
    (triple,) = document.triples
    assert (triple.head, triple.head_spans) == ("New York", ((12, 20), (34, 42)))
    assert (triple.tail, triple.tail_spans) == ("moore", ((4, 9),))
    assert (triple.head_span, triple.tail_span) == ((12, 20), (4, 9))


@pytest.mark.parametrize(
    ("position", "name", "span"),
    [
        (-1, "New York", (0, 8)),  # not copied
        (1, "New York", (0, 8)),
        (4, "new york", (12, 20)),
        (7, "New York", (24, 32)),
        (2, "New York", (0, 8)),  # put together from several places
    ],
)
def test_the_place_that_was_copied_comes_first(wordpiece, position, name, span):
    text = "New York in new york in New York"
    output = write(wordpiece, "new york ; in ; place _ lived", positions=[-1, position, *[-1] * 6])
    document, _ = read_parts(wordpiece, text, output)
    (triple,) = document.triples
    assert (triple.head, triple.head_span, triple.head_spans[0]) == (name, span, span)
    places = {(12, 20)} if name == "new york" else {(0, 8), (24, 32)}
    assert set(triple.head_spans) == places
    assert len(triple.head_spans) == len(places)


@pytest.mark.parametrize(
    ("text", "last", "span"),
    [
        ("Moores saw Moore", -1, (11, 16)),
        ("Moores saw Moore", 0, (11, 16)),
        ("Moores saw Moore , Moore", 0, (11, 16)),
        ("Moores saw Moore , Moore", 5, (19, 24)),
        ("Moore , Moores , Moore", 2, (0, 5)),
        ("Moores , Moores", 3, (9, 14)),
        ("Moores , Moores", -1, (0, 5)),
        ("MOORE , moore , Moore , Moore", -1, (16, 21)),
        ("MOORE , moore , Moore , Moore", 0, (16, 21)),
        ("MOORE , moore , Moore , Moore", 2, (8, 13)),
        ("MOORE , moore", -1, (0, 5)),
        ("Moores , moore", -1, (9, 14)),
        ("moore\u0301s , Moóre", -1, (10, 15)),
    ],
)
def test_the_best_of_several_places(wordpiece, text, last, span):
    """A whole word, what was copied for certain, neither all upper nor all lower, the first."""
    ids = [wordpiece.vocabulary.index("moore")]
    assert place(ids, wordpiece.encode(text), text, last=last) == span


def test_a_place_is_a_whole_word_wherever_one_stands():
    """Also where other wordpieces, or another window, have it."""
    pieces = ["New", "##ville", "ville", "Moore", "##s", "and", ",", "lived"]
    wordpiece = Wordpiece([*SPECIAL, "[unused0]", "[unused1]", *pieces], ["lived"])
    text = "Newville , ville , Moores , Moore and Moore"
    source = wordpiece.encode(text)
    window = Encoding(source.ids[:7], source.offsets[:7])
    part = Part(window, write(wordpiece, "##ville ; Moore ; lived"))
    document = read_document(Document("a", text), [part], _writer(wordpiece)).document
    check(document)
    (triple,) = document.triples
    assert (triple.head, triple.head_span, triple.head_spans) == ("ville", (11, 16), ((11, 16),))
    assert (triple.tail, triple.tail_span) == ("Moore", (28, 33))
    assert triple.tail_spans == ((28, 33), (38, 43))


def test_a_name_is_never_spelled_unlike_its_place():
    """Not for a whole word either."""
    pieces = ["Jose", "##ph", "José", "lived"]
    wordpiece = Wordpiece([*SPECIAL, "[unused0]", "[unused1]", *pieces], ["lived"])
    document, _ = read(wordpiece, "Joseph José", "Jose ; José ; lived")
    (triple,) = document.triples
    assert (triple.head, triple.head_span, triple.head_spans) == ("Jose", (0, 4), ((0, 4),))
    assert (triple.tail, triple.tail_span, triple.tail_spans) == ("José", (7, 11), ((7, 11),))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("वह दिल्ली में है", "में"),
        ("ใน กรุงเทพฯ ที่ ไทย", "ที่"),
        ("a \u2764\ufe0f b", "\u2764\ufe0f"),
        ("a b\u0301\u0323 c", "b\u0301\u0323"),
        ("a b\u20dd c", "b\u20dd"),
        ("a b\u200d\u200c c", "b\u200d\u200c"),
        (
            "a \U0001f3f4\U000e0067\U000e0062\U000e007f c",
            "\U0001f3f4\U000e0067\U000e0062\U000e007f",
        ),
        ("רחוב שָׁלוֹם", "שָׁלוֹם"),
    ],
)
def test_a_name_keeps_the_signs_that_its_wordpieces_lack(text, name):
    characters = sorted({c for c in text.casefold() if not c.isspace()})
    pieces = [*characters, *(f"##{c}" for c in characters)]
    for lowercase in (True, False):
        wordpiece = Wordpiece(
            [*SPECIAL, "[unused0]", "[unused1]", *pieces], ["a"], lowercase=lowercase
        )
        start = text.index(name)
        span = place(wordpiece.encode(name).ids, wordpiece.encode(text), text)
        assert span == (start, start + len(name))


def test_a_sign_that_has_a_wordpiece_of_its_own_is_no_part_of_another_name():
    pieces = ["र", "##ा", "##म", "म"]
    wordpiece = Wordpiece([*SPECIAL, "[unused0]", "[unused1]", *pieces], [])
    source = wordpiece.encode("रामा")
    assert place(source.ids[:3], source, "रामा") == (0, 3)


# Words of many scripts with marks of all kinds, emoji, and what is in no vocabulary.
_BASES = "aAbéÉeñß-'.İı中文かが한\u1112\u1161रमคท😀👍"
_SIGNS = "\u0301\u0323\u3099\u093c\u094d\u200d\u093e\u0e35\u0e48\U0001f3fd\ufe0f\u20dd\u00ad\u200b"
_WORDS = st.tuples(st.sampled_from(_BASES), st.text(_BASES + _SIGNS, max_size=4)).map("".join)
_ALL = sorted({c for n in range(0x21, 0x3100) if (c := chr(n)).isprintable()} | set("中한"))
_EVERYTHING = [*SPECIAL, *(f"[unused{i}]" for i in range(12)), *_ALL, *(f"##{c}" for c in _ALL)]
_READERS = [Wordpiece(_EVERYTHING, [], lowercase=lowercase) for lowercase in (False, True)]


@settings(deadline=None, max_examples=300)
@given(st.lists(_WORDS, min_size=1, max_size=6), st.sampled_from(_READERS), st.data())
def test_what_is_placed_is_encoded_alike(words, wordpiece, data):
    """Any words of a text are found: the same wordpieces, whole words, and nothing split."""
    text = data.draw(st.sampled_from([" ", "  ", "\u00a0"])).join(words)
    i, j = data.draw(st.tuples(*[st.integers(0, len(words))] * 2).map(sorted))
    source = wordpiece.encode(text)
    starts = np.cumsum([0, *(len(wordpiece.encode(word).ids) for word in words)])
    ids = source.ids[starts[i] : starts[j]]
    span = place(ids, source, text)
    assert (span is None) == (not ids)
    if span:
        assert wordpiece.encode_name(text[slice(*span)], text).ids == ids
        assert is_whole(text, span)
        assert all(at == len(text) or not extends(text[at]) for at in span if at > 0)


def test_a_letter_is_not_found_inside_of_a_syllable():
    """An uncased vocabulary takes a syllable apart, and its first letter may be a word as well."""
    uncased = _READERS[1]
    text = "\ud55c \u1112"
    source = uncased.encode(text)
    assert source.ids[0] == source.ids[-1]
    assert len(source.ids) == 4
    assert place(source.ids[-1:], source, text) == (2, 3)
    assert place(source.ids[:3], source, text) == (0, 1)
    assert place(source.ids[1:3], source, text) is None


UNKNOWN = [*SPECIAL, *(f"[unused{n}]" for n in range(2)), "likes", "the", ".", "##s"]


@pytest.mark.parametrize(
    ("num_slots", "text", "output", "expected"),
    [
        # Numbered, or the same word: there is one answer.
        (1, "😀 likes 😎 .", "[UNK] ; [unused2] ; likes", ("😀", (0, 1), "😎", (8, 9))),
        (1, "😀 likes 😎 .", "[unused2] ; [UNK] ; likes", ("😎", (8, 9), "😀", (0, 1))),
        (1, "😎 likes 😎 .", "[UNK] ; the ; likes", ("😎", (0, 1), "the", None)),
        (0, "😀 likes the .", "[UNK] ; the ; likes", ("😀", (0, 1), "the", (8, 11))),
        (0, "日本 日本 .", "[UNK] [UNK] ; . ; likes", ("[UNK] [UNK]", None, ".", (6, 7))),
        (0, "日本 , 日本 .", "[UNK] [UNK] ; . ; likes", ("[UNK] [UNK]", None, ".", (8, 9))),
        (0, "ЖО жо .", "[UNK] ; . ; likes", ("ЖО", (0, 2), ".", (6, 7))),
        # Not numbered, and several words: any answer would be a guess.
        (0, "😀 likes 😎 .", "[UNK] ; the ; likes", ("[UNK]", None, "the", None)),
        (1, "😀 likes 😎 🐍", "[unused2] ; [UNK] ; likes", ("[UNK]", None, "😀", (0, 1))),
    ],
)
def test_unknown_words(num_slots, text, output, expected):
    vocabulary = [*UNKNOWN, *(f"[unused{2 + n}]" for n in range(num_slots))]
    wordpiece = Wordpiece(vocabulary, ["likes"])
    document, tally = read(wordpiece, text, output)
    assert names(document) == [expected]
    written = [part.split() for part in output.split(";")[:2]]
    assert tally.unknown_names == sum(part[0][0] == "[" for part in written)
    assert tally.unknown_tokens == sum(map(wordpiece.unknown_ids.count, wordpiece.encode(text).ids))
    assert tally.not_in_text == expected.count(None)


def test_an_unknown_word_copied_from_one_place_is_the_word_of_this_place():
    """If a decoder tells positions of equal tokens apart, it says which word is meant."""
    wordpiece = Wordpiece(UNKNOWN, ["likes"])
    output = write(wordpiece, "[UNK] ; [UNK] ; likes", positions=[2, -1, 3, -1, -1])
    document, tally = read_parts(wordpiece, "😀 likes 😎 🐍", output)
    assert names(document) == [("😎", (8, 9), "🐍", (10, 11))]
    assert tally == Tally(unknown_names=2, unknown_tokens=3)


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("names", ["😀 😎 🚀 🎉", "राम रामा में दिल्ली", "José Josefa Jo\u0301 Joe"])
def test_gold_outputs_are_read_back(names, lowercase):
    """What a perfect model writes gives the triples it was written from, spans and all."""
    documents = []
    for number, (head, tail) in enumerate(itertools.permutations(names.split(), 2)):
        text = f"{head} likes {tail} ."
        tail_span = (len(text) - 2 - len(tail), len(text) - 2)
        triple = Triple(head, "likes", tail, (0, len(head)), tail_span)
        documents.append(Document(str(number), text, (triple,)))
    vocabulary = train_vocabulary(
        (document.text for document in documents), 90, lowercase=lowercase, num_reserved=6
    )
    wordpiece = Wordpiece(vocabulary, ["likes"], lowercase=lowercase)
    for document, (_, target, *_) in zip(
        documents, examples(documents, wordpiece, Options()), strict=True
    ):
        output = write(wordpiece, " ".join(wordpiece.vocabulary[i] for i in target))
        found = read_parts(wordpiece, document.text, output)[0].triples
        expected = document.triples[0]
        assert [(t.key, t.head_span, t.tail_span) for t in found] == [
            (expected.key, expected.head_span, expected.tail_span)
        ]


def test_place_needs_all_wordpieces_side_by_side(wordpiece):
    text = "New Moore York"
    source = wordpiece.encode(text)
    assert place(source.ids, source, text) == (0, 14)
    assert place([source.ids[0], source.ids[2]], source, text) is None
    assert place([*source.ids, source.ids[0]], source, text) is None


def test_entity_that_is_not_in_the_text(wordpiece):
    document, tally = read(wordpiece, "Ann lives in York", "ann ; new york ##ville ; place _ lived")
    assert names(document) == [("Ann", (0, 3), "new yorkville", None)]
    assert tally == Tally(not_in_text=1, unknown_tokens=1)


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


def test_score_per_token_is_the_geometric_mean(wordpiece):
    document, _ = read(
        wordpiece,
        "Ann Moore in York",
        "ann moore ; york ; place _ lived",
        probabilities=[0.9, 0.8, 0.1, 0.7, 0.1, 0.6, 1, 0.5],
    )
    expected = (0.9 * 0.8 * 0.7 * 0.6 * 0.5) ** (1 / 6)
    np.testing.assert_allclose(document.triples[0].score_per_token, expected, rtol=1e-6)


def test_scores_are_probabilities_whatever_the_rounding(wordpiece):
    document, _ = read(
        wordpiece, "Ann in York", "ann ; york ; place _ lived", probabilities=[1 + 1e-6] * 7
    )
    assert document.triples[0].score == document.triples[0].score_per_token == 1.0


def test_unlikely_triples_are_dropped_and_counted(wordpiece):
    output = write(
        wordpiece,
        "ann ; york ; place _ lived | ann ; york ; place _ of _ birth",
        probabilities=[0.5, *[1] * 7, 0.25, *[1] * 8],
    )
    for min_score, kept in ((0.0, 2), (0.24, 2), (0.26, 1), (0.49, 1), (0.6, 0)):
        document, tally = read_parts(wordpiece, "Ann in York", output, min_score=min_score)
        assert len(document.triples) == kept
        assert tally == Tally(below_min_score=2 - kept)


def test_relations_as_tokens():
    vocabulary = [*SPECIAL, *(f"[unused{i}]" for i in range(4)), "ann", "york"]
    wordpiece = Wordpiece(vocabulary, [LIVES, BORN], relation_as="token")
    (birth_id,) = wordpiece.relation_ids[BORN]
    ids = np.array([8 + 1, wordpiece.part_end_id, 8 + 2, wordpiece.part_end_id, birth_id])
    written = dataclasses.replace(write(wordpiece, "ann ; york ; york"), ids=ids)
    document, _ = read_parts(wordpiece, "york ann", written)
    assert [t.key for t in document.triples] == [("ann", BORN, "york")]


def test_unended_and_cut_are_counted_once_a_document(wordpiece):
    _, tally = read(wordpiece, "Ann", "", ended=False, num_cut=7)
    assert tally == Tally(unended=1, cut=1)


def test_tallies_add_up():
    one, other = Tally(1, 2, 3, 4, 5, 6, 7, 8), Tally(10, 20, 30, 40, 50, 60, 70, 80)
    assert one + other == Tally(11, 22, 33, 44, 55, 66, 77, 88)
    assert sum([one, other], Tally()) == one + other


def test_windows_are_merged(wordpiece):
    """The better of two that say the same; all places of the text; each document counted once."""
    text = "Ann in York . Ann in New York . Moore"
    source = wordpiece.encode(text)
    first, second = (
        Encoding(source.ids[part], source.offsets[part]) for part in (slice(0, 8), slice(4, None))
    )
    lives = "ann ; york ; place _ lived"
    parts = [
        Part(
            first,
            write(wordpiece, lives, probabilities=[0.5, *[1] * 6], ended=False),
        ),
        Part(
            second,
            write(
                wordpiece,
                f"moore ; ann ; place _ lived | {lives} | {lives}",
                probabilities=[*[1] * 8, 0.75, *[1] * 7, 0.9, *[1] * 6],
                ended=False,
            ),
        ),
    ]
    extraction = read_document(Document("a", text), parts, _writer(wordpiece))
    triples = extraction.document.triples
    assert [(t.key, t.head_span, t.tail_span) for t in triples] == [
        (("Ann", LIVES, "York"), (14, 17), (25, 29)),
        (("Moore", LIVES, "Ann"), (32, 37), (14, 17)),
    ]
    np.testing.assert_allclose([t.score for t in triples], [0.75, 1.0])
    assert triples[0].head_spans == ((14, 17), (0, 3))
    assert triples[0].tail_spans == ((25, 29), (7, 11))
    assert extraction.tally == Tally(unended=1, windowed=1)
    check(extraction.document)


def test_no_part_no_triple(wordpiece):
    extraction = read_document(
        Document("a", " ", (Triple("x", LIVES, "y"),)), [], _writer(wordpiece)
    )
    assert (extraction.document, extraction.tally) == (Document("a", " "), Tally())


@pytest.mark.parametrize(("pointed", "span"), [(False, (8, 13)), (True, (0, 5))])
def test_the_first_place_counts_where_the_model_pointed_at_it(wordpiece, pointed, span):
    """Otherwise it is only the first of several that the decoder can't tell apart."""
    text, ids = "MOORE , Moore", [wordpiece.vocabulary.index("moore")]
    source = wordpiece.encode(text)
    assert place(ids, source, text, last=0, pointed=pointed) == span
    assert place(ids, source, text, last=2, pointed=pointed) == (8, 13)

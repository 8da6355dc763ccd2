"""What every extractor offers, around the least that one can be."""

import dataclasses

import pytest

from grel.extraction.reading import Extraction
from grel.extraction.texts import TextExtractor, check_texts
from grel.families.writer import Tally
from grel.records import Document, Triple


class Repeating(TextExtractor):
    """Finds the first word of each text, related to itself."""

    relations = ("is",)

    def identity(self):
        return {}

    def balanced(self, end_bias, min_score, known_share=0.0):
        return self

    def extractions(self, documents):
        check_texts(documents)
        return [
            Extraction(dataclasses.replace(d, triples=self._triples(d)), Tally(cut=1), ())
            for d in documents
        ]

    def _triples(self, document):
        return tuple(Triple(word, "is", word) for word in document.text.split()[:1])


def test_texts_are_numbered():
    left, nothing = Repeating()(["Ann left", ""])
    assert (left.id, left.text, len(left.triples)) == ("0", "Ann left", 1)
    assert (nothing.id, nothing.text, nothing.triples) == ("1", "", ())
    assert Repeating()([]) == []


def test_given_triples_are_replaced_and_tallies_added_up():
    given = Document("x", "Ann left", (Triple("left", "is", "left"),))
    documents, tally = Repeating().documents([given, given])
    assert documents == [Document("x", "Ann left", (Triple("Ann", "is", "Ann"),))] * 2
    assert tally == Tally(cut=2)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("Ann", TypeError, r"^texts is one string; give a list of strings$"),
        (["Ann", 3], TypeError, r"^texts\[1\] is of type int; it must be a string$"),
        (
            ["Bo \ud83d!"],
            ValueError,
            r"^texts\[0\] holds half of a surrogate",
        ),
    ],
)
def test_texts_that_are_none(texts, error, message):
    with pytest.raises(error, match=message):
        Repeating()(texts)

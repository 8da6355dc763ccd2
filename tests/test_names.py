"""Names in texts: where they stand, against their definition, and which are one name."""

import itertools
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grel.names import extends, is_whole, locate, spelled_unlike, spells
from grel.records import Document, Triple, num_unlike_text


def _decomposed(text):
    return "".join(unicodedata.normalize("NFD", char) for char in text)


# Accents of both kinds, vowel signs, emoji with what belongs to them, blanks, word and other
# characters, and letters that decompose into others; where signs stand side by side, in their
# canonical order.
TRICKY = st.text(
    "aAáåe\u0301é \u00a0\n-_1한\u1112रा\u094d\u0958\u093cかが\u3099😀\u200d\U0001f3fd", max_size=8
).filter(lambda text: _decomposed(text) == unicodedata.normalize("NFD", text))


def _without_accents(text):
    """Decomposed, without the marks that are only accents; of all, those that TRICKY has."""
    return "".join(part for part in _decomposed(text) if part not in "\u0301\u030a")


def _belongs(text, at):
    """Whether the character there belongs to the one before it."""
    if not 0 < at < len(text):
        return False
    return (
        text[at] in "\u0301ा\u094d\u093c\u3099\u200d\U0001f3fd"
        or text[at - 1 : at + 1] == "\u200d😀"
    )


def _locate_slowly(text, entity):
    def splits_blanks(at):
        return 0 < at < len(text) and text[at - 1].isspace() and text[at].isspace()

    def found(spelled):
        return [
            (i, j)
            for i, j in itertools.combinations(range(len(text) + 1), 2)
            if _without_accents(spelled(text[i:j])) == _without_accents(spelled(entity)) != ""
            and text[i] != "\u0301"
            and not _belongs(text, i)
            and not _belongs(text, j)
        ]

    def even(name):
        return re.sub(r"\s+", " ", name)

    spelled, spans = str, found(str)
    if not spans:
        spelled, spans = even, [s for s in found(even) if not any(map(splits_blanks, s))]

    def in_word(char):
        return char.isalnum() or char in "_\u0301ा\u094d\u093c\u3099\u200d\U0001f3fd"

    def is_cut(at):
        return 0 < at < len(text) and in_word(text[at - 1]) and in_word(text[at])

    def is_equal(i, j):
        one, other = (unicodedata.normalize("NFC", spelled(s)) for s in (text[i:j], entity))
        return one == other

    whole = [(i, j) for i, j in spans if not is_cut(i) and not is_cut(j)]
    spans = whole or spans
    return tuple([span for span in spans if is_equal(*span)] or spans)


@given(TRICKY, TRICKY)
def test_locate_is_what_its_definition_says(text, entity):
    spans = locate(text, entity)
    assert spans == _locate_slowly(text, entity)
    assert all(spells(text, span, entity) for span in spans)


@given(TRICKY, st.data())
def test_locate_finds_every_part_of_a_text(text, data):
    """Every part that leaves characters and their marks together."""
    i, j = data.draw(st.tuples(*[st.integers(0, len(text))] * 2).map(sorted))
    spans = locate(text, text[i:j])
    assert spans == _locate_slowly(text, text[i:j])
    if _without_accents(text[i:j]) and text[i] != "\u0301":
        assert bool(spans) or _belongs(text, i) or _belongs(text, j)
    assert all(spells(text, span, text[i:j]) for span in spans)


@given(st.text(), st.data())
def test_locate_splits_no_character_from_its_marks(text, data):
    i, j = data.draw(st.tuples(*[st.integers(0, len(text))] * 2).map(sorted))
    for form in ("NFC", "NFD"):
        for span in locate(text, unicodedata.normalize(form, text[i:j])):
            assert not any(text[at : at + 1] and extends(text[at]) for at in span if at > 0)


@pytest.mark.parametrize(
    ("text", "entity", "spans"),
    [
        ("Dana, ana", "ana", ((6, 9),)),
        ("banana", "ana", ((1, 4), (3, 6))),
        ("in Medellin , Medellin", "Medellín", ((3, 11), (14, 22))),
        ("in Medellín and Medellin", "Medellin", ((16, 24),)),
        ("in Medelli\u0301n .", "Medellín", ((3, 12),)),
        ("in Medellin .", "Medelli\u0301n", ((3, 11),)),
        ("Jose\u0301 and Jose", "Jose", ((10, 14),)),
        ("Jose\u0301 and Jose", "José", ((0, 5),)),
        ("Jose\u0301", "José", ((0, 5),)),
        ("Joseph and José", "Jose", ((11, 15),)),
        ("रामा और राम", "राम", ((8, 11),)),
        ("रामा", "राम", ()),
        ("कि में", "में", ((3, 6),)),
        ("மாலா மால", "மால", ((5, 8),)),
        ("ทีมา ที", "ท", ()),
        ("かぎ と かき", "かき", ((5, 7),)),
        ("か\u3099く", "がく", ((0, 3),)),
        ("க்ஷ", "க", ()),
        ("\u0958 क", "क", ((2, 3),)),
        ("a ≠ b", "=", ()),
        ("👍🏽 👍", "👍", ((3, 4),)),
        ("👩\u200d💻 💻", "💻", ((4, 5),)),
        ("❤\ufe0f", "❤", ()),
        ("می\u200cخواهم خواهم", "خواهم", ((9, 14),)),
        ("U.S. and the U.S.-led", "U.S.", ((0, 4), (13, 17))),
        ("在北京市", "北京", ((1, 3),)),
        ("in New\u00a0 York", "New York", ((3, 12),)),
        ("in New York", "New\n York", ((3, 11),)),
        ("New  York, New York", "New York", ((11, 19),)),
        ("Bogot\u00e1  D.C.", "Bogota D.C.", ((0, 12),)),
        ("New\u200b York", "New York", ((0, 9),)),
        ("Paris", "paris", ()),
        ("Paris", "", ()),
        ("", "Paris", ()),
        ("Paris", "\u0301", ()),
    ],
)
def test_locate_examples(text, entity, spans):
    assert locate(text, entity) == spans


@pytest.mark.parametrize(
    ("span", "entity", "expected"),
    [
        ((0, 2), "né", True),
        ((0, 2), "ne", True),
        ((0, 2), "ne\u0301", True),
        ((0, 2), "n", False),
        ((0, 3), "né", False),
        ((-2, 2), "né", False),
        ((1, 1), "", False),
        ((2, 0), "né", False),
    ],
)
def test_spells(span, entity, expected):
    assert spells("né", span, entity) is expected


@pytest.mark.parametrize(
    ("text", "span", "whole"),
    [
        ("Iranian", (0, 4), False),
        ("Iran's", (0, 4), True),
        ("Iran", (0, 4), True),
        ("my Iran", (2, 7), True),
        ("रामा", (0, 3), False),
        ("राम।", (0, 3), True),
        ("a😀", (0, 1), True),
        ("😀\ufe0f", (0, 1), False),
        ("x\u20dd", (0, 1), False),
        (" \u0301", (0, 1), False),
    ],
)
def test_whole_words(text, span, whole):
    assert is_whole(text, span) is whole


@pytest.mark.parametrize(
    ("text", "entity", "span", "unlike"),
    [
        ("in Medellin", "Medellín", None, True),
        ("in Medellín", "Medellin", (3, 11), True),
        ("in Medelli\u0301n", "Medellín", (3, 12), False),
        ("in Medelli\u0301n", "Medellín", None, False),
        ("in PARIS", "Paris", None, True),
        ("Paris , PARIS", "Paris", (8, 13), True),
        ("in New\u00a0 York", "New York", (3, 12), True),
        ("in New\nYork", "new york", None, True),
        ("in Paris", "Oslo", None, False),
    ],
)
def test_names_spelled_unlike_their_text(text, entity, span, unlike):
    assert spelled_unlike(text, entity, span) is unlike
    triples = (Triple(entity, "r", "in", span), Triple("in", "s", entity, None, span))
    assert num_unlike_text(Document("1", text, triples)) == unlike

"""Names in a text: where they stand, and what counts as the same name.

A corpus states names apart from the sentences that have them, with other accents, blanks or
composed letters; and a name inside of a longer word is none. Everything here goes by what Unicode
calls a letter, a mark and a character.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator

from grel.drawing import Span

_BLANKS = re.compile(r"[\s\u200b]+")
_BLANKS_OR_CHARACTER = re.compile(rf"{_BLANKS.pattern}|\S")


def canonical(text: str) -> str:
    """The same for all strings that are canonically equal: `e` and its accent U+0301 become `é`.

    Source: Unicode normalization form C.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Letters alone, without case and accents: `Medellín` becomes `medellin`."""
    return text.lower() if text.isascii() else _letters(text.casefold())[0]


def locate(text: str, entity: str) -> tuple[Span, ...]:
    """Where `entity` occurs in `text`, from left to right; occurrences may overlap.

    Whole words win over parts of words, and then occurrences that are canonically equal over those
    that differ in accents, and all of these over those that differ in blanks: the next choice is
    returned only where there is none before. What splits a character from its marks is no
    occurrence. Empty if there is none at all.

    Example: `ana` is found in `Dana, ana` at (6, 9) only, but in `banana` at (1, 4) and (3, 6).
    """
    spans = _locate(text, entity)
    if spans or not _BLANKS.search(entity):
        return spans
    even, even_entity = even_blanks(text), even_blanks(entity)
    if (even, even_entity) == (text, entity):
        return ()
    places = [match.start() for match in _BLANKS_OR_CHARACTER.finditer(text)] + [len(text)]
    return tuple((places[start], places[end]) for start, end in _locate(even, even_entity))


def _locate(text: str, entity: str) -> tuple[Span, ...]:
    """The same where blanks are to be as they are."""
    name = canonical(entity)
    if unicodedata.is_normalized("NFC", text) and not extends(name[:1]):
        # What is canonically equal is equal here, and nothing is better than such whole words.
        spans = [(start, start + len(name)) for start in _find_all(text, name)]
        whole = [span for span in spans if is_whole(text, span)]
        if whole or (text.isascii() and name.isascii()):
            return tuple(whole or spans)
    spans = _find_letters(text, entity)
    ranks = [(is_whole(text, span), canonical(text[slice(*span)]) == name) for span in spans]
    best = max(ranks, default=None)
    return tuple(span for span, rank in zip(spans, ranks, strict=True) if rank == best)


def spells(text: str, span: Span, entity: str) -> bool:
    """Whether `span` lies in `text` and what stands there is `entity`, accents and blanks aside."""
    start, end = span
    if not 0 <= start < end <= len(text):
        return False
    found = text[start:end]
    return found == entity or even_blanks(_letters(found)[0]) == even_blanks(_letters(entity)[0])


def even_blanks(text: str) -> str:
    """The text with one space for every run of blanks of any kind, line breaks among them."""
    return _BLANKS.sub(" ", text)


def spelled_unlike(text: str, entity: str, span: Span | None = None) -> bool:
    """Whether `text`, at `span` if given, has `entity` only with other accents, case or blanks.

    What is copied from such a text is right, and yet no name that equals `entity`.
    """
    stated = text if span is None else text[slice(*span)]
    if canonical(entity) in canonical(stated):
        return False
    return plain(even_blanks(entity)) in plain(even_blanks(stated))


def extends(char: str) -> bool:
    """Whether a character belongs to the one before it: accents, vowel signs, parts of emoji.

    Source: the grapheme clusters of Unicode's annex 29, rules GB9 and GB9a.
    """
    return not char.isascii() and (char in _EXTENDING or unicodedata.category(char)[0] == "M")


def is_whole(text: str, span: Span) -> bool:
    """Whether no word, and no character with its marks, runs across either end of the span."""
    cuts = (cut for cut in span if 0 < cut < len(text))
    return not any(
        (_in_word(text[cut - 1]) and _in_word(text[cut])) or _splits(text, cut) for cut in cuts
    )


_JOINER = "\u200d"
# Beside marks: joiners, tags, skin tones, and signs of Japanese, Thai and Lao that are letters.
_EXTENDING = frozenset(
    [_JOINER, *"\u200c\uff9e\uff9f\u0e33\u0eb3"]
    + [chr(code) for code in (*range(0x1F3FB, 0x1F400), *range(0xE0020, 0xE0080))]
)


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_" or extends(char)


def _splits(text: str, cut: int) -> bool:
    """Whether a character and what belongs to it stand on different sides of `cut`."""
    if not 0 < cut < len(text):
        return False
    # A joiner also takes the next pictograph along.
    joins = text[cut - 1] == _JOINER and unicodedata.category(text[cut]) == "So"
    return joins or extends(text[cut])


def _find_all(text: str, part: str) -> Iterator[int]:
    start = text.find(part) if part else -1
    while start >= 0:
        yield start
        start = text.find(part, start + 1)


def _find_letters(text: str, entity: str) -> list[Span]:
    """Where `entity` occurs, accents aside, that splits no character."""
    letters, places = _letters(text)
    wanted, _ = _letters(entity)
    found = ((i, i + len(wanted)) for i in _find_all(letters, wanted))
    return [
        (places[i], places[j])
        for i, j in found
        if not any(
            (n > 0 and places[n - 1] == places[n]) or _splits(text, places[n]) for n in (i, j)
        )
    ]


@functools.lru_cache(maxsize=8)  # of a text and a name as they are, with even blanks, and plain
def _letters(text: str) -> tuple[str, list[int]]:
    """The letters of a decomposed text without accents, and of which character each is a part.

    Behind the last letter stands the end of the text.
    """
    letters = [_base(char) for char in text]
    places = [place for place, parts in enumerate(letters) for _ in parts]
    return "".join(letters), [*places, len(text)]


@functools.lru_cache(maxsize=1 << 16)
def _base(char: str) -> str:
    parts = unicodedata.normalize("NFD", char)
    return "".join(part for part in parts if not _is_accent(part))


def _is_accent(char: str) -> bool:
    """Whether it may be left out: an accent, or a vowel point of Hebrew or Arabic.

    Marks of other classes make another letter, as in the scripts of India, Thai and Japanese.
    """
    combining_class = unicodedata.combining(char)
    return combining_class >= 200 or 10 <= combining_class <= 36

"""A generated corpus of short news sentences whose test names occur nowhere in training.

The main job of the repository needs a corpus that it may carry, that trains in minutes, and in
which only copying can be right. So every name is made of invented words, and the hash of a word
says in which split it may be used: a validation or test name cannot have been memorized. What makes
extraction hard in real corpora is put in on purpose: names that share their beginning with another
name of the sentence, overlapping triples of every kind, nested names, and names in no triple.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from grel.records import Document, Span, Triple

_T = TypeVar("_T")

SPLITS = ("train", "validation", "test")

# Two relations are called `capital`, as in NYT: a bare name suffix does not tell them apart.
_RELATION_OF = {
    "born": "/people/person/place_of_birth",
    "lives": "/people/person/place_lived",
    "died": "/people/deceased_person/place_of_death",
    "school": "/people/person/education",
    "works": "/business/person/company",
    "founder": "/business/company/founders",
    "began": "/business/company/place_founded",
    "contains": "/location/location/contains",
    "national": "/location/country/capital",
    "provincial": "/location/province/capital",
}
RELATIONS: tuple[str, ...] = tuple(sorted(_RELATION_OF.values()))

# A sentence and its facts `head relation tail`. A slot is a kind of name, numbered where a sentence
# has several, or derived from another slot: {sibling:X} is of the same kind as X and begins like
# it, {event:X} begins like it, {named:X} ends with the whole of it. A slot that the sentence lacks
# but a derived one contains stands only there.
_TEMPLATES: tuple[tuple[str, str], ...] = (
    ("{person} was born in {city}", "person born city"),
    ("{person} , a friend of {sibling:person} , lives in {city}", "person lives city"),
    ("{sibling:person} said that {person} lives in {city}", "person lives city"),
    ("{person} died in {city} , not far from {sibling:city}", "person died city"),
    ("{company} was founded by {person} , not by {sibling:person}", "company founder person"),
    ("the {event:company} was paid for by {company} , which {person} founded",
     "company founder person"),
    ("{person} works for {company} , a rival of {sibling:company}", "person works company"),
    ("after leaving {sibling:company} , {person} works for {company}", "person works company"),
    ("{company} was founded in {city} , long before the {event:company}", "company began city"),
    ("guests from {sibling:city} came to {city} , the national capital of {country}",
     "country national city"),
    ("{city} , the provincial capital of {province} , is older than {sibling:city}",
     "province provincial city"),
    ("{city} lies in {country} , to the north of {country2}", "country contains city"),
    ("{person} studied at the {named:city} , and so did {sibling:person}",
     "person school named:city"),
    ("the {named:city} lies in {country}", "country contains named:city"),
    ("{person} was born in {city} and lives in {city2}", "person born city, person lives city2"),
    ("{person} was born and died in {city} , far from {sibling:city}",
     "person born city, person died city"),
    ("{person} founded {company} and works for it",
     "company founder person, person works company"),
    ("{city} is the national capital and biggest city of {country}",
     "country national city, country contains city"),
    ("{person} was born in {city} and studied at the {named:city}",
     "person born city, person school named:city"),
    ("{person} studied at the {named:city} and lives in the same city",
     "person school named:city, person lives city"),
    ("{person} studied at the {named:city} , which lies in {city}",
     "person school named:city, city contains named:city"),
    ("{company} was founded in {city} by {person}", "company began city, company founder person"),
    ("{person} and {sibling:person} founded {company}",
     "company founder person, company founder sibling:person"),
    ("{city} lies in {country} , but {sibling:city} lies in {country2}",
     "country contains city, country2 contains sibling:city"),
    ("{person} works for {company} , and {sibling:person} works for {sibling:company}",
     "person works company, sibling:person works sibling:company"),
    ("{person} was born in {city} , and {sibling:person} died in {sibling:city}",
     "person born city, sibling:person died sibling:city"),
    ("the {named:city} lies in {city} , the provincial capital of {province}",
     "city contains named:city, province provincial city"),
    ("{person} died in {city} , the national capital of {country}",
     "person died city, country national city"),
    ("{person} was born in {city} , lives in {city2} and works for {company}",
     "person born city, person lives city2, person works company"),
    ("{person} , who was born in {city} , studied at the {named:city} , which lies in {city2}",
     "person born city, person school named:city, city2 contains named:city"),
    ("{person} died in {city} , the national capital and biggest city of {country}",
     "person died city, country national city, country contains city"),
    ("{company} was founded in {city} by {person} and {sibling:person}",
     "company began city, company founder person, company founder sibling:person"),
    ("{person} was born and died in {city} , and {sibling:person} lives in {city2} , "
     "which lies in {country}",
     "person born city, person died city, sibling:person lives city2, country contains city2"),
    ("{company} was founded in {city} , the provincial capital of {province} , by {person} "
     "and {sibling:person}",
     "company began city, province provincial city, company founder person, "
     "company founder sibling:person"),
    ("{person} , who was born in {city} , founded {company} in {city2} and works for it",
     "person born city, company founder person, company began city2, person works company"),
    ("{city} , {city2} and {sibling:city} lie in {country} , and {city2} is its national capital",
     "country contains city, country contains city2, country contains sibling:city, "
     "country national city2"),
)  # fmt: skip
_OPENERS = (
    *("",) * 4,
    "on Monday , ",
    "last year , ",
    "officials said that ",
    "according to {person9} , ",
    "at the {event:company9} , guests heard that ",
)

_ENDINGS = {
    "company": ("Bank", "Group", "Industries", "Institute", "Motors", "Organization", "Partners"),
    "city": (*("",) * 6, "Falls", "Harbor", "Heights", "Springs"),
    "country": (*("",) * 4, "Islands", "Republic"),
    "province": (*("",) * 4, "Coast", "Valley"),
}
_EVENTS = ("Day", "Festival", "Month", "Prize", "Week")
_SECTORS = ("Health", "Music", "Science", "Steel", "Trade")
_CITY_PREFIXES = ("New", "Port", "Saint")
_INSTITUTIONS = ("Academy of", "College of", "University of")
_SYLLABLES = tuple(
    onset + vowel + coda for onset in "bdfgklmnrstvz" for vowel in "aeiou" for coda in ("", "n")
)


class _Name(NamedTuple):
    kind: str
    stem: tuple[str, ...]
    ending: str

    def __str__(self) -> str:
        return " ".join(filter(None, (*self.stem, self.ending)))


def generate(split: str, num_examples: int, seed: int = 0) -> list[Document]:
    """Documents of a split, ids `synthetic-<split>-<n>`, the same for the same seed everywhere.

    A smaller corpus is the beginning of a larger one. Spans are exact, and triples are in the order
    of their heads in the text.

    Raises ValueError on an unknown split or a negative number.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; one of {list(SPLITS)}")
    if num_examples < 0:
        raise ValueError(f"num_examples is {num_examples}; it cannot be negative")
    rng = random.Random(f"{seed} {split}")
    return [_document(f"synthetic-{split}-{n}", split, rng) for n in range(num_examples)]


def word_split(word: str) -> str:
    """The only split in which an invented word is used: 80 % train, 10 % each of the others."""
    tenth = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % 10
    return {0: "validation", 1: "test"}.get(tenth, "train")


def _document(document_id: str, split: str, rng: random.Random) -> Document:
    sentence, stated = _pick(_TEMPLATES, rng)
    facts = [fact.split() for fact in stated.split(", ")]
    if len(facts) <= 2:  # what states more is long enough
        sentence = _pick(_OPENERS, rng) + sentence
    text, spans = _fill(sentence[0].upper() + sentence[1:] + " .", _Names(split, rng))
    triples = []
    for head, relation, tail in facts:
        head_span, tail_span = spans[head], spans[tail]
        head_name, tail_name = text[slice(*head_span)], text[slice(*tail_span)]
        triples.append(Triple(head_name, _RELATION_OF[relation], tail_name, head_span, tail_span))
    triples.sort(key=lambda triple: (triple.head_span, triple.tail_span, triple.relation))
    return Document(document_id, text, tuple(triples))


def _fill(sentence: str, names: _Names) -> tuple[str, dict[str, Span]]:
    """The text, and the first place of every slot; of a nested one its own place if it has any."""
    text = ""
    spans: dict[str, Span] = {}
    nested: dict[str, Span] = {}
    for i, piece in enumerate(re.split(r"\{(.*?)\}", sentence)):
        if i % 2 == 0:
            text += piece
            continue
        written = str(names[piece])
        end = len(text) + len(written)
        spans.setdefault(piece, (len(text), end))
        if piece.startswith("named:"):
            inner = piece.removeprefix("named:")
            nested[inner] = (end - len(str(names[inner])), end)
        text += written
    return text, nested | spans


class _Names:
    """The names of one sentence by slot, each invented when it is first asked for."""

    def __init__(self, split: str, rng: random.Random):
        self._split = split
        self._rng = rng
        self._names: dict[str, _Name] = {}

    def __getitem__(self, slot: str) -> _Name:
        if slot not in self._names:
            how, _, base = slot.rpartition(":")
            self._names[slot] = self._derive(how, self[base]) if how else self._invent(slot)
        return self._names[slot]

    def _invent(self, slot: str) -> _Name:
        kind = slot.rstrip("0123456789")
        stem: tuple[str, ...] = (self._word(),)
        if kind == "city" and self._rng.random() < 0.2:
            return _Name(kind, (_pick(_CITY_PREFIXES, self._rng), *stem), "")
        if kind in ("person", "company") and self._rng.random() < 0.25:
            stem += (self._word(),)
        if kind == "company" and self._rng.random() < 0.5:
            stem += (_pick(_SECTORS, self._rng),)
        return _Name(kind, stem, self._ending(kind))

    def _derive(self, how: str, base: _Name) -> _Name:
        if how == "named":
            return _Name(how, (_pick(_INSTITUTIONS, self._rng),), str(base))
        if how == "event":
            return _Name(how, base.stem, _pick(_EVENTS, self._rng))
        ending = base.ending
        while ending == base.ending:
            ending = self._ending(base.kind)
        return base._replace(ending=ending)

    def _ending(self, kind: str) -> str:
        return _pick(_ENDINGS[kind], self._rng) if kind in _ENDINGS else self._word()

    def _word(self) -> str:
        while True:
            word = (_pick(_SYLLABLES, self._rng) + _pick(_SYLLABLES, self._rng)).capitalize()
            if word_split(word) == self._split:
                return word


def _pick(items: Sequence[_T], rng: random.Random) -> _T:
    # Of all the methods of Random, only `random` promises the same sequence in every Python.
    return items[int(rng.random() * len(items))]

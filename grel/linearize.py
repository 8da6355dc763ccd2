"""Triples <-> one target sequence: `head ; tail ; relation | head ; tail ; relation`.

The separators are symbols of their own (reserved wordpiece ids in practice), never characters, so a
text that contains `;` or `|` cannot break the round trip. Everything here works on sequences of any
hashable symbol and knows no tokenizer; what a sequence says is given as slices into it, because
labels, scores and character offsets are all looked up at those places later.
Source: paper section 3.1; METHOD section 2.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

from grel.errors import UserError

Symbols = Sequence[Hashable]


class RelationError(UserError):
    """A relation that cannot be written in words: says which, and what to do."""


class Slots(NamedTuple):
    """Where one triple stands in a target sequence."""

    head: slice
    tail: slice
    relation: slice


class Parsed(NamedTuple):
    """What a sequence says: its well-formed triples, and how many pieces were none."""

    triples: list[Slots]
    num_malformed: int


def linearize(
    triples: Sequence[tuple[Symbols, Symbols, Symbols]], part_end: Hashable, triple_end: Hashable
) -> tuple[list[Hashable], list[Slots]]:
    """Writes (head, tail, relation) symbol sequences as one target; no separator after the last.

    Example: `[("ab", "c", "r")]` with `;` and `|` gives `a b ; c ; r` and slots 0:2, 3:4, 5:6.
    """
    target: list[Hashable] = []
    slots = []
    for triple in triples:
        if target:
            target.append(triple_end)
        places = []
        for part in triple:
            if places:
                target.append(part_end)
            places.append(slice(len(target), len(target) + len(part)))
            target.extend(part)
        slots.append(Slots(*places))
    return target, slots


def parse(target: Symbols, part_end: Hashable, triple_end: Hashable) -> Parsed:
    """Inverse of `linearize` for triples without empty parts.

    A piece between two `triple_end` that is not exactly three non-empty parts is malformed: it is
    counted, not guessed at. An empty target says nothing and has no malformed piece.
    """
    triples: list[Slots] = []
    num_malformed = 0
    for start, end in _pieces(target, 0, len(target), triple_end) if len(target) else ():
        places = [slice(*place) for place in _pieces(target, start, end, part_end)]
        if len(places) == 3 and all(place.start < place.stop for place in places):
            triples.append(Slots(*places))
        else:
            num_malformed += 1
    return Parsed(triples, num_malformed)


def _pieces(symbols: Symbols, start: int, end: int, separator: Hashable) -> list[tuple[int, int]]:
    cuts = [i for i in range(start, end) if symbols[i] == separator]
    return list(zip([start, *(i + 1 for i in cuts)], [*cuts, end], strict=True))


def relation_words(relations: Collection[str]) -> dict[str, str]:
    """Relation -> the words that name it: its shortest suffix of path segments that no other has.

    Example: among `/location/us_state/capital`, `/location/country/capital` and
    `/location/location/contains` the names are `us_state capital`, `country capital`, `contains`.
    Raises RelationError if a relation has no words, or two would share theirs.
    """
    segments = {relation: re.findall(r"[^/]+", relation) for relation in sorted(set(relations))}
    suffixes = [tuple(s[-n:]) for s in segments.values() for n in range(1, len(s) + 1)]
    words = {}
    for relation, path in segments.items():
        lengths = range(1, len(path) + 1)
        unique = (n for n in lengths if suffixes.count(tuple(path[-n:])) == 1)
        words[relation] = " ".join(path[-next(unique, len(path)) :])
    owner: dict[str, str] = {}
    for relation, name in words.items():
        if not name.strip():
            raise RelationError(
                f"relation {relation!r} has no words: rename it, or set "
                "config.tokenizer.relation_as='token'"
            )
        if owner.setdefault(name, relation) != relation:
            raise RelationError(
                f"relations {owner[name]!r} and {relation!r} have the same words, {name!r}: rename "
                "one, or set config.tokenizer.relation_as='token'"
            )
    return words

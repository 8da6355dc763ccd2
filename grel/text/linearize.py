"""Triples <-> one target sequence, in the order that a form says.

The paper writes `head ; tail ; relation | head ; tail ; relation`. The form "rht" writes the
relation first, `relation ; head ; tail | ...`; where a relation is a single symbol of its own it
opens a triple and ends the one before, so that one separator a triple is enough:
`R head ; tail R head ; tail`.

The separators are symbols of their own (reserved wordpiece ids in practice), never characters, so a
text that contains `;` or `|` cannot break the round trip. Everything here works on sequences of any
hashable symbol and knows no tokenizer; what a sequence says is given as slices into it, because
labels, scores and character offsets are all looked up at those places later.
Source: paper section 3.1; METHOD section 2.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from grel.errors import UserError

Symbol = TypeVar("Symbol", bound=Hashable)

TRIPLE_FORMS = ("htr", "rht")


class RelationError(UserError):
    """A relation that cannot be written in words: says which, and what to do."""


@dataclasses.dataclass(frozen=True)
class Form(Generic[Symbol]):
    """How triples are written.

    Attributes:
        part_end, triple_end: the separators `;` and `|`.
        relation_first: "rht"; otherwise "htr", the paper's.
        openers: symbols each of which is a whole relation and opens a triple; there are none where
            relations are words, or come last.
    """

    part_end: Symbol
    triple_end: Symbol
    relation_first: bool = False
    openers: frozenset[Symbol] = frozenset()

    @property
    def boundaries(self) -> frozenset[Symbol]:
        """Symbols before which the triples so far are whole."""
        return self.openers or frozenset([self.triple_end])


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
    triples: Sequence[tuple[Sequence[Symbol], Sequence[Symbol], Sequence[Symbol]]],
    form: Form[Symbol],
) -> tuple[list[Symbol], list[Slots]]:
    """Writes (head, tail, relation) symbol sequences as one target; no separator after the last.

    Example: `[("ab", "c", "r")]` with `;` and `|` gives `a b ; c ; r` and slots 0:2, 3:4, 5:6;
    with the relation first `r ; a b ; c`, and with `r` as an opener `r a b ; c`.
    """
    target: list[Symbol] = []
    slots = []
    for head, tail, relation in triples:
        parts = (relation, head, tail) if form.relation_first else (head, tail, relation)
        if target and not form.openers:
            target.append(form.triple_end)
        places = []
        for number, part in enumerate(parts):
            if number > (1 if form.openers else 0):
                target.append(form.part_end)
            places.append(slice(len(target), len(target) + len(part)))
            target.extend(part)
        slots.append(_slots(places, form))
    return target, slots


def parse(target: Sequence[Symbol], form: Form[Symbol]) -> Parsed:
    """Inverse of `linearize` for triples without empty parts.

    A piece of the sequence that is not exactly three non-empty parts is malformed: it is counted,
    not guessed at. An empty target says nothing and has no malformed piece.
    """
    triples: list[Slots] = []
    num_malformed = 0
    for start, end in _pieces(target, form):
        places = [slice(*place) for place in _parts(target, start, end, form)]
        if len(places) == 3 and all(place.start < place.stop for place in places):
            triples.append(_slots(places, form))
        else:
            num_malformed += 1
    return Parsed(triples, num_malformed)


def _slots(places: Sequence[slice], form: Form) -> Slots:
    if form.relation_first:
        relation, head, tail = places
        return Slots(head, tail, relation)
    return Slots(*places)


def _pieces(target: Sequence[Symbol], form: Form[Symbol]) -> list[tuple[int, int]]:
    """Where each triple stands, or what should have been one."""
    if not len(target):
        return []
    if not form.openers:
        return _split(target, 0, len(target), form.triple_end)
    starts = [i for i, symbol in enumerate(target) if symbol in form.openers]
    # What comes before the first opener belongs to no triple.
    starts = starts if starts[:1] == [0] else [0, *starts]
    return list(zip(starts, [*starts[1:], len(target)], strict=True))


def _parts(
    target: Sequence[Symbol], start: int, end: int, form: Form[Symbol]
) -> list[tuple[int, int]]:
    """The parts of one piece; none where it can't be a triple."""
    if not form.openers:
        return _split(target, start, end, form.part_end)
    if target[start] not in form.openers or form.triple_end in target[start:end]:
        return []
    return [(start, start + 1), *_split(target, start + 1, end, form.part_end)]


def _split(
    symbols: Sequence[Symbol], start: int, end: int, separator: Symbol
) -> list[tuple[int, int]]:
    cuts = [i for i in range(start, end) if symbols[i] == separator]
    return list(zip([start, *(i + 1 for i in cuts)], [*cuts, end], strict=True))


def relation_words(relations: Collection[str]) -> dict[str, str]:
    """Relation -> the words that name it: its shortest suffix of path segments that no other has.

    Example: among `/location/us_state/capital`, `/location/country/capital` and
    `/location/location/contains` the names are `us_state capital`, `country capital`, `contains`.
    Raises RelationError if a relation has no words, or two would share theirs.
    """
    segments = {relation: re.findall(r"[^/]+", relation) for relation in sorted(set(relations))}
    suffixes = Counter(tuple(s[-n:]) for s in segments.values() for n in range(1, len(s) + 1))
    words = {}
    for relation, path in segments.items():
        lengths = range(1, len(path) + 1)
        unique = (n for n in lengths if suffixes[tuple(path[-n:])] == 1)
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

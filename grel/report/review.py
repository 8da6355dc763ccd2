"""What is right and wrong in each sentence: the rows and error classes of the browser.

A wrong triple can be wrong in its entities (the classes of Table 3) or, with entities that are all
gold, in what it says of them. The report filters by these classes, so each is decidable here, and
every wrong triple has at least one.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from grel.records import Document, Triple
from grel.scoring.errors import classify_entity
from grel.scoring.judged import Judged
from grel.scoring.protocols import Protocol


class Status(enum.Enum):
    """What became of a triple."""

    FOUND = "found"  # gold, and predicted
    MISSED = "missed"  # gold, and not predicted
    CORRECT = "correct"  # predicted, and gold
    WRONG = "wrong"  # predicted, and not gold
    DROPPED = "dropped"  # predicted, and dropped by the protocol before counting


class RelationError(enum.Enum):
    """How a wrong triple went wrong whose two entities are both gold."""

    PLACE = "place"  # it is gold but for its spans, under a protocol that compares them
    REVERSED = "reversed"  # gold has it with head and tail exchanged
    RELATION = "relation"  # gold relates the two, in this direction, but otherwise
    PAIR = "pair"  # gold does not relate the two in this direction


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A triple of one side and what became of it; `errors` are names of error classes."""

    triple: Triple
    status: Status
    errors: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Review:
    """Gold and predicted triples of a sentence; of those that count, each key once."""

    document: Document
    gold: tuple[Row, ...]
    predicted: tuple[Row, ...]

    @property
    def classes(self) -> frozenset[str]:
        """The error classes of the sentence: of its wrong triples, and "missed"."""
        missed = {row.status.value for row in self.gold} & {Status.MISSED.value}
        return frozenset(missed.union(*(row.errors for row in self.predicted)))


def review(judged: Judged, prediction: Document, protocol: Protocol) -> Review:
    """What became of each triple of a sentence that was judged under `protocol`.

    The triples that count come first, then those that the protocol dropped from `prediction`.
    """
    document = judged.document
    gold = tuple(
        Row(triple, Status.FOUND if key in judged.predicted else Status.MISSED)
        for key, triple in judged.gold.items()
    )
    counted = tuple(
        Row(triple, Status.CORRECT)
        if key in judged.gold
        else Row(triple, Status.WRONG, triple_errors(triple, document.triples, document.text))
        for key, triple in judged.predicted.items()
    )
    dropped = tuple(
        Row(triple, Status.DROPPED)
        for triple in prediction.without_duplicates().triples
        if protocol.key_fn(triple) not in judged.predicted
    )
    return Review(document, gold, counted + dropped)


def triple_errors(triple: Triple, gold: Sequence[Triple], text: str) -> tuple[str, ...]:
    """The error classes of a wrong triple, by name.

    Those of its head and tail ("incompletion", "disorder", "other": see `classify_entity`); if both
    are gold entities of the sentence, the first of `RelationError` that applies.
    """
    entities = {name for t in gold for name in t.names}
    found = (classify_entity(name, entities, text) for name in triple.names)
    if errors := {error.value for error in found if error is not None}:
        return tuple(sorted(errors))
    keys = {t.key for t in gold}
    head, relation, tail = triple.key
    if triple.key in keys:
        error = RelationError.PLACE
    elif (tail, relation, head) in keys:
        error = RelationError.REVERSED
    elif triple.names in {t.names for t in gold}:
        error = RelationError.RELATION
    else:
        error = RelationError.PAIR
    return (error.value,)

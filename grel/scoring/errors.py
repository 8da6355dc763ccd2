"""What is wrong with predicted entities: the error classes of the paper's Table 3.

A copy mechanism is to mend two failures of free generation: names cut short, and names put
together from words that don't stand together. The paper names them by one example each; this
module makes them decidable. Everything else (another entity of the sentence, a name with too much
around it, invented words) is `OTHER`, so that the classes always add up.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from grel.names import locate
from grel.records import Document
from grel.scoring.protocols import pair


class EntityError(enum.Enum):
    """How a predicted entity that equals no gold entity of its sentence went wrong."""

    INCOMPLETION = "incompletion"
    DISORDER = "disorder"
    OTHER = "other"


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Wrong entities by class, out of all predicted `entities`; both distinct per document."""

    incompletion: int
    disorder: int
    other: int
    entities: int


def _is_subsequence(words: Sequence[str], of: Sequence[str]) -> bool:
    rest = iter(of)
    return all(word in rest for word in words)


def classify_entity(entity: str, gold_entities: Collection[str], text: str) -> EntityError | None:
    """The error class of a predicted entity; None when it equals a gold entity.

    Words are whitespace tokens. The first that applies:

    1. *Incompletion*: its words are some but not all of one gold entity's, in that order
       ("Connecticut" for "Southeastern Connecticut").
    2. *Disorder*: it has all the words of one gold entity, with or without others, and either not
       in the gold order, or nowhere in the text as one stretch, accents aside ("Inc. Ann Moore" for
       "Ann Moore" and "Time Inc."; "Moore Ann").
    3. *Other*. A name that is merely too long ("Time Inc. chairman", where the text has these
       words side by side) belongs here: each of its words is in order and in place.
    """
    words = entity.split()
    gold_words = [gold.split() for gold in gold_entities]
    if words in gold_words:
        return None
    if any(_is_subsequence(words, gold) for gold in gold_words):
        return EntityError.INCOMPLETION
    contained = [gold for gold in gold_words if Counter(gold) <= Counter(words)]
    if not contained:
        return EntityError.OTHER
    in_order = all(_is_subsequence(gold, words) for gold in contained)
    in_place = bool(locate(" ".join(text.split()), " ".join(words)))
    return EntityError.OTHER if in_order and in_place else EntityError.DISORDER


def _entities(document: Document) -> set[str]:
    return {name for triple in document.triples for name in triple.names}


def count_errors(gold: Iterable[Document], predictions: Iterable[Document]) -> ErrorCounts:
    """Classifies every predicted entity, once per document however many triples name it.

    Raises:
      ScoringError: the documents don't pair up (see `protocols.pair`).
    """
    found: Counter[EntityError | None] = Counter()
    for document, prediction in pair(gold, predictions):
        gold_entities = _entities(document)
        found.update(
            classify_entity(entity, gold_entities, document.text)
            for entity in _entities(prediction)
        )
    return ErrorCounts(
        incompletion=found[EntityError.INCOMPLETION],
        disorder=found[EntityError.DISORDER],
        other=found[EntityError.OTHER],
        entities=found.total(),
    )

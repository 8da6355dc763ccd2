"""Each document under one protocol: its gold and predicted triples, by what counts as the same.

Everything that looks closer than a total (classes of sentences, the bootstrap, calibration, the
comparison of two systems) starts from these, so that all of it agrees with the score on which
triples count and which are correct.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Hashable, Iterable

from grel.records import Document, Triple
from grel.scoring.protocols import Counts, Protocol, valid_pairs


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A document, and its triples by key of the protocol; a triple on both sides is correct.

    Attributes:
      document: as in the gold file.
      gold: the first gold triple of each key, in the order of the file.
      predicted: of the predicted triples that the protocol lets count, for each key the one with
        the highest score (the first of equals; without a score is lowest), likewise in order.
    """

    document: Document
    gold: dict[Hashable, Triple]
    predicted: dict[Hashable, Triple]

    @property
    def counts(self) -> Counts:
        """Correct, predicted and gold triples; summed up, they are `protocols.score`."""
        return Counts(
            len(self.gold.keys() & self.predicted.keys()), len(self.predicted), len(self.gold)
        )


def judge(
    gold: Iterable[Document],
    predictions: Iterable[Document],
    protocol: Protocol,
    *,
    relations: Collection[str] | None = None,
) -> list[Judged]:
    """Judges every document, in the order of `gold`.

    Arguments and errors are those of `protocols.score_documents`.
    """
    judged = []
    for document, prediction in valid_pairs(gold, predictions, protocol, relations=relations):
        gold_triples: dict[Hashable, Triple] = {}
        for triple in document.triples:
            gold_triples.setdefault(protocol.key_fn(triple), triple)
        predicted: dict[Hashable, Triple] = {}
        for triple in prediction.triples:
            key = protocol.key_fn(triple)
            if key not in predicted or _rank(triple) > _rank(predicted[key]):
                predicted[key] = triple
        judged.append(Judged(document, gold_triples, predicted))
    return judged


def total(judged: Iterable[Judged]) -> Counts:
    """The counts of all documents, added up."""
    return sum((one.counts for one in judged), Counts())


def _rank(triple: Triple) -> float:
    return -math.inf if triple.score is None else triple.score

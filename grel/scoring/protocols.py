"""Precision, recall and F1 of predicted triples, under the protocols in use for this task.

Published numbers often differ less in the models than in what counts as a correct triple, so each
such rule is one named entry of `PROTOCOLS`: which triples are the same, and which predictions are
dropped before counting. Names are compared by `Triple.key`, so that spellings which Unicode calls
equal are. Counts are kept per document and added up, and divided only at the end;
whatever regroups documents (a bootstrap, classes of overlap) starts from `score_documents`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any

from grel.errors import UserError
from grel.names import canonical
from grel.records import Document, Triple
from grel.scoring.corpus import LENGTH_CLASSES, length_classes


class ScoringError(UserError):
    """Gold and predicted documents that can't be compared; says where and how to mend it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """Correct, predicted and gold triples; add them up over documents (micro average)."""

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.correct + other.correct, self.predicted + other.predicted, self.gold + other.gold
        )

    @property
    def precision(self) -> float:
        """correct / predicted, and 0 where nothing was predicted."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """correct / gold, and 0 where there is no gold triple."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, and 0 where nothing is correct."""
        return 2 * self.correct / (self.predicted + self.gold) if self.correct else 0.0

    def metrics(self) -> dict[str, float | int]:
        """The six numbers by name, ready for JSON."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "correct": self.correct,
            "predicted": self.predicted,
            "gold": self.gold,
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """Counts over all triples, and over those of each length class (Table 4); addable.

    The classes go by the full entities of gold and predicted triples alike, under every protocol.
    They overlap (`corpus.LENGTH_CLASSES`) and leave out single words: they don't sum to `total`.
    """

    total: Counts = Counts()
    by_length: dict[str, Counts] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(LENGTH_CLASSES, Counts())
    )

    def __add__(self, other: Score) -> Score:
        return Score(
            self.total + other.total,
            {name: counts + other.by_length[name] for name, counts in self.by_length.items()},
        )

    def metrics(self) -> dict[str, Any]:
        """The metrics of `total`, and under "by_length" the same for every class."""
        classes = {name: counts.metrics() for name, counts in self.by_length.items()}
        return {**self.total.metrics(), "by_length": classes}


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """What makes a predicted triple correct.

    Attributes:
      key_fn: two triples of a sentence are the same one when their keys are equal.
      valid_fn: (predicted triple, known relations in canonical form) -> False if it is dropped
        before counting.
      needs_spans: gold triples without spans are an error. A predicted one without them is
        counted, and never correct.
    """

    key_fn: Callable[[Triple], Hashable]
    valid_fn: Callable[[Triple, Collection[str]], bool] = lambda triple, relations: True
    needs_spans: bool = False


def _nayak_valid(triple: Triple, relations: Collection[str]) -> bool:
    head, relation, tail = triple.key
    return head != tail and relation in relations


def _last_words(triple: Triple) -> Hashable:
    head, relation, tail = triple.key
    return head.split()[-1], relation, tail.split()[-1]


def _first_words(triple: Triple) -> Hashable:
    head, relation, tail = triple.key
    return head.split()[0], relation, tail.split()[0]


def _key_with_spans(triple: Triple) -> Hashable:
    return triple.key, triple.head_span, triple.tail_span


PROTOCOLS: dict[str, Protocol] = {
    "exact": Protocol(lambda triple: triple.key),
    "nayak": Protocol(lambda triple: triple.key, valid_fn=_nayak_valid),
    "partial_last": Protocol(_last_words),
    "partial_first": Protocol(_first_words),
    "span": Protocol(_key_with_spans, needs_spans=True),
}


def _by_id(documents: Iterable[Document], role: str) -> dict[str, Document]:
    table: dict[str, Document] = {}
    for document in documents:
        if document.id in table:
            raise ScoringError(f"{role} document {document.id!r} occurs twice: make ids unique")
        table[document.id] = document
    return table


def pair(
    gold: Iterable[Document],
    predictions: Iterable[Document],
    *,
    roles: tuple[str, str] = ("gold", "predicted"),
) -> list[tuple[Document, Document]]:
    """Joins the two on `id`, in the order of `gold`; `roles` are what errors call them.

    Raises:
      ScoringError: an id occurs twice or on one side only, or the two texts of an id differ.
        Scoring what happens to match would report a number for another corpus.
    """
    one, other = roles
    gold_by_id, predicted_by_id = _by_id(gold, one), _by_id(predictions, other)
    unknown = [key for key in predicted_by_id if key not in gold_by_id]
    if unknown:
        raise ScoringError(
            f"{len(unknown)} {other} ids are not in {one}, the first is {unknown[0]!r}: "
            "both must be of the same documents"
        )
    missing = [key for key in gold_by_id if key not in predicted_by_id]
    if missing:
        raise ScoringError(
            f"{len(missing)} of {len(gold_by_id)} {one} ids are not in {other}, the first is "
            f"{missing[0]!r}: a document without triples needs a record too"
        )
    for key, document in gold_by_id.items():
        if document.text != predicted_by_id[key].text:
            raise ScoringError(
                f"document {key!r}: {one} and {other} text differ: both must be of the same "
                "documents"
            )
    return [(document, predicted_by_id[key]) for key, document in gold_by_id.items()]


def _check_spans(document: Document) -> None:
    for triple in document.triples:
        if triple.head_span is None or triple.tail_span is None:
            raise ScoringError(
                f"gold document {document.id!r}: triple {triple.key} has no spans: give head_span "
                "and tail_span, or choose a protocol that needs none"
            )


def _count(
    gold: Iterable[Triple], predicted: Iterable[Triple], key_fn: Callable[[Triple], Hashable]
) -> Counts:
    gold_keys, predicted_keys = set(map(key_fn, gold)), set(map(key_fn, predicted))
    return Counts(len(gold_keys & predicted_keys), len(predicted_keys), len(gold_keys))


def _score_document(
    gold: Collection[Triple], predicted: Collection[Triple], key_fn: Callable[[Triple], Hashable]
) -> Score:
    gold_classes = [(triple, length_classes(triple)) for triple in gold]
    predicted_classes = [(triple, length_classes(triple)) for triple in predicted]
    return Score(
        _count(gold, predicted, key_fn),
        {
            name: _count(
                (t for t, classes in gold_classes if name in classes),
                (t for t, classes in predicted_classes if name in classes),
                key_fn,
            )
            for name in LENGTH_CLASSES
        },
    )


def valid_pairs(
    gold: Iterable[Document],
    predictions: Iterable[Document],
    protocol: Protocol,
    *,
    relations: Collection[str] | None = None,
) -> list[tuple[Document, Document]]:
    """`pair`, without the predicted triples that `protocol` drops before counting.

    Arguments and errors are those of `score_documents`.
    """
    pairs = pair(gold, predictions)
    if relations is None:
        relations = {triple.relation for document, _ in pairs for triple in document.triples}
    relations = frozenset(map(canonical, relations))
    valid = []
    for document, prediction in pairs:
        if protocol.needs_spans:
            _check_spans(document)
        kept = tuple(t for t in prediction.triples if protocol.valid_fn(t, relations))
        if len(kept) < len(prediction.triples):
            prediction = dataclasses.replace(prediction, triples=kept)
        valid.append((document, prediction))
    return valid


def score_documents(
    gold: Iterable[Document],
    predictions: Iterable[Document],
    protocol: Protocol,
    *,
    relations: Collection[str] | None = None,
) -> list[Score]:
    """The `Score` of each document, in the order of `gold`.

    Args:
      gold: documents with the true triples.
      predictions: the same documents with predicted triples, in any order.
      protocol: one of `PROTOCOLS`, or one's own.
      relations: the known relations, for protocols that drop others; those of `gold` if None.

    Raises:
      ScoringError: the documents don't pair up (see `pair`), or `protocol` needs spans that a
        gold triple lacks.
    """
    return [
        _score_document(document.triples, prediction.triples, protocol.key_fn)
        for document, prediction in valid_pairs(gold, predictions, protocol, relations=relations)
    ]


def score(
    gold: Iterable[Document],
    predictions: Iterable[Document],
    protocol: Protocol,
    *,
    relations: Collection[str] | None = None,
) -> Score:
    """The `Score` over all documents: `score_documents`, added up."""
    return sum(score_documents(gold, predictions, protocol, relations=relations), Score())
